//! The ways in which a server says how long to wait.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};

/// One way of saying it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Seconds,
    Fraction,
    Millis,
    AzureMillis,
    Imf,
    Rfc850,
    Asctime,
    /// A date without the server's own: the clock of the client decides.
    BareDate,
    ResetSeconds,
    ResetEpoch,
    ResetEpochMillis,
    ResetIso,
    RateLimitField,
    RateLimitSplit,
    /// Two that do not agree: the longest counts.
    Conflict,
}

pub(crate) const FORMS: [Form; 15] = [
    Form::Seconds,
    Form::Fraction,
    Form::Millis,
    Form::AzureMillis,
    Form::Imf,
    Form::Rfc850,
    Form::Asctime,
    Form::BareDate,
    Form::ResetSeconds,
    Form::ResetEpoch,
    Form::ResetEpochMillis,
    Form::ResetIso,
    Form::RateLimitField,
    Form::RateLimitSplit,
    Form::Conflict,
];

/// A wait in one of its forms.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What it comes to, once the answer is there.
    pub(crate) wait: Duration,
}

impl Form {
    /// Says that a request before `wait` is over is not welcome. `stamped` is when the server writes that,
    /// `arrives` when it is read.
    pub(crate) fn tell(self, wait: Duration, stamped: SystemTime, arrives: SystemTime) -> Told {
        // A date has whole seconds.
        let date = floor(stamped);
        let until = floor(stamped + wait + Duration::from_millis(999));
        let by_date = until.duration_since(date).unwrap_or_default();
        let seconds = Duration::from_secs(wait.as_secs().max(1));
        let utc = |time: SystemTime, format: &str| DateTime::<Utc>::from(time).format(format).to_string();
        let imf = |time: SystemTime| httpdate::fmt_http_date(time);
        let dated = |name: &'static str, value: String| vec![("date", imf(date)), (name, value)];
        let used_up = |headers: Vec<(&'static str, String)>| {
            let left = [("x-ratelimit-limit", "100".to_owned()), ("x-ratelimit-remaining", "0".to_owned())];
            left.into_iter().chain(headers).collect::<Vec<_>>()
        };
        let epoch = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (headers, wait) = match self {
            Self::Seconds => (vec![("retry-after", seconds.as_secs().to_string())], seconds),
            Self::Fraction => {
                let wait = Duration::from_millis(u64::try_from(wait.as_millis()).expect("a short wait"));
                (vec![("retry-after", format!("{:.3}", wait.as_secs_f64()))], wait)
            }
            Self::Millis | Self::AzureMillis => {
                let wait = Duration::from_millis(u64::try_from(wait.as_millis()).expect("a short wait"));
                let name = if self == Self::Millis { "retry-after-ms" } else { "x-ms-retry-after-ms" };
                (vec![(name, wait.as_millis().to_string())], wait)
            }
            Self::Imf => (dated("retry-after", imf(until)), by_date),
            Self::Rfc850 => (dated("retry-after", utc(until, "%A, %d-%b-%y %H:%M:%S GMT")), by_date),
            Self::Asctime => (dated("retry-after", utc(until, "%a %b %e %H:%M:%S %Y")), by_date),
            Self::BareDate => {
                (vec![("retry-after", imf(until))], until.duration_since(arrives).unwrap_or_default())
            }
            Self::ResetSeconds => {
                (used_up(vec![("x-ratelimit-reset", seconds.as_secs().to_string())]), seconds)
            }
            Self::ResetEpoch => {
                (used_up(dated("x-ratelimit-reset", epoch(until).as_secs().to_string())), by_date)
            }
            Self::ResetEpochMillis => {
                (used_up(dated("x-ratelimit-reset", epoch(until).as_millis().to_string())), by_date)
            }
            Self::ResetIso => {
                (used_up(dated("x-ratelimit-reset", utc(until, "%Y-%m-%dT%H:%M:%SZ"))), by_date)
            }
            Self::RateLimitField => {
                let value = format!("\"burst, too\";r=7;t=1, \"hour\";r=0;t={}", seconds.as_secs());
                (vec![("ratelimit", value)], seconds)
            }
            Self::RateLimitSplit => {
                let reset = ("ratelimit-reset", seconds.as_secs().to_string());
                (vec![("ratelimit-remaining", "0".to_owned()), reset], seconds)
            }
            Self::Conflict => {
                let headers = vec![
                    ("retry-after", "1".to_owned()),
                    ("retry-after", seconds.as_secs().to_string()),
                    ("retry-after-ms", "20".to_owned()),
                    ("x-ratelimit-remaining", "0".to_owned()),
                    ("x-ratelimit-reset", "2".to_owned()),
                ];
                (headers, seconds.max(Duration::from_secs(2)))
            }
        };
        Told { headers, wait }
    }
}

fn floor(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
