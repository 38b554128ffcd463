//! Points in time and days, as they are written by RFC 3339.

use chrono::{DateTime, NaiveDate, SecondsFormat};

fn digits(bytes: &[u8]) -> Option<u32> {
    let add = |value: u32, byte: &u8| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0'));
    bytes.iter().try_fold(0, add)
}

fn day(bytes: &[u8]) -> Option<NaiveDate> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *bytes else { return None };
    let year = i32::try_from(digits(&[y1, y2, y3, y4])?).ok()?;
    NaiveDate::from_ymd_opt(year, digits(&[m1, m2])?, digits(&[d1, d2])?)
}

/// Days since 1970-01-01 of `2026-05-17`.
pub(super) fn date(text: &str) -> Option<i32> {
    Some(day(text.as_bytes())?.to_epoch_days())
}

/// Microseconds since the epoch of `2026-05-17T10:00:00.000001+02:00`. Without an offset it is no point in time; a fraction
/// that microseconds do not hold, and a leap second, would have to be rounded.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    let (date, rest) = text.as_bytes().split_at_checked(10)?;
    let days = i64::from(day(date)?.to_epoch_days());
    let [b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = rest else { return None };
    let (hour, minute, second) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?, digits(&[*s1, *s2])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, offset) = match rest {
        [b'.', rest @ ..] => {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, offset) = rest.split_at_checked(length)?;
            let (kept, finer) = fraction.split_at_checked(6).unwrap_or((fraction, &[]));
            if fraction.is_empty() || finer.iter().any(|digit| *digit != b'0') {
                return None;
            }
            (digits(kept)? * 10_u32.pow(6 - u32::try_from(kept.len()).ok()?), offset)
        }
        offset => (0, offset),
    };
    let ahead = match *offset {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[h1, h2])?, digits(&[m1, m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let ahead = i64::from(hours * 60 + minutes) * 60;
            if sign == b'-' { -ahead } else { ahead }
        }
        _ => return None,
    };
    let seconds = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second) - ahead;
    Some(seconds * 1_000_000 + i64::from(micros))
}

/// Writes a point in time by RFC 3339, in UTC, with a fraction only if it has one.
pub(super) fn timestamp_text(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).unwrap_or_default().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Writes a day.
pub(super) fn date_text(days: i32) -> String {
    NaiveDate::from_epoch_days(days).unwrap_or_default().format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_kept_to_the_microsecond_or_not_at_all() {
        for (text, expected) in [
            ("2026-05-17T10:00:00Z", "2026-05-17T10:00:00Z"),
            ("2026-05-17t12:00:00.5+02:00", "2026-05-17T10:00:00.500Z"),
            ("2026-05-17 10:00:00.000001000z", "2026-05-17T10:00:00.000001Z"),
            ("0001-01-01T00:00:00-00:01", "0001-01-01T00:01:00Z"),
        ] {
            assert_eq!(timestamp(text).map(timestamp_text).as_deref(), Some(expected), "{text}");
            let oracle = DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
            assert_eq!(timestamp(text), Some(oracle), "{text}");
        }
        for text in [
            "2026-05-17T10:00:00",
            "2026-05-17",
            "2026-05-17T10:00:00.0000001Z",
            "2016-12-31T23:59:60Z",
            "2026-02-30T10:00:00Z",
            "2026-05-17T24:00:00Z",
            "2026-05-17T10:00:00.Z",
            "2026-05-17T10:00:00+0200",
            "12026-05-17T10:00:00Z",
            "２026-05-17T10:00:00Z",
            "soon",
            "",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_is_a_day_of_the_calendar() {
        assert_eq!(date("2026-05-17").map(date_text).as_deref(), Some("2026-05-17"));
        assert_eq!(date("1969-12-31"), Some(-1));
        for text in ["2026-02-29", "2026-5-17", "2026-05-17T00:00:00Z", "20260517", ""] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
