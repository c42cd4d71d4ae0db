//! One session: its settings, transaction status and prepared statements, and what it runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::execution::memory_pool::{MemoryPool, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;

use super::Shared;
use super::activity::{BackendGuard, Notification, State};
use super::advisory::Released;
use super::changes::PendingChanges;
use super::command::{self, Completion};
use super::control::{Deadline, StatementControl, StopReason};
use super::cursor::{self, Declaration, Keep};
use super::explain::{self, ExplainRequest};
use super::functions::SessionTime;
use super::holdings::{HeldCursor, HeldStatement, Holdings};
use super::plan::{self, Parameter, PlannedQuery, RunnableQuery};
use super::session_command::{self, Transaction};
use super::settings::{SETTINGS, Settings};
use super::statement::session_command::{Declare, Fetch, SessionCommand};
use super::statement::{self, Parsed};
use super::tables::{self, Assignment, CopyInto, Refreshed, TableStatement, Work};
use crate::auth::change::Change;
use crate::calendar::Reader;
use crate::catalog::LastSnapshot;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Named prepared statements of one session.
const PREPARED_STATEMENTS_MAX: usize = 10_000;

/// The transaction status that ReadyForQuery reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// No transaction block.
    Idle,
    /// In a transaction block.
    InTransaction,
    /// In a block that failed; only its end is accepted.
    Failed,
}

/// A session between a frontend and the engine. Frontends see tables only through this.
#[derive(Debug)]
pub struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) backend: BackendGuard,
    pub(super) settings: Arc<Mutex<Settings>>,
    pub(super) transaction: Transaction,
    /// Changes of roles and privileges that the open transaction block will make.
    pub(super) changes: PendingChanges,
    /// Changes of tables that are not committed.
    pub(super) work: Work,
    /// What the catalog read for the last statement that asked it: results name objects by it.
    pub(super) snapshot: LastSnapshot,
    /// The run of a job that this session is for.
    pub(super) run: Option<i64>,
    /// The materialized view whose rows a refresh changes.
    pub(super) refreshing: Option<String>,
    /// What the last refresh did.
    pub(super) refreshed: Option<Refreshed>,
    /// Notifications that wait for the end of the transaction.
    notifications: Vec<Notification>,
    /// The version of the settings that others were told of.
    told: Option<u64>,
    statements: HashMap<String, Arc<Prepared>>,
    holdings: Holdings,
    /// Whether several statements were sent as one: a transaction without BEGIN.
    pub in_implicit_block: bool,
    /// Columns of open cursors, so that a FETCH can be described.
    cursors: HashMap<String, Columns>,
}

/// A statement that was parsed and, if it is a query, planned.
#[derive(Debug)]
pub struct Prepared {
    /// Its text.
    pub text: String,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// The columns of its result, if it has one.
    pub columns: Option<Columns>,
    body: Body,
    /// The query string that it is part of.
    source: Arc<str>,
    declared: Vec<Option<u32>>,
    from_sql: bool,
    /// The plan made last, if tables have changed since the first one.
    latest: Mutex<Option<PlannedQuery>>,
}

/// The columns of a result.
#[derive(Debug, Clone)]
pub struct Columns {
    /// Types.
    pub schema: SchemaRef,
    /// Names, which may repeat, unlike those of the schema.
    pub names: Vec<String>,
}

impl Columns {
    /// Those of a result without columns.
    pub fn none() -> Self {
        Self {
            schema: Arc::new(Schema::empty()),
            names: Vec::new(),
        }
    }
}

#[derive(Debug)]
enum Body {
    Empty,
    Query {
        statement: ast::Statement,
        planned: PlannedQuery,
    },
    Explain {
        inner: ast::Statement,
        planned: PlannedQuery,
        request: ExplainRequest,
    },
    ExplainExecute {
        prepared: Arc<Prepared>,
        arguments: Option<(ast::Statement, PlannedQuery)>,
        request: ExplainRequest,
    },
    Copy {
        query: ast::Statement,
        planned: PlannedQuery,
        options: CopyRequest,
    },
    Show(String),
    Declare {
        declare: Declare,
        planned: PlannedQuery,
    },
    Fetch(Fetch),
    Close(Option<String>),
    Prepare {
        name: String,
        prepared: Arc<Prepared>,
    },
    Execute {
        prepared: Arc<Prepared>,
        /// A query of one row, the values; none if there are no parameters.
        arguments: Option<(ast::Statement, PlannedQuery)>,
    },
    Session(SessionCommand),
    Command(ast::Statement),
    Change(Change),
    Table(TableStatement),
}

impl Body {
    /// Whether it may read rows that its transaction added.
    fn may_read(&self) -> bool {
        match self {
            Self::Query { .. }
            | Self::Explain { .. }
            | Self::ExplainExecute { .. }
            | Self::Copy { .. }
            | Self::Declare { .. }
            | Self::Execute { .. }
            | Self::Command(_) => true,
            Self::Table(statement) => !statement.only_adds(),
            Self::Empty
            | Self::Show(_)
            | Self::Fetch(_)
            | Self::Close(_)
            | Self::Prepare { .. }
            | Self::Session(_)
            | Self::Change(_) => false,
        }
    }
}

/// The options of a COPY TO as the statement spells them.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// `WITH (…)`.
    pub options: Vec<ast::CopyOption>,
    /// The older spelling without parentheses.
    pub legacy: Vec<ast::CopyLegacyOption>,
}

/// What executing a statement gives.
#[derive(Debug)]
pub enum Outcome {
    /// A result set.
    Rows(Rows),
    /// A result set that goes out as COPY data.
    Copy(Rows, CopyRequest),
    /// Rows to take from the client into a table.
    CopyIn(Box<CopyInto>),
    /// A command that is done.
    Done(Completion),
    /// A cursor to keep open, and its rows.
    Declare(Declaration, Rows),
    /// Rows to send from a cursor, or to pass over.
    Fetch(Fetch),
    /// A cursor to close; all of them if none is named.
    Close(Option<String>),
    /// An empty statement.
    Empty,
}

/// A result set that has not started to run.
#[derive(Debug)]
pub struct Rows {
    /// Types and names of the columns.
    pub columns: Columns,
    /// The command tag's first word.
    pub tag: &'static str,
    source: RowSource,
}

#[derive(Debug)]
enum RowSource {
    Query(RunnableQuery),
    Batch(RecordBatch),
    /// Of a statement that has done what it does, and the memory that they take.
    Ready(RecordBatch, MemoryReservation),
}

impl Rows {
    /// What makes the operators stop. Whoever runs the rows fires it when they are no longer wanted:
    /// dropping the stream alone does not reach an operator that is deep in its work.
    pub fn control(&self) -> Option<Arc<StatementControl>> {
        match &self.source {
            RowSource::Query(query) => Some(Arc::clone(&query.control)),
            RowSource::Batch(_) | RowSource::Ready(..) => None,
        }
    }

    /// The memory that the query's rows are counted in.
    pub fn memory_pool(&self) -> Option<Arc<dyn MemoryPool>> {
        match &self.source {
            RowSource::Query(query) => Some(Arc::clone(query.context.memory_pool())),
            RowSource::Batch(_) | RowSource::Ready(..) => None,
        }
    }

    /// Whether the statement has changed what it changes, so that it can be committed.
    pub fn are_ready(&self) -> bool {
        matches!(self.source, RowSource::Ready(..))
    }

    /// Rows of a statement that has changed them.
    pub(super) fn ready(
        columns: Columns,
        tag: &'static str,
        batch: RecordBatch,
        held: MemoryReservation,
    ) -> Self {
        let source = RowSource::Ready(batch, held);
        Self {
            columns,
            tag,
            source,
        }
    }

    /// Starts the query. Call it on the query threads: operators start tasks where they are started.
    pub fn start(self) -> Result<SendableRecordBatchStream> {
        match self.source {
            RowSource::Query(query) => Ok(execute_stream(query.plan, query.context)?),
            RowSource::Batch(batch) => {
                let schema = batch.schema();
                Ok(Box::pin(RecordBatchStreamAdapter::new(
                    schema,
                    futures::stream::iter([Ok(batch)]),
                )))
            }
            RowSource::Ready(batch, held) => {
                let schema = batch.schema();
                let stream = futures::stream::iter([batch]).map(move |batch| {
                    // The memory is given back when the stream ends.
                    let _held = &held;
                    Ok(batch)
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
            }
        }
    }

    /// Starts the query with the columns' names in its schema, for those who take names from there.
    pub fn start_named(self) -> Result<SendableRecordBatchStream> {
        let fields: Vec<_> = self
            .columns
            .schema
            .fields()
            .iter()
            .zip(&self.columns.names)
            .map(|(field, name)| field.as_ref().clone().with_name(name))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let named = Arc::clone(&schema);
        let stream = self.start()?.map(move |batch| {
            let batch = batch?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            Ok(RecordBatch::try_new_with_options(
                Arc::clone(&named),
                columns,
                &options,
            )?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn text(name: &str, lines: Vec<String>, tag: &'static str) -> Result<Self> {
        let columns = text_column(name);
        let batch = RecordBatch::try_new(
            Arc::clone(&columns.schema),
            vec![Arc::new(StringArray::from(lines))],
        )
        .map_err(|error| Error::internal("a text result was not built").with_source(error))?;
        Ok(Self {
            columns,
            tag,
            source: RowSource::Batch(batch),
        })
    }
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, backend: BackendGuard, settings: Settings) -> Self {
        backend.set_application_name(settings.get("application_name").unwrap_or_default());
        let work = Work::new(shared.warehouse.clone());
        Self {
            shared,
            backend,
            settings: Arc::new(Mutex::new(settings)),
            transaction: Transaction::default(),
            changes: PendingChanges::default(),
            work,
            snapshot: LastSnapshot::default(),
            run: None,
            refreshing: None,
            refreshed: None,
            notifications: Vec::new(),
            told: None,
            statements: HashMap::new(),
            holdings: Holdings::default(),
            in_implicit_block: false,
            cursors: HashMap::new(),
        }
    }

    /// How others see this session.
    pub fn backend(&self) -> &BackendGuard {
        &self.backend
    }

    /// The session's settings.
    pub fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the session's work runs.
    pub fn workers(&self) -> &crate::runtime::Workers {
        &self.shared.workers
    }

    /// The transaction status.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.transaction.status()
    }

    /// An error fails an open transaction block.
    pub fn fail_transaction(&mut self) {
        let Self {
            transaction,
            settings,
            ..
        } = self;
        transaction.fail(&mut settings.lock().unwrap_or_else(PoisonError::into_inner));
        if transaction.status() == TransactionStatus::Idle {
            self.notifications.clear();
            self.changes.clear();
            self.undo_work();
        }
    }

    /// Everything up to here is over, unless a block is open: what held for one transaction ends.
    pub fn rest(&mut self) {
        let Self {
            transaction,
            settings,
            ..
        } = self;
        transaction.rest(&mut settings.lock().unwrap_or_else(PoisonError::into_inner));
        if self.transaction_status() == TransactionStatus::Idle {
            self.release_locks(Released::Transaction);
            self.send_notifications(true);
            // An idle session keeps nothing of the catalog: there may be a thousand of them.
            *self
                .snapshot
                .write()
                .unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// The settings that clients are told of, if any setting has changed since the last call.
    pub fn changed_settings(&mut self) -> Option<Vec<(&'static str, String)>> {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let version = Some(settings.version());
        if version == self.told {
            return None;
        }
        self.told = version;
        let value = |name: &str| settings.get(name).unwrap_or_default().to_owned();
        self.backend
            .set_application_name(&value("application_name"));
        let reported = SETTINGS.iter().filter(|setting| setting.reported);
        Some(
            reported
                .map(|setting| (setting.name, value(setting.name)))
                .collect(),
        )
    }

    /// Sends a notification when the transaction has ended.
    pub fn notify(&mut self, channel: &str, payload: &str) -> Result<()> {
        /// Notifications of one transaction.
        const NOTIFICATIONS_MAX: usize = 10_000;
        let notification = Notification::try_new(self.backend.pid, channel, payload)?;
        if self.notifications.len() >= NOTIFICATIONS_MAX {
            return Err(Error::program_limit_exceeded(
                "the transaction sends too many notifications",
            ));
        }
        // Equal ones of one transaction are sent once.
        if !self.notifications.contains(&notification) {
            self.notifications.push(notification);
        }
        Ok(())
    }

    /// The transaction ended: what it wanted to tell others goes out, or is forgotten.
    pub(super) fn send_notifications(&mut self, committed: bool) {
        for notification in self.notifications.drain(..).filter(|_| committed) {
            self.backend.activity().notify(&notification);
        }
    }

    /// Gives back advisory locks.
    pub(super) fn release_locks(&self, of: Released) {
        let activity = self.backend.activity();
        activity.locks.release_all(self.backend.pid, of);
    }

    /// Starts a statement: from here on it can be stopped, and its time limit runs.
    pub fn begin(&self, text: &str) -> Running {
        let control = Arc::new(StatementControl::default());
        self.backend.begin(text, &control, self.shared.clock.now());
        let limit = self.settings().span("statement_timeout");
        let deadline = limit.map(|limit| {
            Deadline::start(&self.shared.workers, &control, limit, StopReason::Timeout)
        });
        Running {
            control,
            _deadline: deadline,
        }
    }

    /// Marks the end of what `begin` started.
    pub fn end(&self) {
        let state = match self.transaction_status() {
            TransactionStatus::Idle => State::Idle,
            TransactionStatus::InTransaction => State::IdleInTransaction,
            TransactionStatus::Failed => State::IdleInFailedTransaction,
        };
        self.backend.end(state, self.shared.clock.now());
    }

    /// Parses every statement of a query string.
    pub async fn parse(&self, sql: &str, control: &Arc<StatementControl>) -> Result<Vec<Parsed>> {
        if sql.contains('\0') {
            return Err(Error::character_not_in_repertoire(
                "invalid byte sequence for encoding \"UTF8\": 0x00",
            ));
        }
        let sql = sql.to_owned();
        self.plan_on_thread(control, move |_, _| async move { statement::parse(&sql) })
            .await
    }

    /// Prepares one statement: plans it if it is a query. `declared` are its parameters' types.
    pub async fn prepare(
        &self,
        parsed: Parsed,
        declared: Vec<Option<u32>>,
        control: &Arc<StatementControl>,
    ) -> Result<Prepared> {
        self.transaction.admit(parsed.command.as_ref())?;
        let body = match (&parsed.command, &parsed.statement) {
            _ if parsed.change.is_some() => {
                Ok(parsed.change.clone().map_or(Body::Empty, Body::Change))
            }
            _ if let Some(alert) = parsed.alert.clone() => {
                Ok(Body::Table(TableStatement::Alert(Box::new(alert))))
            }
            _ if let Some(view) = parsed.view.clone() => {
                let prepare = Box::pin(self.prepare_view_command(view, &declared, control));
                let prepared = prepare.await;
                prepared.map(|view| Body::Table(TableStatement::View(Box::new(view))))
            }
            (Some(command), _) => {
                let command = command.clone();
                Box::pin(self.session_body(&parsed, command, &declared, control)).await
            }
            (None, Some(statement)) => {
                let statement = statement.clone();
                Box::pin(self.body(statement, &declared, control)).await
            }
            (None, None) => Ok(Body::Empty),
        };
        let body = body.map_err(|error| self.noted(parsed.locate(error)))?;
        let (text, source) = (parsed.text, parsed.source);
        let (parameters, columns) = match &body {
            Body::Query { planned, .. } => (
                planned.parameters.clone(),
                Some(Columns {
                    schema: Arc::clone(&planned.schema),
                    names: planned.names.clone(),
                }),
            ),
            Body::Copy { planned, .. } => (planned.parameters.clone(), None),
            Body::Explain {
                planned, request, ..
            } => (planned.parameters.clone(), Some(plan_column(*request))),
            Body::ExplainExecute {
                arguments, request, ..
            } => {
                let parameters = arguments.as_ref().map(|(_, planned)| &planned.parameters);
                let columns = plan_column(*request);
                (parameters.cloned().unwrap_or_default(), Some(columns))
            }
            Body::Show(name) => (Vec::new(), Some(command::show_columns(name))),
            Body::Declare { planned, .. } => (planned.parameters.clone(), None),
            Body::Table(statement) => {
                let parameters = statement
                    .planned()
                    .map(|planned| planned.parameters.clone());
                (parameters.unwrap_or_default(), statement.columns())
            }
            Body::Fetch(fetch) => {
                let columns = self
                    .cursors
                    .get(&fetch.cursor)
                    .ok_or_else(|| cursor::no_cursor(&fetch.cursor))?;
                (Vec::new(), Some(columns.clone()).filter(|_| !fetch.is_move))
            }
            Body::Execute {
                prepared,
                arguments,
            } => {
                let parameters = arguments.as_ref().map(|(_, planned)| &planned.parameters);
                (
                    parameters.cloned().unwrap_or_default(),
                    prepared.columns.clone(),
                )
            }
            Body::Empty
            | Body::Close(_)
            | Body::Prepare { .. }
            | Body::Session(_)
            | Body::Command(_)
            | Body::Change(_) => (Vec::new(), None),
        };
        Ok(Prepared {
            text,
            parameters,
            columns,
            body,
            source,
            declared,
            from_sql: false,
            latest: Mutex::default(),
        })
    }

    async fn body(
        &self,
        statement: ast::Statement,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<Body> {
        match statement {
            statement if tables::is_select_into(&statement) => {
                let create = tables::create_of_select_into(statement)?;
                let prepare = Box::pin(self.prepare_table_statement(create, declared, control));
                prepare.await.map(Body::Table)
            }
            ast::Statement::Query(_) if !tables::concerns(&statement) => {
                let planned = self.plan(&statement, declared, None, control).await?;
                Ok(Body::Query { statement, planned })
            }
            ast::Statement::Explain {
                statement: inner,
                analyze,
                verbose,
                options,
                ..
            } => {
                let mut request = ExplainRequest::new(analyze, verbose);
                request.apply(options.unwrap_or_default())?;
                match *inner {
                    ast::Statement::Query(_) => {}
                    ast::Statement::Execute {
                        name: Some(name),
                        parameters,
                        ..
                    } => {
                        let name = plan::folded_name(&name);
                        let (prepared, arguments) =
                            self.executed(&name, parameters, declared, control).await?;
                        if !matches!(prepared.body, Body::Query { .. }) {
                            return Err(explained_alone());
                        }
                        return Ok(Body::ExplainExecute {
                            prepared,
                            arguments,
                            request,
                        });
                    }
                    _ => return Err(explained_alone()),
                }
                let planned = self.plan(&inner, declared, None, control).await?;
                Ok(Body::Explain {
                    inner: *inner,
                    planned,
                    request,
                })
            }
            ast::Statement::Copy {
                source,
                to,
                target,
                options,
                legacy_options,
                ..
            } => {
                if !to {
                    let copy = (source, target, options, legacy_options);
                    return self.prepare_copy(copy).map(Body::Table);
                }
                let query = command::copy_query(source, &target)?;
                let planned = self.plan(&query, declared, None, control).await?;
                let options = CopyRequest {
                    options,
                    legacy: legacy_options,
                };
                Ok(Body::Copy {
                    query,
                    planned,
                    options,
                })
            }
            other if tables::concerns(&other) => {
                let prepare = Box::pin(self.prepare_table_statement(other, declared, control));
                prepare.await.map(Body::Table)
            }
            other => Ok(Body::Command(other)),
        }
    }

    async fn session_body(
        &self,
        parsed: &Parsed,
        command: SessionCommand,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<Body> {
        match command {
            SessionCommand::Show(name) => {
                command::check_shown(&self.settings(), &name)?;
                Ok(Body::Show(name))
            }
            SessionCommand::Close(name) => Ok(Body::Close(name)),
            SessionCommand::Fetch(fetch) => Ok(Body::Fetch(fetch)),
            SessionCommand::Declare(declare) => {
                if !matches!(*declare.query, ast::Statement::Query(_)) {
                    return Err(Error::syntax_error("DECLARE CURSOR needs a query"));
                }
                let planned = self.plan(&declare.query, declared, None, control).await?;
                Ok(Body::Declare { declare, planned })
            }
            SessionCommand::Prepare {
                name,
                types,
                statement,
            } => {
                let inner = Parsed {
                    statement: Some(*statement),
                    command: None,
                    change: None,
                    view: None,
                    alert: None,
                    text: parsed.text.clone(),
                    source: Arc::clone(&parsed.source),
                };
                let declared = types
                    .iter()
                    .map(plan::declared_type)
                    .collect::<Result<Vec<_>>>()?;
                let mut prepared = Box::pin(self.prepare(inner, declared, control)).await?;
                let is_change =
                    |body: &Body| matches!(body, Body::Table(statement) if statement.is_change());
                if !matches!(prepared.body, Body::Query { .. }) && !is_change(&prepared.body) {
                    return Err(Error::syntax_error(
                        "PREPARE needs a query or a change of rows",
                    ));
                }
                prepared.from_sql = true;
                let prepared = Arc::new(prepared);
                Ok(Body::Prepare { name, prepared })
            }
            SessionCommand::Execute { name, arguments } => {
                let (prepared, arguments) =
                    self.executed(&name, arguments, declared, control).await?;
                Ok(Body::Execute {
                    prepared,
                    arguments,
                })
            }
            other => Ok(Body::Session(other)),
        }
    }

    /// The statement that an EXECUTE names, and the query of one row that gives its values.
    async fn executed(
        &self,
        name: &str,
        arguments: Vec<ast::Expr>,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<(Arc<Prepared>, Option<(ast::Statement, PlannedQuery)>)> {
        let prepared = self.statement(name)?;
        let (wanted, given) = (prepared.parameters.len(), arguments.len());
        if wanted != given {
            return Err(Error::syntax_error(format!(
                "wrong number of parameters for prepared statement \"{name}\""
            ))
            .with_detail(format!("Expected {wanted} parameters but got {given}.")));
        }
        if given == 0 {
            return Ok((prepared, None));
        }
        let query = plan::select_arguments(arguments, &prepared.parameters)?;
        let planned = self.plan(&query, declared, None, control).await?;
        Ok((prepared, Some((query, planned))))
    }

    /// The values that the arguments of an EXECUTE give.
    async fn values_of(
        &self,
        arguments: Option<&(ast::Statement, PlannedQuery)>,
        inner: &Prepared,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        control: &Arc<StatementControl>,
    ) -> Result<Vec<ScalarValue>> {
        let Some((query, planned)) = arguments else {
            return Ok(Vec::new());
        };
        let rows = self.rows(query, planned, prepared, values, control).await?;
        self.one_row(rows, &inner.parameters, control).await
    }

    pub(super) async fn plan(
        &self,
        statement: &ast::Statement,
        declared: &[Option<u32>],
        assignment: Option<&Assignment>,
        control: &Arc<StatementControl>,
    ) -> Result<PlannedQuery> {
        let statement = statement.clone();
        let declared = declared.to_vec();
        let assignment = assignment.cloned();
        let planning = Arc::clone(control);
        self.plan_on_thread(control, move |shared, state| async move {
            let assignment = assignment.as_ref();
            plan::plan_query(
                &shared, &state, &statement, &declared, assignment, &planning,
            )
            .await
        })
        .await
    }

    /// Refuses what must not run in a transaction that failed, be it prepared before.
    fn admit(&mut self, body: &Body) -> Result<()> {
        match body {
            Body::Empty => {}
            Body::Session(command) => self.transaction.admit(Some(command))?,
            Body::Query { .. } | Body::Copy { .. } | Body::Declare { .. } => {
                self.transaction.admit(None)?;
                self.transaction.query();
            }
            _ => self.transaction.admit(None)?,
        }
        Ok(())
    }

    /// Executes a prepared statement with its parameters' values.
    pub async fn execute(
        &mut self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        control: &Arc<StatementControl>,
    ) -> Result<Outcome> {
        self.admit(&prepared.body)?;
        if prepared.body.may_read() {
            self.write_pending().await?;
        }
        match &prepared.body {
            Body::Empty => Ok(Outcome::Empty),
            Body::Query { statement, planned } => {
                let rows = self
                    .rows(statement, planned, prepared, values, control)
                    .await?;
                Ok(Outcome::Rows(rows))
            }
            Body::Copy {
                query,
                planned,
                options,
            } => {
                let rows = self.rows(query, planned, prepared, values, control).await?;
                Ok(Outcome::Copy(
                    Rows {
                        tag: "COPY",
                        ..rows
                    },
                    options.clone(),
                ))
            }
            Body::Explain {
                inner,
                planned,
                request,
            } => {
                let started = self.shared.clock.now();
                let rows = self.rows(inner, planned, prepared, values, control).await?;
                self.explain(rows, *request, started, control).await
            }
            Body::ExplainExecute {
                prepared: inner,
                arguments,
                request,
            } => {
                let arguments = arguments.as_ref();
                let values = self
                    .values_of(arguments, inner, prepared, values, control)
                    .await?;
                self.explain_prepared(inner, values, *request, control)
                    .await
            }
            Body::Show(name) => self.show(name),
            Body::Declare { declare, planned } => {
                self.declare(declare, planned, prepared, values, control)
                    .await
            }
            Body::Fetch(fetch) => Ok(Outcome::Fetch(fetch.clone())),
            Body::Close(name) => Ok(Outcome::Close(name.clone())),
            Body::Prepare { name, prepared } => {
                self.store_statement(name, Arc::clone(prepared))?;
                Ok(Outcome::Done(Completion::tag("PREPARE")))
            }
            Body::Execute {
                prepared: inner,
                arguments,
            } => {
                let values = self
                    .values_of(arguments.as_ref(), inner, prepared, values, control)
                    .await?;
                Box::pin(self.execute(inner, values, control)).await
            }
            Body::Session(SessionCommand::Maintain(maintenance)) => {
                let done = Box::pin(self.maintain(maintenance, control)).await;
                done.map(Outcome::Done).map_err(|error| self.noted(error))
            }
            Body::Session(command) => {
                Box::pin(self.settle_changes(command, control)).await?;
                Box::pin(self.settle_work(command)).await?;
                let done = session_command::run(self, command);
                done.map(Outcome::Done).map_err(|error| self.noted(error))
            }
            Body::Table(statement) => {
                self.transaction.query();
                let run = Box::pin(self.execute_table(statement, prepared, values, control));
                run.await
            }
            Body::Change(change) => {
                let done = Box::pin(self.ask_for_change(change.clone(), control)).await?;
                Ok(Outcome::Done(done))
            }
            Body::Command(statement) => {
                let done = command::run(self, statement);
                done.map(Outcome::Done).map_err(|error| self.noted(error))
            }
        }
    }

    fn show(&self, name: &str) -> Result<Outcome> {
        let shown = command::show(&self.settings(), name);
        let batch = shown.map_err(|error| self.noted(error))?;
        Ok(Outcome::Rows(Rows {
            columns: command::show_columns(name),
            tag: "SHOW",
            source: RowSource::Batch(batch),
        }))
    }

    async fn execute_table(
        &mut self,
        statement: &TableStatement,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        control: &Arc<StatementControl>,
    ) -> Result<Outcome> {
        match statement {
            TableStatement::Copy(copy) => {
                let begun = self.begin_copy(copy, control).await?;
                Ok(Outcome::CopyIn(Box::new(begun)))
            }
            TableStatement::Change(change) => {
                self.change_rows(change, prepared, values, control).await
            }
            other => {
                let done = self.run_table_statement(other, prepared, values, control);
                done.await.map(Outcome::Done)
            }
        }
    }

    /// Counts an error that says that the catalog lacks something.
    fn noted(&self, error: Error) -> Error {
        let settings = self.settings();
        let application = settings.get("application_name").unwrap_or_default();
        self.shared
            .probes
            .note(&error, application, self.shared.clock.now());
        error
    }

    async fn declare(
        &self,
        declare: &Declare,
        planned: &PlannedQuery,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        control: &Arc<StatementControl>,
    ) -> Result<Outcome> {
        if !declare.hold
            && !self.in_implicit_block
            && self.transaction_status() == TransactionStatus::Idle
        {
            return Err(Error::new(
                SqlState::NoActiveSqlTransaction,
                "DECLARE CURSOR can only be used in transaction blocks",
            )
            .with_hint("Run BEGIN first, or declare the cursor WITH HOLD."));
        }
        let rows = self
            .rows(&declare.query, planned, prepared, values, control)
            .await?;
        let declaration = Declaration {
            name: declare.name.clone(),
            binary: declare.binary,
            keep: match declare.scroll {
                Some(true) => Keep::Everything,
                None if plan::rewinds(&planned.plan) => Keep::Some,
                _ => Keep::Nothing,
            },
            hold: declare.hold,
            depth: self.transaction.depth(),
            text: prepared.text.clone(),
        };
        Ok(Outcome::Declare(declaration, rows))
    }

    /// The values of the only row of a result, as the parameters take them.
    async fn one_row(
        &self,
        rows: Rows,
        parameters: &[Parameter],
        control: &Arc<StatementControl>,
    ) -> Result<Vec<ScalarValue>> {
        let control = Arc::clone(control);
        let first = self.shared.workers.query(async move {
            let mut stream = rows.start()?;
            while let Some(batch) = control.next(&mut stream).await? {
                if batch.num_rows() > 0 {
                    return Ok(batch);
                }
            }
            Err(Error::internal("the arguments gave no row"))
        });
        let batch = first.await?;
        batch
            .columns()
            .iter()
            .zip(parameters)
            .map(|(column, parameter)| {
                let value = ScalarValue::try_from_array(column, 0)?;
                match plan::is_deeper(&value, &parameter.data_type) {
                    true => Ok(value),
                    false => Ok(value.cast_to(&parameter.data_type)?),
                }
            })
            .collect()
    }

    /// Makes a query runnable. A plan that was made from older tables is made again, so that a
    /// statement that is prepared once sees new files.
    pub(super) async fn rows(
        &self,
        statement: &ast::Statement,
        planned: &PlannedQuery,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        control: &Arc<StatementControl>,
    ) -> Result<Rows> {
        let statement = statement.clone();
        let is_execute = matches!(
            prepared.body,
            Body::Execute { .. } | Body::ExplainExecute { .. }
        );
        let latest = match is_execute {
            true => None,
            false => lock(&prepared.latest).clone(),
        };
        let planned = latest.unwrap_or_else(|| planned.clone());
        let declared = prepared.declared.clone();
        let planning = Arc::clone(control);
        let described = match &prepared.body {
            // Described by its statement, its RETURNING or the plan's text, not by the query that runs.
            Body::Execute { .. }
            | Body::Explain { .. }
            | Body::ExplainExecute { .. }
            | Body::Table(_) => None,
            _ => prepared.columns.as_ref(),
        };
        let described = described.map(|columns| Arc::clone(&columns.schema));
        let settings = self.settings().version();
        let source = Arc::clone(&prepared.source);
        let (runnable, columns, replanned) = self
            .plan_on_thread(control, move |shared, state| async move {
                shared.lake.refresh_if_stale().await?;
                let mut replanned = None;
                let planned = match shared.generation(&state) == planned.generation {
                    true => planned,
                    false => {
                        let planned = plan::plan_query(
                            &shared,
                            &state,
                            &statement,
                            &declared,
                            planned.assignment.as_ref(),
                            &planning,
                        )
                        .await?;
                        replanned = Some(planned.clone());
                        planned
                    }
                };
                let columns = Columns {
                    schema: Arc::clone(&planned.schema),
                    names: planned.names.clone(),
                };
                if let Some(described) = described {
                    same_columns(&described, &columns.schema)?;
                }
                if planned.uses_catalog && replanned.is_none() {
                    plan::refresh_catalog(&shared, &state).await;
                }
                let runnable =
                    plan::make_runnable(&state, &shared.lake, planned, values, settings, &planning)
                        .await
                        .map_err(|error| statement::locate_constant(error, &statement, &source))?;
                Ok((runnable, columns, replanned))
            })
            .await?;
        if !is_execute && replanned.is_some() {
            *lock(&prepared.latest) = replanned;
        }
        Ok(Rows {
            columns,
            tag: "SELECT",
            source: RowSource::Query(runnable),
        })
    }

    async fn explain_prepared(
        &self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        request: ExplainRequest,
        control: &Arc<StatementControl>,
    ) -> Result<Outcome> {
        let Body::Query { statement, planned } = &prepared.body else {
            return Err(explained_alone());
        };
        let started = self.shared.clock.now();
        let rows = self
            .rows(statement, planned, prepared, values, control)
            .await?;
        self.explain(rows, request, started, control).await
    }

    async fn explain(
        &self,
        rows: Rows,
        request: ExplainRequest,
        started: SystemTime,
        control: &Arc<StatementControl>,
    ) -> Result<Outcome> {
        let RowSource::Query(runnable) = rows.source else {
            return Err(Error::internal("a plan to explain is none of a query"));
        };
        let since = |start: SystemTime| self.shared.clock.now().duration_since(start);
        let mut times = explain::Times {
            planning: since(started).unwrap_or_default(),
            ..explain::Times::default()
        };
        let plan = Arc::clone(&runnable.plan);
        if request.analyze {
            let started = self.shared.clock.now();
            self.drain(runnable, control).await?;
            times.execution = since(started).unwrap_or_default();
        }
        let lines = explain::render(plan.as_ref(), request, times);
        Ok(Outcome::Rows(Rows {
            columns: plan_column(request),
            ..Rows::text("QUERY PLAN", lines, "EXPLAIN")?
        }))
    }

    /// The value of a query of one column and one row.
    pub(super) async fn single_value(
        &self,
        query: &ast::Statement,
        control: &Arc<StatementControl>,
    ) -> Result<ScalarValue> {
        let planned = self.plan(query, &[], None, control).await?;
        let planning = Arc::clone(control);
        let runnable = self
            .plan_on_thread(control, move |shared, state| async move {
                plan::make_runnable(&state, &shared.lake, planned, Vec::new(), 0, &planning).await
            })
            .await?;
        let control = Arc::clone(control);
        let value = self.shared.workers.query(async move {
            let mut stream = execute_stream(runnable.plan, runnable.context)?;
            while let Some(batch) = control.next(&mut stream).await? {
                if let Some(column) = batch.columns().first().filter(|column| !column.is_empty()) {
                    return Ok(ScalarValue::try_from_array(column, 0)?);
                }
            }
            Err(Error::internal("a value has no row"))
        });
        value.await
    }

    /// Runs a query for its metrics alone.
    async fn drain(&self, query: RunnableQuery, control: &Arc<StatementControl>) -> Result<()> {
        let control = Arc::clone(control);
        let drained = self.shared.workers.query(async move {
            let mut stream = execute_stream(query.plan, query.context)?;
            while control.next(&mut stream).await?.is_some() {}
            Ok(())
        });
        drained.await
    }

    /// Runs `work` on a planning thread; a stopped statement does not wait for it.
    pub(super) async fn plan_on_thread<T, F, Fut>(
        &self,
        control: &Arc<StatementControl>,
        work: F,
    ) -> Result<T>
    where
        F: FnOnce(Arc<Shared>, SessionState) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>>,
        T: Send + 'static,
    {
        let facts = self.facts();
        Box::pin(self.plan_as(facts, control, work)).await
    }

    /// [`Session::plan`] of a query that reads rows given to it.
    pub(super) async fn plan_over(
        &self,
        statement: &ast::Statement,
        rows: Arc<dyn TableProvider>,
        control: &Arc<StatementControl>,
    ) -> Result<PlannedQuery> {
        let statement = statement.clone();
        let mut facts = self.facts();
        facts.view = facts.view.map(|view| Arc::new(view.with_given(rows)));
        let planning = Arc::clone(control);
        let planned = self.plan_as(facts, control, move |shared, state| async move {
            plan::plan_query(&shared, &state, &statement, &[], None, &planning).await
        });
        Box::pin(planned).await
    }

    async fn plan_as<T, F, Fut>(
        &self,
        facts: super::state::SessionVariables,
        control: &Arc<StatementControl>,
        work: F,
    ) -> Result<T>
    where
        F: FnOnce(Arc<Shared>, SessionState) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>>,
        T: Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let limit = Deadline::start(
            &self.shared.workers,
            control,
            self.shared.planning_time_max,
            StopReason::PlanningTimeout,
        );
        let planned = self.shared.workers.plan(move || {
            let state = shared.session_state(facts);
            work(shared, state)
        });
        let result = tokio::select! {
            biased;
            () = control.stopped() => Err(control.error()),
            result = planned => result,
        };
        drop(limit);
        result
    }

    /// Reads dates and times by the session's settings.
    pub(crate) fn time_reader(&self) -> Reader {
        let time = self.session_time();
        Reader::new(time.settings, time.transaction)
    }

    fn session_time(&self) -> SessionTime {
        let (transaction, statement) = self.backend.times(self.shared.clock.now());
        let settings = self.settings().time();
        SessionTime::new(settings, transaction, statement)
    }

    /// What functions may ask about this session.
    pub(super) fn facts(&self) -> super::state::SessionVariables {
        super::state::SessionVariables {
            pid: self.backend.pid,
            origin: self.backend.origin.clone(),
            settings: Arc::clone(&self.settings),
            holdings: self.holdings.clone(),
            authority: Arc::clone(&self.shared.authority),
            time: self.session_time(),
            view: self.view(),
            snapshot: Arc::clone(&self.snapshot),
            pending_jobs: self.work.jobs.clone(),
            background: self.run.is_some(),
        }
    }

    /// Makes the session one that runs a job, behind the scenes.
    pub fn work_for(&mut self, run: i64) {
        self.run = Some(run);
    }

    /// What the last refresh did.
    pub fn take_refreshed(&mut self) -> Option<Refreshed> {
        self.refreshed.take()
    }

    /// Keeps a prepared statement under a name; the unnamed one is replaced.
    pub fn store_statement(&mut self, name: &str, prepared: Arc<Prepared>) -> Result<()> {
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err(Error::duplicate_prepared_statement(format!(
                "prepared statement \"{name}\" already exists"
            )));
        }
        if self.statements.len() >= PREPARED_STATEMENTS_MAX {
            return Err(Error::program_limit_exceeded(
                "the session holds too many prepared statements",
            )
            .with_detail(format!("A session may hold {PREPARED_STATEMENTS_MAX}."))
            .with_hint("Close those that are no longer used, or run DEALLOCATE ALL."));
        }
        if !name.is_empty() {
            let held = HeldStatement {
                text: prepared.text.clone(),
                prepared_at: self.shared.clock.now(),
                parameters: prepared.parameters.iter().map(|found| found.oid).collect(),
                from_sql: prepared.from_sql,
            };
            self.holdings
                .lock()
                .statements
                .insert(name.to_owned(), held);
        }
        self.statements.insert(name.to_owned(), prepared);
        Ok(())
    }

    /// A prepared statement by name.
    pub fn statement(&self, name: &str) -> Result<Arc<Prepared>> {
        self.statements.get(name).map(Arc::clone).ok_or_else(|| {
            Error::invalid_sql_statement_name(match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            })
        })
    }

    /// Forgets a prepared statement; whether it was there.
    pub fn drop_statement(&mut self, name: &str) -> bool {
        self.holdings.lock().statements.remove(name);
        self.statements.remove(name).is_some()
    }

    /// Makes an open cursor known.
    pub fn remember_cursor(&mut self, declaration: &Declaration, columns: Columns) {
        let held = HeldCursor {
            text: declaration.text.clone(),
            created_at: self.shared.clock.now(),
            hold: declaration.hold,
            binary: declaration.binary,
            scroll: declaration.keep != Keep::Nothing,
        };
        let name = declaration.name.clone();
        self.holdings.lock().cursors.insert(name.clone(), held);
        self.cursors.insert(name, columns);
    }

    /// Makes the columns of a portal known, so that FETCH and MOVE find it by its name.
    pub fn remember_portal(&mut self, name: &str, columns: Columns) {
        self.cursors.insert(name.to_owned(), columns);
    }

    /// Forgets the cursors for which `open` does not hold.
    pub fn forget_cursors(&mut self, open: impl Fn(&str) -> bool) {
        if !self.cursors.is_empty() {
            self.holdings.lock().cursors.retain(|name, _| open(name));
            self.cursors.retain(|name, _| open(name));
        }
    }

    /// Forgets every prepared statement.
    pub fn drop_statements(&mut self) {
        self.holdings.lock().statements.clear();
        self.statements.clear();
    }
}

/// A statement that runs: its control, and its time limit, which ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// What stops it.
    pub control: Arc<StatementControl>,
    _deadline: Option<Deadline>,
}

/// A poisoned lock only means that a holder panicked; a plan stays whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 0A000 for an EXPLAIN of what has no plan.
fn explained_alone() -> Error {
    Error::feature_not_supported("EXPLAIN is available for queries")
}

/// The columns a client was told must be those it gets.
fn same_columns(described: &Schema, actual: &Schema) -> Result<()> {
    let types = |schema: &Schema| {
        schema
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect::<Vec<_>>()
    };
    if types(described) == types(actual) {
        return Ok(());
    }
    Err(
        Error::feature_not_supported("cached plan must not change result type")
            .with_detail("A table's columns changed since the statement was prepared.")
            .with_hint("Prepare the statement again."),
    )
}

/// Key of the metadata that names a field's extension type.
const EXTENSION_KEY: &str = "ARROW:extension:name";

/// The column of an EXPLAIN: text, or json for FORMAT JSON.
fn plan_column(request: ExplainRequest) -> Columns {
    let columns = text_column("QUERY PLAN");
    if !request.json {
        return columns;
    }
    let json = HashMap::from([(EXTENSION_KEY.to_owned(), "arrow.json".to_owned())]);
    let fields = columns.schema.fields().iter();
    let fields: Vec<_> = fields
        .map(|field| field.as_ref().clone().with_metadata(json.clone()))
        .collect();
    Columns {
        schema: Arc::new(Schema::new(fields)),
        ..columns
    }
}

/// One text column.
fn text_column(name: &str) -> Columns {
    Columns {
        schema: Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, false)])),
        names: vec![name.to_owned()],
    }
}
