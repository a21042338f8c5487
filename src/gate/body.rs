//! Which bodies are looked at, and which are refused because they cannot be.
//!
//! A body is read only where the dialect finds credentials in bodies or names identity
//! fields, or a translation writes into bodies, and only if a backend might read fields from
//! its type: JSON, forms, `text/plain`, none named, and whatever has `json` or `urlencoded`
//! somewhere in its `Content-Type` or cannot be read as a type. It is refused if it is larger than the limit (413), or
//! compressed or in a charset that we do not read (415). `multipart` bodies stream however
//! large; they are read beforehand only where the credential may be a part of one, and
//! then only up to the limit. Every other type streams untouched.
//!
//! `observe` refuses nothing: what it cannot read passes unread. So does what could only
//! carry a credential, where no identity fields are named or `unsigned: keep` lets them pass:
//! then there is none.

use http::{HeaderMap, header};

use super::policy::Mode;
use super::shown::Size;
use super::source::text;
use super::{Fault, Refusal, RequestView};
use crate::dialect::Carrier;
use crate::plan::{Due, Plan, Settings, Site};

/// What is known of a request's body when it is judged.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Body<'a> {
    /// It has not been looked at: nothing in it counts.
    #[default]
    Unseen,
    /// All of it.
    Whole(&'a [u8]),
    /// There is more than the limit.
    TooLarge,
    /// It did not arrive in time.
    Late,
    /// It broke off, or its framing is none.
    Broken,
    /// Another gateway keeps the request and only asks what is to become of it: nothing in
    /// its body counts, and nobody here can answer the client, neither a preflight nor at one
    /// of the widget's endpoints.
    Elsewhere,
}

impl std::fmt::Debug for Body<'_> {
    /// Without its bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unseen => f.write_str("Unseen"),
            Self::Whole(bytes) => f.debug_tuple("Whole").field(&Size(bytes.len())).finish(),
            Self::TooLarge => f.write_str("TooLarge"),
            Self::Late => f.write_str("Late"),
            Self::Broken => f.write_str("Broken"),
            Self::Elsewhere => f.write_str("Elsewhere"),
        }
    }
}

/// How much of a body is to be read before the request is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// At most so many bytes.
    pub limit: usize,
    /// A larger one goes on unread, instead of being refused.
    pub larger_passes: bool,
}

/// What a site looks for in bodies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interest {
    fields: bool,
    sources: bool,
    parts: bool,
    observes: bool,
    limit: usize,
}

impl Interest {
    /// What holds for requests under these settings; none where bodies are nobody's business.
    pub fn of(plan: &Plan, site: &Site, settings: &Settings, due: Due) -> Option<Self> {
        if settings.mode == Mode::Off {
            return None;
        }
        let sessions = || site.remembers.session.iter().flat_map(|session| &session.request);
        let sources = || site.proofs(settings).flat_map(|proof| proof.sources).chain(sessions());
        let fields = !settings.keep_unsigned && !site.fields.is_empty();
        // A client's own may not pass where a proof of ours is written.
        let writes = site.translations.these(due).any(|one| one.into.is_in_body());
        let writes = writes && settings.mode.cleans();
        let interest = Self {
            fields: fields || writes,
            sources: sources().any(|source| {
                matches!(source.carrier, Carrier::Json { .. } | Carrier::Form { .. })
            }),
            parts: sources().any(|source| matches!(source.carrier, Carrier::Multipart { .. })),
            observes: !settings.mode.cleans(),
            limit: settings.body_limit.unwrap_or(plan.limits.body),
        };
        (interest.fields || interest.sources || interest.parts).then_some(interest)
    }

    /// The type of this request's body, if somebody is to look at it.
    ///
    /// # Errors
    /// [`Fault::UnsupportedBody`], [`Fault::BodyTooLarge`]: it could carry what is looked
    /// for and will not be readable, as its head announces.
    pub fn kind(&self, request: &RequestView<'_>) -> Result<Option<Kind>, Refusal> {
        let announced = announced(request.headers);
        // After a handshake the bytes are messages, no body.
        let handshake = request.upgrade
            && announced.is_none()
            && !request.headers.contains_key(header::TRANSFER_ENCODING);
        if handshake || announced == Some(0) {
            return Ok(None);
        }
        let kind = match Kind::of(request.headers) {
            Kind::Opaque => return Ok(None),
            Kind::Multipart(_) if !self.fields && !self.parts => return Ok(None),
            Kind::Multipart(None) => return Err(unsupported("its boundary is ambiguous")),
            Kind::Multipart(boundary) => Kind::Multipart(boundary),
            _ if !self.fields && !self.sources => return Ok(None),
            kind => kind,
        };
        if !is_plain(request.headers) {
            return Err(unsupported("it is compressed"));
        }
        if !is_utf8(request.headers) {
            return Err(unsupported("its charset is not UTF-8"));
        }
        let is_large = announced.is_some_and(|length| length > self.limit as u64);
        if is_large && !matches!(kind, Kind::Multipart(_)) {
            return Err(self.too_large());
        }
        Ok(Some(kind))
    }

    /// How much is to be read before the judgement.
    pub fn wanted(&self, request: &RequestView<'_>) -> Option<Wanted> {
        let kind = self.kind(request).ok().flatten()?;
        let is_multipart = matches!(kind, Kind::Multipart(_));
        if is_multipart && !self.parts {
            return None;
        }
        // Whatever passes when it is too large is not even begun if it announces as much.
        let larger_passes = is_multipart || !self.refuses();
        let is_large = announced(request.headers).is_some_and(|n| n > self.limit as u64);
        (!is_large).then_some(Wanted { limit: self.limit, larger_passes })
    }

    /// Whether a body that cannot be inspected is refused.
    pub fn refuses(&self) -> bool {
        self.fields && !self.observes
    }

    /// The answer to a body over the limit.
    pub fn too_large(&self) -> Refusal {
        Refusal::fault(
            Fault::BodyTooLarge,
            format!("a body of this type may hold at most {} bytes here", self.limit),
        )
    }
}

/// The answer to a body that nobody can look into.
pub(super) fn unsupported(why: &str) -> Refusal {
    Refusal::fault(Fault::UnsupportedBody, format!("the body cannot be inspected: {why}"))
}

/// How a backend might read a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `application/json` and its like.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `text/plain`.
    Text,
    /// Nothing says what it is.
    Untyped,
    /// `multipart/…` with this boundary; none if readers might disagree about it.
    Multipart(Option<String>),
    /// Something without fields.
    Opaque,
}

impl Kind {
    /// A type that cannot be read, or two of them, might be anything.
    fn of(headers: &HeaderMap) -> Self {
        let mut fields = headers.get_all(header::CONTENT_TYPE).iter();
        let Some(first) = fields.next() else { return Self::Untyped };
        let text = text(first);
        let text = text.trim_ascii();
        let lower = text.to_ascii_lowercase();
        if fields.next().is_some() {
            let is_multipart = |value: &http::HeaderValue| {
                value.as_bytes().to_ascii_lowercase().windows(9).any(|word| word == b"multipart")
            };
            let any = headers.get_all(header::CONTENT_TYPE).iter().any(is_multipart);
            return if any { Self::Multipart(None) } else { Self::Untyped };
        }
        // Rails ends a type at a comma, PHP at a space too.
        let cut = |at: char| at == ';' || at == ',' || at.is_ascii_whitespace();
        let (essence, rest) = lower.split_at(lower.find(cut).unwrap_or(lower.len()));
        let rest = rest.trim_start();
        let is_clear = rest.is_empty() || rest.starts_with(';') && !rest.contains(',');
        let named = [essence, rest].iter().any(|text| text.contains("multipart/"));
        match essence.split_once('/').filter(|(family, kind)| is_token(family) && is_token(kind)) {
            Some(("multipart", _)) => Self::Multipart(boundary(text, &lower)),
            _ if named => Self::Multipart(None),
            Some(_) if !is_clear => Self::Untyped,
            Some(("application", "x-www-form-urlencoded")) => Self::Form,
            Some(("text", "plain")) if !is_mixed(rest) => Self::Text,
            Some((_, kind)) if holds_json(kind) && !lower.contains("urlencoded") => Self::Json,
            // Laravel looks for JSON's name anywhere in the field, and others know synonyms.
            Some(_) if !is_mixed(&lower) => Self::Opaque,
            _ => Self::Untyped,
        }
    }
}

/// Whether a subtype says that it is JSON, to every reader.
fn holds_json(kind: &str) -> bool {
    matches!(kind, "json" | "x-json" | "csp-report") || kind.ends_with("+json")
}

/// Whether a type has something in it that some backend takes for JSON or a form.
fn is_mixed(lower: &str) -> bool {
    ["json", "urlencoded"].iter().any(|word| lower.contains(word))
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(known)
}

/// The one boundary that a `Content-Type` names (RFC 2046 §5.1.1), if there is no doubt.
fn boundary(text: &str, lower: &str) -> Option<String> {
    let (before, after) = lower.split_once("boundary")?;
    if !before.trim_end().ends_with(';') || !after.starts_with('=') {
        return None;
    }
    let value = text.get(before.len()..)?.get("boundary".len()..)?.strip_prefix('=')?;
    let (value, rest) = match value.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        // PHP takes a space before the semicolon for the boundary's last letter.
        None => value.split_at(value.find(';').unwrap_or(value.len())),
    };
    let rest = rest.trim_start();
    // RFC 2046 has a comma too, at which PHP and Rack end it.
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_-./:=? ".contains(&byte);
    let sound = (1..=70).contains(&value.len()) && value.bytes().all(known);
    // Browsers have the word in the boundary itself; behind it, it would be a second one.
    let again = rest.to_ascii_lowercase().contains("boundary");
    let ends = (rest.is_empty() || rest.starts_with(';')) && !again;
    (sound && ends && !value.ends_with(' ')).then(|| value.to_owned())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn is_plain(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::CONTENT_ENCODING).iter();
    fields.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).all(|coding| {
        let coding = coding.trim_ascii();
        coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
    })
}

fn is_utf8(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_TYPE).iter().all(|value| {
        let lower = value.as_bytes().to_ascii_lowercase();
        let text = String::from_utf8_lossy(&lower);
        text.match_indices("charset").all(|(at, word)| {
            let rest = text.get(at + word.len()..).unwrap_or_default().trim_start();
            let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start_matches([' ', '"', '\'']);
            let end = rest.find(['"', '\'', ';', ',', ' ']).unwrap_or(rest.len());
            matches!(rest.get(..end), Some("utf-8" | "utf8" | "us-ascii" | "ascii"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{PlanBuilder, headers, token_dialect, view};

    fn interest(plan: &Plan) -> Interest {
        let site = plan.sites.first().unwrap();
        Interest::of(plan, site, &site.settings, Due::NONE).unwrap()
    }

    /// What is wanted of such a request, or what it is refused with.
    fn asked(mode: Mode, fields: &[(&str, &str)]) -> Result<Option<usize>, &'static str> {
        let mut plan = PlanBuilder::new(token_dialect()).mode(mode).build();
        plan.limits.body = 100;
        let headers = headers(fields);
        let interest = interest(&plan);
        let kind = interest.kind(&view(&headers, "/")).map_err(|refusal| refusal.code())?;
        let wanted = interest.wanted(&view(&headers, "/"));
        assert!(wanted.is_none() || kind.is_some());
        Ok(wanted.map(|wanted| wanted.limit))
    }

    #[test]
    fn only_bodies_that_can_carry_fields_are_read() {
        let typed = |text| [("content-type", text)];
        for (fields, expected) in [
            (&[][..], Ok(Some(100))),
            (&typed("application/json"), Ok(Some(100))),
            (&typed("Application/JSON; charset=utf-8"), Ok(Some(100))),
            (&typed("application/json; charset=\"UTF-8\""), Ok(Some(100))),
            (&typed("application/vnd.api+json"), Ok(Some(100))),
            (&typed("text/json"), Ok(Some(100))),
            (&typed("application/x-www-form-urlencoded"), Ok(Some(100))),
            (&typed("text/plain"), Ok(Some(100))),
            (&typed("nonsense"), Ok(Some(100))),
            (&typed("application/jsonrequest"), Ok(Some(100))),
            (&typed("application/octet-stream"), Ok(None)),
            (&[("content-type", "text/x-json"), ("content-length", "101")], Err("body_too_large")),
            (&typed("image/png, application/json"), Ok(Some(100))),
            (&[("content-type", "image/png"), ("content-type", "text/plain")], Ok(Some(100))),
            (&[("content-length", "100")], Ok(Some(100))),
            (&[("content-length", "0")], Ok(None)),
            (&[("content-length", "101")], Err("body_too_large")),
            (
                &[("content-type", "application/json"), ("content-length", "101")],
                Err("body_too_large"),
            ),
            (
                &[("content-type", "multipart/form-data; boundary=x"), ("content-length", "101")],
                Ok(None),
            ),
            (&[("content-type", "image/png"), ("content-length", "101")], Ok(None)),
            (&[("content-type", "image/png"), ("content-encoding", "gzip")], Ok(None)),
            (&[("content-encoding", "identity")], Ok(Some(100))),
            (&[("content-encoding", "gzip")], Err("unsupported_body")),
            (
                &[("content-encoding", "identity"), ("content-encoding", "br")],
                Err("unsupported_body"),
            ),
            (&typed("application/json; charset=utf-16"), Err("unsupported_body")),
            (&typed("text/plain;charset=iso-8859-1"), Err("unsupported_body")),
            (&typed("text/plain; charset=utf-8; charset=utf-7"), Err("unsupported_body")),
            (&typed("multipart/form-data"), Err("unsupported_body")),
            (&typed("multipart/form-data; boundary=x; charset=utf-16"), Err("unsupported_body")),
            (&typed("image/png, multipart/form-data; boundary=x"), Err("unsupported_body")),
            (
                &[("content-type", "multipart/form-data; boundary=x"), ("content-type", "a/b")],
                Err("unsupported_body"),
            ),
        ] {
            assert_eq!(asked(Mode::Prefer, fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_type_is_what_the_most_careless_backend_takes_it_for() {
        for (value, expected) in [
            ("application/json", Kind::Json),
            ("application/json ; charset=utf-8", Kind::Json),
            ("\tAPPLICATION/JSON\t", Kind::Json),
            ("application/vnd.api+json; x=y", Kind::Json),
            ("application/csp-report", Kind::Json),
            ("application/x-www-form-urlencoded;charset=utf-8", Kind::Form),
            ("text/plain; charset=utf-8", Kind::Text),
            // Rails' synonyms, and whatever else sounds like them.
            ("application/jsonrequest", Kind::Untyped),
            ("text/json5", Kind::Untyped),
            ("application/x-ndjson", Kind::Untyped),
            // PHP and Rails end a type before its semicolon.
            ("application/x-www-form-urlencoded x", Kind::Untyped),
            ("application/x-www-form-urlencoded\tx", Kind::Untyped),
            ("application/x-www-form-urlencoded,x", Kind::Untyped),
            ("application/json x", Kind::Untyped),
            ("application/json, text/html", Kind::Untyped),
            ("text/plain x", Kind::Untyped),
            ("image/png x", Kind::Untyped),
            // Laravel and others look anywhere.
            ("image/png; a=/json", Kind::Untyped),
            ("image/png; a=+JSON", Kind::Untyped),
            ("text/html;application/x-www-form-urlencoded", Kind::Untyped),
            ("application/json; a=x-www-form-urlencoded", Kind::Untyped),
            ("application/x-www-form-urlencoded+json", Kind::Untyped),
            // No types at all.
            ("", Kind::Untyped),
            ("json", Kind::Untyped),
            ("/json", Kind::Untyped),
            ("image/", Kind::Untyped),
            ("\"image/png\"", Kind::Untyped),
            (";application/json", Kind::Untyped),
            ("application/ json", Kind::Untyped),
            ("image/png", Kind::Opaque),
            ("IMAGE/PNG", Kind::Opaque),
            (" image/png ; name=\"a b.png\" ", Kind::Opaque),
            ("application/octet-stream", Kind::Opaque),
            ("application/pdf", Kind::Opaque),
            ("application/graphql", Kind::Opaque),
            ("text/html; charset=utf-8", Kind::Opaque),
            ("image/png; a=multipart/form-data", Kind::Multipart(None)),
            ("multipart/form-data; boundary=x; a=json", Kind::Multipart(Some("x".into()))),
        ] {
            let found = Kind::of(&headers(&[("content-type", value)]));
            assert_eq!(found, expected, "{value:?}");
        }
        // What JavaScript trims, and bytes that are no UTF-8.
        for (value, expected) in [
            (&b"image/png\xa0"[..], Kind::Untyped),
            (b"application/json\xc2\xa0", Kind::Untyped),
            (b"text/plain\xff", Kind::Untyped),
            (b"image/png; name=\"\xe9.png\"", Kind::Opaque),
        ] {
            let value = http::HeaderValue::from_bytes(value).unwrap();
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.clone())]);
            assert_eq!(Kind::of(&headers), expected, "{value:?}");
        }
    }

    #[test]
    fn a_boundary_about_which_readers_could_differ_is_none() {
        for (value, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("multipart/form-data;BOUNDARY=aBc; charset=utf-8", Some("aBc")),
            ("multipart/form-data; boundary=\"a b\"", Some("a b")),
            (
                "multipart/form-data; boundary=----WebKitFormBoundary7x",
                Some("----WebKitFormBoundary7x"),
            ),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"abc", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/form-data; xboundary=a; boundary=b", None),
            ("multipart/form-data; xboundary=a", None),
            ("multipart/form-data; boundary*=utf-8''a", None),
            ("multipart/form-data; boundary =a", None),
            ("multipart/form-data; boundary=a ;charset=utf-8", None),
            ("multipart/form-data; boundary=a\t", Some("a")),
            ("multipart/form-data; boundary=a,b", None),
            ("multipart/form-data; boundary=\"a,b\"", None),
            ("multipart/form-data; boundary=a\"b", None),
            ("multipart/form-data; boundary=\"a\"b", None),
            ("multipart/form-data boundary=a", None),
        ] {
            let kind = Kind::of(&headers(&[("content-type", value)]));
            assert_eq!(kind, Kind::Multipart(expected.map(Into::into)), "{value}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        assert_eq!(Kind::of(&headers(&[("content-type", &long)])), Kind::Multipart(None));
    }

    #[test]
    fn messages_after_a_handshake_are_no_body() {
        let plan = PlanBuilder::new(token_dialect()).build();
        let plain = headers(&[]);
        let request = RequestView { upgrade: true, ..view(&plain, "/") };
        assert_eq!(interest(&plan).kind(&request), Ok(None));
        let odd = headers(&[("content-length", "5")]);
        let request = RequestView { upgrade: true, ..view(&odd, "/") };
        assert_eq!(interest(&plan).kind(&request), Ok(Some(Kind::Untyped)));
    }

    #[test]
    fn observing_does_not_begin_what_is_too_large() {
        let large = [("content-type", "application/json"), ("content-length", "101")];
        assert_eq!(asked(Mode::Observe, &large), Err("body_too_large"));
        let mut plan = PlanBuilder::new(token_dialect()).mode(Mode::Observe).build();
        plan.limits.body = 100;
        let unknown = headers(&[("content-type", "application/json")]);
        let wanted = interest(&plan).wanted(&view(&unknown, "/"));
        assert_eq!(wanted, Some(Wanted { limit: 100, larger_passes: true }));
    }

    #[test]
    fn a_site_without_fields_and_body_sources_reads_no_body() {
        let mut dialect = token_dialect();
        dialect.unsigned.fields.clear();
        let plan = PlanBuilder::new(dialect).build();
        let site = plan.sites.first().unwrap();
        assert!(Interest::of(&plan, site, &site.settings, Due::NONE).is_none());
        let plan = PlanBuilder::new(token_dialect()).with(|s| s.keep_unsigned = true).build();
        let site = plan.sites.first().unwrap();
        assert!(Interest::of(&plan, site, &site.settings, Due::NONE).is_none());
    }

    #[test]
    fn what_could_only_carry_a_credential_passes_when_it_cannot_be_read() {
        let proof = crate::dialect::Pointer(vec!["jwt".into()]);
        let names = crate::dialect::Names { proof, ..Default::default() };
        let mut dialect = token_dialect();
        dialect.sources =
            vec![crate::dialect::Source { carrier: Carrier::Json { names }, shared: false }];
        let plan = PlanBuilder::new(dialect).with(|s| s.keep_unsigned = true).build();
        let interest = interest(&plan);
        assert!(!interest.refuses());
        let small = headers(&[("content-type", "application/json")]);
        let wanted = interest.wanted(&view(&small, "/")).unwrap();
        assert_eq!(wanted, Wanted { limit: 65_536, larger_passes: true });
        let large = headers(&[("content-length", "70000")]);
        assert_eq!(interest.wanted(&view(&large, "/")), None);
    }
}
