//! What is wrong with a configuration, printed the way a compiler prints it.
//!
//! Problems are gathered, never thrown: the reader gets all of them at once, in the order
//! of the file. A problem never shows the contents of a secret.

use std::fmt;
use std::path::PathBuf;

use super::place::Mark;

/// After so many nobody reads on.
pub const MAX_PROBLEMS: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; absent when the whole file is meant.
    pub at: Option<Mark>,
    /// What is wrong, in one line.
    pub what: String,
    /// What was expected there.
    pub expected: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of the file as a whole.
    pub fn new(what: impl Into<String>) -> Self {
        Self { at: None, what: what.into(), expected: None, hint: None }
    }

    /// The same problem, at a place.
    pub fn at(mut self, mark: Option<Mark>) -> Self {
        self.at = mark;
        self
    }

    /// Says what was expected.
    pub fn expected(&mut self, expected: impl Into<String>) -> &mut Self {
        self.expected = Some(expected.into());
        self
    }

    /// Says what to do about it.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that is wrong with one file; never empty when it is handed out as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The configuration file, as it was named.
    pub file: PathBuf,
    /// In the order of the file.
    pub list: Vec<Problem>,
    /// There are more, not listed.
    pub cut_short: bool,
}

impl Problems {
    /// The problems of a file, sorted by position, [`MAX_PROBLEMS`] of them at most.
    pub fn new(file: impl Into<PathBuf>, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.at);
        list.dedup();
        let cut_short = list.len() > MAX_PROBLEMS;
        list.truncate(MAX_PROBLEMS);
        Self { file: file.into(), list, cut_short }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.file.display())?;
            if let Some(mark) = problem.at {
                write!(f, ":{}:{}", mark.line, mark.column)?;
            }
            write!(f, ": {}", visible(&problem.what))?;
            if let Some(expected) = &problem.expected {
                write!(f, "\n  expected: {}", visible(expected))?;
            }
            if let Some(hint) = &problem.hint {
                write!(f, "\n  hint: {}", visible(hint))?;
            }
        }
        if self.cut_short {
            write!(f, "\n{}: there are more problems than these", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Text from the file goes to a terminal: control characters are shown, not obeyed. Line
/// ends are our own and indent what follows.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\n    "),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// The one of `known` that `word` was probably meant to be.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long words may differ more; beyond a third of the letters it is another word.
    let limit = (word.chars().count() / 3).clamp(1, 3);
    let close = |candidate: &&str| strsim::damerau_levenshtein(word, candidate);
    known.into_iter().filter(|known| close(known) <= limit).min_by_key(close)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_print_like_a_compiler_in_the_order_of_the_file() {
        let mut late = Problem::new("no such mode").at(Some(Mark { line: 9, column: 3 }));
        late.expected("require").hint("did you mean `require`?");
        let early = Problem::new("too\u{1b}[31mred").at(Some(Mark { line: 2, column: 1 }));
        let shown = Problems::new("a.yaml", vec![late, early]).to_string();
        assert_eq!(
            shown,
            "a.yaml:2:1: too\\u{1b}[31mred\n\
             a.yaml:9:3: no such mode\n  expected: require\n  hint: did you mean `require`?"
        );
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("lisetners", ["listeners", "limits"]), Some("listeners"));
        assert_eq!(nearest("zzz", ["listeners", "limits"]), None);
    }
}
