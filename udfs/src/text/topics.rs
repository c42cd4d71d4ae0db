//! What a text is about: words of five topics, by stems as in [`crate::text::lexicon`].

use std::collections::HashMap;
use std::sync::LazyLock;

use super::language::Language;
use super::lexicon::longest_stem;
use super::tokens::{Token, tokens};

/// The topics, in the order of the alphabet.
const TOPICS: [&str; 5] = ["delivery", "price", "product", "returns", "service"];
/// Places in [`TOPICS`] in the order in which one wins over others with as many words.
const PREFERENCE: [usize; 5] = [4, 0, 2, 1, 3];
/// What a text without any topic is about.
const OTHER: &str = "other";

/// Words of each topic in a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hits([u32; TOPICS.len()]);

impl Hits {
    /// The topics that the text has a word of, in the order of the alphabet.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &'static str> {
        let hits = TOPICS.into_iter().zip(self.0);
        hits.filter(|(_, hits)| *hits > 0).map(|(topic, _)| topic)
    }

    /// The topic with most words.
    pub(crate) fn most(&self) -> &'static str {
        let most = self.0.iter().copied().max().unwrap_or(0);
        let first = PREFERENCE.into_iter().find(|topic| self.0[*topic] == most);
        match first {
            Some(topic) if most > 0 => TOPICS[topic],
            _ => OTHER,
        }
    }
}

/// Counts the words of each topic.
pub(crate) fn hits(text: &str, language: Language) -> Hits {
    let stems = &STEMS[&language];
    let mut hits = Hits::default();
    for token in tokens(text) {
        let Token::Word(word) = token else { continue };
        if let Some(topic) = longest_stem(&word, |stem| stems.get(stem).copied()) {
            hits.0[topic] += 1;
        }
    }
    hits
}

/// By language: the place in [`TOPICS`] of each stem.
static STEMS: LazyLock<HashMap<Language, HashMap<&'static str, usize>>> = LazyLock::new(|| {
    let mut stems: HashMap<Language, HashMap<&'static str, usize>> = HashMap::new();
    for language in [Language::English, Language::Russian, Language::Ukrainian] {
        let own = TABLE.lines().filter_map(|line| {
            let mut parts = line.split('\t');
            let (code, topic, stem) = (parts.next()?, parts.next()?, parts.next()?);
            let place = TOPICS.iter().position(|known| *known == topic)?;
            (code == language.code()).then_some((stem, place))
        });
        stems.insert(language, own.collect());
    }
    stems
});

/// Language, topic and stem.
const TABLE: &str = include_str!("topics.tsv");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let read: usize = STEMS.values().map(HashMap::len).sum();
        assert_eq!(read, TABLE.lines().count());
    }

    #[test]
    fn topics_are_found_and_the_order_decides_between_equals() {
        for (language, text, topics, most) in [
            (
                Language::English,
                "The courier lost my parcel and support was rude",
                vec!["delivery", "service"],
                "service",
            ),
            (
                Language::English,
                "Too expensive for such quality",
                vec!["price", "product"],
                "product",
            ),
            (
                Language::English,
                "I want my money back: a refund or an exchange",
                vec!["price", "returns"],
                "returns",
            ),
            (
                Language::Russian,
                "Курьер опоздал на час",
                vec!["delivery"],
                "delivery",
            ),
            (
                Language::Russian,
                "Цена высокая, продавец грубый",
                vec!["price", "service"],
                "service",
            ),
            (
                Language::Ukrainian,
                "Якість тканини чудова, доставка швидка",
                vec!["delivery", "product"],
                "product",
            ),
            (Language::Ukrainian, "Добрий день", vec![], "other"),
        ] {
            let found = hits(text, language);
            assert_eq!(found.topics().collect::<Vec<_>>(), topics, "{text}");
            assert_eq!(found.most(), most, "{text}");
        }
    }
}
