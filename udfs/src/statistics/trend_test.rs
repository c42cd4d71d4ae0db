//! Whether a value goes up or down: a line by least squares, and whether its slope is chance.
//!
//! `slope = Sxy/Sxx`, `r² = Sxy²/(Sxx·Syy)`, `stderr = √((Syy − Sxy²/Sxx)/(n − 2)/Sxx)`, and a t test
//! of the slope with n − 2 degrees of freedom. For times, x is in days since 1970-01-01.

use std::mem::size_of_val;

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::datatypes::{DataType, Field};
use datafusion_common::{HashMap, Result, ScalarValue, not_impl_err, plan_err};
use datafusion_doc::Documentation;
use datafusion_expr::{Accumulator, GroupsAccumulator};
use datafusion_macros::user_doc;

use crate::aggregate::{
    Definition, Form, Metric, MetricForm, export_aggregate, first_row, for_each_row, rows_of,
    selection,
};
use crate::arguments::{NANOSECONDS_PER_DAY, Times, doubles, number, plain, times, wrong_arity};
use crate::measure::{Measure, Names, Sign, Tallied, Tally};
use crate::precise::{WHOLE_FACTOR_MAX, Whole, Wide, deviations, squarable, sum_of_products};
use crate::record::{FieldList, counts, numbers, record, record_type, words};
use crate::statistics::distributions::student_two_sided;

/// The aggregate `trend_test`.
#[user_doc(
    doc_section(label = "Statistics"),
    description = "Whether a value goes up or down: a straight line by least squares. A struct of slope, intercept, r2, stderr (of the slope), the two-sided p_value of a slope of 0, the number n of rows, and direction, which is 'up' or 'down' where p_value is below 0.05 and 'flat' elsewhere; write (trend_test(x, y)).slope for one of them. Where x is a date or timestamp the slope is per day and the intercept is the value at 1970-01-01. Rows where an argument is NULL are skipped. The slope needs two different x, p_value and direction need three; what cannot be computed is NULL. NaN, infinity and numbers beyond 1e140 are errors. Source: ordinary least squares with a t test, as scipy.stats.linregress.",
    syntax_example = "trend_test(x, y)",
    sql_example = r"```sql
> SELECT round(t['slope'], 4) AS slope, round(t['r2'], 4) AS r2, round(t['p_value'], 4) AS p_value, t['direction'] AS direction
  FROM (SELECT trend_test(month, nps) AS t
        FROM (VALUES (0, 31), (1, 33), (2, 32), (3, 36), (4, 38), (5, 37), (6, 41), (7, 40)) AS months(month, nps));
+--------+--------+---------+-----------+
| slope  | r2     | p_value | direction |
+--------+--------+---------+-----------+
| 1.4286 | 0.8929 | 0.0004  | up        |
+--------+--------+---------+-----------+
```",
    argument(
        name = "x",
        description = "When, as a date, a timestamp or any number."
    ),
    argument(name = "y", description = "The value, any number.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct TrendTest;

export_aggregate!(TrendTest, trend_test, trend_test_udaf);

const FIELDS: FieldList = &[
    ("slope", DataType::Float64),
    ("intercept", DataType::Float64),
    ("r2", DataType::Float64),
    ("stderr", DataType::Float64),
    ("p_value", DataType::Float64),
    ("n", DataType::Int64),
    ("direction", DataType::Utf8View),
];

/// Probability below which a slope is not taken for chance.
const SIGNIFICANT: f64 = 0.05;

impl Definition for TrendTest {
    const NAME: &'static str = "trend_test";
    const PARAMETERS: &'static [&'static str] = &["x", "y"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [x, y] = types else {
            return wrong_arity(Self::NAME, "trend_test(x, y)", types.len());
        };
        let x = match plain(x) {
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => {
                times(Self::NAME, &[("x", x)])?.remove(0)
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                return plan_err!(
                    "trend_test(): x is text; convert it first, for example CAST(x AS DATE)"
                );
            }
            _ => number(Self::NAME, "x", x)?,
        };
        Ok(vec![x, number(Self::NAME, "y", y)?])
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(record_type(FIELDS))
    }

    fn form(&self, _types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(TrendForm))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The rows, and the sums of x, y, x², y² and xy.
#[derive(Debug, Clone)]
struct Line;

/// The columns of a batch.
#[derive(Debug)]
struct Points<'a> {
    x: Places<'a>,
    y: &'a Float64Array,
}

#[derive(Debug)]
enum Places<'a> {
    Times(Times<'a>),
    Numbers(&'a Float64Array),
}

impl Points<'_> {
    #[inline]
    fn x(&self, row: usize) -> Result<f64> {
        match &self.x {
            Places::Times(times) => {
                let time = times.at(row);
                // Of 64 bits that is the same, and several times as quick.
                Ok(i64::try_from(time)
                    .map_or_else(|_| time as f64 / NANOSECONDS_PER_DAY as f64, days_of))
            }
            // The two zeros are one place.
            Places::Numbers(numbers) => {
                Ok(squarable(TrendTest::NAME, "x", numbers.value(row))? + 0.0)
            }
        }
    }
}

impl Measure<1, 5, 0> for Line {
    type Columns<'a> = Points<'a>;

    const NAMES: Names<1, 5, 0> = Names {
        counts: ["rows"],
        sums: ["x", "y", "xx", "yy", "xy"],
        constants: [],
    };

    fn function(&self) -> &'static str {
        TrendTest::NAME
    }

    fn required(&self) -> &'static [usize] {
        &[0, 1]
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Points<'a>> {
        let x = match arguments[0].data_type() {
            DataType::Float64 => Places::Numbers(doubles(&arguments[0])?),
            _ => Places::Times(Times::new(&arguments[0])?),
        };
        let y = doubles(&arguments[1])?;
        Ok(Points { x, y })
    }

    fn constants(&self, _columns: &Points<'_>, _row: usize) -> Result<[f64; 0]> {
        Ok([])
    }

    fn check(&self, _constants: [f64; 0]) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn count(
        &self,
        tally: &mut Tally<1, 5, 0>,
        columns: &Points<'_>,
        row: usize,
        _constants: [f64; 0],
        sign: Sign,
    ) -> Result<()> {
        let x = columns.x(row)?;
        let y = squarable(TrendTest::NAME, "y", columns.y.value(row))?;
        tally.counts[0] += sign.one();
        let [of_x, of_y, of_xx, of_yy, of_xy] = &mut tally.sums;
        of_x.add(sign.of(x));
        of_y.add(sign.of(y));
        of_xx.add_product(sign.of(x), x);
        of_yy.add_product(sign.of(y), y);
        of_xy.add_product(sign.of(x), y);
        Ok(())
    }

    /// Answers and counts are whole and small: nothing is lost of the sums of a batch.
    fn count_all(&self, tally: &mut Tally<1, 5, 0>, columns: &Points<'_>) -> Option<[f64; 0]> {
        let Places::Numbers(x) = &columns.x else {
            let grid = Grid::of(columns)?;
            let mut sums = GridSums::default();
            grid.points().for_each(|(x, y)| sums.add(x, y));
            sums.add_to(tally, grid.unit);
            return Some([]);
        };
        let (x, y) = (x.values(), columns.y.values());
        let sums = [
            small(x)?,
            small(y)?,
            sum_of_products(x, x),
            sum_of_products(y, y),
            sum_of_products(x, y),
        ];
        tally.counts[0] = x.len() as i64;
        for (total, sum) in tally.sums.iter_mut().zip(sums) {
            total.add(sum);
        }
        Some([])
    }

    fn finish(&self, _tallies: &[Tally<1, 5, 0>]) -> Result<ArrayRef> {
        not_impl_err!("trend_test(): a line without its places")
    }
}

/// The sum of small whole numbers, whose products and their sums are whole too.
fn small(values: &[f64]) -> Option<f64> {
    let whole = Whole::of(values)?;
    let small = whole.is_within(-WHOLE_FACTOR_MAX, WHOLE_FACTOR_MAX);
    small.then_some(whole.sum)
}

/// Points whose x are multiples of a power of two and whose y are small whole numbers, so that sums
/// of them and of their products are exact in 128 bits.
struct Grid<'a> {
    x: Vec<i64>,
    /// What the x are multiples of.
    unit: f64,
    y: &'a [f64],
}

/// Multiples have fewer bits than this.
const GRID_BITS: i32 = 56;
/// So many squares of them have a sum of 128 bits, with some room.
const GRID_ROWS_MAX: usize = 1 << 13;
/// Digits of a double behind its first one.
const FRACTION_BITS: i32 = f64::MANTISSA_DIGITS as i32 - 1;

impl<'a> Grid<'a> {
    /// `None` if there is no such grid: the last time is many times as far from 1970 as the first.
    fn of(columns: &Points<'a>) -> Option<Self> {
        let y: &[f64] = columns.y.values();
        if y.len() > GRID_ROWS_MAX || small(y).is_none() {
            return None;
        }
        let Places::Times(times) = &columns.x else {
            return None;
        };
        let days = times.nanoseconds()?.into_iter().map(days_of);
        let days: Vec<_> = days.collect();
        let least = days.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = days.iter().copied().fold(0.0, f64::max);
        if !least.is_normal() || least < 0.0 {
            return None;
        }
        // The last digit of the least is the finest of all.
        let exponent = (least.to_bits() >> FRACTION_BITS) as i32 - f64::MAX_EXP + 1;
        let unit = 2.0_f64.powi(exponent - FRACTION_BITS);
        if largest >= 2.0_f64.powi(GRID_BITS) * unit {
            return None;
        }
        let x = days.into_iter().map(|day| (day / unit) as i64).collect();
        Some(Self { x, unit, y })
    }

    fn points(&self) -> impl Iterator<Item = (i64, i64)> {
        let y = self.y.iter().map(|y| *y as i64);
        self.x.iter().copied().zip(y)
    }
}

/// The sums of points of a [`Grid`].
#[derive(Debug, Clone, Copy, Default)]
struct GridSums {
    rows: i64,
    x: i128,
    y: i64,
    xx: i128,
    yy: i64,
    xy: i128,
}

impl GridSums {
    #[inline]
    fn add(&mut self, x: i64, y: i64) {
        self.rows += 1;
        self.x += i128::from(x);
        self.y += y;
        self.xx += i128::from(x) * i128::from(x);
        self.yy += y * y;
        self.xy += i128::from(x) * i128::from(y);
    }

    fn add_to(&self, tally: &mut Tally<1, 5, 0>, unit: f64) {
        tally.counts[0] += self.rows;
        let [x, y, xx, yy, xy] = &mut tally.sums;
        x.add_multiple(self.x, unit);
        y.add(self.y as f64);
        xx.add_multiple(self.xx, unit * unit);
        yy.add(self.yy as f64);
        xy.add_multiple(self.xy, unit);
    }
}

/// A time in days.
#[inline]
fn days_of(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / NANOSECONDS_PER_DAY as f64
}

/// Up to three different values of x: with two, every line through them fits perfectly.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Different([Option<f64>; 3]);

impl Different {
    #[inline]
    fn meet(&mut self, x: f64) {
        for slot in &mut self.0 {
            match slot {
                Some(known) if *known == x => return,
                Some(_) => {}
                None => {
                    *slot = Some(x);
                    return;
                }
            }
        }
    }

    fn count(self) -> usize {
        self.0.iter().flatten().count()
    }
}

/// A line and the different values of x.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    tally: Tally<1, 5, 0>,
    different: Different,
}

/// Least squares.
#[derive(Debug, Clone)]
struct Trend(Tallied<Line, 1, 5, 0>);

impl Metric for Trend {
    type State = State;
    type Columns<'a> = Points<'a>;

    fn required(&self) -> &'static [usize] {
        &[0, 1]
    }

    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<Points<'a>> {
        Metric::columns(&mut self.0, arguments)
    }

    #[inline]
    fn add(&self, state: &mut State, columns: &Points<'_>, row: usize) -> Result<()> {
        self.0.add(&mut state.tally, columns, row)?;
        state.different.meet(columns.x(row)?);
        Ok(())
    }

    fn add_all(&self, state: &mut State, columns: &Points<'_>, rows: usize) -> Result<()> {
        self.0.add_all(&mut state.tally, columns, rows)?;
        for row in 0..rows {
            if state.different.count() == state.different.0.len() {
                break;
            }
            state.different.meet(columns.x(row)?);
        }
        Ok(())
    }

    const ADDS_GROUPS: bool = true;

    fn add_groups(
        &self,
        states: &mut [State],
        columns: &Points<'_>,
        groups: &[usize],
    ) -> Result<bool> {
        let Some(grid) = Grid::of(columns) else {
            return Ok(false);
        };
        let mut found = vec![GridSums::default(); states.len()];
        for ((x, y), group) in grid.points().zip(groups) {
            found[*group].add(x, y);
        }
        for (state, sums) in states.iter_mut().zip(found) {
            if sums.rows > 0 {
                sums.add_to(&mut state.tally, grid.unit);
            }
        }
        for (row, group) in groups.iter().enumerate() {
            let different = &mut states[*group].different;
            if different.0[2].is_none() {
                different.meet(columns.x(row)?);
            }
        }
        Ok(true)
    }

    /// Leaves the values of x alone, which [`SlidingTrend`] counts.
    fn remove(&self, state: &mut State, columns: &Points<'_>, row: usize) -> Result<()> {
        self.0.remove(&mut state.tally, columns, row)
    }

    fn merge(&self, state: &mut State, other: &State) -> Result<()> {
        self.0.merge(&mut state.tally, &other.tally)?;
        for x in other.different.0.iter().flatten() {
            state.different.meet(*x);
        }
        Ok(())
    }

    fn finish(&self, states: &[State]) -> Result<ArrayRef> {
        let fits: Vec<_> = states.iter().map(Fit::new).collect();
        let number = |field: fn(&Fit) -> Option<f64>| numbers(fits.iter().map(field));
        record(
            FIELDS,
            vec![
                number(|fit| fit.slope),
                number(|fit| fit.intercept),
                number(|fit| fit.r2),
                number(|fit| fit.stderr),
                number(|fit| fit.p_value),
                counts(states.iter().map(|state| state.tally.counts[0])),
                words(fits.iter().map(Fit::direction)),
            ],
        )
    }

    fn state_fields(&self) -> Vec<Field> {
        let different = ["x1", "x2", "x3"].map(|name| Field::new(name, DataType::Float64, true));
        self.0.state_fields().into_iter().chain(different).collect()
    }

    fn write(&self, states: &[State]) -> Vec<ArrayRef> {
        let tallies: Vec<_> = states.iter().map(|state| state.tally).collect();
        let mut columns = self.0.write(&tallies);
        for place in 0..3 {
            columns.push(numbers(states.iter().map(|state| state.different.0[place])));
        }
        columns
    }

    fn read(&mut self, columns: &[ArrayRef]) -> Result<Vec<State>> {
        let (of_tally, of_different) = columns.split_at(columns.len() - 3);
        let tallies = self.0.read(of_tally)?;
        let different = of_different
            .iter()
            .map(doubles)
            .collect::<Result<Vec<_>>>()?;
        let state = |(row, tally): (usize, Tally<1, 5, 0>)| {
            let mut places = Different::default();
            for column in &different {
                if column.is_valid(row) {
                    places.meet(column.value(row));
                }
            }
            State {
                tally,
                different: places,
            }
        };
        Ok(tallies.into_iter().enumerate().map(state).collect())
    }
}

/// The line of a group and its test.
#[derive(Debug, Default, PartialEq)]
struct Fit {
    slope: Option<f64>,
    intercept: Option<f64>,
    r2: Option<f64>,
    stderr: Option<f64>,
    p_value: Option<f64>,
}

impl Fit {
    fn new(state: &State) -> Self {
        let rows = state.tally.counts[0];
        let different = state.different.count();
        if different < 2 {
            return Self::default();
        }
        let [x, y, xx, yy, xy] = state.tally.sums;
        let count = Wide::from(rows as f64);
        let (of_x, of_y) = (deviations(xx, x, x, rows), deviations(yy, y, y, rows));
        let of_both = deviations(xy, x, y, rows);
        if of_x.to_f64() <= 0.0 {
            return Self::default();
        }
        let slope = of_both.over(of_x);
        let explained = slope.times(of_both);
        let intercept = y.wide().minus(slope.times(x.wide())).over(count);
        let left = of_y.minus(explained).or_zero(of_y, rows).to_f64().max(0.0);
        let degrees = (rows - 2) as f64;
        let stderr = (rows > 2).then(|| (left / degrees / of_x.to_f64()).sqrt());
        let slope = slope.to_f64();
        let p_value = stderr.filter(|_| different > 2).map(|stderr| {
            // A line without slope and without error is as flat as can be.
            let t = if slope == 0.0 { 0.0 } else { slope / stderr };
            student_two_sided(t, degrees)
        });
        let r2 = explained.over(of_y).to_f64();
        Self {
            slope: Some(slope),
            intercept: Some(intercept.to_f64()),
            r2: r2.is_finite().then(|| r2.min(1.0)),
            stderr,
            p_value,
        }
    }

    fn direction(&self) -> Option<&'static str> {
        let (p_value, slope) = (self.p_value?, self.slope?);
        Some(if p_value >= SIGNIFICANT {
            "flat"
        } else if slope > 0.0 {
            "up"
        } else {
            "down"
        })
    }
}

/// The only form.
struct TrendForm;

fn trend() -> Trend {
    Trend(Tallied(Line))
}

impl Form for TrendForm {
    fn state_fields(&self) -> Vec<Field> {
        trend().state_fields()
    }

    fn accumulator(self: Box<Self>) -> Box<dyn Accumulator> {
        Box::new(MetricForm(trend())).accumulator()
    }

    fn sliding(self: Box<Self>) -> Option<Box<dyn Accumulator>> {
        Some(Box::new(SlidingTrend {
            metric: trend(),
            state: State::default(),
            places: HashMap::default(),
        }))
    }

    fn groups(self: Box<Self>) -> Box<dyn GroupsAccumulator> {
        Box::new(MetricForm(trend())).groups()
    }
}

/// For frames that rows also leave: knows how often each x is in the frame.
#[derive(Debug)]
struct SlidingTrend {
    metric: Trend,
    state: State,
    places: HashMap<u64, i64>,
}

impl SlidingTrend {
    fn slide(&mut self, values: &[ArrayRef], sign: Sign) -> Result<()> {
        let Self {
            metric,
            state,
            places,
        } = self;
        let columns = Metric::columns(metric, values)?;
        let selection = selection(values, metric.required(), None);
        for_each_row(selection.as_ref(), rows_of(values), |row| {
            match sign {
                Sign::Plus => metric.add(state, &columns, row)?,
                Sign::Minus => metric.remove(state, &columns, row)?,
            }
            let place = columns.x(row)?.to_bits();
            let rows = places.entry(place).or_insert(0);
            *rows += sign.one();
            if *rows == 0 {
                places.remove(&place);
            }
            Ok(())
        })
    }
}

impl Accumulator for SlidingTrend {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.slide(values, Sign::Plus)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.slide(values, Sign::Minus)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        not_impl_err!("trend_test(): frames are not merged")
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut different = Different::default();
        for place in self.places.keys().take(3) {
            different.meet(f64::from_bits(*place));
        }
        self.state.different = different;
        ScalarValue::try_from_array(&self.metric.finish(&[self.state])?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        first_row(&self.metric.write(&[self.state]))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.places.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, TimestampMicrosecondArray};

    use super::*;
    use crate::precise::FloatSum;

    fn fit(points: &[(f64, f64)]) -> Fit {
        let mut state = State::default();
        for (x, y) in points {
            state.tally.counts[0] += 1;
            state.tally.sums[0].add(*x);
            state.tally.sums[1].add(*y);
            state.tally.sums[2].add_product(*x, *x);
            state.tally.sums[3].add_product(*y, *y);
            state.tally.sums[4].add_product(*x, *y);
            state.different.meet(*x);
        }
        Fit::new(&state)
    }

    #[test]
    fn sums_on_a_grid_are_those_of_the_rows() {
        // 2014 to 2038 to the microsecond, and days since 1993.
        let moments = (0..500).map(|row| 1_400_000_000_123_457 + row * 1_500_000_000_001);
        let moments: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(moments));
        let dates: ArrayRef = Arc::new(Date32Array::from_iter_values(
            (0..500).map(|day| 8_500 + 61 * day),
        ));
        let y = Float64Array::from_iter_values((0..500).map(|row| f64::from(row * 37 % 11 - 3)));
        let columns = |x| Points {
            x: Places::Times(Times::new(x).unwrap()),
            y: &y,
        };
        for x in [&moments, &dates] {
            let (mut at_once, mut by_row) = (Tally::default(), Tally::default());
            assert_eq!(Line.count_all(&mut at_once, &columns(x)), Some([]));
            for row in 0..500 {
                Line.count(&mut by_row, &columns(x), row, [], Sign::Plus)
                    .unwrap();
            }
            assert_eq!(at_once.counts, by_row.counts);
            assert_eq!(
                at_once.sums.map(FloatSum::total),
                by_row.sums.map(FloatSum::total)
            );
            let line = |tally| {
                Fit::new(&State {
                    tally,
                    different: Different([0.0, 1.0, 2.0].map(Some)),
                })
            };
            assert_eq!(line(at_once), line(by_row));
        }
        for other in [vec![-3, 5, 9], vec![0, 1, 2], vec![1, 2, 20_000]] {
            let dates: ArrayRef = Arc::new(Date32Array::from(other));
            let y = Float64Array::from(vec![1.0; 3]);
            let points = Points {
                x: Places::Times(Times::new(&dates).unwrap()),
                y: &y,
            };
            assert!(Grid::of(&points).is_none(), "{dates:?}");
        }
    }

    #[test]
    fn two_points_have_a_line_but_no_test() {
        let fit = fit(&[(0.0, 1.0), (2.0, 5.0)]);
        assert_eq!(
            (fit.slope, fit.intercept, fit.r2),
            (Some(2.0), Some(1.0), Some(1.0))
        );
        assert_eq!(
            (fit.stderr, fit.p_value, fit.direction()),
            (None, None, None)
        );
    }

    #[test]
    fn two_places_have_no_test_however_many_points() {
        let fit = fit(&[(0.0, 1.0), (0.0, 2.0), (1.0, 5.0), (1.0, 6.0)]);
        assert_eq!((fit.slope, fit.p_value), (Some(4.0), None));
    }

    #[test]
    fn one_place_has_no_line() {
        assert_eq!(fit(&[(1.0, 1.0), (1.0, 2.0)]), Fit::default());
    }

    #[test]
    fn a_perfect_line_is_certain_and_a_constant_is_flat() {
        let line = fit(&[
            (1e9, 0.1),
            (1e9 + 1.0, 0.2),
            (1e9 + 2.0, 0.30000000000000004),
        ]);
        assert!(line.p_value.unwrap() < 1e-6);
        assert_eq!(line.direction(), Some("up"));
        let constant = fit(&[(0.0, 0.1), (1.0, 0.1), (5.0, 0.1)]);
        assert_eq!((constant.slope, constant.p_value), (Some(0.0), Some(1.0)));
        assert_eq!((constant.r2, constant.direction()), (None, Some("flat")));
    }
}
