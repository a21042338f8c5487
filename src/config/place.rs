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

    /// As a JSON pointer (RFC 6901): `/headers/X-Key`. It ends where a member of a secret
    /// would stand that no secret has: somebody's secret may have been written there.
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        let mut in_secret = false;
        for step in &self.0 {
            match step {
                Step::Key(name) => {
                    let known = ["value", "file", "env", "encoding"].contains(&name.as_str());
                    if in_secret && !known {
                        break;
                    }
                    in_secret |= matches!(name.as_str(), "secret" | "secrets");
                    let name = name.replace('~', "~0").replace('/', "~1");
                    pointer.extend(["/", &name]);
                }
                Step::Index(index) => pointer.push_str(&format!("/{index}")),
            }
        }
        pointer
    }

    /// The name of the last member on the way, for messages.
    pub fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Key(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_what_a_pointer_is_made_of_and_ends_before_a_secret() {
        let root = Place::root();
        assert_eq!(root.pointer(), "");
        assert_eq!(root.key("headers").key("A/b~c").pointer(), "/headers/A~1b~0c");
        let secret = root.key("secrets").index(1);
        assert_eq!(secret.key("file").pointer(), "/secrets/1/file");
        assert_eq!(secret.key("hunter2").pointer(), "/secrets/1");
    }
}
