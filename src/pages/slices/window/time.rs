//! Times, as they are given and as APIs want them.

use std::fmt::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;

use crate::error::{Error, Result};

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400_000;

/// A moment: a time in RFC 3339, a date (its midnight, UTC), or `now`.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use headwater::pages::Window;
/// const DAY: Duration = Duration::from_secs(86_400);
/// let since_may = Window::time("2026-05-01", "now").every(DAY);
/// let a_morning = Window::time("2026-05-17T06:00:00Z", "2026-05-17T12:00:00+02:00").every(DAY / 24);
/// let last_week = Window::time(SystemTime::now() - 7 * DAY, "now").every(DAY);
/// ```
#[derive(Debug, Clone)]
pub struct Moment(Given);

#[derive(Debug, Clone)]
enum Given {
    Text(String),
    At(SystemTime),
}

impl From<&str> for Moment {
    fn from(text: &str) -> Self {
        Self(Given::Text(text.to_owned()))
    }
}

impl From<String> for Moment {
    fn from(text: String) -> Self {
        Self(Given::Text(text))
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        Self(Given::At(time))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Given::Text(text) => f.write_str(text),
            Given::At(time) => match millis_of(*time).and_then(DateTime::from_timestamp_millis) {
                Some(_) => write!(f, "{}", DateTime::<Utc>::from(*time).to_rfc3339()),
                None => write!(f, "{time:?}"),
            },
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn millis_of(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).ok(),
        Err(before) => {
            i64::try_from(before.duration().as_nanos().div_ceil(1_000_000)).ok().map(|millis| -millis)
        }
    }
}

impl Moment {
    /// Milliseconds since 1970; `None` for now.
    pub(super) fn millis(&self) -> Result<Option<i64>> {
        let text = match &self.0 {
            Given::At(time) => {
                let beyond = || Error::config("the window reaches beyond what can be counted");
                return millis_of(*time).map(Some).ok_or_else(beyond);
            }
            Given::Text(text) => text.as_str(),
        };
        if text == "now" {
            return Ok(None);
        }
        let date =
            NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|date| date.and_hms_opt(0, 0, 0));
        let time = date
            .map(|midnight| midnight.and_utc())
            .or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc)));
        match time {
            Some(time) if time.timestamp_subsec_nanos() % 1_000_000 == 0 => Ok(Some(time.timestamp_millis())),
            Some(_) => Err(Error::config(format!("{text:?} is finer than a millisecond"))),
            None => Err(Error::config(format!("{text:?} is no time"))
                .advice("write it as \"2026-05-17\", \"2026-05-17T10:00:00Z\" or \"now\"")),
        }
    }
}

/// How an API wants its times. All are in UTC.
///
/// ```
/// use std::time::Duration;
/// use headwater::{Source, paginate::PageNumber};
/// use headwater::pages::{TimeFormat, Window};
/// let hour = Duration::from_secs(3_600);
/// let window = Window::time("2026-05-01", "2026-05-02").every(hour).format(TimeFormat::EpochSeconds);
/// let trades = Source::get("trades", "https://api.example.com/trades?from={start}&to={end}")
///     .records("trades")
///     .paginate(PageNumber::new())
///     .window(window)
///     .build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeFormat {
    /// `2026-05-17T10:00:00Z`: the default. Its unit is a second.
    #[default]
    Rfc3339,
    /// `2026-05-17T10:00:00.000Z`. Its unit is a millisecond.
    Rfc3339Millis,
    /// `2026-05-17`. Its unit is a day.
    Date,
    /// Seconds since 1970, as a number.
    EpochSeconds,
    /// Milliseconds since 1970, as a number.
    EpochMillis,
    /// A text of one's own, in the letters of `strftime`: `%Y/%m/%d %H:%M`. Its unit is the finest that it shows.
    Strftime(String),
}

impl TimeFormat {
    /// Its name in a definition.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Rfc3339 => "rfc3339",
            Self::Rfc3339Millis => "rfc3339 millis",
            Self::Date => "date",
            Self::EpochSeconds => "epoch seconds",
            Self::EpochMillis => "epoch millis",
            Self::Strftime(pattern) => pattern,
        }
    }

    /// The finest difference that it can say, in milliseconds.
    pub(super) fn unit(&self) -> Result<u64> {
        match self {
            Self::Rfc3339 | Self::EpochSeconds => Ok(SECOND),
            Self::Rfc3339Millis | Self::EpochMillis => Ok(1),
            Self::Date => Ok(DAY),
            Self::Strftime(pattern) => {
                if StrftimeItems::new(pattern).any(|item| matches!(item, Item::Error)) {
                    return Err(Error::config(format!("{pattern:?} is no format of times")));
                }
                let shown = |millis: u64| self.show(millis as i64).ok();
                let units = [1, SECOND, 60 * SECOND, 3_600 * SECOND, DAY];
                units.into_iter().find(|unit| shown(*unit) != shown(0)).ok_or_else(|| {
                    Error::config(format!("the format {pattern:?} cannot tell one day from the next"))
                })
            }
        }
    }

    /// A time as a value.
    pub(super) fn show(&self, millis: i64) -> Result<Value> {
        let beyond = || Error::config(format!("{millis} ms since 1970 is beyond the calendar"));
        let pattern = match self {
            Self::EpochSeconds => return Ok(millis.div_euclid(1_000).into()),
            Self::EpochMillis => return Ok(millis.into()),
            Self::Rfc3339 => "%Y-%m-%dT%H:%M:%SZ",
            Self::Rfc3339Millis => "%Y-%m-%dT%H:%M:%S%.3fZ",
            Self::Date => "%Y-%m-%d",
            Self::Strftime(pattern) => pattern,
        };
        let time = DateTime::from_timestamp_millis(millis).ok_or_else(beyond)?;
        let mut text = String::new();
        write!(text, "{}", time.format(pattern)).map_err(|_| beyond())?;
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_a_time_or_now() {
        let millis = |text: &str| Moment::from(text).millis();
        assert_eq!(millis("1970-01-02").unwrap(), Some(86_400_000));
        assert_eq!(millis("1970-01-01T01:00:00.250+01:00").unwrap(), Some(250));
        assert_eq!(millis("now").unwrap(), None);
        for bad in ["", "yesterday", "1970-13-01", "1970-01-01T00:00:00", "1970-01-01T00:00:00.0001Z"] {
            assert!(millis(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_beyond_the_calendar_is_no_trap() {
        let far = std::time::Duration::from_secs(i64::MAX as u64 / 2);
        for time in [UNIX_EPOCH.checked_add(far), UNIX_EPOCH.checked_sub(far)].into_iter().flatten() {
            let moment = Moment::from(time);
            assert!(moment.millis().is_err(), "{moment}");
        }
        let before = UNIX_EPOCH - std::time::Duration::from_nanos(1);
        assert_eq!(Moment::from(before).millis().unwrap(), Some(-1));
    }

    #[test]
    fn each_format_shows_a_time_and_knows_its_unit() {
        let strftime = |pattern: &str| TimeFormat::Strftime(pattern.into());
        for (format, unit, shown) in [
            (TimeFormat::Rfc3339, 1_000, "\"1970-01-02T00:00:01Z\""),
            (TimeFormat::Rfc3339Millis, 1, "\"1970-01-02T00:00:01.000Z\""),
            (TimeFormat::Date, 86_400_000, "\"1970-01-02\""),
            (TimeFormat::EpochSeconds, 1_000, "86401"),
            (TimeFormat::EpochMillis, 1, "86401000"),
            (strftime("%d/%m/%Y %H:%M"), 60_000, "\"02/01/1970 00:00\""),
            (strftime("%Y%m%d"), 86_400_000, "\"19700102\""),
        ] {
            assert_eq!(format.unit().unwrap(), unit, "{format:?}");
            assert_eq!(format.show(86_401_000).unwrap().to_string(), shown);
        }
        assert!(strftime("%Y-%m").unit().is_err());
        assert!(strftime("%Q").unit().is_err());
    }
}
