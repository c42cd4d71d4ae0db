//! What customers are worth: orders and money.

/// Average order value.
pub(crate) mod aov;
/// Customer lifetime value to date.
pub(crate) mod clv;
/// Customer lifetime value by multiplication.
pub(crate) mod clv_simple;
/// Orders of a customer told apart by a key.
mod keyed_orders;
/// Money per distinct customer or order.
mod per_distinct;
/// Orders per customer.
pub(crate) mod purchase_frequency;
