//! Results of a CASE that no row reaches: what clients ask of domains, composite types and enums.
//!
//! No type of these kinds exists here, so `CASE WHEN t.typtype = 'd' THEN (WITH RECURSIVE …) END` over
//! pg_type never takes its branch. The subqueries in such branches are correlated in ways that cannot be
//! planned; a NULL of their type stands for them.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, DataType, Expr, Ident, ObjectName, Select, SelectItem,
    SetExpr,
};

use super::build::{
    Order, arguments_mut, cast, folded, function_name, literal_text, null, visit_own,
};
use super::subquery::{catalog_relation, factors};
use crate::catalog::layout;

/// The kinds of type that are not here: composite types, domains, enums.
const ABSENT_KINDS: &[&str] = &["c", "d", "e"];

/// Drops what a select over pg_type computes for such types.
pub(super) fn drop_results(select: &mut Select) {
    let types: Vec<String> = factors(&select.from)
        .filter_map(catalog_relation)
        .filter(|(_, layout)| layout.name == "pg_type")
        .map(|(alias, _)| alias)
        .collect();
    if types.is_empty() {
        return;
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            visit_own(expr, Order::Before, |expr| drop_absent(&types, expr));
        }
    }
}

fn drop_absent(types: &[String], expr: &mut Expr) {
    if let Expr::Case {
        operand: None,
        conditions,
        ..
    } = expr
    {
        for branch in conditions {
            if is_absent(types, &branch.condition)
                && let Some(data_type) = subquery_type(&mut branch.result)
            {
                branch.result = cast(null(), data_type);
            }
        }
    }
}

/// `t.typtype = 'd'`.
fn is_absent(types: &[String], condition: &Expr) -> bool {
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::Eq,
        right,
    } = condition
    else {
        return false;
    };
    let Expr::CompoundIdentifier(idents) = left.as_ref() else {
        return false;
    };
    let [relation, column] = idents.as_slice() else {
        return false;
    };
    let kind = literal_text(right);
    folded(column) == "typtype"
        && types.contains(&folded(relation))
        && kind.is_some_and(|kind| ABSENT_KINDS.contains(&kind))
}

/// The type of a subquery's value, if its item tells it.
fn subquery_type(result: &mut Expr) -> Option<DataType> {
    match result {
        Expr::Nested(inner) => subquery_type(inner),
        Expr::Subquery(query) => {
            let SetExpr::Select(select) = query.body.as_mut() else {
                return None;
            };
            let (SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }) =
                select.projection.first_mut()?
            else {
                return None;
            };
            match item {
                Expr::Function(function) if function_name(function) == "array_agg" => {
                    let arguments = arguments_mut(function);
                    let element = value_type(arguments.first()?)?;
                    let element = ArrayElemTypeDef::SquareBracket(Box::new(element), None);
                    Some(DataType::Array(element))
                }
                item => value_type(item),
            }
        }
        _ => None,
    }
}

fn value_type(expr: &Expr) -> Option<DataType> {
    let column = match expr {
        Expr::Cast { data_type, .. } => return Some(data_type.clone()),
        Expr::Identifier(ident) => folded(ident),
        Expr::CompoundIdentifier(idents) => folded(idents.last()?),
        _ => return None,
    };
    match layout::type_of_columns(&column)? {
        // By its name, so that the cast is one to PostgreSQL's type.
        "oid" => Some(DataType::Custom(
            ObjectName::from(vec![Ident::new("oid")]),
            Vec::new(),
        )),
        "name" | "text" => Some(DataType::Text),
        _ => None,
    }
}
