//! What is read from: the headers of an answer, and the time by the server's own clock.

use std::time::{Duration, SystemTime};

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, LINK, SERVER,
    TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What nearly every answer has, and what says nothing here: to leave it out is cheaper than to look at it for each name.
const USUAL: [HeaderName; 11] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    DATE,
    SERVER,
    CONNECTION,
    CACHE_CONTROL,
    ETAG,
    VARY,
    LINK,
    CONTENT_ENCODING,
    TRANSFER_ENCODING,
];

/// The headers of an answer that may say something, less those that a declared signal reads.
pub(super) struct Told<'a> {
    /// Listed once: dozens of names are looked for, and an answer has few headers. To look one up in a `HeaderMap`, its
    /// name would have to be parsed each time.
    headers: Vec<(&'a str, &'a HeaderValue)>,
    pub(super) now: SystemTime,
}

/// The time by the server's clock: the answer's own `Date`, else when it came.
pub(super) fn now(headers: &HeaderMap, received: SystemTime) -> SystemTime {
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    date.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(received)
}

impl<'a> Told<'a> {
    pub(super) fn new(headers: &'a HeaderMap, received: SystemTime, declared: &[HeaderName]) -> Self {
        let told = headers.iter().filter(|(name, _)| !USUAL.contains(name) && !declared.contains(name));
        let told: Vec<_> = told.map(|(name, value)| (name.as_str(), value)).collect();
        let now = if told.is_empty() { received } else { now(headers, received) };
        Self { headers: told, now }
    }

    /// Whether nothing is told, as in most answers of most servers.
    pub(super) fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// The value of a header, if it is text. Its name is written in small letters.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.chosen(move |other| other == name)
    }

    /// The values of all headers whose names begin like this.
    pub(super) fn beginning(&self, prefix: &str) -> impl Iterator<Item = &'a str> {
        self.chosen(move |name| name.starts_with(prefix))
    }

    fn chosen(&self, is_chosen: impl Fn(&str) -> bool) -> impl Iterator<Item = &'a str> {
        let chosen = self.headers.iter().filter(move |(name, _)| is_chosen(name));
        chosen.filter_map(|(_, value)| value.to_str().ok())
    }
}

/// What is left of a budget, in the server's own units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) remaining: u64,
    pub(super) limit: Option<u64>,
    pub(super) reset: Option<Duration>,
    /// What the request took of it, where that is told.
    pub(super) cost: Option<u64>,
}

impl Budget {
    /// How many more requests like this one there are in it.
    pub(super) fn requests(&self) -> u64 {
        self.remaining / self.cost.unwrap_or(1).max(1)
    }
}
