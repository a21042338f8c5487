//! The commands: what they print and how they exit.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::Setup;
use crate::support::ports;
use crate::support::raw::Request;

pub fn countersign(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).output();
    let output = output.expect("the binary starts");
    let text = format!("{}{}", stdout(&output), stderr(&output));
    assert!(!text.contains("panicked"), "{arguments:?}: {text}");
    output
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal")
}

/// A configuration in a folder of its own.
pub fn written(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("countersign.yaml");
    std::fs::write(&path, text).expect("a writable folder");
    let path = path.display().to_string();
    (folder, path)
}

pub fn good_config() -> String {
    let sites: String = crate::support::cases::DIALECTS
        .iter()
        .map(|dialect| {
            let name = dialect.name;
            dialect.site(name, &format!("{name}.test"), "http://127.0.0.1:9", "require")
        })
        .collect();
    format!("version: 1\nlisteners: [ {{ address: \"127.0.0.1:8080\" }} ]\nsites:\n{sites}")
}

#[test]
fn check_sums_a_good_configuration_up_and_warns() {
    let (_folder, path) = written(&good_config());
    let output = countersign(&["check", "--config", &path]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let said = format!("{}{}", stdout(&output), stderr(&output));
    for name in ["user-hash", "zendesk-chat", "ringcentral-engage", "amazon-connect", "jwt"] {
        assert!(said.contains(name), "{said}");
    }
    let lax = good_config().replace("mode: require", "mode: accept");
    let (_folder, path) = written(&lax);
    let output = countersign(&["check", "--config", &path]);
    assert_eq!(code(&output), 0);
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert!(said.contains("warning") && said.contains("accept"), "{said}");
    assert!(!said.contains(dialect("jwt").secret), "{said}");
}

#[test]
fn check_says_what_is_remembered_and_where_and_no_password() {
    let store = "store: { redis: { url: { value: \"redis://:hunter2@127.0.0.1\" } } }\n";
    let session = "session: { request: [ { header: X-Auth-Token } ], cookie: true, ttl: 1h }";
    let text = good_config().replacen("mode: require", &format!("mode: require\n    {session}"), 1);
    let (_folder, path) = written(&text.replacen("sites:", &format!("{store}sites:"), 1));
    let said = stdout(&countersign(&["check", "--config", &path]));
    assert!(said.contains("store      redis\n"), "{said}");
    assert!(said.contains("session    x-auth-token, __Host-countersign for 3600 s\n"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn check_prints_every_problem_at_its_place() {
    let broken = good_config()
        .replace("dialect: jwt", "dialect: jwtt")
        .replace("hosts: [\"zendesk-chat.test\"]", "hostss: [\"zendesk-chat.test\"]")
        .replace(dialect("user-hash").secret, "changeme");
    let (_folder, path) = written(&broken);
    let output = countersign(&["check", "--config", &path]);
    assert_eq!(code(&output), 1);
    let said = format!("{}{}", stdout(&output), stderr(&output));
    for wrong in ["jwtt", "hostss", "changeme"] {
        let found = |line: &str| line.contains(wrong);
        let line = 1 + broken.lines().position(found).expect("it is there");
        assert!(said.contains(&format!("countersign.yaml:{line}:")), "{wrong}: {said}");
    }
    assert!(said.contains("jwtt") && said.contains("hostss"), "{said}");
    assert!(!said.contains("changeme"), "a secret is not shown: {said}");
}

#[test]
fn check_answers_to_anything_with_a_code_and_never_a_panic() {
    let (_folder, missing) = written("");
    let gone = missing.replace("countersign.yaml", "no-such-file.yaml");
    let output = countersign(&["check", "--config", &gone]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("no-such-file.yaml")
            || stdout(&output).contains("no-such-file.yaml")
    );
    let bodies = [
        "",
        "\0",
        "[]",
        "1",
        "version: 2",
        "version: 1",
        "sites: {}",
        "{",
        "- a\n- b",
        "&a *a",
        "version: 1\nsites:\n  a: *x\n",
        "a: &a [*a]",
        "\u{feff}version: 1",
        "version: 1\nversion: 1",
        "version: 1\nsites: { chat: { dialect: livesupporti, upstream: \"http://a:1\" } }",
        "!!binary x",
        "? [a]\n: b",
        "version: 1\nsites: { \"a b\": {} }",
        "%YAML 9.9\n---\nversion: 1",
    ];
    for body in bodies {
        let (_folder, path) = written(body);
        let output = countersign(&["check", "--config", &path]);
        assert_eq!(code(&output), 1, "{body:?}: {}", stdout(&output));
    }
    let deep = format!("version: 1\nsites: {}{}", "[".repeat(20_000), "]".repeat(20_000));
    let (_folder, path) = written(&deep);
    assert_eq!(code(&countersign(&["check", "--config", &path])), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sign_prints_is_accepted_by_the_gateway() {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let sites: String = crate::support::cases::DIALECTS
        .iter()
        .map(|dialect| {
            dialect.site(dialect.name, &format!("{}.test", dialect.name), &upstream, "require")
        })
        .collect();
    let gateway = Setup::new(sites).start().await;
    let config = gateway.path("countersign.yaml").display().to_string();
    for dialect in &crate::support::cases::DIALECTS {
        let arguments = [
            "sign",
            "--config",
            &config,
            "--site",
            dialect.name,
            "--id",
            "u-1001",
            "--name",
            "Jürgen",
        ];
        let output = countersign(&arguments);
        assert_eq!(code(&output), 0, "{}: {}", dialect.name, stderr(&output));
        let printed = stdout(&output);
        let proof = printed.trim_end();
        assert!(!proof.is_empty() && !proof.contains(char::is_whitespace), "{printed}");
        let request = dialect.request("/c", "u-1001", proof);
        let answer = gateway.send(&request.host(&format!("{}.test", dialect.name))).await;
        let echoed = answer.echoed();
        assert_eq!(echoed.header("countersign-id"), Some("u-1001"), "{}", dialect.name);
        if dialect.name != "user-hash" {
            assert_eq!(echoed.header("countersign-name"), Some("J%C3%BCrgen"));
        }
        let url = format!("http://{}/c", gateway.address);
        let output = countersign(&[&arguments[..], &["--curl", &url]].concat());
        let printed = stdout(&output);
        assert_eq!((code(&output), printed.trim_end().lines().count()), (0, 1), "{printed}");
        assert!(printed.starts_with("curl ") && printed.contains(&url), "{printed}");
    }
}

#[test]
fn sign_takes_attributes_key_and_ttl_and_says_what_is_wrong() {
    use base64::Engine as _;
    let (_folder, path) = written(&good_config());
    let base = ["sign", "--config", &path, "--site", "jwt", "--id", "u-1001"];
    let output = countersign(
        &[
            &base[..],
            &["--email", "a@b.c", "--attribute", "role=admin", "--ttl", "1m", "--key", "k1"],
        ]
        .concat(),
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let token = stdout(&output);
    let claims = token.trim_end().split('.').nth(1).unwrap_or_default().to_owned();
    let claims =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!((&claims["email"], &claims["role"]), (&"a@b.c".into(), &"admin".into()));
    let exp = claims["exp"].as_u64().expect("exp");
    let now = crate::support::sign::now();
    assert!((now + 55..=now + 61).contains(&exp), "{exp} at {now}");
    for wrong in
        [&["--site", "nobody"][..], &["--key", "k9"], &["--ttl", "soon"], &["--attribute", "x"]]
    {
        let mut arguments = base.to_vec();
        match arguments.iter().position(|argument| *argument == wrong[0]) {
            Some(at) => arguments[at + 1] = wrong[1],
            None => arguments.extend(wrong),
        }
        let output = countersign(&arguments);
        assert!(code(&output) != 0 && !stderr(&output).is_empty(), "{wrong:?}");
        assert!(stdout(&output).is_empty(), "{wrong:?}");
    }
}

#[test]
fn keygen_makes_a_fresh_key_each_time() {
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let one = countersign(&["keygen", "--alg", algorithm]);
        let two = countersign(&["keygen", "--alg", algorithm]);
        assert_eq!(code(&one), 0, "{algorithm}: {}", stderr(&one));
        assert!(stdout(&one).len() >= 32, "{algorithm}");
        assert_ne!(stdout(&one), stdout(&two), "{algorithm}");
        if algorithm != "HS256" {
            assert!(stdout(&one).contains("-----BEGIN"), "{algorithm}");
        }
    }
    assert_eq!(code(&countersign(&["keygen"])), 0);
    assert_eq!(code(&countersign(&["keygen", "--alg", "none"])), 2);
}

#[test]
fn schema_is_json_and_dialects_are_listed_one_a_line() {
    let output = countersign(&["schema"]);
    assert_eq!(code(&output), 0);
    let schema: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert!(schema["properties"]["sites"].is_object() || schema["$defs"].is_object());
    let output = countersign(&["dialects"]);
    assert_eq!(code(&output), 0);
    let listed = stdout(&output);
    let names: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in ["user-hash", "zendesk-chat", "ringcentral-engage", "amazon-connect", "jwt"] {
        assert!(names.contains(&name), "{listed}");
        let shown = countersign(&["dialects", name, "--yaml"]);
        assert_eq!(code(&shown), 0);
        assert!(stdout(&shown).contains("sources"), "{name}");
        let page = stdout(&countersign(&["dialects", name]));
        assert!(page.contains("WHERE A REQUEST CARRIES IT"), "{page}");
        let page = stdout(&countersign(&["dialects", name, "--markdown"]));
        assert!(page.starts_with(&format!("## `{name}`")), "{page}");
    }
    let unknown = countersign(&["dialects", "nobody"]);
    assert!(code(&unknown) != 0 && stderr(&unknown).contains("nobody"));
}

#[test]
fn usage_faults_exit_with_2() {
    for arguments in
        [&["no-such-command"][..], &["run", "--nonsense"], &["sign", "--nonsense"], &[]]
    {
        assert_eq!(code(&countersign(arguments)), 2, "{arguments:?}");
    }
    for (command, arguments) in
        [("explain", &["--now", "soon"][..]), ("completions", &["nonsense"]), ("init", &[])]
    {
        let output = countersign(&[&[command], arguments].concat());
        assert_eq!(code(&output), 2, "{command}");
    }
    assert_eq!(code(&countersign(&["--version"])), 0);
    assert_eq!(code(&countersign(&["--help"])), 0);
}

#[test]
fn the_help_of_every_command_shows_examples_and_shells_complete_them() {
    let help = stdout(&countersign(&["--help"]));
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() >= 10, "{help}");
    let completions: Vec<String> = ["bash", "zsh", "fish"]
        .iter()
        .map(|shell| stdout(&countersign(&["completions", shell])))
        .collect();
    for command in commands {
        let help = countersign(&[command, "--help"]);
        assert_eq!(code(&help), 0, "{command}");
        let help = stdout(&help);
        assert!(help.contains("\nExamples:\n  countersign "), "{help}");
        assert!(help.contains(&format!("countersign {command}")), "{help}");
        for script in &completions {
            assert!(script.contains(command), "{command}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthcheck_tells_ready_unready_and_unreachable_apart() {
    let echo = Echo::start().await;
    let site =
        dialect("jwt").site("chat", "chat.test", &format!("http://{}", echo.address), "prefer");
    let mut gateway = Setup::new(site).top("drain: { delay: 20s }").start().await;
    let config = gateway.path("countersign.yaml").display().to_string();
    let check = || code(&countersign(&["healthcheck", "--config", &config]));
    assert_eq!(check(), 0);
    gateway.signal("TERM");
    let patience = crate::support::PATIENCE;
    crate::support::eventually("unready", patience, || async { check() == 1 }).await;
    gateway.signal("KILL");
    gateway.ended(patience).await;
    assert_eq!(check(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthcheck_asks_the_running_instance_however_broken_the_file_has_become() {
    let echo = Echo::start().await;
    let site =
        dialect("jwt").site("chat", "chat.test", &format!("http://{}", echo.address), "prefer");
    let gateway = Setup::new(site).start().await;
    let file = gateway.path("countersign.yaml");
    let config = gateway.config();
    let check = || countersign(&["healthcheck", "--config", &file.display().to_string()]);
    // What is wrong elsewhere is no reason to restart a healthy instance.
    for broken in [
        config.replace("mode: prefer", "mode: perfer"),
        config.replace("listeners: [", "listeners: [ { address: nowhere }, "),
        config.replace("sites:", "later: 1\nsites:\n  chat: {}\nsites:"),
    ] {
        assert_ne!(broken, config);
        gateway.write("countersign.yaml", &broken);
        assert_eq!(code(&check()), 0, "{broken}");
    }
    // Where to ask must be readable, or nothing can be told: never some other place.
    for broken in [
        config.replace("admin: { address:", "admin: { adress:"),
        config.replace("admin:", "health: { address: nonsense }\nadmin:"),
        "version: 1\nadmin: [".to_owned(),
    ] {
        gateway.write("countersign.yaml", &broken);
        let told = check();
        assert_eq!(code(&told), 2, "{broken}");
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(said.contains("countersign.yaml:") && said.contains("--url"), "{said}");
    }
}

/// `run` must end at once; returns its exit code and the end of what it said.
fn run(config: &Path) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["run", "--log-format", "text", "--config"])
        .arg(config)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary starts");
    for _ in 0..1000 {
        if child.try_wait().expect("a child of ours").is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let _ = child.kill();
    let output = child.wait_with_output().expect("a child of ours");
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    (output.status.code().unwrap_or(-1), stderr(&output))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_that_cannot_says_so_in_a_line() {
    let address = ports::free();
    let admin = ports::free();
    let config = good_config()
        .replace("127.0.0.1:8080", &address.to_string())
        .replace("sites:", &format!("admin: {{ address: \"{admin}\" }}\nsites:"));
    let (folder, path) = written(&config);
    let path = Path::new(&path);
    for taken in [address, admin] {
        let _holder = std::net::TcpListener::bind(taken).expect("a free port");
        let (code, said) = run(path);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(&taken.to_string()), "{said}");
    }
    let (code, said) = run(&folder.path().join("no-such-file.yaml"));
    assert!(matches!(code, 1 | 2), "{code} {said}");
    assert!(said.contains("no-such-file.yaml"), "{said}");
    let value = format!("value: \"{}\"", dialect("jwt").secret);
    let unreadable = config.replace(&value, "file: no-such.secret");
    std::fs::write(path, &unreadable).expect("a writable folder");
    let (code, said) = run(path);
    assert!(matches!(code, 1 | 2), "{code} {said}");
    assert!(said.contains("no-such.secret"), "{said}");
    std::fs::create_dir(folder.path().join("no-such.secret")).expect("a new folder");
    let (code, said) = run(path);
    assert!(matches!(code, 1 | 2), "{code} {said}");
    std::fs::write(path, config.replace("dialect: jwt", "dialect: jwtt"))
        .expect("a writable folder");
    let (code, said) = run(path);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("jwtt") && said.contains("countersign.yaml:"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_backend_does_not_stop_it_from_starting() {
    let site = dialect("jwt").site("chat", "chat.test", "http://no-such-host.invalid:1", "prefer");
    let gateway = Setup::new(site).start().await;
    assert_eq!(gateway.send(&Request::get("/c").host("chat.test")).await.status, 502);
}
