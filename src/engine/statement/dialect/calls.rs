//! Functions that DataFusion has under another name, with another type, or for another number of elements.

use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType, Expr, TimezoneInfo};

use super::build::{arguments_mut, call, cast, function_name, literal_text, take};

/// A call of a type's name with one argument is a cast: `date(x)`. Goes before casts are rewritten.
pub(super) fn cast_by_name(expr: &mut Expr) {
    let Expr::Function(function) = expr else {
        return;
    };
    let target = match function_name(function).as_str() {
        "bool" => DataType::Boolean,
        "date" => DataType::Date,
        "float4" => DataType::Real,
        "float8" => DataType::DoublePrecision,
        "int2" => DataType::SmallInt(None),
        "int4" => DataType::Integer(None),
        "int8" => DataType::BigInt(None),
        "text" => DataType::Text,
        "timestamptz" => DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
        _ => return,
    };
    let is_plain = function.over.is_none() && function.filter.is_none();
    if let ([value], true) = (arguments_mut(function).as_mut_slice(), is_plain) {
        *expr = cast(take(value), target);
    }
}

/// Rewrites one call in place.
pub(super) fn rewrite(expr: &mut Expr) {
    let Expr::Function(function) = expr else {
        return;
    };
    let name = function_name(function);
    match name.as_str() {
        "array_position" => *expr = cast(take(expr), DataType::Integer(None)),
        "array_positions" => {
            let integer = Box::new(DataType::Integer(None));
            let list = DataType::Array(ArrayElemTypeDef::SquareBracket(integer, None));
            *expr = cast(take(expr), list);
        }
        "regr_count" => *expr = cast(take(expr), DataType::BigInt(None)),
        // A constant without a type is bytes here, not text.
        "encode" => {
            if let Some(bytes) = arguments_mut(function).into_iter().next()
                && literal_text(bytes).is_some()
            {
                *bytes = cast(take(bytes), DataType::Bytea);
            }
        }
        "array_fill" => {
            let arguments = arguments_mut(function);
            let [value, Expr::Array(lengths)] = arguments.as_slice() else {
                return;
            };
            let mut filled = (**value).clone();
            for length in lengths.elem.iter().rev() {
                filled = call("array_repeat", vec![filled, length.clone()]);
            }
            *expr = filled;
        }
        _ => {}
    }
}
