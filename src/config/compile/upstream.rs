//! Where a site's requests go: `upstream`.

use super::Compiler;
use super::hosts::is_host;
use crate::config::later::NOT_YET;
use crate::config::place::Place;
use crate::config::raw;
use crate::plan::{Address, Upstream, UpstreamTarget};

const TARGET: &str = "http://host:port or unix:/path";

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
            // Round robin is the one way so far: nothing to keep.
            let _ = mapping.balance;
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
    Some(Upstream { targets, host: host.cloned() })
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
    if text.starts_with("https://") {
        compiler
            .report
            .value(place, format!("`https://` to the backend is {NOT_YET}"))
            .expected(TARGET)
            .hint("let the backend listen on loopback, beside Countersign");
        return None;
    }
    let Some(rest) = text.strip_prefix("http://") else {
        let problem = compiler.report.value(place, format!("`{text}` is no backend"));
        problem.expected(TARGET);
        if text.contains("://") {
            problem.hint("WebSockets go through `http://` as well");
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
    let parsed = host_and_port(authority);
    if parsed.is_none() {
        compiler.report.value(place, format!("`{text}` is no backend")).expected(TARGET);
    }
    let (host, port) = parsed?;
    Some(UpstreamTarget::Tcp { host, port })
}

/// `host[:port]`, IPv6 in brackets; the port is 80 where none is said.
fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().ok()?),
        _ => (authority, 80),
    };
    let known = is_host(host, false) && port != 0;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    known.then(|| (bare.to_ascii_lowercase(), port))
}

fn check_host(compiler: &mut Compiler<'_, '_>, host: &str, place: &Place) {
    if host_and_port(host).is_none() {
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
            (UpstreamTarget::Tcp { host, port }, Address::Tcp(listener)) => {
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
        assert_eq!(host_and_port("chat:3000"), Some(("chat".into(), 3000)));
        assert_eq!(host_and_port("chat"), Some(("chat".into(), 80)));
        assert_eq!(host_and_port("[::1]:3000"), Some(("::1".into(), 3000)));
        assert_eq!(host_and_port("[::1]"), Some(("::1".into(), 80)));
        for bad in ["", ":80", "a b:80", "chat:0", "chat:99999", "[::1", "::1:80", "chat:", "é"] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }
}
