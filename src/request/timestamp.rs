//! Points in time, in the forms that APIs write them.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat};
use serde_json::Value;

use crate::hints::point;

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(pub(crate) i64);

impl Timestamp {
    /// Reads RFC 3339, ISO 8601 with any offset or none (then it is UTC), a date, an HTTP-date, or a number since the
    /// epoch: seconds (with a fraction, too), milliseconds or microseconds, told by how large it is.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::epoch(&number.to_string()),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::epoch(text).or_else(|| point(text).map(|time| Self(time.timestamp_micros())))
    }

    /// A number since the epoch. 10¹¹ seconds are in the year 5138, and as milliseconds in 1973.
    fn epoch(text: &str) -> Option<Self> {
        const MILLIS: u64 = 100_000_000_000;
        const MICROS: u64 = 100_000_000_000_000;
        const NANOS: u64 = 100_000_000_000_000_000;
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        // A short number is a year, or a day.
        if whole.is_empty() || !plain(whole) || !plain(fraction) || (whole.len() < 5 && text != "0") {
            return None;
        }
        let count: u64 = whole.parse().ok()?;
        let micros = match count {
            count if count >= NANOS => i64::try_from(count / 1000).ok()?,
            count if count >= MICROS => i64::try_from(count).ok()?,
            count if count >= MILLIS => i64::try_from(count).ok()?.checked_mul(1000)?,
            count => {
                let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
                i64::try_from(count).ok()?.checked_mul(1_000_000)?.checked_add(fraction.parse().ok()?)?
            }
        };
        Some(Self(sign * micros))
    }

    /// Writes it as RFC 3339 in UTC, with a fraction only if it has one.
    pub(crate) fn rfc3339(self) -> String {
        let time = DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }

    /// Writes it in the form that a value of the same list has, as finely as that does: the server, which may compare
    /// texts, knows no other.
    pub(crate) fn like(self, example: &Value) -> Value {
        let number = match example {
            Value::Number(number) => Self::epoch(&number.to_string()).map(|_| number.to_string()),
            Value::String(text) => match Self::epoch(text.trim()) {
                Some(_) => Some(text.trim().to_owned()),
                None => return Value::String(self.written_like(text.trim())),
            },
            _ => None,
        };
        let Some(number) = number else { return Value::String(self.rfc3339()) };
        let seconds = number.split('.').next().unwrap_or_default().trim_start_matches('-');
        let written = match seconds.len() {
            ..=11 => self.0.div_euclid(1_000_000),
            12..=14 => self.0.div_euclid(1000),
            15..=17 => self.0,
            _ => self.0.saturating_mul(1000),
        };
        if example.is_string() { Value::String(written.to_string()) } else { written.into() }
    }

    fn written_like(self, example: &str) -> String {
        let utc = DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        if DateTime::parse_from_str(example, "%a %b %d %H:%M:%S %z %Y").is_ok() {
            return utc.format("%a %b %d %H:%M:%S +0000 %Y").to_string();
        }
        if httpdate::parse_http_date(example).is_ok() {
            return utc.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        }
        self.iso_like(example).unwrap_or_else(|| self.rfc3339())
    }

    /// The same, where a date comes first: with what stands between it and the time, as many digits, and the offset.
    fn iso_like(self, example: &str) -> Option<String> {
        let date = NaiveDate::parse_from_str(example.get(..10)?, "%Y-%m-%d").ok()?;
        let rest = example.get(10..)?;
        let Some(separator) = rest.chars().next() else {
            return Some(DateTime::from_timestamp_micros(self.0)?.format("%Y-%m-%d").to_string());
        };
        let rest = rest.get(separator.len_utf8()..)?;
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | ':' | '.')).unwrap_or(rest.len());
        let (clock, offset) = rest.split_at(end);
        let (form, digits) = match (clock.split_once('.'), clock.matches(':').count()) {
            (Some((_, fraction)), 2) => ("%H:%M:%S", fraction.len()),
            (None, 2) => ("%H:%M:%S", 0),
            (None, 1) => ("%H:%M", 0),
            _ => return None,
        };
        let time = NaiveTime::parse_from_str(clock, if digits > 0 { "%H:%M:%S%.f" } else { form }).ok()?;
        // What it shows, less what it means, is its offset.
        let ahead = date.and_time(time).and_utc().timestamp_micros().checked_sub(Self::parse(example)?.0)?;
        let shown = DateTime::from_timestamp_micros(self.0.checked_add(ahead)?)?;
        let mut text = format!("{}{separator}{}", shown.format("%Y-%m-%d"), shown.format(form));
        if digits > 0 {
            let micros = format!("{:06}", shown.timestamp_subsec_micros());
            text.push('.');
            text.extend(micros.chars().chain(std::iter::repeat('0')).take(digits.min(9)));
        }
        Some(text + offset)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_is_the_same_point_in_time() {
        for form in [
            json!("2026-05-17T10:00:00Z"),
            json!("2026-05-17T12:00:00+02:00"),
            json!("2026-05-17T10:00:00.000+0000"),
            json!("2026-05-17T10:00:00"),
            json!("2026-05-17 10:00:00"),
            json!("2026-05-17 10:00:00.000000"),
            json!("2026-05-17T10:00Z"),
            json!("Sun, 17 May 2026 10:00:00 GMT"),
            json!("Sun May 17 10:00:00 +0000 2026"),
            json!(1_779_012_000),
            json!("1779012000"),
            json!("1779012000.000000"),
            json!(1_779_012_000_000_u64),
            json!(1_779_012_000_000_000_u64),
        ] {
            assert_eq!(Timestamp::read(&form), Some(Timestamp(1_779_012_000_000_000)), "{form}");
        }
        assert_eq!(Timestamp::read(&json!("2026-05-17")), Timestamp::read(&json!("2026-05-17T00:00:00Z")));
        assert_eq!(Timestamp::read(&json!("1712345678.000200")), Some(Timestamp(1_712_345_678_000_200)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for garbage in [
            json!("soon"),
            json!(""),
            json!("2026-13-01"),
            json!(null),
            json!([1]),
            json!("1e9"),
            json!("2026"),
        ] {
            assert_eq!(Timestamp::read(&garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_time_is_written_like_its_example() {
        let time = Timestamp::read(&json!("2026-05-17T09:55:00Z")).unwrap();
        for (example, written) in [
            (json!("2026-05-17T10:00:00Z"), json!("2026-05-17T09:55:00Z")),
            (json!("2026-05-17T10:00:00+02:00"), json!("2026-05-17T11:55:00+02:00")),
            (json!("2026-05-17T10:00:00.000+0000"), json!("2026-05-17T09:55:00.000+0000")),
            (json!("2026-05-17T10:00:00.1234567"), json!("2026-05-17T09:55:00.0000000")),
            (json!("2026-05-17 10:00:00"), json!("2026-05-17 09:55:00")),
            (json!("2026-05-17T10:00Z"), json!("2026-05-17T09:55Z")),
            (json!("2026-05-16"), json!("2026-05-17")),
            (json!("Sat, 16 May 2026 10:00:00 GMT"), json!("Sun, 17 May 2026 09:55:00 GMT")),
            (json!("Sat May 16 10:00:00 +0000 2026"), json!("Sun May 17 09:55:00 +0000 2026")),
            (json!(1_779_012_000), json!(1_779_011_700)),
            (json!("1779012000"), json!("1779011700")),
            (json!(1_779_012_000_000_u64), json!(1_779_011_700_000_u64)),
            (json!(1_779_012_000_000_000_000_u64), json!(1_779_011_700_000_000_000_u64)),
        ] {
            assert_eq!(time.like(&example), written);
            assert!(Timestamp::read(&written).is_some_and(|read| read <= time), "{written}");
        }
    }
}
