//! What customers say: scores from surveys.

/// Net Promoter Score.
pub(crate) mod nps;
/// Promoter, passive or detractor.
pub(crate) mod nps_category;
