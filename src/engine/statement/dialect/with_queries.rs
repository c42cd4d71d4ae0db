//! What WITH queries may not be: recursive ones with ORDER BY or LIMIT, and volatile ones that are read
//! twice, which the engine would run twice.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Cte, Expr, ObjectName, Query, Select, SetExpr, TableFactor, Visit, Visitor, With,
};

use super::build::{folded, function_name, parts};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Functions whose value is another one each time.
const VOLATILE: &[&str] = &[
    "clock_timestamp",
    "gen_random_uuid",
    "nextval",
    "random",
    "timeofday",
    "uuid_generate_v4",
];

/// # Errors
/// 0A000, and 42P19 for a recursive term that reads its query twice.
pub(super) fn check(query: &Query) -> Result<()> {
    let Some(with) = &query.with else {
        return Ok(());
    };
    if with.recursive {
        with.cte_tables.iter().try_for_each(check_recursive)?;
    }
    check_volatile(query, with)
}

fn check_recursive(table: &Cte) -> Result<()> {
    let name = folded(&table.alias.name);
    let is_union = matches!(table.query.body.as_ref(), SetExpr::SetOperation { .. });
    if !is_union || mentions(&table.query, &name) == 0 {
        return Ok(());
    }
    if let SetExpr::SetOperation { right, .. } = table.query.body.as_ref()
        && let SetExpr::Select(term) = right.as_ref()
        && sources(term, &name) > 1
    {
        let text =
            format!("recursive reference to query \"{name}\" must not appear more than once");
        return Err(Error::new(SqlState::InvalidRecursion, text));
    }
    let clause = if table.query.order_by.is_some() {
        "ORDER BY"
    } else if table.query.limit_clause.is_some() || table.query.fetch.is_some() {
        "LIMIT"
    } else {
        return Ok(());
    };
    Err(Error::feature_not_supported(format!(
        "{clause} in a recursive query is not implemented"
    )))
}

/// How often the FROM clause of a select names a relation.
fn sources(select: &Select, name: &str) -> usize {
    let joined = select.from.iter().flat_map(|table| {
        std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation))
    });
    joined
        .filter(|factor| matches!(factor, TableFactor::Table { name: of, args: None, .. } if is_named(of, name)))
        .count()
}

fn is_named(relation: &ObjectName, name: &str) -> bool {
    parts(relation).is_some_and(|parts| parts.len() == 1 && parts[0] == name)
}

fn check_volatile(query: &Query, with: &With) -> Result<()> {
    let mut volatile: Vec<String> = Vec::new();
    for table in &with.cte_tables {
        let reads = |name: &String| mentions(&table.query, name) > 0;
        if is_volatile(&table.query) || volatile.iter().any(reads) {
            volatile.push(folded(&table.alias.name));
        }
    }
    match volatile.iter().find(|name| mentions(query, name) > 1) {
        Some(name) => Err(Error::feature_not_supported(format!(
            "WITH query \"{name}\" is volatile and read more than once: this is not supported"
        ))
        .with_hint("Read it once, or keep its rows in a table.")),
        None => Ok(()),
    }
}

fn is_volatile(query: &Query) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function)
                    if VOLATILE.contains(&function_name(function).as_str()) =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    query.visit(&mut Finder).is_break()
}

/// How often a query reads a relation of this name.
fn mentions(query: &Query, name: &str) -> usize {
    struct Counter<'a> {
        name: &'a str,
        count: usize,
    }
    impl Visitor for Counter<'_> {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table {
                name, args: None, ..
            } = factor
                && is_named(name, self.name)
            {
                self.count += 1;
            }
            ControlFlow::Continue(())
        }
    }
    let mut counter = Counter { name, count: 0 };
    let _: ControlFlow<()> = query.visit(&mut counter);
    counter.count
}
