//! The kind of one customer in the Net Promoter Score: promoter, passive or detractor.
//!
//! Same thresholds and refusals as [`crate::satisfaction::nps`]. NULL if any argument is NULL.

use arrow::array::{Array, ArrayRef, Float64Array, Int8Array, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::for_each_row;
use crate::arguments::{doubles, finite};
use crate::satisfaction::nps::{Thresholds, check_scale, coerce_score};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `nps_category`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "The kind of customer that a Net Promoter Score answer makes: 'promoter' (9 and 10), 'passive' or 'detractor' (0 to 6). Other scales need both thresholds. NULL if an argument is NULL; a score outside 0 to 10 (without thresholds), NaN or infinity is an error. Source: Reichheld, Harvard Business Review 2003.",
    syntax_example = "nps_category(score)",
    alternative_syntax = "nps_category(score, detractor_max, promoter_min)",
    sql_example = r"```sql
> SELECT score, nps_category(score) AS kind FROM (VALUES (9.0), (6.5), (6.0)) AS answers(score);
+-------+-----------+
| score | kind      |
+-------+-----------+
| 9.0   | promoter  |
| 6.5   | passive   |
| 6.0   | detractor |
+-------+-----------+
```",
    argument(
        name = "score",
        description = "The answer of one customer, any number."
    ),
    argument(
        name = "detractor_max",
        description = "The highest score of a detractor."
    ),
    argument(name = "promoter_min", description = "The lowest score of a promoter.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct NpsCategory;

export_scalar!(NpsCategory, nps_category, nps_category_udf);

const LABELS: [&str; 3] = ["detractor", "passive", "promoter"];

impl ScalarDefinition for NpsCategory {
    const NAME: &'static str = "nps_category";
    const PARAMETERS: &'static [&'static str] = &["score", "detractor_max", "promoter_min"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_score(Self::NAME, types)
    }

    fn return_type(&self) -> DataType {
        DataType::Utf8View
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let scores = doubles(&arguments[0])?;
        let nulls = NullBuffer::union_many(arguments.iter().map(Array::nulls));
        let mut kinds = vec![0_i8; scores.len()];
        let bounds = match &arguments[1..] {
            [lows, highs] => Some((doubles(lows)?, doubles(highs)?)),
            _ => None,
        };
        for_each_row(nulls.as_ref(), scores.len(), |row| {
            kinds[row] = kind(scores.value(row), thresholds_at(bounds, row)?)?;
            Ok(())
        })?;
        let labels = StringViewArray::from_iter_values(LABELS);
        Ok(compute::take(
            &labels,
            &Int8Array::new(kinds.into(), nulls),
            None,
        )?)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn thresholds_at(
    bounds: Option<(&Float64Array, &Float64Array)>,
    row: usize,
) -> Result<Option<Thresholds>> {
    let Some((lows, highs)) = bounds else {
        return Ok(None);
    };
    let thresholds = Thresholds {
        detractor_max: lows.value(row),
        promoter_min: highs.value(row),
    };
    thresholds.check(NpsCategory::NAME)?;
    Ok(Some(thresholds))
}

const REMEDY: &str = "call nps_category(score, detractor_max, promoter_min)";

/// Index into [`LABELS`].
fn kind(score: f64, thresholds: Option<Thresholds>) -> Result<i8> {
    let thresholds = match thresholds {
        Some(thresholds) => {
            finite(NpsCategory::NAME, "score", score)?;
            thresholds
        }
        None => {
            check_scale(NpsCategory::NAME, score, REMEDY)?;
            Thresholds::STANDARD
        }
    };
    Ok(1 + i8::from(thresholds.is_promoter(score)) - i8::from(thresholds.is_detractor(score)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractional_averages_between_the_thresholds_are_passive() {
        let label = |score| LABELS[usize::try_from(kind(score, None).unwrap()).unwrap()];
        assert_eq!(
            [6.5, 8.5, 9.0, 6.0].map(label),
            ["passive", "passive", "promoter", "detractor"]
        );
    }

    #[test]
    fn eleven_is_not_on_the_scale() {
        assert!(kind(11.0, None).is_err());
        assert!(kind(f64::NAN, None).is_err());
    }
}
