//! `Retry-After` and the headers of limits: whatever they say, nothing panics, and nobody waits longer than the caps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use headwater::error::ErrorKind;
use headwater::paginate::Single;
use headwater::testing::{Reply, Scripted};
use headwater::{Hints, Limiter, Pages, PagesExt, Request, RetryPolicy};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::lines;

/// Rate, burst, cap in seconds, clock in epoch seconds, between blanks; then the headers, one a line.
pub(crate) fn fuzz(data: &[u8]) {
    let ([setting], rest) = lines(data);
    let mut words = setting.split(' ');
    let rate = words.next().and_then(|word| word.parse().ok()).unwrap_or(1.0);
    let burst = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
    let cap = words.next().and_then(|word| word.parse().ok()).unwrap_or(900);
    let clock: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(1_779_012_000);
    let mut headers = HeaderMap::new();
    for line in rest.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    check(&headers, UNIX_EPOCH + Duration::from_secs(clock.into()), rate, burst, Duration::from_secs(cap));
}

pub(crate) fn check(headers: &HeaderMap, received: SystemTime, rate: f64, burst: u32, cap: Duration) {
    let hints = Hints::read(headers, received);
    as_told(headers, &hints);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        limiter_is_bounded(&hints, rate, burst, cap).await;
        any_budgets_are_bounded(&hints, burst).await;
        retry_is_bounded(headers).await;
    });
}

/// What RFC 9110 §10.2.3 says of a wait in whole seconds is told as it is.
fn as_told(headers: &HeaderMap, hints: &Hints) {
    let plain = |value: &HeaderValue| {
        let digits = value.as_bytes();
        (!digits.is_empty() && digits.len() < 16 && digits.iter().all(u8::is_ascii_digit))
            .then(|| digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    };
    let told: Vec<Option<u64>> = headers.get_all("retry-after").iter().map(plain).collect();
    let longest = told.iter().flatten().max().map(|seconds| Duration::from_secs(*seconds));
    assert!(hints.retry_after >= longest, "{hints:?} and {headers:?}");
    let others = ["x-retry-after", "retry-after-ms", "x-ms-retry-after-ms"]
        .iter()
        .any(|name| headers.contains_key(*name));
    if told.iter().all(Option::is_some) && !others {
        assert_eq!(hints.retry_after, longest, "of several, the longest");
    }
    if let (Some(limit), Some(1)) = (headers.get("x-ratelimit-remaining"), Some(headers.len())) {
        assert_eq!(hints.remaining.is_some(), plain(limit).is_some() || hints.remaining.is_some());
    }
    assert!(hints.wait() >= hints.retry_after);
}

/// Three permits come within the cap and the time that three tokens take.
async fn limiter_is_bounded(hints: &Hints, rate: f64, burst: u32, cap: Duration) {
    const DAY: Duration = Duration::from_secs(86_400);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    let limiter = Limiter::per_second(rate).burst(burst).max_wait(cap);
    let token =
        if rate > 0.0 { Duration::try_from_secs_f64(1.0 / rate).unwrap_or(DAY).min(DAY) } else { DAY };
    for again in 0..3 {
        limiter.observe(hints);
        let start = Instant::now();
        for _ in 0..3 {
            limiter.acquire().await.answered(hints);
        }
        // Each answer may close the gate anew. A timer is exact to a millisecond.
        let most = 3 * (cap.min(YEAR) + token + Duration::from_millis(2));
        assert!(
            start.elapsed() <= most,
            "round {again}: {:?} for three permits, with {hints:?}",
            start.elapsed()
        );
    }
}

/// Whatever is said to whatever budget, a permit comes within what the slowest of them takes.
async fn any_budgets_are_bounded(hints: &Hints, burst: u32) {
    let cap = Duration::from_secs(60);
    let limiter = Limiter::adaptive(1.0, 10.0)
        .burst(burst)
        .max_wait(cap)
        .in_flight(1)
        .and(Limiter::quota(3, Duration::from_secs(60)))
        .and(Limiter::per_second(1.0).burst(burst));
    for cost in [1, 2, burst.min(20)] {
        let start = Instant::now();
        limiter.acquire_cost(cost).await.refused(hints);
        // The wait, its quota's window, and the tokens of the last one: at a tenth a second, or at the pace.
        let tokens = Duration::from_secs(10).max(hints.pace.unwrap_or_default().min(cap)) * 24;
        let most = cap + Duration::from_secs(60) + tokens;
        assert!(start.elapsed() <= most, "{:?} for {cost}, with {hints:?}", start.elapsed());
    }
}

/// A server that says 429 for ever is left alone in the end, after no more than the caps.
async fn retry_is_bounded(headers: &HeaderMap) {
    let reply = headers.iter().fold(Reply::status(429), |reply, (name, value)| match value.to_str() {
        Ok(value) => reply.header(name.as_str(), value),
        Err(_) => reply,
    });
    let api = Scripted::from_fn(move |_, _| reply.clone());
    let limiter = Limiter::unlimited().max_wait(Duration::from_secs(5));
    let policy = RetryPolicy::exponential()
        .max_attempts(3)
        .max_wait(Duration::from_secs(5))
        .max_total_wait(Duration::from_secs(20));
    let start = Instant::now();
    let first = Request::get("https://api.example.com/items").expect("a URL");
    let pages: Vec<_> =
        Pages::new(api.clone(), first, Single).rate_limit(limiter).retry(policy).collect().await;
    let error = pages.into_iter().next().expect("an item").expect_err("429 is no page");
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    // The waits, one that begins before their sum is reached, and the back-off of the attempts.
    let most = Duration::from_secs(20 + 5 + 3);
    assert!(
        start.elapsed() <= most,
        "{:?} and {} requests, with {headers:?}",
        start.elapsed(),
        api.times().len()
    );
}
