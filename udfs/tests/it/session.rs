//! A session with the functions, and short ways to ask it.

use std::sync::Arc;

use datafusion::arrow::array::ListArray;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::Field;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type,
};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::functions::core::get_field;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, GetFieldAccess, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast, lit,
};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use tokio::runtime::{Builder, Runtime};

/// A session with this many partitions.
pub(crate) fn session(partitions: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions);
    let mut context = SessionContext::new_with_config(config);
    datafusion_functions_loyalty::register_all(&mut context).unwrap();
    context.register_expr_planner(Arc::new(Fields)).unwrap();
    context
}

/// What runs queries in a test that is not async, such as a property.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// Plans `value['field']`, which DataFusion leaves to functions of nested types.
#[derive(Debug)]
struct Fields;

impl ExprPlanner for Fields {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        Ok(match access.field_access {
            GetFieldAccess::NamedStructField { name } => {
                PlannerResult::Planned(get_field().call(vec![access.expr, lit(name)]))
            }
            _ => PlannerResult::Original(access),
        })
    }

    fn plan_array_literal(
        &self,
        items: Vec<Expr>,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let text = |item: &Expr| matches!(item, Expr::Literal(ScalarValue::Utf8(_), _));
        let kind = match items.iter().any(text) {
            true => DataType::Utf8,
            false => DataType::Float64,
        };
        let items = items.into_iter().map(|item| cast(item, kind.clone()));
        let list = ScalarUDF::new_from_impl(ListOf {
            signature: Signature::variadic_any(Volatility::Immutable),
        });
        Ok(PlannerResult::Planned(list.call(items.collect())))
    }
}

/// `[a, b]`, which DataFusion leaves to functions of nested types too.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ListOf {
    signature: Signature,
}

impl ScalarUDFImpl for ListOf {
    fn name(&self) -> &'static str {
        "list_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, items: &[DataType]) -> Result<DataType> {
        let item = Field::new_list_field(items[0].clone(), true);
        Ok(DataType::List(Arc::new(item)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (rows, items) = (arguments.number_rows, arguments.args.len());
        let columns = arguments.args.iter().map(|item| item.to_array(rows));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let parts: Vec<_> = columns.iter().map(AsRef::as_ref).collect();
        let places: Vec<_> = (0..rows)
            .flat_map(|row| (0..items).map(move |item| (item, row)))
            .collect();
        let values = interleave(&parts, &places)?;
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(vec![items; rows]);
        let list = ListArray::try_new(item, offsets, values, None)?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
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
    let schema = Arc::new(frame.schema().as_arrow().clone());
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

/// A result of any type: `None` for NULL, otherwise its numbers, those of fields and items in
/// order. Text is told apart by its bytes.
pub(crate) type Cell = Option<Vec<Option<f64>>>;

/// The results in a column of any type.
pub(crate) fn as_cells(array: &ArrayRef) -> Vec<Cell> {
    let parts = |parts: &[ArrayRef], row: usize| {
        let cells = parts
            .iter()
            .map(|part| as_cells(&part.slice(row, 1)).remove(0));
        cells
            .flat_map(|cell| cell.unwrap_or_else(|| vec![None]))
            .collect()
    };
    let cell = |row: usize| -> Vec<Option<f64>> {
        match array.data_type() {
            DataType::Struct(_) => parts(array.as_struct().columns(), row),
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                let length = Some(items.len() as f64);
                let cells = as_cells(&items).into_iter();
                let items = cells.flat_map(|cell| cell.unwrap_or_else(|| vec![None]));
                [length].into_iter().chain(items).collect()
            }
            DataType::Utf8View => {
                let text = array.as_string_view().value(row).bytes();
                vec![Some(
                    text.fold(0.0, |sum, byte| sum * 31.0 + f64::from(byte)),
                )]
            }
            DataType::Boolean => vec![Some(f64::from(u8::from(array.as_boolean().value(row))))],
            DataType::Int64 => vec![Some(array.as_primitive::<Int64Type>().value(row) as f64)],
            DataType::Date32 => vec![Some(f64::from(
                array.as_primitive::<Date32Type>().value(row),
            ))],
            _ => as_numbers(&array.slice(row, 1)),
        }
    };
    let rows = 0..array.len();
    rows.map(|row| array.is_valid(row).then(|| cell(row)))
        .collect()
}

/// The first column of a query as results of any type.
pub(crate) async fn cells(context: &SessionContext, sql: &str) -> Vec<Cell> {
    let batch = rows(context, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    as_cells(batch.column(0))
}

/// Whether two results of any type are the same up to rounding of the last digits.
pub(crate) fn alike(left: &Cell, right: &Cell) -> bool {
    match (left, right) {
        (None, None) => true,
        (Some(left), Some(right)) => {
            let mut pairs = left.iter().zip(right);
            left.len() == right.len() && pairs.all(|(left, right)| close(*left, *right))
        }
        _ => false,
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
