//! The columns of a result as PostgreSQL describes them: type modifiers and origins of table columns
//! reach the result as long as nothing is computed from them, types that Arrow lacks survive aggregates.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::JoinType;
use datafusion::datasource::source_as_provider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, TableScan};

use super::kept_types;
use crate::catalog::pg_type::PG_TYPE_METADATA;
use crate::catalog::{self, SystemCatalog, layout};
use crate::storage;
use crate::values::digits::{PG_TYPMOD_METADATA, numeric_typmod};
use crate::values::encode::ColumnOrigin;

/// The schema of an analysed plan's result.
pub(super) fn schema(
    plan: &LogicalPlan,
    state: &SessionState,
    system: &SystemCatalog,
) -> SchemaRef {
    let fields = plan.schema().fields().iter().enumerate();
    let fields = fields.map(|(index, field)| {
        let mut added = HashMap::new();
        if let Some((precision, scale)) = declared(field)
            && is_table_column(plan, index)
        {
            added.insert(PG_TYPE_METADATA.to_owned(), "numeric".to_owned());
            let typmod = numeric_typmod(precision, scale);
            added.insert(PG_TYPMOD_METADATA.to_owned(), typmod.to_string());
        } else if may_be_marked(field) {
            added.extend(aggregated(plan, index).unwrap_or_default());
        }
        let origin = source(plan, index).and_then(|(scan, at)| origin(scan, at, state, system));
        added.extend(origin.map(ColumnOrigin::metadata).into_iter().flatten());
        if added.is_empty() {
            return Arc::clone(field);
        }
        added.extend(field.metadata().clone());
        Arc::new(field.as_ref().clone().with_metadata(added))
    });
    let metadata = plan.schema().as_arrow().metadata().clone();
    Arc::new(Schema::new_with_metadata(
        fields.collect::<Vec<_>>(),
        metadata,
    ))
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

fn may_be_marked(field: &Field) -> bool {
    let carries = matches!(
        field.data_type(),
        DataType::UInt32 | DataType::Utf8View | DataType::Utf8 | DataType::List(_)
    );
    carries && !field.metadata().contains_key(PG_TYPE_METADATA)
}

/// The type of an aggregate's value in PostgreSQL, where it is that of its argument or an array of it.
fn aggregated(plan: &LogicalPlan, index: usize) -> Option<HashMap<String, String>> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let at = index.checked_sub(aggregate.group_expr_len().ok()?)?;
            kept_types::of_aggregate(aggregate.aggr_expr.get(at)?, aggregate.input.schema())
        }
        LogicalPlan::Projection(projection) => {
            let at = column_index(projection.expr.get(index)?, &projection.input)?;
            aggregated(&projection.input, at)
        }
        LogicalPlan::Filter(filter) => aggregated(&filter.input, index),
        LogicalPlan::Sort(sort) => aggregated(&sort.input, index),
        LogicalPlan::Limit(limit) => aggregated(&limit.input, index),
        LogicalPlan::SubqueryAlias(alias) => aggregated(&alias.input, index),
        _ => None,
    }
}

/// The table and number of a scanned column; none for what is not of a relation.
fn origin(
    scan: &TableScan,
    index: usize,
    state: &SessionState,
    system: &SystemCatalog,
) -> Option<ColumnOrigin> {
    let (_, field) = scan.projected_schema.iter().nth(index)?;
    let number = scan.source.schema().index_of(field.name()).ok()? + 1;
    let provider = source_as_provider(&scan.source).ok()?;
    let table_oid = match catalog::system_relation(provider.as_ref()) {
        Some((schema, name)) => layout::layout(schema, name)?.oid,
        None if storage::is_stored(provider.as_ref()) => {
            let defaults = &state.config_options().catalog;
            let name = scan
                .table_name
                .clone()
                .resolve(&defaults.default_catalog, &defaults.default_schema);
            system.relation_oid(&name.schema, &name.table)
        }
        None => return None,
    };
    Some(ColumnOrigin {
        table_oid,
        column: i16::try_from(number).ok()?,
    })
}

/// Whether an output column is a column of a table, unchanged.
fn is_table_column(plan: &LogicalPlan, index: usize) -> bool {
    match plan {
        LogicalPlan::Union(union) => union
            .inputs
            .iter()
            .all(|input| is_table_column(input, index)),
        plan => match below(plan, index) {
            Some((input, at)) => is_table_column(input, at),
            None => matches!(plan, LogicalPlan::TableScan(_)),
        },
    }
}

/// The scan and the column of it that an output column is; none for columns of set operations.
fn source(plan: &LogicalPlan, index: usize) -> Option<(&TableScan, usize)> {
    match plan {
        LogicalPlan::TableScan(scan) => Some((scan, index)),
        plan => below(plan, index).and_then(|(input, at)| source(input, at)),
    }
}

/// The input and the column of it that an output column is.
fn below(plan: &LogicalPlan, index: usize) -> Option<(&LogicalPlan, usize)> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let at = column_index(projection.expr.get(index)?, &projection.input)?;
            Some((&projection.input, at))
        }
        LogicalPlan::Aggregate(aggregate) => {
            let at = column_index(aggregate.group_expr.get(index)?, &aggregate.input)?;
            Some((&aggregate.input, at))
        }
        LogicalPlan::Filter(filter) => Some((&filter.input, index)),
        LogicalPlan::Sort(sort) => Some((&sort.input, index)),
        LogicalPlan::Limit(limit) => Some((&limit.input, index)),
        LogicalPlan::SubqueryAlias(alias) => Some((&alias.input, index)),
        LogicalPlan::Distinct(Distinct::All(input)) => Some((input, index)),
        LogicalPlan::Window(window) => {
            (index < window.input.schema().fields().len()).then_some((&window.input, index))
        }
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti => Some((&join.right, index)),
                _ if index < left => Some((&join.left, index)),
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => None,
                _ => Some((&join.right, index - left)),
            }
        }
        _ => None,
    }
}

/// The place among the input's columns of what is a column and nothing else.
fn column_index(expr: &Expr, input: &LogicalPlan) -> Option<usize> {
    match expr {
        Expr::Alias(alias) => column_index(&alias.expr, input),
        Expr::Column(column) => input.schema().maybe_index_of_column(column),
        _ => None,
    }
}
