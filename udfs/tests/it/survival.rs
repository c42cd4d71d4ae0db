//! Survival: published tables, and what is refused.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::prelude::{CsvReadOptions, SessionContext};

use crate::session::{cdnow, check, failure, number, rows, session};

async fn data(file: &str) -> SessionContext {
    let context = session(2);
    let path = format!("{}/tests/data/{file}.csv", env!("CARGO_MANIFEST_DIR"));
    let options = CsvReadOptions::default();
    context.register_csv(file, path, options).await.unwrap();
    context
}

/// Weeks of remission under 6-MP (Freireich et al. 1963); intervals as lifelines has them.
#[tokio::test]
async fn the_table_of_freireich() {
    let context = data("freireich_6mp").await;
    let sql = "SELECT get_field(p, 't'), get_field(p, 'survival'), get_field(p, 'low'),
                      get_field(p, 'high'), get_field(p, 'at_risk'), get_field(p, 'events')
               FROM (SELECT unnest(survival(duration, event = 1)) AS p FROM freireich_6mp)
               ORDER BY 1";
    let batch = rows(&context, sql).await.unwrap();
    let doubles = |column: usize| {
        batch
            .column(column)
            .as_primitive::<Float64Type>()
            .values()
            .to_vec()
    };
    let known = [
        [
            6.0,
            0.857_142_857_142_857,
            0.619_717_955_265_983_8,
            0.951_551_747_646_996_9,
        ],
        [
            7.0,
            0.806_722_689_075_629_9,
            0.563_146_564_622_233_3,
            0.922_809_019_200_288_2,
        ],
        [
            10.0,
            0.752_941_176_470_587_8,
            0.503_199_510_799_956_4,
            0.889_361_835_169_265_1,
        ],
        [
            13.0,
            0.690_196_078_431_372_8,
            0.431_610_222_486_183_9,
            0.849_065_963_349_450_5,
        ],
        [
            16.0,
            0.627_450_980_392_156_6,
            0.367_510_855_987_501_93,
            0.804_912_189_471_841_2,
        ],
        [
            22.0,
            0.537_815_126_050_419_9,
            0.267_778_936_767_134_93,
            0.746_790_717_635_394_3,
        ],
        [
            23.0,
            0.448_179_271_708_683_3,
            0.188_052_005_959_232_33,
            0.680_142_628_495_241_2,
        ],
    ];
    assert_eq!(batch.num_rows(), known.len());
    for (row, known) in known.iter().enumerate() {
        for (column, known) in known.iter().enumerate() {
            let got = doubles(column)[row];
            assert!(
                (got - known).abs() < 1e-9,
                "{row} {column}: {got}, not {known}"
            );
        }
    }
    let whole = |column: usize| {
        batch
            .column(column)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    };
    assert_eq!(whole(4), [21, 17, 15, 12, 11, 7, 6]);
    assert_eq!(whole(5), [3, 1, 1, 1, 1, 1, 1]);
    let median = "SELECT median_lifetime(duration, event = 1) FROM freireich_6mp";
    check(&context, median, &[Some(23.0)]).await;
    for (horizon, known) in [
        (10, 9.277_310_924_369_745),
        (20, 16.116_526_610_644_254),
        (35, 23.287_394_957_983_185),
    ] {
        let sql =
            format!("SELECT mean_lifetime(duration, event = 1, {horizon}) FROM freireich_6mp");
        check(&context, &sql, &[Some(known)]).await;
    }
    let at = "SELECT survival_at(duration, event = 1, t => 12) FROM freireich_6mp";
    check(&context, at, &[Some(0.752_941_176_470_587_8)]).await;
}

#[tokio::test]
async fn the_medians_of_waltons() {
    let context = data("waltons").await;
    let sql = "SELECT median_lifetime(\"T\", \"E\" = 1) FROM waltons";
    check(&context, sql, &[Some(56.0)]).await;
    let sql = "SELECT median_lifetime(\"T\", \"E\" = 1) FROM waltons GROUP BY \"group\" ORDER BY \"group\"";
    check(&context, sql, &[Some(58.0), Some(26.0)]).await;
}

#[tokio::test]
async fn lifetimes_that_cannot_be() {
    let context = session(2);
    for (call, words) in [
        ("survival(-1, true)", "survival(): duration -1 is negative"),
        ("survival(1, true, 1)", "confidence 1 is outside 0..1"),
        ("survival(1, 1)", "churned must be a condition"),
        ("survival('1', true)", "duration is text"),
        ("survival_at(1, true, -1)", "t -1 is negative"),
        ("survival_at(1, true)", "called with 2 arguments"),
        (
            "median_lifetime(CAST('NaN' AS DOUBLE), true)",
            "duration is NaN",
        ),
        ("median_lifetime(1, true, 1)", "called with 3 arguments"),
        ("mean_lifetime(1, true, -2)", "horizon -2 is negative"),
        (
            "mean_lifetime(n, true, n) FROM (VALUES (1), (2)) t(n)",
            "horizon must be the same",
        ),
    ] {
        let message = failure(&context, &format!("SELECT {call}")).await;
        assert!(message.contains(words), "{call}: {message}");
    }
    check(&context, "SELECT median_lifetime(5, false)", &[None]).await;
}

const FUTURE: &str = "clv(customer_id, date, amount, 39, 'week'";

/// CDNOW to 1997-09-30: the value of the 39 weeks after it.
#[tokio::test]
async fn future_value_of_the_sample() {
    let context = cdnow().await;
    for (call, known) in [
        (format!("{FUTURE})"), 25.427_078_674_606_23),
        (format!("{FUTURE}, 0.002)"), 24.500_874_836_986_07),
        (
            format!("{FUTURE}, discount => 0.002)"),
            24.500_874_836_986_07,
        ),
        (format!("{FUTURE}, 0, 0.5)"), 25.427_078_674_606_23 / 2.0),
    ] {
        let sql = format!("SELECT {call} FROM cdnow_sample WHERE date <= DATE '1997-09-30'");
        let got = number(&context, &sql).await.unwrap();
        assert!(
            (got / known - 1.0).abs() < 1e-4,
            "{call}: {got}, not {known}"
        );
    }
    let sql = format!(
        "SELECT {FUTURE}) FROM cdnow_sample WHERE date <= DATE '1997-09-30'
         GROUP BY customer_id = 1 ORDER BY customer_id = 1"
    );
    let batch = crate::session::numbers(&context, &sql).await;
    assert!(
        batch[0].is_some() && batch[1].is_none(),
        "one customer alone: {batch:?}"
    );
}
