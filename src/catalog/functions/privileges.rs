//! Who may do what: `has_table_privilege` and its kin, in all arities.

use datafusion::error::Result;

use super::{Call, Returns, Spec, argument, argument_text, failed, names, strict};
use crate::catalog::cells::Cell;
use crate::catalog::facts::Securable;
use crate::catalog::{pg_type, procs, roles};
use crate::error::Error;

/// Who may use an object that no privileges are kept for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// No object has this OID.
    Unknown,
    Everybody,
    Superusers,
}

pub(super) const SPECS: &[Spec] = &[
    strict(
        "has_any_column_privilege",
        (2, 3),
        Returns::Bool,
        |call, args| on_table(call, args, COLUMN),
    ),
    strict("has_column_privilege", (3, 4), Returns::Bool, on_column),
    strict("has_database_privilege", (2, 3), Returns::Bool, on_database),
    strict(
        "has_foreign_data_wrapper_privilege",
        (2, 3),
        Returns::Bool,
        |call, args| on_object(call, args, &["USAGE"], wrapper),
    ),
    strict(
        "has_function_privilege",
        (2, 3),
        Returns::Bool,
        |call, args| on_object(call, args, &["EXECUTE"], function),
    ),
    strict(
        "has_language_privilege",
        (2, 3),
        Returns::Bool,
        |call, args| on_object(call, args, &["USAGE"], language),
    ),
    strict(
        "has_parameter_privilege",
        (2, 3),
        Returns::Bool,
        |call, args| {
            on_object(call, args, &["SET", "ALTER SYSTEM"], |_, _| {
                Ok(Use::Superusers)
            })
        },
    ),
    strict("has_schema_privilege", (2, 3), Returns::Bool, on_schema),
    strict(
        "has_sequence_privilege",
        (2, 3),
        Returns::Bool,
        |call, args| on_object(call, args, &["USAGE", "SELECT", "UPDATE"], sequence),
    ),
    strict(
        "has_server_privilege",
        (2, 3),
        Returns::Bool,
        |call, args| on_object(call, args, &["USAGE"], server),
    ),
    strict(
        "has_table_privilege",
        (2, 3),
        Returns::Bool,
        |call, args| on_table(call, args, TABLE),
    ),
    strict(
        "has_tablespace_privilege",
        (2, 3),
        Returns::Bool,
        |call, args| on_object(call, args, &["CREATE"], tablespace),
    ),
    strict("has_type_privilege", (2, 3), Returns::Bool, |call, args| {
        on_object(call, args, &["USAGE"], data_type)
    }),
    strict("pg_has_role", (2, 3), Returns::Bool, has_role),
];

/// No role has this name.
const NOBODY: &str = "";

const TABLE: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
];
const COLUMN: &[&str] = &["SELECT", "INSERT", "UPDATE", "REFERENCES"];
const SCHEMA: &[&str] = &["CREATE", "USAGE"];
const DATABASE: &[&str] = &["CREATE", "TEMPORARY", "TEMP", "CONNECT"];
const ROLE: &[&str] = &["USAGE", "MEMBER"];

fn on_table(call: &Call<'_>, args: &[Cell], known: &[&str]) -> Result<Cell> {
    let (user, args) = user_of(call, args, 2)?;
    let privileges = privileges(&argument_text(args, 1), known)?;
    let Some(relation) = names::relation(call, argument(args, 0))? else {
        return Ok(Cell::Null);
    };
    let object = Securable::Table {
        schema: &relation.schema,
        name: &relation.name,
    };
    Ok(any(call, &user, &privileges, object))
}

/// A column has the privileges of its table.
fn on_column(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let (user, args) = user_of(call, args, 3)?;
    let privileges = privileges(&argument_text(args, 2), COLUMN)?;
    let Some(relation) = names::relation(call, argument(args, 0))? else {
        return Ok(Cell::Null);
    };
    let known = match argument(args, 1).to_int() {
        Some(number) => {
            usize::try_from(number).is_ok_and(|at| (1..=relation.columns.len()).contains(&at))
        }
        None => {
            let name = argument_text(args, 1);
            let known = relation.columns.iter().any(|column| column.name == name);
            if !known {
                let table = &relation.name;
                return Err(Error::undefined_column(format!(
                    "column \"{name}\" of relation \"{table}\" does not exist"
                ))
                .into());
            }
            true
        }
    };
    if !known {
        return Ok(Cell::Null);
    }
    let object = Securable::Table {
        schema: &relation.schema,
        name: &relation.name,
    };
    Ok(any(call, &user, &privileges, object))
}

fn on_schema(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let (user, args) = user_of(call, args, 2)?;
    let privileges = privileges(&argument_text(args, 1), SCHEMA)?;
    let schema = match argument(args, 0).to_int() {
        Some(oid) => u32::try_from(oid)
            .ok()
            .and_then(|oid| call.snapshot.namespace(oid)),
        None => {
            let name = argument_text(args, 0);
            let found = call.snapshot.namespace_named(&name);
            if found.is_none() {
                return Err(Error::invalid_schema_name(format!(
                    "schema \"{name}\" does not exist"
                ))
                .into());
            }
            found
        }
    };
    Ok(schema.map_or(Cell::Null, |schema| {
        any(call, &user, &privileges, Securable::Schema(&schema.name))
    }))
}

fn on_database(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let (user, args) = user_of(call, args, 2)?;
    let privileges = privileges(&argument_text(args, 1), DATABASE)?;
    let own = &call.session.database;
    let is_own = match argument(args, 0).to_int() {
        Some(oid) => oid == i64::from(roles::database_oid(own)),
        None if argument_text(args, 0) == *own => true,
        None => {
            let name = argument_text(args, 0);
            return Err(
                Error::invalid_catalog_name(format!("database \"{name}\" does not exist")).into(),
            );
        }
    };
    Ok(match is_own {
        true => any(call, &user, &privileges, Securable::Database),
        false => Cell::Null,
    })
}

/// A privilege on an object that nobody can grant privileges on here.
fn on_object(
    call: &Call<'_>,
    args: &[Cell],
    known: &[&str],
    find: fn(&Call<'_>, &Cell) -> Result<Use>,
) -> Result<Cell> {
    let asked = user_of(call, args, 2)?;
    let args = asked.1;
    let found = find(call, argument(args, 0))?;
    let privileges = privileges(&argument_text(args, 1), known)?;
    let is_superuser = roles::roles(call.catalog.facts())
        .iter()
        .any(|(_, role)| role.name == asked.0 && role.superuser);
    let grantable = privileges.iter().all(|(_, grantable)| *grantable);
    Ok(match found {
        Use::Unknown => Cell::Null,
        Use::Everybody => Cell::Bool(is_superuser || !grantable),
        Use::Superusers => Cell::Bool(is_superuser),
    })
}

fn known_to_everybody(found: bool) -> Use {
    match found {
        true => Use::Everybody,
        false => Use::Unknown,
    }
}

fn function(call: &Call<'_>, cell: &Cell) -> Result<Use> {
    if let Cell::Text(text) = cell
        && cell.to_oid().is_none()
        && !text.contains('(')
    {
        return failed(Error::invalid_text_representation(
            "expected a left parenthesis",
        ));
    }
    let oid = names::function_oid(call, cell)?;
    let own = names::function(call, &Cell::from(oid)).is_some();
    Ok(known_to_everybody(own || procs::built_in(oid).is_some()))
}

fn data_type(call: &Call<'_>, cell: &Cell) -> Result<Use> {
    let oid = names::type_oid(call, cell)?;
    let name = names::type_name(call, oid, pg_type::NO_TYPMOD);
    Ok(known_to_everybody(name.is_some()))
}

fn language(_: &Call<'_>, cell: &Cell) -> Result<Use> {
    // Only SQL is for everybody.
    let languages = [(12, "internal"), (13, "c"), (14, "sql")];
    let found = languages.iter().find(|(oid, name)| match cell.to_oid() {
        Some(wanted) => wanted == *oid,
        None => cell.to_text().as_deref() == Some(*name),
    });
    match found {
        Some((_, "sql")) => Ok(Use::Everybody),
        Some(_) => Ok(Use::Superusers),
        None => missing("language", cell),
    }
}

fn tablespace(_: &Call<'_>, cell: &Cell) -> Result<Use> {
    let found = match cell.to_oid() {
        Some(oid) => [1663, 1664].contains(&oid),
        None => matches!(cell.to_text().as_deref(), Some("pg_default" | "pg_global")),
    };
    match found {
        true => Ok(Use::Superusers),
        false => missing("tablespace", cell),
    }
}

fn server(_: &Call<'_>, cell: &Cell) -> Result<Use> {
    missing("server", cell)
}

fn wrapper(_: &Call<'_>, cell: &Cell) -> Result<Use> {
    missing("foreign-data wrapper", cell)
}

fn sequence(call: &Call<'_>, cell: &Cell) -> Result<Use> {
    match names::relation(call, cell)? {
        None => Ok(Use::Unknown),
        Some(relation) => failed(Error::wrong_object_type(format!(
            "\"{}\" is not a sequence",
            relation.name
        ))),
    }
}

/// 42704 for the name of no object; an OID of none is not known.
fn missing(noun: &str, cell: &Cell) -> Result<Use> {
    match cell.to_oid() {
        Some(_) => Ok(Use::Unknown),
        None => {
            let name = cell.to_text().unwrap_or_default();
            failed(Error::undefined_object(format!(
                "{noun} \"{name}\" does not exist"
            )))
        }
    }
}

fn has_role(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let (user, args) = user_of(call, args, 2)?;
    let role = role_named(call, argument(args, 0))?;
    let wanted = privileges(&argument_text(args, 1), ROLE)?;
    let facts = call.catalog.facts();
    if user == NOBODY {
        return Ok(Cell::Bool(false));
    }
    let has = wanted
        .iter()
        .any(|(privilege, _)| facts.has_role(&user, &role, privilege == "USAGE"));
    Ok(Cell::Bool(has))
}

fn any(call: &Call<'_>, user: &str, privileges: &[(String, bool)], object: Securable<'_>) -> Cell {
    let facts = call.catalog.facts();
    if user == NOBODY {
        return Cell::Bool(false);
    }
    Cell::Bool(
        privileges
            .iter()
            .any(|(privilege, grantable)| facts.may(user, privilege, *grantable, object)),
    )
}

/// The user that a call is about, the current one if it has only `count` arguments; and the others.
fn user_of<'a>(call: &Call<'_>, args: &'a [Cell], count: usize) -> Result<(String, &'a [Cell])> {
    match args.split_first() {
        Some((user, rest)) if args.len() > count => Ok((role_named(call, user)?, rest)),
        _ => Ok((call.session.user.clone(), args)),
    }
}

/// A role by name or OID. PUBLIC is nobody's name, and what everybody may is asked by it.
fn role_named(call: &Call<'_>, cell: &Cell) -> Result<String> {
    let roles = roles::roles(call.catalog.facts());
    let name = match (cell.to_int(), cell) {
        (Some(oid), _) => {
            let found = roles.iter().find(|(known, _)| i64::from(*known) == oid);
            // Nobody's OID is a role that has no privileges.
            return Ok(found.map_or_else(|| NOBODY.to_owned(), |(_, role)| role.name.clone()));
        }
        (None, Cell::Text(name)) => name.clone(),
        (None, _) => String::new(),
    };
    let known = name == "public"
        || name == call.session.user
        || roles.iter().any(|(_, role)| role.name == name);
    match known {
        true => Ok(name),
        false => Err(Error::undefined_object(format!("role \"{name}\" does not exist")).into()),
    }
}

/// The privileges of a comma-separated list, and whether the grant option is asked for with each.
fn privileges(list: &str, known: &[&str]) -> Result<Vec<(String, bool)>> {
    list.split(',')
        .map(|word| {
            let upper = word.trim().to_ascii_uppercase();
            let (name, grantable) = ["WITH GRANT OPTION", "WITH ADMIN OPTION"]
                .iter()
                .find_map(|suffix| upper.strip_suffix(suffix))
                .map_or((upper.as_str(), false), |name| (name.trim_end(), true));
            match known.contains(&name) {
                true => Ok((name.to_owned(), grantable)),
                false => Err(Error::invalid_parameter_value(format!(
                    "unrecognized privilege type: \"{}\"",
                    word.trim()
                ))
                .into()),
            }
        })
        .collect()
}
