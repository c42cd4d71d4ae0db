//! Spellings of PostgreSQL that the parser does not read, put into words that it does, token by
//! token and without a change of meaning.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Whitespace, Word};

use crate::error::{Error, Result};

/// What stands before the lower bound of `BETWEEN SYMMETRIC`, joined to it by `||`.
pub const SYMMETRIC: &str = "between symmetric";

/// What `ROWS FROM (…)` is called as.
pub const ROWS_FROM: &str = "rows_from";

/// The column list of `FORCE_QUOTE *`: a bare word, which no name can be.
pub const ALL_COLUMNS: &str = "*";

/// Refuses `EXCLUDE` in a window's frame, which the parser does not know, and letters that follow a number
/// without a space, which it takes for a name.
///
/// # Errors
/// 0A000 and 42601.
pub fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    for token in tokens {
        if let Token::Number(number, _) = &token.token
            && number.contains('_')
        {
            return Err(junk(number));
        }
    }
    for pair in tokens.windows(2) {
        if let [
            TokenWithSpan {
                token: Token::Number(number, _),
                ..
            },
            TokenWithSpan {
                token: Token::Word(word),
                ..
            },
        ] = pair
            && word.quote_style.is_none()
        {
            return Err(junk(&format!("{number}{}", word.value)));
        }
    }
    let words: Vec<&Token> = tokens
        .iter()
        .map(|token| &token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let excludes = words.windows(3).any(|words| {
        ends_frame(keyword(Some(words[0])))
            && is_word(words[1], "exclude")
            && ["current", "group", "ties"]
                .iter()
                .any(|what| is_word(words[2], what))
    });
    match excludes {
        false => Ok(()),
        true => Err(Error::feature_not_supported(
            "EXCLUDE in the frame of a window is not supported",
        )),
    }
}

fn junk(number: &str) -> Error {
    Error::syntax_error(format!(
        "trailing junk after numeric literal at or near \"{number}\""
    ))
}

/// Whether a frame's bound may end with the word.
fn ends_frame(word: Option<Keyword>) -> bool {
    matches!(
        word,
        Some(Keyword::ROW | Keyword::PRECEDING | Keyword::FOLLOWING)
    )
}

/// `'1 day'::interval PRECEDING` as `INTERVAL '1 day' PRECEDING`: the parser reads no cast in a frame.
fn frame_intervals(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let solid: Vec<usize> = (0..tokens.len())
        .filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_)))
        .collect();
    let mut casts = Vec::new();
    for places in solid.windows(4) {
        if let &[text, colons, word, bound] = places
            && matches!(tokens[text].token, Token::SingleQuotedString(_))
            && tokens[colons].token == Token::DoubleColon
            && is_word(&tokens[word].token, "interval")
            && ["preceding", "following"]
                .iter()
                .any(|end| is_word(&tokens[bound].token, end))
        {
            casts.push((text, colons, word));
        }
    }
    for (text, colons, word) in casts {
        let constant = tokens[text].clone();
        tokens[text] = tokens[word].clone();
        for at in [colons, word] {
            tokens[at].token = Token::Whitespace(Whitespace::Space);
        }
        tokens[word].token = constant.token;
    }
    tokens
}

/// Rewrites the tokens of one statement.
pub fn rewrite(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let tokens = frame_intervals(tokens);
    let mut rewriter = Rewriter {
        out: Vec::with_capacity(tokens.len()),
        before: None,
        expected: None,
    };
    for (index, token) in tokens.iter().enumerate() {
        let mut after = tokens
            .get(index + 1..)
            .unwrap_or_default()
            .iter()
            .map(|token| &token.token)
            .filter(|token| !matches!(token, Token::Whitespace(_)));
        let next = after.next();
        rewriter.push(token, next);
    }
    rewriter.out
}

struct Rewriter {
    out: Vec<TokenWithSpan>,
    /// The last token that is no white space.
    before: Option<Token>,
    /// The word that `EXCLUDE NO OTHERS` goes on with.
    expected: Option<&'static str>,
}

/// Whether a COPY's tokens end in `FORCE_QUOTE` or `FORCE QUOTE`.
fn is_force_quote(tokens: &[TokenWithSpan]) -> bool {
    let is_space = |token: &&TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    let mut words = tokens.iter().filter(|token| !is_space(token));
    let starts = words
        .next()
        .is_some_and(|first| is_word(&first.token, "copy"));
    let mut last = words.rev();
    let ends = match last.next() {
        Some(word) if is_word(&word.token, "force_quote") => true,
        Some(word) if is_word(&word.token, "quote") => last
            .next()
            .is_some_and(|word| is_word(&word.token, "force")),
        _ => false,
    };
    starts && ends
}

fn keyword(token: Option<&Token>) -> Option<Keyword> {
    match token {
        Some(Token::Word(word)) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

impl Rewriter {
    fn push(&mut self, token: &TokenWithSpan, next: Option<&Token>) {
        let before = self.before.take();
        let after = keyword(before.as_ref());
        let replaced = match &token.token {
            Token::Word(word) if word.quote_style.is_none() => {
                self.word(token, word, after, before.as_ref(), next)
            }
            Token::SingleQuotedString(_) => self.precise_interval(token),
            Token::Mul if is_force_quote(&self.out) => self.all_columns(token.span),
            Token::Lt if after == Some(Keyword::USING) => self.sort(token.span, "ASC"),
            Token::Gt if after == Some(Keyword::USING) => self.sort(token.span, "DESC"),
            _ => false,
        };
        if !replaced {
            self.out.push(token.clone());
        }
        self.before = match &token.token {
            Token::Whitespace(_) => before,
            other => Some(other.clone()),
        };
    }

    /// `FORCE_QUOTE *`: the parser takes a list of columns only.
    fn all_columns(&mut self, span: Span) -> bool {
        for token in [Token::LParen, name(ALL_COLUMNS, None), Token::RParen] {
            self.out.push(TokenWithSpan::new(token, span));
        }
        true
    }

    /// Whether the word was replaced.
    fn word(
        &mut self,
        token: &TokenWithSpan,
        word: &Word,
        after: Option<Keyword>,
        before: Option<&Token>,
        next: Option<&Token>,
    ) -> bool {
        let span = token.span;
        let names = matches!(next, Some(Token::Word(_)));
        let text = word.value.to_ascii_lowercase();
        let expected = self.expected.take();
        match text.as_str() {
            "table" if names && starts_query(before, after) => {
                self.words(span, &["SELECT"]);
                self.out.push(TokenWithSpan::new(Token::Mul, span));
                self.words(span, &["FROM"]);
            }
            "only" if matches!(after, Some(Keyword::FROM | Keyword::JOIN)) && names => {}
            "isnull" | "notnull" if is_operand_end(before) && next != Some(&Token::LParen) => {
                match text.as_str() {
                    "isnull" => self.words(span, &["IS", "NULL"]),
                    _ => self.words(span, &["IS", "NOT", "NULL"]),
                }
            }
            "symmetric" if after == Some(Keyword::BETWEEN) => {
                self.out
                    .push(TokenWithSpan::new(name(SYMMETRIC, Some('"')), span));
                self.out.push(TokenWithSpan::new(Token::StringConcat, span));
            }
            // What a frame without EXCLUDE does.
            "exclude" if next.is_some_and(|next| is_word(next, "no")) && ends_frame(after) => {
                self.expected = Some("no");
            }
            "no" | "others" if expected == Some(text.as_str()) => {
                self.expected = (text == "no").then_some("others");
            }
            "asymmetric" if after == Some(Keyword::BETWEEN) => {}
            "leading" | "trailing" | "both" if next.is_some_and(|next| is_word(next, "from")) => {
                self.out.push(token.clone());
                let space = Token::SingleQuotedString(" ".to_owned());
                self.space(span);
                self.out.push(TokenWithSpan::new(space, span));
                self.space(span);
            }
            "rows" if next.is_some_and(|next| is_word(next, "from")) => {}
            "from"
                if before.is_some_and(|before| is_word(before, "rows"))
                    && next == Some(&Token::LParen) =>
            {
                self.out
                    .push(TokenWithSpan::new(name(ROWS_FROM, None), span));
            }
            _ => return false,
        }
        true
    }

    /// `ORDER BY x USING <` is `ORDER BY x ASC`.
    fn sort(&mut self, span: Span, direction: &str) -> bool {
        while self
            .out
            .last()
            .is_some_and(|last| matches!(last.token, Token::Whitespace(_)))
        {
            self.out.pop();
        }
        self.out.pop();
        self.words(span, &[direction]);
        true
    }

    /// `INTERVAL(3) '…'`, whose precision the parser would drop, is `CAST('…' AS INTERVAL(3))`.
    fn precise_interval(&mut self, text: &TokenWithSpan) -> bool {
        let solid: Vec<usize> = (0..self.out.len())
            .rev()
            .filter(|at| !matches!(self.out[*at].token, Token::Whitespace(_)))
            .take(4)
            .collect();
        let &[close, digits, open, word] = solid.as_slice() else {
            return false;
        };
        let is_interval = is_word(&self.out[word].token, "interval")
            && self.out[open].token == Token::LParen
            && matches!(self.out[digits].token, Token::Number(..))
            && self.out[close].token == Token::RParen;
        if !is_interval {
            return false;
        }
        let span = text.span;
        let digits = self.out[digits].clone();
        self.out.truncate(word);
        self.words(span, &["CAST"]);
        self.out.push(TokenWithSpan::new(Token::LParen, span));
        self.out.push(text.clone());
        self.words(span, &["AS", "INTERVAL"]);
        self.out.push(TokenWithSpan::new(Token::LParen, span));
        self.out.push(digits);
        self.out.push(TokenWithSpan::new(Token::RParen, span));
        self.out.push(TokenWithSpan::new(Token::RParen, span));
        true
    }

    fn words(&mut self, span: Span, words: &[&str]) {
        for word in words {
            self.space(span);
            self.out
                .push(TokenWithSpan::new(Token::make_keyword(word), span));
            self.space(span);
        }
    }

    fn space(&mut self, span: Span) {
        self.out.push(TokenWithSpan::new(
            Token::Whitespace(Whitespace::Space),
            span,
        ));
    }
}

/// Whether a query may start after this token.
fn starts_query(before: Option<&Token>, after: Option<Keyword>) -> bool {
    match before {
        None | Some(Token::LParen) => true,
        _ => matches!(
            after,
            Some(
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::ALL | Keyword::AS
            )
        ),
    }
}

/// Whether an operand may end with this token, so that a postfix operator may follow.
fn is_operand_end(before: Option<&Token>) -> bool {
    match before {
        Some(Token::Word(word)) => {
            word.quote_style.is_some()
                || matches!(
                    word.keyword,
                    Keyword::NoKeyword
                        | Keyword::END
                        | Keyword::NULL
                        | Keyword::TRUE
                        | Keyword::FALSE
                )
        }
        Some(
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::RParen
            | Token::RBracket
            | Token::Placeholder(_),
        ) => true,
        _ => false,
    }
}

fn name(value: &str, quote_style: Option<char>) -> Token {
    Token::Word(Word {
        value: value.to_owned(),
        quote_style,
        keyword: Keyword::NoKeyword,
    })
}
