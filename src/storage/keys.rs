//! Types and values of the `key=value` levels of a path.

use chrono::{Datelike, NaiveDate};
use datafusion::arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

/// Days from 0001-01-01 to 1970-01-01, by which chrono and Arrow count differently.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

/// The type that holds all values of a key: bigint, date, else text. NULLs do not decide.
pub(super) fn key_type<'a>(values: impl Iterator<Item = Option<&'a str>> + Clone) -> DataType {
    let mut known = values.flatten().peekable();
    if known.peek().is_none() {
        return DataType::Utf8View;
    }
    if known.clone().all(|value| integer(value).is_some()) {
        DataType::Int64
    } else if known.all(|value| date(value).is_some()) {
        DataType::Date32
    } else {
        DataType::Utf8View
    }
}

/// A value as a scalar of the key's type.
pub(super) fn key_value(value: Option<&str>, data_type: &DataType) -> ScalarValue {
    match data_type {
        DataType::Int64 => ScalarValue::Int64(value.and_then(integer)),
        DataType::Date32 => ScalarValue::Date32(value.and_then(date)),
        _ => ScalarValue::Utf8View(value.map(str::to_owned)),
    }
}

fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn date(text: &str) -> Option<i32> {
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shaped {
        return None;
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.num_days_from_ce() - EPOCH_DAYS_FROM_CE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_of(values: &[Option<&str>]) -> DataType {
        key_type(values.iter().copied())
    }

    #[test]
    fn all_integers_are_bigint() {
        assert_eq!(
            type_of(&[Some("1"), Some("-2"), Some("007"), None]),
            DataType::Int64
        );
        assert_eq!(type_of(&[Some("1"), Some("+2")]), DataType::Utf8View);
        assert_eq!(type_of(&[Some("1"), Some("")]), DataType::Utf8View);
        assert_eq!(type_of(&[Some("99999999999999999999")]), DataType::Utf8View);
    }

    #[test]
    fn all_iso_dates_are_date() {
        assert_eq!(type_of(&[Some("2024-02-29"), None]), DataType::Date32);
        assert_eq!(type_of(&[Some("2023-02-29")]), DataType::Utf8View);
        assert_eq!(type_of(&[Some("2024-2-1")]), DataType::Utf8View);
        assert_eq!(
            type_of(&[Some("2024-02-01"), Some("5")]),
            DataType::Utf8View
        );
    }

    #[test]
    fn a_key_without_values_is_text() {
        assert_eq!(type_of(&[None]), DataType::Utf8View);
    }

    #[test]
    fn values_become_scalars() {
        assert_eq!(
            key_value(Some("1970-01-02"), &DataType::Date32),
            ScalarValue::Date32(Some(1))
        );
        assert_eq!(
            key_value(Some("-5"), &DataType::Int64),
            ScalarValue::Int64(Some(-5))
        );
        assert_eq!(key_value(None, &DataType::Int64), ScalarValue::Int64(None));
        let text = ScalarValue::Utf8View(Some(String::new()));
        assert_eq!(key_value(Some(""), &DataType::Utf8View), text);
    }
}
