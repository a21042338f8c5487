//! `countersign demo` as somebody meets it in a terminal: the links it prints, the `curl`
//! line pasted into a shell, the website's endpoints, and Ctrl-C. The browser's part is in
//! `tests/browser`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::raw::{Request, Response};

/// A demo in a folder for temporary files of its own.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    printed: Vec<String>,
    folder: tempfile::TempDir,
}

impl Demo {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .arg("demo")
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut printed = Vec::new();
        while printed.last().is_none_or(|line: &String| !line.starts_with("Ctrl-C")) {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).expect("text");
            assert!(read > 0, "it ended after {printed:#?}");
            printed.push(line.trim_end().to_owned());
        }
        Self { child, stdout, printed, folder }
    }

    /// The link in the line that begins with these words.
    fn link(&self, name: &str) -> &str {
        let line = self.printed.iter().find_map(|line| line.trim().strip_prefix(name));
        let link = line.and_then(|line| line.split_whitespace().next());
        link.unwrap_or_else(|| panic!("{name} is not among {:#?}", self.printed))
    }

    fn website(&self) -> SocketAddr {
        let link = self.link("Open this page");
        link.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address")
    }

    async fn get(&self, path: &str) -> Response {
        let website = self.website();
        Request::get(path).host(&website.to_string()).send(website).await
    }

    /// Presses Ctrl-C; returns the exit code.
    fn interrupt(&mut self) -> Option<i32> {
        let command = format!("kill -INT {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status().expect("sh");
        assert!(sent.success());
        self.child.wait().expect("a child of ours").code()
    }

    fn left_over(&self) -> usize {
        std::fs::read_dir(self.folder.path()).expect("a folder").count()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a shell makes of a line.
fn pasted(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().expect("sh");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {error} (is curl installed?)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_curl_line_works_when_pasted_and_ctrl_c_leaves_nothing_behind() {
    let mut demo = Demo::start();
    let line = demo.printed.iter().find(|line| line.trim().starts_with("curl ")).expect("a curl");
    let answer = pasted(line);
    assert!(answer.starts_with("✓ Hello Ana Torres: you are verified as user-123."), "{answer}");
    for header in ["Countersign-Status: verified", "Countersign-Id: user-123"] {
        assert!(answer.lines().any(|line| line == header), "{header} is not in {answer}");
    }
    assert!(!answer.contains("Bearer"), "{answer}");
    // Without the credential and with a forged header: a guest.
    let (start, rest) = line.split_once("-H ").expect("a header");
    let (_, url) = rest.rsplit_once(' ').expect("a URL");
    let guest = pasted(&format!("{start} -H 'Countersign-Id: user-456' {url}"));
    assert!(guest.starts_with("Hello, guest (missing)."), "{guest}");
    assert!(!guest.contains("user-456"), "{guest}");

    assert_eq!(demo.left_over(), 1, "keys and configuration");
    assert_eq!(demo.interrupt(), Some(0));
    assert_eq!(demo.left_over(), 0);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut demo.stdout, &mut rest).expect("text");
    assert_eq!(rest.trim(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_demos_at_a_time_find_ports_of_their_own_and_print_them_aligned() {
    let (one, other) = (Demo::start(), Demo::start());
    for name in [
        "Open this page",
        "Agents' view",
        "The website's CRM",
        "Gateway",
        "Its metrics",
        "Its configuration",
    ] {
        assert_ne!(one.link(name), other.link(name));
        let line = one.printed.iter().find(|line| line.trim().starts_with(name)).expect(name);
        assert_eq!(line.find(one.link(name)), Some(21), "{line}");
    }
    for demo in [&one, &other] {
        for name in ["Open this page", "Agents' view", "The website's CRM", "Its metrics"] {
            let url = demo.link(name);
            let page = pasted(&format!("curl -sS -o /dev/null -w '%{{http_code}}' {url}"));
            assert_eq!(page, "200", "{url}");
        }
        let file = std::fs::read_to_string(demo.link("Its configuration")).expect("a file");
        assert!(file.contains("dialect: ringcentral-engage"), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_token_endpoint_has_its_vendors_shape_and_a_fresh_token_each_time() {
    let demo = Demo::start();
    for (system, media_type) in [
        ("zendesk", "text/plain"),
        ("ringcentral", "text/plain"),
        ("amazon", "application/json"),
        ("uchat", "application/json"),
    ] {
        let path = format!("/token/{system}");
        let (first, second) = (demo.get(&path).await, demo.get(&path).await);
        for answer in [&first, &second] {
            assert_eq!(answer.status, 200, "{system}");
            assert_eq!(answer.header("content-type"), Some(media_type), "{system}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{system}");
        }
        let json = |answer: &Response| serde_json::from_str::<Value>(&answer.text());
        let members = |value: &Value| {
            value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>()
        };
        match system {
            "uchat" => {
                let user = json(&first).expect("JSON");
                assert_eq!(members(&user), ["user_id", "identifier_hash"]);
                assert_eq!(user["user_id"], "user-123");
                assert_eq!(user["identifier_hash"].as_str().map(str::len), Some(64));
            }
            "amazon" => {
                let data = json(&first).expect("JSON");
                assert_eq!(members(&data), ["data"]);
                assert_eq!(data["data"].as_str().map(|token| token.split('.').count()), Some(3));
            }
            // The bare token, not even a newline.
            _ => assert_eq!(first.text().trim().split('.').count(), 3),
        }
        assert_eq!(first.text().trim(), first.text());
        assert_eq!(first.text() == second.text(), system == "uchat", "{system}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_website_serves_nobody_elses_pages() {
    let demo = Demo::start();
    let website = demo.website();
    let own = website.to_string();
    let rotate = |host: &str, origin: &str| {
        Request::new("POST", "/rotate/zendesk").host(host).header("Origin", origin)
    };
    let origin = format!("http://{own}");
    let rebound = rotate("rebound.example", "http://rebound.example").send(website).await;
    assert_eq!(rebound.status, 403);
    let foreign = rotate(&own, "http://evil.example").send(website).await;
    assert_eq!(foreign.status, 403);
    let rotated = rotate(&own, &origin).send(website).await;
    assert_eq!((rotated.status, rotated.text().as_str()), (200, r#"{"key":"key_2"}"#));
    // In force by now: nothing has to be waited for.
    let line = demo.printed.iter().find(|line| line.trim().starts_with("curl ")).expect("a curl");
    assert!(pasted(line).contains("Countersign-Key: key_2"));
}
