//! Jira and Confluence, in the cloud.

use headwater::paginate::{Cursor, LinkHeader, NextUrl, Offset};
use headwater::testing::{Reply, Scripted};
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{
    Asked, Limit, answer, encoded, iso, ok, page, place, refuse, require, serve, slice, token,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![jira_lists(), jira_search(), confluence_search(), confluence_v2()]
}

const SITE: &str = "https://your-domain.atlassian.net";
const BASIC: &str = "Basic bWVAZXhhbXBsZS5jb206YXBpX3Rva2Vu";

/// What all of them say of their limit: `Retry-After` in seconds, and the reset as an ISO 8601 time
/// (developer.atlassian.com, "Rate limiting").
fn limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized(BASIC)?;
    let Some(wait) = limit.meets(asked)? else { return Ok(()) };
    Err(answer(429, json!({ "errorMessages": ["Rate limit exceeded."] }))
        .header("retry-after", &wait.as_secs().to_string())
        .header("x-ratelimit-limit", "350")
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", &iso(limit.after(wait) as i64))
        .header("ratelimit-reason", "jira-quota-tenant-based"))
}

fn source(name: &str, path: &str) -> SourceBuilder {
    Source::get(name, format!("{SITE}{path}")).basic("me@example.com", "api_token")
}

fn project(number: u64) -> Value {
    json!({ "n": number, "id": (10_000 + number).to_string(), "key": format!("P{number}") })
}

fn page_bean(limit: Limit) -> Scripted {
    serve(move |asked| {
        limited(asked, &limit)?;
        asked.at("GET", "/rest/api/3/project/search")?;
        asked.asks("orderBy", "key")?;
        // Whatever is asked for, 50 is the most, and nothing says so but `maxResults` in the answer.
        let (at, size) = (asked.number("startAt", 0)?, asked.number("maxResults", 50)?.min(50));
        let rows = page(at, size, project);
        let end = slice(at, size).end;
        let mut body = json!({
            "self": format!("{SITE}/rest/api/3/project/search?orderBy=key&startAt={at}&maxResults={size}"),
            "startAt": at, "maxResults": size, "total": RECORDS, "isLast": end >= RECORDS, "values": rows,
        });
        if end < RECORDS {
            let next =
                format!("{SITE}/rest/api/3/project/search?orderBy=key&startAt={end}&maxResults={size}");
            body["nextPage"] = json!(next);
        }
        ok(body)
    })
}

/// `startAt`, and steps by the rows received, for the size is clamped quietly (developer.atlassian.com, "The Jira Cloud
/// platform REST API", "Pagination"). Besides `isLast` and `total` there is the URL of the next page, but not on all
/// lists. The old `/search` is gone (410).
fn jira_lists() -> Row {
    let source =
        || source("projects", "/rest/api/3/project/search").query("orderBy", "key").records("values");
    let offset = || Offset::new(1000).offset_param("startAt").limit_param("maxResults");
    let way = |primitive, source| {
        let limit = Limit::told(6, 45);
        Way::new(primitive, page_bean(limit.clone()), source).checked(move || limit.kept())
    };
    Row::new(
        "Jira Cloud (old lists)",
        [
            way("O", source().paginate(offset().until_true("isLast"))).named("isLast"),
            way("O", source().paginate(offset().until_total("total"))).named("total"),
            way("N", source().paginate(NextUrl::body("nextPage").missing_ends())).named("nextPage"),
        ],
    )
}

/// Answers a search, whose terms came in the query or in the body.
fn found(jql: &str, fields: bool, at: u64, size: u64) -> Value {
    debug_assert!(!jql.is_empty());
    let issue = |number: u64| match fields {
        true => json!({ "n": number, "id": (20_000 + number).to_string(), "fields": { "summary": "…" } }),
        // Only the ids come if no fields are asked for.
        false => json!({ "id": (20_000 + number).to_string() }),
    };
    let end = slice(at, size).end;
    let mut body = json!({ "issues": page(at, size, issue), "isLast": end >= RECORDS });
    if end < RECORDS {
        body["nextPageToken"] = json!(token(end));
    }
    body
}

/// A token, left out on the last page; `isLast` says the same. GET and POST do the same, with the position in the query
/// or in the body; fields come only if they are asked for, and the more are asked for the fewer issues come
/// (developer.atlassian.com, "Issue search", "Search for issues using JQL enhanced search"; 50, at most 5,000 a page).
fn jira_search() -> Row {
    let jql = "project = HW ORDER BY created";
    let limits = (Limit::told(4, 20), Limit::told(5, 20));
    let (get_kept, post_kept) = limits.clone();
    let get = serve(move |asked| {
        limited(asked, &limits.0)?;
        asked.at("GET", "/rest/api/3/search/jql")?;
        asked.asks("jql", jql)?;
        let at = asked.query("nextPageToken").map_or(Ok(0), place)?;
        let fields = asked.query("fields").is_some();
        let size = asked.number("maxResults", 50)?.min(if fields { 100 } else { 5000 });
        ok(found(jql, fields, at, size))
    });
    let post = serve(move |asked| {
        limited(asked, &limits.1)?;
        asked.at("POST", "/rest/api/3/search/jql")?;
        asked.only(&[])?;
        require(asked.body("/jql") == jql, "the query changed between two pages")?;
        // `null` is no token.
        require(
            !asked.has("/nextPageToken") || asked.body("/nextPageToken").is_string(),
            "Invalid request payload",
        )?;
        let at = asked.body("/nextPageToken").as_str().map_or(Ok(0), place)?;
        let fields = asked.body("/fields").is_array();
        let size = asked.body("/maxResults").as_u64().unwrap_or(50).min(if fields { 100 } else { 5000 });
        ok(found(jql, fields, at, size))
    });
    let by_get = source("issues", "/rest/api/3/search/jql")
        .query("jql", jql)
        .query("fields", "*navigable")
        .query("maxResults", "5000")
        .records("issues")
        .paginate(Cursor::body("nextPageToken").into_query("nextPageToken").until_true("isLast"));
    let body = json!({ "jql": jql, "fields": ["*navigable"], "maxResults": 5000 });
    let by_post = Source::post("issues", format!("{SITE}/rest/api/3/search/jql"))
        .json(body)
        .repeatable()
        .basic("me@example.com", "api_token")
        .records("issues")
        .paginate(Cursor::body("nextPageToken").into_body("nextPageToken").missing_ends());
    Row::new(
        "Jira Cloud search/jql",
        [
            Way::new("C", get, by_get).named("GET").checked(move || get_kept.kept()),
            Way::new("C", post, by_post).named("POST").checked(move || post_kept.kept()),
        ],
    )
}

/// `_links.next` is relative to `_links.base`, which ends in `/wiki`: neither to the host nor to the page. It must be
/// followed as it is, for `start` has no meaning any more (developer.atlassian.com, "Confluence Cloud REST API v1",
/// "Search content"; "Change notice - removal of start from search").
fn confluence_search() -> Row {
    let limit = Limit::told(8, 15);
    let kept = limit.clone();
    let search = serve(move |asked| {
        limited(asked, &limit)?;
        asked.at("GET", "/wiki/rest/api/search")?;
        asked.asks("cql", "type = page")?;
        require(asked.query("start").is_none(), "start is not supported")?;
        let size = asked.number("limit", 25)?.min(50);
        let at = match asked.query("cursor") {
            Some(cursor) => {
                asked.asks("next", "true")?;
                place(cursor)?
            }
            None => 0,
        };
        let end = slice(at, size).end;
        let rows = page(at, size, |n| json!({ "n": n, "content": { "id": n.to_string() } }));
        let mut body = json!({
            "results": rows, "limit": size, "size": end - at, "totalSize": RECORDS,
            "_links": { "base": format!("{SITE}/wiki"), "context": "/wiki" },
        });
        if end < RECORDS {
            let cursor = encoded(&token(end));
            let next = format!("/rest/api/search?next=true&cursor={cursor}&limit={size}&cql=type+%3D+page");
            body["_links"]["next"] = json!(next);
        }
        ok(body)
    });
    let source = source("search", "/wiki/rest/api/search")
        .query("cql", "type = page")
        .query("limit", "50")
        .records("results")
        .paginate(NextUrl::body("_links.next").base_body("_links.base").missing_ends());
    Row::new("Confluence v1 search", [Way::new("N", search, source).checked(move || kept.kept())])
}

fn pages(limit: Limit) -> Scripted {
    serve(move |asked| {
        limited(asked, &limit)?;
        asked.at("GET", "/wiki/api/v2/pages")?;
        asked.asks("status", "current")?;
        let size = asked.number("limit", 25)?;
        if size > 250 {
            return Err(refuse(400, "limit must be 250 at most"));
        }
        let at = asked.query("cursor").map_or(Ok(0), place)?;
        let end = slice(at, size).end;
        let rows = page(at, size, |n| json!({ "n": n, "id": n.to_string(), "status": "current" }));
        let mut body = json!({ "results": rows, "_links": { "base": format!("{SITE}/wiki") } });
        let base = format!("<{SITE}/wiki>; rel=\"base\"");
        if end >= RECORDS {
            return Ok(answer(200, body).header("link", &base));
        }
        let next = format!("/wiki/api/v2/pages?status=current&limit={size}&cursor={}", encoded(&token(end)));
        body["_links"]["next"] = json!(next);
        Ok(answer(200, body).header("link", &format!("<{next}>; rel=\"next\", {base}")))
    })
}

/// Relative to the host, in `_links.next` and in the `Link` header alike (developer.atlassian.com, "The Confluence Cloud
/// REST API", "Using the REST API"; 25, at most 250 a page).
fn confluence_v2() -> Row {
    let source = || {
        source("pages", "/wiki/api/v2/pages")
            .query("status", "current")
            .query("limit", "250")
            .records("results")
    };
    let way = |source| {
        let limit = Limit::told(2, 10);
        Way::new("N", pages(limit.clone()), source).checked(move || limit.kept())
    };
    Row::new(
        "Confluence v2",
        [
            way(source().paginate(NextUrl::body("_links.next").missing_ends())).named("_links.next"),
            way(source().paginate(LinkHeader::new())).named("Link"),
        ],
    )
}
