//! The PostgreSQL frontend: listens, accepts, and serves each connection by a task of its own.

pub mod backend;
pub mod connection;
pub mod copy;
mod copy_in;
mod copy_options;
pub mod door;
pub mod frontend;
pub mod portal;
mod row_position;
pub mod socket;
pub mod startup;
pub mod tls;

pub use crate::values::{decode, encode, types, utf8};

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Engine;
use crate::error::{Error, Result};
use backend::Severity;
use connection::Connection;
use door::{Door, Transport};
use socket::{FrameReader, FrameWriter};
use startup::{Accepted, Arrival};

/// Connections of one address that are not logged in yet.
const UNAUTHENTICATED_PER_ADDRESS_MAX: usize = 300;

/// Wait after a failed accept: descriptors may have run out, and spinning would not bring any back.
const ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(100);

/// Silence after which the kernel asks whether the peer is still there, and how often it asks. A
/// half-open connection ends within two minutes.
const KEEPALIVE_AFTER: Duration = Duration::from_mins(1);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 5;

/// The listening socket and what its connections share.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    engine: Arc<Engine>,
    door: Arc<Door>,
    waiting: Arc<Waiting>,
    /// Fired when the server drains: running statements finish, nothing new begins.
    draining: CancellationToken,
    connections: TaskTracker,
}

impl Listener {
    /// Listens on `address`; an address beyond this machine needs a closed door.
    pub async fn bind(
        address: &str,
        engine: Arc<Engine>,
        door: Arc<Door>,
        draining: CancellationToken,
    ) -> Result<Self> {
        let socket = TcpListener::bind(address)
            .await
            .map_err(|error| bind_error(address, error))?;
        let bound = socket
            .local_addr()
            .map_err(|error| bind_error(address, error))?;
        let closed = door.tls.is_some() && !door.authority.book().is_open();
        if !bound.ip().is_loopback() && !door.insecure && !closed {
            let missing = match (door.authority.book().is_open(), door.tls.is_some()) {
                (true, true) => "roles",
                (false, false) => "TLS",
                _ => "roles and TLS",
            };
            return Err(Error::invalid_authorization(format!(
                "refusing to listen on {bound} without {missing}"
            ))
            .with_detail("An open server is only ever on loopback.")
            .with_hint(
                "Make a role with `loyalhouse role create` and give --tls-cert and --tls-key; or \
                 listen on 127.0.0.1, or pass --insecure if the network is trusted.",
            ));
        }
        Ok(Self {
            socket,
            engine,
            door,
            waiting: Arc::default(),
            draining,
            connections: TaskTracker::new(),
        })
    }

    /// The address it listens on, with the port that was chosen for port 0.
    pub fn address(&self) -> Result<SocketAddr> {
        self.socket
            .local_addr()
            .map_err(|error| bind_error("the socket", error))
    }

    /// The connections' tasks; closed and awaited at shutdown.
    pub fn connections(&self) -> &TaskTracker {
        &self.connections
    }

    /// Accepts connections until it is dropped.
    pub async fn serve(&self) {
        loop {
            match self.socket.accept().await {
                Ok((socket, peer)) => self.accept(socket, peer),
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY_WAIT).await;
                }
            }
        }
    }

    fn accept(&self, socket: TcpStream, peer: SocketAddr) {
        let Some(turn) = self.waiting.admit(peer.ip()) else {
            tracing::warn!(%peer, "too many connections of one address wait for their login");
            return;
        };
        let refusal = self
            .draining
            .is_cancelled()
            .then(|| Error::cannot_connect_now("the database system is shutting down"));
        let caller = Caller {
            engine: Arc::clone(&self.engine),
            door: Arc::clone(&self.door),
            peer,
            turn,
            refusal,
        };
        self.connections.spawn(async move {
            if let Err(error) = tune(&socket) {
                tracing::debug!(%peer, %error, "could not set socket options");
            }
            Box::pin(caller.serve(socket)).await;
        });
    }
}

/// A client that is not logged in yet.
struct Caller {
    engine: Arc<Engine>,
    door: Arc<Door>,
    peer: SocketAddr,
    turn: Turn,
    /// Why it cannot come in now.
    refusal: Option<Error>,
}

impl Caller {
    async fn serve(self, socket: TcpStream) {
        let deadline = Instant::now() + startup::LOGIN_TIME_MAX;
        let door = Arc::clone(&self.door);
        let negotiated = timeout_at(deadline, door.negotiate(socket)).await;
        let Ok(Ok(transport)) = negotiated else {
            return; // Whoever refused has said why.
        };
        match transport {
            Transport::Plain(mut socket, buffer) => {
                let (reader, writer) = socket.split();
                let reader = FrameReader::behind(buffer, reader);
                let arrival = self.arrival(false, None);
                Box::pin(self.log_in(arrival, deadline, reader, FrameWriter::new(writer))).await;
            }
            Transport::Tls(stream, endpoint) => {
                let (reader, writer) = tokio::io::split(stream);
                let arrival = self.arrival(true, endpoint);
                let reader = FrameReader::new(reader);
                Box::pin(self.log_in(arrival, deadline, reader, FrameWriter::new(writer))).await;
            }
            Transport::Gone => {}
        }
    }

    fn arrival(&self, encrypted: bool, endpoint: Option<Vec<u8>>) -> Arrival {
        Arrival {
            peer: self.peer,
            encrypted,
            endpoint,
        }
    }

    async fn log_in<R, W>(
        self,
        arrival: Arrival,
        deadline: Instant,
        mut reader: FrameReader<R>,
        mut writer: FrameWriter<W>,
    ) where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let Self {
            engine,
            door,
            turn,
            refusal,
            ..
        } = self;
        let login = startup::accept(&engine, &door, &arrival, refusal, &mut reader, &mut writer);
        let accepted = match timeout_at(deadline, login).await {
            Ok(accepted) => accepted,
            Err(_) => Err(Error::new(
                crate::sqlstate::SqlState::QueryCanceled,
                "canceling authentication due to timeout",
            )),
        };
        drop(turn);
        match accepted {
            Ok(Accepted::Session(session)) => {
                Box::pin(Connection::new(reader, writer, *session).serve()).await;
            }
            Ok(Accepted::Nothing) => writer.shutdown().await,
            Err(error) => {
                // Nothing of a greeting may stand before a refusal, and nothing is read after it.
                let mut writer = writer.discard_pending();
                writer.push(&backend::error_response(Severity::Fatal, &error));
                let _gone = tokio::time::timeout(ACCEPT_RETRY_WAIT, writer.flush()).await;
                writer.shutdown().await;
            }
        }
    }
}

fn tune(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

fn bind_error(address: &str, error: std::io::Error) -> Error {
    let message = match error.kind() {
        std::io::ErrorKind::AddrInUse => format!("{address} is in use by another process"),
        _ => format!("could not listen on {address}: {error}"),
    };
    Error::io_error(message)
        .with_hint("Choose another address with --listen HOST:PORT; port 0 picks a free one.")
        .with_source(error)
}

/// Counts connections by address until they are logged in.
#[derive(Debug, Default)]
struct Waiting(Mutex<HashMap<IpAddr, usize>>);

impl Waiting {
    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Turn> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= UNAUTHENTICATED_PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Turn {
            waiting: Arc::clone(self),
            address,
        })
    }
}

/// One connection's place among those that are not logged in.
#[derive(Debug)]
struct Turn {
    waiting: Arc<Waiting>,
    address: IpAddr,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = self
            .waiting
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
