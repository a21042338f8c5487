//! `countersign explain`: what it prints, for people and for programs, and how it exits.
//! That the right cause is named is shown by `tests/diagnosis.rs`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::cli::{code, countersign, good_config, stderr, stdout, written};
use crate::support::cases::DIALECTS;

/// UChat's documented key and its hash for the id 12345.
const KEY: &str = "b02612a8bdf5e736c41ce2002181d124";
const HASH: &str = "5039ecb10eaff468ea0297d57c00438d6a37696ab71c423c023317e425fa27da";
/// The same, with the key hex-decoded first.
const HEX_DECODED: &str = "32700462acfe1abfd7ef2b9fe6b010b6713df5874b670ca0aaa207f7ad9a6d2f";

fn uchat() -> (tempfile::TempDir, String) {
    written(&format!(
        "version: 1\nlisteners: [ {{ address: \"127.0.0.1:8080\" }} ]\nsites:\n  support:\n    \
         upstream: http://127.0.0.1:3000\n    dialect: user-hash\n    \
         keys: [ {{ id: k1, secret: {{ value: {KEY} }} }} ]\n"
    ))
}

fn with_input(arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("somebody reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// Compares with a file of `tests/golden`, or writes it with `UPDATE_GOLDEN=1`.
fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a new folder");
        std::fs::write(&file, text).expect("a writable folder");
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, wanted, "{name}: if this is meant, UPDATE_GOLDEN=1");
}

#[test]
fn what_sign_prints_is_verified_in_every_dialect() {
    let (_folder, path) = written(&good_config());
    for dialect in &DIALECTS {
        let site = ["--config", &path, "--site", dialect.name];
        let signed = countersign(&[&["sign", "--id", "u-1001"], &site[..]].concat());
        let proof = stdout(&signed);
        let proof = proof.trim_end();
        let asked = [&["explain", "--json", "--id", "u-1001", proof], &site[..]].concat();
        let output = countersign(&asked);
        assert_eq!(code(&output), 0, "{}: {}", dialect.name, stdout(&output));
        let report: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert_eq!((&report["verified"], &report["code"]), (&true.into(), &Value::Null));
        assert!(stderr(&output).is_empty(), "{}", stderr(&output));
        let checks = report["checks"].as_array().expect("checks");
        assert!(checks.len() >= 8 && checks.iter().all(|check| check["ok"] == true), "{report}");
        // Anything else is refused, and says where.
        let output = countersign(&[&["explain", "--json", "nonsense"], &site[..]].concat());
        assert_eq!(code(&output), 1);
        let report: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert_eq!((&report["verified"], &report["code"]), (&false.into(), &"malformed".into()));
        assert!(!report["hints"].as_array().expect("hints").is_empty(), "{report}");
    }
}

#[test]
fn for_people_it_prints_every_check_and_the_likely_fix() {
    let (_folder, path) = uchat();
    let base = ["explain", "--config", &path, "--now", "1700000000", "--id", "12345"];
    let verified = countersign(&[&base[..], &[HASH]].concat());
    assert_eq!(code(&verified), 0);
    golden("explain-verified.txt", &stdout(&verified));
    let refused = countersign(&[&base[..], &["--site", "support", HEX_DECODED]].concat());
    assert_eq!(code(&refused), 1);
    golden("explain-refused.txt", &stdout(&refused));
    let json = countersign(&[&base[..], &["--json", HEX_DECODED]].concat());
    golden("explain-refused.json", &stdout(&json));
    for output in [verified, refused, json] {
        let said = stdout(&output);
        assert!(![KEY, HASH, HEX_DECODED].iter().any(|text| said.contains(text)), "{said}");
        assert!(stderr(&output).is_empty());
    }
}

#[test]
fn a_site_of_several_dialects_is_signed_for_and_explained_in_each() {
    let secret = "a-secret-of-the-tests-that-is-long-enough";
    let (_folder, path) = written(&format!(
        "version: 1\nlisteners: [ {{ address: \"127.0.0.1:8080\" }} ]\nsites:\n  moving:\n    \
         upstream: http://127.0.0.1:3000\n    dialect: user-hash\n    \
         keys: [ {{ id: old, secret: {{ value: {KEY} }} }} ]\n    \
         accepts: [ {{ dialect: jwt, keys: [ {{ id: new, secret: {{ value: {secret} }} }} ] }} ]\n"
    ));
    let run = |arguments: &[&str]| countersign(&[arguments, &["--config", &path]].concat());
    let sign = |arguments: &[&str]| {
        let output = run(&[&["sign", "--id", "12345"], arguments].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output).trim_end().to_owned()
    };
    assert_eq!(sign(&[]), HASH);
    assert_eq!(sign(&["--dialect", "user-hash"]), HASH);
    let token = sign(&["--dialect", "jwt"]);
    let mut forged = token.clone();
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    for (credential, dialect, reason) in [
        (HASH, "user-hash", None),
        (&token, "jwt", None),
        (&forged, "jwt", Some("bad_signature")),
        (HEX_DECODED, "user-hash", Some("bad_signature")),
        ("nonsense", "user-hash", Some("malformed")),
    ] {
        let output = run(&["explain", "--json", "--id", "12345", credential]);
        let report: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        let told = (report["dialect"].as_str(), report["code"].as_str());
        assert_eq!(told, (Some(dialect), reason), "{report}");
        assert_eq!(code(&output), i32::from(reason.is_some()));
    }
    let said = stdout(&run(&["explain", &token]));
    assert!(said.starts_with("site moving (jwt)"), "{said}");
    let chosen = run(&["explain", "--json", "--dialect", "user-hash", &token]);
    let report: Value = serde_json::from_str(&stdout(&chosen)).expect("JSON");
    assert_eq!((&report["dialect"], &report["verified"]), (&"user-hash".into(), &false.into()));
    for command in ["sign", "explain"] {
        let output = run(&[command, "--id", "1", "--dialect", "crisp"]);
        assert_eq!(code(&output), 2);
        let said = stderr(&output);
        assert!(said.contains("its dialects are: user-hash, jwt"), "{said}");
    }
}

#[test]
fn the_time_of_judgement_can_be_given() {
    let (_folder, path) = written(&good_config());
    let site = ["--config", &path, "--site", "zendesk-chat"];
    let signed = countersign(&[&["sign", "--id", "u-1001", "--ttl", "60s"], &site[..]].concat());
    let token = stdout(&signed);
    let now = crate::support::sign::now();
    for (offset, expected) in [(0, None), (1000, Some("expired")), (-1000, Some("not_yet_valid"))] {
        let now = now.checked_add_signed(offset).expect("a moment").to_string();
        let asked = [&["explain", "--json", "--now", &now, token.trim_end()], &site[..]].concat();
        let output = countersign(&asked);
        let report: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert_eq!(report["code"].as_str(), expected, "{report}");
        assert_eq!(code(&output), i32::from(expected.is_some()));
    }
}

#[test]
fn a_credential_comes_from_standard_input_without_the_shells_newline() {
    let (_folder, path) = uchat();
    let base = ["explain", "--config", &path, "--id", "12345", "-"];
    for (input, expected) in [
        (HASH.to_owned(), 0),
        (format!("{HASH}\n"), 0),
        (format!("{HASH}\r\n"), 0),
        (format!("{HASH}\n\n"), 1),
        (String::new(), 1),
        ("\0\u{1b}[31m\u{202e}".to_owned(), 1),
    ] {
        let output = with_input(&base, &input, &[]);
        assert_eq!(code(&output), expected, "{input:?}: {}", stdout(&output));
        assert!(!stdout(&output).contains(['\u{1b}', '\u{202e}', '\0']), "{}", stdout(&output));
    }
}

#[test]
fn the_configurations_own_limit_counts_as_in_the_gateway() {
    let (_folder, path) =
        written(&good_config().replace("sites:", "limits: { credential: 64 }\nsites:"));
    let site = ["--config", &path, "--site", "jwt"];
    let signed = countersign(&[&["sign", "--id", "u-1001"], &site[..]].concat());
    let output = countersign(&[&["explain", stdout(&signed).trim_end()], &site[..]].concat());
    assert!(stdout(&output).contains("refused: too_large"), "{}", stdout(&output));
}

#[test]
fn colours_are_for_those_who_see_them() {
    let (_folder, path) = uchat();
    let base = ["explain", "--config", &path, "--id", "12345", HASH];
    let coloured = |environment: &[(&str, &str)]| {
        stdout(&with_input(&base, "", environment)).contains('\u{1b}')
    };
    assert!(!coloured(&[]), "a pipe is no terminal");
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn where_it_cannot_tell_it_exits_with_2() {
    let (folder, path) = written(&good_config());
    let gone = folder.path().join("no-such-file.yaml").display().to_string();
    let (_other, broken) = written("version: 1\n");
    for arguments in [
        &["--config", &gone, "x"][..],
        &["--config", &broken, "x"],
        &["--config", &path, "x"],
        &["--config", &path, "--site", "nobody", "x"],
        &["--config", &path, "--site", "jwt", "--now", "-1", "x"],
    ] {
        let output = countersign(&[&["explain"], arguments].concat());
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(stdout(&output).is_empty() && !stderr(&output).is_empty(), "{arguments:?}");
    }
    let many = countersign(&["explain", "--config", &path, "x"]);
    assert!(stderr(&many).contains("zendesk-chat"), "it names the sites: {}", stderr(&many));
}
