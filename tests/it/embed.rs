//! The two examples of embedding, as processes of their own: what they add is there, and what
//! they leave to the gate holds as it does in ours.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::write_atomically;
use crate::support::raw::{Connection, Request, Response};
use crate::support::websocket::{Socket, handshake};
use crate::support::{PATIENCE, eventually, ports};

const HOST: &str = "chat.test";

/// A running example.
struct Example {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Example {
    /// Starts it with this configuration and waits until it answers.
    async fn start(name: &str, configuration: &str, further: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = ports::free();
        let file = folder.path().join("countersign.yaml");
        write_atomically(&file, configuration.as_bytes());
        let child = Command::new(built(name))
            .arg(&file)
            .arg(address.to_string())
            .args(further)
            .stdin(Stdio::null())
            .spawn()
            .expect("the example starts");
        let example = Self { child, address, folder };
        eventually("the example listens", PATIENCE, || async {
            Connection::try_open(address).await.is_ok()
        })
        .await;
        example
    }

    async fn send(&self, request: &Request) -> Response {
        request.send(self.address).await
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Examples are built by `cargo test`, unless it is asked for one test alone.
fn built(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a path");
    let example = tests.ancestors().nth(2).expect("target/…/deps").join("examples").join(name);
    assert!(example.exists(), "first `cargo build --examples`: there is no {}", example.display());
    example
}

fn configuration(upstream: &str, mode: &str) -> String {
    format!("version: 1\nsites:\n{}", dialect("jwt").site("chat", HOST, upstream, mode))
}

fn good(id: &str) -> String {
    let jwt = dialect("jwt");
    jwt.proof(jwt.secret, id, 5)
}

fn forged() -> String {
    dialect("jwt").proof("a-secret-that-is-nobodys-0123456789", "u-1001", 5)
}

async fn embed(echo: &Echo, help: &Echo) -> Example {
    let upstream = format!("http://{}", echo.address);
    Example::start("embed", &configuration(&upstream, "require"), &[help.address.to_string()]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_ones_own_judges_and_cleans_as_ours_does() {
    let (echo, help) = (Echo::start().await, Echo::start().await);
    let edge = embed(&echo, &help).await;
    let spoofed = Request::get("/chat?access_token=x")
        .host(HOST)
        .header("Countersign_Id", "admin")
        .header("countersign.status", "verified")
        .header("Connection", "keep-alive, Countersign-Id")
        .header("X-Forwarded-For", "192.0.2.1");
    let cases = [
        (Request::get("/chat").host(HOST), 401, "missing"),
        (Request::get("/chat").host(HOST).bearer(&forged()), 401, "bad_signature"),
        (spoofed, 401, "malformed"),
        (Request::get("/chat").host("elsewhere.test").bearer(&good("ana")), 421, "unknown_site"),
    ];
    for (request, status, code) in cases {
        let answer = edge.send(&request).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    assert!(echo.take().is_empty(), "nothing of that reached the backend");

    let request = Request::get("/chat")
        .host(HOST)
        .bearer(&good("ana"))
        .header("Countersign_Id", "admin")
        .header("Countersign-Status", "guest")
        .header("Connection", "keep-alive, Countersign-Id")
        .header("X-Forwarded-For", "192.0.2.1");
    let answer = edge.send(&request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-answered-by"), Some("embed"));
    assert!(answer.header("countersign-request-id").is_some());
    let received = answer.echoed();
    assert_eq!(received.all("countersign-id"), ["ana"]);
    assert_eq!(received.all("countersign-status"), ["verified"]);
    assert_eq!(received.header("countersign_id"), None);
    assert_eq!(received.header("authorization"), None);
    assert_eq!(received.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received.header("x-edge"), Some("embed"));
    assert_eq!(
        edge.send(&Request::get("/forge").host(HOST).bearer(&good("ana")))
            .await
            .header("countersign-id"),
        None
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_ones_own_keeps_what_it_adds() {
    let (echo, help) = (Echo::start().await, Echo::start().await);
    let edge = embed(&echo, &help).await;
    let about = edge.send(&Request::get("/about").host("anything.test")).await;
    assert_eq!((about.status, about.text().as_str()), (200, "a chat, and proof\n"));
    let page = edge.send(&Request::get("/help/first").host("anything.test")).await;
    assert_eq!((page.status, page.header("x-answered-by")), (200, Some("embed")));
    assert_eq!((help.take().len(), echo.take().len()), (1, 0));

    let mut connection = Connection::open(edge.address).await;
    let request = Request::get("/chat").host(HOST).bearer(&good("bob"));
    for _ in 0..60 {
        assert_eq!(connection.exchange(&request).await.expect("an answer").status, 200);
    }
    assert_eq!(edge.send(&request).await.status, 429);
    let another = Request::get("/chat").host(HOST).bearer(&good("eve"));
    assert_eq!(edge.send(&another).await.status, 200, "that is bob's limit");
    assert_eq!(echo.take().len(), 61);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_ones_own_reads_heads_strictly_and_relays_websockets() {
    let (echo, help) = (Echo::start().await, Echo::start().await);
    let edge = embed(&echo, &help).await;
    let refused = Socket::open(edge.address, &handshake("/ws", HOST)).await;
    assert_eq!(refused.err().map(|answer| answer.status), Some(401));
    let mut socket = Socket::open(edge.address, &handshake("/ws", HOST).bearer(&good("ana")))
        .await
        .unwrap_or_else(|answer| panic!("{}", answer.text()));
    socket.echoes("hello").await.expect("an echo");
    let received = echo.take().pop().expect("the backend was asked");
    assert_eq!(received.header("countersign-id"), Some("ana"));

    let mut connection = Connection::open(edge.address).await;
    let twice =
        "POST /chat HTTP/1.1\r\nHost: chat.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na";
    connection.send(twice.as_bytes()).await;
    let answer = connection.response().await.expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"));

    // Pingora's own shutdown is the gate's.
    let pid = edge.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    let (code, _) = socket.farewell().await;
    assert!(matches!(code, 1001 | 1012), "{code}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_ones_own_follows_its_configuration() {
    let (echo, help) = (Echo::start().await, Echo::start().await);
    let edge = embed(&echo, &help).await;
    let guest = Request::get("/chat").host(HOST);
    assert_eq!(edge.send(&guest).await.status, 401);
    let upstream = format!("http://{}", echo.address);
    let file = edge.folder.path().join("countersign.yaml");
    write_atomically(&file, configuration(&upstream, "prefer").as_bytes());
    eventually("the new mode is in force", Duration::from_secs(10), || async {
        edge.send(&guest).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_judges_its_own_requests_without_a_proxy() {
    let jwt = dialect("user-hash").site("hashed", "hashed.test", "http://127.0.0.1:1", "prefer");
    let configuration = configuration("http://127.0.0.1:1", "require") + &jwt;
    let doorman = Example::start("judge", &configuration, &[]).await;
    let get = || Request::get("/room?access_token=a.b.c&x=1").host(HOST);
    for (request, status, code) in [
        (Request::get("/room").host(HOST), 401, "missing"),
        (Request::get("/room").host(HOST).header("Countersign-Id", "admin"), 401, "missing"),
        (Request::get("/room").host(HOST).bearer(&forged()), 401, "bad_signature"),
        (get(), 401, "malformed"),
    ] {
        let answer = doorman.send(&request).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert!(answer.header("www-authenticate").is_some());
    }
    let target = format!("/room?access_token={}&x=1", good("ana"));
    let request = Request::get(&target).host(HOST).header("Countersign_Id", "admin");
    let answer = doorman.send(&request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    assert_eq!((told["id"].as_str(), told["target"].as_str()), (Some("ana"), Some("/room?x=1")));
    // What nothing proves has left the body.
    let body = r#"{"user_id":"u-1","text":"hi"}"#;
    let request = Request::post("/room", "application/json", body).host("hashed.test");
    let told = doorman.send(&request).await.json();
    assert_eq!(told["status"], "guest");
    assert_eq!(told["body"], r#"{"text":"hi"}"#);
    assert_eq!(told["claimed"], r#"{"user_id":"u-1"}"#);
}

// --- What an embedder's own crate says. -----------------------------------------------------

/// The first block of `docs/embedding.md` in this language.
fn shown(language: &str) -> String {
    let page = include_str!("../../docs/embedding.md");
    let block = page.split(&format!("```{language}\n")).nth(1).expect("a block");
    block.split("```").next().expect("its end").to_owned()
}

/// The lines of a manifest's section, comments apart.
fn section<'m>(manifest: &'m str, name: &str) -> Vec<&'m str> {
    let lines = manifest.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn the_page_repeats_what_the_manifest_patches_and_which_pingora_it_means() {
    let (ours, theirs) = (include_str!("../../Cargo.toml"), shown("toml"));
    let beside = theirs.replace("../countersign/", "");
    assert_eq!(section(ours, "patch.crates-io"), section(&beside, "patch.crates-io"));
    let examples = include_str!("../../examples/README.md").replace("../countersign/", "");
    let of_examples = examples.split("```").find(|block| block.contains("[patch")).unwrap_or("");
    assert_eq!(section(ours, "patch.crates-io"), section(of_examples, "patch.crates-io"));
    let pingora = |manifest| -> Vec<String> {
        let lines = section(manifest, "dependencies").into_iter();
        lines.filter(|line| line.starts_with("pingora =")).map(str::to_owned).collect()
    };
    assert_eq!(pingora(ours), pingora(&theirs));
    assert_eq!(pingora(ours).len(), 1);
}

#[test]
fn a_crate_that_copies_the_page_compiles_without_the_server() {
    let here = env!("CARGO_MANIFEST_DIR");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dependencies = shown("toml").replace("../countersign", here);
    let manifest = format!(
        "[package]\nname = \"outside\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n{dependencies}"
    );
    let write = |name: &str, contents: &str| {
        write_atomically(&folder.path().join(name), contents.as_bytes());
    };
    write("Cargo.toml", &manifest);
    write("Cargo.lock", include_str!("../../Cargo.lock"));
    write("src/main.rs", &shown("rust"));
    let tests = std::env::current_exe().expect("a path");
    let target = tests.ancestors().nth(3).expect("target/debug/deps");
    // What the tests have fetched is all it may need, in the same versions.
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet", "--target-dir"])
        .arg(target)
        .current_dir(folder.path())
        .output()
        .expect("cargo");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
