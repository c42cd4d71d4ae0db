//! What customers do on a site or in an app.

/// Which conditions were met at all.
pub(crate) mod retention;
/// Visits out of events.
pub(crate) mod sessionize;
/// How far customers come through steps.
pub(crate) mod window_funnel;
