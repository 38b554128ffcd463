//! Memory and CPU of a whole pull into files, from 10⁴ to 10⁷ records, and of a page of 64 MiB. Each pull is a process of
//! its own: this program, started once more.
//!
//! | row | goal |
//! |---|---|
//! | peak memory above the start, 10⁷ records against 10⁴, 100 on a page | at most 1.1 × |
//! | peak memory above the start, 10⁷ records against 10⁵, 1,000 on a page | at most 1.1 × |
//! | CPU per record, 10⁷ records against 10⁶, both | at most 1.1 × |
//! | peak memory above the start, one page of 62 MiB, against its size | at most 3 × |
//!
//! Both lists are measured from 100 pages on: before that the read buffer of the HTTP client, which doubles when a
//! read fills it, has not its size, and there may not have been two pages on their way at once. 10⁴ records on ten pages
//! are printed beside them. Of 10⁴ and 10⁵ records the CPU time is a few steps of the clock, and mostly that of the start.
//!
//! Each figure is the median of some processes, which take turns: a peak depends on which thread takes which buffer when,
//! for the allocator keeps what is given back on the thread that took it.
//!
//! ```text
//! cargo bench --bench memory
//! ```

mod arguments;
mod goals;
mod process;
mod sample;
mod server;

use std::process::Command;
use std::time::{Duration, Instant};

use headwater::paginate::PageNumber;
use headwater::sink::Jsonl;
use headwater::{Http, Limiter, Pipeline, Source};

use arguments::Asked;
use goals::Goals;
use sample::Shape;
use server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Makes this program a pull of this URL.
const PULL: &str = "HEADWATER_BENCH_PULL";

/// What a pull took: bytes above the start, and seconds.
#[derive(Debug, Clone, Copy)]
struct Taken {
    peak: f64,
    cpu: f64,
    wall: f64,
}

/// Pulls the list that this process was started for, prints what it took, and ends.
fn pull_if_asked() -> Outcome<()> {
    let Ok(url) = std::env::var(PULL) else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (before, cpu, start) = (process::resident(), process::cpu_seconds(), Instant::now());
    runtime.block_on(async {
        let source = Source::get("bench", url)
            .records("data")
            .paginate(PageNumber::new().until_false("has_more"))
            .rate_limit(Limiter::per_second(1_000_000.0).burst(10_000))
            .transport(Http::builder().no_proxy().build()?)
            .build()?;
        Pipeline::new().source(source).sink(Jsonl::dir(dir.path())).run().await?;
        Outcome::Ok(())
    })?;
    let peak = process::peak().zip(before).map(|(peak, before)| peak.saturating_sub(before));
    let cpu = process::cpu_seconds().zip(cpu).map(|(after, before)| after - before);
    let (peak, cpu) = peak.zip(cpu).ok_or("this needs Linux's /proc")?;
    println!("{peak} {cpu} {}", start.elapsed().as_secs_f64());
    drop(dir);
    std::process::exit(0);
}

fn pull(server: &Server, shape: &Shape, pages: u64) -> Outcome<Taken> {
    let url = server.url(shape, pages, Duration::ZERO);
    let output = Command::new(std::env::current_exe()?).env(PULL, url).output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [peak, cpu, wall] = numbers[..] else {
        return Err(format!("the pull failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    };
    Ok(Taken { peak, cpu, wall })
}

/// The lists of a shape, by their pages, and what was taken for each.
struct Lists {
    shape: Shape,
    lists: Vec<(u64, Vec<Taken>)>,
}

impl Lists {
    fn new(shape: Shape, pages: &[u64]) -> Self {
        Self { shape, lists: pages.iter().map(|pages| (*pages, Vec::new())).collect() }
    }

    /// One turn: the short ones are pulled several times, for they cost little and vary more.
    fn pull(&mut self, server: &Server) -> Outcome<()> {
        for (pages, taken) in &mut self.lists {
            let pulls = if *pages * self.shape.records_per_page > 1_000_000 { 1 } else { 3 };
            for _ in 0..pulls {
                taken.push(pull(server, &self.shape, *pages)?);
            }
        }
        Ok(())
    }

    /// The records of each list, and the medians of what it took.
    fn medians(&self) -> Vec<(f64, Taken)> {
        let records = |pages: &u64| (pages * self.shape.records_per_page) as f64;
        self.lists.iter().map(|(pages, taken)| (records(pages), median(taken))).collect()
    }

    fn print(&self) {
        println!(
            "\n{} records on a page\n{:>10}  {:>10}  {:>12}  {:>8}  {:>11}",
            self.shape.records_per_page, "records", "peak MiB", "CPU ns/rec", "wall s", "records/s"
        );
        for (records, one) in self.medians() {
            println!(
                "{records:>10}  {:>10.1}  {:>12.0}  {:>8.2}  {:>11.0}",
                one.peak / MIB,
                one.cpu / records * 1e9,
                one.wall,
                records / one.wall
            );
        }
    }

    /// The longest list against the one of 100 pages, and against the one before it.
    fn judge(&self, goals: &mut Goals) {
        let medians = self.medians();
        let Some(at) = self.lists.iter().position(|(pages, _)| *pages == FROM) else { return };
        let [.., (fewer, middle), (records, last)] = medians[..] else { return };
        let (fewest, first) = medians[at];
        let on = format!("{} a page", self.shape.records_per_page);
        let what = format!("peak memory, {records} records against {fewest}, {on}");
        goals.at_most(what, last.peak / first.peak, 1.1, "x");
        let cpu = last.cpu / records / (middle.cpu / fewer);
        goals.at_most(format!("CPU per record, {records} against {fewer}, {on}"), cpu, 1.1, "x");
    }
}

/// The median of each figure.
fn median(taken: &[Taken]) -> Taken {
    let median = |figure: fn(&Taken) -> f64| {
        let mut figures: Vec<f64> = taken.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Taken {
        peak: median(|taken| taken.peak),
        cpu: median(|taken| taken.cpu),
        wall: median(|taken| taken.wall),
    }
}

const MIB: f64 = 1024.0 * 1024.0;
/// With so many pages every buffer has its size.
const FROM: u64 = 100;
const TURNS: usize = 3;

fn main() -> Outcome<()> {
    server::serve_if_asked()?;
    pull_if_asked()?;
    let test = match arguments::asked() {
        Asked::Nothing => return Ok(()),
        asked => asked == Asked::Test,
    };
    let server = Server::start()?;
    if test {
        return Lists::new(sample::EVENTS, &[2, 4]).pull(&server);
    }
    let mut all = [
        Lists::new(sample::FEW, &[FROM, 1_000, 10_000, 100_000]),
        Lists::new(sample::EVENTS, &[10, FROM, 1_000, 10_000]),
    ];
    let mut large = Vec::new();
    for _ in 0..TURNS {
        all.iter_mut().try_for_each(|lists| lists.pull(&server))?;
        large.push(pull(&server, &sample::LARGE, 1)?);
    }
    all.iter().for_each(Lists::print);
    let (large, size) = (median(&large), sample::LARGE.page(1, 1).len() as f64);
    println!("\na page of {:.1} MiB: peak {:.1} MiB", size / MIB, large.peak / MIB);
    let mut goals = Goals::of("memory");
    all.iter().for_each(|lists| lists.judge(&mut goals));
    let what = format!("peak memory, a page of {:.0} MiB, against its size", size / MIB);
    goals.at_most(what, large.peak / size, 3.0, "x");
    goals.print();
    Ok(goals.keep()?)
}
