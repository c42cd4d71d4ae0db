//! The functions of the registry as the system catalog shows them (`\df`).

use std::collections::HashSet;

use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Documentation, ScalarUDF, Signature};
use datafusion_functions_loyalty as loyalty;

use crate::catalog::pg_type;
use crate::catalog::{FunctionDescription, FunctionKind};

/// Every registered function, the loyalty functions first.
pub(crate) fn functions(state: &SessionState) -> Vec<FunctionDescription> {
    let loyalty = loyalty_names();
    let mut described = Vec::new();
    for function in state.scalar_functions().values() {
        described.extend(describe(&Registered {
            name: function.name(),
            kind: FunctionKind::Scalar,
            documentation: function.documentation(),
            signature: function.signature(),
            returns: &|types| function.return_type(types).ok(),
            own: loyalty.contains(function.name()),
        }));
    }
    for function in state.aggregate_functions().values() {
        described.extend(describe(&Registered {
            name: function.name(),
            kind: FunctionKind::Aggregate,
            documentation: function.documentation(),
            signature: function.signature(),
            returns: &|types| function.return_type(types).ok(),
            own: loyalty.contains(function.name()),
        }));
    }
    for function in state.window_functions().values() {
        described.extend(describe(&Registered {
            name: function.name(),
            kind: FunctionKind::Window,
            documentation: function.documentation(),
            signature: function.signature(),
            returns: &|_| None,
            own: loyalty.contains(function.name()),
        }));
    }
    // Those of a schema of their own are not pg_catalog's.
    described.retain(|function| !function.name.contains('.'));
    // Aliases stand in the registry beside the name; each form is described once.
    described.sort_by(|left, right| {
        (left.builtin, &left.name, &left.arguments).cmp(&(
            right.builtin,
            &right.name,
            &right.arguments,
        ))
    });
    described.dedup_by(|next, kept| {
        next.name == kept.name && next.kind == kept.kind && next.arguments == kept.arguments
    });
    described
}

/// What the registry knows of a function.
struct Registered<'a> {
    name: &'a str,
    kind: FunctionKind,
    documentation: Option<&'a Documentation>,
    signature: &'a Signature,
    returns: &'a dyn Fn(&[DataType]) -> Option<DataType>,
    own: bool,
}

fn loyalty_names() -> HashSet<String> {
    let aggregates = loyalty::all_aggregate_functions();
    let scalars = loyalty::all_scalar_functions();
    let windows = loyalty::all_window_functions();
    let aggregates = aggregates.iter().map(|function| function.name().to_owned());
    let scalars = scalars.iter().map(|function| function.name().to_owned());
    let windows = windows.iter().map(|function| function.name().to_owned());
    aggregates.chain(scalars).chain(windows).collect()
}

/// One description for each form that the documentation writes out, one at least.
fn describe(function: &Registered<'_>) -> Vec<FunctionDescription> {
    let forms = match function.documentation {
        Some(documentation) if function.own => documentation
            .alternative_syntax
            .iter()
            .flatten()
            .chain([&documentation.syntax_example])
            .flat_map(|syntax| forms(function.name, syntax))
            .collect(),
        _ => vec![builtin_arguments(function)],
    };
    forms
        .into_iter()
        .map(|arguments| describe_form(function, arguments))
        .collect()
}

fn describe_form(function: &Registered<'_>, arguments: Vec<String>) -> FunctionDescription {
    let types: Vec<Option<DataType>> = match function.own {
        true => arguments
            .iter()
            .map(|argument| argument_type(function.name, argument))
            .collect(),
        false => builtin_types(function, arguments.len()),
    };
    let known: Option<Vec<DataType>> = types.iter().cloned().collect();
    let result = known
        .as_deref()
        .and_then(function.returns)
        .or_else(|| function.own.then(|| usual_result(function.name)));
    let names = types.iter().zip(&arguments).map(|(kind, name)| {
        let any = function.own && TAKES_ANY.contains(&name.as_str());
        type_name(kind.as_ref().filter(|_| !any))
    });
    FunctionDescription {
        name: function.name.to_owned(),
        kind: function.kind,
        arguments: arguments.iter().cloned().zip(names).collect(),
        returns: type_name(result.as_ref()),
        description: function
            .documentation
            .map(|text| one_line(&text.description)),
        syntax: function
            .documentation
            .map(|text| text.syntax_example.clone()),
        builtin: !function.own,
    }
}

/// A built-in's arguments by its documentation, or as many without a name as its signature takes.
fn builtin_arguments(function: &Registered<'_>) -> Vec<String> {
    let documented = function
        .documentation
        .and_then(|text| text.arguments.as_ref());
    match documented {
        Some(arguments) => arguments.iter().map(|(name, _)| name.clone()).collect(),
        None => {
            let examples = function.signature.type_signature.get_example_types();
            vec![String::new(); examples.first().map_or(0, Vec::len)]
        }
    }
}

/// The types of a built-in's signature for that many arguments; text stands before other types.
fn builtin_types(function: &Registered<'_>, count: usize) -> Vec<Option<DataType>> {
    let examples = function.signature.type_signature.get_example_types();
    let mut fitting = examples
        .into_iter()
        .filter(|example| example.len() == count);
    let first = fitting.next();
    let texts = |example: &Vec<DataType>| example.iter().all(DataType::is_string);
    let chosen = match first {
        Some(first) if texts(&first) => Some(first),
        Some(first) => Some(fitting.find(texts).unwrap_or(first)),
        None => None,
    };
    match chosen {
        Some(types) => types.into_iter().map(Some).collect(),
        None => vec![None; count],
    }
}

/// The arguments of each line `name(a, b)` of a syntax.
fn forms(name: &str, syntax: &str) -> Vec<Vec<String>> {
    let forms: Vec<Vec<String>> = syntax
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix(name)?
                .trim()
                .strip_prefix('(')?
                .split(')')
                .next()
        })
        .map(|arguments| {
            let names = arguments
                .split(',')
                .map(|argument| argument.trim_matches([' ', '[', ']']).to_owned());
            names.filter(|argument| !argument.is_empty()).collect()
        })
        .collect();
    if forms.is_empty() {
        vec![Vec::new()]
    } else {
        forms
    }
}

/// The type that an argument of the loyalty functions is described with: the widest it takes. What
/// takes any type is described by one of them; see [`TAKES_ANY`].
fn argument_type(function: &str, name: &str) -> Option<DataType> {
    Some(match name {
        "churned" | "retained" | "success" | "satisfied" | "is_after" | "treated" => {
            DataType::Boolean
        }
        name if name.starts_with("cond") => DataType::Boolean,
        "r" | "f" | "m" if function == "rfm_segment" => DataType::Int32,
        "buckets" | "period" if matches!(function, "quantile_score" | "sbg_fit") => DataType::Int32,
        "horizon" if function == "clv" || function == "clv_predict" => DataType::Int64,
        "n" => DataType::Int64,
        "inactivity" | "window" | "gap" => DataType::Interval(IntervalUnit::MonthDayNano),
        "map" | "kind" | "period" | "mode" | "unit" | "lang" | "text" | "attribute" | "answer" => {
            DataType::Utf8
        }
        "start" | "end" | "period_start" | "period_end" | "base_start" | "event_time" | "ts"
        | "last_activity" | "as_of" | "last_order" | "ordered_at" => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        "x" if function == "trend_test" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "values" | "weights" => DataType::new_list(DataType::Float64, true),
        "summary" => loyalty::clv_summary_udaf()
            .return_type(&[DataType::Date32, DataType::Float64, DataType::Date32])
            .ok()?,
        "model" if function.starts_with("sbg") => constructed(&loyalty::sbg_udf(), 2)?,
        "model" => constructed(&loyalty::bgnbd_udf(), 4)?,
        "spend_model" => constructed(&loyalty::gamma_gamma_udf(), 3)?,
        name if TAKES_ANY.contains(&name) => DataType::Int64,
        _ => DataType::Float64,
    })
}

/// Arguments of any type.
const TAKES_ANY: &[&str] = &["customer_id", "order_id", "order_key"];

/// The type of models that a function makes of so many numbers.
fn constructed(function: &ScalarUDF, numbers: usize) -> Option<DataType> {
    function.return_type(&vec![DataType::Float64; numbers]).ok()
}

/// The result of window functions, which are not asked for it.
fn usual_result(name: &str) -> DataType {
    match name {
        "rfm_score" => DataType::Utf8,
        "quantile_score" => DataType::Int32,
        "sessionize" => DataType::Int64,
        _ => DataType::Float64,
    }
}

fn type_name(data_type: Option<&DataType>) -> String {
    data_type
        .and_then(|data_type| {
            let (oid, typmod) = pg_type::pg_type_of(data_type);
            pg_type::format_type(oid, typmod)
        })
        .unwrap_or_else(|| "any".to_owned())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
