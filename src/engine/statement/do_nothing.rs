//! `THEN DO NOTHING` of a MERGE, which the parser does not know, as an action that it does.

use datafusion::sql::sqlparser::ast::{MergeAction, ObjectName};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::is_word;

/// The column that an action assigns which does nothing. No table has it: names end before 64 bytes.
const NOTHING: &str = "loyalhouse: this action of a MERGE does nothing, and no table has it";

/// Words of `WHEN NOT MATCHED BY SOURCE`.
const KIND_WORDS_MAX: usize = 5;

/// The tokens with `DO NOTHING` as an UPDATE, or as an INSERT where only one may stand.
pub(super) fn spelled_out(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut first = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)));
    if !first.next().is_some_and(|token| is_word(token, "merge")) {
        return tokens;
    }
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut inserts = false;
    for token in tokens {
        if is_word(&token, "nothing") && take_words(&mut out, &["then", "do"]) {
            let span = token.span;
            let nothing = action(inserts).into_iter();
            out.extend(nothing.map(|token| TokenWithSpan { token, span }));
            continue;
        }
        if is_word(&token, "matched") || is_word(&token, "source") || is_word(&token, "target") {
            let mut words = words_before(&out);
            words.push(&token);
            let is = |wanted: &[&str]| {
                words.len() >= wanted.len()
                    && words[words.len() - wanted.len()..]
                        .iter()
                        .zip(wanted)
                        .all(|(token, word)| is_word(token, word))
            };
            if is(&["when", "matched"]) || is(&["not", "matched", "by", "source"]) {
                inserts = false;
            } else if is(&["when", "not", "matched"]) {
                inserts = true;
            }
        }
        out.push(token);
    }
    out
}

/// Whether a MERGE's action is the one that stands for doing nothing.
pub fn is_nothing(action: &MergeAction) -> bool {
    let named = |name: &ObjectName| {
        let ident = name.0.last().and_then(|part| part.as_ident());
        ident.is_some_and(|ident| ident.value == NOTHING)
    };
    match action {
        MergeAction::Update(update) => update.assignments.iter().any(|assignment| {
            use datafusion::sql::sqlparser::ast::AssignmentTarget;
            matches!(&assignment.target, AssignmentTarget::ColumnName(name) if named(name))
        }),
        MergeAction::Insert(insert) => insert.columns.iter().any(named),
        MergeAction::Delete { .. } => false,
    }
}

/// The last words before a place, first one first.
fn words_before(tokens: &[TokenWithSpan]) -> Vec<&TokenWithSpan> {
    let words = tokens.iter().rev();
    let words = words.filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut words: Vec<_> = words.take(KIND_WORDS_MAX).collect();
    words.reverse();
    words
}

/// Takes off the last words but the first of them, if the tokens end with them.
fn take_words(tokens: &mut Vec<TokenWithSpan>, words: &[&str]) -> bool {
    let mut at = tokens.len();
    for (place, word) in words.iter().enumerate().rev() {
        while at > 0 && matches!(tokens[at - 1].token, Token::Whitespace(_)) {
            at -= 1;
        }
        if at == 0 || !is_word(&tokens[at - 1], word) {
            return false;
        }
        if place == 0 {
            tokens.truncate(at);
        }
        at -= 1;
    }
    true
}

fn action(inserts: bool) -> Vec<Token> {
    let word = |text: &str| Token::make_word(text, None);
    let column = Token::make_word(NOTHING, Some('"'));
    match inserts {
        false => vec![word("UPDATE"), word("SET"), column, Token::Eq, word("NULL")],
        true => vec![
            word("INSERT"),
            Token::LParen,
            column,
            Token::RParen,
            word("VALUES"),
            Token::LParen,
            word("NULL"),
            Token::RParen,
        ],
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;

    use super::*;

    fn actions(sql: &str) -> Vec<bool> {
        let parsed = super::super::parse(sql).unwrap().remove(0);
        match parsed.statement {
            Some(Statement::Merge(merge)) => {
                let clauses = merge.clauses.iter();
                clauses.map(|clause| is_nothing(&clause.action)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_told_from_other_actions() {
        let sql = "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED AND s.id = 1 THEN DO  NOTHING \
                   WHEN NOT MATCHED BY SOURCE THEN do nothing WHEN MATCHED THEN UPDATE SET id = 1 \
                   WHEN NOT MATCHED BY TARGET AND s.id = 2 THEN DO NOTHING \
                   WHEN NOT MATCHED THEN DO NOTHING";
        assert_eq!(actions(sql), [true, true, false, true, true]);
    }
}
