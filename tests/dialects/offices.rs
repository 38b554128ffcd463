//! Sales, marketing and meetings.

use std::time::Duration;

use chrono::DateTime;
use headwater::Source;
use headwater::exchange::{Verdict, When};
use headwater::page::Select;
use headwater::pages::Fanout;
use headwater::paginate::{Cursor, NextUrl, PageNumber, Single};
use headwater::testing::Reply;
use serde_json::json;

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, PLACES, Served, answer, bare, demand, number_in, ok, seen, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![bigcommerce(), zoom(), marketo(), pipedrive()]
}

/// The next link, which is a query alone, or the number of pages; the budget of a window counts down in milliseconds, and
/// of two waits the longer is meant (docs.bigcommerce.com: REST Management, Pagination; API rate limits).
fn bigcommerce() -> Row {
    let source = || {
        Source::get("products", "https://api.bigcommerce.com/stores/aycv93/v3/catalog/products")
            .api_key_header("X-Auth-Token", "token-of-bigcommerce")
            .header("Accept", "application/json")
            .records("data")
    };
    let limits = || [Limit::told(3, 12), Limit::told(6, 17)];
    let (of_links, of_pages) = (limits(), limits());
    let links =
        source().query("limit", "100").paginate(NextUrl::body("meta.pagination.links.next").missing_ends());
    let pages = PageNumber::new().size("limit", 100).until_page_count("meta.pagination.total_pages");
    Row::new(
        "BigCommerce v3",
        [
            Way::new("N", serve(move |asked| products(asked, &of_links)), links).named("next link"),
            Way::new("G", serve(move |asked| products(asked, &of_pages)), source().paginate(pages))
                .named("pages"),
        ],
    )
}

/// Products: the next link is nothing but a query, and the budget begins anew in so many milliseconds.
fn products(asked: &Asked<'_>, [budget, limit]: &[Limit; 2]) -> Served {
    let used_up = budget.meets(asked)?.is_some();
    let of_budget = |reply: Reply, left: &str, reset: &str| {
        reply
            .header("x-rate-limit-time-window-ms", "30000")
            .header("x-rate-limit-time-reset-ms", reset)
            .header("x-rate-limit-requests-quota", "150")
            .header("x-rate-limit-requests-left", left)
    };
    // Of the two waits, the longer is meant.
    limit.pass(asked, |_| of_budget(Reply::status(429).header("x-retry-after", "5"), "0", "17000"))?;
    asked.credentials("x-auth-token", "token-of-bigcommerce")?;
    demand(asked.header("accept") == Some("application/json"), 406, "Not Acceptable")?;
    let (page, size) = (asked.number("page", 1)?.max(1), asked.number("limit", 50)?.min(250));
    let range = slice((page - 1) * size, size);
    let pages = RECORDS.div_ceil(size);
    let mut links = json!({"current": format!("?page={page}&limit={size}")});
    if page < pages {
        links["next"] = json!(format!("?page={}&limit={size}", page + 1));
    }
    let pagination = json!({
        "total": RECORDS, "count": range.end - range.start, "per_page": size, "current_page": page,
        "total_pages": pages, "links": links,
    });
    let reply = answer(200, json!({"data": bare(range), "meta": {"pagination": pagination}}));
    Ok(if used_up { of_budget(reply, "0", "12000") } else { of_budget(reply, "140", "15000") })
}

/// A token, empty at the end, along with all parameters of the first request. It lives for 15 minutes; then it is a 400
/// with the code 300, and the list is to be read anew (developers.zoom.us: Pagination; Rate limits).
fn zoom() -> Row {
    let served = |expires: bool| {
        let limits = [Limit::told(2, 0), Limit::told(4, 300)];
        serve(move |asked| {
            let reply = users(asked, &limits)?;
            // Behind the wait for the next day, the token that was given out before it is too old.
            good_token(!expires || asked.nth != 5)?;
            Ok(reply)
        })
    };
    let source = || {
        Source::get("users", "https://api.zoom.us/v2/users")
            .bearer("token-of-zoom")
            .query("status", "active")
            .query("page_size", "300")
            .records("users")
            .paginate(Cursor::body("next_page_token").into_query("next_page_token"))
    };
    // That it is the token that expired is known by the words of the answer.
    let anew = source().restart_on_expiry();
    Row::new(
        "Zoom",
        [
            Way::new("C", served(false), source()),
            Way::new("C", served(true), anew).named("token gone").in_a_run(),
        ],
    )
}

/// Refuses a token that is no good, or no more.
fn good_token(good: bool) -> Result<(), Reply> {
    let error = json!({"code": 300, "message": "The next page token is invalid or expired."});
    if good { Ok(()) } else { Err(answer(400, error)) }
}

/// Users: the token goes along with all parameters of the first request. Too many a second is a 429 without a wait; too
/// many a day is one that names the moment when the day is over.
fn users(asked: &Asked<'_>, [second, day]: &[Limit; 2]) -> Served {
    let limited = |kind: &str| {
        answer(429, json!({"code": 429, "message": "You have reached the maximum rate limit for this API."}))
            .header("x-ratelimit-category", "Medium")
            .header("x-ratelimit-type", kind)
            .header("x-ratelimit-limit", "60")
            .header("x-ratelimit-remaining", "0")
    };
    second.pass(asked, |_| limited("QPS"))?;
    day.pass(asked, |wait| {
        let over = DateTime::from_timestamp(day.after(wait).cast_signed(), 0).unwrap_or_default();
        limited("Daily-limit").header("retry-after", &over.format("%Y-%m-%dT%H:%M:%SZ").to_string())
    })?;
    asked.authorized("Bearer token-of-zoom")?;
    good_token(asked.query("status") == Some("active"))?;
    let size = asked.number("page_size", 30)?.min(300);
    let text = asked.query("next_page_token").filter(|token| !token.is_empty());
    let range = slice(number_in(text, "w7587w4eiyfsudgf")?, size);
    let next = if range.end < RECORDS { format!("w7587w4eiyfsudgf{}", range.end) } else { String::new() };
    let body =
        json!({"page_size": size, "total_records": RECORDS, "next_page_token": next, "users": bare(range)});
    ok(body)
}

fn failed(code: &str) -> Reply {
    let error = json!({"requestId": "1607c", "success": false, "errors": [{"code": code, "message": "no"}]});
    answer(200, error)
}

/// Activities behind a token that another call makes out of a date; empty answers in between, and errors with 200.
fn activities(asked: &Asked<'_>, limit: &Limit) -> Served {
    limit.pass(asked, |_| failed("606"))?;
    let path = asked.path();
    if path.ends_with("/activities/pagingtoken.json") {
        demand(asked.query("sinceDatetime").is_some(), 400, "1003: sinceDatetime is missing")?;
        let token = json!({"requestId": "1607c", "success": true, "nextPageToken": "GIYDAOBNGEYS0"});
        return ok(token);
    }
    asked.authorized("Bearer token-of-marketo")?;
    demand(asked.query("activityTypeIds") == Some("1"), 400, "1003: activityTypeIds is missing")?;
    let Some(at) = asked.query("nextPageToken") else { return Err(failed("1003")) };
    let place = number_in(Some(at), "GIYDAOBNGEYS").map_err(|_| failed("1003"))?;
    let (numbers, end) = seen(place, asked.number("batchSize", 300)?.min(300));
    let mut body = json!({"requestId": "24fd", "success": true, "moreResult": end < PLACES});
    body["nextPageToken"] = json!(format!("GIYDAOBNGEYS{end}"));
    if !numbers.is_empty() {
        body["result"] = bare(numbers).into();
    }
    ok(body)
}

/// A token, absent at the end of leads; for activities a flag, and a first token that another call makes out of a date.
/// Errors come with 200: 606 is the limit of 100 calls in 20 seconds (experienceleague.adobe.com: Marketo REST API, Paging
/// tokens; Error codes).
fn marketo() -> Row {
    let source = |name: &str, path: &str| {
        Source::get(name, format!("https://123-ABC-456.mktorest.com/rest/v1/{path}"))
            .bearer("token-of-marketo")
            .rule(When::any().body("errors.*.code", "606").means(Verdict::WaitFor(Duration::from_secs(20))))
    };
    let of_list = source("leads", "leads.json")
        .query("filterType", "listId")
        .query("filterValues", "1001")
        .query("batchSize", "300")
        .records("result")
        .paginate(Cursor::body("nextPageToken").into_query("nextPageToken").missing_ends());
    let limit = Limit::told(4, 20);
    let api = serve(move |asked| activities(asked, &limit));
    let tokens = source("tokens", "activities/pagingtoken.json")
        .query("sinceDatetime", "2026-01-01T00:00:00Z")
        .records(Select::object(""))
        .paginate(Single)
        .transport(api.clone());
    let since = source("activities", "activities.json")
        .query("nextPageToken", "{token}")
        .query("activityTypeIds", "1")
        .query("batchSize", "300")
        .records(Select::path("result").optional())
        .paginate(Cursor::body("nextPageToken").into_query("nextPageToken").until_false("moreResult"))
        .fanout(Fanout::over(tokens).bind("token", "nextPageToken"));
    let limit = Limit::told(2, 20);
    Row::new(
        "Marketo",
        [
            Way::new("C", serve(move |asked| leads(asked, &limit)), of_list).named("leads"),
            Way::new("F C", api, since).named("activities"),
        ],
    )
}

/// Leads: the token is absent at the end.
fn leads(asked: &Asked<'_>, limit: &Limit) -> Served {
    limit.pass(asked, |_| failed("606"))?;
    asked.authorized("Bearer token-of-marketo")?;
    let filtered = asked.query("filterType").is_some() && asked.query("filterValues").is_some();
    if !filtered {
        return Err(failed("1003"));
    }
    let range =
        slice(number_in(asked.query("nextPageToken"), "PS5VL5WD")?, asked.number("batchSize", 300)?.min(300));
    let mut body = json!({"requestId": "24fd", "success": true, "result": bare(range.clone())});
    if range.end < RECORDS {
        body["nextPageToken"] = json!(format!("PS5VL5WD{}", range.end));
    }
    ok(body)
}

/// v1: an offset that the server gives, and a flag; v2: a cursor, `null` at the end (pipedrive.readme.io: Pagination;
/// Rate limiting).
fn pipedrive() -> Row {
    let budget = Limit::told(2, 2);
    let notes = serve(move |asked| {
        let used_up = budget.meets(asked)?.is_some();
        asked.credentials("x-api-token", "token-of-pipedrive")?;
        let (start, limit) = (asked.number("start", 0)?, asked.number("limit", 100)?);
        demand(limit <= 500, 400, "limit is at most 500")?;
        let range = slice(start, limit);
        let more = range.end < RECORDS;
        let mut pagination = json!({"start": start, "limit": limit, "more_items_in_collection": more});
        if more {
            pagination["next_start"] = json!(range.end);
        }
        let body =
            json!({"success": true, "data": bare(range), "additional_data": {"pagination": pagination}});
        // 40 requests in two seconds, counted down to the moment when it begins anew.
        Ok(answer(200, body)
            .header("x-ratelimit-limit", "40")
            .header("x-ratelimit-remaining", if used_up { "0" } else { "30" })
            .header("x-ratelimit-reset", "2"))
    });
    let start = Cursor::body("additional_data.pagination.next_start")
        .into_query("start")
        .until_false("additional_data.pagination.more_items_in_collection");
    let v1 = Source::get("notes", "https://company.pipedrive.com/api/v1/notes")
        .api_key_header("x-api-token", "token-of-pipedrive")
        .query("limit", "100")
        .records("data")
        .paginate(start);

    let limit = Limit::told(2, 2);
    let deals = serve(move |asked| {
        limit.pass(asked, |_| {
            answer(429, json!({"success": false, "error": "request over limit"}))
                .header("x-ratelimit-limit", "40")
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-reset", "2")
        })?;
        asked.credentials("x-api-token", "token-of-pipedrive")?;
        let limit = asked.number("limit", 100)?;
        demand(limit <= 500, 400, "limit is at most 500")?;
        let range = slice(number_in(asked.query("cursor"), "eyJ")?, limit);
        let next = (range.end < RECORDS).then(|| format!("eyJ{}", range.end));
        let body = json!({"success": true, "data": bare(range), "additional_data": {"next_cursor": next}});
        ok(body)
    });
    let v2 = Source::get("deals", "https://company.pipedrive.com/api/v2/deals")
        .api_key_header("x-api-token", "token-of-pipedrive")
        .query("limit", "500")
        .records("data")
        .paginate(Cursor::body("additional_data.next_cursor").into_query("cursor"));
    Row::new("Pipedrive", [Way::new("C", notes, v1).named("v1"), Way::new("C", deals, v2).named("v2")])
}
