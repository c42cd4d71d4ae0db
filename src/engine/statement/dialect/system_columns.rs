//! The system columns of catalog relations: tableoid, xmin, cmin, xmax, cmax, ctid; letters of names.
//!
//! Catalog relations here have no row versions: every row is said to come from the first transaction,
//! and `age(xmin)` is 0, so that a client which asks what changed since last time gets every row.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Ident, ObjectName, Select, SelectItem, VisitMut, VisitorMut,
};

use super::build::{
    arguments_mut, call, case_when, cast, folded, function_name, number, string, take,
};
use super::subquery::{catalog_relation, factors};
use crate::catalog::layout::Layout;
use crate::catalog::pg_type;
use crate::engine::functions::lists::SUBSCRIPT;

/// The number of the transaction that is said to have made every catalog row.
const XMIN: u64 = 1;

/// Replaces the system columns of the catalog relations that a select reads.
pub(super) fn fill(select: &mut Select) {
    let mut relations = HashMap::new();
    for factor in factors(&select.from) {
        if let Some((alias, layout)) = catalog_relation(factor)
            && let Some(column) = layout.columns.first()
        {
            let own = if layout.position("oid").is_some() {
                "oid"
            } else {
                column.name
            };
            relations.insert(alias, (Arc::clone(&layout), own));
        }
    }
    if !relations.is_empty() {
        let alone = select.from.len() == 1 && select.from.iter().all(|from| from.joins.is_empty());
        let mut filler = Filler { relations, alone };
        for item in &mut select.projection {
            filler.keep_name(item);
        }
        let _: ControlFlow<()> = VisitMut::visit(select, &mut filler);
    }
}

struct Filler {
    /// By alias: the relation and a column that is never NULL.
    relations: HashMap<String, (Arc<Layout>, &'static str)>,
    /// Whether the select reads nothing else, so that a bare name is the relation's.
    alone: bool,
}

impl Filler {
    /// A value in a column's place goes on under the column's name.
    fn keep_name(&self, item: &mut SelectItem) {
        let SelectItem::UnnamedExpr(expr) = item else {
            return;
        };
        let (relation, column) = match &*expr {
            Expr::Identifier(column) => (None, column),
            Expr::CompoundIdentifier(idents) => match idents.as_slice() {
                [relation, column] => (Some(relation), column),
                _ => return,
            },
            _ => return,
        };
        if self.value(relation, column).is_some() {
            let alias = Ident::with_quote('"', folded(column));
            *item = SelectItem::ExprWithAlias {
                expr: take(expr),
                alias,
            };
        }
    }

    fn relation(&self, name: Option<&Ident>) -> Option<(&String, &(Arc<Layout>, &'static str))> {
        match name {
            Some(name) => self.relations.get_key_value(&folded(name)),
            None if self.alone => self.relations.iter().next(),
            None => None,
        }
    }

    /// A letter of a name: `typname[0]`.
    fn letter(&self, expr: &mut Expr) -> Option<Expr> {
        let Expr::Function(function) = expr else {
            return None;
        };
        if function_name(function) != SUBSCRIPT {
            return None;
        }
        let mut arguments = arguments_mut(function).into_iter();
        let (name, place) = (arguments.next()?, arguments.next()?);
        let (relation, column) = match &*name {
            Expr::Identifier(column) => (None, column),
            Expr::CompoundIdentifier(idents) => match idents.as_slice() {
                [relation, column] => (Some(relation), column),
                _ => return None,
            },
            _ => return None,
        };
        let (_, (layout, _)) = self.relation(relation)?;
        let column = layout.columns.get(layout.position(&folded(column))?)?;
        if pg_type::by_oid(column.type_oid)?.name != "name" {
            return None;
        }
        let place = Expr::BinaryOp {
            left: Box::new(take(place)),
            op: BinaryOperator::Plus,
            right: Box::new(number(1)),
        };
        Some(call("substr", vec![take(name), place, number(1)]))
    }

    fn value(&self, relation: Option<&Ident>, column: &Ident) -> Option<Expr> {
        let (alias, (layout, own)) = self.relation(relation)?;
        let constant = constant(&folded(column), layout.oid)?;
        // NULL on the empty side of an outer join.
        let owner = relation
            .cloned()
            .unwrap_or_else(|| Ident::with_quote('"', alias));
        let own = Expr::CompoundIdentifier(vec![owner, Ident::new(*own)]);
        Some(case_when(Expr::IsNotNull(Box::new(own)), constant))
    }
}

impl VisitorMut for Filler {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let value = match expr {
            Expr::CompoundIdentifier(idents) => match idents.as_slice() {
                [relation, column] => self.value(Some(relation), column),
                _ => None,
            },
            Expr::Identifier(column) => self.value(None, column),
            Expr::Function(_) => self.letter(expr),
            _ => None,
        };
        if let Some(value) = value {
            *expr = value;
        }
        ControlFlow::Continue(())
    }
}

fn constant(column: &str, relation_oid: u32) -> Option<Expr> {
    let typed = |value: String, name: &str| {
        let name = ObjectName::from(vec![Ident::new(name)]);
        cast(string(&value), DataType::Custom(name, Vec::new()))
    };
    Some(match column {
        "tableoid" => typed(relation_oid.to_string(), "oid"),
        "xmin" => typed(XMIN.to_string(), "xid"),
        "xmax" => typed("0".to_owned(), "xid"),
        "cmin" | "cmax" => typed("0".to_owned(), "cid"),
        "ctid" => typed("(0,1)".to_owned(), "tid"),
        _ => return None,
    })
}

/// `age(xmin)` and `age('0'::xid)`, which count transactions and not time: none are counted here.
pub(super) fn rewrite_age(expr: &mut Expr) {
    let Expr::Function(function) = expr else {
        return;
    };
    if function_name(function) != "age" {
        return;
    }
    let mut arguments = arguments_mut(function);
    if let [argument] = arguments.as_mut_slice()
        && is_transaction(argument)
    {
        let argument = take(argument);
        *expr = call("pg_xid_age", vec![argument]);
    }
}

fn is_transaction(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_transaction(inner),
        Expr::Identifier(column) => is_transaction_column(column),
        Expr::CompoundIdentifier(idents) => idents.last().is_some_and(is_transaction_column),
        Expr::Cast { data_type, .. } => {
            super::cast::custom_name(data_type).is_some_and(|(name, _)| name == "xid")
        }
        _ => false,
    }
}

fn is_transaction_column(column: &Ident) -> bool {
    matches!(
        folded(column).as_str(),
        "xmin" | "xmax" | "datfrozenxid" | "relfrozenxid" | "backend_xid" | "backend_xmin"
    )
}
