//! Okta, Auth0, SCIM.

use headwater::Source;
use headwater::pages::Window;
use headwater::paginate::{Cursor, End, LinkHeader, Offset, PageNumber};
use headwater::request::Target;
use headwater::testing::Reply;
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, Served, answer, day, ok, page, place, refuse, serve, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![auth0_page(), okta(), scim_cursor(), scim_index(), auth0_checkpoint()]
}

fn auth0_limit(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("Bearer auth0Token")?;
    limit.pass(asked, |wait| {
        Reply::status(429)
            .header("x-ratelimit-limit", "50")
            .header("x-ratelimit-remaining", "0")
            .header("x-ratelimit-reset", &limit.after(wait).to_string())
            .body(r#"{"statusCode":429,"error":"Too Many Requests","errorCode":"too_many_requests"}"#)
    })
}

/// Auth0, checkpoint pagination (auth0.com/docs, "Get Organizations"): `take` (50, at most 100) on the first page and on
/// every other; `from` is the last answer's `next`, absent at the end. Without `take` it pages by number, and says nothing
/// of a next one.
fn auth0_checkpoint() -> Row {
    let limit = Limit::told(5, 4);
    let hit = limit.clone();
    let server = serve(move |asked| {
        asked.at("GET", "/api/v2/organizations")?;
        auth0_limit(asked, &limit)?;
        asked.only(&["take", "from", "sort"])?;
        if asked.query("take").is_none() {
            return ok(page(0, 50, |n| json!({"n": n})).into());
        }
        let size = asked.size("take", 50, 100)?;
        let start = asked.query("from").map_or(Ok(0), place)?;
        let mut body =
            json!({"organizations": page(start, size, |n| json!({"id": format!("org_{n}"), "n": n}))});
        if start + size < RECORDS {
            body["next"] = token(start + size).into();
        }
        ok(body)
    });
    let source = Source::get("organizations", "https://acme.eu.auth0.com/api/v2/organizations")
        .bearer("auth0Token")
        .query("take", "100")
        .records("organizations")
        .paginate(Cursor::body("next").into_query("from").missing_ends());
    Row::new("Auth0 checkpoint", [Way::new("C", server, source).checked(move || hit.kept())])
}

fn scim(asked: &Asked<'_>) -> Result<(), Reply> {
    asked.authorized("Bearer scimToken")?;
    asked.says("accept", "application/scim+json")
}

const USERS: &str = "https://scim.example.com/v2/Users";

/// SCIM 2.0 (RFC 7644 §3.4.2.4, §3.4.3): `startIndex` from 1, `count`, `totalResults`. The server gives fewer than were
/// asked for, and says so in `itemsPerPage` only. The same in the body of a POST to /.search.
fn scim_index() -> Row {
    let answer = |start: u64, count: u64| {
        // As one server does that was asked for 5,000: the most is 500.
        let found = page(start.max(1) - 1, count.min(500), |n| json!({"id": format!("u{n}"), "n": n}));
        ok(json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": RECORDS, "startIndex": start, "itemsPerPage": found.len(), "Resources": found,
        }))
    };
    let limit = Limit::told(2, 3);
    let get_hit = limit.clone();
    let get = serve(move |asked| {
        asked.at("GET", "/v2/Users")?;
        scim(asked)?;
        limit.pass(asked, |wait| Reply::status(429).header("retry-after", &wait.as_secs().to_string()))?;
        asked.only(&["startIndex", "count", "filter", "attributes"])?;
        asked.asks("filter", "active eq true")?;
        answer(asked.number("startIndex", 1)?, asked.number("count", 100)?)
    });
    let search = serve(move |asked| {
        asked.at("POST", "/v2/Users/.search")?;
        scim(asked)?;
        asked.says("content-type", "application/scim+json")?;
        if *asked.body("/schemas") != json!(["urn:ietf:params:scim:api:messages:2.0:SearchRequest"])
            || asked.body("/filter") != "active eq true"
        {
            return Err(refuse(400, "invalidSyntax"));
        }
        let number = |field: &str| asked.body(field).as_u64().ok_or_else(|| refuse(400, "invalidValue"));
        answer(number("/startIndex")?, number("/count")?)
    });
    let get_source = Source::get("users", USERS)
        .bearer("scimToken")
        .header("accept", "application/scim+json")
        .query("filter", "active eq true")
        .records("Resources")
        .paginate(
            Offset::new(5000)
                .start(1)
                .offset_param("startIndex")
                .limit_param("count")
                .until_total("totalResults"),
        );
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": "active eq true"});
    let offset =
        Offset::new(5000).start(1).offset_into(Target::body("startIndex")).limit_into(Target::body("count"));
    let search_source = Source::post("users", format!("{USERS}/.search"))
        .bearer("scimToken")
        .header("accept", "application/scim+json")
        .header("content-type", "application/scim+json")
        .json(body)
        .repeatable()
        .records("Resources")
        .paginate(offset.until_total("totalResults"));
    Row::new(
        "SCIM index",
        [
            Way::new("O", get, get_source).named("GET").checked(move || get_hit.kept()),
            Way::new("O", search, search_source).named(".search"),
        ],
    )
}

/// SCIM cursors (RFC 9865 §2): the first request has a `cursor` without a value; `nextCursor` is absent at the end. Without
/// `cursor` the server pages by index, and no `nextCursor` comes: that would be the end after one page.
fn scim_cursor() -> Row {
    let limit = Limit::told(4, 3);
    let hit = limit.clone();
    let server = serve(move |asked| {
        asked.at("GET", "/v2/Users")?;
        scim(asked)?;
        limit.pass(asked, |wait| Reply::status(429).header("retry-after", &wait.as_secs().to_string()))?;
        asked.only(&["cursor", "count", "filter"])?;
        asked.asks("filter", "active eq true")?;
        let size = asked.number("count", 100)?.min(250);
        let start = match asked.query("cursor") {
            Some("") => 0,
            Some(cursor) => place(cursor)?,
            None => 0,
        };
        let found = page(start, size, |n| json!({"id": format!("u{n}"), "n": n}));
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": RECORDS, "itemsPerPage": found.len(), "Resources": found,
        });
        if start + size < RECORDS && asked.query("cursor").is_some() {
            body["nextCursor"] = token(start + size).into();
        }
        ok(body)
    });
    let source = Source::get("users", USERS)
        .bearer("scimToken")
        .header("accept", "application/scim+json")
        .query("filter", "active eq true")
        .query("count", "200")
        .records("Resources")
        .paginate(Cursor::body("nextCursor").into_query("cursor").first("").missing_ends());
    Row::new("SCIM cursor (RFC 9865)", [Way::new("C", server, source).checked(move || hit.kept())])
}

/// Okta (developer.okta.com/docs/api/#pagination, "Rate limits"): several `Link` lines, `after` is a token; users 200 at
/// most, the system log 1,000, and without `until` its next link is always there: it is polled. A 429 has
/// `X-Rate-Limit-Reset` in epoch seconds.
fn okta() -> Row {
    let server = |log: bool| {
        let (path, most) = if log { ("/api/v1/logs", 1000) } else { ("/api/v1/users", 200) };
        let limit = Limit::told(3, 22);
        let hit = limit.clone();
        let server = serve(move |asked| {
            asked.at("GET", path)?;
            asked.authorized("SSWS 00token")?;
            let told = |reply: Reply, remaining: &str, reset: u64| {
                reply
                    .header("x-rate-limit-limit", "600")
                    .header("x-rate-limit-remaining", remaining)
                    .header("x-rate-limit-reset", &reset.to_string())
            };
            limit.pass(asked, |wait| {
                let body = r#"{"errorCode":"E0000047","errorSummary":"API call exceeded rate limit due to too many requests."}"#;
                told(Reply::status(429).body(body), "0", limit.after(wait))
            })?;
            asked.only(&["limit", "after", "since", "filter"])?;
            let filter = "status eq \"ACTIVE\"";
            asked.asks("filter", filter)?;
            let size = asked.size("limit", most, most)?;
            let start = asked.query("after").map_or(Ok(0), place)?;
            let found = page(start, size, |n| json!({"id": format!("00u{n}"), "n": n}));
            let link = |after: Option<u64>| {
                let mut url = url::Url::parse(&format!("https://acme.okta.com{path}")).expect("a URL");
                url.query_pairs_mut().append_pair("filter", filter).append_pair("limit", &size.to_string());
                if let Some(after) = after {
                    url.query_pairs_mut().append_pair("after", &token(after));
                }
                url
            };
            let next = start + found.len() as u64;
            let reply =
                told(answer(200, found.into()), "590", limit.after(std::time::Duration::from_secs(60)));
            let reply =
                reply.header("link", &format!("<{}>; rel=\"self\"", link((start > 0).then_some(start))));
            if log || next < RECORDS {
                return Ok(reply.header("link", &format!("<{}>; rel=\"next\"", link(Some(next)))));
            }
            Ok(reply)
        });
        (server, hit)
    };
    let source = |url: &str| {
        Source::get("objects", url)
            .api_key_header("authorization", "SSWS 00token")
            .query("filter", "status eq \"ACTIVE\"")
            .records("")
    };
    let ((users, users_hit), (log, log_hit)) = (server(false), server(true));
    let users_source =
        source("https://acme.okta.com/api/v1/users").query("limit", "200").paginate(LinkHeader::new());
    let log_source = source("https://acme.okta.com/api/v1/logs")
        .query("limit", "500")
        .paginate(LinkHeader::new().until(End::empty_page()));
    Row::new(
        "Okta",
        [
            Way::new("N", users, users_source).named("users").checked(move || users_hit.kept()),
            Way::new("N", log, log_source).named("system log").checked(move || log_hit.kept()),
        ],
    )
}

/// Auth0, "View search results by page" (auth0.com/docs): `page` from 0, `per_page` (50, at most 100), and a `total` with
/// `include_totals`; users beyond the first 1,000 are refused with a 400. So the users are asked for by the time of their
/// creation, and a slice that has more is halved. Other lists have no such end.
fn auth0_page() -> Row {
    let answer = |asked: &Asked<'_>, field: &str, found: Vec<u64>, reach: u64| -> Served {
        let (size, number) = (asked.size("per_page", 50, 100)?, asked.number("page", 0)?);
        let start = number * size;
        if start + size > reach {
            return Err(refuse(400, "You can only page through the first 1000 records."));
        }
        asked.asks("include_totals", "true")?;
        let shown = found.iter().skip(start as usize).take(size as usize);
        let shown: Vec<Value> = shown.map(|n| json!({"id": format!("auth0|{n}"), "n": n})).collect();
        ok(json!({"start": start, "limit": size, "length": shown.len(), "total": found.len(), field: shown}))
    };
    let limit = Limit::told(3, 7);
    let roles_hit = limit.clone();
    let roles = serve(move |asked| {
        asked.at("GET", "/api/v2/roles")?;
        auth0_limit(asked, &limit)?;
        asked.only(&["page", "per_page", "include_totals"])?;
        answer(asked, "roles", (0..RECORDS).collect(), u64::MAX)
    });
    let pages = || PageNumber::new().start(0).size("per_page", 100).until(End::total("total"));
    let source = |name: &str, url: &str| {
        Source::get(name, url).bearer("auth0Token").query("include_totals", "true").paginate(pages())
    };
    let roles_source = source("roles", "https://acme.eu.auth0.com/api/v2/roles").records("roles");

    let limit = Limit::told(4, 9);
    let users_hit = limit.clone();
    let begin = day("2026-01-01");
    let users = serve(move |asked| {
        asked.at("GET", "/api/v2/users")?;
        auth0_limit(asked, &limit)?;
        asked.only(&["page", "per_page", "include_totals", "search_engine", "sort", "q"])?;
        asked.asks("search_engine", "v3")?;
        asked.asks("sort", "created_at:1")?;
        // Lucene: from the first, which counts, to the last, which does not.
        let query = asked.query("q").unwrap_or_default();
        let range =
            query.strip_prefix("created_at:[").and_then(|rest| rest.strip_suffix('}')?.split_once(" TO "));
        let time = |text: &str| {
            chrono::DateTime::parse_from_rfc3339(text).map_err(|_| refuse(400, "invalid query string"))
        };
        let (start, end) = range.ok_or_else(|| refuse(400, "invalid query string"))?;
        let (start, end) = (time(start)?, time(end)?);
        let found = (0..RECORDS).filter(|n| {
            let created = begin + chrono::Duration::minutes(90 * *n as i64);
            created >= start && created < end
        });
        answer(asked, "users", found.collect(), 1000)
    });
    let users_source = source("users", "https://acme.eu.auth0.com/api/v2/users")
        .query("search_engine", "v3")
        .query("sort", "created_at:1")
        .query("q", "created_at:[{start} TO {end}}")
        .records("users")
        .window(Window::time("2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z").ceiling(1000).total_at("total"));
    Row::new(
        "Auth0 page",
        [
            Way::new("G", roles, roles_source).named("roles").checked(move || roles_hit.kept()),
            Way::new("W,G", users, users_source).named("users").checked(move || users_hit.kept()),
        ],
    )
}
