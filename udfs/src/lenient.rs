//! The same functions with values that cannot be meant counted as NULL instead of refused.
//!
//! A batch with such a value is halved until the rows that cause the refusal are known; the rest goes
//! to the function as it is. Whether a row is refused must thus not depend on other rows, which the
//! laws check; what does depend on them is [`Refused::Call`] and stays an error.

use std::fmt::Debug;
use std::mem::size_of_val;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder, UInt32Array, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{Result, ScalarValue};
use datafusion_doc::Documentation;
use datafusion_expr::function::{
    AccumulatorArgs, AggregateFunctionSimplification, PartitionEvaluatorArgs, StateFieldsArgs,
    WindowUDFFieldArgs,
};
use datafusion_expr::registry::FunctionRegistry;
use datafusion_expr::utils::AggregateOrderSensitivity;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator,
    PartitionEvaluator, ReversedUDAF, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    WindowUDF, WindowUDFImpl,
};

use crate::aggregate::rows_of;
use crate::refusal::{Refusal, Refused};

/// Registers every function of this crate so that values that cannot be meant count as NULL.
///
/// # Errors
///
/// The registry's, when it does not take functions.
pub fn register_all_lenient(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in crate::all_aggregate_functions() {
        registry.register_udaf(lenient_aggregate(&function))?;
    }
    for function in crate::all_scalar_functions() {
        registry.register_udf(lenient_scalar(&function))?;
    }
    for function in crate::all_window_functions() {
        registry.register_udwf(lenient_window(&function))?;
    }
    Ok(())
}

/// An aggregate of this crate that passes over rows with values that cannot be meant.
pub fn lenient_aggregate(function: &Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    let inner = Arc::clone(function);
    Arc::new(AggregateUDF::from(LenientAggregate { inner }))
}

/// A scalar function of this crate that gives NULL for values that cannot be meant.
pub fn lenient_scalar(function: &Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let inner = Arc::clone(function);
    Arc::new(ScalarUDF::from(LenientScalar { inner }))
}

/// A window function of this crate that gives NULL for values that cannot be meant, and does not
/// count their rows.
pub fn lenient_window(function: &Arc<WindowUDF>) -> Arc<WindowUDF> {
    let inner = Arc::clone(function);
    Arc::new(WindowUDF::from(LenientWindow { inner }))
}

/// Which of `rows` rows `probe(offset, length)` accepts; `None` if all.
fn accepted(
    rows: usize,
    probe: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<Option<BooleanArray>> {
    let mut refused = Vec::new();
    // A stack of ranges, the next one on top.
    let mut open = vec![(0, rows)];
    while let Some((offset, length)) = open.pop() {
        match probe(offset, length) {
            Ok(()) => {}
            Err(error) => match Refusal::of(&error).map(Refusal::refused) {
                Some(Refused::Value) if length <= 1 => refused.push(offset),
                Some(Refused::Value) => {
                    let half = length / 2;
                    open.push((offset + half, length - half));
                    open.push((offset, half));
                }
                _ => return Err(error),
            },
        }
    }
    if refused.is_empty() {
        return Ok(None);
    }
    let mut mask = BooleanBufferBuilder::new(rows);
    mask.append_n(rows, true);
    for row in refused {
        mask.set_bit(row, false);
    }
    Ok(Some(BooleanArray::new(mask.finish(), None)))
}

/// The rows whose values `groups` accepts, each seen alone; `None` if all are.
fn accepted_by(
    groups: &dyn GroupsAccumulator,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<Option<BooleanArray>> {
    accepted(rows_of(values), &mut |offset, length| {
        let filter = filter.map(|filter| filter.slice(offset, length));
        let values = sliced(values, offset, length);
        groups.convert_to_state(&values, filter.as_ref()).map(drop)
    })
}

fn sliced(columns: &[ArrayRef], offset: usize, length: usize) -> Vec<ArrayRef> {
    let slice = |column: &ArrayRef| column.slice(offset, length);
    columns.iter().map(slice).collect()
}

fn filtered(columns: &[ArrayRef], mask: &BooleanArray) -> Result<Vec<ArrayRef>> {
    let filter = |column: &ArrayRef| Ok(compute::filter(column, mask)?);
    columns.iter().map(filter).collect()
}

/// Puts the results of the accepted rows back in their places, with NULL in the others.
fn scattered(results: &ArrayRef, mask: &BooleanArray) -> Result<ArrayRef> {
    if results.is_empty() {
        return Ok(new_null_array(results.data_type(), mask.len()));
    }
    let mut next = 0;
    let places = mask.values().iter().map(|accepted| {
        accepted.then(|| {
            next += 1;
            next - 1
        })
    });
    let places: UInt32Array = places.collect();
    Ok(compute::take(results, &places, None)?)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LenientAggregate {
    inner: Arc<AggregateUDF>,
}

impl LenientAggregate {
    fn over(
        &self,
        arguments: AccumulatorArgs<'_>,
        inner: Box<dyn Accumulator>,
    ) -> Result<Box<dyn Accumulator>> {
        let probe = Mutex::new(self.inner.create_groups_accumulator(arguments)?);
        Ok(Box::new(LenientAccumulator { inner, probe }))
    }
}

impl AggregateUDFImpl for LenientAggregate {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(fields)
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(arguments)
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let inner = self.inner.accumulator(arguments.clone())?;
        self.over(arguments, inner)
    }

    fn create_sliding_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        let inner = self.inner.create_sliding_accumulator(arguments.clone())?;
        self.over(arguments, inner)
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let inner = self.inner.create_groups_accumulator(arguments)?;
        Ok(Box::new(LenientGroups { inner }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.inner.simplify()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

struct LenientAccumulator {
    inner: Box<dyn Accumulator>,
    /// Holds nothing; it only says which rows are accepted. Accumulators are shared between threads,
    /// those of groups are not: hence the lock, which nothing waits for.
    probe: Mutex<Box<dyn GroupsAccumulator>>,
}

impl Debug for LenientAccumulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "LenientAccumulator({:?})", self.inner)
    }
}

impl LenientAccumulator {
    fn accepted(&mut self, values: &[ArrayRef]) -> Result<Option<Vec<ArrayRef>>> {
        let probe = self.probe.get_mut();
        let probe = probe.unwrap_or_else(PoisonError::into_inner);
        let mask = accepted_by(probe.as_ref(), values, None)?;
        mask.map(|mask| filtered(values, &mask)).transpose()
    }
}

impl Accumulator for LenientAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let accepted = self.accepted(values)?;
        self.inner
            .update_batch(accepted.as_deref().unwrap_or(values))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let accepted = self.accepted(values)?;
        self.inner
            .retract_batch(accepted.as_deref().unwrap_or(values))
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}

struct LenientGroups {
    inner: Box<dyn GroupsAccumulator>,
}

impl Debug for LenientGroups {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LenientGroups")
    }
}

impl LenientGroups {
    /// The filter that lets only accepted rows through; `None` if the given one does.
    fn filter(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Option<BooleanArray>> {
        let mask = accepted_by(self.inner.as_ref(), values, filter)?;
        match (mask, filter) {
            (Some(mask), Some(filter)) => Ok(Some(compute::and(filter, &mask)?)),
            (mask, _) => Ok(mask),
        }
    }
}

impl GroupsAccumulator for LenientGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let narrower = self.filter(values, opt_filter)?;
        let filter = narrower.as_ref().or(opt_filter);
        self.inner
            .update_batch(values, group_indices, filter, total_num_groups)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner
            .merge_batch(values, group_indices, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.inner.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let narrower = self.filter(values, opt_filter)?;
        let filter = narrower.as_ref().or(opt_filter);
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LenientScalar {
    inner: Arc<ScalarUDF>,
}

impl LenientScalar {
    fn invoke(
        &self,
        arguments: &ScalarFunctionArgs,
        columns: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<ArrayRef> {
        let call = ScalarFunctionArgs {
            args: columns.into_iter().map(ColumnarValue::Array).collect(),
            number_rows: rows,
            ..arguments.clone()
        };
        self.inner.invoke_with_args(call)?.into_array(rows)
    }
}

impl ScalarUDFImpl for LenientScalar {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let error = match self.inner.invoke_with_args(arguments.clone()) {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        if Refusal::of(&error).map(Refusal::refused) != Some(Refused::Value) {
            return Err(error);
        }
        let is_scalar = |argument: &ColumnarValue| matches!(argument, ColumnarValue::Scalar(_));
        if arguments.args.iter().all(is_scalar) {
            let null = ScalarValue::try_from(arguments.return_type())?;
            return Ok(ColumnarValue::Scalar(null));
        }
        let rows = arguments.number_rows;
        let columns = arguments.args.iter();
        let columns: Vec<ArrayRef> = columns
            .map(|argument| argument.to_array(rows))
            .collect::<Result<_>>()?;
        let mask = accepted(rows, &mut |offset, length| {
            self.invoke(&arguments, sliced(&columns, offset, length), length)
                .map(drop)
        })?;
        let Some(mask) = mask else {
            return Err(error);
        };
        let kept = filtered(&columns, &mask)?;
        let results = self.invoke(&arguments, kept, mask.true_count())?;
        Ok(ColumnarValue::Array(scattered(&results, &mask)?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LenientWindow {
    inner: Arc<WindowUDF>,
}

impl WindowUDFImpl for LenientWindow {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.field(arguments)
    }

    fn partition_evaluator(
        &self,
        arguments: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let inner = self.inner.partition_evaluator_factory(arguments)?;
        Ok(Box::new(LenientEvaluator { inner }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Over an evaluator that keeps nothing between calls, as all of this crate do.
#[derive(Debug)]
struct LenientEvaluator {
    inner: Box<dyn PartitionEvaluator>,
}

impl PartitionEvaluator for LenientEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let error = match self.inner.evaluate_all(values, num_rows) {
            Ok(results) => return Ok(results),
            Err(error) => error,
        };
        let mask = accepted(num_rows, &mut |offset, length| {
            let rows = sliced(values, offset, length);
            self.inner.evaluate_all(&rows, length).map(drop)
        })?;
        let Some(mask) = mask else {
            return Err(error);
        };
        let kept = filtered(values, &mask)?;
        let results = self.inner.evaluate_all(&kept, mask.true_count())?;
        scattered(&results, &mask)
    }
}
