//! Aggregates whose groups stand in one table, and their two faces to DataFusion: [`Single`] for one
//! group, [`Grouped`] for GROUP BY.

use std::fmt::Debug;
use std::mem::size_of_val;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field};
use datafusion_common::{Result, ScalarValue, exec_err, internal_err};
use datafusion_expr::{Accumulator, EmitTo, GroupsAccumulator};

use crate::aggregate::{Form, first_row, rows_of};

/// A table of groups, which are numbered from 0.
pub(crate) trait Groups: Debug + Send + Sync + Sized + 'static {
    /// Whether rows can be taken out again.
    const RETRACTS: bool = false;

    /// Fields of the partial state, matching [`Groups::write`].
    fn fields(&self) -> Vec<Field>;
    /// A table without groups for the same arguments.
    fn empty(&self) -> Result<Self>;
    /// How many groups there are.
    fn len(&self) -> usize;
    /// Makes groups until there are so many; an error beyond 32 bits.
    fn grow(&mut self, groups: usize) -> Result<()>;
    /// Takes rows in.
    fn update(
        &mut self,
        arguments: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> Result<()>;
    /// Takes rows out of group 0.
    fn retract(&mut self, _arguments: &[ArrayRef]) -> Result<()> {
        internal_err!("rows of this aggregate do not leave a frame")
    }
    /// Takes partial states in.
    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()>;
    /// The results of the first groups.
    fn finish(&self, emitted: usize) -> Result<ArrayRef>;
    /// The partial states of the first groups, which stay in the table.
    fn write(&self, emitted: usize) -> Result<Vec<ArrayRef>>;
    /// Removes the first groups; the others move down.
    fn discard(&mut self, emitted: usize) -> Result<()>;
    /// Bytes that the table has allocated.
    fn heap_size(&self) -> usize;

    /// The partial states of rows of which each is a group of its own.
    fn states_of(
        &self,
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = rows_of(arguments);
        let mut table = self.empty()?;
        table.grow(rows)?;
        table.update(arguments, |row| row, filter)?;
        table.write(rows)
    }
}

/// An empty table is the form of its aggregate.
impl<G: Groups> Form for G {
    fn state_fields(&self) -> Vec<Field> {
        self.fields()
    }

    fn accumulator(self: Box<Self>) -> Box<dyn Accumulator> {
        Box::new(Single(*self))
    }

    fn sliding(self: Box<Self>) -> Option<Box<dyn Accumulator>> {
        G::RETRACTS.then(|| self.accumulator())
    }

    fn groups(self: Box<Self>) -> Box<dyn GroupsAccumulator> {
        Box::new(Grouped(*self))
    }
}

/// A table with the one group 0.
#[derive(Debug)]
struct Single<G>(G);

impl<G: Groups> Accumulator for Single<G> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.grow(1)?;
        self.0.update(values, |_| 0, None)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.grow(1)?;
        self.0.retract(values)
    }

    fn supports_retract_batch(&self) -> bool {
        G::RETRACTS
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.grow(1)?;
        self.0.merge(states, |_| 0)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.grow(1)?;
        ScalarValue::try_from_array(&self.0.finish(1)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.grow(1)?;
        first_row(&self.0.write(1)?)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.heap_size()
    }
}

/// A table of the groups of GROUP BY.
#[derive(Debug)]
struct Grouped<G>(G);

impl<G: Groups> Grouped<G> {
    /// How many groups come out.
    fn emitted(&self, emit_to: EmitTo) -> usize {
        match emit_to {
            EmitTo::All => self.0.len(),
            EmitTo::First(first) => first.min(self.0.len()),
        }
    }
}

impl<G: Groups> GroupsAccumulator for Grouped<G> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.0.grow(total_num_groups)?;
        self.0.update(values, |row| group_indices[row], opt_filter)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.0.grow(total_num_groups)?;
        self.0.merge(values, |row| group_indices[row])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let emitted = self.emitted(emit_to);
        let results = self.0.finish(emitted)?;
        self.0.discard(emitted)?;
        Ok(results)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let emitted = self.emitted(emit_to);
        let states = self.0.write(emitted)?;
        self.0.discard(emitted)?;
        Ok(states)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.0.states_of(values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.heap_size()
    }
}

/// Groups are numbered in 32 bits.
pub(crate) fn check_groups(function: &str, groups: usize) -> Result<()> {
    if u32::try_from(groups).is_err() {
        return exec_err!("{function}(): more than {} groups", u32::MAX);
    }
    Ok(())
}

/// Where the entries of each of the first groups start, and where all end, if they stand by group;
/// entries of other groups are passed over.
pub(crate) fn offsets_of(groups: usize, entries: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut offsets = vec![0_usize; groups + 1];
    for group in entries {
        if let Some(end) = offsets.get_mut(group + 1) {
            *end += 1;
        }
    }
    for group in 0..groups {
        offsets[group + 1] += offsets[group];
    }
    offsets
}

/// A column of a partial state that lists entries.
pub(crate) fn list_field(name: &str, item: DataType) -> Field {
    Field::new_list(name, Field::new_list_field(item, true), true)
}
