//! Where problems and warnings are gathered while a file is read and compiled.

use std::collections::HashSet;

use super::marks::Marks;
use super::place::{Mark, Place};
use super::problem::{MAX_PROBLEMS, Problem};

/// Gathers problems with their positions.
#[derive(Debug)]
pub struct Report<'a> {
    /// None: what is read is no file, and places are named instead.
    marks: Option<&'a Marks>,
    list: Vec<Problem>,
    /// Sentences for `check` and the start-up log.
    pub warnings: Vec<String>,
    /// Places whose contents were wrong and have been taken out: nothing that follows
    /// from their absence is a problem of its own.
    removed: HashSet<Place>,
}

impl<'a> Report<'a> {
    /// Nothing yet, apart from what the parse for positions found.
    pub fn new(marks: &'a Marks, list: Vec<Problem>) -> Self {
        Self { marks: Some(marks), list, warnings: Vec::new(), removed: HashSet::new() }
    }

    /// Of what has no lines: a problem names its place by a JSON pointer (RFC 6901).
    pub fn without_lines() -> Self {
        Self { marks: None, list: Vec::new(), warnings: Vec::new(), removed: HashSet::new() }
    }

    /// Whether what is read is no file.
    pub fn has_no_lines(&self) -> bool {
        self.marks.is_none()
    }

    /// The value at this place is wrong.
    pub fn value(&mut self, place: &Place, what: impl Into<String>) -> &mut Problem {
        match self.marks {
            Some(marks) => self.push(Problem::new(what).at(marks.value(place))),
            None => self.named(place, &what.into()),
        }
    }

    /// The key itself is wrong, or something is missing beneath it.
    pub fn key(&mut self, place: &Place, what: impl Into<String>) -> &mut Problem {
        match self.marks {
            Some(marks) => self.push(Problem::new(what).at(marks.key(place))),
            None => self.named(place, &what.into()),
        }
    }

    fn named(&mut self, place: &Place, what: &str) -> &mut Problem {
        let pointer = place.pointer();
        let problem = match pointer.is_empty() {
            true => Problem::new(what),
            false => Problem::new(format!("{pointer}: {what}")),
        };
        self.list.push_mut(problem)
    }

    fn push(&mut self, problem: Problem) -> &mut Problem {
        // An empty file has no places: its problems are where it begins.
        let at = problem.at.or(Some(Mark { line: 1, column: 1 }));
        self.list.push_mut(problem.at(at))
    }

    /// Remembers that this place was taken out.
    pub fn removed(&mut self, place: Place) {
        self.removed.insert(place);
    }

    /// Whether this place was taken out, alone or with all around it.
    pub fn was_removed(&self, place: &Place) -> bool {
        self.removed.iter().any(|removed| place.is_within(removed))
    }

    /// Whether anything at or beneath this place was taken out.
    pub fn lost_something_in(&self, place: &Place) -> bool {
        self.removed.iter().any(|removed| removed.is_within(place) || place.is_within(removed))
    }

    /// Whether the file has something at this place, even if nothing stands behind it.
    pub fn has_key(&self, place: &Place) -> bool {
        self.marks.is_some_and(|marks| marks.has(place))
    }

    /// How many problems there are so far.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Whether there are too many to go on.
    pub fn is_full(&self) -> bool {
        self.list.len() > MAX_PROBLEMS
    }

    /// The problems.
    pub fn into_problems(self) -> Vec<Problem> {
        self.list
    }
}
