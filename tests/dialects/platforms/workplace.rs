//! Slack and Notion.

use std::time::Duration;

use headwater::exchange::{Verdict, When};
use headwater::paginate::{Cursor, PageNumber};
use headwater::testing::{Reply, Scripted};
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::vendor::{Asked, Limit, Served, answer, iso, made, ok, page, place, range, refuse, require, seconds, token};
use super::vendor::server;

pub(crate) fn rows() -> Vec<Row> {
    vec![]
}

/// Slack's errors are answers like any other, with status 200.
fn slack_error(error: &str) -> Served {
    ok(json!({ "ok": false, "error": error }))
}

/// Answers a page of members, for the size and the cursor that came in the query or in a form.
fn members(asked: &Asked<'_>, limit: &Limit, troubled: &Limit, size: Option<&str>, cursor: Option<&str>) -> Served {
    if asked.header("authorization") != Some("Bearer xoxb-token") {
        return slack_error("invalid_auth");
    }
    if let Some(wait) = limit.meets() {
        let body = json!({ "ok": false, "error": "ratelimited" });
        return Ok(answer(429, body).header("retry-after", &wait.as_secs().to_string()));
    }
    if troubled.meets().is_some() {
        return slack_error("internal_error");
    }
    let Some(size) = size.and_then(|size| size.parse::<u64>().ok()).filter(|size| (1..1000).contains(size)) else {
        return slack_error("limit_required");
    };
    let Ok(at) = cursor.map_or(Ok(0), place) else { return slack_error("invalid_cursor") };
    // Fewer than were asked for may come at any time.
    let size = size - at % 7;
    let end = range(at, size).end;
    let next = if end < RECORDS { token(end) } else { String::new() };
    ok(json!({
        "ok": true,
        "members": page(at, size, |n| json!({ "n": n, "id": format!("U{n:08}") })),
        "response_metadata": { "next_cursor": next },
    }))
}

fn files(limit: Limit) -> Scripted {
    server(move |asked| {
        if asked.header("authorization") != Some("Bearer xoxb-token") {
            return slack_error("invalid_auth");
        }
        asked.at("GET", "/api/files.list")?;
        if let Some(wait) = limit.meets() {
            let body = json!({ "ok": false, "error": "ratelimited" });
            return Ok(answer(429, body).header("retry-after", &wait.as_secs().to_string()));
        }
        let (size, number) = (asked.number("count", 100)?.min(1000), asked.number("page", 1)?);
        let paging = json!({ "count": size, "total": RECORDS, "page": number, "pages": RECORDS.div_ceil(size) });
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


/// The real ceiling is 10,000 rows; there are only 1,234 here.
const NOTION_CEILING: u64 = 1000;

fn notion_limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("Bearer ntn_token")?;
    asked.says("notion-version", "2025-09-03")?;
    let Some(wait) = limit.meets() else { return Ok(()) };
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
    ok(json!({ "object": "list", "results": results, "has_more": next.is_some(), "next_cursor": next }))
}

fn notion_query(limit: Limit) -> Scripted {
    server(move |asked| {
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

