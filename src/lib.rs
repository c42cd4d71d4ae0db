//! Loyalhouse: a customer-loyalty warehouse that speaks PostgreSQL.

pub mod error;
pub mod sample;
pub mod sqlstate;
