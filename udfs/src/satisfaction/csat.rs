//! Customer Satisfaction Score: the share of satisfied answers, in percent.
//!
//! `100 · satisfied / answers`, 0 to 100. On the scale 1 to 5, 4 and 5 are satisfied ("top two
//! boxes"). NULL answers are skipped.

use arrow::array::{ArrayRef, BooleanArray, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::cast::as_boolean_array;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::answers::{Answers, answer};
use crate::arguments::{finite, invalid_value, number, plain, wrong_arity};
use crate::measure::{
    Measure, Names, Sign, Tallied, Tally, Uniform, first_arguments, only_value, optional,
};
use crate::record::numbers;

/// The aggregate `csat`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "Customer Satisfaction Score, 0 to 100: the percentage of satisfied answers. Answers are 1 to 5, of which 4 and 5 are satisfied; for other scales give the lowest satisfied answer, or a condition. NULL answers are skipped; without any answer the result is NULL. A score outside 1 to 5 (without satisfied_min), NaN and infinity are errors. Source: top-2-box practice, as opposed to a mean.",
    syntax_example = "csat(score)",
    alternative_syntax = "csat(score, satisfied_min)",
    alternative_syntax = "csat(satisfied)",
    sql_example = r"```sql
> SELECT csat(score) AS csat, csat(score, satisfied_min => 5) AS top_box, csat(score > 2) AS not_bad
  FROM (VALUES (5), (4), (3), (2), (1), (NULL)) AS answers(score);
+------+---------+---------+
| csat | top_box | not_bad |
+------+---------+---------+
| 40.0 | 20.0    | 60.0    |
+------+---------+---------+
```",
    argument(
        name = "score",
        description = "The answer of one customer, any number."
    ),
    argument(
        name = "satisfied_min",
        description = "The lowest satisfied answer; the same in all rows of a group."
    ),
    argument(
        name = "satisfied",
        description = "Condition of a satisfied customer, in place of score."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Csat;

export_aggregate!(Csat, csat, csat_udaf);

/// Bounds of the answers, where no threshold is given.
const SCALE: std::ops::RangeInclusive<f64> = 1.0..=5.0;
/// The lowest satisfied answer on that scale.
const SATISFIED_MIN: f64 = 4.0;

impl Definition for Csat {
    const NAME: &'static str = "csat";
    const PARAMETERS: &'static [&'static str] = &["score", "satisfied_min"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [satisfied] if plain(satisfied) == &DataType::Boolean => Ok(vec![DataType::Boolean]),
            [_] | [_, _] => Self::PARAMETERS
                .iter()
                .zip(types)
                .enumerate()
                .map(|(place, (name, given))| match place {
                    0 => answer(Self::NAME, name, given),
                    _ => number(Self::NAME, name, given),
                })
                .collect(),
            _ => wrong_arity(
                Self::NAME,
                "csat(score), csat(score, satisfied_min) or csat(satisfied)",
                types.len(),
            ),
        }
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(MetricForm(Tallied(Satisfied {
            arguments: types.len(),
        }))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Answers, and the satisfied ones.
#[derive(Debug, Clone)]
struct Satisfied {
    arguments: usize,
}

/// The columns of a batch.
#[derive(Debug)]
enum Columns<'a> {
    Conditions(&'a BooleanArray),
    Scores(Answers<'a>, Option<&'a Float64Array>),
}

impl Measure<2, 0, 1> for Satisfied {
    type Columns<'a> = Columns<'a>;

    const NAMES: Names<2, 0, 1> = Names {
        counts: ["answers", "satisfied"],
        sums: [],
        constants: ["satisfied_min"],
    };

    fn function(&self) -> &'static str {
        Csat::NAME
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.arguments)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Columns<'a>> {
        Ok(match arguments[0].data_type() {
            DataType::Boolean => Columns::Conditions(as_boolean_array(&arguments[0])?),
            _ => Columns::Scores(Answers::new(&arguments[0])?, optional(arguments, 1)?),
        })
    }

    #[inline]
    fn constants(&self, columns: &Columns<'_>, row: usize) -> Result<[f64; 1]> {
        Ok([match columns {
            Columns::Scores(_, Some(bounds)) => bounds.value(row),
            _ => SATISFIED_MIN,
        }])
    }

    fn check(&self, [satisfied_min]: [f64; 1]) -> Result<()> {
        finite(Csat::NAME, "satisfied_min", satisfied_min).map(drop)
    }

    #[inline]
    fn count(
        &self,
        tally: &mut Tally<2, 0, 1>,
        columns: &Columns<'_>,
        row: usize,
        [satisfied_min]: [f64; 1],
        sign: Sign,
    ) -> Result<()> {
        let satisfied = match columns {
            Columns::Conditions(conditions) => conditions.value(row),
            Columns::Scores(scores, bounds) => {
                let score = finite(Csat::NAME, "score", scores.value(row))?;
                if bounds.is_none() && !SCALE.contains(&score) {
                    return Err(invalid_value(
                        Csat::NAME,
                        format!(
                            "score {score} is outside 1..5; filter it, fix the scale, or call \
                             csat(score, satisfied_min)"
                        ),
                    ));
                }
                score >= satisfied_min
            }
        };
        tally.counts[0] += sign.one();
        tally.counts[1] += sign.one() * i64::from(satisfied);
        Ok(())
    }

    fn count_all(&self, tally: &mut Tally<2, 0, 1>, columns: &Columns<'_>) -> Option<[f64; 1]> {
        let Uniform { constants, .. } = self.uniform(columns)?;
        let [satisfied_min] = constants;
        let (answers, satisfied) = match columns {
            Columns::Conditions(conditions) => {
                (conditions.len(), conditions.values().count_set_bits())
            }
            Columns::Scores(scores, _) => (scores.len(), scores.count_from(satisfied_min)),
        };
        tally.counts = [answers as i64, satisfied as i64];
        Some(constants)
    }

    const UNIFORM: bool = true;

    fn uniform(&self, columns: &Columns<'_>) -> Option<Uniform<1>> {
        let satisfied_min = match columns {
            Columns::Conditions(_) => SATISFIED_MIN,
            Columns::Scores(scores, bounds) => {
                let (low, high) = match bounds {
                    None => (*SCALE.start(), *SCALE.end()),
                    Some(_) => (f64::MIN, f64::MAX),
                };
                let satisfied_min = only_value(*bounds, SATISFIED_MIN)?;
                scores.all_within(low, high).then_some(satisfied_min)?
            }
        };
        Some(Uniform {
            constants: [satisfied_min],
            whole: true,
        })
    }

    fn for_each_row(
        &self,
        columns: &Columns<'_>,
        [satisfied_min]: [f64; 1],
        mut take: impl FnMut([i64; 2], [f64; 0]),
    ) {
        match columns {
            Columns::Conditions(conditions) => {
                let conditions = conditions.values().iter();
                conditions.for_each(|satisfied| take([1, i64::from(satisfied)], []));
            }
            Columns::Scores(scores, _) => {
                scores.for_each(|score| take([1, i64::from(score >= satisfied_min)], []));
            }
        }
    }

    fn finish(&self, tallies: &[Tally<2, 0, 1>]) -> Result<ArrayRef> {
        Ok(numbers(tallies.iter().map(|tally| {
            let [answers, satisfied] = tally.counts;
            (answers > 0).then(|| 100.0 * satisfied as f64 / answers as f64)
        })))
    }
}
