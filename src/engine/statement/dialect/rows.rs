//! Set-returning functions: in FROM a derived table that unnests a list, in a SELECT list an unnest.
//!
//! `FROM f(x) WITH ORDINALITY AS a(c, n)` becomes `FROM LATERAL (SELECT unnest(f_list(x)) AS c,
//! unnest(array_ordinals(f_list(x))) AS n) AS a`. Lists beside each other are unnested in lockstep,
//! the shorter ones followed by NULLs, as PostgreSQL does since version 10.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query,
    Select, SelectItem, SetExpr, TableAlias, TableFactor, Visit, Visitor,
};

use super::build::{self, call, cast, folded, function_name, string, strip_pg_catalog};
use crate::engine::functions::lists::{ELEMENTS, ORDINALS, SUBSCRIPTS};
use crate::engine::functions::series::SERIES;
use crate::engine::statement::tokens::ROWS_FROM;
use crate::error::{Error, Result};

/// A set-returning function: the functions that give its columns as lists, with the columns' names;
/// no name where a column is called as the function, or as an alias of the table.
struct SetFunction {
    name: &'static str,
    columns: &'static [(&'static str, Option<&'static str>)],
}

const FUNCTIONS: &[SetFunction] = &[
    SetFunction {
        name: "generate_series",
        columns: &[(SERIES, None)],
    },
    SetFunction {
        name: "generate_subscripts",
        columns: &[(SUBSCRIPTS, None)],
    },
    SetFunction {
        name: "json_array_elements",
        columns: &[("json_array_elements_list", Some("value"))],
    },
    SetFunction {
        name: "json_array_elements_text",
        columns: &[("json_array_elements_text_list", Some("value"))],
    },
    SetFunction {
        name: "json_each",
        columns: &[
            ("json_each_keys", Some("key")),
            ("json_each_values", Some("value")),
        ],
    },
    SetFunction {
        name: "json_each_text",
        columns: &[
            ("json_each_keys", Some("key")),
            ("json_each_values_text", Some("value")),
        ],
    },
    SetFunction {
        name: "json_object_keys",
        columns: &[("json_each_keys", None)],
    },
    SetFunction {
        name: "jsonb_array_elements",
        columns: &[("jsonb_array_elements_list", Some("value"))],
    },
    SetFunction {
        name: "jsonb_array_elements_text",
        columns: &[("jsonb_array_elements_text_list", Some("value"))],
    },
    SetFunction {
        name: "jsonb_each",
        columns: &[
            ("jsonb_each_keys", Some("key")),
            ("jsonb_each_values", Some("value")),
        ],
    },
    SetFunction {
        name: "jsonb_each_text",
        columns: &[
            ("jsonb_each_keys", Some("key")),
            ("jsonb_each_values_text", Some("value")),
        ],
    },
    SetFunction {
        name: "jsonb_object_keys",
        columns: &[("jsonb_each_keys", None)],
    },
    SetFunction {
        name: "regexp_matches",
        columns: &[("regexp_matches_list", None)],
    },
    SetFunction {
        name: "regexp_split_to_table",
        columns: &[("regexp_split_to_table_list", None)],
    },
    SetFunction {
        name: "string_to_table",
        columns: &[("string_to_array", None)],
    },
    SetFunction {
        name: "unnest",
        columns: &[(ELEMENTS, None)],
    },
];

fn known(name: &str) -> Option<&'static SetFunction> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Whether a call gives a list for an unnest around it: such an unnest is left as it is.
fn gives_list(expr: &Expr) -> bool {
    let Expr::Function(function) = expr else {
        return false;
    };
    let name = function_name(function);
    let of_set = |function: &SetFunction| function.columns.iter().any(|(list, _)| *list == name);
    name == ORDINALS || FUNCTIONS.iter().any(of_set)
}

/// A set-returning function of a SELECT list as an unnest.
pub(super) fn rewrite_call(expr: &mut Expr) -> Result<()> {
    let Expr::Function(function) = expr else {
        return Ok(());
    };
    let Some(set) = known(&function_name(function)) else {
        return Ok(());
    };
    if function.over.is_some() {
        return Err(Error::wrong_object_type(format!(
            "OVER specified, but {} is not a window function nor an aggregate function",
            set.name
        )));
    }
    let arguments = arguments(&function.args);
    if set.name == "unnest" && arguments.first().is_some_and(gives_list) {
        return Ok(());
    }
    let [(list, _)] = set.columns else {
        return Err(Error::feature_not_supported(format!(
            "{} in a SELECT list is not supported",
            set.name
        ))
        .with_hint("Call it in FROM."));
    };
    *expr = unnest(call(list, arguments));
    Ok(())
}

/// Functions of sets in CASE and COALESCE: PostgreSQL refuses them, the engine would multiply the rows.
pub(super) fn check_place(expr: &Expr) -> Result<()> {
    let place = match expr {
        Expr::Case { .. } => "CASE",
        Expr::Function(function) if function_name(function) == "coalesce" => "COALESCE",
        _ => return Ok(()),
    };
    match expr.visit(&mut SetFinder(0)) {
        ControlFlow::Break(()) => Err(Error::feature_not_supported(format!(
            "set-returning functions are not allowed in {place}"
        ))
        .with_hint(
            "You might be able to move the set-returning function into a LATERAL FROM item.",
        )),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Finds a function of a set outside of nested queries; the number is their depth.
struct SetFinder(usize);

impl Visitor for SetFinder {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.0 += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.0 -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function)
                if self.0 == 0
                    && build::array_subquery(expr).is_none()
                    && known(&function_name(function))
                        .is_some_and(|set| set.name != "string_to_table") =>
            {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The elements of a list, with the type that lists of text do not tell.
fn unnest(list: Expr) -> Expr {
    let of = match &list {
        Expr::Function(function) => match function_name(function).as_str() {
            "json_array_elements_list" | "json_each_values" => Some(DataType::JSON),
            "jsonb_array_elements_list" | "jsonb_each_values" => Some(DataType::JSONB),
            _ => None,
        },
        _ => None,
    };
    let elements = call("unnest", vec![list]);
    match of {
        Some(of) => cast(elements, of),
        None => elements,
    }
}

fn arguments(args: &FunctionArguments) -> Vec<Expr> {
    match args {
        FunctionArguments::List(list) => plain(&list.args),
        _ => Vec::new(),
    }
}

fn plain(args: &[FunctionArg]) -> Vec<Expr> {
    let expr = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named {
            arg: FunctionArgExpr::Expr(expr),
            ..
        } => Some(expr.clone()),
        _ => None,
    };
    args.iter().filter_map(expr).collect()
}

/// Functions in FROM as derived tables that may refer to what stands before them.
pub(super) fn rewrite_from(select: &mut Select) -> Result<()> {
    for (index, table) in select.from.iter_mut().enumerate() {
        rewrite_factor(&mut table.relation, index > 0)?;
        for join in &mut table.joins {
            rewrite_factor(&mut join.relation, true)?;
        }
    }
    Ok(())
}

fn rewrite_factor(factor: &mut TableFactor, lateral: bool) -> Result<()> {
    if let TableFactor::NestedJoin {
        table_with_joins, ..
    } = factor
    {
        rewrite_factor(&mut table_with_joins.relation, lateral)?;
        for join in &mut table_with_joins.joins {
            rewrite_factor(&mut join.relation, true)?;
        }
        return Ok(());
    }
    let (name, calls, alias, ordinality) = match factor {
        TableFactor::UNNEST {
            alias,
            array_exprs,
            with_ordinality,
            ..
        } => {
            let calls = vec![("unnest".to_owned(), array_exprs.clone())];
            ("unnest".to_owned(), calls, alias, *with_ordinality)
        }
        TableFactor::Table {
            name,
            alias,
            args: Some(args),
            with_ordinality,
            ..
        } => {
            strip_pg_catalog(name);
            let Some(name) = single_part(name) else {
                return Ok(());
            };
            (
                name.clone(),
                calls(name, plain(&args.args)),
                alias,
                *with_ordinality,
            )
        }
        TableFactor::Function {
            name,
            args,
            alias,
            with_ordinality,
            ..
        } => {
            strip_pg_catalog(name);
            let Some(name) = single_part(name) else {
                return Ok(());
            };
            (
                name.clone(),
                calls(name, plain(args)),
                alias,
                *with_ordinality,
            )
        }
        _ => return Ok(()),
    };
    if let Some(defined) = record_columns(&name, &calls, alias.as_ref())? {
        *factor = derived(defined, &name, alias.take(), lateral)?;
        return Ok(());
    }
    if !calls.iter().all(|(name, _)| known(name).is_some()) {
        return Ok(());
    }
    let columns = columns(calls);
    let items = named_items(columns, alias.as_ref(), ordinality)?;
    *factor = derived(items, &name, alias.take(), lateral)?;
    Ok(())
}

fn single_part(name: &ObjectName) -> Option<String> {
    match build::parts(name)?.as_slice() {
        [name] => Some(name.clone()),
        _ => None,
    }
}

/// The calls of `ROWS FROM (f(x), g(y))`, or the one call.
fn calls(name: String, arguments: Vec<Expr>) -> Vec<(String, Vec<Expr>)> {
    if name != ROWS_FROM {
        return vec![(name, arguments)];
    }
    let each = |argument: Expr| match argument {
        Expr::Function(mut function) => {
            strip_pg_catalog(&mut function.name);
            (function_name(&function), self::arguments(&function.args))
        }
        other => (other.to_string(), Vec::new()),
    };
    arguments.into_iter().map(each).collect()
}

struct Column {
    list: Expr,
    name: String,
    /// Whether an alias of the table names the column too.
    follows_alias: bool,
}

fn columns(calls: Vec<(String, Vec<Expr>)>) -> Vec<Column> {
    let mut columns = Vec::new();
    for (function, arguments) in calls {
        let Some(set) = known(&function) else {
            continue;
        };
        if set.name == "unnest" {
            columns.extend(arguments.into_iter().map(|array| Column {
                list: call(ELEMENTS, vec![array]),
                name: function.clone(),
                follows_alias: true,
            }));
            continue;
        }
        columns.extend(set.columns.iter().map(|(list, name)| Column {
            list: call(list, arguments.clone()),
            name: name.map_or_else(|| function.clone(), str::to_owned),
            follows_alias: name.is_none(),
        }));
    }
    columns
}

fn named_items(
    columns: Vec<Column>,
    alias: Option<&TableAlias>,
    ordinality: bool,
) -> Result<Vec<(Expr, String)>> {
    let single = columns.len() == 1;
    let lists: Vec<Expr> = columns.iter().map(|column| column.list.clone()).collect();
    let mut items: Vec<(Expr, String)> = columns
        .into_iter()
        .map(|column| {
            let name = match alias {
                Some(alias) if single && column.follows_alias => folded(&alias.name),
                _ => column.name,
            };
            (unnest(column.list), name)
        })
        .collect();
    if ordinality {
        let numbers = call("unnest", vec![call(ORDINALS, lists)]);
        items.push((numbers, "ordinality".to_owned()));
    }
    if let Some(alias) = alias {
        if alias.columns.len() > items.len() {
            return Err(Error::new(
                crate::sqlstate::SqlState::InvalidColumnReference,
                format!(
                    "table \"{}\" has {} columns available but {} columns specified",
                    folded(&alias.name),
                    items.len(),
                    alias.columns.len()
                ),
            ));
        }
        for (item, column) in items.iter_mut().zip(&alias.columns) {
            item.1 = folded(&column.name);
        }
    }
    Ok(items)
}

/// `json_to_record(x) AS t(a int, b text)` and its kin: each column is a field, cast to its type.
fn record_columns(
    name: &str,
    calls: &[(String, Vec<Expr>)],
    alias: Option<&TableAlias>,
) -> Result<Option<Vec<(Expr, String)>>> {
    let (texts, raw) = match name {
        "json_to_record" | "jsonb_to_record" => ("json_record_texts", "json_record_values"),
        "json_to_recordset" | "jsonb_to_recordset" => {
            ("json_recordset_texts", "json_recordset_values")
        }
        _ => return Ok(None),
    };
    let columns = alias
        .map(|alias| alias.columns.as_slice())
        .unwrap_or_default();
    let (Some((_, arguments)), Some(alias)) = (calls.first(), alias) else {
        return Ok(None);
    };
    let mut items = Vec::new();
    for column in columns {
        let (Some(data_type), Some(record)) = (&column.data_type, arguments.first()) else {
            return Err(Error::syntax_error(
                "a column definition list is required for functions returning \"record\"",
            ));
        };
        let field = folded(&column.name);
        let record = match name.starts_with("jsonb") {
            true => cast(record.clone(), DataType::JSONB),
            false => record.clone(),
        };
        let is_json = matches!(data_type, DataType::JSON | DataType::JSONB);
        let function = if is_json { raw } else { texts };
        let texts = call(function, vec![record, string(field.clone())]);
        items.push((cast(call("unnest", vec![texts]), data_type.clone()), field));
    }
    match items.is_empty() {
        true => Err(Error::syntax_error(format!(
            "a column definition list is required for functions returning \"record\": {}",
            folded(&alias.name)
        ))),
        false => Ok(Some(items)),
    }
}

fn derived(
    items: Vec<(Expr, String)>,
    function: &str,
    alias: Option<TableAlias>,
    lateral: bool,
) -> Result<TableFactor> {
    let name = alias.map_or_else(|| Ident::with_quote('"', function), |alias| alias.name);
    Ok(TableFactor::Derived {
        lateral,
        subquery: Box::new(query(items)?),
        alias: Some(TableAlias {
            explicit: true,
            name,
            columns: Vec::new(),
            at: None,
        }),
        sample: None,
    })
}

/// `SELECT item AS name, …`
pub(super) fn query(items: Vec<(Expr, String)>) -> Result<Query> {
    let mut query = build::template("SELECT 1")?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items
            .into_iter()
            .map(|(expr, name)| SelectItem::ExprWithAlias {
                expr,
                alias: Ident::with_quote('"', name),
            })
            .collect();
    }
    Ok(query)
}
