//! Elasticsearch in its three ways, Algolia.

use headwater::page::Select;
use headwater::pages::{Fanout, Window};
use headwater::paginate::{Cursor, End, FollowUp, Offset, Single};
use headwater::request::Target;
use headwater::testing::Reply;
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};
use std::sync::Mutex;

use super::row::{RECORDS, Row, Way};
use super::server::{Limit, ok, page, place, refuse, serve, serve_once, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![search_after(), from_size(), scroll(), algolia()]
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
    let limit = Limit::untold(2, 0);
    let hit = limit.clone();
    let server = serve(move |asked| {
        asked.at("POST", "/1/indexes/products/browse")?;
        asked.credentials("x-algolia-application-id", "APPID")?;
        asked.credentials("x-algolia-api-key", "algoliaKey")?;
        limit.pass(asked, |_| Reply::status(429).body(r#"{"message":"Too Many Requests","status":429}"#))?;
        let size = match asked.body("/hitsPerPage").as_u64().unwrap_or(1000) {
            size @ 1..=1000 => size,
            _ => return Err(refuse(400, "hitsPerPage must be at most 1000")),
        };
        if asked.body("/filters") != "brand:acme" {
            return Err(refuse(400, "the cursor belongs to another query"));
        }
        let start = match asked.body("/cursor") {
            Value::String(cursor) => place(cursor)?,
            _ => 0,
        };
        let hits = page(start, size, |n| json!({"objectID": n.to_string()}));
        let mut body = json!({"hits": hits, "nbHits": RECORDS, "page": start / size, "hitsPerPage": size});
        if start + size < RECORDS {
            body["cursor"] = token(start + size).into();
        }
        ok(body)
    });
    let source = Source::post("products", "https://APPID-dsn.algolia.net/1/indexes/products/browse")
        .json(json!({"hitsPerPage": 400, "filters": "brand:acme"}))
        .repeatable()
        .api_key_header("x-algolia-api-key", "algoliaKey")
        .header("x-algolia-application-id", "APPID")
        .records("hits")
        .paginate(Cursor::body("cursor").into_body("cursor").missing_ends());
    Row::new("Algolia browse", [Way::new("C", server, source).number("objectID").checked(move || hit.kept())])
}

/// Elasticsearch, scroll (the same page): the next page is asked of another path, with `scroll` and `scroll_id` only. The id
/// is mostly the same again and again. The server keeps the place, so a page is gone once it was given: where its answer is
/// lost, the list is read anew.
fn scroll() -> Row {
    let limit = Limit::untold(3, 0);
    let hit = limit.clone();
    let place = Mutex::new(0_u64);
    let server = serve_once(move |asked| {
        asked.authorized("ApiKey VnVhQ2Z")?;
        limit.pass(asked, |_| too_many())?;
        let mut place = place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match asked.path() {
            "/logs/_search" => {
                asked.asks("scroll", "1m")?;
                if *asked.body("") != json!({"size": 200, "query": {"match_all": {}}}) {
                    return Err(refuse(400, "the body is another one"));
                }
                *place = 0;
            }
            "/_search/scroll" => {
                asked.only(&[])?;
                if *asked.body("") != json!({"scroll": "1m", "scroll_id": "DXF1ZXJ5=="}) {
                    return Err(refuse(400, "unknown field in the body"));
                }
            }
            path => return Err(refuse(404, path)),
        }
        let found: Vec<u64> = (*place..RECORDS).collect();
        *place = (*place + 200).min(RECORDS);
        // Whoever asked for it again would miss a page.
        if asked.nth == 5 {
            return Err(refuse(502, "the answer is lost"));
        }
        ok(json!({"_scroll_id": "DXF1ZXJ5==", "hits": hits(&found, 200, false)}))
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
        .scrolls()
        .restart_on_expiry();
    Row::new(
        "Elasticsearch scroll",
        [Way::new("C", server, source).number("_source.n").in_a_run().checked(move || hit.kept())],
    )
}

/// Elasticsearch, "Paginate search results" (elastic.co/docs/reference/elasticsearch/rest-apis/paginate-search-results):
/// `from` and `size` (10) in the body; beyond `index.max_result_window`, 10,000, a 400. Then a range on a key, halved where
/// it has more. What some shards did not give in time is left out, with `timed_out` and status 200, unless
/// `allow_partial_search_results=false` makes it an error ("Search API").
fn from_size() -> Row {
    let search = |window: u64, limit: Limit| {
        serve(move |asked| {
            asked.at("POST", "/logs/_search")?;
            asked.authorized("ApiKey VnVhQ2Z")?;
            limit.pass(asked, |_| too_many())?;
            if *asked.body("/sort") != json!([{"at": "asc"}])
                || *asked.body("/track_total_hits") != json!(true)
            {
                return Err(refuse(400, "the rest of the body is gone"));
            }
            let number = |pointer: &str, default: u64| match asked.body(pointer) {
                Value::Null => Ok(default),
                value => value.as_u64().ok_or_else(|| refuse(400, format!("{pointer} is {value}"))),
            };
            let (from, size) = (number("/from", 0)?, number("/size", 10)?);
            if from + size > window {
                let reason = format!(
                    "Result window is too large, from + size must be less than or equal to: [{window}] but was [{}]",
                    from + size
                );
                return Err(refuse(400, reason));
            }
            let (start, end) = (number("/query/range/at/gte", 0)?, number("/query/range/at/lt", u64::MAX)?);
            let found: Vec<u64> = (0..RECORDS).filter(|n| (start..end).contains(&(1000 * n))).collect();
            let timed_out = asked.nth == 4;
            if timed_out && asked.query("allow_partial_search_results") == Some("false") {
                return Err(refuse(503, "search_phase_execution_exception"));
            }
            let there: Vec<u64> = found.iter().skip(from as usize).take(size as usize).copied().collect();
            let shown: Vec<u64> = there.into_iter().filter(|n| !timed_out || n % 2 == 0).collect();
            let mut answer = hits(&shown, size, false);
            answer["total"]["value"] = found.len().into();
            ok(json!({"took": 3, "timed_out": timed_out, "hits": answer}))
        })
    };
    let url = "https://es.example.com:9200/logs/_search?allow_partial_search_results=false";
    let offset = |size: u64| {
        let offset = Offset::new(size).offset_into(Target::body("from")).limit_into(Target::body("size"));
        offset.until_total("hits.total.value")
    };
    let limit = Limit::untold(3, 0);
    let hit = limit.clone();
    let all = post("logs", url, json!({"sort": [{"at": "asc"}], "track_total_hits": true}))
        .repeatable()
        .records("hits.hits")
        .paginate(offset(500));
    // The vendor's window ends at 10,000; with 1,234 records, this one ends at 1,000.
    let range = json!({"range": {"at": {"gte": "{start}", "lt": "{end}"}}});
    let windowed =
        post("logs", url, json!({"query": range, "sort": [{"at": "asc"}], "track_total_hits": true}))
            .repeatable()
            .records("hits.hits")
            .paginate(offset(500))
            .window(Window::ids(0..2_000_000).ceiling(1000).total_at("hits.total.value"));
    Row::new(
        "Elasticsearch from/size",
        [
            Way::new("O", search(10_000, limit), all)
                .named("from, size")
                .number("_source.n")
                .checked(move || hit.kept()),
            Way::new("W,O", search(1000, Limit::untold(4, 0)), windowed).named("range").number("_source.n"),
        ],
    )
}

/// Elasticsearch, `search_after` with a point in time (the same page): the last hit's `sort`, an array, and the `pit_id` of
/// the answer, which may change: only the newest is good. The search has no index in its path. The end is a page without
/// hits. The point in time is opened with a POST of its own, and dies by itself after `keep_alive`.
fn search_after() -> Row {
    let server = |limit: Limit| {
        let newest = Mutex::new(0_u64);
        serve(move |asked| {
            asked.authorized("ApiKey VnVhQ2Z")?;
            if asked.path() == "/logs/_pit" {
                asked.asks("keep_alive", "1m")?;
                asked.at("POST", "/logs/_pit")?;
                return ok(json!({"id": "pit==0"}));
            }
            asked.at("POST", "/_search")?;
            limit.pass(asked, |_| too_many())?;
            if asked.body("/pit/keep_alive") != "1m"
                || *asked.body("/sort") != json!([{"at": "asc"}, {"_shard_doc": "asc"}])
            {
                return Err(refuse(400, "the rest of the body is gone"));
            }
            let mut newest = newest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if asked.body("/pit/id") != format!("pit=={newest}").as_str() {
                return Err(refuse(404, "search_context_missing_exception"));
            }
            let start = match asked.body("/search_after") {
                Value::Null => 0,
                after => {
                    let n =
                        after[1].as_u64().ok_or_else(|| refuse(400, "search_after has the wrong length"))?;
                    if *after != json!([1000 * (n / 3), n]) {
                        return Err(refuse(400, "search_after must be the whole sort"));
                    }
                    n + 1
                }
            };
            let size = asked.body("/size").as_u64().unwrap_or(10).min(10_000);
            // It changes now and then.
            *newest += asked.nth % 2;
            let found: Vec<u64> = (start..RECORDS).collect();
            ok(json!({"pit_id": format!("pit=={newest}"), "hits": hits(&found, size, true)}))
        })
    };
    let body = |pit: &str| json!({"size": 300, "pit": {"id": pit, "keep_alive": "1m"}, "sort": [{"at": "asc"}, {"_shard_doc": "asc"}], "track_total_hits": false});
    let source = |pit: &str| {
        post("logs", "https://es.example.com:9200/_search", body(pit))
            .repeatable()
            .records("hits.hits")
            .paginate(
                Cursor::last_record("sort")
                    .into_body("search_after")
                    .and(Cursor::body("pit_id").into_body("pit.id")),
            )
    };
    let opening = server(Limit::untold(4, 0));
    let open = Source::post("pit", "https://es.example.com:9200/logs/_pit?keep_alive=1m")
        .api_key_header("authorization", "ApiKey VnVhQ2Z")
        .records(Select::object(""))
        .paginate(Single)
        .transport(opening.clone());
    let limit = Limit::untold(2, 0);
    let hit = limit.clone();
    let opened = source("{pit}").fanout(Fanout::over(open).bind("pit", "id"));
    Row::new(
        "Elasticsearch search_after + PIT",
        [
            Way::new("K", server(limit), source("pit==0"))
                .named("a PIT")
                .number("_source.n")
                .checked(move || hit.kept()),
            Way::new("F,K", opening, opened).named("opened first").number("_source.n"),
        ],
    )
}
