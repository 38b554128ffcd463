//! Rows 20 to 23: a document, but not the one that was asked for.

use headwater::error::ErrorKind::{Empty, RecordPath};
use headwater::prelude::*;

use super::pull::{Pull, answered, fatal};
use super::table::{Table, want};
use crate::fault_server::{Reply, Server};

pub(crate) async fn rows(table: &mut Table) {
    // Predicates over bodies are not there yet: what is not the page is a record path that is missing.
    let error = r#"{"error":{"code":"quota","message":"try later"}}"#;
    let words = ["\"data\" is not in the answer", "body starts with \"{\"error\":", "try later"];
    let reply = move || Reply::json(error);
    fatal(table, 20, "200 with an error body", RecordPath, error.len() as u64, &words, reply).await;

    let moved = r#"{"result":{"items":[1,2]},"errors":[]}"#;
    let words = ["\"data\" is not in the answer", "\"result.items\" (2 items)", "\"errors\" (0 items)"];
    let reply = move || Reply::json(moved);
    fatal(table, 21, "the records are elsewhere", RecordPath, moved.len() as u64, &words, reply).await;
    let object = r#"{"data":{"id":1}}"#;
    let reply = move || Reply::json(object);
    fatal(table, 21, "an object in their place", RecordPath, 17, &["holds an object, not an array"], reply)
        .await;
    let null = want("1 page, 0 records", 1).bytes(13);
    answered(table, 21, "null: no records, no fault", null, || Reply::json(r#"{"data":null}"#)).await;

    for (fault, body, says) in [
        ("no cursor, and its absence is not the end", r#"{"data":[1]}"#, "is not in the answer"),
        ("a cursor that is an object", r#"{"data":[1],"next":{}}"#, "next"),
    ] {
        let server = Server::start(move |_| Reply::json(body)).await;
        let url = server.url("/");
        let pulled =
            Pull::with(move |http| Pages::new(http, Request::get(url).expect("a URL"), Cursor::body("next")));
        let want = want("Cursor", 1).bytes(body.len() as u64).says(&[says]);
        table.line(22, fault, &server, &pulled.run().await, want);
    }

    let no_content = || Reply::nothing().send("HTTP/1.1 204 No Content\r\n\r\n");
    let blank = || Reply::json(" \r\n");
    let words = ["the answer has no body", "no_content_ends()"];
    fatal(table, 23, "204", Empty, 0, &words, no_content).await;
    fatal(table, 23, "200 without a body", Empty, 0, &words, || Reply::json("")).await;
    fatal(table, 23, "200 with blanks", Empty, 3, &words, blank).await;
    for (fault, bytes, reply) in [
        ("204, declared as the end: no fault", 0, no_content as fn() -> Reply),
        ("blanks, declared as the end: no fault", 3, blank),
    ] {
        let server = Server::start(move |_| reply()).await;
        let url = server.url("/");
        let pulled = Pull::with(move |http| {
            Pages::new(http, Request::get(url).expect("a URL"), Cursor::body("next")).no_content_ends()
        });
        let want = want("1 page, 0 records", 1).bytes(bytes);
        table.line(23, fault, &server, &pulled.run().await, want);
    }
}
