//! What customers say: scores from surveys.

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
