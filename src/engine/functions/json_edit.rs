//! Functions and operators that change jsonb values.

use datafusion::error::Result;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::json::normalized;
use super::rowwise::{Kind, Spec, Value, strict};
use crate::error::Error;

use Kind::{Bool, Int4, Jsonb, Text, Texts};

/// Spaces per level that `jsonb_pretty` indents by.
const INDENT: usize = 4;

pub(super) const SPECS: &[Spec] = &[
    strict("jsonb_concat", &[Jsonb, Jsonb], Jsonb, |row| {
        shown(concat(parse(row.text(0))?, parse(row.text(1))?)?)
    }),
    strict("jsonb_delete", &[Jsonb, Int4], Jsonb, |row| {
        let mut value = parse(row.text(0))?;
        let Json::Array(items) = &mut value else {
            return refuse("cannot delete from object using integer index");
        };
        if let Some(index) = position(row.int(1), items.len()) {
            items.remove(index);
        }
        shown(value)
    }),
    strict("jsonb_delete", &[Jsonb, Text], Jsonb, |row| {
        shown(without(
            parse(row.text(0))?,
            &[Some(row.text(1).to_owned())],
        )?)
    }),
    strict("jsonb_delete", &[Jsonb, Texts], Jsonb, |row| {
        shown(without(parse(row.text(0))?, &row.texts(1)?)?)
    }),
    strict("jsonb_delete_path", &[Jsonb, Texts], Jsonb, |row| {
        let mut value = parse(row.text(0))?;
        change(&mut value, &row.texts(1)?, &Change::Delete)?;
        shown(value)
    }),
    strict("jsonb_insert", &[Jsonb, Texts, Jsonb, Bool], Jsonb, |row| {
        let mut value = parse(row.text(0))?;
        let change_to = Change::Insert(parse(row.text(2))?, row.has(3) && row.bool(3));
        change(&mut value, &row.texts(1)?, &change_to)?;
        shown(value)
    })
    .optional(1),
    strict("jsonb_pretty", &[Jsonb], Text, |row| {
        let mut out = String::new();
        pretty(&normalized(row.text(0))?, 0, &mut out)?;
        Ok(out.into())
    }),
    strict("jsonb_set", &[Jsonb, Texts, Jsonb, Bool], Jsonb, |row| {
        let mut value = parse(row.text(0))?;
        let create = !row.has(3) || row.bool(3);
        change(
            &mut value,
            &row.texts(1)?,
            &Change::Set(parse(row.text(2))?, create),
        )?;
        shown(value)
    })
    .optional(1),
];

fn parse(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|_| {
        Error::invalid_text_representation("invalid input syntax for type json").into()
    })
}

fn shown<'a>(value: Json) -> Result<Value<'a>> {
    Ok(normalized(&value.to_string())?.into())
}

fn refuse<T>(text: &str) -> Result<T> {
    Err(Error::invalid_parameter_value(text).into())
}

/// The place that an index means; negative ones count from the end.
fn position(index: i64, length: usize) -> Option<usize> {
    let length_signed = i64::try_from(length).ok()?;
    let index = if index < 0 {
        index + length_signed
    } else {
        index
    };
    usize::try_from(index).ok().filter(|index| *index < length)
}

fn concat(left: Json, right: Json) -> Result<Json> {
    Ok(match (left, right) {
        (Json::Object(mut left), Json::Object(right)) => {
            left.extend(right);
            Json::Object(left)
        }
        (Json::Array(mut left), Json::Array(right)) => {
            left.extend(right);
            Json::Array(left)
        }
        (Json::Array(mut left), right) => {
            left.push(right);
            Json::Array(left)
        }
        (left, Json::Array(mut right)) => {
            right.insert(0, left);
            Json::Array(right)
        }
        (Json::Object(_), _) | (_, Json::Object(_)) => {
            return refuse("invalid concatenation of jsonb objects");
        }
        (left, right) => Json::Array(vec![left, right]),
    })
}

fn without(value: Json, keys: &[Option<String>]) -> Result<Json> {
    let named = |key: &str| keys.iter().flatten().any(|name| name == key);
    Ok(match value {
        Json::Object(mut members) => {
            members.retain(|key, _| !named(key));
            Json::Object(members)
        }
        Json::Array(mut items) => {
            items.retain(|item| !item.as_str().is_some_and(named));
            Json::Array(items)
        }
        _ => return refuse("cannot delete from scalar"),
    })
}

enum Change {
    Delete,
    Insert(Json, bool),
    Set(Json, bool),
}

/// Changes what stands at a path; nothing if the path leads nowhere.
fn change(value: &mut Json, path: &[Option<String>], to: &Change) -> Result<()> {
    let Some((Some(step), rest)) = path.split_first() else {
        return Ok(());
    };
    match value {
        Json::Object(members) => match (rest.is_empty(), to) {
            (false, _) => match members.get_mut(step) {
                Some(inner) => change(inner, rest, to),
                None => Ok(()),
            },
            (true, Change::Delete) => {
                members.remove(step);
                Ok(())
            }
            (true, Change::Insert(..)) if members.contains_key(step) => {
                refuse("cannot replace existing key")
            }
            (true, Change::Set(_, false)) if !members.contains_key(step) => Ok(()),
            (true, Change::Insert(new, _) | Change::Set(new, _)) => {
                members.insert(step.clone(), new.clone());
                Ok(())
            }
        },
        Json::Array(items) => {
            let Ok(index) = step.parse::<i64>() else {
                return Err(Error::invalid_text_representation(format!(
                    "path element at position 1 is not an integer: \"{step}\""
                ))
                .into());
            };
            change_item(items, index, rest, to)
        }
        _ => Ok(()),
    }
}

fn change_item(
    items: &mut Vec<Json>,
    index: i64,
    rest: &[Option<String>],
    to: &Change,
) -> Result<()> {
    let place = position(index, items.len());
    let end = if index < 0 { 0 } else { items.len() };
    match (place, rest.is_empty(), to) {
        (Some(place), false, _) => change(&mut items[place], rest, to),
        (None, false, _) | (None, true, Change::Delete | Change::Set(_, false)) => Ok(()),
        (Some(place), true, Change::Delete) => {
            items.remove(place);
            Ok(())
        }
        (Some(place), true, Change::Set(new, _)) => {
            items[place] = new.clone();
            Ok(())
        }
        (Some(place), true, Change::Insert(new, after)) => {
            items.insert(place + usize::from(*after), new.clone());
            Ok(())
        }
        (None, true, Change::Set(new, _) | Change::Insert(new, _)) => {
            items.insert(end, new.clone());
            Ok(())
        }
    }
}

/// One member or item per line.
fn pretty(text: &str, level: usize, out: &mut String) -> Result<()> {
    let indent = |level: usize, out: &mut String| {
        out.push('\n');
        out.push_str(&" ".repeat(level * INDENT));
    };
    if text.starts_with('{') && text != "{}" {
        out.push('{');
        for (index, (key, value)) in super::json::object_of(text)?.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            indent(level + 1, out);
            out.push_str(&super::json::quoted(&key));
            out.push_str(": ");
            pretty(value.get(), level + 1, out)?;
        }
        indent(level, out);
        out.push('}');
    } else if text.starts_with('[') && text != "[]" {
        let items: Vec<&RawValue> = super::json::array_of(text)?;
        out.push('[');
        for (index, value) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            indent(level + 1, out);
            pretty(value.get(), level + 1, out)?;
        }
        indent(level, out);
        out.push(']');
    } else {
        out.push_str(text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_on_lines_of_their_own() {
        let mut out = String::new();
        pretty("{\"a\": [1]}", 0, &mut out).unwrap();
        assert_eq!(out, "{\n    \"a\": [\n        1\n    ]\n}");
    }
}
