//! Changes to a request's head, as data.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{NewBody, contract, shown};

/// Changes to a request's head: pure data, safe to apply more than once. Applied in the
/// order of its members.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// The new origin-form target, if it changes.
    pub target: Option<String>,
    /// Header fields to remove, every occurrence.
    pub remove: Vec<HeaderName>,
    /// Header fields to set, replacing every occurrence. Applied after `remove`.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Header fields to append: what stays of fields that occur several times. Applied
    /// last; every name here is in `remove` too, and in none of `set`.
    pub append: Vec<(HeaderName, HeaderValue)>,
}

impl std::fmt::Debug for Edits {
    /// Names and lengths: the values are credentials and identities.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edits")
            .field("target", &self.target.as_deref().map(shown::Target))
            .field("remove", &self.remove)
            .field("set", &shown::List(&self.set))
            .field("append", &shown::List(&self.append))
            .finish()
    }
}

impl Edits {
    /// Applies the changes to header fields. A server with a header map of its own does
    /// the same with that.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.append {
            headers.append(name.clone(), value.clone());
        }
    }

    /// Announces a body's new length, if it has one.
    pub(super) fn measure(&mut self, body: &NewBody) {
        if let NewBody::Replaced(bytes) = body {
            self.set.push((header::CONTENT_LENGTH, HeaderValue::from(bytes.len())));
            self.remove.push(header::TRANSFER_ENCODING);
        }
    }

    /// Sets a field, whatever else was said of it and of all that a careless reader takes
    /// for it.
    pub(super) fn replace(
        &mut self,
        headers: &HeaderMap,
        name: &HeaderName,
        value: Option<HeaderValue>,
    ) {
        let alike = |other: &HeaderName| contract::folds_alike(other.as_str(), name.as_str());
        self.set.retain(|(other, _)| !alike(other));
        self.append.retain(|(other, _)| !alike(other));
        self.remove.extend(headers.keys().filter(|other| alike(other)).cloned());
        self.set.extend(value.map(|value| (name.clone(), value)));
    }

    /// Removes those of a field's values that are not kept.
    pub(super) fn retain(
        &mut self,
        headers: &HeaderMap,
        name: &HeaderName,
        mut keep: impl FnMut(&HeaderValue) -> bool,
    ) {
        self.rewrite(
            headers,
            name,
            |value| {
                if keep(value) { Rewritten::Same } else { Rewritten::Gone }
            },
        );
    }

    /// Rewrites each of a field's values.
    pub(super) fn rewrite(
        &mut self,
        headers: &HeaderMap,
        name: &HeaderName,
        mut rewrite: impl FnMut(&HeaderValue) -> Rewritten,
    ) {
        if self.remove.contains(name) {
            return self.rewrite_again(name, rewrite);
        }
        let values = headers.get_all(name);
        // Nothing is allocated as long as nothing changes: the usual case.
        let mut rest: Option<Vec<HeaderValue>> = None;
        for (index, value) in values.iter().enumerate() {
            let rewritten = rewrite(value);
            if matches!(rewritten, Rewritten::Same) && rest.is_none() {
                continue;
            }
            let rest = rest.get_or_insert_with(|| values.iter().take(index).cloned().collect());
            rest.extend(rewritten.into_value(value));
        }
        if let Some(rest) = rest {
            self.remove.push(name.clone());
            self.append.extend(rest.into_iter().map(|value| (name.clone(), value)));
        }
    }

    /// Two sources may name one field: the second looks at what the first left.
    fn rewrite_again(
        &mut self,
        name: &HeaderName,
        mut rewrite: impl FnMut(&HeaderValue) -> Rewritten,
    ) {
        let rewritten = std::mem::take(&mut self.append).into_iter().filter_map(|(own, value)| {
            let value = if own == name { rewrite(&value).into_value(&value) } else { Some(value) };
            value.map(|value| (own, value))
        });
        self.append = rewritten.collect();
    }
}

/// What becomes of one header field.
pub(super) enum Rewritten {
    /// It stays.
    Same,
    /// It goes.
    Gone,
    /// It reads so.
    Other(HeaderValue),
}

impl Rewritten {
    /// The field with these bytes; gone if there are none.
    pub fn from_bytes(value: Vec<u8>) -> Self {
        if value.is_empty() {
            return Self::Gone;
        }
        HeaderValue::try_from(value).map_or(Self::Gone, Self::Other)
    }

    fn into_value(self, was: &HeaderValue) -> Option<HeaderValue> {
        match self {
            Self::Same => Some(was.clone()),
            Self::Gone => None,
            Self::Other(value) => Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{applied, headers};
    use http::header::AUTHORIZATION;

    #[test]
    fn two_rewrites_of_one_field_add_up_and_applying_twice_changes_nothing() {
        let inbound =
            headers(&[("authorization", "a"), ("authorization", "b"), ("authorization", "c")]);
        let mut edits = Edits::default();
        edits.retain(&inbound, &AUTHORIZATION, |value| value != "a");
        edits.retain(&inbound, &AUTHORIZATION, |value| value != "c");
        assert_eq!(applied(&edits, &inbound), [("authorization".into(), "b".into())]);
        let mut twice = inbound;
        edits.apply(&mut twice);
        edits.apply(&mut twice);
        assert_eq!(twice, headers(&[("authorization", "b")]));
    }

    #[test]
    fn what_is_kept_whole_is_not_touched() {
        let inbound = headers(&[("authorization", "a")]);
        let mut edits = Edits::default();
        edits.retain(&inbound, &AUTHORIZATION, |_| true);
        assert_eq!(edits, Edits::default());
    }
}
