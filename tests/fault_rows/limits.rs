//! Rows 35 to 40: the server says when to come back.

use std::time::Duration;

use headwater::error::ErrorKind::RateLimited;

use super::pull::{ONE_PAGE, PAGE, Pull, answered, retried};
use super::table::{Table, want};
use crate::fault_server::{Reply, Server};

const BUSY: &str = "429 Too Many Requests";
/// 1779012000 in Unix time.
const DATE: &str = "date: Sun, 17 May 2026 10:00:00 GMT\r\n";

pub(crate) async fn rows(table: &mut Table) {
    for (fault, headers, millis) in [
        ("Retry-After: 1", "retry-after: 1\r\n", 1000),
        ("Retry-After: 0.08", "retry-after: 0.08\r\n", 80),
        ("retry-after-ms: 80", "retry-after-ms: 80\r\n", 80),
        ("x-ms-retry-after-ms: 80", "x-ms-retry-after-ms: 80\r\n", 80),
    ] {
        told(table, 35, fault, BUSY, headers, millis).await;
    }
    for (fault, date) in [
        ("Retry-After: Sun, 17 May 2026 …", "Sun, 17 May 2026 10:00:01 GMT"),
        ("Retry-After: Sunday, 17-May-26 …", "Sunday, 17-May-26 10:00:01 GMT"),
        ("Retry-After: Sun May 17 … 2026", "Sun May 17 10:00:01 2026"),
    ] {
        told(table, 35, fault, BUSY, &format!("{DATE}retry-after: {date}\r\n"), 1000).await;
    }

    retried(table, 36, "429 and nothing else", RateLimited, 2, || Reply::status(BUSY, "", "{}")).await;
    let remains =
        |prefix: &str, reset: &str| format!("{DATE}{prefix}-remaining: 0\r\n{prefix}-reset: {reset}\r\n");
    for (fault, headers) in [
        ("X-RateLimit-Reset: 0.08", remains("x-ratelimit", "0.08")),
        ("X-RateLimit-Reset, in Unix milliseconds", remains("x-ratelimit", "1779012000080")),
        ("X-Rate-Limit-Reset, in ISO 8601", remains("x-rate-limit", "2026-05-17T10:00:00.080Z")),
        ("RateLimit-Reset: 0.08", remains("ratelimit", "0.08")),
        ("RateLimit: \"default\";r=0;t=0.08", "ratelimit: \"default\";r=0;t=0.08\r\n".to_owned()),
    ] {
        told(table, 36, fault, BUSY, &headers, 80).await;
    }

    for (fault, headers) in [
        ("a date of the day before", format!("{DATE}retry-after: Sat, 16 May 2026 10:00:00 GMT\r\n")),
        ("Retry-After: 0", "retry-after: 0\r\n".to_owned()),
        ("Retry-After: -60", "retry-after: -60\r\n".to_owned()),
        ("Retry-After: soon", "retry-after: soon\r\n".to_owned()),
        ("Retry-After: 1e9", "retry-after: 1e9\r\n".to_owned()),
        ("Retry-After: NaN", "retry-after: NaN\r\n".to_owned()),
    ] {
        let reply = move || Reply::status(BUSY, &headers, "{}");
        retried(table, 37, fault, RateLimited, 2, reply).await;
    }

    let hours =
        || want("RateLimited", 1).bytes(2).says(&["come back after 20", "asks to wait 7200s", "cap of 900s"]);
    answered(table, 38, "Retry-After: 7200", hours(), || Reply::status(BUSY, "retry-after: 7200\r\n", "{}"))
        .await;
    let used_up = "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 7200\r\n";
    answered(table, 38, "no requests for two hours", hours(), || Reply::status(BUSY, used_up, "{}")).await;

    let longest = "retry-after: 0.02\r\nretry-after-ms: 90\r\nretry-after: 0.05\r\n";
    told(table, 39, "20 ms, 50 ms and 90 ms", BUSY, longest, 90).await;
    let reset = "retry-after: 0.02\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 0.09\r\n";
    told(table, 39, "20 ms, and 90 ms until the reset", BUSY, reset, 90).await;

    // The clock of this machine cannot be turned in a test; a server's can, and only their difference counts.
    for (fault, date, later) in [
        ("a server in 1999", "Fri, 31 Dec 1999 23:59:59 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("a server in 2099", "Thu, 31 Dec 2099 23:59:59 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"),
    ] {
        told(table, 40, fault, BUSY, &format!("date: {date}\r\nretry-after: {later}\r\n"), 1000).await;
    }
}

/// A wait that the server asks for is kept to the letter, and costs no attempt: of one attempt there is still one
/// left after as many waits as fit into a quarter of a second.
pub(crate) async fn told(table: &mut Table, row: u8, fault: &str, status: &str, headers: &str, millis: u64) {
    let times = (250 / millis).max(1) as usize;
    let limited = Reply::status(status, headers, "{}");
    let server = Server::start(move |ask| if ask.nth <= times { limited.clone() } else { Reply::json(PAGE) });
    let server = server.await;
    let pulled = Pull::get(server.url("/")).attempts(1).run().await;
    let want = want(ONE_PAGE, times + 1).bytes(2 * times as u64 + 37).waits(times as u64 * millis);
    table.line(row, fault, &server, &pulled, want);
    let asks = server.asks();
    let early =
        asks.windows(2).filter(|pair| pair[1].at - pair[0].at < Duration::from_millis(millis)).count();
    table.check(row, early == 0, &format!("{early} requests came before the wait was over"));
}
