//! What an answer says about waiting and about the budget that is left.
//!
//! Read are: `Retry-After` (RFC 9110 §10.2.3: seconds, or an HTTP-date in any of the three forms of §5.6.7;
//! fractions of a second are taken too), `retry-after-ms` and `x-ms-retry-after-ms`; `RateLimit` and
//! `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), its older split form
//! `RateLimit-Limit`/`-Remaining`/`-Reset`, and the `X-RateLimit-*` and `X-Rate-Limit-*` families, whose
//! reset is seconds left, epoch seconds, epoch milliseconds or an ISO 8601 time.
//!
//! Dates are measured against the answer's own `Date` header, so that a wrong clock on this machine does
//! not matter. What cannot be read is ignored: a hint is never a reason to fail.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;

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
    /// How many requests the window allows, of the tightest budget.
    pub limit: Option<u64>,
    /// How many requests are left in the window, of the tightest budget.
    pub remaining: Option<u64>,
    /// How long until that window starts anew.
    pub reset: Option<Duration>,
}

impl Hints {
    /// Reads the headers of an answer that came in at `received` (wall clock). The clock is only used
    /// where the answer has no readable `Date`.
    pub fn read(headers: &HeaderMap, received: SystemTime) -> Self {
        let now =
            text(headers, "date").and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(received);
        let mut hints = Self { retry_after: retry_after(headers, now), ..Self::default() };
        for (remaining, limit, reset) in budgets(headers, now) {
            hints.tighten(remaining, limit, reset);
        }
        hints
    }

    /// The hints of an answer to which earlier ones of the same poll, redirects, have led: where it says nothing of a
    /// budget, what they said still holds.
    pub(crate) fn behind(mut self, earlier: Self) -> Self {
        if self.remaining.is_none() {
            (self.remaining, self.limit, self.reset) = (earlier.remaining, earlier.limit, earlier.reset);
        }
        self
    }

    /// How long the server asks to wait before the next request: `Retry-After`, else the reset of a
    /// budget that is used up.
    pub fn wait(&self) -> Option<Duration> {
        let used_up = if self.remaining == Some(0) { self.reset } else { None };
        self.retry_after.max(used_up)
    }

    /// Whether the answer carries the marks of a rate limit.
    pub fn is_limited(&self) -> bool {
        self.retry_after.is_some() || self.remaining == Some(0)
    }

    // The budget with the least left counts; of two that are used up, the one that resets last.
    fn tighten(&mut self, remaining: u64, limit: Option<u64>, reset: Option<Duration>) {
        let tighter = match self.remaining {
            None => true,
            Some(known) => remaining < known || (remaining == known && reset > self.reset),
        };
        if tighter {
            (self.remaining, self.limit, self.reset) = (Some(remaining), limit, reset);
        }
    }
}

type Budget = (u64, Option<u64>, Option<Duration>);

fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let told =
        headers.get_all("retry-after").iter().filter_map(|value| value.to_str().ok()).filter_map(|value| {
            seconds(value).or_else(|| until(httpdate::parse_http_date(value.trim()).ok()?, now))
        });
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"]
        .into_iter()
        .filter_map(|name| seconds(text(headers, name)?))
        .map(|millis| millis / 1000);
    told.chain(millis).max()
}

fn budgets(headers: &HeaderMap, now: SystemTime) -> Vec<Budget> {
    let mut budgets = Vec::new();
    for value in headers.get_all("ratelimit").iter().filter_map(|value| value.to_str().ok()) {
        budgets.extend(structured_budgets(value));
    }
    for prefix in ["ratelimit", "x-ratelimit", "x-rate-limit"] {
        let field = |name: &str| text(headers, &format!("{prefix}-{name}"));
        if let Some(remaining) = field("remaining").and_then(number) {
            let limit = field("limit").and_then(number);
            let reset = field("reset").and_then(|value| reset(value, now));
            budgets.push((remaining, limit, reset));
        }
    }
    budgets
}

/// `"default";r=50;t=30` (one item per policy), and the older `limit=100, remaining=50, reset=5`.
fn structured_budgets(value: &str) -> Vec<Budget> {
    let mut budgets = Vec::new();
    let mut older: (Option<u64>, Option<u64>, Option<Duration>) = (None, None, None);
    for item in split_outside_quotes(value, ',') {
        let mut remaining = None;
        let mut reset = None;
        for parameter in split_outside_quotes(item, ';') {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            match name.trim().to_ascii_lowercase().as_str() {
                "r" => remaining = number(value),
                "t" => reset = seconds(value),
                "remaining" => older.0 = number(value),
                "limit" => older.1 = number(value),
                "reset" => older.2 = seconds(value),
                _ => {}
            }
        }
        if let Some(remaining) = remaining {
            budgets.push((remaining, None, reset));
        }
    }
    if let (Some(remaining), limit, reset) = older {
        budgets.push((remaining, limit, reset));
    }
    budgets
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A reset in any of its dialects: a date, epoch milliseconds, epoch seconds, or seconds left.
fn reset(value: &str, now: SystemTime) -> Option<Duration> {
    // 10^9 s is 2001 as an epoch, 31 years as a wait; 10^11 is the year 5138, or 1973 in milliseconds.
    const EPOCH_SECONDS: f64 = 1e9;
    const EPOCH_MILLIS: f64 = 1e11;
    let value = value.trim();
    if let Ok(count) = value.parse::<f64>() {
        let span = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
        return match count {
            count if count >= EPOCH_MILLIS => until(UNIX_EPOCH.checked_add(span(count / 1000.0)?)?, now),
            count if count >= EPOCH_SECONDS => until(UNIX_EPOCH.checked_add(span(count)?)?, now),
            count => span(count),
        };
    }
    let date = httpdate::parse_http_date(value).ok().or_else(|| {
        let date = chrono::DateTime::parse_from_rfc3339(value).ok()?;
        UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(date.timestamp_millis() as f64 / 1000.0).ok()?)
    })?;
    until(date, now)
}

// A date in the past asks for no wait.
fn until(date: SystemTime, now: SystemTime) -> Option<Duration> {
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

fn seconds(value: &str) -> Option<Duration> {
    let value = value.trim().trim_matches('"');
    // `f64` would also read "inf", "nan" and "1e9".
    if !value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    Duration::try_from_secs_f64(value.parse().ok()?).ok()
}

fn number(value: &str) -> Option<u64> {
    let value = value.trim().trim_matches('"');
    // Some send several windows in one header: `100, 100;window=60`. The first is the one that binds.
    let digits = value.split([',', ';', '.']).next()?.trim();
    digits.parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

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
