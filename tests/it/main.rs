//! Integration tests in one binary: SQL files in process and over the wire, and the real server.

mod client;
mod e2e;
mod fixtures;
mod process;
mod slt;
