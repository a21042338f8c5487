//! Where problems and warnings are gathered while a file is read and compiled.

use std::collections::HashSet;

use super::marks::Marks;
use super::place::{Mark, Place};
use super::problem::{MAX_PROBLEMS, Problem};

/// Gathers problems with their positions.
#[derive(Debug)]
pub struct Report<'a> {
    marks: &'a Marks,
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
        Self { marks, list, warnings: Vec::new(), removed: HashSet::new() }
    }

    /// The value at this place is wrong.
    pub fn value(&mut self, place: &Place, what: impl Into<String>) -> &mut Problem {
        let at = self.marks.value(place);
        self.push(Problem::new(what).at(at))
    }

    /// The key itself is wrong, or something is missing beneath it.
    pub fn key(&mut self, place: &Place, what: impl Into<String>) -> &mut Problem {
        let at = self.marks.key(place);
        self.push(Problem::new(what).at(at))
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
        self.marks.has(place)
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
