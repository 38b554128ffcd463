//! The mock API does what it says: real sockets, real time, through `Http` and `Pages`.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use headwater::auth::Bearer;
use headwater::paginate::{Cursor, LinkHeader, NextUrl, Offset, PageNumber, Paginate, Single};
use headwater::testing::{Faults, MockApi, Paging, Resource};
use headwater::{
    ErrorKind, Http, Limiter, Pages, PagesExt, RecordsExt, Request, Result, RetryPolicy, Transport,
};

#[derive(serde::Deserialize)]
struct Row {
    id: String,
}

fn quick() -> RetryPolicy {
    RetryPolicy::exponential().base(Duration::from_millis(2))
}

async fn pull(api: &MockApi, resource: &Resource, paging: impl Paginate) -> Result<Vec<String>> {
    let first = Request::get(api.url(resource.name()))?;
    let rows: Vec<Row> = Pages::new(Http::new()?, first, paging)
        .rate_limit(Limiter::unlimited())
        .retry(quick())
        .records(records_path(resource.name()))
        .parse()
        .try_collect()
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The resources of these tests are named after their dialect.
fn records_path(name: &str) -> &'static str {
    dialects()
        .into_iter()
        .find(|(other, _)| *other == name)
        .map_or("data", |(_, paging)| paging.records_path())
}

fn dialects() -> [(&'static str, Paging); 6] {
    [
        ("offset", Paging::Offset),
        ("page", Paging::Page),
        ("cursor", Paging::Cursor),
        ("token", Paging::Token),
        ("link", Paging::Link),
        ("next_url", Paging::NextUrl),
    ]
}

/// Pulls every dialect completely and compares each id, in order.
async fn every_dialect_gives_each_record_once(change: impl Fn(Resource) -> Resource) -> MockApi {
    let resources = dialects().map(|(name, paging)| change(Resource::new(name, 1234).paging(paging)));
    let mut builder = MockApi::builder();
    for resource in resources.clone() {
        builder = builder.resource(resource);
    }
    let api = builder.start().await.unwrap();
    for resource in &resources {
        let ids = match resource.name() {
            "offset" => pull(&api, resource, Offset::new(100).until_total("total")).await,
            "page" => pull(&api, resource, PageNumber::new().until_page_count("pages")).await,
            "cursor" => {
                let stripe = Cursor::last_record("id").into_query("starting_after").until_false("has_more");
                pull(&api, resource, stripe).await
            }
            "token" => pull(&api, resource, Cursor::body("next_page_token").into_query("page_token")).await,
            "link" => pull(&api, resource, LinkHeader::new()).await,
            _ => pull(&api, resource, NextUrl::body("next")).await,
        };
        let ids = ids.unwrap_or_else(|error| panic!("{}: {error}", resource.name()));
        assert!(ids.iter().cloned().eq(resource.ids()), "{}: {} ids", resource.name(), ids.len());
        assert!(api.ids(resource.name()).eq(resource.ids()));
    }
    api
}

#[tokio::test]
async fn each_dialect_gives_each_record_once_and_in_order() {
    let api = every_dialect_gives_each_record_once(|resource| resource).await;
    for (name, traffic) in api.stats().into_iter().filter(|(name, _)| !name.is_empty()) {
        assert_eq!((traffic.requests, traffic.records, traffic.cut), (13, 1234, 0), "{name}");
        assert_eq!(traffic.statuses, [(200, 13)].into(), "{name}");
    }
}

#[tokio::test]
async fn each_dialect_gives_each_record_once_through_all_faults() {
    let faults = Faults::none()
        .too_many_requests_every(11, Duration::from_millis(20))
        .unavailable_every(13)
        .cut_body_every(17);
    let change = |resource: Resource| resource.max_page_size(20).faults(faults.clone());
    let api = every_dialect_gives_each_record_once(change).await;
    for (name, traffic) in api.stats().into_iter().filter(|(name, _)| !name.is_empty()) {
        // 62 pages: 5 × 429, 4 × 503 and 3 × a cut body on the way.
        assert_eq!((traffic.requests, traffic.records, traffic.cut), (74, 1234, 3), "{name}");
        assert_eq!(traffic.statuses, [(200, 65), (429, 5), (503, 4)].into(), "{name}");
    }
}

#[tokio::test]
async fn a_clamped_size_skips_nothing() {
    let orders = Resource::new("orders", 500).max_page_size(30);
    let api = MockApi::builder().resource(orders.clone()).start().await.unwrap();
    let ids = pull(&api, &orders, Offset::new(100)).await.unwrap();
    assert!(ids.into_iter().eq(orders.ids()));
    assert_eq!(api.stats()["orders"].requests, 18, "17 pages, and the empty one");
}

#[tokio::test]
async fn above_its_rate_the_server_answers_429_and_says_when_to_come_back() {
    let orders = Resource::new("orders", 20).page_size(1);
    let api = MockApi::builder().resource(orders.clone()).rate_limit(50.0, 5).start().await.unwrap();
    let http = Http::new().unwrap();
    let request = Request::get(api.url("/orders")).unwrap();
    let mut refused = None;
    for left in (0..5).rev() {
        let response = http.send(&request).await.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.headers["x-ratelimit-limit"], "5");
        assert!(response.headers["x-ratelimit-remaining"].to_str().unwrap().parse::<u32>().unwrap() >= left);
    }
    // A slow machine may earn a token on the way.
    for _ in 0..50 {
        let response = http.send(&request).await.unwrap();
        if response.status == 429 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("five and no more at once");
    assert_eq!(refused.headers["x-ratelimit-remaining"], "0");
    let wait: f64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait > 0.0 && wait <= 0.02, "{wait}");

    let start = Instant::now();
    let ids = pull(&api, &orders, Offset::new(1).until_total("total")).await.unwrap();
    assert!(ids.into_iter().eq(orders.ids()));
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
}

#[tokio::test]
async fn without_its_token_the_server_answers_401() {
    let orders = Resource::new("orders", 10);
    let api = MockApi::builder().resource(orders.clone()).bearer("s3cret-token").start().await.unwrap();
    let pages = |token: Option<&str>| {
        let pages = Pages::new(Http::new().unwrap(), Request::get(api.url("orders")).unwrap(), Single);
        match token {
            Some(token) => pages.auth(Bearer::new(token).unwrap()),
            None => pages,
        }
    };
    for token in [None, Some("another-token")] {
        let error = pages(token).next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
    }
    assert!(pages(Some("s3cret-token")).next().await.unwrap().is_ok());
    assert_eq!(api.stats()["orders"].statuses, [(200, 1), (401, 2)].into());
    assert!(!format!("{api:?}").contains("s3cret-token"));
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_in_json() {
    let orders = Resource::new("orders", 10).paging(Paging::Cursor);
    let api = MockApi::builder().resource(orders).start().await.unwrap();
    let http = Http::new().unwrap();
    let get = |path: &str| Request::get(api.url(path)).unwrap();
    for (request, status) in [
        (get("/elsewhere"), 404),
        (get("/orders/ord_00000001"), 404),
        (Request::post(api.url("/orders")).unwrap().json(serde_json::json!({})), 405),
        (get("/orders?limit=many"), 400),
        (get("/orders?starting_after=ord_00000011"), 400),
    ] {
        let response = http.send(&request).await.unwrap();
        assert_eq!(response.status, status, "{request:?}");
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert!(body["error"]["message"].is_string(), "{body}");
    }
    assert_eq!(api.stats()[""].statuses, [(404, 2)].into());
}

#[tokio::test]
async fn a_cut_body_is_an_interruption() {
    let faults = Faults::none().cut_body_every(1);
    let api = MockApi::builder().resource(Resource::new("orders", 100).faults(faults)).start().await.unwrap();
    let http = Http::new().unwrap();
    let request = Request::get(api.url("/orders")).unwrap();
    let error = http.send(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(error.is_transient());
    assert_eq!(http.send(&request).await.unwrap().status, 200, "the next one is whole");
}

#[tokio::test]
async fn every_answer_waits_for_the_latency() {
    let latency = Duration::from_millis(30);
    let api = MockApi::builder().resource(Resource::new("orders", 1)).latency(latency).start().await.unwrap();
    let start = Instant::now();
    pull(&api, &Resource::new("orders", 1), Single).await.unwrap();
    assert!(start.elapsed() >= latency);
}

#[tokio::test]
async fn a_server_that_stopped_can_come_back_at_its_port() {
    let build = || MockApi::builder().resource(Resource::new("orders", 1));
    let api = build().start().await.unwrap();
    let (url, port) = (api.url("/orders"), api.base_url().rsplit(':').next().unwrap().parse().unwrap());
    api.stop().await;
    let http = Http::new().unwrap();
    let request = Request::get(&url).unwrap();
    assert_eq!(http.send(&request).await.unwrap_err().kind(), ErrorKind::Connect);
    let api = build().port(port).start().await.unwrap();
    assert_eq!(http.send(&request).await.unwrap().status, 200);
    drop(api);
    // The task ends at the next turn of the runtime; a connection that is still being closed is no answer.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(http.send(&request).await.is_err());
}

#[tokio::test]
async fn names_must_be_plain_and_each_its_own() {
    for names in [["orders", "orders"], ["a/b", "c"], ["", "c"]] {
        let builder = names.map(|name| Resource::new(name, 1)).into_iter();
        let builder =
            builder.fold(MockApi::builder(), headwater::testing::mock_api::MockApiBuilder::resource);
        assert_eq!(builder.start().await.unwrap_err().kind(), std::io::ErrorKind::InvalidInput, "{names:?}");
    }
}
