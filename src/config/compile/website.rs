//! How a site's own server is in the loop: `chat_started`, `webhooks`, `details`, `enrich`.

use std::sync::Arc;
use std::time::Duration;

use super::chat_started::started;
use super::{Compiler, details, receiver, signing_secret, webhook};
use crate::config::place::Place;
use crate::config::raw;
use crate::plan::{Address, Enrich, Format, Starts, StoreSettings, TrustedProxies, Website};

/// A longer one is no box of time.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// What is known of the site already, and of what is around it.
pub struct Surroundings<'p> {
    /// Its name.
    pub site: &'p str,
    /// Whether anybody can be verified at all.
    pub judges: bool,
    /// Where this process listens.
    pub listeners: &'p [Address],
    /// Whose word counts for what a client's connection was like.
    pub trusted_proxies: &'p TrustedProxies,
    /// Where its memory is kept, if that is sound.
    pub store: Option<&'p StoreSettings>,
}

/// What is said of all of it.
pub fn website(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Site,
    surroundings: &Surroundings<'_>,
    place: &Place,
) -> Website {
    let site = surroundings.site;
    let started = started(compiler, raw.chat_started.as_ref(), &place.key("chat_started"));
    let webhooks = match &raw.webhooks {
        Some(list) => webhook::webhooks(compiler, site, list, &place.key("webhooks")),
        None => Vec::new(),
    };
    let of_details = place.key("details");
    let ttl = details::ttl(compiler, raw.details.as_ref(), &of_details);
    let details = raw
        .details
        .as_ref()
        .and_then(|raw| details::details(compiler, site, raw, surroundings, &of_details));
    let enrich =
        raw.enrich.as_ref().and_then(|raw| enrich(compiler, site, raw, &place.key("enrich")));
    let none = Website::none(site);
    let website = Website {
        starts: started.starts,
        account_id: started.account_id.unwrap_or(none.account_id),
        agent_id: started.agent_id.unwrap_or(none.agent_id),
        webhooks,
        private_targets: raw.webhook_private_targets.unwrap_or(false),
        details: details.map(Arc::new),
        enrich: enrich.map(Arc::new),
        ttl,
    };
    warn(compiler, &website, surroundings);
    website
}

fn enrich(
    compiler: &mut Compiler<'_, '_>,
    site: &str,
    raw: &raw::Enrich,
    place: &Place,
) -> Option<Enrich> {
    let written = signing_secret::Written {
        secret: raw.secret.as_ref(),
        secrets: raw.secrets.as_ref(),
        place,
    };
    let secrets = signing_secret::keys(compiler, &written, Format::Standard);
    let period = |period: Option<raw::Period>, default| period.map_or(default, |period| period.0);
    let timeout = period(raw.timeout, Enrich::TIMEOUT);
    if timeout.is_zero() || timeout > LONGEST_ANSWER {
        compiler
            .report
            .value(&place.key("timeout"), "no time for an answer, or too much")
            .expected("more than 0s and at most 30s; 300ms is the default");
    }
    let ttl = period(raw.ttl, Enrich::TTL);
    if ttl.is_zero() {
        compiler
            .report
            .value(&place.key("ttl"), "an answer would be forgotten at once")
            .expected("a duration longer than 0s; 10m is the default");
    }
    let Some(url) = raw.url.as_deref() else {
        compiler.missing(place, "url", "url: \"https://crm.acme.example/visitor\"");
        return None;
    };
    let url = receiver::url(compiler, url, &place.key("url"))?;
    let enrich = Enrich { url, secrets, timeout, ttl };
    let who = format!("site {site}, enrich");
    receiver::warn_if_open(compiler, &who, &enrich.url, &enrich.shown());
    Some(enrich)
}

/// What would be silently without effect, or without a future.
fn warn(compiler: &mut Compiler<'_, '_>, website: &Website, surroundings: &Surroundings<'_>) {
    let site = surroundings.site;
    if website.heeds_chats() && website.starts == Starts::WebSocket && !surroundings.judges {
        compiler.warn(format!(
            "site {site}: no chat begins: without `chat_started` a verified visitor's WebSocket \
             begins one, and in mode off nobody is verified"
        ));
    }
    let to_keep = !website.webhooks.is_empty() || website.details.is_some();
    if to_keep && surroundings.store == Some(&StoreSettings::Memory) {
        compiler.warn(format!(
            "site {site}: events not yet delivered and details of visitors are in memory: gone \
             with a restart; `store: {{ embedded: {{ path: … }} }}` keeps them"
        ));
    }
}
