//! Where Countersign listens: `listeners`, `admin`, `health`, `decision`. No two may collide.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Compiler, decision, secret, store};
use crate::config::place::Place;
use crate::config::raw;
use crate::plan::{Address, Admin, Process};

const ADDRESS: &str = "IP address and port, such as 0.0.0.0:8080, 127.0.0.1:8080 or [::]:8080";
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Everything that only a restart can change.
pub fn process(compiler: &mut Compiler<'_, '_>, raw: &raw::Config) -> Option<Process> {
    let root = Place::root();
    let before = compiler.report.count();
    let mut taken: Vec<(Address, Place)> = Vec::new();

    let place = root.key("listeners");
    let written = raw.listeners.as_ref();
    let none = written.is_none_or(raw::List::is_empty) && !compiler.report.was_removed(&place);
    if none && raw.decision.is_none() && compiler.options.listens {
        compiler
            .report
            .key(&place, "there is no listener")
            .expected("listeners: [ { address: 0.0.0.0:8080 } ]")
            .hint(
                "a listener is where requests come in; `decision` alone is enough where another \
                   gateway asks instead",
            );
    }
    for (index, listener) in written.into_iter().flat_map(raw::List::entries) {
        let place = place.index(index);
        if let Some(at) = address(compiler, listener, &place) {
            claim(compiler, &mut taken, at, place);
        }
    }
    let listeners = taken.iter().map(|(address, _)| address.clone()).collect();

    let admin = admin(compiler, raw.admin.as_ref(), &mut taken);
    let health = raw.health.as_ref().and_then(|listener| {
        let place = root.key("health");
        let at = address(compiler, listener, &place)?;
        claim(compiler, &mut taken, at.clone(), place);
        Some(at)
    });
    let decision = raw.decision.as_ref().and_then(|decision| {
        let decision = decision::decision(compiler, decision)?;
        claim(compiler, &mut taken, decision.address.clone(), root.key("decision"));
        Some(decision)
    });
    let threads = raw.threads.and_then(|threads| threads.0);
    let store = store::store(compiler, raw.store.as_ref());
    let sound = compiler.report.count() == before;
    sound.then_some(Process { listeners, admin, health, decision, threads, store })
}

/// Where probes are answered: the health listener if there is one, else the admin listener.
/// The outer `None`: what is written there cannot be read.
pub fn probes(compiler: &mut Compiler<'_, '_>, raw: &raw::Config) -> Option<Option<Address>> {
    let before = compiler.report.count();
    let place = Place::root().key("health");
    let address = match &raw.health {
        Some(listener) => address(compiler, listener, &place),
        None if compiler.report.was_removed(&place) => None,
        None => admin(compiler, raw.admin.as_ref(), &mut Vec::new()).map(|admin| admin.address),
    };
    (compiler.report.count() == before).then_some(address)
}

fn admin(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::Admin>,
    taken: &mut Vec<(Address, Place)>,
) -> Option<Admin> {
    let place = Place::root().key("admin");
    let default = raw::AdminSettings::default();
    let settings = match raw {
        Some(raw::Admin::Off) => return None,
        Some(raw::Admin::On(settings)) => settings,
        None if compiler.report.was_removed(&place) => return None,
        None => &default,
    };
    let token = settings.token.as_ref().and_then(|token| {
        let place = place.key("token");
        let token = secret::secret(compiler, token, raw::SecretEncoding::Raw, &place)?;
        secret::admin_token(compiler, &token, &place);
        Some(token)
    });
    let listener = raw::Listener { address: settings.address.clone(), unix: settings.unix.clone() };
    let untouched = settings.address.is_none() && settings.unix.is_none();
    let address = if untouched && !compiler.report.lost_something_in(&place) {
        Address::Tcp(ADMIN)
    } else {
        address(compiler, &listener, &place)?
    };
    let reachable = matches!(&address, Address::Tcp(at) if !at.ip().is_loopback());
    if reachable && settings.token.is_none() {
        compiler.warn(format!(
            "admin: {address} can be reached from other machines, and there is no token: \
             anybody there reads metrics and the site list; use `health` for probes"
        ));
    }
    claim(compiler, taken, address.clone(), place);
    Some(Admin { address, token })
}

/// The address of one listener.
pub(super) fn address(
    compiler: &mut Compiler<'_, '_>,
    listener: &raw::Listener,
    place: &Place,
) -> Option<Address> {
    match (&listener.address, &listener.unix) {
        (Some(text), None) => {
            let place = place.key("address");
            match text.parse::<SocketAddr>() {
                Ok(address) => Some(Address::Tcp(address)),
                Err(_) => {
                    let hint = address_hint(text);
                    let problem = compiler.report.value(&place, format!("`{text}` is no address"));
                    problem.expected(ADDRESS);
                    problem.hint = hint;
                    None
                }
            }
        }
        (None, Some(path)) if path.is_empty() => {
            compiler.report.value(&place.key("unix"), "an empty path");
            None
        }
        (None, Some(path)) => {
            let path = compiler.path(path);
            // sun_path of Linux holds 108 bytes with the final NUL.
            if path.as_os_str().len() > 107 {
                compiler
                    .report
                    .value(&place.key("unix"), "a path too long for a Unix socket")
                    .expected("at most 107 bytes");
                return None;
            }
            Some(Address::Unix(path))
        }
        (Some(_), Some(_)) => {
            compiler
                .report
                .key(&place.key("unix"), "both `address` and `unix`")
                .expected("one of them")
                .hint("give each its own entry");
            None
        }
        (None, None) => {
            if !compiler.report.lost_something_in(place) {
                compiler
                    .report
                    .key(place, "neither `address` nor `unix`")
                    .expected("{ address: 0.0.0.0:8080 } or { unix: /run/countersign.sock }");
            }
            None
        }
    }
}

fn address_hint(text: &str) -> Option<String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if port.parse::<u16>().is_ok() {
        return Some(format!(
            "write `0.0.0.0:{port}`, or `127.0.0.1:{port}` for this machine alone"
        ));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Some("add the port".to_owned());
    }
    let (name, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok()?;
    match name {
        "localhost" => Some(format!("write `127.0.0.1:{port}`")),
        "*" => Some(format!("write `0.0.0.0:{port}`")),
        _ => Some("a listener needs an IP address, not a name".to_owned()),
    }
}

/// Reports an address that another listener has already.
fn claim(
    compiler: &mut Compiler<'_, '_>,
    taken: &mut Vec<(Address, Place)>,
    address: Address,
    place: Place,
) {
    if let Some((other, _)) = taken.iter().find(|(other, _)| collide(other, &address)) {
        let implied = place.last_key() == Some("admin") && !compiler.report.has_key(&place);
        let what = if implied {
            format!("{other} is where the admin listener is, as nothing else is said")
        } else if *other == address {
            format!("{address} is already taken by another listener")
        } else {
            format!("{address} collides with {other}")
        };
        let place = if implied {
            taken.iter().find(|(other, _)| collide(other, &address)).map(|(_, place)| place.clone())
        } else {
            Some(place.clone())
        };
        let place = place.unwrap_or_default();
        compiler
            .report
            .value(&place, what)
            .expected("an address of its own for each of listeners, admin, health and decision");
    }
    taken.push((address, place));
}

fn collide(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp(one), Address::Tcp(other)) => {
            let everywhere = one.is_ipv4() == other.is_ipv4()
                && (one.ip().is_unspecified() || other.ip().is_unspecified());
            // Port 0 is a free one each time.
            one.port() == other.port() && one.port() != 0 && (one.ip() == other.ip() || everywhere)
        }
        (Address::Unix(one), Address::Unix(other)) => one == other,
        _ => false,
    }
}
