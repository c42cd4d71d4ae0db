//! Names and OIDs of objects: the `reg…` types, and which names are visible without a schema.

use datafusion::error::Result;

use super::{Call, Returns, Spec, argument, failed, lenient, quote_identifier, strict};
use crate::catalog::cells::Cell;
use crate::catalog::facts::Securable;
use crate::catalog::procs::{self, Function};
use crate::catalog::snapshot::Relation;
use crate::catalog::{SessionFacts, SystemCatalog, pg_type, roles};
use crate::error::Error;

const VISIBLE: fn(&Call<'_>, &[Cell]) -> Result<Cell> = |_, _| Ok(Cell::Bool(true));

/// `regclass(x)` stands for `x::regclass`, whose value is an OID; `regclassout(x)` for its text.
/// `to_regclass(x)` and `to_regclassout(x)` are the same with NULL for what does not exist.
pub(super) const SPECS: &[Spec] = &[
    strict(
        "pg_table_is_visible",
        (1, 1),
        Returns::Bool,
        table_is_visible,
    ),
    strict("pg_type_is_visible", (1, 1), Returns::Bool, type_is_visible),
    strict("pg_function_is_visible", (1, 1), Returns::Bool, VISIBLE),
    strict("pg_operator_is_visible", (1, 1), Returns::Bool, VISIBLE),
    strict("pg_opclass_is_visible", (1, 1), Returns::Bool, VISIBLE),
    strict("pg_opfamily_is_visible", (1, 1), Returns::Bool, VISIBLE),
    strict("pg_collation_is_visible", (1, 1), Returns::Bool, VISIBLE),
    strict("pg_conversion_is_visible", (1, 1), Returns::Bool, VISIBLE),
    strict(
        "pg_statistics_obj_is_visible",
        (1, 1),
        Returns::Bool,
        VISIBLE,
    ),
    strict("pg_ts_config_is_visible", (1, 1), Returns::Bool, VISIBLE),
    strict("pg_ts_dict_is_visible", (1, 1), Returns::Bool, VISIBLE),
    strict("pg_ts_parser_is_visible", (1, 1), Returns::Bool, VISIBLE),
    strict("pg_ts_template_is_visible", (1, 1), Returns::Bool, VISIBLE),
    strict(
        "regclass",
        (1, 1),
        Returns::Reg("regclass"),
        |call, args| must(call, args, CLASS),
    ),
    strict("regclassout", (1, 1), Returns::Text, |call, args| {
        text(call, args, CLASS)
    }),
    strict(
        "to_regclass",
        (1, 1),
        Returns::Reg("regclass"),
        |call, args| may(call, args, CLASS),
    ),
    strict("to_regclassout", (1, 1), Returns::Text, |call, args| {
        may_text(call, args, CLASS)
    }),
    strict("regtype", (1, 1), Returns::Reg("regtype"), |call, args| {
        must(call, args, TYPE)
    }),
    strict("regtypeout", (1, 1), Returns::Text, |call, args| {
        text(call, args, TYPE)
    }),
    strict(
        "to_regtype",
        (1, 1),
        Returns::Reg("regtype"),
        |call, args| may(call, args, TYPE),
    ),
    strict("to_regtypeout", (1, 1), Returns::Text, |call, args| {
        may_text(call, args, TYPE)
    }),
    strict("regproc", (1, 1), Returns::Reg("regproc"), |call, args| {
        must(call, args, PROC)
    }),
    strict("regprocout", (1, 1), Returns::Text, |call, args| {
        text(call, args, PROC)
    }),
    strict(
        "to_regproc",
        (1, 1),
        Returns::Reg("regproc"),
        |call, args| may(call, args, PROC),
    ),
    strict("to_regprocout", (1, 1), Returns::Text, |call, args| {
        may_text(call, args, PROC)
    }),
    strict(
        "regprocedure",
        (1, 1),
        Returns::Reg("regprocedure"),
        |call, args| must(call, args, PROCEDURE),
    ),
    strict("regprocedureout", (1, 1), Returns::Text, |call, args| {
        text(call, args, PROCEDURE)
    }),
    strict(
        "regnamespace",
        (1, 1),
        Returns::Reg("regnamespace"),
        |call, args| must(call, args, NAMESPACE),
    ),
    strict("regnamespaceout", (1, 1), Returns::Text, |call, args| {
        text(call, args, NAMESPACE)
    }),
    strict(
        "to_regnamespace",
        (1, 1),
        Returns::Reg("regnamespace"),
        |call, args| may(call, args, NAMESPACE),
    ),
    strict("to_regnamespaceout", (1, 1), Returns::Text, |call, args| {
        may_text(call, args, NAMESPACE)
    }),
    strict("regrole", (1, 1), Returns::Reg("regrole"), |call, args| {
        must(call, args, ROLE)
    }),
    strict("regroleout", (1, 1), Returns::Text, |call, args| {
        text(call, args, ROLE)
    }),
    strict(
        "to_regrole",
        (1, 1),
        Returns::Reg("regrole"),
        |call, args| may(call, args, ROLE),
    ),
    strict("to_regroleout", (1, 1), Returns::Text, |call, args| {
        may_text(call, args, ROLE)
    }),
    strict("regoper", (1, 1), Returns::Reg("regoper"), |call, args| {
        must(call, args, OPERATOR)
    }),
    strict("regoperout", (1, 1), Returns::Text, |call, args| {
        text(call, args, OPERATOR)
    }),
    strict(
        "regoperator",
        (1, 1),
        Returns::Reg("regoperator"),
        |call, args| must(call, args, OPERATOR),
    ),
    strict("regoperatorout", (1, 1), Returns::Text, |call, args| {
        text(call, args, OPERATOR)
    }),
    lenient("format_type", (2, 2), Returns::Text, format_type),
    strict("pg_get_userbyid", (1, 1), Returns::Name, user_by_id),
];

/// How the objects of one `reg…` type are found and written.
#[derive(Clone, Copy)]
struct Registry {
    /// What an object is called in the error about a name that none has.
    noun: &'static str,
    missing: fn(String) -> Error,
    find: fn(&Call<'_>, &str) -> Option<u32>,
    write: fn(&Call<'_>, u32) -> Option<String>,
}

const CLASS: Registry = Registry {
    noun: "relation",
    missing: |message| Error::undefined_table(message),
    find: |call, name| find_relation(call, name).map(|relation| relation.oid),
    write: |call, oid| {
        call.snapshot
            .relation(oid)
            .map(|relation| relation_name(call, relation))
    },
};
const TYPE: Registry = Registry {
    noun: "type",
    missing: |message| Error::undefined_object(message),
    find: find_type,
    write: |call, oid| type_name(call, oid, pg_type::NO_TYPMOD),
};
const PROC: Registry = Registry {
    noun: "function",
    missing: |message| Error::undefined_function(message),
    find: |call, name| find_function(call, name, false),
    write: |call, oid| function_name(call, oid, false),
};
const PROCEDURE: Registry = Registry {
    noun: "function",
    missing: |message| Error::undefined_function(message),
    find: |call, name| find_function(call, name, true),
    write: |call, oid| function_name(call, oid, true),
};
const NAMESPACE: Registry = Registry {
    noun: "schema",
    missing: |message| Error::invalid_schema_name(message),
    find: |call, name| {
        let name = split_name(name).pop()?;
        call.snapshot
            .namespace_named(&name)
            .map(|namespace| namespace.oid)
    },
    write: |call, oid| {
        call.snapshot
            .namespace(oid)
            .map(|namespace| quote_identifier(&namespace.name))
    },
};
const ROLE: Registry = Registry {
    noun: "role",
    missing: |message| Error::undefined_object(message),
    find: |call, name| {
        let name = split_name(name).pop()?;
        let roles = roles::roles(call.catalog.facts());
        roles
            .into_iter()
            .find(|(_, role)| role.name == name)
            .map(|(oid, _)| oid)
    },
    write: |call, oid| role_name(call, oid).map(|name| quote_identifier(&name)),
};
const OPERATOR: Registry = Registry {
    noun: "operator",
    missing: |message| Error::undefined_function(message),
    find: |_, _| None,
    write: |_, _| None,
};

/// The name of the object that a value of a `reg…` type means; none if there is no such object.
pub fn object_name(
    catalog: &SystemCatalog,
    session: &SessionFacts,
    reg_type: &str,
    oid: u32,
) -> Option<String> {
    let registry = match reg_type {
        "regclass" => CLASS,
        "regnamespace" => NAMESPACE,
        "regproc" => PROC,
        "regprocedure" => PROCEDURE,
        "regrole" => ROLE,
        "regtype" => TYPE,
        "regoper" | "regoperator" => OPERATOR,
        _ => return None,
    };
    let call = Call {
        catalog,
        snapshot: catalog.snapshot_for(session),
        session: session.clone(),
    };
    (registry.write)(&call, oid)
}

/// The OID behind a number, digits or a name; none if no object has the name.
fn lookup(call: &Call<'_>, value: &Cell, registry: Registry) -> Option<u32> {
    if let Some(oid) = value.to_oid() {
        return Some(oid);
    }
    let text = value.to_text()?;
    if text == "-" {
        Some(0)
    } else {
        (registry.find)(call, &text)
    }
}

fn must_find(call: &Call<'_>, value: &Cell, registry: Registry) -> Result<u32> {
    match lookup(call, value, registry) {
        Some(oid) => Ok(oid),
        None => {
            let name = value.to_text().unwrap_or_default();
            failed((registry.missing)(format!(
                "{} \"{name}\" does not exist",
                registry.noun
            )))
        }
    }
}

fn write(call: &Call<'_>, oid: u32, registry: Registry) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    (registry.write)(call, oid).unwrap_or_else(|| oid.to_string())
}

fn must(call: &Call<'_>, args: &[Cell], registry: Registry) -> Result<Cell> {
    must_find(call, argument(args, 0), registry).map(Cell::from)
}

fn text(call: &Call<'_>, args: &[Cell], registry: Registry) -> Result<Cell> {
    let oid = must_find(call, argument(args, 0), registry)?;
    Ok(write(call, oid, registry).into())
}

fn may(call: &Call<'_>, args: &[Cell], registry: Registry) -> Result<Cell> {
    Ok(lookup(call, argument(args, 0), registry).into())
}

fn may_text(call: &Call<'_>, args: &[Cell], registry: Registry) -> Result<Cell> {
    let found = lookup(call, argument(args, 0), registry);
    Ok(found.map(|oid| write(call, oid, registry)).into())
}

/// The relation that an argument of type regclass means.
pub(super) fn relation<'a>(call: &'a Call<'_>, value: &Cell) -> Result<Option<&'a Relation>> {
    Ok(call.snapshot.relation(must_find(call, value, CLASS)?))
}

/// The OID of a function by its name with arguments.
pub(super) fn function_oid(call: &Call<'_>, value: &Cell) -> Result<u32> {
    must_find(call, value, PROCEDURE)
}

/// The OID of a type by its name.
pub(super) fn type_oid(call: &Call<'_>, value: &Cell) -> Result<u32> {
    must_find(call, value, TYPE)
}

/// A relation whose rows the session may count, or whose size it may know; none for another.
pub(super) fn countable<'a>(call: &'a Call<'_>, value: &Cell) -> Result<Option<&'a Relation>> {
    Ok(relation(call, value)?.filter(|relation| {
        let object = Securable::Table {
            schema: &relation.schema,
            name: &relation.name,
        };
        let facts = call.catalog.facts();
        facts.may(&call.session.user, "SELECT", false, object)
    }))
}

/// The function that an OID means.
pub(super) fn function<'a>(call: &'a Call<'_>, value: &Cell) -> Option<&'a Function> {
    let oid = value.to_oid()?;
    call.catalog
        .functions()
        .iter()
        .find(|function| function.oid == oid)
}

fn find_relation<'a>(call: &'a Call<'_>, name: &str) -> Option<&'a Relation> {
    let mut parts = split_name(name);
    let name = parts.pop()?;
    match parts.pop() {
        Some(schema) => call.snapshot.relation_named(&schema, &name),
        None => call.snapshot.relation_visible(&name, &call.session),
    }
}

fn is_visible(call: &Call<'_>, relation: &Relation) -> bool {
    let found = call
        .snapshot
        .relation_visible(&relation.name, &call.session);
    found.is_some_and(|found| found.oid == relation.oid)
}

pub(super) fn relation_name(call: &Call<'_>, relation: &Relation) -> String {
    let name = quote_identifier(&relation.name);
    if is_visible(call, relation) {
        return name;
    }
    format!("{}.{name}", quote_identifier(&relation.schema))
}

fn table_is_visible(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let oid = argument(args, 0).to_oid();
    let relation = oid.and_then(|oid| call.snapshot.relation(oid));
    Ok(relation.map(|relation| is_visible(call, relation)).into())
}

/// A built-in type, or that of a relation's rows.
fn find_type(call: &Call<'_>, name: &str) -> Option<u32> {
    if let Some(found) = pg_type::oid_of_sql_name(name) {
        return Some(found);
    }
    if let Some(element) = name.trim().strip_suffix("[]") {
        let relation = find_relation(call, element)?;
        return Some(relation.array_type).filter(|oid| *oid != 0);
    }
    let relation = find_relation(call, name)?;
    Some(relation.row_type).filter(|oid| *oid != 0)
}

pub(super) fn type_name(call: &Call<'_>, oid: u32, typmod: i32) -> Option<String> {
    pg_type::format_type(oid, typmod).or_else(|| {
        let relation = call.snapshot.relation_of_type(oid)?;
        let name = relation_name(call, relation);
        Some(match relation.array_type == oid {
            true => format!("{name}[]"),
            false => name,
        })
    })
}

fn type_is_visible(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let Some(oid) = argument(args, 0).to_oid() else {
        return Ok(Cell::Null);
    };
    let of_rows = call.snapshot.relation_of_type(oid);
    let visible = match of_rows {
        Some(relation) => Some(is_visible(call, relation)),
        None => pg_type::by_oid(oid).map(|_| true),
    };
    Ok(visible.into())
}

fn find_function(call: &Call<'_>, name: &str, with_arguments: bool) -> Option<u32> {
    let bare = name
        .trim()
        .strip_prefix("pg_catalog.")
        .unwrap_or(name.trim());
    let matches = |function: &&Function| {
        if with_arguments {
            function.signature() == bare.replace(", ", ",")
        } else {
            function.name == bare
        }
    };
    let own = call
        .catalog
        .functions()
        .iter()
        .find(matches)
        .map(|function| function.oid);
    own.or_else(|| {
        let named = procs::built_ins_named(bare.split('(').next().unwrap_or(bare).trim());
        let matches = |function: &&&procs::BuiltIn| {
            !with_arguments || function.signature() == bare.replace(", ", ",")
        };
        named.iter().find(matches).map(|function| function.oid)
    })
}

fn function_name(call: &Call<'_>, oid: u32, with_arguments: bool) -> Option<String> {
    let own = call
        .catalog
        .functions()
        .iter()
        .find(|function| function.oid == oid);
    if let Some(function) = own {
        let name = if with_arguments {
            function.signature()
        } else {
            function.name.clone()
        };
        return Some(name);
    }
    let built_in = procs::built_in(oid)?;
    Some(match with_arguments {
        true => built_in.signature(),
        // As PostgreSQL: a name that does not tell the function alone is written with its schema.
        false if procs::built_ins_named(built_in.name).len() > 1 => {
            format!("pg_catalog.{}", built_in.name)
        }
        false => built_in.name.to_owned(),
    })
}

pub(super) fn role_name(call: &Call<'_>, oid: u32) -> Option<String> {
    let roles = roles::roles(call.catalog.facts());
    roles
        .into_iter()
        .find(|(known, _)| *known == oid)
        .map(|(_, role)| role.name)
}

fn user_by_id(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let Some(oid) = argument(args, 0).to_oid() else {
        return Ok(Cell::Null);
    };
    Ok(role_name(call, oid)
        .unwrap_or_else(|| format!("unknown (OID={oid})"))
        .into())
}

fn format_type(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let Some(type_oid) = argument(args, 0).to_oid() else {
        return Ok(Cell::Null);
    };
    if type_oid == 0 {
        return Ok("-".into());
    }
    let typmod = argument(args, 1)
        .to_int()
        .and_then(|typmod| i32::try_from(typmod).ok());
    let name = type_name(call, type_oid, typmod.unwrap_or(pg_type::NO_TYPMOD));
    Ok(name.unwrap_or_else(|| "???".to_owned()).into())
}

/// The parts of a dotted name: quoted parts as they are, others in lower case.
fn split_name(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = name.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let Some(part) = parts.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            _ if quoted => part.push(c),
            _ => part.extend(c.to_lowercase()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::split_name;

    #[test]
    fn names_fold_and_unquote() {
        assert_eq!(split_name("Public.Customers"), ["public", "customers"]);
        assert_eq!(
            split_name("\"My Schema\".\"a\"\"b.c\""),
            ["My Schema", "a\"b.c"]
        );
    }
}
