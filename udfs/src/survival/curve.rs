//! Kaplan–Meier: `S(t) = Π (1 − dᵢ/nᵢ)` over the times up to t at which customers left, where of
//! the nᵢ customers still observed dᵢ left. Those who left at a time come before those whose
//! observation ended at it. The interval is the exponential Greenwood (log–log) one. Source: Kaplan
//! and Meier 1958; Kalbfleisch and Prentice 1980.
//!
//! The state is the number of customers per duration, so that it is exact however rows are split,
//! and rows can leave a window frame.

use std::mem::{size_of, take};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use datafusion_common::cast::as_boolean_array;
use datafusion_common::{DataFusionError, HashMap, Result};

use crate::aggregate::{Form, for_each_row, rows_of, selection};
use crate::arguments::{
    Held, condition, doubles, finite, hold, hold_other, invalid_call, invalid_value, number,
    primitive, varying_argument, wrong_arity,
};
use crate::groups::{Groups, check_groups, list_field, offsets_of};
use crate::lists::{Listed, lists};
use crate::measure::Sign;
use crate::statistics::distributions::normal_within;

/// What a function asks of the curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Question {
    /// All its points; the constant is the confidence of the interval.
    Curve,
    /// The share that is left at a time.
    At,
    /// When it falls to a half.
    Median,
    /// The area under it up to a time.
    Mean,
}

/// Confidence where none is given.
const CONFIDENCE: f64 = 0.95;

/// A function of a curve.
#[derive(Debug, Clone, Copy)]
pub(super) struct CurveFunction {
    pub(super) function: &'static str,
    pub(super) question: Question,
    /// Name of the constant argument, if there can be one.
    pub(super) constant: Option<&'static str>,
    /// What it is without being given; `None` if it must be.
    pub(super) otherwise: Option<f64>,
}

impl CurveFunction {
    /// Coerced types of the arguments.
    pub(super) fn coerce(&self, forms: &str, types: &[DataType]) -> Result<Vec<DataType>> {
        let given = types.len() == 3 && self.constant.is_some();
        let missing = self.constant.is_some() && self.otherwise.is_none();
        if !(given || types.len() == 2 && !missing) {
            return wrong_arity(self.function, forms, types.len());
        }
        let mut coerced = vec![
            number(self.function, "duration", &types[0])?,
            condition(self.function, "churned", &types[1])?,
        ];
        if let (Some(name), Some(constant)) = (self.constant, types.get(2)) {
            coerced.push(number(self.function, name, constant)?);
        }
        Ok(coerced)
    }

    /// The type of the result.
    pub(super) fn return_type(&self) -> DataType {
        match self.question {
            Question::Curve => DataType::List(Arc::new(point_field())),
            _ => DataType::Float64,
        }
    }

    /// The form for coerced types.
    pub(super) fn form(self, types: &[DataType]) -> Box<dyn Form> {
        Box::new(CurveGroups::new(self, types.len() == 3))
    }

    #[cold]
    fn bad_constant(&self, value: f64) -> DataFusionError {
        let name = self.constant.unwrap_or_default();
        let remedy = match self.question {
            Question::Curve => "is outside 0..1; write for example 0.95",
            _ => "is negative; it is a time since the start, in the unit of duration",
        };
        invalid_call(self.function, format!("{name} {value} {remedy}"))
    }

    fn checked(&self, constant: f64) -> Result<f64> {
        let constant = finite(self.function, self.constant.unwrap_or_default(), constant)?;
        let good = match self.question {
            Question::Curve => constant > 0.0 && constant < 1.0,
            _ => constant >= 0.0,
        };
        if good {
            Ok(constant)
        } else {
            Err(self.bad_constant(constant))
        }
    }
}

fn point_fields() -> Fields {
    Fields::from(vec![
        Field::new("t", DataType::Float64, true),
        Field::new("at_risk", DataType::Int64, true),
        Field::new("events", DataType::Int64, true),
        Field::new("survival", DataType::Float64, true),
        Field::new("low", DataType::Float64, true),
        Field::new("high", DataType::Float64, true),
    ])
}

fn point_field() -> Field {
    Field::new_list_field(DataType::Struct(point_fields()), true)
}

/// Customers of one duration.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Count {
    /// Those who left at its end.
    left: i64,
    /// All of them.
    all: i64,
}

/// Durations of the customers of each group; their bits sort as they do, because none is negative.
#[derive(Debug)]
struct CurveGroups {
    function: CurveFunction,
    with_constant: bool,
    constants: Vec<Option<f64>>,
    counts: HashMap<(u32, u64), Count>,
}

impl CurveGroups {
    fn new(function: CurveFunction, with_constant: bool) -> Self {
        Self {
            function,
            with_constant,
            constants: Vec::new(),
            counts: HashMap::default(),
        }
    }

    /// Takes rows in or out.
    fn count(
        &mut self,
        arguments: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
        sign: Sign,
    ) -> Result<()> {
        let required: &[usize] = if self.with_constant {
            &[0, 1, 2]
        } else {
            &[0, 1]
        };
        let selection = selection(arguments, required, filter);
        let (durations, churned) = (doubles(&arguments[0])?, as_boolean_array(&arguments[1])?);
        let constants = match arguments.get(2) {
            Some(constants) if self.with_constant => Some(doubles(constants)?),
            _ => None,
        };
        let Self {
            function,
            constants: held,
            counts,
            ..
        } = self;
        for_each_row(selection.as_ref(), rows_of(arguments), |row| {
            let group = group_of(row);
            if let Some(constants) = constants {
                let constant = constants.value(row) + 0.0;
                match hold(&mut held[group], constant) {
                    Held::Same => {}
                    Held::First => {
                        function.checked(constant)?;
                    }
                    Held::Differs => {
                        let name = function.constant.unwrap_or_default();
                        return Err(varying_argument(function.function, name));
                    }
                }
            }
            let duration = finite(function.function, "duration", durations.value(row))?;
            if duration < 0.0 {
                return Err(invalid_value(
                    function.function,
                    format!("duration {duration} is negative; filter it or correct it"),
                ));
            }
            let key = (group as u32, (duration + 0.0).to_bits());
            let count = counts.entry(key).or_default();
            count.all += sign.one();
            count.left += sign.one() * i64::from(churned.value(row));
            if *count == Count::default() {
                counts.remove(&key);
            }
            Ok(())
        })
    }

    /// Durations and counts of the first groups in order, with where each group's start.
    fn sorted(&self, emitted: usize) -> (Vec<usize>, Vec<(f64, Count)>) {
        let mut entries: Vec<_> = self
            .counts
            .iter()
            .filter(|((group, _), _)| (*group as usize) < emitted)
            .map(|((group, duration), count)| (*group, *duration, *count))
            .collect();
        entries.sort_unstable_by_key(|(group, duration, _)| (*group, *duration));
        let groups = entries.iter().map(|(group, ..)| *group as usize);
        let offsets = offsets_of(emitted, groups);
        let sorted = entries.into_iter();
        let sorted = sorted.map(|(_, duration, count)| (f64::from_bits(duration), count));
        (offsets, sorted.collect())
    }
}

impl Groups for CurveGroups {
    const RETRACTS: bool = true;

    fn empty(&self) -> Result<Self> {
        Ok(Self::new(self.function, self.with_constant))
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("constant", DataType::Float64, true),
            list_field("duration", DataType::Float64),
            list_field("left", DataType::Int64),
            list_field("observed", DataType::Int64),
        ]
    }

    fn len(&self) -> usize {
        self.constants.len()
    }

    fn grow(&mut self, groups: usize) -> Result<()> {
        check_groups(self.function.function, groups)?;
        if self.constants.len() < groups {
            self.constants.resize(groups, None);
        }
        Ok(())
    }

    fn update(
        &mut self,
        arguments: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        self.count(arguments, group_of, filter, Sign::Plus)
    }

    fn retract(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        self.count(arguments, |_| 0, None, Sign::Minus)
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let constants = doubles(&states[0])?;
        let listed = Listed::new(self.function.function, &states[1..])?;
        let durations = doubles(&listed.items[0])?;
        let left = primitive::<Int64Type>(&listed.items[1])?;
        let all = primitive::<Int64Type>(&listed.items[2])?;
        for row in 0..rows_of(states) {
            let group = group_of(row);
            let other = constants.is_valid(row).then(|| constants.value(row));
            if !hold_other(&mut self.constants[group], other) {
                let name = self.function.constant.unwrap_or_default();
                return Err(varying_argument(self.function.function, name));
            }
            for item in listed.of(row) {
                let key = (group as u32, durations.value(item).to_bits());
                let count = self.counts.entry(key).or_default();
                count.left += left.value(item);
                count.all += all.value(item);
            }
        }
        Ok(())
    }

    fn finish(&self, emitted: usize) -> Result<ArrayRef> {
        let (offsets, sorted) = self.sorted(emitted);
        let groups = offsets.windows(2).zip(&self.constants);
        let groups = groups.map(|(bounds, constant)| {
            let constant = constant.or(self.function.otherwise);
            (
                points(&sorted[bounds[0]..bounds[1]]),
                bounds[0] < bounds[1],
                constant,
            )
        });
        if self.function.question == Question::Curve {
            return curves(groups);
        }
        let question = self.function.question;
        let answer = |(points, known, constant): (Vec<Point>, bool, Option<f64>)| {
            known.then(|| answer(question, &points, constant.unwrap_or_default()))?
        };
        Ok(Arc::new(groups.map(answer).collect::<Float64Array>()))
    }

    fn write(&self, emitted: usize) -> Result<Vec<ArrayRef>> {
        let (offsets, sorted) = self.sorted(emitted);
        let constants = self.constants[..emitted].iter().copied();
        let durations = sorted.iter().map(|(duration, _)| *duration);
        let left = sorted.iter().map(|(_, count)| count.left);
        let all = sorted.iter().map(|(_, count)| count.all);
        let items: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from_iter_values(durations)),
            Arc::new(Int64Array::from_iter_values(left)),
            Arc::new(Int64Array::from_iter_values(all)),
        ];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(constants.collect::<Float64Array>())];
        columns.extend(lists(self.function.function, &offsets, items)?);
        Ok(columns)
    }

    fn discard(&mut self, emitted: usize) -> Result<()> {
        self.constants.drain(..emitted);
        let emitted = emitted as u32;
        // A new table, because draining in place would keep the size of the largest moment.
        self.counts = take(&mut self.counts)
            .into_iter()
            .filter_map(|((group, duration), count)| {
                let group = group.checked_sub(emitted)?;
                Some(((group, duration), count))
            })
            .collect();
        Ok(())
    }

    fn heap_size(&self) -> usize {
        self.constants.capacity() * size_of::<Option<f64>>() + self.counts.allocation_size()
    }
}

/// The curve after a time at which customers left.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    t: f64,
    at_risk: i64,
    events: i64,
    survival: f64,
    /// Greenwood's sum, infinite once nobody is left.
    variance: f64,
}

/// The curve of customers sorted by duration.
fn points(sorted: &[(f64, Count)]) -> Vec<Point> {
    let mut at_risk: i64 = sorted.iter().map(|(_, count)| count.all).sum();
    let (mut survival, mut variance) = (1.0, 0.0);
    let mut points = Vec::new();
    for (t, Count { left, all }) in sorted {
        if *left > 0 {
            let stay = (at_risk - left) as f64;
            survival *= stay / at_risk as f64;
            variance += *left as f64 / (at_risk as f64 * stay);
            points.push(Point {
                t: *t,
                at_risk,
                events: *left,
                survival,
                variance,
            });
        }
        at_risk -= all;
    }
    points
}

/// One number about a curve.
fn answer(question: Question, points: &[Point], constant: f64) -> Option<f64> {
    /// The product of fractions that make a half may be rounded to a little more.
    const HALF: f64 = 0.5 * (1.0 + 1e-12);
    match question {
        Question::At => {
            let passed = points.iter().take_while(|point| point.t <= constant);
            Some(passed.last().map_or(1.0, |point| point.survival))
        }
        Question::Median => {
            let mut points = points.iter();
            points
                .find(|point| point.survival <= HALF)
                .map(|point| point.t)
        }
        Question::Mean | Question::Curve => {
            let (mut area, mut from, mut height) = (0.0, 0.0, 1.0);
            for point in points.iter().take_while(|point| point.t < constant) {
                area += (point.t - from) * height;
                (from, height) = (point.t, point.survival);
            }
            Some(area + (constant - from) * height)
        }
    }
}

/// Curves as lists of structs; NULL for groups without customers.
fn curves(groups: impl Iterator<Item = (Vec<Point>, bool, Option<f64>)>) -> Result<ArrayRef> {
    let (mut lengths, mut known, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = (CONFIDENCE, normal_within(CONFIDENCE));
    for (points, has_rows, confidence) in groups {
        let confidence = confidence.unwrap_or(CONFIDENCE);
        if last.0 != confidence {
            last = (confidence, normal_within(confidence));
        }
        lengths.push(points.len());
        known.push(has_rows);
        all.extend(
            points
                .into_iter()
                .map(|point| (point, bounds(&point, last.1))),
        );
    }
    let double = |of: &dyn Fn(&(Point, Bounds)) -> Option<f64>| -> ArrayRef {
        Arc::new(all.iter().map(of).collect::<Float64Array>())
    };
    let at_risk = all.iter().map(|(point, _)| point.at_risk);
    let events = all.iter().map(|(point, _)| point.events);
    let columns = vec![
        double(&|(point, _)| Some(point.t)),
        Arc::new(Int64Array::from_iter_values(at_risk)) as ArrayRef,
        Arc::new(Int64Array::from_iter_values(events)),
        double(&|(point, _)| Some(point.survival)),
        double(&|(_, bounds)| bounds.map(|(low, _)| low)),
        double(&|(_, bounds)| bounds.map(|(_, high)| high)),
    ];
    let structs = StructArray::try_new(point_fields(), columns, None)?;
    Ok(Arc::new(ListArray::try_new(
        Arc::new(point_field()),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(structs),
        Some(NullBuffer::from(known)),
    )?))
}

/// Low and high end of an interval, if there is one.
type Bounds = Option<(f64, f64)>;

fn bounds(point: &Point, z: f64) -> Bounds {
    if point.survival <= 0.0 {
        return None;
    }
    let hazard = -point.survival.ln();
    let spread = (z * point.variance.sqrt() / hazard).exp();
    Some(((-hazard * spread).exp(), (-hazard / spread).exp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(f64, i64, i64)]) -> Vec<Point> {
        let count = |(t, left, all): &(f64, i64, i64)| {
            let (left, all) = (*left, *all);
            (*t, Count { left, all })
        };
        points(&rows.iter().map(count).collect::<Vec<_>>())
    }

    #[test]
    fn who_leaves_at_a_time_comes_before_whose_observation_ends_at_it() {
        let curve = of(&[(2.0, 1, 2), (3.0, 1, 1)]);
        assert_eq!((curve[0].at_risk, curve[1].at_risk), (3, 1));
        assert_eq!(curve[1].survival, 0.0);
        assert_eq!(bounds(&curve[1], 1.96), None);
    }

    #[test]
    fn a_half_is_a_half_however_it_is_rounded() {
        for n in 2..200 {
            let rows: Vec<_> = (1..=n).map(|t| (t as f64, 1, 1)).collect();
            let half = (n as f64 / 2.0).ceil();
            assert_eq!(answer(Question::Median, &of(&rows), 0.0), Some(half), "{n}");
        }
        assert_eq!(
            answer(Question::Median, &of(&[(1.0, 1, 3), (2.0, 0, 2)]), 0.0),
            None
        );
    }

    #[test]
    fn points_and_areas_of_a_staircase() {
        let curve = of(&[(2.0, 1, 1), (4.0, 1, 1)]);
        for (at, share, area) in [
            (0.0, 1.0, 0.0),
            (2.0, 0.5, 2.0),
            (3.0, 0.5, 2.5),
            (9.0, 0.0, 3.0),
        ] {
            assert_eq!(answer(Question::At, &curve, at), Some(share), "{at}");
            assert_eq!(answer(Question::Mean, &curve, at), Some(area), "{at}");
        }
    }
}
