//! What ends connections without anybody asking: time, keys that go, modes that narrow.
//!
//! A round costs a look at each key that connections rest on, and at those whose time has
//! come; the others are not looked at, however many they are. After a reload each is, once,
//! for the mode of its route.
//!
//! A site that has left the configuration took its keys along: what rests on them ends, unless
//! its last word was `on_key_removal: keep`. Its guests are left alone: no mode says what
//! should become of them. So is whoever has a path that has two meanings now. A key that was fetched from a URL is missed only while its site's sets are there: an
//! outage of their provider withdraws nothing.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::connections::Connections;
use super::{End, Entry, Registry, Who, ring};
use crate::clock::UnixTime;
use crate::dialect::Reason;
use crate::dialect::keyring::KeyState;
use crate::gate::{Mode, path};
use crate::plan::{Live, OnEnd, Plan, Site};

type Ended = Vec<(Arc<Entry>, End)>;

impl Registry {
    /// Ends what the Plan in force has no reason to keep at that moment; to be called a few
    /// times a second, and after every reload. Returns how many that were.
    pub fn sweep(&self, plan: &Plan, now: UnixTime) -> usize {
        let names: Vec<Arc<str>> = self.sites.read().keys().cloned().collect();
        names.iter().map(|name| self.sweep_site(plan, name, now)).sum()
    }

    fn sweep_site(&self, plan: &Plan, name: &Arc<str>, now: UnixTime) -> usize {
        let Some(site) = self.with(name, |connections| find(connections, plan, name)).flatten()
        else {
            return ring(name, self.with(name, orphaned).unwrap_or_default());
        };
        let mut ended = self.rejudge(site, plan.generation);
        let over = |connections: &mut Connections| {
            let live = &site.remembers.live;
            let mut ended = without_key(connections, site, live, now);
            ended.extend(expired(connections, live, now));
            ended
        };
        ended.extend(self.with(name, over).unwrap_or_default());
        ring(name, ended)
    }

    /// Looks up anew which mode holds for each connection that was judged under an older
    /// Plan, and ends guests whom it does not let in. The routes are looked at without the
    /// lock.
    fn rejudge(&self, site: &Site, generation: u64) -> Ended {
        let older = |connections: &mut Connections| -> Vec<Arc<Entry>> {
            if connections.judged >= generation {
                return Vec::new();
            }
            // One that is listed meanwhile and was judged before sets it back.
            connections.judged = generation;
            connections.list().map(|(entry, ..)| entry.clone()).collect()
        };
        let open = self.with(&site.name, older).unwrap_or_default();
        if open.is_empty() {
            return Vec::new();
        }
        // Most connections of a site have one path.
        let mut known: HashMap<(&str, &Method), Option<Mode>> = HashMap::new();
        let modes = open.iter().map(|entry| {
            let (path, method) = (&*entry.facts.path, &entry.facts.method);
            let look = || path::settings(site, path, method).ok().map(|settings| settings.mode);
            *known.entry((path, method)).or_insert_with(look)
        });
        let modes: Vec<Option<Mode>> = modes.collect();
        let narrow = |connections: &mut Connections| {
            let mut ended = Vec::new();
            for (entry, mode) in open.iter().zip(modes) {
                let Some(mode) = mode else { continue };
                connections.set_mode(entry.number, mode);
                if let Who::Guest(reason) = entry.facts.who
                    && let Some(reason) = unwelcome(mode, reason)
                {
                    let end = End::narrowed(reason);
                    ended.extend(connections.end(entry.number).map(|entry| (entry, end)));
                }
            }
            ended
        };
        self.with(&site.name, narrow).unwrap_or_default()
    }
}

/// The site in the Plan, most often where it was the last time.
fn find<'p>(connections: &mut Connections, plan: &'p Plan, name: &Arc<str>) -> Option<&'p Site> {
    let there = plan.sites.get(connections.place).filter(|site| site.name == *name);
    let site = there.or_else(|| plan.sites.iter().find(|site| site.name == *name))?;
    connections.place = site.index;
    connections.on_key_removal = site.remembers.live.on_key_removal;
    Some(site)
}

/// Takes those that rest on a key of a site that is there no more.
fn orphaned(connections: &mut Connections) -> Ended {
    match connections.on_key_removal {
        OnEnd::Keep => Vec::new(),
        OnEnd::Close => {
            let prints: Vec<u64> = connections.keys().collect();
            prints.into_iter().flat_map(|print| of_lost_key(connections, print)).collect()
        }
    }
}

fn of_lost_key(connections: &mut Connections, print: u64) -> Ended {
    let numbers = connections.of_key(print).into_iter();
    let taken = numbers.filter_map(|number| connections.end(number));
    taken.map(|entry| (entry, End::REVOKED)).collect()
}

/// Why a mode does not let in somebody who became a guest for that reason.
fn unwelcome(mode: Mode, reason: Reason) -> Option<Reason> {
    let absent = matches!(reason, Reason::Missing | Reason::Unsigned | Reason::NotChecked);
    match mode {
        // Nobody has looked whether there was a credential: it takes one now.
        Mode::Require if reason == Reason::NotChecked => Some(Reason::Missing),
        Mode::Require => Some(reason),
        Mode::Prefer => Some(reason).filter(|_| !absent),
        Mode::Accept | Mode::Observe | Mode::Off => None,
    }
}

/// Takes those whose key is none of the site's any more, or has lapsed.
fn without_key(connections: &mut Connections, site: &Site, live: &Live, now: UnixTime) -> Ended {
    let rested_on: Vec<u64> = connections.keys().collect();
    if rested_on.is_empty() || live.on_key_removal == OnEnd::Keep {
        return Vec::new();
    }
    let (mut in_force, mut incomplete) = (Vec::new(), false);
    connections.configured.retain(|print| rested_on.contains(print));
    for proof in site.proofs(&site.settings) {
        let keys = proof.keys();
        incomplete |= keys.is_incomplete();
        let lasting = keys.keys().iter().filter(|key| key.state(now) != KeyState::Lapsed);
        in_force.extend(lasting.map(|key| key.print()));
        let own = proof.keyring.keys().iter().map(|key| key.print());
        connections.configured.extend(own.filter(|print| rested_on.contains(print)));
    }
    let mut ended = Vec::new();
    for print in rested_on.into_iter().filter(|print| !in_force.contains(print)) {
        if incomplete && !connections.configured.contains(&print) {
            continue;
        }
        ended.extend(of_lost_key(connections, print));
    }
    ended
}

/// Takes those whose proof has ended, and whose grace too.
fn expired(connections: &mut Connections, live: &Live, now: UnixTime) -> Ended {
    if live.on_expiry == OnEnd::Keep {
        return Vec::new();
    }
    let grace = u64::try_from(live.grace.as_millis()).unwrap_or(u64::MAX);
    let Some(at) = now.as_millis().checked_sub(grace) else { return Vec::new() };
    let numbers = connections.expired(UnixTime::from_millis(at));
    let taken = numbers.into_iter().filter_map(|number| connections.end(number));
    taken.map(|entry| (entry, End::EXPIRED)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dialect::{Algorithm, Key, Keyring};
    use crate::live::testing::{NOW, guest, later, of};
    use crate::live::{Facts, Handle, Selector};
    use crate::plan::{KeySets, KeySource};
    use crate::secret::Secret;
    use crate::telemetry::fixture;

    /// A plan of one site with the keys `new` and `old`, which lapses at 2000.
    fn plan(change: impl FnOnce(&mut Site)) -> Plan {
        let mut site = fixture::site(0, "acme", Mode::Prefer);
        change(&mut site);
        fixture::plan(vec![site])
    }

    /// The next one.
    fn reloaded(change: impl FnOnce(&mut Site)) -> Plan {
        Plan { generation: 2, ..plan(change) }
    }

    fn closing(site: &mut Site) {
        site.remembers.live.on_expiry = OnEnd::Close;
    }

    fn print(id: &str) -> u64 {
        plan(|_| {}).sites[0].keyring.get(id).unwrap().print()
    }

    fn open<const N: usize>(registry: &Arc<Registry>, facts: [Facts; N]) -> [Handle; N] {
        facts.map(|facts| registry.open(facts, 0, NOW))
    }

    fn ends<const N: usize>(handles: &[Handle; N]) -> [Option<End>; N] {
        handles.each_ref().map(Handle::end)
    }

    #[test]
    fn a_connection_ends_when_its_proof_and_its_grace_have_ended() {
        let registry = Registry::new();
        let key = print("new");
        let handles = open(
            &registry,
            [
                of("ana", key, Some(later(100))),
                of("bob", key, Some(later(101))),
                of("eve", key, None),
                Facts { mode: Mode::Observe, ..of("dry", key, Some(later(1))) },
                Facts { kind: crate::live::Kind::Answer, ..of("ana", key, Some(later(100))) },
            ],
        );
        let kept = plan(|_| {});
        assert_eq!(registry.sweep(&kept, later(900)), 0, "the default");
        let plan = plan(closing);
        assert_eq!(registry.sweep(&plan, later(129)), 0);
        assert_eq!(registry.sweep(&plan, later(130)), 2);
        let expired = Some(End::EXPIRED);
        assert_eq!(ends(&handles), [expired, None, None, None, expired]);
        assert_eq!((End::EXPIRED.code, End::EXPIRED.text), (3000, "identity expired"));
        registry.extend("acme", "bob", &[], Some(later(500)));
        assert_eq!(registry.sweep(&plan, later(529)), 0);
        assert_eq!(registry.sweep(&plan, later(530)), 1);
        assert_eq!(registry.sweep(&plan, later(900)), 0, "once");
    }

    #[test]
    fn a_clock_that_has_just_begun_ends_nothing() {
        let registry = Registry::new();
        let handles = open(&registry, [of("ana", print("new"), Some(UnixTime::from_secs(1)))]);
        assert_eq!(registry.sweep(&plan(closing), UnixTime::from_secs(5)), 0);
        assert_eq!(ends(&handles), [None]);
    }

    #[test]
    fn a_key_that_lapses_takes_what_rests_on_it_along() {
        let registry = Registry::new();
        let (old, new) = (print("old"), print("new"));
        let observed = Facts { mode: Mode::Observe, ..of("dry", old, None) };
        let nameless = {
            let mut facts = of("", old, None);
            if let Who::Verified(trust) = &mut facts.who {
                trust.id = None;
            }
            facts
        };
        let handles =
            open(&registry, [of("ana", old, None), of("bob", new, None), observed, nameless]);
        let (lasting, lapsed) = (UnixTime::from_secs(1999), UnixTime::from_secs(2000));
        let keep = plan(|site| site.remembers.live.on_key_removal = OnEnd::Keep);
        assert_eq!(registry.sweep(&plan(|_| {}), lasting), 0);
        assert_eq!(registry.sweep(&keep, lapsed), 0);
        assert_eq!(registry.sweep(&plan(|_| {}), lapsed), 2);
        let revoked = Some(End::REVOKED);
        assert_eq!(ends(&handles), [revoked, None, None, revoked]);
        assert_eq!((End::REVOKED.code, End::REVOKED.text), (3000, "revoked"));
    }

    #[test]
    fn a_key_that_was_removed_or_replaced_under_its_name_counts_as_gone() {
        let registry = Registry::new();
        let (old, new) = (print("old"), print("new"));
        let handles = open(&registry, [of("ana", old, None), of("bob", new, None)]);
        let replaced = reloaded(|site| {
            let secret = Secret::new(vec![8; 32]);
            let another = Key::secret("old", Algorithm::HS256, &secret).unwrap();
            let new = site.keyring.get("new").unwrap().clone();
            site.keyring = Keyring::new(vec![another.into(), new]);
        });
        assert_eq!(registry.sweep(&replaced, NOW), 1);
        assert_eq!(ends(&handles), [Some(End::REVOKED), None]);
        let removed = reloaded(|site| site.keyring = Keyring::default());
        assert_eq!(registry.sweep(&removed, NOW), 1);
    }

    #[test]
    fn a_key_of_another_of_the_sites_dialects_is_a_key_of_the_site() {
        let registry = Registry::new();
        let handles = open(&registry, [of("ana", print("new"), None)]);
        let moved = reloaded(|site| {
            let accepted = crate::plan::Accepted {
                dialect: fixture::jwt(),
                keyring: std::mem::take(&mut site.keyring),
                key_sets: KeySets::default(),
                values: crate::gate::contract::SiteValues::new("acme", "jwt"),
            };
            site.accepts.push(accepted);
        });
        assert_eq!(registry.sweep(&moved, NOW), 0);
        assert_eq!(ends(&handles), [None]);
    }

    const SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn with_set(site: &mut Site) {
        let terms = crate::dialect::jwk::Terms {
            algorithms: Algorithm::ALL.to_vec(),
            pinned: None,
            secrets: false,
            not_before: None,
            not_after: None,
        };
        site.key_sets = KeySets::new([KeySource {
            url: "https://a.example/jwks".parse().unwrap(),
            refresh: Duration::from_secs(300),
            wait: Duration::ZERO,
            stale_for: Duration::from_secs(3600),
            terms,
        }]);
    }

    #[test]
    fn a_fetched_key_is_gone_when_its_set_says_so_and_not_while_there_is_none() {
        let registry = Registry::new();
        let plan = plan(with_set);
        let set = plan.sites[0].key_sets.iter().next().unwrap().clone();
        set.accept(SET.as_bytes(), NOW).unwrap();
        let fetched = set.fetched().keys[0].print();
        let own = print("new");
        let handles = open(&registry, [of("ana", fetched, None), of("bob", own, None)]);
        assert_eq!(registry.sweep(&plan, NOW), 0);
        set.fail("connection refused".into(), later(60));
        assert_eq!(registry.sweep(&plan, later(60)), 0);
        set.fail("connection refused".into(), later(7200));
        assert!(set.fetched().keys.is_empty());
        assert_eq!(registry.sweep(&plan, later(60)), 0, "an outage withdraws nothing");
        let mut withdrawn = reloaded(|site| {
            with_set(site);
            site.keyring = Keyring::default();
        });
        withdrawn.inherit(&plan);
        assert_eq!(registry.sweep(&withdrawn, later(60)), 1, "what the file withdraws is gone");
        assert_eq!(ends(&handles), [None, Some(End::REVOKED)]);
        set.accept(br#"{"keys":[]}"#, later(7300)).unwrap();
        assert_eq!(registry.sweep(&withdrawn, later(60)), 1);
        assert_eq!(ends(&handles), [Some(End::REVOKED); 2]);
    }

    #[test]
    fn a_mode_that_narrows_ends_the_guests_it_does_not_let_in() {
        use Reason::{Banned, Expired, Missing, NotChecked, Unsigned};
        let registry = Registry::new();
        let facts = [guest(Missing), guest(Unsigned), guest(NotChecked), guest(Expired)];
        let handles = open(&registry, facts);
        let [verified] = open(&registry, [of("ana", print("new"), None)]);
        let to = |generation, mode| {
            let plan = plan(|site| site.settings.mode = mode);
            registry.sweep(&Plan { generation, ..plan }, NOW)
        };
        assert_eq!(to(2, Mode::Accept), 0);
        assert_eq!(to(3, Mode::Prefer), 1);
        assert_eq!(ends(&handles), [None, None, None, Some(End::narrowed(Expired))]);
        assert_eq!(to(4, Mode::Observe) + to(5, Mode::Off), 0);
        assert_eq!(to(6, Mode::Require), 3);
        let word = |handle: &Handle| handle.end().unwrap().text;
        assert_eq!(handles.each_ref().map(word), ["missing", "unsigned", "missing", "expired"]);
        assert!(verified.end().is_none());
        assert_eq!((End::narrowed(Missing).code, End::narrowed(Banned).code), (3000, 3003));
    }

    #[test]
    fn the_route_says_which_mode_holds_and_two_meanings_say_nothing() {
        let registry = Registry::new();
        let at = |path: &str| Facts { path: path.into(), ..guest(Reason::Missing) };
        let handles = open(&registry, [at("/members/1"), at("/chat"), at("/x/%2e%2e/members/1")]);
        let narrowed = |site: &mut Site| {
            site.routes.0.push(fixture::route("members", Mode::Require));
        };
        assert_eq!(registry.sweep(&reloaded(narrowed), NOW), 1);
        assert_eq!(ends(&handles), [Some(End::narrowed(Reason::Missing)), None, None]);
    }

    #[test]
    fn one_that_was_judged_before_a_reload_and_listed_after_it_is_looked_at() {
        let registry = Registry::new();
        let require = || reloaded(|site| site.settings.mode = Mode::Require);
        let _first = open(&registry, [of("ana", print("new"), None)]);
        assert_eq!(registry.sweep(&require(), NOW), 0);
        let late = open(&registry, [guest(Reason::Missing)]);
        let known = Facts { generation: 2, mode: Mode::Off, ..guest(Reason::NotChecked) };
        let current = open(&registry, [known]);
        assert_eq!(registry.sweep(&require(), NOW), 2);
        assert!(late[0].end().is_some() && current[0].end().is_some());
    }

    #[test]
    fn a_mode_that_turns_nobody_away_keeps_what_rests_on_nothing_until_it_is_left() {
        let registry = Registry::new();
        let handles = open(&registry, [of("ana", print("old"), Some(later(1)))]);
        let with = |generation, mode| {
            let plan = plan(|site| {
                closing(site);
                site.settings.mode = mode;
            });
            registry.sweep(&Plan { generation, ..plan }, later(5000))
        };
        assert_eq!(with(2, Mode::Observe), 0);
        assert_eq!(registry.end("acme", Selector::Identity("ana"), End::BANNED), 0);
        assert_eq!(with(3, Mode::Prefer), 1);
        assert_eq!(ends(&handles), [Some(End::REVOKED)]);
    }

    #[test]
    fn a_site_that_has_left_the_configuration_took_its_keys_along() {
        let registry = Registry::new();
        let dry = Facts { mode: Mode::Observe, ..of("dry", print("new"), None) };
        let facts = [of("ana", print("new"), None), guest(Reason::Missing), dry];
        let handles = open(&registry, facts);
        let mut moved = reloaded(|site| site.settings.mode = Mode::Require);
        moved.sites[0].name = "another".into();
        assert_eq!(registry.sweep(&moved, later(9000)), 1);
        assert_eq!(ends(&handles), [Some(End::REVOKED), None, None]);
        let back = Plan { generation: 3, ..plan(|site| site.settings.mode = Mode::Require) };
        assert_eq!(registry.sweep(&back, NOW), 1);
        assert_eq!(ends(&handles)[1], Some(End::narrowed(Reason::Missing)));
    }

    #[test]
    fn a_site_that_said_keep_when_it_was_there_is_taken_at_its_word() {
        let registry = Registry::new();
        let handles = open(&registry, [of("ana", print("new"), None)]);
        assert_eq!(
            registry.sweep(&plan(|site| site.remembers.live.on_key_removal = OnEnd::Keep), NOW),
            0
        );
        assert_eq!(registry.sweep(&Plan { generation: 2, ..fixture::plan(vec![]) }, NOW), 0);
        assert_eq!(ends(&handles), [None]);
    }
}
