//! A running result: rows are encoded on the query threads and handed to the socket in chunks.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use datafusion::arrow::array::RecordBatch;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::copy::CopyEncoder;
use super::encode::RowEncoder;
use super::row_position::{RowPosition, Span};
use crate::engine::control::{StatementControl, StopReason};
use crate::engine::cursor::Keep;
use crate::engine::session::Rows;
use crate::engine::statement::session_command::Direction;
use crate::error::{Error, Result};
use crate::runtime::{Workers, panic_error};
use crate::sqlstate::SqlState;

/// Bytes of encoded rows after which a chunk goes to the socket.
const CHUNK_BYTES: usize = 128 << 10;

/// Chunks that wait between the encoder and the socket.
const CHUNKS_QUEUED_MAX: usize = 3;

/// Rows encoded before the size of a chunk is looked at again.
const ROWS_PER_STEP: usize = 128;

/// How rows become messages.
#[derive(Debug)]
pub enum Encoder {
    /// DataRow messages.
    Rows(RowEncoder),
    /// CopyData messages.
    Copy(CopyEncoder),
}

impl Encoder {
    fn encode(
        &mut self,
        batch: &RecordBatch,
        rows: std::ops::Range<usize>,
        out: &mut BytesMut,
    ) -> Result<()> {
        match self {
            Self::Rows(encoder) => encoder.encode(batch, rows, out),
            Self::Copy(encoder) => encoder.encode(batch, rows, out),
        }
    }
}

/// What the encoder hands over.
#[derive(Debug)]
pub enum Chunk {
    /// Messages, and how many rows they hold.
    Rows(Bytes, u64),
    /// As many rows as were asked for are sent; there may be more.
    Suspended,
    /// There are no more rows.
    Finished,
}

/// Which rows are asked for.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// The next ones, up to a number.
    Next(u64),
    /// Those that a FETCH names.
    Fetch(Direction),
    /// As many as a MOVE passes over; they are counted, not given.
    Move(Direction),
}

/// A request for rows.
#[derive(Debug)]
struct Fetch {
    wanted: Wanted,
    control: Arc<StatementControl>,
    /// Replaces the encoder: each FETCH of a cursor chooses its own formats.
    encoder: Option<Encoder>,
}

/// A result that runs. Dropping it stops its operators.
#[derive(Debug)]
pub struct RunningResult {
    fetches: mpsc::Sender<Fetch>,
    chunks: mpsc::Receiver<Result<Chunk>>,
    task: Option<JoinHandle<()>>,
    operators: Option<Arc<StatementControl>>,
}

impl RunningResult {
    /// Starts `rows` on the query threads; nothing is read before the first fetch. `keep` holds on
    /// to the rows that were read, so that they can be given again.
    pub fn start(workers: &Workers, rows: Rows, encoder: Encoder, keep: Keep) -> Self {
        let (fetches, requests) = mpsc::channel(1);
        let (sender, chunks) = mpsc::channel(CHUNKS_QUEUED_MAX);
        let operators = rows.control();
        let task = workers.spawn_query(run(rows, encoder, keep, requests, sender));
        Self {
            fetches,
            chunks,
            task: Some(task),
            operators,
        }
    }

    /// Asks for rows; `control` stops the work. An `encoder` replaces the one before.
    pub async fn fetch(
        &mut self,
        wanted: Wanted,
        control: &Arc<StatementControl>,
        encoder: Option<Encoder>,
    ) -> Result<()> {
        let fetch = Fetch {
            wanted,
            control: Arc::clone(control),
            encoder,
        };
        match self.fetches.send(fetch).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    /// The next chunk of what was asked for. May be abandoned and called again.
    pub async fn chunk(&mut self) -> Result<Chunk> {
        match self.chunks.recv().await {
            Some(chunk) => chunk,
            None => Err(self.failure().await),
        }
    }

    /// Why the task ended: what it said last, or that it panicked.
    async fn failure(&mut self) -> Error {
        // A result that cannot start may say so and end before anything is asked of it.
        while let Some(chunk) = self.chunks.recv().await {
            if let Err(error) = chunk {
                return error;
            }
        }
        match self.task.take() {
            Some(task) => match task.await {
                Err(error) => panic_error(error),
                Ok(()) => Error::internal("the result ended without a word"),
            },
            None => Error::internal("the result has failed before"),
        }
    }
}

impl Drop for RunningResult {
    fn drop(&mut self) {
        if let Some(operators) = &self.operators {
            operators.stop(StopReason::ClientGone);
        }
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn run(
    rows: Rows,
    encoder: Encoder,
    keep: Keep,
    mut fetches: mpsc::Receiver<Fetch>,
    chunks: mpsc::Sender<Result<Chunk>>,
) {
    let pool = rows.memory_pool();
    let mut cursor = match rows.start() {
        Ok(stream) => Cursor {
            rows: RowPosition::new(stream, keep, pool.as_ref()),
            encoder,
        },
        Err(error) => {
            // A closed channel means that nobody waits for the result any more.
            let _closed = chunks.send(Err(error)).await;
            return;
        }
    };
    while let Some(mut fetch) = fetches.recv().await {
        if let Some(encoder) = fetch.encoder.take() {
            cursor.encoder = encoder;
        }
        let stopped = Arc::clone(&fetch.control);
        let outcome = tokio::select! {
            biased;
            () = stopped.stopped() => Err(stopped.error()),
            outcome = cursor.fetch(&fetch, &chunks) => outcome,
        };
        // Who asked for rows that are gone may still ask for those to come.
        let ended = match &outcome {
            Ok(chunk) => !matches!(chunk, Chunk::Suspended),
            Err(error) => error.state() != SqlState::ObjectNotInPrerequisiteState,
        };
        if ended {
            // Operators stop before the client is told so: what it sees as over is over.
            drop(cursor);
            let _closed = chunks.send(outcome).await;
            return;
        }
        if chunks.send(outcome).await.is_err() {
            return;
        }
    }
}

/// A result and how its rows are written.
struct Cursor {
    rows: RowPosition,
    encoder: Encoder,
}

impl Cursor {
    async fn fetch(
        &mut self,
        fetch: &Fetch,
        chunks: &mpsc::Sender<Result<Chunk>>,
    ) -> Result<Chunk> {
        let (direction, write) = match fetch.wanted {
            Wanted::Next(rows_max) => {
                return Ok(match self.forward(rows_max, true, chunks).await? {
                    true => Chunk::Suspended,
                    false => Chunk::Finished,
                });
            }
            Wanted::Fetch(direction) => (direction, true),
            Wanted::Move(direction) => (direction, false),
        };
        match self.rows.span(direction).await? {
            Span::Nothing => {}
            Span::Forward(first, last) => {
                let rows_max = last.saturating_sub(first - 1);
                self.forward(rows_max, write, chunks).await?;
            }
            Span::Backward(first, last) => self.backward(first, last, write, chunks).await?,
        }
        Ok(Chunk::Suspended)
    }

    /// Gives the next rows; whether there were as many. Before waiting for a batch that is not
    /// ready, what is encoded goes out, so that a slow query shows its first rows.
    async fn forward(
        &mut self,
        rows_max: u64,
        write: bool,
        chunks: &mpsc::Sender<Result<Chunk>>,
    ) -> Result<bool> {
        let mut left = rows_max;
        let mut buffer = BytesMut::new();
        let mut buffered = 0;
        while left > 0 {
            let next = if self.rows.has_next() {
                self.rows.next().await?
            } else {
                let mut next = std::pin::pin!(self.rows.next());
                match futures::poll!(next.as_mut()) {
                    std::task::Poll::Ready(next) => next?,
                    std::task::Poll::Pending => {
                        send(chunks, &mut buffer, &mut buffered).await?;
                        next.await?
                    }
                }
            };
            let Some((batch, offset)) = next else {
                send(chunks, &mut buffer, &mut buffered).await?;
                return Ok(false);
            };
            let count = (batch.num_rows() - offset)
                .min(ROWS_PER_STEP)
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            if write {
                self.encoder
                    .encode(&batch, offset..offset + count, &mut buffer)?;
            }
            self.rows.advance(count as u64);
            buffered += count as u64;
            left -= count as u64;
            if buffer.len() >= CHUNK_BYTES {
                send(chunks, &mut buffer, &mut buffered).await?;
            }
        }
        send(chunks, &mut buffer, &mut buffered).await?;
        Ok(true)
    }

    /// Gives kept rows from `first` down to `last`.
    async fn backward(
        &mut self,
        first: u64,
        last: u64,
        write: bool,
        chunks: &mpsc::Sender<Result<Chunk>>,
    ) -> Result<()> {
        let mut buffer = BytesMut::new();
        let mut buffered = 0;
        for row in (last..=first).rev() {
            let Some((batch, at)) = self.rows.locate(row).await? else {
                continue;
            };
            if write {
                self.encoder.encode(&batch, at..at + 1, &mut buffer)?;
            }
            buffered += 1;
            if buffer.len() >= CHUNK_BYTES {
                send(chunks, &mut buffer, &mut buffered).await?;
            }
        }
        send(chunks, &mut buffer, &mut buffered).await
    }
}

async fn send(
    chunks: &mpsc::Sender<Result<Chunk>>,
    buffer: &mut BytesMut,
    rows: &mut u64,
) -> Result<()> {
    if buffer.is_empty() && *rows == 0 {
        return Ok(());
    }
    let chunk = Chunk::Rows(buffer.split().freeze(), std::mem::take(rows));
    chunks
        .send(Ok(chunk))
        .await
        .map_err(|_| Error::query_canceled("the portal was closed"))
}
