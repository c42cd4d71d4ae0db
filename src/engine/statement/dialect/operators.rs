//! Operators and forms of expressions that DataFusion does not plan or plans otherwise.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, FunctionArguments, Query, SelectItem, SetExpr, Subscript,
    UnaryOperator, Value, ValueWithSpan,
};

use datafusion::logical_expr::Operator;

use super::build::{call, folded, function_name, join, literal_text, null, number, string, take};
use crate::engine::functions::lists::{SLICE, SUBSCRIPT};
use crate::engine::functions::quantified::OPERATORS;
use crate::engine::functions::regexes::{LIKE_ESCAPE, MATCH, MATCH_INSENSITIVE, SIMILAR_TO};
use crate::engine::statement::tokens::SYMMETRIC;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Rewrites one expression in place; its operands have been rewritten before.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::BinaryOp { .. } => rewrite_binary(expr),
        Expr::UnaryOp { .. } => rewrite_unary(expr),
        Expr::SimilarTo { .. } => rewrite_similar(expr),
        Expr::Like { .. } | Expr::ILike { .. } => rewrite_like(expr)?,
        Expr::Between { .. } => rewrite_between(expr),
        Expr::Substring { .. } => rewrite_substring(expr),
        Expr::CompoundFieldAccess { .. } => rewrite_subscripts(expr)?,
        Expr::Value(ValueWithSpan {
            value: Value::UnicodeStringLiteral(text),
            ..
        }) => *expr = string(text.clone()),
        _ => {}
    }
    Ok(())
}

/// `x op ANY (array)` and `x op ALL (array)`; with a subquery they are left as they are.
pub(super) fn rewrite_quantified(expr: &mut Expr) {
    let (Expr::AnyOp {
        left,
        compare_op,
        right,
        ..
    }
    | Expr::AllOp {
        left,
        compare_op,
        right,
    }) = &mut *expr
    else {
        return;
    };
    if matches!(right.as_ref(), Expr::Subquery(_)) {
        return;
    }
    let operator = match compare_op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return,
    };
    let operands = vec![take(left), take(right)];
    let every = matches!(expr, Expr::AllOp { .. });
    if let Some((_, any, all)) = OPERATORS.iter().find(|(known, ..)| *known == operator) {
        *expr = call(if every { all } else { any }, operands);
    }
}

fn negated(expr: Expr, negated: bool) -> Expr {
    let expr = Expr::Nested(Box::new(expr));
    match negated {
        true => Expr::Nested(Box::new(Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(expr),
        })),
        false => expr,
    }
}

fn rewrite_binary(expr: &mut Expr) {
    let Expr::BinaryOp { left, op, right } = expr else {
        return;
    };
    let (name, not) = match op {
        BinaryOperator::PGRegexMatch => (MATCH, false),
        BinaryOperator::PGRegexNotMatch => (MATCH, true),
        BinaryOperator::PGRegexIMatch => (MATCH_INSENSITIVE, false),
        BinaryOperator::PGRegexNotIMatch => (MATCH_INSENSITIVE, true),
        BinaryOperator::PGStartsWith => ("starts_with", false),
        BinaryOperator::PGOverlap => ("array_has_any", false),
        _ => return,
    };
    let matched = call(name, vec![take(left), take(right)]);
    *expr = negated(matched, not);
}

fn rewrite_unary(expr: &mut Expr) {
    let Expr::UnaryOp { op, expr: operand } = expr else {
        return;
    };
    *expr = match op {
        UnaryOperator::BitwiseNot => Expr::Nested(Box::new(Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(take(operand)))),
            op: BinaryOperator::PGBitwiseXor,
            right: Box::new(Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: Box::new(number(1)),
            }),
        })),
        UnaryOperator::PGAbs => call("abs", vec![take(operand)]),
        UnaryOperator::PGSquareRoot => call("sqrt", vec![take(operand)]),
        UnaryOperator::PGCubeRoot => call("cbrt", vec![take(operand)]),
        _ => return,
    };
}

fn rewrite_similar(expr: &mut Expr) {
    let Expr::SimilarTo {
        negated: not,
        expr: operand,
        pattern,
        escape_char,
    } = expr
    else {
        return;
    };
    let mut arguments = vec![take(pattern)];
    arguments.extend(escape_char.take().map(Expr::Value));
    let pattern = call(SIMILAR_TO, arguments);
    *expr = negated(call(MATCH, vec![take(operand), pattern]), *not);
}

/// `LIKE … ESCAPE`, and `LIKE ANY` or `LIKE ALL` of an array that is written out.
fn rewrite_like(expr: &mut Expr) -> Result<()> {
    let (Expr::Like {
        pattern,
        escape_char,
        ..
    }
    | Expr::ILike {
        pattern,
        escape_char,
        ..
    }) = &mut *expr
    else {
        return Ok(());
    };
    if let Some(escape) = escape_char.take() {
        let backslash = matches!(&escape.value, Value::SingleQuotedString(text) if text == "\\");
        if !backslash {
            **pattern = call(LIKE_ESCAPE, vec![take(pattern), Expr::Value(escape)]);
        }
    }
    let quantifier = match pattern.as_ref() {
        Expr::Function(function) => match function_name(function).as_str() {
            "all" => BinaryOperator::And,
            "any" | "some" => BinaryOperator::Or,
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    let items = match pattern.as_mut() {
        Expr::Function(function) => elements(&function.args),
        _ => None,
    };
    let Some(items) = items else {
        return Err(Error::feature_not_supported(
            "LIKE with ANY or ALL of an array that is not written out is not supported",
        ));
    };
    let each = |item: Expr| {
        let mut like = expr.clone();
        if let Expr::Like { pattern, .. } | Expr::ILike { pattern, .. } = &mut like {
            **pattern = item;
        }
        Expr::Nested(Box::new(like))
    };
    if let Some(all) = join(&quantifier, items.into_iter().map(each).collect()) {
        *expr = Expr::Nested(Box::new(all));
    }
    Ok(())
}

/// The elements of `(ARRAY[a, b])` or `('{a,b}')`.
fn elements(args: &FunctionArguments) -> Option<Vec<Expr>> {
    use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr};
    let FunctionArguments::List(list) = args else {
        return None;
    };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(array))] = list.args.as_slice() else {
        return None;
    };
    let array = super::cast::array_constant(array, None).unwrap_or_else(|| array.clone());
    match array {
        Expr::Array(array) => Some(array.elem),
        Expr::Cast { expr, .. } => match *expr {
            Expr::Array(array) => Some(array.elem),
            _ => None,
        },
        _ => None,
    }
}

/// `x BETWEEN SYMMETRIC a AND b`: the marker that stands before `a` is taken away.
fn rewrite_between(expr: &mut Expr) {
    let Expr::Between { low, .. } = expr else {
        return;
    };
    if !take_marker(low) {
        return;
    }
    let mut swapped = expr.clone();
    let mut not = false;
    if let Expr::Between {
        low, high, negated, ..
    } = &mut swapped
    {
        std::mem::swap(low, high);
        not = std::mem::take(negated);
    }
    if let Expr::Between { negated, .. } = expr {
        *negated = false;
    }
    let either = Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(take(expr)))),
        op: BinaryOperator::Or,
        right: Box::new(Expr::Nested(Box::new(swapped))),
    };
    *expr = negated(either, not);
}

fn take_marker(expr: &mut Expr) -> bool {
    let Expr::BinaryOp { left, op, right } = expr else {
        return false;
    };
    let marker = |expr: &Expr| matches!(expr, Expr::Identifier(ident) if ident.value == SYMMETRIC);
    if *op == BinaryOperator::StringConcat && marker(left) {
        *expr = take(right);
        return true;
    }
    take_marker(left)
}

fn rewrite_substring(expr: &mut Expr) {
    let Expr::Substring {
        expr: operand,
        substring_from,
        substring_for,
        shorthand,
        ..
    } = expr
    else {
        return;
    };
    let name = if *shorthand { "substr" } else { "substring" };
    let from = substring_from
        .take()
        .map_or_else(|| number(1), |from| *from);
    let mut arguments = vec![take(operand), from];
    arguments.extend(substring_for.take().map(|length| *length));
    *expr = call(name, arguments);
}

/// `a[1]`, `a[1][2]`, `a[1:2]`, and fields of records: `r['f']`, `a[1]['f']`.
fn rewrite_subscripts(expr: &mut Expr) -> Result<()> {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else {
        return Ok(());
    };
    if !access_chain
        .iter()
        .all(|access| matches!(access, AccessExpr::Subscript(_)))
    {
        return Ok(());
    }
    let indices = access_chain
        .iter()
        .position(|access| field_name(access).is_some());
    if let Some(indices) = indices {
        let fields = access_chain.split_off(indices);
        if access_chain.is_empty() {
            *expr = take(root);
        } else {
            rewrite_subscripts(expr)?;
        }
        for field in &fields {
            let Some(name) = field_name(field) else {
                return Err(Error::feature_not_supported(
                    "a subscript after the name of a field is not supported",
                )
                .with_hint("Put the field into parentheses: (record['field'])[1]."));
            };
            *expr = call(GET_FIELD, vec![take(expr), string(name.to_owned())]);
        }
        return Ok(());
    }
    let mut arguments = vec![take(root)];
    let several = access_chain.len() > 1;
    for access in std::mem::take(access_chain) {
        let AccessExpr::Subscript(subscript) = access else {
            continue;
        };
        match subscript {
            Subscript::Index { index } => arguments.push(index),
            Subscript::Slice { .. } if several => {
                return Err(Error::feature_not_supported(
                    "slices of more than one dimension are not supported",
                ));
            }
            Subscript::Slice {
                lower_bound,
                upper_bound,
                ..
            } => {
                arguments.extend([lower_bound, upper_bound].map(|b| b.unwrap_or_else(null)));
                *expr = call(SLICE, arguments);
                return Ok(());
            }
        }
    }
    // One call for all: an array of other dimensions has no such element.
    *expr = call(SUBSCRIPT, arguments);
    Ok(())
}

/// The engine's function for a field of a record.
const GET_FIELD: &str = "get_field";

/// The name in `['name']`; a text that is a number is a subscript of an array.
pub(super) fn field_name(access: &AccessExpr) -> Option<&str> {
    match access {
        AccessExpr::Subscript(Subscript::Index { index }) => {
            literal_text(index).filter(|text| text.trim().parse::<i64>().is_err())
        }
        _ => None,
    }
}

/// `FETCH FIRST n ROWS` is a limit; with ties, rows are ranked.
pub(super) fn rewrite_fetch(query: &mut Query) -> Result<()> {
    use datafusion::sql::sqlparser::ast::{LimitClause, Offset, OffsetRows, OrderByKind};
    let Some(fetch) = query.fetch.take() else {
        return Ok(());
    };
    if fetch.percent {
        return Err(Error::syntax_error("syntax error at or near \"PERCENT\""));
    }
    let quantity = fetch.quantity.unwrap_or_else(|| number(1));
    let offset = match query.limit_clause.take() {
        None => None,
        Some(LimitClause::LimitOffset {
            limit: None,
            offset,
            ..
        }) => offset,
        Some(_) => return Err(Error::syntax_error("multiple LIMIT clauses not allowed")),
    };
    let mut limit = Some(quantity);
    if fetch.with_ties {
        let keys = match query.order_by.as_ref().map(|order_by| &order_by.kind) {
            Some(OrderByKind::Expressions(keys)) => keys.clone(),
            _ => {
                return Err(Error::syntax_error(
                    "WITH TIES cannot be specified without ORDER BY clause",
                ));
            }
        };
        let SetExpr::Select(select) = query.body.as_mut() else {
            return Err(ties_of_what());
        };
        if select.distinct.is_some() || select.qualify.is_some() {
            return Err(ties_of_what());
        }
        let mut last = take_limit(&mut limit);
        if let Some(Offset { value, .. }) = &offset {
            last = Expr::BinaryOp {
                left: Box::new(last),
                op: BinaryOperator::Plus,
                right: Box::new(value.clone()),
            };
        }
        let mut keys = keys;
        for key in &mut keys {
            key.expr = sort_expression(&key.expr, &select.projection);
        }
        select.qualify = Some(Expr::BinaryOp {
            left: Box::new(super::windows::rank(keys).ok_or_else(ties_of_what)?),
            op: BinaryOperator::LtEq,
            right: Box::new(Expr::Nested(Box::new(last))),
        });
    }
    if limit.is_some() || offset.is_some() {
        query.limit_clause = Some(LimitClause::LimitOffset {
            limit,
            offset: offset.map(|offset| Offset {
                value: offset.value,
                rows: OffsetRows::None,
            }),
            limit_by: Vec::new(),
        });
    }
    Ok(())
}

fn take_limit(limit: &mut Option<Expr>) -> Expr {
    limit.take().unwrap_or_else(|| number(1))
}

fn ties_of_what() -> Error {
    Error::new(
        SqlState::FeatureNotSupported,
        "WITH TIES is supported for a plain SELECT without DISTINCT only",
    )
}

/// What ORDER BY names by position or alias.
fn sort_expression(key: &Expr, items: &[SelectItem]) -> Expr {
    let item = |index: usize| match items.get(index) {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => {
            Some(expr.clone())
        }
        _ => None,
    };
    match key {
        Expr::Value(ValueWithSpan {
            value: Value::Number(position, _),
            ..
        }) => {
            let index = position
                .parse::<usize>()
                .ok()
                .and_then(|position| position.checked_sub(1));
            index.and_then(item).unwrap_or_else(|| key.clone())
        }
        Expr::Identifier(name) => {
            let alias = items.iter().position(|item| {
                matches!(item, SelectItem::ExprWithAlias { alias, .. } if folded(alias) == folded(name))
            });
            alias.and_then(item).unwrap_or_else(|| key.clone())
        }
        _ => key.clone(),
    }
}
