//! Comparisons of rows written out, `(a, b) < (c, d)` and `(a, b) IN ((1, 2), …)`: column by column, as
//! the SQL standard defines them, so that a NULL decides only where PostgreSQL lets it.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};

use super::build::join;

/// `left op right` of two rows of one length, as comparisons of their columns; none for anything else.
pub(super) fn comparison(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    let (Expr::Tuple(left), Expr::Tuple(right)) = (left, right) else {
        return None;
    };
    if left.len() != right.len() || left.is_empty() {
        return None;
    }
    let pairs = || left.iter().zip(right);
    let each = |op: &BinaryOperator| pairs().map(|(a, b)| compare(a, op, b)).collect();
    let compared = match op {
        BinaryOperator::Eq => join(&BinaryOperator::And, each(op))?,
        BinaryOperator::NotEq => join(&BinaryOperator::Or, each(op))?,
        BinaryOperator::Lt | BinaryOperator::LtEq => ordered(left, &BinaryOperator::Lt, op, right)?,
        BinaryOperator::Gt | BinaryOperator::GtEq => ordered(left, &BinaryOperator::Gt, op, right)?,
        _ => return None,
    };
    Some(Expr::Nested(Box::new(compared)))
}

/// `row IN (row, …)` as comparisons of columns; none where a member is no row of this length.
pub(super) fn membership(row: &Expr, list: &[Expr], negated: bool) -> Option<Expr> {
    let (operator, between) = match negated {
        false => (BinaryOperator::Eq, BinaryOperator::Or),
        true => (BinaryOperator::NotEq, BinaryOperator::And),
    };
    let each = list.iter().map(|item| comparison(row, &operator, item));
    let joined = join(&between, each.collect::<Option<_>>()?)?;
    Some(Expr::Nested(Box::new(joined)))
}

/// `a < c OR (a = c AND …)`, with `last` between the last columns.
fn ordered(
    left: &[Expr],
    strict: &BinaryOperator,
    last: &BinaryOperator,
    right: &[Expr],
) -> Option<Expr> {
    let ([a, after_a @ ..], [b, after_b @ ..]) = (left, right) else {
        return None;
    };
    if after_a.is_empty() {
        return Some(compare(a, last, b));
    }
    let rest = Expr::Nested(Box::new(ordered(after_a, strict, last, after_b)?));
    let tied = join(
        &BinaryOperator::And,
        vec![compare(a, &BinaryOperator::Eq, b), rest],
    )?;
    join(
        &BinaryOperator::Or,
        vec![compare(a, strict, b), Expr::Nested(Box::new(tied))],
    )
}

fn compare(left: &Expr, op: &BinaryOperator, right: &Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(left.clone()),
        op: op.clone(),
        right: Box::new(right.clone()),
    }))
}
