//! Each function against the same metric in plain SQL on the same engine: one million rows,
//! ungrouped, in 10 groups and in 100,000 groups.
//!
//! `cargo bench` measures; `cargo test --benches` only compares results on a small table.
//!
//! First a table of ratios from interleaved pairs (above 1 the function is faster), after checking
//! that both sides give the same numbers; then criterion's timings of the functions alone.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch,
    StringViewArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::runtime::Runtime;

/// Rows of the table.
const ROWS: u64 = 1_000_000;
/// Rows of the table where nothing is measured.
const ROWS_OF_TEST: u64 = 20_000;
/// Rows of a batch, which is DataFusion's default.
const BATCH_ROWS: u64 = 8_192;
/// Pairs that a ratio is the median of.
const PAIRS: usize = 7;
/// Largest relative difference between the sum of both sides' results.
const TOLERANCE: f64 = 1e-9;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// A metric in both forms. `{g}` stands for the group columns with a comma after them.
struct Metric {
    name: &'static str,
    function: &'static str,
    /// An expression over `t`, or a query with `{g}` and `{group}`.
    plain: &'static str,
}

const METRICS: [Metric; 13] = [
    Metric {
        name: "nps",
        function: "nps(score)",
        plain: "100.0 * sum(CASE WHEN score >= 9 THEN 1 WHEN score <= 6 THEN -1 ELSE 0 END)
                / count(score)",
    },
    Metric {
        name: "nps thresholds",
        function: "nps(score, 3, 5)",
        plain: "100.0 * sum(CASE WHEN score >= 5 THEN 1 WHEN score <= 3 THEN -1 ELSE 0 END)
                / count(score)",
    },
    Metric {
        name: "churn flag",
        function: "churn_rate(churned)",
        plain: "avg(CASE WHEN churned THEN 1.0 ELSE 0.0 END)",
    },
    Metric {
        name: "churn inactivity",
        function: "churn_rate(day, DATE '2024-01-01', INTERVAL '90 days')",
        plain: "avg(CASE WHEN day < DATE '2024-01-01' - INTERVAL '90 days' THEN 1.0 ELSE 0.0 END)",
    },
    Metric {
        name: "churn contract",
        function: "churn_rate(day, ended, DATE '2023-07-01', DATE '2023-08-01')",
        plain: "sum(CASE WHEN day <= DATE '2023-07-01' AND ended > DATE '2023-07-01'
                         AND ended <= DATE '2023-08-01' THEN 1.0 ELSE 0.0 END)
                / nullif(sum(CASE WHEN day <= DATE '2023-07-01' AND (ended IS NULL
                         OR ended > DATE '2023-07-01') THEN 1.0 ELSE 0.0 END), 0)",
    },
    Metric {
        name: "retention events",
        function: "retention_rate(customer, day, DATE '2023-01-01', DATE '2023-07-01',
                                  DATE '2024-01-01')",
        plain: "SELECT {g} sum(base * kept) * 1.0 / nullif(sum(base), 0) AS v FROM (
                  SELECT {g} customer,
                    max(CASE WHEN day >= DATE '2023-01-01' AND day < DATE '2023-07-01'
                        THEN 1 ELSE 0 END) AS base,
                    max(CASE WHEN day >= DATE '2023-07-01' AND day < DATE '2024-01-01'
                        THEN 1 ELSE 0 END) AS kept
                  FROM t GROUP BY {g} customer) {group}",
    },
    Metric {
        name: "aov",
        function: "aov(amount)",
        plain: "avg(amount)",
    },
    Metric {
        name: "aov per order",
        function: "aov(amount, order_id)",
        plain: "sum(amount) / count(DISTINCT order_id)",
    },
    Metric {
        name: "clv",
        function: "clv(customer, amount)",
        plain: "sum(amount) / count(DISTINCT customer)",
    },
    Metric {
        name: "clv text id",
        function: "clv(customer_text, amount)",
        plain: "sum(amount) / count(DISTINCT customer_text)",
    },
    Metric {
        name: "purchase_frequency",
        function: "purchase_frequency(customer)",
        plain: "count(customer) * 1.0 / count(DISTINCT customer)",
    },
    Metric {
        name: "purchase_frequency by day",
        function: "purchase_frequency(customer, day)",
        plain: "SELECT {g} sum(days) * 1.0 / count(*) AS v FROM (
                  SELECT {g} customer, count(*) AS days FROM (
                    SELECT DISTINCT {g} customer, day FROM t) GROUP BY {g} customer) {group}",
    },
    Metric {
        name: "repeat_purchase_rate",
        function: "repeat_purchase_rate(customer)",
        plain: "SELECT {g} avg(CASE WHEN n >= 2 THEN 1.0 ELSE 0.0 END) AS v FROM (
                  SELECT {g} customer, count(*) AS n FROM t GROUP BY {g} customer) {group}",
    },
];

/// Column to group by, and its name in the table of ratios.
const GROUPINGS: [(Option<&str>, &str); 3] = [
    (None, "ungrouped"),
    (Some("g10"), "10 groups"),
    (Some("g100k"), "100k groups"),
];

impl Metric {
    fn function_query(&self, group: Option<&str>) -> String {
        aggregate_query(self.function, group)
    }

    fn plain_query(&self, group: Option<&str>) -> String {
        if !self.plain.starts_with("SELECT") {
            return aggregate_query(self.plain, group);
        }
        let columns = group.map(|group| format!("{group},")).unwrap_or_default();
        let clause = group
            .map(|group| format!("GROUP BY {group}"))
            .unwrap_or_default();
        self.plain
            .replace("{group}", &clause)
            .replace("{g}", &columns)
    }
}

fn aggregate_query(expression: &str, group: Option<&str>) -> String {
    match group {
        None => format!("SELECT {expression} AS v FROM t"),
        Some(group) => format!("SELECT {group}, {expression} AS v FROM t GROUP BY {group}"),
    }
}

/// `quantile_score` and the same rank in plain SQL, over partitions.
fn quantile_queries(group: Option<&str>) -> (String, String) {
    let by = group
        .map(|group| format!("PARTITION BY {group}"))
        .unwrap_or_default();
    let function = format!("SELECT quantile_score(amount) OVER ({by}) AS v FROM t");
    let plain = format!(
        "SELECT 1 + floor(5 * (rank() OVER ({by} ORDER BY amount) - 1)
                          / count(amount) OVER ({by})) AS v FROM t"
    );
    (function, plain)
}

/// What `rfm_segment(…) OVER (…)` stands for after its expansion, and the same segments in plain SQL:
/// a rank per score, then the letter of the three scores looked up in the table of codes. Compared
/// by the length of the segment's name, which a sum can tell apart.
fn segment_queries(group: Option<&str>) -> (String, String) {
    let by = group
        .map(|group| format!("PARTITION BY {group}"))
        .unwrap_or_default();
    let function = format!(
        "SELECT length(rfm_segment(quantile_score(day) OVER ({by}), quantile_score(score) OVER ({by}),
                                   quantile_score(amount) OVER ({by}))) AS v FROM t"
    );
    let score = |column: &str| {
        format!(
            "1 + 5 * (CAST(rank() OVER ({by} ORDER BY {column}) AS BIGINT) - 1) / count({column}) OVER ({by})"
        )
    };
    let (r, f, m) = (score("day"), score("score"), score("amount"));
    let plain = format!(
        "SELECT length(CASE substr('{CODES}', 25 * (r - 1) + 5 * (f - 1) + m, 1)
                  WHEN 'C' THEN 'Champions' WHEN 'L' THEN 'Loyal Customers'
                  WHEN 'P' THEN 'Potential Loyalists' WHEN 'N' THEN 'New Customers'
                  WHEN 'O' THEN 'Promising' WHEN 'A' THEN 'Need Attention'
                  WHEN 'S' THEN 'About To Sleep' WHEN 'R' THEN 'At Risk'
                  WHEN 'X' THEN 'Cannot Lose Them' WHEN 'H' THEN 'Hibernating'
                  WHEN 'Z' THEN 'Lost' END) AS v
         FROM (SELECT {r} AS r, {f} AS f, {m} AS m FROM t)"
    );
    (function, plain)
}

/// The letters of the map codes11 in the order of recency, frequency and money.
const CODES: &str = "ZZXXXZHHRRZHRRRZRRXRZRRXX\
                     HHSXXSHHRRSHHRRSRRRRSRRRR\
                     NSOOOSHPAASHPALPPALLPPPLL\
                     NNOOONNPOOPPPALPPALCPPPCC\
                     NNOOOOOOOOPPPAAPPLCCPPPCC";

/// Reproducible noise (splitmix64).
fn noise(seed: u64) -> u64 {
    let mut bits = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn batch(start: u64, end: u64) -> Fallible<RecordBatch> {
    let pick = |column: u64, below: u64| {
        move |row: u64| noise(row.wrapping_mul(16).wrapping_add(column)) % below
    };
    let whole = |column, below| -> ArrayRef {
        let pick = pick(column, below);
        Arc::new(Int64Array::from_iter_values(
            (start..end).map(|row| pick(row) as i64),
        ))
    };
    // Days since 1970 from 2022-01-01, up to the end of 2023.
    let day = |row: u64| 18_993 + pick(5, 730)(row) as i32;
    let ended = |row: u64| (pick(6, 3)(row) > 0).then(|| day(row) + pick(7, 400)(row) as i32);
    let amount = |row: u64| pick(8, 20_000)(row) as f64 / 100.0;
    let text = |row: u64| format!("customer-{:012}", pick(3, 200_000)(row));
    Ok(RecordBatch::try_from_iter([
        ("g10", whole(0, 10)),
        ("g100k", whole(1, 100_000)),
        ("score", whole(2, 11)),
        ("customer", whole(3, 200_000)),
        (
            "customer_text",
            Arc::new(StringViewArray::from_iter_values((start..end).map(text))),
        ),
        ("order_id", whole(4, 500_000)),
        (
            "day",
            Arc::new(Date32Array::from_iter_values((start..end).map(day))),
        ),
        (
            "ended",
            Arc::new((start..end).map(ended).collect::<Date32Array>()),
        ),
        (
            "amount",
            Arc::new(Float64Array::from_iter_values((start..end).map(amount))),
        ),
        (
            "churned",
            Arc::new(
                (start..end)
                    .map(|row| Some(pick(9, 5)(row) == 0))
                    .collect::<BooleanArray>(),
            ),
        ),
    ])?)
}

/// One partition, so that the work of a core is compared.
fn context(rows: u64) -> Fallible<SessionContext> {
    let starts = (0..rows).step_by(BATCH_ROWS as usize);
    let batches = starts.map(|start| batch(start, rows.min(start + BATCH_ROWS)));
    let batches = batches.collect::<Fallible<Vec<_>>>()?;
    let table = MemTable::try_new(batches[0].schema(), vec![batches])?;
    let config = SessionConfig::new().with_target_partitions(1);
    let mut context = SessionContext::new_with_config(config);
    datafusion_functions_loyalty::register_all(&mut context)?;
    context.register_table("t", Arc::new(table))?;
    Ok(context)
}

async fn run(context: &SessionContext, sql: &str) -> Fallible<Vec<RecordBatch>> {
    Ok(context.sql(sql).await?.collect().await?)
}

/// Sum of the column `v` and how many of it are not NULL, which tells results apart well enough.
fn fingerprint(batches: &[RecordBatch]) -> Fallible<(f64, usize)> {
    let (mut sum, mut count) = (0.0, 0);
    for batch in batches {
        let values = batch.column_by_name("v").ok_or("a query has no column v")?;
        let values = cast(values, &DataType::Float64)?;
        for value in values.as_primitive::<Float64Type>().iter().flatten() {
            sum += value;
            count += 1;
        }
    }
    Ok((sum, count))
}

/// Fails if the two sides differ.
fn compare(
    runtime: &Runtime,
    context: &SessionContext,
    function: &str,
    plain: &str,
) -> Fallible<()> {
    let ours = fingerprint(&runtime.block_on(run(context, function))?)?;
    let theirs = fingerprint(&runtime.block_on(run(context, plain))?)?;
    let difference = (ours.0 - theirs.0).abs() / theirs.0.abs().max(1.0);
    if ours.1 != theirs.1 || difference > TOLERANCE {
        return Err(format!("{function} gives {ours:?}, {plain} gives {theirs:?}").into());
    }
    Ok(())
}

/// Median of plain time over function time.
fn ratio(
    runtime: &Runtime,
    context: &SessionContext,
    function: &str,
    plain: &str,
) -> Fallible<(f64, Duration)> {
    let timed = |sql: &str| -> Fallible<Duration> {
        let start = Instant::now();
        black_box(runtime.block_on(run(context, sql))?);
        Ok(start.elapsed())
    };
    let mut pairs = Vec::with_capacity(PAIRS);
    for _ in 0..PAIRS {
        let function = timed(function)?;
        pairs.push((
            timed(plain)?.as_secs_f64() / function.as_secs_f64(),
            function,
        ));
    }
    pairs.sort_by(|left, right| left.0.total_cmp(&right.0));
    Ok(pairs[PAIRS / 2])
}

fn main() -> Fallible<()> {
    // Cargo says so when it measures, as criterion relies on too.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let runtime = Runtime::new()?;
    let context = context(if measured { ROWS } else { ROWS_OF_TEST })?;
    let mut queries = Vec::new();
    for (group, grouping) in GROUPINGS {
        for metric in &METRICS {
            let both = (metric.function_query(group), metric.plain_query(group));
            queries.push((format!("{}, {grouping}", metric.name), both));
        }
        queries.push((
            format!("quantile_score, {grouping}"),
            quantile_queries(group),
        ));
        queries.push((
            format!("rfm_segment over, {grouping}"),
            segment_queries(group),
        ));
    }
    for (_, (function, plain)) in &queries {
        compare(&runtime, &context, function, plain)?;
    }
    if measured {
        measure(&runtime, &context, &queries)?;
    }
    Ok(())
}

/// Name, query with the function and plain query.
type Pair = (String, (String, String));

fn measure(runtime: &Runtime, context: &SessionContext, queries: &[Pair]) -> Fallible<()> {
    println!("{:<42} {:>12} {:>12}", "", "plain/ours", "ours");
    for (name, (function, plain)) in queries {
        let (ratio, time) = ratio(runtime, context, function, plain)?;
        println!(
            "{name:<42} {ratio:>12.2} {:>9.1} ms",
            time.as_secs_f64() * 1e3
        );
    }
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    for (name, (function, _)) in queries {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| black_box(runtime.block_on(run(context, function)).is_ok()));
        });
    }
    criterion.final_summary();
    Ok(())
}
