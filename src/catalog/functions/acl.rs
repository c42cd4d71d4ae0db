//! Access lists as values: the privileges that objects have when nobody granted or revoked any.

use datafusion::error::Result;

use super::{Call, Returns, Spec, argument, argument_text, failed, names, strict};
use crate::catalog::cells::Cell;
use crate::error::Error;

pub(super) const SPECS: &[Spec] = &[
    strict("acldefault", (2, 2), Returns::AclItems, default_items),
    strict("makeaclitem", (4, 4), Returns::AclItem, item),
];

/// Privileges and their letters, in the order in which an access list has them.
pub(super) const LETTERS: &[(char, &str)] = &[
    ('a', "INSERT"),
    ('r', "SELECT"),
    ('w', "UPDATE"),
    ('d', "DELETE"),
    ('D', "TRUNCATE"),
    ('x', "REFERENCES"),
    ('t', "TRIGGER"),
    ('X', "EXECUTE"),
    ('U', "USAGE"),
    ('C', "CREATE"),
    ('T', "TEMPORARY"),
    ('c', "CONNECT"),
    ('s', "SET"),
    ('A', "ALTER SYSTEM"),
];

/// `makeaclitem(grantee, grantor, privilege, grantable)`
fn item(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let asked = argument_text(args, 2);
    let upper = asked.to_ascii_uppercase();
    let wanted = if upper == "TEMP" { "TEMPORARY" } else { &upper };
    let Some((letter, _)) = LETTERS.iter().find(|(_, name)| *name == wanted) else {
        return failed(Error::invalid_parameter_value(format!(
            "unrecognized privilege type: \"{asked}\""
        )));
    };
    let star = if *argument(args, 3) == Cell::Bool(true) {
        "*"
    } else {
        ""
    };
    let role = |at: usize| role_text(call, argument(args, at).to_oid().unwrap_or_default());
    let grantee = match argument(args, 0).to_oid() {
        Some(0) | None => String::new(),
        Some(oid) => role_text(call, oid),
    };
    Ok(Cell::Text(format!("{grantee}={letter}{star}/{}", role(1))))
}

/// A role as an access list names it: by its OID if there is none.
fn role_text(call: &Call<'_>, oid: u32) -> String {
    names::role_name(call, oid).map_or_else(|| oid.to_string(), |name| quoted(&name))
}

/// Kinds of objects, what everybody may do with them, and what their owner may.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("F", "", "U"),
    ("L", "", "rw"),
    ("S", "", "U"),
    ("T", "U", "U"),
    ("c", "", ""),
    ("d", "Tc", "CTc"),
    ("f", "X", "X"),
    ("l", "U", "U"),
    ("n", "", "UC"),
    ("p", "", "sA"),
    ("r", "", "arwdDxt"),
    ("s", "", "rwU"),
    ("t", "", "C"),
];

fn default_items(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let kind = argument_text(args, 0);
    let Some((_, everybody, owner)) = DEFAULTS.iter().find(|(known, ..)| *known == kind) else {
        return failed(Error::internal(format!(
            "unrecognized objtype abbreviation: {kind}"
        )));
    };
    let oid = argument(args, 1).to_oid().unwrap_or_default();
    let role = role_text(call, oid);
    let grants = [(String::new(), everybody), (role.clone(), owner)];
    let items = grants
        .into_iter()
        .filter(|(_, letters)| !letters.is_empty())
        .map(|(grantee, letters)| Cell::Text(format!("{grantee}={letters}/{role}")));
    Ok(Cell::List(items.collect()))
}

/// A role's name in an access list.
fn quoted(name: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || letter == '_';
    match name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}
