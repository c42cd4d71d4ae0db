//! Metrics over distinct customers: one table of (group, customer) for all groups, with what is
//! remembered of each customer beside it. Partial states travel as lists of distinct customers, so
//! that merging is exact.

use std::fmt::Debug;
use std::mem::{size_of, take};

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Field};
use datafusion_common::{HashMap, Result};

use crate::aggregate::{for_each_row, rows_of, selection};
use crate::arguments::wrong_arity;
use crate::groups::{Groups, check_groups, list_field, offsets_of};
use crate::keys::{Keys, key_type};
use crate::lists::{Listed, lists};
use crate::members::{LISTED_GROUPS_MAX, Member, Members};

/// An argument whose distinct values are told apart.
#[derive(Debug, Clone)]
pub(crate) struct KeyArgument {
    /// Its position in the call.
    pub(crate) position: usize,
    /// Its name, for messages.
    pub(crate) name: &'static str,
    /// Its coerced type.
    pub(crate) data_type: DataType,
}

/// What the table says about the key of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// The group has not met this customer before.
    pub(crate) first: bool,
    /// The second key, 0 if there is none.
    pub(crate) second: u64,
}

/// A metric that counts customers once.
pub(crate) trait DistinctMetric: Clone + Debug + Send + Sync + 'static {
    /// Running numbers of a group, enough to give its result at any time.
    type Group: Copy + Debug + Default + Send + Sync;
    /// What is remembered of one customer of one group.
    type Mark: Copy + Debug + Default + Send + Sync;
    /// A batch's other argument columns with their types known.
    type Columns<'a>;
    /// What a row says about its customer.
    type Row: Copy;

    /// SQL name, for messages.
    fn function(&self) -> &'static str;
    /// The customer, and the second key if there is one.
    fn keys(&self) -> &[KeyArgument];
    /// Positions of the arguments whose NULL makes a row not count.
    fn required(&self) -> &'static [usize];
    /// Looks at a batch once, so that rows are cheap.
    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<Self::Columns<'a>>;

    /// Takes a row's own numbers into the group; `None` if its customer need not be looked up.
    fn accept(
        &self,
        group: &mut Self::Group,
        columns: &Self::Columns<'_>,
        row: usize,
    ) -> Result<Option<Self::Row>>;
    /// Counts the customer of an accepted row.
    fn observe(&self, group: &mut Self::Group, mark: &mut Self::Mark, seen: Seen, row: Self::Row);

    /// Takes in another part's own numbers; its customers follow one by one.
    fn merge_group(&self, group: &mut Self::Group, other: &Self::Group) -> Result<()>;
    /// Counts a customer of another part.
    fn merge_mark(
        &self,
        group: &mut Self::Group,
        mark: &mut Self::Mark,
        seen: Seen,
        other: Self::Mark,
    );

    /// Fields of the numbers that [`DistinctMetric::merge_group`] needs.
    fn group_fields(&self) -> Vec<Field>;
    /// Those numbers as columns.
    fn write_groups(&self, groups: &[Self::Group]) -> Vec<ArrayRef>;
    /// The reverse of [`DistinctMetric::write_groups`]; one default per row if there are none.
    fn read_groups(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Self::Group>>;

    /// Fields of a mark, apart from the second key.
    fn mark_fields(&self) -> Vec<Field> {
        Vec::new()
    }
    /// Marks as columns.
    fn write_marks(&self, _marks: &[Self::Mark]) -> Vec<ArrayRef> {
        Vec::new()
    }
    /// The reverse of [`DistinctMetric::write_marks`].
    fn read_marks(&self, _columns: &[ArrayRef], rows: usize) -> Result<Vec<Self::Mark>> {
        Ok(vec![Self::Mark::default(); rows])
    }
    /// The second key that a mark holds, if there is one.
    fn second(&self, _mark: &Self::Mark) -> u64 {
        0
    }

    /// The results, one per group, in the declared type.
    fn finish(&self, groups: &[Self::Group]) -> Result<ArrayRef>;

    /// Bytes on the heap that all groups share.
    fn heap_size(&self) -> usize {
        0
    }
}

/// The groups of a metric and the customers they have met.
#[derive(Debug)]
pub(crate) struct Distinct<M: DistinctMetric> {
    metric: M,
    keys: Vec<Keys>,
    groups: Vec<M::Group>,
    members: Members<M::Mark>,
    /// Keys of the batch at hand, kept for their allocation.
    customers: Vec<u64>,
    seconds: Vec<u64>,
}

impl<M: DistinctMetric> Distinct<M> {
    /// Refuses key types that cannot be told apart.
    pub(crate) fn new(metric: M) -> Result<Self> {
        let keys = |key: &KeyArgument| Keys::new(metric.function(), key.name, &key.data_type);
        Ok(Self {
            keys: metric.keys().iter().map(keys).collect::<Result<_>>()?,
            metric,
            groups: Vec::new(),
            members: Members::default(),
            customers: Vec::new(),
            seconds: Vec::new(),
        })
    }

    /// Starts anew with this many groups.
    fn clear(&mut self, groups: usize) {
        self.groups = vec![M::Group::default(); groups];
        self.members = Members::default();
        self.keys.iter_mut().for_each(Keys::clear);
    }
}

impl<M: DistinctMetric> Groups for Distinct<M> {
    fn empty(&self) -> Result<Self> {
        Self::new(self.metric.clone())
    }

    fn fields(&self) -> Vec<Field> {
        let keys = self.metric.keys().iter().zip(&self.keys);
        let keys = keys.map(|(key, keys)| list_field(key.name, keys.data_type().clone()));
        let marks = self.metric.mark_fields().into_iter();
        let marks = marks.map(|mark| list_field(mark.name(), mark.data_type().clone()));
        self.metric
            .group_fields()
            .into_iter()
            .chain(keys)
            .chain(marks)
            .collect()
    }

    fn len(&self) -> usize {
        self.groups.len()
    }

    fn grow(&mut self, groups: usize) -> Result<()> {
        check_groups(self.metric.function(), groups)?;
        if self.groups.len() < groups {
            self.groups.resize(groups, M::Group::default());
        }
        Ok(())
    }

    fn update(
        &mut self,
        arguments: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let rows = rows_of(arguments);
        let selection = selection(arguments, self.metric.required(), filter);
        let key_arrays: Vec<_> = self
            .metric
            .keys()
            .iter()
            .map(|key| &arguments[key.position])
            .collect();
        read_keys(
            &mut self.keys,
            &key_arrays,
            selection.as_ref(),
            &mut self.customers,
            &mut self.seconds,
        )?;
        if self.groups.len() <= LISTED_GROUPS_MAX {
            self.members.settle();
        }
        let columns = self.metric.columns(arguments)?;
        let Self {
            metric,
            groups,
            members,
            customers,
            seconds,
            ..
        } = self;
        for_each_row(selection.as_ref(), rows, |row| {
            let index = group_of(row);
            let group = &mut groups[index];
            if let Some(accepted) = metric.accept(group, &columns, row)? {
                let second = seconds.get(row).copied().unwrap_or_default();
                let member = Member::new(index, customers[row]);
                let (mark, first) = members.meet(member);
                let seen = Seen { first, second };
                metric.observe(group, mark, seen, accepted);
            }
            Ok(())
        })
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let own = self.metric.group_fields().len();
        let rows = rows_of(states);
        let others = self.metric.read_groups(&states[..own], rows)?;
        for (row, other) in others.iter().enumerate() {
            self.metric
                .merge_group(&mut self.groups[group_of(row)], other)?;
        }
        let listed = Listed::new(self.metric.function(), &states[own..])?;
        let (key_items, marks) = listed.items.split_at(self.keys.len());
        let key_items: Vec<_> = key_items.iter().collect();
        read_keys(
            &mut self.keys,
            &key_items,
            None,
            &mut self.customers,
            &mut self.seconds,
        )?;
        let marks = self.metric.read_marks(marks, self.customers.len())?;
        let Self {
            metric,
            groups,
            members,
            customers,
            seconds,
            ..
        } = self;
        if groups.len() <= LISTED_GROUPS_MAX {
            members.expect(groups.len(), customers);
        }
        for row in 0..rows {
            let index = group_of(row);
            for item in listed.of(row) {
                let second = seconds.get(item).copied().unwrap_or_default();
                let member = Member::new(index, customers[item]);
                let (mark, first) = members.meet(member);
                let seen = Seen { first, second };
                metric.merge_mark(&mut groups[index], mark, seen, marks[item]);
            }
        }
        Ok(())
    }

    fn finish(&self, emitted: usize) -> Result<ArrayRef> {
        self.metric.finish(&self.groups[..emitted])
    }

    fn write(&self, emitted: usize) -> Result<Vec<ArrayRef>> {
        let groups = self.members.iter().map(|(member, _)| member.group as usize);
        let offsets = offsets_of(emitted, groups);
        let total = offsets[emitted];
        let mut next = offsets.clone();
        let (mut customers, mut seconds) = (vec![0; total], vec![0; total]);
        let mut marks = vec![M::Mark::default(); total];
        for (member, mark) in self.members.iter() {
            let group = member.group as usize;
            if group < emitted {
                let place = next[group];
                customers[place] = member.customer();
                seconds[place] = self.metric.second(&mark);
                marks[place] = mark;
                next[group] += 1;
            }
        }
        let mut items = vec![self.keys[0].values(&customers)?];
        if let Some(keys) = self.keys.get(1) {
            items.push(keys.values(&seconds)?);
        }
        items.extend(self.metric.write_marks(&marks));
        let mut columns = self.metric.write_groups(&self.groups[..emitted]);
        columns.extend(lists(self.metric.function(), &offsets, items)?);
        Ok(columns)
    }

    fn discard(&mut self, emitted: usize) -> Result<()> {
        if emitted >= self.groups.len() {
            self.clear(0);
            return Ok(());
        }
        self.groups.drain(..emitted);
        let emitted = emitted as u32;
        let moved = |member: Member| {
            let group = member.group.checked_sub(emitted);
            group.map(|group| member.in_group(group))
        };
        // New tables, because draining in place would keep the size of the largest moment.
        let members = take(&mut self.members);
        let kept = members.iter();
        let kept = kept.filter_map(|(member, mark)| moved(member).map(|member| (member, mark)));
        self.members = kept.collect::<HashMap<_, _>>().into();
        let members = self.members.len();
        if self.keys.iter().any(|keys| keys.are_stale(members)) {
            let groups = self.groups.len();
            let state = self.write(groups)?;
            self.clear(groups);
            self.merge(&state, |row| row)?;
        }
        Ok(())
    }

    fn heap_size(&self) -> usize {
        self.groups.capacity() * size_of::<M::Group>()
            + self.members.heap_size()
            + (self.customers.capacity() + self.seconds.capacity()) * size_of::<u64>()
            + self.keys.capacity() * size_of::<Keys>()
            + self.keys.iter().map(Keys::heap_size).sum::<usize>()
            + self.metric.heap_size()
    }

    /// Each row is a group of its own with at most one customer; no table is needed.
    fn states_of(
        &self,
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut metric = self.metric.clone();
        let rows = rows_of(arguments);
        let selection = selection(arguments, metric.required(), filter);
        let columns = metric.columns(arguments)?;
        let mut groups = vec![M::Group::default(); rows];
        let mut marks = Vec::new();
        let mut counted = vec![false; rows];
        for_each_row(selection.as_ref(), rows, |row| {
            if let Some(accepted) = metric.accept(&mut groups[row], &columns, row)? {
                let mut mark = M::Mark::default();
                let seen = Seen {
                    first: true,
                    second: 0,
                };
                metric.observe(&mut groups[row], &mut mark, seen, accepted);
                marks.push(mark);
                counted[row] = true;
            }
            Ok(())
        })?;
        let mut offsets = vec![0; rows + 1];
        for (row, counted) in counted.iter().enumerate() {
            offsets[row + 1] = offsets[row] + usize::from(*counted);
        }
        let counted = BooleanArray::from(counted);
        let mut items = Vec::new();
        for key in metric.keys() {
            items.push(compute::filter(&arguments[key.position], &counted)?);
        }
        items.extend(metric.write_marks(&marks));
        let mut state = metric.write_groups(&groups);
        state.extend(lists(metric.function(), &offsets, items)?);
        Ok(state)
    }
}

fn read_keys(
    keys: &mut [Keys],
    arrays: &[&ArrayRef],
    selection: Option<&NullBuffer>,
    customers: &mut Vec<u64>,
    seconds: &mut Vec<u64>,
) -> Result<()> {
    for ((keys, array), out) in keys.iter_mut().zip(arrays).zip([customers, seconds]) {
        keys.read(array, selection, out)?;
    }
    Ok(())
}

/// Coerced types of a customer and, if given, an order key.
pub(crate) fn coerce_customer_and_order(
    function: &str,
    types: &[DataType],
) -> Result<Vec<DataType>> {
    if !matches!(types.len(), 1 | 2) {
        let forms = format!("{function}(customer_id) or {function}(customer_id, order_key)");
        return wrong_arity(function, &forms, types.len());
    }
    let names = CUSTOMER_AND_ORDER.iter();
    names
        .zip(types)
        .map(|(name, given)| key_type(function, name, given))
        .collect()
}

/// The key arguments that go with [`coerce_customer_and_order`].
pub(crate) fn customer_and_order(types: &[DataType]) -> Vec<KeyArgument> {
    let key = |(position, (name, data_type)): (usize, (&&'static str, &DataType))| KeyArgument {
        position,
        name,
        data_type: data_type.clone(),
    };
    CUSTOMER_AND_ORDER
        .iter()
        .zip(types)
        .enumerate()
        .map(key)
        .collect()
}

const CUSTOMER_AND_ORDER: [&str; 2] = ["customer_id", "order_key"];
