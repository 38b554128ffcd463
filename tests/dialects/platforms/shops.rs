//! Shopify.

use std::sync::{Arc, Mutex};

use headwater::Source;
use headwater::hints::{At, Signal};
use headwater::paginate::{Cursor, LinkHeader};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::row::{RECORDS, Row, Way};
use super::server::{Limit, answer, encoded, made, ok, page, place, require, serve, slice, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![shopify_rest(), shopify_graphql()]
}

fn product(number: u64) -> Value {
    json!({ "n": number, "id": 900_000 + number, "created_at": made(number) })
}

/// `Link: rel="next"` holds a `page_info` that allows nothing beside it but `limit` and `fields`: the filters of the
/// first page must be dropped. A leaky bucket, as `X-Shopify-Shop-Api-Call-Limit: 32/40`; a 429 says `Retry-After: 2.0`
/// (shopify.dev, "Paginate results with REST", "REST Admin API rate limits").
fn shopify_rest() -> Row {
    let limit = Limit::told(3, 2);
    let kept = limit.clone();
    let list = serve(move |asked| {
        asked.says("x-shopify-access-token", "shpat_token")?;
        asked.at("GET", "/admin/api/2026-01/products.json")?;
        if limit.meets(asked)?.is_some() {
            let body = json!({ "errors": "Exceeded 2 calls per second for api client." });
            return Ok(answer(429, body)
                .header("x-shopify-shop-api-call-limit", "40/40")
                .header("retry-after", "2.0"));
        }
        let at = match asked.query("page_info") {
            Some(info) => {
                asked.only(&["limit", "fields", "page_info"])?;
                place(info)?
            }
            None => {
                asked.asks("status", "active")?;
                0
            }
        };
        let size = asked.number("limit", 50)?;
        require(size <= 250, "limit must be 250 at most")?;
        let reply = answer(200, json!({ "products": page(at, size, product) }))
            .header("x-shopify-shop-api-call-limit", "32/40");
        let link = |at: u64, rel: &str| {
            let info = encoded(&token(at));
            let url = "https://your-shop.myshopify.com/admin/api/2026-01/products.json";
            format!("<{url}?limit={size}&page_info={info}>; rel=\"{rel}\"")
        };
        let end = slice(at, size).end;
        let previous = (at > 0).then(|| link(at.saturating_sub(size), "previous"));
        let next = (end < RECORDS).then(|| link(end, "next"));
        let links: Vec<String> = previous.into_iter().chain(next).collect();
        Ok(if links.is_empty() { reply } else { reply.header("link", &links.join(", ")) })
    });
    let source = Source::get("products", "https://your-shop.myshopify.com/admin/api/2026-01/products.json")
        .api_key_header("X-Shopify-Access-Token", "shpat_token")
        .query("status", "active")
        .query("limit", "250")
        .records("products")
        .paginate(LinkHeader::new());
    Row::new("Shopify REST", [Way::new("N", list, source).checked(move || kept.kept())])
}

/// A bucket of points that fills again.
struct Bucket {
    available: f64,
    at: Instant,
    /// A query that was refused may come again when there is enough for it.
    refused: bool,
}

const MOST: f64 = 2000.0;
const RESTORED: f64 = 100.0;

impl Bucket {
    fn refill(&mut self) {
        let now = Instant::now();
        self.available = (self.available + RESTORED * (now - self.at).as_secs_f64()).min(MOST);
        self.at = now;
    }
}

/// The cursor is a variable of the query. A throttled query is a 200 with `errors[].extensions.code` = `THROTTLED`; how
/// long to wait is (cost - available) / restoreRate, from `extensions.cost` (shopify.dev, "GraphQL Admin API rate
/// limits"; 250 a connection at most).
fn shopify_graphql() -> Row {
    let queries = Mutex::new(0);
    let bucket = Arc::new(Mutex::new(Bucket { available: MOST, at: Instant::now(), refused: false }));
    let early = Arc::new(Mutex::new(0));
    let noted = early.clone();
    let admin = serve(move |asked| {
        asked.says("x-shopify-access-token", "shpat_token")?;
        asked.at("POST", "/admin/api/2026-01/graphql.json")?;
        asked.says("content-type", "application/json")?;
        let query = asked.body("/query").as_str().unwrap_or_default();
        require(query.contains("products(first: $first, after: $after)"), "no such query")?;
        let first = asked.body("/variables/first").as_u64().unwrap_or(0);
        require((1..=250).contains(&first), "first must be between 1 and 250")?;
        let cost = first as f64 + 2.0;
        let mut bucket = bucket.lock().expect("no request panics");
        let mut queries = queries.lock().expect("no request panics");
        *queries += 1;
        bucket.refill();
        if *queries == 3 {
            // Another app of the shop has used up what was left.
            bucket.available = 0.0;
        }
        let status = |available: f64| json!({ "maximumAvailable": MOST, "currentlyAvailable": available, "restoreRate": RESTORED });
        if bucket.available < cost {
            if bucket.refused {
                *early.lock().expect("no request panics") += 1;
            }
            bucket.refused = true;
            return ok(json!({
                "errors": [{ "message": "Throttled", "extensions": { "code": "THROTTLED" } }],
                "extensions": { "cost": {
                    "requestedQueryCost": cost, "actualQueryCost": null, "throttleStatus": status(bucket.available),
                } },
            }));
        }
        bucket.refused = false;
        bucket.available -= cost;
        let at = asked.body("/variables/after").as_str().map_or(Ok(0), place)?;
        let end = slice(at, first).end;
        let cursor = if end > at { json!(token(end)) } else { Value::Null };
        ok(json!({
            "data": { "products": {
                "nodes": page(at, first, product),
                "pageInfo": { "hasNextPage": end < RECORDS, "endCursor": cursor },
            } },
            "extensions": { "cost": {
                "requestedQueryCost": cost, "actualQueryCost": cost, "throttleStatus": status(bucket.available),
            } },
        }))
    });
    let query = "query($first: Int!, $after: String) { products(first: $first, after: $after) {
        nodes { id createdAt } pageInfo { hasNextPage endCursor } } }";
    let cost = |path: &str| At::body(format!("extensions.cost.{path}"));
    let source =
        Source::graphql("products", "https://your-shop.myshopify.com/admin/api/2026-01/graphql.json", query)
            .variable("first", 250)
            .api_key_header("X-Shopify-Access-Token", "shpat_token")
            .records("data.products.nodes")
            .paginate(
                Cursor::body("data.products.pageInfo.endCursor")
                    .into_body("variables.after")
                    .until_false("data.products.pageInfo.hasNextPage"),
            )
            .signal(Signal::points(
                cost("requestedQueryCost"),
                cost("throttleStatus.currentlyAvailable"),
                cost("throttleStatus.restoreRate"),
            ));
    let check = move || match *noted.lock().expect("no request panics") {
        0 => Ok(()),
        early => Err(format!("{early} queries came before there were enough points")),
    };
    Row::new("Shopify GraphQL", [Way::new("C", admin, source).checked(check)])
}
