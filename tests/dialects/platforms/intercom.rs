//! Intercom.

use std::sync::Mutex;
use std::time::Duration;

use headwater::Source;
use headwater::exchange::{Verdict, When};
use headwater::paginate::{Cursor, End};
use headwater::testing::Reply;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, answer, made, ok, page, place, require, serve, serve_once, slice, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![lists(), search()]
}

fn limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("Bearer dG9rOg")?;
    asked.says("intercom-version", "2.13")?;
    let Some(wait) = limit.meets(asked)? else { return Ok(()) };
    Err(answer(429, json!({ "type": "error.list", "errors": [{ "code": "rate_limit_exceeded" }] }))
        .header("x-ratelimit-limit", "1000")
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", &limit.after(wait).to_string()))
}

fn problem(status: u16, code: &str) -> Reply {
    answer(status, json!({ "type": "error.list", "errors": [{ "code": code }] }))
}

fn contact(number: u64) -> Value {
    json!({ "n": number, "type": "contact", "id": format!("c{number}"), "updated_at": made(number) })
}

/// A page of contacts; `pages.next` is an object, or null on the last page.
fn contacts(at: u64, size: u64) -> Value {
    let end = slice(at, size).end;
    let next = (end < RECORDS).then(|| json!({ "page": end / size + 1, "starting_after": token(end) }));
    json!({
        "type": "list", "data": page(at, size, contact), "total_count": RECORDS,
        "pages": { "type": "pages", "page": at / size + 1, "per_page": size, "next": next },
    })
}

/// The cursor stands inside `pages.next`, which is null at the end. Companies can be listed up to 10,000 only, and are
/// refused behind (400, "page limit reached, please use scroll API"); the scroll goes on by the same parameter, until a
/// page is empty. "It is not possible to continue from a specific point when using scroll": what is lost on the way makes it
/// begin anew, when the one that is open has ended (developers.intercom.com, "Pagination", "Scroll over all companies"; 20,
/// at most 150 a page).
fn lists() -> Row {
    let (listed, scrolled) = (Limit::told(3, 10), Limit::told(3, 10));
    let (list_kept, scroll_kept) = (listed.clone(), scrolled.clone());
    let list = serve(move |asked| {
        limited(asked, &listed)?;
        asked.at("GET", "/contacts")?;
        let size = asked.number("per_page", 20)?;
        require(size <= 150, "per_page must be 150 at most")?;
        ok(contacts(asked.query("starting_after").map_or(Ok(0), place)?, size))
    });
    // A scroll stands on the server: one at a time, and each request moves it on. A minute without one ends it.
    let scroll = Mutex::new(None::<(u64, Instant)>);
    let companies = serve_once(move |asked| {
        limited(asked, &scrolled)?;
        asked.at("GET", "/companies/scroll")?;
        asked.only(&["scroll_param"])?;
        let mut scroll = scroll.lock().expect("no request panics");
        let now = Instant::now();
        let open = scroll.filter(|(_, used)| now - *used < Duration::from_secs(60)).map(|(at, _)| at);
        let at = match (asked.query("scroll_param"), open) {
            (None, None) => 0,
            (None, Some(_)) => return Err(problem(400, "scroll_exists")),
            (Some("25b649f7-4d33-4ef6-88f5-60e5b8244309"), Some(at)) => at,
            (Some(_), _) => return Err(problem(404, "not_found")),
        };
        let end = slice(at, 100).end;
        *scroll = Some((end, now));
        if asked.nth == 6 {
            return Err(problem(
                500,
                "Request failed due to an internal network error. Please restart the scroll operation.",
            ));
        }
        let data = page(at, 100, |n| json!({ "n": n, "type": "company", "id": format!("co{n}") }));
        ok(json!({
            "type": "list", "data": data, "pages": null, "total_count": null,
            "scroll_param": "25b649f7-4d33-4ef6-88f5-60e5b8244309",
        }))
    });
    let by_cursor = Source::get("contacts", "https://api.intercom.io/contacts")
        .bearer("dG9rOg")
        .header("Intercom-Version", "2.13")
        .query("per_page", "150")
        .records("data")
        .paginate(Cursor::body("pages.next.starting_after").into_query("starting_after").missing_ends());
    let by_scroll = Source::get("companies", "https://api.intercom.io/companies/scroll")
        .bearer("dG9rOg")
        .header("Intercom-Version", "2.13")
        .records("data")
        .paginate(Cursor::body("scroll_param").into_query("scroll_param").until(End::empty_page()))
        .scrolls()
        .restart_on_expiry()
        .rule(
            When::status(400).body_contains("scroll_exists").means(Verdict::WaitFor(Duration::from_secs(60))),
        );
    Row::new(
        "Intercom lists",
        [
            Way::new("C", list, by_cursor).named("starting_after").checked(move || list_kept.kept()),
            Way::new("C", companies, by_scroll)
                .named("scroll")
                .in_a_run()
                .checked(move || scroll_kept.kept()),
        ],
    )
}

/// The same, but for the position, which goes into an object in the body (developers.intercom.com, "Search contacts").
fn search() -> Row {
    let limit = Limit::told(5, 10);
    let kept = limit.clone();
    let search = serve(move |asked| {
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
