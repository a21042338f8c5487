//! Where memory is kept: `store`. Nothing is opened or reached here.

use super::{Compiler, secret};
use crate::config::place::Place;
use crate::config::raw::{self, SecretEncoding};
use crate::plan::{RedisUrl, StoreSettings};
use crate::secret::Secret;

const KINDS: &str =
    "memory: {}, embedded: { path: /var/lib/countersign } or redis: { url: { env: REDIS_URL } }";
const REDIS: &str =
    "redis://[user:password@]host[:port][/database], rediss://… for TLS, or unix:/path";

/// The store; in memory where nothing else is said.
pub fn store(compiler: &mut Compiler<'_, '_>, raw: Option<&raw::Store>) -> StoreSettings {
    let Some(raw) = raw else { return StoreSettings::Memory };
    let place = Place::root().key("store");
    // `memory:` with nothing behind it is what it says.
    let of_memory = place.key("memory");
    let memory = raw.memory.is_some()
        || compiler.report.has_key(&of_memory) && !compiler.report.was_removed(&of_memory);
    match (memory, &raw.embedded, &raw.redis) {
        (true, None, None) => return StoreSettings::Memory,
        (false, Some(embedded), None) => {
            let place = place.key("embedded");
            return folder(compiler, embedded, &place).unwrap_or_default();
        }
        (false, None, Some(redis)) => {
            return address(compiler, redis, &place.key("redis")).unwrap_or_default();
        }
        (false, None, None) => {
            if !compiler.report.lost_something_in(&place) {
                compiler.report.key(&place, "a store of no kind").expected(KINDS);
            }
        }
        _ => {
            compiler
                .report
                .key(&place, "a store of more than one kind")
                .expected(KINDS)
                .hint("what is remembered lies in one place: `redis` where instances share it");
        }
    }
    StoreSettings::default()
}

fn folder(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Embedded,
    place: &Place,
) -> Option<StoreSettings> {
    match raw.path.as_deref() {
        None => {
            compiler.missing(place, "path", "path: /var/lib/countersign");
            None
        }
        Some("") => {
            compiler
                .report
                .value(&place.key("path"), "an empty path")
                .expected("a folder, such as /var/lib/countersign");
            None
        }
        Some(path) => Some(StoreSettings::Embedded(compiler.path(path))),
    }
}

fn address(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Redis,
    place: &Place,
) -> Option<StoreSettings> {
    let Some(written) = &raw.url else {
        compiler.missing(place, "url", "url: { env: REDIS_URL }");
        return None;
    };
    let place = place.key("url");
    let Some(url) = secret::secret(compiler, written, SecretEncoding::Raw, &place) else {
        // Reported, or not to be read.
        return Some(StoreSettings::Redis(RedisUrl(Secret::new(Vec::new()))));
    };
    if let Err(hint) = redis_url(url.expose()) {
        compiler.report.key(&place, "this leads to no Redis server").expected(REDIS).hint(hint);
    }
    Some(StoreSettings::Redis(RedisUrl(url)))
}

/// Whether it has the form of an address, or what to do about it, without a word of it:
/// a password may stand anywhere in what was meant to be one.
fn redis_url(url: &[u8]) -> Result<(), &'static str> {
    let text =
        std::str::from_utf8(url).ok().filter(|text| text.bytes().all(|b| b.is_ascii_graphic()));
    let Some(text) = text else {
        return Err("percent-encode all but visible ASCII characters; a single line is read");
    };
    if let Some(path) = text.strip_prefix("unix:").or_else(|| text.strip_prefix("redis+unix:")) {
        let path = path.strip_prefix("//").unwrap_or(path);
        let named = path.starts_with('/') && path.len() > 1 && !path.starts_with("/?");
        return named
            .then_some(())
            .ok_or("name the socket with its whole path: unix:/run/redis.sock");
    }
    let rest = match text.split_once("://") {
        Some(("redis" | "rediss", rest)) => rest,
        Some(("valkey", _)) => return Err("Valkey is spoken to as redis://"),
        Some(("valkeys", _)) => return Err("Valkey over TLS is spoken to as rediss://"),
        Some(("http" | "https", _)) => return Err("Redis does not speak HTTP: write redis://"),
        Some(_) => return Err("only Redis and Valkey are known"),
        None => return Err("begin it with redis://"),
    };
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let numbered = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    let bracketed = name.starts_with('[') && name.ends_with(']');
    if name.is_empty() || !numbered || (name.contains(':') && !bracketed) {
        return Err("percent-encode what is not a letter or a digit in user name and password");
    }
    let database = path.split(['?', '#']).next().unwrap_or_default();
    let database = database.strip_prefix('/').unwrap_or(database);
    if !database.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a database is a number: redis://host:6379/0");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::redis_url;

    #[test]
    fn addresses_of_redis_are_told_from_others_without_a_look_at_the_network() {
        for sound in [
            "redis://localhost",
            "redis://10.0.0.1:6379",
            "redis://[::1]:6379/15",
            "rediss://user:p%40ss@redis.acme.example:6380/0?protocol=resp3",
            "redis://:password@redis/",
            "unix:/run/redis.sock",
            "unix:///run/redis.sock?db=1",
            "redis+unix:///run/redis.sock",
        ] {
            assert_eq!(redis_url(sound.as_bytes()), Ok(()), "{sound}");
        }
        for bad in [
            "",
            "localhost",
            "localhost:6379",
            "http://localhost",
            "memcached://localhost",
            "valkey://localhost",
            "redis://",
            "redis://:6379",
            "redis://localhost:x",
            "redis://localhost:0",
            "redis://localhost:65536",
            "redis://::1:6379",
            "redis://user:pass/word@host",
            "redis://localhost/first",
            "redis://local host",
            "redis://löcalhost",
            "unix:redis.sock",
            "unix:/",
            "unix:///?db=1",
        ] {
            assert!(redis_url(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
