//! What the doctor found, for people and for programs.

use serde::Serialize;

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Could not be told from here.
    Unknown,
    /// Worth knowing, and no harm yet.
    Warning,
    /// Something is wrong.
    Finding,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: `modes`, `keys`, `clock`, …
    pub name: &'static str,
    /// What came of it.
    pub state: State,
    /// What was seen, in a sentence.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    /// As it should be.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, State::Ok, detail)
    }

    /// Something is wrong.
    pub fn finding(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, State::Finding, detail)
    }

    /// Worth knowing.
    pub fn warning(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, State::Warning, detail)
    }

    /// It could not be told.
    pub fn unknown(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, State::Unknown, detail)
    }

    fn new(name: &'static str, state: State, detail: impl Into<String>) -> Self {
        Self { name, state, detail: printable(&detail.into()), hint: None }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(printable(&hint.into()));
        self
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The site.
    pub site: String,
    /// Where the gateway was asked.
    pub gateway: String,
    /// Whether it could be asked at all.
    pub reached: bool,
    /// Whether anything could be told of who is let through and who is not.
    pub told: bool,
    /// Whether nothing is wrong.
    pub sound: bool,
    /// In the order in which they were made.
    pub checks: Vec<Check>,
}

const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const YELLOW: &str = "\u{1b}[33m";
const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

impl Report {
    /// The report as text, with colours that the output stream may drop.
    pub fn for_people(&self) -> String {
        let mut out = format!("site {} at {}\n\n", self.site, self.gateway);
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for Check { name, state, detail, hint } in &self.checks {
            let (colour, mark) = match state {
                State::Ok => (GREEN, '✓'),
                State::Unknown => (DIM, '?'),
                State::Warning => (YELLOW, '!'),
                State::Finding => (RED, '✗'),
            };
            out.push_str(&format!("  {colour}{mark} {name:width$}{PLAIN}  {detail}\n"));
            if let Some(hint) = hint {
                out.push_str(&format!("    {:width$}  {BOLD}→{PLAIN} {hint}\n", ""));
            }
        }
        let count = |wanted| self.checks.iter().filter(|check| check.state == wanted).count();
        let (findings, warnings) = (count(State::Finding), count(State::Warning));
        let (findings, warnings) = (counted(findings, "finding"), counted(warnings, "warning"));
        out.push_str(&match (self.reached, self.sound, self.told) {
            (false, ..) => format!("\n{RED}the gateway cannot be reached{PLAIN}\n"),
            (true, false, _) => format!("\n{RED}{findings}{PLAIN}, {warnings}\n"),
            (true, true, false) => format!("\n{YELLOW}nothing can be told{PLAIN}, {warnings}\n"),
            (true, true, true) => format!("\n{GREEN}sound{PLAIN}, {warnings}\n"),
        });
        out
    }
}

/// Much of it was sent by whoever answers, and goes to somebody's terminal.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_answered_drives_the_terminal() {
        let answered = "\u{1b}]0;pwned\u{7}\u{9b}2J\r\nfoo";
        let check = Check::finding("signed", answered).hint("\u{1b}[2J");
        assert!(!check.detail.contains(char::is_control), "{check:?}");
        assert!(!check.hint.unwrap().contains(char::is_control));
    }
}
