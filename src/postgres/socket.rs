//! The two halves of a client's socket: bounded frames in, buffered bytes out.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::frontend::{self, HEADER_BYTES};
use crate::error::{Error, Result};

/// Bytes read ahead while a statement runs, so that a closed connection is seen. A client that sends
/// more than this ahead of its answers is read no further until they are sent.
const READ_AHEAD_BYTES_MAX: usize = 1 << 20;

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 4 << 10;

/// Bytes that a buffer keeps room for while its session is idle: there may be thousands of them.
const IDLE_BUFFER_BYTES: usize = 8 << 10;

/// Reads whole messages. Every wait may be abandoned: what was read stays in the buffer.
#[derive(Debug)]
pub struct FrameReader<R> {
    socket: R,
    buffer: BytesMut,
    ended: bool,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `socket`.
    pub fn new(socket: R) -> Self {
        Self {
            socket,
            buffer: BytesMut::new(),
            ended: false,
        }
    }

    /// Reads from `socket` behind bytes that were read from it already.
    pub fn behind(buffer: BytesMut, socket: R) -> Self {
        Self {
            socket,
            buffer,
            ended: false,
        }
    }

    /// The start-up packet's body behind its length, or `None` when the client closed first.
    pub async fn startup_packet(&mut self) -> Result<Option<Bytes>> {
        if !self.fill_to(4).await? {
            return Ok(None);
        }
        let header = [
            self.buffer[0],
            self.buffer[1],
            self.buffer[2],
            self.buffer[3],
        ];
        let length = frontend::startup_length(header)?;
        if !self.fill_to(4 + length).await? {
            return Ok(None);
        }
        let mut packet = self.buffer.split_to(4 + length);
        packet.advance(4);
        Ok(Some(packet.freeze()))
    }

    /// The next message: its type and body; `None` when the client closed the connection.
    /// Memory grows with the bytes that arrive, not with the length that is declared.
    pub async fn next(&mut self, length_max: usize) -> Result<Option<(u8, Bytes)>> {
        if !self.fill_to(HEADER_BYTES).await? {
            return Ok(None);
        }
        let (tag, length) = frontend::frame_length(&self.buffer[..HEADER_BYTES], length_max)?;
        if !frontend::is_known(tag) {
            return Err(Error::protocol_violation(format!(
                "invalid frontend message type {tag}"
            )));
        }
        if !self.fill_to(HEADER_BYTES + length).await? {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(HEADER_BYTES + length);
        frame.advance(HEADER_BYTES);
        if self.buffer.is_empty() && self.buffer.capacity() > IDLE_BUFFER_BYTES {
            self.buffer = BytesMut::new();
        }
        Ok(Some((tag, frame.freeze())))
    }

    /// Whether the next message has arrived whole.
    pub fn has_frame(&self) -> bool {
        let length = self.buffer.get(1..HEADER_BYTES);
        length
            .and_then(|length| length.try_into().ok())
            .map(u32::from_be_bytes)
            .is_some_and(|length| self.buffer.len() as u64 > u64::from(length))
    }

    /// Completes when the client is gone; reads ahead meanwhile.
    pub async fn closed(&mut self) {
        while self.buffer.len() < READ_AHEAD_BYTES_MAX {
            if !matches!(self.read_more().await, Ok(true)) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn fill_to(&mut self, length: usize) -> Result<bool> {
        while self.buffer.len() < length {
            if !self.read_more().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn read_more(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.reserve(READ_BYTES);
        match self.socket.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => {
                self.ended = true;
                Ok(false)
            }
            Ok(_) => Ok(true),
        }
    }
}

/// Answers that are gathered while more messages of a pipeline wait, in bytes.
const GATHERED_BYTES: usize = 64 << 10;

/// Gathers answers and writes them. A write that is abandoned goes on where it stopped.
#[derive(Debug)]
pub struct FrameWriter<W> {
    socket: W,
    pending: BytesMut,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to `socket`.
    pub fn new(socket: W) -> Self {
        Self {
            socket,
            pending: BytesMut::new(),
        }
    }

    /// Forgets what was gathered and not written.
    #[must_use]
    pub fn discard_pending(mut self) -> Self {
        self.pending.clear();
        self
    }

    /// Adds a message; nothing is written yet.
    pub fn push(&mut self, message: &[u8]) {
        self.pending.extend_from_slice(message);
    }

    /// Whether so much was gathered that it is to be written before more is added.
    pub fn is_full(&self) -> bool {
        self.pending.len() >= GATHERED_BYTES
    }

    /// Writes what was gathered.
    pub async fn flush(&mut self) -> Result<()> {
        while self.pending.has_remaining() {
            let written = self
                .socket
                .write_buf(&mut self.pending)
                .await
                .map_err(gone)?;
            if written == 0 {
                return Err(gone(std::io::ErrorKind::WriteZero.into()));
            }
        }
        if self.pending.capacity() > IDLE_BUFFER_BYTES {
            self.pending = BytesMut::new();
        }
        self.socket.flush().await.map_err(gone)
    }

    /// Writes what was gathered and then `chunk`, without copying it. `chunk` is advanced, so that an
    /// abandoned call can be repeated with what is left of it.
    pub async fn write_chunk(&mut self, chunk: &mut Bytes) -> Result<()> {
        self.flush().await?;
        while chunk.has_remaining() {
            let written = self.socket.write_buf(chunk).await.map_err(gone)?;
            if written == 0 {
                return Err(gone(std::io::ErrorKind::WriteZero.into()));
            }
        }
        Ok(())
    }

    /// Closes the sending side.
    pub async fn shutdown(&mut self) {
        // The peer may be gone already; there is nobody left to tell.
        let _gone = self.socket.shutdown().await;
    }
}

fn gone(error: std::io::Error) -> Error {
    Error::new(
        crate::sqlstate::SqlState::ConnectionFailure,
        "the client closed the connection",
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> FrameReader<&[u8]> {
        FrameReader::new(bytes)
    }

    #[tokio::test]
    async fn frames_come_whole_and_in_order() {
        let mut frames = reader(b"Q\0\0\0\x06a\0S\0\0\0\x04");
        assert_eq!(
            frames.next(100).await.unwrap().unwrap(),
            (b'Q', Bytes::from_static(b"a\0"))
        );
        assert!(frames.has_frame());
        assert_eq!(
            frames.next(100).await.unwrap().unwrap(),
            (b'S', Bytes::new())
        );
        assert!(!frames.has_frame());
        assert!(frames.next(100).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn lengths_that_cannot_be_are_refused() {
        for header in [
            b"Q\0\0\0\0",
            b"Q\0\0\0\x03",
            b"Q\xff\xff\xff\xff",
            b"Q\x40\0\0\0",
        ] {
            assert!(reader(header).next(1 << 20).await.is_err(), "{header:?}");
        }
        for header in [
            b"\0\0\0\0",
            b"\0\0\0\x07",
            b"\xff\xff\xff\xff",
            b"\0\0\x27\x11",
        ] {
            assert!(reader(header).startup_packet().await.is_err(), "{header:?}");
        }
    }

    #[tokio::test]
    async fn half_a_message_is_a_closed_connection() {
        assert!(reader(b"Q\0\0\0\x06a").next(100).await.unwrap().is_none());
        assert!(
            reader(b"\0\0\0\x10abc")
                .startup_packet()
                .await
                .unwrap()
                .is_none()
        );
    }

    #[tokio::test]
    async fn an_abandoned_write_goes_on_where_it_stopped() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut writer = FrameWriter::new(near);
        writer.push(b"0123456789");
        let mut chunk = Bytes::from_static(b"abcdef");
        assert!(futures::poll!(Box::pin(writer.write_chunk(&mut chunk))).is_pending());
        let read = tokio::spawn(async move {
            let mut all = vec![0; 16];
            far.read_exact(&mut all).await.unwrap();
            all
        });
        writer.write_chunk(&mut chunk).await.unwrap();
        assert_eq!(read.await.unwrap(), b"0123456789abcdef");
    }
}
