//! Loyalhouse: a customer-loyalty warehouse that speaks PostgreSQL.

pub mod error;
pub mod sqlstate;
pub mod storage;
