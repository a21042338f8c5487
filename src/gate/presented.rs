//! What a request presents to each way of proving that its site has.

use super::RequestView;
use super::content::Content;
use super::examination::Place;
use super::session::SessionToken;
use super::source::{self, Found, Shape};
use super::spent::{AllSpent, Spent};
use crate::plan::{Proof, Settings};

/// Per way, what was found in its places.
pub(super) struct Presented<'p, 'a> {
    /// What the site's own way was presented.
    pub own: (Proof<'p>, Found<'a>),
    /// Those of the further ways that were presented anything.
    pub others: Vec<(Proof<'p>, Found<'a>)>,
    /// The way that vouched earlier, for the session that the request carries.
    pub earlier: Option<(Proof<'p>, Found<'a>)>,
    /// The session tokens that the request carries.
    pub sessions: Vec<SessionToken<'a>>,
}

impl<'p, 'a> Presented<'p, 'a> {
    /// Nothing that is looked at.
    pub fn nothing(place: &Place<'p, '_>) -> Self {
        let own = (place.site.proof(place.settings), Found::default());
        Self { own, others: Vec::new(), earlier: None, sessions: Vec::new() }
    }

    /// Looks in the places of every way.
    pub fn find(
        place: &Place<'p, '_>,
        request: &RequestView<'a>,
        content: &'a Content<'_>,
        has_shape: Shape<'_>,
    ) -> Self {
        let find = |proof: Proof<'p>| {
            (proof, source::find(request, content, proof.dialect, proof.sources, has_shape))
        };
        let others = place.site.accepted().map(find);
        let others = others.filter(|(_, found)| found.credential.is_some()).collect();
        let own = find(place.site.proof(place.settings));
        Self { own, others, earlier: None, sessions: Vec::new() }
    }

    /// The way whose credential is judged: the site's own, if it has one or nobody has.
    pub fn vouching(&self) -> &(Proof<'p>, Found<'a>) {
        if let Some(earlier) = &self.earlier {
            return earlier;
        }
        let other = self.others.first().filter(|_| self.own.1.credential.is_none());
        other.unwrap_or(&self.own)
    }

    /// One credential of each of two ways are two.
    pub fn is_ambiguous(&self) -> bool {
        let held = usize::from(self.own.1.credential.is_some()) + self.others.len();
        held > 1 || self.own.1.ambiguous || self.others.iter().any(|(_, found)| found.ambiguous)
    }

    /// Whether nothing but cookies carries a credential.
    pub fn only_cookies(&self) -> bool {
        let all = std::iter::once(&self.own).chain(&self.others);
        let mut held = all.filter(|(_, found)| found.credential.is_some()).peekable();
        held.peek().is_some() && held.all(|(_, found)| found.places.only_cookies())
    }

    /// All that leaves the request; nothing where it is to stay.
    pub fn spent<'s>(&'s self, settings: &Settings, has_shape: Shape<'s>) -> AllSpent<'s> {
        let mut spent = AllSpent::default();
        if !settings.forward_credential {
            let all = std::iter::once(&self.own).chain(&self.others);
            all.filter_map(|(proof, found)| {
                Spent::new(proof.dialect, proof.sources, found, has_shape)
            })
            .for_each(|one| spent.add(one));
        }
        spent
    }
}
