//! Workday, ServiceNow, MongoDB Atlas.

use headwater::Source;
use headwater::paginate::Offset;
use headwater::testing::Reply;
use serde_json::json;

use super::asked::{Limit, list, page, serve, slice};
use super::row::{RECORDS, Row, Way};

pub(crate) fn rows() -> Vec<Row> {
    vec![workday()]
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
