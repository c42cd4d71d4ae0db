//! Records of the catalog: `(f(x)).n`, and whole rows as arguments.
//!
//! PostgreSQL's functions that return several columns are lists of structs here, and what calls them
//! unnests the list: `information_schema._pg_expandarray(x)` becomes `unnest(pg_expandarray_rows(x))`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    JoinOperator, ObjectName, ObjectNamePart, Select, SetExpr, Statement, TableFactor, Value,
    Visit as VisitAst, Visitor,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::build::{call, case_equal, folded, function_name, string, take};
use crate::catalog::INFORMATION_SCHEMA;
use crate::catalog::functions::lists::RECORD_FIELD;
use crate::error::{Error, Result};

type RecordSet = (&'static str, &'static str, &'static [&'static str]);

/// Functions that return a set of records: name, the function that gives their list, the columns.
const RECORD_SETS: &[RecordSet] = &[
    (
        "aclexplode",
        crate::catalog::functions::acl_rows::ACL_ROWS,
        &["grantor", "grantee", "privilege_type", "is_grantable"],
    ),
    (
        "_pg_expandarray",
        crate::catalog::functions::lists::EXPAND_ARRAY,
        &["x", "n"],
    ),
    (
        "pg_options_to_table",
        crate::catalog::functions::lists::OPTION_ROWS,
        &["option_name", "option_value"],
    ),
];

fn record_set(name: &str) -> Option<&'static RecordSet> {
    RECORD_SETS.iter().find(|(known, ..)| *known == name)
}

/// `(record).field` in the form that the planner reads.
pub(super) fn rewrite_access(expr: &mut Expr) {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else {
        return;
    };
    if matches!(
        root.as_ref(),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_)
    ) {
        return;
    }
    for access in access_chain {
        if let AccessExpr::Dot(Expr::Identifier(ident)) = access {
            let name = Value::SingleQuotedString(folded(ident));
            *access = AccessExpr::Dot(Expr::Value(name.with_empty_span()));
        }
    }
}

/// `count(t.*)` counts the rows that an outer join found nothing for, where PostgreSQL does not: it is
/// refused beside one.
pub(super) fn check_counts(select: &Select) -> Result<()> {
    let outer = select
        .from
        .iter()
        .flat_map(|table| &table.joins)
        .any(|join| {
            !matches!(
                join.join_operator,
                JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
            )
        });
    if !outer {
        return Ok(());
    }
    match VisitAst::visit(&select.projection, &mut CountedRows) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(name) => Err(Error::feature_not_supported(format!(
            "count({name}.*) beside an outer join is not supported"
        ))
        .with_hint("Count a column that is never NULL.")),
    }
}

/// Finds a column.
struct Columns;

impl Visitor for Columns {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

struct CountedRows;

impl Visitor for CountedRows {
    type Break = String;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        if let Expr::Function(function) = expr
            && function_name(function) == "count"
            && let FunctionArguments::List(list) = &function.args
            && let [FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name))] =
                list.args.as_slice()
        {
            return ControlFlow::Break(name.to_string());
        }
        ControlFlow::Continue(())
    }
}

/// Functions of information_schema, and those that return records.
pub(super) fn rewrite_function(expr: &mut Expr) {
    let Expr::Function(function) = expr else {
        return;
    };
    strip_information_schema(&mut function.name);
    let name = function_name(function);
    if let Some((_, rows, _)) = record_set(&name) {
        function.name = ObjectName::from(vec![Ident::new(*rows)]);
        let list = take(expr);
        *expr = call("unnest", vec![list]);
        return;
    }
    let columns = match name.as_str() {
        "_pg_truetypid" => ("typbasetype", "atttypid"),
        "_pg_truetypmod" => ("typtypmod", "atttypmod"),
        _ => return,
    };
    let Some([attribute, pg_type]) = whole_rows(function) else {
        return;
    };
    let column =
        |row: &Ident, name: &str| Expr::CompoundIdentifier(vec![row.clone(), Ident::new(name)]);
    *expr = case_equal(
        column(&pg_type, "typtype"),
        string("d"),
        column(&pg_type, columns.0),
        column(&attribute, columns.1),
    );
}

/// The names of the two rows that a call is given whole: `f(a.*, t.*)` or `f(a, t)`.
fn whole_rows(function: &Function) -> Option<[Ident; 2]> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let row = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => {
            name.0.last().and_then(ObjectNamePart::as_ident).cloned()
        }
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(ident))) => Some(ident.clone()),
        _ => None,
    };
    match list.args.as_slice() {
        [attribute, pg_type] => Some([row(attribute)?, row(pg_type)?]),
        _ => None,
    }
}

fn strip_information_schema(name: &mut ObjectName) {
    let parts: Vec<String> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident().map(folded))
        .collect();
    if let [schema, function] = parts.as_slice()
        && schema == INFORMATION_SCHEMA
        && function.starts_with("_pg_")
    {
        name.0.remove(0);
    }
}

/// `FROM f(x)` of a function that returns records, as a select of its columns.
pub(super) fn rewrite_factor(factor: &mut TableFactor) {
    let (name, alias, arguments) = match factor {
        TableFactor::Table {
            name,
            alias,
            args: Some(arguments),
            ..
        } => (name, alias, &arguments.args),
        TableFactor::Function {
            name, alias, args, ..
        } => (name, alias, &*args),
        _ => return,
    };
    strip_information_schema(name);
    super::build::strip_pg_catalog(name);
    let Some((function, _, columns)) = name
        .0
        .last()
        .and_then(ObjectNamePart::as_ident)
        .and_then(|ident| record_set(&folded(ident)))
    else {
        return;
    };
    // Arguments may be columns of what stands before the function.
    let lateral = VisitAst::visit(arguments, &mut Columns).is_break();
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let fields: Vec<String> = columns
        .iter()
        .map(|column| format!("{RECORD_FIELD}(r, '{column}') AS {column}"))
        .collect();
    let sql = format!(
        "SELECT {} FROM (SELECT {function}({}) AS r) AS records",
        fields.join(", "),
        arguments.join(", ")
    );
    let Ok(mut parsed) = Parser::parse_sql(&PostgreSqlDialect {}, &sql) else {
        return;
    };
    if let Some(Statement::Query(subquery)) = parsed.pop()
        && matches!(subquery.body.as_ref(), SetExpr::Select(_))
    {
        *factor = TableFactor::Derived {
            lateral,
            subquery,
            alias: alias.take(),
            sample: None,
        };
    }
}
