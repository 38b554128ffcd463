//! Salesforce and HubSpot.

use std::time::Duration;

use headwater::exchange::{Verdict, When};
use headwater::paginate::{Cursor, NextUrl};
use headwater::testing::Reply;
use headwater::{Source};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::vendor::{Asked, Limit, answer, iso, made, ok, page, place, range, refuse, require, server, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![]
}


/// What HubSpot says when ten seconds are used up. There is no `Retry-After`.
fn hubspot_limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("Bearer pat-token")?;
    if limit.meets().is_none() {
        return Ok(());
    }
    let body = json!({ "status": "error", "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING" });
    Err(answer(429, body)
        .header("x-hubspot-ratelimit-max", "190")
        .header("x-hubspot-ratelimit-remaining", "0")
        .header("x-hubspot-ratelimit-interval-milliseconds", "10000")
        .header("x-hubspot-ratelimit-daily", "650000")
        .header("x-hubspot-ratelimit-daily-remaining", "649000"))
}

fn contact(number: u64) -> Value {
    json!({ "n": number, "id": (700_000 + number).to_string(), "properties": { "createdate": iso(made(number)) } })
}


/// The real ceiling is 10,000 rows; there are only 1,234 here.
const CEILING: u64 = 1000;

