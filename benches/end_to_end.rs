//! The whole job over loopback into real files: from a paged API to annotated lines on disk.
//!
//! | contestant | what it does |
//! |---|---|
//! | `bare download` | `reqwest`, every body as it is into one file, no look into it but at its last bytes, for the flag; nothing is synced, so a power cut takes it |
//! | `bare download, in main` | the same on the main thread, as `#[tokio::main]` does it: every piece of a body crosses from the thread of the connection, which makes it slower. Not a floor; it is here for figures that were measured this way |
//! | `bare download, synced` | the floor: the first, and one `fdatasync` at the end, so that its file is as durable as the others' that it is compared with |
//! | `by hand` | what most would write: `reqwest`, `futures::stream::try_unfold`, `serde_json::Value`, two fields inserted, a `BufWriter`; no retry, no limit, no checkpoint, no sync |
//! | `headwater` | `Source`, `Pipeline` and `Jsonl`, with limiter, retry, the guard against circles, a checkpoint every second, every commit synced |
//!
//! | goal: `headwater` against | `issues` | `events` |
//! |---|---|---|
//! | the floor, wall | at most 1.5 × | at most 1.7 × |
//! | the floor, CPU | at most 2 × | at most 2.2 × |
//! | a download that nobody synced, both | the same goals, for the record: it does less | |
//! | `by hand`, speed | at least 2.5 × | at least 2.5 × |
//! | `by hand`, CPU | at most 0.25 × | at most 0.25 × |
//!
//! All have the same server (`server`), the same pages, the same runtime and a connection that is already open, and all
//! but the second run as a task of the runtime, for that is where each of them is at its best or near it. Wall times are medians, CPU times
//! (user + system of this process, from `/proc/self/stat` in steps of 10 ms) are means of the same rounds,
//! in which the contestants take turns.
//!
//! The lists are long enough for what a run takes at its beginning and its end not to count for much.
//!
//! The floor is synced, for what it is held against is: a file that a power cut takes is not the same job. What `headwater`
//! takes against a download that is not stands beside it, with the same goals.
//!
//! ```text
//! cargo bench --bench end_to_end
//! HEADWATER_BENCH_SCALE=3 cargo bench --bench end_to_end     # 900,000 issues, 9,000,000 events; its rows are not kept
//! HEADWATER_BENCH_ONLY=headwater cargo bench --bench end_to_end    # for profilers: this contestant alone, or several
//!                                                                  # (`bare download+headwater`); no goals
//! HEADWATER_BENCH_LIST=events cargo bench --bench end_to_end       # this list alone; its rows are not kept
//! ```

mod arguments;
mod contestants;
mod goals;
mod process;
mod sample;
mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use headwater::Http;
use reqwest::Client;

use arguments::Asked;
use contestants::{by_hand, download, headwater};
use goals::Goals;
use process::cpu_seconds;
use sample::Shape;
use server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A list of the server: the shape of its pages, how many there are, and how many times the wall and CPU time of the floor
/// it may take.
const LISTS: [(Shape, u64, [f64; 2]); 2] =
    [(sample::ISSUES, 3000, [1.5, 2.0]), (sample::EVENTS, 3000, [1.7, 2.2])];
/// How many times as fast as `by hand`, and which part of its CPU time.
const BY_HAND: [f64; 2] = [2.5, 0.25];
const CONTESTANTS: [&str; 5] =
    ["bare download", "bare download, in main", "bare download, synced", "by hand", "headwater"];
const IN_MAIN: usize = 1;
const FLOOR: usize = 2;
const ROUNDS: usize = 7;
const SCALE: &str = "HEADWATER_BENCH_SCALE";
const ONLY: &str = "HEADWATER_BENCH_ONLY";
const LIST: &str = "HEADWATER_BENCH_LIST";

/// What a run took.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    wall: f64,
    cpu: Option<f64>,
}

/// The contestants, warmed up, with what they have to do.
struct Race {
    runtime: tokio::runtime::Runtime,
    client: Client,
    http: Http,
    server: Server,
    /// Who takes part.
    asked: Vec<usize>,
}

impl Race {
    fn run(&self, contestant: usize, shape: &Shape, pages: u64) -> Outcome<Taken> {
        // On the disk of the build, for `/tmp` may be memory.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let url = self.server.url(shape, pages, Duration::ZERO);
        let (cpu, start) = (cpu_seconds(), Instant::now());
        let (client, http, path) = (self.client.clone(), self.http.clone(), dir.path().to_owned());
        let work = async move {
            match contestant {
                0 | IN_MAIN => download(&client, &url, &path, false).await,
                FLOOR => download(&client, &url, &path, true).await,
                3 => by_hand(&client, &url, &path).await,
                _ => headwater(&http, &url, &path).await,
            }
        };
        if contestant == IN_MAIN {
            self.runtime.block_on(work)?;
        } else {
            self.runtime.block_on(self.runtime.spawn(work))??;
        }
        let wall = start.elapsed().as_secs_f64();
        let cpu = cpu_seconds().zip(cpu).map(|(after, before)| after - before);
        if contestant >= 3 {
            check(dir.path(), shape.records_per_page * pages)?;
        }
        Ok(Taken { wall, cpu })
    }

    /// For each contestant that takes part the median of the wall times and the mean of the CPU times.
    fn race(&self, shape: &Shape, pages: u64, rounds: usize) -> Outcome<[Option<Taken>; 5]> {
        let mut taken: [Vec<Taken>; 5] = Default::default();
        for round in 0..rounds {
            for turn in 0..self.asked.len() {
                let contestant = self.asked[(round + turn) % self.asked.len()];
                taken[contestant].push(self.run(contestant, shape, pages)?);
            }
        }
        Ok(taken.map(|mut taken| {
            taken.sort_by(|a, b| a.wall.total_cmp(&b.wall));
            let cpu: Option<f64> = taken.iter().map(|taken| taken.cpu).sum();
            let wall = taken.get(taken.len() / 2)?.wall;
            Some(Taken { wall, cpu: cpu.map(|cpu| cpu / taken.len() as f64) })
        }))
    }
}

/// Every record is there, on a line of its own.
fn check(dir: &Path, records: u64) -> Outcome<()> {
    let files = std::fs::read_dir(dir)?.filter_map(Result::ok).map(|entry| entry.path());
    let file = files.into_iter().find(|path| path.extension().is_some_and(|name| name == "jsonl"));
    let lines = std::fs::read(file.ok_or("no file")?)?;
    let count = memchr::memchr_iter(b'\n', &lines).count() as u64;
    let complete = count == records && lines.ends_with(b"}\n");
    if complete { Ok(()) } else { Err(format!("{count} lines of {records} records").into()) }
}

fn print(shape: &Shape, pages: u64, taken: &[Option<Taken>; 5]) {
    let records = shape.records_per_page * pages;
    let bytes = shape.page(1, pages).len() as u64;
    println!(
        "\n{}: {records} records of {} bytes, {} per page, {} MB",
        shape.name,
        bytes / shape.records_per_page,
        shape.records_per_page,
        bytes * pages / 1_000_000
    );
    println!(
        "{:<22}  {:>8}  {:>8}  {:>9}  {:>8}  {:>8}  {:>11}",
        "", "wall", "x floor", "x by hand", "CPU", "x floor", "records/s"
    );
    let [_, _, floor, by_hand, _] = *taken;
    let column = |ratio: Option<f64>| ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"));
    for (name, taken) in CONTESTANTS.iter().zip(taken) {
        let Some(taken) = taken else { continue };
        println!(
            "{name:<22}  {:>6.3} s  {:>8}  {:>9}  {:>8}  {:>8}  {:>11.0}",
            taken.wall,
            column(floor.map(|floor| taken.wall / floor.wall)),
            column(by_hand.map(|by_hand| taken.wall / by_hand.wall)),
            taken.cpu.map_or("?".into(), |cpu| format!("{cpu:.3} s")),
            column(floor.and_then(|floor| Some(taken.cpu? / floor.cpu?))),
            records as f64 / taken.wall,
        );
    }
}

/// Adds the goals of a list; none where not all took part.
fn add(goals: &mut Goals, list: &str, taken: &[Option<Taken>; 5], [wall, cpu]: [f64; 2]) {
    let [Some(unsynced), _, Some(floor), Some(by_hand), Some(ours)] = *taken else { return };
    let cpu_ratio = |other: Taken| Some(ours.cpu? / other.cpu?);
    goals.at_most(format!("{list}: wall, against the floor"), ours.wall / floor.wall, wall, "x");
    if let Some(ratio) = cpu_ratio(floor) {
        goals.at_most(format!("{list}: CPU, against the floor"), ratio, cpu, "x");
    }
    goals.at_most(
        format!("{list}: wall, against a download that is not synced"),
        ours.wall / unsynced.wall,
        wall,
        "x",
    );
    if let Some(ratio) = cpu_ratio(unsynced) {
        goals.at_most(format!("{list}: CPU, against a download that is not synced"), ratio, cpu, "x");
    }
    goals.at_least(format!("{list}: as fast as by hand"), by_hand.wall / ours.wall, BY_HAND[0], "x");
    if let Some(ratio) = cpu_ratio(by_hand) {
        goals.at_most(format!("{list}: CPU, against by hand"), ratio, BY_HAND[1], "x");
    }
}

/// Those who take part: all of them, or those that are asked for.
fn asked() -> Outcome<Vec<usize>> {
    let Ok(only) = std::env::var(ONLY) else { return Ok((0..CONTESTANTS.len()).collect()) };
    let number = |one: &str| CONTESTANTS.iter().position(|name| *name == one);
    let asked: Option<Vec<usize>> = only.split('+').map(number).collect();
    Ok(asked.ok_or_else(|| format!("{ONLY}={only}: there are {CONTESTANTS:?}"))?)
}

fn pages_of(pages: u64, scale: f64) -> u64 {
    ((pages as f64 * scale) as u64).max(2)
}

fn main() -> Outcome<()> {
    server::serve_if_asked()?;
    let test = match arguments::asked() {
        Asked::Nothing => return Ok(()),
        asked => asked == Asked::Test,
    };
    let scale = match std::env::var(SCALE) {
        _ if test => 0.0,
        Ok(scale) => scale.parse()?,
        Err(_) => 1.0,
    };
    let rounds = if test { 1 } else { ROUNDS };
    let race = Race {
        runtime: tokio::runtime::Builder::new_multi_thread().enable_all().build()?,
        client: Client::builder().no_proxy().build()?,
        http: Http::builder().no_proxy().build()?,
        server: Server::start()?,
        asked: asked()?,
    };
    // Opens the connections and warms the caches.
    race.race(&sample::ISSUES, pages_of(LISTS[0].1, scale), 1)?;
    let mut goals = Goals::of("end_to_end");
    let list = std::env::var(LIST).ok();
    for (shape, pages, limits) in LISTS {
        if list.as_ref().is_some_and(|list| list != shape.name) {
            continue;
        }
        let pages = pages_of(pages, scale);
        let taken = race.race(&shape, pages, rounds)?;
        if !test {
            print(&shape, pages, &taken);
            add(&mut goals, shape.name, &taken, limits);
        }
    }
    if test || race.asked.len() < CONTESTANTS.len() {
        return Ok(());
    }
    goals.print();
    // Another number of pages has other ratios.
    if scale == 1.0 && list.is_none() { Ok(goals.keep()?) } else { Ok(()) }
}
