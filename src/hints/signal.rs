//! Signals that are declared: where a vendor says in its own way how long to wait, or how much is left.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::told::{self, Budget};
use super::{Hints, time, vendors};

/// Where a number or a time stands in an answer.
///
/// ```
/// use headwater::hints::{At, Signal, Unit};
/// // Discord: {"message": "You are being rate limited.", "retry_after": 64.57, "global": false}
/// let wait = Signal::wait(At::body("retry_after"), Unit::Seconds);
/// // A header of one's own: the time at which there is room again.
/// let reset = Signal::wait(At::header("x-window-ends"), Unit::EpochMillis);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At(pub(crate) Place);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Header(String),
    Body(String),
}

impl At {
    /// A header. What is read there by default no longer is.
    pub fn header(name: impl Into<String>) -> Self {
        Self(Place::Header(name.into()))
    }

    /// A place in the body, of a page or of an error: a dotted path or a JSON Pointer, into what the
    /// [format](crate::page::Format) turns the body into, or, of a failure, into its JSON. `*` as a segment is the first
    /// item of an array that has the rest of the path.
    ///
    /// A page is then read once more for it: declare it where it is needed.
    pub fn body(path: impl Into<String>) -> Self {
        Self(Place::Body(path.into()))
    }
}

/// How a time is written.
///
/// ```
/// use headwater::hints::{At, Signal, Unit};
/// // Matrix (M_LIMIT_EXCEEDED): {"retry_after_ms": 2000}
/// let matrix = Signal::wait(At::body("retry_after_ms"), Unit::Millis);
/// // Google APIs (google.rpc.RetryInfo): {"retryDelay": "30s"}
/// let google = Signal::wait(At::body("error.details.*.retryDelay"), Unit::Duration);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Seconds from now, with or without a fraction.
    Seconds,
    /// Milliseconds from now.
    Millis,
    /// Minutes from now.
    Minutes,
    /// Seconds since 1970, with or without a fraction.
    EpochSeconds,
    /// Milliseconds since 1970.
    EpochMillis,
    /// A date: `2026-05-17T10:00:30Z`, also without seconds.
    Iso8601,
    /// A length of time with its unit: `30s`, `1.5s`, `250ms`, `1h2m3s`. Google's `retryDelay` is one.
    Duration,
}

impl Unit {
    /// Whether it says when, and not for how long.
    fn is_date(self) -> bool {
        matches!(self, Self::EpochSeconds | Self::EpochMillis | Self::Iso8601)
    }

    fn read(self, value: &str, now: SystemTime) -> Option<Duration> {
        match self {
            Self::Seconds => time::seconds(value),
            Self::Millis => time::millis(value),
            Self::Minutes => time::scaled(value, 1.0 / 60.0),
            Self::EpochSeconds => time::epoch(value, 1.0, now),
            Self::EpochMillis => time::epoch(value, 1000.0, now),
            Self::Iso8601 => time::date(value, now),
            Self::Duration => time::duration(value),
        }
    }
}

/// Says where an API tells how long to wait, or how much of a budget is left, if no header does that is read by
/// default (the [module](super) has them).
///
/// It is read from every answer, errors included, and is heard by the limiter and by the retry policy. What is not
/// there, or cannot be read, says nothing: a signal is never a reason to fail.
///
/// | API | signal |
/// |---|---|
/// | Discord | `Signal::wait(At::body("retry_after"), Unit::Seconds)` |
/// | Matrix | `Signal::wait(At::body("retry_after_ms"), Unit::Millis)` |
/// | Dropbox | `Signal::wait(At::body("error.retry_after"), Unit::Seconds)` |
/// | Google Ads | `Signal::wait(At::body("error.details.*.retryDelay"), Unit::Duration)` |
/// | Stack Exchange | `Signal::backoff(At::body("backoff"), Unit::Seconds)` |
/// | GitHub GraphQL | `Signal::budget(At::body("data.rateLimit.remaining")).cost(At::body("data.rateLimit.cost")).reset(At::body("data.rateLimit.resetAt"), Unit::Iso8601)` |
/// | Shopify GraphQL | [`Signal::points`], of `extensions.cost` |
/// | Binance | `Signal::used(At::header("x-mbx-used-weight-1m"), 6000).every(minute)` |
///
/// ```
/// use headwater::hints::{At, Signal, Unit};
/// use headwater::{Source, paginate::Cursor};
/// let posts = Source::get("posts", "https://api.stackexchange.com/2.3/posts?site=stackoverflow")
///     .signal(Signal::backoff(At::body("backoff"), Unit::Seconds))
///     .signal(Signal::budget(At::body("quota_remaining")).limit(At::body("quota_max")))
///     .records("items")
///     .paginate(headwater::paginate::PageNumber::new().until_false("has_more"))
///     .build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Signal {
    kind: Kind,
    limit: Option<At>,
    cost: Option<At>,
    reset: Option<(At, Unit)>,
    every: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Wait(At, Unit),
    Backoff(At, Unit),
    Remaining(At),
    Used(At, u64),
    Fraction(At),
    Points { requested: At, available: At, restored: At },
}

impl Signal {
    fn new(kind: Kind) -> Self {
        Self { kind, limit: None, cost: None, reset: None, every: None }
    }

    /// A wait that the server asks for: like `Retry-After`.
    pub fn wait(at: At, unit: Unit) -> Self {
        Self::new(Kind::Wait(at, unit))
    }

    /// A wait that a good answer asks for: like `Backoff`. It does not make a 403 a limit.
    pub fn backoff(at: At, unit: Unit) -> Self {
        Self::new(Kind::Backoff(at, unit))
    }

    /// A budget: how much of it remains.
    pub fn budget(remaining: At) -> Self {
        Self::new(Kind::Remaining(remaining))
    }

    /// A budget of which the answer tells how much is used, and the vendor's document how much there is.
    pub fn used(at: At, limit: u64) -> Self {
        Self::new(Kind::Used(at, limit))
    }

    /// A budget in the form `32/40`: used of how many.
    pub fn fraction(at: At) -> Self {
        Self::new(Kind::Fraction(at))
    }

    /// A bucket of points that fills up again all the time: what this request was rated at, what is in the bucket
    /// now, and how much comes into it each second. The next request of the same kind goes when it has room:
    /// `(requested - available) / restored` seconds from now.
    ///
    /// ```
    /// # use headwater::hints::{At, Signal};
    /// // Shopify GraphQL Admin API, "API limits".
    /// let cost = |path: &str| At::body(format!("extensions.cost.{path}"));
    /// Signal::points(
    ///     cost("requestedQueryCost"),
    ///     cost("throttleStatus.currentlyAvailable"),
    ///     cost("throttleStatus.restoreRate"),
    /// );
    /// ```
    pub fn points(requested: At, available: At, restored: At) -> Self {
        Self::new(Kind::Points { requested, available, restored })
    }

    /// Says where the size of the budget stands.
    pub fn limit(mut self, at: At) -> Self {
        self.limit = Some(at);
        self
    }

    /// Says where it stands what this request took of the budget. Without it, a request takes one.
    pub fn cost(mut self, at: At) -> Self {
        self.cost = Some(at);
        self
    }

    /// Says where it stands when the budget starts anew.
    pub fn reset(mut self, at: At, unit: Unit) -> Self {
        self.reset = Some((at, unit));
        self
    }

    /// Sets how long the budget's window is, where no answer says when it ends: a used-up budget is left alone for
    /// all of it.
    pub fn every(mut self, window: Duration) -> Self {
        self.every = Some(window);
        self
    }

    /// Whether it declares a budget in which there is never anything.
    pub(crate) fn is_of_nothing(&self) -> bool {
        matches!(self.kind, Kind::Used(_, 0))
    }

    /// The places that it reads.
    pub(crate) fn places(&self) -> Vec<&Place> {
        let first = match &self.kind {
            Kind::Wait(at, _) | Kind::Backoff(at, _) => vec![at],
            Kind::Remaining(at) | Kind::Used(at, _) | Kind::Fraction(at) => vec![at],
            Kind::Points { requested, available, restored } => vec![requested, available, restored],
        };
        let more = [self.limit.as_ref(), self.cost.as_ref(), self.reset.as_ref().map(|(at, _)| at)];
        first.into_iter().chain(more.into_iter().flatten()).map(|at| &at.0).collect()
    }

    /// Adds to the hints what it finds in an answer.
    pub(crate) fn read(&self, answer: &Found<'_>, hints: &mut Hints) {
        // Of several waits, the longest.
        let time =
            |at: &At, unit: Unit| answer.texts(at).filter_map(|text| unit.read(text, answer.now)).max();
        match &self.kind {
            Kind::Wait(at, unit) => {
                let wait = time(at, *unit);
                hints.has_passed |= unit.is_date() && wait == Some(Duration::ZERO);
                hints.retry_after = hints.retry_after.max(wait);
            }
            Kind::Backoff(at, unit) => hints.backoff = hints.backoff.max(time(at, *unit)),
            Kind::Points { requested, available, restored } => {
                let number = |at: &At| time::decimal(answer.text(at)?);
                // A bucket may be overdrawn.
                let signed = |at: &At| match answer.text(at)?.strip_prefix('-') {
                    Some(missing) => time::decimal(missing).map(|missing| -missing),
                    None => number(at),
                };
                if let (Some(requested), Some(available), Some(restored)) =
                    (number(requested), signed(available), number(restored))
                {
                    hints.tighten(points(requested, available, restored));
                }
            }
            _ => {
                if let Some(budget) = self.told_budget(answer) {
                    hints.tighten(budget);
                }
            }
        }
    }

    fn told_budget(&self, answer: &Found<'_>) -> Option<Budget> {
        let count = |at: &Option<At>| time::count(answer.text(at.as_ref()?)?);
        let (remaining, limit) = match &self.kind {
            Kind::Remaining(at) => (time::count(answer.text(at)?)?, None),
            Kind::Used(at, limit) => (limit.saturating_sub(time::count(answer.text(at)?)?), Some(*limit)),
            Kind::Fraction(at) => {
                let (used, limit) = vendors::fraction(answer.text(at)?)?;
                (limit.saturating_sub(used), Some(limit))
            }
            _ => return None,
        };
        let reset = self.reset.as_ref().and_then(|(at, unit)| unit.read(answer.text(at)?, answer.now));
        Some(Budget {
            remaining,
            limit: limit.or_else(|| count(&self.limit)),
            reset: reset.or(self.every),
            cost: count(&self.cost).filter(|cost| *cost > 0),
        })
    }
}

/// After the requests that there is room for, one more fits when the bucket has filled up that far.
fn points(requested: f64, available: f64, restored: f64) -> Budget {
    let cost = requested.max(1.0);
    let fit = (available / cost).floor().max(0.0);
    let missing = (fit + 1.0) * cost - available;
    let reset = if restored > 0.0 { Duration::try_from_secs_f64(missing / restored).ok() } else { None };
    Budget { remaining: available as u64, limit: None, reset, cost: Some(cost.ceil() as u64) }
}

/// What an answer has at the places that signals read.
pub(crate) struct Found<'a> {
    headers: &'a HeaderMap,
    /// The time by the server's clock.
    now: SystemTime,
    /// The values in the body, by path: scalars, without quotes.
    pub(crate) body: Vec<(&'a str, String)>,
}

impl<'a> Found<'a> {
    pub(crate) fn new(headers: &'a HeaderMap, received: SystemTime) -> Self {
        Self { headers, now: told::now(headers, received), body: Vec::new() }
    }

    fn text(&self, at: &At) -> Option<&str> {
        self.texts(at).next()
    }

    fn texts(&self, at: &At) -> impl Iterator<Item = &str> {
        let (header, path) = match &at.0 {
            Place::Header(name) => (Some(name.as_str()), None),
            Place::Body(path) => (None, Some(path.as_str())),
        };
        let headers = header.into_iter().flat_map(|name| self.headers.get_all(name));
        let body = self.body.iter().filter(move |(name, _)| path == Some(*name));
        headers.filter_map(|value| value.to_str().ok()).chain(body.map(|(_, value)| value.as_str()))
    }
}
