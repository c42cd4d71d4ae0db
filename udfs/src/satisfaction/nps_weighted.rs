//! Net Promoter Score of weighted answers: `100 · (Σw of promoters − Σw of detractors) / Σw`.
//!
//! Same thresholds and refusals as [`crate::satisfaction::nps`]. A NULL weight leaves the row out.

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::arguments::{doubles, finite, invalid_call, invalid_value, number, wrong_arity};
use crate::measure::{Measure, Names, Sign, Tallied, Tally, first_arguments};
use crate::record::numbers;
use crate::satisfaction::nps::{Thresholds, check_scale};

/// The aggregate `nps_weighted`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "Net Promoter Score of weighted answers, -100 to 100: 100 x (weight of promoters - weight of detractors) / weight of all. Answers are 0 to 10; other scales need both thresholds. Rows where the score or the weight is NULL are skipped; without any weight the result is NULL. A negative weight, a score outside 0 to 10 (without thresholds), NaN and infinity are errors. Source: Reichheld, Harvard Business Review 2003, with survey weights.",
    syntax_example = "nps_weighted(score, weight)",
    alternative_syntax = "nps_weighted(score, weight, detractor_max, promoter_min)",
    sql_example = r"```sql
> SELECT nps_weighted(score, weight) AS nps FROM (VALUES (10, 2.0), (8, 1.0), (3, 1.0)) AS answers(score, weight);
+------+
| nps  |
+------+
| 25.0 |
+------+
```",
    argument(
        name = "score",
        description = "The answer of one customer, any number."
    ),
    argument(
        name = "weight",
        description = "How much the answer counts, 0 or more."
    ),
    argument(
        name = "detractor_max",
        description = "The highest score of a detractor; the same in all rows of a group."
    ),
    argument(
        name = "promoter_min",
        description = "The lowest score of a promoter; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct NpsWeighted;

export_aggregate!(NpsWeighted, nps_weighted, nps_weighted_udaf);

const FORMS: &str = "nps_weighted(score, weight) or \
                     nps_weighted(score, weight, detractor_max, promoter_min)";

impl Definition for NpsWeighted {
    const NAME: &'static str = "nps_weighted";
    const PARAMETERS: &'static [&'static str] =
        &["score", "weight", "detractor_max", "promoter_min"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 2 | 4) {
            return wrong_arity(Self::NAME, FORMS, types.len());
        }
        let named = Self::PARAMETERS.iter().zip(types);
        named
            .map(|(name, given)| number(Self::NAME, name, given))
            .collect()
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(MetricForm(Tallied(Weights {
            arguments: types.len(),
        }))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Rows, and the sums of weights: all, of promoters, of detractors.
#[derive(Debug, Clone)]
struct Weights {
    arguments: usize,
}

/// The columns of a batch.
#[derive(Debug)]
struct WeightColumns<'a> {
    scores: &'a Float64Array,
    weights: &'a Float64Array,
    thresholds: Option<[&'a Float64Array; 2]>,
}

impl Measure<1, 3, 2> for Weights {
    type Columns<'a> = WeightColumns<'a>;

    const NAMES: Names<1, 3, 2> = Names {
        counts: ["rows"],
        sums: ["all", "promoters", "detractors"],
        constants: ["detractor_max", "promoter_min"],
    };

    fn function(&self) -> &'static str {
        NpsWeighted::NAME
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.arguments)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<WeightColumns<'a>> {
        let thresholds = match &arguments[2..] {
            [low, high] => Some([doubles(low)?, doubles(high)?]),
            _ => None,
        };
        Ok(WeightColumns {
            scores: doubles(&arguments[0])?,
            weights: doubles(&arguments[1])?,
            thresholds,
        })
    }

    #[inline]
    fn constants(&self, columns: &WeightColumns<'_>, row: usize) -> Result<[f64; 2]> {
        let standard = [
            Thresholds::STANDARD.detractor_max,
            Thresholds::STANDARD.promoter_min,
        ];
        Ok(columns
            .thresholds
            .map_or(standard, |bounds| bounds.map(|bound| bound.value(row))))
    }

    fn check(&self, constants: [f64; 2]) -> Result<()> {
        thresholds(constants).check(NpsWeighted::NAME)
    }

    #[inline]
    fn count(
        &self,
        tally: &mut Tally<1, 3, 2>,
        columns: &WeightColumns<'_>,
        row: usize,
        constants: [f64; 2],
        sign: Sign,
    ) -> Result<()> {
        let (score, weight) = (columns.scores.value(row), columns.weights.value(row));
        match columns.thresholds {
            Some(_) => finite(NpsWeighted::NAME, "score", score).map(drop)?,
            None => check_scale(NpsWeighted::NAME, score, REMEDY)?,
        }
        let weight = sign.of(not_negative(weight)?);
        let thresholds = thresholds(constants);
        tally.counts[0] += sign.one();
        tally.sums[0].add(weight);
        if thresholds.is_promoter(score) {
            tally.sums[1].add(weight);
        }
        if thresholds.is_detractor(score) {
            tally.sums[2].add(weight);
        }
        Ok(())
    }

    fn finish(&self, tallies: &[Tally<1, 3, 2>]) -> Result<ArrayRef> {
        let score = |tally: &Tally<1, 3, 2>| {
            let [all, promoters, detractors] = tally.sums;
            let net = promoters.wide().minus(detractors.wide()).to_f64();
            let all = all.total();
            if !all.is_finite() {
                return Err(invalid_call(
                    NpsWeighted::NAME,
                    "the sum of weight is too large for DOUBLE; use smaller weights",
                ));
            }
            Ok((all > 0.0).then(|| 100.0 * (net / all)))
        };
        let scores = tallies.iter().map(score).collect::<Result<Vec<_>>>()?;
        Ok(numbers(scores.into_iter()))
    }
}

const REMEDY: &str = "call nps_weighted(score, weight, detractor_max, promoter_min)";

fn thresholds([detractor_max, promoter_min]: [f64; 2]) -> Thresholds {
    Thresholds {
        detractor_max,
        promoter_min,
    }
}

#[inline]
fn not_negative(weight: f64) -> Result<f64> {
    let weight = finite(NpsWeighted::NAME, "weight", weight)?;
    if weight >= 0.0 {
        return Ok(weight);
    }
    Err(invalid_value(
        NpsWeighted::NAME,
        format!("weight {weight} is negative; filter it or correct it"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_weight_is_refused_and_none_is_not() {
        assert!(not_negative(-0.5).is_err());
        assert!(not_negative(f64::NAN).is_err());
        assert_eq!(not_negative(0.0).unwrap(), 0.0);
    }
}
