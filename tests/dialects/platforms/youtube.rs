//! YouTube.

use headwater::exchange::{Verdict, When};
use headwater::pages::Window;
use headwater::paginate::Cursor;
use headwater::testing::{Reply, Scripted};
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};

use super::google::{place, problem, token};
use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, Served, iso, made, ok, page, seconds, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![youtube()]
}

/// Refuses whoever has no key, and who has used up the quota; gives the place and the size that are asked for.
fn asked_for(asked: &Asked<'_>, limit: &Limit, path: &str) -> Result<(u64, u64), Reply> {
    asked.at("GET", path)?;
    if asked.query("key") != Some("AIza-key") {
        return Err(problem(400, "badRequest", "API key not valid. Please pass a valid API key."));
    }
    if limit.meets(asked)?.is_some() {
        let message = "The request cannot be completed because you have exceeded your quota.";
        return Err(problem(403, "quotaExceeded", message));
    }
    asked.asks("part", "snippet")?;
    let size = asked.number("maxResults", 5)?;
    if size > 50 {
        let message = "Invalid value for maxResults, must be between 0 and 50";
        return Err(problem(400, "invalidValue", message));
    }
    Ok((asked.query("pageToken").map_or(Ok(0), place)?, size))
}

/// The total is an approximation, and changes from page to page.
fn listed(items: Vec<Value>, at: u64, size: u64, total: u64, more: bool) -> Served {
    let info = json!({ "totalResults": total + at / 50 % 5, "resultsPerPage": size });
    let end = at + items.len() as u64;
    let mut body = json!({ "items": items, "pageInfo": info });
    if more {
        body["nextPageToken"] = json!(token(end));
    }
    ok(body)
}

fn playlist(limit: Limit) -> Scripted {
    serve(move |asked| {
        let (at, size) = asked_for(asked, &limit, "/youtube/v3/playlistItems")?;
        asked.asks("playlistId", "PL1")?;
        let items = page(at, size, |n| json!({ "n": n, "id": format!("UE{n:05}") }));
        listed(items, at, size, RECORDS - 60, slice(at, size).end < RECORDS)
    })
}

/// However many videos a channel has, a search shows no more.
const SEARCH: u64 = 500;

/// Both ends of the range are a part of it. The newest comes first.
fn search(limit: Limit) -> Scripted {
    serve(move |asked| {
        let (at, size) = asked_for(asked, &limit, "/youtube/v3/search")?;
        asked.asks("channelId", "UC1")?;
        asked.asks("type", "video")?;
        asked.asks("order", "date")?;
        let after = asked.query("publishedAfter").map_or(Ok(i64::MIN), seconds)?;
        let before = asked.query("publishedBefore").map_or(Ok(i64::MAX), seconds)?;
        let found: Vec<u64> = (0..RECORDS).rev().filter(|n| (after..=before).contains(&made(*n))).collect();
        let known = SEARCH.min(found.len() as u64);
        let end = (at + size).min(known);
        let video = |n: &u64| json!({ "n": n, "id": { "videoId": format!("v{n}") }, "snippet": { "publishedAt": iso(made(*n)) } });
        let items = found[at.min(end) as usize..end as usize].iter().map(video).collect();
        listed(items, at, size, found.len() as u64, end < known)
    })
}

/// As AIP-158, with `maxResults` (5, at most 50); the total is a guess. The quota of a day is used up with a 403
/// `quotaExceeded`. A search of a channel shows 500 videos at most, without a word: so it is cut into ranges of time
/// (developers.google.com/youtube/v3, "PlaylistItems: list", "Search: list", "Errors").
fn youtube() -> Row {
    let source = |name, url: &str| -> SourceBuilder {
        Source::get(name, url)
            .api_key_query("key", "AIza-key")
            .query("part", "snippet")
            .query("maxResults", "50")
            .records("items")
            .paginate(Cursor::body("nextPageToken").into_query("pageToken").missing_ends())
            .rule(When::status(403).body("error.errors.*.reason", "quotaExceeded").means(Verdict::Wait))
    };
    let way = |primitive, served: fn(Limit) -> Scripted, source| {
        let limit = Limit::told(9, 0);
        Way::new(primitive, served(limit.clone()), source).checked(move || limit.kept())
    };
    let items =
        source("playlist", "https://www.googleapis.com/youtube/v3/playlistItems").query("playlistId", "PL1");
    let videos = source("videos", "https://www.googleapis.com/youtube/v3/search")
        .query("channelId", "UC1")
        .query("type", "video")
        .query("order", "date")
        .query("publishedAfter", "{start}")
        .query("publishedBefore", "{end}")
        .window(Window::time("2026-01-01", "2026-01-02").inclusive_end().ceiling(SEARCH));
    Row::new(
        "YouTube Data",
        [way("C", playlist, items).named("playlist"), way("C,W", search, videos).named("search")],
    )
}
