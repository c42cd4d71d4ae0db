//! Intervals and tests: whether a difference is more than chance.

/// Tails and quantiles of the normal and t distribution.
pub(crate) mod distributions;
/// Whether a value differs between treated and others.
pub(crate) mod lift_test;
/// Whether a share has changed.
pub(crate) mod rate_change;
/// Interval of a share, from rows.
pub(crate) mod rate_ci;
/// Whether a value goes up or down.
pub(crate) mod trend_test;
/// Interval of a share, from counts.
pub(crate) mod wilson_ci;
