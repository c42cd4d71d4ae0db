//! Functions of the base that answer something else than PostgreSQL's of the same name: refused, with
//! the way around, until they are right.

use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;

/// Name, what is wrong in the base, and what to write instead.
const REFUSED: &[(&str, &str)] = &[(
    "to_char",
    "Use date_trunc(…), extract(… FROM …) or a cast to text; PostgreSQL's patterns are not read.",
)];

/// Replaces the functions by ones that refuse.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for (name, hint) in REFUSED {
        let refused = Refused {
            name,
            hint,
            signature: Signature::variadic_any(Volatility::Immutable),
        };
        state.register_udf(std::sync::Arc::new(ScalarUDF::new_from_impl(refused)))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Refused {
    name: &'static str,
    hint: &'static str,
    signature: Signature,
}

impl Refused {
    fn error(&self) -> Error {
        Error::feature_not_supported(format!("{}() is not supported", self.name))
            .with_hint(self.hint)
    }
}

impl ScalarUDFImpl for Refused {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(self.error().into())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(self.error().into())
    }
}
