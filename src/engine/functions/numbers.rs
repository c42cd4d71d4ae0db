//! Functions over numbers and counts that DataFusion lacks.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::error::Result;

use super::render::items;
use super::rowwise::{Kind, Row, Spec, Value, strict};
use crate::error::Error;
use crate::sqlstate::SqlState;

use Kind::{Any, Float8, Int4, Int8};

pub(super) const SPECS: &[Spec] = &[
    strict("acosd", &[Float8], Float8, |row| {
        inverse(
            row.float(0),
            f64::acos,
            &[(1.0, 0.0), (0.5, 60.0), (0.0, 90.0), (-1.0, 180.0)],
        )
    }),
    strict("asind", &[Float8], Float8, |row| {
        inverse(
            row.float(0),
            f64::asin,
            &[
                (0.0, 0.0),
                (0.5, 30.0),
                (1.0, 90.0),
                (-0.5, -30.0),
                (-1.0, -90.0),
            ],
        )
    }),
    strict("atan2d", &[Float8, Float8], Float8, |row| {
        Ok(Value::Float(
            row.float(0).atan2(row.float(1)) / 1.0_f64.atan() * 45.0,
        ))
    }),
    strict("atand", &[Float8], Float8, |row| {
        Ok(Value::Float(row.float(0).atan() / 1.0_f64.atan() * 45.0))
    }),
    strict("cosd", &[Float8], Float8, |row| {
        Ok(Value::Float(sine_of_degrees(row.float(0) + 90.0)?))
    }),
    strict("cotd", &[Float8], Float8, |row| {
        let (sine, cosine) = (
            sine_of_degrees(row.float(0))?,
            sine_of_degrees(row.float(0) + 90.0)?,
        );
        Ok(Value::Float(cosine / sine))
    }),
    strict("num_nonnulls", &[], Int4, |row| Ok(present(row).into()))
        .variadic(Any)
        .lenient(),
    strict("num_nulls", &[], Int4, |row| {
        Ok((row.len() - present(row)).into())
    })
    .variadic(Any)
    .lenient(),
    strict("sind", &[Float8], Float8, |row| {
        Ok(Value::Float(sine_of_degrees(row.float(0))?))
    }),
    strict("tand", &[Float8], Float8, |row| {
        let (sine, cosine) = (
            sine_of_degrees(row.float(0))?,
            sine_of_degrees(row.float(0) + 90.0)?,
        );
        Ok(Value::Float(sine / cosine))
    }),
    strict(
        "width_bucket",
        &[Float8, Float8, Float8, Int8],
        Int4,
        bucket_of_width,
    ),
    strict("width_bucket", &[Any, Any], Int4, bucket_of_bounds),
];

fn present(row: &Row<'_>) -> usize {
    (0..row.len()).filter(|argument| row.has(*argument)).count()
}

fn inverse<'a>(x: f64, function: fn(f64) -> f64, exact: &[(f64, f64)]) -> Result<Value<'a>> {
    if x.abs() > 1.0 {
        return Err(Error::numeric_value_out_of_range("input is out of range").into());
    }
    let known = exact.iter().find(|(argument, _)| *argument == x);
    Ok(Value::Float(known.map_or_else(
        || function(x).to_degrees(),
        |(_, degrees)| *degrees,
    )))
}

/// The sine of an angle in degrees, exact at multiples of 30 degrees as in PostgreSQL.
fn sine_of_degrees(degrees: f64) -> Result<f64> {
    if degrees.is_infinite() {
        return Err(Error::numeric_value_out_of_range("input is out of range").into());
    }
    let turned = degrees % 360.0;
    let turned = if turned < 0.0 { turned + 360.0 } else { turned };
    let (sign, turned) = if turned > 180.0 {
        (-1.0, turned - 180.0)
    } else {
        (1.0, turned)
    };
    let turned = if turned > 90.0 {
        180.0 - turned
    } else {
        turned
    };
    let thirty = (std::f64::consts::PI / 6.0).sin();
    let sixty = 1.0 - (std::f64::consts::PI / 3.0).cos();
    Ok(sign
        * if turned <= 30.0 {
            turned.to_radians().sin() / thirty / 2.0
        } else {
            1.0 - (1.0 - (90.0 - turned).to_radians().cos()) / sixty / 2.0
        })
}

fn invalid(text: &str) -> datafusion::error::DataFusionError {
    Error::new(SqlState::InvalidArgumentForWidthBucket, text).into()
}

fn bucket_of_width<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let (operand, low, high, count) = (row.float(0), row.float(1), row.float(2), row.int(3));
    if count <= 0 {
        return Err(invalid("count must be greater than zero"));
    }
    if operand.is_nan() || low.is_nan() || high.is_nan() {
        return Err(invalid(
            "operand, lower bound, and upper bound cannot be NaN",
        ));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(invalid("lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(invalid("lower bound cannot equal upper bound"));
    }
    let (before, after, share) = match low < high {
        true => (
            operand < low,
            operand >= high,
            (operand - low) / (high - low),
        ),
        false => (
            operand > low,
            operand <= high,
            (low - operand) / (low - high),
        ),
    };
    Ok(Value::Int(match (before, after) {
        (true, _) => 0,
        (_, true) => count.saturating_add(1),
        _ => ((share * count as f64) as i64 + 1).min(count),
    }))
}

fn bucket_of_bounds<'a>(row: &Row<'a>) -> Result<Value<'a>> {
    let (Some((operand, at, _)), Some((bounds, place, _))) = (row.any(0), row.any(1)) else {
        return Ok(Value::Null);
    };
    if !bounds.data_type().is_list() {
        return Err(Error::undefined_function(
            "function width_bucket(anycompatible, anycompatiblearray) needs an array",
        )
        .into());
    }
    let bounds = items(bounds, place);
    if bounds.null_count() > 0 {
        return Err(Error::new(
            SqlState::NullValueNotAllowed,
            "thresholds array must not contain NULLs",
        )
        .into());
    }
    let numeric = operand.data_type().is_numeric();
    let common = if numeric {
        DataType::Float64
    } else {
        bounds.data_type().clone()
    };
    let (operand, bounds) = (
        cast(&operand.slice(at, 1), &common)?,
        cast(&bounds, &common)?,
    );
    if numeric {
        let x = operand.as_primitive::<Float64Type>().value(0);
        let bounds = bounds.as_primitive::<Float64Type>().values();
        return Ok(bounds.partition_point(|bound| *bound <= x).into());
    }
    let compare = datafusion::arrow::array::make_comparator(
        bounds.as_ref(),
        operand.as_ref(),
        datafusion::arrow::compute::SortOptions::default(),
    )?;
    let below = (0..bounds.len())
        .take_while(|index| compare(*index, 0).is_le())
        .count();
    Ok(below.into())
}
