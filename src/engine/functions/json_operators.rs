//! The operators of json and jsonb, planned as functions by the types of their operands.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::json::{self, is_json, is_jsonb};
use super::json_edit;
use super::rowwise::functions;

/// Functions that operators become.
const FUNCTIONS: &[&str] = &[
    "json_array_element",
    "json_array_element_text",
    "json_object_field",
    "json_object_field_text",
    "json_path_array",
    "json_path_array_text",
    "jsonb_array_element",
    "jsonb_array_element_text",
    "jsonb_concat",
    "jsonb_contains",
    "jsonb_delete",
    "jsonb_delete_path",
    "jsonb_exists",
    "jsonb_exists_all",
    "jsonb_exists_any",
    "jsonb_object_field",
    "jsonb_object_field_text",
    "jsonb_path_array",
    "jsonb_path_array_text",
];

/// Plans the operators.
#[derive(Debug)]
pub(crate) struct JsonOperators(HashMap<&'static str, Arc<ScalarUDF>>);

impl JsonOperators {
    /// The planner.
    pub(crate) fn new() -> Self {
        let known = functions(&[
            json::JSONB_READERS,
            json::JSON_READERS,
            json::SPECS,
            json_edit::SPECS,
        ]);
        let wanted = |function: ScalarUDF| {
            let name = FUNCTIONS.iter().find(|name| **name == function.name())?;
            Some((*name, Arc::new(function)))
        };
        Self(known.into_iter().filter_map(wanted).collect())
    }
}

/// The end of the function's name, and whether only jsonb has the operator.
fn suffix(op: &BinaryOperator, by_index: bool) -> Option<(&'static str, bool)> {
    Some(match (op, by_index) {
        (BinaryOperator::Arrow, false) => ("_object_field", false),
        (BinaryOperator::Arrow, true) => ("_array_element", false),
        (BinaryOperator::LongArrow, false) => ("_object_field_text", false),
        (BinaryOperator::LongArrow, true) => ("_array_element_text", false),
        (BinaryOperator::HashArrow, _) => ("_path_array", false),
        (BinaryOperator::HashLongArrow, _) => ("_path_array_text", false),
        (BinaryOperator::AtArrow | BinaryOperator::ArrowAt, _) => ("_contains", true),
        (BinaryOperator::Question, _) => ("_exists", true),
        (BinaryOperator::QuestionAnd, _) => ("_exists_all", true),
        (BinaryOperator::QuestionPipe, _) => ("_exists_any", true),
        (BinaryOperator::HashMinus, _) => ("_delete_path", true),
        (BinaryOperator::Minus, _) => ("_delete", true),
        (BinaryOperator::StringConcat, _) => ("_concat", true),
        _ => return None,
    })
}

/// Whether an expression can have a value of type json or jsonb: those of operators that were not planned
/// as functions have not, nor have numbers.
fn may_be_json(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(_) => false,
        Expr::Literal(value, _) => value.data_type().is_string() || value.is_null(),
        _ => true,
    }
}

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        // A field is named after its whole expression: asked for each operator of a long chain, that
        // is many times the chain.
        if suffix(&expr.op, false).is_none()
            || !(may_be_json(&expr.left) || may_be_json(&expr.right))
        {
            return Ok(PlannerResult::Original(expr));
        }
        let fields = (expr.left.to_field(schema), expr.right.to_field(schema));
        let (Ok((_, left)), Ok((_, right))) = fields else {
            return Ok(PlannerResult::Original(expr));
        };
        let Some((suffix, binary)) = suffix(&expr.op, right.data_type().is_integer()) else {
            return Ok(PlannerResult::Original(expr));
        };
        let jsonb = is_jsonb(&left) || (binary && is_jsonb(&right));
        // What an arrow reads is always JSON: no other type has the operator.
        let arrow = !binary && (is_json(&left) || left.data_type().is_string());
        if !jsonb && !arrow {
            return Ok(PlannerResult::Original(expr));
        }
        let name = format!("{}{suffix}", if jsonb { "jsonb" } else { "json" });
        let Some(function) = self.0.get(name.as_str()) else {
            return Ok(PlannerResult::Original(expr));
        };
        let mut arguments = vec![expr.left, expr.right];
        if matches!(expr.op, BinaryOperator::ArrowAt) {
            arguments.reverse();
        }
        let call = ScalarFunction::new_udf(Arc::clone(function), arguments);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}
