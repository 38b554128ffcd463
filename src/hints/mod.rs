//! What an answer says about waiting and about the budget that is left.
//!
//! Every dialect that can be meant in one way only is read by default ([`Hints::read`]):
//!
//! | headers | of | read as |
//! |---|---|---|
//! | `Retry-After` | RFC 9110 §10.2.3 | a wait: seconds, also with a fraction, an HTTP-date in any of the three forms of §5.6.7, or an ISO 8601 date (Zoom) |
//! | `retry-after-ms`, `x-ms-retry-after-ms`, `X-Retry-After` | Azure; BigCommerce | a wait in milliseconds; in seconds |
//! | `Backoff`, `X-Backoff`, `X-Weave-Backoff` | Kinto, Zotero, Mozilla | seconds to keep still, though the answer is good |
//! | `RateLimit`, `RateLimit-Policy` | draft-ietf-httpapi-ratelimit-headers; Cloudflare | a budget for each policy; quotas in bytes or in concurrent requests are no budget |
//! | `RateLimit-{Limit,Remaining,Reset}` | older drafts; GitLab, Twitch, Klaviyo, PagerDuty | a budget |
//! | `X-RateLimit-{Limit,Remaining,Reset}`, `-Reset-After`, `-Period`, `-Interval-Seconds`, `-Credits-Used` | GitHub and most others; Discord; Datadog; Confluence; OpenAlex | a budget; what the request took of it |
//! | `X-RateLimit-{Limit,Remaining,Cost}-USD` | OpenAlex | a budget in millionths of a dollar |
//! | `X-Rate-Limit-{Limit,Remaining,Reset}` | Okta, Zendesk | a budget |
//! | `X-RateLimit-{Requests,Complexity}-{Limit,Remaining,Reset}`, `X-Complexity` | Linear | two budgets, one in points |
//! | `X-Rate-Limit-{Requests-Left,Requests-Quota,Time-Reset-Ms,Time-Window-Ms}` | BigCommerce | a budget |
//! | `X-HubSpot-RateLimit-{Max,Remaining,Interval-Milliseconds}`, `-Secondly…`, `-Daily…` | HubSpot | three budgets; when the day ends is not told |
//! | `X-{Min,AppMin,Day}Limit-Remaining` | Xero | three budgets; of a minute, and of a day that is not told to end |
//! | `x-rate-limit-api-{key,token}-{max,remaining,interval-ms}` | Trello | two budgets |
//! | `X-Sentry-Rate-Limit-{Limit,Remaining,Reset}` | Sentry | a budget |
//! | `zendesk-ratelimit-*: total=100; remaining=99; resets=41` | Zendesk | a budget for each endpoint |
//! | `x-ms-ratelimit-burst-remaining-xrm-requests` | Dataverse | a budget of five minutes |
//! | `X-Shopify-Shop-Api-Call-Limit: 32/40` | Shopify | a budget; one more request after a fortieth of 20 s |
//! | `Sforce-Limit-Info: api-usage=18/5000` | Salesforce | a budget that is not told to end |
//! | `X-App-Usage`, `X-Ad-Account-Usage`, `X-Business-Use-Case-Usage` | Meta | nothing left from 100 % on; until when, where it is told |
//! | `X-Rate-Limit-Limit` with `X-Rate-Limit-Interval: 1s` | Crossref | a pace |
//! | `x-amzn-RateLimit-Limit: 0.5` | Amazon Selling Partner | a pace, in requests a second |
//!
//! A reset is seconds left, epoch seconds, epoch milliseconds, or a date (RFC 3339, also without seconds, or HTTP).
//! Where the length of a window is told and not its end, the whole window is taken: that is the longest it can be.
//! All else, and what stands in a body, is declared as a [`Signal`].
//!
//! Dates are measured against the answer's own `Date` header, so that a wrong clock on this machine does
//! not matter. What cannot be read is ignored: a hint is never a reason to fail.

mod families;
mod signal;
mod structured;
mod time;
mod told;
mod vendors;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};

pub use signal::{At, Signal, Unit};
pub(crate) use signal::{Found, Place};
pub(crate) use time::point;
use told::{Budget, Told};

/// What an answer said about waiting and about the budget that is left.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use headwater::Hints;
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("retry-after", "1.5".parse().unwrap());
/// headers.insert("x-ratelimit-remaining", "0".parse().unwrap());
/// let hints = Hints::read(&headers, SystemTime::now());
/// assert_eq!(hints.retry_after, Some(Duration::from_millis(1500)));
/// assert_eq!(hints.remaining, Some(0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Hints {
    /// How long to wait before the next request. Of several, the longest.
    pub retry_after: Option<Duration>,
    /// How long to keep still though the answer was good: the server has much to do.
    pub backoff: Option<Duration>,
    /// How much the window allows, of the tightest budget.
    pub limit: Option<u64>,
    /// How much is left in the window, of the tightest budget: requests, or what the server counts in.
    pub remaining: Option<u64>,
    /// How long until that window starts anew.
    pub reset: Option<Duration>,
    /// What this request took of that budget, where the server tells. `None` is one.
    pub cost: Option<u64>,
    /// How far apart requests are to be, where the server announces a rate.
    pub pace: Option<Duration>,
    /// A wait was told by its end, and that has passed.
    pub(crate) has_passed: bool,
}

impl Hints {
    /// Reads the headers of an answer that came in at `received` (wall clock). The clock is only used
    /// where the answer has no readable `Date`.
    pub fn read(headers: &HeaderMap, received: SystemTime) -> Self {
        Self::read_but(headers, received, &[])
    }

    /// The same, but for the headers that a declared signal reads in its own way.
    pub(crate) fn read_but(headers: &HeaderMap, received: SystemTime, declared: &[HeaderName]) -> Self {
        let told = Told::new(headers, received, declared);
        if told.is_empty() {
            return Self::default();
        }
        let mut hints = Self {
            has_passed: has_passed(&told),
            retry_after: retry_after(&told),
            backoff: backoff(&told),
            pace: vendors::pace(&told),
            ..Self::default()
        };
        for budget in structured::budgets(&told)
            .into_iter()
            .chain(families::budgets(&told))
            .chain(vendors::budgets(&told))
        {
            hints.tighten(budget);
        }
        hints
    }

    /// The hints of an answer to which earlier ones of the same poll, redirects, have led: where it says nothing of a
    /// budget, what they said still holds.
    pub(crate) fn behind(mut self, earlier: Self) -> Self {
        if self.remaining.is_none() {
            (self.remaining, self.limit, self.reset) = (earlier.remaining, earlier.limit, earlier.reset);
            self.cost = earlier.cost;
        }
        self.backoff = self.backoff.max(earlier.backoff);
        self.pace = self.pace.or(earlier.pace);
        self
    }

    /// How long the server asks to wait before the next request: what it says in so many words, and the reset of a
    /// budget that is used up.
    pub fn wait(&self) -> Option<Duration> {
        let used_up = if self.is_used_up() { self.reset } else { None };
        self.retry_after.max(self.backoff).max(used_up)
    }

    /// Whether the answer carries the marks of a rate limit: a wait, or a budget that is used up. A wait of nothing
    /// is no mark: Confluence tells it on every answer while there is something left. A date is one, though it has
    /// passed: clocks differ, and answers take their time.
    pub fn is_limited(&self) -> bool {
        self.has_passed || self.retry_after.is_some_and(|wait| !wait.is_zero()) || self.is_used_up()
    }

    /// Whether not even one more request like this one is in the budget.
    pub(crate) fn is_used_up(&self) -> bool {
        self.budget().is_some_and(|budget| budget.requests() == 0)
    }

    fn budget(&self) -> Option<Budget> {
        let Self { limit, reset, cost, .. } = *self;
        self.remaining.map(|remaining| Budget { remaining, limit, reset, cost })
    }

    // The budget with the least left counts; of two with the same, the one that resets last. One that is not used up
    // and does not say when it resets is only taken where there is no other: nothing follows from it.
    fn tighten(&mut self, budget: Budget) {
        let rank = |budget: &Budget| {
            let idle = budget.reset.is_none() && budget.requests() > 0;
            (std::cmp::Reverse(idle), std::cmp::Reverse(budget.requests()), budget.reset)
        };
        if self.budget().is_none_or(|known| rank(&budget) > rank(&known)) {
            (self.remaining, self.limit) = (Some(budget.remaining), budget.limit);
            (self.reset, self.cost) = (budget.reset, budget.cost);
        }
    }
}

fn retry_after(told: &Told<'_>) -> Option<Duration> {
    let seconds = ["retry-after", "x-retry-after"]
        .into_iter()
        .flat_map(|name| told.all(name))
        // Of two lines a proxy may have made one.
        .filter_map(|value| {
            let several = || value.split(',').filter_map(time::seconds).max();
            time::seconds(value).or_else(|| time::date(value, told.now)).or_else(several)
        });
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"]
        .into_iter()
        .filter_map(|name| told.text(name))
        .filter_map(time::millis);
    seconds.chain(millis).max()
}

fn has_passed(told: &Told<'_>) -> bool {
    told.all("retry-after").any(|value| {
        time::seconds(value).is_none() && time::date(value, told.now).is_some_and(|wait| wait.is_zero())
    })
}

fn backoff(told: &Told<'_>) -> Option<Duration> {
    ["backoff", "x-backoff", "x-weave-backoff"]
        .into_iter()
        .filter_map(|name| time::seconds(told.text(name)?))
        .max()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const NOW: u64 = 1_779_012_000; // 2026-05-17T10:00:00Z

    fn read(pairs: &[(&str, &str)]) -> Hints {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        Hints::read(&headers, UNIX_EPOCH + Duration::from_secs(NOW))
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        for (value, seconds) in [
            ("120", 120.0),
            ("0", 0.0),
            ("1.5", 1.5),
            ("Sun, 17 May 2026 10:02:00 GMT", 120.0),
            ("Sunday, 17-May-26 10:02:00 GMT", 120.0),
            ("Sun May 17 10:02:00 2026", 120.0),
            ("Sun, 17 May 2026 09:00:00 GMT", 0.0),
            // Zoom: "Rate limits", when the day's share is used up.
            ("2026-05-17T10:02:00Z", 120.0),
        ] {
            assert_eq!(
                read(&[("Retry-After", value)]).retry_after,
                Some(Duration::from_secs_f64(seconds)),
                "{value}"
            );
        }
        assert_eq!(read(&[("retry-after-ms", "250")]).retry_after, Some(Duration::from_millis(250)));
        assert_eq!(read(&[("x-ms-retry-after-ms", "250")]).retry_after, Some(Duration::from_millis(250)));
    }

    #[test]
    fn what_cannot_be_read_is_ignored() {
        for garbage in ["-1", "soon", "", "inf", "NaN", "1e3", "99999999999999999999999999", "1.2.3"] {
            assert_eq!(read(&[("Retry-After", garbage)]).retry_after, None, "{garbage}");
        }
        assert_eq!(read(&[("X-RateLimit-Remaining", "many")]), Hints::default());
        assert_eq!(read(&[("X-RateLimit-Remaining", "1"), ("X-RateLimit-Reset", "-5")]).reset, None);
    }

    #[test]
    fn a_date_is_measured_against_the_server_s_own_clock() {
        let hints = read(&[
            ("Date", "Sun, 17 May 2026 09:59:00 GMT"),
            ("Retry-After", "Sun, 17 May 2026 10:00:00 GMT"),
        ]);
        assert_eq!(hints.retry_after, Some(Duration::from_secs(60)));
    }

    #[test]
    fn the_longest_of_several_waits_counts() {
        let hints = read(&[("Retry-After", "3"), ("Retry-After", "7"), ("retry-after-ms", "5000")]);
        assert_eq!(hints.wait(), Some(Duration::from_secs(7)));
        assert_eq!(read(&[("Retry-After", "3, 7,5")]).wait(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn every_reset_dialect_is_read() {
        let reset =
            |value: &str| read(&[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", value)]).wait();
        for value in [
            "30",
            "1779012030",
            "1779012030.0",
            "1779012030000",
            "2026-05-17T10:00:30Z",
            "Sun, 17 May 2026 10:00:30 GMT",
        ] {
            assert_eq!(reset(value), Some(Duration::from_secs(30)), "{value}");
        }
    }

    #[test]
    fn the_tightest_budget_counts() {
        let hints = read(&[("RateLimit", r#""minute, too";r=50;t=30, "day";r=3;t=4000"#)]);
        assert_eq!((hints.remaining, hints.reset), (Some(3), Some(Duration::from_secs(4000))));
        let hints = read(&[("RateLimit", "limit=100, remaining=0, reset=5")]);
        assert_eq!((hints.limit, hints.wait()), (Some(100), Some(Duration::from_secs(5))));
        let hints =
            read(&[("RateLimit-Limit", "10"), ("RateLimit-Remaining", "9"), ("RateLimit-Reset", "1")]);
        assert_eq!(
            (hints.limit, hints.remaining, hints.reset),
            (Some(10), Some(9), Some(Duration::from_secs(1)))
        );
        assert_eq!(hints.wait(), None);
    }
}
