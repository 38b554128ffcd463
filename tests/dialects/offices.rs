//! Sales, marketing and meetings.

use headwater::Source;
use headwater::paginate::Cursor;
use serde_json::json;

use super::row::{RECORDS, Row, Way};
use super::server::{Limit, credentials, cut, demand, json_reply, number, param, rows, server, token};

pub(crate) fn rows_of_offices() -> Vec<Row> {
    vec![pipedrive()]
}

/// v1: an offset that the server gives, and a flag; v2: a cursor, `null` at the end (pipedrive.readme.io: Pagination;
/// Rate limiting).
fn pipedrive() -> Row {
    let budget = Limit::at(2, 2);
    let notes = server(move |request, nth| {
        let used_up = budget.hit(nth)?;
        credentials(request, "x-api-token", "token-of-pipedrive")?;
        let (start, limit) = (number(request, "start", 0)?, number(request, "limit", 100)?);
        demand(limit <= 500, 400, "limit is at most 500")?;
        let range = cut(start, limit);
        let more = range.end < RECORDS;
        let mut pagination = json!({"start": start, "limit": limit, "more_items_in_collection": more});
        if more {
            pagination["next_start"] = json!(range.end);
        }
        let body =
            json!({"success": true, "data": rows(range), "additional_data": {"pagination": pagination}});
        // 40 requests in two seconds, counted down to the moment when it begins anew.
        Ok(json_reply(200, &body)
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

    let limit = Limit::at(2, 2);
    let deals = server(move |request, nth| {
        limit.refuse(nth, || {
            json_reply(429, &json!({"success": false, "error": "request over limit"}))
                .header("x-ratelimit-limit", "40")
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-reset", "2")
        })?;
        credentials(request, "x-api-token", "token-of-pipedrive")?;
        let limit = number(request, "limit", 100)?;
        demand(limit <= 500, 400, "limit is at most 500")?;
        let range = cut(token(param(request, "cursor"), "eyJ")?, limit);
        let next = (range.end < RECORDS).then(|| format!("eyJ{}", range.end));
        let body = json!({"success": true, "data": rows(range), "additional_data": {"next_cursor": next}});
        Ok(json_reply(200, &body))
    });
    let v2 = Source::get("deals", "https://company.pipedrive.com/api/v2/deals")
        .api_key_header("x-api-token", "token-of-pipedrive")
        .query("limit", "500")
        .records("data")
        .paginate(Cursor::body("additional_data.next_cursor").into_query("cursor"));
    Row::new("Pipedrive", [Way::new("C", notes, v1).named("v1"), Way::new("C", deals, v2).named("v2")])
}
