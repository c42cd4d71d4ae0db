//! Splits a text into words, marks and smileys.

/// A part of a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// Letters in lower case, with ё as е; an apostrophe within belongs to them.
    Word(String),
    /// A smiley, an emoji or a run of brackets, with its weight.
    Smile(f64),
    /// One exclamation mark.
    Exclamation,
    /// One question mark.
    Question,
}

/// Letters of a word that are kept: longer runs are no words.
pub(crate) const WORD_CHARS_MAX: usize = 64;
/// Weight of a smile, of which a sad one has the negative.
const SMILE: f64 = 2.0;
const GLAD: &str = "😀😃😄😁😆😊🙂😍🥰😘😻👍👏🙌💪🎉✨🔥❤💖💯😇🤗🤩😋😎";
const SAD: &str = "😞😟😠😡🤬😢😭😤😩😫🙁☹😒😖😣👎💔🤮🤢😱😕";

/// The parts of a text, in their order.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        if letter.is_alphabetic() {
            let mut word = String::new();
            let mut next = Some(letter);
            let mut taken = 0;
            while let Some(letter) = next {
                if taken < WORD_CHARS_MAX {
                    push_lower(&mut word, letter);
                }
                taken += 1;
                before = letter;
                next = letters.next_if(|next| next.is_alphabetic() || is_apostrophe(*next));
            }
            found.push(Token::Word(word.trim_end_matches('\'').to_owned()));
            continue;
        }
        match letter {
            '!' => found.push(Token::Exclamation),
            '?' => found.push(Token::Question),
            // A closing bracket after letters may end a remark: two make a smile, one does behind : or ;.
            ')' | '(' => {
                let mut run = 1;
                while letters.next_if_eq(&letter).is_some() {
                    run += 1;
                }
                let has_eyes = matches!(before, ':' | ';' | '=' | '-');
                if has_eyes || run > 1 {
                    let weight = if letter == ')' { SMILE } else { -SMILE };
                    found.push(Token::Smile(weight));
                }
            }
            'D' if before == ':' => found.push(Token::Smile(SMILE)),
            _ if GLAD.contains(letter) => found.push(Token::Smile(SMILE)),
            _ if SAD.contains(letter) => found.push(Token::Smile(-SMILE)),
            _ => {}
        }
        before = letter;
    }
    found
}

pub(crate) fn is_apostrophe(letter: char) -> bool {
    matches!(letter, '\'' | '’' | 'ʼ')
}

fn push_lower(word: &mut String, letter: char) {
    if is_apostrophe(letter) {
        word.push('\'');
        return;
    }
    for letter in letter.to_lowercase() {
        word.push(if letter == 'ё' { 'е' } else { letter });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_marks_and_smileys() {
        let word = |text: &str| Token::Word(text.to_owned());
        assert_eq!(
            tokens("Don’t buy! Всё плохо (очень) :( ))) 👍?"),
            [
                word("don't"),
                word("buy"),
                Token::Exclamation,
                word("все"),
                word("плохо"),
                word("очень"),
                Token::Smile(-SMILE),
                Token::Smile(SMILE),
                Token::Smile(SMILE),
                Token::Question,
            ]
        );
        assert!(tokens("").is_empty());
        assert!(tokens("123 — …").is_empty());
    }

    #[test]
    fn a_run_of_letters_without_end_is_cut() {
        let found = tokens(&"а".repeat(1_000_000));
        assert_eq!(found, [Token::Word("а".repeat(WORD_CHARS_MAX))]);
    }
}
