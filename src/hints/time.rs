//! Times as servers write them: waits, resets, dates, durations.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// The forms with an offset, besides RFC 3339: Jira, Twitter.
const WITH_OFFSET: [&str; 4] =
    ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%d %H:%M:%S%.f %z", "%a %b %d %H:%M:%S %z %Y"];
/// The forms without one are taken as UTC.
const WITHOUT_OFFSET: [&str; 4] =
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];

/// A point in time: RFC 3339, ISO 8601 with any offset or none (then it is UTC), with seconds or without; a date; an
/// HTTP-date (RFC 9110 §5.6.7).
pub(crate) fn point(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    if let Some(time) = WITH_OFFSET.iter().find_map(|form| DateTime::parse_from_str(text, form).ok()) {
        return Some(time.to_utc());
    }
    let bare = text.strip_suffix('Z').unwrap_or(text);
    let naive = WITHOUT_OFFSET.iter().find_map(|form| NaiveDateTime::parse_from_str(bare, form).ok());
    let midnight =
        || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(NaiveTime::MIN));
    if let Some(time) = naive.or_else(midnight) {
        return Some(time.and_utc());
    }
    httpdate::parse_http_date(text).ok().map(DateTime::from)
}

/// A number of seconds, with or without a fraction; in quotes too. Not "inf", "nan" or "1e9", which `f64` would read.
pub(super) fn seconds(value: &str) -> Option<Duration> {
    scaled(value, 1.0)
}

/// A number of milliseconds, with or without a fraction.
pub(super) fn millis(value: &str) -> Option<Duration> {
    scaled(value, 1000.0)
}

/// A number, so many of which are a second.
pub(super) fn scaled(value: &str, per_second: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(decimal(value)? / per_second).ok()
}

/// A number that is not negative, in digits.
pub(super) fn decimal(value: &str) -> Option<f64> {
    let value = value.trim().trim_matches('"');
    if !value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    value.parse().ok()
}

/// A count. Some send several windows in one header: `100, 100;window=60`. The first is the one that binds.
/// A fraction is dropped: who has 0.9 requests left has none.
pub(super) fn count(value: &str) -> Option<u64> {
    let digits = value.trim().trim_matches('"').split([',', ';', '.']).next()?.trim();
    digits.parse().ok()
}

/// A time to come as seconds or milliseconds since 1970. One in the past asks for no wait.
pub(super) fn epoch(value: &str, per_second: f64, now: SystemTime) -> Option<Duration> {
    until(UNIX_EPOCH.checked_add(scaled(value, per_second)?)?, now)
}

/// A [`point`] in time, as the wait until then. One before 1970 is none.
pub(super) fn date(value: &str, now: SystemTime) -> Option<Duration> {
    let date = point(value.trim().trim_matches('"'))?;
    let since_1970 = Duration::from_millis(u64::try_from(date.timestamp_millis()).ok()?);
    until(UNIX_EPOCH.checked_add(since_1970)?, now)
}

/// A reset in any of its dialects: a date, epoch milliseconds, epoch seconds, or seconds left.
pub(super) fn reset(value: &str, now: SystemTime) -> Option<Duration> {
    // 10^9 s is 2001 as an epoch, 31 years as a wait; 10^11 is the year 5138, or 1973 in milliseconds.
    const EPOCH_SECONDS: f64 = 1e9;
    const EPOCH_MILLIS: f64 = 1e11;
    match decimal(value) {
        Some(number) if number >= EPOCH_MILLIS => epoch(value, 1000.0, now),
        Some(number) if number >= EPOCH_SECONDS => epoch(value, 1.0, now),
        Some(_) => seconds(value),
        None => date(value, now),
    }
}

/// A length of time with its unit: `30s` (the JSON form of `google.protobuf.Duration`), `1.5s`, `250ms`, `1h2m3s`.
pub(super) fn duration(value: &str) -> Option<Duration> {
    let mut rest = value.trim().trim_matches('"');
    let mut sum = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at(digits);
        let end = unit.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit.len());
        let seconds = match &unit[..end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        sum = sum.checked_add(Duration::try_from_secs_f64(decimal(number)? * seconds).ok()?)?;
        rest = &unit[end..];
    }
    Some(sum)
}

// A date in the past asks for no wait.
pub(super) fn until(date: SystemTime, now: SystemTime) -> Option<Duration> {
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_carries_its_unit() {
        for (text, millis) in
            [("30s", 30_000), ("1.5s", 1500), ("250ms", 250), ("6m0s", 360_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for garbage in ["", "s", "30", "30 s", "-1s", "1e3s", "1x", "99999999999999999999d"] {
            assert_eq!(duration(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_date_may_leave_out_its_seconds() {
        let now = UNIX_EPOCH + Duration::from_secs(1_779_012_000); // 2026-05-17T10:00:00Z
        for text in [
            "2026-05-17T10:01:00Z",
            "2026-05-17T10:01Z",
            "2026-05-17T12:01:00+0200",
            "2026-05-17T10:01:00.000Z",
            "Sun, 17 May 2026 10:01:00 GMT",
        ] {
            assert_eq!(date(text, now), Some(Duration::from_secs(60)), "{text}");
        }
        assert_eq!(date("1969-12-31T23:59:59Z", now), None);
        assert_eq!(date("tomorrow", now), None);
    }
}
