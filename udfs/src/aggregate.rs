//! One way to write an aggregate: a definition (name, arguments, documentation) and, for each form
//! of its arguments, a metric whose state is a few numbers. The adapters here turn a metric into
//! DataFusion's row accumulator, sliding accumulator and grouped accumulator.
//!
//! Metrics that must remember distinct customers use [`crate::distinct`] instead of [`Metric`].

use std::fmt::Debug;
use std::hash::Hash;
use std::mem::{size_of, size_of_val};
use std::slice;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::FilterBuilder;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, not_impl_err, plan_err};
use datafusion_doc::Documentation;
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::function::{
    AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs,
};
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, ReversedUDAF, Signature,
    Volatility,
};

/// What one SQL aggregate is, apart from its arithmetic.
pub(crate) trait Definition:
    Debug + Default + PartialEq + Eq + Hash + Send + Sync + 'static
{
    /// SQL name.
    const NAME: &'static str;
    /// Names for `name => value`; empty where the overloads disagree about a position.
    const PARAMETERS: &'static [&'static str];

    /// The types the arguments are cast to, or an error that says what to write instead.
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>>;

    /// Result type for coerced argument types.
    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    /// The form that coerced argument types select.
    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>>;

    /// What `FUNCTIONS.md` and `information_schema.routines` show.
    fn documentation(&self) -> Option<&Documentation>;
}

/// One overload of an aggregate: its state and its accumulators.
pub(crate) trait Form {
    /// Fields of the partial state, in the order of the accumulators' state.
    fn state_fields(&self) -> Vec<Field>;
    /// For a query without GROUP BY, and for frames that only grow.
    fn accumulator(self: Box<Self>) -> Box<dyn Accumulator>;
    /// For frames that rows also leave; `None` if the form cannot forget a row.
    fn sliding(self: Box<Self>) -> Option<Box<dyn Accumulator>>;
    /// For GROUP BY.
    fn groups(self: Box<Self>) -> Box<dyn GroupsAccumulator>;
}

/// Makes DataFusion's aggregate out of a [`Definition`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Aggregate<D> {
    definition: D,
    signature: Signature,
}

impl<D: Definition> Default for Aggregate<D> {
    fn default() -> Self {
        Self {
            definition: D::default(),
            signature: signature(D::PARAMETERS),
        }
    }
}

/// A signature that leaves types and arity to `coerce_types`, with names where there are some.
pub(crate) fn signature(parameters: &[&str]) -> Signature {
    let plain = Signature::user_defined(Volatility::Immutable);
    if parameters.is_empty() {
        return plain;
    }
    // Names can only be refused for being repeated; without them the function still works.
    plain
        .clone()
        .with_parameter_names(parameters.to_vec())
        .unwrap_or(plain)
}

impl<D: Definition> Aggregate<D> {
    fn form_of(&self, arguments: &AccumulatorArgs<'_>) -> Result<Box<dyn Form>> {
        if arguments.is_distinct {
            return refuse_distinct(D::NAME);
        }
        self.definition.form(&types_of(arguments.expr_fields))
    }
}

impl<D: Definition> AggregateUDFImpl for Aggregate<D> {
    fn name(&self) -> &str {
        D::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.definition.coerce(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.definition.return_type(types)
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let form = self.definition.form(&types_of(arguments.input_fields))?;
        let named = |field: Field| {
            let name = format_state_name(arguments.name, field.name());
            Arc::new(field.with_name(name))
        };
        Ok(form.state_fields().into_iter().map(named).collect())
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(self.form_of(&arguments)?.accumulator())
    }

    fn create_sliding_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        match self.form_of(&arguments)?.sliding() {
            Some(accumulator) => Ok(accumulator),
            None => not_impl_err!(
                "{}(): a frame whose start moves is not supported, because rows of \
                 customers cannot be forgotten one by one; start the frame at UNBOUNDED PRECEDING or use \
                 GROUP BY",
                D::NAME
            ),
        }
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
        !arguments.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(self.form_of(&arguments)?.groups())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    /// Rewrites nothing. It is the only hook that sees DISTINCT before the optimizer turns
    /// `f(DISTINCT x)` into a GROUP BY and the word is lost.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|call: AggregateFunction, _: &SimplifyContext| {
            if call.params.distinct {
                return refuse_distinct(D::NAME);
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.definition.documentation()
    }
}

fn refuse_distinct<T>(function: &str) -> Result<T> {
    plan_err!(
        "{function}(): DISTINCT is not supported, because equal values of different rows all \
         count; remove DISTINCT"
    )
}

fn types_of(fields: &[FieldRef]) -> Vec<DataType> {
    fields
        .iter()
        .map(|field| field.data_type().clone())
        .collect()
}

/// A metric whose state per group is a fixed handful of numbers, so that rows can be added,
/// removed again, and states be merged.
pub(crate) trait Metric: Clone + Debug + Send + Sync + 'static {
    /// The numbers kept for one group; its default is the empty group.
    type State: Copy + Debug + Default + Send + Sync;
    /// A batch's argument columns with their types known.
    type Columns<'a>;

    /// Positions of the arguments whose NULL makes a row not count.
    fn required(&self) -> &'static [usize];

    /// Looks at a batch once, so that rows are cheap.
    fn columns<'a>(&mut self, arguments: &'a [ArrayRef]) -> Result<Self::Columns<'a>>;

    /// Takes one row in.
    fn add(&self, state: &mut Self::State, columns: &Self::Columns<'_>, row: usize) -> Result<()>;

    /// Takes out a row that was added before.
    fn remove(
        &self,
        state: &mut Self::State,
        columns: &Self::Columns<'_>,
        row: usize,
    ) -> Result<()>;

    /// Takes in all rows of a batch for one group, without NULL in required arguments. Worth
    /// overriding where the compiler can use vector instructions.
    fn add_all(
        &self,
        state: &mut Self::State,
        columns: &Self::Columns<'_>,
        rows: usize,
    ) -> Result<()> {
        (0..rows).try_for_each(|row| self.add(state, columns, row))
    }

    /// Takes in all rows of a batch for few groups, without NULL in required arguments; false if
    /// that has to be done row by row, and nothing has changed.
    fn add_groups(
        &self,
        _states: &mut [Self::State],
        _columns: &Self::Columns<'_>,
        _groups: &[usize],
    ) -> Result<bool> {
        Ok(false)
    }

    /// Whether [`Metric::add_groups`] is worth a call.
    const ADDS_GROUPS: bool = false;

    /// Takes in the state of another part of the same group.
    fn merge(&self, state: &mut Self::State, other: &Self::State) -> Result<()>;

    /// The results, one per state, in the declared type.
    fn finish(&self, states: &[Self::State]) -> Result<ArrayRef>;

    /// Fields of the partial state.
    fn state_fields(&self) -> Vec<Field>;

    /// States as columns, matching [`Metric::state_fields`].
    fn write(&self, states: &[Self::State]) -> Vec<ArrayRef>;

    /// The reverse of [`Metric::write`].
    fn read(&mut self, columns: &[ArrayRef]) -> Result<Vec<Self::State>>;

    /// Bytes on the heap that all states share.
    fn heap_size(&self) -> usize {
        0
    }
}

/// The [`Form`] of a [`Metric`].
pub(crate) struct MetricForm<M>(pub(crate) M);

impl<M: Metric> Form for MetricForm<M> {
    fn state_fields(&self) -> Vec<Field> {
        self.0.state_fields()
    }

    fn accumulator(self: Box<Self>) -> Box<dyn Accumulator> {
        Box::new(MetricAccumulator {
            metric: self.0,
            state: M::State::default(),
        })
    }

    fn sliding(self: Box<Self>) -> Option<Box<dyn Accumulator>> {
        Some(self.accumulator())
    }

    fn groups(self: Box<Self>) -> Box<dyn GroupsAccumulator> {
        Box::new(MetricGroups {
            metric: self.0,
            states: Vec::new(),
            sets_aside: true,
        })
    }
}

#[derive(Debug)]
struct MetricAccumulator<M: Metric> {
    metric: M,
    state: M::State,
}

impl<M: Metric> Accumulator for MetricAccumulator<M> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let kept = match selection(values, self.metric.required(), None) {
            Some(selected) if selected.null_count() > 0 => Some(kept(values, &selected)?),
            _ => None,
        };
        let values = kept.as_deref().unwrap_or(values);
        let columns = self.metric.columns(values)?;
        self.metric
            .add_all(&mut self.state, &columns, rows_of(values))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Self { metric, state } = self;
        let columns = metric.columns(values)?;
        let selection = selection(values, metric.required(), None);
        for_each_row(selection.as_ref(), rows_of(values), |row| {
            metric.remove(state, &columns, row)
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Self { metric, state } = self;
        let others = metric.read(states)?;
        others
            .iter()
            .try_for_each(|other| metric.merge(state, other))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let result = self.metric.finish(slice::from_ref(&self.state))?;
        ScalarValue::try_from_array(&result, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        first_row(&self.metric.write(slice::from_ref(&self.state)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.metric.heap_size()
    }
}

/// With so many groups [`Metric::add_groups`] is worth a call.
const FEW_GROUPS: usize = 1_024;

#[derive(Debug)]
struct MetricGroups<M: Metric> {
    metric: M,
    states: Vec<M::State>,
    /// Whether [`set_aside`] has worked so far.
    sets_aside: bool,
}

/// Adds a batch of few groups without leaving out what does not count, which goes to a group of its
/// own instead: what stands in place of NULL mostly does no harm. False if it does, and nothing has
/// changed.
fn set_aside<M: Metric>(
    metric: &mut M,
    states: &mut Vec<M::State>,
    values: &[ArrayRef],
    groups: &[usize],
    selected: &NullBuffer,
) -> Result<bool> {
    let aside = states.len();
    let group = |(group, counts): (&usize, bool)| if counts { *group } else { aside };
    let groups: Vec<_> = groups.iter().zip(selected.iter()).map(group).collect();
    let columns = metric.columns(values)?;
    states.push(M::State::default());
    let added = metric.add_groups(states, &columns, &groups);
    states.truncate(aside);
    added
}

impl<M: Metric> GroupsAccumulator for MetricGroups<M> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let Self {
            metric,
            states,
            sets_aside,
        } = self;
        states.resize(total_num_groups, M::State::default());
        let selection = selection(values, metric.required(), opt_filter);
        let whole = M::ADDS_GROUPS && total_num_groups <= FEW_GROUPS;
        if let Some(selected) = &selection
            && whole
            && *sets_aside
            && selected.null_count() < selected.len()
        {
            *sets_aside = set_aside(metric, states, values, group_indices, selected)?;
            if *sets_aside {
                return Ok(());
            }
        }
        let left = match &selection {
            Some(selected) if whole => {
                let groups = selected.valid_indices().map(|row| group_indices[row]);
                Some((kept(values, selected)?, groups.collect::<Vec<_>>()))
            }
            _ => None,
        };
        let (values, groups, selection) = match &left {
            Some((values, groups)) => (values.as_slice(), groups.as_slice(), None),
            None => (values, group_indices, selection.as_ref()),
        };
        let columns = metric.columns(values)?;
        if whole && metric.add_groups(states, &columns, groups)? {
            return Ok(());
        }
        for_each_row(selection, groups.len(), |row| {
            metric.add(&mut states[groups[row]], &columns, row)
        })
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        let Self { metric, states, .. } = self;
        states.resize(total_num_groups, M::State::default());
        let others = metric.read(values)?;
        group_indices
            .iter()
            .zip(&others)
            .try_for_each(|(group, other)| metric.merge(&mut states[*group], other))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.metric.finish(&emit_to.take_needed(&mut self.states))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.metric.write(&emit_to.take_needed(&mut self.states)))
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = rows_of(values);
        let mut metric = self.metric.clone();
        let columns = metric.columns(values)?;
        let selection = selection(values, metric.required(), opt_filter);
        let mut states = vec![M::State::default(); rows];
        for_each_row(selection.as_ref(), rows, |row| {
            metric.add(&mut states[row], &columns, row)
        })?;
        Ok(metric.write(&states))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.states.capacity() * size_of::<M::State>() + self.metric.heap_size()
    }
}

/// Number of rows of a batch of arguments.
pub(crate) fn rows_of(arguments: &[ArrayRef]) -> usize {
    arguments.first().map_or(0, Array::len)
}

/// The rows that count: no required argument is NULL and the filter, if there is one, is true.
/// `None` means all rows.
pub(crate) fn selection(
    arguments: &[ArrayRef],
    required: &[usize],
    filter: Option<&BooleanArray>,
) -> Option<NullBuffer> {
    // A filter that is NULL for a row does not select it.
    let passed = filter.map(|filter| {
        NullBuffer::new(match filter.nulls() {
            Some(known) => filter.values() & known.inner(),
            None => filter.values().clone(),
        })
    });
    let present = required.iter().map(|argument| arguments[*argument].nulls());
    NullBuffer::union_many(present.chain([passed.as_ref()]))
}

/// The selected rows. A copy of them is soon made, and can then be looked at in whole.
fn kept(arguments: &[ArrayRef], selected: &NullBuffer) -> Result<Vec<ArrayRef>> {
    let mask = BooleanArray::new(selected.inner().clone(), None);
    let filter = FilterBuilder::new(&mask).optimize().build();
    let kept = arguments.iter().map(|column| filter.filter(column));
    Ok(kept.collect::<Result<_, _>>()?)
}

/// Calls `visit` for each selected row, in order, until one fails.
#[inline]
pub(crate) fn for_each_row(
    selection: Option<&NullBuffer>,
    rows: usize,
    visit: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    match selection {
        None => (0..rows).try_for_each(visit),
        Some(selected) => selected.valid_indices().try_for_each(visit),
    }
}

/// The first row of each column.
pub(crate) fn first_row(columns: &[ArrayRef]) -> Result<Vec<ScalarValue>> {
    columns
        .iter()
        .map(|column| ScalarValue::try_from_array(column, 0))
        .collect()
}

/// Writes the public pair of an aggregate: its UDAF, made once, and its expression builder.
macro_rules! export_aggregate {
    ($definition:ty, $name:ident, $udaf:ident) => {
        #[doc = concat!("The aggregate function `", stringify!($name), "`; see FUNCTIONS.md.")]
        pub fn $udaf() -> std::sync::Arc<datafusion_expr::AggregateUDF> {
            static INSTANCE: std::sync::LazyLock<std::sync::Arc<datafusion_expr::AggregateUDF>> =
                std::sync::LazyLock::new(|| {
                    std::sync::Arc::new(datafusion_expr::AggregateUDF::from(
                        $crate::aggregate::Aggregate::<$definition>::default(),
                    ))
                });
            std::sync::Arc::clone(&INSTANCE)
        }

        #[doc = concat!("A call of `", stringify!($name), "` with any of its argument forms.")]
        pub fn $name(arguments: Vec<datafusion_expr::Expr>) -> datafusion_expr::Expr {
            $udaf().call(arguments)
        }
    };
}
pub(crate) use export_aggregate;
