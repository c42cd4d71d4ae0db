//! Metrics whose state is a few counters, a few sums and a few constant arguments: everything about
//! such a state is written here once, so that a function consists of what a row adds and what the
//! result is.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion_common::{DataFusionError, Result};

use crate::aggregate::Metric;
use crate::arguments::{
    Held, all_equal, doubles, finite, hold, hold_other, invalid_call, primitive, varying_argument,
};
use crate::precise::{BatchSum, FloatSum, WHOLE_VALUES_MAX};

/// The state of a [`Measure`]: counters, sums, and the constant arguments that all rows share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally<const C: usize, const S: usize, const K: usize> {
    /// Counters; the first one is the number of rows.
    pub(crate) counts: [i64; C],
    /// Sums.
    pub(crate) sums: [FloatSum; S],
    /// Constant arguments, known from the first row on.
    pub(crate) constants: Option<[f64; K]>,
}

impl<const C: usize, const S: usize, const K: usize> Default for Tally<C, S, K> {
    fn default() -> Self {
        Self {
            counts: [0; C],
            sums: [FloatSum::default(); S],
            constants: None,
        }
    }
}

/// Whether a row comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It is added.
    Plus,
    /// It leaves a window frame.
    Minus,
}

impl Sign {
    /// The count of a row.
    #[inline]
    pub(crate) fn one(self) -> i64 {
        match self {
            Self::Plus => 1,
            Self::Minus => -1,
        }
    }

    /// The value of a row.
    #[inline]
    pub(crate) fn of(self, value: f64) -> f64 {
        match self {
            Self::Plus => value,
            Self::Minus => -value,
        }
    }
}

/// Names of the parts of a state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<const C: usize, const S: usize, const K: usize> {
    /// Of the counters.
    pub(crate) counts: [&'static str; C],
    /// Of the sums.
    pub(crate) sums: [&'static str; S],
    /// Of the constant arguments, as the user calls them.
    pub(crate) constants: [&'static str; K],
}

/// A metric of `C` counters, `S` sums and `K` constant arguments.
pub(crate) trait Measure<const C: usize, const S: usize, const K: usize>:
    Clone + Debug + Send + Sync + 'static
{
    /// A batch's argument columns with their types known.
    type Columns<'a>;

    /// Names of the parts of the state.
    const NAMES: Names<C, S, K>;

    /// SQL name, for messages.
    fn function(&self) -> &'static str;
    /// Positions of the arguments whose NULL makes a row not count.
    fn required(&self) -> &'static [usize];
    /// Looks at a batch once, so that rows are cheap.
    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Self::Columns<'a>>;
    /// The constant arguments of a row.
    fn constants(&self, columns: &Self::Columns<'_>, row: usize) -> Result<[f64; K]>;
    /// Refuses constant arguments that cannot be meant.
    fn check(&self, constants: [f64; K]) -> Result<()>;
    /// Counts a row in or out; refuses it before it changes anything.
    fn count(
        &self,
        tally: &mut Tally<C, S, K>,
        columns: &Self::Columns<'_>,
        row: usize,
        constants: [f64; K],
        sign: Sign,
    ) -> Result<()>;
    /// Counts in all rows of a batch at once, if that can be done without looking at each: their
    /// constant arguments, of which there is one set. The tally is new, and `None` does away with it.
    fn count_all(
        &self,
        _tally: &mut Tally<C, S, K>,
        _columns: &Self::Columns<'_>,
    ) -> Option<[f64; K]> {
        None
    }
    /// Whether [`Measure::uniform`] is there.
    const UNIFORM: bool = false;
    /// What is known of a batch whose rows can all be meant and share their constant arguments;
    /// `None` if it is not so.
    fn uniform(&self, _columns: &Self::Columns<'_>) -> Option<Uniform<K>> {
        None
    }
    /// Takes what each row of such a batch adds to counters and sums, in order.
    fn for_each_row(
        &self,
        _columns: &Self::Columns<'_>,
        _constants: [f64; K],
        _take: impl FnMut([i64; C], [f64; S]),
    ) {
    }
    /// The results, one per state, in the declared type.
    fn finish(&self, tallies: &[Tally<C, S, K>]) -> Result<ArrayRef>;
}

/// What is known of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uniform<const K: usize> {
    /// The constant arguments of its rows.
    pub(crate) constants: [f64; K],
    /// Whether all addends are whole numbers in the sense of [`crate::precise::Whole`].
    pub(crate) whole: bool,
}

/// Tallies that a batch is added to in turn.
const LANES: usize = 4;

/// Makes a [`Metric`] out of a [`Measure`].
#[derive(Debug, Clone)]
pub(crate) struct Tallied<M, const C: usize, const S: usize, const K: usize>(pub(crate) M);

impl<M, const C: usize, const S: usize, const K: usize> Tallied<M, C, S, K>
where
    M: Measure<C, S, K>,
{
    #[cold]
    fn varying(&self, held: Option<[f64; K]>, found: [f64; K]) -> DataFusionError {
        let differs = held.and_then(|held| (0..K).find(|at| held[*at] != found[*at]));
        let name = differs.and_then(|at| M::NAMES.constants.get(at));
        varying_argument(self.0.function(), name.copied().unwrap_or("an argument"))
    }
}

impl<M, const C: usize, const S: usize, const K: usize> Metric for Tallied<M, C, S, K>
where
    M: Measure<C, S, K>,
{
    type State = Tally<C, S, K>;
    type Columns<'a> = M::Columns<'a>;

    fn required(&self) -> &'static [usize] {
        self.0.required()
    }

    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<Self::Columns<'a>> {
        self.0.columns(arguments)
    }

    #[inline]
    fn add(&self, tally: &mut Self::State, columns: &Self::Columns<'_>, row: usize) -> Result<()> {
        let constants = self.0.constants(columns, row)?;
        match hold(&mut tally.constants, constants) {
            Held::Same => {}
            Held::First => self.0.check(constants)?,
            Held::Differs => return Err(self.varying(tally.constants, constants)),
        }
        self.0.count(tally, columns, row, constants, Sign::Plus)
    }

    /// In several tallies at once: an addition to one then need not wait for the last one to end.
    fn add_all(
        &self,
        tally: &mut Self::State,
        columns: &Self::Columns<'_>,
        rows: usize,
    ) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let mut whole = Tally::default();
        if let Some(constants) = self.0.count_all(&mut whole, columns) {
            self.0.check(constants)?;
            whole.constants = Some(constants);
            return self.merge(tally, &whole);
        }
        let mut lanes = [Tally::default(); LANES];
        let even = rows - rows % LANES;
        for start in (0..even).step_by(LANES) {
            for (lane, part) in lanes.iter_mut().enumerate() {
                self.add(part, columns, start + lane)?;
            }
        }
        for row in even..rows {
            self.add(&mut lanes[0], columns, row)?;
        }
        lanes.iter().try_for_each(|lane| self.merge(tally, lane))
    }

    const ADDS_GROUPS: bool = M::UNIFORM;

    fn add_groups(
        &self,
        tallies: &mut [Self::State],
        columns: &Self::Columns<'_>,
        groups: &[usize],
    ) -> Result<bool> {
        let Some(Uniform { constants, whole }) = self.0.uniform(columns) else {
            return Ok(false);
        };
        let whole = whole && groups.len() <= WHOLE_VALUES_MAX;
        let mut found = vec![([0; C], [BatchSum::default(); S]); tallies.len()];
        let mut groups = groups.iter().copied();
        self.0.for_each_row(columns, constants, |counts, addends| {
            let group = groups.next().unwrap_or_default();
            let (found, sums) = &mut found[group];
            for (count, more) in found.iter_mut().zip(counts) {
                *count += more;
            }
            for (sum, more) in sums.iter_mut().zip(addends) {
                match whole {
                    true => sum.add_whole(more),
                    false => sum.add(more),
                }
            }
        });
        for (tally, (counts, sums)) in tallies.iter_mut().zip(found) {
            if counts.first().is_none_or(|rows| *rows == 0) {
                continue;
            }
            match hold(&mut tally.constants, constants) {
                Held::Same => {}
                Held::First => self.0.check(constants)?,
                Held::Differs => return Err(self.varying(tally.constants, constants)),
            }
            for (count, more) in tally.counts.iter_mut().zip(counts) {
                *count += more;
            }
            for (sum, more) in tally.sums.iter_mut().zip(sums) {
                sum.add_batch(more);
            }
        }
        Ok(true)
    }

    fn remove(
        &self,
        tally: &mut Self::State,
        columns: &Self::Columns<'_>,
        row: usize,
    ) -> Result<()> {
        let constants = self.0.constants(columns, row)?;
        self.0.count(tally, columns, row, constants, Sign::Minus)?;
        if tally.counts.first().is_none_or(|rows| *rows == 0) {
            *tally = Tally::default();
        }
        Ok(())
    }

    fn merge(&self, tally: &mut Self::State, other: &Self::State) -> Result<()> {
        if !hold_other(&mut tally.constants, other.constants) {
            return Err(self.varying(tally.constants, other.constants.unwrap_or([0.0; K])));
        }
        for (count, other) in tally.counts.iter_mut().zip(other.counts) {
            *count += other;
        }
        for (sum, other) in tally.sums.iter_mut().zip(other.sums) {
            sum.merge(other);
        }
        Ok(())
    }

    fn finish(&self, tallies: &[Self::State]) -> Result<ArrayRef> {
        self.0.finish(tallies)
    }

    fn state_fields(&self) -> Vec<Field> {
        let names = M::NAMES;
        let counts = names
            .counts
            .map(|name| Field::new(name, DataType::Int64, true));
        let constants = names
            .constants
            .map(|name| Field::new(name, DataType::Float64, true));
        counts
            .into_iter()
            .chain(names.sums.into_iter().flat_map(FloatSum::fields))
            .chain(constants)
            .collect()
    }

    fn write(&self, tallies: &[Self::State]) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(C + 2 * S + K);
        for count in 0..C {
            let values = tallies.iter().map(|tally| tally.counts[count]);
            columns.push(Arc::new(Int64Array::from_iter_values(values)));
        }
        for sum in 0..S {
            columns.extend(FloatSum::write(
                tallies.iter().map(|tally| &tally.sums[sum]),
            ));
        }
        for constant in 0..K {
            let values = tallies
                .iter()
                .map(|tally| tally.constants.map(|held| held[constant]));
            columns.push(Arc::new(values.collect::<Float64Array>()));
        }
        columns
    }

    fn read(&mut self, columns: &[ArrayRef]) -> Result<Vec<Self::State>> {
        let rows = columns.first().map_or(0, Array::len);
        let mut tallies = vec![Tally::default(); rows];
        for (count, column) in columns[..C].iter().enumerate() {
            let values = primitive::<Int64Type>(column)?.values();
            for (tally, value) in tallies.iter_mut().zip(values) {
                tally.counts[count] = *value;
            }
        }
        for (sum, columns) in columns[C..C + 2 * S].chunks(2).enumerate() {
            for (tally, value) in tallies.iter_mut().zip(FloatSum::read(columns)?) {
                tally.sums[sum] = value;
            }
        }
        let constants = columns[C + 2 * S..]
            .iter()
            .map(doubles)
            .collect::<Result<Vec<_>>>()?;
        for (row, tally) in tallies.iter_mut().enumerate() {
            if constants.iter().all(|column| column.is_valid(row)) {
                let mut held = [0.0; K];
                for (slot, column) in held.iter_mut().zip(&constants) {
                    *slot = column.value(row);
                }
                tally.constants = Some(held);
            }
        }
        Ok(tallies)
    }
}

/// Positions 0 to `count - 1`, for [`Measure::required`].
pub(crate) fn first_arguments(count: usize) -> &'static [usize] {
    const POSITIONS: &[usize] = &[0, 1, 2, 3, 4, 5, 6, 7];
    &POSITIONS[..count.min(POSITIONS.len())]
}

/// Confidence of an interval where none is given.
pub(crate) const CONFIDENCE: f64 = 0.95;

/// The confidence of a row.
#[inline]
pub(crate) fn confidence_at(column: Option<&Float64Array>, row: usize) -> f64 {
    column.map_or(CONFIDENCE, |column| column.value(row))
}

/// Refuses a confidence that is no probability.
pub(crate) fn check_confidence(function: &str, confidence: f64) -> Result<()> {
    finite(function, "confidence", confidence)?;
    if confidence > 0.0 && confidence < 1.0 {
        return Ok(());
    }
    Err(invalid_call(
        function,
        format!("confidence {confidence} is not between 0 and 1; write 0.95 for 95 percent"),
    ))
}

/// The one value of an optional argument in a batch without NULL; `None` if there are several.
pub(crate) fn only_value(column: Option<&Float64Array>, default: f64) -> Option<f64> {
    match column.map(|column| column.values().as_ref()) {
        None => Some(default),
        Some([]) => None,
        Some(values) => all_equal(values).then(|| values[0]),
    }
}

/// The column of an optional last argument.
pub(crate) fn optional(arguments: &[ArrayRef], position: usize) -> Result<Option<&Float64Array>> {
    arguments.get(position).map(doubles).transpose()
}
