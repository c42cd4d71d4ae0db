//! Makes fits stop with their statement.
//!
//! An aggregate returns to its caller when its last group is done, which can be minutes of fits away.
//! So the operators that fit are polled where the fits can ask whether their statement is stopped.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, WindowExpr,
};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics,
    StatisticsArgs,
};
use datafusion_functions_loyalty::{Interrupt, interruptible};
use futures::StreamExt;
use futures::stream::poll_fn;

use super::guard;

/// The rule; see the module.
#[derive(Debug)]
pub(super) struct InterruptFits;

impl PhysicalOptimizerRule for InterruptFits {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(control) = guard::current() else {
            return Ok(plan);
        };
        let interrupt = Interrupt::new(move || control.check().map_err(DataFusionError::from));
        plan.transform_up(|input| {
            if !fits(input.as_ref()) {
                return Ok(Transformed::no(input));
            }
            let interrupt = interrupt.clone();
            let wrapped = InterruptibleExec { input, interrupt };
            Ok(Transformed::yes(Arc::new(wrapped) as _))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "interrupt_fits"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether an operator evaluates an aggregate that searches for parameters.
fn fits(plan: &dyn ExecutionPlan) -> bool {
    let of_windows = |windows: &[Arc<dyn WindowExpr>]| {
        let aggregates = windows
            .iter()
            .filter_map(|window| aggregate_of(window.as_ref()));
        aggregates.into_iter().any(is_fit)
    };
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return aggregate.aggr_expr().iter().any(|call| is_fit(call));
    }
    if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        return of_windows(window.window_expr());
    }
    plan.downcast_ref::<BoundedWindowAggExec>()
        .is_some_and(|window| of_windows(window.window_expr()))
}

fn aggregate_of(window: &dyn WindowExpr) -> Option<&AggregateFunctionExpr> {
    let plain = window.as_any().downcast_ref::<PlainAggregateWindowExpr>();
    let sliding = window.as_any().downcast_ref::<SlidingAggregateWindowExpr>();
    plain
        .map(PlainAggregateWindowExpr::get_aggregate_expr)
        .or_else(|| sliding.map(SlidingAggregateWindowExpr::get_aggregate_expr))
}

fn is_fit(call: &AggregateFunctionExpr) -> bool {
    let name = call.fun().name();
    name == "clv" || name.ends_with("_fit")
}

/// Passes on what its input gives; while that is polled, fits see the interrupt.
#[derive(Debug)]
struct InterruptibleExec {
    input: Arc<dyn ExecutionPlan>,
    interrupt: Interrupt,
}

impl DisplayAs for InterruptibleExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InterruptibleExec")
    }
}

impl ExecutionPlan for InterruptibleExec {
    fn name(&self) -> &'static str {
        "InterruptibleExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next();
        let input = input.unwrap_or_else(|| Arc::clone(&self.input));
        let interrupt = self.interrupt.clone();
        Ok(Arc::new(Self { input, interrupt }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut stream = self.input.execute(partition, context)?;
        let schema = stream.schema();
        let interrupt = self.interrupt.clone();
        let polled =
            poll_fn(move |task| interruptible(&interrupt, || stream.poll_next_unpin(task)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, polled)))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(Arc::clone(input)),
            _ => internal_err!("an operator with one input has {}", inputs.len()),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
