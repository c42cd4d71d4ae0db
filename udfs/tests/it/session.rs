//! A session with the functions, and short ways to ask it.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type};
use datafusion::error::Result;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

/// A session with this many partitions.
pub(crate) fn session(partitions: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions);
    let mut context = SessionContext::new_with_config(config);
    datafusion_functions_loyalty::register_all(&mut context).unwrap();
    context
}

/// A session with CDNOW's orders as `cdnow_master` and `cdnow_sample`.
pub(crate) async fn cdnow() -> SessionContext {
    let context = session(2);
    for table in ["cdnow_master", "cdnow_sample"] {
        let path = format!(
            "{}/../tests/data/{table}.parquet",
            env!("CARGO_MANIFEST_DIR")
        );
        context
            .register_parquet(table, path, ParquetReadOptions::default())
            .await
            .unwrap();
    }
    context
}

/// All rows of a query as one batch.
pub(crate) async fn rows(context: &SessionContext, sql: &str) -> Result<RecordBatch> {
    let frame = context.sql(sql).await?;
    let schema = std::sync::Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await?;
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok(concat_batches(&schema, &batches)?)
}

/// The first column of a query as numbers.
pub(crate) async fn numbers(context: &SessionContext, sql: &str) -> Vec<Option<f64>> {
    let batch = rows(context, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    as_numbers(batch.column(0))
}

/// The only value of a query as a number.
pub(crate) async fn number(context: &SessionContext, sql: &str) -> Option<f64> {
    let all = numbers(context, sql).await;
    assert_eq!(all.len(), 1, "{sql}");
    all[0]
}

/// The message of a query that must fail, without where it was raised.
pub(crate) async fn failure(context: &SessionContext, sql: &str) -> String {
    match rows(context, sql).await {
        Ok(batch) => panic!("{sql} gave {batch:?}"),
        Err(error) => error.find_root().to_string(),
    }
}

/// Numbers of any type that the functions return.
pub(crate) fn as_numbers(array: &ArrayRef) -> Vec<Option<f64>> {
    match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().iter().collect(),
        DataType::Int32 => {
            let whole = array.as_primitive::<Int32Type>().iter();
            whole.map(|value| value.map(f64::from)).collect()
        }
        DataType::Decimal128(_, scale) => {
            let unit = 10_f64.powi(i32::from(*scale));
            let exact = array.as_primitive::<Decimal128Type>().iter();
            exact
                .map(|value| value.map(|value| value as f64 / unit))
                .collect()
        }
        other => panic!("no numbers in a column of {other}"),
    }
}

/// Whether two results are the same up to rounding of the last digits.
pub(crate) fn close(left: Option<f64>, right: Option<f64>) -> bool {
    match (left, right) {
        (None, None) => true,
        (Some(left), Some(right)) => {
            (left - right).abs() <= 1e-12 * left.abs().max(right.abs()).max(1e-3)
        }
        _ => false,
    }
}

/// Checks a query's first column against known values.
pub(crate) async fn check(context: &SessionContext, sql: &str, expected: &[Option<f64>]) {
    let got = numbers(context, sql).await;
    let same = got.len() == expected.len()
        && got
            .iter()
            .zip(expected)
            .all(|(got, expected)| close(*got, *expected));
    assert!(same, "{sql}\n gave {got:?}\n not  {expected:?}");
}
