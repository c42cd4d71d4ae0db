//! Takes the rows of a partitioned table apart, by the values of the columns it is partitioned by.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::{SortColumn, lexsort_to_indices, partition, take_record_batch};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::error::ArrowError;
use datafusion::scalar::ScalarValue;
use object_store::path::Path;

use super::columns::IDENTITY_METADATA;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::storage::{FileKeys, is_partition_type, key_text, partition_columns, partitioned_by};

/// The value NULL in a path.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";
/// Bytes of a level of a path, of which file systems take 255.
const LEVEL_BYTES_MAX: usize = 240;

/// Where the partition columns of a table stand.
#[derive(Debug)]
pub(super) struct Parting {
    /// Places of the partition columns, in their order.
    keys: Vec<usize>,
    /// Their names.
    names: Vec<String>,
    /// Places of the other columns.
    own: Vec<usize>,
}

impl Parting {
    /// That of a table with these columns.
    pub(super) fn of(columns: &Schema) -> Self {
        let names = partition_columns(columns);
        let keys: Vec<usize> = names
            .iter()
            .filter_map(|name| columns.index_of(name).ok())
            .collect();
        let own = (0..columns.fields().len()).filter(|at| !keys.contains(at));
        Self {
            own: own.collect(),
            keys,
            names,
        }
    }

    /// The folder of a partition below the table's: one level for each column, as Hive names them, which some
    /// readers take the values from. An error for a value that a log cannot tell; `relation` is what it calls
    /// the table.
    pub(super) fn folder(&self, table: &Path, keys: &FileKeys, relation: &str) -> Result<Path> {
        let mut folder = table.clone();
        for (name, key) in self.names.iter().zip(keys.iter()) {
            let text = key_text(name, key).map_err(|error| {
                error.with_detail(format!("The rows are those of relation \"{relation}\"."))
            })?;
            let value = match text {
                Some(text) => escaped(&text),
                None => HIVE_NULL.to_owned(),
            };
            let level = format!("{}={value}", escaped(name));
            if level.len() > LEVEL_BYTES_MAX {
                return Err(Error::new(
                    SqlState::ProgramLimitExceeded,
                    format!("a value of column \"{name}\" is too long for a partition"),
                )
                .with_detail(format!(
                    "With the column's name it may take {LEVEL_BYTES_MAX} bytes of a file's path."
                ))
                .with_hint("Partition the table by another column."));
            }
            folder = Path::parse(format!("{folder}/{level}"))
                .map_err(|error| Error::internal("a partition has no folder").with_source(error))?;
        }
        Ok(folder)
    }

    /// The rows of each partition without the partition columns, and the values of those.
    pub(super) fn part(&self, batch: &RecordBatch) -> Result<Vec<(FileKeys, RecordBatch)>> {
        if self.keys.is_empty() {
            return Ok(vec![(FileKeys::default(), batch.clone())]);
        }
        self.sorted_parts(batch)
            .map_err(|error| Error::internal("rows could not be taken apart").with_source(error))
    }

    fn sorted_parts(
        &self,
        batch: &RecordBatch,
    ) -> std::result::Result<Vec<(FileKeys, RecordBatch)>, ArrowError> {
        let column = |batch: &RecordBatch, at: &usize| Arc::clone(batch.column(*at));
        let by: Vec<SortColumn> = self
            .keys
            .iter()
            .map(|at| SortColumn {
                values: column(batch, at),
                options: None,
            })
            .collect();
        let sorted = take_record_batch(batch, &lexsort_to_indices(&by, None)?)?;
        let keys: Vec<ArrayRef> = self.keys.iter().map(|at| column(&sorted, at)).collect();
        let own = sorted.project(&self.own)?;
        let part = |range: std::ops::Range<usize>| {
            let values = keys
                .iter()
                .map(|key| ScalarValue::try_from_array(key, range.start))
                .collect::<datafusion::error::Result<FileKeys>>()?;
            Ok((values, own.slice(range.start, range.len())))
        };
        partition(&keys)?.ranges().into_iter().map(part).collect()
    }
}

/// A text for a level of a path: what is special there or in a URL stands as `%` and two digits.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => {
                let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0');
                let digits = [digit(byte >> 4), digit(byte & 15)];
                escaped.push('%');
                escaped.extend(digits.map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    escaped
}

/// The columns of a table that is partitioned by `names`; an error if it cannot be.
pub fn partitioned(columns: &Schema, names: &[String]) -> Result<Schema> {
    for (at, name) in names.iter().enumerate() {
        let field = columns.field_with_name(name).map_err(|_| {
            Error::undefined_column(format!(
                "column \"{name}\" named in partition key does not exist"
            ))
        })?;
        if names[..at].contains(name) {
            return Err(Error::new(
                SqlState::DuplicateColumn,
                format!("column \"{name}\" appears twice in partition key"),
            ));
        }
        if !is_partition_type(field.data_type()) || field.metadata().contains_key(IDENTITY_METADATA)
        {
            return Err(Error::feature_not_supported(format!(
                "a table cannot be partitioned by column \"{name}\""
            ))
            .with_hint("Partition by a column of type boolean, smallint, integer, bigint, date, timestamp or text."));
        }
    }
    if !names.is_empty() && names.len() == columns.fields().len() {
        return Err(Error::new(
            SqlState::InvalidTableDefinition,
            "a table needs a column besides those that it is partitioned by",
        ));
    }
    Ok(partitioned_by(columns, names))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringViewArray};
    use datafusion::arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn each_part_has_the_rows_of_its_values() {
        let columns = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("k", DataType::Utf8View, true),
        ]);
        let columns = partitioned(&columns, &["k".to_owned()]).unwrap();
        let ids = Int64Array::from(vec![1, 2, 3, 4, 5]);
        let keys = StringViewArray::from(vec![Some("b"), None, Some("a"), Some("b"), None]);
        let batch = RecordBatch::try_new(
            Arc::new(columns.clone()),
            vec![Arc::new(ids), Arc::new(keys)],
        )
        .unwrap();
        let parts = Parting::of(&columns).part(&batch).unwrap();
        let mut found: Vec<(Option<String>, Vec<i64>)> = parts
            .iter()
            .map(|(keys, rows)| {
                let ScalarValue::Utf8View(key) = &keys[0] else {
                    panic!("{keys:?}")
                };
                let ids = rows
                    .column(0)
                    .as_any()
                    .downcast_ref::<Int64Array>()
                    .unwrap();
                let mut ids = ids.values().to_vec();
                ids.sort_unstable();
                assert_eq!(rows.num_columns(), 1);
                (key.clone(), ids)
            })
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                (None, vec![2, 5]),
                (Some("a".to_owned()), vec![3]),
                (Some("b".to_owned()), vec![1, 4]),
            ]
        );
    }

    #[test]
    fn partitions_have_folders_of_their_own() {
        let field = |name: &str| Field::new(name, DataType::Utf8View, true);
        let columns = Schema::new(vec![field("a b"), field("k"), field("x")]);
        let columns = partitioned(&columns, &["a b".to_owned(), "k".to_owned()]).unwrap();
        let parting = Parting::of(&columns);
        let text = |text: &str| ScalarValue::Utf8View(Some(text.to_owned()));
        let folder = |keys: [ScalarValue; 2]| {
            parting.folder(&Path::from("tables/t"), &keys.into_iter().collect(), "t")
        };
        let nulls = folder([ScalarValue::Utf8View(None), text("1/2 %ü")]).unwrap();
        let levels: Vec<String> = nulls.parts().map(|part| part.as_ref().to_owned()).collect();
        assert_eq!(
            levels[2..],
            ["a%20b=__HIVE_DEFAULT_PARTITION__", "k=1%2F2%20%25%C3%BC"]
        );
        let error = folder([text(&"x".repeat(240)), text("a")]).unwrap_err();
        assert_eq!(error.state().code(), "54000");
    }

    #[test]
    fn columns_that_a_table_cannot_be_partitioned_by_are_refused() {
        let columns = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("x", DataType::Float64, true),
        ]);
        for (names, code) in [
            (vec!["x"], "0A000"),
            (vec!["y"], "42703"),
            (vec!["id", "id"], "42701"),
        ] {
            let names: Vec<String> = names.into_iter().map(ToOwned::to_owned).collect();
            let error = partitioned(&columns, &names).unwrap_err();
            assert_eq!(error.state().code(), code, "{names:?}");
        }
        let one = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
        let error = partitioned(&one, &["id".to_owned()]).unwrap_err();
        assert_eq!(error.state().code(), "42P16");
    }
}
