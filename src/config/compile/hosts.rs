//! Which host belongs to which site.

use std::collections::HashSet;

use super::Compiler;
use crate::config::place::Place;
use crate::config::raw;
use crate::gate::host::Host;
use crate::gate::route::Hosts;

const HOST: &str = "a host name without port: chat.acme.example, or *.acme.example";

/// Gathers the hosts of all sites; no host may belong to two.
#[derive(Debug, Default)]
pub struct Collector {
    hosts: Hosts,
    suffixes: HashSet<String>,
}

impl Collector {
    /// Adds the hosts of one site.
    pub fn add(
        &mut self,
        compiler: &mut Compiler<'_, '_>,
        site: usize,
        raw: &raw::Site,
        place: &Place,
    ) {
        let place_of_hosts = place.key("hosts");
        let Some(list) = &raw.hosts else {
            if !compiler.report.was_removed(&place_of_hosts) {
                self.fallback(compiler, site, place);
            }
            return;
        };
        if list.is_empty() {
            compiler
                .report
                .key(&place_of_hosts, "an empty list of hosts")
                .expected(HOST)
                .hint("leave `hosts` out to serve every other host");
        }
        for (index, text) in list.entries() {
            self.host(compiler, site, text, &place_of_hosts.index(index));
        }
    }

    /// What was gathered.
    pub fn finish(mut self) -> Hosts {
        self.hosts.wildcards.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        self.hosts
    }

    fn fallback(&mut self, compiler: &mut Compiler<'_, '_>, site: usize, place: &Place) {
        if self.hosts.fallback.is_some() {
            compiler
                .report
                .key(place, "a second site without `hosts`")
                .expected("at most one site for every other host")
                .hint("add `hosts: [chat.acme.example]`");
        } else {
            self.hosts.fallback = Some(site);
        }
    }

    fn host(&mut self, compiler: &mut Compiler<'_, '_>, site: usize, text: &str, place: &Place) {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (wildcard, name) = match lower.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, lower.as_str()),
        };
        if !is_host(name, wildcard) {
            let problem = compiler.report.value(place, format!("`{text}` is no host"));
            problem.expected(HOST);
            if !text.is_ascii() {
                problem.hint("write it as browsers send it: xn--…");
            } else if text.contains("://") {
                problem.hint("leave the scheme out");
            } else if name == "*" {
                problem.hint("leave `hosts` out to serve every other host");
            } else if name.contains('*') {
                problem.hint("only the whole first label can be `*`");
            } else if name.contains(':') {
                problem.hint("leave the port out; an IPv6 address needs brackets");
            }
            return;
        }
        let twice = if wildcard {
            let suffix = format!(".{name}");
            let twice = !self.suffixes.insert(suffix.clone());
            self.hosts.wildcards.push((suffix, site));
            twice
        } else {
            // As the gate reads it: an IPv6 address has many spellings.
            let name = Host::parse(name).map_or(name.into(), |host| host.name);
            self.hosts.exact.insert(name.into_owned(), site).is_some()
        };
        if twice {
            compiler
                .report
                .value(place, format!("`{lower}` stands here for the second time"))
                .expected("each host in one site, once");
        }
    }
}

/// A DNS name (RFC 1123, underscores allowed), an IPv4 address, or `[IPv6]`.
pub fn is_host(name: &str, wildcard: bool) -> bool {
    if let Some(literal) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return !wildcard && literal.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(label)
}
