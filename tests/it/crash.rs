//! kill -9 at random moments: every table and view is an old or a new version, and nothing that was
//! acknowledged is lost. `CRASH_ROUNDS=500 cargo test --test it crash` does it for long.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::client::{self, Client, Report};
use super::fixtures;
use super::process::Server;

/// Rounds of a test run; each is a start, some statements and a kill.
const ROUNDS: usize = 6;
/// Longest time from the first statement of a round to the kill, in milliseconds.
const KILL_MS_MAX: u64 = 400;
/// Tables that statements change.
const TABLES: [&str; 3] = ["a", "b", "c"];
/// The materialized view that is made and refreshed.
const KEPT: &str = "kept";
/// Rows of a new table.
const ROWS: i64 = 2_000;

/// Rows by their number; the numbers of a table are unique.
type Rows = BTreeMap<i64, i64>;

/// What is in the warehouse.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    tables: BTreeMap<&'static str, Rows>,
    view: Option<i64>,
}

/// What a query tells of a table: rows, and sums of them.
type Digest = Vec<Option<String>>;

fn digest(rows: &Rows) -> Digest {
    let sums = [
        rows.len() as i64,
        rows.keys().sum(),
        rows.values().sum(),
        rows.iter().map(|(id, v)| id * v).sum(),
    ];
    sums.map(|sum| Some(sum.to_string())).to_vec()
}

fn digest_query(table: &str) -> String {
    format!(
        "SELECT count(*), coalesce(sum(id), 0), coalesce(sum(v), 0), coalesce(sum(id * v), 0) FROM {table}"
    )
}

/// A statement, or several that are committed together, and what they make of the model.
struct Step {
    sql: String,
    /// The rows that a COPY sends.
    copied: Option<String>,
    after: Model,
}

/// Makes the materialized view, or refreshes it.
fn refresh_step(random: &mut StdRng, before: &Model, generation: i64) -> Step {
    let mut after = before.clone();
    let known = after.tables.contains_key(KEPT);
    let sql = if known && random.random_bool(0.7) {
        format!("REFRESH MATERIALIZED VIEW {KEPT}")
    } else {
        let count = random.random_range(1..ROWS);
        let rows = (1..=count).map(|id| (id, generation)).collect();
        after.tables.insert(KEPT, rows);
        format!(
            "CREATE OR REPLACE MATERIALIZED VIEW {KEPT} AS SELECT n::bigint AS id,
             {generation}::bigint AS v FROM generate_series(1, {count}) AS s(n)"
        )
    };
    let copied = None;
    Step { sql, copied, after }
}

/// Makes a step. Whatever else changes what is kept is added here.
fn step(random: &mut StdRng, before: &Model, generation: i64) -> Step {
    if random.random_range(0..6) == 0 {
        return refresh_step(random, before, generation);
    }
    let table = TABLES[random.random_range(0..TABLES.len())];
    let mut after = before.clone();
    let mut copied = None;
    let (kept, modulus) = (random.random_range(1..ROWS), random.random_range(2..7));
    let fresh: Rows = (1..=kept).map(|id| (id, generation)).collect();
    let select = format!(
        "SELECT n::bigint AS id, {generation}::bigint AS v FROM generate_series(1, {kept}) AS s(n)"
    );
    let Some(rows) = after.tables.get_mut(table) else {
        after.tables.insert(table, fresh);
        let sql = format!("CREATE TABLE {table} AS {select}");
        return Step { sql, copied, after };
    };
    let next = rows.keys().next_back().copied().unwrap_or_default() + 1;
    let sql = match random.random_range(0..12) {
        0 => {
            *rows = fresh;
            format!("CREATE OR REPLACE TABLE {table} AS {select}")
        }
        1 | 2 => {
            rows.extend((0..10).map(|at| (next + at, generation)));
            format!(
                "INSERT INTO {table} SELECT {next} + n, {generation} FROM generate_series(0, 9) AS s(n)"
            )
        }
        3 => {
            let lines = (0..50).map(|at| {
                rows.insert(next + at, generation);
                format!("{}\t{generation}", next + at)
            });
            copied = Some(lines.collect::<Vec<_>>().join("\n"));
            format!("COPY {table} FROM STDIN")
        }
        4 | 5 => {
            rows.iter_mut()
                .filter(|(id, _)| *id % modulus == 0)
                .for_each(|(_, v)| *v += 1);
            format!("UPDATE {table} SET v = v + 1 WHERE id % {modulus} = 0")
        }
        6 => {
            rows.retain(|id, _| id % (modulus * 5) != 0);
            let wanted = format!("SELECT id FROM {table} WHERE id % {} = 0", modulus * 5);
            format!("DELETE FROM {table} WHERE id IN ({wanted})")
        }
        7 => {
            rows.extend((kept - 5..kept + 20).map(|id| (id, generation)));
            format!(
                "MERGE INTO {table} t USING (SELECT n::bigint AS id FROM generate_series({}, {}) AS s(n)) s
                 ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = {generation}
                 WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, {generation})",
                kept - 5,
                kept + 19
            )
        }
        8 => {
            after.tables.remove(table);
            format!("DROP TABLE {table}")
        }
        9 => {
            *rows = fresh;
            format!(
                "BEGIN; CREATE TABLE {table}_new AS {select}; ALTER TABLE {table} RENAME TO {table}_old;
                 ALTER TABLE {table}_new RENAME TO {table}; DROP TABLE {table}_old; COMMIT"
            )
        }
        10 => {
            after.view = Some(generation);
            format!("CREATE OR REPLACE VIEW seen AS SELECT {generation} AS generation")
        }
        _ => format!("OPTIMIZE {table}"),
    };
    Step { sql, copied, after }
}

/// Runs a step; an error only if the server is gone.
fn run(client: &mut Client, step: &Step) -> Option<Result<(), Report>> {
    client.send(b'Q', format!("{}\0", step.sql).as_bytes());
    if let Some(rows) = &step.copied {
        client.send(b'd', rows.as_bytes());
        client.send(b'c', b"");
    }
    let mut failed = None;
    loop {
        let message = client.message()?;
        match message.tag {
            b'E' => failed = Some(client::report(&message)),
            b'Z' => return Some(failed.map_or(Ok(()), Err)),
            _ => {}
        }
    }
}

/// Reads the tables until it is stopped; what it sees must be a version that somebody meant to write.
struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    fn start(port: Arc<AtomicU16>, meant: &Arc<Mutex<HashSet<(&'static str, Digest)>>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let read = |table: &'static str| {
            let (port, stop, meant) = (Arc::clone(&port), Arc::clone(&stop), Arc::clone(meant));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    let Some(mut client) = Client::try_connect(port.load(Ordering::Acquire)) else {
                        std::thread::yield_now();
                        continue;
                    };
                    while let Some(answer) = client.try_simple(&digest_query(table)) {
                        match answer {
                            Ok(answer) => {
                                let version = (table, answer.rows[0].clone());
                                assert!(
                                    meant.lock().unwrap().contains(&version),
                                    "{version:?} was seen"
                                );
                            }
                            Err(error) => {
                                assert!(
                                    matches!(error.code.as_str(), "42P01" | "57P01"),
                                    "{error}"
                                );
                            }
                        }
                        if stop.load(Ordering::Acquire) {
                            break;
                        }
                    }
                }
            })
        };
        let threads = TABLES.into_iter().chain([KEPT]).map(read).collect();
        Self { stop, threads }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

/// What is in the warehouse that a server serves.
fn observed(client: &mut Client) -> (BTreeMap<String, Digest>, Option<String>) {
    let tables = client
        .simple(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' \
             UNION ALL SELECT matviewname FROM pg_matviews WHERE schemaname = 'public'",
        )
        .unwrap();
    let mut found = BTreeMap::new();
    for row in tables.rows {
        let table = row[0].clone().unwrap();
        let answer = client.simple(&digest_query(&table)).unwrap();
        found.insert(table, answer.rows[0].clone());
    }
    let view = client.simple("SELECT generation FROM seen");
    (
        found,
        view.ok().and_then(|answer| answer.rows[0][0].clone()),
    )
}

fn expected(model: &Model) -> (BTreeMap<String, Digest>, Option<String>) {
    let tables = model.tables.iter();
    let tables = tables.map(|(table, rows)| ((*table).to_owned(), digest(rows)));
    (tables.collect(), model.view.map(|view| view.to_string()))
}

#[test]
fn after_a_kill_everything_is_its_old_or_its_new_version() {
    let rounds = std::env::var("CRASH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed: u64 = std::env::var("CRASH_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    // Shown if the test fails.
    eprintln!("CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let (mut model, mut generation) = (Model::default(), 0);
    let meant = Arc::new(Mutex::new(HashSet::new()));
    let port = Arc::new(AtomicU16::new(0));
    let readers = Readers::start(Arc::clone(&port), &meant);
    // A table beside, so that tests of names read none of ours from files.
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(data.path().join("other/beside")).unwrap();
    fixtures::write_numbers(&data.path().join("other/beside/numbers.parquet"), 0, 1);
    let serve = || {
        Server::start(
            data.path(),
            &["--warehouse", &folder.path().to_string_lossy()],
        )
    };
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let server = serve();
        let mut client = Client::connect(server.port);
        port.store(server.port, Ordering::Release);
        let pause = Duration::from_millis(random.random_range(0..KILL_MS_MAX));
        // Killed after the first statement is done, however slow the machine is.
        let (mut server, mut killer) = (Some(server), None);
        let cut_off = loop {
            generation += 1;
            let step = step(&mut random, &model, generation);
            let versions = step
                .after
                .tables
                .iter()
                .map(|(table, rows)| (*table, digest(rows)));
            meant.lock().unwrap().extend(versions);
            match run(&mut client, &step) {
                None => break step,
                Some(Ok(())) => {
                    model = step.after;
                    if let Some(server) = server.take() {
                        killer = Some(std::thread::spawn(move || {
                            std::thread::sleep(pause);
                            drop(server);
                        }));
                    }
                }
                Some(Err(error)) if error.code == "57P01" => break step,
                Some(Err(error)) => panic!("round {round}: {error}: {}", step.sql),
            }
        };
        if let Some(killer) = killer {
            killer.join().unwrap();
        }
        let server = serve();
        let mut client = Client::connect(server.port);
        let found = observed(&mut client);
        if found == expected(&cut_off.after) {
            model = cut_off.after;
        } else {
            assert_eq!(
                found,
                expected(&model),
                "round {round}, cut off: {}",
                cut_off.sql
            );
        }
        // One folder a table: whatever else there was is gone.
        assert_eq!(
            folders(folder.path()),
            model.tables.len(),
            "round {round}: {}",
            cut_off.sql
        );
    }
    readers.stop();
}

fn folders(warehouse: &Path) -> usize {
    std::fs::read_dir(warehouse.join("tables")).unwrap().count()
}
