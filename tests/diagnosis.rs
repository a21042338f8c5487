//! Every broken credential of `tests/vectors/diagnosis/`: the report must name its cause.
//!
//! A case is put into a configuration file as a user would write it; its first site is
//! asked. No report may show a secret, a token, or a hash that would be accepted.

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

use countersign::clock::UnixTime;
use countersign::config::{self, WrittenKeys};
use countersign::dialect::HashFunction;
use countersign::dialect::diagnosis::{Case, Party, Presented, Report, diagnose};
use countersign::plan::Plan;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Broken {
    name: String,
    now: u64,
    /// As in a configuration, without `upstream`; `support` is asked.
    sites: BTreeMap<String, Map<String, Value>>,
    /// The configuration's own.
    #[serde(default)]
    dialects: Map<String, Value>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    credential: Credential,
    expect: Expected,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Credential {
    Token(String),
    Hash { proof: Option<String>, id: Option<String>, email: Option<String>, name: Option<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    code: Option<String>,
    check: Option<String>,
    causes: Vec<String>,
}

impl Credential {
    fn presented(&self) -> Presented<'_> {
        match self {
            Self::Token(token) => Presented::proof(token),
            Self::Hash { proof, id, email, name } => Presented {
                proof: proof.as_deref().map(Into::into),
                id: id.as_deref().map(Into::into),
                email: email.as_deref().map(Into::into),
                name: name.as_deref().map(Into::into),
            },
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Token(token) => token,
            Self::Hash { proof, .. } => proof.as_deref().unwrap_or_default(),
        }
    }
}

#[test]
fn the_cause_of_every_broken_credential_is_named() {
    let mut failures = Vec::new();
    let mut causes = BTreeSet::new();
    let mut count = 0;
    for case in cases() {
        count += 1;
        causes.extend(case.expect.causes.iter().cloned());
        let (plan, written) = loaded(&case);
        let report = explained(&case, &plan, &written);
        let problem = differs(&report, &case.expect).or_else(|| shows(&report, &case, &plan));
        failures.extend(problem.map(|problem| format!("  {}: {problem}", case.name)));
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
    assert!(count >= 100 && causes.len() >= 60, "{count} cases, {} causes", causes.len());
}

#[test]
fn without_the_secrets_texts_nothing_worse_happens_than_a_missing_hint() {
    for case in cases() {
        let (plan, _) = loaded(&case);
        let report = explained(&case, &plan, &WrittenKeys::new());
        assert_eq!(report.code.map(|code| code.code()), case.expect.code.as_deref());
        let silent = report.hints.is_empty() && !report.verified;
        assert!(!silent, "{}: no hint at all", case.name);
    }
}

#[test]
fn two_credentials_that_differ_are_ambiguous_and_the_same_twice_is_one() {
    let case = cases().into_iter().find(|case| case.name == "nothing wrong").unwrap();
    let (plan, written) = loaded(&case);
    let good = case.credential.presented();
    let other = Presented::proof("e30.e30.e30");
    let ask = |presented: &[Presented<'_>]| {
        let parties = parties(&plan, &written);
        let now = UnixTime::from_secs(case.now);
        diagnose(&Case { site: parties[0], others: &[], presented, now })
    };
    assert!(ask(&[good.clone(), good.clone(), Presented::default()]).verified);
    for order in [[good.clone(), other.clone()], [other, good]] {
        let report = ask(&order);
        assert_eq!(report.code.unwrap().code(), "ambiguous");
        assert_eq!(report.failed().unwrap().name, "ambiguity");
    }
    assert_eq!(ask(&[]).code.unwrap().code(), "missing");
}

#[test]
fn a_damaged_credential_is_never_verified_and_never_without_a_hint() {
    for name in ["nothing wrong", "a hash in quotation marks"] {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        let (plan, written) = loaded(&case);
        let parties = parties(&plan, &written);
        let text = case.credential.text().trim_matches('\'').to_owned();
        let ask = |proof: &str| {
            let presented = Presented { proof: Some(proof.into()), ..case.credential.presented() };
            let now = UnixTime::from_secs(case.now);
            diagnose(&Case { site: parties[0], others: &[], presented: &[presented], now })
        };
        assert!(ask(&text).verified, "{name}");
        for at in 0..text.len() {
            let changed = if &text[at..=at] == "x" { "y" } else { "x" };
            let damaged =
                [text[..at].to_owned(), format!("{}{changed}{}", &text[..at], &text[at + 1..])];
            for damaged in damaged {
                let report = ask(&damaged);
                assert!(!report.verified && !report.hints.is_empty(), "{name} at {at}");
            }
        }
        for garbage in ["%", "%25%25%25%25%25", "\"\"", "....", "{}", "Bearer ", "=", "\0", "é.é.é"]
        {
            assert!(!ask(garbage).verified, "{garbage}");
            assert!(!ask(&garbage.repeat(2000)).verified, "{garbage}");
        }
    }
}

#[test]
fn in_json_a_report_has_the_shape_of_the_contract() {
    for case in cases() {
        let (plan, written) = loaded(&case);
        let report = explained(&case, &plan, &written);
        let json = serde_json::to_value(&report).unwrap();
        let members: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["verified", "code", "checks", "hints"]);
        assert_eq!(json["verified"], json!(report.verified));
        assert_eq!(json["code"].as_str(), case.expect.code.as_deref());
        assert!(json["hints"].as_array().unwrap().iter().all(Value::is_string), "{json}");
        // Held, then at most one that failed, then not judged.
        let word = |check: &Value| match check["ok"].as_bool() {
            Some(true) => 'y',
            Some(false) => 'n',
            None => '?',
        };
        let order: String = json["checks"].as_array().unwrap().iter().map(word).collect();
        let rest = order.trim_start_matches('y');
        let rest = rest.strip_prefix('n').unwrap_or(rest);
        assert!(rest.chars().all(|c| c == '?'), "{}: {order}", case.name);
        assert_eq!(report.verified, !order.contains(['n', '?']), "{}: {order}", case.name);
    }
}

fn differs(report: &Report, expect: &Expected) -> Option<String> {
    let code = report.code.map(|code| code.code());
    let check = report.failed().map(|check| check.name);
    let causes: Vec<_> = report.hints.iter().map(|hint| hint.cause).collect();
    let same = code == expect.code.as_deref()
        && check == expect.check.as_deref()
        && causes == expect.causes
        && report.verified == code.is_none();
    (!same).then(|| format!("{code:?} at {check:?}, {causes:?}: {:?}", report.hints))
}

/// What of the report nobody may see.
fn shows(report: &Report, case: &Broken, plan: &Plan) -> Option<String> {
    let text = serde_json::to_string(report).unwrap();
    let mut hidden: Vec<String> = case.credential.text().split('.').map(str::to_owned).collect();
    hidden.extend(secrets(case));
    if let Credential::Hash { id: Some(id), .. } = &case.credential {
        let keys = plan.sites.iter().flat_map(|site| site.keyring.keys());
        hidden.extend(keys.filter_map(|key| {
            let code = key.authentication(HashFunction::Sha256, id.as_bytes())?;
            Some(code.iter().map(|byte| format!("{byte:02x}")).collect())
        }));
    }
    let found =
        hidden.iter().find(|secret| secret.len() >= 12 && text.contains(secret.as_str()))?;
    Some(format!("shows {found}: {text}"))
}

fn secrets(case: &Broken) -> Vec<String> {
    let keys = case.sites.values().filter_map(|site| site["keys"].as_array()).flatten();
    keys.filter_map(|key| key["secret"]["value"].as_str().map(str::to_owned)).collect()
}

fn explained(case: &Broken, plan: &Plan, written: &WrittenKeys) -> Report {
    let parties = parties(plan, written);
    let asked = parties.iter().position(|party| party.name == "support").unwrap();
    let others: Vec<_> = parties
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != asked)
        .map(|(_, party)| *party)
        .collect();
    diagnose(&Case {
        site: parties[asked],
        others: &others,
        presented: &[case.credential.presented()],
        now: UnixTime::from_secs(case.now),
    })
}

fn parties<'p>(plan: &'p Plan, written: &'p WrittenKeys) -> Vec<Party<'p>> {
    let party = |site: &'p countersign::plan::Site| Party {
        name: &site.name,
        dialect: &site.dialect,
        keyring: &site.keyring,
        written: written.get(&*site.name).map(Vec::as_slice).unwrap_or_default(),
    };
    plan.sites.iter().map(party).collect()
}

fn loaded(case: &Broken) -> (Plan, WrittenKeys) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in &case.files {
        fs::write(folder.path().join(name), text).expect("a writable folder");
    }
    let site = |(name, site): (&String, &Map<String, Value>)| {
        let mut site = site.clone();
        site.insert("upstream".to_owned(), json!("http://127.0.0.1:9"));
        (name.clone(), Value::Object(site))
    };
    let config = json!({
        "version": 1,
        "listeners": [{ "address": "127.0.0.1:8080" }],
        "dialects": case.dialects,
        "sites": case.sites.iter().map(site).collect::<Map<_, _>>(),
    });
    let path = folder.path().join("countersign.yaml");
    fs::write(&path, serde_yaml::to_string(&config).expect("YAML")).expect("a writable folder");
    config::load_for_diagnosis(&path).unwrap_or_else(|problems| panic!("{}: {problems}", case.name))
}

fn cases() -> Vec<Broken> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/diagnosis");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let read = |path: &std::path::PathBuf| -> Vec<Broken> {
        let text = fs::read_to_string(path).expect("a readable file");
        serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    files.iter().flat_map(read).collect()
}
