//! Where a site's requests go: `upstream`.

use std::time::Duration;

use super::Compiler;
use super::hosts::is_host;
use super::upstream_tls;
use crate::config::place::Place;
use crate::config::raw;
use crate::plan::{Address, Balance, HealthCheck, Upstream, UpstreamTarget};

const TARGET: &str = "http://host:port, https://host:port or unix:/path";

const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// The site's backend; `None` when there is no sound address.
pub fn upstream(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::Upstream>,
    site: &Place,
) -> Option<Upstream> {
    let place = site.key("upstream");
    let (addresses, place_of_addresses, host) = match raw {
        None => {
            compiler.missing(site, "upstream", "upstream: http://127.0.0.1:3000");
            return None;
        }
        Some(raw::Upstream::Addresses(addresses)) => (Some(addresses), place.clone(), None),
        Some(raw::Upstream::Mapping(mapping)) => {
            (mapping.urls.as_ref(), place.key("urls"), mapping.host.as_ref())
        }
    };
    let Some(addresses) = addresses else {
        compiler.missing(&place, "urls", "urls: [http://127.0.0.1:3000]");
        return None;
    };
    if let Some(host) = host {
        check_host(compiler, host, &place.key("host"));
    }
    let before = compiler.report.count();
    let mut targets = Vec::new();
    for (index, text) in addresses.entries() {
        let place =
            index.map_or(place_of_addresses.clone(), |index| place_of_addresses.index(index));
        if let Some(target) = target(compiler, text, &place) {
            if targets.contains(&target) {
                compiler.report.value(&place, format!("`{text}` stands here for the second time"));
            }
            targets.push(target);
        }
    }
    if targets.is_empty() && compiler.report.count() == before {
        if !compiler.report.lost_something_in(&place) {
            compiler.report.key(&place_of_addresses, "there is no backend here").expected(TARGET);
        }
        return None;
    }
    let secured = targets.iter().any(UpstreamTarget::is_secured);
    let tls = upstream_tls::tls(compiler, raw, secured, &place);
    if secured && tls.is_none() {
        return None;
    }
    let (balance, health) = match raw {
        Some(raw::Upstream::Mapping(mapping)) => {
            let check = mapping.health.as_ref();
            let health = check.and_then(|check| health(compiler, check, &place.key("health")));
            (mapping.balance, health)
        }
        _ => (None, None),
    };
    let balance = match balance {
        Some(raw::Balance::LeastRequests) => Balance::LeastRequests,
        Some(raw::Balance::RoundRobin) | None => Balance::RoundRobin,
    };
    Some(Upstream { targets, host: host.cloned(), tls, balance, health })
}

fn health(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::HealthCheck,
    place: &Place,
) -> Option<HealthCheck> {
    let Some(path) = &raw.path else {
        compiler.missing(place, "path", "health: { path: /health }");
        return None;
    };
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        compiler
            .report
            .value(&place.key("path"), format!("`{path}` is no path"))
            .expected("a path as it stands in a request, such as /health");
    }
    let interval = raw.interval.map_or(PROBE_INTERVAL, |period| period.0);
    let timeout = raw.timeout.map_or(PROBE_TIMEOUT, |period| period.0);
    if interval < LEAST_INTERVAL {
        compiler
            .report
            .value(&place.key("interval"), "the backend would be asked all the time")
            .expected("100ms or more; 5s is the default");
    }
    if timeout.is_zero() {
        compiler
            .report
            .value(&place.key("timeout"), "no backend answers in no time")
            .expected("a duration such as 2s");
    }
    Some(HealthCheck { path: path.clone(), interval, timeout })
}

fn target(compiler: &mut Compiler<'_, '_>, text: &str, place: &Place) -> Option<UpstreamTarget> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            compiler.report.value(place, "a Unix socket without a path").expected(TARGET);
            return None;
        }
        return Some(UpstreamTarget::Unix(compiler.path(path)));
    }
    // Before anything that shows the text: a password may be in it.
    if text.contains('@') {
        compiler
            .report
            .value(place, "a backend's address with a user name in it")
            .expected(TARGET)
            .hint("Countersign does not log in to the backend");
        return None;
    }
    let secured = text.strip_prefix("https://");
    let tls = secured.is_some();
    let Some(rest) = secured.or_else(|| text.strip_prefix("http://")) else {
        let problem = compiler.report.value(place, format!("`{text}` is no backend"));
        problem.expected(TARGET);
        if text.contains("://") {
            problem.hint("WebSockets go through `http://` and `https://` as well");
        } else {
            problem.hint(format!("write `http://{text}`"));
        }
        return None;
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        compiler
            .report
            .value(place, format!("`{text}` has a path"))
            .expected(TARGET)
            .hint("paths are never rewritten: the request's own is used");
        return None;
    }
    let parsed = host_and_port(authority, if tls { 443 } else { 80 });
    if parsed.is_none() {
        compiler.report.value(place, format!("`{text}` is no backend")).expected(TARGET);
    }
    let (host, port) = parsed?;
    if tls && !upstream_tls::can_be_certified(&host) {
        compiler
            .report
            .value(place, format!("no certificate can be for `{host}`"))
            .expected("a host name of letters, digits, `-` and `.`, or an IP address");
        return None;
    }
    Some(UpstreamTarget::Tcp { host, port, tls })
}

/// `host[:port]`, IPv6 in brackets.
pub fn host_and_port(authority: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().ok()?),
        _ => (authority, default),
    };
    let known = is_host(host, false) && port != 0;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    known.then(|| (bare.to_ascii_lowercase(), port))
}

fn check_host(compiler: &mut Compiler<'_, '_>, host: &str, place: &Place) {
    if host_and_port(host, 80).is_none() {
        compiler
            .report
            .value(place, format!("`{host}` is no host"))
            .expected("host or host:port, as the backend wants to see it in `Host`");
    }
}

/// The listener of this very process that a backend's address leads back to.
pub fn loops_back<'l>(upstream: &Upstream, listeners: &'l [Address]) -> Option<&'l Address> {
    listeners.iter().find(|listener| {
        upstream.targets.iter().any(|target| match (target, listener) {
            (UpstreamTarget::Tcp { host, port, .. }, Address::Tcp(listener)) => {
                let address = if host == "localhost" { "127.0.0.1" } else { host };
                address.parse::<std::net::IpAddr>().is_ok_and(|address| {
                    *port == listener.port()
                        && (address == listener.ip()
                            || (address.is_loopback() && listener.ip().is_unspecified()))
                })
            }
            (UpstreamTarget::Unix(path), Address::Unix(listener)) => path == listener,
            _ => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn hosts_and_ports_come_apart() {
        assert_eq!(host_and_port("chat:3000", 80), Some(("chat".into(), 3000)));
        assert_eq!(host_and_port("chat", 80), Some(("chat".into(), 80)));
        assert_eq!(host_and_port("[::1]:3000", 80), Some(("::1".into(), 3000)));
        assert_eq!(host_and_port("[::1]", 443), Some(("::1".into(), 443)));
        for bad in ["", ":80", "a b:80", "chat:0", "chat:99999", "[::1", "::1:80", "chat:", "é"] {
            assert_eq!(host_and_port(bad, 80), None, "{bad}");
        }
    }
}
