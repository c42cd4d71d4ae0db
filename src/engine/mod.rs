//! The engine: sessions, statements, planning and running.

pub mod statement;
