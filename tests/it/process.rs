//! The real server as a process on a free port.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::fixtures;

/// A server process; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    /// The port it listens on.
    pub port: u16,
}

impl Server {
    /// Starts a server on `location`.
    pub(crate) fn start(location: &Path, flags: &[&str]) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_loyalhouse"));
        Self::start_by(command, location, flags)
    }

    /// Starts it by a command that becomes the server.
    pub(crate) fn start_by(mut command: Command, location: &Path, flags: &[&str]) -> Self {
        let mut process = command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .arg(location)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line
            .trim()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("the server said {line:?}"));
        assert!(line.starts_with("listening on 127.0.0.1:"), "{line}");
        Self { process, port }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The server that tests share which only read. It ends with the last test that holds it.
    pub(crate) fn shared() -> Arc<Self> {
        static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut held = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        held.upgrade().unwrap_or_else(|| {
            let notes = fixtures::data_file("tables.toml");
            let flags = ["--staleness", "200ms", "--config", &notes.to_string_lossy()];
            let server = Arc::new(Self::start(&fixtures::data(), &flags));
            *held = Arc::downgrade(&server);
            server
        })
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own `kill`: the program of that name is not everywhere.
        let command = format!("kill -s {name} {}", self.process.id());
        let status = Command::new("sh").args(["-c", &command]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the process to end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Processor time it has used, in clock ticks.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Waits until the process stops using the processor: work that was cancelled has ended.
    pub(crate) fn wait_until_idle(&self) {
        /// The window in which an idle server may use at most one tick.
        const WINDOW: Duration = Duration::from_millis(300);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let before = self.cpu_ticks();
            std::thread::sleep(WINDOW);
            if self.cpu_ticks() - before <= 1 {
                return;
            }
            assert!(Instant::now() < deadline, "the server goes on working");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
