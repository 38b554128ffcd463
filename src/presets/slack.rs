//! Slack.

use super::account::Account;
use crate::auth::Bearer;
use crate::error::Result;
use crate::exchange::{Verdict, When};
use crate::limit::Limiter;
use crate::page::Select;
use crate::paginate::{Cursor, PageNumber};
use crate::request::Secret;
use crate::source::SourceBuilder;

/// Slack: `response_metadata.next_cursor`, empty or left out on the last page; errors come with status 200 and
/// `ok: false`; a limit is a 429 with `Retry-After` ("Pagination", <https://docs.slack.dev/apis/web-api/pagination>; "Rate
/// limits", <https://docs.slack.dev/apis/web-api/rate-limits>).
///
/// ```
/// use headwater::presets::Slack;
/// let slack = Slack::new("xoxb-token")?;
/// let users = slack.list("users", "users.list", "members").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Slack(Account);

impl Slack {
    /// Takes the token of a bot or a user.
    ///
    /// # Errors
    /// `Config` if it cannot be in a header.
    pub fn new(token: impl Into<Secret>) -> Result<Self> {
        Ok(Self(Account::new("https://slack.com/api", Bearer::new(token)?, Limiter::unlimited())))
    }

    /// Asks another server: a mock, or `https://slack-gov.com/api`.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self(self.0.at(url))
    }

    /// A method that pages by cursor, with the path of its records.
    pub fn list(&self, name: &str, method: &str, records: impl Into<Select>) -> SourceBuilder {
        let cursor = Cursor::body("response_metadata.next_cursor").into_query("cursor").missing_ends();
        self.method(name, method).query("limit", "200").records(records).paginate(cursor)
    }

    /// A method that still counts pages (`files.list`), with the path of its records.
    pub fn counted(&self, name: &str, method: &str, records: impl Into<Select>) -> SourceBuilder {
        let pages = PageNumber::new().size("count", 100).until_page_count("paging.pages");
        self.method(name, method).records(records).paginate(pages)
    }

    fn method(&self, name: &str, method: &str) -> SourceBuilder {
        self.0
            .get(name, method)
            .rule(When::any().body("error", "ratelimited").means(Verdict::Wait))
            .rule(When::any().body("error", "internal_error").means(Verdict::Retry))
            .rule(When::any().body("error", "fatal_error").means(Verdict::Retry))
            .rule(When::any().body("error", "service_unavailable").means(Verdict::Retry))
            .rule(When::status(200).body("ok", false).means(Verdict::Fail))
    }
}
