//! Loyalhouse: a customer-loyalty warehouse that speaks PostgreSQL.
//!
//! A folder or bucket of Parquet files goes in; loyalty KPIs come out over the PostgreSQL wire
//! protocol. This page is the map.
//!
//! # Floors
//!
//! A module imports from lower floors only, and never from its own; what must go up goes through a
//! trait or a handle given by [`server`]. `tests/tidy.rs` holds the same table and checks it.
//!
//! ```text
//! 8  cli server
//! 7  postgres
//! 6  scheduler
//! 5  engine
//! 4  auth values
//! 3  catalog jobs warehouse
//! 2  metastore storage
//! 1  calendar config error parse runtime sample sqlstate telemetry
//! 0  datafusion_functions_loyalty
//! ```
//!
//! # Where things are
//!
//! | question | module |
//! |---|---|
//! | which commands and flags are there | [`cli`] |
//! | in what order do the parts start and stop | [`server`] |
//! | how do bytes of a client become statements and back | [`postgres`] |
//! | which type, text and bytes does a value have | [`values`] |
//! | how is a statement parsed, planned, run, stopped | [`engine`] |
//! | which settings does a session have | [`engine::settings`] |
//! | what do psql and BI tools see in `pg_catalog` | [`catalog`] |
//! | how do files become tables | [`storage`] |
//! | which tables does this server write, and how | [`warehouse`] |
//! | what runs by itself, and what became of it | [`jobs`] |
//! | who starts it, when, and who is told | [`scheduler`] |
//! | who may come in and what may they do | [`auth`] |
//! | which rows last, and where | [`metastore`] |
//! | how are dates, intervals and zones read and shown | [`calendar`] |
//! | which code is sent for which error | [`sqlstate`] |
//! | what does the demo data look like | [`sample`] |
//! | how is `nps` computed | crate `datafusion_functions_loyalty`, one file a function |
//!
//! # Invariants
//!
//! 1. A frontend never sees a table provider, only a [`engine::session::Session`].
//! 2. Functions are registered in one place, [`engine::state::build`].
//! 3. Results are streams from storage to socket; only EXPLAIN, SHOW and the catalog collect.
//! 4. Time, randomness and ports come in from outside.
//! 5. An error that reaches a client has a SQLSTATE chosen by us; XX000 means a defect of ours.
//! 6. The function crate does no I/O and keeps no global state.
//! 7. Whatever recurses over a statement runs on a thread with a big stack, behind
//!    [`engine::statement::limits`].
//! 8. Privileges are checked on the logical plan, once, before running. TLS or roles that are
//!    misconfigured stop the server; nothing falls back to plain text.

pub mod auth;
pub mod calendar;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod engine;
pub mod error;
pub mod jobs;
pub mod metastore;
pub mod parse;
pub mod postgres;
pub mod runtime;
pub mod sample;
pub mod scheduler;
pub mod server;
pub mod sqlstate;
pub mod storage;
pub mod telemetry;
pub mod values;
pub mod warehouse;
