//! Customer Loyalty Index: the mean of three questions, over customers who answered all of them.
//!
//! In points of the questions' scale; with the ends of the scale, 0 to 100 by `(x − min)/(max − min)`.

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, MetricForm, export_aggregate};
use crate::answers::{Answers, answer};
use crate::arguments::{doubles, finite, invalid_call, invalid_value, number, wrong_arity};
use crate::measure::{Measure, Names, Sign, Tallied, Tally, Uniform, first_arguments, only_value};
use crate::precise::{MAX_SQUARABLE, Wide, squarable};
use crate::record::numbers;

/// The aggregate `cli`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "Customer Loyalty Index: the mean of three questions (would recommend, would buy again, would buy other products) over the customers who answered all three. No scale is standard: without its ends the result is in points of the scale; with them it is 0 to 100, and scale_min above scale_max means that low answers are good, as in cli(a, b, c, 6, 1). Rows where an answer is NULL are skipped; without a complete answer the result is NULL. An answer outside the given scale, equal ends, NaN and infinity are errors. Source: totango.com, answers 6, 7 and 8 give 7.",
    syntax_example = "cli(recommend, repurchase, cross_buy)",
    alternative_syntax = "cli(recommend, repurchase, cross_buy, scale_min, scale_max)",
    sql_example = r"```sql
> SELECT cli(a, b, c) AS points, cli(a, b, c, 0, 10) AS percent FROM (VALUES (6, 7, 8), (10, NULL, 10)) AS answers(a, b, c);
+--------+---------+
| points | percent |
+--------+---------+
| 7.0    | 70.0    |
+--------+---------+
```",
    argument(
        name = "recommend",
        description = "Answer to: would you recommend us? Any number."
    ),
    argument(name = "repurchase", description = "Answer to: would you buy again?"),
    argument(
        name = "cross_buy",
        description = "Answer to: would you buy other products of ours?"
    ),
    argument(
        name = "scale_min",
        description = "The answer that counts 0; the same in all rows of a group."
    ),
    argument(
        name = "scale_max",
        description = "The answer that counts 100; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Cli;

export_aggregate!(Cli, cli, cli_udaf);

const FORMS: &str = "cli(recommend, repurchase, cross_buy) or \
                     cli(recommend, repurchase, cross_buy, scale_min, scale_max)";

impl Definition for Cli {
    const NAME: &'static str = "cli";
    const PARAMETERS: &'static [&'static str] = &[
        "recommend",
        "repurchase",
        "cross_buy",
        "scale_min",
        "scale_max",
    ];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 3 | 5) {
            return wrong_arity(Self::NAME, FORMS, types.len());
        }
        let named = Self::PARAMETERS.iter().zip(types);
        named
            .enumerate()
            .map(|(place, (name, given))| match place {
                0..3 => answer(Self::NAME, name, given),
                _ => number(Self::NAME, name, given),
            })
            .collect()
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(MetricForm(Tallied(Loyalty {
            arguments: types.len(),
        }))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Customers, and the sum of all their answers.
#[derive(Debug, Clone)]
struct Loyalty {
    arguments: usize,
}

/// The columns of a batch.
#[derive(Debug)]
struct Columns<'a> {
    answers: [Answers<'a>; 3],
    scale: Option<[&'a Float64Array; 2]>,
}

/// Questions per customer.
const QUESTIONS: f64 = 3.0;
/// Points of the scale where its ends are not given.
const POINTS: [f64; 2] = [0.0, 1.0];

impl Measure<1, 1, 2> for Loyalty {
    type Columns<'a> = Columns<'a>;

    const NAMES: Names<1, 1, 2> = Names {
        counts: ["customers"],
        sums: ["answers"],
        constants: ["scale_min", "scale_max"],
    };

    fn function(&self) -> &'static str {
        Cli::NAME
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.arguments)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Columns<'a>> {
        let scale = match &arguments[3..] {
            [min, max] => Some([doubles(min)?, doubles(max)?]),
            _ => None,
        };
        Ok(Columns {
            answers: [
                Answers::new(&arguments[0])?,
                Answers::new(&arguments[1])?,
                Answers::new(&arguments[2])?,
            ],
            scale,
        })
    }

    #[inline]
    fn constants(&self, columns: &Columns<'_>, row: usize) -> Result<[f64; 2]> {
        Ok(columns
            .scale
            .map_or(POINTS, |ends| ends.map(|end| end.value(row))))
    }

    fn check(&self, [min, max]: [f64; 2]) -> Result<()> {
        check_ends(Cli::NAME, min, max)
    }

    #[inline]
    fn count(
        &self,
        tally: &mut Tally<1, 1, 2>,
        columns: &Columns<'_>,
        row: usize,
        [min, max]: [f64; 2],
        sign: Sign,
    ) -> Result<()> {
        let answers = columns.answers.map(|answers| answers.value(row));
        for (answer, name) in answers.iter().zip(Cli::PARAMETERS) {
            squarable(Cli::NAME, name, *answer)?;
            if columns.scale.is_some() && !(min.min(max)..=min.max(max)).contains(answer) {
                return Err(off_scale(Cli::NAME, name, *answer, min, max));
            }
        }
        tally.counts[0] += sign.one();
        for answer in answers {
            tally.sums[0].add(sign.of(answer));
        }
        Ok(())
    }

    fn count_all(&self, tally: &mut Tally<1, 1, 2>, columns: &Columns<'_>) -> Option<[f64; 2]> {
        let (constants, [low, high]) = bounds(columns)?;
        tally.counts[0] = columns.answers[0].len() as i64;
        let sum = &mut tally.sums[0];
        let mut answers = columns.answers.into_iter();
        let valid = answers.all(|answers| answers.add_within(sum, low, high));
        valid.then_some(constants)
    }

    const UNIFORM: bool = true;

    /// Three answers are one addend, which is exact if they are whole.
    fn uniform(&self, columns: &Columns<'_>) -> Option<Uniform<2>> {
        let (constants, [low, high]) = bounds(columns)?;
        let mut answers = columns.answers.into_iter();
        let whole = answers.all(|answers| answers.whole_within(low, high) == Some(true));
        whole.then_some(Uniform { constants, whole })
    }

    fn for_each_row(
        &self,
        columns: &Columns<'_>,
        _constants: [f64; 2],
        mut take: impl FnMut([i64; 1], [f64; 1]),
    ) {
        if let [Answers::Whole(a), Answers::Whole(b), Answers::Whole(c)] = columns.answers {
            let others = b.values().iter().zip(c.values());
            for (a, (b, c)) in a.values().iter().zip(others) {
                take(
                    [1],
                    [(i64::from(*a) + i64::from(*b) + i64::from(*c)) as f64],
                );
            }
            return;
        }
        let [recommend, repurchase, cross_buy] = columns.answers;
        for row in 0..recommend.len() {
            let sum = recommend.value(row) + repurchase.value(row) + cross_buy.value(row);
            take([1], [sum]);
        }
    }

    fn finish(&self, tallies: &[Tally<1, 1, 2>]) -> Result<ArrayRef> {
        Ok(numbers(tallies.iter().map(|tally| {
            let [min, max] = tally.constants.filter(|_| tally.counts[0] > 0)?;
            let answers = Wide::from(QUESTIONS * tally.counts[0] as f64);
            let mean = tally.sums[0].wide().over(answers);
            if self.arguments == 3 {
                return Some(mean.to_f64());
            }
            Some(100.0 * (mean.minus(Wide::from(min)).to_f64() / (max - min)))
        })))
    }
}

/// The one scale of a batch, and between what its answers must be.
fn bounds(columns: &Columns<'_>) -> Option<([f64; 2], [f64; 2])> {
    let [min, max] = match columns.scale {
        None => POINTS,
        Some([min, max]) => [only_value(Some(min), 0.0)?, only_value(Some(max), 0.0)?],
    };
    let ends = match columns.scale {
        None => [-MAX_SQUARABLE, MAX_SQUARABLE],
        Some(_) if min.abs().max(max.abs()) <= MAX_SQUARABLE => [min.min(max), min.max(max)],
        Some(_) => return None,
    };
    Some(([min, max], ends))
}

/// Refuses a scale whose ends are the same or no numbers.
pub(super) fn check_ends(function: &str, min: f64, max: f64) -> Result<()> {
    let min = squarable(function, "scale_min", min)?;
    let max = squarable(function, "scale_max", max)?;
    if finite(function, "scale_max - scale_min", max - min)? != 0.0 {
        return Ok(());
    }
    Err(invalid_call(
        function,
        format!("scale_min {min} and scale_max {max} must differ"),
    ))
}

/// The error for an answer that the scale does not have.
#[cold]
pub(super) fn off_scale(
    function: &str,
    argument: &str,
    answer: f64,
    min: f64,
    max: f64,
) -> datafusion_common::DataFusionError {
    let (low, high) = (min.min(max), min.max(max));
    invalid_value(
        function,
        format!(
            "{argument} {answer} is outside {low}..{high}; filter it, or give the scale as \
             scale_min and scale_max"
        ),
    )
}
