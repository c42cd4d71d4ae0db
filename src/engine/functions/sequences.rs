//! `nextval`, `currval`, `lastval` and `setval`, of the sequences of columns.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use super::session::session;
use crate::catalog::oid;
use crate::engine::state::SessionVariables;
use crate::engine::tables::sequence_name;
use crate::error::{Error, Result as OwnResult};
use crate::sqlstate::SqlState;
use crate::warehouse::{Sequence, TEMPORARY_SCHEMA, View};

/// Registers them.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for action in [Action::Next, Action::Current, Action::Last, Action::Set] {
        let udf = ScalarUDF::new_from_impl(Numbers::new(action));
        state.register_udf(Arc::new(udf))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Next,
    Current,
    Last,
    Set,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Numbers {
    action: Action,
    signature: Signature,
}

impl Numbers {
    fn new(action: Action) -> Self {
        let text = DataType::Utf8;
        let form = match action {
            Action::Last => TypeSignature::Nullary,
            Action::Next | Action::Current => TypeSignature::Exact(vec![text]),
            Action::Set => TypeSignature::OneOf(vec![
                TypeSignature::Exact(vec![text.clone(), DataType::Int64]),
                TypeSignature::Exact(vec![text, DataType::Int64, DataType::Boolean]),
            ]),
        };
        Self {
            action,
            signature: Signature::new(form, Volatility::Volatile),
        }
    }

    fn row(
        &self,
        session: &SessionVariables,
        arrays: &[ArrayRef],
        row: usize,
    ) -> OwnResult<Option<i64>> {
        if arrays.iter().any(|array| array.is_null(row)) {
            return Ok(None);
        }
        let name = match arrays.first() {
            Some(names) => texts(names)?.as_string::<i32>().value(row).to_owned(),
            None => String::new(),
        };
        if self.action == Action::Last {
            let held = session.holdings.lock();
            let last = held.last_number;
            return last
                .map(Some)
                .ok_or_else(|| not_ready("lastval is not yet defined in this session".to_owned()));
        }
        let (view, sequence) = find(session, &name)?;
        if self.action == Action::Current {
            let held = session.holdings.lock();
            let known = held.numbers.get(&sequence.id).copied();
            return known.map(Some).ok_or_else(|| {
                not_ready(format!(
                    "currval of sequence \"{}\" is not yet defined in this session",
                    sequence.name
                ))
            });
        }
        let number = arrays
            .get(1)
            .and_then(|array| array.as_primitive_opt::<Int64Type>());
        let number = number.map_or(0, |array| array.value(row));
        let was_given = arrays
            .get(2)
            .is_none_or(|array| array.as_boolean().value(row));
        view.warehouse().set_number(&sequence, number, was_given)?;
        if was_given {
            session.holdings.lock().numbers.insert(sequence.id, number);
        }
        Ok(Some(number))
    }

    /// The next numbers, one for each row: those of one sequence are taken together.
    fn next(session: &SessionVariables, names: &ArrayRef) -> OwnResult<ArrayRef> {
        let names = texts(names)?;
        let names = names.as_string::<i32>();
        let first = names.iter().flatten().next();
        let Some(first) = first else {
            return Ok(Arc::new(Int64Array::new_null(names.len())));
        };
        let is_one = names.iter().all(|name| name == Some(first));
        let mut numbers = Vec::with_capacity(names.len());
        if is_one {
            numbers.extend(taken(session, first, names.len())?.into_iter().map(Some));
        } else {
            for name in names {
                let number = name.map(|name| taken(session, name, 1)).transpose()?;
                numbers.push(number.and_then(|numbers| numbers.first().copied()));
            }
        }
        Ok(Arc::new(Int64Array::from(numbers)))
    }
}

fn texts(names: &ArrayRef) -> OwnResult<ArrayRef> {
    cast(names, &DataType::Utf8)
        .map_err(|error| Error::internal("the name of a sequence is no text").with_source(error))
}

fn taken(session: &SessionVariables, name: &str, count: usize) -> OwnResult<Vec<i64>> {
    let (view, sequence) = find(session, name)?;
    let numbers = view.warehouse().next_numbers(&sequence, count)?;
    if let Some(last) = numbers.last() {
        let mut held = session.holdings.lock();
        held.numbers.insert(sequence.id, *last);
        held.last_number = Some(*last);
    }
    Ok(numbers)
}

/// 55000
fn not_ready(message: String) -> Error {
    Error::new(SqlState::ObjectNotInPrerequisiteState, message)
}

/// The sequence of a name, or of an OID as regclass gives it.
fn find(session: &SessionVariables, name: &str) -> OwnResult<(Arc<View>, Sequence)> {
    let missing = || {
        Error::new(
            SqlState::UndefinedTable,
            format!("relation \"{name}\" does not exist"),
        )
    };
    let view = session.view.clone().ok_or_else(missing)?;
    if let Ok(number) = name.parse::<u32>() {
        let found = view
            .sequences()
            .into_iter()
            .find(|(schema, sequence)| oid::of_relation(schema, &sequence.name) == number);
        return found
            .map(|(_, sequence)| (view, sequence))
            .ok_or_else(missing);
    }
    let parts = sequence_name(name).ok_or_else(missing)?;
    let found = match parts.as_slice() {
        [.., schema, name] => view.sequence(schema, name),
        [name] => {
            let path = session.facts().search_path;
            let mut path = std::iter::once(TEMPORARY_SCHEMA.to_owned()).chain(path);
            path.find_map(|schema| view.sequence(&schema, name))
        }
        [] => None,
    };
    found.map(|sequence| (view, sequence)).ok_or_else(missing)
}

impl ScalarUDFImpl for Numbers {
    fn name(&self) -> &'static str {
        match self.action {
            Action::Next => "nextval",
            Action::Current => "currval",
            Action::Last => "lastval",
            Action::Set => "setval",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let session = session(&args.config_options)?;
        let arrays: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|argument| argument.to_array(args.number_rows))
            .collect::<Result<_>>()?;
        if let (Action::Next, Some(names)) = (self.action, arrays.first()) {
            return Ok(ColumnarValue::Array(Self::next(session, names)?));
        }
        let rows = 0..args.number_rows;
        let numbers = rows.map(|row| self.row(session, &arrays, row));
        let numbers: Int64Array = numbers.collect::<OwnResult<Vec<_>>>()?.into();
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }
}
