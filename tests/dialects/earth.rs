//! Health, and what is seen of the earth from above.

use headwater::page::Select;
use headwater::paginate::{LinkHeader, NextUrl};
use headwater::testing::{Reply, Scripted};
use headwater::{Request, Source};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, Served, answer, bare, demand, number_in, ok, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![fhir(), stac(), ogc_features()]
}

/// The link of the relation `next`, absent at the end, opaque, and of another path than the first. Among the resources
/// that were searched for stand others, which the search included or which say something about it (hl7.org/fhir: Search,
/// Managing Returned Resources; Bundle).
fn fhir() -> Row {
    let limit = Limit::told(5, 12);
    let search = serve(move |asked| {
        limit.pass(asked, |_| Reply::status(429).header("retry-after", "12"))?;
        bundle(asked)
    });
    let source = Source::get("observations", "https://hapi.fhir.org/baseR4/Observation")
        .header("Accept", "application/fhir+json")
        .query("_count", "100")
        .records(Select::path("entry.*.resource").only("resourceType", "Observation").optional())
        .paginate(NextUrl::links("link"));
    Row::new("FHIR Bundle", [Way::new("N", search, source).number("id")])
}

/// A bundle: links of all relations, the next of which leads to another path.
fn bundle(asked: &Asked<'_>) -> Served {
    if asked.header("accept") != Some("application/fhir+json") {
        return Ok(Reply::status(200).header("content-type", "application/fhir+xml").body("<Bundle/>"));
    }
    let base = "https://hapi.fhir.org/baseR4";
    let (first, count) = match asked.query("_getpages") {
        Some("4f0c8d1e") => (asked.number("_getpagesoffset", 0)?, asked.number("_count", 20)?),
        Some(_) => return Err(answer(410, json!({"resourceType": "OperationOutcome"}))),
        None => {
            demand(asked.path().ends_with("/Observation"), 404, "no such resource")?;
            (0, asked.number("_count", 20)?.min(200))
        }
    };
    let range = slice(first, count);
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
    ok(bundle)
}

const SEARCH: &str = "https://earth-search.aws.element84.com/v1/search";

/// The vendor's largest page has 10,000 items, and a larger one is cut down to it; here 250.
const ITEMS: u64 = 250;

fn items(first: u64, limit: u64, next: impl FnOnce(u64) -> Value) -> Served {
    let range = slice(first, limit.min(ITEMS));
    let mut links = vec![json!({"rel": "root", "href": "https://earth-search.aws.element84.com/v1"})];
    if range.end < RECORDS {
        links.push(next(range.end));
    }
    let context = json!({"type": "FeatureCollection", "links": links, "numberMatched": RECORDS,
                         "numberReturned": range.end - range.start, "features": bare(range)});
    ok(context)
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
            Way::new("N", serve(search_by_get), get).named("GET"),
            Way::new("N", serve(|asked| search_by_post(asked, true)), post()).named("POST, merged"),
            Way::new("N", serve(|asked| search_by_post(asked, false)), post())
                .named("POST, body and headers"),
        ],
    )
}

/// A search by GET: the link is a URL.
fn search_by_get(asked: &Asked<'_>) -> Served {
    demand(asked.query("collections") == Some("sentinel-2-l2a"), 400, "collections is missing")?;
    items(number_in(asked.query("next"), "S2_")?, asked.number("limit", 10)?, |at| {
        let href = format!("{SEARCH}?collections=sentinel-2-l2a&limit=10000&next=S2_{at}");
        json!({"rel": "next", "method": "GET", "type": "application/geo+json", "href": href})
    })
}

/// A search by POST: the link is the next request, as a change to the one before or as a whole.
fn search_by_post(asked: &Asked<'_>, merge: bool) -> Served {
    let body = asked.body("");
    demand(asked.request.method() == "POST", 405, "Method Not Allowed")?;
    demand(body["collections"] == json!(["sentinel-2-l2a"]), 400, "collections is missing")?;
    let limit = body["limit"].as_u64().unwrap_or(10);
    if merge {
        return items(number_in(body["next"].as_str(), "S2_")?, limit, |at| {
            let next = json!({ "next": format!("S2_{at}") });
            json!({"rel": "next", "method": "POST", "href": SEARCH, "merge": true, "body": next})
        });
    }
    items(number_in(asked.header("search-after"), "S2_")?, limit, |at| {
        json!({"rel": "next", "method": "POST", "href": SEARCH, "headers": {"Search-After": format!("S2_{at}")},
               "body": {"collections": ["sentinel-2-l2a"], "limit": limit}})
    })
}

/// A link in a list, or in the header; pygeoapi's forgets `f=json` (ogcapi.ogc.org: Features, Part 1, §7.15.5 and
/// following; docs.pygeoapi.io: OGC API - Features).
fn ogc_features() -> Row {
    let served = |in_header: bool| -> Scripted { serve(move |asked| features(asked, in_header)) };
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
fn features(asked: &Asked<'_>, in_header: bool) -> Served {
    let is_json = asked.query("f") == Some("json");
    if !is_json && asked.header("accept") != Some("application/geo+json") {
        return Ok(Reply::status(200).html("<!DOCTYPE html><title>Observations</title>"));
    }
    // The vendor's largest page has 10,000 features: here 500.
    let (offset, limit) = (asked.number("offset", 0)?, asked.number("limit", 10)?.min(500));
    let range = slice(offset, limit);
    let url = "https://demo.pygeoapi.io/master/collections/obs/items";
    let next = format!("{url}?offset={}&limit={limit}", range.end);
    let mut links =
        vec![json!({"rel": "self", "type": "application/geo+json", "href": format!("{url}?f=json")})];
    let more = range.end < RECORDS;
    if more && !in_header {
        links.push(json!({"rel": "next", "type": "application/geo+json", "href": next}));
    }
    let body = json!({"type": "FeatureCollection", "numberMatched": RECORDS, "links": links, "features": bare(range)});
    let reply = answer(200, body);
    Ok(if more && in_header {
        reply.header("link", &format!("<{next}>; rel=\"next\"; type=\"application/geo+json\""))
    } else {
        reply
    })
}
