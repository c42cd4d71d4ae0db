//! SQLSTATE codes by the condition names of PostgreSQL's Appendix A; only those this server sends, and
//! the one map from foreign errors to them.

use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion_functions_loyalty::Refusal;
use parquet::errors::ParquetError;

use crate::error::Error;

/// A PostgreSQL error condition.
///
/// The variants carry the condition names of PostgreSQL's Appendix A ("PostgreSQL Error Codes");
/// [`SqlState::code`] gives the five characters that clients match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each variant is named and defined by PostgreSQL's Appendix A"
)]
pub enum SqlState {
    ActiveSqlTransaction,
    AdminShutdown,
    AmbiguousColumn,
    AmbiguousFunction,
    AmbiguousParameter,
    ArraySubscriptError,
    BadCopyFileFormat,
    CannotCoerce,
    CannotConnectNow,
    CantChangeRuntimeParam,
    CardinalityViolation,
    CharacterNotInRepertoire,
    ConnectionFailure,
    DataCorrupted,
    DatatypeMismatch,
    DatetimeFieldOverflow,
    DeadlockDetected,
    DependentObjectsStillExist,
    DiskFull,
    DivisionByZero,
    DuplicateColumn,
    DuplicateCursor,
    DuplicateObject,
    DuplicatePreparedStatement,
    DuplicateSchema,
    DuplicateTable,
    FeatureNotSupported,
    GeneratedAlways,
    GroupingError,
    IdleInTransactionSessionTimeout,
    IndeterminateDatatype,
    InFailedSqlTransaction,
    InsufficientPrivilege,
    InvalidArgumentForWidthBucket,
    InternalError,
    IntervalFieldOverflow,
    InvalidArgumentForLogarithm,
    InvalidArgumentForPowerFunction,
    InvalidAuthorizationSpecification,
    InvalidBinaryRepresentation,
    InvalidCatalogName,
    InvalidColumnReference,
    InvalidCursorName,
    InvalidDatetimeFormat,
    InvalidGrantOperation,
    InvalidName,
    InvalidEscapeSequence,
    InvalidObjectDefinition,
    InvalidParameterValue,
    InvalidPassword,
    InvalidRecursion,
    InvalidRegularExpression,
    InvalidRowCountInLimitClause,
    InvalidRowCountInResultOffsetClause,
    InvalidSavepointSpecification,
    InvalidSchemaName,
    InvalidSqlStatementName,
    InvalidTableDefinition,
    InvalidTextRepresentation,
    InvalidTimeZoneDisplacementValue,
    InvalidUseOfEscapeCharacter,
    IoError,
    LockNotAvailable,
    NameTooLong,
    NoActiveSqlTransaction,
    NotNullViolation,
    NullValueNotAllowed,
    NumericValueOutOfRange,
    ObjectInUse,
    ObjectNotInPrerequisiteState,
    OutOfMemory,
    PrivilegeNotGranted,
    PrivilegeNotRevoked,
    ProgramLimitExceeded,
    ProtocolViolation,
    QueryCanceled,
    ReadOnlySqlTransaction,
    ReservedName,
    SequenceGeneratorLimitExceeded,
    SerializationFailure,
    StatementTooComplex,
    StringDataRightTruncation,
    SuccessfulCompletion,
    SubstringError,
    SyntaxError,
    TooManyColumns,
    TooManyConnections,
    UndefinedColumn,
    UndefinedFile,
    UndefinedFunction,
    UndefinedObject,
    UndefinedParameter,
    UndefinedTable,
    UntranslatableCharacter,
    Warning,
    WindowingError,
    WrongObjectType,
}

impl SqlState {
    /// The five-character code that goes on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ActiveSqlTransaction => "25001",
            Self::AdminShutdown => "57P01",
            Self::AmbiguousColumn => "42702",
            Self::AmbiguousFunction => "42725",
            Self::AmbiguousParameter => "42P08",
            Self::ArraySubscriptError => "2202E",
            Self::BadCopyFileFormat => "22P04",
            Self::CannotCoerce => "42846",
            Self::CannotConnectNow => "57P03",
            Self::CantChangeRuntimeParam => "55P02",
            Self::CardinalityViolation => "21000",
            Self::CharacterNotInRepertoire => "22021",
            Self::ConnectionFailure => "08006",
            Self::DataCorrupted => "XX001",
            Self::DatatypeMismatch => "42804",
            Self::DatetimeFieldOverflow => "22008",
            Self::DependentObjectsStillExist => "2BP01",
            Self::DiskFull => "53100",
            Self::DeadlockDetected => "40P01",
            Self::DivisionByZero => "22012",
            Self::DuplicateColumn => "42701",
            Self::DuplicateCursor => "42P03",
            Self::DuplicateObject => "42710",
            Self::DuplicatePreparedStatement => "42P05",
            Self::DuplicateSchema => "42P06",
            Self::DuplicateTable => "42P07",
            Self::FeatureNotSupported => "0A000",
            Self::GeneratedAlways => "428C9",
            Self::GroupingError => "42803",
            Self::IdleInTransactionSessionTimeout => "25P03",
            Self::IndeterminateDatatype => "42P18",
            Self::InFailedSqlTransaction => "25P02",
            Self::InsufficientPrivilege => "42501",
            Self::InvalidArgumentForWidthBucket => "2201G",
            Self::InternalError => "XX000",
            Self::IntervalFieldOverflow => "22015",
            Self::InvalidArgumentForLogarithm => "2201E",
            Self::InvalidArgumentForPowerFunction => "2201F",
            Self::InvalidAuthorizationSpecification => "28000",
            Self::InvalidBinaryRepresentation => "22P03",
            Self::InvalidCatalogName => "3D000",
            Self::InvalidColumnReference => "42P10",
            Self::InvalidRecursion => "42P19",
            Self::InvalidCursorName => "34000",
            Self::InvalidDatetimeFormat => "22007",
            Self::InvalidGrantOperation => "0LP01",
            Self::InvalidName => "42602",
            Self::InvalidEscapeSequence => "22025",
            Self::InvalidObjectDefinition => "42P17",
            Self::InvalidParameterValue => "22023",
            Self::InvalidPassword => "28P01",
            Self::InvalidRegularExpression => "2201B",
            Self::InvalidRowCountInLimitClause => "2201W",
            Self::InvalidRowCountInResultOffsetClause => "2201X",
            Self::InvalidSavepointSpecification => "3B001",
            Self::InvalidSchemaName => "3F000",
            Self::InvalidSqlStatementName => "26000",
            Self::InvalidTableDefinition => "42P16",
            Self::InvalidTextRepresentation => "22P02",
            Self::InvalidTimeZoneDisplacementValue => "22009",
            Self::InvalidUseOfEscapeCharacter => "2200C",
            Self::IoError => "58030",
            Self::LockNotAvailable => "55P03",
            Self::NameTooLong => "42622",
            Self::NoActiveSqlTransaction => "25P01",
            Self::NotNullViolation => "23502",
            Self::NullValueNotAllowed => "22004",
            Self::NumericValueOutOfRange => "22003",
            Self::ObjectInUse => "55006",
            Self::ObjectNotInPrerequisiteState => "55000",
            Self::OutOfMemory => "53200",
            Self::PrivilegeNotGranted => "01007",
            Self::PrivilegeNotRevoked => "01006",
            Self::ProgramLimitExceeded => "54000",
            Self::ProtocolViolation => "08P01",
            Self::QueryCanceled => "57014",
            Self::ReadOnlySqlTransaction => "25006",
            Self::ReservedName => "42939",
            Self::SequenceGeneratorLimitExceeded => "2200H",
            Self::SerializationFailure => "40001",
            Self::StatementTooComplex => "54001",
            Self::StringDataRightTruncation => "22001",
            Self::SuccessfulCompletion => "00000",
            Self::SubstringError => "22011",
            Self::SyntaxError => "42601",
            Self::TooManyColumns => "54011",
            Self::TooManyConnections => "53300",
            Self::UndefinedColumn => "42703",
            Self::UndefinedFile => "58P01",
            Self::UndefinedFunction => "42883",
            Self::UndefinedObject => "42704",
            Self::UndefinedParameter => "42P02",
            Self::UndefinedTable => "42P01",
            Self::UntranslatableCharacter => "22P05",
            Self::Warning => "01000",
            Self::WindowingError => "42P20",
            Self::WrongObjectType => "42809",
        }
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        let mapped = from_datafusion(&error);
        if mapped.state() == SqlState::InternalError {
            mapped.with_source(error)
        } else {
            mapped
        }
    }
}

/// The error a client sees for one of DataFusion's, by its root cause. No wildcard arm: a new
/// variant upstream must be placed by hand instead of becoming an internal error unseen.
#[deny(clippy::wildcard_enum_match_arm)]
fn from_datafusion(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::ArrowError(error, _) => from_arrow(error),
        DataFusionError::ParquetError(error) => from_parquet(error),
        DataFusionError::ObjectStore(error) => from_object_store(error),
        DataFusionError::IoError(error) => from_io(error),
        DataFusionError::SQL(error, _) => from_parser(error),
        DataFusionError::NotImplemented(text) => {
            Error::feature_not_supported(first_line(&lower_first(text)))
        }
        DataFusionError::Internal(text) => internal(text),
        DataFusionError::Plan(text) => from_plan_text(text),
        DataFusionError::Configuration(text) => {
            Error::invalid_parameter_value(first_line(&lower_first(text)))
        }
        DataFusionError::SchemaError(error, _) => from_schema(error),
        DataFusionError::Execution(text) => from_execution_text(text),
        DataFusionError::ExecutionJoin(error) => match error.is_cancelled() {
            true => Error::query_canceled("canceling statement due to user request"),
            false => crate::runtime::panic_text_error(&error.to_string()),
        },
        DataFusionError::ResourcesExhausted(text) => from_exhausted_text(text),
        DataFusionError::External(error) => from_boxed(error.as_ref()),
        DataFusionError::Context(_, inner) => from_datafusion(inner),
        DataFusionError::Substrait(text) | DataFusionError::Ffi(text) => internal(text),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let error = from_datafusion(inner);
            match diagnostic.span {
                Some(span) => error.with_place(span.start.line, span.start.column),
                None => error,
            }
        }
        DataFusionError::Collection(errors) => match errors.first() {
            Some(error) => from_datafusion(error),
            None => internal("an empty collection of errors"),
        },
        DataFusionError::Shared(inner) => from_datafusion(inner),
    }
}

fn internal(text: &str) -> Error {
    Error::internal("the engine reported an internal error")
        .with_detail(format!("{}.", first_line(text).trim_end_matches('.')))
        .with_hint("This is a defect of the server; the session goes on.")
}

/// The cause inside a boxed error: ours as it is, the known foreign ones by their own map.
fn from_boxed(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(error) = current.downcast_ref::<Error>() {
            return error.duplicate();
        } else if let Some(refusal) = current.downcast_ref::<Refusal>() {
            return Error::invalid_parameter_value(refusal.to_string());
        } else if let Some(error) = current.downcast_ref::<DataFusionError>() {
            return from_datafusion(error);
        } else if let Some(error) = current.downcast_ref::<ArrowError>() {
            return from_arrow(error);
        } else if let Some(error) = current.downcast_ref::<ParquetError>() {
            return from_parquet(error);
        } else if let Some(error) = current.downcast_ref::<object_store::Error>() {
            return from_object_store(error);
        } else if let Some(error) = current.downcast_ref::<std::io::Error>() {
            return from_io(error);
        } else if let Some(error) = current.downcast_ref::<Arc<DataFusionError>>() {
            return from_datafusion(error);
        }
        cause = current.source();
    }
    internal(&error.to_string())
}

#[deny(clippy::wildcard_enum_match_arm)]
fn from_arrow(error: &ArrowError) -> Error {
    match error {
        ArrowError::NotYetImplemented(text) => {
            Error::feature_not_supported(first_line(&lower_first(text)))
        }
        ArrowError::ExternalError(error) => from_boxed(error.as_ref()),
        ArrowError::CastError(text) => from_cast_text(text),
        ArrowError::ParseError(text) => from_parse_text(text),
        ArrowError::MemoryError(text) => Error::out_of_memory(first_line(&lower_first(text))),
        ArrowError::DivideByZero => Error::division_by_zero("division by zero"),
        ArrowError::ArithmeticOverflow(text) => {
            Error::numeric_value_out_of_range("a number is out of range")
                .with_detail(format!("{}.", text.trim_end_matches('.')))
        }
        ArrowError::IoError(_, error) => from_io(error),
        ArrowError::ParquetError(text) => {
            Error::data_corrupted(format!("could not read a Parquet file: {text}"))
        }
        ArrowError::ComputeError(text) | ArrowError::InvalidArgumentError(text) => {
            from_execution_text(text)
        }
        ArrowError::DictionaryKeyOverflowError
        | ArrowError::RunEndIndexOverflowError
        | ArrowError::OffsetOverflowError(_) => {
            Error::program_limit_exceeded("a result of the query is too large for one batch")
                .with_detail(format!("{error}."))
        }
        ArrowError::SchemaError(text)
        | ArrowError::CsvError(text)
        | ArrowError::JsonError(text)
        | ArrowError::AvroError(text)
        | ArrowError::IpcError(text)
        | ArrowError::CDataInterface(text) => internal(text),
    }
}

#[deny(clippy::wildcard_enum_match_arm)]
fn from_parquet(error: &ParquetError) -> Error {
    if let ParquetError::External(inner) = error {
        return from_boxed(inner.as_ref());
    }
    Error::data_corrupted(format!(
        "could not read a Parquet file: {}",
        first_line(&error.to_string())
    ))
    .with_hint("`loyalhouse check` names every file that cannot be read.")
}

fn from_object_store(error: &object_store::Error) -> Error {
    // An error of ours (a file replaced under a query) travels as the source of object_store's.
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(error) = current.downcast_ref::<Error>() {
            return error.duplicate();
        }
        cause = current.source();
    }
    match error {
        object_store::Error::NotFound { path, .. } => {
            Error::undefined_file(format!("file \"{path}\" does not exist"))
        }
        object_store::Error::Precondition { path, .. }
        | object_store::Error::NotModified { path, .. } => {
            Error::data_corrupted(format!("file \"{path}\" changed while it was read"))
                .with_hint("Run the statement again.")
        }
        object_store::Error::PermissionDenied { path, .. }
        | object_store::Error::Unauthenticated { path, .. } => {
            Error::insufficient_privilege(format!("the object store refused access to \"{path}\""))
        }
        other => Error::io_error("the object store failed")
            .with_detail(format!("{}.", first_line(&other.to_string()))),
    }
}

fn from_io(error: &std::io::Error) -> Error {
    if let Some(inner) = error.get_ref()
        && let Some(ours) = (inner as &(dyn std::error::Error + 'static)).downcast_ref::<Error>()
    {
        return ours.duplicate();
    }
    if error.kind() == std::io::ErrorKind::StorageFull {
        return Error::new(SqlState::DiskFull, "no space is left on the disk");
    }
    Error::io_error("an input or output operation failed").with_detail(format!("{error}."))
}

fn from_parser(error: &ParserError) -> Error {
    match error {
        ParserError::RecursionLimitExceeded => {
            Error::statement_too_complex("the statement is nested too deeply")
                .with_hint("Flatten nested parentheses and subqueries.")
        }
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => {
            Error::syntax_error(lower_first(text.trim_start_matches("sql parser error: ")))
        }
    }
}

#[deny(clippy::wildcard_enum_match_arm)]
fn from_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::AmbiguousReference { field } => {
            Error::ambiguous_column(format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => Error::new(
            SqlState::DuplicateColumn,
            format!("column \"{name}\" is specified more than once"),
        )
        .with_hint("Give each column a name of its own with AS."),
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let name = match &field.relation {
                Some(relation) => {
                    format!("column {}.{} does not exist", relation.table(), field.name)
                }
                None => format!("column \"{}\" does not exist", field.name),
            };
            let error = Error::undefined_column(name);
            let names = valid_fields.iter().map(|column| column.name.as_str());
            match nearest(&field.name, names) {
                Some(near) => error.with_hint(format!(
                    "Perhaps you meant to reference the column \"{near}\"."
                )),
                None => error,
            }
        }
    }
}

/// Conditions that DataFusion tells apart by text alone. Each row has a test in `tests/slt/errors`,
/// so that a changed wording upstream breaks a test and not a client.
const PLAN_TEXTS: &[(&str, SqlState)] = &[
    ("Invalid function", SqlState::UndefinedFunction),
    (
        "There is no window function named",
        SqlState::UndefinedFunction,
    ),
    ("Failed to coerce arguments", SqlState::UndefinedFunction),
    (
        "No function matches the given name and argument types",
        SqlState::UndefinedFunction,
    ),
    (
        "Cannot coerce arithmetic expression",
        SqlState::UndefinedFunction,
    ),
    (
        "Cannot infer common argument type",
        SqlState::UndefinedFunction,
    ),
    ("Cannot get result type for", SqlState::UndefinedFunction),
    (
        "There isn't a common type to coerce",
        SqlState::UndefinedFunction,
    ),
    (
        "Projections require unique expression names",
        SqlState::DuplicateColumn,
    ),
    (
        "must be in GROUP BY or an aggregate function",
        SqlState::GroupingError,
    ),
    (
        "must appear in the GROUP BY clause",
        SqlState::GroupingError,
    ),
    (
        "No value found for placeholder",
        SqlState::UndefinedParameter,
    ),
    ("Placeholder type for", SqlState::UndefinedParameter),
    ("Unsupported CAST from", SqlState::CannotCoerce),
    ("Cannot automatically convert", SqlState::DatatypeMismatch),
    (
        "UNION queries have different number of columns",
        SqlState::SyntaxError,
    ),
    ("is ambiguous", SqlState::AmbiguousColumn),
    ("not found in function", SqlState::UndefinedFunction),
];

/// The planner's words for conditions that PostgreSQL words in its own way.
const REWORDED: &[(&str, SqlState, &str)] = &[
    (
        "Aggregate functions are not allowed in the WHERE clause",
        SqlState::GroupingError,
        "aggregate functions are not allowed in WHERE",
    ),
    (
        "Aggregate function calls cannot be nested",
        SqlState::GroupingError,
        "aggregate function calls cannot be nested",
    ),
    (
        "Aggregate function calls cannot contain window function calls",
        SqlState::GroupingError,
        "aggregate function calls cannot contain window function calls",
    ),
    (
        "Window function calls cannot be nested",
        SqlState::WindowingError,
        "window function calls cannot be nested",
    ),
    (
        "LIMIT must be >= 0",
        SqlState::InvalidRowCountInLimitClause,
        "LIMIT must not be negative",
    ),
    (
        "OFFSET must be >=0",
        SqlState::InvalidRowCountInResultOffsetClause,
        "OFFSET must not be negative",
    ),
];

/// The planner's words before the number of a column that is not in the SELECT list, and the clause.
const POSITIONS: &[(&str, &str)] = &[
    ("Order by column out of bounds, specified: ", "ORDER BY"),
    ("Order by index starts at 1", "ORDER BY"),
    ("Cannot find column with position ", "GROUP BY"),
];

fn reworded(text: &str) -> Option<Error> {
    if let Some((_, state, words)) = REWORDED.iter().find(|(known, ..)| text.contains(known)) {
        return Some(Error::new(*state, *words));
    }
    let (clause, rest) = POSITIONS
        .iter()
        .find_map(|(known, clause)| Some((clause, text.split_once(known)?.1)))?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    let position = digits.filter(|digits| !digits.is_empty()).unwrap_or("0");
    Some(Error::new(
        SqlState::InvalidColumnReference,
        format!("{clause} position {position} is not in select list"),
    ))
}

fn from_plan_text(text: &str) -> Error {
    if let Some(error) = reworded(text) {
        return error;
    }
    if let Some(own) = text_of_function(text) {
        return Error::undefined_function(own);
    }
    let text = text.trim_start_matches("Internal error: ");
    if let Some(name) = text
        .strip_prefix("table '")
        .and_then(|rest| rest.strip_suffix("' not found"))
    {
        return Error::undefined_table(format!(
            "relation \"{}\" does not exist",
            unqualified(name)
        ));
    }
    if let Some(rest) = text.strip_prefix("Invalid function '")
        && let Some((name, tail)) = rest.split_once('\'')
    {
        let error = Error::undefined_function(format!("function {name} does not exist"));
        // The planner suggests the nearest name however far it is.
        return match tail
            .split('\'')
            .nth(1)
            .filter(|near| nearest(name, std::iter::once(*near)).is_some())
        {
            Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
            None => error,
        };
    }
    let state = PLAN_TEXTS
        .iter()
        .find(|(known, _)| text.contains(known))
        .map_or(SqlState::SyntaxError, |(_, state)| *state);
    Error::new(state, first_line(&lower_first(text)))
}

/// What a function of ours says about its arguments, out of the planner's words around it.
fn text_of_function(text: &str) -> Option<String> {
    let (_, inner) = text.split_once("coercion failed with: ")?;
    let inner = inner.trim_start_matches("Error during planning: ");
    let inner = inner.trim_start_matches("External error: ");
    let inner = inner
        .split(" No function matches")
        .next()?
        .trim_end_matches('.');
    let own = ["(): ", "() was called with "];
    let own = own.iter().any(|words| inner.contains(words)) || inner.ends_with(" does not exist");
    own.then(|| first_line(inner))
}

/// Messages of our own functions start with the function's name and `():`.
fn from_execution_text(text: &str) -> Error {
    let lower = text.to_ascii_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        Error::division_by_zero("division by zero")
    } else if lower.contains("overflow") || lower.contains("out of range") {
        match text.contains("(): ") {
            true => Error::invalid_parameter_value(first_line(text)),
            false => Error::numeric_value_out_of_range(first_line(&lower_first(text))),
        }
    } else if lower.contains("regex") || lower.contains("regular expression") {
        Error::new(
            SqlState::InvalidRegularExpression,
            first_line(&lower_first(text)),
        )
    } else if lower.contains("more than one row") {
        Error::new(
            SqlState::CardinalityViolation,
            "more than one row returned by a subquery used as an expression",
        )
    } else if text.starts_with("Error parsing") || lower.contains("parser error") {
        from_parse_text(text)
    } else {
        Error::invalid_parameter_value(first_line(&lower_first(text)))
    }
}

/// `Cannot cast string 'abc' to value of Int32 type` and kin.
fn from_cast_text(text: &str) -> Error {
    if text.contains("Overflow")
        || text.contains("out of range")
        || text.contains("Can't cast value")
    {
        return Error::numeric_value_out_of_range(first_line(&lower_first(text)));
    }
    let value = text.split('\'').nth(1);
    match (value, text.contains("to value of")) {
        (Some(value), true) => {
            let kind = text.rsplit("to value of ").next().unwrap_or_default();
            let name = postgres_type_name(kind.trim_end_matches(" type"));
            Error::invalid_text_representation(format!(
                "invalid input syntax for type {name}: \"{value}\""
            ))
        }
        _ => Error::cannot_coerce(first_line(&lower_first(text))),
    }
}

fn from_parse_text(text: &str) -> Error {
    let lower = text.to_ascii_lowercase();
    let state =
        match lower.contains("timestamp") || lower.contains("date") || lower.contains("time") {
            true => SqlState::InvalidDatetimeFormat,
            false => SqlState::InvalidTextRepresentation,
        };
    Error::new(state, first_line(&lower_first(text)))
}

fn from_exhausted_text(text: &str) -> Error {
    let lower = text.to_ascii_lowercase();
    if lower.contains("disk") || lower.contains("temp") && lower.contains("directory") {
        return Error::new(
            SqlState::DiskFull,
            "the query needs more temporary disk space than it may use",
        )
        .with_detail(format!("{}.", first_line(text).trim_end_matches('.')));
    }
    Error::out_of_memory("the query needs more memory than it may use")
        .with_detail(format!("{}.", first_line(text).trim_end_matches('.')))
        .with_hint("Select fewer columns or rows, aggregate earlier, or raise memory_limit.")
}

/// PostgreSQL's name for an Arrow type as it stands in arrow's messages.
fn postgres_type_name(arrow: &str) -> &str {
    match arrow {
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" => "bigint",
        "Float16" | "Float32" => "real",
        "Float64" => "double precision",
        "Boolean" => "boolean",
        "Date32" | "Date64" => "date",
        other if other.starts_with("Decimal") || other == "UInt64" => "numeric",
        other if other.starts_with("Timestamp") => "timestamp",
        other if other.starts_with("Time") => "time",
        other if other.starts_with("Interval") || other.starts_with("Duration") => "interval",
        other => other,
    }
}

/// The known name nearest to a misspelt one, if any is near.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Similarity (Jaro-Winkler, 0 to 1) from which a name is worth a hint.
    const SIMILARITY_MIN: f64 = 0.8;
    known
        .map(|candidate| {
            (
                strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

fn unqualified(name: &str) -> &str {
    name.strip_prefix("loyalhouse.public.")
        .or_else(|| name.strip_prefix("loyalhouse."))
        .unwrap_or(name)
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_owned()
}

/// Primary messages start in lower case, unless the first word is a name or an acronym.
fn lower_first(text: &str) -> String {
    let text = text
        .trim_start_matches("Error during planning: ")
        .trim_start_matches("Execution error: ");
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second))
            if first.is_ascii_uppercase() && second.is_ascii_lowercase() =>
        {
            let mut lowered = first.to_ascii_lowercase().to_string();
            lowered.push_str(&text[1..]);
            lowered
        }
        _ => text.to_owned(),
    }
}
