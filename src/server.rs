//! Assembly: builds every part of a server once, and owns the order of start and shutdown.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::auth::Authority;
use crate::auth::scram::NONCE_BYTES;
use crate::auth::throttle::Throttle;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::activity::Activity;
use crate::engine::state::{self, Parts, ResourceLimits};
use crate::error::{Error, Result};
use crate::jobs::Jobs;
use crate::metastore::Metastore;
use crate::postgres::Listener;
use crate::postgres::door::Door;
use crate::postgres::tls::Tls;
use crate::runtime::{Clock, SystemClock, Workers};
use crate::scheduler::{Scheduler, SchedulerSettings};
use crate::storage::{Lake, Location, StorageSettings};
use crate::warehouse::{Warehouse, foreign_logs};

/// An engine over the tables of `locations`, whose sessions may do what `authority` says.
pub async fn engine(
    config: &Config,
    locations: &[String],
    workers: Workers,
    (authority, metastore): (Arc<Authority>, Option<Arc<Metastore>>),
) -> Result<Arc<Engine>> {
    let limits = ResourceLimits {
        memory_bytes_max: config.memory_limit,
        spill_bytes_max: config.spill_limit,
        spill_folder: config.spill_folder.clone(),
        query_threads: config.query_threads,
    };
    let runtime = state::runtime(&limits)?;
    let lake = open_lake(config, locations, &runtime, &workers).await?;
    let jobs = metastore.clone().map(Jobs::open).transpose()?;
    let warehouse = match (&config.warehouse, metastore) {
        (Some(folder), Some(metastore)) => {
            let opened = Warehouse::open(
                (folder, table_store(config)?),
                metastore,
                Arc::clone(&lake),
                Arc::clone(&runtime),
                workers.clone(),
                config.staleness,
            );
            Some(Box::pin(opened).await?)
        }
        _ => None,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let activity = Arc::new(Activity::new(config.connections_max, clock.now()));
    let parts = Parts {
        lake,
        runtime,
        limits,
        workers,
        activity,
        clock,
        planning_time_max: config.planning_timeout,
        authority,
        warehouse,
        jobs,
        cron_zone: config.cron_timezone,
        notes: config.tables.clone(),
        probes: Arc::default(),
    };
    let engine = Arc::new(Engine::new(parts)?);
    match engine.check_notes().await.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(engine),
    }
}

/// The object store of tables, if one is given.
fn table_store(config: &Config) -> Result<Option<Location>> {
    let Some(text) = &config.table_store else {
        return Ok(None);
    };
    let location = Location::parse(text)?;
    match location.is_local() {
        false => Ok(Some(location)),
        true => Err(
            Error::invalid_parameter_value("table_store is a prefix of an object store")
                .with_hint("Tables on this machine lie in the warehouse folder."),
        ),
    }
}

/// Opens the lake of `locations`.
pub async fn open_lake(
    config: &Config,
    locations: &[String],
    runtime: &Arc<datafusion::execution::runtime_env::RuntimeEnv>,
    workers: &Workers,
) -> Result<Arc<Lake>> {
    let locations = locations
        .iter()
        .map(|text| Location::parse(text))
        .collect::<Result<Vec<_>>>()?;
    let settings = StorageSettings {
        staleness_max: config.staleness,
        io_runtime: Some(workers.network().clone()),
        delta_logs: Some(foreign_logs(workers.network().clone())),
        ..StorageSettings::default()
    };
    Lake::open(
        locations,
        Arc::clone(runtime),
        settings,
        Arc::new(Instant::now),
    )
    .await
}

/// Time for terminated sessions to say goodbye.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(3);

/// Time between two looks whether another process changed the roles.
const ROLES_POLL_TIME: Duration = Duration::from_secs(1);

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    engine: Arc<Engine>,
    listener: Arc<Listener>,
    door: Arc<Door>,
    draining: CancellationToken,
    /// No scheduled run goes on, and none will start.
    jobs_ended: CancellationToken,
    config: Config,
}

impl Server {
    /// Opens the tables and listens; nothing is accepted before [`Server::run`].
    pub async fn start(config: Config, locations: &[String], workers: Workers) -> Result<Self> {
        let (authority, metastore) = authority(&config)?;
        let door = Arc::new(Door {
            authority: Arc::clone(&authority),
            tls: tls(&config)?,
            insecure: config.insecure,
            clock: Arc::new(SystemClock),
            throttle: Throttle::default(),
        });
        let engine = engine(&config, locations, workers, (authority, metastore)).await?;
        let draining = CancellationToken::new();
        let listener = Listener::bind(
            &config.listen,
            Arc::clone(&engine),
            Arc::clone(&door),
            draining.clone(),
        )
        .await?;
        Ok(Self {
            engine,
            listener: Arc::new(listener),
            door,
            draining,
            jobs_ended: CancellationToken::new(),
            config,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<std::net::SocketAddr> {
        self.listener.address()
    }

    /// What it serves.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// What decides who may come in.
    pub fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// Serves until `stop` is cancelled, then drains: new connections are refused, running
    /// statements finish within the grace, `stop_now` ends them at once.
    pub async fn run(&self, stop: CancellationToken, stop_now: CancellationToken) {
        let accept = self.listener.serve();
        let lifetime = async {
            stop.cancelled().await;
            self.draining.cancel();
            self.drain(&stop_now).await;
        };
        tokio::select! {
            () = accept => {}
            () = lifetime => {}
            () = self.follow_roles() => {}
            () = self.serve_jobs() => {}
        }
        if let Some(warehouse) = self.engine.warehouse() {
            tokio::select! {
                () = warehouse.close() => {}
                () = stop_now.cancelled() => {}
            }
        }
    }

    /// Starts what runs by itself.
    async fn serve_jobs(&self) {
        let settings = SchedulerSettings {
            zone: self.config.cron_timezone,
            running_max: self.config.cron_max_running_jobs,
            retention_days: self.config.cron_log_retention_days,
        };
        if let Some(scheduler) = Scheduler::new(&self.engine, Arc::new(SystemClock), settings) {
            scheduler.serve(self.draining.clone()).await;
        }
        self.jobs_ended.cancel();
        // The server goes on until its connections have ended.
        std::future::pending::<()>().await;
    }

    /// `loyalhouse role` may change them while the server runs.
    async fn follow_roles(&self) {
        loop {
            tokio::time::sleep(ROLES_POLL_TIME).await;
            if let Err(error) = self.door.authority.refresh() {
                tracing::error!(%error, "could not read the roles again");
            }
        }
    }

    async fn drain(&self, stop_now: &CancellationToken) {
        let activity = self.engine.activity();
        for backend in activity.backends() {
            backend.drain();
        }
        let connections = self.listener.connections();
        connections.close();
        let idle = async {
            connections.wait().await;
            self.jobs_ended.cancelled().await;
        };
        tokio::select! {
            () = idle => return,
            () = stop_now.cancelled() => {}
            () = tokio::time::sleep(self.config.shutdown_grace) => {}
        }
        activity.terminate_all();
        if tokio::time::timeout(FAREWELL_TIME_MAX, connections.wait())
            .await
            .is_err()
        {
            tracing::warn!("some connections did not end in time");
        }
    }
}

/// The roles of the warehouse folder, and its catalog; without a folder there are none.
pub fn authority(config: &Config) -> Result<(Arc<Authority>, Option<Arc<Metastore>>)> {
    use rand::RngCore;
    let Some(metastore) = metastore(config)? else {
        return Ok((Authority::open_to_all(), None));
    };
    let mut secret = [0; NONCE_BYTES];
    rand::rng().fill_bytes(&mut secret);
    let authority = Authority::new(Arc::clone(&metastore), secret)?;
    Ok((authority, Some(metastore)))
}

/// The catalog of the warehouse folder, if one is given; it is made if it is not there.
pub fn metastore(config: &Config) -> Result<Option<Arc<Metastore>>> {
    let Some(folder) = &config.warehouse else {
        return Ok(None);
    };
    prepare_warehouse(folder)?;
    Ok(Some(Arc::new(Metastore::open(folder)?)))
}

/// The certificate and its key: both or none.
fn tls(config: &Config) -> Result<Option<Arc<Tls>>> {
    match (&config.tls_cert, &config.tls_key) {
        (Some(certificate), Some(key)) => Ok(Some(Arc::new(Tls::load(certificate, key)?))),
        (None, None) => Ok(None),
        _ => Err(
            Error::invalid_parameter_value("tls_cert and tls_key are only of use together")
                .with_hint("Give both files, or none."),
        ),
    }
}

/// The warehouse folder must be there and writable before anything is served; a folder that fails at
/// its first table would fail too late.
fn prepare_warehouse(folder: &Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::io_error(format!(
            "could not use {} as the warehouse folder: {error}",
            folder.display()
        ))
        .with_hint("Give a folder that this user may write to.")
        .with_source(error)
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let probe = folder.join(".loyalhouse-writable");
    std::fs::write(&probe, b"").map_err(failed)?;
    std::fs::remove_file(&probe).map_err(failed)
}

/// Reads the certificate again at each SIGHUP; sessions go on with theirs.
pub async fn reload_on_hangup(door: Arc<Door>) -> Result<()> {
    let failed = |error| Error::io_error("could not watch for signals").with_source(error);
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    while hangup.recv().await.is_some() {
        let Some(tls) = &door.tls else { continue };
        match tls.reload() {
            Ok(()) => tracing::info!("read the TLS certificate again"),
            Err(error) => tracing::error!(%error, "the TLS certificate in use stays"),
        }
    }
    Ok(())
}

/// Fires `stop` at the first SIGTERM or SIGINT and `stop_now` at the second.
pub async fn watch_signals(stop: CancellationToken, stop_now: CancellationToken) -> Result<()> {
    let failed = |error| Error::io_error("could not watch for signals").with_source(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    for token in [stop, stop_now] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    }
    Ok(())
}
