//! `generate_series` as a function that gives the whole series as a list.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Builder, Int32Builder, Int64Builder, ListArray,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Field, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::SessionTime;
use super::render::type_name;
use crate::calendar::{EPOCH_MICROS, PgInterval, Zone, add_interval, is_infinite};
use crate::error::Error;

/// The function's name.
pub(crate) const SERIES: &str = "generate_series_list";

/// Values that one call may give for the rows of a batch.
const VALUES_MAX: usize = 32 << 20;

/// Registers it.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(Series {
        signature: Signature::user_defined(Volatility::Stable),
    })))?;
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Series {
    signature: Signature,
}

/// The type of a series from the types of its arguments, as PostgreSQL's overloads.
fn element(types: &[DataType]) -> Option<DataType> {
    let (start, stop) = (types.first()?, types.get(1)?);
    let step = types.get(2);
    let known: Vec<&DataType> = types
        .iter()
        .filter(|given| !given.is_null() && !given.is_string())
        .collect();
    let temporal = |given: &DataType| matches!(given, DataType::Timestamp(..) | DataType::Date32);
    if temporal(start) || temporal(stop) {
        let plain =
            |given: &DataType| matches!(given, DataType::Timestamp(_, None)) || given.is_string();
        let plain = plain(start) && plain(stop);
        step?;
        let zone = (!plain).then(|| "UTC".into());
        return Some(DataType::Timestamp(TimeUnit::Microsecond, zone));
    }
    if known.iter().all(|given| given.is_integer()) {
        let small = |given: &&DataType| given.primitive_width().is_some_and(|width| width <= 4);
        let all_small = known.iter().all(small) && !known.is_empty();
        return Some(if all_small {
            DataType::Int32
        } else {
            DataType::Int64
        });
    }
    known
        .iter()
        .all(|given| given.is_integer() || given.is_decimal() || given.is_floating())
        .then(|| {
            let scale = known.iter().map(|given| match given {
                DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
                _ => 0,
            });
            DataType::Decimal128(38, scale.max().unwrap_or(0))
        })
}

impl Series {
    fn element(types: &[DataType]) -> Result<DataType> {
        element(types).ok_or_else(|| {
            let types: Vec<String> = types.iter().map(type_name).collect();
            let text = format!("function generate_series({}) does not exist", types.join(", "));
            Error::undefined_function(text)
                .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
                .into()
        })
    }
}

impl ScalarUDFImpl for Series {
    fn name(&self) -> &str {
        SERIES
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let element = match types.len() {
            2 | 3 => Self::element(types)?,
            _ => {
                return Err(Error::undefined_function(
                    "function generate_series takes two or three arguments",
                )
                .into());
            }
        };
        let step = match element {
            DataType::Timestamp(..) => DataType::Interval(IntervalUnit::MonthDayNano),
            _ => element.clone(),
        };
        Ok(vec![element.clone(), element, step]
            .into_iter()
            .take(types.len())
            .collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let element = Self::element(types)?;
        Ok(DataType::List(Arc::new(Field::new_list_field(
            element, true,
        ))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let element = match args.return_field.data_type() {
            DataType::List(item) => item.data_type().clone(),
            other => return Err(Error::internal(format!("a series of type {other}")).into()),
        };
        let zone = SessionTime::of(&args.config_options)?.settings.zone;
        let mut lengths = Vec::with_capacity(args.number_rows);
        let mut valid = Vec::with_capacity(args.number_rows);
        let mut values = Values::new(&element, zone)?;
        for row in 0..arrays.first().map_or(0, Array::len) {
            let present = arrays.iter().all(|array| array.is_valid(row));
            let before = values.len();
            if present {
                values.extend(&arrays, row)?;
            }
            lengths.push(values.len() - before);
            valid.push(present);
        }
        let lists = ListArray::try_new(
            Arc::new(Field::new_list_field(element, true)),
            OffsetBuffer::from_lengths(lengths),
            values.finish()?,
            Some(NullBuffer::from(valid)),
        )?;
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }
}

enum Values {
    Int4(Int32Builder),
    Int8(Int64Builder),
    Numeric(Decimal128Builder, i8),
    Instant(TimestampMicrosecondBuilder, Option<Arc<str>>, Zone),
}

impl Values {
    fn new(element: &DataType, zone: Zone) -> Result<Self> {
        Ok(match element {
            DataType::Int32 => Self::Int4(Int32Builder::new()),
            DataType::Int64 => Self::Int8(Int64Builder::new()),
            DataType::Decimal128(_, scale) => Self::Numeric(Decimal128Builder::new(), *scale),
            DataType::Timestamp(_, carried) => {
                Self::Instant(TimestampMicrosecondBuilder::new(), carried.clone(), zone)
            }
            other => return Err(Error::internal(format!("a series of type {other}")).into()),
        })
    }

    fn len(&self) -> usize {
        use datafusion::arrow::array::ArrayBuilder;
        match self {
            Self::Int4(values) => values.len(),
            Self::Int8(values) => values.len(),
            Self::Numeric(values, _) => values.len(),
            Self::Instant(values, ..) => values.len(),
        }
    }

    fn check(&self, more: u128) -> Result<()> {
        match more + self.len() as u128 > VALUES_MAX as u128 {
            true => Err(
                Error::program_limit_exceeded("generate_series gives too many rows")
                    .with_detail(format!("The limit is {VALUES_MAX} rows."))
                    .into(),
            ),
            false => Ok(()),
        }
    }

    fn extend(&mut self, arrays: &[ArrayRef], row: usize) -> Result<()> {
        if let Self::Instant(..) = self {
            return self.extend_instants(arrays, row);
        }
        let number = |index: usize| -> Result<Option<i128>> {
            let Some(array) = arrays.get(index) else {
                return Ok(None);
            };
            Ok(Some(match array.data_type() {
                DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value(row),
                _ => cast(&array.slice(row, 1), &DataType::Int64)?
                    .as_primitive::<Int64Type>()
                    .value(0)
                    .into(),
            }))
        };
        let one = match self {
            Self::Numeric(_, scale) => 10_i128.pow(u32::try_from(*scale).unwrap_or(0)),
            _ => 1,
        };
        let (Some(start), Some(stop)) = (number(0)?, number(1)?) else {
            return Ok(());
        };
        let step = number(2)?.unwrap_or(one);
        if step == 0 {
            return Err(Error::invalid_parameter_value("step size cannot equal zero").into());
        }
        let ahead = if step > 0 {
            start <= stop
        } else {
            start >= stop
        };
        if !ahead {
            return Ok(());
        }
        let count = start.abs_diff(stop) / step.unsigned_abs() + 1;
        self.check(count)?;
        let mut value = start;
        for _ in 0..count {
            match self {
                Self::Int4(values) => values.append_value(value as i32),
                Self::Int8(values) => values.append_value(value as i64),
                Self::Numeric(values, _) => values.append_value(value),
                Self::Instant(..) => {}
            }
            value = value.saturating_add(step);
        }
        Ok(())
    }

    fn extend_instants(&mut self, arrays: &[ArrayRef], row: usize) -> Result<()> {
        let Self::Instant(_, carried, zone) = self else {
            return Ok(());
        };
        let zone = carried.is_some().then_some(*zone);
        let at = |index: usize| {
            arrays[index]
                .as_primitive::<TimestampMicrosecondType>()
                .value(row)
        };
        let step = arrays[2]
            .as_primitive::<IntervalMonthDayNanoType>()
            .value(row);
        let (start, stop) = (at(0), at(1));
        if is_infinite(start) || is_infinite(stop) {
            return Err(Error::invalid_parameter_value("start and stop must be finite").into());
        }
        let span = PgInterval::from_arrow(step);
        let length = i128::from(step.months) * 30 * 86_400_000_000
            + i128::from(step.days) * 86_400_000_000
            + i128::from(step.nanoseconds / 1000);
        if length == 0 {
            return Err(Error::invalid_parameter_value("step size cannot equal zero").into());
        }
        let mut value = start;
        while if length > 0 {
            value <= stop
        } else {
            value >= stop
        } {
            self.check(1)?;
            if let Self::Instant(values, ..) = self {
                values.append_value(value);
            }
            value = add_interval(value - EPOCH_MICROS, span, zone)? + EPOCH_MICROS;
        }
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef> {
        Ok(match self {
            Self::Int4(mut values) => Arc::new(values.finish()),
            Self::Int8(mut values) => Arc::new(values.finish()),
            Self::Numeric(mut values, scale) => {
                Arc::new(values.finish().with_precision_and_scale(38, scale)?)
            }
            Self::Instant(mut values, zone, _) => Arc::new(values.finish().with_timezone_opt(zone)),
        })
    }
}
