//! Comparisons between text and other types, which PostgreSQL has not: what one side is cast to would be
//! a guess.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::operators::is_comparison;
use crate::error::Error;
use crate::values::types::{self as pg, PgType, column_type};

/// Refuses to compare text with numbers, dates, times and truth values.
#[derive(Debug)]
pub(in crate::engine) struct Kinds;

impl ExprPlanner for Kinds {
    fn plan_binary_op(
        &self,
        raw: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if !is_comparison(&raw.op) {
            return Ok(PlannerResult::Original(raw));
        }
        let sides = (known(&raw.left, schema), known(&raw.right, schema));
        if let (Some(left), Some(right)) = sides
            && is_text(left) != is_text(right)
        {
            let operator = match raw.op {
                BinaryOperator::NotEq => "<>".to_owned(),
                ref other => other.to_string(),
            };
            let (left, right) = (left.sql_name(), right.sql_name());
            return Err(Error::undefined_function(format!(
                "operator does not exist: {left} {operator} {right}"
            ))
            .with_hint(
                "No operator matches the given name and argument types. You might need to add \
                 explicit type casts.",
            )
            .into());
        }
        Ok(PlannerResult::Original(raw))
    }
}

fn is_text(of: PgType) -> bool {
    [pg::TEXT, pg::VARCHAR, pg::BPCHAR].contains(&of)
}

/// The type of a column, parameter, number or written cast, if it is text or one of those that are never
/// held as text. What else there is may be of another type to PostgreSQL than to the engine.
fn known(expr: &Expr, schema: &DFSchema) -> Option<PgType> {
    let of = match expr {
        Expr::Cast(cast) => column_type(&cast.field).0,
        Expr::Placeholder(Placeholder {
            field: Some(field), ..
        }) => column_type(field).0,
        // Text in a catalog may stand for a name or an object.
        Expr::Column(_) => {
            let (_, field) = expr.to_field(schema).ok()?;
            let (of, _) = column_type(&field);
            return Some(of).filter(|of| !is_text(*of) && is_plain(*of));
        }
        Expr::Literal(value, None) if is_number(&value.data_type()) && !value.is_null() => {
            column_type(&Field::new("", value.data_type(), false)).0
        }
        _ => return None,
    };
    (is_text(of) || is_plain(of)).then_some(of)
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_signed_integer() || data_type.is_floating() || data_type.is_decimal()
}

fn is_plain(of: PgType) -> bool {
    [
        pg::BOOL,
        pg::INT2,
        pg::INT4,
        pg::INT8,
        pg::FLOAT4,
        pg::FLOAT8,
        pg::NUMERIC,
        pg::DATE,
        pg::TIMESTAMP,
        pg::TIMESTAMPTZ,
    ]
    .contains(&of)
}
