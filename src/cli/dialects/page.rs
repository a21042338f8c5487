//! A page about one dialect, and the two ways to print it: for a terminal, and in Markdown.

use std::fmt::Write as _;

/// A page: a title, and sections in order.
#[derive(Debug)]
pub struct Page {
    /// What the configuration calls it.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What stands before the first section.
    pub opening: Vec<Block>,
    /// Headings and what stands below them.
    pub sections: Vec<(&'static str, Vec<Block>)>,
}

/// A part of a page. Text may hold `code` in backticks.
#[derive(Debug)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// Something to be copied.
    Code(&'static str, String),
    /// Points.
    List(Vec<String>),
    /// Two columns, with their headings.
    Table([&'static str; 2], Vec<[String; 2]>),
}

impl Page {
    /// For a terminal, 80 columns wide where words allow it.
    pub fn text(&self) -> String {
        let mut out = format!("{} ({})\n", self.title, self.name);
        self.opening.iter().for_each(|block| block.text(&mut out));
        for (heading, blocks) in &self.sections {
            let _ = write!(out, "\n{}\n", heading.to_uppercase());
            blocks.iter().for_each(|block| block.text(&mut out));
        }
        out
    }

    /// In Markdown, as a section of a larger page.
    pub fn markdown(&self) -> String {
        let mut out = format!("## `{}`\n\n**{}.**\n", self.name, self.title);
        self.opening.iter().for_each(|block| block.markdown(&mut out));
        for (heading, blocks) in &self.sections {
            let _ = write!(out, "\n**{heading}**\n");
            blocks.iter().for_each(|block| block.markdown(&mut out));
        }
        out
    }
}

impl Block {
    fn text(&self, out: &mut String) {
        match self {
            Self::Text(text) => {
                out.push('\n');
                wrap(out, text, "", 0);
            }
            Self::Code(_, code) => {
                out.push('\n');
                code.lines().for_each(|line| {
                    let _ = writeln!(out, "  {line}");
                });
            }
            Self::List(points) => {
                out.push('\n');
                points.iter().for_each(|point| wrap(out, point, "- ", 2));
            }
            Self::Table(_, rows) => {
                out.push('\n');
                let width = rows.iter().map(|[left, _]| left.len()).max().unwrap_or(0).min(28);
                for [left, right] in rows {
                    wrap(out, right, &format!("  {left:width$}  "), width + 4);
                }
            }
        }
    }

    fn markdown(&self, out: &mut String) {
        out.push('\n');
        match self {
            Self::Text(text) => wrap(out, text, "", 0),
            Self::Code(language, code) => {
                let _ = writeln!(out, "```{language}\n{}\n```", code.trim_end());
            }
            Self::List(points) => points.iter().for_each(|point| wrap(out, point, "- ", 2)),
            Self::Table([left, right], rows) => {
                let _ = writeln!(out, "| {left} | {right} |\n|---|---|");
                for [left, right] in rows {
                    let [left, right] = [left, right].map(|cell| cell.replace('|', "\\|"));
                    let _ = writeln!(out, "| {left} | {right} |");
                }
            }
        }
    }
}

/// Writes text in lines of at most 90 columns; all but the first begin with `indent` spaces.
fn wrap(out: &mut String, text: &str, start: &str, indent: usize) {
    const WIDTH: usize = 90;
    let mut column = start.len();
    out.push_str(start);
    for (index, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            let _ = write!(out, "\n{:indent$}", "");
            column = indent;
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let table = Block::Table(["what", "rule"], vec![["A".into(), "`{id|email}`".into()]]);
        Page {
            name: "one".into(),
            title: "The first".into(),
            opening: vec![Block::Text("Words ".repeat(20).trim().to_owned())],
            sections: vec![
                ("Rules", vec![table, Block::List(vec!["a point".into()])]),
                ("A site", vec![Block::Code("yaml", "a: b\n".into())]),
            ],
        }
    }

    #[test]
    fn markdown_escapes_what_would_end_a_cell() {
        let shown = page().markdown();
        assert!(shown.starts_with("## `one`\n\n**The first.**\n\nWords"), "{shown}");
        assert!(shown.contains("| what | rule |\n|---|---|\n| A | `{id\\|email}` |\n"), "{shown}");
        assert!(shown.ends_with("**A site**\n\n```yaml\na: b\n```\n"), "{shown}");
    }

    #[test]
    fn a_terminal_gets_short_lines_and_no_markup() {
        let shown = page().text();
        assert!(shown.lines().all(|line| line.chars().count() <= 90), "{shown}");
        assert!(shown.contains("\nRULES\n\n  A  `{id|email}`\n\n- a point\n"), "{shown}");
        assert!(shown.ends_with("A SITE\n\n  a: b\n"), "{shown}");
    }
}
