//! The DEFAULT of a column as PostgreSQL shows it.

use datafusion::arrow::datatypes::Field;

use super::functions::quote_identifier;
use super::pg_type;
use crate::warehouse::DEFAULT_METADATA;

/// The DEFAULT of a column, if it has one.
pub(super) fn shown(field: &Field) -> Option<String> {
    let text = field.metadata().get(DEFAULT_METADATA)?;
    if let Some(name) = sequence(text) {
        return Some(format!("nextval('{name}'::regclass)"));
    }
    let constant = match text.strip_prefix('-') {
        Some(number) if is_number(number) => format!("'{text}'"),
        _ if is_text(text) => text.clone(),
        _ => return Some(text.clone()),
    };
    let type_name = pg_type::format_type(pg_type::pg_type_of_field(field).0, pg_type::NO_TYPMOD)?;
    Some(format!("{constant}::{type_name}"))
}

fn is_number(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Whether an expression is one constant in quotes.
fn is_text(text: &str) -> bool {
    let inner = text
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    inner.is_some_and(|inner| !inner.replace("''", "").contains('\''))
}

/// The name of the sequence that a DEFAULT takes numbers from; without its schema if that is `public`.
fn sequence(text: &str) -> Option<String> {
    let name = text.strip_prefix("nextval('\"")?.strip_suffix("\"')")?;
    let (schema, name) = name.split_once("\".\"")?;
    let plain = |part: &str| quote_identifier(&part.replace("\"\"", "\"").replace("''", "'"));
    let name = plain(name);
    Some(match schema {
        "public" => name,
        schema => format!("{}.{name}", plain(schema)),
    })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn defaults_are_shown_with_their_types() {
        let shown_as = |data_type, text: &str| {
            let metadata = [(DEFAULT_METADATA.to_owned(), text.to_owned())];
            let field = Field::new("c", data_type, true).with_metadata(metadata.into());
            shown(&field).unwrap()
        };
        assert_eq!(shown_as(DataType::Utf8View, "'it''s'"), "'it''s'::text");
        assert_eq!(shown_as(DataType::Int32, "-1"), "'-1'::integer");
        assert_eq!(shown_as(DataType::Int32, "30"), "30");
        assert_eq!(shown_as(DataType::Utf8View, "'a' || 'b'"), "'a' || 'b'");
        let next = "nextval('\"public\".\"Orders_id_seq\"')";
        assert_eq!(
            shown_as(DataType::Int64, next),
            "nextval('\"Orders_id_seq\"'::regclass)"
        );
    }
}
