//! What the operator's signals mean: SIGHUP reloads, SIGTERM drains, SIGINT (Ctrl-C)
//! drains without the delay that is for load balancers. A second one ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits to be asked to stop, reloading when asked to; true for a quick stop (SIGINT).
pub async fn until_asked_to_stop(mut reload: impl FnMut()) -> bool {
    let (mut hangup, mut terminate, mut interrupt) = (
        listen(SignalKind::hangup()),
        listen(SignalKind::terminate()),
        listen(SignalKind::interrupt()),
    );
    loop {
        tokio::select! {
            () = next(&mut hangup) => reload(),
            () = next(&mut terminate) => return false,
            () = next(&mut interrupt) => return true,
        }
    }
}

/// Waits for SIGTERM or SIGINT.
pub async fn asked_again() {
    let mut terminate = listen(SignalKind::terminate());
    let mut interrupt = listen(SignalKind::interrupt());
    tokio::select! {
        () = next(&mut terminate) => {}
        () = next(&mut interrupt) => {}
    }
}

fn listen(kind: SignalKind) -> Option<Signal> {
    match signal(kind) {
        Ok(signal) => Some(signal),
        Err(error) => {
            tracing::error!(%error, "cannot listen for a signal");
            None
        }
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
