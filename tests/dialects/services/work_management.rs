//! Airtable, Asana, Trello, Monday, ClickUp, Linear.

use headwater::exchange::{Verdict, When};
use headwater::hints::{At, Signal, Unit};
use headwater::page::Select;
use headwater::paginate::{Cursor, End, FollowUp, NextUrl, PageNumber};
use std::time::Duration;

use headwater::Source;
use headwater::testing::Reply;
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Limit, answer, ok, page, place, refuse, serve, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![monday(), asana(), airtable(), trello(), click_up(), linear()]
}

/// Airtable, "List records" (airtable.com/developers/web/api/list-records) and "Rate limits": `offset` is a token, and
/// absent on the last page. 429 names no wait: 30 s must pass. A token that is some minutes old is refused with 422.
fn airtable() -> Row {
    let server = |expires: bool| {
        let limit = Limit::untold(4, 30);
        let hit = limit.clone();
        let server = serve(move |asked| {
            asked.at("GET", "/v0/appHeadwater/Tasks")?;
            asked.authorized("Bearer patKey")?;
            limit.pass(asked, |_| {
                let error = json!({"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded."});
                Reply::status(429).body(json!({"errors": [error]}).to_string())
            })?;
            asked.only(&["pageSize", "offset"])?;
            let size = asked.size("pageSize", 100, 100)?;
            let start = asked.query("offset").map_or(Ok(0), place)?;
            if expires && asked.nth == 9 {
                let error = json!({"error": {"type": "LIST_RECORDS_ITERATOR_NOT_AVAILABLE"}});
                return Err(Reply::status(422).body(error.to_string()));
            }
            let record = |n| json!({"id": format!("rec{n:014}"), "fields": {"Number": n}});
            let mut body = json!({"records": page(start, size, record)});
            if start + size < RECORDS {
                body["offset"] = token(start + size).into();
            }
            ok(body)
        });
        (server, hit)
    };
    let source = || {
        Source::get("tasks", "https://api.airtable.com/v0/appHeadwater/Tasks")
            .bearer("patKey")
            .query("pageSize", "100")
            .records("records")
            .paginate(Cursor::body("offset").into_query("offset").missing_ends())
            .rule(When::status(429).means(Verdict::WaitFor(Duration::from_secs(30))))
    };
    let gone = When::status(422).body_contains("LIST_RECORDS_ITERATOR_NOT_AVAILABLE").means(Verdict::Expired);
    let anew = source().rule(gone).restart_on_expiry();
    let ((plain, plain_hit), (expiring, expiring_hit)) = (server(false), server(true));
    Row::new(
        "Airtable",
        [
            Way::new("C", plain, source()).number("fields.Number").checked(move || plain_hit.kept()),
            Way::new("C", expiring, anew)
                .named("token gone")
                .number("fields.Number")
                .in_a_run()
                .checked(move || expiring_hit.kept()),
        ],
    )
}

/// Trello, "Nested resources: paging" and "Rate limits" (developer.atlassian.com/cloud/trello/guides/rest-api): newest
/// first, `before` takes the last id, at most 1,000. A 429 says nothing, but every answer has
/// `x-rate-limit-api-{key,token}-{interval-ms,max,remaining}`; that page does not mention them.
fn trello() -> Row {
    let limit = Limit::untold(2, 10);
    let hit = limit.clone();
    let id = |n: u64| format!("{:08x}a1b2c3d4e5f60718", 0x6800_0000 + n);
    let server = serve(move |asked| {
        asked.at("GET", "/1/boards/64b1/actions")?;
        if asked.query("key") != Some("trelloKey") || asked.query("token") != Some("trelloToken") {
            return Err(refuse(401, "invalid key"));
        }
        let headers = |reply: Reply, remaining: &str| {
            let both = reply
                .header("x-rate-limit-api-key-interval-ms", "10000")
                .header("x-rate-limit-api-key-max", "300");
            both.header("x-rate-limit-api-key-remaining", "299")
                .header("x-rate-limit-api-token-interval-ms", "10000")
                .header("x-rate-limit-api-token-max", "100")
                .header("x-rate-limit-api-token-remaining", remaining)
        };
        limit.pass(asked, |_| {
            let body = r#"{"error":"API_TOKEN_LIMIT_EXCEEDED","message":"Rate limit exceeded"}"#;
            headers(Reply::status(429).body(body), "0")
        })?;
        asked.only(&["key", "token", "limit", "before", "since", "filter"])?;
        asked.asks("filter", "all")?;
        let size = asked.size("limit", 50, 1000)?;
        let end = match asked.query("before") {
            None => RECORDS,
            Some(before) => {
                (0..RECORDS).find(|n| id(*n) == before).ok_or_else(|| refuse(400, "invalid id"))?
            }
        };
        let newest = (end.saturating_sub(size)..end).rev().map(|n| json!({"id": id(n), "data": {"n": n}}));
        Ok(headers(answer(200, newest.collect()), "99"))
    });
    let source = Source::get("actions", "https://api.trello.com/1/boards/64b1/actions")
        .api_key_query("token", "trelloToken")
        .query("key", "trelloKey")
        .query("filter", "all")
        .query("limit", "1000")
        .records("")
        .paginate(Cursor::last_record("id").into_query("before"));
    Row::new("Trello", [Way::new("K", server, source).number("data.n").checked(move || hit.kept())])
}

/// ClickUp, "Get Tasks" and "Rate limits" (developer.clickup.com): pages from 0, 100 each, `last_page`. A 429 has
/// `X-RateLimit-Reset` in epoch seconds.
fn click_up() -> Row {
    let limit = Limit::told(3, 41);
    let hit = limit.clone();
    let server = serve(move |asked| {
        asked.at("GET", "/api/v2/list/901/task")?;
        asked.authorized("pk_42_CLICKUP")?;
        limit.pass(asked, |wait| {
            Reply::status(429)
                .header("x-ratelimit-limit", "100")
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-reset", &limit.after(wait).to_string())
                .body(r#"{"err":"Rate limit reached","ECODE":"APP_002"}"#)
        })?;
        asked.only(&["page", "include_closed"])?;
        asked.asks("include_closed", "true")?;
        let start = asked.number("page", 0)? * 100;
        let tasks = page(start, 100, |n| json!({"id": format!("86{n}"), "n": n}));
        ok(json!({"tasks": tasks, "last_page": start + 100 >= RECORDS}))
    });
    let source = Source::get("tasks", "https://api.clickup.com/api/v2/list/901/task")
        .api_key_header("authorization", "pk_42_CLICKUP")
        .query("include_closed", "true")
        .records("tasks")
        .paginate(PageNumber::new().start(0).until_true("last_page"));
    Row::new("ClickUp", [Way::new("G", server, source).checked(move || hit.kept())])
}

/// Linear, "Pagination" and "Rate limiting" (linear.app/developers): Relay connections, 50 by default, at most 250. A
/// limit is a 400 with `RATELIMITED`; `X-RateLimit-{Requests,Complexity}-Reset` are epoch milliseconds.
fn linear() -> Row {
    let limit = Limit::told(3, 73);
    let hit = limit.clone();
    let server = serve(move |asked| {
        asked.at("POST", "/graphql")?;
        asked.authorized("lin_api_key")?;
        let headers = |reply: Reply, remaining: &str, wait: Duration| {
            let reset = (((limit.now() + wait.as_secs_f64()) * 1000.0).ceil()).to_string();
            reply
                .header("x-complexity", "251")
                .header("x-ratelimit-requests-limit", "1500")
                .header("x-ratelimit-requests-remaining", remaining)
                .header("x-ratelimit-requests-reset", &reset)
                .header("x-ratelimit-complexity-limit", "250000")
                .header("x-ratelimit-complexity-remaining", "200000")
                .header("x-ratelimit-complexity-reset", &reset)
        };
        limit.pass(asked, |wait| {
            let body =
                r#"{"errors":[{"message":"Rate limit exceeded","extensions":{"code":"RATELIMITED"}}]}"#;
            headers(Reply::status(400).body(body), "0", wait)
        })?;
        let size = match asked.body("/variables/first").as_u64() {
            Some(size @ 1..=250) => size,
            _ => return Err(refuse(400, "Argument Validation Error: first must not be greater than 250")),
        };
        let start = match asked.body("/variables/after") {
            Value::String(token) => place(token)?,
            _ => 0,
        };
        let nodes = page(start, size, |n| json!({"id": format!("ISS-{n}"), "n": n}));
        let more = start + size < RECORDS;
        let info = json!({"hasNextPage": more, "endCursor": token((start + size).min(RECORDS))});
        Ok(headers(
            answer(200, json!({"data": {"issues": {"nodes": nodes, "pageInfo": info}}})),
            "1400",
            Duration::ZERO,
        ))
    });
    let query = "query ($first: Int!, $after: String) { issues(first: $first, after: $after) \
                 { nodes { id title } pageInfo { hasNextPage endCursor } } }";
    let source = Source::graphql("issues", "https://api.linear.app/graphql", query)
        .variable("first", 250)
        .api_key_header("authorization", "lin_api_key")
        .records("data.issues.nodes")
        .paginate(
            Cursor::body("data.issues.pageInfo.endCursor")
                .into_body("variables.after")
                .until_false("data.issues.pageInfo.hasNextPage"),
        );
    Row::new("Linear", [Way::new("C", server, source).checked(move || hit.kept())])
}

/// Asana, "Pagination" (developers.asana.com/docs/pagination): `next_page` is null at the end; its `offset` is a token,
/// its `uri` the whole URL. Its `path` is relative to the API, not to the host: as a link it leads nowhere. Nothing is
/// paged without `limit`. A token dies after some time.
fn asana() -> Row {
    let server = |expires: bool| {
        let limit = Limit::told(5, 30);
        let hit = limit.clone();
        let server = serve(move |asked| {
            asked.at("GET", "/api/1.0/tasks")?;
            asked.authorized("Bearer 1/asana")?;
            limit.pass(asked, |wait| {
                Reply::status(429)
                    .header("retry-after", &wait.as_secs().to_string())
                    .body(r#"{"errors":[{"message":"You have made too many requests recently."}]}"#)
            })?;
            asked.only(&["project", "limit", "offset", "opt_fields"])?;
            asked.asks("project", "1331")?;
            asked.asks("opt_fields", "name,number")?;
            if asked.query("limit").is_none() {
                return Err(refuse(400, "The result is too large. You should use pagination"));
            }
            let size = asked.size("limit", 0, 100)?;
            let start = asked.query("offset").map_or(Ok(0), place)?;
            if expires && asked.nth == 8 {
                let body = r#"{"errors":[{"message":"offset: Your pagination token has expired."}]}"#;
                return Err(Reply::status(400).body(body));
            }
            let data = page(start, size, |n| json!({"gid": format!("{}", 12_000 + n), "n": n}));
            let next = (start + size < RECORDS).then(|| {
                let offset = token(start + size);
                let pairs = [("opt_fields", "name,number"), ("limit", &size.to_string()), ("offset", &offset)];
                let uri = url::Url::parse_with_params("https://app.asana.com/api/1.0/tasks?project=1331", pairs);
                let uri = uri.expect("the parameters fit into a URL").to_string();
                json!({"offset": offset, "path": uri.split_once("/api/1.0").map(|(_, path)| path), "uri": uri})
            });
            ok(json!({"data": data, "next_page": next}))
        });
        (server, hit)
    };
    let source = || {
        Source::get("tasks", "https://app.asana.com/api/1.0/tasks")
            .bearer("1/asana")
            .query("project", "1331")
            .query("opt_fields", "name,number")
            .query("limit", "100")
            .records("data")
    };
    let end = || End::equals("next_page", Value::Null);
    let token = || Cursor::body("next_page.offset").into_query("offset").until(end());
    let uri = NextUrl::body("next_page.uri").until(end());
    let gone = When::status(400).body_contains("pagination token has expired").means(Verdict::Expired);
    let anew = source().paginate(token()).rule(gone).restart_on_expiry();
    let ((first, first_hit), (second, second_hit), (third, third_hit)) =
        (server(false), server(false), server(true));
    Row::new(
        "Asana",
        [
            Way::new("C", first, source().paginate(token())).named("token").checked(move || first_hit.kept()),
            Way::new("N", second, source().paginate(uri)).named("uri").checked(move || second_hit.kept()),
            Way::new("C", third, anew).named("token gone").in_a_run().checked(move || third_hit.kept()),
        ],
    )
}

/// Monday, "Querying board items" and "Rate limits" (developer.monday.com/api-reference): `items_page` in the board, then
/// `next_items_page` at the root, by a cursor that lives for 60 minutes and is null at the end; at most 500. The wait of
/// an exhausted budget is `retry_in_seconds` in the errors, with status 200; newer versions say 429 and `Retry-After` as well
/// ("Rate limit improvements", "Updated complexity budget exhausted error"). (`items_page` takes the cursor too, at a higher
/// cost.)
fn monday() -> Row {
    let item = |n: u64| json!({"id": (7_000_000 + n).to_string(), "name": format!("item {n}"), "n": n});
    let server = |again: bool| {
        let limit = Limit::told(2, 12);
        let hit = limit.clone();
        let server = serve(move |asked| {
            asked.at("POST", "/v2")?;
            asked.authorized("eyMonday")?;
            asked.says("api-version", "2025-07")?;
            limit.pass(asked, |wait| {
                let extensions =
                    json!({"code": "COMPLEXITY_BUDGET_EXHAUSTED", "retry_in_seconds": wait.as_secs()});
                let body =
                    json!({"errors": [{"message": "Complexity budget exhausted", "extensions": extensions}]});
                match again {
                    true => answer(429, body).header("retry-after", &wait.as_secs().to_string()),
                    false => answer(200, body),
                }
            })?;
            let (query, variables) = (asked.body("/query"), asked.body("/variables"));
            let query = query.as_str().unwrap_or_default();
            let size = match variables["limit"].as_u64() {
                Some(size @ 1..=500) => size,
                _ => return ok(json!({"errors": [{"message": "limit must be from 1 to 500"}]})),
            };
            let start = match &variables["cursor"] {
                Value::String(token) => place(token)?,
                _ => 0,
            };
            let next = (start + size < RECORDS).then(|| token(start + size));
            let found = json!({"cursor": next, "items": page(start, size, item)});
            let refused = |why: &str| ok(json!({"errors": [{"message": why}]}));
            ok(match (query.contains(" next_items_page("), query.contains("boards(")) {
                (true, _) if again => return refused("not in this test"),
                (true, _) if !variables["cursor"].is_string() => {
                    return refused("next_items_page wants a cursor");
                }
                (true, _) => json!({"data": {"next_items_page": found}}),
                (_, true) if start > 0 && !again => return refused("this cursor goes to next_items_page"),
                (_, true) if variables["boards"] == json!([42]) => {
                    json!({"data": {"boards": [{"items_page": found}]}})
                }
                _ => return refused("no such field"),
            })
        });
        (server, hit)
    };
    let first = "query ($boards: [ID!], $limit: Int!, $cursor: String) { boards(ids: $boards) \
                 { items_page(limit: $limit, cursor: $cursor) { cursor items { id name } } } }";
    let following = "query ($limit: Int!, $cursor: String!) { next_items_page(limit: $limit, cursor: $cursor) \
                     { cursor items { id name } } }";
    let source = |records: Select, paginator: Cursor| {
        Source::graphql("items", "https://api.monday.com/v2", first)
            .variable("boards", [42])
            .variable("limit", 500)
            .api_key_header("authorization", "eyMonday")
            .header("api-version", "2025-07")
            .records(records)
            .paginate(paginator)
            .rule(
                When::any()
                    .body("errors.*.extensions.code", "COMPLEXITY_BUDGET_EXHAUSTED")
                    .means(Verdict::Wait),
            )
            .signal(Signal::wait(At::body("errors.0.extensions.retry_in_seconds"), Unit::Seconds))
    };
    let here = "data.boards.0.items_page";
    let other = Cursor::body(format!("{here}.cursor"))
        .or_body("data.next_items_page.cursor")
        .into_body("variables.cursor")
        .follow(FollowUp::here().json(json!({"query": following, "variables": {"limit": 500}})));
    let both = Select::path(format!("{here}.items")).and("data.next_items_page.items").optional();
    let same = Cursor::body(format!("{here}.cursor")).into_body("variables.cursor");
    let (next_items_page, items_page) = (server(false), server(true));
    Row::new(
        "Monday",
        [
            Way::new("C", next_items_page.0, source(both, other))
                .named("next_items_page")
                .checked(move || next_items_page.1.kept()),
            Way::new("C", items_page.0, source(Select::path(format!("{here}.items")), same))
                .named("items_page")
                .checked(move || items_page.1.kept()),
        ],
    )
}
