//! Which customers each group has met, with something remembered of each.
//!
//! A hash table, of which every look-up is a cache miss once there are many customers. Numbers of
//! customers mostly lie close together, as texts are numbered and ids are counted up: then, with few
//! groups, a customer of a group is a place in a list.

use std::hash::{Hash, Hasher};
use std::iter;
use std::mem::size_of;

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
/// With more groups than this nobody needs to ask for a list.
pub(crate) const LISTED_GROUPS_MAX: usize = 1_024;
/// Places per member that a list may have at most.
const PLACES_PER_MEMBER: u64 = 32;
/// The same where a place is one bit: as many bytes as an entry of the hash table takes with its room.
const BITS_PER_MEMBER: u64 = 256;
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
    /// Of few groups.
    Listed(List<V>),
}

/// Members as places in a list: those of one customer stand together.
#[derive(Debug)]
struct List<V> {
    /// A customer has `1 << group_bits` places.
    group_bits: u32,
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
            Table::Listed(list) => list.meet(member),
            Table::Hashed(members) => match members.entry(member) {
                Entry::Occupied(entry) => (entry.into_mut(), false),
                Entry::Vacant(entry) => (entry.insert(V::default()), true),
            },
        }
    }

    /// To be called now and then while groups are few: makes a list where that is better.
    pub(crate) fn settle(&mut self) {
        let Table::Hashed(members) = &self.table else {
            return;
        };
        if members.len() < self.settle_at {
            return;
        }
        self.settle_at = 2 * members.len();
        let reach = members.keys().copied().map(Reach::of);
        let reach = reach.reduce(Reach::and).unwrap_or_default();
        self.list(reach);
    }

    /// To be called before these customers, each of which is a new member of a group or nearly so,
    /// are met: makes a list where that is better.
    pub(crate) fn expect(&mut self, groups: usize, customers: &[u64]) {
        if self.len() > 0 || customers.len() < LISTED_MIN {
            return self.settle();
        }
        let reach = Reach {
            group: groups.saturating_sub(1) as u32,
            customer: customers.iter().copied().max().unwrap_or(u64::MAX),
        };
        if let Some(places) = reach.places::<V>(customers.len()) {
            self.table = Table::Listed(List::of(reach, places));
        }
    }

    #[cold]
    fn make_room(&mut self, member: Member) {
        let Table::Listed(list) = &mut self.table else {
            return;
        };
        let reach = list.reach().and(Reach::of(member));
        if reach.group_bits() == list.group_bits
            && let Some(places) = reach.places::<V>(list.members)
        {
            list.grow(places);
        } else if !self.list(reach) {
            self.settle_at = 2 * self.len();
            self.table = Table::Hashed(self.iter().collect());
        }
    }

    /// Makes a list of this reach, unless it were too long.
    fn list(&mut self, reach: Reach) -> bool {
        let Some(places) = reach.places::<V>(self.len()) else {
            return false;
        };
        let mut list = List::of(reach, places);
        for (member, mark) in self.iter() {
            *list.meet(member).0 = mark;
        }
        self.table = Table::Listed(list);
        true
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

/// The highest group and the highest customer of some members.
#[derive(Debug, Clone, Copy, Default)]
struct Reach {
    group: u32,
    customer: u64,
}

impl Reach {
    fn of(member: Member) -> Self {
        Self {
            group: member.group,
            customer: member.customer(),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            group: self.group.max(other.group),
            customer: self.customer.max(other.customer),
        }
    }

    fn group_bits(self) -> u32 {
        u32::BITS - self.group.leading_zeros()
    }

    /// How many places a list has, if so many members are worth them.
    fn places<V>(self, members: usize) -> Option<u64> {
        let per_member = match size_of::<V>() {
            0 => BITS_PER_MEMBER,
            _ => PLACES_PER_MEMBER,
        };
        let places = self.customer.checked_add(1)?;
        let places = places.checked_mul(1 << self.group_bits())?;
        (places <= members as u64 * per_member).then_some(places)
    }
}

impl<V: Copy + Default> List<V> {
    fn of(reach: Reach, places: u64) -> Self {
        let mut list = Self {
            group_bits: reach.group_bits(),
            met: Vec::new(),
            marks: Vec::new(),
            members: 0,
        };
        list.grow(places);
        list
    }

    #[inline]
    fn has_place(&self, member: Member) -> bool {
        u64::from(member.group) >> self.group_bits == 0
            && member.customer() < self.places() >> self.group_bits
    }

    /// All that has a place.
    fn reach(&self) -> Reach {
        Reach {
            group: (1 << self.group_bits) >> 1,
            customer: (self.places() >> self.group_bits).saturating_sub(1),
        }
    }

    #[inline]
    fn places(&self) -> u64 {
        self.met.len() as u64 * BITS
    }

    /// Where the mark of a place stands; all places share the mark that says nothing.
    #[inline]
    fn mark_of(place: u64) -> usize {
        match size_of::<V>() {
            0 => 0,
            _ => place as usize,
        }
    }

    /// Makes at least so many places.
    fn grow(&mut self, places: u64) {
        let words = places.div_ceil(BITS).next_power_of_two() as usize;
        self.met.resize(words, 0);
        let marks = Self::mark_of(self.places() - 1) + 1;
        self.marks.resize(marks, V::default());
    }

    /// The member must have a place.
    #[inline]
    fn meet(&mut self, member: Member) -> (&mut V, bool) {
        let place = member.customer() << self.group_bits | u64::from(member.group);
        let bit = 1 << (place % BITS);
        let word = &mut self.met[(place / BITS) as usize];
        let new = *word & bit == 0;
        *word |= bit;
        self.members += usize::from(new);
        (&mut self.marks[Self::mark_of(place)], new)
    }

    fn iter(&self) -> impl Iterator<Item = (Member, V)> + '_ {
        let words = self.met.iter().zip((0..).step_by(BITS as usize));
        let places = words.flat_map(|(word, start)| {
            let mut left = *word;
            iter::from_fn(move || {
                let place = (left != 0).then(|| start + u64::from(left.trailing_zeros()))?;
                left &= left - 1;
                Some(place)
            })
        });
        places.map(|place| {
            let group = place & ((1 << self.group_bits) - 1);
            let member = Member::new(group as usize, place >> self.group_bits);
            (member, self.marks[Self::mark_of(place)])
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
            if turn % 1_000 == 0 {
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
    fn numbers_far_apart_and_many_groups_do_not() {
        for far in [u64::MAX, 1 << 40] {
            let close = (0..30_000).map(|n| (0, n % 10_000));
            let members = checked(close.chain([(0, far), (0, 5)]));
            assert!(matches!(members.table, Table::Hashed(_)));
        }
        let members = checked((0..30_000).map(|n| (n as usize, n)));
        assert!(matches!(members.table, Table::Hashed(_)));
        let few = checked((0..100).map(|n| (0, n)));
        assert!(matches!(few.table, Table::Hashed(_)));
    }

    #[test]
    fn few_groups_share_a_list() {
        for groups in [2, 3, 8, 15] {
            let members = (0..60_000).map(|n| (n % groups, (n * 7_919 % 20_000) as u64));
            let members = checked(members);
            assert!(matches!(members.table, Table::Listed(_)), "{groups}");
        }
    }

    #[test]
    fn a_list_makes_room_for_groups_that_come_late() {
        let early = (0..20_000).map(|n| (0, n));
        let late = |groups| (0..20_000).map(move |n| (n as usize % groups, n));
        let members = checked(early.clone().chain(late(4)));
        assert!(matches!(members.table, Table::Listed(_)));
        let members = checked(early.chain(late(3_000)));
        assert!(matches!(members.table, Table::Hashed(_)));
    }

    #[test]
    fn a_list_can_be_made_before_its_members_come() {
        let customers: Vec<_> = (0..20_000).rev().collect();
        let mut members = Members::<u32>::default();
        members.expect(3, &customers);
        assert!(matches!(members.table, Table::Listed(_)));
        assert!(members.meet(Member::new(2, 19_999)).1);
        assert!(!members.meet(Member::new(2, 19_999)).1);
        assert_eq!(members.iter().count(), 1);
        let mut members = Members::<u32>::default();
        members.expect(3, &[0, u64::MAX].repeat(LISTED_MIN));
        assert!(matches!(members.table, Table::Hashed(_)));
    }

    #[test]
    fn members_without_marks_take_a_bit_each() {
        let mut members = Members::<()>::default();
        for n in 0..100_000 {
            let ((), new) = members.meet(Member::new(n as usize % 50, n % 20_000));
            assert_eq!(new, n < 20_000, "{n}");
            members.settle();
        }
        assert!(matches!(members.table, Table::Listed(_)));
        assert!(members.heap_size() < 20_000 * 32);
        assert_eq!(members.iter().count(), 20_000);
        let groups = members
            .iter()
            .map(|(member, ())| u64::from(member.group) == member.customer() % 50);
        assert!(groups.into_iter().all(|own| own));
    }

    #[test]
    fn a_list_grows_with_its_members() {
        let members = checked((0..100_000).map(|n| (0, n)));
        assert!(matches!(members.table, Table::Listed(_)));
    }
}
