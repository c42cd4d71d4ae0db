//! Set operations that count equal rows, and merged columns of outer joins.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Distinct, ExcludeSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName,
    ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    SetOperator, SetQuantifier, TableFactor, TableWithJoins, TypedString, UnaryOperator, Value,
    Values, Visit, VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions,
};

use super::build::{Order, cast, folded, literal_text, take, template, visit_own};
use super::subquery::identifiers;
use crate::error::{Error, Result};

/// Columns that EXCEPT ALL and INTERSECT ALL may have.
const COLUMNS_MAX: usize = 1000;

/// `a EXCEPT ALL b` and `a INTERSECT ALL b`: equal rows of each side are numbered, so that sets of
/// numbered rows give what multisets of rows do. DataFusion plans them as joins that do not count.
pub(super) fn rewrite_multisets(body: &mut SetExpr) -> Result<()> {
    let SetExpr::SetOperation {
        op,
        set_quantifier,
        left,
        right,
    } = body
    else {
        return Ok(());
    };
    rewrite_multisets(left)?;
    rewrite_multisets(right)?;
    let counted = matches!(op, SetOperator::Except | SetOperator::Intersect)
        && matches!(set_quantifier, SetQuantifier::All);
    if !counted {
        return Ok(());
    }
    let Some(names) = column_names(left).filter(|names| names.len() <= COLUMNS_MAX) else {
        return Err(Error::feature_not_supported(format!(
            "{op} ALL of * is not supported: name the columns"
        )));
    };
    if names.is_empty() {
        return Err(Error::feature_not_supported(format!(
            "{op} ALL of no columns is not supported"
        )));
    }
    let columns: Vec<String> = (1..=names.len()).map(|at| format!("c{at}")).collect();
    let columns = columns.join(", ");
    let items: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            format!(
                "c{} AS {}",
                at + 1,
                Ident::with_quote('"', name.replace('"', "\"\""))
            )
        })
        .collect();
    let side = |name: &str| {
        format!(
            "SELECT {columns}, row_number() OVER (PARTITION BY {columns}) AS n FROM (SELECT 1) AS {name}({columns})"
        )
    };
    let sql = format!(
        "SELECT {} FROM ({} {op} {}) AS counted",
        items.join(", "),
        side("left_side"),
        side("right_side")
    );
    let mut query = template(&sql)?;
    let mut sides = Sides {
        left: Some(std::mem::replace(
            left,
            Box::new(SetExpr::Select(Box::new(empty_select()?))),
        )),
        right: Some(std::mem::replace(
            right,
            Box::new(SetExpr::Select(Box::new(empty_select()?))),
        )),
    };
    let _: ControlFlow<()> = VisitMut::visit(&mut query, &mut sides);
    *body = *query.body;
    Ok(())
}

/// VALUES with subqueries as a UNION ALL of selects: the engine computes no subquery in VALUES.
pub(super) fn select_instead_of_values(body: &mut SetExpr) -> Result<()> {
    let SetExpr::Values(values) = body else {
        return Ok(());
    };
    if !has_subquery(values) {
        return Ok(());
    }
    let mut rows = Vec::new();
    for row in &mut values.rows {
        let mut select = empty_select()?;
        let cells = row.content.iter_mut().enumerate();
        select.projection = cells
            .map(|(at, cell)| SelectItem::ExprWithAlias {
                expr: take(cell),
                alias: Ident::new(format!("column{}", at + 1)),
            })
            .collect();
        rows.push(SetExpr::Select(Box::new(select)));
    }
    let all = rows
        .into_iter()
        .reduce(|left, right| SetExpr::SetOperation {
            op: SetOperator::Union,
            set_quantifier: SetQuantifier::All,
            left: Box::new(left),
            right: Box::new(right),
        });
    if let Some(all) = all {
        *body = all;
    }
    Ok(())
}

fn has_subquery(values: &Values) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    let cells = values.rows.iter().flat_map(|row| &row.content);
    cells
        .map(|cell| cell.visit(&mut Finder))
        .any(|found| found.is_break())
}

/// Number constants in a column of VALUES that has a float by a cast: the column is one of floats.
pub(super) fn meet_in_values(body: &mut SetExpr) {
    let SetExpr::Values(values) = body else {
        return;
    };
    let width = values.rows.first().map_or(0, |row| row.content.len());
    for column in 0..width {
        read_constants(values, column);
        let floats = values
            .rows
            .iter()
            .filter_map(|row| row.content.get(column))
            .any(is_float);
        if !floats {
            continue;
        }
        for row in &mut values.rows {
            if let Some(cell) = row.content.get_mut(column)
                && is_number(cell)
            {
                *cell = cast(take(cell), DataType::DoublePrecision);
            }
        }
    }
}

/// String constants in a column of VALUES whose other cells are all casts to one type are of that type.
fn read_constants(values: &mut Values, column: usize) {
    let mut of: Option<DataType> = None;
    let mut constants = 0;
    for cell in values.rows.iter().filter_map(|row| row.content.get(column)) {
        let (Expr::Cast { data_type, .. } | Expr::TypedString(TypedString { data_type, .. })) =
            cell
        else {
            match cell {
                cell if literal_text(cell).is_some() => constants += 1,
                Expr::Value(value) if value.value == Value::Null => {}
                _ => return,
            }
            continue;
        };
        match &of {
            Some(before) if before != data_type => return,
            _ => of = Some(data_type.clone()),
        }
    }
    let (Some(of), true) = (of, constants > 0) else {
        return;
    };
    for row in &mut values.rows {
        if let Some(cell) = row.content.get_mut(column)
            && literal_text(cell).is_some()
        {
            *cell = cast(take(cell), of.clone());
        }
    }
}

fn is_float(cell: &Expr) -> bool {
    matches!(
        cell,
        Expr::Cast {
            data_type: DataType::DoublePrecision
                | DataType::Double(_)
                | DataType::Float(_)
                | DataType::Float4
                | DataType::Float8
                | DataType::Real,
            ..
        }
    )
}

fn is_number(cell: &Expr) -> bool {
    match cell {
        Expr::Value(value) => matches!(value.value, Value::Number(..)),
        Expr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            expr,
        } => is_number(expr),
        _ => false,
    }
}

fn empty_select() -> Result<Select> {
    match *template("SELECT 1")?.body {
        SetExpr::Select(select) => Ok(*select),
        _ => Err(Error::internal("a SELECT was not parsed as one")),
    }
}

/// Puts the two sides into the derived tables that stand for them.
struct Sides {
    left: Option<Box<SetExpr>>,
    right: Option<Box<SetExpr>>,
}

impl VisitorMut for Sides {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived {
            subquery,
            alias: Some(alias),
            ..
        } = factor
        {
            let side = match alias.name.value.as_str() {
                "left_side" => self.left.take(),
                "right_side" => self.right.take(),
                _ => None,
            };
            if let Some(side) = side {
                subquery.body = side;
            }
        }
        ControlFlow::Continue(())
    }
}

/// The names of a query's columns; none if a wildcard hides how many there are.
fn column_names(body: &SetExpr) -> Option<Vec<String>> {
    match body {
        SetExpr::Select(select) => {
            let name = |item: &SelectItem| match item {
                SelectItem::UnnamedExpr(_) => Some(super::output::item_name(item)?),
                SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
                _ => None,
            };
            select.projection.iter().map(name).collect()
        }
        SetExpr::Query(query) => column_names(&query.body),
        SetExpr::SetOperation { left, .. } => column_names(left),
        SetExpr::Values(values) => {
            let width = values.rows.first()?.len();
            Some((1..=width).map(|at| format!("column{at}")).collect())
        }
        _ => None,
    }
}

/// Columns that inner and left joins merge become the left side's, whose values they have: the planner
/// takes them for ambiguous in WHERE, and everywhere once more than two tables have them.
pub(super) fn qualify_merged_columns(select: &mut Select) {
    let [table] = select.from.as_slice() else {
        return;
    };
    let Some(owner) = relation_name(&table.relation) else {
        return;
    };
    let mut joins: Vec<Vec<String>> = Vec::new();
    for join in &table.joins {
        let (JoinOperator::Join(JoinConstraint::Using(columns))
        | JoinOperator::Inner(JoinConstraint::Using(columns))
        | JoinOperator::Left(JoinConstraint::Using(columns))
        | JoinOperator::LeftOuter(JoinConstraint::Using(columns))) = &join.join_operator
        else {
            return;
        };
        let columns = columns
            .iter()
            .filter_map(|name| name.0.last().and_then(ObjectNamePart::as_ident))
            .map(folded);
        joins.push(columns.collect());
    }
    // What the first join merges is a column of the first table.
    let Some((of_first, others)) = joins.split_first() else {
        return;
    };
    if others.is_empty() {
        qualify(&mut select.selection, &owner, of_first);
        return;
    }
    let again = |column: &&String| others.iter().any(|columns| columns.contains(column));
    let again: Vec<String> = of_first.iter().filter(again).cloned().collect();
    if let Some(Distinct::On(values)) = &mut select.distinct {
        qualify(values, &owner, &again);
    }
    qualify(&mut select.projection, &owner, &again);
    qualify(&mut select.selection, &owner, &again);
    qualify(&mut select.group_by, &owner, &again);
    qualify(&mut select.having, &owner, &again);
    qualify(&mut select.named_window, &owner, &again);
}

/// Says of columns that they are `owner`'s; those of queries inside are left alone.
fn qualify(node: &mut impl VisitMut, owner: &Ident, columns: &[String]) {
    visit_own(node, Order::After, |expr| {
        if let Expr::Identifier(column) = expr
            && columns.contains(&folded(column))
        {
            *expr = Expr::CompoundIdentifier(vec![owner.clone(), column.clone()]);
        }
    });
}

/// `SELECT *` over `JOIN … USING` gives the merged columns first: they are written out, and each table
/// gives the others. Only where every table has a name.
pub(super) fn merged_columns_first(select: &mut Select) {
    let [SelectItem::Wildcard(options)] = select.projection.as_slice() else {
        return;
    };
    if *options != WildcardAdditionalOptions::default() {
        return;
    }
    let (mut items, mut is_merged) = (Vec::new(), false);
    for table in &select.from {
        let Some(of_table) = columns_of_joins(table) else {
            return;
        };
        is_merged |= !of_table.merged.is_empty();
        let merged = of_table.merged.iter().cloned();
        // Of more than two tables the planner takes the bare name for ambiguous; the first has the value.
        let owner = of_table
            .tables
            .first()
            .filter(|_| of_table.tables.len() > 2);
        items.extend(merged.map(|column| {
            SelectItem::UnnamedExpr(match owner {
                Some(owner) => Expr::CompoundIdentifier(vec![owner.clone(), column]),
                None => Expr::Identifier(column),
            })
        }));
        items.extend(of_table.tables.into_iter().map(|owner| {
            let options = WildcardAdditionalOptions {
                opt_exclude: (!of_table.merged.is_empty()).then(|| {
                    let names = of_table.merged.iter().cloned().map(ObjectName::from);
                    ExcludeSelectItem::Multiple(names.collect())
                }),
                ..WildcardAdditionalOptions::default()
            };
            let owner = ObjectName::from(vec![owner]);
            let kind = SelectItemQualifiedWildcardKind::ObjectName(owner);
            SelectItem::QualifiedWildcard(kind, options)
        }));
    }
    if is_merged {
        select.projection = items;
    }
}

/// What `*` stands for in a chain of joins: the merged columns in PostgreSQL's order, and the tables.
struct JoinedColumns {
    merged: Vec<Ident>,
    tables: Vec<Ident>,
}

/// None if it cannot be told, or if tables do not merge the same columns.
fn columns_of_joins(table: &TableWithJoins) -> Option<JoinedColumns> {
    let mut tables = vec![relation_name(&table.relation)?];
    let mut merged: Option<Vec<Ident>> = None;
    let is_outer = table.joins.iter().any(|join| {
        matches!(
            join.join_operator,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
        )
    });
    for join in &table.joins {
        tables.push(relation_name(&join.relation)?);
        let (JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)) = &join.join_operator
        else {
            return None;
        };
        let JoinConstraint::Using(columns) = constraint else {
            return None;
        };
        let columns: Vec<Ident> = columns
            .iter()
            .filter_map(|name| name.0.last().and_then(ObjectNamePart::as_ident).cloned())
            .collect();
        let names = |columns: &[Ident]| columns.iter().map(folded).collect::<Vec<_>>();
        match &merged {
            Some(before) if names(before) != names(&columns) => return None,
            // What three tables merge is the value of none of them.
            Some(_) if is_outer => return None,
            _ => merged = Some(columns),
        }
    }
    Some(JoinedColumns {
        merged: merged.unwrap_or_default(),
        tables,
    })
}

/// The name by which columns of a relation are qualified.
fn relation_name(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(alias.name.clone()),
            None => name.0.last().and_then(ObjectNamePart::as_ident).cloned(),
        },
        TableFactor::Derived { alias, .. } => alias.as_ref().map(|alias| alias.name.clone()),
        _ => None,
    }
}

/// In a RIGHT or FULL JOIN … USING the merged column is neither side's own. What names a side's own
/// column of that name cannot be told from it later on, so it is refused.
pub(super) fn check_merged_columns(select: &Select) -> Result<()> {
    let mut merged = Vec::new();
    for table in &select.from {
        for join in &table.joins {
            let (JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)) = &join.join_operator
            else {
                continue;
            };
            match constraint {
                JoinConstraint::Using(columns) => merged.extend(
                    columns
                        .iter()
                        .filter_map(|name| name.0.last().and_then(ObjectNamePart::as_ident))
                        .map(folded),
                ),
                JoinConstraint::Natural => {
                    return Err(Error::feature_not_supported(
                        "NATURAL RIGHT and FULL JOIN are not supported",
                    )
                    .with_hint("Write JOIN … USING (columns)."));
                }
                _ => {}
            }
        }
    }
    if merged.is_empty() {
        return Ok(());
    }
    let mut names = Vec::new();
    identifiers(&select.projection, &mut names);
    identifiers(&select.selection, &mut names);
    identifiers(&select.group_by, &mut names);
    identifiers(&select.having, &mut names);
    let own = names
        .iter()
        .find(|parts| parts.len() > 1 && parts.last().is_some_and(|last| merged.contains(last)));
    match own {
        None => Ok(()),
        Some(parts) => Err(Error::feature_not_supported(format!(
            "{} beside RIGHT or FULL JOIN … USING is not supported",
            parts.join(".")
        ))
        .with_hint("Write JOIN … ON instead of USING.")),
    }
}
