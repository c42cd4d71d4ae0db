//! Numbers for columns: each sequence belongs to a column of a table and goes with it.
//!
//! Numbers are handed out in blocks. The catalog file knows where the next block begins, so no number is
//! given twice, also after a crash; what is left of a block then is a gap.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use super::Warehouse;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Numbers that are taken at a time, the first time.
const BLOCK_MIN: u64 = 32;
/// Numbers that are taken at a time by those who ask for many.
const BLOCK_MAX: u64 = 4_096;

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// What its numbers are kept under.
    pub id: String,
    /// Its name, in the schema of its table.
    pub name: String,
    /// The column that it belongs to.
    pub column: String,
    /// The first number.
    pub start: i64,
    /// From one number to the next.
    pub increment: i64,
    /// The least number.
    pub least: i64,
    /// The greatest number.
    pub greatest: i64,
    /// Whether it starts again at its end.
    pub cycles: bool,
}

/// What is left of the blocks that were taken, by the sequence's id.
#[derive(Debug, Default)]
pub(super) struct Blocks(Mutex<HashMap<String, Block>>);

#[derive(Debug)]
struct Block {
    /// The next number, unless none is left.
    next: Option<i64>,
    left: u64,
    /// Numbers to take the next time.
    size: u64,
}

impl Blocks {
    /// A poisoned lock only means that a holder panicked; each block is whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Block>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sequence {
    /// The number after one; none at the end.
    fn after(&self, number: i64) -> Option<i64> {
        let next = number.checked_add(self.increment);
        next.filter(|next| (self.least..=self.greatest).contains(next))
            .or_else(|| {
                let first = if self.increment > 0 {
                    self.least
                } else {
                    self.greatest
                };
                self.cycles.then_some(first)
            })
    }

    /// 2200H
    fn exhausted(&self) -> Error {
        let (what, limit) = match self.increment > 0 {
            true => ("maximum", self.greatest),
            false => ("minimum", self.least),
        };
        Error::new(
            SqlState::SequenceGeneratorLimitExceeded,
            format!(
                "nextval: reached {what} value of sequence \"{}\" ({limit})",
                self.name
            ),
        )
    }
}

impl Warehouse {
    /// The next numbers of a sequence, each given once.
    pub fn next_numbers(&self, sequence: &Sequence, count: usize) -> Result<Vec<i64>> {
        let mut blocks = self.numbers.lock();
        let block = blocks.entry(sequence.id.clone()).or_insert(Block {
            next: None,
            left: 0,
            size: BLOCK_MIN,
        });
        let mut numbers = Vec::with_capacity(count);
        while numbers.len() < count {
            if block.left == 0 {
                let wanted = block.size.max((count - numbers.len()) as u64);
                let taken = self.take_numbers(sequence, wanted)?;
                (block.next, block.left) = (Some(taken.0), taken.1);
                block.size = (block.size * 2).min(BLOCK_MAX);
            }
            let next = block.next.ok_or_else(|| sequence.exhausted())?;
            numbers.push(next);
            block.next = sequence.after(next);
            block.left -= 1;
        }
        Ok(numbers)
    }

    /// Makes a number the last one that was given, or the next one.
    pub fn set_number(&self, sequence: &Sequence, number: i64, was_given: bool) -> Result<()> {
        if !(sequence.least..=sequence.greatest).contains(&number) {
            return Err(Error::numeric_value_out_of_range(format!(
                "setval: value {number} is out of bounds for sequence \"{}\" ({}..{})",
                sequence.name, sequence.least, sequence.greatest
            )));
        }
        let next = match was_given {
            true => sequence.after(number),
            false => Some(number),
        };
        let mut blocks = self.numbers.lock();
        self.metastore.write(|transaction| {
            write(transaction, &sequence.id, next).map_err(|error| self.metastore.failed(error))
        })?;
        blocks.remove(&sequence.id);
        Ok(())
    }

    /// The last number that was given, or the first one to come and that it was not.
    pub fn last_number(&self, sequence: &Sequence) -> Result<(i64, bool)> {
        let blocks = self.numbers.lock();
        let block = blocks.get(&sequence.id).filter(|block| block.left > 0);
        let next = match block {
            Some(block) => Some(block.next),
            None => self.metastore.read(|transaction| {
                let sql = "SELECT next FROM sequence_numbers WHERE id = ?1";
                transaction
                    .query_row(sql, [&sequence.id], |row| row.get(0))
                    .optional()
                    .map_err(|error| self.metastore.failed(error))
            })?,
        };
        Ok(match next {
            None => (sequence.start, false),
            Some(None) if sequence.increment > 0 => (sequence.greatest, true),
            Some(None) => (sequence.least, true),
            Some(Some(next)) if next == sequence.start => (next, false),
            Some(Some(next)) => (next.saturating_sub(sequence.increment), true),
        })
    }

    /// Takes up to so many numbers: the first of them, and how many.
    fn take_numbers(&self, sequence: &Sequence, wanted: u64) -> Result<(i64, u64)> {
        self.metastore.write(|transaction| {
            let failed = |error| self.metastore.failed(error);
            let sql = "SELECT next FROM sequence_numbers WHERE id = ?1";
            let known: Option<Option<i64>> = transaction
                .query_row(sql, [&sequence.id], |row| row.get(0))
                .optional()
                .map_err(failed)?;
            let first = match known {
                None => sequence.start,
                Some(next) => next.ok_or_else(|| sequence.exhausted())?,
            };
            let (mut taken, mut next) = (0, Some(first));
            while let (Some(number), true) = (next, taken < wanted) {
                next = sequence.after(number);
                taken += 1;
            }
            write(transaction, &sequence.id, next).map_err(failed)?;
            Ok((first, taken))
        })
    }

    /// Forgets the numbers of sequences that are not there any more. Nothing uses one yet.
    pub(super) fn forget_numbers(&self) -> Result<()> {
        let names = self.names();
        let relations = names.relations.values();
        let live: Vec<&str> = relations
            .flat_map(|relation| &relation.sequences)
            .map(|sequence| sequence.id.as_str())
            .collect();
        let live = serde_json::Value::from(live).to_string();
        self.metastore.write(|transaction| {
            let sql = "DELETE FROM sequence_numbers
                       WHERE id NOT IN (SELECT value FROM json_each(?1))";
            let gone = transaction.execute(sql, [&live]);
            gone.map(drop).map_err(|error| self.metastore.failed(error))
        })
    }
}

fn write(transaction: &Transaction<'_>, id: &str, next: Option<i64>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO sequence_numbers (id, next) VALUES (?1, ?2)
               ON CONFLICT (id) DO UPDATE SET next = excluded.next";
    transaction.execute(sql, params![id, next]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_ends_or_starts_again() {
        let mut sequence = Sequence {
            id: String::new(),
            name: "s".to_owned(),
            column: "c".to_owned(),
            start: 1,
            increment: 2,
            least: 1,
            greatest: 4,
            cycles: false,
        };
        assert_eq!(sequence.after(1), Some(3));
        assert_eq!(sequence.after(3), None);
        sequence.cycles = true;
        assert_eq!(sequence.after(3), Some(1));
        (sequence.increment, sequence.greatest) = (-1, i64::MAX);
        assert_eq!(sequence.after(1), Some(i64::MAX));
        let state = sequence.exhausted().state();
        assert_eq!(state.code(), "2200H");
    }
}
