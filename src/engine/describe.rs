//! The functions of the registry as the system catalog shows them (`\df`).

use std::collections::HashSet;

use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::execution::SessionState;
use datafusion::logical_expr::Documentation;

use crate::catalog::pg_type;
use crate::catalog::{FunctionDescription, FunctionKind};

/// Every registered function, the loyalty functions first.
pub(crate) fn functions(state: &SessionState) -> Vec<FunctionDescription> {
    let loyalty = loyalty_names();
    let mut described = Vec::new();
    for function in state.scalar_functions().values() {
        let returns = |types: &[DataType]| function.return_type(types).ok();
        let own = loyalty.contains(function.name());
        described.extend(describe(
            function.name(),
            FunctionKind::Scalar,
            function.documentation(),
            &returns,
            own,
        ));
    }
    for function in state.aggregate_functions().values() {
        let returns = |types: &[DataType]| function.return_type(types).ok();
        let own = loyalty.contains(function.name());
        described.extend(describe(
            function.name(),
            FunctionKind::Aggregate,
            function.documentation(),
            &returns,
            own,
        ));
    }
    for function in state.window_functions().values() {
        let own = loyalty.contains(function.name());
        described.extend(describe(
            function.name(),
            FunctionKind::Window,
            function.documentation(),
            &|_| None,
            own,
        ));
    }
    // Aliases stand in the registry beside the name; each function is described once per kind.
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

fn loyalty_names() -> HashSet<String> {
    use datafusion_functions_loyalty as loyalty;
    let aggregates = loyalty::all_aggregate_functions();
    let scalars = loyalty::all_scalar_functions();
    let windows = loyalty::all_window_functions();
    let aggregates = aggregates.iter().map(|function| function.name().to_owned());
    let scalars = scalars.iter().map(|function| function.name().to_owned());
    let windows = windows.iter().map(|function| function.name().to_owned());
    aggregates.chain(scalars).chain(windows).collect()
}

/// One description for each form that the documentation writes out, one at least.
fn describe(
    name: &str,
    kind: FunctionKind,
    documentation: Option<&Documentation>,
    returns: &dyn Fn(&[DataType]) -> Option<DataType>,
    own: bool,
) -> Vec<FunctionDescription> {
    let forms = match documentation {
        Some(documentation) if own => forms(name, &documentation.syntax_example),
        Some(documentation) => {
            let arguments = documentation.arguments.iter().flatten();
            vec![arguments.map(|(argument, _)| argument.clone()).collect()]
        }
        None => vec![Vec::new()],
    };
    forms
        .into_iter()
        .map(|arguments: Vec<String>| {
            let types: Vec<Option<DataType>> = arguments
                .iter()
                .map(|argument| if own { argument_type(argument) } else { None })
                .collect();
            let known: Option<Vec<DataType>> = types.iter().cloned().collect();
            let result = known
                .as_deref()
                .and_then(returns)
                .or_else(|| own.then(|| usual_result(name)));
            let types = types.iter().map(|kind| type_name(kind.as_ref()));
            FunctionDescription {
                name: name.to_owned(),
                kind,
                arguments: arguments.iter().cloned().zip(types).collect(),
                returns: type_name(result.as_ref()),
                description: documentation
                    .map(|documentation| one_line(&documentation.description)),
                syntax: documentation.map(|documentation| documentation.syntax_example.clone()),
                builtin: !own,
            }
        })
        .collect()
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

/// The type that an argument of the loyalty functions is described with: the widest it takes.
fn argument_type(name: &str) -> Option<DataType> {
    Some(match name {
        "churned" | "retained" => DataType::Boolean,
        "r" | "f" | "m" | "buckets" => DataType::Int32,
        "inactivity" => DataType::Interval(IntervalUnit::MonthDayNano),
        "map" => DataType::Utf8,
        "start" | "end" | "period_start" | "period_end" | "base_start" | "event_time"
        | "last_activity" | "as_of" | "last_order" => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        "score" | "detractor_max" | "promoter_min" | "amount" | "margin" | "aov" | "frequency"
        | "lifespan" | "value" | "orders" => DataType::Float64,
        _ => return None,
    })
}

fn usual_result(name: &str) -> DataType {
    match name {
        "rfm_segment" | "rfm_score" | "nps_category" => DataType::Utf8,
        "quantile_score" => DataType::Int32,
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
