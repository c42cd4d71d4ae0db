//! The one number in the text of a survey's answer: `10 - Extremely likely` is 10, `7,5` is 7.5.
//!
//! No number gives NULL, more than one is an error: nobody knows which was meant.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::cast::as_string_view_array;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::arguments::{finite, invalid_value, text, wrong_arity};
use crate::record::numbers;
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `survey_score`.
#[user_doc(
    doc_section(label = "Helpers"),
    description = "The number in a survey's answer: '10 - Extremely likely' is 10, '7,5' and '7.5' are 7.5, '-2' is -2. NULL if the text is NULL or has no number. More than one number, as in '9, 10', '4/5' or '0-10', is an error, and so are digits of other scripts. Source: exports of SurveyMonkey, Qualtrics and Google Forms.",
    syntax_example = "survey_score(answer)",
    sql_example = r"```sql
> SELECT survey_score(answer) AS score FROM (VALUES ('10 - Extremely likely'), ('7,5'), ('Not answered')) AS answers(answer);
+-------+
| score |
+-------+
| 10.0  |
| 7.5   |
|       |
+-------+
```",
    argument(name = "answer", description = "Text of the answer.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SurveyScore;

export_scalar!(SurveyScore, survey_score, survey_score_udf);

impl ScalarDefinition for SurveyScore {
    const NAME: &'static str = "survey_score";
    const PARAMETERS: &'static [&'static str] = &["answer"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [answer] => Ok(vec![text(Self::NAME, "answer", answer)?]),
            _ => wrong_arity(Self::NAME, "survey_score(answer)", types.len()),
        }
    }

    fn return_type(&self) -> DataType {
        DataType::Float64
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let answers = as_string_view_array(&arguments[0])?;
        let score = |row: usize| match answers.is_valid(row) {
            true => score_of(answers.value(row)),
            false => Ok(None),
        };
        let scores = (0..answers.len()).map(score).collect::<Result<Vec<_>>>()?;
        Ok(numbers(scores.into_iter()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Characters of an answer that a message shows.
const SHOWN: usize = 60;

fn score_of(answer: &str) -> Result<Option<f64>> {
    let foreign = answer
        .chars()
        .any(|c| c.is_numeric() && !c.is_ascii_digit());
    if foreign {
        return Err(refused(answer, "has digits other than 0 to 9"));
    }
    let Some(start) = answer.find(|c: char| c.is_ascii_digit()) else {
        return Ok(None);
    };
    let (before, rest) = answer.split_at(start);
    let whole = digits(rest);
    let (whole, rest) = rest.split_at(whole);
    let fraction = match rest.strip_prefix(['.', ',']) {
        Some(after) => &after[..digits(after)],
        None => "",
    };
    let rest = if fraction.is_empty() {
        rest
    } else {
        &rest[fraction.len() + 1..]
    };
    if rest.contains(|c: char| c.is_ascii_digit()) {
        return Err(refused(answer, "has more than one number"));
    }
    let (point, before) = leading_point(before);
    if point && !fraction.is_empty() {
        return Err(refused(answer, "has more than one number"));
    }
    let text = if point {
        format!("0.{whole}")
    } else {
        format!("{whole}.{fraction}0")
    };
    let value = text.parse::<f64>().unwrap_or(f64::INFINITY);
    let value = finite(SurveyScore::NAME, "answer", value)?;
    Ok(Some(if is_negative(before) { -value } else { value }))
}

/// Number of digits that a text begins with.
fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len())
}

/// Whether the text before the digits ends in a decimal point, as in `.5`, and what is before that.
fn leading_point(before: &str) -> (bool, &str) {
    match before.strip_suffix('.') {
        Some(earlier) if !earlier.ends_with(|c: char| c.is_alphanumeric() || c == '.') => {
            (true, earlier)
        }
        _ => (false, before),
    }
}

/// Whether the text before a number ends in a sign, rather than in a dash between words.
fn is_negative(before: &str) -> bool {
    let earlier = before.strip_suffix(['-', '\u{2212}']);
    earlier.is_some_and(|earlier| {
        earlier.is_empty() || earlier.ends_with(|c: char| c.is_whitespace() || c == '(')
    })
}

#[cold]
fn refused(answer: &str, problem: &str) -> datafusion_common::DataFusionError {
    let shown: String = answer.chars().take(SHOWN).collect();
    invalid_value(
        SurveyScore::NAME,
        format!("'{shown}' {problem}; correct it, or leave one number in it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_answer() {
        for (answer, expected) in [
            ("10 - Extremely likely", Some(10.0)),
            ("9", Some(9.0)),
            ("7,5", Some(7.5)),
            (" 7.25 points", Some(7.25)),
            ("10.", Some(10.0)),
            (".5", Some(0.5)),
            ("No.5", Some(5.0)),
            ("-2", Some(-2.0)),
            ("(\u{2212}2)", Some(-2.0)),
            ("a-5", Some(5.0)),
            ("score: 8/", Some(8.0)),
            ("75%", Some(75.0)),
            ("Not answered", None),
            ("", None),
            ("...", None),
        ] {
            assert_eq!(score_of(answer).unwrap(), expected, "{answer}");
        }
    }

    #[test]
    fn two_numbers_are_none() {
        for answer in [
            "9, 10",
            "4/5",
            "0-10",
            "1,234,567",
            "1e5",
            "10 000",
            "1.2.3",
            ".5.5",
        ] {
            assert!(score_of(answer).is_err(), "{answer}");
        }
        assert!(score_of("\u{ff19}").is_err());
        assert!(score_of(&"9".repeat(400)).is_err());
    }
}
