//! Where a credential may lie, and that a spent one goes no further: header, query, cookie,
//! `Referer`; two of them; somebody else's.

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Request, Response};

const SITE: &str = "zendesk-chat";

async fn start(echo: &Echo) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let mut sites = String::new();
    for mode in ["require", "prefer", "accept"] {
        sites += &dialect(SITE).site(mode, &format!("{mode}.test"), &upstream, mode);
    }
    sites += &(dialect(SITE).site("keeps", "keeps.test", &upstream, "prefer")
        + "    forward_credential: true\n");
    sites += &(dialect(SITE).site("origins", "origins.test", &upstream, "prefer")
        + "    allowed_origins: [https://www.acme.test]\n");
    sites += &dialect("user-hash").site("hash", "hash.test", &upstream, "prefer");
    Setup::new(sites).start().await
}

fn token(id: &str) -> String {
    dialect(SITE).proof(dialect(SITE).secret, id, 5)
}

fn bad() -> String {
    dialect(SITE).proof("a-secret-that-is-nobodys-0123456789", "u-1001", 5)
}

fn verified(answer: &Response) -> String {
    let echoed = answer.echoed();
    assert_eq!(echoed.header("countersign-status"), Some("verified"), "{echoed:?}");
    echoed.header("countersign-id").unwrap_or_default().to_owned()
}

fn guest(answer: &Response) -> String {
    let echoed = answer.echoed();
    assert_eq!(echoed.header("countersign-status"), Some("guest"), "{echoed:?}");
    echoed.header("countersign-reason").unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_found_in_header_query_and_cookie_and_removed_from_each() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let token = token("u-1001");
    let requests = [
        Request::get("/c?a=1&b=%20").bearer(&token),
        Request::get("/c?a=1&b=%20").header("authorization", &format!("bEaReR   {token}")),
        Request::get(&format!("/c?jwt={token}&a=1&b=%20")),
        Request::get(&format!("/c?a=1&jwt={token}&b=%20")),
        Request::get(&format!("/c?a=1&b=%20&jwt={token}")),
        Request::get(&format!("/c?a=1&%6awt={token}&b=%20")),
        Request::get("/c?a=1&b=%20").header("Cookie", &format!("countersign_jwt={token}")),
        Request::get("/c?a=1&b=%20")
            .header("Cookie", &format!("x=1; countersign_jwt={token}; y=\"2\"")),
    ];
    for request in requests {
        let answer = gateway.send(&request.host("require.test")).await;
        assert_eq!(verified(&answer), "u-1001");
        let echoed = answer.echoed();
        assert_eq!(echoed.target, "/c?a=1&b=%20");
        assert!(!echoed.mentions(&token), "{echoed:?}");
        assert_eq!(echoed.header("authorization"), None);
        assert!(matches!(echoed.header("cookie"), None | Some("x=1; y=\"2\"")), "{echoed:?}");
    }
    let only = Request::get(&format!("/c?jwt={token}")).host("require.test");
    assert_eq!(gateway.send(&only).await.echoed().target, "/c");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_credential_keeps_it_where_it_was() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let token = token("u-1001");
    let request = Request::get(&format!("/c?jwt={token}&a=1")).host("keeps.test");
    let answer = gateway.send(&request).await;
    assert_eq!(verified(&answer), "u-1001");
    assert_eq!(answer.echoed().target, format!("/c?jwt={token}&a=1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_parameter_is_cut_out_of_the_referer() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let token = token("u-1001");
    let page = "https://www.acme.test/p";
    let cases = [
        (format!("{page}?a=1&jwt={token}&b=%20x"), format!("{page}?a=1&b=%20x")),
        (format!("{page}?jwt={token}"), page.to_owned()),
        (format!("{page}?a=1"), format!("{page}?a=1")),
        (format!("{page}?%6Awt={token}&a=%2b"), format!("{page}?a=%2b")),
    ];
    for (sent, wanted) in cases {
        for request in [Request::get("/c").bearer(&token), Request::get("/c")] {
            let request = request.host("prefer.test").header("Referer", &sent);
            let echoed = gateway.send(&request).await.echoed();
            assert_eq!(echoed.header("referer"), Some(wanted.as_str()));
            assert!(!echoed.mentions(&token));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_value_twice_is_one_credential_and_two_values_are_ambiguous() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let (one, two) = (token("u-1001"), token("u-2002"));
    let twice = Request::get(&format!("/c?jwt={one}")).bearer(&one);
    assert_eq!(verified(&gateway.send(&twice.host("require.test")).await), "u-1001");
    let ambiguous = [
        Request::get(&format!("/c?jwt={one}")).bearer(&two),
        Request::get(&format!("/c?jwt={two}")).bearer(&one),
        Request::get(&format!("/c?jwt={one}&jwt={two}")),
        Request::get("/c").bearer(&one).bearer(&two),
        Request::get("/c").bearer(&one).header("Cookie", &format!("countersign_jwt={two}")),
        Request::get(&format!("/c?jwt={}", bad())).bearer(&one),
    ];
    for request in ambiguous {
        for mode in ["require", "prefer"] {
            let answer = gateway.send(&request.clone().host(&format!("{mode}.test"))).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, "ambiguous"));
        }
        let answer = gateway.send(&request.host("accept.test")).await;
        assert_eq!(guest(&answer), "ambiguous");
        let echoed = answer.echoed();
        assert!(!echoed.mentions(&one) && !echoed.mentions(&two), "{echoed:?}");
    }
    let empty = Request::get("/c?jwt=").bearer(&one).host("require.test");
    assert_eq!(verified(&gateway.send(&empty).await), "u-1001");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_place_may_hold_what_is_somebody_elses() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let opaque = "an-opaque-session-token";
    let others =
        ["Basic dXNlcjpwYXNz", &format!("Bearer {opaque}"), "Digest a=\"b\"", "Bearer a.b"];
    for value in others {
        let request = Request::get("/c").host("prefer.test").header("Authorization", value);
        let answer = gateway.send(&request).await;
        assert_eq!(guest(&answer), "missing", "{value}");
        assert_eq!(answer.echoed().header("authorization"), Some(value));
    }
    let beside = Request::get(&format!("/c?jwt={}", token("u-1001"))).bearer(opaque);
    let answer = gateway.send(&beside.host("require.test")).await;
    assert_eq!(verified(&answer), "u-1001");
    assert_eq!(answer.echoed().header("authorization"), Some("Bearer an-opaque-session-token"));
    // With the dialect's shape it is ours, and bad.
    let answer = gateway.send(&Request::get("/c").host("prefer.test").bearer(&bad())).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "bad_signature"));
    // An unshared place is ours, whatever lies in it.
    let answer = gateway.send(&Request::get("/c?jwt=hello").host("prefer.test")).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "malformed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_credential_that_acts_needs_an_origin_of_ours() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let cookie = format!("countersign_jwt={}", token("u-1001"));
    let post = |host: &str| {
        Request::post("/c", "application/octet-stream", "x").host(host).header("Cookie", &cookie)
    };
    let refused = |answer: Response| {
        assert_eq!((answer.status, answer.code().as_str()), (403, "origin_not_allowed"));
    };
    let get = Request::get("/c").host("prefer.test").header("Cookie", &cookie);
    assert_eq!(verified(&gateway.send(&get).await), "u-1001");
    refused(gateway.send(&post("prefer.test")).await);
    for origin in ["https://evil.test", "null", "https://prefer.test.evil.test", "prefer.test"] {
        refused(gateway.send(&post("prefer.test").header("Origin", origin)).await);
    }
    let own = post("prefer.test").header("Origin", "https://prefer.test");
    assert_eq!(verified(&gateway.send(&own).await), "u-1001");
    let listed = post("origins.test").header("Origin", "https://www.acme.test");
    assert_eq!(verified(&gateway.send(&listed).await), "u-1001");
    let unlisted = post("origins.test").header("Origin", "https://www.acme.test:444");
    refused(gateway.send(&unlisted).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_and_its_id_come_from_one_carrier() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let hash = dialect("user-hash").proof(dialect("user-hash").secret, "u-1001", 0);
    let headers = Request::get("/c")
        .host("hash.test")
        .header("X-User-Id", "u-1001")
        .header("X-Identifier-Hash", &hash);
    let answer = gateway.send(&headers).await;
    assert_eq!(verified(&answer), "u-1001");
    let echoed = answer.echoed();
    assert_eq!(echoed.header("x-user-id"), Some("u-1001"), "proven, so it stays");
    assert_eq!(echoed.header("x-identifier-hash"), None);
    let apart = Request::get(&format!("/c?identifier_hash={hash}"))
        .host("hash.test")
        .header("X-User-Id", "u-1001");
    let answer = gateway.send(&apart).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "missing_claim"));
}
