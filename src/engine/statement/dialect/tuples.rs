//! Comparisons of rows written out, `(a, b) < (c, d)` and `(a, b) IN ((1, 2), …)`: column by column, as
//! the SQL standard defines them, so that a NULL decides only where PostgreSQL lets it.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, FunctionArguments, Ident, Query, SetExpr, TableAliasColumnDef,
    TableFactor, UnaryOperator, Value,
};

use super::build::{arguments_mut, case_when, function_name, join, null, take, template};
use crate::error::{Error, Result};

/// `left op right` of two rows of one length, as comparisons of their columns; none for anything else.
pub(super) fn comparison(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    let (left, right) = (columns(left)?, columns(right)?);
    if left.len() != right.len() || left.is_empty() {
        return None;
    }
    let pairs = || left.iter().zip(&right);
    let each = |op: &BinaryOperator| pairs().map(|(a, b)| compare(a, op, b)).collect();
    let compared = match op {
        BinaryOperator::Eq => join(&BinaryOperator::And, each(op))?,
        BinaryOperator::NotEq => join(&BinaryOperator::Or, each(op))?,
        BinaryOperator::Lt | BinaryOperator::LtEq => {
            ordered(&left, &BinaryOperator::Lt, op, &right)?
        }
        BinaryOperator::Gt | BinaryOperator::GtEq => {
            ordered(&left, &BinaryOperator::Gt, op, &right)?
        }
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

/// The columns of a row written out: `(a, b)` or `ROW(a, b)`.
fn columns(row: &Expr) -> Option<Vec<Expr>> {
    match row {
        Expr::Tuple(columns) => Some(columns.clone()),
        Expr::Nested(inner) => match inner.as_ref() {
            row @ Expr::Function(_) => columns(row),
            _ => None,
        },
        Expr::Function(function) if function_name(function) == "row" => {
            let mut function = function.clone();
            let count = match &function.args {
                FunctionArguments::List(list) => list.args.len(),
                _ => return None,
            };
            let columns: Vec<Expr> = arguments_mut(&mut function).into_iter().map(take).collect();
            (columns.len() == count).then_some(columns)
        }
        _ => None,
    }
}

/// The conditions of a WHERE clause that are `row IN (SELECT …)`: there a NULL is as good as false, so
/// that they become EXISTS.
pub(super) fn rewrite_conditions(condition: &mut Expr) -> Result<()> {
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            rewrite_conditions(left)?;
            rewrite_conditions(right)
        }
        Expr::Nested(inner) => rewrite_conditions(inner),
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => {
            let inner = match expr.as_mut() {
                Expr::Nested(inner) => inner,
                other => other,
            };
            let Expr::InSubquery { negated, .. } = inner else {
                return Ok(());
            };
            *negated = !*negated;
            let mut inner = take(inner);
            rewrite_conditions(&mut inner)?;
            *condition = inner;
            Ok(())
        }
        Expr::InSubquery {
            expr,
            subquery,
            negated,
        } => {
            if let Some(row) = columns(expr) {
                *condition = exists(&row, subquery, *negated, *negated)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `row IN (SELECT …)` where it is a value: true if a row is equal, NULL if a row might be.
pub(super) fn rewrite_membership(expr: &mut Expr) -> Result<()> {
    let Expr::InSubquery {
        expr: row,
        subquery,
        negated,
    } = expr
    else {
        return Ok(());
    };
    let Some(row) = columns(row) else {
        return Ok(());
    };
    let equal = exists(&row, subquery, false, false)?;
    let possible = exists(&row, subquery, true, false)?;
    let boolean = |value: bool| Expr::Value(Value::Boolean(value).with_empty_span());
    let mut case = case_when(equal, boolean(!*negated));
    if let Expr::Case {
        conditions,
        else_result,
        ..
    } = &mut case
    {
        conditions.push(CaseWhen {
            condition: possible,
            result: null(),
        });
        *else_result = Some(Box::new(boolean(*negated)));
    }
    *expr = case;
    Ok(())
}

/// `[NOT] EXISTS (SELECT 1 FROM (subquery) WHERE its columns are equal)`, or may be equal.
fn exists(row: &[Expr], subquery: &Query, possible: bool, negated: bool) -> Result<Expr> {
    let names: Vec<Ident> = (1..=row.len())
        .map(|at| Ident::with_quote('"', format!("row column {at}")))
        .collect();
    let mut query = template("SELECT 1 FROM (SELECT 1) AS \"row source\"(x)")?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(Error::internal("a SELECT was not parsed as one"));
    };
    if let Some(TableFactor::Derived {
        subquery: source,
        alias: Some(alias),
        ..
    }) = select.from.first_mut().map(|table| &mut table.relation)
    {
        **source = subquery.clone();
        alias.columns = names
            .iter()
            .map(|name| TableAliasColumnDef {
                name: name.clone(),
                data_type: None,
            })
            .collect();
    }
    let conditions = names.into_iter().zip(row).map(|(name, value)| {
        let equal = compare(&Expr::Identifier(name), &BinaryOperator::Eq, value);
        match possible {
            true => Expr::IsNotFalse(Box::new(equal)),
            false => equal,
        }
    });
    select.selection = join(&BinaryOperator::And, conditions.collect());
    Ok(Expr::Exists {
        subquery: Box::new(query),
        negated,
    })
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
