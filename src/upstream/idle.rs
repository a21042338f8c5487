//! Connections between two requests: kept for a moment, for the next request to the very
//! same endpoint.
//!
//! Nobody watches a single one of them: whether it still lives is looked at when it is
//! taken, and all are looked through twice a second, so that none outlives its time by much.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, BufWriter, ReadBuf};

use super::{Endpoint, Line};

/// Kept for each endpoint; the oldest goes first.
const MOST: usize = 128;
/// Locks: as many requests as this can take or leave a connection at once.
const SHARDS: usize = 16;
const SWEEP: Duration = Duration::from_millis(500);

/// Idle connections, by where they lead.
#[derive(Default)]
pub struct Idle {
    shards: [Mutex<HashMap<Endpoint, VecDeque<Parked>>>; SHARDS],
    hasher: RandomState,
}

struct Parked {
    line: BufWriter<Line>,
    until: Instant,
}

impl Idle {
    /// The connection used last that still lives.
    pub fn take(&self, endpoint: &Endpoint) -> Option<BufWriter<Line>> {
        let mut shard = self.shard(endpoint).lock();
        let parked = shard.get_mut(endpoint)?;
        let now = Instant::now();
        while let Some(mut last) = parked.pop_back() {
            if last.is_fit(now) {
                return Some(last.line);
            }
        }
        None
    }

    /// Keeps a connection on which everything has been said, for at most that long.
    pub fn keep(&self, endpoint: &Endpoint, line: BufWriter<Line>, at_most: Duration) {
        let parked = Parked { line, until: Instant::now() + at_most };
        let mut shard = self.shard(endpoint).lock();
        let crowded = match shard.get_mut(endpoint) {
            Some(others) => {
                others.push_back(parked);
                if others.len() > MOST { others.pop_front() } else { None }
            }
            None => {
                shard.insert(endpoint.clone(), VecDeque::from([parked]));
                None
            }
        };
        drop(shard);
        // Closing is a system call: not under the lock.
        drop(crowded);
    }

    fn shard(&self, endpoint: &Endpoint) -> &Mutex<HashMap<Endpoint, VecDeque<Parked>>> {
        let [first, ..] = &self.shards;
        let index = usize::try_from(self.hasher.hash_one(endpoint)).unwrap_or_default() % SHARDS;
        self.shards.get(index).unwrap_or(first)
    }

    fn sweep(&self) {
        let now = Instant::now();
        for shard in &self.shards {
            let mut over = Vec::new();
            shard.lock().retain(|_, parked| {
                for mut one in std::mem::take(parked) {
                    if one.is_fit(now) { parked.push_back(one) } else { over.push(one) }
                }
                !parked.is_empty()
            });
        }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().values().map(VecDeque::len).sum::<usize>())
            .sum()
    }
}

impl Parked {
    /// Neither too old, nor closed by the backend, nor spoken on out of turn.
    fn is_fit(&mut self, now: Instant) -> bool {
        if now >= self.until {
            return false;
        }
        let mut byte = [0; 1];
        let mut context = Context::from_waker(Waker::noop());
        let read = Pin::new(&mut self.line).poll_read(&mut context, &mut ReadBuf::new(&mut byte));
        matches!(read, Poll::Pending)
    }
}

/// Closes what has been idle for too long, for as long as anybody holds the collection.
pub async fn keep_swept<T>(owner: Weak<T>, idle: impl Fn(&T) -> &Idle) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(owner) = owner.upgrade() else { return };
        idle(&owner).sweep();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A connection to that listener, and its other end.
    async fn pair(listener: &TcpListener) -> (BufWriter<Line>, TcpStream) {
        let line = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (other, _) = listener.accept().await.unwrap();
        (BufWriter::new(Line::Tcp(line)), other)
    }

    fn port(line: &BufWriter<Line>) -> u16 {
        let Line::Tcp(stream) = line.get_ref() else { panic!("TCP") };
        stream.local_addr().unwrap().port()
    }

    async fn listener() -> (TcpListener, Endpoint) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        (listener, endpoint)
    }

    #[tokio::test]
    async fn the_last_one_kept_is_the_first_one_taken_and_only_for_its_own_endpoint() {
        let (idle, (listener, endpoint)) = (Idle::default(), listener().await);
        let ((one, _end), (two, _other_end)) = (pair(&listener).await, pair(&listener).await);
        let (first, second) = (port(&one), port(&two));
        idle.keep(&endpoint, one, LONG);
        idle.keep(&endpoint, two, LONG);
        let elsewhere = Endpoint::Tcp("127.0.0.1:1".parse().unwrap());
        assert!(idle.take(&elsewhere).is_none());
        assert_eq!(idle.take(&endpoint).map(|line| port(&line)), Some(second));
        assert_eq!(idle.take(&endpoint).map(|line| port(&line)), Some(first));
        assert!(idle.take(&endpoint).is_none());
    }

    #[tokio::test]
    async fn what_is_too_old_or_closed_or_speaks_unasked_is_neither_taken_nor_kept() {
        let (idle, (listener, endpoint)) = (Idle::default(), listener().await);
        let (old, _end) = pair(&listener).await;
        idle.keep(&endpoint, old, Duration::ZERO);
        assert!(idle.take(&endpoint).is_none());
        let ((closed, end), (chatty, mut other)) = (pair(&listener).await, pair(&listener).await);
        drop(end);
        other.write_all(b"HTTP/1.1 200 OK").await.unwrap();
        for line in [&closed, &chatty] {
            let Line::Tcp(stream) = line.get_ref() else { panic!("TCP") };
            stream.readable().await.unwrap();
        }
        idle.keep(&endpoint, closed, LONG);
        idle.keep(&endpoint, chatty, LONG);
        let (fit, _fit_end) = pair(&listener).await;
        idle.keep(&endpoint, fit, LONG);
        assert_eq!(idle.count(), 3);
        idle.sweep();
        assert_eq!(idle.count(), 1);
        assert!(idle.take(&endpoint).is_some());
    }

    #[tokio::test]
    async fn of_too_many_the_oldest_goes() {
        let (idle, (listener, endpoint)) = (Idle::default(), listener().await);
        let mut ends = Vec::new();
        for _ in 0..=MOST {
            let (line, end) = pair(&listener).await;
            ends.push(end);
            idle.keep(&endpoint, line, LONG);
        }
        assert_eq!(idle.count(), MOST);
    }
}
