//! Functions and the languages they are written in.

use std::collections::HashSet;
use std::sync::LazyLock;

use datafusion::error::Result;

use super::cells::{Cell, Rows, row};
use super::oid::{self, OidAssigner};
use super::pg_type;
use super::relation_table::{Producer, Scope};

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

/// A function of PostgreSQL's own that a type, a language or an access method names.
#[derive(Debug)]
pub(crate) struct SupportFunction {
    pub(crate) oid: u32,
    pub(crate) name: &'static str,
    pub(crate) returns: u32,
    pub(crate) arguments: Vec<u32>,
}

static SUPPORT: LazyLock<Vec<SupportFunction>> = LazyLock::new(|| {
    let lines = include_str!("postgres15/functions.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(parse_support)
        .collect()
});

/// PostgreSQL's own functions that other catalog rows name.
pub(crate) fn support_functions() -> &'static [SupportFunction] {
    &SUPPORT
}

pub(crate) fn producer(name: &str) -> Option<Producer> {
    Some(match name {
        "pg_language" => pg_language,
        "pg_proc" => pg_proc,
        _ => return None,
    })
}

/// Resolves the types of the functions and gives each a stable OID.
pub(crate) fn assign_oids(mut functions: Vec<FunctionDescription>) -> Vec<Function> {
    functions.sort_by(|a, b| (&a.name, &a.arguments).cmp(&(&b.name, &b.arguments)));
    let mut oids = OidAssigner::default();
    let mut seen: HashSet<String> = HashSet::new();
    let mut resolved = Vec::with_capacity(functions.len());
    for function in functions {
        let type_of = |name: &str| pg_type::oid_of_sql_name(name).unwrap_or(pg_type::ANY);
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

fn parse_support(line: &'static str) -> Option<SupportFunction> {
    let mut words = line.split(' ');
    let oid = words.next()?.parse().ok()?;
    let name = words.next()?;
    let returns = words.next()?.parse().ok()?;
    let arguments = match words.next()? {
        "-" => Vec::new(),
        list => list
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?,
    };
    Some(SupportFunction {
        oid,
        name,
        returns,
        arguments,
    })
}

fn pg_proc(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for function in support_functions() {
        row!(
            rows,
            oid: function.oid,
            proname: function.name,
            pronamespace: oid::PG_CATALOG,
            proowner: oid::OWNER,
            prolang: LANGUAGE_INTERNAL,
            procost: 1.0,
            prokind: 'f',
            proisstrict: true,
            provolatile: 'i',
            proparallel: 's',
            pronargs: i16::try_from(function.arguments.len()).unwrap_or(i16::MAX),
            prorettype: function.returns,
            proargtypes: function.arguments.clone(),
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

fn pg_language(_: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let languages = [
        (LANGUAGE_INTERNAL, "internal", false, 2246_u32),
        (13, "c", false, 2247),
        (14, "sql", true, 2248),
    ];
    for (oid, name, trusted, validator) in languages {
        row!(
            rows,
            oid: oid,
            lanname: name,
            lanowner: oid::OWNER,
            lanpltrusted: trusted,
            lanvalidator: validator,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_functions_are_all_read() {
        let text = include_str!("postgres15/functions.txt");
        let lines = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(support_functions().len(), lines);
        assert!(
            support_functions()
                .iter()
                .any(|f| f.name == "array_recv" && f.oid == 2400)
        );
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
