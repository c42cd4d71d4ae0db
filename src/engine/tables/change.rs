//! INSERT, UPDATE and DELETE.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, PrimitiveArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr as LogicalExpr, LogicalPlan};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    self, Assignment as SetClause, AssignmentTarget, Delete, Expr, FromTable, Insert, SelectItem,
    Statement, TableObject, Update, UpdateTableFromKind,
};

use super::assign::{Assignment, Source, TextLimits};
use super::merge::{self, Action};
use super::returning::{self, ChangedRows, Returning};
use super::syntax::{self, ChangedTable};
use super::{Change, ChangeKind, TableStatement, serial, unsupported};
use crate::auth::privilege::{Object, Privilege};
use crate::catalog::database::GIVEN_SCHEMA;
use crate::engine::authorize;
use crate::engine::command::Completion;
use crate::engine::control::StatementControl;
use crate::engine::session::{Outcome, Prepared, Rows, Session};
use crate::error::{Error, Result};
use crate::storage::StoredFile;
use crate::warehouse::{Content, Kind, Operation, Relation, Removal, RowWriter, Warehouse};

/// Columns that address a row: its file, and its place there.
pub(super) const ADDRESS_COLUMNS: usize = 2;

impl ChangeKind {
    fn command(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Merge => "MERGE",
        }
    }

    /// What stands before the number of rows in the command tag.
    fn tag(self) -> &'static str {
        match self {
            Self::Insert => "INSERT 0",
            kind => kind.command(),
        }
    }

    fn privilege(self) -> Privilege {
        match self {
            Self::Insert => Privilege::Insert,
            Self::Update => Privilege::Update,
            Self::Delete => Privilege::Delete,
            // Each WHEN asks for its own besides.
            Self::Merge => Privilege::Select,
        }
    }

    fn operation(self) -> Operation {
        match self {
            Self::Insert => Operation::Append,
            Self::Update => Operation::Update,
            Self::Delete => Operation::Delete,
            Self::Merge => Operation::Merge,
        }
    }
}

/// A change whose query is not planned yet.
pub(super) struct Wanted {
    pub(super) kind: ChangeKind,
    pub(super) relation: Arc<Relation>,
    pub(super) columns: SchemaRef,
    pub(super) query: Statement,
    /// The table that the query's rows are for; a DELETE wants their addresses alone.
    pub(super) assignment: Option<Assignment>,
    pub(super) actions: Vec<Action>,
    pub(super) returning: Option<(ChangedTable, returning::Wanted)>,
}

impl Session {
    /// The table that rows are changed of, which its user may change, and its columns.
    pub(super) async fn changed(
        &self,
        name: &ast::ObjectName,
        kind: ChangeKind,
    ) -> Result<(Arc<Relation>, SchemaRef)> {
        let relation = self.written(name)?;
        if relation.kind == Kind::View {
            return Err(Error::new(
                crate::sqlstate::SqlState::ObjectNotInPrerequisiteState,
                format!("cannot change rows of view \"{}\"", relation.name),
            )
            .with_hint("Change the table that the view reads."));
        }
        self.check_no_refresh(&relation)?;
        self.check_privilege(&relation, kind.privilege())?;
        let content = self.existing_view()?.content(&relation).await?;
        Ok((relation, Arc::clone(content.columns())))
    }

    /// 42809 for a materialized view, whose rows only its refresh changes.
    pub(super) fn check_no_refresh(&self, relation: &Relation) -> Result<()> {
        let refreshes = self.refreshing.as_ref() == Some(&relation.id);
        match relation.kind == Kind::MaterializedView && !refreshes {
            false => Ok(()),
            true => Err(Error::wrong_object_type(format!(
                "cannot change materialized view \"{}\"",
                relation.name
            ))
            .with_hint("Use REFRESH MATERIALIZED VIEW.")),
        }
    }

    /// 42501 without a privilege on a table of somebody else.
    pub(super) fn check_privilege(&self, relation: &Relation, privilege: Privilege) -> Result<()> {
        let facts = self.facts();
        let authorization = facts.authorization();
        let object = Object::table(&relation.schema, &relation.name);
        let may = || authorization.may(&facts.authority.book(), privilege, &object);
        match authorize::owns(&authorization, relation) || may() {
            true => Ok(()),
            false => Err(authorize::denied("table", &relation.name)),
        }
    }

    pub(super) async fn prepare_insert(
        &self,
        insert: &Insert,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<TableStatement> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(unsupported("INSERT into what is no table"));
        };
        if insert.on.is_some() {
            return Err(unsupported("ON CONFLICT")
                .with_detail("Keys of tables are hints: nothing here looks for equal ones.")
                .with_hint("Use MERGE, or DELETE and INSERT in one transaction."));
        }
        if !insert.assignments.is_empty() || insert.partitioned.is_some() || insert.overwrite {
            return Err(unsupported("this form of INSERT"));
        }
        let (relation, columns) = self.changed(name, ChangeKind::Insert).await?;
        let named = match insert.source {
            Some(_) => syntax::target_places(&relation.name, &columns, &insert.columns)?,
            None => Vec::new(),
        };
        check_generated(insert, &columns, &named)?;
        let mut sources = Vec::with_capacity(columns.fields().len());
        for (place, field) in columns.fields().iter().enumerate() {
            sources.push(match named.iter().position(|at| *at == place) {
                Some(given) => Source::Given(given),
                None => Source::Default(self.default_value(field, control).await?),
            });
        }
        let mut assignment = Assignment {
            passed: 0,
            columns: Arc::clone(&columns),
            sources,
            trailing: false,
        };
        let query = syntax::insert_query(&columns, &named, insert.source.as_deref())?;
        if insert.columns.is_empty()
            && let Some(given) = first_width(&query)
        {
            // A list that is shorter than the table leaves the last columns to their defaults.
            for place in given..columns.fields().len() {
                let value = self.default_value(columns.field(place), control).await?;
                assignment.sources[place] = Source::Default(value);
            }
        }
        let table = ChangedTable::named(name, insert.table_alias.as_ref())?;
        let returning = self.wanted_back(
            insert.returning.as_deref(),
            &table,
            &relation,
            &columns,
            &[],
        )?;
        let wanted = Wanted {
            kind: ChangeKind::Insert,
            relation,
            query,
            assignment: Some(assignment),
            columns,
            actions: Vec::new(),
            returning,
        };
        self.planned(wanted, declared, control).await
    }

    /// What RETURNING wants. It reads the table.
    fn wanted_back(
        &self,
        items: Option<&[SelectItem]>,
        table: &ChangedTable,
        relation: &Relation,
        columns: &Schema,
        others: &[ast::TableWithJoins],
    ) -> Result<Option<(ChangedTable, returning::Wanted)>> {
        let Some(items) = items else { return Ok(None) };
        self.check_privilege(relation, Privilege::Select)?;
        let wanted = returning::Wanted::of(items, table, columns, others)?;
        Ok(Some((table.clone(), wanted)))
    }

    /// The DEFAULT of a column, planned.
    pub(super) async fn default_value(
        &self,
        field: &Field,
        control: &Arc<StatementControl>,
    ) -> Result<LogicalExpr> {
        let query = syntax::select_one(syntax::default_of(field)?)?;
        let planned = self.plan(&query, &[], None, control).await?;
        match planned.plan {
            LogicalPlan::Projection(projection) if projection.expr.len() == 1 => {
                Ok(projection.expr[0].clone().unalias())
            }
            _ => Err(Error::internal("a default was not planned as a projection")),
        }
    }

    pub(super) async fn prepare_update(
        &self,
        update: &Update,
        with: Option<&ast::With>,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<TableStatement> {
        if !update.order_by.is_empty() || update.limit.is_some() {
            return Err(Error::syntax_error("UPDATE has no ORDER BY and no LIMIT"));
        }
        let table = ChangedTable::of(&update.table)?;
        let (relation, columns) = self.changed(&table.name, ChangeKind::Update).await?;
        let set = assigned(&relation.name, &columns, &update.assignments)?;
        let items = columns.fields().iter().zip(set).map(|(field, value)| {
            let value = match value {
                Some(value) if !syntax::is_default(value) && serial::is_always(field) => {
                    return Err(serial::only_default(field));
                }
                Some(value) => syntax::assigned_value(value, field)?,
                None => table.column(field.name()),
            };
            Ok(SelectItem::UnnamedExpr(value))
        });
        let items = items.collect::<Result<Vec<_>>>()?;
        let others = match &update.from {
            None => Vec::new(),
            Some(
                UpdateTableFromKind::AfterSet(tables) | UpdateTableFromKind::BeforeSet(tables),
            ) => tables.clone(),
        };
        let returning = self.wanted_back(
            update.returning.as_deref(),
            &table,
            &relation,
            &columns,
            &others,
        )?;
        let mut items = items;
        items.extend(carried(returning.as_ref()));
        let query = table.select(&relation.id, items, others, update.selection.clone())?;
        let query = syntax::with_before(query, with);
        let mut assignment = Assignment::of_all(&columns, ADDRESS_COLUMNS);
        assignment.trailing = returning.is_some();
        let wanted = Wanted {
            kind: ChangeKind::Update,
            relation,
            query,
            assignment: Some(assignment),
            columns,
            actions: Vec::new(),
            returning,
        };
        self.planned(wanted, declared, control).await
    }

    pub(super) async fn prepare_delete(
        &self,
        delete: &Delete,
        with: Option<&ast::With>,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<TableStatement> {
        if !delete.order_by.is_empty() || delete.limit.is_some() || !delete.tables.is_empty() {
            return Err(Error::syntax_error("DELETE has no ORDER BY and no LIMIT"));
        }
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let [table] = from.as_slice() else {
            return Err(Error::syntax_error("DELETE takes rows from one table")
                .with_hint("Name other tables in USING."));
        };
        if let Some(forget) = self
            .prepare_forget(delete, table, declared, control)
            .await?
        {
            return Ok(forget);
        }
        let table = ChangedTable::of(table)?;
        let (relation, columns) = self.changed(&table.name, ChangeKind::Delete).await?;
        let others = delete.using.clone().unwrap_or_default();
        let returning = self.wanted_back(
            delete.returning.as_deref(),
            &table,
            &relation,
            &columns,
            &others,
        )?;
        let mut items = Vec::new();
        let assignment = returning.is_some().then(|| {
            let fields = columns.fields().iter();
            items.extend(fields.map(|field| SelectItem::UnnamedExpr(table.column(field.name()))));
            let mut assignment = Assignment::of_all(&columns, ADDRESS_COLUMNS);
            assignment.trailing = true;
            assignment
        });
        items.extend(carried(returning.as_ref()));
        let query = table.select(&relation.id, items, others, delete.selection.clone())?;
        let query = syntax::with_before(query, with);
        let wanted = Wanted {
            kind: ChangeKind::Delete,
            relation,
            query,
            assignment,
            columns,
            actions: Vec::new(),
            returning,
        };
        self.planned(wanted, declared, control).await
    }

    /// Plans the query of a change.
    pub(super) async fn planned(
        &self,
        wanted: Wanted,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<TableStatement> {
        let assignment = wanted.assignment.as_ref();
        let planned = self
            .plan(&wanted.query, declared, assignment, control)
            .await?;
        let returning = match wanted.returning {
            None => None,
            Some((table, items)) => Some(
                self.plan_returning(items, &table, &wanted.columns, &planned, control)
                    .await?,
            ),
        };
        Ok(TableStatement::Change(Box::new(Change {
            reads: reads_tables(&planned.plan)? || returning.as_ref().is_some_and(Returning::reads),
            returning,
            kind: wanted.kind,
            relation: wanted.relation,
            columns: wanted.columns,
            query: wanted.query,
            planned,
            actions: wanted.actions,
        })))
    }

    /// Changes rows; what is changed is staged.
    pub(in crate::engine) async fn change_rows(
        &mut self,
        change: &Change,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        control: &Arc<StatementControl>,
    ) -> Result<Outcome> {
        let command = change.kind.command();
        self.check_writable(command)?;
        let relation = Arc::clone(&change.relation);
        self.check_privilege(&relation, change.kind.privilege())?;
        self.hold_stopping(&relation, control).await?;
        let base = self.content_to_change(&relation).await?;
        if base.columns() != &change.columns {
            return Err(
                Error::feature_not_supported("cached plan must not change result type")
                    .with_detail("The table's columns changed since the statement was prepared.")
                    .with_hint("Prepare the statement again."),
            );
        }
        let rows = self
            .rows(&change.query, &change.planned, prepared, values, control)
            .await?;
        let state = self.shared.session_state(self.facts());
        let pool = &state.runtime_env().memory_pool;
        let kept = change.returning.as_ref().map(|wanted| wanted.start(pool));
        let task = Task {
            kept,
            warehouse: self.warehouse()?,
            relation: Arc::clone(&relation),
            base: Arc::clone(&base),
            kind: change.kind,
            actions: change.actions.clone(),
            state,
            control: Arc::clone(control),
        };
        let done = self.shared.workers.query(task.run(rows)).await?;
        let Done {
            files,
            count,
            kept,
            small,
        } = done;
        let rows = match (&change.returning, kept) {
            (Some(returning), Some(kept)) => Some(
                self.returned(returning, kept, change.kind.tag(), control)
                    .await?,
            ),
            _ => None,
        };
        if !small.is_empty() {
            self.add_small(&relation, &base, small).await?;
        } else if count > 0 {
            let now = self.warehouse()?.content_of(
                &relation,
                Arc::clone(base.columns()),
                files,
                Some(base.as_ref()),
            )?;
            self.stage(|staged| {
                staged.set_content(&relation.id, Some(base), now, change.kind.operation());
            });
        }
        Ok(match rows {
            Some(rows) => Outcome::Rows(rows),
            None => Outcome::Done(Completion::tag(&format!("{} {count}", change.kind.tag()))),
        })
    }

    /// Waits for a table that another transaction changes, unless the statement is stopped.
    pub(super) async fn hold_stopping(
        &mut self,
        relation: &Relation,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        tokio::select! {
            biased;
            () = control.stopped() => Err(control.error()),
            held = self.hold(relation) => held,
        }
    }

    /// The content that this transaction sees of a table that it holds, the very latest of others.
    pub(super) async fn content_to_change(&self, relation: &Relation) -> Result<Arc<Content>> {
        let view = self.existing_view()?;
        match view.staged_content(relation) {
            Some(content) => Ok(content),
            None => self.warehouse()?.content(relation, true).await,
        }
    }
}

/// 428C9 for values of columns that are GENERATED ALWAYS.
fn check_generated(insert: &Insert, columns: &Schema, named: &[usize]) -> Result<()> {
    let values = match insert.source.as_ref().map(|source| source.body.as_ref()) {
        Some(ast::SetExpr::Values(values)) => Some(values),
        _ => None,
    };
    // Without a list, a row may have fewer values than the table has columns.
    let select = insert.source.clone().map(Statement::Query);
    let given_max = select.as_ref().and_then(first_width);
    let given_max = given_max.unwrap_or(named.len());
    for (given, place) in named.iter().enumerate().take(given_max) {
        let of_defaults = values.is_some_and(|values| {
            let mut rows = values.rows.iter();
            rows.all(|row| row.content.get(given).is_none_or(syntax::is_default))
        });
        if !of_defaults {
            serial::check_not_generated(columns.field(*place))?;
        }
    }
    Ok(())
}

/// Expressions of a VALUES list or a SELECT without wildcards.
fn first_width(query: &Statement) -> Option<usize> {
    let Statement::Query(query) = query else {
        return None;
    };
    match query.body.as_ref() {
        ast::SetExpr::Values(values) => values.rows.first().map(|row| row.content.len()),
        ast::SetExpr::Select(select) => {
            let plain = select.projection.iter().all(|item| {
                matches!(
                    item,
                    SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
                )
            });
            plain.then_some(select.projection.len())
        }
        _ => None,
    }
}

/// The new value of each column that SET names.
pub(super) fn assigned<'a>(
    table: &str,
    columns: &Schema,
    clauses: &'a [SetClause],
) -> Result<Vec<Option<&'a Expr>>> {
    let mut values = vec![None; columns.fields().len()];
    let mut assign = |name: &ast::ObjectName, value: &'a Expr| -> Result<()> {
        let place = syntax::column_place(table, columns, name)?;
        match values[place].replace(value) {
            None => Ok(()),
            Some(_) => Err(Error::syntax_error(format!(
                "multiple assignments to same column \"{}\"",
                columns.field(place).name()
            ))),
        }
    };
    for clause in clauses {
        match (&clause.target, &clause.value) {
            (AssignmentTarget::ColumnName(name), value) => assign(name, value)?,
            (AssignmentTarget::Tuple(names), Expr::Tuple(row)) if names.len() == row.len() => {
                for (name, value) in names.iter().zip(row) {
                    assign(name, value)?;
                }
            }
            (AssignmentTarget::Tuple(_), Expr::Tuple(_)) => {
                return Err(Error::syntax_error(
                    "number of columns does not match number of values",
                ));
            }
            (AssignmentTarget::Tuple(_), _) => {
                return Err(
                    unsupported("SET (…) = (SELECT …)").with_hint("Assign each column on its own.")
                );
            }
        }
    }
    Ok(values)
}

/// What the query of a change gives for its RETURNING.
fn carried(
    returning: Option<&(ChangedTable, returning::Wanted)>,
) -> impl Iterator<Item = SelectItem> + '_ {
    returning
        .into_iter()
        .flat_map(|(_, wanted)| wanted.carried.iter().cloned())
}

/// The work of one statement on the query threads.
struct Task {
    warehouse: Arc<Warehouse>,
    relation: Arc<Relation>,
    base: Arc<Content>,
    kind: ChangeKind,
    actions: Vec<Action>,
    state: SessionState,
    control: Arc<StatementControl>,
    /// The changed rows, if they are to be returned.
    kept: Option<ChangedRows>,
}

/// What a change came to.
struct Done {
    /// The table's files.
    files: Vec<StoredFile>,
    /// Rows that it concerned.
    count: u64,
    kept: Option<ChangedRows>,
    /// Rows to add, if they are few and in none of the files.
    small: Vec<RecordBatch>,
}

impl Task {
    async fn run(mut self, rows: Rows) -> Result<Done> {
        let columns = Arc::clone(self.base.columns());
        let mut writer = self.warehouse.writer(&self.relation, columns)?;
        let mut removal = Removal::new(Arc::clone(&self.base));
        let consumed = self.consume(rows, &mut writer, &mut removal).await;
        let merged = match consumed {
            Ok(merged) => merged,
            Err(error) => {
                writer.discard().await;
                return Err(error);
            }
        };
        let count = match self.kind {
            ChangeKind::Insert => writer.rows(),
            ChangeKind::Update | ChangeKind::Delete => removal.rows(),
            ChangeKind::Merge => merged,
        };
        if count == 0 {
            writer.discard().await;
            return Ok(Done {
                files: self.base.files().to_vec(),
                count,
                kept: self.kept,
                small: Vec::new(),
            });
        }
        let small = match self.kind {
            ChangeKind::Insert => writer.take_small(),
            _ => Vec::new(),
        };
        let written = writer.finish().await?;
        let mut files = tokio::select! {
            biased;
            () = self.control.stopped() => Err(self.control.error()),
            files = removal.apply(&self.warehouse, &self.relation, &self.state) => files,
        }?;
        files.extend(written);
        Ok(Done {
            files,
            count,
            kept: self.kept,
            small,
        })
    }

    /// Writes and marks what the rows say; the pairs of a MERGE that did something.
    async fn consume(
        &mut self,
        rows: Rows,
        writer: &mut RowWriter,
        removal: &mut Removal,
    ) -> Result<u64> {
        let limits = TextLimits::of(self.base.columns());
        let mut merged = 0;
        let mut stream = rows.start()?;
        while let Some(batch) = self.control.next(&mut stream).await? {
            match self.kind {
                ChangeKind::Insert => self.write(batch, &limits, writer).await?,
                ChangeKind::Delete => {
                    let first = mark(&batch, removal)?;
                    if let Some(kept) = &mut self.kept {
                        let rows = own_rows(&batch, ADDRESS_COLUMNS, first)?;
                        let width = writer.columns().fields().len();
                        let (own, carried) = split(&rows, width)?;
                        kept.keep(&own, &carried)?;
                    }
                }
                ChangeKind::Update => {
                    let first = mark(&batch, removal)?;
                    let rows = own_rows(&batch, ADDRESS_COLUMNS, first)?;
                    self.write(rows, &limits, writer).await?;
                }
                ChangeKind::Merge => {
                    merged += merge::apply(&batch, &self.actions, removal, writer, &limits).await?;
                }
            }
        }
        Ok(merged)
    }

    /// Writes rows, of which it takes the table's columns.
    async fn write(
        &mut self,
        rows: RecordBatch,
        limits: &TextLimits,
        writer: &mut RowWriter,
    ) -> Result<()> {
        let Some(kept) = &mut self.kept else {
            return writer.write(&limits.apply(rows)?).await;
        };
        let (own, carried) = split(&rows, writer.columns().fields().len())?;
        let own = writer.conformed(&limits.apply(own)?)?;
        kept.keep(&own, &carried)?;
        writer.write(&own).await
    }
}

/// The columns of a table, and those behind them.
fn split(rows: &RecordBatch, width: usize) -> Result<(RecordBatch, RecordBatch)> {
    let part = |columns: std::ops::Range<usize>| {
        rows.project(&columns.collect::<Vec<_>>())
            .map_err(|error| Error::internal("changed rows lack columns").with_source(error))
    };
    Ok((part(0..width)?, part(width..rows.num_columns())?))
}

/// Whether a plan reads a table, other than rows that are given to it.
pub(super) fn reads_tables(plan: &LogicalPlan) -> Result<bool> {
    let mut reads = false;
    plan.apply_with_subqueries(|node| {
        reads |= matches!(node, LogicalPlan::TableScan(scan)
            if scan.table_name.schema() != Some(GIVEN_SCHEMA));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(reads)
}

/// The columns that address rows: their files, and their places there.
pub(super) fn addresses(
    batch: &RecordBatch,
) -> Result<(&PrimitiveArray<Int64Type>, &PrimitiveArray<Int64Type>)> {
    let column = |at: usize| {
        let column = batch.columns().get(at);
        let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
        column.ok_or_else(|| Error::internal("rows to change have no addresses"))
    };
    Ok((column(0)?, column(1)?))
}

/// The rows that `stay`, without the first columns, which are not the table's.
pub(super) fn own_rows(batch: &RecordBatch, passed: usize, stay: Vec<bool>) -> Result<RecordBatch> {
    let own: Vec<usize> = (passed..batch.num_columns()).collect();
    let rows = batch.project(&own);
    let rows = rows.and_then(|rows| filter_record_batch(&rows, &BooleanArray::from(stay)));
    rows.map_err(|error| Error::internal("new rows were not taken out").with_source(error))
}

/// Marks the rows of the addresses; which of them were not marked before: of several rows that FROM joins
/// to one, the first decides, as in PostgreSQL.
fn mark(batch: &RecordBatch, removal: &mut Removal) -> Result<Vec<bool>> {
    let (files, places) = addresses(batch)?;
    if files.null_count() + places.null_count() > 0 {
        return Err(Error::internal("rows to change have no addresses"));
    }
    let rows = files.values().iter().zip(places.values());
    rows.map(|(file, place)| removal.mark(*file, *place))
        .collect()
}
