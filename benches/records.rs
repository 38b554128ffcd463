//! From the bytes of a page to annotated JSON lines, in memory, on one thread.
//!
//! | contestant | what it does |
//! |---|---|
//! | `headwater` | [`Pages`] over a transport that hands out pages from memory: the request, the walk over the page (all of it is validated), the next position, the guard against circles (but for the comparison of pages: there are only two); then [`Annotator`] into a buffer that is used again |
//! | `serde_json::Value` | the baseline, what most would write: parse the page, take the array, insert the two fields into each map, serialise |
//! | `Vec<&RawValue>` | the other end of the scale: only finds the records, writes nothing |
//!
//! | goal: `headwater` against | |
//! |---|---|
//! | `serde_json::Value` | at least 8 × as fast |
//! | `Vec<&RawValue>` | at least 0.6 × as fast |
//!
//! Every contestant is given the same pages, two of them by turns, as `&[u8]` or [`Bytes`]. Before anything
//! is measured, the lines of the first two are compared, record by record.
//!
//! Criterion measures them for its history; the table at the end is computed in this same run, from rounds
//! in which the contestants take turns, so that whatever disturbs the machine disturbs them all.
//!
//! ```text
//! cargo bench --bench records
//! ```

mod goals;
mod race;
mod sample;

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use futures::future::FutureExt;
use futures::stream::StreamExt;
use headwater::{Annotator, RecordsExt};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use goals::Goals;
use race::{ROUNDS, pages, pulled, race};
use sample::Shape;

const SHAPES: [Shape; 4] = [sample::ISSUES, sample::EVENTS, sample::MESSAGES, sample::UNDERSCORES];
const CONTESTANTS: [&str; 3] = ["headwater", "serde_json::Value", "Vec<&RawValue>"];
/// Goals: how many times as fast as `Value`, and which part of the speed of `Vec<&RawValue>`.
const GOALS: [f64; 2] = [8.0, 0.6];

/// Works through one page; gives back how many records it saw.
type Work = Box<dyn FnMut() -> usize>;

fn headwater(pages: [Bytes; 2], mut written: impl FnMut(&[u8]) + 'static) -> Work {
    let mut batches = pulled(pages).batches("data");
    let mut annotator = Annotator::new("bench");
    let mut lines = Vec::new();
    Box::new(move || {
        let batch = batches.next().now_or_never().expect("memory is never late");
        let batch = batch.expect("there is always more").expect("the page is right");
        lines.clear();
        annotator.append_batch(&batch, &mut lines);
        written(&lines);
        batch.len()
    })
}

fn value(pages: [Bytes; 2], mut written: impl FnMut(&[u8]) + 'static) -> Work {
    let mut lines = Vec::new();
    let mut turns = pages.into_iter().cycle();
    Box::new(move || {
        let body = turns.next().expect("a cycle");
        let mut page: Value = serde_json::from_slice(&body).expect("the page is right");
        let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let Value::Array(records) = page["data"].take() else { panic!("no records") };
        assert_eq!(page["has_more"], true);
        lines.clear();
        let count = records.len();
        for mut record in records {
            record["__source"] = "bench".into();
            record["__ingested_at"] = now.as_str().into();
            serde_json::to_writer(&mut lines, &record).expect("a Vec takes all");
            lines.push(b'\n');
        }
        written(&lines);
        count
    })
}

fn raw_value(pages: [Bytes; 2]) -> Work {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        data: Vec<&'a RawValue>,
        has_more: bool,
    }
    let mut turns = pages.into_iter().cycle();
    Box::new(move || {
        let body = turns.next().expect("a cycle");
        let page: Envelope<'_> = serde_json::from_slice(&body).expect("the page is right");
        assert!(page.has_more);
        black_box(page.data).len()
    })
}

/// In the order of [`CONTESTANTS`].
fn contestants(shape: &Shape) -> [Work; 3] {
    let done = |lines: &[u8]| {
        black_box(lines);
    };
    [headwater(pages(shape), done), value(pages(shape), done), raw_value(pages(shape))]
}

/// Makes sure that they all do the same work.
fn compare(shape: &Shape) {
    fn collect(work: impl FnOnce(Box<dyn FnMut(&[u8])>) -> Work) -> Vec<Value> {
        let (sender, lines) = std::sync::mpsc::channel();
        let mut work = work(Box::new(move |lines: &[u8]| sender.send(lines.to_vec()).expect("it is read")));
        work();
        let lines = lines.recv().expect("one page of lines");
        let lines = lines.strip_suffix(b"\n").expect("a line ends").split(|byte| *byte == b'\n');
        lines
            .map(|line| {
                let mut record: Value = serde_json::from_slice(line).expect("a line is JSON");
                let at = record["__ingested_at"].take();
                assert_eq!(at.as_str().map(str::len), Some("2026-05-17T10:00:00Z".len()));
                record
            })
            .collect()
    }
    let ours = collect(|written| headwater(pages(shape), written));
    assert_eq!(ours.len() as u64, shape.records_per_page);
    assert_eq!(ours, collect(|written| value(pages(shape), written)));
    assert_eq!(raw_value(pages(shape))(), ours.len());
}

fn measure(criterion: &mut Criterion, shape: &Shape) {
    let bytes = shape.page(1, u64::MAX).len() as u64;
    let mut group = criterion.benchmark_group(shape.name);
    group.throughput(Throughput::ElementsAndBytes { elements: shape.records_per_page, bytes });
    for (name, mut work) in CONTESTANTS.into_iter().zip(contestants(shape)) {
        group.bench_function(name, |bencher| bencher.iter(&mut work));
    }
    group.finish();
}

fn table() -> Goals {
    let mut goals = Goals::of("records");
    println!("\nfrom page bytes to annotated lines, one thread, medians of {ROUNDS} interleaved rounds\n");
    println!(
        "{:<12}  {:<18}  {:>11}  {:>8}  {:>15}",
        "page", "contestant", "records/s", "MB/s", "headwater is"
    );
    for shape in &SHAPES {
        let bytes = shape.page(1, u64::MAX).len() as f64;
        let times = race(contestants(shape), ROUNDS);
        for (index, (name, time)) in CONTESTANTS.iter().zip(times).enumerate() {
            let ratio = time / times[0];
            if index > 0 {
                goals.at_least(format!("{}: as fast as {name}", shape.name), ratio, GOALS[index - 1], "x");
            }
            println!(
                "{:<12}  {name:<18}  {:>11.0}  {:>8.0}  {:>15}",
                if index == 0 { shape.name } else { "" },
                shape.records_per_page as f64 / time,
                bytes / time / 1e6,
                if index == 0 { String::new() } else { format!("{ratio:.2} x as fast") },
            );
        }
    }
    goals
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50)
        .configure_from_args();
    for shape in &SHAPES {
        compare(shape);
        measure(&mut criterion, shape);
    }
    criterion.final_summary();
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    // `cargo test --benches` gives no `--bench`; with one of the others nobody waits for a table.
    if has("--bench") && !["--test", "--list", "--profile-time"].into_iter().any(has) {
        let goals = table();
        goals.print();
        goals.keep().expect("the build has a folder to write to");
    }
}
