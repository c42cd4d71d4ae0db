//! Numbers that meet in a list, a range or a CASE: a numeric beside a float becomes a float.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Between, Case, Cast, InList};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use super::operators::{as_type, is_string_constant, read_beside};
use super::{rewrite_expressions, type_of};
use crate::engine::numeric::{common, shape};

/// Before types are coerced.
#[derive(Debug)]
pub(in crate::engine) struct MeetNumbers;

impl AnalyzerRule for MeetNumbers {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| {
            Ok(rewrite(with_constants_read(expr, schema)?, schema))
        })
    }

    fn name(&self) -> &'static str {
        "meet_numbers"
    }
}

/// The items of a list that are strings beside a value of another type.
fn with_constants_read(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) if list.iter().any(is_string_constant) => {
            let list = list
                .into_iter()
                .map(|item| match is_string_constant(&item) {
                    true => read_beside(item, &expr, schema),
                    false => Ok(item),
                })
                .collect::<Result<Vec<_>>>()?;
            Ok(Expr::InList(InList::new(expr, list, negated)))
        }
        other => Ok(other),
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::Between(between) => {
            let Between {
                expr,
                negated,
                low,
                high,
            } = between;
            let mut parts = vec![*expr, *low, *high];
            let changed = meet(&mut parts, schema);
            let mut parts = parts.into_iter().map(Box::new);
            match (parts.next(), parts.next(), parts.next()) {
                (Some(expr), Some(low), Some(high)) => Transformed::new_transformed(
                    Expr::Between(Between::new(expr, negated, low, high)),
                    changed,
                ),
                _ => Transformed::no(Expr::Literal(ScalarValue::Boolean(None), None)),
            }
        }
        Expr::InList(InList {
            expr,
            mut list,
            negated,
        }) => {
            list.push(*expr);
            let changed = meet(&mut list, schema);
            let expr = Box::new(list.pop().unwrap_or_default());
            Transformed::new_transformed(Expr::InList(InList::new(expr, list, negated)), changed)
        }
        Expr::Case(case) => rewrite_case(case, schema),
        Expr::ScalarFunction(mut call) if has_one_type(call.func.name()) => {
            let changed = meet(&mut call.args, schema);
            Transformed::new_transformed(Expr::ScalarFunction(call), changed)
        }
        Expr::Cast(ref cast) if is_constant(cast) => {
            let to = cast.field.data_type().clone();
            match as_type(expr, &DataType::Null, &to) {
                folded @ Expr::Literal(..) => Transformed::yes(folded),
                other => Transformed::no(other),
            }
        }
        other => Transformed::no(other),
    }
}

/// Functions whose arguments all have the type of the result.
fn has_one_type(name: &str) -> bool {
    matches!(name, "coalesce" | "greatest" | "least" | "nullif")
}

/// A number constant with the cast that its type was given by.
fn is_constant(cast: &Cast) -> bool {
    let typed = cast.field.metadata().is_empty()
        && (cast.field.data_type() == &DataType::Int32 || cast.field.data_type().is_decimal());
    typed
        && matches!(
            cast.expr.as_ref(),
            Expr::Literal(
                ScalarValue::Int64(Some(_)) | ScalarValue::Utf8(Some(_)),
                None
            )
        )
}

fn rewrite_case(case: Case, schema: &DFSchema) -> Transformed<Expr> {
    let Case {
        expr,
        when_then_expr,
        else_expr,
    } = case;
    let (whens, mut results): (Vec<_>, Vec<_>) = when_then_expr
        .into_iter()
        .map(|(when, then)| (when, *then))
        .unzip();
    let has_else = else_expr.is_some();
    results.extend(else_expr.map(|expr| *expr));
    let changed = meet(&mut results, schema);
    let else_expr = match has_else {
        true => results.pop().map(Box::new),
        false => None,
    };
    let when_then = whens
        .into_iter()
        .zip(results.into_iter().map(Box::new))
        .collect();
    Transformed::new_transformed(Expr::Case(Case::new(expr, when_then, else_expr)), changed)
}

/// Gives all numbers among the expressions their common type, if floats and others meet or decimals of
/// several types do; says whether it changed one.
fn meet(exprs: &mut [Expr], schema: &DFSchema) -> bool {
    let Ok(types) = exprs
        .iter()
        .map(|expr| type_of(expr, schema))
        .collect::<Result<Vec<_>>>()
    else {
        return false;
    };
    let Some(target) = target(&types) else {
        return false;
    };
    let mut changed = false;
    for (expr, of) in exprs.iter_mut().zip(&types) {
        if !of.is_null() && *of != target {
            *expr = as_type(std::mem::take(expr), of, &target);
            changed = true;
        }
    }
    changed
}

fn target(types: &[DataType]) -> Option<DataType> {
    let mut target: Option<DataType> = None;
    for of in types.iter().filter(|of| !of.is_null()) {
        if !of.is_floating() && shape(of).is_none() {
            return None;
        }
        target = Some(match target {
            None => of.clone(),
            Some(so_far) if so_far == *of => so_far,
            Some(so_far) if so_far.is_floating() || of.is_floating() => DataType::Float64,
            Some(so_far) => match (shape(&so_far), shape(of)) {
                (Some(left), Some(right)) if so_far.is_decimal() || of.is_decimal() => {
                    common(left, right)
                }
                // Whole numbers of several widths are left to the planner.
                _ => return None,
            },
        });
    }
    target
}
