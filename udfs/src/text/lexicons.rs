//! The word lists in force: those built in, and on top of them those of a user.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};

use super::language::Language;
use super::lexicon::Lexicon;
use super::tokens::{Token, WORD_CHARS_MAX, is_apostrophe, tokens};
use super::topics::{OTHER, TOPICS, Topics};

/// Word lists for the text functions: weights of words for the tone of a text, and words of its topics.
#[derive(Debug)]
pub struct Lexicons {
    /// For each language, by its number.
    tones: [Lexicon; Language::ALL.len()],
    topics: Topics,
    own_words: usize,
    tone_version: u64,
    topic_version: u64,
}

impl Lexicons {
    /// Words that a user may add to each of the two lists.
    pub const WORDS_MAX: usize = 100_000;
    /// Topics that a user may add.
    pub const TOPICS_MAX: usize = 100;
    /// Letters of the name of a topic.
    pub const TOPIC_CHARS_MAX: usize = 64;
    /// The largest weight of a word; its negative is the least.
    pub const WEIGHT_MAX: f64 = 4.0;

    /// Starts with the lists that are built in.
    pub fn builder() -> LexiconsBuilder {
        LexiconsBuilder::default()
    }

    /// The version of this crate and of each list, which is the same wherever the words are.
    pub fn version(&self) -> String {
        format!(
            "{} sentiment {:016x} topics {:016x}",
            env!("CARGO_PKG_VERSION"),
            self.tone_version,
            self.topic_version
        )
    }

    /// How many words a user added to both lists.
    pub fn own_words(&self) -> usize {
        self.own_words
    }

    /// The weights of words of a language.
    pub(crate) fn tone(&self, language: Language) -> &Lexicon {
        &self.tones[language as usize]
    }

    /// The topics.
    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }
}

impl Default for Lexicons {
    fn default() -> Self {
        Self::builder().finish()
    }
}

/// Lists of the same version are the same.
impl PartialEq for Lexicons {
    fn eq(&self, other: &Self) -> bool {
        let versions = |lists: &Self| (lists.tone_version, lists.topic_version);
        versions(self) == versions(other)
    }
}

impl Eq for Lexicons {}

impl Hash for Lexicons {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tone_version.hash(state);
        self.topic_version.hash(state);
    }
}

/// Adds a user's words to the lists.
///
/// ```
/// # use std::sync::Arc;
/// # fn register(registry: &mut dyn datafusion_expr::registry::FunctionRegistry)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use datafusion_functions_loyalty::{Lexicons, text_functions};
///
/// let mut builder = Lexicons::builder();
/// builder.add_word("en", "meh", -1.5)?;
/// builder.add_topic_word("en", "network", "wifi")?;
/// for function in text_functions(&Arc::new(builder.finish())) {
///     registry.register_udf(function)?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct LexiconsBuilder {
    tones: BTreeMap<(Language, String), f64>,
    topics: BTreeMap<(Language, String), String>,
    /// The topics of `topics` that are not built in.
    names: BTreeSet<String>,
}

impl LexiconsBuilder {
    /// Gives a word, and all that begin with it and have five letters more at most, a weight from -4 to 4. It
    /// takes the place of a built-in one.
    ///
    /// # Errors
    ///
    /// An unknown language, a term that is not one word or was added before, a weight out of range, too many
    /// words.
    pub fn add_word(&mut self, lang: &str, term: &str, weight: f64) -> Result<(), LexiconError> {
        let key = key(lang, term)?;
        let range = -Lexicons::WEIGHT_MAX..=Lexicons::WEIGHT_MAX;
        if !range.contains(&weight) {
            return refused(format!(
                "the weight of {} is {weight}; a weight is a number from -4 to 4",
                shown(term)
            ));
        }
        // Adding zero makes a zero without sign.
        match self.tones.insert(key, weight + 0.0) {
            None => check_count(self.tones.len()),
            Some(_) => twice(lang, term),
        }
    }

    /// Makes a word, and all that begin with it and have five letters more at most, one of a topic. A topic that
    /// is not built in comes behind those that are.
    ///
    /// # Errors
    ///
    /// An unknown language, a term that is not one word or was added before, a topic without a name, too many
    /// words or topics.
    pub fn add_topic_word(
        &mut self,
        lang: &str,
        topic: &str,
        term: &str,
    ) -> Result<(), LexiconError> {
        let key = key(lang, term)?;
        let name = topic.trim().to_lowercase();
        let letters = name.chars().count();
        if letters == 0 || letters > Lexicons::TOPIC_CHARS_MAX {
            return refused(format!(
                "the topic of {} has {letters} letters; a topic has 1 to {}",
                shown(term),
                Lexicons::TOPIC_CHARS_MAX
            ));
        }
        if name == OTHER {
            return refused(format!(
                "{} cannot be of topic '{OTHER}', which texts without a topic have",
                shown(term)
            ));
        }
        if !TOPICS.contains(&name.as_str()) {
            self.names.insert(name.clone());
        }
        if self.names.len() > Lexicons::TOPICS_MAX {
            return too_many(Lexicons::TOPICS_MAX, "topics");
        }
        match self.topics.insert(key, name) {
            None => check_count(self.topics.len()),
            Some(_) => twice(lang, term),
        }
    }

    /// The lists with all that was added.
    pub fn finish(self) -> Lexicons {
        let own_words = self.tones.len() + self.topics.len();
        let topics = Topics::new(&self.topics);
        let mut tones = Language::ALL.map(Lexicon::of);
        for ((language, stem), weight) in self.tones {
            tones[language as usize].set(stem, weight);
        }
        let weights = Language::ALL.iter().flat_map(|language| {
            let stems = tones[*language as usize].stems();
            stems.map(|(stem, weight)| format!("{}\t{stem}\t{weight}", language.code()))
        });
        let words = topics.stems();
        let words =
            words.map(|(language, stem, topic)| format!("{}\t{stem}\t{topic}", language.code()));
        let (tone_version, topic_version) = (fingerprint(weights), fingerprint(words));
        Lexicons {
            tones,
            topics,
            own_words,
            tone_version,
            topic_version,
        }
    }
}

/// What is wrong with an entry of a word list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LexiconError {
    problem: String,
    is_limit: bool,
}

impl LexiconError {
    /// Whether it is about how many entries there are, not about one of them.
    pub fn is_limit(&self) -> bool {
        self.is_limit
    }
}

impl Display for LexiconError {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.problem)
    }
}

impl Error for LexiconError {}

/// Language and word as texts are split into them.
fn key(lang: &str, term: &str) -> Result<(Language, String), LexiconError> {
    let Some(language) = Language::of_code(lang) else {
        return refused(format!(
            "lang {} of {} is not known; write 'en', 'ru' or 'uk'",
            shown(lang),
            shown(term)
        ));
    };
    let term = term.trim();
    if term.is_empty() {
        return refused("a term is empty".to_owned());
    }
    let is_letter = |letter: char| letter.is_alphabetic() || is_apostrophe(letter);
    if term.chars().all(is_letter)
        && term.chars().count() <= WORD_CHARS_MAX
        && let [Token::Word(word)] = &tokens(term)[..]
    {
        return Ok((language, word.clone()));
    }
    refused(format!(
        "term {} is not one word; write a word or its beginning, of letters alone, {WORD_CHARS_MAX} at most",
        shown(term)
    ))
}

fn check_count(words: usize) -> Result<(), LexiconError> {
    if words > Lexicons::WORDS_MAX {
        return too_many(Lexicons::WORDS_MAX, "words");
    }
    Ok(())
}

fn twice(lang: &str, term: &str) -> Result<(), LexiconError> {
    refused(format!(
        "term {} of lang {} is there twice",
        shown(term),
        shown(lang)
    ))
}

fn refused<T>(problem: String) -> Result<T, LexiconError> {
    Err(LexiconError {
        problem,
        is_limit: false,
    })
}

fn too_many<T>(max: usize, what: &str) -> Result<T, LexiconError> {
    Err(LexiconError {
        problem: format!("there are more than {max} {what}"),
        is_limit: true,
    })
}

/// A text in quotes, as long as a message bears.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let text = text.trim();
    let start: String = text.chars().take(CHARS_MAX).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("'{start}{more}'")
}

/// A number that tells sets of lines apart, whatever their order, and stays the same between versions:
/// FNV-1a of the sorted lines.
fn fingerprint(lines: impl Iterator<Item = String>) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut lines: Vec<String> = lines.collect();
    lines.sort_unstable();
    let bytes = lines.iter().flat_map(|line| line.bytes().chain([b'\n']));
    bytes.fold(BASIS, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(lang: &str, term: &str, weight: f64) -> Result<(), String> {
        let mut builder = Lexicons::builder();
        let added = builder.add_word(lang, term, weight);
        added.map_err(|error| error.to_string())
    }

    fn topic(lang: &str, topic: &str, term: &str) -> Result<(), String> {
        let mut builder = Lexicons::builder();
        let added = builder.add_topic_word(lang, topic, term);
        added.map_err(|error| error.to_string())
    }

    #[test]
    fn words_are_folded_as_texts_are() {
        let mut builder = Lexicons::builder();
        builder.add_word("RU ", " Огнённо ", 4.0).unwrap();
        builder.add_word("en", "Don’t", -4.0).unwrap();
        let lists = builder.finish();
        assert_eq!(lists.tone(Language::Russian).weight("огненно"), Some(4.0));
        assert_eq!(lists.tone(Language::English).weight("don't"), Some(-4.0));
        assert_eq!(lists.tone(Language::Ukrainian).weight("огненно"), None);
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for (refusal, words) in [
            (word("de", "gut", 1.0), "lang 'de' of 'gut' is not known"),
            (word("en", " ", 1.0), "a term is empty"),
            (
                word("en", "very good", 1.0),
                "term 'very good' is not one word",
            ),
            (word("en", "5g", 1.0), "not one word"),
            (word("en", "😀", 1.0), "not one word"),
            (word("en", "'", 1.0), "not one word"),
            (word("en", &"a".repeat(65), 1.0), "64 at most"),
            (word("en", "meh", 4.1), "the weight of 'meh' is 4.1"),
            (word("en", "meh", f64::NAN), "is NaN"),
            (word("en", "meh", f64::NEG_INFINITY), "is -inf"),
            (topic("en", "", "wifi"), "the topic of 'wifi' has 0 letters"),
            (topic("en", &"t".repeat(65), "wifi"), "has 65 letters"),
            (topic("en", "Other", "wifi"), "cannot be of topic 'other'"),
            (topic("xx", "network", "wifi"), "lang 'xx'"),
            (topic("en", "network", "wi-fi"), "not one word"),
        ] {
            let refusal = refusal.unwrap_err();
            assert!(refusal.contains(words), "{refusal} {words}");
        }
        assert_eq!(word("uk", "мегакруто", 4.0), Ok(()));
    }

    #[test]
    fn a_word_twice_is_refused_in_whatever_case() {
        let mut builder = Lexicons::builder();
        builder.add_word("en", "meh", -1.0).unwrap();
        builder.add_word("ru", "meh", -1.0).unwrap();
        let error = builder.add_word("EN", "Meh", -1.0).unwrap_err();
        assert!(error.to_string().contains("is there twice"), "{error}");
        builder.add_topic_word("en", "network", "wifi").unwrap();
        let error = builder.add_topic_word("en", "app", "WIFI").unwrap_err();
        assert!(error.to_string().contains("is there twice"), "{error}");
    }

    #[test]
    fn lists_have_a_limit() {
        let letters = |n: usize| -> String {
            let digits = format!("{n}");
            digits
                .bytes()
                .map(|digit| char::from(b'a' + digit - b'0'))
                .collect()
        };
        let mut builder = Lexicons::builder();
        for n in 0..Lexicons::WORDS_MAX {
            builder.add_word("en", &letters(n), 1.0).unwrap();
        }
        let error = builder.add_word("en", "zzz", 1.0).unwrap_err();
        assert_eq!(error.to_string(), "there are more than 100000 words");
        for n in 0..Lexicons::TOPICS_MAX {
            builder
                .add_topic_word("en", &letters(n), &letters(n))
                .unwrap();
        }
        let error = builder.add_topic_word("en", "zzz", "zzz").unwrap_err();
        assert_eq!(error.to_string(), "there are more than 100 topics");
    }

    #[test]
    fn the_version_follows_the_words_and_not_their_order() {
        let built_in = Lexicons::default();
        let of = |words: &[(&str, f64)]| {
            let mut builder = Lexicons::builder();
            for (word, weight) in words {
                builder.add_word("en", word, *weight).unwrap();
            }
            builder.finish()
        };
        assert_eq!(built_in.version(), of(&[]).version());
        let one = of(&[("meh", -1.0), ("wow", 2.0)]);
        assert_eq!(one, of(&[("wow", 2.0), ("meh", -1.0)]));
        assert_ne!(one, of(&[("wow", 2.0), ("meh", -1.5)]));
        assert_ne!(one, built_in);
        let topics =
            |lists: &Lexicons| lists.version().split(" topics ").nth(1).unwrap().to_owned();
        assert_eq!(topics(&one), topics(&built_in));
    }
}
