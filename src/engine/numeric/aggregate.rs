//! `sum` and `avg` with PostgreSQL's types: sums of bigint and averages of whole numbers are numeric.
//!
//! Both work on DataFusion's own `sum`, fed with values of the type the total needs.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator,
    ReversedUDAF, SetMonotonicity, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::divide::{divide, total};
use super::frames::{self, Moving};
use super::{quotient, shape};
use crate::error::Error;

/// Replaces DataFusion's `sum` and `avg`.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udaf(Arc::new(AggregateUDF::new_from_impl(Sum::new())))?;
    state.register_udaf(Arc::new(AggregateUDF::new_from_impl(Average::new())))?;
    Ok(())
}

/// The type in which values of this type are added up; none for types that are left to DataFusion.
fn total_type(of: &DataType) -> Option<DataType> {
    Some(match of {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            DataType::Int64
        }
        other => {
            let (precision, scale) = shape(other)?;
            total(precision, scale)
        }
    })
}

fn first(types: &[DataType]) -> &DataType {
    types.first().unwrap_or(&DataType::Null)
}

/// Texts and NULL beside no type are averaged and summed as DataFusion does.
fn coerced(inner: &AggregateUDF, types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Float32] => Ok(vec![DataType::Float32]),
        [DataType::Dictionary(_, value)] if total_type(value).is_some() => {
            Ok(vec![value.as_ref().clone()])
        }
        [of] if total_type(of).is_some() => Ok(types.to_vec()),
        _ => {
            let fields: Vec<FieldRef> = types
                .iter()
                .map(|of| Arc::new(Field::new("", of.clone(), true)))
                .collect();
            let fields = datafusion::logical_expr::type_coercion::functions::fields_with_udf(
                &fields, inner,
            )?;
            Ok(fields
                .iter()
                .map(|field| field.data_type().clone())
                .collect())
        }
    }
}

/// `sum`: bigint of the smaller integers, numeric of bigint and numeric, real of real.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl Sum {
    fn new() -> Self {
        Self {
            inner: sum_udaf(),
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

/// What the inner `sum` is fed with and gives.
fn inner_type(of: &DataType) -> DataType {
    match of {
        DataType::Float32 => DataType::Float64,
        other => total_type(other).unwrap_or_else(|| other.clone()),
    }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerced(&self.inner, types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match first(types) {
            DataType::Float32 => Ok(DataType::Float32),
            of => match total_type(of) {
                Some(total) => Ok(total),
                None => self.inner.return_type(types),
            },
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let inner = inner_sum(&args, |args| self.inner.accumulator(args))?;
        Ok(Box::new(Totals {
            inner,
            of: inner_type(args.expr_fields[0].data_type()),
            gives: args.return_type().clone(),
        }))
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        if inner_type(argument(&args)) == DataType::Float64 && !args.is_distinct {
            return Ok(Box::new(Moving::<frames::Sum>::new(
                args.return_type().clone(),
            )));
        }
        let inner = inner_sum(&args, |args| self.inner.create_sliding_accumulator(args))?;
        Ok(Box::new(Totals {
            inner,
            of: inner_type(args.expr_fields[0].data_type()),
            gives: args.return_type().clone(),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let of = inner_type(args.input_fields[0].data_type());
        self.inner.state_fields(StateFieldsArgs {
            return_field: Arc::new(Field::new(args.name, of, true)),
            ..args
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let inner = inner_sum(&args, |args| self.inner.create_groups_accumulator(args))?;
        Ok(Box::new(GroupTotals {
            inner,
            of: inner_type(args.expr_fields[0].data_type()),
            gives: args.return_type().clone(),
        }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn set_monotonicity(&self, _: &DataType) -> SetMonotonicity {
        SetMonotonicity::NotMonotonic
    }
}

/// Calls the inner `sum` with the type it is to add up in.
fn inner_sum<R>(
    args: &AccumulatorArgs<'_>,
    create: impl FnOnce(AccumulatorArgs<'_>) -> Result<R>,
) -> Result<R> {
    let of = inner_type(
        args.expr_fields
            .first()
            .map_or(&DataType::Null, |f| f.data_type()),
    );
    let field: FieldRef = Arc::new(Field::new(args.name, of, true));
    let fields = [Arc::clone(&field)];
    create(AccumulatorArgs {
        return_field: field,
        schema: args.schema,
        ignore_nulls: args.ignore_nulls,
        order_bys: args.order_bys,
        is_reversed: args.is_reversed,
        name: args.name,
        is_distinct: args.is_distinct,
        exprs: args.exprs,
        expr_fields: &fields,
    })
}

fn converted(values: &[ArrayRef], to: &DataType) -> Result<Vec<ArrayRef>> {
    values
        .iter()
        .map(|values| match values.data_type() == to {
            true => Ok(Arc::clone(values)),
            false => Ok(cast(values, to)?),
        })
        .collect()
}

/// 22003 for a total with more digits than its type has.
fn checked(totals: ArrayRef) -> Result<ArrayRef> {
    use datafusion::arrow::datatypes::{Decimal128Type, Decimal256Type};
    let checked = match totals.data_type() {
        DataType::Decimal128(precision, _) => totals
            .as_primitive::<Decimal128Type>()
            .validate_decimal_precision(*precision),
        DataType::Decimal256(precision, _) => totals
            .as_primitive::<Decimal256Type>()
            .validate_decimal_precision(*precision),
        _ => Ok(()),
    };
    checked.map_err(|_| super::divide::overflow())?;
    Ok(totals)
}

#[derive(Debug)]
struct Totals {
    inner: Box<dyn Accumulator>,
    of: DataType,
    gives: DataType,
}

impl Accumulator for Totals {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&converted(values, &self.of)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let total = self.inner.evaluate()?.to_array()?;
        let total = checked(total)?;
        ScalarValue::try_from_array(&cast(&total, &self.gives)?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&converted(values, &self.of)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

struct GroupTotals {
    inner: Box<dyn GroupsAccumulator>,
    of: DataType,
    gives: DataType,
}

impl GroupsAccumulator for GroupTotals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Result<()> {
        let values = converted(values, &self.of)?;
        self.inner
            .update_batch(&values, groups, filter, total_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let totals = checked(self.inner.evaluate(emit_to)?)?;
        Ok(cast(&totals, &self.gives)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        total_groups: usize,
    ) -> Result<()> {
        self.inner.merge_batch(values, groups, total_groups)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner
            .convert_to_state(&converted(values, &self.of)?, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

/// `avg`: numeric of whole numbers and numerics, double precision of floats.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Average {
    inner: Arc<AggregateUDF>,
    sum: Arc<AggregateUDF>,
    signature: Signature,
}

impl Average {
    fn new() -> Self {
        Self {
            inner: avg_udaf(),
            sum: sum_udaf(),
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    fn part(&self, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        inner_sum(args, |args| self.sum.accumulator(args))
    }
}

fn is_exact(of: &DataType) -> bool {
    total_type(of).is_some()
}

fn argument<'a>(args: &'a AccumulatorArgs<'_>) -> &'a DataType {
    args.expr_fields
        .first()
        .map_or(&DataType::Null, |field| field.data_type())
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &'static str {
        "avg"
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Float32] => Ok(vec![DataType::Float64]),
            _ => coerced(&self.inner, types),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let of = first(types);
        match total_type(of).as_ref().and_then(shape) {
            Some(total) => Ok(quotient(total, (1, 0))),
            None => self.inner.return_type(types),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if !is_exact(argument(&args)) {
            return self.inner.accumulator(args);
        }
        Ok(Box::new(Mean {
            inner: self.part(&args)?,
            of: inner_type(argument(&args)),
            gives: args.return_type().clone(),
            count: 0,
            distinct: args.is_distinct,
        }))
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        if *argument(&args) == DataType::Float64 && !args.is_distinct {
            return Ok(Box::new(Moving::<frames::Mean>::new(
                args.return_type().clone(),
            )));
        }
        if !is_exact(argument(&args)) {
            return self.inner.create_sliding_accumulator(args);
        }
        let inner = inner_sum(&args, |args| self.sum.create_sliding_accumulator(args))?;
        Ok(Box::new(Mean {
            inner,
            of: inner_type(argument(&args)),
            gives: args.return_type().clone(),
            count: 0,
            distinct: args.is_distinct,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let of = args.input_fields[0].data_type();
        if !is_exact(of) {
            return self.inner.state_fields(args);
        }
        let count = Field::new(format_state_name(args.name, "count"), DataType::Int64, true);
        let of = inner_type(of);
        let mut fields = self.sum.state_fields(StateFieldsArgs {
            return_field: Arc::new(Field::new(args.name, of, true)),
            ..args
        })?;
        fields.push(Arc::new(count));
        Ok(fields)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        match is_exact(argument(&args)) {
            true => !args.is_distinct,
            false => self.inner.groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        if !is_exact(argument(&args)) {
            return self.inner.create_groups_accumulator(args);
        }
        let inner = inner_sum(&args, |args| self.sum.create_groups_accumulator(args))?;
        Ok(Box::new(GroupMeans {
            inner,
            of: inner_type(argument(&args)),
            gives: args.return_type().clone(),
            counts: Vec::new(),
        }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Sum and count.
#[derive(Debug)]
struct Mean {
    inner: Box<dyn Accumulator>,
    of: DataType,
    gives: DataType,
    count: i64,
    /// The inner one keeps the values themselves; then its number counts.
    distinct: bool,
}

impl Accumulator for Mean {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count += present(values);
        self.inner.update_batch(&converted(values, &self.of)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let count = match self.distinct {
            true => distinct_values(&self.inner.state()?)?,
            false => self.count,
        };
        let total = self.inner.evaluate()?;
        if count == 0 || total.is_null() {
            return ScalarValue::try_from(&self.gives);
        }
        let total = checked(total.to_array()?)?;
        let count = Arc::new(Int64Array::from(vec![count])) as ArrayRef;
        ScalarValue::try_from_array(&divide(&total, &count, &self.gives)?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut state = self.inner.state()?;
        state.push(ScalarValue::Int64(Some(self.count)));
        Ok(state)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some((counts, sums)) = states.split_last() else {
            return Err(Error::internal("a state of avg has no count").into());
        };
        let counts = counts.as_primitive::<Int64Type>();
        self.count += counts.iter().flatten().sum::<i64>();
        self.inner.merge_batch(sums)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count -= present(values);
        self.inner.retract_batch(&converted(values, &self.of)?)
    }

    fn supports_retract_batch(&self) -> bool {
        !self.distinct && self.inner.supports_retract_batch()
    }
}

fn present(values: &[ArrayRef]) -> i64 {
    values
        .first()
        .map_or(0, |values| (values.len() - values.null_count()) as i64)
}

fn distinct_values(state: &[ScalarValue]) -> Result<i64> {
    match state.first() {
        Some(ScalarValue::List(values)) => Ok(values.values().len() as i64),
        _ => Err(Error::internal("a state of distinct values is no list").into()),
    }
}

struct GroupMeans {
    inner: Box<dyn GroupsAccumulator>,
    of: DataType,
    gives: DataType,
    counts: Vec<i64>,
}

impl GroupMeans {
    fn take_counts(&mut self, emit_to: EmitTo) -> Int64Array {
        Int64Array::from(emit_to.take_needed(&mut self.counts))
    }
}

impl GroupsAccumulator for GroupMeans {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Result<()> {
        self.counts.resize(total_groups, 0);
        let nulls = values.first().and_then(|values| values.nulls());
        for (row, group) in groups.iter().enumerate() {
            let present = nulls.is_none_or(|nulls| nulls.is_valid(row));
            let chosen = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            self.counts[*group] += i64::from(present && chosen);
        }
        let values = converted(values, &self.of)?;
        self.inner
            .update_batch(&values, groups, filter, total_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let totals = checked(self.inner.evaluate(emit_to)?)?;
        let counts = self.take_counts(emit_to);
        // A group without values has no total: its count must not divide by zero.
        let counts: Int64Array = counts
            .iter()
            .map(|count| count.filter(|count| *count > 0))
            .collect();
        if totals.is_empty() {
            return Ok(datafusion::arrow::array::new_empty_array(&self.gives));
        }
        divide(&totals, &(Arc::new(counts) as ArrayRef), &self.gives)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut state = self.inner.state(emit_to)?;
        state.push(Arc::new(self.take_counts(emit_to)));
        Ok(state)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        total_groups: usize,
    ) -> Result<()> {
        let Some((counts, sums)) = values.split_last() else {
            return Err(Error::internal("a state of avg has no count").into());
        };
        self.counts.resize(total_groups, 0);
        let counts = counts.as_primitive::<Int64Type>();
        for (count, group) in counts.iter().zip(groups) {
            self.counts[*group] += count.unwrap_or(0);
        }
        self.inner.merge_batch(sums, groups, total_groups)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, Array::len);
        let nulls = values.first().and_then(|values| values.nulls());
        let counts: Int64Array = (0..rows)
            .map(|row| {
                let present = nulls.is_none_or(|nulls| nulls.is_valid(row));
                let chosen = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
                Some(i64::from(present && chosen))
            })
            .collect();
        let mut state = self
            .inner
            .convert_to_state(&converted(values, &self.of)?, filter)?;
        state.push(Arc::new(counts));
        Ok(state)
    }

    fn size(&self) -> usize {
        self.inner.size() + self.counts.capacity() * size_of::<i64>()
    }
}
