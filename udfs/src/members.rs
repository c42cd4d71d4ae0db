//! Which customers each group has met, with something remembered of each.
//!
//! A hash table, of which every look-up is a cache miss once there are many customers. In a single
//! group numbers of customers mostly lie close together, as texts are numbered and ids are counted up:
//! then they are places in a list.

use std::hash::{Hash, Hasher};
use std::mem::{size_of, take};

use datafusion_common::HashMap;
use datafusion_common::hash_map::Entry;

/// A group and a customer in 12 bytes, so that a table entry with a small mark takes 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) group: u32,
    customer: [u32; 2],
}

impl Member {
    /// `group` must fit in 32 bits.
    #[inline]
    pub(crate) fn new(group: usize, customer: u64) -> Self {
        Self {
            group: group as u32,
            customer: [customer as u32, (customer >> 32) as u32],
        }
    }

    /// The same customer in another group.
    pub(crate) fn in_group(self, group: u32) -> Self {
        Self { group, ..self }
    }

    #[inline]
    pub(crate) fn customer(self) -> u64 {
        u64::from(self.customer[0]) | (u64::from(self.customer[1]) << 32)
    }
}

impl Hash for Member {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.customer());
        state.write_u32(self.group);
    }
}

/// Fewer members than this stay in the hash table, which is small.
const LISTED_MIN: usize = 4_096;
/// Places per member that a list may have at most.
const PLACES_PER_MEMBER: u64 = 32;
const BITS: u64 = u64::BITS as u64;

/// Members with their marks.
#[derive(Debug)]
pub(crate) struct Members<V> {
    table: Table<V>,
    /// With so many members it is asked again whether a list is better.
    settle_at: usize,
}

#[derive(Debug)]
enum Table<V> {
    /// Of any groups.
    Hashed(HashMap<Member, V>),
    /// Of group 0.
    Listed(List<V>),
}

/// Customers as places in a list.
#[derive(Debug)]
struct List<V> {
    /// One bit per place.
    met: Vec<u64>,
    marks: Vec<V>,
    members: usize,
}

impl<V> Default for Members<V> {
    fn default() -> Self {
        HashMap::default().into()
    }
}

impl<V> From<HashMap<Member, V>> for Members<V> {
    fn from(members: HashMap<Member, V>) -> Self {
        Self {
            table: Table::Hashed(members),
            settle_at: LISTED_MIN,
        }
    }
}

impl<V: Copy + Default> Members<V> {
    /// The mark of a member, and whether it is new.
    #[inline]
    pub(crate) fn meet(&mut self, member: Member) -> (&mut V, bool) {
        if let Table::Listed(list) = &self.table
            && !list.has_place(member)
        {
            self.make_room(member);
        }
        match &mut self.table {
            Table::Listed(list) => list.meet(member.customer()),
            Table::Hashed(members) => match members.entry(member) {
                Entry::Occupied(entry) => (entry.into_mut(), false),
                Entry::Vacant(entry) => (entry.insert(V::default()), true),
            },
        }
    }

    /// To be called now and then while there is one group: makes a list where that is better.
    pub(crate) fn settle(&mut self) {
        let Table::Hashed(members) = &mut self.table else {
            return;
        };
        if members.len() < self.settle_at {
            return;
        }
        self.settle_at = 2 * members.len();
        let highest = members.keys().map(|member| match member.group {
            0 => member.customer(),
            _ => u64::MAX,
        });
        let highest = highest.max().unwrap_or(u64::MAX);
        if highest < members.len() as u64 * PLACES_PER_MEMBER {
            let members = take(members);
            let mut list = List {
                met: Vec::new(),
                marks: Vec::new(),
                members: 0,
            };
            list.grow(highest);
            for (member, mark) in members {
                *list.meet(member.customer()).0 = mark;
            }
            self.table = Table::Listed(list);
        }
    }

    #[cold]
    fn make_room(&mut self, member: Member) {
        let Table::Listed(list) = &mut self.table else {
            return;
        };
        if member.group == 0 && member.customer() < list.members as u64 * PLACES_PER_MEMBER {
            list.grow(member.customer());
        } else {
            let settle_at = 2 * list.members;
            let members: HashMap<_, _> = self.iter().collect();
            let table = Table::Hashed(members);
            *self = Self { table, settle_at };
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match &self.table {
            Table::Hashed(members) => members.len(),
            Table::Listed(list) => list.members,
        }
    }

    /// All members with their marks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Member, V)> + '_ {
        let (hashed, listed) = match &self.table {
            Table::Hashed(members) => (Some(members), None),
            Table::Listed(list) => (None, Some(list)),
        };
        let hashed = hashed.into_iter().flatten();
        let hashed = hashed.map(|(member, mark)| (*member, *mark));
        hashed.chain(listed.into_iter().flat_map(List::iter))
    }

    /// Bytes on the heap.
    pub(crate) fn heap_size(&self) -> usize {
        match &self.table {
            Table::Hashed(members) => members.allocation_size(),
            Table::Listed(list) => {
                list.met.capacity() * size_of::<u64>() + list.marks.capacity() * size_of::<V>()
            }
        }
    }
}

impl<V: Copy + Default> List<V> {
    #[inline]
    fn has_place(&self, member: Member) -> bool {
        member.group == 0 && member.customer() < self.marks.len() as u64
    }

    /// Makes places up to that of a customer, and as many again.
    fn grow(&mut self, customer: u64) {
        let words = (customer / BITS + 1).next_power_of_two() as usize;
        self.met.resize(words, 0);
        self.marks.resize(words * BITS as usize, V::default());
    }

    #[inline]
    fn meet(&mut self, customer: u64) -> (&mut V, bool) {
        let bit = 1 << (customer % BITS);
        let word = &mut self.met[(customer / BITS) as usize];
        let new = *word & bit == 0;
        *word |= bit;
        self.members += usize::from(new);
        (&mut self.marks[customer as usize], new)
    }

    fn iter(&self) -> impl Iterator<Item = (Member, V)> + '_ {
        let places = self.marks.iter().enumerate();
        places.filter_map(|(place, mark)| {
            let customer = place as u64;
            let met = self.met[(customer / BITS) as usize] >> (customer % BITS) & 1 == 1;
            met.then(|| (Member::new(0, customer), *mark))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap as Model;

    use super::*;

    /// Whatever stands inside, it answers like a map.
    fn checked(members: impl Iterator<Item = (usize, u64)>) -> Members<u32> {
        let (mut tested, mut model) = (Members::<u32>::default(), Model::new());
        for (turn, (group, customer)) in members.enumerate() {
            let (mark, new) = tested.meet(Member::new(group, customer));
            assert_eq!(new, !model.contains_key(&(group, customer)), "{customer}");
            *mark += 1;
            *model.entry((group, customer)).or_insert(0_u32) += 1;
            if turn % 1_000 == 0 && group == 0 {
                tested.settle();
            }
        }
        assert_eq!(tested.len(), model.len());
        let found = tested
            .iter()
            .map(|(member, mark)| ((member.group as usize, member.customer()), mark));
        assert_eq!(found.collect::<Model<_, _>>(), model);
        tested
    }

    #[test]
    fn numbers_close_together_become_a_list() {
        let members = checked((0..50_000).map(|n| (0, n * 7_919 % 20_000)));
        assert!(matches!(members.table, Table::Listed(_)));
        assert!(members.heap_size() < 200_000);
    }

    #[test]
    fn numbers_far_apart_and_other_groups_do_not() {
        for far in [u64::MAX, 1 << 40] {
            let close = (0..30_000).map(|n| (0, n % 10_000));
            let members = checked(close.clone().chain([(0, far), (0, 5)]));
            assert!(matches!(members.table, Table::Hashed(_)));
            let members = checked(close.chain([(1, 3), (0, 3)]));
            assert!(matches!(members.table, Table::Hashed(_)));
        }
        let few = checked((0..100).map(|n| (0, n)));
        assert!(matches!(few.table, Table::Hashed(_)));
    }

    #[test]
    fn a_list_grows_with_its_members() {
        let members = checked((0..100_000).map(|n| (0, n)));
        assert!(matches!(members.table, Table::Listed(_)));
    }
}
