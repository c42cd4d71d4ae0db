//! What a statement may be in depth and size, checked before anything recurses over it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Levels of parentheses and subqueries (the parser's own recursion).
pub const NESTING_DEPTH_MAX: usize = 300;

/// Levels of an expression, such as the terms of `1 + 1 + …`. Planner and operators recurse over
/// each level on stacks of 256 MiB.
pub const EXPRESSION_DEPTH_MAX: usize = 3_000;

/// Tokens that can add a level each. The parser loops over them, so this bounds the depth of what
/// it builds before [`EXPRESSION_DEPTH_MAX`] can be checked.
pub const CHAINED_TOKENS_MAX: usize = 50_000;

/// Branches of UNION, INTERSECT and EXCEPT in one statement.
pub const SET_OPERATIONS_MAX: usize = 500;

/// Relations in one statement, before views and common table expressions are expanded.
pub const RELATIONS_MAX: usize = 250;

/// Relations of one statement after common table expressions are expanded at each use. The planner
/// does work for each of them before [`check_plan`] can count.
pub const EXPANDED_RELATIONS_MAX: u64 = 4_096;

/// Items of a SELECT list, as in PostgreSQL.
pub const SELECT_ITEMS_MAX: usize = 1_664;

/// Nodes of a logical plan after expansion; a common table expression counts at each use.
pub const PLAN_NODES_MAX: u64 = 20_000;

/// The error of a statement that is nested too deeply.
pub fn too_deep() -> Error {
    Error::statement_too_complex("stack depth limit exceeded")
        .with_detail("The statement is nested too deeply.")
        .with_hint(
            "Use IN (…) instead of long OR chains, sum() or a VALUES list instead of long sums, and fewer parentheses.",
        )
}

/// Bounds the depth that parsing these tokens can reach.
pub fn check_tokens(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut chained = 0_usize;
    let mut set_operations = 0_usize;
    // The parser reports these two as a syntax error when it comes to its own limit.
    let (mut nots, mut cases) = (0_usize, 0_usize);
    for token in tokens {
        match word(token) {
            Some(Keyword::NOT) => nots += 1,
            Some(Keyword::CASE) => cases += 1,
            Some(Keyword::END) => cases = cases.saturating_sub(1),
            _ if matches!(token.token, Token::Whitespace(_)) => {}
            _ => nots = 0,
        }
        if nots.max(cases) > NESTING_DEPTH_MAX {
            return Err(too_deep());
        }
        match &token.token {
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => set_operations += 1,
                Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::JOIN
                | Keyword::OPERATOR => chained += 1,
                _ => {}
            },
            Token::Word(_)
            | Token::Comma
            | Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::LParen
            | Token::RParen
            | Token::Placeholder(_) => {}
            _ => chained += 1,
        }
    }
    if chained > CHAINED_TOKENS_MAX {
        return Err(too_deep());
    }
    if set_operations > SET_OPERATIONS_MAX {
        return Err(Error::statement_too_complex("the statement has too many set operations")
            .with_detail(format!(
                "It has {set_operations} UNION, INTERSECT or EXCEPT; the limit is {SET_OPERATIONS_MAX}."
            ))
            .with_hint("Use a VALUES list, or one query with IN (…)."));
    }
    Ok(())
}

fn word(token: &TokenWithSpan) -> Option<Keyword> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// Bounds the depth of a parsed statement's expressions and the number of its relations.
pub fn check_statement(statement: &ast::Statement) -> Result<()> {
    let mut depth = Depth {
        current: 0,
        relations: 0,
    };
    let mut expansion = Expansion::default();
    match (statement.visit(&mut depth), statement.visit(&mut expansion)) {
        (ControlFlow::Break(error), _) | (_, ControlFlow::Break(error)) => Err(error),
        _ => Ok(()),
    }
}

/// Counts relations as the planner will meet them: a common table expression at each use.
#[derive(Default)]
struct Expansion {
    /// Expanded relations of each common table expression seen so far, by its name.
    weights: HashMap<String, u64>,
    /// The queries that are common table expressions, by address, and their names.
    expressions: HashMap<*const ast::Query, String>,
    /// Expanded relations of the queries around the current place.
    open: Vec<u64>,
}

impl Visitor for Expansion {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Error> {
        for expression in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = expression.alias.name.value.to_lowercase();
            self.expressions
                .insert(std::ptr::from_ref(expression.query.as_ref()), name);
        }
        self.open.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Error> {
        let weight = self.open.pop().unwrap_or_default();
        match (
            self.expressions.remove(&std::ptr::from_ref(query)),
            self.open.last_mut(),
        ) {
            (Some(name), _) => {
                self.weights.insert(name, weight.max(1));
            }
            (None, Some(outer)) => *outer = outer.saturating_add(weight),
            (None, None) => {}
        }
        match weight > EXPANDED_RELATIONS_MAX {
            true => ControlFlow::Break(
                Error::statement_too_complex("the statement expands to too many relations")
                    .with_detail(format!(
                        "A common table expression is expanded at each use; the limit is {EXPANDED_RELATIONS_MAX} relations in all."
                    )),
            ),
            false => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<Error> {
        let plain = match name.0.as_slice() {
            [part] => part.as_ident().map(|ident| ident.value.to_lowercase()),
            _ => None,
        };
        let weight = plain
            .and_then(|name| self.weights.get(&name))
            .copied()
            .unwrap_or(1);
        if let Some(query) = self.open.last_mut() {
            *query = query.saturating_add(weight);
        }
        ControlFlow::Continue(())
    }
}

/// Words that the parser takes for names where PostgreSQL does not: a clause without its list would
/// otherwise be an unknown table or column.
const RESERVED: &[&str] = &[
    "and",
    "as",
    "else",
    "except",
    "from",
    "group",
    "having",
    "intersect",
    "into",
    "limit",
    "offset",
    "on",
    "or",
    "order",
    "select",
    "then",
    "union",
    "using",
    "when",
    "where",
];

fn not_reserved(ident: &ast::Ident) -> ControlFlow<Error> {
    let word = ident.value.to_lowercase();
    if ident.quote_style.is_some() || !RESERVED.contains(&word.as_str()) {
        return ControlFlow::Continue(());
    }
    let start = ident.span.start;
    ControlFlow::Break(
        Error::syntax_error(format!("syntax error at or near \"{}\"", ident.value))
            .with_place(start.line, start.column),
    )
}

struct Depth {
    current: usize,
    relations: usize,
}

impl Visitor for Depth {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<Error> {
        match select.projection.len() > SELECT_ITEMS_MAX {
            true => ControlFlow::Break(Error::new(
                SqlState::TooManyColumns,
                format!("target lists can have at most {SELECT_ITEMS_MAX} entries"),
            )),
            false => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<Error> {
        match name.0.first().and_then(ast::ObjectNamePart::as_ident) {
            Some(ident) if name.0.len() == 1 => not_reserved(ident),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Error> {
        if let ast::Expr::Identifier(ident) = expr {
            not_reserved(ident)?;
        }
        self.current += 1;
        match self.current > EXPRESSION_DEPTH_MAX {
            true => ControlFlow::Break(too_deep()),
            false => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, _: &ast::Expr) -> ControlFlow<Error> {
        self.current -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, _: &ast::TableFactor) -> ControlFlow<Error> {
        self.relations += 1;
        match self.relations > RELATIONS_MAX {
            true => ControlFlow::Break(
                Error::statement_too_complex("the statement has too many relations")
                    .with_detail(format!("The limit is {RELATIONS_MAX}.")),
            ),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Bounds the size of a plan. A common table expression that uses another twice doubles it at each
/// level while the tree in memory stays small, because its parts are shared until they are rewritten.
pub fn check_plan(plan: &LogicalPlan) -> Result<()> {
    let nodes = expanded_nodes(plan, &mut HashMap::new());
    if nodes > PLAN_NODES_MAX {
        return Err(Error::statement_too_complex("the statement expands to too many steps")
            .with_detail(format!(
                "It expands to {nodes} steps; the limit is {PLAN_NODES_MAX}. A common table expression is expanded at each use."
            )));
    }
    Ok(())
}

fn expanded_nodes(plan: &LogicalPlan, known: &mut HashMap<*const LogicalPlan, u64>) -> u64 {
    let mut nodes = 1_u64;
    for input in plan.inputs() {
        let key = std::ptr::from_ref(input);
        let count = match known.get(&key) {
            Some(count) => *count,
            None => {
                let count = expanded_nodes(input, known);
                known.insert(key, count);
                count
            }
        };
        nodes = nodes.saturating_add(count);
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::sqlstate::SqlState;

    fn state_of(sql: String) -> Option<SqlState> {
        let deep = std::thread::Builder::new().stack_size(256 << 20);
        let check = move || parse(&sql).err().map(|error| error.state());
        deep.spawn(check).unwrap().join().unwrap()
    }

    #[test]
    fn long_chains_are_refused_and_ordinary_ones_pass() {
        let too_complex = Some(SqlState::StatementTooComplex);
        assert_eq!(state_of(format!("SELECT 1{}", "+1".repeat(2_000))), None);
        for (repeated, count) in [
            ("+1", 20_000),
            (" OR true", 20_000),
            ("||'a'", 20_000),
            ("::int", 20_000),
            ("+1", 200_000),
        ] {
            assert_eq!(
                state_of(format!("SELECT 1{}", repeated.repeat(count))),
                too_complex,
                "{repeated}"
            );
        }
        assert_eq!(
            state_of(format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(5_000))),
            too_complex
        );
        let open = "(".repeat(20_000);
        assert_eq!(
            state_of(format!("SELECT {open}1{}", ")".repeat(20_000))),
            too_complex
        );
        assert_eq!(
            state_of(format!("SELECT {}true", "NOT ".repeat(5_000))),
            too_complex
        );
        let (cases, ends) = ("CASE WHEN true THEN ".repeat(5_000), " END".repeat(5_000));
        assert_eq!(state_of(format!("SELECT {cases}1{ends}")), too_complex);
        assert_eq!(
            state_of(format!(
                "SELECT {}",
                "CASE WHEN true THEN 1 END + ".repeat(900) + "1"
            )),
            None
        );
        let doubling = |levels: usize| {
            (1..=levels).fold("WITH c0 AS (SELECT 1)".to_owned(), |sql, level| {
                format!(
                    "{sql}, c{level} AS (SELECT * FROM c{0} UNION ALL SELECT * FROM c{0})",
                    level - 1
                )
            }) + &format!(" SELECT count(*) FROM c{levels}")
        };
        assert_eq!(state_of(doubling(24)), too_complex);
        assert_eq!(state_of(doubling(6)), None);
        assert_eq!(
            state_of(format!("SELECT 1 IN (0{})", ",-1".repeat(20_000))),
            None
        );
    }
}
