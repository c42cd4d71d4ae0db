//! The words of a language: stems with a weight from -4 to 4, negators, intensifiers, words that turn a text.

use std::borrow::Cow;
use std::collections::HashMap;

use super::language::Language;

/// Letters of a word that may follow its stem.
const ENDING_CHARS_MAX: usize = 5;

/// The lexicon of one language.
#[derive(Debug)]
pub(crate) struct Lexicon {
    stems: HashMap<Cow<'static, str>, Entry>,
    rules: &'static Rules,
}

/// What is known of a stem.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    weight: f64,
    /// Whether a user gave it.
    own: bool,
}

/// What is built in for a language.
#[derive(Debug)]
struct Rules {
    /// Lines of a stem and its weight.
    stems: &'static str,
    negators: &'static [&'static str],
    stronger: &'static [&'static str],
    weaker: &'static [&'static str],
    turns: &'static [&'static str],
}

impl Lexicon {
    /// That of a language, as it is built in.
    pub(crate) fn of(language: Language) -> Self {
        let rules = match language {
            Language::English => &ENGLISH,
            Language::Russian => &RUSSIAN,
            Language::Ukrainian => &UKRAINIAN,
        };
        let stem = |line: &'static str| {
            let (stem, weight) = line.split_once('\t')?;
            let weight = weight.parse().ok()?;
            Some((Cow::Borrowed(stem), Entry { weight, own: false }))
        };
        let stems = rules.stems.lines().filter_map(stem).collect();
        Self { stems, rules }
    }

    /// Gives a stem a weight of a user's, instead of one that is built in.
    pub(crate) fn set(&mut self, stem: String, weight: f64) {
        self.stems
            .insert(Cow::Owned(stem), Entry { weight, own: true });
    }

    /// Every stem with its weight.
    pub(crate) fn stems(&self) -> impl Iterator<Item = (&str, f64)> {
        let stems = self.stems.iter();
        stems.map(|(stem, entry)| (stem.as_ref(), entry.weight))
    }

    /// The weight of a word; none if it is not known. A word that does something to others has one only
    /// if a user gave it one.
    pub(crate) fn weight(&self, word: &str) -> Option<f64> {
        let acts = self.is_negator(word) || self.emphasis(word) != 0.0;
        if acts {
            let entry = self.stems.get(word).filter(|entry| entry.own);
            return entry.map(|entry| entry.weight);
        }
        longest_stem(word, |stem| self.stems.get(stem)).map(|entry| entry.weight)
    }

    /// Whether a word turns what follows into its opposite.
    pub(crate) fn is_negator(&self, word: &str) -> bool {
        self.rules.negators.contains(&word)
    }

    /// How much a word adds to the next one: 1, 0, or -1 for one that takes away.
    pub(crate) fn emphasis(&self, word: &str) -> f64 {
        if self.rules.stronger.contains(&word) {
            1.0
        } else if self.rules.weaker.contains(&word) {
            -1.0
        } else {
            0.0
        }
    }

    /// Whether what follows a word counts for more than what stands before it.
    pub(crate) fn is_turn(&self, word: &str) -> bool {
        self.rules.turns.contains(&word)
    }
}

static ENGLISH: Rules = Rules {
    stems: include_str!("en.tsv"),
    negators: &[
        "not",
        "no",
        "never",
        "nothing",
        "neither",
        "nor",
        "without",
        "hardly",
        "barely",
        "isn't",
        "wasn't",
        "aren't",
        "weren't",
        "don't",
        "doesn't",
        "didn't",
        "can't",
        "cannot",
        "couldn't",
        "won't",
        "wouldn't",
        "shouldn't",
        "haven't",
        "hasn't",
        "hadn't",
        "ain't",
        "dont",
        "didnt",
        "cant",
    ],
    stronger: &[
        "very",
        "really",
        "extremely",
        "so",
        "too",
        "absolutely",
        "totally",
        "completely",
        "incredibly",
        "highly",
        "super",
        "most",
        "especially",
        "truly",
        "exceptionally",
    ],
    weaker: &[
        "slightly", "somewhat", "little", "bit", "kinda", "fairly", "rather", "partly", "almost",
        "quite",
    ],
    turns: &["but", "however", "although", "yet"],
};
static RUSSIAN: Rules = Rules {
    stems: include_str!("ru.tsv"),
    negators: &["не", "нет", "ни", "без", "никак", "нельзя", "никогда"],
    stronger: &[
        "очень",
        "крайне",
        "совсем",
        "абсолютно",
        "полностью",
        "слишком",
        "невероятно",
        "так",
        "такой",
        "просто",
        "максимально",
        "действительно",
        "самый",
        "самая",
        "самое",
    ],
    weaker: &[
        "немного",
        "слегка",
        "чуть",
        "довольно",
        "почти",
        "отчасти",
        "местами",
    ],
    turns: &["но", "однако", "зато", "хотя"],
};
static UKRAINIAN: Rules = Rules {
    stems: include_str!("uk.tsv"),
    negators: &["не", "ні", "немає", "нема", "без", "ані", "ніяк", "ніколи"],
    stronger: &[
        "дуже",
        "вкрай",
        "зовсім",
        "абсолютно",
        "повністю",
        "надто",
        "занадто",
        "неймовірно",
        "так",
        "просто",
        "максимально",
        "дійсно",
        "справді",
        "найбільш",
    ],
    weaker: &[
        "трохи",
        "дещо",
        "ледь",
        "досить",
        "майже",
        "частково",
        "місцями",
    ],
    turns: &["але", "однак", "проте", "зате", "хоча", "та"],
};

/// What `find` knows of the longest beginning of a word that leaves an ending of a few letters at most.
pub(crate) fn longest_stem<T>(word: &str, find: impl Fn(&str) -> Option<T>) -> Option<T> {
    if let Some(found) = find(word) {
        return Some(found);
    }
    let ends = word.char_indices().rev().take(ENDING_CHARS_MAX);
    ends.filter(|(at, _)| *at > 0)
        .find_map(|(at, _)| find(&word[..at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_tables_is_read() {
        for (language, table) in [
            (Language::English, include_str!("en.tsv")),
            (Language::Russian, include_str!("ru.tsv")),
            (Language::Ukrainian, include_str!("uk.tsv")),
        ] {
            let lexicon = Lexicon::of(language);
            assert_eq!(lexicon.stems.len(), table.lines().count(), "{language:?}");
            for (stem, weight) in lexicon.stems() {
                assert!(weight.abs() <= 4.0 && !stem.is_empty(), "{stem}");
                assert_eq!(stem.to_lowercase().replace('ё', "е"), stem);
            }
        }
    }

    #[test]
    fn the_longest_stem_counts() {
        let english = Lexicon::of(Language::English);
        assert_eq!(english.weight("goods"), Some(0.0));
        assert_eq!(english.weight("good"), english.weight("goodly"));
        for other in [
            "software",
            "painting",
            "wings",
            "yellow",
            "frozen",
            "topic",
            "wondering",
            "fastening",
            "saddle",
            "rusted",
        ] {
            let weight = english.weight(other).unwrap_or(0.0);
            assert_eq!(weight != 0.0, other == "rusted", "{other}");
        }
        assert_eq!(english.weight("x"), None);
        assert_eq!(english.weight(""), None);
        let russian = Lexicon::of(Language::Russian);
        assert_eq!(russian.weight("отличного"), Some(3.0));
        assert_eq!(russian.weight("отличнейшегося"), None);
    }

    #[test]
    fn a_users_weight_counts_for_its_stem_and_for_words_that_act_on_others() {
        let mut english = Lexicon::of(Language::English);
        assert_eq!(english.weight("super"), None);
        english.set("super".to_owned(), 2.0);
        english.set("good".to_owned(), -1.0);
        english.set("meh".to_owned(), -2.0);
        assert_eq!(english.weight("super"), Some(2.0));
        assert!(english.emphasis("super") > 0.0);
        assert_eq!(english.weight("goodly"), Some(-1.0));
        assert_eq!(english.weight("meh"), Some(-2.0));
        // A stem of a user does not give a weight to a negator that begins with it.
        english.set("no".to_owned(), 1.0);
        assert_eq!(english.weight("not"), None);
        assert_eq!(english.weight("no"), Some(1.0));
    }
}
