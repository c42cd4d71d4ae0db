//! Sums and deviations of floats in frames that move: what leaves a frame is not subtracted, because that
//! leaves rounding errors and infinities behind.

use std::collections::VecDeque;
use std::fmt::Debug;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::error::Result;
use datafusion::logical_expr::Accumulator;
use datafusion::scalar::ScalarValue;

use crate::error::Error;

/// Rows of a frame up to which its result is computed from the first row to the last, as PostgreSQL does.
const ROWS_IN_ORDER_MAX: usize = 128;

/// What is known of some floats.
pub(super) trait Fold: Clone + Debug + Default + Send + Sync {
    /// Takes one more in.
    fn push(&mut self, value: f64);
    /// Takes in what is known of those that follow.
    fn join(&mut self, later: &Self);
    /// The result of type double precision.
    fn result(&self) -> Option<f64>;
}

/// Number and sum.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    count: u64,
    sum: f64,
}

impl Fold for Sum {
    fn push(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
    }

    fn join(&mut self, later: &Self) {
        self.count += later.count;
        self.sum += later.sum;
    }

    fn result(&self) -> Option<f64> {
        (self.count > 0).then_some(self.sum)
    }
}

/// As [`Sum`], with the mean as its result.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mean(Sum);

impl Fold for Mean {
    fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    fn join(&mut self, later: &Self) {
        self.0.join(&later.0);
    }

    fn result(&self) -> Option<f64> {
        self.0.result().map(|sum| sum / self.0.count as f64)
    }
}

/// The values of a frame, and what is known of its parts, so that a row costs the same in a long frame.
#[derive(Debug, Default)]
struct Frame<S> {
    values: VecDeque<f64>,
    /// Of each of the older values: what is known from it to the newest of them; the oldest comes last.
    older: Vec<S>,
    newer: S,
}

impl<S: Fold> Frame<S> {
    fn push(&mut self, value: f64) {
        self.values.push_back(value);
        self.newer.push(value);
    }

    fn pop(&mut self) {
        if self.older.is_empty() {
            for value in self.values.iter().rev() {
                let mut part = S::default();
                part.push(*value);
                if let Some(later) = self.older.last() {
                    part.join(later);
                }
                self.older.push(part);
            }
            self.newer = S::default();
        }
        self.older.pop();
        self.values.pop_front();
    }

    fn total(&self) -> S {
        if self.values.len() <= ROWS_IN_ORDER_MAX {
            let mut total = S::default();
            for value in &self.values {
                total.push(*value);
            }
            return total;
        }
        let mut total = self.older.last().cloned().unwrap_or_default();
        total.join(&self.newer);
        total
    }
}

/// An aggregate of the floats of a moving frame.
#[derive(Debug)]
pub(super) struct Moving<S> {
    frame: Frame<S>,
    gives: DataType,
}

impl<S: Fold> Moving<S> {
    /// `gives` is the type of the result.
    pub(super) fn new(gives: DataType) -> Self {
        Self {
            frame: Frame {
                values: VecDeque::new(),
                older: Vec::new(),
                newer: S::default(),
            },
            gives,
        }
    }
}

fn floats(values: &[ArrayRef]) -> Result<Vec<f64>> {
    let Some(values) = values.first() else {
        return Ok(Vec::new());
    };
    let floats = cast(values, &DataType::Float64)?;
    Ok(floats
        .as_primitive::<Float64Type>()
        .iter()
        .flatten()
        .collect())
}

impl<S: Fold + 'static> Accumulator for Moving<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in floats(values)? {
            self.frame.push(value);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let leaving = values
            .first()
            .map_or(0, |values| values.len() - values.null_count());
        for _ in 0..leaving {
            self.frame.pop();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::Float64(self.frame.total().result()).cast_to(&self.gives)
    }

    fn size(&self) -> usize {
        size_of::<Self>()
            + self.frame.values.capacity() * size_of::<f64>()
            + self.frame.older.capacity() * size_of::<S>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(Error::internal("a moving frame was split").into())
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(Error::internal("a moving frame was split").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_frames_keep_no_trace_of_what_left() {
        let mut frame = Frame::<Sum>::default();
        let length = ROWS_IN_ORDER_MAX * 2;
        frame.push(f64::INFINITY);
        for _ in 1..length {
            frame.push(1.0);
        }
        for _ in 0..length {
            frame.push(1.0);
            frame.pop();
        }
        assert_eq!(frame.total().result(), Some(length as f64));
        for _ in 0..length {
            frame.pop();
        }
        assert_eq!(frame.total().result(), None);
    }
}
