//! Functions of values of one type, such as `coalesce` and `ARRAY[…]`: constants without a type take
//! that of the others, and the result keeps the PostgreSQL type that its Arrow type alone does not tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::functions_nested::make_array::make_array_udf;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use crate::catalog::pg_type::PG_TYPE_METADATA;
use crate::engine::semantics::{is_string_constant, read_beside, rewrite_expressions};
use crate::values::digits::PG_TYPMOD_METADATA;
use crate::values::types::{BPCHAR, PgType, VARCHAR, array_of, column_type};

/// The functions, and where the type of each result comes from.
const FUNCTIONS: &[(&str, ResultType)] = &[
    ("coalesce", ResultType::Common),
    ("greatest", ResultType::Common),
    ("least", ResultType::Common),
    ("make_array", ResultType::Array),
    ("nullif", ResultType::First),
];

/// Replaces them.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for (name, result) in FUNCTIONS {
        let inner = state.udf(name)?;
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Alike {
            inner,
            result: *result,
        })))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ResultType {
    /// All arguments have it.
    Common,
    /// The first argument has it.
    First,
    /// The array of what all arguments have.
    Array,
}

/// Types that a comparison takes for text.
const STRINGS: [PgType; 2] = [VARCHAR, BPCHAR];

/// Metadata of a field that names a PostgreSQL type.
type Marks = BTreeMap<String, String>;

fn marks(field: &Field) -> Marks {
    let own = |key: &str| {
        key == PG_TYPE_METADATA || key == PG_TYPMOD_METADATA || key.starts_with("ARROW:extension:")
    };
    field
        .metadata()
        .iter()
        .filter(|(key, _)| own(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The type that fields name: without its modifier if that differs, none if the types do.
///
/// A field that names none says nothing: a constant without a type looks like any other text once it
/// has the Arrow type of the rest.
fn common_marks<'a>(fields: impl IntoIterator<Item = &'a FieldRef>) -> Marks {
    let mut common = Marks::new();
    let mut modifiers = Vec::new();
    for field in fields {
        if field.data_type().is_null() {
            continue;
        }
        let mut named = marks(field);
        modifiers.push(named.remove(PG_TYPMOD_METADATA));
        if common.is_empty() {
            common = named;
        } else if !named.is_empty() && named != common {
            return Marks::new();
        }
    }
    if let Some(Some(modifier)) = modifiers.first()
        && modifiers
            .iter()
            .all(|other| other.as_ref() == Some(modifier))
    {
        common.insert(PG_TYPMOD_METADATA.to_owned(), modifier.clone());
    }
    common
}

/// A function of DataFusion whose arguments are alike.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Alike {
    inner: Arc<ScalarUDF>,
    result: ResultType,
}

impl Alike {
    fn marks(&self, fields: &[FieldRef]) -> Marks {
        match self.result {
            ResultType::Common => common_marks(fields),
            // Strings are compared as text, which they then are.
            ResultType::First => fields
                .first()
                .filter(|field| !STRINGS.contains(&column_type(field).0))
                .map(|field| marks(field))
                .unwrap_or_default(),
            ResultType::Array => {
                let common = common_marks(fields);
                let array = fields
                    .first()
                    .filter(|_| !common.is_empty())
                    .map(|field| field.as_ref().clone())
                    .map(|field| field.with_metadata(common.into_iter().collect()))
                    .and_then(|element| array_of(column_type(&element).0));
                array
                    .map(|array| (PG_TYPE_METADATA.to_owned(), array.name.to_owned()))
                    .into_iter()
                    .collect()
            }
        }
    }
}

impl ScalarUDFImpl for Alike {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let of = |keep: &dyn Fn(&DataType) -> bool| -> Vec<DataType> {
            types.iter().filter(|given| keep(given)).cloned().collect()
        };
        let known = of(&|given| !given.is_null());
        let typed = of(&|given| !given.is_null() && *given != DataType::Utf8);
        // Constants beside times are times; casts to other types, such as bytes, are not all
        // PostgreSQL's.
        let times = !typed.is_empty() && typed.iter().all(DataType::is_temporal);
        let deciding = if times { typed } else { known };
        if deciding.is_empty() || deciding.len() == types.len() {
            return self.inner.inner().coerce_types(types);
        }
        let coerced = self.inner.inner().coerce_types(&deciding)?;
        Ok(match coerced.first() {
            Some(common) => vec![common.clone(); types.len()],
            None => coerced,
        })
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let marks = self.marks(args.arg_fields);
        let field = self.inner.return_field_from_args(args)?;
        if marks.is_empty() {
            return Ok(field);
        }
        Ok(Arc::new(
            field
                .as_ref()
                .clone()
                .with_metadata(marks.into_iter().collect()),
        ))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let fields = args
            .iter()
            .map(|arg| Ok(arg.to_field(info.schema().as_ref())?.1))
            .collect::<Result<Vec<_>>>()?;
        let marks = self.marks(&fields);
        Ok(match self.inner.simplify(args, info)? {
            ExprSimplifyResult::Simplified(expr) if !marks.is_empty() => {
                ExprSimplifyResult::Simplified(labelled(expr, marks))
            }
            other => other,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }

    fn conditional_arguments<'a>(
        &self,
        args: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Plans `ARRAY[…]`.
#[derive(Debug)]
pub(super) struct ArrayPlanner {
    function: Arc<ScalarUDF>,
}

impl ArrayPlanner {
    pub(super) fn new() -> Self {
        let function = Alike {
            inner: make_array_udf(),
            result: ResultType::Array,
        };
        Self {
            function: Arc::new(ScalarUDF::new_from_impl(function)),
        }
    }
}

impl ExprPlanner for ArrayPlanner {
    fn plan_array_literal(
        &self,
        mut items: Vec<Expr>,
        schema: &DFSchema,
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let typed = items.iter().find(|item| !is_string_constant(item)).cloned();
        if let Some(typed) = typed {
            for item in items.iter_mut().filter(|item| is_string_constant(item)) {
                *item = read_beside(std::mem::take(item), &typed, schema)?;
            }
        }
        let call = ScalarFunction::new_udf(Arc::clone(&self.function), items);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

/// The expression as a value of the type that the metadata names.
fn labelled(expr: Expr, marks: Marks) -> Expr {
    let label = Label {
        marks,
        signature: Signature::any(1, Volatility::Immutable),
    };
    let function = Arc::new(ScalarUDF::new_from_impl(label));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr]))
}

/// Gives its argument, with metadata.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Label {
    marks: Marks,
    signature: Signature,
}

impl ScalarUDFImpl for Label {
    fn name(&self) -> &'static str {
        "labelled"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let field = Field::new(self.name(), self.return_type(&types)?, nullable);
        Ok(Arc::new(
            field.with_metadata(self.marks.clone().into_iter().collect()),
        ))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        args.args
            .into_iter()
            .next()
            .ok_or_else(|| crate::error::Error::internal("a label stands on one value").into())
    }
}

/// Lets `CASE` keep the type that all its results name.
#[derive(Debug)]
pub(crate) struct LabelCases;

impl AnalyzerRule for LabelCases {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| Ok(label_case(expr, schema)))
    }

    fn name(&self) -> &'static str {
        "label_cases"
    }
}

fn label_case(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::Case(case) = &expr else {
        return Transformed::no(expr);
    };
    let results = case.when_then_expr.iter().map(|(_, then)| then);
    let fields: Result<Vec<FieldRef>> = results
        .chain(case.else_expr.as_ref())
        .map(|result| Ok(result.to_field(schema)?.1))
        .collect();
    let marks = match fields {
        Ok(fields) => common_marks(&fields),
        Err(_) => Marks::new(),
    };
    match marks.is_empty() {
        true => Transformed::no(expr),
        false => Transformed::yes(labelled(expr, marks)),
    }
}
