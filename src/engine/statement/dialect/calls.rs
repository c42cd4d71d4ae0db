//! Functions that DataFusion has under another name, with another type, or for another number of elements.

use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType, Expr, Ident, ObjectName};

use super::build::{arguments_mut, call, cast, function_name, literal_text, take};

/// DataFusion's functions of these names change the first such element only.
const OF_ALL: &[(&str, &str)] = &[
    ("array_remove", "array_remove_all"),
    ("array_replace", "array_replace_all"),
];

/// Rewrites one call in place.
pub(super) fn rewrite(expr: &mut Expr) {
    let Expr::Function(function) = expr else {
        return;
    };
    let name = function_name(function);
    if let Some((_, all)) = OF_ALL.iter().find(|(one, _)| *one == name) {
        function.name = ObjectName::from(vec![Ident::new(*all)]);
        return;
    }
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
