//! What a text is about most; see [`crate::text::topics`].

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use super::lexicons::Lexicons;
use super::{Texts, coerce_text};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `review_topic`.
#[user_doc(
    doc_section(label = "Text"),
    description = "The topic that a text has most words of: 'service', 'delivery', 'product', 'price' or 'returns', of equals the first in this order; 'other' if it has none. NULL for NULL; an unknown lang is an error. Words and topics of your own: see review_topics(); such topics come last between equals, in the order of the alphabet. Source: own word lists.",
    syntax_example = "review_topic(text)",
    alternative_syntax = "review_topic(text, lang)",
    sql_example = r"```sql
> SELECT body, review_topic(body) AS topic FROM (VALUES ('Rude staff'), ('Кур''єр запізнився'), ('Hello')) AS reviews(body);
+-------------------+----------+
| body              | topic    |
+-------------------+----------+
| Rude staff        | service  |
| Кур'єр запізнився | delivery |
| Hello             | other    |
+-------------------+----------+
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
pub(crate) struct ReviewTopic(pub(super) Arc<Lexicons>);

export_scalar!(ReviewTopic, review_topic, review_topic_udf);

impl ScalarDefinition for ReviewTopic {
    const NAME: &'static str = "review_topic";
    const PARAMETERS: &'static [&'static str] = &["text", "lang"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_text(Self::NAME, types)
    }

    fn return_type(&self) -> DataType {
        DataType::Utf8View
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let texts = Texts::new(arguments)?;
        let nulls = texts.nulls();
        let known = self.0.topics();
        let (mut topics, mut hits) = (vec![""; texts.len()], known.hits());
        texts.each(Self::NAME, |row, text, language| {
            known.count(text, language, &mut hits);
            topics[row] = known.most(&hits);
        })?;
        let known = topics.iter().enumerate().map(|(row, topic)| {
            let is_valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            is_valid.then_some(*topic)
        });
        Ok(Arc::new(known.collect::<StringViewArray>()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
