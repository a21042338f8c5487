//! What the operator's signals mean: SIGHUP reloads, SIGTERM drains, SIGINT (Ctrl-C)
//! drains without the delay that is for load balancers. A second one ends at once.
//!
//! They are listened for before anything is served: whoever signals a process that is still
//! starting is heard once it has started, instead of killing it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that mean something.
pub struct Signals {
    hangup: Option<Signal>,
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> Self {
        Self {
            hangup: listen(SignalKind::hangup()),
            terminate: listen(SignalKind::terminate()),
            interrupt: listen(SignalKind::interrupt()),
        }
    }

    /// Waits to be asked to stop, reloading when asked to; true for a quick stop (SIGINT).
    pub async fn until_asked_to_stop(&mut self, mut reload: impl FnMut()) -> bool {
        loop {
            tokio::select! {
                () = next(&mut self.hangup) => reload(),
                () = next(&mut self.terminate) => return false,
                () = next(&mut self.interrupt) => return true,
            }
        }
    }

    /// Waits for SIGTERM or SIGINT.
    pub async fn asked_again(&mut self) {
        tokio::select! {
            () = next(&mut self.terminate) => {}
            () = next(&mut self.interrupt) => {}
        }
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
