//! What a backend is told, field by field, and what each field's headers are called: under
//! `Countersign-` or another prefix, and under whatever names a site adds.

use bytes::Bytes;
use http::HeaderName;

use super::budget::Budget;
use super::reserved::{Reserved, folded, is_reserved, is_under};

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident $constant:ident $word:literal $name:literal $spelled:literal,)*) => {
        $(#[doc = concat!("`", $spelled, "`")]
        pub static $constant: HeaderName = HeaderName::from_static($name);)*

        /// Every name of our own, and its spelling in HTTP/1.x.
        pub const SPELLINGS: &[(&str, &str)] = &[$(($name, $spelled),)*];

        /// The spelling of a name of our own.
        pub fn spelling(name: &str) -> Option<&'static str> {
            match name { $($name => Some($spelled),)* _ => None }
        }

        /// What a backend is told of a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field { $($(#[$doc])* $variant,)* }

        impl Field {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its word in the configuration, in metrics and in `Countersign-Omitted`.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Its own name, as it is spelt.
            pub const fn spelled(self) -> &'static str {
                match self { $(Self::$variant => $spelled,)* }
            }

            fn own_name(self) -> &'static HeaderName {
                match self { $(Self::$variant => &$constant,)* }
            }
        }
    };
}

fields! {
    /// `verified` or `guest`.
    Status STATUS "status" "countersign-status" "Countersign-Status",
    /// Why a guest is one.
    Reason REASON "reason" "countersign-reason" "Countersign-Reason",
    /// The site.
    Site SITE "site" "countersign-site" "Countersign-Site",
    /// The dialect whose rules vouched.
    Dialect DIALECT "dialect" "countersign-dialect" "Countersign-Dialect",
    /// The verified id.
    Id ID "id" "countersign-id" "Countersign-Id",
    /// The signed name.
    Name NAME "name" "countersign-name" "Countersign-Name",
    /// The signed email.
    Email EMAIL "email" "countersign-email" "Countersign-Email",
    /// The other signed attributes, as JSON.
    Attributes ATTRIBUTES "attributes" "countersign-attributes" "Countersign-Attributes",
    /// What was claimed without proof, as JSON.
    Claimed CLAIMED "claimed" "countersign-claimed" "Countersign-Claimed",
    /// What the website's server said, as JSON.
    Details DETAILS "details" "countersign-details" "Countersign-Details",
    /// The key that verified.
    Key KEY "key" "countersign-key" "Countersign-Key",
    /// When the proof expires.
    Expires EXPIRES "expires" "countersign-expires" "Countersign-Expires",
    /// The request's id.
    RequestId REQUEST_ID "request_id" "countersign-request-id" "Countersign-Request-Id",
    /// What was left out for size.
    Omitted OMITTED "omitted" "countersign-omitted" "Countersign-Omitted",
    /// All of it, signed.
    Assertion ASSERTION "assertion" "countersign-assertion" "Countersign-Assertion",
}

/// What every name of our own begins with.
pub const PREFIX: &str = "Countersign-";

impl Field {
    /// Its name under a prefix: `X-Chat-` makes `X-Chat-Request-Id` of it.
    pub fn under(self, prefix: &str) -> String {
        let spelled = self.spelled();
        format!("{prefix}{}", spelled.strip_prefix(PREFIX).unwrap_or(spelled))
    }
}

/// What one site's headers are called, and how long they may be: resolved with its Plan.
#[derive(Clone, Debug)]
pub struct SiteHeaders {
    /// The names of each field, by its place in [`Field::ALL`].
    names: Box<[Box<[HeaderName]>]>,
    /// How those outside `Countersign-` are spelt in HTTP/1.x.
    spellings: Box<[(HeaderName, Bytes)]>,
    /// Folded names that are not `Countersign-…`: those above, and their families'.
    reserved: Box<[Box<str>]>,
    /// The folded prefix, if it is another one than ours.
    prefix: Option<Box<str>>,
    /// Values that are longer, alone or together, are left out.
    pub budget: Budget,
}

impl Default for SiteHeaders {
    fn default() -> Self {
        let own = Field::ALL.iter().map(|field| Box::from([field.own_name().clone()]));
        Self {
            names: own.collect(),
            spellings: Box::default(),
            reserved: Box::default(),
            prefix: None,
            budget: Budget::default(),
        }
    }
}

impl SiteHeaders {
    /// These names, each spelt as it is to be sent; besides, names that no client may send,
    /// and the prefix, where it is another one than ours. What cannot be a header's name is
    /// not sent.
    pub fn new(
        named: &[(Field, String)],
        stripped: &[&str],
        prefix: Option<&str>,
        budget: Budget,
    ) -> Self {
        let of = |field: &Field| {
            let own = named.iter().filter(|(other, _)| other == field);
            own.filter_map(|(_, name)| HeaderName::from_bytes(name.as_bytes()).ok()).collect()
        };
        let others = || {
            let spelled = named.iter().map(|(_, name)| name.as_str());
            spelled.filter(|name| !is_reserved(name))
        };
        let spellings = others().filter_map(|spelled| {
            let name = HeaderName::from_bytes(spelled.as_bytes()).ok()?;
            Some((name, Bytes::copy_from_slice(spelled.as_bytes())))
        });
        Self {
            names: Field::ALL.iter().map(of).collect(),
            spellings: spellings.collect(),
            reserved: others()
                .chain(stripped.iter().copied())
                .map(|name| folded(name).into())
                .collect(),
            prefix: prefix.map(|prefix| folded(prefix).into()),
            budget,
        }
    }

    /// What a field's headers are called.
    pub fn names(&self, field: Field) -> &[HeaderName] {
        self.names.get(field as usize).map_or(&[], |names| names)
    }

    /// How many headers there may be beside one for each field.
    pub fn further(&self) -> usize {
        self.names.iter().map(|names| names.len().saturating_sub(1)).sum()
    }

    /// How a name is spelt in HTTP/1.x, if the configuration says so.
    pub fn spelling(&self, name: &HeaderName) -> Option<&Bytes> {
        self.spellings.iter().find(|(own, _)| own == name).map(|(_, spelled)| spelled)
    }

    /// Whether only we may use a name towards the backend and the client: `Countersign-…`, and
    /// what begins with the site's own prefix.
    pub fn is_own(&self, name: &str) -> bool {
        is_reserved(name) || self.prefix.as_deref().is_some_and(|word| is_under(word, name))
    }
}

impl Reserved {
    /// What any of these sites tells its backend by.
    pub fn of<'a>(sites: impl Iterator<Item = &'a SiteHeaders> + Clone) -> Self {
        let names = sites.clone().flat_map(|site| site.reserved.iter().map(|name| &**name));
        Self::new(names, sites.filter_map(|site| site.prefix.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &SiteHeaders, field: Field) -> Vec<&str> {
        headers.names(field).iter().map(HeaderName::as_str).collect()
    }

    #[test]
    fn without_a_word_every_field_has_its_own_name_and_nothing_else_is_reserved() {
        let headers = SiteHeaders::default();
        for (field, (name, spelled)) in Field::ALL.iter().zip(SPELLINGS) {
            assert_eq!(names(&headers, *field), [*name]);
            assert_eq!(field.spelled(), *spelled);
            assert_eq!(field.under(PREFIX), *spelled);
            assert_eq!(headers.spelling(field.own_name()), None);
            let word = name.strip_prefix("countersign-").unwrap().replace('-', "_");
            assert_eq!(field.word(), word);
        }
        assert_eq!(headers.further(), 0);
        assert_eq!(Reserved::of([headers].iter()), Reserved::default());
    }

    #[test]
    fn a_site_reserves_its_names_and_prefix_for_all_but_owns_only_the_prefix() {
        let named = [
            (Field::Status, Field::Status.under("X-Chat-")),
            (Field::RequestId, Field::RequestId.under("X-Chat-")),
            (Field::Id, "SM_USER".into()),
            (Field::Id, "X-User".into()),
        ];
        let budget = Budget::default();
        let headers = SiteHeaders::new(&named, &["Remote-Groups"], Some("X-Chat-"), budget);
        assert_eq!(names(&headers, Field::RequestId), ["x-chat-request-id"]);
        assert_eq!(names(&headers, Field::Id), ["sm_user", "x-user"]);
        assert_eq!(names(&headers, Field::Email), [""; 0]);
        assert_eq!(headers.further(), 1);
        let spelled = headers.spelling(&HeaderName::from_static("sm_user"));
        assert_eq!(spelled.map(|bytes| &bytes[..]), Some(&b"SM_USER"[..]));

        let reserved = Reserved::of([SiteHeaders::default(), headers.clone()].iter());
        for name in ["x_chat_id", "sm-user", "x-user", "remote.groups", "countersign-id"] {
            assert!(reserved.has(name), "{name}");
        }
        assert!(!reserved.has("remote-user"));
        for (name, own) in [
            ("countersign-id", true),
            ("countersign-request-id", true),
            ("x-chat-id", true),
            ("x_chat", true),
            ("x-chats", false),
            ("x-user", false),
            ("remote-groups", false),
        ] {
            assert_eq!(headers.is_own(name), own, "{name}");
        }
    }
}
