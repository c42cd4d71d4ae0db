//! A score from 1 to k by rank: the larger the value, the larger the score.
//!
//! `1 + floor(k · rows with a smaller value / rows)` within the partition. Equal values always get
//! the same score and the order of rows does not matter, unlike NTILE. NULL gives NULL and does not
//! count as a row. Without ties and with rows divisible by k it equals NTILE(k).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int32Array, UInt32Array};
use arrow::compute::{self, SortOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion_common::cast::as_float64_array;
use datafusion_common::{Result, internal_err, plan_err};
use datafusion_doc::Documentation;
use datafusion_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::{PartitionEvaluator, Signature, WindowUDFImpl};
use datafusion_macros::user_doc;

use crate::aggregate::signature;
use crate::arguments::{
    amount, invalid_call, not_finite, plain, primitive, times, varying_argument, whole_number,
    wrong_arity,
};
use crate::window::export_window;

/// Scores go from 1 to this, if not said otherwise.
pub(super) const DEFAULT_BUCKETS: i32 = 5;

/// The window function `quantile_score`.
#[user_doc(
    doc_section(label = "Segments"),
    description = "Score 1 to buckets of a value by its rank within the partition, larger values scoring higher: 1 + floor(buckets x rows with a smaller value / rows), INT. Equal values share a score and row order does not matter, unlike NTILE. NULL gives NULL and is not counted. ORDER BY and frames have no influence. NaN, infinity and buckets below 1 are errors. For recency pass the date of the last order, or the negative number of days. Source: rank-based quantiles as SPSS and pandas rank(method='min') have them.",
    syntax_example = "quantile_score(value) OVER (PARTITION BY …)",
    alternative_syntax = "quantile_score(value, buckets) OVER (PARTITION BY …)",
    sql_example = r"```sql
> SELECT orders, quantile_score(orders) OVER () AS score FROM (VALUES (1), (1), (1), (2), (9)) AS customers(orders) ORDER BY orders;
+--------+-------+
| orders | score |
+--------+-------+
| 1      | 1     |
| 1      | 1     |
| 1      | 1     |
| 2      | 4     |
| 9      | 5     |
+--------+-------+
```",
    argument(name = "value", description = "A number, date or timestamp."),
    argument(
        name = "buckets",
        description = "The highest score, default 5; the same in all rows of a partition."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct QuantileScore {
    signature: Signature,
}

impl Default for QuantileScore {
    fn default() -> Self {
        Self {
            signature: signature(&["value", "buckets"]),
        }
    }
}

export_window!(QuantileScore, quantile_score, quantile_score_udwf);

const NAME: &str = "quantile_score";

impl WindowUDFImpl for QuantileScore {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [value] => Ok(vec![rankable(NAME, "value", value)?]),
            [value, buckets] => Ok(vec![
                rankable(NAME, "value", value)?,
                whole_number(NAME, "buckets", buckets)?,
            ]),
            _ => wrong_arity(
                NAME,
                "quantile_score(value) or quantile_score(value, buckets)",
                types.len(),
            ),
        }
    }

    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(
            arguments.name(),
            DataType::Int32,
            true,
        )))
    }

    fn partition_evaluator(
        &self,
        _arguments: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(QuantileEvaluator))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// A type with an order that means something: a number or a point in time.
pub(super) fn rankable(function: &str, argument: &str, given: &DataType) -> Result<DataType> {
    match plain(given) {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => {
            Ok(times(function, &[(argument, given)])?.remove(0))
        }
        DataType::Duration(unit) => Ok(DataType::Duration(*unit)),
        DataType::Decimal256(precision, scale) => Ok(DataType::Decimal256(*precision, *scale)),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => plan_err!(
            "{function}(): {argument} is text, which has no size; cast it to a number or a date"
        ),
        other => amount(function, argument, other),
    }
}

#[derive(Debug)]
struct QuantileEvaluator;

impl PartitionEvaluator for QuantileEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], _num_rows: usize) -> Result<ArrayRef> {
        let buckets = match values.get(1) {
            Some(buckets) => buckets_of(buckets)?,
            None => DEFAULT_BUCKETS,
        };
        Ok(Arc::new(quantile_scores(
            NAME, "value", &values[0], buckets,
        )?))
    }
}

/// The one value of the buckets argument.
fn buckets_of(buckets: &ArrayRef) -> Result<i32> {
    let buckets = primitive::<Int64Type>(buckets)?;
    let mut rows = buckets.iter();
    let first = rows.next().flatten();
    if rows.any(|other| other != first) {
        return Err(varying_argument(NAME, "buckets"));
    }
    match first.and_then(|first| i32::try_from(first).ok()) {
        Some(buckets @ 1..) => Ok(buckets),
        _ => {
            let given = first.map_or_else(|| "NULL".to_owned(), |first| first.to_string());
            Err(invalid_call(
                NAME,
                format!("buckets {given} must be a whole number from 1; the default is 5"),
            ))
        }
    }
}

/// The scores of one partition.
pub(super) fn quantile_scores(
    function: &str,
    argument: &str,
    values: &ArrayRef,
    buckets: i32,
) -> Result<Int32Array> {
    let values = one_zero(function, argument, values)?;
    let counted = values.len() - values.null_count();
    let mut scores = vec![0_i32; values.len()];
    if counted > 0 {
        let options = SortOptions {
            descending: false,
            nulls_first: false,
        };
        let order = compute::sort_to_indices(&values, Some(options), None)?;
        let order: UInt32Array = order.slice(0, counted);
        let sorted = compute::take(&values, &order, None)?;
        for ties in compute::partition(&[sorted])?.ranges() {
            let score = score_of(ties.start, counted, buckets)?;
            for row in &order.values()[ties] {
                scores[*row as usize] = score;
            }
        }
    }
    Ok(Int32Array::new(scores.into(), values.nulls().cloned()))
}

/// `1 + floor(buckets · smaller / counted)`.
fn score_of(smaller: usize, counted: usize, buckets: i32) -> Result<i32> {
    let smaller = i128::try_from(smaller).unwrap_or(i128::MAX);
    let rank = i128::from(buckets) * smaller / counted.max(1) as i128;
    match i32::try_from(rank + 1) {
        Ok(score) => Ok(score),
        Err(_) => internal_err!("a score of {rank} buckets"),
    }
}

/// Floats with the two zeros being equal, and nothing that is not a number; others as they are.
fn one_zero(function: &str, argument: &str, values: &ArrayRef) -> Result<ArrayRef> {
    if values.data_type() != &DataType::Float64 {
        return Ok(Arc::clone(values));
    }
    let floats = as_float64_array(values)?;
    if let Some(bad) = floats.iter().flatten().find(|value| !value.is_finite()) {
        return Err(not_finite(function, argument, bad));
    }
    let positive: Float64Array = floats.unary::<_, Float64Type>(|value| value + 0.0);
    Ok(Arc::new(positive))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(values: Vec<Option<f64>>, buckets: i32) -> Vec<Option<i32>> {
        let values: ArrayRef = Arc::new(Float64Array::from(values));
        quantile_scores(NAME, "value", &values, buckets)
            .unwrap()
            .iter()
            .collect()
    }

    #[test]
    fn without_ties_it_equals_ntile() {
        let values = (1..=10).map(|value| Some(f64::from(value))).collect();
        let expected = [1, 1, 2, 2, 3, 3, 4, 4, 5, 5].map(Some);
        assert_eq!(scores(values, 5), expected);
    }

    #[test]
    fn equal_customers_share_a_score_whatever_their_row() {
        let one = Some(1.0);
        assert_eq!(
            scores(vec![one, Some(2.0), one], 5),
            [Some(1), Some(4), Some(1)]
        );
        assert_eq!(
            scores(vec![Some(2.0), one, one], 5),
            [Some(4), Some(1), Some(1)]
        );
        assert_eq!(scores(vec![Some(0.0), Some(-0.0)], 2), [Some(1), Some(1)]);
    }

    #[test]
    fn null_has_no_score_and_is_not_counted() {
        assert_eq!(
            scores(vec![None, Some(1.0), Some(2.0)], 2),
            [None, Some(1), Some(2)]
        );
        assert_eq!(scores(vec![None], 5), [None]);
        assert_eq!(scores(vec![], 5), []);
    }

    #[test]
    fn a_single_customer_scores_one() {
        assert_eq!(scores(vec![Some(7.0)], 5), [Some(1)]);
    }
}
