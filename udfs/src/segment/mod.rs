//! Which customers are alike: scores by rank and the segments made of them.

/// Score by rank among all customers.
pub(crate) mod quantile_score;
/// The three scores as a code.
pub(crate) mod rfm_score;
/// The name that goes with the scores.
pub(crate) mod rfm_segment;
