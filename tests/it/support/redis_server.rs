//! A real Redis server, a thread through which it can be cut off, and a server that talks
//! nonsense.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{PATIENCE, eventually, ports};

/// A server of the test's own.
pub struct RedisServer {
    /// Where it listens.
    pub address: SocketAddr,
    folder: TempDir,
    child: Option<Child>,
    options: Vec<String>,
}

impl RedisServer {
    /// Starts one with these further options.
    pub async fn start(options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { address: ports::free(), folder, child: None, options };
        server.again().await;
        server
    }

    /// Starts it again after [`Self::stop`], with what it has kept.
    pub async fn again(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new("redis-server")
            .args(["--port", &self.address.port().to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--dir", self.folder.path().to_str().unwrap()])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(log)
            .spawn()
            .expect("the tests need redis-server (Debian: apt-get install redis-server)");
        self.child = Some(child);
        let up = async || {
            let connection = self.connect().await;
            match connection {
                Some(mut connection) => {
                    redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
                }
                None => false,
            }
        };
        eventually("redis-server starts", PATIENCE, up).await;
    }

    /// Kills it, as a machine that goes away does.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it from answering: its connections stay open, and new ones are taken by the
    /// system.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Has it go on after [`Self::pause`].
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        let command = format!("kill -{name} {}", child.id());
        let status = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(status.success(), "{command}");
    }

    /// Asks it something directly.
    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = self.connect().await.expect("redis-server");
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]);
        asked.query_async(&mut connection).await.unwrap()
    }

    async fn connect(&self) -> Option<redis::aio::MultiplexedConnection> {
        let client = redis::Client::open(format!("redis://{}", self.address)).unwrap();
        client.get_multiplexed_async_connection().await.ok()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a [`Thread`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// Everything passes.
    All,
    /// Connections are closed, new ones too.
    Nothing,
    /// Connections stay open, and nothing passes: what a cut cable looks like.
    Silence,
}

/// A TCP proxy that can be severed.
pub struct Thread {
    /// Where it listens.
    pub address: SocketAddr,
    passing: Arc<watch::Sender<Passing>>,
}

impl Thread {
    /// One that leads to this address.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let passing = Arc::new(watch::channel(Passing::All).0);
        let says = passing.clone();
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let (up, down) = (says.subscribe(), says.subscribe());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(server).await else { return };
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    tokio::spawn(pass(near_read, far_write, up));
                    pass(far_read, near_write, down).await;
                });
            }
        });
        Self { address, passing }
    }

    /// Says what passes from now on.
    pub fn set(&self, passing: Passing) {
        self.passing.send_replace(passing);
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut passing: watch::Receiver<Passing>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let now = *passing.borrow_and_update();
        let read = tokio::select! {
            _ = passing.changed() => continue,
            read = from.read(&mut buffer), if now == Passing::All => read.unwrap_or(0),
            () = std::future::ready(()), if now == Passing::Nothing => 0,
        };
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// A server that answers everything with these bytes.
pub async fn nonsense(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
