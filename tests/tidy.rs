//! The house rules that a machine can hold (ARCHITECTURE.md, CONTRIBUTING.md).
//!
//! Plain text is all that is looked at: nothing here links the crate, so this runs in a
//! moment. A rule that stands in the way is changed here and in ARCHITECTURE.md together,
//! with its reason; an exception stands in the rule's own list, with its reason.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that meets what it does not expect has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Files with more lines of code than a reader holds in mind, and why each is one file.
const LONG: &[(&str, &str)] = &[
    ("src/dialect/claims.rs", "one table of claim rules, each a few lines"),
    ("src/dialect/json.rs", "one strict reader of JSON objects, which is one state machine"),
    ("src/proxy/hooks.rs", "Pingora's phases in their order, which is what one reads it for"),
    ("src/proxy/tunnel.rs", "the life of one WebSocket from handshake to close"),
];
const LONGEST: usize = 300;

/// Modules that know each other, and why.
const PAIRS: &[(&str, &str, &str)] = &[
    ("dialect", "identity", "an identity's guest names the `Reason` that `dialect` defines"),
    ("gate", "plan", "a Plan's entries (hosts, routes, origins, modes) are `gate`'s own types"),
];

// --- Which module may use which. -----------------------------------------------------------

#[test]
fn a_module_uses_only_what_the_architecture_says() {
    let permitted = permitted_arrows();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(permitted) = permitted.get(&source.module) else {
            wrong.push(format!("{}: `{}` has no row in the table", source.path, source.module));
            continue;
        };
        for used in source.uses() {
            if !permitted.contains(&used) {
                wrong.push(format!("{} uses `{used}`", source.path));
            }
        }
    }
    expect_none(&wrong, "ARCHITECTURE.md's table \"may use\" does not permit this");
}

#[test]
fn the_architecture_permits_nothing_that_nobody_needs() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        used.entry(source.module.clone()).or_default().extend(source.uses());
    }
    assert_eq!(
        permitted_arrows(),
        used,
        "the table \"may use\" in ARCHITECTURE.md (left) must say what the code does (right)"
    );
}

#[test]
fn no_two_modules_lead_back_to_each_other_without_a_reason() {
    let mut arrows = permitted_arrows();
    for (one, other, _) in PAIRS {
        let both = arrows[*one].contains(*other) && arrows[*other].contains(*one);
        assert!(both, "`{one}` and `{other}` are no pair any more: take them out of PAIRS");
        arrows.get_mut(*one).unwrap().remove(*other);
        arrows.get_mut(*other).unwrap().remove(*one);
    }
    // What uses nothing goes first, then what uses only that; a circle stays over.
    loop {
        let done: Vec<_> =
            arrows.iter().filter(|(_, uses)| uses.is_empty()).map(|(m, _)| m.clone()).collect();
        if done.is_empty() {
            break;
        }
        arrows.retain(|module, _| !done.contains(module));
        arrows.values_mut().for_each(|uses| uses.retain(|used| !done.contains(used)));
    }
    assert!(arrows.is_empty(), "these modules lead back to each other: {arrows:?}");
}

// --- Who may know what. --------------------------------------------------------------------

#[test]
fn the_proof_and_the_decision_see_nothing_of_the_world() {
    let world = [
        "pingora",
        "tokio",
        "serde_yaml",
        "prometheus",
        "tracing",
        "SystemTime",
        "Instant",
        "fs",
        "env",
        "UnixTime::now",
    ];
    only(&world, &|_| false, &["dialect", "gate"], "time is an argument, and so is all else");
}

#[test]
fn judgement_and_refusals_know_no_server() {
    only(
        &["pingora"],
        &|_| false,
        &["judge", "live", "refusal", "plan"],
        "keep them usable without it",
    );
}

#[test]
fn only_config_reads_yaml() {
    let config = |path: &str| path.starts_with("src/config/");
    only(&["serde_yaml", "saphyr_parser"], &config, &[], "let `config` make a Plan of it");
}

#[test]
fn only_config_reads_the_environment() {
    let config = |path: &str| path.starts_with("src/config/");
    let names = ["env::var", "env::var_os", "env::vars", "env::vars_os"];
    only(&names, &config, &[], "take it as a setting or an argument");
}

#[test]
fn only_the_clock_looks_at_the_wall_clock() {
    let clock = |path: &str| path == "src/clock.rs";
    only(&["SystemTime::now"], &clock, &[], "take a `UnixTime` as an argument");
}

#[test]
fn an_identity_is_born_only_in_a_dialect() {
    let birthplace = |path: &str| path.starts_with("src/dialect/") || path == "src/identity.rs";
    only(&["attest"], &birthplace, &[], "only what a signature covers is an identity");
}

#[test]
fn an_identity_is_brought_back_only_by_the_store() {
    let keeper = |path: &str| path.starts_with("src/store/") || path == "src/identity.rs";
    only(&["Identity::remembered"], &keeper, &[], "only what was attested before is an identity");
}

#[test]
fn only_the_contract_names_the_headers_it_writes() {
    // `countersign-request-id` is on answers too.
    let contract = |path: &str| path.starts_with("src/gate/contract");
    let names = ["countersign-id", "countersign-status", "countersign-email", "countersign-name"];
    only(&names, &contract, &[], "let `gate::contract` compute the edits");
}

// --- Data and documents that must keep step. -----------------------------------------------

#[test]
fn every_dialect_has_a_file_a_line_and_a_folder_of_vectors() {
    let files: BTreeSet<String> = stems("config/dialects");
    let list = read("src/dialect/builtin.rs");
    let lines: BTreeSet<String> = list
        .lines()
        .filter(|line| line.contains("include_str!"))
        .map(|line| literal(line).to_owned())
        .collect();
    let mut folders: BTreeSet<String> = entries("tests/vectors", true);
    assert!(folders.remove("primitives"), "signatures of the RFCs are in tests/vectors/primitives");
    assert!(folders.remove("diagnosis"), "broken credentials are in tests/vectors/diagnosis");
    assert_eq!(files, lines, "config/dialects (left) and src/dialect/builtin.rs differ");
    assert_eq!(files, folders, "config/dialects (left) and tests/vectors differ");
    for folder in &folders {
        assert!(!stems(&format!("tests/vectors/{folder}")).is_empty(), "{folder}: no vectors");
    }
}

#[test]
fn every_reason_and_fault_is_explained_with_its_status() {
    let mut known = BTreeMap::new();
    for (file, list) in
        [("src/dialect/rejection.rs", "reasons! {"), ("src/gate/mod.rs", "faults! {")]
    {
        for line in block(&read(file), list) {
            let code = literal(&line).to_owned();
            let status = line.split('"').nth(2).unwrap().trim().to_owned();
            known.insert(code, status);
        }
    }
    assert!(known.len() > 30, "{known:?}");
    // `### `code`` and, as the next paragraph's first word, the status.
    let page = read("docs/rejections.md");
    let explained: BTreeMap<String, String> = headings(&page)
        .filter_map(|(heading, below)| Some((heading.strip_prefix('`')?, below)))
        .map(|(heading, below)| {
            let status = below.split([' ', '.']).next().unwrap_or_default();
            (heading.trim_end_matches('`').to_owned(), status.to_owned())
        })
        .collect();
    assert_eq!(known, explained, "the code (left) and docs/rejections.md differ");
}

#[test]
fn every_metric_is_described_with_its_type_and_labels() {
    let mut known = BTreeSet::new();
    for line in block(&read("src/telemetry/metrics.rs"), "metrics! {") {
        let kind = line.split_whitespace().nth(1).unwrap().trim_start_matches("Int").to_lowercase();
        let labels = line.split_once('[').unwrap().1.split_once(']').unwrap().0;
        let labels = labels.replace(['"', ' '], "");
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        known.insert(format!("`countersign_{}{labels}` {kind}", literal(&line)));
    }
    let page = read("docs/metrics.md");
    let described: BTreeSet<String> = headings(&page)
        .filter(|(heading, _)| heading.starts_with("`countersign_"))
        .map(|(heading, _)| heading.to_owned())
        .collect();
    assert_eq!(known, described, "src/telemetry/metrics.rs (left) and docs/metrics.md differ");
}

#[test]
fn every_metric_that_a_page_names_exists() {
    let mut known: BTreeSet<String> = block(&read("src/telemetry/metrics.rs"), "metrics! {")
        .iter()
        .map(|line| format!("countersign_{}", literal(line)))
        .collect();
    known.insert("countersign_jwt".to_owned()); // the cookie
    let mut wrong = Vec::new();
    for page in files(&["md"]) {
        for (at, _) in read(&page).match_indices("countersign_") {
            let text = &read(&page)[at..];
            let end = text.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(0);
            let name = text[..end].trim_end_matches("_bucket");
            if name != "countersign_" && !known.contains(name) {
                wrong.push(format!("{page}: {name}"));
            }
        }
    }
    expect_none(&wrong, "src/telemetry/metrics.rs has no metric of this name");
}

#[test]
fn every_test_that_a_page_cites_exists() {
    let mut wrong = Vec::new();
    let mut cited = 0;
    for page in files(&["md"]) {
        for code in read(&page).split('`').skip(1).step_by(2) {
            let Some((file, test)) = code.split_once(".rs::") else { continue };
            let text = fs::read_to_string(root(&format!("{file}.rs"))).unwrap_or_default();
            cited += 1;
            if !text.contains(&format!("fn {test}(")) {
                wrong.push(format!("{page}: {code}"));
            }
        }
    }
    assert!(cited > 20, "SECURITY.md says which test stops what");
    expect_none(&wrong, "no such test: cite the one that shows it, or write it");
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in files(&["md"]) {
        let text = read(&page);
        let folder = Path::new(&page).parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone().into() } else { folder.join(file) };
            let target = root(target.to_str().unwrap());
            let leads = match (target.exists(), anchor) {
                (exists, "") => exists,
                (false, _) => false,
                (true, anchor) => headings(&fs::read_to_string(&target).unwrap_or_default())
                    .any(|(heading, _)| slug(heading) == anchor),
            };
            if !leads {
                wrong.push(format!("{page}: {link}"));
            }
        }
    }
    expect_none(&wrong, "these links lead nowhere");
}

#[test]
fn every_command_that_the_readme_shows_exists() {
    let readme = read("README.md");
    assert!(readme.contains("```sh\n./test\n```"), "the README's test command is ./test");
    assert!(read(".ci/run").contains("exec ./test"), "CI runs the README's test command");
    let mut commands = stems_of("src/cli", "rs");
    commands.extend(entries("src/cli", true));
    let words: Vec<&str> = readme.split_whitespace().collect();
    let mut shown = BTreeSet::new();
    for pair in words.windows(2) {
        let start = pair[0].trim_start_matches(['`', '(', '"', '$']);
        let command = pair[1].trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if start == "countersign" && pair[1].starts_with(|c: char| c.is_ascii_lowercase()) {
            shown.insert(command);
        }
    }
    assert!(shown.len() >= 4, "{shown:?}");
    let missing: Vec<_> =
        shown.into_iter().filter(|c| !commands.contains(*c)).map(str::to_owned).collect();
    expect_none(&missing, "no file or folder in src/cli has the name of these commands");
}

// --- How files look. -----------------------------------------------------------------------

#[test]
fn a_file_has_one_idea_and_no_more_lines_than_that_takes() {
    let mut long = BTreeMap::new();
    for source in sources() {
        let lines = source.code.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > LONGEST {
            long.insert(source.path, lines);
        }
    }
    for (path, reason) in LONG {
        assert!(long.remove(*path).is_some(), "{path} is short enough now: take it out of LONG");
        assert!(reason.split(' ').count() > 3, "{path}: say why");
    }
    assert!(long.is_empty(), "split these, or list them in LONG with the reason: {long:?}");
}

#[test]
fn a_file_opens_with_what_it_is() {
    let mut wrong = Vec::new();
    for path in files(&["rs"]) {
        if !read(&path).starts_with("//! ") {
            wrong.push(path);
        }
    }
    expect_none(&wrong, "begin these with a `//!` paragraph: rules and caveats first");
}

#[test]
fn no_file_is_named_after_nothing() {
    let nothing = ["util", "utils", "helper", "helpers", "common", "misc", "x"];
    let mut wrong = Vec::new();
    for path in files(&["rs"]) {
        if path.split(['/', '.']).any(|part| nothing.contains(&part)) {
            wrong.push(path);
        }
    }
    expect_none(&wrong, "name these after their idea");
}

#[test]
fn the_name_of_a_test_is_a_sentence() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in files(&["rs"]) {
        let text = read(&path);
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            if !(line.starts_with("#[test]") || line.starts_with("#[tokio::test")) {
                continue;
            }
            let function = lines.find(|line| line.contains("fn ")).unwrap_or_default();
            let name = function.split("fn ").nth(1).unwrap_or_default();
            let name = name.split('(').next().unwrap_or_default();
            count += 1;
            if name.split('_').filter(|word| !word.is_empty()).count() < 3 {
                wrong.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(count > 100);
    expect_none(&wrong, "say what holds, in three words or more");
}

#[test]
fn nothing_is_left_for_later_in_a_comment() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
        concat!("WI", "P"),
    ];
    let phrases =
        [concat!("helper", " session"), concat!("/wo", "rk/"), concat!("language", " model")];
    let mut wrong = Vec::new();
    for path in files(&["rs", "md", "toml", "yaml", "json", "run", "test", "justfile"]) {
        let text = read(&path);
        for (number, line) in text.lines().enumerate() {
            let word = words.iter().find(|word| has_word(line, word));
            if let Some(found) =
                word.or_else(|| phrases.iter().find(|phrase| line.contains(**phrase)))
            {
                wrong.push(format!("{path}:{}: {found}", number + 1));
            }
        }
    }
    expect_none(&wrong, "do it, or say in the documents that it is not there");
}

// --- Reading the tree. ---------------------------------------------------------------------

/// A file of `src/` without its tests and whole-line comments.
struct Source {
    /// Relative to the repository.
    path: String,
    /// The first segment of its module path.
    module: String,
    /// How many segments its module path has.
    depth: usize,
    code: String,
}

impl Source {
    /// Modules of the crate that it names, itself apart.
    fn uses(&self) -> BTreeSet<String> {
        let to_the_root = "super::".repeat(self.depth);
        let mut used = BTreeSet::new();
        for path in ["crate::", to_the_root.as_str()] {
            for (at, _) in self.code.match_indices(path) {
                let before = self.code[..at].chars().next_back();
                let inside = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                if !before.is_some_and(inside) {
                    used.extend(first_segments(&self.code[at + path.len()..]));
                }
            }
        }
        used.remove(&self.module);
        used
    }
}

/// `a::b` → `a`; `{a::{b, c}, d}` → `a`, `d`.
fn first_segments(path: &str) -> Vec<String> {
    let identifier = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![identifier(path)] };
    let (mut depth, mut segments, mut start) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && !c.is_whitespace() => {
                segments.push(identifier(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    segments
}

/// Every file of `src/` but the crate's root, the binary and what only tests see.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut only_tests = BTreeSet::new();
    for path in files(&["rs"]) {
        let Some(inside) = path.strip_prefix("src/") else { continue };
        if matches!(inside, "lib.rs" | "main.rs") {
            continue;
        }
        let module = inside.trim_end_matches(".rs").trim_end_matches("/mod");
        let (code, tests) = without_tests(&read(&path));
        only_tests.extend(tests.iter().map(|name| format!("src/{module}/{name}")));
        let mut segments = module.split('/');
        let depth = segments.clone().count();
        let module = segments.next().unwrap().to_owned();
        sources.push(Source { path, module, depth, code });
    }
    // A file of that name, or all of a folder.
    let is_tests = |path: &str| {
        let tests = |name: &String| path.strip_prefix(name.as_str());
        only_tests.iter().filter_map(tests).any(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    sources.retain(|source| !is_tests(&source.path));
    assert!(sources.len() > 50);
    sources
}

/// Code without comment lines and without items under `#[cfg(test)]`, and the names of
/// the modules declared under it. Relies on rustfmt's layout.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let (mut code, mut modules) = (String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            if !line.trim_start().starts_with("//") {
                code.push_str(line);
                code.push('\n');
            }
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let is_item = |line: &&str| !line.trim_start().starts_with(['#', '/']);
        let item = lines.find(is_item).unwrap_or_default();
        if let Some(declared) = item.trim().strip_suffix(';') {
            if let Some((_, name)) = declared.rsplit_once("mod ") {
                modules.push(name.to_owned());
            }
        } else if !item.ends_with('}') {
            let end = format!("{indent}}}");
            lines.find(|line| line.starts_with(&end));
        }
    }
    (code, modules)
}

/// No file uses a word, unless it is `exempt`; only files of `modules`, all if there are none.
fn only(words: &[&str], exempt: &dyn Fn(&str) -> bool, modules: &[&str], advice: &str) {
    let mut wrong = Vec::new();
    let concerned =
        |source: &Source| modules.is_empty() || modules.contains(&source.module.as_str());
    for source in sources().into_iter().filter(concerned).filter(|s| !exempt(&s.path)) {
        for line in source.code.lines() {
            for word in words.iter().filter(|word| has_word(line, word)) {
                wrong.push(format!("{}: `{word}` in: {}", source.path, line.trim()));
            }
        }
    }
    expect_none(&wrong, advice);
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// The table of ARCHITECTURE.md: module → modules in its last column.
fn permitted_arrows() -> BTreeMap<String, BTreeSet<String>> {
    let words = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let page = read("ARCHITECTURE.md");
    let table = page.lines().skip_while(|line| !line.ends_with("| may use |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    let mut arrows = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let modules = words(cells[0]);
        assert_eq!(modules.len(), 1, "one module a row: {row}");
        arrows.insert(modules[0].clone(), words(cells[cells.len() - 1]).into_iter().collect());
    }
    assert!(arrows.len() > 10, "ARCHITECTURE.md has a table whose last column is \"may use\"");
    arrows
}

fn expect_none(wrong: &[String], advice: &str) {
    assert!(wrong.is_empty(), "{advice}:\n  {}", wrong.join("\n  "));
}

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names in a folder: of its folders, or of its files.
fn entries(folder: &str, folders: bool) -> BTreeSet<String> {
    let entries = fs::read_dir(root(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    entries
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().unwrap().is_dir() == folders)
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

fn stems(folder: &str) -> BTreeSet<String> {
    stems_of(folder, "yaml")
}

fn stems_of(folder: &str, ending: &str) -> BTreeSet<String> {
    let ending = format!(".{ending}");
    entries(folder, false).iter().filter_map(|n| n.strip_suffix(&ending)).map(Into::into).collect()
}

/// Every file with one of these endings (or exactly that name), relative to the repository.
fn files(endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for name in entries(&folder, true) {
            if !matches!(name.as_str(), "target" | "node_modules" | ".git")
                && !name.starts_with("try")
            {
                folders.push(format!("{folder}{name}/"));
            }
        }
        for name in entries(&folder, false) {
            let ending = name.rsplit_once('.').map_or(name.as_str(), |(_, ending)| ending);
            if endings.contains(&ending) {
                found.push(format!("{folder}{name}"));
            }
        }
    }
    found.sort();
    found
}

/// The lines between a macro's braces.
fn block(text: &str, start: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| *line != start).skip(1);
    let lines: Vec<_> = lines.take_while(|line| *line != "}").map(str::to_owned).collect();
    assert!(!lines.is_empty(), "no `{start}` here");
    lines
}

/// The first string literal of a line.
fn literal(line: &str) -> &str {
    line.split('"').nth(1).unwrap_or_else(|| panic!("a string in: {line}"))
}

/// Headings of a page, without `#`, and what stands below each.
fn headings(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut code = false;
    page.match_indices('\n')
        .map(|(at, _)| at + 1)
        .chain([0])
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter_map(move |at| {
            let rest = &page[at..];
            let line = rest.lines().next()?;
            code ^= line.starts_with("```");
            let heading = line.trim_start_matches('#');
            let is_heading = !code && heading.len() < line.len() && heading.starts_with(' ');
            is_heading.then(|| (heading.trim(), rest[line.len()..].trim_start()))
        })
}

/// A heading's anchor, as code hosts make it.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
