//! Known values of cohorts, sessions, funnels and conditions met.

use std::fs;

use datafusion::arrow::util::display::array_value_to_string;
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

use crate::session::{cdnow, cells, check, number, numbers, rows, runtime, session};

const COHORTS: &str =
    "SELECT c['cohort'], c['period'], c['cohort_size'], c['active'], c['rate'] FROM";

/// All 51 cells, as DuckDB and pandas count them.
#[tokio::test]
async fn cdnow_cohorts() {
    let context = cdnow().await;
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/cdnow_golden_cohorts.csv"
    );
    let expected = fs::read_to_string(path).unwrap();
    for call in [
        "cohort_retention(customer_id, date)",
        "cohort_retention(customer_id, CAST(date AS TIMESTAMP), 'month')",
        "cohort_retention(CAST(customer_id AS VARCHAR), date, period => 'Month')",
    ] {
        let sql = format!("{COHORTS} (SELECT unnest({call}) AS c FROM cdnow_master)");
        let batch = rows(&context, &sql).await.unwrap();
        let line = |row: usize| {
            let cells = batch.columns().iter();
            let cells = cells.map(|column| array_value_to_string(column, row).unwrap());
            cells.collect::<Vec<_>>().join(",")
        };
        let got: Vec<_> = (0..batch.num_rows()).map(line).collect();
        let expected: Vec<_> = expected.lines().skip(1).collect();
        assert_eq!(got.len(), 51);
        assert_eq!(got, expected, "{call}");
    }
}

#[tokio::test]
async fn cohorts_by_other_periods() {
    let context = session(2);
    let orders = "(VALUES (1, DATE '2024-01-01'), (1, DATE '2024-01-07'), (1, DATE '2024-01-08'),
                          (2, DATE '2023-12-31'), (2, DATE '2024-06-30'), (NULL, DATE '2024-01-01'), (3, NULL)) o(c, d)";
    for (period, expected) in [
        (
            "day",
            vec![(0.0, 1.0), (182.0, 1.0), (0.0, 1.0), (6.0, 1.0), (7.0, 1.0)],
        ),
        (
            "week",
            vec![(0.0, 1.0), (26.0, 1.0), (0.0, 1.0), (1.0, 1.0)],
        ),
        ("quarter", vec![(0.0, 1.0), (2.0, 1.0), (0.0, 1.0)]),
        ("year", vec![(0.0, 1.0), (1.0, 1.0), (0.0, 1.0)]),
    ] {
        let call = format!("SELECT unnest(cohort_retention(c, d, '{period}')) AS c FROM {orders}");
        for (place, field) in ["period", "active"].into_iter().enumerate() {
            let got = numbers(
                &context,
                &format!("SELECT c['{field}'] * 1.0 FROM ({call})"),
            )
            .await;
            let expected: Vec<_> = expected
                .iter()
                .map(|cell| Some([cell.0, cell.1][place]))
                .collect();
            assert_eq!(got, expected, "{field} by {period}");
        }
    }
    let nothing = "SELECT cohort_retention(c, d) FROM (VALUES (NULL, DATE '2024-01-01')) o(c, d)";
    assert_eq!(cells(&context, nothing).await, [None]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every customer is in one cohort, and all of a cohort are active in its first period.
    #[test]
    fn cohort_sizes_sum_to_customers(events in proptest::collection::vec((0_i32..9, 0_i32..400), 1..60)) {
        let runtime = runtime();
        let values: Vec<_> = events.iter().map(|(customer, day)| format!("({customer}, {day})")).collect();
        let table = format!("(VALUES {}) e(c, d)", values.join(", "));
        let sql = format!(
            "SELECT sum(CASE WHEN t['period'] = 0 THEN t['active'] ELSE 0 END) * 1.0
             FROM (SELECT unnest(cohort_retention(c, arrow_cast(arrow_cast(d, 'Int32'), 'Date32'))) AS t FROM {table})"
        );
        let context = session(2);
        let active = runtime.block_on(number(&context, &sql));
        let customers = format!("SELECT count(DISTINCT c) * 1.0 FROM {table}");
        prop_assert_eq!(active, runtime.block_on(number(&context, &customers)));
    }

    /// What is lost and what is kept make up the whole.
    #[test]
    fn churn_and_retention_sum_to_one(contracts in proptest::collection::vec((0_i32..60, 0_i32..90), 1..40)) {
        let runtime = runtime();
        let values: Vec<_> = contracts.iter().map(|(start, length)| format!("({start}, {})", start + length)).collect();
        let date = |name: &str| format!("arrow_cast(arrow_cast({name}, 'Int32'), 'Date32')");
        let arguments = format!("{}, {}, DATE '1970-02-01', DATE '1970-03-01'", date("s"), date("e"));
        let sql = format!(
            "SELECT churn_rate({arguments}) + retention_rate({arguments}) FROM (VALUES {}) t(s, e)",
            values.join(", ")
        );
        let sum = runtime.block_on(number(&session(2), &sql));
        let whole = sum.is_none_or(|sum| (sum - 1.0).abs() < 1e-15);
        prop_assert_eq!(whole, true, "{:?}", sum);
    }

    /// Whatever the answers, the score is on its scale and its interval holds it.
    #[test]
    fn nps_stays_on_its_scale(scores in proptest::collection::vec(0_i32..=10, 1..40)) {
        let runtime = runtime();
        let values: Vec<_> = scores.iter().map(|score| format!("({score})")).collect();
        let sql = format!(
            "SELECT nps_ci(s) FROM (VALUES {}) t(s)",
            values.join(", ")
        );
        let got = runtime.block_on(cells(&session(2), &sql)).remove(0).unwrap();
        let [nps, low, high] = [0, 1, 2].map(|field| got[field].unwrap());
        prop_assert_eq!((-100.0..=100.0).contains(&nps), true);
        prop_assert_eq!(-100.0 <= low && low <= high && high <= 100.0, true, "{} {} {}", low, nps, high);
    }
}

#[tokio::test]
async fn sessions() {
    let context = session(2);
    let sql = "SELECT CAST(sessionize(ts, INTERVAL '30 minutes') OVER (PARTITION BY u ORDER BY ts) AS DOUBLE)
               FROM (VALUES ('a', TIMESTAMP '2024-01-01 10:00:00'), ('a', TIMESTAMP '2024-01-01 10:30:00'),
                            ('a', TIMESTAMP '2024-01-01 11:00:01'), ('b', TIMESTAMP '2024-01-01 11:00:01'), ('b', NULL)) e(u, ts)
               ORDER BY u, ts";
    check(
        &context,
        sql,
        &[Some(1.0), Some(1.0), Some(2.0), Some(1.0), None],
    )
    .await;
    let by_month = "SELECT CAST(sessionize(d, gap => INTERVAL '1 month') OVER (ORDER BY d) AS DOUBLE)
                    FROM (VALUES (DATE '2024-01-31'), (DATE '2024-02-29'), (DATE '2024-03-30')) e(d) ORDER BY d";
    check(&context, by_month, &[Some(1.0), Some(1.0), Some(2.0)]).await;
}

#[tokio::test]
async fn conditions_met() {
    let context = session(2);
    let met = |flags: &[f64]| {
        let mut cell = vec![Some(flags.len() as f64)];
        cell.extend(flags.iter().copied().map(Some));
        Some(cell)
    };
    for (rows, expected) in [
        ("(false, true, true)", met(&[0.0, 0.0, 0.0])),
        (
            "(true, false, NULL), (false, true, NULL)",
            met(&[1.0, 1.0, 0.0]),
        ),
        ("(NULL, NULL, true)", met(&[0.0, 0.0, 0.0])),
    ] {
        let sql = format!("SELECT retention(a, b, c) FROM (VALUES {rows}) t(a, b, c)");
        assert_eq!(cells(&context, &sql).await, [expected], "{rows}");
    }
    let nothing = "SELECT retention(a) FROM (VALUES (true)) t(a) WHERE NOT a";
    assert_eq!(cells(&context, nothing).await, [None]);
    let many = vec!["a"; 32].join(", ");
    let sql = format!("SELECT retention({many}) FROM (VALUES (true)) t(a)");
    assert_eq!(cells(&context, &sql).await, [met(&[1.0; 32])]);
}

#[tokio::test]
async fn funnels() {
    let context = session(2);
    let steps = |mode: &str, window: &str, events: &str| {
        format!(
            "SELECT window_funnel(INTERVAL '{window}', {mode} ts, e = 'A', e = 'B', e = 'C', e = 'D') * 1.0
             FROM (SELECT arrow_cast(n * 60, 'Timestamp(Second, None)') AS ts, e FROM (VALUES {events}) t(n, e))"
        )
    };
    for (mode, window, events, expected) in [
        ("", "1 hour", "(0, 'A'), (20, 'B'), (90, 'C')", 2.0),
        ("", "90 minutes", "(0, 'A'), (20, 'B'), (90, 'C')", 3.0),
        ("", "1 hour", "(0, 'D'), (1, 'C'), (2, 'B'), (3, 'A')", 1.0),
        ("", "1 hour", "(0, 'A'), (1, 'B'), (2, 'D'), (3, 'C')", 3.0),
        (
            "'strict_order',",
            "1 hour",
            "(0, 'A'), (1, 'B'), (2, 'D'), (3, 'C')",
            2.0,
        ),
        (
            "'strict_order',",
            "1 hour",
            "(0, 'A'), (1, 'x'), (2, 'B')",
            1.0,
        ),
        (
            "'strict_deduplication',",
            "1 hour",
            "(0, 'A'), (1, 'B'), (2, 'C'), (3, 'B'), (4, 'D')",
            3.0,
        ),
        (
            "'strict_increase',",
            "1 hour",
            "(0, 'A'), (0, 'B'), (1, 'C')",
            1.0,
        ),
        ("", "1 hour", "(0, 'A'), (0, 'B'), (1, 'C')", 3.0),
        ("", "1 hour", "(0, 'B')", 0.0),
    ] {
        check(&context, &steps(mode, window, events), &[Some(expected)]).await;
    }
    let nothing = "SELECT window_funnel(INTERVAL '1 hour', ts, true) * 1.0 FROM (VALUES (CAST(NULL AS TIMESTAMP))) t(ts)";
    check(&context, nothing, &[Some(0.0)]).await;
}
