//! The faults of a request, by the rows of the fault catalogue, and what each must come to.

use std::time::Duration;

use headwater::ErrorKind;
use headwater::error::Transience;

use super::waits::{FORMS, Form};

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    Dns,
    Refused,
    ConnectTimeout,
    Reset,
    BrokenBody,
    ReadTimeout,
    Tls,
    TooLarge,
    /// A status and nothing else.
    Status(u16),
    /// A status with a wait.
    Told(u16, Form, Duration),
    /// 429 with a `Retry-After` that says nothing.
    OddRetryAfter(&'static str),
    SecondaryLimit,
    Html,
    Cut,
    Trailing,
    BadUtf8,
    Empty,
    CursorExpired,
    ErrorBody,
    RedirectLoop,
    OtherOrigin,
    Downgrade,
}

/// What the client gets to see.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    Failure { kind: ErrorKind, transience: Transience },
}

impl Fault {
    /// One that may pass.
    pub(crate) fn passing(random: &mut fastrand::Rng, longest_wait: u64) -> Self {
        match random.u8(0..30) {
            0 => Self::Dns,
            1 => Self::Refused,
            2 => Self::ConnectTimeout,
            3 => Self::Reset,
            4 => Self::BrokenBody,
            5 => Self::ReadTimeout,
            6 | 7 => Self::Status([500, 502, 503, 504, 520, 408][random.usize(0..6)]),
            8 => Self::Status(429),
            9..=18 => {
                let status = [429, 429, 503, 403, 500][random.usize(0..5)];
                let wait = Duration::from_millis(random.u64(1..=longest_wait * 1000));
                // Mostly short ones.
                let wait = if random.u8(0..4) > 0 { wait / 20 } else { wait };
                Self::Told(status, FORMS[random.usize(0..FORMS.len())], wait)
            }
            19 | 20 => {
                let past = "Sun, 17 May 2020 10:00:00 GMT";
                Self::OddRetryAfter(["-5", "soon", "0", past, "", "1e9", "inf"][random.usize(0..7)])
            }
            21 => Self::SecondaryLimit,
            22 => Self::Html,
            23 | 24 => Self::Cut,
            25 => Self::Trailing,
            26 => Self::BadUtf8,
            27 => Self::Empty,
            _ => Self::Status([421, 425][random.usize(0..2)]),
        }
    }

    /// One that stays until somebody mends it: with the next start, here.
    pub(crate) fn lasting(random: &mut fastrand::Rng) -> Self {
        match random.u8(0..12) {
            0 => Self::Tls,
            1 => Self::TooLarge,
            2 | 3 => Self::Status([400, 401, 403, 404, 405, 414, 501][random.usize(0..7)]),
            4 => Self::Status([206, 304, 407, 409, 422, 451, 505, 511][random.usize(0..8)]),
            5 => Self::CursorExpired,
            6 => Self::ErrorBody,
            7 => Self::RedirectLoop,
            8 => Self::OtherOrigin,
            9 => Self::Downgrade,
            // Come back in some hours.
            _ => Self::Told(
                429,
                FORMS[random.usize(0..FORMS.len())],
                Duration::from_secs(random.u64(8000..30_000)),
            ),
        }
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Status(status) => format!("status {status}"),
            Self::Told(status, form, _) => format!("{status} with a wait as {form:?}"),
            Self::OddRetryAfter(_) => "429 with an odd Retry-After".into(),
            other => format!("{other:?}"),
        }
    }

    /// Whether it is asked for once more, and no more.
    pub(crate) fn is_garbled(self) -> bool {
        let once = Self::Status(421) == self || Self::Status(425) == self;
        once || matches!(self, Self::Cut | Self::Trailing | Self::BadUtf8 | Self::Empty)
    }

    /// Whether a server might refuse like this what lies beyond its ceiling.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self, Self::CursorExpired | Self::Status(400 | 404..=428) | Self::Told(404..=428, ..))
    }

    /// The kinds of error that it may end in, if it ends the source.
    pub(crate) fn kinds(self, resumable: bool) -> Vec<ErrorKind> {
        use ErrorKind as Kind;
        match self {
            Self::Dns | Self::Refused | Self::Status(407) => vec![Kind::Connect],
            Self::ConnectTimeout | Self::ReadTimeout | Self::Status(408) => vec![Kind::Timeout],
            Self::Reset | Self::BrokenBody => vec![Kind::Interrupted],
            Self::Tls => vec![Kind::Tls],
            Self::TooLarge => vec![Kind::TooLarge],
            Self::Status(401) => vec![Kind::Unauthorized],
            Self::Status(429) | Self::OddRetryAfter(_) | Self::SecondaryLimit => vec![Kind::RateLimited],
            Self::Told(status, ..) if status >= 500 => vec![Kind::Status],
            Self::Told(..) => vec![Kind::RateLimited],
            Self::Html | Self::Trailing => vec![Kind::NotJson],
            // It may be cut in the middle of a character.
            Self::Cut => vec![Kind::NotJson, Kind::Encoding],
            Self::BadUtf8 => vec![Kind::Encoding],
            Self::Empty => vec![Kind::Empty],
            Self::CursorExpired if resumable => vec![Kind::CursorExpired],
            Self::Status(_) | Self::CursorExpired => vec![Kind::Status],
            Self::ErrorBody => vec![Kind::RecordPath],
            Self::RedirectLoop => vec![Kind::Redirect],
            Self::OtherOrigin | Self::Downgrade => vec![Kind::Origin],
        }
    }

    /// What the client gets in the place of `page`; `url` is that of the request.
    pub(crate) fn reply(self, page: &str, url: &str) -> Reply {
        use Transience::{Permanent, Transient};
        let failure = |kind, transience| Reply::Failure { kind, transience };
        let answer = |status, headers: &[(&'static str, &str)], body: &[u8]| Reply::Answer {
            status,
            headers: headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            body: body.to_vec(),
        };
        match self {
            Self::Dns | Self::Refused => failure(ErrorKind::Connect, Transient),
            Self::ConnectTimeout | Self::ReadTimeout => failure(ErrorKind::Timeout, Transient),
            Self::Reset | Self::BrokenBody => failure(ErrorKind::Interrupted, Transient),
            Self::Tls => failure(ErrorKind::Tls, Permanent),
            Self::TooLarge => failure(ErrorKind::TooLarge, Permanent),
            Self::Status(status) => answer(status, &[], br#"{"message":"no"}"#),
            Self::Told(status, ..) => answer(status, &[], br#"{"message":"slow down"}"#),
            Self::OddRetryAfter(value) => answer(429, &[("retry-after", value)], b""),
            Self::SecondaryLimit => {
                answer(403, &[], br#"{"message":"You have exceeded a secondary rate limit."}"#)
            }
            Self::Html => answer(200, &[("content-type", "text/html")], b"<!doctype html><p>Back soon"),
            Self::Cut => answer(200, &[], &page.as_bytes()[..page.len() / 2]),
            Self::Trailing => answer(200, &[], format!("{page} x").as_bytes()),
            Self::BadUtf8 => answer(200, &[], &[b"[\"\xFF\",".as_slice(), page.as_bytes(), b"]"].concat()),
            Self::Empty => answer(if page.len().is_multiple_of(2) { 200 } else { 204 }, &[], b""),
            Self::CursorExpired => answer(410, &[], br#"{"error":"cursor has expired"}"#),
            Self::ErrorBody => answer(200, &[], br#"{"error":"maintenance","errors":[]}"#),
            Self::RedirectLoop => answer(302, &[("location", url)], b""),
            Self::OtherOrigin => answer(307, &[("location", "https://evil.example/v1")], b""),
            Self::Downgrade => answer(307, &[("location", &url.replacen("https", "http", 1))], b""),
        }
    }
}
