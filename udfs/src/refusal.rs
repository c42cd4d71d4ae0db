//! What functions answer to arguments that cannot be meant, as a type that embedders can look for.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use datafusion_common::DataFusionError;

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// A value of one row: off the scale, NaN, infinite, negative where that means nothing. Under
    /// [`lenient_aggregate`](crate::lenient_aggregate) and its kin such values count as NULL.
    Value,
    /// How the function was called: an unknown name, bounds in the wrong order, an argument that
    /// varies within a group; or a result that no type holds. Always an error.
    Call,
}

/// The error of a loyalty function, inside [`DataFusionError::External`]. Its text names the
/// function, the argument, the value, and what to do.
///
/// DataFusion and Arrow wrap errors in others; [`Refusal::of`] finds it under them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    refused: Refused,
    text: String,
}

impl Refusal {
    pub(crate) fn new(refused: Refused, function: &str, problem: &str) -> Self {
        Self {
            refused,
            text: format!("{function}(): {problem}"),
        }
    }

    /// What was refused.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// The refusal that is the cause of an error, if one is.
    pub fn of(error: &DataFusionError) -> Option<&Self> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(current) = cause {
            if let Some(refusal) = current.downcast_ref::<Self>() {
                return Some(refusal);
            }
            cause = current.source();
        }
        None
    }
}

impl Display for Refusal {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_found_under_what_wraps_it() {
        let refusal = Refusal::new(Refused::Value, "nps", "score 11 is outside 0..10");
        let bare = DataFusionError::External(Box::new(refusal.clone()));
        let wrapped = DataFusionError::External(Box::new(bare.context("in a query")));
        assert_eq!(Refusal::of(&wrapped), Some(&refusal));
        assert_eq!(refusal.to_string(), "nps(): score 11 is outside 0..10");
        let other = DataFusionError::Execution("nps(): no".to_owned());
        assert_eq!(Refusal::of(&other), None);
    }
}
