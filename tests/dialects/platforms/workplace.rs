//! Slack and Notion.

use headwater::exchange::{Verdict, When};
use headwater::pages::Window;
use headwater::paginate::{Cursor, PageNumber};
use headwater::testing::{Reply, Scripted};
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{
    Asked, Limit, Served, answer, iso, made, ok, page, place, refuse, require, seconds, serve, slice, token,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![slack(), notion()]
}

/// Slack's errors are answers like any other, with status 200.
fn slack_error(error: &str) -> Served {
    ok(json!({ "ok": false, "error": error }))
}

/// Answers a page of members, for the size and the cursor that came in the query or in a form.
fn members(
    asked: &Asked<'_>,
    limit: &Limit,
    troubled: &(Limit, Limit),
    size: Option<&str>,
    cursor: Option<&str>,
) -> Served {
    if asked.header("authorization") != Some("Bearer xoxb-token") {
        return slack_error("invalid_auth");
    }
    if let Some(wait) = limit.meets(asked)? {
        let body = json!({ "ok": false, "error": "ratelimited" });
        return Ok(answer(429, body).header("retry-after", &wait.as_secs().to_string()));
    }
    if troubled.0.meets(asked)?.is_some() {
        return slack_error("internal_error");
    }
    if troubled.1.meets(asked)?.is_some() {
        return slack_error("fatal_error");
    }
    let Some(size) = size.and_then(|size| size.parse::<u64>().ok()).filter(|size| (1..1000).contains(size))
    else {
        return slack_error("limit_required");
    };
    let Ok(at) = cursor.map_or(Ok(0), place) else { return slack_error("invalid_cursor") };
    // Fewer than were asked for may come at any time.
    let size = size - at % 7;
    let end = slice(at, size).end;
    let next = if end < RECORDS { token(end) } else { String::new() };
    ok(json!({
        "ok": true,
        "members": page(at, size, |n| json!({ "n": n, "id": format!("U{n:08}") })),
        "response_metadata": { "next_cursor": next },
    }))
}

fn files(limit: Limit) -> Scripted {
    serve(move |asked| {
        if asked.header("authorization") != Some("Bearer xoxb-token") {
            return slack_error("invalid_auth");
        }
        asked.at("GET", "/api/files.list")?;
        if let Some(wait) = limit.meets(asked)? {
            let body = json!({ "ok": false, "error": "ratelimited" });
            return Ok(answer(429, body).header("retry-after", &wait.as_secs().to_string()));
        }
        let (size, number) = (asked.number("count", 100)?.min(1000), asked.number("page", 1)?);
        let paging =
            json!({ "count": size, "total": RECORDS, "page": number, "pages": RECORDS.div_ceil(size) });
        let files = page((number - 1) * size, size, |n| json!({ "n": n, "id": format!("F{n:08}") }));
        ok(json!({ "ok": true, "files": files, "paging": paging }))
    })
}

/// What is said of a failure: all but two kinds are for good.
fn slack_rules(source: SourceBuilder) -> SourceBuilder {
    source
        .rule(When::any().body("error", "internal_error").means(Verdict::Retry))
        .rule(When::any().body("error", "fatal_error").means(Verdict::Retry))
        .rule(When::status(200).body("ok", false).means(Verdict::Fail))
}

/// `next_cursor` is `""` on the last page; short pages are normal; errors come with status 200 and `ok: false`. Arguments
/// may stand in the query or in a form; `files.list` still counts pages (api.slack.com, "Pagination", "Rate Limits").
fn slack() -> Row {
    let limits = || {
        let troubled = (Limit::told(4, 0), Limit::told(5, 0));
        (Limit::told(3, 30), troubled)
    };
    let check = |limits: &(Limit, (Limit, Limit))| {
        let (limit, troubled) = limits.clone();
        move || [&limit, &troubled.0, &troubled.1].into_iter().try_for_each(Limit::kept)
    };
    let (by_query, by_form) = (limits(), limits());
    let (query_check, form_check) = (check(&by_query), check(&by_form));
    let query = serve(move |asked| {
        asked.at("GET", "/api/users.list")?;
        members(asked, &by_query.0, &by_query.1, asked.query("limit"), asked.query("cursor"))
    });
    let form = serve(move |asked| {
        asked.at("POST", "/api/users.list")?;
        asked.only(&[])?;
        asked.says("content-type", "application/x-www-form-urlencoded")?;
        members(asked, &by_form.0, &by_form.1, asked.form("limit"), asked.form("cursor"))
    });
    let counted = Limit::told(2, 30);
    let kept = counted.clone();

    let by_query = Source::get("users", "https://slack.com/api/users.list")
        .bearer("xoxb-token")
        .query("limit", "200")
        .records("members")
        .paginate(Cursor::body("response_metadata.next_cursor").into_query("cursor"));
    let by_form = Source::post("users", "https://slack.com/api/users.list")
        .form("limit", "200")
        .repeatable()
        .bearer("xoxb-token")
        .records("members")
        .paginate(Cursor::body("response_metadata.next_cursor").into_form("cursor"));
    let counting = Source::get("files", "https://slack.com/api/files.list")
        .bearer("xoxb-token")
        .records("files")
        .paginate(PageNumber::new().size("count", 100).until_page_count("paging.pages"));
    Row::new(
        "Slack",
        [
            Way::new("C", query, slack_rules(by_query)).named("cursor in the query").checked(query_check),
            Way::new("C", form, slack_rules(by_form)).named("cursor in a form").checked(form_check),
            Way::new("G", files(counted), slack_rules(counting))
                .named("files.list")
                .checked(move || kept.kept()),
        ],
    )
}

/// The real ceiling is 10,000 rows; there are only 1,234 here.
const NOTION_CEILING: u64 = 1000;

fn notion_limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("Bearer ntn_token")?;
    asked.says("notion-version", "2025-09-03")?;
    let Some(wait) = limit.meets(asked)? else { return Ok(()) };
    Err(answer(429, json!({ "object": "error", "status": 429, "code": "rate_limited" }))
        .header("retry-after", &wait.as_secs().to_string()))
}

fn notion_page(rows: &[u64], at: u64, size: u64, ceiling: u64) -> Served {
    let known = (rows.len() as u64).min(ceiling);
    let end = (at + size).min(known);
    let results: Vec<Value> = rows[at as usize..end as usize]
        .iter()
        .map(|n| json!({ "n": n, "object": "page", "created_time": iso(made(*n)) }))
        .collect();
    let next = (end < known).then(|| token(end));
    // Any page may tell that the whole query was cut off.
    let status = match rows.len() as u64 > ceiling {
        true => json!({ "type": "incomplete", "incomplete_reason": "query_result_limit_reached" }),
        false => json!({ "type": "complete" }),
    };
    ok(json!({
        "object": "list", "results": results, "has_more": next.is_some(), "next_cursor": next, "request_status": status,
    }))
}

fn notion_query(limit: Limit) -> Scripted {
    serve(move |asked| {
        notion_limited(asked, &limit)?;
        asked.at("POST", "/v1/data_sources/ds_1/query")?;
        asked.only(&[])?;
        let cursor = asked.body("/start_cursor");
        // `"start_cursor": null` is a validation error: it must be left out.
        require(!asked.has("/start_cursor") || cursor.is_string(), "body.start_cursor should be a string")?;
        let at = cursor.as_str().map_or(Ok(0), place)?;
        let size = asked.body("/page_size").as_u64().unwrap_or(100);
        require(size <= 100, "body.page_size should be 100 at most")?;
        let bound = |pointer: &str| match asked.body(pointer).as_str() {
            Some(text) => seconds(text),
            None => Err(refuse(400, "body.filter is no filter")),
        };
        let from = bound("/filter/and/0/created_time/on_or_after")?;
        let to = bound("/filter/and/1/created_time/before")?;
        let rows: Vec<u64> = (0..RECORDS).filter(|n| (from..to).contains(&made(*n))).collect();
        notion_page(&rows, at, size, NOTION_CEILING)
    })
}

/// A list may be read in the query, a data source in the body; `start_cursor` must be left out at first, not null. The
/// query of a data source stops at 10,000 rows, with `has_more: false` and, by now, a `request_status` that says so: so it is
/// cut into windows, and a window that is cut off, or full to the ceiling, is halved (developers.notion.com, "Pagination",
/// "Request limits", "Query large data sources").
fn notion() -> Row {
    let (listed, queried) = (Limit::told(6, 3), Limit::told(6, 3));
    let (list_kept, query_kept) = (listed.clone(), queried.clone());
    let list = serve(move |asked| {
        notion_limited(asked, &listed)?;
        asked.at("GET", "/v1/users")?;
        let at = asked.query("start_cursor").map_or(Ok(0), place)?;
        let size = asked.number("page_size", 100)?;
        require(size <= 100, "page_size should be 100 at most")?;
        notion_page(&(0..RECORDS).collect::<Vec<_>>(), at, size, u64::MAX)
    });
    let by_query = Source::get("users", "https://api.notion.com/v1/users")
        .bearer("ntn_token")
        .header("Notion-Version", "2025-09-03")
        .query("page_size", "100")
        .records("results")
        .paginate(Cursor::body("next_cursor").into_query("start_cursor").until_false("has_more"));
    let body = json!({
        "page_size": 100,
        "filter": { "and": [
            { "timestamp": "created_time", "created_time": { "on_or_after": "{start}" } },
            { "timestamp": "created_time", "created_time": { "before": "{end}" } },
        ] },
    });
    let by_window = Source::post("tasks", "https://api.notion.com/v1/data_sources/ds_1/query")
        .json(body)
        .repeatable()
        .bearer("ntn_token")
        .header("Notion-Version", "2025-09-03")
        .records("results")
        .paginate(Cursor::body("next_cursor").into_body("start_cursor").until_false("has_more"))
        .rule(When::any().body("request_status.type", "incomplete").means(Verdict::TooMany))
        .window(Window::time("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z").ceiling(NOTION_CEILING));
    Row::new(
        "Notion",
        [
            Way::new("C", list, by_query).named("list").checked(move || list_kept.kept()),
            Way::new("C,W", notion_query(queried), by_window)
                .named("query")
                .checked(move || query_kept.kept()),
        ],
    )
}
