//! `to_char`, `to_date`, `to_timestamp` and `to_number`: values shown and read by a pattern.

mod number;
mod number_pattern;
mod parse;
mod pattern;
mod show;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, FieldRef};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::function::{Call, Column, Form, Function, Type, call};
use super::make::from_epoch;
use super::session_time::SessionTime;
use super::values::{
    Values, date_column, floats, integers, intervals, text_column, texts, times, timestamp_column,
    timestamps,
};
use crate::calendar::{
    MICROS_PER_DAY, Offsets, PgInterval, checked_date, checked_timestamp, is_infinite,
};
use crate::error::{Error, Result as OwnResult};
use Type::{Date, Float8, Int4, Int8, Interval, Numeric, Text, Time, Timestamp, TimestampTz};
use number_pattern::NumberPattern;
use pattern::Pattern;
use show::Moment;

/// Digits of a number that is read.
const NUMBER_PRECISION: u8 = 38;

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("to_char", TO_CHAR),
        Function::new("to_date", TO_DATE),
        Function::new("to_timestamp", TO_TIMESTAMP),
    ]
}

pub(super) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(ToNumber::new())))?;
    Ok(())
}

/// The pattern of a row, read once where it is the same for all.
struct Patterns<P> {
    constant: Option<P>,
    texts: Values<datafusion::arrow::array::StringArray>,
    read: fn(&str) -> OwnResult<P>,
    /// Whether an empty pattern is one.
    empty: bool,
}

impl<P> Patterns<P> {
    fn new(column: &Column, read: fn(&str) -> OwnResult<P>) -> Result<Self> {
        let texts = texts(column)?;
        let constant = texts.constant().map(read).transpose()?;
        Ok(Self {
            constant,
            texts,
            read,
            empty: false,
        })
    }

    /// With an empty pattern like any other.
    fn or_empty(mut self) -> Self {
        self.empty = true;
        self
    }

    /// Applies `use_pattern` to a row's pattern; None where that is NULL or empty.
    fn with<T>(
        &self,
        row: usize,
        use_pattern: impl FnOnce(&P) -> OwnResult<T>,
    ) -> OwnResult<Option<T>> {
        match (&self.constant, self.texts.get(row)) {
            (_, None) => Ok(None),
            (_, Some("")) if !self.empty => Ok(None),
            (Some(pattern), Some(_)) => use_pattern(pattern).map(Some),
            (None, Some(text)) => use_pattern(&(self.read)(text)?).map(Some),
        }
    }
}

const TO_CHAR: &[Form] = &[
    Form {
        parameters: &[TimestampTz, Text],
        result: Text,
        run: |call| show_timestamps(call, true),
    },
    Form {
        parameters: &[Timestamp, Text],
        result: Text,
        run: |call| show_timestamps(call, false),
    },
    Form {
        parameters: &[Interval, Text],
        result: Text,
        run: |call| {
            let spans = intervals(&call.columns[0])?;
            let patterns = Patterns::new(&call.columns[1], Pattern::read)?;
            text_column(call.rows, |row, out| {
                let Some(span) = spans.get(row) else {
                    return Ok(false);
                };
                let shown = patterns.with(row, |pattern| {
                    show::put(pattern, &Moment::of_interval(span), out)
                })?;
                Ok(shown.is_some())
            })
        },
    },
    Form {
        parameters: &[Time, Text],
        result: Text,
        run: |call| {
            let clocks = times(&call.columns[0])?;
            let patterns = Patterns::new(&call.columns[1], Pattern::read)?;
            text_column(call.rows, |row, out| {
                let Some(micros) = clocks.get(row) else {
                    return Ok(false);
                };
                let moment = Moment::of_interval(PgInterval {
                    micros,
                    ..PgInterval::default()
                });
                let shown = patterns.with(row, |pattern| show::put(pattern, &moment, out))?;
                Ok(shown.is_some())
            })
        },
    },
    Form {
        parameters: &[Int4, Text],
        result: Text,
        run: show_integers,
    },
    Form {
        parameters: &[Int8, Text],
        result: Text,
        run: show_integers,
    },
    Form {
        parameters: &[Numeric, Text],
        result: Text,
        run: show_numerics,
    },
    Form {
        parameters: &[Float8, Text],
        result: Text,
        run: |call| {
            let single = call.columns[0].array.data_type() == &DataType::Float32;
            let digits = if single { 6 } else { 15 };
            let values = floats(&call.columns[0])?;
            let patterns = Patterns::new(&call.columns[1], NumberPattern::read)?.or_empty();
            text_column(call.rows, |row, out| {
                let Some(value) = values.get(row) else {
                    return Ok(false);
                };
                let shown = patterns.with(row, |pattern| {
                    number::put_float(value, digits, pattern, out);
                    Ok(())
                })?;
                Ok(shown.is_some())
            })
        },
    },
];

fn show_timestamps(call: &Call<'_>, zoned: bool) -> Result<ArrayRef> {
    let micros = timestamps(&call.columns[0])?;
    let patterns = Patterns::new(&call.columns[1], Pattern::read)?;
    let zone = call.time.settings.zone;
    let offsets = Offsets::new(zone, call.rows);
    text_column(call.rows, |row, out| {
        let Some(micros) = micros.get(row).filter(|micros| !is_infinite(*micros)) else {
            return Ok(false);
        };
        let moment = match zoned {
            false => Moment::of_local(micros),
            true => {
                let offset = offsets.at(micros);
                Moment::of_local(micros + i64::from(offset) * 1_000_000)
                    .in_zone(offset, zone.abbreviation(micros))
            }
        };
        let shown = patterns.with(row, |pattern| show::put(pattern, &moment, out))?;
        Ok(shown.is_some())
    })
}

fn show_integers(call: &Call<'_>) -> Result<ArrayRef> {
    let values = integers(&call.columns[0])?;
    let patterns = Patterns::new(&call.columns[1], NumberPattern::read)?.or_empty();
    text_column(call.rows, |row, out| {
        let Some(value) = values.get(row) else {
            return Ok(false);
        };
        let text = value.to_string();
        let shown = patterns.with(row, |pattern| {
            number::put_exact(&text, pattern, out);
            Ok(())
        })?;
        Ok(shown.is_some())
    })
}

fn show_numerics(call: &Call<'_>) -> Result<ArrayRef> {
    let column = &call.columns[0];
    let patterns = Patterns::new(&call.columns[1], NumberPattern::read)?.or_empty();
    let text_at = exact_texts(&column.array)?;
    text_column(call.rows, |row, out| {
        let index = if column.constant { 0 } else { row };
        let Some(text) = column.array.is_valid(index).then(|| text_at(index)) else {
            return Ok(false);
        };
        let shown = patterns.with(row, |pattern| {
            number::put_exact(&text, pattern, out);
            Ok(())
        })?;
        Ok(shown.is_some())
    })
}

/// The digits of each number.
fn exact_texts(array: &ArrayRef) -> Result<Box<dyn Fn(usize) -> String>> {
    Ok(match array.data_type() {
        DataType::Decimal256(..) => {
            let numbers = array.as_primitive::<Decimal256Type>().clone();
            Box::new(move |row| numbers.value_as_string(row))
        }
        DataType::Decimal128(..) => {
            let numbers = array.as_primitive::<Decimal128Type>().clone();
            Box::new(move |row| numbers.value_as_string(row))
        }
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            let wide = cast(array, &DataType::Decimal128(*precision, *scale))?;
            return exact_texts(&wide);
        }
        _ => {
            let wide = cast(array, &DataType::Decimal128(20, 0))?;
            return exact_texts(&wide);
        }
    })
}

const TO_DATE: &[Form] = &[Form {
    parameters: &[Text, Text],
    result: Date,
    run: |call| {
        let values = texts(&call.columns[0])?;
        let patterns = Patterns::new(&call.columns[1], Pattern::read)?.or_empty();
        date_column(call, |row| {
            let Some(text) = values.get(row) else {
                return Ok(None);
            };
            let read = patterns.with(row, |pattern| parse::read(text, pattern))?;
            let Some(read) = read else {
                return Ok(None);
            };
            let day = read.local.div_euclid(MICROS_PER_DAY);
            checked_date(day).map(Some)
        })
    },
}];

const TO_TIMESTAMP: &[Form] = &[
    Form {
        parameters: &[Float8],
        result: TimestampTz,
        run: |call| {
            let seconds = floats(&call.columns[0])?;
            timestamp_column(call, true, |row| {
                seconds.get(row).map(from_epoch).transpose()
            })
        },
    },
    Form {
        parameters: &[Text, Text],
        result: TimestampTz,
        run: |call| {
            let values = texts(&call.columns[0])?;
            let patterns = Patterns::new(&call.columns[1], Pattern::read)?;
            let zone = call.time.settings.zone;
            timestamp_column(call, true, |row| {
                let Some(text) = values.get(row) else {
                    return Ok(None);
                };
                let read = patterns.with(row, |pattern| parse::read(text, pattern))?;
                let Some(moment) = read else {
                    return Ok(None);
                };
                let zone = moment.zone.unwrap_or(zone);
                checked_timestamp(zone.to_instant(moment.local)).map(Some)
            })
        },
    },
];

/// `to_number(text, pattern)`: the pattern says how many digits lie behind the point.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToNumber {
    signature: Signature,
}

impl ToNumber {
    fn new() -> Self {
        Self {
            signature: Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Stable),
        }
    }
}

impl ScalarUDFImpl for ToNumber {
    fn name(&self) -> &'static str {
        "to_number"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(Numeric.arrow())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let scale = match args.scalar_arguments.get(1) {
            Some(Some(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)))) => {
                NumberPattern::read(text)?.scale()
            }
            _ => 10,
        };
        let number = DataType::Decimal128(NUMBER_PRECISION, scale as i8);
        Ok(Arc::new(Field::new(self.name(), number, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let time = SessionTime::of(&args.config_options)?;
        let scale = match args.return_field.data_type() {
            DataType::Decimal128(_, scale) => *scale,
            _ => return Err(Error::internal("to_number() gives a numeric").into()),
        };
        call(&args, &time, |call| {
            let values = texts(&call.columns[0])?;
            let patterns = Patterns::new(&call.columns[1], NumberPattern::read)?.or_empty();
            let numbers = (0..call.rows)
                .map(|row| {
                    let Some(text) = values.get(row) else {
                        return Ok(None);
                    };
                    patterns.with(row, |pattern| number::read(text, pattern, scale))
                })
                .collect::<OwnResult<Decimal128Array>>()?;
            Ok(Arc::new(
                numbers.with_precision_and_scale(NUMBER_PRECISION, scale)?,
            ))
        })
    }
}

/// Reads the text in double quotes that a pattern goes on with; what follows it.
fn quoted(text: &str, mut take: impl FnMut(char)) -> &str {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return &text[at + 1..],
            '\\' => {
                if let Some((_, next)) = chars.next() {
                    take(next);
                }
            }
            other => take(other),
        }
    }
    ""
}
