//! How long customers stay when some are still there: the Kaplan–Meier estimate.

/// The estimate and the aggregates made of it.
mod curve;
/// Mean time until customers leave, up to a horizon.
pub(crate) mod mean_lifetime;
/// Time by which half of them have left.
pub(crate) mod median_lifetime;
/// The whole curve.
#[expect(
    clippy::module_inception,
    reason = "the function has the name of the subject"
)]
pub(crate) mod survival;
/// One point of the curve.
pub(crate) mod survival_at;
