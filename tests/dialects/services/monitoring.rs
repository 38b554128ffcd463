//! Datadog, PagerDuty, Sentry, New Relic.

use headwater::exchange::{Verdict, When};
use headwater::pages::Window;
use headwater::paginate::{Cursor, LinkHeader, Offset, PageNumber};
use headwater::testing::Reply;
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, answer, day, ok, page, place, refuse, serve, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![pager_duty_classic(), datadog(), pager_duty_cursor(), sentry(), new_relic()]
}

/// Datadog API v2 (docs.datadoghq.com/api/latest; github.com/DataDog/datadog-api-client-python): logs by `page[cursor]`, in
/// the query or in the body of a search, 10 by default, at most 1,000, `meta.page.after` absent at the end, and
/// `meta.status` is `timeout` where not all was searched; incidents by `page[offset]`; users by `page[number]` from 0. Two
/// keys with every request. A 429 has `X-RateLimit-Reset`, in seconds left.
fn datadog() -> Row {
    let common = |asked: &Asked<'_>, limit: &Limit| {
        asked.credentials("dd-api-key", "ddApi")?;
        asked.credentials("dd-application-key", "ddApp")?;
        limit.pass(asked, |wait| {
            Reply::status(429)
                .header("x-ratelimit-limit", "300")
                .header("x-ratelimit-period", "3600")
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-reset", &wait.as_secs().to_string())
                .header("x-ratelimit-name", "logs_public_search_api")
                .body(r#"{"errors":["Too many requests"]}"#)
        })
    };
    let with = |source: SourceBuilder| {
        source.api_key_header("dd-api-key", "ddApi").header("dd-application-key", "ddApp").records("data")
    };
    let log = |n: u64| json!({"id": format!("AQAAA{n}"), "type": "log", "attributes": {"n": n}});
    let logs = move |start: u64, size: u64, in_time: bool| {
        let mut meta = json!({"status": if in_time { "done" } else { "timeout" }, "elapsed": 12});
        if start + size < RECORDS {
            meta["page"] = json!({"after": token(start + size)});
        }
        let size = if in_time { size } else { size / 2 };
        ok(json!({"data": page(start, size, log), "meta": meta}))
    };
    let out_of_time = When::any().body("meta.status", "timeout").means(Verdict::Retry);

    let limit = Limit::told(2, 13);
    let events_hit = limit.clone();
    let events = serve(move |asked| {
        asked.at("GET", "/api/v2/logs/events")?;
        common(asked, &limit)?;
        asked.only(&["filter[query]", "page[limit]", "page[cursor]"])?;
        asked.asks("filter[query]", "service:web")?;
        let start = asked.query("page[cursor]").map_or(Ok(0), place)?;
        logs(start, asked.size("page[limit]", 10, 1000)?, asked.nth != 3)
    });
    let events_source = with(Source::get("logs", "https://api.datadoghq.com/api/v2/logs/events"))
        .query("filter[query]", "service:web")
        .query("page[limit]", "500")
        .rule(out_of_time.clone())
        .paginate(Cursor::body("meta.page.after").into_query("page[cursor]").missing_ends());

    let limit = Limit::told(3, 2);
    let search_hit = limit.clone();
    let search = serve(move |asked| {
        asked.at("POST", "/api/v2/logs/events/search")?;
        common(asked, &limit)?;
        if asked.body("/filter/query") != "service:web" {
            return Err(refuse(400, "the cursor belongs to another query"));
        }
        let start = match asked.body("/page/cursor") {
            Value::String(cursor) => place(cursor)?,
            _ => 0,
        };
        match asked.body("/page/limit").as_u64().unwrap_or(10) {
            size @ 1..=1000 => logs(start, size, asked.nth != 4),
            _ => Err(refuse(400, "page.limit must be at most 1000")),
        }
    });
    let body = json!({"filter": {"query": "service:web"}, "page": {"limit": 400}});
    let search_source = with(Source::post("logs", "https://api.datadoghq.com/api/v2/logs/events/search"))
        .json(body)
        .repeatable()
        .rule(out_of_time)
        .paginate(Cursor::body("meta.page.after").into_body("page.cursor").missing_ends());

    let limit = Limit::told(4, 5);
    let incidents_hit = limit.clone();
    let incidents = serve(move |asked| {
        asked.at("GET", "/api/v2/incidents")?;
        common(asked, &limit)?;
        asked.only(&["page[size]", "page[offset]"])?;
        let (size, start) = (asked.size("page[size]", 10, 100)?, asked.number("page[offset]", 0)?);
        let data = page(start, size, log);
        let pagination =
            json!({"offset": start, "size": data.len(), "next_offset": start + data.len() as u64});
        ok(json!({"data": data, "meta": {"pagination": pagination}}))
    });
    let incidents_source = with(Source::get("incidents", "https://api.datadoghq.com/api/v2/incidents"))
        .paginate(Offset::new(100).offset_param("page[offset]").limit_param("page[size]"));

    let limit = Limit::told(2, 6);
    let users_hit = limit.clone();
    let users = serve(move |asked| {
        asked.at("GET", "/api/v2/users")?;
        common(asked, &limit)?;
        asked.only(&["page[size]", "page[number]", "sort"])?;
        asked.asks("sort", "name")?;
        let (size, number) = (asked.size("page[size]", 10, 100)?, asked.number("page[number]", 0)?);
        let counts = json!({"total_count": RECORDS, "total_filtered_count": RECORDS});
        ok(json!({"data": page(number * size, size, log), "meta": {"page": counts}}))
    });
    let users_source = with(Source::get("users", "https://api.datadoghq.com/api/v2/users"))
        .query("sort", "name")
        .paginate(PageNumber::new().param("page[number]").start(0).size("page[size]", 100));
    Row::new(
        "Datadog v2",
        [
            Way::new("C", events, events_source)
                .named("logs")
                .number("attributes.n")
                .checked(move || events_hit.kept()),
            Way::new("C", search, search_source)
                .named("log search")
                .number("attributes.n")
                .checked(move || search_hit.kept()),
            Way::new("O", incidents, incidents_source)
                .named("incidents")
                .number("attributes.n")
                .checked(move || incidents_hit.kept()),
            Way::new("G", users, users_source)
                .named("users")
                .number("attributes.n")
                .checked(move || users_hit.kept()),
        ],
    )
}

fn pager_duty(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("Token token=y_NbAkKc")?;
    asked.says("accept", "application/vnd.pagerduty+json;version=2")?;
    limit.pass(asked, |wait| {
        Reply::status(429)
            .header("ratelimit-limit", "960")
            .header("ratelimit-remaining", "0")
            .header("ratelimit-reset", &wait.as_secs().to_string())
            .body(r#"{"error":{"message":"Rate Limit Exceeded","code":2020}}"#)
    })
}

fn pager_duty_source(name: &str, url: &str) -> SourceBuilder {
    Source::get(name, url)
        .api_key_header("authorization", "Token token=y_NbAkKc")
        .header("accept", "application/vnd.pagerduty+json;version=2")
}

/// PagerDuty, cursor-based pagination (the same page; `GET /audit/records`): `cursor`, `next_cursor` null at the end.
fn pager_duty_cursor() -> Row {
    let limit = Limit::told(2, 44);
    let hit = limit.clone();
    let server = serve(move |asked| {
        asked.at("GET", "/audit/records")?;
        pager_duty(asked, &limit)?;
        asked.only(&["limit", "cursor", "since", "until"])?;
        asked.asks("since", "2026-05-01")?;
        let size = asked.size("limit", 100, 100)?;
        let start = asked.query("cursor").map_or(Ok(0), place)?;
        let next = (start + size < RECORDS).then(|| token(start + size));
        let records = page(start, size, |n| json!({"id": format!("PDR{n}"), "n": n}));
        ok(json!({"records": records, "next_cursor": next, "limit": size}))
    });
    let source = pager_duty_source("audit", "https://api.pagerduty.com/audit/records")
        .query("since", "2026-05-01")
        .query("limit", "100")
        .records("records")
        .paginate(Cursor::body("next_cursor").into_query("cursor"));
    Row::new("PagerDuty cursor", [Way::new("C", server, source).checked(move || hit.kept())])
}

/// Sentry, "Paginating Results" and "Rate Limits" (docs.sentry.io/api): the next link never goes away; its parameter
/// `results="false"` is the end, and whoever follows it all the same gets an empty page for ever. At most 100.
fn sentry() -> Row {
    let limit = Limit::told(3, 14);
    let hit = limit.clone();
    let server = serve(move |asked| {
        asked.at("GET", "/api/0/projects/acme/web/issues/")?;
        asked.authorized("Bearer sntrys")?;
        limit.pass(asked, |wait| {
            Reply::status(429)
                .header("x-sentry-rate-limit-limit", "40")
                .header("x-sentry-rate-limit-remaining", "0")
                .header("x-sentry-rate-limit-reset", &limit.after(wait).to_string())
                .header("x-sentry-rate-limit-concurrentlimit", "25")
                .header("x-sentry-rate-limit-concurrentremaining", "24")
                .body(r#"{"detail":"You are attempting to use this endpoint too frequently."}"#)
        })?;
        asked.only(&["query", "cursor", "per_page"])?;
        asked.asks("query", "is:unresolved")?;
        let start = match asked.query("cursor") {
            None => 0,
            Some(cursor) => {
                let offset = cursor.strip_prefix("0:").and_then(|rest| rest.split_once(':'));
                offset
                    .and_then(|(offset, _)| offset.parse().ok())
                    .ok_or_else(|| refuse(400, "Invalid cursor"))?
            }
        };
        let issues = page(start, 100, |n| json!({"id": n.to_string()}));
        let link = |rel: &str, start: u64, previous: u8, results: bool| {
            let cursor = format!("0:{start}:{previous}");
            format!(
                "<https://sentry.io/api/0/projects/acme/web/issues/?query=is%3Aunresolved&cursor={cursor}>; rel=\"{rel}\"; \
                 results=\"{results}\"; cursor=\"{cursor}\""
            )
        };
        let next = link("next", start + 100, 0, start + 100 < RECORDS);
        let previous = link("previous", start.saturating_sub(100), 1, start > 0);
        Ok(answer(200, issues.into()).header("link", &format!("{previous}, {next}")).header("x-hits", "1234"))
    });
    let source = Source::get("issues", "https://sentry.io/api/0/projects/acme/web/issues/")
        .bearer("sntrys")
        .query("query", "is:unresolved")
        .records("")
        .paginate(LinkHeader::new().until_param("results", "false"));
    Row::new("Sentry", [Way::new("N", server, source).number("id").checked(move || hit.kept())])
}

/// New Relic. REST v2 (docs.newrelic.com/docs/apis/rest-api-v2/basic-functions/pagination-api-output): `page`, `Link`, and no
/// next link at the end. NerdGraph (docs.newrelic.com/docs/apis/nerdgraph): `nextCursor`, null at the end, goes into
/// `results(cursor:)`; at most 25 requests at once ("NerdGraph usage limits"), and a 429 that says nothing beyond that.
fn new_relic() -> Row {
    let limit = Limit::untold(3, 0);
    let rest_hit = limit.clone();
    let rest = serve(move |asked| {
        asked.at("GET", "/v2/applications.json")?;
        asked.credentials("api-key", "NRAK")?;
        limit.pass(asked, |_| Reply::status(429).body(r#"{"error":{"title":"Too many requests"}}"#))?;
        asked.only(&["page", "filter[language]"])?;
        asked.asks("filter[language]", "rust")?;
        let number = asked.number("page", 1)?;
        let start = (number - 1) * 200;
        let found = page(start, 200, |n| json!({"id": n, "name": "app"}));
        let link = |rel: &str, number: u64| {
            format!(
                "<https://api.newrelic.com/v2/applications.json?filter%5Blanguage%5D=rust&page={number}>; rel=\"{rel}\""
            )
        };
        let reply = answer(200, json!({"applications": found, "links": {}}));
        if start + 200 >= RECORDS {
            return Ok(reply.header("link", &format!("{}, {}", link("first", 1), link("prev", number - 1))));
        }
        Ok(reply.header(
            "link",
            &format!("{}, {}", link("next", number + 1), link("last", RECORDS.div_ceil(200))),
        ))
    });
    let rest_source = Source::get("applications", "https://api.newrelic.com/v2/applications.json")
        .api_key_header("api-key", "NRAK")
        .query("filter[language]", "rust")
        .records("applications")
        .paginate(LinkHeader::new());

    let limit = Limit::untold(2, 0);
    let graph_hit = limit.clone();
    let graph = serve(move |asked| {
        asked.at("POST", "/graphql")?;
        asked.credentials("api-key", "NRAK")?;
        // More than 25 at once by one user.
        limit.pass(asked, |_| Reply::status(429))?;
        if asked.body("/variables/query") != "domain = 'APM'" {
            return Err(refuse(400, "the cursor belongs to another query"));
        }
        let start = match asked.body("/variables/cursor") {
            Value::String(cursor) => place(cursor)?,
            _ => 0,
        };
        let next = (start + 200 < RECORDS).then(|| token(start + 200));
        let results = json!({"nextCursor": next, "entities": page(start, 200, |n| json!({"guid": format!("MX{n}"), "n": n}))});
        ok(json!({"data": {"actor": {"entitySearch": {"count": RECORDS, "results": results}}}}))
    });
    let query = "query ($query: String!, $cursor: String) { actor { entitySearch(query: $query) { count \
                 results(cursor: $cursor) { nextCursor entities { guid name } } } } }";
    let results = "data.actor.entitySearch.results";
    let graph_source = Source::graphql("entities", "https://api.newrelic.com/graphql", query)
        .variable("query", "domain = 'APM'")
        .api_key_header("api-key", "NRAK")
        .records(format!("{results}.entities"))
        .paginate(Cursor::body(format!("{results}.nextCursor")).into_body("variables.cursor"));
    Row::new(
        "New Relic",
        [
            Way::new("N", rest, rest_source).named("REST").number("id").checked(move || rest_hit.kept()),
            Way::new("C", graph, graph_source).named("NerdGraph").checked(move || graph_hit.kept()),
        ],
    )
}

/// PagerDuty, "Pagination" (developer.pagerduty.com/docs/pagination): `offset` and `limit` (25, at most 100), `more`;
/// `total` is null unless asked for. `offset + limit` beyond 10,000 is refused with a 400: then `since` and `until`.
fn pager_duty_classic() -> Row {
    let begin = day("2026-01-01");
    let incidents = |reach: u64, limit: Limit| {
        serve(move |asked| {
            asked.at("GET", "/incidents")?;
            pager_duty(asked, &limit)?;
            asked.only(&["offset", "limit", "total", "since", "until", "sort_by", "date_range"])?;
            let time = |name: &str| match asked.query(name) {
                None => Ok(None),
                Some(text) => chrono::DateTime::parse_from_rfc3339(text)
                    .map(Some)
                    .map_err(|_| refuse(400, format!("{name} is no time"))),
            };
            let (since, until) = (time("since")?, time("until")?);
            if since.is_none() && asked.query("date_range") != Some("all") {
                return Err(refuse(400, "in this test, say date_range=all"));
            }
            let found: Vec<u64> = (0..RECORDS)
                .filter(|n| {
                    let created = begin + chrono::Duration::minutes(101 * *n as i64);
                    since.is_none_or(|since| created >= since) && until.is_none_or(|until| created < until)
                })
                .collect();
            let (size, start) = (asked.size("limit", 25, 100)?, asked.number("offset", 0)?);
            if start + size > reach {
                return Err(refuse(400, "Offset must be less than or equal to 10000"));
            }
            let shown = found.iter().skip(start as usize).take(size as usize);
            let shown: Vec<Value> = shown.map(|n| json!({"id": format!("PT{n}"), "n": n})).collect();
            let total = (asked.query("total") == Some("true")).then_some(found.len());
            let more = start + size < found.len() as u64;
            ok(json!({"incidents": shown, "limit": size, "offset": start, "total": total, "more": more}))
        })
    };
    let source =
        || pager_duty_source("incidents", "https://api.pagerduty.com/incidents").records("incidents");
    let limit = Limit::told(3, 19);
    let hit = limit.clone();
    let all = source().query("date_range", "all").paginate(Offset::new(100).until_false("more"));
    // The vendor's end is at 10,000; with 1,234 records, this one is at 1,000.
    let windowed = source()
        .query("since", "{start}")
        .query("until", "{end}")
        .query("total", "true")
        .paginate(Offset::new(100).until_false("more"))
        .window(Window::time("2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z").ceiling(1000).total_at("total"));
    Row::new(
        "PagerDuty classic",
        [
            Way::new("O", incidents(10_000, limit), all).named("offset").checked(move || hit.kept()),
            Way::new("W,O", incidents(1000, Limit::told(5, 1)), windowed).named("since, until"),
        ],
    )
}
