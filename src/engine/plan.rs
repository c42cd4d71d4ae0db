//! From a parsed statement to a plan that can run: names, types, parameters, limits.
//!
//! Everything here runs on a planning thread ([`crate::runtime::Workers::plan`]).

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::{LogicalPlan, Statement as PlanStatement};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{self, Expr, Ident, Value, Visit, Visitor};

use super::Shared;
use super::control::StatementControl;
use super::statement::{dialect, limits, loyalty};
use crate::error::{Error, Result};

/// Parameters of one statement; the wire protocol counts them in 16 bits.
const PARAMETERS_MAX: usize = 65_535;

/// A planned query, not yet optimised: prepared statements keep this and fill in their parameters.
#[derive(Debug, Clone)]
pub struct PlannedQuery {
    /// The plan as the SQL planner gives it.
    pub plan: LogicalPlan,
    /// The type of each parameter, `$1` first.
    pub parameters: Vec<DataType>,
    /// The columns of the result.
    pub schema: SchemaRef,
    /// The columns' names as PostgreSQL gives them.
    pub names: Vec<String>,
    /// The version of the tables the plan was made from.
    pub generation: u64,
}

/// A plan that can run, and what it runs in.
#[derive(Debug, Clone)]
pub struct RunnableQuery {
    /// The operators.
    pub plan: Arc<dyn ExecutionPlan>,
    /// Memory pool, caches and configuration of the run.
    pub context: Arc<TaskContext>,
    /// What makes the operators stop; it was built into them.
    pub control: Arc<StatementControl>,
}

/// Plans a query. `declared` are the types that the client gave its parameters, `None` where it
/// left the type open.
pub async fn plan_query(
    shared: &Shared,
    state: &SessionState,
    statement: &ast::Statement,
    declared: &[Option<DataType>],
    control: &Arc<StatementControl>,
) -> Result<PlannedQuery> {
    let _scope = super::guard::planning(control);
    shared.lake.refresh_if_stale().await?;
    let generation = shared.lake.generation();
    let mut statement = statement.clone();
    if dialect::rewrite(&mut statement)?.uses_catalog {
        shared.system.refresh().await;
    }
    loyalty::rewrite(&mut statement, &|name| shared.is_loyalty_scalar(name))?;
    let count = parameter_count(&statement)?;
    let (plan, parameters) = if count == 0 && declared.is_empty() {
        (to_plan(shared, state, statement).await?, Vec::new())
    } else {
        plan_with_parameters(
            shared,
            state,
            statement,
            count.max(declared.len()),
            declared,
        )
        .await?
    };
    control.check()?;
    limits::check_plan(&plan)?;
    verify(&plan)?;
    // The types of the result are those after coercion: CASE WHEN … THEN 1 ELSE 2.5 END is no integer.
    let plan = state
        .analyzer()
        .execute_and_check(plan, state.config_options(), |_, _| {})?;
    let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
    let names = schema
        .fields()
        .iter()
        .map(|field| dialect::output_name(field.name()).to_owned())
        .collect();
    Ok(PlannedQuery {
        plan,
        parameters,
        schema,
        names,
        generation,
    })
}

/// Fills in parameters and makes the plan runnable.
pub async fn make_runnable(
    state: &SessionState,
    query: PlannedQuery,
    values: Vec<ScalarValue>,
    control: &Arc<StatementControl>,
) -> Result<RunnableQuery> {
    let _scope = super::guard::planning(control);
    let analysed = query.parameters.is_empty();
    let plan = match analysed {
        true => query.plan,
        false => {
            let values = values
                .into_iter()
                .map(|value| ScalarAndMetadata::new(value, None))
                .collect();
            query.plan.with_param_values(ParamValues::List(values))?
        }
    };
    // Without parameters the plan is analysed already, and a second time costs as much again.
    let plan = match analysed {
        true => {
            let optimized = state.optimizer().optimize(plan, state, |_, _| {})?;
            state
                .query_planner()
                .create_physical_plan(&optimized, state)
                .await?
        }
        false => state.create_physical_plan(&plan).await?,
    };
    control.check()?;
    Ok(RunnableQuery {
        plan,
        context: state.task_ctx(),
        control: Arc::clone(control),
    })
}

async fn to_plan(
    shared: &Shared,
    state: &SessionState,
    statement: ast::Statement,
) -> Result<LogicalPlan> {
    match state
        .statement_to_plan(DfStatement::Statement(Box::new(statement)))
        .await
    {
        Ok(plan) => Ok(plan),
        Err(error) => Err(shared.with_name_hint(Error::from(error))),
    }
}

/// Refuses what the planner would otherwise do behind the session's back.
fn verify(plan: &LogicalPlan) -> Result<()> {
    let options = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    options.verify_plan(plan).map_err(|_| {
        Error::feature_not_supported("this statement is not supported")
            .with_detail("Tables that are read in place cannot be changed.")
    })
}

/// Plans a statement with parameters: once to learn the types that follow from their use, then again
/// with every type known, so that the result's columns have types even before values are bound.
async fn plan_with_parameters(
    shared: &Shared,
    state: &SessionState,
    statement: ast::Statement,
    count: usize,
    declared: &[Option<DataType>],
) -> Result<(LogicalPlan, Vec<DataType>)> {
    let inferred = match state
        .statement_to_plan(DfStatement::Statement(Box::new(statement.clone())))
        .await
    {
        Ok(plan) => plan.get_parameter_types()?,
        // Without types the first attempt may fail where the second does not.
        Err(_) => std::collections::HashMap::default(),
    };
    let types: Vec<DataType> = (1..=count)
        .map(|number| {
            let open = || inferred.get(&format!("${number}")).cloned().flatten();
            declared
                .get(number - 1)
                .cloned()
                .flatten()
                .or_else(open)
                .unwrap_or(DataType::Utf8)
        })
        .collect();
    let data_types = types.iter().map(sql_type).collect::<Result<Vec<_>>>()?;
    let prepared = ast::Statement::Prepare {
        name: Ident::new("unnamed"),
        data_types,
        statement: Box::new(statement),
    };
    match to_plan(shared, state, prepared).await? {
        LogicalPlan::Statement(PlanStatement::Prepare(prepare)) => {
            Ok((Arc::unwrap_or_clone(prepare.input), types))
        }
        _ => Err(Error::internal("a PREPARE was not planned as one")),
    }
}

/// The highest `$n` of the statement.
fn parameter_count(statement: &ast::Statement) -> Result<usize> {
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
        match name
            .strip_prefix('$')
            .and_then(|digits| digits.parse().ok())
        {
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

/// The SQL spelling of a parameter's type, for the planner.
fn sql_type(data_type: &DataType) -> Result<ast::DataType> {
    use ast::{DataType as Sql, ExactNumberInfo, TimezoneInfo};
    Ok(match data_type {
        DataType::Boolean => Sql::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => Sql::SmallInt(None),
        DataType::Int32 | DataType::UInt16 => Sql::Integer(None),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Sql::BigInt(None),
        DataType::Float16 | DataType::Float32 => Sql::Real,
        DataType::Float64 => Sql::DoublePrecision,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Sql::Numeric(
            ExactNumberInfo::PrecisionAndScale(u64::from(*precision), i64::from(*scale)),
        ),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Sql::Bytea,
        DataType::Date32 | DataType::Date64 => Sql::Date,
        DataType::Time32(_) | DataType::Time64(_) => Sql::Time(None, TimezoneInfo::None),
        DataType::Timestamp(_, None) => Sql::Timestamp(None, TimezoneInfo::None),
        DataType::Timestamp(_, Some(_)) => Sql::Timestamp(None, TimezoneInfo::WithTimeZone),
        DataType::Interval(_) | DataType::Duration(_) => Sql::Interval {
            fields: None,
            precision: None,
        },
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            Sql::Array(ast::ArrayElemTypeDef::SquareBracket(
                Box::new(sql_type(field.data_type())?),
                None,
            ))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Sql::Text,
        other => {
            return Err(Error::feature_not_supported(format!(
                "a parameter cannot have type {other}"
            )));
        }
    })
}

/// `SELECT columns FROM table`, for `COPY table (columns) TO`.
pub fn select_from(table: ast::ObjectName, columns: &[Ident]) -> Result<ast::Query> {
    let template = super::statement::parse("SELECT * FROM t")?
        .pop()
        .and_then(|parsed| parsed.statement);
    let Some(ast::Statement::Query(mut query)) = template else {
        return Err(Error::internal("a query was not parsed as one"));
    };
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        if let Some(ast::TableFactor::Table { name, .. }) =
            select.from.first_mut().map(|from| &mut from.relation)
        {
            *name = table;
        }
        if !columns.is_empty() {
            select.projection = columns
                .iter()
                .map(|column| ast::SelectItem::UnnamedExpr(Expr::Identifier(column.clone())))
                .collect();
        }
    }
    Ok(*query)
}
