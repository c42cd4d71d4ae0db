//! The language of a text by its letters: English, Russian or Ukrainian.
//!
//! Letters that one of the two Cyrillic languages alone has decide between them. Where as many speak for one as for
//! the other, words and spellings that Russian does not have make a text Ukrainian, and all else counts as Russian.
//! Most letters being Latin make a text English.

use datafusion_common::Result;

use super::tokens::{Token, tokens};
use crate::arguments::invalid_call;

/// A language that there are lexicons of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Language {
    English,
    Russian,
    Ukrainian,
}

impl Language {
    /// Its ISO 639-1 code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Russian => "ru",
            Self::Ukrainian => "uk",
        }
    }

    /// All of them, each at the place of its number.
    pub(crate) const ALL: [Self; 3] = [Self::English, Self::Russian, Self::Ukrainian];

    /// The language of a code, in any case of letters.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        let mut known = Self::ALL.into_iter();
        known.find(|language| language.code().eq_ignore_ascii_case(code.trim()))
    }

    /// The same for the argument of a function.
    pub(crate) fn named(function: &str, code: &str) -> Result<Self> {
        Self::of_code(code).ok_or_else(|| {
            invalid_call(
                function,
                format!("lang \"{code}\" is not known; write 'en', 'ru' or 'uk', or leave it out"),
            )
        })
    }

    /// The language of a text; none if it has no letters of the two alphabets.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let (mut latin, mut cyrillic, mut ukrainian, mut russian) = (0_u32, 0_u32, 0_u32, 0_u32);
        for letter in text.chars() {
            match letter {
                'a'..='z' | 'A'..='Z' => latin += 1,
                '\u{0400}'..='\u{04ff}' => {
                    cyrillic += 1;
                    match letter {
                        'і' | 'ї' | 'є' | 'ґ' | 'І' | 'Ї' | 'Є' | 'Ґ' => ukrainian += 1,
                        'ы' | 'э' | 'ъ' | 'ё' | 'Ы' | 'Э' | 'Ъ' | 'Ё' => russian += 1,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        if latin == 0 && cyrillic == 0 {
            None
        } else if latin > cyrillic {
            Some(Self::English)
        } else if ukrainian > russian || ukrainian == russian && has_ukrainian_word(text) {
            Some(Self::Ukrainian)
        } else {
            Some(Self::Russian)
        }
    }
}

/// Common Ukrainian words whose letters do not tell and that Russian does not have, or hardly uses.
const WORDS: &[&str] = &[
    "аби",
    "або",
    "але",
    "бо",
    "буде",
    "були",
    "було",
    "бути",
    "вдячна",
    "вдячний",
    "вже",
    "вона",
    "воно",
    "вчора",
    "гарна",
    "гарне",
    "гарний",
    "гарно",
    "дещо",
    "дуже",
    "дякую",
    "жахливий",
    "жахливо",
    "завжди",
    "задоволена",
    "задоволений",
    "занадто",
    "зараз",
    "звичайно",
    "зручна",
    "зручний",
    "зручно",
    "його",
    "йому",
    "краще",
    "кращий",
    "лише",
    "мабуть",
    "може",
    "можна",
    "надто",
    "найкраща",
    "найкращий",
    "нема",
    "новий",
    "поганий",
    "погано",
    "проте",
    "смачна",
    "смачний",
    "старий",
    "також",
    "теж",
    "треба",
    "трохи",
    "хоча",
    "хтось",
    "це",
    "цей",
    "чи",
    "чому",
    "чудова",
    "чудовий",
    "чудово",
    "швидка",
    "швидкий",
    "швидко",
    "ще",
    "що",
    "щоб",
    "щось",
    "як",
    "яка",
    "яке",
    "який",
    "якщо",
];
/// What words begin with: the prefixes роз- and без-, which Russian writes рас- and бес- before these letters, and stems.
const BEFORE_VOICELESS: &[&str] = &["роз", "без"];
const VOICELESS: &[char] = &['п', 'с', 'к', 'т', 'ф', 'х', 'ц', 'ч', 'ш', 'щ'];
const BEGINNINGS: &[&str] = &["замов", "отрима", "сподоба", "якост", "незадовол"];
/// Spellings that Russian does not have anywhere in a word,
const WITHIN: &[&str] = &["ськ", "цьк", "зьк", "ця", "ць", "йшов", "йшл"];
/// and at the end of one.
const ENDINGS: &[&str] = &[
    "ння",
    "ття",
    "лля",
    "ддя",
    "ззя",
    "увати",
    "ювати",
    "ував",
    "ював",
];
/// The same of words of so many letters; shorter ones are Russian names too.
const LONG_ENDINGS: &[&str] = &["вся", "лася", "лося", "лися"];
const LONG_CHARS_MIN: usize = 6;

fn has_ukrainian_word(text: &str) -> bool {
    let mut tokens = tokens(text).into_iter();
    tokens.any(|token| matches!(token, Token::Word(word) if is_ukrainian(&word)))
}

/// Whether a word in lower case cannot be a Russian one.
fn is_ukrainian(word: &str) -> bool {
    let begins = |with: &&str| word.starts_with(with);
    let ends = |with: &&str| word.ends_with(with);
    let voiceless = |prefix: &&str| {
        word.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with(VOICELESS))
    };
    let apart = |vowel: char| word.contains(['\'', vowel].iter().collect::<String>().as_str());
    WORDS.contains(&word)
        || BEGINNINGS.iter().any(begins)
        || BEFORE_VOICELESS.iter().any(voiceless)
        || WITHIN.iter().any(|part| word.contains(part))
        || ENDINGS.iter().any(ends)
        || word.chars().count() >= LONG_CHARS_MIN && LONG_ENDINGS.iter().any(ends)
        || ['я', 'ю'].into_iter().any(apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_decide() {
        for (text, language) in [
            ("Very good!", Some(Language::English)),
            ("Очень быстрый сервис", Some(Language::Russian)),
            ("Дуже швидкий сервіс", Some(Language::Ukrainian)),
            ("хорошо", Some(Language::Russian)),
            ("Дуже смачно!", Some(Language::Ukrainian)),
            ("Товар зламався", Some(Language::Ukrainian)),
            ("Замовлення безкоштовне", Some(Language::Ukrainian)),
            ("Здоров'я", Some(Language::Ukrainian)),
            ("Вся кухня моя", Some(Language::Russian)),
            ("Плохая з/п, столько вони", Some(Language::Russian)),
            ("Доставка в Цюрих", Some(Language::Russian)),
            ("Доставка утром, спасибо", Some(Language::Russian)),
            ("Купил iPhone, доволен", Some(Language::Russian)),
            ("iPhone 15 Pro — ок", Some(Language::English)),
            ("10/10 :)", None),
            ("", None),
        ] {
            assert_eq!(Language::of(text), language, "{text}");
        }
    }
}
