//! Aggregates that show the order of their rows, over an ordered subquery: `array_agg(x) FROM (SELECT …
//! ORDER BY y)`. The engine forgets that order, so it is given to the aggregate itself.

use datafusion::sql::sqlparser::ast::{
    Distinct, DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArguments, Ident,
    OrderByExpr, OrderByKind, Select, SelectItem, SetExpr, TableAliasColumnDef, TableFactor, Value,
};

use super::build::{Order, folded, function_name, take, visit_own};

/// What gives the rows of a group in their order.
const ORDERED: &[&str] = &[
    "array_agg",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "string_agg",
];

/// Gives the order of the only subquery in FROM to the aggregates that have none.
pub(super) fn keep(select: &mut Select) {
    let mut found = false;
    visit_own(&mut select.projection, Order::After, |expr| {
        found |= unordered(expr).is_some();
    });
    if !found || select.projection.iter().any(is_wildcard) {
        return;
    }
    let [table] = select.from.as_mut_slice() else {
        return;
    };
    if !table.joins.is_empty() {
        return;
    }
    if let Some(keys) = keys(&mut table.relation) {
        visit_own(&mut select.projection, Order::After, |expr| {
            if let Some(clauses) = unordered(expr) {
                clauses.push(FunctionArgumentClause::OrderBy(keys.clone()));
            }
        });
    }
}

/// The clauses of an aggregate that shows an order and has none.
fn unordered(expr: &mut Expr) -> Option<&mut Vec<FunctionArgumentClause>> {
    match expr {
        Expr::Function(function) if shows_order(function) => match &mut function.args {
            FunctionArguments::List(list) => Some(&mut list.clauses),
            _ => None,
        },
        _ => None,
    }
}

fn shows_order(function: &Function) -> bool {
    let plain = match &function.args {
        FunctionArguments::List(list) => {
            !matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct))
                && !list
                    .clauses
                    .iter()
                    .any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)))
        }
        _ => false,
    };
    plain && function.over.is_none() && ORDERED.contains(&function_name(function).as_str())
}

/// The sort keys of an ordered subquery as columns of it; those that it does not show are added.
fn keys(factor: &mut TableFactor) -> Option<Vec<OrderByExpr>> {
    let TableFactor::Derived {
        lateral: false,
        subquery,
        alias: Some(alias),
        ..
    } = factor
    else {
        return None;
    };
    let OrderByKind::Expressions(order) = &subquery.order_by.as_ref()?.kind else {
        return None;
    };
    let order = order.clone();
    let SetExpr::Select(select) = subquery.body.as_mut() else {
        return None;
    };
    let wildcard = select.projection.iter().any(is_wildcard);
    let renamed = !alias.columns.is_empty();
    if matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_)))
        || (renamed && (wildcard || alias.columns.len() != select.projection.len()))
    {
        return None;
    }
    let mut keys = Vec::new();
    for (number, mut key) in order.into_iter().enumerate() {
        let expr = match position(&key.expr) {
            Some(_) if wildcard => return None,
            Some(at) => match select.projection.get(at.checked_sub(1)?)? {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    expr.clone()
                }
                _ => return None,
            },
            None => shown(select, &key.expr).unwrap_or_else(|| take(&mut key.expr)),
        };
        let name = Ident::with_quote('"', format!("order {number}"));
        select.projection.push(SelectItem::ExprWithAlias {
            expr,
            alias: name.clone(),
        });
        if renamed {
            alias.columns.push(TableAliasColumnDef {
                name: name.clone(),
                data_type: None,
            });
        }
        key.expr = Expr::CompoundIdentifier(vec![alias.name.clone(), name]);
        keys.push(key);
    }
    Some(keys)
}

fn is_wildcard(item: &SelectItem) -> bool {
    matches!(
        item,
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
    )
}

fn position(key: &Expr) -> Option<usize> {
    match key {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// The expression that an item of the name stands for.
fn shown(select: &Select, key: &Expr) -> Option<Expr> {
    let Expr::Identifier(name) = key else {
        return None;
    };
    select.projection.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } if folded(alias) == folded(name) => {
            Some(expr.clone())
        }
        _ => None,
    })
}
