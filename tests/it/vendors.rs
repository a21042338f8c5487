//! Vendors' own ways to carry a credential, through the binary: other schemes, bare headers,
//! hashes of an email; and what lies beside it without proof.

use serde_json::json;

use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::Request;
use crate::support::sign::{hash, now, token};

const SECRET: &str = "vendor-secret-of-the-tests-0123456789";
/// Pylon's are hexadecimal.
const HEX: &str = "30313233343536373839616263646566";
const PROJECT: &str = "5b55e806c93dde00143163dd";
const VENDORS: [(&str, &str, &str); 7] = [
    ("tiledesk", PROJECT, SECRET),
    ("stream", "k1", SECRET),
    ("botpress", "k1", SECRET),
    ("chatwoot", "k1", SECRET),
    ("intercom", "k1", SECRET),
    ("front", "k1", SECRET),
    ("pylon", "k1", HEX),
];

async fn start(echo: &Echo) -> Gateway {
    let sites = VENDORS.iter().map(|(dialect, key, secret)| {
        format!(
            "  {dialect}:\n    hosts: [{dialect}.test]\n    upstream: http://{}\n    dialect: \
             {dialect}\n    mode: require\n    keys: [ {{ id: \"{key}\", secret: {{ value: \
             \"{secret}\" }} }} ]\n",
            echo.address
        )
    });
    Setup::new(sites.collect::<String>()).start().await
}

fn tiledesk() -> String {
    let aud = format!("https://tiledesk.com/projects/{PROJECT}");
    token(SECRET, &json!({ "_id": "u1", "sub": "userexternal", "aud": aud, "iat": now() }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_vendors_credential_is_found_where_its_page_says_and_goes_no_further() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let (custom, user_id) = (tiledesk(), token(SECRET, &json!({ "user_id": "u1" })));
    let user_key = token(SECRET, &json!({ "id": "u1" }));
    let of_id = hash(SECRET, "u1");
    let (email, of_email) = ("u1@example.com", hash(SECRET, "u1@example.com"));
    let of_hex = hash("0123456789abcdef", "u1@example.com");
    let get = |target: String| Request::get(&target);
    for (vendor, request, proof, id, target) in [
        (
            "tiledesk",
            get("/a".into()).header("Authorization", &format!("JWT {custom}")),
            &custom,
            "u1",
            "/a",
        ),
        ("tiledesk", get(format!("/?token=JWT%20{custom}")), &custom, "u1", "/"),
        ("tiledesk", get(format!("/?a=1&secret_token={custom}")), &custom, "u1", "/?a=1"),
        ("stream", get("/a".into()).header("Authorization", &user_id), &user_id, "u1", "/a"),
        ("stream", get(format!("/a?authorization={user_id}&user_id=u2")), &user_id, "u1", "/a"),
        ("botpress", get("/a".into()).header("x-user-key", &user_key), &user_key, "u1", "/a"),
        (
            "chatwoot",
            get(format!(
                "/a?identifier=u1&identifier_hash={of_id}&email=b%40c.d&contact[name]=B&x=1"
            )),
            &of_id,
            "u1",
            "/a?identifier=u1&x=1",
        ),
        (
            "intercom",
            get(format!("/a?user_id=u1&email={email}&user_hash={of_id}")),
            &of_id,
            "u1",
            "/a?user_id=u1",
        ),
        (
            "intercom",
            get(format!("/a?email={email}&user_hash={of_email}")),
            &of_email,
            email,
            "/a?email=u1@example.com",
        ),
        (
            "front",
            get(format!("/a?email={email}&userHash={of_email}&name=B")),
            &of_email,
            email,
            "/a?email=u1@example.com",
        ),
        (
            "pylon",
            get(format!("/a?email={email}&email_hash={of_hex}")),
            &of_hex,
            email,
            "/a?email=u1@example.com",
        ),
    ] {
        let answer = gateway.send(&request.host(&format!("{vendor}.test"))).await;
        let echoed = answer.echoed();
        assert_eq!(echoed.header("countersign-id"), Some(id), "{vendor}: {echoed:?}");
        assert_eq!(echoed.target, target, "{vendor}");
        assert!(!echoed.mentions(proof), "{vendor}: {echoed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_of_another_scheme_in_a_shared_place_is_somebody_elses() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let custom = tiledesk();
    for target in ["/?token=abc", "/?token=Bearer%20abc", "/?token=JWT%20session"] {
        let beside = Request::get(target).header("Authorization", &format!("JWT {custom}"));
        let answer = gateway.send(&beside.host("tiledesk.test")).await;
        assert_eq!(answer.echoed().target, target);
        let alone = gateway.send(&Request::get(target).host("tiledesk.test")).await;
        assert_eq!(alone.status, 401);
        assert_eq!(alone.code(), "missing");
    }
}
