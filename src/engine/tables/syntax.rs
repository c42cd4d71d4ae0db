//! Statements that change tables, as the queries whose rows they write.

use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Statement,
    TableAlias, TableAliasWithoutColumns, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut,
    With,
};
use std::ops::ControlFlow;

use super::assign::sql_type;
use crate::catalog::database::ROWS_SCHEMA;
use crate::engine::plan;
use crate::engine::statement::dialect::{cast as cast_to, name_of, name_parts, null};
use crate::error::{Error, Result};
use crate::storage::{FILE_COLUMN, ROW_COLUMN};
use crate::warehouse::DEFAULT_METADATA;

/// The columns of a table that an INSERT names, by place; all of them if it names none.
pub(super) fn target_places(
    table: &str,
    columns: &Schema,
    named: &[ObjectName],
) -> Result<Vec<usize>> {
    if named.is_empty() {
        return Ok((0..columns.fields().len()).collect());
    }
    let mut places = Vec::with_capacity(named.len());
    for name in named {
        let place = column_place(table, columns, name)?;
        if places.contains(&place) {
            return Err(named_twice(columns.field(place).name()));
        }
        places.push(place);
    }
    Ok(places)
}

/// 42701
pub(super) fn named_twice(column: &str) -> Error {
    Error::new(
        crate::sqlstate::SqlState::DuplicateColumn,
        format!("column \"{column}\" specified more than once"),
    )
}

/// The place of a column that a statement assigns to, or 42703.
pub(super) fn column_place(table: &str, columns: &Schema, name: &ObjectName) -> Result<usize> {
    let parts = name_parts(name).unwrap_or_default();
    let [column] = parts.as_slice() else {
        return Err(Error::feature_not_supported(format!(
            "assigning to a part of a column is not supported: {name}"
        )));
    };
    let place = columns
        .fields()
        .iter()
        .position(|field| field.name() == column);
    place.ok_or_else(|| {
        Error::undefined_column(format!(
            "column \"{column}\" of relation \"{table}\" does not exist"
        ))
    })
}

/// The rows of an INSERT: its source with constants and parameters as what they are assigned to.
pub(super) fn insert_query(
    columns: &Schema,
    places: &[usize],
    source: Option<&Query>,
) -> Result<Statement> {
    let Some(source) = source else {
        return Ok(Statement::Query(Box::new(plan::template("SELECT 1")?)));
    };
    let mut query = source.clone();
    let target = |place: usize| places.get(place).map(|at| columns.field(*at));
    match query.body.as_mut() {
        SetExpr::Values(values) => {
            for row in &mut values.rows {
                for (place, cell) in row.content.iter_mut().enumerate() {
                    let Some(field) = target(place) else { continue };
                    assign_cell(cell, field)?;
                }
            }
        }
        SetExpr::Select(select) if select.distinct.is_none() => {
            for (place, item) in select.projection.iter_mut().enumerate() {
                // Behind a wildcard it is not known which column an item is for.
                let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item
                else {
                    break;
                };
                if let Some(field) = target(place)
                    && is_open(expr)
                {
                    assign_cell(expr, field)?;
                }
            }
        }
        _ => {}
    }
    Ok(Statement::Query(Box::new(query)))
}

/// A constant or parameter whose type is open.
fn is_open(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(
        value.value,
        Value::SingleQuotedString(_) | Value::EscapedStringLiteral(_) | Value::Null | Value::Placeholder(_)
    ))
}

/// The value that SET gives a column.
pub(super) fn assigned_value(value: &Expr, field: &Field) -> Result<Expr> {
    let mut value = value.clone();
    if is_open(&value) || is_default(&value) {
        assign_cell(&mut value, field)?;
    }
    Ok(value)
}

/// Whether an expression is the word DEFAULT.
pub(super) fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

/// Gives a cell the type of its column, DEFAULT its meaning.
fn assign_cell(cell: &mut Expr, field: &Field) -> Result<()> {
    if is_default(cell) {
        *cell = default_of(field)?;
        return Ok(());
    }
    let written = std::mem::replace(cell, null());
    *cell = cast_to(written, sql_type(field)?);
    Ok(())
}

/// The DEFAULT of a column, or NULL.
pub(super) fn default_of(field: &Field) -> Result<Expr> {
    let expr = match field.metadata().get(DEFAULT_METADATA) {
        Some(text) => parse_expression(text)?,
        None => null(),
    };
    Ok(cast_to(expr, sql_type(field)?))
}

/// Reads an expression.
pub(super) fn parse_expression(text: &str) -> Result<Expr> {
    let mut query = plan::template(&format!("SELECT {text}"))?;
    match query.body.as_mut() {
        SetExpr::Select(select) => match select.projection.pop() {
            Some(SelectItem::UnnamedExpr(expr)) if select.projection.is_empty() => Ok(expr),
            _ => Err(Error::syntax_error(format!("\"{text}\" is no expression"))),
        },
        _ => Err(Error::syntax_error(format!("\"{text}\" is no expression"))),
    }
}

/// A query with a WITH before it.
pub(super) fn with_before(mut statement: Statement, with: Option<&With>) -> Statement {
    if let Statement::Query(query) = &mut statement {
        query.with = with.cloned();
    }
    statement
}

/// `SELECT expr`
pub(super) fn select_one(expr: Expr) -> Result<Statement> {
    let mut query = plan::template("SELECT 1")?;
    select_mut(&mut query)?.projection = vec![SelectItem::UnnamedExpr(expr)];
    Ok(Statement::Query(Box::new(query)))
}

/// The SELECT of a query that is one.
pub(super) fn select_mut(query: &mut Query) -> Result<&mut Select> {
    match query.body.as_mut() {
        SetExpr::Select(select) => Ok(select),
        _ => Err(Error::internal("a template is no SELECT")),
    }
}

/// The table that an UPDATE or DELETE changes, under the name that its expressions call it by.
#[derive(Debug, Clone)]
pub(super) struct ChangedTable {
    pub(super) name: ObjectName,
    pub(super) alias: Ident,
    /// Whether the alias is the table's own name.
    has_own_name: bool,
}

impl ChangedTable {
    /// The one table of a FROM item.
    pub(super) fn of(table: &TableWithJoins) -> Result<Self> {
        let TableFactor::Table { name, alias, .. } = &table.relation else {
            return Err(Error::syntax_error("a table to change must be named"));
        };
        if !table.joins.is_empty() {
            return Err(
                Error::syntax_error("the table to change cannot be joined here")
                    .with_hint("Name other tables in FROM (UPDATE) or USING (DELETE)."),
            );
        }
        Self::called(name, alias.as_ref().map(|alias| &alias.name))
    }

    /// The table of an INSERT.
    pub(super) fn named(
        name: &ObjectName,
        alias: Option<&TableAliasWithoutColumns>,
    ) -> Result<Self> {
        Self::called(name, alias.map(|alias| &alias.alias))
    }

    /// A table that is read for itself, under an alias.
    pub(super) fn own(schema: &str, name: &str, alias: &str) -> Self {
        let parts = [schema, name].map(|part| Ident::with_quote('"', part));
        Self {
            name: ObjectName::from(parts.to_vec()),
            alias: Ident::with_quote('"', alias),
            has_own_name: false,
        }
    }

    fn called(name: &ObjectName, alias: Option<&Ident>) -> Result<Self> {
        let own = name.0.last().and_then(ObjectNamePart::as_ident).cloned();
        let own = own.ok_or_else(|| Error::syntax_error("a table to change must be named"))?;
        Ok(Self {
            name: name.clone(),
            has_own_name: alias.is_none(),
            alias: alias.cloned().unwrap_or(own),
        })
    }

    /// `SELECT items FROM the stored rows AS alias`.
    pub(super) fn select_only(&self, id: &str, items: Vec<SelectItem>) -> Result<Statement> {
        let mut statement = self.select(id, Vec::new(), Vec::new(), None)?;
        if let Statement::Query(query) = &mut statement {
            select_mut(query)?.projection = items;
        }
        Ok(statement)
    }

    /// `SELECT row addresses, items FROM the stored rows AS alias, others WHERE condition`.
    pub(super) fn select(
        &self,
        id: &str,
        items: Vec<SelectItem>,
        others: Vec<TableWithJoins>,
        condition: Option<Expr>,
    ) -> Result<Statement> {
        let mut query = plan::template("SELECT 1 FROM t")?;
        let select = select_mut(&mut query)?;
        let address = |column: &str| {
            let column = Ident::with_quote('"', column);
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![self.alias.clone(), column]))
        };
        select.projection = vec![address(FILE_COLUMN), address(ROW_COLUMN)];
        select.projection.extend(items);
        for table in &mut select.from {
            if let TableFactor::Table { name, alias, .. } = &mut table.relation {
                let parts = [
                    Ident::with_quote('"', ROWS_SCHEMA),
                    Ident::with_quote('"', id),
                ];
                *name = ObjectName::from(parts.to_vec());
                *alias = Some(TableAlias {
                    explicit: true,
                    name: self.alias.clone(),
                    columns: Vec::new(),
                    at: None,
                });
            }
        }
        select.from.extend(others);
        select.selection = condition;
        self.shorten(select);
        Ok(Statement::Query(Box::new(query)))
    }

    /// Makes the columns of a node go by the alias.
    pub(super) fn shorten(&self, node: &mut impl VisitMut) {
        if self.has_own_name {
            let _: ControlFlow<()> = VisitMut::visit(node, &mut Shorten(&self.name));
        }
    }

    /// The column of the table.
    pub(super) fn column(&self, name: &str) -> Expr {
        Expr::CompoundIdentifier(vec![self.alias.clone(), Ident::with_quote('"', name)])
    }
}

/// `schema.table.column` as `table.column`, which an alias leaves of it.
struct Shorten<'a>(&'a ObjectName);

impl VisitorMut for Shorten<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(idents) = expr
            && self.0.0.len() > 1
            && idents.len() > self.0.0.len()
        {
            let prefix: Vec<String> = idents.iter().take(self.0.0.len()).map(name_of).collect();
            if name_parts(self.0).as_ref() == Some(&prefix) {
                idents.drain(..self.0.0.len() - 1);
            }
        }
        ControlFlow::Continue(())
    }
}
