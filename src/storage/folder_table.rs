//! A table of Parquet files, pinned to the files of one listing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ColumnStatistics, Statistics, ToDFSchema, project_schema};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::expressions::Column as PhysicalColumn;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::scalar::ScalarValue;
use object_store::ObjectMeta;
use parquet::arrow::RowNumber;
use parquet::arrow::arrow_reader::RowSelection;

use super::files::{FILE_COLUMN, ROW_COLUMN};
use super::footer::Footer;
use super::guarded::GuardedSource;
use super::pinned::{Origin, PinnedReaders};

/// The unit in which files of old writers (INT96) give their timestamps.
const INT96_UNIT: &str = "us";

/// A file with what the table knows of it.
pub(super) struct TableFile {
    pub(super) meta: ObjectMeta,
    pub(super) footer: Arc<Footer>,
    /// One value per partition key.
    pub(super) keys: Vec<ScalarValue>,
    /// The rows that are the table's, if some are not.
    pub(super) kept: Option<RowSelection>,
}

impl TableFile {
    fn rows(&self) -> u64 {
        let kept = self.kept.as_ref().map(|kept| kept.row_count() as u64);
        kept.unwrap_or(self.footer.rows)
    }
}

/// A table whose rows are those of a fixed set of files.
///
/// A query that holds it reads these files or fails; the next listing makes another one.
pub(super) struct FolderTable {
    schema: TableSchema,
    /// The places of the columns in `schema` in the order that they are shown in, if it is another one.
    order: Option<Ordered>,
    files: Vec<PartitionedFile>,
    statistics: Statistics,
    rows: u64,
    origin: Arc<Origin>,
    store_url: ObjectStoreUrl,
}

/// Columns in another order or under other names.
struct Ordered {
    schema: SchemaRef,
    places: Vec<usize>,
    is_renamed: bool,
}

impl FolderTable {
    /// A table of `files` with the merged columns `file_schema`, then the partition `keys`.
    pub(super) fn new(
        origin: Arc<Origin>,
        store_url: ObjectStoreUrl,
        file_schema: SchemaRef,
        keys: Vec<FieldRef>,
        files: Vec<TableFile>,
    ) -> Result<Self> {
        let rows = files.iter().map(TableFile::rows).sum();
        let schema = TableSchema::builder(Arc::clone(&file_schema))
            .with_table_partition_cols(keys)
            .build();
        let files: Vec<_> = files
            .into_iter()
            .map(|file| planned(file, &file_schema))
            .collect();
        let statistics = merged_statistics(&files, schema.table_schema())?;
        Ok(Self {
            schema,
            order: None,
            files,
            statistics,
            rows,
            origin,
            store_url,
        })
    }

    /// A table of `files` that also tells, behind its own columns, where in them each row stands.
    pub(super) fn addressed(
        origin: Arc<Origin>,
        store_url: ObjectStoreUrl,
        file_schema: SchemaRef,
        mut keys: Vec<FieldRef>,
        files: Vec<TableFile>,
    ) -> Result<Self> {
        keys.push(Arc::new(Field::new(FILE_COLUMN, DataType::Int64, false)));
        let place = Field::new(ROW_COLUMN, DataType::Int64, false).with_extension_type(RowNumber);
        let numbered = (0_i64..).zip(files).map(|(number, mut file)| {
            file.keys.push(ScalarValue::Int64(Some(number)));
            file
        });
        let mut table = Self::new(
            origin,
            store_url,
            Arc::clone(&file_schema),
            keys.clone(),
            numbered.collect(),
        )?;
        table.schema = TableSchema::builder(file_schema)
            .with_table_partition_cols(keys)
            .with_virtual_columns(vec![Arc::new(place)])
            .build();
        for file in &mut table.files {
            file.statistics = file.statistics.take().map(with_unknown_column);
        }
        table.statistics = merged_statistics(&table.files, table.schema.table_schema())?;
        Ok(table)
    }

    /// The same table with its columns in another order, given by their places, and shown under `names`.
    pub(super) fn ordered(mut self, places: Vec<usize>, names: Option<&[String]>) -> Result<Self> {
        let columns = self.schema.table_schema().fields().len();
        let is_renamed = names.is_some();
        if is_renamed || !places.iter().copied().eq(0..columns) {
            let mut schema = self.schema.table_schema().project(&places)?;
            if let Some(names) = names {
                let shown = schema.fields().iter().zip(names);
                let shown = shown.map(|(field, name)| field.as_ref().clone().with_name(name));
                schema = Schema::new(shown.collect::<Vec<_>>());
            }
            self.order = Some(Ordered {
                schema: Arc::new(schema),
                places,
                is_renamed,
            });
        }
        Ok(self)
    }

    /// A filter of the columns under their names in files.
    fn of_files(&self, filter: &Expr) -> Result<Expr> {
        let Some(order) = self.order.as_ref().filter(|order| order.is_renamed) else {
            return Ok(filter.clone());
        };
        let own = self.schema.table_schema();
        let renamed = filter.clone().transform(|part| {
            Ok(match part {
                Expr::Column(column) => {
                    let place = order.places[order.schema.index_of(&column.name)?];
                    Transformed::yes(Expr::Column(Column::from_name(own.field(place).name())))
                }
                part => Transformed::no(part),
            })
        });
        Ok(renamed?.data)
    }

    /// The rows of a scan under the names that they are shown by.
    fn shown(
        &self,
        scan: Arc<dyn ExecutionPlan>,
        projection: Option<&Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !self.order.as_ref().is_some_and(|order| order.is_renamed) {
            return Ok(scan);
        }
        let shown = project_schema(&self.schema(), projection)?;
        let read = scan.schema();
        let columns = read.fields().iter().zip(shown.fields()).enumerate();
        let columns = columns.map(|(at, (own, shown))| ProjectionExpr {
            expr: Arc::new(PhysicalColumn::new(own.name(), at)),
            alias: shown.name().clone(),
        });
        Ok(Arc::new(ProjectionExec::try_new(columns, scan)?))
    }

    /// Rows of all files, by their footers.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The places in `schema` of the columns that a query wants.
    fn places(&self, projection: Option<&Vec<usize>>) -> Option<Vec<usize>> {
        let Some(order) = &self.order else {
            return projection.cloned();
        };
        let Some(wanted) = projection else {
            return Some(order.places.clone());
        };
        let place = |at: &usize| order.places.get(*at).copied();
        Some(wanted.iter().filter_map(place).collect())
    }

    /// The files that may hold rows for the filters; sure by partition keys, guessed by bounds.
    fn surviving(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        let (by_key, by_bounds): (Vec<&Expr>, Vec<&Expr>) = filters
            .iter()
            .partition(|filter| self.is_decided_by_keys(filter));
        let mut keep = vec![true; self.files.len()];
        for filter in by_key {
            self.keep_by_keys(state, filter, &mut keep)?;
        }
        if let Some(predicate) = conjunction(by_bounds.into_iter().cloned()) {
            self.keep_by_bounds(state, predicate, &mut keep);
        }
        let kept = self.files.iter().zip(keep).filter(|(_, keep)| *keep);
        Ok(kept.map(|(file, _)| file.clone()).collect())
    }

    /// Whether a filter looks at partition keys alone, so that its answer holds for whole files.
    fn is_decided_by_keys(&self, filter: &Expr) -> bool {
        let keys = self.schema.table_partition_cols();
        let columns = filter.column_refs();
        let only_keys = !columns.is_empty()
            && columns
                .iter()
                .all(|column| keys.iter().any(|key| key.name() == &column.name));
        only_keys && !filter.is_volatile() && !has_subquery(filter)
    }

    fn keep_by_keys(&self, state: &dyn Session, filter: &Expr, keep: &mut [bool]) -> Result<()> {
        let keys = self.schema.table_partition_cols();
        let schema = Arc::new(Schema::new(keys.clone()));
        let columns = (0..keys.len())
            .map(|key| {
                let values = self
                    .files
                    .iter()
                    .map(|file| file.partition_values[key].clone());
                ScalarValue::iter_to_array(values)
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.files.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?;
        let predicate = state.create_physical_expr(filter.clone(), &schema.to_dfschema()?)?;
        let verdict = predicate.evaluate(&batch)?.into_array(batch.num_rows())?;
        let verdict = verdict.as_boolean_opt().ok_or_else(|| {
            DataFusionError::from(crate::error::Error::internal("a filter is not boolean"))
        })?;
        for (row, keep) in keep.iter_mut().enumerate() {
            *keep &= verdict.is_valid(row) && verdict.value(row);
        }
        Ok(())
    }

    /// Best effort: the rows are filtered again, so a predicate that cannot be used keeps all.
    fn keep_by_bounds(&self, state: &dyn Session, predicate: Expr, keep: &mut [bool]) {
        let table = self.schema.table_schema();
        let pruned = || -> Result<Vec<bool>> {
            let df_schema = Arc::clone(table).to_dfschema()?;
            let columns: Vec<usize> = predicate
                .column_refs()
                .iter()
                .filter_map(|column| table.index_of(&column.name).ok())
                .collect();
            let predicate = state.create_physical_expr(predicate, &df_schema)?;
            let predicate = PruningPredicateBuilder::new()
                .with_file_schema(Arc::clone(table))
                .try_build(predicate)?;
            let statistics = self
                .files
                .iter()
                .map(|file| match &file.statistics {
                    Some(statistics) => with_typed_nulls(statistics, &columns, table),
                    None => Ok(Arc::new(Statistics::new_unknown(table))),
                })
                .collect::<Result<_>>()?;
            predicate.prune(&PrunableStatistics::new(statistics, Arc::clone(table)))
        };
        match pruned() {
            Ok(may_match) => {
                for (keep, may_match) in keep.iter_mut().zip(may_match) {
                    *keep &= may_match;
                }
            }
            Err(error) => tracing::debug!(%error, "files are not pruned by their bounds"),
        }
    }
}

#[async_trait]
impl TableProvider for FolderTable {
    fn schema(&self) -> SchemaRef {
        match &self.order {
            Some(order) => Arc::clone(&order.schema),
            None => Arc::clone(self.schema.table_schema()),
        }
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let exactness = |filter: &&Expr| {
            Ok(if self.is_decided_by_keys(&self.of_files(filter)?) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            })
        };
        filters.iter().map(exactness).collect()
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = self.statistics.clone();
        if let Some(order) = &self.order {
            let known = &self.statistics.column_statistics;
            let columns = order.places.iter().filter_map(|place| known.get(*place));
            statistics.column_statistics = columns.cloned().collect();
        }
        Some(statistics)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let filters = filters.iter().map(|filter| self.of_files(filter));
        let files = self.surviving(state, &filters.collect::<Result<Vec<_>>>()?)?;
        if files.is_empty() {
            let schema = project_schema(&self.schema(), projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let statistics = if files.len() == self.files.len() {
            self.statistics.clone()
        } else {
            merged_statistics(&files, self.schema.table_schema())?
        };
        let mut options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        options.global.coerce_int96 = Some(INT96_UNIT.to_owned());
        options.global.coerce_int96_tz = None;
        let readers = PinnedReaders::new(
            Arc::clone(&self.origin),
            state.runtime_env().cache_manager.get_file_metadata_cache(),
        );
        let source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let source = GuardedSource::new(source, &self.origin.shown_root);
        let groups = balanced(files, state.config_options().execution.target_partitions);
        let config = FileScanConfigBuilder::new(self.store_url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(self.places(projection))?
            .with_limit(limit)
            .build();
        self.shown(DataSourceExec::from_data_source(config), projection)
    }
}

impl fmt::Debug for FolderTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FolderTable({:?}, {} files, {} rows)",
            self.origin,
            self.files.len(),
            self.rows
        )
    }
}

fn has_subquery(filter: &Expr) -> bool {
    let mut found = false;
    let walked = filter.apply(|part| {
        found |= matches!(
            part,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        );
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    found || walked.is_err()
}

/// A file ready for scans: its own schema, its keys, and statistics of the table's columns.
fn planned(mut file: TableFile, table_schema: &SchemaRef) -> PartitionedFile {
    let mut statistics = table_statistics(&file, table_schema);
    let kept = file.kept.take();
    if kept.is_some() {
        // They are those of all rows, also the count: a column is NULL throughout if all rows are counted as such.
        statistics = Arc::new(Statistics::clone(&statistics).to_inexact());
    }
    let mut planned = PartitionedFile::new_from_meta(file.meta)
        .with_partition_values(file.keys)
        .with_arrow_schema(read_schema(&file.footer.schema, table_schema));
    // Set directly: the builder's own statistics of keys take NULL for a value.
    planned.statistics = Some(statistics);
    match kept {
        Some(kept) => planned.with_extension(ParquetRowSelection::new(kept)),
        None => planned,
    }
}

/// The columns of a file as they are read. Bytes that the table has of one length are not read as views, which
/// cannot be cast to it.
fn read_schema(file: &SchemaRef, table: &Schema) -> SchemaRef {
    let is_fixed = |field: &FieldRef| {
        let wanted = table.field_with_name(field.name());
        wanted.is_ok_and(|wanted| is_fixed_of_view(wanted.data_type(), field.data_type()))
    };
    if !file.fields().iter().any(is_fixed) {
        return Arc::clone(file);
    }
    let field = |field: &FieldRef| match is_fixed(field) {
        true => {
            let read = without_view(field.data_type());
            Arc::new(field.as_ref().clone().with_data_type(read))
        }
        false => Arc::clone(field),
    };
    let fields: Vec<FieldRef> = file.fields().iter().map(field).collect();
    Arc::new(Schema::new_with_metadata(fields, file.metadata().clone()))
}

fn is_fixed_of_view(wanted: &DataType, found: &DataType) -> bool {
    match (wanted, found) {
        (DataType::FixedSizeBinary(_), DataType::BinaryView) => true,
        (DataType::List(wanted), DataType::List(found)) => {
            is_fixed_of_view(wanted.data_type(), found.data_type())
        }
        _ => false,
    }
}

fn without_view(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => {
            let inner = without_view(item.data_type());
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(inner)))
        }
        _ => DataType::Binary,
    }
}

fn table_statistics(file: &TableFile, table_schema: &SchemaRef) -> Arc<Statistics> {
    let known = &file.footer.statistics;
    if file.keys.is_empty() && same_columns(&file.footer.schema, table_schema) {
        return Arc::clone(known);
    }
    let rows = file.footer.rows as usize;
    let places: HashMap<&str, usize> = file
        .footer
        .schema
        .fields()
        .iter()
        .enumerate()
        .map(|(place, field)| (field.name().as_str(), place))
        .collect();
    let mut columns: Vec<ColumnStatistics> = table_schema
        .fields()
        .iter()
        .map(|field| match places.get(field.name().as_str()) {
            Some(&place) => {
                let own_type = file.footer.schema.field(place).data_type();
                widened(&known.column_statistics[place], own_type, field.data_type())
            }
            None => all_null(rows),
        })
        .collect();
    columns.extend(file.keys.iter().map(|key| of_key(key, rows)));
    Arc::new(Statistics {
        num_rows: known.num_rows,
        total_byte_size: known.total_byte_size,
        column_statistics: columns,
    })
}

fn same_columns(file: &Schema, table: &Schema) -> bool {
    file.fields().len() == table.fields().len()
        && file
            .fields()
            .iter()
            .zip(table.fields())
            .all(|(file, table)| {
                file.name() == table.name() && file.data_type() == table.data_type()
            })
}

/// Bounds cast to the table's type; every widening keeps the order, so they stay bounds.
fn widened(known: &ColumnStatistics, from: &DataType, to: &DataType) -> ColumnStatistics {
    if from == to {
        return known.clone();
    }
    ColumnStatistics {
        min_value: known.min_value.cast_to(to).unwrap_or(Precision::Absent),
        max_value: known.max_value.cast_to(to).unwrap_or(Precision::Absent),
        byte_size: Precision::Absent,
        ..known.clone()
    }
}

fn all_null(rows: usize) -> ColumnStatistics {
    ColumnStatistics::new_unknown().with_null_count(Precision::Exact(rows))
}

fn of_key(key: &ScalarValue, rows: usize) -> ColumnStatistics {
    if key.is_null() {
        return all_null(rows);
    }
    ColumnStatistics::new_unknown()
        .with_null_count(Precision::Exact(0))
        .with_min_value(Precision::Exact(key.clone()))
        .with_max_value(Precision::Exact(key.clone()))
        .with_distinct_count(Precision::Exact(1))
}

/// Unknown bounds as NULLs of their column's type: beside known ones the base takes them for another type.
fn with_typed_nulls(
    statistics: &Arc<Statistics>,
    columns: &[usize],
    table: &Schema,
) -> Result<Arc<Statistics>> {
    let mut typed = statistics.as_ref().clone();
    for place in columns {
        let Some(column) = typed.column_statistics.get_mut(*place) else {
            continue;
        };
        let null = ScalarValue::try_from(table.field(*place).data_type())?;
        for bound in [&mut column.min_value, &mut column.max_value] {
            if matches!(bound, Precision::Absent) {
                *bound = Precision::Exact(null.clone());
            }
        }
    }
    Ok(Arc::new(typed))
}

fn with_unknown_column(statistics: Arc<Statistics>) -> Arc<Statistics> {
    let mut statistics = statistics.as_ref().clone();
    let unknown = ColumnStatistics::new_unknown();
    statistics.column_statistics.push(unknown);
    Arc::new(statistics)
}

fn merged_statistics(files: &[PartitionedFile], schema: &SchemaRef) -> Result<Statistics> {
    if files.is_empty() {
        let none = Statistics::new_unknown(schema).with_num_rows(Precision::Exact(0));
        return Ok(none.with_total_byte_size(Precision::Exact(0)));
    }
    Statistics::try_merge_iter(
        files.iter().filter_map(|file| file.statistics.as_deref()),
        schema,
    )
}

/// Groups of nearly the same number of bytes, each in the order of the listing.
fn balanced(files: Vec<PartitionedFile>, groups: usize) -> Vec<FileGroup> {
    let groups = groups.clamp(1, files.len().max(1));
    let mut by_size: Vec<usize> = (0..files.len()).collect();
    by_size.sort_by_key(|&at| std::cmp::Reverse(files[at].object_meta.size));
    // One pass with a heap of (bytes so far, group): the next largest to the emptiest.
    let mut heap: std::collections::BinaryHeap<_> = (0..groups)
        .map(|group| std::cmp::Reverse((0_u64, group)))
        .collect();
    let mut place = vec![0; files.len()];
    for at in by_size {
        if let Some(std::cmp::Reverse((bytes, group))) = heap.pop() {
            place[at] = group;
            let bytes = bytes.saturating_add(files[at].object_meta.size.max(1));
            heap.push(std::cmp::Reverse((bytes, group)));
        }
    }
    let mut grouped: Vec<Vec<PartitionedFile>> = vec![Vec::new(); groups];
    for (file, group) in files.into_iter().zip(place) {
        grouped[group].push(file);
    }
    grouped.into_iter().map(FileGroup::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_balanced_by_bytes_and_keep_the_order() {
        let sizes = [9, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        let files = sizes
            .iter()
            .enumerate()
            .map(|(at, size)| PartitionedFile::new(format!("{at}.parquet"), *size))
            .collect();
        let groups = balanced(files, 2);
        let sizes: Vec<u64> = groups
            .iter()
            .map(|group| group.iter().map(|file| file.object_meta.size).sum())
            .collect();
        assert_eq!(sizes, [9, 9]);
        let order: Vec<&str> = groups[1].iter().map(|file| file.path().as_ref()).collect();
        assert!(order.is_sorted(), "{order:?}");
    }

    #[test]
    fn there_are_never_more_groups_than_files() {
        assert_eq!(
            balanced(vec![PartitionedFile::new("a.parquet", 0)], 8).len(),
            1
        );
    }
}
