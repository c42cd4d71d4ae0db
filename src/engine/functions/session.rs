//! Functions that ask about sessions or act on them: settings, cancelling, waiting.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use crate::engine::activity::Activity;
use crate::engine::state::SessionVariables;
use crate::error::Error;

/// Longest time `pg_sleep` waits, in seconds: one day.
const SLEEP_SECONDS_MAX: f64 = 86_400.0;

/// Registers the functions of this file.
pub(crate) fn register(state: &mut SessionState, activity: &Arc<Activity>) -> Result<()> {
    for action in [Action::Cancel, Action::Terminate] {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Signal::new(
            action, activity,
        ))))?;
    }
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(CurrentSetting::new())))?;
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(SetConfig::new())))?;
    state.register_udf(Arc::new(
        AsyncScalarUDF::new(Arc::new(Sleep::new())).into_scalar_udf(),
    ))?;
    Ok(())
}

/// The session that the call belongs to.
pub(super) fn session(options: &ConfigOptions) -> Result<&SessionVariables> {
    options
        .extensions
        .get::<SessionVariables>()
        .ok_or_else(|| Error::internal("a function was called outside a session").into())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Cancel,
    Terminate,
}

/// `pg_cancel_backend(pid)` and `pg_terminate_backend(pid)`: whether there is such a session.
#[derive(Debug)]
struct Signal {
    action: Action,
    activity: Arc<Activity>,
    signature: Signature,
}

impl PartialEq for Signal {
    fn eq(&self, other: &Self) -> bool {
        self.action == other.action && Arc::ptr_eq(&self.activity, &other.activity)
    }
}

impl Eq for Signal {}

impl Hash for Signal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.action.hash(state);
    }
}

impl Signal {
    fn new(action: Action, activity: &Arc<Activity>) -> Self {
        let signature = Signature::any(1, Volatility::Volatile);
        Self {
            action,
            activity: Arc::clone(activity),
            signature,
        }
    }
}

impl Signal {
    /// Sessions of one's own roles; those of superusers only for superusers.
    fn may_signal(&self, session: &SessionVariables, pid: i32) -> crate::error::Result<()> {
        let backends = self.activity.backends();
        let Some(target) = backends.iter().find(|backend| backend.pid == pid) else {
            return Ok(());
        };
        let own = session.authorization();
        let user = &target.origin.user;
        let book = session.authority.book();
        let (verb, done, noun) = match self.action {
            Action::Cancel => ("cancel", "canceled", "query"),
            Action::Terminate => ("terminate", "terminated", "process"),
        };
        let denied = |text: String| Err(Error::insufficient_privilege(text));
        if !own.superuser && book.role(user).is_some_and(|role| role.superuser) {
            return denied(format!("must be a superuser to {verb} superuser {noun}"));
        }
        match own.has_role(user) {
            true => Ok(()),
            false => denied(format!(
                "must be a member of the role whose {noun} is being {done} or member of \
                 pg_signal_backend"
            )),
        }
    }
}

impl ScalarUDFImpl for Signal {
    fn name(&self) -> &'static str {
        match self.action {
            Action::Cancel => "pg_cancel_backend",
            Action::Terminate => "pg_terminate_backend",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let pids = cast(&arrays[0], &DataType::Int64)?;
        let pids = pids.as_primitive::<Int64Type>();
        let session = session(&args.config_options)?;
        let signalled = pids
            .iter()
            .map(|pid| {
                let Some(pid) = pid else { return Ok(None) };
                let pid = i32::try_from(pid).unwrap_or_default();
                self.may_signal(session, pid)?;
                Ok(Some(match self.action {
                    Action::Cancel => self.activity.cancel(pid),
                    Action::Terminate => self.activity.terminate(pid),
                }))
            })
            .collect::<crate::error::Result<BooleanArray>>()?;
        Ok(one_or_many(Arc::new(signalled), rows))
    }
}

/// A result of one row may stand for all rows.
fn one_or_many(array: ArrayRef, rows: usize) -> ColumnarValue {
    match datafusion::scalar::ScalarValue::try_from_array(&array, 0) {
        Ok(value) if array.len() == 1 && rows != 1 => ColumnarValue::Scalar(value),
        _ => ColumnarValue::Array(array),
    }
}

fn texts(args: &ScalarFunctionArgs) -> Result<Vec<ArrayRef>> {
    let arrays = ColumnarValue::values_to_arrays(&args.args)?;
    Ok(arrays
        .iter()
        .map(|array| cast(array, &DataType::Utf8))
        .collect::<Result<_, _>>()?)
}

fn text_at(array: &ArrayRef, row: usize) -> Option<&str> {
    let array: &StringArray = array.as_string();
    array.is_valid(row).then(|| array.value(row))
}

/// `current_setting(name [, missing_ok])`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentSetting {
    signature: Signature,
}

impl CurrentSetting {
    fn new() -> Self {
        let forms = vec![
            TypeSignature::Exact(vec![DataType::Utf8]),
            TypeSignature::Exact(vec![DataType::Utf8, DataType::Boolean]),
        ];
        Self {
            signature: Signature::one_of(forms, Volatility::Volatile),
        }
    }
}

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &'static str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = texts(&args)?;
        let session = session(&args.config_options)?;
        let settings = session
            .settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let values = (0..arrays[0].len())
            .map(|row| {
                let missing_ok = arrays.get(1).and_then(|flag| text_at(flag, row)) == Some("true");
                match text_at(&arrays[0], row) {
                    None => Ok(None),
                    Some(name) if missing_ok && settings.get(name).is_none() => Ok(None),
                    Some(name) => settings.show(name).map(Some),
                }
            })
            .collect::<crate::error::Result<StringArray>>()?;
        Ok(one_or_many(Arc::new(values), args.number_rows))
    }
}

/// `set_config(name, value, is_local)`: sets a setting and returns its value.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SetConfig {
    signature: Signature,
}

impl SetConfig {
    fn new() -> Self {
        let types = vec![DataType::Utf8, DataType::Utf8, DataType::Boolean];
        Self {
            signature: Signature::exact(types, Volatility::Volatile),
        }
    }
}

impl ScalarUDFImpl for SetConfig {
    fn name(&self) -> &'static str {
        "set_config"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = texts(&args)?;
        let session = session(&args.config_options)?;
        let mut settings = session
            .settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut set = |row| {
            let local = text_at(&arrays[2], row) == Some("true");
            let name = text_at(&arrays[0], row)
                .ok_or_else(|| Error::invalid_parameter_value("SET requires parameter name"))?;
            match (text_at(&arrays[1], row), local) {
                (Some(value), true) => settings.set_local(name, value).map(|_| ())?,
                (Some(value), false) => settings.set(name, value).map(|_| ())?,
                (None, true) => settings.reset_local(name)?,
                (None, false) => settings.reset(name)?,
            }
            settings.show(name).map(Some)
        };
        let values = (0..arrays[0].len())
            .map(&mut set)
            .collect::<crate::error::Result<StringArray>>()?;
        Ok(one_or_many(Arc::new(values), args.number_rows))
    }
}

/// `pg_sleep(seconds)`: waits without holding a thread, so that a cancel ends it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    signature: Signature,
}

impl Sleep {
    fn new() -> Self {
        Self {
            signature: Signature::exact(vec![DataType::Float64], Volatility::Volatile),
        }
    }
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &'static str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(Error::feature_not_supported("pg_sleep() cannot be used here").into())
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let seconds: &Float64Array = arrays[0].as_primitive::<Float64Type>();
        for seconds in seconds.iter().flatten().filter(|seconds| *seconds > 0.0) {
            tokio::time::sleep(Duration::from_secs_f64(seconds.min(SLEEP_SECONDS_MAX))).await;
        }
        // PostgreSQL's type is void, which clients see as an empty text.
        Ok(ColumnarValue::Array(Arc::new(StringArray::from(
            vec![""; args.number_rows],
        ))))
    }
}
