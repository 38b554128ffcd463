//! Salesforce and HubSpot.

use headwater::Source;
use headwater::exchange::{Verdict, When};
use headwater::pages::{TimeFormat, Window};
use headwater::paginate::{Cursor, End, NextUrl};
use headwater::testing::Reply;
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{
    Asked, Limit, answer, encoded, iso, made, ok, page, place, refuse, require, serve, slice, token,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![salesforce(), hubspot_list(), hubspot_search()]
}

/// `nextRecordsUrl`, relative to the host and under another path than the query; `done` says that there is no more. The
/// size is asked for in a header, which must come with each page, and is a wish (developer.salesforce.com, "REST API
/// Developer Guide", "Query", "Query Options Header": 200 to 2,000). A used-up day is a 403.
fn salesforce() -> Row {
    let limit = Limit::told(3, 0);
    let kept = limit.clone();
    let query = serve(move |asked| {
        asked.authorized("Bearer 00D_token")?;
        if limit.meets(asked)?.is_some() {
            let body = json!([{ "message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED" }]);
            return Ok(answer(403, body));
        }
        let at = match asked.path().strip_prefix("/services/data/v62.0/query/01gRM000000-") {
            Some(locator) => {
                asked.only(&[])?;
                locator.parse().map_err(|_| refuse(400, "INVALID_QUERY_LOCATOR"))?
            }
            None => {
                asked.at("GET", "/services/data/v62.0/query")?;
                asked.asks("q", "SELECT Id, CreatedDate FROM Account")?;
                0
            }
        };
        let options =
            asked.header("sforce-query-options").and_then(|options| options.strip_prefix("batchSize="));
        let size: u64 = match options {
            Some(size) => size.parse().map_err(|_| refuse(400, "MALFORMED_QUERY_OPTIONS"))?,
            None => return Err(refuse(400, "this org reads no page without a batch size")),
        };
        let size = size.clamp(200, 2000);
        let end = slice(at, size).end;
        let records = page(
            at,
            size,
            |n| json!({ "n": n, "attributes": { "type": "Account" }, "Id": format!("001{n:012}") }),
        );
        let mut body = json!({ "totalSize": RECORDS, "done": end >= RECORDS, "records": records });
        if end < RECORDS {
            body["nextRecordsUrl"] = json!(format!("/services/data/v62.0/query/01gRM000000-{end}"));
        }
        Ok(answer(200, body).header("sforce-limit-info", "api-usage=18/15000"))
    });
    let source = Source::get("accounts", "https://your-domain.my.salesforce.com/services/data/v62.0/query")
        .bearer("00D_token")
        .header("Sforce-Query-Options", "batchSize=200")
        .query("q", "SELECT Id, CreatedDate FROM Account")
        .records("records")
        .paginate(NextUrl::body("nextRecordsUrl").until(End::when_true("done")))
        .rule(When::status(403).body("*.errorCode", "REQUEST_LIMIT_EXCEEDED").means(Verdict::Wait));
    Row::new("Salesforce SOQL", [Way::new("N", query, source).checked(move || kept.kept())])
}

/// What HubSpot says when ten seconds are used up. There is no `Retry-After`.
fn hubspot_limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("Bearer pat-token")?;
    if limit.meets(asked)?.is_none() {
        return Ok(());
    }
    let body = json!({ "status": "error", "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING" });
    Err(answer(429, body)
        .header("x-hubspot-ratelimit-max", "190")
        .header("x-hubspot-ratelimit-remaining", "0")
        .header("x-hubspot-ratelimit-interval-milliseconds", "10000")
        .header("x-hubspot-ratelimit-daily", "650000")
        .header("x-hubspot-ratelimit-daily-remaining", "649000"))
}

fn contact(number: u64) -> Value {
    json!({ "n": number, "id": (700_000 + number).to_string(), "properties": { "createdate": iso(made(number)) } })
}

/// `paging` is left out on the last page. Its link is a query alone, and holds nothing but the position: what the first
/// request asked for must be kept (developers.hubspot.com, "CRM API", "Retrieve contacts"; 10, at most 100 a page).
fn hubspot_list() -> Row {
    let list = |limit: Limit| {
        serve(move |asked| {
            hubspot_limited(asked, &limit)?;
            asked.at("GET", "/crm/v3/objects/contacts")?;
            asked.asks("properties", "createdate,email")?;
            let size = asked.number("limit", 10)?;
            require(size <= 100, "limit must be 100 at most")?;
            let at = asked.query("after").map_or(Ok(0), place)?;
            let end = slice(at, size).end;
            let mut body = json!({ "results": page(at, size, contact) });
            if end < RECORDS {
                let after = token(end);
                let link = encoded(&after);
                body["paging"] = json!({ "next": { "after": after, "link": format!("?after={link}") } });
            }
            ok(body)
        })
    };
    let source = || {
        Source::get("contacts", "https://api.hubapi.com/crm/v3/objects/contacts")
            .bearer("pat-token")
            .query("limit", "100")
            .query("properties", "createdate,email")
            .records("results")
    };
    let way = |primitive, source| {
        let limit = Limit::told(5, 10);
        Way::new(primitive, list(limit.clone()), source).checked(move || limit.kept())
    };
    let after = source().paginate(Cursor::body("paging.next.after").into_query("after").missing_ends());
    let link = source()
        .paginate(NextUrl::body("paging.next.link").missing_ends().keep_query(["limit", "properties"]));
    Row::new("HubSpot list", [way("C", after).named("after"), way("N", link).named("link")])
}

/// The real ceiling is 10,000 rows; there are only 1,234 here.
const CEILING: u64 = 1000;

/// The position stands in the body. Behind 10,000 rows a search is refused, so it is cut into windows by a property,
/// whose total is known before any of its rows is taken (developers.hubspot.com, "CRM search": 10, at most 200 a page,
/// five searches a second, no limit headers).
fn hubspot_search() -> Row {
    let limit = Limit::told(4, 0);
    let kept = limit.clone();
    let search = serve(move |asked| {
        asked.authorized("Bearer pat-token")?;
        asked.at("POST", "/crm/v3/objects/contacts/search")?;
        asked.only(&[])?;
        if limit.meets(asked)?.is_some() {
            let body = json!({ "status": "error", "errorType": "RATE_LIMIT", "policyName": "SECONDLY" });
            return Ok(answer(429, body));
        }
        let bound = |at: usize, operator: &str| {
            let filter = asked.body("/filterGroups/0/filters").get(at).unwrap_or(&Value::Null);
            require(
                filter["propertyName"] == "createdate" && filter["operator"] == operator,
                "no such filter",
            )?;
            // Times are milliseconds since 1970.
            let value = &filter["value"];
            let millis = value.as_i64().or_else(|| value.as_str()?.parse().ok());
            millis.map(|millis| millis / 1000).ok_or_else(|| refuse(400, format!("{value} is no time")))
        };
        let (from, to) = (bound(0, "GTE")?, bound(1, "LT")?);
        let size = asked.body("/limit").as_u64().unwrap_or(10);
        require(size <= 200, "limit must be 200 at most")?;
        let at: u64 = match asked.body("/after") {
            Value::Null => 0,
            after => after
                .as_str()
                .and_then(|after| after.parse().ok())
                .ok_or_else(|| refuse(400, "after is no position"))?,
        };
        require(at + size <= CEILING, "The maximum number of results is 10000")?;
        let rows: Vec<u64> = (0..RECORDS).filter(|n| (from..to).contains(&made(*n))).collect();
        let results: Vec<Value> =
            rows.iter().skip(at as usize).take(size as usize).map(|n| contact(*n)).collect();
        let mut body = json!({ "total": rows.len(), "results": results });
        if at + size < rows.len() as u64 {
            body["paging"] = json!({ "next": { "after": (at + size).to_string() } });
        }
        ok(body)
    });
    let body = json!({
        "limit": 200,
        "properties": ["createdate"],
        "sorts": [{ "propertyName": "createdate", "direction": "ASCENDING" }],
        "filterGroups": [{ "filters": [
            { "propertyName": "createdate", "operator": "GTE", "value": "{start}" },
            { "propertyName": "createdate", "operator": "LT", "value": "{end}" },
        ] }],
    });
    let source = Source::post("contacts", "https://api.hubapi.com/crm/v3/objects/contacts/search")
        .json(body)
        .repeatable()
        .bearer("pat-token")
        .records("results")
        .paginate(Cursor::body("paging.next.after").into_body("after").missing_ends())
        .window(
            Window::time("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
                .format(TimeFormat::EpochMillis)
                .ceiling(CEILING)
                .total_at("total"),
        );
    Row::new("HubSpot search", [Way::new("C,W", search, source).checked(move || kept.kept())])
}
