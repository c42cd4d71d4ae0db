//! Customer Satisfaction Index: satisfaction with the aspects of an offer, weighted by how much each
//! one matters.
//!
//! Per attribute the mean satisfaction `S` and the mean importance `I`, then `100 · Σ w (S − min)/(max
//! − min)` with `w = I/ΣI`. Means first, then weights: weighting row by row differs as soon as those
//! who find something important judge it otherwise.

use std::mem::take;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion_common::{DataFusionError, HashMap, Result};
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate, for_each_row, rows_of, selection};
use crate::answers::{Answers, answer as answer_type};
use crate::arguments::{
    Held, doubles, finite, hold, hold_other, invalid_call, invalid_value, number, primitive, text,
    varying_argument, wrong_arity,
};
use crate::groups::{Groups, check_groups, list_field, offsets_of};
use crate::keys::Keys;
use crate::lists::{Listed, lists};
use crate::measure::{Sign, first_arguments, only_value, optional};
use crate::precise::{FloatSum, MAX_SQUARABLE, squarable};
use crate::record::{counts, numbers};
use crate::satisfaction::cli::off_scale;

/// The aggregate `csi`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "Customer Satisfaction Index, 0 to 100: for each attribute the mean satisfaction, rescaled from scale_min..scale_max to 0..100, weighted by the attribute's mean importance. One row per customer and attribute. With the default scale 1 to 10 this is the rescaling of the ACSI; with scale_min = 0 it is the weighted mean x 10 of TLF and UKCSI. Rows where an argument is NULL are skipped; without rows, or where all importances are 0, the result is NULL. Satisfaction outside the scale, a negative importance, ends of the scale in the wrong order, NaN and infinity are errors. Source: ACSI methodology; TLF Research.",
    syntax_example = "csi(attribute, satisfaction, importance)",
    alternative_syntax = "csi(attribute, satisfaction, importance, scale_min)",
    alternative_syntax = "csi(attribute, satisfaction, importance, scale_min, scale_max)",
    sql_example = r"```sql
> SELECT round(csi(attribute, satisfaction, importance, scale_min => 0), 2) AS csi
  FROM (VALUES ('service', 8, 9), ('service', 6, 10), ('price', 5, 7), ('price', 7, 5), ('delivery', 9, 8))
       AS answers(attribute, satisfaction, importance);
+-------+
| csi   |
+-------+
| 74.26 |
+-------+
```",
    argument(name = "attribute", description = "The aspect that is judged, text."),
    argument(
        name = "satisfaction",
        description = "How satisfied the customer is with it."
    ),
    argument(
        name = "importance",
        description = "How much it matters to the customer, 0 or more."
    ),
    argument(
        name = "scale_min",
        description = "Lowest satisfaction, default 1; the same in all rows of a group."
    ),
    argument(
        name = "scale_max",
        description = "Highest satisfaction, default 10; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Csi;

export_aggregate!(Csi, csi, csi_udaf);

/// Lowest satisfaction where none is given.
const SCALE_MIN: f64 = 1.0;
/// Highest satisfaction where none is given.
const SCALE_MAX: f64 = 10.0;

const FORMS: &str = "csi(attribute, satisfaction, importance) or \
                     csi(attribute, satisfaction, importance, scale_min, scale_max)";

impl Definition for Csi {
    const NAME: &'static str = "csi";
    const PARAMETERS: &'static [&'static str] = &[
        "attribute",
        "satisfaction",
        "importance",
        "scale_min",
        "scale_max",
    ];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 3..=5) {
            return wrong_arity(Self::NAME, FORMS, types.len());
        }
        let named = Self::PARAMETERS.iter().zip(types);
        named
            .map(|(name, given)| match *name {
                "attribute" => text(Self::NAME, name, given),
                "satisfaction" | "importance" => answer_type(Self::NAME, name, given),
                name => number(Self::NAME, name, given),
            })
            .collect()
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        Ok(Box::new(Judgements::new(types.len(), &types[0])?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// What was said of one attribute.
#[derive(Debug, Clone, Copy, Default)]
struct Aspect {
    rows: i64,
    /// Of satisfaction and importance.
    sums: [FloatSum; 2],
}

impl Aspect {
    fn add(&mut self, sign: Sign, addends: [f64; 2]) {
        self.rows += sign.one();
        for (sum, addend) in self.sums.iter_mut().zip(addends) {
            sum.add(sign.of(addend));
        }
        if self.rows == 0 {
            *self = Self::default();
        }
    }

    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        for (sum, other) in self.sums.iter_mut().zip(other.sums) {
            sum.merge(other);
        }
    }
}

/// A group and the number of an attribute.
type Address = (u32, u64);

/// Few attributes come again and again: where those of the latest rows stand is kept, in so many places.
const RECENT: usize = 4_096;
/// Places between those of two groups; as many groups as [`RECENT`] has room for do not meet.
const RECENT_OF_GROUP: usize = 61;

/// The aspects of all groups.
#[derive(Debug)]
struct Aspects {
    stored: Vec<(Address, Aspect)>,
    places: HashMap<Address, u32>,
    /// Places of aspects, each to be checked.
    recent: Vec<u32>,
}

impl Default for Aspects {
    fn default() -> Self {
        Self {
            stored: Vec::new(),
            places: HashMap::default(),
            recent: vec![u32::MAX; RECENT],
        }
    }
}

impl Aspects {
    /// Where an aspect stands.
    #[inline]
    fn place(&mut self, group: usize, attribute: u64) -> usize {
        let address = (group as u32, attribute);
        let recent = self.recent[Self::recent_place(address)] as usize;
        match self.stored.get(recent) {
            Some((known, _)) if *known == address => recent,
            _ => self.find(address),
        }
    }

    #[inline]
    fn recent_place((group, attribute): Address) -> usize {
        (group as usize * RECENT_OF_GROUP).wrapping_add(attribute as usize) % RECENT
    }

    #[inline(never)]
    fn find(&mut self, address: Address) -> usize {
        let stored = &mut self.stored;
        let place = *self.places.entry(address).or_insert_with(|| {
            stored.push((address, Aspect::default()));
            stored.len() as u32 - 1
        });
        self.recent[Self::recent_place(address)] = place;
        place as usize
    }

    fn of(&mut self, group: usize, attribute: u64) -> &mut Aspect {
        let place = self.place(group, attribute);
        &mut self.stored[place].1
    }

    /// Aspects of the first groups by group and attribute, and where each group's start and all end.
    fn sorted(&self, groups: usize) -> (Vec<(Address, Aspect)>, Vec<usize>) {
        let emitted = self
            .stored
            .iter()
            .filter(|((group, _), aspect)| (*group as usize) < groups && aspect.rows != 0);
        let mut emitted: Vec<_> = emitted.copied().collect();
        emitted.sort_unstable_by_key(|(address, _)| *address);
        let offsets = offsets_of(
            groups,
            emitted.iter().map(|((group, _), _)| *group as usize),
        );
        (emitted, offsets)
    }

    fn heap_size(&self) -> usize {
        self.stored.capacity() * size_of::<(Address, Aspect)>()
            + self.places.allocation_size()
            + self.recent.capacity() * size_of::<u32>()
    }
}

/// The answers of each group.
#[derive(Debug)]
struct Judgements {
    arguments: usize,
    keys: Keys,
    /// The ends of each group's scale.
    scales: Vec<Option<[f64; 2]>>,
    aspects: Aspects,
    /// Attributes of the batch at hand, kept for their allocation.
    attributes: Vec<u64>,
}

impl Judgements {
    fn new(arguments: usize, attribute: &DataType) -> Result<Self> {
        Ok(Self {
            arguments,
            keys: Keys::new(Csi::NAME, "attribute", attribute)?,
            scales: Vec::new(),
            aspects: Aspects::default(),
            attributes: Vec::new(),
        })
    }

    fn count(
        &mut self,
        arguments: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
        sign: Sign,
    ) -> Result<()> {
        let selection = selection(arguments, first_arguments(self.arguments), filter);
        let attributes = &mut self.attributes;
        self.keys
            .read(&arguments[0], selection.as_ref(), attributes)?;
        let satisfactions = Answers::new(&arguments[1])?;
        let importances = Answers::new(&arguments[2])?;
        let (mins, maxs) = (optional(arguments, 3)?, optional(arguments, 4)?);
        // What a batch finds is laid out for all aspects, which takes long where there are many.
        if selection.is_none()
            && sign == Sign::Plus
            && self.aspects.stored.len() <= RECENT
            && let Some(scale) = whole_answers(satisfactions, importances, mins, maxs)
        {
            return self.count_whole(satisfactions, importances, scale, group_of);
        }
        for_each_row(selection.as_ref(), rows_of(arguments), |row| {
            let end = |column: Option<&Float64Array>, default: f64| {
                column.map_or(default, |column| column.value(row))
            };
            let scale = [end(mins, SCALE_MIN), end(maxs, SCALE_MAX)];
            let group = group_of(row);
            match hold(&mut self.scales[group], scale) {
                Held::Same => {}
                Held::First => check_scale(scale)?,
                Held::Differs => return Err(varying(self.scales[group], scale)),
            }
            let answer = answer(satisfactions.value(row), importances.value(row), scale)?;
            self.aspects.of(group, attributes[row]).add(sign, answer);
            Ok(())
        })
    }
}

/// The one scale of a batch of whole numbers that all can be meant; `None` if it is not so.
fn whole_answers(
    satisfactions: Answers<'_>,
    importances: Answers<'_>,
    mins: Option<&Float64Array>,
    maxs: Option<&Float64Array>,
) -> Option<[f64; 2]> {
    let scale = [only_value(mins, SCALE_MIN)?, only_value(maxs, SCALE_MAX)?];
    let whole = satisfactions.whole_within(scale[0], scale[1])?
        && importances.whole_within(0.0, MAX_SQUARABLE)?;
    whole.then_some(scale)
}

fn check_scale([min, max]: [f64; 2]) -> Result<()> {
    squarable(Csi::NAME, "scale_min", min)?;
    squarable(Csi::NAME, "scale_max", max)?;
    if min < max {
        return Ok(());
    }
    Err(invalid_call(
        Csi::NAME,
        format!("scale_min {min} must be below scale_max {max}; swap them or correct one"),
    ))
}

#[cold]
fn varying(held: Option<[f64; 2]>, found: [f64; 2]) -> DataFusionError {
    let min = held.is_none_or(|held| held[0] != found[0]);
    varying_argument(Csi::NAME, if min { "scale_min" } else { "scale_max" })
}

/// Satisfaction and importance of a row, if they can be meant.
#[inline]
fn answer(satisfaction: f64, importance: f64, [min, max]: [f64; 2]) -> Result<[f64; 2]> {
    let satisfaction = finite(Csi::NAME, "satisfaction", satisfaction)?;
    if !(min..=max).contains(&satisfaction) {
        return Err(off_scale(Csi::NAME, "satisfaction", satisfaction, min, max));
    }
    let importance = squarable(Csi::NAME, "importance", importance)?;
    if importance < 0.0 {
        return Err(invalid_value(
            Csi::NAME,
            format!("importance {importance} is negative; filter it or correct it"),
        ));
    }
    Ok([satisfaction, importance])
}

impl Judgements {
    /// How often each aspect is met in a batch, and the sums of its answers.
    fn found(
        &mut self,
        answers: impl Iterator<Item = [f64; 2]>,
        group_of: impl Fn(usize) -> usize,
    ) -> Vec<(i64, [f64; 2])> {
        let mut found: Vec<(i64, [f64; 2])> = Vec::new();
        for (row, (answer, attribute)) in answers.zip(&self.attributes).enumerate() {
            let place = self.aspects.place(group_of(row), *attribute);
            if place >= found.len() {
                found.resize(self.aspects.stored.len(), (0, [0.0; 2]));
            }
            let (rows, sums) = &mut found[place];
            *rows += 1;
            for (sum, more) in sums.iter_mut().zip(answer) {
                *sum += more;
            }
        }
        found
    }

    /// Counts in what [`whole_answers`] has accepted: nothing is lost of the sums of a batch.
    fn count_whole(
        &mut self,
        satisfactions: Answers<'_>,
        importances: Answers<'_>,
        scale: [f64; 2],
        group_of: impl Fn(usize) -> usize,
    ) -> Result<()> {
        check_scale(scale)?;
        let found = match (satisfactions, importances) {
            (Answers::Whole(satisfactions), Answers::Whole(importances)) => {
                let answers = satisfactions.values().iter().zip(importances.values());
                self.found(
                    answers.map(|(one, other)| [*one, *other].map(f64::from)),
                    group_of,
                )
            }
            _ => {
                let answer = |row| [satisfactions, importances].map(|answers| answers.value(row));
                self.found((0..satisfactions.len()).map(answer), group_of)
            }
        };
        let stored = self.aspects.stored.iter_mut().zip(found);
        for (((group, _), aspect), (rows, sums)) in stored.filter(|(_, (rows, _))| *rows > 0) {
            let held = &mut self.scales[*group as usize];
            if hold(held, scale) == Held::Differs {
                return Err(varying(*held, scale));
            }
            aspect.rows += rows;
            for (sum, more) in aspect.sums.iter_mut().zip(sums) {
                sum.add(more);
            }
        }
        Ok(())
    }
}

impl Groups for Judgements {
    const RETRACTS: bool = true;

    fn empty(&self) -> Result<Self> {
        Self::new(self.arguments, self.keys.data_type())
    }

    fn fields(&self) -> Vec<Field> {
        let ends = ["scale_min", "scale_max"];
        let ends = ends.map(|end| Field::new(end, DataType::Float64, true));
        let sums = ["satisfaction", "importance"];
        let sums = sums.into_iter().flat_map(FloatSum::fields);
        let lists = [
            list_field("attribute", self.keys.data_type().clone()),
            list_field("rows", DataType::Int64),
        ];
        let sums = sums.map(|sum| list_field(sum.name(), DataType::Float64));
        ends.into_iter().chain(lists).chain(sums).collect()
    }

    fn len(&self) -> usize {
        self.scales.len()
    }

    fn grow(&mut self, groups: usize) -> Result<()> {
        check_groups(Csi::NAME, groups)?;
        self.scales.resize(groups.max(self.scales.len()), None);
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
        self.count(arguments, |_| 0, None, Sign::Minus)?;
        let mut left = self.aspects.stored.iter();
        if left.all(|(_, aspect)| aspect.rows == 0) {
            *self = self.empty()?;
            self.grow(1)?;
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let (mins, maxs) = (doubles(&states[0])?, doubles(&states[1])?);
        let listed = Listed::new(Csi::NAME, &states[2..])?;
        let items = &listed.items;
        self.keys.read(&items[0], None, &mut self.attributes)?;
        let counts = primitive::<Int64Type>(&items[1])?.values();
        let sums = [FloatSum::read(&items[2..4])?, FloatSum::read(&items[4..6])?];
        for row in 0..rows_of(states) {
            let group = group_of(row);
            if mins.is_valid(row) {
                let found = [mins.value(row), maxs.value(row)];
                if !hold_other(&mut self.scales[group], Some(found)) {
                    return Err(varying(self.scales[group], found));
                }
            }
            for item in listed.of(row) {
                let aspect = Aspect {
                    rows: counts[item],
                    sums: [sums[0][item], sums[1][item]],
                };
                let stored = self.aspects.of(group, self.attributes[item]);
                stored.merge(&aspect);
            }
        }
        Ok(())
    }

    fn finish(&self, emitted: usize) -> Result<ArrayRef> {
        let (aspects, offsets) = self.aspects.sorted(emitted);
        let groups = offsets.windows(2).zip(&self.scales);
        Ok(numbers(groups.map(|(bounds, scale)| {
            index(&aspects[bounds[0]..bounds[1]], (*scale)?)
        })))
    }

    fn write(&self, emitted: usize) -> Result<Vec<ArrayRef>> {
        let (aspects, offsets) = self.aspects.sorted(emitted);
        let end = |place: usize| -> ArrayRef {
            let scales = self.scales[..emitted].iter();
            numbers(scales.map(|scale| scale.map(|scale| scale[place])))
        };
        let attributes: Vec<_> = aspects.iter().map(|((_, key), _)| *key).collect();
        let rows = counts(aspects.iter().map(|(_, aspect)| aspect.rows));
        let mut items = vec![self.keys.values(&attributes)?, rows];
        for sum in 0..2 {
            let sums = aspects.iter().map(|(_, aspect)| &aspect.sums[sum]);
            items.extend(FloatSum::write(sums));
        }
        let mut columns = vec![end(0), end(1)];
        columns.extend(lists(Csi::NAME, &offsets, items)?);
        Ok(columns)
    }

    fn discard(&mut self, emitted: usize) -> Result<()> {
        let stays = self.scales.len().saturating_sub(emitted);
        self.scales.drain(..self.scales.len() - stays);
        let before = take(&mut self.aspects);
        let gone = emitted as u32;
        for ((group, attribute), aspect) in before.stored {
            if let Some(group) = group.checked_sub(gone) {
                *self.aspects.of(group as usize, attribute) = aspect;
            }
        }
        if self.keys.are_stale(self.aspects.stored.len()) {
            let state = self.write(stays)?;
            *self = self.empty()?;
            self.grow(stays)?;
            self.merge(&state, |row| row)?;
        }
        Ok(())
    }

    fn heap_size(&self) -> usize {
        self.scales.capacity() * size_of::<Option<[f64; 2]>>()
            + self.aspects.heap_size()
            + self.attributes.capacity() * size_of::<u64>()
            + self.keys.heap_size()
    }
}

fn index(aspects: &[(Address, Aspect)], [min, max]: [f64; 2]) -> Option<f64> {
    let (mut weighted, mut weights) = (FloatSum::default(), FloatSum::default());
    for (_, aspect) in aspects {
        let rows = aspect.rows as f64;
        let [satisfaction, importance] = aspect.sums.map(|sum| sum.total() / rows);
        weighted.add_product(importance, (satisfaction - min) / (max - min));
        weights.add(importance);
    }
    let weights = weights.total();
    (weights > 0.0).then(|| 100.0 * (weighted.total() / weights))
}
