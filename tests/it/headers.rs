//! What backends' headers are called: presets, maps and prefixes; and that no client, of
//! whichever site, can send what any site tells its backend by.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::support::cases::dialect;
use crate::support::echo::{Echo, Echoed};
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Connection, Request};
use crate::support::websocket::{Socket, handshake};

const FORGED: &str = "forged-admin-7f3a";

/// Sites by what they say of their headers; their hosts are their names with `.test`.
const SITES: [(&str, &str); 7] = [
    ("plain", ""),
    ("remote", "headers: { preset: remote-user }"),
    ("forwarded", "headers: { preset: x-forwarded }"),
    ("asked", "headers: { preset: [x-auth-request], only: [] }"),
    (
        "mapped",
        "headers: { map: { id: [SM_USER, X-Login], email: X-Mail, status: X-State }, only: [id] }",
    ),
    ("renamed", "headers: { prefix: X-Chat-, map: { name: X-Chat-Nick } }"),
    ("together", "headers: { preset: [remote-user, x-forwarded, x-auth-request] }"),
];

/// Every name that one of them tells its backend by, and what presets strip besides.
const RESERVED: [&str; 21] = [
    "Remote-User",
    "Remote-Name",
    "Remote-Email",
    "Remote-Groups",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Groups",
    "X-Forwarded-Access-Token",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Auth-Request-Preferred-Username",
    "X-Auth-Request-Groups",
    "X-Auth-Request-Access-Token",
    "SM_USER",
    "X-Login",
    "X-Mail",
    "X-State",
    "X-Chat-Id",
    "X-Chat-Something-New",
    "Countersign-Id",
];

/// The same name to some backend.
fn spellings(name: &str) -> Vec<String> {
    let with = |joint: &str| name.replace(['-', '_'], joint);
    vec![
        name.to_owned(),
        name.to_uppercase(),
        with("_"),
        with("."),
        with("--"),
        with("-_-"),
        format!("_{}", with("_").to_lowercase()),
        format!("{name}-"),
    ]
}

async fn start(echo: &Echo) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let jwt = dialect("jwt");
    let site = |(name, headers): &(&str, &str)| {
        let entry = jwt.site(name, &format!("{name}.test"), &upstream, "prefer");
        format!("{entry}    {headers}\n")
    };
    Setup::new(SITES.iter().map(site).collect::<String>()).start().await
}

fn good() -> String {
    let jwt = dialect("jwt");
    jwt.proof(jwt.secret, "u-1001", 5)
}

/// The header fields that could be about identity, as they are spelt, in order of their names.
fn told(echoed: &Echoed) -> Vec<(&str, &str)> {
    let of_transport = ["host", "authorization", "connection", "content-length", "content-type"];
    let way = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"];
    let changing = ["-request-id", "-expires"];
    let mut told: Vec<_> = echoed
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| {
            let name = name.to_lowercase();
            !of_transport.contains(&&*name)
                && !way.contains(&&*name)
                && !["x-real-ip", "forwarded"].contains(&&*name)
                && !changing.iter().any(|end| name.ends_with(end))
        })
        .collect();
    told.sort_unstable();
    told
}

const ID: &str = "u-1001";
const NAME: &str = "J%C3%BCrgen";
const EMAIL: &str = "j@example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_site_tells_its_backend_by_its_own_names_and_a_guest_by_none() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let usual = |site: &'static str| {
        vec![
            ("Countersign-Status", "verified"),
            ("Countersign-Site", site),
            ("Countersign-Dialect", "jwt"),
            ("Countersign-Key", "k1"),
            ("Countersign-Id", ID),
            ("Countersign-Name", NAME),
            ("Countersign-Email", EMAIL),
        ]
    };
    let remote = [("Remote-User", ID), ("Remote-Name", NAME), ("Remote-Email", EMAIL)];
    let forwarded = [
        ("X-Forwarded-User", ID),
        ("X-Forwarded-Preferred-Username", NAME),
        ("X-Forwarded-Email", EMAIL),
    ];
    let asked = [
        ("X-Auth-Request-User", ID),
        ("X-Auth-Request-Preferred-Username", NAME),
        ("X-Auth-Request-Email", EMAIL),
    ];
    let also = |site, more: &[&[(&'static str, &'static str)]]| {
        usual(site).into_iter().chain(more.concat()).collect::<Vec<_>>()
    };
    let status = ("Countersign-Status", "verified");
    let cases = [
        ("plain", usual("plain")),
        ("remote", also("remote", &[&remote])),
        ("forwarded", also("forwarded", &[&forwarded])),
        ("asked", [vec![status], asked.to_vec()].concat()),
        (
            "mapped",
            vec![
                status,
                ("Countersign-Id", ID),
                ("SM_USER", ID),
                ("X-Login", ID),
                ("X-Mail", EMAIL),
                ("X-State", "verified"),
            ],
        ),
        (
            "renamed",
            vec![
                ("X-Chat-Status", "verified"),
                ("X-Chat-Site", "renamed"),
                ("X-Chat-Dialect", "jwt"),
                ("X-Chat-Key", "k1"),
                ("X-Chat-Id", ID),
                ("X-Chat-Name", NAME),
                ("X-Chat-Nick", NAME),
                ("X-Chat-Email", EMAIL),
            ],
        ),
        ("together", also("together", &[&remote, &forwarded, &asked])),
    ];
    assert_eq!(cases.len(), SITES.len());
    let h2 = h2c::Connection::open(gateway.address).await;
    let bearer = format!("Bearer {}", good());
    for (site, mut expected) in cases {
        expected.sort_unstable();
        let host = format!("{site}.test");
        let answer = gateway.send(&Request::get("/c").host(&host).bearer(&good())).await;
        assert_eq!(told(&answer.echoed()), expected, "{site}");
        assert!(answer.header("countersign-request-id").is_some(), "{site}");
        assert_eq!(answer.header("x-chat-request-id"), None, "the client's is called as ever");
        let answer = h2.get(&host, "/c", &[("authorization", &bearer)]).await;
        let echoed = answer.echoed();
        let mut lower: Vec<_> = expected.iter().map(|(n, v)| (n.to_lowercase(), *v)).collect();
        lower.sort_unstable();
        let by_h2 = told(&echoed).into_iter().map(|(name, value)| (name.to_owned(), value));
        assert_eq!(by_h2.collect::<Vec<_>>(), lower, "{site}: names of HTTP/2 have no case");

        echo.take();
        let upgrade = handshake("/ws", &host).bearer(&good());
        let mut socket = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
        socket.echoes("hello").await.expect("an echo");
        let received = echo.take().pop().expect("the backend was asked");
        for (name, value) in &expected {
            let found = received.headers.iter().filter(|(own, _)| own == name).collect::<Vec<_>>();
            assert!(matches!(&found[..], [(_, own)] if own == value), "{site} {name}: {found:?}");
        }

        let guest = gateway.send(&Request::get("/c").host(&host)).await.echoed();
        for (name, value) in told(&guest) {
            assert!(![ID, NAME, EMAIL, "verified"].contains(&value), "{site} {name}");
            let ours = ["Countersign-", "X-Chat-", "X-State"];
            assert!(ours.iter().any(|own| name.starts_with(own)), "{site}: {name} of a guest");
        }
    }
}

/// A backend must have received nothing that was made up.
fn clean(echoed: &Echoed, what: &str) {
    assert!(!echoed.mentions(FORGED), "{what}: {echoed:?}");
    let status = ["countersign-status", "x-chat-status"].map(|name| echoed.all(name).len());
    assert_eq!(status.iter().sum::<usize>(), 1, "{what}: {echoed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_of_any_site_can_send_what_any_site_tells_its_backend_by() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let good = good();
    let h2 = h2c::Connection::open(gateway.address).await;
    let bearer = format!("Bearer {good}");
    let mut client = gateway.connect().await;
    for (site, _) in SITES {
        let host = format!("{site}.test");
        for name in RESERVED {
            for spelling in spellings(name) {
                let base = Request::get("/c").host(&host).header(&spelling, FORGED);
                for request in [base.clone(), base.bearer(&good).header(&spelling, FORGED)] {
                    let answer = client.exchange(&request).await.expect("an answer");
                    assert_eq!(answer.status, 200, "{spelling}");
                    clean(&answer.echoed(), &format!("{site} {spelling}"));
                }
                let lower = spelling.to_lowercase();
                let headers =
                    [("authorization", bearer.as_str()), (&lower, FORGED), (&lower, FORGED)];
                let answer = h2.get(&host, "/c", &headers).await;
                clean(&answer.echoed(), &format!("{site} {spelling} by HTTP/2"));
            }
        }
        let all = RESERVED.iter().flat_map(|name| spellings(name)).take(80);
        let upgrade = handshake("/ws", &host).bearer(&good);
        let upgrade = all.fold(upgrade, |request, name| request.header(&name, FORGED));
        echo.take();
        assert!(Socket::open(gateway.address, &upgrade).await.is_ok(), "{site}");
        clean(echo.take().first().expect("the backend was asked"), site);
        // Each spelling once, twice and by HTTP/2 twice; and those of the handshake.
        let stripped = (RESERVED.len() * 8 * (1 + 2 + 2) + 80) as f64;
        let labels = [("site", site)];
        gateway.metric_reaches("countersign_headers_stripped_total", &labels, stripped).await;
        let metrics = gateway.metrics().await;
        let count = metrics.sum("countersign_headers_stripped_total", &labels);
        assert_eq!(count, stripped, "and nothing else was");
    }
    let ordinary = [("X-Users", "a"), ("X-Chats", "b"), ("Remote-Addr", "c"), ("SM-USERS", "d")];
    let request = Request::get("/c").host("plain.test");
    let request =
        ordinary.iter().fold(request, |request, (name, value)| request.header(name, value));
    let echoed = gateway.send(&request).await.echoed();
    for (name, value) in ordinary {
        assert_eq!(echoed.header(name), Some(value), "what is not reserved goes through");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_connection_nor_trailers_change_what_a_backend_is_told() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let good = good();
    for (site, header) in
        [("remote", "Remote-User"), ("mapped", "SM_USER"), ("renamed", "X-Chat-Id")]
    {
        let host = format!("{site}.test");
        for nomination in [header, &format!("close, {header}"), &header.to_lowercase()] {
            let request = Request::get("/c").host(&host).bearer(&good).header(header, FORGED);
            let request = request.header("Connection", nomination);
            let answer = gateway.send(&request).await;
            assert_eq!(answer.status, 200, "{nomination}");
            let echoed = answer.echoed();
            clean(&echoed, nomination);
            assert_eq!(echoed.all(header), [ID], "{nomination}");
        }
        let upgrade = handshake("/ws", &host).bearer(&good).header(header, FORGED);
        let upgrade = upgrade.header("Connection", header);
        echo.take();
        assert!(Socket::open(gateway.address, &upgrade).await.is_ok());
        assert_eq!(echo.take().pop().expect("the backend was asked").all(header), [ID]);

        let folded = header.replace('-', "_");
        let bytes = format!(
            "POST /c HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {good}\r\n\
             Content-Type: application/octet-stream\r\nTrailer: {header}\r\n\
             Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{header}: {FORGED}\r\n\
             {folded}: {FORGED}\r\n\r\n"
        );
        let mut connection = Connection::open(gateway.address).await;
        connection.send(bytes.as_bytes()).await;
        let echoed = connection.response().await.expect("an answer").echoed();
        assert_eq!((echoed.body.as_str(), echoed.all(header)), ("hello", vec![ID]));
        let mut trailers = HeaderMap::new();
        for name in [header.to_lowercase(), folded.to_lowercase()] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            trailers.insert(name, HeaderValue::from_static(FORGED));
        }
        let h2 = h2c::Connection::open(gateway.address).await;
        let bearer = format!("Bearer {good}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "text/x")];
        let body = Some(b"hello".to_vec());
        let answer = h2.send("POST", &host, "/c", &headers, body, Some(trailers)).await;
        assert_eq!(answer.echoed().all(header), [ID]);
        for request in echo.take() {
            let mut fields = request.headers.iter().chain(&request.trailers);
            assert!(fields.all(|(_, value)| value != FORGED), "{request:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_loses_what_is_under_the_prefix_and_keeps_its_other_headers() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let fields = "Countersign-Id: x\r\nX-Chat-Id: x\r\nx_chat_request_id: x\r\n\
                  Remote-User: backend\r\nX-Login: backend\r\n";
    let said = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
    echo.will_say("/said", said.clone());
    let refused = said.replace("200 OK", "403 No");
    for (site, prefixed) in [("renamed", false), ("plain", true), ("mapped", true)] {
        let host = format!("{site}.test");
        let plain = gateway.send(&Request::get("/said").host(&host)).await;
        echo.will_say("/said-to-upgrades", refused.clone());
        let upgrade = handshake("/said-to-upgrades", &host);
        let upgrade = Socket::open(gateway.address, &upgrade).await.err().expect("no upgrade");
        assert_eq!((plain.status, upgrade.status), (200, 403));
        for answer in [plain, upgrade] {
            assert_eq!(answer.header("countersign-id"), None, "{site}");
            for name in ["x-chat-id", "x_chat_request_id"] {
                assert_eq!(answer.header(name).is_some(), prefixed, "{site} {name}");
            }
            assert_eq!(answer.header("remote-user"), Some("backend"), "{site}");
            assert_eq!(answer.header("x-login"), Some("backend"), "{site}");
            assert!(answer.header("countersign-request-id").is_some(), "{site}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_room_is_named_counted_and_changes_with_a_reload() {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let jwt = dialect("jwt");
    let site = |headers: &str| {
        let entry = jwt.site("chat", "chat.test", &upstream, "prefer");
        format!("{entry}    headers: {headers}\n")
    };
    let sites = site("{ map: { attributes: [X-One, X-Two], id: X-User } }");
    let gateway =
        Setup::new(sites).top("headers: { max_value: 2KiB, max_total: 6KiB }").start().await;
    let mut claims = jwt.claims(ID, 5);
    claims["plan"] = "p".repeat(1500).into();
    let token = crate::support::sign::token(jwt.secret, &claims);
    let request = Request::get("/c").host("chat.test").bearer(&token);
    let echoed = gateway.send(&request).await.echoed();
    for name in ["x-one", "x-two", "countersign-attributes"] {
        assert_eq!(echoed.header(name).map(str::len), Some(1511), "{name}");
    }
    assert_eq!(echoed.header("countersign-omitted"), None);

    let before = site("{ map: { attributes: [X-One, X-Two], id: X-User } }");
    let narrow = site("{ map: { attributes: [X-One, X-Two], id: X-User }, max_total: 4KiB }");
    gateway.write("countersign.yaml", gateway.config().replace(&before, &narrow));
    assert_eq!(gateway.reload().await.status, 200);
    let echoed = gateway.send(&request).await.echoed();
    for name in ["x-one", "x-two", "countersign-attributes"] {
        assert_eq!(echoed.header(name), None, "all copies or none");
    }
    assert_eq!(echoed.header("countersign-omitted"), Some("attributes"));
    assert_eq!(echoed.header("x-user"), Some(ID));
    let labels = [("site", "chat"), ("field", "attributes")];
    gateway.metric_reaches("countersign_headers_omitted_total", &labels, 1.0).await;

    let forged = Request::get("/c").host("chat.test").header("X-Later", FORGED);
    assert!(gateway.send(&forged).await.echoed().mentions(FORGED), "not reserved yet");
    let later = site("{ map: { id: X-Later } }");
    gateway.write("countersign.yaml", gateway.config().replace(&narrow, &later));
    assert_eq!(gateway.reload().await.status, 200);
    assert!(!gateway.send(&forged).await.echoed().mentions(FORGED), "reserved from now on");
    assert_eq!(gateway.send(&request).await.echoed().header("x-later"), Some(ID));
}
