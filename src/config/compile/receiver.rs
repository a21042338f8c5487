//! The address of a website's server, or of whoever else is posted to.
//!
//! A wrong one is never repeated in a problem: passwords and tokens stand in URLs.

use std::net::IpAddr;

use http::Uri;

use super::Compiler;
use super::upstream::host_and_port;
use crate::config::place::Place;

/// A longer one is a slip.
const LONGEST: usize = 2048;
const EXPECTED: &str = "a URL such as https://crm.acme.example/hook";

/// The URL that is written, if it is sound.
pub fn url(compiler: &mut Compiler<'_, '_>, text: &str, place: &Place) -> Option<Uri> {
    let (what, hint) = match parse(text) {
        Ok(url) => return Some(url),
        Err(wrong) => wrong,
    };
    let problem = compiler.report.value(place, what);
    problem.expected(EXPECTED);
    problem.hint = hint.map(str::to_owned);
    None
}

/// The URL, or what is wrong with it and what to do.
fn parse(text: &str) -> Result<Uri, (&'static str, Option<&'static str>)> {
    if text.len() > LONGEST {
        return Err(("a URL of more than 2048 bytes", None));
    }
    if text.contains('#') {
        return Err(("a URL with a fragment", Some("what stands behind `#` is never sent")));
    }
    if !text.is_ascii() {
        return Err((
            "a URL with letters that no URL has",
            Some("write the host's name as xn--…, and percent-encode the rest"),
        ));
    }
    let no_url = ("this is no URL", None);
    let url: Uri = text.parse().map_err(|_| no_url)?;
    let authority = url.authority().ok_or(no_url)?.as_str();
    if authority.contains('@') {
        let hint = "`headers: { Authorization: … }` sends a password";
        return Err(("a URL with a user's name in it", Some(hint)));
    }
    let port = match url.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => return Err(("a URL that is neither http nor https", None)),
    };
    host_and_port(authority, port).ok_or(("a URL without a sound host and port", None))?;
    Ok(url)
}

/// Warns of an address beyond this machine that is reached without TLS. `who` is posted to.
pub fn warn_if_open(compiler: &mut Compiler<'_, '_>, who: &str, url: &Uri, shown: &str) {
    if url.scheme_str() == Some("http") && !is_loopback(url.host().unwrap_or_default()) {
        compiler.warn(format!(
            "{who}: {shown} is reached without TLS: whoever is on the way reads what is told of \
             visitors"
        ));
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = bare.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_has_a_scheme_and_a_host_and_nobodys_name() {
        for good in [
            "https://crm.acme.example",
            "http://127.0.0.1:9/hook?token=a%20b",
            "https://[::1]:8443/a",
            "HTTPS://CRM.acme.example/x",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "crm.acme.example/hook",
            "/hook",
            "ftp://crm.acme.example/",
            "https://",
            "https:///hook",
            "https://u:p@crm.acme.example/",
            "https://crm.acme.example/#a",
            "https://crm.acme.example:0/",
            "https://crm.acme.example:99999/",
            "https://crm acme.example/",
            "https://-crm/",
            "https://crm.acme.example/\r\nX: y",
            "https://bücher.example/",
            "unix:/run/crm.sock",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&format!("https://a/{}", "b".repeat(2048))).is_err());
    }

    #[test]
    fn this_machine_goes_by_many_names() {
        for host in ["localhost", "crm.LOCALHOST", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "[::2]", "crm"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
