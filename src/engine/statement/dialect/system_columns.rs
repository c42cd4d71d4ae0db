//! The system columns of catalog relations: tableoid, xmin, cmin, xmax, cmax, ctid.
//!
//! Catalog relations here have no row versions: every row is said to come from the first transaction,
//! and `age(xmin)` is 0, so that a client which asks what changed since last time gets every row.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Ident, Select, SelectItem, VisitMut, VisitorMut,
};

use super::build::{call, case_when, cast, folded, function_name, number, string, take};
use super::subquery::{catalog_relation, factors};

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
            relations.insert(alias, (layout.oid, own));
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
    /// By alias: the relation's OID and a column that is never NULL.
    relations: HashMap<String, (u32, &'static str)>,
    /// Whether the select reads nothing else, so that a bare name is the relation's.
    alone: bool,
}

impl Filler {
    /// A value in a column's place goes on under the column's name.
    fn keep_name(&self, item: &mut SelectItem) {
        let SelectItem::UnnamedExpr(expr) = item else {
            return;
        };
        let (relation, column) = match expr {
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

    fn value(&self, relation: Option<&Ident>, column: &Ident) -> Option<Expr> {
        let (alias, (oid, own)) = match relation {
            Some(relation) => self.relations.get_key_value(&folded(relation))?,
            None if self.alone => self.relations.iter().next()?,
            None => return None,
        };
        let constant = constant(&folded(column), *oid)?;
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
            _ => None,
        };
        if let Some(value) = value {
            *expr = value;
        }
        ControlFlow::Continue(())
    }
}

fn constant(column: &str, relation_oid: u32) -> Option<Expr> {
    let unsigned = |value: u64| cast(number(value), DataType::IntUnsigned(None));
    Some(match column {
        "tableoid" => unsigned(u64::from(relation_oid)),
        "xmin" => unsigned(XMIN),
        "xmax" | "cmin" | "cmax" => unsigned(0),
        "ctid" => string("(0,1)"),
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
    let mut arguments = super::build::arguments_mut(function);
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
