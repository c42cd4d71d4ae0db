//! The function that a cast becomes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::convert;
use crate::calendar::{Reader, TimeSettings};
use crate::engine::state::SessionVariables;
use crate::error::Error;
use crate::values::encode::TextStyle;

/// A cast to one type.
#[derive(Debug)]
pub(super) struct PgCast {
    target: FieldRef,
    signature: Signature,
}

impl PgCast {
    /// The cast to the type of `target`.
    pub(super) fn new(target: FieldRef) -> Self {
        // How times and floats look as text is the session's choice.
        let volatility = match target.data_type() {
            DataType::Utf8View | DataType::List(_) => Volatility::Stable,
            _ => Volatility::Immutable,
        };
        Self {
            target,
            signature: Signature::any(1, volatility),
        }
    }

    /// Whether its values are texts.
    pub(super) fn is_to_text(&self) -> bool {
        self.target.data_type().is_string()
    }
}

impl PartialEq for PgCast {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target
    }
}

impl Eq for PgCast {}

impl Hash for PgCast {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.target.hash(state);
    }
}

impl ScalarUDFImpl for PgCast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.target.data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let field = self.target.as_ref().clone().with_nullable(nullable);
        Ok(Arc::new(field.with_name("cast")))
    }

    fn schema_name(&self, args: &[datafusion::logical_expr::Expr]) -> Result<String> {
        let operand = match args.first() {
            Some(operand) => operand.schema_name().to_string(),
            None => String::new(),
        };
        let (of, typmod) = crate::values::types::column_type(&self.target);
        Ok(format!("CAST({operand} AS {} {typmod})", of.name))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Some(operand), Some(source)) = (args.args.first(), args.arg_fields.first()) else {
            return Err(Error::internal("a cast has one operand").into());
        };
        let forms = Forms::of(&args.config_options);
        match operand {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(convert::array(
                array,
                source,
                &self.target,
                &forms,
            )?)),
            ColumnarValue::Scalar(value) => {
                let array = value.to_array()?;
                let array = convert::array(&array, source, &self.target, &forms)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &array, 0,
                )?))
            }
        }
    }
}

/// How a session reads and shows values.
pub(super) struct Forms {
    /// How values look as text.
    pub(super) text: TextStyle,
    /// Reads dates and times.
    pub(super) time: Reader,
}

impl Forms {
    /// Those of the session that a cast belongs to.
    pub(super) fn of(options: &ConfigOptions) -> Self {
        match options.extensions.get::<SessionVariables>() {
            Some(variables) => Self {
                text: variables.text_style(),
                time: variables.time.reader(),
            },
            None => Self {
                text: TextStyle::default(),
                time: Reader::new(TimeSettings::default(), 0),
            },
        }
    }
}
