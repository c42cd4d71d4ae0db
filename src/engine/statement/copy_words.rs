//! Options of COPY that the parser does not know, as one that it does.
//!
//! `ON_ERROR ignore`, `LOG_VERBOSITY verbose`, `HEADER match` and `FORCE_NULL *` become `ENCODING 'mark on_error
//! ignore'`; [`unknown_option`] tells them from encodings.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::is_word;

/// What stands before an option in the name of an encoding.
const MARK: &str = "loyalhouse option ";

/// Options that take one word or a `*`.
const WORD_OPTIONS: [&str; 6] = [
    "force_not_null",
    "force_null",
    "header",
    "log_verbosity",
    "on_error",
    "reject_limit",
];

/// The tokens of a statement without options that the parser does not know.
pub(super) fn spelled_out(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let words: Vec<usize> = (0..tokens.len())
        .filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_) | Token::EOF))
        .collect();
    if !words
        .first()
        .is_some_and(|at| is_word(&tokens[*at], "copy"))
    {
        return tokens;
    }
    // From the end, so that places before stay what they are.
    for pair in words.windows(2).rev() {
        let &[name, value] = pair else { continue };
        let Some((option, text)) = option(&tokens[name], &tokens[value]) else {
            continue;
        };
        let (name_span, span) = (tokens[name].span, tokens[value].span);
        let marked = Token::SingleQuotedString(format!("{MARK}{option} {text}"));
        tokens[value] = TokenWithSpan {
            token: marked,
            span,
        };
        tokens[name] = TokenWithSpan {
            token: Token::make_word("ENCODING", None),
            span: name_span,
        };
    }
    tokens
}

fn option(name: &TokenWithSpan, value: &TokenWithSpan) -> Option<(&'static str, String)> {
    let option = WORD_OPTIONS
        .into_iter()
        .find(|option| is_word(name, option))?;
    let text = match &value.token {
        Token::Mul if option.starts_with("force") => "*".to_owned(),
        Token::Number(text, _) if option == "reject_limit" => text.clone(),
        Token::Word(word) if option == "header" => {
            return word
                .value
                .eq_ignore_ascii_case("match")
                .then(|| (option, "match".to_owned()));
        }
        Token::SingleQuotedString(text) if option == "header" => {
            return (text == "match").then(|| (option, text.clone()));
        }
        Token::Word(word) if !option.starts_with("force") => word.value.to_lowercase(),
        Token::SingleQuotedString(text) if !option.starts_with("force") => text.clone(),
        _ => return None,
    };
    Some((option, text))
}

/// The option and its word that the name of an encoding stands for.
pub fn unknown_option(encoding: &str) -> Option<(&str, &str)> {
    encoding.strip_prefix(MARK)?.split_once(' ')
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::{CopyOption, Statement};

    use super::*;

    #[test]
    fn options_are_told_from_encodings() {
        let sql = "COPY t (a, header) FROM STDIN WITH (FORMAT csv, ON_ERROR  'ignore', HEADER match, \
                   LOG_VERBOSITY verbose, FORCE_NULL *, FORCE_NOT_NULL (a), ENCODING 'utf8', HEADER true)";
        let parsed = super::super::parse(sql).unwrap().remove(0);
        let Some(Statement::Copy { options, .. }) = parsed.statement else {
            panic!("no COPY");
        };
        let found = options.iter().filter_map(|option| match option {
            CopyOption::Encoding(name) => unknown_option(name),
            _ => None,
        });
        let found: Vec<_> = found.collect();
        let wanted = [
            ("on_error", "ignore"),
            ("header", "match"),
            ("log_verbosity", "verbose"),
            ("force_null", "*"),
        ];
        assert_eq!(found, wanted);
        assert_eq!(options.len(), 8);
    }
}
