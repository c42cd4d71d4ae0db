//! Functions of a group's values in order: what ordered-set aggregates are planned as.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Builder, ListArray, ListBuilder, UInt64Builder,
    make_comparator,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{SortOptions, take};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;

/// The most frequent of sorted values, the first of those.
pub(crate) const MODE: &str = "mode_list";
/// The value at a fraction of the rows.
pub(crate) const DISCRETE: &str = "percentile_disc_list";
/// The values at several fractions of the rows.
pub(crate) const DISCRETE_ALL: &str = "percentile_disc_lists";
/// The interpolated values at several fractions of the rows.
const CONTINUOUS_ALL: &str = "percentile_cont_list";

/// Registers them.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for name in [MODE, DISCRETE, DISCRETE_ALL, CONTINUOUS_ALL] {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Ordered {
            name,
            signature: Signature::user_defined(Volatility::Immutable),
        })))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Ordered {
    name: &'static str,
    signature: Signature,
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

impl ScalarUDFImpl for Ordered {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let Some(list @ DataType::List(_)) = types.first() else {
            return Err(Error::internal("an ordered-set aggregate without a list").into());
        };
        let values = match self.name {
            CONTINUOUS_ALL => list_of(DataType::Float64),
            _ => list.clone(),
        };
        let fractions = match self.name {
            DISCRETE => DataType::Float64,
            _ => list_of(DataType::Float64),
        };
        Ok(vec![values, fractions]
            .into_iter()
            .take(types.len())
            .collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(DataType::List(item)) => Ok(match self.name {
                MODE | DISCRETE => item.data_type().clone(),
                DISCRETE_ALL => list_of(item.data_type().clone()),
                _ => list_of(DataType::Float64),
            }),
            _ => Err(Error::internal("an ordered-set aggregate without a list").into()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(lists) = arrays.first().and_then(|array| array.as_list_opt::<i32>()) else {
            return Err(Error::internal("an ordered-set aggregate without a list").into());
        };
        Ok(ColumnarValue::Array(match (self.name, arrays.get(1)) {
            (MODE, _) => mode(lists)?,
            (DISCRETE, Some(fractions)) => discrete(lists, fractions)?,
            (DISCRETE_ALL, Some(fractions)) => discrete_all(lists, fractions.as_list::<i32>())?,
            (_, Some(fractions)) => continuous_all(lists, fractions.as_list::<i32>())?,
            _ => return Err(Error::internal("a percentile without a fraction").into()),
        }))
    }
}

fn range(lists: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = lists.value_offsets();
    let bound = |at: usize| usize::try_from(offsets[at]).unwrap_or(0);
    if lists.is_null(row) {
        0..0
    } else {
        bound(row)..bound(row + 1)
    }
}

fn mode(lists: &ListArray) -> Result<ArrayRef> {
    let values = lists.values();
    let compare = make_comparator(values, values, SortOptions::default())?;
    let mut indices = UInt64Builder::new();
    for row in 0..lists.len() {
        let (mut best, mut most) = (None, 0);
        let (mut start, mut count) = (0, 0);
        for at in range(lists, row) {
            if count > 0 && compare(start, at).is_eq() {
                count += 1;
            } else {
                (start, count) = (at, 1);
            }
            if count > most {
                (best, most) = (Some(start as u64), count);
            }
        }
        indices.append_option(best);
    }
    Ok(take(values, &indices.finish(), None)?)
}

fn check(fraction: f64) -> Result<f64> {
    match (0.0..=1.0).contains(&fraction) {
        true => Ok(fraction),
        false => Err(Error::numeric_value_out_of_range(format!(
            "percentile value {fraction} is not between 0 and 1"
        ))
        .into()),
    }
}

/// The place of the first value whose share of the rows reaches the fraction.
fn place(rows: &std::ops::Range<usize>, fraction: f64) -> Result<Option<u64>> {
    let fraction = check(fraction)?;
    let number = (fraction * rows.len() as f64).ceil() as usize;
    Ok((!rows.is_empty()).then(|| (rows.start + number.saturating_sub(1)) as u64))
}

fn discrete(lists: &ListArray, fractions: &ArrayRef) -> Result<ArrayRef> {
    let fractions = fractions.as_primitive::<Float64Type>();
    let mut indices = UInt64Builder::new();
    for row in 0..lists.len() {
        let at = match fractions.is_valid(row) {
            true => place(&range(lists, row), fractions.value(row))?,
            false => None,
        };
        indices.append_option(at);
    }
    Ok(take(lists.values(), &indices.finish(), None)?)
}

fn discrete_all(lists: &ListArray, fractions: &ListArray) -> Result<ArrayRef> {
    let mut indices = UInt64Builder::new();
    let (mut lengths, mut valid) = (Vec::new(), Vec::new());
    for row in 0..lists.len() {
        let rows = range(lists, row);
        let wanted = fractions.value(row);
        let wanted = wanted.as_primitive::<Float64Type>();
        let known = !rows.is_empty() && fractions.is_valid(row);
        if known {
            for fraction in wanted {
                indices.append_option(match fraction {
                    Some(fraction) => place(&rows, fraction)?,
                    None => None,
                });
            }
        }
        lengths.push(if known { wanted.len() } else { 0 });
        valid.push(known);
    }
    let values = take(lists.values(), &indices.finish(), None)?;
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = Some(NullBuffer::from(valid));
    Ok(Arc::new(ListArray::try_new(item, offsets, values, nulls)?))
}

fn continuous_all(lists: &ListArray, fractions: &ListArray) -> Result<ArrayRef> {
    let values = lists.values().as_primitive::<Float64Type>();
    let mut out = ListBuilder::new(Float64Builder::new());
    for row in 0..lists.len() {
        let rows = range(lists, row);
        if rows.is_empty() || fractions.is_null(row) {
            out.append_null();
            continue;
        }
        for fraction in fractions.value(row).as_primitive::<Float64Type>() {
            let Some(fraction) = fraction else {
                out.values().append_null();
                continue;
            };
            let at = check(fraction)? * (rows.len() - 1) as f64;
            let (low, high) = (at.floor() as usize, at.ceil() as usize);
            let (low_value, high_value) = (
                values.value(rows.start + low),
                values.value(rows.start + high),
            );
            out.values()
                .append_value(low_value + (at - at.floor()) * (high_value - low_value));
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}
