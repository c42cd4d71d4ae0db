//! Assembly: builds every part of a server once, and owns the order of start and shutdown.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine::Engine;
use crate::engine::activity::Activity;
use crate::engine::state::{self, Parts, ResourceLimits};
use crate::error::{Error, Result};
use crate::postgres::Listener;
use crate::runtime::{Clock, SystemClock, Workers};
use crate::storage::{Lake, Location, StorageSettings};

/// An engine over the tables of `locations`.
pub async fn engine(
    config: &Config,
    locations: &[String],
    workers: Workers,
) -> Result<Arc<Engine>> {
    let limits = ResourceLimits {
        memory_bytes_max: config.memory_limit,
        spill_bytes_max: config.spill_limit,
        spill_folder: config.spill_folder.clone(),
        query_threads: config.query_threads,
    };
    let runtime = state::runtime(&limits)?;
    let lake = open_lake(config, locations, &runtime, &workers).await?;
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
    };
    Ok(Arc::new(Engine::new(parts)?))
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

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    engine: Arc<Engine>,
    listener: Arc<Listener>,
    draining: CancellationToken,
    config: Config,
}

impl Server {
    /// Opens the tables and listens; nothing is accepted before [`Server::run`].
    pub async fn start(config: Config, locations: &[String], workers: Workers) -> Result<Self> {
        if let Some(folder) = &config.warehouse {
            prepare_warehouse(folder)?;
        }
        let engine = engine(&config, locations, workers).await?;
        let draining = CancellationToken::new();
        let loopback_only = !config.insecure;
        let listener = Listener::bind(
            &config.listen,
            Arc::clone(&engine),
            loopback_only,
            draining.clone(),
        )
        .await?;
        Ok(Self {
            engine,
            listener: Arc::new(listener),
            draining,
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
        }
    }

    async fn drain(&self, stop_now: &CancellationToken) {
        let activity = self.engine.activity();
        for backend in activity.backends() {
            backend.drain();
        }
        let connections = self.listener.connections();
        connections.close();
        tokio::select! {
            () = connections.wait() => return,
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
