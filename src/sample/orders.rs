//! What customers buy: BG/NBD in time, Gamma-Gamma in value.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};

use super::columns::{self, AMOUNT_DIGITS, money_type, required, timestamptz};
use super::customers::Profile;
use super::dice::Dice;
use super::{SampleTable, World, row_id};
use crate::error::Result;

/// Share of customers who register and never buy.
const NEVER_BUYS: f64 = 0.06;

/// Orders after which a customer stops in any case. Reached by nobody in practice: it bounds a
/// chunk's memory and the row ids, whatever the purchase rate drawn.
const MAX_ORDERS_PER_CUSTOMER: usize = 5_000;

/// Share of customers whose first order is why they registered.
const BUYS_AT_ONCE: f64 = 0.7;

/// Shape of the gamma law of one order's value (Gamma-Gamma's p).
const ORDER_SHAPE: f64 = 6.0;

/// The smallest and the largest order, in cents.
const CENTS: (f64, f64) = (100.0, 9_999_999.0);

/// Cents that one item costs on average, for the number of items.
const CENTS_PER_ITEM: f64 = 2_400.0;

const CURRENCY: &str = "EUR";

const CHANNELS: [(&str, f64); 4] = [
    ("web", 0.46),
    ("app", 0.30),
    ("store", 0.18),
    ("phone", 0.06),
];

/// What became of an order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Completed,
    Returned,
    Cancelled,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One order.
pub(super) struct Order {
    /// Seconds since 1970-01-01 UTC.
    pub(super) at: i64,
    /// What was paid, after the discount.
    pub(super) cents: i64,
    pub(super) channel: &'static str,
    pub(super) status: Status,
    discount: i64,
    items: i32,
}

/// All that a customer bought, by time.
pub(super) struct History {
    pub(super) orders: Vec<Order>,
    /// Whether the customer left after the last order, without telling.
    pub(super) left: bool,
}

impl History {
    /// Whether the customer had left by `second`.
    pub(super) fn left_by(&self, second: i64) -> bool {
        self.left && self.orders.last().is_some_and(|last| last.at < second)
    }
}

/// The orders of a customer: the same at every call.
pub(super) fn history(world: &World, profile: &Profile) -> History {
    let dice = &mut Dice::new(world.seed, SampleTable::Orders, profile.id);
    let mut history = History {
        orders: Vec::new(),
        left: false,
    };
    if dice.chance(NEVER_BUYS) {
        return history;
    }
    let hesitation = if dice.chance(BUYS_AT_ONCE) {
        0.03
    } else {
        12.0
    };
    let mut effort = world.calendar.effort(profile.signed_up) + dice.exponential(hesitation);
    // A rate near zero gives an effort beyond the end, which ends the history.
    while let Some(at) = world.calendar.second(effort) {
        history.orders.push(order(world, profile, dice, at));
        history.left = dice.chance(profile.leaves);
        if history.left || history.orders.len() == MAX_ORDERS_PER_CUSTOMER {
            break;
        }
        effort += dice.exponential(1.0 / profile.rate);
    }
    history
}

fn order(world: &World, profile: &Profile, dice: &mut Dice, at: i64) -> Order {
    let at = at.max(profile.signed_up);
    let cents = dice
        .gamma(ORDER_SHAPE, profile.spending)
        .clamp(CENTS.0, CENTS.1)
        .round();
    let sale = world.calendar.month(at).1 == 11;
    let discounted = dice.chance(if sale { 0.45 } else { 0.22 });
    let part = if discounted {
        dice.pick(&[0.05, 0.10, 0.15, 0.20])
    } else {
        0.0
    };
    let trouble = (-0.4 * profile.satisfaction).exp();
    Order {
        at,
        cents: cents as i64,
        channel: dice.weighted(&CHANNELS),
        status: dice.weighted(&[
            (Status::Completed, 0.92),
            (Status::Returned, 0.055 * trouble),
            (Status::Cancelled, 0.025 * trouble),
        ]),
        discount: (cents * part / (1.0 - part)).round() as i64,
        items: 1 + dice.exponential(cents / CENTS_PER_ITEM).min(98.0) as i32,
    }
}

pub(super) fn fields() -> Vec<Field> {
    vec![
        required("order_id", DataType::Int64),
        required("customer_id", DataType::Int64),
        required("ordered_at", timestamptz()),
        required("amount", money_type(AMOUNT_DIGITS)),
        required("currency", DataType::Utf8),
        required("channel", DataType::Utf8),
        required("items", DataType::Int32),
        required("discount", money_type(AMOUNT_DIGITS)),
        required("status", DataType::Utf8),
    ]
}

struct Row {
    id: i64,
    customer: i64,
    order: Order,
}

pub(super) fn batch(
    world: &World,
    schema: &Arc<Schema>,
    customers: Range<i64>,
) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for profile in world.profiles(customers) {
        let orders = history(world, &profile).orders.into_iter().enumerate();
        rows.extend(orders.map(|(index, order)| Row {
            id: row_id(profile.id, index),
            customer: profile.id,
            order,
        }));
    }
    rows.sort_by_key(|row| world.calendar.month(row.order.at));
    let orders = || rows.iter().map(|row| &row.order);
    let mut arrays = vec![
        columns::bigints(rows.iter().map(|row| row.id)),
        columns::bigints(rows.iter().map(|row| row.customer)),
        columns::moments(orders().map(|order| order.at)),
        columns::money(orders().map(|order| order.cents), AMOUNT_DIGITS)?,
        columns::texts(rows.iter().map(|_| CURRENCY)),
        columns::texts(orders().map(|order| order.channel)),
        columns::ints(orders().map(|order| order.items)),
        columns::money(orders().map(|order| order.discount), AMOUNT_DIGITS)?,
        columns::texts(orders().map(|order| order.status.name())),
    ];
    arrays.extend(columns::month_columns(
        &world.calendar,
        orders().map(|order| order.at),
    ));
    columns::batch(schema, arrays)
}
