//! What the servers have in common: how a request is read, what is refused, and a limit that is meant.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use headwater::Request;
use headwater::testing::{Reply, Scripted};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::row::RECORDS;

/// What is answered, or how it is refused.
pub(crate) type Answered = Result<Reply, Reply>;

/// A server that answers each request, by its number from 1.
pub(crate) fn server(answer: impl Fn(&Request, u64) -> Answered + Send + Sync + 'static) -> Scripted {
    Scripted::from_fn(move |request, nth| answer(request, nth).unwrap_or_else(|refusal| refusal))
}

/// A query parameter, decoded.
pub(crate) fn param(request: &Request, name: &str) -> Option<String> {
    request.url().query_pairs().find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
}

/// A whole number in the query, or what the vendor takes where there is none.
pub(crate) fn number(request: &Request, name: &str, default: u64) -> Result<u64, Reply> {
    let Some(text) = param(request, name) else { return Ok(default) };
    text.parse().map_err(|_| refusal(400, &format!("{name} is {text:?}, not a whole number")))
}

/// The number in a token of the server's own, which begins so; 0 if there is none. One it never gave is refused.
pub(crate) fn token(text: Option<String>, begins: &str) -> Result<u64, Reply> {
    let Some(text) = text else { return Ok(0) };
    let number = text.strip_prefix(begins).and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| refusal(400, &format!("{text:?} is no token of this server")))
}

/// A header, as text.
pub(crate) fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// Refuses what the vendor refuses.
pub(crate) fn demand(right: bool, status: u16, why: &str) -> Result<(), Reply> {
    if right { Ok(()) } else { Err(refusal(status, why)) }
}

/// Refuses whoever has not these credentials in this header.
pub(crate) fn credentials(request: &Request, name: &str, value: &str) -> Result<(), Reply> {
    demand(header(request, name) == Some(value), 401, "the credentials are missing")
}

/// A refusal.
pub(crate) fn refusal(status: u16, why: &str) -> Reply {
    json_reply(status, &json!({ "error": why }))
}

/// An answer in JSON, whatever its status.
pub(crate) fn json_reply(status: u16, body: &Value) -> Reply {
    Reply::status(status).header("content-type", "application/json").body(body.to_string())
}

/// So many of the records behind the first few, as far as there are any.
pub(crate) fn cut(from: u64, size: u64) -> Range<u64> {
    let from = from.min(RECORDS);
    from..from.saturating_add(size).min(RECORDS)
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

/// These records, with nothing but their numbers.
pub(crate) fn rows(numbers: impl IntoIterator<Item = u64>) -> Vec<Value> {
    numbers.into_iter().map(|n| json!({ "n": n })).collect()
}

/// A limit that is hit once. Whoever comes back before it is over is banned.
pub(crate) struct Limit {
    nth: u64,
    wait: Duration,
    begun: Instant,
    over: Mutex<Option<Instant>>,
}

impl Limit {
    /// The request of this number is one too many, and the next may come after so many seconds.
    pub(crate) fn at(nth: u64, seconds: u64) -> Self {
        Self { nth, wait: Duration::from_secs(seconds), begun: Instant::now(), over: Mutex::new(None) }
    }

    /// Refuses the one request with the vendor's answer.
    pub(crate) fn refuse(&self, nth: u64, limited: impl FnOnce() -> Reply) -> Result<(), Reply> {
        if self.hit(nth)? { Err(limited()) } else { Ok(()) }
    }

    /// Whether this request is the one that uses up the budget: it is answered all the same, but for the headers
    /// that say so.
    pub(crate) fn hit(&self, nth: u64) -> Result<bool, Reply> {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if nth == self.nth {
            *over = Some(now + self.wait);
            return Ok(true);
        }
        demand(over.is_none_or(|over| now >= over), 400, "banned: back before the time that was said")?;
        Ok(false)
    }
}

impl Limit {
    /// When the wait is over, in seconds since 1970, by the clock of the script that was made along with this.
    pub(crate) fn over_at(&self) -> u64 {
        // 2026-05-17T10:00:00Z, at which every script begins.
        const BEGIN: u64 = 1_779_012_000;
        let over = *self.over.lock().unwrap_or_else(PoisonError::into_inner);
        BEGIN + over.map_or(0, |over| (over - self.begun).as_secs_f64().ceil() as u64)
    }
}

/// A budget of requests in any minute, as the server counts them.
#[derive(Default)]
pub(crate) struct Minute(Mutex<Vec<Instant>>);

impl Minute {
    /// Refuses the request if the minute had its share.
    pub(crate) fn allow(&self, share: usize, limited: impl FnOnce() -> Reply) -> Result<(), Reply> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        seen.retain(|at| now - *at < Duration::from_secs(60));
        seen.push(now);
        if seen.len() > share { Err(limited()) } else { Ok(()) }
    }
}
