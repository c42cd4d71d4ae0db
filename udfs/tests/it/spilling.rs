//! Results do not depend on whether groups went to disk on their way.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::laws::{Row, forms, register, same};
use crate::session::{Cell, as_cells, rows as rows_of, session};

const ROWS: u32 = 30_000;
const SPILLED_GROUPS: usize = 10_000;
/// Fits take their time, and keep more of each group.
const FITTED_GROUPS: usize = 60;
/// Memory of a query in bytes: less than the states of so many groups, more than a batch to sort.
const MEMORY_BYTES: usize = 2 << 20;
/// Of those, what sorting may count on.
const SORT_BYTES: usize = 128 << 10;

fn rows(groups: usize) -> Vec<Row> {
    let byte = |n: u32, factor: u32, modulus: u32| (n * factor % modulus) as u8;
    (0..ROWS)
        .map(|n| Row {
            a: (n % 17 != 0).then_some(byte(n, 37, 251)),
            b: (n % 13 != 0).then_some(byte(n, 11, 241)),
            c: (n % 19 != 0).then_some(byte(n, 53, 239)),
            group: n as usize * 7 % groups,
            filter: None,
        })
        .collect()
}

/// With so many rows or states in a batch: what is spilled comes back in batches.
fn limited(batch: usize) -> SessionContext {
    let named = NonZeroUsize::new(3).unwrap();
    let pool = TrackConsumersPool::new(FairSpillPool::new(MEMORY_BYTES), named);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .build_arc()
        .unwrap();
    let config = SessionConfig::new()
        .with_sort_spill_reservation_bytes(SORT_BYTES)
        .with_target_partitions(2)
        .with_batch_size(batch);
    let mut context = SessionContext::new_with_config_rt(config, runtime);
    datafusion_functions_loyalty::register_all(&mut context).unwrap();
    context
}

/// How often the operators of a plan wrote to disk.
fn spills(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.spill_count());
    let inputs = plan.children().into_iter().map(spills);
    own.unwrap_or_default() + inputs.sum::<usize>()
}

/// Results in the order of their groups: an ORDER BY would need memory of its own.
fn by_group(batches: &[RecordBatch]) -> Vec<Cell> {
    let rows = batches.iter().flat_map(|batch| {
        let groups = batch.column(0).as_primitive::<Int64Type>().values();
        groups.iter().copied().zip(as_cells(batch.column(1)))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(group, _)| *group);
    rows.into_iter().map(|(_, cell)| cell).collect()
}

#[tokio::test]
async fn results_are_the_same_when_groups_go_to_disk() {
    let roomy = session(2);
    let (mut spilled, mut tried) = (0, 0);
    for form in forms().iter().filter(|form| form.kind == 1) {
        let (groups, batch_rows) = match form.fits() {
            true => (FITTED_GROUPS, 4),
            false => (SPILLED_GROUPS, 512),
        };
        let rows = rows(groups);
        let sql = format!("SELECT g, {} FROM t GROUP BY g", form.call());
        register(&roomy, form, &rows, 2);
        let batch = rows_of(&roomy, &sql).await.unwrap();
        let expected = by_group(&[batch]);
        assert_eq!(expected.len(), groups, "{form}");
        let context = limited(batch_rows);
        register(&context, form, &rows, 2);
        let plan = context.sql(&sql).await.unwrap();
        let plan = plan.create_physical_plan().await.unwrap();
        let batches = collect(Arc::clone(&plan), context.task_ctx()).await;
        let batches = batches.unwrap_or_else(|error| panic!("{form}: {error}"));
        let got = by_group(&batches);
        assert!(
            same(&got, &expected),
            "{form} differs after {} spills",
            spills(&plan)
        );
        tried += 1;
        spilled += usize::from(spills(&plan) > 0);
    }
    assert!(
        spilled * 2 > tried,
        "{spilled} of {tried} forms went to disk"
    );
}
