//! Tables over real folders, end to end: the traps of the base first, then what we do instead.

use std::fs;
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int32Array,
    Int64Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use parquet::arrow::ArrowWriter;
use parquet::data_type::{Int96, Int96Type};
use parquet::file::metadata::{ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics as ChunkStatistics;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::error::Error;

/// Age of a listing in these tests after which it is made again.
const STALENESS: Duration = Duration::from_secs(10);

/// A folder of data and the lake over it, with a clock that stands until it is moved.
struct Shop {
    folder: tempfile::TempDir,
    seconds: Arc<AtomicU64>,
}

impl Shop {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            seconds: Arc::new(AtomicU64::new(0)),
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, file: &str, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
        let path = self.path(file);
        write_parquet(&path, columns, WriterProperties::builder().build());
        path
    }

    fn wait(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let (start, seconds) = (Instant::now(), Arc::clone(&self.seconds));
        Arc::new(move || start + Duration::from_secs(seconds.load(Ordering::SeqCst)))
    }

    async fn open(&self) -> Arc<Lake> {
        self.try_open(&[self.folder.path()]).await.unwrap()
    }

    async fn try_open(&self, places: &[&FsPath]) -> crate::error::Result<Arc<Lake>> {
        let locations = places
            .iter()
            .map(|place| Location::parse(place.to_str().unwrap()).unwrap())
            .collect();
        let clock = self.clock();
        let settings = StorageSettings {
            staleness_max: STALENESS,
            ..StorageSettings::default()
        };
        Lake::open(locations, Arc::new(RuntimeEnv::default()), settings, clock).await
    }
}

fn write_parquet(path: &FsPath, columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn ints(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn nullable(first: i32) -> ArrayRef {
    Arc::new(Int32Array::from(vec![Some(first), None]))
}

fn longs(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn session(lake: &Lake, partitions: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions);
    SessionContext::new_with_config_rt(config, Arc::clone(&lake.runtime))
}

async fn provider(lake: &Lake, table: &str) -> Arc<dyn TableProvider> {
    lake.table("public", table).await.unwrap().unwrap()
}

/// Plans a statement on the table of that name.
async fn plan(lake: &Lake, table: &str, sql: &str) -> (SessionContext, Arc<dyn ExecutionPlan>) {
    let context = session(lake, 2);
    context
        .register_table("t", provider(lake, table).await)
        .unwrap();
    let plan = context
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    (context, plan)
}

async fn run(
    context: &SessionContext,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<Vec<String>, DataFusionError> {
    let batches = collect(plan, context.task_ctx()).await?;
    Ok(lines(&batches))
}

fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = batch
                .columns()
                .iter()
                .map(|column| {
                    if column.is_null(row) {
                        return "NULL".to_owned();
                    }
                    array_value_to_string(column, row).unwrap()
                })
                .collect();
            lines.push(cells.join("|"));
        }
    }
    lines.sort();
    lines
}

async fn query(lake: &Lake, table: &str, sql: &str) -> Vec<String> {
    let (context, plan) = plan(lake, table, sql).await;
    run(&context, plan).await.unwrap()
}

async fn query_error(lake: &Lake, table: &str, sql: &str) -> Error {
    let (context, plan) = plan(lake, table, sql).await;
    fault::find_ours(&run(&context, plan).await.unwrap_err()).unwrap()
}

async fn table_error(lake: &Lake, table: &str) -> Error {
    lake.table("public", table).await.unwrap_err()
}

fn is_corrupt(error: &Error, file: &FsPath) {
    assert_eq!(error.state().code(), "XX001", "{error:?}");
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    assert!(
        error.message().contains(file.to_str().unwrap()),
        "{error:?}"
    );
}

fn shown(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(true).to_string()
}

// The traps: what DataFusion does by itself.

async fn base_plan(path: &FsPath, sql: &str) -> (SessionContext, Arc<dyn ExecutionPlan>) {
    let context = SessionContext::new();
    // With a cached footer the base reads the bytes of another file at the old places instead.
    context
        .sql("SET datafusion.runtime.metadata_cache_limit = '0M'")
        .await
        .unwrap();
    let folder = path.parent().unwrap().to_str().unwrap();
    context
        .register_parquet("t", folder, ParquetReadOptions::default())
        .await
        .unwrap();
    let plan = context
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    (context, plan)
}

#[tokio::test]
async fn the_base_reads_a_replaced_file_as_nulls() {
    let shop = Shop::new();
    let path = shop.write("t/a.parquet", vec![("id", nullable(1))]);
    let (context, plan) = base_plan(&path, "SELECT id FROM t").await;
    // Another column, and the same number of bytes.
    shop.write("t/a.parquet", vec![("no", nullable(3))]);
    let rows = run(&context, plan).await.unwrap();
    let nulls = ["NULL", "NULL"];
    assert_eq!(rows, nulls, "the base now notices: pinning may be simpler");
}

#[tokio::test]
async fn the_base_takes_a_missing_null_count_for_no_nulls() {
    let shop = Shop::new();
    let path = shop.path("t/a.parquet");
    write_without_null_counts(&path);
    let (context, plan) = base_plan(&path, "SELECT count(v), count(*) FROM t").await;
    assert_eq!(
        run(&context, plan).await.unwrap(),
        ["3|3"],
        "the base now knows: 2|3 is right"
    );
    let (context, plan) = base_plan(&path, "SELECT k FROM t WHERE v IS NULL").await;
    assert!(
        run(&context, plan).await.unwrap().is_empty(),
        "the base now finds the row"
    );
}

/// Columns k (1, 2, 3) and v (10, NULL, 30), whose footer has bounds and no null counts.
fn write_without_null_counts(path: &FsPath) {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(10), None, Some(30)]));
    let properties = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .build();
    write_parquet(
        path,
        vec![("k", longs(&[1, 2, 3])), ("v", values)],
        properties,
    );
    rewrite_statistics(path, |statistics| match statistics {
        ChunkStatistics::Int64(s) => ChunkStatistics::int64(
            s.min_opt().copied(),
            s.max_opt().copied(),
            None,
            None,
            false,
        ),
        other => other.clone(),
    });
}

fn rewrite_statistics(path: &FsPath, change: impl Fn(&ChunkStatistics) -> ChunkStatistics) {
    let bytes = fs::read(path).unwrap();
    let tail: [u8; 4] = bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap();
    let start = bytes.len() - 8 - u32::from_le_bytes(tail) as usize;
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes[start..bytes.len() - 8]).unwrap();
    let groups = metadata
        .row_groups()
        .iter()
        .map(|group| {
            let chunks = group
                .columns()
                .iter()
                .map(|chunk| {
                    let builder = chunk.clone().into_builder();
                    let changed = change(chunk.statistics().unwrap());
                    builder.set_statistics(changed).build().unwrap()
                })
                .collect();
            group
                .clone()
                .into_builder()
                .set_column_metadata(chunks)
                .build()
                .unwrap()
        })
        .collect();
    let metadata = metadata.into_builder().set_row_groups(groups).build();
    let mut new = bytes[..start].to_vec();
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &metadata)
        .finish()
        .unwrap();
    new.extend(footer);
    fs::write(path, new).unwrap();
}

// Names, keys, schemas.

#[tokio::test]
async fn a_folder_is_schemas_and_tables() {
    let shop = Shop::new();
    shop.write("customers.parquet", vec![("id", ints(&[1, 2]))]);
    shop.write("orders/a.parquet", vec![("id", ints(&[1]))]);
    shop.write("orders/b.parquet", vec![("id", ints(&[2, 3]))]);
    shop.write("crm/surveys/x.parquet", vec![("score", ints(&[9]))]);
    let lake = shop.open().await;
    assert_eq!(lake.schema_names(), ["crm", "public"]);
    assert_eq!(lake.table_names("public"), ["customers", "orders"]);
    assert_eq!(lake.table_names("crm"), ["surveys"]);
    assert!(lake.table_names("none").is_empty());
    assert_eq!(lake.row_estimate("public", "orders"), None);
    assert_eq!(
        query(&lake, "orders", "SELECT id FROM t").await,
        ["1", "2", "3"]
    );
    assert_eq!(lake.row_estimate("public", "orders"), Some(3));
    assert!(lake.table("public", "none").await.unwrap().is_none());
    assert!(lake.check().await.is_empty());
}

#[tokio::test]
async fn a_single_file_is_one_table_and_an_empty_folder_none() {
    let shop = Shop::new();
    let path = shop.write("customers.parquet", vec![("id", ints(&[1, 2]))]);
    shop.write("orders.parquet", vec![("id", ints(&[1]))]);
    let lake = shop.try_open(&[&path]).await.unwrap();
    assert_eq!(lake.table_names("public"), ["customers"]);
    let empty = tempfile::tempdir().unwrap();
    let lake = shop.try_open(&[empty.path()]).await.unwrap();
    assert_eq!(lake.schema_names(), ["public"]);
}

#[tokio::test]
async fn keys_are_typed_columns_and_prune_exactly() {
    let shop = Shop::new();
    for (day, id) in [
        ("2024-01-01", 1),
        ("2024-01-02", 2),
        ("__HIVE_DEFAULT_PARTITION__", 3),
    ] {
        shop.write(
            &format!("t/day={day}/n=7/a.parquet"),
            vec![("id", ints(&[id, id]))],
        );
    }
    let lake = shop.open().await;
    let all = query(&lake, "t", "SELECT DISTINCT id, day, n FROM t").await;
    assert_eq!(all, ["1|2024-01-01|7", "2|2024-01-02|7", "3|NULL|7"]);
    let counts = "SELECT count(*), count(day), min(day), max(n) FROM t";
    assert_eq!(query(&lake, "t", counts).await, ["6|4|2024-01-01|7"]);
    let (context, one) = plan(&lake, "t", "SELECT id FROM t WHERE day = '2024-01-02'").await;
    assert!(!shown(&one).contains("FilterExec"), "{}", shown(&one));
    assert!(!shown(&one).contains("2024-01-01"), "{}", shown(&one));
    assert_eq!(run(&context, one).await.unwrap(), ["2", "2"]);
    let null = "SELECT count(*) FROM t WHERE day IS NULL";
    assert_eq!(query(&lake, "t", null).await, ["2"]);
    let none = "SELECT id FROM t WHERE n = 8";
    assert!(query(&lake, "t", none).await.is_empty());
    let mixed = "SELECT id FROM t WHERE n = 7 AND (day = '2024-01-01' OR id = 3)";
    assert_eq!(query(&lake, "t", mixed).await, ["1", "1", "3", "3"]);
    assert_eq!(
        query(&lake, "t", "SELECT id FROM t WHERE n = 7 LIMIT 5")
            .await
            .len(),
        5
    );
}

#[tokio::test]
async fn the_key_of_the_path_wins_over_the_column() {
    let shop = Shop::new();
    shop.write(
        "t/day=5/a.parquet",
        vec![("id", ints(&[1])), ("day", texts(&["x"]))],
    );
    let lake = shop.open().await;
    assert_eq!(query(&lake, "t", "SELECT * FROM t").await, ["1|5"]);
    assert_eq!(lake.check().await.len(), 1);
}

#[tokio::test]
async fn files_that_differ_merge_by_name() {
    let shop = Shop::new();
    shop.write(
        "t/a.parquet",
        vec![("id", ints(&[1, 2])), ("name", texts(&["a", "b"]))],
    );
    shop.write(
        "t/b.parquet",
        vec![("email", texts(&["e"])), ("id", longs(&[5_000_000_000]))],
    );
    let lake = shop.open().await;
    let all = query(&lake, "t", "SELECT id, name, email FROM t").await;
    assert_eq!(all, ["1|a|NULL", "2|b|NULL", "5000000000|NULL|e"]);
    let sums = "SELECT count(*), count(name), count(email), min(id), max(id), min(email) FROM t";
    assert_eq!(query(&lake, "t", sums).await, ["3|2|1|1|5000000000|e"]);
    assert_eq!(
        query(&lake, "t", "SELECT id FROM t WHERE name IS NULL").await,
        ["5000000000"]
    );
    assert_eq!(
        query(&lake, "t", "SELECT id FROM t WHERE id < 2").await,
        ["1"]
    );
    assert_eq!(
        query(&lake, "t", "SELECT id FROM t WHERE email = 'e'").await,
        ["5000000000"]
    );
}

#[tokio::test]
async fn nested_columns_and_decimals_widen() {
    let shop = Shop::new();
    let structs = |fields: Vec<(&str, ArrayRef)>| -> ArrayRef {
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(name, array)| {
                (
                    Arc::new(Field::new(name, array.data_type().clone(), true)),
                    array,
                )
            })
            .collect();
        Arc::new(StructArray::from(fields))
    };
    let decimal = |scale: i8, value: i128| -> ArrayRef {
        let array = datafusion::arrow::array::Decimal128Array::from(vec![value]);
        Arc::new(array.with_precision_and_scale(10, scale).unwrap())
    };
    shop.write(
        "t/a.parquet",
        vec![
            ("s", structs(vec![("x", ints(&[1]))])),
            ("d", decimal(2, 150)),
        ],
    );
    let wide = structs(vec![("x", longs(&[2])), ("y", texts(&["why"]))]);
    shop.write("t/b.parquet", vec![("s", wide), ("d", decimal(4, 12345))]);
    let lake = shop.open().await;
    let rows = query(&lake, "t", "SELECT s['x'], s['y'], d FROM t").await;
    assert_eq!(rows, ["1|NULL|1.5000", "2|why|1.2345"]);
}

#[tokio::test]
async fn a_conflict_names_both_files_on_that_table_only() {
    let shop = Shop::new();
    let a = shop.write("t/a.parquet", vec![("id", ints(&[1]))]);
    let b = shop.write("t/b.parquet", vec![("id", texts(&["x"]))]);
    shop.write("good.parquet", vec![("id", ints(&[1]))]);
    let lake = shop.open().await;
    let error = table_error(&lake, "t").await;
    assert_eq!(error.state().code(), "42804");
    let detail = error.detail().unwrap();
    for part in [a.to_str().unwrap(), b.to_str().unwrap(), "integer", "text"] {
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(query(&lake, "good", "SELECT id FROM t").await, ["1"]);
    assert_eq!(lake.check().await.len(), 1);
}

#[tokio::test]
async fn types_of_many_writers_are_read() {
    let shop = Shop::new();
    let dictionary: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let binary = BinaryArray::from_vec(vec![b"x", b"y", b"z"]);
    let times = TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("UTC");
    shop.write(
        "t.parquet",
        vec![
            ("d", Arc::new(dictionary) as ArrayRef),
            ("l", Arc::new(list)),
            ("b", Arc::new(binary)),
            ("ts", Arc::new(times)),
            ("day", Arc::new(Date32Array::from(vec![0, 1, 2]))),
            ("ok", Arc::new(BooleanArray::from(vec![true, false, true]))),
        ],
    );
    let lake = shop.open().await;
    let schema = provider(&lake, "t").await.schema();
    assert_eq!(schema.field(0).data_type(), &DataType::Utf8View);
    assert_eq!(schema.field(2).data_type(), &DataType::BinaryView);
    let sql = "SELECT d, ok FROM t WHERE d = 'a'";
    assert_eq!(query(&lake, "t", sql).await, ["a|true", "a|true"]);
    let sql = "SELECT count(d), min(d), count(l), max(day), max(ts) FROM t";
    assert_eq!(
        query(&lake, "t", sql).await,
        ["3|a|2|1970-01-03|1970-01-01T00:00:00.000003Z"]
    );
    assert_eq!(
        query(&lake, "t", "SELECT d FROM t WHERE l IS NULL").await,
        ["b"]
    );
}

#[tokio::test]
async fn int96_timestamps_are_microseconds_beyond_the_range_of_nanoseconds() {
    let shop = Shop::new();
    let schema = parse_message_type("message m { optional int96 at; }").unwrap();
    let file = fs::File::create(shop.path("t.parquet")).unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let mut at = Int96::new();
    // Midnight of the Julian day of 9999-12-31.
    at.set_data(0, 0, 5_373_484);
    column
        .typed::<Int96Type>()
        .write_batch(&[at], Some(&[1, 0]), None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let lake = shop.open().await;
    let rows = query(&lake, "t", "SELECT at FROM t").await;
    assert_eq!(rows, ["9999-12-31T00:00:00", "NULL"]);
    let sql = "SELECT count(*), count(at), max(at) FROM t WHERE at > '2024-01-01'";
    assert_eq!(query(&lake, "t", sql).await, ["1|1|9999-12-31T00:00:00"]);
}

// Statistics.

#[tokio::test]
async fn counts_and_bounds_come_from_footers() {
    let shop = Shop::new();
    shop.write("t/a.parquet", vec![("id", ints(&[3, 1]))]);
    shop.write("t/b.parquet", vec![("id", ints(&[7, 5]))]);
    let lake = shop.open().await;
    let sql = "SELECT count(*), count(id), min(id), max(id) FROM t";
    let (context, plan) = plan(&lake, "t", sql).await;
    assert!(
        !shown(&plan).contains("DataSourceExec: file"),
        "{}",
        shown(&plan)
    );
    assert_eq!(run(&context, plan).await.unwrap(), ["4|4|1|7"]);
}

#[tokio::test]
async fn files_are_pruned_by_their_bounds() {
    let shop = Shop::new();
    shop.write("t/a.parquet", vec![("id", ints(&[1, 2]))]);
    shop.write("t/b.parquet", vec![("id", ints(&[8, 9]))]);
    let lake = shop.open().await;
    let (context, plan) = plan(&lake, "t", "SELECT id FROM t WHERE id > 8").await;
    assert!(!shown(&plan).contains("a.parquet"), "{}", shown(&plan));
    assert_eq!(run(&context, plan).await.unwrap(), ["9"]);
}

#[tokio::test]
async fn missing_null_counts_change_no_answer() {
    let shop = Shop::new();
    let path = shop.path("t/a.parquet");
    write_without_null_counts(&path);
    let lake = shop.open().await;
    assert_eq!(
        query(&lake, "t", "SELECT count(v), count(*) FROM t").await,
        ["2|3"]
    );
    assert_eq!(
        query(&lake, "t", "SELECT k FROM t WHERE v IS NULL").await,
        ["2"]
    );
    assert_eq!(
        query(&lake, "t", "SELECT k FROM t WHERE v IS NOT NULL").await,
        ["1", "3"]
    );
    assert_eq!(
        query(&lake, "t", "SELECT k FROM t WHERE v > 20").await,
        ["3"]
    );
    let findings = lake.check().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].message.contains("null counts"), "{findings:?}");
    assert!(findings[0].place.contains("a.parquet"), "{findings:?}");
}

#[tokio::test]
async fn not_a_number_is_never_pruned_away() {
    let shop = Shop::new();
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0]));
    shop.write("t.parquet", vec![("v", values)]);
    let lake = shop.open().await;
    assert_eq!(
        query(&lake, "t", "SELECT v FROM t WHERE v > 5").await,
        ["NaN"]
    );
    assert_eq!(query(&lake, "t", "SELECT max(v) FROM t").await, ["NaN"]);
    assert_eq!(
        query(&lake, "t", "SELECT v FROM t WHERE v < 1.5").await,
        ["1.0"]
    );
}

// Files that change, and files that are not what they claim.

#[tokio::test]
async fn a_file_deleted_after_planning_is_an_error() {
    let shop = Shop::new();
    let path = shop.write("t/a.parquet", vec![("id", ints(&[1, 2]))]);
    shop.write("t/b.parquet", vec![("id", ints(&[3, 4]))]);
    let lake = shop.open().await;
    let (context, plan) = plan(&lake, "t", "SELECT sum(id) FROM t").await;
    fs::remove_file(&path).unwrap();
    let error = fault::find_ours(&run(&context, plan).await.unwrap_err()).unwrap();
    is_corrupt(&error, &path);
    assert!(error.hint().is_some());
    lake.refresh_if_stale().await.unwrap();
    assert_eq!(
        query(&lake, "t", "SELECT sum(id) FROM t").await,
        ["7"],
        "again works at once"
    );
}

#[tokio::test]
async fn a_file_replaced_after_planning_is_an_error() {
    let shop = Shop::new();
    let path = shop.write("t/a.parquet", vec![("id", ints(&[1, 2]))]);
    let lake = shop.open().await;
    let (context, first) = plan(&lake, "t", "SELECT id FROM t").await;
    let (_, second) = plan(&lake, "t", "SELECT id FROM t").await;
    shop.write("t/a.parquet", vec![("other", texts(&["x", "y", "z"]))]);
    let error = fault::find_ours(&run(&context, first).await.unwrap_err()).unwrap();
    is_corrupt(&error, &path);
    let temporary = shop.write("_tmp/a.parquet", vec![("id", ints(&[8, 9]))]);
    fs::rename(temporary, &path).unwrap();
    let error = fault::find_ours(&run(&context, second).await.unwrap_err()).unwrap();
    is_corrupt(&error, &path);
}

#[tokio::test]
async fn a_file_cut_after_planning_is_an_error() {
    let shop = Shop::new();
    let values: Vec<i64> = (0..50_000).map(|n| n * 7919 % 50_021).collect();
    let path = shop.write("t/a.parquet", vec![("id", longs(&values))]);
    let lake = shop.open().await;
    let (context, plan) = plan(&lake, "t", "SELECT sum(id) FROM t").await;
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(1000)
        .unwrap();
    let error = fault::find_ours(&run(&context, plan).await.unwrap_err()).unwrap();
    is_corrupt(&error, &path);
}

#[tokio::test]
async fn what_is_not_parquet_is_named_and_spares_the_others() {
    let shop = Shop::new();
    let good = shop.write("good.parquet", vec![("id", ints(&[1]))]);
    let bytes = fs::read(good).unwrap();
    let mut claims = bytes.clone();
    let at = claims.len() - 8;
    claims[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut noise = bytes.clone();
    for byte in &mut noise[at - 20..at] {
        *byte = 0xff;
    }
    let cases: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("short", b"PAR1"),
        ("text", b"id,name\n1,this is a csv file\n"),
        ("cut", &bytes[..bytes.len() - 5]),
        ("claims", &claims),
        ("noise", &noise),
    ];
    for (name, content) in cases {
        fs::write(shop.path(&format!("{name}.parquet")), content).unwrap();
    }
    let lake = shop.open().await;
    for (name, _) in cases {
        is_corrupt(
            &table_error(&lake, name).await,
            &shop.path(&format!("{name}.parquet")),
        );
    }
    assert_eq!(query(&lake, "good", "SELECT id FROM t").await, ["1"]);
    let findings = lake.check().await;
    assert_eq!(findings.len(), cases.len(), "{findings:?}");
    assert!(findings.iter().all(|finding| finding.is_error));
}

/// Every byte of a file turned over, one file at a time: an answer, or XX001 with the name.
#[tokio::test]
async fn a_damaged_byte_anywhere_never_panics_nor_blames_another_file() {
    let shop = Shop::new();
    let path = shop.write(
        "t.parquet",
        vec![("id", longs(&[1, 2, 3])), ("s", texts(&["a", "b", "c"]))],
    );
    let bytes = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xa5;
        fs::write(&path, damaged).unwrap();
        let lake = shop.open().await;
        let error = match lake.table("public", "t").await {
            Err(error) => error,
            Ok(table) => {
                let context = session(&lake, 1);
                context.register_table("t", table.unwrap()).unwrap();
                let planned = context.sql("SELECT * FROM t WHERE id > 0").await.unwrap();
                match planned.collect().await {
                    Ok(_) => continue,
                    Err(error) => {
                        fault::find_ours(&error).unwrap_or_else(|| panic!("byte {at}: {error}"))
                    }
                }
            }
        };
        is_corrupt(&error, &path);
        refused += 1;
    }
    assert!(refused > 30, "only {refused} refused");
}

#[tokio::test]
async fn a_damaged_page_names_its_file() {
    let shop = Shop::new();
    let values: Vec<i64> = (0..50_000).map(|n| n * 7919 % 50_021).collect();
    let path = shop.write("t/a.parquet", vec![("id", longs(&values))]);
    shop.write("t/b.parquet", vec![("id", longs(&[1]))]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4..64].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let lake = shop.open().await;
    is_corrupt(
        &query_error(&lake, "t", "SELECT sum(id) FROM t").await,
        &path,
    );
}

#[tokio::test]
async fn a_delta_folder_is_refused_and_found() {
    let shop = Shop::new();
    shop.write("t/a.parquet", vec![("id", ints(&[1]))]);
    fs::write(shop.path("t/_delta_log/00000000000000000000.json"), b"{}").unwrap();
    let lake = shop.open().await;
    assert_eq!(lake.table_names("public"), ["t"]);
    assert_eq!(table_error(&lake, "t").await.state().code(), "0A000");
    assert_eq!(lake.check().await.len(), 1);
}

#[tokio::test]
async fn one_name_in_two_places_is_an_error_naming_both() {
    let (shop, other) = (Shop::new(), Shop::new());
    let first = shop.write("t.parquet", vec![("id", ints(&[1]))]);
    let second = other.write("t.parquet", vec![("id", ints(&[2]))]);
    other.write("u.parquet", vec![("id", ints(&[2]))]);
    let lake = shop
        .try_open(&[shop.folder.path(), other.folder.path()])
        .await
        .unwrap();
    let error = table_error(&lake, "t").await;
    assert_eq!(error.state().code(), "42P07");
    for file in [first, second] {
        assert!(
            error.detail().unwrap().contains(file.to_str().unwrap()),
            "{error:?}"
        );
    }
    assert_eq!(query(&lake, "u", "SELECT id FROM t").await, ["2"]);
}

// Staleness.

#[tokio::test]
async fn new_and_removed_files_are_seen_after_the_bound_and_not_before() {
    let shop = Shop::new();
    shop.write("t/a.parquet", vec![("id", ints(&[1]))]);
    let lake = shop.open().await;
    let b = shop.write("t/b.parquet", vec![("id", ints(&[2]))]);
    shop.write("u.parquet", vec![("id", ints(&[3]))]);
    shop.wait(9);
    lake.refresh_if_stale().await.unwrap();
    assert_eq!(lake.table_names("public"), ["t"]);
    assert_eq!(query(&lake, "t", "SELECT count(*) FROM t").await, ["1"]);
    let (context, pinned) = plan(&lake, "t", "SELECT id FROM t").await;
    shop.wait(1);
    lake.refresh_if_stale().await.unwrap();
    assert_eq!(lake.table_names("public"), ["t", "u"]);
    assert_eq!(query(&lake, "t", "SELECT count(*) FROM t").await, ["2"]);
    assert_eq!(
        run(&context, pinned).await.unwrap(),
        ["1"],
        "a planned statement keeps its files"
    );
    fs::remove_file(b).unwrap();
    fs::remove_file(shop.path("u.parquet")).unwrap();
    shop.wait(10);
    lake.refresh_if_stale().await.unwrap();
    assert_eq!(lake.table_names("public"), ["t"]);
    assert_eq!(query(&lake, "t", "SELECT id FROM t").await, ["1"]);
}

#[tokio::test]
async fn a_table_that_did_not_change_is_the_same_provider() {
    let shop = Shop::new();
    shop.write("t.parquet", vec![("id", ints(&[1]))]);
    let lake = shop.open().await;
    let first = provider(&lake, "t").await;
    shop.write("u.parquet", vec![("id", ints(&[1]))]);
    shop.wait(10);
    lake.refresh_if_stale().await.unwrap();
    assert!(Arc::ptr_eq(&first, &provider(&lake, "t").await));
    assert_eq!(lake.table_names("public"), ["t", "u"]);
}

#[tokio::test]
async fn a_location_that_vanished_is_an_error_naming_it() {
    let shop = Shop::new();
    shop.write("data/t.parquet", vec![("id", ints(&[1]))]);
    let data = shop.folder.path().join("data");
    let lake = shop.try_open(&[&data]).await.unwrap();
    fs::rename(&data, shop.folder.path().join("moved")).unwrap();
    lake.refresh_if_stale().await.unwrap();
    shop.wait(10);
    let error = lake.refresh_if_stale().await.unwrap_err();
    assert!(error.message().contains(data.to_str().unwrap()), "{error}");
    assert!(lake.refresh_if_stale().await.is_err(), "and stays one");
    fs::rename(shop.folder.path().join("moved"), &data).unwrap();
    lake.refresh_if_stale().await.unwrap();
    assert_eq!(query(&lake, "t", "SELECT id FROM t").await, ["1"]);
}

#[tokio::test]
async fn a_file_gone_before_its_footer_was_read_leads_to_a_new_listing() {
    let shop = Shop::new();
    shop.write("t/a.parquet", vec![("id", ints(&[1]))]);
    let b = shop.write("t/b.parquet", vec![("id", ints(&[2]))]);
    let lake = shop.open().await;
    fs::remove_file(b).unwrap();
    assert_eq!(query(&lake, "t", "SELECT id FROM t").await, ["1"]);
    fs::remove_file(shop.path("t/a.parquet")).unwrap();
    shop.wait(10);
    lake.refresh_if_stale().await.unwrap();
    assert!(lake.table("public", "t").await.unwrap().is_none());
}

#[tokio::test]
async fn five_thousand_files_are_one_table() {
    let shop = Shop::new();
    let first = shop.write("t/d=0/a.parquet", vec![("id", ints(&[1]))]);
    let bytes = fs::read(first).unwrap();
    for day in 1..5000 {
        fs::write(shop.path(&format!("t/d={day}/a.parquet")), &bytes).unwrap();
    }
    let lake = shop.open().await;
    assert_eq!(
        query(&lake, "t", "SELECT count(*), max(d) FROM t").await,
        ["5000|4999"]
    );
    assert_eq!(
        query(&lake, "t", "SELECT sum(id) FROM t WHERE d >= 4990").await,
        ["10"]
    );
}

// Object stores.

/// A store in memory that counts listings and can refuse to answer.
#[derive(Debug, Default)]
struct Flaky {
    inner: InMemory,
    lists: AtomicU64,
    fails: AtomicBool,
}

impl Flaky {
    fn failure(&self) -> Option<object_store::Error> {
        self.fails
            .load(Ordering::SeqCst)
            .then(|| object_store::Error::Generic {
                store: "S3",
                source: "error sending request for https://s3.example/t?X-Amz-Signature=TOPSECRET"
                    .into(),
            })
    }
}

impl std::fmt::Display for Flaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flaky")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        match self.failure() {
            Some(failure) => Err(failure),
            None => self.inner.get_opts(location, options).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        match self.failure() {
            // Others get their turn first, as they would while a real store answers.
            Some(failure) => stream::once(async move {
                tokio::task::yield_now().await;
                Err(failure)
            })
            .boxed(),
            None => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A bucket with the objects of a folder under `data/`, and the lake over it.
async fn bucket(shop: &Shop, files: &[&str]) -> (Arc<Flaky>, Arc<Lake>) {
    let store = Arc::new(Flaky::default());
    for file in files {
        upload(&store, file, &shop.path(file)).await;
    }
    let location = Location::parse("s3://shop/data").unwrap();
    let settings = StorageSettings {
        staleness_max: STALENESS,
        ..StorageSettings::default()
    };
    let remote: Arc<dyn ObjectStore> = Arc::<Flaky>::clone(&store);
    let runtime = Arc::new(RuntimeEnv::default());
    let lake = Lake::over(vec![(location, remote)], runtime, settings, shop.clock());
    (store, lake.await.unwrap())
}

async fn upload(store: &Flaky, name: &str, from: &FsPath) {
    let bytes = fs::read(from).unwrap();
    store
        .inner
        .put(&Path::from(format!("data/{name}")), bytes.into())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bucket_is_read_as_a_folder_is() {
    let shop = Shop::new();
    let values: Vec<i64> = (0..200_000).map(|n| n * 7919 % 200_003).collect();
    shop.write("t/n=1/a.parquet", vec![("id", longs(&values))]);
    shop.write("t/n=2/a.parquet", vec![("id", longs(&[-1]))]);
    let (_, lake) = bucket(&shop, &["t/n=1/a.parquet", "t/n=2/a.parquet"]).await;
    let expected = format!("200001|{}|2", values.iter().sum::<i64>() - 1);
    let sql = "SELECT count(*), sum(id), max(n) FROM t";
    assert_eq!(query(&lake, "t", sql).await, [expected]);
    assert_eq!(
        query(&lake, "t", "SELECT id FROM t WHERE id < 0").await,
        ["-1"]
    );
}

#[tokio::test]
async fn a_replaced_or_deleted_object_is_an_error_of_that_object() {
    let shop = Shop::new();
    let path = shop.write("t.parquet", vec![("id", ints(&[1, 2]))]);
    let (store, lake) = bucket(&shop, &["t.parquet"]).await;
    let (context, first) = plan(&lake, "t", "SELECT id FROM t").await;
    let (_, second) = plan(&lake, "t", "SELECT id FROM t").await;
    upload(&store, "t.parquet", &path).await;
    let error = fault::find_ours(&run(&context, first).await.unwrap_err()).unwrap();
    assert_eq!(error.state().code(), "XX001");
    assert!(
        error.message().contains("s3://shop/data/t.parquet"),
        "{error}"
    );
    store
        .inner
        .delete(&Path::from("data/t.parquet"))
        .await
        .unwrap();
    let error = fault::find_ours(&run(&context, second).await.unwrap_err()).unwrap();
    assert_eq!(error.state().code(), "XX001");
    assert!(error.message().contains("gone"), "{error}");
}

#[tokio::test]
async fn a_store_that_fails_is_58030_and_tells_no_secret() {
    let shop = Shop::new();
    shop.write("t.parquet", vec![("id", ints(&[1, 2]))]);
    let (store, lake) = bucket(&shop, &["t.parquet"]).await;
    let (context, plan) = plan(&lake, "t", "SELECT id FROM t").await;
    store.fails.store(true, Ordering::SeqCst);
    let error = fault::find_ours(&run(&context, plan).await.unwrap_err()).unwrap();
    shop.wait(10);
    let listing = lake.refresh_if_stale().await.unwrap_err();
    for error in [error, listing] {
        assert_eq!(error.state().code(), "58030", "{error:?}");
        assert!(error.message().contains("s3://shop/data"), "{error:?}");
        assert!(!format!("{error:?}").contains("TOPSECRET"), "{error:?}");
    }
}

#[tokio::test]
async fn within_the_bound_nobody_lists_and_after_it_one_does() {
    let shop = Shop::new();
    shop.write("t.parquet", vec![("id", ints(&[1, 2]))]);
    let (store, lake) = bucket(&shop, &["t.parquet"]).await;
    let lists = || store.lists.load(Ordering::SeqCst);
    assert_eq!(lists(), 1);
    shop.wait(9);
    lake.refresh_if_stale().await.unwrap();
    assert_eq!(lists(), 1);
    shop.wait(1);
    let all = futures::future::join_all((0..50).map(|_| lake.refresh_if_stale())).await;
    assert!(all.into_iter().all(|outcome| outcome.is_ok()));
    assert_eq!(lists(), 2);
    shop.wait(10);
    store.fails.store(true, Ordering::SeqCst);
    let all = futures::future::join_all((0..50).map(|_| lake.refresh_if_stale())).await;
    assert!(all.into_iter().all(|outcome| outcome.is_err()));
    assert_eq!(lists(), 3, "a failure is shared by those who waited for it");
}

#[tokio::test]
async fn a_scan_without_columns_counts_rows() {
    let shop = Shop::new();
    shop.write("t/a.parquet", vec![("id", ints(&[1, 2]))]);
    let lake = shop.open().await;
    assert_eq!(query(&lake, "t", "SELECT 1 FROM t").await, ["1", "1"]);
    let schema: Schema = provider(&lake, "t").await.schema().as_ref().clone();
    assert_eq!(schema.fields().len(), 1);
}
