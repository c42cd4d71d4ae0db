//! The columns of a result with the type modifiers that PostgreSQL reports: those of table columns
//! reach the result as long as nothing is computed from them.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::JoinType;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use crate::catalog::pg_type::PG_TYPE_METADATA;
use crate::values::digits::{PG_TYPMOD_METADATA, numeric_typmod};

/// The schema of an analysed plan's result.
pub(super) fn schema(plan: &LogicalPlan) -> SchemaRef {
    let fields: Vec<FieldRef> = plan
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| match declared(field) {
            Some((precision, scale)) if is_table_column(plan, index) => {
                marked(field, numeric_typmod(precision, scale))
            }
            _ => Arc::clone(field),
        })
        .collect();
    let metadata = plan.schema().as_arrow().metadata().clone();
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

fn declared(field: &Field) -> Option<(u8, i8)> {
    match field.data_type() {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

fn marked(field: &Field, typmod: i32) -> FieldRef {
    let mut metadata = field.metadata().clone();
    metadata
        .entry(PG_TYPE_METADATA.to_owned())
        .or_insert_with(|| "numeric".to_owned());
    metadata
        .entry(PG_TYPMOD_METADATA.to_owned())
        .or_insert_with(|| typmod.to_string());
    Arc::new(field.clone().with_metadata(metadata))
}

/// Whether an output column is a column of a table, unchanged.
fn is_table_column(plan: &LogicalPlan, index: usize) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(projection) => projection
            .expr
            .get(index)
            .is_some_and(|expr| is_plain(expr, &projection.input)),
        LogicalPlan::Aggregate(aggregate) => aggregate
            .group_expr
            .get(index)
            .is_some_and(|expr| is_plain(expr, &aggregate.input)),
        LogicalPlan::Filter(filter) => is_table_column(&filter.input, index),
        LogicalPlan::Sort(sort) => is_table_column(&sort.input, index),
        LogicalPlan::Limit(limit) => is_table_column(&limit.input, index),
        LogicalPlan::SubqueryAlias(alias) => is_table_column(&alias.input, index),
        LogicalPlan::Distinct(Distinct::All(input)) => is_table_column(input, index),
        LogicalPlan::Window(window) => {
            index < window.input.schema().fields().len() && is_table_column(&window.input, index)
        }
        LogicalPlan::Union(union) => union
            .inputs
            .iter()
            .all(|input| is_table_column(input, index)),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti => is_table_column(&join.right, index),
                _ if index < left => is_table_column(&join.left, index),
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => false,
                _ => is_table_column(&join.right, index - left),
            }
        }
        _ => false,
    }
}

fn is_plain(expr: &Expr, input: &LogicalPlan) -> bool {
    match expr {
        Expr::Alias(alias) => is_plain(&alias.expr, input),
        Expr::Column(column) => input
            .schema()
            .maybe_index_of_column(column)
            .is_some_and(|index| is_table_column(input, index)),
        _ => false,
    }
}
