//! Portals of open data.

use headwater::paginate::{LinkHeader, Offset};
use headwater::testing::Reply;
use headwater::{Request, Source};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Answered, Limit, cut, demand, header, json_reply, number, param, refusal, rows, server};

pub(crate) fn rows_of_open_data() -> Vec<Row> {
    vec![ckan(), socrata(), openfda()]
}

/// Offsets, as `start` and `rows` for data sets and as `offset` and `limit` for the rows of one; both sizes are
/// clamped without a word (docs.ckan.org: API guide, `package_search`; DataStore extension, `datastore_search`).
fn ckan() -> Row {
    let packages = server(|request, _| {
        let size = number(request, "rows", 10)?.min(1000);
        let range = cut(number(request, "start", 0)?, size);
        Ok(json_reply(200, &json!({"success": true, "result": {"count": RECORDS, "results": rows(range)}})))
    });
    let data_sets = Source::get("packages", "https://catalog.data.gov/api/3/action/package_search")
        .query("q", "*:*")
        .query("sort", "metadata_created asc")
        .records("result.results")
        .paginate(Offset::new(5000).offset_param("start").limit_param("rows").until_total("result.count"));
    Row::new("CKAN", [Way::new("O", packages, data_sets).named("package_search")])
}

/// `$limit` and `$offset`; without `$order` the rows come in another order each time (dev.socrata.com: Paging through
/// Data). Since 2.1 the size has no maximum. Who sends no application token shares the budget of all others.
fn socrata() -> Row {
    let soda = server(|request, nth| {
        limit_of_socrata(request, nth)?;
        let (offset, limit) = (number(request, "$offset", 0)?, number(request, "$limit", 1000)?);
        Ok(json_reply(200, &ordered(request, nth, cut(offset, limit)).into()))
    });
    let source = Source::get("crimes", "https://data.cityofchicago.org/resource/ijzp-q8t2.json")
        .header("X-App-Token", "token")
        .query("$order", ":id")
        .records("")
        .paginate(Offset::new(500).offset_param("$offset").limit_param("$limit").until_short_page());
    Row::new("Socrata", [Way::new("O", soda, source).named("SODA 2")])
}

fn limit_of_socrata(request: &Request, nth: u64) -> Result<(), Reply> {
    demand(header(request, "x-app-token") == Some("token") && nth != 2, 429, "throttled")
}

fn ordered(request: &Request, nth: u64, range: std::ops::Range<u64>) -> Vec<Value> {
    let turned = if param(request, "$order").as_deref() == Some(":id") { 0 } else { nth * 37 };
    range.map(|n| json!({ "n": (n + turned) % RECORDS })).collect()
}

/// `search_after` by the Link header, or `skip` up to 25,000; a `skip` in the first request is carried on in the links,
/// which then lead to the wall. The links are without the key (open.fda.gov: Paging).
fn openfda() -> Row {
    let source = || {
        Source::get("events", "https://api.fda.gov/drug/event.json")
            .api_key_query("api_key", "fda-key-0123456789")
            .query("sort", "receivedate:asc")
            .records("results")
    };
    let limit = Limit::at(4, 20);
    let links = server(move |request, nth| {
        let limited =
            || Reply::status(429).header("retry-after", "20").body(r#"{"error":{"code":"OVER_RATE_LIMIT"}}"#);
        limit.refuse(nth, limited)?;
        events(request)
    });
    let after = source().query("limit", "100").paginate(LinkHeader::new());
    let skipped = source().paginate(Offset::new(50).offset_param("skip").until_total("meta.results.total"));
    Row::new(
        "openFDA",
        [
            Way::new("N", links, after).named("search_after"),
            Way::new("O", server(|request, _| events(request)), skipped).named("skip"),
        ],
    )
}

/// The vendor's largest `skip` is 25,000.
const SKIPPED: u64 = 25_000;

fn events(request: &Request) -> Answered {
    demand(param(request, "api_key").as_deref() == Some("fda-key-0123456789"), 403, "API_KEY_MISSING")?;
    let (skip, limit) = (number(request, "skip", 0)?, number(request, "limit", 1)?);
    demand(skip <= SKIPPED, 400, "Skip value must 25000 or less.")?;
    demand((1..=1000).contains(&limit), 400, "Limit must be 1000 or less.")?;
    let after = param(request, "search_after").map(|after| after.trim_start_matches("0=").parse::<u64>());
    let first = match after {
        Some(Ok(after)) => after + 1,
        Some(Err(_)) => return Err(refusal(400, "search_after cannot be read")),
        None => skip,
    };
    let range = cut(first, limit);
    demand(!range.is_empty(), 404, "No matches found!")?;
    let next = if skip > 0 {
        format!("skip={}", skip + limit)
    } else {
        format!("skip=0&search_after=0%3D{}", range.end - 1)
    };
    let link = format!(
        "<https://api.fda.gov/drug/event.json?sort=receivedate%3Aasc&limit={limit}&{next}>; rel=\"next\""
    );
    let more = range.end < RECORDS;
    let found = json!({"meta": {"results": {"skip": skip, "limit": limit, "total": RECORDS}}, "results": rows(range)});
    let reply = json_reply(200, &found);
    Ok(if more { reply.header("link", &link) } else { reply })
}
