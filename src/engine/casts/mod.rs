//! Casts as PostgreSQL does them: which pairs of types there are, and what becomes of each value.
//!
//! [`SqlTypes`] marks the type of a cast that was written, [`PlanCasts`] turns such casts into calls of
//! [`function::PgCast`] unless Arrow's cast gives the same. Dates and times are cast by DataFusion.

mod convert;
mod function;
mod types;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ExprSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF, cast as cast_to};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

pub(super) use types::{SqlTypes, is_marked};

use super::kept_types::is_kept;
use super::semantics::rewrite_expressions;
use crate::error::Error;
use crate::values::types::{self as pg, PgType, column_type};

/// Gives the casts of a plan PostgreSQL's meaning; comes before types are coerced.
#[derive(Debug)]
pub(super) struct PlanCasts;

impl AnalyzerRule for PlanCasts {
    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = rewrite_expressions(plan, &|expr, schema| match expr {
            Expr::Cast(cast) if is_marked(&cast.field) && !is_kept(&cast.field) => {
                planned(cast, schema, options).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })?;
        plan.transform_up_with_subqueries(with_one_type).data()
    }

    fn name(&self) -> &'static str {
        "plan_casts"
    }
}

/// Whether a function is a cast to a type of text.
pub(super) fn is_cast_to_text(function: &ScalarUDF) -> bool {
    let cast = function.inner().downcast_ref::<function::PgCast>();
    cast.is_some_and(function::PgCast::is_to_text)
}

/// VALUES whose constants have become numerics of scales of their own: each column has one type.
fn with_one_type(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Values(mut values) = plan else {
        return Ok(Transformed::no(plan));
    };
    let schema = Arc::clone(&values.schema);
    let mut changed = false;
    for row in &mut values.values {
        for (cell, field) in row.iter_mut().zip(schema.fields()) {
            let bare = match &*cell {
                Expr::Alias(alias) => alias.expr.as_ref(),
                other => other,
            };
            let of = bare.get_type(schema.as_ref())?;
            if !of.is_decimal() || !field.data_type().is_decimal() || of == *field.data_type() {
                continue;
            }
            *cell = match bare {
                Expr::Literal(value, metadata) => {
                    Expr::Literal(value.cast_to(field.data_type())?, metadata.clone())
                }
                other => cast_to(other.clone(), field.data_type().clone()),
            };
            changed = true;
        }
    }
    Ok(Transformed::new_transformed(
        LogicalPlan::Values(values),
        changed,
    ))
}

/// A string constant read as a value of the type that PostgreSQL would take it for.
pub(super) fn constant(value: &Expr, target: &FieldRef, options: &ConfigOptions) -> Result<Expr> {
    match value {
        Expr::Literal(text, _) => evaluated(text, &unknown(), target, options),
        other => Ok(other.clone()),
    }
}

/// The type of a string constant without a cast.
fn unknown() -> FieldRef {
    Arc::new(Field::new("", DataType::Utf8, true))
}

fn planned(cast: Cast, schema: &dyn ExprSchema, options: &ConfigOptions) -> Result<Expr> {
    let Cast { expr, field } = cast;
    let Ok((_, source)) = expr.to_field(schema) else {
        return Ok(Expr::Cast(Cast { expr, field }));
    };
    if let Expr::Literal(value, metadata) = expr.as_ref()
        && !matches!(
            value.data_type(),
            DataType::Date32 | DataType::Timestamp(..)
        )
    {
        let untyped =
            value.data_type().is_null() || (value.data_type().is_string() && metadata.is_none());
        if !untyped {
            check_pair(&source, &field)?;
        }
        return evaluated(value, &source, &field, options);
    }
    if source.data_type().is_null() {
        return Ok(Expr::Cast(Cast { expr, field }));
    }
    check_pair(&source, &field)?;
    let field = types::settled(&source, &field);
    if convert::is_arrows(&source, &field) {
        return Ok(Expr::Cast(Cast { expr, field }));
    }
    let function = Arc::new(ScalarUDF::new_from_impl(function::PgCast::new(field)));
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(
        function,
        vec![*expr],
    )))
}

fn evaluated(
    value: &ScalarValue,
    source: &FieldRef,
    target: &FieldRef,
    options: &ConfigOptions,
) -> Result<Expr> {
    let target = types::settled_for(value, source, target);
    let metadata = FieldMetadata::from(target.metadata());
    if value.is_null() {
        let null = ScalarValue::try_from(target.data_type())?;
        return Ok(Expr::Literal(null, Some(metadata)));
    }
    let array = value.to_array()?;
    let forms = function::Forms::of(options);
    let array = convert::array(&array, source, &target, &forms).map_err(|error| {
        match (value.try_as_str(), source.metadata().is_empty()) {
            (Some(Some(text)), true) => Error::from(error).with_constant(text).into(),
            _ => error,
        }
    })?;
    let value = ScalarValue::try_from_array(&array, 0)?;
    Ok(Expr::Literal(value, Some(metadata)))
}

/// 42846 for types between which PostgreSQL has no cast.
fn check_pair(source: &FieldRef, target: &FieldRef) -> Result<()> {
    let (from, to) = (column_type(source).0, column_type(target).0);
    if has_cast(from, to) {
        return Ok(());
    }
    let (from, to) = (from.sql_name(), to.sql_name());
    Err(Error::cannot_coerce(format!("cannot cast type {from} to {to}")).into())
}

/// Whether PostgreSQL casts the one type to the other when asked to.
fn has_cast(from: PgType, to: PgType) -> bool {
    let is_text = |of: PgType| {
        [
            pg::TEXT,
            pg::VARCHAR,
            pg::BPCHAR,
            pg::NAME,
            pg::CHAR,
            pg::UNKNOWN,
        ]
        .contains(&of)
    };
    if from == to || is_text(from) || is_text(to) {
        return true;
    }
    let integers = [pg::INT2, pg::INT4, pg::INT8];
    let is_object = |of: PgType| of == pg::OID || pg::REG_TYPES.contains(&of);
    match (pg::element_of(from), pg::element_of(to)) {
        (Some(from), Some(to)) => return has_cast(from, to),
        (None, None) => {}
        (None, Some(_)) if pg::vector_element(from).is_some() => {}
        _ => return false,
    }
    match (from, to) {
        (from, to) if pg::NUMBERS.contains(&from) && pg::NUMBERS.contains(&to) => true,
        (pg::BOOL, to) => to == pg::INT4,
        (from, pg::BOOL) => from == pg::INT4 || from == pg::JSONB,
        (pg::INT2VECTOR, to) => to == pg::INT2_ARRAY,
        (pg::OIDVECTOR, to) => pg::element_of(to).is_some_and(|to| has_cast(pg::OID, to)),
        (from, to) if is_object(from) => to == pg::INT4 || to == pg::INT8 || is_object(to),
        (from, to) if is_object(to) => integers.contains(&from),
        (pg::JSON, to) => to == pg::JSONB,
        (pg::JSONB, to) => to == pg::JSON || pg::NUMBERS.contains(&to),
        _ => false,
    }
}
