//! Fitting a model to the customers of a group: an aggregate whose state is the distinct customers
//! with how often they occur, which makes merging exact. They are sorted before anything is added
//! up, so that the result does not depend on how the rows were split.
//!
//! A fit runs when its group is complete, in a bounded number of steps, and can be interrupted
//! between them.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion_common::Result;

use crate::aggregate::{Form, for_each_row, rows_of};
use crate::arguments::{doubles, number, primitive, wrong_arity};
use crate::groups::{Groups, check_groups, list_field};
use crate::lifetime::customer::{coerce_customer, customer_columns, is_record, not_negative};
use crate::lifetime::model::{Fit, Kind, fitted};
use crate::lifetime::tuples::{COLUMNS, Tuple, Tuples};
use crate::lists::{Listed, lists};

/// Bytes that a fit takes for each distinct customer: with its weight, and as the likelihood sees it.
const FIT_BYTES: usize = 2 * size_of::<([f64; 3], f64)>() + 2 * size_of::<[f64; 3]>();

/// A model that can be fitted.
pub(super) trait Fitting: Debug + Send + Sync + 'static {
    /// The kind of model.
    const KIND: Kind;
    /// SQL name of the aggregate.
    const FUNCTION: &'static str;
    /// The numbers of a customer, as arguments and as fields of a summary.
    const COLUMNS: &'static [&'static str];

    /// Refuses what cannot be a customer; `None` if this one says nothing about the parameters.
    fn accept(values: &[f64]) -> Result<Option<[f64; 3]>>;
    /// Fits customers with their weights, sorted; an error if they cannot be together, or if it is interrupted.
    fn fit(customers: Vec<([f64; 3], f64)>) -> Result<Fit>;
}

/// Coerced types of the arguments of a fit.
pub(super) fn coerce_fit<F: Fitting>(types: &[DataType]) -> Result<Vec<DataType>> {
    let (names, function) = (F::COLUMNS, F::FUNCTION);
    if let [summary] = types {
        return coerce_customer(function, names, std::slice::from_ref(summary));
    }
    if types.len() != names.len() && types.len() != names.len() + 1 {
        let listed = names.join(", ");
        let forms =
            format!("{function}(summary), {function}({listed}) or {function}({listed}, weight)");
        return wrong_arity(function, &forms, types.len());
    }
    let mut coerced = coerce_customer(function, names, &types[..names.len()])?;
    if let Some(weight) = types.get(names.len()) {
        coerced.push(number(function, "weight", weight)?);
    }
    Ok(coerced)
}

/// The form of a fit for coerced types.
pub(super) fn fit_form<F: Fitting>(types: &[DataType]) -> Box<dyn Form> {
    let summary = types.first().is_some_and(is_record);
    let weighted = !summary && types.len() > F::COLUMNS.len();
    Box::new(FitGroups::<F>::new(weighted))
}

/// The customers of each group.
#[derive(Debug)]
struct FitGroups<F> {
    weighted: bool,
    groups: usize,
    customers: Tuples,
    fitting: PhantomData<F>,
}

impl<F: Fitting> FitGroups<F> {
    fn new(weighted: bool) -> Self {
        Self {
            weighted,
            groups: 0,
            customers: Tuples::default(),
            fitting: PhantomData,
        }
    }
}

impl<F: Fitting> Groups for FitGroups<F> {
    fn empty(&self) -> Result<Self> {
        Ok(Self::new(self.weighted))
    }

    fn fields(&self) -> Vec<Field> {
        let numbers = ["first", "second", "third", "weight"];
        let mut fields = numbers
            .map(|name| list_field(name, DataType::Float64))
            .to_vec();
        fields.push(list_field("count", DataType::Int64));
        fields
    }

    fn len(&self) -> usize {
        self.groups
    }

    fn grow(&mut self, groups: usize) -> Result<()> {
        check_groups(F::FUNCTION, groups)?;
        self.groups = self.groups.max(groups);
        Ok(())
    }

    fn update(
        &mut self,
        arguments: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let numbers = arguments.len() - usize::from(self.weighted);
        let mut columns = customer_columns(F::COLUMNS, &arguments[..numbers])?;
        if self.weighted {
            columns.extend(customer_columns(&["weight"], &arguments[numbers..])?);
        }
        let as_arrays: Vec<ArrayRef> = columns
            .iter()
            .map(|column| Arc::new(column.clone()) as ArrayRef)
            .collect();
        let required: Vec<usize> = (0..as_arrays.len()).collect();
        let selection = crate::aggregate::selection(&as_arrays, &required, filter);
        let mut values = vec![0.0; columns.len()];
        for_each_row(selection.as_ref(), rows_of(arguments), |row| {
            for (value, column) in values.iter_mut().zip(&columns) {
                *value = column.value(row);
            }
            let weight = match values.get(F::COLUMNS.len()) {
                Some(weight) => not_negative(F::FUNCTION, "weight", *weight)?,
                None => 1.0,
            };
            if let Some([first, second, third]) = F::accept(&values)?
                && weight > 0.0
            {
                let numbers = [first, second, third, weight];
                self.customers.add(group_of(row), numbers, 1);
            }
            Ok(())
        })?;
        self.customers.settle(F::FUNCTION)
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let listed = Listed::new(F::FUNCTION, states)?;
        let number = |place: usize| doubles(&listed.items[place]);
        let numbers = [number(0)?, number(1)?, number(2)?, number(3)?];
        let counts = primitive::<Int64Type>(&listed.items[4])?;
        for row in 0..rows_of(states) {
            let group = group_of(row);
            for item in listed.of(row) {
                let numbers = numbers.map(|column| column.value(item));
                self.customers.add(group, numbers, counts.value(item));
            }
            self.customers.settle(F::FUNCTION)?;
        }
        Ok(())
    }

    fn finish(&self, emitted: usize) -> Result<ArrayRef> {
        let sorted = self.customers.sorted(emitted);
        let mut customers = sorted.customers();
        let fit = |bounds: &[usize]| {
            let length = bounds[1] - bounds[0];
            F::fit(weighed(length, customers.by_ref().take(length)))
        };
        let fits: Result<Vec<_>> = sorted.offsets.windows(2).map(fit).collect();
        fitted(F::KIND, &fits?)
    }

    fn write(&self, emitted: usize) -> Result<Vec<ArrayRef>> {
        let sorted = self.customers.sorted(emitted);
        let length = sorted.offsets[emitted];
        let mut numbers = [(); COLUMNS].map(|()| Vec::with_capacity(length));
        let mut counts = Vec::with_capacity(length);
        for (customer, count) in sorted.customers() {
            for (column, number) in numbers.iter_mut().zip(customer) {
                column.push(number);
            }
            counts.push(count);
        }
        let numbers = numbers.map(|column| Arc::new(Float64Array::from(column)) as ArrayRef);
        let mut items = numbers.to_vec();
        items.push(Arc::new(Int64Array::from(counts)));
        lists(F::FUNCTION, &sorted.offsets, items)
    }

    fn discard(&mut self, emitted: usize) -> Result<()> {
        self.groups = self.groups.saturating_sub(emitted);
        self.customers.discard(emitted);
        Ok(())
    }

    fn heap_size(&self) -> usize {
        // What the fit of all groups will need is asked for before it is needed.
        self.customers.heap_size() + self.customers.len() * FIT_BYTES
    }
}

/// Customers with their weights; those that differ in weight only become one.
fn weighed(length: usize, sorted: impl Iterator<Item = Tuple>) -> Vec<([f64; 3], f64)> {
    let mut customers: Vec<([f64; 3], f64)> = Vec::with_capacity(length);
    for ([first, second, third, weight], count) in sorted {
        let (customer, weight) = ([first, second, third], weight * count as f64);
        match customers.last_mut() {
            Some((last, sum)) if *last == customer => *sum += weight,
            _ => customers.push((customer, weight)),
        }
    }
    customers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_customers_become_one_with_their_weights() {
        let customer = |weight: f64| [1.0, 2.0, 3.0, weight];
        let one = weighed(2, [(customer(0.5), 4), (customer(3.0), 2)].into_iter());
        assert_eq!(one, [([1.0, 2.0, 3.0], 8.0)]);
    }
}
