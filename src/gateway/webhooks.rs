//! Has the subscriptions of the configuration in force delivered to, and readiness say which
//! of their receivers do not want to hear yet.

use std::sync::Arc;
use std::time::Duration;

use crate::drain::{Drain, Phase};
use crate::plan::{Plan, Site, Webhook};
use crate::readiness::Readiness;
use crate::reload::Current;
use crate::webhook::{State, Webhooks};

/// How often readiness asks how they are; a reload is heeded at once.
const ROUND: Duration = Duration::from_millis(500);

/// Runs until a shutdown closes what is open.
pub async fn keep(
    current: Arc<Current>,
    webhooks: Arc<Webhooks>,
    readiness: Arc<Readiness>,
    drain: Arc<Drain>,
) {
    let mut changes = current.subscribe();
    let mut adopted = current.load().plan.generation;
    while drain.phase() < Phase::Closing {
        let generation = current.load();
        let plan = &generation.plan;
        if plan.generation != adopted {
            webhooks.adopt(plan);
            adopted = plan.generation;
        }
        report(plan, &webhooks, &readiness);
        let _ = tokio::time::timeout(ROUND, changes.changed()).await;
    }
}

/// Those of the configuration: what is made through the admin API is shown there.
fn report(plan: &Plan, webhooks: &Webhooks, readiness: &Readiness) {
    let of_site = |site: &'_ Site| site.website.webhooks.len();
    if plan.sites.iter().map(of_site).sum::<usize>() == 0 {
        return readiness.retain_checks(|name| name != "webhooks");
    }
    let all = plan.sites.iter().flat_map(|site| {
        let webhooks = site.website.webhooks.iter();
        webhooks.map(move |webhook| (site, &**webhook))
    });
    let ill: Vec<_> =
        all.filter_map(|(site, webhook)| complaint(site, webhook, webhooks)).collect();
    let fine = || "every receiver has confirmed its subscription".to_owned();
    let detail = if ill.is_empty() { fine() } else { ill.join("; ") };
    readiness.set_check("webhooks", ill.is_empty(), detail);
}

fn complaint(site: &Site, webhook: &Webhook, webhooks: &Webhooks) -> Option<String> {
    let status = webhooks.status(site, webhook);
    let state = match status.state {
        State::Active if status.problem.is_none() => return None,
        State::Active => "active",
        State::Unverified => "unverified",
        State::Stopped => "stopped",
    };
    let (site, name) = (&site.name, &webhook.name);
    Some(match status.problem {
        Some(problem) => format!("{site}/{name}: {state}: {problem}"),
        None => format!("{site}/{name}: {state}"),
    })
}
