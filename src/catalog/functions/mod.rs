//! The scalar functions of pg_catalog that clients call: names of types and objects, visibility,
//! privileges, sizes, the session.
//!
//! They work row by row: what they are asked about is as small as the catalog. Functions that look
//! objects up use the last snapshot of [`SystemCatalog`].

mod acl;
pub mod acl_rows;
#[expect(
    clippy::unnecessary_wraps,
    reason = "all evaluations have one signature"
)]
mod describe;
pub mod lists;
#[expect(
    clippy::unnecessary_wraps,
    reason = "all evaluations have one signature"
)]
mod names;
mod privileges;
#[expect(
    clippy::unnecessary_wraps,
    reason = "all evaluations have one signature"
)]
mod session;
#[expect(
    clippy::unnecessary_wraps,
    reason = "all evaluations have one signature"
)]
mod size;
#[expect(
    clippy::unnecessary_wraps,
    reason = "all evaluations have one signature"
)]
mod standard;
mod statistics;
#[expect(
    clippy::unnecessary_wraps,
    reason = "all evaluations have one signature"
)]
mod text;
pub mod vectors;

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use super::cells::{Cell, to_array};
use super::pg_type::PG_TYPE_METADATA;
use super::{SessionFacts, Snapshot, SystemCatalog};
use crate::error::Error;

pub use self::names::object_name;
pub use self::text::{quote_identifier, quote_literal};

/// The functions that work row by row.
const SPECS: [&[Spec]; 9] = [
    acl::SPECS,
    describe::SPECS,
    names::SPECS,
    privileges::SPECS,
    session::SPECS,
    size::SPECS,
    standard::SPECS,
    statistics::SPECS,
    text::SPECS,
];

/// All functions of this module over `catalog`.
pub fn all(catalog: &Arc<SystemCatalog>) -> Vec<ScalarUDF> {
    let rowwise = SPECS
        .into_iter()
        .flatten()
        .map(|spec| ScalarUDF::new_from_impl(CatalogFunction::new(spec, Arc::clone(catalog))));
    rowwise
        .chain(lists::all())
        .chain([acl_rows::function(catalog)])
        .collect()
}

/// Whether `name` is a function of this module that takes and returns plain values.
pub fn is_catalog_function(name: &str) -> bool {
    SPECS.into_iter().flatten().any(|spec| spec.name == name)
}

/// Whether the answers of the function `name` depend on which objects exist.
pub fn needs_snapshot(name: &str) -> bool {
    let specs = [
        describe::SPECS,
        names::SPECS,
        privileges::SPECS,
        size::SPECS,
        statistics::SPECS,
    ];
    let looks_up = specs.into_iter().flatten().any(|spec| spec.name == name);
    (looks_up && name != "pg_size_pretty")
        || name == "_pg_index_position"
        || matches!(name, "current_schema" | "current_schemas")
}

/// What a function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Returns {
    Bool,
    Int,
    BigInt,
    Oid,
    /// A value of this `reg…` type.
    Reg(&'static str),
    Name,
    Names,
    AclItem,
    AclItems,
    Text,
    Instant,
}

impl Returns {
    fn data_type(self) -> DataType {
        use datafusion::arrow::datatypes::TimeUnit;
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Oid | Self::Reg(_) => DataType::UInt32,
            Self::Text | Self::Name | Self::AclItem => DataType::Utf8,
            Self::Names | Self::AclItems => {
                DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
            }
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

impl Returns {
    /// The PostgreSQL type, where Arrow's does not tell it.
    fn pg_type(self) -> Option<&'static str> {
        match self {
            Self::Oid => Some("oid"),
            Self::Reg(name) => Some(name),
            Self::Name => Some("name"),
            Self::Names => Some("_name"),
            Self::AclItem => Some("aclitem"),
            Self::AclItems => Some("_aclitem"),
            _ => None,
        }
    }
}

/// What an evaluation may look at.
struct Call<'a> {
    catalog: &'a SystemCatalog,
    snapshot: Arc<Snapshot>,
    session: SessionFacts,
}

/// One function: its name, the number of its arguments, its result and how it is evaluated.
struct Spec {
    name: &'static str,
    arguments: (usize, usize),
    returns: Returns,
    /// Whether a NULL argument makes the result NULL without evaluation.
    strict: bool,
    evaluate: fn(&Call<'_>, &[Cell]) -> Result<Cell>,
}

/// A strict function.
const fn strict(
    name: &'static str,
    arguments: (usize, usize),
    returns: Returns,
    evaluate: fn(&Call<'_>, &[Cell]) -> Result<Cell>,
) -> Spec {
    Spec {
        name,
        arguments,
        returns,
        strict: true,
        evaluate,
    }
}

/// A function that is evaluated also for NULL arguments.
const fn lenient(
    name: &'static str,
    arguments: (usize, usize),
    returns: Returns,
    evaluate: fn(&Call<'_>, &[Cell]) -> Result<Cell>,
) -> Spec {
    Spec {
        name,
        arguments,
        returns,
        strict: false,
        evaluate,
    }
}

struct CatalogFunction {
    spec: &'static Spec,
    catalog: Arc<SystemCatalog>,
    signature: Signature,
}

impl CatalogFunction {
    fn new(spec: &'static Spec, catalog: Arc<SystemCatalog>) -> Self {
        let mut shapes = Vec::new();
        if spec.arguments.0 == 0 {
            shapes.push(TypeSignature::Nullary);
        }
        if spec.arguments.1 > 0 {
            shapes.push(TypeSignature::VariadicAny);
        }
        let signature = Signature::one_of(shapes, Volatility::Stable);
        Self {
            spec,
            catalog,
            signature,
        }
    }

    fn evaluate(&self, call: &Call<'_>, arguments: &[Cell]) -> Result<Cell> {
        if self.spec.strict && arguments.contains(&Cell::Null) {
            return Ok(Cell::Null);
        }
        (self.spec.evaluate)(call, arguments)
    }
}

impl Debug for CatalogFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogFunction")
            .field("name", &self.spec.name)
            .finish_non_exhaustive()
    }
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name && Arc::ptr_eq(&self.catalog, &other.catalog)
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spec.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.spec.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let (least, most) = self.spec.arguments;
        if (least..=most).contains(&arguments.len()) {
            return Ok(self.spec.returns.data_type());
        }
        let (name, count) = (self.spec.name, arguments.len());
        let message = format!("function {name} with {count} arguments does not exist");
        Err(Error::undefined_function(message).into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone());
        let data_type = self.return_type(&types.collect::<Vec<_>>())?;
        let field = Field::new(self.spec.name, data_type, true);
        Ok(Arc::new(match self.spec.returns.pg_type() {
            Some(name) => field.with_metadata(HashMap::from([(
                PG_TYPE_METADATA.to_owned(),
                name.to_owned(),
            )])),
            None => field,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let session = SessionFacts::of(&args.config_options);
        let call = Call {
            catalog: self.catalog.as_ref(),
            snapshot: self.catalog.snapshot_for(&session),
            session,
        };
        let result = self.spec.returns.data_type();
        if args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
        {
            let cells = args.args.iter().map(|arg| match arg {
                ColumnarValue::Scalar(value) => Cell::from_scalar(value),
                ColumnarValue::Array(array) => Cell::from_array(array, 0),
            });
            let cell = self.evaluate(&call, &cells.collect::<Result<Vec<_>>>()?)?;
            let array = to_array(&result, &[cell])?;
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &array, 0,
            )?));
        }
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let mut cells = Vec::with_capacity(args.number_rows);
        let mut arguments = Vec::with_capacity(arrays.len());
        for row in 0..args.number_rows {
            arguments.clear();
            for array in &arrays {
                arguments.push(Cell::from_array(array, row)?);
            }
            cells.push(self.evaluate(&call, &arguments)?);
        }
        Ok(ColumnarValue::Array(to_array(&result, &cells)?))
    }
}

/// The argument at `index`; [`Cell::Null`] if the call has fewer.
fn argument(arguments: &[Cell], index: usize) -> &Cell {
    arguments.get(index).unwrap_or(&Cell::Null)
}

fn argument_text(arguments: &[Cell], index: usize) -> String {
    argument(arguments, index).to_text().unwrap_or_default()
}

fn failed<T>(error: Error) -> Result<T> {
    Err(DataFusionError::from(error))
}
