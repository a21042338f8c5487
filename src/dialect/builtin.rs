//! The vendors: one line each, one file each in `config/dialects`.
//!
//! A file is written in the language of `dialects:` and can be pasted into a
//! configuration as it is. Only `config` reads it.

/// Name and text of every built-in dialect, in alphabetical order.
pub const BUILTIN: &[(&str, &str)] = &[
    ("amazon-connect", include_str!("../../config/dialects/amazon-connect.yaml")),
    ("botpress", include_str!("../../config/dialects/botpress.yaml")),
    ("chatbase", include_str!("../../config/dialects/chatbase.yaml")),
    ("chatwoot", include_str!("../../config/dialects/chatwoot.yaml")),
    ("crisp", include_str!("../../config/dialects/crisp.yaml")),
    ("drift", include_str!("../../config/dialects/drift.yaml")),
    ("featurebase", include_str!("../../config/dialects/featurebase.yaml")),
    ("featurebase-jwt", include_str!("../../config/dialects/featurebase-jwt.yaml")),
    ("ferndesk", include_str!("../../config/dialects/ferndesk.yaml")),
    ("freshchat", include_str!("../../config/dialects/freshchat.yaml")),
    ("front", include_str!("../../config/dialects/front.yaml")),
    ("help-scout", include_str!("../../config/dialects/help-scout.yaml")),
    ("intercom", include_str!("../../config/dialects/intercom.yaml")),
    ("intercom-jwt", include_str!("../../config/dialects/intercom-jwt.yaml")),
    ("jwt", include_str!("../../config/dialects/jwt.yaml")),
    ("kustomer", include_str!("../../config/dialects/kustomer.yaml")),
    ("matrix-jwt", include_str!("../../config/dialects/matrix-jwt.yaml")),
    ("novu", include_str!("../../config/dialects/novu.yaml")),
    ("plain", include_str!("../../config/dialects/plain.yaml")),
    ("pylon", include_str!("../../config/dialects/pylon.yaml")),
    ("ringcentral-engage", include_str!("../../config/dialects/ringcentral-engage.yaml")),
    ("salesforce-miaw", include_str!("../../config/dialects/salesforce-miaw.yaml")),
    ("stream", include_str!("../../config/dialects/stream.yaml")),
    ("tawk-login", include_str!("../../config/dialects/tawk-login.yaml")),
    ("tawk-visitor", include_str!("../../config/dialects/tawk-visitor.yaml")),
    ("thena", include_str!("../../config/dialects/thena.yaml")),
    ("tiledesk", include_str!("../../config/dialects/tiledesk.yaml")),
    ("user-hash", include_str!("../../config/dialects/user-hash.yaml")),
    ("zendesk-chat", include_str!("../../config/dialects/zendesk-chat.yaml")),
    ("zendesk-messaging", include_str!("../../config/dialects/zendesk-messaging.yaml")),
];

/// The text of the built-in dialect of that name.
pub fn builtin(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_alphabetical_order() {
        assert!(BUILTIN.is_sorted_by_key(|(name, _)| *name));
        assert!(builtin("jwt").is_some());
        assert!(builtin("livesupporti").is_none());
    }
}
