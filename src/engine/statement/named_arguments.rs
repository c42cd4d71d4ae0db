//! `f(x => 1)` for the loyalty functions: arguments by name become arguments by position.
//!
//! The planner knows one list of names per function and takes a prefix of it only. The functions have
//! forms with other names at the same places, and optional arguments before others. So the form that
//! has the given names is looked up here, before anything else reads the statement.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Value, VisitMut,
    VisitorMut,
};
use datafusion_functions_loyalty as loyalty;

use super::dialect;
use super::loyalty::plain_name;
use crate::catalog::FunctionDescription;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// The function whose form under OVER is another one, and the names there.
const UNDER_OVER: (&str, [&[&str]; 2]) = (
    "rfm_segment",
    [
        &["last_order", "orders", "amount"],
        &["last_order", "orders", "amount", "map"],
    ],
);

/// The names of the arguments of each form of the loyalty functions.
#[derive(Debug, Default)]
pub struct ArgumentNames(HashMap<String, Vec<Vec<String>>>);

impl ArgumentNames {
    /// Takes the forms from the registry's descriptions.
    pub(crate) fn new(descriptions: &[FunctionDescription]) -> Self {
        let mut functions: HashMap<String, Vec<Vec<String>>> = HashMap::new();
        for function in descriptions.iter().filter(|function| !function.builtin) {
            let names = function.arguments.iter().map(|(name, _)| name.clone());
            let forms = functions.entry(function.name.clone()).or_default();
            forms.push(names.collect());
        }
        Self(functions)
    }
}

/// Puts the arguments of every call of a loyalty function into the order of its form.
pub fn rewrite(statement: &mut ast::Statement, names: &ArgumentNames) -> Result<()> {
    match statement.visit(&mut Rewriter(names)) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewriter<'a>(&'a ArgumentNames);

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        match self.call(function) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Rewriter<'_> {
    fn call(&self, function: &mut Function) -> Result<()> {
        let Some(name) = plain_name(&function.name) else {
            return Ok(());
        };
        let Some(forms) = self.0.0.get(&name) else {
            return Ok(());
        };
        let FunctionArguments::List(list) = &mut function.args else {
            return Ok(());
        };
        let (unnamed, named) = split(&list.args)?;
        if named.is_empty() {
            return Ok(());
        }
        let forms = match (&name, &function.over) {
            (name, Some(_)) if name == UNDER_OVER.0 => &UNDER_OVER
                .1
                .map(|form| form.iter().map(|&argument| argument.to_owned()).collect())
                .to_vec(),
            _ => forms,
        };
        let fitting = forms
            .iter()
            .map(|form| longer(form, &named))
            .filter_map(|form| arranged(&name, &form, &unnamed, &named));
        // The form that leaves out least is the one that is meant.
        match fitting.min_by_key(|(defaults, _)| *defaults) {
            Some((_, arguments)) => {
                list.args = arguments.into_iter().map(FunctionArg::Unnamed).collect();
                Ok(())
            }
            None => Err(no_form(&name, forms, unnamed.len(), &named)),
        }
    }
}

type Named = (Ident, FunctionArgExpr);

/// The arguments without and with a name.
fn split(arguments: &[FunctionArg]) -> Result<(Vec<FunctionArgExpr>, Vec<Named>)> {
    let (mut unnamed, mut named): (Vec<_>, Vec<Named>) = (Vec::new(), Vec::new());
    for argument in arguments {
        let (name, value) = match (dialect::argument(argument), argument) {
            (Some((Some(name), value)), _) => (name, FunctionArgExpr::Expr(value.clone())),
            (_, FunctionArg::Unnamed(value)) if named.is_empty() => {
                unnamed.push(value.clone());
                continue;
            }
            (_, FunctionArg::Unnamed(_)) => {
                return Err(Error::syntax_error(
                    "positional argument cannot follow named argument",
                ));
            }
            (_, other) => {
                return Err(Error::syntax_error(format!("\"{other}\" is no argument")));
            }
        };
        if named
            .iter()
            .any(|(other, _)| dialect::name_of(other) == dialect::name_of(name))
        {
            let text = format!(
                "argument name \"{}\" used more than once",
                dialect::name_of(name)
            );
            return Err(placed(Error::syntax_error(text), name));
        }
        named.push((name.clone(), value));
    }
    Ok((unnamed, named))
}

fn placed(error: Error, name: &Ident) -> Error {
    let start = name.span.start;
    match start.line {
        0 => error,
        line => error.with_place(line, start.column),
    }
}

/// A form that ends in numbered arguments goes on for as many as are named.
fn longer(form: &[String], named: &[Named]) -> Vec<String> {
    let mut form = form.to_vec();
    let numbered = |name: &String| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number: usize = name.get(stem.len()..)?.parse().ok()?;
        (number > 1).then(|| (stem.to_owned(), number))
    };
    if let Some((stem, last)) = form.last().and_then(numbered) {
        let more = (last + 1..).map(|number| format!("{stem}{number}"));
        let is_named = |name: &String| {
            named
                .iter()
                .any(|(given, _)| dialect::name_of(given) == *name)
        };
        form.extend(more.take_while(is_named));
    }
    form
}

/// The arguments in the order of a form and how many of them are defaults, if the form has them.
fn arranged(
    function: &str,
    form: &[String],
    unnamed: &[FunctionArgExpr],
    named: &[Named],
) -> Option<(usize, Vec<FunctionArgExpr>)> {
    let rest = form.get(unnamed.len()..)?;
    if !named
        .iter()
        .all(|(name, _)| rest.contains(&dialect::name_of(name)))
    {
        return None;
    }
    let mut defaults = 0;
    let mut arguments = unnamed.to_vec();
    for argument in rest {
        let given = named
            .iter()
            .find(|(name, _)| dialect::name_of(name) == *argument);
        arguments.push(match given {
            Some((_, value)) => value.clone(),
            None => {
                let default = loyalty::default_of(function, argument)?;
                defaults += 1;
                let value = Value::Number(default.to_owned(), false);
                FunctionArgExpr::Expr(Expr::value(value))
            }
        });
    }
    Some((defaults, arguments))
}

#[cold]
fn no_form(function: &str, forms: &[Vec<String>], unnamed: usize, named: &[Named]) -> Error {
    let stranger = named.iter().find(|(name, _)| {
        !forms
            .iter()
            .any(|form| form.contains(&dialect::name_of(name)))
    });
    let names: Vec<String> = named
        .iter()
        .map(|(name, _)| dialect::name_of(name))
        .collect();
    let text = match stranger {
        Some((name, _)) => format!(
            "{function}() has no argument \"{}\"",
            dialect::name_of(name)
        ),
        None if unnamed == 0 => format!("{function}() has no form with just {}", names.join(", ")),
        None => format!(
            "{function}() has no form with just {unnamed} leading arguments and {}",
            names.join(", ")
        ),
    };
    let mut forms: Vec<String> = forms
        .iter()
        .map(|form| format!("{function}({})", form.join(", ")))
        .collect();
    forms.sort_by_key(String::len);
    let error = Error::new(SqlState::UndefinedFunction, text)
        .with_hint(format!("Write {}.", forms.join(" or ")));
    match stranger {
        Some((name, _)) => placed(error, name),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn names() -> ArgumentNames {
        let forms = [
            ("nps", "score"),
            ("nps", "score detractor_max promoter_min"),
            ("churn_rate", "churned"),
            ("churn_rate", "last_activity as_of inactivity"),
            ("churn_rate", "start end period_start period_end"),
            ("clv", "customer_id amount"),
            ("clv", "customer_id amount margin"),
            ("clv", "customer_id ordered_at amount horizon unit"),
            (
                "clv",
                "customer_id ordered_at amount horizon unit discount margin",
            ),
            ("retention", "cond1 cond2"),
            ("window_funnel", "window ts cond1 cond2"),
            ("window_funnel", "window mode ts cond1 cond2"),
            ("rfm_segment", "r f m"),
        ];
        let mut names = ArgumentNames::default();
        for (function, form) in forms {
            let form = form.split(' ').map(str::to_owned).collect();
            names.0.entry(function.to_owned()).or_default().push(form);
        }
        names
    }

    fn rewritten(sql: &str) -> Result<String> {
        let mut statement = parse(sql)?.remove(0).statement.unwrap();
        rewrite(&mut statement, &names())?;
        Ok(statement.to_string())
    }

    #[test]
    fn names_select_the_form_and_the_order() {
        for (call, expected) in [
            (
                "nps(promoter_min => 5, score => s, detractor_max => 3)",
                "nps(s, 3, 5)",
            ),
            (
                "nps(s, promoter_min => 5, detractor_max => 3)",
                "nps(s, 3, 5)",
            ),
            ("nps(SCORE => s)", "nps(s)"),
            ("nps(score := s)", "nps(s)"),
            (
                "churn_rate(as_of => a, inactivity => i, last_activity => l)",
                "churn_rate(l, a, i)",
            ),
            (
                "churn_rate(\"end\" => e, start => s, period_start => p, period_end => q)",
                "churn_rate(s, e, p, q)",
            ),
            (
                "clv(margin => 0.3, amount => a, customer_id => c)",
                "clv(c, a, 0.3)",
            ),
            (
                "clv(c, o, a, unit => 'week', margin => 0.3, horizon => 52)",
                "clv(c, o, a, 52, 'week', 0, 0.3)",
            ),
            (
                "retention(cond2 => b, cond1 => a, cond3 => c)",
                "retention(a, b, c)",
            ),
            (
                "window_funnel(cond1 => a, cond2 => b, cond3 => c, ts => t, \"window\" => w)",
                "window_funnel(w, t, a, b, c)",
            ),
            (
                "nps(score => nps(promoter_min => 5, score => s, detractor_max => 3))",
                "nps(nps(s, 3, 5))",
            ),
            (
                "rfm_segment(amount => c, last_order => a, orders => b) OVER ()",
                "rfm_segment(a, b, c) OVER ()",
            ),
            ("make_interval(days => 10)", "make_interval(days => 10)"),
        ] {
            let got = rewritten(&format!("SELECT {call} FROM t")).unwrap();
            assert_eq!(got, format!("SELECT {expected} FROM t"), "{call}");
        }
    }

    #[test]
    fn what_no_form_has_is_refused() {
        for (call, words) in [
            (
                "nps(score => s, threshold => 3)",
                "nps() has no argument \"threshold\"",
            ),
            (
                "nps(score => s, promoter_min => 9)",
                "nps() has no form with just score, promoter_min",
            ),
            (
                "churn_rate(churned => c, as_of => a)",
                "churn_rate() has no form with just churned, as_of",
            ),
            (
                "nps(s, score => t)",
                "nps() has no form with just 1 leading arguments and score",
            ),
            (
                "nps(score => s, score => t)",
                "argument name \"score\" used more than once",
            ),
            (
                "nps(score => s, 3, 5)",
                "positional argument cannot follow named argument",
            ),
            ("nps(\"SCORE\" => s)", "nps() has no argument \"SCORE\""),
        ] {
            let error = rewritten(&format!("SELECT {call} FROM t")).unwrap_err();
            assert!(
                error.message().contains(words),
                "{call}: {}",
                error.message()
            );
        }
    }
}
