//! From a parsed statement to a plan that can run: names, types, parameters, limits.
//!
//! Everything here runs on a planning thread ([`crate::runtime::Workers::plan`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::TableReference;
use datafusion::common::metadata::{FieldMetadata, ScalarAndMetadata};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::{
    Expr as LogicalExpr, LogicalPlan, Statement as PlanStatement, Volatility,
};
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{self, Expr, Ident};

use super::authorize::Check;
use super::control::StatementControl;
use super::own_words;
use super::parameters::{self, Relations, Types};
use super::statement::{dialect, limits, loyalty, named_arguments};
use super::tables::{Assignment, names};
use super::{Generation, Shared};
use crate::catalog::layout::is_pg_catalog_relation;
use crate::catalog::pg_type::PG_TYPE_METADATA;
use crate::catalog::{PG_CATALOG, SessionFacts, pg_type, type_oids};
use crate::error::{Error, Result};
use crate::storage::Lake;
use crate::values::types;

/// A planned query, not yet optimised: prepared statements keep this and fill in their parameters.
#[derive(Debug, Clone)]
pub struct PlannedQuery {
    /// The plan as the SQL planner gives it.
    pub plan: LogicalPlan,
    /// The parameters, `$1` first.
    pub parameters: Vec<Parameter>,
    /// The columns of the result.
    pub schema: SchemaRef,
    /// The columns' names as PostgreSQL gives them.
    pub names: Vec<String>,
    /// The version of the tables the plan was made from.
    pub generation: Generation,
    /// Whether its functions ask the catalog, whose snapshot is then to be read before it runs.
    pub(super) uses_catalog: bool,
    /// The table that the rows are for, if they are for one.
    pub(super) assignment: Option<Assignment>,
    /// The tables that views let the statement read.
    through_views: BTreeSet<(String, String)>,
    /// The plan before it was analysed, if a parameter is an array: the number of its dimensions, which
    /// the type does not tell, decides what the analysis makes of it.
    written: Option<LogicalPlan>,
    /// What it read of the session's own words.
    words: Vec<own_words::Read>,
    /// What executions share.
    generic: Arc<Mutex<Generic>>,
}

/// The optimised plan that later executions of a statement start from. The first one is planned for
/// its own values: most statements run once.
#[derive(Debug, Default)]
enum Generic {
    #[default]
    Unused,
    Used,
    /// With the version of the session's settings it was made under: they are folded into it.
    Optimized(u64, LogicalPlan),
    /// What it gives depends on when or by whom it is optimised.
    Impossible,
}

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The OID of its PostgreSQL type.
    pub oid: u32,
    /// The type that its value takes in the plan.
    pub data_type: DataType,
    /// What the plan knows of it beside the type.
    metadata: Option<FieldMetadata>,
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

impl PlannedQuery {
    /// Whether its functions are those of a generation; those that read tables may not be.
    pub(super) fn has_functions_of(&self, now: Generation) -> bool {
        self.words.is_empty() && self.generation.has_functions_of(now)
    }

    /// What must be allowed when its rows are used again.
    pub(super) fn as_read(&self) -> own_words::Read {
        (self.plan.clone(), self.through_views.clone())
    }
}

/// How a query is planned.
#[derive(Debug, Clone, Copy)]
struct Given<'a> {
    /// The OIDs of its parameters' types.
    declared: &'a [Option<u32>],
    /// The table that its rows are for.
    assignment: Option<&'a Assignment>,
    /// Whether its text functions know the session's own words.
    own_words: bool,
}

/// Plans a query. `declared` are the OIDs of the types that the client gave its parameters, `None`
/// where it left the type open.
pub(super) async fn plan_query(
    shared: &Shared,
    state: &SessionState,
    statement: &ast::Statement,
    declared: &[Option<u32>],
    assignment: Option<&Assignment>,
    control: &Arc<StatementControl>,
) -> Result<PlannedQuery> {
    let given = Given {
        declared,
        assignment,
        own_words: true,
    };
    plan_given(shared, state, statement, given, control).await
}

/// Plans a query without parameters whose text functions know the built-in words only.
pub(super) async fn plan_as_written(
    shared: &Shared,
    state: &SessionState,
    statement: &ast::Statement,
    control: &Arc<StatementControl>,
) -> Result<PlannedQuery> {
    let given = Given {
        declared: &[],
        assignment: None,
        own_words: false,
    };
    plan_given(shared, state, statement, given, control).await
}

async fn plan_given(
    shared: &Shared,
    state: &SessionState,
    statement: &ast::Statement,
    given: Given<'_>,
    control: &Arc<StatementControl>,
) -> Result<PlannedQuery> {
    let Given {
        declared,
        assignment,
        own_words,
    } = given;
    let _scope = super::guard::planning(control);
    shared.lake.refresh_if_stale().await?;
    let generation = shared.generation(state);
    let check = Check::new(state, &shared.lake)?;
    check.statement(statement)?;
    let mut inlined = statement.clone();
    let through_views = names::resolve(&mut inlined, state)?;
    let check = check.through(through_views);
    named_arguments::rewrite(&mut inlined, &shared.argument_names)?;
    let written = &inlined;
    let mut statement = written.clone();
    if dialect::whole_rows::may_be_in(written) {
        let relations = relations(state, written).await;
        dialect::whole_rows::rewrite(&mut statement, &relations)?;
    }
    let uses_catalog = dialect::rewrite(&mut statement)?.uses_catalog;
    if uses_catalog {
        refresh_catalog(shared, state).await;
    }
    loyalty::rewrite(&mut statement, &|name| shared.is_loyalty_scalar(name))?;
    let count = parameters::count(written)?;
    let (plan, parameters) = if count == 0 && declared.is_empty() {
        (to_plan(shared, state, statement).await?, Vec::new())
    } else {
        let relations = relations(state, written).await;
        let types = parameters::infer(written, count, declared, &relations, &shared.own_functions)?;
        plan_with_parameters(shared, state, statement, &types).await?
    };
    control.check()?;
    let (plan, words) = match own_words {
        true => own_words::apply(shared, state, plan, control).await?,
        false => (plan, Vec::new()),
    };
    let plan = match assignment {
        Some(assignment) => assignment.apply(plan)?,
        None => plan,
    };
    limits::check_plan(&plan)?;
    verify(&plan)?;
    super::placement::check(&plan)?;
    check.plan(&plan)?;
    // The types of the result are those after coercion: CASE WHEN … THEN 1 ELSE 2.5 END is no integer.
    let is_array = |parameter: &Parameter| matches!(parameter.data_type, DataType::List(_));
    let written = parameters.iter().any(is_array).then(|| plan.clone());
    let plan = state
        .analyzer()
        .execute_and_check(plan, state.config_options(), |_, _| {})?;
    let schema = super::output::schema(&plan, state, &shared.system);
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
        uses_catalog,
        assignment: assignment.cloned(),
        through_views: check.into_through(),
        written,
        words,
        generic: Arc::default(),
    })
}

/// Reads what the catalog shows to the session that `state` belongs to.
pub(super) async fn refresh_catalog(shared: &Shared, state: &SessionState) {
    let facts = SessionFacts::of(state.config_options());
    shared.system.refresh(&facts).await;
}

/// Fills in parameters and makes the plan runnable. `settings` is the version of the session's.
pub async fn make_runnable(
    state: &SessionState,
    lake: &Lake,
    query: PlannedQuery,
    values: Vec<ScalarValue>,
    settings: u64,
    control: &Arc<StatementControl>,
) -> Result<RunnableQuery> {
    let _scope = super::guard::planning(control);
    // Again, for a statement that was prepared when the session still might.
    let check = Check::new(state, lake)?.through(query.through_views.clone());
    check.plan(&query.plan)?;
    for (read, through) in &query.words {
        Check::new(state, lake)?
            .through(through.clone())
            .plan(read)?;
    }
    let optimized = match generic_plan(state, &query, settings)? {
        Some(generic) => {
            let plan = fill_in(generic, &query.parameters, values)?;
            fold_constants(state, plan)?
        }
        None => {
            // A plan is analysed already, and a second time costs as much again: needed only where the
            // values decide over types.
            let is_filled = !are_as_planned(&query.parameters, &values);
            let plan = match query.written {
                Some(written) if has_deep_array(&query.parameters, &values) => {
                    let plan = fill_in(written, &typed(query.parameters), values)?;
                    check.plan(&plan)?;
                    plan
                }
                _ => fill_in(query.plan, &query.parameters, values)?,
            };
            let plan = match is_filled {
                true => {
                    state
                        .analyzer()
                        .execute_and_check(plan, state.config_options(), |_, _| {})?
                }
                false => plan,
            };
            state.optimizer().optimize(plan, state, |_, _| {})?
        }
    };
    let plan = state
        .query_planner()
        .create_physical_plan(&optimized, state)
        .await?;
    control.check()?;
    Ok(RunnableQuery {
        plan,
        context: state.task_ctx(),
        control: Arc::clone(control),
    })
}

fn fill_in(
    plan: LogicalPlan,
    parameters: &[Parameter],
    values: Vec<ScalarValue>,
) -> Result<LogicalPlan> {
    if parameters.is_empty() {
        return Ok(plan);
    }
    let values = values
        .into_iter()
        .zip(parameters)
        .map(|(value, parameter)| ScalarAndMetadata::new(value, parameter.metadata.clone()))
        .collect();
    Ok(plan.with_param_values(ParamValues::List(values))?)
}

/// Whether the values are of the types that the plan was analysed with.
fn are_as_planned(parameters: &[Parameter], values: &[ScalarValue]) -> bool {
    let mut pairs = parameters.iter().zip(values);
    pairs.all(|(parameter, value)| {
        has_one_carrier(parameter.oid) && value.data_type() == parameter.data_type
    })
}

/// Whether a value is an array of more dimensions than the plan took the parameter for.
fn has_deep_array(parameters: &[Parameter], values: &[ScalarValue]) -> bool {
    let mut pairs = parameters.iter().zip(values);
    pairs.any(|(parameter, value)| is_deeper(value, &parameter.data_type))
}

/// Whether a value is an array of more dimensions than a list type has.
pub fn is_deeper(value: &ScalarValue, expected: &DataType) -> bool {
    dimensions(&value.data_type()) > dimensions(expected)
}

fn dimensions(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(item) => 1 + dimensions(item.data_type()),
        _ => 0,
    }
}

/// Parameters whose values are not taken for untyped constants when the plan is analysed after they are
/// filled in.
fn typed(mut parameters: Vec<Parameter>) -> Vec<Parameter> {
    for parameter in &mut parameters {
        if parameter.data_type.is_string() && parameter.metadata.is_none() {
            let name = types::by_oid(parameter.oid).map_or(types::TEXT.name, |of| of.name);
            let metadata = HashMap::from([(PG_TYPE_METADATA.to_owned(), name.to_owned())]);
            parameter.metadata = Some(FieldMetadata::from(metadata));
        }
    }
    parameters
}

/// The plan that is optimised without values, from the second execution on.
fn generic_plan(
    state: &SessionState,
    query: &PlannedQuery,
    settings: u64,
) -> Result<Option<LogicalPlan>> {
    let mut generic = query.generic.lock().unwrap_or_else(PoisonError::into_inner);
    match &*generic {
        Generic::Optimized(version, plan) if *version == settings => {
            return Ok(Some(plan.clone()));
        }
        Generic::Impossible => return Ok(None),
        Generic::Unused => {
            let fixed = query.parameters.iter().all(|p| has_one_carrier(p.oid));
            *generic = match fixed && is_timeless(&query.plan)? {
                true => Generic::Used,
                false => Generic::Impossible,
            };
            return Ok(None);
        }
        Generic::Used | Generic::Optimized(..) => {}
    }
    let plan = query.plan.clone();
    let plan = state.optimizer().optimize(plan, state, |_, _| {})?;
    *generic = Generic::Optimized(settings, plan.clone());
    Ok(Some(plan))
}

/// Whether all values of the type are held alike: the digits of a numeric and the dimensions of an array
/// are their value's own.
fn has_one_carrier(oid: u32) -> bool {
    match types::by_oid(oid) {
        Some(of) => of != types::NUMERIC && types::element_of(of).is_none(),
        None => true,
    }
}

/// Whether no function of the plan has a value of its own for each statement, as now() has: the
/// optimiser would fix it for all of them.
fn is_timeless(plan: &LogicalPlan) -> Result<bool> {
    let mut timeless = true;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let LogicalExpr::ScalarFunction(call) = expr {
                    let volatility = call.func.signature().volatility;
                    timeless &= volatility == Volatility::Immutable;
                }
                Ok(if timeless {
                    TreeNodeRecursion::Continue
                } else {
                    TreeNodeRecursion::Stop
                })
            })
        })
    })?;
    Ok(timeless)
}

/// Folds the values that were filled into an optimised plan, so that scans can prune by them.
fn fold_constants(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    let simplify = Optimizer::with_rules(vec![Arc::new(SimplifyExpressions::new())]);
    Ok(simplify.optimize(plan, state, |_, _| {})?)
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
        Err(error) => Err(shared.with_name_hint(Error::from(error), state)),
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

/// Plans a statement with its parameters' types known, so that the columns of the result have types
/// even before values are bound.
async fn plan_with_parameters(
    shared: &Shared,
    state: &SessionState,
    statement: ast::Statement,
    types: &Types,
) -> Result<(LogicalPlan, Vec<Parameter>)> {
    let is_open = (0..types.len()).any(|index| types.get(index).is_none());
    let guessed = match is_open {
        true => planners_types(state, &statement).await,
        false => HashMap::new(),
    };
    let oids: Vec<u32> = (0..types.len())
        .map(|index| {
            let guess = || {
                let guess = guessed.get(&format!("${}", index + 1))?.as_ref()?;
                Some(pg_type::pg_type_of(guess).0)
            };
            types.get(index).or_else(guess).unwrap_or(type_oids::TEXT)
        })
        .collect();
    let data_types = oids
        .iter()
        .map(|oid| parameters::planner_type(*oid))
        .collect::<Result<Vec<_>>>()?;
    let prepared = ast::Statement::Prepare {
        name: Ident::new("unnamed"),
        data_types,
        statement: Box::new(statement),
    };
    match to_plan(shared, state, prepared).await? {
        LogicalPlan::Statement(PlanStatement::Prepare(prepare)) => {
            let parameters = oids
                .into_iter()
                .zip(&prepare.fields)
                .map(|(oid, field)| Parameter {
                    oid,
                    data_type: field.data_type().clone(),
                    metadata: Some(FieldMetadata::new_from_field(field))
                        .filter(|metadata| !metadata.is_empty()),
                })
                .collect();
            Ok((Arc::unwrap_or_clone(prepare.input), parameters))
        }
        _ => Err(Error::internal("a PREPARE was not planned as one")),
    }
}

/// Whether PostgreSQL would go backward in a query's rows without being asked for SCROLL: no join or
/// aggregate stands above the last sort.
pub fn rewinds(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_)
        | LogicalPlan::TableScan(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Union(_) => plan.inputs().into_iter().all(rewinds),
        _ => false,
    }
}

/// What the planner itself makes of parameters whose types the analysis could not tell. Without
/// types planning may fail where it does not with them.
async fn planners_types(
    state: &SessionState,
    statement: &ast::Statement,
) -> HashMap<String, Option<DataType>> {
    let statement = DfStatement::Statement(Box::new(statement.clone()));
    let plan = state.statement_to_plan(statement).await;
    plan.and_then(|plan| plan.get_parameter_types())
        .unwrap_or_default()
}

/// The columns of the relations that a statement names. What is not found, or cannot be read, is
/// left out: the planner says so.
async fn relations(state: &SessionState, statement: &ast::Statement) -> Relations {
    let mut relations = Relations::new();
    for name in parameters::relation_names(statement) {
        let reference = match &name[..] {
            [table] if is_pg_catalog_relation(table) => {
                TableReference::partial(PG_CATALOG, table.as_str())
            }
            [table] => TableReference::bare(table.as_str()),
            [.., schema, table] => TableReference::partial(schema.as_str(), table.as_str()),
            [] => continue,
        };
        let Ok(schema) = state.schema_for_ref(reference.clone()) else {
            continue;
        };
        if let Ok(Some(table)) = schema.table(reference.table()).await {
            let columns = table.schema();
            let columns = columns
                .fields()
                .iter()
                .map(|field| (field.name().clone(), pg_type::pg_type_of_field(field).0))
                .collect();
            relations.insert(name, columns);
        }
    }
    relations
}

/// The OID of a type that PREPARE names; `None` for `unknown`.
pub fn declared_type(data_type: &ast::DataType) -> Result<Option<u32>> {
    match parameters::oid_of(data_type) {
        Some(oid) => Ok(Some(oid).filter(|oid| *oid != type_oids::UNKNOWN)),
        None => Err(Error::undefined_object(format!(
            "type \"{}\" does not exist",
            data_type.to_string().to_lowercase()
        ))),
    }
}

/// The name of a statement or cursor as it is kept.
pub fn folded_name(name: &ast::ObjectName) -> String {
    let ident = name.0.last().and_then(ast::ObjectNamePart::as_ident);
    ident.map(dialect::name_of).unwrap_or_default()
}

/// `SELECT CAST(value AS type), …`: the arguments of an EXECUTE.
pub fn select_arguments(values: Vec<Expr>, parameters: &[Parameter]) -> Result<ast::Statement> {
    let mut query = template("SELECT 1")?;
    let ast::SetExpr::Select(select) = query.body.as_mut() else {
        return Err(Error::internal("a query was not parsed as one"));
    };
    select.projection = values
        .into_iter()
        .zip(parameters)
        .map(|(value, parameter)| {
            let cast = Expr::Cast {
                kind: ast::CastKind::Cast,
                expr: Box::new(value),
                data_type: parameters::planner_type(parameter.oid)?,
                array: false,
                format: None,
            };
            Ok(ast::SelectItem::UnnamedExpr(cast))
        })
        .collect::<Result<_>>()?;
    Ok(ast::Statement::Query(Box::new(query)))
}

pub(super) fn template(sql: &str) -> Result<ast::Query> {
    let parsed = super::statement::parse(sql)?
        .pop()
        .and_then(|parsed| parsed.statement);
    match parsed {
        Some(ast::Statement::Query(query)) => Ok(*query),
        _ => Err(Error::internal("a query was not parsed as one")),
    }
}

/// `SELECT columns FROM table`, for `COPY table (columns) TO`.
pub fn select_from(table: ast::ObjectName, columns: &[Ident]) -> Result<ast::Query> {
    let mut query = template("SELECT * FROM t")?;
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
    Ok(query)
}
