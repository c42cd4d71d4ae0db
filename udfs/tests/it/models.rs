//! Purchase and spend models: published fits and predictions on CDNOW, and laws of predictions.

use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use proptest::prelude::{ProptestConfig, prop_assert, proptest};

use crate::session::{
    as_cells, as_numbers, cdnow, failure, number, numbers, rows, runtime, session,
};

/// CDNOW's orders, and the published summary of the sample as `summary`.
async fn published() -> SessionContext {
    let context = cdnow().await;
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/cdnow_summary.parquet"
    );
    let options = ParquetReadOptions::default();
    context
        .register_parquet("summary", path, options)
        .await
        .unwrap();
    context
}

/// Checks a query of one row against known values, each with its relative tolerance.
async fn assert_row(context: &SessionContext, sql: &str, known: &[(f64, f64)]) {
    let batch = rows(context, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(
        (batch.num_rows(), batch.num_columns()),
        (1, known.len()),
        "{sql}"
    );
    for (column, (known, tolerance)) in known.iter().enumerate() {
        let column = cast(batch.column(column), &DataType::Float64);
        let got = as_numbers(&column.unwrap())[0].unwrap();
        assert!(
            (got / known - 1.0).abs() <= *tolerance,
            "{sql} gave {got}, not {known}"
        );
    }
}

/// The parameters of a fit, one after the other.
fn fields(names: &[&str]) -> String {
    let get = |name: &&str| format!("get_field(m, '{name}')");
    names.iter().map(get).collect::<Vec<_>>().join(", ")
}

/// A tolerance of so much in a log-likelihood.
fn within(log_likelihood: f64, absolute: f64) -> (f64, f64) {
    (log_likelihood, absolute / log_likelihood.abs())
}

#[tokio::test]
async fn published_fits_of_the_sample() {
    let context = published().await;
    let summary = "frequency, recency, \"T\"";
    for (fit, parameters, known, log_likelihood, n) in [
        (
            format!("bgnbd_fit({summary})"),
            ["r", "alpha", "a", "b"],
            [0.242_592_9, 4.413_531, 0.792_886, 2.425_753],
            -9_582.425_560_567_36,
            2_357.0,
        ),
        (
            format!("mbgnbd_fit({summary})"),
            ["r", "alpha", "a", "b"],
            [0.524_838, 6.182_992, 0.891_356, 1.613_999],
            -9_582.132_684_899_902,
            2_357.0,
        ),
        (
            format!("pareto_nbd_fit({summary})"),
            ["r", "alpha", "s", "beta"],
            [0.553_275_5, 10.577_612, 0.606_213_6, 11.667_912],
            -9_594.973_929_826_861,
            2_357.0,
        ),
        (
            "gamma_gamma_fit(frequency, monetary_value)".to_owned(),
            ["p", "q", "v", "converged"],
            [6.248_801, 3.744_589, 15.447_752, 1.0],
            -4_055.923_243_502_858,
            946.0,
        ),
    ] {
        let selected = fields(&[&parameters[..], &["n", "log_likelihood"]].concat());
        let sql = format!("SELECT {selected} FROM (SELECT {fit} AS m FROM summary)");
        let mut expected: Vec<_> = known.iter().map(|value| (*value, 2e-4)).collect();
        expected.extend([(n, 0.0), within(log_likelihood, 1e-4)]);
        assert_row(&context, &sql, &expected).await;
        let sql = format!(
            "SELECT {} FROM (SELECT {fit} AS m FROM summary)",
            fields(&["converged", "iterations"])
        );
        let batch = rows(&context, &sql).await.unwrap();
        let flags = as_cells(batch.column(0));
        assert_eq!(flags, [Some(vec![Some(1.0)])], "{fit}");
    }
}

/// In days, alpha is seven times as large, the likelihood moves by the change of unit, and nothing
/// else changes.
#[tokio::test]
async fn the_unit_of_time_does_not_matter() {
    let context = cdnow().await;
    let in_unit = |unit: &str| {
        format!(
            "SELECT {} FROM (SELECT bgnbd_fit(s) AS m FROM (
               SELECT clv_summary(date, amount, DATE '1997-09-30', '{unit}') AS s
               FROM cdnow_sample GROUP BY customer_id))",
            fields(&["r", "alpha", "a", "b", "log_likelihood"])
        )
    };
    let known = [
        (0.242_594_509_312_601_62, 1e-6),
        (30.895_211_151_221_602, 1e-6),
        (0.792_922_104_543_669_3, 1e-6),
        (2.425_907_151_663_166, 1e-6),
        within(-14_363.530_442_902_835, 1e-6),
    ];
    assert_row(&context, &in_unit("day"), &known).await;
    let mut weeks = known;
    weeks[1].0 /= 7.0;
    weeks[4].0 += 2_457.0 * 7.0_f64.ln();
    assert_row(&context, &in_unit("week"), &weeks).await;
}

/// From the log of orders, whose weeks and means are not rounded, to the published digit.
#[tokio::test]
async fn published_fits_from_the_log_of_orders() {
    let context = cdnow().await;
    for (fit, names, known) in [
        (
            "bgnbd_fit",
            ["r", "alpha", "a", "b", "log_likelihood"],
            ["0.2426", "4.4136", "0.7929", "2.4259", "-9582.429"],
        ),
        (
            "mbgnbd_fit",
            ["r", "alpha", "a", "b", "n"],
            ["0.5248", "6.183", "0.8914", "1.614", "2357"],
        ),
        (
            "pareto_nbd_fit",
            ["r", "alpha", "s", "beta", "log_likelihood"],
            ["0.5533", "10.578", "0.6062", "11.669", "-9594.976"],
        ),
        (
            "gamma_gamma_fit",
            ["p", "q", "v", "n", "log_likelihood"],
            ["6.2496", "3.7442", "15.4435", "946", "-4055.918"],
        ),
    ] {
        for (name, known) in names.iter().zip(known) {
            let sql = format!(
                "SELECT CAST(get_field({fit}(s), '{name}') AS DOUBLE) FROM (
                   SELECT clv_summary(date, amount, DATE '1997-09-30', 'week') AS s
                   FROM cdnow_sample GROUP BY customer_id)"
            );
            let got = number(&context, &sql).await.unwrap();
            let digits = known.split_once('.').map_or(0, |(_, digits)| digits.len());
            assert_eq!(format!("{got:.digits$}"), known, "{name} of {fit}");
        }
    }
}

#[tokio::test]
async fn the_full_cohort() {
    let context = cdnow().await;
    let of = |fit: &str, names: &[&str]| {
        format!(
            "SELECT {} FROM (SELECT {fit}(s) AS m FROM (
               SELECT clv_summary(date, amount, DATE '1997-09-30', 'week') AS s
               FROM cdnow_master GROUP BY customer_id))",
            fields(names)
        )
    };
    assert_row(
        &context,
        &of(
            "bgnbd_fit",
            &["r", "alpha", "a", "b", "log_likelihood", "n"],
        ),
        &[
            (0.251_623_971_642_404_63, 1e-5),
            (4.788_943_400_154_987, 1e-5),
            (0.723_433_652_392_715_1, 1e-5),
            (2.161_088_685_573_002, 1e-5),
            within(-95_368.443_933_160_74, 1e-3),
            (23_570.0, 0.0),
        ],
    )
    .await;
    assert_row(
        &context,
        &of("gamma_gamma_fit", &["p", "q", "v", "log_likelihood", "n"]),
        &[
            (6.275_360_398_472_48, 1e-4),
            (3.624_449_639_814_338, 1e-4),
            (14.983_681_750_545_605, 1e-4),
            within(-40_763.476_261_390_73, 1e-3),
            (9_450.0, 0.0),
        ],
    )
    .await;
}

const BGNBD: &str = "bgnbd(0.243, 4.414, 0.793, 2.426)";
const MBGNBD: &str = "mbgnbd(0.525, 6.183, 0.891, 1.614)";
const PARETO: &str = "pareto_nbd(0.553, 10.578, 0.606, 11.669)";
const SPEND: &str = "gamma_gamma(6.25, 3.74, 15.44)";

/// Computed with mpmath at 40 digits from the published formulas.
#[expect(clippy::too_many_lines, reason = "a table of known values")]
#[tokio::test]
async fn predictions_for_single_customers() {
    let context = session(1);
    for (model, customer, p_alive, purchases) in [
        (
            PARETO,
            "0, 0, 38.86",
            0.295_286_604_616_894_15,
            0.107_081_468_215_308_87,
        ),
        (
            BGNBD,
            "1, 1.71, 38.86",
            0.212_100_985_377_379_1,
            0.203_186_987_079_750_54,
        ),
        (
            MBGNBD,
            "1, 1.71, 38.86",
            0.170_836_484_310_408_02,
            0.188_836_541_364_342_89,
        ),
        (
            BGNBD,
            "7, 29.43, 38.86",
            0.641_756_345_946_107_2,
            3.337_053_274_851_416_3,
        ),
        (
            MBGNBD,
            "0, 0, 27",
            0.428_494_431_481_998_95,
            0.220_714_543_641_469_72,
        ),
        (
            PARETO,
            "0, 0, 27",
            0.383_930_784_350_055_2,
            0.175_361_492_990_423_4,
        ),
        (
            BGNBD,
            "29, 38.71, 38.86",
            0.971_960_172_441_161_3,
            19.793_158_444_508_627,
        ),
        (
            MBGNBD,
            "29, 38.71, 38.86",
            0.968_882_756_134_219_4,
            18.729_072_401_157_563,
        ),
        (
            PARETO,
            "29, 38.71, 38.86",
            0.998_116_813_527_130_6,
            19.343_202_799_946_578,
        ),
        (
            BGNBD,
            "5, 5, 38.86",
            0.002_717_973_701_211_314_5,
            0.010_348_406_347_484_771,
        ),
        (
            MBGNBD,
            "5, 5, 38.86",
            0.003_358_299_376_028_151_7,
            0.012_689_670_935_979_452,
        ),
        (
            BGNBD,
            "26, 30.86, 31",
            0.968_915_649_717_525_1,
            20.749_726_140_857_29,
        ),
        (
            MBGNBD,
            "26, 30.86, 31",
            0.965_566_144_144_061_6,
            19.450_722_652_157_353,
        ),
        (
            PARETO,
            "26, 30.86, 31",
            0.997_918_731_055_158_3,
            20.117_026_077_370_507,
        ),
        (
            MBGNBD,
            "100, 50, 52",
            0.772_121_374_992_447_7,
            41.106_728_627_091_39,
        ),
        (
            MBGNBD,
            "1, 38.86, 38.86",
            0.745_791_726_105_563_4,
            0.824_371_507_669_441_3,
        ),
        (PARETO, "1, 38.86, 38.86", 1.0, 1.018_396_494_201_591_3),
    ] {
        let sql = format!(
            "SELECT p_alive({model}, {customer}), expected_purchases({model}, {customer}, 39)"
        );
        assert_row(&context, &sql, &[(p_alive, 1e-11), (purchases, 1e-11)]).await;
    }
    let sql = "SELECT expected_purchases(bgnbd(0.243, 4.414, 1, 2.426), 2, 30.43, 38.86, 30)";
    assert_row(&context, sql, &[(0.885_274_641_610_667_4, 1e-11)]).await;
}

#[tokio::test]
async fn predictions_for_new_customers() {
    let context = published().await;
    let fitted = "SELECT expected_purchases_new(m, {}) FROM
                  (SELECT bgnbd_fit(frequency, recency, \"T\") AS m FROM summary)";
    for (horizon, known) in [
        ("1", 0.053_184_74),
        ("3", 0.150_631_94),
        ("32", 1.043_737_26),
    ] {
        assert_row(&context, &fitted.replace("{}", horizon), &[(known, 1e-4)]).await;
    }
    for (n, t, known) in [
        (10, 2, 1.078_689_640_369_147_8e-7),
        (0, 39, 0.573_786_352_096_009_4),
        (11, 30, 0.001_999_521_447_478_875_6),
        (15, 30, 0.000_702_363_765_887_404),
        (20, 30, 0.000_222_226_048_006_636_68),
    ] {
        let sql = format!("SELECT purchase_probability({BGNBD}, {n}, {t})");
        assert_row(&context, &sql, &[(known, 1e-9)]).await;
    }
}

#[tokio::test]
async fn spend_of_the_published_spreadsheet() {
    let context = session(1);
    for (customer, known) in [
        ("2, 22.35", 24.663_713_910_761_157),
        ("1, 11.77", 18.916_852_057_842_046),
        ("0, 0", 35.218_978_102_189_78),
        ("7, 73.74", 71.469_670_896_967_09),
        ("2, 25.55", 27.288_385_826_771_652),
    ] {
        let sql = format!("SELECT expected_spend({SPEND}, {customer})");
        assert_row(&context, &sql, &[(known, 1e-12)]).await;
    }
    for infinite in [
        "gamma_gamma(6.25, 1, 15.44)",
        "gamma_gamma(6.25, 0.5, 15.44)",
    ] {
        let sql = format!("SELECT expected_spend({infinite}, 2, 22.35)");
        assert_eq!(number(&context, &sql).await, None);
    }
}

#[tokio::test]
async fn value_of_single_customers() {
    let context = session(1);
    for (customer, known) in [
        ("1, 1.71, 38.86, 11.77", 3.701_126_908_702_798),
        ("2, 35.71, 38.86, 25.55", 34.807_031_382_871_88),
        ("1, 30.57, 31.0, 11.49", 15.408_360_346_732_591),
        ("0, 0.0, 27.0, 0.0", 8.796_001_124_106_224),
    ] {
        let sql = format!("SELECT clv_predict({BGNBD}, {SPEND}, {customer}, 39, 0.002)");
        assert_row(&context, &sql, &[(known, 1e-10)]).await;
        let sql = format!("SELECT clv_predict({BGNBD}, {SPEND}, {customer}, 39, 0.002, 0.5)");
        assert_row(&context, &sql, &[(known / 2.0, 1e-10)]).await;
    }
}

#[tokio::test]
async fn sums_over_the_sample() {
    let context = published().await;
    let customer = "frequency, recency, \"T\"";
    let sql = format!(
        "SELECT sum(p_alive({BGNBD}, {customer})),
                sum(expected_purchases({BGNBD}, {customer}, 39)),
                sum(clv_predict({BGNBD}, {SPEND}, {customer}, monetary_value, 39, 0.002))
         FROM summary"
    );
    let known = [
        (1_917.217_265_147_981_4, 1e-8),
        (1_653.948_427_644_048_7, 1e-8),
        (57_790.624_848_837_18, 1e-6),
    ];
    assert_row(&context, &sql, &known).await;
    let sql = format!(
        "SELECT sum(expected_purchases(m, {customer}, 39)) FROM summary
         CROSS JOIN (SELECT bgnbd_fit({customer}) AS m FROM summary)"
    );
    assert_row(&context, &sql, &[(1_653.423_300_873_896_6, 1e-5)]).await;
}

/// From orders to a value per customer in one statement.
#[tokio::test]
async fn end_to_end() {
    let context = cdnow().await;
    let sql = "WITH c AS (SELECT customer_id,
                                 clv_summary(date, amount, DATE '1997-09-30', 'week') AS s
                          FROM cdnow_sample GROUP BY 1),
                    m AS (SELECT bgnbd_fit(s) AS b, gamma_gamma_fit(s) AS g FROM c)
               SELECT count(*), avg(clv_predict(b, g, s, 39)),
                      avg(clv_predict(b, g, s, 39, discount => 0.002)), min(p_alive(b, s)) * 1e3
               FROM c CROSS JOIN m";
    let batch = rows(&context, sql).await.unwrap();
    assert_eq!(batch.num_rows(), 1);
    let known = "WITH c AS (SELECT clv_summary(date, amount, DATE '1997-09-30', 'week') AS s
                            FROM cdnow_sample GROUP BY customer_id),
                      m AS (SELECT bgnbd_fit(s) AS b, gamma_gamma_fit(s) AS g FROM c)
                 SELECT avg(clv_predict(b, g, s, 39)),
                        avg(clv_predict(b, g, s, 39, 0.002)) FROM c CROSS JOIN m";
    let values = [(25.427_078_674_606_23, 1e-4), (24.500_874_836_986_07, 1e-4)];
    assert_row(&context, known, &values).await;
}

/// Weights, repeated rows and rows in any order mean the same.
#[tokio::test]
async fn a_weight_is_so_many_rows() {
    let customers = "(VALUES (0, 0, 39, 40), (0, 0, 27, 30), (1, 4, 39, 9), (1, 12, 30, 8),
                             (2, 20, 39, 6), (3, 30, 33, 5), (5, 12, 39, 2), (8, 36, 39, 3))
                     AS c(x, tx, t, w)";
    let context = session(2);
    for fit in ["bgnbd_fit", "mbgnbd_fit", "pareto_nbd_fit"] {
        let names = fields(&["log_likelihood", "n", "r"]);
        let weighted =
            format!("SELECT {names} FROM (SELECT {fit}(x, tx, t, w) AS m FROM {customers})");
        let repeated = format!(
            "SELECT {names} FROM (SELECT {fit}(x, tx, t) AS m FROM {customers}
             JOIN generate_series(1, 40) s(i) ON i <= w)"
        );
        let weighted = rows(&context, &weighted).await.unwrap();
        let repeated = rows(&context, &repeated).await.unwrap();
        assert_eq!(weighted, repeated, "{fit}");
        assert_eq!(as_cells(weighted.column(1)), [Some(vec![Some(103.0)])]);
    }
}

#[tokio::test]
async fn what_is_not_identified_is_null_and_no_error() {
    let context = session(2);
    for customers in [
        "(1, 1.0, 2.0)",
        "(0, 0.0, 2.0), (0, 0.0, 3.0)",
        "(NULL, 1.0, 2.0)",
        "(2, 0.0, 0.0), (3, 0.0, 0.0)",
    ] {
        for fit in ["bgnbd_fit", "mbgnbd_fit", "pareto_nbd_fit"] {
            let sql = format!(
                "SELECT get_field(m, 'r') IS NULL AND NOT get_field(m, 'converged')
                        AND p_alive(m, 1, 1, 2) IS NULL
                        AND expected_purchases(m, 1, 1, 2, 5) IS NULL
                        AND clv_predict(m, {SPEND}, 1, 1, 2, 9.0, 5) IS NULL
                 FROM (SELECT {fit}(x, tx, t) AS m FROM (VALUES {customers}) AS c(x, tx, t))"
            );
            let batch = rows(&context, &sql).await.unwrap();
            let flags = as_cells(batch.column(0));
            assert_eq!(flags, [Some(vec![Some(1.0)])], "{fit} of {customers}");
        }
    }
}

/// Survivors of the two cohorts of Fader and Hardie 2007, of a thousand.
const HIGH_END: [u32; 8] = [1_000, 869, 743, 653, 593, 551, 517, 491];
const REGULAR: [u32; 8] = [1_000, 631, 468, 382, 326, 289, 262, 241];

/// A cohort as a table of periods and survivors, backwards.
fn cohort(survivors: &[u32]) -> String {
    let counts = survivors.iter().enumerate().rev();
    let counts: Vec<_> = counts
        .map(|(period, left)| format!("({period}, {left})"))
        .collect();
    format!("(VALUES {}) AS c(period, survivors)", counts.join(", "))
}

#[tokio::test]
async fn contracts_of_the_published_cohorts() {
    let context = session(2);
    let fitted = |survivors: &[u32]| {
        format!(
            "(SELECT sbg_fit(period, survivors) AS m FROM {})",
            cohort(survivors)
        )
    };
    let names = fields(&["alpha", "beta", "log_likelihood", "n"]);
    for (survivors, alpha, beta, log_likelihood) in [
        (
            HIGH_END,
            0.668_088_372_876_435_2,
            3.806_095_381_726_049,
            -1_611.158_147_391_155,
        ),
        (REGULAR, 0.704077298474, 1.18204302621, -1680.26518846),
    ] {
        let sql = format!("SELECT {names} FROM {}", fitted(&survivors));
        let known = [
            (alpha, 1e-5),
            (beta, 1e-5),
            within(log_likelihood, 1e-6),
            (1_000.0, 0.0),
        ];
        assert_row(&context, &sql, &known).await;
    }
    let of_n = |call: &str, from: u32| {
        format!(
            "SELECT {call} FROM generate_series({from}, 12) AS s(n) CROSS JOIN {} ORDER BY n",
            fitted(&HIGH_END)
        )
    };
    let survival = [
        1.0,
        0.850_679_272_573_642_3,
        0.746_859_423_527_543_9,
        0.669_788_997_981_275_8,
        0.609_919_150_446_914_8,
        0.561_834_295_951_407,
        0.522_215_583_634_790_9,
        0.488_906_433_467_554_2,
        0.460_439_684_929_285_3,
        0.435_779_602_477_105,
        0.414_172_409_725_839_3,
        0.395_055_354_422_733_7,
        0.377_999_082_304_089_24,
    ];
    let got = numbers(&context, &of_n("sbg_survival(m, n)", 0)).await;
    for (got, known) in got.iter().zip(survival) {
        assert!((got.unwrap() - known).abs() < 1e-6, "{got:?} {known}");
    }
    let got = numbers(&context, &of_n("sbg_retention(m, n)", 1)).await;
    for (got, pair) in got.iter().zip(survival.windows(2)) {
        assert!(
            (got.unwrap() - pair[1] / pair[0]).abs() < 1e-6,
            "{got:?} {pair:?}"
        );
    }
    let sql = format!(
        "SELECT sbg_residual_lifetime(m, 8, 0.1) FROM {}",
        fitted(&HIGH_END)
    );
    assert_row(&context, &sql, &[(7.529_628_045_103_337, 1e-6)]).await;
}

#[tokio::test]
async fn contracts_that_say_too_little_or_too_much() {
    let context = session(2);
    for counts in [
        "(0, 100)",
        "(0, 9), (1, 8)",
        "(0, 9), (1, 9), (2, 9)",
        "(NULL, 9), (1, NULL)",
    ] {
        let sql = format!(
            "SELECT get_field(m, 'alpha') IS NULL AND NOT get_field(m, 'converged')
                    AND sbg_survival(m, 1) IS NULL AND sbg_retention(m, 1) IS NULL
                    AND sbg_residual_lifetime(m, 1, 0.1) IS NULL
             FROM (SELECT sbg_fit(p, s) AS m FROM (VALUES {counts}) AS c(p, s))"
        );
        let batch = rows(&context, &sql).await.unwrap();
        assert_eq!(
            as_cells(batch.column(0)),
            [Some(vec![Some(1.0)])],
            "{counts}"
        );
    }
    for (counts, words) in [
        ("(0, 9), (1, 8), (1, 8)", "period 1 is there twice"),
        ("(0, 9), (1, 8), (1, 7)", "period 1 is there twice"),
        (
            "(0, 9), (2, 8), (1, 7)",
            "survivors grow from 7 in period 1 to 8 in period 2",
        ),
        (
            "(1, 9), (2, 8), (3, 7)",
            "the first period is 1, and period 0",
        ),
        ("(0, 9), (-1, 8)", "period -1 must be a whole number from 0"),
        ("(0, 9), (1.5, 8)", "period 1.5 must be a whole number"),
        ("(0, 9), (10001, 8)", "period 10001 must be"),
        ("(0, 9), (1, -8)", "survivors -8 is negative"),
        ("(0, 1e16)", "is above 9000000000000000"),
        ("(0, CAST('NaN' AS DOUBLE))", "survivors is NaN"),
        ("(0, '9')", "survivors is text"),
    ] {
        let sql = format!("SELECT sbg_fit(p, s) FROM (VALUES {counts}) AS c(p, s)");
        let message = failure(&context, &sql).await;
        assert!(
            message.contains(words) && message.contains("sbg_fit()"),
            "{counts}: {message}"
        );
    }
}

/// Groups and any split give what each cohort alone gives.
#[tokio::test]
async fn a_fit_per_cohort() {
    let sql = "SELECT get_field(m, 'alpha') FROM (
                 SELECT c % 3 AS g, sbg_fit(p, 1e6 / (1 + p) / (1 + c % 3 * p)) AS m
                 FROM generate_series(0, 2) a(c), generate_series(0, 20) b(p) GROUP BY 1) ORDER BY g";
    let one = numbers(&session(1), sql).await;
    assert_eq!(one, numbers(&session(16), sql).await);
    assert!((one[0].unwrap() - 1.0).abs() < 1e-6, "{one:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Fewer are left each period, a larger share of them stays, and a discount only takes away.
    #[test]
    fn contracts_get_fewer_and_firmer(alpha in 1e-3..50.0, beta in 1e-3..50.0) {
        let runtime = runtime();
        let column = |call: &str| {
            let sql = format!(
                "SELECT {call} FROM (SELECT n, sbg({alpha}, {beta}) AS m FROM generate_series(1, 40) AS s(n))
                 ORDER BY n"
            );
            let all = runtime.block_on(numbers(&session(1), &sql));
            all.into_iter().map(Option::unwrap).collect::<Vec<f64>>()
        };
        let survival = column("sbg_survival(m, n)");
        prop_assert!(survival.iter().all(|s| (0.0..=1.0).contains(s)), "{survival:?}");
        prop_assert!(survival.is_sorted_by(|left, right| left >= right), "{survival:?}");
        let retention = column("sbg_retention(m, n)");
        prop_assert!(retention.is_sorted() && retention.iter().all(|r| (0.0..=1.0).contains(r)));
        let renewals = [0.5, 0.1, 0.01].map(|d| column(&format!("sbg_residual_lifetime(m, n, {d})")));
        for (n, retention) in retention.iter().enumerate() {
            // The next renewal is never discounted.
            prop_assert!(renewals[0][n] >= *retention * (1.0 - 1e-12));
            prop_assert!(renewals[0][n] <= renewals[1][n] && renewals[1][n] <= renewals[2][n]);
        }
        // Who renews is in the next period, one step of discount nearer to the renewals after it.
        for n in 0..39 {
            let ahead = retention[n] * (1.0 + renewals[1][n + 1] / 1.1);
            prop_assert!((renewals[1][n] / ahead - 1.0).abs() < 1e-9, "{n}: {} {ahead}", renewals[1][n]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// The longer the silence, the less likely a customer is still there.
    #[test]
    fn p_alive_falls_with_silence(
        r in 0.05..5.0, alpha in 0.1..50.0, a in 0.05..5.0, b in 0.05..5.0, x in 1_u32..300,
    ) {
        let runtime = runtime();
        for model in ["bgnbd", "mbgnbd", "pareto_nbd"] {
            let model = format!("{model}({r}, {alpha}, {a}, {b})");
            let sql = format!(
                "SELECT p_alive({model}, {x}, tx, 40) FROM generate_series(0, 40) AS s(tx)
                 ORDER BY tx"
            );
            let all = runtime.block_on(numbers(&session(1), &sql));
            let all: Vec<_> = all.into_iter().map(Option::unwrap).collect();
            prop_assert!(all.iter().all(|p| (0.0..=1.0).contains(p)), "{model} {x}: {all:?}");
            prop_assert!(all.is_sorted(), "{model} {x}: {all:?}");
            let sql = format!(
                "SELECT expected_purchases({model}, {x}, 20, 40, h) FROM generate_series(0, 60, 5)
                 AS s(h) ORDER BY h"
            );
            let expected = runtime.block_on(numbers(&session(1), &sql));
            prop_assert!(expected.is_sorted() && expected[0] == Some(0.0), "{model}: {expected:?}");
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a table of calls")]
#[tokio::test]
async fn customers_and_models_that_cannot_be() {
    let context = session(1);
    for (call, words) in [
        (
            format!("p_alive({BGNBD}, 0, 5.0, 10.0)"),
            "recency must be 0 when frequency is 0",
        ),
        (
            format!("p_alive({BGNBD}, 1.5, 5.0, 10.0)"),
            "frequency 1.5 must be a whole number",
        ),
        (format!("p_alive({BGNBD}, -1, 5.0, 10.0)"), "frequency -1"),
        (
            format!("p_alive({BGNBD}, 1, 12, 10)"),
            "recency 12 is above t 10",
        ),
        (
            format!("p_alive({BGNBD}, 1, -1, 10)"),
            "recency -1 is negative",
        ),
        (
            format!("p_alive({BGNBD}, 1, CAST('NaN' AS DOUBLE), 1)"),
            "recency is NaN",
        ),
        (format!("p_alive({BGNBD}, '1', 1, 1)"), "frequency is text"),
        (format!("p_alive({BGNBD}, 1, 1)"), "called with 3 arguments"),
        (
            format!("p_alive({SPEND}, 1, 1, 1)"),
            "model is of the model 'gamma_gamma'",
        ),
        (
            "p_alive(1, 1, 1, 1)".to_owned(),
            "model must be a model made by bgnbd_fit",
        ),
        (
            format!("p_alive({BGNBD}, 1)"),
            "summary must be the result of clv_summary",
        ),
        (
            format!("p_alive({BGNBD}, named_struct('frequency', 1))"),
            "no field recency",
        ),
        (
            "p_alive(named_struct('a', 1), 1, 1, 1)".to_owned(),
            "without the text field model",
        ),
        (
            "p_alive(named_struct('model', 'bgnbd', 'r', 1), 1, 1, 1)".to_owned(),
            "has no field alpha",
        ),
        (
            "p_alive(named_struct('model', 'x', 'r', 1), 1, 1, 1)".to_owned(),
            "of the model 'x'",
        ),
        (
            "bgnbd(0, 1, 1, 1)".to_owned(),
            "bgnbd(): r 0 must be above 0",
        ),
        (
            "pareto_nbd(1, 1, 1, -2)".to_owned(),
            "beta -2 must be above 0",
        ),
        (
            "gamma_gamma(1, 1)".to_owned(),
            "called with 2 arguments; write gamma_gamma(p, q, v)",
        ),
        ("mbgnbd(1, '2', 3, 4)".to_owned(), "alpha is text"),
        (
            format!("expected_purchases({BGNBD}, 1, 1, 2, -1)"),
            "horizon -1 is negative",
        ),
        (
            format!("expected_purchases_new({BGNBD}, -1)"),
            "horizon -1 is negative",
        ),
        (
            format!("expected_purchases_new({SPEND}, 1)"),
            "'gamma_gamma'",
        ),
        (
            format!("purchase_probability({BGNBD}, -1, 1)"),
            "n -1 is outside 0..100000",
        ),
        (
            format!("purchase_probability({BGNBD}, 1.5, 1)"),
            "n must be a whole number",
        ),
        (
            format!("purchase_probability({BGNBD}, 1, -1)"),
            "t -1 is negative",
        ),
        (
            format!("expected_spend({BGNBD}, 1, 1)"),
            "spend_model is of the model 'bgnbd'",
        ),
        (
            format!("expected_spend({SPEND}, 1, -1)"),
            "monetary -1 is negative",
        ),
        (
            format!("expected_spend({SPEND}, 0.5, 1)"),
            "frequency 0.5 must be",
        ),
        (
            format!("clv_predict({BGNBD}, {SPEND}, 1, 1, 2, 9, -1)"),
            "horizon -1 is outside",
        ),
        (
            format!("clv_predict({BGNBD}, {SPEND}, 1, 1, 2, 9, 5, -1)"),
            "discount -1 must be above -1",
        ),
        (
            format!("clv_predict({BGNBD}, {SPEND}, 1, 1, 2, -9, 5)"),
            "monetary -9 is negative",
        ),
        (
            format!("clv_predict({SPEND}, {BGNBD}, 1, 1, 2, 9, 5)"),
            "model is of the model",
        ),
        (
            format!("clv_predict({BGNBD}, {SPEND}, 1)"),
            "called with 3 arguments",
        ),
        ("sbg(0, 1)".to_owned(), "sbg(): alpha 0 must be above 0"),
        ("sbg(1, -1)".to_owned(), "beta -1 must be above 0"),
        ("sbg(CAST('NaN' AS DOUBLE), 1)".to_owned(), "alpha is NaN"),
        ("sbg(1)".to_owned(), "write sbg(alpha, beta)"),
        ("sbg('1', 1)".to_owned(), "alpha is text"),
        (
            "sbg_survival(sbg(1, 1), -1)".to_owned(),
            "n -1 is outside 0..10000",
        ),
        (
            "sbg_survival(sbg(1, 1), 10001)".to_owned(),
            "n 10001 is outside",
        ),
        (
            "sbg_survival(sbg(1, 1), 1.5)".to_owned(),
            "n must be a whole number",
        ),
        ("sbg_survival(sbg(1, 1), '1')".to_owned(), "n is text"),
        (
            format!("sbg_survival({BGNBD}, 1)"),
            "model is of the model 'bgnbd'",
        ),
        (
            "sbg_survival(sbg(1, 1))".to_owned(),
            "called with 1 argument;",
        ),
        (
            "sbg_retention(sbg(1, 1), 0)".to_owned(),
            "n 0 is outside 1..10000",
        ),
        ("sbg_retention(sbg(1, 1), -5)".to_owned(), "n -5 is outside"),
        (
            "sbg_retention(sbg(1, 1), 1.5)".to_owned(),
            "n must be a whole number",
        ),
        (
            "sbg_retention(1, 1)".to_owned(),
            "model must be a model made by sbg_fit or sbg",
        ),
        (
            "sbg_retention(sbg(1, 1))".to_owned(),
            "called with 1 argument;",
        ),
        (
            "sbg_residual_lifetime(sbg(1, 1), 0, 0.1)".to_owned(),
            "n 0 is outside 1..10000",
        ),
        (
            "sbg_residual_lifetime(sbg(1, 1), 1, -0.1)".to_owned(),
            "discount -0.1 is negative",
        ),
        (
            "sbg_residual_lifetime(sbg(1, 1), 1, CAST('Infinity' AS DOUBLE))".to_owned(),
            "discount is Infinity",
        ),
        (
            "sbg_residual_lifetime(sbg(1, 1), 1, '5 %')".to_owned(),
            "discount is text",
        ),
        (
            "sbg_residual_lifetime(sbg(1, 1), 1)".to_owned(),
            "called with 2 arguments",
        ),
        (
            format!("sbg_residual_lifetime({SPEND}, 1, 0.1)"),
            "model is of the model 'gamma_gamma'",
        ),
        (
            "sbg_fit(1, 2, 3)".to_owned(),
            "called with 3 arguments; write sbg_fit(period, survivors)",
        ),
        (
            "sbg_fit(DISTINCT 1, 2)".to_owned(),
            "DISTINCT is not supported",
        ),
        (
            "bgnbd_fit(1, 2, 1)".to_owned(),
            "bgnbd_fit(): recency 2 is above t 1",
        ),
        (
            "mbgnbd_fit(0, 1, 1)".to_owned(),
            "recency must be 0 when frequency is 0",
        ),
        (
            "pareto_nbd_fit(1, 1, 2, -1)".to_owned(),
            "weight -1 is negative",
        ),
        ("bgnbd_fit(1.5, 1, 2)".to_owned(), "frequency 1.5 must be"),
        ("bgnbd_fit('1', 1, 2)".to_owned(), "frequency is text"),
        ("bgnbd_fit(1, 1)".to_owned(), "called with 2 arguments"),
        (
            "bgnbd_fit(1)".to_owned(),
            "summary must be the result of clv_summary",
        ),
        (
            "gamma_gamma_fit(1, CAST('NaN' AS DOUBLE))".to_owned(),
            "monetary is NaN",
        ),
        ("gamma_gamma_fit(-1, 1)".to_owned(), "frequency -1"),
        (
            "gamma_gamma_fit(1, 2, 3, 4)".to_owned(),
            "called with 4 arguments",
        ),
        (
            "bgnbd_fit(DISTINCT 1, 1, 2)".to_owned(),
            "DISTINCT is not supported",
        ),
    ] {
        let message = failure(&context, &format!("SELECT {call}")).await;
        assert!(message.contains(words), "{call}: {message}");
    }
    for null in [
        format!("p_alive({BGNBD}, NULL, 1, 2)"),
        "p_alive(NULL, 1, 1, 2)".to_owned(),
        format!("p_alive({BGNBD}, NULL)"),
        format!("expected_purchases({BGNBD}, 1, 1, 2, NULL)"),
        format!("clv_predict({BGNBD}, {SPEND}, 1, 1, 2, 9, 5, NULL)"),
        "p_alive(bgnbd(NULL, 1, 1, 1), 1, 1, 2)".to_owned(),
        "sbg_survival(sbg(1, NULL), 1)".to_owned(),
        "sbg_survival(NULL, 1)".to_owned(),
        "sbg_retention(sbg(1, 1), NULL)".to_owned(),
        "sbg_residual_lifetime(sbg(1, 1), 1, NULL)".to_owned(),
        "sbg_residual_lifetime(sbg(1, 1), 1, 0)".to_owned(),
        format!("purchase_probability({BGNBD}, NULL, 1)"),
    ] {
        assert_eq!(
            number(&context, &format!("SELECT {null}")).await,
            None,
            "{null}"
        );
    }
}
