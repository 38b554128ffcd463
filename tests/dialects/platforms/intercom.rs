//! Intercom.

use std::time::Duration;

use headwater::Source;
use headwater::paginate::Cursor;
use headwater::testing::Reply;
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::vendor::{Asked, Limit, answer, made, ok, page, place, range, require, server, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![search()]
}

fn limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("Bearer dG9rOg")?;
    asked.says("intercom-version", "2.13")?;
    let Some(wait) = limit.meets() else { return Ok(()) };
    Err(answer(429, json!({ "type": "error.list", "errors": [{ "code": "rate_limit_exceeded" }] }))
        .header("x-ratelimit-limit", "1000")
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", &limit.after(wait).to_string()))
}

fn contact(number: u64) -> Value {
    json!({ "n": number, "type": "contact", "id": format!("c{number}"), "updated_at": made(number) })
}

/// A page of contacts; `pages.next` is an object, or null on the last page.
fn contacts(at: u64, size: u64) -> Value {
    let end = range(at, size).end;
    let next = (end < RECORDS).then(|| json!({ "page": end / size + 1, "starting_after": token(end) }));
    json!({
        "type": "list", "data": page(at, size, contact), "total_count": RECORDS,
        "pages": { "type": "pages", "page": at / size + 1, "per_page": size, "next": next },
    })
}

/// The same, but for the position, which goes into an object in the body (developers.intercom.com, "Search contacts").
fn search() -> Row {
    let limit = Limit::at(5, Duration::from_secs(10));
    let kept = limit.clone();
    let search = server(move |asked| {
        limited(asked, &limit)?;
        asked.at("POST", "/contacts/search")?;
        asked.only(&[])?;
        require(asked.body("/query/field") == "updated_at", "the query changed between two pages")?;
        let after = asked.body("/pagination/starting_after");
        require(
            !asked.has("/pagination/starting_after") || after.is_string(),
            "starting_after must be a string",
        )?;
        let size = asked.body("/pagination/per_page").as_u64().unwrap_or(20);
        require(size <= 150, "per_page must be 150 at most")?;
        ok(contacts(after.as_str().map_or(Ok(0), place)?, size))
    });
    let body = json!({
        "query": { "field": "updated_at", "operator": ">", "value": 0 },
        "pagination": { "per_page": 150 },
    });
    let source = Source::post("contacts", "https://api.intercom.io/contacts/search")
        .json(body)
        .repeatable()
        .bearer("dG9rOg")
        .header("Intercom-Version", "2.13")
        .records("data")
        .paginate(
            Cursor::body("pages.next.starting_after").into_body("pagination.starting_after").missing_ends(),
        );
    Row::new("Intercom search", [Way::new("C", search, source).checked(move || kept.kept())])
}
