//! `gen_random_uuid`: a new UUID of version 4 for each row.

use std::sync::Arc;

use datafusion::arrow::array::FixedSizeBinaryBuilder;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::Error;

/// Bytes of a UUID.
const WIDTH: usize = 16;

/// Registers it.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(RandomUuid {
        signature: Signature::nullary(Volatility::Volatile),
    })))?;
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RandomUuid {
    signature: Signature,
}

impl ScalarUDFImpl for RandomUuid {
    fn name(&self) -> &'static str {
        "gen_random_uuid"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::FixedSizeBinary(WIDTH as i32))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = Field::new(self.name(), self.return_type(&[])?, false);
        let marked = [("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned())];
        Ok(Arc::new(field.with_metadata(marked.into())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut bytes = vec![0; args.number_rows * WIDTH];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Error::internal("the system has no random numbers"))?;
        let mut uuids = FixedSizeBinaryBuilder::with_capacity(args.number_rows, WIDTH as i32);
        for uuid in bytes.chunks_exact_mut(WIDTH) {
            // Version 4, variant 1 of RFC 9562.
            uuid[6] = uuid[6] & 0x0f | 0x40;
            uuid[8] = uuid[8] & 0x3f | 0x80;
            uuids.append_value(uuid)?;
        }
        Ok(ColumnarValue::Array(Arc::new(uuids.finish())))
    }
}
