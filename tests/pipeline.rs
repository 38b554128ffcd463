//! Whole runs: many sources into one sink, stopped and gone on with, over real sockets and real files.

mod slow_fs;
mod support;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use headwater::error::ErrorKind;
use headwater::pipeline::{Event, Outcome};
use headwater::prelude::*;
use headwater::sink::{Jsonl, Memory};
use headwater::testing::{Faults, MockApi, Paging, Reply, Resource, Scripted};
use headwater::{Report, RunError, Shutdown, paginate::Consistency};
use slow_fs::{Call, SlowFs};
use support::{files, ids_in, ids_of};

async fn api() -> MockApi {
    let resource = |name: &str, paging| Resource::new(name, 1_000).page_size(50).paging(paging);
    MockApi::builder()
        .resource(resource("customers", Paging::Offset))
        .resource(resource("invoices", Paging::Cursor))
        .resource(resource("issues", Paging::Link))
        .start()
        .await
        .unwrap()
}

fn customers(api: &MockApi) -> Source {
    Source::get("customers", api.url("customers"))
        .records("data")
        .paginate(Offset::new(50).until_total("total"))
        .build()
        .unwrap()
}

fn invoices(api: &MockApi) -> Source {
    Source::get("invoices", api.url("invoices"))
        .query("limit", "50")
        .records("data")
        .paginate(Cursor::last_record("id").into_query("starting_after").until_false("has_more"))
        .build()
        .unwrap()
}

fn issues(api: &MockApi) -> Source {
    Source::get("issues", api.url("issues")).records("").paginate(LinkHeader::new()).build().unwrap()
}

fn missing(api: &MockApi) -> Source {
    Source::get("missing", api.url("not-there")).records("").paginate(Single).build().unwrap()
}

fn all(api: &MockApi, out: &Path) -> Pipeline {
    Pipeline::new().sources([customers(api), invoices(api), issues(api)]).sink(Jsonl::dir(out))
}

/// Stops a run after so many pages.
fn after_pages(
    pages: u64,
    stop: impl Fn() + Send + Sync + 'static,
) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
    let seen = AtomicU64::new(0);
    move |event| {
        if matches!(event, Event::Page { .. }) && seen.fetch_add(1, Ordering::Relaxed) + 1 == pages {
            stop();
        }
    }
}

#[tokio::test]
async fn each_source_has_its_file_and_its_counts() {
    let (api, out) = (api().await, tempfile::tempdir().unwrap());
    let start = std::time::UNIX_EPOCH + Duration::from_secs(1_779_012_000);
    let report = all(&api, out.path()).started_at(start).run().await.unwrap();
    assert_eq!(report.outcome, Outcome::Finished);
    for name in ["customers", "invoices", "issues"] {
        let file = out.path().join(format!("{name}_20260517T100000Z.jsonl"));
        assert_eq!(ids_in(&file), api.ids(name).collect::<Vec<_>>(), "{name}: in order, each once");
        let source = report.source(name).unwrap();
        assert_eq!((source.records, source.resumed_records), (1_000, 0));
        assert_eq!(source.counts.requests, api.stats()[name].requests);
        assert_eq!(source.output.as_deref(), file.to_str());
    }
    assert_eq!(report.source("customers").unwrap().consistency, Consistency::Shifting);
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["sources"][1]["records"], 1_000);
    assert_eq!(json["outcome"], "finished");
}

#[tokio::test]
async fn every_line_says_where_it_is_from_and_when_it_came() {
    let (api, out) = (api().await, tempfile::tempdir().unwrap());
    Pipeline::new().source(issues(&api)).sink(Jsonl::dir(out.path())).run().await.unwrap();
    let text = std::fs::read_to_string(&files(out.path(), "issues")[0]).unwrap();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["__source"], "issues");
        chrono::DateTime::parse_from_rfc3339(line["__ingested_at"].as_str().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn a_failing_source_does_not_stop_the_others() {
    let (api, out) = (api().await, tempfile::tempdir().unwrap());
    let failure = all(&api, out.path()).source(missing(&api)).run().await.unwrap_err();
    let report = failure.report.unwrap();
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(report.source("missing").unwrap().outcome, Outcome::Failed);
    assert!(report.source("missing").unwrap().error.as_ref().unwrap().contains("404"), "{report}");
    for name in ["customers", "invoices", "issues"] {
        assert_eq!(report.source(name).unwrap().outcome, Outcome::Finished);
        assert_eq!(ids_of(out.path(), name), api.ids(name).collect::<Vec<_>>());
    }
    // The run is not finished: the next one tries what failed, and leaves alone what is there.
    let requests = api.stats()["issues"].requests;
    all(&api, out.path()).source(missing(&api)).run().await.unwrap_err();
    assert_eq!(api.stats()["issues"].requests, requests);
    assert_eq!(files(out.path(), "issues").len(), 1);
}

#[tokio::test]
async fn a_failing_source_stops_the_others_if_asked() {
    let slow = Resource::new("issues", 1_000).page_size(10).paging(Paging::Link);
    let api = MockApi::builder().resource(slow).latency(Duration::from_millis(5)).start().await.unwrap();
    let sources = [issues(&api), missing(&api)];
    let failure = Pipeline::new().sources(sources).sink(Memory::new()).fail_fast().run().await.unwrap_err();
    let report = failure.report.unwrap();
    assert_eq!(report.source("issues").unwrap().outcome, Outcome::Stopped);
    assert!(report.source("issues").unwrap().records < 1_000);
}

#[tokio::test]
async fn a_gentle_stop_commits_every_page_and_the_next_run_goes_on() {
    let (api, out) = (api().await, tempfile::tempdir().unwrap());
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let run = all(&api, out.path()).commit_every(Duration::from_secs(3600)).shutdown(shutdown);
    let failure = run.observe(after_pages(20, move || stop.finish_pages())).run().await.unwrap_err();
    assert_eq!(failure.error.kind(), ErrorKind::Stopped);
    let report = failure.report.unwrap();
    assert_eq!(report.outcome, Outcome::Stopped);
    assert!(report.records() >= 1_000, "{report}");
    for source in &report.sources {
        assert_eq!(
            ids_of(out.path(), &source.source).len() as u64,
            source.records,
            "what is reported is there"
        );
    }
    let rest = all(&api, out.path()).run().await.unwrap();
    for name in ["customers", "invoices", "issues"] {
        assert_eq!(ids_of(out.path(), name), api.ids(name).collect::<Vec<_>>());
        assert_eq!(files(out.path(), name).len(), 1, "the same file");
        assert_eq!(rest.source(name).unwrap().resumed_records, report.source(name).unwrap().records);
    }
    let requests: u64 = api.stats().values().map(|traffic| traffic.requests).sum();
    assert_eq!(requests, 60, "no page was asked for twice");
}

#[tokio::test]
async fn a_stop_at_once_costs_what_was_not_committed_and_nothing_more() {
    let (api, out) = (api().await, tempfile::tempdir().unwrap());
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let run = all(&api, out.path()).commit_every(Duration::from_secs(3600)).shutdown(shutdown);
    let failure = run.observe(after_pages(20, move || stop.at_once())).run().await.unwrap_err();
    assert_eq!(failure.report.unwrap().records(), 0, "nothing was committed");
    all(&api, out.path()).run().await.unwrap();
    for name in ["customers", "invoices", "issues"] {
        assert_eq!(ids_of(out.path(), name), api.ids(name).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_was_written_after_the_last_commit_is_cut_off() {
    let (api, out) = (api().await, tempfile::tempdir().unwrap());
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let run = Pipeline::new().source(issues(&api)).sink(Jsonl::dir(out.path())).shutdown(shutdown);
    run.observe(after_pages(7, move || stop.finish_pages())).run().await.unwrap_err();
    let file = files(out.path(), "issues").remove(0);
    let mut text = std::fs::read(&file).unwrap();
    text.extend_from_slice(b"{\"id\":\"torn");
    std::fs::write(&file, text).unwrap();
    Pipeline::new().source(issues(&api)).sink(Jsonl::dir(out.path())).run().await.unwrap();
    assert_eq!(ids_in(&file), api.ids("issues").collect::<Vec<_>>());
}

#[tokio::test]
async fn after_a_finished_run_the_next_starts_afresh() {
    let (api, out) = (api().await, tempfile::tempdir().unwrap());
    for runs in 1..=3 {
        let report = all(&api, out.path()).run().await.unwrap();
        assert_eq!(report.records(), 3_000);
        assert_eq!(files(out.path(), "issues").len(), runs, "a file of its own, even in the same second");
        assert_eq!(ids_of(out.path(), "issues").len(), runs * 1_000);
    }
}

/// A run of some sources is broken off, then one of others, then all of them are asked for together.
#[tokio::test(start_paused = true)]
async fn what_was_finished_in_any_run_that_was_broken_off_is_not_pulled_again() {
    let out = tempfile::tempdir().unwrap();
    let listing = |name: &str, fails: bool| {
        let api = Scripted::from_fn(move |request, _| match request.url().query() {
            None => Reply::json(r#"{"data":[{"id":1},{"id":2}],"next":"b"}"#),
            Some(_) if fails => Reply::status(404),
            Some(_) => Reply::json(r#"{"data":[{"id":3}],"next":null}"#),
        });
        let source = Source::get(name, "https://api.example.com/items").records("data");
        source.paginate(Cursor::body("next")).transport(api).build().unwrap()
    };
    let run = async |sources: Vec<Source>, minute: u64| {
        let start = UNIX_EPOCH + Duration::from_secs(1_779_012_000 + 60 * minute);
        Pipeline::new().sources(sources).sink(Jsonl::dir(out.path())).started_at(start).run().await
    };
    run(vec![listing("a", true), listing("b", false)], 0).await.unwrap_err();
    run(vec![listing("c", true)], 1).await.unwrap_err();
    let report = run(vec![listing("a", false), listing("b", false), listing("c", false)], 2).await.unwrap();
    assert_eq!(report.source("b").unwrap().counts.requests, 0);
    for source in ["a", "b", "c"] {
        assert_eq!(ids_of(out.path(), source), ["1", "2", "3"], "{source}");
    }
}

#[tokio::test]
async fn faults_on_the_way_do_not_show_in_the_files() {
    let faults = Faults::none()
        .too_many_requests_every(5, Duration::from_millis(10))
        .unavailable_every(7)
        .cut_body_every(9);
    let resource = Resource::new("issues", 1_000).page_size(20).paging(Paging::Link).faults(faults);
    let api = MockApi::builder().resource(resource).start().await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let source = Source::get("issues", api.url("issues"))
        .records("")
        .paginate(LinkHeader::new())
        .retry(RetryPolicy::exponential().base(Duration::from_millis(5)).seed(1).budget(1.0, 10))
        .build()
        .unwrap();
    let report = Pipeline::new().source(source).sink(Jsonl::dir(out.path())).run().await.unwrap();
    assert_eq!(ids_of(out.path(), "issues"), api.ids("issues").collect::<Vec<_>>());
    let traffic = &api.stats()["issues"];
    let (issues, faulty) = (report.source("issues").unwrap(), traffic.requests - 50);
    assert!(faulty > 10 && traffic.cut > 0, "{traffic:?}");
    assert_eq!((issues.counts.requests, issues.counts.retries), (traffic.requests, faulty));
}

#[tokio::test]
async fn a_stream_composed_by_hand_runs_in_a_pipeline() {
    let api = api().await;
    let (url, memory) = (api.url("issues"), Memory::new());
    let source = Source::from_pages("by_hand", "v1", "", Consistency::Stable, move |mark| {
        Pages::new(Http::new().unwrap(), Request::get(url).unwrap(), LinkHeader::new())
            .resume(mark)
            .rate_limit(Limiter::per_second(10_000.0).burst(100))
            .retry(RetryPolicy::exponential())
            .prefetch(2)
    })
    .unwrap();
    let report = Pipeline::new().source(source).sink(memory.clone()).run().await.unwrap();
    assert_eq!(report.records(), 1_000);
    assert_eq!(memory.lines("by_hand").len(), 1_000);
    assert!(report.source("by_hand").unwrap().counts.requests >= 20);
}

#[tokio::test]
async fn a_stream_that_ends_without_saying_so_is_a_failure() {
    let api = api().await;
    let source = Source::from_pages("short", "v1", "", Consistency::Stable, {
        let url = api.url("issues");
        move |mark| {
            Short(
                Pages::new(Http::new().unwrap(), Request::get(url).unwrap(), LinkHeader::new()).resume(mark),
                3,
            )
        }
    })
    .unwrap();
    let failure = Pipeline::new().source(source).sink(Memory::new()).run().await.unwrap_err();
    assert_eq!(failure.error.kind(), ErrorKind::Truncated);
    assert_eq!(
        failure.report.unwrap().source("short").unwrap().pages,
        3,
        "what came is committed all the same"
    );
}

/// Gives so many pages and then, wrongly, `None`.
struct Short(Pages, u32);

impl futures::Stream for Short {
    type Item = Result<Page>;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        if self.1 == 0 {
            return std::task::Poll::Ready(None);
        }
        let page = std::task::ready!(std::pin::Pin::new(&mut self.0).poll_next(cx));
        self.1 -= 1;
        std::task::Poll::Ready(page)
    }
}

impl Paged for Short {}

#[tokio::test]
async fn an_empty_source_has_an_empty_file_and_is_finished() {
    let api =
        MockApi::builder().resource(Resource::new("none", 0).paging(Paging::Link)).start().await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let source =
        Source::get("none", api.url("none")).records("").paginate(LinkHeader::new()).build().unwrap();
    let report = Pipeline::new().source(source).sink(Jsonl::dir(out.path())).run().await.unwrap();
    assert_eq!((report.records(), report.source("none").unwrap().pages), (0, 1));
    assert_eq!(std::fs::read(&files(out.path(), "none")[0]).unwrap(), b"");
}

#[tokio::test]
async fn no_task_is_left_behind() {
    let api = api().await;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let seen = Arc::new(after_pages(3, move || stop.at_once()));
    let run = Pipeline::new().sources([customers(&api), issues(&api)]).sink(Memory::new()).shutdown(shutdown);
    run.observe(move |event| seen(event)).run().await.unwrap_err();
    drop(api);
    for _ in 0..100 {
        // Connections of the client and of the server end a moment later.
        if tokio::runtime::Handle::current().metrics().num_alive_tasks() <= before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} tasks are left", tokio::runtime::Handle::current().metrics().num_alive_tasks() - before);
}

/// Pages of one record each, by a cursor; after `ring` pages it begins again.
fn pages_of_one(pages: u64, ring: bool) -> Scripted {
    Scripted::from_fn(move |request, _| {
        let query: HashMap<_, _> = request.url().query_pairs().into_owned().collect();
        let page: u64 = query.get("cursor").map_or(1, |cursor| cursor.parse().unwrap());
        let next = match page {
            page if page < pages => format!("\"{}\"", page + 1),
            _ if ring => "\"2\"".to_owned(),
            _ => "null".to_owned(),
        };
        Reply::json(format!(r#"{{"data":[{{"id":{page}}}],"next":{next}}}"#)).delay(Duration::from_millis(1))
    })
}

fn items(api: &Scripted) -> headwater::SourceBuilder {
    Source::get("items", "https://api.example.com/items")
        .records("data")
        .paginate(Cursor::body("next"))
        .transport(api.clone())
}

/// Drops a run in the middle of such a call of the disk, which goes on.
async fn dropped_while_held(
    fs: &SlowFs,
    call: Call,
    run: impl Future<Output = Result<Report, RunError>> + Send + 'static,
) {
    fs.hold(call);
    let run = tokio::spawn(run);
    while !fs.holds(call) {
        assert!(!run.is_finished(), "it was to be held");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
}

/// Runs as soon as the last run's work has landed.
async fn when_unlocked<R: Future<Output = Result<Report, RunError>>>(run: impl Fn() -> R) -> Report {
    loop {
        match run().await {
            Err(failure) if failure.error.kind() == ErrorKind::Locked => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            other => return other.unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_dropped_in_mid_write_keeps_the_next_one_out_until_it_has_landed() {
    let (out, fs, api) = (tempfile::tempdir().unwrap(), SlowFs::default(), pages_of_one(120, false));
    let run = || {
        let sink = Jsonl::on(Arc::new(fs.clone()), out.path());
        Pipeline::new()
            .source(items(&api).build().unwrap())
            .sink(sink)
            .commit_every(Duration::from_millis(20))
            .run()
    };
    dropped_while_held(&fs, Call::Append, run()).await;
    assert_eq!(run().await.unwrap_err().error.kind(), ErrorKind::Locked, "the write is still on its way");
    fs.let_go();
    let report = when_unlocked(run).await;
    assert_eq!(report.records(), 120);
    let expected: Vec<String> = (1..=120).map(|id: u64| id.to_string()).collect();
    assert_eq!(ids_of(out.path(), "items"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_dropped_while_a_commit_is_synced_keeps_the_next_one_out() {
    let (out, fs, api) = (tempfile::tempdir().unwrap(), SlowFs::default(), pages_of_one(200, false));
    let run = || {
        let sink = Jsonl::on(Arc::new(fs.clone()), out.path());
        let source = items(&api).build().unwrap();
        Pipeline::new().source(source).sink(sink).commit_every(Duration::from_millis(20)).run()
    };
    dropped_while_held(&fs, Call::Sync, run()).await;
    assert_eq!(run().await.unwrap_err().error.kind(), ErrorKind::Locked, "the sync is still on its way");
    fs.let_go();
    assert_eq!(when_unlocked(run).await.records(), 200);
    assert_eq!(ids_of(out.path(), "items").len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_dropped_while_it_saves_a_checkpoint_keeps_the_next_one_out_too() {
    let (out, fs, api) = (tempfile::tempdir().unwrap(), SlowFs::default(), pages_of_one(20, false));
    let run = || {
        let sink = Jsonl::on(Arc::new(fs.clone()), out.path());
        Pipeline::new().source(items(&api).build().unwrap()).sink(sink).run()
    };
    dropped_while_held(&fs, Call::Rename, run()).await;
    assert_eq!(run().await.unwrap_err().error.kind(), ErrorKind::Locked);
    fs.let_go();
    assert_eq!(when_unlocked(run).await.records(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_at_once_does_not_wait_for_a_slow_disk() {
    let (out, fs) = (tempfile::tempdir().unwrap(), SlowFs::default());
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let sink = Jsonl::on(Arc::new(fs.clone()), out.path());
    fs.delay_appends(Duration::from_secs(1));
    let run = Pipeline::new()
        .source(items(&pages_of_one(50, false)).build().unwrap())
        .sink(sink)
        .commit_every(Duration::from_millis(1))
        .shutdown(shutdown)
        .run();
    let disk = fs.clone();
    tokio::spawn(async move {
        while !disk.is_appending() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stop.at_once();
    });
    assert_eq!(run.await.unwrap_err().error.kind(), ErrorKind::Stopped);
    assert!(fs.is_appending(), "the run ended while the write was still going on");
}

#[tokio::test(start_paused = true)]
async fn the_sources_of_a_run_share_the_retry_budget_of_a_host() {
    let dead = Scripted::from_fn(|_, _| Reply::status(503));
    let source = |number: u32| {
        let url = format!("https://dead.example.com/{number}");
        let source =
            Source::get(format!("s{number}"), url).records("").paginate(Single).transport(dead.clone());
        source.build().unwrap()
    };
    Pipeline::new().sources((0..50).map(source)).sink(Memory::new()).run().await.unwrap_err();
    // Each asks once, and all together have ten retries.
    assert_eq!(dead.requests().len(), 60);
}

#[tokio::test]
async fn a_failing_source_stops_no_other_run_on_the_same_handle() {
    let shutdown = Shutdown::new();
    let dead = Scripted::from_fn(|_, _| Reply::status(404));
    let first = Pipeline::new().source(items(&dead).build().unwrap()).sink(Memory::new()).fail_fast();
    first.shutdown(shutdown.clone()).run().await.unwrap_err();
    let second = Pipeline::new().source(items(&pages_of_one(5, false)).build().unwrap()).sink(Memory::new());
    assert_eq!(second.shutdown(shutdown).run().await.unwrap().records(), 5);
}

#[tokio::test]
async fn the_next_run_does_not_walk_round_a_circle_again() {
    let (api, memory) = (pages_of_one(200, true), Memory::new());
    for _ in 0..3 {
        let run = Pipeline::new().source(items(&api).build().unwrap()).sink(memory.clone()).run();
        assert_eq!(run.await.unwrap_err().error.kind(), ErrorKind::Cycle);
        // The page that closes the circle is withheld.
        assert_eq!(memory.lines("items").len(), 199);
    }
}

#[tokio::test]
async fn a_credential_in_a_hand_written_query_is_in_no_checkpoint() {
    let out = tempfile::tempdir().unwrap();
    let api = Scripted::from_fn(|request, nth| match nth {
        1 => Reply::json("[1]").header("link", &format!("<{}&page=2>; rel=next", request.url())),
        _ => Reply::status(404),
    });
    let source = Source::get("items", "https://api.example.com/items")
        .query("api_key", "hunter2hunter2")
        .records("")
        .paginate(LinkHeader::new())
        .transport(api.clone());
    let run = Pipeline::new().source(source.build().unwrap()).sink(Jsonl::dir(out.path())).run();
    let failure = run.await.unwrap_err();
    assert_eq!(
        api.urls()[1],
        "https://api.example.com/items?api_key=hunter2hunter2&page=2",
        "it is put on again"
    );
    let checkpoint = std::fs::read_to_string(out.path().join(".headwater/items.1.checkpoint")).unwrap();
    assert!(checkpoint.contains("/items?api_key=headwater-credential-query0-0-&page=2"), "{checkpoint}");
    let report = failure.report.as_ref().unwrap();
    for text in [checkpoint, format!("{failure} {failure:?}"), report.to_json(), report.to_string()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn parameters_that_only_sound_like_credentials_stay_what_they_are() {
    // Two of one name, repeated by the server; and a key that is a position.
    let api = Scripted::from_fn(|request, nth| match nth {
        1 => Reply::json(format!(r#"{{"data":[1],"next":"{}&key=100"}}"#, request.url())),
        2 => Reply::json(r#"{"data":[2],"next":"/items?key=200"}"#),
        _ => Reply::json(r#"{"data":[3],"next":null}"#),
    });
    let source = Source::get("items", "https://api.example.com/items")
        .query("token", "US")
        .query("token", "D E")
        .records("data")
        .paginate(NextUrl::body("next"))
        .transport(api.clone());
    let run = Pipeline::new().source(source.build().unwrap()).sink(Memory::new()).run();
    assert_eq!(run.await.unwrap().records(), 3);
    let base = "https://api.example.com/items?";
    let expected =
        ["token=US&token=D+E", "token=US&token=D+E&key=100", "key=200"].map(|query| format!("{base}{query}"));
    assert_eq!(api.urls(), expected);
}
