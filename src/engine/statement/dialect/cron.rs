//! Calls of pg_cron's functions in one form each: every argument in its place, as text, NULL where none was
//! given. pg_cron's have overloads, defaults and names of arguments, which the planner knows little of.

use datafusion::sql::sqlparser::ast::{DataType, Expr, FunctionArg, FunctionArguments};

use super::build::{argument, call, cast, folded, null};
use crate::error::{Error, Result};
use crate::jobs::options;
use crate::jobs::options::Sort;

/// The parameters of each function. Behind them come the options of commands, by name alone.
const FORMS: &[(&str, &[&str])] = &[
    ("schedule", &["job_name", "schedule", "command", "active"]),
    (
        "schedule_in_database",
        &[
            "job_name", "schedule", "command", "database", "username", "active",
        ],
    ),
    (
        "alter_job",
        &[
            "job_id", "schedule", "command", "database", "username", "active",
        ],
    ),
    ("next_runs", &["schedule", "n", "timezone"]),
];

/// Functions whose one argument is a number or a name.
const OF_JOB: &[&str] = &["unschedule", "run_now"];

/// The options that can stand behind the parameters of a function, in their order.
pub(in crate::engine) fn option_names(function: &str) -> Vec<&'static str> {
    let taken = FORMS.iter().find(|(name, _)| *name == function);
    let taken = taken.map_or(&[][..], |(_, parameters)| parameters);
    if function == "next_runs" {
        return Vec::new();
    }
    options::names(Sort::Command)
        .filter(|name| !taken.contains(name))
        .collect()
}

/// The parameters of a function, without options.
pub(in crate::engine) fn parameters(function: &str) -> &'static [&'static str] {
    let form = FORMS.iter().find(|(name, _)| *name == function);
    form.map_or(&[], |(_, parameters)| parameters)
}

/// Rewrites one call in place.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    let Expr::Function(function) = expr else {
        return Ok(());
    };
    let parts: Option<Vec<String>> = function
        .name
        .0
        .iter()
        .map(|part| part.as_ident().map(folded))
        .collect();
    let Some([schema, name]) = parts.as_deref() else {
        return Ok(());
    };
    if schema != "cron" {
        return Ok(());
    }
    let FunctionArguments::List(list) = &function.args else {
        return Ok(());
    };
    let full_name = format!("cron.{name}");
    if OF_JOB.contains(&name.as_str()) {
        let values = list.args.iter().map(value).collect::<Result<Vec<_>>>()?;
        let values = values.into_iter().map(|(_, value)| value).collect();
        *expr = call(&full_name, values);
        return Ok(());
    }
    let mut parameters: Vec<&str> = parameters(name).to_vec();
    if parameters.is_empty() {
        return Ok(());
    }
    parameters.extend(option_names(name));
    let mut values = vec![null(); parameters.len()];
    let given = list.args.iter().map(value).collect::<Result<Vec<_>>>()?;
    let positional = given.iter().filter(|(name, _)| name.is_none()).count();
    if positional < required(name).saturating_sub(given.len() - positional) {
        return Err(no_function(&full_name, list.args.len()));
    }
    // Without a name of the job there are a schedule and a command.
    let named_job = given
        .iter()
        .any(|(name, _)| name.as_deref() == Some("job_name"));
    let first = usize::from(name == "schedule" && positional == 2 && !named_job);
    for (at, (parameter, value)) in given.into_iter().enumerate() {
        let place = match &parameter {
            None if at + first < self::parameters(name).len() => at + first,
            None => return Err(no_function(&full_name, list.args.len())),
            Some(parameter) => parameters
                .iter()
                .position(|known| known == parameter)
                .ok_or_else(|| {
                    no_function(&full_name, list.args.len())
                        .with_detail(format!("It has no argument named \"{parameter}\"."))
                        .with_hint(format!("Its arguments are {}.", parameters.join(", ")))
                })?,
        };
        values[place] = cast(value, DataType::Text);
    }
    *expr = call(&full_name, values);
    if name == "next_runs" {
        *expr = call("unnest", vec![expr.clone()]);
    }
    Ok(())
}

/// Arguments without which a function does nothing.
fn required(function: &str) -> usize {
    match function {
        "schedule" => 2,
        "schedule_in_database" => 4,
        _ => 1,
    }
}

/// An argument and the name it was given.
fn value(given: &FunctionArg) -> Result<(Option<String>, Expr)> {
    match argument(given) {
        Some((name, value)) => Ok((name.map(folded), value.clone())),
        None => Err(Error::syntax_error(format!(
            "\"{given}\" is no argument of a job"
        ))),
    }
}

/// 42883
fn no_function(name: &str, arguments: usize) -> Error {
    Error::undefined_function(format!(
        "function {name} with {arguments} arguments does not exist"
    ))
}
