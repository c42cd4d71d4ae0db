//! JSON as PostgreSQL's `json` checks it and as its `jsonb` stores it.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::CharIndices;

use crate::error::{Error, Result};

/// Arrays and objects inside each other.
const DEPTH_MAX: usize = 512;

/// Digits of a number; PostgreSQL's numeric has about as many before the point.
const NUMBER_DIGITS_MAX: i64 = 131_072;

/// Checks that a text is JSON; 22P02 if not.
pub fn check(text: &str) -> Result<()> {
    parse(text).map(|_| ())
}

/// The text as `jsonb` shows it: one space after colons and commas, keys by length and then by bytes,
/// the last of equal keys, numbers without exponent.
pub fn normalized(text: &str) -> Result<String> {
    let value = parse(text)?;
    let mut out = String::with_capacity(text.len());
    value.write(&mut out);
    Ok(out)
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(digits) => out.push_str(digits),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    write_string(key, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            // Writing to a String does not fail.
            c if u32::from(c) < 0x20 => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn parse(text: &str) -> Result<Json> {
    let mut parser = Parser {
        text,
        chars: text.char_indices().peekable(),
    };
    let value = parser.value(0)?;
    parser.skip_space();
    match parser.chars.peek() {
        None => Ok(value),
        Some(_) => Err(parser.invalid()),
    }
}

struct Parser<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl Parser<'_> {
    fn invalid(&mut self) -> Error {
        let error = Error::invalid_text_representation("invalid input syntax for type json");
        match self.chars.peek() {
            None => error.with_detail("The input string ended unexpectedly."),
            Some((at, _)) => {
                let rest = self.text.get(*at..).unwrap_or_default();
                let is_word = |c: char| c.is_alphanumeric() || "_-+.".contains(c);
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let token = match end {
                    0 => rest.chars().next().map(String::from).unwrap_or_default(),
                    end => rest[..end].to_owned(),
                };
                error.with_detail(format!("Token \"{token}\" is invalid."))
            }
        }
    }

    fn skip_space(&mut self) {
        while self
            .chars
            .next_if(|(_, c)| matches!(c, ' ' | '\t' | '\n' | '\r'))
            .is_some()
        {}
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        if depth > DEPTH_MAX {
            return Err(Error::new(
                crate::sqlstate::SqlState::StatementTooComplex,
                "JSON is nested too deeply",
            ));
        }
        self.skip_space();
        match self.chars.peek().map(|(_, c)| *c) {
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            Some('"') => Ok(Json::String(self.string()?)),
            Some('-' | '0'..='9') => self.number(),
            Some('t' | 'f' | 'n') => self.word(),
            _ => Err(self.invalid()),
        }
    }

    fn word(&mut self) -> Result<Json> {
        let start = self.chars.peek().map_or(0, |(at, _)| *at);
        for (word, value) in [
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("null", Json::Null),
        ] {
            let rest = self.text.get(start..).unwrap_or_default();
            let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            if rest.strip_prefix(word).is_some_and(ends) {
                for _ in word.chars() {
                    self.chars.next();
                }
                return Ok(value);
            }
        }
        Err(self.invalid())
    }

    fn array(&mut self, depth: usize) -> Result<Json> {
        self.take('[');
        let mut items = Vec::new();
        if self.take(']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(']') {
                return Ok(Json::Array(items));
            }
            if !self.take(',') {
                return Err(self.invalid());
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json> {
        self.take('{');
        let mut members: Vec<(String, Json)> = Vec::new();
        if !self.take('}') {
            loop {
                self.skip_space();
                if self.chars.peek().map(|(_, c)| *c) != Some('"') {
                    return Err(self.invalid());
                }
                let key = self.string()?;
                if !self.take(':') {
                    return Err(self.invalid());
                }
                members.push((key, self.value(depth + 1)?));
                if self.take('}') {
                    break;
                }
                if !self.take(',') {
                    return Err(self.invalid());
                }
            }
        }
        // The last of equal keys counts, and a stable sort keeps it last.
        members.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        let mut kept: Vec<(String, Json)> = Vec::with_capacity(members.len());
        for member in members {
            match kept.last_mut() {
                Some(last) if last.0 == member.0 => *last = member,
                _ => kept.push(member),
            }
        }
        Ok(Json::Object(kept))
    }

    fn string(&mut self) -> Result<String> {
        self.take('"');
        let mut text = String::new();
        loop {
            match self.chars.next() {
                Some((_, '"')) => return Ok(text),
                Some((_, '\\')) => text.push(self.escaped()?),
                Some((_, c)) if u32::from(c) >= 0x20 => text.push(c),
                _ => return Err(self.invalid()),
            }
        }
    }

    fn escaped(&mut self) -> Result<char> {
        let escaped = self.chars.next().map(|(_, c)| c);
        Ok(match escaped {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => {
                let first = self.hex()?;
                let code = match first {
                    0xd800..=0xdbff => {
                        let follows = self.chars.next().map(|(_, c)| c) == Some('\\')
                            && self.chars.next().map(|(_, c)| c) == Some('u');
                        let second = if follows { self.hex()? } else { 0 };
                        if !(0xdc00..=0xdfff).contains(&second) {
                            return Err(self.invalid());
                        }
                        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    code => code,
                };
                match char::from_u32(code) {
                    Some('\0') => {
                        return Err(Error::new(
                            crate::sqlstate::SqlState::UntranslatableCharacter,
                            "unsupported Unicode escape sequence",
                        )
                        .with_detail("\\u0000 cannot be converted to text."));
                    }
                    Some(c) => c,
                    None => return Err(self.invalid()),
                }
            }
            _ => return Err(self.invalid()),
        })
    }

    fn hex(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.chars.next().and_then(|(_, c)| c.to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.invalid())?;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Json> {
        let start = self.chars.peek().map_or(0, |(at, _)| *at);
        let rest = self.text.get(start..).unwrap_or_default();
        let is_part = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let Some(number) = plain_number(&rest[..end]) else {
            return Err(self.invalid());
        };
        for _ in 0..end {
            self.chars.next();
        }
        Ok(Json::Number(number))
    }
}

/// The number without exponent; none if it is not one as JSON writes them.
fn plain_number(text: &str) -> Option<String> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if whole.is_empty() || leading_zero || !digits(whole) || !digits(fraction) {
        return None;
    }
    if exponent.abs() > NUMBER_DIGITS_MAX {
        return None;
    }
    let scale = fraction.len() as i64 - exponent;
    let mut all = format!("{whole}{fraction}");
    all.extend(std::iter::repeat_n(
        '0',
        usize::try_from(-scale).unwrap_or(0),
    ));
    let scale = usize::try_from(scale).unwrap_or(0);
    if all.len() <= scale {
        all.insert_str(0, &"0".repeat(scale + 1 - all.len()));
    }
    let (whole, fraction) = all.split_at(all.len() - scale);
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let zero = whole == "0" && fraction.bytes().all(|b| b == b'0');
    let sign = if zero { "" } else { sign };
    Some(match fraction {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jsonb_is_written_as_postgresql_writes_it() {
        for (text, expected) in [
            (r#"{"b": 1, "a":[1, 2]}"#, r#"{"a": [1, 2], "b": 1}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
            (r#"{"bb":1,"a":2,"c":3}"#, r#"{"a": 2, "c": 3, "bb": 1}"#),
            (
                "[1.50, 1e3, 1.5e-3, -0, null, true]",
                "[1.50, 1000, 0.0015, 0, null, true]",
            ),
            (r#""x\u00e9\n\ud83d\ude00""#, "\"xé\\n😀\""),
            ("  [ ]  ", "[]"),
            ("{}", "{}"),
        ] {
            assert_eq!(normalized(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "x",
            "{\"a\":}",
            "[1,]",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "tru",
            "nullx",
            "\"a",
            "[1] 2",
            "\"\\x\"",
            "+1",
            "{\"a\" 1}",
            "\"\\ud800\"",
        ] {
            assert_eq!(check(text).unwrap_err().state().code(), "22P02", "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(check(&deep).is_err());
        let error = check("{\"a\": x}").unwrap_err();
        assert_eq!(error.detail().unwrap(), "Token \"x\" is invalid.");
    }
}
