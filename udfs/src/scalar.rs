//! One way to write a scalar function: a definition whose evaluation sees whole columns.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_doc::Documentation;
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::aggregate::signature;

/// What one SQL scalar function is.
pub(crate) trait ScalarDefinition:
    Debug + Default + PartialEq + Eq + Hash + Send + Sync + 'static
{
    /// SQL name.
    const NAME: &'static str;
    /// Names for `name => value`.
    const PARAMETERS: &'static [&'static str];

    /// The types the arguments are cast to, or an error that says what to write instead.
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>>;
    /// Result type.
    fn return_type(&self) -> DataType;
    /// A call that gives the same and is quicker, for arguments of coerced types; `None` if there is none.
    fn simplified(&self, _arguments: &[Expr]) -> Option<Expr> {
        None
    }
    /// How many of the first arguments may come as one row where they are constant.
    const ONE_ROW: usize = 0;

    /// One result per row of the argument columns, which have coerced types and, but for
    /// [`ScalarDefinition::ONE_ROW`], equal length.
    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef>;
    /// What `FUNCTIONS.md` and `information_schema.routines` show.
    fn documentation(&self) -> Option<&Documentation>;
}

/// Makes DataFusion's scalar function out of a [`ScalarDefinition`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scalar<D> {
    definition: D,
    signature: Signature,
}

impl<D: ScalarDefinition> Default for Scalar<D> {
    fn default() -> Self {
        Self::new(D::default())
    }
}

impl<D: ScalarDefinition> Scalar<D> {
    /// The function of a definition that holds something.
    pub(crate) fn new(definition: D) -> Self {
        let signature = signature(D::PARAMETERS);
        Self {
            definition,
            signature,
        }
    }
}

impl<D: ScalarDefinition> ScalarUDFImpl for Scalar<D> {
    fn name(&self) -> &str {
        D::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.definition.coerce(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.definition.return_type())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = arguments
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { arguments.number_rows };
        let columns = arguments.args.iter().enumerate();
        let columns = columns.map(|(place, argument)| match argument {
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
            ColumnarValue::Scalar(value) if place < D::ONE_ROW => value.to_array(),
            ColumnarValue::Scalar(value) => value.to_array_of_size(rows),
        });
        let result = self
            .definition
            .evaluate(&columns.collect::<Result<Vec<_>>>()?)?;
        if constant {
            return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(result))
    }

    fn simplify(&self, arguments: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.definition.simplified(&arguments) {
            Some(call) => ExprSimplifyResult::Simplified(call),
            None => ExprSimplifyResult::Original(arguments),
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.definition.documentation()
    }
}

/// Writes the public pair of a scalar function: its UDF, made once, and its expression builder.
macro_rules! export_scalar {
    ($definition:ty, $name:ident, $udf:ident) => {
        #[doc = concat!("The scalar function `", stringify!($name), "`; see FUNCTIONS.md.")]
        pub fn $udf() -> std::sync::Arc<datafusion_expr::ScalarUDF> {
            static INSTANCE: std::sync::LazyLock<std::sync::Arc<datafusion_expr::ScalarUDF>> =
                std::sync::LazyLock::new(|| {
                    std::sync::Arc::new(datafusion_expr::ScalarUDF::from($crate::scalar::Scalar::<
                        $definition,
                    >::default()))
                });
            std::sync::Arc::clone(&INSTANCE)
        }

        #[doc = concat!("A call of `", stringify!($name), "` with any of its argument forms.")]
        pub fn $name(arguments: Vec<datafusion_expr::Expr>) -> datafusion_expr::Expr {
            $udf().call(arguments)
        }
    };
}
pub(crate) use export_scalar;
