//! Row 58, and what is odd but no fault (row 0).

use std::time::Duration;

use headwater::auth::Bearer;
use headwater::error::ErrorKind::{NotJson, RecordPath, Status};
use headwater::prelude::*;

use super::pull::{ATTEMPTS, ONE_PAGE, PAGE, Pull, answered, fatal, once_more};
use super::table::{Table, want};
use crate::fault_server::h2::{self, Act};
use crate::fault_server::tls::root;
use crate::fault_server::{Reply, Server};

/// What makes a terminal change its title, its colours, its cursor; and C1 controls, which some obey as well.
const ESCAPES: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[31m\r\n\u{8}\u{9b}31m\u{0}\u{7f}";

pub(crate) async fn rows(table: &mut Table) {
    controls(table).await;
    repeated_below_http(table).await;
    odd(table).await;
    left_over(table).await;
}

// That no error has a control character in it is checked in every line of the table.
async fn controls(table: &mut Table) {
    let body = ESCAPES.repeat(8);
    let length = body.len() as u64;
    let reply = move || Reply::status("400 Bad Request", "", &body);
    fatal(
        table,
        58,
        "200 bytes of escapes in an error's body",
        Status,
        length,
        &["\\u{1b}]0;owned\\u{7}"],
        reply,
    )
    .await;
    let json = |record: &str| format!(r#"{{"{record}":[1],"x":{{"{record}":[2]}}}}"#);
    let keys = json("\\u001b[31m\\u0007\\u009b");
    let length = keys.len() as u64;
    let reply = move || Reply::json(&keys);
    fatal(table, 58, "escapes in the names of fields", RecordPath, length, &["arrays are at"], reply).await;
    let raw = json(ESCAPES);
    let length = raw.len() as u64;
    once_more(table, 58, "the same, not escaped in the JSON", NotJson, length, move || Reply::json(&raw))
        .await;
    let server = Server::start(|ask| match ask.query("cursor") {
        None => Reply::json(r#"{"data":[1],"next":"\u001b[31m\u0007\u009b\n"}"#),
        Some(_) => Reply::status("404 Not Found", "", "\u{1b}[31m"),
    })
    .await;
    let pulled = Pull::get(server.url("/")).run().await;
    let want_error = want("Status after 1 page, 1 record", 2).bytes(46 + 5).says(&["page 2 (cursor "]);
    table.line(58, "escapes in a cursor", &server, &pulled, want_error);
    let server =
        Server::start(|_| Reply::json("{\"data\":[1],\"next\":\"http://\\u001b[31m\\u0007/\"}")).await;
    let url = server.url("/");
    let pulled =
        Pull::with(move |http| Pages::new(http, Request::get(url).expect("a URL"), NextUrl::body("next")));
    table.line(58, "escapes in a next link", &server, &pulled.run().await, want("Cursor", 1).bytes(46));
    let coding = || Reply::status("200 OK", "content-encoding: \u{9b}31m\r\n", PAGE);
    let wrong = headwater::error::ErrorKind::Encoding;
    fatal(table, 58, "a C1 control in Content-Encoding", wrong, 0, &["content coding"], coding).await;
}

/// What the server says about the failure itself, below HTTP, goes into the error as well: it may repeat a credential.
async fn repeated_below_http(table: &mut Table) {
    let bearer = |url: String| {
        Pull::with(move |http| {
            let request = Request::get(url).expect("a URL");
            Pages::new(http, request, Single).auth(Bearer::new("canary-of-the-bearer").expect("a token"))
        })
    };
    let saying = "\u{1b}[31mBearer canary-of-the-bearer\u{7}";
    let server = h2::start(move |_| Act::GoAwaySaying(saying)).await;
    let pulled = bearer(server.url("/")).client(|client| client.root_certificate(root())).run().await;
    let want_goaway = want("Interrupted", ATTEMPTS).says(&["[31m"]);
    table.line(58, "HTTP/2: GOAWAY that repeats the token, with escapes", &server, &pulled, want_goaway);
    table.check(58, !pulled.text.contains("canary"), &pulled.text);

    let trailer = "0\r\ncanary-of-the-bearer\u{7f}: canary-of-the-bearer\u{1b}[31m\r\n\r\n";
    let server = Server::start(move |_| Reply::head("transfer-encoding: chunked\r\n").send(trailer)).await;
    let pulled = bearer(server.url("/")).run().await;
    table.line(58, "a trailer that repeats the token, with escapes", &server, &pulled, want("Encoding", 2));
    table.check(58, !pulled.text.contains("canary"), &pulled.text);
}

async fn odd(table: &mut Table) {
    let good = || want(ONE_PAGE, 1).bytes(37);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{PAGE}", PAGE.len());
    let send = |bytes: String| move || Reply::nothing().send(&bytes);
    for (fault, bytes) in [
        ("100 Continue that nobody waits for", format!("HTTP/1.1 100 Continue\r\n\r\n{answer}")),
        ("103 Early Hints", format!("HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n{answer}")),
        ("no reason phrase", answer.replace("200 OK", "200 ")),
        ("headers in capitals", answer.replace("content-length", "CONTENT-LENGTH")),
        ("LF instead of CRLF", answer.replace("\r\n", "\n")),
    ] {
        answered(table, 0, fault, good(), send(bytes)).await;
    }
    let old = || Reply::nothing().send(format!("HTTP/1.0 200 OK\r\n\r\n{PAGE}")).close();
    answered(table, 0, "HTTP/1.0, no length", good(), old).await;
    let bytewise = || {
        let reply = Reply::head("content-length: 37\r\n");
        PAGE.bytes().fold(reply, |reply, byte| reply.send([byte]).pause(Duration::from_millis(1)))
    };
    answered(table, 0, "one byte at a time", good(), bytewise).await;

    // The whole answer comes before the request has been read.
    let server = Server::start(|_| Reply::json(PAGE).hang()).await;
    let url = server.url("/");
    let pulled = Pull::with(move |http| {
        let filter = serde_json::json!({ "filter": "x".repeat(400_000) });
        Pages::new(http, Request::post(url).expect("a URL").json(filter).repeatable(), Single)
    });
    table.line(0, "an answer to a POST whose body is not read yet", &server, &pulled.run().await, good());
}

/// More than the body on the connection: the next page must not be read from it.
async fn left_over(table: &mut Table) {
    let page = |id: usize, next: &str| format!(r#"{{"data":[{{"id":{id}}}],"next":{next}}}"#);
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for (fault, extra) in [
        ("garbage behind the body", "garbage".to_owned()),
        ("an answer to a request that was not sent", answer(&page(666, "null"))),
    ] {
        let server = Server::start(move |ask| {
            let number = ask.query("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(1);
            let next = if number < 20 { format!("\"{}\"", number + 1) } else { "null".to_owned() };
            Reply::nothing().send(answer(&page(number, &next)) + &extra)
        })
        .await;
        let pulled = Pull::get(server.url("/")).run().await;
        let expected: Vec<String> = (1..=20).map(|id| format!("{{\"id\":{id}}}")).collect();
        table.check(0, pulled.records == expected, &format!("{fault}: the records are {:?}", pulled.records));
        let requests = server.requests();
        table.check(0, (20..=39).contains(&requests), "each page is asked for once or twice");
        table.line(0, fault, &server, &pulled, want("20 pages, 20 records", requests).bytes_in(600..=1300));
    }
}
