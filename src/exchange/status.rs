//! What a status means for a page: a success, a failure for good, or one that may pass.

use http::StatusCode;

use crate::error::{Error, ErrorKind, Result, Transience};
use crate::hints::Hints;
use crate::transport::Response;

pub(super) const CHECK_THE_TOKEN: &str = "check that the token is valid and is sent the way the API wants it";
pub(crate) const START_AFRESH: &str =
    "start this source afresh (`restart_on_expiry()` does so by itself): its old position cannot be resumed";

/// Accepts a successful answer, or says what the status means. `resumable` is whether a position other
/// than the start was asked for.
pub(crate) fn check(response: &Response, hints: &Hints, resumable: bool) -> Result<()> {
    use Transience::{Once, Permanent, Transient};
    let status = response.status;
    if status.is_success() && status != StatusCode::PARTIAL_CONTENT {
        return Ok(());
    }
    let (kind, transience, message) = match status.as_u16() {
        206 => (ErrorKind::Status, Permanent, "a part of the answer came where the whole was asked for"),
        304 => (ErrorKind::Status, Permanent, "\"not modified\" came though no validator was sent"),
        401 => (ErrorKind::Unauthorized, Permanent, "the credentials are missing, wrong or expired"),
        403 if hints.is_limited() || speaks_of_rate(&response.body) => {
            (ErrorKind::RateLimited, Transient, "the server limits the rate")
        }
        403 => (ErrorKind::Status, Permanent, "the credentials do not allow this"),
        407 => (ErrorKind::Connect, Permanent, "the proxy wants credentials"),
        408 => (ErrorKind::Timeout, Transient, "the server waited too long for the request"),
        410 if resumable => (ErrorKind::CursorExpired, Permanent, "the server no longer knows this position"),
        400 | 422 if resumable && speaks_of_expiry(&response.body) => {
            (ErrorKind::CursorExpired, Permanent, "the server no longer accepts this position")
        }
        421 | 425 => (ErrorKind::Status, Once, "the server wants the request again on another connection"),
        429 => (ErrorKind::RateLimited, Transient, "the server limits the rate"),
        501 | 505 | 511 => (ErrorKind::Status, Permanent, "the server does not do this"),
        500..=599 => (ErrorKind::Status, Transient, "the server failed"),
        _ => (ErrorKind::Status, Permanent, "the server refused the request"),
    };
    let error = Error::new(kind, message).with_transience(transience);
    Err(match kind {
        ErrorKind::Unauthorized => error.advice(CHECK_THE_TOKEN),
        ErrorKind::CursorExpired => error.advice(START_AFRESH),
        _ => error,
    })
}

// GitHub's secondary limit may come as a bare 403 that only says so in its message.
fn speaks_of_rate(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    ["rate limit", "ratelimit", "rate_limit"].iter().any(|word| text.contains(word))
}

// A guess, and only about the kind of an error that ends the stream anyway.
fn speaks_of_expiry(body: &[u8]) -> bool {
    const POSITIONS: [&str; 5] = ["cursor", "page_token", "page token", "pagetoken", "scroll"];
    const GONE: [&str; 4] = ["expired", "invalid", "no longer", "not valid"];
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    POSITIONS.iter().any(|word| text.contains(word)) && GONE.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn outcome(status: u16, body: &'static str, hints: Hints, resumable: bool) -> (ErrorKind, Transience) {
        let response = Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: body.into(),
            received_at: SystemTime::UNIX_EPOCH,
        };
        let error = check(&response, &hints, resumable).unwrap_err();
        (error.kind(), error.transience())
    }

    #[test]
    fn every_status_has_its_meaning() {
        use Transience::{Once, Permanent, Transient};
        let none = Hints::default();
        for status in [500, 502, 503, 504, 507, 520, 524, 529, 408] {
            assert_eq!(outcome(status, "", none, true).1, Transient, "{status}");
        }
        for status in
            [206, 304, 400, 401, 402, 403, 404, 405, 407, 409, 410, 414, 422, 431, 451, 501, 505, 511]
        {
            assert_eq!(outcome(status, "", none, true).1, Permanent, "{status}");
        }
        assert_eq!(outcome(421, "", none, true).1, Once);
        assert_eq!(outcome(425, "", none, true).1, Once);
        assert_eq!(outcome(429, "", none, true), (ErrorKind::RateLimited, Transient));
    }

    #[test]
    fn a_403_that_carries_a_limit_s_marks_is_a_limit() {
        let hints = Hints { retry_after: Some(Duration::from_secs(60)), ..Hints::default() };
        assert_eq!(outcome(403, "", hints, false), (ErrorKind::RateLimited, Transience::Transient));
        let bare = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        assert_eq!(
            outcome(403, bare, Hints::default(), false),
            (ErrorKind::RateLimited, Transience::Transient)
        );
        assert_eq!(outcome(403, "", Hints::default(), false), (ErrorKind::Status, Transience::Permanent));
    }

    #[test]
    fn an_expired_position_is_told_from_a_bad_request() {
        let expired = r#"{"error":"cursor has expired"}"#;
        assert_eq!(outcome(400, expired, Hints::default(), true).0, ErrorKind::CursorExpired);
        assert_eq!(outcome(410, "", Hints::default(), true).0, ErrorKind::CursorExpired);
        assert_eq!(outcome(400, expired, Hints::default(), false).0, ErrorKind::Status);
        assert_eq!(outcome(400, "limit too large", Hints::default(), true).0, ErrorKind::Status);
        let other = r#"{"error":{"type":"invalid_request_error","param":"page_size"}}"#;
        assert_eq!(outcome(400, other, Hints::default(), true).0, ErrorKind::Status);
    }
}
