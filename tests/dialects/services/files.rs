//! Figma, Dropbox, Box.

use headwater::Source;
use headwater::exchange::{Verdict, When};
use headwater::paginate::{Cursor, Delta, End, FollowUp, NextUrl, Offset};
use headwater::testing::Reply;
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, ok, page, place, refuse, serve, slice, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![dropbox(), box_com(), figma()]
}

/// Figma, REST API (github.com/figma/rest-api-spec): three dialects. Team components: a whole number at
/// `meta.cursor.after`, 30 by default, at most 1,000. File versions: a URL at `pagination.next_page`, at most 50. Library
/// analytics: `cursor`, while `next_page` is true. A 429 has `Retry-After`.
fn figma() -> Row {
    let pass = |limit: &Limit, asked: &Asked<'_>| {
        asked.credentials("x-figma-token", "figd_token")?;
        limit.pass(asked, |wait| {
            Reply::status(429)
                .header("retry-after", &wait.as_secs().to_string())
                .header("x-figma-plan-tier", "pro")
                .header("x-figma-rate-limit-type", "high")
                .body(r#"{"status":429,"err":"Rate limit exceeded"}"#)
        })
    };
    let source = |name: &str, url: &str| Source::get(name, url).api_key_header("x-figma-token", "figd_token");

    let limit = Limit::told(2, 17);
    let components_hit = limit.clone();
    let components = serve(move |asked| {
        asked.at("GET", "/v1/teams/77/components")?;
        pass(&limit, asked)?;
        asked.only(&["page_size", "after", "before"])?;
        let size = asked.size("page_size", 30, 1000)?;
        // The cursors are numbers of the server's own, and mean nothing.
        let start = match asked.number("after", 0)? {
            0 => 0,
            after => after.checked_sub(31_000_000_000).ok_or_else(|| refuse(400, "Invalid cursor"))?,
        };
        let found = page(start, size, |n| json!({"key": format!("c{n}"), "n": n}));
        let mut cursor = json!({});
        if start + size < RECORDS {
            cursor["after"] = (31_000_000_000 + start + size).into();
        }
        if start > 0 {
            cursor["before"] = (31_000_000_000 + start).into();
        }
        ok(json!({"status": 200, "error": false, "meta": {"components": found, "cursor": cursor}}))
    });
    let components_source = source("components", "https://api.figma.com/v1/teams/77/components")
        .query("page_size", "100")
        .records("meta.components")
        .paginate(Cursor::body("meta.cursor.after").into_query("after").missing_ends());

    let limit = Limit::told(6, 3);
    let versions_hit = limit.clone();
    let versions = serve(move |asked| {
        asked.at("GET", "/v1/files/fileKey/versions")?;
        pass(&limit, asked)?;
        asked.only(&["page_size", "before", "after"])?;
        let size = asked.size("page_size", 30, 50)?;
        // Newest first: `before` is the id of a version.
        let end = RECORDS.min(asked.number("before", RECORDS)?);
        let found: Vec<Value> =
            (end.saturating_sub(size)..end).rev().map(|n| json!({"id": n.to_string()})).collect();
        let mut pagination = json!({"prev_page": format!("https://api.figma.com/v1/files/fileKey/versions?page_size={size}&after={end}")});
        if end > size {
            let before = end - size;
            pagination["next_page"] =
                format!("https://api.figma.com/v1/files/fileKey/versions?page_size={size}&before={before}")
                    .into();
        }
        ok(json!({"versions": found, "pagination": pagination}))
    });
    let versions_source = source("versions", "https://api.figma.com/v1/files/fileKey/versions")
        .query("page_size", "50")
        .records("versions")
        .paginate(NextUrl::body("pagination.next_page").missing_ends());

    let limit = Limit::told(1, 5);
    let analytics_hit = limit.clone();
    let analytics = serve(move |asked| {
        asked.at("GET", "/v1/analytics/libraries/libKey/component/actions")?;
        pass(&limit, asked)?;
        asked.only(&["group_by", "start_date", "end_date", "cursor"])?;
        asked.asks("group_by", "component")?;
        asked.asks("start_date", "2026-01-04")?;
        let start = asked.query("cursor").map_or(Ok(0), place)?;
        let found =
            page(start, 1000, |n| json!({"week": "2026-01-04", "component_key": format!("c{n}"), "n": n}));
        let more = start + 1000 < RECORDS;
        // The last page keeps a cursor; the flag decides.
        ok(json!({"rows": found, "next_page": more, "cursor": token((start + 1000).min(RECORDS))}))
    });
    let analytics_source =
        source("actions", "https://api.figma.com/v1/analytics/libraries/libKey/component/actions")
            .query("group_by", "component")
            .query("start_date", "2026-01-04")
            .records("rows")
            .paginate(Cursor::body("cursor").into_query("cursor").until_false("next_page"));
    Row::new(
        "Figma",
        [
            Way::new("C", components, components_source)
                .named("components")
                .checked(move || components_hit.kept()),
            Way::new("N", versions, versions_source)
                .named("versions")
                .number("id")
                .checked(move || versions_hit.kept()),
            Way::new("C", analytics, analytics_source)
                .named("analytics")
                .checked(move || analytics_hit.kept()),
        ],
    )
}

/// 1,234 entries that one may see, in the places of more.
fn places() -> Vec<Option<u64>> {
    let mut places = Vec::new();
    for n in 0..RECORDS {
        if n == 400 {
            places.extend(vec![None; 450]);
        }
        if n % 6 == 5 {
            places.push(None);
        }
        places.push(Some(n));
    }
    places
}

/// Box, "Pagination" (developer.box.com/guides/api-calls/pagination): `usemarker=true` and `marker`, `next_marker` null or
/// absent at the end; or `offset`, up to 9,999, which grows by the `limit` of the answer and not by the entries received:
/// entries that one may not see leave gaps. The stream of events repeats its position at the end. A 429 has
/// `Retry-After`.
fn box_com() -> Row {
    let pass = |limit: &Limit, asked: &Asked<'_>| {
        asked.authorized("Bearer boxToken")?;
        limit.pass(asked, |wait| {
            Reply::status(429)
                .header("retry-after", &wait.as_secs().to_string())
                .body(r#"{"type":"error","status":429,"code":"rate_limit_exceeded"}"#)
        })
    };
    let entry = |n: u64| json!({"type": "file", "id": (n + 50_000).to_string(), "n": n});
    let folder = "https://api.box.com/2.0/folders/0/items";

    let limit = Limit::told(2, 21);
    let marker_hit = limit.clone();
    let marker = serve(move |asked| {
        asked.at("GET", "/2.0/folders/0/items")?;
        pass(&limit, asked)?;
        asked.only(&["usemarker", "marker", "limit", "fields"])?;
        asked.asks("usemarker", "true")?;
        asked.asks("fields", "name")?;
        // The size is capped in silence.
        let size = asked.number("limit", 100)?.min(1000);
        let start = asked.query("marker").map_or(Ok(0), place)?;
        let mut body = json!({"entries": page(start, size, entry), "limit": size});
        if start + size < RECORDS {
            body["next_marker"] = token(start + size).into();
        }
        ok(body)
    });
    let marker_source = Source::get("items", folder)
        .bearer("boxToken")
        .query("usemarker", "true")
        .query("fields", "name")
        .query("limit", "1000")
        .records("entries")
        .paginate(Cursor::body("next_marker").into_query("marker").missing_ends());

    // Each entry has a place; every seventh one is nobody's business, and a whole page of them is there, too.
    let limit = Limit::told(5, 2);
    let offset_hit = limit.clone();
    let offset = serve(move |asked| {
        asked.at("GET", "/2.0/folders/0/items")?;
        pass(&limit, asked)?;
        asked.only(&["offset", "limit"])?;
        let size = asked.number("limit", 100)?.min(1000);
        let start = asked.number("offset", 0)?;
        if start > 9_999 {
            return Err(refuse(400, "offset must be at most 9999"));
        }
        let places = places();
        let shown = places.iter().skip(start as usize).take(size as usize).flatten().map(|n| entry(*n));
        ok(
            json!({"entries": shown.collect::<Vec<_>>(), "offset": start, "limit": size, "total_count": places.len()}),
        )
    });
    let offset_source = Source::get("items", folder)
        .bearer("boxToken")
        .records("entries")
        .paginate(Offset::new(200).step_at("limit").until_total("total_count"));

    let limit = Limit::told(2, 4);
    let events_hit = limit.clone();
    let events = serve(move |asked| {
        asked.at("GET", "/2.0/events")?;
        pass(&limit, asked)?;
        asked.only(&["stream_type", "stream_position", "limit"])?;
        asked.asks("stream_type", "admin_logs")?;
        let size = asked.size("limit", 100, 500)?;
        let base = 1_152_923_110_369_165_138;
        let start = asked.number("stream_position", 0)?.saturating_sub(base);
        let found = page(start, size, |n| json!({"event_id": n.to_string(), "event_type": "LOGIN"}));
        let next = base + (start + size).min(RECORDS);
        ok(json!({"chunk_size": found.len(), "next_stream_position": next, "entries": found}))
    });
    let events_source = Source::get("events", "https://api.box.com/2.0/events")
        .bearer("boxToken")
        .query("stream_type", "admin_logs")
        .query("stream_position", "0")
        .query("limit", "500")
        .records("entries")
        .paginate(Cursor::body("next_stream_position").into_query("stream_position").until(End::repeated()));
    Row::new(
        "Box",
        [
            Way::new("C", marker, marker_source).named("marker").checked(move || marker_hit.kept()),
            Way::new("O", offset, offset_source).named("offset").checked(move || offset_hit.kept()),
            Way::new("C", events, events_source)
                .named("events")
                .number("event_id")
                .checked(move || events_hit.kept()),
        ],
    )
}

/// Dropbox, /2/files/list_folder (dropbox.com/developers/documentation/http/documentation): the next page is asked at
/// /continue, with the cursor and nothing else; any other field is refused. A page may be empty while `has_more`. The
/// cursor outlives the last page, and gives the changes since. The wait of a 429 is in the body as well as in
/// `Retry-After`. POST all the way, and none of it writes.
fn dropbox() -> Row {
    let server = |reset: bool| {
        let limit = Limit::told(4, 9);
        let hit = limit.clone();
        let server = serve(move |asked| {
            let fields: Vec<String> =
                asked.body("").as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect();
            let known = |names: &[&str]| match fields.iter().find(|field| !names.contains(&field.as_str())) {
                Some(field) => Err(refuse(400, format!("request body: unknown field '{field}'"))),
                None => Ok(()),
            };
            asked.authorized("Bearer sl.token")?;
            let number = match asked.path() {
                "/2/files/list_folder" => {
                    known(&["path", "recursive", "limit", "include_deleted"])?;
                    0
                }
                "/2/files/list_folder/continue" => {
                    known(&["cursor"])?;
                    place(asked.body("/cursor").as_str().unwrap_or_default())?
                }
                path => return Err(refuse(404, path)),
            };
            asked.at("POST", asked.path())?;
            limit.pass(asked, |wait| {
                let error = json!({"reason": {".tag": "too_many_requests"}, "retry_after": wait.as_secs()});
                Reply::status(429)
                    .header("retry-after", &wait.as_secs().to_string())
                    .body(json!({"error_summary": "too_many_requests/..", "error": error}).to_string())
            })?;
            if reset && asked.nth == 3 {
                let body = json!({"error_summary": "reset/...", "error": {".tag": "reset"}});
                return Err(Reply::status(409).body(body.to_string()));
            }
            // About 500 entries a page; one has none, and is not the last.
            let numbers = match number {
                0 | 1 => slice(500 * number, 500),
                2 => 0..0,
                3 => slice(1000, 500),
                _ => return Err(refuse(400, "nothing has changed in this test")),
            };
            let entry = |n| json!({".tag": "file", "id": format!("id:{n}"), "n": n});
            let entries: Vec<Value> = numbers.map(entry).collect();
            ok(json!({"entries": entries, "cursor": token(number + 1), "has_more": number < 3}))
        });
        (server, hit)
    };
    let source = || {
        let proceed = || FollowUp::at("/2/files/list_folder/continue").only();
        let pages = Cursor::body("cursor").into_body("cursor").follow(proceed()).until_false("has_more");
        Source::post("entries", "https://api.dropboxapi.com/2/files/list_folder")
            .json(json!({"path": "", "recursive": true, "limit": 500}))
            .repeatable()
            .bearer("sl.token")
            .records("entries")
            .paginate(Delta::new(pages, Cursor::body("cursor").into_body("cursor").follow(proceed())))
    };
    let reset = When::status(409).body("/error/.tag", "reset").means(Verdict::Expired);
    let ((plain, plain_hit), (forgetful, forgetful_hit)) = (server(false), server(true));
    Row::new(
        "Dropbox",
        [
            Way::new("C", plain, source()).checked(move || plain_hit.kept()),
            Way::new("C", forgetful, source().rule(reset).restart_on_expiry())
                .named("reset")
                .in_a_run()
                .checked(move || forgetful_hit.kept()),
        ],
    )
}
