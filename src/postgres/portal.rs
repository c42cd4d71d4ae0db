//! A running result: rows are encoded on the query threads and handed to the socket in chunks.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::copy::CopyEncoder;
use super::encode::RowEncoder;
use crate::engine::control::{StatementControl, StopReason};
use crate::engine::session::Rows;
use crate::error::{Error, Result};
use crate::runtime::{Workers, panic_error};

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

/// A request for rows.
#[derive(Debug)]
struct Fetch {
    rows_max: u64,
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
    /// Starts `rows` on the query threads; nothing is read before the first fetch.
    pub fn start(workers: &Workers, rows: Rows, encoder: Encoder) -> Self {
        let (fetches, requests) = mpsc::channel(1);
        let (sender, chunks) = mpsc::channel(CHUNKS_QUEUED_MAX);
        let operators = rows.control();
        let task = workers.spawn_query(run(rows, encoder, requests, sender));
        Self {
            fetches,
            chunks,
            task: Some(task),
            operators,
        }
    }

    /// Asks for up to `rows_max` rows; `control` stops the work. An `encoder` replaces the one before.
    pub async fn fetch(
        &mut self,
        rows_max: u64,
        control: &Arc<StatementControl>,
        encoder: Option<Encoder>,
    ) -> Result<()> {
        let fetch = Fetch {
            rows_max,
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

    /// Why the task ended without saying so: it panicked.
    async fn failure(&mut self) -> Error {
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
    mut fetches: mpsc::Receiver<Fetch>,
    chunks: mpsc::Sender<Result<Chunk>>,
) {
    let mut cursor = match rows.start() {
        Ok(stream) => Cursor {
            stream,
            encoder,
            batch: None,
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
        let ended = !matches!(outcome, Ok(Chunk::Suspended));
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

/// Where a result stands: the batch in hand and how far it was sent.
struct Cursor {
    stream: SendableRecordBatchStream,
    encoder: Encoder,
    batch: Option<(RecordBatch, usize)>,
}

impl Cursor {
    async fn fetch(
        &mut self,
        fetch: &Fetch,
        chunks: &mpsc::Sender<Result<Chunk>>,
    ) -> Result<Chunk> {
        let mut left = fetch.rows_max;
        let mut buffer = BytesMut::new();
        let mut buffered = 0;
        loop {
            if left == 0 {
                send(chunks, &mut buffer, &mut buffered).await?;
                return Ok(Chunk::Suspended);
            }
            let Some((batch, offset)) = self.next_rows(chunks, &mut buffer, &mut buffered).await?
            else {
                send(chunks, &mut buffer, &mut buffered).await?;
                return Ok(Chunk::Finished);
            };
            let count = (batch.num_rows() - offset)
                .min(ROWS_PER_STEP)
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            self.encoder
                .encode(&batch, offset..offset + count, &mut buffer)?;
            buffered += count as u64;
            left -= count as u64;
            if offset + count < batch.num_rows() {
                self.batch = Some((batch, offset + count));
            }
            if buffer.len() >= CHUNK_BYTES {
                send(chunks, &mut buffer, &mut buffered).await?;
            }
        }
    }

    /// The rows in hand, or the next batch. Before waiting for a batch that is not ready, what is
    /// encoded goes out, so that a slow query shows its first rows.
    async fn next_rows(
        &mut self,
        chunks: &mpsc::Sender<Result<Chunk>>,
        buffer: &mut BytesMut,
        buffered: &mut u64,
    ) -> Result<Option<(RecordBatch, usize)>> {
        loop {
            if let Some(rows) = self.batch.take() {
                return Ok(Some(rows));
            }
            let next = match futures::poll!(self.stream.next()) {
                std::task::Poll::Ready(next) => next,
                std::task::Poll::Pending => {
                    send(chunks, buffer, buffered).await?;
                    self.stream.next().await
                }
            };
            match next {
                None => return Ok(None),
                Some(batch) => {
                    let batch = batch?;
                    if batch.num_rows() > 0 {
                        self.batch = Some((batch, 0));
                    }
                }
            }
        }
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
