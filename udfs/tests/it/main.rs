//! Integration tests, in one binary because each one links DataFusion.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

mod behaviour;
mod docs;
mod goldens;
mod indices;
mod laws;
mod lenient;
mod lifetime;
mod models;
mod properties;
mod session;
mod spilling;
mod statistics;
mod survival;
mod text;
mod wrong_input;
