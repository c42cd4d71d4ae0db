//! `clv` as expected future value: the group's orders are summed up per customer as of its last
//! day, BG/NBD and Gamma-Gamma are fitted to the customers, and what each of them is expected to
//! bring is averaged. Customers are sorted before anything is added up, so that the result does not
//! depend on how the rows were split.

use std::fmt::Debug;
use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, UInt8Array,
};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, UInt8Type};
use datafusion_common::cast::{as_date32_array, as_string_view_array};
use datafusion_common::{HashMap, Result, exec_datafusion_err};

use crate::aggregate::{Form, for_each_row, rows_of, selection};
use crate::arguments::{
    Held, doubles, finite, hold, hold_other, invalid_call, number, primitive, text, times,
    varying_argument, whole_number,
};
use crate::constants::{ConstantId, Constants};
use crate::groups::{Groups, list_field, offsets_of};
use crate::interrupt::check_interrupt;
use crate::keys::{Keys, key_type};
use crate::lifetime::clv_summary::Unit;
use crate::lifetime::customer::Customer;
use crate::lifetime::fit::Fitting;
use crate::lifetime::fits::{FitBgnbd, FitGammaGamma};
use crate::lifetime::gamma_gamma::GammaGamma;
use crate::lifetime::model::{Forecast, Kind, PurchaseModel};
use crate::lifetime::orders::{Order, Orders, history};
use crate::lifetime::prediction::{discount_rate, periods};
use crate::lists::{Listed, lists};

const FUNCTION: &str = "clv";

/// Coerced types of `clv(customer_id, ordered_at, amount, horizon, unit [, discount [, margin]])`.
pub(crate) fn coerce_clv_future(types: &[DataType]) -> Result<Vec<DataType>> {
    let mut coerced = vec![key_type(FUNCTION, "customer_id", &types[0])?];
    coerced.extend(times(FUNCTION, &[("ordered_at", &types[1])])?);
    coerced.push(number(FUNCTION, "amount", &types[2])?);
    coerced.push(whole_number(FUNCTION, "horizon", &types[3])?);
    coerced.push(text(FUNCTION, "unit", &types[4])?);
    for (name, given) in ["discount", "margin"].iter().zip(&types[5..]) {
        coerced.push(number(FUNCTION, name, given)?);
    }
    Ok(coerced)
}

/// The form for those types.
pub(crate) fn clv_future_form(types: &[DataType]) -> Result<Box<dyn Form>> {
    Ok(Box::new(FutureGroups::new(&types[0], types.len())?))
}

/// The constant arguments of a group; doubles as their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Settings {
    horizon: u32,
    unit: Unit,
    discount: u64,
    margin: u64,
}

/// Orders of the customers of each group.
#[derive(Debug)]
struct FutureGroups {
    keys: Keys,
    arguments: usize,
    settings: Constants<Settings>,
    groups: Vec<Option<ConstantId>>,
    /// The number of a customer of a group, which is the position in `listed`.
    members: HashMap<(u32, u64), u32>,
    listed: Vec<(u32, u64)>,
    orders: Orders,
}

impl FutureGroups {
    fn new(customer_type: &DataType, arguments: usize) -> Result<Self> {
        Ok(Self {
            keys: Keys::new(FUNCTION, "customer_id", customer_type)?,
            arguments,
            settings: Constants::default(),
            groups: Vec::new(),
            members: HashMap::default(),
            listed: Vec::new(),
            orders: Orders::default(),
        })
    }

    fn member(&mut self, group: usize, customer: u64) -> Result<u32> {
        // `grow` has checked that groups fit.
        let key = (group as u32, customer);
        if let Some(member) = self.members.get(&key) {
            return Ok(*member);
        }
        let member = small(self.listed.len())?;
        self.members.insert(key, member);
        self.listed.push(key);
        Ok(member)
    }

    /// The members of some groups, by group, with where each group's start and all end.
    fn by_group(&self, groups: &Range<usize>) -> (Vec<usize>, Vec<usize>) {
        let wanted = |(group, _): &(u32, u64)| groups.contains(&(*group as usize));
        let mut members: Vec<_> = (0..self.listed.len())
            .filter(|member| wanted(&self.listed[*member]))
            .collect();
        members.sort_by_key(|member| self.listed[*member].0);
        let places = members.iter();
        let places = places.map(|member| self.listed[*member].0 as usize - groups.start);
        (offsets_of(groups.len(), places), members)
    }

    fn write_range(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        let (starts, orders) = self.orders.by_member(self.listed.len());
        let (member_offsets, members) = self.by_group(&groups);
        let (mut customers, mut days, mut amounts) = (Vec::new(), Vec::new(), Vec::new());
        let mut offsets = vec![0; groups.len() + 1];
        for (group, bounds) in member_offsets.windows(2).enumerate() {
            for member in &members[bounds[0]..bounds[1]] {
                for order in &orders[starts[*member]..starts[member + 1]] {
                    customers.push(self.listed[*member].1);
                    days.push(order.day);
                    amounts.push(order.amount);
                }
            }
            offsets[group + 1] = customers.len();
        }
        let held = || {
            let held = self.groups[groups.clone()].iter();
            held.map(|id| id.map(|id| self.settings.get(id)))
        };
        let horizons = held().map(|held| held.map(|held| i64::from(held.horizon)));
        let units = held().map(|held| held.map(|held| held.unit as u8));
        let discounts = held().map(|held| held.map(|held| f64::from_bits(held.discount)));
        let margins = held().map(|held| held.map(|held| f64::from_bits(held.margin)));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(horizons.collect::<Int64Array>()),
            Arc::new(units.collect::<UInt8Array>()),
            Arc::new(discounts.collect::<Float64Array>()),
            Arc::new(margins.collect::<Float64Array>()),
        ];
        let items: Vec<ArrayRef> = vec![
            self.keys.values(&customers)?,
            Arc::new(Int32Array::from(days)),
            Arc::new(Float64Array::from(amounts)),
        ];
        columns.extend(lists(FUNCTION, &offsets, items)?);
        Ok(columns)
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.groups = Vec::new();
        self.members = HashMap::default();
        self.listed = Vec::new();
        self.orders = Orders::default();
    }
}

impl Groups for FutureGroups {
    fn empty(&self) -> Result<Self> {
        Self::new(self.keys.data_type(), self.arguments)
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("horizon", DataType::Int64, true),
            Field::new("unit", DataType::UInt8, true),
            Field::new("discount", DataType::Float64, true),
            Field::new("margin", DataType::Float64, true),
            list_field("customer_id", self.keys.data_type().clone()),
            list_field("day", DataType::Int32),
            list_field("amount", DataType::Float64),
        ]
    }

    fn len(&self) -> usize {
        self.groups.len()
    }

    fn grow(&mut self, groups: usize) -> Result<()> {
        small(groups)?;
        if self.groups.len() < groups {
            self.groups.resize(groups, None);
        }
        Ok(())
    }

    fn update(
        &mut self,
        arguments: &[ArrayRef],
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        const REQUIRED: [usize; 7] = [0, 1, 2, 3, 4, 5, 6];
        let selection = selection(arguments, &REQUIRED[..self.arguments], filter);
        let mut customers = Vec::new();
        self.keys
            .read(&arguments[0], selection.as_ref(), &mut customers)?;
        let days = compute::cast(&arguments[1], &DataType::Date32)?;
        let (days, amounts) = (as_date32_array(&days)?, doubles(&arguments[2])?);
        let horizons = primitive::<Int64Type>(&arguments[3])?;
        let units = as_string_view_array(&arguments[4])?;
        let discounts = arguments.get(5).map(doubles).transpose()?;
        let margins = arguments.get(6).map(doubles).transpose()?;
        let mut last = None;
        for_each_row(selection.as_ref(), rows_of(arguments), |row| {
            let discount = discounts.map_or(0.0, |discounts| discounts.value(row)) + 0.0;
            let margin = margins.map_or(1.0, |margins| margins.value(row)) + 0.0;
            let given = (
                horizons.value(row),
                units.value(row),
                discount.to_bits(),
                margin.to_bits(),
            );
            let id = match last {
                Some((same, id)) if same == given => id,
                _ => self.settings.id(Settings {
                    horizon: periods(FUNCTION, given.0)?,
                    unit: Unit::named(FUNCTION, given.1)?,
                    discount: discount_rate(FUNCTION, discount)?.to_bits(),
                    margin: finite(FUNCTION, "margin", margin)?.to_bits(),
                })?,
            };
            last = Some((given, id));
            let group = group_of(row);
            if hold(&mut self.groups[group], id) == Held::Differs {
                return Err(varying_argument(FUNCTION, CONSTANTS));
            }
            let amount = finite(FUNCTION, "amount", amounts.value(row))?;
            let day = days.value(row);
            let member = self.member(group, customers[row])?;
            self.orders.push(member, Order { day, amount });
            Ok(())
        })
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let horizons = primitive::<Int64Type>(&states[0])?;
        let units = primitive::<UInt8Type>(&states[1])?;
        let (discounts, margins) = (doubles(&states[2])?, doubles(&states[3])?);
        let listed = Listed::new(FUNCTION, &states[4..])?;
        let mut customers = Vec::new();
        self.keys.read(&listed.items[0], None, &mut customers)?;
        let days = primitive::<Int32Type>(&listed.items[1])?;
        let amounts = doubles(&listed.items[2])?;
        for row in 0..rows_of(states) {
            let group = group_of(row);
            let unit = Unit::numbered(units.value(row));
            if let Some(unit) = unit.filter(|_| horizons.is_valid(row)) {
                let id = self.settings.id(Settings {
                    horizon: periods(FUNCTION, horizons.value(row))?,
                    unit,
                    discount: discounts.value(row).to_bits(),
                    margin: margins.value(row).to_bits(),
                })?;
                if !hold_other(&mut self.groups[group], Some(id)) {
                    return Err(varying_argument(FUNCTION, CONSTANTS));
                }
            }
            for item in listed.of(row) {
                let (day, amount) = (days.value(item), amounts.value(item));
                let member = self.member(group, customers[item])?;
                self.orders.push(member, Order { day, amount });
            }
        }
        Ok(())
    }

    fn finish(&self, emitted: usize) -> Result<ArrayRef> {
        let (starts, mut orders) = self.orders.by_member(self.listed.len());
        let (offsets, members) = self.by_group(&(0..emitted));
        let mut values = Vec::with_capacity(emitted);
        for (group, bounds) in offsets.windows(2).enumerate() {
            let members = &members[bounds[0]..bounds[1]];
            let settings = self.groups[group].map(|id| self.settings.get(id));
            let of_members = members
                .iter()
                .map(|member| starts[*member]..starts[member + 1]);
            let days = of_members.clone().flat_map(|range| &orders[range]);
            let as_of = days.map(|order| order.day).max();
            let (Some(settings), Some(as_of)) = (settings, as_of) else {
                values.push(None);
                continue;
            };
            let unit = settings.unit.days();
            let mut customers = Vec::with_capacity(members.len());
            for range in of_members {
                if let Some(history) = history(&mut orders[range], as_of) {
                    let spent = spend(history.monetary)?;
                    let x = history.frequency as f64;
                    customers.push([x, history.recency / unit, history.t / unit, spent]);
                }
            }
            values.push(value(&settings, customers)?);
        }
        Ok(Arc::new(Float64Array::from(values)))
    }

    fn write(&self, emitted: usize) -> Result<Vec<ArrayRef>> {
        self.write_range(0..emitted)
    }

    fn discard(&mut self, emitted: usize) -> Result<()> {
        let all = self.groups.len();
        let rest = self.write_range(emitted..all)?;
        self.clear();
        self.grow(all - emitted)?;
        self.merge(&rest, |row| row)
    }

    fn heap_size(&self) -> usize {
        self.keys.heap_size()
            + self.settings.heap_size()
            + self.groups.capacity() * size_of::<Option<ConstantId>>()
            + self.members.allocation_size()
            + self.listed.capacity() * size_of::<(u32, u64)>()
            + self.orders.heap_size()
    }
}

const CONSTANTS: &str = "horizon, unit, discount and margin";

/// Groups and customers are numbered in 32 bits.
fn small(count: usize) -> Result<u32> {
    u32::try_from(count)
        .map_err(|_| exec_datafusion_err!("{FUNCTION}(): more than {} customers", u32::MAX))
}

/// The mean spend of a customer's repeat purchases.
fn spend(mean: f64) -> Result<f64> {
    let mean = finite(FUNCTION, "the sum of amount", mean)?;
    if mean >= 0.0 {
        return Ok(mean + 0.0);
    }
    Err(invalid_call(
        FUNCTION,
        format!(
            "the repeat purchases of a customer are worth {mean} on average; filter refunds, or \
             subtract them from their orders"
        ),
    ))
}

/// Mean expected value of customers, given as purchases, recency, age and mean spend.
fn value(settings: &Settings, mut customers: Vec<[f64; 4]>) -> Result<Option<f64>> {
    // No number is negative, so that their bits sort as they do.
    customers.sort_unstable_by_key(|customer| customer.map(f64::to_bits));
    let purchases = distinct(customers.iter().map(|[x, t_x, t, _]| [*x, *t_x, *t]));
    let mut spends: Vec<_> = customers
        .iter()
        .filter(|[x, _, _, mean]| *x > 0.0 && *mean > 0.0)
        .map(|[x, _, _, mean]| [*x, *mean, 0.0])
        .collect();
    spends.sort_unstable_by_key(|spend| spend.map(f64::to_bits));
    let spends = distinct(spends.into_iter());
    let purchase_fit = FitBgnbd::fit(purchases)?.parameters;
    let spend_fit = FitGammaGamma::fit(spends)?.parameters;
    let (Some([r, alpha, a, b]), Some([p, q, v])) = (purchase_fit.as_deref(), spend_fit.as_deref())
    else {
        return Ok(None);
    };
    let model = PurchaseModel::new(Kind::Bgnbd, [*r, *alpha, *a, *b]);
    let spending = GammaGamma {
        p: *p,
        q: *q,
        v: *v,
    };
    let discount = f64::from_bits(settings.discount);
    let mut forecast = Forecast::default();
    let (mut last, mut expected, mut sum) = (None, 0.0, 0.0);
    for [x, t_x, t, mean] in &customers {
        let customer = Customer {
            x: *x,
            t_x: *t_x,
            t: *t,
        };
        if last != Some(customer) {
            check_interrupt()?;
            forecast.of(&model, &customer);
            expected = forecast.discounted(settings.horizon, discount);
            last = Some(customer);
        }
        let Some(spent) = spending.spend(*x, *mean) else {
            return Ok(None);
        };
        sum += expected * spent;
    }
    let value = f64::from_bits(settings.margin) * sum / customers.len() as f64;
    finite(FUNCTION, "the result", value).map(Some)
}

/// Sorted customers with how often each occurs.
fn distinct(sorted: impl Iterator<Item = [f64; 3]>) -> Vec<([f64; 3], f64)> {
    let mut counted: Vec<([f64; 3], f64)> = Vec::new();
    for customer in sorted {
        match counted.last_mut() {
            Some((last, count)) if *last == customer => *count += 1.0,
            _ => counted.push((customer, 1.0)),
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            horizon: 12,
            unit: Unit::Month,
            discount: 0.0_f64.to_bits(),
            margin: 1.0_f64.to_bits(),
        }
    }

    #[test]
    fn a_single_customer_has_no_value_and_is_no_error() {
        assert_eq!(
            value(&settings(), vec![[3.0, 2.0, 5.0, 10.0]]).unwrap(),
            None
        );
        assert_eq!(value(&settings(), Vec::new()).unwrap(), None);
    }

    #[test]
    fn refunds_are_not_spent() {
        assert!(spend(-1.0).is_err() && spend(f64::INFINITY).is_err());
        assert_eq!(spend(0.0).unwrap(), 0.0);
    }
}
