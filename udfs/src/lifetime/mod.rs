//! What customers are worth and how long they stay: summaries, models, predictions.

/// Value of a customer under contract.
pub(crate) mod clv_contractual;
/// A customer's orders in four numbers.
pub(crate) mod clv_summary;
/// Orders of a group's members, kept row by row.
mod orders;
