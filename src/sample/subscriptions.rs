//! What customers pay for by the month, and why they stop.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};

use super::calendar::{DAY, DAYS, FIRST_DAY};
use super::columns::{self, money_type, optional, required};
use super::customers::Profile;
use super::dice::{Dice, logistic};
use super::{SampleTable, World, row_id};
use crate::error::Result;

/// Digits of the monthly fee.
const FEE_DIGITS: u8 = 10;

/// Days that are billed as one month.
const MONTH: i64 = 30;

/// Mean days from sign-up to the first subscription, and from one to the next.
const UNTIL_SUBSCRIBED: f64 = 90.0;

/// Chance to cancel in a month, at neutral satisfaction.
const CANCELS: f64 = 0.045;

/// Chance to subscribe again after a cancellation.
const RETURNS: f64 = 0.25;

/// Subscriptions of one customer at most.
const MAX_SUBSCRIPTIONS_PER_CUSTOMER: usize = 6;

/// The plans with their monthly fee in cents.
const PLANS: [((&str, i64), f64); 3] = [
    (("basic", 499), 0.55),
    (("plus", 999), 0.32),
    (("premium", 1_999), 0.13),
];

struct Subscription {
    customer: i64,
    index: usize,
    plan: &'static str,
    cents: i64,
    start: i64,
    end: Option<(i64, &'static str)>,
}

pub(super) fn fields() -> Vec<Field> {
    vec![
        required("subscription_id", DataType::Int64),
        required("customer_id", DataType::Int64),
        required("plan", DataType::Utf8),
        required("mrr", money_type(FEE_DIGITS)),
        required("start_date", DataType::Date32),
        optional("end_date", DataType::Date32),
        optional("cancel_reason", DataType::Utf8),
    ]
}

pub(super) fn batch(
    world: &World,
    schema: &Arc<Schema>,
    customers: Range<i64>,
) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for profile in world.profiles(customers) {
        append_subscriptions(world, &profile, &mut rows);
    }
    let arrays = vec![
        columns::bigints(rows.iter().map(|row| row_id(row.customer, row.index))),
        columns::bigints(rows.iter().map(|row| row.customer)),
        columns::texts(rows.iter().map(|row| row.plan)),
        columns::money(rows.iter().map(|row| row.cents), FEE_DIGITS)?,
        columns::dates(rows.iter().map(|row| Some(row.start as i32))),
        columns::dates(rows.iter().map(|row| row.end.map(|(day, _)| day as i32))),
        columns::optional_texts(rows.iter().map(|row| row.end.map(|(_, reason)| reason))),
    ];
    columns::batch(schema, arrays)
}

/// Appends the subscriptions of one customer; they do not overlap.
fn append_subscriptions(world: &World, profile: &Profile, rows: &mut Vec<Subscription>) {
    let dice = &mut Dice::new(world.seed, SampleTable::Subscriptions, profile.id);
    let eager = if profile.member { -0.6 } else { -2.2 };
    if !dice.chance(logistic(eager + 0.5 * profile.satisfaction)) {
        return;
    }
    let last_day = FIRST_DAY + DAYS - 1;
    let mut start = profile.signed_up / DAY;
    for index in 0..MAX_SUBSCRIPTIONS_PER_CUSTOMER {
        start += dice.exponential(UNTIL_SUBSCRIBED) as i64;
        if start > last_day {
            return;
        }
        let (plan, cents) = dice.weighted(&PLANS);
        let end = end(profile, dice, start, last_day).map(|day| (day, reason(profile, dice)));
        rows.push(Subscription {
            customer: profile.id,
            index,
            plan,
            cents,
            start,
            end,
        });
        match end {
            Some((day, _)) if dice.chance(RETURNS) => start = day,
            _ => return,
        }
    }
}

/// The day of the cancellation, a whole number of billed months after the start.
fn end(profile: &Profile, dice: &mut Dice, start: i64, last_day: i64) -> Option<i64> {
    let cancels = (CANCELS * (-0.6 * profile.satisfaction).exp()).min(0.6);
    let mut day = start + MONTH;
    while day <= last_day {
        if dice.chance(cancels) {
            return Some(day);
        }
        day += MONTH;
    }
    None
}

fn reason(profile: &Profile, dice: &mut Dice) -> &'static str {
    dice.weighted(&[
        ("price", 0.30),
        ("not_using", 0.26),
        ("service", 0.14 * (-0.8 * profile.satisfaction).exp()),
        ("competitor", 0.14),
        ("payment_failed", 0.10),
        ("moved", 0.06),
    ])
}
