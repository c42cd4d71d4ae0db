//! Integration tests in one binary: SQL files in process and over the wire, and the real server.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

mod client;
mod crash;
mod delta_in_place;
mod differential;
mod door;
mod e2e;
mod fixtures;
mod full_disk;
mod leftovers;
mod login;
mod notes;
mod privileges;
mod process;
mod scheduler;
mod slt;
mod upkeep;
mod warehouse;
