//! The language of a text by its letters: English, Russian or Ukrainian.
//!
//! Letters that one of the two Cyrillic languages alone has decide between them; a Cyrillic text without any
//! counts as Russian. Most letters being Latin make a text English.

use datafusion_common::Result;

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
        } else if ukrainian > russian {
            Some(Self::Ukrainian)
        } else {
            Some(Self::Russian)
        }
    }
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
            ("Купил iPhone, доволен", Some(Language::Russian)),
            ("iPhone 15 Pro — ок", Some(Language::English)),
            ("10/10 :)", None),
            ("", None),
        ] {
            assert_eq!(Language::of(text), language, "{text}");
        }
    }
}
