//! `x op ANY (array)` and `x op ALL (array)` with SQL's three-valued logic.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Datum, ListArray, UInt64Array,
};
use datafusion::arrow::compute::kernels::cmp;
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};
use datafusion::scalar::ScalarValue;

use super::render::type_name;
use crate::error::Error;

/// Operators with their names for ANY and ALL.
pub(crate) const OPERATORS: &[(Operator, &str, &str)] = &[
    (Operator::Eq, "eq_any", "eq_all"),
    (Operator::NotEq, "ne_any", "ne_all"),
    (Operator::Lt, "lt_any", "lt_all"),
    (Operator::LtEq, "le_any", "le_all"),
    (Operator::Gt, "gt_any", "gt_all"),
    (Operator::GtEq, "ge_any", "ge_all"),
];

/// Registers them.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for (operator, any, all) in OPERATORS {
        for (name, every) in [(any, false), (all, true)] {
            let function = Quantified::new(*operator, name, every);
            state.register_udf(Arc::new(ScalarUDF::new_from_impl(function)))?;
        }
    }
    Ok(())
}

/// `value = ANY (list)`
pub(crate) fn equals_any(value: Expr, list: Expr) -> Expr {
    let function = Quantified::new(Operator::Eq, "eq_any", false);
    let function = Arc::new(ScalarUDF::new_from_impl(function));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![value, list]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Quantified {
    operator: Operator,
    name: &'static str,
    /// ALL, not ANY.
    every: bool,
    signature: Signature,
}

impl Quantified {
    fn new(operator: Operator, name: &'static str, every: bool) -> Self {
        Self {
            operator,
            name,
            every,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    fn compare(&self, left: &dyn Datum, right: &dyn Datum) -> Result<BooleanArray> {
        Ok(match self.operator {
            Operator::Eq => cmp::eq(left, right)?,
            Operator::NotEq => cmp::neq(left, right)?,
            Operator::Lt => cmp::lt(left, right)?,
            Operator::LtEq => cmp::lt_eq(left, right)?,
            Operator::Gt => cmp::gt(left, right)?,
            _ => cmp::gt_eq(left, right)?,
        })
    }

    fn evaluate(&self, values: &ArrayRef, lists: &ListArray) -> Result<BooleanArray> {
        let offsets = lists.value_offsets();
        let bounds = |row: usize| {
            let bound = |at: usize| usize::try_from(offsets[at]).unwrap_or(0);
            if lists.is_null(row) {
                0..0
            } else {
                bound(row)..bound(row + 1)
            }
        };
        let rows = (0..lists.len()).flat_map(|row| bounds(row).map(move |_| row as u64));
        let elements = (0..lists.len()).flat_map(|row| bounds(row).map(|at| at as u64));
        let left = take(values, &UInt64Array::from_iter_values(rows), None)?;
        let right = take(
            lists.values(),
            &UInt64Array::from_iter_values(elements),
            None,
        )?;
        let matched = self.compare(&left, &right)?;
        let mut at = 0;
        let results = (0..lists.len()).map(|row| {
            let (mut decided, mut unknown) = (false, false);
            for _ in bounds(row) {
                match matched.is_valid(at) {
                    true => decided |= matched.value(at) != self.every,
                    false => unknown = true,
                }
                at += 1;
            }
            match (lists.is_null(row), decided, unknown) {
                (true, ..) => None,
                (_, true, _) => Some(!self.every),
                (_, _, true) => None,
                _ => Some(self.every),
            }
        });
        Ok(results.collect())
    }
}

impl ScalarUDFImpl for Quantified {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [value, list] = types else {
            return Err(Error::internal("ANY and ALL compare two operands").into());
        };
        let element = match list {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                item.data_type()
            }
            // A text constant or NULL is read as an array of the other side's type.
            DataType::Null | DataType::Utf8 => value,
            other => {
                let text = format!(
                    "op ANY/ALL (array) requires array on right side, not {}",
                    type_name(other)
                );
                return Err(Error::new(crate::sqlstate::SqlState::WrongObjectType, text).into());
            }
        };
        let common = match (value, element) {
            (value, element) if value == element => Some(value.clone()),
            // A text constant takes the type of what it is compared with.
            (DataType::Utf8, element) if !element.is_null() => Some(element.clone()),
            (value, element) => comparison_coercion(value, element),
        };
        let Some(common) = common else {
            return Err(Error::undefined_function(format!(
                "operator does not exist: {} {} {}",
                type_name(value),
                self.operator,
                type_name(element)
            ))
            .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
            .into());
        };
        let list = DataType::List(Arc::new(Field::new_list_field(common.clone(), true)));
        Ok(vec![common, list])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    /// A constant array becomes a list of constants, which scans can prune by.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let negated = match (self.operator, self.every) {
            (Operator::Eq, false) => false,
            (Operator::NotEq, true) => true,
            _ => return Ok(ExprSimplifyResult::Original(args)),
        };
        let [value, Expr::Literal(ScalarValue::List(list), _)] = args.as_slice() else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        if list.is_empty() || list.is_null(0) || list.value(0).is_empty() {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let items = list.value(0);
        let items = (0..items.len())
            .map(|index| Ok(lit(ScalarValue::try_from_array(&items, index)?)))
            .collect::<Result<Vec<_>>>()?;
        let list = InList::new(Box::new(value.clone()), items, negated);
        Ok(ExprSimplifyResult::Simplified(Expr::InList(list)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (Some(values), Some(lists)) = (arrays.first(), arrays.get(1)) else {
            return Err(Error::internal("ANY and ALL compare two operands").into());
        };
        let wanted = DataType::List(Arc::new(Field::new_list_field(
            values.data_type().clone(),
            true,
        )));
        let lists = cast(lists, &wanted)?;
        let result = self.evaluate(values, lists.as_list::<i32>())?;
        Ok(ColumnarValue::Array(Arc::new(result)))
    }
}
