//! Waits and budgets of whole streams, on a paused clock: who is told what, waits for exactly that.

use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use futures::{StreamExt, poll};
use headwater::exchange::{Rule, Verdict, When};
use headwater::hints::{At, Signal, Unit};
use headwater::paginate::{Cursor, Single};
use headwater::testing::{Reply, Scripted};
use headwater::{
    ErrorKind, Limiter, Mark, PageStream, Pages, PagesExt, RecordsExt, Request, RetryPolicy, Source,
};
use tokio::time::Instant;

fn first() -> Request {
    Request::get("https://api.example.com/v1/items").unwrap()
}

fn listed(api: &Scripted) -> Pages {
    Pages::new(api.clone(), first(), Cursor::body("next").into_query("cursor"))
}

fn page(record: u32, next: Option<u32>) -> Reply {
    let next = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
    Reply::json(format!(r#"{{"data":[{record}],"next":{next}}}"#))
}

/// `pages` pages, one record each.
fn counted(request: &Request, pages: u32) -> Reply {
    let at = request.url().query_pairs().find(|(name, _)| name == "cursor");
    let at = at.map_or(1, |(_, value)| value.parse().unwrap());
    page(at, (at < pages).then_some(at + 1))
}

fn counting(pages: u32) -> Scripted {
    Scripted::from_fn(move |request, _| counted(request, pages))
}

fn millis(api: &Scripted) -> Vec<u128> {
    api.times().iter().map(Duration::as_millis).collect()
}

/// No back-off, so that every pause is a told one.
fn at_once() -> RetryPolicy {
    RetryPolicy::exponential().base(Duration::ZERO).max_delay(Duration::ZERO)
}

async fn records(pages: impl PageStream + Send + 'static) -> Vec<String> {
    let records = pages.retry(at_once()).records("data");
    records.map(|record| record.unwrap().as_str().to_owned()).collect().await
}

// ---- Limits that are not a 429

#[tokio::test(start_paused = true)]
async fn a_limit_of_any_status_is_waited_for_as_it_says() {
    let wait = |at: &str, unit| vec![Signal::wait(At::body(at), unit)];
    let limited = |status| vec![When::status(status).means(Verdict::Wait)];
    type Row = (&'static str, Reply, Vec<Rule>, Vec<Signal>, u128);
    let rows: Vec<Row> = vec![
        (
            "GitHub: 403, nothing left until the reset",
            Reply::status(403).header("x-ratelimit-remaining", "0").header("x-ratelimit-reset", "1779012060"),
            vec![],
            vec![],
            60_000,
        ),
        (
            "GitHub, secondary: 403 with Retry-After",
            Reply::status(403).header("retry-after", "60"),
            vec![],
            vec![],
            60_000,
        ),
        (
            "Linear: 400, the reset in epoch milliseconds",
            Reply::status(400)
                .header("x-ratelimit-requests-remaining", "0")
                .header("x-ratelimit-requests-reset", "1779012012500")
                .body(r#"{"errors":[{"extensions":{"code":"RATELIMITED"}}]}"#),
            vec![When::status(400).body("errors.*.extensions.code", "RATELIMITED").means(Verdict::Wait)],
            vec![],
            12_500,
        ),
        (
            "a bucket that is overdrawn: (10 + 50) points at 5 a second",
            Reply::json(
                r#"{"errors":[{"extensions":{"code":"THROTTLED"}}],"cost":{"asked":10,"left":-50,"back":5}}"#,
            ),
            Rule::graphql(),
            vec![Signal::points(At::body("cost.asked"), At::body("cost.left"), At::body("cost.back"))],
            12_000,
        ),
        ("Binance: 418", Reply::status(418).header("retry-after", "120"), limited(418), vec![], 120_000),
        ("OAI-PMH: 503", Reply::status(503).header("retry-after", "30"), vec![], vec![], 30_000),
        (
            "Discord: 429, seconds with a fraction in the body",
            Reply::status(429)
                .body(r#"{"message":"You are being rate limited.","retry_after":64.57,"global":false}"#),
            vec![],
            wait("retry_after", Unit::Seconds),
            64_570,
        ),
        (
            "Matrix: 429, milliseconds in the body",
            Reply::status(429).body(r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many","retry_after_ms":2000}"#),
            vec![],
            wait("retry_after_ms", Unit::Millis),
            2000,
        ),
        (
            "Dropbox: 429, seconds in the body",
            Reply::status(429).body(
                r#"{"error_summary":"too_many_requests/..","error":{"reason":{".tag":"too_many_requests"},"retry_after":300}}"#,
            ),
            vec![],
            wait("error.retry_after", Unit::Seconds),
            300_000,
        ),
        (
            "Google Ads: 429, a duration among the details",
            Reply::status(429).body(
                r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[
                    {"@type":"type.googleapis.com/google.rpc.QuotaFailure"},
                    {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"30s"}]}}"#,
            ),
            vec![],
            wait("error.details.*.retryDelay", Unit::Duration),
            30_000,
        ),
        (
            "Slack: 200 with an error in it",
            Reply::json(r#"{"ok":false,"error":"ratelimited"}"#).header("retry-after", "20"),
            vec![When::status(200).body("error", "ratelimited").means(Verdict::Wait)],
            vec![],
            20_000,
        ),
        (
            "Shopify GraphQL: 200 THROTTLED, (752 - 702) points at 50 a second",
            Reply::json(
                r#"{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}],"extensions":{"cost":{
                    "requestedQueryCost":752,"actualQueryCost":null,
                    "throttleStatus":{"maximumAvailable":1000.0,"currentlyAvailable":702,"restoreRate":50.0}}}}"#,
            ),
            Rule::graphql(),
            vec![Signal::points(
                At::body("extensions.cost.requestedQueryCost"),
                At::body("extensions.cost.throttleStatus.currentlyAvailable"),
                At::body("extensions.cost.throttleStatus.restoreRate"),
            )],
            1000,
        ),
        (
            "GitHub GraphQL: 200 RATE_LIMITED",
            Reply::json(
                r#"{"data":{"rateLimit":{"remaining":0,"cost":1,"resetAt":"2026-05-17T10:05:00Z"}},
                    "errors":[{"type":"RATE_LIMITED"}]}"#,
            ),
            Rule::graphql(),
            vec![
                Signal::budget(At::body("data.rateLimit.remaining"))
                    .cost(At::body("data.rateLimit.cost"))
                    .reset(At::body("data.rateLimit.resetAt"), Unit::Iso8601),
            ],
            300_000,
        ),
        (
            "Meta: 400 with code 17, minutes in a header",
            Reply::status(400)
                .header(
                    "x-business-use-case-usage",
                    r#"{"1":[{"call_count":100,"estimated_time_to_regain_access":19}]}"#,
                )
                .body(r#"{"error":{"message":"User request limit reached","code":17}}"#),
            vec![When::status(400).body("error.code", 17).means(Verdict::Wait)],
            vec![],
            19 * 60_000,
        ),
    ];
    for (api, reply, rules, signals, wait) in rows {
        let replies = Mutex::new(vec![page(1, None), reply].into_iter());
        let server = Scripted::from_fn(move |_, _| replies.lock().unwrap().next_back().unwrap());
        let pages = signals.into_iter().fold(listed(&server).rules(rules), Pages::signal);
        // Both hear of it, and it is waited for once.
        let limiter = Limiter::unlimited().max_wait(Duration::from_secs(3600));
        let policy = at_once().max_attempts(1).max_wait(Duration::from_secs(3600));
        let read: Vec<_> = pages.rate_limit(limiter).retry(policy).collect().await;
        assert!(read.len() == 1 && read[0].is_ok(), "{api}: {read:?}");
        assert_eq!(millis(&server), [0, wait], "{api}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_is_heard_from_a_good_answer() {
    let slow = Reply::json(r#"{"data":[1],"next":"2","backoff":10,"quota_remaining":294}"#);
    let api = Scripted::new([slow, page(2, None)]);
    let pages = listed(&api).signal(Signal::backoff(At::body("backoff"), Unit::Seconds));
    assert_eq!(records(pages.rate_limit(Limiter::unlimited())).await.len(), 2);
    assert_eq!(millis(&api), [0, 10_000]);
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_is_not_there_is_no_reason_to_fail() {
    let api = Scripted::new([
        Reply::status(429).body("<html>"),
        Reply::json(r#"{"data":[1],"next":"2","wait":{"a":[1]}}"#),
        Reply::json(r#"{"data":[2],"next":null,"wait":"soon"}"#).header("x-used", "many"),
    ]);
    let pages = listed(&api)
        .signal(Signal::wait(At::body("wait"), Unit::Seconds))
        .signal(Signal::used(At::header("x-used"), 100))
        .signal(Signal::points(At::body("wait"), At::body("x"), At::body("y")));
    assert_eq!(records(pages.rate_limit(Limiter::unlimited())).await, ["1", "2"]);
    assert_eq!(millis(&api), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_cannot_be_meant_is_an_error_of_the_definition() {
    let api = counting(1);
    let mut pages = listed(&api).signal(Signal::wait(At::body("a..b"), Unit::Seconds));
    assert_eq!(pages.next().await.unwrap().unwrap_err().kind(), ErrorKind::Config);
    let source = Source::get("items", "https://api.example.com/v1/items")
        .records("data")
        .paginate(Single)
        .signal(Signal::wait(At::header("not a name"), Unit::Seconds));
    assert_eq!(source.build().unwrap_err().kind(), ErrorKind::Config);
    assert!(api.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_header_that_a_signal_names_is_read_its_way() {
    // 250 milliseconds, where by default it would be 250 seconds.
    let limited = Reply::status(429).header("x-ratelimit-remaining", "0").header("x-ratelimit-reset", "250");
    let api = Scripted::new([limited, page(1, None)]);
    let signal = Signal::budget(At::header("x-ratelimit-remaining"))
        .reset(At::header("X-RateLimit-Reset"), Unit::Millis);
    assert_eq!(records(listed(&api).signal(signal).rate_limit(Limiter::unlimited())).await, ["1"]);
    assert_eq!(millis(&api), [0, 250]);
}

// ---- Slowing down though all is well

#[tokio::test(start_paused = true)]
async fn of_several_waits_under_one_name_the_longest_is_kept() {
    for order in [["5", "30"], ["30", "5"], ["soon", "30"]] {
        let limited = Reply::status(429).header("x-wait", order[0]).header("x-wait", order[1]);
        let replies = Mutex::new(vec![page(1, None), limited].into_iter());
        let api = Scripted::from_fn(move |_, _| replies.lock().unwrap().next_back().unwrap());
        let pages = listed(&api).signal(Signal::wait(At::header("x-wait"), Unit::Seconds));
        pages.retry(at_once()).count().await;
        assert_eq!(millis(&api), [0, 30_000], "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_answer_that_asks_to_slow_down_is_obeyed() {
    for (api, headers, expected) in [
        ("Kinto: Backoff on a 200", &[("backoff", "3")][..], [0, 3000, 6000]),
        (
            "Okta: nothing left",
            &[("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "7")],
            [0, 7000, 14_000],
        ),
        ("Shopify: a full bucket", &[("x-shopify-shop-api-call-limit", "40/40")], [0, 500, 1000]),
        (
            "Crossref: 50 a second",
            &[("x-rate-limit-limit", "50"), ("x-rate-limit-interval", "1s")],
            [0, 20, 40],
        ),
        ("Selling Partner: one in two seconds", &[("x-amzn-ratelimit-limit", "0.5")], [0, 2000, 4000]),
    ] {
        let server = Scripted::from_fn(move |request, _| {
            headers.iter().fold(counted(request, 3), |reply, (name, value)| reply.header(name, value))
        });
        assert_eq!(records(listed(&server).rate_limit(Limiter::unlimited())).await.len(), 3);
        assert_eq!(millis(&server), expected, "{api}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_202_that_asks_to_wait_is_obeyed() {
    let api = Scripted::new([
        Reply::status(202).header("retry-after", "5").body(r#"{"data":[],"next":"2"}"#),
        page(1, None),
    ]);
    assert_eq!(records(listed(&api).rate_limit(Limiter::unlimited())).await, ["1"]);
    assert_eq!(millis(&api), [0, 5000]);
}

#[tokio::test(start_paused = true)]
async fn a_weight_that_is_used_counts_against_the_limit_that_is_declared() {
    // 6,000 a minute, and each request weighs 2,500.
    let api = Scripted::from_fn(|request, nth| {
        counted(request, 4).header("X-MBX-USED-WEIGHT-1M", &((nth - 1) % 2 * 2500 + 2500).to_string())
    });
    let signal = Signal::used(At::header("x-mbx-used-weight-1m"), 6000).every(Duration::from_secs(60));
    let pages = listed(&api).signal(signal).rate_limit(Limiter::unlimited()).cost(2500);
    assert_eq!(records(pages).await.len(), 4);
    // The window's end is not told: a whole one is waited for.
    assert_eq!(millis(&api), [0, 0, 60_000, 60_000]);
}

// ---- Several budgets, costs

#[tokio::test(start_paused = true)]
async fn a_source_keeps_several_budgets_at_once() {
    let api = counting(8);
    let limiter = Limiter::per_second(10.0).and(Limiter::quota(5, Duration::from_secs(60)));
    assert_eq!(records(listed(&api).rate_limit(limiter)).await.len(), 8);
    assert_eq!(millis(&api), [0, 100, 200, 300, 400, 60_000, 60_100, 60_200]);
}

#[tokio::test(start_paused = true)]
async fn sources_of_different_cost_share_one_budget_in_points() {
    let points = Limiter::per_second(50.0).burst(100);
    let (cheap, dear) = (counting(6), counting(3));
    let pull = |api: &Scripted, cost: u32| {
        let source = Source::get("items", "https://api.example.com/v1/items")
            .transport(api.clone())
            .records("data")
            .paginate(Cursor::body("next").into_query("cursor"))
            .rate_limit(points.clone())
            .cost(cost);
        source.build().unwrap().batches(Mark::start()).unwrap().count()
    };
    assert_eq!(tokio::join!(pull(&dear, 100), pull(&cheap, 10)), (3, 6));
    assert_eq!(millis(&dear), [0, 2000, 4200]);
    assert_eq!(millis(&cheap), [2200, 4400, 4600, 4800, 5000, 5200]);
}

// ---- In flight

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_on_their_way_than_the_cap() {
    let api = Scripted::from_fn(|request, _| counted(request, 2).delay(Duration::from_secs(1)));
    let limiter = Limiter::unlimited().in_flight(2);
    let pull = || records(listed(&api).rate_limit(limiter.clone()));
    assert_eq!(tokio::join!(pull(), pull(), pull()).2.len(), 2);
    assert_eq!(millis(&api), [0, 0, 1000, 1000, 2000, 2000]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_set_aside_does_not_lock_up_the_others() {
    let slow = Scripted::from_fn(|request, _| counted(request, 1).delay(Duration::from_millis(300)));
    let limiter = Limiter::unlimited().in_flight(1);
    let mut aside = Box::pin(listed(&slow).rate_limit(limiter.clone()));
    // Its request is sent, and then nobody polls it.
    assert!(matches!(poll!(aside.next()), Poll::Pending));
    let other = Scripted::from_fn(|request, _| counted(request, 20).delay(Duration::from_millis(10)));
    let start = Instant::now();
    let pulled = tokio::time::timeout(Duration::from_secs(600), records(listed(&other).rate_limit(limiter)));
    assert_eq!(pulled.await.expect("it is not locked up").len(), 20);
    // It is on its way for 300 ms, woken then, and not polled for a second; that is looked at each second.
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(millis(&other)[0] >= 1300, "before that its place was not free: {:?}", millis(&other));
    assert!(aside.next().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_not_taken_for_one_that_is_set_aside() {
    let api = Scripted::from_fn(|request, _| counted(request, 1).delay(Duration::from_secs(90)));
    let limiter = Limiter::unlimited().in_flight(1);
    let pull = || records(listed(&api).rate_limit(limiter.clone()));
    tokio::join!(pull(), pull());
    assert_eq!(millis(&api), [0, 90_000]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_gives_its_place_back() {
    let api = Scripted::from_fn(|request, _| counted(request, 1).delay(Duration::from_secs(90)));
    let limiter = Limiter::unlimited().in_flight(1);
    let mut dropped = Box::pin(listed(&api).rate_limit(limiter.clone()));
    assert!(matches!(poll!(dropped.next()), Poll::Pending));
    drop(dropped);
    assert_eq!(records(listed(&api).rate_limit(limiter)).await.len(), 1);
    assert_eq!(millis(&api), [0, 0]);
}

// ---- A server that says nothing

/// Allows `rate` requests a second, with a burst as large, and refuses the others without a word.
fn silent(rate: f64, pages: u32) -> Scripted {
    let state = Mutex::new((rate, Instant::now()));
    Scripted::from_fn(move |request, _| {
        let mut state = state.lock().unwrap();
        let now = Instant::now();
        state.0 = (state.0 + (now - state.1).as_secs_f64() * rate).min(rate);
        state.1 = now;
        if state.0 < 1.0 {
            return Reply::status(429);
        }
        state.0 -= 1.0;
        counted(request, pages)
    })
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_limiter_finds_the_rate_of_a_silent_server() {
    for start in [1.0, 10.0, 50.0] {
        let api = silent(10.0, 3000);
        let pages = listed(&api).rate_limit(Limiter::adaptive(start, 50.0));
        let pulled = Instant::now();
        assert_eq!(pages.retry(at_once().budget(0.2, 100)).count().await, 3000);
        let elapsed = pulled.elapsed().as_secs_f64();
        let times = api.times();
        // From the second minute on, it has found it.
        let late = times.iter().filter(|at| at.as_secs() >= 60).count() as f64;
        let rate = late / (times.last().unwrap().as_secs_f64() - 60.0);
        let refused = times.len() - 3000;
        assert!((7.0..11.0).contains(&rate), "from {start}: {rate} requests a second");
        assert!(elapsed < 3000.0 / 7.0, "from {start}: {elapsed} s");
        assert!(refused * 20 < times.len(), "from {start}: {refused} of {} were refused", times.len());
        println!("from {start}: {rate:.2} a second, {refused} of {} refused, {elapsed:.0} s", times.len());
    }
}

#[tokio::test(start_paused = true)]
async fn without_it_every_second_request_would_be_refused() {
    // That the server above is strict, and the test can fail.
    let api = silent(10.0, 200);
    let pages = listed(&api).rate_limit(Limiter::per_second(20.0)).retry(at_once().budget(5.0, 1000));
    pages.count().await;
    assert!(api.times().len() > 300, "{}", api.times().len());
}

#[test]
fn a_cost_whose_tokens_take_more_than_a_day_is_refused_when_the_source_is_built() {
    let built = |limiter: Limiter, cost: u32| {
        let source =
            Source::get("items", "https://api.example.com/v1/items").records("data").paginate(Single);
        source.rate_limit(limiter).cost(cost).build().map(drop).map_err(|error| error.kind())
    };
    let day = Limiter::per_day(1000.0);
    assert_eq!(built(Limiter::per_second(1.0).and(day.clone()), u32::MAX), Err(ErrorKind::Config));
    assert_eq!(built(Limiter::per_hour(1.0).burst(100), 25), Err(ErrorKind::Config));
    assert_eq!(built(Limiter::per_hour(1.0), 24), Ok(()));
    // A quota hands out all that it has, and a cost of one is what the rate is for.
    assert_eq!(built(day, u32::MAX), Ok(()));
    assert_eq!(built(Limiter::per_second(0.0), 1), Ok(()));
}
