//! Clusters and clouds.

use headwater::paginate::{Cursor, PageNumber};
use headwater::testing::Reply;
use headwater::{Request, Source};
use serde_json::json;

use super::row::{RECORDS, Row, Way};
use super::server::{Limit, answer, bare, demand, number_in, ok, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![cloudflare(), mlflow()]
}

/// Page numbers, or a cursor that is absent at the end; limits as structured fields (developers.cloudflare.com: Make
/// API calls, Pagination; Rate limits).
fn cloudflare() -> Row {
    // The third answer uses up the budget, and the next may be asked for when it is full again.
    let budget = Limit::told(3, 30);
    let zones = serve(move |asked| {
        let used_up = budget.meets(asked)?.is_some();
        asked.authorized("Bearer token-of-cloudflare")?;
        let (page, size) = (asked.number("page", 1)?.max(1), asked.number("per_page", 20)?);
        demand((5..=50).contains(&size), 400, "per_page is between 5 and 50")?;
        let range = slice((page - 1) * size, size);
        let info = json!({
            "page": page, "per_page": size, "count": range.end - range.start, "total_count": RECORDS,
            "total_pages": RECORDS.div_ceil(size),
        });
        let (left, after) = if used_up { (0, 30) } else { (1000 - asked.nth, 200) };
        Ok(answer(200, json!({"success": true, "result": bare(range), "result_info": info}))
            .header("ratelimit-policy", "\"default\";q=1200;w=300")
            .header("ratelimit", &format!("\"default\";r={left};t={after}")))
    });
    let source =
        || Source::get("zones", "https://api.cloudflare.com/client/v4/zones").bearer("token-of-cloudflare");
    let pages = PageNumber::new().size("per_page", 50).until_page_count("result_info.total_pages");
    let by_page = source().records("result").paginate(pages);

    let limit = Limit::told(2, 60);
    let items = serve(move |asked| {
        let limited = json!({"success": false, "errors": [{"code": 10000, "message": "please wait"}]});
        limit.pass(asked, |_| answer(429, limited).header("retry-after", "60"))?;
        asked.authorized("Bearer token-of-cloudflare")?;
        let range = slice(number_in(asked.query("cursor"), "zzz")?, asked.number("per_page", 25)?.min(500));
        let mut info = json!({"cursors": {}});
        if range.end < RECORDS {
            info["cursors"]["after"] = json!(format!("zzz{}", range.end));
        }
        ok(json!({"success": true, "result": bare(range), "result_info": info}))
    });
    let list =
        "https://api.cloudflare.com/client/v4/accounts/023e105f4ecef8ad/rules/lists/2c0fc9fa937b11ea/items";
    let by_cursor = Source::get("items", list)
        .bearer("token-of-cloudflare")
        .query("per_page", "500")
        .records("result")
        .paginate(Cursor::body("result_info.cursors.after").missing_ends());
    Row::new(
        "Cloudflare",
        [
            Way::new("G", zones, by_page).named("zones"),
            Way::new("C", items, by_cursor).named("items of a list"),
        ],
    )
}

/// A token, absent at the end: into the body of a search that is a POST, or into the query of a list (mlflow.org: REST
/// API, Search Runs; docs.databricks.com: Jobs, List).
fn mlflow() -> Row {
    let limit = Limit::told(2, 0);
    let search = serve(move |asked| {
        limit.pass(asked, |_| Reply::status(429).body(r#"{"error_code":"REQUEST_LIMIT_EXCEEDED"}"#))?;
        asked.authorized("Bearer dapi-token")?;
        let body = asked.body("");
        demand(body["experiment_ids"] == json!(["7"]), 400, "experiment_ids is required")?;
        let size = body["max_results"].as_u64().unwrap_or(1000);
        demand(size <= 50_000, 400, "max_results is at most 50000")?;
        let range = slice(number_in(body["page_token"].as_str(), "CAE")?, size);
        let mut found = json!({ "runs": bare(range.clone()) });
        if range.end < RECORDS {
            found["next_page_token"] = json!(format!("CAE{}", range.end));
        }
        ok(found)
    });
    let request =
        Request::post("https://adb-1.2.azuredatabricks.net/api/2.0/mlflow/runs/search").expect("a URL");
    let runs = Source::request(
        "runs",
        request.json(json!({"experiment_ids": ["7"], "max_results": 100})).repeatable(),
    )
    .bearer("dapi-token")
    .records("runs")
    .paginate(Cursor::body("next_page_token").into_body("page_token").missing_ends());

    let jobs = serve(|asked| {
        asked.authorized("Bearer dapi-token")?;
        let size = asked.number("limit", 20)?;
        demand((1..=100).contains(&size), 400, "limit is between 1 and 100")?;
        let range = slice(number_in(asked.query("page_token"), "CAA")?, size);
        let more = range.end < RECORDS;
        let mut found = json!({"jobs": bare(range.clone()), "has_more": more});
        if more {
            found["next_page_token"] = json!(format!("CAA{}", range.end));
        }
        ok(found)
    });
    let list = Source::get("jobs", "https://adb-1.2.azuredatabricks.net/api/2.2/jobs/list")
        .bearer("dapi-token")
        .query("limit", "100")
        .records("jobs")
        .paginate(Cursor::body("next_page_token").into_query("page_token").missing_ends());
    Row::new(
        "MLflow / Databricks",
        [Way::new("C", search, runs).named("POST search"), Way::new("C", jobs, list).named("GET list")],
    )
}
