//! What a server reads of a request, and how it refuses one.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater::Request;
use headwater::testing::{Reply, Scripted};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::row::RECORDS;

/// The wall time at which every `Scripted` begins: 2026-05-17T10:00:00Z.
pub(crate) const BEGIN: u64 = 1_779_012_000;

/// The reply to a request: an error is one of the API's own.
pub(crate) type Answer = Result<Reply, Reply>;

/// A server that answers each request by itself.
pub(crate) fn serve(answer: impl Fn(&Asked<'_>) -> Answer + Send + Sync + 'static) -> Scripted {
    Scripted::from_fn(move |request, number| {
        answer(&Asked { request, number }).unwrap_or_else(|refusal| refusal)
    })
}

/// A request as the server sees it, and its number, from 1.
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a Request,
    pub(crate) number: u64,
}

impl Asked<'_> {
    /// Knows this path only.
    pub(crate) fn get(&self, path: &str) -> Result<(), Reply> {
        self.at("GET", path)
    }

    /// Knows this path only.
    pub(crate) fn post(&self, path: &str) -> Result<(), Reply> {
        self.at("POST", path)
    }

    fn at(&self, method: &str, path: &str) -> Result<(), Reply> {
        match (self.path() == path, self.request.method() == method) {
            (true, true) => Ok(()),
            (true, false) => Err(refuse(405, format!("{method} only"))),
            _ => Err(refuse(404, format!("there is no {}", self.path()))),
        }
    }

    pub(crate) fn path(&self) -> &str {
        self.request.url().path()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// Wants these credentials.
    pub(crate) fn key(&self, header: &str, value: &str) -> Result<(), Reply> {
        if self.header(header) == Some(value) { Ok(()) } else { Err(refuse(401, format!("no {header}"))) }
    }

    /// Wants this token.
    pub(crate) fn bearer(&self, token: &str) -> Result<(), Reply> {
        self.key("authorization", &format!("Bearer {token}"))
    }

    /// Wants a header that is no credential.
    pub(crate) fn needs(&self, header: &str, value: &str) -> Result<(), Reply> {
        if self.header(header) == Some(value) {
            Ok(())
        } else {
            Err(refuse(400, format!("{header} must be {value}")))
        }
    }

    /// A query parameter, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let mut pairs = self.request.url().query_pairs();
        pairs.find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
    }

    /// Wants this query parameter on every page.
    pub(crate) fn wants(&self, name: &str, value: &str) -> Result<(), Reply> {
        match self.query(name) {
            Some(found) if found == value => Ok(()),
            found => Err(refuse(400, format!("{name} must be {value}, and is {found:?}"))),
        }
    }

    /// Knows these query parameters only, each at most once.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), Reply> {
        let mut seen = Vec::new();
        for (name, _) in self.request.url().query_pairs() {
            if !names.contains(&&*name) || seen.contains(&name) {
                return Err(refuse(400, format!("the parameter {name} is unknown, or there twice")));
            }
            seen.push(name);
        }
        Ok(())
    }

    /// A query parameter that is a whole number.
    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64, Reply> {
        let Some(text) = self.query(name) else { return Ok(default) };
        text.parse().map_err(|_| refuse(400, format!("{name} is no whole number: {text:?}")))
    }

    /// A size: refused above the most.
    pub(crate) fn size(&self, name: &str, default: u64, most: u64) -> Result<u64, Reply> {
        match self.number(name, default)? {
            size if (1..=most).contains(&size) => Ok(size),
            size => Err(refuse(400, format!("{name} is {size}, and must be from 1 to {most}"))),
        }
    }

    /// The JSON body; `null` without one.
    pub(crate) fn body(&self) -> Value {
        self.request.body().cloned().unwrap_or_default()
    }

    /// A field of the JSON body, by JSON Pointer; `null` without one.
    pub(crate) fn field(&self, pointer: &str) -> Value {
        self.body().pointer(pointer).cloned().unwrap_or_default()
    }
}

/// An error in words.
pub(crate) fn refuse(status: u16, why: impl Into<String>) -> Reply {
    Reply::status(status)
        .header("content-type", "application/json")
        .body(json!({"error": why.into()}).to_string())
}

/// A page.
pub(crate) fn page(body: Value) -> Reply {
    Reply::json(body.to_string())
}

/// The numbers of the records in one page.
pub(crate) fn slice(start: u64, size: u64) -> Range<u64> {
    let end = start.saturating_add(size).min(RECORDS);
    start.min(end)..end
}

/// Records made of their numbers.
pub(crate) fn list(numbers: Range<u64>, record: impl Fn(u64) -> Value) -> Vec<Value> {
    numbers.map(record).collect()
}

/// A token that means nothing to the client, and breaks if it is not encoded.
pub(crate) fn seal(kind: &str, number: u64) -> String {
    format!("{kind}+{number:x}/&a=b==")
}

/// Reads a token back; another one is refused.
pub(crate) fn unseal(kind: &str, token: &str) -> Result<u64, Reply> {
    let number = token.strip_prefix(kind).and_then(|rest| rest.strip_prefix('+')?.strip_suffix("/&a=b=="));
    let number = number.and_then(|number| u64::from_str_radix(number, 16).ok());
    number.ok_or_else(|| refuse(400, format!("{token:?} is no {kind} of ours")))
}

/// A limit that is hit once: a request of this number is refused, and so is every one within the wait.
#[derive(Clone)]
pub(crate) struct Limit {
    at: u64,
    wait: Duration,
    told: bool,
    begun: Instant,
    until: Arc<Mutex<Option<Instant>>>,
}

impl Limit {
    /// A limit whose wait is told: one who comes earlier is shown the door.
    pub(crate) fn told(at: u64, seconds: u64) -> Self {
        let begun = Instant::now();
        Self { at, wait: Duration::from_secs(seconds), told: true, begun, until: Arc::default() }
    }

    /// A limit that says nothing: one who comes earlier is refused as before.
    pub(crate) fn untold(at: u64, seconds: u64) -> Self {
        Self { told: false, ..Self::told(at, seconds) }
    }

    /// Lets the request through, or refuses it with what is made of the wait.
    pub(crate) fn pass(
        &self,
        asked: &Asked<'_>,
        refusal: impl FnOnce(Duration) -> Reply,
    ) -> Result<(), Reply> {
        let now = Instant::now();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        match *until {
            None if asked.number >= self.at => {
                *until = Some(now + self.wait);
                Err(refusal(self.wait))
            }
            Some(until) if now < until && self.told => {
                Err(refuse(400, format!("{:?} too early", until - now)))
            }
            Some(until) if now < until => Err(refusal(until - now)),
            _ => Ok(()),
        }
    }

    /// The wall time when a wait from now is over, in seconds since the epoch.
    pub(crate) fn epoch(&self, wait: Duration) -> f64 {
        BEGIN as f64 + (self.begun.elapsed() + wait).as_secs_f64()
    }

    /// Whether it was hit, for the end.
    pub(crate) fn hit(&self) -> impl Fn() -> Result<(), String> + use<> {
        let until = self.until.clone();
        move || match *until.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(_) => Ok(()),
            None => Err("the limit was never hit".into()),
        }
    }
}

/// The beginning of a day, in UTC.
pub(crate) fn day(text: &str) -> chrono::DateTime<chrono::FixedOffset> {
    let midnight = format!("{text}T00:00:00Z");
    chrono::DateTime::parse_from_rfc3339(&midnight).expect("a date")
}
