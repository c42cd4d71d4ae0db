//! Functions over text and bytes that DataFusion lacks or answers differently.

use std::borrow::Cow;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::error::Result;
use unicode_normalization::UnicodeNormalization;

use super::rowwise::{Kind, Row, Spec, Value, strict};
use crate::catalog::functions::{quote_identifier, quote_literal};
use crate::error::Error;
use crate::sqlstate::SqlState;

use Kind::{Any, Bool, Bytea, Int4, Int8, Text, Texts};

/// Characters of base64 in a line, as MIME has them.
const BASE64_LINE: usize = 76;

/// Longest text that one call may build, in bytes.
const TEXT_BYTES_MAX: usize = 256 << 20;

pub(super) const SPECS: &[Spec] = &[
    strict("bit_count", &[Bytea], Int8, |row| {
        let bits: u32 = row.bytes(0).iter().map(|byte| byte.count_ones()).sum();
        Ok(Value::Int(i64::from(bits)))
    }),
    strict("bit_length", &[Bytea], Int4, |row| {
        Ok((row.bytes(0).len() * 8).into())
    }),
    strict("bit_length", &[Text], Int4, |row| {
        Ok((row.text(0).len() * 8).into())
    }),
    strict("chr", &[Int4], Text, chr),
    strict("concat", &[Any], Text, concat)
        .variadic(Any)
        .lenient()
        .stable(),
    strict("concat_ws", &[Text], Text, concat_ws)
        .variadic(Any)
        .lenient()
        .stable(),
    strict("decode", &[Text, Text], Bytea, decode),
    strict("encode", &[Bytea, Text], Text, encode),
    strict("format", &[Text], Text, super::format::format)
        .variadic(Any)
        .lenient()
        .stable(),
    strict("get_byte", &[Bytea, Int4], Int4, get_byte),
    strict("is_normalized", &[Text, Text], Bool, |row| {
        Ok((normalized(row.text(0), form(row, 1)) == row.text(0)).into())
    })
    .optional(1),
    strict("length", &[Bytea], Int4, |row| {
        Ok(row.bytes(0).len().into())
    }),
    strict("length", &[Text], Int4, |row| {
        Ok(row.text(0).chars().count().into())
    }),
    strict("normalize", &[Text, Text], Text, |row| {
        Ok(normalized(row.text(0), form(row, 1)).into())
    })
    .optional(1),
    strict("octet_length", &[Bytea], Int4, |row| {
        Ok(row.bytes(0).len().into())
    }),
    strict("octet_length", &[Text], Int4, |row| {
        Ok(row.text(0).len().into())
    }),
    strict("parse_ident", &[Text, Bool], Texts, parse_ident).optional(1),
    strict("quote_literal", &[Any], Text, |row| {
        Ok(row.shown(0)?.map(|text| quote_literal(&text)).into())
    })
    .stable(),
    strict("quote_nullable", &[Any], Text, |row| {
        Ok(row
            .shown(0)?
            .map_or("NULL".to_owned(), |text| quote_literal(&text))
            .into())
    })
    .lenient()
    .stable(),
    strict("quote_ident", &[Text], Text, |row| {
        Ok(quote_identifier(row.text(0)).into())
    }),
    strict("set_byte", &[Bytea, Int4, Int4], Bytea, set_byte),
    strict("starts_with", &[Text, Text], Bool, |row| {
        Ok(row.text(0).starts_with(row.text(1)).into())
    }),
    strict("string_to_array", &[Text, Text, Text], Texts, |row| {
        Ok(match row.has(0) {
            true => Value::Texts(pieces(row)),
            false => Value::Null,
        })
    })
    .optional(1)
    .lenient(),
    strict("substr", &[Text, Int4, Int4], Text, substr).optional(1),
    strict("substr", &[Bytea, Int4, Int4], Bytea, substr_bytes).optional(1),
    strict("substring", &[Text, Int4, Int4], Text, substr).optional(1),
    strict("substring", &[Bytea, Int4, Int4], Bytea, substr_bytes).optional(1),
    strict("substring", &[Text, Text], Text, super::regexes::substring),
    strict(
        "substring",
        &[Text, Text, Text],
        Text,
        super::regexes::substring_similar,
    ),
    strict("to_hex", &[Int4], Text, |row| {
        Ok(format!("{:x}", row.int(0) as i32).into())
    }),
    strict("to_hex", &[Int8], Text, |row| {
        Ok(format!("{:x}", row.int(0)).into())
    }),
    strict("unistr", &[Text], Text, unistr),
];

fn chr<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    match u32::try_from(row.int(0)) {
        Ok(0) => Err(Error::program_limit_exceeded("null character not permitted").into()),
        Ok(code) => match char::from_u32(code) {
            Some(letter) => Ok(String::from(letter).into()),
            None => Err(Error::program_limit_exceeded(format!(
                "requested character not valid for encoding: {code}"
            ))
            .into()),
        },
        Err(_) => Err(Error::program_limit_exceeded("character number must be positive").into()),
    }
}

fn concat<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let mut out = String::new();
    for argument in 0..row.len() {
        out.push_str(row.shown(argument)?.as_deref().unwrap_or_default());
    }
    Ok(out.into())
}

fn concat_ws<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    if !row.has(0) {
        return Ok(Value::Null);
    }
    let mut shown = Vec::new();
    for argument in 1..row.len() {
        shown.extend(row.shown(argument)?);
    }
    Ok(shown.join(row.text(0)).into())
}

/// The pieces of a text between separators: each character for a NULL separator.
pub(super) fn pieces(row: &Row<'_>) -> Vec<Option<String>> {
    let text = row.text(0);
    let null = row.has(2).then(|| row.text(2));
    let piece = |piece: &str| (null != Some(piece)).then(|| piece.to_owned());
    if text.is_empty() {
        Vec::new()
    } else if !row.has(1) {
        text.chars()
            .map(|letter| piece(letter.encode_utf8(&mut [0; 4])))
            .collect()
    } else if row.text(1).is_empty() {
        vec![piece(text)]
    } else {
        text.split(row.text(1)).map(piece).collect()
    }
}

/// One-based start and end of a substring, cut to what is there.
fn span(row: &Row<'_>, length: usize) -> Result<std::ops::Range<usize>> {
    let start = row.int(1);
    let end = match row.has(2) {
        true => {
            let count = row.int(2);
            if count < 0 {
                return Err(Error::new(
                    SqlState::SubstringError,
                    "negative substring length not allowed",
                )
                .into());
            }
            start.saturating_add(count)
        }
        false => i64::MAX,
    };
    let bound = |position: i64| {
        usize::try_from(position.saturating_sub(1))
            .unwrap_or(0)
            .min(length)
    };
    let from = bound(start);
    Ok(from..bound(end).max(from))
}

fn substr<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let text = row.text(0);
    let span = span(row, text.len())?;
    if text.is_ascii() {
        return Ok(text.get(span).unwrap_or_default().into());
    }
    let mut starts = text.char_indices().map(|(at, _)| at);
    let from = starts.clone().nth(span.start).unwrap_or(text.len());
    let to = starts.nth(span.end).unwrap_or(text.len());
    Ok(text.get(from..to).unwrap_or_default().into())
}

fn substr_bytes<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let bytes = row.bytes(0);
    let span = span(row, bytes.len())?;
    Ok(Value::Bytes(bytes.get(span).unwrap_or_default().to_vec()))
}

fn byte_at(row: &Row<'_>) -> Result<usize> {
    let (at, length) = (row.int(1), row.bytes(0).len());
    match usize::try_from(at) {
        Ok(index) if index < length => Ok(index),
        _ => Err(Error::new(
            SqlState::ArraySubscriptError,
            format!(
                "index {at} out of valid range, 0..{}",
                i64::try_from(length).unwrap_or(i64::MAX) - 1
            ),
        )
        .into()),
    }
}

fn get_byte<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    Ok(Value::Int(i64::from(row.bytes(0)[byte_at(row)?])))
}

fn set_byte<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let index = byte_at(row)?;
    let mut bytes = row.bytes(0).to_vec();
    bytes[index] = (row.int(2) & 0xff) as u8;
    Ok(Value::Bytes(bytes))
}

fn form<'a>(row: &Row<'a>, argument: usize) -> &'a str {
    match row.has(argument) {
        true => row.text(argument),
        false => "NFC",
    }
}

fn normalized(text: &str, form: &str) -> String {
    match form.to_ascii_uppercase().as_str() {
        "NFD" => text.nfd().collect(),
        "NFKC" => text.nfkc().collect(),
        "NFKD" => text.nfkd().collect(),
        _ => text.nfc().collect(),
    }
}

fn encode<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let bytes = row.bytes(0);
    let mut out = String::with_capacity(bytes.len() * 2);
    match row.text(1).to_ascii_lowercase().as_str() {
        "hex" => {
            for byte in bytes {
                let _infallible = write!(out, "{byte:02x}");
            }
        }
        "base64" => {
            for (index, letter) in STANDARD.encode(bytes).chars().enumerate() {
                if index > 0 && index % BASE64_LINE == 0 {
                    out.push('\n');
                }
                out.push(letter);
            }
        }
        "escape" => {
            for byte in bytes {
                match byte {
                    b'\\' => out.push_str("\\\\"),
                    0 | 0x80.. => {
                        let _infallible = write!(out, "\\{byte:03o}");
                    }
                    plain => out.push(char::from(*plain)),
                }
            }
        }
        other => return Err(unknown_encoding(other)),
    }
    Ok(out.into())
}

fn unknown_encoding(name: &str) -> datafusion::error::DataFusionError {
    Error::invalid_parameter_value(format!("unrecognized encoding: \"{name}\"")).into()
}

fn decode<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let text = row.text(0);
    let bytes = match row.text(1).to_ascii_lowercase().as_str() {
        "hex" => decode_hex(text)?,
        "base64" => {
            let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            STANDARD.decode(compact).map_err(|_| {
                Error::invalid_parameter_value("invalid base64 end sequence").with_hint(
                    "Input data is missing padding, is truncated, or is otherwise corrupted.",
                )
            })?
        }
        "escape" => decode_escape(text)?,
        other => return Err(unknown_encoding(other)),
    };
    Ok(Value::Bytes(bytes))
}

fn decode_hex(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for letter in text.chars().filter(|c| !c.is_ascii_whitespace()) {
        let Some(digit) = letter.to_digit(16) else {
            let text = format!("invalid hexadecimal digit: \"{letter}\"");
            return Err(Error::invalid_parameter_value(text).into());
        };
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push((high * 16 + digit) as u8),
        }
    }
    match high {
        Some(_) => Err(Error::invalid_parameter_value(
            "invalid hexadecimal data: odd number of digits",
        )
        .into()),
        None => Ok(bytes),
    }
}

fn decode_escape(text: &str) -> Result<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let octal = text
            .get(at..at + 3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if bytes.get(at) == Some(&b'\\') {
            out.push(b'\\');
            at += 1;
        } else if let Some(value) = octal {
            out.push(value);
            at += 3;
        } else {
            return Err(
                Error::invalid_text_representation("invalid input syntax for type bytea").into(),
            );
        }
    }
    Ok(out)
}

fn unistr<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let text = row.text(0);
    if !text.contains('\\') {
        return Ok(Value::Text(Cow::Borrowed(text)));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        out.push_str(plain);
        if let Some(after) = after.strip_prefix('\\') {
            out.push('\\');
            rest = after;
            continue;
        }
        let (skipped, digits) = match after.as_bytes().first() {
            Some(b'+') => (1, 6),
            Some(b'u') => (1, 4),
            Some(b'U') => (1, 8),
            _ => (0, 4),
        };
        let code = after.get(skipped..skipped + digits);
        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
        match code.and_then(char::from_u32) {
            Some(letter) => out.push(letter),
            None => return Err(Error::syntax_error("invalid Unicode escape").into()),
        }
        rest = after.get(skipped + digits..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out.into())
}

/// The parts of a possibly qualified name: quoted ones as they are, others in lower case.
fn parse_ident<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let text = row.text(0);
    let strict = !row.has(1) || row.bool(1);
    let refuse = |detail: &str| -> Result<Value<'a>> {
        let error =
            Error::invalid_parameter_value(format!("string is not a valid identifier: \"{text}\""));
        Err(match detail {
            "" => error,
            detail => error.with_detail(detail),
        }
        .into())
    };
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(mut quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            loop {
                let Some((plain, after)) = quoted.split_once('"') else {
                    return refuse("String has unclosed double quotes.");
                };
                name.push_str(plain);
                match after.strip_prefix('"') {
                    Some(after) => {
                        name.push('"');
                        quoted = after;
                    }
                    None => {
                        rest = after;
                        break;
                    }
                }
            }
            if name.is_empty() {
                return refuse("Quoted identifier must not be empty.");
            }
            parts.push(Some(name));
        } else {
            let starts = |c: char| c.is_alphabetic() || c == '_' || !c.is_ascii();
            let goes_on = |c: char| starts(c) || c.is_ascii_digit() || c == '$';
            if !rest.starts_with(starts) {
                return match rest.strip_prefix('.') {
                    Some(_) => refuse("No valid identifier before \".\"."),
                    None if parts.is_empty() => refuse(""),
                    None => refuse("No valid identifier after \".\"."),
                };
            }
            let end = rest.find(|c| !goes_on(c)).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            parts.push(Some(name.to_lowercase()));
            rest = after;
        }
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() || !strict => return Ok(Value::Texts(parts)),
            None => return refuse(""),
        }
    }
}

/// Refuses to build a text that is too large.
pub(super) fn check_length(length: usize, name: &str) -> Result<()> {
    match length > TEXT_BYTES_MAX {
        true => Err(
            Error::program_limit_exceeded(format!("{name}(): requested length too large")).into(),
        ),
        false => Ok(()),
    }
}
