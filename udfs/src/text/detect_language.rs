//! The language of a text by its letters; see [`crate::text::language`].

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::cast::as_string_view_array;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use super::language::Language;
use crate::arguments::{text, wrong_arity};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `detect_language`.
#[user_doc(
    doc_section(label = "Text"),
    description = "The language of a text by its letters: 'en', 'ru' or 'uk'; NULL for NULL and for a text without letters. Mostly Latin letters make a text English; letters that Ukrainian or Russian alone has decide between those two; without any, common words and spellings that Russian does not have make it Ukrainian, and all else counts as Russian. Right for 99 in 100 sentences of newspapers of each language; of single Ukrainian words only for one in two, because most of the others could be Russian (benches/text.py). Source: the alphabets.",
    syntax_example = "detect_language(text)",
    sql_example = r"```sql
> SELECT body, detect_language(body) AS lang FROM (VALUES ('Well made'), ('Дуже гарно, дякую її'), ('Очень быстро'), ('10/10')) AS reviews(body);
+----------------------+------+
| body                 | lang |
+----------------------+------+
| Well made            | en   |
| Дуже гарно, дякую її | uk   |
| Очень быстро         | ru   |
| 10/10                |      |
+----------------------+------+
```",
    argument(name = "text", description = "The text.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct DetectLanguage;

export_scalar!(DetectLanguage, detect_language, detect_language_udf);

impl ScalarDefinition for DetectLanguage {
    const NAME: &'static str = "detect_language";
    const PARAMETERS: &'static [&'static str] = &["text"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [content] => Ok(vec![text(Self::NAME, "text", content)?]),
            _ => wrong_arity(Self::NAME, "detect_language(text)", types.len()),
        }
    }

    fn return_type(&self) -> DataType {
        DataType::Utf8View
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let texts = as_string_view_array(&arguments[0])?;
        let code = |text: Option<&str>| text.and_then(Language::of).map(Language::code);
        let codes: StringViewArray = texts.iter().map(code).collect();
        Ok(Arc::new(codes))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
