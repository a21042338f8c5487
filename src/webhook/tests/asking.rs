//! Details: asked for, posted, and passed on to the backend.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::super::Question;
use super::super::carrier::Carrier;
use super::stage::{Receiver, Reply, Stage, clock, plan_with, subscription};
use crate::outbound::{Answer, Failure};
use crate::plan::{DetailsApi, Enrich, Plan, Push, Reach};
use crate::secret::Secret;
use crate::store::outbox::Hook;
use crate::store::volatile;

/// A website's server that says the same of everybody.
struct Says(Arc<Receiver>, &'static str);

#[async_trait::async_trait]
impl Carrier for Says {
    async fn carry(
        &self,
        reach: Reach,
        request: http::Request<bytes::Bytes>,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let asks = request.uri().path() == "/visitor";
        let mut answer = self.0.carry(reach, request, patience).await?;
        if asks {
            answer.body = Ok(self.1.into());
        }
        Ok(answer)
    }
}

fn plan() -> Plan {
    let mut plan = plan_with(subscription());
    let secret = || Secret::new(vec![7; 32]);
    let website = &mut plan.sites[0].website;
    website.webhooks.clear();
    website.enrich = Some(Arc::new(Enrich {
        url: Uri::from_static("https://crm.example/visitor?key=SECRET"),
        secrets: vec![secret()],
        timeout: Duration::from_millis(300),
        ttl: Duration::from_secs(600),
    }));
    website.details = Some(Arc::new(DetailsApi {
        username: "acme".into(),
        password: secret(),
        public: false,
        allow_cleartext: false,
        push: Some(Push {
            url: Uri::from_static("http://127.0.0.1:3000/details"),
            secret: Some(secret()),
        }),
    }));
    plan
}

fn stage(receiver: &Arc<Receiver>, says: &'static str) -> Stage {
    let carrier = Arc::new(Says(receiver.clone(), says));
    Stage::over(Arc::new(volatile::open().unwrap()), plan(), carrier)
}

fn question(id: &str) -> Question {
    let (id, request_id) = (id.into(), "r-9".into());
    Question { id, name: None, email: Some("ada@acme.example".to_owned()), request_id }
}

fn details(stage: &Stage) -> Option<String> {
    let known = stage.store.memory().site("acme")?;
    known.visits().details("ada", clock()).map(|details| details.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_visitor_is_asked_about_once_for_as_long_as_the_answer_holds() {
    let receiver = Receiver::new(|_, _| Reply::Slow(Duration::from_millis(100), 200));
    let stage = stage(&receiver, r#"{"fields":[{"name":"Plan","value":"pro"}]}"#);
    stage.begin("ada");
    let site = &stage.plan.sites[0];
    stage.webhooks.enrich(site, question("ada"));
    stage.webhooks.enrich(site, question("ada"));
    assert_eq!(details(&stage), None, "nobody waits for it");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(details(&stage).as_deref(), Some(r#"{"Plan":"pro"}"#));
    let sent = |path: &str| {
        let sent = receiver.other.lock();
        sent.iter().filter(|request| request.uri().path() == path).cloned().collect::<Vec<_>>()
    };
    let asked = sent("/visitor");
    assert_eq!(asked.len(), 1);
    let expected = r#"{"site":"acme","id":"ada","email":"ada@acme.example","request_id":"r-9"}"#;
    assert_eq!(asked[0].body(), expected);
    assert!(asked[0].headers()["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    // The backend hears of it, too.
    let pushed = sent("/details");
    let expected = r#"{"type":"details.updated","site":"acme","id":"ada","account_id":"acme","agent_id":"150","details":{"Plan":"pro"}}"#;
    assert_eq!(pushed.len(), 1);
    assert_eq!(pushed[0].body(), expected);
    assert!(pushed[0].headers()["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    tokio::time::sleep(Duration::from_secs(590)).await;
    stage.webhooks.enrich(site, question("ada"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(sent("/visitor").len(), 1);
    stage.webhooks.enrich(site, question("ada"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(sent("/visitor").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_changes_nothing_and_is_counted() {
    let receiver = Receiver::well();
    let stage = stage(&receiver, r#"{"fields":[{"name":"Plan","value":7}]}"#);
    stage.begin("ada");
    let site = &stage.plan.sites[0];
    for _ in 0..3 {
        stage.webhooks.enrich(site, question("ada"));
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    assert_eq!(details(&stage), None);
    let shown = stage.metrics.render(&stage.plan, clock());
    // The second one came too soon after a failure.
    let failed = r#"deliveries_total{result="failed",webhook="details.enrich"} 2"#;
    assert!(shown.contains(failed), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn the_backend_is_told_the_latest_and_nothing_of_who_was_forgotten() {
    let receiver = Receiver::new(|_, arrived| match arrived.secs {
        0..3 => Reply::Status(503),
        _ => Reply::Status(200),
    });
    let stage = stage(&receiver, "");
    stage.begin("ada");
    stage.begin("bob");
    let post = |visitor: &str, name: &str, value: &str| {
        let fields = vec![(name.into(), value.into())];
        let site = &stage.plan.sites[0];
        stage.store.note(stage.webhooks.details_posted(site, visitor, fields, clock()));
    };
    post("ada", "Age", "25");
    tokio::time::sleep(Duration::from_secs(1)).await;
    post("ada", "Age", "26");
    post("bob", "Age", "99");
    let (site, id, at) = ("acme".into(), "bob".into(), clock());
    stage.store.note(crate::store::Change::Forget { site, id, at });
    tokio::time::sleep(Duration::from_secs(20)).await;
    let last = receiver.other.lock().last().unwrap().body().clone();
    assert!(last.ends_with(br#""details":{"Age":"26"}}"#), "{last:?}");
    let told =
        receiver.other.lock().iter().any(|one| one.body().windows(2).any(|two| two == b"99"));
    assert!(!told);
    let hook = Hook { site: "acme".into(), name: "details.push".into() };
    assert_eq!(stage.store.outbox().depth(&hook).await.unwrap().queued, 0);
}
