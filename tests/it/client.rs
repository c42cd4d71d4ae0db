//! A small client of the PostgreSQL protocol that shows every message, for what drivers hide.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for a message of the server; a test that reaches it fails.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// A message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its type.
    pub tag: u8,
    /// What stands behind its length.
    pub body: Vec<u8>,
}

/// An error or notice: its fields by their letter.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// SQLSTATE.
    pub code: String,
    /// Primary message.
    pub message: String,
    /// Severity.
    pub severity: String,
    /// One-based character position in the statement; empty if not told.
    pub position: String,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Report {}

/// A result set, or only a command tag.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// Names of the columns.
    pub names: Vec<String>,
    /// Rows as text; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// The command tag.
    pub tag: String,
}

/// A logged-in connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// The socket, for tests that send what no driver sends.
    pub socket: TcpStream,
    /// The session's id.
    pub pid: i32,
    /// Its cancel key.
    pub secret: Vec<u8>,
}

impl Client {
    /// Connects and logs in as `tester`.
    pub(crate) fn connect(port: u16) -> Self {
        let mut client = Self {
            socket: open(port),
            pid: 0,
            secret: Vec::new(),
        };
        client.send_startup(
            0x0003_0000,
            &[("user", "tester"), ("database", "loyalhouse")],
        );
        for message in client.until_ready() {
            match message.tag {
                b'K' => {
                    client.pid = i32::from_be_bytes(message.body[..4].try_into().unwrap());
                    client.secret = message.body[4..].to_vec();
                }
                b'E' => panic!("login refused: {}", report(&message)),
                _ => {}
            }
        }
        client
    }

    /// Connects to a server that may be killed meanwhile.
    pub(crate) fn try_connect(port: u16) -> Option<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
        socket.set_read_timeout(Some(READ_TIMEOUT)).ok()?;
        let mut client = Self {
            socket,
            pid: 0,
            secret: Vec::new(),
        };
        client.send_startup(
            0x0003_0000,
            &[("user", "tester"), ("database", "loyalhouse")],
        );
        let greeting = client.until_ready();
        (greeting.last()?.tag == b'Z').then_some(client)
    }

    /// Runs a query string on a server that may be killed meanwhile.
    pub(crate) fn try_simple(&mut self, sql: &str) -> Option<Result<Answer, Report>> {
        self.send(b'Q', &text(sql));
        let messages = self.until_ready();
        (messages.last()?.tag == b'Z').then(|| answer(&messages))
    }

    /// Sends a start-up packet.
    pub(crate) fn send_startup(&mut self, version: i32, parameters: &[(&str, &str)]) {
        let mut body = version.to_be_bytes().to_vec();
        for (name, value) in parameters {
            body.extend_from_slice(name.as_bytes());
            body.push(0);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
        body.push(0);
        let mut packet = (body.len() as i32 + 4).to_be_bytes().to_vec();
        packet.extend_from_slice(&body);
        // A server that is gone is noticed by what reads its answer.
        let _sent = self.socket.write_all(&packet);
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, tag: u8, body: &[u8]) {
        let mut message = vec![tag];
        message.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
        message.extend_from_slice(body);
        let _sent = self.socket.write_all(&message);
    }

    /// The next message, or `None` at the end of the connection.
    pub(crate) fn message(&mut self) -> Option<Message> {
        let mut header = [0; 5];
        self.socket.read_exact(&mut header).ok()?;
        let length = i32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; length - 4];
        self.socket.read_exact(&mut body).ok()?;
        Some(Message {
            tag: header[0],
            body,
        })
    }

    /// Everything up to ReadyForQuery, or to the end of the connection.
    pub(crate) fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.message() {
            let ready = message.tag == b'Z';
            messages.push(message);
            if ready {
                break;
            }
        }
        messages
    }

    /// Runs a query string by the simple protocol; the last statement's answer.
    pub(crate) fn simple(&mut self, sql: &str) -> Result<Answer, Report> {
        self.send(b'Q', &text(sql));
        answer(&self.until_ready())
    }

    /// Runs one statement by the extended protocol, with text parameters and results.
    pub(crate) fn extended(
        &mut self,
        sql: &str,
        parameters: &[Option<&str>],
    ) -> Result<Answer, Report> {
        self.parse("", sql);
        self.bind("", "", parameters);
        self.send(b'D', b"P\0");
        self.execute("", 0);
        self.send(b'S', b"");
        answer(&self.until_ready())
    }

    /// Parse.
    pub(crate) fn parse(&mut self, name: &str, sql: &str) {
        let mut body = text(name);
        body.extend(text(sql));
        body.extend([0, 0]);
        self.send(b'P', &body);
    }

    /// Bind, all in text.
    pub(crate) fn bind(&mut self, portal: &str, statement: &str, parameters: &[Option<&str>]) {
        let mut body = text(portal);
        body.extend(text(statement));
        body.extend([0, 0]);
        body.extend((parameters.len() as i16).to_be_bytes());
        for parameter in parameters {
            match parameter {
                None => body.extend((-1_i32).to_be_bytes()),
                Some(value) => {
                    body.extend((value.len() as i32).to_be_bytes());
                    body.extend_from_slice(value.as_bytes());
                }
            }
        }
        body.extend([0, 0]);
        self.send(b'B', &body);
    }

    /// Execute.
    pub(crate) fn execute(&mut self, portal: &str, rows_max: i32) {
        let mut body = text(portal);
        body.extend(rows_max.to_be_bytes());
        self.send(b'E', &body);
    }
}

/// Opens a socket to the server.
pub(crate) fn open(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
    socket
}

/// Sends a cancel request and waits until the server has closed that connection.
pub(crate) fn cancel(port: u16, pid: i32, secret: &[u8]) {
    let mut socket = open(port);
    let mut packet = (12 + secret.len() as i32).to_be_bytes().to_vec();
    packet.extend(80_877_102_i32.to_be_bytes());
    packet.extend(pid.to_be_bytes());
    packet.extend_from_slice(secret);
    socket.write_all(&packet).unwrap();
    assert_eq!(socket.read(&mut [0; 1]).unwrap_or(0), 0);
}

/// The fields of an error or notice.
pub(crate) fn report(message: &Message) -> Report {
    let field = |letter: u8| {
        message
            .body
            .split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&letter))
            .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
            .unwrap_or_default()
    };
    Report {
        code: field(b'C'),
        message: field(b'M'),
        severity: field(b'S'),
        position: field(b'P'),
    }
}

/// The cells of a DataRow.
pub(crate) fn cells(body: &[u8]) -> Vec<Option<String>> {
    let mut rest = &body[2..];
    let mut cells = Vec::new();
    while !rest.is_empty() {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        let length = usize::try_from(length).ok();
        cells.push(length.map(|length| String::from_utf8(rest[..length].to_vec()).unwrap()));
        rest = &rest[length.unwrap_or(0)..];
    }
    cells
}

fn answer(messages: &[Message]) -> Result<Answer, Report> {
    let mut answer = Answer::default();
    for message in messages {
        match message.tag {
            b'E' => return Err(report(message)),
            b'T' => {
                answer.names = names(&message.body);
                answer.rows.clear();
            }
            b'D' => answer.rows.push(cells(&message.body)),
            b'C' => {
                answer.tag =
                    String::from_utf8_lossy(&message.body[..message.body.len() - 1]).into_owned();
            }
            _ => {}
        }
    }
    assert_eq!(
        messages.last().map(|message| message.tag),
        Some(b'Z'),
        "the connection ended"
    );
    Ok(answer)
}

fn names(body: &[u8]) -> Vec<String> {
    let mut rest = &body[2..];
    let mut names = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        rest = &rest[end + 19..];
    }
    names
}

fn text(value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    bytes
}
