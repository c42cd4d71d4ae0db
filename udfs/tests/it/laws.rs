//! Laws that hold for every registered aggregate in every documented form.
//!
//! Nothing is listed here: forms are read from the documented syntax, and each argument's values
//! are found by its name in [`values`], for all kinds of types it accepts.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, IntervalMonthDayNanoArray, RecordBatch, StringArray, StringViewArray, StructArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array, new_null_array,
};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, IntervalMonthDayNanoType, Schema};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Accumulator, AggregateUDF, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, proptest};

use crate::session::{Cell, alike, as_cells, cells, numbers, session};

/// How many kinds of types the forms are tried with.
const KINDS: usize = 3;
/// Groups that random rows fall into.
pub(crate) const GROUPS: usize = 5;

/// A random row, from which every argument takes its value.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) a: Option<u8>,
    pub(crate) b: Option<u8>,
    pub(crate) c: Option<u8>,
    pub(crate) group: usize,
    pub(crate) filter: Option<bool>,
}

pub(crate) fn random_rows() -> impl Strategy<Value = Vec<Row>> {
    let number = || weighted(0.9, any::<u8>());
    let row = (
        number(),
        number(),
        number(),
        0..GROUPS,
        weighted(0.9, any::<bool>()),
    );
    vec(
        row.prop_map(|(a, b, c, group, filter)| Row {
            a,
            b,
            c,
            group,
            filter,
        }),
        0..60,
    )
}

/// The values of an argument for the given rows. `None` if the name is unknown.
#[expect(clippy::too_many_lines, reason = "one arm for each argument")]
fn values(argument: &str, kind: usize, rows: &[Row]) -> Option<ArrayRef> {
    let all = |day: i32| dates(kind, rows.iter().map(|_| Some(day)));
    Some(match argument {
        "score" => numbers_of(
            kind,
            rows.iter().map(|row| row.a.map(|a| i64::from(a % 11))),
        ),
        // The score of functions whose scale begins with 1.
        "score from 1" | "satisfaction" => numbers_of(
            kind,
            rows.iter().map(|row| row.a.map(|a| i64::from(a % 5) + 1)),
        ),
        "recommend" | "repurchase" | "cross_buy" | "importance" | "mrr_start" | "mrr_end" => {
            let shift = argument.len() as u8;
            let number = |row: &Row| {
                row.b
                    .map(|b| i64::from(b.rotate_left(u32::from(shift)) % 11))
            };
            numbers_of(kind, rows.iter().map(number))
        }
        "satisfied_min" => numbers_of(kind, rows.iter().map(|_| Some(4))),
        "scale_min" => numbers_of(kind, rows.iter().map(|_| Some(0))),
        "scale_max" => numbers_of(kind, rows.iter().map(|_| Some(10))),
        "attribute" => keys(1, rows.iter().map(|row| row.c.map(|c| c % 5))),
        "kind" => Arc::new(StringArray::from(vec!["net"; rows.len()])),
        "period of a cohort" => numbers_of(kind, cohort(rows).into_iter()),
        "survivors" => {
            let left = |age: Option<i64>| age.map(|age| 9_000 / (age + 1));
            numbers_of(kind, cohort(rows).into_iter().map(left))
        }
        "period" => Arc::new(StringArray::from(vec!["week"; rows.len()])),
        "mode" => Arc::new(StringArray::from(vec!["strict_order"; rows.len()])),
        "cond1" | "cond2" | "cond3" => {
            let number = u32::from(argument.as_bytes()[4]);
            let met = |row: &Row| row.a.map(|a| u32::from(a) % 4 == number % 4);
            Arc::new(rows.iter().map(met).collect::<BooleanArray>())
        }
        "detractor_max" => numbers_of(kind, rows.iter().map(|_| Some(6))),
        "promoter_min" => numbers_of(kind, rows.iter().map(|_| Some(9))),
        "confidence" => Arc::new(Float64Array::from(vec![0.9; rows.len()])),
        "weight" | "y" | "value" => numbers_of(
            kind,
            rows.iter().map(|row| row.b.map(|b| i64::from(b % 37))),
        ),
        "is_after" | "treated" => Arc::new(
            rows.iter()
                .map(|row| row.c.map(|c| c % 3 == 0))
                .collect::<BooleanArray>(),
        ),
        "x" if kind == 0 => dates(
            kind,
            rows.iter().map(|row| row.c.map(|c| i32::from(c) % 60)),
        ),
        "x" => numbers_of(
            kind,
            rows.iter().map(|row| row.c.map(|c| i64::from(c) % 60)),
        ),
        "margin" => Arc::new(Float64Array::from(vec![0.3; rows.len()])),
        "amount" => amounts(
            kind,
            rows.iter().map(|row| row.a.map(|a| i64::from(a) * 7 - 500)),
        ),
        "customer_id" => keys(kind, rows.iter().map(|row| row.b.map(|b| b % 6))),
        "order_id" | "order_key" => keys(kind + 1, rows.iter().map(|row| row.c.map(|c| c % 7))),
        "duration" => numbers_of(
            kind,
            rows.iter().map(|row| row.b.map(|b| i64::from(b % 20))),
        ),
        "horizon" => Arc::new(Int64Array::from(vec![12; rows.len()])),
        "discount" => Arc::new(Float64Array::from(vec![0.002; rows.len()])),
        "churned" | "retained" | "success" | "satisfied" => Arc::new(
            rows.iter()
                .map(|row| row.a.map(|a| a % 3 == 0))
                .collect::<BooleanArray>(),
        ),
        "start" => dates(
            kind,
            rows.iter().map(|row| row.c.map(|c| i32::from(c) % 60)),
        ),
        "end" => {
            let end = |row: &Row| {
                let length = row.a.filter(|a| a % 4 > 0).map(|a| i32::from(a) % 50);
                length.map(|length| i32::from(row.c.unwrap_or_default()) % 60 + length)
            };
            dates(kind + 1, rows.iter().map(end))
        }
        "event_time" | "last_activity" | "ts" => dates(
            kind + 1,
            rows.iter().map(|row| row.c.map(|c| i32::from(c) % 70)),
        ),
        "ordered_at" => dates(
            kind + 1,
            rows.iter().map(|row| row.b.map(|b| i32::from(b) % 100)),
        ),
        "unit" => Arc::new(StringArray::from(vec!["week"; rows.len()])),
        "frequency" => numbers_of(kind, rows.iter().map(|row| row.a.map(frequency))),
        "recency" => numbers_of(kind, rows.iter().map(|row| row.b.map(|_| recency(row)))),
        "t" => numbers_of(kind, rows.iter().map(|row| row.c.map(|_| observed(row)))),
        "monetary" => amounts(kind, rows.iter().map(|row| row.b.map(|b| i64::from(b) * 9))),
        "summary" => {
            let part = |name: &str| -> (Arc<Field>, ArrayRef) {
                let column = values(name, kind, rows).unwrap();
                let field = Field::new(name, column.data_type().clone(), true);
                (Arc::new(field), column)
            };
            let parts = ["frequency", "recency", "t", "monetary"].map(part);
            if rows.is_empty() {
                let fields: Vec<_> = parts.into_iter().map(|(field, _)| field).collect();
                return Some(new_null_array(&DataType::Struct(fields.into()), 0));
            }
            Arc::new(StructArray::from(parts.to_vec()))
        }
        "base_start" => all(10),
        "period_start" => all(30),
        "period_end" => all(50),
        "as_of" => all(80),
        "inactivity" | "window" => {
            let month = IntervalMonthDayNanoType::make_value(1, 5, 0);
            Arc::new(IntervalMonthDayNanoArray::from(vec![month; rows.len()]))
        }
        _ => return None,
    })
}

/// Periods of cohorts: 0, 1, 2 and so on in the rows of group 0 that the filter selects, so that all
/// rows together are one cohort as well; of each group if there are more of them.
fn cohort(rows: &[Row]) -> Vec<Option<i64>> {
    let is_filtered = rows.iter().any(|row| row.filter.is_some());
    let many = rows.iter().any(|row| row.group >= GROUPS);
    let mut next = HashMap::new();
    let period = |row: &Row| {
        let counted = !is_filtered || row.filter == Some(true);
        let counted = counted && (many || row.group == 0);
        counted.then(|| {
            let next = next.entry(row.group).or_insert(-1);
            *next += 1;
            *next
        })
    };
    rows.iter().map(period).collect()
}

/// Repeat purchases of a row's customer.
fn frequency(a: u8) -> i64 {
    i64::from(a % 5)
}

/// Time until the last of them.
fn recency(row: &Row) -> i64 {
    let came_back = row.a.is_some_and(|a| frequency(a) > 0);
    i64::from(came_back) * i64::from(row.b.unwrap_or_default() % 30)
}

/// Time until the end of observation.
fn observed(row: &Row) -> i64 {
    recency(row) + i64::from(row.c.unwrap_or_default() % 40)
}

fn numbers_of(kind: usize, values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    match kind % KINDS {
        0 => Arc::new(values.collect::<Int64Array>()),
        1 => Arc::new(
            values
                .map(|v| v.map(|v| v as f64))
                .collect::<Float64Array>(),
        ),
        _ => {
            let tenths = values.map(|v| v.map(|v| i128::from(v) * 10));
            let tenths = tenths.collect::<Decimal128Array>();
            Arc::new(tenths.with_precision_and_scale(5, 1).unwrap())
        }
    }
}

fn amounts(kind: usize, cents: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    match kind % KINDS {
        0 => Arc::new(
            cents
                .map(|v| v.map(|v| v as f64 / 100.0))
                .collect::<Float64Array>(),
        ),
        1 => {
            let cents = cents
                .map(|v| v.map(i128::from))
                .collect::<Decimal128Array>();
            Arc::new(cents.with_precision_and_scale(10, 2).unwrap())
        }
        _ => Arc::new(cents.collect::<Int64Array>()),
    }
}

fn keys(kind: usize, values: impl Iterator<Item = Option<u8>>) -> ArrayRef {
    match kind % (KINDS + 1) {
        0 => Arc::new(values.map(|v| v.map(i32::from)).collect::<Int32Array>()),
        1 => Arc::new(
            values
                .map(|v| v.map(|v| format!("customer {v}")))
                .collect::<StringArray>(),
        ),
        2 => Arc::new(
            values
                .map(|v| v.map(i128::from))
                .collect::<Decimal128Array>(),
        ),
        _ => Arc::new(values.map(|v| v.map(u64::from)).collect::<UInt64Array>()),
    }
}

fn dates(kind: usize, days: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    let scaled = |unit: i64| move |day: Option<i32>| day.map(|day| i64::from(day) * 86_400 * unit);
    match kind % KINDS {
        0 => Arc::new(days.collect::<Date32Array>()),
        1 => Arc::new(
            days.map(scaled(1_000_000))
                .collect::<TimestampMicrosecondArray>(),
        ),
        _ => Arc::new(
            days.map(scaled(1_000_000_000))
                .collect::<TimestampNanosecondArray>(),
        ),
    }
}

/// One form of one aggregate with one kind of argument types.
#[derive(Clone)]
pub(crate) struct Form {
    pub(crate) udaf: Arc<AggregateUDF>,
    pub(crate) arguments: Vec<String>,
    pub(crate) kind: usize,
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}({}) of kind {}",
            self.udaf.name(),
            self.arguments.join(", "),
            self.kind
        )
    }
}

/// The forms that random rows are tried with: fits take their time, and get fewer rows to fit.
pub(crate) fn forms_for(rows: &[Row]) -> Vec<Form> {
    const FITS_EVERY: usize = 8;
    let mut forms = forms();
    if !rows.len().is_multiple_of(FITS_EVERY) {
        forms.retain(|form| !form.fits());
    }
    forms
}

pub(crate) fn forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for udaf in datafusion_functions_loyalty::all_aggregate_functions() {
        let documentation = udaf.documentation().unwrap().clone();
        let syntaxes = [documentation.syntax_example].into_iter();
        let syntaxes = syntaxes.chain(documentation.alternative_syntax.unwrap_or_default());
        // A fit takes its time: one kind per form.
        let name = udaf.name().to_owned();
        for (place, syntax) in syntaxes.enumerate() {
            let inner = syntax.split_once('(').unwrap().1.trim_end_matches(')');
            let arguments: Vec<_> = inner.split(", ").map(str::to_owned).collect();
            let fits = fits(&name, &arguments);
            for kind in (0..KINDS).filter(|kind| !fits || *kind == place % KINDS) {
                let (udaf, arguments) = (Arc::clone(&udaf), arguments.clone());
                forms.push(Form {
                    udaf,
                    arguments,
                    kind,
                });
            }
        }
    }
    forms
}

/// Whether a form searches for parameters.
fn fits(function: &str, arguments: &[String]) -> bool {
    function.ends_with("_fit") || function == "clv" && arguments.len() > 3
}

impl Form {
    pub(crate) fn fits(&self) -> bool {
        fits(self.udaf.name(), &self.arguments)
    }

    /// A call over a table that has its arguments as columns.
    pub(crate) fn call(&self) -> String {
        let quoted = self.arguments.iter().map(|name| format!("\"{name}\""));
        let quoted: Vec<_> = quoted.collect();
        format!("{}({})", self.udaf.name(), quoted.join(", "))
    }

    /// Arguments as they come from a table, before coercion.
    fn raw(&self, rows: &[Row]) -> Vec<ArrayRef> {
        let value = |name: &String| {
            let from_one = ["csat", "ces"].contains(&self.udaf.name()) && name == "score";
            // Elsewhere t is a customer's, here it is the group's.
            let of_group = self.udaf.name() == "survival_at" && name == "t";
            // What a fit spends is not negative.
            let name = match name.as_str() {
                _ if of_group => "horizon",
                _ if from_one => "score from 1",
                "amount" if self.fits() => "monetary",
                "period" if self.fits() => "period of a cohort",
                name => name,
            };
            values(name, self.kind, rows)
                .unwrap_or_else(|| panic!("laws.rs has no values for the argument {name}"))
        };
        self.arguments.iter().map(value).collect()
    }

    /// Arguments as accumulators see them.
    pub(crate) fn columns(&self, rows: &[Row]) -> Vec<ArrayRef> {
        let raw = self.raw(rows);
        let types: Vec<_> = raw
            .iter()
            .map(|column| column.data_type().clone())
            .collect();
        let coerced = self.udaf.coerce_types(&types).unwrap();
        raw.iter()
            .zip(&coerced)
            .map(|(raw, to)| compute::cast(raw, to).unwrap())
            .collect()
    }

    pub(crate) fn expression(&self) -> AggregateFunctionExpr {
        let columns = self.columns(&[]);
        let field = |(name, column): (&String, &ArrayRef)| {
            Field::new(name, column.data_type().clone(), true)
        };
        let fields: Vec<_> = self.arguments.iter().zip(&columns).map(field).collect();
        let column = |(index, name): (usize, &String)| {
            Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>
        };
        let arguments = self.arguments.iter().enumerate().map(column).collect();
        AggregateExprBuilder::new(Arc::clone(&self.udaf), arguments)
            .schema(Arc::new(Schema::new(fields)))
            .alias("law")
            .build()
            .unwrap()
    }
}

/// A fresh row accumulator after these columns.
pub(crate) fn accumulated(
    expression: &AggregateFunctionExpr,
    columns: &[ArrayRef],
) -> Box<dyn Accumulator> {
    let mut accumulator = expression.create_accumulator().unwrap();
    accumulator.update_batch(columns).unwrap();
    accumulator
}

/// States as the columns that another accumulator merges.
fn as_columns(state: Vec<ScalarValue>) -> Vec<ArrayRef> {
    state
        .iter()
        .map(|value| value.to_array().unwrap())
        .collect()
}

pub(crate) fn as_cell(value: &ScalarValue) -> Cell {
    as_cells(&value.to_array().unwrap()).remove(0)
}

pub(crate) fn slice(columns: &[ArrayRef], start: usize, end: usize) -> Vec<ArrayRef> {
    columns
        .iter()
        .map(|column| column.slice(start, end - start))
        .collect()
}

fn select(columns: &[ArrayRef], keep: &BooleanArray) -> Vec<ArrayRef> {
    columns
        .iter()
        .map(|column| compute::filter(column, keep).unwrap())
        .collect()
}

/// What the row accumulator says of each group.
pub(crate) fn ungrouped(form: &Form, rows: &[Row], filtered: bool) -> Vec<Cell> {
    let (expression, columns) = (form.expression(), form.columns(rows));
    let of_group = |group| {
        let keep = |row: &Row| row.group == group && (!filtered || row.filter == Some(true));
        let keep: BooleanArray = rows.iter().map(|row| Some(keep(row))).collect();
        let mut accumulator = accumulated(&expression, &select(&columns, &keep));
        as_cell(&accumulator.evaluate().unwrap())
    };
    (0..GROUPS).map(of_group).collect()
}

pub(crate) fn groups_of(rows: &[Row]) -> Vec<usize> {
    rows.iter().map(|row| row.group).collect()
}

pub(crate) fn filter_of(rows: &[Row]) -> BooleanArray {
    rows.iter().map(|row| row.filter).collect()
}

fn grouped(form: &Form) -> Box<dyn GroupsAccumulator> {
    form.expression().create_groups_accumulator().unwrap()
}

pub(crate) fn same(left: &[Cell], right: &[Cell]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(left, right)| alike(left, right))
}

/// The types of state columns are those declared.
fn assert_state_types(form: &Form, state: &[ArrayRef]) {
    let declared = form.expression().state_fields().unwrap();
    let declared: Vec<_> = declared
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    let given: Vec<_> = state
        .iter()
        .map(|column| column.data_type().clone())
        .collect();
    assert_eq!(given, declared, "state of {form}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn splitting_and_merging_in_any_order_equals_one_pass(rows in random_rows(), at in 0.0..1.0) {
        for form in forms_for(&rows) {
            let (expression, columns) = (form.expression(), form.columns(&rows));
            let middle = (rows.len() as f64 * at) as usize;
            let whole = accumulated(&expression, &columns).evaluate().unwrap();
            let parts = [slice(&columns, 0, middle), slice(&columns, middle, rows.len())];
            for order in [[0, 1], [1, 0]] {
                let mut merged = expression.create_accumulator().unwrap();
                for part in order {
                    let state = as_columns(accumulated(&expression, &parts[part]).state().unwrap());
                    assert_state_types(&form, &state);
                    merged.merge_batch(&state).unwrap();
                }
                let merged = merged.evaluate().unwrap();
                prop_assert!(merged.data_type() == *expression.field().data_type(), "{form}");
                prop_assert!(
                    alike(&as_cell(&merged), &as_cell(&whole)),
                    "{form}: {merged} instead of {whole}"
                );
            }
        }
    }

    #[test]
    fn a_state_survives_a_round_trip(rows in random_rows()) {
        for form in forms_for(&rows) {
            let (expression, columns) = (form.expression(), form.columns(&rows));
            let mut first = accumulated(&expression, &columns);
            let mut second = expression.create_accumulator().unwrap();
            second.merge_batch(&as_columns(first.state().unwrap())).unwrap();
            let mut third = expression.create_accumulator().unwrap();
            third.merge_batch(&as_columns(second.state().unwrap())).unwrap();
            let (first, third) = (first.evaluate().unwrap(), third.evaluate().unwrap());
            prop_assert!(alike(&as_cell(&first), &as_cell(&third)), "{form}: {first} {third}");
        }
    }

    #[test]
    fn grouped_equals_ungrouped_per_group(rows in random_rows(), filtered: bool) {
        let (groups, filter) = (groups_of(&rows), filter_of(&rows));
        let filter = filtered.then_some(&filter);
        for form in forms_for(&rows) {
            let (columns, expected) = (form.columns(&rows), ungrouped(&form, &rows, filtered));
            let mut direct = grouped(&form);
            direct.update_batch(&columns, &groups, filter, GROUPS).unwrap();
            let direct = direct.evaluate(EmitTo::All).unwrap();
            prop_assert!(direct.data_type() == form.expression().field().data_type(), "{form}");
            prop_assert!(same(&as_cells(&direct), &expected), "{form}: {direct:?} {expected:?}");

            let converted = grouped(&form).convert_to_state(&columns, filter).unwrap();
            assert_state_types(&form, &converted);
            let mut merged = grouped(&form);
            merged.merge_batch(&converted, &groups, GROUPS).unwrap();
            let merged = as_cells(&merged.evaluate(EmitTo::All).unwrap());
            prop_assert!(same(&merged, &expected), "{form} converted: {merged:?} {expected:?}");
        }
    }

    #[test]
    fn emitting_the_first_groups_keeps_the_others(rows in random_rows(), first in 0..=GROUPS) {
        let (groups, middle) = (groups_of(&rows), rows.len() / 2);
        for form in forms_for(&rows) {
            let (columns, expected) = (form.columns(&rows), ungrouped(&form, &rows, false));
            let mut partial = grouped(&form);
            partial.update_batch(&columns, &groups, None, GROUPS).unwrap();
            let front = partial.state(EmitTo::First(first)).unwrap();
            assert_state_types(&form, &front);
            let back = partial.state(EmitTo::All).unwrap();
            assert_state_types(&form, &back);
            let mut merged = grouped(&form);
            merged.merge_batch(&back, &(first..GROUPS).collect::<Vec<_>>(), GROUPS).unwrap();
            merged.merge_batch(&front, &(0..first).collect::<Vec<_>>(), GROUPS).unwrap();
            let merged = as_cells(&merged.evaluate(EmitTo::All).unwrap());
            prop_assert!(same(&merged, &expected), "{form}: {merged:?} {expected:?}");

            // Results in two parts, with rows still arriving for the groups that stay.
            let mut results = grouped(&form);
            results.update_batch(&slice(&columns, 0, middle), &groups[..middle], None, GROUPS).unwrap();
            let late: Vec<_> = (middle..rows.len()).filter(|row| groups[*row] < first).collect();
            let early_ones: BooleanArray =
                (middle..rows.len()).map(|row| Some(late.contains(&row))).collect();
            let rest = slice(&columns, middle, rows.len());
            let of_front: Vec<_> = late.iter().map(|row| groups[*row]).collect();
            results.update_batch(&select(&rest, &early_ones), &of_front, None, GROUPS).unwrap();
            let mut got = as_cells(&results.evaluate(EmitTo::First(first)).unwrap());
            let of_back: Vec<_> =
                groups[middle..].iter().filter(|g| **g >= first).map(|g| g - first).collect();
            let others = compute::not(&early_ones).unwrap();
            results.update_batch(&select(&rest, &others), &of_back, None, GROUPS - first).unwrap();
            got.extend(as_cells(&results.evaluate(EmitTo::All).unwrap()));
            prop_assert!(same(&got, &expected), "{form} in parts: {got:?} {expected:?}");
        }
    }

    #[test]
    fn a_sliding_frame_equals_its_rows_taken_anew(rows in random_rows(), width in 1_usize..6) {
        for form in forms_for(&rows) {
            let (expression, columns) = (form.expression(), form.columns(&rows));
            let Ok(mut sliding) = expression.create_sliding_accumulator() else {
                continue;
            };
            assert!(sliding.supports_retract_batch(), "{form}");
            for end in 1..=rows.len() {
                sliding.update_batch(&slice(&columns, end - 1, end)).unwrap();
                if end > width {
                    let left = slice(&columns, end - width - 1, end - width);
                    sliding.retract_batch(&left).unwrap();
                }
                let frame = slice(&columns, end.saturating_sub(width), end);
                let anew = accumulated(&expression, &frame).evaluate().unwrap();
                let kept = sliding.evaluate().unwrap();
                prop_assert!(
                    alike(&as_cell(&kept), &as_cell(&anew)),
                    "{form} at {end}: {kept} instead of {anew}"
                );
            }
        }
    }
}

/// NULL, or a struct whose counts are 0 and whose other fields are NULL.
fn assert_says_nothing(value: &ScalarValue, what: &str) {
    match value {
        ScalarValue::Int32(Some(steps)) => {
            let funnel = what.starts_with("window_funnel");
            assert!(funnel && *steps == 0, "{what}: {steps}");
        }
        ScalarValue::Struct(fields) if !value.is_null() => {
            for (field, column) in fields.fields().iter().zip(fields.columns()) {
                let cell = as_cells(column);
                let expected = match field.data_type() {
                    DataType::Int64 | DataType::Boolean => Some(vec![Some(0.0)]),
                    DataType::Utf8View if field.name() == "model" => continue,
                    _ => None,
                };
                assert_eq!(cell, [expected], "{} of {what}", field.name());
            }
        }
        other => assert!(other.is_null(), "{what}: {other}"),
    }
}

#[test]
fn no_rows_and_all_null_give_null() {
    let row = Row {
        a: None,
        b: None,
        c: None,
        group: 0,
        filter: None,
    };
    for form in forms() {
        let expression = form.expression();
        let mut empty = accumulated(&expression, &form.columns(&[]));
        assert_says_nothing(&empty.evaluate().unwrap(), &format!("{form} of nothing"));
        if form.udaf.name() == "retention" {
            // A NULL condition is not met, but its row counts.
            continue;
        }
        let columns = form.columns(&[row.clone(), row.clone()]);
        let nulls: Vec<_> = columns
            .iter()
            .map(|c| new_null_array(c.data_type(), 2))
            .collect();
        let mut all_null = accumulated(&expression, &nulls);
        assert_says_nothing(&all_null.evaluate().unwrap(), &format!("{form} of NULL"));
        let untouched = as_columns(expression.create_accumulator().unwrap().state().unwrap());
        let after_null = as_columns(all_null.state().unwrap());
        assert_eq!(untouched, after_null, "{form}: NULL left a trace");
        let mut groups = grouped(&form);
        groups.update_batch(&nulls, &[0, 1], None, 3).unwrap();
        let groups = groups.evaluate(EmitTo::All).unwrap();
        assert_eq!(groups.len(), 3, "{form}");
        for group in 0..3 {
            let value = ScalarValue::try_from_array(&groups, group).unwrap();
            assert_says_nothing(&value, &format!("{form} grouped"));
        }
    }
}

/// A million distinct customers must not look free to the memory limit.
#[test]
fn size_follows_what_is_kept() {
    let many: Vec<_> = (0..4_000_u32)
        .map(|n| Row {
            a: Some((n % 250) as u8),
            b: Some((n % 240) as u8),
            c: Some((n / 16 % 250) as u8),
            group: n as usize,
            filter: None,
        })
        .collect();
    for form in forms() {
        let columns = form.columns(&many);
        let mut groups = grouped(&form);
        let before = groups.size();
        groups
            .update_batch(&columns, &groups_of(&many), None, many.len())
            .unwrap();
        let full = groups.size();
        assert!(
            full >= before + many.len() * 16,
            "{form}: {before} to {full}"
        );
        groups.evaluate(EmitTo::First(many.len() - 10)).unwrap();
        let left = groups.size();
        assert!(left <= full, "{form}: {full} to {left}");
    }
}

/// Sorted input emits groups batch by batch; the texts of groups that have gone must go too.
#[test]
fn text_keys_do_not_pile_up_while_groups_are_emitted() {
    for form in forms()
        .iter()
        .filter(|form| form.arguments.contains(&"customer_id".to_owned()))
    {
        let mut groups = grouped(form);
        let mut largest_early = 0;
        for round in 0..200_u32 {
            let seed: Vec<_> = (0..500_u32)
                .map(|n| Row {
                    a: Some((n % 250) as u8),
                    b: Some((n % 250) as u8),
                    c: Some((n % 70) as u8),
                    group: (n / 100) as usize,
                    filter: None,
                })
                .collect();
            let mut columns = form.columns(&seed);
            let text = |n: u32| format!("customer {} of round {round}", n % 250);
            for (column, name) in columns.iter_mut().zip(&form.arguments) {
                if name == "customer_id" && column.data_type() == &DataType::Utf8View {
                    *column = Arc::new(StringViewArray::from_iter_values((0..500).map(text)));
                }
            }
            groups
                .update_batch(&columns, &groups_of(&seed), None, GROUPS)
                .unwrap();
            let emitted = groups.evaluate(EmitTo::First(GROUPS - 1)).unwrap();
            assert_eq!(emitted.len(), GROUPS - 1, "{form}");
            // The last group stays as group 0 and takes part in the next round.
            if round < 20 {
                largest_early = largest_early.max(groups.size());
            }
        }
        let (late, early) = (groups.size(), largest_early);
        assert!(
            late <= 3 * early,
            "{form}: {early} bytes early, {late} later"
        );
    }
}

/// A table with every argument of a form as a column, in this many partitions.
pub(crate) fn register(context: &SessionContext, form: &Form, rows: &[Row], partitions: usize) {
    let mut columns = form.raw(rows);
    let mut fields: Vec<_> = form
        .arguments
        .iter()
        .zip(&columns)
        .map(|(name, column)| Field::new(name, column.data_type().clone(), true))
        .collect();
    let group = Int64Array::from_iter_values(rows.iter().map(|row| row.group as i64));
    columns.push(Arc::new(group));
    fields.push(Field::new("g", DataType::Int64, false));
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let length = rows.len().div_ceil(partitions).max(1);
    let part = |part: usize| {
        let start = (part * length).min(rows.len());
        vec![batch.slice(start, length.min(rows.len() - start))]
    };
    let table = MemTable::try_new(schema, (0..partitions).map(part).collect()).unwrap();
    context.deregister_table("t").unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
}

#[tokio::test]
async fn sql_gives_the_same_with_any_number_of_partitions() {
    let rows: Vec<_> = (0..300_u32)
        .map(|n| Row {
            a: (n % 17 != 0).then_some((n * 37 % 251) as u8),
            b: (n % 13 != 0).then_some((n * 11 % 241) as u8),
            c: (n % 19 != 0).then_some((n * 53 % 239) as u8),
            group: n as usize * 7 % GROUPS,
            filter: None,
        })
        .collect();
    let sessions = [1, 2, 16].map(|partitions| (partitions, session(partitions)));
    // Partial aggregation gives up at once, so that rows become states one by one.
    let skipping = session(16);
    for setting in [
        "skip_partial_aggregation_probe_ratio_threshold = 0.0",
        "skip_partial_aggregation_probe_rows_threshold = 1",
    ] {
        skipping
            .sql(&format!("SET datafusion.execution.{setting}"))
            .await
            .unwrap();
    }
    for form in forms() {
        let call = form.call();
        let by_group = ungrouped(&form, &rows, false);
        let expression = form.expression();
        let whole = accumulated(&expression, &form.columns(&rows))
            .evaluate()
            .unwrap();
        let whole = as_cell(&whole);
        for (partitions, context) in sessions.iter().chain([&(16, skipping.clone())]) {
            register(context, &form, &rows, *partitions);
            let got = cells(context, &format!("SELECT {call} FROM t")).await;
            assert!(
                same(&got, std::slice::from_ref(&whole)),
                "{form} over {partitions}: {got:?} {whole:?}"
            );
            let sql = format!("SELECT {call} FROM t GROUP BY g ORDER BY g");
            let got = cells(context, &sql).await;
            assert!(
                same(&got, &by_group),
                "{form} over {partitions}: {got:?} {by_group:?}"
            );
            let sql = format!("SELECT DISTINCT {call} OVER () FROM t");
            let got = cells(context, &sql).await;
            assert!(
                same(&got, std::slice::from_ref(&whole)),
                "{form} OVER (): {got:?} {whole:?}"
            );
            let sql = format!(
                "SELECT v FROM (SELECT DISTINCT g, {call} OVER (PARTITION BY g) AS v FROM t)
                 ORDER BY g"
            );
            let got = cells(context, &sql).await;
            assert!(
                same(&got, &by_group),
                "{form} OVER (PARTITION BY): {got:?} {by_group:?}"
            );
        }
    }
}

#[tokio::test]
async fn rolling_nps_over_three_rows() {
    let context = session(2);
    let sql = "SELECT nps(s) OVER (ORDER BY n ROWS 2 PRECEDING)
               FROM (VALUES (1, 10), (2, 0), (3, 10), (4, NULL), (5, 8)) t(n, s) ORDER BY n";
    let third = Some(100.0 / 3.0);
    let got = numbers(&context, sql).await;
    assert!(
        same_numbers(
            &got,
            &[Some(100.0), Some(0.0), third, Some(0.0), Some(50.0)]
        ),
        "{got:?}"
    );
}

/// A running total grows only, so that even distinct customers can be counted along.
#[tokio::test]
async fn running_purchase_frequency() {
    let context = session(2);
    let sql = "SELECT purchase_frequency(c) OVER (ORDER BY n)
               FROM (VALUES (1, 'a'), (2, 'a'), (3, 'b'), (4, NULL)) t(n, c) ORDER BY n";
    let got = numbers(&context, sql).await;
    assert!(
        same_numbers(&got, &[Some(1.0), Some(2.0), Some(1.5), Some(1.5)]),
        "{got:?}"
    );
}

fn same_numbers(got: &[Option<f64>], expected: &[Option<f64>]) -> bool {
    let cells = |numbers: &[Option<f64>]| -> Vec<Cell> {
        numbers
            .iter()
            .map(|number| number.map(|number| vec![Some(number)]))
            .collect()
    };
    same(&cells(got), &cells(expected))
}
