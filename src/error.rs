//! The server's one error type: what happened (a SQLSTATE), and the words for the person at psql.

use std::fmt;

use crate::sqlstate::SqlState;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failure with the SQLSTATE and the text a client sees.
///
/// `Display` prints the primary message only (lower case, no full stop); detail and hint are full
/// sentences; the cause is reached through [`std::error::Error::source`]. Severity is not part of
/// the error: the wire decides between ERROR and FATAL.
pub struct Error(Box<Parts>);

#[derive(Debug)]
struct Parts {
    state: SqlState,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    /// One-based character offset into the statement, as in PostgreSQL's `P` field.
    position: Option<usize>,
    /// One-based line and column in the statement, before they are made a position.
    place: Option<(u64, u64)>,
    /// The constant in the statement that could not be read.
    constant: Option<String>,
    source: Option<Source>,
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident => $state:ident;)*) => {
        impl Error {
            $(
                $(#[$doc])*
                pub fn $name(message: impl Into<String>) -> Self {
                    Self::new(SqlState::$state, message)
                }
            )*
        }
    };
}

conditions! {
    /// 57P01: the server, or an administrator, ends this session.
    admin_shutdown => AdminShutdown;
    /// 42702: a name that fits several columns.
    ambiguous_column => AmbiguousColumn;
    /// 57P03: the server is starting or draining.
    cannot_connect_now => CannotConnectNow;
    /// 42846: no cast between two types.
    cannot_coerce => CannotCoerce;
    /// 22021: bytes that are not UTF-8.
    character_not_in_repertoire => CharacterNotInRepertoire;
    /// XX001: a data file that cannot be read as what it claims to be.
    data_corrupted => DataCorrupted;
    /// 42804: types that do not fit together.
    datatype_mismatch => DatatypeMismatch;
    /// 22012.
    division_by_zero => DivisionByZero;
    /// 42P03: a portal or cursor of that name exists.
    duplicate_cursor => DuplicateCursor;
    /// 42P05: a prepared statement of that name exists.
    duplicate_prepared_statement => DuplicatePreparedStatement;
    /// 0A000.
    feature_not_supported => FeatureNotSupported;
    /// 25P02: the transaction failed earlier.
    in_failed_sql_transaction => InFailedSqlTransaction;
    /// 42501.
    insufficient_privilege => InsufficientPrivilege;
    /// 28000: who connects is not acceptable.
    invalid_authorization => InvalidAuthorizationSpecification;
    /// 22P03: a binary value of the wrong length or form.
    invalid_binary_representation => InvalidBinaryRepresentation;
    /// 3D000: no database of that name.
    invalid_catalog_name => InvalidCatalogName;
    /// 34000: no portal or cursor of that name.
    invalid_cursor_name => InvalidCursorName;
    /// 22023.
    invalid_parameter_value => InvalidParameterValue;
    /// 3F000: no schema of that name.
    invalid_schema_name => InvalidSchemaName;
    /// 26000: no prepared statement of that name.
    invalid_sql_statement_name => InvalidSqlStatementName;
    /// 22P02: text that is no value of its type.
    invalid_text_representation => InvalidTextRepresentation;
    /// 58030: the operating system or the object store failed.
    io_error => IoError;
    /// 22003.
    numeric_value_out_of_range => NumericValueOutOfRange;
    /// 55006.
    object_in_use => ObjectInUse;
    /// 53200: a query went over its memory limit.
    out_of_memory => OutOfMemory;
    /// 54000: a value or result over a fixed limit.
    program_limit_exceeded => ProgramLimitExceeded;
    /// 08P01: a message that breaks the protocol.
    protocol_violation => ProtocolViolation;
    /// 57014: cancelled by the user, a timeout or a limit.
    query_canceled => QueryCanceled;
    /// 54001: a statement over the limits of depth or size.
    statement_too_complex => StatementTooComplex;
    /// 42601.
    syntax_error => SyntaxError;
    /// 53300.
    too_many_connections => TooManyConnections;
    /// 42703.
    undefined_column => UndefinedColumn;
    /// 58P01: a file or object that is not there.
    undefined_file => UndefinedFile;
    /// 42883.
    undefined_function => UndefinedFunction;
    /// 42704: no setting, type or other object of that name.
    undefined_object => UndefinedObject;
    /// 42P02: a parameter that was never declared or bound.
    undefined_parameter => UndefinedParameter;
    /// 42P01.
    undefined_table => UndefinedTable;
    /// 42809: an object of another kind than the statement needs.
    wrong_object_type => WrongObjectType;
}

impl Error {
    /// An error of the given condition; prefer the constructor named after the condition.
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            state,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            place: None,
            constant: None,
            source: None,
        }))
    }

    /// XX000: a broken invariant of ours. Logged at ERROR with its cause when it reaches a client.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(SqlState::InternalError, message)
    }

    /// Adds the DETAIL field.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds the HINT field.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the POSITION field: a one-based character offset into the statement.
    #[must_use]
    pub fn with_position(mut self, position: usize) -> Self {
        self.0.position = Some(position);
        self
    }

    /// Remembers the line and column that the error is about; whoever has the text makes them a position.
    #[must_use]
    pub fn with_place(mut self, line: u64, column: u64) -> Self {
        self.0.place = Some((line, column));
        self
    }

    /// The line and column that the error is about.
    pub fn place(&self) -> Option<(u64, u64)> {
        self.0.place
    }

    /// Remembers the constant that could not be read; whoever has the statement finds its position.
    #[must_use]
    pub fn with_constant(mut self, text: impl Into<String>) -> Self {
        self.0.constant = Some(text.into());
        self
    }

    /// The constant that could not be read.
    pub fn constant(&self) -> Option<&str> {
        self.0.constant.as_deref()
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error without its cause, for one failure that several receivers share.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let parts = &self.0;
        Self(Box::new(Parts {
            state: parts.state,
            message: parts.message.clone(),
            detail: parts.detail.clone(),
            hint: parts.hint.clone(),
            position: parts.position,
            place: parts.place,
            constant: parts.constant.clone(),
            source: None,
        }))
    }

    /// The condition.
    pub fn state(&self) -> SqlState {
        self.0.state
    }

    /// The primary message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The DETAIL field.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The HINT field.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The POSITION field, one-based characters.
    pub fn position(&self) -> Option<usize> {
        self.0.position
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// So that an error of ours survives a trip through DataFusion and is unwrapped on the way out.
impl From<Error> for datafusion::error::DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}
