//! The verified identity as the backend's own proof: what the backend receives, through the
//! binary and over real sockets. What is written is verified as the backend's documentation says,
//! apart from the library.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::cases::dialect;
use crate::support::echo::{Echo, Echoed};
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::Request;
use crate::support::sign;
use crate::support::websocket::{Socket, handshake};

const KEY: &str = "what-the-backend-itself-verifies-with-0123456789";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Sites of the `jwt` dialect, each with a translation.
async fn start(echo: &Echo, mode: &str, sites: &[(&str, &str)]) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let sites: String = sites
        .iter()
        .map(|(name, translate)| {
            dialect("jwt").site(name, &format!("{name}.test"), &upstream, mode)
                + &format!("    translate:\n{translate}\n")
        })
        .collect();
    Setup::new(sites).file("private.pem", P256).start().await
}

fn entry(of: &str) -> String {
    format!("      - {{ key: {{ value: \"{KEY}\" }}, {of} }}\n")
}

fn credential(id: &str) -> String {
    let jwt = dialect("jwt");
    jwt.proof(jwt.secret, id, 5)
}

/// What the backend received, asserting that it was asked.
async fn received(gateway: &Gateway, echo: &Echo, request: &Request) -> Echoed {
    let answer = gateway.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    echo.take().pop().expect("the backend was asked")
}

/// The claims of a token whose signature holds.
fn claims(token: &str) -> Value {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, _] = parts[..] else { panic!("{token}") };
    let part = |text: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON")
    };
    assert_eq!(part(header), json!({ "typ": "JWT", "alg": "HS256" }));
    let claims = part(payload);
    let key = jsonwebtoken::DecodingKey::from_secret(KEY.as_bytes());
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.validate_aud = false;
    jsonwebtoken::decode::<Value>(token, &key, &validation).expect("another library accepts it");
    claims
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chatwoot_gets_its_hash_in_body_and_query_and_never_a_clients_own() {
    let echo = Echo::start().await;
    let body = "dialect: chatwoot, into: { json: { id: /identifier, proof: /identifier_hash } }, \
                path: /api/*, methods: [PATCH]";
    let query = "dialect: chatwoot, into: { query: { id: identifier, proof: identifier_hash } }";
    let sites = [("body", entry(body)), ("query", entry(query))];
    let sites = sites.each_ref().map(|(name, entry)| (*name, entry.as_str()));
    let gateway = start(&echo, "prefer", &sites).await;
    let hash = sign::hash(KEY, "u-1001");
    let patch = |body: &str| {
        let request = Request::new("PATCH", "/api/v1/widget/contact?website_token=w");
        request.host("body.test").header("Content-Type", JSON).body(body)
    };
    for (sent, verified, guest) in [
        (
            r#"{ "a" : 1.0, "b":"\u0041" }"#,
            format!(
                r#"{{ "a" : 1.0, "b":"\u0041","identifier_hash":"{hash}","identifier":"u-1001" }}"#
            ),
            r#"{ "a" : 1.0, "b":"\u0041" }"#,
        ),
        (
            r#"{"identifier":"admin","Identifier_Hash":"x","identifier_hash":"forged","c":[]}"#,
            format!(r#"{{"c":[],"identifier_hash":"{hash}","identifier":"u-1001"}}"#),
            r#"{"c":[]}"#,
        ),
        ("[1]", "[1]".to_owned(), "[1]"),
    ] {
        let proven = patch(sent).bearer(&credential("u-1001"));
        let got = received(&gateway, &echo, &proven).await;
        assert_eq!((got.body.as_str(), got.length), (verified.as_str(), verified.len()));
        assert_eq!(got.header("content-length"), Some(&*verified.len().to_string()));
        assert_eq!(received(&gateway, &echo, &patch(sent).chunked()).await.body, guest);
    }
    // Elsewhere the place is not ours.
    let elsewhere = Request::post("/other", JSON, r#"{"identifier_hash":"x"}"#).host("body.test");
    assert_eq!(received(&gateway, &echo, &elsewhere).await.body, r#"{"identifier_hash":"x"}"#);

    let token = credential("u-1001");
    for (sent, verified, guest) in [
        ("/c", format!("/c?identifier_hash={hash}&identifier=u-1001"), "/c"),
        ("/c?a=%7e", format!("/c?a=%7e&identifier_hash={hash}&identifier=u-1001"), "/c?a=%7e"),
        (
            "/c?identifier=admin&identifier_hash[]=x&a=1;identifier%5Fhash=y&IDENTIFIER_HASH=z",
            format!("/c?a=1&identifier_hash={hash}&identifier=u-1001"),
            "/c?a=1",
        ),
    ] {
        let ask = || Request::get(sent).host("query.test");
        assert_eq!(received(&gateway, &echo, &ask().bearer(&token)).await.target, verified);
        assert_eq!(received(&gateway, &echo, &ask()).await.target, guest, "{sent}");
        // A handshake goes another way to the backend.
        let upgrade = handshake(&sent.replacen("/c", "/ws", 1), "query.test").bearer(&token);
        let mut socket = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
        socket.echoes("hello").await.expect("an echo");
        let got = echo.take().pop().expect("the backend was asked");
        assert_eq!(got.target, verified.replacen("/c", "/ws", 1));
        assert!(!got.mentions(&token));
    }
    assert!(!gateway.log().contains(&hash), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_backend_takes_for_identity_is_nobodys_to_claim_on_any_route() {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let keys = dialect("zendesk-chat");
    let into = "dialect: chatwoot, path: /set";
    let sites = [
        ("plain", format!("{into}, into: {{ json: /identifier_hash }}")),
        ("other", format!("{into}, into: {{ json: /identifier_hash }}, id: \"c-{{id}}\"")),
        ("beside", format!("{into}, into: {{ json: {{ id: /who, proof: /proof }} }}")),
    ];
    let sites: String = sites
        .iter()
        .map(|(name, of)| {
            let site = keys.site(name, &format!("{name}.test"), &upstream, "prefer");
            site + "    translate:\n" + &entry(of)
        })
        .collect();
    let gateway = Setup::new(sites).start().await;
    let patch = |host: &str, path: &str, body: &str| {
        let request = Request::new("PATCH", path).host(&format!("{host}.test"));
        request.header("Content-Type", JSON).body(body)
    };
    let victim = r#"{"phone_number":"+371","email":"victim@example.com","contact":{"name":"V"},"identifier":"v","avatar_url":"a","b":1}"#;
    for host in ["plain", "other", "beside"] {
        let ask = || patch(host, "/api/v1/widget/contact", victim);
        let got = received(&gateway, &echo, &ask()).await;
        assert_eq!(got.body, r#"{"b":1}"#, "{host}");
        assert!(got.header("countersign-claimed").is_some_and(|it| it.contains("+371")));
        let got = received(&gateway, &echo, &ask().bearer(&zendesk("u-1001"))).await;
        assert_eq!(got.body, r#"{"b":1}"#, "{host}");
        let query = Request::get("/x?phone_number=1&a=1").host(&format!("{host}.test"));
        assert_eq!(received(&gateway, &echo, &query).await.target, "/x?a=1");
    }
    // What he is called there stays, and where the template makes it another, only that.
    let hash = |id: &str| sign::hash(KEY, id);
    for (host, path, sent, left) in [
        ("plain", "/x", r#"{"identifier":"u-1001"}"#, r#"{"identifier":"u-1001"}"#.to_owned()),
        ("other", "/x", r#"{"identifier":"u-1001"}"#, "{}".to_owned()),
        ("other", "/x", r#"{"identifier":"c-u-1001"}"#, r#"{"identifier":"c-u-1001"}"#.to_owned()),
        (
            "plain",
            "/set",
            r#"{"identifier":"u-1001"}"#,
            format!(r#"{{"identifier":"u-1001","identifier_hash":"{}"}}"#, hash("u-1001")),
        ),
        (
            "other",
            "/set",
            r#"{"identifier":"u-1001"}"#,
            format!(r#"{{"identifier_hash":"{}"}}"#, hash("c-u-1001")),
        ),
        (
            "beside",
            "/x",
            r#"{"who":"v","email":"j@example.com"}"#,
            r#"{"email":"j@example.com"}"#.into(),
        ),
    ] {
        let ask = patch(host, path, sent).bearer(&zendesk("u-1001"));
        assert_eq!(received(&gateway, &echo, &ask).await.body, left, "{host} {sent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_own_leaves_whatever_the_method_and_wherever_readers_find_it() {
    let echo = Echo::start().await;
    let body = entry("dialect: matrix-jwt, into: { json: /token }, path: /login, methods: [PATCH]");
    let query = entry("dialect: matrix-jwt, into: { query: proof }, path: /login");
    let gateway = start(&echo, "prefer", &[("body", &body), ("query", &query)]).await;
    // A backend that heeds these takes a POST for a PATCH.
    let json = |host: &str, body: &str| {
        Request::post("/login", JSON, body)
            .host(&format!("{host}.test"))
            .header("X-HTTP-Method-Override", "PATCH")
    };
    let own = r#"{"token":"own","_method":"PATCH"}"#;
    let left = r#"{"_method":"PATCH"}"#;
    for ask in [json("body", own), json("body", own).bearer(&credential("u-1001"))] {
        assert_eq!(received(&gateway, &echo, &ask).await.body, left);
    }
    // A preflight is asked for nothing, and may have a body.
    let asked = Request::new("OPTIONS", "/login").host("body.test");
    let asked = asked.header("Origin", "https://page.example").header("Content-Type", JSON);
    let asked = asked.header("Access-Control-Request-Method", "POST").body(own);
    assert_eq!(received(&gateway, &echo, &asked).await.body, left);
    // PHP's $_REQUEST, and many a framework's input, take a body's parameter before the query's.
    for (kind, sent, left) in [
        (JSON, r#"{"proof":"own","a":1}"#, r#"{"a":1}"#),
        (FORM, "proof=own&a=1", "a=1"),
        (
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=\"proof\"\r\n\r\nown\r\n--b--\r\n",
            "--b\r\nContent-Disposition: form-data; name=\"xxxxx\"\r\n\r\nown\r\n--b--\r\n",
        ),
    ] {
        let ask = || Request::post("/login?proof=own", kind, sent).host("query.test");
        let got = received(&gateway, &echo, &ask()).await;
        assert_eq!((got.target.as_str(), got.body.as_str()), ("/login", left));
        let got = received(&gateway, &echo, &ask().bearer(&credential("u-1001"))).await;
        assert_eq!(got.body, left);
        assert_eq!(
            claims(got.target.strip_prefix("/login?proof=").expect("ours"))["sub"],
            "u-1001"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_is_written_to_as_http_1_is() {
    let echo = Echo::start().await;
    let body = "dialect: chatwoot, into: { json: { id: /identifier, proof: /identifier_hash } }";
    let gateway = start(&echo, "prefer", &[("body", &entry(body))]).await;
    let h2 = h2c::Connection::open(gateway.address).await;
    let bearer = format!("Bearer {}", credential("u-1001"));
    let sent = br#"{"identifier_hash":"own","a":1}"#;
    for (authorization, left) in [
        (None, r#"{"a":1}"#.to_owned()),
        (
            Some(("authorization", bearer.as_str())),
            format!(
                r#"{{"a":1,"identifier_hash":"{}","identifier":"u-1001"}}"#,
                sign::hash(KEY, "u-1001")
            ),
        ),
    ] {
        let mut headers = vec![("content-type", JSON)];
        headers.extend(authorization);
        let got =
            h2.send("POST", "body.test", "/c", &headers, Some(sent.to_vec()), None).await.echoed();
        assert_eq!(got.body, left);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_called_what_the_template_says_has_no_proof() {
    let echo = Echo::start().await;
    let of = |template: &str| {
        let into = "dialect: user-hash, into: { header: { id: X-User-Id, proof: X-Hash } }";
        entry(&format!("{into}, id: \"{template}\""))
    };
    let (email, id) = (of("{email}"), of("{id}"));
    let gateway = start(&echo, "prefer", &[("email", &email), ("id", &id)]).await;
    let jwt = dialect("jwt");
    for (host, claim, value, called) in [
        ("email", "email", Some("j@example.com"), Some("j@example.com")),
        ("email", "email", None, None),
        ("email", "email", Some("undefined"), None),
        ("email", "email", Some("a\nb@example.com"), None),
        ("id", "sub", Some("u 1%"), Some("u 1%")),
        // Readers would differ about what these are in a header.
        ("id", "sub", Some("ināra"), None),
        ("id", "sub", Some(" u1"), None),
    ] {
        let mut claims = jwt.claims("u-1001", 5);
        match value {
            Some(value) => claims[claim] = value.into(),
            None => drop(claims.as_object_mut().expect("claims").remove(claim)),
        }
        let ask = Request::get("/").host(&format!("{host}.test"));
        let ask = ask.bearer(&sign::token(jwt.secret, &claims));
        let got = received(&gateway, &echo, &ask).await;
        assert_eq!(got.header("countersign-status"), Some("verified"), "{value:?}");
        assert_eq!(got.header("x-user-id"), called, "{value:?}");
        let hash = called.map(|called| sign::hash(KEY, called));
        assert_eq!(got.header("x-hash"), hash.as_deref(), "{value:?}");
    }
}

/// A configuration of `examples/backends`, in front of that backend.
async fn example(name: &str, echo: &Echo) -> Gateway {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/backends");
    let text = std::fs::read_to_string(folder.join(format!("{name}.yaml"))).expect("an example");
    let (before, sites) = text.split_once("\nsites:\n").expect("sites");
    let dialects = before.find("\ndialects:").map_or("", |at| &before[at..]);
    let upstream = format!("http://{}", echo.address);
    Setup::new(sites.replace("http://127.0.0.1:3000", &upstream))
        .top(dialects)
        .file("keys/zendesk.secret", dialect("zendesk-chat").secret)
        .file(&format!("keys/{name}.secret"), KEY)
        .start()
        .await
}

/// What the website signs, as it always did.
fn zendesk(id: &str) -> String {
    let zendesk = dialect("zendesk-chat");
    zendesk.proof(zendesk.secret, id, 5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chatwoots_example_signs_for_its_inbox() {
    let echo = Echo::start().await;
    let gateway = example("chatwoot", &echo).await;
    let set_user = |body: &str| {
        Request::new("PATCH", "/api/v1/widget/contact/set_user?website_token=w")
            .host("any.test")
            .header("X-Auth-Token", "the-widgets-own")
            .header("Content-Type", JSON)
            .body(body)
    };
    let body = r#"{"identifier":"u-1001","identifier_hash":"","email":"else@example.com"}"#;
    let got = received(&gateway, &echo, &set_user(body).bearer(&zendesk("u-1001"))).await;
    let hash = sign::hash(KEY, "u-1001");
    let expected = json!({ "identifier": "u-1001", "identifier_hash": hash });
    assert_eq!(serde_json::from_str::<Value>(&got.body).expect("JSON"), expected);
    // What follows in the session is no proof of its own.
    let got = received(&gateway, &echo, &set_user(r#"{"identifier_hash":"x","a":1}"#)).await;
    assert_eq!(got.header("countersign-id"), Some("u-1001"));
    assert_eq!(got.body, r#"{"a":1}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zulips_example_posts_a_token_that_names_an_email() {
    let echo = Echo::start().await;
    let gateway = example("zulip", &echo).await;
    for target in ["/accounts/login/jwt/", "/accounts/login/jwt"] {
        let post = |body: &str| Request::post(target, FORM, body).host("any.test");
        let theirs = format!("token={}&next=%2Fa", zendesk("u-1001"));
        let got = received(&gateway, &echo, &post(&theirs)).await;
        let (before, token) = got.body.split_once("token=").expect("a token");
        assert_eq!(before, "next=%2Fa&");
        let claims = claims(token);
        assert_eq!(claims["email"], "j@example.com");
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
        assert_eq!(claims.as_object().unwrap().len(), 3, "{claims}");
        assert_eq!(received(&gateway, &echo, &post("next=%2Fa")).await.body, "next=%2Fa");
        assert_eq!(gateway.send(&post("token=forged")).await.status, 401);
    }
    // Readers differ about this path: it may be Zulip's login, and another.
    let odd = Request::post("/accounts/login/x/..%2fjwt", FORM, "token=x").host("any.test");
    assert_eq!(gateway.send(&odd).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ejabberds_example_hands_the_pages_server_a_password_for_its_jid() {
    let echo = Echo::start().await;
    let gateway = example("ejabberd", &echo).await;
    let ask = Request::get("/xmpp-credentials").host("any.test");
    let forged = ask
        .header("X-Xmpp-Password", "forged")
        .header("x_xmpp_password", "forged")
        .header("X-XMPP.Password", "forged")
        .header("Connection", "x-xmpp-password");
    let got = received(&gateway, &echo, &forged.clone().bearer(&zendesk("Ana"))).await;
    let claims = claims(got.header("x-xmpp-password").expect("a password"));
    assert_eq!(claims["jid"], "c-416e61@chat.example");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    assert_eq!(got.all("x-xmpp-password").len(), 1);
    assert!(!got.mentions("forged"));
    assert_eq!(gateway.send(&forged).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_key_signs_what_its_public_half_verifies() {
    let echo = Echo::start().await;
    let translate = "      - { dialect: jwt, key: { file: private.pem }, kid: k-1, audience: chat, \
                     into: { header: Authorization, scheme: Bearer } }\n";
    let gateway = start(&echo, "prefer", &[("es", translate)]).await;
    let ask = Request::get("/").host("es.test").bearer(&credential("u-1001"));
    let got = received(&gateway, &echo, &ask).await;
    let [value] = got.all("authorization")[..] else { panic!("{:?}", got.headers) };
    let token = value.strip_prefix("Bearer ").expect("a scheme");
    let key = jsonwebtoken::DecodingKey::from_ec_pem(P256_PUBLIC.as_bytes()).expect("a key");
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&["chat"]);
    let read = jsonwebtoken::decode::<Value>(token, &key, &validation).expect("it verifies");
    assert_eq!((read.header.kid.as_deref(), &read.claims["sub"]), (Some("k-1"), &json!("u-1001")));
    assert_eq!(read.claims["name"], "Jürgen");
    // Another's scheme in this place is a client's own, too.
    let basic = Request::get("/").host("es.test").header("Authorization", "Basic Zm9yZ2Vk");
    assert_eq!(received(&gateway, &echo, &basic).await.header("authorization"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_cannot_be_looked_into_do_not_pass_where_a_proof_is_written() {
    let echo = Echo::start().await;
    let limited = entry("dialect: chatwoot, into: { json: /identifier_hash }, path: /set");
    let gateway = start(&echo, "prefer", &[("body", &limited)]).await;
    let large = format!(r#"{{"identifier_hash":"x","pad":"{}"}}"#, "x".repeat(70_000));
    let post = |path: &str, kind: &str, body: &str| {
        Request::post(path, kind, body).host("body.test").bearer(&credential("u-1001"))
    };
    for (request, status) in [
        (post("/set", JSON, &large), 413),
        (post("/set", JSON, &large).chunked(), 413),
        // What the backend takes for identity may stand in any body.
        (post("/other", JSON, &large), 413),
        (post("/set", JSON, "{}").header("Content-Encoding", "gzip"), 415),
        (post("/set", JSON, r#"{"identifier_hash":1,"identifier_hash":2}"#), 400),
        (post("/set", "image/png", &large), 200),
    ] {
        assert_eq!(gateway.send(&request).await.status, status, "{}", request.target());
    }
    echo.take();
    // What some read as JSON, others as a form; what only multipart readers find.
    let hash = sign::hash(KEY, "u-1001");
    for (kind, sent, left) in [
        (FORM, "identifier_hash=x&a=1", "a=1".to_owned()),
        ("text/plain", "a=1\r\nidentifier_hash=x", "a=1\r\n".to_owned()),
        (
            FORM,
            r#"{"m":"a&identifier_hash=x"}"#,
            format!(r#"{{"m":"a\u0026identifier_hash=x","identifier_hash":"{hash}"}}"#),
        ),
        (
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=\"identifier_hash\"\r\n\r\nx\r\n--b--\r\n",
            "--b\r\nContent-Disposition: form-data; name=\"xxxxxxxxxxxxxxx\"\r\n\r\nx\r\n--b--\r\n"
                .to_owned(),
        ),
    ] {
        let got = received(&gateway, &echo, &post("/set", kind, sent)).await;
        assert_eq!(got.body, left, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_writes_for_the_verified_alone() {
    for (mode, bad, guest, other) in
        [("require", 401, 401, "forged-by-a-client"), ("accept", 200, 200, "forged-by-a-client")]
    {
        let echo = Echo::start().await;
        let header = entry("dialect: user-hash, into: { header: X-Identifier-Hash }");
        let gateway = start(&echo, mode, &[("modes", &header)]).await;
        let ask = || Request::get("/").host("modes.test").header("X-Identifier-Hash", other);
        let forged = sign::token("nobodys-secret-0123456789-0123456789", &json!({ "sub": "u" }));
        assert_eq!(gateway.send(&ask().bearer(&forged)).await.status, bad);
        assert_eq!(gateway.send(&ask()).await.status, guest);
        let came = echo.take();
        assert_eq!(came.len(), if guest == 200 { 2 } else { 0 }, "{mode}");
        assert!(came.iter().all(|got| !got.mentions(other)), "{mode}");
        let got = received(&gateway, &echo, &ask().bearer(&credential("u-1001"))).await;
        assert_eq!(got.all("x-identifier-hash"), [sign::hash(KEY, "u-1001")]);
    }
    for mode in ["observe", "off"] {
        let echo = Echo::start().await;
        let query = entry("dialect: chatwoot, into: { query: identifier_hash }");
        let gateway = start(&echo, mode, &[("modes", &query)]).await;
        let ask = Request::get("/?identifier_hash=own").host("modes.test");
        let got = received(&gateway, &echo, &ask.bearer(&credential("u-1001"))).await;
        assert_eq!(got.target, "/?identifier_hash=own", "{mode}");
        gateway.log_line("`translate` has no effect").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_alone_is_written_for_only_where_that_is_said() {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let session = "    session: { request: [ { header: X-Auth-Token } ] }\n    translate:\n";
    let sites: String = [("plain", ""), ("every", ", by_session: true")]
        .iter()
        .map(|(name, more)| {
            let header = format!("dialect: user-hash, into: {{ header: X-Identifier-Hash }}{more}");
            let site = dialect("jwt").site(name, &format!("{name}.test"), &upstream, "prefer");
            site + session + &entry(&header)
        })
        .collect();
    let gateway = Setup::new(sites).start().await;
    for (host, by_session) in [("plain.test", false), ("every.test", true)] {
        let ask =
            || Request::get("/").host(host).header("X-Auth-Token", "session-of-ana-0123456789");
        let got = received(&gateway, &echo, &ask().bearer(&credential("ana"))).await;
        assert_eq!(got.all("x-identifier-hash"), [sign::hash(KEY, "ana")]);
        let got = received(&gateway, &echo, &ask().header("X-Identifier-Hash", "own")).await;
        assert_eq!(got.header("countersign-id"), Some("ana"));
        let written = got.all("x-identifier-hash");
        match by_session {
            true => assert_eq!(written, [sign::hash(KEY, "ana")]),
            false => assert!(written.is_empty(), "{written:?}"),
        }
    }
}

/// A key of these tests alone.
const P256: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQ12bvsyBs19W3EE6\n\
    4Hpibnjwv8fXb0NQCZ3mjMhA67ChRANCAARqcUBqssnDcm7Z26EsU2PaXIdt8yqA\n\
    XVnwxSjnvcvGFeWWU/ds6EkAXZZPYGnusO0s7EHI2u4HqWX7k6vch1mx\n\
    -----END PRIVATE KEY-----\n";
const P256_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEanFAarLJw3Ju2duhLFNj2lyHbfMq\n\
    gF1Z8MUo573LxhXlllP3bOhJAF2WT2Bp7rDtLOxByNruB6ll+5Or3IdZsQ==\n\
    -----END PUBLIC KEY-----\n";
