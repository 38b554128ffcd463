//! Lists whose place the server keeps: each request moves it on, so a page that is lost on the way cannot be asked for again.

#[path = "support/pulled.rs"]
mod pulled;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater::paginate::{Cursor, End};
use headwater::sink::Memory;
use headwater::testing::{Reply, Scripted};
use headwater::{ErrorKind, Pipeline, Source, SourceBuilder};
use serde_json::{Value, json};

use pulled::pulled;

const PAGES: u64 = 6;

/// A scroll of six pages with ten records each, then an empty one. `at` says what becomes of the answer to a request, whose
/// page is gone in any case.
fn scroll(at: impl Fn(u64) -> Option<Reply> + Send + Sync + 'static) -> Scripted {
    let place = Arc::new(AtomicU64::new(0));
    Scripted::from_fn(move |request, nth| {
        let page = match request.url().query() {
            None => {
                place.store(1, Ordering::SeqCst);
                0
            }
            Some(_) => place.fetch_add(1, Ordering::SeqCst),
        };
        let records: Vec<u64> = if page < PAGES { (page * 10..page * 10 + 10).collect() } else { Vec::new() };
        at(nth).unwrap_or_else(|| Reply::json(json!({ "data": records, "scroll": "the same" }).to_string()))
    })
}

fn source(api: &Scripted) -> SourceBuilder {
    Source::get("items", "https://api.example.com/items")
        .transport(api.clone())
        .records("data")
        .paginate(Cursor::body("scroll").into_query("scroll").until(End::empty_page()))
        .scrolls()
}

fn each_once(sink: &Memory) {
    let lines = sink.lines("items");
    let values: BTreeSet<u64> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["value"].as_u64().unwrap())
        .collect();
    assert_eq!((lines.len() as u64, values.len() as u64), (PAGES * 10, PAGES * 10));
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_scroll_is_asked_for_once() {
    for lost in [
        Reply::status(502),
        Reply::status(500),
        Reply::json(r#"{"data":[1"#),
        Reply::status(404).body("no such scroll"),
    ] {
        let api = scroll(move |nth| (nth == 3).then(|| lost.clone()));
        let (records, error) = pulled(source(&api)).await;
        let error = error.unwrap();
        assert_eq!(
            (records, error.kind(), api.requests().len()),
            (20, ErrorKind::CursorExpired, 3),
            "{error}"
        );
        assert!(error.help().unwrap().contains("restart_on_expiry"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_server_has_not_done_is_asked_for_again() {
    let place = Arc::new(AtomicU64::new(0));
    let api = Scripted::from_fn(move |_, nth| match nth {
        // Neither has moved on.
        1 => Reply::status(500),
        3 => Reply::status(429).header("retry-after", "5"),
        _ => {
            let page = place.fetch_add(1, Ordering::SeqCst);
            let records: Vec<u64> = if page < PAGES { vec![page] } else { Vec::new() };
            Reply::json(json!({ "data": records, "scroll": "the same" }).to_string())
        }
    });
    let (records, error) = pulled(source(&api)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(records as u64, PAGES);
}

#[tokio::test(start_paused = true)]
async fn a_scroll_that_loses_a_page_begins_anew() {
    let (api, sink) = (scroll(|nth| (nth == 4).then(|| Reply::status(502))), Memory::new());
    Pipeline::new()
        .source(source(&api).restart_on_expiry().build().unwrap())
        .sink(sink.clone())
        .run()
        .await
        .unwrap();
    each_once(&sink);
    assert_eq!(api.requests().len() as u64, 4 + PAGES + 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_does_not_go_on_in_the_scroll_of_another() {
    // The place has moved on for the answer that the first run fails at.
    let api = scroll(|nth| (nth == 4).then(|| Reply::status(403).body("not now")));
    let sink = Memory::new();
    let run = |source: SourceBuilder| {
        let sink = sink.clone();
        async move { Pipeline::new().source(source.build().unwrap()).sink(sink).run().await }
    };
    let failed = run(source(&api)).await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Status, "{failed:?}");
    let refused = run(source(&api)).await.unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::CursorExpired, "{refused:?}");
    assert_eq!(api.requests().len(), 4, "it asks for nothing that would be lost");
    run(source(&api).restart_on_expiry()).await.unwrap();
    each_once(&sink);
}
