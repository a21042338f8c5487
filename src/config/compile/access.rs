//! Who is believed, and who may show what: `trusted_proxies`, `allowed_origins`,
//! `frame_ancestors`.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Compiler;
use crate::config::place::Place;
use crate::config::raw;
use crate::gate::framing::Ancestors;
use crate::gate::origin::Origin;
use crate::plan::TrustedProxies;

/// What `private` stands for: loopback, RFC 1918, ULA (RFC 4193), link-local.
const PRIVATE: [&str; 8] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// Whose forwarding headers are believed.
pub fn trusted_proxies(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::List<String>>,
) -> TrustedProxies {
    let place = Place::root().key("trusted_proxies");
    let mut nets: Vec<IpNet> = Vec::new();
    for (index, text) in raw.into_iter().flat_map(raw::List::entries) {
        if text == "private" {
            nets.extend(PRIVATE.iter().filter_map(|net| net.parse::<IpNet>().ok()));
        } else if let Ok(net) = text.parse::<IpNet>() {
            if net.prefix_len() == 0 {
                compiler.warn(format!(
                    "trusted_proxies: {net} is everybody: any client can choose the address \
                     that the backend and the log see"
                ));
            }
            nets.push(net.trunc());
        } else if let Ok(address) = text.parse::<IpAddr>() {
            nets.push(address.into());
        } else {
            compiler
                .report
                .value(&place.index(index), format!("`{text}` is no network"))
                .expected("a CIDR such as 10.1.0.0/16, an IP address, or private");
        }
    }
    TrustedProxies(nets)
}

/// The origins whose pages may speak to a site.
pub fn origins(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::List<String>,
    place: &Place,
) -> Arc<[Origin]> {
    // Empty means any to the gate; whoever writes an empty list means none.
    if raw.is_empty() {
        compiler
            .report
            .key(place, "an empty list of origins")
            .expected("[https://www.acme.example]")
            .hint("leave `allowed_origins` out to allow any");
    }
    let mut origins = Vec::new();
    for (index, text) in raw.entries() {
        match Origin::parse(text) {
            Some(origin) if !origins.contains(&origin) => origins.push(origin),
            Some(_) => {}
            None => {
                let problem =
                    compiler.report.value(&place.index(index), format!("`{text}` is no origin"));
                problem.expected("scheme and host as browsers send them: https://www.acme.example");
                if text == "*" {
                    problem.hint("leave `allowed_origins` out to allow any");
                } else if text.contains("://") {
                    problem.hint("no path, no final `/`, no wildcard");
                } else {
                    problem.hint(format!("write `https://{text}`"));
                }
            }
        }
    }
    origins.into()
}

/// Who may show a site's pages in a frame; none where nothing is sound.
pub fn frame_ancestors(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::List<String>,
    place: &Place,
) -> Option<Arc<Ancestors>> {
    const EXPECTED: &str = "https://www.acme.example, https://*.acme.example, self or none";
    let mut entries: Vec<String> = Vec::new();
    for (index, text) in raw.entries() {
        match Ancestors::entry(text) {
            Some(entry) if !entries.contains(&entry) => entries.push(entry),
            Some(_) => {}
            None => {
                let what = format!("`{text}` cannot frame a page");
                compiler.report.value(&place.index(index), what).expected(EXPECTED);
            }
        }
    }
    let nobody = entries.iter().any(|entry| entry == "'none'");
    if raw.is_empty() {
        compiler
            .report
            .key(place, "an empty list of those who may frame")
            .expected("[https://www.acme.example]")
            .hint("`[none]` lets nobody; leave `frame_ancestors` out to let the backend say");
    } else if nobody && entries.len() > 1 {
        compiler.report.key(place, "`none` stands alone").expected("[none], or who may frame");
    }
    (!entries.is_empty()).then(|| Arc::new(Ancestors::new(&entries)))
}
