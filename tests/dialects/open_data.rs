//! Portals of open data.

use chrono::{Days, NaiveDate};
use headwater::exchange::{Verdict, When};
use headwater::page::{Format, Select};
use headwater::pages::{Step, TimeFormat, Window};
use headwater::paginate::{End, LinkHeader, NextUrl, Offset, PageNumber, Single};
use headwater::request::Target;
use headwater::testing::Reply;
use headwater::{Request, Source};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, Served, answer, bare, demand, ok, refuse, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![ckan(), socrata(), openfda(), neows()]
}

/// Offsets, as `start` and `rows` for data sets and as `offset` and `limit` for the rows of one; both sizes are
/// clamped without a word (docs.ckan.org: API guide, `package_search`; DataStore extension, `datastore_search`).
fn ckan() -> Row {
    let packages = serve(|asked| {
        let known = |name: &str| matches!(name, "q" | "fq" | "sort" | "rows" | "start");
        let strange = asked.request.url().query_pairs().any(|(name, _)| !known(&name));
        demand(!strange, 409, "Search Query is invalid: Invalid search parameters")?;
        let size = asked.number("rows", 10)?.min(1000);
        let range = slice(asked.number("start", 0)?, size);
        ok(json!({"success": true, "result": {"count": RECORDS, "results": bare(range)}}))
    });
    let data_sets = Source::get("packages", "https://catalog.data.gov/api/3/action/package_search")
        .records("result.results")
        .paginate(Offset::new(5000).offset_param("start").limit_param("rows").until_total("result.count"));
    let search = Request::post("https://demo.ckan.org/api/3/action/datastore_search").expect("a URL");
    let search = search.json(json!({"resource_id": "5b3cf3a8-9a58-45ee-8e1a-4d98b8320c9a", "sort": "_id"}));
    let offsets = Offset::new(32_000).offset_into(Target::body("offset")).limit_into(Target::body("limit"));
    let one_data_set = Source::request("rows", search.repeatable())
        .records("result.records")
        .paginate(offsets.until_total("result.total"));
    Row::new(
        "CKAN",
        [
            Way::new("O", packages, data_sets).named("package_search"),
            Way::new("O", serve(datastore), one_data_set).named("datastore_search by POST"),
        ],
    )
}

/// The rows of one data set, by POST: at most 32,000 at once, here 300.
fn datastore(asked: &Asked<'_>) -> Served {
    let body = asked.body("");
    let known = body["resource_id"] == "5b3cf3a8-9a58-45ee-8e1a-4d98b8320c9a";
    demand(known, 404, "Not Found Error: resource_id")?;
    let (offset, limit) = (body["offset"].as_u64().unwrap_or(0), body["limit"].as_u64().unwrap_or(100));
    let found =
        json!({"total": RECORDS, "limit": limit.min(300), "records": bare(slice(offset, limit.min(300)))});
    ok(json!({"success": true, "result": found}))
}

/// `$limit` and `$offset`; without `$order` the rows come in another order each time (dev.socrata.com: Paging through
/// Data). Since 2.1 the size has no maximum. Who sends no application token shares the budget of all others.
fn socrata() -> Row {
    let soda = serve(|asked| {
        limit_of_socrata(asked)?;
        let (offset, limit) = (asked.number("$offset", 0)?, asked.number("$limit", 1000)?);
        ok(ordered(asked, slice(offset, limit)).into())
    });
    let source = Source::get("crimes", "https://data.cityofchicago.org/resource/ijzp-q8t2.json")
        .header("X-App-Token", "token")
        .query("$order", ":id")
        .records("")
        .paginate(Offset::new(500).offset_param("$offset").limit_param("$limit").until_short_page());
    let query =
        Request::post("https://data.cityofchicago.org/api/v3/views/ijzp-q8t2/query.json").expect("a URL");
    let pages = PageNumber::new().number_into(Target::body("page.pageNumber"));
    let soda_of_3 = Source::request("crimes_of_3", query.json(json!({"query": "SELECT *"})).repeatable())
        .header("X-App-Token", "token")
        .records("")
        .paginate(pages.size_into(Target::body("page.pageSize"), 500).until(End::short_page(500)));
    let csv = Source::get("crimes", "https://data.cityofchicago.org/resource/ijzp-q8t2.csv")
        .header("X-App-Token", "token")
        .query("$order", ":id")
        .format(Format::csv())
        .records("")
        .paginate(Offset::new(500).offset_param("$offset").limit_param("$limit").until_short_page());
    Row::new(
        "Socrata",
        [
            Way::new("O", soda, source).named("SODA 2"),
            Way::new("G", serve(soda_3), soda_of_3).named("SODA 3"),
            Way::new("O", serve(soda_csv), csv).named("CSV"),
        ],
    )
}

/// SODA 3: the query and the page in the body of a POST.
fn soda_3(asked: &Asked<'_>) -> Served {
    limit_of_socrata(asked)?;
    let body = asked.body("");
    demand(body["query"].is_string(), 400, "query is missing")?;
    let page = &body["page"];
    let (number, size) =
        (page["pageNumber"].as_u64().unwrap_or(1), page["pageSize"].as_u64().unwrap_or(1000));
    demand(number > 0, 400, "pages start at 1")?;
    ok(bare(slice((number - 1) * size, size)).into())
}

/// The same rows in CSV, under a line of names that also stands above none at all.
fn soda_csv(asked: &Asked<'_>) -> Served {
    limit_of_socrata(asked)?;
    let range = slice(asked.number("$offset", 0)?, asked.number("$limit", 1000)?);
    let lines =
        ordered(asked, range).into_iter().map(|row| format!("\"{}\",\"THEFT, \"\"PETTY\"\"\"\n", row["n"]));
    let body: String = ["\"n\",\"primary_type\"\n".to_owned()].into_iter().chain(lines).collect();
    Ok(Reply::status(200).header("content-type", "text/csv; charset=UTF-8").body(body))
}

fn limit_of_socrata(asked: &Asked<'_>) -> Result<(), Reply> {
    // A parameter without `$` is a filter by a column of that name.
    let strange = asked.request.url().query_pairs().any(|(name, _)| !name.starts_with('$'));
    demand(!strange, 400, "query.soql.no-such-column")?;
    demand(asked.header("x-app-token") == Some("token") && asked.nth != 2, 429, "throttled")
}

fn ordered(asked: &Asked<'_>, range: std::ops::Range<u64>) -> Vec<Value> {
    let turned = if asked.query("$order") == Some(":id") { 0 } else { asked.nth * 37 };
    range.map(|n| json!({ "n": (n + turned) % RECORDS })).collect()
}

/// `search_after` by the Link header, or `skip` up to 25,000; a `skip` in the first request is carried on in the links,
/// which then lead to the wall. The links are without the key (open.fda.gov: Paging).
fn openfda() -> Row {
    let source = || {
        Source::get("events", "https://api.fda.gov/drug/event.json")
            .api_key_query("api_key", "fda-key-0123456789")
            .records("results")
    };
    let limit = Limit::told(4, 20);
    let links = serve(move |asked| {
        let limited =
            || Reply::status(429).header("retry-after", "20").body(r#"{"error":{"code":"OVER_RATE_LIMIT"}}"#);
        limit.pass(asked, |_| limited())?;
        events(asked)
    });
    let after = source().query("limit", "100").paginate(LinkHeader::new());
    let skipped = source().paginate(Offset::new(50).offset_param("skip").until_total("meta.results.total"));
    // Of one search 25,050 events can be had, here 300; days without any are 404.
    let in_days = source()
        .query("search", "receivedate:[{start} TO {end}]")
        .paginate(Offset::new(50).offset_param("skip").until_total("meta.results.total"))
        .rule(When::status(404).body("error.code", "NOT_FOUND").means(Verdict::NoRecords))
        .window(
            Window::time("2025-12-01", "2026-06-01")
                .every(Step::days(60))
                .inclusive_end()
                .format(TimeFormat::Strftime("%Y%m%d".into()))
                .ceiling(300)
                .total_at("meta.results.total"),
        );
    Row::new(
        "openFDA",
        [
            Way::new("N", links, after).named("search_after"),
            Way::new("O", serve(events), skipped).named("skip"),
            Way::new("O W", serve(events_of_days), in_days).named("skip, in windows"),
        ],
    )
}

/// The vendor's largest `skip` is 25,000.
const SKIPPED: u64 = 25_000;

fn events(asked: &Asked<'_>) -> Served {
    demand(asked.query("api_key") == Some("fda-key-0123456789"), 403, "API_KEY_MISSING")?;
    let (skip, limit) = (asked.number("skip", 0)?, asked.number("limit", 1)?);
    demand(skip <= SKIPPED, 400, "Skip value must 25000 or less.")?;
    demand((1..=1000).contains(&limit), 400, "Limit must be 1000 or less.")?;
    let after = asked.query("search_after").map(|after| after.trim_start_matches("0=").parse::<u64>());
    let first = match after {
        Some(Ok(after)) => after + 1,
        Some(Err(_)) => return Err(refuse(400, "search_after cannot be read")),
        None => skip,
    };
    let range = slice(first, limit);
    demand(!range.is_empty(), 404, "No matches found!")?;
    let next = if skip > 0 {
        format!("skip={}", skip + limit)
    } else {
        format!("skip=0&search_after=0%3D{}", range.end - 1)
    };
    let link = format!("<https://api.fda.gov/drug/event.json?limit={limit}&{next}>; rel=\"next\"");
    let more = range.end < RECORDS;
    let found = json!({"meta": {"results": {"skip": skip, "limit": limit, "total": RECORDS}}, "results": bare(range)});
    let reply = answer(200, found);
    Ok(if more { reply.header("link", &link) } else { reply })
}

/// Asteroids by page; those of some days, by windows of seven (api.nasa.gov: Asteroids - NeoWs).
fn neows() -> Row {
    let source = || Source::get("asteroids", "https://api.nasa.gov/neo/rest/v1/neo/browse");
    let pages = PageNumber::new().start(0).size("size", 20).until_page_count("page.total_pages");
    let browse = source()
        .api_key_query("api_key", "key-of-nasa-01234567")
        .records("near_earth_objects")
        .paginate(pages);
    let links = source()
        .api_key_query("api_key", "key-of-nasa-01234567")
        .query("size", "20")
        .records("near_earth_objects")
        .paginate(NextUrl::body("links.next").missing_ends().upgrade_http());
    let feed = Source::get("approaches", "https://api.nasa.gov/neo/rest/v1/feed")
        .api_key_query("api_key", "key-of-nasa-01234567")
        .query("start_date", "{start}")
        .query("end_date", "{end}")
        .records(Select::map("near_earth_objects").key_as("day"))
        .paginate(Single)
        .window(
            Window::time("2026-01-01", "2026-03-15")
                .every(Step::days(8))
                .inclusive_end()
                .format(TimeFormat::Date),
        );
    Row::new(
        "NASA NeoWs",
        [
            Way::new("G", serve(asteroids), browse).named("browse by page"),
            Way::new("N", serve(asteroids), links).named("browse by link"),
            Way::new("W", serve(asteroids), feed).named("feed, in windows").has("day"),
        ],
    )
}

/// Twenty of them a day.
fn discovered(n: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default() + Days::new(n / 20)
}

/// Asteroids by page, with links of http that hold the key; or those of some days, at most seven behind the first, as a
/// map from the day to a list, with a link to the days after them that never ends.
fn asteroids(asked: &Asked<'_>) -> Served {
    if asked.nth == 3 {
        return Err(answer(429, json!({"error": {"code": "OVER_RATE_LIMIT"}})));
    }
    demand(asked.query("api_key") == Some("key-of-nasa-01234567"), 403, "API_KEY_MISSING")?;
    demand(asked.request.url().scheme() == "https", 400, "HTTPS_REQUIRED")?;
    let url = "http://api.nasa.gov/neo/rest/v1";
    if asked.path().ends_with("/neo/browse") {
        let (page, size) = (asked.number("page", 0)?, asked.number("size", 20)?.min(20));
        let pages = RECORDS.div_ceil(size);
        let mut links =
            json!({"self": format!("{url}/neo/browse?page={page}&size={size}&api_key=key-of-nasa-01234567")});
        if page + 1 < pages {
            let next = format!("{url}/neo/browse?page={}&size={size}&api_key=key-of-nasa-01234567", page + 1);
            links["next"] = json!(next);
        }
        let about = json!({"size": size, "total_elements": RECORDS, "total_pages": pages, "number": page});
        let found = bare(slice(page * size, size));
        return ok(json!({"links": links, "page": about, "near_earth_objects": found}));
    }
    let day = |name: &str| {
        let text = asked.query(name).ok_or_else(|| refuse(400, "start_date and end_date are days"))?;
        text.parse::<NaiveDate>().map_err(|_| refuse(400, "Expected format (yyyy-mm-dd)"))
    };
    let (start, end) = (day("start_date")?, day("end_date")?);
    demand((end - start).num_days() <= 7, 400, "The Feed date limit is only 7 Days")?;
    let mut days = serde_json::Map::new();
    for day in start.iter_days().take_while(|day| *day <= end) {
        let found = bare((0..RECORDS).filter(|n| discovered(*n) == day));
        days.insert(day.to_string(), found.into());
    }
    let next =
        format!("{url}/feed?start_date={end}&end_date={}&api_key=key-of-nasa-01234567", end + Days::new(7));
    Ok(answer(200, json!({"links": {"next": next}, "near_earth_objects": days}))
        .header("x-ratelimit-limit", "1000")
        .header("x-ratelimit-remaining", "980"))
}

/// Events of some days, both ends included, ten a day. The vendor's largest `skip` is 25,000: here 250.
fn events_of_days(asked: &Asked<'_>) -> Served {
    demand(asked.query("api_key") == Some("fda-key-0123456789"), 403, "API_KEY_MISSING")?;
    let (skip, limit) = (asked.number("skip", 0)?, asked.number("limit", 1)?);
    demand(skip <= 250, 400, "Skip value must 25000 or less.")?;
    let search = asked.query("search").unwrap_or_default();
    let days =
        search.strip_prefix("receivedate:[").and_then(|days| days.strip_suffix(']')?.split_once(" TO "));
    let (from, to) = days.ok_or_else(|| refuse(400, "search cannot be read"))?;
    let day =
        |text| NaiveDate::parse_from_str(text, "%Y%m%d").map_err(|_| refuse(400, "a day is no yyyymmdd"));
    let (from, to) = (day(from)?, day(to)?);
    let received = |n: u64| NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default() + Days::new(n / 10);
    let all: Vec<u64> = (0..RECORDS).filter(|n| (from..=to).contains(&received(*n))).collect();
    let found = bare(all.iter().copied().skip(skip as usize).take(limit as usize));
    if found.is_empty() {
        return Err(answer(404, json!({"error": {"code": "NOT_FOUND", "message": "No matches found!"}})));
    }
    let about = json!({"skip": skip, "limit": limit, "total": all.len()});
    ok(json!({"meta": {"results": about}, "results": found}))
}
