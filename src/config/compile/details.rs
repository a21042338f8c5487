//! Who may post details of visitors: `details`.

use std::time::Duration;

use super::website::Surroundings;
use super::{Compiler, receiver, secret, signing_secret};
use crate::config::place::Place;
use crate::config::raw::{self, SecretEncoding};
use crate::plan::{Address, DetailsApi, Format, Push, Website};
use crate::secret::Secret;

const LEAST_PASSWORD: usize = 12;
const LONGEST_NAME: usize = 256;

/// Whose user names are taken: a name alone says which site is meant.
#[derive(Default)]
pub struct Usernames<'r>(Vec<(&'r str, &'r str)>);

impl<'r> Usernames<'r> {
    /// Reports a name that another site has.
    pub fn add(
        &mut self,
        compiler: &mut Compiler<'_, '_>,
        site: &'r str,
        raw: &'r raw::Site,
        place: &Place,
    ) {
        let Some(name) = raw.details.as_ref().and_then(|details| details.username.as_deref())
        else {
            return;
        };
        if let Some((_, other)) = self.0.iter().find(|(taken, _)| *taken == name) {
            compiler
                .report
                .value(
                    &place.key("details").key("username"),
                    format!("`{name}` is the user name of site {other}"),
                )
                .expected("a user name of its own for each site")
                .hint("it says whose visitors are meant");
        }
        self.0.push((name, site));
    }
}

/// What is said of them; `None` when too little of it is sound.
pub fn details(
    compiler: &mut Compiler<'_, '_>,
    site: &str,
    raw: &raw::Details,
    surroundings: &Surroundings<'_>,
    place: &Place,
) -> Option<DetailsApi> {
    let username = username(compiler, raw.username.as_deref(), place);
    let password = password(compiler, raw.password.as_ref(), place);
    let public = raw.public.unwrap_or(false);
    let allow_cleartext = raw.allow_cleartext.unwrap_or(false);
    warn_of_strangers(compiler, site, public, allow_cleartext, surroundings);
    let push = raw.push.as_ref().and_then(|raw| push(compiler, site, raw, &place.key("push")));
    let username = username?.into();
    Some(DetailsApi { username, password: password?, public, allow_cleartext, push })
}

/// How long a visitor is known.
pub fn ttl(compiler: &mut Compiler<'_, '_>, raw: Option<&raw::Details>, place: &Place) -> Duration {
    let Some(raw::Period(ttl)) = raw.and_then(|details| details.ttl) else { return Website::TTL };
    if ttl.is_zero() {
        compiler
            .report
            .value(&place.key("ttl"), "a visitor would be forgotten at once")
            .expected("a duration longer than 0s");
    }
    ttl
}

fn username<'r>(
    compiler: &mut Compiler<'_, '_>,
    name: Option<&'r str>,
    place: &Place,
) -> Option<&'r str> {
    let Some(name) = name else {
        compiler.missing(place, "username", "username: acme");
        return None;
    };
    // RFC 7617 §2.
    let length = 1..=LONGEST_NAME;
    if !length.contains(&name.len()) || name.contains(|c: char| c == ':' || c.is_control()) {
        compiler
            .report
            .value(&place.key("username"), "this cannot be a user name")
            .expected(format!("1 to {LONGEST_NAME} bytes without `:` and control characters"));
        return None;
    }
    Some(name)
}

/// An empty one where secrets are not to be read: nothing serves such a Plan.
fn password(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::Secret>,
    place: &Place,
) -> Option<Secret> {
    let Some(raw) = raw else {
        compiler.missing(place, "password", "password: { file: details.password }");
        return None;
    };
    let place = place.key("password");
    let before = compiler.report.count();
    let Some(password) = secret::secret(compiler, raw, SecretEncoding::Raw, &place) else {
        return (compiler.report.count() == before).then(|| Secret::new(Vec::new()));
    };
    let characters = std::str::from_utf8(password.expose()).map(|text| text.chars());
    let sound = characters.is_ok_and(|mut characters| {
        characters.clone().count() >= LEAST_PASSWORD && !characters.any(char::is_control)
    });
    if !sound {
        compiler
            .report
            .key(&place, "a password that is too short, or that nobody can send")
            .expected(format!("at least {LEAST_PASSWORD} characters, none a control character"))
            .hint("`countersign keygen` makes one");
    }
    Some(password)
}

/// What a public address means where there is no TLS.
fn warn_of_strangers(
    compiler: &mut Compiler<'_, '_>,
    site: &str,
    public: bool,
    allow_cleartext: bool,
    surroundings: &Surroundings<'_>,
) {
    if allow_cleartext && !public {
        compiler.warn(format!(
            "site {site}: `details.allow_cleartext` has no effect without `public: true`"
        ));
    } else if allow_cleartext {
        compiler.warn(format!(
            "site {site}: `details.allow_cleartext` takes the password and what is told of \
             visitors without TLS: whoever is on the way reads both"
        ));
    }
    let near = |listener: &Address| match listener {
        Address::Tcp(at) => at.ip().is_loopback(),
        Address::Unix(_) => true,
    };
    let listeners = surroundings.listeners;
    let none_near = !listeners.is_empty() && !listeners.iter().any(near);
    if public && !allow_cleartext && none_near && surroundings.trusted_proxies.0.is_empty() {
        compiler.warn(format!(
            "site {site}: `details.public` takes details from this machine and from \
             `trusted_proxies` alone: no listener has TLS, and nobody is trusted"
        ));
    }
}

fn push(
    compiler: &mut Compiler<'_, '_>,
    site: &str,
    raw: &raw::Push,
    place: &Place,
) -> Option<Push> {
    let secret = raw.secret.as_ref();
    let secret = secret
        .and_then(|raw| signing_secret::key(compiler, raw, Format::Standard, &place.key("secret")));
    let Some(url) = raw.url.as_deref() else {
        compiler.missing(place, "url", "url: \"http://127.0.0.1:3000/details\"");
        return None;
    };
    let url = receiver::url(compiler, url, &place.key("url"))?;
    let push = Push { url, secret };
    let who = format!("site {site}, details.push");
    receiver::warn_if_open(compiler, &who, &push.url, &push.shown());
    Some(push)
}
