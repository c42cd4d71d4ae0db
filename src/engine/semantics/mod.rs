//! Where DataFusion computes what PostgreSQL would not: rewritten while a plan is analysed.
//!
//! * Intervals are compared by their length, a month counting 30 days and a day 24 hours. DataFusion
//!   compares months first, then days, then the rest: 28 days in hours would be less than one day.
//! * A date less a date is a number of days.
//! * Numbers that leave their type are an error ([`overflow`]).
//! * Text is not compared with numbers and dates ([`kinds`]).
//! * Numbers in lists, ranges and CASE meet as [`operators`] lets them meet in an operator.

mod kinds;
mod operators;
mod overflow;
mod ranges;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::expr::{Between, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast as cast_to,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

pub(super) use kinds::Kinds;
pub(super) use operators::{
    NumberOperators, is_arithmetic, is_comparison as compares, is_string_constant, read_beside,
};
pub(super) use overflow::CheckOverflow;
pub(super) use ranges::MeetNumbers;

const DAYS_PER_MONTH: i128 = 30;
const NANOSECONDS_PER_DAY: i128 = 86_400_000_000_000;

/// Before types are coerced: intervals and dates.
#[derive(Debug)]
pub(super) struct CompareIntervals {
    length: Arc<ScalarUDF>,
}

impl CompareIntervals {
    /// The rule.
    pub(super) fn new() -> Self {
        Self {
            length: Arc::new(ScalarUDF::new_from_impl(IntervalLength::new())),
        }
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if is_comparison(op) || op == Operator::Minus =>
            {
                let types = (type_of(&left, schema), type_of(&right, schema));
                let (Ok(of_left), Ok(of_right)) = types else {
                    return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }));
                };
                if is_comparison(op) && spans(&[&of_left, &of_right]) {
                    let left = Box::new(self.length_of(*left, &of_left));
                    let right = Box::new(self.length_of(*right, &of_right));
                    return Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }));
                }
                if op == Operator::Minus
                    && of_left == DataType::Date32
                    && of_right == DataType::Date32
                {
                    let left = Box::new(cast_to(*left, DataType::Int32));
                    let right = Box::new(cast_to(*right, DataType::Int32));
                    return Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }));
                }
                Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))
            }
            Expr::Between(Between {
                expr,
                negated,
                low,
                high,
            }) => {
                let types = (
                    expr.get_type(schema),
                    low.get_type(schema),
                    high.get_type(schema),
                );
                match types {
                    (Ok(a), Ok(b), Ok(c)) if spans(&[&a, &b, &c]) => {
                        let expr = Box::new(self.length_of(*expr, &a));
                        let low = Box::new(self.length_of(*low, &b));
                        let high = Box::new(self.length_of(*high, &c));
                        Transformed::yes(Expr::Between(Between {
                            expr,
                            negated,
                            low,
                            high,
                        }))
                    }
                    _ => Transformed::no(Expr::Between(Between {
                        expr,
                        negated,
                        low,
                        high,
                    })),
                }
            }
            other => Transformed::no(other),
        }
    }

    fn length_of(&self, expr: Expr, data_type: &DataType) -> Expr {
        let expr = match is_span(data_type) {
            true => expr,
            false => cast_to(expr, DataType::Interval(IntervalUnit::MonthDayNano)),
        };
        Expr::ScalarFunction(ScalarFunction::new_udf(
            Arc::clone(&self.length),
            vec![expr],
        ))
    }
}

impl AnalyzerRule for CompareIntervals {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| Ok(self.rewrite(expr, schema)))
    }

    fn name(&self) -> &'static str {
        "compare_intervals"
    }
}

/// Rewrites every expression of a plan and its subqueries; names of columns stay.
pub(super) fn rewrite_expressions(
    plan: LogicalPlan,
    rewrite: &dyn Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let mut schema = merge_schema(&plan.inputs());
        if plan.inputs().is_empty() {
            schema.merge(plan.schema());
        }
        let schema: DFSchemaRef = Arc::new(schema);
        let names = NamePreserver::new(&plan);
        let rewritten = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| rewrite(expr, &schema))?;
            Ok(match rewritten.transformed {
                true => rewritten.update_data(|expr| name.restore(expr)),
                false => rewritten,
            })
        })?;
        match rewritten.transformed {
            true => rewritten.map_data(LogicalPlan::recompute_schema),
            false => Ok(rewritten),
        }
    })
    .data()
}

/// The type of an expression. The planner's own way asks for the types of both operands of each operator
/// of a chain, for each of its operators; here a chain is walked once, and most steps cost nothing.
pub(super) fn type_of(expr: &Expr, schema: &DFSchema) -> Result<DataType> {
    let mut steps = Vec::new();
    let mut first = expr;
    loop {
        first = match first {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                steps.push((op, right.as_ref()));
                left.as_ref()
            }
            Expr::ScalarFunction(call)
                if call.func.name().starts_with("checked_") && call.args.len() == 2 =>
            {
                &call.args[1]
            }
            _ => break,
        };
    }
    let mut so_far = first.get_type(schema)?;
    for (operator, right) in steps.into_iter().rev() {
        let right = match right {
            Expr::BinaryExpr(_) | Expr::ScalarFunction(_) => type_of(right, schema)?,
            other => other.get_type(schema)?,
        };
        if so_far != right || !keeps_type(*operator, &so_far) {
            so_far = BinaryTypeCoercer::new(&so_far, operator, &right).get_result_type()?;
        }
    }
    Ok(so_far)
}

/// Whether two values of a type give a third of it.
fn keeps_type(operator: Operator, of: &DataType) -> bool {
    match operator {
        Operator::Plus
        | Operator::Minus
        | Operator::Multiply
        | Operator::Divide
        | Operator::Modulo => {
            of.is_signed_integer() || matches!(of, DataType::Float32 | DataType::Float64)
        }
        Operator::And | Operator::Or => *of == DataType::Boolean,
        _ => false,
    }
}

fn is_comparison(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn is_span(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
}

/// Whether a comparison of these types is one of intervals: texts beside one are read as intervals.
fn spans(types: &[&DataType]) -> bool {
    types.iter().any(|data_type| is_span(data_type))
        && types
            .iter()
            .all(|data_type| is_span(data_type) || data_type.is_string() || data_type.is_null())
}

/// The length of an interval in nanoseconds, as PostgreSQL compares intervals.
#[derive(Debug, PartialEq, Eq, Hash)]
struct IntervalLength {
    signature: Signature,
}

impl IntervalLength {
    fn new() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for IntervalLength {
    fn name(&self) -> &'static str {
        "interval_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(38, 0))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = matches!(args.args.first(), Some(ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let spans = cast(&arrays[0], &DataType::Interval(IntervalUnit::MonthDayNano))?;
        let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
        let lengths: Decimal128Array = spans
            .iter()
            .map(|span| {
                span.map(|span| {
                    let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(span);
                    (i128::from(months) * DAYS_PER_MONTH + i128::from(days)) * NANOSECONDS_PER_DAY
                        + i128::from(nanos)
                })
            })
            .collect();
        let lengths = Arc::new(lengths.with_precision_and_scale(38, 0)?) as ArrayRef;
        match scalar && lengths.len() == 1 {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &lengths, 0,
            )?)),
            false => Ok(ColumnarValue::Array(lengths)),
        }
    }
}
