//! One connection of a gateway, which asks one question after the other over it.
//!
//! Questions have no bodies; a small one is read and dropped, and with any other the connection
//! ends. During a shutdown questions are answered to its very end: the gateway goes on
//! forwarding by itself, and depends on it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use http::Method;
use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Desk;
use crate::drain::Phase;
use crate::gate::{Fault, Peer, Refusal};
use crate::plan::{Limits, Timeouts};
use crate::proxy::head::{self, Framing};
use crate::proxy::{close_lingering, own_answer};

/// Longer than gateways keep an idle connection, so that it is always they who close it: a
/// question that meets a closing connection costs a visitor an error.
const IDLE: Duration = Duration::from_secs(150);
/// Bytes of a body that are dropped to get at the next question.
const LARGEST_BODY: u64 = 64 * 1024;

/// How waiting for a question ended.
enum Arrival {
    /// Its head is complete, and so long.
    Complete(usize),
    /// The gateway left, or is silent.
    Gone,
    /// It is larger than the limit.
    TooLarge,
}

/// A place among the open connections, given back however the conversation ends.
struct Seat<'d>(&'d AtomicUsize);

impl<'d> Seat<'d> {
    /// A place, and how many were taken before.
    fn take(open: &'d AtomicUsize) -> (Self, usize) {
        let taken = open.fetch_add(1, Ordering::Relaxed);
        (Self(open), taken)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Desk {
    /// Serves one connection to its end.
    pub async fn serve(&self, stream: Stream, peer: Peer) {
        let most = self.limits().0.connections;
        let (seat, taken) = Seat::take(&self.open);
        if taken < most {
            self.converse(stream, peer).await;
        } else if let Some(times) = self.crowded.happened(Instant::now().into_std()) {
            tracing::warn!(
                times,
                "the decision listener has as many connections as `limits.connections` allows \
                 ({most}): further ones are closed, and the gateway refuses its visitors"
            );
        }
        drop(seat);
    }

    fn limits(&self) -> (Limits, Timeouts) {
        let generation = self.gate.current().load();
        (generation.plan.limits, generation.plan.timeouts)
    }

    async fn converse(&self, mut stream: Stream, peer: Peer) {
        let mut buffer = BytesMut::new();
        loop {
            if !self.first_bytes(&mut stream, &mut buffer).await {
                return;
            }
            // From here on a shutdown waits for the answer.
            let _busy = self.gate.drain().open();
            let (limits, timeouts) = self.limits();
            let deadline = Instant::now() + timeouts.head;
            let arrived = read_head(&mut stream, &mut buffer, limits.head, deadline).await;
            let parsed = match arrived {
                Arrival::Gone => return,
                Arrival::TooLarge => {
                    let detail = format!("the question is larger than {} bytes", limits.head);
                    Err(Refusal::fault(Fault::HeadersTooLarge, detail))
                }
                Arrival::Complete(length) => head::parse(&buffer.split_to(length), limits.headers),
            };
            let (reply, keeps_alive, to_head) = match parsed {
                Err(refusal) => {
                    (self.misheard(&mut self.gate.journey(), peer, &refusal), false, false)
                }
                Ok(asked) => {
                    let fits = drop_body(&mut stream, &mut buffer, asked.framing, deadline).await;
                    let serving = self.gate.drain().phase() == Phase::Serving;
                    let keeps_alive = asked.keeps_alive && fits && serving;
                    let to_head = asked.method == Method::HEAD;
                    (self.answer(asked, peer).await, keeps_alive, to_head)
                }
            };
            let bytes = own_answer(&reply, keeps_alive, to_head);
            let sent = async {
                stream.write_all(&bytes).await?;
                stream.flush().await
            };
            if !matches!(timeout(timeouts.response, sent).await, Ok(Ok(()))) {
                return;
            }
            if !keeps_alive {
                return close_lingering(stream).await;
            }
        }
    }

    /// Waits for the beginning of a question, unless it is here already. Once the public
    /// listeners are closed, an idle connection is not kept.
    async fn first_bytes(&self, stream: &mut Stream, buffer: &mut BytesMut) -> bool {
        if !buffer.is_empty() {
            return true;
        }
        let drain = self.gate.drain();
        let closing = async {
            if drain.phase() >= Phase::Closing {
                std::future::pending::<()>().await;
            }
            drain.reached(Phase::Closing).await;
        };
        buffer.reserve(4096);
        tokio::select! {
            biased;
            received = timeout(IDLE, stream.read_buf(buffer)) => {
                matches!(received, Ok(Ok(length)) if length > 0)
            }
            () = closing => false,
        }
    }
}

async fn read_head(
    stream: &mut Stream,
    buffer: &mut BytesMut,
    limit: usize,
    deadline: Instant,
) -> Arrival {
    let mut searched = 0;
    loop {
        if let Some(length) = head::end(buffer, searched) {
            return if length > limit { Arrival::TooLarge } else { Arrival::Complete(length) };
        }
        if buffer.len() >= limit {
            return Arrival::TooLarge;
        }
        searched = buffer.len().saturating_sub(2);
        buffer.reserve(4096);
        match timeout_at(deadline, stream.read_buf(buffer)).await {
            Ok(Ok(received)) if received > 0 => {}
            _ => return Arrival::Gone,
        }
    }
}

/// Drops the body of a question; false if it is none that another question could follow.
async fn drop_body(
    stream: &mut Stream,
    buffer: &mut BytesMut,
    framing: Framing,
    deadline: Instant,
) -> bool {
    let mut left = match framing {
        Framing::None => return true,
        Framing::Length(length) if length <= LARGEST_BODY => length,
        Framing::Length(_) | Framing::Chunked => return false,
    };
    loop {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let _ = buffer.split_to(here);
        left -= here as u64;
        if left == 0 {
            return true;
        }
        match timeout_at(deadline, stream.read_buf(buffer)).await {
            Ok(Ok(received)) if received > 0 => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_that_panics_gives_its_place_back() {
        let open = AtomicUsize::new(0);
        let ended = std::panic::catch_unwind(|| {
            let (_seat, taken) = Seat::take(&open);
            assert_eq!((taken, open.load(Ordering::Relaxed)), (0, 1));
            panic!("as a judgement might");
        });
        assert!(ended.is_err());
        assert_eq!(open.load(Ordering::Relaxed), 0);
    }
}
