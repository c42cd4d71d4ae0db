//! What time it is: `now()` and its relatives.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::function::Type;
use super::session_time::{SessionTime, micros};
use super::values::to_arrow_timestamp;
use crate::calendar::{EPOCH_DAYS, MICROS_PER_DAY, Style, put_timestamp};
use crate::error::Error;
use crate::runtime::Clock;

/// Digits of seconds.
const PRECISION_MAX: u32 = 6;

/// Name, the moment, what of it.
const CLOCKS: &[(&str, Moment, Shown)] = &[
    ("now", Moment::Transaction, Shown::Instant),
    ("transaction_timestamp", Moment::Transaction, Shown::Instant),
    ("current_timestamp", Moment::Transaction, Shown::Instant),
    ("statement_timestamp", Moment::Statement, Shown::Instant),
    ("clock_timestamp", Moment::Clock, Shown::Instant),
    ("localtimestamp", Moment::Transaction, Shown::Local),
    ("localtime", Moment::Transaction, Shown::Time),
    ("current_time", Moment::Transaction, Shown::ZonedTime),
    ("current_date", Moment::Transaction, Shown::Day),
    ("timeofday", Moment::Clock, Shown::Text),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Moment {
    Transaction,
    Statement,
    Clock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shown {
    Instant,
    Local,
    Time,
    ZonedTime,
    Day,
    Text,
}

pub(super) fn register(state: &mut SessionState, clock: &Arc<dyn Clock>) -> Result<()> {
    for (name, moment, shown) in CLOCKS {
        let volatility = match moment {
            Moment::Clock => Volatility::Volatile,
            _ => Volatility::Stable,
        };
        let forms = vec![
            TypeSignature::Nullary,
            TypeSignature::Exact(vec![DataType::Int64]),
        ];
        let now = Now {
            name,
            moment: *moment,
            shown: *shown,
            clock: Arc::clone(clock),
            signature: Signature::one_of(forms, volatility),
        };
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(now)))?;
    }
    Ok(())
}

#[derive(Debug)]
struct Now {
    name: &'static str,
    moment: Moment,
    shown: Shown,
    clock: Arc<dyn Clock>,
    signature: Signature,
}

impl PartialEq for Now {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Now {}

impl Hash for Now {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.shown {
            Shown::Instant => Type::TimestampTz.arrow(),
            Shown::Local => Type::Timestamp.arrow(),
            Shown::Time => DataType::Time64(TimeUnit::Microsecond),
            Shown::Day => DataType::Date32,
            Shown::Text => DataType::Utf8,
            Shown::ZonedTime => {
                return Err(Error::feature_not_supported(
                    "type time with time zone is not supported",
                )
                .with_hint("LOCALTIME gives the time without its zone.")
                .into());
            }
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let time = SessionTime::of(&args.config_options)?;
        let moment = match self.moment {
            Moment::Transaction => time.transaction,
            Moment::Statement => time.statement,
            Moment::Clock => micros(self.clock.now()),
        };
        let moment = match args.args.first() {
            Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(digits)))) => {
                let digits = u32::try_from(*digits)
                    .unwrap_or(PRECISION_MAX)
                    .min(PRECISION_MAX);
                let unit = 10_i64.pow(PRECISION_MAX - digits);
                (moment + unit / 2).div_euclid(unit) * unit
            }
            _ => moment,
        };
        let zone = time.settings.zone;
        let local = zone.to_local(moment).unwrap_or(moment);
        let value = match self.shown {
            Shown::Instant => ScalarValue::TimestampMicrosecond(
                Some(to_arrow_timestamp(moment)?),
                Some("UTC".into()),
            ),
            Shown::Local => {
                ScalarValue::TimestampMicrosecond(Some(to_arrow_timestamp(local)?), None)
            }
            Shown::Time | Shown::ZonedTime => {
                ScalarValue::Time64Microsecond(Some(local.rem_euclid(MICROS_PER_DAY)))
            }
            Shown::Day => {
                let day = local.div_euclid(MICROS_PER_DAY) + EPOCH_DAYS;
                ScalarValue::Date32(i32::try_from(day).ok())
            }
            Shown::Text => {
                let mut out = bytes::BytesMut::new();
                let style = Style::Session(
                    crate::calendar::DateStyle::Postgres,
                    time.settings.date_order,
                );
                let name = || zone.abbreviation(moment);
                put_timestamp(moment, Some(zone.offset(moment)), name, style, &mut out);
                ScalarValue::Utf8(Some(String::from_utf8_lossy(&out).into_owned()))
            }
        };
        Ok(ColumnarValue::Scalar(value))
    }
}
