//! The vendors: one line each, one file each in `config/dialects`.
//!
//! A file is written in the language of `dialects:` and can be pasted into a
//! configuration as it is. Only `config` reads it.

/// Name and text of every built-in dialect, in alphabetical order.
pub const BUILTIN: &[(&str, &str)] = &[
    ("amazon-connect", include_str!("../../config/dialects/amazon-connect.yaml")),
    ("jwt", include_str!("../../config/dialects/jwt.yaml")),
    ("ringcentral-engage", include_str!("../../config/dialects/ringcentral-engage.yaml")),
    ("user-hash", include_str!("../../config/dialects/user-hash.yaml")),
    ("zendesk-chat", include_str!("../../config/dialects/zendesk-chat.yaml")),
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
