//! Django REST framework (<https://www.django-rest-framework.org>): its own pagination classes and its own throttle,
//! over a small shop (`drf/server.py`).
//!
//! `pip install djangorestframework`, and have `django-admin` on the path or in `HEADWATER_DJANGO_ADMIN`.
//!
//! Noticed with Django 5.2 and Django REST framework 3.18:
//! - A limit above `max_limit`, and a page size above `max_page_size`, are cut without a word.
//! - An offset behind the last row gives 200 and no rows; a page number behind the last page gives 404
//!   (`{"detail": "Invalid page."}`), even when it would be the next one.
//! - Next links are absolute, with the host that was asked for. The last one is `null`.
//! - A cursor says "so many rows behind this value of the first field of the order", so rows with equal values do not
//!   trouble it, up to 1,000 of them (`offset_cutoff`). It is base64, with its `=` percent-encoded in the link.
//! - The throttle counts the requests of the last second by client, over all views of a scope, and does not count
//!   those that it refuses. `Retry-After` is in whole seconds, rounded up.
//! - Without Django's `CommonMiddleware`, as here, answers have no `Content-Length`: the closed connection ends them.

mod support;

use std::process::Command;

use futures::{StreamExt, TryStreamExt};
use headwater::exchange::{Rule, Verdict, When};
use headwater::paginate::End;
use headwater::prelude::*;
use headwater::sink::Jsonl;
use headwater::{Report, SourceBuilder};
use support::server::{Server, python};
use support::{dropped, files, ids_in, server_program};

const ORDERS: u64 = 1_234;

/// Starts the shop; `None` if the framework is not installed.
async fn shop() -> Option<Server> {
    let django = server_program("django-admin", "HEADWATER_DJANGO_ADMIN", "pip install djangorestframework")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drf/server.py");
    let server = Server::start(|port, dir| {
        let mut command = Command::new(python(&django));
        command.arg(script).arg(port.to_string()).arg(dir);
        command
    });
    Some(server.await)
}

/// How many answers of a status there were.
async fn answers(shop: &Server, status: u16) -> u64 {
    shop.get("/answers/").await[status.to_string()].as_u64().unwrap_or(0)
}

fn source(shop: &Server, name: &str, path: &str) -> SourceBuilder {
    Source::get(name, shop.url(path)).records("results")
}

/// Every order is in the one file of each source, once, in order, and as the server has it.
fn assert_complete(report: &Report, out: &std::path::Path) {
    for source in &report.sources {
        let name = &source.source;
        let files = files(out, name);
        assert_eq!(files.len(), 1, "{name}: {files:?}");
        let ids = ids_in(&files[0]);
        assert!(
            ids.iter().map(String::as_str).eq(numbers().iter().map(String::as_str)),
            "{name}: {} orders",
            ids.len()
        );
        for order in support::records(out, name) {
            assert_eq!(order["note"], format!("order \"{}\" – ½ 💧", order["id"]), "{name}");
        }
    }
}

fn numbers() -> Vec<String> {
    (1..=ORDERS).map(|number| number.to_string()).collect()
}

/// What the framework says of a page number behind the last.
fn past_the_end() -> Rule {
    When::status(404).body("detail", "Invalid page.").means(Verdict::End)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_of_paging_gives_every_order_once() {
    let (Some(shop), out) = (shop().await, tempfile::tempdir().unwrap()) else { return };
    let sources = [
        // A thousand are asked for, and a hundred come.
        source(&shop, "offset", "/offset/").paginate(Offset::new(1_000).until_total("count")),
        source(&shop, "offset_to_the_empty_page", "/offset/").paginate(Offset::new(100)),
        source(&shop, "offset_by_link", "/offset/?limit=1000").paginate(NextUrl::body("next")),
        // A 404 behind the last page.
        source(&shop, "page", "/page/").paginate(PageNumber::new().size("size", 100)).rule(past_the_end()),
        source(&shop, "page_by_count", "/page/")
            .paginate(PageNumber::new().size("size", 100).until(End::total("count"))),
        source(&shop, "page_by_link", "/page/?size=1000").paginate(NextUrl::body("next")),
        source(&shop, "cursor", "/cursor/").paginate(NextUrl::body("next")),
        source(&shop, "token", "/tokens/")
            .records("data")
            .paginate(Cursor::body("meta.next").into_query("cursor")),
    ];
    let sources = sources.map(|source| source.build().unwrap());
    let report = Pipeline::new().sources(sources).sink(Jsonl::dir(out.path())).run().await.unwrap();
    assert_complete(&report, out.path());
    let requests = |name: &str| report.source(name).unwrap().counts.requests;
    for name in ["offset", "offset_by_link", "page_by_count", "page_by_link", "cursor", "token"] {
        assert_eq!(requests(name), 13, "{name}");
    }
    assert_eq!((requests("offset_to_the_empty_page"), requests("page")), (14, 14));
    assert_eq!((answers(&shop, 200).await, answers(&shop, 404).await), (105, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_number_behind_the_last_is_an_error_unless_a_rule_says_that_it_is_the_end() {
    let Some(shop) = shop().await else { return };
    let first = Request::get(shop.url("/page/")).unwrap();
    let pages = Pages::new(Http::new().unwrap(), first, PageNumber::new().size("size", 100));
    let mut records = Box::pin(pages.records("results"));
    let mut orders = 0;
    let error = loop {
        match records.next().await.expect("an error, and no end") {
            Ok(_) => orders += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(orders, ORDERS, "what came before it is there");
    assert_eq!(error.kind(), ErrorKind::Status, "{error}");
    assert!(error.to_string().contains("404"), "{error}");
    assert!(records.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_there_is_an_error_though_404_ends_its_pages() {
    let Some(shop) = shop().await else { return };
    let first = Request::get(shop.url("/pages/")).unwrap();
    let pages = Pages::new(Http::new().unwrap(), first, PageNumber::new())
        .rules([When::status(404).means(Verdict::End)]);
    let error = pages.records("results").try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_proposes_what_pulls_the_shop() {
    let Some(shop) = shop().await else { return };
    let link = r#"NextUrl::body("next")"#;
    for (path, records, paginator) in [
        ("/offset/?limit=100", "results", link),
        ("/page/", "results", link),
        ("/cursor/", "results", link),
        ("/tokens/", "data", r#"Cursor::body("meta.next").into_query("cursor")"#),
    ] {
        let probe = Source::probe(shop.url(path)).await.unwrap();
        assert_eq!(probe.records[0].0, records, "{probe}");
        assert_eq!(probe.dialects[0].paginator, paginator, "{probe}");
    }
}

/// All ways of paging, twice, on one limiter, under the throttle of 20 requests in any second.
fn throttled(shop: &Server, limiter: &Limiter) -> Vec<Source> {
    let of = |number: u32| {
        let source = |name: &str, path: &str| source(shop, &format!("{name}_{number}"), path);
        [
            source("offset", "/throttled/offset/").paginate(Offset::new(100).until_total("count")),
            source("page", "/throttled/page/?size=100").paginate(NextUrl::body("next")),
            source("cursor", "/throttled/cursor/").paginate(NextUrl::body("next")),
        ]
    };
    let limited = |source: SourceBuilder| source.rate_limit(limiter.clone()).build().unwrap();
    [1, 2].into_iter().flat_map(of).map(limited).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn six_sources_on_one_limiter_are_never_throttled() {
    let (Some(shop), out) = (shop().await, tempfile::tempdir().unwrap()) else { return };
    // Of the requests that the server counts in one second, 12 + 1 are let go in it, and at most 6 were on their
    // way before: however slow this machine is, that is less than its 20.
    let sources = throttled(&shop, &Limiter::per_second(12.0));
    let report = Pipeline::new().sources(sources).sink(Jsonl::dir(out.path())).run().await.unwrap();
    assert_complete(&report, out.path());
    assert_eq!((answers(&shop, 200).await, answers(&shop, 429).await), (78, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_that_nobody_declared_is_kept_once_it_has_spoken() {
    let (Some(shop), out) = (shop().await, tempfile::tempdir().unwrap()) else { return };
    let sources = throttled(&shop, &Limiter::unlimited());
    let report = Pipeline::new().sources(sources).sink(Jsonl::dir(out.path())).run().await.unwrap();
    assert_complete(&report, out.path());
    let refused = answers(&shop, 429).await;
    assert!(refused > 0, "it was throttled");
    // 20 requests, and a wait of a second for all: at most six are refused at a time.
    assert!(refused <= 4 * 6, "{refused} were refused");
    assert_eq!(answers(&shop, 200).await, 78, "no page was given twice");
    let waited = report.sources.iter().map(|source| source.counts.retries).sum::<u64>();
    assert_eq!(waited, refused, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_dropped_under_the_throttle_goes_on_with_each_order_once() {
    let (Some(shop), out) = (shop().await, tempfile::tempdir().unwrap()) else { return };
    let limiter = Limiter::unlimited();
    let pipeline = || Pipeline::new().sources(throttled(&shop, &limiter)).sink(Jsonl::dir(out.path()));
    let report = dropped::in_the_middle(40, pipeline).await;
    assert_complete(&report, out.path());
    assert!(answers(&shop, 429).await > 0, "it was throttled");
    // Committed pages are not asked for again.
    let requests =
        report.sources.iter().map(|source| source.counts.requests - source.counts.retries).sum::<u64>();
    assert!(requests < 78, "{report}");
}
