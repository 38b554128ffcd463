//! What an answer means, where its status does not say: rules that a source declares.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::judge::Seen;
use crate::error::{Error, Result};
use crate::page::JsonPath;

/// What an answer means.
///
/// ```
/// use std::time::Duration;
/// use headwater::exchange::{Verdict, When};
/// use headwater::page::JsonPath;
/// // Kubernetes: a 410 whose body has a token to go on with.
/// let token = JsonPath::parse("metadata.continue")?;
/// let go_on = When::status(410).means(Verdict::ContinueAt(token));
/// // Airtable: after a 429, 30 seconds, which no header tells.
/// let pause = When::status(429).means(Verdict::WaitFor(Duration::from_secs(30)));
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is a page, whatever its status.
    Success,
    /// There are no records, and that is the end (OAI-PMH's `noRecordsMatch`).
    NoRecords,
    /// The position lies past the end (a 404 behind the last page). Of the first page it is not believed: the answer
    /// then means what its status says.
    End,
    /// The server failed; asking again, with back-off, may help.
    Retry,
    /// The server limits the rate. It is asked again when the wait that it tells is over, or with back-off.
    Wait,
    /// The server limits the rate, and it is the vendor's document that says for how long (Airtable: 30 s, QuickBooks
    /// Online: 60 s). If the answer tells a longer wait, that one is kept.
    WaitFor(Duration),
    /// It is an error for good.
    Fail,
    /// More is asked for than the source hands out for one request (PayPal's `RESULTSET_TOO_LARGE`). A slice of a window
    /// with a ceiling is halved; anything else is an error of kind [`Truncated`](crate::ErrorKind::Truncated).
    TooMany,
    /// The position is no longer known ([`ErrorKind::CursorExpired`](crate::ErrorKind::CursorExpired)).
    Expired,
    /// The position is no longer known, and the token at this path of the answer takes its place (Kubernetes' 410).
    /// The page is asked for once more with it.
    ContinueAt(JsonPath),
    /// The credentials have lost their validity: they are renewed, once, and the page is asked for again.
    Renew,
}

/// A condition on an answer: all of its parts must hold.
///
/// ```
/// use headwater::exchange::{Verdict, When};
/// // Slack: 200 with {"ok":false,"error":"ratelimited"}
/// let limited = When::status(200).body("error", "ratelimited").means(Verdict::Wait);
/// // Django REST framework: 404 past the last page
/// let past = When::status(404).means(Verdict::End);
/// // Meta: 400 with one of its throttling codes
/// let throttled = When::status(400).body("error.code", 17).means(Verdict::Wait);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct When(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Status(u16, u16),
    Header(String, Option<String>),
    Body(String, Option<Value>),
    Contains(String),
    Resumed,
}

/// What an answer means under a condition. The first rule that fits counts, before the status.
///
/// ```
/// use headwater::{Source, paginate::Cursor};
/// use headwater::exchange::{Rule, Verdict, When};
/// let rules: [Rule; 2] = [
///     When::status(200).body("ok", false).body("error", "invalid_cursor").means(Verdict::Expired),
///     When::status(200).body("ok", false).means(Verdict::Fail),
/// ];
/// let members = Source::get("members", "https://slack.com/api/users.list")
///     .records("members")
///     .paginate(Cursor::body("response_metadata.next_cursor").into_query("cursor"));
/// let members = rules.into_iter().fold(members, |source, rule| source.rule(rule)).build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    when: When,
    verdict: Verdict,
}

impl When {
    /// Any answer.
    pub fn any() -> Self {
        Self(Vec::new())
    }

    /// An answer of this status.
    pub fn status(status: u16) -> Self {
        Self::status_in(status..=status)
    }

    /// An answer whose status lies in this range.
    pub fn status_in(statuses: RangeInclusive<u16>) -> Self {
        Self(vec![Part::Status(*statuses.start(), *statuses.end())])
    }

    fn and(mut self, part: Part) -> Self {
        self.0.push(part);
        self
    }

    /// With a header of this value, in any case.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.and(Part::Header(name.to_ascii_lowercase(), Some(value.to_owned())))
    }

    /// With this header, whatever its value.
    pub fn header_present(self, name: &str) -> Self {
        self.and(Part::Header(name.to_ascii_lowercase(), None))
    }

    /// With this value at a path of the body, as JSON; `*` in the path is any item of an array or value of an object. A
    /// number or a boolean equals its text: `606` is `"606"`, and in XML `false` is `"false"`.
    pub fn body(self, path: &str, value: impl Into<Value>) -> Self {
        self.and(Part::Body(path.to_owned(), Some(value.into())))
    }

    /// With something at a path of the body, as JSON: neither `null` nor empty.
    pub fn body_present(self, path: &str) -> Self {
        self.and(Part::Body(path.to_owned(), None))
    }

    /// With this text somewhere in the body, in any case of its ASCII letters.
    pub fn body_contains(self, text: &str) -> Self {
        self.and(Part::Contains(text.to_ascii_lowercase()))
    }

    /// Only where a page behind the first was asked for.
    pub fn resumed(self) -> Self {
        self.and(Part::Resumed)
    }

    /// Says what such an answer means.
    pub fn means(self, verdict: Verdict) -> Rule {
        Rule { when: self, verdict }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.iter().map(|part| match part {
            Part::Status(low, high) if low == high => format!("status {low}"),
            Part::Status(low, high) => format!("status {low} to {high}"),
            Part::Header(name, Some(value)) => format!("header {name}: {value}"),
            Part::Header(name, None) => format!("header {name}"),
            Part::Body(path, Some(value)) => format!("body {path} = {value}"),
            Part::Body(path, None) => format!("body {path}"),
            Part::Contains(text) => format!("body contains {text:?}"),
            Part::Resumed => "behind the first page".to_owned(),
        });
        let parts: Vec<String> = parts.collect();
        f.write_str(if parts.is_empty() { "any answer" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::ContinueAt(path) => write!(f, "{} means ContinueAt {path}", self.when),
            verdict => write!(f, "{} means {verdict:?}", self.when),
        }
    }
}

impl Rule {
    /// The rules of GraphQL: an answer with `errors` in it is none, though its status is 200. Rate limits are known by
    /// their codes: `RATE_LIMITED` (GitHub), `THROTTLED` (Shopify), `RATELIMITED` (Linear, with status 400).
    pub fn graphql() -> Vec<Self> {
        let code = |path: &str, code: &str| When::any().body(path, code).means(Verdict::Wait);
        vec![
            code("errors.*.type", "RATE_LIMITED"),
            code("errors.*.extensions.code", "RATE_LIMITED"),
            code("errors.*.extensions.code", "THROTTLED"),
            code("errors.*.extensions.code", "RATELIMITED"),
            When::status(200).body_present("errors").means(Verdict::Fail),
        ]
    }

    /// What such an answer means.
    pub(super) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Looks whether it can be read.
    ///
    /// # Errors
    /// `Config` if a path or the name of a header cannot be, or there is no such status.
    pub(crate) fn check(&self) -> Result<()> {
        for part in &self.when.0 {
            match part {
                Part::Body(path, _) => drop(JsonPath::parse(path)?),
                Part::Status(low, high) if low > high || !(100..=999).contains(low) => {
                    return Err(Error::config(format!("no answer has a status of {low} to {high}")));
                }
                Part::Header(name, _) if HeaderName::from_bytes(name.as_bytes()).is_err() => {
                    return Err(Error::config(format!("{name:?} is not a header name")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it fits an answer.
    pub(super) fn fits(&self, answer: &Seen<'_>) -> bool {
        // A page that lies past the end is never the first.
        let behind_enough = self.verdict != Verdict::End || answer.resumed;
        behind_enough
            && self.when.0.iter().all(|part| match part {
                Part::Status(low, high) => (*low..=*high).contains(&answer.response.status.as_u16()),
                Part::Header(name, value) => {
                    let mut given = answer.response.headers.get_all(name.as_str()).iter();
                    given.any(|given| value.as_ref().is_none_or(|value| same_text(given, value)))
                }
                Part::Body(path, value) => answer.has(path, value.as_ref()),
                Part::Contains(text) => {
                    String::from_utf8_lossy(&answer.response.body).to_ascii_lowercase().contains(text)
                }
                Part::Resumed => answer.resumed,
            })
    }

    /// How long it says that the server wants to be left alone.
    pub(super) fn least_wait(&self) -> Option<Duration> {
        match &self.verdict {
            Verdict::WaitFor(wait) => Some(*wait),
            _ => None,
        }
    }

    /// Where it finds a new token.
    pub(super) fn token(&self) -> Option<&JsonPath> {
        match &self.verdict {
            Verdict::ContinueAt(path) => Some(path),
            _ => None,
        }
    }

    /// The paths of the body that it looks at.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.when.0.iter().filter_map(|part| match part {
            Part::Body(path, _) => Some(path.as_str()),
            _ => None,
        })
    }
}

fn same_text(given: &HeaderValue, value: &str) -> bool {
    given.as_bytes().trim_ascii().eq_ignore_ascii_case(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::{HeaderMap, StatusCode};

    use super::super::judge::Rules;
    use super::*;
    use crate::transport::Response;

    fn response(status: u16, body: &'static str) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert("x-reason", HeaderValue::from_static("Throttle"));
        let status = StatusCode::from_u16(status).unwrap();
        Response { status, headers, body: body.into(), received_at: SystemTime::UNIX_EPOCH }
    }

    fn fits(when: When, body: &'static str, resumed: bool) -> bool {
        let rules = Rules::new(vec![when.means(Verdict::Wait)]);
        rules.judge(&response(200, body), resumed).is_some()
    }

    #[test]
    fn every_part_must_hold() {
        let body = r#"{"ok":false,"errors":[{"code":"A"},{"code":606}],"empty":[],"error":"Rate limited"}"#;
        for (when, expected) in [
            (When::any(), true),
            (When::status(200), true),
            (When::status(429), false),
            (When::status_in(200..=299), true),
            (When::status(200).header("X-Reason", "throttle"), true),
            (When::status(200).header("X-Reason", "other"), false),
            (When::any().header_present("X-Reason"), true),
            (When::any().header_present("X-Other"), false),
            (When::any().body("ok", false), true),
            (When::any().body("ok", "false"), true),
            (When::any().body("ok", true), false),
            (When::any().body("errors.*.code", "606"), true),
            (When::any().body("errors.*.code", 606), true),
            (When::any().body("errors.1.code", 606), true),
            (When::any().body("errors.*.code", "B"), false),
            (When::any().body("errors.*.none", "B"), false),
            (When::any().body_present("errors"), true),
            (When::any().body_present("empty"), false),
            (When::any().body_present("none"), false),
            (When::any().body_contains("rate LIMIT"), true),
            (When::any().body_contains("quota"), false),
            (When::any().resumed(), false),
            (When::status(200).body("ok", false).body_contains("quota"), false),
        ] {
            let text = when.to_string();
            assert_eq!(fits(when, body, false), expected, "{text}");
        }
        assert!(fits(When::any().resumed(), body, true));
        assert!(!fits(When::any().body_present("a"), "<html>", true), "a body that is no JSON has no paths");
    }

    #[test]
    fn past_the_end_is_never_the_first_page() {
        let rules = Rules::new(vec![When::status(404).means(Verdict::End)]);
        assert!(rules.judge(&response(404, ""), true).is_some());
        assert!(rules.judge(&response(404, ""), false).is_none());
    }

    #[test]
    fn graphql_errors_are_told_apart() {
        let verdict = |body: &'static str| {
            let rules = Rules::new(Rule::graphql());
            rules.judge(&response(200, body), false).map(|rule| rule.verdict.clone())
        };
        assert_eq!(verdict(r#"{"data":{},"errors":[]}"#), None);
        assert_eq!(verdict(r#"{"data":{}}"#), None);
        assert_eq!(verdict(r#"{"data":null,"errors":[{"message":"x"}]}"#), Some(Verdict::Fail));
        let throttled = r#"{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}]}"#;
        assert_eq!(verdict(throttled), Some(Verdict::Wait));
        assert_eq!(verdict(r#"{"errors":[{"type":"RATE_LIMITED"}]}"#), Some(Verdict::Wait));
    }
}
