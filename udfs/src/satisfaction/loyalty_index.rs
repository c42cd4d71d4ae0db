//! One number out of several: the weighted mean of a customer's scores.
//!
//! `Σ w v / Σ w` over the values that are not NULL, with equal weights where none are given.

use arrow::array::{Array, ArrayRef, Float64Array, ListArray};
use arrow::datatypes::{DataType, Field};
use datafusion_common::cast::as_list_array;
use datafusion_common::{Result, plan_err};
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::arguments::{doubles, finite, invalid_value, number, plain, wrong_arity};
use crate::precise::{FloatSum, squarable};
use crate::record::numbers;
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `loyalty_index`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "A composite index: the weighted mean of several scores of a customer, such as satisfaction, commitment and engagement, in their points. Values that are NULL, or whose weight is NULL, are left out together with their weights; where nothing is left, or all weights are 0, the result is NULL, as it is for a NULL list. Lists of different lengths, a negative weight, NaN and infinity are errors. Source: weighted arithmetic mean; the weights are the user's own.",
    syntax_example = "loyalty_index(values)",
    alternative_syntax = "loyalty_index(values, weights)",
    sql_example = r"```sql
> SELECT round(loyalty_index([80, 60, NULL], [2, 1, 5]), 2) AS weighted, loyalty_index([80, 60, NULL]) AS plain;
+----------+-------+
| weighted | plain |
+----------+-------+
| 73.33    | 70.0  |
+----------+-------+
```",
    argument(name = "values", description = "List of numbers on one scale."),
    argument(
        name = "weights",
        description = "List of as many numbers, 0 or more; default all equal."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LoyaltyIndex;

export_scalar!(LoyaltyIndex, loyalty_index, loyalty_index_udf);

impl ScalarDefinition for LoyaltyIndex {
    const NAME: &'static str = "loyalty_index";
    const PARAMETERS: &'static [&'static str] = &["values", "weights"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 1 | 2) {
            let forms = "loyalty_index(values) or loyalty_index(values, weights)";
            return wrong_arity(Self::NAME, forms, types.len());
        }
        let named = Self::PARAMETERS.iter().zip(types);
        named.map(|(name, given)| list(name, given)).collect()
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let scores = as_list_array(&arguments[0])?;
        let weights = arguments
            .get(1)
            .map(|list| as_list_array(list))
            .transpose()?;
        let items = (
            doubles(scores.values())?,
            weights
                .map(|weights| doubles(weights.values()))
                .transpose()?,
        );
        let index = |row: usize| {
            if scores.is_null(row) || weights.is_some_and(|weights| weights.is_null(row)) {
                return Ok(None);
            }
            let start = scores.value_offsets()[row] as usize;
            let length = scores.value_length(row) as usize;
            let weights = weights.zip(items.1).map(|(list, items)| (list, items, row));
            weighted_mean(items.0, start, length, weights)
        };
        let results = (0..scores.len()).map(index).collect::<Result<Vec<_>>>()?;
        Ok(numbers(results.into_iter()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn list(name: &str, given: &DataType) -> Result<DataType> {
    let item = match plain(given) {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => number(LoyaltyIndex::NAME, name, item.data_type())?,
        DataType::Null => DataType::Float64,
        given => {
            return plan_err!(
                "loyalty_index(): {name} must be a list of numbers, not {given}; write for example \
                 ARRAY[80, 60]"
            );
        }
    };
    Ok(DataType::List(Field::new_list_field(item, true).into()))
}

fn weighted_mean(
    scores: &Float64Array,
    start: usize,
    length: usize,
    weights: Option<(&ListArray, &Float64Array, usize)>,
) -> Result<Option<f64>> {
    if let Some((list, _, row)) = weights {
        let given = list.value_length(row) as usize;
        if given != length {
            return Err(invalid_value(
                LoyaltyIndex::NAME,
                format!("values has {length} items and weights {given}; give one weight per value"),
            ));
        }
    }
    let (mut sum, mut total) = (FloatSum::default(), FloatSum::default());
    for item in 0..length {
        let weight = match weights {
            None => 1.0,
            Some((list, items, row)) => {
                let place = list.value_offsets()[row] as usize + item;
                if items.is_null(place) {
                    continue;
                }
                not_negative(items.value(place))?
            }
        };
        if scores.is_valid(start + item) {
            let score = squarable(LoyaltyIndex::NAME, "values", scores.value(start + item))?;
            sum.add_product(score, weight);
            total.add(weight);
        }
    }
    let total = total.total();
    Ok((total > 0.0).then(|| sum.total() / total))
}

fn not_negative(weight: f64) -> Result<f64> {
    let weight = squarable(LoyaltyIndex::NAME, "weights", weight)?;
    if finite(LoyaltyIndex::NAME, "weights", weight)? >= 0.0 {
        return Ok(weight);
    }
    Err(invalid_value(
        LoyaltyIndex::NAME,
        format!("weight {weight} is negative; use 0 to leave a score out"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_a_number_from_zero() {
        assert_eq!(not_negative(0.0).unwrap(), 0.0);
        assert!(not_negative(-1.0).is_err());
        assert!(not_negative(f64::NAN).is_err());
    }
}
