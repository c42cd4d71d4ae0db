//! Form (i) of churn and retention: one row per customer at risk, and a condition that says whether
//! what is counted has happened. `true rows / non-NULL rows`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array};
use arrow::datatypes::{Field, Int64Type};
use datafusion_common::Result;
use datafusion_common::cast::as_boolean_array;

use crate::aggregate::Metric;
use crate::arguments::primitive;
use crate::retention::counters::{count_field, counts};

/// The share of customers for whom the condition holds.
#[derive(Debug, Clone)]
pub(super) struct FlagShare;

/// Customers, and those for whom the condition holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Share {
    holds: i64,
    customers: i64,
}

impl Share {
    fn finish(&self) -> Option<f64> {
        (self.customers > 0).then(|| self.holds as f64 / self.customers as f64)
    }
}

impl Metric for FlagShare {
    type State = Share;
    type Columns<'a> = &'a BooleanArray;

    fn required(&self) -> &'static [usize] {
        &[0]
    }

    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<&'a BooleanArray> {
        as_boolean_array(&arguments[0])
    }

    #[inline]
    fn add(&self, share: &mut Share, flags: &&BooleanArray, row: usize) -> Result<()> {
        share.holds += i64::from(flags.value(row));
        share.customers += 1;
        Ok(())
    }

    fn add_all(&self, share: &mut Share, flags: &&BooleanArray, rows: usize) -> Result<()> {
        share.holds += flags.values().count_set_bits() as i64;
        share.customers += rows as i64;
        Ok(())
    }

    fn remove(&self, share: &mut Share, flags: &&BooleanArray, row: usize) -> Result<()> {
        share.holds -= i64::from(flags.value(row));
        share.customers -= 1;
        Ok(())
    }

    fn merge(&self, share: &mut Share, other: &Share) -> Result<()> {
        share.holds += other.holds;
        share.customers += other.customers;
        Ok(())
    }

    fn finish(&self, shares: &[Share]) -> Result<ArrayRef> {
        Ok(Arc::new(
            shares.iter().map(Share::finish).collect::<Float64Array>(),
        ))
    }

    fn state_fields(&self) -> Vec<Field> {
        vec![count_field("holds"), count_field("customers")]
    }

    fn write(&self, shares: &[Share]) -> Vec<ArrayRef> {
        vec![
            counts(shares.iter().map(|share| share.holds)),
            counts(shares.iter().map(|share| share.customers)),
        ]
    }

    fn read(&mut self, columns: &[ArrayRef]) -> Result<Vec<Share>> {
        let holds = primitive::<Int64Type>(&columns[0])?.values();
        let customers = primitive::<Int64Type>(&columns[1])?.values();
        let share = |(holds, customers): (&i64, &i64)| Share {
            holds: *holds,
            customers: *customers,
        };
        Ok(holds.iter().zip(customers).map(share).collect())
    }
}
