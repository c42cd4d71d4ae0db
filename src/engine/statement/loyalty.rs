//! Loyalty functions under OVER: what the planner would drop without a word is expanded or refused.
//!
//! DataFusion looks up scalar functions first and never sees their OVER, FILTER or DISTINCT. So
//! `rfm_segment(last_order, orders, amount) OVER w` becomes the scalar over three
//! `quantile_score(…) OVER w`, and the clauses are an error on every other scalar.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, ObjectName, ObjectNamePart, VisitMut, VisitorMut,
};

use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Expands `rfm_segment(…) OVER …`; refuses OVER, FILTER and DISTINCT on the scalars named by `is_scalar`.
pub fn rewrite(statement: &mut ast::Statement, is_scalar: &dyn Fn(&str) -> bool) -> Result<()> {
    match statement.visit(&mut Rewriter { is_scalar }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewriter<'a> {
    is_scalar: &'a dyn Fn(&str) -> bool,
}

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let Some(name) = plain_name(&function.name) else {
            return ControlFlow::Continue(());
        };
        if function.over.is_some() && name == "rfm_segment" {
            return match expand(function) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            };
        }
        match refused_clause(function) {
            Some(clause) if (self.is_scalar)(&name) => ControlFlow::Break(
                Error::new(
                    SqlState::WrongObjectType,
                    format!("{clause} specified, but {name} is neither an aggregate nor a window function"),
                )
                .with_hint(format!("Call {name}(…) without {clause}.")),
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The function's name in lower case, when it has no schema.
pub(super) fn plain_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] if ident.quote_style.is_none() => {
            Some(ident.value.to_lowercase())
        }
        [ObjectNamePart::Identifier(ident)] => Some(ident.value.clone()),
        _ => None,
    }
}

fn refused_clause(function: &Function) -> Option<&'static str> {
    let distinct = matches!(
        &function.args,
        FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct)
    );
    if function.over.is_some() {
        Some("OVER")
    } else if function.filter.is_some() {
        Some("FILTER")
    } else if distinct {
        Some("DISTINCT")
    } else {
        None
    }
}

/// `rfm_segment(a, b, c [, map]) OVER w` to `rfm_segment(quantile_score(a) OVER w, …, …[, map])`.
fn expand(function: &mut Function) -> Result<()> {
    let over = function.over.take();
    if function.filter.is_some() {
        return Err(Error::new(
            SqlState::FeatureNotSupported,
            "rfm_segment() OVER does not take FILTER",
        ));
    }
    let FunctionArguments::List(list) = &mut function.args else {
        return Err(arguments_error());
    };
    if !(3..=4).contains(&list.args.len()) || list.duplicate_treatment.is_some() {
        return Err(arguments_error());
    }
    for argument in list.args.iter_mut().take(3) {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = argument else {
            return Err(arguments_error());
        };
        let value = std::mem::replace(
            value,
            Expr::Wildcard(ast::helpers::attached_token::AttachedToken::empty()),
        );
        let score = Function {
            name: ObjectName::from(vec![Ident::new("quantile_score")]),
            uses_odbc_syntax: false,
            parameters: FunctionArguments::None,
            args: FunctionArguments::List(ast::FunctionArgumentList {
                duplicate_treatment: None,
                args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(value))],
                clauses: Vec::new(),
            }),
            filter: None,
            null_treatment: None,
            over: over.clone(),
            within_group: Vec::new(),
        };
        *argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(score)));
    }
    Ok(())
}

fn arguments_error() -> Error {
    Error::undefined_function(
        "rfm_segment() OVER takes (last_order, orders, amount) and optionally the name of a map",
    )
    .with_hint("Example: rfm_segment(last_order, orders, amount) OVER ()")
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn rewritten(sql: &str) -> Result<String> {
        let mut statement = parse(sql)?.remove(0).statement.unwrap();
        rewrite(&mut statement, &|name| {
            name == "nps_category" || name == "rfm_segment"
        })?;
        Ok(statement.to_string())
    }

    #[test]
    fn the_window_form_scores_each_argument_over_the_same_window() {
        assert_eq!(
            rewritten("SELECT rfm_segment(a, b, c) OVER (PARTITION BY d) FROM t").unwrap(),
            "SELECT rfm_segment(quantile_score(a) OVER (PARTITION BY d), quantile_score(b) OVER (PARTITION BY d), \
             quantile_score(c) OVER (PARTITION BY d)) FROM t"
        );
        assert_eq!(
            rewritten("SELECT rfm_segment(1, 2) FROM t").unwrap(),
            "SELECT rfm_segment(1, 2) FROM t"
        );
    }

    #[test]
    fn clauses_that_a_scalar_would_swallow_are_refused() {
        for sql in [
            "SELECT nps_category(s) OVER () FROM t",
            "SELECT nps_category(s) FILTER (WHERE true) FROM t",
            "SELECT nps_category(DISTINCT s) FROM t",
            "SELECT rfm_segment(1, 2) OVER () FROM t",
        ] {
            assert!(rewritten(sql).is_err(), "{sql}");
        }
        assert!(rewritten("SELECT nps(s) OVER () FROM t").is_ok());
    }
}
