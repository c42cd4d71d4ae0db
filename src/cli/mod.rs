//! The commands: serve, query, sample, check, role.

mod demo;
pub mod output;
mod role;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine::activity::Origin;
use crate::engine::session::{Outcome, Rows, Session};
use crate::engine::settings::Settings;
use crate::error::{Error, Result};
use crate::runtime::{Runtimes, Workers};
use crate::sample::SampleOptions;
use crate::server::{self, Server};
use crate::storage::Finding;
use crate::telemetry;
use output::OutputFormat;

/// Exit code of a command that failed.
const FAILURE: u8 = 1;

/// Exit code of `check` when it found something.
const FINDINGS: u8 = 3;

/// Customer-loyalty warehouse that speaks PostgreSQL.
///
/// Serves folders of Parquet files to psql, BI tools and drivers, with nps(), churn_rate(), clv(),
/// rfm_segment() and their family as SQL functions.
#[derive(Debug, Parser)]
#[command(name = "loyalhouse", version, after_help = TOP_EXAMPLES)]
struct Cli {
    /// Configuration file; loyalhouse.toml in the working folder is read if it is there.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const TOP_EXAMPLES: &str = "Examples:
  loyalhouse serve --demo
  psql -h 127.0.0.1 -p 5433 -c 'SELECT nps(score) FROM surveys'
  loyalhouse query 'SELECT count(*) FROM orders' ./data";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Serve),
    Query(Query),
    Sample(Sample),
    Check(Check),
    Role(role::RoleCommand),
}

/// Serve the Parquet files of LOCATIONs over the PostgreSQL protocol.
///
/// A LOCATION is a local folder, a Parquet file, or an s3://, gs:// or az:// prefix. Its files are
/// read in place and never written. Prints one line "listening on HOST:PORT" when it is ready.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
struct Serve {
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:5433].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Folder of the tables that SQL makes, and of the catalog with its names, roles and grants; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    warehouse: Option<PathBuf>,
    /// Prefix of an object store for the files of those tables, such as s3://bucket/tables; the catalog stays in the folder.
    #[arg(long, value_name = "URL")]
    table_store: Option<String>,
    /// Serve a generated sample: customers, orders, events, surveys, reviews, subscriptions.
    #[arg(long)]
    demo: bool,
    /// The server's TLS certificate, a PEM file; needs --tls-key.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, a PEM file that others cannot read.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Serve an address beyond this machine without roles and TLS.
    #[arg(long)]
    insecure: bool,
    /// Longest time until new and removed files are seen, such as 10s [default: 10s].
    #[arg(long, value_name = "TIME")]
    staleness: Option<String>,
    /// Memory of all queries together, such as 4GB [default: 70 % of the machine's].
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,
    /// Folders, files or object-store prefixes.
    #[arg(value_name = "LOCATION", required_unless_present = "demo")]
    locations: Vec<String>,
}

const SERVE_EXAMPLES: &str = "Examples:
  loyalhouse serve ./data
  loyalhouse serve --listen 127.0.0.1:0 ./data s3://bucket/exports
  loyalhouse serve --listen 0.0.0.0:5433 --warehouse ./warehouse --tls-cert cert.pem --tls-key key.pem ./data
  loyalhouse serve --demo";

/// Run one statement without a server and print its result.
#[derive(Debug, Args)]
#[command(after_help = QUERY_EXAMPLES)]
struct Query {
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
    /// The statement.
    #[arg(value_name = "SQL")]
    sql: String,
    /// Folders, files or object-store prefixes.
    #[arg(value_name = "LOCATION")]
    locations: Vec<String>,
}

const QUERY_EXAMPLES: &str = "Examples:
  loyalhouse query 'SELECT nps(score) FROM surveys' ./data
  loyalhouse query --format csv 'SELECT country, count(*) FROM customers GROUP BY 1' ./data > countries.csv";

/// Write deterministic sample data as a folder of Parquet files.
#[derive(Debug, Args)]
#[command(after_help = SAMPLE_EXAMPLES)]
struct Sample {
    /// Size: 1 is 10,000 customers with about 200,000 orders.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// The same seed and scale give the same files.
    #[arg(long, default_value_t = crate::sample::DEFAULT_SEED)]
    seed: u64,
    /// The folder to write; it must be absent, empty or an earlier sample.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

const SAMPLE_EXAMPLES: &str = "Examples:
  loyalhouse sample ./data
  loyalhouse sample --scale 100 --seed 7 ./big";

/// Read every file's footer and report what is wrong or passed over.
///
/// Exits with 0 if there is nothing to report, with 3 if there is.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loyalhouse check ./data")]
struct Check {
    /// Folders, files or object-store prefixes.
    #[arg(value_name = "LOCATION", required = true)]
    locations: Vec<String>,
}

/// Runs the command line; the process's `main`.
pub fn run(
    arguments: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (String, String)>,
) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are errors to clap, with an exit code of 0.
            let _closed_pipe = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FAILURE));
        }
    };
    match execute(cli, environment) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(FAILURE)
        }
    }
}

/// The reader of a pipe that left early (`| head`) is no failure.
fn is_closed_pipe(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::BrokenPipe;
        }
        cause = current.source();
    }
    false
}

/// One line for the error, one each for its detail and hint.
fn report(error: &Error) {
    let mut out = std::io::stderr().lock();
    // There is no better place to say that standard error is closed.
    let _closed = writeln!(out, "loyalhouse: {error} ({})", error.state().code());
    for (label, text) in [("detail", error.detail()), ("hint", error.hint())] {
        if let Some(text) = text {
            let _closed = writeln!(out, "{label}: {text}");
        }
    }
}

fn execute(cli: Cli, environment: impl Iterator<Item = (String, String)>) -> Result<ExitCode> {
    telemetry::start()?;
    let mut config = Config::load(cli.config.as_deref(), environment)?;
    match cli.command {
        Command::Serve(command) => {
            command.apply(&mut config)?;
            command.run(config)
        }
        Command::Query(command) => command.run(&config),
        Command::Sample(command) => command.run(),
        Command::Check(command) => command.run(&config),
        Command::Role(command) => command.run(&config),
    }
}

impl Serve {
    fn apply(&self, config: &mut Config) -> Result<()> {
        let flags = [
            ("listen", self.listen.clone()),
            ("staleness", self.staleness.clone()),
            ("table_store", self.table_store.clone()),
            ("memory_limit", self.memory_limit.clone()),
            ("insecure", self.insecure.then(|| "true".to_owned())),
        ];
        for (name, value) in flags {
            if let Some(value) = value {
                config.apply(name, &value)?;
            }
        }
        for (path, key) in [
            (&self.warehouse, &mut config.warehouse),
            (&self.tls_cert, &mut config.tls_cert),
            (&self.tls_key, &mut config.tls_key),
        ] {
            if path.is_some() {
                key.clone_from(path);
            }
        }
        Ok(())
    }

    fn run(self, config: Config) -> Result<ExitCode> {
        let mut locations = self.locations;
        if self.demo {
            locations.push(demo::folder()?);
        }
        let runtimes = Runtimes::start(config.query_threads)?;
        let workers = runtimes.workers()?;
        runtimes.block_on(serve(config, &locations, workers))?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn serve(config: Config, locations: &[String], workers: Workers) -> Result<()> {
    let (stop, stop_now) = (CancellationToken::new(), CancellationToken::new());
    let listing = demo::spinner(&format!("listing {}", locations.join(", ")));
    let server = Server::start(config, locations, workers.clone()).await;
    listing.finish_and_clear();
    let server = server?;
    if !server.engine().has_tables() {
        return Err(
            Error::undefined_table(format!("no tables found in {}", locations.join(", ")))
                .with_detail("A table is a .parquet file, or a folder that holds some.")
                .with_hint("Try `loyalhouse check LOCATION`, or `loyalhouse serve --demo`."),
        );
    }
    let signals = workers.spawn_network(server::watch_signals(stop.clone(), stop_now.clone()));
    let hangups = workers.spawn_network(server::reload_on_hangup(Arc::clone(server.door())));
    if let Some(warning) = server.door().warning() {
        let _closed = writeln!(std::io::stderr(), "warning: {warning}");
    }
    announce(&format!("listening on {}", server.address()?))?;
    server.run(stop, stop_now).await;
    signals.abort();
    hangups.abort();
    Ok(())
}

/// The line that scripts wait for.
fn announce(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| Error::io_error("could not write to standard output").with_source(error))
}

impl Query {
    fn run(self, config: &Config) -> Result<ExitCode> {
        let runtimes = Runtimes::start(config.query_threads)?;
        let workers = runtimes.workers()?;
        runtimes.block_on(self.execute(config, workers))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn execute(self, config: &Config, workers: Workers) -> Result<()> {
        let authority = crate::auth::Authority::open_to_all();
        let engine = {
            let rights = (authority, server::metastore(config)?);
            server::engine(config, &self.locations, workers.clone(), rights).await?
        };
        let user = "loyalhouse".to_owned();
        let origin = Origin {
            database: user.clone(),
            user,
            client: None,
        };
        let mut session = engine.open_session(origin, Settings::default(), Vec::new())?;
        let running = session.begin(&self.sql);
        let parsed = session.parse(&self.sql, &running.control).await?;
        for statement in parsed {
            let prepared =
                Box::pin(session.prepare(statement, Vec::new(), &running.control)).await?;
            match session
                .execute(&prepared, Vec::new(), &running.control)
                .await?
            {
                Outcome::Rows(rows) | Outcome::Copy(rows, _) => {
                    if rows.are_ready() {
                        session.settle().await?;
                    }
                    self.print(&session, rows).await?;
                }
                Outcome::Done(_) | Outcome::Empty => session.settle().await?,
                Outcome::CopyIn(_) => {
                    return Err(Error::feature_not_supported(
                        "COPY FROM STDIN is not available without a server",
                    ));
                }
                Outcome::Declare(..) | Outcome::Fetch(_) | Outcome::Close(_) => {
                    return Err(Error::feature_not_supported(
                        "cursors are not available without a server",
                    ));
                }
            }
        }
        drop(session);
        if let Some(warehouse) = engine.warehouse() {
            warehouse.close().await;
        }
        Ok(())
    }

    async fn print(&self, session: &Session, rows: Rows) -> Result<()> {
        let format = self.format;
        let printed = session.workers().query(async move {
            let stream = rows.start_named()?;
            let mut out = std::io::stdout();
            let terminal = out.is_terminal();
            Ok(output::write_result(stream, format, terminal, &mut out).await?)
        });
        printed.await.map(|_: u64| ())
    }
}

impl Sample {
    fn run(self) -> Result<ExitCode> {
        let options = SampleOptions {
            scale: self.scale,
            seed: self.seed,
        };
        demo::write(&options, &self.folder)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Check {
    fn run(self, config: &Config) -> Result<ExitCode> {
        let runtimes = Runtimes::start(config.query_threads)?;
        let workers = runtimes.workers()?;
        let findings = runtimes.block_on(async {
            let limits = crate::engine::state::ResourceLimits {
                memory_bytes_max: config.memory_limit,
                spill_bytes_max: config.spill_limit,
                spill_folder: config.spill_folder.clone(),
                query_threads: config.query_threads,
            };
            let runtime = crate::engine::state::runtime(&limits)?;
            let lake = server::open_lake(config, &self.locations, &runtime, &workers).await?;
            let mut findings = lake.check().await;
            for error in crate::engine::check_notes(&lake, &config.tables).await {
                findings.push(Finding {
                    place: crate::config::FILE_NAME.to_owned(),
                    message: match error.hint() {
                        Some(hint) => format!("{} {hint}", error.message()),
                        None => error.message().to_owned(),
                    },
                    is_error: true,
                });
            }
            Ok::<_, Error>(findings)
        })?;
        let mut out = std::io::stdout().lock();
        let written = findings.iter().try_for_each(|finding| {
            let level = if finding.is_error { "error" } else { "warning" };
            writeln!(out, "{level}: {}: {}", finding.place, finding.message)
        });
        written
            .and_then(|()| {
                if findings.is_empty() {
                    writeln!(out, "no findings")
                } else {
                    Ok(())
                }
            })
            .map_err(|error| {
                Error::io_error("could not write to standard output").with_source(error)
            })?;
        Ok(if findings.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FINDINGS)
        })
    }
}
