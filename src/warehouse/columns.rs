//! Columns of managed tables: which types are kept, and how a Delta table's schema tells them.
//!
//! What PostgreSQL knows of a column and Delta does not (varchar(n), uuid, json, defaults) stands in the
//! column's metadata, where other readers pass over it.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit,
};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// Key of a column's metadata: its DEFAULT, as SQL.
pub const DEFAULT_METADATA: &str = "loyalhouse.default";

/// Key of a column's metadata: `a` if it is GENERATED ALWAYS AS IDENTITY, `d` if BY DEFAULT.
pub const IDENTITY_METADATA: &str = "identity";

/// Key of a column's metadata in a Delta schema: the type that a value has here.
const TYPE_KEY: &str = "loyalhouse.type";
/// What stands before the other keys of our metadata in a Delta schema.
const OWN_PREFIX: &str = "loyalhouse.";
/// Key of a column's metadata in the schema of a table whose columns are mapped: its name in files.
const MAPPED_NAME: &str = "delta.columnMapping.physicalName";
/// Keys that Delta and we give the same name.
const SHARED_KEYS: [&str; 1] = ["comment"];
/// Digits of a Delta decimal.
const DECIMAL_DIGITS_MAX: u8 = 38;
/// Decimals kept of a numeric whose scale nobody declared.
const FREE_SCALE_KEPT: i8 = 18;
/// Digits and decimals that such a numeric has in statements; see [`crate::engine`]'s numerics.
const FREE: DataType = DataType::Decimal256(76, 38);
/// Decimals from which on a numeric is a quotient or free: nobody declared as many.
const FREE_SCALE_MIN: i8 = 28;

/// The column that values of `field` are kept in, or 0A000 if there is none.
pub fn stored(field: &Field) -> Result<Field> {
    let data_type = stored_type(field.data_type()).ok_or_else(|| {
        Error::feature_not_supported(format!(
            "column \"{}\" has a type that tables do not keep",
            field.name()
        ))
        .with_detail(format!("Its Arrow type is {}.", field.data_type()))
        .with_hint("Cast it to text, or to a number of seconds.")
    })?;
    Ok(field.clone().with_data_type(data_type))
}

fn stored_type(data_type: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match data_type {
        D::Boolean
        | D::Int16
        | D::Int32
        | D::Int64
        | D::Float32
        | D::Float64
        | D::Date32
        | D::FixedSizeBinary(_) => data_type.clone(),
        D::Null | D::Utf8 | D::LargeUtf8 | D::Utf8View => D::Utf8View,
        D::Binary | D::LargeBinary | D::BinaryView => D::BinaryView,
        D::Int8 | D::UInt8 => D::Int16,
        D::UInt16 => D::Int32,
        D::UInt32 => D::Int64,
        D::UInt64 => D::Decimal128(20, 0),
        D::Float16 => D::Float32,
        D::Date64 => D::Timestamp(TimeUnit::Microsecond, None),
        D::Timestamp(_, None) => D::Timestamp(TimeUnit::Microsecond, None),
        D::Timestamp(_, Some(_)) => D::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        D::Time32(_) | D::Time64(_) => D::Time64(TimeUnit::Microsecond),
        D::Decimal32(digits, scale) | D::Decimal64(digits, scale) => {
            D::Decimal128(*digits, (*scale).max(0))
        }
        D::Decimal128(_, scale) if *scale >= FREE_SCALE_MIN => FREE,
        D::Decimal128(digits, scale) => D::Decimal128(*digits, (*scale).max(0)),
        D::Decimal256(digits, scale) => match *scale >= FREE_SCALE_MIN {
            true => FREE,
            false => D::Decimal128((*digits).min(DECIMAL_DIGITS_MAX), (*scale).max(0)),
        },
        D::Dictionary(_, values) => stored_type(values)?,
        D::List(item) | D::LargeList(item) | D::ListView(item) | D::LargeListView(item) => {
            D::List(stored_item(item)?)
        }
        D::FixedSizeList(item, _) => D::List(stored_item(item)?),
        D::Struct(fields) => {
            // The log tells what these types are of a column, not of a field in it.
            let is_told = |field: &FieldRef| {
                !matches!(
                    leaf_of(field.data_type()),
                    D::Time64(_) | D::FixedSizeBinary(_)
                )
            };
            let fields: Option<Vec<FieldRef>> = fields
                .iter()
                .map(|field| stored_item(field).filter(is_told))
                .collect();
            D::Struct(fields?.into())
        }
        _ => return None,
    })
}

fn stored_item(item: &FieldRef) -> Option<FieldRef> {
    let data_type = stored_type(item.data_type())?;
    Some(Arc::new(item.as_ref().clone().with_data_type(data_type)))
}

/// The columns as they stand in data files: of the types that the table's Delta schema tells, which other
/// readers insist on.
pub(super) fn in_files(columns: &Schema) -> SchemaRef {
    let field = |field: &FieldRef| {
        let leaf = match leaf_of(field.data_type()) {
            free if *free == FREE => free_in_files(),
            DataType::Time64(_) => DataType::Int64,
            DataType::FixedSizeBinary(_) => DataType::Binary,
            _ => return Arc::clone(field),
        };
        let data_type = with_leaf(field.data_type(), &leaf);
        // What else is known of it stands in the log: there it may say that its values are of another type.
        let field = Field::new(field.name(), data_type, field.is_nullable());
        Arc::new(field)
    };
    Arc::new(Schema::new(
        columns.fields().iter().map(field).collect::<Fields>(),
    ))
}

/// The type of the elements of a list of lists; of what is no list, its own.
fn leaf_of(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::List(item) => leaf_of(item.data_type()),
        other => other,
    }
}

/// The same lists of elements of another type.
fn with_leaf(data_type: &DataType, leaf: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => {
            let inner = with_leaf(item.data_type(), leaf);
            DataType::List(Arc::new(Field::new(item.name(), inner, item.is_nullable())))
        }
        _ => leaf.clone(),
    }
}

fn free_in_files() -> DataType {
    DataType::Decimal128(DECIMAL_DIGITS_MAX, FREE_SCALE_KEPT)
}

/// The schema string of a Delta table with these columns, all of stored types.
pub(super) fn to_delta(columns: &Schema) -> Result<Value> {
    Ok(json!({ "type": "struct", "fields": fields_to_delta(columns.fields())? }))
}

fn fields_to_delta(fields: &Fields) -> Result<Vec<Value>> {
    let field = |field: &FieldRef| -> Result<Value> {
        Ok(json!({
            "name": field.name(),
            "type": type_to_delta(field.data_type())?,
            "nullable": field.is_nullable(),
            "metadata": metadata_to_delta(field),
        }))
    };
    fields.iter().map(field).collect()
}

fn type_to_delta(data_type: &DataType) -> Result<Value> {
    use DataType as D;
    let name = match data_type {
        D::Boolean => "boolean",
        D::Int16 => "short",
        D::Int32 => "integer",
        D::Int64 | D::Time64(_) => "long",
        D::Float32 => "float",
        D::Float64 => "double",
        D::Utf8View => "string",
        D::BinaryView | D::FixedSizeBinary(_) => "binary",
        D::Date32 => "date",
        D::Timestamp(_, Some(_)) => "timestamp",
        D::Timestamp(_, None) => "timestamp_ntz",
        D::Decimal128(digits, scale) => return Ok(json!(format!("decimal({digits},{scale})"))),
        free if *free == FREE => return type_to_delta(&free_in_files()),
        D::List(item) => {
            return Ok(json!({
                "type": "array",
                "elementType": type_to_delta(item.data_type())?,
                "containsNull": item.is_nullable(),
            }));
        }
        D::Struct(fields) => {
            return Ok(json!({ "type": "struct", "fields": fields_to_delta(fields)? }));
        }
        other => {
            return Err(Error::internal(format!(
                "{other} is no type of a stored column"
            )));
        }
    };
    Ok(json!(name))
}

fn metadata_to_delta(field: &Field) -> Value {
    let mut metadata = Map::new();
    for (key, value) in field.metadata() {
        let key = match SHARED_KEYS.contains(&key.as_str()) || key.starts_with(OWN_PREFIX) {
            true => key.clone(),
            false => format!("{OWN_PREFIX}{key}"),
        };
        metadata.insert(key, json!(value));
    }
    let own_type = match leaf_of(field.data_type()) {
        DataType::Time64(_) => Some("time".to_owned()),
        DataType::FixedSizeBinary(bytes) => Some(format!("fixed({bytes})")),
        free if *free == FREE => Some("numeric".to_owned()),
        _ => None,
    };
    if let Some(own_type) = own_type {
        metadata.insert(TYPE_KEY.to_owned(), json!(own_type));
    }
    Value::Object(metadata)
}

/// The columns that a Delta table's schema string tells.
pub(super) fn from_delta(schema: &str) -> Result<SchemaRef> {
    let fields = fields_of(schema)?;
    let fields: Vec<Field> = fields.iter().map(field_from_delta).collect::<Result<_>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// The names of a Delta table's columns in its files and in its log, where they need not be those that it shows.
pub(super) fn names_in_files(schema: &str) -> Result<Vec<String>> {
    let name = |field: &Value| {
        let name = field.get("metadata").and_then(|all| all.get(MAPPED_NAME));
        if is_nested_struct(field.get("type")) {
            return Err(Error::feature_not_supported(
                "Delta tables with column mapping of a struct's fields are not supported",
            )
            .with_hint("Let the program that writes the table turn column mapping off, or write a plain copy."));
        }
        let name = name.and_then(Value::as_str);
        name.map(ToOwned::to_owned)
            .ok_or_else(|| unreadable("a mapped column has no name in files"))
    };
    fields_of(schema)?.iter().map(name).collect()
}

/// Whether a type of a Delta schema is a struct or holds one.
fn is_nested_struct(declared: Option<&Value>) -> bool {
    let Some(Value::Object(declared)) = declared else {
        return false;
    };
    declared.get("type").and_then(Value::as_str) == Some("struct")
        || ["elementType", "keyType", "valueType"]
            .iter()
            .any(|part| is_nested_struct(declared.get(*part)))
}

/// The columns that a Delta schema tells.
fn fields_of(schema: &str) -> Result<Vec<Value>> {
    let mut schema: Value = serde_json::from_str(schema)
        .map_err(|error| unreadable("its schema is not JSON").with_source(error))?;
    match schema.get_mut("fields").map(Value::take) {
        Some(Value::Array(fields)) => Ok(fields),
        _ => Err(unreadable("its schema has an unknown form")),
    }
}

fn unreadable(why: &str) -> Error {
    Error::data_corrupted(format!("a Delta table cannot be read: {why}"))
}

fn field_from_delta(field: &Value) -> Result<Field> {
    let name = field.get("name").and_then(Value::as_str);
    let name = name.ok_or_else(|| unreadable("a column has no name"))?;
    let nullable = field
        .get("nullable")
        .and_then(Value::as_bool)
        .unwrap_or(true);
    let mut metadata = HashMap::new();
    let mut own_type = None;
    let known = field.get("metadata").and_then(Value::as_object);
    for (key, value) in known.into_iter().flatten() {
        let Some(text) = value.as_str() else { continue };
        if key == TYPE_KEY {
            own_type = Some(text.to_owned());
        } else if key == DEFAULT_METADATA || SHARED_KEYS.contains(&key.as_str()) {
            metadata.insert(key.clone(), text.to_owned());
        } else if let Some(key) = key.strip_prefix(OWN_PREFIX) {
            metadata.insert(key.to_owned(), text.to_owned());
        }
    }
    let declared = field.get("type").unwrap_or(&Value::Null);
    let declared = type_from_delta(name, declared)?;
    let leaf = match own_type.as_deref() {
        Some("time") => DataType::Time64(TimeUnit::Microsecond),
        Some("numeric") => FREE,
        Some(text) if text.starts_with("fixed(") => {
            let bytes = text.trim_start_matches("fixed(").trim_end_matches(')');
            let bytes = bytes
                .parse()
                .map_err(|_| unreadable("a length is no number"))?;
            DataType::FixedSizeBinary(bytes)
        }
        _ => return Ok(Field::new(name, declared, nullable).with_metadata(metadata)),
    };
    let data_type = with_leaf(&declared, &leaf);
    Ok(Field::new(name, data_type, nullable).with_metadata(metadata))
}

fn type_from_delta(column: &str, declared: &Value) -> Result<DataType> {
    use DataType as D;
    let unknown = || {
        Error::feature_not_supported(format!(
            "column \"{column}\" of a Delta table has the type {declared}, which is not supported"
        ))
    };
    if let Some(nested) = declared.as_object() {
        let kind = nested.get("type").and_then(Value::as_str);
        return match kind {
            Some("array") => {
                let item = nested.get("elementType").unwrap_or(&Value::Null);
                let nullable = nested.get("containsNull").and_then(Value::as_bool);
                let item = type_from_delta(column, item)?;
                let item = Field::new_list_field(item, nullable.unwrap_or(true));
                Ok(D::List(Arc::new(item)))
            }
            Some("struct") => {
                let fields = nested.get("fields").and_then(Value::as_array);
                let fields = fields.ok_or_else(unknown)?.iter().map(field_from_delta);
                Ok(D::Struct(fields.collect::<Result<Vec<Field>>>()?.into()))
            }
            _ => Err(unknown()),
        };
    }
    Ok(match declared.as_str().ok_or_else(unknown)? {
        "boolean" => D::Boolean,
        "byte" | "short" => D::Int16,
        "integer" => D::Int32,
        "long" => D::Int64,
        "float" => D::Float32,
        "double" => D::Float64,
        "string" => D::Utf8View,
        "binary" => D::BinaryView,
        "date" => D::Date32,
        "timestamp" => D::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "timestamp_ntz" => D::Timestamp(TimeUnit::Microsecond, None),
        decimal => {
            let inner = decimal
                .strip_prefix("decimal(")
                .and_then(|rest| rest.strip_suffix(')'));
            let (digits, scale) = inner
                .and_then(|inner| inner.split_once(','))
                .ok_or_else(unknown)?;
            let digits = digits.trim().parse().map_err(|_| unknown())?;
            let scale = scale.trim().parse().map_err(|_| unknown())?;
            D::Decimal128(digits, scale)
        }
    })
}

/// Whether a column holds times without a zone, for which a Delta table needs a feature.
pub(super) fn has_plain_timestamps(columns: &Schema) -> bool {
    fn is_plain(data_type: &DataType) -> bool {
        match data_type {
            DataType::Timestamp(_, None) => true,
            DataType::List(item) => is_plain(item.data_type()),
            DataType::Struct(fields) => fields.iter().any(|field| is_plain(field.data_type())),
            _ => false,
        }
    }
    columns
        .fields()
        .iter()
        .any(|field| is_plain(field.data_type()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_type_comes_back_from_a_delta_schema() {
        let item = |data_type| Arc::new(Field::new_list_field(data_type, true));
        let types = [
            DataType::Boolean,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Utf8View,
            DataType::BinaryView,
            DataType::FixedSizeBinary(16),
            DataType::Date32,
            DataType::Time64(TimeUnit::Microsecond),
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::Decimal128(12, 2),
            FREE,
            DataType::List(item(DataType::Int32)),
            DataType::List(item(DataType::List(item(DataType::Utf8View)))),
            DataType::List(item(DataType::FixedSizeBinary(16))),
            DataType::List(item(DataType::List(item(DataType::Time64(
                TimeUnit::Microsecond,
            ))))),
            DataType::List(item(FREE)),
            DataType::Struct(vec![Field::new("n", DataType::Decimal128(38, 10), false)].into()),
        ];
        let metadata = [
            ("comment", "what it says"),
            ("pg_type", "varchar"),
            (DEFAULT_METADATA, "now()"),
        ];
        let metadata: HashMap<String, String> = metadata
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let fields: Vec<Field> = types
            .into_iter()
            .enumerate()
            .map(|(at, of)| {
                Field::new(format!("Column {at}"), of, at % 2 == 0).with_metadata(metadata.clone())
            })
            .collect();
        for field in &fields {
            assert_eq!(&stored(field).unwrap(), field);
        }
        let columns = Schema::new(fields);
        let told = to_delta(&columns).unwrap().to_string();
        assert_eq!(from_delta(&told).unwrap().as_ref(), &columns);
    }

    #[test]
    fn types_without_a_place_are_refused_by_name() {
        let field = Field::new("took", DataType::Duration(TimeUnit::Second), true);
        let error = stored(&field).unwrap_err();
        assert!(error.message().contains("took"), "{error}");
        assert_eq!(error.state().code(), "0A000");
    }
}
