//! The backend's own proof, written into the request of a verified visitor.
//!
//! A client's own leaves first, from every request on an entry's paths, guests' too and whatever
//! the method, which some backends let a client say elsewhere: its header in every spelling; a
//! parameter, a member or a field from query, JSON, forms and multipart parts alike, for many a
//! backend takes one for the other. Then ours is written, to the methods that are named: a
//! JSON object gets the member, a form the field. A body of another type, and a request without
//! one, stays as it is.
//!
//! `observe` and `off` write nothing and leave a client's own: the backend alone judges it.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::body::Kind;
use super::claimed::Claims;
use super::content::Content;
use super::document::{reads_as_form, without_separators};
use super::examination::Place;
use super::query;
use super::{Edits, NewBody, RequestView, member};
use crate::clock::UnixTime;
use crate::dialect::json::write_string;
use crate::dialect::{HashField, Names, Part};
use crate::identity::{Identity, Visitor};
use crate::plan::{Target, Translation};
use crate::translate::Written;

/// RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request as it came.
pub(super) struct Arrived<'a> {
    pub request: &'a RequestView<'a>,
    pub content: &'a Content<'a>,
    pub kind: Option<&'a Kind>,
}

/// Takes a client's own out of a request that has been cleaned, and writes ours.
///
/// # Cost
/// One pass over query and body, and one signature a translation that is written.
pub(super) fn translated(
    place: &Place<'_, '_>,
    arrived: &Arrived<'_>,
    visitor: &Visitor,
    by_session: bool,
    now: UnixTime,
    edits: &mut Edits,
    body: &mut NewBody,
) {
    let due = || place.site.translations.these(place.due);
    let mut page = Page::of(arrived, edits, body);
    for translation in due() {
        page.leave(translation);
    }
    let allowed =
        |one: &&Translation| (one.by_session || !by_session) && one.writes(arrived.request.method);
    for translation in due().filter(allowed) {
        // A session stands for as long as it does, whenever the proof ended that began it.
        let end = |identity: &Identity| identity.expires.filter(|_| !by_session);
        let written = visitor
            .identity()
            .filter(|_| page.has_room(&translation.into))
            .and_then(|who| translation.translator.write(who, now, end(who)));
        if let Some(written) = written {
            page.write(&translation.into, &written);
        }
    }
    let Page { target, text, .. } = page;
    if let Some(target) = target {
        edits.target = Some(target);
    }
    if let Some(text) = text {
        *body = NewBody::Replaced(Bytes::from(text));
    }
}

/// A request while it is written to.
struct Page<'a> {
    arrived: &'a Arrived<'a>,
    edits: &'a mut Edits,
    /// The target, once it changes here.
    target: Option<String>,
    /// The body's text before anything changes here.
    before: Cow<'a, str>,
    /// The same, once it does.
    text: Option<String>,
}

impl<'a> Page<'a> {
    fn of(arrived: &'a Arrived<'a>, edits: &'a mut Edits, body: &NewBody) -> Self {
        let came = match arrived.content {
            Content::Json { text, .. } | Content::Form { text, .. } => *text,
            Content::Nothing | Content::Parts { .. } => "",
        };
        let before = match body {
            // What replaces a text is one; parts are nobody's text.
            NewBody::Replaced(bytes) if !came.is_empty() => {
                Cow::Owned(String::from_utf8_lossy(bytes).into_owned())
            }
            _ => Cow::Borrowed(came),
        };
        Self { arrived, edits, target: None, before, text: None }
    }

    fn target(&self) -> &str {
        let edited = self.target.as_deref().or(self.edits.target.as_deref());
        edited.unwrap_or(self.arrived.request.target)
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or(&self.before)
    }

    /// Takes a client's own out.
    fn leave(&mut self, translation: &Translation) {
        let fields = &translation.fields;
        if let Target::Header(names, _) = &translation.into {
            for name in all(names) {
                self.set_header(name, None);
            }
            return;
        }
        if let Some((path, query)) = self.target().split_once('?') {
            let mut claims = Claims::of_none(fields);
            let left = query::edited(query, |parameter| claims.parameter(parameter));
            let target = left.map(|left| match left.as_str() {
                "" => path.to_owned(),
                left => format!("{path}?{left}"),
            });
            self.target = target.or(self.target.take());
        }
        let left = match self.arrived.content {
            Content::Nothing | Content::Parts { .. } => None,
            Content::Form { lines, .. } => {
                let mut claims = Claims::of_none(fields);
                query::edited_lines(self.text(), *lines, |field| claims.parameter(field))
            }
            Content::Json { labelled, .. } => {
                let left = member::without(self.text(), fields);
                let now = left.as_deref().unwrap_or(self.text());
                // Labelled as a form, it is one to some.
                match !labelled && reads_as_form(now, |name| fields.covering(name).is_some()) {
                    true => Some(without_separators(now)),
                    false => left,
                }
            }
        };
        self.text = left.or(self.text.take());
    }

    /// Whether it can be written there at all.
    fn has_room(&self, into: &Target) -> bool {
        match into {
            Target::Header(..) => true,
            Target::Query(..) => self.target().starts_with('/'),
            Target::Form(_) => {
                matches!(self.arrived.content, Content::Form { lines: false, .. })
                    && self.arrived.kind == Some(&Kind::Form)
            }
            Target::Json(names) => {
                matches!(self.arrived.content, Content::Json { .. })
                    && PARTS
                        .into_iter()
                        .filter_map(|part| names.of(part))
                        .all(|path| member::has_room(self.text(), &path.0))
            }
        }
    }

    /// Writes where there is room.
    fn write(&mut self, into: &Target, written: &Written) {
        match into {
            Target::Header(names, scheme) => {
                // All of it as it is, or nothing: half a proof is another's, or nobody's.
                let values = named(names, written).map(|(name, value)| {
                    let value = with_scheme(value, scheme, *name == names.proof);
                    Some((name, header_value(&value)?))
                });
                for (name, value) in values.collect::<Option<Vec<_>>>().unwrap_or_default() {
                    self.set_header(name, Some(value));
                }
            }
            Target::Query(names, scheme) => {
                let mut target = self.target().to_owned();
                for (name, value) in named(names, written) {
                    let value = with_scheme(value, scheme, *name == names.proof);
                    let mark = if target.contains('?') { '&' } else { '?' };
                    add(&mut target, Some(mark), name, &value);
                }
                self.target = Some(target);
            }
            Target::Form(names) => {
                let mut text = self.text().to_owned();
                for (name, value) in named(names, written) {
                    let mark = (!text.is_empty()).then_some('&');
                    add(&mut text, mark, name, value);
                }
                self.text = Some(text);
            }
            Target::Json(names) => {
                let Content::Json { labelled, .. } = self.arrived.content else { return };
                let mut text = Cow::Borrowed(self.text());
                for (path, value) in named(names, written) {
                    let mut json = String::new();
                    write_string(value, &mut json);
                    if !labelled {
                        json = without_separators(&json);
                    }
                    let Some(more) = member::with(&text, &path.0, &json) else { return };
                    text = Cow::Owned(more);
                }
                self.text = Some(text.into_owned());
            }
        }
    }

    fn set_header(&mut self, name: &str, value: Option<HeaderValue>) {
        // A header's name from the configuration, where it has been looked at.
        if let Ok(name) = HeaderName::try_from(name) {
            self.edits.replace(self.arrived.request.headers, &name, value);
        }
    }
}

const PARTS: [Part; 4] = [
    Part::Proof,
    Part::Beside(HashField::Id),
    Part::Beside(HashField::Email),
    Part::Beside(HashField::Name),
];

/// Every name of a place.
fn all(names: &Names) -> impl Iterator<Item = &String> {
    PARTS.into_iter().filter_map(|part| names.of(part))
}

/// What is written under which name.
fn named<'n, N>(
    names: &'n Names<N>,
    written: &'n Written,
) -> impl Iterator<Item = (&'n N, &'n str)> {
    PARTS.into_iter().filter_map(|part| {
        let value = match part {
            Part::Proof => Some(&written.proof),
            Part::Beside(HashField::Id) => Some(&written.id),
            Part::Beside(HashField::Email) => written.email.as_ref(),
            Part::Beside(HashField::Name) => written.name.as_ref(),
        };
        Some((names.of(part)?, value?.as_str()))
    })
}

fn with_scheme<'v>(value: &'v str, scheme: &Option<String>, is_proof: bool) -> Cow<'v, str> {
    match scheme {
        Some(scheme) if is_proof => format!("{scheme} {value}").into(),
        _ => value.into(),
    }
}

/// A header's value, if every reader reads back the same: printable ASCII, no space at an edge.
fn header_value(value: &str) -> Option<HeaderValue> {
    let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !printable || value.trim_matches(' ') != value {
        return None;
    }
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn add(to: &mut String, mark: Option<char>, name: &str, value: &str) {
    to.extend(mark);
    to.extend(utf8_percent_encode(name, RESERVED));
    to.push('=');
    to.extend(utf8_percent_encode(value, RESERVED));
}
