//! What BigQuery says went wrong: its reasons, which of them may pass, and what to do about the others.
//!
//! The reasons and what they mean: <https://cloud.google.com/bigquery/docs/error-messages>.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

/// So much of a message is shown.
const MOST_SHOWN: usize = 400;

/// An `ErrorProto`, or the body of an answer that is no success.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) location: String,
}

impl Refusal {
    /// Reads `{"error": {"message": …, "errors": [{"reason": …}]}}`.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let error = body.get("error")?;
        let first = error.get("errors").and_then(|errors| errors.get(0));
        let mut refusal: Self =
            first.and_then(|first| serde_json::from_value(first.clone()).ok()).unwrap_or_default();
        if let Some(message) = error.get("message").and_then(Value::as_str) {
            refusal.message = message.to_owned();
        }
        Some(refusal)
    }

    /// On one line, and not too long.
    pub(super) fn text(&self) -> String {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let message: String = self.message.chars().take(MOST_SHOWN).map(plain).collect();
        let place = match self.location.is_empty() {
            true => String::new(),
            false => format!(" at {}", self.location.chars().take(100).map(plain).collect::<String>()),
        };
        format!("{}{place}: {message}", if self.reason.is_empty() { "no reason" } else { &self.reason })
    }
}

/// Whether a call, or a job that failed for it, may be made again.
pub(super) fn may_pass(reason: &str) -> bool {
    is_rate(reason)
        || matches!(
            reason,
            "backendError"
                | "internalError"
                | "jobBackendError"
                | "jobInternalError"
                | "tableUnavailable"
                | "badGateway"
                | "timeout"
        )
}

/// Whether it was too much in too short a time. `quotaExceeded` is not among them: a day's quota does not come back while
/// someone waits.
pub(super) fn is_rate(reason: &str) -> bool {
    matches!(reason, "rateLimitExceeded" | "jobRateLimitExceeded" | "userRateLimitExceeded")
}

/// What to do next.
pub(super) fn advice(status: StatusCode, reason: &str) -> Option<&'static str> {
    Some(match (status, reason) {
        (StatusCode::UNAUTHORIZED, _) => {
            "check the service account's key, and that the scope is https://www.googleapis.com/auth/bigquery"
        }
        (_, "accessDenied") => {
            "the account needs roles/bigquery.jobUser in the project and roles/bigquery.dataEditor in the dataset"
        }
        (_, "billingNotEnabled") => "load jobs need a project with billing",
        (_, "quotaExceeded") => {
            "a table takes 1,500 load jobs a day, failed ones included: load larger segments (`segment_bytes`), less often"
        }
        (StatusCode::NOT_FOUND, _) | (_, "notFound") => {
            "check the project, the dataset and its location; a dataset is not made here (`bq mk --location=EU DATASET`)"
        }
        (_, "responseTooLarge" | "resourcesExceeded") => "load smaller segments (`segment_bytes`)",
        (_, "stopped") => "someone has cancelled the job; the next run loads the same rows by another",
        (status, _) if status.is_redirection() => {
            "give the URL that it really has: no redirect is followed here"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_one_that_is_none_says_nothing() {
        let body = br#"{"error":{"code":403,"message":"Quota exceeded:\nload jobs","errors":[{"reason":"quotaExceeded"}]}}"#;
        let refusal = Refusal::read(body).unwrap();
        assert_eq!(refusal.text(), "quotaExceeded: Quota exceeded: load jobs");
        assert!(!may_pass(&refusal.reason));
        assert_eq!(Refusal::read(b"<html>"), None);
        assert_eq!(Refusal::read(b"{}"), None);
        assert_eq!(Refusal::read(br#"{"error":{"errors":7}}"#), Some(Refusal::default()));
    }
}
