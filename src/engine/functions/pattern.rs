//! PostgreSQL's advanced regular expressions, translated to the syntax of the regex crate.
//!
//! What that crate cannot do (back-references, looking ahead and behind) is an error. PostgreSQL
//! prefers the longest match where alternatives differ, the crate the first: patterns with an
//! alternation are searched a second time for the longest end.

use std::collections::HashMap;
use std::fmt::Write;
use std::iter::Peekable;
use std::rc::Rc;
use std::str::Chars;

use datafusion::error::Result;
use regex::{Captures, Regex, RegexBuilder};

use crate::error::Error;
use crate::sqlstate::SqlState;

/// Compiled patterns kept for the rows of one batch.
const PATTERNS_MAX: usize = 64;

/// How much longer than the first match the longest one is looked for, in bytes.
const LONGER_BYTES_MAX: usize = 1024;

/// Memory that one compiled pattern may take, in bytes.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// Options of a regular expression.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Flags {
    /// `g`
    pub(super) global: bool,
    /// `i`
    pub(super) insensitive: bool,
    /// `n`, `m`, `p`: the dot does not match a newline.
    dot_stops: bool,
    /// `n`, `m`, `w`: `^` and `$` match at newlines.
    multi_line: bool,
    /// `x`
    extended: bool,
    /// `q`
    literal: bool,
}

impl Flags {
    /// `~*`
    pub(super) fn insensitive() -> Self {
        Self {
            insensitive: true,
            ..Self::default()
        }
    }

    /// The flags of an argument; `global` tells whether the function takes `g`.
    pub(super) fn parse(text: &str, global: Option<&str>) -> Result<Self> {
        let mut flags = Self::default();
        for letter in text.chars() {
            match letter {
                'g' => match global {
                    None => flags.global = true,
                    Some(function) => {
                        return Err(Error::invalid_parameter_value(format!(
                            "{function}() does not support the \"global\" option"
                        ))
                        .into());
                    }
                },
                other => flags.set(other)?,
            }
        }
        Ok(flags)
    }

    fn set(&mut self, letter: char) -> Result<()> {
        match letter {
            'a' | 'e' => {}
            'c' => self.insensitive = false,
            'i' => self.insensitive = true,
            'n' | 'm' => (self.dot_stops, self.multi_line) = (true, true),
            'p' => (self.dot_stops, self.multi_line) = (true, false),
            'w' => (self.dot_stops, self.multi_line) = (false, true),
            's' => (self.dot_stops, self.multi_line) = (false, false),
            't' => self.extended = false,
            'x' => self.extended = true,
            'q' => self.literal = true,
            'b' => return unsupported("basic regular expressions"),
            other => {
                return Err(Error::invalid_parameter_value(format!(
                    "invalid regular expression option: \"{other}\""
                ))
                .into());
            }
        }
        Ok(())
    }
}

/// A compiled regular expression.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// The same, only matching up to the end of the text; where alternatives may differ in length.
    longest: Option<Regex>,
}

impl Pattern {
    /// Compiles a pattern; 2201B if it is none.
    pub(super) fn compile(text: &str, flags: Flags) -> Result<Self> {
        let (translated, flags) = Translator::new(text, flags)?.translate()?;
        let compile = |text: &str| {
            RegexBuilder::new(text)
                .case_insensitive(flags.insensitive)
                .dot_matches_new_line(!flags.dot_stops)
                .multi_line(flags.multi_line)
                .ignore_whitespace(flags.extended)
                .size_limit(COMPILED_BYTES_MAX)
                .build()
        };
        let regex = compile(&translated).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                Error::program_limit_exceeded("regular expression is too complex")
            }
            error => invalid(last_line(&error.to_string())),
        })?;
        let ambiguous = translated.contains('|') && !translated.contains('?');
        let longest = match ambiguous {
            true => compile(&format!(r"(?:{translated})\z")).ok(),
            false => None,
        };
        Ok(Self { regex, longest })
    }

    /// Whether the pattern matches anywhere.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// How many groups in parentheses there are.
    pub(super) fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// The first match that starts at byte `from` or later.
    pub(super) fn captures_at<'t>(&self, text: &'t str, from: usize) -> Option<Captures<'t>> {
        let first = self.regex.captures_at(text, from)?;
        let (Some(longest), Some(found)) = (&self.longest, first.get(0)) else {
            return Some(first);
        };
        // The longest match of the same start: the text is cut shorter until it ends there.
        let mut end = text.len().min(found.end() + LONGER_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        while end > found.end() {
            let head = text.get(..end)?;
            match longest.captures_at(head, found.start()) {
                Some(longer)
                    if longer
                        .get(0)
                        .is_some_and(|all| all.start() == found.start()) =>
                {
                    return Some(longer);
                }
                _ => {
                    end = head.char_indices().next_back().map_or(0, |(at, _)| at);
                }
            }
        }
        Some(first)
    }

    /// All matches, one after the other, from byte `from` on.
    pub(super) fn all<'t>(
        &'t self,
        text: &'t str,
        from: usize,
    ) -> impl Iterator<Item = Captures<'t>> {
        let mut next = Some(from);
        std::iter::from_fn(move || {
            let captures = self.captures_at(text, next?)?;
            let all = captures.get(0)?;
            next = match all.is_empty() {
                false => Some(all.end()),
                true => text
                    .get(all.end()..)
                    .and_then(|rest| rest.chars().next())
                    .map(|skipped| all.end() + skipped.len_utf8()),
            };
            Some(captures)
        })
    }
}

fn last_line(text: &str) -> &str {
    text.lines()
        .last()
        .unwrap_or(text)
        .trim_start_matches("error: ")
}

fn invalid(reason: &str) -> Error {
    Error::new(
        SqlState::InvalidRegularExpression,
        format!("invalid regular expression: {reason}"),
    )
}

fn unsupported<T>(what: &str) -> Result<T> {
    Err(Error::feature_not_supported(format!("{what} are not supported")).into())
}

/// Patterns compiled for one batch.
#[derive(Debug, Default)]
pub(super) struct Patterns(HashMap<(String, Flags), Rc<Pattern>>);

impl Patterns {
    /// The pattern, compiled once.
    pub(super) fn get(&mut self, text: &str, flags: Flags) -> Result<Rc<Pattern>> {
        let key = (text.to_owned(), flags);
        if let Some(known) = self.0.get(&key) {
            return Ok(Rc::clone(known));
        }
        let pattern = Rc::new(Pattern::compile(text, flags)?);
        if self.0.len() >= PATTERNS_MAX {
            self.0.clear();
        }
        self.0.insert(key, Rc::clone(&pattern));
        Ok(pattern)
    }
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    flags: Flags,
    out: String,
}

impl<'a> Translator<'a> {
    /// Reads the director (`***=`, `***:`) and the embedded options at the start.
    fn new(text: &'a str, mut flags: Flags) -> Result<Self> {
        let mut text = text;
        if let Some(rest) = text.strip_prefix("***=") {
            (text, flags.literal) = (rest, true);
        } else if let Some(rest) = text.strip_prefix("***:") {
            text = rest;
        }
        if !flags.literal
            && let Some((letters, rest)) = text
                .strip_prefix("(?")
                .and_then(|rest| rest.split_once(')'))
            && !letters.is_empty()
            && letters.chars().all(|letter| letter.is_ascii_lowercase())
        {
            for letter in letters.chars() {
                flags.set(letter)?;
            }
            text = rest;
        }
        Ok(Self {
            rest: text.chars().peekable(),
            flags,
            out: String::with_capacity(text.len() + 8),
        })
    }

    fn translate(mut self) -> Result<(String, Flags)> {
        if self.flags.literal {
            let text: String = self.rest.collect();
            self.flags.extended = false;
            return Ok((regex::escape(&text), self.flags));
        }
        while let Some(letter) = self.rest.next() {
            match letter {
                '\\' => self.escape(false)?,
                '[' => self.bracket()?,
                '(' if self.rest.peek() == Some(&'?') => self.group()?,
                other => self.out.push(other),
            }
        }
        Ok((self.out, self.flags))
    }

    fn group(&mut self) -> Result<()> {
        self.rest.next();
        match self.rest.next() {
            Some(':') => self.out.push_str("(?:"),
            Some('=' | '!') => return unsupported("look-ahead constraints"),
            Some('<') => return unsupported("look-behind constraints"),
            Some('#') => while self.rest.next().is_some_and(|letter| letter != ')') {},
            _ => return Err(invalid("quantifier operand invalid").into()),
        }
        Ok(())
    }

    fn escape(&mut self, in_bracket: bool) -> Result<()> {
        let Some(letter) = self.rest.next() else {
            return Err(invalid("invalid escape \\ sequence").into());
        };
        match letter {
            'm' if !in_bracket => self.out.push_str(r"\b{start}"),
            'M' if !in_bracket => self.out.push_str(r"\b{end}"),
            'y' if !in_bracket => self.out.push_str(r"\b"),
            'Y' if !in_bracket => self.out.push_str(r"\B"),
            'A' if !in_bracket => self.out.push_str(r"\A"),
            'Z' if !in_bracket => self.out.push_str(r"\z"),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'n' | 'r' | 't' | 'f' | 'v' | 'a' => {
                self.out.push('\\');
                self.out.push(letter);
            }
            'b' => self.out.push_str(r"\x08"),
            'e' => self.out.push_str(r"\x1B"),
            'B' => self.out.push_str(r"\\"),
            '0' => self.out.push_str(r"\x00"),
            'x' | 'u' | 'U' => self.code_point(letter)?,
            '1'..='9' => return unsupported("back-references in regular expressions"),
            other if other.is_ascii_alphanumeric() => {
                return Err(invalid("invalid escape \\ sequence").into());
            }
            other => self.literal(other),
        }
        Ok(())
    }

    fn literal(&mut self, letter: char) {
        if letter.is_ascii_punctuation() || letter.is_ascii_whitespace() {
            self.out.push('\\');
        }
        self.out.push(letter);
    }

    fn code_point(&mut self, letter: char) -> Result<()> {
        let most = match letter {
            'u' => 4,
            'U' => 8,
            _ => usize::MAX,
        };
        let mut digits = String::new();
        while digits.len() < most
            && let Some(digit) = self.rest.next_if(char::is_ascii_hexdigit)
        {
            digits.push(digit);
        }
        let code = u32::from_str_radix(&digits, 16)
            .ok()
            .and_then(char::from_u32);
        match code {
            Some(code) => {
                let _infallible = write!(self.out, r"\x{{{:x}}}", u32::from(code));
                Ok(())
            }
            None => Err(invalid("invalid escape \\ sequence").into()),
        }
    }

    fn bracket(&mut self) -> Result<()> {
        let text: String = self.rest.clone().take(6).collect();
        for (word, boundary) in [("[:<:]]", r"\b{start}"), ("[:>:]]", r"\b{end}")] {
            if text == word {
                self.out.push_str(boundary);
                self.rest.by_ref().take(word.len()).for_each(drop);
                return Ok(());
            }
        }
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
            if self.flags.dot_stops {
                self.out.push_str(r"\n");
            }
        }
        if self.rest.next_if_eq(&']').is_some() {
            self.out.push_str(r"\]");
        }
        loop {
            match self.rest.next() {
                None => return Err(invalid("brackets [] not balanced").into()),
                Some(']') => break,
                Some('[') => self.class_in_bracket()?,
                Some('\\') => self.escape(true)?,
                // A range or a hyphen at either end; the crate reads `--` and `&&` as operators.
                Some('-') if matches!(self.rest.peek(), Some(']' | '-')) => {
                    self.out.push_str(r"\-");
                }
                Some(letter @ ('&' | '~' | '#' | ' ' | '"' | '\'')) => {
                    if letter.is_ascii_punctuation() || self.flags.extended {
                        self.out.push('\\');
                    }
                    self.out.push(letter);
                }
                Some(letter) => self.out.push(letter),
            }
        }
        self.out.push(']');
        Ok(())
    }

    fn class_in_bracket(&mut self) -> Result<()> {
        let Some(kind) = self.rest.next_if(|next| matches!(next, ':' | '.' | '=')) else {
            self.out.push_str(r"\[");
            return Ok(());
        };
        let mut name = String::new();
        while let Some(letter) = self.rest.next_if(|letter| *letter != kind) {
            name.push(letter);
        }
        self.rest.next();
        if self.rest.next() != Some(']') {
            return Err(invalid("brackets [] not balanced").into());
        }
        let class = match (kind, name.as_str()) {
            (':', "alpha") => r"\p{Alphabetic}",
            (':', "alnum") => r"\p{Alphabetic}\p{Nd}",
            (':', "digit") => r"\d",
            (':', "upper") => r"\p{Uppercase}",
            (':', "lower") => r"\p{Lowercase}",
            (':', "space") => r"\s",
            (':', "word") => r"\w",
            (':', "blank") => r"\t\x20",
            (':', "punct") => r"[:punct:]",
            (':', "cntrl") => r"\p{Cc}",
            (':', "xdigit") => r"[:xdigit:]",
            (':', "graph") => r"[:graph:]",
            (':', "print") => r"[:print:]",
            (':', "ascii") => r"[:ascii:]",
            (':', _) => return Err(invalid("invalid character class").into()),
            (_, name) => {
                let mut letters = name.chars();
                return match (letters.next(), letters.next()) {
                    (Some(letter), None) => {
                        self.literal(letter);
                        Ok(())
                    }
                    _ => unsupported("names of collating elements"),
                };
            }
        };
        self.out.push_str(class);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let compiled = Pattern::compile(pattern, Flags::default());
        compiled.unwrap().is_match(text)
    }

    #[test]
    fn postgresqls_syntax_is_understood() {
        assert!(matches(r"\mbar\M", "foo bar"));
        assert!(!matches(r"\ybar", "foobar"));
        assert!(matches(r"^[[:alnum:]]*$", "a1"));
        assert!(matches("a.b", "a\nb"));
        assert!(!matches("^b", "a\nb"));
        assert!(matches("(?n)^b", "a\nb"));
        assert!(matches("[]a]", "]"));
        assert!(matches("[a&&b]", "&"));
        assert!(matches("(?i)B", "abc"));
        assert!(matches("***=a.b", "xa.b"));
        assert!(!matches("***=a.b", "acb"));
        assert!(matches(r"[[:<:]]b", "a b"));
        assert!(matches(r"\u0041", "A"));
    }

    #[test]
    fn what_the_crate_cannot_do_is_an_error() {
        for pattern in [r"(a)\1", "a(?=b)", "(?<!a)b", "["] {
            assert!(
                Pattern::compile(pattern, Flags::default()).is_err(),
                "{pattern}"
            );
        }
    }

    #[test]
    fn the_longest_alternative_wins() {
        let pattern = Pattern::compile("foo|foobar", Flags::default()).unwrap();
        let found = pattern.captures_at("a foobar", 0).unwrap();
        assert_eq!(&found[0], "foobar");
    }
}
