//! Text functions over a user's own words, beside those over the built-in ones.

use std::sync::Arc;

use datafusion::arrow::util::display::array_value_to_string;
use datafusion::prelude::SessionContext;
use datafusion_functions_loyalty::{Lexicons, lenient_scalar, text_functions};

use crate::session::{failure, numbers, rows, session};

/// A session with words of its own.
fn with_words(words: &[(&str, &str, f64)], topics: &[(&str, &str, &str)]) -> SessionContext {
    let mut builder = Lexicons::builder();
    for (lang, term, weight) in words {
        builder.add_word(lang, term, *weight).unwrap();
    }
    for (lang, topic, term) in topics {
        builder.add_topic_word(lang, topic, term).unwrap();
    }
    let context = session(2);
    for function in text_functions(&Arc::new(builder.finish())) {
        context.register_udf(function.as_ref().clone());
    }
    context
}

/// A value as text.
async fn text(context: &SessionContext, call: &str) -> String {
    let batch = rows(context, &format!("SELECT {call}")).await.unwrap();
    array_value_to_string(batch.column(0), 0).unwrap()
}

#[tokio::test]
async fn own_words_are_added_and_take_the_place_of_built_in_ones() {
    let built_in = session(2);
    let own = with_words(
        &[
            ("en", "meh", -2.0),
            ("en", "super", 2.0),
            ("en", "good", 0.0),
            ("uk", "мрія", 3.0),
        ],
        &[],
    );
    for (call, before, after) in [
        ("sentiment_label('Meh')", "neutral", "negative"),
        ("sentiment_label('not meh')", "neutral", "positive"),
        ("sentiment_label('a super lamp')", "neutral", "positive"),
        ("sentiment_label('good')", "positive", "neutral"),
        (
            "sentiment_label('просто мрія', 'uk')",
            "neutral",
            "positive",
        ),
        ("sentiment_label('мрія', 'ru')", "neutral", "neutral"),
        ("review_type('meh')", "other", "complaint"),
        ("sentiment_label('wonderful')", "positive", "positive"),
    ] {
        assert_eq!(text(&built_in, call).await, before, "{call}");
        assert_eq!(text(&own, call).await, after, "{call}");
    }
    let tones = "SELECT sentiment(t) FROM (VALUES (1, 'meh'), (2, NULL), (3, 'meh meh')) v(n, t) ORDER BY n";
    let tones = numbers(&own, tones).await;
    assert_eq!(tones[0], Some(-2.0 / 19.0_f64.sqrt()));
    assert!(tones[1].is_none() && tones[2] < tones[0]);
}

#[tokio::test]
async fn own_topics_stand_behind_the_built_in_ones() {
    let own = with_words(
        &[],
        &[
            ("en", "network", "wifi"),
            ("en", "App", "app"),
            ("en", "service", "courier"),
            ("ru", "network", "вайфай"),
        ],
    );
    for (call, expected) in [
        (
            "review_topics('The wifi, the app and the parcel')",
            "[app, delivery, network]",
        ),
        ("review_topic('wifi and app')", "app"),
        ("review_topic('wifi and a parcel')", "delivery"),
        ("review_topic('wifi, wifi and a parcel')", "network"),
        ("review_topic('The courier')", "service"),
        ("review_topics('Вайфай не работает')", "[network]"),
        ("review_topics('nothing')", "[]"),
    ] {
        assert_eq!(text(&own, call).await, expected, "{call}");
    }
}

#[tokio::test]
async fn the_version_tells_word_lists_apart() {
    let built_in = text(&session(1), "loyalty_version()").await;
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        built_in.starts_with(&format!("{version} sentiment ")),
        "{built_in}"
    );
    let same = with_words(&[], &[]);
    assert_eq!(text(&same, "loyalty_version()").await, built_in);
    let own = text(
        &with_words(&[("en", "meh", -2.0)], &[]),
        "loyalty_version()",
    )
    .await;
    assert_ne!(own, built_in);
    let topics = |version: &str| version.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(topics(&own), topics(&built_in));
    let refused = failure(&session(1), "SELECT loyalty_version(1)").await;
    assert!(refused.contains("write loyalty_version()"), "{refused}");
}

#[tokio::test]
async fn own_words_work_leniently_too() {
    let mut builder = Lexicons::builder();
    builder.add_word("en", "meh", -2.0).unwrap();
    let context = session(1);
    for function in text_functions(&Arc::new(builder.finish())) {
        context.register_udf(lenient_scalar(&function).as_ref().clone());
    }
    assert_eq!(text(&context, "sentiment_label('meh')").await, "negative");
    assert!(
        text(&context, "loyalty_version()")
            .await
            .contains("sentiment")
    );
}
