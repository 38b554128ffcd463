//! What is read from: the headers of an answer, and the time by the server's own clock.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};

/// The headers of an answer, less those that a declared signal reads.
pub(super) struct Told<'a> {
    headers: &'a HeaderMap,
    declared: &'a [HeaderName],
    /// The answer's own `Date`, else when it came.
    pub(super) now: SystemTime,
}

impl<'a> Told<'a> {
    pub(super) fn new(headers: &'a HeaderMap, received: SystemTime, declared: &'a [HeaderName]) -> Self {
        let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        let now = date.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(received);
        Self { headers, declared, now }
    }

    /// The value of a header, if it is text.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let hidden = self.declared.iter().any(|declared| declared == name);
        let values = (!hidden).then(|| self.headers.get_all(name).iter());
        values.into_iter().flatten().filter_map(|value| value.to_str().ok())
    }

    /// The values of all headers whose names begin like this.
    pub(super) fn beginning(&self, prefix: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        let declared = self.declared;
        self.headers
            .iter()
            .filter(move |(name, _)| name.as_str().starts_with(prefix) && !declared.contains(name))
            .filter_map(|(_, value)| value.to_str().ok())
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
