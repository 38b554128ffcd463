//! Rows 13 to 19: what is in the body.

use std::time::Duration;

use headwater::error::ErrorKind::{Encoding, NotJson};

use super::pull::{ONE_PAGE, PAGE, Pull, answered, fatal, once_more, retried};
use super::table::{Table, want};
use crate::fault_server::{Reply, Server};

pub(crate) async fn rows(table: &mut Table) {
    text(table).await;
    documents(table).await;
    nesting(table).await;
    untouched(table).await;
    html(table).await;
}

async fn text(table: &mut Table) {
    let latin1 = || Reply::json(b"{\"data\":[\"caf\xE9\"]}");
    fatal(table, 13, "Latin-1", Encoding, 17, &["invalid UTF-8 at byte 13"], latin1).await;
    let utf16 = || Reply::json(b"\xFF\xFE{\0}\0");
    fatal(table, 13, "UTF-16", Encoding, 6, &["invalid UTF-8 at byte 0"], utf16).await;
    let cut = || Reply::json(b"{\"data\":[\"\xF0\x9F\x98\"]}");
    fatal(table, 13, "three bytes of four", Encoding, 16, &["invalid UTF-8 at byte 10"], cut).await;
    let surrogate = || Reply::json(b"[\"\xED\xA0\x80\"]");
    fatal(table, 13, "a surrogate in UTF-8", Encoding, 7, &["invalid UTF-8 at byte 2"], surrogate).await;
    let bom = || Reply::json(format!("\u{feff}{PAGE}"));
    answered(table, 13, "a byte-order mark: no fault", want(ONE_PAGE, 1).bytes(40), bom).await;
    let two = || Reply::json(format!("\u{feff}\u{feff}{PAGE}"));
    once_more(table, 13, "two of them", NotJson, 43, two).await;
}

async fn documents(table: &mut Table) {
    for (fault, body) in [
        ("cut in a record", r#"{"data":[{"id":1},{"i"#),
        ("cut in a string", r#"{"data":[{"id":"a"#),
        ("two documents", r#"{"data":[]}{"data":[]}"#),
        ("a comma too many", r#"{"data":[1,],"next":null}"#),
        ("a control character in a string", "{\"data\":[\"\u{1b}\"]}"),
        ("a number that is none", r#"{"data":[01]}"#),
        ("NaN", r#"{"data":[NaN]}"#),
    ] {
        once_more(table, 14, fault, NotJson, body.len() as u64, move || Reply::json(body)).await;
    }
}

/// `depth` arrays within each other as the only record.
fn nested(depth: usize) -> String {
    format!("{{\"data\":[{}{}]}}", "[".repeat(depth), "]".repeat(depth))
}

async fn nesting(table: &mut Table) {
    const DEEP: usize = 1_000_000;
    let (arrays, objects) = (nested(DEEP), deep_objects(DEEP));
    let open = arrays[..DEEP].to_owned();
    let page = |body: &str| want("1 page, 1 record", 1).bytes(body.len() as u64);
    let never_closed =
        want("NotJson", 2).bytes(2 * open.len() as u64).says(&["ends too early (1000000 bytes)"]);
    let too_large = want("TooLarge", 1).says(&["the server announces 2000011"]);
    for (fault, cap, want, body) in [
        ("arrays a million deep: no fault", 3_000_000, page(&arrays), arrays.clone()),
        ("objects a million deep: no fault", 6_500_000, page(&objects), objects),
        ("a million deep, and never closed", 3_000_000, never_closed, open),
        ("a million deep, above the cap", 1_500_000, too_large, arrays),
    ] {
        // The pull keeps the record and its line, and serde_json notes a byte for each bracket that is open.
        let memory = cap + 2 * body.len() + DEEP;
        let reply = Reply::json(body);
        let server = Server::start(move |_| reply.clone()).await;
        let pulled = Pull::get(server.url("/")).client(|client| client.max_page_bytes(cap)).run().await;
        table.line(15, fault, &server, &pulled, want.cap(memory));
    }
}

fn deep_objects(depth: usize) -> String {
    format!("{{\"data\":[{}{}{}]}}", "{\"a\":".repeat(depth), "1", "}".repeat(depth))
}

/// Records that must come out byte for byte.
async fn untouched(table: &mut Table) {
    let numbers = r#"{"n":123456789012345678901234567890,"e":1e999,"f":1.10,"z":-0.0,"x":1E+2}"#;
    let twice = r#"{"a":1,"a":2,"s":"\ud800","t":"\u0000","u":"\/é"}"#;
    let pretty = "{\r\n  \"a\": 1,\n\t\"b\": [\n    1,\n    2\n  ]\n}";
    for (row, fault, record) in [
        (16, "30 digits, 1e999, 1.10, -0.0: no fault", numbers),
        (17, "a key twice, a lone surrogate: no fault", twice),
        (18, "a pretty-printed record: no fault", pretty),
    ] {
        let body = format!("{{\"data\": [\n{record}\n]}}");
        let length = body.len() as u64;
        let reply = Reply::json(body);
        let want = want("1 page, 1 record", 1).bytes(length);
        let pulled = answered(table, row, fault, want, move || reply.clone()).await;
        table.check(row, pulled.records == [record], &format!("the record is {:?}", pulled.records));
        let lines = pulled.lines.strip_suffix('\n').unwrap_or_default();
        table.check(row, !lines.contains(['\n', '\r']), &format!("one line a record: {lines:?}"));
        let shown = if row == 18 { "{\"a\": 1,\"b\": [1,2]" } else { &record[..record.len() - 1] };
        let expected = format!("{shown},\"__source\":\"s\",\"__ingested_at\":\"");
        table.check(row, lines.starts_with(&expected), &format!("the line is {lines:?}"));
    }
}

async fn html(table: &mut Table) {
    let login = "<!doctype html>\n<title>Sign in</title>";
    let length = login.len() as u64;
    let reply = move || Reply::status("200 OK", "content-type: text/html\r\n", login);
    retried(table, 19, "a login page with status 200", NotJson, length, reply).await;
    let words = [
        "HTML",
        "body starts with \"<!doctype html>",
        "<title>Sign in</title>",
        "login pages and proxies answer like this",
    ];
    let want = want("NotJson", 4).bytes(4 * length).says(&words);
    answered(table, 19, "the same: the error shows it", want, reply).await;
    // The proxy is back after 50 ms.
    let server = Server::start({
        let start = std::time::Instant::now();
        move |_| if start.elapsed() < Duration::from_millis(50) { reply() } else { Reply::json(PAGE) }
    })
    .await;
    let pulled = Pull::get(server.url("/")).attempts(1000).run().await;
    let bytes = (pulled.counts.requests - 1) * length + PAGE.len() as u64;
    let want = super::table::want(ONE_PAGE, server.requests()).bytes(bytes);
    table.line(19, "a proxy's page for 50 ms", &server, &pulled, want);
    table.check(19, pulled.counts.retries == pulled.counts.requests - 1, "each failure is a retry");
}
