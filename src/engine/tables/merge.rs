//! MERGE: rows of a source, each changing the row of a table that it matches, or added to it.
//!
//! One query joins the source to the table's stored rows and gives for each pair the address of the stored
//! row, the number of the first WHEN that holds, and the row that it makes.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int32Type, Schema};
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, DataType, Expr, Ident, Join, JoinConstraint, JoinOperator, Merge,
    MergeAction, MergeClause, MergeClauseKind, MergeInsertKind, ObjectNamePart, Query, SelectItem,
    Statement, TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut, With,
};

use super::assign::{Assignment, TextLimits, sql_type, wrong_width};
use super::change::{ADDRESS_COLUMNS, Wanted, addresses, assigned, own_rows};
use super::syntax::{self, ChangedTable};
use super::{ChangeKind, TableStatement, unsupported};
use crate::auth::privilege::Privilege;
use crate::engine::control::StatementControl;
use crate::engine::plan;
use crate::engine::session::Session;
use crate::engine::statement::dialect::{cast as cast_to, name_of, null, number};
use crate::engine::statement::do_nothing;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::storage::FILE_COLUMN;
use crate::warehouse::{Removal, RowWriter};

/// Columns before those of the table: file, place, number of the WHEN.
const MERGE_COLUMNS: usize = ADDRESS_COLUMNS + 1;

/// WHEN clauses of one statement.
const CLAUSES_MAX: usize = 100;

/// What a WHEN does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Action {
    Insert,
    Update,
    Delete,
    Nothing,
}

impl Session {
    pub(super) async fn prepare_merge(
        &self,
        merge: &Merge,
        with: Option<&With>,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<TableStatement> {
        if merge.output.is_some() {
            return Err(unsupported("MERGE … RETURNING"));
        }
        if merge.clauses.len() > CLAUSES_MAX {
            return Err(
                Error::program_limit_exceeded("a MERGE has too many WHEN clauses")
                    .with_detail(format!("The limit is {CLAUSES_MAX}.")),
            );
        }
        let target = ChangedTable::of(&TableWithJoins {
            relation: merge.table.clone(),
            joins: Vec::new(),
        })?;
        let (relation, columns) = self.changed(&target.name, ChangeKind::Merge).await?;
        let by_source =
            |clause: &MergeClause| clause.clause_kind == MergeClauseKind::NotMatchedBySource;
        let source = MergeSource::of(&merge.source, merge.clauses.iter().any(by_source))?;
        let mut actions = Vec::with_capacity(merge.clauses.len());
        let mut conditions = Vec::with_capacity(merge.clauses.len());
        let mut rows = Vec::with_capacity(merge.clauses.len());
        for clause in &merge.clauses {
            let mut clause = clause.clone();
            source.limit(&mut clause, &target)?;
            let (action, values) = made_row(&relation.name, &columns, &target, &clause)?;
            if let Some(privilege) = action.privilege() {
                self.check_privilege(&relation, privilege)?;
            }
            actions.push(action);
            conditions.push(condition(&target, &source, &clause));
            rows.push(values);
        }
        let numbered = |at: usize| cast_to(number(at as u64), DataType::Integer(None));
        let numbers = (1..=actions.len()).map(numbered).collect();
        let mut items = vec![case(&conditions, numbers)];
        for place in 0..columns.fields().len() {
            items.push(case(
                &conditions,
                rows.iter().map(|row| row[place].clone()).collect(),
            ));
        }
        let items = items.into_iter().map(SelectItem::UnnamedExpr).collect();
        let query = joined(merge, source, &target, &relation.id, items, &actions)?;
        let query = syntax::with_before(query, with);
        let wanted = Wanted {
            kind: ChangeKind::Merge,
            relation,
            query,
            assignment: Some(Assignment::of_all(&columns, MERGE_COLUMNS)),
            columns,
            actions,
            returning: None,
        };
        self.planned(wanted, declared, control).await
    }
}

impl Action {
    fn privilege(self) -> Option<Privilege> {
        match self {
            Self::Insert => Some(Privilege::Insert),
            Self::Update => Some(Privilege::Update),
            Self::Delete => Some(Privilege::Delete),
            Self::Nothing => None,
        }
    }

    /// Whether it is done to a stored row.
    fn takes(self) -> bool {
        matches!(self, Self::Update | Self::Delete)
    }
}

/// Name of the column that tells a row of the source from none.
const SOURCE_COLUMN: &str = "loyalhouse source row";

/// What a MERGE takes rows from, under the name that its expressions call it by.
struct MergeSource {
    factor: TableFactor,
    alias: Ident,
    /// Whether the column is there that tells a row of it from none.
    is_marked: bool,
}

impl MergeSource {
    fn of(source: &TableFactor, is_marked: bool) -> Result<Self> {
        let mut factor = source.clone();
        let own = Ident::with_quote('"', "source");
        let alias = match &mut factor {
            TableFactor::Table {
                alias: None, name, ..
            } => {
                let last = name.0.last().and_then(ObjectNamePart::as_ident).cloned();
                last.unwrap_or(own)
            }
            TableFactor::Derived {
                alias: alias @ None,
                ..
            } => {
                *alias = Some(named(&own));
                own
            }
            TableFactor::Table {
                alias: Some(alias), ..
            }
            | TableFactor::Derived {
                alias: Some(alias), ..
            } => alias.name.clone(),
            _ => return Err(unsupported("MERGE USING what is no table and no query")),
        };
        if is_marked {
            let mut query =
                plan::template(&format!("SELECT *, true AS \"{SOURCE_COLUMN}\" FROM t"))?;
            for table in &mut syntax::select_mut(&mut query)?.from {
                table.relation = factor.clone();
            }
            factor = TableFactor::Derived {
                lateral: false,
                subquery: Box::new(query),
                alias: Some(named(&alias)),
                sample: None,
            };
        }
        Ok(Self {
            factor,
            alias,
            is_marked,
        })
    }

    fn mark(&self) -> Box<Expr> {
        let column = Ident::with_quote('"', SOURCE_COLUMN);
        Box::new(Expr::CompoundIdentifier(vec![self.alias.clone(), column]))
    }

    /// Makes the expressions of a WHEN see the rows that there are: the source's alone when nothing is
    /// matched, the table's alone when it is not matched by the source.
    fn limit(&self, clause: &mut MergeClause, target: &ChangedTable) -> Result<()> {
        let (seen, hidden) = match clause.clause_kind {
            MergeClauseKind::Matched => return Ok(()),
            MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => {
                (&self.alias, &target.alias)
            }
            MergeClauseKind::NotMatchedBySource => (&target.alias, &self.alias),
        };
        let mut side = OneSide {
            seen,
            hidden,
            depth: 0,
        };
        let mut visited = VisitMut::visit(&mut clause.predicate, &mut side);
        if visited.is_continue() {
            visited = match &mut clause.action {
                MergeAction::Insert(insert) => VisitMut::visit(&mut insert.kind, &mut side),
                MergeAction::Update(update) => VisitMut::visit(&mut update.assignments, &mut side),
                MergeAction::Delete { .. } => ControlFlow::Continue(()),
            };
        }
        match visited {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

fn named(name: &Ident) -> TableAlias {
    TableAlias {
        explicit: true,
        name: name.clone(),
        columns: Vec::new(),
        at: None,
    }
}

/// Gives bare columns to one side of a MERGE and refuses those of the other.
struct OneSide<'a> {
    seen: &'a Ident,
    hidden: &'a Ident,
    /// Queries around the expression, whose own tables its bare columns may be of.
    depth: usize,
}

impl VisitorMut for OneSide<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            expr if syntax::is_default(expr) => {}
            Expr::Identifier(column) => {
                let column = column.clone();
                *expr = Expr::CompoundIdentifier(vec![self.seen.clone(), column]);
            }
            Expr::CompoundIdentifier(parts)
                if parts.len() > 1 && name_of(&parts[0]) == name_of(self.hidden) =>
            {
                let name = name_of(self.hidden);
                let error = Error::new(
                    SqlState::UndefinedTable,
                    format!("invalid reference to FROM-clause entry for table \"{name}\""),
                );
                return ControlFlow::Break(error.with_detail(format!(
                    "There is an entry for table \"{name}\", but it cannot be referenced from this part of the query."
                )));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `CASE WHEN condition THEN value … END`: the first that holds decides, as the order of WHEN does.
fn case(conditions: &[Expr], values: Vec<Expr>) -> Expr {
    let conditions = conditions.iter().cloned().zip(values);
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: conditions
            .map(|(condition, result)| CaseWhen { condition, result })
            .collect(),
        else_result: None,
    }
}

/// Whether a WHEN holds for a pair: `address IS [NOT] NULL AND condition`.
fn condition(target: &ChangedTable, source: &MergeSource, clause: &MergeClause) -> Expr {
    let and = |left: Expr, right: Expr| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    };
    let address = Box::new(target.column(FILE_COLUMN));
    let kind = match clause.clause_kind {
        MergeClauseKind::Matched if source.is_marked => {
            and(Expr::IsNotNull(address), Expr::IsNotNull(source.mark()))
        }
        MergeClauseKind::Matched => Expr::IsNotNull(address),
        MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => Expr::IsNull(address),
        MergeClauseKind::NotMatchedBySource => {
            and(Expr::IsNotNull(address), Expr::IsNull(source.mark()))
        }
    };
    match &clause.predicate {
        None => kind,
        Some(predicate) => and(kind, Expr::Nested(Box::new(predicate.clone()))),
    }
}

/// What a WHEN does, and the row that it makes: a value for each column of the table.
fn made_row(
    table: &str,
    columns: &Schema,
    target: &ChangedTable,
    clause: &MergeClause,
) -> Result<(Action, Vec<Expr>)> {
    let is_conditional = match &clause.action {
        MergeAction::Update(update) => {
            update.update_predicate.is_some() || update.delete_predicate.is_some()
        }
        MergeAction::Insert(insert) => insert.insert_predicate.is_some(),
        MergeAction::Delete { .. } => false,
    };
    if is_conditional {
        return Err(Error::syntax_error("an action of a MERGE has no WHERE")
            .with_hint("Write the condition behind WHEN MATCHED AND."));
    }
    let matched = matches!(
        clause.clause_kind,
        MergeClauseKind::Matched | MergeClauseKind::NotMatchedBySource
    );
    let fields = columns.fields();
    let nulls = || {
        fields
            .iter()
            .map(|field| Ok(cast_to(null(), sql_type(field)?)))
    };
    match &clause.action {
        action if do_nothing::is_nothing(action) => {
            Ok((Action::Nothing, nulls().collect::<Result<_>>()?))
        }
        MergeAction::Update(update) if matched => {
            let set = assigned(table, columns, &update.assignments)?;
            let values = fields.iter().zip(set).map(|(field, value)| match value {
                Some(value) => {
                    let value = syntax::assigned_value(value, field)?;
                    Ok(cast_to(value, sql_type(field)?))
                }
                None => Ok(target.column(field.name())),
            });
            Ok((Action::Update, values.collect::<Result<_>>()?))
        }
        MergeAction::Delete { .. } if matched => {
            Ok((Action::Delete, nulls().collect::<Result<_>>()?))
        }
        MergeAction::Insert(insert) if !matched => {
            let MergeInsertKind::Values(values) = &insert.kind else {
                return Err(Error::syntax_error("MERGE … INSERT needs VALUES"));
            };
            let [row] = values.rows.as_slice() else {
                return Err(Error::syntax_error(
                    "MERGE … INSERT needs one row of VALUES",
                ));
            };
            let places = syntax::target_places(table, columns, &insert.columns)?;
            let given = row.content.len();
            let short = given < places.len() && !insert.columns.is_empty();
            if given > places.len() || short {
                return Err(wrong_width(given, places.len()));
            }
            let values = fields.iter().enumerate().map(|(place, field)| {
                let at = places.iter().position(|known| *known == place);
                match at.and_then(|at| row.content.get(at)) {
                    Some(value) => {
                        let value = syntax::assigned_value(value, field)?;
                        Ok(cast_to(value, sql_type(field)?))
                    }
                    None => syntax::default_of(field),
                }
            });
            Ok((Action::Insert, values.collect::<Result<_>>()?))
        }
        MergeAction::Insert(_) => Err(Error::syntax_error("WHEN MATCHED cannot INSERT")),
        _ => Err(Error::syntax_error("WHEN NOT MATCHED can only INSERT")),
    }
}

/// `SELECT address, items FROM source [LEFT] JOIN stored rows ON condition`.
fn joined(
    merge: &Merge,
    source: MergeSource,
    target: &ChangedTable,
    id: &str,
    items: Vec<SelectItem>,
    actions: &[Action],
) -> Result<Statement> {
    let statement = target.select(id, items, Vec::new(), None)?;
    let Statement::Query(mut query) = statement else {
        return Err(Error::internal("the query of a MERGE is none"));
    };
    let select = syntax::select_mut(&mut query)?;
    let stored = select.from.pop();
    let stored = stored.ok_or_else(|| Error::internal("a MERGE has no table"))?;
    let mut on = merge.on.as_ref().clone();
    target.shorten(&mut on);
    let on = JoinConstraint::On(on);
    let join_operator = match (actions.contains(&Action::Insert), source.is_marked) {
        (true, true) => JoinOperator::FullOuter(on),
        (true, false) => JoinOperator::LeftOuter(on),
        (false, true) => JoinOperator::RightOuter(on),
        (false, false) => JoinOperator::Inner(on),
    };
    select.from = vec![TableWithJoins {
        relation: source.factor,
        joins: vec![Join {
            relation: stored.relation,
            global: false,
            join_operator,
        }],
    }];
    Ok(Statement::Query(query))
}

/// Does what each pair says. 21000 for a stored row that two source rows change.
pub(super) async fn apply(
    batch: &RecordBatch,
    actions: &[Action],
    removal: &mut Removal,
    writer: &mut RowWriter,
    limits: &TextLimits,
) -> Result<u64> {
    let (files, places) = addresses(batch)?;
    let numbers = batch.columns().get(ADDRESS_COLUMNS);
    let numbers = numbers.and_then(|column| column.as_primitive_opt::<Int32Type>());
    let numbers = numbers.ok_or_else(|| Error::internal("pairs of a MERGE have no numbers"))?;
    let mut written = Vec::with_capacity(batch.num_rows());
    let mut done = 0;
    for row in 0..batch.num_rows() {
        let number = numbers.is_valid(row).then(|| numbers.value(row));
        let action =
            number.and_then(|number| actions.get(usize::try_from(number).ok()?.checked_sub(1)?));
        let Some(action) = action.filter(|action| **action != Action::Nothing) else {
            written.push(false);
            continue;
        };
        done += 1;
        if action.takes() && !removal.mark(files.value(row), places.value(row))? {
            return Err(Error::new(
                SqlState::CardinalityViolation,
                "MERGE command cannot affect row a second time",
            )
            .with_hint("Ensure that not more than one source row matches any one target row."));
        }
        written.push(*action != Action::Delete);
    }
    let rows = own_rows(batch, MERGE_COLUMNS, written)?;
    writer.write(&limits.apply(rows)?).await?;
    Ok(done)
}
