//! Small tuples of groups, each distinct one with how often it occurs. Those that have left as often as
//! they came are gone.
//!
//! Equal entries are brought together by sorting, which goes through memory in order; a hash table of
//! millions waits for memory at every entry. As long as the parts of all entries fit in 64 bits
//! together, an entry is one number, which takes little memory and sorts several times as fast.

use std::mem::take;

/// A tuple of small numbers, the first one the group, and how often it occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<const N: usize> {
    pub(crate) parts: [u32; N],
    pub(crate) count: i64,
}

impl<const N: usize> Entry<N> {
    /// The group.
    pub(crate) fn group(&self) -> usize {
        self.parts[0] as usize
    }
}

/// Fewer entries than this are not looked at for equal ones before the end.
const COLLAPSED_MIN: usize = 1 << 20;

/// The same where entries also leave.
const EARLY_MIN: usize = 1_024;

/// Entries of groups; equal ones may stand beside each other.
#[derive(Debug)]
pub(crate) struct Entries<const N: usize> {
    layout: Layout<N>,
    /// Entries that occur once, packed.
    single: Vec<u64>,
    /// Others, packed.
    counted: Vec<(u64, i64)>,
    /// All entries, once they are too wide.
    wide: Vec<Entry<N>>,
    /// With so many entries equal ones are brought together.
    collapse_at: usize,
}

impl<const N: usize> Default for Entries<N> {
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            single: Vec::new(),
            counted: Vec::new(),
            wide: Vec::new(),
            collapse_at: COLLAPSED_MIN,
        }
    }
}

/// Distinct entries in order.
#[derive(Debug)]
pub(crate) struct Sorted<const N: usize> {
    layout: Layout<N>,
    packed: Vec<(u64, i64)>,
    wide: Vec<Entry<N>>,
}

impl<const N: usize> Sorted<N> {
    /// The entries by their parts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry<N>> + '_ {
        let packed = self.packed.iter();
        let packed = packed.map(|(packed, count)| Entry {
            parts: self.layout.unpacked(*packed),
            count: *count,
        });
        packed.chain(self.wide.iter().copied())
    }
}

impl<const N: usize> Entries<N> {
    /// Takes in a tuple.
    #[inline]
    pub(crate) fn push(&mut self, parts: [u32; N], count: i64) {
        match self.layout.packed(parts) {
            Some(packed) if count == 1 => self.single.push(packed),
            Some(packed) => self.counted.push((packed, count)),
            None => self.widen(Entry { parts, count }),
        }
    }

    /// Takes in a tuple that the layout has no room for.
    #[cold]
    fn widen(&mut self, entry: Entry<N>) {
        if self.layout.is_wide {
            self.wide.push(entry);
            return;
        }
        let entries = self.drain();
        self.layout = match entries.is_empty() {
            true => Layout::of(entry.parts),
            false => self.layout.with_room_for(entry.parts),
        };
        self.reserve(entries.len() + 1);
        for entry in entries.iter().chain([&entry]) {
            match self.layout.packed(entry.parts) {
                Some(packed) if entry.count == 1 => self.single.push(packed),
                Some(packed) => self.counted.push((packed, entry.count)),
                None => self.wide.push(*entry),
            }
        }
    }

    /// To be called after each batch: keeps no more entries than twice those that differ, but for a few.
    pub(crate) fn settle(&mut self) {
        if self.len() >= self.collapse_at {
            self.collapse();
            self.collapse_at = COLLAPSED_MIN.max(2 * self.len());
        }
    }

    /// The same where entries also leave, whose traces would become more than what is left.
    pub(crate) fn settle_early(&mut self, left: usize) {
        if self.len() > 2 * left + EARLY_MIN {
            self.collapse();
        }
    }

    fn collapse(&mut self) {
        let (single, counted) = (take(&mut self.single), take(&mut self.counted));
        self.counted = collapsed(single, counted);
        collapse_wide(&mut self.wide);
    }

    /// How many entries there are, at least as many as distinct tuples.
    pub(crate) fn len(&self) -> usize {
        self.single.len() + self.counted.len() + self.wide.len()
    }

    /// The distinct tuples of the first groups in order.
    pub(crate) fn sorted(&self, groups: usize) -> Sorted<N> {
        let mut wide = self.wide.clone();
        wide.retain(|entry| entry.group() < groups);
        collapse_wide(&mut wide);
        let mut packed = collapsed(self.single.clone(), self.counted.clone());
        let emitted =
            |(packed, _): &(u64, i64)| (self.layout.unpacked(*packed)[0] as usize) < groups;
        packed.truncate(packed.partition_point(emitted));
        Sorted {
            layout: self.layout,
            packed,
            wide,
        }
    }

    /// The same with other parts but the group; they must not be above the largest that have come.
    pub(crate) fn sorted_as(
        &self,
        groups: usize,
        changed: impl Fn([u32; N]) -> [u32; N],
    ) -> Sorted<N> {
        let mut other = Self {
            layout: self.layout,
            ..Self::default()
        };
        other.reserve(self.len());
        for entry in self.iter() {
            if entry.group() < groups {
                other.push(changed(entry.parts), entry.count);
            }
        }
        let packed = collapsed(other.single, other.counted);
        collapse_wide(&mut other.wide);
        Sorted {
            layout: other.layout,
            packed,
            wide: other.wide,
        }
    }

    fn iter(&self) -> impl Iterator<Item = Entry<N>> + '_ {
        let single = self.single.iter().map(|packed| (packed, 1));
        let counted = self.counted.iter().map(|(packed, count)| (packed, *count));
        let packed = single.chain(counted).map(|(packed, count)| Entry {
            parts: self.layout.unpacked(*packed),
            count,
        });
        packed.chain(self.wide.iter().copied())
    }

    fn reserve(&mut self, entries: usize) {
        match self.layout.is_wide {
            true => self.wide.reserve(entries),
            false => self.single.reserve(entries),
        }
    }

    /// Takes all entries out, in no order.
    pub(crate) fn drain(&mut self) -> Vec<Entry<N>> {
        let entries = self.iter().collect();
        (self.single, self.counted, self.wide) = Default::default();
        entries
    }

    /// Removes the first groups; the others move down.
    pub(crate) fn discard(&mut self, groups: usize) {
        let mut kept = Self::default();
        for Entry { mut parts, count } in self.iter() {
            if let Some(group) = parts[0].checked_sub(groups as u32) {
                parts[0] = group;
                kept.push(parts, count);
            }
        }
        *self = kept;
    }

    /// Bytes on the heap.
    pub(crate) fn heap_size(&self) -> usize {
        self.single.capacity() * size_of::<u64>()
            + self.counted.capacity() * size_of::<(u64, i64)>()
            + self.wide.capacity() * size_of::<Entry<N>>()
    }

    /// Bytes that [`Entries::sorted`] takes: a copy, what sorting needs beside it, and the result.
    pub(crate) fn sort_bytes(&self) -> usize {
        let packed = self.single.len() + self.counted.len();
        packed * 3 * size_of::<(u64, i64)>() + self.wide.len() * 2 * size_of::<Entry<N>>()
    }
}

/// Counts equal entries and puts them in order. Sorts are stable ones, because these are quick where
/// sorted entries of several partitions follow each other.
#[expect(
    clippy::stable_sort_primitive,
    reason = "the unstable sort does not see sorted runs"
)]
fn collapsed(mut single: Vec<u64>, mut counted: Vec<(u64, i64)>) -> Vec<(u64, i64)> {
    single.sort();
    counted.sort_by_key(|(packed, _)| *packed);
    let mut collapsed: Vec<(u64, i64)> = Vec::with_capacity(single.len() + counted.len());
    let mut take_in = |packed: u64, count: i64| match collapsed.last_mut() {
        Some((last, sum)) if *last == packed => *sum += count,
        _ => collapsed.push((packed, count)),
    };
    let mut counted = counted.into_iter().peekable();
    for packed in single {
        while let Some((before, count)) = counted.next_if(|(before, _)| *before <= packed) {
            take_in(before, count);
        }
        take_in(packed, 1);
    }
    counted.for_each(|(packed, count)| take_in(packed, count));
    collapsed.retain(|(_, count)| *count != 0);
    collapsed
}

/// Bits of a part that is not the same everywhere, and how many more it gets when they are too few.
const WIDTH_MIN: u32 = 8;
const WIDER_BY: u32 = 2;

/// How parts are packed into one number, which keeps their order.
#[derive(Debug, Clone, Copy)]
struct Layout<const N: usize> {
    least: [u32; N],
    widths: [u32; N],
    /// Nothing is packed, because 64 bits are too few.
    is_wide: bool,
}

impl<const N: usize> Default for Layout<N> {
    /// For the one entry whose parts are as large as can be.
    fn default() -> Self {
        Self {
            least: [u32::MAX; N],
            widths: [0; N],
            is_wide: false,
        }
    }
}

impl<const N: usize> Layout<N> {
    /// Of one entry.
    fn of(parts: [u32; N]) -> Self {
        Self {
            least: parts,
            ..Self::default()
        }
    }

    /// With room for more than what it has none for, so that it is not asked often.
    fn with_room_for(mut self, parts: [u32; N]) -> Self {
        for (place, part) in parts.into_iter().enumerate() {
            let (least, width) = (&mut self.least[place], &mut self.widths[place]);
            let largest = u64::from(*least) + (1_u64 << *width) - 1;
            let largest = u32::try_from(largest).unwrap_or(u32::MAX);
            if part < *least {
                let span = largest - *least;
                *least = part.min(least.saturating_sub(span));
                *width = bits(largest - *least);
            } else if part > largest {
                let grown = (*width + WIDER_BY).max(WIDTH_MIN);
                *width = bits(part - *least).max(grown).min(u32::BITS);
            }
        }
        self.is_wide = self.widths.iter().sum::<u32>() > u64::BITS;
        self
    }

    /// Parts as one number; `None` if there is no room for them.
    #[inline]
    fn packed(&self, parts: [u32; N]) -> Option<u64> {
        let (mut packed, mut outside) = (0, u64::from(self.is_wide));
        for ((part, least), width) in parts.into_iter().zip(self.least).zip(self.widths) {
            // Below the least is far outside, whatever the width.
            let part = u64::from(part).wrapping_sub(u64::from(least));
            outside |= part >> width;
            packed = (packed << width) | part;
        }
        (outside == 0).then_some(packed)
    }

    #[inline]
    fn unpacked(&self, mut packed: u64) -> [u32; N] {
        let mut parts = self.least;
        for (part, width) in parts.iter_mut().zip(self.widths).rev() {
            *part += (packed & ((1 << width) - 1)) as u32;
            packed >>= width;
        }
        parts
    }
}

fn bits(span: u32) -> u32 {
    u32::BITS - span.leading_zeros()
}

/// The same as [`collapsed`] for entries that do not fit in 64 bits.
fn collapse_wide<const N: usize>(entries: &mut Vec<Entry<N>>) {
    entries.sort_by_key(|entry| entry.parts);
    entries.dedup_by(|later, first| {
        let same = later.parts == first.parts;
        first.count += i64::from(same) * later.count;
        same
    });
    entries.retain(|entry| entry.count != 0);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Entries of three groups with parts of so many kinds.
    fn entries(kinds: u64, rows: u64) -> impl Iterator<Item = ([u32; 3], i64)> {
        (0..rows).map(move |row| {
            let of = |factor: u64| (row * factor % kinds) as u32;
            (
                [(row % 3) as u32, of(7_919), of(104_729)],
                (row % 2) as i64 + 1,
            )
        })
    }

    fn expected(rows: impl Iterator<Item = ([u32; 3], i64)>) -> Vec<Entry<3>> {
        let mut counts = BTreeMap::new();
        for (parts, count) in rows {
            *counts.entry(parts).or_insert(0) += count;
        }
        let counts = counts.into_iter();
        counts
            .map(|(parts, count)| Entry { parts, count })
            .collect()
    }

    fn in_order<const N: usize>(entries: &Entries<N>, groups: usize) -> Vec<Entry<N>> {
        let sorted: Vec<_> = entries.sorted(groups).iter().collect();
        let changed = entries.sorted_as(groups, |parts| parts);
        assert_eq!(changed.iter().collect::<Vec<_>>(), sorted);
        sorted
    }

    fn filled(rows: impl Iterator<Item = ([u32; 3], i64)>) -> Entries<3> {
        let mut filled = Entries::default();
        for (parts, count) in rows {
            filled.push(parts, count);
            filled.settle();
        }
        filled
    }

    #[test]
    fn equal_entries_become_one_in_order() {
        for kinds in [10, 1 << 31, 1 << 32] {
            let filled = filled(entries(kinds, 1_000));
            let expected = expected(entries(kinds, 1_000));
            assert_eq!(in_order(&filled, 3), expected);
            let two = expected.iter().filter(|entry| entry.group() < 2);
            let two: Vec<_> = two.copied().collect();
            assert_eq!(in_order(&filled, 2), two);
        }
    }

    #[test]
    fn parts_of_any_width_sort_the_same() {
        for (low, high) in [(7, 7), (0, 3), (0, u32::MAX)] {
            let mut filled = Entries::<5>::default();
            for [second, last] in [[high, low], [low, high], [low, high], [low, low]] {
                filled.push([1, second, low, low, last], 2);
                filled.push([1, second, high, high, last], 3);
            }
            let sorted = in_order(&filled, 2);
            assert!(sorted.is_sorted_by(|left, right| left.parts < right.parts));
            let of = |parts: [u32; 5]| {
                let found = sorted.iter().filter(|entry| entry.parts == parts);
                found.map(|entry| entry.count).sum::<i64>()
            };
            let same = if low == high { 20 } else { 4 };
            assert_eq!(of([1, low, low, low, high]), same, "{low} {high}");
            assert_eq!(sorted.iter().map(|entry| entry.count).sum::<i64>(), 20);
        }
    }

    /// Keys of negative numbers are near the largest one.
    #[test]
    fn parts_from_both_ends_keep_their_order() {
        let parts = [u32::MAX - 3, 5, u32::MAX, 0, u32::MAX - 700, 9_000];
        let mut filled = Entries::<2>::default();
        for part in parts {
            filled.push([0, part], 1);
        }
        let found = in_order(&filled, 1);
        let mut expected = parts;
        expected.sort_unstable();
        assert!(found.iter().map(|entry| entry.parts[1]).eq(expected));
    }

    #[test]
    fn what_has_left_is_gone() {
        let mut filled = Entries::<2>::default();
        for row in 0..100_000_u32 {
            filled.push([0, row], 1);
            if row >= 10 {
                filled.push([0, row - 10], -1);
            }
            filled.settle_early(10);
        }
        assert!(filled.len() < 3 * EARLY_MIN, "{}", filled.len());
        let left = in_order(&filled, 1);
        let left: Vec<_> = left
            .iter()
            .map(|entry| (entry.parts[1], entry.count))
            .collect();
        assert_eq!(
            left,
            (99_990..100_000).map(|row| (row, 1)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn many_of_few_kinds_take_little_memory() {
        let rows = 2 * COLLAPSED_MIN as u64 + 5;
        let filled = filled(entries(5, rows));
        assert!(filled.len() < COLLAPSED_MIN, "{}", filled.len());
        assert_eq!(in_order(&filled, 3), expected(entries(5, rows)));
    }

    #[test]
    fn groups_that_go_leave_their_room() {
        let mut filled = filled(entries(1 << 30, 20_000));
        let size = filled.heap_size();
        filled.discard(2);
        assert!(filled.heap_size() < size / 2, "{}", filled.heap_size());
        let third = expected(entries(1 << 30, 20_000));
        let third = third.iter().filter(|entry| entry.group() == 2);
        let third: Vec<_> = third.map(|entry| entry.parts[1]).collect();
        let left = in_order(&filled, 1);
        assert_eq!(
            left.iter().map(|entry| entry.parts[1]).collect::<Vec<_>>(),
            third
        );
    }
}
