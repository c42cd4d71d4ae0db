//! Small helpers around customers and surveys.

/// The number in a survey's answer.
pub(crate) mod survey_score;
/// How long a customer has been one.
pub(crate) mod tenure;
