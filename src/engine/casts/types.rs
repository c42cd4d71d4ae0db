//! Types of casts as they are spelled in SQL, marked with PostgreSQL's name and modifier.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType as SqlType, ExactNumberInfo, ObjectName,
    ObjectNamePart,
};

use crate::catalog::pg_type::{self, PG_TYPE_METADATA};
use crate::engine::numeric;
use crate::error::Error;
use crate::values::digits::{PG_TYPMOD_METADATA, numeric_typmod};
use crate::values::types::{NO_TYPMOD, REG_TYPES};

/// Arrow's key for the name of an extension type.
const EXTENSION_NAME: &str = "ARROW:extension:name";

/// Bytes of a varlena header, which PostgreSQL adds to a length in a type modifier.
const HEADER_BYTES: i32 = 4;

/// Characters of a `varchar(n)` at the most.
const LENGTH_MAX: u64 = 10_485_760;

/// Digits of a `numeric(p, s)` at the most.
const PRECISION_MAX: u64 = 1000;

/// Plans the types of casts and of number constants (see [`crate::engine::statement::dialect`]).
#[derive(Debug)]
pub(in crate::engine) struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let constant = match sql_type {
            SqlType::Int32 => Some(DataType::Int32),
            SqlType::Int64 => Some(DataType::Int64),
            SqlType::BigDecimal(ExactNumberInfo::PrecisionAndScale(precision, scale)) => {
                Some(numeric::decimal(*precision as i32, *scale as i8))
            }
            _ => None,
        };
        match constant {
            Some(data_type) => Ok(Some(Arc::new(Field::new("", data_type, true)))),
            None => Ok(field(sql_type)?),
        }
    }
}

/// The name of a field that stands for the type of a cast, where its Arrow type says it all.
const WRITTEN: &str = "cast";

fn written(data_type: DataType) -> FieldRef {
    Arc::new(Field::new(WRITTEN, data_type, true))
}

/// Whether the type was written in a cast of a statement.
pub(in crate::engine) fn is_marked(field: &Field) -> bool {
    field.name() == WRITTEN || !field.metadata().is_empty()
}

/// The field of a type; none for those that DataFusion plans.
fn field(sql_type: &SqlType) -> crate::error::Result<Option<FieldRef>> {
    let marked_text = |name: &str| Ok(Some(marked(name, NO_TYPMOD, DataType::Utf8View)));
    let plain = |data_type| Ok(Some(written(data_type)));
    match sql_type {
        SqlType::Boolean | SqlType::Bool => plain(DataType::Boolean),
        SqlType::SmallInt(_) | SqlType::Int2(_) => plain(DataType::Int16),
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) => plain(DataType::Int32),
        SqlType::BigInt(_) | SqlType::Int8(_) => plain(DataType::Int64),
        SqlType::Real | SqlType::Float4 => plain(DataType::Float32),
        SqlType::DoublePrecision | SqlType::Float8 => plain(DataType::Float64),
        SqlType::Float(ExactNumberInfo::Precision(1..=24)) => plain(DataType::Float32),
        SqlType::Float(_) => plain(DataType::Float64),
        SqlType::Numeric(digits) | SqlType::Decimal(digits) | SqlType::Dec(digits) => {
            decimal(digits).map(Some)
        }
        SqlType::Text => plain(DataType::Utf8View),
        SqlType::Varchar(length)
        | SqlType::CharacterVarying(length)
        | SqlType::CharVarying(length) => {
            let typmod = length_typmod("varchar", *length)?;
            Ok(Some(marked("varchar", typmod, DataType::Utf8View)))
        }
        SqlType::Char(length) | SqlType::Character(length) => {
            let one = Some(CharacterLength::IntegerLength {
                length: 1,
                unit: None,
            });
            let typmod = length_typmod("char", length.or(one))?;
            Ok(Some(marked("bpchar", typmod, DataType::Utf8View)))
        }
        SqlType::Bytea => plain(DataType::Binary),
        SqlType::Uuid => Ok(Some(extension("arrow.uuid", DataType::FixedSizeBinary(16)))),
        SqlType::JSON => Ok(Some(extension("arrow.json", DataType::Utf8View))),
        SqlType::JSONB => marked_text("jsonb"),
        SqlType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => Ok(array(element)?),
        SqlType::Custom(name, _) => match custom(name) {
            None if is_unknown(name) => Err(Error::undefined_object(format!(
                "type \"{name}\" does not exist"
            ))),
            found => Ok(found),
        },
        _ => Ok(None),
    }
}

/// Whether PostgreSQL has no type of this name.
fn is_unknown(name: &ObjectName) -> bool {
    let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
        return false;
    };
    let spelled = match ident.quote_style {
        Some(_) => format!("\"{}\"", ident.value),
        None => ident.value.clone(),
    };
    pg_type::oid_of_sql_name(&spelled).is_none()
}

fn custom(name: &ObjectName) -> Option<FieldRef> {
    let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
        return None;
    };
    let folded = match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    };
    let data_type = match folded.as_str() {
        "name" | "bpchar" | "jsonb" => DataType::Utf8View,
        "unknown" if ident.quote_style.is_some() => DataType::Utf8View,
        "char" if ident.quote_style.is_some() => DataType::Utf8View,
        "tid" | "aclitem" => DataType::Utf8View,
        "oid" | "xid" | "cid" => DataType::UInt32,
        name if REG_TYPES.iter().any(|reg| reg.name == name) => DataType::UInt32,
        _ => return None,
    };
    Some(marked(&folded, NO_TYPMOD, data_type))
}

fn array(element: &SqlType) -> crate::error::Result<Option<FieldRef>> {
    if let SqlType::Array(ArrayElemTypeDef::SquareBracket(inner, _)) = element {
        // PostgreSQL has one array type for every number of dimensions.
        return array(inner);
    }
    let Some(item) = field(element)? else {
        return Ok(None);
    };
    let (element, typmod) = crate::values::types::column_type(&item);
    let Some(array) = crate::values::types::array_of(element) else {
        return Ok(None);
    };
    // The elements' type is marked on the array alone: not every kernel keeps the inner field.
    let list = DataType::new_list(item.data_type().clone(), true);
    let plain = crate::values::types::plain_type(&list).0 == array && typmod == NO_TYPMOD;
    Ok(Some(match plain {
        true => written(list),
        false => marked(array.name, typmod, list),
    }))
}

fn extension(name: &str, data_type: DataType) -> FieldRef {
    let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), name.to_owned())]);
    Arc::new(Field::new("", data_type, true).with_metadata(metadata))
}

/// A field whose metadata names a type of PostgreSQL.
pub(super) fn marked(name: &str, typmod: i32, data_type: DataType) -> FieldRef {
    let mut metadata = HashMap::from([(PG_TYPE_METADATA.to_owned(), name.to_owned())]);
    if typmod != NO_TYPMOD {
        metadata.insert(PG_TYPMOD_METADATA.to_owned(), typmod.to_string());
    }
    Arc::new(Field::new("", data_type, true).with_metadata(metadata))
}

fn length_typmod(name: &str, length: Option<CharacterLength>) -> crate::error::Result<i32> {
    let Some(CharacterLength::IntegerLength { length, .. }) = length else {
        return Ok(NO_TYPMOD);
    };
    match length {
        0 => Err(Error::invalid_parameter_value(format!(
            "length for type {name} must be at least 1"
        ))),
        1..=LENGTH_MAX => Ok(length as i32 + HEADER_BYTES),
        _ => Err(Error::invalid_parameter_value(format!(
            "length for type {name} cannot exceed {LENGTH_MAX}"
        ))),
    }
}

fn decimal(digits: &ExactNumberInfo) -> crate::error::Result<FieldRef> {
    let (precision, scale) = match digits {
        ExactNumberInfo::None => return Ok(written(numeric::free())),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    if !(1..=PRECISION_MAX).contains(&precision) {
        return Err(Error::invalid_parameter_value(format!(
            "NUMERIC precision {precision} must be between 1 and {PRECISION_MAX}"
        )));
    }
    let places = u64::try_from(scale).unwrap_or(u64::MAX);
    if places > precision.min(76) {
        return Err(Error::feature_not_supported(format!(
            "numeric({precision},{scale}) is not supported"
        ))
        .with_detail(
            "Numerics have a scale from zero to their precision, and at most 76 digits.",
        ));
    }
    let data_type = numeric::decimal(precision.min(76) as i32, scale as i8);
    let typmod = numeric_typmod(precision.min(255) as u8, scale as i8);
    Ok(marked("numeric", typmod, data_type))
}

/// The target of a cast from a type: `numeric` without digits takes the carrier of what it is cast from.
pub(super) fn settled(source: &Field, target: &FieldRef) -> FieldRef {
    let is_free = |field: &Field| {
        field.data_type() == &numeric::free() && !field.metadata().contains_key(PG_TYPMOD_METADATA)
    };
    if let Some(nested) = as_deep(source.data_type(), target.data_type()) {
        return Arc::new(target.as_ref().clone().with_data_type(nested));
    }
    match numeric::shape(source.data_type()) {
        Some((precision, scale)) if is_free(target) => marked(
            "numeric",
            NO_TYPMOD,
            numeric::decimal(precision.into(), scale),
        ),
        _ => Arc::clone(target),
    }
}

/// The list type with as many dimensions as the source has, if the target has fewer.
fn as_deep(source: &DataType, target: &DataType) -> Option<DataType> {
    let (DataType::List(of), DataType::List(item)) = (source, target) else {
        return None;
    };
    match (of.data_type(), item.data_type()) {
        (DataType::List(_), DataType::List(_)) => {
            as_deep(of.data_type(), item.data_type()).map(|nested| DataType::new_list(nested, true))
        }
        (inner @ DataType::List(_), _) => {
            let nested = as_deep(inner, target).unwrap_or_else(|| target.clone());
            Some(DataType::new_list(nested, true))
        }
        _ => None,
    }
}

/// [`settled`] for a constant: of a text, `numeric` keeps the digits it is written with.
pub(super) fn settled_for(value: &ScalarValue, source: &Field, target: &FieldRef) -> FieldRef {
    let (ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text))) = value else {
        return settled(source, target);
    };
    let is_free = target.data_type() == &numeric::free()
        && !target.metadata().contains_key(PG_TYPMOD_METADATA);
    let natural = crate::values::decode::numeric_type(text);
    match natural {
        Some(natural) if is_free => written(natural),
        _ => Arc::clone(target),
    }
}
