//! Forged identity headers never reach the backend: every spelling, every mode, both
//! versions of HTTP, nominated in `Connection`, in trailers.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::support::cases::dialect;
use crate::support::echo::{Echo, Echoed};
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Connection, Request};

const MODES: [&str; 5] = ["require", "prefer", "accept", "observe", "off"];
const FORGED: &str = "forged-admin-7f3a";

/// Spellings that some backend reads as one of ours: CGI and WSGI fold `-` and `_`, others
/// case, dots or runs.
const SPELLINGS: [&str; 22] = [
    "Countersign-Id",
    "countersign-id",
    "COUNTERSIGN-ID",
    "cOuNtErSiGn-Id",
    "Countersign_Id",
    "countersign_id",
    "Countersign-_Id",
    "Countersign--Id",
    "Countersign__Id",
    "Countersign.Id",
    "Countersign-.-Id",
    "-Countersign-Id",
    "_Countersign_Id",
    "Countersign-Id-",
    "Countersign-Id_",
    ".countersign.id.",
    "Countersign",
    "Countersign-",
    "Countersign-Status",
    "Countersign-Claimed",
    "Countersign-Assertion",
    "Countersign-Something-New",
];

async fn start(echo: &Echo) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let mut sites = String::new();
    for mode in MODES {
        sites += &dialect("jwt").site(mode, &format!("{mode}.test"), &upstream, mode);
    }
    Setup::new(sites).start().await
}

fn good() -> String {
    let jwt = dialect("jwt");
    jwt.proof(jwt.secret, "u-1001", 5)
}

/// What the backend must have received: nothing forged, and ours once each.
fn clean(echoed: &Echoed, what: &str) {
    assert!(!echoed.mentions(FORGED), "{what}: {echoed:?}");
    assert_eq!(echoed.all("countersign-status").len(), 1, "{what}: {echoed:?}");
    let mut ours: Vec<String> = echoed
        .headers
        .iter()
        .map(|(name, _)| name.to_lowercase())
        .filter(|name| name.contains("countersign"))
        .collect();
    assert!(ours.iter().all(|name| name.starts_with("countersign-")), "{what}: {ours:?}");
    ours.sort();
    let all = ours.len();
    ours.dedup();
    assert_eq!(ours.len(), all, "{what}: each at most once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_reaches_the_backend_over_http_1() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let good = good();
    for mode in MODES {
        let base = Request::get("/c").host(&format!("{mode}.test")).bearer(&good);
        for spelling in SPELLINGS {
            let once = base.clone().header(spelling, FORGED);
            let twice = once.clone().header("X-Between", "1").header(spelling, FORGED);
            let nominated = once.clone().header("Connection", &format!("close, {spelling}"));
            for request in [once, twice, nominated] {
                echo.take();
                let answer = gateway.send(&request).await;
                // A nomination of a strange name may be refused as a whole.
                if answer.status == 200 {
                    clean(&answer.echoed(), spelling);
                } else {
                    assert_eq!(answer.status, 400, "{spelling}");
                    assert!(echo.take().is_empty());
                }
            }
        }
    }
    let stripped = SPELLINGS.len() as f64;
    for mode in MODES {
        let labels = [("site", mode)];
        gateway.metric_reaches("countersign_headers_stripped_total", &labels, stripped).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_spellings_at_once_do_not_either() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    for mode in MODES {
        let base = Request::get("/c").host(&format!("{mode}.test")).bearer(&good());
        let all = SPELLINGS.iter().fold(base, |request, name| request.header(name, FORGED));
        clean(&gateway.send(&all).await.echoed(), mode);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_reaches_the_backend_over_http_2() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let h2 = h2c::Connection::open(gateway.address).await;
    let bearer = format!("Bearer {}", good());
    for mode in MODES {
        for spelling in SPELLINGS {
            let name = spelling.to_lowercase();
            let forged = (name.as_str(), FORGED);
            let headers = [("authorization", bearer.as_str()), forged, forged];
            let answer = h2.get(&format!("{mode}.test"), "/c", &headers).await;
            clean(&answer.echoed(), spelling);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_cannot_nominate_our_own_headers_away() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let good = good();
    let nominations = [
        "Countersign-Status",
        "countersign-status, countersign-id",
        "close, Countersign-Id, Countersign-Status, Countersign-Site, Countersign-Reason",
        "keep-alive, COUNTERSIGN-ID",
        "Authorization",
    ];
    for mode in MODES {
        for nomination in nominations {
            let request = Request::get("/c")
                .host(&format!("{mode}.test"))
                .bearer(&good)
                .header("Connection", nomination);
            let answer = gateway.send(&request).await;
            if answer.status == 400 {
                continue;
            }
            let echoed = answer.echoed();
            clean(&echoed, nomination);
            let wanted = if mode == "off" { "guest" } else { "verified" };
            assert_eq!(echoed.header("countersign-status"), Some(wanted), "{nomination}");
            let id = (mode != "off").then_some("u-1001");
            assert_eq!(echoed.header("countersign-id"), id, "{nomination}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_carry_no_identity() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let good = good();
    for mode in MODES {
        let head = format!(
            "POST /c HTTP/1.1\r\nHost: {mode}.test\r\nAuthorization: Bearer {good}\r\n\
             Content-Type: application/octet-stream\r\nTrailer: Countersign-Id\r\n\
             Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nCountersign-Id: {FORGED}\r\n\
             Countersign_Status: {FORGED}\r\n\r\n"
        );
        echo.take();
        let mut connection = Connection::open(gateway.address).await;
        connection.send(head.as_bytes()).await;
        if let Ok(answer) = connection.response().await
            && answer.status == 200
        {
            clean(&answer.echoed(), mode);
        }
        assert!(echo.take().iter().all(|request| !request.mentions(FORGED)), "{mode}");
        let mut trailers = HeaderMap::new();
        for name in ["countersign-id", "countersign_status", "x-plain"] {
            let name = HeaderName::from_static(name);
            trailers.insert(name, HeaderValue::from_static(FORGED));
        }
        let h2 = h2c::Connection::open(gateway.address).await;
        let bearer = format!("Bearer {good}");
        let headers =
            [("authorization", bearer.as_str()), ("content-type", "application/octet-stream")];
        let host = format!("{mode}.test");
        let body = Some(b"hello".to_vec());
        h2.send("POST", &host, "/c", &headers, body, Some(trailers)).await;
        for request in echo.take() {
            let fields = request.headers.iter().chain(&request.trailers);
            let forged = fields.filter(|(name, value)| {
                name.to_lowercase().contains("countersign") && value == FORGED
            });
            assert_eq!(forged.count(), 0, "{mode}: {request:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_is_cleaned_like_any_request() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    for mode in MODES {
        let handshake = SPELLINGS.iter().fold(
            crate::support::websocket::handshake("/ws", &format!("{mode}.test")).bearer(&good()),
            |request, name| request.header(name, FORGED),
        );
        echo.take();
        let socket = crate::support::websocket::Socket::open(gateway.address, &handshake).await;
        assert!(socket.is_ok(), "{mode}");
        let received = echo.take();
        clean(received.first().expect("the backend was asked"), mode);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strange_value_or_name_that_is_not_ours_goes_through() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let request = Request::get("/c")
        .host("prefer.test")
        .header("X-Countersign-Id", "mine")
        .header("Countersigned", "yes")
        .header("CountersignId", "x");
    let echoed = gateway.send(&request).await.echoed();
    assert_eq!(echoed.header("x-countersign-id"), Some("mine"));
    assert_eq!(echoed.header("countersigned"), Some("yes"));
    assert_eq!(echoed.header("countersignid"), Some("x"));
}
