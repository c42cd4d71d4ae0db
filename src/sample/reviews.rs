//! What customers write about their orders in public.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};

use super::calendar::{DAY, END};
use super::columns::{self, required, timestamptz};
use super::customers::Profile;
use super::dice::Dice;
use super::orders::{self, Status};
use super::phrases::{self, Language, Tone};
use super::{SampleTable, World, row_id};
use crate::error::Result;

/// Chance of a review after an order of which the customer thinks nothing in particular.
const REVIEWED: f64 = 0.025;

/// Reviews of one customer at most.
const MAX_REVIEWS_PER_CUSTOMER: usize = 12;

const SOURCES: [(&str, f64); 4] = [
    ("website", 0.45),
    ("marketplace", 0.25),
    ("app_store", 0.18),
    ("social", 0.12),
];

struct Review {
    id: i64,
    customer: i64,
    at: i64,
    rating: i16,
    language: Language,
    text: String,
    source: &'static str,
}

pub(super) fn fields() -> Vec<Field> {
    vec![
        required("review_id", DataType::Int64),
        required("customer_id", DataType::Int64),
        required("posted_at", timestamptz()),
        required("rating", DataType::Int16),
        required("language", DataType::Utf8),
        required("text", DataType::Utf8),
        required("source", DataType::Utf8),
    ]
}

pub(super) fn batch(
    world: &World,
    schema: &Arc<Schema>,
    customers: Range<i64>,
) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for profile in world.profiles(customers) {
        append_reviews(world, &profile, &mut rows);
    }
    let arrays = vec![
        columns::bigints(rows.iter().map(|row| row.id)),
        columns::bigints(rows.iter().map(|row| row.customer)),
        columns::moments(rows.iter().map(|row| row.at)),
        columns::smallints(rows.iter().map(|row| Some(row.rating))),
        columns::texts(rows.iter().map(|row| row.language.code())),
        columns::texts(rows.iter().map(|row| &row.text)),
        columns::texts(rows.iter().map(|row| row.source)),
    ];
    columns::batch(schema, arrays)
}

/// Appends the reviews of one customer by time.
fn append_reviews(world: &World, profile: &Profile, rows: &mut Vec<Review>) {
    let dice = &mut Dice::new(world.seed, SampleTable::Reviews, profile.id);
    let first = rows.len();
    for order in &orders::history(world, profile).orders {
        let opinion = profile.opinion(dice, order.at);
        let at = order.at + (dice.between(1.0, 21.0) * DAY as f64) as i64;
        // Those with a strong opinion write most.
        let written = dice.chance(REVIEWED * (0.6 + opinion.abs()));
        if !written || order.status == Status::Cancelled || at >= END {
            continue;
        }
        let returned = if order.status == Status::Returned {
            1.2
        } else {
            0.0
        };
        let rating = (3.9 + 1.2 * opinion - returned).round().clamp(1.0, 5.0) as i16;
        rows.push(Review {
            id: 0,
            customer: profile.id,
            at,
            rating,
            language: profile.language,
            text: phrases::review(dice, profile.language, tone(rating)),
            source: dice.weighted(&SOURCES),
        });
        if rows.len() - first == MAX_REVIEWS_PER_CUSTOMER {
            break;
        }
    }
    rows[first..].sort_by_key(|row| row.at);
    for (index, row) in rows[first..].iter_mut().enumerate() {
        row.id = row_id(profile.id, index);
    }
}

fn tone(rating: i16) -> Tone {
    match rating {
        4.. => Tone::Good,
        3 => Tone::Mixed,
        _ => Tone::Bad,
    }
}
