//! The proof that travels: what a backend can verify without trusting the network, and where
//! it finds the keys for that.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::ports;
use crate::support::raw::Request;

const HOST: &str = "chat.test";
const KEYS: &str = "/.well-known/countersign/jwks.json";

fn setup(echo: &Echo) -> Setup {
    let upstream = format!("http://{}", echo.address);
    Setup::new(dialect("jwt").site("chat", HOST, &upstream, "prefer"))
}

fn private() -> Vec<u8> {
    let pair = countersign::dialect::fresh::pair(countersign::dialect::Algorithm::ES256);
    pair.unwrap().private.expose().to_vec()
}

fn token(id: &str) -> String {
    let jwt = dialect("jwt");
    jwt.proof(jwt.secret, id, 5)
}

async fn key_set(gateway: &Gateway) -> JwkSet {
    let answer = gateway.send(&Request::get(KEYS).host("countersign.internal")).await;
    assert_eq!(answer.status, 200, "whatever the host: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert!(!answer.text().contains("\"d\""), "public halves alone");
    serde_json::from_slice(&answer.body).expect("a key set")
}

/// The assertion that a request brings its backend, as it came.
async fn asserted(gateway: &Gateway, request: &Request) -> String {
    let echoed = gateway.send(request).await.echoed();
    let all = echoed.headers.iter().filter(|(name, _)| name == "Countersign-Assertion");
    let [(_, assertion)] = &all.collect::<Vec<_>>()[..] else { panic!("{:?}", echoed.headers) };
    assertion.clone()
}

/// Reads it as a backend does, with another library.
fn read(assertion: &str, keys: &JwkSet) -> Value {
    let header = jsonwebtoken::decode_header(assertion).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::ES256, Some("countersign+jwt")));
    let jwk = keys.find(header.kid.as_deref().expect("a kid")).expect("a published key");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["chat"]);
    validation.set_issuer(&["countersign"]);
    let key = DecodingKey::from_jwk(jwk).unwrap();
    jsonwebtoken::decode::<Value>(assertion, &key, &validation).expect("a good assertion").claims
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_verifies_visitors_and_guests_with_keys_from_every_listener() {
    let echo = Echo::start().await;
    let health = ports::free();
    let gateway = setup(&echo)
        .top("assertion: { keys: [ { file: new.pem }, { file: old.pem } ], ttl: 30s }")
        .top(&format!("health: {{ address: \"{health}\" }}"))
        .file("new.pem", private())
        .file("old.pem", private())
        .start()
        .await;
    let keys = key_set(&gateway).await;
    assert_eq!(keys.keys.len(), 2);
    for address in [gateway.admin, health] {
        let answer = Request::get(KEYS).host("localhost").send(address).await;
        assert_eq!(serde_json::from_slice::<JwkSet>(&answer.body).unwrap(), keys);
    }
    let posted = gateway.send(&Request::post(KEYS, "text/plain", "x").host(HOST)).await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    let verified = Request::get("/c").host(HOST).bearer(&token("ada"));
    let first = asserted(&gateway, &verified).await;
    let claims = read(&first, &keys);
    assert_eq!(jsonwebtoken::decode_header(&first).unwrap().kid, keys.keys[0].common.key_id);
    let times = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    assert_eq!(times.1 - times.0, 30);
    assert_eq!(
        (&claims["sub"], &claims["status"], &claims["via"]),
        (&json!("ada"), &json!("verified"), &json!("credential"))
    );
    assert_eq!(
        (&claims["dialect"], claims.get("jti"), claims.get("reason")),
        (&json!("jwt"), None, None)
    );
    // The client's own is nobody's, and neither is it a credential.
    let forged = verified.clone().header("Countersign-Assertion", "e30.e30.e30");
    assert_eq!(read(&asserted(&gateway, &forged).await, &keys)["sub"], "ada");
    let replayed = gateway.send(&Request::get("/c").host(HOST).bearer(&first)).await;
    assert_eq!((replayed.status, replayed.code()), (401, "malformed".to_owned()));
    let guest = asserted(&gateway, &Request::get("/c?name=Eve").host(HOST)).await;
    let claims = read(&guest, &keys);
    assert_eq!((&claims["status"], &claims["reason"]), (&json!("guest"), &json!("missing")));
    assert_eq!((claims.get("sub"), claims.get("via")), (None, None));
    // Rotation: the old one signs no more, and is published still.
    let config = gateway
        .config()
        .replace("{ file: new.pem }, { file: old.pem }", "{ file: next.pem }, { file: new.pem }");
    gateway.write("next.pem", private());
    gateway.write("countersign.yaml", config);
    assert_eq!(gateway.reload().await.status, 200);
    let rotated = key_set(&gateway).await;
    assert_eq!(rotated.keys[1], keys.keys[0]);
    assert_eq!(read(&first, &rotated)["sub"], "ada");
    let second = asserted(&gateway, &verified).await;
    assert_eq!(jsonwebtoken::decode_header(&second).unwrap().kid, rotated.keys[0].common.key_id);
    read(&second, &rotated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_key_is_kept_where_the_store_is() {
    let (echo, folder) = (Echo::start().await, tempfile::tempdir().unwrap());
    let store = format!("store: {{ embedded: {{ path: {} }} }}", folder.path().display());
    let start = || setup(&echo).top("assertion: {}").top(&store).start();
    let gateway = start().await;
    let keys = key_set(&gateway).await;
    let assertion = asserted(&gateway, &Request::get("/c").host(HOST).bearer(&token("ada"))).await;
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(key_set(&gateway).await, keys, "a reload changes nothing");
    drop(gateway);
    let gateway = start().await;
    assert_eq!(key_set(&gateway).await, keys, "nor does a restart");
    assert_eq!(read(&assertion, &keys)["sub"], "ada");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_signs_there_is_no_assertion_and_no_key() {
    let echo = Echo::start().await;
    let gateway = setup(&echo).start().await;
    assert!(key_set(&gateway).await.keys.is_empty());
    let echoed = gateway.send(&Request::get("/c").host(HOST).bearer(&token("ada"))).await.echoed();
    assert_eq!(echoed.header("Countersign-Assertion"), None);
}
