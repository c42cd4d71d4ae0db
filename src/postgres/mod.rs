//! The PostgreSQL wire protocol, version 3: messages, types and values.

pub mod backend;
pub mod copy;
pub mod decode;
pub mod encode;
pub mod frontend;
pub mod types;
