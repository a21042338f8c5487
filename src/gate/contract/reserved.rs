//! Which header names are ours: every inbound one of them is removed, whoever sent it.
//!
//! Backends read `X_Y`, `X.Y` and `X-Y` as one variable (CGI), so names are compared folded:
//! in lower case, each run of characters other than letters and digits one `-`, none at the
//! ends. Nothing here allocates; where nothing is configured beside `Countersign-`, a name
//! costs a look at its first letters.

/// The letters of a folded name, one after another.
#[derive(Clone)]
struct Folded<'n> {
    rest: &'n [u8],
    begun: bool,
}

impl<'n> Folded<'n> {
    fn of(name: &'n str) -> Self {
        Self { rest: name.as_bytes(), begun: false }
    }
}

impl Iterator for Folded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let gap = self.rest.iter().position(u8::is_ascii_alphanumeric)?;
        self.rest = self.rest.get(gap..)?;
        if gap > 0 && self.begun {
            return Some(b'-');
        }
        self.begun = true;
        let (letter, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(letter.to_ascii_lowercase())
    }
}

/// A name as a careless reader sees it: `X_Remote.User` is `x-remote-user`.
pub fn folded(name: &str) -> String {
    Folded::of(name).map(char::from).collect()
}

/// Whether two header names are one to a careless reader. Most names differ at their first
/// letter, and then nothing more is looked at.
pub fn folds_alike(one: &str, other: &str) -> bool {
    Folded::of(one).eq(Folded::of(other))
}

/// Whether a folded name begins with this text, which is folded already but may end in `-`:
/// then something follows.
pub fn folds_into(name: &str, family: &str) -> bool {
    let mut letters = Folded::of(name);
    family.bytes().all(|letter| letters.next() == Some(letter))
}

/// Whether a header or trailer is ours alone: its folded name is `countersign` or begins
/// with `countersign-`.
pub fn is_reserved(name: &str) -> bool {
    const WORD: &[u8] = b"countersign";
    let bytes = name.as_bytes();
    let start = bytes.iter().position(u8::is_ascii_alphanumeric).unwrap_or(bytes.len());
    match bytes.get(start..).and_then(|rest| rest.split_at_checked(WORD.len())) {
        Some((word, rest)) => {
            word.eq_ignore_ascii_case(WORD) && !rest.first().is_some_and(u8::is_ascii_alphanumeric)
        }
        None => false,
    }
}

/// Whether a name is this word, or begins with it and a `-`: the word is folded already.
pub(super) fn is_under(word: &str, name: &str) -> bool {
    let mut letters = Folded::of(name);
    word.bytes().all(|letter| letters.next() == Some(letter))
        && matches!(letters.next(), None | Some(b'-'))
}

/// Every name that no client may send: `Countersign-…`, and what any site of a Plan tells
/// its backend by. One for all sites, since one backend may stand behind several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    /// First letters and digits of what follows, one bit each.
    initials: u64,
    /// Folded names, sorted.
    names: Box<[Box<str>]>,
    /// Folded words that names begin with.
    words: Box<[Box<str>]>,
}

impl Reserved {
    /// These names and all that begin with these words, in any spelling, beside our own.
    pub fn new<'a>(
        names: impl IntoIterator<Item = &'a str>,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let words = distinct(words);
        let names = distinct(names);
        let first = |name: &str| name.bytes().next().map_or(0, initial);
        let initials = names.iter().chain(&words).fold(0, |bits, name| bits | first(name));
        Self { initials, names, words }
    }

    /// Whether a name is among them.
    pub fn has(&self, name: &str) -> bool {
        is_reserved(name) || self.initials != 0 && self.is_configured(name)
    }

    /// Whether a name is among those that the configuration names.
    fn is_configured(&self, name: &str) -> bool {
        let letters = Folded::of(name);
        let first = letters.clone().next().map_or(0, initial);
        self.initials & first != 0
            && (self.names.binary_search_by(|own| own.bytes().cmp(letters.clone())).is_ok()
                || self.words.iter().any(|word| is_under(word, name)))
    }
}

/// The bit of a letter or digit.
fn initial(letter: u8) -> u64 {
    1 << (letter % 64)
}

fn distinct<'a>(names: impl IntoIterator<Item = &'a str>) -> Box<[Box<str>]> {
    let names = names.into_iter().map(folded).filter(|name| !name.is_empty());
    let mut names: Vec<Box<str>> = names.map(String::into_boxed_str).collect();
    names.sort();
    names.dedup();
    names.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_to_what_a_careless_reader_sees() {
        for (name, expected) in [
            ("countersign-id", "countersign-id"),
            ("Countersign-Id", "countersign-id"),
            ("countersign_id", "countersign-id"),
            ("COUNTERSIGN.ID", "countersign-id"),
            ("countersign--__..id", "countersign-id"),
            ("-_countersign-id_-", "countersign-id"),
            ("x!y#z", "x-y-z"),
            ("___", ""),
            ("", ""),
        ] {
            assert_eq!(folded(name), expected);
            assert!(folds_alike(name, expected), "{name}");
        }
        assert!(!folds_alike("x-user-id", "x-userid"));
    }

    #[test]
    fn reserved_names_are_reserved_in_every_spelling() {
        for name in [
            "countersign",
            "countersign-id",
            "Countersign-Id",
            "COUNTERSIGN-ID",
            "countersign_id",
            "Countersign_Id",
            "countersign.id",
            "countersign--id",
            "countersign-_-id",
            "_countersign-id",
            "-countersign-id",
            ".countersign.id.",
            "__countersign__id__",
            "countersign-",
            "countersign_",
            "countersign!id",
            "countersign~status",
            "countersign-anything-else",
            "'countersign'-id",
            "Countersign.-_.Assertion",
        ] {
            assert!(is_reserved(name), "{name}");
            assert!(is_under("countersign", name), "{name}");
        }
        for name in [
            "countersigned",
            "x-countersign-id",
            "counter-sign-id",
            "counter",
            "",
            "--",
            "countersignid",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn configured_names_are_reserved_in_every_spelling_and_others_are_not() {
        let reserved = Reserved::new(["Remote-User", "X-User", "SM_USER", "9Lives"], ["X-Chat-"]);
        for name in [
            "remote-user",
            "Remote_User",
            "REMOTE.USER",
            "_remote--user_",
            "x-user",
            "x__user",
            "sm-user",
            "9lives",
            "x-chat",
            "x_chat_",
            "x-chat-id",
            "X_Chat.Anything",
            "countersign-id",
        ] {
            assert!(reserved.has(name), "{name}");
            assert_eq!(Reserved::default().has(name), name == "countersign-id", "{name}");
        }
        for name in [
            "remote-users",
            "remote",
            "remoteuser",
            "x-user-id",
            "x",
            "x-chats",
            "x-chatid",
            "sm",
            "accept",
            "9live",
            "",
            "--",
        ] {
            assert!(!reserved.has(name), "{name}");
        }
    }
}
