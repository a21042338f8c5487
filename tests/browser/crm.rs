//! The website's server in the loop: a chat begins, the webhook is verified, the agent learns
//! more. And what an operator can do to a visitor.

use super::chromium::{Chromium, LIGHT, Page};
use super::demo::Demo;

async fn holds(page: &Page, place: &str, text: &str) {
    let place = format!("document.querySelector('{place}')");
    page.until(&format!("!!{place} && {place}.innerText.includes('{text}')")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_begins_comes_back_as_details_on_the_agents_page() {
    let (demo, chromium) = (Demo::start().await, Chromium::start().await);
    let agent = chromium.open(&demo.agents, LIGHT).await;
    let page = chromium.open(&demo.page, LIGHT).await;
    page.settled().await;
    assert!(page.text("document.querySelector('#crm').innerText").await.contains("No chat has"));
    page.push("sign-in").await;

    // The website's server: the webhook as it came, who that is, what went back.
    holds(&page, "#crm .signed.good", "The signature holds.").await;
    holds(&page, "#crm", "200: taken.").await;
    let shown = page.text("document.querySelector('#crm').innerText").await;
    for words in [
        "POST /webhooks/zendesk",
        "Ms-Signature",
        "sha256=",
        "\"Action\": \"chat.started\"",
        "Looked up by email ana@acme.example",
        "POST /api/visitors/user-123/details",
        "\"VisitorId\": \"user-123\"",
    ] {
        assert!(shown.contains(words), "no {words:?} in {shown}");
    }
    // The agent, while the chat goes on: on both pages, with nothing pressed again.
    let card = ".visitor.verified .known";
    for words in ["The website adds", "Gold", "№ 4711: 2 × espresso cup"] {
        holds(&page, &format!("#agents {card}"), words).await;
        holds(&agent, &format!("[aria-labelledby=title-zendesk] {card}"), words).await;
    }
    // The backend, with the next request.
    page.push("sign-in").await;
    holds(&page, "#received", "Countersign-Details").await;

    // The same chat is not told twice; another one is.
    let crm = chromium.open(&format!("{}crm", demo.page), LIGHT).await;
    holds(&crm, "#crm", "The signature holds.").await;
    let events = "document.querySelectorAll('#crm .event').length";
    assert_eq!(crm.evaluate(events).await, 1);
    page.push("new-chat").await;
    crm.until(&format!("{events} === 2")).await;
    crm.until("[...document.querySelectorAll('#crm .event')].every(e => e.innerText.includes('200: taken.'))")
        .await;
    for page in [page, agent, crm] {
        assert_eq!(page.said(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_email_is_signed_the_website_knows_its_own_id() {
    let (demo, chromium) = (Demo::start().await, Chromium::start().await);
    let page = chromium.open(&demo.page, LIGHT).await;
    page.settled().await;
    for (system, by) in [("uchat", "id user-123"), ("amazon", "email"), ("ringcentral", "email")] {
        page.press(&format!("#tab-{system}")).await;
        page.settled().await;
        holds(&page, "#crm", "No chat has begun yet.").await;
        page.push("sign-in").await;
        holds(&page, "#crm", &format!("Looked up by {by}")).await;
        holds(&page, "#agents .visitor.verified .known", "Gold").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_bans_pardons_and_logs_out_while_the_chat_goes_on() {
    let (demo, chromium) = (Demo::start().await, Chromium::start().await);
    let page = chromium.open(&demo.page, LIGHT).await;
    page.settled().await;
    page.push("ban").await;
    holds(&page, "#verdict", "403 banned").await;
    holds(&page, "#chat .chat-status", "(3003)").await;
    page.push("sign-in").await;
    holds(&page, "#verdict", "403 banned").await;
    page.push("pardon").await;
    holds(&page, "#verdict", "Verified: Ana Torres").await;
    holds(&page, "#chat .chat-status", "Ana Torres").await;
    page.push("logout").await;
    holds(&page, "#verdict", "401 revoked").await;
    holds(&page, "#chat .chat-status", "(3000)").await;
    page.push("sign-in").await;
    holds(&page, "#verdict", "Verified: Ana Torres").await;
    let said = page.said();
    let refused = |line: &String| line.contains("status of 401") || line.contains("status of 403");
    assert!(said.len() == 3 && said.iter().all(refused), "{said:#?}");
}
