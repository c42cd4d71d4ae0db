//! Functions and operators with regular expressions, and SIMILAR TO and LIKE with an escape.

use datafusion::error::Result;
use regex::Captures;

use super::pattern::{Flags, Pattern};
use super::rowwise::{Kind, Row, Spec, Value, strict};
use super::text::check_length;
use crate::error::Error;
use crate::sqlstate::SqlState;

use Kind::{Bool, Int4, Text, TextRows, Texts};

/// `text ~ pattern`.
pub(crate) const MATCH: &str = "textregexeq";
/// `text ~* pattern`.
pub(crate) const MATCH_INSENSITIVE: &str = "texticregexeq";
/// The regular expression of a pattern of SIMILAR TO.
pub(crate) const SIMILAR_TO: &str = "similar_to_escape";
/// A pattern of LIKE with the backslash as its escape character.
pub(crate) const LIKE_ESCAPE: &str = "like_escape";

pub(super) const SPECS: &[Spec] = &[
    strict(LIKE_ESCAPE, &[Text, Text], Text, like_escape),
    strict("regexp_count", &[Text, Text, Int4, Text], Int4, count).optional(2),
    strict(
        "regexp_instr",
        &[Text, Text, Int4, Int4, Int4, Text, Int4],
        Int4,
        instr,
    )
    .optional(5),
    strict("regexp_like", &[Text, Text, Text], Bool, |row| {
        let flags = flags(row, 2, Some("regexp_like"))?;
        Ok(row.pattern(1, flags)?.is_match(row.text(0)).into())
    })
    .optional(1),
    strict("regexp_match", &[Text, Text, Text], Texts, |row| {
        let pattern = row.pattern(1, flags(row, 2, Some("regexp_match"))?)?;
        let found = pattern.captures_at(row.text(0), 0);
        Ok(found.map_or(Value::Null, |found| Value::Texts(groups(&pattern, &found))))
    })
    .optional(1),
    strict(
        "regexp_matches_list",
        &[Text, Text, Text],
        TextRows,
        matches,
    )
    .optional(1),
    strict("regexp_replace", &[Text, Text, Text, Text], Text, replace).optional(1),
    strict(
        "regexp_replace",
        &[Text, Text, Text, Int4, Int4, Text],
        Text,
        replace_from,
    )
    .optional(2),
    strict("regexp_split_to_array", &[Text, Text, Text], Texts, |row| {
        split(row, "regexp_split_to_array")
    })
    .optional(1),
    strict(
        "regexp_split_to_table_list",
        &[Text, Text, Text],
        Texts,
        |row| split(row, "regexp_split_to_table"),
    )
    .optional(1),
    strict(
        "regexp_substr",
        &[Text, Text, Int4, Int4, Text, Int4],
        Text,
        substr,
    )
    .optional(4),
    strict(SIMILAR_TO, &[Text, Text], Text, similar_to_escape)
        .optional(1)
        .lenient(),
    strict(MATCH, &[Text, Text], Bool, |row| {
        Ok(row
            .pattern(1, Flags::default())?
            .is_match(row.text(0))
            .into())
    }),
    strict(MATCH_INSENSITIVE, &[Text, Text], Bool, |row| {
        Ok(row
            .pattern(1, Flags::insensitive())?
            .is_match(row.text(0))
            .into())
    }),
];

fn flags(row: &Row<'_>, argument: usize, no_global: Option<&str>) -> Result<Flags> {
    Flags::parse(row.text(argument), no_global)
}

/// The groups of a match; the whole match of a pattern without groups.
fn groups(pattern: &Pattern, found: &Captures<'_>) -> Vec<Option<String>> {
    let first = usize::from(pattern.groups() > 0);
    let text = |group: usize| found.get(group).map(|group| group.as_str().to_owned());
    (first..=pattern.groups()).map(text).collect()
}

fn matches<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let flags = flags(row, 2, None)?;
    let pattern = row.pattern(1, flags)?;
    let most = if flags.global { usize::MAX } else { 1 };
    let found = pattern.all(row.text(0), 0).take(most);
    Ok(Value::TextRows(
        found.map(|found| groups(&pattern, &found)).collect(),
    ))
}

/// The byte where the character of a one-based position starts.
fn start(row: &Row<'_>, argument: usize) -> Result<usize> {
    let position = row.int_or(argument, 1);
    if position < 1 {
        return Err(invalid_parameter("start", position));
    }
    let skipped = usize::try_from(position - 1).unwrap_or(usize::MAX);
    let text = row.text(0);
    let mut starts = text.char_indices().map(|(at, _)| at);
    Ok(starts.nth(skipped).unwrap_or(text.len()))
}

fn invalid_parameter(name: &str, value: i64) -> datafusion::error::DataFusionError {
    Error::invalid_parameter_value(format!("invalid value for parameter \"{name}\": {value}"))
        .into()
}

fn at_least(row: &Row<'_>, argument: usize, name: &str, least: i64, default: i64) -> Result<usize> {
    let value = row.int_or(argument, default);
    match value < least {
        true => Err(invalid_parameter(name, value)),
        false => Ok(usize::try_from(value).unwrap_or(usize::MAX)),
    }
}

fn count<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let pattern = row.pattern(1, flags(row, 3, Some("regexp_count"))?)?;
    let from = start(row, 2)?;
    Ok(pattern.all(row.text(0), from).count().into())
}

fn instr<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let pattern = row.pattern(1, flags(row, 5, Some("regexp_instr"))?)?;
    let (text, from) = (row.text(0), start(row, 2)?);
    let nth = at_least(row, 3, "n", 1, 1)?;
    let end = row.int_or(4, 0);
    if !(0..=1).contains(&end) {
        return Err(invalid_parameter("endoption", end));
    }
    let group = at_least(row, 6, "subexpr", 0, 0)?;
    let found = pattern.all(text, from).nth(nth - 1);
    let place = found.and_then(|found| found.get(group));
    Ok(Value::from(place.map_or(0, |place| {
        let at = if end == 1 { place.end() } else { place.start() };
        text.get(..at)
            .map_or(0, |before| before.chars().count() + 1)
    })))
}

fn substr<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let pattern = row.pattern(1, flags(row, 4, Some("regexp_substr"))?)?;
    let from = start(row, 2)?;
    let nth = at_least(row, 3, "n", 1, 1)?;
    let group = at_least(row, 5, "subexpr", 0, 0)?;
    let found = pattern.all(row.text(0), from).nth(nth - 1);
    let found = found.and_then(|found| found.get(group));
    Ok(found.map(|found| found.as_str().to_owned()).into())
}

fn split<'a>(row: &Row<'a>, function: &str) -> Result<Value<'a>> {
    let pattern = row.pattern(1, flags(row, 2, Some(function))?)?;
    let text = row.text(0);
    let (mut pieces, mut from) = (Vec::new(), 0);
    for found in pattern.all(text, 0) {
        let Some(all) = found.get(0) else { break };
        // An empty match at either end or right after another match splits nothing.
        if all.is_empty() && (all.start() == from || all.start() >= text.len()) {
            continue;
        }
        pieces.push(text.get(from..all.start()).map(str::to_owned));
        from = all.end();
    }
    pieces.push(text.get(from..).map(str::to_owned));
    Ok(Value::Texts(pieces))
}

fn replace<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let flags = flags(row, 3, None)?;
    let most = if flags.global { None } else { Some(1) };
    replaced(row, flags, 0, most)
}

fn replace_from<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let flags = flags(row, 5, None)?;
    let nth = match row.has(4) {
        true => at_least(row, 4, "n", 0, 0)?,
        false => usize::from(!flags.global),
    };
    replaced(row, flags, start(row, 3)?, (nth > 0).then_some(nth))
}

/// Replaces the match of number `nth`, or all.
fn replaced<'a>(row: &Row<'a>, flags: Flags, from: usize, nth: Option<usize>) -> Result<Value<'a>> {
    let pattern = row.pattern(1, flags)?;
    let text = row.text(0);
    let mut out = String::new();
    let mut copied = 0;
    let found = pattern.all(text, from).enumerate();
    let wanted = found.filter(|(index, _)| nth.is_none_or(|nth| index + 1 == nth));
    for (_, found) in wanted.take(nth.map_or(usize::MAX, |_| 1)) {
        let Some(all) = found.get(0) else { break };
        out.push_str(text.get(copied..all.start()).unwrap_or_default());
        substitute(row.text(2), &found, &mut out);
        check_length(out.len(), "regexp_replace")?;
        copied = all.end();
    }
    if copied == 0 && out.is_empty() {
        return Ok(text.into());
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Ok(out.into())
}

/// Writes a replacement: `\1` to `\9` are groups, `\&` the match, `\\` a backslash.
fn substitute(replacement: &str, found: &Captures<'_>, out: &mut String) {
    let mut rest = replacement.chars();
    while let Some(letter) = rest.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        let group = match rest.clone().next() {
            Some('&') => Some(0),
            Some(digit @ '1'..='9') => digit.to_digit(10),
            Some('\\') => None,
            _ => {
                out.push('\\');
                continue;
            }
        };
        rest.next();
        match group {
            Some(group) => {
                let group = found.get(group as usize);
                out.push_str(group.map_or("", |group| group.as_str()));
            }
            None => out.push('\\'),
        }
    }
}

/// `substring(text FROM pattern)`: the first group, or the whole match.
pub(super) fn substring<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let pattern = row.pattern(1, Flags::default())?;
    let found = pattern.captures_at(row.text(0), 0);
    let group = usize::from(pattern.groups() > 0);
    let text = found.and_then(|found| found.get(group));
    Ok(text.map(|text| text.as_str().to_owned()).into())
}

/// `substring(text, pattern, escape)`: what SIMILAR finds between `escape"` marks.
pub(super) fn substring_similar<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let pattern = similar(row.text(1), escape_of(Some(row.text(2)))?)?;
    let pattern = Pattern::compile(&pattern, Flags::default())?;
    let found = pattern.captures_at(row.text(0), 0);
    let group = usize::from(pattern.groups() > 0);
    let text = found.and_then(|found| found.get(group));
    Ok(text.map(|text| text.as_str().to_owned()).into())
}

fn similar_to_escape<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    if !row.has(0) || (row.len() > 1 && !row.has(1)) {
        return Ok(Value::Null);
    }
    let escape = row.has(1).then(|| row.text(1));
    Ok(similar(row.text(0), escape_of(escape)?)?.into())
}

/// The escape character: the backslash if none is given, none for an empty text.
fn escape_of(text: Option<&str>) -> Result<Option<char>> {
    let Some(text) = text else {
        return Ok(Some('\\'));
    };
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (escape, None) => Ok(escape),
        _ => Err(
            Error::new(SqlState::InvalidEscapeSequence, "invalid escape string")
                .with_hint("Escape string must be empty or one character.")
                .into(),
        ),
    }
}

/// A pattern of SIMILAR TO as a regular expression.
fn similar(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::from("^(?:");
    let (mut in_bracket, mut marks) = (false, 0);
    let has_marks = escape.is_some_and(|escape| pattern.contains(&format!("{escape}\"")));
    let mut rest = pattern.chars();
    while let Some(letter) = rest.next() {
        if Some(letter) == escape {
            match rest.next() {
                Some('"') if !in_bracket => {
                    out.push_str(match marks {
                        0 => ")(",
                        1 => ")(?:",
                        _ => {
                            return Err(Error::new(
                                SqlState::InvalidUseOfEscapeCharacter,
                                "SQL regular expression may not contain more than two escape-double-quote separators",
                            )
                            .into());
                        }
                    });
                    marks += 1;
                }
                Some(literal) => {
                    if !literal.is_alphanumeric() {
                        out.push('\\');
                    }
                    out.push(literal);
                }
                None => {}
            }
            continue;
        }
        match letter {
            ']' if in_bracket => {
                in_bracket = false;
                out.push(']');
            }
            '[' => {
                in_bracket = true;
                out.push('[');
            }
            other if in_bracket => {
                if other == '\\' {
                    out.push('\\');
                }
                out.push(other);
            }
            // Before the first mark as little as possible is matched.
            '%' if marks == 0 && has_marks => out.push_str(".*?"),
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '\\' | '.' | '^' | '$' => {
                out.push('\\');
                out.push(letter);
            }
            other => out.push(other),
        }
    }
    out.push_str(")$");
    Ok(out)
}

fn like_escape<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let escape = escape_of(Some(row.text(1)))?;
    let pattern = row.text(0);
    let mut out = String::with_capacity(pattern.len() + 4);
    let mut rest = pattern.chars();
    while let Some(letter) = rest.next() {
        if Some(letter) == escape {
            out.push('\\');
            let Some(literal) = rest.next() else {
                return Err(Error::new(
                    SqlState::InvalidEscapeSequence,
                    "LIKE pattern must not end with escape character",
                )
                .into());
            };
            out.push(literal);
        } else {
            if letter == '\\' {
                out.push('\\');
            }
            out.push(letter);
        }
    }
    Ok(out.into())
}
