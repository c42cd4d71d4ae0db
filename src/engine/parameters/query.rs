//! Queries: which columns are in scope where, and which columns a query gives.

use datafusion::sql::sqlparser::ast::{
    Cte, Distinct, Expr, FunctionArg, FunctionArgExpr, GroupByExpr, JoinConstraint, JoinOperator,
    LimitClause, ObjectName, OrderBy, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins, Values,
};

use super::resolution::{OPAQUE, Oid, common, element_of};
use super::{Analysis, Source, folded, last_part, parts};
use crate::catalog::type_oids::{BOOL, CID, INT8, OID, RECORD, TEXT, TID, UNKNOWN, XID};
use crate::error::Result;

/// A column that a query gives, and the expressions that it is made from (several in a UNION).
pub(super) struct Output<'a> {
    pub(super) name: String,
    pub(super) oid: Oid,
    pub(super) exprs: Vec<&'a Expr>,
}

/// The names under which every relation has more than its columns.
const SYSTEM_COLUMNS: [(&str, Oid); 6] = [
    ("ctid", TID),
    ("tableoid", OID),
    ("xmin", XID),
    ("xmax", XID),
    ("cmin", CID),
    ("cmax", CID),
];

impl<'a> Analysis<'a> {
    /// Analyses a query; its open columns stay open.
    pub(super) fn query(&mut self, query: &'a Query) -> Result<Vec<Output<'a>>> {
        let known = self.ctes.len();
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                self.cte(cte, with.recursive)?;
            }
        }
        let depth = self.scopes.len();
        let outputs = self.set_expr(&query.body, true)?;
        self.order_by(query.order_by.as_ref())?;
        self.scopes.truncate(depth);
        self.limits(query)?;
        self.ctes.truncate(known);
        Ok(outputs)
    }

    /// Analyses a query in another's FROM, WITH or expression: what is still open becomes text.
    pub(super) fn subquery(&mut self, query: &'a Query) -> Result<Vec<(String, Oid)>> {
        let outputs = self.query(query)?;
        self.resolve_unknowns(&outputs)?;
        Ok(columns(&outputs))
    }

    fn cte(&mut self, cte: &'a Cte, recursive: bool) -> Result<()> {
        let name = folded(&cte.alias.name);
        let place = self.ctes.len();
        if recursive && let SetExpr::SetOperation { left, .. } = cte.query.body.as_ref() {
            // The first branch gives a recursive query its columns.
            let depth = self.scopes.len();
            let outputs = self.set_expr(left, false)?;
            self.resolve_unknowns(&outputs)?;
            self.scopes.truncate(depth);
            let columns = renamed(columns(&outputs), &cte.alias);
            self.ctes.push((name.clone(), columns));
        }
        let columns = renamed(self.subquery(&cte.query)?, &cte.alias);
        self.ctes.truncate(place);
        self.ctes.push((name, columns));
        Ok(())
    }

    fn limits(&mut self, query: &'a Query) -> Result<()> {
        match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                if let Some(offset) = offset {
                    self.expect(&offset.value, INT8)?;
                }
                if let Some(limit) = limit {
                    self.expect(limit, INT8)?;
                }
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                self.expect(offset, INT8)?;
                self.expect(limit, INT8)?;
            }
            None => {}
        }
        if let Some(quantity) = query
            .fetch
            .as_ref()
            .and_then(|fetch| fetch.quantity.as_ref())
        {
            self.expect(quantity, INT8)?;
        }
        Ok(())
    }

    fn order_by(&mut self, order_by: Option<&'a OrderBy>) -> Result<()> {
        if let Some(OrderBy {
            kind: OrderByKind::Expressions(items),
            ..
        }) = order_by
        {
            for item in items {
                self.own_column(&item.expr)?;
            }
        }
        Ok(())
    }

    /// An expression that becomes a column of its own: text if nothing says otherwise.
    fn own_column(&mut self, expr: &'a Expr) -> Result<()> {
        let oid = self.expr(expr)?;
        self.coerce(expr, oid, TEXT)
    }

    /// The body of a query. `keep` leaves the FROM clause in scope for what follows.
    fn set_expr(&mut self, body: &'a SetExpr, keep: bool) -> Result<Vec<Output<'a>>> {
        match body {
            SetExpr::Select(select) => self.select(select, keep),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { left, right, .. } => {
                let left = self.set_expr(left, false)?;
                let right = self.set_expr(right, false)?;
                self.unite(left, right)
            }
            SetExpr::Table(table) => {
                let name = table.table_name.clone().unwrap_or_default().to_lowercase();
                let found = self.relations.get(&vec![name]).cloned();
                self.has_gaps |= found.is_none();
                Ok(found.unwrap_or_default().into_iter().map(plain).collect())
            }
            _ => {
                self.has_gaps = true;
                Ok(Vec::new())
            }
        }
    }

    /// The columns of two branches, each of the type that both take.
    fn unite(&mut self, left: Vec<Output<'a>>, right: Vec<Output<'a>>) -> Result<Vec<Output<'a>>> {
        let mut united = Vec::with_capacity(left.len());
        for (mut left, right) in left.into_iter().zip(right) {
            let oid = common(&[left.oid, right.oid]).unwrap_or(OPAQUE);
            for (expr, found) in left
                .exprs
                .iter()
                .map(|expr| (*expr, left.oid))
                .chain(right.exprs.iter().map(|expr| (*expr, right.oid)))
            {
                self.coerce(expr, found, oid)?;
            }
            left.exprs.extend(right.exprs);
            left.oid = oid;
            united.push(left);
        }
        Ok(united)
    }

    fn values(&mut self, values: &'a Values) -> Result<Vec<Output<'a>>> {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        let mut types = vec![Vec::new(); width];
        for row in &values.rows {
            for (expr, column) in row.content.iter().zip(&mut types) {
                column.push((expr, self.expr(expr)?));
            }
        }
        let mut outputs = Vec::with_capacity(width);
        for (at, column) in types.into_iter().enumerate() {
            let found: Vec<Oid> = column.iter().map(|(_, oid)| *oid).collect();
            let oid = common(&found).unwrap_or(OPAQUE);
            for (expr, found) in &column {
                self.coerce(expr, *found, oid)?;
            }
            outputs.push(Output {
                name: format!("column{}", at + 1),
                oid,
                exprs: column.into_iter().map(|(expr, _)| expr).collect(),
            });
        }
        Ok(outputs)
    }

    fn select(&mut self, select: &'a Select, keep: bool) -> Result<Vec<Output<'a>>> {
        self.scopes.push(Vec::new());
        for from in &select.from {
            self.from(from)?;
        }
        let mut outputs = Vec::new();
        for item in &select.projection {
            self.select_item(item, &mut outputs)?;
        }
        if let Some(condition) = &select.selection {
            self.expect(condition, BOOL)?;
        }
        if let Some(condition) = &select.having {
            self.expect(condition, BOOL)?;
        }
        if let GroupByExpr::Expressions(items, _) = &select.group_by {
            for item in items {
                self.own_column(item)?;
            }
        }
        if let Some(Distinct::On(items)) = &select.distinct {
            for item in items {
                self.own_column(item)?;
            }
        }
        for window in &select.named_window {
            self.named_window(window)?;
        }
        if !keep {
            self.scopes.pop();
        }
        Ok(outputs)
    }

    fn select_item(&mut self, item: &'a SelectItem, outputs: &mut Vec<Output<'a>>) -> Result<()> {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let oid = self.expr(expr)?;
                let name = implied_name(expr);
                let exprs = vec![expr];
                outputs.push(Output { name, oid, exprs });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let oid = self.expr(expr)?;
                let name = folded(alias);
                let exprs = vec![expr];
                outputs.push(Output { name, oid, exprs });
            }
            SelectItem::Wildcard(_) => {
                let sources = self.scopes.last().into_iter().flatten();
                let found: Vec<_> = sources.flat_map(|source| source.columns.clone()).collect();
                outputs.extend(found.into_iter().map(plain));
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let wanted = last_part(name);
                let sources = self.scopes.iter().rev().flatten();
                let found = sources
                    .filter(|source| source.name == wanted)
                    .map(|source| source.columns.clone())
                    .next();
                self.has_gaps |= found.is_none();
                outputs.extend(found.unwrap_or_default().into_iter().map(plain));
            }
            _ => self.has_gaps = true,
        }
        Ok(())
    }

    fn from(&mut self, from: &'a TableWithJoins) -> Result<()> {
        self.table(&from.relation)?;
        for join in &from.joins {
            self.table(&join.relation)?;
            match &join.join_operator {
                JoinOperator::Join(JoinConstraint::On(condition))
                | JoinOperator::Inner(JoinConstraint::On(condition))
                | JoinOperator::Left(JoinConstraint::On(condition))
                | JoinOperator::LeftOuter(JoinConstraint::On(condition))
                | JoinOperator::Right(JoinConstraint::On(condition))
                | JoinOperator::RightOuter(JoinConstraint::On(condition))
                | JoinOperator::FullOuter(JoinConstraint::On(condition)) => {
                    self.expect(condition, BOOL)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn table(&mut self, factor: &'a TableFactor) -> Result<()> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let columns = self.relation(name);
                self.add(&last_part(name), columns, alias.as_ref());
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                ..
            } => self.table_function(name, &args.args, alias.as_ref())?,
            TableFactor::Function {
                name, alias, args, ..
            } => self.table_function(name, args, alias.as_ref())?,
            TableFactor::Derived {
                subquery, alias, ..
            } => {
                // Without LATERAL it does not see what stands before it; an outer name is then an
                // error that the planner reports.
                let columns = self.subquery(subquery)?;
                self.add("", Some(columns), alias.as_ref());
            }
            TableFactor::UNNEST {
                alias, array_exprs, ..
            } => {
                let mut columns = Vec::new();
                for expr in array_exprs {
                    let oid = self.expr(expr)?;
                    columns.push(("unnest".to_owned(), element_of(oid)));
                }
                self.add_function("unnest", columns, alias.as_ref());
            }
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => self.from(table_with_joins)?,
            _ => {
                self.has_gaps = true;
                self.add("", None, None);
            }
        }
        Ok(())
    }

    fn table_function(
        &mut self,
        name: &'a ObjectName,
        args: &'a [FunctionArg],
        alias: Option<&'a TableAlias>,
    ) -> Result<()> {
        let name = last_part(name);
        let exprs: Vec<&Expr> = args.iter().filter_map(argument).collect();
        let oid = self.call(&name, &exprs)?;
        let columns = match oid {
            OPAQUE | RECORD => None,
            oid => Some(vec![(name.clone(), oid)]),
        };
        match columns {
            Some(columns) => self.add_function(&name, columns, alias),
            None => self.add(&name, None, alias),
        }
        Ok(())
    }

    /// A function's only column takes the alias as its name too.
    fn add_function(
        &mut self,
        name: &str,
        mut columns: Vec<(String, Oid)>,
        alias: Option<&TableAlias>,
    ) {
        if let ([column], Some(alias)) = (&mut columns[..], alias) {
            column.0 = folded(&alias.name);
        }
        self.add(name, Some(columns), alias);
    }

    fn add(&mut self, name: &str, columns: Option<Vec<(String, Oid)>>, alias: Option<&TableAlias>) {
        let is_open = columns.is_none();
        let columns = columns.unwrap_or_default();
        let source = match alias {
            Some(alias) => Source {
                name: folded(&alias.name),
                columns: renamed(columns, alias),
                is_open,
            },
            None => Source {
                name: name.to_owned(),
                columns,
                is_open,
            },
        };
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(source);
        }
    }

    fn relation(&mut self, name: &ObjectName) -> Option<Vec<(String, Oid)>> {
        let parts = parts(name)?;
        if let [only] = &parts[..]
            && let Some((_, columns)) = self.ctes.iter().rev().find(|(cte, _)| cte == only)
        {
            return Some(columns.clone());
        }
        let found = self.relations.get(&parts).cloned();
        self.has_gaps |= found.is_none();
        found
    }

    /// The type of a column by its name, and the name of its relation if it is written.
    pub(super) fn column(&mut self, qualifier: Option<&str>, name: &str) -> Oid {
        for scope in self.scopes.iter().rev() {
            let sources = || {
                scope
                    .iter()
                    .filter(|source| qualifier.is_none_or(|wanted| source.name == wanted))
            };
            let mut columns = sources().flat_map(|source| &source.columns);
            if let Some((_, oid)) = columns.find(|(known, _)| known == name) {
                return *oid;
            }
            if sources().next().is_some()
                && let Some((_, oid)) = SYSTEM_COLUMNS.iter().find(|(known, _)| *known == name)
            {
                return *oid;
            }
            if sources().any(|source| source.is_open) {
                break;
            }
        }
        self.has_gaps = true;
        OPAQUE
    }
}

/// The expression of an argument.
pub(super) fn argument(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named {
            arg: FunctionArgExpr::Expr(expr),
            ..
        }
        | FunctionArg::ExprNamed {
            arg: FunctionArgExpr::Expr(expr),
            ..
        } => Some(expr),
        _ => None,
    }
}

fn columns(outputs: &[Output<'_>]) -> Vec<(String, Oid)> {
    outputs
        .iter()
        .map(|output| {
            let oid = match output.oid {
                UNKNOWN => TEXT,
                oid => oid,
            };
            (output.name.clone(), oid)
        })
        .collect()
}

fn plain<'a>((name, oid): (String, Oid)) -> Output<'a> {
    Output {
        name,
        oid,
        exprs: Vec::new(),
    }
}

/// Columns under the names that an alias gives them.
fn renamed(mut columns: Vec<(String, Oid)>, alias: &TableAlias) -> Vec<(String, Oid)> {
    for (column, renamed) in columns.iter_mut().zip(&alias.columns) {
        column.0 = folded(&renamed.name);
        if let Some(oid) = renamed.data_type.as_ref().and_then(super::oid_of) {
            column.1 = oid;
        }
    }
    columns
}

/// The name of a column whose expression has none of its own.
fn implied_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => folded(ident),
        Expr::CompoundIdentifier(idents) => idents.last().map(folded).unwrap_or_default(),
        Expr::Function(function) => last_part(&function.name),
        Expr::Nested(inner) => implied_name(inner),
        Expr::Cast { expr, .. } => implied_name(expr),
        Expr::Case { .. } => "case".to_owned(),
        _ => "?column?".to_owned(),
    }
}
