//! Customer Effort Score: the mean of agreement with "the company made it easy", 1 to 7.
//!
//! NULL answers are skipped. Source: CES 2.0.

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::answers::{Answers, answer};
use crate::arguments::{finite, invalid_value, number, wrong_arity};
use crate::measure::{
    Measure, Names, Sign, Tallied, Tally, Uniform, first_arguments, only_value, optional,
};
use crate::record::numbers;

/// The aggregate `ces`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "Customer Effort Score: the mean answer to how easy it was, in points of the scale 1 to 7 or 1 to scale_max; more is better. NULL answers are skipped; without any answer the result is NULL. An answer outside the scale, a scale_max of 1 or less, NaN and infinity are errors. Source: CES 2.0, mean of agreement from 1 to 7.",
    syntax_example = "ces(score)",
    alternative_syntax = "ces(score, scale_max)",
    sql_example = r"```sql
> SELECT ces(score) AS ces FROM (VALUES (7), (6), (5), (2), (NULL)) AS answers(score);
+-----+
| ces |
+-----+
| 5.0 |
+-----+
```",
    argument(
        name = "score",
        description = "The answer of one customer, any number from 1."
    ),
    argument(
        name = "scale_max",
        description = "The highest answer, default 7; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ces;

export_aggregate!(Ces, ces, ces_udaf);

/// The lowest answer.
const SCALE_MIN: f64 = 1.0;
/// The highest answer, where none is given.
const SCALE_MAX: f64 = 7.0;

impl Definition for Ces {
    const NAME: &'static str = "ces";
    const PARAMETERS: &'static [&'static str] = &["score", "scale_max"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 1 | 2) {
            return wrong_arity(
                Self::NAME,
                "ces(score) or ces(score, scale_max)",
                types.len(),
            );
        }
        let named = Self::PARAMETERS.iter().zip(types);
        named
            .enumerate()
            .map(|(place, (name, given))| match place {
                0 => answer(Self::NAME, name, given),
                _ => number(Self::NAME, name, given),
            })
            .collect()
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(MetricForm(Tallied(Effort {
            arguments: types.len(),
        }))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Answers and their sum.
#[derive(Debug, Clone)]
struct Effort {
    arguments: usize,
}

impl Measure<1, 1, 1> for Effort {
    type Columns<'a> = (Answers<'a>, Option<&'a Float64Array>);

    const NAMES: Names<1, 1, 1> = Names {
        counts: ["answers"],
        sums: ["scores"],
        constants: ["scale_max"],
    };

    fn function(&self) -> &'static str {
        Ces::NAME
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.arguments)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Self::Columns<'a>> {
        Ok((Answers::new(&arguments[0])?, optional(arguments, 1)?))
    }

    #[inline]
    fn constants(&self, columns: &Self::Columns<'_>, row: usize) -> Result<[f64; 1]> {
        Ok([columns.1.map_or(SCALE_MAX, |bounds| bounds.value(row))])
    }

    fn check(&self, [scale_max]: [f64; 1]) -> Result<()> {
        if finite(Ces::NAME, "scale_max", scale_max)? > SCALE_MIN {
            return Ok(());
        }
        Err(invalid_value(
            Ces::NAME,
            format!("scale_max {scale_max} must be above 1, where the scale begins"),
        ))
    }

    #[inline]
    fn count(
        &self,
        tally: &mut Tally<1, 1, 1>,
        columns: &Self::Columns<'_>,
        row: usize,
        [scale_max]: [f64; 1],
        sign: Sign,
    ) -> Result<()> {
        let score = finite(Ces::NAME, "score", columns.0.value(row))?;
        if !(SCALE_MIN..=scale_max).contains(&score) {
            return Err(invalid_value(
                Ces::NAME,
                format!(
                    "score {score} is outside 1..{scale_max}; filter it, fix the scale, or call \
                     ces(score, scale_max)"
                ),
            ));
        }
        tally.counts[0] += sign.one();
        tally.sums[0].add(sign.of(score));
        Ok(())
    }

    fn count_all(
        &self,
        tally: &mut Tally<1, 1, 1>,
        columns: &Self::Columns<'_>,
    ) -> Option<[f64; 1]> {
        let scale_max = scale_max(columns)?;
        let scores = columns.0;
        tally.counts[0] = scores.len() as i64;
        let valid = scores.add_within(&mut tally.sums[0], SCALE_MIN, scale_max);
        valid.then_some([scale_max])
    }

    const UNIFORM: bool = true;

    fn uniform(&self, columns: &Self::Columns<'_>) -> Option<Uniform<1>> {
        let scale_max = scale_max(columns)?;
        let whole = columns.0.whole_within(SCALE_MIN, scale_max)?;
        let constants = [scale_max];
        Some(Uniform { constants, whole })
    }

    fn for_each_row(
        &self,
        (scores, _): &Self::Columns<'_>,
        _constants: [f64; 1],
        mut take: impl FnMut([i64; 1], [f64; 1]),
    ) {
        scores.for_each(|score| take([1], [score]));
    }

    fn finish(&self, tallies: &[Tally<1, 1, 1>]) -> Result<ArrayRef> {
        Ok(numbers(tallies.iter().map(|tally| {
            let answers = tally.counts[0];
            (answers > 0).then(|| tally.sums[0].total() / answers as f64)
        })))
    }
}

/// The one scale of a batch.
fn scale_max((_, bounds): &(Answers<'_>, Option<&Float64Array>)) -> Option<f64> {
    only_value(*bounds, SCALE_MAX).filter(|scale_max| scale_max.is_finite())
}
