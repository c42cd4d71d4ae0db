//! A function with forms: argument types, result type and code of each, chosen as PostgreSQL does.

use std::hash::{Hash, Hasher};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::session_time::SessionTime;
use crate::error::Error;
use crate::sqlstate::SqlState;

/// The types that these functions take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    Bool,
    Date,
    Float8,
    Int4,
    Int8,
    Interval,
    Numeric,
    Text,
    Time,
    Timestamp,
    TimestampTz,
}

impl Type {
    /// Which of them an Arrow type is.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Self::Float8,
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::UInt8
            | DataType::UInt16 => Self::Int4,
            DataType::Int64 | DataType::UInt32 => Self::Int8,
            DataType::UInt64
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Self::Numeric,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::TimestampTz,
            DataType::Dictionary(_, values) => return Self::of(values),
            _ => return None,
        })
    }

    /// The Arrow type of results and of arguments that must change their type.
    pub(crate) fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Float8 => DataType::Float64,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Numeric => DataType::Decimal128(38, 10),
            Self::Text => DataType::Utf8,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Date => "date",
            Self::Float8 => "double precision",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Interval => "interval",
            Self::Numeric => "numeric",
            Self::Text => "text",
            Self::Time => "time without time zone",
            Self::Timestamp => "timestamp without time zone",
            Self::TimestampTz => "timestamp with time zone",
        }
    }

    /// How far an argument of this type is from a parameter's: PostgreSQL's implicit casts. Texts and
    /// NULLs may be literals of any type.
    fn distance(self, parameter: Self) -> Option<u32> {
        use Type::{
            Date, Float8, Int4, Int8, Interval, Numeric, Text, Time, Timestamp, TimestampTz,
        };
        Some(match (self, parameter) {
            (a, b) if a == b => 0,
            (Int4, Int8) | (Int4 | Int8 | Numeric, Float8) | (Date | Timestamp, TimestampTz) => 1,
            (Int4 | Int8, Numeric) | (Date, Timestamp) | (Time, Interval) => 2,
            // Literals of whole numbers.
            (Int8, Int4) => 5,
            // Literals: the preferred type of each kind comes first.
            (Text, TimestampTz | Float8 | Interval) => 10,
            (Text, _) => 11,
            _ => return None,
        })
    }
}

/// One way to call a function.
pub(crate) struct Form {
    pub(crate) parameters: &'static [Type],
    pub(crate) result: Type,
    pub(crate) run: fn(&Call<'_>) -> Result<ArrayRef>,
}

/// The arguments of a call.
pub(crate) struct Call<'a> {
    pub(crate) columns: Vec<Column>,
    /// Rows of the result.
    pub(crate) rows: usize,
    pub(crate) time: &'a SessionTime,
}

/// One argument: an array, or one value for all rows.
pub(crate) struct Column {
    pub(crate) array: ArrayRef,
    pub(crate) constant: bool,
}

impl Column {
    pub(crate) fn new(value: &ColumnarValue) -> Result<Self> {
        Ok(match value {
            ColumnarValue::Array(array) => Self {
                array: ArrayRef::clone(array),
                constant: false,
            },
            ColumnarValue::Scalar(value) => Self {
                array: value.to_array()?,
                constant: true,
            },
        })
    }
}

/// A function with forms.
pub(crate) struct Function {
    name: &'static str,
    forms: &'static [Form],
    signature: Signature,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.signature == other.signature
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Function {
    /// A function whose results follow from its arguments and the session's settings.
    pub(crate) fn new(name: &'static str, forms: &'static [Form]) -> Self {
        Self::with_volatility(name, forms, Volatility::Stable)
    }

    /// A function whose results follow from its arguments alone.
    pub(crate) fn immutable(name: &'static str, forms: &'static [Form]) -> Self {
        Self::with_volatility(name, forms, Volatility::Immutable)
    }

    /// A function of any volatility.
    pub(crate) fn with_volatility(
        name: &'static str,
        forms: &'static [Form],
        volatility: Volatility,
    ) -> Self {
        let signature = match forms.iter().any(|form| form.parameters.is_empty()) {
            true => Signature::one_of(
                vec![
                    datafusion::logical_expr::TypeSignature::Nullary,
                    datafusion::logical_expr::TypeSignature::UserDefined,
                ],
                volatility,
            ),
            false => Signature::user_defined(volatility),
        };
        Self {
            name,
            forms,
            signature,
        }
    }

    /// The form for arguments of these types: the nearest, and of those the first.
    fn form(&self, types: &[DataType]) -> Result<&'static Form> {
        let mut best: Option<(u32, &'static Form)> = None;
        for form in self.forms {
            if form.parameters.len() != types.len() {
                continue;
            }
            let distance = types
                .iter()
                .zip(form.parameters)
                .map(|(data_type, parameter)| match Type::of(data_type) {
                    Some(argument) => argument.distance(*parameter),
                    None => data_type.is_null().then_some(10),
                });
            if let Some(distance) = distance.sum::<Option<u32>>()
                && best.is_none_or(|(nearest, _)| distance < nearest)
            {
                best = Some((distance, form));
            }
        }
        best.map(|(_, form)| form).ok_or_else(|| {
            let names: Vec<_> = types.iter().map(type_name).collect();
            Error::new(
                SqlState::UndefinedFunction,
                format!("function {}({}) does not exist", self.name, names.join(", ")),
            )
            .with_hint(
                "No function matches the given name and argument types. You might need to add explicit type casts.",
            )
            .into()
        })
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let form = self.form(types)?;
        Ok(types
            .iter()
            .zip(form.parameters)
            .map(|(data_type, parameter)| match data_type {
                // Encodings are taken apart.
                DataType::Dictionary(..) => parameter.arrow(),
                data_type if Type::of(data_type) == Some(*parameter) => data_type.clone(),
                _ => parameter.arrow(),
            })
            .collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(self.form(types)?.result.arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<_> = args.args.iter().map(ColumnarValue::data_type).collect();
        let form = self.form(&types)?;
        let time = SessionTime::of(&args.config_options)?;
        call(&args, &time, form.run)
    }
}

/// The name of a type in messages.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match Type::of(data_type) {
        Some(known) => known.name().to_owned(),
        None if data_type.is_null() => "unknown".to_owned(),
        None => data_type.to_string(),
    }
}

/// Runs `run` over the arguments; a call with constants alone gives a constant.
pub(crate) fn call(
    args: &ScalarFunctionArgs,
    time: &SessionTime,
    run: impl FnOnce(&Call<'_>) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let columns = args
        .args
        .iter()
        .map(Column::new)
        .collect::<Result<Vec<_>>>()?;
    let constant = columns.iter().all(|column| column.constant);
    let call = Call {
        columns,
        rows: if constant { 1 } else { args.number_rows },
        time,
    };
    let result = run(&call)?;
    match constant {
        true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
            &result, 0,
        )?)),
        false if result.len() == args.number_rows => Ok(ColumnarValue::Array(result)),
        false => Err(internal_datafusion_err!("a function of time lost rows")),
    }
}
