//! Who stays and who leaves.

/// Share of customers lost.
pub(crate) mod churn_rate;
/// Cohort table.
pub(crate) mod cohort_retention;
/// Form with the dates of a contract.
mod contract;
/// Form with the events of a customer.
mod events;
/// Form with a condition per customer.
mod flag;
/// Form with the time of the last activity.
mod inactivity;
/// Share of customers who bought again.
pub(crate) mod repeat_purchase_rate;
/// Share of customers kept.
pub(crate) mod retention_rate;
/// Share of revenue lost.
pub(crate) mod revenue_churn_rate;

/// Which side of the same count a function reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The share lost.
    Churn,
    /// The share kept.
    Retention,
}

impl Outcome {
    /// A fraction of the base, NULL if that is empty.
    fn rate(self, lost: i64, base: i64) -> Option<f64> {
        let part = match self {
            Self::Churn => lost,
            Self::Retention => base - lost,
        };
        (base > 0).then(|| part as f64 / base as f64)
    }
}

/// State columns of counters.
mod counters {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Int64Array};
    use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field};

    /// A counter.
    pub(super) fn count_field(name: &str) -> Field {
        Field::new(name, DataType::Int64, true)
    }

    /// Counters as a column.
    pub(super) fn counts(values: impl Iterator<Item = i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(values))
    }

    const INSTANT: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

    /// A point in time in nanoseconds, which need more than 64 bits.
    pub(super) fn instant_field(name: &str) -> Field {
        Field::new(name, INSTANT, true)
    }

    /// Points in time as a column.
    pub(super) fn instants(values: impl Iterator<Item = Option<i128>>) -> ArrayRef {
        Arc::new(values.collect::<Decimal128Array>().with_data_type(INSTANT))
    }
}
