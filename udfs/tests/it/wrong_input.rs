//! What is refused, and that the message says what to do instead.

use crate::session::{failure, session};

async fn refused(sql: &str, words: &[&str]) {
    // Several partitions and one, because checks sit in different accumulators.
    for partitions in [1, 4] {
        let message = failure(&session(partitions), sql).await;
        for word in words {
            assert!(
                message.contains(word),
                "{sql}\n said {message}\n without {word}"
            );
        }
    }
}

#[tokio::test]
async fn scores_off_the_scale() {
    let remedy = "nps(): score 11 is outside 0..10; filter it, fix the scale, or call nps(score, \
                  detractor_max, promoter_min)";
    refused("SELECT nps(s) FROM (VALUES (9), (11)) t(s)", &[remedy]).await;
    refused(
        "SELECT nps(s) FROM (VALUES (9, 1), (11, 2)) t(s, g) GROUP BY g",
        &[remedy],
    )
    .await;
    refused("SELECT nps(s) FROM (VALUES (NULL), (11)) t(s)", &[remedy]).await;
    refused(
        "SELECT nps(s) OVER () FROM (VALUES (9), (11)) t(s)",
        &[remedy],
    )
    .await;
    refused("SELECT nps(-1)", &["score -1 is outside 0..10"]).await;
    refused(
        "SELECT nps_category(11)",
        &["nps_category(): score 11 is outside 0..10"],
    )
    .await;
    refused(
        "SELECT rfm_segment(6, 3, 1)",
        &["rfm_segment(): r 6 is outside 1..5"],
    )
    .await;
    refused(
        "SELECT rfm_segment(1, 1, 1, 'other')",
        &["no map 'other'", "'grid10' or 'codes11'"],
    )
    .await;
}

#[tokio::test]
async fn what_is_not_a_number() {
    for bad in ["'NaN'", "'Infinity'", "'-Infinity'"] {
        let value = format!("CAST({bad} AS DOUBLE)");
        let name = bad.trim_matches('\'');
        for (call, argument) in [
            (format!("nps({value})"), "score"),
            (format!("nps({value}, 3, 5)"), "score"),
            (format!("nps(3, {value}, 5)"), "detractor_max"),
            (format!("nps_category({value})"), "score"),
            (format!("aov({value})"), "amount"),
            (format!("aov({value}, 1)"), "amount"),
            (format!("clv(1, {value})"), "amount"),
            (format!("clv(1, 1, {value})"), "margin"),
            (format!("purchase_frequency({value})"), "customer_id"),
            (format!("clv_simple({value}, 1, 1)"), "aov"),
            (format!("nps_weighted({value}, 1)"), "score"),
            (format!("nps_weighted({value}, 1, 3, 5)"), "score"),
            (format!("nps_weighted(9, {value})"), "weight"),
            (format!("nps_weighted(9, 1, {value}, 5)"), "detractor_max"),
            (format!("nps_ci({value})"), "score"),
            (format!("nps_ci(9, {value})"), "confidence"),
            (format!("nps_moe({value})"), "score"),
            (format!("nps_change({value}, true)"), "score"),
            (format!("nps_change(9, true, {value})"), "confidence"),
            (format!("rate_ci(true, {value})"), "confidence"),
            (format!("wilson_ci({value}, 1)"), "successes"),
            (format!("wilson_ci(1, {value})"), "trials"),
            (format!("wilson_ci(1, 1, {value})"), "confidence"),
            (format!("lift_test({value}, true)"), "value"),
            (format!("lift_test(1, true, {value})"), "confidence"),
            (format!("trend_test({value}, 1)"), "x"),
            (format!("trend_test(1, {value})"), "y"),
            (format!("csat({value})"), "score"),
            (format!("csat({value}, 4)"), "score"),
            (format!("csat(4, {value})"), "satisfied_min"),
            (format!("ces({value})"), "score"),
            (format!("ces(4, {value})"), "scale_max"),
            (format!("cli({value}, 1, 1)"), "recommend"),
            (format!("cli(1, 1, {value}, 0, 10)"), "cross_buy"),
            (format!("cli(1, 1, 1, {value}, 10)"), "scale_min"),
            (format!("csi('a', {value}, 1)"), "satisfaction"),
            (format!("csi('a', 5, {value})"), "importance"),
            (format!("csi('a', 5, 1, 0, {value})"), "scale_max"),
            (format!("loyalty_index([{value}])"), "values"),
            (format!("loyalty_index([1.0], [{value}])"), "weights"),
            (format!("revenue_churn_rate({value}, 1)"), "mrr_start"),
            (format!("revenue_churn_rate(1, {value})"), "mrr_end"),
            (format!("cohort_retention({value}, now())"), "customer_id"),
            (format!("quantile_score({value}) OVER ()"), "value"),
        ] {
            refused(
                &format!("SELECT {call}"),
                &[&format!("{argument} is {name}")],
            )
            .await;
        }
    }
}

#[tokio::test]
async fn text_where_numbers_or_dates_are_needed() {
    for (call, words) in [
        (
            "nps('9')",
            ["nps(): score is text", "CAST(score AS DOUBLE)"],
        ),
        ("nps(9, '3', 5)", ["nps(): detractor_max is text", "CAST"]),
        (
            "nps_category('9')",
            ["nps_category(): score is text", "CAST"],
        ),
        ("aov('9')", ["aov(): amount is text", "CAST"]),
        (
            "nps_weighted('9', 1)",
            ["nps_weighted(): score is text", "CAST"],
        ),
        ("nps_weighted(9, '1')", ["weight is text", "CAST"]),
        ("nps_ci('9')", ["nps_ci(): score is text", "CAST"]),
        ("nps_ci(9, '0.9')", ["confidence is text", "CAST"]),
        ("nps_moe('9')", ["nps_moe(): score is text", "CAST"]),
        (
            "nps_change('9', true)",
            ["nps_change(): score is text", "CAST"],
        ),
        (
            "nps_change(9, 1)",
            ["is_after must be a condition", "is_after = 1"],
        ),
        (
            "rate_ci(1)",
            ["rate_ci(): success must be a condition", "success = 1"],
        ),
        (
            "rate_change(true, 'x')",
            ["is_after must be a condition", "is_after = 1"],
        ),
        (
            "rate_change(0.5, true)",
            ["success must be a condition", "success = 1"],
        ),
        (
            "wilson_ci('1', 2)",
            ["wilson_ci(): successes is text", "CAST"],
        ),
        (
            "lift_test('1', true)",
            ["lift_test(): value is text", "CAST"],
        ),
        (
            "lift_test(1, 1)",
            ["treated must be a condition", "treated = 1"],
        ),
        (
            "trend_test('2024-01-01', 1)",
            ["trend_test(): x is text", "CAST(x AS DATE)"],
        ),
        ("trend_test(1, '1')", ["trend_test(): y is text", "CAST"]),
        (
            "trend_test(true, 1)",
            ["trend_test(): x must be a number", "Boolean"],
        ),
        ("clv(1, '9')", ["clv(): amount is text", "CAST"]),
        (
            "rfm_segment('1', 2)",
            ["rfm_segment(): r is text", "CAST(r AS INT)"],
        ),
        (
            "quantile_score('a') OVER ()",
            ["quantile_score(): value is text", "cast"],
        ),
        (
            "rfm_score('a', 1, 1) OVER ()",
            ["rfm_score(): last_order is text", "cast"],
        ),
        (
            "churn_rate(1)",
            ["churn_rate(): churned must be a condition", "churned = 1"],
        ),
        (
            "retention_rate('x')",
            ["retained must be a condition", "retained = 1"],
        ),
        (
            "churn_rate(DATE '2024-01-01', NULL, '2024-01-01', DATE '2024-02-01')",
            ["churn_rate(): period_start is text", "DATE '2024-01-31'"],
        ),
        (
            "churn_rate(DATE '2024-01-01', DATE '2024-01-01', 30)",
            ["inactivity must be an interval", "INTERVAL '30 days'"],
        ),
        (
            "churn_rate(1, 2, DATE '2024-01-01', DATE '2024-01-01', DATE '2024-01-01')",
            ["event_time must be a date or timestamp", "Int64"],
        ),
    ] {
        refused(&format!("SELECT {call}"), &words).await;
    }
}

#[tokio::test]
async fn times_in_the_wrong_order() {
    let (jan, feb, mar) = (
        "DATE '2024-01-01'",
        "DATE '2024-02-01'",
        "DATE '2024-03-01'",
    );
    for (call, words) in [
        (
            format!("churn_rate({jan}, NULL, {feb}, {jan})"),
            "period_end 2024-01-01 is before",
        ),
        (
            format!("churn_rate({feb}, {jan}, {jan}, {feb})"),
            "end 2024-01-01 is before start",
        ),
        (
            format!("retention_rate({feb}, {jan}, {jan}, {feb})"),
            "retention_rate(): end",
        ),
        (
            format!("churn_rate({mar}, {feb}, INTERVAL '1 day')"),
            "last_activity 2024-03-01 is after",
        ),
        (
            format!("churn_rate({jan}, {feb}, INTERVAL '-1 day')"),
            "inactivity is negative",
        ),
        (
            format!("churn_rate(1, {jan}, {feb}, {jan}, {mar})"),
            "must follow each other",
        ),
        (
            format!("retention_rate(1, {jan}, {jan}, {mar}, {feb})"),
            "must follow each other",
        ),
    ] {
        refused(&format!("SELECT {call}"), &[words]).await;
    }
}

#[tokio::test]
async fn negative_and_impossible_values() {
    refused(
        "SELECT clv_simple(70, -3, 3)",
        &["clv_simple(): frequency -3 is negative"],
    )
    .await;
    refused(
        "SELECT nps(3, 5, 5)",
        &["detractor_max 5 must be below promoter_min 5"],
    )
    .await;
    refused(
        "SELECT nps_category(3, 5, 4)",
        &["detractor_max 5 must be below promoter_min 4"],
    )
    .await;
    for buckets in ["0", "-1", "NULL", "3000000000"] {
        let sql = format!("SELECT quantile_score(1, {buckets}) OVER ()");
        refused(&sql, &["quantile_score(): buckets", "from 1"]).await;
    }
    for (call, words) in [
        (
            "nps_weighted(9, -1)",
            "nps_weighted(): weight -1 is negative",
        ),
        (
            "nps_weighted(11, 1)",
            "or call nps_weighted(score, weight, detractor_max",
        ),
        (
            "nps_weighted(9, 1, 5, 5)",
            "detractor_max 5 must be below promoter_min 5",
        ),
        (
            "nps_ci(11)",
            "nps_ci(): score 11 is outside 0..10; filter it",
        ),
        ("nps_moe(-1)", "nps_moe(): score -1 is outside 0..10"),
        (
            "nps_change(10.5, false)",
            "nps_change(): score 10.5 is outside",
        ),
        ("wilson_ci(-1, 2)", "successes -1 is not a count"),
        ("wilson_ci(0.5, 2)", "successes 0.5 is not a count"),
        ("wilson_ci(1, 1e300)", "is not a count"),
        ("wilson_ci(3, 2)", "successes 3 are more than trials 2"),
        (
            "lift_test(1e200, true)",
            "lift_test(): value 1e200 is too large",
        ),
        ("trend_test(1e200, 1)", "trend_test(): x 1e200 is too large"),
        (
            "trend_test(1, -1e200)",
            "trend_test(): y -1e200 is too large",
        ),
    ] {
        refused(&format!("SELECT {call}"), &[words]).await;
    }
    let huge = "CAST(1e308 AS DOUBLE)";
    refused(
        &format!("SELECT nps_weighted(9, w) FROM (VALUES ({huge}), ({huge})) t(w)"),
        &["nps_weighted(): the sum of weight is too large"],
    )
    .await;
    refused(
        &format!("SELECT aov(v) FROM (VALUES ({huge}), ({huge})) t(v)"),
        &["aov(): the sum of amount is too large"],
    )
    .await;
}

#[tokio::test]
async fn constants_that_vary_within_a_group() {
    let two = "(VALUES (1, 3, 5), (2, 4, 5)) t(s, lo, hi)";
    refused(
        &format!("SELECT nps(s, lo, hi) FROM {two}"),
        &["detractor_max must be the same"],
    )
    .await;
    refused(
        &format!("SELECT nps(s, lo, hi) FROM {two} GROUP BY hi"),
        &["detractor_max must be the same"],
    )
    .await;
    refused(
        &format!("SELECT clv(s, hi, lo) FROM {two}"),
        &["margin must be the same"],
    )
    .await;
    for call in [
        "nps_ci(s, s / 10.0)",
        "nps_moe(s, s / 10.0)",
        "rate_ci(s > 1, s / 10.0)",
        "nps_change(s, true, s / 10.0)",
        "lift_test(s, true, s / 10.0)",
    ] {
        refused(
            &format!("SELECT {call} FROM {two}"),
            &["confidence must be the same for all rows of a group"],
        )
        .await;
    }
    for (call, argument) in [
        ("csat(s, lo)", "satisfied_min"),
        ("ces(s, lo)", "scale_max"),
        ("cli(s, s, s, 0, lo)", "scale_max"),
        ("csi('a', s, s, s - 1)", "scale_min"),
        (
            "revenue_churn_rate(s, s, CASE WHEN s = 1 THEN 'net' ELSE 'gross' END)",
            "kind",
        ),
        (
            "cohort_retention(s, now(), CASE WHEN s = 1 THEN 'day' ELSE 'week' END)",
            "period",
        ),
        (
            "window_funnel(CASE WHEN s = 1 THEN INTERVAL '1 day' ELSE INTERVAL '2 days' END, now(), s > 0)",
            "window",
        ),
        (
            "sessionize(now(), CASE WHEN s = 1 THEN INTERVAL '1 day' ELSE INTERVAL '2 days' END) OVER ()",
            "gap",
        ),
    ] {
        refused(
            &format!("SELECT {call} FROM {two}"),
            &[&format!(
                "{argument} must be the same for all rows of a group"
            )],
        )
        .await;
    }
    refused(
        &format!("SELECT nps_weighted(s, 1, 3, hi + s) FROM {two}"),
        &["promoter_min must be the same"],
    )
    .await;
    refused(
        &format!("SELECT quantile_score(s, lo) OVER () FROM {two}"),
        &["buckets must be the same"],
    )
    .await;
    let months = "(VALUES (DATE '2024-01-01'), (DATE '2024-02-01')) months(m)";
    refused(
        &format!("SELECT churn_rate(m, NULL, m, DATE '2024-03-01') FROM {months}"),
        &["period_start must be the same for all rows of a group"],
    )
    .await;
    refused(
        &format!("SELECT churn_rate(DATE '2023-01-01', m, INTERVAL '1 day') FROM {months}"),
        &["as_of must be the same"],
    )
    .await;
    refused(
        &format!(
            "SELECT churn_rate(1, m, DATE '2023-01-01', DATE '2023-02-01', m + INTERVAL '1 year')
             FROM {months}"
        ),
        &["period_end must be the same"],
    )
    .await;
}

#[tokio::test]
async fn distinct_is_refused_everywhere() {
    for call in [
        "nps(DISTINCT s)",
        "aov(DISTINCT s)",
        "clv(DISTINCT s, s)",
        "purchase_frequency(DISTINCT s)",
        "repeat_purchase_rate(DISTINCT s)",
        "churn_rate(DISTINCT s > 1)",
        "retention_rate(DISTINCT s > 1)",
        "nps_ci(DISTINCT s)",
        "nps_moe(DISTINCT s)",
        "nps_weighted(DISTINCT s, s)",
        "nps_change(DISTINCT s, s > 1)",
        "rate_ci(DISTINCT s > 1)",
        "rate_change(DISTINCT s > 1, s > 1)",
        "lift_test(DISTINCT s, s > 1)",
        "trend_test(DISTINCT s, s)",
        "csat(DISTINCT s)",
        "ces(DISTINCT s)",
        "cli(DISTINCT s, s, s)",
        "csi(DISTINCT 'a', s, s)",
        "revenue_churn_rate(DISTINCT s, s)",
        "cohort_retention(DISTINCT s, now())",
        "retention(DISTINCT s > 1)",
        "window_funnel(DISTINCT INTERVAL '1 day', now(), s > 1)",
    ] {
        let sql = format!("SELECT {call} FROM (VALUES (9), (9)) t(s)");
        refused(&sql, &["DISTINCT is not supported", "remove DISTINCT"]).await;
        let sql = format!("SELECT s, {call} FROM (VALUES (9), (9)) t(s) GROUP BY s");
        refused(&sql, &["DISTINCT is not supported"]).await;
        let sql = format!("SELECT {call} OVER () FROM (VALUES (9), (9)) t(s)");
        refused(&sql, &["DISTINCT"]).await;
    }
}

#[tokio::test]
async fn sliding_frames_of_distinct_customers() {
    for call in [
        "purchase_frequency(s)",
        "repeat_purchase_rate(s)",
        "clv(s, s)",
        "aov(s, s)",
        "churn_rate(s, d, d, d, d)",
    ] {
        let sql = format!(
            "SELECT {call} OVER (ORDER BY s ROWS 2 PRECEDING)
             FROM (VALUES (1, DATE '2024-01-01'), (2, DATE '2024-01-01')) t(s, d)"
        );
        refused(
            &sql,
            &[
                "a frame whose start moves is not supported",
                "UNBOUNDED PRECEDING",
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn wrong_numbers_of_arguments() {
    for (call, form) in [
        ("nps(1, 2)", "nps(score, detractor_max, promoter_min)"),
        (
            "nps_category(1, 2)",
            "nps_category(score, detractor_max, promoter_min)",
        ),
        ("aov(1, 2, 3)", "aov(amount, order_id)"),
        ("clv(1)", "clv(customer_id, amount)"),
        (
            "churn_rate(true, true)",
            "churn_rate(last_activity, as_of, inactivity)",
        ),
        (
            "retention_rate(true, true, true)",
            "retention_rate(retained)",
        ),
        (
            "purchase_frequency(1, 2, 3)",
            "purchase_frequency(customer_id, order_key)",
        ),
        (
            "repeat_purchase_rate(1, 2, 3)",
            "repeat_purchase_rate(customer_id, order_key)",
        ),
        ("clv_simple(1, 2)", "clv_simple(aov, frequency, lifespan)"),
        ("rfm_segment(1)", "rfm_segment(r, f)"),
        (
            "rfm_score(1, 2) OVER ()",
            "rfm_score(last_order, orders, amount)",
        ),
        (
            "quantile_score(1, 2, 3) OVER ()",
            "quantile_score(value, buckets)",
        ),
        ("nps_weighted(1)", "nps_weighted(score, weight)"),
        ("nps_weighted(1, 2, 3)", "nps_weighted(score, weight)"),
        ("nps_ci(1, 0.9, 3)", "nps_ci(score, confidence)"),
        ("nps_moe(1, 0.9, 3)", "nps_moe(score, confidence)"),
        ("nps_change(1)", "nps_change(score, is_after)"),
        ("rate_ci(true, 0.9, 1)", "rate_ci(success, confidence)"),
        ("rate_change(true)", "rate_change(success, is_after)"),
        ("wilson_ci(1)", "wilson_ci(successes, trials)"),
        ("lift_test(1)", "lift_test(value, treated)"),
        ("trend_test(1)", "trend_test(x, y)"),
        ("csat(1, 2, 3)", "csat(score, satisfied_min)"),
        ("ces(1, 2, 3)", "ces(score, scale_max)"),
        ("cli(1, 2)", "cli(recommend, repurchase, cross_buy)"),
        ("cli(1, 2, 3, 4)", "cli(recommend, repurchase, cross_buy"),
        ("csi('a', 1)", "csi(attribute, satisfaction, importance)"),
        (
            "loyalty_index([1], [1], [1])",
            "loyalty_index(values, weights)",
        ),
        (
            "revenue_churn_rate(1)",
            "revenue_churn_rate(mrr_start, mrr_end)",
        ),
        (
            "cohort_retention(1)",
            "cohort_retention(customer_id, event_time)",
        ),
        ("tenure(now())", "tenure(start, as_of)"),
        ("survey_score('1', '2')", "survey_score(answer)"),
        ("sessionize(now()) OVER ()", "sessionize(ts, gap)"),
        (
            "window_funnel(INTERVAL '1 day', now())",
            "window_funnel(window, ts, cond1",
        ),
    ] {
        refused(&format!("SELECT {call}"), &["called with", form]).await;
    }
}

#[tokio::test]
async fn sessions_of_unordered_events() {
    let events =
        "(VALUES (TIMESTAMP '2024-01-01 10:00:00'), (TIMESTAMP '2024-01-01 09:00:00')) t(ts)";
    refused(
        &format!("SELECT sessionize(ts, INTERVAL '1 hour') OVER (ORDER BY ts DESC) FROM {events}"),
        &["sessionize(): ts goes back from", "order the window by ts"],
    )
    .await;
}

#[tokio::test]
async fn more_conditions_than_bits() {
    let many = vec!["true"; 33].join(", ");
    refused(
        &format!("SELECT retention({many})"),
        &["with up to 32 conditions"],
    )
    .await;
    refused(
        &format!("SELECT window_funnel(INTERVAL '1 day', now(), {many})"),
        &["with up to 32 conditions"],
    )
    .await;
}
