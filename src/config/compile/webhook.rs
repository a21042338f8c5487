//! Subscriptions to events: `webhooks`, and entries made through the admin API.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::site::is_name;
use super::{Compiler, receiver, signing_secret, webhook_extras};
use crate::config::place::Place;
use crate::config::raw;
use crate::plan::{Format, Include, Reach, Webhook};

const EXAMPLE: &str = "{ name: crm, url: \"https://crm.acme.example/hook\", format: standard, secret: { file: hook.secret } }";
const MOST_ATTEMPTS: usize = 20;
/// A receiver that is away for longer has its events as dead letters, which can be replayed.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The subscriptions of a site, those that are sound.
pub fn webhooks(
    compiler: &mut Compiler<'_, '_>,
    site: &str,
    list: &raw::List<raw::Webhook>,
    place: &Place,
) -> Vec<Arc<Webhook>> {
    let mut webhooks: Vec<Arc<Webhook>> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for (index, raw) in list.entries() {
        let place = place.index(index);
        if let Some(name) = raw.name.as_deref() {
            if names.contains(&name) {
                compiler
                    .report
                    .value(&place.key("name"), format!("`{name}` stands here for the second time"))
                    .expected("a name of its own for each webhook of a site");
            }
            names.push(name);
        }
        let Some(webhook) = webhook(compiler, raw, Reach::Anywhere, &place) else { continue };
        let who = format!("site {site}, webhook {}", webhook.name);
        receiver::warn_if_open(compiler, &who, &webhook.url, &webhook.shown());
        webhooks.push(Arc::new(webhook));
    }
    webhooks
}

/// One of them; `None` when too little of it is sound.
pub fn webhook(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Webhook,
    reach: Reach,
    place: &Place,
) -> Option<Webhook> {
    let name = name(compiler, raw.name.as_deref(), place);
    let url = match raw.url.as_deref() {
        Some(url) => receiver::url(compiler, url, &place.key("url")),
        None => {
            compiler.missing(place, "url", "url: \"https://crm.acme.example/hook\"");
            None
        }
    };
    let headers = webhook_extras::headers(compiler, raw.headers.as_ref(), &place.key("headers"));
    let properties =
        webhook_extras::properties(compiler, raw.properties.as_ref(), &place.key("properties"));
    events(compiler, raw.events.as_ref(), &place.key("events"));
    let include = include(compiler, raw.include.as_ref(), &place.key("include"));
    let format = match raw.format {
        Some(raw::FormatWord::Livesupporti) => Format::Livesupporti,
        Some(raw::FormatWord::Standard) => Format::Standard,
        None => {
            compiler.missing(place, "format", "format: standard, or livesupporti");
            return None;
        }
    };
    let written = signing_secret::Written {
        secret: raw.secret.as_ref(),
        secrets: raw.secrets.as_ref(),
        place,
    };
    let secrets = signing_secret::keys(compiler, &written, format);
    let retry = retry(compiler, raw.retry.as_ref(), format, &place.key("retry"));
    let url = url?;
    let print = print(format, &url.to_string());
    let name = name?.into();
    Some(Webhook { name, url, format, secrets, include, headers, properties, retry, reach, print })
}

fn name<'n>(
    compiler: &mut Compiler<'_, '_>,
    name: Option<&'n str>,
    place: &Place,
) -> Option<&'n str> {
    let Some(name) = name else {
        compiler.missing(place, "name", EXAMPLE);
        return None;
    };
    if !is_name(name) {
        compiler
            .report
            .value(&place.key("name"), format!("`{name}` cannot be a webhook's name"))
            .expected("1 to 63 of a–z 0–9 -");
        return None;
    }
    Some(name)
}

fn events(
    compiler: &mut Compiler<'_, '_>,
    list: Option<&raw::List<raw::EventWord>>,
    place: &Place,
) {
    let Some(list) = list else { return };
    if list.is_empty() {
        compiler.report.key(place, "a webhook of no event").expected("[chat.started]");
    }
    once(compiler, list, place);
}

fn include(
    compiler: &mut Compiler<'_, '_>,
    list: Option<&raw::List<raw::IncludeWord>>,
    place: &Place,
) -> Include {
    let Some(list) = list else { return Include::default() };
    once(compiler, list, place);
    let has = |word| list.entries().any(|(_, written)| *written == word);
    Include { visitor: has(raw::IncludeWord::Visitor), claimed: has(raw::IncludeWord::Claimed) }
}

fn once<T: PartialEq>(compiler: &mut Compiler<'_, '_>, list: &raw::List<T>, place: &Place) {
    for (index, word) in list.entries() {
        if list.entries().any(|(other, written)| other < index && written == word) {
            compiler.report.value(&place.index(index), "this word stands here for the second time");
        }
    }
}

fn retry(
    compiler: &mut Compiler<'_, '_>,
    list: Option<&raw::List<raw::Period>>,
    format: Format,
    place: &Place,
) -> Vec<Duration> {
    let Some(list) = list else { return format.retry() };
    let waits: Vec<(usize, Duration)> =
        list.entries().map(|(index, raw::Period(wait))| (index, *wait)).collect();
    if list.is_empty() || waits.len() > MOST_ATTEMPTS {
        compiler
            .report
            .key(place, format!("{} attempts", waits.len()))
            .expected(format!("1 to {MOST_ATTEMPTS}, each with its wait: [0s, 1m, 4m]"))
            .hint("the first is made after the first wait, often 0s");
    }
    for (index, _) in waits.iter().filter(|(_, wait)| *wait > LONGEST_WAIT) {
        compiler
            .report
            .value(&place.index(*index), "an attempt that nobody expects any more")
            .expected("7d or less")
            .hint("what was not delivered stays listed and can be replayed");
    }
    waits.into_iter().map(|(_, wait)| wait).collect()
}

/// Of format and URL: the same in every instance and after every restart.
fn print(format: Format, url: &str) -> u64 {
    let digest = Sha256::digest(format!("{} {url}", format.name()));
    digest.iter().take(8).fold(0, |print, byte| print << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_print_is_of_format_and_address() {
        let url = "https://crm.acme.example/hook";
        let print = super::print(Format::Standard, url);
        assert_eq!(print, super::print(Format::Standard, url));
        assert_ne!(print, super::print(Format::Livesupporti, url));
        assert_ne!(print, super::print(Format::Standard, "https://crm.acme.example/hook2"));
    }

    #[test]
    fn a_standard_event_is_tried_for_three_days() {
        let sum = |format: Format| format.retry().iter().sum::<Duration>();
        assert_eq!(sum(Format::Livesupporti), Duration::from_secs(300));
        let days = sum(Format::Standard).as_secs() / (24 * 3600);
        assert_eq!((Format::Standard.retry().len(), days), (10, 3));
    }
}
