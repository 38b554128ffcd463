//! Zendesk: four styles, of which one repeats its rows and one its last link.

use headwater::incremental::Incremental;
use headwater::paginate::{Cursor, Delta, End, FollowUp, NextUrl};
use headwater::testing::{Reply, Scripted};
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{
    Asked, Limit, answer, encoded, iso, made, ok, page, place, require, serve, slice, token,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![offset(), cursor(), incremental()]
}

const SITE: &str = "https://your-company.zendesk.com";
const BASIC: &str = "Basic bWVAZXhhbXBsZS5jb20vdG9rZW46YXBpX3Rva2Vu";

fn source(name: &str, path: &str) -> SourceBuilder {
    Source::get(name, format!("{SITE}{path}")).basic("me@example.com/token", "api_token")
}

fn limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized(BASIC)?;
    let Some(wait) = limit.meets(asked)? else { return Ok(()) };
    Err(answer(429, json!({ "error": "APIRateLimitExceeded" }))
        .header("retry-after", &wait.as_secs().to_string())
        .header("x-rate-limit", "700")
        .header("x-rate-limit-remaining", "0"))
}

fn ticket(number: u64) -> Value {
    json!({ "n": number, "id": number + 1, "updated_at": iso(made(number)), "generated_timestamp": made(number) })
}

/// `next_page` is absolute, and null on the last page; 100 a page at most, and a 400 behind page 100
/// (developer.zendesk.com, "Paginating through lists using offset pagination").
fn offset() -> Row {
    let limit = Limit::told(5, 44);
    let kept = limit.clone();
    let list = serve(move |asked| {
        limited(asked, &limit)?;
        asked.at("GET", "/api/v2/tickets.json")?;
        asked.asks("sort_by", "id")?;
        let (number, size) = (asked.number("page", 1)?, asked.number("per_page", 100)?.min(100));
        require(number <= 100, "Requested response size was greater than Offset Pagination Limits")?;
        let next = (number * size < RECORDS)
            .then(|| format!("{SITE}/api/v2/tickets.json?page={}&per_page={size}&sort_by=id", number + 1));
        let tickets = page((number - 1) * size, size, ticket);
        ok(json!({ "tickets": tickets, "count": RECORDS, "next_page": next, "previous_page": null }))
    });
    let source = source("tickets", "/api/v2/tickets.json")
        .query("sort_by", "id")
        .query("per_page", "100")
        .records("tickets")
        .paginate(NextUrl::body("next_page"));
    Row::new("Zendesk offset", [Way::new("N", list, source).checked(move || kept.kept())])
}

fn cursor_list(limit: Limit) -> Scripted {
    serve(move |asked| {
        limited(asked, &limit)?;
        asked.at("GET", "/api/v2/tickets")?;
        asked.asks("sort", "id")?;
        let size = asked.number("page[size]", 100)?;
        require(size <= 100, "page[size] must be 100 at most")?;
        let at = asked.query("page[after]").map_or(Ok(0), place)?;
        let end = slice(at, size).end;
        // Cursor and link are there to the end, and lead to an empty page.
        let after = token(end);
        let next = format!(
            "{SITE}/api/v2/tickets?page%5Bafter%5D={}&page%5Bsize%5D={size}&sort=id",
            encoded(&after)
        );
        ok(json!({
            "tickets": page(at, size, ticket),
            "meta": { "has_more": end < RECORDS, "after_cursor": after, "before_cursor": token(at) },
            "links": { "next": next, "prev": null },
        }))
    })
}

/// Only `meta.has_more` says where the end is: the cursor and the link are there on the last page as well
/// (developer.zendesk.com, "Paginating through lists using cursor pagination").
fn cursor() -> Row {
    let source = || {
        source("tickets", "/api/v2/tickets").query("sort", "id").query("page[size]", "100").records("tickets")
    };
    let way = |primitive, source| {
        let limit = Limit::told(7, 44);
        Way::new(primitive, cursor_list(limit.clone()), source).checked(move || limit.kept())
    };
    let after = source()
        .paginate(Cursor::body("meta.after_cursor").into_query("page[after]").until_false("meta.has_more"));
    let link = source().paginate(NextUrl::body("links.next").until(End::when_false("meta.has_more")));
    Row::new("Zendesk cursor", [way("C", after).named("after_cursor"), way("N", link).named("links.next")])
}

/// Ten exports a minute.
fn export(limit: Limit) -> Scripted {
    serve(move |asked| {
        limited(asked, &limit)?;
        asked.at("GET", "/api/v2/incremental/tickets/cursor.json")?;
        let at = match asked.query("cursor") {
            // The cursor holds the start; both together are refused.
            Some(cursor) => {
                asked.only(&["cursor", "per_page"])?;
                place(cursor)?
            }
            None => {
                asked.asks("start_time", "1767225600")?;
                0
            }
        };
        let size = asked.number("per_page", 1000)?.min(1000);
        let end = slice(at, size).end;
        let after = token(end);
        let url = format!(
            "{SITE}/api/v2/incremental/tickets/cursor.json?cursor={}&per_page={size}",
            encoded(&after)
        );
        ok(json!({
            "tickets": page(at, size, ticket),
            "after_cursor": after, "after_url": url, "before_cursor": null, "before_url": null,
            "end_of_stream": end >= RECORDS,
        }))
    })
}

/// A page begins with the rows that were made when the last one ended: those come twice.
fn export_by_time(limit: Limit) -> Scripted {
    serve(move |asked| {
        limited(asked, &limit)?;
        asked.at("GET", "/api/v2/incremental/tickets.json")?;
        require(asked.query("start_time").is_some(), "start_time is missing")?;
        let start = asked.number("start_time", 0)? as i64;
        let size = asked.number("per_page", 1000)?.min(1000);
        let at = (0..RECORDS).find(|n| made(*n) >= start).unwrap_or(RECORDS);
        let tickets = page(at, size, ticket);
        let end = tickets.last().map_or(start, |last| last["generated_timestamp"].as_i64().unwrap_or(start));
        let next = format!("{SITE}/api/v2/incremental/tickets.json?per_page={size}&start_time={end}");
        ok(json!({
            "end_of_stream": (tickets.len() as u64) < size, "count": tickets.len(),
            "tickets": tickets, "next_page": next, "end_time": end,
        }))
    })
}

/// At the end Talk names the page that it is on as the next one.
fn calls(limit: Limit) -> Scripted {
    serve(move |asked| {
        limited(asked, &limit)?;
        asked.at("GET", "/api/v2/channels/voice/stats/incremental/calls.json")?;
        require(asked.query("start_time").is_some(), "start_time is missing")?;
        let start = asked.number("start_time", 0)? as i64;
        let at = (0..RECORDS).find(|n| made(*n) >= start).unwrap_or(RECORDS);
        let size = 100;
        let end = slice(at, size).end;
        let next = if end < RECORDS { made(end) } else { start };
        let url = format!("{SITE}/api/v2/channels/voice/stats/incremental/calls.json?start_time={next}");
        ok(
            json!({ "calls": page(at, size, ticket), "count": end - at, "next_page": url, "next_timestamp": next }),
        )
    })
}

/// `after_url` is never null, for it is where the next run goes on; `end_of_stream` ends this one. The older form by
/// time repeats the rows at the seams, and Talk ends with a link to itself (developer.zendesk.com, "Incremental
/// Exports"; 1,000 a page; ten requests a minute, `Retry-After`).
fn incremental() -> Row {
    let tickets = || {
        source("tickets", "/api/v2/incremental/tickets/cursor.json")
            .query("start_time", "1767225600")
            .query("per_page", "100")
            .records("tickets")
    };
    let way = |primitive, served: fn(Limit) -> Scripted, source| {
        let limit = Limit::told(4, 44);
        Way::new(primitive, served(limit.clone()), source).checked(move || limit.kept())
    };
    let by_url = tickets().paginate(NextUrl::body("after_url").until(End::when_true("end_of_stream")));
    let kept =
        || Cursor::body("after_cursor").into_query("cursor").follow(FollowUp::here().keep(["per_page"]));
    let by_cursor = tickets().paginate(Delta::new(kept().until_true("end_of_stream"), kept()));
    let calls_source = source("calls", "/api/v2/channels/voice/stats/incremental/calls.json")
        .query("start_time", "1767225600")
        .records("calls")
        .paginate(NextUrl::body("next_page").until(End::repeated()));
    let by_time = source("tickets", "/api/v2/incremental/tickets.json")
        .query("start_time", "{since}")
        .query("per_page", "100")
        .records("tickets")
        .paginate(NextUrl::body("next_page").until(End::when_true("end_of_stream")))
        .incremental(Incremental::by("generated_timestamp").key("id").since(1_767_225_600));
    Row::new(
        "Zendesk incremental",
        [
            way("N", export, by_url).named("after_url"),
            way("C", export, by_cursor).named("after_cursor"),
            way("N", export_by_time, by_time).named("by time"),
            way("N", calls, calls_source).named("Talk"),
        ],
    )
}
