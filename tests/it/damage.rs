//! What lies in the folder of the embedded store at the start, and cannot be used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::kept::{BANS, ban, setup};
use crate::support::echo::Echo;

/// Starts on that folder, in vain; says why it did not. One message, that names the path.
async fn refusal_to_start(echo: &Echo, folder: &Path, arguments: &[&str]) -> String {
    let mut setup = setup(echo, folder);
    for argument in arguments {
        setup = setup.argument(argument);
    }
    let mut refused = setup.start_until("countersign: ").await;
    assert_eq!(refused.ended(Duration::from_secs(5)).await.code(), Some(2));
    let log = refused.log();
    let why: Vec<_> = log.lines().filter(|line| line.contains("the store")).collect();
    let [why] = why.as_slice() else { panic!("not one message: {log}") };
    assert!(why.contains(folder.to_str().unwrap()), "{why}");
    (*why).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_else_lies_there_is_never_replaced_unasked() {
    let echo = Echo::start().await;
    let noise: Vec<u8> =
        (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for damage in [&b""[..], b"these are notes of somebody", &noise] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("countersign.redb");
        std::fs::write(&file, damage).unwrap();
        let why = refusal_to_start(&echo, folder.path(), &[]).await;
        assert!(why.contains("--accept-empty-store"), "{why}");
        assert!(std::fs::read(&file).unwrap() == damage, "it is left alone");
        let accepting = setup(&echo, folder.path()).argument("--accept-empty-store").start().await;
        assert_eq!(ban(&accepting, "ada").await, 201);
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let aside = |path: &PathBuf| path.to_string_lossy().contains(".damaged-");
        let aside: Vec<_> = names.filter(aside).collect();
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert!(std::fs::read(&aside[0]).unwrap() == damage, "it is kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_written_stops_the_start_and_no_option_helps() {
    let (echo, folder) = (Echo::start().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("file");
    std::fs::write(&file, "a file").unwrap();
    let taken = folder.path().join("taken");
    std::fs::create_dir_all(taken.join("countersign.redb")).unwrap();
    // A file where a folder should be, no folder possible, a folder where a file should be.
    for path in [&file, &file.join("below"), &taken] {
        for arguments in [&[][..], &["--accept-empty-store"]] {
            let why = refusal_to_start(&echo, path, arguments).await;
            assert!(!why.contains("--accept-empty-store"), "it would not help: {why}");
        }
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"a file");
    assert!(taken.join("countersign.redb").is_dir());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_read_stops_the_start_until_an_empty_one_is_accepted() {
    let (echo, folder) = (Echo::start().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("countersign.redb");
    let mut gateway = setup(&echo, folder.path()).start().await;
    assert_eq!(ban(&gateway, "ada").await, 201);
    gateway.signal("INT");
    gateway.ended(Duration::from_secs(10)).await;
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 3]).unwrap();
    let mut refused = setup(&echo, folder.path()).start_until("cannot be read").await;
    assert_eq!(refused.ended(Duration::from_secs(5)).await.code(), Some(2));
    let why = refused.log();
    let file_name = file.to_str().unwrap();
    assert!(why.contains(file_name) && why.contains("--accept-empty-store"), "{why}");
    assert!(std::fs::read(&file).unwrap() == whole[..whole.len() / 3], "it is left alone");
    let accepting = setup(&echo, folder.path()).argument("--accept-empty-store").start().await;
    assert_eq!(accepting.ask("GET", BANS).await.json(), json!({"bans": []}));
    accepting.log_line("was put aside").await;
    let names = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names[2].starts_with("countersign.redb.damaged-"), "{names:?}");
    // And while it runs nobody else may.
    let mut second = setup(&echo, folder.path()).start_until("in use by another process").await;
    assert_eq!(second.ended(Duration::from_secs(5)).await.code(), Some(2));
    assert!(second.log().contains("redis"), "{}", second.log());
}
