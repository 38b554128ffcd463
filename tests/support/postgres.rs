//! A PostgreSQL server of one's own, from the system's package, on a private port with a folder that goes with it.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{eventually, server_program};

/// The user that the package makes, for root may not run a server.
const USER: &str = "postgres";

pub(crate) struct Postgres {
    process: Child,
    dir: tempfile::TempDir,
    port: u16,
}

/// The folder of the programs of the newest version; `None` if it is not installed.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    let folders = versions.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let newest = folders.filter(|bin| bin.join("postgres").is_file()).max();
    newest.or_else(|| {
        let found = server_program("postgres", "HEADWATER_POSTGRES", "apt-get install postgresql")?;
        found.parent().map(Path::to_path_buf)
    })
}

fn id(flag: &str, user: &[&str]) -> u32 {
    let output = Command::new("id").arg(flag).args(user).output().expect("id can be run");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

/// A command of the server's user, if this is root.
fn command(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    if id("-u", &[]) == 0 {
        command.uid(id("-u", &[USER])).gid(id("-g", &[USER]));
    }
    command.stdin(Stdio::null());
    command
}

impl Postgres {
    /// Starts it, empty; `None` if it is not installed. `safe`: it syncs, as a server does.
    pub(crate) async fn start(safe: bool) -> Option<Self> {
        let programs = programs()?;
        let dir = tempfile::Builder::new().prefix("pg").tempdir().expect("a directory for the server");
        let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("a directory that all may pass");
        let data = dir.path().join("data");
        std::fs::create_dir(&data).expect("a directory for the data");
        if id("-u", &[]) == 0 {
            let (user, group) = (id("-u", &[USER]), id("-g", &[USER]));
            std::os::unix::fs::chown(&data, Some(user), Some(group))
                .expect("a directory of the server's user");
        }
        let mut initdb = command(programs.join("initdb"));
        initdb
            .args(["-U", "tester", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data);
        let made = initdb.current_dir(&data).output().expect("initdb can be run");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        drop(listener);
        let log = std::fs::File::create(dir.path().join("log")).expect("a file for the log");
        let mut server = command(programs.join("postgres"));
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-c"]);
        server.arg(format!("unix_socket_directories={}", data.display()));
        server.args(["-c", "timezone=UTC"]);
        if !safe {
            server.args(["-c", "fsync=off"]);
        }
        server.current_dir(&data).stdout(Stdio::null()).stderr(log);
        let process = server.spawn().expect("postgres can be started");
        let started = Self { process, dir, port };
        eventually("a connection", async || started.client().await.ok()).await;
        Some(started)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the database, through another port if one is told.
    pub(crate) fn url(&self, port: Option<u16>) -> String {
        format!("postgres://tester:hunter2@127.0.0.1:{}/postgres", port.unwrap_or(self.port))
    }

    pub(crate) async fn client(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url(None), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// The rows of a query, each as the text of its values.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let client = self.client().await.expect("a connection");
        let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let row = |message: tokio_postgres::SimpleQueryMessage| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                let value = |index| row.get(index).unwrap_or("NULL");
                Some((0..row.len()).map(value).collect::<Vec<_>>().join("|"))
            }
            _ => None,
        };
        messages.into_iter().filter_map(row).collect()
    }

    /// Kills one of its processes that serve a connection of ours, whereupon the server restarts all of them.
    pub(crate) async fn kill_a_backend(&self, random: &mut fastrand::Rng) -> bool {
        let Ok(client) = self.client().await else { return false };
        let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'headwater'";
        let Ok(rows) = client.query(sql, &[]).await else { return false };
        let pids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        let Some(pid) = random.choice(pids) else { return false };
        Command::new("kill").args(["-9", &pid.to_string()]).status().is_ok_and(|status| status.success())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once, and its children with it.
        let _ = Command::new("kill").args(["-QUIT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}
