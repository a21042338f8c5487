//! The chat room: conversations, the visitors' WebSockets and the agents'.
//!
//! A verified visitor's conversation is found by the proven id, so every browser of theirs
//! is in the same one; a guest's belongs to one browser. Each change sends the whole
//! conversation to everybody concerned, which is plenty for a demo and cannot get out of
//! step.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Message;

use super::heard::Visitor;
use super::web::Socket;

/// Conversations kept; the one longest unused goes first.
const MOST_CONVERSATIONS: usize = 200;
/// Messages kept of each.
const MOST_MESSAGES: usize = 100;
/// Changes that a slow socket may lag behind before it gets the whole state again.
const MOST_CHANGES: usize = 256;

/// Site and conversation.
type Key = (String, String);

/// All conversations of all sites.
pub struct Room {
    conversations: Mutex<BTreeMap<Key, Conversation>>,
    changes: broadcast::Sender<Change>,
}

#[derive(Clone)]
struct Change {
    key: Key,
    told: Arc<Value>,
}

struct Conversation {
    visitor: Visitor,
    /// What an agent calls a guest; nobody can rename a verified visitor.
    nickname: Option<String>,
    browsers: usize,
    messages: Vec<Value>,
    /// Counts up over the room: the larger, the more recently used.
    used: u64,
}

impl Room {
    /// An empty room.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            conversations: Mutex::default(),
            changes: broadcast::Sender::new(MOST_CHANGES),
        })
    }

    /// Creates or matches the visitor's conversation, and tells it.
    pub fn arrive(&self, visitor: &Visitor) -> Value {
        self.change(&key(visitor), |conversation| conversation.meet(visitor), visitor)
    }

    /// What the website's server has said of somebody while the chat goes on; whoever is not
    /// here brings it along with the next request.
    pub fn learn(&self, site: &str, id: &str, details: &Value) {
        let key = (site.to_owned(), Visitor::proven(id));
        let visitor = self.conversations.lock().get(&key).map(|found| found.visitor.clone());
        if let Some(visitor) = visitor {
            self.change(&key, |known| known.visitor.details = details.clone(), &visitor);
        }
    }

    /// Talks with one browser of a visitor until it goes.
    pub async fn visit(self: Arc<Self>, visitor: Visitor, received: Value, mut socket: Socket) {
        let key = key(&visitor);
        let mut changes = self.changes.subscribe();
        let entered = self.change(
            &key,
            |conversation| {
                conversation.meet(&visitor);
                conversation.browsers += 1;
            },
            &visitor,
        );
        let welcome = json!({ "type": "welcome", "received": received, "conversation": entered });
        let mut open = say(&mut socket, &welcome).await;
        while open {
            tokio::select! {
                change = changes.recv() => {
                    let told = match change {
                        Ok(change) if change.key == key => change.told,
                        Ok(_) => continue,
                        Err(_) => Arc::new(self.arrive(&visitor)),
                    };
                    open = say(&mut socket, &conversation(&told)).await;
                }
                heard = hear(&mut socket) => match heard {
                    Some(frame) => {
                        if let Some(text) = frame.get("text").and_then(Value::as_str) {
                            self.message(&key, "visitor", text, &visitor);
                        }
                    }
                    None => open = false,
                },
            }
        }
        self.change(&key, |left| left.browsers = left.browsers.saturating_sub(1), &visitor);
    }

    /// Talks with one agent of a site until they go: all its conversations, then every
    /// change. An agent may answer, and give a guest a nickname.
    pub async fn attend(self: Arc<Self>, site: String, mut socket: Socket) {
        let mut changes = self.changes.subscribe();
        let mut open = say(&mut socket, &self.all(&site)).await;
        while open {
            tokio::select! {
                change = changes.recv() => {
                    let told = match change {
                        Ok(change) if change.key.0 == site => conversation(&change.told),
                        Ok(_) => continue,
                        Err(_) => self.all(&site),
                    };
                    open = say(&mut socket, &told).await;
                }
                heard = hear(&mut socket) => match heard {
                    Some(frame) => self.agent_says(&site, &frame),
                    None => open = false,
                },
            }
        }
    }

    fn agent_says(&self, site: &str, frame: &Value) {
        let text = |name: &str| frame.get(name).and_then(Value::as_str);
        let Some(key) = text("key").map(|key| (site.to_owned(), key.to_owned())) else { return };
        let visitor = self.conversations.lock().get(&key).map(|found| found.visitor.clone());
        let Some(visitor) = visitor else { return };
        if let Some(text) = text("text") {
            self.message(&key, "agent", text, &visitor);
        }
        // Read-only where the website has vouched for the name.
        if let Some(name) = text("nickname").filter(|_| !visitor.verified) {
            self.change(&key, |found| found.nickname = Some(name.to_owned()), &visitor);
        }
    }

    fn message(&self, key: &Key, from: &str, text: &str, visitor: &Visitor) {
        if text.trim().is_empty() {
            return;
        }
        let said = |conversation: &mut Conversation| {
            conversation.messages.push(json!({ "from": from, "text": text }));
            let over = conversation.messages.len().saturating_sub(MOST_MESSAGES);
            conversation.messages.drain(..over);
        };
        self.change(key, said, visitor);
    }

    /// Changes a conversation, which is created for `visitor` if there is none, tells
    /// everybody, and returns it.
    fn change(&self, key: &Key, edit: impl FnOnce(&mut Conversation), visitor: &Visitor) -> Value {
        let mut conversations = self.conversations.lock();
        let used = 1 + conversations.values().map(|known| known.used).max().unwrap_or(0);
        let conversation =
            conversations.entry(key.clone()).or_insert_with(|| Conversation::new(visitor));
        edit(conversation);
        conversation.used = used;
        let told = Arc::new(conversation.json(&key.1));
        if conversations.len() > MOST_CONVERSATIONS {
            let idle = conversations.iter().filter(|(_, known)| known.browsers == 0);
            let oldest = idle.min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone());
            oldest.and_then(|key| conversations.remove(&key));
        }
        // Sent under the lock, so that changes arrive in their order. Nobody may listen.
        let _ = self.changes.send(Change { key: key.clone(), told: told.clone() });
        Value::clone(&told)
    }

    fn all(&self, site: &str) -> Value {
        let conversations = self.conversations.lock();
        let of_site = conversations.iter().filter(|((of, _), _)| of == site);
        let told: Vec<_> = of_site.map(|((_, key), known)| known.json(key)).collect();
        json!({ "type": "all", "conversations": told })
    }
}

impl Conversation {
    fn new(visitor: &Visitor) -> Self {
        let visitor = visitor.clone();
        Self { visitor, nickname: None, browsers: 0, messages: Vec::new(), used: 0 }
    }

    /// Whoever comes from before the details came does not take them away.
    fn meet(&mut self, visitor: &Visitor) {
        let known = std::mem::replace(&mut self.visitor, visitor.clone());
        if self.visitor.details.as_object().is_none_or(Map::is_empty) {
            self.visitor.details = known.details;
        }
    }

    fn json(&self, key: &str) -> Value {
        json!({
            "key": key, "visitor": self.visitor.json(), "nickname": self.nickname,
            "browsers": self.browsers, "messages": self.messages, "used": self.used,
        })
    }
}

fn key(visitor: &Visitor) -> Key {
    (visitor.site.clone(), visitor.key())
}

fn conversation(told: &Value) -> Value {
    json!({ "type": "conversation", "conversation": told })
}

/// Sends a frame; false when nobody is there any more.
async fn say(socket: &mut Socket, value: &Value) -> bool {
    socket.send(Message::text(value.to_string())).await.is_ok()
}

/// The next frame of JSON (anything else is `null`); none when the other end has gone.
async fn hear(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => {
                return Some(serde_json::from_str(&text).unwrap_or_default());
            }
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn visitor(id: &str, browser: &str) -> Visitor {
        let request = Request::get(format!("/?browser={browser}")).header("Countersign-Site", "s");
        let request = match id {
            "" => request,
            id => request.header("Countersign-Status", "verified").header("Countersign-Id", id),
        };
        Visitor::of(&request.body(()).unwrap())
    }

    fn count(room: &Room) -> usize {
        room.all("s")["conversations"].as_array().unwrap().len()
    }

    #[test]
    fn a_second_browser_of_the_same_visitor_is_matched_and_a_second_guest_is_not() {
        let room = Room::new();
        assert_eq!(
            room.arrive(&visitor("u1", "a"))["key"],
            room.arrive(&visitor("u1", "b"))["key"]
        );
        assert_eq!(count(&room), 1);
        room.arrive(&visitor("", "a"));
        room.arrive(&visitor("", "b"));
        assert_eq!(count(&room), 3);
    }

    #[test]
    fn an_agent_can_rename_a_guest_and_nobody_else() {
        let room = Room::new();
        let guest = room.arrive(&visitor("", "a"))["key"].clone();
        let known = room.arrive(&visitor("u1", "a"))["key"].clone();
        for key in [&guest, &known] {
            room.agent_says("s", &json!({ "key": key, "nickname": "Shorty", "text": "hello" }));
        }
        let all = room.all("s");
        for told in all["conversations"].as_array().unwrap() {
            let renamed = told["key"] == guest;
            assert_eq!(told["nickname"] == "Shorty", renamed, "{told}");
            assert_eq!(told["messages"], json!([{ "from": "agent", "text": "hello" }]));
        }
    }

    #[test]
    fn details_are_shown_during_the_chat_to_the_agents_of_their_site() {
        let room = Room::new();
        room.arrive(&visitor("u1", "a"));
        let details = |room: &Room| room.all("s")["conversations"][0]["visitor"]["details"].clone();
        room.learn("t", "u1", &json!({ "Plan": "Gold" }));
        room.learn("s", "u2", &json!({ "Plan": "Gold" }));
        assert_eq!(details(&room), json!({}));
        assert_eq!(count(&room), 1);
        room.learn("s", "u1", &json!({ "Plan": "Gold" }));
        // Another browser's connection is older than they are.
        room.arrive(&visitor("u1", "b"));
        assert_eq!(details(&room), json!({ "Plan": "Gold" }));
    }

    #[test]
    fn an_agent_of_another_site_reaches_nobody() {
        let room = Room::new();
        let key = room.arrive(&visitor("u1", "a"))["key"].clone();
        room.agent_says("t", &json!({ "key": key, "text": "hello" }));
        assert_eq!(room.all("s")["conversations"][0]["messages"], json!([]));
        assert_eq!(room.all("t")["conversations"], json!([]));
    }

    #[test]
    fn a_flood_of_guests_pushes_the_longest_unused_out() {
        let room = Room::new();
        for number in 0..=MOST_CONVERSATIONS {
            room.arrive(&visitor("", &format!("b{number}")));
        }
        assert_eq!(count(&room), MOST_CONVERSATIONS);
        let all = room.all("s").to_string();
        assert!(!all.contains("\"browser b0\"") && all.contains("\"browser b1\""));
    }
}
