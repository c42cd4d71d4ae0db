//! The tone of a text in a word; see [`crate::text::tone`].

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use super::lexicons::Lexicons;
use super::tone::{sign, tone};
use super::{Texts, coerce_text};
use crate::scalar::{ScalarDefinition, export_scalar};

const LABELS: [&str; 3] = ["negative", "neutral", "positive"];

/// The scalar function `sentiment_label`.
#[user_doc(
    doc_section(label = "Text"),
    description = "'positive' for a text whose sentiment is 0.05 or more, 'negative' for -0.05 or less, otherwise 'neutral'. NULL for NULL; an unknown lang is an error. The label of a single text is often wrong: rank by sentiment(), and alert on shares of many. Of English texts rated by twenty people each, it is that of their mean for 59 % of 3,708 sentences of Amazon reviews (mean F1 0.53; always saying positive gives 53 %), 77 % of 4,200 tweets (F1 0.65), 58 % of 10,605 sentences of film reviews (F1 0.43), as measured by benches/text.py. For Russian and Ukrainian the figures are of these words and rules when they were designed, with a neutral label counting as wrong: positive and negative were told apart in 92 % of 172 reviews of restaurants and 91 % of 124 of cars (SentiRuEval-2015), 73 % of 3,034 Ukrainian reviews of a shop, but 55 % of 794 Russian social posts. It knows the words that sentiment() knows. Source: thresholds of VADER, ICWSM 2014.",
    syntax_example = "sentiment_label(text)",
    alternative_syntax = "sentiment_label(text, lang)",
    sql_example = r"```sql
> SELECT body, sentiment_label(body) AS label FROM (VALUES ('Love it'), ('Not good'), ('Чудовий сервіс')) AS reviews(body);
+----------------+----------+
| body           | label    |
+----------------+----------+
| Love it        | positive |
| Not good       | negative |
| Чудовий сервіс | positive |
+----------------+----------+
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
pub(crate) struct SentimentLabel(pub(super) Arc<Lexicons>);

export_scalar!(SentimentLabel, sentiment_label, sentiment_label_udf);

impl ScalarDefinition for SentimentLabel {
    const NAME: &'static str = "sentiment_label";
    const PARAMETERS: &'static [&'static str] = &["text", "lang"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_text(Self::NAME, types)
    }

    fn return_type(&self) -> DataType {
        DataType::Utf8View
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        Texts::new(arguments)?.labelled(Self::NAME, &LABELS, |text, language| {
            1 + sign(tone(text, self.0.tone(language)))
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
