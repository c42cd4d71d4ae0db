//! What a text is about: all its topics; see [`crate::text::topics`].

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringViewBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use super::lexicons::Lexicons;
use super::{Texts, coerce_text};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `review_topics`.
#[user_doc(
    doc_section(label = "Text"),
    description = "What a text is about, by words of each topic: those of 'delivery', 'price', 'product', 'returns' and 'service' that it has a word of, in the order of the alphabet. An empty list if there is none; NULL for NULL; an unknown lang is an error. Words and topics of your own come first: the setting loyalty.topic_lexicon of Loyalhouse, Lexicons::builder() elsewhere. Source: own word lists.",
    syntax_example = "review_topics(text)",
    alternative_syntax = "review_topics(text, lang)",
    sql_example = r"```sql
> SELECT review_topics('The courier was late and support did not answer') AS topics;
+---------------------+
| topics              |
+---------------------+
| [delivery, service] |
+---------------------+
```",
    argument(
        name = "text",
        description = "The text, in English, Russian or Ukrainian."
    ),
    argument(
        name = "lang",
        description = "'en', 'ru' or 'uk'; left out, each text's own language by its letters."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ReviewTopics(pub(super) Arc<Lexicons>);

export_scalar!(ReviewTopics, review_topics, review_topics_udf);

impl ScalarDefinition for ReviewTopics {
    const NAME: &'static str = "review_topics";
    const PARAMETERS: &'static [&'static str] = &["text", "lang"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_text(Self::NAME, types)
    }

    fn return_type(&self) -> DataType {
        DataType::List(item())
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let texts = Texts::new(arguments)?;
        let known = self.0.topics();
        let mut hits = known.hits();
        let mut lists = ListBuilder::new(StringViewBuilder::new()).with_field(item());
        let mut listed = 0;
        texts.each(Self::NAME, |row, text, language| {
            // The rows passed over are NULL.
            for _ in listed..row {
                lists.append_null();
            }
            known.count(text, language, &mut hits);
            for topic in known.found(&hits) {
                lists.values().append_value(topic);
            }
            lists.append(true);
            listed = row + 1;
        })?;
        for _ in listed..texts.len() {
            lists.append_null();
        }
        Ok(Arc::new(lists.finish()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Utf8View, true))
}
