//! EXPLAIN in PostgreSQL's shape: steps with `cost=… rows=… width=…`, as text or JSON.
//!
//! The steps are those of the engine, named as PostgreSQL names its own where both do the same; what
//! the engine says of a step stands under `Details`. Rows are estimates from the files' footers. A cost
//! counts the rows that a step and those under it read, a hundredth each; it is good for comparing two
//! plans and for nothing else. Times of ANALYZE are compute time of all threads, inputs included.

use std::fmt::{self, Display};
use std::time::Duration;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::display::DisplayFormatType;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::sql::sqlparser::ast;
use serde_json::{Map, Value, json};

use super::statement::dialect;
use crate::error::{Error, Result};

/// Cost of reading one row.
const COST_OF_ROW: f64 = 0.01;
/// Bytes that a value of variable width is taken to have.
const TEXT_WIDTH: usize = 32;

/// EXPLAIN's options.
#[derive(Debug, Clone, Copy)]
pub struct ExplainRequest {
    /// Run the query and show what each step did.
    pub analyze: bool,
    /// Show more of each step.
    pub verbose: bool,
    /// Show costs, rows and widths.
    pub costs: bool,
    /// Show times of steps.
    pub timing: bool,
    /// Show the times of planning and running; by default with `analyze`.
    pub summary: Option<bool>,
    /// One JSON document instead of lines.
    pub json: bool,
}

impl ExplainRequest {
    /// The options of `EXPLAIN [ANALYZE] [VERBOSE]`.
    pub fn new(analyze: bool, verbose: bool) -> Self {
        Self {
            analyze,
            verbose,
            costs: true,
            timing: true,
            summary: None,
            json: false,
        }
    }

    /// Takes PostgreSQL's `(name [value], …)` options; those without a meaning here are accepted.
    ///
    /// # Errors
    /// 42601 for an option and 22023 for a value that PostgreSQL lacks, 0A000 for XML and YAML.
    pub fn apply(&mut self, options: Vec<ast::UtilityOption>) -> Result<()> {
        for option in options {
            let name = option.name.value.to_lowercase();
            let text = option.arg.as_ref().map(option_text);
            if name == "format" {
                self.json = is_json(text.as_deref().unwrap_or_default())?;
                continue;
            }
            let on = match &text {
                None => true,
                Some(text) => crate::parse::boolean(text).ok_or_else(|| {
                    Error::syntax_error(format!("{name} requires a Boolean value"))
                })?,
            };
            match name.as_str() {
                "analyze" => self.analyze = on,
                "verbose" => self.verbose = on,
                "costs" => self.costs = on,
                "timing" => self.timing = on,
                "summary" => self.summary = Some(on),
                "settings" | "buffers" => {}
                "wal" if !on || self.analyze => {}
                "wal" => {
                    return Err(Error::invalid_parameter_value(
                        "EXPLAIN option WAL requires ANALYZE",
                    ));
                }
                other => {
                    return Err(Error::syntax_error(format!(
                        "unrecognized EXPLAIN option \"{other}\""
                    )));
                }
            }
        }
        Ok(())
    }
}

fn option_text(value: &ast::Expr) -> String {
    match value {
        ast::Expr::Value(value) => {
            let text = value.value.clone().into_string();
            text.unwrap_or_else(|| value.to_string())
        }
        other => other.to_string(),
    }
}

fn is_json(format: &str) -> Result<bool> {
    match format.to_lowercase().as_str() {
        "text" => Ok(false),
        "json" => Ok(true),
        "xml" | "yaml" => Err(Error::feature_not_supported(format!(
            "EXPLAIN format \"{format}\" is not supported"
        ))
        .with_hint("Use FORMAT TEXT or FORMAT JSON.")),
        _ => Err(Error::invalid_parameter_value(format!(
            "unrecognized value for EXPLAIN option \"format\": \"{format}\""
        ))),
    }
}

/// How long the parts of a statement took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// Planning.
    pub planning: Duration,
    /// Running; zero without ANALYZE.
    pub execution: Duration,
}

/// The lines of the answer: one for FORMAT JSON.
pub fn render(plan: &dyn ExecutionPlan, request: ExplainRequest, times: Times) -> Vec<String> {
    let context = StatisticsContext::new();
    let step = Step::of(plan, request, &context);
    let summary = request.summary.unwrap_or(request.analyze);
    if request.json {
        let mut query = Map::new();
        query.insert("Plan".to_owned(), step.to_json(request));
        if summary {
            query.insert("Planning Time".to_owned(), milliseconds(times.planning));
        }
        if request.analyze {
            query.insert("Triggers".to_owned(), json!([]));
        }
        if request.analyze && summary {
            query.insert("Execution Time".to_owned(), milliseconds(times.execution));
        }
        return vec![format!("{:#}", json!([query]))];
    }
    let mut lines = Vec::new();
    step.add_lines(0, request, &mut lines);
    if summary {
        lines.push(format!(
            "Planning Time: {:.3} ms",
            in_milliseconds(times.planning)
        ));
    }
    if request.analyze && summary {
        lines.push(format!(
            "Execution Time: {:.3} ms",
            in_milliseconds(times.execution)
        ));
    }
    lines
}

fn in_milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn milliseconds(time: Duration) -> Value {
    json!((in_milliseconds(time) * 1000.0).round() / 1000.0)
}

/// One step with what is estimated and measured of it.
struct Step {
    name: String,
    details: String,
    rows: usize,
    width: usize,
    startup_cost: f64,
    total_cost: f64,
    actual: Option<Actual>,
    inputs: Vec<Step>,
}

/// What a step did.
struct Actual {
    /// Compute time of the step and its inputs.
    total: Duration,
    rows: usize,
}

impl Step {
    fn of(plan: &dyn ExecutionPlan, request: ExplainRequest, context: &StatisticsContext) -> Self {
        let inputs: Vec<Self> = plan
            .children()
            .into_iter()
            .map(|input| Self::of(input.as_ref(), request, context))
            .collect();
        let statistics = context.compute(plan, &StatisticsArgs::new()).ok();
        let known = statistics.as_ref().and_then(|known| value(&known.num_rows));
        let read = inputs.iter().map(|input| input.rows).max();
        let rows = known.or(read).unwrap_or(1);
        let below: f64 = inputs.iter().map(|input| input.total_cost).sum();
        let own = read.unwrap_or(rows) as f64 * COST_OF_ROW;
        let (name, waits) = node_type(plan.name());
        let actual = request.analyze.then(|| actual(plan, &inputs));
        Self {
            name,
            details: details(plan, request.verbose),
            rows,
            width: width(plan),
            startup_cost: if waits { below + own } else { 0.0 },
            total_cost: below + own,
            actual,
            inputs,
        }
    }

    fn add_lines(&self, depth: usize, request: ExplainRequest, lines: &mut Vec<String>) {
        let mut line = match depth {
            0 => String::new(),
            depth => format!("{:indent$}->  ", "", indent = depth * 6 - 4),
        };
        line.push_str(&self.name);
        if request.costs {
            line += &self.costs();
        }
        if let Some(actual) = &self.actual {
            line += &actual.text(request);
        }
        lines.push(line);
        if !self.details.is_empty() {
            lines.push(format!(
                "{:indent$}Details: {}",
                "",
                self.details,
                indent = depth * 6 + 2
            ));
        }
        for input in &self.inputs {
            input.add_lines(depth + 1, request, lines);
        }
    }

    fn costs(&self) -> String {
        format!(
            "  (cost={:.2}..{:.2} rows={} width={})",
            self.startup_cost, self.total_cost, self.rows, self.width
        )
    }

    fn to_json(&self, request: ExplainRequest) -> Value {
        let mut node = Map::new();
        let mut set = |name: &str, value: Value| {
            node.insert(name.to_owned(), value);
        };
        set("Node Type", json!(self.name));
        set("Parallel Aware", json!(false));
        set("Async Capable", json!(false));
        if request.costs {
            let rounded = |cost: f64| json!((cost * 100.0).round() / 100.0);
            set("Startup Cost", rounded(self.startup_cost));
            set("Total Cost", rounded(self.total_cost));
            set("Plan Rows", json!(self.rows));
            set("Plan Width", json!(self.width));
        }
        if let Some(actual) = &self.actual {
            if request.timing {
                set("Actual Startup Time", json!(0.0));
                set("Actual Total Time", milliseconds(actual.total));
            }
            set("Actual Rows", json!(actual.rows));
            set("Actual Loops", json!(1));
        }
        if !self.details.is_empty() {
            set("Details", json!(self.details));
        }
        if !self.inputs.is_empty() {
            let inputs = self.inputs.iter().enumerate().map(|(index, input)| {
                let mut input = input.to_json(request);
                if let Value::Object(node) = &mut input {
                    let side = if index == 0 { "Outer" } else { "Inner" };
                    node.insert("Parent Relationship".to_owned(), json!(side));
                }
                input
            });
            set("Plans", inputs.collect());
        }
        Value::Object(node)
    }
}

impl Actual {
    fn text(&self, request: ExplainRequest) -> String {
        let time = match request.timing {
            true => format!("time=0.000..{:.3} ", in_milliseconds(self.total)),
            false => String::new(),
        };
        format!(" (actual {time}rows={} loops=1)", self.rows)
    }
}

fn actual(plan: &dyn ExecutionPlan, inputs: &[Step]) -> Actual {
    let metrics = plan.metrics();
    let nanoseconds = metrics
        .as_ref()
        .and_then(datafusion::physical_plan::metrics::MetricsSet::elapsed_compute);
    let own = Duration::from_nanos(
        nanoseconds
            .and_then(|time| u64::try_from(time).ok())
            .unwrap_or(0),
    );
    let below = inputs
        .iter()
        .filter_map(|input| input.actual.as_ref())
        .map(|actual| actual.total);
    let passed = inputs
        .first()
        .and_then(|input| input.actual.as_ref())
        .map_or(0, |actual| actual.rows);
    Actual {
        total: own + below.sum::<Duration>(),
        rows: metrics
            .and_then(|metrics| metrics.output_rows())
            .unwrap_or(passed),
    }
}

fn value(precision: &Precision<usize>) -> Option<usize> {
    match precision {
        Precision::Exact(value) | Precision::Inexact(value) => Some(*value),
        Precision::Absent => None,
    }
}

/// PostgreSQL's name of what an operator does, and whether it reads all before it gives anything.
fn node_type(name: &str) -> (String, bool) {
    let (known, waits) = match name {
        "DataSourceExec" => ("Seq Scan", false),
        "FilterExec" => ("Filter", false),
        "SortExec" | "PartialSortExec" => ("Sort", true),
        "SortPreservingMergeExec" => ("Gather Merge", false),
        "CoalescePartitionsExec" => ("Gather", false),
        "HashJoinExec" => ("Hash Join", false),
        "SortMergeJoinExec" => ("Merge Join", false),
        "NestedLoopJoinExec" | "CrossJoinExec" => ("Nested Loop", false),
        "AggregateExec" => ("Aggregate", true),
        "GlobalLimitExec" | "LocalLimitExec" => ("Limit", false),
        "ProjectionExec" | "PlaceholderRowExec" | "EmptyExec" => ("Result", false),
        "UnionExec" | "InterleaveExec" => ("Append", false),
        "WindowAggExec" | "BoundedWindowAggExec" => ("WindowAgg", false),
        "UnnestExec" => ("ProjectSet", false),
        "RepartitionExec" => ("Redistribute", false),
        "RecursiveQueryExec" => ("Recursive Union", false),
        "WorkTableExec" => ("WorkTable Scan", false),
        other => return (spaced(other.trim_end_matches("Exec")), false),
    };
    (known.to_owned(), waits)
}

/// `CoalesceBatches` as `Coalesce Batches`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter);
    }
    words
}

/// What the operator says of itself, without its name.
fn details(plan: &dyn ExecutionPlan, verbose: bool) -> String {
    struct Line<'a>(&'a dyn ExecutionPlan, DisplayFormatType);
    impl Display for Line<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt_as(self.1, f)
        }
    }
    let format = match verbose {
        true => DisplayFormatType::Verbose,
        false => DisplayFormatType::Default,
    };
    let line = Line(plan, format).to_string();
    let told = line
        .split_once(": ")
        .filter(|(name, _)| *name == plan.name())
        .map_or("", |(_, told)| told);
    dialect::without_separators(told)
}

/// Bytes of a row, as far as the columns' types tell.
fn width(plan: &dyn ExecutionPlan) -> usize {
    let schema = plan.schema();
    let widths = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Boolean => 1,
        fixed => fixed.primitive_width().unwrap_or(TEXT_WIDTH),
    });
    widths.sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
    use datafusion::physical_plan::empty::EmptyExec;

    use super::*;

    fn plan() -> CoalescePartitionsExec {
        let field = Field::new("a", DataType::Int32, true);
        let input = EmptyExec::new(Arc::new(Schema::new(vec![field])));
        CoalescePartitionsExec::new(Arc::new(input))
    }

    #[test]
    fn lines_have_postgresqls_shape() {
        let request = ExplainRequest::new(false, false);
        let lines = render(&plan(), request, Times::default());
        assert!(lines[0].starts_with("Gather  (cost=0.00.."), "{lines:?}");
        assert!(lines[0].ends_with(" width=4)"), "{lines:?}");
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("  ->  Result  (cost=")),
            "{lines:?}"
        );
    }

    #[test]
    fn json_has_a_plan_with_plans() {
        let request = ExplainRequest {
            json: true,
            analyze: true,
            ..ExplainRequest::new(true, true)
        };
        let lines = render(&plan(), request, Times::default());
        let document: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(document[0]["Plan"]["Node Type"], "Gather");
        assert_eq!(document[0]["Plan"]["Plans"][0]["Node Type"], "Result");
        assert!(document[0]["Execution Time"].is_number());
    }

    #[test]
    fn unknown_names_are_spaced() {
        assert_eq!(node_type("CoalesceBatchesExec").0, "Coalesce Batches");
    }
}
