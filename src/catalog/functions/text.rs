//! Text: quoting, formatting.

use datafusion::error::Result;

use super::{Call, Returns, Spec, argument, argument_text, failed, lenient, strict};
use crate::catalog::cells::Cell;
use crate::error::Error;

pub(super) const SPECS: &[Spec] = &[
    lenient("format", (1, 100), Returns::Text, format),
    strict("quote_ident", (1, 1), Returns::Text, quote_ident),
    strict("quote_literal", (1, 1), Returns::Text, |_, args| {
        Ok(quote_literal(&argument_text(args, 0)).into())
    }),
    lenient("quote_nullable", (1, 1), Returns::Text, |_, args| {
        Ok(argument(args, 0)
            .to_text()
            .map_or("NULL".to_owned(), |text| quote_literal(&text))
            .into())
    }),
];

/// Words that cannot be used as a name without quotes.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

/// A name as SQL needs it: quoted only if it must be.
pub fn quote_identifier(name: &str) -> String {
    let mut chars = name.chars();
    let starts = chars
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let plain = starts && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && RESERVED.binary_search(&name).is_err() {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// A string literal; with backslashes in the `E''` form, as PostgreSQL writes it.
pub fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

fn quote_ident(_: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    Ok(quote_identifier(&argument_text(args, 0)).into())
}

/// `format(text, …)` with `%s`, `%I`, `%L` and `%%`, arguments in order or as `%1$s`.
fn format(_: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let Some(pattern) = argument(args, 0).to_text() else {
        return Ok(Cell::Null);
    };
    let mut out = String::with_capacity(pattern.len());
    let mut next = 1;
    let mut rest = pattern.as_str();
    while let Some(at) = rest.find('%') {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        if let Some((digits, after)) = rest.split_once('$')
            && !digits.is_empty()
            && let Ok(position) = digits.parse::<usize>()
        {
            next = position;
            rest = after;
        }
        let mut chars = rest.chars();
        let kind = chars.next();
        rest = chars.as_str();
        let Some(value) = args.get(next).filter(|_| next > 0) else {
            return failed(Error::invalid_parameter_value(
                "too few arguments for format()",
            ));
        };
        next += 1;
        out.push_str(&formatted(kind, value)?);
    }
    out.push_str(rest);
    Ok(out.into())
}

fn formatted(kind: Option<char>, value: &Cell) -> Result<String> {
    let text = value.to_text();
    match (kind, text) {
        (Some('s'), text) => Ok(text.unwrap_or_default()),
        (Some('L'), text) => Ok(text.map_or("NULL".to_owned(), |text| quote_literal(&text))),
        (Some('I'), Some(text)) => Ok(quote_identifier(&text)),
        (Some('I'), None) => failed(Error::invalid_parameter_value(
            "null values cannot be formatted as an SQL identifier",
        )),
        (Some(other), _) => failed(Error::invalid_parameter_value(format!(
            "unrecognized format() type specifier \"{other}\""
        ))),
        (None, _) => failed(Error::invalid_parameter_value(
            "unterminated format() type specifier",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_sorted() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn names_are_quoted_only_when_they_must_be() {
        for (name, quoted) in [
            ("customers", "customers"),
            ("Orders", "\"Orders\""),
            ("order", "\"order\""),
            ("a b", "\"a b\""),
            ("1a", "\"1a\""),
            ("a\"b", "\"a\"\"b\""),
            ("", "\"\""),
            ("naïve", "\"naïve\""),
        ] {
            assert_eq!(quote_identifier(name), quoted);
        }
    }

    #[test]
    fn literals_double_quotes_and_backslashes() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\b"), "E'a\\\\b'");
    }
}
