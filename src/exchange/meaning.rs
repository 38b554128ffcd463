//! What is to be done with an answer: by the source's rules first, then by its status.

use http::StatusCode;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};

use super::rule::{Rule, Verdict};
use super::{Exchange, Standing, status};
use crate::error::{Error, ErrorKind, Result};
use crate::hints::Hints;
use crate::page::JsonPath;
use crate::request::Request;
use crate::transport::Response;

/// What an answer that is no failure means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It is a page.
    Page,
    /// There are no records, and that is the end.
    Nothing,
    /// Nothing has changed since the validators that were sent (RFC 9110 §15.4.5).
    Unchanged,
    /// The page is to be asked for with this token instead.
    Instead(String),
}

impl Exchange {
    /// Says what an answer means, or what failed.
    pub(super) fn meaning(
        &self,
        asked: &Request,
        response: &Response,
        hints: &Hints,
        standing: Standing,
        rule: Option<&Rule>,
    ) -> Result<Meaning> {
        if let Some(rule) = rule {
            return self.by_rule(rule, response);
        }
        let has_validators =
            [IF_NONE_MATCH, IF_MODIFIED_SINCE].iter().any(|name| asked.headers().contains_key(name));
        if response.status == StatusCode::NOT_MODIFIED && has_validators {
            return Ok(Meaning::Unchanged);
        }
        status::check(response, hints, standing.has_position).map(|()| Meaning::Page)
    }

    /// Whether the server does not accept the credentials.
    pub(super) fn is_refused(&self, response: &Response, standing: Standing) -> bool {
        let is_unauthorized = response.status == StatusCode::UNAUTHORIZED;
        if !is_unauthorized && !self.rules.iter().any(|rule| *rule.verdict() == Verdict::Renew) {
            return false;
        }
        match self.rules.judge(response, standing.is_behind_first) {
            Some(rule) => *rule.verdict() == Verdict::Renew,
            None => is_unauthorized,
        }
    }

    fn by_rule(&self, rule: &Rule, response: &Response) -> Result<Meaning> {
        let (kind, what) = match rule.verdict() {
            Verdict::Success => return Ok(Meaning::Page),
            Verdict::NoRecords | Verdict::End => return Ok(Meaning::Nothing),
            Verdict::ContinueAt(path) => return self.token(response, path).map(Meaning::Instead),
            Verdict::Retry => (ErrorKind::Status, "the server failed"),
            Verdict::Wait | Verdict::WaitFor(_) => (ErrorKind::RateLimited, "the server limits the rate"),
            Verdict::Fail => (ErrorKind::Status, "the server refused the request"),
            Verdict::TooMany => {
                (ErrorKind::Truncated, "the source has more than it hands out for one request")
            }
            Verdict::Expired => (ErrorKind::CursorExpired, "the server no longer knows this position"),
            Verdict::Renew => (ErrorKind::Unauthorized, "the credentials are missing, wrong or expired"),
        };
        let error = Error::new(kind, format!("{what} (by the rule: {rule})"));
        Err(match kind {
            ErrorKind::RateLimited => error.transient(),
            ErrorKind::Status if *rule.verdict() == Verdict::Retry => error.transient(),
            ErrorKind::Truncated => error
                .at(|context| context.is_too_many = true)
                .advice("pull it in slices: a `Window` with a `ceiling` halves those that are too large"),
            ErrorKind::CursorExpired => error.advice(status::START_AFRESH),
            ErrorKind::Unauthorized => error.advice(status::CHECK_THE_TOKEN),
            _ => error,
        })
    }

    /// The token that an error gives in the place of one that has expired.
    fn token(&self, response: &Response, path: &JsonPath) -> Result<String> {
        self.rules.new_token(response, path).filter(|token| !token.is_empty()).ok_or_else(|| {
            let what =
                format!("the position has expired, and there is no new token at \"{path}\" of the answer");
            Error::new(ErrorKind::CursorExpired, what).advice(status::START_AFRESH)
        })
    }
}
