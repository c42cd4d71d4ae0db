//! Known values of satisfaction and loyalty indices, revenue churn and small helpers.

use crate::session::{cells, check, number, session};

#[tokio::test]
async fn satisfaction_and_effort() {
    let context = session(2);
    let answers = "(VALUES (5), (4), (3), (2), (1), (NULL)) t(s)";
    for (call, expected) in [
        ("csat(s)", Some(40.0)),
        ("csat(s, 3)", Some(60.0)),
        ("csat(s > 4)", Some(20.0)),
        ("csat(satisfied_min => 5, score => s)", Some(20.0)),
        ("csat(s) FILTER (WHERE s > 9)", None),
        ("ces(s)", Some(3.0)),
        ("ces(s, scale_max => 5)", Some(3.0)),
    ] {
        check(
            &context,
            &format!("SELECT {call} FROM {answers}"),
            &[expected],
        )
        .await;
    }
    let sql = "SELECT ces(s) FROM (VALUES (7), (6), (5), (2), (NULL)) t(s)";
    check(&context, sql, &[Some(5.0)]).await;
}

#[tokio::test]
async fn satisfaction_index() {
    let context = session(2);
    let answers = "(VALUES ('service', 8, 9), ('service', 6, 10), ('price', 5, 7), ('price', 7, 5),
                           ('delivery', 9, 8), ('price', NULL, 3), (NULL, 1, 1)) t(a, s, i)";
    let expected = [Some(74.25531914893617)];
    for call in ["csi(a, s, i, 0, 10)", "csi(a, s, i, scale_min => 0)"] {
        check(
            &context,
            &format!("SELECT {call} FROM {answers}"),
            &expected,
        )
        .await;
    }
    let equal = "SELECT csi(a, s, 1) FROM (VALUES ('a', 8), ('b', 7), ('c', 6)) t(a, s)";
    check(&context, equal, &[Some(200.0 / 3.0)]).await;
    // Means first, then weights: by rows it would be another number.
    let skewed = "SELECT csi('a', s, i) FROM (VALUES (10, 9), (1, 1)) t(s, i)";
    check(&context, skewed, &[Some(50.0)]).await;
    check(&context, "SELECT csi('a', 5, 0)", &[None]).await;
    let sliding = "SELECT csi('a', s, 1) OVER (ORDER BY n ROWS 1 PRECEDING)
                   FROM (VALUES (1, 1), (2, 10), (3, 10)) t(n, s) ORDER BY n";
    check(&context, sliding, &[Some(0.0), Some(50.0), Some(100.0)]).await;
}

#[tokio::test]
async fn loyalty() {
    let context = session(2);
    for (sql, expected) in [
        ("SELECT cli(6, 7, 8)", Some(7.0)),
        (
            "SELECT cli(a, 7, 8) FROM (VALUES (6), (NULL)) t(a)",
            Some(7.0),
        ),
        ("SELECT cli(6, 6, 6, 6, 1)", Some(0.0)),
        ("SELECT cli(1, 1, 1, 6, 1)", Some(100.0)),
        ("SELECT cli(1, 1, NULL)", None),
        (
            "SELECT loyalty_index([80, 60, NULL], [2, 1, 5])",
            Some(220.0 / 3.0),
        ),
        ("SELECT loyalty_index([80, 60])", Some(70.0)),
        (
            "SELECT loyalty_index([1.5, 2.5], weights => [1, 0])",
            Some(1.5),
        ),
        ("SELECT loyalty_index([80, 60], [0, 0])", None),
        ("SELECT loyalty_index([80, 60], [1, NULL])", Some(80.0)),
        ("SELECT loyalty_index(NULL)", None),
        ("SELECT loyalty_index([NULL, NULL])", None),
    ] {
        check(&context, sql, &[expected]).await;
    }
}

#[tokio::test]
async fn revenue_churn() {
    let context = session(2);
    let customers = "(VALUES (100, 100), (100, 50), (100, 150), (0, 80), (NULL, 1)) t(s, e)";
    for (call, expected) in [
        ("revenue_churn_rate(s, e)", Some(1.0 / 6.0)),
        ("revenue_churn_rate(s, e, 'gross')", Some(1.0 / 6.0)),
        ("revenue_churn_rate(s, e, kind => 'net')", Some(0.0)),
        ("revenue_churn_rate(s, e) FILTER (WHERE s = 0)", None),
        (
            "revenue_churn_rate(s, e, 'net') FILTER (WHERE e > 100)",
            Some(-0.5),
        ),
    ] {
        check(
            &context,
            &format!("SELECT {call} FROM {customers}"),
            &[expected],
        )
        .await;
    }
}

#[tokio::test]
async fn tenures() {
    let context = session(1);
    for (start, end, unit, expected) in [
        ("2020-01-31", "2020-02-29", "month", 0.0),
        ("2020-01-31", "2020-03-01", "month", 1.0),
        ("2020-02-29", "2021-02-28", "year", 0.0),
        ("2020-01-15", "2020-02-15", "month", 1.0),
        ("2019-06-01", "2024-05-31", "year", 4.0),
        ("2019-06-01", "2019-06-30", "week", 4.0),
        ("2019-06-01", "2019-12-01", "quarter", 2.0),
        ("2019-06-01", "2019-06-01", "day", 0.0),
    ] {
        let sql = format!("SELECT tenure(DATE '{start}', DATE '{end}', '{unit}')");
        assert_eq!(
            cells(&context, &sql).await,
            [Some(vec![Some(expected)])],
            "{sql}"
        );
    }
    for (sql, expected) in [
        (
            "SELECT tenure(DATE '2020-01-15', TIMESTAMP '2020-02-15 00:00:00')",
            Some(1.0),
        ),
        (
            "SELECT tenure(TIMESTAMP '2020-01-15 12:00:00', DATE '2020-02-15')",
            Some(0.0),
        ),
        (
            "SELECT tenure(as_of => DATE '2020-02-15', start => DATE '2020-01-15')",
            Some(1.0),
        ),
        ("SELECT tenure(NULL, DATE '2020-02-15')", None),
    ] {
        let expected = expected.map(|months| vec![Some(months)]);
        assert_eq!(cells(&context, sql).await, [expected], "{sql}");
    }
}

#[tokio::test]
async fn scores_in_answers() {
    let context = session(1);
    for (answer, expected) in [
        ("'10 - Extremely likely'", Some(10.0)),
        ("'9'", Some(9.0)),
        ("'7,5'", Some(7.5)),
        ("'Not answered'", None),
        ("NULL", None),
    ] {
        let got = number(&context, &format!("SELECT survey_score({answer})")).await;
        assert_eq!(got, expected, "{answer}");
    }
}
