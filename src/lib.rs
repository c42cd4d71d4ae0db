//! Loyalhouse: a customer-loyalty warehouse that speaks PostgreSQL.

pub mod error;
pub mod postgres;
pub mod sqlstate;
