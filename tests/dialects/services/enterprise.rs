//! Workday, ServiceNow, MongoDB Atlas.

use headwater::Source;
use headwater::exchange::{Verdict, When};
use headwater::paginate::{End, LinkHeader, NextUrl, Offset, PageNumber};
use headwater::testing::Reply;
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Limit, answer, ok, page, refuse, serve};

pub(crate) fn rows() -> Vec<Row> {
    vec![atlas(), service_now(), workday()]
}

/// Workday REST (community.workday.com/sites/default/files/file-hosting/restapi): `offset` and `limit` (20, at most 100),
/// `total` and `data`.
fn workday() -> Row {
    let limit = Limit::untold(6, 0);
    let hit = limit.clone();
    let server = serve(move |asked| {
        asked.at("GET", "/ccx/api/v1/acme/workers")?;
        asked.authorized("Bearer wdToken")?;
        limit.pass(asked, |_| Reply::status(429).body(r#"{"error":"too many requests","errors":[]}"#))?;
        asked.only(&["limit", "offset", "search"])?;
        let (size, start) = (asked.size("limit", 20, 100)?, asked.number("offset", 0)?);
        let data = page(start, size, |n| json!({"id": format!("{n:032x}"), "descriptor": "A B", "n": n}));
        ok(json!({"total": RECORDS, "data": data}))
    });
    let source = Source::get("workers", "https://wd2-impl-services1.workday.com/ccx/api/v1/acme/workers")
        .bearer("wdToken")
        .records("data")
        .paginate(Offset::new(100).until_total("total"));
    Row::new("Workday REST", [Way::new("O", server, source).checked(move || hit.kept())])
}

/// 1,234 rows that one may see, among others.
fn table() -> Vec<Option<u64>> {
    let mut table = Vec::new();
    for n in 0..RECORDS {
        if n == 500 {
            table.extend(vec![None; 430]);
        }
        if n % 9 == 0 {
            table.push(None);
        }
        table.push(Some(n));
    }
    table
}

/// ServiceNow, Table API (docs.servicenow.com, "Table API", "Inbound REST API rate limiting"): `sysparm_offset` and
/// `sysparm_limit` (10,000) count the rows *before* the access rules take out some, so a page may be short or empty and
/// not the last. `Link` has the next page; `X-Total-Count` counts what is hidden, too. A 429 has `Retry-After`. A query that
/// takes too long breaks off in the middle of a 200, with `status: failure` (github.com/gflewis/sndml3/issues/38).
fn service_now() -> Row {
    let server = || {
        let limit = Limit::told(4, 35);
        let hit = limit.clone();
        let server = serve(move |asked| {
            asked.at("GET", "/api/now/table/incident")?;
            asked.authorized("Basic YWRtaW46cHc=")?;
            limit.pass(asked, |wait| {
                Reply::status(429)
                    .header("retry-after", &wait.as_secs().to_string())
                    .header("x-ratelimit-limit", "100")
                    .header("x-ratelimit-rule", "Limit Table API")
                    .header("x-ratelimit-reset", &limit.after(wait).to_string())
                    .body(r#"{"error":{"message":"Rate limit exceeded"},"status":"failure"}"#)
            })?;
            asked.only(&["sysparm_query", "sysparm_offset", "sysparm_limit"])?;
            asked.asks("sysparm_query", "active=true^ORDERBYsys_id")?;
            let (size, start) = (asked.number("sysparm_limit", 10_000)?, asked.number("sysparm_offset", 0)?);
            let table = table();
            // The body has begun, and with it the status 200, when the time for it is over.
            let cancelled = asked.nth == 6;
            let most = if cancelled { 7 } else { size as usize };
            let shown = table.iter().skip(start as usize).take(most).flatten();
            let shown: Vec<Value> =
                shown.map(|n| json!({"sys_id": format!("{n:032x}"), "n": n.to_string()})).collect();
            let all = table.len() as u64;
            let link = |rel: &str, start: u64| {
                format!(
                    "<https://acme.service-now.com/api/now/table/incident?sysparm_query=active%3Dtrue%5EORDERBYsys_id\
                     &sysparm_limit={size}&sysparm_offset={start}>;rel=\"{rel}\""
                )
            };
            let mut links = vec![link("first", 0)];
            if start > 0 {
                links.push(link("prev", start.saturating_sub(size)));
            }
            if start + size < all {
                links.push(link("next", start + size));
            }
            links.push(link("last", (all - 1) / size * size));
            let mut body = json!({ "result": shown });
            if cancelled {
                body["error"] = json!({"message": "Transaction cancelled: maximum execution time exceeded"});
                body["status"] = json!("failure");
            }
            Ok(answer(200, body).header("link", &links.join(",")).header("x-total-count", &all.to_string()))
        });
        (server, hit)
    };
    let source = || {
        Source::get("incidents", "https://acme.service-now.com/api/now/table/incident")
            .basic("admin", "pw")
            .query("sysparm_query", "active=true^ORDERBYsys_id")
            .rule(When::any().body("status", "failure").means(Verdict::Retry))
            .records("result")
    };
    let ((first, first_hit), (second, second_hit)) = (server(), server());
    let offset = Offset::new(200)
        .offset_param("sysparm_offset")
        .limit_param("sysparm_limit")
        .step_by_limit()
        .until(End::total_header("x-total-count"));
    Row::new(
        "ServiceNow",
        [
            Way::new("N", first, source().query("sysparm_limit", "200").paginate(LinkHeader::new()))
                .named("Link")
                .checked(move || first_hit.kept()),
            Way::new("O", second, source().paginate(offset))
                .named("offset")
                .checked(move || second_hit.kept()),
        ],
    )
}

/// MongoDB Atlas Administration API v2 (github.com/mongodb/openapi): `pageNum` from 1, `itemsPerPage` (100, at most 500),
/// `links` with `rel: next`, absent at the end, `totalCount`. The version is in `Accept`: without it 406. A 429 has
/// `Retry-After` ("Atlas Administration API Rate Limits").
fn atlas() -> Row {
    let server = || {
        let limit = Limit::told(2, 18);
        let hit = limit.clone();
        let server = serve(move |asked| {
            asked.at("GET", "/api/atlas/v2/groups/32b6/events")?;
            asked.authorized("Bearer mdb_sa_token")?;
            if asked.header("accept") != Some("application/vnd.atlas.2023-01-01+json") {
                return Err(refuse(406, "INVALID_VERSION_DATE"));
            }
            limit.pass(asked, |wait| {
                Reply::status(429)
                    .header("retry-after", &wait.as_secs().to_string())
                    .header("ratelimit-limit", "10")
                    .header("ratelimit-remaining", "0")
                    .body(r#"{"error":429,"errorCode":"RATE_LIMITED_TOKEN_BUCKET","reason":"Too Many Requests"}"#)
            })?;
            asked.only(&["pageNum", "itemsPerPage", "includeCount", "eventType"])?;
            asked.asks("eventType", "JOINED_GROUP")?;
            let (size, number) = (asked.size("itemsPerPage", 100, 500)?, asked.number("pageNum", 1)?);
            let start = (number - 1) * size;
            let link = |rel: &str, number: u64| json!({"rel": rel, "href": format!("https://cloud.mongodb.com/api/atlas/v2/groups/32b6/events?eventType=JOINED_GROUP&includeCount=true&pageNum={number}&itemsPerPage={size}")});
            let mut links = vec![link("self", number)];
            if number > 1 {
                links.push(link("previous", number - 1));
            }
            if start + size < RECORDS {
                links.push(link("next", number + 1));
            }
            let mut body = json!({"links": links, "results": page(start, size, |n| json!({"id": format!("{n:024x}"), "n": n}))});
            if asked.query("includeCount") != Some("false") {
                body["totalCount"] = RECORDS.into();
            }
            ok(body)
        });
        (server, hit)
    };
    let source = || {
        Source::get("events", "https://cloud.mongodb.com/api/atlas/v2/groups/32b6/events")
            .bearer("mdb_sa_token")
            .header("accept", "application/vnd.atlas.2023-01-01+json")
            .query("eventType", "JOINED_GROUP")
            .records("results")
    };
    let ((first, first_hit), (second, second_hit)) = (server(), server());
    let links = NextUrl::links("links").relation("next");
    let pages = PageNumber::new().param("pageNum").size("itemsPerPage", 500).until(End::total("totalCount"));
    Row::new(
        "MongoDB Atlas Admin",
        [
            Way::new("N", first, source().query("itemsPerPage", "500").paginate(links))
                .named("links")
                .checked(move || first_hit.kept()),
            Way::new("G", second, source().paginate(pages))
                .named("pageNum")
                .checked(move || second_hit.kept()),
        ],
    )
}
