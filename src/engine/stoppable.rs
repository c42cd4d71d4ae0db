//! Makes operators stop with their statement that would not stop by themselves.
//!
//! Dropping a stream ends an operator only when it next returns to its caller. A join can multiply
//! its input so that it does not return for minutes: a nested loop whose filter matches nothing gives
//! no batch, and a cross join is always ready, so that whoever reads it never waits. Two remedies, put
//! in as the last physical optimisation: such operators yield to the runtime every few batches, and
//! the filters of joins fail once their statement is stopped.
//!
//! A join that does not return also holds its query thread. Its filter takes that thread out of the
//! pool, so that the queries of others run on a new one and the operating system shares the
//! processors between them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};

use tokio::runtime::{Handle, RuntimeFlavor};

use super::control::StatementControl;
use super::guard;

/// Operators that can give many batches for one of their input.
const MULTIPLYING: &[&str] = &[
    "CrossJoinExec",
    "HashJoinExec",
    "NestedLoopJoinExec",
    "PiecewiseMergeJoin",
    "RecursiveQueryExec",
    "SortMergeJoinExec",
    "UnnestExec",
];

/// The rule; see the module.
#[derive(Debug)]
pub(super) struct StopJoins;

impl PhysicalOptimizerRule for StopJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let control = guard::current();
        plan.transform_up(|plan| {
            if !MULTIPLYING.contains(&plan.name()) {
                return Ok(Transformed::no(plan));
            }
            let plan = match &control {
                Some(control) => with_stoppable_filter(plan, control)?,
                None => plan,
            };
            Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan)) as _))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "stop_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_stoppable_filter(
    plan: Arc<dyn ExecutionPlan>,
    control: &Arc<StatementControl>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let filter = stoppable(filter, control);
        return Ok(Arc::new(
            NestedLoopJoinExecBuilder::from(join)
                .with_filter(Some(filter))
                .build()?,
        ));
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        let filter = stoppable(filter, control);
        return join.builder().with_filter(Some(filter)).build_exec();
    }
    Ok(plan)
}

fn stoppable(filter: &JoinFilter, control: &Arc<StatementControl>) -> JoinFilter {
    let expression = Stoppable {
        inner: Arc::clone(filter.expression()),
        control: Arc::clone(control),
        turn: Arc::new(Turn::new()),
    };
    JoinFilter::new(
        Arc::new(expression),
        filter.column_indices().to_vec(),
        Arc::clone(filter.schema()),
    )
}

/// Time after which a filter takes its thread out of the pool of query threads.
const TURN_TIME_MAX: Duration = Duration::from_millis(20);

/// Whether this thread can be taken out of a pool of query threads.
fn on_worker_thread() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// When a filter last gave up its place in the pool. Evaluations of all partitions share it, so that
/// each of them gives up its place once in a while.
#[derive(Debug)]
struct Turn {
    start: Instant,
    /// Milliseconds from `start` to the end of the turn.
    ends_at: AtomicU64,
}

impl Turn {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            ends_at: AtomicU64::new(TURN_TIME_MAX.as_millis() as u64),
        }
    }

    /// Whether the turn is over; the next one begins then.
    fn is_over(&self) -> bool {
        let now = self.start.elapsed().as_millis() as u64;
        if now < self.ends_at.load(Ordering::Relaxed) {
            return false;
        }
        self.ends_at
            .store(now + TURN_TIME_MAX.as_millis() as u64, Ordering::Relaxed);
        true
    }
}

/// An expression that fails once its statement is stopped, and that lets other queries run while its
/// join does not return.
#[derive(Debug)]
struct Stoppable {
    inner: Arc<dyn PhysicalExpr>,
    control: Arc<StatementControl>,
    turn: Arc<Turn>,
}

impl PartialEq for Stoppable {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Stoppable {}

impl Hash for Stoppable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Stoppable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Stoppable {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.control.check().map_err(DataFusionError::from)?;
        if self.turn.is_over() && on_worker_thread() {
            return tokio::task::block_in_place(|| self.inner.evaluate(batch));
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children
            .into_iter()
            .next()
            .unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self {
            inner,
            control: Arc::clone(&self.control),
            turn: Arc::clone(&self.turn),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
