//! Which version of the functions and of their word lists gives the results.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use super::lexicons::Lexicons;
use crate::arguments::wrong_arity;
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `loyalty_version`.
#[user_doc(
    doc_section(label = "Helpers"),
    description = "The version of the functions, and a fingerprint of each word list in force: of the weights that sentiment, sentiment_label and review_type add up, and of the words of topics. It changes when a list of your own changes what is in force, so that a report can say what it was made with. Never NULL. Source: FNV-1a of the sorted entries.",
    syntax_example = "loyalty_version()",
    sql_example = r"```sql
> SELECT loyalty_version() LIKE '%sentiment % topics %' AS named;
+-------+
| named |
+-------+
| true  |
+-------+
```"
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LoyaltyVersion(pub(super) Arc<Lexicons>);

export_scalar!(LoyaltyVersion, loyalty_version, loyalty_version_udf);

impl ScalarDefinition for LoyaltyVersion {
    const NAME: &'static str = "loyalty_version";
    const PARAMETERS: &'static [&'static str] = &[];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [] => Ok(Vec::new()),
            _ => wrong_arity(Self::NAME, "loyalty_version()", types.len()),
        }
    }

    fn return_type(&self) -> DataType {
        DataType::Utf8View
    }

    fn evaluate(&self, _arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let version = [self.0.version()];
        Ok(Arc::new(StringViewArray::from_iter_values(version)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
