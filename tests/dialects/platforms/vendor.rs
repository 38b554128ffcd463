//! What a vendor's server is made of: it reads a request, refuses what the real one refuses, hands out its records, and
//! meets its clients with a limit.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater::Request;
use headwater::testing::{Reply, Scripted};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::row::RECORDS;

/// An answer, or a refusal.
pub(crate) type Served = Result<Reply, Reply>;

/// The wall time at which every script begins: 2026-05-17T10:00:00Z.
const BEGIN: u64 = 1_779_012_000;
/// When record 0 was made: 2026-01-01T00:00:00Z. Each record is a minute younger than the one before.
const FIRST_MADE: i64 = 1_767_225_600;
static NULL: Value = Value::Null;

/// A server that answers each request by itself. What is in the query twice is refused: a client that adds a parameter
/// where it should replace it gets no further.
pub(crate) fn server(answer: impl Fn(&Asked<'_>) -> Served + Send + Sync + 'static) -> Scripted {
    Scripted::from_fn(move |request, _| {
        let asked = Asked::of(request);
        let twice = asked
            .query
            .iter()
            .enumerate()
            .find(|(at, (name, _))| asked.query.iter().take(*at).any(|(other, _)| other == name));
        let served = match twice {
            Some((_, (name, _))) => Err(refuse(400, format!("the parameter {name} came twice"))),
            None => answer(&asked),
        };
        served.unwrap_or_else(|refusal| refusal)
    })
}

/// A request, as a server reads it.
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a Request,
    query: Vec<(String, String)>,
}

impl<'a> Asked<'a> {
    fn of(request: &'a Request) -> Self {
        let pairs = request.url().query_pairs();
        let query = pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Self { request, query }
    }

    /// Refuses another method or path.
    pub(crate) fn at(&self, method: &str, path: &str) -> Result<(), Reply> {
        let (asked, place) = (self.request.method().as_str(), self.path());
        if asked == method && place == path {
            return Ok(());
        }
        Err(refuse(404, format!("there is no {asked} {place}")))
    }

    pub(crate) fn path(&self) -> &str {
        self.request.url().path()
    }

    /// The query as it was written.
    pub(crate) fn text(&self) -> &str {
        self.request.url().query().unwrap_or_default()
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Refuses a parameter that is missing or has another value.
    pub(crate) fn asks(&self, name: &str, value: &str) -> Result<(), Reply> {
        match self.query(name) {
            Some(other) if other == value => Ok(()),
            Some(other) => Err(refuse(400, format!("the parameter {name} is {other:?}, not {value:?}"))),
            None => Err(refuse(400, format!("the parameter {name} is missing"))),
        }
    }

    /// Refuses every parameter but these.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), Reply> {
        match self.query.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => Err(refuse(400, format!("the parameter {name} is not allowed here"))),
            None => Ok(()),
        }
    }

    /// A whole number in the query; refuses anything else.
    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64, Reply> {
        match self.query(name) {
            None => Ok(default),
            Some(text) => {
                text.parse().map_err(|_| refuse(400, format!("the parameter {name} is no number: {text:?}")))
            }
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// Refuses a header that is missing or has another value.
    pub(crate) fn says(&self, name: &str, value: &str) -> Result<(), Reply> {
        let said = self.header(name);
        require(said == Some(value), format!("the header {name} is {said:?}, not {value:?}"))
    }

    /// Refuses credentials other than these, on each page.
    pub(crate) fn authorized(&self, credentials: &str) -> Result<(), Reply> {
        if self.header("authorization") == Some(credentials) {
            return Ok(());
        }
        Err(refuse(401, "these are no credentials of ours"))
    }

    /// A field of a form.
    pub(crate) fn form(&self, name: &str) -> Option<&str> {
        let fields = self.request.form_fields();
        fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value at a pointer into the JSON body; `null` if there is none.
    pub(crate) fn body(&self, pointer: &str) -> &Value {
        self.request.body().and_then(|body| body.pointer(pointer)).unwrap_or(&NULL)
    }

    /// Whether the JSON body has something at a pointer, be it `null`.
    pub(crate) fn has(&self, pointer: &str) -> bool {
        self.request.body().is_some_and(|body| body.pointer(pointer).is_some())
    }
}

/// A refusal with a reason.
pub(crate) fn refuse(status: u16, why: impl Into<String>) -> Reply {
    answer(status, json!({ "message": why.into() }))
}

/// An answer in JSON, with a status of its own.
pub(crate) fn answer(status: u16, body: Value) -> Reply {
    Reply::status(status).header("content-type", "application/json").body(body.to_string())
}

/// An answer in JSON.
pub(crate) fn ok(body: Value) -> Served {
    Ok(answer(200, body))
}

/// Refuses unless it is so.
pub(crate) fn require(so: bool, why: impl Into<String>) -> Result<(), Reply> {
    if so { Ok(()) } else { Err(refuse(400, why)) }
}

/// The records from `at` on, `size` at most, each as `record` makes it.
pub(crate) fn page(at: u64, size: u64, record: impl Fn(u64) -> Value) -> Vec<Value> {
    range(at, size).map(record).collect()
}

/// The numbers of the records from `at` on, `size` at most.
pub(crate) fn range(at: u64, size: u64) -> Range<u64> {
    at.min(RECORDS)..at.saturating_add(size).min(RECORDS)
}

/// A token for a place, as opaque as a vendor's: with all that must be encoded in a query.
pub(crate) fn token(at: u64) -> String {
    format!("bz{at:05}+/8=")
}

/// The place of a token; refuses one that was not given out.
pub(crate) fn place(token: &str) -> Result<u64, Reply> {
    let digits = token.strip_prefix("bz").and_then(|rest| rest.strip_suffix("+/8="));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| refuse(400, format!("the token {token:?} is none of ours")))
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

/// A limit that the request of some number meets, and that stands for a while. Whoever comes earlier is refused again,
/// and noted.
#[derive(Clone)]
pub(crate) struct Limit(Arc<Rule>);

struct Rule {
    nth: u64,
    stands: Duration,
    begun: Instant,
    count: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    seen: u64,
    met: bool,
    until: Option<Instant>,
    early: u64,
}

impl Limit {
    /// The request of this number, from 1, meets the limit.
    pub(crate) fn at(nth: u64, stands: Duration) -> Self {
        Self(Arc::new(Rule { nth, stands, begun: Instant::now(), count: Mutex::default() }))
    }

    /// Counts a request, and says how long it has to wait, if it must.
    pub(crate) fn meets(&self) -> Option<Duration> {
        let mut count = self.0.count.lock().expect("no request panics");
        let now = Instant::now();
        if let Some(until) = count.until.filter(|until| *until > now) {
            count.early += 1;
            return Some(until - now);
        }
        count.seen += 1;
        if count.met || count.seen < self.0.nth {
            return None;
        }
        count.met = true;
        count.until = Some(now + self.0.stands);
        Some(self.0.stands)
    }

    /// The wall time, in seconds since 1970, as the script has it.
    pub(crate) fn now(&self) -> f64 {
        BEGIN as f64 + self.0.begun.elapsed().as_secs_f64()
    }

    /// The wall time after a wait, in whole seconds since 1970.
    pub(crate) fn after(&self, wait: Duration) -> u64 {
        (self.now() + wait.as_secs_f64()).ceil() as u64
    }

    /// Whether the limit was met, and its wait kept.
    pub(crate) fn kept(&self) -> Result<(), String> {
        let count = self.0.count.lock().expect("no request panics");
        match (count.met, count.early) {
            (false, _) => Err("the limit was never met".into()),
            (true, 0) => Ok(()),
            (true, early) => Err(format!("{early} requests came before the wait was over")),
        }
    }
}
