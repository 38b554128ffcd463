//! Stores of documents that speak HTTP.

use std::sync::atomic::{AtomicBool, Ordering};

use headwater::incremental::Incremental;
use headwater::paginate::{Cursor, Delta, End, FollowUp, NextUrl, Offset, PageNumber};
use headwater::testing::Reply;
use headwater::{Request, Source};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{
    Answered, Limit, credentials, cut, demand, json_reply, number, param, refusal, rows, server, token,
};

pub(crate) fn rows_of_stores() -> Vec<Row> {
    vec![couchdb(), kinto(), directus()]
}

/// The last row's key as JSON, from which on the next page begins, so that one row is skipped; `last_seq`, which is there
/// also where there is nothing; a bookmark in the body (docs.couchdb.org: Pagination Recipe, `/db/_changes`, `/db/_find`).
fn couchdb() -> Row {
    let ask = |name: &str, path: &str| {
        Source::get(name, format!("https://couch.example.com/library/{path}")).basic("reader", "secret")
    };
    let key = Cursor::last_record("key").json_encoded().into_query("startkey");
    let by_key = ask("documents", "_all_docs")
        .query("limit", "100")
        .records("rows")
        .paginate(key.follow(FollowUp::here().query("skip", "1")));
    let last = || Cursor::body("last_seq").into_query("since");
    let since = || Delta::new(last().until(End::empty_page()), last());
    // Three hundred changes that were there before; when they have been read, all others happen.
    let is_later = AtomicBool::new(false);
    let later = server(move |request, _| {
        let most = if is_later.load(Ordering::SeqCst) { u64::MAX } else { 300 };
        let reply = changes(request, 300, most)?;
        if param(request, "since").as_deref() == Some("300-g1AAAAB") {
            is_later.store(true, Ordering::SeqCst);
        }
        Ok(reply)
    });
    let feed = || ask("changes", "_changes").query("limit", "100").records("results").paginate(since());
    let find = Request::post("https://couch.example.com/library/_find").expect("a URL");
    let found = Source::request("found", find.json(json!({"selector": {}, "limit": 100})).repeatable())
        .basic("reader", "secret")
        .records("docs")
        .paginate(Cursor::body("bookmark").into_body("bookmark").until(End::empty_page()));
    Row::new(
        "CouchDB / PouchDB",
        [
            Way::new("K", server(|request, _| all_docs(request)), by_key)
                .number("value.n")
                .named("_all_docs"),
            Way::new("C", server(|request, _| changes(request, 0, u64::MAX)), feed()).named("_changes"),
            Way::new("C", later, feed()).again(feed()).named("_changes, the next run"),
            Way::new("C", server(|request, _| documents(request)), found).named("_find"),
        ],
    )
}

const READER: &str = "Basic cmVhZGVyOnNlY3JldA==";

/// `_all_docs`: rows in the order of their keys, from `startkey` on, which is JSON and is itself among them.
fn all_docs(request: &Request) -> Answered {
    credentials(request, "authorization", READER)?;
    let key = param(request, "startkey").map(|key| serde_json::from_str::<String>(&key));
    let key = key.transpose().map_err(|_| refusal(400, "bad_request: invalid UTF-8 JSON"))?;
    let first = token(key, "doc-")? + number(request, "skip", 0)?;
    let range = cut(first, number(request, "limit", u64::MAX)?);
    let rows: Vec<_> = range
        .map(|n| json!({"id": format!("doc-{n:04}"), "key": format!("doc-{n:04}"), "value": {"rev": "1-x", "n": n}}))
        .collect();
    Ok(json_reply(200, &json!({"total_rows": RECORDS, "offset": first, "rows": rows})))
}

/// `_changes`: what came behind `since`; the last sequence is there also when nothing came. So many of them are `old`, and
/// so many are there at `most`.
fn changes(request: &Request, old: u64, most: u64) -> Answered {
    credentials(request, "authorization", READER)?;
    let since = param(request, "since").filter(|since| since != "0");
    let first = since.map(|since| token(Some(since.replace("-g1AAAAB", "")), "")).transpose()?.unwrap_or(0);
    let all = (RECORDS + old).min(most);
    let range = first.min(all)..first.saturating_add(number(request, "limit", u64::MAX)?).min(all);
    let sequence = |place: u64| format!("{place}-g1AAAAB");
    // An old one has a number that none of the records has.
    let change = |place: u64| {
        let n = place.checked_sub(old).unwrap_or(place + 2 * RECORDS);
        json!({"seq": sequence(place + 1), "id": format!("doc-{place:04}"), "n": n})
    };
    let results: Vec<_> = range.clone().map(change).collect();
    let body = json!({"results": results, "last_seq": sequence(range.end), "pending": all - range.end});
    Ok(json_reply(200, &body))
}

/// `_find`: a bookmark also on the last page, and `nil` where there was nothing.
fn documents(request: &Request) -> Answered {
    credentials(request, "authorization", READER)?;
    let body = request.body().unwrap_or(&Value::Null);
    demand(body["selector"].is_object(), 400, "missing_required_key: selector")?;
    let first = token(body["bookmark"].as_str().map(str::to_owned), "g1AAAAC")?;
    let range = cut(first, body["limit"].as_u64().unwrap_or(25));
    let bookmark = if range.is_empty() { "nil".to_owned() } else { format!("g1AAAAC{}", range.end) };
    Ok(json_reply(200, &json!({"docs": rows(range), "bookmark": bookmark})))
}

/// `Next-Page`, a header with a URL, absent at the end. `Backoff` on a success asks for a pause, a 503 has `Retry-After`
/// (docs.kinto-storage.org: API 1.x, Pagination; Backoff indicators; Filtering, `_since`).
fn kinto() -> Row {
    let limits = [Limit::at(6, 30), Limit::at(3, 10)];
    let source = || {
        Source::get("certificates", url_of_kinto())
            .query("_sort", "last_modified")
            .query("_limit", "100")
            .records("data")
            .paginate(NextUrl::header("Next-Page").missing_ends())
    };
    let growing = || {
        let by_time = Incremental::by("last_modified").integer().exclusive();
        source().query("_since", "{since}").incremental(by_time)
    };
    // The first run is given one that was there before.
    let later = server(|request, nth| {
        if nth == 1 {
            let old = json!([{"id": "old", "last_modified": 1000, "n": 2 * RECORDS}]);
            return Ok(json_reply(200, &json!({ "data": old })));
        }
        demand(param(request, "_since").as_deref() == Some("1000"), 400, "what was read is read again")?;
        certificates(request, 0, &[Limit::at(u64::MAX, 0), Limit::at(u64::MAX, 0)])
    });
    Row::new(
        "Kinto",
        [
            Way::new("N", server(move |request, nth| certificates(request, nth, &limits)), source())
                .named("all"),
            Way::new("N", later, growing()).again(growing()).named("since the last run"),
        ],
    )
}

/// Pages by an absolute URL in a header; a success may ask for a pause.
fn certificates(request: &Request, nth: u64, [busy, pause]: &[Limit; 2]) -> Answered {
    busy.refuse(nth, || Reply::status(503).header("retry-after", "30").body(r#"{"errno":201}"#))?;
    let pausing = pause.hit(nth)?;
    demand(
        param(request, "_sort").as_deref() == Some("last_modified"),
        400,
        "_sort is not that of the token",
    )?;
    let limit = number(request, "_limit", 10_000)?;
    let range = cut(token(param(request, "_token"), "eyJ")?, limit);
    let record = |n: u64| json!({"id": format!("c-{n}"), "last_modified": 1001 + n, "n": n});
    let found: Vec<_> = range.clone().map(record).collect();
    let reply = json_reply(200, &json!({ "data": found })).header("etag", "\"2234\"");
    let reply = if pausing { reply.header("backoff", "10") } else { reply };
    let since = param(request, "_since").map_or_else(String::new, |since| format!("&_since={since}"));
    let token = range.end;
    let url = format!("{}?_sort=last_modified&_limit={limit}{since}&_token=eyJ{token}", url_of_kinto());
    Ok(if range.end < RECORDS { reply.header("next-page", &url) } else { reply })
}

fn url_of_kinto() -> &'static str {
    "https://firefox.settings.services.mozilla.com/v1/buckets/blocklists/collections/certificates/records"
}

/// Page numbers or offsets, and a count if it is asked for (docs.directus.io: Query Parameters; Rate Limiting).
fn directus() -> Row {
    let source = || {
        Source::get("articles", "https://directus.example.com/items/articles")
            .bearer("token-of-directus")
            .query("meta", "filter_count")
            .records("data")
    };
    let limited = || {
        let limit = Limit::at(3, 8);
        server(move |request, nth| {
            let error = json!({"errors": [{"extensions": {"code": "REQUESTS_EXCEEDED"}}]});
            limit.refuse(nth, || json_reply(429, &error).header("retry-after", "8"))?;
            articles(request)
        })
    };
    let pages = PageNumber::new().size("limit", 500).until(End::total("meta.filter_count"));
    let offsets = Offset::new(500).until_total("meta.filter_count");
    Row::new(
        "Directus",
        [
            Way::new("G", limited(), source().paginate(pages)).named("page"),
            Way::new("O", limited(), source().paginate(offsets)).named("offset"),
        ],
    )
}

/// Pages by number or offset; whatever is asked for, -1 among them, is cut down to the largest page without a word.
fn articles(request: &Request) -> Answered {
    credentials(request, "authorization", "Bearer token-of-directus")?;
    const MOST: u64 = 100;
    let limit = match param(request, "limit").as_deref() {
        Some("-1") => MOST,
        _ => number(request, "limit", MOST)?.min(MOST),
    };
    let offset = number(request, "offset", (number(request, "page", 1)?.max(1) - 1) * limit)?;
    let mut body = json!({ "data": rows(cut(offset, limit)) });
    if param(request, "meta").as_deref() == Some("filter_count") {
        body["meta"] = json!({ "filter_count": RECORDS });
    }
    Ok(json_reply(200, &body))
}
