//! The pages' files, built into the binary: no build step, nothing loaded from elsewhere.

use http::StatusCode;
use http::header::{self, HeaderValue};

use super::web::{Answer, answer, not_found};

macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("page/", $name)))),*]
    };
}

const FILES: &[(&str, &str)] = &files! {
    "index.html" "agent.html" "chat.html" "crm.html" "style.css"
    "main.js" "attacks.js" "systems.js" "exchange.js" "compare.js" "dom.js" "chat.js"
    "chat-page.js" "agents.js" "agent-page.js" "inspector.js" "editor.js" "widgets.js"
    "crm.js" "crm-page.js" "uchat.js" "zendesk.js" "ringcentral.js" "amazon.js"
};

/// What a page may load: its own files; it may talk to loopback, and show the chat's iframe.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self' http://*.localhost:* ws://*.localhost:* http://127.0.0.1:* ws://127.0.0.1:*; \
    frame-src 'self' http://*.localhost:*; base-uri 'none'; form-action 'none'";

/// A file of the pages, or 404.
pub fn file(name: &str) -> Answer {
    let Some((_, text)) = FILES.iter().find(|(known, _)| *known == name) else {
        return not_found();
    };
    let media_type = match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        _ => "text/javascript; charset=utf-8",
    };
    let mut answer = answer(StatusCode::OK, media_type, *text);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_loads_anything_from_elsewhere() {
        for (name, text) in FILES {
            for attribute in ["src=\"", "href=\"", "import(\"", "from \"", "url("] {
                for rest in text.split(attribute).skip(1) {
                    let local = !rest.starts_with("http") && !rest.starts_with("//");
                    assert!(local, "{name}: {attribute}{}", &rest[..rest.len().min(40)]);
                }
            }
        }
    }

    #[test]
    fn every_file_that_a_page_names_is_there() {
        for (name, text) in FILES {
            for rest in text.split("assets/").skip(1).chain(text.split("from \"./").skip(1)) {
                let named = rest.split(['"', '\'', '`', '/']).next().unwrap();
                let known = FILES.iter().any(|(known, _)| *known == named);
                assert!(known || named.contains('$'), "{name} names {named:?}");
            }
        }
    }
}
