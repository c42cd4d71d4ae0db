//! Numbers that leave their type are an error: 22003 instead of wrapping around or becoming infinite,
//! 22012 for a division of floats by zero.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Datum};
use datafusion::arrow::compute::{cast, kernels::numeric};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use super::{rewrite_expressions, type_of};
use crate::error::Error;

/// After types are coerced: arithmetic of integers and of floats.
#[derive(Debug)]
pub(in crate::engine) struct CheckOverflow {
    functions: [(Operator, Arc<ScalarUDF>); 4],
}

impl CheckOverflow {
    /// The rule.
    pub(in crate::engine) fn new() -> Self {
        let checked = |operator, name| {
            (
                operator,
                Arc::new(ScalarUDF::new_from_impl(Checked::new(operator, name))),
            )
        };
        Self {
            functions: [
                checked(Operator::Plus, "checked_plus"),
                checked(Operator::Minus, "checked_minus"),
                checked(Operator::Multiply, "checked_multiply"),
                checked(Operator::Divide, "checked_divide"),
            ],
        }
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else {
            return Transformed::no(expr);
        };
        let function = self.functions.iter().find(|(operator, _)| *operator == op);
        match (function, type_of(&left, schema), type_of(&right, schema)) {
            (Some((_, function)), Ok(of_left), Ok(of_right))
                if of_left == of_right && (of_left.is_integer() || is_float(&of_left)) =>
            {
                let call = ScalarFunction::new_udf(Arc::clone(function), vec![*left, *right]);
                Transformed::yes(Expr::ScalarFunction(call))
            }
            _ => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
        }
    }
}

impl AnalyzerRule for CheckOverflow {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| Ok(self.rewrite(expr, schema)))
    }

    fn name(&self) -> &'static str {
        "check_overflow"
    }
}

/// An operator between two integers or floats of one type; 22003 if the result leaves it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operator: Operator,
    name: &'static str,
    signature: Signature,
}

impl Checked {
    fn new(operator: Operator, name: &'static str) -> Self {
        Self {
            operator,
            name,
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Int64))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let operands = args
            .args
            .iter()
            .map(|argument| match argument {
                ColumnarValue::Array(array) => Ok(Box::new(Arc::clone(array)) as Box<dyn Datum>),
                ColumnarValue::Scalar(value) => Ok(Box::new(value.to_scalar()?) as Box<dyn Datum>),
            })
            .collect::<Result<Vec<_>>>()?;
        let (left, right) = (operands[0].as_ref(), operands[1].as_ref());
        let result = match self.operator {
            Operator::Plus => numeric::add(left, right)?,
            Operator::Minus => numeric::sub(left, right)?,
            Operator::Divide => numeric::div(left, right)?,
            _ => numeric::mul(left, right)?,
        };
        if is_float(result.data_type()) {
            check_floats(self.operator, left, right, &result)?;
        }
        let scalar = args
            .args
            .iter()
            .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        match scalar {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?)),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}

fn is_float(of: &DataType) -> bool {
    matches!(of, DataType::Float32 | DataType::Float64)
}

/// Infinities that no operand had, zeros that no operand explains, divisors that are zero.
fn check_floats(
    operator: Operator,
    left: &dyn Datum,
    right: &dyn Datum,
    result: &ArrayRef,
) -> Result<()> {
    let float8 = |array: &dyn Array| cast(array, &DataType::Float64);
    let results = float8(result)?;
    let results = results.as_primitive::<Float64Type>();
    let product = matches!(operator, Operator::Multiply | Operator::Divide);
    let suspect = |value: f64| !value.is_finite() || (product && value == 0.0);
    if !results.values().iter().any(|value| suspect(*value)) {
        return Ok(());
    }
    let (left, right) = (float8(left.get().0)?, float8(right.get().0)?);
    let (left, right) = (
        left.as_primitive::<Float64Type>(),
        right.as_primitive::<Float64Type>(),
    );
    let at = |array: &datafusion::arrow::array::Float64Array, row: usize| {
        array.value(if array.len() == 1 { 0 } else { row })
    };
    for (row, value) in results.iter().enumerate() {
        let Some(value) = value.filter(|value| suspect(*value)) else {
            continue;
        };
        let (left, right) = (at(left, row), at(right, row));
        if operator == Operator::Divide && right == 0.0 && !left.is_nan() {
            return Err(Error::division_by_zero("division by zero").into());
        }
        if value.is_infinite() && left.is_finite() && right.is_finite() {
            return Err(out_of_range("overflow"));
        }
        let explained = left == 0.0
            || match operator {
                Operator::Divide => right.is_infinite(),
                _ => right == 0.0,
            };
        if value == 0.0 && product && !explained {
            return Err(out_of_range("underflow"));
        }
    }
    Ok(())
}

fn out_of_range(what: &str) -> datafusion::error::DataFusionError {
    Error::numeric_value_out_of_range(format!("value out of range: {what}")).into()
}
