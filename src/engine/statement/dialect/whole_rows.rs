//! Whole rows as values: `SELECT t FROM t`, `row_to_json(t)`, `(t).c`, `t IS NULL`.
//!
//! The name of a relation that is no column becomes a call of `WHOLE_ROW` with the names and values of the
//! relation's columns. Where they cannot be told from the statement and the tables it names, the name
//! stays as it is, and the planner says that there is no such column.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinConstraint,
    JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins,
    Visit, VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions,
};

use super::build::{call, folded, function_name, parts, string};
use super::output::item_name;
use crate::engine::functions::records::WHOLE_ROW;
use crate::engine::parameters::Relations;
use crate::error::{Error, Result};

/// Columns that a whole row may have.
const COLUMNS_MAX: usize = 1000;

/// Whether a statement may speak of a whole row: then the columns of its relations are needed.
pub fn may_be_in(statement: &Statement) -> bool {
    let mut names = Names::default();
    let _: ControlFlow<()> = statement.visit(&mut names);
    names
        .mentioned
        .iter()
        .any(|name| names.relations.contains(name))
}

#[derive(Default)]
struct Names {
    relations: Vec<String>,
    mentioned: Vec<String>,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.relations
            .extend(factor_name(factor).map(|name| folded(&name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.mentioned.push(folded(ident)),
            Expr::Function(function) if function_name(function) != "count" => {
                if let FunctionArguments::List(list) = &function.args {
                    let rows = list.args.iter().filter_map(wildcard_of);
                    self.mentioned.extend(rows.map(|name| folded(&name)));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The relation of an argument `t.*`.
fn wildcard_of(argument: &FunctionArg) -> Option<Ident> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => match &*name.0 {
            [ObjectNamePart::Identifier(name)] => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Writes whole rows out.
///
/// # Errors
/// 0A000 for a row that an outer join may leave out.
pub fn rewrite(statement: &mut Statement, relations: &Relations) -> Result<()> {
    let mut rewriter = Rewriter {
        relations,
        common: Vec::new(),
        scopes: Vec::new(),
        qualifies: false,
    };
    match VisitMut::visit(statement, &mut rewriter) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// A relation of a FROM clause.
#[derive(Debug, Clone)]
struct Source {
    name: Ident,
    columns: Option<Vec<String>>,
    /// The names of a row's fields: a table's are those of the table, whatever an alias calls them.
    fields: Option<Vec<String>>,
    /// Whether an outer join may give no row of it.
    optional: bool,
}

struct Rewriter<'a> {
    relations: &'a Relations,
    /// The WITH queries around the current place and their columns.
    common: Vec<Vec<(String, Option<Vec<String>>)>>,
    /// The FROM clauses around the current place.
    scopes: Vec<Vec<Source>>,
    /// Whether the next name to be visited qualifies a column.
    qualifies: bool,
}

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.common.push(Vec::new());
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        for table in tables {
            let columns = renamed(self.columns_of_query(&table.query), Some(&table.alias));
            if let Some(names) = self.common.last_mut() {
                names.push((folded(&table.alias.name), columns));
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.common.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let sources = self.sources(select);
        for item in &mut select.projection {
            // Under the name that it has before it is rewritten.
            if let SelectItem::UnnamedExpr(expr) = &*item
                && let Expr::Identifier(ident) = cast_value(expr)
                && row_of(&sources, &folded(ident)).is_some()
            {
                let alias = Ident::with_quote('"', folded(ident));
                *item = SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias,
                };
            }
        }
        self.scopes.push(sources);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<Error> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::IsNull(row) | Expr::IsNotNull(row) = &*expr
            && let Expr::Identifier(ident) = bare(row)
            && let Some(source) = self.row(&folded(ident))
        {
            let is_null = matches!(expr, Expr::IsNull(_));
            return written(&source, |source| {
                let tests = columns(source).map(|column| match is_null {
                    true => Expr::IsNull(Box::new(column)),
                    false => Expr::IsNotNull(Box::new(column)),
                });
                let and = datafusion::sql::sqlparser::ast::BinaryOperator::And;
                let all = super::build::join(&and, tests.collect());
                *expr = Expr::Nested(Box::new(all.unwrap_or_else(super::build::null)));
            });
        }
        if let Expr::CompoundFieldAccess { root, access_chain } = expr {
            // `t.c[1]`: the relation's name is visited next.
            self.qualifies = matches!(root.as_ref(), Expr::Identifier(_));
            for access in access_chain {
                // The name of a field is no relation's.
                if let AccessExpr::Dot(Expr::Identifier(ident)) = access
                    && self.row(&folded(ident)).is_some()
                {
                    *access = AccessExpr::Dot(string(folded(ident)));
                }
            }
            return ControlFlow::Continue(());
        }
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let name = function_name(function);
        let FunctionArguments::List(list) = &mut function.args else {
            return ControlFlow::Continue(());
        };
        if name == "count" {
            return ControlFlow::Continue(());
        }
        if last_name(&function.name).is_some_and(|name| name.starts_with("_pg_")) {
            // Those of information_schema are given whole rows of the catalog and read some columns.
            list.args.iter_mut().for_each(as_wildcard);
            return ControlFlow::Continue(());
        }
        let mut arguments = Vec::new();
        for argument in list.args.drain(..) {
            let source = wildcard_of(&argument).and_then(|ident| self.row(&folded(&ident)));
            let Some(source) = source else {
                arguments.push(argument);
                continue;
            };
            let plain = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
            written(&source, |source| match name.as_str() {
                "row" => arguments.extend(columns(source).map(plain)),
                _ => arguments.push(plain(whole_row(source))),
            })?;
        }
        list.args = arguments;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if std::mem::take(&mut self.qualifies) {
            return ControlFlow::Continue(());
        }
        if let Expr::Identifier(ident) = expr
            && let Some(source) = self.row(&folded(ident))
        {
            return written(&source, |source| *expr = whole_row(source));
        }
        ControlFlow::Continue(())
    }
}

/// What is cast, if it is a cast.
fn cast_value(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => cast_value(inner),
        other => other,
    }
}

fn last_name(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(ObjectNamePart::as_ident).map(folded)
}

/// `t` as `t.*`.
fn as_wildcard(argument: &mut FunctionArg) {
    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(ident))) = argument {
        let name = ObjectName::from(vec![ident.clone()]);
        *argument = FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name));
    }
}

fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => bare(inner),
        other => other,
    }
}

/// The columns of a row, qualified.
fn columns(source: &Source) -> impl Iterator<Item = Expr> {
    source.columns.iter().flatten().map(|column| {
        let column = Ident::with_quote('"', column);
        Expr::CompoundIdentifier(vec![source.name.clone(), column])
    })
}

fn whole_row(source: &Source) -> Expr {
    let names = source.fields.as_ref().or(source.columns.as_ref());
    let names = names.into_iter().flatten();
    let pairs = names.zip(columns(source));
    call(
        WHOLE_ROW,
        pairs
            .flat_map(|(name, column)| [string(name.clone()), column])
            .collect(),
    )
}

/// The relation of this name, if no column is meant and its columns are known.
fn row_of<'a>(sources: &'a [Source], name: &str) -> Option<&'a Source> {
    let is_column = sources.iter().any(|source| {
        let columns = source.columns.as_ref();
        columns.is_none_or(|columns| columns.iter().any(|column| column == name))
    });
    let found = sources.iter().find(|source| folded(&source.name) == name)?;
    (!is_column).then_some(found)
}

/// Writes the row out, if no outer join may leave it out.
fn written(source: &Source, write: impl FnOnce(&Source)) -> ControlFlow<Error> {
    if source.optional {
        let name = folded(&source.name);
        return ControlFlow::Break(
            Error::feature_not_supported(format!(
                "the whole row of \"{name}\" beside an outer join is not supported"
            ))
            .with_hint("Name the columns."),
        );
    }
    write(source);
    ControlFlow::Continue(())
}

impl Rewriter<'_> {
    fn row(&self, name: &str) -> Option<Source> {
        for scope in self.scopes.iter().rev() {
            if let Some(source) = row_of(scope, name) {
                return Some(source.clone());
            }
            let settled = scope.iter().any(|source| {
                let columns = source.columns.as_ref();
                folded(&source.name) == name
                    || columns.is_none_or(|columns| columns.iter().any(|column| column == name))
            });
            if settled {
                return None;
            }
        }
        None
    }

    fn sources(&self, select: &Select) -> Vec<Source> {
        let mut sources = Vec::new();
        for table in &select.from {
            self.add_sources(table, &mut sources);
        }
        sources
    }

    fn add_sources(&self, table: &TableWithJoins, sources: &mut Vec<Source>) {
        let first = sources.len();
        self.add_source(&table.relation, sources);
        for join in &table.joins {
            let before = sources.len();
            self.add_source(&join.relation, sources);
            let (left, right) = match &join.join_operator {
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
                JoinOperator::FullOuter(_) => (true, true),
                _ => (false, false),
            };
            for (at, source) in sources.iter_mut().enumerate().skip(first) {
                source.optional |= if at < before { left } else { right };
            }
        }
    }

    fn add_source(&self, factor: &TableFactor, sources: &mut Vec<Source>) {
        if let TableFactor::NestedJoin {
            table_with_joins, ..
        } = factor
        {
            return self.add_sources(table_with_joins, sources);
        }
        let Some(name) = factor_name(factor) else {
            return;
        };
        let columns = self.columns_of_factor(factor);
        let is_usable = |columns: &Vec<String>| {
            let mut sorted: Vec<&String> = columns.iter().collect();
            sorted.sort();
            sorted.windows(2).all(|pair| pair[0] != pair[1]) && columns.len() <= COLUMNS_MAX
        };
        sources.push(Source {
            name,
            columns: columns.filter(is_usable),
            fields: match factor {
                TableFactor::Table {
                    name, args: None, ..
                } => self.columns_of_table(name),
                _ => None,
            },
            optional: false,
        });
    }

    fn columns_of_factor(&self, factor: &TableFactor) -> Option<Vec<String>> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => renamed(self.columns_of_relation(name), alias.as_ref()),
            TableFactor::Derived {
                subquery, alias, ..
            } => renamed(self.columns_of_query(subquery), alias.as_ref()),
            // Functions whose columns are defined beside them.
            TableFactor::Table { alias, .. } | TableFactor::Function { alias, .. } => {
                let columns = &alias.as_ref()?.columns;
                let is_defined = columns.iter().all(|column| column.data_type.is_some());
                (is_defined && !columns.is_empty())
                    .then(|| columns.iter().map(|column| folded(&column.name)).collect())
            }
            _ => None,
        }
    }

    fn columns_of_table(&self, name: &ObjectName) -> Option<Vec<String>> {
        let parts = parts(name)?;
        let mut with = self.common.iter().flatten();
        if parts.len() == 1 && with.any(|(name, _)| *name == parts[0]) {
            return None;
        }
        let columns = self.relations.get(&parts)?;
        Some(columns.iter().map(|(name, _)| name.clone()).collect())
    }

    fn columns_of_relation(&self, name: &ObjectName) -> Option<Vec<String>> {
        let parts = parts(name)?;
        if let [name] = parts.as_slice() {
            let mut common = self
                .common
                .iter()
                .rev()
                .flat_map(|tables| tables.iter().rev());
            if let Some((_, columns)) = common.find(|(common, _)| common == name) {
                return columns.clone();
            }
        }
        let columns = self.relations.get(&parts)?;
        Some(columns.iter().map(|(name, _)| name.clone()).collect())
    }

    fn columns_of_query(&self, query: &Query) -> Option<Vec<String>> {
        match query.with {
            Some(_) => None,
            None => self.columns_of_body(&query.body),
        }
    }

    fn columns_of_body(&self, body: &SetExpr) -> Option<Vec<String>> {
        let select = match body {
            SetExpr::Select(select) => select,
            SetExpr::Query(query) => return self.columns_of_query(query),
            SetExpr::SetOperation { left, .. } => return self.columns_of_body(left),
            SetExpr::Values(values) => {
                let width = values.rows.first()?.content.len();
                return Some((1..=width).map(|at| format!("column{at}")).collect());
            }
            _ => return None,
        };
        let mut names = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(options) if is_plain(options) => {
                    if select.from.iter().any(merges_columns) {
                        return None;
                    }
                    for source in self.sources(select) {
                        names.extend(source.columns?);
                    }
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(owner),
                    options,
                ) if is_plain(options) => {
                    let [owner] = parts(owner)?.try_into().ok()?;
                    let sources = self.sources(select);
                    let found = sources
                        .into_iter()
                        .find(|source| folded(&source.name) == owner);
                    names.extend(found?.columns?);
                }
                item => names.push(item_name(item).filter(|name| name != "?column?")?),
            }
        }
        Some(names)
    }
}

fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    *options == WildcardAdditionalOptions::default()
}

fn merges_columns(table: &TableWithJoins) -> bool {
    table.joins.iter().any(|join| {
        let (JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)) = &join.join_operator
        else {
            return !matches!(join.join_operator, JoinOperator::CrossJoin(_));
        };
        !matches!(constraint, JoinConstraint::On(_) | JoinConstraint::None)
    })
}

/// The columns under the names that an alias gives them.
fn renamed(columns: Option<Vec<String>>, alias: Option<&TableAlias>) -> Option<Vec<String>> {
    let mut columns = columns?;
    let names = alias
        .map(|alias| alias.columns.as_slice())
        .unwrap_or_default();
    for (column, name) in columns.iter_mut().zip(names) {
        *column = folded(&name.name);
    }
    Some(columns)
}

fn factor_name(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table {
            alias: Some(alias), ..
        }
        | TableFactor::Derived {
            alias: Some(alias), ..
        }
        | TableFactor::Function {
            alias: Some(alias), ..
        }
        | TableFactor::UNNEST {
            alias: Some(alias), ..
        } => Some(alias.name.clone()),
        TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => {
            name.0.last().and_then(ObjectNamePart::as_ident).cloned()
        }
        _ => None,
    }
}
