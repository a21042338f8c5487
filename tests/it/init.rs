//! `countersign init`: what it writes works as it is, and nothing of anybody's is lost.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::cli::{code, countersign, stderr, stdout};

const UPSTREAM: [&str; 2] = ["--upstream", "http://127.0.0.1:3000"];

fn init(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let config = folder.join("countersign.yaml").display().to_string();
    countersign(&[&["init", "--config", &config], arguments].concat())
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut files: Vec<_> = entries.map(|e| name(e).to_string_lossy().into_owned()).collect();
    files.sort();
    files
}

#[test]
fn what_it_writes_passes_check_and_signs_and_verifies() {
    for dialect in ["user-hash", "zendesk-chat", "ringcentral-engage", "amazon-connect", "jwt"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let audience: &[&str] = match dialect {
            "amazon-connect" => &["--audience", "widget \"1\": #x"],
            "jwt" => &["--audience", "chat"],
            _ => &[],
        };
        let output =
            init(folder.path(), &[&["--dialect", dialect], &UPSTREAM[..], audience].concat());
        assert_eq!(code(&output), 0, "{dialect}: {}", stderr(&output));
        assert_eq!(files(folder.path()), ["countersign.yaml", "support.secret"]);
        let secret = folder.path().join("support.secret");
        let mode = std::fs::metadata(&secret).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{dialect}");
        let secret = std::fs::read_to_string(secret).expect("text");
        let wanted = if dialect == "ringcentral-engage" { 24 } else { 64 };
        assert_eq!(secret.trim_end().len(), wanted, "{dialect}");
        // RingCentral's key ids hold no `-`.
        let written =
            std::fs::read_to_string(folder.path().join("countersign.yaml")).expect("text");
        let dash = if dialect == "ringcentral-engage" { '_' } else { '-' };
        let id = written.split_once("{ id: \"").expect("a key").1;
        assert_eq!(id.chars().nth(4), Some(dash), "{dialect}: {id}");
        let said = stdout(&output) + &stderr(&output);
        assert!(!said.contains(secret.trim_end()), "{dialect}: {said}");

        let config = folder.path().join("countersign.yaml").display().to_string();
        let check = countersign(&["check", "--config", &config]);
        assert_eq!(code(&check), 0, "{dialect}: {}", stdout(&check));
        assert!(!stdout(&check).contains("warning"), "{dialect}: {}", stdout(&check));
        let signed = countersign(&["sign", "--config", &config, "--id", "user-123"]);
        assert_eq!((code(&signed), stderr(&signed).as_str()), (0, ""), "{dialect}");
        let proof = stdout(&signed);
        let explain = ["explain", "--config", &config, "--id", "user-123", proof.trim_end()];
        let explained = countersign(&explain);
        assert_eq!(code(&explained), 0, "{dialect}: {}", stdout(&explained));
        assert!(stdout(&explained).contains("user-123"), "{}", stdout(&explained));
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let good = [&["--dialect", "jwt"], &UPSTREAM[..]].concat();
    for taken in ["countersign.yaml", "support.secret"] {
        let file = folder.path().join(taken);
        std::fs::write(&file, "mine").expect("a writable folder");
        let output = init(folder.path(), &good);
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains(taken) && stdout(&output).is_empty());
        assert_eq!(files(folder.path()), [taken]);
        assert_eq!(std::fs::read_to_string(&file).expect("text"), "mine");
        std::fs::remove_file(file).expect("it is there");
    }
    for wrong in [
        &["--dialect", "nobody", UPSTREAM[0], UPSTREAM[1]][..],
        &["--dialect", "livesupporti", UPSTREAM[0], UPSTREAM[1]],
        &["--dialect", "jwt", "--upstream", "ftp://127.0.0.1"],
        &["--dialect", "jwt", "--upstream", "http://127.0.0.1:3000", "--audience", ""],
        &["--dialect", "amazon-connect", UPSTREAM[0], UPSTREAM[1]],
        &["--dialect", "user-hash", UPSTREAM[0], UPSTREAM[1], "--audience", "x"],
        &["--dialect", "jwt"],
    ] {
        let output = init(folder.path(), wrong);
        assert_eq!(code(&output), 2, "{wrong:?}: {}", stdout(&output));
        assert!(!stderr(&output).is_empty(), "{wrong:?}");
        assert!(files(folder.path()).is_empty(), "{wrong:?}");
    }
    assert_eq!(code(&init(&folder.path().join("absent"), &good)), 2);
}

#[test]
fn the_way_to_a_public_key_that_it_prints_leads_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = init(folder.path(), &[&["--dialect", "jwt"], &UPSTREAM[..]].concat());
    let said = stdout(&output);
    let line = |start: &str| {
        let line = said.lines().find_map(|line| line.trim().split_once(start));
        line.unwrap_or_else(|| panic!("no {start}: {said}")).1.to_owned()
    };
    let keygen = line("countersign keygen ");
    let keygen = countersign(&[&["keygen"], &keygen.split(' ').collect::<Vec<_>>()[..]].concat());
    assert_eq!(code(&keygen), 0, "{}", stderr(&keygen));
    let config = folder.path().join("countersign.yaml");
    let text = std::fs::read_to_string(&config).expect("text");
    let keys = line("countersign.yaml: keys: ");
    let (before, after) = text.split_once("    keys:\n").expect("keys");
    let (_, after) = after.split_once('\n').expect("one key");
    std::fs::write(&config, format!("{before}    keys: {keys}\n{after}")).expect("writable");
    let config = config.display().to_string();
    let check = countersign(&["check", "--config", &config]);
    assert_eq!(code(&check), 0, "{}", stdout(&check));
    assert!(stdout(&check).contains("RS256"), "{}", stdout(&check));
    let private = folder.path().join("website.key").display().to_string();
    let signed =
        countersign(&["sign", "--config", &config, "--id", "u", "--private-key", &private]);
    let explained = countersign(&["explain", "--config", &config, stdout(&signed).trim_end()]);
    assert_eq!(code(&explained), 0, "{}{}", stderr(&signed), stdout(&explained));
}
