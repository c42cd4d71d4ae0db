//! Constant arguments of a group, such as the bounds of a period. Nearly always they are the same
//! for all groups and rows: each distinct one is kept once, a state refers to it by a small number,
//! and a batch that holds only one is seen to do so before its rows are looked at.

use std::hash::Hash;
use std::mem::size_of;
use std::num::NonZeroU32;

use datafusion_common::{HashMap, Result, exec_datafusion_err};

/// Refers to a constant of one [`Constants`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConstantId(NonZeroU32);

/// The distinct constants that an accumulator has met, in order of appearance.
#[derive(Debug, Clone)]
pub(crate) struct Constants<C> {
    known: Vec<C>,
    ids: HashMap<C, ConstantId>,
}

impl<C> Default for Constants<C> {
    fn default() -> Self {
        Self {
            known: Vec::new(),
            ids: HashMap::default(),
        }
    }
}

impl<C: Copy + Eq + Hash> Constants<C> {
    /// The number of a constant, new or known.
    pub(crate) fn id(&mut self, constant: C) -> Result<ConstantId> {
        if let Some(id) = self.ids.get(&constant) {
            return Ok(*id);
        }
        let id = u32::try_from(self.known.len() + 1)
            .ok()
            .and_then(NonZeroU32::new)
            .map(ConstantId)
            .ok_or_else(|| exec_datafusion_err!("too many different constant arguments"))?;
        self.known.push(constant);
        self.ids.insert(constant, id);
        Ok(id)
    }

    /// The constant behind a number.
    #[inline]
    pub(crate) fn get(&self, id: ConstantId) -> C {
        self.known[id.0.get() as usize - 1]
    }

    /// Numbers the constants of a batch: `same` is the one constant of all rows if the batch has
    /// only one, `at` reads a row's, `None` where it is NULL.
    pub(crate) fn of_batch(
        &mut self,
        rows: usize,
        same: Option<C>,
        at: impl Fn(usize) -> Option<C>,
    ) -> Result<PerRow> {
        if let Some(constant) = same {
            return Ok(PerRow::Same(self.id(constant)?));
        }
        let mut last: Option<(C, ConstantId)> = None;
        let mut ids = Vec::with_capacity(rows);
        for row in 0..rows {
            ids.push(match (at(row), last) {
                (None, _) => None,
                (Some(constant), Some((known, id))) if known == constant => Some(id),
                (Some(constant), _) => {
                    let id = self.id(constant)?;
                    last = Some((constant, id));
                    Some(id)
                }
            });
        }
        Ok(PerRow::Each(ids))
    }

    /// Bytes on the heap.
    pub(crate) fn heap_size(&self) -> usize {
        self.known.capacity() * size_of::<C>() + self.ids.allocation_size()
    }
}

/// The constant of each row of a batch.
#[derive(Debug)]
pub(crate) enum PerRow {
    /// All rows have this one.
    Same(ConstantId),
    /// One per row, `None` where it is NULL.
    Each(Vec<Option<ConstantId>>),
}

impl PerRow {
    /// The constant of a row; `None` where it is NULL.
    #[inline]
    pub(crate) fn at(&self, row: usize) -> Option<ConstantId> {
        match self {
            Self::Same(id) => Some(*id),
            Self::Each(ids) => ids[row],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_constants_have_one_number() {
        let mut constants = Constants::default();
        let (first, second) = (constants.id(7).unwrap(), constants.id(8).unwrap());
        assert_ne!(first, second);
        assert_eq!(constants.id(7).unwrap(), first);
        assert_eq!((constants.get(first), constants.get(second)), (7, 8));
    }

    #[test]
    fn rows_keep_their_own_constant_and_null_has_none() {
        let mut constants = Constants::default();
        let values = [Some(1), None, Some(2), Some(2), Some(1)];
        let rows = constants.of_batch(5, None, |row| values[row]).unwrap();
        let read = |row| rows.at(row).map(|id| constants.get(id));
        assert_eq!([0, 1, 2, 3, 4].map(read), values);
    }
}
