//! The types of a statement's parameters, found from how they are used, as PostgreSQL finds them.
//!
//! The analysis walks the syntax tree as it was written, with the columns of the relations it
//! names. A parameter takes its type where an expression first needs one; what no rule decides is
//! left open ([`Types::get`]) for the planner.

mod expression;
mod query;
mod resolution;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, ObjectName, ObjectNamePart, Statement, Value, Visit, Visitor,
};

use self::query::Output;
use self::resolution::{OPAQUE, Oid, Signature};
use super::statement::dialect::name_of as folded;
use crate::catalog::type_oids::{TEXT, UNKNOWN};
use crate::catalog::{FunctionDescription, PG_CATALOG, pg_type, type_oids};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Parameters of one statement; the wire protocol counts them in 16 bits.
const PARAMETERS_MAX: usize = 65_535;

/// The columns of the relations that a statement names, by the name as written and folded.
pub(crate) type Relations = HashMap<Vec<String>, Vec<(String, u32)>>;

/// The forms of the functions that PostgreSQL does not have.
#[derive(Debug, Default)]
pub(crate) struct OwnFunctions(HashMap<String, Vec<Signature>>);

impl OwnFunctions {
    /// Takes the forms from the registry's descriptions.
    pub(crate) fn new(descriptions: &[FunctionDescription]) -> Self {
        let mut functions: HashMap<String, Vec<Signature>> = HashMap::new();
        for function in descriptions {
            if resolution::has_function(&function.name) {
                continue;
            }
            // The registry says "any" where it cannot tell.
            let oid = |name: &str| {
                pg_type::oid_of_sql_name(name)
                    .filter(|oid| *oid != type_oids::ANY)
                    .unwrap_or(OPAQUE)
            };
            let result = oid(&function.returns);
            let arguments = function.arguments.iter().map(|(_, name)| oid(name));
            functions
                .entry(function.name.clone())
                .or_default()
                .push(Signature {
                    arguments: arguments.collect(),
                    result,
                    defaults: 0,
                    variadic: false,
                });
        }
        Self(functions)
    }

    fn forms(&self, name: &str) -> Cow<'_, [Signature]> {
        match self.0.get(name) {
            Some(forms) => Cow::Borrowed(forms),
            None => Cow::Owned(resolution::functions(name)),
        }
    }
}

/// The types of parameters, `$1` first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Types(Vec<Oid>);

impl Types {
    /// The type of the parameter at an index, if it is known.
    pub(crate) fn get(&self, index: usize) -> Option<u32> {
        self.0
            .get(index)
            .copied()
            .filter(|oid| ![UNKNOWN, OPAQUE].contains(oid))
    }

    /// How many parameters there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Finds the types of the parameters of a statement that has `count` of them. `declared` are those
/// that the client gave, `None` where it left the type open.
///
/// # Errors
/// 42P18 for a parameter whose type nothing decides, 42P08 for one that is used as two types,
/// 42725 for an operator that does not decide between types.
pub(crate) fn infer(
    statement: &Statement,
    count: usize,
    declared: &[Option<u32>],
    relations: &Relations,
    own: &OwnFunctions,
) -> Result<Types> {
    let types = (0..count.max(declared.len()))
        .map(|index| declared.get(index).copied().flatten().unwrap_or(UNKNOWN))
        .collect();
    let mut analysis = Analysis {
        types,
        relations,
        own,
        scopes: Vec::new(),
        ctes: Vec::new(),
        has_gaps: false,
    };
    if let Statement::Query(query) = statement {
        let outputs = analysis.query(query)?;
        analysis.resolve_unknowns(&outputs)?;
    } else {
        analysis.has_gaps = true;
    }
    if !analysis.has_gaps
        && let Some(open) = analysis.types.iter().position(|oid| *oid == UNKNOWN)
    {
        return Err(Error::new(
            SqlState::IndeterminateDatatype,
            format!("could not determine data type of parameter ${}", open + 1),
        ));
    }
    Ok(Types(analysis.types))
}

/// The number of a statement's parameters: the highest `$n`.
pub(crate) fn count(statement: &Statement) -> Result<usize> {
    let mut highest = Highest(0);
    match statement.visit(&mut highest) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(highest.0),
    }
}

struct Highest(usize);

impl Visitor for Highest {
    type Break = Error;

    fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<Error> {
        let Value::Placeholder(name) = &value.value else {
            return ControlFlow::Continue(());
        };
        match number(name) {
            Some(number @ 1..=PARAMETERS_MAX) => {
                self.0 = self.0.max(number);
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(Error::undefined_parameter(format!(
                "there is no parameter {name}"
            ))),
        }
    }
}

fn number(placeholder: &str) -> Option<usize> {
    placeholder.strip_prefix('$')?.parse().ok()
}

/// The names of the relations that a statement reads, folded.
pub(crate) fn relation_names(statement: &Statement) -> Vec<Vec<String>> {
    let mut names = Vec::new();
    // The visitor never breaks.
    let _done = ast::visit_relations(statement, |name| {
        names.extend(parts(name));
        ControlFlow::<()>::Continue(())
    });
    names.sort();
    names.dedup();
    names
}

fn parts(name: &ObjectName) -> Option<Vec<String>> {
    name.0
        .iter()
        .map(|part| part.as_ident().map(folded))
        .collect()
}

fn last_part(name: &ObjectName) -> String {
    name.0
        .last()
        .and_then(ObjectNamePart::as_ident)
        .map(folded)
        .unwrap_or_default()
}

/// The OID of a type as written.
pub(crate) fn oid_of(data_type: &DataType) -> Option<u32> {
    // `"pg_catalog"."int8"`: quoted, it is the name in the catalog.
    if let DataType::Custom(name, modifiers) = data_type
        && modifiers.is_empty()
        && name.0.len() == 2
    {
        let parts = parts(name)?;
        return match &parts[..] {
            [schema, name] if schema == PG_CATALOG => pg_type::oid_of_name(name),
            _ => None,
        };
    }
    pg_type::oid_of_sql_name(&data_type.to_string())
}

/// How SQL spells a type to the planner; text stands in for those that it holds as text.
pub(crate) fn planner_type(oid: u32) -> Result<DataType> {
    use ast::{ArrayElemTypeDef, ExactNumberInfo, TimezoneInfo};
    let Some(found) = pg_type::by_oid(oid) else {
        return Err(Error::undefined_object(format!(
            "type with OID {oid} does not exist"
        )));
    };
    Ok(match found.name {
        "bool" => DataType::Boolean,
        "int2" => DataType::SmallInt(None),
        "int4" => DataType::Integer(None),
        "int8" | "oid" => DataType::BigInt(None),
        "float4" => DataType::Real,
        "float8" => DataType::DoublePrecision,
        "numeric" => DataType::Numeric(ExactNumberInfo::None),
        "bytea" => DataType::Bytea,
        "uuid" => DataType::Uuid,
        "json" => DataType::JSON,
        "jsonb" => DataType::JSONB,
        "varchar" => DataType::Varchar(None),
        "date" => DataType::Date,
        "time" => DataType::Time(None, TimezoneInfo::None),
        "timestamp" => DataType::Timestamp(None, TimezoneInfo::None),
        "timestamptz" => DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
        "interval" => DataType::Interval {
            fields: None,
            precision: None,
        },
        name if name.starts_with('_') && found.element != 0 => DataType::Array(
            ArrayElemTypeDef::SquareBracket(Box::new(planner_type(found.element)?), None),
        ),
        "record" => {
            return Err(Error::feature_not_supported(
                "a parameter cannot have type record",
            ));
        }
        _ => DataType::Text,
    })
}

/// One relation of a FROM clause.
struct Source {
    name: String,
    columns: Vec<(String, Oid)>,
    /// Whether it may have columns that are not listed.
    is_open: bool,
}

struct Analysis<'a> {
    types: Vec<Oid>,
    relations: &'a Relations,
    own: &'a OwnFunctions,
    /// The FROM clauses around the current place, the innermost last.
    scopes: Vec<Vec<Source>>,
    /// The WITH queries around the current place, the innermost last.
    ctes: Vec<(String, Vec<(String, Oid)>)>,
    /// Whether something was met that the analysis does not know: then nothing is an error.
    has_gaps: bool,
}

impl<'a> Analysis<'a> {
    /// Gives an unknown expression the type that its place needs. Only a parameter keeps it.
    fn coerce(&mut self, expr: &'a Expr, found: Oid, wanted: Oid) -> Result<()> {
        if found != UNKNOWN {
            return Ok(());
        }
        match expr {
            Expr::Nested(inner) => self.coerce(inner, found, wanted),
            Expr::Collate { expr, .. } => self.coerce(expr, found, wanted),
            Expr::Value(value) => match &value.value {
                Value::Placeholder(name) => self.coerce_parameter(name, wanted),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn coerce_parameter(&mut self, name: &str, wanted: Oid) -> Result<()> {
        let Some(held) = number(name).and_then(|number| self.types.get_mut(number - 1)) else {
            return Ok(());
        };
        match (*held, wanted) {
            (_, UNKNOWN) => Ok(()),
            (_, OPAQUE) => {
                self.has_gaps = true;
                Ok(())
            }
            (UNKNOWN, wanted) => {
                *held = wanted;
                Ok(())
            }
            (held, wanted) if held == wanted => Ok(()),
            (held, wanted) => Err(Error::new(
                SqlState::AmbiguousParameter,
                format!("inconsistent types deduced for parameter {name}"),
            )
            .with_detail(format!("{} versus {}", type_name(held), type_name(wanted)))),
        }
    }

    /// A query's columns that are still open become text.
    fn resolve_unknowns(&mut self, outputs: &[Output<'a>]) -> Result<()> {
        for output in outputs.iter().filter(|output| output.oid == UNKNOWN) {
            for expr in &output.exprs {
                self.coerce(expr, UNKNOWN, TEXT)?;
            }
        }
        Ok(())
    }
}

fn type_name(oid: Oid) -> String {
    pg_type::format_type(oid, pg_type::NO_TYPMOD).unwrap_or_else(|| "???".to_owned())
}

#[cfg(test)]
mod tests;
