//! Operators between numbers, planned with PostgreSQL's types.
//!
//! Beside a float, a numeric becomes a float; beside a numeric, a whole number becomes a numeric that
//! holds it. Results that do not fit the decimals of 38 digits take wider ones.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, i256};
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF, cast as cast_to};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::engine::casts;
use crate::engine::numeric::{self, Divide, Multiply, shape};
use crate::values::types::{BOOL, BPCHAR, BYTEA, JSONB, UUID};

/// Plans arithmetic and comparisons of numbers.
#[derive(Debug)]
pub(in crate::engine) struct NumberOperators {
    divide: Arc<ScalarUDF>,
    multiply: Arc<ScalarUDF>,
}

impl NumberOperators {
    /// The planner.
    pub(in crate::engine) fn new() -> Self {
        Self {
            divide: Arc::new(ScalarUDF::new_from_impl(Divide::new())),
            multiply: Arc::new(ScalarUDF::new_from_impl(Multiply::new())),
        }
    }

    fn plan(
        &self,
        raw: RawBinaryExpr,
        types: (&DataType, &DataType),
    ) -> PlannerResult<RawBinaryExpr> {
        let (of_left, of_right) = types;
        if let Some(float) = common_float(of_left, of_right) {
            return PlannerResult::Original(converted(raw, types, &float, &float));
        }
        let (Some(left), Some(right)) = (shape(of_left), shape(of_right)) else {
            return PlannerResult::Original(raw);
        };
        if !of_left.is_decimal() && !of_right.is_decimal() {
            return PlannerResult::Original(raw);
        }
        let call = |function: &Arc<ScalarUDF>, raw: RawBinaryExpr| {
            let arguments = vec![raw.left, raw.right];
            let call = ScalarFunction::new_udf(Arc::clone(function), arguments);
            PlannerResult::Planned(Expr::ScalarFunction(call))
        };
        match raw.op {
            BinaryOperator::Divide => call(&self.divide, raw),
            BinaryOperator::Multiply => {
                let whole = i32::from(left.0) + i32::from(right.0);
                match whole < i32::from(DECIMAL128_MAX_PRECISION) {
                    true => PlannerResult::Original(raw),
                    false => call(&self.multiply, raw),
                }
            }
            BinaryOperator::Plus | BinaryOperator::Minus => {
                let result = numeric::sum(left, right);
                match result {
                    DataType::Decimal256(..) => {
                        let wide = |of: (u8, i8)| DataType::Decimal256(76, of.1.max(0));
                        let (left, right) = (wide(left), wide(right));
                        PlannerResult::Original(converted(raw, types, &left, &right))
                    }
                    _ => PlannerResult::Original(raw),
                }
            }
            _ => {
                let common = numeric::common(left, right);
                PlannerResult::Original(converted(raw, types, &common, &common))
            }
        }
    }
}

impl ExprPlanner for NumberOperators {
    fn plan_binary_op(
        &self,
        raw: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if !concerns_numbers(&raw.op) {
            return Ok(PlannerResult::Original(raw));
        }
        let raw = with_constant_read(raw, schema)?;
        let types = (
            super::type_of(&raw.left, schema),
            super::type_of(&raw.right, schema),
        );
        match types {
            (Ok(left), Ok(right)) => Ok(self.plan(raw, (&left, &right))),
            _ => Ok(PlannerResult::Original(raw)),
        }
    }
}

/// The type in which PostgreSQL computes with a float and another number; none if it is the type of
/// both already, or if there is no float.
pub(super) fn common_float(left: &DataType, right: &DataType) -> Option<DataType> {
    let number = |of: &DataType| of.is_floating() || shape(of).is_some();
    let floats = left.is_floating() || right.is_floating();
    (floats && left != right && number(left) && number(right)).then_some(DataType::Float64)
}

fn concerns_numbers(operator: &BinaryOperator) -> bool {
    is_arithmetic(operator) || is_comparison(operator) || is_containment(operator)
}

fn is_containment(operator: &BinaryOperator) -> bool {
    matches!(operator, BinaryOperator::AtArrow | BinaryOperator::ArrowAt)
}

/// `x = 'text'` where `x` is of a type whose texts Arrow does not read: the text is read here.
fn with_constant_read(raw: RawBinaryExpr, schema: &DFSchema) -> Result<RawBinaryExpr> {
    let RawBinaryExpr { op, left, right } = raw;
    let (left, right) = match (is_string_constant(&left), is_string_constant(&right)) {
        (true, false) if is_arithmetic(&op) => (number_beside(left, &right, schema)?, right),
        (false, true) if is_arithmetic(&op) => {
            let right = number_beside(right, &left, schema)?;
            (left, right)
        }
        (true, false) => (read_beside(left, &right, schema)?, right),
        (false, true) => {
            let right = read_beside(right, &left, schema)?;
            (left, right)
        }
        _ => (left, right),
    };
    Ok(RawBinaryExpr { op, left, right })
}

pub(in crate::engine) fn is_arithmetic(operator: &BinaryOperator) -> bool {
    matches!(
        operator,
        BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
    )
}

pub(in crate::engine) fn is_comparison(operator: &BinaryOperator) -> bool {
    matches!(
        operator,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// `x + '2'`: the constant as a number of the other's type, which a numeric's scale does not limit.
fn number_beside(constant: Expr, other: &Expr, schema: &DFSchema) -> Result<Expr> {
    let target = match super::type_of(other, schema) {
        Ok(of) if of.is_decimal() => numeric::free(),
        Ok(of) if of.is_signed_integer() || of.is_floating() => of,
        _ => return Ok(constant),
    };
    let target = Arc::new(Field::new("", target, true));
    casts::constant(&constant, &target, &ConfigOptions::default())
}

/// Whether it is a string without a cast, whose type PostgreSQL leaves open.
pub(in crate::engine) fn is_string_constant(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Literal(
            ScalarValue::Utf8(Some(_)) | ScalarValue::Utf8View(Some(_)),
            None
        )
    )
}

/// A string constant as the number that it spells, with its own decimals: beside a numeric it must not be
/// rounded to the decimals of that.
pub(super) fn exact_number(constant: &Expr) -> Result<Expr> {
    let target = Arc::new(Field::new("", numeric::free(), true));
    let read = casts::constant(constant, &target, &ConfigOptions::default())?;
    let Expr::Literal(ScalarValue::Decimal256(Some(mut value), _, mut scale), _) = read else {
        return Ok(read);
    };
    let ten = i256::from_i128(10);
    while scale > 0 && value.wrapping_rem(ten) == i256::ZERO {
        value = value.wrapping_div(ten);
        scale -= 1;
    }
    let digits = value.to_string().trim_start_matches('-').len() as i32;
    let number = match (numeric::decimal(digits, scale), value.to_i128()) {
        (DataType::Decimal128(precision, scale), Some(value)) => {
            ScalarValue::Decimal128(Some(value), precision, scale)
        }
        (DataType::Decimal256(precision, scale), _) => {
            ScalarValue::Decimal256(Some(value), precision, scale)
        }
        _ => return Ok(constant.clone()),
    };
    Ok(Expr::Literal(number, None))
}

/// The constant as a value of the other's type, if it is numeric, an array, boolean, uuid, bytea, jsonb or character(n).
pub(in crate::engine) fn read_beside(
    constant: Expr,
    other: &Expr,
    schema: &DFSchema,
) -> Result<Expr> {
    if super::type_of(other, schema).is_ok_and(|of| of.is_decimal()) {
        return exact_number(&constant);
    }
    let shallow = matches!(
        other,
        Expr::Column(_)
            | Expr::Cast(_)
            | Expr::ScalarFunction(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::Literal(ScalarValue::Boolean(_), _)
    );
    if !shallow {
        return Ok(constant);
    }
    let Ok((_, field)) = other.to_field(schema) else {
        return Ok(constant);
    };
    if matches!(field.data_type(), DataType::List(_)) {
        return casts::constant(&constant, &field, &ConfigOptions::default());
    }
    match crate::values::types::column_type(&field).0 {
        BOOL | UUID | BYTEA | JSONB | BPCHAR => {
            casts::constant(&constant, &field, &ConfigOptions::default())
        }
        _ => Ok(constant),
    }
}

fn converted(
    raw: RawBinaryExpr,
    (of_left, of_right): (&DataType, &DataType),
    left: &DataType,
    right: &DataType,
) -> RawBinaryExpr {
    RawBinaryExpr {
        op: raw.op,
        left: as_type(raw.left, of_left, left),
        right: as_type(raw.right, of_right, right),
    }
}

/// The expression in another type; constants at once, so that filters stay plain.
pub(super) fn as_type(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    if from == to {
        return expr;
    }
    let constant = match &expr {
        Expr::Cast(cast) => match cast.expr.as_ref() {
            Expr::Literal(value, None) => value.cast_to(cast.field.data_type()).ok(),
            _ => None,
        },
        Expr::Literal(value, None) => Some(value.clone()),
        _ => None,
    };
    match constant.and_then(|value| value.cast_to(to).ok()) {
        Some(value) => Expr::Literal(value, None),
        None => cast_to(expr, to.clone()),
    }
}
