//! RETURNING: the rows that a statement added, changed or removed, as its result.
//!
//! A change keeps those rows as they are written, and a query over them gives what the client asked for.
//! Columns of other tables that it names are carried along by the query that finds the rows.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session as PlannerSession, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::logical_expr::{Expr as LogicalExpr, LogicalPlan, TableType};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, SelectItem, SelectItemQualifiedWildcardKind,
    Statement, TableAlias, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};

use super::assign::trailing_name;
use super::syntax::{self, ChangedTable};
use super::unsupported;
use crate::catalog::database::GIVEN_SCHEMA;
use crate::engine::control::StatementControl;
use crate::engine::plan::{self, PlannedQuery};
use crate::engine::session::{Columns, Rows, Session};
use crate::engine::statement::dialect::{name_of, name_parts, output_name};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// What stands before the names of columns that are carried along.
const CARRIED: &str = "loyalhouse carried";

/// RETURNING with what is not the changed table's taken out of it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    items: Vec<SelectItem>,
    /// What the query that finds the rows gives behind the columns of the table.
    pub(super) carried: Vec<SelectItem>,
    /// Those of them that are one column each; the others are all columns of other tables.
    single: usize,
}

/// A planned RETURNING.
#[derive(Debug)]
pub(in crate::engine) struct Returning {
    given: Arc<GivenRows>,
    /// What is asked of them.
    query: Statement,
    planned: PlannedQuery,
}

impl Wanted {
    /// What RETURNING wants of a row of `table`, and of the rows of `others` that it is joined to.
    pub(super) fn of(
        items: &[SelectItem],
        table: &ChangedTable,
        columns: &Schema,
        others: &[TableWithJoins],
    ) -> Result<Self> {
        let mut carry = Carry {
            table,
            columns,
            takes: !others.is_empty(),
            carried: Vec::new(),
            depth: 0,
        };
        let mut wanted = Vec::with_capacity(items.len());
        let mut wildcards = Vec::new();
        for item in items {
            let mut item = item.clone();
            table.shorten(&mut item);
            match item {
                SelectItem::Wildcard(_) => {
                    wanted.extend(own_columns(table, columns));
                    wildcards = all_columns(others)?;
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) if is_table(&name, table) => wanted.extend(own_columns(table, columns)),
                SelectItem::QualifiedWildcard(..) => {
                    return Err(unsupported("RETURNING of all columns of another table")
                        .with_hint("Name the columns."));
                }
                mut item => {
                    let name = column_name(&item);
                    let before = carry.carried.len();
                    let visited = VisitMut::visit(&mut item, &mut carry);
                    if let ControlFlow::Break(error) = visited {
                        return Err(error);
                    }
                    wanted.push(match (item, name) {
                        // What stands for a column of another table has that column's name.
                        (SelectItem::UnnamedExpr(expr), Some(alias))
                            if carry.carried.len() > before =>
                        {
                            SelectItem::ExprWithAlias { expr, alias }
                        }
                        (item, _) => item,
                    });
                }
            }
        }
        let single = carry.carried.len();
        let mut carried = carry.carried;
        carried.extend(wildcards);
        Ok(Self {
            items: wanted,
            carried,
            single,
        })
    }
}

/// The names that expressions call a table of FROM by, as `name.*`.
fn all_columns(others: &[TableWithJoins]) -> Result<Vec<SelectItem>> {
    let factors = others.iter().flat_map(|table| {
        let joined = table.joins.iter().map(|join| &join.relation);
        std::iter::once(&table.relation).chain(joined)
    });
    factors
        .map(|factor| {
            let alias = match factor {
                TableFactor::Table {
                    alias: Some(alias), ..
                }
                | TableFactor::Derived {
                    alias: Some(alias), ..
                } => Some(alias.name.clone()),
                TableFactor::Table { name, .. } => {
                    name.0.last().and_then(ObjectNamePart::as_ident).cloned()
                }
                _ => None,
            };
            let alias = alias.ok_or_else(|| {
                unsupported("RETURNING * beside a table without a name")
                    .with_hint("Give it an alias, or name the columns.")
            })?;
            Ok(SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![alias])),
                WildcardAdditionalOptions::default(),
            ))
        })
        .collect()
}

fn own_columns(table: &ChangedTable, columns: &Schema) -> Vec<SelectItem> {
    let fields = columns.fields().iter();
    fields
        .map(|field| SelectItem::UnnamedExpr(table.column(field.name())))
        .collect()
}

fn is_table(name: &ObjectName, table: &ChangedTable) -> bool {
    let parts = name_parts(name).unwrap_or_default();
    parts.last() == Some(&name_of(&table.alias))
}

/// The name of an item that is a column and nothing else.
fn column_name(item: &SelectItem) -> Option<Ident> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().cloned(),
        _ => None,
    }
}

/// Replaces what is not the table's by columns that are carried along.
struct Carry<'a> {
    table: &'a ChangedTable,
    columns: &'a Schema,
    /// Whether there are other tables, or this finds out that there is none.
    takes: bool,
    carried: Vec<SelectItem>,
    depth: usize,
}

impl Carry<'_> {
    fn is_own(&self, expr: &Expr) -> bool {
        let is_column = |name: &Ident| {
            let name = name_of(name);
            self.columns
                .fields()
                .iter()
                .any(|field| *field.name() == name)
        };
        match expr {
            Expr::Identifier(name) => is_column(name),
            Expr::CompoundIdentifier(parts) => parts
                .first()
                .is_some_and(|first| name_of(first) == name_of(&self.table.alias)),
            _ => true,
        }
    }
}

impl VisitorMut for Carry<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let is_parameter =
            matches!(expr, Expr::Value(value) if matches!(value.value, Value::Placeholder(_)));
        if is_parameter {
            return ControlFlow::Break(
                unsupported("a parameter in RETURNING").with_hint("Write the value itself."),
            );
        }
        if self.depth == 0 && self.takes && !self.is_own(expr) {
            let column = carried_name(self.carried.len());
            let column = Expr::CompoundIdentifier(vec![
                self.table.alias.clone(),
                Ident::with_quote('"', column),
            ]);
            let other = std::mem::replace(expr, column);
            self.carried.push(SelectItem::UnnamedExpr(other));
        }
        ControlFlow::Continue(())
    }
}

fn carried_name(place: usize) -> String {
    format!("{CARRIED} {place}")
}

impl Session {
    /// Plans RETURNING over the rows of `table` that the query `rows` finds.
    pub(super) async fn plan_returning(
        &self,
        wanted: Wanted,
        table: &ChangedTable,
        columns: &SchemaRef,
        rows: &PlannedQuery,
        control: &Arc<StatementControl>,
    ) -> Result<Returning> {
        let mut fields: Vec<Field> = columns
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        let mut items = wanted.items;
        let carried = rows.schema.fields().iter().filter_map(|field| {
            let name = trailing_name(field.name())?;
            Some((name.to_owned(), field))
        });
        for (place, (name, field)) in carried.enumerate() {
            let column = carried_name(place);
            if place >= wanted.single {
                items.push(SelectItem::ExprWithAlias {
                    expr: table.column(&column),
                    alias: Ident::with_quote('"', output_name(&name)),
                });
            }
            fields.push(field.as_ref().clone().with_name(column).with_nullable(true));
        }
        let given = Arc::new(GivenRows {
            schema: Arc::new(Schema::new(fields)),
            rows: Mutex::default(),
        });
        let query = select_given(items, table)?;
        let planned = self
            .plan_over(&query, Arc::clone(&given) as _, control)
            .await?;
        check_rowwise(&planned.plan)?;
        Ok(Returning {
            given,
            query,
            planned,
        })
    }

    /// The plan of RETURNING, made again if functions have become others since the statement was prepared.
    async fn returning_plan(
        &self,
        returning: &Returning,
        control: &Arc<StatementControl>,
    ) -> Result<PlannedQuery> {
        let now = self
            .shared
            .generation(&self.shared.session_state(self.facts()));
        if returning.planned.has_functions_of(now) {
            return Ok(returning.planned.clone());
        }
        let given = Arc::clone(&returning.given);
        let planned = self.plan_over(&returning.query, given, control).await?;
        check_rowwise(&planned.plan)?;
        Ok(planned)
    }

    /// What RETURNING gives for the rows that were changed, with `tag` as the command.
    pub(super) async fn returned(
        &self,
        returning: &Returning,
        changed: ChangedRows,
        tag: &'static str,
        control: &Arc<StatementControl>,
    ) -> Result<Rows> {
        let planned = self.returning_plan(returning, control).await?;
        let columns = returning.columns();
        let settings = self.settings().version();
        let (rows, held) = (changed.rows, changed.held);
        let changed: usize = rows.iter().map(RecordBatch::num_rows).sum();
        *returning.given.lock() = rows;
        let planning = Arc::clone(control);
        let runnable = self
            .plan_on_thread(control, move |shared, mut state| async move {
                // Rows come back in the order in which they were changed.
                state.config_mut().options_mut().execution.target_partitions = 1;
                if planned.uses_catalog {
                    plan::refresh_catalog(&shared, &state).await;
                }
                let values = Vec::new();
                plan::make_runnable(&state, &shared.lake, planned, values, settings, &planning)
                    .await
            })
            .await;
        returning.given.lock().clear();
        let runnable = runnable?;
        let control = Arc::clone(control);
        let collected = self.shared.workers.query(async move {
            let schema = runnable.plan.schema();
            let mut stream = execute_stream(runnable.plan, runnable.context)?;
            let mut batches = Vec::new();
            while let Some(batch) = control.next(&mut stream).await? {
                held.try_grow(batch.get_array_memory_size())?;
                batches.push(batch);
            }
            // Whatever else makes rows of rows is refused, lest the client counts other ones.
            if batches.iter().map(RecordBatch::num_rows).sum::<usize>() != changed {
                return Err(unsupported(
                    "RETURNING that gives more or fewer rows than were changed",
                ));
            }
            let batch = concat_batches(&schema, &batches).map_err(|error| {
                Error::internal("changed rows are not alike").with_source(error)
            })?;
            Ok((batch, held))
        });
        let (batch, held) = collected.await?;
        Ok(Rows::ready(columns, tag, batch, held))
    }
}

impl Returning {
    /// The columns of the result.
    pub(in crate::engine) fn columns(&self) -> Columns {
        Columns {
            schema: Arc::clone(&self.planned.schema),
            names: self.planned.names.clone(),
        }
    }

    /// Whether it reads tables.
    pub(super) fn reads(&self) -> bool {
        // What cannot be looked through is taken for one that does.
        super::change::reads_tables(&self.planned.plan).unwrap_or(true)
    }

    /// Rows to keep for it.
    pub(super) fn start(&self, pool: &Arc<dyn MemoryPool>) -> ChangedRows {
        ChangedRows {
            schema: Arc::clone(&self.given.schema),
            rows: Vec::new(),
            held: MemoryConsumer::new("RETURNING").register(pool),
        }
    }
}

/// 42803 and 42P20 for what is not of one row.
fn check_rowwise(plan: &LogicalPlan) -> Result<()> {
    let wrong = |state, what: &str| {
        let message = format!("{what} functions are not allowed in RETURNING");
        Err(Error::new(state, message))
    };
    match plan {
        LogicalPlan::Aggregate(_) => wrong(SqlState::GroupingError, "aggregate"),
        LogicalPlan::Window(_) => wrong(SqlState::WindowingError, "window"),
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) => {
            plan.inputs().into_iter().try_for_each(check_rowwise)
        }
        _ => Ok(()),
    }
}

/// `SELECT items FROM the given rows AS the table`
fn select_given(items: Vec<SelectItem>, table: &ChangedTable) -> Result<Statement> {
    let mut query = plan::template("SELECT 1 FROM t")?;
    let select = syntax::select_mut(&mut query)?;
    select.projection = items;
    for from in &mut select.from {
        if let TableFactor::Table { name, alias, .. } = &mut from.relation {
            let parts = [GIVEN_SCHEMA, "rows"].map(|part| Ident::with_quote('"', part));
            *name = ObjectName::from(parts.to_vec());
            *alias = Some(TableAlias {
                explicit: true,
                name: table.alias.clone(),
                columns: Vec::new(),
                at: None,
            });
        }
    }
    Ok(Statement::Query(Box::new(query)))
}

/// Rows that a statement changed, kept for its RETURNING.
#[derive(Debug)]
pub(super) struct ChangedRows {
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
    held: MemoryReservation,
}

impl ChangedRows {
    /// Keeps rows as they are written, with what is carried along in `carried`.
    pub(super) fn keep(&mut self, written: &RecordBatch, carried: &RecordBatch) -> Result<()> {
        let kept = written.columns().iter().chain(carried.columns());
        let kept = kept.zip(self.schema.fields()).map(|(array, field)| {
            match array.data_type() == field.data_type() {
                true => Ok(Arc::clone(array)),
                false => cast(array, field.data_type()),
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(written.num_rows()));
        let batch = kept
            .collect::<std::result::Result<Vec<_>, _>>()
            .and_then(|kept| {
                RecordBatch::try_new_with_options(Arc::clone(&self.schema), kept, &options)
            })
            .map_err(|error| Error::internal("changed rows were not kept").with_source(error))?;
        self.held.try_grow(batch.get_array_memory_size())?;
        self.rows.push(batch);
        Ok(())
    }
}

/// The table of the rows that RETURNING reads: those given last.
#[derive(Debug)]
struct GivenRows {
    schema: SchemaRef,
    rows: Mutex<Vec<RecordBatch>>,
}

impl GivenRows {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<RecordBatch>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TableProvider for GivenRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn PlannerSession,
        projection: Option<&Vec<usize>>,
        _: &[LogicalExpr],
        _: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let rows = self.lock().clone();
        let plan = MemorySourceConfig::try_new_exec(
            &[rows],
            Arc::clone(&self.schema),
            projection.cloned(),
        )?;
        Ok(plan)
    }
}
