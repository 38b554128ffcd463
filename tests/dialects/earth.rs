//! Health, and what is seen of the earth from above.

use headwater::page::Select;
use headwater::paginate::{LinkHeader, NextUrl};
use headwater::testing::{Reply, Scripted};
use headwater::{Request, Source};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Answered, Limit, cut, demand, header, json_reply, number, param, rows, server, token};

pub(crate) fn rows_of_earth() -> Vec<Row> {
    vec![fhir(), stac(), ogc_features()]
}

/// The link of the relation `next`, absent at the end, opaque, and of another path than the first. Among the resources
/// that were searched for stand others, which the search included or which say something about it (hl7.org/fhir: Search,
/// Managing Returned Resources; Bundle).
fn fhir() -> Row {
    let limit = Limit::at(5, 12);
    let search = server(move |request, nth| {
        limit.refuse(nth, || Reply::status(429).header("retry-after", "12"))?;
        bundle(request)
    });
    let source = Source::get("observations", "https://hapi.fhir.org/baseR4/Observation")
        .header("Accept", "application/fhir+json")
        .query("_count", "100")
        .records(Select::path("entry.*.resource").only("resourceType", "Observation").optional())
        .paginate(NextUrl::links("link"));
    Row::new("FHIR Bundle", [Way::new("N", search, source).number("id")])
}

/// A bundle: links of all relations, the next of which leads to another path.
fn bundle(request: &Request) -> Answered {
    if header(request, "accept") != Some("application/fhir+json") {
        return Ok(Reply::status(200).header("content-type", "application/fhir+xml").body("<Bundle/>"));
    }
    let base = "https://hapi.fhir.org/baseR4";
    let (first, count) = match param(request, "_getpages").as_deref() {
        Some("4f0c8d1e") => (number(request, "_getpagesoffset", 0)?, number(request, "_count", 20)?),
        Some(_) => return Err(json_reply(410, &json!({"resourceType": "OperationOutcome"}))),
        None => {
            demand(request.url().path().ends_with("/Observation"), 404, "no such resource")?;
            (0, number(request, "_count", 20)?.min(200))
        }
    };
    let range = cut(first, count);
    let mut links = vec![json!({"relation": "self", "url": format!("{base}/Observation?_count={count}")})];
    // The link behind the last resource leads to a bundle without any.
    if !range.is_empty() {
        let url = format!(
            "{base}?_getpages=4f0c8d1e&_getpagesoffset={}&_count={count}&_bundletype=searchset",
            range.end
        );
        links.push(json!({"relation": "next", "url": url}));
    }
    if first > 0 {
        let url = format!(
            "{base}?_getpages=4f0c8d1e&_getpagesoffset={}&_count={count}",
            first.saturating_sub(count)
        );
        links.push(json!({"relation": "previous", "url": url}));
    }
    let matches = range.clone().map(|n| {
        json!({"fullUrl": format!("{base}/Observation/{n}"), "search": {"mode": "match"},
               "resource": {"resourceType": "Observation", "id": n.to_string()}})
    });
    // What the server has to say about the search stands among what was found.
    let said = json!({"search": {"mode": "outcome"}, "resource": {"resourceType": "OperationOutcome", "id": "said"}});
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "link": links});
    if !range.is_empty() {
        bundle["entry"] = matches.chain([said]).collect::<Vec<_>>().into();
    }
    Ok(json_reply(200, &bundle))
}

const SEARCH: &str = "https://earth-search.aws.element84.com/v1/search";

/// The vendor's largest page has 10,000 items, and a larger one is cut down to it; here 250.
const ITEMS: u64 = 250;

fn items(first: u64, limit: u64, next: impl FnOnce(u64) -> Value) -> Answered {
    let range = cut(first, limit.min(ITEMS));
    let mut links = vec![json!({"rel": "root", "href": "https://earth-search.aws.element84.com/v1"})];
    if range.end < RECORDS {
        links.push(next(range.end));
    }
    let context = json!({"type": "FeatureCollection", "links": links, "numberMatched": RECORDS,
                         "numberReturned": range.end - range.start, "features": rows(range)});
    Ok(json_reply(200, &context))
}

/// The link is the next request: a URL, or a body that is laid over the first one, or a body and headers as they are
/// (github.com/radiantearth/stac-api-spec: Item Search, Pagination).
fn stac() -> Row {
    let get = Source::get("scenes", SEARCH)
        .query("collections", "sentinel-2-l2a")
        .query("limit", "10000")
        .records("features")
        .paginate(NextUrl::links("links"));
    let post = || {
        let request = Request::post(SEARCH).expect("a URL");
        let request = request.json(json!({"collections": ["sentinel-2-l2a"], "limit": 10_000}));
        Source::request("scenes", request.repeatable())
            .records("features")
            .paginate(NextUrl::links("links").as_request())
    };
    Row::new(
        "STAC API",
        [
            Way::new("N", server(|request, _| search_by_get(request)), get).named("GET"),
            Way::new("N", server(|request, _| search_by_post(request, true)), post()).named("POST, merged"),
            Way::new("N", server(|request, _| search_by_post(request, false)), post())
                .named("POST, body and headers"),
        ],
    )
}

/// A search by GET: the link is a URL.
fn search_by_get(request: &Request) -> Answered {
    demand(
        param(request, "collections").as_deref() == Some("sentinel-2-l2a"),
        400,
        "collections is missing",
    )?;
    items(token(param(request, "next"), "S2_")?, number(request, "limit", 10)?, |at| {
        let href = format!("{SEARCH}?collections=sentinel-2-l2a&limit=10000&next=S2_{at}");
        json!({"rel": "next", "method": "GET", "type": "application/geo+json", "href": href})
    })
}

/// A search by POST: the link is the next request, as a change to the one before or as a whole.
fn search_by_post(request: &Request, merge: bool) -> Answered {
    let body = request.body().unwrap_or(&Value::Null);
    demand(request.method() == "POST", 405, "Method Not Allowed")?;
    demand(body["collections"] == json!(["sentinel-2-l2a"]), 400, "collections is missing")?;
    let limit = body["limit"].as_u64().unwrap_or(10);
    if merge {
        return items(token(body["next"].as_str().map(str::to_owned), "S2_")?, limit, |at| {
            let next = json!({ "next": format!("S2_{at}") });
            json!({"rel": "next", "method": "POST", "href": SEARCH, "merge": true, "body": next})
        });
    }
    items(token(header(request, "search-after").map(str::to_owned), "S2_")?, limit, |at| {
        json!({"rel": "next", "method": "POST", "href": SEARCH, "headers": {"Search-After": format!("S2_{at}")},
               "body": {"collections": ["sentinel-2-l2a"], "limit": limit}})
    })
}

/// A link in a list, or in the header; pygeoapi's forgets `f=json` (ogcapi.ogc.org: Features, Part 1, §7.15.5 and
/// following; docs.pygeoapi.io: OGC API - Features).
fn ogc_features() -> Row {
    let served = |in_header: bool| -> Scripted { server(move |request, _| features(request, in_header)) };
    let source = || Source::get("observations", "https://demo.pygeoapi.io/master/collections/obs/items");
    let listed = source()
        .query("f", "json")
        .query("limit", "10000")
        .records("features")
        .paginate(NextUrl::links("links").keep_query(["f"]));
    let headed = source()
        .header("Accept", "application/geo+json")
        .query("limit", "10000")
        .records("features")
        .paginate(LinkHeader::new());
    Row::new(
        "OGC API Features",
        [
            Way::new("N", served(false), listed).named("links"),
            Way::new("N", served(true), headed).named("Link"),
        ],
    )
}

/// Features: what is not asked for as JSON is a page for people, and the next link has forgotten how the first was
/// asked for.
fn features(request: &Request, in_header: bool) -> Answered {
    let asked = param(request, "f").as_deref() == Some("json");
    if !asked && header(request, "accept") != Some("application/geo+json") {
        return Ok(Reply::status(200).html("<!DOCTYPE html><title>Observations</title>"));
    }
    // The vendor's largest page has 10,000 features: here 500.
    let (offset, limit) = (number(request, "offset", 0)?, number(request, "limit", 10)?.min(500));
    let range = cut(offset, limit);
    let url = "https://demo.pygeoapi.io/master/collections/obs/items";
    let next = format!("{url}?offset={}&limit={limit}", range.end);
    let mut links =
        vec![json!({"rel": "self", "type": "application/geo+json", "href": format!("{url}?f=json")})];
    let more = range.end < RECORDS;
    if more && !in_header {
        links.push(json!({"rel": "next", "type": "application/geo+json", "href": next}));
    }
    let body = json!({"type": "FeatureCollection", "numberMatched": RECORDS, "links": links, "features": rows(range)});
    let reply = json_reply(200, &body);
    Ok(if more && in_header {
        reply.header("link", &format!("<{next}>; rel=\"next\"; type=\"application/geo+json\""))
    } else {
        reply
    })
}
