//! What is known of a customer, as functions are given it: a summary, or its numbers one by one.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result, internal_err, plan_err};

use crate::arguments::{finite, invalid_value, number};
use crate::lifetime::clv_summary::summary_fields;
use crate::precise::is_whole;

/// Repeat purchases, time of the last one, and time under observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Customer {
    pub(super) x: f64,
    pub(super) t_x: f64,
    pub(super) t: f64,
}

impl Customer {
    /// One who has just made the first purchase.
    pub(super) const NEW: Self = Self {
        x: 0.0,
        t_x: 0.0,
        t: 0.0,
    };

    /// Refuses what cannot be a customer.
    #[inline]
    pub(super) fn checked(function: &str, x: f64, t_x: f64, t: f64) -> Result<Self> {
        let usual = is_whole(x) && 0.0 <= t_x && t_x <= t && t < f64::INFINITY;
        let usual = usual && (x > 0.0 || x == 0.0 && t_x == 0.0);
        match usual {
            // Adding zero makes a zero without sign.
            true => Ok(Self {
                x: x + 0.0,
                t_x: t_x + 0.0,
                t: t + 0.0,
            }),
            false => Self::examined(function, x, t_x, t),
        }
    }

    fn examined(function: &str, x: f64, t_x: f64, t: f64) -> Result<Self> {
        let x = purchases(function, x)?;
        let t_x = finite(function, "recency", t_x)?;
        let t = finite(function, "t", t)?;
        let problem = if t_x < 0.0 {
            format!("recency {t_x} is negative; it is the time from the first purchase to the last")
        } else if t_x > t {
            format!(
                "recency {t_x} is above t {t}; both are counted from the first purchase, in the \
                 same unit"
            )
        } else if x == 0.0 && t_x != 0.0 {
            format!(
                "recency must be 0 when frequency is 0, not {t_x}; it is the time from the first \
                 purchase to the last, not the time since"
            )
        } else {
            return Ok(Self {
                x,
                t_x: t_x + 0.0,
                t: t + 0.0,
            });
        };
        Err(invalid_value(function, problem))
    }
}

/// A number of repeat purchases.
#[inline]
pub(super) fn purchases(function: &str, x: f64) -> Result<f64> {
    if is_whole(x) && x >= 0.0 {
        return Ok(x + 0.0);
    }
    large_purchases(function, x)
}

fn large_purchases(function: &str, x: f64) -> Result<f64> {
    let x = finite(function, "frequency", x)?;
    if x >= 0.0 && x.fract() == 0.0 {
        return Ok(x);
    }
    Err(invalid_value(
        function,
        format!(
            "frequency {x} must be a whole number, 0 or more; it is the number of purchases after \
             the first"
        ),
    ))
}

/// A mean spend per purchase.
#[inline]
pub(super) fn not_negative(function: &str, argument: &str, value: f64) -> Result<f64> {
    let value = finite(function, argument, value)?;
    if value >= 0.0 {
        return Ok(value);
    }
    Err(below_zero(function, argument, value))
}

#[cold]
fn below_zero(function: &str, argument: &str, value: f64) -> DataFusionError {
    invalid_value(
        function,
        format!("{argument} {value} is negative; filter it or correct it"),
    )
}

/// Whether a call was made with a struct in this place.
pub(super) fn is_record(given: &DataType) -> bool {
    matches!(given, DataType::Struct(_))
}

/// The coerced types of a summary, or of the numbers named instead of it.
pub(super) fn coerce_customer(
    function: &str,
    names: &[&str],
    types: &[DataType],
) -> Result<Vec<DataType>> {
    if types.len() == 1 && names.len() > 1 {
        return Ok(vec![summary_type(function, names, &types[0])?]);
    }
    let named = names.iter().zip(types);
    named
        .map(|(name, given)| number(function, name, given))
        .collect()
}

fn summary_type(function: &str, names: &[&str], given: &DataType) -> Result<DataType> {
    match given {
        DataType::Null => Ok(DataType::Struct(summary_fields())),
        DataType::Struct(fields) => {
            for name in names {
                let field = fields
                    .iter()
                    .find(|field| field.name().eq_ignore_ascii_case(name));
                match field {
                    Some(field) => number(function, name, field.data_type())?,
                    None => {
                        return plan_err!(
                            "{function}(): summary has no field {name}; pass the result of \
                             clv_summary"
                        );
                    }
                };
            }
            Ok(given.clone())
        }
        given => plan_err!(
            "{function}(): summary must be the result of clv_summary, a struct with {}, not {given}",
            names.join(", ")
        ),
    }
}

/// Numbers named one by one, or those fields of a summary.
pub(super) fn customer_columns(
    names: &[&str],
    arguments: &[ArrayRef],
) -> Result<Vec<Float64Array>> {
    if let [summary] = arguments
        && is_record(summary.data_type())
    {
        let structs = summary.as_struct();
        let field = |name: &&str| match number_field(structs, name)? {
            Some(column) => Ok(column),
            None => internal_err!("the field {name} has gone"),
        };
        return names.iter().map(field).collect();
    }
    arguments.iter().map(double).collect()
}

/// A numeric field of structs; NULL where the struct is. `None` if there is no such field.
pub(super) fn number_field(structs: &StructArray, name: &str) -> Result<Option<Float64Array>> {
    let fields = structs.fields().iter();
    let place = fields.enumerate().find_map(|(place, field)| {
        let same = field.name().eq_ignore_ascii_case(name);
        same.then_some(place)
    });
    let Some(place) = place else {
        return Ok(None);
    };
    let column = double(structs.column(place))?;
    let nulls = NullBuffer::union(structs.nulls(), column.nulls());
    Ok(Some(Float64Array::new(column.values().clone(), nulls)))
}

fn double(array: &ArrayRef) -> Result<Float64Array> {
    let column = compute::cast(array, &DataType::Float64)?;
    Ok(column
        .as_primitive::<arrow::datatypes::Float64Type>()
        .clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_customer() {
        let refused = |x, t_x, t| Customer::checked("f", x, t_x, t).unwrap_err().to_string();
        assert!(refused(-1.0, 0.0, 1.0).contains("frequency -1"));
        assert!(refused(1.5, 1.0, 2.0).contains("whole number"));
        assert!(refused(1.0, -1.0, 2.0).contains("recency -1 is negative"));
        assert!(refused(1.0, 3.0, 2.0).contains("recency 3 is above t 2"));
        assert!(refused(0.0, 5.0, 10.0).contains("recency must be 0 when frequency is 0"));
        assert!(refused(1.0, f64::NAN, 2.0).contains("recency is NaN"));
        assert!(Customer::checked("f", 0.0, 0.0, 0.0).is_ok());
    }
}
