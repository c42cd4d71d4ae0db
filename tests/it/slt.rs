//! Runs `tests/slt/**/*.slt` three times: in process, and over the wire by both protocols.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use futures::StreamExt;
use loyalhouse::config::Config;
use loyalhouse::engine::Engine;
use loyalhouse::engine::activity::Origin;
use loyalhouse::engine::session::{Outcome, Rows, Session};
use loyalhouse::engine::settings::Settings;
use loyalhouse::error::Result;
use loyalhouse::postgres::encode::{RowEncoder, TextStyle};
use loyalhouse::postgres::types::Format;
use loyalhouse::runtime::Runtimes;
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};

use super::client::{self, Answer, Client, Report};
use super::fixtures;
use super::process::Server;

#[test]
fn sql_files_pass_in_process() {
    let runtimes = Arc::new(Runtimes::start(2).unwrap());
    let workers = runtimes.workers().unwrap();
    let location = fixtures::data().to_string_lossy().into_owned();
    let engine = runtimes
        .block_on(loyalhouse::server::engine(
            &Config::load(
                Some(&fixtures::data_file("tables.toml")),
                std::iter::empty(),
            )
            .unwrap(),
            &[location],
            workers,
            (loyalhouse::auth::Authority::open_to_all(), None),
        ))
        .unwrap();
    run_files(READING, || InProcess {
        runtimes: Arc::clone(&runtimes),
        session: open(&engine),
    });
}

#[test]
fn tables_change_in_process() {
    let folder = tempfile::tempdir().unwrap();
    let runtimes = Arc::new(Runtimes::start(2).unwrap());
    let workers = runtimes.workers().unwrap();
    let config = Config {
        warehouse: Some(folder.path().to_owned()),
        ..Config::default()
    };
    let metastore = loyalhouse::server::metastore(&config).unwrap();
    let location = fixtures::data().to_string_lossy().into_owned();
    let engine = runtimes
        .block_on(loyalhouse::server::engine(
            &config,
            &[location],
            workers,
            (loyalhouse::auth::Authority::open_to_all(), metastore),
        ))
        .unwrap();
    run_files(CHANGING, || InProcess {
        runtimes: Arc::clone(&runtimes),
        session: open(&engine),
    });
}

#[test]
fn tables_change_by_the_simple_protocol() {
    change_tables(CHANGING, false);
}

#[test]
fn tables_change_by_the_extended_protocol() {
    change_tables(CHANGING, true);
}

#[test]
fn recipes_run_as_they_stand() {
    change_tables(RECIPES, false);
}

/// A server of its own: the files make tables of the same names.
fn change_tables(files: (&str, usize), extended: bool) {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--warehouse", &folder.path().to_string_lossy()];
    let server = Server::start(&fixtures::data(), &flags);
    run_files(files, || Wire {
        client: Client::connect(server.port),
        extended,
    });
}

#[test]
fn sql_files_pass_by_the_simple_protocol() {
    let server = Server::shared();
    run_files(READING, || Wire {
        client: Client::connect(server.port),
        extended: false,
    });
}

#[test]
fn sql_files_pass_by_the_extended_protocol() {
    let server = Server::shared();
    run_files(READING, || Wire {
        client: Client::connect(server.port),
        extended: true,
    });
}

/// Folder of the files that only read, and how many there are at the least.
const READING: (&str, usize) = ("tests/slt", 10);
/// Folder of the files that change tables.
const CHANGING: (&str, usize) = ("tests/slt_tables", 3);
/// Folder of the recipes that the README names.
const RECIPES: (&str, usize) = ("recipes", 9);

fn run_files<D: DB + Send>(folder: (&str, usize), connect: impl Fn() -> D) {
    let files = files(folder);
    let mut failures = Vec::new();
    for file in &files {
        let mut runner = Runner::new(|| async { Ok(connect()) });
        if let Err(error) = runner.run_file(file) {
            failures.push(format!("{error}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} files failed\n{}",
        failures.len(),
        files.len(),
        failures.join("\n")
    );
}

fn files((folder, least): (&str, usize)) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(
        files.len() >= least,
        "only {} files under {}",
        files.len(),
        root.display()
    );
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
}

/// Rows as sqllogictest compares them: NULL and the empty text are spelled out.
fn output(answer: Answer) -> DBOutput<DefaultColumnType> {
    if answer.names.is_empty() {
        return DBOutput::StatementComplete(0);
    }
    let cell = |cell: Option<String>| match cell {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() => "(empty)".to_owned(),
        Some(text) => text,
    };
    let rows = answer
        .rows
        .into_iter()
        .map(|row| row.into_iter().map(cell).collect())
        .collect();
    DBOutput::Rows {
        types: vec![DefaultColumnType::Any; answer.names.len()],
        rows,
    }
}

struct Wire {
    client: Client,
    extended: bool,
}

impl DB for Wire {
    type Error = Report;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> std::result::Result<DBOutput<DefaultColumnType>, Report> {
        match self.extended {
            true => self.client.extended(sql, &[]).map(output),
            false => self.client.simple(sql).map(output),
        }
    }
}

struct InProcess {
    runtimes: Arc<Runtimes>,
    session: Session,
}

fn open(engine: &Engine) -> Session {
    let origin = Origin {
        user: "tester".to_owned(),
        database: "loyalhouse".to_owned(),
        client: None,
    };
    engine
        .open_session(origin, Settings::default(), Vec::new())
        .unwrap()
}

impl DB for InProcess {
    type Error = Report;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> std::result::Result<DBOutput<DefaultColumnType>, Report> {
        let runtimes = Arc::clone(&self.runtimes);
        runtimes
            .block_on(run(&mut self.session, sql))
            .map(output)
            .map_err(|error| {
                self.session.fail_transaction();
                self.session.rest();
                let code = error.state().code().to_owned();
                Report {
                    code,
                    message: error.message().to_owned(),
                    severity: "ERROR".to_owned(),
                    position: String::new(),
                }
            })
    }
}

async fn run(session: &mut Session, sql: &str) -> Result<Answer> {
    let running = session.begin(sql);
    let mut answer = Answer::default();
    for parsed in session.parse(sql, &running.control).await? {
        let prepared = session
            .prepare(parsed, Vec::new(), &running.control)
            .await?;
        if let Outcome::Rows(rows) = session
            .execute(&prepared, Vec::new(), &running.control)
            .await?
        {
            let style = session.text_style(&rows.columns.schema);
            answer = session
                .workers()
                .spawn_query(drain(rows, style))
                .await
                .unwrap()?;
        }
    }
    session.settle().await?;
    session.rest();
    session.end();
    Ok(answer)
}

async fn drain(rows: Rows, style: TextStyle) -> Result<Answer> {
    let names = rows.columns.names.clone();
    let encoder = RowEncoder::try_new(&rows.columns.schema, &[Format::Text], &style)?;
    let mut stream = rows.start()?;
    let mut answer = Answer {
        names,
        ..Answer::default()
    };
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let mut bytes = BytesMut::new();
        encoder.encode(&batch, 0..batch.num_rows(), &mut bytes)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = i32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
            answer.rows.push(client::cells(&rest[5..=length]));
            rest = &rest[length + 1..];
        }
    }
    Ok(answer)
}
