//! Who is told: listening sessions at once, webhooks by messages that wait in the catalog file until they are
//! delivered or given up.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::engine::activity::{Activity, Notification};
use crate::error::{Error, Result};
use crate::jobs::options::Options;
use crate::jobs::{Jobs, Post};

/// Longest payload of a notification that is cut to fit, in bytes.
const PAYLOAD_BYTES_MAX: usize = 7_000;
/// Longest text of an error in a message, in bytes. JSON may write six for one, and all of a message must fit
/// into a notification.
const TEXT_BYTES_MAX: usize = 1_000;
/// Longest time that a webhook may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Waits before the second attempt and those behind it, in microseconds; then a message is given up.
const WAITS_US: [i64; 3] = [10_000_000, 60_000_000, 300_000_000];
/// Messages that are sent in one go.
const POSTS_AT_ONCE: usize = 16;

/// What is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The first failure after a success.
    Failed,
    /// A schedule rests because it failed too often.
    Suspended,
    /// A success after failures, or after being late.
    Recovered,
    /// The last success is too long ago.
    Late,
    /// The condition of an alert begins to hold.
    Firing,
    /// It holds no more.
    Resolved,
}

impl Event {
    const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Suspended => "suspended",
            Self::Recovered => "recovered",
            Self::Late => "late",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// Tells of an event by the ways that a job's options name.
pub(super) fn tell(
    activity: &Activity,
    jobs: &Jobs,
    options: &Options,
    (event, name, message): (Event, &str, &str),
    now_us: i64,
) -> Result<()> {
    let at = chrono::DateTime::from_timestamp_micros(now_us).map(|at| at.to_rfc3339());
    let message = &message[..message.floor_char_boundary(TEXT_BYTES_MAX)];
    let body = json!({ "event": event.name(), "name": name, "message": message, "at": at });
    let body = body.to_string();
    tracing::warn!(event = event.name(), name, message, "alert");
    let told = options
        .on_failure
        .as_deref()
        .and_then(|told| told.split_once(':'));
    let is_alert = matches!(event, Event::Firing | Event::Resolved);
    let (channel, url) = match told {
        _ if is_alert => (options.notify.as_deref(), options.webhook.as_deref()),
        Some(("notify", channel)) => (Some(channel), None),
        Some(("webhook", url)) => (None, Some(url)),
        _ => (None, None),
    };
    if let Some(channel) = channel {
        notify(activity, channel, &body);
    }
    match url {
        Some(url) => jobs.post(url, options.webhook_secret.as_deref(), &body, now_us),
        None => Ok(()),
    }
}

/// Notifies those who listen.
pub(super) fn notify(activity: &Activity, channel: &str, payload: &str) {
    let payload = &payload[..payload.floor_char_boundary(PAYLOAD_BYTES_MAX)];
    match Notification::try_new(0, channel, payload) {
        Ok(notification) => activity.notify(&notification),
        Err(error) => tracing::warn!(channel, %error, "nobody could be notified"),
    }
}

/// Sends the messages that are due.
pub(super) async fn deliver(client: &reqwest::Client, jobs: &Arc<Jobs>, now_us: i64) -> Result<()> {
    let posts = jobs.posts(POSTS_AT_ONCE, now_us)?;
    for post in posts {
        let again = match send(client, &post).await {
            Ok(()) => None,
            Err(error) => {
                let wait = WAITS_US.get(post.attempt as usize);
                match wait {
                    Some(_) => {
                        tracing::warn!(url = post.url, %error, "a webhook will be tried again");
                    }
                    None => tracing::error!(url = post.url, %error, "a webhook is given up"),
                }
                wait.map(|wait| now_us.saturating_add(*wait))
            }
        };
        jobs.posted(post.id, again)?;
    }
    Ok(())
}

async fn send(client: &reqwest::Client, post: &Post) -> Result<()> {
    let failed = |error: reqwest::Error| {
        let error = error.without_url();
        Error::io_error(format!("the webhook could not be reached: {error}"))
    };
    let mut request = client
        .post(&post.url)
        .timeout(ANSWER_TIME_MAX)
        .header("Content-Type", "application/json")
        .body(post.body.clone());
    if let Some(secret) = &post.secret {
        request = request.header("X-Loyalhouse-Signature", signature(secret, &post.body));
    }
    let answer = request.send().await.map_err(failed)?;
    match answer.status().is_success() {
        true => Ok(()),
        false => Err(Error::io_error(format!(
            "the webhook answered {}",
            answer.status()
        ))),
    }
}

/// `sha256=` and the HMAC of the body (RFC 2104) in hexadecimal.
fn signature(secret: &str, body: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, body.as_bytes());
    let digits = |byte: &u8| [byte >> 4, byte & 15];
    let digits = tag.as_ref().iter().flat_map(digits);
    let hex = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16));
    "sha256=".chars().chain(hex).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        // Test case 2.
        assert_eq!(
            signature("Jefe", "what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
