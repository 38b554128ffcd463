//! The server that the benchmarks pull from: this program, started once more as a process of its own, so that the CPU
//! time and the memory of the clients can be told apart.
//!
//! `GET /{shape}/{pages}/{latency}?page=3` gives page 3 of so many, after so many milliseconds. Answers are rendered
//! once, when they are first asked for; only the id of the first record is the page's own, for the guard against circles
//! would take one page under all numbers for a server that ignores them. Behind the last page there is an empty one. One
//! thread a connection, and two system calls a request: it costs as little as can be.

// Each benchmark uses a part of it.
#![allow(dead_code, reason = "each bench uses its part")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Outcome;
use super::sample::{self, Shape};

/// Makes this program the server.
const SERVE: &str = "HEADWATER_BENCH_SERVE";
/// One thread for each connection, and there may be a thousand.
const STACK: usize = 64 * 1024;

pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts this program as the server; it ends when it is dropped, or when this process ends in whatever way.
    pub(crate) fn start() -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(SERVE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut address)?;
        Ok(Self { child, address: address.trim().to_owned() })
    }

    /// A list of so many pages.
    pub(crate) fn url(&self, shape: &Shape, pages: u64, latency: Duration) -> String {
        format!("http://{}/{}/{pages}/{}", self.address, shape.name, latency.as_millis())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves, if this process was started for that. Comes back when it was not.
pub(crate) fn serve_if_asked() -> Outcome<()> {
    if std::env::var_os(SERVE).is_none() {
        return Ok(());
    }
    let answers: Answers = sample::ALL.iter().map(|shape| (shape.name, (*shape, OnceLock::new()))).collect();
    let answers = Arc::new(answers);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let answers = answers.clone();
            let served =
                std::thread::Builder::new().stack_size(STACK).spawn(move || answer(connection, &answers));
            drop(served);
        }
    });
    // Ends when the other side is gone, however it went.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    std::process::exit(0);
}

/// The shapes by their names, and what was rendered of them.
type Answers = HashMap<&'static str, (Shape, OnceLock<[Rendered; 2]>)>;

/// An answer in three pieces; the one in the middle is the id of the first record.
struct Rendered {
    before: Vec<u8>,
    digits: usize,
    after: Vec<u8>,
}

/// What there is behind the last page.
const NOTHING: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 28\r\n\r\n\
                         {\"data\":[],\"has_more\":false}";

/// The ids of a page so far on have the same number of digits as all others.
const FAR: u64 = 100_000;

/// A page as one of many, and as the last.
fn render(shape: &Shape) -> [Rendered; 2] {
    [FAR + 1, FAR].map(|pages| {
        let body = shape.page(FAR, pages);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
        let mut before = format!("{head}: {}\r\n\r\n", body.len()).into_bytes();
        let id = body.windows(5).position(|bytes| bytes == b"\"id\":").map_or(0, |at| at + 5);
        let digits = body[id..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        before.extend_from_slice(&body[..id]);
        Rendered { before, digits, after: body[id + digits..].to_vec() }
    })
}

impl Rendered {
    fn send(&self, connection: &mut TcpStream, number: u64) -> std::io::Result<()> {
        let digits = format!("{}", 10_u64.pow(self.digits as u32 - 1) + number);
        let mut pieces = [&self.before[..], digits.as_bytes(), &self.after].map(IoSlice::new);
        let mut left = &mut pieces[..];
        while !left.is_empty() {
            let sent = connection.write_vectored(left)?;
            if sent == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut left, sent);
        }
        Ok(())
    }
}

/// Answers one connection until it is closed.
fn answer(mut connection: TcpStream, answers: &Answers) -> Outcome<()> {
    connection.set_nodelay(true)?;
    let mut asked = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let count = connection.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        asked.extend_from_slice(&bytes[..count]);
        if !asked.ends_with(b"\r\n\r\n") {
            continue;
        }
        let target = asked.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let (path, query) = std::str::from_utf8(target)?.split_once('?').unwrap_or_default();
        let mut parts = path.split('/').skip(1);
        let (shape, rendered) = answers.get(parts.next().unwrap_or_default()).ok_or("no such list")?;
        let list = rendered.get_or_init(|| render(shape));
        let pages: u64 = parts.next().ok_or("how many pages?")?.parse()?;
        let latency: u64 = parts.next().ok_or("what latency?")?.parse()?;
        let number = query.split('&').find_map(|pair| pair.strip_prefix("page=")).ok_or("which page?")?;
        let number: u64 = number.parse()?;
        if latency > 0 {
            std::thread::sleep(Duration::from_millis(latency));
        }
        if number > pages {
            connection.write_all(NOTHING)?;
        } else {
            list[usize::from(number == pages)].send(&mut connection, number)?;
        }
        asked.clear();
    }
}
