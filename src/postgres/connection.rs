//! One client's connection after its start-up: messages in, answers out, one at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use datafusion::scalar::ScalarValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::backend::{self, Severity};
use super::copy::CopyEncoder;
use super::copy_in::{self, CopyTarget};
use super::copy_options::copy_options;
use super::decode;
use super::encode::{RowEncoder, row_description};
use super::frontend::{self, Frontend, Target};
use super::portal::{Chunk, Encoder, RunningResult, Wanted};
use super::socket::{FrameReader, FrameWriter};
use super::types::{self, Format};
use crate::engine::command::Completion;
use crate::engine::control::{StatementControl, StopReason};
use crate::engine::cursor::{Declaration, Keep, no_cursor};
use crate::engine::session::{
    Columns, CopyRequest, Outcome, Prepared, Rows, Running, Session, TransactionStatus,
};
use crate::engine::statement::Parsed;
use crate::engine::statement::session_command::Fetch;
use crate::engine::tables::CopyInto;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Length of a message after login, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Time for the last words to a client that may not read.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(2);

/// Time for stopped work to say so itself; then its client is answered and the work is abandoned.
const STOP_TIME_MAX: Duration = Duration::from_millis(500);

/// Portals that are open at the same time in one session.
const PORTALS_MAX: usize = 1_000;

/// A connection whose client is logged in.
#[derive(Debug)]
pub struct Connection<R, W> {
    reader: FrameReader<R>,
    writer: FrameWriter<W>,
    session: Session,
    portals: HashMap<String, Portal>,
    cursors: HashMap<String, Cursor>,
    /// After an error in the extended protocol everything up to Sync is skipped.
    skipping: bool,
    /// The settings that the client was told of since its greeting.
    told: HashMap<&'static str, String>,
}

/// A statement with its parameters' values, ready to execute.
#[derive(Debug)]
struct Portal {
    prepared: Arc<Prepared>,
    values: Vec<ScalarValue>,
    formats: Vec<Format>,
    state: PortalState,
    /// Whether a FETCH took rows of it in a format of its own.
    was_fetched: bool,
}

/// A declared cursor.
#[derive(Debug)]
struct Cursor {
    declaration: Declaration,
    columns: Columns,
    /// Whether the transaction that made it is still open.
    is_new: bool,
    result: Box<RunningResult>,
}

impl Cursor {
    /// The format of its rows, unless a FETCH asks for another.
    fn format(&self) -> Format {
        if self.declaration.binary {
            Format::Binary
        } else {
            Format::Text
        }
    }
}

#[derive(Debug)]
enum PortalState {
    Ready,
    Running {
        result: Box<RunningResult>,
        tag: &'static str,
    },
    Done,
}

/// Whether the connection goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Close,
}

impl<R, W> Connection<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    /// A connection of an accepted session, whose greeting waits in `writer`.
    pub fn new(reader: FrameReader<R>, writer: FrameWriter<W>, session: Session) -> Self {
        Self {
            reader,
            writer,
            session,
            portals: HashMap::new(),
            cursors: HashMap::new(),
            skipping: false,
            told: HashMap::new(),
        }
    }

    /// Serves the client until it leaves or the server ends the session.
    pub async fn serve(mut self) {
        if let Err(error) = self.run().await {
            // Whoever is to be told this may be gone.
            self.writer
                .push(&backend::error_response(Severity::Fatal, &error));
            let _gone = tokio::time::timeout(FAREWELL_TIME_MAX, self.writer.flush()).await;
        }
        self.writer.shutdown().await;
    }

    async fn run(&mut self) -> Result<()> {
        // The greeting has told them.
        let told = self.session.changed_settings();
        self.told.extend(told.unwrap_or_default());
        self.ready();
        loop {
            let backend = Arc::clone(self.session.backend());
            let idle_max = match self.session.transaction_status() {
                TransactionStatus::Idle => None,
                _ => self
                    .session
                    .settings()
                    .span("idle_in_transaction_session_timeout"),
            };
            let Self { reader, writer, .. } = self;
            let turn = async {
                // In a pipeline the answers go out together.
                if !reader.has_frame() || writer.is_full() {
                    writer.flush().await?;
                }
                reader.next(MESSAGE_BYTES_MAX).await
            };
            let is_idle =
                idle_max.is_none() && self.session.transaction_status() == TransactionStatus::Idle;
            let frame = tokio::select! {
                biased;
                () = backend.terminated() => return Err(StopReason::Termination.error()),
                frame = turn => frame?,
                () = backend.rings(), if is_idle => {
                    self.tell_notifications();
                    continue;
                }
                () = elapsed(idle_max) => return Err(Error::new(
                    SqlState::IdleInTransactionSessionTimeout,
                    "terminating connection due to idle-in-transaction timeout",
                )),
            };
            let Some((tag, body)) = frame else {
                return Ok(());
            };
            if Box::pin(self.message(tag, body)).await? == Next::Close {
                return Ok(());
            }
        }
    }

    /// Handles one message. An error that ends the connection is returned; any other is sent.
    async fn message(&mut self, tag: u8, body: Bytes) -> Result<Next> {
        let message = match frontend::decode(tag, body) {
            Ok(message) => message,
            Err(error) => {
                self.failed(&error);
                match tag {
                    b'Q' | b'F' => self.ready(),
                    b'S' => Box::pin(self.sync()).await,
                    _ => self.skipping = true,
                }
                return Ok(Next::Continue);
            }
        };
        match message {
            Frontend::Terminate => return Ok(Next::Close),
            Frontend::Sync => Box::pin(self.sync()).await,
            Frontend::Query { sql } => {
                self.skipping = false;
                Box::pin(self.simple_query(sql)).await?;
                // Of a string whose last statement was a query.
                if let Err(error) = self.session.settle().await {
                    self.failed(&error);
                }
                if self.session.backend().is_terminated() {
                    return Err(StopReason::Termination.error());
                }
                self.ready();
            }
            Frontend::FunctionCall => {
                self.failed(&Error::feature_not_supported(
                    "function calls by message are not supported",
                ));
                self.ready();
            }
            // A client may still send COPY data after it was told of an error.
            Frontend::CopyData(_)
            | Frontend::CopyDone
            | Frontend::CopyFail(_)
            | Frontend::Flush => {}
            Frontend::Password(_) => {
                return Err(Error::protocol_violation("a password was not asked for"));
            }
            _ if self.skipping => {}
            message => {
                let result = self.extended(message).await;
                if let Err(error) = result {
                    if error.state() == SqlState::ConnectionFailure {
                        return Err(error);
                    }
                    self.failed(&error);
                    self.skipping = true;
                }
            }
        }
        match self.session.backend().is_terminated() {
            true => Err(StopReason::Termination.error()),
            false => Ok(Next::Continue),
        }
    }

    /// ReadyForQuery. Portals end with their transaction.
    fn ready(&mut self) {
        self.session.in_implicit_block = false;
        self.session.rest();
        let status = self.session.transaction_status();
        if status == TransactionStatus::Idle {
            self.portals.clear();
            self.cursors.retain(|_, cursor| cursor.declaration.hold);
            for cursor in self.cursors.values_mut() {
                cursor.is_new = false;
            }
            self.forget_cursors();
            self.tell_notifications();
        }
        for (name, value) in self.session.changed_settings().unwrap_or_default() {
            if self.told.get(name) != Some(&value) {
                self.writer.push(&backend::parameter_status(name, &value));
                self.told.insert(name, value);
            }
        }
        self.session.end();
        self.writer.push(&backend::ready_for_query(match status {
            TransactionStatus::Idle => backend::TransactionStatus::Idle,
            TransactionStatus::InTransaction => backend::TransactionStatus::Active,
            TransactionStatus::Failed => backend::TransactionStatus::Failed,
        }));
    }

    fn tell_notifications(&mut self) {
        for notification in self.session.backend().notifications() {
            self.writer.push(&backend::notification_response(
                notification.pid,
                &notification.channel,
                &notification.payload,
            ));
        }
    }

    async fn sync(&mut self) {
        self.skipping = false;
        if let Err(error) = self.session.settle().await {
            self.failed(&error);
        }
        self.ready();
    }

    /// Tells the client of an error and fails its transaction block.
    fn failed(&mut self, error: &Error) {
        self.session.fail_transaction();
        if error.state() == SqlState::InternalError {
            tracing::error!(pid = self.session.backend().pid, error = ?error, "internal error");
        }
        if error.state() == SqlState::AdminShutdown && self.session.backend().is_terminated() {
            return; // The connection ends, and says so once, as FATAL.
        }
        self.writer
            .push(&backend::error_response(Severity::Error, error));
    }

    // --- simple protocol ---

    /// Runs every statement of a query string; the first error ends it.
    async fn simple_query(&mut self, sql: String) -> Result<()> {
        let running = self.session.begin(&sql);
        let parse = self.session.parse(&sql, &running.control);
        let parsed = match guarded(&mut self.reader, &running.control, parse).await {
            Ok(parsed) => parsed,
            Err(error) => {
                self.failed(&error);
                return Ok(());
            }
        };
        drop(running);
        if parsed.is_empty() {
            self.writer.push(&backend::empty_query_response());
        }
        self.session.in_implicit_block = parsed.len() > 1;
        let last = parsed.len().saturating_sub(1);
        for (at, statement) in parsed.into_iter().enumerate() {
            let running = self.session.begin(&statement.text);
            match self.simple_statement(statement, at == last, &running).await {
                Ok(()) => {}
                Err(error) if error.state() == SqlState::ConnectionFailure => return Err(error),
                Err(error) => {
                    self.failed(&error);
                    return Ok(());
                }
            }
        }
        if self.session.has_changes_to_make() {
            // Not the query string: a password may be in it.
            let running = self.session.begin("COMMIT");
            if let Err(error) = Box::pin(self.session.make_changes(&running.control)).await {
                self.failed(&error);
            }
        }
        Ok(())
    }

    /// Runs a statement; with the last one of a query string, what they did is committed before the client
    /// hears that it is done.
    async fn simple_statement(
        &mut self,
        statement: Parsed,
        is_last: bool,
        running: &Running,
    ) -> Result<()> {
        let control = &running.control;
        let prepare = Box::pin(self.session.prepare(statement, Vec::new(), control));
        let prepared = guarded(&mut self.reader, control, prepare).await?;
        if let Some(number) = prepared.parameters.len().checked_sub(1) {
            return Err(Error::undefined_parameter(format!(
                "there is no parameter ${}",
                number + 1
            )));
        }
        let prepared_columns = prepared.columns.clone().unwrap_or_else(Columns::none);
        let execute = Box::pin(self.session.execute(&prepared, Vec::new(), control));
        match guarded(&mut self.reader, control, execute).await? {
            Outcome::Rows(rows) => {
                if is_last && rows.are_ready() {
                    self.session.settle().await?;
                }
                let formats = vec![Format::Text; rows.columns.names.len()];
                self.describe_rows(&rows.columns, &formats)?;
                let tag = rows.tag;
                let mut result = self.start(rows, &formats, Keep::Nothing)?;
                self.stream(&mut result, u64::MAX, None, tag, control)
                    .await
                    .map(|_| ())
            }
            Outcome::Copy(rows, request) => self.copy_out(rows, &request, control).await,
            Outcome::CopyIn(copy) => {
                let completion = Box::pin(self.copy_in(*copy, control)).await?;
                if is_last {
                    self.session.settle().await?;
                }
                self.complete(completion);
                Ok(())
            }
            Outcome::Done(completion) => {
                if is_last {
                    self.session.settle().await?;
                }
                self.complete(completion);
                Ok(())
            }
            Outcome::Empty => {
                self.writer.push(&backend::empty_query_response());
                Ok(())
            }
            Outcome::Fetch(request) => {
                let (columns, format) = match self.cursors.get(&request.cursor) {
                    Some(cursor) => (cursor.columns.clone(), cursor.format()),
                    None => (prepared_columns, Format::Text),
                };
                let formats = vec![format; columns.names.len()];
                if !request.is_move {
                    self.describe_rows(&columns, &formats)?;
                }
                self.fetch(&request, &formats, control).await
            }
            outcome => self.cursor_command(outcome),
        }
    }

    // --- cursors ---

    fn cursor_command(&mut self, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Declare(declaration, rows) => {
                self.declare(declaration, rows)?;
                self.writer
                    .push(&backend::command_complete("DECLARE CURSOR"));
            }
            Outcome::Close(Some(name)) => {
                self.cursors.remove(&name).ok_or_else(|| no_cursor(&name))?;
                self.forget_cursors();
                self.writer.push(&backend::command_complete("CLOSE CURSOR"));
            }
            Outcome::Close(None) => {
                self.cursors.clear();
                self.forget_cursors();
                self.writer
                    .push(&backend::command_complete("CLOSE CURSOR ALL"));
            }
            other => return Err(Error::internal(format!("no command on cursors: {other:?}"))),
        }
        Ok(())
    }

    fn declare(&mut self, declaration: Declaration, rows: Rows) -> Result<()> {
        let name = declaration.name.clone();
        if self.cursors.contains_key(&name) {
            return Err(Error::duplicate_cursor(format!(
                "cursor \"{name}\" already exists"
            )));
        }
        if self.cursors.len() >= PORTALS_MAX {
            return Err(
                Error::program_limit_exceeded("the session has too many open cursors")
                    .with_detail(format!("A session may have {PORTALS_MAX}.")),
            );
        }
        let columns = rows.columns.clone();
        let formats = vec![Format::Text; columns.names.len()];
        let result = Box::new(self.start(rows, &formats, declaration.keep)?);
        self.session.remember_cursor(&declaration, columns.clone());
        let is_new = self.session.transaction_status() != TransactionStatus::Idle;
        self.cursors.insert(
            name,
            Cursor {
                declaration,
                columns,
                is_new,
                result,
            },
        );
        Ok(())
    }

    /// Sends rows of a cursor, or passes over them.
    async fn fetch(
        &mut self,
        request: &Fetch,
        formats: &[Format],
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        if let Some(mut portal) = self.portals.remove(&request.cursor) {
            let sent = self
                .fetch_portal(&mut portal, request, formats, control)
                .await;
            self.portals.insert(request.cursor.clone(), portal);
            self.fetched(request, sent?);
            return Ok(());
        }
        let mut cursor = self
            .cursors
            .remove(&request.cursor)
            .ok_or_else(|| no_cursor(&request.cursor))?;
        let (wanted, encoder) = match request.is_move {
            true => (Wanted::Move(request.direction), None),
            false => {
                let schema = &cursor.columns.schema;
                let style = self.session.text_style(schema);
                let encoder = RowEncoder::try_new(schema, formats, &style)?;
                (
                    Wanted::Fetch(request.direction),
                    Some(Encoder::Rows(encoder)),
                )
            }
        };
        let sent = self
            .send_rows(&mut cursor.result, wanted, encoder, control)
            .await;
        self.cursors.insert(request.cursor.clone(), cursor);
        self.fetched(request, sent?);
        Ok(())
    }

    fn fetched(&mut self, request: &Fetch, sent: u64) {
        let verb = if request.is_move { "MOVE" } else { "FETCH" };
        self.writer
            .push(&backend::command_complete(&format!("{verb} {sent}")));
    }

    /// FETCH and MOVE in a portal that Bind made.
    async fn fetch_portal(
        &mut self,
        portal: &mut Portal,
        request: &Fetch,
        formats: &[Format],
        control: &Arc<StatementControl>,
    ) -> Result<u64> {
        if matches!(portal.state, PortalState::Ready) {
            let values = std::mem::take(&mut portal.values);
            let prepared = Arc::clone(&portal.prepared);
            let execute = Box::pin(self.session.execute(&prepared, values, control));
            portal.state = match guarded(&mut self.reader, control, execute).await? {
                Outcome::Rows(rows) => PortalState::Running {
                    tag: rows.tag,
                    result: Box::new(self.start(rows, &portal.formats, Keep::Nothing)?),
                },
                _ => PortalState::Done,
            };
        }
        let PortalState::Running { result, .. } = &mut portal.state else {
            return Ok(0);
        };
        if request.is_move {
            let wanted = Wanted::Move(request.direction);
            return self.send_rows(result, wanted, None, control).await;
        }
        let schema = match &portal.prepared.columns {
            Some(columns) => Arc::clone(&columns.schema),
            None => return Ok(0),
        };
        portal.was_fetched = true;
        let encoder = RowEncoder::try_new(&schema, formats, &self.session.text_style(&schema))?;
        let wanted = Wanted::Fetch(request.direction);
        self.send_rows(result, wanted, Some(Encoder::Rows(encoder)), control)
            .await
    }

    async fn send_rows(
        &mut self,
        result: &mut RunningResult,
        wanted: Wanted,
        encoder: Option<Encoder>,
        control: &Arc<StatementControl>,
    ) -> Result<u64> {
        let mut sent = 0;
        result.fetch(wanted, control, encoder).await?;
        while let Chunk::Rows(bytes, rows) = self.next_chunk(result, control).await? {
            self.send_chunk(bytes, control).await?;
            sent += rows;
        }
        Ok(sent)
    }

    fn forget_cursors(&mut self) {
        let Self {
            session,
            cursors,
            portals,
            ..
        } = self;
        session.forget_cursors(|name| cursors.contains_key(name) || portals.contains_key(name));
    }

    // --- extended protocol ---

    async fn extended(&mut self, message: Frontend) -> Result<()> {
        match message {
            Frontend::Parse {
                name,
                sql,
                parameter_types,
            } => self.parse(&name, sql, &parameter_types).await,
            Frontend::Bind {
                portal,
                statement,
                parameter_formats,
                parameters,
                result_formats,
            } => self.bind(
                portal,
                &statement,
                &parameter_formats,
                &parameters,
                &result_formats,
            ),
            Frontend::Describe {
                kind: Target::Statement,
                name,
            } => self.describe_statement(&name),
            Frontend::Describe {
                kind: Target::Portal,
                name,
            } => self.describe_portal(&name),
            Frontend::Execute { portal, max_rows } => self.execute(&portal, max_rows).await,
            Frontend::Close {
                kind: Target::Statement,
                name,
            } => {
                self.session.drop_statement(&name);
                self.writer.push(&backend::close_complete());
                Ok(())
            }
            Frontend::Close {
                kind: Target::Portal,
                name,
            } => {
                self.portals.remove(&name);
                self.forget_cursors();
                self.writer.push(&backend::close_complete());
                Ok(())
            }
            other => Err(Error::protocol_violation(format!(
                "unexpected message {other:?}"
            ))),
        }
    }

    async fn parse(&mut self, name: &str, sql: String, parameter_types: &[u32]) -> Result<()> {
        // Zero and `unknown` leave the type to be found from the parameter's use.
        let declared = parameter_types
            .iter()
            .map(|oid| Some(*oid).filter(|oid| ![0, types::UNKNOWN.oid].contains(oid)))
            .collect();
        let running = self.session.begin(&sql);
        let control = &running.control;
        let parse = self.session.parse(&sql, control);
        let mut parsed = guarded(&mut self.reader, control, parse).await?;
        if parsed.len() > 1 {
            return Err(Error::syntax_error(
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        let parsed = parsed.pop().unwrap_or_else(Parsed::empty);
        let prepare = Box::pin(self.session.prepare(parsed, declared, control));
        let prepared = guarded(&mut self.reader, control, prepare).await?;
        self.session.store_statement(name, Arc::new(prepared))?;
        self.writer.push(&backend::parse_complete());
        Ok(())
    }

    fn bind(
        &mut self,
        portal: String,
        statement: &str,
        parameter_formats: &[i16],
        parameters: &[Option<Bytes>],
        result_formats: &[i16],
    ) -> Result<()> {
        let prepared = self.session.statement(statement)?;
        if parameters.len() != prepared.parameters.len() {
            return Err(Error::protocol_violation(format!(
                "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {}",
                parameters.len(),
                prepared.parameters.len()
            )));
        }
        let time = self.session.time_reader();
        let formats = Format::expand(parameter_formats, parameters.len(), "parameter")?;
        let values = prepared
            .parameters
            .iter()
            .zip(parameters)
            .zip(formats)
            .map(|((parameter, bytes), format)| {
                // A type without a codec of its own is read as the text it is held as.
                let oid = types::by_oid(parameter.oid).map_or(types::TEXT.oid, |known| known.oid);
                let target = Some(&parameter.data_type);
                decode::parameter(oid, target, format, bytes.as_deref(), &time)
            })
            .collect::<Result<Vec<_>>>()?;
        let width = prepared
            .columns
            .as_ref()
            .map_or(0, |columns| columns.names.len());
        let formats = Format::expand(result_formats, width, "result")?;
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return Err(Error::duplicate_cursor(format!(
                "cursor \"{portal}\" already exists"
            )));
        }
        if self.portals.len() >= PORTALS_MAX {
            return Err(
                Error::program_limit_exceeded("the session has too many open portals")
                    .with_detail(format!("A session may have {PORTALS_MAX}.")),
            );
        }
        if let Some(columns) = prepared.columns.as_ref().filter(|_| !portal.is_empty()) {
            // SQL may move in it by its name.
            self.session.remember_portal(&portal, columns.clone());
        }
        self.portals.insert(
            portal,
            Portal {
                prepared,
                values,
                formats,
                state: PortalState::Ready,
                was_fetched: false,
            },
        );
        self.writer.push(&backend::bind_complete());
        Ok(())
    }

    fn describe_statement(&mut self, name: &str) -> Result<()> {
        let prepared = self.session.statement(name)?;
        let oids: Vec<u32> = prepared
            .parameters
            .iter()
            .map(|parameter| parameter.oid)
            .collect();
        self.writer.push(&backend::parameter_description(&oids)?);
        match &prepared.columns {
            Some(columns) => self.describe_rows(columns, &vec![Format::Text; columns.names.len()]),
            None => {
                self.writer.push(&backend::no_data());
                Ok(())
            }
        }
    }

    /// Describes a portal, or the cursor of that name: drivers ask for a declared cursor's columns so.
    fn describe_portal(&mut self, name: &str) -> Result<()> {
        let (columns, formats) = match (self.portals.get(name), self.cursors.get(name)) {
            (Some(portal), _) => (portal.prepared.columns.clone(), portal.formats.clone()),
            (None, Some(cursor)) => (
                Some(cursor.columns.clone()),
                vec![cursor.format(); cursor.columns.names.len()],
            ),
            (None, None) => return Err(no_portal(name)),
        };
        match columns {
            Some(columns) => self.describe_rows(&columns, &formats),
            None => {
                self.writer.push(&backend::no_data());
                Ok(())
            }
        }
    }

    fn describe_rows(&mut self, columns: &Columns, formats: &[Format]) -> Result<()> {
        self.writer
            .push(&row_description(&columns.schema, &columns.names, formats)?);
        Ok(())
    }

    async fn execute(&mut self, name: &str, max_rows: i32) -> Result<()> {
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let running = self.session.begin(&portal.prepared.text);
        let result = self
            .execute_portal(&mut portal, max_rows, &running.control)
            .await;
        if result.is_ok() {
            self.portals.insert(name.to_owned(), portal);
        }
        result
    }

    async fn execute_portal(
        &mut self,
        portal: &mut Portal,
        max_rows: i32,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        // Zero and negative mean no limit; a limit is a count, never a size to allocate.
        let rows_max = u64::try_from(max_rows)
            .ok()
            .filter(|rows| *rows > 0)
            .unwrap_or(u64::MAX);
        if matches!(portal.state, PortalState::Ready) {
            let values = std::mem::take(&mut portal.values);
            let prepared = Arc::clone(&portal.prepared);
            let execute = Box::pin(self.session.execute(&prepared, values, control));
            match guarded(&mut self.reader, control, execute).await? {
                Outcome::Rows(rows) => {
                    let tag = rows.tag;
                    let result = Box::new(self.start(rows, &portal.formats, Keep::Nothing)?);
                    portal.state = PortalState::Running { result, tag };
                }
                Outcome::Copy(rows, request) => {
                    portal.state = PortalState::Done;
                    return self.copy_out(rows, &request, control).await;
                }
                Outcome::CopyIn(copy) => {
                    portal.state = PortalState::Done;
                    let completion = Box::pin(self.copy_in(*copy, control)).await?;
                    self.complete(completion);
                    return Ok(());
                }
                Outcome::Done(completion) => {
                    portal.state = PortalState::Done;
                    self.complete(completion);
                    return Ok(());
                }
                Outcome::Empty => {
                    portal.state = PortalState::Done;
                    self.writer.push(&backend::empty_query_response());
                    return Ok(());
                }
                Outcome::Fetch(request) => {
                    portal.state = PortalState::Done;
                    let formats = portal.formats.clone();
                    return self.fetch(&request, &formats, control).await;
                }
                outcome => {
                    portal.state = PortalState::Done;
                    return self.cursor_command(outcome);
                }
            }
        }
        let encoder = match (
            std::mem::take(&mut portal.was_fetched),
            &portal.prepared.columns,
        ) {
            (true, Some(columns)) => {
                let style = self.session.text_style(&columns.schema);
                let encoder = RowEncoder::try_new(&columns.schema, &portal.formats, &style)?;
                Some(Encoder::Rows(encoder))
            }
            _ => None,
        };
        match &mut portal.state {
            PortalState::Running { result, tag } => {
                let tag = *tag;
                if self.stream(result, rows_max, encoder, tag, control).await? == Streamed::Finished
                {
                    portal.state = PortalState::Done;
                }
                Ok(())
            }
            PortalState::Ready | PortalState::Done => {
                // Executing a finished portal again gives no rows, as in PostgreSQL.
                self.writer.push(&backend::command_complete("SELECT 0"));
                Ok(())
            }
        }
    }

    // --- results ---

    fn start(&self, rows: Rows, formats: &[Format], keep: Keep) -> Result<RunningResult> {
        let style = self.session.text_style(&rows.columns.schema);
        let encoder = RowEncoder::try_new(&rows.columns.schema, formats, &style)?;
        Ok(RunningResult::start(
            self.session.workers(),
            rows,
            Encoder::Rows(encoder),
            keep,
        ))
    }

    /// Sends up to `rows_max` rows and the message that ends them.
    async fn stream(
        &mut self,
        result: &mut RunningResult,
        rows_max: u64,
        encoder: Option<Encoder>,
        tag: &str,
        control: &Arc<StatementControl>,
    ) -> Result<Streamed> {
        let mut sent = 0;
        result
            .fetch(Wanted::Next(rows_max), control, encoder)
            .await?;
        loop {
            match self.next_chunk(result, control).await? {
                Chunk::Rows(bytes, rows) => {
                    self.send_chunk(bytes, control).await?;
                    sent += rows;
                }
                Chunk::Suspended => {
                    self.writer.push(&backend::portal_suspended());
                    return Ok(Streamed::Suspended);
                }
                Chunk::Finished => {
                    let tag = match tag {
                        "SHOW" | "EXPLAIN" => tag.to_owned(),
                        tag => format!("{tag} {sent}"),
                    };
                    self.writer.push(&backend::command_complete(&tag));
                    return Ok(Streamed::Finished);
                }
            }
        }
    }

    async fn copy_out(
        &mut self,
        rows: Rows,
        request: &CopyRequest,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        let options = copy_options(request)?;
        options.check_to()?;
        let encoder_format = options.wire_format();
        let encoder = CopyEncoder::try_new(
            &rows.columns.schema,
            &rows.columns.names,
            options.clone(),
            &self.session.text_style(&rows.columns.schema),
        )?;
        let width = u16::try_from(rows.columns.names.len())
            .map_err(|_| Error::program_limit_exceeded("a COPY has too many columns"))?;
        self.writer
            .push(&backend::copy_out_response(encoder_format, width));
        let mut header = BytesMut::new();
        encoder.header(&mut header)?;
        self.writer.push(&header);
        let mut result = RunningResult::start(
            self.session.workers(),
            rows,
            Encoder::Copy(encoder),
            Keep::Nothing,
        );
        let mut sent = 0;
        result.fetch(Wanted::Next(u64::MAX), control, None).await?;
        while let Chunk::Rows(bytes, rows) = self.next_chunk(&mut result, control).await? {
            self.send_chunk(bytes, control).await?;
            sent += rows;
        }
        let mut trailer = BytesMut::new();
        CopyEncoder::trailer(&options, sent, &mut trailer)?;
        self.writer.push(&trailer);
        self.writer.push(&backend::copy_done());
        self.writer
            .push(&backend::command_complete(&format!("COPY {sent}")));
        Ok(())
    }

    /// Takes rows from the client until it ends them. What it sends after an error is passed over.
    async fn copy_in(
        &mut self,
        copy: CopyInto,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        let options = copy_options(&copy.request)?;
        let width = u16::try_from(copy.columns.names.len())
            .map_err(|_| Error::program_limit_exceeded("a COPY has too many columns"))?;
        self.writer
            .push(&backend::copy_in_response(options.wire_format(), width));
        self.writer.flush().await?;
        let (sender, chunks) = mpsc::channel(COPY_CHUNKS_MAX);
        let (table, columns) = (copy.table.clone(), copy.columns.clone());
        let time = self.session.time_reader();
        let skipped = Arc::new(AtomicU64::new(0));
        let rows = copy_in::batches(
            chunks,
            options,
            CopyTarget {
                table,
                columns,
                skipped: Arc::clone(&skipped),
            },
            time,
        )?;
        let Self {
            reader, session, ..
        } = self;
        let client = async {
            // Dropped with the last chunk, which tells that the rows are complete.
            let sender = sender;
            while let Some(chunk) = copy_chunk(reader).await {
                let failed = chunk.is_err();
                if sender.send(chunk).await.is_err() || failed {
                    break;
                }
            }
        };
        let work = session.copy_rows(copy, rows, control);
        let (mut client, mut work) = (std::pin::pin!(client), std::pin::pin!(work));
        let done = tokio::select! {
            biased;
            done = &mut work => done,
            () = &mut client => work.await,
        };
        let mut completion = done?;
        completion
            .notices
            .extend(copy_in::skipped_notice(skipped.load(Ordering::Acquire)));
        Ok(completion)
    }

    async fn next_chunk(
        &mut self,
        result: &mut RunningResult,
        control: &Arc<StatementControl>,
    ) -> Result<Chunk> {
        let Self { reader, writer, .. } = self;
        let next = async {
            // What was said before (a row description) goes out while the first rows are computed.
            writer.flush().await?;
            result.chunk().await
        };
        guarded(reader, control, next).await
    }

    /// Writes rows. A statement that is stopped while its client does not read stops at once; what
    /// was begun is still written whole, so that the error behind it can be understood.
    async fn send_chunk(
        &mut self,
        mut bytes: Bytes,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        let Self { reader, writer, .. } = self;
        let mut stopped = false;
        while !bytes.is_empty() {
            tokio::select! {
                written = writer.write_chunk(&mut bytes) => written?,
                () = reader.closed() => {
                    control.stop(StopReason::ClientGone);
                    return Err(Error::new(SqlState::ConnectionFailure, "the client closed the connection"));
                }
                () = control.stopped(), if !stopped => stopped = true,
            }
            if stopped && !bytes.is_empty() {
                // The rest goes out when the client reads again; the statement itself has ended.
                self.writer.push(&bytes);
                return Err(control.error());
            }
        }
        Ok(())
    }

    fn complete(&mut self, completion: Completion) {
        for notice in &completion.notices {
            let severity = match notice.state() {
                // What was skipped because it is there, or is not.
                SqlState::SuccessfulCompletion
                | SqlState::DuplicateColumn
                | SqlState::DuplicateSchema
                | SqlState::DuplicateTable
                | SqlState::InvalidSchemaName
                | SqlState::UndefinedColumn
                | SqlState::UndefinedObject
                | SqlState::UndefinedTable => Severity::Notice,
                _ => Severity::Warning,
            };
            self.writer.push(&backend::notice_response(
                severity,
                notice.state().code(),
                notice,
            ));
        }
        if completion.closes_portals {
            self.portals.clear();
            self.cursors.retain(|_, cursor| {
                cursor.declaration.hold
                    && !completion.closes_held
                    && !(completion.rolls_back && cursor.is_new)
            });
            for cursor in self.cursors.values_mut() {
                cursor.is_new = false;
            }
            self.forget_cursors();
        }
        if let Some(depth) = completion.closes_above {
            self.cursors
                .retain(|_, cursor| !cursor.is_new || cursor.declaration.depth <= depth);
            self.forget_cursors();
        }
        self.writer
            .push(&backend::command_complete(&completion.tag));
    }
}

/// Messages of a COPY that wait to be read.
const COPY_CHUNKS_MAX: usize = 16;

/// The next bytes of a COPY, or why it ends; `None` at its end.
async fn copy_chunk<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>) -> Option<Result<Bytes>> {
    loop {
        let message = match reader.next(MESSAGE_BYTES_MAX).await {
            Ok(Some((tag, body))) => frontend::decode(tag, body),
            Ok(None) => {
                let gone = "the client closed the connection during a COPY";
                return Some(Err(Error::new(SqlState::ConnectionFailure, gone)));
            }
            Err(error) => Err(error),
        };
        return match message {
            Ok(Frontend::CopyData(bytes)) => Some(Ok(bytes)),
            Ok(Frontend::CopyDone) => None,
            Ok(Frontend::CopyFail(reason)) => Some(Err(Error::new(
                SqlState::QueryCanceled,
                format!("COPY from stdin failed: {reason}"),
            ))),
            // Drivers of the extended protocol send these ahead.
            Ok(Frontend::Flush | Frontend::Sync) => continue,
            Ok(_) => Some(Err(Error::protocol_violation(
                "unexpected message during COPY from stdin",
            ))),
            Err(error) => Some(Err(error)),
        };
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Streamed {
    Suspended,
    Finished,
}

/// Awaits work of a statement while watching for its client to leave.
async fn guarded<R, T>(
    reader: &mut FrameReader<R>,
    control: &Arc<StatementControl>,
    work: impl Future<Output = Result<T>>,
) -> Result<T>
where
    R: AsyncRead + Unpin,
{
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        result = &mut work => return result,
        () = reader.closed() => {
            control.stop(StopReason::ClientGone);
            return Err(Error::new(SqlState::ConnectionFailure, "the client closed the connection"));
        }
        () = control.stopped() => {}
    }
    // Stopped: what runs usually says so itself in a moment.
    match tokio::time::timeout(STOP_TIME_MAX, work).await {
        Ok(result) => result,
        Err(_) => Err(control.error()),
    }
}

/// Completes after `limit`; never without one.
async fn elapsed(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

fn no_portal(name: &str) -> Error {
    Error::invalid_cursor_name(format!("portal \"{name}\" does not exist"))
}
