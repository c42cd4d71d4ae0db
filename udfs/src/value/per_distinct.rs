//! Money divided by the number of distinct customers or orders, which `clv` and `aov` share.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::datatypes::{DataType, Field};
use datafusion_common::Result;

use crate::arguments::{Held, doubles, finite, hold, hold_other, varying_argument};
use crate::distinct::{DistinctMetric, KeyArgument, Seen};
use crate::money::Amount;

/// `Σ amount [· margin] / count(distinct key)`.
#[derive(Debug, Clone)]
pub(super) struct PerDistinct<A> {
    function: &'static str,
    amount: A,
    amount_position: usize,
    key: [KeyArgument; 1],
    output: Output,
}

/// What becomes of the quotient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// The mean in the amount's own type.
    Mean,
    /// DOUBLE.
    Value,
    /// DOUBLE, times the margin in the third argument.
    ValueWithMargin,
}

impl<A: Amount> PerDistinct<A> {
    /// A mean over distinct orders; the amount comes first.
    pub(super) fn mean(function: &'static str, amount: A, order: KeyArgument) -> Self {
        Self {
            function,
            amount,
            amount_position: 0,
            key: [order],
            output: Output::Mean,
        }
    }

    /// A value per distinct customer; the amount comes second, the margin third.
    pub(super) fn value(
        function: &'static str,
        amount: A,
        customer: KeyArgument,
        with_margin: bool,
    ) -> Self {
        let output = if with_margin {
            Output::ValueWithMargin
        } else {
            Output::Value
        };
        Self {
            function,
            amount,
            amount_position: 1,
            key: [customer],
            output,
        }
    }

    fn value_of(&self, group: &Takings<A::Sum>) -> Result<Option<f64>> {
        if group.keys == 0 {
            return Ok(None);
        }
        let total = self.amount.to_f64(group.sum)?;
        let value = total * group.margin.unwrap_or(1.0) / group.keys as f64;
        finite(self.function, "the result", value).map(Some)
    }
}

/// A group's money and the number of its distinct keys.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Takings<S> {
    sum: S,
    keys: i64,
    margin: Option<f64>,
}

/// The amounts and, if there is one, the margin of each row.
pub(super) struct MoneyColumns<'a, A: Amount> {
    amounts: A::Column<'a>,
    margins: Option<&'a Float64Array>,
}

impl<A: Amount> DistinctMetric for PerDistinct<A> {
    type Group = Takings<A::Sum>;
    type Mark = ();
    type Columns<'a> = MoneyColumns<'a, A>;
    type Row = ();

    fn function(&self) -> &'static str {
        self.function
    }

    fn keys(&self) -> &[KeyArgument] {
        &self.key
    }

    fn required(&self) -> &'static [usize] {
        match self.output {
            Output::Mean | Output::Value => &[0, 1],
            Output::ValueWithMargin => &[0, 1, 2],
        }
    }

    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<MoneyColumns<'a, A>> {
        let with_margin = self.output == Output::ValueWithMargin;
        Ok(MoneyColumns {
            amounts: self.amount.column(&arguments[self.amount_position])?,
            margins: with_margin.then(|| doubles(&arguments[2])).transpose()?,
        })
    }

    #[inline]
    fn accept(
        &self,
        group: &mut Self::Group,
        columns: &MoneyColumns<'_, A>,
        row: usize,
    ) -> Result<Option<()>> {
        if let Some(margins) = columns.margins {
            let margin = finite(self.function, "margin", margins.value(row))?;
            if hold(&mut group.margin, margin) == Held::Differs {
                return Err(varying_argument(self.function, "margin"));
            }
        }
        self.amount.add(&mut group.sum, &columns.amounts, row)?;
        Ok(Some(()))
    }

    #[inline]
    fn observe(&self, group: &mut Self::Group, _mark: &mut (), seen: Seen, _row: ()) {
        group.keys += i64::from(seen.first);
    }

    fn merge_group(&self, group: &mut Self::Group, other: &Self::Group) -> Result<()> {
        if !hold_other(&mut group.margin, other.margin) {
            return Err(varying_argument(self.function, "margin"));
        }
        self.amount.merge(&mut group.sum, other.sum)
    }

    fn merge_mark(&self, group: &mut Self::Group, _mark: &mut (), seen: Seen, _other: ()) {
        group.keys += i64::from(seen.first);
    }

    fn group_fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::new("margin", DataType::Float64, true)];
        fields.extend(self.amount.fields());
        fields
    }

    fn write_groups(&self, groups: &[Self::Group]) -> Vec<ArrayRef> {
        let margins = groups
            .iter()
            .map(|group| group.margin)
            .collect::<Float64Array>();
        let sums: Vec<_> = groups.iter().map(|group| group.sum).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(margins)];
        columns.extend(self.amount.write(&sums));
        columns
    }

    fn read_groups(&mut self, columns: &[ArrayRef], _rows: usize) -> Result<Vec<Self::Group>> {
        let margins = doubles(&columns[0])?;
        let sums = self.amount.read(&columns[1..])?.into_iter().enumerate();
        let group = |(row, sum): (usize, A::Sum)| Takings {
            sum,
            keys: 0,
            margin: margins.is_valid(row).then(|| margins.value(row)),
        };
        Ok(sums.map(group).collect())
    }

    fn finish(&self, groups: &[Self::Group]) -> Result<ArrayRef> {
        if self.output == Output::Mean {
            let sums: Vec<_> = groups.iter().map(|group| group.sum).collect();
            let keys: Vec<_> = groups.iter().map(|group| group.keys).collect();
            return self.amount.mean(&sums, &keys);
        }
        let values = groups.iter().map(|group| self.value_of(group));
        Ok(Arc::new(values.collect::<Result<Float64Array>>()?))
    }
}
