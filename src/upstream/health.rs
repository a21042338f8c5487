//! Whether a site's backends are well: each known address is asked for a path now and then,
//! over a connection of its own. An ill one gets no requests while another is well.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::endpoint::Endpoint;
use super::line::connect;
use super::pool::Pool;
use crate::plan::HealthCheck;

/// Probes every address of a pool, for as long as anybody has it. `site` and `host` (the
/// configured `Host`, if there is one) are for the log and the probe.
pub async fn keep_probed(pool: Weak<Pool>, site: Arc<str>, host: Option<String>) {
    while let Some(pool) = pool.upgrade() {
        let Some(check) = pool.health.clone() else { return };
        let probes = pool.all().map(|(own, endpoint)| {
            let host = host.clone().unwrap_or_else(|| own.to_owned());
            let check = check.clone();
            async move {
                let result = probe(&endpoint, &host, &check).await;
                (endpoint, result)
            }
        });
        for (endpoint, result) in futures_util::future::join_all(probes).await {
            let news = pool.note_health(&endpoint, result.is_err());
            match result {
                Ok(()) if news => tracing::info!(%site, %endpoint, "a backend is well again"),
                Err(problem) if news => tracing::warn!(
                    %site, %endpoint, problem,
                    "a backend is ill; while another is well it gets no requests"
                ),
                _ => {}
            }
        }
        drop(pool);
        tokio::time::sleep(check.interval).await;
    }
}

/// 2xx and 3xx are well.
async fn probe(endpoint: &Endpoint, host: &str, check: &HealthCheck) -> Result<(), String> {
    let asking = async {
        let line = connect(endpoint, Duration::MAX).await;
        let mut line = line.map_err(|error| error.to_string())?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: countersign/{}\r\nConnection: close\r\n\r\n",
            check.path,
            env!("CARGO_PKG_VERSION"),
        );
        let exchange = async {
            line.write_all(request.as_bytes()).await?;
            line.flush().await?;
            // `HTTP/1.1 200`: more is not looked at.
            let mut status = [0; 12];
            line.read_exact(&mut status).await?;
            Ok::<_, std::io::Error>(status)
        };
        let status = exchange.await.map_err(|error| error.to_string())?;
        verdict(&status)
    };
    match tokio::time::timeout(check.timeout, asking).await {
        Ok(result) => result,
        Err(_) => Err("no answer in time".to_owned()),
    }
}

fn verdict(status: &[u8; 12]) -> Result<(), String> {
    let text = std::str::from_utf8(status).unwrap_or_default();
    let code = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..));
    match code.and_then(|code| code.parse::<u16>().ok()) {
        Some(200..=399) => Ok(()),
        Some(code) => Err(format!("status {code}")),
        None => Err("the answer is not HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn a_status_of_success_or_redirection_is_well() {
        for well in [b"HTTP/1.1 200", b"HTTP/1.0 204", b"HTTP/1.1 302"] {
            assert_eq!(verdict(well), Ok(()));
        }
        assert_eq!(verdict(b"HTTP/1.1 503"), Err("status 503".into()));
        for other in [
            b"HTTP/2.0 200",
            b"SSH-2.0-Open",
            b"HTTP/1.1 20x",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(verdict(other), Err("the answer is not HTTP".into()));
        }
    }
}
