//! Workday, ServiceNow, MongoDB Atlas.

use headwater::Source;
use headwater::paginate::{End, LinkHeader, Offset};
use headwater::testing::Reply;
use serde_json::{Value, json};

use super::asked::{Limit, list, page, serve, slice};
use super::row::{RECORDS, Row, Way};

pub(crate) fn rows() -> Vec<Row> {
    vec![service_now(), workday()]
}

/// Workday REST (community.workday.com/sites/default/files/file-hosting/restapi): `offset` and `limit` (20, at most 100),
/// `total` and `data`.
fn workday() -> Row {
    let limit = Limit::untold(6, 1);
    let hit = limit.hit();
    let server = serve(move |asked| {
        asked.get("/ccx/api/v1/acme/workers")?;
        asked.bearer("wdToken")?;
        limit.pass(asked, |_| Reply::status(429).body(r#"{"error":"too many requests","errors":[]}"#))?;
        asked.only(&["limit", "offset", "search"])?;
        let (size, start) = (asked.size("limit", 20, 100)?, asked.number("offset", 0)?);
        let data =
            list(slice(start, size), |n| json!({"id": format!("{n:032x}"), "descriptor": "A B", "n": n}));
        Ok(page(json!({"total": RECORDS, "data": data})))
    });
    let source = Source::get("workers", "https://wd2-impl-services1.workday.com/ccx/api/v1/acme/workers")
        .bearer("wdToken")
        .records("data")
        .paginate(Offset::new(100).until_total("total"));
    Row::new("Workday REST", [Way::new("O", server, source).checked(hit)])
}

/// 1,234 rows that one may see, among others.
fn table() -> Vec<Option<u64>> {
    let mut table = Vec::new();
    for n in 0..RECORDS {
        if n == 500 {
            table.extend(vec![None; 430]);
        }
        if n % 9 == 0 {
            table.push(None);
        }
        table.push(Some(n));
    }
    table
}

/// ServiceNow, Table API (docs.servicenow.com, "Table API", "Inbound REST API rate limiting"): `sysparm_offset` and
/// `sysparm_limit` (10,000) count the rows *before* the access rules take out some, so a page may be short or empty and
/// not the last. `Link` has the next page; `X-Total-Count` counts what is hidden, too. A 429 has `Retry-After`.
fn service_now() -> Row {
    let server = || {
        let limit = Limit::told(4, 35);
        let hit = limit.hit();
        let server = serve(move |asked| {
            asked.get("/api/now/table/incident")?;
            asked.key("authorization", "Basic YWRtaW46cHc=")?;
            limit.pass(asked, |wait| {
                Reply::status(429)
                    .header("retry-after", &wait.as_secs().to_string())
                    .header("x-ratelimit-limit", "100")
                    .header("x-ratelimit-rule", "Limit Table API")
                    .header("x-ratelimit-reset", &limit.epoch(wait).ceil().to_string())
                    .body(r#"{"error":{"message":"Rate limit exceeded"},"status":"failure"}"#)
            })?;
            asked.only(&["sysparm_query", "sysparm_offset", "sysparm_limit"])?;
            asked.wants("sysparm_query", "active=true^ORDERBYsys_id")?;
            let (size, start) = (asked.number("sysparm_limit", 10_000)?, asked.number("sysparm_offset", 0)?);
            let table = table();
            let shown = table.iter().skip(start as usize).take(size as usize).flatten();
            let shown: Vec<Value> =
                shown.map(|n| json!({"sys_id": format!("{n:032x}"), "n": n.to_string()})).collect();
            let all = table.len() as u64;
            let link = |rel: &str, start: u64| {
                format!(
                    "<https://acme.service-now.com/api/now/table/incident?sysparm_query=active%3Dtrue%5EORDERBYsys_id\
                     &sysparm_limit={size}&sysparm_offset={start}>;rel=\"{rel}\""
                )
            };
            let mut links = vec![link("first", 0)];
            if start > 0 {
                links.push(link("prev", start.saturating_sub(size)));
            }
            if start + size < all {
                links.push(link("next", start + size));
            }
            links.push(link("last", (all - 1) / size * size));
            Ok(page(json!({"result": shown}))
                .header("link", &links.join(","))
                .header("x-total-count", &all.to_string()))
        });
        (server, hit)
    };
    let source = || {
        Source::get("incidents", "https://acme.service-now.com/api/now/table/incident")
            .basic("admin", "pw")
            .query("sysparm_query", "active=true^ORDERBYsys_id")
            .records("result")
    };
    let ((first, first_hit), (second, second_hit)) = (server(), server());
    let offset = Offset::new(200)
        .offset_param("sysparm_offset")
        .limit_param("sysparm_limit")
        .step_by_limit()
        .until(End::total_header("x-total-count"));
    Row::new(
        "ServiceNow",
        [
            Way::new("N", first, source().query("sysparm_limit", "200").paginate(LinkHeader::new()))
                .named("Link")
                .checked(first_hit),
            Way::new("O", second, source().paginate(offset)).named("offset").checked(second_hit),
        ],
    )
}
