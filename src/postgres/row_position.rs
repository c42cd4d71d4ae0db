//! Where a result stands: rows are read forward from a stream, and kept for those who go backward.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::StreamExt;

use crate::engine::cursor::Keep;
use crate::engine::statement::session_command::Direction;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Rows that one SCROLL cursor keeps, in bytes.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// Rows that a cursor keeps which was not asked to, in bytes; with more it is read forward only.
const UNASKED_BYTES_MAX: usize = 4 << 20;

/// The rows of a result and the place among them. Rows count from one; zero is before the first.
pub(super) struct RowPosition {
    stream: SendableRecordBatchStream,
    /// The batches read, with the number of rows before each. Only the last one is held unless rows
    /// are kept.
    batches: Vec<(u64, RecordBatch)>,
    /// The memory of kept rows; `None` if they are not kept.
    kept: Option<MemoryReservation>,
    /// Whether they are kept only as long as there are few.
    unasked: bool,
    /// Rows read from the stream.
    read: u64,
    ended: bool,
    /// The current row; one more than there are behind the last.
    at: u64,
}

/// The rows that a direction means, in the order in which they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// None.
    Nothing,
    /// From the first to the second, as far as there are rows.
    Forward(u64, u64),
    /// From the first down to the second.
    Backward(u64, u64),
}

impl RowPosition {
    pub(super) fn new(
        stream: SendableRecordBatchStream,
        keep: Keep,
        pool: Option<&Arc<dyn MemoryPool>>,
    ) -> Self {
        let pool = pool.filter(|_| keep != Keep::Nothing);
        Self {
            stream,
            batches: Vec::new(),
            kept: pool.map(|pool| MemoryConsumer::new("cursor").register(pool)),
            unasked: keep == Keep::Some,
            read: 0,
            ended: false,
            at: 0,
        }
    }

    /// Whether the next row can be had without waiting for the query.
    pub(super) fn has_next(&self) -> bool {
        self.ended || self.at < self.read
    }

    /// Goes on to the next row and gives its batch, how many rows of it are to come from there, and
    /// where it stands in it. `None` behind the last row.
    pub(super) async fn next(&mut self) -> Result<Option<(RecordBatch, usize)>> {
        let found = self.locate(self.at + 1).await?;
        if found.is_none() {
            self.at = self.read + 1;
        }
        Ok(found)
    }

    /// Passes over rows that [`Self::next`] gave.
    pub(super) fn advance(&mut self, rows: u64) {
        self.at += rows;
    }

    /// The batch that a row is in, and its place there.
    pub(super) async fn locate(&mut self, row: u64) -> Result<Option<(RecordBatch, usize)>> {
        while self.read < row && !self.ended {
            self.read_batch().await?;
        }
        if row == 0 || row > self.read {
            return Ok(None);
        }
        let after = self.batches.partition_point(|(before, _)| *before < row);
        let found = self.batches.get(after.wrapping_sub(1));
        match found {
            Some((before, batch)) => Ok(Some((batch.clone(), (row - before - 1) as usize))),
            None => Err(cannot_go_back()),
        }
    }

    async fn read_batch(&mut self) -> Result<()> {
        let Some(batch) = self.stream.next().await else {
            self.ended = true;
            return Ok(());
        };
        let batch = batch?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let bytes = batch.get_array_memory_size();
        if self.unasked
            && let Some(memory) = &mut self.kept
            && (memory.size() + bytes > UNASKED_BYTES_MAX || memory.try_grow(bytes).is_err())
        {
            self.kept = None;
        }
        match &mut self.kept {
            Some(_) if self.unasked => {}
            None => self.batches.clear(),
            Some(memory) => {
                if memory.size() + bytes > KEPT_BYTES_MAX {
                    return Err(Error::program_limit_exceeded(
                        "a SCROLL cursor keeps too many rows",
                    )
                    .with_detail(format!("It may keep {} MB.", KEPT_BYTES_MAX >> 20))
                    .with_hint("Declare the cursor with NO SCROLL and read it forward."));
                }
                memory.try_grow(bytes)?;
            }
        }
        let rows = batch.num_rows() as u64;
        self.batches.push((self.read, batch));
        self.read += rows;
        Ok(())
    }

    /// Reads to the end; how many rows there are.
    async fn count(&mut self) -> Result<u64> {
        while !self.ended {
            self.read_batch().await?;
        }
        Ok(self.read)
    }

    /// The rows that `direction` gives. Afterwards the place is before the first of them, or where
    /// the direction leads if there are none.
    pub(super) async fn span(&mut self, direction: Direction) -> Result<Span> {
        match direction {
            Direction::Forward(Some(count)) if count < 0 => {
                self.backward(Some(count.unsigned_abs()))
            }
            Direction::Backward(Some(count)) if count < 0 => {
                Ok(self.forward(Some(count.unsigned_abs())))
            }
            Direction::Forward(Some(0)) | Direction::Backward(Some(0)) | Direction::Relative(0) => {
                self.again().await
            }
            Direction::Forward(count) => Ok(self.forward(count.map(i64::unsigned_abs))),
            Direction::Backward(count) => self.backward(count.map(i64::unsigned_abs)),
            Direction::Absolute(row) if row >= 0 => self.only(row.unsigned_abs()).await,
            Direction::Absolute(row) => {
                let rows = self.count().await?;
                self.only((rows + 1).saturating_sub(row.unsigned_abs()))
                    .await
            }
            Direction::Relative(distance) => {
                self.only(self.at.saturating_add_signed(distance)).await
            }
        }
    }

    fn forward(&self, count: Option<u64>) -> Span {
        let last = count.map_or(u64::MAX, |count| self.at.saturating_add(count));
        Span::Forward(self.at + 1, last)
    }

    fn backward(&mut self, count: Option<u64>) -> Result<Span> {
        if self.kept.is_none() {
            return Err(cannot_go_back());
        }
        let last = count.map_or(1, |count| self.at.saturating_sub(count).max(1));
        // With fewer rows than wanted the place is before the first.
        let beyond = count.is_none_or(|count| self.at <= count);
        let span = match self.at {
            0 | 1 => Span::Nothing,
            at => Span::Backward(at - 1, last),
        };
        self.at = if beyond { 0 } else { last };
        Ok(span)
    }

    /// The current row once more.
    async fn again(&mut self) -> Result<Span> {
        if self.kept.is_none() {
            return Err(cannot_go_back());
        }
        match self.locate(self.at).await? {
            Some(_) => {
                let row = self.at;
                self.at = row - 1;
                Ok(Span::Forward(row, row))
            }
            None => Ok(Span::Nothing),
        }
    }

    /// One row by its number; the place is there, or before or behind all rows.
    async fn only(&mut self, row: u64) -> Result<Span> {
        if row <= self.at && self.kept.is_none() && self.at > 0 {
            return Err(cannot_go_back());
        }
        if row == 0 {
            self.at = 0;
            return Ok(Span::Nothing);
        }
        match self.locate(row).await? {
            Some(_) => {
                self.at = row - 1;
                Ok(Span::Forward(row, row))
            }
            None => {
                self.at = self.read + 1;
                Ok(Span::Nothing)
            }
        }
    }
}

/// 55000
pub(super) fn cannot_go_back() -> Error {
    Error::new(
        SqlState::ObjectNotInPrerequisiteState,
        "cursor can only scan forward",
    )
    .with_hint("Declare it with SCROLL option to enable backward scan.")
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray, Int32Array};
    use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use datafusion::execution::memory_pool::UnboundedMemoryPool;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    use super::*;

    fn rows(keep: bool) -> RowPosition {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
        let batch = |values: Vec<i32>| {
            let column = Arc::new(Int32Array::from(values));
            RecordBatch::try_new(Arc::clone(&schema), vec![column]).map_err(Into::into)
        };
        let batches = vec![batch(vec![1, 2]), batch(vec![]), batch(vec![3, 4, 5])];
        let stream =
            RecordBatchStreamAdapter::new(Arc::clone(&schema), futures::stream::iter(batches));
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let keep = if keep {
            Keep::Everything
        } else {
            Keep::Nothing
        };
        RowPosition::new(Box::pin(stream), keep, Some(&pool))
    }

    async fn fetch(rows: &mut RowPosition, direction: Direction) -> Vec<i32> {
        let mut found = Vec::new();
        let value = |(batch, at): (RecordBatch, usize)| {
            batch.column(0).as_primitive::<Int32Type>().value(at)
        };
        match rows.span(direction).await.unwrap() {
            Span::Nothing => {}
            Span::Forward(first, last) => {
                for _ in first..=last {
                    let Some(row) = rows.next().await.unwrap() else {
                        break;
                    };
                    rows.advance(1);
                    found.push(value(row));
                }
            }
            Span::Backward(first, last) => {
                for row in (last..=first).rev() {
                    found.push(value(rows.locate(row).await.unwrap().unwrap()));
                }
            }
        }
        found
    }

    /// The places after each step are those of PostgreSQL 15 for `generate_series(1, 5)`.
    #[tokio::test]
    async fn kept_rows_are_given_in_every_direction() {
        use Direction::{Absolute, Backward, Forward, Relative};
        let rows = &mut rows(true);
        assert_eq!(fetch(rows, Forward(Some(2))).await, [1, 2]);
        assert_eq!(fetch(rows, Forward(Some(0))).await, [2]);
        assert_eq!(fetch(rows, Backward(Some(1))).await, [1]);
        assert_eq!(fetch(rows, Backward(Some(1))).await, [0_i32; 0]);
        assert_eq!(fetch(rows, Forward(Some(1))).await, [1]);
        assert_eq!(fetch(rows, Absolute(4)).await, [4]);
        assert_eq!(fetch(rows, Relative(-2)).await, [2]);
        assert_eq!(fetch(rows, Absolute(-1)).await, [5]);
        assert_eq!(fetch(rows, Forward(Some(1))).await, [0_i32; 0]);
        assert_eq!(fetch(rows, Backward(Some(2))).await, [5, 4]);
        assert_eq!(fetch(rows, Backward(None)).await, [3, 2, 1]);
        assert_eq!(fetch(rows, Forward(None)).await, [1, 2, 3, 4, 5]);
        assert_eq!(fetch(rows, Forward(Some(0))).await, [0_i32; 0]);
        assert_eq!(fetch(rows, Absolute(0)).await, [0_i32; 0]);
        assert_eq!(fetch(rows, Forward(Some(-1))).await, [0_i32; 0]);
        assert_eq!(fetch(rows, Absolute(9)).await, [0_i32; 0]);
        assert_eq!(fetch(rows, Relative(-1)).await, [5]);
        assert_eq!(fetch(rows, Absolute(-9)).await, [0_i32; 0]);
        assert_eq!(fetch(rows, Relative(1)).await, [1]);
    }

    #[tokio::test]
    async fn rows_that_are_not_kept_are_given_forward() {
        use Direction::{Absolute, Backward, Forward, Relative};
        let rows = &mut rows(false);
        assert_eq!(fetch(rows, Absolute(2)).await, [2]);
        assert_eq!(fetch(rows, Relative(1)).await, [3]);
        for direction in [
            Backward(Some(1)),
            Forward(Some(0)),
            Absolute(1),
            Absolute(3),
        ] {
            let error = rows.span(direction).await.unwrap_err();
            assert_eq!(error.state().code(), "55000");
        }
        assert_eq!(fetch(rows, Forward(None)).await, [4, 5]);
    }
}
