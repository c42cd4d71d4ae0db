//! Definitions and descriptions of objects.

use datafusion::error::Result;

use super::{Call, Returns, Spec, argument, argument_text, lenient, names, strict};
use crate::catalog::cells::Cell;
use crate::catalog::procs::{self, BuiltIn};
use crate::catalog::{keys, relations};

const NOTHING: fn(&Call<'_>, &[Cell]) -> Result<Cell> = |_, _| Ok(Cell::Null);

pub(super) const SPECS: &[Spec] = &[
    strict("col_description", (2, 2), Returns::Text, col_description),
    strict("obj_description", (1, 2), Returns::Text, obj_description),
    strict("shobj_description", (2, 2), Returns::Text, NOTHING),
    // The defaults of columns are kept as they are shown; nothing else has an expression.
    strict("pg_get_expr", (2, 3), Returns::Text, |_, args| {
        Ok(argument_text(args, 0).into())
    }),
    strict("pg_get_indexdef", (1, 3), Returns::Text, index_definition),
    strict(
        "pg_index_column_has_property",
        (3, 3),
        Returns::Bool,
        index_column_property,
    ),
    strict(
        "pg_index_has_property",
        (2, 2),
        Returns::Bool,
        index_property,
    ),
    strict(
        "pg_indexam_has_property",
        (2, 2),
        Returns::Bool,
        access_method_property,
    ),
    strict(
        "pg_get_constraintdef",
        (1, 2),
        Returns::Text,
        constraint_definition,
    ),
    strict("pg_get_ruledef", (1, 2), Returns::Text, NOTHING),
    strict("pg_get_triggerdef", (1, 2), Returns::Text, NOTHING),
    strict("pg_get_partkeydef", (1, 1), Returns::Text, NOTHING),
    strict(
        "pg_get_partition_constraintdef",
        (1, 1),
        Returns::Text,
        NOTHING,
    ),
    strict(
        "pg_get_serial_sequence",
        (2, 2),
        Returns::Text,
        serial_sequence,
    ),
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

/// The sequence of a column, with its schema.
fn serial_sequence(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let column = argument_text(args, 1);
    let Some(relation) = names::relation(call, argument(args, 0))? else {
        return Ok(Cell::Null);
    };
    let found = relation.columns.iter().find(|known| known.name == column);
    let found = found.ok_or_else(|| {
        crate::error::Error::undefined_column(format!(
            "column \"{column}\" of relation \"{}\" does not exist",
            relation.name
        ))
    })?;
    Ok(found
        .sequence()
        .map(|name| match name.contains('.') {
            true => name.to_owned(),
            false => format!("{}.{name}", relation.schema),
        })
        .into())
}

fn index_definition(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let index = argument(args, 0).to_oid();
    let Some(key) = index.and_then(|index| call.snapshot.key_of_index(index)) else {
        return Ok(Cell::Null);
    };
    let place = argument(args, 1).to_int().unwrap_or(0);
    Ok(match usize::try_from(place) {
        Ok(0) | Err(_) => keys::index_definition(&call.snapshot, key).into(),
        Ok(place) => Cell::from(keys::index_column(&call.snapshot, key, place).unwrap_or_default()),
    })
}

/// What a column of a key's index can do: all of them are B-trees in ascending order.
fn index_column_property(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let index = argument(args, 0).to_oid();
    let key = index.and_then(|index| call.snapshot.key_of_index(index));
    let place = argument(args, 1).to_int().unwrap_or(0);
    let place = usize::try_from(place).unwrap_or(0);
    if !key.is_some_and(|key| (1..=key.columns.len()).contains(&place)) {
        return Ok(Cell::Null);
    }
    Ok(match argument_text(args, 2).to_ascii_lowercase().as_str() {
        "asc" | "nulls_last" | "orderable" | "returnable" | "search_array" | "search_nulls" => {
            Cell::Bool(true)
        }
        "desc" | "nulls_first" | "distance_orderable" => Cell::Bool(false),
        _ => Cell::Null,
    })
}

fn index_property(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let index = argument(args, 0).to_oid();
    if index
        .and_then(|index| call.snapshot.key_of_index(index))
        .is_none()
    {
        return Ok(Cell::Null);
    }
    Ok(match argument_text(args, 1).to_ascii_lowercase().as_str() {
        "clusterable" | "index_scan" | "bitmap_scan" | "backward_scan" => Cell::Bool(true),
        _ => Cell::Null,
    })
}

fn access_method_property(_: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let is_btree = argument(args, 0).to_oid() == Some(relations::BTREE);
    Ok(match argument_text(args, 1).to_ascii_lowercase().as_str() {
        "can_order" | "can_unique" | "can_multi_col" | "can_exclude" | "can_include"
            if is_btree =>
        {
            Cell::Bool(true)
        }
        _ => Cell::Null,
    })
}

fn constraint_definition(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let oid = argument(args, 0).to_oid();
    let key = oid.and_then(|oid| call.snapshot.key(oid));
    let shown = |relation: &_| names::relation_name(call, relation);
    Ok(key
        .and_then(|key| keys::definition(&call.snapshot, key, shown))
        .into())
}

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
    Ok(built_in(args).map(BuiltIn::arguments_text).into())
}

fn function_result(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    if let Some(function) = names::function(call, argument(args, 0)) {
        return Ok(function.result_text().into());
    }
    Ok(built_in(args).map(BuiltIn::result_text).into())
}

fn built_in(args: &[Cell]) -> Option<&'static BuiltIn> {
    procs::built_in(argument(args, 0).to_oid()?)
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
        if let Some(function) = function {
            return Ok(function.description.as_ref().into());
        }
        let described = built_in(args).and_then(|function| {
            let description = call.catalog.callable().get(function.name)?;
            description.as_ref()
        });
        if described.is_some() || !class.is_empty() {
            return Ok(described.into());
        }
    }
    let class_oid = call.snapshot.relation_named("pg_catalog", &class);
    let class_oid = class_oid.map(|relation| relation.oid);
    if class_oid.is_none() && !class.is_empty() {
        return Ok(Cell::Null);
    }
    let comment = oid.and_then(|oid| relations::comment(class_oid, oid));
    Ok(comment.into())
}
