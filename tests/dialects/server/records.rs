//! The records behind the servers, and the tokens for places among them.

use std::ops::Range;

use headwater::testing::Reply;
use serde_json::{Value, json};

use super::{RECORDS, refuse};

/// When record 0 was made: 2026-01-01T00:00:00Z. Each record is a minute younger than the one before.
const FIRST_MADE: i64 = 1_767_225_600;

/// The numbers of the records from `at` on, `size` at most.
pub(crate) fn slice(at: u64, size: u64) -> Range<u64> {
    at.min(RECORDS)..at.saturating_add(size).min(RECORDS)
}

/// The records from `at` on, `size` at most, each as `record` makes it.
pub(crate) fn page(at: u64, size: u64, record: impl Fn(u64) -> Value) -> Vec<Value> {
    slice(at, size).map(record).collect()
}

/// These records, with nothing but their numbers.
pub(crate) fn bare(numbers: impl IntoIterator<Item = u64>) -> Vec<Value> {
    numbers.into_iter().map(|n| json!({ "n": n })).collect()
}

/// Places of a list, of which a stretch is never shown: a page that falls into it is short, or empty, and not the end.
pub(crate) const PLACES: u64 = RECORDS + (HIDDEN.end - HIDDEN.start);
const HIDDEN: Range<u64> = 300..1100;

/// What is to be seen in so many places, and the place behind them.
pub(crate) fn seen(from: u64, size: u64) -> (Vec<u64>, u64) {
    let (from, end) = (from.min(PLACES), from.saturating_add(size).min(PLACES));
    let shown = (from..end).filter(|place| !HIDDEN.contains(place));
    let number = |place| if place < HIDDEN.start { place } else { place - (HIDDEN.end - HIDDEN.start) };
    (shown.map(number).collect(), end)
}

/// A token for a place that means nothing to the client, and breaks if it is not encoded.
pub(crate) fn token(at: u64) -> String {
    format!("bz+{at:x}/&a=b==")
}

/// The place of a token; refuses one that was not given out.
pub(crate) fn place(token: &str) -> Result<u64, Reply> {
    let digits = token.strip_prefix("bz+").and_then(|rest| rest.strip_suffix("/&a=b=="));
    let at = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    at.ok_or_else(|| refuse(400, format!("the token {token:?} is none of ours")))
}

/// The number in a token that the vendor writes so: behind these letters; 0 if there is none. Another one is refused.
pub(crate) fn number_in(token: Option<&str>, begins: &str) -> Result<u64, Reply> {
    let Some(token) = token else { return Ok(0) };
    let number = token.strip_prefix(begins).and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| refuse(400, format!("the token {token:?} is none of ours")))
}

/// When a record was made, in seconds since 1970.
pub(crate) fn made(number: u64) -> i64 {
    FIRST_MADE + 60 * number as i64
}

/// Seconds since 1970 as `2026-01-01T00:00:00Z`.
pub(crate) fn iso(seconds: i64) -> String {
    let time = chrono::DateTime::from_timestamp(seconds, 0).expect("a time of this century");
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads a time as [`iso`] writes it, also with a fraction or an offset.
pub(crate) fn seconds(text: &str) -> Result<i64, Reply> {
    let time = chrono::DateTime::parse_from_rfc3339(text);
    time.map(|time| time.timestamp()).map_err(|_| refuse(400, format!("{text:?} is no time")))
}

/// The beginning of a day, in UTC.
pub(crate) fn day(text: &str) -> chrono::DateTime<chrono::FixedOffset> {
    let midnight = format!("{text}T00:00:00Z");
    chrono::DateTime::parse_from_rfc3339(&midnight).expect("a date")
}
