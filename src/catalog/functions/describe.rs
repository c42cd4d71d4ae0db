//! Definitions and descriptions of objects.

use datafusion::error::Result;

use super::{Call, Returns, Spec, argument, argument_text, lenient, names, strict};
use crate::catalog::cells::Cell;

const NOTHING: fn(&Call<'_>, &[Cell]) -> Result<Cell> = |_, _| Ok(Cell::Null);

pub(super) const SPECS: &[Spec] = &[
    strict("col_description", (2, 2), Returns::Text, col_description),
    strict("obj_description", (1, 2), Returns::Text, obj_description),
    strict("shobj_description", (2, 2), Returns::Text, NOTHING),
    // No object here has a default, an index, a constraint, a rule or a trigger.
    strict("pg_get_expr", (2, 3), Returns::Text, NOTHING),
    strict("pg_get_indexdef", (1, 3), Returns::Text, NOTHING),
    strict("pg_get_constraintdef", (1, 2), Returns::Text, NOTHING),
    strict("pg_get_ruledef", (1, 2), Returns::Text, NOTHING),
    strict("pg_get_triggerdef", (1, 2), Returns::Text, NOTHING),
    strict("pg_get_partkeydef", (1, 1), Returns::Text, NOTHING),
    strict(
        "pg_get_partition_constraintdef",
        (1, 1),
        Returns::Text,
        NOTHING,
    ),
    strict("pg_get_serial_sequence", (2, 2), Returns::Text, NOTHING),
    strict("pg_get_statisticsobjdef", (1, 1), Returns::Text, NOTHING),
    strict(
        "pg_get_statisticsobjdef_columns",
        (1, 1),
        Returns::Text,
        NOTHING,
    ),
    strict("pg_describe_object", (3, 3), Returns::Text, NOTHING),
    strict("pg_get_functiondef", (1, 1), Returns::Text, NOTHING),
    strict(
        "pg_get_function_arg_default",
        (2, 2),
        Returns::Text,
        NOTHING,
    ),
    strict("pg_get_function_sqlbody", (1, 1), Returns::Text, NOTHING),
    strict(
        "pg_get_function_arguments",
        (1, 1),
        Returns::Text,
        function_arguments,
    ),
    strict(
        "pg_get_function_identity_arguments",
        (1, 1),
        Returns::Text,
        function_arguments,
    ),
    strict(
        "pg_get_function_result",
        (1, 1),
        Returns::Text,
        function_result,
    ),
    strict("pg_get_viewdef", (1, 2), Returns::Text, viewdef),
    strict(
        "pg_relation_is_publishable",
        (1, 1),
        Returns::Bool,
        |_, _| Ok(false.into()),
    ),
    strict("pg_relation_filenode", (1, 1), Returns::Oid, NOTHING),
    strict("pg_relation_is_updatable", (2, 2), Returns::Int, |_, _| {
        Ok(Cell::Int(0))
    }),
    strict("pg_sequence_last_value", (1, 1), Returns::BigInt, NOTHING),
    lenient("pg_export_snapshot", (0, 0), Returns::Text, NOTHING),
];

fn viewdef(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let relation = names::relation(call, argument(args, 0))?;
    Ok(relation
        .and_then(|relation| relation.definition.as_ref())
        .into())
}

fn function_arguments(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    if let Some(function) = names::function(call, argument(args, 0)) {
        return Ok(function.arguments_text().into());
    }
    support_function(args, |types, _| types)
}

fn function_result(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    if let Some(function) = names::function(call, argument(args, 0)) {
        return Ok(function.result_text().into());
    }
    support_function(args, |_, result| result)
}

/// Arguments or result of one of PostgreSQL's own functions.
fn support_function(args: &[Cell], choose: fn(String, String) -> String) -> Result<Cell> {
    use crate::catalog::{pg_type, procs};
    let oid = argument(args, 0).to_oid();
    let Some(found) = procs::support_functions()
        .iter()
        .find(|f| Some(f.oid) == oid)
    else {
        return Ok(Cell::Null);
    };
    let name = |oid| pg_type::format_type(oid, pg_type::NO_TYPMOD).unwrap_or("???".to_owned());
    let types: Vec<String> = found.arguments.iter().map(|oid| name(*oid)).collect();
    Ok(choose(types.join(", "), name(found.returns)).into())
}

fn col_description(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let oid = argument(args, 0).to_oid();
    let relation = oid.and_then(|oid| call.snapshot.relation(oid));
    let number = argument(args, 1)
        .to_int()
        .and_then(|number| usize::try_from(number).ok());
    let column = relation.zip(number.and_then(|number| number.checked_sub(1)));
    let column = column.and_then(|(relation, index)| relation.columns.get(index));
    Ok(column.and_then(|column| column.comment.as_ref()).into())
}

fn obj_description(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let class = if args.len() > 1 {
        argument_text(args, 1)
    } else {
        String::new()
    };
    let oid = argument(args, 0).to_oid();
    if matches!(class.as_str(), "" | "pg_class") {
        let relation = oid.and_then(|oid| call.snapshot.relation(oid));
        if let Some(relation) = relation {
            return Ok(relation.comment.as_ref().into());
        }
    }
    if matches!(class.as_str(), "" | "pg_proc") {
        let function = names::function(call, argument(args, 0));
        return Ok(function
            .and_then(|function| function.description.as_ref())
            .into());
    }
    Ok(Cell::Null)
}
