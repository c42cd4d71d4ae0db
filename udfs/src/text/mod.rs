//! What reviews say: their language, their tone, what they are about.
//!
//! Lexicons and rules of our own, no model: a text is split into words, marks and smileys; a word has the
//! weight of the longest stem in the lexicon that it begins with and that leaves five letters at most.

/// `detect_language`
pub(crate) mod detect_language;
/// The language of a text.
pub(crate) mod language;
/// The words of a language with their weights.
pub(crate) mod lexicon;
/// The word lists in force.
pub(crate) mod lexicons;
/// `loyalty_version`
pub(crate) mod loyalty_version;
/// `review_topic`
pub(crate) mod review_topic;
/// `review_topics`
pub(crate) mod review_topics;
/// `review_type`
pub(crate) mod review_type;
/// `sentiment`
pub(crate) mod sentiment;
/// `sentiment_label`
pub(crate) mod sentiment_label;
/// Words, marks and smileys.
pub(crate) mod tokens;
/// The tone of a text as a number.
pub(crate) mod tone;
/// What a text is about.
pub(crate) mod topics;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int8Array, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::cast::as_string_view_array;
use datafusion_expr::ScalarUDF;

use self::language::Language;
use self::lexicons::Lexicons;
use self::loyalty_version::LoyaltyVersion;
use self::review_topic::ReviewTopic;
use self::review_topics::ReviewTopics;
use self::review_type::ReviewType;
use self::sentiment::Sentiment;
use self::sentiment_label::SentimentLabel;
use crate::aggregate::for_each_row;
use crate::arguments::{text, wrong_arity};
use crate::scalar::{Scalar, ScalarDefinition};

/// The functions that read word lists, over these: `sentiment`, `sentiment_label`, `review_topic`,
/// `review_topics`, `review_type` and `loyalty_version`. Registering them replaces those over the lists that
/// are built in.
pub fn text_functions(lexicons: &Arc<Lexicons>) -> Vec<Arc<ScalarUDF>> {
    fn function<D: ScalarDefinition>(definition: D) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(Scalar::new(definition)))
    }
    let lists = || Arc::clone(lexicons);
    vec![
        function(LoyaltyVersion(lists())),
        function(ReviewTopic(lists())),
        function(ReviewTopics(lists())),
        function(ReviewType(lists())),
        function(Sentiment(lists())),
        function(SentimentLabel(lists())),
    ]
}

/// The types of `(text [, lang])`.
pub(super) fn coerce_text(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [content] => Ok(vec![text(function, "text", content)?]),
        [content, lang] => Ok(vec![
            text(function, "text", content)?,
            text(function, "lang", lang)?,
        ]),
        _ => wrong_arity(
            function,
            &format!("{function}(text) or {function}(text, lang)"),
            types.len(),
        ),
    }
}

/// The texts of a column with their languages.
pub(super) struct Texts<'a> {
    contents: &'a StringViewArray,
    languages: Option<&'a StringViewArray>,
    nulls: Option<NullBuffer>,
}

impl<'a> Texts<'a> {
    /// Those of the arguments `(text [, lang])`.
    pub(super) fn new(arguments: &'a [ArrayRef]) -> Result<Self> {
        Ok(Self {
            contents: as_string_view_array(&arguments[0])?,
            languages: match arguments.get(1) {
                Some(languages) => Some(as_string_view_array(languages)?),
                None => None,
            },
            nulls: NullBuffer::union_many(arguments.iter().map(Array::nulls)),
        })
    }

    /// For each row the label whose place `pick` gives; NULL where the row is.
    pub(super) fn labelled(
        &self,
        function: &str,
        labels: &[&str],
        pick: impl Fn(&str, Language) -> i8,
    ) -> Result<ArrayRef> {
        let mut picked = vec![0_i8; self.len()];
        self.each(function, |row, text, language| {
            picked[row] = pick(text, language);
        })?;
        let labels = StringViewArray::from_iter_values(labels);
        let picked = Int8Array::new(picked.into(), self.nulls());
        Ok(compute::take(&labels, &picked, None)?)
    }

    /// Rows.
    pub(super) fn len(&self) -> usize {
        self.contents.len()
    }

    /// The rows without a text or a language that was given.
    pub(super) fn nulls(&self) -> Option<NullBuffer> {
        self.nulls.clone()
    }

    /// Calls `take` with each row that is not NULL, its text and its language; an error for a language that
    /// there is no lexicon of.
    pub(super) fn each(
        &self,
        function: &str,
        mut take: impl FnMut(usize, &str, Language),
    ) -> Result<()> {
        for_each_row(self.nulls.as_ref(), self.len(), |row| {
            let content = self.contents.value(row);
            let language = match self.languages {
                Some(languages) => Language::named(function, languages.value(row))?,
                None => Language::of(content).unwrap_or(Language::English),
            };
            take(row, content, language);
            Ok(())
        })
    }
}
