//! Identity without proof: it reaches the backend in `Countersign-Claimed` and nowhere else.

use serde_json::json;

use crate::support::cases::dialect;
use crate::support::echo::{Echo, Echoed};
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::Request;

async fn start(echo: &Echo) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let mut sites = String::new();
    for name in ["user-hash", "zendesk-chat", "ringcentral-engage", "jwt"] {
        sites += &dialect(name).site(name, &format!("{name}.test"), &upstream, "prefer");
    }
    sites += &(dialect("zendesk-chat").site("keeps", "keeps.test", &upstream, "prefer")
        + "    unsigned: keep\n");
    Setup::new(sites).start().await
}

async fn echoed(gateway: &Gateway, request: Request) -> Echoed {
    gateway.send(&request).await.echoed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_claims_is_moved_out_of_query_and_headers() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let query = "/c?a=1&external_id=7&name=Eve%20%C3%A9&email=e%40x.test&b=+2";
    let got = echoed(&gateway, Request::get(query).host("zendesk-chat.test")).await;
    assert_eq!(got.target, "/c?a=1&b=+2");
    let claimed = got.claimed().unwrap_or_default();
    assert_eq!(claimed, json!({ "external_id": "7", "name": "Eve é", "email": "e@x.test" }));
    assert!(got.header("countersign-claimed").unwrap_or_default().is_ascii());
    let headers = Request::get("/c")
        .host("user-hash.test")
        .header("X-User-Id", "admin")
        .header("x-user-name", "Eve")
        .header("X-USER-EMAIL", "e@x.test");
    let got = echoed(&gateway, headers).await;
    for name in ["x-user-id", "x-user-name", "x-user-email"] {
        assert_eq!(got.header(name), None, "{got:?}");
    }
    assert_eq!(got.header("countersign-reason"), Some("unsigned"));
    let claimed = got.claimed().unwrap_or_default();
    assert!(claimed.to_string().contains("admin") && claimed.to_string().contains("Eve"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_is_found_under_every_spelling_a_backend_would_read() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let spellings = [
        "external_id=7",
        "external%5Fid=7",
        "%65xternal_id=7",
        "external_id=7&external_id=8",
        "external_id[]=7",
        "external_id%5B%5D=7",
        "external_id[x]=7",
        "a=1&external_id=7",
    ];
    for spelling in spellings {
        let target = format!("/c?{spelling}");
        let got = echoed(&gateway, Request::get(&target).host("zendesk-chat.test")).await;
        let decoded = got.target.replace("%5F", "_").replace("%65", "e");
        assert!(!decoded.contains("external_id"), "{spelling}: {}", got.target);
        assert_eq!(got.header("countersign-reason"), Some("unsigned"), "{spelling}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verified_visitor_cannot_claim_to_be_somebody_else_beside_it() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let zendesk = dialect("zendesk-chat");
    let token = zendesk.proof(zendesk.secret, "u-1001", 5);
    let request =
        |query: &str| Request::get(&format!("/c?{query}")).host("zendesk-chat.test").bearer(&token);
    let got = echoed(&gateway, request("external_id=u-2002&email=j%40example.com&x=1")).await;
    assert_eq!(got.header("countersign-id"), Some("u-1001"));
    assert_eq!(got.target, "/c?email=j%40example.com&x=1", "what equals the proof stays");
    assert_eq!(got.claimed(), Some(json!({ "external_id": "u-2002" })));
    let hash = dialect("user-hash");
    let proof = hash.proof(hash.secret, "u-1001", 0);
    let query = format!("/c?user_id=u-1001&identifier_hash={proof}&name=Eve&user_id=u-2002");
    let answer = gateway.send(&Request::get(&query).host("user-hash.test")).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "ambiguous"), "two ids, one hash");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsigned_keep_leaves_the_fields_and_claims_nothing() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let target = "/c?external_id=7&name=Eve";
    let got = echoed(&gateway, Request::get(target).host("keeps.test")).await;
    assert_eq!(got.target, target);
    assert_eq!(got.claimed(), None);
    assert_eq!(got.header("countersign-status"), Some("guest"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ringcentrals_custom_parameters_stay_and_are_copied() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let target = "/chat/tok/web?custom_plan=gold&locale=fr";
    let got = echoed(&gateway, Request::get(target).host("ringcentral-engage.test")).await;
    assert_eq!(got.target, target);
    assert_eq!(got.claimed(), Some(json!({ "custom_plan": "gold" })));
    assert_eq!(got.header("countersign-reason"), Some("missing"), "they are no identity");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_is_left_out_whole_and_named() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let target = format!("/c?external_id=7&name={}", "x".repeat(3000));
    let got = echoed(&gateway, Request::get(&target).host("zendesk-chat.test")).await;
    assert_eq!(got.claimed(), None);
    let omitted = got.header("countersign-omitted").unwrap_or_default();
    assert!(omitted.to_lowercase().contains("claimed"), "{omitted}");
    let labels = [("site", "zendesk-chat")];
    gateway.metric_reaches("countersign_headers_omitted_total", &labels, 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_encoded_so_that_they_stay_one_header() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let jwt = dialect("jwt");
    let cases = [
        ("u1 ", "u1%20"),
        (" a", "%20a"),
        ("Jürgen 猫", "J%C3%BCrgen %E7%8C%AB"),
        ("100%", "100%25"),
        ("a: b, c=\"d\"; e", "a: b, c=\"d\"; e"),
    ];
    for (id, wanted) in cases {
        let token = jwt.proof(jwt.secret, id, 5);
        let got = echoed(&gateway, Request::get("/c").host("jwt.test").bearer(&token)).await;
        assert_eq!(got.all("countersign-id"), [wanted]);
    }
}
