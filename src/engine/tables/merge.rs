//! MERGE: rows of a source, each changing the row of a table that it matches, or added to it.
//!
//! One query joins the source to the table's stored rows and gives for each pair the address of the stored
//! row, the number of the first WHEN that holds, and the row that it makes.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int32Type, Schema};
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, DataType, Expr, Join, JoinConstraint, JoinOperator, Merge,
    MergeAction, MergeClause, MergeClauseKind, MergeInsertKind, SelectItem, Statement,
    TableWithJoins,
};

use super::assign::{Assignment, TextLimits, sql_type, wrong_width};
use super::change::{ADDRESS_COLUMNS, Wanted, addresses, assigned, own_rows};
use super::syntax::{self, ChangedTable};
use super::{ChangeKind, TableStatement, unsupported};
use crate::auth::privilege::Privilege;
use crate::engine::control::StatementControl;
use crate::engine::session::Session;
use crate::engine::statement::dialect::{cast as cast_to, null, number};
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
}

impl Session {
    pub(super) async fn prepare_merge(
        &self,
        merge: &Merge,
        declared: &[Option<u32>],
        control: &Arc<StatementControl>,
    ) -> Result<TableStatement> {
        if merge.output.is_some() {
            return Err(unsupported("MERGE … OUTPUT"));
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
        let mut actions = Vec::with_capacity(merge.clauses.len());
        let mut conditions = Vec::with_capacity(merge.clauses.len());
        let mut rows = Vec::with_capacity(merge.clauses.len());
        for clause in &merge.clauses {
            let (action, values) = made_row(&relation.name, &columns, &target, clause)?;
            self.check_privilege(&relation, action.privilege())?;
            actions.push(action);
            conditions.push(condition(&target, clause)?);
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
        let query = joined(merge, &target, &relation.id, items, &actions)?;
        let wanted = Wanted {
            kind: ChangeKind::Merge,
            relation,
            query,
            assignment: Some(Assignment::of_all(&columns, MERGE_COLUMNS)),
            columns,
            actions,
        };
        self.planned(wanted, declared, control).await
    }
}

impl Action {
    fn privilege(self) -> Privilege {
        match self {
            Self::Insert => Privilege::Insert,
            Self::Update => Privilege::Update,
            Self::Delete => Privilege::Delete,
        }
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
fn condition(target: &ChangedTable, clause: &MergeClause) -> Result<Expr> {
    let address = Box::new(target.column(FILE_COLUMN));
    let kind = match clause.clause_kind {
        MergeClauseKind::Matched => Expr::IsNotNull(address),
        MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => Expr::IsNull(address),
        MergeClauseKind::NotMatchedBySource => {
            return Err(unsupported("WHEN NOT MATCHED BY SOURCE"));
        }
    };
    Ok(match &clause.predicate {
        None => kind,
        Some(predicate) => Expr::BinaryOp {
            left: Box::new(kind),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(Box::new(predicate.clone()))),
        },
    })
}

/// What a WHEN does, and the row that it makes: a value for each column of the table.
fn made_row(
    table: &str,
    columns: &Schema,
    target: &ChangedTable,
    clause: &MergeClause,
) -> Result<(Action, Vec<Expr>)> {
    let matched = clause.clause_kind == MergeClauseKind::Matched;
    let fields = columns.fields();
    match &clause.action {
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
            let nulls = fields
                .iter()
                .map(|field| Ok(cast_to(null(), sql_type(field)?)));
            Ok((Action::Delete, nulls.collect::<Result<_>>()?))
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
    let join_operator = match actions.contains(&Action::Insert) {
        true => JoinOperator::LeftOuter(on),
        false => JoinOperator::Inner(on),
    };
    select.from = vec![TableWithJoins {
        relation: merge.source.clone(),
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
        let Some(action) = action else {
            written.push(false);
            continue;
        };
        done += 1;
        if *action != Action::Insert && !removal.mark(files.value(row), places.value(row))? {
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
