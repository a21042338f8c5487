//! People at work: a visitor with two browsers, an agent, and somebody without a mouse.

use super::chromium::{Chromium, LIGHT};
use super::demo::Demo;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_browsers_and_an_agent_are_in_one_conversation() {
    let (demo, chromium) = (Demo::start().await, Chromium::start().await);
    let first = chromium.open(&demo.page, LIGHT).await;
    first.settled().await;
    first.push("sign-in").await;
    // A browser of its own, that shares nothing with the first.
    let second = chromium.open(&format!("{}open/zendesk", demo.page), LIGHT).await;
    second.until("document.querySelector('.chat-status').innerText.includes('Ana Torres')").await;
    assert_eq!(second.text("location.search").await, "", "the token is out of the address bar");
    second.press("#chat input").await;
    second.write("from the second").await;
    second.key("Enter").await;
    first.until("document.querySelector('#chat').innerText.includes('from the second')").await;

    let agent = chromium.open(&demo.agents, LIGHT).await;
    let card = "[aria-labelledby=title-zendesk] .visitor.verified";
    agent.until(&format!("!!document.querySelector('{card}')")).await;
    let text = agent.text(&format!("document.querySelector('{card}').innerText")).await;
    assert!(text.contains("Ana Torres") && text.contains("2 browsers"), "{text}");
    agent.press(&format!("{card} form input")).await;
    agent.write("How can I help?").await;
    agent.key("Enter").await;
    for page in [&first, &second] {
        page.until("document.querySelector('#chat').innerText.includes('How can I help?')").await;
    }
    // Who was vouched for cannot be renamed; a guest can.
    let locked =
        format!("[...document.querySelectorAll('{card} .field input')].every(i => i.readOnly)");
    assert_eq!(agent.evaluate(&locked).await, true);
    agent.press("[aria-labelledby=title-zendesk] .visitor.guest .field input").await;
    agent.write("The shy one").await;
    agent.key("Tab").await;
    first.until("document.querySelector('#agents').innerText.includes('The shy one')").await;
    assert_eq!(first.said(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_reached_without_a_mouse() {
    let (demo, chromium) = (Demo::start().await, Chromium::start().await);
    let page = chromium.open(&demo.page, LIGHT).await;
    page.settled().await;
    page.key("Tab").await;
    assert_eq!(page.text("document.activeElement.innerText").await, "Skip to the demo");
    page.tab_to("#tab-zendesk").await;
    page.key("ArrowRight").await;
    page.until("document.activeElement.id === 'tab-ringcentral'").await;
    page.settled().await;
    page.until("document.activeElement.getAttribute('aria-selected') === 'true'").await;
    for (button, verdict) in [("sign-in", "verified"), ("tamper", "refused"), ("drop", "guest")] {
        page.tab_to(&format!("#do-{button}")).await;
        page.key("Enter").await;
        page.settled().await;
        page.until(&format!("document.querySelector('.verdict').classList.contains('{verdict}')"))
            .await;
        // Whoever presses stays where they are.
        assert_eq!(page.text("document.activeElement.id").await, format!("do-{button}"));
    }
    page.tab_to("#chat input").await;
    page.write("typed, not clicked").await;
    page.key("Enter").await;
    page.until("document.querySelector('#chat .messages').innerText.includes('typed, not')").await;
}
