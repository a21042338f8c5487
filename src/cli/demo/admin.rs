//! The gateway's admin listener, as the demo asks it: plain HTTP/1.1, one question a
//! connection.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// An answer.
pub struct Told {
    /// Its status; 0 if there was none.
    pub status: u16,
    /// Its body.
    pub body: String,
}

/// Asks for a path. `authorization` is the whole value of that header; a body is JSON.
///
/// # Errors
/// Nobody answers.
pub async fn ask(
    admin: SocketAddr,
    method: &str,
    path: &str,
    authorization: Option<&str>,
    body: &str,
) -> io::Result<Told> {
    let mut stream = tokio::net::TcpStream::connect(admin).await?;
    let authorization = authorization.map(|value| format!("Authorization: {value}\r\n"));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        authorization.unwrap_or_default(),
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(told(&String::from_utf8_lossy(&answer)))
}

fn told(answer: &str) -> Told {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Told { status, body: body.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let answer = told("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!((answer.status, answer.body.as_str()), (400, "{}"));
        assert_eq!(told("").status, 0);
    }
}
