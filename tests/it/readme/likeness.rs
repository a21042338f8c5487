//! Whether a terminal shows what a page says: the same, but for what varies.

use std::sync::LazyLock;

use regex::Regex;

/// What is different each time, and what is compared instead.
static VARIES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        // Taken are those that are free.
        (r"\b(127\.0\.0\.1):\d+", "$1:PORT"),
        (r"\S*/countersign-demo-\w+", "FOLDER"),
        (r"\b[0-9a-f]{32}\b", "REQUEST"),
        (r"\b\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
        (r"\beyJ[\w-]+\.[\w-]+\.[\w-]+", "TOKEN"),
        // Keys are named after the month that they were made in.
        (r"\b20\d\d-\d\d\b", "MONTH"),
        // Columns shift with the length of all these.
        (r" {2,}", "  "),
        (r" +\n", "\n"),
    ]
    .map(|(pattern, instead)| (Regex::new(pattern).expect("a pattern"), instead))
    .into()
});

/// Whether this is what was shown. A shown line `…` stands for any lines.
pub fn alike(shown: &str, real: &str) -> bool {
    let (shown, real) = (plain(shown), plain(real));
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    matches(&lines(&shown), &lines(&real))
}

/// Without what varies.
pub fn plain(text: &str) -> String {
    let plain = |text: String, (pattern, instead): &(Regex, &str)| {
        pattern.replace_all(&text, *instead).into_owned()
    };
    VARIES.iter().fold(format!("{text}\n"), plain).trim().to_owned()
}

fn matches(shown: &[String], real: &[String]) -> bool {
    match (shown.split_first(), real.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((elided, after)), _) if elided.trim() == "…" => {
            (0..=real.len()).any(|skipped| matches(after, &real[skipped..]))
        }
        (Some((wanted, shown)), Some((got, real))) => wanted == got && matches(shown, real),
        (Some(_), None) => false,
    }
}

#[test]
fn what_varies_is_alike_and_nothing_else_is() {
    assert!(!alike("at 127.0.0.1:8080  now\n", "\nat 127.0.0.1:41275 now\n"));
    assert!(alike("a 127.0.0.1:8080   b", "a 127.0.0.1:41275  b\n\n"));
    assert!(alike("one\n…\nfour", "one\ntwo\nthree\nfour"));
    assert!(alike("…\nfour\n…", "one\nfour"));
    assert!(!alike("one\n…\nfour", "one\ntwo\nfive"));
    assert!(!alike("one", "one\ntwo"));
    assert!(!alike("one\ntwo", "one"));
    assert!(alike("key 2026-11 until", "key 2031-02 until"));
    assert!(!alike("refused: expired", "refused: invalid_claim"));
}
