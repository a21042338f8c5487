//! Request in, answer out: the whole interface of the two listeners in one match.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Version};
use pingora::http::RequestHeader;

use super::access::{Access, access, names_us};
use super::act::Act;
use super::ready::{Report, Status};
use super::reply::{json, not_allowed, not_found, problem, reply, request_id, too_large};
use super::{
    AdminState, MAX_BODY, bans, connections, deliveries, details, logouts, sites, visitors,
    webhooks,
};
use crate::assertion::KEY_SET_PATH;
use crate::clock::UnixTime;
use crate::plan::Admin;
use crate::refusal::{self, Reply};
use crate::reload::ReloadError;
use crate::telemetry::Trigger;

const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What of a request is looked at.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    host: Option<&'a [u8]>,
    /// HTTP/1.0 has no `Host`.
    host_needed: bool,
    pub(super) headers: &'a HeaderMap,
    /// Of no meaning but under `/v1` and for details of visitors.
    pub(super) body: &'a [u8],
    /// There is more of it than anybody reads.
    pub(super) too_large: bool,
    /// Who asks: an address, or none on a Unix socket.
    pub(super) peer: Option<String>,
}

impl<'a> Asked<'a> {
    /// Without a `body` it is too large.
    pub(super) fn of(
        head: &'a RequestHeader,
        body: Option<&'a [u8]>,
        peer: Option<String>,
    ) -> Self {
        let named = head.uri.authority().map(|authority| authority.as_str().as_bytes());
        let host = || Some(head.headers.get(header::HOST)?.as_bytes());
        Self {
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            host: named.or_else(host),
            host_needed: head.version >= Version::HTTP_11,
            headers: &head.headers,
            body: body.unwrap_or_default(),
            too_large: body.is_none(),
            peer,
        }
    }

    /// Answers what only reads.
    fn get(&self, answer: impl FnOnce() -> Reply) -> Reply {
        match *self.method {
            Method::GET | Method::HEAD => answer(),
            _ => not_allowed("GET, HEAD"),
        }
    }
}

pub(super) async fn answer(state: &Arc<AdminState>, full: bool, asked: Asked<'_>) -> Reply {
    // Never changes while running, so this generation's will do.
    let admin = state.current.guard().plan.process.admin.clone();
    let admin = admin.filter(|_| full);
    if let Some(admin) = &admin
        && let Err(reply) = for_us(admin, &asked)
    {
        return reply;
    }
    if admin.is_some()
        && let Some(reply) = details::answer(state, &asked).await
    {
        return reply;
    }
    if asked.too_large {
        return too_large(MAX_BODY);
    }
    match (asked.path, &admin) {
        ("/livez", _) => asked.get(|| json(200, &serde_json::json!({"status": "alive"}))),
        ("/readyz", _) => asked.get(|| ready(state, asked.query)),
        ("/metrics", _) => asked.get(|| metrics(state)),
        (KEY_SET_PATH, _) => asked.get(|| key_set(state)),
        (path, Some(admin)) if path == "/v1" || path.starts_with("/v1/") => {
            let fields = asked.headers.get_all(header::AUTHORIZATION).iter();
            match access(admin, &fields.map(HeaderValue::as_bytes).collect::<Vec<_>>()) {
                Access::Granted => v1(state, &asked).await,
                Access::Denied => denied(),
                Access::Disabled => problem(
                    403,
                    "admin_disabled",
                    "Admin interface disabled",
                    "no admin.token is configured",
                ),
            }
        }
        _ => not_found(),
    }
}

async fn v1(state: &Arc<AdminState>, asked: &Asked<'_>) -> Reply {
    let rest = asked.path.strip_prefix("/v1/").unwrap_or_default();
    match rest.split('/').collect::<Vec<_>>()[..] {
        ["reload"] if *asked.method == Method::POST => reload(state).await,
        ["reload"] => not_allowed("POST"),
        ["sites"] => asked.get(|| json(200, &sites::sites(&state.current.load().plan))),
        ["sites", site, ref rest @ ..] if !rest.is_empty() => {
            of_site(state, asked, site, rest).await
        }
        _ => not_found(),
    }
}

async fn of_site(state: &AdminState, asked: &Asked<'_>, site: &str, rest: &[&str]) -> Reply {
    let generation = state.current.load();
    let now = UnixTime::now();
    let Some(site) = generation.plan.sites.iter().find(|found| *found.name == *site) else {
        return problem(404, "not_found", "Not found", "there is no site of this name");
    };
    if rest == ["keys"] {
        return asked.get(|| json(200, &sites::keys(&generation, site, now)));
    }
    let AdminState { store, live, webhooks, .. } = state;
    let act = Act { store, live, webhooks, site, asked, now };
    let done = match rest {
        ["bans"] => return asked.get(|| bans::list(&act)),
        ["bans", id] => bans::one(&act, id).await,
        ["logouts"] => logouts::add(&act).await,
        ["visitors", id] => visitors::one(&act, id).await,
        ["connections"] => connections::all(&act),
        ["connections", number] => connections::one(&act, number),
        ["webhooks"] => webhooks::all(&act).await,
        ["webhooks", name] => webhooks::one(&act, name).await,
        ["webhooks", name, "test"] => webhooks::test(&act, name).await,
        ["webhooks", name, "deliveries"] => deliveries::list(&act, name).await,
        ["webhooks", name, "deliveries", id, "replay"] => deliveries::replay(&act, name, id).await,
        _ => return not_found(),
    };
    done.unwrap_or_else(|refusal| refusal)
}

fn for_us(admin: &Admin, asked: &Asked<'_>) -> Result<(), Reply> {
    let host = match asked.host {
        Some(host) => Some(String::from_utf8_lossy(host)),
        None if asked.host_needed => {
            return Err(problem(400, "bad_request", "Bad request", "the request has no Host"));
        }
        None => None,
    };
    if names_us(&admin.address, host.as_deref()) {
        return Ok(());
    }
    Err(problem(
        403,
        "foreign_host",
        "Foreign host",
        "the request's Host is neither loopback nor the configured admin address",
    ))
}

fn ready(state: &AdminState, query: &str) -> Reply {
    let mut report = Report::of(&state.readiness, &state.current, &state.store.state());
    let verbose = query.split('&').any(|pair| pair.split('=').next() == Some("verbose"));
    if !verbose {
        report.checks = None;
    }
    json(if report.status == Status::Failed { 503 } else { 200 }, &report)
}

fn key_set(state: &AdminState) -> Reply {
    refusal::key_set(state.current.load().plan.key_set(), &request_id())
}

fn metrics(state: &AdminState) -> Reply {
    let text = state.metrics.render(&state.current.load().plan, UnixTime::now());
    reply(200, METRICS, text.into_bytes())
}

async fn reload(state: &Arc<AdminState>) -> Reply {
    let current = state.current.clone();
    // Reads files.
    let result = tokio::task::spawn_blocking(move || current.reload(Trigger::Admin)).await;
    match result {
        Ok(Ok(outcome)) => json(200, &serde_json::json!({"generation": outcome.generation})),
        Ok(Err(error)) => {
            let (status, title) = match &error {
                ReloadError::Problems(_) => (422, "Configuration not reloaded"),
                ReloadError::RestartRequired(_) => (409, "Restart required"),
            };
            let code = match &error {
                ReloadError::Problems(_) => "reload_failed",
                ReloadError::RestartRequired(_) => "restart_required",
            };
            problem(status, code, title, &error.to_string())
        }
        Err(_) => problem(
            500,
            "internal",
            "Internal error",
            "the reload ended unexpectedly; the old configuration stays in force",
        ),
    }
}

fn denied() -> Reply {
    let mut reply = problem(
        401,
        "unauthorized",
        "Unauthorized",
        "send the admin token as `Authorization: Bearer …`",
    );
    let challenge = HeaderValue::from_static("Bearer realm=\"countersign-admin\"");
    reply.headers.push((header::WWW_AUTHENTICATE, challenge));
    reply
}

#[cfg(test)]
pub(crate) mod tests {
    use prometheus::Registry;
    use serde_json::{Value, json};

    use super::*;
    use crate::gate::Mode;
    use crate::plan::{Address, Plan, Site};
    use crate::readiness::Readiness;
    use crate::reload::Current;
    use crate::store::{Change, DigestKey, Keeper, Memory, Outage, State, Store};
    use crate::telemetry::fixture::{plan, route, site, user_hash};
    use crate::telemetry::{Decided, Decision, Metrics, Occurrence};
    use crate::webhook::Webhooks;

    fn example() -> Plan {
        let mut uchat = site(1, "uchat", Mode::Accept);
        uchat.dialect = user_hash();
        uchat.routes.0.push(route("assets", Mode::Off));
        uchat.routes.0.push(route("trial", Mode::Observe));
        let mut plan = plan(vec![site(0, "acme", Mode::Require), uchat]);
        plan.hosts.wildcards.push((".acme.example".into(), 0));
        plan.hosts.fallback = Some(1);
        plan.warnings.push("site uchat: beware".into());
        plan
    }

    fn state_of(plan: Plan, next: Result<fn() -> Plan, &'static str>) -> Arc<AdminState> {
        let metrics = Metrics::new(Registry::new()).unwrap();
        let loader = move || next.map(|plan| plan()).map_err(str::to_owned);
        let readiness = Arc::new(Readiness::default());
        readiness.set_bound(true);
        let current = Current::new(Box::new(loader), plan, metrics.clone());
        let store = Arc::new(crate::store::volatile::open().unwrap());
        let live = crate::live::Registry::new();
        let webhooks = Webhooks::new(store.clone(), &current.load().plan);
        Arc::new(AdminState::new(current, metrics, readiness, store, live, webhooks))
    }

    /// The same with that store.
    pub(crate) fn state_with(store: Store) -> Arc<AdminState> {
        with_store(&state(), store)
    }

    /// A ready instance with these sites.
    pub(crate) fn state_of_sites(sites: fn() -> Vec<Site>) -> Arc<AdminState> {
        state_of(plan(sites()), Err("it is not reloaded"))
    }

    /// The same with that store.
    pub(crate) fn state_with_sites(sites: fn() -> Vec<Site>, store: Store) -> Arc<AdminState> {
        with_store(&state_of_sites(sites), store)
    }

    fn with_store(state: &AdminState, store: Store) -> Arc<AdminState> {
        let (current, metrics) = (state.current.clone(), state.metrics.clone());
        let readiness = state.readiness.clone();
        let (store, live) = (Arc::new(store), crate::live::Registry::new());
        let webhooks = Webhooks::new(store.clone(), &current.load().plan);
        Arc::new(AdminState::new(current, metrics, readiness, store, live, webhooks))
    }

    /// A keeper that keeps nothing.
    pub(crate) struct Away {
        synced: bool,
    }

    impl Away {
        pub(crate) fn store(synced: bool) -> Store {
            let memory = Arc::new(Memory::new(&DigestKey::generate().unwrap()));
            Store::new(memory, Box::new(Self { synced }))
        }
    }

    #[async_trait::async_trait]
    impl Keeper for Away {
        async fn write(&self, _change: Change) -> Result<(), Outage> {
            Err(Outage("the disk is full".into()))
        }

        fn note(&self, _change: Change) {}

        fn state(&self) -> State {
            State { kind: "embedded", up: false, synced: self.synced, detail: "full".into() }
        }
    }

    #[tokio::test]
    async fn a_store_that_is_away_degrades_and_one_that_never_came_is_not_ready() {
        for (synced, expected) in [(true, (200, "degraded")), (false, (503, "failed"))] {
            let state = state_with(Away::store(synced));
            let reply = Ask { target: "/readyz?verbose", ..Ask::default() }.of(&state).await;
            let report = body(&reply);
            assert_eq!((reply.status, report["status"].as_str().unwrap()), expected);
            let check = json!({"ok": false, "detail": "embedded: full"});
            assert_eq!(report["checks"]["store"], check);
        }
    }

    /// A ready instance with two sites, `acme` and `uchat`.
    pub(crate) fn state() -> Arc<AdminState> {
        state_of(example(), Ok(example))
    }

    const TOKEN: &str = "Bearer letmein-letmein-letmein";

    pub(crate) struct Ask<'a> {
        pub(crate) full: bool,
        pub(crate) method: &'a str,
        pub(crate) target: &'a str,
        pub(crate) host: &'a str,
        pub(crate) token: Option<&'a str>,
        pub(crate) body: &'a str,
    }

    impl Default for Ask<'_> {
        fn default() -> Self {
            let (method, target, host) = ("GET", "/livez", "localhost:9090");
            Self { full: true, method, target, host, token: None, body: "" }
        }
    }

    impl Ask<'_> {
        pub(crate) async fn of(self, state: &Arc<AdminState>) -> Reply {
            let target = self.target.as_bytes();
            let mut head = RequestHeader::build(self.method, target, None).unwrap();
            head.insert_header(header::HOST, self.host).unwrap();
            head.insert_header(header::CONTENT_TYPE, "application/json").unwrap();
            if let Some(token) = self.token {
                head.insert_header(header::AUTHORIZATION, token).unwrap();
            }
            answer(state, self.full, Asked::of(&head, Some(self.body.as_bytes()), None)).await
        }
    }

    /// A request with the token.
    pub(crate) async fn admin(state: &Arc<AdminState>, method: &str, target: &str) -> Reply {
        admin_says(state, method, target, "").await
    }

    /// The same with a body.
    pub(crate) async fn admin_says(
        state: &Arc<AdminState>,
        method: &str,
        target: &str,
        body: &str,
    ) -> Reply {
        Ask { method, target, token: Some(TOKEN), body, ..Ask::default() }.of(state).await
    }

    pub(crate) fn body(reply: &Reply) -> Value {
        serde_json::from_slice(&reply.body).unwrap()
    }

    #[tokio::test]
    async fn readiness_fails_only_where_another_instance_would_do_better() {
        let state = state();
        let ready = async || {
            let reply = Ask { target: "/readyz?verbose", ..Ask::default() }.of(&state).await;
            (reply.status, body(&reply))
        };
        let (status, report) = ready().await;
        assert_eq!((status, &report["status"]), (200, &json!("ready")));
        assert_eq!(
            report["checks"]["plan"],
            json!({"ok": true, "detail": "generation 1; sites: 2"})
        );
        assert_eq!(report["checks"]["plans_alive"]["detail"], "1");

        state.readiness.set_check("upstream acme", false, "no address");
        let (status, report) = ready().await;
        assert_eq!((status, &report["status"]), (200, &json!("degraded")));
        assert_eq!(report["checks"]["upstream acme"], json!({"ok": false, "detail": "no address"}));
        state.readiness.retain_checks(|name| name != "upstream acme");
        assert_eq!(ready().await.1["status"], "ready");

        state.readiness.set_draining(true);
        let (status, report) = ready().await;
        assert_eq!((status, &report["status"]), (503, &json!("failed")));
        state.readiness.set_draining(false);
        state.readiness.set_bound(false);
        assert_eq!(ready().await.0, 503);
    }

    #[tokio::test]
    async fn a_reload_that_failed_degrades_and_is_shown_to_those_who_ask() {
        let state = state_of(example(), Err("countersign.yaml:3:1: no such key"));
        let reply = admin(&state, "POST", "/v1/reload").await;
        assert_eq!((reply.status, &body(&reply)["code"]), (422, &json!("reload_failed")));
        let report = body(&Ask { target: "/readyz?verbose", ..Ask::default() }.of(&state).await);
        assert_eq!(report["status"], "degraded");
        let detail = report["checks"]["reload"]["detail"].as_str().unwrap();
        assert_eq!(detail, "admin: countersign.yaml:3:1: no such key");
        let short = Ask { target: "/readyz", ..Ask::default() }.of(&state).await;
        assert_eq!((short.status, body(&short)), (200, json!({"status": "degraded"})));
    }

    #[tokio::test]
    async fn a_reload_by_hand_says_which_generation_is_in_force() {
        let state = state();
        let reply = admin(&state, "POST", "/v1/reload").await;
        assert_eq!((reply.status, body(&reply)), (200, json!({"generation": 2})));
    }

    #[tokio::test]
    async fn a_reload_that_needs_a_restart_names_what_differs() {
        let next = || {
            let mut plan = example();
            plan.process.health = Some(Address::Unix("/run/health.sock".into()));
            plan
        };
        let state = state_of(example(), Ok(next));
        let reply = admin(&state, "POST", "/v1/reload").await;
        assert_eq!((reply.status, &body(&reply)["code"]), (409, &json!("restart_required")));
        assert_eq!(body(&reply)["detail"], "a restart is needed to change: health");
    }

    #[tokio::test]
    async fn sites_are_shown_with_their_hosts_modes_and_weaknesses() {
        let reply = admin(&state(), "GET", "/v1/sites").await;
        assert_eq!(reply.header(header::CONTENT_TYPE), Some("application/json"));
        assert_eq!(
            body(&reply),
            json!({
                "generation": 1,
                "sites": [
                    {
                        "name": "acme", "hosts": ["*.acme.example", "acme.example"],
                        "dialect": "jwt", "mode": "require",
                        "upstream": ["http://127.0.0.1:3000"], "keys": 2, "warnings": [],
                    },
                    {
                        "name": "uchat", "hosts": ["*", "uchat.example"],
                        "dialect": "user-hash", "mode": "accept",
                        "upstream": ["http://127.0.0.1:3000"], "keys": 2,
                        "warnings": [
                            "mode `accept` of this site gives no security: forged credentials pass as guests",
                            "mode `observe` of route 2 gives no security: nobody is turned away",
                        ],
                    },
                ],
                "warnings": ["site uchat: beware"],
            })
        );
    }

    #[tokio::test]
    async fn keys_are_shown_with_their_times_and_never_their_secret() {
        let state = state();
        let keys = async || {
            let reply = admin(&state, "GET", "/v1/sites/acme/keys").await;
            let mut keys = body(&reply)["keys"].take();
            for key in keys.as_array_mut().unwrap() {
                let loaded = key["loaded_at"].take();
                assert!(loaded.as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
            }
            keys
        };
        assert_eq!(
            keys().await,
            json!([
                {"id": "new", "algorithm": "HS256", "state": "active", "not_before": null,
                 "not_after": null, "loaded_at": null, "last_used": null},
                {"id": "old", "algorithm": "HS256", "state": "lapsed", "not_before": null,
                 "not_after": "1970-01-01T00:33:20Z", "loaded_at": null, "last_used": null},
            ])
        );
        let verified =
            Decided { way: 0, mode: Mode::Require, decision: Decision::Verified, reason: None };
        Occurrence {
            status: 200,
            decision: Some(verified),
            key: Some("new"),
            ..Occurrence::default()
        }
        .record(&state.current.load().meters.sites[0]);
        // A reload does not forget.
        state.current.reload(Trigger::Sighup).unwrap();
        assert!(keys().await[0]["last_used"].is_string());
        assert_eq!(admin(&state, "GET", "/v1/sites/nobody/keys").await.status, 404);
    }

    #[tokio::test]
    async fn v1_needs_the_token_and_is_closed_without_one() {
        let state = state();
        for token in [None, Some("Bearer wrong")] {
            let reply = Ask { target: "/v1/sites", token, ..Ask::default() }.of(&state).await;
            assert_eq!((reply.status, &body(&reply)["code"]), (401, &json!("unauthorized")));
            assert!(reply.header(header::WWW_AUTHENTICATE).is_some());
            assert_eq!(reply.header(header::CONTENT_TYPE), Some("application/problem+json"));
        }
        let mut open = example();
        open.process.admin.as_mut().unwrap().token = None;
        let reply = admin(&state_of(open, Ok(example)), "GET", "/v1/sites").await;
        assert_eq!((reply.status, &body(&reply)["code"]), (403, &json!("admin_disabled")));
    }

    #[tokio::test]
    async fn the_admin_listener_refuses_a_foreign_host_and_the_health_listener_does_not_look() {
        let state = state();
        let ask = |full, host| Ask { full, host, target: "/metrics", ..Ask::default() };
        assert_eq!(ask(true, "evil.example").of(&state).await.status, 403);
        assert_eq!(ask(true, "127.0.0.1:9090").of(&state).await.status, 200);
        assert_eq!(ask(false, "10.0.0.7:9091").of(&state).await.status, 200);
    }

    #[tokio::test]
    async fn the_health_listener_has_no_v1() {
        let ask = Ask { full: false, target: "/v1/sites", token: Some(TOKEN), ..Ask::default() };
        assert_eq!(ask.of(&state()).await.status, 404);
    }

    #[tokio::test]
    async fn another_method_is_405_with_allow_and_another_path_404() {
        let state = state();
        for (method, target, allow) in [
            ("POST", "/livez", "GET, HEAD"),
            ("DELETE", "/v1/sites", "GET, HEAD"),
            ("GET", "/v1/reload", "POST"),
        ] {
            let reply = admin(&state, method, target).await;
            assert_eq!((reply.status, reply.header(header::ALLOW)), (405, Some(allow)), "{target}");
        }
        for target in ["/", "/v1", "/v1/", "/v1/sites/acme", "/v1/sites//keys", "/v1x", "/metrics/"]
        {
            assert_eq!(admin(&state, "GET", target).await.status, 404, "{target}");
        }
        assert_eq!(admin(&state, "HEAD", "/metrics").await.status, 200);
    }

    #[tokio::test]
    async fn metrics_are_those_of_the_plan_in_force() {
        let reply = Ask { target: "/metrics", ..Ask::default() }.of(&state()).await;
        let expected = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!(reply.header(header::CONTENT_TYPE), Some(expected));
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(text.contains("countersign_config_generation 1\n"));
        assert!(text.contains("countersign_keys{site=\"acme\",state=\"lapsed\"} 1\n"));
    }
}
