//! Functions of arrays that DataFusion has under another name or for another number of elements.

use datafusion::sql::sqlparser::ast::{DataType, Expr, Ident, ObjectName};

use super::build::{arguments_mut, call, cast, function_name, take};

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
        "array_position" if function.over.is_none() => {
            *expr = cast(take(expr), DataType::Integer(None));
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
