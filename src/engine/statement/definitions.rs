//! Parts of CREATE TABLE and ALTER TABLE that the parser does not know, in words that it does.
//!
//! | written | read as |
//! |---|---|
//! | `ALTER TABLE t SET SCHEMA s` | `ALTER TABLE t RENAME TO "mark".s` |
//! | `CREATE TABLE t AS query WITH NO DATA` | `… AS SELECT * FROM (query) AS "mark" LIMIT 0` |
//! | `CREATE TABLE t (a, b) AS …` | `CREATE TABLE t (a text, b text) AS …` |
//! | `CREATE TABLE t (LIKE o INCLUDING x)` | `CREATE TABLE t ("mark including x" text REFERENCES o)` |
//!
//! No name of a client is a mark: they are longer than names may be.

use std::ops::Range;

use datafusion::sql::sqlparser::ast::{Query, SetExpr, TableFactor};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use super::is_word;

/// The schema of a name that is a schema to move to.
pub const SCHEMA_MARK: &str = "loyalhouse: the name behind this one is that of a schema to move to";
/// The name of a query of which only the columns are wanted.
pub const NO_DATA_MARK: &str =
    "loyalhouse: of this query a table takes its columns but no rows of it";
/// What stands before the options of LIKE in the name of a column that stands for it.
pub const LIKE_MARK: &str =
    "loyalhouse: this column stands for those of another table, and with them ";

/// The tokens of a statement without what the parser does not know.
pub(super) fn spelled_out(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let words: Vec<usize> = (0..tokens.len())
        .filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_) | Token::EOF))
        .collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|at| is_word(&tokens[*at], word));
    if is(0, "alter") && (is(1, "table") || is(1, "view")) {
        return with_ordered_options(moved(tokens, &words));
    }
    if !is(0, "create") || is(1, "or") {
        return tokens;
    }
    let kinds = ["temp", "temporary", "unlogged", "local", "global"];
    let mut at = 1;
    while kinds.iter().any(|kind| is(at, kind)) {
        at += 1;
    }
    match is(at, "table") {
        true => with_ordered_options(created(tokens, &words)),
        false => tokens,
    }
}

/// The options of LIKE, of a column that stands for it.
pub fn like_options(column: &str) -> Option<&str> {
    column.strip_prefix(LIKE_MARK)
}

/// Whether a query gives columns alone.
pub fn is_without_data(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return false;
    };
    select.from.iter().any(|table| {
        matches!(&table.relation, TableFactor::Derived { alias: Some(alias), .. }
            if alias.name.value == NO_DATA_MARK)
    })
}

fn moved(mut tokens: Vec<TokenWithSpan>, words: &[usize]) -> Vec<TokenWithSpan> {
    let mut pairs = words.windows(2);
    let found =
        pairs.find(|pair| is_word(&tokens[pair[0]], "set") && is_word(&tokens[pair[1]], "schema"));
    if let Some(&[set, schema]) = found {
        let word = |text: &str| Token::make_word(text, None);
        let mark = Token::make_word(SCHEMA_MARK, Some('"'));
        put(
            &mut tokens,
            schema..schema + 1,
            vec![word("TO"), mark, Token::Period],
        );
        put(&mut tokens, set..set + 1, vec![word("RENAME")]);
    }
    tokens
}

fn created(mut tokens: Vec<TokenWithSpan>, words: &[usize]) -> Vec<TokenWithSpan> {
    let mut depth = 0_usize;
    let mut list = None;
    let mut body = None;
    for at in words {
        match &tokens[*at].token {
            Token::LParen => {
                depth += 1;
                if depth == 1 && list.is_none() {
                    list = Some(*at..tokens.len());
                }
            }
            Token::RParen => {
                depth = depth.saturating_sub(1);
                if let Some(list) = &mut list
                    && depth == 0
                    && list.end == tokens.len()
                {
                    list.end = *at;
                }
            }
            _ if depth == 0 && is_word(&tokens[*at], "as") => {
                body = Some(*at);
                break;
            }
            _ => {}
        }
    }
    // From the end, so that places before stay what they are.
    if let Some(body) = body {
        data(&mut tokens, words, body);
    }
    if let Some(list) = list {
        let items = items(&tokens, list);
        for item in items.into_iter().rev() {
            column(&mut tokens, item, body.is_some());
        }
    }
    tokens
}

/// Takes `WITH [NO] DATA` off the end.
fn data(tokens: &mut Vec<TokenWithSpan>, words: &[usize], body: usize) {
    let last = |back: usize, word: &str| {
        let at = words.len().checked_sub(back).and_then(|at| words.get(at));
        at.copied().filter(|at| is_word(&tokens[*at], word))
    };
    if last(1, "data").is_none() {
        return;
    }
    if let Some(with) = last(2, "with") {
        tokens.truncate(with);
    } else if let (Some(with), Some(_)) = (last(3, "with"), last(2, "no")) {
        tokens.truncate(with);
        let word = |text: &str| Token::make_word(text, None);
        let end = tokens.len();
        let mark = Token::make_word(NO_DATA_MARK, Some('"'));
        let zero = Token::Number("0".to_owned(), false);
        let after = vec![Token::RParen, word("AS"), mark, word("LIMIT"), zero];
        put(tokens, end..end, after);
        let before = vec![word("SELECT"), Token::Mul, word("FROM"), Token::LParen];
        put(tokens, body + 1..body + 1, before);
    }
}

/// The items of a list in parentheses.
fn items(tokens: &[TokenWithSpan], list: Range<usize>) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut depth = 0_usize;
    let mut start = list.start + 1;
    let inside = tokens.iter().enumerate().take(list.end).skip(start);
    for (at, token) in inside {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Comma if depth == 0 => {
                items.push(start..at);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(start..list.end);
    items
}

fn column(tokens: &mut Vec<TokenWithSpan>, item: Range<usize>, is_of_query: bool) {
    let words: Vec<usize> = item
        .clone()
        .filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_)))
        .collect();
    let word = |text: &str| Token::make_word(text, None);
    match words.as_slice() {
        [only] if is_of_query => put(tokens, only + 1..only + 1, vec![word("text")]),
        [first, name @ ..] if is_word(&tokens[*first], "like") && !name.is_empty() => {
            let is_option = |at: &&usize| {
                is_word(&tokens[**at], "including") || is_word(&tokens[**at], "excluding")
            };
            let end = name.iter().find(is_option).map_or(item.end, |at| *at);
            let options = tokens[end..item.end]
                .iter()
                .map(|token| token.token.to_string());
            let options = options.collect::<String>().to_lowercase();
            let options = options.split_whitespace().collect::<Vec<_>>().join(" ");
            let mark = Token::make_word(&format!("{LIKE_MARK}{options}"), Some('"'));
            put(tokens, end..item.end, Vec::new());
            let column = vec![mark, word("text"), word("REFERENCES")];
            put(tokens, *first..first + 1, column);
        }
        _ => {}
    }
}

/// The words that the options of an identity begin with, in the order that the parser wants.
const IDENTITY_OPTIONS: [&str; 6] = [
    "increment",
    "minvalue",
    "maxvalue",
    "start",
    "cache",
    "cycle",
];

/// The options in `AS IDENTITY (…)` in the order that the parser wants.
fn with_ordered_options(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let words: Vec<usize> = (0..tokens.len())
        .filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_)))
        .collect();
    for pair in words.windows(2) {
        let &[identity, open] = pair else { continue };
        if !is_word(&tokens[identity], "identity") || tokens[open].token != Token::LParen {
            continue;
        }
        let rest = tokens.iter().skip(open);
        let Some(length) = rest
            .take_while(|token| token.token != Token::RParen)
            .count()
            .checked_sub(1)
        else {
            continue;
        };
        let inside = open + 1..open + 1 + length;
        let mut options: Vec<(usize, Vec<TokenWithSpan>)> = Vec::new();
        let mut negated = None;
        for token in &tokens[inside.clone()] {
            let rank = IDENTITY_OPTIONS
                .iter()
                .position(|word| is_word(token, word));
            match rank {
                _ if is_word(token, "no") => negated = Some(token.clone()),
                Some(rank) => {
                    let mut option: Vec<TokenWithSpan> = negated.take().into_iter().collect();
                    if !option.is_empty() {
                        option.push(space(token));
                    }
                    option.push(token.clone());
                    options.push((rank, option));
                }
                None => {
                    if let Some((_, option)) = options.last_mut() {
                        option.push(token.clone());
                    }
                }
            }
        }
        options.sort_by_key(|(rank, _)| *rank);
        let ordered = options.into_iter().flat_map(|(_, mut option)| {
            if let Some(last) = option.last() {
                option.push(space(last));
            }
            option
        });
        let ordered: Vec<TokenWithSpan> = ordered.collect();
        tokens.splice(inside, ordered);
        // One identity a statement: the places of what follows have changed.
        break;
    }
    tokens
}

fn space(beside: &TokenWithSpan) -> TokenWithSpan {
    TokenWithSpan {
        token: Token::Whitespace(Whitespace::Space),
        span: beside.span,
    }
}

/// Puts words in the place of tokens.
fn put(tokens: &mut Vec<TokenWithSpan>, at: Range<usize>, words: Vec<Token>) {
    let span = tokens
        .get(at.start)
        .or(tokens.last())
        .map(|token| token.span);
    let Some(span) = span else { return };
    let words = words.into_iter().map(|token| TokenWithSpan { token, span });
    tokens.splice(at, words);
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;

    use super::*;

    fn read(sql: &str) -> Statement {
        let parsed = super::super::parse(sql).unwrap().remove(0);
        parsed.statement.unwrap()
    }

    #[test]
    fn tables_are_made_of_queries_in_every_form() {
        for (sql, columns, empty) in [
            ("CREATE TABLE t (a, \"B\") AS SELECT 1, 2", 2, false),
            ("CREATE TEMP TABLE t AS SELECT 1 WITH DATA", 0, false),
            (
                "CREATE TABLE t(a)AS VALUES (1), (2) ORDER BY 1 WITH NO DATA",
                1,
                true,
            ),
            ("CREATE TABLE t AS (SELECT 1) WITH no  data", 0, true),
        ] {
            match read(sql) {
                Statement::CreateTable(table) => {
                    assert_eq!(table.columns.len(), columns, "{sql}");
                    assert_eq!(is_without_data(&table.query.unwrap()), empty, "{sql}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn like_stands_among_columns() {
        let sql = "CREATE TABLE t (a int, LIKE s.o INCLUDING ALL excluding  Identity, b int)";
        let Statement::CreateTable(table) = read(sql) else {
            panic!("no table");
        };
        let names = table
            .columns
            .iter()
            .map(|column| column.name.value.as_str());
        let names: Vec<_> = names.collect();
        assert_eq!(names.len(), 3);
        assert_eq!(
            like_options(names[1]),
            Some("including all excluding identity")
        );
        assert_eq!(like_options(names[2]), None);
        let sql = "CREATE TABLE t (note text CHECK (note LIKE 'a, b'))";
        assert!(matches!(read(sql), Statement::CreateTable(table) if table.columns.len() == 1));
    }

    #[test]
    fn options_of_an_identity_stand_in_any_order() {
        let sql = "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY (START 5 NO CYCLE CACHE 3 \
                   MINVALUE 2 NO MAXVALUE INCREMENT BY 2), b int)";
        let Statement::CreateTable(table) = read(sql) else {
            panic!("no table");
        };
        let written = table.columns[0].to_string();
        for option in [
            "START 5",
            "NO CYCLE",
            "CACHE 3",
            "MINVALUE 2",
            "INCREMENT BY 2",
        ] {
            assert!(written.contains(option), "{written}");
        }
    }

    #[test]
    fn a_schema_is_moved_to() {
        let altered = read("ALTER TABLE IF EXISTS s.t SET SCHEMA \"New\"").to_string();
        assert!(altered.contains(SCHEMA_MARK), "{altered}");
    }
}
