//! How customers answer: NPS asked every few months, CSAT asked after an order.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};

use super::calendar::{DAY, END};
use super::columns::{self, optional, required, timestamptz};
use super::customers::Profile;
use super::dice::Dice;
use super::orders::{self, History, Status};
use super::phrases::{self, Tone};
use super::{SampleTable, World, row_id};
use crate::error::Result;

/// Days from sign-up to the first NPS survey.
const FIRST_SURVEY: (f64, f64) = (45.0, 90.0);

/// Days from one NPS survey to the next.
const NEXT_SURVEY: (f64, f64) = (100.0, 160.0);

/// Chance of an answer to an NPS survey; a customer who left answers less.
const NPS_RESPONSE: f64 = 0.46;

/// What having left does to [`NPS_RESPONSE`].
const LEFT_RESPONSE: f64 = 0.3;

/// Chance of a CSAT answer after an order.
const CSAT_RESPONSE: f64 = 0.07;

/// CSAT answers of one customer at most: nobody is asked for ever.
const MAX_CSAT_PER_CUSTOMER: usize = 20;

/// How much worse customers who are about to leave think, in standard deviations.
const LEAVING: f64 = 0.35;

/// Share of answers with a comment.
const COMMENTED: f64 = 0.35;

const CHANNELS: [(&str, f64); 4] = [("email", 0.50), ("app", 0.25), ("web", 0.15), ("sms", 0.10)];

/// What was asked, with the answer.
#[derive(Clone, Copy)]
enum Answer {
    Nps(i16),
    Csat(i16),
}

impl Answer {
    fn tone(self) -> Tone {
        match self {
            Self::Nps(9..) | Self::Csat(4..) => Tone::Good,
            Self::Nps(7..) | Self::Csat(3) => Tone::Mixed,
            _ => Tone::Bad,
        }
    }
}

struct Survey {
    id: i64,
    customer: i64,
    at: i64,
    answer: Answer,
    channel: &'static str,
    comment: Option<String>,
}

pub(super) fn fields() -> Vec<Field> {
    vec![
        required("survey_id", DataType::Int64),
        required("customer_id", DataType::Int64),
        required("answered_at", timestamptz()),
        required("kind", DataType::Utf8),
        optional("score", DataType::Int16),
        optional("csat_score", DataType::Int16),
        required("channel", DataType::Utf8),
        optional("comment", DataType::Utf8),
    ]
}

pub(super) fn batch(
    world: &World,
    schema: &Arc<Schema>,
    customers: Range<i64>,
) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for profile in world.profiles(customers) {
        append_surveys(world, &profile, &mut rows);
    }
    let answers = || rows.iter().map(|row| row.answer);
    let arrays = vec![
        columns::bigints(rows.iter().map(|row| row.id)),
        columns::bigints(rows.iter().map(|row| row.customer)),
        columns::moments(rows.iter().map(|row| row.at)),
        columns::texts(answers().map(|answer| match answer {
            Answer::Nps(_) => "nps",
            Answer::Csat(_) => "csat",
        })),
        columns::smallints(answers().map(|answer| match answer {
            Answer::Nps(score) => Some(score),
            Answer::Csat(_) => None,
        })),
        columns::smallints(answers().map(|answer| match answer {
            Answer::Nps(_) => None,
            Answer::Csat(score) => Some(score),
        })),
        columns::texts(rows.iter().map(|row| row.channel)),
        columns::optional_texts(rows.iter().map(|row| row.comment.as_deref())),
    ];
    columns::batch(schema, arrays)
}

/// Appends the answers of one customer by time.
fn append_surveys(world: &World, profile: &Profile, rows: &mut Vec<Survey>) {
    let dice = &mut Dice::new(world.seed, SampleTable::Surveys, profile.id);
    let history = orders::history(world, profile);
    let first = rows.len();
    for at in nps_answers(world, profile, &history, dice) {
        let score = 8.0 + 1.75 * opinion(profile, &history, dice, at);
        rows.push(survey(
            profile,
            dice,
            at,
            Answer::Nps(score.round().clamp(0.0, 10.0) as i16),
        ));
    }
    for at in csat_answers(&history, dice) {
        let score = 3.9 + 0.95 * opinion(profile, &history, dice, at);
        rows.push(survey(
            profile,
            dice,
            at,
            Answer::Csat(score.round().clamp(1.0, 5.0) as i16),
        ));
    }
    rows[first..].sort_by_key(|row| row.at);
    for (index, row) in rows[first..].iter_mut().enumerate() {
        row.id = row_id(profile.id, index);
    }
}

/// When the customer answered an NPS survey.
fn nps_answers(world: &World, profile: &Profile, history: &History, dice: &mut Dice) -> Vec<i64> {
    let mut effort = world.calendar.effort(profile.signed_up);
    let mut gap = FIRST_SURVEY;
    let mut answers = Vec::new();
    loop {
        effort += dice.between(gap.0, gap.1);
        gap = NEXT_SURVEY;
        let Some(at) = world.calendar.second(effort) else {
            return answers;
        };
        let willing = if history.left_by(at) {
            LEFT_RESPONSE
        } else {
            1.0
        };
        if dice.chance(NPS_RESPONSE * willing * (0.1 * profile.satisfaction).exp()) {
            answers.push(at);
        }
    }
}

/// When the customer answered a CSAT survey: within days of an order.
fn csat_answers(history: &History, dice: &mut Dice) -> Vec<i64> {
    let mut answers = Vec::new();
    for order in &history.orders {
        if order.status != Status::Cancelled && dice.chance(CSAT_RESPONSE) {
            answers.push(order.at + (dice.between(0.2, 6.0) * DAY as f64) as i64);
        }
    }
    answers.retain(|&at| at < END);
    answers.truncate(MAX_CSAT_PER_CUSTOMER);
    answers
}

/// What the customer thinks when asked at `second`.
fn opinion(profile: &Profile, history: &History, dice: &mut Dice, second: i64) -> f64 {
    let leaving = if history.left_by(second) {
        LEAVING
    } else {
        0.0
    };
    profile.opinion(dice, second) - leaving
}

fn survey(profile: &Profile, dice: &mut Dice, at: i64, answer: Answer) -> Survey {
    let channel = dice.weighted(&CHANNELS);
    let commented = dice.chance(COMMENTED);
    let comment = commented.then(|| phrases::comment(dice, profile.language, answer.tone()));
    Survey {
        id: 0,
        customer: profile.id,
        at,
        answer,
        channel,
        comment,
    }
}
