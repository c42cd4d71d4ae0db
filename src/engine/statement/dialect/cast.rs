//! PostgreSQL's type names in casts: catalog types become types that DataFusion has, `reg…` types
//! become functions, array constants become arrays.

use datafusion::sql::sqlparser::ast::{
    Array, ArrayElemTypeDef, DataType, ExactNumberInfo, Expr, Function, Ident, ObjectName,
    ObjectNamePart, Value,
};

use super::build::{call, cast, folded, function_name, literal_text, string, take};

/// The `reg…` types, each a function of [`crate::catalog::functions`].
const REG_TYPES: &[&str] = &[
    "regclass",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
];

/// Those of them that have a `to_reg…` function here.
const TO_REG_TYPES: &[&str] = &["regclass", "regnamespace", "regproc", "regrole", "regtype"];

/// Rewrites one cast in place; operands have been rewritten before.
pub(super) fn rewrite(expr: &mut Expr) {
    let Expr::Cast {
        expr: operand,
        data_type,
        ..
    } = expr
    else {
        return;
    };
    if let Some(name) = reg_type(data_type) {
        let operand = take(operand);
        // A parameter gets its type from the cast around it.
        let parameter = matches!(&operand, Expr::Value(value) if is_placeholder(&value.value));
        let operand = if parameter {
            cast(operand, DataType::Text)
        } else {
            operand
        };
        *expr = call(name, vec![operand]);
        return;
    }
    if let Some(mapped) = map_type(data_type) {
        *data_type = mapped;
    }
    if is_text(data_type) {
        name_instead_of_oid(operand);
    }
    if let DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) = data_type
        && !is_read_by_type(element)
        && let Some(items) = literal_text(operand).and_then(array_items)
    {
        let element = element.as_ref();
        let items = items.into_iter().map(|item| match reg_type(element) {
            Some(name) => call(name, vec![item]),
            None => cast(item, element.clone()),
        });
        *expr = array(items.collect());
    }
}

/// Whether a cast reads an array of this type from its text; of others the elements are written out.
fn is_read_by_type(element: &DataType) -> bool {
    !matches!(
        element,
        DataType::Date
            | DataType::Time(..)
            | DataType::Timestamp(..)
            | DataType::Interval { .. }
            | DataType::IntUnsigned(_)
            | DataType::Custom(..)
    )
}

fn is_placeholder(value: &Value) -> bool {
    matches!(value, Value::Placeholder(_))
}

/// In a place that shows text, the name behind `x::regclass` and not its OID.
pub(super) fn name_instead_of_oid(expr: &mut Expr) {
    match expr {
        Expr::Nested(inner) => name_instead_of_oid(inner),
        Expr::Function(function) => {
            let name = function_name(function);
            if is_reg_function(&name) {
                function.name = ObjectName::from(vec![Ident::new(format!("{name}out"))]);
            }
        }
        Expr::Cast {
            expr: operand,
            data_type,
            ..
        } => {
            if let Some(name) = reg_type(data_type) {
                *expr = call(&format!("{name}out"), vec![take(operand)]);
            }
        }
        _ => {}
    }
}

/// `regclass(x)`, `to_regclass(x)` and their like, whose values are OIDs.
fn is_reg_function(name: &str) -> bool {
    let reg = name.strip_prefix("to_").unwrap_or(name);
    REG_TYPES.contains(&reg) && (reg == name || TO_REG_TYPES.contains(&reg))
}

/// Shows names in the arguments of functions that make text of everything.
pub(super) fn show_names(function: &mut Function) {
    if matches!(
        function_name(function).as_str(),
        "format" | "concat" | "concat_ws" | "quote_ident"
    ) {
        super::build::arguments_mut(function)
            .into_iter()
            .for_each(name_instead_of_oid);
    }
}

/// Constants without a type stay so in the arguments of a function that asks for types.
pub(super) fn keep_unknown(function: &mut Function) {
    for argument in super::build::arguments_mut(function) {
        if matches!(argument, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_) | Value::Null))
        {
            let unknown = ObjectName::from(vec![Ident::with_quote('"', "unknown")]);
            *argument = cast(take(argument), DataType::Custom(unknown, Vec::new()));
        }
    }
}

/// The array of an array constant such as `'{r,p}'`.
pub(super) fn array_constant(expr: &Expr, element: Option<&DataType>) -> Option<Expr> {
    let items = array_items(literal_text(expr)?)?.into_iter();
    Some(match element {
        Some(element) => array(items.map(|item| cast(item, element.clone())).collect()),
        None => array(items.collect()),
    })
}

/// The name of a type, without `pg_catalog.`; none for types with a syntax of their own.
pub(super) fn custom_name(data_type: &DataType) -> Option<(String, bool)> {
    let DataType::Custom(name, _) = data_type else {
        return None;
    };
    let last = name.0.last().and_then(ObjectNamePart::as_ident)?;
    let system = match name.0.as_slice() {
        [_] => true,
        [schema, _] => schema
            .as_ident()
            .is_some_and(|schema| matches!(&*folded(schema), "pg_catalog" | "information_schema")),
        _ => false,
    };
    system.then(|| (folded(last), last.quote_style.is_some()))
}

fn reg_type(data_type: &DataType) -> Option<&'static str> {
    let name = match data_type {
        DataType::Regclass => "regclass".to_owned(),
        other => custom_name(other)?.0,
    };
    REG_TYPES.iter().find(|known| **known == name).copied()
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Text | DataType::Varchar(_))
}

/// The type that DataFusion plans for a type of pg_catalog; none to leave it as it is.
fn map_type(data_type: &DataType) -> Option<DataType> {
    if let DataType::Array(ArrayElemTypeDef::SquareBracket(element, size)) = data_type {
        let reg = reg_type(element)
            .map(|name| DataType::Custom(ObjectName::from(vec![Ident::new(name)]), Vec::new()));
        let mapped = reg.or_else(|| map_type(element))?;
        return Some(DataType::Array(ArrayElemTypeDef::SquareBracket(
            Box::new(mapped),
            *size,
        )));
    }
    let (name, _) = custom_name(data_type)?;
    Some(match name.as_str() {
        "text" | "cstring" | "pg_node_tree" | "refcursor" | "sql_identifier" | "character_data"
        | "yes_or_no" | "aclitem" | "unknown" => DataType::Text,
        "varchar" => DataType::Varchar(None),
        "uuid" => DataType::Uuid,
        "json" => DataType::JSON,
        "jsonb" => DataType::JSONB,
        "bool" | "boolean" => DataType::Boolean,
        "int2" | "smallint" => DataType::SmallInt(None),
        "int4" | "int" | "integer" | "cardinal_number" => DataType::Int(None),
        "int8" | "bigint" => DataType::BigInt(None),
        "float4" | "real" => DataType::Real,
        "float8" => DataType::DoublePrecision,
        "numeric" => DataType::Numeric(ExactNumberInfo::None),
        "bytea" => DataType::Bytea,
        "date" => DataType::Date,
        _ => return unqualified(data_type),
    })
}

/// The type without `pg_catalog.`.
fn unqualified(data_type: &DataType) -> Option<DataType> {
    let DataType::Custom(name, modifiers) = data_type else {
        return None;
    };
    let [_, last] = name.0.as_slice() else {
        return None;
    };
    Some(DataType::Custom(
        ObjectName(vec![last.clone()]),
        modifiers.clone(),
    ))
}

fn array(elem: Vec<Expr>) -> Expr {
    Expr::Array(Array { elem, named: true })
}

/// The items of a one-dimensional array constant; none if it is no such constant.
fn array_items(text: &str) -> Option<Vec<Expr>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Some(items);
    }
    let mut item = String::new();
    let (mut quoted, mut was_quoted) = (false, false);
    let mut chars = inner.chars();
    loop {
        match chars.next() {
            Some('"') => {
                quoted = !quoted;
                was_quoted = true;
            }
            Some('\\') => item.push(chars.next()?),
            Some('{' | '}') if !quoted => return None,
            Some(c) if quoted || c != ',' => item.push(c),
            end => {
                let text = if was_quoted {
                    item.as_str()
                } else {
                    item.trim()
                };
                let is_null = !was_quoted && text.eq_ignore_ascii_case("null");
                items.push(if is_null {
                    super::build::null()
                } else {
                    string(text)
                });
                item.clear();
                was_quoted = false;
                if end.is_none() {
                    return (!quoted).then_some(items);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Option<Vec<String>> {
        array_items(text).map(|items| items.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn array_constants_are_read() {
        assert_eq!(texts("{r, p}").unwrap(), ["'r'", "'p'"]);
        assert_eq!(
            texts("{\"a,b\",NULL,\"NULL\"}").unwrap(),
            ["'a,b'", "NULL", "'NULL'"]
        );
        assert_eq!(texts("{}").unwrap(), [""; 0]);
        assert_eq!(texts("{{1},{2}}"), None);
        assert_eq!(texts("r"), None);
        assert_eq!(texts("{\"a}"), None);
    }
}
