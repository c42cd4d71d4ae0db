//! The start of a session: the start-up packet, the login, and the greeting.
//!
//! A state machine of its own: until [`Accepted`] is returned no statement can be read, and every
//! error before ReadyForQuery is FATAL and closes the connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::backend;
use super::door::Door;
use super::frontend::{self, StartupPacket};
use super::socket::{FrameReader, FrameWriter};
use crate::auth::privilege::{Object, Privilege};
use crate::engine::Engine;
use crate::engine::activity::Origin;
use crate::engine::session::Session;
use crate::engine::settings::{SETTINGS, Settings, lookup};
use crate::engine::state::{CATALOG, is_database};
use crate::error::{Error, Result};

/// Time from the connection to the end of its login.
pub const LOGIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Length of a cancel key in bytes since protocol 3.2; before it is 4.
const CANCEL_KEY_BYTES: usize = 32;

/// What a start-up led to.
#[derive(Debug)]
pub enum Accepted {
    /// A session; its greeting is pushed but not flushed.
    Session(Box<Session>),
    /// A cancel request, or a client that left: nothing more to do.
    Nothing,
}

/// Where a connection comes from and over what.
#[derive(Debug)]
pub struct Arrival {
    /// The client's address.
    pub peer: SocketAddr,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The certificate's hash for channel binding.
    pub endpoint: Option<Vec<u8>>,
}

/// Runs the start-up of a connection behind its negotiation. An error is to be sent as FATAL.
/// `refusal` is why nobody can come in now; cancel requests are heard nevertheless.
pub async fn accept<R, W>(
    engine: &Arc<Engine>,
    door: &Door,
    arrival: &Arrival,
    refusal: Option<Error>,
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
) -> Result<Accepted>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Some(packet) = reader.startup_packet().await? else {
        return Ok(Accepted::Nothing);
    };
    match frontend::decode_startup(packet)? {
        StartupPacket::Ssl | StartupPacket::Gss => Err(Error::protocol_violation(
            "an encryption request came where none can be answered",
        )),
        StartupPacket::Cancel { pid, secret } => {
            engine.activity().cancel_with_secret(pid, &secret);
            Ok(Accepted::Nothing)
        }
        StartupPacket::Startup {
            major,
            minor,
            parameters,
        } => {
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
            if let Some(refusal) = door.refusal(arrival.peer, arrival.encrypted) {
                return Err(refusal);
            }
            let request = Request::read((major, minor), parameters)?;
            if !door.trusts(arrival.peer) {
                let endpoint = arrival.endpoint.as_deref();
                door.authenticate(&request.user, arrival.peer, endpoint, reader, writer)
                    .await?;
            }
            let session = open(engine, door, arrival.peer, request, writer)?;
            Ok(Accepted::Session(Box::new(session)))
        }
    }
}

/// Opens the session of a user who may come in.
fn open<W: AsyncWrite + Unpin>(
    engine: &Arc<Engine>,
    door: &Door,
    peer: SocketAddr,
    request: Request,
    writer: &mut FrameWriter<W>,
) -> Result<Session> {
    let Request {
        minor,
        user,
        database,
        settings,
        unknown_options,
    } = request;
    let database = database
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| user.clone());
    if !is_database(&database, &user) {
        return Err(
            Error::invalid_catalog_name(format!("database \"{database}\" does not exist"))
                .with_hint(format!("The database of this server is \"{CATALOG}\".")),
        );
    }
    admit(engine, door, &user, &database)?;
    let mut settings = Settings::new(settings)?;
    settings.set_session_authorization(&user);
    // 3.1 was never in use; 3.2 brought longer keys.
    let spoken = if minor >= 2 { 2 } else { 0 };
    if minor > 2 || !unknown_options.is_empty() {
        writer.push(&backend::negotiate_protocol_version(
            spoken,
            &unknown_options,
        ));
    }
    let key_length = if spoken >= 2 { CANCEL_KEY_BYTES } else { 4 };
    let origin = Origin {
        user,
        database,
        client: Some(peer),
    };
    let session = engine.open_session(origin, settings, random_key(key_length))?;
    greet(&session, writer);
    Ok(session)
}

/// Whether a user may have another session in the database.
fn admit(engine: &Engine, door: &Door, user: &str, database: &str) -> Result<()> {
    let book = door.authority.book();
    let authorization = book.authorize(user, None)?;
    if !authorization.may(&book, Privilege::Connect, &Object::Database) {
        return Err(Error::insufficient_privilege(format!(
            "permission denied for database \"{database}\""
        ))
        .with_detail("User does not have CONNECT privilege."));
    }
    let limit = book
        .role(user)
        .filter(|role| !role.superuser)
        .and_then(|role| usize::try_from(role.connections_max).ok());
    let Some(limit) = limit else {
        return Ok(());
    };
    let backends = engine.activity().backends();
    let open = backends
        .iter()
        .filter(|backend| backend.origin.user == user)
        .count();
    match open < limit {
        true => Ok(()),
        false => Err(Error::too_many_connections(format!(
            "too many connections for role \"{user}\""
        ))),
    }
}

fn greet<W: AsyncWrite + Unpin>(session: &Session, writer: &mut FrameWriter<W>) {
    writer.push(&backend::authentication_ok());
    let settings = session.settings().clone();
    for setting in SETTINGS.iter().filter(|setting| setting.reported) {
        let value = settings.get(setting.name).unwrap_or_default();
        writer.push(&backend::parameter_status(setting.name, value));
    }
    writer.push(&backend::backend_key_data(
        session.backend().pid,
        session.backend().secret(),
    ));
}

fn random_key(length: usize) -> Vec<u8> {
    use rand::RngCore;
    let mut key = vec![0; length];
    // `rand::rng` is a cryptographically secure generator.
    rand::rng().fill_bytes(&mut key);
    key
}

/// What a start-up packet asks for.
#[derive(Debug, Default)]
struct Request {
    /// The protocol's minor version.
    minor: u16,
    user: String,
    database: Option<String>,
    settings: Vec<(String, String)>,
    unknown_options: Vec<String>,
}

impl Request {
    fn read(version: (u16, u16), parameters: Vec<(String, String)>) -> Result<Self> {
        let (major, minor) = version;
        if major != 3 {
            return Err(Error::feature_not_supported(format!(
                "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2"
            )));
        }
        let mut request = Self {
            minor,
            ..Self::default()
        };
        for (name, value) in parameters {
            request.take(name, value)?;
        }
        match request.user.is_empty() {
            false => Ok(request),
            true => Err(Error::invalid_authorization(
                "no PostgreSQL user name specified in startup packet",
            )),
        }
    }

    fn take(&mut self, name: String, value: String) -> Result<()> {
        match name.as_str() {
            "user" => self.user = value,
            "database" => self.database = Some(value),
            // What the packet names itself counts over its command line, wherever that stands.
            "options" => {
                self.settings.splice(0..0, command_line(&value)?);
            }
            "replication" => {
                if crate::parse::boolean(&value) != Some(false) {
                    return Err(Error::feature_not_supported(
                        "replication connections are not supported",
                    ));
                }
            }
            name if name.starts_with("_pq_.") => self.unknown_options.push(name.to_owned()),
            _ if lookup(&name).is_some() || name.contains('.') => self.settings.push((name, value)),
            _ => {
                return Err(Error::undefined_object(format!(
                    "unrecognized configuration parameter \"{name}\""
                )));
            }
        }
        Ok(())
    }
}

/// `-c name=value --name=value`, spaces escaped by a backslash.
fn command_line(text: &str) -> Result<Vec<(String, String)>> {
    let invalid = || {
        Error::invalid_parameter_value(format!(
            "invalid command-line argument for server process: {text}"
        ))
    };
    let mut words = split_escaped(text).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next().ok_or_else(invalid)?
        } else if let Some(long) = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            long.to_owned()
        } else {
            return Err(invalid());
        };
        let (name, value) = assignment.split_once('=').ok_or_else(invalid)?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn split_escaped(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => words
                .last_mut()
                .into_iter()
                .for_each(|word| word.extend(letters.next())),
            letter if letter.is_whitespace() => words.push(String::new()),
            letter => words
                .last_mut()
                .into_iter()
                .for_each(|word| word.push(letter)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_a_command_line() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            command_line("-c statement_timeout=5s --search-path=a,\\ b -cjit=off").unwrap(),
            [
                pair("statement_timeout", "5s"),
                pair("search_path", "a, b"),
                pair("jit", "off")
            ]
        );
        assert!(command_line("-x").is_err());
        assert!(command_line("-c").is_err());
    }
}
