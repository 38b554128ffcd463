//! Rows 38, 46 and 53: whole runs, with files and checkpoints, and what a dropped one leaves behind.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt;
use headwater::pipeline::RunError;
use headwater::prelude::*;
use headwater::sink::{Jsonl, Memory};
use headwater::{Report, SourceBuilder};

use super::pull::{Pulled, client, memory_at_rest};
use super::table::{Table, want};
use crate::MEMORY;
use crate::fault_server::{Ask, Reply, Server};

pub(crate) async fn rows(table: &mut Table) {
    come_back_later(table).await;
    shifting(table).await;
    dropped(table).await;
    dropped_run(table).await;
}

/// Pages 1 to 6 of one record.
fn page(ask: &Ask) -> Reply {
    let number: u64 = ask.query("cursor").unwrap_or("1").parse().expect("a number");
    let next = if number < 6 { format!("\"{}\"", number + 1) } else { "null".to_owned() };
    Reply::json(format!(r#"{{"data":[{{"id":{number}}}],"next":{next}}}"#))
}

fn source(server: &Server) -> SourceBuilder {
    Source::get("items", server.url("/"))
        .records("data")
        .paginate(Cursor::body("next"))
        .transport(client().build().expect("a client"))
        .retry(RetryPolicy::exponential().base(Duration::from_millis(2)).max_attempts(4))
        .ignore_origin_changes()
}

/// The ids in the only file of a folder.
fn ids(out: &Path) -> Vec<u64> {
    let files = std::fs::read_dir(out).expect("the folder").map(|entry| entry.expect("an entry").path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let text = std::fs::read_to_string(&files[0]).expect("the file");
    let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a line")["id"].as_u64();
    text.lines().map(|line| id(line).expect("an id")).collect()
}

/// A run as a line of the table.
async fn run(source: Source, sink: impl headwater::sink::Sink + 'static) -> (Pulled, Option<Report>) {
    let (before, start) = (memory_at_rest().await, Instant::now());
    let result = Pipeline::new().source(source).sink(sink).run().await;
    let (took, peak) = (start.elapsed(), MEMORY.peak_usage().saturating_sub(before));
    let (error, report) = match result {
        Ok(report) => (None, Some(report)),
        Err(RunError { error, report, .. }) => (Some(error), report.map(|report| *report)),
    };
    let counted = report.as_ref().and_then(|report| report.source("items"));
    let (pages, records) = counted.map_or((0, 0), |source| (source.pages, source.records));
    let counts = counted.map(|source| source.counts).unwrap_or_default();
    (Pulled::of_run(error, pages as usize, records as usize, counts, peak, took), report)
}

async fn come_back_later(table: &mut Table) {
    let out = tempfile::tempdir().expect("a folder");
    let hours = |ask: &Ask| match ask.query("cursor") {
        Some("3") => Reply::status("429 Too Many Requests", "retry-after: 7200\r\n", "{}"),
        _ => page(ask),
    };
    let server = Server::start(hours).await;
    let (pulled, _) = run(source(&server).build().expect("a source"), Jsonl::dir(out.path())).await;
    let stopped = want("RateLimited after 2 pages, 2 records", 3).bytes(62).says(&["come back after 20"]);
    table.line(38, "a run: 7200 s for page 3", &server, &pulled, stopped);
    table.check(38, ids(out.path()) == [1, 2], "what came before is in the file");
    let server = Server::start(page).await;
    let (pulled, _) = run(source(&server).build().expect("a source"), Jsonl::dir(out.path())).await;
    let whole = want("6 pages, 6 records", 4).bytes(3 * 30 + 31);
    table.line(38, "the next run: from page 3 on", &server, &pulled, whole);
    table.check(38, ids(out.path()) == [1, 2, 3, 4, 5, 6], "each record is in the file once");
}

async fn shifting(table: &mut Table) {
    // A row is inserted at the front after each page: one comes twice, and no client can tell.
    let server = Server::start(|ask| {
        let offset: i64 = ask.query("offset").and_then(|value| value.parse().ok()).unwrap_or(0);
        let rows: Vec<String> = (offset..(offset + 2).min(4))
            .map(|at| format!("{{\"id\":{}}}", at + 1 - ask.nth as i64))
            .collect();
        Reply::json(format!(r#"{{"data":[{}]}}"#, rows.join(",")))
    })
    .await;
    let counting = source(&server).paginate(Offset::new(2)).build().expect("a source");
    let (pulled, report) = run(counting, Memory::new()).await;
    let want = want("3 pages, 4 records", 3).bytes_in(60..=80);
    table.line(46, "rows inserted while offsets count", &server, &pulled, want);
    let shown = report.map(|report| report.to_string()).unwrap_or_default();
    let note = "note: items is paged by counting: rows inserted or removed during the run can shift";
    table.check(46, shown.contains(note), &format!("the report says: {shown}"));
}

/// Waits until something holds, or not.
async fn soon(holds: impl Fn() -> bool) -> bool {
    for _ in 0..500 {
        if holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

async fn dropped(table: &mut Table) {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let server = Server::start(|ask| if ask.nth == 2 { Reply::nothing().hang() } else { page(ask) }).await;
    let before = tasks();
    let (memory, start) = (memory_at_rest().await, Instant::now());
    let pages = {
        let http = client().build().expect("a client");
        Pages::new(http, Request::get(server.url("/")).expect("a URL"), Cursor::body("next"))
    };
    let meter = pages.meter();
    let mut pages = pages.rate_limit(Limiter::unlimited()).retry(RetryPolicy::exponential());
    let first = pages.next().await;
    table.check(53, first.is_some_and(|page| page.is_ok()), "the first page comes");
    // Who does not poll does not ask.
    tokio::time::sleep(Duration::from_millis(100)).await;
    table.check(53, server.requests() == 1, "nothing is sent between two polls");
    let under_way = tokio::select! {
        _ = pages.next() => false,
        asked = soon(|| server.requests() == 2) => asked,
    };
    table.check(53, under_way, "the second page is on its way");
    drop(pages);
    table.check(53, soon(|| server.ended() == server.connections()).await, "the connection was not closed");
    // The server's own task of that connection is over as well.
    table.check(53, soon(|| tasks() <= before).await, &format!("{} tasks, {before} before", tasks()));
    let peak = MEMORY.peak_usage().saturating_sub(memory);
    let pulled = Pulled::of_run(None, 1, 1, meter.counts(), peak, start.elapsed());
    let want = want("1 page, 1 record", 2).bytes(30);
    table.line(53, "dropped while page 2 is on its way", &server, &pulled, want);
}

async fn dropped_run(table: &mut Table) {
    let out = tempfile::tempdir().expect("a folder");
    let stalling = |ask: &Ask| match ask.query("cursor") {
        Some("4") => Reply::head("content-length: 99\r\n").send("{\"data\"").hang(),
        _ => page(ask),
    };
    let server = Server::start(stalling).await;
    let first = source(&server).build().expect("a source");
    let under_way = tokio::select! {
        _ = Pipeline::new().source(first).sink(Jsonl::dir(out.path())).run() => false,
        asked = soon(|| server.requests() == 4) => asked,
    };
    table.check(53, under_way, "page 4 is on its way");
    let closed = soon(|| server.ended() == server.connections()).await;
    table.check(53, closed, "a connection of the run was not closed");
    let server = Server::start(page).await;
    let (pulled, _) = run(source(&server).build().expect("a source"), Jsonl::dir(out.path())).await;
    let requests = server.requests();
    table.check(53, requests <= 6, "no page is asked for twice in a run");
    let want = want("6 pages, 6 records", requests).bytes(30 * (requests as u64 - 1) + 31);
    table.line(53, "a run dropped in page 4: the next one", &server, &pulled, want);
    table.check(53, ids(out.path()) == [1, 2, 3, 4, 5, 6], "each record is in the file once");
}
