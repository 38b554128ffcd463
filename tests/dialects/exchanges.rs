//! Markets and banks.

use headwater::paginate::NextUrl;
use headwater::testing::Reply;
use headwater::{Limiter, Source};
use serde_json::json;

use super::row::{RECORDS, Row, Way};
use super::server::{Limit, Minute, PLACES, answer, bare, demand, number_in, ok, seen, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![coinbase_app(), polygon()]
}

/// The next URL from the path on, empty at the end; a page may hold fewer than were asked for
/// (docs.cdp.coinbase.com: Coinbase App, Pagination).
fn coinbase_app() -> Row {
    let limit = Limit::told(3, 0);
    let accounts = serve(move |asked| {
        limit.pass(asked, |_| Reply::status(429).body(r#"{"errors":[{"id":"rate_limit_exceeded"}]}"#))?;
        asked.authorized("Bearer token-of-coinbase")?;
        let size = asked.number("limit", 25)?;
        demand(size <= 100, 400, "limit is at most 100")?;
        let place = asked.query("starting_after").map(|id| number_in(Some(id), "acc-")).transpose()?;
        let (numbers, end) = seen(place.map_or(0, |place| place + 1), size);
        let next = format!("/v2/accounts?limit={size}&starting_after=acc-{}", end - 1);
        let next = if end < PLACES { next } else { String::new() };
        let data = bare(numbers);
        ok(json!({"pagination": {"limit": size, "next_uri": next}, "data": data}))
    });
    let source = Source::get("accounts", "https://api.coinbase.com/v2/accounts")
        .bearer("token-of-coinbase")
        .query("limit", "100")
        .records("data")
        .paginate(NextUrl::body("pagination.next_uri"));
    Row::new("Coinbase App v2", [Way::new("N", accounts, source)])
}

/// The next URL, absolute, and without the key; absent at the end (massive.com, as Polygon is called now: "New API
/// Pagination Patterns", "What is the request limit"). The free plan has five requests a minute; one more is a 429 that does
/// not say for how long.
fn polygon() -> Row {
    let minute = Minute::default();
    let tickers = serve(move |asked| {
        demand(asked.query("apiKey") == Some("key-of-polygon-0123"), 401, "API Key was not provided")?;
        minute
            .allow(5, || answer(429, json!({"status": "ERROR", "error": "exceeded the maximum requests"})))?;
        let size = asked.number("limit", 100)?;
        demand(size <= 1000, 400, "limit is at most 1000")?;
        let range = slice(number_in(asked.query("cursor"), "YWN0")?, size);
        let mut body =
            json!({"status": "OK", "count": range.end - range.start, "results": bare(range.clone())});
        if range.end < RECORDS {
            let cursor = range.end;
            body["next_url"] = json!(format!(
                "https://api.polygon.io/v3/reference/tickers?cursor=YWN0{cursor}&limit={size}"
            ));
        }
        ok(body)
    });
    let source = Source::get("tickers", "https://api.polygon.io/v3/reference/tickers")
        .api_key_query("apiKey", "key-of-polygon-0123")
        .query("limit", "100")
        .records("results")
        .paginate(NextUrl::body("next_url").missing_ends())
        .rate_limit(Limiter::per_minute(5.0));
    Row::new("Polygon", [Way::new("N", tickers, source)])
}
