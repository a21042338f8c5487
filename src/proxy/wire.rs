//! HTTP/1.1 heads and bodies as bytes, for what does not go through Pingora: refusals of
//! heads that it must not see, and the [`tunnel`](super::tunnel).

use std::io;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pingora::protocols::Stream;
use pingora::protocols::http::date::get_cached_date;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::spelling::{spelled, spelled_for};
use crate::gate::contract::SiteHeaders;
use crate::gate::shown;
use crate::refusal::Reply;

/// A backend's answer head may be this large.
const LARGEST_ANSWER_HEAD: usize = 64 * 1024;
/// More fields than this in an answer are not read.
const MOST_ANSWER_HEADERS: usize = 128;
/// For how long in all, and without a byte, an unread request is swallowed before closing,
/// so that the client gets to read the answer (RFC 9112 §9.6).
const LINGER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// A backend's answer head.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its reason phrase, as sent.
    pub reason: String,
    /// Every field.
    pub headers: HeaderMap,
}

impl std::fmt::Debug for Answer {
    /// Without values: it may hand out a session's token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("headers", &shown::Headers(&self.headers))
            .finish()
    }
}

/// Writes an answer of our own and ends the connection.
pub async fn answer_and_close(mut stream: Stream, reply: &Reply) {
    if stream.write_all(&own_answer(reply, false, false)).await.is_ok()
        && stream.flush().await.is_ok()
    {
        close_lingering(stream).await;
    }
}

/// An answer of our own in HTTP/1.1's form; to a HEAD request without its body.
pub fn own_answer(reply: &Reply, keeps_alive: bool, to_head: bool) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(512 + reply.body.len());
    let phrase = StatusCode::from_u16(reply.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    bytes.put_slice(format!("HTTP/1.1 {} {phrase}\r\n", reply.status).as_bytes());
    for (name, value) in &reply.headers {
        put_field(&mut bytes, name, value);
    }
    put_field(&mut bytes, &header::DATE, &get_cached_date());
    if !keeps_alive {
        put_field(&mut bytes, &header::CONNECTION, &HeaderValue::from_static("close"));
    }
    bytes.put_slice(b"\r\n");
    if !to_head {
        bytes.put_slice(&reply.body);
    }
    bytes
}

/// Closes our half, then reads for a moment what the client still sends: closing with
/// unread bytes would reset the connection and take the answer with it.
pub async fn close_lingering(mut stream: Stream) {
    let _ = AsyncWriteExt::shutdown(&mut stream).await;
    let swallow = async {
        let mut scratch = BytesMut::with_capacity(8192);
        while let Ok(Ok(1..)) = timeout(LINGER.1, stream.read_buf(&mut scratch)).await {
            scratch.clear();
        }
    };
    let _ = timeout(LINGER.0, swallow).await;
}

/// A request head in HTTP/1.1's form, for a site's backend.
pub fn request_head(
    method: &str,
    target: &str,
    headers: &HeaderMap,
    site: Option<&SiteHeaders>,
) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(1024);
    bytes.put_slice(format!("{method} {target} HTTP/1.1\r\n").as_bytes());
    for (name, value) in headers {
        put_spelled(&mut bytes, &spelled_for(site, name), value);
    }
    bytes.put_slice(b"\r\n");
    bytes
}

/// An answer head in HTTP/1.1's form.
pub fn answer_head(answer: &Answer) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(1024);
    let status = answer.status.as_u16();
    bytes.put_slice(format!("HTTP/1.1 {status} {}\r\n", answer.reason).as_bytes());
    for (name, value) in &answer.headers {
        put_field(&mut bytes, name, value);
    }
    bytes.put_slice(b"\r\n");
    bytes
}

fn put_field(bytes: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    put_spelled(bytes, &spelled(name), value);
}

fn put_spelled(bytes: &mut BytesMut, name: &[u8], value: &HeaderValue) {
    bytes.put_slice(name);
    bytes.put_slice(b": ");
    bytes.put_slice(value.as_bytes());
    bytes.put_slice(b"\r\n");
}

/// Reads the final answer's head (informational ones are skipped); what was read beyond it
/// stays in `buffer`.
///
/// # Errors
/// `UnexpectedEof` if the backend closed first, `InvalidData` if it is not HTTP/1.x.
pub async fn read_answer<R: AsyncRead + Unpin>(
    from: &mut R,
    buffer: &mut BytesMut,
) -> io::Result<Answer> {
    loop {
        if let Some((length, answer)) = parse_answer(buffer)? {
            let _ = buffer.split_to(length);
            let informational = answer.status.is_informational()
                && answer.status != StatusCode::SWITCHING_PROTOCOLS;
            if informational {
                continue;
            }
            return Ok(answer);
        }
        if buffer.len() >= LARGEST_ANSWER_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        buffer.reserve(2048);
        if from.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn parse_answer(bytes: &[u8]) -> io::Result<Option<(usize, Answer)>> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
    let mut fields = [httparse::EMPTY_HEADER; MOST_ANSWER_HEADERS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = response.parse(bytes).map_err(|_| invalid(()))? else {
        return Ok(None);
    };
    let mut headers = HeaderMap::with_capacity(response.headers.len() + 4);
    for field in response.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| invalid(()))?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| invalid(()))?;
        headers.append(name, value);
    }
    let status =
        StatusCode::from_u16(response.code.unwrap_or_default()).map_err(|_| invalid(()))?;
    let reason = response.reason.unwrap_or_default().to_owned();
    Ok(Some((length, Answer { status, reason, headers })))
}

/// Passes an answer's body on as it is framed, no byte more (RFC 9112 §6.3). Neither side
/// may pause for longer than `patience`.
///
/// # Errors
/// Either side broke or paused, or the framing did.
pub async fn pass_body<R, W>(
    answer: &Answer,
    mut read: BytesMut,
    from: &mut R,
    to: &mut W,
    patience: Duration,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let none = matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let chunked = answer
        .headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .any(|coding| coding.as_bytes().to_ascii_lowercase().ends_with(b"chunked"));
    let length = answer
        .headers
        .get(header::CONTENT_LENGTH)
        .map(|length| length.to_str().ok().and_then(|length| length.trim().parse::<u64>().ok()));
    let mut framing = match (none, chunked, length) {
        (true, _, _) => return Ok(()),
        (_, true, _) => Framing::Chunked(Chunks::default()),
        (_, _, Some(Some(length))) => Framing::Length(length),
        (_, _, Some(None)) => return Err(io::ErrorKind::InvalidData.into()),
        (_, _, None) => Framing::Close,
    };
    loop {
        let (mine, done) = framing.take(&read)?;
        let passing = async {
            to.write_all(read.get(..mine).unwrap_or_default()).await?;
            to.flush().await
        };
        timeout(patience, passing).await??;
        if done {
            return Ok(());
        }
        read.clear();
        read.reserve(8192);
        if timeout(patience, from.read_buf(&mut read)).await?? == 0 {
            return match framing {
                Framing::Close => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
    }
}

enum Framing {
    Length(u64),
    Chunked(Chunks),
    Close,
}

impl Framing {
    /// How many of these bytes belong to the body, and whether it is complete.
    fn take(&mut self, bytes: &[u8]) -> io::Result<(usize, bool)> {
        match self {
            Self::Length(left) => {
                let mine = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= mine as u64;
                Ok((mine, *left == 0))
            }
            Self::Chunked(chunks) => chunks.take(bytes),
            Self::Close => Ok((bytes.len(), false)),
        }
    }
}

/// Follows chunked coding (RFC 9112 §7.1) to its end without changing it.
#[derive(Default)]
struct Chunks {
    /// Bytes of the current chunk, its final CRLF included, still to come.
    left: u64,
    line: Vec<u8>,
    trailers: bool,
}

impl Chunks {
    fn take(&mut self, bytes: &[u8]) -> io::Result<(usize, bool)> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.left > 0 {
                let available = bytes.len() - at;
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(available);
                self.left -= skipped as u64;
                at += skipped;
                continue;
            }
            at += 1;
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > 4096 {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if self.trailers {
                if line.is_empty() {
                    return Ok((at, true));
                }
                continue;
            }
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            let size = std::str::from_utf8(size)
                .ok()
                .and_then(|size| u64::from_str_radix(size, 16).ok())
                .filter(|size| *size < u64::MAX - 2)
                .ok_or(io::ErrorKind::InvalidData)?;
            match size {
                0 => self.trailers = true,
                size => self.left = size + 2,
            }
        }
        Ok((at, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[(&str, &str)]) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        Answer { status: StatusCode::FORBIDDEN, reason: "Forbidden".into(), headers }
    }

    async fn passed(answer: &Answer, body: &[u8]) -> Option<Vec<u8>> {
        for step in [1, 3, body.len()] {
            let mut from = tokio_stream(body, step);
            let mut to = Vec::new();
            let passing = pass_body(answer, BytesMut::new(), &mut from, &mut to, Duration::MAX);
            passing.await.ok()?;
            if step == body.len() {
                return Some(to);
            }
        }
        None
    }

    /// A reader that yields `step` bytes at a time.
    fn tokio_stream(bytes: &[u8], step: usize) -> impl AsyncRead + Unpin {
        let (mut sender, receiver) = tokio::io::duplex(step);
        let bytes = bytes.to_vec();
        tokio::spawn(async move {
            let _ = sender.write_all(&bytes).await;
        });
        receiver
    }

    #[tokio::test]
    async fn bodies_are_passed_to_their_end_and_no_further() {
        let by_length = answer(&[("content-length", "5")]);
        assert_eq!(passed(&by_length, b"hellomore").await.unwrap(), b"hello");
        let chunked = answer(&[("transfer-encoding", "chunked")]);
        let body = b"5;x=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n";
        let with_more = [&body[..], b"HTTP/1.1 200 OK"].concat();
        assert_eq!(passed(&chunked, &with_more).await.unwrap(), body);
        let until_close = answer(&[]);
        assert_eq!(passed(&until_close, b"all of it").await.unwrap(), b"all of it");
        assert_eq!(passed(&by_length, b"hell").await, None, "cut short");
        assert_eq!(passed(&chunked, b"zz\r\n").await, None, "no chunk size");
        assert_eq!(passed(&answer(&[("content-length", "x")]), b"x").await, None);
    }

    #[tokio::test]
    async fn informational_answers_are_skipped_but_not_101() {
        let bytes = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 101 Switching\r\nA: b\r\n\r\nrest";
        let mut buffer = BytesMut::new();
        let answer = read_answer(&mut &bytes[..], &mut buffer).await.unwrap();
        assert_eq!(answer.status, StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(&buffer[..], b"rest");
        assert_eq!(&answer_head(&answer)[..], b"HTTP/1.1 101 Switching\r\nA: b\r\n\r\n");
    }
}
