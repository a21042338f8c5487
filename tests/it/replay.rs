//! Recorded traffic of vendors' widgets (`tests/replay`, whose README says what a file
//! holds), and a vendor that nobody has heard of: both are data, without a line of code.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::{code, countersign, stderr, stdout};
use crate::support::echo::{Echo, Echoed};
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Request, Response};
use crate::support::sign;

const NOBODYS: &str = "a-secret-that-is-nobodys-0123456789";
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    vendor: String,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "note")]
    _note: String,
    secret: String,
    key: Option<String>,
    #[serde(default)]
    dialects: Map<String, Value>,
    site: Map<String, Value>,
    exchanges: Vec<Exchange>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    name: String,
    method: String,
    target: String,
    #[serde(default)]
    headers: Map<String, Value>,
    sign: Option<Signed>,
    #[serde(default)]
    body: String,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    hash: Option<String>,
    token: Option<Map<String, Value>>,
    #[serde(default)]
    forged: bool,
    ago: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    refused: Option<String>,
    status: Option<String>,
    reason: Option<String>,
    id: Option<String>,
    target: Option<String>,
    body: Option<String>,
    claimed: Option<Value>,
    #[serde(default)]
    gone: Vec<String>,
}

impl Recording {
    fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay");
        let text = fs::read_to_string(folder.join(format!("{name}.yaml"))).expect("a recording");
        serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Its site in front of that backend. JSON is YAML.
    async fn gateway(&self, echo: &Echo) -> Gateway {
        let mut site = self.site.clone();
        let key = self.key.as_deref().unwrap_or("k1");
        site.insert("upstream".into(), json!(format!("http://{}", echo.address)));
        site.insert("keys".into(), json!([{ "id": key, "secret": { "value": self.secret } }]));
        Setup::new(format!("  chat: {}", Value::Object(site)))
            .top(&format!("dialects: {}", Value::Object(self.dialects.clone())))
            .start()
            .await
    }
}

impl Exchange {
    fn proof(&self, secret: &str) -> String {
        let Some(signed) = &self.sign else { return String::new() };
        let secret = if signed.forged { NOBODYS } else { secret };
        match (&signed.hash, &signed.token) {
            (Some(message), None) => sign::hash(secret, message),
            (None, Some(claims)) => {
                let iat = sign::now() - signed.ago.unwrap_or(5);
                let mut claims = claims.clone();
                claims.insert("iat".into(), json!(iat));
                claims.insert("exp".into(), json!(iat + 300));
                sign::token(secret, &Value::Object(claims))
            }
            _ => panic!("{}: a hash or a token", self.name),
        }
    }

    /// Its header fields with that proof.
    fn headers(&self, proof: &str) -> Vec<(&str, String)> {
        let fields = self.headers.iter();
        let text = |value: &Value| value.as_str().expect("text").replace("{proof}", proof);
        fields.map(|(name, value)| (name.as_str(), text(value))).collect()
    }

    /// Sends it, as it is or in chunks, and compares what comes of it.
    async fn replay(&self, gateway: &Gateway, echo: &Echo, secret: &str, chunked: bool) {
        let proof = self.proof(secret);
        let with = |text: &str| text.replace("{proof}", &proof);
        let headers = self.headers(&proof);
        let request = Request::new(&self.method, &with(&self.target)).host("chat.test");
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let request = request.body(with(&self.body));
        let request = if chunked { request.chunked() } else { request };
        let answer = gateway.send(&request).await;
        let received = echo.take();
        if let Some(refused) = &self.expect.refused {
            let found = format!("{} {}", answer.status, answer.code());
            assert_eq!((&found, received.len()), (refused, 0), "{}: {}", self.name, answer.text());
            return;
        }
        let [got] = &received[..] else { panic!("{}: {}", self.name, answer.text()) };
        self.compare(got, &with(&self.target), &with(&self.body));
        for (name, value) in headers {
            let is_gone = self.expect.gone.iter().any(|gone| gone == name);
            let wanted = (!is_gone).then_some(value.as_str());
            assert_eq!(got.header(name), wanted, "{}: {name}", self.name);
        }
        assert!(proof.is_empty() || !got.mentions(&proof), "{}: {got:?}", self.name);
    }

    fn compare(&self, got: &Echoed, target: &str, body: &str) {
        let (name, expect) = (&self.name, &self.expect);
        assert!(expect.status.is_some(), "{name}: what is expected?");
        assert_eq!(got.header("countersign-status"), expect.status.as_deref(), "{name}: {got:?}");
        assert_eq!(got.header("countersign-reason"), expect.reason.as_deref(), "{name}");
        assert_eq!(got.header("countersign-id"), expect.id.as_deref(), "{name}");
        assert_eq!(got.method, self.method, "{name}");
        assert_eq!(got.target, expect.target.as_deref().unwrap_or(target), "{name}");
        let body = expect.body.as_deref().unwrap_or(body);
        assert_eq!((got.body.as_str(), got.length), (body, body.len()), "{name}");
        assert_eq!(got.claimed(), expect.claimed, "{name}");
    }
}

async fn replay(name: &str) {
    let recording = Recording::read(name);
    let echo = Echo::start().await;
    let gateway = recording.gateway(&echo).await;
    assert!(!recording.exchanges.is_empty(), "{}", recording.vendor);
    for exchange in &recording.exchanges {
        exchange.replay(&gateway, &echo, &recording.secret, false).await;
        if !exchange.body.is_empty() {
            exchange.replay(&gateway, &echo, &recording.secret, true).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chatwoots_traffic_is_understood() {
    replay("chatwoot").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rocket_chats_traffic_is_understood_by_a_dialect_of_the_sites_own() {
    replay("rocketchat").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiledesks_traffic_is_understood() {
    replay("tiledesk").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn papercups_traffic_is_understood_by_a_dialect_of_the_sites_own() {
    replay("papercups").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_traffic_of_amazons_hosted_widget_is_understood() {
    replay("amazon-connect").await;
}

#[test]
fn every_recording_is_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay");
    let files = fs::read_dir(folder).expect("the recordings");
    let recordings = files.filter(|file| {
        file.as_ref().is_ok_and(|file| file.path().extension().is_some_and(|end| end == "yaml"))
    });
    assert_eq!(recordings.count(), 5, "a file that no test names is not replayed");
}

/// All that there is to a vendor.
const MADE_UP: &str = r#"dialects:
  parley:
    title: Parley, which does not exist
    documented_at: https://parley.example/signing
    sources:
      - json: { id: /who/ref, email: /who/mail, proof: /who/seal }
      - form: { id: ref, email: mail, proof: seal }
      - query: { id: ref, email: mail, proof: seal }
      - header: { id: X-Parley-Ref, email: X-Parley-Mail, proof: X-Parley-Seal }
    hmac: { hash: sha512, message: "{email}:{id}", key: base64, output: base64 }
    unsigned:
      fields: [ref, mail, nick, /who/ref, /who/mail, /who/nick, X-Parley-Ref, X-Parley-Mail, X-Parley-Nick]
"#;
const MADE_UP_KEY: &str = "cGFybGV5LWtleS1vZi10aGUtdGVzdHMtMDEyMzQ1Njc4OTAxMjM0NTY3ODk=";

/// The four ways to carry that: where it is sent, and what of it the backend gets to see.
fn carried(seal: &str, nick: &str) -> [(&'static str, Request, String); 4] {
    let escaped = seal.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let json = |rest: &str| format!(r#"{{"who":{{"ref":"u 7"{rest}}}, "text":"hi"}}"#);
    let json_sent = json(&format!(r#","mail":"a@b.test","seal":"{seal}","nick":"{nick}""#));
    let pairs = format!("ref=u%207&mail=a%40b.test&seal={escaped}&nick={nick}&text=hi");
    let kept = "ref=u%207&mail=a%40b.test&text=hi".to_owned();
    let header = Request::get("/say").header("X-Parley-Ref", "u 7");
    let header = header.header("X-Parley-Mail", "a@b.test").header("X-Parley-Seal", seal);
    [
        ("json", Request::post("/say", JSON, json_sent), json(r#","mail":"a@b.test""#)),
        ("form", Request::post("/say", FORM, pairs.clone()), kept.clone()),
        ("query", Request::get(&format!("/say?{pairs}")), kept),
        ("header", header.header("X-Parley-Nick", nick), String::new()),
    ]
}

async fn parley(echo: &Echo) -> Gateway {
    let site = format!(
        "  parley:\n    upstream: http://{}\n    dialect: parley\n    mode: prefer\n    \
         keys: [ {{ id: k1, secret: {{ value: \"{MADE_UP_KEY}\" }} }} ]\n",
        echo.address
    );
    Setup::new(site).top(MADE_UP).start().await
}

fn seal(gateway: &Gateway, id: &str) -> String {
    let config = gateway.path("countersign.yaml").display().to_string();
    let output = countersign(&["sign", "--config", &config, "--id", id, "--email", "a@b.test"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    stdout(&output).trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_made_up_vendor_takes_one_entry_and_no_code() {
    let echo = Echo::start().await;
    let gateway = parley(&echo).await;
    let (ours, theirs) = (seal(&gateway, "u 7"), seal(&gateway, "u 8"));
    assert_eq!(ours.len(), 88, "SHA-512 in base64: {ours}");
    for (carrier, request, kept) in carried(&ours, "Eve") {
        let got = gateway.send(&request.host("p.test")).await.echoed();
        assert_eq!(got.header("countersign-status"), Some("verified"), "{carrier}: {got:?}");
        assert_eq!(got.header("countersign-dialect"), Some("parley"));
        assert_eq!(got.header("countersign-id"), Some("u 7"), "{carrier}");
        assert_eq!(got.header("countersign-email"), Some("a@b.test"), "{carrier}");
        let query = got.target.split_once('?').map(|(_, query)| query.to_owned());
        assert_eq!(query.unwrap_or_else(|| got.body.clone()), kept, "{carrier}");
        assert!(got.claimed().is_some_and(|claimed| claimed.to_string().contains("Eve")));
        assert_eq!((got.header("x-parley-seal"), got.header("x-parley-nick")), (None, None));
    }
    echo.take();
    for (carrier, request, _) in carried(&theirs, "Eve") {
        let answer = gateway.send(&request.host("p.test")).await;
        assert_eq!(refusal(&answer), (401, "bad_signature".into()), "{carrier}");
    }
    assert!(echo.received().is_empty());
    for (carrier, request, _) in carried("", "Eve") {
        let mut got = gateway.send(&request.host("p.test")).await.echoed();
        assert_eq!(got.header("countersign-status"), Some("guest"), "{carrier}: {got:?}");
        assert_eq!(got.header("countersign-reason"), Some("unsigned"), "{carrier}");
        let claimed = got.claimed().expect("what was claimed").to_string();
        assert!(["u 7", "a@b.test", "Eve"].iter().all(|value| claimed.contains(value)));
        got.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("countersign-claimed"));
        for value in ["u 7", "u%207", "b.test", "Eve"] {
            assert!(!got.mentions(value), "{carrier}: {got:?}");
        }
    }
}

fn refusal(answer: &Response) -> (u16, String) {
    (answer.status, answer.code())
}
