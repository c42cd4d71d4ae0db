//! What customers do on the site and in the app, and when they ask for help.
//!
//! The tracker follows a fraction of the visits, so a purchase event stands for one order out of
//! several; its time is that of the order. There are about 1.5 events per order.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};

use super::calendar::END;
use super::columns::{self, required, timestamptz};
use super::customers::Profile;
use super::dice::Dice;
use super::orders::{self, Order, Status};
use super::{SampleTable, World, row_id};
use crate::error::Result;

/// Share of online orders whose way through the site was tracked.
const TRACKED: f64 = 0.20;

/// Tracked visits without a purchase, per order.
const BROWSED: f64 = 0.34;

/// Chance that an order leads to a call for help, at neutral satisfaction.
const HELPED: f64 = 0.06;

/// The steps of a purchase in their order.
const FUNNEL: [&str; 5] = ["visit", "view", "cart", "checkout", "purchase"];

/// How far a visit without a purchase gets, in steps of the funnel.
const DEPTHS: [(usize, f64); 4] = [(1, 0.35), (2, 0.35), (3, 0.20), (4, 0.10)];

/// Days between an order and a visit or a call that follows it.
const AFTERWARDS: (f64, f64) = (0.5, 15.0);

/// One event.
struct Event {
    id: i64,
    customer: i64,
    at: i64,
    kind: &'static str,
    channel: &'static str,
    seconds: i32,
}

pub(super) fn fields() -> Vec<Field> {
    vec![
        required("event_id", DataType::Int64),
        required("customer_id", DataType::Int64),
        required("occurred_at", timestamptz()),
        required("kind", DataType::Utf8),
        required("channel", DataType::Utf8),
        required("duration_seconds", DataType::Int32),
    ]
}

pub(super) fn batch(
    world: &World,
    schema: &Arc<Schema>,
    customers: Range<i64>,
) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for profile in world.profiles(customers) {
        append_events(world, &profile, &mut rows);
    }
    rows.sort_by_key(|row| world.calendar.month(row.at));
    let mut arrays = vec![
        columns::bigints(rows.iter().map(|row| row.id)),
        columns::bigints(rows.iter().map(|row| row.customer)),
        columns::moments(rows.iter().map(|row| row.at)),
        columns::texts(rows.iter().map(|row| row.kind)),
        columns::texts(rows.iter().map(|row| row.channel)),
        columns::ints(rows.iter().map(|row| row.seconds)),
    ];
    arrays.extend(columns::month_columns(
        &world.calendar,
        rows.iter().map(|row| row.at),
    ));
    columns::batch(schema, arrays)
}

/// Appends the events of one customer by time.
fn append_events(world: &World, profile: &Profile, rows: &mut Vec<Event>) {
    let dice = &mut Dice::new(world.seed, SampleTable::Events, profile.id);
    let first = rows.len();
    let mut trail = Trail { profile, rows };
    // The visit that led to the registration.
    trail.steps(dice, profile.signed_up, &FUNNEL[..1]);
    for order in &orders::history(world, profile).orders {
        let online = matches!(order.channel, "web" | "app");
        if online && order.status != Status::Cancelled && dice.chance(TRACKED) {
            trail.purchase(dice, order);
        }
        if dice.chance(BROWSED) {
            let depth = dice.weighted(&DEPTHS);
            let at = later(world, dice, order);
            trail.steps(dice, at, &FUNNEL[..depth]);
        }
        if dice.chance(HELPED * (-0.4 * profile.satisfaction).exp()) {
            let at = later(world, dice, order);
            trail.support(dice, at);
        }
    }
    rows[first..].sort_by_key(|row| row.at);
    for (index, row) in rows[first..].iter_mut().enumerate() {
        row.id = row_id(profile.id, index);
    }
}

/// A moment some days after an order, at an hour at which people are awake.
fn later(world: &World, dice: &mut Dice, order: &Order) -> i64 {
    let effort = world.calendar.effort(order.at) + dice.between(AFTERWARDS.0, AFTERWARDS.1);
    world.calendar.second(effort).unwrap_or(END)
}

/// Where the events of one customer go; those outside the customer's time are dropped.
struct Trail<'a> {
    profile: &'a Profile,
    rows: &'a mut Vec<Event>,
}

impl Trail<'_> {
    fn push(&mut self, at: i64, kind: &'static str, channel: &'static str, seconds: f64) {
        if (self.profile.signed_up..END).contains(&at) {
            let seconds = seconds.min(7_200.0) as i32;
            self.rows.push(Event {
                id: 0,
                customer: self.profile.id,
                at,
                kind,
                channel,
                seconds,
            });
        }
    }

    /// The steps of one visit from `start` on.
    fn steps(&mut self, dice: &mut Dice, start: i64, kinds: &[&'static str]) {
        let channel = dice.weighted(&[("web", 0.6), ("app", 0.4)]);
        let mut at = start;
        for kind in kinds {
            let seconds = dice.log_normal(70.0, 0.8).clamp(2.0, 1_500.0);
            self.push(at, kind, channel, seconds);
            at += 1 + seconds as i64;
        }
    }

    /// The whole funnel, which ends at the moment of the order.
    fn purchase(&mut self, dice: &mut Dice, order: &Order) {
        self.push(
            order.at,
            FUNNEL[4],
            order.channel,
            dice.log_normal(20.0, 0.5),
        );
        let mut at = order.at;
        for kind in FUNNEL[..4].iter().rev() {
            let seconds = dice.log_normal(60.0, 0.7).clamp(2.0, 1_500.0);
            at -= 1 + seconds as i64;
            self.push(at, kind, order.channel, seconds);
        }
    }

    fn support(&mut self, dice: &mut Dice, at: i64) {
        let channel = dice.weighted(&[("chat", 0.45), ("email", 0.30), ("phone", 0.25)]);
        self.push(at, "support", channel, dice.log_normal(260.0, 0.7));
    }
}
