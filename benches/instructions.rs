//! Instructions and allocations of the hot path, counted by valgrind: they are the same in every run, where times are
//! not, so a rise of a few percent is seen.
//!
//! | row | what is counted |
//! |---|---|
//! | `page` | from the bytes of an answer to a validated page with its records: the request, the walk, the next position, the guard |
//! | `lines` | from the records of a page to annotated lines |
//! | `pipeline` | the whole: source, limiter, retry, merge, `Jsonl` into a file system in memory |
//! | `commit` | one commit, which is the pipeline with a commit for each page less the pipeline without |
//!
//! Each count is the difference between two processes, one of which does twice as much: what it takes to start, and to
//! make the pages, drops out. They run this program under callgrind, on one thread and on a paused clock, with an empty
//! environment and a C library that is told which of its copying functions to use.
//!
//! ```text
//! cargo bench --bench instructions                 # a table, against benches/instructions.txt
//! cargo bench --bench instructions -- --check      # fails where a count has risen by more than 5 %
//! cargo bench --bench instructions -- --write      # puts the counts into the file
//! ```

mod arguments;
mod callgrind;
mod kept;
mod sample;

use std::fmt::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use headwater::paginate::PageNumber;
use headwater::sink::Jsonl;
use headwater::testing::CrashFs;
use headwater::transport::{Response, Transport};
use headwater::{Annotator, Limiter, Pages, Pipeline, RecordsExt, Request, RetryPolicy, Source};
use http::{HeaderMap, StatusCode};

use arguments::Asked;
use callgrind::Count;
use kept::{Kept, Verdict};
use sample::Shape;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Makes this program one of those that are counted: what it does, of which pages, how many of them.
const COUNT: &str = "HEADWATER_BENCH_COUNT";
/// How many pages the shorter of two processes works through.
const PAGES: usize = 16;

const ROWS: [(&str, &str); 11] = [
    ("page", "issues"),
    ("page", "underscores"),
    ("page", "events"),
    ("lines", "issues"),
    ("lines", "underscores"),
    ("lines", "events"),
    ("pipeline", "issues"),
    ("pipeline", "underscores"),
    ("pipeline", "events"),
    ("pipeline", SINGLE),
    ("commit", SINGLE),
];

/// Pages of one small record: what a page costs, whatever is on it.
const SINGLE: &str = "single";

fn shape(name: &str) -> Option<Shape> {
    sample::ALL.into_iter().find(|shape| shape.name == name)
}

fn records_per_page(list: &str) -> f64 {
    shape(list).map_or(1.0, |shape| shape.records_per_page as f64)
}

/// As many as the longer process needs, in the shorter one too: so they drop out.
fn pages(list: &str) -> Vec<Bytes> {
    let shape = shape(list);
    (1..=2 * PAGES as u64)
        .map(|number| match shape {
            Some(shape) => shape.page(number, u64::MAX).into(),
            None => format!(r#"{{"data":[{{"id":{number}}}],"page":{number},"has_more":true}}"#).into(),
        })
        .collect()
}

/// Hands out the pages, each ten milliseconds behind the one before, and says of the last that it is.
struct Memory {
    pages: Vec<Bytes>,
    last: usize,
    asked: AtomicUsize,
}

impl Memory {
    fn new(list: &str, last: usize) -> Self {
        let mut pages = pages(list);
        let end =
            String::from_utf8_lossy(&pages[last - 1]).replace(r#""has_more":true"#, r#""has_more":false"#);
        pages[last - 1] = end.into();
        Self { pages, last, asked: AtomicUsize::new(0) }
    }
}

const PACE: Duration = Duration::from_millis(10);

impl Transport for Memory {
    fn send<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, headwater::Result<Response>> {
        Box::pin(async {
            // On a paused clock it comes at once; but time goes on, and commits with it.
            tokio::time::sleep(PACE).await;
            let turn = self.asked.fetch_add(1, Ordering::Relaxed);
            assert!(turn < self.last, "nothing stands behind the last page");
            Ok(Response {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: self.pages[turn].clone(),
                received_at: wall(turn),
            })
        })
    }
}

/// When the answer of this number was complete.
fn wall(turn: usize) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_779_012_000) + PACE * turn as u32
}

const URL: &str = "https://api.example.com/items";

fn paginator() -> PageNumber {
    PageNumber::new().until_false("has_more")
}

/// Works through so many pages.
fn work(part: &str, list: &str, count: usize) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        match part {
            "page" => page(list, count).await,
            "lines" => lines(list, count).await,
            "pipeline" => pipeline(list, count, Duration::from_secs(3600)).await,
            "commit" => pipeline(list, count, Duration::from_millis(1)).await,
            other => Err(format!("there is no row called {other}").into()),
        }
    })
}

async fn page(list: &str, count: usize) -> Outcome<()> {
    let mut batches = Pages::new(Memory::new(list, count), Request::get(URL)?, paginator()).batches("data");
    while let Some(batch) = batches.next().await {
        std::hint::black_box(batch?);
    }
    Ok(())
}

async fn lines(list: &str, count: usize) -> Outcome<()> {
    let mut batches = Pages::new(Memory::new(list, 1), Request::get(URL)?, paginator()).batches("data");
    let batch = batches.next().await.ok_or("no page")??;
    let mut annotator = Annotator::new("bench");
    let mut lines = Vec::new();
    for _ in 0..count {
        lines.clear();
        annotator.append_batch(&batch, &mut lines);
        std::hint::black_box(&lines);
    }
    Ok(())
}

async fn pipeline(list: &str, count: usize, commit_every: Duration) -> Outcome<()> {
    let source = Source::get("bench", URL)
        .records("data")
        .paginate(paginator())
        // Far more than is asked for: every request takes its permit, and none waits.
        .rate_limit(Limiter::per_second(100_000.0).burst(1000))
        .retry(RetryPolicy::exponential().max_attempts(5))
        .transport(Memory::new(list, count))
        .build()?;
    let report = Pipeline::new()
        .source(source)
        .sink(Jsonl::on(Arc::new(CrashFs::new()), "out"))
        .commit_every(commit_every)
        .started_at(wall(0))
        .run()
        .await?;
    let records: u64 = report.sources.iter().map(|source| source.records).sum();
    let expected = count as f64 * records_per_page(list);
    if records as f64 == expected { Ok(()) } else { Err(format!("{records} records").into()) }
}

/// What a part costs: instructions for each record (a commit: for each), and allocations for each page.
fn count(part: &str, list: &str) -> Outcome<Count> {
    let run = |part: &str, pages: usize| callgrind::start(COUNT, &[part, list, &pages.to_string()]);
    let (short, long) = (run(part, PAGES)?, run(part, 2 * PAGES)?);
    let mut cost = (long.count()? - short.count()?) / PAGES as f64;
    if part == "commit" {
        let (short, long) = (run("pipeline", PAGES)?, run("pipeline", 2 * PAGES)?);
        cost = cost - (long.count()? - short.count()?) / PAGES as f64;
    }
    Ok(Count { instructions: cost.instructions / records_per_page(list), ..cost })
}

/// What the counts depend on besides this repository.
fn counted_with() -> Outcome<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = String::from_utf8(Command::new(rustc).arg("-vV").output()?.stdout)?;
    let version = said.lines().next().unwrap_or_default();
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    Ok(format!("{version}, {host}, {}", callgrind::vectors()))
}

/// Counts every row and prints it beside what is kept.
fn table(kept: &Kept) -> Outcome<(Vec<Count>, Vec<Verdict>)> {
    println!("\n{:<21}  {:>31}  {:>23}", "", "instructions per record", "allocations per page");
    println!(
        "{:<8}  {:<11}  {:>9}  {:>9}  {:>9}  {:>7}  {:>6}  {:>6}",
        "part", "pages", "now", "file", "", "now", "file", ""
    );
    let (mut counts, mut verdicts) = (Vec::new(), Vec::new());
    for (part, list) in ROWS {
        let (now, before) = (count(part, list)?, kept.row(part, list));
        let column = |now: f64, before: Option<f64>, digits: usize| {
            let file = before.map_or("-".to_owned(), |before| format!("{before:.digits$}"));
            let change = before
                .filter(|before| *before > 0.0)
                .map(|before| format!("{:+.1} %", (now / before - 1.0) * 100.0));
            (format!("{now:.digits$}"), file, change.unwrap_or_default())
        };
        let (i, j, k) = column(now.instructions, before.map(|count| count.instructions), 1);
        let (a, b, c) = column(now.allocations, before.map(|count| count.allocations), 2);
        let verdict = Verdict::of(now, before);
        println!(
            "{part:<8}  {list:<11}  {i:>9}  {j:>9}  {k:>9}  {a:>7}  {b:>6}  {c:>6}  {}",
            verdict.words()
        );
        counts.push(now);
        verdicts.push(verdict);
    }
    Ok((counts, verdicts))
}

fn check(kept: &Kept, with: &str, verdicts: &[Verdict]) -> Outcome<()> {
    let gone = kept.has_others();
    let bad = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Risen | Verdict::Unknown));
    if !bad && !gone {
        return Ok(());
    }
    let mut what =
        "the counts are not those of benches/instructions.txt; if they are meant to be so, write it anew: \
                    cargo bench --bench instructions -- --write\n"
            .to_owned();
    if gone {
        what.push_str("it has rows that nobody counts any more\n");
    }
    if kept.with != with {
        writeln!(what, "IT WAS COUNTED WITH ANOTHER COMPILER OR TARGET: {}; this is {with}", kept.with)?;
    }
    write!(
        what,
        "where they go: callgrind_annotate {}/callgrind.page.issues.32.out, and so on",
        env!("CARGO_TARGET_TMPDIR")
    )?;
    eprintln!("{what}");
    std::process::exit(1);
}

fn main() -> Outcome<()> {
    if let Ok(asked) = std::env::var(COUNT) {
        let [part, list, pages] = asked.split(' ').collect::<Vec<_>>()[..] else {
            return Err("a part, the name of the pages, and how many".into());
        };
        return work(part, list, pages.parse()?);
    }
    match arguments::asked() {
        Asked::Nothing => return Ok(()),
        Asked::Test => return ROWS.iter().try_for_each(|(part, list)| work(part, list, 2)),
        Asked::Bench => {}
    }
    let has = |name: &str| std::env::args().any(|argument| argument == name);
    if !callgrind::is_installed() {
        let what = "there is no valgrind, which counts the instructions";
        if has("--check") || has("--write") {
            return Err(what.into());
        }
        println!("\nLEFT OUT: {what}");
        return Ok(());
    }
    let (kept, with) = (Kept::read()?, counted_with()?);
    println!("\ncounted with: {with}");
    let (counts, verdicts) = table(&kept)?;
    if has("--write") {
        Kept::write(&with, &counts)?;
    }
    if has("--check") { check(&kept, &with, &verdicts) } else { Ok(()) }
}
