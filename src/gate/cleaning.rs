//! What leaves a request before it goes on: the spent credential and every identity field
//! that nothing proved, out of query, headers and body.

use std::sync::Arc;

use super::body::Kind;
use super::claimed::Claims;
use super::content::Content;
use super::examination::Place;
use super::multipart::Renamer;
use super::policy::Mode;
use super::query::{self, Fate};
use super::spent::{self, AllSpent};
use super::{Edits, Fault, NewBody, Refusal, RequestView, document};
use crate::dialect::Carrier;
use crate::identity::{Standing, Visitor};
use bytes::Bytes;

/// A request without what may not reach the backend.
pub(super) struct Cleaned {
    /// Whom the backend is told of, claims included.
    pub visitor: Visitor,
    /// More was claimed than is handed over.
    pub oversized: bool,
    /// What changes in the head.
    pub edits: Edits,
    /// What becomes of the body.
    pub body: NewBody,
}

/// Cleans where the mode does, and collects what was claimed.
///
/// # Errors
/// [`Fault::BadRequest`] for a body that cannot be cleaned without saying something else.
pub(super) fn cleaned(
    place: &Place<'_, '_>,
    request: &RequestView<'_>,
    standing: Standing,
    spent: &AllSpent<'_>,
    content: &Content<'_>,
    kind: Option<&Kind>,
) -> Result<Cleaned, Refusal> {
    let settings = place.settings;
    let mut edits = Edits::default();
    let mut visitor = Visitor { standing, claimed: None, details: None };
    let mut body = NewBody::Same;
    if settings.mode == Mode::Off {
        return Ok(Cleaned { visitor, oversized: false, edits, body });
    }
    let identity = visitor.identity();
    let proven = identity.map(|identity| place.site.translations.proven(identity));
    let proven = &*proven.unwrap_or_default();
    let mut claims = (!settings.keep_unsigned).then(|| Claims::new(&place.site.fields, proven));

    if !settings.mode.cleans() {
        if let Some(claims) = &mut claims {
            claims.read(request, content);
        }
    } else {
        let edited = request.query().and_then(|query| {
            query::edited(query, |parameter| {
                if spent.is_parameter(parameter) {
                    return Fate::Cut;
                }
                claims.as_mut().map_or(Fate::Keep, |claims| claims.parameter(parameter))
            })
        });
        edits.target = edited.map(|query| match query.as_str() {
            "" => request.path().to_string(),
            query => format!("{}?{query}", request.path()),
        });
        if let Some(claims) = &mut claims {
            claims.headers(request, &mut edits);
        }
        spent.leave_headers(request, &mut edits);
        if !settings.forward_credential {
            for proof in place.site.proofs(settings) {
                spent::leave_referer(request, proof.sources, &mut edits);
            }
        }
        body = match (content, kind) {
            (Content::Nothing, Some(Kind::Multipart(Some(boundary)))) => {
                let renamer = renamer(place, proven, boundary);
                renamer.map_or(NewBody::Same, |renamer| NewBody::Renamed(Box::new(renamer)))
            }
            (Content::Parts { .. }, Some(Kind::Multipart(Some(boundary)))) => {
                let renamer = renamer(place, proven, boundary);
                parts(content, spent, renamer)?
            }
            _ => text(place, content, claims.as_mut(), spent)?,
        };
    }
    let oversized = claims.as_ref().is_some_and(|claims| claims.oversized);
    visitor.claimed = claims.and_then(Claims::into_json);
    Ok(Cleaned { visitor, oversized, edits, body })
}

/// A JSON document or a form.
fn text(
    place: &Place<'_, '_>,
    content: &Content<'_>,
    mut claims: Option<&mut Claims<'_>>,
    spent: &AllSpent<'_>,
) -> Result<NewBody, Refusal> {
    let left = match content {
        Content::Nothing | Content::Parts { .. } => None,
        Content::Form { text, lines } => query::edited_lines(text, *lines, |field| {
            if spent.is_field(field) {
                return Fate::Cut;
            }
            claims.as_mut().map_or(Fate::Keep, |claims| claims.parameter(field))
        }),
        Content::Json { text, labelled, .. } => {
            let left = document::edited(text, claims.as_deref_mut(), Some(spent))?;
            let now = left.as_deref().unwrap_or(text);
            let is_credential = |name: &str| {
                place.site.proofs(place.settings).flat_map(|proof| proof.sources).any(|source| {
                    matches!(&source.carrier, Carrier::Form { names } if names.proof == name)
                })
            };
            let is_one = |name: &str| {
                claims.as_ref().is_some_and(|claims| claims.covering(name).is_some())
                    || is_credential(name)
            };
            match !labelled && document::reads_as_form(now, is_one) {
                true => Some(document::without_separators(now)),
                false => left,
            }
        }
    };
    Ok(left.map_or(NewBody::Same, |text| NewBody::Replaced(Bytes::from(text))))
}

/// What renames the parts that claim without proof; none where nobody minds them.
fn renamer(place: &Place<'_, '_>, proven: &[(usize, String)], boundary: &str) -> Option<Renamer> {
    let settings = place.settings;
    let fields = match settings.keep_unsigned {
        true => Arc::default(),
        false => place.site.fields.clone(),
    };
    let proofs = place.site.proofs(settings).filter(|_| !settings.forward_credential);
    let credentials: Vec<String> = proofs
        .flat_map(|proof| proof.sources)
        .filter_map(|source| match &source.carrier {
            Carrier::Multipart { names } => Some(names.proof.clone()),
            _ => None,
        })
        .collect();
    let translations = place.site.translations.these(place.due);
    let written: Vec<_> =
        translations.filter(|one| one.into.is_in_body()).map(|one| one.fields.clone()).collect();
    let any = !fields.is_empty() || !credentials.is_empty() || !written.is_empty();
    any.then(|| Renamer::new(boundary, fields, proven, credentials).also(written))
}

/// A multipart body that is here whole: a spent credential's part goes, others are renamed.
fn parts(
    content: &Content<'_>,
    spent: &AllSpent<'_>,
    renamer: Option<Renamer>,
) -> Result<NewBody, Refusal> {
    let Content::Parts { bytes, parts } = content else { return Ok(NewBody::Same) };
    let mut left = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for part in parts.iter().filter(|part| spent.is_part(part)) {
        left.extend_from_slice(bytes.get(at..part.place.start).unwrap_or_default());
        at = part.place.end;
    }
    left.extend_from_slice(bytes.get(at..).unwrap_or_default());
    if let Some(mut renamer) = renamer {
        left = renamer.push(&left, true).map_err(|_| {
            Refusal::fault(Fault::BadRequest, "the head of a part of the body does not end")
        })?;
    }
    Ok(if left == *bytes { NewBody::Same } else { NewBody::Replaced(Bytes::from(left)) })
}
