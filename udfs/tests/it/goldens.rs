//! Known values: worked examples from the literature, and CDNOW, where independent libraries agree.

use std::collections::BTreeMap;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};

use crate::session::{cdnow, check, number, numbers, rows, session};

#[tokio::test]
async fn nps_of_worked_examples() {
    let context = session(2);
    for (sql, expected) in [
        ("SELECT nps(s) FROM (VALUES (9), (10)) t(s)", Some(100.0)),
        (
            "SELECT nps(s) FROM (VALUES (CAST(NULL AS INT)), (NULL)) t(s)",
            None,
        ),
        ("SELECT nps(s) FROM (VALUES (1)) t(s) WHERE s > 1", None),
        (
            "SELECT nps(s, 3, 5) FROM (VALUES (5), (5), (4), (3), (1)) t(s)",
            Some(0.0),
        ),
        (
            "SELECT nps(s, promoter_min => 5, detractor_max => 3)
             FROM (VALUES (5), (5), (4), (3), (1)) t(s)",
            Some(0.0),
        ),
        // DELA's annual report 2018: 30 promoters, 50 passives, 20 detractors.
        (
            "SELECT nps(CASE WHEN n <= 30 THEN 9 WHEN n <= 80 THEN 8 ELSE 2 END)
             FROM generate_series(1, 100) t(n)",
            Some(10.0),
        ),
        (
            "SELECT nps(s) FILTER (WHERE s BETWEEN 0 AND 10) FROM (VALUES (11), (9)) t(s)",
            Some(100.0),
        ),
    ] {
        check(&context, sql, &[expected]).await;
    }
}

#[tokio::test]
async fn the_same_nps_for_every_kind_of_number() {
    let context = session(1);
    for kind in [
        "TINYINT",
        "SMALLINT",
        "INT",
        "BIGINT",
        "TINYINT UNSIGNED",
        "BIGINT UNSIGNED",
        "REAL",
        "DOUBLE",
        "DECIMAL(4,1)",
        "DECIMAL(20,2)",
        "DECIMAL(60,2)",
    ] {
        let sql = format!("SELECT nps(CAST(s AS {kind})) FROM (VALUES (10), (9), (8), (3)) t(s)");
        check(&context, &sql, &[Some(25.0)]).await;
    }
    let dictionary =
        "SELECT nps(arrow_cast(arrow_cast(s, 'Float64'), 'Dictionary(Int32, Float64)'))
                      FROM (VALUES (10), (9), (8), (3)) t(s)";
    check(&context, dictionary, &[Some(25.0)]).await;
}

#[tokio::test]
async fn contractual_churn_and_its_edges() {
    let contracts = "(VALUES
        (DATE '2023-12-01', NULL), (DATE '2023-12-15', DATE '2024-01-10'),
        (DATE '2024-01-05', DATE '2024-01-20'), (DATE '2023-11-01', DATE '2024-02-01'),
        (DATE '2023-06-01', DATE '2024-01-01'), (DATE '2024-01-01', NULL),
        (NULL, NULL), (DATE '2023-10-01', DATE '2024-01-31')) t(s, e)";
    let context = session(2);
    let period = "s, e, DATE '2024-01-01', DATE '2024-02-01'";
    check(
        &context,
        &format!("SELECT churn_rate({period}) FROM {contracts}"),
        &[Some(0.6)],
    )
    .await;
    check(
        &context,
        &format!("SELECT retention_rate({period}) FROM {contracts}"),
        &[Some(0.4)],
    )
    .await;
    let monthly = format!(
        "SELECT churn_rate(s, e, m, m + INTERVAL '1 month') FROM {contracts}
         CROSS JOIN (VALUES (DATE '2024-01-01'), (DATE '2024-02-01')) months(m) GROUP BY m ORDER BY m"
    );
    check(&context, &monthly, &[Some(0.6), Some(0.0)]).await;
}

/// The last representable days, an end in year 9999, and a time zone on one side only.
#[tokio::test]
async fn contractual_churn_of_mixed_time_types() {
    let context = session(1);
    for (start, end) in [
        ("TIMESTAMP '2023-12-01 00:00:00'", "DATE '9999-12-31'"),
        (
            "arrow_cast(TIMESTAMP '2023-12-01 00:00:00', 'Timestamp(Second, None)')",
            "NULL",
        ),
        (
            "arrow_cast(TIMESTAMP '2023-12-01 00:00:00', 'Timestamp(Nanosecond, None)')",
            "NULL",
        ),
        (
            "arrow_cast(DATE '2023-12-01', 'Date64')",
            "DATE '9999-12-31'",
        ),
        (
            "arrow_cast(TIMESTAMP '2023-12-01 00:00:00', 'Timestamp(Millisecond, Some(\"+02:00\"))')",
            "DATE '9999-12-31'",
        ),
    ] {
        let sql = format!(
            "SELECT churn_rate({start}, {end}, DATE '2024-01-01', TIMESTAMP '2024-02-01 00:00:00')"
        );
        check(&context, &sql, &[Some(0.0)]).await;
    }
    // Midnight of the 1st in Kyiv's winter zone is 22:00 of the day before in UTC.
    let zoned = "arrow_cast(arrow_cast('2024-01-31T22:00:00', 'Timestamp(Second, Some(\"UTC\"))'),
                            'Timestamp(Second, Some(\"+02:00\"))')";
    let sql = format!(
        "SELECT churn_rate(DATE '2023-12-01', {zoned}, DATE '2024-01-01', DATE '2024-02-01')"
    );
    check(&context, &sql, &[Some(1.0)]).await;
}

#[tokio::test]
async fn churn_by_inactivity() {
    let context = session(2);
    let customers = "(VALUES (DATE '2024-01-05'), (DATE '2024-03-20'), (DATE '2024-03-31'), (NULL),
                             (DATE '2023-12-01')) t(d)";
    let sql =
        format!("SELECT churn_rate(d, DATE '2024-04-01', INTERVAL '30 days') FROM {customers}");
    check(&context, &sql, &[Some(0.5)]).await;
    // The 30th of March minus a month is the 29th of February: by the calendar, not by 30 days.
    let sql = "SELECT churn_rate(d, DATE '2024-03-30', INTERVAL '1 month')
               FROM (VALUES (DATE '2024-02-28'), (DATE '2024-02-29')) t(d)";
    check(&context, sql, &[Some(0.5)]).await;
    // Less than a day back from a date.
    let sql = "SELECT churn_rate(t, DATE '2024-03-30', INTERVAL '36 hours')
               FROM (VALUES (TIMESTAMP '2024-03-28 11:59:59'), (TIMESTAMP '2024-03-28 12:00:00')) x(t)";
    check(&context, sql, &[Some(0.5)]).await;
}

#[tokio::test]
async fn churn_of_a_condition() {
    let context = session(2);
    let sql = "SELECT churn_rate(c) FROM (VALUES (true), (false), (NULL), (false), (false)) t(c)";
    check(&context, sql, &[Some(0.25)]).await;
    let sql = "SELECT retention_rate(c) FROM (VALUES (true), (false), (NULL), (true)) t(c)";
    check(&context, sql, &[Some(2.0 / 3.0)]).await;
}

#[tokio::test]
async fn cdnow_purchases() {
    let context = cdnow().await;
    for (sql, expected) in [
        ("SELECT aov(amount) FROM cdnow_master", 35.893_648_056_969_1),
        (
            "SELECT purchase_frequency(customer_id) FROM cdnow_master",
            2.955_409_418_752_651_6,
        ),
        (
            "SELECT purchase_frequency(customer_id, date) FROM cdnow_master",
            67_591.0 / 23_570.0,
        ),
        (
            "SELECT repeat_purchase_rate(customer_id, date) FROM cdnow_master",
            0.488_587_187_102_248_63,
        ),
        (
            "SELECT clv(customer_id, amount) FROM cdnow_master",
            2_500_315.63 / 23_570.0,
        ),
        (
            "SELECT clv(customer_id, amount, margin => 0.3) FROM cdnow_master",
            750_094.689 / 23_570.0,
        ),
    ] {
        let got = number(&context, sql).await.unwrap();
        assert!(
            (got / expected - 1.0).abs() < 1e-12,
            "{sql} gave {got}, not {expected}"
        );
    }
    let by_row = number(
        &context,
        "SELECT repeat_purchase_rate(customer_id) FROM cdnow_master",
    )
    .await;
    assert!((by_row.unwrap() - 0.494_782).abs() < 5e-7, "{by_row:?}");
}

#[tokio::test]
async fn cdnow_retention_from_the_second_to_the_third_quarter() {
    let context = cdnow().await;
    let windows = "customer_id, date, DATE '1997-04-01', DATE '1997-07-01', DATE '1997-10-01'";
    let sql = format!("SELECT retention_rate({windows}) FROM cdnow_master");
    check(&context, &sql, &[Some(0.425_781_25)]).await;
    let sql = format!("SELECT churn_rate({windows}) FROM cdnow_master");
    check(&context, &sql, &[Some(0.574_218_75)]).await;
}

const SAMPLE_CUSTOMERS: &str = "(SELECT customer_id, max(date) AS last_order, count(*) AS orders,
                                 sum(amount) AS amount FROM cdnow_sample GROUP BY customer_id)";

#[tokio::test]
async fn cdnow_frequency_scores_give_equal_customers_equal_scores() {
    let context = cdnow().await;
    let sql = format!(
        "SELECT count(*) FROM (SELECT quantile_score(orders) OVER () AS f FROM {SAMPLE_CUSTOMERS})
         GROUP BY f ORDER BY f"
    );
    let counts = rows(&context, &sql).await.unwrap();
    let counts: Vec<_> = counts
        .column(0)
        .as_primitive::<Int64Type>()
        .values()
        .to_vec();
    assert_eq!(
        counts,
        [1_205, 406, 358, 388],
        "scores 1, 3, 4 and 5; nobody scores 2"
    );
}

/// Number of customers per value of a text expression over the sample's three scores.
async fn segments(expression: &str) -> BTreeMap<String, i64> {
    let context = cdnow().await;
    let sql = format!(
        "SELECT CAST({expression} AS VARCHAR) AS segment, count(*) FROM (
           SELECT quantile_score(last_order) OVER () AS r, quantile_score(orders) OVER () AS f,
                  quantile_score(amount) OVER () AS m,
                  rfm_score(last_order, orders, amount) OVER () AS code FROM {SAMPLE_CUSTOMERS})
         GROUP BY 1"
    );
    let batch = rows(&context, &sql).await.unwrap();
    let names = cast(batch.column(0), &DataType::Utf8);
    let names = names.unwrap();
    let counts = batch.column(1).as_primitive::<Int64Type>().values().iter();
    let names = names
        .as_string::<i32>()
        .iter()
        .map(|name| name.unwrap().to_owned());
    names.zip(counts.copied()).collect()
}

#[tokio::test]
async fn cdnow_segments_by_both_maps() {
    let known = |pairs: &[(&str, i64)]| -> BTreeMap<String, i64> {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    };
    let codes11 = known(&[
        ("About To Sleep", 193),
        ("At Risk", 58),
        ("Cannot Lose Them", 173),
        ("Champions", 537),
        ("Hibernating", 337),
        ("Lost", 319),
        ("Loyal Customers", 157),
        ("Need Attention", 167),
        ("New Customers", 147),
        ("Potential Loyalists", 177),
        ("Promising", 92),
    ]);
    assert_eq!(segments("rfm_segment(r, f, m)").await, codes11);
    assert_eq!(segments("rfm_segment(r, f, m, 'codes11')").await, codes11);
    let grid10 = known(&[
        ("About To Sleep", 345),
        ("At Risk", 90),
        ("Cannot Lose Them", 3),
        ("Champions", 414),
        ("Hibernating", 860),
        ("Loyal Customers", 315),
        ("Need Attention", 84),
        ("Potential Loyalists", 246),
    ]);
    assert_eq!(segments("rfm_segment(r, f)").await, grid10);
    assert_eq!(segments("rfm_segment(r, f, m, 'grid10')").await, grid10);
    let composed = segments("concat(r, f, m)").await;
    assert_eq!(
        segments("code").await,
        composed,
        "rfm_score is the three scores in a row"
    );
}

#[tokio::test]
async fn quantile_scores_of_small_partitions() {
    let context = session(2);
    let sql = "SELECT quantile_score(v) OVER () FROM generate_series(10, 100, 10) t(v) ORDER BY v";
    let expected = [1, 1, 2, 2, 3, 3, 4, 4, 5, 5].map(|score| Some(f64::from(score)));
    check(&context, sql, &expected).await;
    let sql = "SELECT quantile_score(v, 2) OVER (PARTITION BY v % 20 = 0)
               FROM generate_series(10, 40, 10) t(v) ORDER BY v";
    check(&context, sql, &[Some(1.0), Some(1.0), Some(2.0), Some(2.0)]).await;
    let sql = "SELECT quantile_score(v) OVER () FROM (VALUES (CAST(NULL AS INT)), (7)) t(v)
               ORDER BY v";
    check(&context, sql, &[Some(1.0), None]).await;
}

#[tokio::test]
async fn clv_simple_of_the_textbook() {
    let context = session(1);
    let got = number(&context, "SELECT clv_simple(70, 3, 3, 0.3)")
        .await
        .unwrap();
    assert!((got - 189.0).abs() < 1e-9, "{got}");
    check(&context, "SELECT clv_simple(70, NULL, 3)", &[None]).await;
}

#[tokio::test]
async fn money_in_decimal_is_exact_and_stays_decimal() {
    let context = session(4);
    // A million times 0.1, which a DOUBLE cannot hold, plus a cent.
    let sql = "SELECT aov(CASE WHEN n = 1 THEN CAST(0.11 AS DECIMAL(10,2))
                               ELSE CAST(0.10 AS DECIMAL(10,2)) END) AS a
               FROM generate_series(1, 100000) t(n)";
    let batch = rows(&context, sql).await.unwrap();
    assert_eq!(
        batch.schema().field(0).data_type(),
        &DataType::Decimal128(14, 6)
    );
    assert_eq!(
        numbers(&context, sql).await,
        [Some(0.1)],
        "0.1000001 at six digits"
    );
    let sql = "SELECT aov(n) FROM (VALUES (9007199254740993), (-9007199254740992)) t(n)";
    check(&context, sql, &[Some(0.5)]).await;
}

/// Sets per customer type: whole numbers, text, floats, decimals, dates, binary, booleans.
#[tokio::test]
async fn customers_of_every_type_are_told_apart() {
    let context = session(3);
    for customer in [
        "n % 7",
        "CAST(n % 7 AS SMALLINT)",
        "CAST(n % 7 AS BIGINT UNSIGNED)",
        "CAST(n % 7 AS REAL)",
        "CAST(n % 7 AS DECIMAL(20, 3))",
        "CAST(n % 7 AS VARCHAR)",
        "concat('a customer with a long name ', n % 7)",
        "arrow_cast(CAST(n % 7 AS VARCHAR), 'LargeUtf8')",
        "arrow_cast(CAST(n % 7 AS VARCHAR), 'Dictionary(Int32, Utf8)')",
        "arrow_cast(CAST(n % 7 AS VARCHAR), 'Binary')",
        "arrow_cast(arrow_cast(CAST(n % 7 AS VARCHAR), 'Binary'), 'FixedSizeBinary(1)')",
        "DATE '2024-01-01' + CAST(n % 7 AS INT)",
        "arrow_cast(n % 7, 'Timestamp(Nanosecond, Some(\"UTC\"))')",
        "named_struct('a', n % 7)",
    ] {
        let sql = format!("SELECT purchase_frequency({customer}) FROM generate_series(1, 70) t(n)");
        check(&context, &sql, &[Some(10.0)]).await;
        let sql = format!(
            "SELECT repeat_purchase_rate({customer}, n / 71) FROM generate_series(1, 70) t(n)"
        );
        check(&context, &sql, &[Some(0.0)]).await;
        let sql = format!(
            "SELECT purchase_frequency(n / 71, {customer}) FROM generate_series(1, 70) t(n)"
        );
        check(&context, &sql, &[Some(7.0)]).await;
    }
}
