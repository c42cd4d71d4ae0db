//! A client that logs in by hand: SCRAM step by step, in clear or over TLS, right or wrong.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::{self, Message, Report, report};
use super::fixtures;

/// Whatever bytes go over.
pub(crate) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// A connection during its login.
pub(crate) struct Login {
    pub wire: Box<dyn Wire>,
    /// The server's certificate hash, over TLS.
    endpoint: Option<Vec<u8>>,
}

/// How a login proves that it knows the password.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Proof<'a> {
    /// By the password.
    Password(&'a str),
    /// By what a thief would make of the stored verifier: its stored key as the client's key.
    Stolen([u8; 32]),
}

/// What the server sent in a login, message types in order, and its error if it refused.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub tags: String,
    pub refusal: Option<Report>,
}

impl Login {
    /// Over an unencrypted socket.
    pub(crate) fn plain(port: u16) -> Self {
        Self {
            wire: Box::new(client::open(port)),
            endpoint: None,
        }
    }

    /// Over TLS, asked for by SSLRequest.
    pub(crate) fn tls(port: u16) -> Self {
        let mut socket = client::open(port);
        socket.write_all(&ssl_request()).unwrap();
        let mut answer = [0];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"S");
        Self::encrypted(socket, &[]).unwrap()
    }

    /// TLS on a socket, naming `protocols` (ALPN).
    pub(crate) fn encrypted(mut socket: TcpStream, protocols: &[&[u8]]) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate("authority.pem")).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        let served = session.peer_certificates().unwrap()[0].clone();
        let hash = digest::digest(&digest::SHA256, served.as_ref());
        Ok(Self {
            wire: Box::new(StreamOwned::new(session, socket)),
            endpoint: Some(hash.as_ref().to_vec()),
        })
    }

    /// The hash of the certificate that the server showed.
    pub(crate) fn endpoint(&self) -> Option<&[u8]> {
        self.endpoint.as_deref()
    }

    /// Sends a start-up packet for `user`.
    pub(crate) fn startup(&mut self, user: &str) {
        let mut body = 0x0003_0000_i32.to_be_bytes().to_vec();
        for text in ["user", user, "database", "loyalhouse", ""] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        let mut packet = (body.len() as i32 + 4).to_be_bytes().to_vec();
        packet.extend_from_slice(&body);
        self.wire.write_all(&packet).unwrap();
        self.wire.flush().unwrap();
    }

    /// Sends a message; a server that has closed the connection is not an error here.
    pub(crate) fn send(&mut self, tag: u8, body: &[u8]) {
        let mut message = vec![tag];
        message.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
        message.extend_from_slice(body);
        let _closed = self.wire.write_all(&message);
        let _closed = self.wire.flush();
    }

    /// The next message, or `None` at the end of the connection.
    pub(crate) fn message(&mut self) -> Option<Message> {
        let mut header = [0; 5];
        self.wire.read_exact(&mut header).ok()?;
        let length = i32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; length - 4];
        self.wire.read_exact(&mut body).ok()?;
        Some(Message {
            tag: header[0],
            body,
        })
    }

    /// SASLInitialResponse.
    pub(crate) fn send_first(&mut self, mechanism: &str, first: &str) {
        let mut body = mechanism.as_bytes().to_vec();
        body.push(0);
        body.extend((first.len() as i32).to_be_bytes());
        body.extend_from_slice(first.as_bytes());
        self.send(b'p', &body);
    }

    /// Logs `user` in over an unencrypted socket.
    pub(crate) fn as_user(port: u16, user: &str, password: &str) -> Self {
        let mut login = Self::plain(port);
        let outcome = login.log_in(user, Proof::Password(password));
        assert!(outcome.refusal.is_none(), "{outcome:?}");
        login
    }

    /// Runs a query string by the simple protocol: the rows of its last result, as text.
    pub(crate) fn ask(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Report> {
        self.send(b'Q', format!("{sql}\0").as_bytes());
        self.answer()
    }

    /// The same for one statement by the extended protocol.
    pub(crate) fn ask_extended(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Report> {
        self.send(b'P', format!("\0{sql}\0\0\0").as_bytes());
        self.send(b'B', &[0; 8]);
        self.send(b'D', b"P\0");
        self.send(b'E', &[0; 5]);
        self.send(b'S', b"");
        self.answer()
    }

    fn answer(&mut self) -> Result<Vec<Vec<String>>, Report> {
        let (mut rows, mut refusal) = (Vec::new(), None);
        while let Some(message) = self.message() {
            match message.tag {
                b'T' => rows.clear(),
                b'D' => {
                    let cells = client::cells(&message.body).into_iter();
                    rows.push(cells.map(Option::unwrap_or_default).collect());
                }
                b'E' => refusal = Some(report(&message)),
                b'Z' => return refusal.map_or(Ok(rows), Err),
                _ => {}
            }
        }
        Err(refusal.unwrap_or_else(|| panic!("the connection ended")))
    }

    /// Everything that follows, up to ReadyForQuery or the end of the connection.
    pub(crate) fn rest(&mut self, tags: &mut String) -> Option<Report> {
        let mut refusal = None;
        while let Some(message) = self.message() {
            tags.push(char::from(message.tag));
            match message.tag {
                b'E' => refusal = Some(report(&message)),
                b'Z' => break,
                _ => {}
            }
        }
        refusal
    }

    /// A whole login, over PLUS where it is offered.
    pub(crate) fn log_in(&mut self, user: &str, proof: Proof<'_>) -> Outcome {
        self.startup(user);
        let mut steps = Steps::new(self.endpoint.clone());
        let mut tags = String::new();
        loop {
            let Some(message) = self.message() else {
                return Outcome {
                    tags,
                    refusal: None,
                };
            };
            tags.push(char::from(message.tag));
            if message.tag != b'R' {
                let first = (message.tag == b'E').then(|| report(&message));
                let later = self.rest(&mut tags);
                return Outcome {
                    tags,
                    refusal: first.or(later),
                };
            }
            match i32::from_be_bytes(message.body[..4].try_into().unwrap()) {
                10 => {
                    let offered = String::from_utf8_lossy(&message.body[4..]).into_owned();
                    let (mechanism, first) = steps.first(&offered);
                    self.send_first(mechanism, &first);
                }
                11 => {
                    let last = steps.last(std::str::from_utf8(&message.body[4..]).unwrap(), proof);
                    self.send(b'p', last.as_bytes());
                }
                12 => steps.check_server(&message.body[4..]),
                0 => {}
                other => panic!("authentication method {other}"),
            }
        }
    }
}

/// The client's side of SCRAM.
#[derive(Debug)]
pub(crate) struct Steps {
    endpoint: Option<Vec<u8>>,
    header: &'static str,
    bare: String,
    server_signature: Vec<u8>,
}

impl Steps {
    pub(crate) fn new(endpoint: Option<Vec<u8>>) -> Self {
        let header = match endpoint {
            Some(_) => "p=tls-server-end-point,,",
            None => "n,,",
        };
        let nonce: [u8; 12] = rand::random();
        Self {
            endpoint,
            header,
            bare: format!("n=,r={}", BASE64.encode(nonce)),
            server_signature: Vec::new(),
        }
    }

    /// The mechanism and the first message.
    pub(crate) fn first(&self, offered: &str) -> (&'static str, String) {
        let mechanism = match self.endpoint {
            Some(_) => "SCRAM-SHA-256-PLUS",
            None => "SCRAM-SHA-256",
        };
        let names: Vec<&str> = offered.split('\0').collect();
        assert!(names.contains(&mechanism), "offered: {names:?}");
        (mechanism, format!("{}{}", self.header, self.bare))
    }

    /// The last message.
    pub(crate) fn last(&mut self, server_first: &str, proof: Proof<'_>) -> String {
        let field = |letter: &str| {
            let fields = server_first.split(',');
            let mut found = fields.filter_map(|field| field.strip_prefix(letter));
            found.next().unwrap().to_owned()
        };
        let (nonce, salt) = (field("r="), BASE64.decode(field("s=")).unwrap());
        let mut binding = self.header.as_bytes().to_vec();
        binding.extend(self.endpoint.iter().flatten());
        let without = format!("c={},r={nonce}", BASE64.encode(binding));
        let signed = format!("{},{server_first},{without}", self.bare);
        let client_key = match proof {
            Proof::Password(password) => {
                let mut salted = [0; 32];
                let rounds = field("i=").parse().unwrap();
                let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
                pbkdf2::derive(algorithm, rounds, &salt, password.as_bytes(), &mut salted);
                self.server_signature = mac(&mac(&salted, b"Server Key"), signed.as_bytes());
                mac(&salted, b"Client Key")
            }
            Proof::Stolen(key) => key.to_vec(),
        };
        let stored = digest::digest(&digest::SHA256, &client_key);
        let signature = mac(stored.as_ref(), signed.as_bytes());
        let bytes: Vec<u8> = client_key
            .iter()
            .zip(signature)
            .map(|(a, b)| a ^ b)
            .collect();
        format!("{without},p={}", BASE64.encode(bytes))
    }

    /// The server must know the password too.
    pub(crate) fn check_server(&self, last: &[u8]) {
        let expected = format!("v={}", BASE64.encode(&self.server_signature));
        assert_eq!(String::from_utf8_lossy(last), expected);
    }
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
        .as_ref()
        .to_vec()
}

/// A file of `tests/data/tls`.
pub(crate) fn tls_file(name: &str) -> PathBuf {
    fixtures::data_file("tls").join(name)
}

/// A certificate of `tests/data/tls`.
pub(crate) fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(tls_file(name)).unwrap()
}

/// SSLRequest.
pub(crate) fn ssl_request() -> [u8; 8] {
    [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]
}
