//! `ctid BETWEEN '(a,0)'::tid AND '(b,0)'::tid`: how readers split a table among connections.
//!
//! Tables that are read in place have no pages. Every row counts as one of page 0, so that ranges
//! of pages that cover a table give each row exactly once.

use datafusion::sql::sqlparser::ast::{Expr, Ident, Value};

use super::build::folded;

/// Decides a range of whole pages; anything else is left as it is.
pub(super) fn rewrite(expr: &mut Expr) {
    let Expr::Between {
        expr: column,
        negated,
        low,
        high,
    } = &*expr
    else {
        return;
    };
    let name: Option<&Ident> = match column.as_ref() {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(idents) => idents.last(),
        _ => None,
    };
    if name.map(folded).as_deref() != Some("ctid") {
        return;
    }
    if let (Some(first), Some(last)) = (page(low), page(high)) {
        let inside = first == 0 && last > 0;
        *expr = Expr::Value(Value::Boolean(inside != *negated).into());
    }
}

/// The page of `'(page,0)'::tid`.
fn page(expr: &Expr) -> Option<u64> {
    let text = match expr {
        Expr::Cast {
            expr, data_type, ..
        } if data_type.to_string().eq_ignore_ascii_case("tid") => match expr.as_ref() {
            Expr::Value(value) => value.value.clone().into_string()?,
            _ => return None,
        },
        Expr::Value(value) => value.value.clone().into_string()?,
        _ => return None,
    };
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (page, row) = inner.split_once(',')?;
    (row.trim() == "0").then(|| page.trim().parse().ok())?
}
