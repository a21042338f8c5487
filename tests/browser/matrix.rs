//! A real chat server logs a visitor in by what Countersign hands it, in a real browser.

use serde_json::json;

use super::chromium::{Chromium, LIGHT, Page};
use super::synapse::Synapse;

/// What Synapse calls `user-123`: it knows nobody of that id but by what Countersign wrote.
const ANA: &str = "@c-757365722d313233:chat.example";
const STATUS: &str = "document.querySelector('#status').innerText";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn synapse_logs_in_whom_the_website_signs_for_as_it_did_for_another_vendor() {
    let (synapse, chromium) =
        tokio::join!(Synapse::start("user-123", "Ana Torres"), Chromium::start());
    let page = chromium.open(&synapse.page, LIGHT).await;
    page.until(&format!("!{STATUS}.startsWith('Logging in')")).await;
    assert_eq!(page.text(STATUS).await, format!("Logged in as Ana Torres ({ANA})"));
    page.press("#text").await;
    page.write("Hello, Synapse").await;
    page.key("Enter").await;
    let heard = "document.querySelector('#messages').innerText";
    page.until(&format!("{heard}.includes('{ANA}: Hello, Synapse')")).await;
    // Nothing but the text went into the message, which all of a room can read.
    let wrote = page.evaluate(&synapse.messages()).await;
    assert_eq!(wrote, json!([{ "msgtype": "m.text", "body": "Hello, Synapse" }]));
    assert_eq!(page.said(), Vec::<String>::new());

    // Somebody else's id, nobody's, one whose time has passed, and the website's own token where
    // only Countersign's counts.
    let forged = "token.split('.').with(1, btoa(JSON.stringify({ external_id: 'admin', iat: \
                  Math.floor(Date.now() / 1000) })).replace(/=+$/, '')).join('.')";
    assert_eq!(page.login(&synapse.chat, forged).await, "401 bad_signature");
    assert_eq!(page.login(&synapse.chat, "undefined").await, "401 missing");
    let expired = format!("'{}'", synapse.expired());
    assert_eq!(page.login(&synapse.chat, &expired).await, "401 expired");
    assert_eq!(page.login(&synapse.backend, "token").await, "403 M_FORBIDDEN");
    assert_eq!(page.login(&synapse.chat, "token").await, format!("200 {ANA}"));
}

impl Synapse {
    /// A token of the website's whose time has passed.
    fn expired(&self) -> String {
        let claims = json!({
            "external_id": "user-123", "name": "Ana Torres", "iat": 1_700_000_000,
            "exp": 1_700_000_300,
        });
        let key = jsonwebtoken::EncodingKey::from_secret(&self.secret());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token")
    }

    /// An expression: what is in the visitor's rooms, read by a login of its own.
    fn messages(&self) -> String {
        let api = format!("{}/_matrix/client/v3", self.chat);
        format!(
            "(async () => {{ const {{ token }} = await (await fetch('chat-token')).json();
                const body = JSON.stringify({{ type: 'org.matrix.login.jwt', token }});
                const login = await (await fetch('{api}/login', {{ method: 'POST', body,
                    headers: {{ 'Content-Type': 'application/json' }} }})).json();
                const news = await (await fetch('{api}/sync', {{
                    headers: {{ Authorization: `Bearer ${{login.access_token}}` }} }})).json();
                return Object.values(news.rooms.join).flatMap((room) => room.timeline.events)
                    .filter((event) => event.type === 'm.room.message')
                    .map((event) => event.content); }})()"
        )
    }
}

impl Page {
    /// Status and word of what a server says to a login with what a script makes of `token`.
    async fn login(&self, server: &str, made: &str) -> String {
        let login = format!(
            "(async () => {{ const {{ token }} = await (await fetch('chat-token')).json();
                const body = JSON.stringify({{ type: 'org.matrix.login.jwt', token: {made} }});
                const answer = await fetch('{server}/_matrix/client/v3/login', {{ method: 'POST',
                    body, headers: {{ 'Content-Type': 'application/json' }} }});
                const said = await answer.json();
                return `${{answer.status}} ${{said.code ?? said.errcode ?? said.user_id}}`; }})()"
        );
        self.text(&login).await
    }
}
