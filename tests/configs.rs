//! Configurations as files of facts: those in `good` load, those in `bad` are refused
//! with exactly the words beside them (`UPDATE_GOLDEN=1` rewrites those), and the shipped
//! ones work.

// A test that cannot set its scene should panic.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use countersign::config::{self, Options};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(ROOT).join("tests/configs").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A problem's text with the path of its file cut down to the name.
fn refused(path: &Path) -> String {
    let problems = config::load(path).err().unwrap_or_else(|| panic!("{} loads", path.display()));
    let folder = format!("{}/", path.parent().unwrap().display());
    format!("{}\n", problems.to_string().replace(&folder, ""))
}

#[test]
fn good_configurations_load() {
    for path in files("good") {
        if let Err(problems) = config::load(&path) {
            panic!("{problems}");
        }
    }
}

#[test]
fn bad_configurations_are_refused_in_these_words() {
    let mut wrong = Vec::new();
    for path in files("bad") {
        let expected = path.with_extension("expected");
        let refused = refused(&path);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &refused).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != refused {
            wrong.push(refused);
        }
    }
    assert!(wrong.is_empty(), "unlike what is expected:\n{}", wrong.join("\n"));
}

#[test]
fn the_shipped_configurations_load_without_secrets() {
    let names = ["minimal.yaml", "countersign.yaml"].map(PathBuf::from).into_iter();
    let sites =
        ["amazon-connect", "livesupporti", "ringcentral-engage", "user-hash", "zendesk-chat"];
    let sites = sites.map(|dialect| Path::new("sites").join(format!("{dialect}.yaml")));
    for name in names.chain(sites) {
        let path = Path::new(ROOT).join("config").join(&name);
        let plan = config::load_with(&path, &Options::without_secrets());
        let plan = plan.unwrap_or_else(|problems| panic!("{problems}"));
        assert!(plan.sites.iter().all(|site| site.keyring.keys().is_empty()));
        // The one that shows every key has a gateway that asks, which does not see everything.
        let of_it = ["asks instead of forwarding", "the recipe for"];
        let asks = |warning: &&String| !of_it.iter().any(|words| warning.contains(words));
        assert_eq!(plan.warnings.iter().find(asks), None, "{}", name.display());
        if name.starts_with("sites") {
            let system = name.file_stem().and_then(|stem| stem.to_str());
            let site = &plan.sites[0];
            if system == Some("livesupporti") {
                // No dialect, but a service beside one.
                let website = &site.website;
                assert_eq!(website.webhooks[0].format.name(), "livesupporti");
                assert!(website.details.as_ref().is_some_and(|details| details.public));
            } else {
                assert_eq!(Some(&*site.dialect.name), system);
            }
        }
    }
}

#[test]
fn the_minimal_configuration_loads_with_a_key_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.yaml");
    fs::copy(Path::new(ROOT).join("config/minimal.yaml"), &path).unwrap();
    let missing = config::load(&path).unwrap_err().to_string();
    assert!(missing.contains("support.secret cannot be read"), "{missing}");

    let secret = folder.path().join("support.secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
    let plan = config::load(&path).unwrap();
    assert_eq!(plan.sites[0].keyring.keys().len(), 1);
    assert_eq!(plan.watched, [path, secret]);
    assert_eq!(plan.generation, 0);
}

#[test]
fn the_page_of_the_dialects_says_what_their_files_say() {
    let path = Path::new(ROOT).join("docs/dialects.md");
    let page = countersign::cli::dialects::documentation();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), page, "UPDATE_GOLDEN=1 rewrites it");
}

#[test]
fn every_member_of_the_schema_is_shown_in_the_long_configuration() {
    let text = fs::read_to_string(Path::new(ROOT).join("config/countersign.yaml")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&config::schema()).unwrap();
    let mut members = Vec::new();
    gather(&schema, &mut members);
    assert!(members.contains(&"forward_credential".to_owned()));
    for member in members {
        let shown = [":", " ", "}"].iter().any(|end| text.contains(&format!("{member}{end}")));
        // A secret given in the file itself is no example to follow.
        assert!(shown || member == "value", "`{member}` is not shown");
    }
}

fn gather(schema: &serde_json::Value, members: &mut Vec<String>) {
    match schema {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                if key == "properties" {
                    // Their names are the author's: one of them is `properties` itself.
                    let named = value.as_object().unwrap();
                    members.extend(named.keys().cloned());
                    named.values().for_each(|member| gather(member, members));
                } else {
                    gather(value, members);
                }
            }
        }
        serde_json::Value::Array(entries) => {
            entries.iter().for_each(|entry| gather(entry, members));
        }
        _ => {}
    }
}

#[test]
fn whatever_a_file_holds_it_is_refused_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.yaml");
    let bomb: String = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let below = level - 1;
        format!("{text}a{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n")
    });
    let cases: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\n\n# nothing\n".to_vec(),
        b"~".to_vec(),
        b"- a\n- b\n".to_vec(),
        b"just text".to_vec(),
        b"{".to_vec(),
        b"version: 1\n\tlisteners: []\n".to_vec(),
        b"version: 1\n---\nversion: 1\n".to_vec(),
        b"version: !!int 1\nsites: !site {}\n".to_vec(),
        b"? [a]\n: b\n".to_vec(),
        b"\x00\x01\x02".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"\x7fELF\x02\x01\x01".repeat(100),
        b"sites: { a: { keys: [ ~, ~ ], routes: [ ~ ], sources: ~ } }".to_vec(),
        b"sites: [a, b]\nlisteners: {a: b}\nadmin: 3\nhealth: []\ndialects: 7\nlimits: x".to_vec(),
        b"<<: {a: b}\nversion: 99999999999999999999999999\n".to_vec(),
        bomb.into_bytes(),
        "[".repeat(500_000).into_bytes(),
        "x: {a: ".repeat(100_000).into_bytes(),
        "a: b\n".repeat(200_000).into_bytes(),
        b"k: v\n".iter().copied().cycle().take(5 << 20).collect(),
    ];
    for case in cases {
        fs::write(&path, &case).unwrap();
        let shown = String::from_utf8_lossy(&case[..case.len().min(40)]).into_owned();
        let problems = config::load(&path).expect_err(&shown).to_string();
        assert!(problems.starts_with(&path.display().to_string()), "{shown}: {problems}");
        assert!(problems.len() < 100_000, "{shown}: {} bytes of problems", problems.len());
    }
    for missing in [folder.path().join("none.yaml"), folder.path().to_path_buf()] {
        let problems = config::load(&missing).unwrap_err().to_string();
        assert_eq!(problems.lines().count(), 1, "{problems}");
    }
}

#[test]
fn a_sample_is_no_secret_however_it_is_encoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.yaml");
    for secret in [
        "{ value: changeme }",
        "{ value: c2VjcmV0, encoding: base64 }",
        "{ value: c2VjcmV0, encoding: base64url }",
        "{ value: '736563726574', encoding: hex }",
        "{ value: '   ' }",
    ] {
        let text = format!(
            "version: 1\nlisteners: [{{ address: 127.0.0.1:0 }}]\n\
             sites: {{ a: {{ dialect: jwt, upstream: 'http://b', keys: [ {{ id: k, secret: {secret} }} ] }} }}\n"
        );
        fs::write(&path, text).unwrap();
        assert!(config::load(&path).is_err(), "{secret}");
    }
}

#[test]
fn a_secret_is_never_part_of_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.yaml");
    let secret = "hunter2-hunter2-hunter2-hunter2!";
    for key in [
        format!("secret: {secret}"),
        format!("secret: [{secret}]"),
        format!("secret: {{ {secret}: }}"),
        format!("secret: {{ {secret}: x, value: {secret} }}"),
        format!("secret: {{ value: [{secret}] }}"),
        format!("secret: {{ value: {secret}, encoding: hex }}"),
        format!("secret: {{ value: {secret}, encoding: {secret} }}"),
        format!("public_key: {secret}"),
        format!("secrets: {secret}"),
        format!("}}, {secret}, {{ id: l"),
        format!("}} ], upstream: 'http://u:{secret}@b/c', routes: [ {{ path: /x"),
        format!("}} ], upstream: 'redis://u:{secret}@b', routes: [ {{ path: /x"),
        format!("}} ], keys: {secret}, routes: [ {{ path: /x"),
        format!("}} ], upstream: 'https://u:{secret}@b/c', routes: [ {{ path: /x"),
    ] {
        let text = format!(
            "version: 1\nlisteners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ token: {secret} }}\n\
             sites: {{ a: {{ dialect: jwt, keys: [ {{ id: k, {key} }} ] }} }}\n"
        );
        fs::write(&path, text).unwrap();
        let problems = config::load(&path).unwrap_err().to_string();
        assert!(!problems.contains("hunter2"), "{key}: {problems}");
    }
}

#[test]
fn the_address_of_a_store_is_never_part_of_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.yaml");
    let address = "redis://:hunter2@";
    for store in [
        format!("'{address}'"),
        format!("['{address}']"),
        format!("{{ '{address}': x }}"),
        format!("{{ redis: '{address}' }}"),
        format!("{{ redis: ['{address}'] }}"),
        format!("{{ redis: {{ '{address}': x }} }}"),
        format!("{{ redis: {{ address: '{address}' }} }}"),
        format!("{{ redis: {{ url: '{address}' }} }}"),
        format!("{{ redis: {{ url: {{ '{address}': x }} }} }}"),
        format!("{{ redis: {{ url: {{ value: ['{address}'] }} }} }}"),
        format!("{{ redis: {{ url: {{ value: '{address}' }} }} }}"),
        format!("{{ redis: {{ url: {{ value: '{address}', encoding: hex }} }} }}"),
    ] {
        let text = format!(
            "version: 1\nlisteners: [{{ address: 127.0.0.1:0 }}]\nstore: {store}\n\
             sites: {{ a: {{ dialect: jwt, upstream: 'http://b', mode: off }} }}\n"
        );
        fs::write(&path, text).unwrap();
        let problems = config::load(&path).expect_err(&store).to_string();
        assert!(!problems.contains("hunter2"), "{store}: {problems}");
    }
}

/// Loads a configuration whose sites are these lines, with a 32-byte secret at `good`.
fn with_sites(top: &str, sites: &str) -> countersign::plan::Plan {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.yaml");
    fs::write(folder.path().join("good"), "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::write(folder.path().join("short"), "0123456789abcdef01234567\n").unwrap();
    for name in ["good", "short"] {
        use std::os::unix::fs::PermissionsExt;
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.path().join(name), private).unwrap();
    }
    let text =
        format!("version: 1\nlisteners: [ {{ address: 127.0.0.1:0 }} ]\n{top}\nsites:\n{sites}\n");
    fs::write(&path, text).unwrap();
    config::load(&path).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn what_gives_reason_to_worry_is_a_warning() {
    let keys = "keys: [ { id: k, secret: { file: good } } ]";
    let site =
        |settings: &str| format!("  a: {{ upstream: 'http://b', dialect: jwt, {settings} }}");
    for (top, sites, warning) in [
        ("", site(&format!("mode: accept, {keys}")), "mode accept gives no security"),
        ("", site(&format!("mode: observe, {keys}")), "mode observe gives no security"),
        (
            "",
            site(&format!(
                "{keys}, translate: [ {{ dialect: jwt, key: {{ value: 0123456789abcdef0123456789abcdee }}, into: {{ json: /a }}, \
                 id: '{{id}}@b' }} ]"
            )),
            "an id may hold what parts it",
        ),
        (
            "",
            site(&format!(
                "{keys}, translate: [ {{ dialect: jwt, key: {{ value: 0123456789abcdef0123456789abcdee }}, into: {{ json: /a }}, \
                 ttl: 2h }} ]"
            )),
            "may hold longer than an hour",
        ),
        (
            "",
            ["a", "b"].map(|name| format!(
                "  {name}: {{ hosts: [{name}], upstream: 'http://b', dialect: jwt, {keys}, translate: \
                 [ {{ dialect: chatwoot, key: {{ value: 0123456789abcdef0123456789abcdee }}, into: {{ json: /a }} }} ] }}"
            )).join("\n"),
            "sites a and b write the same for chatwoot",
        ),
        (
            "",
            site(&format!("mode: require, {keys}, routes: [ {{ path: /*, mode: off }} ]")),
            "mode off gives no security",
        ),
        ("", site("keys: [ { id: k, secret: { file: short } } ]"), "the secret has 24 bytes"),
        (
            "",
            site("keys: [ { id: k, secret: { value: ' 0123456789abcdef0123456789abcdef' } } ]"),
            "white space",
        ),
        (
            "",
            site("keys: [ { id: k, secret: { file: good }, not_after: 2020-01-01T00:00:00Z } ]"),
            "has passed",
        ),
        ("admin: { address: 0.0.0.0:9090 }", site(keys), "can be reached from other machines"),
        ("trusted_proxies: [0.0.0.0/0]", site(keys), "is everybody"),
        (
            "",
            format!(
                "  a: {{ upstream: 'http://b', dialect: amazon-connect, audience: w, {keys} }}"
            ),
            "bans, logouts and sessions do not apply",
        ),
        (
            "",
            format!("  a: {{ upstream: 'http://b', dialect: zendesk-chat, audience: w, {keys} }}"),
            "`audience` has no effect",
        ),
        (
            "",
            site(&format!("on_store_outage: refuse, {keys}")),
            "`on_store_outage: refuse` has no effect",
        ),
        (
            "",
            format!(
                "  a: {{ upstream: 'http://b', dialect: user-hash, live: {{ on_expiry: close }}, {keys} }}"
            ),
            "`on_expiry: close` has no effect",
        ),
        (
            "",
            [
                ("a", "headers: { map: { id: X-Token } }"),
                ("b", "hosts: [b], sources: [ { header: x_token, shared: true } ]"),
            ]
            .map(|(name, more)| {
                format!("  {name}: {{ upstream: 'http://b', dialect: jwt, {more}, {keys} }}\n")
            })
            .concat(),
            "`x_token` is removed from every request, since site a tells",
        ),
    ] {
        let warnings = with_sites(top, &sites).warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(warning), "{warning}: {warnings:?}");
    }
    for sound in [
        site(keys),
        site("mode: off"),
        site(&format!("session: {{ cookie: true }}, live: {{ on_expiry: close }}, {keys}")),
        "  a: { upstream: 'http://b', dialect: ringcentral-engage, keys: [ { id: k, secret: { file: short } } ] }".into(),
    ] {
        assert_eq!(with_sites("", &sound).warnings, Vec::<String>::new(), "{sound}");
    }
}

#[test]
fn a_session_of_visitors_without_ids_is_a_warning() {
    let site = |settings: &str| {
        let amazon = format!(
            "  a: {{ upstream: 'http://b', dialect: amazon-connect, audience: w, {settings}, \
             session: {{ cookie: true }}, keys: [ {{ id: k, secret: {{ file: good }} }} ] }}"
        );
        with_sites("", &amazon).warnings
    };
    let warnings = site("mode: require");
    assert!(warnings.iter().any(|one| one.contains("`session` binds only")), "{warnings:?}");
    assert_eq!(site("id_claim: /attributes/customerId"), Vec::<String>::new());
}

#[test]
fn what_a_site_remembers_is_what_it_says_and_else_the_defaults() {
    use countersign::dialect::{Carrier, Mechanism, Pointer};
    use countersign::plan::{Brought, OnEnd, OnStoreOutage, Remembrance, StoreSettings};
    use std::time::Duration;
    let load =
        |name: &str| config::load(&Path::new(ROOT).join("tests/configs/good").join(name)).unwrap();
    let plan = load("memory.yaml");
    assert!(!plan.verbs);
    let StoreSettings::Redis(url) = &plan.process.store else { panic!("{:?}", plan.process) };
    assert_eq!(url.0.expose(), b"rediss://user:password@redis.acme.example:6380/1");
    let [chatwoot, every, own] = plan.sites.as_slice() else { panic!("three sites") };
    let single_use = |site: &countersign::plan::Site| match &site.dialect.mechanism {
        Mechanism::Jwt(rules) => rules.single_use,
        Mechanism::Hmac(_) => false,
    };
    assert_eq!([chatwoot, every, own].map(single_use), [false, true, true]);

    let session = chatwoot.remembers.session.as_ref().unwrap();
    let names: Vec<String> =
        session.request.iter().map(|source| source.carrier.names().proof.clone()).collect();
    assert_eq!(names, ["x-auth-token", "cw_conversation"]);
    assert_eq!(session.response, [Brought::Json(Pointer(vec!["widget_auth_token".into()]))]);
    assert_eq!((session.ttl, session.max), (Duration::from_secs(86_400), 100_000));
    assert_eq!((session.max_per_identity, session.cookie), (32, false));
    assert_eq!(chatwoot.remembers.on_store_outage, OnStoreOutage::Refuse);
    assert_eq!(chatwoot.remembers.live, countersign::plan::Live::default());
    assert_eq!(chatwoot.remembers.logout_hold, Duration::ZERO, "hashes never expire");

    let session = every.remembers.session.as_ref().unwrap();
    let [first, rest @ ..] = session.request.as_slice() else { panic!("five places") };
    assert!(matches!(&first.carrier, Carrier::Header { scheme: Some(s), .. } if s == "Session"));
    assert_eq!(rest.len(), 4);
    assert!(session.request.iter().all(|source| source.shared), "another scheme is no session");
    let header = http::HeaderName::from_static("x-session");
    let pointer = Pointer(vec!["session".into(), "token".into()]);
    let brought =
        [Brought::Header(header), Brought::Cookie("session".into()), Brought::Json(pointer)];
    assert_eq!(session.response, brought);
    assert_eq!((session.ttl, session.max), (Duration::from_secs(1800), 10));
    assert_eq!((session.max_per_identity, session.cookie), (1, true));
    let live = every.remembers.live;
    assert_eq!((live.on_expiry, live.on_key_removal), (OnEnd::Close, OnEnd::Keep));
    assert_eq!((live.grace, live.max_connections_per_identity), (Duration::ZERO, 5));
    assert_eq!(every.remembers.logout_hold, Duration::from_secs(3600));

    assert!(own.remembers.session.as_ref().is_some_and(|session| session.request.is_empty()));
    assert_eq!(own.remembers.logout_hold, Remembrance::TOKENS_HOLD);

    let plan = load("store_in_memory.yaml");
    assert_eq!(plan.process.store, StoreSettings::Memory);
    assert!(plan.verbs);
    assert_eq!(plan.sites[0].remembers, Remembrance::default());
}

#[test]
fn a_websites_server_is_in_the_loop_as_it_is_said_and_else_by_default() {
    use countersign::plan::{Enrich, Format, Include, Reach, Starts, Website};
    use std::time::Duration;
    let path = Path::new(ROOT).join("tests/configs/good/website.yaml");
    let plan = config::load(&path).unwrap();
    let [every, least, nothing] = plan.sites.as_slice() else { panic!("three sites") };
    let text = |file: &str| {
        let path = Path::new(ROOT).join("tests/configs/keys").join(file);
        fs::read_to_string(path).unwrap().trim_end().to_owned()
    };
    let hours = |hours: u64| Duration::from_secs(hours * 3600);

    let website = &every.website;
    let Starts::Answer { method, path, statuses } = &website.starts else { panic!("an answer") };
    assert_eq!((method, statuses.as_slice()), (&http::Method::PUT, &[101, 202][..]));
    assert!(path.matches("/api/v1/chats") && !path.matches("/api/chats"));
    assert_eq!((&*website.account_id, &*website.agent_id), ("acme", "150"));
    assert!(website.private_targets);
    let [crm, standard] = website.webhooks.as_slice() else { panic!("two webhooks") };
    assert_eq!((&*crm.name, crm.format, crm.reach), ("crm", Format::Livesupporti, Reach::Anywhere));
    assert_eq!(crm.secrets[0].expose(), text("good.secret").as_bytes());
    assert_eq!(crm.include, Include { visitor: true, claimed: true });
    assert_eq!(crm.headers[0].0, "authorization");
    assert_eq!(crm.headers[0].1, "Basic hunter2");
    assert_eq!(crm.headers[1].1, "");
    assert_eq!(crm.properties, [("Tier".to_owned(), "gold".to_owned())]);
    assert_eq!(crm.retry, [Duration::from_secs(1), hours(7 * 24)]);
    assert_eq!(crm.url, "http://127.0.0.1:9000/hook?key=hunter2");
    assert_eq!(standard.secrets[0].expose(), (100..132).collect::<Vec<u8>>());
    assert_eq!(standard.secrets[1].expose(), (0..24).collect::<Vec<u8>>());
    assert_eq!((standard.retry.len(), standard.include), (10, Include::default()));
    assert_ne!(standard.print, crm.print);
    let details = website.details.as_ref().unwrap();
    assert_eq!(
        (&*details.username, details.public, details.allow_cleartext),
        ("acme", true, false)
    );
    assert_eq!(details.password.expose(), text("good.secret").as_bytes());
    assert_eq!(website.ttl, hours(2));
    let push = details.push.as_ref().unwrap();
    assert_eq!(push.secret.as_ref().unwrap().expose().len(), 32);
    let enrich = website.enrich.as_ref().unwrap();
    assert_eq!((enrich.timeout, enrich.ttl), (Enrich::TIMEOUT, Enrich::TTL));
    assert_eq!(enrich.secrets.len(), 1);
    assert!(!format!("{plan:?}").contains("hunter2"), "nothing that prints a plan tells");

    let website = &least.website;
    let Starts::Answer { method, statuses, .. } = &website.starts else { panic!("an answer") };
    assert_eq!((method, statuses.as_slice()), (&http::Method::POST, &[200, 201][..]));
    assert_eq!((&*website.account_id, &*website.agent_id), ("least", ""));
    assert_eq!((website.ttl, website.private_targets), (Website::TTL, false));
    assert_eq!(website.webhooks[0].retry, [0, 60, 240].map(Duration::from_secs));
    assert!(website.enrich.is_none() && website.details.as_ref().unwrap().push.is_none());

    assert!(!nothing.website.heeds_chats());
    assert_eq!(nothing.website.starts, Starts::WebSocket);
    for file in ["good.secret", "hook.whsec"] {
        let file = format!("../keys/{file}");
        assert!(plan.watched.iter().any(|watched| watched.ends_with(&file)), "{file} is watched");
    }
}

#[test]
fn without_secrets_a_website_is_read_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.yaml");
    fs::copy(Path::new(ROOT).join("tests/configs/good/website.yaml"), &path).unwrap();
    assert!(config::load(&path).unwrap_err().to_string().contains("hook.whsec cannot be read"));
    let plan = config::load_with(&path, &Options::without_secrets()).unwrap();
    let website = &plan.sites[0].website;
    assert_eq!(website.webhooks.len(), 2);
    assert!(website.details.as_ref().is_some_and(|details| details.password.is_empty()));
    assert!(website.enrich.as_ref().is_some_and(|enrich| enrich.secrets.is_empty()));
}

#[test]
fn a_website_that_hears_nothing_or_is_overheard_is_a_warning() {
    let kept = "store: { embedded: { path: kept } }";
    let secret = "secret: { value: 0123456789abcdef0123456789abcdef }";
    let hook = |url: &str| {
        format!("webhooks: [ {{ name: crm, url: '{url}', format: livesupporti, {secret} }} ]")
    };
    let details = |more: &str| {
        format!("details: {{ username: a, password: {{ value: 0123456789ab }}, {more} }}")
    };
    let chats = "chat_started: { path: /a }";
    let open = "listeners: [ { address: 0.0.0.0:0 } ]";
    let load = |top: &str, listeners: Option<&str>, settings: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("countersign.yaml");
        let listeners = listeners.unwrap_or("listeners: [ { address: 127.0.0.1:0 } ]");
        let text = format!(
            "version: 1\n{listeners}\n{top}\nsites: {{ a: {{ upstream: 'http://b', dialect: jwt, mode: off, {settings} }} }}\n"
        );
        fs::write(&path, text).unwrap();
        config::load(&path).unwrap_or_else(|problems| panic!("{problems}")).warnings
    };
    let https = hook("https://crm.acme.example/hook");
    for (top, listeners, settings, warning) in [
        ("", None, format!("{https}, {chats}"), "are in memory"),
        ("", None, details("ttl: 1h") + ", " + chats, "are in memory"),
        (kept, None, https.clone(), "no chat begins"),
        (
            kept,
            None,
            hook("http://crm.acme.example/hook?key=hunter2") + ", " + chats,
            "without TLS",
        ),
        (kept, None, details("push: { url: 'http://10.0.0.1/' }") + ", " + chats, "without TLS"),
        (kept, None, details("allow_cleartext: true") + ", " + chats, "has no effect"),
        (kept, None, details("public: true, allow_cleartext: true") + ", " + chats, "reads both"),
        (kept, Some(open), details("public: true") + ", " + chats, "no listener has TLS"),
    ] {
        let warnings = load(top, listeners, &settings);
        assert!(warnings.len() == 1 && warnings[0].contains(warning), "{warning}: {warnings:?}");
        assert!(!warnings[0].contains("hunter2"), "{warnings:?}");
    }
    let trusted = format!("{kept}\ntrusted_proxies: [private]");
    for (top, listeners, settings) in [
        (kept, None, format!("{https}, {chats}")),
        (kept, None, hook("http://[::1]:9/") + ", " + chats),
        (kept, None, details("public: true") + ", " + chats),
        (trusted.as_str(), Some(open), details("public: true") + ", " + chats),
        ("", None, chats.to_owned()),
        ("", None, "webhook_private_targets: true".to_owned()),
    ] {
        assert_eq!(load(top, listeners, &settings), Vec::<String>::new(), "{settings}");
    }
}

#[test]
fn a_store_is_beside_its_configuration_and_its_address_where_the_secrets_are() {
    use countersign::plan::StoreSettings;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.yaml");
    let load = |store: &str, secrets: bool| {
        let text = format!(
            "version: 1\nlisteners: [{{ address: 127.0.0.1:0 }}]\nstore: {store}\n\
             sites: {{ a: {{ dialect: jwt, upstream: 'http://b', mode: off }} }}\n"
        );
        fs::write(&path, text).unwrap();
        let options = if secrets { Options::default() } else { Options::without_secrets() };
        config::load_with(&path, &options).map(|plan| plan.process.store.clone())
    };
    let store = load("{ embedded: { path: memory } }", true).unwrap();
    assert_eq!(store, StoreSettings::Embedded(folder.path().join("memory")));

    let redis = "{ redis: { url: { file: redis.url } } }";
    assert!(load(redis, true).unwrap_err().to_string().contains("cannot be read"));
    let StoreSettings::Redis(url) = load(redis, false).unwrap() else { panic!("redis") };
    assert!(url.0.is_empty());
    fs::write(folder.path().join("redis.url"), "redis://127.0.0.1:6379/0\n").unwrap();
    let StoreSettings::Redis(url) = load(redis, true).unwrap() else { panic!("redis") };
    assert_eq!(url.0.expose(), b"redis://127.0.0.1:6379/0");
}

#[test]
fn a_secret_that_others_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.yaml");
    fs::copy(Path::new(ROOT).join("config/minimal.yaml"), &path).unwrap();
    let secret = folder.path().join("support.secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(config::load(&path).unwrap().warnings.len(), warnings, "{mode:o}");
    }
}

#[test]
fn a_route_inherits_what_it_does_not_say() {
    use countersign::gate::Mode;
    let plan = with_sites(
        "",
        "  a:\n    upstream: http://b\n    dialect: jwt\n    mode: require\n    forward_credential: true\n\
         \x20   keys: [ { id: k, secret: { file: good } } ]\n    allowed_origins: [https://a.example]\n\
         \x20   routes: [ { path: /x/*, mode: off }, { path: /*, sources: [ { query: t } ], forward_credential: false } ]\n",
    );
    let site = &plan.sites[0];
    let [first, second] = &site.routes.0[..] else { panic!("two routes") };
    assert_eq!(first.settings.mode, Mode::Off);
    assert_eq!(first.settings.sources, site.settings.sources);
    assert!(first.settings.forward_credential);
    assert_eq!(second.settings.mode, Mode::Require);
    assert_eq!(second.settings.sources.len(), 1);
    assert!(!second.settings.forward_credential);
    assert_eq!(second.settings.allowed_origins, site.settings.allowed_origins);
}

/// The target that reaches the backend.
fn sent(plan: &countersign::plan::Plan, target: &str) -> String {
    use countersign::gate::{Body, Outcome, Peer, RequestView};
    let headers = http::HeaderMap::from_iter([(http::header::HOST, "a.test".parse().unwrap())]);
    let request = RequestView {
        method: &http::Method::GET,
        target,
        authority: None,
        headers: &headers,
        peer: Peer::Unix,
        tls: false,
        local_port: None,
        upgrade: false,
        request_id: "r-1",
        body: Body::Unseen,
    };
    let now = countersign::clock::UnixTime::from_secs(0);
    let store = countersign::store::volatile::open().unwrap();
    match countersign::judge::judge(plan, store.memory(), &request, now).verdict.outcome {
        Outcome::Forward(forward) => forward.edits.target.unwrap_or_else(|| target.to_owned()),
        other => panic!("it should have been forwarded: {other:?}"),
    }
}

#[test]
fn a_route_takes_back_what_its_site_keeps() {
    let plan = with_sites(
        "",
        "  a:\n    upstream: http://b\n    dialect: zendesk-chat\n    unsigned: keep\n\
         \x20   keys: [ { id: k, secret: { file: good } } ]\n\
         \x20   routes: [ { path: /strict/*, unsigned: claim } ]\n",
    );
    assert_eq!(sent(&plan, "/?name=x"), "/?name=x");
    assert_eq!(sent(&plan, "/strict/?name=x"), "/strict/");
}

#[test]
fn hosts_lead_to_their_sites_whatever_way_they_are_written() {
    let plan = config::load(&Path::new(ROOT).join("tests/configs/good/aliases.yaml")).unwrap();
    assert_eq!(plan.hosts.exact.get("a.example"), Some(&0));
    assert_eq!(plan.hosts.exact.get("b.example"), Some(&1));
    assert_eq!(plan.hosts.exact.get("[::1]"), Some(&1));
    assert_eq!(plan.hosts.wildcards, [(".b.example".to_owned(), 1)]);
    assert_eq!(plan.hosts.fallback, None);
    assert_eq!(plan.process.admin, None);
    assert_eq!(plan.sites[0].upstream.targets[0].to_string(), "http://[::1]:80");
}

#[test]
fn the_settings_of_a_site_are_worked_into_its_dialect() {
    use countersign::dialect::{ClaimType, FieldProof, HashField, Mechanism, Pointer};
    let plan = with_sites(
        "",
        "  a:\n    upstream: http://b\n    dialect: zendesk-chat\n    keys: [ { id: k, secret: { file: good } } ]\n\
         \x20   hosts: [a]\n    issuer: i\n    leeway: 5s\n    require_claims: [email, exp, /a/b]\n    unsigned: keep\n\
         \x20 b:\n    upstream: http://b\n    dialect: user-hash\n    keys: [ { id: k, secret: { file: good } } ]\n\
         \x20   sources: [ { header: { id: X-Uid, proof: X-Sig } } ]\n\
         \x20 c:\n    upstream: http://b\n    dialect: jwt\n    keys: [ { id: k, secret: { file: good } } ]\n\
         \x20   hosts: [c]\n    id_claim: /user/id\n",
    );
    let Mechanism::Jwt(rules) = &plan.sites[0].dialect.mechanism else { panic!("tokens") };
    assert_eq!((rules.leeway_iat, rules.leeway_exp), (5, 5));
    assert_eq!((rules.max_lifetime, rules.lifetime_without_exp), (Some(420), Some(420)));
    assert_eq!(rules.claims.issuer.as_deref(), Some("i"));
    let at = |segments: &[&str]| Pointer(segments.iter().map(|s| (*s).to_owned()).collect());
    for claim in [
        (at(&["email"]), ClaimType::String),
        (at(&["exp"]), ClaimType::Time),
        (at(&["a", "b"]), ClaimType::Any),
    ] {
        assert!(rules.claims.required.contains(&claim), "{claim:?}");
    }
    assert!(plan.sites[0].settings.keep_unsigned);
    // Where the id stands elsewhere, nobody needs the claim that it stood in.
    let Mechanism::Jwt(rules) = &plan.sites[2].dialect.mechanism else { panic!("tokens") };
    assert_eq!(rules.claims.required, [(at(&["exp"]), ClaimType::Time)]);

    // The id beside a hash is only a claim without it, wherever a site has it put.
    let fields = &plan.sites[1].dialect.unsigned.fields;
    let proof = |name: &str| {
        fields.iter().find(|field| field.name.to_string() == name).map(|f| f.proof.clone())
    };
    assert_eq!(proof("x-uid"), Some(Some(FieldProof::Hashed(HashField::Id))));
    assert_eq!(proof("user_id"), Some(Some(FieldProof::Hashed(HashField::Id))));
    assert_eq!(proof("email"), Some(None));
}
