//! Bytes from one stream to another, both ways at once, with next to no memory while they
//! are idle: one scratch buffer a thread, and bytes kept only while a write is blocked.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;

const SCRATCH: usize = 16 * 1024;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// One direction.
#[derive(Debug, Default)]
pub struct Lane {
    /// Read but not yet written.
    held: Vec<u8>,
    written: usize,
    unflushed: bool,
    ended: bool,
    closed: bool,
    /// To be said at the end of the current frame, after which nothing is read.
    farewell: Option<Vec<u8>>,
    /// Where the frames of this direction end.
    pub frames: Frames,
    /// Bytes that went by.
    pub passed: u64,
}

impl Lane {
    /// A lane with bytes that must go first.
    pub fn starting_with(bytes: &[u8]) -> Self {
        let mut lane = Self { held: bytes.to_vec(), ..Self::default() };
        lane.frames.pass(bytes);
        lane
    }

    /// Ends the direction with a Close frame as soon as the current frame has gone by; no
    /// byte of another is read. One that has said goodbye itself hears no second one.
    pub fn say_goodbye(&mut self, frame: Vec<u8>) {
        self.farewell = Some(frame);
    }

    /// Whether the receiver has been told that nothing more comes.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn part_at_boundary(&mut self) {
        if self.frames.at_boundary()
            && let Some(farewell) = self.farewell.take()
        {
            if !self.frames.closing() {
                self.held.extend_from_slice(&farewell);
            }
            self.ended = true;
        }
    }

    /// Moves bytes until it would have to wait. `Ready(Ok)` once the sender has ended and
    /// the receiver knows.
    pub fn poll<R, W>(
        &mut self,
        context: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        loop {
            self.part_at_boundary();
            ready!(self.poll_write_held(context, to))?;
            if self.ended {
                if !self.closed {
                    ready!(Pin::new(&mut *to).poll_flush(context))?;
                    ready!(Pin::new(&mut *to).poll_shutdown(context))?;
                    self.closed = true;
                }
                return Poll::Ready(Ok(()));
            }
            match self.poll_read(context, from, to) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    // Before waiting, what was written must be on its way.
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(context))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_write_held<W>(&mut self, context: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        while let Some(rest) = self.held.get(self.written..).filter(|rest| !rest.is_empty()) {
            let wrote = ready!(Pin::new(&mut *to).poll_write(context, rest))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += wrote;
            self.unflushed = true;
        }
        if self.written > 0 {
            // An idle lane holds no memory.
            self.held = Vec::new();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once into the thread's scratch buffer and writes what can be written at once.
    fn poll_read<R, W>(
        &mut self,
        context: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let most = match self.farewell {
            Some(_) => usize::try_from(self.frames.to_boundary()).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        SCRATCH_BUFFER.with_borrow_mut(|scratch| {
            let most = most.min(scratch.len());
            let scratch = scratch.get_mut(..most).unwrap_or_default();
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(from).poll_read(context, &mut buffer))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            self.passed += bytes.len() as u64;
            self.frames.pass(bytes);
            let wrote = match Pin::new(to).poll_write(context, bytes) {
                Poll::Ready(wrote) => wrote?,
                Poll::Pending => 0,
            };
            self.unflushed |= wrote > 0;
            self.held.extend_from_slice(bytes.get(wrote..).unwrap_or_default());
            Poll::Ready(Ok(()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn everything_arrives_in_order_through_a_slow_receiver() {
        let (mut sender, mut from) = duplex(64);
        let (mut to, mut receiver) = duplex(7);
        let message: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let sent = message.clone();
        tokio::spawn(async move {
            sender.write_all(&sent).await.unwrap();
        });
        tokio::spawn(async move {
            let mut lane = Lane::starting_with(b"first");
            std::future::poll_fn(|cx| lane.poll(cx, &mut from, &mut to)).await.unwrap();
            assert_eq!(lane.passed, 100_000);
            assert!(lane.held.capacity() == 0, "an ended lane holds nothing");
        });
        let mut received = Vec::new();
        receiver.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.strip_prefix(b"first").unwrap(), message);
    }

    #[tokio::test]
    async fn a_goodbye_comes_at_the_end_of_the_frame_and_nothing_after_it() {
        let (mut sender, mut from) = duplex(1024);
        let (mut to, mut receiver) = duplex(1024);
        sender.write_all(b"\x82\x05hello\x82\x05never").await.unwrap();
        let mut lane = Lane::starting_with(b"\x82\x03fi");
        lane.say_goodbye(b"BYE".to_vec());
        // The rest of the first frame is the next frame's first byte.
        std::future::poll_fn(|cx| lane.poll(cx, &mut from, &mut to)).await.unwrap();
        let mut received = Vec::new();
        receiver.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"\x82\x03fi\x82BYE");
    }
}
