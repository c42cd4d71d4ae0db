//! Customers of groups as tuples of numbers, each distinct one with how often it occurs.
//!
//! Many customers share few numbers: days, and counts of purchases. A number is replaced by its place
//! in the dictionary of its column, so that a customer takes a few bits.

use std::mem::take;

use datafusion_common::{HashMap, Result, exec_err};

use crate::entries::{self, Entries, Entry};
use crate::groups::offsets_of;
use crate::keys::is_stale;

/// Numbers of a customer, the last one the weight.
pub(super) const COLUMNS: usize = 4;

/// A customer, and how often there is such a one.
pub(super) type Tuple = ([f64; COLUMNS], i64);

/// The distinct numbers of a column.
#[derive(Debug, Default)]
struct Dictionary {
    places: HashMap<u64, u32>,
    numbers: Vec<f64>,
    /// The number asked for last, and its place.
    last: (u64, u32),
}

impl Dictionary {
    #[inline]
    fn place(&mut self, number: f64) -> u32 {
        let Self {
            places,
            numbers,
            last,
        } = self;
        let bits = number.to_bits();
        if last.0 != bits || numbers.is_empty() {
            let place = places.entry(bits).or_insert_with(|| {
                numbers.push(number);
                numbers.len() as u32 - 1
            });
            *last = (bits, *place);
        }
        last.1
    }

    /// The numbers in order, and where in it each place has gone.
    fn ordered(&self) -> (Vec<f64>, Vec<u32>) {
        let mut order: Vec<_> = self.numbers.iter().copied().zip(0_u32..).collect();
        order.sort_unstable_by(|(left, _), (right, _)| left.total_cmp(right));
        let mut ranks = vec![0; order.len()];
        for ((_, place), rank) in order.iter().zip(0..) {
            ranks[*place as usize] = rank;
        }
        (order.into_iter().map(|(number, _)| number).collect(), ranks)
    }

    fn heap_size(&self) -> usize {
        self.places.allocation_size() + self.numbers.capacity() * size_of::<f64>()
    }
}

/// The customers of groups.
#[derive(Debug, Default)]
pub(super) struct Tuples {
    dictionaries: [Dictionary; COLUMNS],
    /// A group and places in the dictionaries.
    entries: Entries<{ 1 + COLUMNS }>,
}

/// Distinct customers by group and number.
pub(super) struct Sorted {
    /// Groups and ranks.
    entries: entries::Sorted<{ 1 + COLUMNS }>,
    /// The numbers of each column by rank.
    numbers: [Vec<f64>; COLUMNS],
    /// Where each group starts, and where the last one ends.
    pub(super) offsets: Vec<usize>,
}

impl Sorted {
    /// The customers of all groups.
    pub(super) fn customers(&self) -> impl Iterator<Item = Tuple> + '_ {
        self.entries.iter().map(|Entry { parts, count }| {
            let mut customer = [0.0; COLUMNS];
            for (column, numbers) in self.numbers.iter().enumerate() {
                customer[column] = numbers[parts[1 + column] as usize];
            }
            (customer, count)
        })
    }
}

impl Tuples {
    /// Takes in a customer. Groups are numbered in 32 bits.
    #[inline]
    pub(super) fn add(&mut self, group: usize, numbers: [f64; COLUMNS], count: i64) {
        let mut parts = [group as u32; 1 + COLUMNS];
        for (column, number) in numbers.into_iter().enumerate() {
            parts[1 + column] = self.dictionaries[column].place(number);
        }
        self.entries.push(parts, count);
    }

    /// To be called after each batch.
    pub(super) fn settle(&mut self, function: &str) -> Result<()> {
        let known = self.dictionaries.iter().map(|known| known.numbers.len());
        if u32::try_from(known.max().unwrap_or_default()).is_err() {
            return exec_err!("{function}(): more than {} different numbers", u32::MAX);
        }
        self.entries.settle();
        Ok(())
    }

    /// How many there are, at least as many as are distinct.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The distinct customers of the first groups, the same in whatever order they came.
    pub(super) fn sorted(&self, groups: usize) -> Sorted {
        let ordered = self.dictionaries.each_ref().map(Dictionary::ordered);
        let entries = self.entries.sorted_as(groups, |mut parts| {
            for (place, (_, ranks)) in parts[1..].iter_mut().zip(&ordered) {
                *place = ranks[*place as usize];
            }
            parts
        });
        Sorted {
            offsets: offsets_of(groups, entries.iter().map(|entry| entry.group())),
            entries,
            numbers: ordered.map(|(numbers, _)| numbers),
        }
    }

    /// Removes the first groups; the others move down.
    pub(super) fn discard(&mut self, groups: usize) {
        self.entries.discard(groups);
        let entries = self.entries.len();
        let mut known = self.dictionaries.iter().map(|known| known.numbers.len());
        if !known.any(|numbers| is_stale(numbers, entries)) {
            return;
        }
        let before = take(&mut self.dictionaries);
        for Entry { parts, count } in self.entries.drain() {
            let mut numbers = [0.0; COLUMNS];
            for (column, known) in before.iter().enumerate() {
                numbers[column] = known.numbers[parts[1 + column] as usize];
            }
            self.add(parts[0] as usize, numbers, count);
        }
    }

    /// Bytes on the heap, with those that sorting will need.
    pub(super) fn heap_size(&self) -> usize {
        let dictionaries = self.dictionaries.iter().map(Dictionary::heap_size);
        self.entries.heap_size() + self.entries.sort_bytes() + dictionaries.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(tuples: &Tuples, groups: usize) -> Vec<Vec<Tuple>> {
        let sorted = tuples.sorted(groups);
        let customers: Vec<_> = sorted.customers().collect();
        let bounds = sorted.offsets.windows(2);
        bounds
            .map(|bounds| customers[bounds[0]..bounds[1]].to_vec())
            .collect()
    }

    #[test]
    fn customers_are_the_same_in_whatever_order_they_come() {
        let customers = [
            (0, [3.0, 0.5, 9.0, 1.0], 1),
            (1, [0.0, 0.0, 2.0, 0.5], 2),
            (0, [1.0, 7.0, 9.0, 1.0], 1),
            (0, [3.0, 0.5, 9.0, 1.0], 4),
        ];
        let (mut there, mut back) = (Tuples::default(), Tuples::default());
        for (group, numbers, count) in customers {
            there.add(group, numbers, count);
        }
        for (group, numbers, count) in customers.into_iter().rev() {
            back.add(group, numbers, count);
        }
        let expected = vec![
            vec![([1.0, 7.0, 9.0, 1.0], 1), ([3.0, 0.5, 9.0, 1.0], 5)],
            vec![([0.0, 0.0, 2.0, 0.5], 2)],
        ];
        assert_eq!(groups(&there, 2), expected);
        assert_eq!(groups(&back, 2), expected);
        assert_eq!(groups(&there, 1), expected[..1]);
    }

    #[test]
    fn groups_that_go_take_their_numbers_along() {
        let mut tuples = Tuples::default();
        for row in 0..20_000 {
            tuples.add(row / 19_000, [f64::from(row as u32), 0.0, 1.0, 1.0], 1);
        }
        let (size, all) = (tuples.heap_size(), groups(&tuples, 2));
        tuples.discard(1);
        assert_eq!(groups(&tuples, 1), all[1..]);
        assert!(tuples.heap_size() < size / 2, "{}", tuples.heap_size());
        tuples.discard(1);
        assert_eq!(tuples.len(), 0);
    }
}
