//! Elasticsearch in its three ways, Algolia.

use headwater::paginate::{Cursor, End, FollowUp};
use headwater::testing::Reply;
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};
use std::sync::Mutex;

use super::asked::{Limit, list, page, refuse, seal, serve, slice, unseal};
use super::row::{RECORDS, Row, Way};

pub(crate) fn rows() -> Vec<Row> {
    vec![scroll(), algolia()]
}

fn too_many() -> Reply {
    let error = json!({"type": "es_rejected_execution_exception", "reason": "rejected execution of coordinating operation"});
    Reply::status(429).body(json!({"error": error, "status": 429}).to_string())
}

fn post(name: &str, url: &str, body: Value) -> SourceBuilder {
    Source::post(name, url).json(body).api_key_header("authorization", "ApiKey VnVhQ2Z")
}

fn hits(found: &[u64], size: u64, sort: bool) -> Value {
    let shown = found.iter().take(size as usize).map(|n| {
        let mut hit = json!({"_index": "logs", "_id": format!("d{n}"), "_source": {"n": n, "at": 1000 * n}});
        if sort {
            hit["sort"] = json!([1000 * (n / 3), n]);
        }
        hit
    });
    json!({"total": {"value": found.len(), "relation": "eq"}, "hits": shown.collect::<Vec<_>>()})
}

/// Algolia, "Browse for records" (algolia.com/doc/rest-api/search/browse): `cursor` in the body, absent at the end; 1,000 at
/// most. It may be longer than a URL. A search gives 1,000 records and no more, browse all of them.
fn algolia() -> Row {
    let limit = Limit::untold(2, 1);
    let hit = limit.hit();
    let server = serve(move |asked| {
        asked.post("/1/indexes/products/browse")?;
        asked.key("x-algolia-application-id", "APPID")?;
        asked.key("x-algolia-api-key", "algoliaKey")?;
        limit.pass(asked, |_| Reply::status(429).body(r#"{"message":"Too Many Requests","status":429}"#))?;
        let size = match asked.field("/hitsPerPage").as_u64().unwrap_or(1000) {
            size @ 1..=1000 => size,
            _ => return Err(refuse(400, "hitsPerPage must be at most 1000")),
        };
        if asked.field("/filters") != "brand:acme" {
            return Err(refuse(400, "the cursor belongs to another query"));
        }
        let start = match asked.field("/cursor") {
            Value::String(cursor) => unseal("AkRr", &cursor)?,
            _ => 0,
        };
        let hits = list(slice(start, size), |n| json!({"objectID": n.to_string()}));
        let mut body = json!({"hits": hits, "nbHits": RECORDS, "page": start / size, "hitsPerPage": size});
        if start + size < RECORDS {
            body["cursor"] = seal("AkRr", start + size).into();
        }
        Ok(page(body))
    });
    let source = Source::post("products", "https://APPID-dsn.algolia.net/1/indexes/products/browse")
        .json(json!({"hitsPerPage": 400, "filters": "brand:acme"}))
        .repeatable()
        .api_key_header("x-algolia-api-key", "algoliaKey")
        .header("x-algolia-application-id", "APPID")
        .records("hits")
        .paginate(Cursor::body("cursor").into_body("cursor").missing_ends());
    Row::new("Algolia browse", [Way::new("C", server, source).number("objectID").checked(hit)])
}

/// Elasticsearch, scroll (the same page): the next page is asked of another path, with `scroll` and `scroll_id` only. The id
/// is mostly the same again and again. The server keeps the place, so a page is gone once it was given: it must not be
/// asked for twice.
fn scroll() -> Row {
    let limit = Limit::untold(3, 1);
    let hit = limit.hit();
    let place = Mutex::new(0_u64);
    let server = serve(move |asked| {
        asked.key("authorization", "ApiKey VnVhQ2Z")?;
        limit.pass(asked, |_| too_many())?;
        let mut place = place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match asked.path() {
            "/logs/_search" => {
                asked.wants("scroll", "1m")?;
                if asked.body() != json!({"size": 200, "query": {"match_all": {}}}) {
                    return Err(refuse(400, "the body is another one"));
                }
                *place = 0;
            }
            "/_search/scroll" => {
                asked.only(&[])?;
                if asked.body() != json!({"scroll": "1m", "scroll_id": "DXF1ZXJ5=="}) {
                    return Err(refuse(400, "unknown field in the body"));
                }
            }
            path => return Err(refuse(404, path)),
        }
        let found: Vec<u64> = (*place..RECORDS).collect();
        *place = (*place + 200).min(RECORDS);
        Ok(page(json!({"_scroll_id": "DXF1ZXJ5==", "hits": hits(&found, 200, false)})))
    });
    let body = json!({"size": 200, "query": {"match_all": {}}});
    let source = post("logs", "https://es.example.com:9200/logs/_search?scroll=1m", body)
        .records("hits.hits")
        .paginate(
            Cursor::body("_scroll_id")
                .into_body("scroll_id")
                .follow(FollowUp::at("/_search/scroll").only().json(json!({"scroll": "1m"})))
                .until(End::empty_page()),
        )
        .allow_repeats();
    Row::new("Elasticsearch scroll", [Way::new("C", server, source).number("_source.n").checked(hit)])
}
