//! What stands before a login: plain or encrypted, from where, and whether a password is asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::backend;
use super::frontend::{self, Frontend, StartupPacket};
use super::socket::{FrameReader, FrameWriter};
use super::tls::{PROTOCOL, Tls};
use crate::auth::Authority;
use crate::auth::scram::{ChannelBinding, Exchange, NONCE_BYTES};
use crate::auth::throttle::Throttle;
use crate::error::{Error, Result};
use crate::runtime::Clock;
use crate::sqlstate::SqlState;

/// Encryption requests of one connection: one for GSSAPI, one for TLS.
const NEGOTIATIONS_MAX: usize = 2;

/// Bytes of an encryption request: its length and its code.
const REQUEST_BYTES: usize = 8;

/// Bytes of a packet's length.
const LENGTH_BYTES: usize = 4;

/// [`REQUEST_BYTES`] as a packet's length.
const REQUEST_LENGTH: [u8; LENGTH_BYTES] = (REQUEST_BYTES as u32).to_be_bytes();

/// First byte of a TLS handshake; no start-up packet that is short enough begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// Length of a message of the login, in bytes.
const LOGIN_MESSAGE_BYTES_MAX: usize = 4096;

/// Who may come in, and over what.
#[derive(Debug)]
pub struct Door {
    /// Roles and passwords.
    pub authority: Arc<Authority>,
    /// The certificate, if there is one.
    pub tls: Option<Arc<Tls>>,
    /// Whether machines beyond this one are trusted like it.
    pub insecure: bool,
    /// Wall-clock time, for passwords that expire.
    pub clock: Arc<dyn Clock>,
    /// Slows down guessing.
    pub throttle: Throttle,
}

/// A connection after its negotiation.
#[derive(Debug)]
pub enum Transport {
    /// Without encryption; the bytes that were read of the first packet.
    Plain(TcpStream, BytesMut),
    /// Encrypted, with the certificate's hash for channel binding.
    Tls(Box<TlsStream<TcpStream>>, Option<Vec<u8>>),
    /// The client left.
    Gone,
}

impl Door {
    /// Whether a client from `peer` is let in without a password: as long as there are no roles, and
    /// from this machine only.
    pub fn trusts(&self, peer: SocketAddr) -> bool {
        self.authority.book().is_open() && (self.insecure || is_local(peer))
    }

    /// What the person who started the server should know.
    pub fn warning(&self) -> Option<&'static str> {
        match (self.authority.book().is_open(), self.insecure) {
            (true, false) => Some(
                "no passwords are set; connections are accepted from this machine only \
                 (`loyalhouse role create --help` says how to set one)",
            ),
            (true, true) => {
                Some("no passwords are set and --insecure serves every machine that can connect")
            }
            (false, true) => Some("--insecure accepts unencrypted connections from everywhere"),
            (false, false) => None,
        }
    }

    /// Why a client from `peer` cannot come in at all.
    pub fn refusal(&self, peer: SocketAddr, encrypted: bool) -> Option<Error> {
        if self.insecure || is_local(peer) {
            return None;
        }
        if self.authority.book().is_open() {
            return Some(Error::invalid_authorization(
                "connections are accepted from this machine only",
            ));
        }
        (!encrypted).then(|| {
            Error::invalid_authorization("connections from other machines must be encrypted")
                .with_hint("Connect with sslmode=require, or better verify-full.")
        })
    }

    /// Answers encryption requests. Bytes behind a request were sent before its answer, in clear:
    /// nothing may use them.
    pub async fn negotiate(&self, mut socket: TcpStream) -> Result<Transport> {
        let mut first = [0; 1];
        if !matches!(socket.peek(&mut first).await, Ok(1)) {
            return Ok(Transport::Gone);
        }
        if let Some(tls) = self.tls.as_ref().filter(|_| first[0] == TLS_HANDSHAKE) {
            return direct(tls, socket).await;
        }
        for _ in 0..=NEGOTIATIONS_MAX {
            let mut packet = BytesMut::zeroed(LENGTH_BYTES);
            if socket.read_exact(&mut packet).await.is_err() {
                return Ok(Transport::Gone);
            }
            // Anything else is longer, and is read by the one who decodes it.
            if packet[..] != REQUEST_LENGTH {
                return Ok(Transport::Plain(socket, packet));
            }
            packet.resize(REQUEST_BYTES, 0);
            if socket
                .read_exact(&mut packet[LENGTH_BYTES..])
                .await
                .is_err()
            {
                return Ok(Transport::Gone);
            }
            let code = Bytes::copy_from_slice(&packet[LENGTH_BYTES..]);
            let request = frontend::decode_startup(code).ok();
            let Some(request @ (StartupPacket::Ssl | StartupPacket::Gss)) = request else {
                return Ok(Transport::Plain(socket, packet));
            };
            if matches!(socket.peek(&mut first).now_or_never(), Some(Ok(1))) {
                return Err(cut_short(socket).await);
            }
            let tls = self.tls.as_ref().filter(|_| request == StartupPacket::Ssl);
            let answer = if tls.is_some() { b"S" } else { b"N" };
            if socket.write_all(answer).await.is_err() {
                return Ok(Transport::Gone);
            }
            if let Some(tls) = tls {
                return handshake(tls, socket).await;
            }
        }
        let error = Error::protocol_violation("too many encryption requests");
        Err(say(socket, error).await)
    }

    /// Asks `user` for a password. `endpoint` is the certificate's hash of an encrypted connection.
    ///
    /// A user who is not there, has no password or may not log in takes the same course as a wrong
    /// password, with the same messages.
    pub async fn authenticate<R, W>(
        &self,
        user: &str,
        peer: SocketAddr,
        endpoint: Option<&[u8]>,
        reader: &mut FrameReader<R>,
        writer: &mut FrameWriter<W>,
    ) -> Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let channel = ChannelBinding { endpoint };
        writer.push(&backend::authentication_sasl(channel.mechanisms()));
        writer.flush().await?;
        let (mechanism, first) = frontend::sasl_initial(answer(reader).await?)?;
        self.authority.refresh()?;
        let verifier = self
            .authority
            .verifier(user, crate::runtime::microseconds(self.clock.now()));
        let exchange = Exchange::start(&mechanism, &first, channel, verifier, &nonce())?;
        writer.push(&backend::authentication_sasl_continue(
            exchange.server_first.as_bytes(),
        ));
        writer.flush().await?;
        let last = answer(reader).await?;
        let outcome = loop {
            let check = || {
                let outcome = exchange.finish(&last);
                let succeeded = matches!(outcome, Ok(Some(_)));
                (outcome, succeeded)
            };
            match self.throttle.attempt(peer.ip(), Instant::now(), check) {
                Ok(outcome) => break outcome?,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        };
        let Some(proof) = outcome else {
            tracing::info!(user, %peer, "login failed");
            return Err(Error::new(
                SqlState::InvalidPassword,
                format!("password authentication failed for user \"{user}\""),
            ));
        };
        writer.push(&backend::authentication_sasl_final(proof.as_bytes()));
        let book = self.authority.book();
        if !book.role(user).is_some_and(|role| role.login) {
            return Err(Error::invalid_authorization(format!(
                "role \"{user}\" is not permitted to log in"
            )));
        }
        Ok(())
    }
}

fn is_local(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

/// TLS from the first byte, as PostgreSQL 17's clients may; it must name its protocol.
async fn direct(tls: &Tls, socket: TcpStream) -> Result<Transport> {
    let transport = handshake(tls, socket).await?;
    let named = match &transport {
        Transport::Tls(stream, _) => stream.get_ref().1.alpn_protocol() == Some(PROTOCOL),
        Transport::Plain(..) | Transport::Gone => true,
    };
    match named {
        true => Ok(transport),
        false => Ok(Transport::Gone),
    }
}

async fn handshake(tls: &Tls, socket: TcpStream) -> Result<Transport> {
    let served = tls.current();
    match served.acceptor.accept(socket).await {
        Ok(stream) => Ok(Transport::Tls(Box::new(stream), served.endpoint.clone())),
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            Ok(Transport::Gone)
        }
    }
}

async fn cut_short(socket: TcpStream) -> Error {
    let error = Error::protocol_violation("received unencrypted data after an encryption request")
        .with_detail("This could be an attack on the connection, or a client with a defect.");
    say(socket, error).await
}

/// Tells the client of an error in clear, before there is a session to tell it in.
async fn say(mut socket: TcpStream, error: Error) -> Error {
    let message = backend::error_response(backend::Severity::Fatal, &error);
    // The client may be gone.
    let _gone = socket.write_all(&message).await;
    let _gone = socket.shutdown().await;
    error
}

/// The body of the client's next message, which must be one of a login.
async fn answer<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>) -> Result<Bytes> {
    let Some((tag, body)) = reader.next(LOGIN_MESSAGE_BYTES_MAX).await? else {
        return Err(Error::new(
            SqlState::ConnectionFailure,
            "the client left during its login",
        ));
    };
    match frontend::decode(tag, body)? {
        Frontend::Password(body) => Ok(body),
        _ => Err(Error::protocol_violation(
            "expected SASL response, got another message",
        )),
    }
}

fn nonce() -> [u8; NONCE_BYTES] {
    use rand::RngCore;
    let mut nonce = [0; NONCE_BYTES];
    rand::rng().fill_bytes(&mut nonce);
    nonce
}
