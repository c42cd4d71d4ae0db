//! Functions whose result depends on the type of an array's elements, and what set-returning
//! functions are planned as: a function that gives all rows as a list, unnested by the planner.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, ListArray, UInt64Array, UInt64Builder,
    new_null_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::render::type_name;
use crate::error::Error;

/// `array[index]`.
pub(crate) const SUBSCRIPT: &str = "array_subscript";
/// `array[lower:upper]`; NULL stands for a bound that is left out.
pub(crate) const SLICE: &str = "array_slice_bounds";
/// All elements of an array of any number of dimensions.
pub(crate) const ELEMENTS: &str = "array_elements";
/// 1, 2, … up to the length of the longest of some arrays.
pub(crate) const ORDINALS: &str = "array_ordinals";
/// The subscripts of a dimension.
pub(crate) const SUBSCRIPTS: &str = "generate_subscripts_list";

/// Types of columns whose arrays count from zero.
const FROM_ZERO: &[&str] = &["int2vector", "oidvector"];

/// Registers them.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for (name, operation) in [
        (SUBSCRIPT, Operation::Subscript),
        (SLICE, Operation::Slice),
        (ELEMENTS, Operation::Elements),
        (ORDINALS, Operation::Ordinals),
        (SUBSCRIPTS, Operation::Subscripts),
    ] {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(ListFunction {
            name,
            operation,
            signature: Signature::user_defined(Volatility::Immutable),
        })))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Subscript,
    Slice,
    Elements,
    Ordinals,
    Subscripts,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ListFunction {
    name: &'static str,
    operation: Operation,
    signature: Signature,
}

/// The type of a list's items, through all levels if `deep`.
fn item(list: &DataType, deep: bool) -> Option<FieldRef> {
    let (DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)) =
        list
    else {
        return None;
    };
    match deep {
        true => super::lists::item(item.data_type(), true).or_else(|| Some(Arc::clone(item))),
        false => Some(Arc::clone(item)),
    }
}

/// The same type with every list an ordinary one.
fn ordinary(list: &DataType) -> DataType {
    match item(list, false) {
        Some(field) => {
            let inner = ordinary(field.data_type());
            DataType::List(Arc::new(field.as_ref().clone().with_data_type(inner)))
        }
        None => list.clone(),
    }
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

impl ListFunction {
    fn no_array(&self, given: Option<&DataType>) -> datafusion::error::DataFusionError {
        let given = given.map(type_name).unwrap_or_default();
        match self.operation {
            Operation::Subscript | Operation::Slice => Error::datatype_mismatch(format!(
                "cannot subscript type {given} because it does not support subscripting"
            )),
            _ => {
                let name = self.name.trim_end_matches("_list");
                let name = if self.operation == Operation::Elements {
                    "unnest"
                } else {
                    name
                };
                Error::undefined_function(format!("function {name}({given}) does not exist"))
            }
        }
        .into()
    }
}

impl ScalarUDFImpl for ListFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = types.iter().enumerate().map(|(index, given)| {
            let list = index == 0 || self.operation == Operation::Ordinals;
            match list {
                true if given.is_null() => Ok(list_of(DataType::Null)),
                true if item(given, false).is_some() => Ok(ordinary(given)),
                true => Err(self.no_array(Some(given))),
                false => Ok(DataType::Int64),
            }
        });
        coerced.collect()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let list = types.first();
        let element = list.and_then(|list| item(list, false));
        let Some((list, element)) = list.zip(element) else {
            return Err(self.no_array(list));
        };
        Ok(match self.operation {
            Operation::Subscript => item(list, true).unwrap_or(element).data_type().clone(),
            Operation::Slice => list.clone(),
            Operation::Elements => {
                list_of(item(list, true).map_or(DataType::Null, |item| item.data_type().clone()))
            }
            Operation::Ordinals => list_of(DataType::Int64),
            Operation::Subscripts => list_of(DataType::Int32),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let field = Field::new(self.name, self.return_type(&types)?, true);
        let metadata = match (self.operation, args.arg_fields.first()) {
            (Operation::Subscript, Some(list)) => item(list.data_type(), true)
                .map(|item| item.metadata().clone())
                .unwrap_or_default(),
            (Operation::Slice, Some(list)) => list.metadata().clone(),
            _ => return Ok(Arc::new(field)),
        };
        Ok(Arc::new(field.with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let lists = arrays
            .first()
            .and_then(|array| array.as_list_opt::<i32>())
            .ok_or_else(|| self.no_array(arrays.first().map(Array::data_type)))?;
        let number = |index: usize| arrays.get(index).map(AsArray::as_primitive::<Int64Type>);
        let result: ArrayRef = match (self.operation, number(1), number(2)) {
            (Operation::Subscript, Some(_), _) => {
                let zero = args.arg_fields.first().is_some_and(|field| {
                    let name = field.metadata().get("pg_type");
                    name.is_some_and(|name| FROM_ZERO.contains(&name.as_str()))
                });
                let indices: Vec<_> = (1..arrays.len()).filter_map(number).collect();
                element(lists, &indices, i64::from(!zero))?
            }
            (Operation::Slice, Some(lower), Some(upper)) => Arc::new(slice(lists, lower, upper)?),
            (Operation::Elements, ..) => elements(lists)?,
            (Operation::Ordinals, ..) => Arc::new(ordinals(&arrays)?),
            (Operation::Subscripts, Some(dimension), _) => Arc::new(subscripts(lists, dimension)?),
            _ => return Err(self.no_array(None)),
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    let bound = |at: usize| usize::try_from(offsets[at]).unwrap_or(0);
    match list.is_null(row) {
        true => 0..0,
        false => bound(row)..bound(row + 1),
    }
}

/// The element that as many subscripts name as the array has dimensions; NULL if it has others.
fn element(lists: &ListArray, indices: &[&Int64Array], first: i64) -> Result<ArrayRef> {
    let mut dimensions = 0;
    let mut innermost = lists.data_type();
    while let DataType::List(item) = innermost {
        dimensions += 1;
        innermost = item.data_type();
    }
    let [outer, rest @ ..] = indices else {
        return Err(Error::internal("a subscript without a number").into());
    };
    if indices.len() != dimensions {
        return Ok(new_null_array(innermost, lists.len()));
    }
    let mut found = subscript(lists, outer, first)?;
    for index in rest {
        let Some(lists) = found.as_list_opt::<i32>() else {
            break;
        };
        found = subscript(lists, index, first)?;
    }
    Ok(found)
}

fn subscript(lists: &ListArray, index: &Int64Array, first: i64) -> Result<ArrayRef> {
    let mut indices = UInt64Builder::with_capacity(lists.len());
    for row in 0..lists.len() {
        let range = range(lists, row);
        let at = match index.is_valid(row) {
            true => usize::try_from(index.value(row).saturating_sub(first)).ok(),
            false => None,
        };
        let at = at
            .filter(|at| *at < range.len())
            .map(|at| (range.start + at) as u64);
        indices.append_option(at);
    }
    Ok(take(lists.values(), &indices.finish(), None)?)
}

/// Rows of elements, taken from the values of a list array.
fn gather(
    values: &ArrayRef,
    item: &FieldRef,
    rows: impl Iterator<Item = Option<std::ops::Range<usize>>>,
) -> Result<ListArray> {
    let (mut indices, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        valid.push(row.is_some());
        let row = row.unwrap_or(0..0);
        lengths.push(row.len());
        indices.extend(row.map(|at| at as u64));
    }
    let values = take(values, &UInt64Array::from(indices), None)?;
    Ok(ListArray::try_new(
        Arc::clone(item),
        OffsetBuffer::from_lengths(lengths),
        values,
        Some(NullBuffer::from(valid)),
    )?)
}

fn slice(lists: &ListArray, lower: &Int64Array, upper: &Int64Array) -> Result<ListArray> {
    let DataType::List(item) = lists.data_type() else {
        return Err(Error::internal("a list array without a list type").into());
    };
    let rows = (0..lists.len()).map(|row| {
        if lists.is_null(row) {
            return None;
        }
        let range = range(lists, row);
        let length = i64::try_from(range.len()).unwrap_or(i64::MAX);
        let from = if lower.is_valid(row) {
            lower.value(row).max(1)
        } else {
            1
        };
        let to = if upper.is_valid(row) {
            upper.value(row).min(length)
        } else {
            length
        };
        let count = usize::try_from(to.saturating_sub(from).saturating_add(1)).unwrap_or(0);
        let start = range.start + usize::try_from(from - 1).unwrap_or(0);
        Some(if count == 0 {
            0..0
        } else {
            start..start + count
        })
    });
    gather(lists.values(), item, rows)
}

/// Lists of lists become lists of their elements.
fn elements(lists: &ListArray) -> Result<ArrayRef> {
    let mut lists = lists.clone();
    while let Some(inner) = lists.values().as_list_opt::<i32>() {
        let DataType::List(item) = inner.data_type() else {
            break;
        };
        let (mut indices, mut lengths) = (Vec::new(), Vec::new());
        for row in 0..lists.len() {
            let before = indices.len();
            for at in range(&lists, row) {
                indices.extend(range(inner, at).map(|at| at as u64));
            }
            lengths.push(indices.len() - before);
        }
        let values = take(inner.values(), &UInt64Array::from(indices), None)?;
        lists = ListArray::try_new(
            Arc::clone(item),
            OffsetBuffer::from_lengths(lengths),
            values,
            lists.nulls().cloned(),
        )?;
    }
    let plain = list_of(lists.value_type());
    Ok(cast(&lists, &plain)?)
}

fn ordinals(arrays: &[ArrayRef]) -> Result<ListArray> {
    let lists: Vec<&ListArray> = arrays
        .iter()
        .filter_map(|array| array.as_list_opt())
        .collect();
    let rows = lists.first().map_or(0, |list| (*list).len());
    let lengths: Vec<usize> = (0..rows)
        .map(|row| {
            lists
                .iter()
                .map(|list| range(list, row).len())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let values: Int64Array = lengths
        .iter()
        .flat_map(|length| 1..=*length as i64)
        .collect();
    Ok(ListArray::try_new(
        Arc::new(Field::new_list_field(DataType::Int64, true)),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(values),
        None,
    )?)
}

fn subscripts(lists: &ListArray, dimension: &Int64Array) -> Result<ListArray> {
    let mut lengths = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let mut length = range(lists, row).len();
        let mut level = lists.is_valid(row).then(|| lists.value(row));
        for _ in 1..dimension.value(row) {
            level = match level {
                Some(inner) if !inner.is_empty() => {
                    inner.as_list_opt::<i32>().map(|inner| inner.value(0))
                }
                _ => None,
            };
            length = level.as_deref().map_or(0, Array::len);
        }
        lengths.push(if dimension.is_null(row) || dimension.value(row) < 1 {
            0
        } else {
            length
        });
    }
    let values: Int32Array = lengths
        .iter()
        .flat_map(|length| 1..=*length as i32)
        .collect();
    Ok(ListArray::try_new(
        Arc::new(Field::new_list_field(DataType::Int32, true)),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(values),
        None,
    )?)
}
