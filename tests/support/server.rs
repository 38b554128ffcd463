//! Foreign servers: real ones that nobody here wrote, each in a process of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{client, eventually};

/// The Python that a program which pip has installed runs on: it stands beside it.
pub(crate) fn python(program: &Path) -> PathBuf {
    program.with_file_name(format!("python{}", std::env::consts::EXE_SUFFIX))
}

/// A foreign server that answers. It is killed when this is dropped.
pub(crate) struct Server {
    process: Child,
    dir: tempfile::TempDir,
    url: String,
}

impl Server {
    /// Starts the command that is made for a port and an empty directory of the server's own, and waits until
    /// it answers, with whatever status.
    ///
    /// # Panics
    /// With what it said, if it ends instead.
    pub(crate) async fn start(command: impl Fn(u16, &Path) -> Command) -> Self {
        let client = client();
        let mut log = String::new();
        // Someone else may have taken the port in the meantime.
        for _ in 0..3 {
            let port = free_port();
            let dir = tempfile::tempdir().expect("a directory for the server");
            let mut command = command(port, dir.path());
            let file = std::fs::File::create(dir.path().join("log")).expect("a file for the log");
            let out = || file.try_clone().expect("the log, for writing");
            let process = command.stdin(Stdio::null()).stdout(out()).stderr(out()).spawn();
            let process = process.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
            let mut server = Self { process, dir, url: format!("http://127.0.0.1:{port}") };
            if server.is_ready(&client).await {
                return server;
            }
            log = server.log();
        }
        panic!("the server does not start:\n{log}");
    }

    /// Waits until it answers. False if it has ended instead.
    async fn is_ready(&mut self, client: &reqwest::Client) -> bool {
        eventually("an answer of the server", async || match self.process.try_wait() {
            Ok(None) => client.get(&self.url).send().await.is_ok().then_some(true),
            _ => Some(false),
        })
        .await
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The JSON at a path.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = client().get(self.url(path)).send().await.expect("an answer");
        let body = response.text().await.expect("a body");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error} in {body}"))
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it has ended by itself, there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its number").port()
}
