//! What the predicting functions share: a model and a customer per row, and checked horizons.

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::Result;

use crate::arguments::{finite, invalid_value, primitive, whole_number};
use crate::lifetime::customer::{Customer, coerce_customer, customer_columns};
use crate::lifetime::model::{Kind, Models, PurchaseModel, model_type};
use crate::lifetime::sbg::Sbg;

const COLUMNS: &[&str] = &["frequency", "recency", "t"];

/// Coerced types of a purchase model and a customer.
pub(super) fn coerce_model_and_customer(
    function: &str,
    model: &DataType,
    customer: &[DataType],
) -> Result<Vec<DataType>> {
    let mut coerced = vec![model_type(function, "model", Kind::PURCHASE, model)?];
    coerced.extend(coerce_customer(function, COLUMNS, customer)?);
    Ok(coerced)
}

/// The first argument as models, those after it as customers.
pub(super) struct Customers {
    function: &'static str,
    models: Models,
    columns: Vec<Float64Array>,
}

impl Customers {
    pub(super) fn new(
        function: &'static str,
        arguments: &[ArrayRef],
        describing: usize,
    ) -> Result<Self> {
        Ok(Self {
            function,
            models: Models::new(function, "model", Kind::PURCHASE, &arguments[0])?,
            columns: customer_columns(COLUMNS, &arguments[1..=describing])?,
        })
    }

    /// What there is to say of each customer; NULL where customer or model are not known.
    pub(super) fn each(
        &self,
        rows: usize,
        of: impl Fn(&PurchaseModel, &Customer) -> f64,
    ) -> Result<Float64Array> {
        if !self.models.is_constant() || rows == 0 {
            let each = |row| Ok(self.at(row)?.map(|(model, customer)| of(&model, &customer)));
            return (0..rows).map(each).collect();
        }
        let nulls = NullBuffer::union_many(self.columns.iter().map(|column| column.nulls()));
        let model = self.models.purchase(0)?;
        let [x, t_x, t] = [0, 1, 2].map(|place| self.columns[place].values());
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                values.push(0.0);
                continue;
            }
            let customer = Customer::checked(self.function, x[row], t_x[row], t[row])?;
            values.push(model.as_ref().map_or(0.0, |model| of(model, &customer)));
        }
        Ok(match model {
            Some(_) => Float64Array::new(values.into(), nulls),
            None => Float64Array::new_null(rows),
        })
    }

    /// The model and the customer of a row, if both are known.
    pub(super) fn at(&self, row: usize) -> Result<Option<(PurchaseModel, Customer)>> {
        if self.columns.iter().any(|column| column.is_null(row)) {
            return Ok(None);
        }
        let [x, t_x, t] = [0, 1, 2].map(|place| self.columns[place].value(row));
        // A wrong customer is an error with any model.
        let customer = Customer::checked(self.function, x, t_x, t)?;
        Ok(self.models.purchase(row)?.map(|model| (model, customer)))
    }
}

/// Periods that a prediction may run over.
pub(super) const PERIODS_MAX: i64 = 10_000;

/// A checked number of periods.
pub(super) fn periods(function: &str, horizon: i64) -> Result<u32> {
    match u32::try_from(horizon) {
        Ok(periods) if horizon <= PERIODS_MAX => Ok(periods),
        _ => Err(invalid_value(
            function,
            format!(
                "horizon {horizon} is outside 0..{PERIODS_MAX}; it is a number of periods in the \
                 unit of the model"
            ),
        )),
    }
}

/// Coerced types of a model of contracts and a number of periods.
pub(super) fn coerce_contract(
    function: &str,
    model: &DataType,
    n: &DataType,
) -> Result<Vec<DataType>> {
    Ok(vec![
        model_type(function, "model", Kind::CONTRACT, model)?,
        whole_number(function, "n", n)?,
    ])
}

/// The first argument as models of contracts, the second as numbers of periods.
pub(super) struct Contracts<'a> {
    function: &'static str,
    models: Models,
    periods: &'a Int64Array,
    /// The least number of periods.
    least: i64,
}

impl<'a> Contracts<'a> {
    pub(super) fn new(
        function: &'static str,
        arguments: &'a [ArrayRef],
        least: i64,
    ) -> Result<Self> {
        Ok(Self {
            function,
            models: Models::new(function, "model", Kind::CONTRACT, &arguments[0])?,
            periods: primitive::<Int64Type>(&arguments[1])?,
            least,
        })
    }

    /// The model of a row and its number of periods, if both are known.
    pub(super) fn at(&self, row: usize) -> Result<Option<(Sbg, u32)>> {
        if self.periods.is_null(row) {
            return Ok(None);
        }
        let (n, least) = (self.periods.value(row), self.least);
        let periods = u32::try_from(n).ok();
        let Some(periods) = periods.filter(|_| (least..=PERIODS_MAX).contains(&n)) else {
            return Err(invalid_value(
                self.function,
                format!(
                    "n {n} is outside {least}..{PERIODS_MAX}; it is a number of periods since the \
                     start of the contract"
                ),
            ));
        };
        Ok(self.models.contract(row)?.map(|model| (model, periods)))
    }
}

/// A checked discount per period.
pub(super) fn discount_rate(function: &str, discount: f64) -> Result<f64> {
    let discount = finite(function, "discount", discount)?;
    if discount > -1.0 {
        return Ok(discount);
    }
    Err(invalid_value(
        function,
        format!(
            "discount {discount} must be above -1; pass the discount per period, for example \
             0.002 for 0.2 %"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn horizons_and_discounts_that_cannot_be() {
        assert_eq!(periods("f", 39).unwrap(), 39);
        assert!(periods("f", -1).is_err() && periods("f", 10_001).is_err());
        assert!(discount_rate("f", -1.0).is_err() && discount_rate("f", f64::NAN).is_err());
        assert_eq!(discount_rate("f", -0.5).unwrap(), -0.5);
    }
}
