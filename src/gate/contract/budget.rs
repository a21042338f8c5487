//! How long injected values may be, and what is left out where there is no room for all.
//!
//! A value counts as often as it is sent. What does not fit is left out whole, from every
//! header that has it and from the assertion alike: first what was only claimed, then the
//! details, then the attributes; then the assertion itself, and last email and name. The rest
//! always fits: a configuration with less room than it may need is refused.

use super::names::{Field, SiteHeaders};
use super::{Told, asserted};
use crate::assertion::Assertion;

/// Longest value of the claims, in bytes.
pub const MAX_CLAIMED: usize = 2 * 1024;

/// Bytes of values that are injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The longest.
    pub max_value: usize,
    /// All together.
    pub max_total: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { max_value: 8000, max_total: 12 * 1024 }
    }
}

impl SiteHeaders {
    /// Bytes that must fit whoever comes: all that is never left out, at its longest, in a
    /// site with these names for itself and its dialects.
    pub fn least_total(&self, site: &str, dialects: &[&str]) -> usize {
        // 256 bytes, each percent-encoded.
        const LONGEST_ID: usize = 3 * 256;
        const LONGEST_REQUEST_ID: usize = 3 * 128;
        let longest = |field: &Field| match field {
            Field::Status => "verified".len(),
            Field::Reason => "unsupported_algorithm".len(),
            Field::Site => site.len(),
            Field::Dialect => dialects.iter().map(|name| name.len()).max().unwrap_or_default(),
            Field::Id | Field::Key => LONGEST_ID,
            Field::Expires => "99999999999".len(),
            Field::RequestId => LONGEST_REQUEST_ID,
            Field::Omitted => ALL_OMITTED.len(),
            Field::Name
            | Field::Email
            | Field::Attributes
            | Field::Claimed
            | Field::Details
            | Field::Assertion => 0,
        };
        Field::ALL.iter().map(|field| longest(field) * self.names(*field).len()).sum()
    }
}

/// The longest `Countersign-Omitted`.
const ALL_OMITTED: &str = "claimed,details,attributes,email,name,assertion";

/// A value that may be left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// What the assertion says.
    pub text: &'a str,
    /// Bytes of the value in a header.
    pub len: usize,
    /// In how many headers it is sent.
    pub copies: usize,
}

/// Those values, in the order in which they are left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces<'a>(pub [Option<Piece<'a>>; 5]);

impl<'a> Pieces<'a> {
    /// Whose values they are.
    pub const FIELDS: [Field; 5] =
        [Field::Claimed, Field::Details, Field::Attributes, Field::Email, Field::Name];
    /// How many of them go before the assertion does.
    const BEFORE_ASSERTION: usize = 3;

    /// What one of them says.
    pub fn text(&self, field: Field) -> Option<&'a str> {
        let place = Self::FIELDS.iter().position(|own| *own == field)?;
        self.0.get(place)?.map(|piece| piece.text)
    }

    fn len(&self) -> usize {
        self.0.iter().flatten().map(|piece| piece.len * piece.copies).sum()
    }

    /// Those that are not too long by themselves.
    fn none_too_long(mut self, max_value: usize) -> Self {
        for (piece, field) in self.0.iter_mut().zip(Self::FIELDS) {
            let limit = if field == Field::Claimed { MAX_CLAIMED } else { usize::MAX };
            *piece = piece.filter(|piece| piece.len <= limit.min(max_value));
        }
        self
    }

    /// Leaves out the first that is there, of so many.
    fn leave_one_out(&mut self, of: usize) -> bool {
        self.0.iter_mut().take(of).find(|piece| piece.is_some()).and_then(Option::take).is_some()
    }
}

/// As many of these values as there is room for beside what is `taken`, with what signs them,
/// where there is room for that too.
pub(super) fn fitting<'a>(
    told: &'a Told<'_>,
    offered: Pieces<'a>,
    mut signer: Option<&'a Assertion>,
    taken: usize,
) -> (Pieces<'a>, Option<&'a Assertion>) {
    let Budget { max_value, max_total } = told.headers.budget;
    let copies = |field| told.headers.names(field).len();
    let taken = taken + ALL_OMITTED.len() * copies(Field::Omitted);
    let room = max_total.saturating_sub(taken);
    let mut kept = offered.none_too_long(max_value);
    loop {
        let signed = signer.map_or(0, |signer| signer.len_of(&asserted(told, kept)));
        let fits = signed <= max_value && kept.len() + signed * copies(Field::Assertion) <= room;
        if fits
            || !kept.leave_one_out(Pieces::BEFORE_ASSERTION)
                && signer.take().is_none()
                && !kept.leave_one_out(Pieces::FIELDS.len())
        {
            return (kept, signer);
        }
    }
}
