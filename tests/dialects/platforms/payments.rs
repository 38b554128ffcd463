//! Stripe.

use headwater::Source;
use headwater::paginate::{Cursor, NextUrl};
use headwater::testing::Scripted;
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{
    Asked, Limit, Served, answer, encoded, made, ok, page, place, refuse, require, serve, slice, token,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![stripe_list(), stripe_search(), stripe_v2()]
}

/// Newest first: the record at place 0 is the youngest.
fn customer(at: u64) -> Value {
    let number = RECORDS - 1 - at;
    json!({ "n": number, "id": format!("cus_{number:05}"), "object": "customer", "created": made(number) })
}

/// Too many at once. Neither says how long to wait, and a lock that is held says not even why
/// (docs.stripe.com/rate-limits).
fn too_many(reason: Option<&str>) -> Served {
    let code = if reason.is_some() { "rate_limit" } else { "lock_timeout" };
    let refusal = answer(429, json!({ "error": { "type": "invalid_request_error", "code": code } }));
    Ok(match reason {
        Some(reason) => refusal.header("stripe-rate-limited-reason", reason),
        None => refusal,
    })
}

fn size(asked: &Asked<'_>) -> Result<u64, headwater::testing::Reply> {
    let size = asked.number("limit", 10)?;
    require((1..=100).contains(&size), "limit must be between 1 and 100")?;
    Ok(size)
}

fn list(global: Limit, lock: Limit) -> Scripted {
    serve(move |asked| {
        asked.authorized("Bearer sk_test_key")?;
        asked.at("GET", "/v1/customers")?;
        asked.only(&["limit", "starting_after", "ending_before"])?;
        if global.meets(asked)?.is_some() {
            return too_many(Some("global-rate"));
        }
        if lock.meets(asked)?.is_some() {
            return too_many(None);
        }
        let size = size(asked)?;
        let id = |name| match asked.query(name) {
            None => Ok(None),
            // The one that was there before all of these.
            Some("cus_known") => Ok(Some(RECORDS)),
            Some(id) => match id.strip_prefix("cus_").and_then(|number| number.parse::<u64>().ok()) {
                Some(number) if number < RECORDS => Ok(Some(RECORDS - 1 - number)),
                _ => Err(refuse(400, format!("No such customer: {id:?}"))),
            },
        };
        let (after, before) = (id("starting_after")?, id("ending_before")?);
        require(after.is_none() || before.is_none(), "starting_after and ending_before exclude each other")?;
        let at = match (after, before) {
            (Some(after), _) => after + 1,
            (_, Some(before)) => before.saturating_sub(size),
            _ => 0,
        };
        let size = before.map_or(size, |before| size.min(before));
        let more = if before.is_some() { at > 0 } else { at + size < RECORDS };
        let data = page(at, size, customer);
        ok(json!({ "object": "list", "url": "/v1/customers", "has_more": more, "data": data }))
    })
}

/// The id of the last record, while `has_more`; backwards by the id of the first one (docs.stripe.com/api/pagination).
fn stripe_list() -> Row {
    let source = || {
        Source::get("stripe_customers", "https://api.stripe.com/v1/customers")
            .bearer("sk_test_key")
            .query("limit", "100")
            .records("data")
    };
    let way = |source| {
        let (global, lock) = (Limit::told(3, 0), Limit::told(6, 0));
        let check = {
            let (global, lock) = (global.clone(), lock.clone());
            move || global.kept().and_then(|()| lock.kept())
        };
        Way::new("K", list(global, lock), source).checked(check)
    };
    let older =
        source().paginate(Cursor::last_record("id").into_query("starting_after").until_false("has_more"));
    let newer = source()
        .query("ending_before", "cus_known")
        .paginate(Cursor::first_record("id").into_query("ending_before").until_false("has_more"));
    Row::new("Stripe v1 list", [way(older).named("starting_after"), way(newer).named("ending_before")])
}

/// A token of the server's own, while `has_more`; `page` must be left out at first, and the query must stay
/// (docs.stripe.com/api/pagination/search; `next_page` is null at the end; 20 reads a second).
fn stripe_search() -> Row {
    let limit = Limit::told(2, 0);
    let kept = limit.clone();
    let search = serve(move |asked| {
        asked.authorized("Bearer sk_test_key")?;
        asked.at("GET", "/v1/customers/search")?;
        asked.asks("query", "created>1767225599")?;
        if limit.meets(asked)?.is_some() {
            return too_many(Some("endpoint-rate"));
        }
        let size = size(asked)?;
        let at = asked.query("page").map_or(Ok(0), place)?;
        let data = page(at, size, customer);
        let end = slice(at, size).end;
        let next = (end < RECORDS).then(|| token(end));
        ok(json!({
            "object": "search_result", "url": "/v1/customers/search",
            "has_more": next.is_some(), "next_page": next, "data": data,
        }))
    });
    let source = Source::get("stripe_search", "https://api.stripe.com/v1/customers/search")
        .bearer("sk_test_key")
        .query("query", "created>1767225599")
        .query("limit", "100")
        .records("data")
        .paginate(Cursor::body("next_page").into_query("page").until_false("has_more"));
    Row::new("Stripe v1 search", [Way::new("C", search, source).checked(move || kept.kept())])
}

/// `next_page_url` leads on, relative to the host, and is null at the end. Each request must name its version
/// (docs.stripe.com/api-v2-overview; 20 a page, 100 at most).
fn stripe_v2() -> Row {
    let limit = Limit::told(4, 0);
    let kept = limit.clone();
    let list = serve(move |asked| {
        asked.authorized("Bearer sk_test_key")?;
        asked.says("stripe-version", "2026-01-28.preview")?;
        asked.at("GET", "/v2/core/accounts")?;
        if limit.meets(asked)?.is_some() {
            return too_many(Some("global-rate"));
        }
        let size = asked.number("limit", 20)?;
        require(size <= 100, "limit must be 100 at most")?;
        let at = asked.query("page").map_or(Ok(0), place)?;
        let data = page(
            at,
            size,
            |at| json!({ "n": at, "id": format!("acct_{at:05}"), "object": "v2.core.account" }),
        );
        let end = slice(at, size).end;
        let next = (end < RECORDS).then(|| {
            let page = encoded(&token(end));
            format!("/v2/core/accounts?limit={size}&page={page}")
        });
        ok(json!({ "data": data, "next_page_url": next, "previous_page_url": null }))
    });
    let source = Source::get("stripe_accounts", "https://api.stripe.com/v2/core/accounts")
        .bearer("sk_test_key")
        .header("Stripe-Version", "2026-01-28.preview")
        .query("limit", "100")
        .records("data")
        .paginate(NextUrl::body("next_page_url"));
    Row::new("Stripe v2", [Way::new("N", list, source).checked(move || kept.kept())])
}
