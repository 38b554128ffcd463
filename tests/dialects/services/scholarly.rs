//! Crossref, OpenAlex, arXiv, PubMed.

use super::asked::{Limit, list, page, refuse, seal, serve, slice, unseal};
use super::row::{RECORDS, Row, Way};
use headwater::Source;
use headwater::paginate::{Cursor, End, PageNumber};
use headwater::testing::Reply;
use serde_json::json;

pub(crate) fn rows() -> Vec<Row> {
    vec![open_alex(), crossref()]
}

/// Crossref REST API (github.com/CrossRef/rest-api-doc, "Deep paging with cursors"): `cursor=*`, then `next-cursor`, which
/// is always there, and has `+`, `/` and `=` in it; the end is a page with fewer items than `rows` (20, at most 1,000).
/// `X-Rate-Limit-Limit` per `X-Rate-Limit-Interval`. By `offset` one gets no further than 10,000.
fn crossref() -> Row {
    let limit = Limit::untold(2, 0);
    let hit = limit.hit();
    let server = serve(move |asked| {
        asked.get("/works")?;
        let told =
            |reply: Reply| reply.header("x-rate-limit-limit", "50").header("x-rate-limit-interval", "1s");
        limit.pass(asked, |_| told(Reply::status(429)))?;
        asked.only(&["filter", "rows", "cursor", "mailto"])?;
        asked.wants("filter", "type:dataset")?;
        asked.wants("mailto", "me@example.org")?;
        let size = asked.size("rows", 20, 1000)?;
        let start = match asked.query("cursor").as_deref() {
            Some("*") => 0,
            Some(cursor) => unseal("DnF1ZXJ5", cursor)?,
            None => return Err(refuse(400, "in this test, with a cursor")),
        };
        let items = list(slice(start, size), |n| json!({"DOI": format!("10.5555/{n}"), "n": n}));
        let next = seal("DnF1ZXJ5", start + items.len() as u64);
        Ok(told(page(
            json!({"status": "ok", "message": {"next-cursor": next, "total-results": RECORDS, "items": items}}),
        )))
    });
    let source = Source::get("works", "https://api.crossref.org/works")
        .query("filter", "type:dataset")
        .query("mailto", "me@example.org")
        .query("rows", "300")
        .records("message.items")
        .paginate(
            Cursor::body("message.next-cursor").into_query("cursor").first("*").until(End::short_page(300)),
        );
    Row::new("Crossref", [Way::new("C", server, source).checked(hit)])
}

/// OpenAlex (docs.openalex.org, "Paging", "Rate limits"): `cursor=*`, then `meta.next_cursor`; the last page with results
/// still has one, and leads to an empty page where it is null. By `page`, up to 10,000. 25 a page, at most 200.
fn open_alex() -> Row {
    let server = |by_page: bool| {
        let limit = Limit::told(3, 26);
        let hit = limit.hit();
        let server = serve(move |asked| {
            asked.get("/works")?;
            let told = |reply: Reply, remaining: &str, reset: u64| {
                reply
                    .header("x-ratelimit-limit", "100000")
                    .header("x-ratelimit-remaining", remaining)
                    .header("x-ratelimit-credits-used", "10")
                    .header("x-ratelimit-reset", &reset.to_string())
            };
            limit.pass(asked, |wait| {
                told(Reply::status(429).body(r#"{"error":"Rate limit exceeded"}"#), "0", wait.as_secs())
            })?;
            asked.only(&["filter", "per-page", if by_page { "page" } else { "cursor" }])?;
            asked.wants("filter", "has_doi:true")?;
            let size = asked.size("per-page", 25, 200)?;
            let start = match (by_page, asked.query("cursor").as_deref()) {
                (true, _) => (asked.number("page", 1)? - 1) * size,
                (_, Some("*")) => 0,
                (_, Some(cursor)) => unseal("IlsxNjA", cursor)?,
                _ => return Err(refuse(400, "in this test, with a cursor")),
            };
            if by_page && start + size > 10_000 {
                return Err(refuse(
                    403,
                    "Maximum results size of 10,000 records is exceeded. Use cursor pagination.",
                ));
            }
            let results =
                list(slice(start, size), |n| json!({"id": format!("https://openalex.org/W{n}"), "n": n}));
            let next =
                (!by_page && !results.is_empty()).then(|| seal("IlsxNjA", start + results.len() as u64));
            let meta = json!({"count": RECORDS, "page": null, "per_page": size, "next_cursor": next});
            Ok(told(page(json!({"meta": meta, "results": results})), "99990", 3600))
        });
        (server, hit)
    };
    let source = || {
        Source::get("works", "https://api.openalex.org/works")
            .query("filter", "has_doi:true")
            .records("results")
    };
    let ((cursor, cursor_hit), (number, number_hit)) = (server(false), server(true));
    let by_cursor = source()
        .query("per-page", "200")
        .paginate(Cursor::body("meta.next_cursor").into_query("cursor").first("*"));
    let by_page = source().paginate(PageNumber::new().size("per-page", 200).until(End::total("meta.count")));
    Row::new(
        "OpenAlex",
        [
            Way::new("C", cursor, by_cursor).named("cursor").checked(cursor_hit),
            Way::new("G", number, by_page).named("page").checked(number_hit),
        ],
    )
}
