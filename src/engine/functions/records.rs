//! Rows as values.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::Error;
use crate::values::types::{REG_TYPES, column_type};

/// The row of some columns, each given as its name and its value.
pub(crate) const WHOLE_ROW: &str = "whole_row";

/// Registers it.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(WholeRow {
        signature: Signature::variadic_any(Volatility::Immutable),
    })))?;
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WholeRow {
    signature: Signature,
}

impl ScalarUDFImpl for WholeRow {
    fn name(&self) -> &'static str {
        WHOLE_ROW
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(Error::internal("a row has the types of its fields").into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let values = args.arg_fields.chunks(2);
        let names = args.scalar_arguments.chunks(2);
        let fields = values
            .zip(names)
            .map(|(values, names)| match (values, names) {
                ([_, value], _) if is_object(value) => Err(Error::feature_not_supported(
                    "names of objects in a row are not supported",
                )
                .with_hint("Cast them to text.")
                .into()),
                ([_, value], [Some(name), _]) => {
                    let name = name.try_as_str().flatten().unwrap_or_default();
                    Ok(value.as_ref().clone().with_name(name).with_nullable(true))
                }
                _ => Err(Error::internal("a field without a name").into()),
            });
        let fields: Fields = fields.collect::<Result<Vec<Field>>>()?.into();
        Ok(Arc::new(Field::new(
            WHOLE_ROW,
            DataType::Struct(fields),
            false,
        )))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let DataType::Struct(fields) = args.return_type() else {
            return Err(Error::internal("a row of no fields").into());
        };
        let values: Vec<ColumnarValue> = args.args.iter().skip(1).step_by(2).cloned().collect();
        let constant = values
            .iter()
            .all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = values
            .into_iter()
            .map(|value| value.into_array(rows))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let row = StructArray::try_new_with_length(fields.clone(), arrays, None, rows)?;
        Ok(match constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&row, 0)?),
            false => ColumnarValue::Array(Arc::new(row)),
        })
    }
}

/// Whether values are OIDs that are shown as names: a row would show the OIDs.
fn is_object(field: &Field) -> bool {
    REG_TYPES.contains(&column_type(field).0)
}
