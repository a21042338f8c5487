//! An HTTP/1.x request head, read as strictly as RFC 9112 allows, before anything else
//! looks at it: what two readers could take for two things is refused here.
//!
//! The bytes go on to Pingora unchanged (an absolute-form target is rewritten to origin
//! form, RFC 9112 §3.2.2), so whatever passes here must mean the same there.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::gate::{Fault, Refusal, shown};

/// More header fields than this Pingora itself refuses.
const MOST_HEADERS: usize = 256;

/// What the head asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// An ordinary request, with its bytes as they should go on.
    Ordinary(Framing),
    /// The same, with another request line: the bytes of the whole head.
    Rewritten(BytesMut, Framing),
    /// A WebSocket handshake.
    Upgrade(Box<Handshake>),
}

/// Where the request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// With its head.
    None,
    /// After so many bytes behind it.
    Length(u64),
    /// With the last chunk behind it.
    Chunked,
}

/// A WebSocket handshake (RFC 6455 §4.1), parsed.
#[derive(PartialEq, Eq)]
pub struct Handshake {
    /// Origin-form target.
    pub target: String,
    /// An absolute-form target's authority.
    pub authority: Option<String>,
    /// Every header field.
    pub headers: HeaderMap,
}

/// A request that ends here, parsed.
pub struct Parsed {
    /// Method, as sent.
    pub method: Method,
    /// Target, as sent.
    pub target: String,
    /// Every header field.
    pub headers: HeaderMap,
    /// Where the request ends.
    pub framing: Framing,
    /// Whether another may follow over the same connection.
    pub keeps_alive: bool,
}

impl std::fmt::Debug for Handshake {
    /// Without what its query or a header field says.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("target", &shown::Target(&self.target))
            .field("authority", &self.authority)
            .field("headers", &shown::Headers(&self.headers))
            .finish()
    }
}

impl std::fmt::Debug for Parsed {
    /// Without what its query or a header field says.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parsed")
            .field("method", &self.method)
            .field("target", &shown::Target(&self.target))
            .field("headers", &shown::Headers(&self.headers))
            .field("framing", &self.framing)
            .field("keeps_alive", &self.keeps_alive)
            .finish()
    }
}

/// Where the head ends (the index after the empty line), looking from `from` on.
pub fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut rest = bytes.get(from..)?;
    let mut at = from;
    while let Some(newline) = rest.iter().position(|byte| *byte == b'\n') {
        at += newline + 1;
        rest = rest.get(newline + 1..)?;
        if rest.first() == Some(&b'\n') {
            return Some(at + 1);
        }
        if rest.starts_with(b"\r\n") {
            return Some(at + 2);
        }
    }
    None
}

/// Examines a complete head (`head` ends with its empty line).
///
/// # Errors
/// `bad_request` for what RFC 9112 forbids or leaves to two readings, `headers_too_large`
/// for too many fields.
pub fn examine(head: &[u8], most_headers: usize) -> Result<Kind, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let request = read(head, &mut fields, most_headers)?;
    let method = request.method.unwrap_or_default();
    plain_method(method)?;
    let version_11 = request.version == Some(1);
    let target = target(request.path.unwrap_or_default(), method)?;
    let framing = framing(request.headers, version_11)?;
    let upgrade = version_11 && wants_websocket(request.headers);
    if upgrade {
        if !lists(request.headers, "connection", b"upgrade") {
            return Err(bad("`Upgrade` is not named in `Connection` (RFC 9110 §7.8)"));
        }
        if method != Method::GET.as_str() {
            return Err(bad("a WebSocket handshake is a GET request (RFC 6455 §4.1)"));
        }
        if !matches!(framing, Framing::None | Framing::Length(0)) {
            return Err(bad("a WebSocket handshake has no body"));
        }
        let headers = header_map(request.headers)?;
        return Ok(Kind::Upgrade(Box::new(Handshake {
            target: target.path.to_owned(),
            authority: target.authority.map(str::to_owned),
            headers,
        })));
    }
    match target.authority {
        None => Ok(Kind::Ordinary(framing)),
        Some(authority) => rewrite(head, method, target.path, authority, request.headers)
            .map(|bytes| Kind::Rewritten(bytes, framing)),
    }
}

/// Reads a complete head of a request that is answered right here, and whose `Upgrade` means
/// nothing.
///
/// # Errors
/// As [`examine`], but neither method nor target is looked at.
pub fn parse(head: &[u8], most_headers: usize) -> Result<Parsed, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let request = read(head, &mut fields, most_headers)?;
    let version_11 = request.version == Some(1);
    let method = request.method.unwrap_or_default();
    Ok(Parsed {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| bad("no method"))?,
        target: request.path.unwrap_or_default().to_owned(),
        headers: header_map(request.headers)?,
        framing: framing(request.headers, version_11)?,
        keeps_alive: version_11 && !lists(request.headers, "connection", b"close"),
    })
}

fn read<'h, 'b>(
    head: &'b [u8],
    fields: &'h mut [httparse::Header<'b>],
    most_headers: usize,
) -> Result<httparse::Request<'h, 'b>, Refusal> {
    if has_bare_newline(head) {
        return Err(bad("a line of the request head does not end in CR LF"));
    }
    let room = fields.get_mut(..most_headers.min(MOST_HEADERS)).unwrap_or_default();
    let mut request = httparse::Request::new(room);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => Ok(request),
        Ok(httparse::Status::Partial) => Err(bad("the request head ends too early")),
        Err(httparse::Error::TooManyHeaders) => Err(Refusal::fault(
            Fault::HeadersTooLarge,
            format!("the request has more than {most_headers} header fields"),
        )),
        Err(_) => Err(bad("the request head is not HTTP/1.x")),
    }
}

/// What could still mean two things where the framing is somebody else's: HTTP/2's, or that of
/// a gateway which asks.
///
/// # Errors
/// `bad_request`.
pub fn examine_line(method: &str, path: &[u8]) -> Result<(), Refusal> {
    plain_method(method)?;
    let path = std::str::from_utf8(path)
        .map_err(|_| bad("the request target holds characters that must be percent-encoded"))?;
    match target(path, method)?.authority {
        None => Ok(()),
        Some(_) => Err(bad("the request target is not a path")),
    }
}

/// A bare LF ends a line for some readers and not for others (RFC 9112 §2.2).
fn has_bare_newline(head: &[u8]) -> bool {
    let mut before = 0;
    head.iter().any(|byte| {
        let bare = *byte == b'\n' && before != b'\r';
        before = *byte;
        bare
    })
}

/// Methods tell upper from lower case, some backends do not: `get` would miss a route for
/// `GET` here and be one there. A tunnel is nothing that a chat backend is asked for.
fn plain_method(method: &str) -> Result<(), Refusal> {
    if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(bad("methods are written in capitals"));
    }
    if method == "CONNECT" {
        return Err(bad("CONNECT is not served"));
    }
    Ok(())
}

fn bad(detail: &'static str) -> Refusal {
    Refusal::fault(Fault::BadRequest, detail)
}

struct Target<'a> {
    path: &'a str,
    authority: Option<&'a str>,
}

/// Origin form, or absolute form, or `*` for OPTIONS (RFC 9112 §3.2); printable ASCII only.
fn target<'a>(raw: &'a str, method: &str) -> Result<Target<'a>, Refusal> {
    if !raw.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return Err(bad("the request target holds characters that must be percent-encoded"));
    }
    if raw.contains('#') {
        return Err(bad("the request target has a fragment"));
    }
    if raw.starts_with('/') || (raw == "*" && method == "OPTIONS") {
        return Ok(Target { path: raw, authority: None });
    }
    let after_scheme = raw
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
        .and_then(|_| raw.get(7..))
        .or_else(|| {
            raw.get(..8)
                .filter(|scheme| scheme.eq_ignore_ascii_case("https://"))
                .and_then(|_| raw.get(8..))
        })
        .ok_or_else(|| bad("the request target is neither a path nor an absolute URL"))?;
    let (authority, path) = match after_scheme.find(['/', '?']) {
        Some(slash) => after_scheme.split_at(slash),
        None => (after_scheme, "/"),
    };
    if authority.is_empty() || authority.contains('@') || !path.starts_with('/') {
        return Err(bad("the request target's authority is malformed"));
    }
    Ok(Target { path, authority: Some(authority) })
}

/// One length, or exactly `chunked`, never both (RFC 9112 §6).
fn framing(headers: &[httparse::Header<'_>], version_11: bool) -> Result<Framing, Refusal> {
    let lengths: Vec<_> = named(headers, "content-length").collect();
    let codings: Vec<_> = named(headers, "transfer-encoding").collect();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Framing::None),
        ([length], []) => decimal(length)
            .map(Framing::Length)
            .ok_or_else(|| bad("Content-Length is not a plain decimal number")),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => {
            if version_11 {
                Ok(Framing::Chunked)
            } else {
                Err(bad("Transfer-Encoding needs HTTP/1.1"))
            }
        }
        ([], _) => Err(bad("Transfer-Encoding must be exactly `chunked`")),
        (_, []) => Err(bad("Content-Length is given more than once")),
        _ => Err(bad("Content-Length and Transfer-Encoding are both given")),
    }
}

/// Digits without a sign or leading zeros, below 10^18.
fn decimal(text: &[u8]) -> Option<u64> {
    let canonical = text.len() == 1 || !text.starts_with(b"0");
    let digits = text.iter().all(u8::is_ascii_digit);
    let plain = digits && canonical && text.len() <= 18;
    plain.then_some(text).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
}

fn named<'a>(
    headers: &'a [httparse::Header<'a>],
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> + 'a {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.trim_ascii())
}

/// `Upgrade: websocket` among the offered protocols: it must not slip past as an ordinary
/// request, whatever `Connection` says.
fn wants_websocket(headers: &[httparse::Header<'_>]) -> bool {
    lists(headers, "upgrade", b"websocket")
}

/// Whether a word is among the comma-separated ones of a field.
fn lists(headers: &[httparse::Header<'_>], name: &str, word: &[u8]) -> bool {
    named(headers, name).any(|value| {
        value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(word))
    })
}

fn header_map(headers: &[httparse::Header<'_>]) -> Result<HeaderMap, Refusal> {
    let mut map = HeaderMap::with_capacity(headers.len() + 16);
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| bad("a header field's name is malformed"))?;
        let value = HeaderValue::from_bytes(header.value)
            .map_err(|_| bad("a header field's value is malformed"))?;
        map.append(name, value);
    }
    Ok(map)
}

/// The same request in origin form. `Host` must say the same as the target.
fn rewrite(
    head: &[u8],
    method: &str,
    path: &str,
    authority: &str,
    headers: &[httparse::Header<'_>],
) -> Result<BytesMut, Refusal> {
    let mut hosts = named(headers, "host");
    let same = |host: &[u8]| host.eq_ignore_ascii_case(authority.as_bytes());
    if !hosts.next().is_some_and(same) || hosts.next().is_some() {
        return Err(bad("Host and the request target name different hosts"));
    }
    let skipped = head.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let line = head
        .get(skipped..)
        .and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
        .map(|newline| skipped + newline + 1)
        .unwrap_or(head.len());
    let (request_line, fields) = head.split_at(line);
    let version: &[u8] = match request_line.trim_ascii_end().ends_with(b"HTTP/1.0") {
        true => b"HTTP/1.0",
        false => b"HTTP/1.1",
    };
    let mut bytes = BytesMut::with_capacity(head.len());
    for part in [method.as_bytes(), b" ", path.as_bytes(), b" ", version, b"\r\n", fields] {
        bytes.put_slice(part);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(head: &str) -> Result<Kind, &'static str> {
        examine(head.as_bytes(), 100).map_err(|refusal| refusal.code())
    }

    #[test]
    fn the_end_of_a_head_is_found_however_it_arrives() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
        for from in 0..20 {
            assert_eq!(end(head, from), Some(27), "from {from}");
        }
        assert_eq!(end(b"GET / HTTP/1.1\n\n", 0), Some(16));
        assert_eq!(end(b"GET / HTTP/1.1\r\nHost: a\r\n", 0), None);
        assert_eq!(end(b"OPTIONS / HTTP/1.0\r\n\r\n", 0), Some(22));
    }

    #[test]
    fn ordinary_requests_pass() {
        for (head, framing) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::None),
            ("OPTIONS / HTTP/1.0\r\n\r\n", Framing::None),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Framing::None),
            ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Framing::Length(0)),
            ("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 105\r\n\r\n", Framing::Length(105)),
            ("POST /x HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked),
            ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n", Framing::None),
        ] {
            assert_eq!(verdict(head), Ok(Kind::Ordinary(framing)), "{head}");
        }
    }

    #[test]
    fn what_two_readers_could_take_for_two_things_is_refused() {
        for head in [
            "GET admin HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET @evil/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /é HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 081\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: \r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n",
            "hello\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\nContent-Length: 50\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "get / HTTP/1.1\r\nHost: a\r\n\r\n",
            "Post / HTTP/1.1\r\nHost: a\r\n\r\n",
            "oPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding : chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
        ] {
            assert_eq!(verdict(head), Err("bad_request"), "{head}");
        }
    }

    #[test]
    fn an_absolute_target_becomes_origin_form() {
        let head = "GET http://a:80/x?y HTTP/1.1\r\nHost: A:80\r\nX: 1\r\n\r\n";
        let rewritten = "GET /x?y HTTP/1.1\r\nHost: A:80\r\nX: 1\r\n\r\n";
        assert_eq!(verdict(head), Ok(Kind::Rewritten(rewritten.as_bytes().into(), Framing::None)));
    }

    #[test]
    fn a_handshake_is_recognised_with_every_field() {
        let head = "GET /ws?t=1 HTTP/1.1\r\nConnection: keep-alive, uPGrade\r\nupgrade: h2c, WebSocket\r\nX: 1\r\nX: 2\r\n\r\n";
        let Ok(Kind::Upgrade(handshake)) = verdict(head) else { panic!("not an upgrade") };
        assert_eq!(handshake.target, "/ws?t=1");
        assert_eq!(handshake.headers.get_all("x").iter().count(), 2);
    }

    #[test]
    fn too_many_fields_are_too_large() {
        let mut head = String::from("GET / HTTP/1.1\r\n");
        for n in 0..101 {
            head.push_str(&format!("X-{n}: 1\r\n"));
        }
        head.push_str("\r\n");
        assert_eq!(verdict(&head), Err("headers_too_large"));
    }
}
