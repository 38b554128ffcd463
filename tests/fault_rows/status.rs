//! Rows 24, 28 to 34 and 41: statuses.

use headwater::error::ErrorKind::{self, RateLimited, Status, Timeout};

use super::limits::told;
use super::pull::{ONE_PAGE, PAGE, Pull, fatal, once_more, retried};
use super::table::{Table, want};
use crate::fault_server::{Reply, Server};

/// The body of every failure here.
const BODY: &str = r#"{"message":"no"}"#;
const LENGTH: u64 = BODY.len() as u64;

pub(crate) async fn rows(table: &mut Table) {
    let part = || Reply::status("206 Partial Content", "content-range: bytes 0-36/99\r\n", PAGE);
    fatal(table, 24, "206", Status, 37, &["206", "a part of the answer"], part).await;
    let unchanged = || Reply::nothing().send("HTTP/1.1 304 Not Modified\r\n\r\n");
    fatal(table, 24, "304", Status, 0, &["304", "no validator was sent"], unchanged).await;

    second_page(table, 28, "400, \"cursor expired\"", "400 Bad Request", r#"{"error":"cursor has expired"}"#)
        .await;
    second_page(table, 28, "410", "410 Gone", "{}").await;
    let invalid = r#"{"error":"page_token is invalid"}"#;
    second_page(table, 28, "422, \"token invalid\"", "422 Unprocessable Content", invalid).await;
    // Credentials that can be refreshed are still to come.
    second_page(table, 29, "401 for the second page", "401 Unauthorized", "{}").await;

    let plain = move || Reply::status("403 Forbidden", "", BODY);
    fatal(table, 30, "403", Status, LENGTH, &["the credentials do not allow this"], plain).await;
    let hint = "retry-after: 0.06\r\n";
    told(table, 30, "403 with Retry-After", "403 Forbidden", hint, 60).await;
    let used_up = "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 0.06\r\n";
    told(table, 30, "403, no requests remain", "403 Forbidden", used_up, 60).await;
    let words = r#"{"message":"You have exceeded a secondary rate limit."}"#;
    let limited = move || Reply::status("403 Forbidden", "", words);
    retried(table, 30, "403 that speaks of a rate limit", RateLimited, words.len() as u64, limited).await;

    for status in [
        "404 Not Found",
        "405 Method Not Allowed",
        "406 Not Acceptable",
        "414 URI Too Long",
        "415 Unsupported Media Type",
        "431 Request Header Fields Too Large",
        "451 Unavailable For Legal Reasons",
        "501 Not Implemented",
        "505 HTTP Version Not Supported",
        "511 Network Authentication Required",
    ] {
        refused(table, 31, status).await;
    }
    retried(table, 32, "408", Timeout, LENGTH, || Reply::status("408 Request Timeout", "", BODY).close())
        .await;
    once_more(table, 32, "425", Status, LENGTH, || Reply::status("425 Too Early", "", BODY)).await;
    refused(table, 33, "409 Conflict").await;
    refused(table, 33, "423 Locked").await;
    misdirected(table).await;
    for status in [
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
        "507 Insufficient Storage",
        "520 Unknown",
        "521 Down",
        "522 Timed Out",
        "523 Unreachable",
        "524 Timeout",
        "525 Handshake Failed",
        "526 Invalid Certificate",
        "527 Railgun",
        "529 Overloaded",
    ] {
        let code = &status[..3];
        retried(table, 41, code, Status, LENGTH, move || Reply::status(status, "", BODY)).await;
    }
    told(table, 41, "503 with Retry-After", "503 Service Unavailable", hint, 60).await;
}

async fn refused(table: &mut Table, row: u8, status: &'static str) {
    let reply = move || Reply::status(status, "", BODY);
    fatal(table, row, &status[..3], Status, LENGTH, &[status, r#"{"message":"no"}"#], reply).await;
}

/// A first page, and a failure of the second.
async fn second_page(table: &mut Table, row: u8, fault: &str, status: &'static str, body: &'static str) {
    const FIRST: &str = r#"{"data":[{"id":1}],"next":"b"}"#;
    let server = Server::start(move |ask| match ask.query("cursor") {
        None => Reply::json(FIRST),
        Some(_) => Reply::status(status, "", body),
    });
    let server = server.await;
    let pulled = Pull::get(server.url("/")).run().await;
    let kind = if row == 29 { ErrorKind::Unauthorized } else { ErrorKind::CursorExpired };
    let want = want(format!("{kind:?} after 1 page, 1 record"), 2).says(&["page 2 (cursor \"b\")"]);
    table.line(row, fault, &server, &pulled, want.bytes((FIRST.len() + body.len()) as u64));
}

/// RFC 9110 §15.5.20: once more, on another connection, though this one is still good.
async fn misdirected(table: &mut Table) {
    for recovers in [true, false] {
        let server = Server::start(move |ask| {
            if recovers && ask.connection == 2 {
                Reply::json(PAGE)
            } else {
                Reply::status("421 Misdirected Request", "", BODY)
            }
        });
        let server = server.await;
        let pulled = Pull::get(server.url("/")).run().await;
        let (fault, want) = if recovers {
            ("421 on one connection, not on the next", want(ONE_PAGE, 2).bytes(LENGTH + 37))
        } else {
            ("421", want("Status", 2).bytes(2 * LENGTH).says(&["gave up after 2 attempts"]))
        };
        table.line(34, fault, &server, &pulled, want);
        let connections: Vec<usize> = server.asks().iter().map(|ask| ask.connection).collect();
        table.check(34, connections == [1, 2], &format!("connections {connections:?}"));
    }
}
