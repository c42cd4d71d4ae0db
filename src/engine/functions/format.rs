//! `format()`: `%s`, `%I`, `%L` and `%%` with positions and widths.

use std::iter::Peekable;
use std::str::Chars;

use datafusion::error::Result;

use super::rowwise::{Row, Value};
use super::text::check_length;
use crate::catalog::functions::{quote_identifier, quote_literal};
use crate::error::Error;
use crate::sqlstate::SqlState;

/// The text with its specifiers replaced.
pub(super) fn format<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    if !row.has(0) {
        return Ok(Value::Null);
    }
    let mut call = Call {
        row,
        next: 1,
        out: String::new(),
    };
    let mut rest = row.text(0).chars().peekable();
    while let Some(letter) = rest.next() {
        if letter != '%' {
            call.out.push(letter);
        } else if rest.next_if_eq(&'%').is_some() {
            call.out.push('%');
        } else {
            call.specifier(&mut rest)?;
        }
    }
    Ok(call.out.into())
}

struct Call<'r, 'a> {
    row: &'r Row<'a>,
    next: usize,
    out: String,
}

impl Call<'_, '_> {
    fn specifier(&mut self, rest: &mut Peekable<Chars<'_>>) -> Result<()> {
        let mut position = None;
        let mut width = number(rest);
        if width.is_some() && rest.next_if_eq(&'$').is_some() {
            position = width.take();
            if position == Some(0) {
                return refuse("format specifies argument 0, but arguments are numbered from 1");
            }
        }
        let mut left = false;
        while rest.next_if_eq(&'-').is_some() {
            left = true;
        }
        if rest.next_if_eq(&'*').is_some() {
            let from = number(rest);
            if from.is_some() && rest.next_if_eq(&'$').is_none() {
                return refuse("width argument position must be ended by \"$\"");
            }
            let given = self.argument(from)?;
            let given: i64 = given.as_deref().unwrap_or("0").parse().map_err(|_| {
                Error::invalid_text_representation("invalid input syntax for type integer")
            })?;
            left |= given < 0;
            width = usize::try_from(given.unsigned_abs()).ok();
        } else if width.is_none() {
            width = number(rest);
        }
        let Some(kind) = rest.next() else {
            return Err(
                Error::invalid_parameter_value("unterminated format() type specifier")
                    .with_hint("For a single \"%\" use \"%%\".")
                    .into(),
            );
        };
        if !matches!(kind, 's' | 'I' | 'L') {
            return Err(Error::invalid_parameter_value(format!(
                "unrecognized format() type specifier \"{kind}\""
            ))
            .with_hint("For a single \"%\" use \"%%\".")
            .into());
        }
        let text = match (kind, self.argument(position)?) {
            ('s', text) => text.unwrap_or_default(),
            ('I', Some(text)) => quote_identifier(&text),
            ('I', None) => {
                return Err(Error::new(
                    SqlState::NullValueNotAllowed,
                    "null values cannot be formatted as an SQL identifier",
                )
                .into());
            }
            (_, text) => text.map_or("NULL".to_owned(), |text| quote_literal(&text)),
        };
        let padding = width.unwrap_or(0).saturating_sub(text.chars().count());
        check_length(self.out.len() + text.len() + padding, "format")?;
        let spaces = " ".repeat(padding);
        let (before, after) = if left {
            ("", spaces.as_str())
        } else {
            (spaces.as_str(), "")
        };
        self.out.push_str(before);
        self.out.push_str(&text);
        self.out.push_str(after);
        Ok(())
    }

    fn argument(&mut self, position: Option<usize>) -> Result<Option<String>> {
        let position = position.unwrap_or(self.next);
        self.next = position + 1;
        if position >= self.row.len() {
            return refuse("too few arguments for format()");
        }
        self.row.shown(position)
    }
}

fn number(rest: &mut Peekable<Chars<'_>>) -> Option<usize> {
    let mut digits = String::new();
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    digits.parse().ok()
}

fn refuse<T>(text: &str) -> Result<T> {
    Err(Error::invalid_parameter_value(text).into())
}
