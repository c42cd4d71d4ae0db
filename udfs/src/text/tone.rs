//! The tone of a text from -1 to 1, by the rules of VADER (Hutto and Gilbert, ICWSM 2014) over lexicons of our
//! own: the weights of words add up to s, and the tone is s / sqrt(s^2 + 15).

use super::lexicon::Lexicon;
use super::tokens::{Token, tokens};

/// What a negator makes of a word.
const NEGATED: f64 = -0.74;
/// Words behind a negator or an intensifier that it reaches.
const REACH_WORDS: usize = 3;
/// What an intensifier adds to the next word, to the one after it, and so on.
const EMPHASIS: [f64; REACH_WORDS] = [0.293, 0.278, 0.264];
/// What an exclamation mark adds, up to four of them.
const EXCLAMATION: f64 = 0.292;
const EXCLAMATIONS_MAX: usize = 4;
/// What counts before and behind the last word that turns a text.
const BEFORE_TURN: f64 = 0.5;
const BEHIND_TURN: f64 = 1.5;
/// Makes sums of single words come out around one half.
const SCALE: f64 = 15.0;

/// From which tone on a text is positive; from its negative on it is negative.
pub(crate) const LABEL_MIN: f64 = 0.05;

/// The tone of a text; 0 for one without a known word.
pub(crate) fn tone(text: &str, lexicon: &Lexicon) -> f64 {
    let tokens = tokens(text);
    let words: Vec<Option<&str>> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Word(word) => Some(Some(word.as_str())),
            Token::Smile(_) => Some(None),
            Token::Exclamation | Token::Question => None,
        })
        .collect();
    let smiles = tokens.iter().filter_map(|token| match token {
        Token::Smile(weight) => Some(*weight),
        _ => None,
    });
    let mut smiles = smiles.collect::<Vec<_>>().into_iter();
    let turn = words
        .iter()
        .rposition(|word| word.is_some_and(|word| lexicon.is_turn(word)));
    let mut sum = 0.0;
    for (at, word) in words.iter().enumerate() {
        let weight = match word {
            Some(word) => weight(lexicon, &words[..at], word),
            None => smiles.next().unwrap_or(0.0),
        };
        let share = match turn {
            Some(turn) if at < turn => BEFORE_TURN,
            Some(_) => BEHIND_TURN,
            None => 1.0,
        };
        sum += weight * share;
    }
    let marks = tokens.iter().filter(|token| **token == Token::Exclamation);
    let marks = marks.take(EXCLAMATIONS_MAX).count();
    if sum != 0.0 {
        #[expect(clippy::cast_precision_loss, reason = "four at most")]
        let added = marks as f64 * EXCLAMATION;
        sum += added * sum.signum();
    }
    sum / (sum * sum + SCALE).sqrt()
}

/// The weight of a word behind those `before` it.
fn weight(lexicon: &Lexicon, before: &[Option<&str>], word: &str) -> f64 {
    let Some(mut weight) = lexicon.weight(word).filter(|weight| *weight != 0.0) else {
        return 0.0;
    };
    let sign = weight.signum();
    let mut negated = false;
    for (distance, word) in before.iter().rev().take(REACH_WORDS).enumerate() {
        let Some(word) = word else { continue };
        weight += sign * lexicon.emphasis(word) * EMPHASIS[distance];
        negated |= lexicon.is_negator(word);
    }
    if negated { weight * NEGATED } else { weight }
}

/// -1, 0 or 1: negative, neutral, positive.
pub(crate) fn sign(tone: f64) -> i8 {
    i8::from(tone >= LABEL_MIN) - i8::from(tone <= -LABEL_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::language::Language;

    #[track_caller]
    fn check(language: Language, expected: i8, texts: &[&str]) {
        let lexicon = Lexicon::of(language);
        for text in texts {
            let tone = tone(text, &lexicon);
            assert_eq!(sign(tone), expected, "{text}: {tone}");
        }
    }

    #[test]
    fn english() {
        let language = Language::English;
        check(
            language,
            1,
            &[
                "Great lamp, fast delivery!",
                "I love it",
                "Not bad at all",
                "Works as expected, very happy :)",
                "The courier was late, but the chair is wonderful",
            ],
        );
        check(
            language,
            -1,
            &[
                "Broken on arrival.",
                "Not good",
                "The staff was rude and unhelpful",
                "I don't like it",
                "Waste of money!!!",
                "Nice colour, but it broke after two days",
            ],
        );
        check(
            language,
            0,
            &["It is a lamp.", "", "Goods arrived on Monday", "12345"],
        );
    }

    #[test]
    fn russian() {
        let language = Language::Russian;
        check(
            language,
            1,
            &[
                "Отличный магазин, быстрая доставка",
                "Очень доволен покупкой",
                "Неплохой ресторан, рекомендую",
                "Спасибо))",
            ],
        );
        check(
            language,
            -1,
            &[
                "Ужасное обслуживание",
                "Не понравилось",
                "Хороший телефон, но сломался через день, ужасно",
                "Не рекомендую",
            ],
        );
        check(language, 0, &["Заказал лампу в понедельник"]);
    }

    #[test]
    fn ukrainian() {
        let language = Language::Ukrainian;
        check(
            language,
            1,
            &[
                "Чудовий сервіс, дякую!",
                "Дуже задоволена",
                "Швидка доставка, рекомендую",
            ],
        );
        check(
            language,
            -1,
            &["Жахливий сервіс", "Не сподобалось", "Не рекомендую"],
        );
        check(language, 0, &["Замовив лампу"]);
    }

    #[test]
    fn words_around_change_the_strength() {
        let lexicon = Lexicon::of(Language::English);
        let of = |text| tone(text, &lexicon);
        assert!(of("very good") > of("good") && of("good") > of("slightly good"));
        assert!(of("good!!!") > of("good!") && of("good!") > of("good"));
        assert_eq!(of("good!!!!"), of("good!!!!!!!!"));
        assert!(of("not good") < 0.0 && of("not good") > of("terrible"));
        assert_eq!(of("GOOD"), of("good"));
    }
}
