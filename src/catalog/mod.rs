//! Names and durable facts: what the planner, psql and BI tools see.

pub mod database;
