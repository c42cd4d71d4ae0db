//! Loyalhouse: a customer-loyalty warehouse that speaks PostgreSQL.

pub mod catalog;
pub mod engine;
pub mod error;
pub mod sqlstate;
