//! One schema for files that disagree: by name, widening only where no value changes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, FieldRef, Fields, Schema,
    SchemaRef, TimeUnit,
};

/// A column on which two files disagree: the column, and where each type stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) column: String,
    /// Index of a file that has `first_type`.
    pub(super) first: usize,
    pub(super) first_type: DataType,
    /// Index of the file that does not fit.
    pub(super) second: usize,
    pub(super) second_type: DataType,
}

struct Column {
    field: FieldRef,
    /// The file that gave the column its present type.
    file: usize,
    files: usize,
}

/// The schema of a file as it is read: views for text and bytes, plain values for dictionaries.
///
/// Nested text stays `Utf8`, since not every kernel takes views inside lists and structs.
pub(super) fn normalized(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema
        .fields()
        .iter()
        .map(|field| {
            let data_type = match plain_type(field.data_type()) {
                DataType::Utf8 => DataType::Utf8View,
                DataType::Binary => DataType::BinaryView,
                other => other,
            };
            retyped(field, data_type)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn retyped(field: &FieldRef, data_type: DataType) -> FieldRef {
    if field.data_type() == &data_type {
        return Arc::clone(field);
    }
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| retyped(field, plain_type(field.data_type())))
                .collect(),
        ),
        DataType::List(item) => DataType::List(retyped(item, plain_type(item.data_type()))),
        DataType::LargeList(item) => {
            DataType::LargeList(retyped(item, plain_type(item.data_type())))
        }
        DataType::FixedSizeList(item, size) => {
            DataType::FixedSizeList(retyped(item, plain_type(item.data_type())), *size)
        }
        DataType::Map(entries, sorted) => {
            DataType::Map(retyped(entries, plain_type(entries.data_type())), *sorted)
        }
        other => other.clone(),
    }
}

/// Merges the schemas of all files by column name; the order is that of first appearance.
///
/// A column that some file lacks, or has nullable, is nullable. Metadata of fields is dropped.
pub(super) fn merge_schemas(schemas: &[SchemaRef]) -> Result<SchemaRef, Conflict> {
    let mut order: Vec<String> = Vec::new();
    let mut columns: HashMap<String, Column> = HashMap::new();
    for (file, schema) in schemas.iter().enumerate() {
        // Files of one table mostly share one schema: then only the counts move.
        let same = file > 0 && schemas[file - 1] == *schema;
        for field in schema.fields() {
            match columns.entry(field.name().clone()) {
                Entry::Vacant(slot) => {
                    order.push(field.name().clone());
                    let field =
                        Field::new(field.name(), field.data_type().clone(), field.is_nullable());
                    slot.insert(Column {
                        field: Arc::new(field),
                        file,
                        files: 1,
                    });
                }
                Entry::Occupied(mut slot) => {
                    slot.get_mut().files += 1;
                    if !same {
                        widen(slot.get_mut(), field, file)?;
                    }
                }
            }
        }
    }
    let fields: Vec<FieldRef> = order
        .iter()
        .filter_map(|name| columns.get(name))
        .map(|column| {
            let nullable = column.field.is_nullable() || column.files < schemas.len();
            Arc::new(column.field.as_ref().clone().with_nullable(nullable))
        })
        .collect();
    Ok(Arc::new(Schema::new(fields)))
}

fn widen(column: &mut Column, field: &Field, file: usize) -> Result<(), Conflict> {
    let merged =
        merge_types(column.field.data_type(), field.data_type()).ok_or_else(|| Conflict {
            column: field.name().clone(),
            first: column.file,
            first_type: column.field.data_type().clone(),
            second: file,
            second_type: field.data_type().clone(),
        })?;
    let nullable = column.field.is_nullable() || field.is_nullable();
    if &merged != column.field.data_type() {
        column.file = file;
    }
    if &merged != column.field.data_type() || nullable != column.field.is_nullable() {
        column.field = Arc::new(Field::new(field.name(), merged, nullable));
    }
    Ok(())
}

/// The smallest type that holds every value of both, or `None`.
pub(super) fn merge_types(a: &DataType, b: &DataType) -> Option<DataType> {
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Timestamp(unit_a, zone_a), DataType::Timestamp(unit_b, zone_b))
            if same_zone(zone_a.as_deref(), zone_b.as_deref()) =>
        {
            Some(DataType::Timestamp(finer(*unit_a, *unit_b), zone_a.clone()))
        }
        (DataType::Struct(fields_a), DataType::Struct(fields_b)) => {
            merge_fields(fields_a, fields_b).map(DataType::Struct)
        }
        (DataType::List(item_a), DataType::List(item_b)) => {
            merge_items(item_a, item_b).map(DataType::List)
        }
        (DataType::LargeList(item_a), DataType::LargeList(item_b)) => {
            merge_items(item_a, item_b).map(DataType::LargeList)
        }
        _ => merge_numbers(a, b),
    }
}

fn merge_fields(a: &Fields, b: &Fields) -> Option<Fields> {
    let mut merged: Vec<FieldRef> = Vec::with_capacity(a.len());
    for field in a {
        merged.push(match b.find(field.name()) {
            Some((_, other)) => merge_items(field, other)?,
            None => Arc::new(field.as_ref().clone().with_nullable(true)),
        });
    }
    for field in b.iter().filter(|field| a.find(field.name()).is_none()) {
        merged.push(Arc::new(field.as_ref().clone().with_nullable(true)));
    }
    Some(merged.into())
}

fn merge_items(a: &FieldRef, b: &FieldRef) -> Option<FieldRef> {
    let data_type = merge_types(a.data_type(), b.data_type())?;
    let nullable = a.is_nullable() || b.is_nullable();
    Some(Arc::new(Field::new(a.name(), data_type, nullable)))
}

/// Numbers by what they can hold: an integer of so many bits, a fraction of so many exact bits.
fn merge_numbers(a: &DataType, b: &DataType) -> Option<DataType> {
    if let (Some(a), Some(b)) = (integer_bits(a), integer_bits(b)) {
        return merge_integers(a, b);
    }
    if let (Some(a), Some(b)) = (exact_float_bits(a), exact_float_bits(b)) {
        return match a.max(b) {
            0..=11 => Some(DataType::Float16),
            12..=24 => Some(DataType::Float32),
            25..=53 => Some(DataType::Float64),
            _ => None,
        };
    }
    let (whole_a, scale_a) = decimal_digits(a)?;
    let (whole_b, scale_b) = decimal_digits(b)?;
    let scale = scale_a.max(scale_b);
    decimal(whole_a.max(whole_b).checked_add(scale)?, scale)
}

/// Bits of magnitude, and whether there is a sign.
fn integer_bits(data_type: &DataType) -> Option<(u32, bool)> {
    Some(match data_type {
        DataType::Int8 => (7, true),
        DataType::Int16 => (15, true),
        DataType::Int32 => (31, true),
        DataType::Int64 => (63, true),
        DataType::UInt8 => (8, false),
        DataType::UInt16 => (16, false),
        DataType::UInt32 => (32, false),
        DataType::UInt64 => (64, false),
        _ => return None,
    })
}

fn merge_integers(
    (bits_a, sign_a): (u32, bool),
    (bits_b, sign_b): (u32, bool),
) -> Option<DataType> {
    let bits = bits_a.max(bits_b);
    Some(match (sign_a || sign_b, bits) {
        (true, 0..=7) => DataType::Int8,
        (true, 8..=15) => DataType::Int16,
        (true, 16..=31) => DataType::Int32,
        (true, 32..=63) => DataType::Int64,
        (true, _) => return decimal(20, 0),
        (false, 0..=8) => DataType::UInt8,
        (false, 9..=16) => DataType::UInt16,
        (false, 17..=32) => DataType::UInt32,
        (false, _) => DataType::UInt64,
    })
}

/// Bits that a binary fraction needs to hold every value of the type exactly.
///
/// Two integers never come here; decimals are no binary fractions.
fn exact_float_bits(data_type: &DataType) -> Option<u32> {
    match data_type {
        DataType::Float16 => Some(11),
        DataType::Float32 => Some(24),
        DataType::Float64 => Some(53),
        _ => integer_bits(data_type).map(|(bits, _)| bits),
    }
}

/// Digits before and after the point.
fn decimal_digits(data_type: &DataType) -> Option<(u8, u8)> {
    Some(match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            let scale = u8::try_from(*scale).ok()?;
            (precision.checked_sub(scale)?, scale)
        }
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        _ => return None,
    })
}

fn decimal(precision: u8, scale: u8) -> Option<DataType> {
    let scale = i8::try_from(scale).ok()?;
    if precision <= DECIMAL128_MAX_PRECISION {
        Some(DataType::Decimal128(precision, scale))
    } else if precision <= DECIMAL256_MAX_PRECISION {
        Some(DataType::Decimal256(precision, scale))
    } else {
        None
    }
}

fn same_zone(a: Option<&str>, b: Option<&str>) -> bool {
    let utc = |zone: &str| matches!(zone, "UTC" | "Z" | "+00:00" | "Etc/UTC");
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a == b || (utc(a) && utc(b)),
        _ => false,
    }
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    let rank = |unit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(a) >= rank(b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use DataType::{
        BinaryView, Boolean, Date32, Decimal128, Decimal256, Float32, Float64, Int8, Int16, Int32,
        Int64, Null, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8View,
    };

    use super::*;

    fn field(name: &str, data_type: DataType, nullable: bool) -> FieldRef {
        Arc::new(Field::new(name, data_type, nullable))
    }

    fn schema(fields: &[FieldRef]) -> SchemaRef {
        Arc::new(Schema::new(fields.to_vec()))
    }

    #[test]
    fn the_table_of_widenings() {
        let micro = Timestamp(TimeUnit::Microsecond, None);
        let nano = Timestamp(TimeUnit::Nanosecond, None);
        let utc = Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let zero = Timestamp(TimeUnit::Millisecond, Some("+00:00".into()));
        let cases = [
            (Int8, Int64, Some(Int64)),
            (Int32, Int16, Some(Int32)),
            (UInt8, UInt32, Some(UInt32)),
            (UInt8, Int16, Some(Int16)),
            (UInt32, Int32, Some(Int64)),
            (UInt64, Int8, Some(Decimal128(20, 0))),
            (Int16, Float32, Some(Float32)),
            (Int32, Float32, Some(Float64)),
            (Int32, Float64, Some(Float64)),
            (Int64, Float64, None),
            (UInt64, Float64, None),
            (Float32, Float64, Some(Float64)),
            (Int32, Decimal128(10, 2), Some(Decimal128(12, 2))),
            (Int64, Decimal128(38, 20), Some(Decimal256(39, 20))),
            (Decimal128(10, 2), Decimal128(9, 4), Some(Decimal128(12, 4))),
            (
                Decimal128(38, 0),
                Decimal128(38, 38),
                Some(Decimal256(76, 38)),
            ),
            (Decimal256(76, 0), Decimal128(5, 4), None),
            (Decimal128(10, 2), Float64, None),
            (micro.clone(), nano.clone(), Some(nano)),
            (utc.clone(), zero, Some(utc.clone())),
            (micro.clone(), utc, None),
            (Date32, micro, None),
            (Utf8View, Int64, None),
            (Utf8View, BinaryView, None),
            (Boolean, Int8, None),
            (Null, Utf8View, Some(Utf8View)),
            (UInt16, UInt16, Some(UInt16)),
        ];
        for (a, b, expected) in cases {
            assert_eq!(merge_types(&a, &b), expected, "{a} with {b}");
            let swapped = merge_types(&b, &a);
            assert_eq!(swapped.is_some(), expected.is_some(), "{b} with {a}");
        }
    }

    #[test]
    fn columns_merge_by_name_and_missing_ones_are_nullable() {
        let old = schema(&[field("id", Int32, false), field("name", Utf8View, false)]);
        let new = schema(&[field("email", Utf8View, false), field("id", Int64, false)]);
        let merged = merge_schemas(&[old, new]).unwrap();
        let expected = schema(&[
            field("id", Int64, false),
            field("name", Utf8View, true),
            field("email", Utf8View, true),
        ]);
        assert_eq!(merged, expected);
    }

    #[test]
    fn names_that_differ_by_case_are_different_columns() {
        let both = schema(&[field("id", Int32, true), field("ID", Utf8View, true)]);
        assert_eq!(
            merge_schemas(&[Arc::clone(&both), both])
                .unwrap()
                .fields()
                .len(),
            2
        );
    }

    #[test]
    fn a_conflict_names_the_file_that_gave_the_type() {
        let small = schema(&[field("id", Int32, true)]);
        let large = schema(&[field("id", Int64, true)]);
        let text = schema(&[field("id", Utf8View, true)]);
        let conflict = merge_schemas(&[small, large, text]).unwrap_err();
        assert_eq!((conflict.first, conflict.second), (1, 2));
        assert_eq!(
            (conflict.first_type, conflict.second_type),
            (Int64, Utf8View)
        );
    }

    #[test]
    fn structs_and_lists_merge_inside() {
        let old = DataType::Struct(vec![field("a", Int32, true)].into());
        let new = DataType::Struct(vec![field("a", Int64, true), field("b", Boolean, true)].into());
        assert_eq!(merge_types(&old, &new), Some(new.clone()));
        let list = |data_type| DataType::List(field("item", data_type, true));
        assert_eq!(merge_types(&list(Int32), &list(Int64)), Some(list(Int64)));
        assert_eq!(merge_types(&list(Int32), &list(Utf8View)), None);
    }

    #[test]
    fn text_is_read_as_views_and_dictionaries_as_their_values() {
        let dictionary = DataType::Dictionary(Box::new(Int32), Box::new(DataType::LargeUtf8));
        let list = DataType::List(field("item", DataType::LargeUtf8, true));
        let read = normalized(&schema(&[
            field("d", dictionary, true),
            field("l", list, false),
        ]));
        assert_eq!(read.field(0).data_type(), &Utf8View);
        let plain = DataType::List(field("item", DataType::Utf8, true));
        assert_eq!(read.field(1).data_type(), &plain);
    }
}
