//! The five dialects as their widgets use them: one site each, and what a visitor of it
//! presents, rightly and wrongly.

use serde_json::{Value, json};

use super::raw::Request;
use super::sign;

/// What a visitor presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// A proof that holds.
    Good,
    /// Nothing.
    Missing,
    /// Identity without a proof.
    Unsigned,
    /// A proof with another identity put under it.
    Tampered,
    /// A proof whose time has passed.
    Expired,
    /// A proof by somebody else's key.
    WrongKey,
}

impl Presented {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Good, Self::Missing, Self::Unsigned, Self::Tampered, Self::Expired, Self::WrongKey];
}

/// One dialect with its key.
pub struct Dialect {
    /// Its name in the configuration.
    pub name: &'static str,
    /// The site's secret.
    pub secret: &'static str,
    /// Further members of the site, as YAML.
    pub site: &'static str,
    /// What a good credential proves, by header name after `Countersign-`.
    pub proves: &'static [(&'static str, &'static str)],
    /// Whether a credential of it can expire.
    pub expires: bool,
    /// Whether a query field claims identity in it.
    pub claims_in_query: bool,
}

/// The five.
pub const DIALECTS: [Dialect; 5] = [
    Dialect {
        name: "user-hash",
        secret: "b02612a8bdf5e736c41ce2002181d124",
        site: "",
        proves: &[("Id", "u-1001")],
        expires: false,
        claims_in_query: true,
    },
    Dialect {
        name: "zendesk-chat",
        secret: "zendesk-secret-of-the-tests-0123456789",
        site: "",
        proves: &[("Id", "u-1001"), ("Name", "J%C3%BCrgen"), ("Email", "j@example.com")],
        expires: true,
        claims_in_query: true,
    },
    Dialect {
        name: "ringcentral-engage",
        secret: "0123456789abcdef01234567",
        site: "",
        proves: &[("Id", "u-1001"), ("Name", "J%C3%BCrgen"), ("Email", "j@example.com")],
        expires: true,
        claims_in_query: true,
    },
    Dialect {
        name: "amazon-connect",
        secret: "YW1hem9uLWNvbm5lY3Qta2V5LW9mLXRoZS10ZXN0cz0=",
        site: "audience: widget-1",
        proves: &[("Id", "u-1001"), ("Name", "J%C3%BCrgen"), ("Email", "j@example.com")],
        expires: true,
        claims_in_query: false,
    },
    Dialect {
        name: "jwt",
        secret: "jwt-secret-of-the-tests-0123456789-abc",
        site: "",
        proves: &[("Id", "u-1001"), ("Name", "J%C3%BCrgen"), ("Email", "j@example.com")],
        expires: true,
        claims_in_query: false,
    },
];

/// The dialect of that name.
pub fn dialect(name: &str) -> &'static Dialect {
    DIALECTS.iter().find(|dialect| dialect.name == name).expect("one of the five")
}

impl Dialect {
    /// A site's entry: its name, hosts, upstream and mode.
    pub fn site(&self, name: &str, host: &str, upstream: &str, mode: &str) -> String {
        format!(
            "  {name}:\n    hosts: [\"{host}\"]\n    upstream: {upstream}\n    dialect: {}\n    \
             mode: {mode}\n    keys: [ {{ id: k1, secret: {{ value: \"{}\" }} }} ]\n    {}\n",
            self.name, self.secret, self.site
        )
    }

    /// Claims of a visitor, issued so many seconds ago.
    pub fn claims(&self, id: &str, issued: u64) -> Value {
        let iat = sign::now() - issued;
        match self.name {
            "zendesk-chat" => json!({
                "external_id": id, "name": "Jürgen", "email": "j@example.com",
                "iat": iat, "exp": iat + 300,
            }),
            "ringcentral-engage" => json!({
                "uuid": id, "screenname": "Jürgen", "email": "j@example.com", "exp": iat + 300,
            }),
            "amazon-connect" => json!({
                "sub": "widget-1", "customerId": id, "iat": iat, "exp": iat + 300,
                "attributes": { "name": "Jürgen", "email": "j@example.com" },
            }),
            _ => json!({
                "sub": id, "name": "Jürgen", "email": "j@example.com", "iat": iat, "exp": iat + 300,
            }),
        }
    }

    /// The proof for a visitor: a token, or a hash.
    pub fn proof(&self, secret: &str, id: &str, issued: u64) -> String {
        match self.name {
            "user-hash" => sign::hash(secret, id),
            "ringcentral-engage" => sign::token_by(secret, "k1", &self.claims(id, issued)),
            _ => sign::token(secret, &self.claims(id, issued)),
        }
    }

    /// Puts a proof into a request's usual place. The target may have a query already.
    pub fn request(&self, target: &str, id: &str, proof: &str) -> Request {
        let with = |query: &str| {
            let joint = if target.contains('?') { '&' } else { '?' };
            Request::get(&format!("{target}{joint}{query}"))
        };
        match self.name {
            "user-hash" => with(&format!("user_id={id}&identifier_hash={proof}")),
            "ringcentral-engage" => with(&format!("jwt_identity={proof}")),
            "amazon-connect" => Request::get(target).header("x-amz-security-token", proof),
            _ => Request::get(target).bearer(proof),
        }
    }

    /// A request that presents that, and the proof within it.
    pub fn presents(&self, presented: Presented, target: &str) -> (Request, String) {
        let id = "u-1001";
        let other = "a-secret-that-is-nobodys-0123456789";
        let proof = match presented {
            Presented::Missing => return (Request::get(target), String::new()),
            Presented::Unsigned => return (self.unsigned(target), String::new()),
            Presented::Good => self.proof(self.secret, id, 5),
            Presented::WrongKey => self.proof(other, id, 5),
            Presented::Expired => self.proof(self.secret, id, 2000),
            Presented::Tampered if self.name == "user-hash" => {
                let proof = self.proof(self.secret, "u-2002", 5);
                return (self.request(target, id, &proof), proof);
            }
            Presented::Tampered => {
                let proof = self.proof(self.secret, id, 5);
                sign::tampered(&proof, &self.claims("admin", 5))
            }
        };
        (self.request(target, id, &proof), proof)
    }

    fn unsigned(&self, target: &str) -> Request {
        let joint = if target.contains('?') { '&' } else { '?' };
        let field = match self.name {
            "user-hash" => "user_id",
            "zendesk-chat" => "external_id",
            "ringcentral-engage" => "uuid",
            _ => "sub",
        };
        Request::get(&format!("{target}{joint}{field}=admin&email=root%40example.com"))
    }
}
