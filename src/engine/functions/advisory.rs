//! The functions of advisory locks, and `pg_notify`.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use super::session::session;
use crate::engine::activity::{Activity, Notification};
use crate::engine::advisory::{Key, Mode, Released};
use crate::error::Error;
use crate::sqlstate::SqlState;

/// Registers the functions of this file.
pub(crate) fn register(state: &mut SessionState, activity: &Arc<Activity>) -> Result<()> {
    for transaction in [false, true] {
        for shared in [false, true] {
            let mode = Mode {
                shared,
                transaction,
            };
            let wait = Lock::new(Action::Wait(mode), activity);
            let udf = AsyncScalarUDF::new(Arc::new(wait)).into_scalar_udf();
            state.register_udf(Arc::new(udf))?;
            register_now(state, Action::Try(mode), activity)?;
        }
    }
    for shared in [false, true] {
        register_now(state, Action::Unlock { shared }, activity)?;
    }
    register_now(state, Action::UnlockAll, activity)?;
    register_now(state, Action::Notify, activity)
}

fn register_now(state: &mut SessionState, action: Action, activity: &Arc<Activity>) -> Result<()> {
    let udf = ScalarUDF::new_from_impl(Lock::new(action, activity));
    state.register_udf(Arc::new(udf)).map(|_| ())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Wait(Mode),
    Try(Mode),
    Unlock { shared: bool },
    UnlockAll,
    Notify,
}

impl Action {
    fn name(self) -> &'static str {
        let mode = |shared, transaction| Mode {
            shared,
            transaction,
        };
        match self {
            Self::Wait(of) if of == mode(false, false) => "pg_advisory_lock",
            Self::Wait(of) if of == mode(true, false) => "pg_advisory_lock_shared",
            Self::Wait(of) if of == mode(false, true) => "pg_advisory_xact_lock",
            Self::Wait(_) => "pg_advisory_xact_lock_shared",
            Self::Try(of) if of == mode(false, false) => "pg_try_advisory_lock",
            Self::Try(of) if of == mode(true, false) => "pg_try_advisory_lock_shared",
            Self::Try(of) if of == mode(false, true) => "pg_try_advisory_xact_lock",
            Self::Try(_) => "pg_try_advisory_xact_lock_shared",
            Self::Unlock { shared: false } => "pg_advisory_unlock",
            Self::Unlock { shared: true } => "pg_advisory_unlock_shared",
            Self::UnlockAll => "pg_advisory_unlock_all",
            Self::Notify => "pg_notify",
        }
    }

    /// Whether the result is a truth; otherwise it is void.
    fn answers(self) -> bool {
        matches!(self, Self::Try(_) | Self::Unlock { .. })
    }
}

/// One function. PostgreSQL's type void is an empty text to clients.
#[derive(Debug)]
struct Lock {
    action: Action,
    activity: Arc<Activity>,
    signature: Signature,
}

impl PartialEq for Lock {
    fn eq(&self, other: &Self) -> bool {
        self.action == other.action && Arc::ptr_eq(&self.activity, &other.activity)
    }
}

impl Eq for Lock {}

impl Hash for Lock {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.action.hash(state);
    }
}

impl Lock {
    fn new(action: Action, activity: &Arc<Activity>) -> Self {
        let integers = |count| TypeSignature::Exact(vec![DataType::Int64; count]);
        let form = match action {
            Action::UnlockAll => TypeSignature::Nullary,
            Action::Notify => TypeSignature::Exact(vec![DataType::Utf8; 2]),
            _ => TypeSignature::OneOf(vec![integers(1), integers(2)]),
        };
        Self {
            action,
            activity: Arc::clone(activity),
            signature: Signature::new(form, Volatility::Volatile),
        }
    }

    fn now(&self, pid: i32, key: Key) -> crate::error::Result<bool> {
        match self.action {
            Action::Try(mode) => self.activity.locks.try_lock(pid, key, mode),
            Action::Unlock { shared } => Ok(self.activity.locks.unlock(pid, key, shared)),
            _ => Err(Error::internal("a lock function has no such form")),
        }
    }

    fn notify(&self, pid: i32, arrays: &[ArrayRef]) -> Result<()> {
        let texts = arrays
            .iter()
            .map(|array| cast(array, &DataType::Utf8))
            .collect::<Result<Vec<_>, _>>()?;
        let (channels, payloads) = (texts[0].as_string::<i32>(), texts[1].as_string::<i32>());
        for (channel, payload) in channels.iter().zip(payloads) {
            let (channel, payload) = (channel.unwrap_or_default(), payload.unwrap_or_default());
            let notification = Notification::try_new(pid, channel, payload)?;
            self.activity.notify(&notification);
        }
        Ok(())
    }
}

impl ScalarUDFImpl for Lock {
    fn name(&self) -> &'static str {
        self.action.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.action.answers() {
            true => DataType::Boolean,
            false => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let pid = session(&args.config_options)?.pid;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        match self.action {
            Action::UnlockAll => self.activity.locks.release_all(pid, Released::Session),
            Action::Notify => self.notify(pid, &arrays)?,
            Action::Wait(_) => {
                let message = format!("{}() cannot be used here", self.name());
                return Err(Error::feature_not_supported(message).into());
            }
            Action::Try(_) | Action::Unlock { .. } => {
                let answers = keys(&arrays)?
                    .into_iter()
                    .map(|key| key.map(|key| self.now(pid, key)).transpose())
                    .collect::<crate::error::Result<BooleanArray>>()?;
                return Ok(ColumnarValue::Array(Arc::new(answers)));
            }
        }
        Ok(void(args.number_rows))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Lock {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (pid, limit) = {
            let session = session(&args.config_options)?;
            let settings = session
                .settings
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            (session.pid, settings.span("lock_timeout"))
        };
        let Action::Wait(mode) = self.action else {
            return Err(Error::internal("a lock function does not wait").into());
        };
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        for key in keys(&arrays)?.into_iter().flatten() {
            within(limit, self.activity.locks.lock(pid, key, mode)).await?;
        }
        Ok(void(args.number_rows))
    }
}

/// 55P03 if `work` takes longer than `limit`.
async fn within(
    limit: Option<Duration>,
    work: impl Future<Output = crate::error::Result<()>>,
) -> crate::error::Result<()> {
    let Some(limit) = limit else {
        return work.await;
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::new(
            SqlState::LockNotAvailable,
            "canceling statement due to lock timeout",
        ))
    })
}

fn void(rows: usize) -> ColumnarValue {
    ColumnarValue::Array(Arc::new(StringArray::from(vec![""; rows])))
}

/// The key of each row; NULL locks nothing.
fn keys(arrays: &[ArrayRef]) -> Result<Vec<Option<Key>>> {
    let small = |number: i64| {
        i32::try_from(number).map_err(|_| Error::numeric_value_out_of_range("integer out of range"))
    };
    let first = arrays[0].as_primitive::<Int64Type>();
    let Some(second) = arrays.get(1) else {
        return Ok(first.iter().map(|key| key.map(Key::One)).collect());
    };
    let second = second.as_primitive::<Int64Type>();
    (0..first.len())
        .map(|row| match first.is_null(row) || second.is_null(row) {
            true => Ok(None),
            false => Ok(Some(Key::Two(
                small(first.value(row))?,
                small(second.value(row))?,
            ))),
        })
        .collect()
}
