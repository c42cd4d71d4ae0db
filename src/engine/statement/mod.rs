//! Statements: from SQL text to something DataFusion can plan.

pub mod dialect;
