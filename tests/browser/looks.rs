//! How it looks: dark, light and on a phone, with pictures, and axe-core's word on each.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::chromium::{Chromium, DARK, LIGHT, Look, PHONE, Page};
use super::demo::Demo;

const AXE: &str = include_str!("axe/axe.min.js");

fn picture(name: &str) -> PathBuf {
    // `target/tmp` is Cargo's own place for tests.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    target.join("browser").join(format!("{name}.png"))
}

/// Everything axe-core objects to, best practices included.
async fn objections(page: &Page) -> Vec<String> {
    if page.evaluate("typeof axe").await == "undefined" {
        page.evaluate(&format!("{AXE};0")).await;
    }
    let found = page
        .evaluate(
            "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
                violations.map(({ id, nodes }) =>
                    `${id}: ${nodes.map(({ html, any }) => html + (any[0]?.message ?? '')).join(' | ')}`))",
        )
        .await;
    let list = |value: Value| serde_json::from_value::<Vec<String>>(value).expect("strings");
    list(found)
}

async fn inspect(page: &Page, look: Look, name: &str) {
    page.picture(look, &picture(name)).await;
    let wide = page.evaluate("document.documentElement.scrollWidth - innerWidth").await;
    assert!(wide.as_i64().expect("a number") <= 0, "{name}: {wide} pixels too wide");
    assert_eq!(objections(page).await, Vec::<String>::new(), "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_accessible_in_dark_light_and_on_a_phone() {
    let (demo, chromium) = (Demo::start().await, Chromium::start().await);
    for (name, look) in [("light", LIGHT), ("dark", DARK), ("phone", PHONE)] {
        let page = chromium.open(&demo.page, look).await;
        page.settled().await;
        inspect(&page, look, &format!("{name}-guest")).await;
        page.push("sign-in").await;
        page.until("document.querySelector('#agents').innerText.includes('Gold')").await;
        inspect(&page, look, &format!("{name}-signed-in")).await;
        page.push("tamper").await;
        inspect(&page, look, &format!("{name}-refused")).await;
        page.push("claim").await;
        page.push("second").await;
        page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))").await;
        page.until("document.querySelector('#agents').innerText.includes('2 browsers')").await;
        page.mode("accept").await;
        inspect(&page, look, &format!("{name}-everything")).await;
        page.mode("prefer").await;

        let chat = chromium.open(&format!("{}open/zendesk", demo.page), look).await;
        chat.until("document.querySelector('.chat-status').innerText.includes('Ana')").await;
        inspect(&chat, look, &format!("{name}-chat")).await;
        let agents = chromium.open(&demo.agents, look).await;
        agents.until("!!document.querySelector('.visitor.verified')").await;
        inspect(&agents, look, &format!("{name}-agents")).await;
        let crm = chromium.open(&format!("{}crm", demo.page), look).await;
        crm.until("!!document.querySelector('.signed.good')").await;
        inspect(&crm, look, &format!("{name}-crm")).await;
        for done in [page, chat, agents, crm] {
            done.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_system_is_as_accessible_as_the_first() {
    let (demo, chromium) = (Demo::start().await, Chromium::start().await);
    let page = chromium.open(&demo.page, LIGHT).await;
    page.settled().await;
    for system in ["ringcentral", "amazon", "uchat"] {
        page.press(&format!("#tab-{system}")).await;
        page.settled().await;
        page.push("drop").await;
        page.push("claim").await;
        inspect(&page, LIGHT, &format!("light-{system}-claim")).await;
    }
}
