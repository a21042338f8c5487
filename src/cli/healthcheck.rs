//! `countersign healthcheck`: asks a running instance's `/readyz`, for container images
//! that have neither a shell nor curl.
//!
//! The health listener is asked if there is one, else the admin listener. Of the
//! configuration only their two keys are read: a file that has been broken elsewhere since
//! the start must not make a healthy instance look ill and be restarted into the broken
//! file. Where the two keys cannot be read nothing can be told; no other place is guessed.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::exit;
use crate::config;
use crate::plan::Address;

/// Time for everything.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of an answer, head included.
const MAX_ANSWER: u64 = 256 * 1024;

/// Arguments of `countersign healthcheck`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 ready or degraded; 1 not ready; 2 could not tell, because nobody answers or
`admin` and `health` in the configuration cannot be read. Problems anywhere else in it do
not matter here.

Examples:
  countersign healthcheck
  countersign healthcheck --url http://127.0.0.1:9091/readyz")]
pub struct Args {
    /// The instance's configuration, of which only `health` and `admin` are read [default: countersign.yaml, then
    /// /etc/countersign/countersign.yaml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask there and read no configuration: http://host:port[/readyz], or unix:/path.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    url: Option<String>,
}

/// Runs the command; 0 is ready or degraded, 1 not ready, 2 could not tell.
pub fn main(args: &Args) -> u8 {
    match place(args).and_then(|place| ask(&place)) {
        Ok(answer) if answer.status == 200 => {
            println!("{}", answer.body);
            exit::YES
        }
        Ok(answer) if answer.status == 503 => {
            println!("{}", answer.body);
            exit::NO
        }
        Ok(answer) => fault(&format!("answered {}, which /readyz never does", answer.status)),
        Err(error) => fault(&error),
    }
}

fn fault(error: &str) -> u8 {
    eprintln!("countersign healthcheck: {error}");
    exit::FAULT
}

/// Where to ask, and for what.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    address: Address,
    host: String,
    path: String,
}

impl Place {
    fn at(address: Address) -> Self {
        let (address, host) = match address {
            Address::Tcp(tcp) => {
                let tcp = reachable(tcp);
                (Address::Tcp(tcp), tcp.to_string())
            }
            unix @ Address::Unix(_) => (unix, "localhost".to_owned()),
        };
        Self { address, host, path: "/readyz".to_owned() }
    }
}

/// A listener at every address is asked over loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn place(args: &Args) -> Result<Place, String> {
    if let Some(url) = &args.url {
        return place_of_url(url);
    }
    let path = args.config.clone().unwrap_or_else(config::default_path);
    match config::probe_address(&path) {
        Ok(Some(address)) => Ok(Place::at(address)),
        Ok(None) => Err("the configuration has neither an admin nor a health listener; \
             --url asks elsewhere"
            .to_owned()),
        Err(problems) => Err(format!("{problems}\nwhere to ask is not known; --url says it")),
    }
}

fn place_of_url(url: &str) -> Result<Place, String> {
    if let Some(path) = url.strip_prefix("unix:") {
        return Ok(Place::at(Address::Unix(path.into())));
    }
    let bad = || format!("{url}: expected http://host:port[/readyz] or unix:/path");
    let uri: http::Uri = url.parse().map_err(|_| bad())?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(bad());
    };
    let name = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let mut found = (name, uri.port_u16().unwrap_or(80))
        .to_socket_addrs()
        .map_err(|error| format!("{name}: {error}"))?;
    let address = found.next().ok_or_else(|| format!("{name} has no address"))?;
    let path = match uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str) {
        "/" => "/readyz".to_owned(),
        path => path.to_owned(),
    };
    Ok(Place { address: Address::Tcp(reachable(address)), host: authority.to_string(), path })
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: String,
}

fn ask(place: &Place) -> Result<Answer, String> {
    let deadline = Instant::now() + TIMEOUT;
    let failed = |error: std::io::Error| format!("{}: {error}", place.address);
    let bytes = match &place.address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, TIMEOUT).map_err(failed)?;
            stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
            let limit = |left| stream.set_read_timeout(Some(left));
            talk(&stream, place, deadline, limit).map_err(failed)?
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(failed)?;
            stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
            let limit = |left| stream.set_read_timeout(Some(left));
            talk(&stream, place, deadline, limit).map_err(failed)?
        }
    };
    parse(&bytes).ok_or_else(|| format!("{}: what answers is not HTTP", place.address))
}

/// One request, and what comes until the other side closes.
fn talk<S>(
    stream: S,
    place: &Place,
    deadline: Instant,
    limit: impl Fn(Duration) -> std::io::Result<()>,
) -> std::io::Result<Vec<u8>>
where
    S: Read + Write,
{
    let mut stream = stream.take(MAX_ANSWER);
    let Place { host, path, .. } = place;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        limit(left)?;
        match stream.read(&mut chunk)? {
            0 => return Ok(answer),
            length => answer.extend(chunk.iter().take(length)),
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
    let body = String::from_utf8_lossy(bytes.get(length..)?).into_owned();
    // It goes to somebody's terminal.
    let body = body.replace(char::is_control, " ");
    Some(Answer { status: head.code?, body })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn at(url: String) -> u8 {
        main(&Args { config: None, url: Some(url) })
    }

    /// Answers one connection with these bytes, once a request is there; returns its port.
    fn answering(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\nHost: "));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        port
    }

    #[test]
    fn ready_is_0_not_ready_1_and_what_cannot_be_told_2() {
        for (answer, code) in [
            ("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"degraded\"}", exit::YES),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n{\"status\":\"failed\"}", exit::NO),
            ("HTTP/1.1 404 Not Found\r\n\r\n", exit::FAULT),
            ("SSH-2.0-OpenSSH\r\n", exit::FAULT),
            ("", exit::FAULT),
        ] {
            let port = answering(answer);
            assert_eq!(at(format!("http://127.0.0.1:{port}")), code, "{answer}");
        }
    }

    #[test]
    fn nobody_there_cannot_be_told() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(at(format!("http://127.0.0.1:{port}/readyz")), exit::FAULT);
    }

    #[test]
    fn a_unix_socket_is_asked_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{}").unwrap();
        });
        assert_eq!(at(format!("unix:{}", path.display())), exit::YES);
    }

    #[test]
    fn an_instance_that_never_finishes_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let place = Place::at(Address::Tcp(address));
        let stream = TcpStream::connect(address).unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        let limit = |left| stream.set_read_timeout(Some(left));
        assert!(talk(&stream, &place, deadline, limit).is_err());
    }

    #[test]
    fn the_health_listener_is_asked_before_the_admin_listener() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("countersign.yaml");
        let placed = |text: &str| {
            std::fs::write(&config, text).unwrap();
            place(&Args { config: Some(config.clone()), url: None })
        };
        let health = "health: { address: 0.0.0.0:9091 }\nadmin: { address: 127.0.0.1:9092 }";
        assert_eq!(placed(health).unwrap().host, "127.0.0.1:9091");
        assert_eq!(placed("admin: { address: 127.0.0.1:9092 }").unwrap().host, "127.0.0.1:9092");
        assert_eq!(placed("version: 1").unwrap().host, "127.0.0.1:9090");
        assert_eq!(placed("sites: [").unwrap_err().matches("countersign.yaml").count(), 1);
        assert!(placed("admin: off").is_err());
    }

    #[test]
    fn urls_that_cannot_be_asked_are_faults() {
        for url in ["https://127.0.0.1:9090", "127.0.0.1:9090", "ftp://x", "http://", ""] {
            assert_eq!(at(url.to_owned()), exit::FAULT, "{url}");
        }
        let place = place_of_url("http://[::]:9090/readyz?verbose").unwrap();
        assert_eq!(place.address, Address::Tcp("[::1]:9090".parse().unwrap()));
        assert_eq!(place.path, "/readyz?verbose");
    }
}
