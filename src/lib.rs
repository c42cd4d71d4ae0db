//! Loyalhouse: a customer-loyalty warehouse that speaks PostgreSQL.

pub mod cli;
pub mod error;
pub mod sample;
pub mod sqlstate;
