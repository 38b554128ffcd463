//! Many sources at once.
//!
//! | row | against | goal |
//! |---|---|---|
//! | 1,000 sources of 10 pages into 1,000 files | the same records as 4 sources | wall at most 1.3 × |
//! | the first of the 1,000 to finish, and the last | each other | at most 1.2 × |
//! | 1,000 sources of 2 pages, which is mostly opening and closing | the same records as 4 sources | wall at most 1.3 × |
//! | 10,000 sources that wait, for a server said so | | at most 20 KiB each, at most 2 % CPU |
//!
//! Of 10 pages each, sources that are served in turns finish within 11 % of each other, counted from the start of the run;
//! of 2 pages each that would be 100 %, so there it says nothing.
//!
//! ```text
//! cargo bench --bench sources
//! ```

mod arguments;
mod goals;
mod process;
mod sample;
mod server;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use headwater::paginate::PageNumber;
use headwater::pipeline::Event;
use headwater::sink::{Jsonl, Memory};
use headwater::transport::{Response, Transport};
use headwater::{Http, Limiter, Pipeline, Request, RetryPolicy, Shutdown, Source};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};

use arguments::Asked;
use goals::Goals;
use server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const ROUNDS: usize = 3;
/// Pages of each of many sources.
const LONG: u64 = 10;
const SHORT: u64 = 2;

/// Seconds for a whole run, and until the first and the last source had finished.
#[derive(Debug, Clone, Copy)]
struct Taken {
    wall: f64,
    first: f64,
    last: f64,
}

async fn pull(dir: &Path, http: &Http, server: &Server, sources: u64, pages: u64) -> Outcome<Taken> {
    let start = Instant::now();
    let finished: Arc<Mutex<Vec<f64>>> = Arc::default();
    let noted = finished.clone();
    let mut pipeline = Pipeline::new().sink(Jsonl::dir(dir)).observe(move |event| {
        if let Event::Finished { .. } = event {
            noted.lock().expect("nobody panics").push(start.elapsed().as_secs_f64());
        }
    });
    for number in 0..sources {
        let source =
            Source::get(format!("bench_{number}"), server.url(&sample::EVENTS, pages, Duration::ZERO))
                .records("data")
                .paginate(PageNumber::new().until_false("has_more"))
                .transport(http.clone())
                .build()?;
        pipeline = pipeline.source(source);
    }
    let report = pipeline.run().await?;
    let records: u64 = report.sources.iter().map(|source| source.records).sum();
    if records != sources * pages * sample::EVENTS.records_per_page {
        return Err(format!("{records} records").into());
    }
    let finished = finished.lock().expect("nobody panics");
    let (first, last) = (finished[0], finished[finished.len() - 1]);
    let taken = Taken { wall: start.elapsed().as_secs_f64(), first, last };
    empty(dir)?;
    Ok(taken)
}

/// Gives the space of the files back. The files stay until the end of all rows: some file systems are slow to make files
/// where many were removed within the last minute.
fn empty(dir: &Path) -> Outcome<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() {
            File::options().write(true).open(path)?.set_len(0)?;
        }
    }
    Ok(())
}

/// So many sources of so many pages, against the same records from 4: rounds by turns, those of the middle ratio.
async fn rounds(disk: &Path, http: &Http, server: &Server, many: u64, pages: u64) -> Outcome<(Taken, Taken)> {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let place = |what: &str| disk.join(format!("{what}_{pages}_{round}"));
        let few = pull(&place("few"), http, server, 4, many * pages / 4).await?;
        rounds.push((few, pull(&place("many"), http, server, many, pages).await?));
    }
    rounds.sort_by(|a, b| (a.1.wall / a.0.wall).total_cmp(&(b.1.wall / b.0.wall)));
    Ok(rounds[rounds.len() / 2])
}

/// Prints both times and adds their ratio.
fn add_wall(goals: &mut Goals, (few, all): (Taken, Taken), many: u64, pages: u64) {
    println!("{:<60}  {:>7.2} s", format!("{} pages from 4 sources", many * pages), few.wall);
    println!("{:<60}  {:>7.2} s", format!("the same from {many} sources of {pages} pages"), all.wall);
    let what = format!("{many} sources of {pages} pages, against 4: wall");
    goals.at_most(what, all.wall / few.wall, 1.3, "x");
}

/// Always says: come back in an hour.
struct Later;

impl Transport for Later {
    fn send<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, headwater::Result<Response>> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("3600"))]);
        Box::pin(ready(Ok(Response {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers,
            body: Bytes::new(),
            received_at: SystemTime::now(),
        })))
    }
}

/// Bytes for each source that waits, and the part of a second of CPU time that they all take in a second.
async fn wait(sources: usize, time: Duration) -> Outcome<(f64, f64)> {
    let mut pipeline = Pipeline::new().sink(Memory::new());
    let shutdown = Shutdown::new();
    let before = process::resident().ok_or("this needs Linux's /proc")?;
    for number in 0..sources {
        let source = Source::get(format!("bench_{number}"), "https://api.example.com/items")
            .records("data")
            .paginate(PageNumber::new().until_false("has_more"))
            .rate_limit(Limiter::per_second(1.0))
            .retry(RetryPolicy::exponential().max_wait(Duration::from_secs(7_200)))
            .transport(Later)
            .build()?;
        pipeline = pipeline.source(source);
    }
    let run = tokio::spawn(pipeline.shutdown(shutdown.clone()).run());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = process::resident().ok_or("this needs Linux's /proc")?;
    let cpu = process::cpu_seconds().ok_or("this needs Linux's /proc")?;
    tokio::time::sleep(time).await;
    let cpu = process::cpu_seconds().ok_or("this needs Linux's /proc")? - cpu;
    shutdown.at_once();
    let _ = run.await;
    Ok(((after.saturating_sub(before)) as f64 / sources as f64, cpu / time.as_secs_f64()))
}

async fn race(server: &Server, many: u64, waiting: usize) -> Outcome<Goals> {
    let (idle, cpu) = wait(waiting, Duration::from_secs(5)).await?;
    let http = Http::builder().no_proxy().build()?;
    // On the disk of the build, for `/tmp` may be memory.
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let long = rounds(disk.path(), &http, server, many, LONG).await?;
    let short = rounds(disk.path(), &http, server, many, SHORT).await?;
    let mut goals = Goals::of("sources");
    println!();
    add_wall(&mut goals, long, many, LONG);
    let apart = long.1.last / long.1.first;
    goals.at_most("the last of them to finish, against the first", apart, 1.2, "x");
    add_wall(&mut goals, short, many, SHORT);
    goals.at_most(format!("{waiting} sources that wait: memory of each"), idle / 1024.0, 20.0, "KiB");
    goals.at_most(format!("{waiting} sources that wait: CPU time"), cpu * 100.0, 2.0, "%");
    Ok(goals)
}

fn main() -> Outcome<()> {
    server::serve_if_asked()?;
    let test = match arguments::asked() {
        Asked::Nothing => return Ok(()),
        asked => asked == Asked::Test,
    };
    let (many, waiting) = if test { (8, 10) } else { (1_000, 10_000) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let server = Server::start()?;
    let goals = runtime.block_on(race(&server, many, waiting))?;
    if test {
        return Ok(());
    }
    goals.print();
    Ok(goals.keep()?)
}
