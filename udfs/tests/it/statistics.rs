//! Known values and laws of intervals and tests.

use datafusion::arrow::array::AsArray;
use datafusion::prelude::SessionContext;
use proptest::prelude::{ProptestConfig, prop_assert, proptest};

use crate::session::{cells, check, failure, number, rows, runtime, session};

/// Checks fields of a struct against known values.
async fn check_fields(sql_of_struct: &str, fields: &[(&str, Option<f64>)], tolerance: f64) {
    let context = session(2);
    for (field, expected) in fields {
        let sql = format!("SELECT s['{field}'] * 1.0 FROM ({sql_of_struct}) t(s)");
        let got = number(&context, &sql).await;
        let near = match (got, expected) {
            (Some(got), Some(expected)) => {
                (got - expected).abs() <= tolerance * expected.abs().max(1.0)
            }
            (None, None) => true,
            _ => false,
        };
        assert!(
            near,
            "{field} of {sql_of_struct}: {got:?} instead of {expected:?}"
        );
    }
}

/// Rows of answers 9, 8 and 2 in these numbers.
fn answers([promoters, passives, detractors]: [u32; 3]) -> String {
    let (passives, all) = (promoters + passives, promoters + passives + detractors);
    format!(
        "SELECT CASE WHEN i <= {promoters} THEN 9 WHEN i <= {passives} THEN 8 ELSE 2 END AS score
         FROM generate_series(1, {all}) t(i)"
    )
}

/// Rows of a condition, true in the first `k` of `n`.
fn trials(k: u32, n: u32) -> String {
    format!("SELECT i <= {k} AS success FROM generate_series(1, {n}) t(i)")
}

#[tokio::test]
async fn intervals_of_nps() {
    for (counts, nps, low, high, margin) in [
        (
            [15, 10, 5],
            33.333333333333336,
            4.778131074580888,
            55.827929531479725,
            26.671731535307273,
        ),
        (
            [30, 50, 20],
            10.0,
            -3.8176476298129343,
            23.23512335796827,
            13.719747891780377,
        ),
        ([0, 5, 0], 0.0, -30.005697977220684, 30.005697977220684, 0.0),
    ] {
        let rows = answers(counts);
        let counts = counts.map(|count| Some(f64::from(count)));
        let total = Some(counts.iter().flatten().sum());
        check_fields(
            &format!("SELECT nps_ci(score) FROM ({rows})"),
            &[
                ("nps", Some(nps)),
                ("low", Some(low)),
                ("high", Some(high)),
                ("promoters", counts[0]),
                ("passives", counts[1]),
                ("detractors", counts[2]),
                ("n", total),
            ],
            1e-9,
        )
        .await;
        let sql = format!("SELECT nps_moe(score) FROM ({rows})");
        check(&session(2), &sql, &[Some(margin)]).await;
    }
}

#[tokio::test]
async fn changes_of_nps() {
    let change = |before, after| {
        format!(
            "SELECT nps_change(score, later) FROM (SELECT score, false AS later FROM ({})
             UNION ALL SELECT score, true FROM ({}))",
            answers(before),
            answers(after)
        )
    };
    check_fields(
        &change([100, 60, 40], [130, 50, 20]),
        &[
            ("nps_before", Some(30.0)),
            ("nps_after", Some(55.00000000000001)),
            ("difference", Some(25.000000000000007)),
            ("se", Some(7.271519786124494)),
            ("z", Some(3.4380708208626456)),
            ("p_value", Some(0.0005858744480412701)),
            ("low", Some(10.748083106325602)),
            ("high", Some(39.25191689367441)),
            ("n_before", Some(200.0)),
            ("n_after", Some(200.0)),
        ],
        1e-9,
    )
    .await;
    check_fields(
        &change([15, 10, 5], [14, 10, 6]),
        &[
            ("difference", Some(-6.666666666666668)),
            ("se", Some(19.588356329812456)),
            ("z", Some(-0.34033823739056396)),
            ("p_value", Some(0.7336018246844709)),
            ("low", Some(-45.05913958943627)),
            ("high", Some(31.72580625610294)),
        ],
        1e-9,
    )
    .await;
    check_fields(
        "SELECT nps_change(s, later) FROM (VALUES (9, true), (3, NULL), (NULL, false)) t(s, later)",
        &[
            ("nps_before", None),
            ("nps_after", Some(100.0)),
            ("difference", None),
            ("p_value", None),
            ("n_before", Some(0.0)),
            ("n_after", Some(1.0)),
        ],
        0.0,
    )
    .await;
}

#[tokio::test]
async fn weighted_nps() {
    let context = session(2);
    for (rows, expected) in [
        ("(10, 2.0), (8, 1.0), (3, 1.0)", Some(25.0)),
        ("(10, 0.0), (3, 0.0)", None),
        ("(10, 1.0), (3, NULL), (NULL, 5.0)", Some(100.0)),
    ] {
        let sql = format!("SELECT nps_weighted(s, w) FROM (VALUES {rows}) t(s, w)");
        check(&context, &sql, &[expected]).await;
    }
    let sql = "SELECT nps_weighted(s, w, promoter_min => 5, detractor_max => 3)
               FROM (VALUES (5, 3), (4, 1), (1, 1)) t(s, w)";
    check(&context, sql, &[Some(40.0)]).await;
}

/// Newcombe's rows, by counts and by rows.
#[tokio::test]
async fn wilson_intervals() {
    for (k, n, low, high) in [
        (81, 263, 0.2552885198782742, 0.36620957698280004),
        (15, 148, 0.06238639953073628, 0.16048724172330803),
        (0, 20, 0.0, 0.16112515805281938),
        (1, 29, 0.006113214292762667, 0.17175521879320294),
        (50, 100, 0.4038315303659956, 0.5961684696340044),
    ] {
        let fields = [
            ("rate", Some(f64::from(k) / f64::from(n))),
            ("low", Some(low)),
            ("high", Some(high)),
            ("n", Some(f64::from(n))),
        ];
        check_fields(&format!("SELECT wilson_ci({k}, {n})"), &fields, 1e-12).await;
        let by_rows = format!("SELECT rate_ci(success) FROM ({})", trials(k, n));
        check_fields(&by_rows, &fields, 1e-12).await;
        let named = format!(
            "SELECT rate_ci(confidence => 0.95, success => success) FROM ({})",
            trials(k, n)
        );
        check_fields(&named, &fields, 1e-12).await;
    }
    let nothing = [
        ("rate", None),
        ("low", None),
        ("high", None),
        ("n", Some(0.0)),
    ];
    check_fields("SELECT wilson_ci(0, 0)", &nothing, 0.0).await;
    check_fields("SELECT rate_ci(NULL)", &nothing, 0.0).await;
    let context = session(1);
    assert_eq!(cells(&context, "SELECT wilson_ci(NULL, 3)").await, [None]);
    let mixed = "SELECT wilson_ci(k, 10) FROM (VALUES (1, 1), (NULL, 2)) t(k, i) ORDER BY i";
    let mixed = cells(&context, mixed).await;
    assert_eq!(
        mixed.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false]
    );
}

#[tokio::test]
async fn changes_of_a_rate() {
    let sql = format!(
        "SELECT rate_change(success, later) FROM (SELECT success, false AS later FROM ({})
         UNION ALL SELECT success, true FROM ({}))",
        trials(45, 200),
        trials(30, 210)
    );
    check_fields(
        &sql,
        &[
            ("rate_before", Some(0.225)),
            ("rate_after", Some(1.0 / 7.0)),
            ("difference", Some(-0.08214285714285716)),
            ("z", Some(-2.1504697756219544)),
            ("p_value", Some(0.03151807425222708)),
            ("n_before", Some(200.0)),
            ("n_after", Some(210.0)),
        ],
        1e-12,
    )
    .await;
}

const SPENDING: &str = "(VALUES (52.1, false), (40.0, false), (61.5, false), (38.2, false),
    (47.7, false), (55.0, false), (60.2, true), (58.8, true), (49.9, true), (71.3, true), (66.0, true),
    (NULL, true), (1.0, NULL)) AS customers(v, g)";

#[tokio::test]
async fn welch_by_hand() {
    check_fields(
        &format!("SELECT lift_test(v, g) FROM {SPENDING}"),
        &[
            ("mean_control", Some(49.083333333333336)),
            ("mean_treated", Some(61.239999999999995)),
            ("difference", Some(12.15666666666666)),
            ("lift", Some(0.24767402376909997)),
            ("t", Some(2.368402031087643)),
            ("df", Some(8.916723263686485)),
            ("p_value", Some(0.04226668075860564)),
            ("low", Some(0.5287880543886683)),
            ("high", Some(23.78454527894465)),
            ("n_control", Some(6.0)),
            ("n_treated", Some(5.0)),
        ],
        1e-9,
    )
    .await;
    check_fields(
        "SELECT lift_test(v, g) FROM (VALUES (1, false), (2, true), (4, true)) t(v, g)",
        &[
            ("mean_control", Some(1.0)),
            ("lift", Some(2.0)),
            ("t", None),
            ("df", None),
            ("p_value", None),
            ("low", None),
        ],
        0.0,
    )
    .await;
}

/// A spread of a thousandth around a thousand million.
#[tokio::test]
async fn welch_keeps_a_small_spread_around_a_large_mean() {
    let sql = "SELECT lift_test(1e9 + i / 1024.0, i % 2 = 0) FROM generate_series(1, 1000) t(i)";
    let plain = "SELECT lift_test(i / 1024.0, i % 2 = 0) FROM generate_series(1, 1000) t(i)";
    let context = session(2);
    for field in ["t", "df", "p_value"] {
        let shifted = number(&context, &format!("SELECT s['{field}'] FROM ({sql}) x(s)")).await;
        let plain = number(
            &context,
            &format!("SELECT s['{field}'] FROM ({plain}) x(s)"),
        )
        .await;
        assert!(
            (shifted.unwrap() / plain.unwrap() - 1.0).abs() < 1e-9,
            "{field}"
        );
    }
}

#[tokio::test]
async fn trends() {
    let months = "(VALUES (0, 31), (1, 33), (2, 32), (3, 36), (4, 38), (5, 37), (6, 41), (7, 40),
                   (NULL, 1), (1, NULL)) AS m(x, y)";
    let expected = [
        ("slope", Some(1.4285714285714286)),
        ("intercept", Some(31.0)),
        ("r2", Some(0.8928571428571428)),
        ("p_value", Some(0.00040087754455410884)),
        ("stderr", Some(0.20203050891044222)),
        ("n", Some(8.0)),
    ];
    check_fields(
        &format!("SELECT trend_test(x, y) FROM {months}"),
        &expected,
        1e-12,
    )
    .await;
    // The same per day, whichever kind of time the days are.
    for time in [
        "arrow_cast(arrow_cast(x, 'Int32'), 'Date32')",
        "arrow_cast(x * 86400, 'Timestamp(Second, None)')",
        "arrow_cast(x * 86400000000, 'Timestamp(Microsecond, Some(\"UTC\"))')",
    ] {
        check_fields(
            &format!("SELECT trend_test({time}, y) FROM {months}"),
            &expected,
            1e-12,
        )
        .await;
    }
    let direction = "SELECT t['direction'] FROM (SELECT trend_test(x, -x * x) AS t FROM (VALUES (1), (2), (3), (4)) m(x))";
    let batch = rows(&session(1), direction).await.unwrap();
    assert_eq!(batch.column(0).as_string_view().value(0), "down");
}

#[tokio::test]
async fn a_moving_trend_forgets_places() {
    let sql = "SELECT t['p_value'] FROM (SELECT n, trend_test(x, y) OVER (ORDER BY n ROWS 3 PRECEDING) AS t
               FROM (VALUES (1, 1, 1), (2, 2, 2), (3, 3, 2), (4, 3, 3), (5, 3, 4), (6, 3, 4), (7, 9, 1)) m(n, x, y))
               ORDER BY n";
    let known: Vec<_> = cells(&session(1), sql)
        .await
        .iter()
        .map(Option::is_some)
        .collect();
    assert_eq!(known, [false, false, true, true, false, false, false]);
}

async fn p_value(context: &SessionContext, values: &str, treated: &str) -> Option<f64> {
    let sql = format!("SELECT lift_test(v, {treated})['p_value'] FROM (VALUES {values}) t(v, g)");
    number(context, &sql).await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Who is called treated turns the sign of the difference and nothing else.
    #[test]
    fn lift_test_is_symmetric(values in proptest::collection::vec((-1000_i32..1000, proptest::bool::ANY), 2..20)) {
        let runtime = runtime();
        let text: Vec<_> = values.iter().map(|(value, side)| format!("({value}, {side})")).collect();
        let (context, text) = (session(1), text.join(", "));
        let there = runtime.block_on(p_value(&context, &text, "g"));
        let back = runtime.block_on(p_value(&context, &text, "NOT g"));
        prop_assert!(there == back, "{there:?} {back:?} for {text}");
    }
}

#[tokio::test]
async fn confidences_that_are_none() {
    let context = session(2);
    for confidence in ["95", "0", "1", "-0.5"] {
        for call in [
            format!("nps_ci(9, {confidence})"),
            format!("nps_moe(9, {confidence})"),
            format!("nps_change(9, true, {confidence})"),
            format!("rate_ci(true, {confidence})"),
            format!("lift_test(1, true, {confidence})"),
            format!("wilson_ci(1, 2, {confidence})"),
        ] {
            let message = failure(&context, &format!("SELECT {call}")).await;
            let name = call.split('(').next().unwrap();
            let said =
                format!("{name}(): confidence {confidence} is not between 0 and 1; write 0.95");
            assert!(message.contains(&said), "{message}");
        }
    }
}
