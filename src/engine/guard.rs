//! Stops planning between rules: a planner that is deep in work does not look at cancellation itself.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
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
    PLANNING.with_borrow_mut(|current| *current = Some(Arc::clone(control)));
    PlanningScope(())
}

/// Ends the planning scope of this thread when dropped.
#[derive(Debug)]
pub(crate) struct PlanningScope(());

impl Drop for PlanningScope {
    fn drop(&mut self) {
        PLANNING.with_borrow_mut(|current| *current = None);
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
