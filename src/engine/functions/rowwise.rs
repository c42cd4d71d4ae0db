//! Scalar functions written value by value: overloads as PostgreSQL resolves them, typed access to
//! the arguments of a row, one array as the result.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, BooleanBuilder, Float64Array,
    Float64Builder, Int32Builder, Int64Array, Int64Builder, ListBuilder, StringViewArray,
    StringViewBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::pattern::{Flags, Pattern, Patterns};
use super::render::{Style, type_name};
use crate::error::Error;

/// Types of arguments and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Whatever comes: shown as text by [`Row::shown`].
    Any,
    Bool,
    Bytea,
    Float8,
    /// Any integer as an argument, int4 as a result.
    Int4,
    /// Any integer as an argument, int8 as a result.
    Int8,
    Json,
    Jsonb,
    Text,
    /// text arrays.
    Texts,
    /// Arrays of text arrays.
    TextRows,
}

/// The value of a function for one row.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Bytes(Vec<u8>),
    Float(f64),
    Int(i64),
    Text(Cow<'a, str>),
    Texts(Vec<Option<String>>),
    TextRows(Vec<Vec<Option<String>>>),
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

type Evaluate = for<'a> fn(&Row<'a>) -> Result<Value<'a>>;

/// One overload of a function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    name: &'static str,
    arguments: &'static [Kind],
    /// How many of the arguments may be left out at the end.
    optional: usize,
    /// The kind of any number of further arguments.
    variadic: Option<Kind>,
    returns: Kind,
    strict: bool,
    volatility: Volatility,
    evaluate: Evaluate,
}

/// A function that is NULL for NULL arguments.
pub(super) const fn strict(
    name: &'static str,
    arguments: &'static [Kind],
    returns: Kind,
    evaluate: Evaluate,
) -> Spec {
    Spec {
        name,
        arguments,
        optional: 0,
        variadic: None,
        returns,
        strict: true,
        volatility: Volatility::Immutable,
        evaluate,
    }
}

impl Spec {
    /// The last `count` arguments may be left out.
    pub(super) const fn optional(mut self, count: usize) -> Self {
        self.optional = count;
        self
    }

    /// Any number of further arguments.
    pub(super) const fn variadic(mut self, kind: Kind) -> Self {
        self.variadic = Some(kind);
        self
    }

    /// NULL arguments are evaluated too.
    pub(super) const fn lenient(mut self) -> Self {
        self.strict = false;
        self
    }

    /// The session's settings matter.
    pub(super) const fn stable(mut self) -> Self {
        self.volatility = Volatility::Stable;
        self
    }

    /// The kinds of `count` arguments; none if there is no such call.
    fn kinds(&self, count: usize) -> Option<Vec<Kind>> {
        let most = self.arguments.len();
        if count + self.optional < most || (count > most && self.variadic.is_none()) {
            return None;
        }
        let further = std::iter::repeat_n(self.variadic, count.saturating_sub(most)).flatten();
        Some(
            self.arguments
                .iter()
                .copied()
                .chain(further)
                .take(count)
                .collect(),
        )
    }
}

/// Registers overloads; those of one name are one function.
pub(super) fn register(state: &mut SessionState, families: &[&'static [Spec]]) -> Result<()> {
    for function in functions(families) {
        state.register_udf(Arc::new(function))?;
    }
    Ok(())
}

/// The functions of some overloads.
pub(super) fn functions(families: &[&'static [Spec]]) -> Vec<ScalarUDF> {
    let mut functions: Vec<Rowwise> = Vec::new();
    for spec in families.iter().copied().flatten() {
        match functions
            .iter_mut()
            .find(|function| function.name == spec.name)
        {
            Some(function) => function.overloads.push(spec),
            None => functions.push(Rowwise {
                name: spec.name,
                overloads: vec![spec],
                signature: Signature::user_defined(spec.volatility),
            }),
        }
    }
    functions
        .into_iter()
        .map(ScalarUDF::new_from_impl)
        .collect()
}

#[derive(Debug)]
struct Rowwise {
    name: &'static str,
    overloads: Vec<&'static Spec>,
    signature: Signature,
}

impl PartialEq for Rowwise {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Rowwise {}

impl std::hash::Hash for Rowwise {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Rowwise {
    /// The overload that PostgreSQL's rules choose: the one with the fewest conversions.
    fn resolve(&self, types: &[DataType]) -> Result<(&'static Spec, Vec<Kind>)> {
        let mut best: Option<(u32, &'static Spec, Vec<Kind>)> = None;
        for spec in &self.overloads {
            let Some(kinds) = spec.kinds(types.len()) else {
                continue;
            };
            let costs = types
                .iter()
                .zip(&kinds)
                .map(|(given, kind)| cost(given, *kind));
            let Some(total) = costs.sum::<Option<u32>>() else {
                continue;
            };
            if best.as_ref().is_none_or(|(least, ..)| total < *least) {
                best = Some((total, spec, kinds));
            }
        }
        match best {
            Some((_, spec, kinds)) => Ok((spec, kinds)),
            None => {
                let types: Vec<String> = types.iter().map(type_name).collect();
                let text = format!(
                    "function {}({}) does not exist",
                    self.name,
                    types.join(", ")
                );
                Err(Error::undefined_function(text)
                    .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
                    .into())
            }
        }
    }
}

/// What a conversion costs; none where PostgreSQL would not convert. A text constant is of type
/// Utf8 and fits everything, as PostgreSQL's literals of unknown type do.
fn cost(given: &DataType, wanted: Kind) -> Option<u32> {
    let literal = matches!(given, DataType::Utf8);
    match wanted {
        _ if given.is_null() => Some(1),
        Kind::Any => Some(3),
        Kind::Bool if *given == DataType::Boolean => Some(0),
        Kind::Bytea => match given {
            given if is_binary(given) => Some(0),
            _ => literal.then_some(4),
        },
        Kind::Float8 => match given {
            DataType::Float64 => Some(0),
            given if given.is_floating() => Some(1),
            given if given.is_numeric() => Some(2),
            _ => literal.then_some(3),
        },
        Kind::Int4 if matches!(given, DataType::Int32 | DataType::Int16 | DataType::Int8) => {
            Some(0)
        }
        Kind::Int8 if *given == DataType::Int64 => Some(0),
        Kind::Int4 | Kind::Int8 if given.is_integer() => Some(1),
        Kind::Texts => match given {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                match item.data_type() {
                    DataType::Null => Some(1),
                    item => cost(item, Kind::Text),
                }
            }
            _ => literal.then_some(3),
        },
        Kind::Text if given.is_string() => Some(0),
        Kind::Json | Kind::Jsonb if given.is_string() => Some(1),
        _ => literal.then_some(3),
    }
}

fn is_binary(given: &DataType) -> bool {
    matches!(
        given,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

/// The carrier that an argument of a kind is read from.
fn carrier(given: &DataType, kind: Kind) -> DataType {
    match kind {
        Kind::Any => given.clone(),
        Kind::Text | Kind::Texts | Kind::Json | Kind::Jsonb if given.is_string() => given.clone(),
        Kind::Int4 | Kind::Int8 => DataType::Int64,
        other => result_type(other),
    }
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn result_type(kind: Kind) -> DataType {
    match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Bytea => DataType::Binary,
        Kind::Float8 => DataType::Float64,
        Kind::Int4 => DataType::Int32,
        Kind::Int8 => DataType::Int64,
        Kind::Any | Kind::Text | Kind::Json | Kind::Jsonb => DataType::Utf8View,
        Kind::Texts => list_of(DataType::Utf8View),
        Kind::TextRows => list_of(list_of(DataType::Utf8View)),
    }
}

impl ScalarUDFImpl for Rowwise {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (_, kinds) = self.resolve(types)?;
        Ok(types
            .iter()
            .zip(kinds)
            .map(|(given, kind)| carrier(given, kind))
            .collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(result_type(self.resolve(types)?.0.returns))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let returns = self.resolve(&types)?.0.returns;
        let field = Field::new(self.name, result_type(returns), true);
        Ok(Arc::new(match returns {
            Kind::Json => super::json::mark(field, false),
            Kind::Jsonb => super::json::mark(field, true),
            _ => field,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let (spec, kinds) = self.resolve(&types)?;
        let constant = spec.volatility != Volatility::Volatile
            && args
                .args
                .iter()
                .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args
            .args
            .iter()
            .zip(kinds)
            .zip(&args.arg_fields)
            .map(|((value, kind), field)| Column::new(value, kind, field))
            .collect::<Result<Vec<_>>>()?;
        let patterns = RefCell::new(Patterns::default());
        let style = Style::of(&args.config_options);
        let mut out = Output::new(spec.returns, rows);
        for index in 0..rows {
            let row = Row {
                columns: &columns,
                index,
                patterns: &patterns,
                style: &style,
            };
            if spec.strict && row.any_null() {
                out.push(Value::Null)?;
            } else {
                out.push((spec.evaluate)(&row)?)?;
            }
        }
        let array = out.finish();
        Ok(match constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
            false => ColumnarValue::Array(array),
        })
    }
}

/// One argument for all rows; a scalar has one value for them all.
struct Column {
    data: Data,
    array: ArrayRef,
    field: FieldRef,
    scalar: bool,
}

enum Data {
    Other,
    Bool(BooleanArray),
    Float(Float64Array),
    Int(Int64Array),
    Text(StringViewArray),
}

impl Column {
    fn new(value: &ColumnarValue, kind: Kind, field: &FieldRef) -> Result<Self> {
        let (array, scalar) = match value {
            ColumnarValue::Array(array) => (Arc::clone(array), false),
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
        };
        let read = |data_type: DataType| cast(&array, &data_type);
        let (data, array) = match kind {
            Kind::Any => (Data::Other, array),
            Kind::Bool => (
                Data::Bool(read(DataType::Boolean)?.as_boolean().clone()),
                array,
            ),
            Kind::Float8 => {
                let numbers = read(DataType::Float64)?;
                (
                    Data::Float(numbers.as_primitive::<Float64Type>().clone()),
                    array,
                )
            }
            Kind::Int4 | Kind::Int8 => {
                let numbers = read(DataType::Int64)?;
                (
                    Data::Int(numbers.as_primitive::<Int64Type>().clone()),
                    array,
                )
            }
            Kind::Texts if array.data_type().is_string() => (
                Data::Text(read(DataType::Utf8View)?.as_string_view().clone()),
                array,
            ),
            // A text constant, which is no jsonb yet.
            Kind::Jsonb if !super::json::is_jsonb(field) => {
                let texts = read(DataType::Utf8View)?;
                let normal = texts
                    .as_string_view()
                    .iter()
                    .map(|text| text.map(super::json::normalized).transpose())
                    .collect::<Result<StringViewArray>>()?;
                (Data::Text(normal), array)
            }
            Kind::Text | Kind::Json | Kind::Jsonb => (
                Data::Text(read(DataType::Utf8View)?.as_string_view().clone()),
                array,
            ),
            other => {
                let array = read(result_type(other))?;
                (Data::Other, array)
            }
        };
        Ok(Self {
            data,
            array,
            field: Arc::clone(field),
            scalar,
        })
    }
}

/// The arguments of one row. What is asked of a NULL argument is empty or zero.
pub(super) struct Row<'a> {
    columns: &'a [Column],
    index: usize,
    patterns: &'a RefCell<Patterns>,
    /// How values are shown as text.
    pub(super) style: &'a Style,
}

impl<'a> Row<'a> {
    /// How many arguments there are.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    fn at(&self, argument: usize) -> Option<(&'a Column, usize)> {
        let column = self.columns.get(argument)?;
        let index = if column.scalar { 0 } else { self.index };
        (!column.array.is_null(index) && !column.array.data_type().is_null())
            .then_some((column, index))
    }

    fn any_null(&self) -> bool {
        (0..self.len()).any(|argument| self.at(argument).is_none())
    }

    /// Whether an argument is there and not NULL.
    pub(super) fn has(&self, argument: usize) -> bool {
        self.at(argument).is_some()
    }

    pub(super) fn text(&self, argument: usize) -> &'a str {
        match self.at(argument) {
            Some((
                Column {
                    data: Data::Text(texts),
                    ..
                },
                index,
            )) => texts.value(index),
            _ => "",
        }
    }

    pub(super) fn int(&self, argument: usize) -> i64 {
        match self.at(argument) {
            Some((
                Column {
                    data: Data::Int(numbers),
                    ..
                },
                index,
            )) => numbers.value(index),
            _ => 0,
        }
    }

    /// An argument that may be left out.
    pub(super) fn int_or(&self, argument: usize, default: i64) -> i64 {
        if self.has(argument) {
            self.int(argument)
        } else {
            default
        }
    }

    pub(super) fn float(&self, argument: usize) -> f64 {
        match self.at(argument) {
            Some((
                Column {
                    data: Data::Float(numbers),
                    ..
                },
                index,
            )) => numbers.value(index),
            _ => 0.0,
        }
    }

    pub(super) fn bool(&self, argument: usize) -> bool {
        match self.at(argument) {
            Some((
                Column {
                    data: Data::Bool(values),
                    ..
                },
                index,
            )) => values.value(index),
            _ => false,
        }
    }

    pub(super) fn bytes(&self, argument: usize) -> &'a [u8] {
        self.at(argument).map_or(&[], |(column, index)| {
            column.array.as_binary::<i32>().value(index)
        })
    }

    /// The items of a text array, or of an array constant such as `{a,b}`.
    pub(super) fn texts(&self, argument: usize) -> Result<Vec<Option<String>>> {
        let Some((column, index)) = self.at(argument) else {
            return Ok(Vec::new());
        };
        if let Data::Text(texts) = &column.data {
            return super::arrays::parse_texts(texts.value(index));
        }
        let items = column.array.as_list::<i32>().value(index);
        let items = items.as_string_view();
        Ok(items.iter().map(|item| item.map(str::to_owned)).collect())
    }

    /// Any value: its array, its place in it, and its field.
    pub(super) fn any(&self, argument: usize) -> Option<(&'a ArrayRef, usize, &'a FieldRef)> {
        let (column, index) = self.at(argument)?;
        Some((&column.array, index, &column.field))
    }

    /// Any value as PostgreSQL's output function shows it.
    pub(super) fn shown(&self, argument: usize) -> Result<Option<String>> {
        match self.any(argument) {
            Some((array, index, _)) => Ok(Some(self.style.show(array, index)?)),
            None => Ok(None),
        }
    }

    /// A compiled regular expression.
    pub(super) fn pattern(&self, argument: usize, flags: Flags) -> Result<Rc<Pattern>> {
        self.patterns.borrow_mut().get(self.text(argument), flags)
    }
}

/// The result while it is being built.
enum Output {
    Bool(BooleanBuilder),
    Bytes(BinaryBuilder),
    Float(Float64Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Text(StringViewBuilder),
    Texts(ListBuilder<StringViewBuilder>),
    TextRows(ListBuilder<ListBuilder<StringViewBuilder>>),
}

impl Output {
    fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            Kind::Bytea => Self::Bytes(BinaryBuilder::new()),
            Kind::Float8 => Self::Float(Float64Builder::with_capacity(rows)),
            Kind::Int4 => Self::Int4(Int32Builder::with_capacity(rows)),
            Kind::Int8 => Self::Int8(Int64Builder::with_capacity(rows)),
            Kind::Texts => Self::Texts(ListBuilder::new(StringViewBuilder::new())),
            Kind::TextRows => {
                Self::TextRows(ListBuilder::new(ListBuilder::new(StringViewBuilder::new())))
            }
            Kind::Any | Kind::Json | Kind::Jsonb | Kind::Text => {
                Self::Text(StringViewBuilder::with_capacity(rows))
            }
        }
    }

    fn push(&mut self, value: Value<'_>) -> Result<()> {
        match (self, value) {
            (Self::Bool(out), Value::Bool(value)) => out.append_value(value),
            (Self::Bool(out), Value::Null) => out.append_null(),
            (Self::Bytes(out), Value::Bytes(value)) => out.append_value(value),
            (Self::Bytes(out), Value::Null) => out.append_null(),
            (Self::Float(out), Value::Float(value)) => out.append_value(value),
            (Self::Float(out), Value::Null) => out.append_null(),
            (Self::Int4(out), Value::Int(value)) => out.append_value(
                i32::try_from(value)
                    .map_err(|_| Error::numeric_value_out_of_range("integer out of range"))?,
            ),
            (Self::Int4(out), Value::Null) => out.append_null(),
            (Self::Int8(out), Value::Int(value)) => out.append_value(value),
            (Self::Int8(out), Value::Null) => out.append_null(),
            (Self::Text(out), Value::Text(value)) => out.append_value(value),
            (Self::Text(out), Value::Null) => out.append_null(),
            (Self::Texts(out), Value::Texts(values)) => out.append_value(values),
            (Self::Texts(out), Value::Null) => out.append_null(),
            (Self::TextRows(out), Value::TextRows(rows)) => {
                for row in rows {
                    out.values().append_value(row);
                }
                out.append(true);
            }
            (Self::TextRows(out), Value::Null) => out.append_null(),
            (_, value) => {
                return Err(Error::internal(format!("a function gave {value:?}")).into());
            }
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Bool(mut out) => Arc::new(out.finish()),
            Self::Bytes(mut out) => Arc::new(out.finish()),
            Self::Float(mut out) => Arc::new(out.finish()),
            Self::Int4(mut out) => Arc::new(out.finish()),
            Self::Int8(mut out) => Arc::new(out.finish()),
            Self::Text(mut out) => Arc::new(out.finish()),
            Self::Texts(mut out) => Arc::new(out.finish()),
            Self::TextRows(mut out) => Arc::new(out.finish()),
        }
    }
}
