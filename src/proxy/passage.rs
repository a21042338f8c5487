//! A request's body on its way: read before the judgement where that wants it, replaced or
//! renamed where the judgement says so, otherwise passed on as it comes.
//!
//! Pingora keeps what has been read, up to 64 KiB, and sends it as the first piece of the
//! body, again at each attempt. Of a longer body it keeps nothing: then what was read is
//! kept here and put before the rest.

use bytes::{Bytes, BytesMut};
use http::{Version, header};
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use tokio::time::{Duration, timeout};

use crate::gate::{Body, NewBody, Renamer, Wanted};

/// What Pingora keeps of a body.
const MOST_KEPT: usize = 64 * 1024;
/// HTTP/2's largest DATA frame, unless a server says otherwise (RFC 9113 §6.5.2).
const LARGEST_FRAME: usize = 16 * 1024;

/// What is known of a request's body and what becomes of it.
#[derive(Default)]
pub struct Passage {
    received: Received,
    new: NewBody,
    /// The renamer of this attempt.
    renamer: Option<Renamer>,
    /// This attempt's first piece has been sent.
    begun: bool,
    /// All of it has been passed on.
    pub(super) whole: bool,
}

#[derive(Default)]
enum Received {
    /// Nothing was asked for.
    #[default]
    Nothing,
    Whole(Bytes),
    TooLarge,
    Late,
    Broken,
    /// More than was asked for: it goes on unread, this first unless Pingora has kept it.
    Started(Bytes),
}

impl Passage {
    /// Reads as much as the judgement wants, within `patience` for all of it.
    pub async fn receive(&mut self, session: &mut Session, wanted: Wanted, patience: Duration) {
        self.received = match timeout(patience, read(session, wanted)).await {
            Err(_) => Received::Late,
            Ok(Err(error)) if *error.etype() == ErrorType::ReadTimedout => Received::Late,
            Ok(Err(_)) => Received::Broken,
            Ok(Ok(received)) => received,
        };
    }

    /// What the judgement gets to see.
    pub fn seen(&self) -> Body<'_> {
        match &self.received {
            Received::Nothing | Received::Started(_) => Body::Unseen,
            Received::Whole(bytes) => Body::Whole(bytes),
            Received::TooLarge => Body::TooLarge,
            Received::Late => Body::Late,
            Received::Broken => Body::Broken,
        }
    }

    /// Whether the client has been told to go on, so that the backend need not.
    pub fn is_read(&self) -> bool {
        !matches!(self.received, Received::Nothing)
    }

    /// Notes what becomes of it.
    pub fn becomes(&mut self, new: NewBody) {
        self.new = new;
    }

    /// Begins an attempt: the body is sent from its start.
    pub fn rewind(&mut self) {
        (self.begun, self.whole) = (false, false);
        self.renamer = match &self.new {
            NewBody::Renamed(renamer) => Some(Renamer::clone(renamer)),
            NewBody::Same | NewBody::Replaced(_) => None,
        };
    }

    /// Passes a piece on.
    ///
    /// # Errors
    /// A multipart body whose part does not begin (400).
    pub fn pass(&mut self, piece: &mut Option<Bytes>, end: bool) -> Result<()> {
        let first = !std::mem::replace(&mut self.begun, true);
        self.whole |= end;
        if let NewBody::Replaced(bytes) = &self.new {
            *piece = first.then(|| bytes.clone());
            return Ok(());
        }
        if let (true, Received::Started(start)) = (first, &self.received)
            && !start.is_empty()
        {
            let rest = piece.as_deref().unwrap_or_default();
            *piece = Some(Bytes::from([start, rest].concat()));
        }
        if let Some(renamer) = &mut self.renamer {
            let renamed = renamer.push(piece.as_deref().unwrap_or_default(), end);
            let renamed = renamed.map_err(|_| {
                let mut error = Error::explain(ErrorType::HTTPStatus(400), "an endless part head");
                error.as_down();
                error
            })?;
            if piece.is_some() || !renamed.is_empty() {
                *piece = Some(Bytes::from(renamed));
            }
        }
        Ok(())
    }
}

async fn read(session: &mut Session, wanted: Wanted) -> Result<Received> {
    let request = session.req_header();
    let is_length_known = request.headers.contains_key(header::CONTENT_LENGTH);
    // Over HTTP/2 the last piece is known to be the last. Had Pingora let go of what it keeps,
    // it would then send nothing at all: so this stops a frame earlier.
    let is_open = !is_length_known && request.version == Version::HTTP_2;
    let limit = match is_open && wanted.larger_passes {
        true => wanted.limit.min(MOST_KEPT - LARGEST_FRAME),
        false => wanted.limit,
    };
    let expects = request.headers.contains_key(header::EXPECT);
    let session: &mut ServerSession = session.as_downstream_mut();
    session.enable_retry_buffering();
    if expects {
        session.write_continue_response().await?;
    }
    let mut bytes = BytesMut::new();
    while let Some(piece) = session.read_request_body().await? {
        bytes.extend_from_slice(&piece);
        let is_all = session.is_body_done() && bytes.len() <= wanted.limit;
        if bytes.len() > limit && wanted.larger_passes && !is_all {
            let kept = !session.retry_buffer_truncated();
            return Ok(Received::Started(if kept { Bytes::new() } else { bytes.freeze() }));
        }
        if bytes.len() > wanted.limit {
            return Ok(Received::TooLarge);
        }
    }
    Ok(Received::Whole(bytes.freeze()))
}
