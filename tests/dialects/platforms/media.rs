//! Spotify, Meta and LinkedIn.

use headwater::exchange::{Verdict, When};
use headwater::paginate::{Cursor, NextUrl, Offset};
use headwater::testing::{Reply, Scripted};
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, answer, encoded, ok, page, place, refuse, require, serve, slice, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![spotify(), meta(), linkedin(), linkedin_ads()]
}

fn spotify_limited(asked: &Asked<'_>, limit: &Limit) -> Result<u64, Reply> {
    asked.authorized("Bearer BQC.token")?;
    if let Some(wait) = limit.meets(asked)? {
        let body = json!({ "error": { "status": 429, "message": "API rate limit exceeded" } });
        return Err(answer(429, body).header("retry-after", &wait.as_secs().to_string()));
    }
    let size = asked.number("limit", 20)?;
    require((1..=50).contains(&size), "Invalid limit")?;
    Ok(size)
}

fn tracks(limit: Limit) -> Scripted {
    serve(move |asked| {
        let size = spotify_limited(asked, &limit)?;
        asked.at("GET", "/v1/playlists/37i9dQ/items")?;
        asked.asks("market", "DE")?;
        let at = asked.number("offset", 0)?;
        let end = slice(at, size).end;
        let url = |at| {
            format!("https://api.spotify.com/v1/playlists/37i9dQ/items?offset={at}&limit={size}&market=DE")
        };
        let items = page(at, size, |n| json!({ "n": n, "item": { "id": format!("t{n}") } }));
        ok(json!({
            "href": url(at), "limit": size, "offset": at, "total": RECORDS, "previous": null,
            "next": (end < RECORDS).then(|| url(end)), "items": items,
        }))
    })
}

fn artists(limit: Limit) -> Scripted {
    serve(move |asked| {
        let size = spotify_limited(asked, &limit)?;
        asked.at("GET", "/v1/me/following")?;
        asked.asks("type", "artist")?;
        let at = match asked.query("after") {
            None => 0,
            Some(id) => {
                let n = id.strip_prefix("0I2XqV").and_then(|digits| digits.parse::<u64>().ok());
                n.map(|n| n + 1).ok_or_else(|| refuse(400, "Invalid cursor"))?
            }
        };
        let end = slice(at, size).end;
        let items = page(at, size, |n| json!({ "n": n, "id": format!("0I2XqV{n:05}") }));
        let after = (end < RECORDS).then(|| format!("0I2XqV{:05}", end - 1));
        let next = (after.as_ref()).map(|after| {
            format!("https://api.spotify.com/v1/me/following?type=artist&limit={size}&after={after}")
        });
        ok(json!({ "artists": {
            "items": items, "limit": size, "total": RECORDS, "next": next, "cursors": { "after": after },
        } }))
    })
}

/// `next` is absolute and null at the end, beside `offset`, `limit` and `total`; some lists have `cursors.after` in their
/// place (developer.spotify.com, "API calls", "Get Followed Artists", "Rate Limits": 429 with `Retry-After`; 20, at most
/// 50 a page). What a playlist holds is at `/items` since February 2026; it was at `/tracks` ("Migration Guide").
fn spotify() -> Row {
    let way = |primitive, served: fn(Limit) -> Scripted, source| {
        let limit = Limit::told(12, 17);
        Way::new(primitive, served(limit.clone()), source).checked(move || limit.kept())
    };
    let source = |name, url: &str| -> SourceBuilder { Source::get(name, url).bearer("BQC.token") };
    let playlist = || {
        source("tracks", "https://api.spotify.com/v1/playlists/37i9dQ/items")
            .query("market", "DE")
            .records("items")
    };
    let next = playlist().query("limit", "50").paginate(NextUrl::body("next"));
    let offset = playlist().paginate(Offset::new(50).until_total("total"));
    let following = source("artists", "https://api.spotify.com/v1/me/following")
        .query("type", "artist")
        .query("limit", "50")
        .records("artists.items")
        .paginate(Cursor::body("artists.cursors.after").into_query("after"));
    Row::new(
        "Spotify",
        [
            way("N", tracks, next).named("next"),
            way("O", tracks, offset).named("offset"),
            way("C", artists, following).named("cursors.after"),
        ],
    )
}

/// The token may come as a parameter or as a header; the links carry it in either case.
fn feed(limits: Vec<(u32, Limit)>) -> Scripted {
    serve(move |asked| {
        let bearer = asked.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let given = [bearer, asked.query("access_token")];
        if !given.contains(&Some("EAAB.token.of.a.page.0123456789"))
            || given.iter().flatten().any(|given| *given != "EAAB.token.of.a.page.0123456789")
        {
            let error =
                json!({ "message": "Invalid OAuth access token.", "type": "OAuthException", "code": 190 });
            return Ok(answer(400, json!({ "error": error })));
        }
        asked.at("GET", "/v21.0/1234/feed")?;
        for (code, limit) in &limits {
            limit.pass(asked, |_| {
                let message = format!("(#{code}) request limit reached");
                let error = json!({ "message": message, "type": "OAuthException", "code": code });
                answer(400, json!({ "error": error }))
                    .header("x-app-usage", r#"{"call_count":100,"total_cputime":25,"total_time":25}"#)
            })?;
        }
        asked.asks("fields", "id,created_time")?;
        let size = asked.number("limit", 25)?.min(100);
        let after = asked.query("after");
        let at = after.map_or(Ok(0), |after| place(after.trim_end_matches('Z')))?;
        // Posts that may not be seen are taken out of the page, be it all of them.
        let hidden = (300..500).contains(&at) && after.is_some_and(|after| !after.ends_with('Z'));
        let data = page(
            at,
            if hidden { 0 } else { size - at % 7 },
            |n| json!({ "n": n, "id": format!("1234_{n}") }),
        );
        let end = at + data.len() as u64;
        let cursor = format!("{}{}", token(end), if hidden { "Z" } else { "" });
        let mut paging = json!({ "cursors": { "before": token(at), "after": cursor } });
        if end < RECORDS {
            let cursor = encoded(&cursor);
            paging["next"] = json!(format!(
                "https://graph.facebook.com/v21.0/1234/feed?access_token=EAAB.token.of.a.page.0123456789&fields=id%2Ccreated_time&limit={size}&after={cursor}"
            ));
        }
        Ok(answer(200, json!({ "data": data, "paging": paging }))
            .header("x-app-usage", r#"{"call_count":28,"total_cputime":25,"total_time":25}"#))
    })
}

/// `paging.next` is absolute, carries the access token, and is left out at the end: nothing else is the end, for pages
/// may be short and even empty, and `cursors.after` is there on the last one as well. A limit is a 400 with the code 4,
/// 17, 32 or 613 (developers.facebook.com, "Paginated Results", "Rate Limits").
fn meta() -> Row {
    let way = |source: SourceBuilder| {
        // For the app, the user, the page, and for what was asked too often.
        let codes = [4, 17, 32, 613].into_iter().zip([2, 4, 6, 8]);
        let limits: Vec<_> = codes.map(|(code, nth)| (code, Limit::told(nth, 0))).collect();
        let source = source
            .query("fields", "id,created_time")
            .query("limit", "100")
            .records("data")
            .rule(When::status(400).body("error.code", 4).means(Verdict::Wait))
            .rule(When::status(400).body("error.code", 17).means(Verdict::Wait))
            .rule(When::status(400).body("error.code", 32).means(Verdict::Wait))
            .rule(When::status(400).body("error.code", 613).means(Verdict::Wait));
        Way::new("N", feed(limits.clone()), source)
            .checked(move || limits.iter().try_for_each(|(_, limit)| limit.kept()))
    };
    let source = || Source::get("feed", "https://graph.facebook.com/v21.0/1234/feed");
    let parameter = source()
        .api_key_query("access_token", "EAAB.token.of.a.page.0123456789")
        .paginate(NextUrl::body("paging.next").missing_ends());
    let header = source()
        .bearer("EAAB.token.of.a.page.0123456789")
        .paginate(NextUrl::body("paging.next").missing_ends().strip_query(["access_token"]));
    Row::new(
        "Meta Graph",
        [way(parameter).named("token as a parameter"), way(header).named("token as a header")],
    )
}

/// `start` and `count`; fewer elements than `count` are the end, and nothing else says so (learn.microsoft.com/linkedin,
/// "Pagination"; 10 a page).
fn linkedin() -> Row {
    let limit = Limit::told(7, 0);
    let kept = limit.clone();
    let list = serve(move |asked| {
        asked.authorized("Bearer AQX.token")?;
        asked.says("x-restli-protocol-version", "2.0.0")?;
        asked.says("linkedin-version", "202601")?;
        asked.at("GET", "/rest/organizationAcls")?;
        asked.asks("q", "roleAssignee")?;
        if limit.meets(asked)?.is_some() {
            return Ok(answer(429, json!({ "status": 429, "code": "TOO_MANY_REQUESTS" })));
        }
        let (at, size) = (asked.number("start", 0)?, asked.number("count", 10)?);
        require(size <= 100, "count must be 100 at most")?;
        // Behind the end there is nothing to ask for.
        if at > RECORDS {
            return Err(refuse(400, "start is behind the end"));
        }
        let elements: Vec<Value> = page(at, size, |n| json!({ "n": n, "role": "ADMINISTRATOR" }));
        ok(json!({ "elements": elements, "paging": { "start": at, "count": size, "links": [] } }))
    });
    let source = Source::get("acls", "https://api.linkedin.com/rest/organizationAcls")
        .bearer("AQX.token")
        .header("X-Restli-Protocol-Version", "2.0.0")
        .header("LinkedIn-Version", "202601")
        .query("q", "roleAssignee")
        .records("elements")
        .paginate(Offset::new(100).offset_param("start").limit_param("count").until_short_page());
    Row::new("LinkedIn index", [Way::new("O", list, source).checked(move || kept.kept())])
}

/// A token in `metadata.nextPageToken`, left out on the last page; `start` and `count` are no longer heard here
/// (learn.microsoft.com/linkedin/marketing, "Cursor pagination for search APIs": 100 a page, 1,000 at most).
fn linkedin_ads() -> Row {
    let limit = Limit::told(4, 0);
    let kept = limit.clone();
    let list = serve(move |asked| {
        asked.authorized("Bearer AQX.token")?;
        asked.says("linkedin-version", "202601")?;
        asked.at("GET", "/rest/adAccounts")?;
        asked.asks("q", "search")?;
        require(
            asked.query("start").is_none() && asked.query("count").is_none(),
            "use pageToken and pageSize",
        )?;
        if limit.meets(asked)?.is_some() {
            return Ok(answer(429, json!({ "status": 429, "code": "TOO_MANY_REQUESTS" })));
        }
        let size = asked.number("pageSize", 100)?;
        require(size <= 1000, "pageSize must be 1000 at most")?;
        let at = asked.query("pageToken").map_or(Ok(0), place)?;
        let end = slice(at, size).end;
        let metadata = if end < RECORDS { json!({ "nextPageToken": token(end) }) } else { json!({}) };
        let elements: Vec<Value> =
            page(at, size, |n| json!({ "n": n, "id": 500_000 + n, "status": "ACTIVE" }));
        ok(json!({ "elements": elements, "metadata": metadata }))
    });
    let source = Source::get("accounts", "https://api.linkedin.com/rest/adAccounts")
        .bearer("AQX.token")
        .header("LinkedIn-Version", "202601")
        .query("q", "search")
        .query("pageSize", "200")
        .records("elements")
        .paginate(Cursor::body("metadata.nextPageToken").into_query("pageToken").missing_ends());
    Row::new("LinkedIn ads", [Way::new("C", list, source).checked(move || kept.kept())])
}
