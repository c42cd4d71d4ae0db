//! Net Promoter Score: how many more customers would recommend us than would not.
//!
//! `100 · (promoters − detractors) / answers`, from −100 to 100. A promoter answers 9 or 10, a
//! detractor 0 to 6; what lies between, also a fractional average, is passive. NULL scores are
//! skipped, no answers give NULL. Source: Reichheld, "The One Number You Need to Grow", HBR 2003.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, Metric, MetricForm, export_aggregate};
use crate::arguments::{
    Held, all_equal, doubles, finite, hold, hold_other, invalid_call, invalid_value, number,
    primitive, varying_argument, wrong_arity,
};

/// Bounds of the answers, where no thresholds are given.
pub(super) const SCALE: RangeInclusive<f64> = 0.0..=10.0;

/// The aggregate `nps`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "Net Promoter Score in points, -100 to 100: the share of promoters minus the share of detractors, times 100. Answers are 0 to 10; 9 and 10 are promoters, 0 to 6 are detractors. Other scales need both thresholds, because no mapping of shorter scales is agreed on. NULL scores are skipped; without any answer the result is NULL. A score outside 0 to 10 (without thresholds), NaN or infinity is an error. Source: Reichheld, Harvard Business Review 2003.",
    syntax_example = "nps(score)",
    alternative_syntax = "nps(score, detractor_max, promoter_min)",
    sql_example = r"```sql
> SELECT nps(score) AS nps FROM (VALUES (10), (9), (8), (3)) AS answers(score);
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
        name = "detractor_max",
        description = "The highest score of a detractor; the same in all rows of a group."
    ),
    argument(
        name = "promoter_min",
        description = "The lowest score of a promoter; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Nps;

export_aggregate!(Nps, nps, nps_udaf);

impl Definition for Nps {
    const NAME: &'static str = "nps";
    const PARAMETERS: &'static [&'static str] = &["score", "detractor_max", "promoter_min"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_score(Self::NAME, types)
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        match types.len() {
            1 => Ok(Box::new(MetricForm(StandardNps))),
            3 => Ok(Box::new(MetricForm(ThresholdNps))),
            got => wrong_arity(Self::NAME, &forms(Self::NAME), got),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Coercion of a score with or without both thresholds.
pub(super) fn coerce_score(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    if !matches!(types.len(), 1 | 3) {
        return wrong_arity(function, &forms(function), types.len());
    }
    let names = Nps::PARAMETERS.iter();
    names
        .zip(types)
        .map(|(name, given)| number(function, name, given))
        .collect()
}

fn forms(function: &str) -> String {
    format!("{function}(score) or {function}(score, detractor_max, promoter_min)")
}

/// Where the three kinds of customers part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Thresholds {
    pub(super) detractor_max: f64,
    pub(super) promoter_min: f64,
}

impl Thresholds {
    /// Those of the standard question.
    pub(super) const STANDARD: Self = Self {
        detractor_max: 6.0,
        promoter_min: 9.0,
    };

    #[inline]
    pub(super) fn is_promoter(self, score: f64) -> bool {
        score >= self.promoter_min
    }

    #[inline]
    pub(super) fn is_detractor(self, score: f64) -> bool {
        score <= self.detractor_max
    }

    /// Refuses thresholds that overlap or are no numbers.
    pub(super) fn check(self, function: &str) -> Result<()> {
        let detractor_max = finite(function, "detractor_max", self.detractor_max)?;
        let promoter_min = finite(function, "promoter_min", self.promoter_min)?;
        if detractor_max < promoter_min {
            return Ok(());
        }
        Err(invalid_call(
            function,
            format!(
                "detractor_max {detractor_max} must be below promoter_min {promoter_min}; swap \
                 them or correct one"
            ),
        ))
    }
}

/// What to do about a score off the scale, besides filtering it and fixing the scale.
const REMEDY: &str = "call nps(score, detractor_max, promoter_min)";

/// Refuses a score that the standard question cannot have.
#[inline]
pub(super) fn check_scale(function: &str, score: f64, remedy: &str) -> Result<()> {
    if SCALE.contains(&score) {
        return Ok(());
    }
    finite(function, "score", score)?;
    Err(invalid_value(
        function,
        format!("score {score} is outside 0..10; filter it, fix the scale, or {remedy}"),
    ))
}

/// How many answers there were, and of which kind.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tally {
    promoters: i64,
    detractors: i64,
    answers: i64,
}

impl Tally {
    #[inline]
    fn add(&mut self, score: f64, thresholds: Thresholds) {
        self.promoters += i64::from(thresholds.is_promoter(score));
        self.detractors += i64::from(thresholds.is_detractor(score));
        self.answers += 1;
    }

    #[inline]
    fn remove(&mut self, score: f64, thresholds: Thresholds) {
        self.promoters -= i64::from(thresholds.is_promoter(score));
        self.detractors -= i64::from(thresholds.is_detractor(score));
        self.answers -= 1;
    }

    /// Of scores that all are on a scale, if they are. Without an early exit it becomes vector
    /// instructions.
    pub(super) fn of_all(
        scores: &[f64],
        scale: &RangeInclusive<f64>,
        thresholds: Thresholds,
    ) -> Option<Self> {
        let (mut tally, mut outside) = (Self::default(), 0_i64);
        for score in scores {
            tally.add(*score, thresholds);
            outside += i64::from(!scale.contains(score));
        }
        (outside == 0).then_some(tally)
    }

    /// Answers, promoters, detractors.
    pub(super) fn counts(&self) -> [i64; 3] {
        [self.answers, self.promoters, self.detractors]
    }

    fn merge(&mut self, other: &Self) {
        self.promoters += other.promoters;
        self.detractors += other.detractors;
        self.answers += other.answers;
    }

    fn finish(&self) -> Option<f64> {
        let net = 100.0 * (self.promoters - self.detractors) as f64;
        (self.answers > 0).then(|| net / self.answers as f64)
    }

    fn fields() -> Vec<Field> {
        ["promoters", "detractors", "answers"]
            .map(|name| Field::new(name, DataType::Int64, true))
            .to_vec()
    }

    fn write<'a>(tallies: impl Iterator<Item = &'a Self> + Clone) -> Vec<ArrayRef> {
        let column = |number: fn(&Self) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(tallies.clone().map(number)))
        };
        vec![
            column(|tally| tally.promoters),
            column(|tally| tally.detractors),
            column(|tally| tally.answers),
        ]
    }

    fn read(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        let promoters = primitive::<Int64Type>(&columns[0])?.values();
        let detractors = primitive::<Int64Type>(&columns[1])?.values();
        let answers = primitive::<Int64Type>(&columns[2])?.values();
        let tally = |row: usize| Self {
            promoters: promoters[row],
            detractors: detractors[row],
            answers: answers[row],
        };
        Ok((0..answers.len()).map(tally).collect())
    }
}

/// `nps(score)`.
#[derive(Debug, Clone)]
struct StandardNps;

impl Metric for StandardNps {
    type State = Tally;
    type Columns<'a> = &'a Float64Array;

    fn required(&self) -> &'static [usize] {
        &[0]
    }

    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<&'a Float64Array> {
        doubles(&arguments[0])
    }

    #[inline]
    fn add(&self, tally: &mut Tally, scores: &&Float64Array, row: usize) -> Result<()> {
        let score = scores.value(row);
        check_scale(Nps::NAME, score, REMEDY)?;
        tally.add(score, Thresholds::STANDARD);
        Ok(())
    }

    fn remove(&self, tally: &mut Tally, scores: &&Float64Array, row: usize) -> Result<()> {
        tally.remove(scores.value(row), Thresholds::STANDARD);
        Ok(())
    }

    fn add_all(&self, tally: &mut Tally, scores: &&Float64Array, rows: usize) -> Result<()> {
        match Tally::of_all(scores.values(), &SCALE, Thresholds::STANDARD) {
            Some(batch) => {
                tally.merge(&batch);
                Ok(())
            }
            None => (0..rows).try_for_each(|row| self.add(tally, scores, row)),
        }
    }

    fn merge(&self, tally: &mut Tally, other: &Tally) -> Result<()> {
        tally.merge(other);
        Ok(())
    }

    fn finish(&self, tallies: &[Tally]) -> Result<ArrayRef> {
        Ok(Arc::new(
            tallies.iter().map(Tally::finish).collect::<Float64Array>(),
        ))
    }

    fn state_fields(&self) -> Vec<Field> {
        Tally::fields()
    }

    fn write(&self, tallies: &[Tally]) -> Vec<ArrayRef> {
        Tally::write(tallies.iter())
    }

    fn read(&mut self, columns: &[ArrayRef]) -> Result<Vec<Tally>> {
        Tally::read(columns)
    }
}

/// `nps(score, detractor_max, promoter_min)`.
#[derive(Debug, Clone)]
struct ThresholdNps;

/// A tally and the thresholds it was taken with.
#[derive(Debug, Clone, Copy, Default)]
struct ThresholdTally {
    tally: Tally,
    thresholds: Option<Thresholds>,
}

impl Metric for ThresholdNps {
    type State = ThresholdTally;
    type Columns<'a> = [&'a Float64Array; 3];

    fn required(&self) -> &'static [usize] {
        &[0, 1, 2]
    }

    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<[&'a Float64Array; 3]> {
        Ok([
            doubles(&arguments[0])?,
            doubles(&arguments[1])?,
            doubles(&arguments[2])?,
        ])
    }

    #[inline]
    fn add(
        &self,
        state: &mut ThresholdTally,
        [scores, lows, highs]: &Self::Columns<'_>,
        row: usize,
    ) -> Result<()> {
        let thresholds = Thresholds {
            detractor_max: lows.value(row),
            promoter_min: highs.value(row),
        };
        match hold(&mut state.thresholds, thresholds) {
            Held::Same => {}
            Held::First => thresholds.check(Nps::NAME)?,
            Held::Differs => return Err(varying(state.thresholds, thresholds)),
        }
        state
            .tally
            .add(finite(Nps::NAME, "score", scores.value(row))?, thresholds);
        Ok(())
    }

    fn add_all(
        &self,
        state: &mut ThresholdTally,
        columns: &Self::Columns<'_>,
        rows: usize,
    ) -> Result<()> {
        let [scores, lows, highs] = columns.map(|column| -> &[f64] { column.values() });
        if rows > 0 && all_equal(lows) && all_equal(highs) {
            let thresholds = Thresholds {
                detractor_max: lows[0],
                promoter_min: highs[0],
            };
            let numbers = f64::MIN..=f64::MAX;
            if let Some(batch) = Tally::of_all(&scores[1..], &numbers, thresholds) {
                // Holds the thresholds, and checks them.
                self.add(state, columns, 0)?;
                state.tally.merge(&batch);
                return Ok(());
            }
        }
        (0..rows).try_for_each(|row| self.add(state, columns, row))
    }

    fn remove(
        &self,
        state: &mut ThresholdTally,
        [scores, lows, highs]: &Self::Columns<'_>,
        row: usize,
    ) -> Result<()> {
        let thresholds = Thresholds {
            detractor_max: lows.value(row),
            promoter_min: highs.value(row),
        };
        state.tally.remove(scores.value(row), thresholds);
        if state.tally.answers == 0 {
            state.thresholds = None;
        }
        Ok(())
    }

    fn merge(&self, state: &mut ThresholdTally, other: &ThresholdTally) -> Result<()> {
        if !hold_other(&mut state.thresholds, other.thresholds) {
            return Err(varying_argument(
                Nps::NAME,
                "detractor_max and promoter_min",
            ));
        }
        state.tally.merge(&other.tally);
        Ok(())
    }

    fn finish(&self, states: &[ThresholdTally]) -> Result<ArrayRef> {
        let results = states.iter().map(|state| state.tally.finish());
        Ok(Arc::new(results.collect::<Float64Array>()))
    }

    fn state_fields(&self) -> Vec<Field> {
        let mut fields = Tally::fields();
        fields.push(Field::new("detractor_max", DataType::Float64, true));
        fields.push(Field::new("promoter_min", DataType::Float64, true));
        fields
    }

    fn write(&self, states: &[ThresholdTally]) -> Vec<ArrayRef> {
        let mut columns = Tally::write(states.iter().map(|state| &state.tally));
        let thresholds = || states.iter().map(|state| state.thresholds);
        let low = thresholds().map(|held| held.map(|held| held.detractor_max));
        let high = thresholds().map(|held| held.map(|held| held.promoter_min));
        columns.push(Arc::new(low.collect::<Float64Array>()));
        columns.push(Arc::new(high.collect::<Float64Array>()));
        columns
    }

    fn read(&mut self, columns: &[ArrayRef]) -> Result<Vec<ThresholdTally>> {
        let (lows, highs) = (doubles(&columns[3])?, doubles(&columns[4])?);
        let thresholds = lows.iter().zip(highs).map(|(low, high)| {
            low.zip(high)
                .map(|(detractor_max, promoter_min)| Thresholds {
                    detractor_max,
                    promoter_min,
                })
        });
        let tallies = Tally::read(columns)?.into_iter();
        let state = |(tally, thresholds)| ThresholdTally { tally, thresholds };
        Ok(tallies.zip(thresholds).map(state).collect())
    }
}

#[cold]
fn varying(held: Option<Thresholds>, found: Thresholds) -> datafusion_common::DataFusionError {
    let low_differs = held.is_some_and(|held| held.detractor_max != found.detractor_max);
    varying_argument(
        Nps::NAME,
        if low_differs {
            "detractor_max"
        } else {
            "promoter_min"
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score_of(answers: &[f64]) -> Option<f64> {
        let mut tally = Tally::default();
        for answer in answers {
            tally.add(*answer, Thresholds::STANDARD);
        }
        tally.finish()
    }

    #[test]
    fn all_promoters_is_plus_hundred() {
        assert_eq!(score_of(&[9.0, 10.0]), Some(100.0));
    }

    #[test]
    fn all_detractors_is_minus_hundred() {
        assert_eq!(score_of(&[0.0, 6.0]), Some(-100.0));
    }

    #[test]
    fn passives_dilute_but_do_not_count() {
        assert_eq!(score_of(&[10.0, 7.0, 8.0, 6.5]), Some(25.0));
    }

    #[test]
    fn nobody_answered_is_null() {
        assert_eq!(score_of(&[]), None);
    }

    #[test]
    fn an_answer_can_be_taken_back() {
        let mut tally = Tally::default();
        tally.add(10.0, Thresholds::STANDARD);
        tally.add(3.0, Thresholds::STANDARD);
        tally.remove(3.0, Thresholds::STANDARD);
        assert_eq!(tally.finish(), Some(100.0));
    }

    #[test]
    fn thresholds_must_not_overlap() {
        let overlapping = Thresholds {
            detractor_max: 5.0,
            promoter_min: 5.0,
        };
        assert!(overlapping.check("nps").is_err());
    }
}
