//! Memory and CPU of a whole pull into files, from 10⁴ to 10⁷ records, and of a page of 64 MiB. Each pull is a process of
//! its own: this program, started once more.
//!
//! | row | goal |
//! |---|---|
//! | peak memory above the start, 10⁷ records against 10⁴ | at most 1.1 × |
//! | CPU per record, 10⁷ records against 10⁶ | at most 1.1 × |
//! | peak memory above the start, one page of 62 MiB, against its size | at most 3 × |
//!
//! Each figure is the median of some processes, for a peak depends on which thread takes which buffer when. The CPU time of
//! 10⁴ records is a step of the clock or none, and mostly that of the start; so the longest list is compared with one that is
//! long enough.
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

/// The median of so many pulls, each figure by itself.
fn median(server: &Server, shape: &Shape, pages: u64, pulls: usize) -> Outcome<Taken> {
    let taken = (0..pulls).map(|_| pull(server, shape, pages)).collect::<Outcome<Vec<_>>>()?;
    let median = |figure: fn(&Taken) -> f64| {
        let mut figures: Vec<f64> = taken.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Ok(Taken {
        peak: median(|taken| taken.peak),
        cpu: median(|taken| taken.cpu),
        wall: median(|taken| taken.wall),
    })
}

const MIB: f64 = 1024.0 * 1024.0;
/// Pages, and how many processes pull so many.
const SIZES: [(u64, usize); 4] = [(10, 9), (100, 9), (1_000, 9), (10_000, 5)];

fn main() -> Outcome<()> {
    server::serve_if_asked()?;
    pull_if_asked()?;
    let test = match arguments::asked() {
        Asked::Nothing => return Ok(()),
        asked => asked == Asked::Test,
    };
    let server = Server::start()?;
    let shape = sample::EVENTS;
    let sizes: &[(u64, usize)] = if test { &[(2, 1), (4, 1)] } else { &SIZES };
    println!(
        "\n{:>10}  {:>10}  {:>12}  {:>8}  {:>11}",
        "records", "peak MiB", "CPU ns/rec", "wall s", "records/s"
    );
    let mut taken = Vec::new();
    for (pages, pulls) in sizes {
        let records = (pages * shape.records_per_page) as f64;
        let one = median(&server, &shape, *pages, *pulls)?;
        println!(
            "{records:>10}  {:>10.1}  {:>12.0}  {:>8.2}  {:>11.0}",
            one.peak / MIB,
            one.cpu / records * 1e9,
            one.wall,
            records / one.wall
        );
        taken.push((records, one));
    }
    let [(fewest, first), .., (fewer, middle), (records, last)] = taken[..] else { return Ok(()) };
    if test {
        return Ok(());
    }
    let large = median(&server, &sample::LARGE, 1, 3)?;
    let size = sample::LARGE.page(1, 1).len() as f64;
    println!("\na page of {:.1} MiB: peak {:.1} MiB", size / MIB, large.peak / MIB);
    let mut goals = Goals::of("memory");
    let against = |fewer: f64| format!("{records} records against {fewer}");
    goals.at_most(format!("peak memory, {}", against(fewest)), last.peak / first.peak, 1.1, "x");
    let cpu = last.cpu / records / (middle.cpu / fewer);
    goals.at_most(format!("CPU per record, {}", against(fewer)), cpu, 1.1, "x");
    let what = format!("peak memory, a page of {:.0} MiB, against its size", size / MIB);
    goals.at_most(what, large.peak / size, 3.0, "x");
    goals.print();
    Ok(goals.keep()?)
}
