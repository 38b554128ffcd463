//! Google: the rule that all of its APIs keep (AIP-158), and three that have their own ways.

use headwater::Source;
use headwater::hints::{At, Signal, Unit};
use headwater::paginate::{Cursor, Delta, Offset, Single};
use headwater::request::Target;
use headwater::testing::{Reply, Scripted};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, Served, answer, ok, page, refuse, require, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![aip_158(), ads(), analytics()]
}

/// Page tokens are safe in a URL.
pub(super) fn token(at: u64) -> String {
    format!("~!!~AI9FV7{at:05}")
}

pub(super) fn place(token: &str) -> Result<u64, Reply> {
    let at = token.strip_prefix("~!!~AI9FV7").and_then(|digits| digits.parse().ok());
    at.ok_or_else(|| problem(400, "invalid", "Invalid Value"))
}

/// A refusal as Google writes it.
pub(super) fn problem(code: u16, reason: &str, message: &str) -> Reply {
    let errors = [json!({ "domain": "usageLimits", "reason": reason, "message": message })];
    answer(code, json!({ "error": { "code": code, "message": message, "errors": errors } }))
}

fn file(number: u64) -> Value {
    json!({ "n": number, "kind": "drive#file", "id": format!("1f{number:05}"), "name": format!("{number}.txt") })
}

/// Drive: too large a size is brought down, an empty page may come in the middle, and all other arguments must be the
/// same on each page.
fn drive(limit: Limit) -> Scripted {
    serve(move |asked| {
        asked.authorized("Bearer ya29.token")?;
        asked.at("GET", "/drive/v3/files")?;
        if limit.meets(asked)?.is_some() {
            return Err(problem(403, "userRateLimitExceeded", "User Rate Limit Exceeded"));
        }
        asked.asks("q", "trashed = false")?;
        // The token comes only if it is among the fields.
        asked.asks("fields", "nextPageToken,files(id,name)")?;
        let size = asked.number("pageSize", 100)?.min(1000);
        let token_asked = asked.query("pageToken");
        let at = token_asked.map_or(Ok(0), |token| place(token.trim_end_matches('-')))?;
        // Nobody says how far the server looks before it gives back what it has: nothing, twice in the middle.
        let nothing = [400, 800].contains(&at) && token_asked.is_some_and(|token| !token.ends_with('-'));
        let files = page(at, if nothing { 0 } else { size }, file);
        let end = at + files.len() as u64;
        let mut body = json!({ "files": files });
        if end < RECORDS {
            body["nextPageToken"] = json!(format!("{}{}", token(end), if nothing { "-" } else { "" }));
        }
        ok(body)
    })
}

fn calendar(limit: Limit) -> Scripted {
    serve(move |asked| {
        asked.authorized("Bearer ya29.token")?;
        asked.at("GET", "/calendar/v3/calendars/primary/events")?;
        if limit.meets(asked)?.is_some() {
            return Err(problem(429, "rateLimitExceeded", "Rate Limit Exceeded"));
        }
        asked.asks("singleEvents", "true")?;
        if asked.query("syncToken").is_some() {
            // It is invalid by now, and what is known with it.
            return Err(problem(
                410,
                "fullSyncRequired",
                "Sync token is no longer valid, a full sync is required.",
            ));
        }
        let size = asked.number("maxResults", 250)?.min(2500);
        let at = asked.query("pageToken").map_or(Ok(0), place)?;
        let end = slice(at, size).end;
        let items =
            page(at, size, |n| json!({ "n": n, "kind": "calendar#event", "id": format!("ev{n:05}") }));
        let mut body = json!({ "kind": "calendar#events", "items": items });
        match end < RECORDS {
            true => body["nextPageToken"] = json!(token(end)),
            false => body["nextSyncToken"] = json!("CPDAlvWDx70CEPDAlvWDx70CGAU="),
        }
        ok(body)
    })
}

/// The end is a token that is missing or empty, and nothing else: a page may be short, or empty, in the middle; too large
/// a size is brought down, and all other arguments must stay (google.aip.dev/158). Drive says a limit by 403
/// `userRateLimitExceeded`; Calendar gives a `nextSyncToken` on its last page, for the next run, and may not know it any
/// more then: a 410, and all is to be pulled anew.
fn aip_158() -> Row {
    let (drive_limit, calendar_limit) = (Limit::told(3, 0), Limit::told(2, 0));
    let (drive_kept, calendar_kept) = (drive_limit.clone(), calendar_limit.clone());
    let files = Source::get("files", "https://www.googleapis.com/drive/v3/files")
        .bearer("ya29.token")
        .query("q", "trashed = false")
        .query("fields", "nextPageToken,files(id,name)")
        .query("pageSize", "200")
        .records("files")
        .paginate(Cursor::body("nextPageToken").into_query("pageToken").missing_ends());
    let events = || {
        let next = Cursor::body("nextPageToken").into_query("pageToken").missing_ends();
        Source::get("events", "https://www.googleapis.com/calendar/v3/calendars/primary/events")
            .bearer("ya29.token")
            .query("singleEvents", "true")
            .records("items")
            .paginate(Delta::new(next, Cursor::body("nextSyncToken").into_query("syncToken")))
            .restart_on_expiry()
    };
    Row::new(
        "Google AIP-158 (Drive, Gmail, Calendar…)",
        [
            Way::new("C", drive(drive_limit), files).named("Drive").checked(move || drive_kept.kept()),
            Way::new("C", calendar(calendar_limit), events())
                .named("Calendar")
                .again(events())
                .checked(move || calendar_kept.kept()),
        ],
    )
}

/// The real page has 10,000 rows; there are only 1,234 here.
const ADS_PAGE: u64 = 400;

fn ads_asked(asked: &Asked<'_>, limit: &Limit, verb: &str) -> Result<(), Reply> {
    asked.authorized("Bearer ya29.token")?;
    asked.says("developer-token", "dev-token")?;
    asked.says("login-customer-id", "9876543210")?;
    asked.at("POST", &format!("/v21/customers/1234567890/googleAds:{verb}"))?;
    asked.only(&[])?;
    require(
        asked.body("/query") == "SELECT campaign.id FROM campaign",
        "the query changed between two pages",
    )?;
    require(!asked.has("/pageSize"), "PAGE_SIZE_NOT_SUPPORTED")?;
    let Some(wait) = limit.meets(asked)? else { return Ok(()) };
    let delay = format!("{}s", wait.as_secs());
    let quota = json!({ "errors": [{
        "errorCode": { "quotaError": "RESOURCE_EXHAUSTED" },
        "details": { "quotaErrorDetails": { "rateScope": "DEVELOPER", "retryDelay": delay } },
    }] });
    Err(answer(429, json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "details": [quota] } })))
}

fn campaign(number: u64) -> Value {
    json!({ "n": number, "campaign": { "resourceName": format!("customers/1234567890/campaigns/{number}") } })
}

fn ads_search(limit: Limit) -> Scripted {
    serve(move |asked| {
        ads_asked(asked, &limit, "search")?;
        let at = asked.body("/pageToken").as_str().map_or(Ok(0), place)?;
        let end = slice(at, ADS_PAGE).end;
        let mut body = json!({ "results": page(at, ADS_PAGE, campaign), "fieldMask": "campaign.id" });
        if end < RECORDS {
            body["nextPageToken"] = json!(token(end));
        }
        ok(body)
    })
}

/// One answer has it all: an array of batches.
fn ads_stream(limit: Limit) -> Scripted {
    serve(move |asked| {
        ads_asked(asked, &limit, "searchStream")?;
        let batches = (0..RECORDS.div_ceil(ADS_PAGE)).map(|batch| {
            json!({ "results": page(batch * ADS_PAGE, ADS_PAGE, campaign), "fieldMask": "campaign.id" })
        });
        ok(batches.collect::<Vec<_>>().into())
    })
}

/// The token goes into the body; the size is fixed at 10,000, and asking for another is an error. `searchStream` gives
/// one array of all batches. A limit says how long to wait in the body, as `"30s"` (developers.google.com/google-ads,
/// "Page through results", "Best practices: quotas").
fn ads() -> Row {
    let source = |name, verb: &str| {
        let url = format!("https://googleads.googleapis.com/v21/customers/1234567890/googleAds:{verb}");
        let body = json!({ "query": "SELECT campaign.id FROM campaign" });
        Source::post(name, url)
            .json(body)
            .repeatable()
            .bearer("ya29.token")
            .header("developer-token", "dev-token")
            .header("login-customer-id", "9876543210")
            .signal(Signal::wait(
                At::body("error.details.0.errors.0.details.quotaErrorDetails.retryDelay"),
                Unit::Duration,
            ))
    };
    let way = |primitive, nth, served: fn(Limit) -> Scripted, source| {
        let limit = Limit::told(nth, 30);
        Way::new(primitive, served(limit.clone()), source).checked(move || limit.kept())
    };
    let search = source("campaigns", "search")
        .records("results")
        .paginate(Cursor::body("nextPageToken").into_body("pageToken").missing_ends());
    let stream = source("campaigns", "searchStream").records("*.results").paginate(Single);
    Row::new(
        "Google Ads",
        [
            way("C", 2, ads_search, search).named("search"),
            way("–", 1, ads_stream, stream).named("searchStream"),
        ],
    )
}

/// Whole numbers of 64 bits are strings in Google's JSON, also in what is asked.
fn int64(value: &Value, name: &str) -> Result<u64, Reply> {
    match value {
        Value::String(text) => text.parse().map_err(|_| refuse(400, format!("{name} is no int64"))),
        other => Err(refuse(400, format!("{name} is {other}, not an int64"))),
    }
}

fn report(asked: &Asked<'_>) -> Served {
    let at = int64(asked.body("/offset"), "offset")?;
    let size = int64(asked.body("/limit"), "limit")?.min(250_000);
    let row = |n: u64| json!({ "n": n, "dimensionValues": [{ "value": format!("/page/{n}") }], "metricValues": [{ "value": "1" }] });
    let mut body = json!({
        "rowCount": RECORDS,
        "propertyQuota": { "tokensPerHour": { "consumed": 1, "remaining": 39_999 } },
    });
    // An empty list is left out.
    if at < RECORDS {
        body["rows"] = page(at, size, row).into();
    }
    ok(body)
}

/// `offset` and `limit` are strings in the body, for they are whole numbers of 64 bits; `rowCount` has 32 and is a number
/// (google/analytics/data/v1beta/analytics_data_api.proto: 10,000 rows, at most 250,000).
fn analytics() -> Row {
    let limit = Limit::told(4, 0);
    let kept = limit.clone();
    let reports = serve(move |asked| {
        asked.authorized("Bearer ya29.token")?;
        asked.at("POST", "/v1beta/properties/1234:runReport")?;
        asked.only(&[])?;
        require(asked.body("/dimensions/0/name") == "pagePath", "the report changed between two pages")?;
        if limit.meets(asked)?.is_some() {
            let error = json!({ "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Exhausted concurrent requests quota." });
            return Ok(answer(429, json!({ "error": error })));
        }
        report(asked)
    });
    let body = json!({
        "dimensions": [{ "name": "pagePath" }],
        "metrics": [{ "name": "screenPageViews" }],
        "dateRanges": [{ "startDate": "2026-01-01", "endDate": "yesterday" }],
        "returnPropertyQuota": true,
    });
    let source =
        Source::post("pages", "https://analyticsdata.googleapis.com/v1beta/properties/1234:runReport")
            .json(body)
            .repeatable()
            .bearer("ya29.token")
            .records("rows")
            .paginate(
                Offset::new(250)
                    .offset_into(Target::body("offset").as_string())
                    .limit_into(Target::body("limit").as_string())
                    .until_total("rowCount"),
            );
    Row::new("GA4 runReport", [Way::new("O", reports, source).checked(move || kept.kept())])
}
