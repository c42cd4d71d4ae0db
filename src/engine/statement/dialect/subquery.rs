//! Subqueries of catalog queries: correlated scalar ones, `ARRAY(SELECT …)`, and selects that can
//! have no rows.
//!
//! DataFusion refuses a correlated scalar subquery unless it is an aggregation with equalities.
//! A subquery without aggregation is made one without a change of meaning: its rows are collected
//! and the one value is taken (more than one is an error, none is NULL, as in PostgreSQL).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Distinct, Expr, Function, FunctionArguments, GroupByExpr, Ident,
    JoinOperator, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Visit, VisitMut, Visitor, VisitorMut,
};

use super::build::{
    array_subquery, call, case_when, cast, conjuncts, folded, function_name, join, number, parts,
    take,
};
use crate::catalog::functions::is_catalog_function;
use crate::catalog::functions::lists::{PREFIX_ELEMENTS, SUBQUERY_ARRAY, SUBQUERY_VALUE};
use crate::catalog::layout::{self, Layout};
use crate::catalog::{INFORMATION_SCHEMA, PG_CATALOG, is_always_empty};

/// `ARRAY(SELECT …)` as an aggregation; other shapes stay as they are.
pub(super) fn rewrite_array(expr: &mut Expr) {
    let Some(query) = array_subquery(expr) else {
        return;
    };
    let rewritten = array_of_rows(query.clone()).or_else(|| array_of_query(query.clone()));
    if let Some(rewritten) = rewritten {
        *expr = rewritten;
    }
}

/// `ARRAY(SELECT … FROM unnest(list) x)` as a function of the list, before FROM is rewritten.
pub(super) fn rewrite_array_of_elements(expr: &mut Expr) {
    if let Some(rewritten) = array_subquery(expr).and_then(over_unnest) {
        *expr = rewritten;
    }
}

/// A correlated scalar subquery over catalog relations as an aggregation.
pub(super) fn rewrite_scalar(expr: &mut Expr) {
    let Expr::Subquery(query) = expr else { return };
    if let Some(rewritten) = scalar_value(query.as_ref().clone()) {
        *expr = rewritten;
    }
}

/// Replaces subqueries in the items of a select that can have no rows: no value is ever computed.
pub(super) fn drop_unreachable(select: &mut Select) {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if grouped || select.having.is_some() || !select.from.iter().any(has_no_rows) {
        return;
    }
    let scalar = select.projection.iter().all(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => is_scalar(expr),
        _ => true,
    });
    if scalar {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                let _: ControlFlow<()> = VisitMut::visit(expr, &mut Unreachable);
            }
        }
    }
}

/// `EXISTS (…)` in an item, which DataFusion plans in conditions only, as a count of the rows.
pub(super) fn count_instead_of_exists(select: &mut Select) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let _: ControlFlow<()> = VisitMut::visit(expr, &mut CountRows(0));
        }
    }
}

/// The folded parts of every column name in a piece of syntax tree, subqueries included.
pub(super) fn identifiers<T: Visit>(node: &T, found: &mut Vec<Vec<String>>) {
    struct Identifiers<'a>(&'a mut Vec<Vec<String>>);
    impl Visitor for Identifiers<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(ident) => self.0.push(vec![folded(ident)]),
                Expr::CompoundIdentifier(idents) => {
                    self.0.push(idents.iter().map(folded).collect());
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let _: ControlFlow<()> = node.visit(&mut Identifiers(found));
}

struct Unreachable;

impl VisitorMut for Unreachable {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if array_subquery(expr).is_some() {
            let text = DataType::Array(
                datafusion::sql::sqlparser::ast::ArrayElemTypeDef::SquareBracket(
                    Box::new(DataType::Text),
                    None,
                ),
            );
            *expr = cast(super::build::null(), text);
        } else if matches!(expr, Expr::Subquery(_)) {
            *expr = cast(super::build::null(), DataType::Text);
        }
        ControlFlow::Continue(())
    }
}

/// Rewrites EXISTS outside of nested queries; the count is their depth.
struct CountRows(usize);

impl VisitorMut for CountRows {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.0 += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.0 -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.0 == 0
            && let Expr::Exists { subquery, negated } = expr
            && let Some(counted) = counted(subquery)
        {
            *expr = Expr::Nested(Box::new(Expr::BinaryOp {
                left: Box::new(Expr::Subquery(Box::new(counted))),
                op: if *negated {
                    BinaryOperator::Eq
                } else {
                    BinaryOperator::Gt
                },
                right: Box::new(number(0)),
            }));
        }
        ControlFlow::Continue(())
    }
}

/// The number of a plain select's rows.
fn counted(query: &Query) -> Option<Query> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    if !select.projection.iter().all(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => is_scalar(expr),
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => true,
        SelectItem::ExprWithAliases { .. } => false,
    }) {
        return None;
    }
    let mut query = query.clone();
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    select.projection = vec![SelectItem::UnnamedExpr(number(1))];
    let mut plain = plain_select(query)?;
    let SetExpr::Select(select) = plain.query.body.as_mut() else {
        return None;
    };
    select.projection = vec![SelectItem::UnnamedExpr(call("count", vec![number(1)]))];
    Some(plain.query)
}

/// Everything that FROM reads, joined or not.
pub(super) fn factors(from: &[TableWithJoins]) -> impl Iterator<Item = &TableFactor> {
    from.iter().flat_map(|table| {
        let joined = table.joins.iter().map(|join| &join.relation);
        std::iter::once(&table.relation).chain(joined)
    })
}

/// The alias and layout of a catalog relation in FROM.
pub(super) fn catalog_relation(factor: &TableFactor) -> Option<(String, std::sync::Arc<Layout>)> {
    let TableFactor::Table {
        name,
        alias,
        args: None,
        ..
    } = factor
    else {
        return None;
    };
    let parts = parts(name)?;
    let (schema, relation) = match parts.as_slice() {
        [name] => (PG_CATALOG, name),
        [schema, name] if schema == PG_CATALOG => (PG_CATALOG, name),
        [schema, name] if schema == INFORMATION_SCHEMA => (INFORMATION_SCHEMA, name),
        _ => return None,
    };
    let layout = layout::layout(schema, relation)?;
    let alias = alias
        .as_ref()
        .map_or_else(|| relation.clone(), |alias| folded(&alias.name));
    Some((alias, layout))
}

fn is_empty_relation(factor: &TableFactor) -> bool {
    catalog_relation(factor)
        .is_some_and(|(_, layout)| layout.schema_name == PG_CATALOG && is_always_empty(layout.name))
}

/// Whether a join tree yields no rows because an inner side of it never has any.
fn has_no_rows(table: &TableWithJoins) -> bool {
    let mut empty = is_empty_relation(&table.relation);
    for join in &table.joins {
        let right = is_empty_relation(&join.relation);
        empty = match join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {
                empty || right
            }
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => empty,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => right,
            _ => false,
        };
    }
    empty
}

/// Whether an item is computed row by row: every function outside of subqueries is known to be.
fn is_scalar(expr: &Expr) -> bool {
    struct Scalar(usize);
    impl Visitor for Scalar {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if self.0 == 0 && !is_scalar_function(function) => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Scalar(0)).is_continue()
}

fn is_scalar_function(function: &Function) -> bool {
    const KNOWN: &[&str] = &[
        "array",
        "array_lower",
        "array_to_string",
        "array_upper",
        "coalesce",
        "concat",
        "length",
        "lower",
        "nullif",
        "replace",
        "substr",
        "upper",
    ];
    let name = function_name(function);
    function.over.is_none() && (KNOWN.contains(&name.as_str()) || is_catalog_function(&name))
}

/// A select with one item and nothing that changes which rows there are.
struct PlainSelect {
    query: Query,
    item: Expr,
    order: Vec<OrderByExpr>,
    distinct: bool,
}

fn plain_select(mut query: Query) -> Option<PlainSelect> {
    let order = match query.order_by.take().map(|order_by| order_by.kind) {
        None => Vec::new(),
        Some(OrderByKind::Expressions(order)) => order,
        Some(OrderByKind::All(_)) => return None,
    };
    if query.with.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        return None;
    }
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let distinct = match select.distinct.take() {
        None | Some(Distinct::All) => false,
        Some(Distinct::Distinct) => true,
        Some(Distinct::On(_)) => return None,
    };
    let [item] = select.projection.as_mut_slice() else {
        return None;
    };
    let (SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }) = item
    else {
        return None;
    };
    if grouped || select.having.is_some() || !is_scalar(item) {
        return None;
    }
    let item = take(item);
    Some(PlainSelect {
        query,
        item,
        order,
        distinct,
    })
}

impl PlainSelect {
    /// The query with all rows collected into a list.
    fn collected(self) -> Option<Query> {
        let Self {
            mut query,
            item,
            order,
            distinct,
        } = self;
        let item_text = item.clone();
        let mut list = call("array_agg", vec![item]);
        if let Expr::Function(function) = &mut list
            && let FunctionArguments::List(arguments) = &mut function.args
        {
            use datafusion::sql::sqlparser::ast::{DuplicateTreatment, FunctionArgumentClause};
            arguments.duplicate_treatment = distinct.then_some(DuplicateTreatment::Distinct);
            if !order.is_empty() {
                let keys = order.into_iter().map(|mut key| {
                    let first = number(1).to_string();
                    if key.expr.to_string() == first {
                        key.expr = item_text.clone();
                    }
                    key
                });
                arguments
                    .clauses
                    .push(FunctionArgumentClause::OrderBy(keys.collect()));
            }
        }
        let SetExpr::Select(select) = query.body.as_mut() else {
            return None;
        };
        select.projection = vec![SelectItem::UnnamedExpr(list)];
        Some(query)
    }
}

fn array_of_rows(query: Query) -> Option<Expr> {
    let query = plain_select(query)?.collected()?;
    Some(call(SUBQUERY_ARRAY, vec![Expr::Subquery(Box::new(query))]))
}

/// The rows of any query as a derived table, collected in the query's order.
fn array_of_query(mut query: Query) -> Option<Expr> {
    let order = match &query.order_by {
        None => Vec::new(),
        Some(order_by) => match &order_by.kind {
            OrderByKind::Expressions(order) => order.clone(),
            OrderByKind::All(_) => return None,
        },
    };
    let (item, number) = (
        Ident::with_quote('"', "array item"),
        Ident::with_quote('"', "array order"),
    );
    let mut columns = vec![item.clone()];
    let mut keys = Vec::new();
    match query.body.as_mut() {
        SetExpr::Select(select) if !order.is_empty() => {
            let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
                select.projection.as_slice()
            else {
                return None;
            };
            let value = expr.clone();
            if select.distinct.is_some() {
                keys = order
                    .into_iter()
                    .map(|key| OrderByExpr {
                        expr: Expr::Identifier(item.clone()),
                        ..key
                    })
                    .collect();
                keys.truncate(1);
            } else {
                let named = |key: &Expr| {
                    key.to_string() == "1"
                        || matches!((key, select.projection.first()), (Expr::Identifier(name), Some(SelectItem::ExprWithAlias { alias, .. })) if folded(name) == folded(alias))
                };
                let order = order.into_iter().map(|mut key| {
                    if named(&key.expr) {
                        key.expr = value.clone();
                    }
                    key
                });
                let numbered = super::windows::row_number(order.collect())?;
                select.projection.push(SelectItem::UnnamedExpr(numbered));
                columns.push(number.clone());
                keys.push(plain_key(Expr::Identifier(number)));
            }
        }
        _ if !order.is_empty() => {
            // A set operation is ordered by its only column.
            keys = order
                .into_iter()
                .take(1)
                .map(|key| OrderByExpr {
                    expr: Expr::Identifier(item.clone()),
                    ..key
                })
                .collect();
        }
        _ => {}
    }
    let template = super::build::template("SELECT array_agg(x) FROM (SELECT 1) AS t(x)").ok()?;
    let mut collected = template;
    let SetExpr::Select(select) = collected.body.as_mut() else {
        return None;
    };
    let mut list = call("array_agg", vec![Expr::Identifier(item)]);
    if let Expr::Function(function) = &mut list
        && let FunctionArguments::List(arguments) = &mut function.args
        && !keys.is_empty()
    {
        use datafusion::sql::sqlparser::ast::FunctionArgumentClause;
        arguments
            .clauses
            .push(FunctionArgumentClause::OrderBy(keys));
    }
    select.projection = vec![SelectItem::UnnamedExpr(list)];
    if let Some(TableFactor::Derived {
        subquery,
        alias: Some(alias),
        ..
    }) = select.from.first_mut().map(|table| &mut table.relation)
    {
        **subquery = query;
        alias.columns = columns
            .into_iter()
            .map(
                |name| datafusion::sql::sqlparser::ast::TableAliasColumnDef {
                    name,
                    data_type: None,
                },
            )
            .collect();
    }
    Some(call(
        SUBQUERY_ARRAY,
        vec![Expr::Subquery(Box::new(collected))],
    ))
}

fn plain_key(expr: Expr) -> OrderByExpr {
    OrderByExpr {
        expr,
        options: datafusion::sql::sqlparser::ast::OrderByOptions::default(),
        with_fill: None,
    }
}

/// `ARRAY(SELECT x FROM unnest(list) x)` and `ARRAY(SELECT 'prefix' || x FROM unnest(list) x)`.
fn over_unnest(query: &Query) -> Option<Expr> {
    let plain = plain_select(query.clone())?;
    let SetExpr::Select(select) = plain.query.body.as_ref() else {
        return None;
    };
    let [table] = select.from.as_slice() else {
        return None;
    };
    if !table.joins.is_empty()
        || select.selection.is_some()
        || plain.distinct
        || !plain.order.is_empty()
    {
        return None;
    }
    let (list, element) = unnested(&table.relation)?;
    let is_element =
        |expr: &Expr| matches!(expr, Expr::Identifier(ident) if folded(ident) == element);
    match plain.item {
        item if is_element(&item) => Some(call(SUBQUERY_ARRAY, vec![list])),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::StringConcat,
            right,
        } if is_element(&right) && super::build::literal_text(&left).is_some() => {
            Some(call(PREFIX_ELEMENTS, vec![*left, list]))
        }
        _ => None,
    }
}

/// The list that a table factor unnests and the name of its element.
fn unnested(factor: &TableFactor) -> Option<(Expr, String)> {
    let (list, alias) = match factor {
        TableFactor::UNNEST {
            alias,
            array_exprs,
            with_ordinality: false,
            ..
        } => {
            let [list] = array_exprs.as_slice() else {
                return None;
            };
            (list.clone(), alias.as_ref()?)
        }
        TableFactor::Table {
            name,
            alias,
            args: Some(args),
            ..
        } => {
            use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr};
            let [FunctionArg::Unnamed(FunctionArgExpr::Expr(list))] = args.args.as_slice() else {
                return None;
            };
            let is_unnest = parts(name)?.last().is_some_and(|name| name == "unnest");
            (is_unnest.then(|| list.clone())?, alias.as_ref()?)
        }
        _ => return None,
    };
    let element = alias
        .columns
        .first()
        .map_or(&alias.name, |column| &column.name);
    Some((list, folded(element)))
}

/// How a condition of a subquery mentions relations inside and outside of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Inside,
    Outside,
    Both,
}

fn scalar_value(query: Query) -> Option<Expr> {
    let mut plain = plain_select(query)?;
    let SetExpr::Select(select) = plain.query.body.as_mut() else {
        return None;
    };
    let mut aliases = Vec::new();
    for factor in factors(&select.from) {
        aliases.push(catalog_relation(factor)?.0);
    }
    let reach = |expr: &Expr| reach(expr, &aliases);
    let conditions = conjuncts(select.selection.take()?);
    if conditions
        .iter()
        .all(|condition| reach(condition) == Reach::Inside)
    {
        return None;
    }
    let (outside, mut inside): (Vec<_>, Vec<_>) = conditions
        .into_iter()
        .partition(|condition| reach(condition) == Reach::Outside);
    let equalities: Vec<(Expr, Expr)> = inside
        .iter()
        .filter_map(|condition| equality(condition, &aliases))
        .collect();
    for condition in &mut inside {
        if reach(condition) == Reach::Both && equality(condition, &aliases).is_none() {
            substitute(condition, &equalities);
            if reach(condition) != Reach::Inside {
                return None;
            }
        }
    }
    if reach(&plain.item) != Reach::Inside {
        return None;
    }
    select.selection = join(&BinaryOperator::And, inside);
    let value = call(
        SUBQUERY_VALUE,
        vec![Expr::Subquery(Box::new(plain.collected()?))],
    );
    Some(match join(&BinaryOperator::And, outside) {
        Some(condition) => case_when(condition, value),
        None => value,
    })
}

fn reach(expr: &Expr, aliases: &[String]) -> Reach {
    let mut names = Vec::new();
    identifiers(expr, &mut names);
    // A name without a relation is taken for one of the subquery, where SQL looks first.
    let outside = |parts: &&Vec<String>| match parts.as_slice() {
        [relation, _] => !aliases.contains(relation),
        _ => false,
    };
    match names.iter().filter(outside).count() {
        0 => Reach::Inside,
        count if count == names.len() => Reach::Outside,
        _ => Reach::Both,
    }
}

/// `inner = outer` or `outer = inner` between two columns: (outer, inner).
fn equality(expr: &Expr, aliases: &[String]) -> Option<(Expr, Expr)> {
    let expr = if let Expr::Nested(inner) = expr {
        inner
    } else {
        expr
    };
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::Eq,
        right,
    } = expr
    else {
        return None;
    };
    let column = |expr: &Expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    if !column(left) || !column(right) {
        return None;
    }
    match (reach(left, aliases), reach(right, aliases)) {
        (Reach::Outside, Reach::Inside) => Some((*left.clone(), *right.clone())),
        (Reach::Inside, Reach::Outside) => Some((*right.clone(), *left.clone())),
        _ => None,
    }
}

/// In a comparison, an outer column becomes the inner column that another condition makes equal
/// to it. Columns of the catalog that are equal are the same value, so the comparison is too.
fn substitute(condition: &mut Expr, equalities: &[(Expr, Expr)]) {
    let Expr::BinaryOp { left, op, right } = condition else {
        return;
    };
    let comparison = matches!(
        op,
        BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    );
    if !comparison {
        return;
    }
    for side in [left, right] {
        if let Some((_, inner)) = equalities.iter().find(|(outer, _)| *outer == **side) {
            **side = inner.clone();
        }
    }
}
