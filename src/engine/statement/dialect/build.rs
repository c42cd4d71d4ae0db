//! Small pieces of syntax tree, and what a node is.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, Statement,
    Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::{Error, Result};

/// A function call.
pub(super) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `CAST(expr AS type)`.
pub(in crate::engine) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

/// A string constant.
pub(super) fn string(text: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.into()).with_empty_span())
}

/// A whole number.
pub(in crate::engine) fn number(value: u64) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).with_empty_span())
}

/// NULL.
pub(in crate::engine) fn null() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}

/// `CASE WHEN condition THEN result ELSE NULL END`.
pub(super) fn case_when(condition: Expr, result: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result }],
        else_result: Some(Box::new(null())),
    }
}

/// `CASE WHEN value = constant THEN result ELSE otherwise END`.
pub(super) fn case_equal(value: Expr, constant: Expr, result: Expr, otherwise: Expr) -> Expr {
    let condition = Expr::BinaryOp {
        left: Box::new(value),
        op: BinaryOperator::Eq,
        right: Box::new(constant),
    };
    let mut case = case_when(condition, result);
    if let Expr::Case { else_result, .. } = &mut case {
        *else_result = Some(Box::new(otherwise));
    }
    case
}

/// The conditions joined by `op`, each in parentheses; none for no conditions.
pub(super) fn join(op: &BinaryOperator, conditions: Vec<Expr>) -> Option<Expr> {
    conditions.into_iter().reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: op.clone(),
        right: Box::new(right),
    })
}

/// The conditions that `expr` joins by AND.
pub(super) fn conjuncts(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            let mut all = conjuncts(*left);
            all.extend(conjuncts(*right));
            all
        }
        Expr::Nested(inner) if is_and(&inner) => conjuncts(*inner),
        other => vec![other],
    }
}

fn is_and(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp {
            op: BinaryOperator::And,
            ..
        } => true,
        Expr::Nested(inner) => is_and(inner),
        _ => false,
    }
}

/// A string constant's text.
pub(super) fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        Expr::Nested(inner) => literal_text(inner),
        _ => None,
    }
}

/// An identifier as it is looked up: quoted ones as written, others in lower case.
pub(in crate::engine) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// The name of an argument, if it has one, and its value; none for what is no value, such as `*`.
pub(in crate::engine) fn argument(argument: &FunctionArg) -> Option<(Option<&Ident>, &Expr)> {
    match argument {
        // The parser takes the older `f(x := 1)` for an operator.
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp {
            left,
            op: BinaryOperator::Assignment,
            right,
        })) => match left.as_ref() {
            Expr::Identifier(name) => Some((Some(name), right)),
            _ => None,
        },
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some((None, value)),
        FunctionArg::Named {
            name,
            arg: FunctionArgExpr::Expr(value),
            ..
        }
        | FunctionArg::ExprNamed {
            name: Expr::Identifier(name),
            arg: FunctionArgExpr::Expr(value),
            ..
        } => Some((Some(name), value)),
        _ => None,
    }
}

/// The folded parts of a name; none for names with computed parts.
pub(in crate::engine) fn parts(name: &ObjectName) -> Option<Vec<String>> {
    name.0
        .iter()
        .map(|part| part.as_ident().map(folded))
        .collect()
}

/// The name without a leading `pg_catalog.`.
pub(super) fn strip_pg_catalog(name: &mut ObjectName) {
    let first = name
        .0
        .first()
        .and_then(ObjectNamePart::as_ident)
        .map(folded);
    if name.0.len() == 2 && first.as_deref() == Some("pg_catalog") {
        name.0.remove(0);
    }
}

/// The last part of a function's name.
pub(super) fn function_name(function: &Function) -> String {
    let last = function.name.0.last().and_then(ObjectNamePart::as_ident);
    last.map(folded).unwrap_or_default()
}

/// The subquery of `ARRAY(SELECT …)`.
pub(super) fn array_subquery(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Function(function) => match &function.args {
            FunctionArguments::Subquery(query) if function_name(function) == "array" => Some(query),
            _ => None,
        },
        _ => None,
    }
}

/// Plain arguments of a call.
pub(super) fn arguments_mut(function: &mut Function) -> Vec<&mut Expr> {
    let FunctionArguments::List(list) = &mut function.args else {
        return Vec::new();
    };
    let plain = list.args.iter_mut().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named {
            arg: FunctionArgExpr::Expr(expr),
            ..
        } => Some(expr),
        _ => None,
    });
    plain.collect()
}

/// A query written out here.
pub(super) fn template(sql: &str) -> Result<Query> {
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok();
    match parsed.and_then(|mut parsed| parsed.pop()) {
        Some(Statement::Query(query)) => Ok(*query),
        _ => Err(Error::internal("a query was not parsed as one")),
    }
}

/// Takes an expression out of the tree, leaving NULL.
pub(super) fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, null())
}

/// Whether an expression is changed before its parts are visited or after.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Before its parts.
    Before,
    /// After its parts.
    After,
}

/// Changes the expressions of a node outside of the queries inside it, where names may mean something
/// else.
pub(super) fn visit_own(node: &mut impl VisitMut, order: Order, change: impl FnMut(&mut Expr)) {
    let mut own = Own {
        order,
        change,
        depth: 0,
    };
    let _: ControlFlow<()> = VisitMut::visit(node, &mut own);
}

struct Own<F> {
    order: Order,
    change: F,
    /// Queries that the visit is in.
    depth: usize,
}

impl<F: FnMut(&mut Expr)> Own<F> {
    fn visit(&mut self, order: Order, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0 && self.order == order {
            (self.change)(expr);
        }
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(&mut Expr)> VisitorMut for Own<F> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.visit(Order::Before, expr)
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.visit(Order::After, expr)
    }
}
