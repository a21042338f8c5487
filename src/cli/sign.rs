//! `countersign sign`: the credential that the website would sign in a site's dialect.
//!
//! The credential alone goes to standard output, so that it can be piped; whatever there
//! is to say about it goes to standard error.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::exit;
use super::present::{Presented, cookies, present, with_query};
use crate::clock::UnixTime;
use crate::config;
use crate::dialect::keyring::KeyState;
use crate::dialect::sign::{SignError, Signed, SigningKey, Subject, sign};
use crate::dialect::{Dialect, Key, Keyring};
use crate::plan::{Plan, Proof, Site};

/// Arguments of `countersign sign`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  countersign sign --site support --id user-123 --name Ana --email ana@acme.example
  countersign sign --site support --id user-123 --attribute plan=gold --ttl 1m
  countersign sign --site support --id user-123 --private-key website.key
  sh -c \"$(countersign sign --site support --id user-123 --curl http://127.0.0.1:8080/)\"")]
pub struct Args {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The site; may be left out where there is only one.
    #[arg(long)]
    site: Option<String>,
    /// The dialect, where the site accepts several [default: the site's own].
    #[arg(long, value_name = "NAME")]
    dialect: Option<String>,
    /// The visitor's stable identity.
    #[arg(long)]
    id: Option<String>,
    /// The visitor's name.
    #[arg(long)]
    name: Option<String>,
    /// The visitor's email address.
    #[arg(long)]
    email: Option<String>,
    /// Another claim, a string; may be repeated.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// Id of the key to sign with; by default the first in force that can.
    #[arg(long)]
    key: Option<String>,
    /// The private half of a public key, in PEM.
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// How long the token is valid, as `90s`, `5m`, `24h`; by default five minutes, or what
    /// the dialect allows.
    #[arg(long, value_parser = seconds)]
    ttl: Option<u64>,
    /// Print a `curl` command that presents the credential to this URL.
    #[arg(long, value_name = "URL")]
    curl: Option<String>,
}

fn attribute(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is expected"),
    }
}

fn seconds(text: &str) -> Result<u64, &'static str> {
    const EXPECTED: &str = "a duration such as 90s, 5m or 24h is expected";
    let (number, unit) = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "s")) => (number, 1),
        Some((number, "m")) => (number, 60),
        Some((number, "h")) => (number, 3600),
        Some((number, "d")) => (number, 86400),
        _ => return Err(EXPECTED),
    };
    let number = number.parse::<u64>().map_err(|_| EXPECTED)?;
    number.checked_mul(unit).ok_or(EXPECTED)
}

/// Runs the command; returns the exit code.
pub fn main(args: &Args) -> u8 {
    let path = args.config.clone().unwrap_or_else(config::default_path);
    let plan = match config::load(&path) {
        Ok(plan) => plan,
        Err(problems) => {
            eprintln!("{problems}");
            return exit::NO;
        }
    };
    match print(&plan, args) {
        Ok(()) => exit::YES,
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAULT
        }
    }
}

fn print(plan: &Plan, args: &Args) -> Result<(), String> {
    let site = site(plan, args.site.as_deref())?;
    let (text, warnings) = signed(site, args, UnixTime::now())?;
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

/// The site of that name, or the only one.
pub(super) fn site<'p>(plan: &'p Plan, name: Option<&str>) -> Result<&'p Site, String> {
    let names = || plan.sites.iter().map(|site| &*site.name).collect::<Vec<_>>().join(", ");
    match (name, plan.sites.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("--site is needed; the sites are: {}", names())),
        (Some(name), sites) => sites
            .iter()
            .find(|site| &*site.name == name)
            .ok_or_else(|| format!("there is no site `{name}`; the sites are: {}", names())),
    }
}

/// The site's ways to prove, its own first; only those of a dialect, where one is named.
pub(super) fn ways<'p>(site: &'p Site, dialect: Option<&str>) -> Result<Vec<Proof<'p>>, String> {
    let wanted = |way: &Proof<'_>| dialect.is_none_or(|name| *way.dialect.name == *name);
    let ways: Vec<_> = site.proofs(&site.settings).filter(wanted).collect();
    match dialect {
        Some(name) if ways.is_empty() => {
            let names: Vec<&str> = site.dialects().map(|name| &**name).collect();
            let names = names.join(", ");
            Err(format!("the site has no dialect `{name}`; its dialects are: {names}"))
        }
        _ => Ok(ways),
    }
}

/// What to print, and what to warn of.
fn signed(site: &Site, args: &Args, now: UnixTime) -> Result<(String, Vec<String>), String> {
    let private = match &args.private_key {
        Some(file) => {
            let pem = std::fs::read(file);
            Some(pem.map_err(|error| format!("{}: {error}", file.display()))?)
        }
        None => None,
    };
    let ways = ways(site, args.dialect.as_deref())?;
    let way = ways.first().ok_or("the site has no dialect")?;
    let dialect = way.dialect;
    let keys = keys(way.keyring, args.key.as_deref(), private.is_some(), now)?;
    let strings = args.attributes.iter().cloned();
    let subject = Subject {
        id: args.id.clone(),
        name: args.name.clone(),
        email: args.email.clone(),
        attributes: strings.map(|(name, value)| (name, value.into())).collect(),
    };
    let signed = best(dialect, &keys, private.as_deref(), &subject, now, args.ttl);
    let signed = signed.map_err(|error| match error {
        SignError::NeedsPrivateKey(_) => format!("{error} (--private-key FILE)"),
        _ => error.to_string(),
    })?;
    let text = match &args.curl {
        Some(url) => curl(dialect, &signed.credential, &subject, url)?,
        None => signed.credential,
    };
    Ok((text, signed.warnings))
}

/// The credential that the first key signs without a fault, else the first that there is.
pub(super) fn best(
    dialect: &Dialect,
    keys: &[&Arc<Key>],
    private: Option<&[u8]>,
    subject: &Subject,
    now: UnixTime,
    ttl: Option<u64>,
) -> Result<Signed, SignError> {
    let attempt = |key: &&Arc<Key>| {
        let signing = SigningKey { key, private_pem: private };
        sign(dialect, signing, subject, now, ttl)
    };
    // A private key says no id: it belongs to the key that verifies what it signs.
    let mut attempts: Vec<_> = keys.iter().map(attempt).collect();
    if attempts.is_empty() {
        return Err(SignError::Incomplete("there is no key to sign with".to_owned()));
    }
    let faultless =
        |signed: &Result<Signed, _>| signed.as_ref().is_ok_and(|signed| signed.warnings.is_empty());
    let best = attempts
        .iter()
        .position(faultless)
        .or_else(|| attempts.iter().position(Result::is_ok))
        .unwrap_or(0);
    attempts.swap_remove(best)
}

/// The key that was asked for, or all that can sign with what is given, those in force
/// first. Never none.
pub(super) fn keys<'k>(
    keyring: &'k Keyring,
    id: Option<&str>,
    private: bool,
    now: UnixTime,
) -> Result<Vec<&'k Arc<Key>>, String> {
    let all = keyring.keys();
    let first = all.first().ok_or("the site has no keys")?;
    if let Some(id) = id {
        let ids = || all.iter().map(|key| &**key.id()).collect::<Vec<_>>().join(", ");
        let unknown = || format!("the site has no key `{id}`; its keys are: {}", ids());
        return keyring.get(id).map(|key| vec![key]).ok_or_else(unknown);
    }
    let mut able: Vec<_> =
        all.iter().filter(|key| key.algorithm().is_symmetric() != private).collect();
    able.sort_by_key(|key| key.state(now) != KeyState::Active);
    Ok(if able.is_empty() { vec![first] } else { able })
}

/// One `curl` command that presents the credential through the dialect's first carrier,
/// with the fields that lie beside a hash.
fn curl(
    dialect: &Dialect,
    credential: &str,
    subject: &Subject,
    url: &str,
) -> Result<String, String> {
    let source = dialect.sources.first().ok_or("this dialect has no source")?;
    let mut words = vec!["curl".to_owned(), "-sS".to_owned()];
    let mut add = |option: &str, text: &str| words.extend([option.to_owned(), quoted(text)]);
    let mut target = url.to_owned();
    match present(source, credential, subject) {
        Presented::Headers(fields) => {
            fields.iter().for_each(|(name, value)| add("-H", &format!("{name}: {value}")));
        }
        Presented::Query(pairs) => target = with_query(url, &pairs),
        Presented::Cookies(pairs) => add("-b", &cookies(&pairs)),
        Presented::Json(body) => {
            add("-H", "Content-Type: application/json");
            add("-d", &body);
        }
        Presented::Form(pairs) => {
            pairs
                .iter()
                .for_each(|(name, value)| add("--data-urlencode", &format!("{name}={value}")));
        }
        Presented::Multipart(pairs) => {
            pairs.iter().for_each(|(name, value)| add("--form-string", &format!("{name}={value}")));
        }
    }
    words.push(quoted(&target));
    Ok(words.join(" "))
}

/// One word for a POSIX shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::founding::{jwt, ring, secret, user_hash};
    use crate::dialect::{Algorithm, fresh};

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn subject() -> Subject {
        Subject {
            id: Some("a b&c".to_owned()),
            name: Some("O'Neill".to_owned()),
            ..Subject::default()
        }
    }

    fn presented(carrier: usize, url: &str) -> String {
        let mut dialect = jwt();
        dialect.sources.rotate_left(carrier);
        curl(&dialect, "a.b.c", &subject(), url).unwrap()
    }

    #[test]
    fn the_credential_goes_through_the_dialects_first_carrier() {
        let url = "http://127.0.0.1:8080/x";
        let header = "curl -sS -H 'authorization: Bearer a.b.c' 'http://127.0.0.1:8080/x'";
        assert_eq!(presented(0, url), header);
        let query = "curl -sS 'http://127.0.0.1:8080/x?access_token=a.b.c'";
        assert_eq!(presented(1, url), query);
        let cookie = "curl -sS -b 'countersign_jwt=a.b.c' 'http://127.0.0.1:8080/x'";
        assert_eq!(presented(2, url), cookie);
        assert_eq!(presented(1, "/x?y=1#z"), "curl -sS '/x?y=1&access_token=a.b.c#z'");
        assert_eq!(presented(1, "/x?"), "curl -sS '/x?access_token=a.b.c'");
    }

    #[test]
    fn the_fields_beside_a_hash_come_with_it() {
        let url = "http://h/";
        let text = curl(&user_hash(), "00ff", &subject(), url).unwrap();
        let query = "user_id=a%20b%26c&name=O%27Neill&identifier_hash=00ff";
        assert_eq!(text, format!("curl -sS 'http://h/?{query}'"));
    }

    #[test]
    fn no_value_leaves_its_quotes() {
        assert_eq!(quoted("a'b; rm -rf /"), r"'a'\''b; rm -rf /'");
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("7m"), Ok(420));
        assert_eq!(seconds("24h"), Ok(86_400));
        for text in
            ["", "s", "90", "-1s", "1.5h", "5é", "99999999999999999999s", "9999999999999999999d"]
        {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn attributes_are_names_with_values() {
        assert_eq!(attribute("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(attribute("a="), Ok(("a".to_owned(), String::new())));
        assert!(attribute("a").is_err() && attribute("=b").is_err());
    }

    #[test]
    fn keys_that_can_sign_are_tried_in_force_first() {
        let public = fresh::pair(Algorithm::EdDSA).unwrap().public;
        let lapsed = secret("old", Algorithm::HS256, "x").with_window(None, Some(NOW));
        let keyring = ring([
            Key::public_pem("pub", None, public.as_bytes()).unwrap(),
            lapsed,
            secret("new", Algorithm::HS256, "x"),
        ]);
        let chosen = |id, private| {
            let ids = |keys: Vec<&Arc<Key>>| keys.iter().map(|key| key.id().to_string()).collect();
            keys(&keyring, id, private, NOW).map(ids).map(|ids: Vec<_>| ids.join(" "))
        };
        assert_eq!(chosen(None, false).unwrap(), "new old");
        assert_eq!(chosen(None, true).unwrap(), "pub");
        assert_eq!(chosen(Some("old"), false).unwrap(), "old");
        let error = chosen(Some("gone"), false).unwrap_err();
        assert!(error.contains("pub, old, new"), "{error}");
        assert!(keys(&ring([]), None, false, NOW).is_err());
    }
}
