//! Elasticsearch in its three ways, Algolia.

use headwater::paginate::Cursor;
use headwater::testing::Reply;
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};

use super::asked::{Limit, list, page, refuse, seal, serve, slice, unseal};
use super::row::{RECORDS, Row, Way};

pub(crate) fn rows() -> Vec<Row> {
    vec![algolia()]
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
