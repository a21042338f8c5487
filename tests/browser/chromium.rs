//! Chromium, driven over its DevTools protocol: as much of it as these tests need.
//!
//! Presses are real mouse and key events, not calls of `click()`: what is covered, hidden
//! or unreachable fails. Nothing sleeps to wait for something: it polls, with a deadline.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// How long anything may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What it is called where.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A running browser; gone when dropped.
pub struct Chromium {
    child: Child,
    wire: Arc<Wire>,
    _profile: tempfile::TempDir,
}

/// How a page is seen.
#[derive(Clone, Copy)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
    pub phone: bool,
}

/// At a desk.
pub const LIGHT: Look = Look { width: 1280, height: 900, dark: false, phone: false };
/// In the evening.
pub const DARK: Look = Look { dark: true, ..LIGHT };
/// In one hand.
pub const PHONE: Look = Look { width: 390, height: 844, dark: false, phone: true };

/// A tab.
pub struct Page {
    wire: Arc<Wire>,
    session: String,
    target: String,
}

impl Chromium {
    /// Starts it with a fresh profile.
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut child = NAMES
            .iter()
            .find_map(|name| launch(name, profile.path()))
            .expect("there is no Chromium here. Install it: apt-get install -y chromium");
        let stderr = child.stderr.take().expect("stderr is piped");
        let address = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
            let found = lines.find_map(|line| {
                Some(line.strip_prefix("DevTools listening on ws://")?.to_owned())
            });
            // Whatever else it has to say must not fill the pipe.
            std::thread::spawn(move || lines.for_each(drop));
            found.expect("Chromium says where it listens")
        });
        let address = address.await.expect("no panic");
        let host = address.split('/').next().unwrap_or_default();
        let stream = TcpStream::connect(host).await.expect("Chromium listens");
        let socket = tokio_tungstenite::client_async(format!("ws://{address}"), stream).await;
        let wire = Wire::new(socket.expect("a WebSocket").0);
        Self { child, wire, _profile: profile }
    }

    /// Opens a page in a browser of its own: it shares no cookie and no storage with others.
    pub async fn open(&self, url: &str, look: Look) -> Page {
        let context = self.wire.call("", "Target.createBrowserContext", json!({})).await;
        let target =
            json!({ "url": "about:blank", "browserContextId": context["browserContextId"] });
        let target = self.wire.call("", "Target.createTarget", target).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.wire.call("", "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        let target = target["targetId"].as_str().expect("a target").to_owned();
        let page = Page { wire: self.wire.clone(), session, target };
        listen(&page.wire, &page.session).await;
        page.call("Page.enable", json!({})).await;
        page.look(look).await;
        page.go(url).await;
        page
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(name: &str, profile: &Path) -> Option<Child> {
    Command::new(name)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update"])
        .args(["--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"])
        .args(["--remote-debugging-port=0", "about:blank"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()
}

/// Has everything told that goes wrong in a page or in a frame of it.
async fn listen(wire: &Arc<Wire>, session: &str) {
    for domain in ["Runtime.enable", "Log.enable"] {
        wire.call(session, domain, json!({})).await;
    }
    let attach = json!({ "autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true });
    wire.call(session, "Target.setAutoAttach", attach).await;
}

impl Page {
    async fn call(&self, method: &str, parameters: Value) -> Value {
        self.wire.call(&self.session, method, parameters).await
    }

    /// Loads an address.
    pub async fn go(&self, url: &str) {
        let went = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(went.get("errorText").is_none(), "{url}: {went}");
        self.until("document.readyState === 'complete'").await;
    }

    /// Changes size and colours.
    pub async fn look(&self, Look { width, height, dark, phone }: Look) {
        let scale = if phone { 2 } else { 1 };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// The value of an expression; a promise is waited for.
    pub async fn evaluate(&self, expression: &str) -> Value {
        self.try_evaluate(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    async fn try_evaluate(&self, expression: &str) -> Result<Value, String> {
        let parameters =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", parameters).await;
        match answer.get("exceptionDetails") {
            None => Ok(answer["result"]["value"].clone()),
            Some(exception) => Err(exception.to_string()),
        }
    }

    /// The text of an expression.
    pub async fn text(&self, expression: &str) -> String {
        self.evaluate(expression).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true. What throws is not yet true: a page may be on its
    /// way to the next.
    pub async fn until(&self, expression: &str) {
        let start = Instant::now();
        let mut last = Err(String::new());
        while start.elapsed() < PATIENCE {
            last = self.try_evaluate(expression).await;
            if last == Ok(Value::Bool(true)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never true: {expression} (it is {last:?})\n{}", self.said().join("\n"));
    }

    /// Presses the middle of an element with the mouse; fails if something lies over it.
    pub async fn press(&self, selector: &str) {
        let middle = format!(
            "(() => {{ const e = document.querySelector({selector:?});
                e.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                const {{ x, y, width, height }} = e.getBoundingClientRect();
                const at = [x + width / 2, y + height / 2];
                const top = document.elementFromPoint(...at);
                return e === top || e.contains(top) ? at : null; }})()"
        );
        let at = self.evaluate(&middle).await;
        let (Some(x), Some(y)) = (at[0].as_f64(), at[1].as_f64()) else {
            panic!("{selector} cannot be pressed: {at}");
        };
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let event = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Presses a key: `Tab`, `Enter`, `ArrowRight`, …
    pub async fn key(&self, name: &str) {
        let (code, text) = match name {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Home" => (36, ""),
            "ArrowRight" => (39, ""),
            other => panic!("no such key here: {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": name, "code": name, "text": text,
                "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Presses Tab until the focus is there.
    pub async fn tab_to(&self, selector: &str) {
        let there = format!("document.activeElement.matches({selector:?})");
        for _ in 0..60 {
            if self.evaluate(&there).await == true {
                return;
            }
            self.key("Tab").await;
        }
        panic!("Tab never leads to {selector}");
    }

    /// Types into whatever has the focus.
    pub async fn write(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// A picture of the whole page. The window is made as high as the page for it: what
    /// lies outside, frames of other origins are not painted.
    pub async fn picture(&self, look: Look, path: &Path) {
        let height = self.evaluate("document.documentElement.scrollHeight").await;
        let height = height.as_u64().and_then(|height| u32::try_from(height).ok());
        self.look(Look { height: height.expect("a height"), ..look }).await;
        self.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
            .await;
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        self.look(look).await;
        let png = BASE64_STANDARD.decode(picture["data"].as_str().expect("a picture"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
        std::fs::write(path, png.expect("base64")).expect("a writable folder");
    }

    /// Closes the tab.
    pub async fn close(self) {
        self.wire.call("", "Target.closeTarget", json!({ "targetId": self.target })).await;
    }

    /// Every error and warning of the console so far, frames included.
    pub fn said(&self) -> Vec<String> {
        self.wire.said.lock().expect("no panic").clone()
    }
}

/// The connection to the browser: calls with their answers, and what pages complain of.
struct Wire {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    out: mpsc::UnboundedSender<String>,
    said: Mutex<Vec<String>>,
}

impl Wire {
    fn new(socket: WebSocketStream<TcpStream>) -> Arc<Self> {
        let (sink, stream) = socket.split();
        let (out, calls) = mpsc::unbounded_channel();
        let (next, waiting, said) = (AtomicU64::new(1), Mutex::default(), Mutex::default());
        let wire = Arc::new(Self { next, waiting, out, said });
        tokio::spawn(send(sink, calls));
        tokio::spawn(receive(stream, wire.clone()));
        wire
    }

    async fn call(&self, session: &str, method: &str, parameters: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut call = json!({ "id": id, "method": method, "params": parameters });
        if !session.is_empty() {
            call["sessionId"] = session.into();
        }
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().expect("no panic").insert(id, answer);
        self.out.send(call.to_string()).expect("Chromium runs");
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        let answer = answered.unwrap_or_else(|_| panic!("no answer to {method}"));
        let mut answer = answer.unwrap_or_else(|_| panic!("Chromium went away at {method}"));
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    fn event(self: &Arc<Self>, event: &Value) {
        let parameters = &event["params"];
        let said = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => parameters["exceptionDetails"].to_string(),
            Some("Runtime.consoleAPICalled") => match parameters["type"].as_str() {
                Some("error" | "warning" | "assert") => parameters["args"].to_string(),
                _ => return,
            },
            Some("Log.entryAdded") => match parameters["entry"]["level"].as_str() {
                Some("error" | "warning") => {
                    let part = |name: &str| parameters["entry"][name].as_str().unwrap_or_default();
                    // Queries hold tokens, and make lines long.
                    let url = part("url").split('?').next().unwrap_or_default();
                    format!("{} {url}", part("text"))
                }
                _ => return,
            },
            Some("Target.attachedToTarget") => {
                let (wire, session) = (self.clone(), parameters["sessionId"].clone());
                tokio::spawn(async move { listen(&wire, session.as_str().unwrap_or("")).await });
                return;
            }
            _ => return,
        };
        self.said.lock().expect("no panic").push(said);
    }
}

async fn send(
    mut sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    mut calls: mpsc::UnboundedReceiver<String>,
) {
    while let Some(call) = calls.recv().await {
        if sink.send(Message::text(call)).await.is_err() {
            return;
        }
    }
}

async fn receive(mut stream: SplitStream<WebSocketStream<TcpStream>>, wire: Arc<Wire>) {
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let value: Value = serde_json::from_str(&text).expect("JSON");
        match value["id"].as_u64() {
            Some(id) => {
                let answer = wire.waiting.lock().expect("no panic").remove(&id);
                answer.map(|answer| answer.send(value));
            }
            None => wire.event(&value),
        }
    }
    wire.waiting.lock().expect("no panic").clear();
}
