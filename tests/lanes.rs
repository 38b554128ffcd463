//! Several pages of one list at once: what comes out is what comes out without lanes, page by page and mark by mark.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use headwater::pages::{Lanes, Paged};
use headwater::paginate::{Cursor, End, Offset, PageNumber};
use headwater::sink::Memory;
use headwater::testing::{Reply, Scripted};
use headwater::{
    ErrorKind, Limiter, Mark, Pages, PagesExt, Pipeline, RecordsExt, Request, RetryPolicy, Source,
};
use serde_json::json;
use tokio::time::Instant;

const LATENCY: Duration = Duration::from_millis(50);

/// A list of rows by offset or by page number; the server gives at most `clamp` of them, and rows `hidden` are left out
/// of their pages.
#[derive(Debug, Clone)]
struct List {
    rows: u64,
    clamp: u64,
    hidden: Vec<u64>,
    by_page: bool,
    total: bool,
    /// Whether only an empty page ends it.
    blind: bool,
}

impl List {
    fn new(rows: u64) -> Self {
        Self { rows, clamp: u64::MAX, hidden: Vec::new(), by_page: false, total: false, blind: false }
    }

    fn answer(&self, request: &Request) -> Reply {
        let parameter = |name: &str| {
            let found = request.url().query_pairs().find(|(other, _)| other == name);
            found.and_then(|(_, value)| value.parse::<u64>().ok())
        };
        let size = parameter("limit").unwrap_or(10).min(self.clamp);
        let first = match self.by_page {
            true => (parameter("page").unwrap_or(1) - 1) * size,
            false => parameter("offset").unwrap_or(0),
        };
        let rows: Vec<u64> =
            (first..self.rows.min(first + size)).filter(|row| !self.hidden.contains(row)).collect();
        let total = self.rows - self.hidden.len() as u64;
        let more = first + size < self.rows;
        let body = match self.total {
            true => json!({"data": rows, "total": total}),
            false => json!({"data": rows, "more": more}),
        };
        Reply::json(body.to_string()).delay(LATENCY)
    }

    fn api(&self) -> Scripted {
        let list = self.clone();
        Scripted::from_fn(move |request, _| list.answer(request))
    }

    /// The pages, one request after the other.
    fn pages(&self, api: &Scripted, mark: Mark) -> Pages {
        let request = Request::get("https://api.example.com/items").unwrap();
        let pages = match (self.by_page, self.total) {
            (true, _) if self.blind => Pages::new(api.clone(), request, numbers()),
            (false, _) if self.blind => Pages::new(api.clone(), request, Offset::new(10)),
            (true, true) => Pages::new(api.clone(), request, numbers().until(End::total("total"))),
            (true, false) => Pages::new(api.clone(), request, numbers().until_false("more")),
            (false, true) => Pages::new(api.clone(), request, Offset::new(10).until_total("total")),
            (false, false) => Pages::new(api.clone(), request, Offset::new(10).until_false("more")),
        };
        pages.resume(mark)
    }
}

fn numbers() -> PageNumber {
    PageNumber::new().size("limit", 10)
}

type Come = Vec<Result<(Vec<u64>, Mark), ErrorKind>>;

async fn come(pages: impl Paged) -> Come {
    let pages = std::pin::pin!(pages.batches("data"));
    let shown = |batch: headwater::Result<headwater::Batch>| match batch {
        Ok(batch) => {
            let rows = batch.records().map(|record| record.as_str().parse().unwrap()).collect();
            Ok((rows, batch.mark()))
        }
        Err(error) => Err(error.kind()),
    };
    pages.map(shown).collect().await
}

fn lanes(api: &Scripted, list: &List, lanes: usize, mark: Mark) -> impl Paged + Send + 'static + use<> {
    let (api, list) = (api.clone(), list.clone());
    Lanes::new(lanes, mark, move |mark| {
        let policy = RetryPolicy::exponential().max_attempts(3);
        list.pages(&api, mark).rate_limit(Limiter::unlimited()).retry(policy)
    })
}

/// What comes without lanes, and the requests that it took.
async fn alone(list: &List, mark: Mark) -> (Come, usize) {
    let api = list.api();
    (come(list.pages(&api, mark)).await, api.requests().len())
}

fn lists() -> Vec<List> {
    let mut lists = Vec::new();
    for rows in [0, 1, 9, 10, 11, 95, 100, 234] {
        for clamp in [u64::MAX, 10, 7, 1] {
            for (by_page, total) in [(false, false), (false, true), (true, false), (true, true)] {
                lists.push(List { clamp, by_page, total, ..List::new(rows) });
            }
            for by_page in [false, true] {
                lists.push(List { clamp, by_page, blind: true, ..List::new(rows) });
            }
        }
    }
    // Short pages in the middle: a server that leaves rows out of their page.
    for hidden in [vec![3], vec![15, 16, 44], (20..29).collect()] {
        lists.push(List { hidden: hidden.clone(), by_page: true, ..List::new(100) });
        lists.push(List { hidden, by_page: true, total: true, ..List::new(100) });
    }
    lists
}

#[tokio::test(start_paused = true)]
async fn the_pages_and_their_marks_are_those_that_come_without_lanes() {
    for list in lists() {
        let (expected, requests) = alone(&list, Mark::start()).await;
        for most in [1, 2, 3, 8, 40] {
            let api = list.api();
            let came = come(lanes(&api, &list, most, Mark::start())).await;
            assert_eq!(came, expected, "{most} lanes over {list:?}");
            // What a page was wrong about is asked for again, and so is what lay behind a short one.
            let beyond = if list.total && list.hidden.is_empty() { 0 } else { most - 1 };
            let short = list.hidden.len().min(3) * usize::from(list.total) * most;
            assert!(
                api.requests().len() <= requests + beyond + short,
                "{} requests, not {requests}, by {most} lanes over {list:?}",
                api.requests().len()
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_from_any_mark_with_any_number_of_lanes() {
    for list in [List::new(95), List { by_page: true, total: true, ..List::new(95) }] {
        let (whole, _) = alone(&list, Mark::start()).await;
        for (index, page) in whole.iter().enumerate() {
            let mark = page.as_ref().unwrap().1.clone();
            let rest = come(lanes(&list.api(), &list, 1 + index % 5, mark)).await;
            assert_eq!(rest, whole[index + 1..], "behind page {index}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn eight_lanes_are_nearly_eight_times_as_fast_as_one() {
    let list = List::new(1_000);
    for (most, latencies) in [(1, 100), (8, 1 + 99_u32.div_ceil(8))] {
        let began = Instant::now();
        come(lanes(&list.api(), &list, most, Mark::start())).await;
        assert_eq!(began.elapsed(), LATENCY * latencies, "{most} lanes");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_pages_are_under_way_than_there_are_lanes() {
    let list = List::new(1_000);
    let api = list.api();
    let mut pages = Box::pin(lanes(&api, &list, 4, Mark::start()).batches("data"));
    for taken in 1..=20 {
        pages.next().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(api.requests().len(), taken + 4, "the sink takes its time, and the lanes wait for it");
    }
    drop(pages);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(api.requests().len(), 24, "what is dropped asks for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_is_asked_for_again_and_keeps_its_place() {
    let list = List::new(200);
    let (expected, _) = alone(&list, Mark::start()).await;
    let answers = list.clone();
    let api = Scripted::from_fn(move |request, number| match number % 3 {
        0 => Reply::status(503),
        1 => answers.answer(request).delay(LATENCY * (number % 7) as u32),
        _ => answers.answer(request),
    });
    assert_eq!(come(lanes(&api, &list, 5, Mark::start())).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_in_its_place_and_is_the_end() {
    let list = List::new(200);
    let (expected, _) = alone(&list, Mark::start()).await;
    let answers = list.clone();
    let broken =
        Scripted::from_fn(move |request, _| match request.url().query().unwrap().contains("offset=70&") {
            true => Reply::status(403),
            false => answers.answer(request),
        });
    let mut came = come(lanes(&broken, &list, 8, Mark::start())).await;
    assert_eq!(came.pop(), Some(Err(ErrorKind::Status)));
    assert_eq!(came, expected[..7]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_behind_the_end_is_nobodys_error() {
    let list = List { by_page: true, ..List::new(42) };
    let (expected, _) = alone(&list, Mark::start()).await;
    let answers = list.clone();
    let api = Scripted::from_fn(move |request, _| {
        let page =
            request.url().query_pairs().find(|(name, _)| name == "page").unwrap().1.parse::<u64>().unwrap();
        if page > 5 { Reply::status(404) } else { answers.answer(request) }
    });
    assert_eq!(come(lanes(&api, &list, 8, Mark::start())).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_older_than_the_page_before_it_is_asked_for_again() {
    for by_page in [false, true] {
        // Three pages have come to the list by the time when the third is there at last.
        let (early, late) = (List { by_page, ..List::new(25) }, List { by_page, ..List::new(60) });
        let (expected, _) = alone(&late, Mark::start()).await;
        let (begun, failed) = (Instant::now(), AtomicBool::new(false));
        let (then, now) = (early.clone(), late.clone());
        let api = Scripted::from_fn(move |request, _| {
            let is_third =
                request.url().query().unwrap().contains(if by_page { "page=3" } else { "offset=20" });
            if is_third && !failed.swap(true, Ordering::Relaxed) {
                return Reply::status(503).header("retry-after", "120");
            }
            if begun.elapsed() < Duration::from_secs(60) { then.answer(request) } else { now.answer(request) }
        });
        assert_eq!(come(lanes(&api, &early, 4, Mark::start())).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ignores_the_position_is_noticed() {
    let list = List::new(100);
    let same = Scripted::from_fn(|_, _| Reply::json(r#"{"data":[1,2,3],"more":true}"#));
    let came = come(lanes(&same, &list, 8, Mark::start())).await;
    assert!(matches!(came.as_slice(), [Ok(_), Err(ErrorKind::Cycle)]), "{came:?}");
}

#[tokio::test(start_paused = true)]
async fn the_lanes_share_one_limiter_and_one_pipeline_counts_them() {
    let list = List::new(300);
    let api = list.api();
    let source = |name: &str, lanes: usize| {
        Source::get(name, "https://api.example.com/items")
            .records("data")
            .paginate(Offset::new(10).until_false("more"))
            .transport(api.clone())
            .rate_limit(Limiter::per_second(10.0))
            .lanes(lanes)
            .build()
    };
    let memory = Memory::new();
    let report = Pipeline::new().source(source("x", 6).unwrap()).sink(memory.clone()).run().await.unwrap();
    let counted = report.source("x").unwrap();
    assert_eq!((counted.records, counted.pages), (300, 30));
    let times = api.times();
    for (index, time) in times.iter().enumerate() {
        assert!(*time >= Duration::from_millis(100) * index as u32, "request {index} at {time:?}");
    }
    assert!(times.len() <= 35, "{} requests", times.len());
}

#[test]
fn a_source_whose_positions_are_not_known_ahead_is_told_so() {
    let cursor = Source::get("x", "https://api.example.com/items")
        .records("data")
        .paginate(Cursor::body("next").into_query("cursor"));
    let error = cursor.lanes(2).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.help().unwrap().contains("prefetch"), "{error}");
}
