//! The contract of the page stream and its adapters, on a paused clock.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::stream::FusedStream;
use futures::{Stream, StreamExt, TryStreamExt};
use headwater::auth::{ApiKey, Basic, Bearer};
use headwater::paginate::{Cursor, LinkHeader, NextUrl, Offset, Single};
use headwater::testing::{Reply, Scripted};
use headwater::{
    Error, ErrorKind, Limiter, Mark, Page, Pages, PagesExt, Position, Record, RecordsExt, Request, Result,
    RetryPolicy,
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

const ITEMS: &str = "https://api.example.com/v1/items";

fn items() -> Request {
    Request::get(ITEMS).unwrap()
}

/// Paged by `?after=…`, from `"next"`.
fn listed(api: &Scripted) -> Pages {
    Pages::new(api.clone(), items(), Cursor::body("next").into_query("after"))
}

/// A page with these records; the next one stands after `next`.
fn page(records: &str, next: Option<&str>) -> Reply {
    Reply::json(format!(r#"{{"data":{records},"next":{}}}"#, json!(next)))
}

/// Page n of `last`, with the record n.
fn counted(request: &Request, last: u64) -> Reply {
    let after = request.url().query_pairs().find(|(name, _)| name == "after");
    let number: u64 = after.map_or(1, |(_, value)| value.parse().unwrap());
    let next = (number < last).then(|| (number + 1).to_string());
    page(&format!("[{number}]"), next.as_deref())
}

fn counting(last: u64) -> Scripted {
    Scripted::from_fn(move |request, _| counted(request, last))
}

/// Retries without a delay of its own.
fn at_once() -> RetryPolicy {
    RetryPolicy::exponential().base(Duration::ZERO)
}

fn down() -> Reply {
    Reply::status(503)
}

/// What stands behind the path of each request.
fn asked(api: &Scripted) -> Vec<String> {
    api.urls().into_iter().map(|url| url.replace(ITEMS, "")).collect()
}

fn millis(api: &Scripted) -> Vec<u128> {
    api.times().iter().map(Duration::as_millis).collect()
}

async fn texts(records: impl Stream<Item = Result<Record>>) -> Result<Vec<String>> {
    records.map_ok(|record| record.as_str().to_owned()).try_collect().await
}

/// The one error that a stream must end with, and what came before it.
async fn until_error<T>(stream: impl Stream<Item = Result<T>>) -> (Vec<T>, Error) {
    let mut stream = std::pin::pin!(stream);
    let mut before = Vec::new();
    loop {
        match stream.next().await.expect("an error before the end") {
            Ok(item) => before.push(item),
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error is the end: {error}");
                return (before, error);
            }
        }
    }
}

// ---- The page stream

#[tokio::test(start_paused = true)]
async fn a_transient_error_leaves_the_position_where_it_was() {
    let api = Scripted::new([
        page("[1]", Some("b")),
        Reply::error(ErrorKind::Interrupted).transient(),
        down(),
        Reply::json(r#"{"data":[2],"ne"#),
        page("[2]", Some("c")),
        page("[3]", None),
    ]);
    let outcomes: Vec<Result<Page>> = listed(&api).collect().await;
    let came: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(came, [true, false, false, false, true, true]);
    assert_eq!(asked(&api), ["", "?after=b", "?after=b", "?after=b", "?after=b", "?after=c"]);
    let numbers: Vec<u64> = outcomes.into_iter().flatten().map(|page| page.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_ends_the_stream() {
    let api = Scripted::new([page("[1]", Some("b")), Reply::status(404)]);
    let mut pages = listed(&api);
    assert!(pages.next().await.unwrap().is_ok());
    let error = pages.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.context().page), (ErrorKind::Status, Some(2)));
    assert!(pages.is_terminated());
    for _ in 0..5 {
        assert!(pages.next().await.is_none());
    }
    assert_eq!(asked(&api), ["", "?after=b"]);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_page_there_is_none_however_often() {
    let api = counting(2);
    let mut pages = listed(&api);
    assert!(!pages.is_terminated());
    while let Some(page) = pages.next().await {
        assert_eq!(pages.is_terminated(), page.unwrap().next().is_none(), "known with the last page");
    }
    for _ in 0..5 {
        assert!(pages.next().await.is_none());
        assert_eq!(pages.size_hint(), (0, Some(0)));
    }
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_the_first_poll_or_between_two() {
    let api = counting(5);
    let mut pages = listed(&api);
    sleep(Duration::from_secs(60)).await;
    assert!(api.requests().is_empty());
    pages.next().await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_given_up_does_not_ask_twice() {
    let slow = page("[1]", None).delay(Duration::from_secs(5));
    let api = Scripted::new([slow]);
    let mut pages = listed(&api);
    assert!(timeout(Duration::from_secs(1), pages.next()).await.is_err());
    let page = pages.next().await.unwrap().unwrap();
    assert_eq!(api.requests().len(), 1);
    // 2026-05-17T10:00:05Z
    assert_eq!(page.fetched_at, UNIX_EPOCH + Duration::from_secs(1_779_012_005));
}

#[tokio::test(start_paused = true)]
async fn a_post_that_broke_off_is_not_sent_again_unless_declared_repeatable() {
    let search = || Request::post(ITEMS).unwrap().json(json!({"q": "x"}));
    let script = || Scripted::new([Reply::error(ErrorKind::Interrupted).transient(), page("[1]", None)]);
    let api = script();
    let (_, error) = until_error(Pages::new(api.clone(), search(), Single)).await;
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Interrupted, false));
    assert_eq!(api.requests().len(), 1);

    let api = script();
    let pages = Pages::new(api.clone(), search().repeatable(), Single).retry(at_once());
    assert_eq!(pages.try_collect::<Vec<_>>().await.unwrap().len(), 1);
    let bodies: Vec<_> = api.requests().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, vec![Some(json!({"q": "x"})); 2]);
}

// ---- Retry

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_per_page_and_start_anew_with_each() {
    let api = Scripted::new([
        down(),
        down(),
        page("[1]", Some("b")),
        down(),
        down(),
        page("[2]", Some("c")),
        down(),
        down(),
        page("[3]", None),
    ]);
    let pages = listed(&api);
    let meter = pages.meter();
    let records = texts(pages.retry(at_once().max_attempts(3)).records("data")).await.unwrap();
    assert_eq!(records, ["1", "2", "3"]);
    assert_eq!((meter.counts().requests, meter.counts().retries), (9, 6));
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_there_is_one_error_that_says_so() {
    let api = Scripted::from_fn(|_, _| down());
    let mut pages = listed(&api).named("shop").retry(at_once().max_attempts(4));
    let error = pages.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.context().attempts), (ErrorKind::Status, Some(4)));
    let text = error.to_string();
    for part in ["shop: page 1", "GET https://api.example.com/v1/items", "503", "gave up after 4 attempts"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    for _ in 0..3 {
        assert!(pages.is_terminated());
        assert!(pages.next().await.is_none());
    }
    assert_eq!(api.requests().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_not_retried() {
    let api = Scripted::new([Reply::status(401), page("[1]", None)]);
    let (_, error) = until_error(listed(&api).retry(at_once())).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_told_wait_is_kept_to_the_letter_and_costs_no_attempt() {
    let told = || Reply::status(429).header("retry-after", "120");
    // The wall clock stands at 10:06:00 then.
    let date = Reply::status(503).header("retry-after", "Sun, 17 May 2026 10:08:00 GMT");
    let api = Scripted::new([told(), told(), told(), date, page("[1]", None)]);
    let records = texts(listed(&api).retry(RetryPolicy::exponential().max_attempts(1)).records("data")).await;
    assert_eq!(records.unwrap(), ["1"]);
    assert_eq!(millis(&api), [0, 120_000, 240_000, 360_000, 480_000]);
}

#[tokio::test(start_paused = true)]
async fn a_told_wait_above_the_cap_is_an_error_that_says_when_to_come_back() {
    let api = Scripted::new([Reply::status(503).header("retry-after", "7200")]);
    let start = Instant::now();
    let (_, error) = until_error(listed(&api).retry(RetryPolicy::exponential())).await;
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.to_string().contains("come back after 20"), "{error}");
    assert_eq!(error.hints().retry_after, Some(Duration::from_secs(7200)));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_back_off_doubles_stays_below_its_bound_and_is_repeatable_with_a_seed() {
    let times = || async {
        let api = Scripted::from_fn(|_, _| down());
        let policy = RetryPolicy::exponential().max_attempts(8).seed(7);
        until_error(listed(&api).retry(policy)).await;
        millis(&api)
    };
    let first = times().await;
    assert_eq!(first, times().await);
    let delays: Vec<u128> = first.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // A timer is exact to the millisecond.
    let below = delays.iter().zip(0..).all(|(delay, index)| *delay <= 500 * 2_u128.pow(index) + 1);
    assert!(below && delays.len() == 7, "{delays:?}");
    assert!(delays.iter().sum::<u128>() > 4000, "{delays:?}");
}

#[tokio::test(start_paused = true)]
async fn a_used_up_retry_budget_stops_the_storm() {
    let api = Scripted::from_fn(|_, _| down());
    let (_, error) = until_error(listed(&api).retry(at_once().max_attempts(100).budget(0.2, 3))).await;
    assert!(error.to_string().contains("retry budget"), "{error}");
    assert_eq!(api.requests().len(), 4);
}

// ---- Rate limit

/// 50 at once, then one every 40 ms: 25 a second with a burst of 50.
fn schedule(requests: u128) -> Vec<u128> {
    (0..requests).map(|n| n.saturating_sub(49) * 40).collect()
}

#[tokio::test(start_paused = true)]
async fn one_permit_is_one_request() {
    let api = counting(120);
    let pages = listed(&api).rate_limit(Limiter::per_second(25.0).burst(50));
    assert_eq!(pages.count().await, 120);
    assert_eq!(millis(&api), schedule(120));
}

#[tokio::test(start_paused = true)]
async fn a_retry_takes_a_permit_like_any_request() {
    let api = Scripted::from_fn(|request, nth| match nth % 10 {
        0 => Reply::error(ErrorKind::Interrupted).transient(),
        _ => counted(request, 108),
    });
    let pages = listed(&api).rate_limit(Limiter::per_second(25.0).burst(50)).retry(at_once()).records("data");
    let expected: Vec<String> = (1..=108).map(|number| number.to_string()).collect();
    assert_eq!(texts(pages).await.unwrap(), expected);
    assert_eq!(millis(&api), schedule(119));
}

#[tokio::test(start_paused = true)]
async fn no_permit_is_spent_on_the_end() {
    let start = Instant::now();
    for api in [counting(1), Scripted::new([Reply::status(404)])] {
        let pages = listed(&api).rate_limit(Limiter::per_hour(1.0)).retry(RetryPolicy::exponential());
        assert_eq!(pages.count().await, 1);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_limiter_s_clones_share_one_budget() {
    let api = counting(10);
    let limiter = Limiter::per_second(10.0);
    let pull = || listed(&api).rate_limit(limiter.clone()).count();
    assert_eq!(tokio::join!(pull(), pull()), (10, 10));
    assert_eq!(millis(&api), (0..20).map(|n| n * 100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_used_up_budget_closes_the_gate_for_every_stream_on_the_limiter() {
    let empty = page("[1]", Some("b")).header("x-ratelimit-remaining", "0").header("x-ratelimit-reset", "30");
    let first = Scripted::new([empty, page("[2]", None)]);
    // Made at the same instant, so that both count from the same zero.
    let second = counting(2);
    let limiter = Limiter::unlimited();
    let mut one = listed(&first).rate_limit(limiter.clone());
    assert!(one.next().await.unwrap().is_ok());
    let two = listed(&second).rate_limit(limiter);
    assert_eq!(tokio::join!(one.count(), two.count()), (1, 2));
    assert_eq!(millis(&first), [0, 30_000]);
    assert_eq!(millis(&second), [30_000, 30_000]);
}

#[tokio::test(start_paused = true)]
async fn a_told_wait_closes_the_gate_for_every_stream_and_is_not_waited_for_twice() {
    let first = Scripted::new([Reply::status(429).header("retry-after", "120"), page("[1]", None)]);
    let second = counting(1);
    let limiter = Limiter::per_second(1.0);
    let mut one = listed(&first).rate_limit(limiter.clone());
    assert!(one.next().await.unwrap().is_err());
    let (one, two) = (one.retry(RetryPolicy::exponential()), listed(&second).rate_limit(limiter));
    assert_eq!(tokio::join!(one.count(), two.count()), (1, 1));
    let mut times = [millis(&first)[1], millis(&second)[0]];
    times.sort_unstable();
    assert_eq!(times, [120_000, 121_000]);

    let api = Scripted::new([Reply::status(429).header("retry-after", "120"), page("[1]", None)]);
    let pages = listed(&api).rate_limit(Limiter::per_second(1.0)).retry(RetryPolicy::exponential());
    assert_eq!(pages.count().await, 1);
    assert_eq!(millis(&api), [0, 120_000]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_gives_up_its_place() {
    let api = counting(1);
    let limiter = Limiter::per_second(1.0);
    drop(limiter.acquire().await);
    let mut waiting = listed(&api).rate_limit(limiter.clone());
    assert!(timeout(Duration::from_millis(1), waiting.next()).await.is_err());
    drop(waiting);
    assert_eq!(listed(&api).rate_limit(limiter).count().await, 1);
    assert_eq!(millis(&api), [1000]);
}

// ---- Records and prefetch

#[tokio::test(start_paused = true)]
async fn records_keep_their_order_and_their_digits() {
    let api = Scripted::new([
        page(r#"[{"b":1.50,"a":12345678901234567890123},2]"#, Some("b")),
        page("[]", Some("c")),
        page(r#"[ "drei" , null ]"#, None),
    ]);
    let records = texts(listed(&api).records("data")).await.unwrap();
    assert_eq!(records, [r#"{"b":1.50,"a":12345678901234567890123}"#, "2", r#""drei""#, "null"]);
}

#[tokio::test(start_paused = true)]
async fn a_page_gives_all_its_records_or_none() {
    let broken = || Reply::json(r#"{"next":"c","data":[3,4"#);
    let api = Scripted::new([page("[1,2]", Some("b")), broken(), page("[3,4]", None)]);
    let records = texts(listed(&api).retry(at_once()).records("data")).await.unwrap();
    assert_eq!(records, ["1", "2", "3", "4"]);

    // Asked for once more, no more.
    let api = Scripted::new([page("[1,2]", Some("b")), broken(), broken(), page("[3,4]", None)]);
    let (before, error) = until_error(listed(&api).retry(at_once()).records("data")).await;
    assert_eq!(before.len(), 2);
    assert_eq!((error.kind(), error.context().attempts), (ErrorKind::NotJson, Some(2)));
    assert_eq!(asked(&api), ["", "?after=b", "?after=b"]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_has_a_mark_too() {
    let api = Scripted::new([page("[]", Some("b")), page("[]", None)]);
    let batches: Vec<_> = listed(&api).batches("data").try_collect().await.unwrap();
    let marks: Vec<Mark> = batches.iter().map(|batch| batch.mark()).collect();
    assert!(batches.iter().all(|batch| batch.is_empty()));
    assert_eq!(marks[0].next, Some(Position::Cursor("b".into())));
    assert!(marks[1].is_end() && marks[1].pages == 2);
}

#[tokio::test(start_paused = true)]
async fn a_page_has_all_the_headers_of_its_answer() {
    let api = Scripted::new([page("[1]", None).header("x-total", "1").header("x-region", "eu")]);
    let page = listed(&api).next().await.unwrap().unwrap();
    assert_eq!(
        (&page.headers["x-total"], &page.headers["x-region"]),
        (&"1".parse().unwrap(), &"eu".parse().unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn prefetch_keeps_the_order_and_fetches_ahead() {
    let second = Duration::from_secs(1);
    let api = Scripted::from_fn(move |request, _| counted(request, 10).delay(second));
    let mut pages = listed(&api).prefetch(1);
    let mut numbers = Vec::new();
    let start = Instant::now();
    while let Some(page) = pages.next().await {
        numbers.push(page.unwrap().number);
        sleep(second).await;
    }
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    // One after the other it would be 20 s.
    assert_eq!(start.elapsed(), Duration::from_secs(11));
    assert!(pages.next().await.is_none());
    assert_eq!(listed(&api).prefetch(usize::MAX).count().await, 10, "as far ahead as there is");
}

#[tokio::test(start_paused = true)]
async fn prefetch_passes_errors_through_in_their_place() {
    let api = Scripted::new([page("[1]", Some("b")), down(), page("[2]", Some("c")), Reply::status(404)]);
    let outcomes: Vec<Result<Page>> = listed(&api).prefetch(2).collect().await;
    let came: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(came, [true, false, true, false]);

    let api = Scripted::new([page("[1]", Some("b")), down(), down()]);
    let pages = listed(&api).retry(at_once().max_attempts(2)).prefetch(2);
    let (before, error) = until_error(pages.records("data")).await;
    assert_eq!((before.len(), error.context().attempts), (1, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn prefetch_fetches_no_more_than_it_may_and_nothing_after_its_drop() {
    let api = Scripted::from_fn(|request, _| counted(request, 1000).delay(Duration::from_secs(1)));
    let mut pages = listed(&api).prefetch(3);
    pages.next().await.unwrap().unwrap();
    sleep(Duration::from_secs(100)).await;
    // One was taken, and three are ready.
    assert_eq!(api.requests().len(), 4);
    pages.next().await.unwrap().unwrap();
    sleep(Duration::from_millis(500)).await;
    drop(pages);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(api.requests().len(), 5, "the one in flight was abandoned");

    // A request that still waits for its permit is not sent either.
    let api = counting(1000);
    let mut pages = listed(&api).rate_limit(Limiter::per_second(1.0)).prefetch(1);
    pages.next().await.unwrap().unwrap();
    drop(pages);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn prefetch_waits_when_too_many_bytes_wait() {
    let long = |request: &Request, number: u64| {
        let body = format!(r#"{{"data":["{}"],"next":"{number}"}}"#, "x".repeat(1_000 + number as usize));
        assert_eq!(request.method(), "GET");
        Reply::json(body)
    };
    for (most, ahead) in [(1, 1), (1_000, 1), (1_100, 2), (2_500, 3), (1_000_000, 30)] {
        let api = Scripted::from_fn(long);
        let mut pages = listed(&api).prefetch(30).max_bytes(most);
        for taken in 1..4 {
            pages.next().await.unwrap().unwrap();
            sleep(Duration::from_secs(1)).await;
            assert_eq!(api.requests().len(), taken + ahead, "with room for {most} bytes");
        }
    }
}

// ---- Resume

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_after_a_mark() {
    let api = counting(4);
    let mark = listed(&api).take(2).map(|page| page.unwrap().mark()).collect::<Vec<_>>().await.pop().unwrap();
    let stored = serde_json::to_string(&mark).unwrap();
    let pages = listed(&api).resume(serde_json::from_str(&stored).unwrap());
    let pages: Vec<Page> = pages.try_collect().await.unwrap();
    assert_eq!(asked(&api), ["", "?after=2", "?after=3", "?after=4"]);
    assert_eq!(pages.iter().map(|page| page.number).collect::<Vec<_>>(), [3, 4]);
    assert!(pages[1].mark().is_end());
}

#[tokio::test(start_paused = true)]
async fn a_mark_at_the_end_gives_an_empty_stream_and_no_request() {
    let api = counting(1);
    let page = listed(&api).next().await.unwrap().unwrap();
    let limiter = Limiter::per_hour(1.0);
    let rest = listed(&api).resume(page.mark());
    assert!(rest.is_terminated());
    assert_eq!(rest.rate_limit(limiter.clone()).retry(at_once()).count().await, 0);
    assert_eq!(api.requests().len(), 1);
    assert_eq!(limiter.acquire().await.waited(), Duration::ZERO, "no permit was taken");
}

#[tokio::test(start_paused = true)]
async fn a_position_of_another_dialect_is_refused() {
    let api = counting(1);
    let (_, error) = until_error(listed(&api).resume(Mark::at(Position::Offset(100)))).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(api.requests().is_empty());
}

// ---- Answers that are no page

#[tokio::test(start_paused = true)]
async fn html_with_status_200_is_retried_and_then_shown() {
    let login = || Reply::status(200).html("<!DOCTYPE html>\n<title>Please log in</title>");
    let api = Scripted::new([login(), login(), page("[1]", None)]);
    let records = texts(listed(&api).retry(at_once().max_attempts(3)).records("data")).await;
    assert_eq!(records.unwrap(), ["1"]);

    let api = Scripted::new([login(), login(), login()]);
    let (_, error) = until_error(listed(&api).retry(at_once().max_attempts(3))).await;
    assert_eq!((error.kind(), error.context().attempts), (ErrorKind::NotJson, Some(3)));
    assert!(error.to_string().contains(r"<!DOCTYPE html>\n<title>Please log in"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn invalid_utf_8_names_the_byte() {
    let bad = || Reply::json(b"{\"data\":[\"\xFF\"]}".to_vec());
    let (_, error) = until_error(listed(&Scripted::new([bad(), bad()])).retry(at_once())).await;
    assert_eq!(error.kind(), ErrorKind::Encoding);
    assert!(error.to_string().contains("byte 10"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_an_error_unless_declared_the_end() {
    let nothing = || Reply::status(204);
    let api = Scripted::new([page("[1]", Some("b")), nothing(), nothing()]);
    let (_, error) = until_error(listed(&api).retry(at_once()).records("data")).await;
    assert_eq!(error.kind(), ErrorKind::Empty);
    let api = Scripted::new([page("[1]", Some("b")), nothing()]);
    assert_eq!(texts(listed(&api).no_content_ends().records("data")).await.unwrap(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_path_that_is_missing_lists_the_arrays_and_is_not_retried() {
    let other = Reply::json(r#"{"result":{"rows":[1,2]},"tags":[],"next":null}"#);
    let api = Scripted::new([page("[1]", Some("b")), other]);
    let (before, error) = until_error(listed(&api).retry(at_once()).records("data")).await;
    assert_eq!((before.len(), error.kind()), (1, ErrorKind::RecordPath));
    let text = error.to_string();
    assert!(text.contains(r#""result.rows" (2 items), "tags" (0 items)"#), "{text}");
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_missing_cursor_is_never_the_end() {
    let api = Scripted::new([Reply::json(r#"{"data":[1]}"#)]);
    let (before, error) = until_error(listed(&api).records("data")).await;
    assert_eq!((before.len(), error.kind()), (0, ErrorKind::Cursor));
}

// ---- Circles

#[tokio::test(start_paused = true)]
async fn a_cursor_that_comes_again_is_a_cycle() {
    let to_itself = [page("[1]", Some("b")), page("[2]", Some("b"))];
    let ring = [page("[1]", Some("b")), page("[2]", Some("c")), page("[3]", Some("b"))];
    for (script, given) in [(to_itself.to_vec(), 1), (ring.to_vec(), 2)] {
        let (before, error) =
            until_error(listed(&Scripted::new(script)).retry(at_once()).records("data")).await;
        // The page whose next position is wrong is not passed on: what it leads to cannot be trusted.
        assert_eq!((before.len(), error.kind()), (given, ErrorKind::Cycle));
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_page_under_a_new_offset_is_a_cycle() {
    let script = || Scripted::from_fn(|_, _| Reply::json(r#"{"data":[1,2]}"#));
    let api = script();
    let (before, error) = until_error(Pages::new(api.clone(), items(), Offset::new(2)).records("data")).await;
    assert_eq!((before.len(), error.kind()), (2, ErrorKind::Cycle));
    assert_eq!(asked(&api), ["?offset=0&limit=2", "?offset=2&limit=2"]);

    let repeats = Pages::new(script(), items(), Offset::new(2)).allow_repeats().records("data");
    assert_eq!(repeats.take(10).count().await, 10);
}

// ---- Origins

fn token() -> Bearer {
    Bearer::new("s3cret-t0ken").unwrap()
}

fn to(next: &str) -> Reply {
    Reply::json(format!(r#"{{"data":["before {next}"]}}"#)).header("link", &format!("<{next}>; rel=\"next\""))
}

fn linked(api: &Scripted) -> Pages {
    let template = items().header("x-tenant", "acme").unwrap().header("accept", "application/json").unwrap();
    Pages::new(api.clone(), template, LinkHeader::new()).auth(token())
}

#[tokio::test(start_paused = true)]
async fn a_redirect_within_the_origin_is_followed_with_credentials() {
    let api = Scripted::new([Reply::redirect("/v2/items"), page("[1]", None)]);
    let pages = listed(&api).auth(token());
    let meter = pages.meter();
    assert_eq!(texts(pages.records("data")).await.unwrap(), ["1"]);
    assert_eq!(api.urls(), [ITEMS, "https://api.example.com/v2/items"]);
    for seen in api.requests() {
        assert_eq!(seen.header("authorization"), Some("Bearer s3cret-t0ken"));
    }
    assert_eq!(meter.counts().requests, 2);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_to_another_origin_is_refused_and_nothing_is_sent_there() {
    for target in
        ["https://evil.example/v1/items", "//evil.example", "http://api.example.com/", "ftp://x.example/"]
    {
        let api = Scripted::new([Reply::redirect(target)]);
        let (_, error) = until_error(listed(&api).auth(token()).retry(at_once())).await;
        assert_eq!(error.kind(), ErrorKind::Origin, "{target}");
        assert_eq!(api.urls(), [ITEMS]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_is_sent_again_only_where_nothing_can_have_been_done() {
    let redirected = |then: fn() -> Reply| {
        move |request: &Request, _| match request.method().as_str() {
            "POST" => Reply::status(303).header("location", "/result"),
            _ => then(),
        }
    };
    let posts = async |api: Scripted| {
        let search = items_by_post();
        let mut pages =
            Pages::new(api.clone(), search, Cursor::body("next")).retry(at_once().max_attempts(4));
        let error = pages.next().await.unwrap().unwrap_err();
        let posts = api.requests().iter().filter(|seen| seen.method == "POST").count();
        (posts, error.help().unwrap_or_default().contains("repeatable()"))
    };
    let once = (1, true);
    assert_eq!(posts(Scripted::from_fn(|_, _| down())).await, once);
    assert_eq!(posts(Scripted::from_fn(|_, _| Reply::status(504).header("retry-after", "1"))).await, once);
    assert_eq!(posts(Scripted::from_fn(|_, _| Reply::json("[").header("retry-after", "1"))).await, once);
    assert_eq!(posts(Scripted::from_fn(redirected(|| Reply::status(429)))).await, once, "it was acted on");
    let unreachable = redirected(|| Reply::error(ErrorKind::Connect).transient());
    assert_eq!(posts(Scripted::from_fn(unreachable)).await, once, "it was acted on");
    // It was not reached, or it says that it has not done it.
    assert_eq!(
        posts(Scripted::from_fn(|_, _| Reply::error(ErrorKind::Connect).transient())).await,
        (4, false)
    );
    assert_eq!(posts(Scripted::from_fn(|_, _| Reply::status(429))).await, (4, false));
    assert_eq!(posts(Scripted::from_fn(|_, _| Reply::status(425))).await, (2, false));
}

fn items_by_post() -> Request {
    Request::post(ITEMS).unwrap().json(json!({"q": 1}))
}

#[tokio::test(start_paused = true)]
async fn a_told_wait_with_a_failure_that_is_no_limit_uses_up_an_attempt() {
    let api = Scripted::from_fn(|_, _| Reply::status(504).header("retry-after", "1"));
    let error = listed(&api).retry(at_once().max_attempts(4)).next().await.unwrap().unwrap_err();
    assert_eq!(
        (error.context().attempts, api.times()),
        (Some(4), [0, 1, 2, 3].map(Duration::from_secs).to_vec())
    );
}

#[tokio::test(start_paused = true)]
async fn a_redirect_that_asks_for_a_wait_is_followed_after_it() {
    let moved = |seconds: &'static str| {
        Scripted::from_fn(move |request, _| match request.url().path() {
            "/v2/items" => page("[1]", None),
            _ => Reply::redirect("/v2/items").header("retry-after", seconds),
        })
    };
    let limiter = Limiter::unlimited();
    let api = moved("300");
    let mut pages = listed(&api).rate_limit(limiter.clone()).retry(at_once().max_attempts(1));
    pages.next().await.unwrap().unwrap();
    // It is asked for again when the wait is over, and then followed at once; the wait holds for the limiter too.
    assert_eq!(api.times(), [0, 300, 300].map(Duration::from_secs));
    // One that is too long is the end, and says when to come back.
    let error = listed(&moved("7200")).retry(at_once()).next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.help().unwrap_or_default().contains("come back after"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_a_millisecond_for_ever_comes_to_an_end() {
    let api = Scripted::from_fn(|_, _| Reply::status(429).header("retry-after-ms", "1"));
    let error = listed(&api).retry(RetryPolicy::exponential()).next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), api.requests().len()), (ErrorKind::RateLimited, 5));
}

#[tokio::test(start_paused = true)]
async fn what_a_redirect_says_about_the_budget_is_heard() {
    let used_up =
        |to: &str| Reply::redirect(to).header("x-ratelimit-remaining", "0").header("x-ratelimit-reset", "30");
    for target in ["/v2/items", "https://elsewhere.example/"] {
        let limiter = Limiter::unlimited();
        let api = Scripted::new([used_up(target), page("[1]", None)]);
        let _ = listed(&api).rate_limit(limiter.clone()).next().await;
        let start = Instant::now();
        drop(limiter.acquire().await);
        assert_eq!(start.elapsed(), Duration::from_secs(30), "{target}");
    }
}

/// A listing whose next link is this text, on its first page.
fn listing_with(next: &str) -> Scripted {
    let next = next.to_owned();
    Scripted::from_fn(move |_, nth| {
        let next = (nth == 1).then_some(&next);
        Reply::json(json!({"data": [nth], "next": next}).to_string())
    })
}

const KEY: &str = "0123456789-abcdef/+=";

#[tokio::test(start_paused = true)]
async fn a_next_link_is_asked_to_the_letter_and_stored_without_credentials() {
    let basic = || Basic::new("alice", KEY).unwrap();
    for link in [
        // A filter that happens to be the name of the user.
        "/v1/items?assignee=alice&page=2".to_owned(),
        format!("/v1/{KEY}/items?page=2"),
        "/v1/items?t=0123456789-abcdef%2F%2B%3D&page=2".to_owned(),
        "/v1/items?t=0123456789-abcdef%2f%2b%3d&page=2".to_owned(),
    ] {
        let api = listing_with(&link);
        let written = items().header("X-Api-Key", KEY).unwrap();
        let by_hand = Pages::new(listing_with(&link), written, NextUrl::body("next"));
        let pages = Pages::new(api.clone(), items(), NextUrl::body("next")).auth(basic());
        let stored: Vec<Page> = pages.try_collect().await.unwrap();
        let stored = [stored, by_hand.try_collect().await.unwrap()].concat();
        assert_eq!(api.urls()[1], format!("https://api.example.com{link}"));
        for page in stored {
            let mark = serde_json::to_string(&page.mark()).unwrap();
            assert!(!mark.contains("abcdef"), "{mark}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_in_a_spelling_that_cannot_be_taken_out_of_a_position_is_an_error() {
    let bearer = || Bearer::new(KEY).unwrap();
    for link in ["/v1/0123456789-abcdef%2F+=/items", "/v1/items?s=t:0123456789-abcdef%252F%252B%253D,p:2"] {
        let api = listing_with(link);
        let error = Pages::new(api.clone(), items(), NextUrl::body("next")).auth(bearer()).next().await;
        assert_eq!(error.unwrap().unwrap_err().kind(), ErrorKind::Cursor, "{link}");
    }
    let api = listing_with(&format!("after=7&access_token={KEY}"));
    let error = listed(&api).auth(bearer()).next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cursor);
    assert!(!format!("{error:?}").contains("abcdef"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_writes_the_word_for_a_credential_does_not_get_it() {
    let word = "headwater-credential-bearer-0-";
    for (by_cursor, next) in [(false, format!("/v1/items?x={word}")), (true, word.to_owned())] {
        let api = listing_with(&next);
        let pages = match by_cursor {
            true => listed(&api),
            false => Pages::new(api.clone(), items(), NextUrl::body("next")),
        };
        let error = pages.auth(Bearer::new(KEY).unwrap()).next().await.unwrap().unwrap_err();
        assert_eq!((error.kind(), api.requests().len()), (ErrorKind::Cursor, 1), "{next}");
    }
    let api = Scripted::new([Reply::redirect(&format!("/v2?x={word}")), page("[1]", None)]);
    let error = listed(&api).auth(Bearer::new(KEY).unwrap()).next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), api.requests().len()), (ErrorKind::Cursor, 1));
}

#[tokio::test(start_paused = true)]
async fn redirects_that_go_nowhere_are_errors() {
    let circle = Scripted::from_fn(|request, _| {
        Reply::redirect(if request.url().path().ends_with('a') { "/b" } else { "/a" })
    });
    let endless = Scripted::from_fn(|_, nth| Reply::redirect(&format!("/{nth}")));
    let blind = Scripted::from_fn(|_, _| Reply::status(302));
    for (api, most) in [(circle, 3), (endless, 11), (blind, 1)] {
        let (_, error) = until_error(listed(&api).retry(at_once())).await;
        assert_eq!(error.kind(), ErrorKind::Redirect, "{error}");
        assert!(api.requests().len() <= most, "{} requests", api.requests().len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_next_link_to_another_origin_is_refused_and_nothing_is_sent_there() {
    let api = Scripted::new([to("https://evil.example/items?page=2")]);
    let (before, error) = until_error(linked(&api).retry(at_once())).await;
    assert_eq!((before.len(), error.kind()), (1, ErrorKind::Origin));
    assert!(error.help().unwrap().contains("allow_origin"), "{error}");
    assert_eq!(api.urls(), [ITEMS]);
}

#[tokio::test(start_paused = true)]
async fn an_allowed_origin_gets_neither_credentials_nor_headers() {
    let home = "https://api.example.com/v1/items?page=3";
    let api = Scripted::new([
        to("https://cdn.example.com/items?page=2"),
        Reply::redirect("/moved"),
        to(home),
        Reply::json(r#"{"data":[2]}"#),
    ]);
    let pages = linked(&api).allow_origin("https://cdn.example.com");
    assert_eq!(pages.try_collect::<Vec<_>>().await.unwrap().len(), 3);
    let seen = api.requests();
    for away in &seen[1..3] {
        assert!(away.url.starts_with("https://cdn.example.com/"));
        assert_eq!(away.headers.keys().collect::<Vec<_>>(), ["accept"], "{}", away.url);
    }
    for at_home in [&seen[0], &seen[3]] {
        assert_eq!(at_home.header("authorization"), Some("Bearer s3cret-t0ken"));
        assert_eq!(at_home.header("x-tenant"), Some("acme"));
    }
    assert_eq!(seen[3].url, home);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_to_an_allowed_origin_carries_no_credentials() {
    let api = Scripted::new([Reply::redirect("https://cdn.example.com/dump"), page("[1]", None)]);
    let template = items().header("x-tenant", "acme").unwrap();
    let pages =
        Pages::new(api.clone(), template, Single).auth(token()).allow_origin("https://cdn.example.com/any");
    assert_eq!(pages.count().await, 1);
    assert!(api.requests()[1].headers.is_empty());

    // The server repeats the key that it was sent.
    let echo = "https://cdn.example.com/dump?api_key=k3y-v4lue&part=1";
    let api = Scripted::new([Reply::redirect(echo), page("[1]", None)]);
    let pages = listed(&api).auth(ApiKey::query("api_key", "k3y-v4lue"));
    assert_eq!(pages.allow_origin("https://cdn.example.com").count().await, 1);
    assert_eq!(api.urls()[1], "https://cdn.example.com/dump?part=1");
}

#[tokio::test(start_paused = true)]
async fn a_key_in_the_query_is_taken_out_of_links_and_put_back_on_requests() {
    let next = "https://api.example.com/v1/items?api_key=k3y-v4lue&page=2";
    let api = Scripted::new([
        Reply::json(json!({"data": [1], "next": next}).to_string()),
        Reply::redirect("/v2/items?page=2&api_key=k3y-v4lue"),
        page("[2]", None),
    ]);
    let pages =
        Pages::new(api.clone(), items(), NextUrl::body("next")).auth(ApiKey::query("api_key", "k3y-v4lue"));
    let pages: Vec<Page> = pages.try_collect().await.unwrap();
    assert_eq!(pages[0].next(), Some(&Position::Url("/v1/items?page=2".into())));
    assert!(!serde_json::to_string(&pages[0].mark()).unwrap().contains("k3y-v4lue"));
    let queries: Vec<_> = asked(&api).iter().map(|url| url.split_once('?').unwrap().1.to_owned()).collect();
    assert_eq!(queries, ["api_key=k3y-v4lue", "page=2&api_key=k3y-v4lue", "page=2&api_key=k3y-v4lue"]);
}

// ---- Secrets

fn assert_hidden(error: &Error, secrets: &[&str]) {
    for shown in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
        for secret in secrets {
            assert!(!shown.contains(secret), "{secret:?} in {shown}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_server_echoes_is_not_shown() {
    let echo = r#"{"error":"bad credential","sent":"Bearer s3cret-t0ken","again":"s3cret-t0ken"}"#;
    let api = Scripted::new([Reply::status(401).body(echo)]);
    let (_, error) = until_error(listed(&api).auth(token()).retry(at_once())).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(error.to_string().contains("***"), "{error}");
    assert_hidden(&error, &["s3cret-t0ken"]);
}

#[tokio::test(start_paused = true)]
async fn a_password_is_hidden_in_every_form() {
    let pair = STANDARD.encode("al-user:hunter22");
    let echo = format!(r#"{{"message":"Basic {pair} for al-user with hunter22"}}"#);
    let api = Scripted::new([Reply::status(403).body(echo)]);
    let auth = Basic::new("al-user", "hunter22").unwrap();
    let (_, error) = until_error(listed(&api).auth(auth)).await;
    assert_hidden(&error, &["hunter22", &pair]);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_the_url_is_hidden() {
    let api = Scripted::from_fn(|_, _| Reply::status(404).body("no /v1/items?api_key=k3y%2Fv4lue"));
    let (_, error) = until_error(listed(&api).auth(ApiKey::query("api_key", "k3y/v4lue"))).await;
    assert_hidden(&error, &["k3y/v4lue", "k3y%2Fv4lue"]);
    // A key that is part of the template, and one that only the server knows of.
    let template = items().query("api_key", "k3y-v4lue");
    let next = r#"{"data":[1],"next":"/v1/items?page=2&X-Amz-Signature=s1gnature"}"#;
    let api = Scripted::new([Reply::json(next), Reply::status(404)]);
    let (_, error) = until_error(Pages::new(api, template, NextUrl::body("next"))).await;
    assert_hidden(&error, &["k3y-v4lue", "s1gnature"]);
}

#[tokio::test(start_paused = true)]
async fn a_position_is_redacted_wherever_an_error_names_it() {
    // A next link that carries a signature and comes again.
    let again = r#"{"data":[1],"next":"/v1/items?page=2&access_token=s1gnature"}"#;
    let api = Scripted::from_fn(move |_, nth| Reply::json(again.replace("[1]", &format!("[{nth}]"))));
    let (_, error) = until_error(Pages::new(api, items(), NextUrl::body("next"))).await;
    assert_eq!(error.kind(), ErrorKind::Cycle);
    assert_hidden(&error, &["s1gnature"]);
    // A stored position of another definition.
    let mark = Mark::at(Position::Url("https://api.example.com/v1?access_token=s1gnature".into()));
    let (_, error) = until_error(listed(&counting(1)).resume(mark)).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_hidden(&error, &["s1gnature"]);
    // A cursor that holds the caller's own token.
    let api = Scripted::new([page("[1]", Some("u=s3cret-t0ken")), page("[2]", Some("u=s3cret-t0ken"))]);
    let (_, error) = until_error(listed(&api).auth(token())).await;
    assert_eq!(error.kind(), ErrorKind::Cycle);
    assert_hidden(&error, &["s3cret-t0ken"]);
}

#[tokio::test(start_paused = true)]
async fn records_that_come_again_in_another_envelope_are_a_cycle() {
    // A server that ignores the page number, and says each time how long it took.
    let api = Scripted::from_fn(|_, nth| {
        Reply::json(format!(r#"{{"took":{nth},"data":[{{"id":1}},{{"id":2}}]}}"#))
    });
    let first = Request::get("https://api.example.com/items").unwrap();
    let pages = Pages::new(api.clone(), first, headwater::paginate::PageNumber::new()).batches("data");
    let batches: Vec<_> = pages.collect().await;
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[1].as_ref().unwrap_err().kind(), ErrorKind::Cycle);
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_wait_that_a_server_asks_for_overflows() {
    let endless = Reply::status(429).header("retry-after", "10000000000000000000");
    let api = Scripted::new([endless, Reply::json("[]")]);
    let limiter = Limiter::per_second(1.0).burst(u32::MAX).max_wait(Duration::MAX);
    let policy = RetryPolicy::exponential().max_wait(Duration::MAX).max_total_wait(Duration::MAX);
    let policy = policy.base(Duration::MAX).max_delay(Duration::MAX).seed(1);
    let first = Request::get("https://api.example.com/items").unwrap();
    let mut pages = Pages::new(api, first, headwater::paginate::Single).rate_limit(limiter).retry(policy);
    let error = pages.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.to_string().contains("come back after"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_post_is_sent_again_only_if_the_server_did_nothing_or_it_is_declared_repeatable() {
    let fails = [
        Reply::status(500),
        Reply::status(503),
        Reply::json("[1,"),
        Reply::error(ErrorKind::Timeout).transient(),
    ];
    let waits = [
        Reply::status(429),
        Reply::status(503).header("retry-after", "1"),
        Reply::error(ErrorKind::Connect).transient(),
    ];
    let asked = async |first: Reply, request: Request| {
        let api = Scripted::new([first, Reply::json("[]")]);
        let pages = Pages::new(api.clone(), request, headwater::paginate::Single);
        let mut pages = pages.rate_limit(Limiter::unlimited()).retry(RetryPolicy::exponential());
        (pages.next().await.unwrap().is_ok(), api.requests().len())
    };
    let post = || Request::post("https://api.example.com/items").unwrap();
    for reply in fails.clone() {
        assert_eq!(asked(reply, post()).await, (false, 1));
    }
    for reply in waits {
        assert_eq!(asked(reply, post()).await, (true, 2));
    }
    for reply in fails {
        assert_eq!(asked(reply, post().repeatable()).await, (true, 2));
    }
}
