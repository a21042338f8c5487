//! The verified identity as the backend's own proof, written by a dialect's rules: a token of
//! another kind, or a hash.
//!
//! It lets a website keep signing as it did for its former vendor, while the chat moves to a
//! backend that wants another proof. What is written is as good as what was verified: a token
//! holds for its `ttl` and no longer than the credential that it rests on. Attributes are not
//! taken over: a claim that meant little to one vendor may be a role to another.
//!
//! Pure: where it goes in a request is the gate's business.
//!
//! # Cost
//! A secret signs each request, which costs less than to look anything up. A token that a
//! private key has signed is used again for half its life, by whoever proves the same.

mod template;

use std::time::Duration;

use http::HeaderValue;

use crate::assertion::Cache;
use crate::clock::UnixTime;
use crate::dialect::sign::Subject;
use crate::dialect::{Dialect, Mechanism, Signer, is_id};
use crate::identity::Proven;

pub use template::Template;

/// Writes proofs for one backend.
#[derive(Debug)]
pub struct Translator {
    dialect: Dialect,
    signer: Signer,
    id: Template,
    /// Seconds that a token holds for.
    ttl: u64,
    /// Whether name and email have a place in what is written.
    room: (bool, bool),
    /// Seconds that it must still hold for when it is presented.
    least: u64,
    /// Whether a visitor without a name, and without an email, has none written.
    needs: [bool; 2],
    /// What a private key signed a moment ago, by all that it says and rests on.
    cache: Cache,
}

/// What may be written into a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// The token, or the hash.
    pub proof: String,
    /// What the backend calls the visitor.
    pub id: String,
    /// The verified email.
    pub email: Option<String>,
    /// The verified name.
    pub name: Option<String>,
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Written(redacted)")
    }
}

impl Translator {
    /// Seconds that a token holds for where nobody says otherwise and its dialect allows it.
    pub const TTL: u64 = 60;

    /// Writes by this dialect, with its audience and issuer worked in. It is tried at once.
    ///
    /// # Errors
    /// Why the dialect itself would refuse what is written, in a sentence for the
    /// configuration's author.
    pub fn new(
        dialect: Dialect,
        signer: Signer,
        id: Template,
        ttl: Option<u64>,
        now: UnixTime,
    ) -> Result<Self, String> {
        let (longest, least) = match &dialect.mechanism {
            Mechanism::Jwt(rules) => (rules.max_lifetime.unwrap_or(u64::MAX), rules.min_remaining),
            Mechanism::Hmac(_) => (u64::MAX, 0),
        };
        let ttl = ttl.unwrap_or(Self::TTL.max(least).min(longest));
        let room = dialect.has_room_for_people();
        let (needs, cache) = ([false; 2], Cache::default());
        let translator = Self { dialect, signer, id, ttl, room, least, needs, cache };
        let somebody = Proven {
            id: Some("u-1".into()),
            name: Some("Ada".into()),
            email: Some("ada@example.com".into()),
            ..Proven::default()
        };
        let subject = translator.subject(&somebody).ok_or("nobody has what its id is made of")?;
        translator.tried(&subject, now)?;
        let nameless = Subject { name: None, ..subject.clone() };
        let unmailed = Subject { email: None, ..subject };
        let needs = [nameless, unmailed].map(|less| translator.tried(&less, now).is_err());
        Ok(Self { needs, ..translator })
    }

    /// Whether the dialect itself accepts what is written of somebody.
    fn tried(&self, subject: &Subject, now: UnixTime) -> Result<(), String> {
        let signed = self.signer.sign(&self.dialect, subject, now, self.ttl);
        let signed = signed.map_err(|error| error.to_string())?;
        match self.signer.objection(&self.dialect, subject, &signed, now) {
            None => Ok(()),
            Some(rejection) => Err(format!("{} ({})", rejection.reason, rejection.detail)),
        }
    }

    /// The proof of this visitor, from `now` on, until `end` at the latest. None who lacks what
    /// the dialect asks for (an id, or a name or email that it insists on), or for whom no time
    /// is left that a backend would accept.
    pub fn write(&self, visitor: &Proven, now: UnixTime, end: Option<UnixTime>) -> Option<Written> {
        let subject = self.subject(visitor)?;
        let people = [&subject.name, &subject.email].into_iter().zip(self.needs);
        if people.into_iter().any(|(has, needed)| needed && has.is_none()) {
            return None;
        }
        let left = end.map_or(u64::MAX, |end| end.as_secs().saturating_sub(now.as_secs()));
        let is_token = matches!(self.dialect.mechanism, Mechanism::Jwt(_));
        if is_token && left < self.least.max(1) {
            return None;
        }
        let ttl = self.ttl.min(left);
        let proof = match is_token && !self.signer.algorithm().is_symmetric() {
            true => self.cached(&subject, now, ttl, end)?,
            false => self.signer.sign(&self.dialect, &subject, now, ttl).ok()?,
        };
        let Subject { id, name, email, .. } = subject;
        Some(Written { proof, id: id?, email, name })
    }

    /// A token that says just this and rests on a proof of the same end.
    fn cached(
        &self,
        subject: &Subject,
        now: UnixTime,
        ttl: u64,
        end: Option<UnixTime>,
    ) -> Option<String> {
        let Subject { id, name, email, .. } = subject;
        let content = format!("{id:?} {name:?} {email:?} {:?}", end.map(UnixTime::as_secs));
        if let Some(known) = self.cache.get(&content, now) {
            return known.to_str().ok().map(str::to_owned);
        }
        let token = self.signer.sign(&self.dialect, subject, now, ttl).ok()?;
        // Whoever is handed it last has as much of it left as a backend insists on.
        let usable = (ttl / 2).min(ttl.saturating_sub(self.least));
        let until = now.after(Duration::from_secs(usable));
        if let Ok(value) = HeaderValue::try_from(&token) {
            self.cache.put(content, value, now, until);
        }
        Some(token)
    }

    /// What a backend calls this visitor; none who cannot be called anything there.
    pub fn id(&self, visitor: &Proven) -> Option<String> {
        self.id.of(visitor)
    }

    /// The rules that it writes by.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Whether a backend could take what both write of one id for one visitor's: the key, the
    /// rules, whom it is for and the template are the same.
    pub fn is_like(&self, other: &Self) -> bool {
        let rules = |one: &Self| match &one.dialect.mechanism {
            Mechanism::Jwt(rules) => (rules.claims.audiences.clone(), rules.claims.issuer.clone()),
            Mechanism::Hmac(_) => Default::default(),
        };
        self.id == other.id
            && self.dialect.name == other.dialect.name
            && self.signer.print() == other.signer.print()
            && rules(self) == rules(other)
    }

    /// The key that signs.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    fn subject(&self, visitor: &Proven) -> Option<Subject> {
        let (name, email) = self.room;
        Some(Subject {
            id: Some(self.id.of(visitor)?),
            name: visitor.name.clone().filter(|_| name),
            // To some backends it is the id.
            email: visitor.email.clone().filter(|text| email && is_id(text)),
            ..Subject::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::founding::{self, with};
    use crate::dialect::{Algorithm, AudienceRule, Credential, Hash, Key, Keyring};
    use crate::secret::Secret;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn signer() -> Signer {
        Signer::secret(None, Algorithm::HS256, &Secret::new(SECRET.into())).unwrap()
    }

    fn keys() -> Keyring {
        let key = Key::secret("k1", Algorithm::HS256, &Secret::new(SECRET.into())).unwrap();
        Keyring::new(vec![key.into()])
    }

    fn ada() -> Proven {
        Proven {
            id: Some("u1".into()),
            name: Some("Ada".into()),
            email: Some("ada@example.com".into()),
            attributes: Some(r#"{"role":"admin"}"#.into()),
            ..Proven::default()
        }
    }

    fn matrix() -> Dialect {
        with(founding::jwt(), "matrix", |rules| {
            rules.claims.audience = AudienceRule::Aud;
            rules.claims.audiences = vec!["chat.example".into()];
            rules.claims.issuer = Some("countersign".into());
            rules.key = crate::dialect::KeySelection::Any;
        })
    }

    #[test]
    fn a_token_says_who_it_is_and_nothing_that_meant_something_else_elsewhere() {
        let translator =
            Translator::new(matrix(), signer(), Template::default(), None, NOW).unwrap();
        let written = translator.write(&ada(), NOW, None).unwrap();
        assert_eq!(written.id, "u1");
        let part = |index| {
            use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
            let part = written.proof.split('.').nth(index).unwrap();
            let json = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
            serde_json::from_slice::<serde_json::Value>(&json).unwrap()
        };
        assert_eq!(part(0), serde_json::json!({ "typ": "JWT", "alg": "HS256" }));
        let expected = serde_json::json!({
            "sub": "u1", "name": "Ada", "email": "ada@example.com", "aud": "chat.example",
            "iss": "countersign", "iat": 1_700_000_000, "exp": 1_700_000_060,
        });
        assert_eq!(part(1), expected);
        let token = Credential::Token(written.proof.as_str().into());
        assert!(matrix().verify(&token, &keys(), NOW).is_ok());
        let printed = format!("{translator:?} {written:?}");
        assert!(!printed.contains(SECRET) && !printed.contains(&written.proof), "{printed}");
    }

    #[test]
    fn a_hash_is_over_what_the_backend_calls_the_visitor() {
        let template = Template::parse("c-{id|hex}").unwrap();
        let dialect = founding::user_hash();
        let translator = Translator::new(dialect.clone(), signer(), template, None, NOW).unwrap();
        let written = translator.write(&ada(), NOW, None).unwrap();
        assert_eq!(written.id, "c-7531");
        let hash = |id: &'static str| {
            let proof = written.proof.clone().into();
            Credential::Hash(Hash { proof, id: Some(id.into()), ..Hash::default() })
        };
        assert!(dialect.verify(&hash("c-7531"), &keys(), NOW).is_ok());
        assert!(dialect.verify(&hash("u1"), &keys(), NOW).is_err());
    }

    #[test]
    fn who_lacks_what_the_backend_asks_for_gets_no_proof() {
        let anybody = |dialect| Translator::new(dialect, signer(), Template::default(), None, NOW);
        let plain = anybody(founding::jwt()).unwrap();
        assert!(plain.write(&Proven { name: None, email: None, ..ada() }, NOW, None).is_some());
        assert_eq!(plain.write(&Proven { id: None, ..ada() }, NOW, None), None);
        let strict = with(founding::jwt(), "strict", |rules| {
            let email = founding::pointer("/email");
            rules.claims.required.push((email, crate::dialect::ClaimType::String));
        });
        let strict = anybody(strict).unwrap();
        assert!(strict.write(&ada(), NOW, None).is_some());
        assert_eq!(strict.write(&Proven { email: None, ..ada() }, NOW, None), None);
    }

    #[test]
    fn a_dialect_that_would_refuse_what_is_written_is_none_to_write_by() {
        let refused = |change: fn(&mut crate::dialect::JwtRules)| {
            let dialect = with(founding::jwt(), "odd", change);
            Translator::new(dialect, signer(), Template::default(), None, NOW).unwrap_err()
        };
        assert!(refused(|rules| rules.single_use = true).contains("jti"));
        let wants_scope = |rules: &mut crate::dialect::JwtRules| {
            let scope = founding::pointer("/scope");
            rules.claims.required.push((scope, crate::dialect::ClaimType::Any));
        };
        assert!(refused(wants_scope).contains("scope"));
        assert!(refused(|rules| rules.claims.id.clear()).contains("signs no id"));
        assert!(
            refused(|rules| rules.required_header = vec!["kid".into()]).contains("unknown_key")
        );
    }

    #[test]
    fn one_place_for_id_and_email_holds_the_id() {
        let zulip = with(founding::jwt(), "zulip", |rules| {
            rules.claims.id.clone_from(&rules.claims.email);
            rules.claims.required.clear();
        });
        let template = Template::parse("{email}").unwrap();
        let translator = Translator::new(zulip, signer(), template, Some(30), NOW).unwrap();
        assert_eq!(translator.write(&ada(), NOW, None).unwrap().id, "ada@example.com");
    }

    /// When a token ends, in seconds from [`NOW`].
    fn ends(token: &str) -> u64 {
        use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
        let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        payload["exp"].as_u64().unwrap() - NOW.as_secs()
    }

    fn later(secs: u64) -> UnixTime {
        NOW.after(Duration::from_secs(secs))
    }

    #[test]
    fn a_token_ends_with_the_proof_that_it_rests_on() {
        let of = |dialect, ttl| {
            Translator::new(dialect, signer(), Template::default(), Some(ttl), NOW).unwrap()
        };
        let long = of(matrix(), 30 * 86400);
        for (end, expected) in [(None, 30 * 86400), (Some(2), 2), (Some(90 * 86400), 30 * 86400)] {
            let written = long.write(&ada(), NOW, end.map(later)).unwrap();
            assert_eq!(ends(&written.proof), expected);
        }
        // Only leeway lets this visitor be one.
        assert_eq!(long.write(&ada(), NOW, Some(NOW)), None);
        let lasting = of(with(matrix(), "lasting", |rules| rules.min_remaining = 20), 60);
        assert_eq!(lasting.write(&ada(), NOW, Some(later(19))), None);
        assert!(lasting.write(&ada(), NOW, Some(later(20))).is_some());
        let hash = Translator::new(founding::user_hash(), signer(), Template::default(), None, NOW);
        assert!(hash.unwrap().write(&ada(), NOW, Some(NOW)).is_some(), "hashes have no end");
    }

    #[test]
    fn a_private_keys_token_serves_for_half_its_life_and_never_somebody_else() {
        let pair = crate::dialect::fresh::pair(Algorithm::ES256).unwrap();
        let signer = Signer::private_pem(None, None, pair.private.expose()).unwrap();
        let translator =
            Translator::new(founding::jwt(), signer, Template::default(), Some(60), NOW).unwrap();
        let write = |visitor: &Proven, now, end| translator.write(visitor, now, end).unwrap().proof;
        let first = write(&ada(), NOW, None);
        assert_eq!(write(&ada(), later(29), None), first);
        assert_ne!(write(&ada(), later(30), None), first);
        for other in [
            Proven { id: Some("u2".into()), ..ada() },
            Proven { name: None, ..ada() },
            Proven { email: Some("b@example.com".into()), ..ada() },
        ] {
            assert_ne!(write(&other, later(31), None), write(&ada(), later(31), None));
        }
        let short = write(&ada(), NOW, Some(later(10)));
        assert_eq!(ends(&short), 10);
        assert_ne!(write(&ada(), later(1), None), short);
    }

    #[test]
    fn an_email_that_is_none_is_not_vouched_for() {
        let translator =
            Translator::new(founding::jwt(), signer(), Template::default(), None, NOW).unwrap();
        for email in ["undefined", "a\nb@example.com"] {
            let visitor = Proven { email: Some(email.into()), ..ada() };
            assert_eq!(translator.write(&visitor, NOW, None).unwrap().email, None);
        }
    }
}
