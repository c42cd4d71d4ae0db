//! Rows per second from a scan through the encoder and a socket to a client that drains it, in text
//! and in binary, and the two as a ratio of one run.
//!
//! `cargo bench --bench wire`

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use loyalhouse::sample::{self, SampleOptions};

/// Scale of the sample that is read: about a million orders.
const SCALE: f64 = 5.0;

/// Rounds of each format; the best of them counts, since others only add noise.
const ROUNDS: usize = 5;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    sample::write(
        &SampleOptions {
            scale: SCALE,
            seed: 1,
        },
        &data,
        &mut |_| {},
    )?;
    let mut process = Command::new(env!("CARGO_BIN_EXE_loyalhouse"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = Vec::new();
    let mut out = process.stdout.take().ok_or("no output")?;
    let server = Server(process);
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        out.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    let line = String::from_utf8(line)?;
    let port: u16 = line.trim().rsplit(':').next().ok_or("no port")?.parse()?;
    let sql = "SELECT order_id, customer_id, ordered_at, amount, channel, status FROM orders";
    let (mut text, mut binary) = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        text = text.max(rows_per_second(port, sql, 0)?);
        binary = binary.max(rows_per_second(port, sql, 1)?);
    }
    drop(server);
    let mut report = std::io::stdout().lock();
    writeln!(report, "text   {text:>12.0} rows/s")?;
    writeln!(report, "binary {binary:>12.0} rows/s")?;
    writeln!(report, "binary / text {:.2}", binary / text)?;
    Ok(())
}

fn rows_per_second(port: u16, sql: &str, format: u16) -> Result<f64, Box<dyn Error>> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    socket.write_all(&startup())?;
    let mut messages = Messages {
        socket: socket.try_clone()?,
        buffer: Vec::new(),
        at: 0,
    };
    while messages.next_tag()? != b'Z' {}
    let mut request = Vec::new();
    push(
        &mut request,
        b'P',
        &[b"\0", sql.as_bytes(), b"\0\0\0"].concat(),
    );
    push(
        &mut request,
        b'B',
        &[&b"\0\0\0\0\0\0\0\x01"[..], &format.to_be_bytes()].concat(),
    );
    push(&mut request, b'E', b"\0\0\0\0\0");
    push(&mut request, b'S', b"");
    let start = Instant::now();
    socket.write_all(&request)?;
    let mut rows = 0_u64;
    loop {
        match messages.next_tag()? {
            b'D' => rows += 1,
            b'E' => return Err("the query failed".into()),
            b'Z' => break,
            _ => {}
        }
    }
    Ok(rows as f64 / start.elapsed().as_secs_f64())
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0bench\0\0";
    [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn push(request: &mut Vec<u8>, tag: u8, body: &[u8]) {
    request.push(tag);
    request.extend((body.len() as u32 + 4).to_be_bytes());
    request.extend_from_slice(body);
}

/// Messages of the server, skipped over as fast as a client can.
struct Messages {
    socket: TcpStream,
    buffer: Vec<u8>,
    at: usize,
}

impl Messages {
    fn next_tag(&mut self) -> Result<u8, Box<dyn Error>> {
        self.need(5)?;
        let header: [u8; 4] = self.buffer[self.at + 1..self.at + 5].try_into()?;
        let length = 1 + u32::from_be_bytes(header) as usize;
        let tag = self.buffer[self.at];
        self.need(length)?;
        self.at += length;
        Ok(tag)
    }

    fn need(&mut self, bytes: usize) -> Result<(), Box<dyn Error>> {
        while self.buffer.len() - self.at < bytes {
            self.buffer.drain(..self.at);
            self.at = 0;
            let end = self.buffer.len();
            self.buffer.resize(end + (256 << 10), 0);
            let read = self.socket.read(&mut self.buffer[end..])?;
            self.buffer.truncate(end + read);
            if read == 0 {
                return Err("the server closed the connection".into());
            }
        }
        Ok(())
    }
}
