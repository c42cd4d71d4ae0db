//! Stops planning between rules: a planner that is deep in work does not look at cancellation itself.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::{PhysicalOptimizerContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;

use super::control::StatementControl;

thread_local! {
    /// The control of the statement that this thread plans. Planning stays on one thread.
    static PLANNING: RefCell<Option<Arc<StatementControl>>> = const { RefCell::new(None) };
}

/// Makes `control` stop what this thread plans until the returned value is dropped.
pub(crate) fn planning(control: &Arc<StatementControl>) -> PlanningScope {
    let before = PLANNING.replace(Some(Arc::clone(control)));
    PlanningScope(before)
}

/// Ends the planning scope of this thread when dropped; the one around it, if there is one, goes on.
#[derive(Debug)]
pub(crate) struct PlanningScope(Option<Arc<StatementControl>>);

impl Drop for PlanningScope {
    fn drop(&mut self) {
        PLANNING.set(self.0.take());
    }
}

/// The control of the statement that this thread plans, if it plans one.
pub(super) fn current() -> Option<Arc<StatementControl>> {
    PLANNING.with_borrow(Clone::clone)
}

fn check() -> Result<()> {
    current().map_or(Ok(()), |control| {
        control.check().map_err(DataFusionError::from)
    })
}

/// A rule that first looks whether its statement was stopped.
#[derive(Debug)]
struct Guarded<R: ?Sized>(Arc<R>);

impl AnalyzerRule for Guarded<dyn AnalyzerRule + Send + Sync> {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        check()?;
        self.0.analyze(plan, config)
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

/// The rule that makes two groupings of `count(DISTINCT x), sum(y)`.
const SINGLE_DISTINCT: &str = "single_distinct_aggregation_to_group_by";

/// Whether a plan adds up. The rule would make a sum of sums, and PostgreSQL's sum has a wider type
/// than what it adds, so that the result would change its type.
fn sums(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Aggregate(aggregate) = plan else {
        return false;
    };
    aggregate.aggr_expr.iter().any(|expr| {
        expr.exists(|expr| {
            let is_sum = matches!(expr, Expr::AggregateFunction(call) if call.func.name() == "sum");
            Ok(is_sum)
        })
        .unwrap_or(true)
    })
}

impl OptimizerRule for Guarded<dyn OptimizerRule + Send + Sync> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        check()?;
        if self.0.name() == SINGLE_DISTINCT && sums(&plan) {
            return Ok(Transformed::no(plan));
        }
        self.0.rewrite(plan, config)
    }
}

impl PhysicalOptimizerRule for Guarded<dyn PhysicalOptimizerRule + Send + Sync> {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        check()?;
        self.0.optimize(plan, config)
    }

    fn optimize_with_context(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: &dyn PhysicalOptimizerContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        check()?;
        self.0.optimize_with_context(plan, context)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Analyzer rules that stop with their statement.
pub(crate) fn analyzer(
    rules: &[Arc<dyn AnalyzerRule + Send + Sync>],
) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    rules
        .iter()
        .map(|rule| Arc::new(Guarded(Arc::clone(rule))) as _)
        .collect()
}

/// Optimizer rules that stop with their statement.
pub(crate) fn optimizer(
    rules: &[Arc<dyn OptimizerRule + Send + Sync>],
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    rules
        .iter()
        .map(|rule| Arc::new(Guarded(Arc::clone(rule))) as _)
        .collect()
}

/// Physical optimizer rules that stop with their statement.
pub(crate) fn physical(
    rules: &[Arc<dyn PhysicalOptimizerRule + Send + Sync>],
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    rules
        .iter()
        .map(|rule| Arc::new(Guarded(Arc::clone(rule))) as _)
        .collect()
}
