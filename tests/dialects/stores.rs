//! Stores of documents that speak HTTP.

use std::sync::atomic::{AtomicBool, Ordering};

use headwater::incremental::Incremental;
use headwater::paginate::{Cursor, Delta, End, FollowUp, NextUrl, Offset, PageNumber};
use headwater::testing::Reply;
use headwater::{Request, Source};
use serde_json::json;

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, Served, answer, bare, demand, number_in, ok, refuse, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
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
    let later = serve(move |asked| {
        let most = if is_later.load(Ordering::SeqCst) { u64::MAX } else { 300 };
        let reply = changes(asked, 300, most)?;
        if asked.query("since") == Some("300-g1AAAAB") {
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
            Way::new("K", serve(all_docs), by_key).number("value.n").named("_all_docs"),
            Way::new("C", serve(|asked| changes(asked, 0, u64::MAX)), feed()).named("_changes"),
            Way::new("C", later, feed()).again(feed()).named("_changes, the next run"),
            Way::new("C", serve(documents), found).named("_find"),
        ],
    )
}

const READER: &str = "Basic cmVhZGVyOnNlY3JldA==";

/// `_all_docs`: rows in the order of their keys, from `startkey` on, which is JSON and is itself among them.
fn all_docs(asked: &Asked<'_>) -> Served {
    asked.authorized(READER)?;
    let key = asked.query("startkey").map(serde_json::from_str::<String>);
    let key = key.transpose().map_err(|_| refuse(400, "bad_request: invalid UTF-8 JSON"))?;
    let first = number_in(key.as_deref(), "doc-")? + asked.number("skip", 0)?;
    let range = slice(first, asked.number("limit", u64::MAX)?);
    let rows: Vec<_> = range
        .map(|n| json!({"id": format!("doc-{n:04}"), "key": format!("doc-{n:04}"), "value": {"rev": "1-x", "n": n}}))
        .collect();
    ok(json!({"total_rows": RECORDS, "offset": first, "rows": rows}))
}

/// `_changes`: what came behind `since`; the last sequence is there also when nothing came. So many of them are `old`, and
/// so many are there at `most`.
fn changes(asked: &Asked<'_>, old: u64, most: u64) -> Served {
    asked.authorized(READER)?;
    let since = asked.query("since").filter(|since| *since != "0");
    let first = number_in(since.map(|since| since.trim_end_matches("-g1AAAAB")), "")?;
    let all = (RECORDS + old).min(most);
    let range = first.min(all)..first.saturating_add(asked.number("limit", u64::MAX)?).min(all);
    let sequence = |place: u64| format!("{place}-g1AAAAB");
    // An old one has a number that none of the records has.
    let change = |place: u64| {
        let n = place.checked_sub(old).unwrap_or(place + 2 * RECORDS);
        json!({"seq": sequence(place + 1), "id": format!("doc-{place:04}"), "n": n})
    };
    let results: Vec<_> = range.clone().map(change).collect();
    let body = json!({"results": results, "last_seq": sequence(range.end), "pending": all - range.end});
    ok(body)
}

/// `_find`: a bookmark also on the last page, and `nil` where there was nothing.
fn documents(asked: &Asked<'_>) -> Served {
    asked.authorized(READER)?;
    let body = asked.body("");
    demand(body["selector"].is_object(), 400, "missing_required_key: selector")?;
    let first = number_in(body["bookmark"].as_str(), "g1AAAAC")?;
    let range = slice(first, body["limit"].as_u64().unwrap_or(25));
    let bookmark = if range.is_empty() { "nil".to_owned() } else { format!("g1AAAAC{}", range.end) };
    ok(json!({"docs": bare(range), "bookmark": bookmark}))
}

/// `Next-Page`, a header with a URL, absent at the end. `Backoff` on a success asks for a pause, a 503 has `Retry-After`
/// (docs.kinto-storage.org: API 1.x, Pagination; Backoff indicators; Filtering, `_since`).
fn kinto() -> Row {
    let limits = [Limit::told(6, 30), Limit::told(3, 10)];
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
    let later = serve(|asked| {
        if asked.nth == 1 {
            let old = json!([{"id": "old", "last_modified": 1000, "n": 2 * RECORDS}]);
            return ok(json!({ "data": old }));
        }
        demand(asked.query("_since") == Some("1000"), 400, "what was read is read again")?;
        certificates(asked, &[Limit::told(u64::MAX, 0), Limit::told(u64::MAX, 0)])
    });
    Row::new(
        "Kinto",
        [
            Way::new("N", serve(move |asked| certificates(asked, &limits)), source()).named("all"),
            Way::new("N", later, growing()).again(growing()).named("since the last run"),
        ],
    )
}

/// Pages by an absolute URL in a header; a success may ask for a pause.
fn certificates(asked: &Asked<'_>, [busy, pause]: &[Limit; 2]) -> Served {
    busy.pass(asked, |_| Reply::status(503).header("retry-after", "30").body(r#"{"errno":201}"#))?;
    let pausing = pause.meets(asked)?.is_some();
    demand(asked.query("_sort") == Some("last_modified"), 400, "_sort is not that of the token")?;
    let limit = asked.number("_limit", 10_000)?;
    let range = slice(number_in(asked.query("_token"), "eyJ")?, limit);
    let record = |n: u64| json!({"id": format!("c-{n}"), "last_modified": 1001 + n, "n": n});
    let found: Vec<_> = range.clone().map(record).collect();
    let reply = answer(200, json!({ "data": found })).header("etag", "\"2234\"");
    let reply = if pausing { reply.header("backoff", "10") } else { reply };
    let since = asked.query("_since").map_or_else(String::new, |since| format!("&_since={since}"));
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
        let limit = Limit::told(3, 8);
        serve(move |asked| {
            let error = json!({"errors": [{"extensions": {"code": "REQUESTS_EXCEEDED"}}]});
            limit.pass(asked, |_| answer(429, error).header("retry-after", "8"))?;
            articles(asked)
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
fn articles(asked: &Asked<'_>) -> Served {
    asked.authorized("Bearer token-of-directus")?;
    const MOST: u64 = 100;
    let limit = match asked.query("limit") {
        Some("-1") => MOST,
        _ => asked.number("limit", MOST)?.min(MOST),
    };
    let offset = asked.number("offset", (asked.number("page", 1)?.max(1) - 1) * limit)?;
    let mut body = json!({ "data": bare(slice(offset, limit)) });
    if asked.query("meta") == Some("filter_count") {
        body["meta"] = json!({ "filter_count": RECORDS });
    }
    ok(body)
}
