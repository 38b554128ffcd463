//! What a stream of slices does, poll by poll, on a paused clock.

mod sliced_world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt};
use headwater::exchange::{Verdict, When};
use headwater::pages::{Fanout, Incremental, Slices, Step, TimeFormat, Window};
use headwater::paginate::{Cursor, Offset, Single};
use headwater::sink::Memory;
use headwater::testing::{Reply, Scripted};
use headwater::{
    Error, ErrorKind, Limiter, Mark, Pages, PagesExt, Pipeline, RecordsExt, Request, RetryPolicy, Shutdown,
    Source, SourceBuilder,
};
use serde_json::{Value, json};
use sliced_world::{Table, Tree, World, in_paused_time};
use tokio::time::{Instant, sleep};

const URL: &str = "https://api.example.com/rows?start={start}&end={end}";

/// The pages of a window over a scripted server, one answer for each slice.
fn pages(api: &Scripted, window: &Window, url: &str) -> Slices {
    let (api, template) = (api.clone(), Request::get(url).unwrap());
    window.pages(move |slice| {
        Pages::new(api.clone(), template.clone(), Single)
            .within(slice)
            .rate_limit(Limiter::unlimited())
            .retry(RetryPolicy::exponential())
    })
}

async fn queries(window: Window, url: &str) -> Vec<String> {
    let api = Scripted::from_fn(|_, _| Reply::json("[]"));
    pages(&api, &window, url).try_collect::<Vec<_>>().await.unwrap();
    api.urls().iter().map(|url| url.split_once('?').unwrap().1.to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn slices_say_where_they_begin_and_end_in_the_format_of_the_api() {
    let window = || Window::time("2024-01-30", "2024-03-01").every(Step::months(1));
    assert_eq!(
        queries(window(), URL).await,
        [
            "start=2024-01-30T00%3A00%3A00Z&end=2024-02-29T00%3A00%3A00Z",
            "start=2024-02-29T00%3A00%3A00Z&end=2024-03-01T00%3A00%3A00Z"
        ]
    );
    assert_eq!(
        queries(window().format(TimeFormat::Date).inclusive_end().newest_first(), URL).await,
        ["start=2024-02-29&end=2024-02-29", "start=2024-01-30&end=2024-02-28"]
    );
    assert_eq!(
        queries(window().format(TimeFormat::EpochSeconds).every(Step::days(30)).inclusive_end(), URL).await,
        ["start=1706572800&end=1709164799", "start=1709164800&end=1709251199"]
    );
    let ids = Window::ids(-5..12).every(8).inclusive_end();
    assert_eq!(queries(ids, URL).await, ["start=-5&end=2", "start=3&end=10", "start=11&end=11"]);
    let keys = Window::keys(["EUR/USD", "a b"]);
    assert_eq!(
        queries(keys, "https://api.example.com/rates?pair={key}").await,
        ["pair=EUR%2FUSD", "pair=a%20b"]
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_slices_are_open_than_allowed_and_those_are_driven_while_nobody_polls() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let begun = open.clone();
    let peak = most.clone();
    let api = Scripted::from_fn(move |_, _| {
        peak.fetch_max(begun.fetch_add(1, SeqCst) + 1, SeqCst);
        Reply::json("[1]").delay(Duration::from_secs(1))
    });
    let mut stream = pages(&api, &Window::ids(0..60).every(10).concurrency(2), URL);
    for page in 0..6 {
        let page_is_there = Instant::now();
        stream.next().await.unwrap().unwrap();
        open.fetch_sub(1, SeqCst);
        if page > 0 {
            assert_eq!(page_is_there.elapsed(), Duration::ZERO, "page {page} was fetched meanwhile");
        }
        // A sink that is slow: longer than any time-out between two reads.
        sleep(Duration::from_secs(100)).await;
        if page == 4 {
            break;
        }
    }
    assert_eq!(most.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_ends_its_tasks_and_gives_their_permits_back() {
    let api = Scripted::from_fn(|_, _| Reply::json("[1]").delay(Duration::from_secs(5)));
    let limiter = Limiter::unlimited().in_flight(3);
    let (http, template) = (api.clone(), Request::get(URL).unwrap());
    let of_all = limiter.clone();
    let mut stream = Window::ids(0..1000).every(1).concurrency(3).pages(move |slice| {
        Pages::new(http.clone(), template.clone(), Single).within(slice).rate_limit(of_all.clone())
    });
    stream.next().await.unwrap().unwrap();
    let sent = api.urls().len();
    drop(stream);
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(api.urls().len(), sent);
    let began = Instant::now();
    let all = [limiter.acquire().await, limiter.acquire().await, limiter.acquire().await];
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(all);
}

#[tokio::test(start_paused = true)]
async fn all_slices_share_one_limiter() {
    let api = Scripted::from_fn(|_, _| Reply::json("[1]"));
    let limiter = Limiter::per_second(2.0);
    let (http, template) = (api.clone(), Request::get(URL).unwrap());
    let stream = Window::ids(0..10).every(1).concurrency(4).pages(move |slice| {
        Pages::new(http.clone(), template.clone(), Single).within(slice).rate_limit(limiter.clone())
    });
    assert_eq!(stream.count().await, 10);
    let times: Vec<u128> = api.times().iter().map(Duration::as_millis).collect();
    assert_eq!(times, (0..10).map(|n| n * 500).collect::<Vec<_>>());
}

/// A stream goes on from each of its marks, with another number of slices at once, and through JSON.
#[test]
fn every_mark_is_exact_however_many_slices_are_open_then() {
    let table = Table::new((0..60).filter(|id| id % 4 != 1), 3);
    let world = World::rows(table, Window::ids(0..60).every(7));
    let at = |concurrency: usize, mark: Mark, most: usize| {
        let api = world.server(u64::MAX, Arc::default());
        let (template, ceiling) = (Request::get(URL).unwrap(), 10);
        let window = Window::ids(0..60).every(20).concurrency(concurrency).ceiling(ceiling);
        let stream = window.pages(move |slice| {
            let paginator = Offset::new(3).without_limit_param().until_false("more");
            Pages::new(api.clone(), template.clone(), paginator).within(slice)
        });
        in_paused_time(async {
            let batches: Vec<_> = stream.resume(mark).batches("data").take(most).try_collect().await.unwrap();
            let ids = batches.iter().flat_map(|batch| {
                batch.records().map(|record| record.parse::<Value>().unwrap()["id"].to_string())
            });
            (ids.collect::<Vec<_>>(), batches.last().map(headwater::Batch::mark))
        })
    };
    let mut marks = 0;
    for (first, second) in [(1, 4), (4, 1), (3, 2)] {
        for most in 1.. {
            let (mut ids, mark) = at(first, Mark::start(), most);
            let mark = mark.unwrap();
            if mark.is_end() {
                break;
            }
            let stored = serde_json::to_string(&mark).unwrap();
            let (rest, last) = at(second, serde_json::from_str(&stored).unwrap(), usize::MAX);
            ids.extend(rest);
            let count = ids.len() as u64;
            ids.sort();
            assert_eq!(ids, world.expected, "{first} at once, {most} pages, then {second} at once: {stored}");
            let last = last.unwrap();
            assert!(last.is_end() && last.rows == count);
            marks += 1;
        }
    }
    assert!(marks > 40, "only {marks}");
}

#[test]
fn a_slice_that_reaches_its_ceiling_is_halved_without_asking_beyond_it() {
    for (page, table) in [(5, Table::new(0..64, 5)), (5, Table::new(0..64, 5).says_total())] {
        let says_total = table.says_total;
        let window = Window::ids(0..64).ceiling(10);
        let window = if says_total { window.total_at("total") } else { window };
        let world = World::rows(table.ceiling(10), window);
        in_paused_time(async {
            let api = world.server(u64::MAX, Arc::default());
            let source = (world.source)(&api).build().unwrap();
            let batches: Vec<_> = source.batches(Mark::start()).unwrap().try_collect().await.unwrap();
            assert_eq!(batches.iter().map(headwater::Batch::len).sum::<usize>(), 64);
            let urls = api.urls();
            assert!(!urls.iter().any(|url| url.contains(&format!("offset={}", 2 * page))), "{urls:#?}");
            // 64, 32 and 16 rows are too many, 8 are not: 8 slices of two pages each, and those that were too large
            // cost one page with a total, and two without.
            assert_eq!(urls.len(), if says_total { 16 + 7 } else { 16 + 14 });
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_cannot_be_smaller_is_an_error_that_names_it_and_none_of_it_leaves() {
    // Twelve rows of one second.
    let api = Scripted::from_fn(|request, _| {
        let (_, start) = request.url().query_pairs().next().unwrap();
        let rows = if start.as_ref() <= "1970-01-01T00:00:05Z" { 12 } else { 0 };
        Reply::json(json!(vec![1; rows]).to_string())
    });
    let window = Window::time("1970-01-01T00:00:05Z", "1970-01-01T00:00:09Z").ceiling(10);
    let mut stream = pages(&api, &window, URL).records("");
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    let text = error.to_string();
    assert!(
        text.contains(r#"end = "1970-01-01T00:00:06Z", start = "1970-01-01T00:00:05Z""#)
            && text.contains("smallest(…)"),
        "{text}"
    );
    assert!(stream.next().await.is_none());
}

#[test]
fn a_page_that_the_server_refuses_beyond_the_ceiling_halves_the_slice_too() {
    // Three on a page, and the fourth page would cross the ceiling: Elasticsearch refuses it as a whole.
    let world = World::rows(Table::new(0..40, 3).ceiling(10), Window::ids(0..40).ceiling(10));
    in_paused_time(async {
        let api = world.server(u64::MAX, Arc::default());
        let batches = (world.source)(&api).build().unwrap().batches(Mark::start()).unwrap();
        let batches: Vec<_> = batches.try_collect().await.unwrap();
        assert_eq!(batches.iter().map(headwater::Batch::len).sum::<usize>(), 40);
    });
}

/// A rule that takes the refusal for the end must not hide that rows are missing.
#[test]
fn a_slice_that_ends_where_the_ceiling_would_be_crossed_is_halved_too() {
    let world = World::rows(Table::new(0..40, 3).ceiling(10), Window::ids(0..40).ceiling(10));
    in_paused_time(async {
        let api = world.server(u64::MAX, Arc::default());
        let rule = When::status(422).resumed().means(Verdict::End);
        let batches = (world.source)(&api).rule(rule).build().unwrap().batches(Mark::start()).unwrap();
        let batches: Vec<_> = batches.try_collect().await.unwrap();
        assert_eq!(batches.iter().map(headwater::Batch::len).sum::<usize>(), 40);
    });
}

fn memory(source: Source, sink: &Memory) -> Pipeline {
    Pipeline::new().source(source).sink(sink.clone()).commit_every(Duration::from_millis(1))
}

#[tokio::test(start_paused = true)]
async fn now_is_when_the_run_began_and_the_next_run_may_begin_there() {
    let sink = Memory::new();
    let run = async |second: u64, fails: bool| {
        let api =
            Scripted::from_fn(
                move |_, number| {
                    if fails && number == 2 { Reply::status(400) } else { Reply::json("[1]") }
                },
            );
        let window = Window::time("1970-01-01", "now")
            .every(Duration::from_secs(10))
            .continue_from_end()
            .format(TimeFormat::EpochSeconds)
            .as_of(UNIX_EPOCH + Duration::from_millis(second * 1000 + 700));
        let source =
            Source::get("rows", URL).records("").paginate(Single).window(window).transport(api.clone());
        let done = memory(source.build().unwrap(), &sink).run().await;
        assert_eq!(done.is_err(), fails);
        api.urls().iter().map(|url| url.rsplit_once('?').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(run(25, true).await, ["start=0&end=10", "start=10&end=20"]);
    assert_eq!(run(99, false).await, ["start=10&end=20", "start=20&end=25"], "it is still the run of before");
    assert_eq!(run(32, false).await, ["start=25&end=30", "start=30&end=32"]);
    assert_eq!(run(32, false).await, [""; 0], "nothing is new");
    assert_eq!(run(20, false).await, [""; 0], "a clock that was set back asks for nothing");
    assert_eq!(run(33, false).await, ["start=32&end=33"]);
}

#[tokio::test(start_paused = true)]
async fn a_source_of_no_slices_is_finished() {
    for source in [
        Source::get("none", "https://api.example.com/{key}").window(Window::keys([""; 0])),
        Source::get("none", URL).window(Window::ids(5..5)),
        Source::get("none", "https://api.example.com/{id}").fanout(
            Fanout::over(
                Source::get("parents", "https://api.example.com/")
                    .records("data")
                    .paginate(Single)
                    .transport(Scripted::from_fn(|_, _| Reply::json(r#"{"data":[]}"#))),
            )
            .bind("id", "id"),
        ),
    ] {
        let source =
            source.records("other.path").paginate(Single).transport(Scripted::new([])).build().unwrap();
        let report = memory(source, &Memory::new()).run().await.unwrap();
        assert_eq!((report.sources[0].records, report.sources[0].pages), (0, 1));
    }
}

/// `/parents` gives these records, `/children/…` one record each, unless told otherwise.
fn family(parents: Value, child: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> Scripted {
    Scripted::from_fn(move |request, _| match request.url().path() {
        "/parents" => Reply::json(parents.to_string()),
        path => child(path).unwrap_or_else(|| Reply::json(r#"[{"n":1.0}]"#)),
    })
}

fn children(
    api: &Scripted,
    change: impl FnOnce(Fanout<headwater::SourceBuilder>) -> Fanout<headwater::SourceBuilder>,
) -> headwater::SourceBuilder {
    let parents = Source::get("parents", "https://api.example.com/parents")
        .records("")
        .paginate(Single)
        .transport(api.clone());
    Source::get("children", "https://api.example.com/children/{id}/list")
        .records("")
        .paginate(Single)
        .transport(api.clone())
        .fanout(change(Fanout::over(parents).bind("id", "id")))
}

async fn all(source: headwater::SourceBuilder) -> (Vec<String>, Option<Error>) {
    let mut batches = source.build().unwrap().batches(Mark::start()).unwrap();
    let mut records = Vec::new();
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => records.extend(batch.records().map(|record| record.as_str().to_owned())),
            Err(error) => return (records, Some(error)),
        }
    }
    (records, None)
}

#[tokio::test(start_paused = true)]
async fn a_value_stays_in_its_segment_of_the_path_and_one_that_would_leave_it_is_refused() {
    let api = family(json!([{"id": "a/b?c#d%2f"}, {"id": 7}]), |_| None);
    assert!(all(children(&api, |fanout| fanout)).await.1.is_none());
    let asked = api.urls();
    assert_eq!(
        asked[1..],
        [
            "https://api.example.com/children/a%2Fb%3Fc%23d%252f/list",
            "https://api.example.com/children/7/list",
        ]
    );
    for bad in ["..", ".", ""] {
        let api = family(json!([{"id": "good"}, {"id": bad}]), |_| None);
        let (records, error) = all(children(&api, |fanout| fanout)).await;
        let error = error.unwrap();
        assert_eq!((records.len(), error.kind()), (1, ErrorKind::Cursor), "{error}");
        assert!(error.to_string().contains("slice id = "), "{error}");
        assert_eq!(api.urls().len(), 2, "it was not asked for");
    }
}

#[tokio::test(start_paused = true)]
async fn fields_of_the_parent_are_copied_into_each_record_of_the_child() {
    let api = family(json!([{"id": 1, "name": "x"}, {"id": 2}]), |path| {
        path.contains('2').then(|| Reply::json(r#"[{"of":"own"},7]"#))
    });
    let (records, error) = all(children(&api, |fanout| fanout.copy("name", "of"))).await;
    assert!(error.is_none());
    assert_eq!(
        records,
        [r#"{"n":1.0,"of":"x"}"#, r#"{"of_original":"own","of":null}"#, r#"{"value":7,"of":null}"#,]
    );
}

#[tokio::test(start_paused = true)]
async fn a_parent_without_the_field_is_an_error_unless_it_may_be_left_out() {
    let parents = json!([{"id": 1}, {"id": null, "name": "x"}, {"id": 3}]);
    let api = family(parents, |_| None);
    let (_, error) = all(children(&api, |fanout| fanout)).await;
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Record);
    assert!(error.to_string().contains("\"id\" of the parent's record 2, for {id}, is null"), "{error}");
    let (records, error) = all(children(&api, Fanout::skip_missing)).await;
    assert!(error.is_none() && records.len() == 2);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_ends_the_source_and_its_error_names_it_and_no_secret() {
    let api = family(json!([{"id": "one"}, {"id": "two"}]), |path| {
        path.contains("two").then(|| Reply::status(404))
    });
    let (records, error) = all(children(&api, |fanout| fanout)).await;
    let text = error.unwrap().to_string();
    assert_eq!(records.len(), 1);
    assert!(text.starts_with("children: slice id = \"two\": page 1 (start): unexpected status"), "{text}");

    let api = family(json!([{"id": "one", "code": "hunter2"}]), |_| Some(Reply::status(404)));
    let source = children(&api, |fanout| fanout.bind("access_token", "code")).query("q", "{access_token}");
    let text = all(source).await.1.unwrap().to_string();
    assert!(text.contains("access_token = ***") && !text.contains("access_token = \"hunter2"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_slice_of_keys_is_named_by_its_key() {
    let api = Scripted::from_fn(|_, _| Reply::status(404));
    let source = Source::get("items", "https://api.example.com/{key}").records("").paginate(Single);
    let (_, error) = all(source.transport(api).window(Window::keys(["eu", "us"]))).await;
    let text = error.unwrap().to_string();
    assert!(text.starts_with("items: slice key = \"eu\": page 1"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_field_that_repeats_a_credential_is_not_stored() {
    let token = "sk_live_0123456789abcdef";
    let api = family(json!([{"id": format!("x{token}")}]), |_| None);
    let (_, error) = all(children(&api, |fanout| fanout).bearer(token)).await;
    let text = error.unwrap().to_string();
    assert!(text.contains("repeats a credential") && !text.contains(token), "{text}");
}

#[test]
fn a_credential_of_a_parent_s_record_cannot_be_bound_for_it_would_be_stored() {
    let api = family(json!([]), |_| None);
    let refused = |fanout: fn(Fanout<SourceBuilder>) -> Fanout<SourceBuilder>, query: &str, header: &str| {
        let source = children(&api, fanout).query(query, "{t}").header(header, "Bearer {t}");
        source.build().map_err(|error| (error.kind(), error.to_string())).err()
    };
    for (kind, text) in [
        refused(|fanout| fanout.bind("t", "access_token"), "q", "X-A"),
        refused(|fanout| fanout.bind("t", "page.accessToken"), "q", "X-A"),
        refused(|fanout| fanout.bind("t", "code"), "q", "Authorization"),
        refused(|fanout| fanout.bind("t", "code"), "access_token", "X-A"),
    ]
    .map(Option::unwrap)
    {
        assert!(kind == ErrorKind::Config && text.contains("is a credential"), "{text}");
    }
    // The id of one, or a token of a page, is none.
    for fanout in [
        |fanout: Fanout<SourceBuilder>| fanout.bind("t", "access_key_id"),
        |fanout: Fanout<SourceBuilder>| fanout.bind("t", "key"),
        |fanout: Fanout<SourceBuilder>| fanout.bind("t", "nextPageToken"),
    ] {
        assert_eq!(refused(fanout, "token", "X-A"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_parents_fail_their_children_are_finished_first() {
    let api = Scripted::from_fn(|request, _| match (request.url().path(), request.url().query()) {
        ("/parents", None) => Reply::json(r#"{"data":[{"id":1},{"id":2}],"next":"b"}"#),
        ("/parents", _) => Reply::status(400),
        _ => Reply::json("[{}]").delay(Duration::from_secs(1)),
    });
    let parents = Source::get("parents", "https://api.example.com/parents")
        .records("data")
        .paginate(Cursor::body("next"))
        .transport(api.clone());
    let source = Source::get("children", "https://api.example.com/children/{id}")
        .records("")
        .paginate(Single)
        .transport(api.clone())
        .fanout(Fanout::over(parents).bind("id", "id").concurrency(8));
    let (records, error) = all(source).await;
    let error = error.unwrap();
    assert_eq!(records.len(), 2);
    assert!(error.to_string().starts_with("parents: page 2"), "{error}");
}

/// A slice that goes round in a ring longer than the memory of a mark.
#[tokio::test(start_paused = true)]
async fn a_rerun_does_not_walk_once_more_round_a_circle_inside_a_slice() {
    let sink = Memory::new();
    let mut asked = Vec::new();
    for _ in 0..3 {
        let api = Scripted::from_fn(|request, _| {
            let cursor = request.url().query_pairs().find(|(name, _)| name == "cursor");
            let at: u64 = cursor.map_or(0, |(_, at)| at.parse().unwrap());
            let next = if at == 100 { 1 } else { at + 1 };
            Reply::json(json!({"data": [{"at": at}], "next": format!("{next}")}).to_string())
        });
        let source = Source::get("rows", URL)
            .records("data")
            .paginate(Cursor::body("next"))
            .window(Window::ids(0..10).every(5))
            .transport(api.clone());
        let error = memory(source.build().unwrap(), &sink).run().await.unwrap_err().error;
        assert_eq!(error.kind(), ErrorKind::Cycle, "{error}");
        asked.push(api.urls().len());
    }
    assert_eq!(asked, [101, 1, 1]);
    let lines: BTreeSet<String> = sink.lines("rows").into_iter().collect();
    assert_eq!((lines.len(), sink.lines("rows").len()), (100, 100));
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_without_a_window_is_an_error_if_there_is_more_and_a_warning_if_it_is_met() {
    let run = async |rows: i64, says_total: bool, ceiling: Option<usize>| {
        let mut table = Table::new(0..rows, 5);
        (table.says_total, table.ceiling) = (says_total, ceiling);
        let world = World::of(
            table.clone(),
            Tree { orgs: 0, repos: 0, issues: 0 },
            move |api| {
                let source = Source::get("rows", "https://api.example.com/rows")
                    .records("data")
                    .paginate(Offset::new(5).without_limit_param().until_false("more"))
                    .transport(api.clone())
                    .ceiling(10);
                if says_total { source.total_at("total") } else { source }
            },
            Vec::new(),
        );
        let api = world.server(u64::MAX, Arc::default());
        memory((world.source)(&api).build().unwrap(), &Memory::new()).run().await
    };
    let report = run(9, false, Some(10)).await.unwrap();
    assert!(report.sources[0].warnings.is_empty());
    let report = run(10, false, Some(10)).await.unwrap();
    assert_eq!(report.sources[0].warnings.len(), 1);
    assert!(report.to_string().contains("warning: rows: 10 records came"), "{report}");
    assert!(report.to_json().contains("\"warnings\""));
    for (says_total, records) in [(false, 10), (true, 0)] {
        let failure = run(11, says_total, Some(10)).await.unwrap_err();
        assert_eq!(failure.error.kind(), ErrorKind::Truncated, "{failure}");
        assert!(failure.to_string().contains("Window"), "{failure}");
        assert_eq!(failure.report.unwrap().sources[0].records, records);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_meant_is_refused_before_anything_is_sent() {
    let base = |url: &str| Source::get("rows", url).records("").paginate(Single);
    let parents = || Source::get("parents", "https://api.example.com/p").records("").paginate(Single);
    let day = Duration::from_secs(86_400);
    for (source, why) in [
        (base("https://api.example.com/?from={start}").window(Window::ids(0..9)), "{end} does not stand"),
        (base("https://api.example.com/").window(Window::keys(["a"])), "{key} does not stand"),
        (base("https://api.example.com/{key}").window(Window::keys(["a", "b", "a"])), "\"a\" is there twice"),
        (base(URL).window(Window::ids(std::ops::Range { start: 9, end: 0 })), "ends before it begins"),
        (base(URL).window(Window::ids(0..9).every(day)), "the window counts ids"),
        (base(URL).window(Window::ids(0..9).every(0)), "one id or more"),
        (base(URL).window(Window::time("2024-01-01", "now").every(5)), "the window is one of time"),
        (base(URL).window(Window::time("now", "now")), "cannot begin now"),
        (base(URL).window(Window::time("2024", "now")), "is no time"),
        (
            base(URL).window(Window::time("2024-01-01T10:00:00Z", "now").format(TimeFormat::Date)),
            "finer than their format",
        ),
        (
            base(URL).window(
                Window::time("2024-01-01", "now").every(Duration::from_secs(60)).format(TimeFormat::Date),
            ),
            "finer than the format",
        ),
        (base(URL).window(Window::ids(0..9).total_at("total")), "without a `ceiling`"),
        (
            base("https://api.example.com/rows").fanout(Fanout::over(parents()).bind("id", "id")),
            "{id} does not stand",
        ),
        (base("https://api.example.com/rows").fanout(Fanout::over(parents())), "binds nothing"),
        (
            base("https://api.example.com/{id}")
                .fanout(Fanout::over(parents()).bind_joined("id", "id", 5, ",").copy("a", "b")),
            "cannot copy",
        ),
        (base(URL).window(Window::ids(0..9)).conditional(), "cannot be conditional"),
        (base(URL).window(Window::ids(0..9)).incremental(Incremental::by("at")), "cannot be incremental"),
        (
            base("https://api.example.com/{id}/{start}/{end}")
                .fanout(Fanout::over(parents()).bind("id", "id"))
                .window(Window::ids(0..9).continue_from_end()),
            "cannot continue from its end",
        ),
    ] {
        let error = source.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(why), "{why}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_range_is_another_definition_and_another_concurrency_is_not() {
    let sink = Memory::new();
    let run = async |window: Window, fails: bool| {
        let api =
            Scripted::from_fn(
                move |_, number| {
                    if fails && number == 3 { Reply::status(400) } else { Reply::json("[1]") }
                },
            );
        let source = Source::get("rows", URL).records("").paginate(Single).window(window).transport(api);
        memory(source.build().unwrap(), &sink).run().await.map_err(|failure| failure.error.kind())
    };
    let window = || Window::ids(0..50).every(5);
    assert_eq!(run(window(), true).await.unwrap_err(), ErrorKind::Status);
    assert_eq!(run(Window::ids(0..60).every(5), false).await.unwrap_err(), ErrorKind::DefinitionChanged);
    let report = run(window().every(20).concurrency(3), false).await.unwrap();
    assert_eq!(report.sources[0].records, 2 + 3, "two of five ids each, then 10..20, 20..40, 40..50");
}

#[test]
fn a_run_that_is_stopped_gently_at_any_time_goes_on_exactly() {
    let tree = Tree { orgs: 4, repos: 3, issues: 5 };
    let world = World::tree(tree, move |api| tree.issues(api, 3));
    let mut stopped = 0;
    for step in 1.. {
        let sink = Memory::new();
        let done = in_paused_time(async {
            let shutdown = Shutdown::new();
            let handle = shutdown.clone();
            let api = world.server(u64::MAX, Arc::default());
            let run = memory((world.source)(&api).build().unwrap(), &sink).shutdown(shutdown).run();
            let stop = async {
                sleep(Duration::from_millis(step * 11)).await;
                handle.finish_pages();
                std::future::pending::<()>().await;
            };
            tokio::select! { done = run => done.is_ok(), () = stop => unreachable!() }
        });
        if done {
            break;
        }
        stopped += 1;
        in_paused_time(async {
            let api = world.server(u64::MAX, Arc::default());
            memory((world.source)(&api).build().unwrap(), &sink).run().await.unwrap();
        });
        let mut ids = sliced_world::ids((sink.lines("issues").join("\n") + "\n").as_bytes());
        ids.sort();
        assert_eq!(ids, world.expected, "stopped after {} ms", step * 11);
    }
    assert!(stopped > 10, "{stopped}");
}

#[test]
fn the_same_world_gives_the_same_stream() {
    let tree = Tree { orgs: 4, repos: 3, issues: 5 };
    let world = World::tree(tree, move |api| tree.issues(api, 4));
    let run = || {
        in_paused_time(async {
            let api = world.server(u64::MAX, Arc::default());
            let (records, error) = all((world.source)(&api)).await;
            assert!(error.is_none());
            (records, api.urls(), api.times())
        })
    };
    assert_eq!(run(), run());
}

#[tokio::test(start_paused = true)]
async fn the_report_counts_the_requests_of_all_parts() {
    let failed = Arc::new(AtomicU64::new(0));
    let once = failed.clone();
    let api = family(json!([{"id": 1}, {"id": 2}]), move |_| {
        (once.fetch_add(1, SeqCst) == 0).then(|| Reply::status(503))
    });
    let report =
        memory(children(&api, |fanout| fanout).build().unwrap(), &Memory::new()).run().await.unwrap();
    let counts = report.sources[0].counts;
    assert_eq!((counts.requests, counts.retries, report.sources[0].pages), (4, 1, 3));
}

/// On real threads, in real time: nothing is lost between the tasks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_each_record_comes_once_and_a_gentle_stop_loses_nothing() {
    for round in 0..20_u64 {
        let api = Scripted::from_fn(move |request, number| {
            let (_, start) = request.url().query_pairs().next().unwrap();
            Reply::json(format!("[{{\"id\":{start}}}]")).delay(Duration::from_micros(number * 37 % 900))
        });
        let (sink, shutdown) = (Memory::new(), Shutdown::new());
        let source = || {
            let window = Window::ids(0..200).every(1).concurrency(8);
            let source = Source::get("rows", URL).records("").paginate(Single).window(window);
            source.transport(api.clone()).build().unwrap()
        };
        let handle = shutdown.clone();
        let run = tokio::spawn(memory(source(), &sink).shutdown(shutdown).run());
        sleep(Duration::from_millis(round)).await;
        handle.finish_pages();
        if run.await.unwrap().is_err() {
            memory(source(), &sink).run().await.unwrap();
        }
        let mut ids: Vec<u64> = sliced_world::ids((sink.lines("rows").join("\n") + "\n").as_bytes())
            .iter()
            .map(|id| id.parse().unwrap())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..200).collect::<Vec<_>>(), "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_ends_with_a_full_page_below_its_ceiling_is_halved() {
    // Ten are the most, four a page: after eight the server gives no next page, for it would be one in part.
    let api = Scripted::from_fn(|request, _| {
        let query: std::collections::BTreeMap<_, _> = request.url().query_pairs().into_owned().collect();
        let number = |name: &str| query.get(name).map_or(0, |text| text.parse::<usize>().unwrap());
        let (start, end, after) = (number("a"), number("b"), number("after"));
        let page: Vec<_> = (start..end).skip(after).take(4).map(|id| json!({ "id": id })).collect();
        let more = after + 4 < end - start && after + 8 <= 10;
        Reply::json(json!({ "data": page, "next": more.then(|| (after + 4).to_string()) }).to_string())
    });
    let source = Source::get("rows", "https://api.example.com/?a={start}&b={end}")
        .transport(api)
        .records("data")
        .paginate(Cursor::body("next").into_query("after"))
        .window(Window::ids(0..40).ceiling(10));
    let run = Pipeline::new().source(source.build().unwrap()).sink(Memory::new());
    assert_eq!(run.run().await.unwrap().source("rows").unwrap().records, 40);
}
