//! What a text wants: to complain, to suggest, to praise, to ask.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use super::language::Language;
use super::lexicon::Lexicon;
use super::lexicons::Lexicons;
use super::tone::{sign, tone};
use super::{Texts, coerce_text};
use crate::scalar::{ScalarDefinition, export_scalar};

const KINDS: [&str; 5] = ["complaint", "suggestion", "praise", "question", "other"];

/// The scalar function `review_type`.
#[user_doc(
    doc_section(label = "Text"),
    description = "What a text is: 'suggestion' if it has words of wishing ('please add', 'would be nice', 'хотелось бы', 'хотілося б'), else 'complaint' if its sentiment is negative, else 'question' if it has a question mark, else 'praise' if its sentiment is positive, else 'other'. NULL for NULL; an unknown lang is an error. Source: own phrases, and sentiment().",
    syntax_example = "review_type(text)",
    alternative_syntax = "review_type(text, lang)",
    sql_example = r"```sql
> SELECT body, review_type(body) AS kind FROM (VALUES ('It broke'), ('Please add Apple Pay'), ('Is it steel?'), ('Love it')) AS reviews(body);
+----------------------+------------+
| body                 | kind       |
+----------------------+------------+
| It broke             | complaint  |
| Please add Apple Pay | suggestion |
| Is it steel?         | question   |
| Love it              | praise     |
+----------------------+------------+
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
pub(crate) struct ReviewType(pub(super) Arc<Lexicons>);

export_scalar!(ReviewType, review_type, review_type_udf);

impl ScalarDefinition for ReviewType {
    const NAME: &'static str = "review_type";
    const PARAMETERS: &'static [&'static str] = &["text", "lang"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_text(Self::NAME, types)
    }

    fn return_type(&self) -> DataType {
        DataType::Utf8View
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        Texts::new(arguments)?.labelled(Self::NAME, &KINDS, |text, language| {
            kind(text, language, self.0.tone(language))
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Index into [`KINDS`].
fn kind(text: &str, language: Language, lexicon: &Lexicon) -> i8 {
    if wishes(text, language) {
        return 1;
    }
    match sign(tone(text, lexicon)) {
        -1 => 0,
        _ if text.contains('?') => 3,
        1 => 2,
        _ => 4,
    }
}

/// Whether a text has words of wishing.
fn wishes(text: &str, language: Language) -> bool {
    let phrases: &[&str] = match language {
        Language::English => &[
            "please add",
            "please make",
            "would be nice",
            "would be great",
            "would be good",
            "i wish",
            "i suggest",
            "suggestion",
            "could you add",
            "you should",
            "it would help",
            "consider adding",
            "feature request",
        ],
        Language::Russian => &[
            "хотелось бы",
            "хотел бы",
            "хотела бы",
            "предлагаю",
            "предложение:",
            "добавьте",
            "сделайте",
            "было бы здорово",
            "было бы хорошо",
            "было бы неплохо",
            "не хватает",
            "пожелани",
            "желательно",
        ],
        Language::Ukrainian => &[
            "хотілося б",
            "хотілось би",
            "хотів би",
            "хотіла б",
            "пропоную",
            "додайте",
            "зробіть",
            "було б чудово",
            "було б добре",
            "було б непогано",
            "не вистачає",
            "побажання",
            "бажано",
        ],
    };
    let text = text.to_lowercase();
    phrases.iter().any(|phrase| text.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_each_kind() {
        for (language, text, expected) in [
            (Language::English, "The staff was rude", "complaint"),
            (
                Language::English,
                "It would be nice to have a bag",
                "suggestion",
            ),
            (Language::English, "When is it back in stock?", "question"),
            (Language::English, "Wonderful shop", "praise"),
            (Language::English, "Ordered on Monday", "other"),
            (Language::Russian, "Ужасный сервис", "complaint"),
            (Language::Russian, "Хотелось бы больше цветов", "suggestion"),
            (Language::Russian, "Когда будет размер M?", "question"),
            (Language::Russian, "Прекрасный магазин", "praise"),
            (Language::Ukrainian, "Жахливий сервіс", "complaint"),
            (Language::Ukrainian, "Додайте оплату карткою", "suggestion"),
            (Language::Ukrainian, "Коли буде розмір M?", "question"),
            (Language::Ukrainian, "Чудовий магазин", "praise"),
        ] {
            let found =
                KINDS[usize::try_from(kind(text, language, &Lexicon::of(language))).unwrap()];
            assert_eq!(found, expected, "{text}");
        }
    }
}
