//! One number out of several: the weighted mean of a customer's scores.
//!
//! `Σ w v / Σ w` over the values that are not NULL, with equal weights where none are given.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, ListArray};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Field};
use datafusion_common::cast::as_list_array;
use datafusion_common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion_doc::Documentation;
use datafusion_expr::{Expr, ScalarUDF, cast, lit};
use datafusion_macros::user_doc;

use crate::aggregate::rows_of;
use crate::arguments::{doubles, finite, invalid_value, number, plain, wrong_arity};
use crate::precise::{
    FloatSum, FloatSums, MAX_SQUARABLE, WHOLE_FACTOR_MAX, Whole, all_within, squarable,
};
use crate::record::numbers;
use crate::scalar::{Scalar, ScalarDefinition, export_scalar};

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
        let items = doubles(scores.values())?;
        let weighing = weights
            .map(|weights| Ok::<_, DataFusionError>((weights, doubles(weights.values())?)))
            .transpose()?;
        let index = |row: usize| {
            if scores.is_null(row) || weights.is_some_and(|weights| weights.is_null(row)) {
                return Ok(None);
            }
            let values = (places(scores, row)).map(|place| value_at(items, place));
            match weighing {
                None => weighted_mean(values.map(|score| (score, Some(1.0)))),
                Some((list, items)) => {
                    check_lengths(scores.value_length(row), list.value_length(row))?;
                    let weights = places(list, row).map(|place| value_at(items, place));
                    weighted_mean(values.zip(weights))
                }
            }
        };
        let results = (0..scores.len()).map(index).collect::<Result<Vec<_>>>()?;
        Ok(numbers(results.into_iter()))
    }

    /// Lists that a query writes down item by item need not be made.
    fn simplified(&self, arguments: &[Expr]) -> Option<Expr> {
        let mut items = written_items(arguments.first()?)?;
        let scores = items.len();
        if let Some(weights) = arguments.get(1) {
            items.extend(written_items(weights)?);
        }
        let per_score = arguments.len();
        if scores == 0 || items.len() != scores * per_score {
            return None;
        }
        let function = Scalar::new(IndexOfItems {
            weighted: per_score == 2,
        });
        Some(ScalarUDF::from(function).call(items))
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

/// The items of a list that is written down, as DOUBLE.
fn written_items(list: &Expr) -> Option<Vec<Expr>> {
    match list {
        Expr::Cast(cast) => written_items(&cast.expr),
        Expr::ScalarFunction(call) if call.func.name() == "make_array" => {
            let items = call.args.iter().cloned();
            Some(items.map(|item| cast(item, DataType::Float64)).collect())
        }
        Expr::Literal(ScalarValue::List(list), _) if list.is_valid(0) => {
            let items = compute::cast(&list.value(0), &DataType::Float64).ok()?;
            let item = |row| ScalarValue::try_from_array(&items, row).ok().map(lit);
            (0..items.len()).map(item).collect()
        }
        _ => None,
    }
}

/// The same function of the items of its lists: all scores, then all weights if there are any.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct IndexOfItems {
    weighted: bool,
}

impl ScalarDefinition for IndexOfItems {
    const NAME: &'static str = LoyaltyIndex::NAME;
    const PARAMETERS: &'static [&'static str] = &[];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Float64; types.len()])
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let items = arguments.iter().map(doubles).collect::<Result<Vec<_>>>()?;
        let (scores, weights) = match self.weighted {
            true => items.split_at(items.len() / 2),
            false => (items.as_slice(), [].as_slice()),
        };
        let rows = 0..rows_of(arguments);
        if let Some(results) = weighted_means(rows.len(), scores, weights) {
            return Ok(results);
        }
        // It is for the rows in their order to say what is wrong.
        let index = |row: usize| {
            let scores = scores.iter().map(|column| value_at(column, row));
            match self.weighted {
                false => weighted_mean(scores.map(|score| (score, Some(1.0)))),
                true => {
                    let weights = weights.iter().map(|column| value_at(column, row));
                    weighted_mean(scores.zip(weights))
                }
            }
        };
        let results = rows.map(index).collect::<Result<Vec<_>>>()?;
        Ok(numbers(results.into_iter()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        None
    }
}

/// Where the items of a row's list stand.
fn places(list: &ListArray, row: usize) -> Range<usize> {
    let bounds = list.value_offsets();
    bounds[row] as usize..bounds[row + 1] as usize
}

#[inline]
fn value_at(column: &Float64Array, row: usize) -> Option<f64> {
    column.is_valid(row).then(|| column.value(row))
}

fn check_lengths(scores: i32, weights: i32) -> Result<()> {
    if scores == weights {
        return Ok(());
    }
    Err(invalid_value(
        LoyaltyIndex::NAME,
        format!("values has {scores} items and weights {weights}; give one weight per value"),
    ))
}

/// The mean of scores with their weights.
#[inline]
fn weighted_mean(items: impl Iterator<Item = (Option<f64>, Option<f64>)>) -> Result<Option<f64>> {
    let (mut sum, mut total) = (FloatSum::default(), FloatSum::default());
    for (score, weight) in items {
        let Some(weight) = weight else {
            continue;
        };
        let weight = not_negative(weight)?;
        if let Some(score) = score {
            let score = squarable(LoyaltyIndex::NAME, "values", score)?;
            sum.add_product(score, weight);
            total.add(weight);
        }
    }
    let total = total.total();
    Ok((total > 0.0).then(|| sum.total() / total))
}

/// The same for all rows, column by column; `None` if a score or a weight cannot be meant.
fn weighted_means(
    rows: usize,
    scores: &[&Float64Array],
    weights: &[&Float64Array],
) -> Option<ArrayRef> {
    let ones = Float64Array::from(vec![1.0; if weights.is_empty() { rows } else { 0 }]);
    let mut items = Vec::with_capacity(scores.len());
    for (place, scores) in scores.iter().enumerate() {
        items.push(Item::new(scores, weights.get(place).unwrap_or(&&ones))?);
    }
    let exact = items.len() <= EXACT_ITEMS_MAX && items.iter().all(|item| item.exact);
    let (mut means, totals) = if exact {
        let (mut sums, mut totals) = (vec![0.0; rows], vec![0.0; rows]);
        for item in &items {
            let sums = sums.iter_mut().zip(&mut totals);
            for ((sum, total), (score, weight)) in sums.zip(item.scores.iter().zip(&*item.weights))
            {
                *sum += score * weight;
                *total += weight;
            }
        }
        (sums, totals)
    } else {
        let (mut sums, mut totals) = (FloatSums::new(rows), FloatSums::new(rows));
        for item in &items {
            sums.add_products(&item.scores, &item.weights);
            totals.add(&item.weights);
        }
        (sums.totals(), totals.totals())
    };
    for (mean, total) in means.iter_mut().zip(&totals) {
        *mean /= total;
    }
    let weighs = |total: &f64| *total > 0.0;
    let known = (!totals.iter().all(weighs)).then(|| totals.iter().map(weighs).collect());
    Some(Arc::new(Float64Array::new(means.into(), known)))
}

/// The scores and weights of one place of the lists: 0 and 0 where one is not known.
struct Item<'a> {
    scores: Cow<'a, [f64]>,
    weights: Cow<'a, [f64]>,
    /// Whether sums of [`EXACT_ITEMS_MAX`] products lose nothing.
    exact: bool,
}

/// Scores and weights up to [`WHOLE_FACTOR_MAX`] that are multiples of this have 25 bits: products
/// have 50 then, and the sum of so many a double holds.
const EXACT_UNIT: f64 = 1.0 / 1_024.0;
const EXACT_ITEMS_MAX: usize = 8;

impl<'a> Item<'a> {
    /// `None` if a value cannot be meant.
    fn new(scores: &'a Float64Array, weights: &'a Float64Array) -> Option<Self> {
        let known = NullBuffer::union(scores.nulls(), weights.nulls());
        let given = known_or_zero(weights, weights.nulls());
        let scores_left = known_or_zero(scores, known.as_ref());
        let exact = |values: &[f64], least: f64| {
            let few_digits = Whole::of_multiples(values, EXACT_UNIT);
            few_digits.is_some_and(|values| values.is_within(least, WHOLE_FACTOR_MAX))
        };
        let exact = exact(&given, 0.0) && exact(&scores_left, -WHOLE_FACTOR_MAX);
        let valid = exact
            || all_within(&given, 0.0, MAX_SQUARABLE)
                && all_within(&scores_left, -MAX_SQUARABLE, MAX_SQUARABLE);
        let weights = match scores.null_count() {
            0 => given,
            _ => known_or_zero(weights, known.as_ref()),
        };
        valid.then_some(Self {
            scores: scores_left,
            weights,
            exact,
        })
    }
}

/// The values of a column, 0 where they are not known.
fn known_or_zero<'a>(column: &'a Float64Array, known: Option<&NullBuffer>) -> Cow<'a, [f64]> {
    let Some(known) = known.filter(|known| known.null_count() > 0) else {
        return Cow::Borrowed(column.values());
    };
    let values = column.values().iter().zip(known.iter());
    let value = |(value, known): (&f64, bool)| if known { *value } else { 0.0 };
    Cow::Owned(values.map(value).collect())
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
    fn columns_give_what_rows_give() {
        let column = |step: i64, unit: f64, missing: i64| -> Float64Array {
            let value = |row: i64| (row * step % 101) as f64 * unit;
            let known = |row: i64| (row % missing != 0).then(|| value(row));
            (0..300).map(known).collect()
        };
        for unit in [1.0, 0.5, 0.1] {
            let scores = [
                column(7, unit, 400),
                column(31, unit, 5),
                column(-17, 1.0, 2),
            ];
            let weights = [
                column(3, 1.0, 7),
                column(11, unit, 400),
                column(5, 1.0, 300),
            ];
            let (scores, weights) = (scores.each_ref(), weights.each_ref());
            let expected = (0..300).map(|row| {
                let at = |column: &&Float64Array| value_at(column, row);
                let items = scores.iter().map(at).zip(weights.iter().map(at));
                weighted_mean(items).unwrap()
            });
            let expected: Float64Array = expected.collect();
            let means = weighted_means(300, &scores, &weights).unwrap();
            assert_eq!(doubles(&means).unwrap(), &expected, "{unit}");
            let exact = Item::new(scores[0], weights[0]).unwrap().exact;
            assert_eq!(exact, unit != 0.1);
        }
        let bad = Float64Array::from(vec![1.0, -1.0]);
        let one = Float64Array::from(vec![1.0, 1.0]);
        assert!(weighted_means(2, &[&one], &[&bad]).is_none());
        assert!(weighted_means(2, &[&bad], &[]).is_some());
    }

    #[test]
    fn a_weight_is_a_number_from_zero() {
        assert_eq!(not_negative(0.0).unwrap(), 0.0);
        assert!(not_negative(-1.0).is_err());
        assert!(not_negative(f64::NAN).is_err());
    }
}
