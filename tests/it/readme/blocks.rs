//! The fenced blocks of a Markdown page, and what its hidden comments say of them.
//!
//! A comment `<!-- test: … -->` before a block (only blank lines and other such comments
//! between) is one of
//!
//! - `not run: WHY`: shown, and neither run nor compared;
//! - `file NAME`: saved under that name, which the text before it says too;
//! - `keeps running` or `keeps running on PORT`: left in a terminal of its own until the next
//!   heading; up when what it shows was printed, or when the port accepts connections;
//! - `after: COMMANDS`: what makes the situation that the text describes;
//! - `exits with N`: the code of its last command, which otherwise must be 0.

/// One fenced block.
#[derive(Debug, Default)]
pub struct Block {
    /// Where it begins.
    pub line: usize,
    /// The word after the fence, or nothing.
    pub language: String,
    pub text: String,
    pub marks: Vec<Mark>,
    /// Counts headings: commands under one heading share folder and terminals.
    pub section: usize,
    /// The paragraph before it.
    pub before: String,
    /// Nothing but blank lines between the block before and this one.
    pub follows: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Mark {
    NotRun,
    File(String),
    KeepsRunning(Option<u16>),
    After(String),
    Exits(i32),
}

impl Block {
    pub fn is_marked_not_run(&self) -> bool {
        self.marks.contains(&Mark::NotRun)
    }

    /// The name to save it under.
    pub fn file(&self) -> Option<&str> {
        self.marks.iter().find_map(|mark| match mark {
            Mark::File(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether it is left running, and on which port.
    pub fn keeps_running(&self) -> Option<Option<u16>> {
        self.marks.iter().find_map(|mark| match mark {
            Mark::KeepsRunning(port) => Some(*port),
            _ => None,
        })
    }

    /// What has to be done before it.
    pub fn after(&self) -> Option<&str> {
        self.marks.iter().find_map(|mark| match mark {
            Mark::After(commands) => Some(commands.as_str()),
            _ => None,
        })
    }

    /// The code of its last command.
    pub fn exit(&self) -> i32 {
        let exit = |mark: &Mark| if let Mark::Exits(code) = mark { Some(*code) } else { None };
        self.marks.iter().find_map(exit).unwrap_or(0)
    }

    /// A configuration from its first key on.
    pub fn is_whole_configuration(&self) -> bool {
        let first = self.text.lines().find(|line| !line.trim_start().starts_with('#'));
        self.language == "yaml" && first.is_some_and(|line| line.starts_with("version:"))
    }
}

/// All blocks of a page.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut marks = Vec::new();
    let (mut section, mut follows) = (0, false);
    let mut before = String::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let bare = line.trim_start();
        if let Some(language) = bare.strip_prefix("```") {
            let indent = line.len() - bare.len();
            let mut text = String::new();
            for (_, line) in lines.by_ref().take_while(|(_, line)| line.trim() != "```") {
                text.push_str(line.get(indent..).unwrap_or(""));
                text.push('\n');
            }
            found.push(Block {
                line: number + 1,
                language: language.trim().to_owned(),
                text,
                marks: std::mem::take(&mut marks),
                section,
                before: std::mem::take(&mut before),
                follows,
            });
            follows = true;
        } else if let Some(comment) = bare.strip_prefix("<!-- test:") {
            let comment = comment.strip_suffix("-->").expect("a comment of one line");
            marks.push(mark(comment.trim()));
            follows = false;
        } else if !bare.is_empty() {
            section += usize::from(line.starts_with('#'));
            assert!(marks.is_empty(), "line {}: a mark without its block", number + 1);
            before.push_str(line);
            before.push('\n');
            follows = false;
        }
    }
    found
}

fn mark(comment: &str) -> Mark {
    if let Some(why) = comment.strip_prefix("not run:") {
        assert!(why.split_whitespace().count() > 1, "say why: {comment}");
        Mark::NotRun
    } else if let Some(name) = comment.strip_prefix("file ") {
        Mark::File(name.to_owned())
    } else if let Some(commands) = comment.strip_prefix("after: ") {
        Mark::After(commands.to_owned())
    } else if let Some(code) = comment.strip_prefix("exits with ") {
        Mark::Exits(code.parse().expect("an exit code"))
    } else if let Some(port) = comment.strip_prefix("keeps running on ") {
        Mark::KeepsRunning(Some(port.parse().expect("a port")))
    } else {
        assert_eq!(comment, "keeps running", "no such mark");
        Mark::KeepsRunning(None)
    }
}
