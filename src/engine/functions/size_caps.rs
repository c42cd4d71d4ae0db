//! Limits on functions that build values: a short call must not take the server's memory.
//!
//! Rust aborts the process when an allocation fails, and DataFusion's functions neither ask the
//! memory pool nor bound what they build. So the size of the result is computed from the arguments
//! first, and 54000 is the answer to what would be too large.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::kernels::length::bit_length;
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};

use crate::error::Error;

/// Largest value a function may build, in bytes.
const VALUE_BYTES_MAX: u64 = 256 << 20;

/// Largest total that one call may build for the rows of a batch, in bytes.
const BATCH_BYTES_MAX: u64 = 512 << 20;

/// Bytes of an element of a list beside what it points to.
const ELEMENT_BYTES: u64 = 16;

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// How a function's result grows with its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    /// Bytes of argument 0, as often as argument 1 says.
    Repeat,
    /// As many characters as argument 1 says, of up to four bytes.
    Pad,
    /// As many elements as argument 1 says, of argument 0's size.
    ListRepeat,
    /// As many elements as argument 1 says.
    ListResize,
    /// As many elements as from argument 0 to argument 1 by argument 2.
    Range,
    /// Argument 0 with each argument 1 in it replaced by argument 2.
    Replace,
}

const CAPPED: &[(&str, Growth)] = &[
    ("repeat", Growth::Repeat),
    ("lpad", Growth::Pad),
    ("rpad", Growth::Pad),
    ("array_repeat", Growth::ListRepeat),
    ("array_resize", Growth::ListResize),
    ("range", Growth::Range),
    ("generate_series", Growth::Range),
    ("replace", Growth::Replace),
];

/// Replaces the functions that build values by ones that check first.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    for (name, growth) in CAPPED {
        let Some(inner) = state.scalar_functions().get(*name).map(Arc::clone) else {
            return Err(Error::internal(format!(
                "function {name} is gone: its size is not capped"
            ))
            .into());
        };
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Capped {
            inner,
            growth: *growth,
        })))?;
    }
    Ok(())
}

/// A function that refuses to build too large a value.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Capped {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl ScalarUDFImpl for Capped {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, context)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sizes = Sizes::of(&args)?;
        sizes.check(self.name(), self.growth)?;
        self.inner.invoke_with_args(args)
    }
}

/// The arguments of one call as arrays; a scalar is an array of one row for all.
struct Sizes {
    arguments: Vec<ArrayRef>,
    rows: usize,
}

impl Sizes {
    fn of(args: &ScalarFunctionArgs) -> Result<Self> {
        let all_scalar = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let arguments = args
            .args
            .iter()
            .map(|arg| match arg {
                ColumnarValue::Array(array) => Ok(Arc::clone(array)),
                ColumnarValue::Scalar(value) => value.to_array(),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { arguments, rows })
    }

    fn check(&self, name: &str, growth: Growth) -> Result<()> {
        let size = self.row_sizes(growth)?;
        let mut total = 0_u64;
        for row in 0..self.rows {
            let bytes = size(row);
            total = total.saturating_add(bytes);
            if bytes > VALUE_BYTES_MAX || total > BATCH_BYTES_MAX {
                let (what, limit) = match bytes > VALUE_BYTES_MAX {
                    true => ("one value", VALUE_BYTES_MAX),
                    false => ("the values of one batch of rows", BATCH_BYTES_MAX),
                };
                return Err(Error::program_limit_exceeded(format!(
                    "{name}(): requested length too large"
                ))
                .with_detail(format!("The limit for {what} is {} MiB.", limit >> 20))
                .into());
            }
        }
        Ok(())
    }

    /// An upper bound of the bytes that each row's value takes.
    fn row_sizes(&self, growth: Growth) -> Result<Box<dyn Fn(usize) -> u64 + '_>> {
        Ok(match growth {
            Growth::Repeat => {
                let (length, count) = (self.lengths(0)?, self.numbers(1)?);
                Box::new(move |row| length(row).saturating_mul(count(row)))
            }
            Growth::Pad => {
                let count = self.numbers(1)?;
                Box::new(move |row| count(row).saturating_mul(4))
            }
            Growth::ListRepeat => {
                let (size, count) = (self.element_sizes(0)?, self.numbers(1)?);
                Box::new(move |row| size(row).saturating_mul(count(row)))
            }
            Growth::ListResize => {
                let count = self.numbers(1)?;
                Box::new(move |row| count(row).saturating_mul(ELEMENT_BYTES))
            }
            Growth::Range => self.range_sizes()?,
            Growth::Replace => {
                let (text, from, to) = (self.lengths(0)?, self.lengths(1)?, self.lengths(2)?);
                Box::new(move |row| {
                    let hits = text(row) / from(row).max(1) + 1;
                    text(row).saturating_add(hits.saturating_mul(to(row)))
                })
            }
        })
    }

    fn argument(&self, index: usize) -> Option<&ArrayRef> {
        self.arguments.get(index)
    }

    /// Bytes of a text argument; 0 where it is missing.
    fn lengths(&self, index: usize) -> Result<Box<dyn Fn(usize) -> u64>> {
        let Some(array) = self
            .argument(index)
            .filter(|array| !array.data_type().is_null())
        else {
            return Ok(Box::new(|_| 0));
        };
        let bits = cast(&bit_length(array.as_ref())?, &DataType::Int64)?;
        Ok(Box::new(move |row| number(&bits, row).div_ceil(8)))
    }

    /// A count argument; negative and missing ones count nothing.
    fn numbers(&self, index: usize) -> Result<Box<dyn Fn(usize) -> u64>> {
        let Some(array) = self.argument(index) else {
            return Ok(Box::new(|_| 0));
        };
        let numbers = cast(array, &DataType::Int64)?;
        Ok(Box::new(move |row| number(&numbers, row)))
    }

    fn element_sizes(&self, index: usize) -> Result<Box<dyn Fn(usize) -> u64 + '_>> {
        let Some(array) = self.argument(index) else {
            return Ok(Box::new(|_| ELEMENT_BYTES));
        };
        if array.data_type().is_string() || array.data_type().is_binary() {
            let length = self.lengths(index)?;
            return Ok(Box::new(move |row| ELEMENT_BYTES + length(row)));
        }
        if !array.data_type().is_nested() {
            return Ok(Box::new(|_| ELEMENT_BYTES));
        }
        Ok(Box::new(move |row| {
            let row = row.min(array.len().saturating_sub(1));
            let bytes = array
                .slice(row, usize::from(!array.is_empty()))
                .to_data()
                .get_slice_memory_size();
            ELEMENT_BYTES + bytes.unwrap_or_default() as u64
        }))
    }

    /// `range` over integers, dates and timestamps: the length divided by the step.
    fn range_sizes(&self) -> Result<Box<dyn Fn(usize) -> u64>> {
        let Some(first) = self.argument(0) else {
            return Ok(Box::new(|_| 0));
        };
        let temporal = first.data_type().is_temporal();
        let point = |index: usize| -> Result<Option<ArrayRef>> {
            let Some(array) = self.argument(index) else {
                return Ok(None);
            };
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            let array = match temporal {
                true => cast(
                    &cast_with_options(array, &micros, &CastOptions::default())?,
                    &DataType::Int64,
                )?,
                false => cast(array, &DataType::Int64)?,
            };
            Ok(Some(array))
        };
        let (start, stop) = match (point(0)?, point(1)?) {
            (Some(start), Some(stop)) => (Some(start), stop),
            (Some(stop), None) => (None, stop),
            _ => return Ok(Box::new(|_| 0)),
        };
        let step = match self.argument(2) {
            None => None,
            Some(array) if temporal => Some(Step::Interval(cast(
                array,
                &DataType::Interval(IntervalUnit::MonthDayNano),
            )?)),
            Some(array) => Some(Step::Number(cast(array, &DataType::Int64)?)),
        };
        Ok(Box::new(move |row| {
            let from = start
                .as_ref()
                .and_then(|start| signed(start, row))
                .unwrap_or(0);
            let to = signed(&stop, row).unwrap_or(from);
            let width = i128::from(to).abs_diff(i128::from(from));
            let step = u128::from(step.as_ref().map_or(1, |step| step.width(row))).max(1);
            u64::try_from(width / step + 1)
                .unwrap_or(u64::MAX)
                .saturating_mul(8)
        }))
    }
}

enum Step {
    Number(ArrayRef),
    Interval(ArrayRef),
}

impl Step {
    fn width(&self, row: usize) -> u64 {
        match self {
            Self::Number(array) => signed(array, row).unwrap_or(1).unsigned_abs(),
            Self::Interval(array) => {
                let array = array.as_primitive::<IntervalMonthDayNanoType>();
                let row = row.min(array.len().saturating_sub(1));
                if array.is_empty() || array.is_null(row) {
                    return u64::MAX;
                }
                let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(array.value(row));
                let days = i64::from(months) * 28 + i64::from(days);
                (days
                    .saturating_mul(MICROSECONDS_PER_DAY)
                    .saturating_add(nanos / 1_000))
                .unsigned_abs()
            }
        }
    }
}

fn signed(array: &ArrayRef, row: usize) -> Option<i64> {
    let array = array.as_primitive::<Int64Type>();
    let row = row.min(array.len().checked_sub(1)?);
    array.is_valid(row).then(|| array.value(row))
}

fn number(array: &ArrayRef, row: usize) -> u64 {
    signed(array, row).map_or(0, |number| u64::try_from(number).unwrap_or(0))
}
