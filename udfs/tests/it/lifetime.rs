//! Customer lifetime value and what it is made of: the published CDNOW analyses, row by row.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::prelude::ParquetReadOptions;

use crate::session::{cdnow, check, failure, rows, session};

/// Gupta and Lehmann's margin multiples.
#[tokio::test]
async fn margin_multiples() {
    let context = session(1);
    for (retention, multiples) in [
        (
            0.6,
            [
                1.2,
                1.153_846_153_846_153_5,
                1.111_111_111_111_110_7,
                1.071_428_571_428_571_4,
            ],
        ),
        (
            0.7,
            [
                1.75,
                1.666_666_666_666_666,
                1.590_909_090_909_09,
                1.521_739_130_434_782_7,
            ],
        ),
        (
            0.8,
            [
                2.666_666_666_666_666_5,
                2.5,
                2.352_941_176_470_588,
                2.222_222_222_222_223,
            ],
        ),
        (
            0.9,
            [4.5, 4.090_909_090_909_089, 3.75, 3.461_538_461_538_463],
        ),
    ] {
        for (discount, multiple) in ["0.1", "0.12", "0.14", "0.16"].iter().zip(multiples) {
            let sql = format!("SELECT clv_contractual(1, {retention}, {discount})");
            check(&context, &sql, &[Some(multiple)]).await;
        }
    }
    check(&context, "SELECT clv_contractual(1, NULL, 0.1)", &[None]).await;
}

#[tokio::test]
async fn contracts_that_cannot_be() {
    let context = session(1);
    for (call, words) in [
        ("10, 1.2, 0.1", "retention 1.2 is outside [0,1]"),
        ("10, -0.1, 0.1", "retention -0.1 is outside [0,1]"),
        ("10, 0.8, -0.1", "discount -0.1 is negative"),
        ("10, 1, 0", "infinite"),
        ("10, CAST('NaN' AS DOUBLE), 0", "retention is NaN"),
        ("CAST('Infinity' AS DOUBLE), 0.5, 0", "margin is Infinity"),
        ("'10', 0.5, 0.1", "margin is text"),
        ("10, 0.5", "called with 2 arguments"),
    ] {
        let message = failure(&context, &format!("SELECT clv_contractual({call})")).await;
        assert!(message.contains(words), "{call}: {message}");
        assert!(message.contains("clv_contractual()"), "{call}: {message}");
    }
}

/// Every one of the 2,357 published rows out of the log of orders.
#[tokio::test]
async fn the_log_of_orders_gives_the_published_summary() {
    let context = cdnow().await;
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/cdnow_summary.parquet"
    );
    let options = ParquetReadOptions::default();
    context
        .register_parquet("published", path, options)
        .await
        .unwrap();
    let sql = "SELECT get_field(s, 'frequency'), get_field(s, 'recency'), get_field(s, 't'),
                      get_field(s, 'monetary'),
                      frequency, recency, \"T\", monetary_value
               FROM (SELECT customer_id,
                            clv_summary(date, amount, DATE '1997-09-30', 'week') AS s
                     FROM cdnow_sample GROUP BY customer_id)
               JOIN published USING (customer_id)";
    let batch = rows(&context, sql).await.unwrap();
    assert_eq!(batch.num_rows(), 2_357);
    let x = batch.column(0).as_primitive::<Int64Type>();
    let doubles = |column: usize| {
        let column = cast(batch.column(column), &DataType::Float64);
        column.unwrap().as_primitive::<Float64Type>().clone()
    };
    for row in 0..batch.num_rows() {
        assert_eq!(x.value(row) as f64, doubles(4).value(row), "row {row}");
        for (column, tolerance) in [(1, 0.01), (2, 0.01), (3, 0.005)] {
            let (got, known) = (doubles(column).value(row), doubles(column + 4).value(row));
            assert!(
                (got - known).abs() <= tolerance + 1e-9,
                "row {row}, column {column}: {got}, not {known}"
            );
        }
    }
}

#[tokio::test]
async fn what_counts_as_a_purchase_in_a_summary() {
    let context = session(2);
    let log = "(VALUES (TIMESTAMP '2024-01-01 23:00:00', 1.0), (TIMESTAMP '2024-01-02 01:00:00', 2.0),
                       (TIMESTAMP '2024-01-02 22:00:00', 3.0), (TIMESTAMP '2024-01-31 12:00:00', 9.0),
                       (NULL, 7.0), (TIMESTAMP '2024-01-05 00:00:00', NULL)) t(d, m)";
    for (call, field, expected) in [
        // The 2nd is one purchase of 5, the 31st one of 9; a DATE takes the whole day in.
        ("d, m, DATE '2024-01-31'", "frequency", 2.0),
        ("d, m, DATE '2024-01-31'", "monetary", 7.0),
        ("d, m, DATE '2024-01-31'", "recency", 30.0),
        ("d, m, TIMESTAMP '2024-01-31 11:00:00'", "frequency", 1.0),
        ("d, m, TIMESTAMP '2024-01-31 11:00:00'", "t", 30.0),
        ("d, m, DATE '2024-01-31', 'year'", "t", 30.0 / 365.25),
        (
            "d, m, as_of => DATE '2024-01-31', unit => 'month'",
            "t",
            30.0 / 30.4375,
        ),
    ] {
        let sql =
            format!("SELECT CAST(get_field(clv_summary({call}), '{field}') AS DOUBLE) FROM {log}");
        check(&context, &sql, &[Some(expected)]).await;
    }
    let sql = format!(
        "SELECT CAST(get_field(clv_summary(d, m, DATE '2023-12-31'), 'frequency') AS DOUBLE) FROM {log}"
    );
    check(&context, &sql, &[None]).await;
    let sql = format!("SELECT clv_summary(d, m, DATE '2023-12-31') IS NULL FROM {log}");
    assert!(
        rows(&context, &sql)
            .await
            .unwrap()
            .column(0)
            .as_boolean()
            .value(0)
    );
}

#[tokio::test]
async fn summaries_that_cannot_be() {
    let context = session(2);
    let log = "(VALUES (DATE '2024-01-01', 1.0), (DATE '2024-01-02', 2.0)) t(d, m)";
    for (call, words) in [
        (
            "d, m, DATE '2024-02-01', 'fortnight'",
            "unit 'fortnight' is unknown; use 'day'",
        ),
        ("d, m, d", "as_of and unit must be the same"),
        ("d, CAST('NaN' AS DOUBLE), d", "amount is NaN"),
        ("d, '7', d", "amount is text"),
        ("m, m, d", "ordered_at must be a date or timestamp"),
        ("d, m, '2024-01-01'", "as_of is text"),
        ("d, m", "called with 2 arguments"),
        ("d, m, d, 7", "unit must be text"),
    ] {
        let message = failure(&context, &format!("SELECT clv_summary({call}) FROM {log}")).await;
        assert!(message.contains(words), "{call}: {message}");
    }
    let sliding = format!(
        "SELECT clv_summary(d, m, DATE '2024-02-01') OVER (ORDER BY d ROWS 1 PRECEDING) FROM {log}"
    );
    let message = failure(&context, &sliding).await;
    assert!(message.contains("a frame whose start moves"), "{message}");
}
