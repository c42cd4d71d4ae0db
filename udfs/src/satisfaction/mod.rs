//! What customers say: scores from surveys.

/// Customer Effort Score.
pub(crate) mod ces;
/// Customer Loyalty Index.
pub(crate) mod cli;
/// Customer Satisfaction Score.
pub(crate) mod csat;
/// Customer Satisfaction Index.
pub(crate) mod csi;
/// Weighted mean of several scores.
pub(crate) mod loyalty_index;
/// Net Promoter Score.
pub(crate) mod nps;
/// Promoter, passive or detractor.
pub(crate) mod nps_category;
/// Whether the score has changed.
pub(crate) mod nps_change;
/// The score with its interval.
pub(crate) mod nps_ci;
/// Margin of error of the score.
pub(crate) mod nps_moe;
/// The score of weighted answers.
pub(crate) mod nps_weighted;
