//! GitHub and GitLab.

use std::time::Duration;

use headwater::exchange::{Verdict, When};
use headwater::pages::Window;
use headwater::paginate::{Cursor, LinkHeader, PageNumber};
use headwater::testing::{Reply, Scripted};
use headwater::{RetryPolicy, Source};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{
    Limit, answer, encoded, iso, made, ok, page, place, require, seconds, serve, slice, token,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![github(), github_graphql(), gitlab_offset(), gitlab_keyset()]
}

fn issue(number: u64) -> Value {
    json!({ "n": number, "id": 30_000 + number, "number": number + 1, "created_at": iso(made(number)) })
}

/// A search hands out a thousand rows, however many it finds, and a 422 behind them: so it is cut into ranges of time,
/// whose ends are both a part of them. One that takes too long gives what was found by then. Thirty searches a minute.
fn search(limit: Limit) -> Scripted {
    serve(move |asked| {
        asked.authorized("Bearer ghp_token")?;
        asked.at("GET", "/search/issues")?;
        if let Some(wait) = limit.meets(asked)? {
            let message = json!({ "message": "API rate limit exceeded for user ID 1." });
            return Ok(answer(403, message)
                .header("x-ratelimit-limit", "30")
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-resource", "search")
                .header("x-ratelimit-reset", &limit.after(wait).to_string()));
        }
        let q = asked.query("q").unwrap_or_default();
        let created = q.strip_prefix("repo:octo/hello created:").and_then(|range| range.split_once(".."));
        let Some((from, to)) = created else {
            return Err(answer(422, json!({ "message": "Validation Failed" })));
        };
        let (from, to) = (seconds(from)?, seconds(to)?);
        let found: Vec<u64> = (0..RECORDS).filter(|n| (from..=to).contains(&made(*n))).collect();
        let (number, size) = (asked.number("page", 1)?, asked.number("per_page", 30)?.min(100));
        if number * size > 1000 {
            return Err(answer(
                422,
                json!({ "message": "Only the first 1000 search results are available" }),
            ));
        }
        let at = ((number - 1) * size) as usize;
        let took_too_long = asked.nth == 4;
        let most = if took_too_long { 10 } else { size as usize };
        let items: Vec<Value> = found.iter().skip(at).take(most).map(|n| issue(*n)).collect();
        let more = (found.len() as u64).min(1000) > number * size;
        let found =
            json!({ "total_count": found.len(), "incomplete_results": took_too_long, "items": items });
        let reply = answer(200, found);
        let q = encoded(q);
        let next = format!(
            "<https://api.github.com/search/issues?q={q}&per_page={size}&page={}>; rel=\"next\"",
            number + 1
        );
        Ok(if more { reply.header("link", &next) } else { reply })
    })
}

/// `Link: rel="next"`, whose path is another than the first one's (`/repositories/{id}/…`); sizes above 100 are clamped.
/// A used-up budget is a 403 with `x-ratelimit-remaining: 0`, the secondary limit a 403 or 429 with `retry-after`
/// (docs.github.com, "Using pagination in the REST API", "Rate limits for the REST API"). A search ends after 1,000 rows, and
/// may have run out of time before (`incomplete_results`; "REST API endpoints for search").
fn github() -> Row {
    let (primary, secondary) = (Limit::told(4, 600), Limit::told(7, 60));
    let check = {
        let (primary, secondary) = (primary.clone(), secondary.clone());
        move || primary.kept().and_then(|()| secondary.kept())
    };
    let list = serve(move |asked| {
        asked.authorized("Bearer ghp_token")?;
        asked.says("x-github-api-version", "2022-11-28")?;
        let page_number = asked.number("page", 1)?;
        // The path by the name of the repository leads to the first page only.
        let path = if page_number == 1 { "/repos/octo/hello/issues" } else { "/repositories/1296269/issues" };
        asked.at("GET", path)?;
        if let Some(wait) = primary.meets(asked)? {
            let message = json!({ "message": "API rate limit exceeded for user ID 1." });
            return Ok(answer(403, message)
                .header("x-ratelimit-limit", "5000")
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-used", "5000")
                .header("x-ratelimit-reset", &primary.after(wait).to_string()));
        }
        if let Some(wait) = secondary.meets(asked)? {
            let message = json!({ "message": "You have exceeded a secondary rate limit." });
            return Ok(answer(403, message).header("retry-after", &wait.as_secs().to_string()));
        }
        asked.asks("state", "all")?;
        let size = asked.number("per_page", 30)?.min(100);
        let rows = page((page_number - 1) * size, size, issue);
        let reply = answer(200, rows.into());
        let last = RECORDS.div_ceil(size);
        if page_number >= last {
            return Ok(reply);
        }
        let link = |page: u64, rel: &str| {
            let path = "https://api.github.com/repositories/1296269/issues";
            format!("<{path}?state=all&per_page={size}&page={page}>; rel=\"{rel}\"")
        };
        Ok(reply.header("link", &format!("{}, {}", link(page_number + 1, "next"), link(last, "last"))))
    });
    let source = Source::get("github", "https://api.github.com/repos/octo/hello/issues")
        .bearer("ghp_token")
        .header("Accept", "application/vnd.github+json")
        .header("X-GitHub-Api-Version", "2022-11-28")
        .query("state", "all")
        .query("per_page", "100")
        .records("")
        .paginate(LinkHeader::new());
    let searched = Limit::told(7, 50);
    let search_kept = searched.clone();
    let found = Source::get("github_search", "https://api.github.com/search/issues")
        .bearer("ghp_token")
        .query("q", "repo:octo/hello created:{start}..{end}")
        .query("per_page", "100")
        .records("items")
        .paginate(LinkHeader::new())
        .rule(When::any().body("incomplete_results", true).means(Verdict::Retry))
        .window(
            Window::time("2026-01-01", "2026-01-02").inclusive_end().ceiling(1000).total_at("total_count"),
        );
    Row::new(
        "GitHub REST",
        [
            Way::new("N", list, source).named("lists").checked(check),
            Way::new("N,W", search(searched), found).named("search").checked(move || search_kept.kept()),
        ],
    )
}

/// GitHub's windows are an hour long, and a wait of more than 15 minutes must be allowed.
const HOUR: Duration = Duration::from_secs(3600);

/// The cursor is a variable of the query, and `hasNextPage` says whether it leads anywhere. A used-up budget of points is
/// a 200 with `errors` and without `data`; the headers tell of it, as at REST, and the query can ask for `rateLimit`
/// (docs.github.com, "Using pagination in the GraphQL API", "Rate limits and query limits for the GraphQL API"; `first`
/// must be given, and is 100 at most).
fn github_graphql() -> Row {
    let limit = Limit::told(5, 1200);
    let kept = limit.clone();
    let api = serve(move |asked| {
        asked.authorized("Bearer ghp_token")?;
        asked.at("POST", "/graphql")?;
        require(!asked.has("/variables/first"), "first is written in the query")?;
        let query = asked.body("/query").as_str().unwrap_or_default();
        require(query.contains("issues(first: 100, after: $after)"), "no such query")?;
        require(
            asked.body("/variables/owner") == "octo",
            "Variable $owner of type String! was provided invalid value",
        )?;
        if let Some(wait) = limit.meets(asked)? {
            let errors =
                [json!({ "type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1." })];
            return Ok(answer(200, json!({ "errors": errors }))
                .header("x-ratelimit-limit", "5000")
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-resource", "graphql")
                .header("x-ratelimit-reset", &limit.after(wait).to_string()));
        }
        let at = asked.body("/variables/after").as_str().map_or(Ok(0), place)?;
        let end = slice(at, 100).end;
        let issues = json!({
            "totalCount": RECORDS, "nodes": page(at, 100, issue),
            "pageInfo": { "hasNextPage": end < RECORDS, "endCursor": token(end) },
        });
        ok(json!({ "data": { "repository": { "issues": issues } } }))
    });
    let query = "query($owner: String!, $after: String) { repository(owner: $owner, name: \"hello\") {
        issues(first: 100, after: $after) { totalCount nodes { id number } pageInfo { hasNextPage endCursor } } } }";
    let source = Source::graphql("github_issues", "https://api.github.com/graphql", query)
        .bearer("ghp_token")
        .variable("owner", "octo")
        .records("data.repository.issues.nodes")
        .paginate(
            Cursor::body("data.repository.issues.pageInfo.endCursor")
                .into_body("variables.after")
                .until_false("data.repository.issues.pageInfo.hasNextPage"),
        )
        .retry(RetryPolicy::exponential().max_wait(HOUR));
    Row::new("GitHub GraphQL", [Way::new("C", api, source).checked(move || kept.kept())])
}

/// What both styles of GitLab say about their limit (docs.gitlab.com, "Rate limits").
fn too_many(limit: &Limit, wait: Duration) -> Reply {
    let reset = limit.after(wait).to_string();
    Reply::status(429)
        .header("content-type", "text/plain")
        .header("ratelimit-limit", "2000")
        .header("ratelimit-observed", "2001")
        .header("ratelimit-remaining", "0")
        .header("ratelimit-reset", &reset)
        .header("retry-after", &wait.as_secs().to_string())
        .body("Retry later\n")
}

fn project(number: u64) -> Value {
    json!({ "n": number, "id": 500 + number, "created_at": iso(made(number)) })
}

fn gitlab_list(limit: Limit) -> Scripted {
    serve(move |asked| {
        asked.says("private-token", "glpat-token")?;
        asked.at("GET", "/api/v4/projects/9/issues")?;
        asked.asks("scope", "all")?;
        if let Some(wait) = limit.meets(asked)? {
            return Ok(too_many(&limit, wait));
        }
        let (at, size) = (asked.number("page", 1)?, asked.number("per_page", 20)?.min(100));
        // Offsets above 50,000 are refused (doc/administration/instance_limits.md).
        require(at * size <= 50_000, "Offset pagination has a maximum allowed offset of 50000")?;
        let more = at * size < RECORDS;
        let next = if more { (at + 1).to_string() } else { String::new() };
        let link = |page: u64, rel: &str| {
            let url = "https://gitlab.com/api/v4/projects/9/issues";
            format!("<{url}?page={page}&per_page={size}&scope=all>; rel=\"{rel}\"")
        };
        let mut links = vec![link(1, "first")];
        if more {
            links.insert(0, link(at + 1, "next"));
        }
        // `x-total`, `x-total-pages` and `rel="last"` are left out above 10,000 rows: here above 1,000.
        Ok(answer(200, page((at - 1) * size, size, project).into())
            .header("link", &links.join(", "))
            .header("x-next-page", &next)
            .header("x-page", &at.to_string())
            .header("x-per-page", &size.to_string()))
    })
}

/// Ways: the `Link` header, the number of the page, and `x-next-page`, which is `""` on the last page. A limit is a
/// 429 with `RateLimit-*` (the reset in epoch seconds) and `Retry-After`, in plain text (docs.gitlab.com, "REST API",
/// "Offset-based pagination"; above 10,000 rows `x-total`, `x-total-pages` and `rel="last"` are left out).
fn gitlab_offset() -> Row {
    let source = || {
        Source::get("gitlab", "https://gitlab.com/api/v4/projects/9/issues")
            .api_key_header("PRIVATE-TOKEN", "glpat-token")
            .query("scope", "all")
            .records("")
    };
    let way = |primitive, source| {
        let limit = Limit::told(5, 60);
        Way::new(primitive, gitlab_list(limit.clone()), source).checked(move || limit.kept())
    };
    let link = source().query("per_page", "100").paginate(LinkHeader::new());
    let number = source().paginate(PageNumber::new().size("per_page", 100));
    let header = source().query("per_page", "100").paginate(Cursor::header("x-next-page").into_query("page"));
    Row::new(
        "GitLab offset",
        [way("N", link).named("Link"), way("G", number).named("page"), way("C", header).named("x-next-page")],
    )
}

/// Only the `Link` header leads on; its last page is empty and has none (docs.gitlab.com, "REST API", "Keyset-based
/// pagination": the `users` list asks for it above 50,000 rows only, not always).
fn gitlab_keyset() -> Row {
    let limit = Limit::told(9, 30);
    let kept = limit.clone();
    let list = serve(move |asked| {
        asked.says("private-token", "glpat-token")?;
        asked.at("GET", "/api/v4/projects")?;
        if let Some(wait) = limit.meets(asked)? {
            return Ok(too_many(&limit, wait));
        }
        asked.asks("pagination", "keyset")?;
        asked.asks("order_by", "id")?;
        asked.asks("sort", "asc")?;
        // The offset style is another one, and its numbers mean nothing here.
        require(asked.query("page").is_none(), "page is not allowed with keyset pagination")?;
        let size = asked.number("per_page", 20)?.min(100);
        let at = match asked.number("id_after", 0)? {
            0 => 0,
            id => id - 500 + 1,
        };
        let rows = page(at, size, project);
        let Some(last) = rows.last() else { return ok(json!([])) };
        let next = format!(
            "<https://gitlab.com/api/v4/projects?id_after={}&order_by=id&pagination=keyset&per_page={size}&sort=asc>; rel=\"next\"",
            last["id"]
        );
        Ok(answer(200, rows.into()).header("link", &next))
    });
    let source = Source::get("gitlab_projects", "https://gitlab.com/api/v4/projects")
        .api_key_header("PRIVATE-TOKEN", "glpat-token")
        .query("pagination", "keyset")
        .query("order_by", "id")
        .query("sort", "asc")
        .query("per_page", "100")
        .records("")
        .paginate(LinkHeader::new());
    Row::new("GitLab keyset", [Way::new("N", list, source).checked(move || kept.kept())])
}
