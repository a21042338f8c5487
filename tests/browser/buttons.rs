//! Every button of every system: the verdict, and what both panes show.

use super::chromium::{Chromium, LIGHT, Page};
use super::demo::Demo;

/// A system, and where its differences show.
struct System {
    name: &'static str,
    /// What carries the credential, and is gone behind the gateway.
    carrier: &'static str,
    /// What the backend learns when the signature is dropped.
    without: &'static str,
    /// Whether name and email are signed.
    names: bool,
}

const SYSTEMS: [System; 4] = [
    System { name: "zendesk", carrier: "Authorization", without: "unsigned", names: true },
    System { name: "ringcentral", carrier: "jwt_identity", without: "unsigned", names: true },
    System { name: "amazon", carrier: "x-amz-security-token", without: "missing", names: true },
    System { name: "uchat", carrier: "identifier_hash", without: "unsigned", names: false },
];

/// What one press led to, as the page shows it.
struct Shown {
    verdict: String,
    /// Name, value and fate of each row.
    sent: Vec<[String; 3]>,
    received: Vec<[String; 3]>,
    backend: String,
}

impl Shown {
    async fn after(page: &Page, button: &str) -> Self {
        page.push(button).await;
        let pane = |id: &str| {
            format!(
                "[...document.querySelectorAll('#{id} > .rows > .row')].map((row) => [
                    row.querySelector('.name').lastChild.textContent.trim(),
                    row.querySelector('.value').lastChild.textContent,
                    row.className.replace('row ', '')])"
            )
        };
        let rows = async |id: &str| {
            serde_json::from_value(page.evaluate(&pane(id)).await).expect("rows of three")
        };
        Self {
            verdict: page.text("document.querySelector('#verdict').innerText").await,
            sent: rows("sent").await,
            received: rows("received").await,
            backend: page.text("document.querySelector('#received').innerText").await,
        }
    }

    fn says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.verdict.contains(word), "no {word:?} in {:?}", self.verdict);
        }
        self
    }

    /// A field of the browser's request that the backend does not get.
    fn loses(&self, name: &str) -> &Self {
        let lost = self.sent.iter().any(|[n, _, fate]| n == name && fate == "removed");
        assert!(lost, "{name} is not removed in {:#?}", self.sent);
        self
    }

    /// A header that only the gateway writes, with part of its value.
    fn gains(&self, name: &str, value: &str) -> &Self {
        let is = |[n, v, fate]: &[String; 3]| n == name && v.contains(value) && fate == "added";
        assert!(self.received.iter().any(is), "no {name}: {value} in {:#?}", self.received);
        self
    }

    /// The backend is told this only as a claim: in the header for claims, or marked in the
    /// body as Amazon marks what is not signed.
    fn never_tells(&self, word: &str) -> &Self {
        let tells = |[name, value, fate]: &[String; 3]| {
            let claim = name == "Countersign-Claimed" || name.contains("/HostedWidget-");
            value.contains(word) && fate == "added" && !claim
        };
        assert!(!self.received.iter().any(tells), "{word} in {:#?}", self.received);
        self
    }

    fn reaches_nobody(&self) -> &Self {
        assert!(self.backend.starts_with("Nothing."), "{}", self.backend);
        assert_eq!(self.received, Vec::<[String; 3]>::new());
        self
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_button_of_every_system_shows_what_really_happened() {
    let (demo, chromium) = (Demo::start().await, Chromium::start().await);
    let page = chromium.open(&demo.page, LIGHT).await;
    page.settled().await;
    let mut refused = 0;
    for system in &SYSTEMS {
        page.press(&format!("#tab-{}", system.name)).await;
        page.settled().await;
        refused += every_button(&page, system).await;
    }
    // Nothing but the refusals that were asked for.
    let said = page.said();
    assert_eq!(said.len(), refused, "{said:#?}");
    assert!(said.iter().all(|line| line.contains("status of 401")), "{said:#?}");
}

/// Returns how many of them are refused.
async fn every_button(page: &Page, system: &System) -> usize {
    let System { carrier, without, .. } = *system;
    let who = if system.names { "Verified: Ana Torres" } else { "Verified: user-123" };

    let visit = Shown::after(page, "guest").await;
    visit.says(&["Let in as a guest", "missing"]).gains("Countersign-Status", "guest");

    let signed_in = Shown::after(page, "sign-in").await;
    signed_in.says(&[who]).loses(carrier);
    signed_in.gains("Countersign-Status", "verified").gains("Countersign-Id", "user-123");
    signed_in.gains("Countersign-Key", "key_1");
    if system.names {
        signed_in.gains("Countersign-Name", "Ana Torres");
        signed_in.gains("Countersign-Email", "ana@acme.example");
    } else {
        signed_in.gains("Countersign-Claimed", "Ana Torres").loses("name").loses("email");
    }
    page.until("document.querySelector('#chat .chat-status').innerText.startsWith('✓')").await;
    page.until("!!document.querySelector('#agents .visitor.verified .who')").await;
    page.until("document.querySelector('#agents .visitor.verified input').readOnly").await;
    assert_eq!(page.text("document.querySelector('#report .outcome').innerText").await, "Proven.");

    let tampered = Shown::after(page, "tamper").await;
    tampered.says(&["Refused", "401 bad_signature"]).reaches_nobody();
    let failed = "document.querySelector('#report .failed strong').innerText";
    assert_eq!(page.text(failed).await, "signature");

    let expired = Shown::after(page, "expire").await;
    if system.name == "uchat" {
        expired.says(&[who, "A hash carries no time"]);
    } else {
        expired.says(&["Refused", "401 expired"]).reaches_nobody();
        assert_eq!(page.text(failed).await, "times");
    }

    let forged = Shown::after(page, "forge").await;
    forged.says(&["Let in as a guest"]).gains("Countersign-Status", "guest");
    forged.loses("Countersign-Id").loses("countersign_name").loses("X-Forwarded-For");
    assert!(!forged.backend.contains("user-456") && !forged.backend.contains("203.0.113.66"));

    let dropped = Shown::after(page, "drop").await;
    dropped.says(&["Let in as a guest", without]).never_tells("user-456");
    dropped.gains("Countersign-Claimed", "user-456");
    page.until("document.querySelector('#agents .visitor.guest').innerText.includes('unverified')")
        .await;

    let claimed = Shown::after(page, "claim").await;
    claimed.says(&[who]).gains("Countersign-Id", "user-123").never_tells("user-456");
    claimed.gains("Countersign-Claimed", "user-456");

    let second = Shown::after(page, "second").await;
    second.says(&[who, "one conversation"]);
    page.until("document.querySelector('#agents .verified .who').innerText.includes('2 browsers')")
        .await;
    page.until(
        "document.querySelector('#chat').innerText.includes('Hello from my first browser!')",
    )
    .await;

    let rotated = Shown::after(page, "rotate").await;
    rotated.says(&[who, "now signs with key_2"]).gains("Countersign-Key", "key_2");
    page.until("document.querySelector('#chat').innerText.includes('And I am still here.')").await;
    if system.name == "uchat" { 1 } else { 2 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_before_the_last_but_one_rotation_is_refused() {
    let (demo, chromium) = (Demo::start().await, Chromium::start().await);
    let page = chromium.open(&demo.page, LIGHT).await;
    page.settled().await;
    Shown::after(&page, "sign-in").await.gains("Countersign-Key", "key_1");
    page.evaluate("window.old = document.querySelector('#request-text').value").await;
    page.evaluate("document.querySelector('#editor').closest('details').open = true").await;
    for outcome in ["The signature holds.", "This does not get through."] {
        Shown::after(&page, "rotate").await;
        page.evaluate("document.querySelector('#request-text').value = old").await;
        page.press("#editor .primary").await;
        page.until(&format!("document.querySelector('#verdict').innerText.includes('{outcome}')"))
            .await;
    }
    assert!(page.text("document.querySelector('.verdict .code').innerText").await.contains("401"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mode_decides_who_gets_in_and_the_page_warns_where_it_protects_nobody() {
    let (demo, chromium) = (Demo::start().await, Chromium::start().await);
    let page = chromium.open(&demo.page, LIGHT).await;
    page.settled().await;
    page.mode("require").await;
    Shown::after(&page, "guest").await.says(&["Refused", "401 missing"]).reaches_nobody();
    assert_eq!(page.evaluate("document.querySelector('#no-security').hidden").await, true);
    page.mode("accept").await;
    Shown::after(&page, "tamper").await.says(&["Let in as a guest", "bad_signature"]);
    assert_eq!(page.evaluate("document.querySelector('#no-security').hidden").await, false);
    page.mode("off").await;
    Shown::after(&page, "sign-in").await.says(&["Let in as a guest", "not_checked"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attack_of_ones_own_is_written_and_sent() {
    let (demo, chromium) = (Demo::start().await, Chromium::start().await);
    let page = chromium.open(&demo.page, LIGHT).await;
    page.settled().await;
    page.push("sign-in").await;
    page.evaluate("document.querySelector('#editor').closest('details').open = true").await;
    let edit = "document.querySelector('#request-text').value += '\\nCountersign-Id: user-456'";
    page.evaluate(edit).await;
    page.press("#editor .primary").await;
    page.until("document.querySelector('#sent').innerText.includes('user-456')").await;
    page.until("document.querySelector('#verdict').innerText.includes('Verified: Ana')").await;
    page.evaluate("document.querySelector('#request-text').value = 'nonsense'").await;
    page.press("#editor .primary").await;
    page.until("document.querySelector('#editor .warning').innerText.includes('first line')").await;
}
