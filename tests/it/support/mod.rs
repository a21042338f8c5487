//! What every test here stands on: the real binary ([`gateway`]), a backend that tells what
//! it received ([`echo`]), and clients that send exactly the bytes they are told to
//! ([`raw`], [`h2c`], [`websocket`]).
//!
//! Nothing sleeps to wait for something: it polls, with a deadline ([`eventually`]).

pub mod cases;
pub mod echo;
pub mod gateway;
pub mod h2c;
pub mod key_server;
pub mod metrics;
pub mod packages;
pub mod ports;
pub mod raw;
pub mod receiver;
#[cfg(feature = "redis")]
pub mod redis_server;
pub mod sign;
pub mod tls;
pub mod websocket;

use std::future::Future;
use std::time::{Duration, Instant};

/// How long anything may take that should take no time, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until the condition holds; panics when it does not within that time. Returns how
/// long it took.
pub async fn eventually<F, Fut>(what: &str, within: Duration, mut condition: F) -> Duration
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let start = Instant::now();
    loop {
        if condition().await {
            return start.elapsed();
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Lets this process, and the gateways it starts, open as many files as the system allows.
pub fn raise_open_files() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = limits.lines().find(|line| line.starts_with("Max open files"));
        let Some(hard) = line.and_then(|line| line.split_whitespace().nth(4)) else { return };
        let done = std::process::Command::new("prlimit")
            .arg(format!("--pid={}", std::process::id()))
            .arg(format!("--nofile={hard}:{hard}"))
            .status();
        assert!(done.is_ok_and(|status| status.success()), "prlimit must raise open files");
    });
}
