//! Orders kept row by row, as (member, day, amount): what a customer did in time can only be told
//! once all of it is there. A group of `clv_summary` has one member, a group of `clv` its
//! customers. Amounts are added up in the order of days and size, so that the sum does not depend
//! on how the rows were split.

use std::mem::size_of;

use crate::groups::offsets_of;
use crate::precise::FloatSum;

/// One order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Order {
    /// Days since 1970.
    pub(super) day: i32,
    /// Its value.
    pub(super) amount: f64,
}

/// How often, how recently, how long and for how much a customer bought. Times are in days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct History {
    /// Days with orders after the first.
    pub(super) frequency: i64,
    /// From the first day to the last.
    pub(super) recency: f64,
    /// From the first day to the day of observation.
    pub(super) t: f64,
    /// Mean total of the days after the first; 0 if there are none.
    pub(super) monetary: f64,
}

/// Sums up one customer's orders, which get sorted; `None` without orders.
pub(super) fn history(orders: &mut [Order], as_of_day: i32) -> Option<History> {
    orders.sort_unstable_by(|left, right| {
        (left.day.cmp(&right.day)).then(left.amount.total_cmp(&right.amount))
    });
    let (first, last) = (orders.first()?.day, orders.last()?.day);
    let later = orders.partition_point(|order| order.day == first);
    let mut spent = FloatSum::default();
    let mut frequency = 0_i64;
    let mut day = first;
    for order in &orders[later..] {
        spent.add(order.amount);
        frequency += i64::from(order.day != day);
        day = order.day;
    }
    let monetary = if frequency == 0 {
        0.0
    } else {
        spent.total() / frequency as f64
    };
    Some(History {
        frequency,
        recency: f64::from(last) - f64::from(first),
        t: f64::from(as_of_day) - f64::from(first),
        monetary,
    })
}

/// Orders of many members, in columns.
#[derive(Debug, Default)]
pub(super) struct Orders {
    members: Vec<u32>,
    days: Vec<i32>,
    amounts: Vec<f64>,
}

impl Orders {
    /// Keeps an order.
    #[inline]
    pub(super) fn push(&mut self, member: u32, order: Order) {
        self.members.push(member);
        self.days.push(order.day);
        self.amounts.push(order.amount);
    }

    /// The orders of the members below `members`, one after the other, with the start of each
    /// member's and the end of all.
    pub(super) fn by_member(&self, members: usize) -> (Vec<usize>, Vec<Order>) {
        let offsets = offsets_of(members, self.members.iter().map(|member| *member as usize));
        let mut next = offsets.clone();
        let nothing = Order {
            day: 0,
            amount: 0.0,
        };
        let mut sorted = vec![nothing; offsets[members]];
        for (row, member) in self.members.iter().enumerate() {
            if let Some(place) = next[..members].get_mut(*member as usize) {
                sorted[*place] = Order {
                    day: self.days[row],
                    amount: self.amounts[row],
                };
                *place += 1;
            }
        }
        (offsets, sorted)
    }

    /// Keeps the orders of the members that `moved` gives a new number.
    pub(super) fn renumber(&mut self, moved: impl Fn(u32) -> Option<u32>) {
        // New columns, because draining in place would keep the size of the largest moment.
        let mut kept = Self::default();
        for (row, member) in self.members.iter().enumerate() {
            if let Some(member) = moved(*member) {
                let (day, amount) = (self.days[row], self.amounts[row]);
                kept.push(member, Order { day, amount });
            }
        }
        *self = kept;
    }

    /// Bytes on the heap.
    pub(super) fn heap_size(&self) -> usize {
        self.members.capacity() * size_of::<u32>()
            + self.days.capacity() * size_of::<i32>()
            + self.amounts.capacity() * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(orders: &[(i32, f64)]) -> Option<History> {
        let order = |(day, amount): &(i32, f64)| Order {
            day: *day,
            amount: *amount,
        };
        history(&mut orders.iter().map(order).collect::<Vec<_>>(), 20)
    }

    #[test]
    fn the_first_day_is_not_a_repeat_purchase_and_its_money_does_not_count() {
        let history = of(&[(15, 3.0), (5, 100.0), (15, 4.0), (10, 5.0), (5, 1.0)]).unwrap();
        assert_eq!(
            history,
            History {
                frequency: 2,
                recency: 10.0,
                t: 15.0,
                monetary: 6.0
            }
        );
    }

    #[test]
    fn one_day_of_orders_has_no_repeat_and_no_orders_have_no_history() {
        let history = of(&[(5, 100.0), (5, 1.0)]).unwrap();
        assert_eq!((history.frequency, history.recency), (0, 0.0));
        assert_eq!((history.t, history.monetary), (15.0, 0.0));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn orders_come_out_by_member_and_leave_with_them() {
        let mut orders = Orders::default();
        for (member, day) in [(2, 1), (0, 2), (2, 3)] {
            orders.push(member, Order { day, amount: 1.0 });
        }
        let (offsets, sorted) = orders.by_member(2);
        assert_eq!((offsets, sorted.len()), (vec![0, 1, 1], 1));
        orders.renumber(|member| member.checked_sub(2));
        assert_eq!(orders.by_member(1).0, [0, 2]);
    }
}
