//! What a text is about: words of five topics, by stems as in [`crate::text::lexicon`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::language::Language;
use super::lexicon::longest_stem;
use super::tokens::{Token, tokens};

/// The topics that are built in; of two with as many words, the one before the other wins.
pub(crate) const TOPICS: [&str; 5] = ["service", "delivery", "product", "price", "returns"];
/// What a text without any topic is about.
pub(crate) const OTHER: &str = "other";

/// The topics with their words.
#[derive(Debug)]
pub(crate) struct Topics {
    /// Those built in, then those of a user in the order of the alphabet.
    names: Vec<Cow<'static, str>>,
    /// Places in `names` in the order of the alphabet.
    sorted: Vec<usize>,
    /// For each language, by its number: the place in `names` of each stem.
    stems: [HashMap<Cow<'static, str>, usize>; Language::ALL.len()],
}

impl Topics {
    /// Those that are built in, with the words that a user moves to these topics or adds.
    pub(crate) fn new(own: &BTreeMap<(Language, String), String>) -> Self {
        let mut names: Vec<Cow<'static, str>> = TOPICS.map(Cow::Borrowed).to_vec();
        let new: BTreeSet<&String> = own.values().collect();
        for name in new {
            if !TOPICS.contains(&name.as_str()) {
                names.push(Cow::Owned(name.clone()));
            }
        }
        let place = |name: &str| names.iter().position(|known| known == name);
        let mut stems: [HashMap<_, _>; Language::ALL.len()] = Default::default();
        for line in TABLE.lines() {
            let mut parts = line.split('\t');
            if let (Some(code), Some(topic), Some(stem)) =
                (parts.next(), parts.next(), parts.next())
                && let (Some(language), Some(place)) = (Language::of_code(code), place(topic))
            {
                stems[language as usize].insert(Cow::Borrowed(stem), place);
            }
        }
        for ((language, stem), topic) in own {
            if let Some(place) = place(topic) {
                stems[*language as usize].insert(Cow::Owned(stem.clone()), place);
            }
        }
        let mut sorted: Vec<usize> = (0..names.len()).collect();
        sorted.sort_by_key(|place| &names[*place]);
        Self {
            names,
            sorted,
            stems,
        }
    }

    /// A place to count words of each topic.
    pub(crate) fn hits(&self) -> Vec<u32> {
        vec![0; self.names.len()]
    }

    /// Counts the words of each topic in a text.
    pub(crate) fn count(&self, text: &str, language: Language, hits: &mut [u32]) {
        hits.fill(0);
        let stems = &self.stems[language as usize];
        for token in tokens(text) {
            let Token::Word(word) = token else { continue };
            if let Some(topic) = longest_stem(&word, |stem| stems.get(stem).copied()) {
                hits[topic] += 1;
            }
        }
    }

    /// The topics that a text has a word of, in the order of the alphabet.
    pub(crate) fn found(&self, hits: &[u32]) -> impl Iterator<Item = &str> {
        let found = self.sorted.iter().filter(|place| hits[**place] > 0);
        found.map(|place| self.names[*place].as_ref())
    }

    /// The topic with most words.
    pub(crate) fn most(&self, hits: &[u32]) -> &str {
        let most = hits.iter().copied().max().unwrap_or(0);
        match hits.iter().position(|hits| *hits == most) {
            Some(first) if most > 0 => &self.names[first],
            _ => OTHER,
        }
    }

    /// Every word with its language and its topic.
    pub(crate) fn stems(&self) -> impl Iterator<Item = (Language, &str, &str)> {
        Language::ALL.into_iter().flat_map(move |language| {
            let stems = self.stems[language as usize].iter();
            stems.map(move |(stem, place)| (language, stem.as_ref(), self.names[*place].as_ref()))
        })
    }
}

/// Language, topic and stem.
const TABLE: &str = include_str!("topics.tsv");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let topics = Topics::new(&BTreeMap::new());
        assert_eq!(topics.stems().count(), TABLE.lines().count());
    }

    #[test]
    fn topics_are_found_and_the_order_decides_between_equals() {
        let known = Topics::new(&BTreeMap::new());
        let mut hits = known.hits();
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
            known.count(text, language, &mut hits);
            assert_eq!(known.found(&hits).collect::<Vec<_>>(), topics, "{text}");
            assert_eq!(known.most(&hits), most, "{text}");
        }
    }

    #[test]
    fn topics_of_a_user_come_last_between_equals_and_take_words_away() {
        let own =
            |stem: &str, topic: &str| ((Language::English, stem.to_owned()), topic.to_owned());
        let known = Topics::new(&BTreeMap::from([
            own("wifi", "network"),
            own("app", "app"),
            own("courier", "service"),
        ]));
        let mut hits = known.hits();
        for (text, topics, most) in [
            ("The app has no wifi", vec!["app", "network"], "app"),
            ("wifi and a parcel", vec!["delivery", "network"], "delivery"),
            ("The courier called", vec!["service"], "service"),
        ] {
            known.count(text, Language::English, &mut hits);
            assert_eq!(known.found(&hits).collect::<Vec<_>>(), topics, "{text}");
            assert_eq!(known.most(&hits), most, "{text}");
        }
    }
}
