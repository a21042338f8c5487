//! A token whose signature no key fits, whose `kid` names no key, or whose algorithm is
//! not the key's: which key, and which slip, would have made it fit?
//!
//! The likeliest comes first and the first that fits is told: two slips at once are told
//! one after the other.

use std::sync::Arc;

use base64::prelude::Engine as _;

use super::afterwards::after;
use super::digests::Function;
use super::secrets::{self, Variant};
use super::sentences::{mistaken_secret, not_keyed, swapped, wrong_site};
use super::token::{Token, URL, shown};
use super::{Case, Hint, Party, Presented, Written};
use crate::dialect::digest::read_hex;
use crate::dialect::{Algorithm, JwtRules, Key, KeySelection, Keyring, Reason};
use crate::secret::Secret;

/// What is looked at.
pub(super) struct Signature<'a> {
    pub case: &'a Case<'a>,
    pub rules: &'a JwtRules,
    pub proof: &'a str,
    pub token: &'a Token<'a>,
    pub reason: Reason,
}

impl Signature<'_> {
    /// What to mend.
    pub fn look(&self) -> Vec<Hint> {
        if self.reason == Reason::UnsupportedAlgorithm
            && let Some(hint) = self.no_algorithm()
        {
            return vec![hint];
        }
        let found = self
            .own_key()
            .or_else(|| self.other_site())
            .or_else(|| self.other_secret())
            .or_else(|| self.other_form())
            .or_else(|| self.same_key_by_another_algorithm());
        if let Some(found) = found {
            return found;
        }
        match self.reason {
            Reason::UnsupportedAlgorithm => vec![self.wrong_algorithm(None)],
            Reason::UnknownKey => vec![self.kid(None)],
            _ => vec![self.nothing_fits()],
        }
    }

    /// `none`, and names in the wrong case: no key needs to be tried.
    fn no_algorithm(&self) -> Option<Hint> {
        let name = self.token.header_text("alg")?;
        if name.eq_ignore_ascii_case("none") {
            return Some(Hint::new(
                "alg_none",
                "the token is not signed at all (`alg: none`): anybody could have written it; \
                 sign it with the site's key",
            ));
        }
        let known = Algorithm::ALL.iter().find(|known| known.name().eq_ignore_ascii_case(name))?;
        (known.name() != name).then(|| {
            let text = format!("`alg` is case-sensitive: write `{}`", known.name());
            Hint::new("algorithm_case", text)
        })
    }

    /// A key of this site fits as it is: then `kid` is wrong.
    fn own_key(&self) -> Option<Vec<Hint>> {
        let signature = self.token.signature.as_deref()?;
        let message = self.token.message.as_bytes();
        let keys = self.case.site.keyring.keys();
        let key = keys.iter().find(|key| key.verifies(message, signature))?;
        Some(vec![self.kid(Some(key))])
    }

    fn other_site(&self) -> Option<Vec<Hint>> {
        let signature = self.token.signature.as_deref()?;
        let message = self.token.message.as_bytes();
        self.case.others.iter().find_map(|other| {
            let key = other.keyring.keys().iter().find(|key| key.verifies(message, signature))?;
            Some(vec![wrong_site(other, key, self.case.site.name)])
        })
    }

    /// The site's secret in another form, a sample secret, or the public key.
    fn other_secret(&self) -> Option<Vec<Hint>> {
        let signature = self.token.signature.as_deref()?;
        let function = Function::of_length(signature.len())?;
        let message = self.token.message.as_bytes();
        let fits = |variant: &Variant| function.hmac(variant.secret.expose(), message) == signature;
        let own = secrets::variants(&self.case.site).into_iter();
        let variant = own.chain(secrets::samples()).find(fits)?;
        let Some(cause) = variant.cause else {
            // The very secret, by a hash function that the key is not pinned to.
            return Some(vec![self.wrong_algorithm(variant.key.as_deref())]);
        };
        let mut hints = vec![mistaken_secret(cause, &variant)];
        hints.extend(self.after(&variant.secret));
        Some(hints)
    }

    /// The right secret over another text, the plain hash, or a signature written otherwise.
    fn other_form(&self) -> Option<Vec<Hint>> {
        let [header, payload, written] = self.token.parts.as_slice() else { return None };
        let signature = self.token.signature.as_deref()?;
        let message = self.token.message.as_bytes();
        let keys = self.case.site.keyring.keys();
        // Hexadecimal where bytes are due; as text in the token, or encoded once more.
        let as_text = [Some(written.as_bytes()), Some(signature)].into_iter().flatten();
        let unhexed: Vec<_> = as_text.filter_map(read_hex).collect();
        if keys.iter().any(|key| unhexed.iter().any(|code| key.verifies(message, code))) {
            return Some(vec![Hint::new(
                "signature_hex",
                "the signature is written in hexadecimal: take the raw bytes of the HMAC (in PHP \
                 the fourth argument of `hash_hmac`) and encode those as base64url",
            )]);
        }
        if let Some(plain) = raw_ecdsa(signature)
            && keys.iter().any(|key| key.verifies(message, &plain))
        {
            return Some(vec![Hint::new(
                "signature_der",
                "the signature is in ASN.1 (DER), as OpenSSL and Java write it: a token needs \
                 the two numbers side by side (RFC 7518 §3.4)",
            )]);
        }
        let function = Function::of_length(signature.len())?;
        let decoded = [URL.decode(header).ok()?, URL.decode(payload).ok()?];
        let [plain_header, plain_payload] = decoded.each_ref().map(Vec::as_slice);
        let texts = [
            ("the payload alone", payload.as_bytes().to_vec()),
            ("the payload's JSON", plain_payload.to_vec()),
            ("the JSON texts", [plain_header, b".", plain_payload].concat()),
            ("the two parts without their dot", [header.as_bytes(), payload.as_bytes()].concat()),
        ];
        for variant in secrets::variants(&self.case.site).iter().filter(|v| v.cause.is_none()) {
            let secret = variant.secret.expose();
            for (what, text) in &texts {
                if function.hmac(secret, text) == signature {
                    let text = format!(
                        "the website signs {what}: it must sign the two base64url parts, joined \
                         by a dot"
                    );
                    return Some(vec![Hint::new("signed_text", text)]);
                }
            }
            if function.hmac(message, secret) == signature {
                return Some(vec![swapped()]);
            }
            let glued = [[secret, message].concat(), [message, secret].concat()];
            if glued.iter().any(|text| function.digest(text) == signature) {
                return Some(vec![not_keyed(function)]);
            }
        }
        (function.digest(message) == signature).then(|| vec![not_keyed(function)])
    }

    /// RS256, RS512 and PS256 share their keys, but not their signatures.
    fn same_key_by_another_algorithm(&self) -> Option<Vec<Hint>> {
        let signature = self.token.signature.as_deref()?;
        let message = self.token.message.as_bytes();
        let wanted = self.token.header_text("alg").and_then(Algorithm::from_name);
        let fits = |written: &&Written| {
            let key = Key::public_pem(&written.key, wanted, written.text.expose());
            key.is_ok_and(|key| key.verifies(message, signature))
        };
        let written = self.case.site.written.iter().find(fits)?;
        Some(vec![self.wrong_algorithm(Some(&written.key))])
    }

    /// What would be refused next, were the secret right.
    fn after(&self, secret: &Secret) -> Vec<Hint> {
        let alg = self.token.header_text("alg").and_then(Algorithm::from_name);
        let id = self.token.header_text("kid").unwrap_or("mended");
        let Some(key) = alg.and_then(|alg| Key::secret(id, alg, secret).ok()) else {
            return Vec::new();
        };
        let keyring = Keyring::new(vec![Arc::new(key)]);
        let site = Party { keyring: &keyring, written: &[], ..self.case.site };
        let presented = [Presented::proof(self.proof)];
        after(&Case { site, others: &[], presented: &presented, now: self.case.now })
    }

    /// What is wrong with `kid`; `fits` is the key that signed.
    fn kid(&self, fits: Option<&Arc<Key>>) -> Hint {
        if let KeySelection::Claim(claim) = &self.rules.key {
            let fits = fits.map(|key| format!(" (the signature fits key `{}`)", key.id()));
            let fits = fits.unwrap_or_default();
            let text = format!("the claim `{claim}` must end with the id of a key{fits}");
            return Hint::new("key_claim", text);
        }
        let kid = self.token.header_text("kid");
        let (cause, slip) = match kid {
            Some(kid) if self.case.site.keyring.get(kid).is_some() => {
                ("kid_of_another_key", format!("`kid` names key `{}`", shown(kid)))
            }
            Some(kid) => ("kid_unknown", format!("`kid` is `{}`, no key of this site", shown(kid))),
            None if self.token.claim("kid").is_some() => (
                "kid_in_payload",
                "`kid` stands among the claims: it belongs into the header".to_owned(),
            ),
            None => ("kid_missing", "the header has no `kid`".to_owned()),
        };
        let ids: Vec<_> = self.case.site.keyring.keys().iter().map(|key| &**key.id()).collect();
        let fix = match fits {
            Some(key) => format!("the signature fits key `{0}`, so send `kid: {0}`", key.id()),
            None => format!("send the id of the key that signs, one of: {}", ids.join(", ")),
        };
        Hint::new(cause, format!("{slip}; {fix}"))
    }

    fn wrong_algorithm(&self, key: Option<&str>) -> Hint {
        let alg = shown(self.token.header_text("alg").unwrap_or("?"));
        let keyring = self.case.site.keyring;
        let text = match key.and_then(|key| keyring.get(key)) {
            Some(key) => format!(
                "the key is the right one, but the website signs by another algorithm: key `{}` \
                 is for {}",
                key.id(),
                key.algorithm().name()
            ),
            None => {
                let mut names: Vec<_> =
                    keyring.keys().iter().map(|key| key.algorithm().name()).collect();
                names.dedup();
                let allowed: Vec<_> = self.rules.algorithms.iter().map(|a| a.name()).collect();
                format!(
                    "the token says `alg: {alg}`; this site's keys are for {} and the dialect \
                     allows {}: sign by one of those, or configure a key for {alg}",
                    names.join(", "),
                    allowed.join(", ")
                )
            }
        };
        Hint::new("wrong_algorithm", text)
    }

    fn nothing_fits(&self) -> Hint {
        let due = match self.token.header_text("alg") {
            Some("HS256") => Some(32),
            Some("HS384") => Some(48),
            Some("HS512" | "ES256") => Some(64),
            Some("ES384") => Some(96),
            _ => None,
        };
        let length = self.token.signature.as_ref().map(Vec::len);
        if let (Some(due), Some(length)) = (due, length)
            && due != length
        {
            let text = format!(
                "the signature has {length} bytes where {due} are due: the token was cut off on its \
                 way, or its `alg` is not what signed it"
            );
            return Hint::new("signature_length", text);
        }
        let kid =
            self.token.header_text("kid").filter(|kid| self.case.site.keyring.get(kid).is_some());
        let with = kid.map(|kid| format!(" of key `{}`", shown(kid))).unwrap_or_default();
        let untried = if self.case.site.written.is_empty() {
            " (the secrets' texts were not at hand, so other forms of them were not tried)"
        } else {
            ""
        };
        Hint::new(
            "nothing_fits",
            format!(
                "none of the usual mistakes fits{untried}: the website signs with another secret \
                 than this site's{with}, or somebody changed the token after it was signed; sign \
                 one with `countersign sign` and compare"
            ),
        )
    }
}

/// The two numbers of an ECDSA signature in ASN.1, each as long as the curve (RFC 7518 §3.4).
fn raw_ecdsa(der: &[u8]) -> Option<Vec<u8>> {
    let size = match der.len() {
        64..=73 => 32,
        90..=105 => 48,
        _ => return None,
    };
    let (0x30, rest) = (*der.first()?, der.get(2..)?) else { return None };
    let mut raw = Vec::with_capacity(2 * size);
    let mut rest = rest;
    for _ in 0..2 {
        let (head, tail) = rest.split_at_checked(2)?;
        let [0x02, length] = head else { return None };
        let (number, tail) = tail.split_at_checked((*length).into())?;
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        raw.resize(raw.len() + size.checked_sub(number.len())?, 0);
        raw.extend_from_slice(number);
        rest = tail;
    }
    rest.is_empty().then_some(raw)
}
