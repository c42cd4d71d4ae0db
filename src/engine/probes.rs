//! What clients asked of the catalog and did not find: logged once per shape, counted in
//! `loyalhouse.unknown_probes`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::error::Result;

use crate::error::Error;
use crate::sqlstate::SqlState;

/// Name of the view.
pub const VIEW: &str = "unknown_probes";

/// Shapes that are counted; those that come later are not.
const SHAPES_MAX: usize = 1_000;
/// Bytes of a name that are kept.
const NAME_BYTES_MAX: usize = 128;

/// Kind and name.
type Shape = (&'static str, String);

#[derive(Debug, Clone)]
struct Probe {
    count: i64,
    application_name: String,
    first_at: SystemTime,
    last_at: SystemTime,
}

/// The probes of all sessions since the server started.
#[derive(Debug, Default)]
pub struct Probes {
    shapes: Mutex<BTreeMap<Shape, Probe>>,
}

impl Probes {
    /// Counts an error if it says that the catalog lacks something.
    pub fn note(&self, error: &Error, application_name: &str, now: SystemTime) {
        let Some((kind, name)) = shape(error) else {
            return;
        };
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(probe) = shapes.get_mut(&(kind, name.clone())) {
            probe.count += 1;
            probe.last_at = now;
            return;
        }
        if shapes.len() >= SHAPES_MAX {
            return;
        }
        tracing::info!(
            kind,
            name,
            application_name,
            "a client asked for what is not here"
        );
        let probe = Probe {
            count: 1,
            application_name: application_name.to_owned(),
            first_at: now,
            last_at: now,
        };
        shapes.insert((kind, name), probe);
    }

    /// The view's columns.
    pub(super) fn columns() -> SchemaRef {
        schema()
    }

    pub(super) fn rows(&self) -> Result<RecordBatch> {
        let shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = |text: &dyn Fn(&Shape, &Probe) -> String| {
            let values = shapes.iter().map(|(shape, probe)| Some(text(shape, probe)));
            Arc::new(values.collect::<StringArray>()) as ArrayRef
        };
        let instants = |instant: &dyn Fn(&Probe) -> SystemTime| {
            let values = shapes.values().map(|probe| microseconds(instant(probe)));
            let array = values
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC");
            Arc::new(array) as ArrayRef
        };
        let counts: Int64Array = shapes.values().map(|probe| Some(probe.count)).collect();
        Ok(RecordBatch::try_new(
            schema(),
            vec![
                texts(&|shape, _| shape.0.to_owned()),
                texts(&|shape, _| shape.1.clone()),
                Arc::new(counts),
                texts(&|_, probe| probe.application_name.clone()),
                instants(&|probe| probe.first_at),
                instants(&|probe| probe.last_at),
            ],
        )?)
    }
}

fn microseconds(time: SystemTime) -> Option<i64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok()
}

/// What an error says is missing: a relation of the system, a function or a setting.
fn shape(error: &Error) -> Option<Shape> {
    let quoted = || error.message().split('"').nth(1);
    let (kind, name) = match error.state() {
        SqlState::UndefinedTable => {
            let name = quoted()?;
            let system = ["pg_", "information_schema."]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            (system.then_some("relation")?, name)
        }
        SqlState::UndefinedFunction => {
            let rest = error.message().strip_prefix("function ")?;
            ("function", rest.split([' ', '(']).next()?)
        }
        SqlState::UndefinedObject
            if error
                .message()
                .starts_with("unrecognized configuration parameter") =>
        {
            ("setting", quoted()?)
        }
        _ => return None,
    };
    let end = name.floor_char_boundary(NAME_BYTES_MAX);
    Some((kind, name[..end].to_owned()))
}

fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let instant = |name| {
        let data_type = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Field::new(name, data_type, true)
    };
    Arc::new(Schema::new(vec![
        text("kind"),
        text("name"),
        Field::new("count", DataType::Int64, false),
        text("application_name"),
        instant("first_seen"),
        instant("last_seen"),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_counted_by_shape() {
        let probes = Probes::default();
        let now = SystemTime::UNIX_EPOCH;
        for error in [
            Error::undefined_function("function pg_nosuch does not exist"),
            Error::undefined_function("function pg_nosuch does not exist"),
            Error::undefined_table("relation \"pg_catalog.pg_nosuch\" does not exist"),
            Error::undefined_table("relation \"orderz\" does not exist"),
            Error::undefined_object("unrecognized configuration parameter \"nosuch\""),
        ] {
            probes.note(&error, "tool", now);
        }
        let rows = probes.rows().unwrap();
        assert_eq!(rows.num_rows(), 3);
        let counts = rows
            .column(2)
            .as_any()
            .downcast_ref::<Int64Array>()
            .unwrap();
        assert_eq!(counts.values(), &[2, 1, 1]);
    }

    #[test]
    fn shapes_are_bounded() {
        let probes = Probes::default();
        for number in 0..SHAPES_MAX + 10 {
            let error = Error::undefined_function(format!("function f{number} does not exist"));
            probes.note(&error, "", SystemTime::UNIX_EPOCH);
        }
        assert_eq!(probes.rows().unwrap().num_rows(), SHAPES_MAX);
    }
}
