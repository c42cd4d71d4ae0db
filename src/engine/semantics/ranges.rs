//! Numbers that meet in a list, a range or a CASE: a numeric beside a float becomes a float.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Between, Case, Cast, InList, InSubquery};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast as cast_to,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use super::operators::{as_type, common_float, exact_number, is_string_constant, read_beside};
use super::{rewrite_expressions, type_of};
use crate::engine::casts;
use crate::engine::numeric::{common, shape};

/// Before types are coerced.
#[derive(Debug)]
pub(in crate::engine) struct MeetNumbers;

impl AnalyzerRule for MeetNumbers {
    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| {
            let expr = match expr {
                Expr::InSubquery(membership) => return among_floats(membership, schema),
                other => other,
            };
            let mut expr = with_constants_read(expr, schema)?;
            if let Expr::Case(case) = &mut expr {
                read_results(case, schema, options)?;
            }
            Ok(rewrite(expr, schema))
        })
    }

    fn name(&self) -> &'static str {
        "meet_numbers"
    }
}

/// A float among numerics of a subquery, or the other way round: both are compared as floats.
fn among_floats(membership: InSubquery, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let of_value = type_of(&membership.expr, schema)?;
    let rows = membership.subquery.subquery.schema();
    let (qualifier, field) = rows.qualified_field(0);
    let of_rows = field.data_type().clone();
    let is_decimal = of_value.is_decimal() || of_rows.is_decimal();
    let Some(float) = common_float(&of_value, &of_rows).filter(|_| is_decimal) else {
        return Ok(Transformed::no(Expr::InSubquery(membership)));
    };
    let column = Column::from((qualifier, field));
    let name = column.name.clone();
    let InSubquery {
        expr,
        mut subquery,
        negated,
    } = membership;
    if of_rows != float {
        let item = cast_to(Expr::Column(column), float.clone()).alias(name);
        let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
        subquery.subquery = Arc::new(plan.project(vec![item])?.build()?);
    }
    let expr = Box::new(as_type(*expr, &of_value, &float));
    Ok(Transformed::yes(Expr::InSubquery(InSubquery {
        expr,
        subquery,
        negated,
    })))
}

/// The items of a list, or the values of a CASE, that are strings beside a value of another type.
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
        Expr::Case(Case {
            expr: Some(operand),
            when_then_expr,
            else_expr,
        }) => {
            let when_then_expr = when_then_expr
                .into_iter()
                .map(|(when, then)| match is_string_constant(&when) {
                    true => Ok((Box::new(read_beside(*when, &operand, schema)?), then)),
                    false => Ok((when, then)),
                })
                .collect::<Result<Vec<_>>>()?;
            Ok(Expr::Case(Case::new(
                Some(operand),
                when_then_expr,
                else_expr,
            )))
        }
        Expr::Between(between) => {
            let Between {
                expr,
                negated,
                low,
                high,
            } = between;
            let parts = numbers_read(vec![*expr, *low, *high], schema)?;
            let mut parts = parts.into_iter().map(Box::new);
            match (parts.next(), parts.next(), parts.next()) {
                (Some(expr), Some(low), Some(high)) => {
                    Ok(Expr::Between(Between::new(expr, negated, low, high)))
                }
                _ => Ok(Expr::Literal(ScalarValue::Boolean(None), None)),
            }
        }
        Expr::ScalarFunction(mut call) if has_one_type(call.func.name()) => {
            call.args = numbers_read(call.args, schema)?;
            Ok(Expr::ScalarFunction(call))
        }
        other => Ok(other),
    }
}

/// Expressions of one type, strings among them read as numbers if one of the others is numeric.
fn numbers_read(parts: Vec<Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
    let is_numeric = |part: &Expr| type_of(part, schema).is_ok_and(|of| of.is_decimal());
    if !parts.iter().any(is_string_constant) || !parts.iter().any(is_numeric) {
        return Ok(parts);
    }
    let read = |part: Expr| match is_string_constant(&part) {
        true => exact_number(&part),
        false => Ok(part),
    };
    parts.into_iter().map(read).collect()
}

/// The results of a CASE that are strings beside results of another type, which they are read as.
fn read_results(case: &mut Case, schema: &DFSchema, options: &ConfigOptions) -> Result<()> {
    let mut results: Vec<&mut Expr> = case
        .when_then_expr
        .iter_mut()
        .map(|(_, then)| then.as_mut())
        .chain(case.else_expr.as_deref_mut())
        .collect();
    if !results.iter().any(|result| is_string_constant(result)) {
        return Ok(());
    }
    let mut common: Option<FieldRef> = None;
    for result in results.iter().filter(|result| !is_string_constant(result)) {
        let Ok((_, field)) = result.to_field(schema) else {
            return Ok(());
        };
        match &common {
            _ if field.data_type().is_null() => {}
            None => common = Some(field),
            Some(so_far) if so_far.data_type() == field.data_type() => {}
            Some(so_far) => {
                let both = [so_far.data_type().clone(), field.data_type().clone()];
                let Some(met) = target(&both) else {
                    return Ok(());
                };
                common = Some(Arc::new(Field::new("", met, true)));
            }
        }
    }
    let Some(field) = common.filter(|field| !field.data_type().is_string()) else {
        return Ok(());
    };
    for result in &mut results {
        if is_string_constant(result) {
            **result = match field.data_type().is_decimal() {
                true => exact_number(result)?,
                false => casts::constant(result, &field, options)?,
            };
        }
    }
    Ok(())
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
