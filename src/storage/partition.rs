//! Columns that a table is partitioned by: their values stand in its log, one for each file, and not in the
//! files.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, Result};

/// Key of a schema's metadata: the names of the columns that the table is partitioned by, as JSON.
const PARTITIONED_METADATA: &str = "partitioned_by";

/// The values of a file's partition columns, in the order of the columns.
pub type FileKeys = Arc<[ScalarValue]>;

/// The names of the columns that a table is partitioned by.
pub fn partition_columns(columns: &Schema) -> Vec<String> {
    let names = columns.metadata().get(PARTITIONED_METADATA);
    names
        .and_then(|names| serde_json::from_str(names).ok())
        .unwrap_or_default()
}

/// The same columns of a table that is partitioned by some of them.
pub fn partitioned_by(columns: &Schema, names: &[String]) -> Schema {
    let mut metadata = columns.metadata().clone();
    if names.is_empty() {
        metadata.remove(PARTITIONED_METADATA);
    } else {
        let names = serde_json::Value::from(names.to_vec());
        metadata.insert(PARTITIONED_METADATA.to_owned(), names.to_string());
    }
    columns.clone().with_metadata(metadata)
}

/// Whether a table can be partitioned by values of a type: they have one text, and that text one value, also for
/// other readers (of which one takes negative decimals apart wrongly).
pub fn is_partition_type(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Utf8View
    )
}

/// The text of a partition column's value as a log writes it; `None` for NULL. An error for a value that a
/// log cannot tell, such as an empty text.
pub fn key_text(column: &str, value: &ScalarValue) -> Result<Option<String>> {
    if value.is_null() {
        return Ok(None);
    }
    let untold = || {
        Error::invalid_parameter_value(format!(
            "column \"{column}\" of a partitioned table cannot hold the value \"{value}\""
        ))
        .with_detail("The log of a Delta table writes an empty text as NULL, and no years before 1 or after 9999.")
        .with_hint("Write NULL instead, or partition the table by another column.")
    };
    let is_time = matches!(value, ScalarValue::TimestampMicrosecond(_, _));
    let plain = match value {
        // Written in UTC, without a zone.
        ScalarValue::TimestampMicrosecond(at, _) => ScalarValue::TimestampMicrosecond(*at, None),
        other => other.clone(),
    };
    let text = plain.cast_to(&DataType::Utf8);
    let Ok(ScalarValue::Utf8(Some(mut text))) = text else {
        return Err(untold());
    };
    if is_time {
        text = text.replace('T', " ");
    }
    let field = Field::new(column, value.data_type(), true);
    match key_value(column, &field, Some(&text)) {
        Ok(same) if same == *value => Ok(Some(text)),
        _ => Err(untold()),
    }
}

/// The value of a partition column from its text in the log of `table`.
pub(super) fn key_value(table: &str, key: &Field, text: Option<&str>) -> Result<ScalarValue> {
    let unread = || {
        Error::data_corrupted(format!(
            "the log of table {table} tells a value of column \"{}\" that is none of its type",
            key.name()
        ))
    };
    // The log writes NULL as nothing, also for texts.
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return ScalarValue::try_from(key.data_type()).map_err(|error| unread().with_source(error));
    };
    let value = ScalarValue::Utf8(Some(text.to_owned())).cast_to(key.data_type());
    match value {
        Ok(value) if !value.is_null() => Ok(value),
        Ok(_) => Err(unread()),
        Err(error) => Err(unread().with_source(error)),
    }
}

/// The values of the columns `keys` from their texts in the log of `table`.
pub fn key_values<S: BuildHasher>(
    table: &str,
    keys: &[FieldRef],
    texts: &HashMap<String, Option<String>, S>,
) -> Result<Vec<ScalarValue>> {
    let text = |key: &FieldRef| texts.get(key.name()).and_then(Option::as_deref);
    keys.iter()
        .map(|key| key_value(table, key, text(key)))
        .collect()
}

/// A table's columns: those in files, those in the log, and where all of them stand among these.
pub(super) struct Split {
    /// The columns in files.
    pub(super) own: SchemaRef,
    /// The columns in the log.
    pub(super) keys: Vec<FieldRef>,
    /// The places of all columns in `own` and `keys` one after the other.
    pub(super) order: Vec<usize>,
}

/// Takes the columns `keys` out of a table's.
pub(super) fn split(columns: &Schema, keys: &[String]) -> Split {
    let field = |name: &String| columns.field_with_name(name).ok();
    let keys: Vec<FieldRef> = keys
        .iter()
        .filter_map(|name| field(name).map(|field| Arc::new(field.clone())))
        .collect();
    let key = |name: &str| keys.iter().position(|key| key.name() == name);
    let own: Vec<FieldRef> = columns
        .fields()
        .iter()
        .filter(|field| key(field.name()).is_none())
        .map(Arc::clone)
        .collect();
    let mut next_own = 0;
    let places = columns
        .fields()
        .iter()
        .map(|field| match key(field.name()) {
            Some(at) => own.len() + at,
            None => {
                next_own += 1;
                next_own - 1
            }
        });
    let order = places.collect();
    Split {
        own: Arc::new(Schema::new_with_metadata(own, columns.metadata().clone())),
        keys,
        order,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_texts_that_are_read_as_the_same_values() {
        let at = |us| ScalarValue::TimestampMicrosecond(Some(us), None);
        for (value, text) in [
            (ScalarValue::Boolean(Some(true)), "true"),
            (ScalarValue::Int16(Some(-3)), "-3"),
            (ScalarValue::Int64(Some(i64::MIN)), "-9223372036854775808"),
            (ScalarValue::Date32(Some(19_844)), "2024-05-01"),
            (ScalarValue::Date32(Some(-719_162)), "0001-01-01"),
            (at(1_714_566_896_000_001), "2024-05-01 12:34:56.000001"),
            (at(0), "1970-01-01 00:00:00"),
            (
                ScalarValue::TimestampMicrosecond(Some(0), Some("UTC".into())),
                "1970-01-01 00:00:00",
            ),
            (ScalarValue::Utf8View(Some("a b/ü=%".to_owned())), "a b/ü=%"),
            (ScalarValue::Utf8View(Some(" NULL ".to_owned())), " NULL "),
        ] {
            assert!(is_partition_type(&value.data_type()), "{value:?}");
            let told = key_text("k", &value).unwrap();
            assert_eq!(told.as_deref(), Some(text), "{value:?}");
            let field = Field::new("k", value.data_type(), true);
            assert_eq!(key_value("t", &field, told.as_deref()).unwrap(), value);
            let null = ScalarValue::try_from(value.data_type()).unwrap();
            assert_eq!(key_text("k", &null).unwrap(), None);
        }
    }

    #[test]
    fn values_that_a_log_cannot_tell_are_refused() {
        for value in [
            ScalarValue::Utf8View(Some(String::new())),
            ScalarValue::Date32(Some(i32::MAX)),
            ScalarValue::TimestampMicrosecond(Some(i64::MAX), None),
        ] {
            let error = key_text("k", &value).unwrap_err();
            assert_eq!(error.state().code(), "22023", "{value:?}");
        }
    }

    #[test]
    fn columns_are_split_and_put_in_order_again() {
        let names = ["a", "k", "b", "l"];
        let fields: Vec<Field> = names
            .iter()
            .map(|name| Field::new(*name, DataType::Int64, true))
            .collect();
        let columns = partitioned_by(&Schema::new(fields), &["l".to_owned(), "k".to_owned()]);
        let keys = partition_columns(&columns);
        let Split { own, keys, order } = split(&columns, &keys);
        let all: Vec<&String> = own.fields().iter().chain(&keys).map(|f| f.name()).collect();
        assert_eq!(all, ["a", "b", "l", "k"]);
        assert_eq!(
            order.iter().map(|at| all[*at].as_str()).collect::<Vec<_>>(),
            names
        );
    }
}
