//! From a [`Place`] to its [`Mark`]: the parse for positions.
//!
//! It is also the guard before the parse for meaning: it refuses documents that nest too
//! deeply, whose aliases expand to too much, or that use what a configuration has no use
//! for (several documents, tags, keys that are not text).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::place::{Mark, Place, Step};
use super::problem::{MAX_PROBLEMS, Problem};

/// Nested deeper than this, a document is no configuration.
const MAX_DEPTH: usize = 48;
/// More values than this, aliases expanded, are no configuration either.
const MAX_VALUES: usize = 1_000_000;

/// Every value's position.
#[derive(Debug, Default)]
pub struct Marks {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    at: Mark,
    /// Values beneath and itself, aliases expanded.
    size: usize,
    kind: Kind,
    open: bool,
}

#[derive(Debug)]
enum Kind {
    Scalar { written: bool },
    List(Vec<usize>),
    Map { members: HashMap<String, Member>, key: Option<(String, Mark)> },
}

#[derive(Debug)]
struct Member {
    key_at: Mark,
    value: usize,
}

impl Marks {
    /// Walks the text once.
    ///
    /// # Errors
    /// What makes further reading pointless: broken syntax, or a document beyond the limits.
    /// What can be reported beside other problems (duplicate keys, empty list entries) goes
    /// to `problems`.
    pub fn of(text: &str, problems: &mut Vec<Problem>) -> Result<Self, Problem> {
        Walk::default().run(text, problems)
    }

    /// Where the value at a place begins; for a place that is not in the file, the nearest
    /// one above it that is.
    pub fn value(&self, place: &Place) -> Option<Mark> {
        self.find(place).map(|found| found.value)
    }

    /// Where the key of a place is written; a list's entry has none and begins with itself.
    pub fn key(&self, place: &Place) -> Option<Mark> {
        self.find(place).map(|found| found.key)
    }

    /// Whether the file has something at this very place.
    pub fn has(&self, place: &Place) -> bool {
        self.find(place).is_some_and(|found| found.depth == place.0.len())
    }

    fn find(&self, place: &Place) -> Option<Found> {
        let mut node = self.nodes.first()?;
        let mut found = Found { key: node.at, value: node.at, depth: 0 };
        for step in &place.0 {
            let (key_at, child) = match (step, &node.kind) {
                (Step::Key(name), Kind::Map { members, .. }) => {
                    let Some(member) = members.get(name) else { break };
                    (Some(member.key_at), member.value)
                }
                (Step::Index(index), Kind::List(entries)) => match entries.get(*index) {
                    Some(entry) => (None, *entry),
                    None => break,
                },
                _ => break,
            };
            let Some(child) = self.nodes.get(child) else { break };
            node = child;
            let key = key_at.unwrap_or(node.at);
            // A value that is not there (`upstream:`) begins wherever the parser noticed.
            let written = !matches!(node.kind, Kind::Scalar { written: false });
            let value = if written { node.at } else { key };
            found = Found { key, value, depth: found.depth + 1 };
        }
        Some(found)
    }
}

struct Found {
    key: Mark,
    value: Mark,
    /// How many of the place's steps the file has.
    depth: usize,
}

#[derive(Default)]
struct Walk {
    marks: Marks,
    /// Containers that are still open, innermost last.
    open: Vec<usize>,
    anchors: HashMap<usize, usize>,
    documents: usize,
}

impl Walk {
    fn run(mut self, text: &str, problems: &mut Vec<Problem>) -> Result<Marks, Problem> {
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                let at = Mark { line: error.marker().line(), column: error.marker().col() + 1 };
                let at = tab(text, at).filter(|_| error.info().contains("tab")).unwrap_or(at);
                syntax(error.info(), at)
            })?;
            self.event(event, span, problems)?;
        }
        Ok(self.marks)
    }

    fn event(
        &mut self,
        event: Event<'_>,
        span: Span,
        problems: &mut Vec<Problem>,
    ) -> Result<(), Problem> {
        let at = Mark { line: span.start.line(), column: span.start.col() + 1 };
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let mut problem = Problem::new("a second document begins").at(Some(at));
                    problem.expected("one YAML document").hint("remove the `---` line");
                    return Err(problem);
                }
            }
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).copied();
                let closed = target
                    .filter(|target| self.marks.nodes.get(*target).is_some_and(|node| !node.open));
                match closed {
                    Some(target) => self.place(target, None, at, problems)?,
                    None => {
                        return Err(Problem::new("an alias inside of what it repeats").at(Some(at)));
                    }
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                no_tag(tag.as_deref(), at)?;
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let empty = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                if empty && self.in_list() {
                    let mut problem = Problem::new("an empty list entry").at(Some(at));
                    problem.hint("remove it, or write its value");
                    note(problems, problem);
                }
                let written = span.start.index() < span.end.index();
                let node = self.node(Kind::Scalar { written }, at, false, anchor);
                self.place(node, Some(&text), at, problems)?;
            }
            Event::SequenceStart(anchor, tag) => {
                no_tag(tag.as_deref(), at)?;
                self.start(Kind::List(Vec::new()), at, anchor, problems)?;
            }
            Event::MappingStart(anchor, tag) => {
                no_tag(tag.as_deref(), at)?;
                let kind = Kind::Map { members: HashMap::new(), key: None };
                self.start(kind, at, anchor, problems)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(at)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn in_list(&self) -> bool {
        let innermost = self.open.last().and_then(|index| self.marks.nodes.get(*index));
        innermost.is_some_and(|node| matches!(node.kind, Kind::List(_)))
    }

    fn node(&mut self, kind: Kind, at: Mark, open: bool, anchor: usize) -> usize {
        let index = self.marks.nodes.len();
        self.marks.nodes.push(Node { at, size: 1, kind, open });
        if anchor > 0 {
            self.anchors.insert(anchor, index);
        }
        index
    }

    fn start(
        &mut self,
        kind: Kind,
        at: Mark,
        anchor: usize,
        problems: &mut Vec<Problem>,
    ) -> Result<(), Problem> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Problem::new("nested too deeply to be a configuration").at(Some(at)));
        }
        let node = self.node(kind, at, true, anchor);
        self.place(node, None, at, problems)?;
        self.open.push(node);
        Ok(())
    }

    fn end(&mut self, at: Mark) -> Result<(), Problem> {
        let Some(index) = self.open.pop() else { return Ok(()) };
        let Some(node) = self.marks.nodes.get(index) else { return Ok(()) };
        let children: Vec<usize> = match &node.kind {
            Kind::Scalar { .. } => Vec::new(),
            Kind::List(entries) => entries.clone(),
            Kind::Map { members, .. } => members.values().map(|member| member.value).collect(),
        };
        let sizes = children.iter().filter_map(|child| self.marks.nodes.get(*child));
        let size = sizes.fold(1usize, |sum, child| sum.saturating_add(child.size));
        if size > MAX_VALUES {
            return Err(Problem::new("more values than a configuration can have").at(Some(at)));
        }
        if let Some(node) = self.marks.nodes.get_mut(index) {
            node.size = size;
            node.open = false;
        }
        Ok(())
    }

    /// Puts a node where the parent expects the next one: as a key, a value or an entry.
    fn place(
        &mut self,
        node: usize,
        text: Option<&str>,
        at: Mark,
        problems: &mut Vec<Problem>,
    ) -> Result<(), Problem> {
        if self.marks.nodes.len() > MAX_VALUES {
            return Err(Problem::new("more values than a configuration can have").at(Some(at)));
        }
        let Some(parent) = self.open.last().and_then(|open| self.marks.nodes.get_mut(*open)) else {
            return Ok(()); // the root
        };
        match &mut parent.kind {
            Kind::Scalar { .. } => {}
            Kind::List(entries) => entries.push(node),
            Kind::Map { members, key } => {
                match (key.take(), text) {
                    (Some((key, key_at)), _) => match members.entry(key) {
                        Entry::Occupied(first) => {
                            let what = format!("`{}` stands here twice", first.key());
                            let mut problem = Problem::new(what).at(Some(key_at));
                            problem.hint("keep one of them");
                            note(problems, problem);
                        }
                        Entry::Vacant(free) => {
                            free.insert(Member { key_at, value: node });
                        }
                    },
                    (None, Some(text)) => *key = Some((text.to_owned(), at)),
                    (None, None) => {
                        let mut problem = Problem::new("this key is not plain text").at(Some(at));
                        problem.hint("write `key: value`; a value with `{`, `[` or `*` in front needs quotes");
                        return Err(problem);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Nobody reads on after so many.
fn note(problems: &mut Vec<Problem>, problem: Problem) {
    if problems.len() <= MAX_PROBLEMS {
        problems.push(problem);
    }
}

fn no_tag(tag: Option<&saphyr_parser::Tag>, at: Mark) -> Result<(), Problem> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => {
            let mut problem = Problem::new("tags (`!…`) have no meaning here").at(Some(at));
            problem.hint("a value that begins with `!` needs quotes");
            Err(problem)
        }
        _ => Ok(()),
    }
}

/// The tab that indents a line at or after a place: the parser notices it, but points to
/// where the value before it began.
fn tab(text: &str, from: Mark) -> Option<Mark> {
    let behind = text.lines().enumerate().skip(from.line.saturating_sub(1));
    behind.into_iter().find_map(|(index, line)| {
        let indent = line.chars().take_while(|c| c.is_whitespace());
        let column = indent.enumerate().find(|(_, c)| *c == '\t')?.0 + 1;
        Some(Mark { line: index + 1, column })
    })
}

/// A problem of YAML itself.
pub fn syntax(message: &str, at: Mark) -> Problem {
    let mut problem = Problem::new(format!("not valid YAML: {message}")).at(Some(at));
    if message.contains("tab") || message.contains("cannot start any token") {
        problem.hint("YAML is indented with spaces, never tabs; text with `@`, `` ` `` or `%` in front needs quotes");
    } else if message.contains("anchor") || message.contains("alias") {
        problem.hint("a value that begins with `*` or `&` needs quotes, as in \"*.example.com\"");
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(text: &str) -> Marks {
        Marks::of(text, &mut Vec::new()).unwrap()
    }

    #[test]
    fn keys_values_and_entries_are_found() {
        let marks = marks("a: 1\nsites:\n  acme:\n    keys:\n      - { id: x }\n    upstream:\n");
        let acme = Place::root().key("sites").key("acme");
        assert_eq!(marks.key(&acme), Some(Mark { line: 3, column: 3 }));
        let id = acme.key("keys").index(0).key("id");
        assert_eq!(marks.value(&id), Some(Mark { line: 5, column: 15 }));
        assert_eq!(marks.key(&id), Some(Mark { line: 5, column: 11 }));
        let upstream = acme.key("upstream");
        assert_eq!(marks.value(&upstream), Some(Mark { line: 6, column: 5 }));
        assert_eq!(marks.key(&acme.key("nowhere").key("deep")), marks.key(&acme));
    }

    #[test]
    fn a_duplicate_key_is_reported_where_it_stands_again() {
        let mut problems = Vec::new();
        Marks::of("a: 1\nb: 2\na: 3\n", &mut problems).unwrap();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].at, Some(Mark { line: 3, column: 1 }));
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..20 {
            let below = format!("*a{}", level - 1);
            let entries = vec![below; 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{entries}]\n"));
        }
        let problem = Marks::of(&text, &mut Vec::new()).unwrap_err();
        assert!(problem.what.contains("more values"), "{problem:?}");
    }

    #[test]
    fn a_document_that_nests_too_deeply_is_refused() {
        for text in ["[".repeat(100_000), "a: {".repeat(10_000), "- ".repeat(10_000)] {
            assert!(Marks::of(&text, &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn an_alias_of_itself_is_refused() {
        assert!(Marks::of("a: &a [*a]\n", &mut Vec::new()).is_err());
    }
}
