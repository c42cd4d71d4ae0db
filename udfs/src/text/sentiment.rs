//! The tone of a text from -1 (bad) to 1 (good); see [`crate::text::tone`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use super::lexicons::Lexicons;
use super::tone::tone;
use super::{Texts, coerce_text};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `sentiment`.
#[user_doc(
    doc_section(label = "Text"),
    description = "The tone of a text, from -1 (negative) to 1 (positive); 0 for a text without a known word. Weights of known words, negated ('not good'), strengthened ('very good') or turned ('but') by those around them, add up to s, and the tone is s / sqrt(s^2 + 15). NULL for NULL; an unknown lang is an error. The built-in lexicons have 1,200 stems for English, fewer than 300 for Russian and Ukrainian: rank texts by the tone, and read them before acting on one. Measured on English texts rated by twenty people each (benches/text.py), the tone correlates with their mean by 0.64 for 3,708 sentences of Amazon reviews, 0.83 for 4,200 tweets, 0.51 for 10,605 sentences of film reviews; for Russian and Ukrainian see sentiment_label(). Words of your own come first: the setting loyalty.sentiment_lexicon of Loyalhouse, Lexicons::builder() elsewhere. Source: rules of Hutto and Gilbert, VADER, ICWSM 2014; own lexicons.",
    syntax_example = "sentiment(text)",
    alternative_syntax = "sentiment(text, lang)",
    sql_example = r"```sql
> SELECT body, round(sentiment(body), 2) AS tone FROM (VALUES ('Great lamp, very fast!'), ('Broken.'), ('A lamp.')) AS reviews(body);
+------------------------+-------+
| body                   | tone  |
+------------------------+-------+
| Great lamp, very fast! | 0.76  |
| Broken.                | -0.46 |
| A lamp.                | 0.0   |
+------------------------+-------+
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
pub(crate) struct Sentiment(pub(super) Arc<Lexicons>);

export_scalar!(Sentiment, sentiment, sentiment_udf);

impl ScalarDefinition for Sentiment {
    const NAME: &'static str = "sentiment";
    const PARAMETERS: &'static [&'static str] = &["text", "lang"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_text(Self::NAME, types)
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let texts = Texts::new(arguments)?;
        let mut tones = vec![0.0; texts.len()];
        texts.each(Self::NAME, |row, text, language| {
            tones[row] = tone(text, self.0.tone(language));
        })?;
        Ok(Arc::new(Float64Array::new(tones.into(), texts.nulls())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
