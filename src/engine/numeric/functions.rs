//! Rounding, remainders and powers with PostgreSQL's types: numeric stays numeric, whole numbers become
//! double precision where PostgreSQL has no function of them.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal256Array, Float64Array};
use datafusion::arrow::compute::{cast, kernels::numeric::rem};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int32Type, i256};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::divide::{self, finish_wide, wide_values};
use super::{common, decimal, roots, shape};
use crate::catalog::pg_type;
use crate::error::Error;

/// The functions, to be registered in place of DataFusion's.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let named = |(name, aliases, kind): &(&'static str, &[&str], Kind)| {
        Arc::new(ScalarUDF::new_from_impl(NumberFunction {
            name,
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
            kind: *kind,
            signature: Signature::user_defined(Volatility::Immutable),
        }))
    };
    FUNCTIONS.iter().map(named).collect()
}

const FUNCTIONS: &[(&str, &[&str], Kind)] = &[
    ("round", &[], Kind::Round),
    ("trunc", &[], Kind::Trunc),
    ("ceil", &["ceiling"], Kind::Ceil),
    ("floor", &[], Kind::Floor),
    ("sign", &["signum"], Kind::Sign),
    ("mod", &[], Kind::Mod),
    ("div", &[], Kind::Div),
    ("power", &["pow"], Kind::Power),
    ("sqrt", &[], Kind::Sqrt),
    ("exp", &[], Kind::Exp),
    ("ln", &[], Kind::Ln),
    ("log", &["log10"], Kind::Log),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Round,
    Trunc,
    Ceil,
    Floor,
    Sign,
    Mod,
    Div,
    Power,
    Sqrt,
    Exp,
    Ln,
    Log,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NumberFunction {
    name: &'static str,
    aliases: Vec<String>,
    kind: Kind,
    signature: Signature,
}

impl NumberFunction {
    fn undefined(&self, types: &[DataType]) -> Error {
        let names: Vec<String> = types.iter().map(type_name).collect();
        let call = format!("{}({})", self.name, names.join(", "));
        Error::undefined_function(format!("function {call} does not exist")).with_hint(
            "No function matches the given name and argument types. You might need to add \
             explicit type casts.",
        )
    }

    fn resolved(&self, types: &[DataType]) -> Option<Vec<DataType>> {
        let number = |of: &DataType| match of {
            DataType::Dictionary(_, value) => value.as_ref().clone(),
            other => other.clone(),
        };
        let types: Vec<DataType> = types.iter().map(number).collect();
        let is_number = |of: &DataType| {
            of.is_null() || of.is_floating() || of.is_string() || shape(of).is_some()
        };
        if !types.iter().all(is_number) {
            return None;
        }
        match (self.kind, types.as_slice()) {
            (Kind::Mod | Kind::Div | Kind::Power, [left, right]) => self.pair(left, right),
            (Kind::Log, [left, right]) => match self.pair(left, right)?.as_slice() {
                [DataType::Float64, _] => None,
                pair => Some(pair.to_vec()),
            },
            (Kind::Mod | Kind::Div | Kind::Power, _) => None,
            (Kind::Round | Kind::Trunc, [of, places]) if !places.is_floating() => {
                let of = match shape(of) {
                    Some((precision, scale)) => decimal(precision.into(), scale),
                    None => DataType::Float64,
                };
                Some(vec![of, DataType::Int32])
            }
            (_, [of]) if of.is_decimal() => Some(vec![widened(of)]),
            (_, [_]) => Some(vec![DataType::Float64]),
            _ => None,
        }
    }

    /// The types of two operands that are computed as one type.
    fn pair(&self, left: &DataType, right: &DataType) -> Option<Vec<DataType>> {
        let float = left.is_floating() || right.is_floating();
        let exact = left.is_decimal() || right.is_decimal();
        let of = |left: &DataType, right: &DataType| match (shape(left), shape(right)) {
            (Some(left), Some(right)) => Some((left, right)),
            (Some(known), None) | (None, Some(known)) => Some((known, known)),
            _ => None,
        };
        match self.kind {
            Kind::Power if float || !exact => Some(vec![DataType::Float64; 2]),
            Kind::Mod | Kind::Div | Kind::Log if float => None,
            Kind::Mod if !exact => {
                let wider = match (shape(left), shape(right)) {
                    (Some(a), Some(b)) if a.0 >= b.0 => left,
                    (Some(_), None) => left,
                    _ => right,
                };
                Some(vec![wider.clone(); 2])
            }
            _ => {
                // A constant without a type has as many decimals as it likes.
                let open = |of: &DataType| match of.is_string() {
                    true => super::free(),
                    false => of.clone(),
                };
                let (left, right) = of(&open(left), &open(right))?;
                match self.kind {
                    Kind::Mod => Some(vec![common(left, right); 2]),
                    _ => Some(vec![
                        decimal(left.0.into(), left.1),
                        decimal(right.0.into(), right.1),
                    ]),
                }
            }
        }
    }

    fn result(&self, types: &[DataType], places: Option<i32>) -> DataType {
        let Some(of) = types.first() else {
            return DataType::Float64;
        };
        let Some((precision, scale)) = shape(of).filter(|_| of.is_decimal()) else {
            return of.clone();
        };
        let whole = i32::from(precision) - i32::from(scale) + 1;
        match self.kind {
            Kind::Mod => of.clone(),
            Kind::Sign => decimal(1, 0),
            Kind::Div => decimal(whole + i32::from(scale), 0),
            Kind::Ceil | Kind::Floor => decimal(whole, 0),
            Kind::Round | Kind::Trunc if types.len() == 1 => decimal(whole, 0),
            Kind::Round | Kind::Trunc => {
                let scale = match places {
                    Some(places) => places.clamp(0, SCALE_MAX) as i8,
                    None => scale,
                };
                decimal(whole + i32::from(scale), scale)
            }
            _ => super::free(),
        }
    }
}

/// Digits behind the point that round() gives at the most.
const SCALE_MAX: i32 = 38;

fn widened(of: &DataType) -> DataType {
    match shape(of) {
        Some((precision, scale)) => decimal(precision.into(), scale.max(0)),
        None => of.clone(),
    }
}

impl ScalarUDFImpl for NumberFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.resolved(types).ok_or_else(|| self.undefined(types))?)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(self.result(types, None))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let places = match args.scalar_arguments.get(1).copied().flatten() {
            Some(ScalarValue::Int32(places)) => *places,
            Some(ScalarValue::Int64(places)) => {
                places.and_then(|places| i32::try_from(places).ok())
            }
            _ => None,
        };
        let result = self.result(&types, places);
        Ok(Arc::new(Field::new(self.name, result, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let target = args.return_field.data_type().clone();
        let constant = args
            .args
            .iter()
            .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let result = match target {
            DataType::Float64 => self.floats(&arrays)?,
            ref target if self.kind == Kind::Mod => remainder(&arrays, target)?,
            ref target => self.decimals(&arrays, target)?,
        };
        match constant && result.len() == 1 {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?)),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}

fn remainder(arrays: &[ArrayRef], target: &DataType) -> Result<ArrayRef> {
    let [left, right] = arrays else {
        return Err(Error::internal("mod takes two operands").into());
    };
    let (left, right) = (cast(left, target)?, cast(right, target)?);
    Ok(cast(&rem(&left, &right)?, target)?)
}

impl NumberFunction {
    fn floats(&self, arrays: &[ArrayRef]) -> Result<ArrayRef> {
        let values = cast(&arrays[0], &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        if let Some(second) = arrays.get(1) {
            let second = cast(second, &DataType::Float64)?;
            let second = second.as_primitive::<Float64Type>();
            let results = values
                .iter()
                .zip(second.iter())
                .map(|pair| match pair {
                    (Some(value), Some(second)) => self.float_pair(value, second).map(Some),
                    _ => Ok(None),
                })
                .collect::<Result<Float64Array>>()?;
            return Ok(Arc::new(results));
        }
        let results = values
            .iter()
            .map(|value| value.map(|value| self.float(value)).transpose())
            .collect::<Result<Float64Array>>()?;
        Ok(Arc::new(results))
    }

    fn float(&self, value: f64) -> Result<f64> {
        Ok(match self.kind {
            Kind::Round => value.round_ties_even(),
            Kind::Trunc => value.trunc(),
            Kind::Ceil => value.ceil(),
            Kind::Floor => value.floor(),
            Kind::Sign if value == 0.0 || value.is_nan() => value,
            Kind::Sign => value.signum(),
            Kind::Sqrt if value < 0.0 => return Err(roots::negative_root()),
            Kind::Sqrt => value.sqrt(),
            Kind::Exp => {
                let result = value.exp();
                if result.is_infinite() && value.is_finite() {
                    return Err(out_of_range("overflow"));
                }
                if result == 0.0 && value.is_finite() {
                    return Err(out_of_range("underflow"));
                }
                result
            }
            Kind::Ln | Kind::Log if value <= 0.0 => return Err(roots::bad_logarithm(value == 0.0)),
            Kind::Ln => value.ln(),
            Kind::Log => value.log10(),
            Kind::Mod | Kind::Div | Kind::Power => value,
        })
    }

    fn float_pair(&self, value: f64, second: f64) -> Result<f64> {
        if self.kind == Kind::Power {
            if value == 0.0 && second < 0.0 {
                return Err(roots::bad_power(true));
            }
            if value < 0.0 && second.is_finite() && second.fract() != 0.0 {
                return Err(roots::bad_power(false));
            }
            let result = value.powf(second);
            if result.is_infinite() && value.is_finite() && second.is_finite() {
                return Err(out_of_range("overflow"));
            }
            if result == 0.0 && value != 0.0 && value.is_finite() && second.is_finite() {
                return Err(out_of_range("underflow"));
            }
            return Ok(result);
        }
        // PostgreSQL has round(numeric, integer) only; of a float the nearest decimal is given.
        let places = second as i32;
        if !(-308..=308).contains(&places) {
            return Ok(if places > 0 { value } else { 0.0 });
        }
        let factor = 10_f64.powi(places.abs());
        let (scaled, back): (f64, fn(f64, f64) -> f64) = match places >= 0 {
            true => (value * factor, |value, factor| value / factor),
            false => (value / factor, |value, factor| value * factor),
        };
        if !scaled.is_finite() {
            return Ok(value);
        }
        let whole = match self.kind {
            Kind::Round => scaled.round(),
            _ => scaled.trunc(),
        };
        Ok(back(whole, factor))
    }

    fn decimals(&self, arrays: &[ArrayRef], target: &DataType) -> Result<ArrayRef> {
        let (_, scale) = shape(arrays[0].data_type()).unwrap_or((0, 0));
        let (_, target_scale) = shape(target).unwrap_or((0, 0));
        let values = wide_values(&arrays[0], scale)?;
        let second = match arrays.get(1) {
            None => None,
            Some(second) => Some((
                wide_values(second, shape(second.data_type()).map_or(0, |of| of.1))?,
                shape(second.data_type()).map_or(0, |of| of.1),
            )),
        };
        let places = match (self.kind, arrays.get(1)) {
            (Kind::Round | Kind::Trunc, Some(places)) => Some(cast(places, &DataType::Int32)?),
            _ => None,
        };
        let results = (0..values.len())
            .map(|row| {
                if values.is_null(row) || second.as_ref().is_some_and(|(s, _)| s.is_null(row)) {
                    return Ok(None);
                }
                let number = (values.value(row), scale);
                let other = second.as_ref().map(|(s, scale)| (s.value(row), *scale));
                let places = places
                    .as_ref()
                    .map(|places| places.as_primitive::<Int32Type>().value(row));
                self.decimal(number, other, places, target_scale).map(Some)
            })
            .collect::<Result<Decimal256Array>>()?;
        finish_wide(results, target)
    }

    fn decimal(
        &self,
        (value, scale): (i256, i8),
        other: Option<(i256, i8)>,
        places: Option<i32>,
        target: i8,
    ) -> Result<i256> {
        let (scale, target) = (i32::from(scale), i32::from(target));
        match (self.kind, other) {
            (Kind::Sign, _) => Ok(match value.cmp(&i256::ZERO) {
                Ordering::Less => i256::MINUS_ONE,
                Ordering::Equal => i256::ZERO,
                Ordering::Greater => i256::ONE,
            }),
            (Kind::Div, Some((other, other_scale))) => {
                if other == i256::ZERO {
                    return Err(Error::division_by_zero("division by zero").into());
                }
                let common = scale.max(other_scale.into());
                let left = divide::scaled(value, common - scale)?;
                let right = divide::scaled(other, common - i32::from(other_scale))?;
                Ok(left.wrapping_div(right))
            }
            (Kind::Power, Some(other)) => roots::power((value, scale as i8), other),
            (Kind::Log, Some(other)) => roots::log_of((value, scale as i8), other),
            (Kind::Sqrt, _) => roots::sqrt((value, scale as i8)),
            (Kind::Exp, _) => roots::exp((value, scale as i8)),
            (Kind::Ln, _) => roots::ln((value, scale as i8)),
            (Kind::Log, _) => roots::log10((value, scale as i8)),
            _ => {
                let places = places.unwrap_or(0).min(scale);
                let way = match self.kind {
                    Kind::Round => Way::Nearest,
                    Kind::Ceil => Way::Up,
                    Kind::Floor => Way::Down,
                    _ => Way::ToZero,
                };
                let rounded = cut(value, scale - places, way);
                divide::scaled(rounded, target - places)
            }
        }
    }
}

fn type_name(of: &DataType) -> String {
    let (oid, typmod) = pg_type::pg_type_of(of);
    pg_type::format_type(oid, typmod.min(-1)).unwrap_or_else(|| "unknown".to_owned())
}

fn out_of_range(what: &str) -> datafusion::error::DataFusionError {
    Error::numeric_value_out_of_range(format!("value out of range: {what}")).into()
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Nearest,
    Up,
    Down,
    ToZero,
}

/// The value without its last `places` digits.
fn cut(value: i256, places: i32, way: Way) -> i256 {
    if let Way::Nearest = way {
        return divide::rounded(value, places);
    }
    let Some(factor) = i256::from_i128(10).checked_pow(places.max(0).unsigned_abs()) else {
        return i256::ZERO;
    };
    let whole = value.wrapping_div(factor);
    let rest = value.wrapping_rem(factor);
    match way {
        Way::Up if rest > i256::ZERO => whole.wrapping_add(i256::ONE),
        Way::Down if rest < i256::ZERO => whole.wrapping_sub(i256::ONE),
        _ => whole,
    }
}
