//! DataFusion's Parquet source, with every error of a scan naming its file.
//!
//! The decoder says "EOF" or "invalid page header" without saying where, and panics on some
//! hostile files. This source delegates all planning to DataFusion and runs its reading
//! behind a guard that knows which file it is on.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpenFuture, FileOpener, FileScanConfig, FileSource, ParquetSource,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use object_store::ObjectStore;

use super::fault;

/// A Parquet source whose errors and panics become errors of the file they came from.
#[derive(Clone)]
pub(super) struct GuardedSource {
    inner: Arc<dyn FileSource>,
    /// What stands before the path of a file when it is shown.
    shown_root: Arc<str>,
}

impl GuardedSource {
    pub(super) fn new(source: ParquetSource, shown_root: &str) -> Self {
        Self {
            inner: Arc::new(source),
            shown_root: shown_root.into(),
        }
    }

    fn guard(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self {
            inner,
            shown_root: Arc::clone(&self.shown_root),
        })
    }
}

impl FileSource for GuardedSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let morselizer = Arc::new(self.inner.create_morselizer(store, config, partition)?);
        let plan = move |file: PartitionedFile| {
            let morselizer = Arc::clone(&morselizer);
            async move {
                let mut streams = Vec::new();
                let mut planners = vec![morselizer.plan_file(file)?];
                while let Some(planner) = planners.pop() {
                    let Some(mut plan) = planner.plan()? else {
                        continue;
                    };
                    for morsel in plan.take_morsels() {
                        streams.push(morsel.into_stream());
                    }
                    planners.extend(plan.take_ready_planners().into_iter().rev());
                    if let Some(pending) = plan.take_pending_planner() {
                        planners.push(pending.await?);
                    }
                }
                Ok(stream::iter(streams).flatten().boxed())
            }
            .boxed()
        };
        Ok(Arc::new(GuardedOpener {
            plan: Box::new(plan),
            shown_root: Arc::clone(&self.shown_root),
        }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.guard(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(t, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        repartition_file_min_size: usize,
        output_ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        // Works on the groups of `config` and keeps its source, which is this one.
        self.inner.repartitioned(
            target_partitions,
            repartition_file_min_size,
            output_ordering,
            config,
        )
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.inner.try_pushdown_filters(filters, config)?;
        pushed.updated_node = pushed.updated_node.map(|inner| self.guard(inner));
        Ok(pushed)
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_sort(order, properties)?;
        Ok(pushed.map(|inner| self.guard(inner)))
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_projection(projection)?;
        Ok(pushed.map(|inner| self.guard(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

type Batches = BoxStream<'static, Result<RecordBatch>>;
type Plan = Box<dyn Fn(PartitionedFile) -> FileOpenFuture + Send + Sync>;

struct GuardedOpener {
    plan: Plan,
    shown_root: Arc<str>,
}

impl FileOpener for GuardedOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let name: Arc<str> = format!("{}{}", self.shown_root, file.object_meta.location).into();
        let opening = AssertUnwindSafe((self.plan)(file)).catch_unwind();
        Ok(async move {
            match opening.await {
                Ok(Ok(batches)) => Ok(guarded(batches, name)),
                Ok(Err(error)) => Err(fault::name_the_file(&name, error)),
                Err(panic) => Err(fault::decoder_panicked(&name, panic.as_ref()).into()),
            }
        }
        .boxed())
    }
}

/// The batches, with errors named and a panic as the last item.
fn guarded(batches: Batches, name: Arc<str>) -> Batches {
    let state = Some(batches);
    stream::unfold((state, name), |(state, name)| async move {
        let mut batches = state?;
        let item = match AssertUnwindSafe(batches.next()).catch_unwind().await {
            Ok(None) => return None,
            Ok(Some(Ok(batch))) => return Some((Ok(batch), (Some(batches), name))),
            Ok(Some(Err(error))) => fault::name_the_file(&name, error),
            Err(panic) => {
                // A stream that panicked is in no state to be dropped normally either.
                let dropped = catch_unwind(AssertUnwindSafe(move || drop(batches)));
                if dropped.is_err() {
                    tracing::warn!(file = %name, "reading a damaged file panicked twice");
                }
                let error: DataFusionError = fault::decoder_panicked(&name, panic.as_ref()).into();
                return Some((Err(error), (None, name)));
            }
        };
        // Nothing follows an error: rows after a gap would look complete.
        Some((Err(item), (None, name)))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::Schema;

    use super::*;

    fn empty() -> RecordBatch {
        RecordBatch::new_empty(Arc::new(Schema::empty()))
    }

    fn code(error: &DataFusionError) -> &'static str {
        fault::find_ours(error).unwrap().state().code()
    }

    #[tokio::test]
    async fn a_panic_in_a_stream_becomes_an_error_of_the_file() {
        let batches = stream::iter(0..3).map(|n| match n {
            0 => Ok(empty()),
            _ => panic!("boom"),
        });
        let all: Vec<_> = guarded(batches.boxed(), "/a.parquet".into())
            .collect()
            .await;
        assert_eq!(all.len(), 2);
        assert_eq!(code(all[1].as_ref().unwrap_err()), "XX001");
    }

    #[tokio::test]
    async fn nothing_follows_an_error() {
        let batches = stream::iter([
            Err(parquet::errors::ParquetError::EOF("page".into()).into()),
            Ok(empty()),
        ]);
        let all: Vec<_> = guarded(batches.boxed(), "/a.parquet".into())
            .collect()
            .await;
        assert_eq!(all.len(), 1);
        assert_eq!(code(all[0].as_ref().unwrap_err()), "XX001");
    }
}
