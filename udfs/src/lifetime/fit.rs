//! Fitting a model to the customers of a group: an aggregate whose state is the distinct customers
//! with how often they occur, which makes merging exact. They are sorted before anything is added
//! up, so that the result does not depend on how the rows were split.
//!
//! A fit runs when its group is complete, in a bounded number of steps, and can be interrupted
//! between them.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::mem::take;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use datafusion_common::cast::as_list_array;
use datafusion_common::{HashMap, Result};
use datafusion_expr::{Accumulator, GroupsAccumulator};

use crate::aggregate::{Form, for_each_row, rows_of};
use crate::arguments::{number, primitive, wrong_arity};
use crate::distinct::lists;
use crate::groups::{Grouped, Groups, Single, check_groups, list_field, offsets_of};
use crate::lifetime::customer::{coerce_customer, customer_columns, is_record, not_negative};
use crate::lifetime::model::{Fit, Kind, fitted};

/// Bits of the numbers that tell customers apart, the last one the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key([u64; 4]);

impl Key {
    fn numbers(self) -> [f64; 4] {
        self.0.map(f64::from_bits)
    }
}

impl Hash for Key {
    /// Word by word, which is quicker than the bytes of an array.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        for word in self.0 {
            state.write_u64(word);
        }
    }
}

/// Bytes that a fit takes for each distinct customer: sorted, with group and without, as numbers, and
/// as the likelihood sees them.
const FIT_BYTES: usize = size_of::<(u32, Key, i64)>()
    + size_of::<(Key, i64)>()
    + 2 * size_of::<([f64; 3], f64)>()
    + 2 * size_of::<[f64; 3]>();

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
    fn fit(customers: &[([f64; 3], f64)]) -> Result<Fit>;
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
    Box::new(FitForm::<F> {
        weighted: !summary && types.len() > F::COLUMNS.len(),
        fitting: PhantomData,
    })
}

struct FitForm<F> {
    weighted: bool,
    fitting: PhantomData<F>,
}

impl<F: Fitting> FitForm<F> {
    fn groups_of(&self) -> FitGroups<F> {
        FitGroups {
            weighted: self.weighted,
            groups: 0,
            counts: HashMap::default(),
            fitting: PhantomData,
        }
    }
}

impl<F: Fitting> Form for FitForm<F> {
    fn state_fields(&self) -> Vec<Field> {
        let numbers = ["first", "second", "third", "weight"];
        let mut fields = numbers
            .map(|name| list_field(name, DataType::Float64))
            .to_vec();
        fields.push(list_field("count", DataType::Int64));
        fields
    }

    fn accumulator(self: Box<Self>) -> Box<dyn Accumulator> {
        Box::new(Single(self.groups_of()))
    }

    fn sliding(self: Box<Self>) -> Option<Box<dyn Accumulator>> {
        None
    }

    fn groups(self: Box<Self>) -> Box<dyn GroupsAccumulator> {
        Box::new(Grouped(self.groups_of()))
    }
}

/// How often each customer occurs in each group.
#[derive(Debug)]
struct FitGroups<F> {
    weighted: bool,
    groups: usize,
    counts: HashMap<(u32, Key), i64>,
    fitting: PhantomData<F>,
}

impl<F: Fitting> FitGroups<F> {
    /// The customers of the first groups, sorted, with where each group's start and all end.
    fn sorted(&self, emitted: usize) -> (Vec<usize>, Vec<(Key, i64)>) {
        let entries = self.counts.iter();
        let mut entries: Vec<_> = entries
            .filter(|((group, _), _)| (*group as usize) < emitted)
            .map(|((group, key), count)| (*group, *key, *count))
            .collect();
        // No number is negative, so that their bits sort as they do.
        entries.sort_unstable();
        let groups = entries.iter().map(|(group, ..)| *group as usize);
        let offsets = offsets_of(emitted, groups);
        let sorted = entries.into_iter().map(|(_, key, count)| (key, count));
        (offsets, sorted.collect())
    }
}

impl<F: Fitting> Groups for FitGroups<F> {
    fn empty(&self) -> Result<Self> {
        let form = FitForm::<F> {
            weighted: self.weighted,
            fitting: PhantomData,
        };
        Ok(form.groups_of())
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
                let key = Key([first, second, third, weight].map(f64::to_bits));
                *self.counts.entry((group_of(row) as u32, key)).or_default() += 1;
            }
            Ok(())
        })
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let listed = states
            .iter()
            .map(|list| as_list_array(list))
            .collect::<Result<Vec<_>>>()?;
        let number = |place: usize| primitive::<Float64Type>(listed[place].values());
        let numbers = [number(0)?, number(1)?, number(2)?, number(3)?];
        let counts = primitive::<Int64Type>(listed[4].values())?;
        for row in 0..rows_of(states) {
            let group = group_of(row) as u32;
            let offsets = listed[0].value_offsets();
            for item in offsets[row] as usize..offsets[row + 1] as usize {
                let key = Key(numbers.map(|column| column.value(item).to_bits()));
                *self.counts.entry((group, key)).or_default() += counts.value(item);
            }
        }
        Ok(())
    }

    fn finish(&self, emitted: usize) -> Result<ArrayRef> {
        let (offsets, sorted) = self.sorted(emitted);
        let fit = |bounds: &[usize]| F::fit(&weighed(&sorted[bounds[0]..bounds[1]]));
        let fits: Result<Vec<_>> = offsets.windows(2).map(fit).collect();
        fitted(F::KIND, &fits?)
    }

    fn write(&self, emitted: usize) -> Result<Vec<ArrayRef>> {
        let groups = self.counts.keys().map(|(group, _)| *group as usize);
        let offsets = offsets_of(emitted, groups);
        let mut next = offsets.clone();
        let mut numbers = [(); 4].map(|()| vec![0.0; offsets[emitted]]);
        let mut counts = vec![0; offsets[emitted]];
        for ((group, key), count) in &self.counts {
            let Some(place) = next[..emitted].get_mut(*group as usize) else {
                continue;
            };
            for (column, number) in numbers.iter_mut().zip(key.numbers()) {
                column[*place] = number;
            }
            counts[*place] = *count;
            *place += 1;
        }
        let numbers = numbers.map(|column| Arc::new(Float64Array::from(column)) as ArrayRef);
        let mut items = numbers.to_vec();
        items.push(Arc::new(Int64Array::from(counts)));
        lists(F::FUNCTION, &offsets, items)
    }

    fn discard(&mut self, emitted: usize) -> Result<()> {
        self.groups = self.groups.saturating_sub(emitted);
        let emitted = emitted as u32;
        // A new table, because draining in place would keep the size of the largest moment.
        self.counts = take(&mut self.counts)
            .into_iter()
            .filter_map(|((group, key), count)| {
                let group = group.checked_sub(emitted)?;
                Some(((group, key), count))
            })
            .collect();
        Ok(())
    }

    fn heap_size(&self) -> usize {
        // What the fit of all groups will need is asked for before it is needed.
        self.counts.allocation_size() + self.counts.len() * FIT_BYTES
    }
}

/// Customers with their weights; those that differ in weight only become one.
fn weighed(sorted: &[(Key, i64)]) -> Vec<([f64; 3], f64)> {
    let mut customers: Vec<([f64; 3], f64)> = Vec::with_capacity(sorted.len());
    for (key, count) in sorted {
        let [first, second, third, weight] = key.numbers();
        let (customer, weight) = ([first, second, third], weight * *count as f64);
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
        let key = |weight: f64| Key([1.0, 2.0, 3.0, weight].map(f64::to_bits));
        let one = weighed(&[(key(0.5), 4), (key(3.0), 2)]);
        assert_eq!(one, [([1.0, 2.0, 3.0], 8.0)]);
    }
}
