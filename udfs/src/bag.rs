//! Metrics that remember entries of each group: (key, place) with a row count. Partial states travel
//! as lists of entries, so that merging is exact, and an entry goes when its last row leaves a frame.

use std::fmt::Debug;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion_common::{DataFusionError, Result};

use crate::aggregate::{for_each_row, rows_of, selection};
use crate::arguments::{Held, hold, hold_other, primitive, varying_argument};
use crate::distinct::KeyArgument;
use crate::entries::{self, Entries};
use crate::groups::{Groups, check_groups, list_field, offsets_of};
use crate::keys::Keys;
use crate::lists::{Listed, lists};
use crate::measure::Sign;

/// What is known of one entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The number of its key.
    pub(crate) key: u64,
    /// Its place under the key, such as a period.
    pub(crate) place: i64,
    /// Its rows.
    pub(crate) rows: i64,
}

/// A group at the end: its entries by key and place, and its constant arguments.
#[derive(Debug)]
pub(crate) struct Gathered<'a, const K: usize> {
    /// Ordered by key, then by place.
    pub(crate) entries: &'a [Entry],
    /// `None` if no row has come.
    pub(crate) constants: Option<[i64; K]>,
}

/// A metric of entries, and `K` constant arguments as whole numbers.
pub(crate) trait BagMetric<const K: usize>: Clone + Debug + Send + Sync + 'static {
    /// A batch's other argument columns with their types known.
    type Columns<'a>;

    /// SQL name, for messages.
    const FUNCTION: &'static str;
    /// Names of the constant arguments.
    const CONSTANTS: [&'static str; K];

    /// The argument whose values are told apart, if there is one.
    fn key(&self) -> Option<&KeyArgument>;
    /// Positions of the arguments whose NULL makes a row not count.
    fn required(&self) -> &'static [usize];
    /// Looks at a batch once, so that rows are cheap.
    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Self::Columns<'a>>;
    /// The constant arguments of a row.
    fn constants(&self, columns: &Self::Columns<'_>, row: usize) -> Result<[i64; K]>;
    /// Refuses constant arguments that cannot be meant.
    fn check(&self, constants: [i64; K]) -> Result<()>;
    /// Key (where no argument is one) and place of a row, `None` if it makes no entry;
    /// refuses bad values.
    fn item(
        &self,
        columns: &Self::Columns<'_>,
        row: usize,
        constants: [i64; K],
    ) -> Result<Option<(u64, i64)>>;
    /// The results, one per group, in the declared type.
    fn finish(&self, groups: &[Gathered<'_, K>]) -> Result<ArrayRef>;
}

/// A group, and the halves of a key and a place.
type Parts = [u32; 5];

/// Places are moved so that the lowest one is 0.
const LOWEST: u64 = i64::MIN as u64;

fn parts(group: usize, key: u64, place: i64) -> Parts {
    let [key, place] =
        [key, place as u64 ^ LOWEST].map(|number| [(number >> 32) as u32, number as u32]);
    [group as u32, key[0], key[1], place[0], place[1]]
}

fn entry(stored: entries::Entry<5>) -> Entry {
    let whole = |[high, low]: [u32; 2]| u64::from(high) << 32 | u64::from(low);
    let [_, key_high, key_low, place_high, place_low] = stored.parts;
    Entry {
        key: whole([key_high, key_low]),
        place: (whole([place_high, place_low]) ^ LOWEST) as i64,
        rows: stored.count,
    }
}

/// The entries of each group.
#[derive(Debug)]
pub(crate) struct Bag<M, const K: usize> {
    metric: M,
    keys: Option<Keys>,
    constants: Vec<Option<[i64; K]>>,
    entries: Entries<5>,
    /// Rows that have come and not left.
    rows: i64,
    /// Keys of the batch at hand, kept for their allocation.
    batch: Vec<u64>,
}

impl<M: BagMetric<K>, const K: usize> Bag<M, K> {
    /// Refuses key types that cannot be told apart.
    pub(crate) fn new(metric: M) -> Result<Self> {
        let keys = |key: &KeyArgument| Keys::new(M::FUNCTION, key.name, &key.data_type);
        Ok(Self {
            keys: metric.key().map(keys).transpose()?,
            metric,
            constants: Vec::new(),
            entries: Entries::default(),
            rows: 0,
            batch: Vec::new(),
        })
    }

    #[cold]
    fn varying(held: Option<[i64; K]>, found: [i64; K]) -> DataFusionError {
        let differs = held.and_then(|held| (0..K).find(|at| held[*at] != found[*at]));
        let name = differs.and_then(|at| M::CONSTANTS.get(at));
        varying_argument(M::FUNCTION, name.copied().unwrap_or("an argument"))
    }

    fn count(
        &mut self,
        arguments: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
        sign: Sign,
    ) -> Result<()> {
        let Self {
            metric,
            keys,
            constants,
            entries,
            rows,
            batch,
        } = self;
        let selection = selection(arguments, metric.required(), filter);
        batch.clear();
        if let (Some(keys), Some(key)) = (keys, metric.key()) {
            keys.read(&arguments[key.position], selection.as_ref(), batch)?;
        }
        let columns = metric.columns(arguments)?;
        for_each_row(selection.as_ref(), rows_of(arguments), |row| {
            let group = group_of(row);
            let found = metric.constants(&columns, row)?;
            match hold(&mut constants[group], found) {
                Held::Same => {}
                Held::First => metric.check(found)?,
                Held::Differs => return Err(Self::varying(constants[group], found)),
            }
            if let Some((key, place)) = metric.item(&columns, row, found)? {
                let key = batch.get(row).copied().unwrap_or(key);
                entries.push(parts(group, key, place), sign.one());
                *rows += sign.one();
            }
            Ok(())
        })?;
        match sign {
            Sign::Plus => entries.settle(),
            Sign::Minus => entries.settle_early(*rows as usize),
        }
        if sign == Sign::Minus && *rows == 0 {
            constants.fill(None);
        }
        Ok(())
    }

    /// The entries of the first groups, ordered, and where each group's start and all end.
    fn gather(&self, groups: usize) -> (Vec<Entry>, Vec<usize>) {
        let sorted = self.entries.sorted(groups);
        let offsets = offsets_of(groups, sorted.iter().map(|entry| entry.group()));
        (sorted.iter().map(entry).collect(), offsets)
    }

    /// Starts anew with this many groups.
    fn clear(&mut self, groups: usize) {
        self.constants = vec![None; groups];
        self.entries = Entries::default();
        self.rows = 0;
        if let Some(keys) = &mut self.keys {
            keys.clear();
        }
    }
}

impl<M: BagMetric<K>, const K: usize> Groups for Bag<M, K> {
    const RETRACTS: bool = true;

    fn empty(&self) -> Result<Self> {
        Self::new(self.metric.clone())
    }

    fn fields(&self) -> Vec<Field> {
        let constants = M::CONSTANTS.map(|name| Field::new(name, DataType::Int64, true));
        let key = self.keys.as_ref().zip(self.metric.key());
        let key = key.map(|(keys, key)| (key.name, keys.data_type().clone()));
        let (name, key) = key.unwrap_or(("key", DataType::Int64));
        let key = [list_field(name, key)];
        let own = ["place", "rows"].map(|name| list_field(name, DataType::Int64));
        constants.into_iter().chain(key).chain(own).collect()
    }

    fn len(&self) -> usize {
        self.constants.len()
    }

    fn grow(&mut self, groups: usize) -> Result<()> {
        check_groups(M::FUNCTION, groups)?;
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
        let rows = rows_of(states);
        let held = states[..K]
            .iter()
            .map(primitive::<Int64Type>)
            .collect::<Result<Vec<_>>>()?;
        for row in 0..rows {
            if held.iter().any(|column| column.is_null(row)) {
                continue;
            }
            let mut found = [0; K];
            for (slot, column) in found.iter_mut().zip(&held) {
                *slot = column.value(row);
            }
            let constants = &mut self.constants[group_of(row)];
            if !hold_other(constants, Some(found)) {
                return Err(Self::varying(*constants, found));
            }
        }
        let listed = Listed::new(M::FUNCTION, &states[K..])?;
        let items = &listed.items;
        self.batch.clear();
        match &mut self.keys {
            Some(keys) => keys.read(&items[0], None, &mut self.batch)?,
            None => {
                let keys = primitive::<Int64Type>(&items[0])?.values().iter();
                self.batch.extend(keys.map(|key| *key as u64));
            }
        }
        let places = primitive::<Int64Type>(&items[1])?.values();
        let counts = primitive::<Int64Type>(&items[2])?.values();
        for row in 0..rows {
            let group = group_of(row);
            for item in listed.of(row) {
                let parts = parts(group, self.batch[item], places[item]);
                self.entries.push(parts, counts[item]);
                self.rows += counts[item];
            }
        }
        self.entries.settle();
        Ok(())
    }

    fn finish(&self, groups: usize) -> Result<ArrayRef> {
        let (entries, offsets) = self.gather(groups);
        let bounds = offsets.windows(2).zip(&self.constants);
        let gathered: Vec<_> = bounds
            .map(|(bounds, constants)| Gathered {
                entries: &entries[bounds[0]..bounds[1]],
                constants: *constants,
            })
            .collect();
        self.metric.finish(&gathered)
    }

    fn write(&self, groups: usize) -> Result<Vec<ArrayRef>> {
        let (entries, offsets) = self.gather(groups);
        let mut columns: Vec<ArrayRef> = Vec::new();
        for constant in 0..K {
            let values = self.constants[..groups].iter();
            let values = values.map(|held| held.map(|held| held[constant]));
            columns.push(Arc::new(values.collect::<Int64Array>()));
        }
        let mut items = vec![match &self.keys {
            Some(keys) => {
                keys.values(&entries.iter().map(|entry| entry.key).collect::<Vec<_>>())?
            }
            None => Arc::new(Int64Array::from_iter_values(
                entries.iter().map(|entry| entry.key as i64),
            )),
        }];
        let whole = |field: fn(&Entry) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(entries.iter().map(field)))
        };
        items.extend([whole(|entry| entry.place), whole(|entry| entry.rows)]);
        columns.extend(lists(M::FUNCTION, &offsets, items)?);
        Ok(columns)
    }

    fn discard(&mut self, groups: usize) -> Result<()> {
        if groups >= self.constants.len() {
            self.clear(0);
            return Ok(());
        }
        self.constants.drain(..groups);
        self.entries.discard(groups);
        let entries = self.entries.len();
        if self.keys.iter().any(|keys| keys.are_stale(entries)) {
            let groups = self.constants.len();
            let state = self.write(groups)?;
            self.clear(groups);
            self.merge(&state, |row| row)?;
        }
        Ok(())
    }

    fn heap_size(&self) -> usize {
        self.constants.capacity() * size_of::<Option<[i64; K]>>()
            + self.entries.heap_size()
            + self.entries.sort_bytes()
            + self.entries.len() * size_of::<Entry>()
            + self.batch.capacity() * size_of::<u64>()
            + self.keys.as_ref().map_or(0, Keys::heap_size)
    }
}
