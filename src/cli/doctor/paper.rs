//! What the configuration itself says: modes that give no security, keys about to lapse, and
//! whatever else `check` warns of for this site.

use super::report::Check;
use crate::clock::UnixTime;
use crate::dialect::Key;
use crate::dialect::keyring::KeyState;
use crate::plan::{Plan, Site};

/// How long before a key lapses its successor should be there, in seconds: two weeks.
const SOON: u64 = 14 * 24 * 60 * 60;

/// Modes in which forged credentials pass.
pub fn modes(site: &Site) -> Vec<Check> {
    let weak = site.weak_modes();
    if weak.is_empty() {
        let detail = format!("`{}`: forged credentials are refused", site.settings.mode.name());
        return vec![Check::ok("modes", detail)];
    }
    let hint = "mode: prefer (guests are welcome) or require (every visitor is logged in)";
    weak.into_iter().map(|why| Check::finding("modes", why).hint(hint)).collect()
}

/// Keys that lapse with no other to follow, and a site that has none in force.
pub fn keys(site: &Site, now: UnixTime) -> Vec<Check> {
    let keys = site.keys();
    let keys: Vec<&Key> = keys.iter().map(|key| &**key).collect();
    if keys.is_empty() && site.fetches_keys() {
        return vec![Check::unknown("keys", "all keys come from a URL")];
    }
    let in_force = |key: &&&Key| key.state(now) == KeyState::Active;
    let active: Vec<&Key> = keys.iter().filter(in_force).copied().collect();
    if active.is_empty() {
        let finding =
            Check::finding("keys", "no key of this site is in force: nobody can be verified");
        return vec![finding.hint("add one under `keys`, or mend its not_before and not_after")];
    }
    let horizon = UnixTime::from_secs(now.as_secs().saturating_add(SOON));
    let lasts = |key: &&Key| key.not_after().is_none_or(|end| end > horizon);
    let starts_in_time =
        |key: &&Key, end: UnixTime| lasts(key) && key.not_before().is_none_or(|start| start <= end);
    let lapsing = active.iter().filter(|key| !lasts(key));
    let mut checks: Vec<Check> = lapsing
        .filter_map(|key| {
            let end = key.not_after()?;
            let days = end.as_secs().saturating_sub(now.as_secs()) / (24 * 60 * 60);
            let detail = format!("key {} lapses in {days} days", key.id());
            Some(match keys.iter().find(|other| starts_in_time(other, end)) {
                Some(next) => {
                    let detail = format!("{detail}; {} goes on", next.id());
                    Check::warning("keys", detail)
                        .hint("see that the website signs with the other one by then")
                }
                None => Check::finding("keys", format!("{detail}, and no other goes on"))
                    .hint("add its successor now; both verify side by side"),
            })
        })
        .collect();
    if checks.is_empty() {
        let ids: Vec<&str> = active.iter().map(|key| &**key.id()).collect();
        checks.push(Check::ok("keys", format!("{} in force, none about to lapse", ids.join(", "))));
    }
    checks
}

/// What loading the configuration warned of, as far as it concerns this site or all.
pub fn warnings(plan: &Plan, site: &Site) -> Vec<Check> {
    let own = format!("site {}", site.name);
    let names_another =
        |warning: &str| warning.strip_prefix("site ").is_some() && !is_about(warning, &own);
    let concerning = plan.warnings.iter().filter(|warning| !names_another(warning));
    // Modes have a check of their own.
    let others = concerning.filter(|warning| !warning.contains("gives no security"));
    others.map(|warning| Check::warning("settings", warning.as_str())).collect()
}

fn is_about(warning: &str, own: &str) -> bool {
    let rest = warning.strip_prefix(own);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-'))
}
