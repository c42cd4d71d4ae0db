//! The names of result columns as PostgreSQL chooses them.
//!
//! DataFusion wants unique names and prints expressions; PostgreSQL calls `count(*)` `count` and
//! allows many columns of one name. So each unnamed item gets an alias of PostgreSQL's name, a
//! separator that no SQL text contains, and the item's number: [`output_name`] cuts it off again.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, DataType, Distinct, Expr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr,
    Statement, TrimWhereField,
};

use super::build::{array_subquery, folded, function_name, number};
use super::{cast, subquery};

/// Unit separator: between the name that a client sees and the number that makes it unique.
const SEPARATOR: char = '\u{1f}';

/// The name that a client sees of a result column of a rewritten statement.
pub fn output_name(field: &str) -> &str {
    field.split_once(SEPARATOR).map_or(field, |(name, _)| name)
}

/// A line of a plan without what keeps equal names apart.
pub fn without_separators(line: &str) -> String {
    let mut parts = line.split(SEPARATOR);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    }
    text
}

/// PostgreSQL's names of a query's result columns; none for wildcards, which name their own.
///
/// Statements that are no queries have no names.
pub fn output_names(statement: &Statement) -> Vec<Option<String>> {
    let Statement::Query(query) = statement else {
        return Vec::new();
    };
    let Some(select) = first_select(&query.body) else {
        return Vec::new();
    };
    select.projection.iter().map(item_name).collect()
}

/// Prepares the outermost query: names its columns, and lets ORDER BY refer to columns by the names
/// that PostgreSQL gives them.
pub(super) fn prepare(query: &mut Query) {
    order_by_position(query);
    name_items(&mut query.body);
}

/// Names unnamed items of a derived table or CTE, so that an outer query can refer to them; with `columns`
/// columns of a table, too: one of an outer query would be called otherwise.
pub(super) fn name_inner(query: &mut Query, columns: bool) {
    let order = query.order_by.clone();
    let Some(select) = first_select_mut(&mut query.body) else {
        return;
    };
    let names: Vec<Option<String>> = select.projection.iter().map(item_name).collect();
    let mut mentioned = Vec::new();
    subquery::identifiers(&select.group_by, &mut mentioned);
    subquery::identifiers(&select.having, &mut mentioned);
    subquery::identifiers(&order, &mut mentioned);
    for (index, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else {
            continue;
        };
        let Some(Some(name)) = names.get(index) else {
            continue;
        };
        let unique = names
            .iter()
            .flatten()
            .filter(|other| *other == name)
            .count()
            == 1;
        let clashes = mentioned.iter().any(|parts| parts.last() == Some(name));
        let named = match &*expr {
            Expr::CompoundIdentifier(_) => columns,
            expr => !is_column(expr),
        };
        if named && name != UNNAMED && unique && !clashes {
            let (expr, alias) = (super::build::take(expr), Ident::with_quote('"', name));
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

/// Gives the second and further of equal items an alias: DataFusion refuses equal items.
pub(super) fn separate_equal_items(select: &mut Select) {
    for index in 1..select.projection.len() {
        let (before, rest) = select.projection.split_at_mut(index);
        if let Some(item) = rest.first_mut()
            && matches!(item, SelectItem::UnnamedExpr(_))
            && before.contains(item)
        {
            let name = item_name(item).unwrap_or_default();
            alias(item, &name, index);
        }
    }
}

/// What PostgreSQL calls an item that nothing names.
const UNNAMED: &str = "?column?";

fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

fn first_select_mut(body: &mut SetExpr) -> Option<&mut Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select_mut(&mut query.body),
        SetExpr::SetOperation { left, .. } => first_select_mut(left),
        _ => None,
    }
}

pub(super) fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(expression_name(expr)),
        SelectItem::ExprWithAlias { alias, .. } => Some(output_name(&folded(alias)).to_owned()),
        _ => None,
    }
}

fn has_wildcard(select: &Select) -> bool {
    let wildcard = |item: &SelectItem| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    };
    select.projection.iter().any(wildcard)
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn alias(item: &mut SelectItem, name: &str, index: usize) {
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
        return;
    };
    let alias = Ident::with_quote('"', format!("{name}{SEPARATOR}{index}"));
    *item = SelectItem::ExprWithAlias {
        expr: super::build::take(expr),
        alias,
    };
}

fn name_items(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => name_select(select),
        SetExpr::Query(query) => name_items(&mut query.body),
        SetExpr::SetOperation { left, right, .. } => {
            name_items(left);
            name_items(right);
        }
        _ => {}
    }
}

fn name_select(select: &mut Select) {
    // A column beside a wildcard that yields it too would be there twice under one name.
    let wildcard = has_wildcard(select);
    let mut seen = Vec::new();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let Some(name) = item_name(item) else {
            continue;
        };
        let repeated = seen.contains(&name);
        match item {
            SelectItem::UnnamedExpr(expr) => {
                if !is_column(expr) || repeated || wildcard {
                    alias(item, &name, index);
                }
            }
            SelectItem::ExprWithAlias { .. } => {
                if repeated {
                    alias(item, &name, index);
                }
            }
            _ => {}
        }
        seen.push(name);
    }
}

/// ORDER BY an unnamed item, by its expression or by the name PostgreSQL gives it, becomes ORDER
/// BY its position.
fn order_by_position(query: &mut Query) {
    let Some(select) = first_select(&query.body) else {
        return;
    };
    let plain = |item: &SelectItem| {
        matches!(
            item,
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
        )
    };
    // After a wildcard the positions are not known here.
    let known = select
        .projection
        .iter()
        .take_while(|item| plain(item))
        .count();
    let items: Vec<(String, Option<Expr>)> = select.projection[..known]
        .iter()
        .map(|item| {
            let unnamed = match item {
                SelectItem::UnnamedExpr(expr) if !is_column(expr) => Some(expr.clone()),
                _ => None,
            };
            (item_name(item).unwrap_or_default(), unnamed)
        })
        .collect();
    let is_distinct = matches!(select.distinct, Some(Distinct::Distinct));
    let is_select = matches!(query.body.as_ref(), SetExpr::Select(_));
    let Some(order_by) = &mut query.order_by else {
        return;
    };
    let OrderByKind::Expressions(orders) = &mut order_by.kind else {
        return;
    };
    for order in orders {
        let by_name = match &order.expr {
            Expr::Identifier(ident) => {
                let name = folded(ident);
                let mut same = items
                    .iter()
                    .enumerate()
                    .filter(|(_, (known, _))| *known == name);
                match (same.next(), same.next()) {
                    (Some((index, (_, Some(_)))), None) => Some(index),
                    _ => None,
                }
            }
            _ => None,
        };
        let by_expression = || {
            let same =
                |(_, unnamed): &(String, Option<Expr>)| unnamed.as_ref() == Some(&order.expr);
            if is_distinct && is_select {
                items.iter().position(same)
            } else {
                None
            }
        };
        if let Some(index) = by_name.or_else(by_expression) {
            order.expr = number(u64::try_from(index + 1).unwrap_or(u64::MAX));
        }
    }
}

/// PostgreSQL's name of an unnamed item.
fn expression_name(expr: &Expr) -> String {
    named(expr).map_or_else(|| UNNAMED.to_owned(), |(name, _)| name)
}

/// The name and whether it is a strong one, which a cast around it keeps.
fn named(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(ident) => strong(&folded(ident)),
        Expr::CompoundIdentifier(idents) => strong(&folded(idents.last()?)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => named(inner),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some(folded(ident)),
                AccessExpr::Dot(name) => super::build::literal_text(name).map(str::to_owned),
                AccessExpr::Subscript(_) => super::operators::field_name(access).map(str::to_owned),
            });
            match field {
                Some(name) => strong(&name),
                None => named(root),
            }
        }
        Expr::Function(_) if array_subquery(expr).is_some() => strong("array"),
        Expr::Function(function) => strong(&function_name(function)),
        Expr::Cast {
            expr: inner,
            data_type,
            ..
        } => match named(inner) {
            Some((name, true)) => Some((name, true)),
            _ => Some((type_name(data_type), false)),
        },
        Expr::TypedString(typed) => Some((type_name(&typed.data_type), false)),
        Expr::Interval(_) => Some(("interval".to_owned(), false)),
        Expr::Case { else_result, .. } => match else_result.as_ref().and_then(|e| named(e)) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".to_owned(), false)),
        },
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Subquery(query) => {
            let item = first_select(&query.body)?.projection.first()?;
            match item {
                SelectItem::UnnamedExpr(expr) => named(expr),
                other => item_name(other).map(|name| (name, true)),
            }
        }
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { shorthand, .. } => {
            strong(if *shorthand { "substr" } else { "substring" })
        }
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        _ => None,
    }
}

/// The internal name of a type, which a cast gives an item without a name.
fn type_name(data_type: &DataType) -> String {
    if let Some((name, _)) = cast::custom_name(data_type) {
        return name;
    }
    if let DataType::Array(element) = data_type {
        use datafusion::sql::sqlparser::ast::ArrayElemTypeDef;
        if let ArrayElemTypeDef::SquareBracket(element, _) = element {
            return type_name(element);
        }
    }
    let printed = data_type.to_string().to_lowercase();
    let oid = crate::catalog::pg_type::oid_of_sql_name(&printed);
    let known = oid.and_then(crate::catalog::pg_type::by_oid);
    known.map_or(printed, |known| known.name.to_owned())
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    /// Item and PostgreSQL 15's name for it.
    const NAMES: &[(&str, &str)] = &[
        ("1", "?column?"),
        ("''", "?column?"),
        ("a", "a"),
        ("t.\"B\"", "B"),
        ("count(*)", "count"),
        ("pg_catalog.count(*)", "count"),
        ("sum(x) + 1", "?column?"),
        ("x::text", "x"),
        ("1::text", "text"),
        ("1::int", "int4"),
        ("'2020-01-01'::timestamp with time zone", "timestamptz"),
        ("'1'::numeric(10,2)", "numeric"),
        ("'{1}'::int[]", "int4"),
        ("CAST(lower(x) AS varchar(5))", "lower"),
        ("date '2020-01-01'", "date"),
        ("interval '1 day'", "interval"),
        ("true", "?column?"),
        ("NULL", "?column?"),
        ("CASE WHEN a THEN 1 END", "case"),
        ("CASE WHEN a THEN 1 ELSE b END", "b"),
        ("EXISTS (SELECT 1)", "exists"),
        ("(SELECT max(x) FROM t)", "max"),
        ("(SELECT x AS y FROM t)", "y"),
        ("(SELECT 1)", "?column?"),
        ("ARRAY[1]", "array"),
        ("ARRAY(SELECT 1)", "array"),
        ("coalesce(a, b)", "coalesce"),
        ("extract(year FROM d)", "extract"),
        ("trim(a)", "btrim"),
        ("current_user", "current_user"),
        ("current_date", "current_date"),
        ("c.oid::regclass", "oid"),
        ("'x'::regclass", "regclass"),
        ("'x'::pg_catalog.regclass::pg_catalog.text", "text"),
        ("a COLLATE \"C\"", "a"),
        ("a IS NULL", "?column?"),
        ("-a", "?column?"),
        ("(a)", "a"),
        ("d AT TIME ZONE 'UTC'", "timezone"),
        ("'x'::\"char\"", "char"),
    ];

    #[test]
    fn items_have_postgresqls_names() {
        for (item, name) in NAMES {
            let sql = format!("SELECT {item} FROM t");
            let statement = &Parser::parse_sql(&PostgreSqlDialect {}, &sql).unwrap()[0];
            assert_eq!(
                output_names(statement),
                [Some((*name).to_owned())],
                "{item}"
            );
        }
    }

    #[test]
    fn a_marked_name_is_cut() {
        assert_eq!(output_name("count\u{1f}3"), "count");
        assert_eq!(output_name("count"), "count");
    }
}
