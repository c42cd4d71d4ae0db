//! Types that Arrow's do not tell, kept in arrays and their elements, where DataFusion forgets the metadata
//! of fields, and constants that are read as arrays.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ExprSchema};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use super::casts;
use super::functions::lists::SUBSCRIPT;
use super::semantics::rewrite_expressions;
use crate::catalog::functions::lists::{SUBQUERY_ARRAY, SUBQUERY_VALUE};
use crate::catalog::pg_type::PG_TYPE_METADATA;
use crate::values::digits::PG_TYPMOD_METADATA;
use crate::values::types::{self as pg, PgType, array_of, column_type, element_of, vector_element};

/// The metadata of a type.
type Mark = HashMap<String, String>;

/// Keys of the metadata that tell a type.
const KEYS: &[&str] = &[
    PG_TYPE_METADATA,
    PG_TYPMOD_METADATA,
    "ARROW:extension:name",
    "ARROW:extension:metadata",
];

/// The name of the field of a cast that only names a type.
const KEPT: &str = "kept";

/// Whether a cast changes no value.
pub(super) fn is_kept(field: &Field) -> bool {
    field.name() == KEPT
}

/// Casts such expressions to the type that they have in PostgreSQL; goes before casts are planned.
#[derive(Debug)]
pub(super) struct KeepTypes;

impl AnalyzerRule for KeepTypes {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| {
            let read = with_arrays_read(expr, schema)?;
            read.transform_data(|expr| Ok(kept(expr, schema)))
        })
    }

    fn name(&self) -> &'static str {
        "keep_types"
    }
}

/// The type of an aggregate's value, if Arrow's does not tell it.
pub(super) fn of_aggregate(aggregate: &Expr, schema: &dyn ExprSchema) -> Option<Mark> {
    let aggregate = match aggregate {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    };
    let Expr::AggregateFunction(call) = aggregate else {
        return None;
    };
    let (_, field) = call.params.args.first()?.to_field(schema).ok()?;
    match call.func.name() {
        "array_agg" => array_mark(&field),
        "min" | "max" if [pg::OID, pg::BPCHAR, pg::INET].contains(&column_type(&field).0) => {
            mark(&field)
        }
        _ => None,
    }
}

/// Constants beside arrays in a CASE, such as `'{}'`, are read as arrays.
fn with_arrays_read(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::Case(mut case) = expr else {
        return Ok(Transformed::no(expr));
    };
    let values = || {
        let branches = case.when_then_expr.iter().map(|(_, value)| value);
        branches.chain(&case.else_expr)
    };
    let array = values().find_map(|value| {
        let (_, field) = value.to_field(schema).ok()?;
        matches!(field.data_type(), DataType::List(_)).then_some(field)
    });
    let Some(array) = array.filter(|_| values().any(|value| is_open(value))) else {
        return Ok(Transformed::no(Expr::Case(case)));
    };
    let branches = case.when_then_expr.iter_mut().map(|(_, value)| value);
    for value in branches.chain(&mut case.else_expr) {
        if is_open(value) {
            **value = casts::constant(value, &array, &ConfigOptions::default())?;
        }
    }
    Ok(Transformed::yes(Expr::Case(case)))
}

fn kept(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let mark = match &expr {
        Expr::ScalarFunction(call) => of_call(call, schema),
        Expr::ScalarSubquery(query) => query
            .subquery
            .schema()
            .fields()
            .first()
            .and_then(|field| mark(field)),
        _ => None,
    };
    match (mark, expr.get_type(schema)) {
        (Some(mark), Ok(data_type)) => {
            let field = Field::new(KEPT, data_type, true).with_metadata(mark);
            Transformed::yes(Expr::Cast(Cast {
                expr: Box::new(expr),
                field: Arc::new(field),
            }))
        }
        _ => Transformed::no(expr),
    }
}

fn of_call(call: &ScalarFunction, schema: &DFSchema) -> Option<Mark> {
    let first = || Some(call.args.first()?.to_field(schema).ok()?.1);
    match call.func.name() {
        "array_slice" | "array_remove" | "array_append" | "trim_array" | SUBQUERY_ARRAY => {
            let field = first()?;
            element_of(column_type(&field).0).and_then(|_| mark(&field))
        }
        "array_element" | SUBSCRIPT | SUBQUERY_VALUE => element_mark(&first()?),
        _ => None,
    }
}

fn is_open(value: &Expr) -> bool {
    matches!(
        value,
        Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Utf8View(_), None)
    )
}

/// The metadata that tells a field's type; none where Arrow's type tells it.
fn mark(field: &Field) -> Option<Mark> {
    let told = |key: &&str| Some(((*key).to_owned(), field.metadata().get(*key)?.clone()));
    let mark: Mark = KEYS.iter().filter_map(told).collect();
    (!mark.is_empty()).then_some(mark)
}

fn named(pg_type: PgType) -> Mark {
    HashMap::from([(PG_TYPE_METADATA.to_owned(), pg_type.name.to_owned())])
}

fn element_mark(list: &FieldRef) -> Option<Mark> {
    mark(list)?;
    let of = column_type(list).0;
    let element = element_of(of).or_else(|| vector_element(of))?;
    // Arrays of several dimensions have elements that are arrays, of the same type.
    let is_array = match list.data_type() {
        DataType::List(item) => matches!(item.data_type(), DataType::List(_)),
        _ => false,
    };
    Some(named(if is_array { of } else { element }))
}

fn array_mark(element: &FieldRef) -> Option<Mark> {
    mark(element)?;
    let of = column_type(element).0;
    match element_of(of) {
        Some(_) => Some(named(of)),
        None => array_of(of).map(named),
    }
}
