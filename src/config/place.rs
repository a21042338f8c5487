//! Where things stand in the file: a [`Place`] is a path such as `sites.acme.keys[0].id`,
//! a [`Mark`] the line and column that a person looks for.

/// Line and column, both from 1, counted in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

/// A step down into the document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A mapping's member.
    Key(String),
    /// A list's entry.
    Index(usize),
}

/// A path from the document's root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place(pub Vec<Step>);

impl Place {
    /// The document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The member of that name.
    pub fn key(&self, name: &str) -> Self {
        self.step(Step::Key(name.to_owned()))
    }

    /// The entry at that index.
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// What it lies in.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        Some(Self(above.to_vec()))
    }

    /// Whether it is `other` or lies beneath it.
    pub fn is_within(&self, other: &Place) -> bool {
        self.0.starts_with(&other.0)
    }

    /// As a JSON pointer (RFC 6901): `/headers/X-Key`.
    pub fn pointer(&self) -> String {
        let step = |step: &Step| match step {
            Step::Key(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => format!("/{index}"),
        };
        self.0.iter().map(step).collect()
    }

    /// The name of the last member on the way, for messages.
    pub fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Key(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
    }
}
