//! Variances and standard deviations: exact numerics of whole numbers and numerics, double precision of
//! floats, both as PostgreSQL computes them.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Float64Type,
};
use datafusion::common::cast::{as_binary_array, as_float64_array, as_int64_array, as_list_array};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use num_bigint::BigInt;

use super::frames::{Fold, Moving};
use super::moments::{Exact, Floats, Measure, PRECISION};
use super::shape;
use crate::error::Error;

/// Registers them in place of DataFusion's.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for (name, aliases, sample, root) in [
        ("var_samp", &["var", "var_sample"][..], true, false),
        ("var_pop", &["var_population"][..], false, false),
        ("stddev_samp", &["stddev"][..], true, true),
        ("stddev_pop", &[][..], false, true),
    ] {
        let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
        let measure = Measure { sample, root };
        state.register_udaf(Arc::new(AggregateUDF::new_from_impl(Deviation {
            name,
            aliases,
            measure,
            signature: Signature::user_defined(Volatility::Immutable),
        })))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Deviation {
    name: &'static str,
    aliases: Vec<String>,
    measure: Measure,
    signature: Signature,
}

impl AggregateUDFImpl for Deviation {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [of] = types else {
            return Err(no_function(self.name));
        };
        let of = match of {
            DataType::Dictionary(_, value) => value.as_ref(),
            of => of,
        };
        match of {
            DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Null => {
                Ok(vec![DataType::Float64])
            }
            of if of.is_string() => Ok(vec![DataType::Float64]),
            of if shape(of).is_some() => Ok(vec![of.clone()]),
            _ => Err(no_function(self.name)),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types.first().and_then(shape) {
            Some(_) => DataType::Decimal256(PRECISION, self.measure.scale()),
            None => DataType::Float64,
        })
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let input = Input::of(args.expr_fields[0].data_type());
        Ok(Box::new(One {
            seen: args.is_distinct.then(HashSet::new),
            moments: input.moments(),
            input,
            measure: self.measure,
        }))
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        let measure = self.measure;
        if shape(args.expr_fields[0].data_type()).is_some() {
            return self.accumulator(args);
        }
        let gives = DataType::Float64;
        Ok(match (measure.sample, measure.root) {
            (true, true) => Box::new(Moving::<Of<true, true>>::new(gives)),
            (true, false) => Box::new(Moving::<Of<true, false>>::new(gives)),
            (false, true) => Box::new(Moving::<Of<false, true>>::new(gives)),
            (false, false) => Box::new(Moving::<Of<false, false>>::new(gives)),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name: &str, of: DataType| -> FieldRef {
            Arc::new(Field::new(format_state_name(args.name, name), of, true))
        };
        if args.is_distinct {
            return Ok(vec![field(
                "values",
                DataType::new_list(DataType::Binary, true),
            )]);
        }
        let of = match shape(args.input_fields[0].data_type()) {
            Some(_) => DataType::Binary,
            None => DataType::Float64,
        };
        Ok(vec![
            field("count", DataType::Int64),
            field("sum", of.clone()),
            field("squares", of),
        ])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups {
            moments: Vec::new(),
            input: Input::of(args.expr_fields[0].data_type()),
            measure: self.measure,
        }))
    }
}

fn no_function(name: &str) -> datafusion::error::DataFusionError {
    Error::undefined_function(format!("function {name} of these types does not exist")).into()
}

/// How the values of a type are read.
#[derive(Debug, Clone, Copy)]
enum Input {
    Float,
    /// Digits behind the point.
    Exact(i8),
}

impl Input {
    fn of(data_type: &DataType) -> Self {
        shape(data_type).map_or(Self::Float, |(_, scale)| Self::Exact(scale.max(0)))
    }

    fn moments(self) -> Moments {
        match self {
            Self::Float => Moments::Float(Floats::default()),
            Self::Exact(_) => Moments::Exact(Box::default()),
        }
    }

    fn read(self, values: &[ArrayRef]) -> Result<Read> {
        let values = values
            .first()
            .ok_or_else(|| Error::internal("a deviation of nothing"))?;
        Ok(match self {
            Self::Float => Read::Floats(cast(values, &DataType::Float64)?),
            Self::Exact(scale) => match values.data_type() {
                DataType::Decimal256(..) => Read::Wide(Arc::clone(values)),
                _ => Read::Narrow(cast(values, &DataType::Decimal128(38, scale))?),
            },
        })
    }
}

/// The values of a batch.
enum Read {
    Floats(ArrayRef),
    Narrow(ArrayRef),
    Wide(ArrayRef),
}

enum Value {
    Float(f64),
    Narrow(i128),
    Wide(BigInt),
}

impl Value {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Float(value) => value.to_le_bytes().to_vec(),
            Self::Narrow(value) => BigInt::from(*value).to_signed_bytes_le(),
            Self::Wide(value) => value.to_signed_bytes_le(),
        }
    }
}

impl Read {
    fn len(&self) -> usize {
        match self {
            Self::Floats(values) | Self::Narrow(values) | Self::Wide(values) => values.len(),
        }
    }

    fn get(&self, row: usize) -> Option<Value> {
        match self {
            Self::Floats(values) | Self::Narrow(values) | Self::Wide(values)
                if values.is_null(row) =>
            {
                None
            }
            Self::Floats(values) => Some(Value::Float(
                values.as_primitive::<Float64Type>().value(row),
            )),
            Self::Narrow(values) => Some(Value::Narrow(
                values.as_primitive::<Decimal128Type>().value(row),
            )),
            Self::Wide(values) => {
                let value = values.as_primitive::<Decimal256Type>().value(row);
                Some(match value.to_i128() {
                    Some(value) => Value::Narrow(value),
                    None => Value::Wide(BigInt::from_signed_bytes_le(&value.to_le_bytes())),
                })
            }
        }
    }
}

/// What is known of the values so far.
#[derive(Debug, Clone)]
enum Moments {
    Float(Floats),
    Exact(Box<Exact>),
}

impl Moments {
    fn add(&mut self, value: &Value) {
        match (self, value) {
            (Self::Float(floats), Value::Float(value)) => floats.push(*value),
            (Self::Exact(exact), Value::Narrow(value)) => exact.add(*value, 1),
            (Self::Exact(exact), Value::Wide(value)) => exact.add_wide(value, 1),
            _ => {}
        }
    }

    fn take_away(&mut self, value: &Value) {
        match (self, value) {
            (Self::Exact(exact), Value::Narrow(value)) => exact.add(*value, -1),
            (Self::Exact(exact), Value::Wide(value)) => exact.add_wide(value, -1),
            _ => {}
        }
    }

    fn merge(&mut self, states: &[ArrayRef], row: usize) -> Result<()> {
        let [counts, sums, squares] = states else {
            return Err(Error::internal("the state of a deviation has three columns").into());
        };
        let count = as_int64_array(counts)?.value(row);
        match self {
            Self::Float(floats) => floats.join(&Floats {
                count: count as f64,
                sum: as_float64_array(sums)?.value(row),
                squares: as_float64_array(squares)?.value(row),
            }),
            Self::Exact(exact) => {
                let number = |column: &ArrayRef| -> Result<BigInt> {
                    Ok(BigInt::from_signed_bytes_le(
                        as_binary_array(column)?.value(row),
                    ))
                };
                exact.count += count;
                exact.sum.add_wide(&number(sums)?);
                exact.squares.add_wide(&number(squares)?);
            }
        }
        Ok(())
    }

    fn state(&self) -> Vec<ScalarValue> {
        match self {
            Self::Float(floats) => vec![
                ScalarValue::Int64(Some(floats.count as i64)),
                ScalarValue::Float64(Some(floats.sum)),
                ScalarValue::Float64(Some(floats.squares)),
            ],
            Self::Exact(exact) => vec![
                ScalarValue::Int64(Some(exact.count)),
                ScalarValue::Binary(Some(exact.sum.value().to_signed_bytes_le())),
                ScalarValue::Binary(Some(exact.squares.value().to_signed_bytes_le())),
            ],
        }
    }

    fn result(&self, measure: Measure, input: Input) -> Result<ScalarValue> {
        match (self, input) {
            (Self::Exact(exact), Input::Exact(scale)) => Ok(ScalarValue::Decimal256(
                exact.result(measure, scale)?,
                PRECISION,
                measure.scale(),
            )),
            (Self::Float(floats), _) => Ok(ScalarValue::Float64(floats.measure(measure))),
            _ => Err(Error::internal("exact moments of floats").into()),
        }
    }
}

/// A measure of floats.
#[derive(Debug, Clone, Copy, Default)]
struct Of<const SAMPLE: bool, const ROOT: bool>(Floats);

impl<const SAMPLE: bool, const ROOT: bool> Fold for Of<SAMPLE, ROOT> {
    fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    fn join(&mut self, later: &Self) {
        self.0.join(&later.0);
    }

    fn result(&self) -> Option<f64> {
        self.0.measure(Measure {
            sample: SAMPLE,
            root: ROOT,
        })
    }
}

/// Of all rows.
#[derive(Debug)]
struct One {
    moments: Moments,
    /// The values so far, where each counts once.
    seen: Option<HashSet<Vec<u8>>>,
    input: Input,
    measure: Measure,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.input.read(values)?;
        for value in (0..values.len()).filter_map(|row| values.get(row)) {
            let is_new = match &mut self.seen {
                Some(seen) => seen.insert(value.bytes()),
                None => true,
            };
            if is_new {
                self.moments.add(&value);
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.input.read(values)?;
        for value in (0..values.len()).filter_map(|row| values.get(row)) {
            self.moments.take_away(&value);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        matches!(self.input, Input::Exact(_)) && self.seen.is_none()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.moments.result(self.measure, self.input)
    }

    fn size(&self) -> usize {
        let seen = self.seen.as_ref().map_or(0, HashSet::capacity);
        size_of::<Self>() + size_of::<Exact>() + seen * (size_of::<Vec<u8>>() + 16)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let Some(seen) = &self.seen else {
            return Ok(self.moments.state());
        };
        let values: Vec<ScalarValue> = seen
            .iter()
            .map(|bytes| ScalarValue::Binary(Some(bytes.clone())))
            .collect();
        let list = ScalarValue::new_list_nullable(&values, &DataType::Binary);
        Ok(vec![ScalarValue::List(list)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, Array::len);
        if self.seen.is_none() {
            return (0..rows).try_for_each(|row| self.moments.merge(states, row));
        }
        for list in states.iter().take(1) {
            for values in as_list_array(list)?.iter().flatten() {
                for bytes in as_binary_array(&values)?.iter().flatten() {
                    self.merge_distinct(bytes);
                }
            }
        }
        Ok(())
    }
}

impl One {
    fn merge_distinct(&mut self, bytes: &[u8]) {
        let is_new = self
            .seen
            .as_mut()
            .is_some_and(|seen| seen.insert(bytes.to_vec()));
        if !is_new {
            return;
        }
        match (self.input, <[u8; 8]>::try_from(bytes)) {
            (Input::Float, Ok(bytes)) => {
                self.moments.add(&Value::Float(f64::from_le_bytes(bytes)));
            }
            (Input::Float, Err(_)) => {}
            (Input::Exact(_), _) => {
                let value = BigInt::from_signed_bytes_le(bytes);
                self.moments.add(&Value::Wide(value));
            }
        }
    }
}

/// Of each group.
#[derive(Debug)]
struct Groups {
    moments: Vec<Moments>,
    input: Input,
    measure: Measure,
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Result<()> {
        self.moments.resize(total_groups, self.input.moments());
        let values = self.input.read(values)?;
        for (row, group) in groups.iter().enumerate() {
            let chosen = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let Some(value) = values.get(row).filter(|_| chosen) {
                self.moments[*group].add(&value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (measure, input) = (self.measure, self.input);
        let results = emit_to
            .take_needed(&mut self.moments)
            .into_iter()
            .map(|moments| moments.result(measure, input))
            .collect::<Result<Vec<_>>>()?;
        match results.is_empty() {
            true => Ok(input
                .moments()
                .result(measure, input)?
                .to_array_of_size(0)?),
            false => ScalarValue::iter_to_array(results),
        }
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        states(self.input, &emit_to.take_needed(&mut self.moments))
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let values = self.input.read(values)?;
        let rows: Vec<Moments> = (0..values.len())
            .map(|row| {
                let mut moments = self.input.moments();
                let chosen = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
                if let Some(value) = values.get(row).filter(|_| chosen) {
                    moments.add(&value);
                }
                moments
            })
            .collect();
        states(self.input, &rows)
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        groups: &[usize],
        total_groups: usize,
    ) -> Result<()> {
        self.moments.resize(total_groups, self.input.moments());
        for (row, group) in groups.iter().enumerate() {
            self.moments[*group].merge(states, row)?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.moments.capacity() * (size_of::<Moments>() + size_of::<Exact>())
    }
}

fn states(input: Input, groups: &[Moments]) -> Result<Vec<ArrayRef>> {
    let groups: Vec<Vec<ScalarValue>> = groups.iter().map(Moments::state).collect();
    let empty = input.moments().state();
    empty
        .into_iter()
        .enumerate()
        .map(|(column, none)| match groups.is_empty() {
            true => none.to_array_of_size(0),
            false => ScalarValue::iter_to_array(groups.iter().map(|state| state[column].clone())),
        })
        .collect()
}
