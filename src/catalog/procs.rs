//! Functions and the languages they are written in.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use datafusion::error::Result;

use super::cells::{Cell, Rows, row};
use super::oid::{self, OidAssigner};
use super::pg_type;
use super::relation_table::{Producer, Scope};
use super::type_oids;

/// Language internal: written in the server's own language.
const LANGUAGE_INTERNAL: u32 = 12;

/// What a function is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// One value per row.
    Scalar,
    /// One value per group.
    Aggregate,
    /// One value per row from a window of rows.
    Window,
    /// A set of rows, called in FROM.
    Table,
}

/// A function that SQL can call, as the registry describes it.
#[derive(Clone, Debug)]
pub struct FunctionDescription {
    /// The function's name.
    pub name: String,
    /// What it is called for.
    pub kind: FunctionKind,
    /// Name and SQL type of each argument; an unknown type is shown as "any".
    pub arguments: Vec<(String, String)>,
    /// SQL type of the result; an unknown type is shown as "any".
    pub returns: String,
    /// One sentence.
    pub description: Option<String>,
    /// How a call is written.
    pub syntax: Option<String>,
    /// Whether it belongs to pg_catalog: `\df` without a pattern does not list those.
    pub builtin: bool,
}

/// A function with its OIDs.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) kind: FunctionKind,
    pub(crate) argument_names: Vec<String>,
    pub(crate) argument_types: Vec<u32>,
    pub(crate) returns: u32,
    pub(crate) description: Option<String>,
    pub(crate) syntax: Option<String>,
    pub(crate) schema_oid: u32,
}

impl Function {
    /// The arguments as `\df` shows them: `score bigint, weight double precision`.
    pub(crate) fn arguments_text(&self) -> String {
        let types = self.argument_types.iter().map(|oid| type_name(*oid));
        let named = types
            .zip(self.argument_names.iter())
            .map(|(pg_type, name)| {
                if name.is_empty() {
                    pg_type
                } else {
                    format!("{name} {pg_type}")
                }
            });
        named.collect::<Vec<_>>().join(", ")
    }

    /// The result as `\df` shows it.
    pub(crate) fn result_text(&self) -> String {
        let set = if self.kind == FunctionKind::Table {
            "SETOF "
        } else {
            ""
        };
        format!("{set}{}", type_name(self.returns))
    }

    /// The name with the argument types, which a function is known by.
    pub(crate) fn signature(&self) -> String {
        let types: Vec<String> = self
            .argument_types
            .iter()
            .map(|oid| type_name(*oid))
            .collect();
        format!("{}({})", self.name, types.join(","))
    }
}

/// One of PostgreSQL's own functions.
#[derive(Debug)]
pub(crate) struct BuiltIn {
    pub(crate) oid: u32,
    pub(crate) name: &'static str,
    pub(crate) returns: u32,
    pub(crate) arguments: Vec<u32>,
    /// `f` function, `a` aggregate, `w` window function.
    pub(crate) kind: char,
    pub(crate) strict: bool,
    pub(crate) returns_set: bool,
    /// Whether rows of other catalogs name it, so that it is there even if SQL cannot call it here.
    named: bool,
    pub(crate) volatility: char,
    pub(crate) variadic: u32,
    pub(crate) defaults: i16,
    pub(crate) argument_names: Vec<&'static str>,
}

impl BuiltIn {
    /// The arguments as `\df` shows them.
    pub(crate) fn arguments_text(&self) -> String {
        let last = self.arguments.len().saturating_sub(1);
        let arguments = self.arguments.iter().enumerate().map(|(index, oid)| {
            let variadic = match index == last && self.variadic != 0 {
                true => "VARIADIC ",
                false => "",
            };
            match self
                .argument_names
                .get(index)
                .filter(|name| !name.is_empty())
            {
                Some(name) => format!("{variadic}{name} {}", type_name(*oid)),
                None => format!("{variadic}{}", type_name(*oid)),
            }
        });
        arguments.collect::<Vec<_>>().join(", ")
    }

    /// The result as `\df` shows it.
    pub(crate) fn result_text(&self) -> String {
        let set = if self.returns_set { "SETOF " } else { "" };
        format!("{set}{}", type_name(self.returns))
    }

    /// The name with the argument types.
    pub(crate) fn signature(&self) -> String {
        let types: Vec<String> = self.arguments.iter().map(|oid| type_name(*oid)).collect();
        format!("{}({})", self.name, types.join(","))
    }
}

static BUILT_INS: LazyLock<Vec<BuiltIn>> = LazyLock::new(|| {
    let lines = include_str!("postgres15/functions.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(parse_built_in)
        .collect()
});

static BUILT_INS_BY_OID: LazyLock<HashMap<u32, &'static BuiltIn>> = LazyLock::new(|| {
    BUILT_INS
        .iter()
        .map(|function| (function.oid, function))
        .collect()
});

static BUILT_INS_BY_NAME: LazyLock<HashMap<&'static str, Vec<&'static BuiltIn>>> =
    LazyLock::new(|| {
        let mut by_name: HashMap<&'static str, Vec<&'static BuiltIn>> = HashMap::new();
        for function in BUILT_INS.iter() {
            by_name.entry(function.name).or_default().push(function);
        }
        by_name
    });

/// PostgreSQL's own function of an OID.
pub(crate) fn built_in(oid: u32) -> Option<&'static BuiltIn> {
    BUILT_INS_BY_OID.get(&oid).copied()
}

/// PostgreSQL's own functions of a name.
pub(crate) fn built_ins_named(name: &str) -> &'static [&'static BuiltIn] {
    BUILT_INS_BY_NAME.get(name).map_or(&[], Vec::as_slice)
}

/// PostgreSQL's own functions that are shown: SQL can call them here (`callable`), or other rows name
/// them.
pub(crate) fn built_ins_shown(
    callable: &HashMap<String, Option<String>>,
) -> impl Iterator<Item = &'static BuiltIn> {
    BUILT_INS
        .iter()
        .filter(|function| function.named || callable.contains_key(function.name))
}

pub(crate) fn producer(name: &str) -> Option<Producer> {
    Some(match name {
        "pg_proc" => pg_proc,
        _ => return None,
    })
}

/// Resolves the types of the functions that PostgreSQL has not and gives each a stable OID.
pub(crate) fn assign_oids(mut functions: Vec<FunctionDescription>) -> Vec<Function> {
    functions.sort_by(|a, b| (&a.name, &a.arguments).cmp(&(&b.name, &b.arguments)));
    let mut oids = OidAssigner::default();
    let mut seen: HashSet<String> = HashSet::new();
    let mut resolved = Vec::with_capacity(functions.len());
    let own = |function: &FunctionDescription| {
        !function.builtin || built_ins_named(&function.name).is_empty()
    };
    for function in functions.into_iter().filter(own) {
        let type_of = |name: &str| pg_type::oid_of_sql_name(name).unwrap_or(type_oids::ANY);
        let mut function = Function {
            oid: 0,
            kind: function.kind,
            argument_types: function
                .arguments
                .iter()
                .map(|(_, sql)| type_of(sql))
                .collect(),
            argument_names: function
                .arguments
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            returns: type_of(&function.returns),
            description: function.description,
            syntax: function.syntax,
            schema_oid: if function.builtin {
                oid::PG_CATALOG
            } else {
                oid::PUBLIC
            },
            name: function.name,
        };
        let signature = function.signature();
        if seen.insert(signature.clone()) {
            function.oid = oids.assign("function", &signature);
            resolved.push(function);
        }
    }
    resolved
}

fn type_name(oid: u32) -> String {
    pg_type::format_type(oid, pg_type::NO_TYPMOD).unwrap_or_else(|| "???".to_owned())
}

fn parse_built_in(line: &'static str) -> Option<BuiltIn> {
    let words: Vec<&'static str> = line.split(' ').collect();
    let word = |index: usize| words.get(index).copied();
    let letter = |index: usize| word(index)?.chars().next();
    let list = |index: usize| -> Option<Vec<&'static str>> {
        match word(index)? {
            "-" => Some(Vec::new()),
            list => Some(list.split(',').collect()),
        }
    };
    let flags = word(5)?;
    Some(BuiltIn {
        oid: word(0)?.parse().ok()?,
        name: word(1)?,
        returns: word(2)?.parse().ok()?,
        arguments: list(3)?
            .into_iter()
            .map(|oid| oid.parse().ok())
            .collect::<Option<_>>()?,
        kind: letter(4)?,
        strict: flags.contains('s'),
        returns_set: flags.contains('r'),
        named: flags.contains('x'),
        volatility: letter(6)?,
        variadic: word(7)?.parse().ok()?,
        defaults: word(8)?.parse().ok()?,
        argument_names: list(10)?,
    })
}

fn pg_proc(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for function in built_ins_shown(scope.callable) {
        let names = &function.argument_names;
        row!(
            rows,
            oid: function.oid,
            proname: function.name,
            pronamespace: oid::PG_CATALOG,
            proowner: oid::OWNER,
            prolang: LANGUAGE_INTERNAL,
            procost: 1.0,
            prorows: if function.returns_set { 1000.0 } else { 0.0 },
            provariadic: function.variadic,
            prokind: function.kind,
            proisstrict: function.strict,
            proretset: function.returns_set,
            provolatile: function.volatility,
            proparallel: 's',
            pronargs: i16::try_from(function.arguments.len()).unwrap_or(i16::MAX),
            pronargdefaults: function.defaults,
            prorettype: function.returns,
            proargtypes: function.arguments.clone(),
            proargnames: if names.is_empty() { Cell::Null } else { Cell::from(names.clone()) },
            prosrc: function.name,
        )?;
    }
    for function in scope.functions {
        let names = &function.argument_names;
        let named = names.iter().any(|name| !name.is_empty());
        row!(
            rows,
            oid: function.oid,
            proname: &function.name,
            pronamespace: function.schema_oid,
            proowner: oid::OWNER,
            prolang: LANGUAGE_INTERNAL,
            procost: 1.0,
            prorows: if function.kind == FunctionKind::Table { 1000.0 } else { 0.0 },
            prokind: match function.kind {
                FunctionKind::Scalar | FunctionKind::Table => 'f',
                FunctionKind::Aggregate => 'a',
                FunctionKind::Window => 'w',
            },
            proretset: function.kind == FunctionKind::Table,
            provolatile: 'i',
            proparallel: 's',
            pronargs: i16::try_from(names.len()).unwrap_or(i16::MAX),
            prorettype: function.returns,
            proargtypes: function.argument_types.clone(),
            proargnames: if named { Cell::from(names.clone()) } else { Cell::Null },
            prosrc: function.syntax.as_ref().unwrap_or(&function.name),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_functions_are_all_read() {
        let text = include_str!("postgres15/functions.txt");
        let lines = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(BUILT_INS.len(), lines);
        assert_eq!(built_in(2400).unwrap().name, "array_recv");
        assert_eq!(built_in(3058).unwrap().arguments_text(), "VARIADIC \"any\"");
        let shown = |name: &str| {
            let callable = HashMap::from([("lower".to_owned(), None)]);
            built_ins_shown(&callable).any(|function| function.name == name)
        };
        assert!(shown("lower") && shown("int4in") && !shown("pg_sleep_until"));
    }

    #[test]
    fn overloads_differ_and_duplicates_vanish() {
        let nps = |sql_type: &str| FunctionDescription {
            name: "nps".into(),
            kind: FunctionKind::Aggregate,
            arguments: vec![("score".into(), sql_type.into())],
            returns: "double precision".into(),
            description: None,
            syntax: None,
            builtin: false,
        };
        let functions = assign_oids(vec![nps("bigint"), nps("numeric"), nps("int8")]);
        assert_eq!(functions.len(), 2);
        assert_ne!(functions[0].oid, functions[1].oid);
        assert_eq!(functions[0].arguments_text(), "score bigint");
    }
}
