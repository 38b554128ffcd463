//! Notion.

use serde_json::json;

use super::account::Account;
use crate::auth::Bearer;
use crate::error::Result;
use crate::exchange::{Verdict, When};
use crate::limit::Limiter;
use crate::paginate::Cursor;
use crate::request::Secret;
use crate::source::SourceBuilder;

/// Notion: `next_cursor` while `has_more`, 100 a page, three requests a second. A query of a data source stops at 10,000
/// rows, with `has_more: false`; that some were left out is said in `request_status` only. Then it is an error of kind
/// `Truncated`, or, with a window, halved ("Pagination", <https://developers.notion.com/reference/intro>; "Request limits",
/// <https://developers.notion.com/reference/request-limits>; "Query large data sources").
///
/// ```
/// use headwater::presets::Notion;
/// let users = Notion::new("ntn_token")?.list("users", "/users").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Notion(Account);

impl Notion {
    /// Takes the secret of an integration.
    ///
    /// # Errors
    /// `Config` if it cannot be in a header.
    pub fn new(token: impl Into<Secret>) -> Result<Self> {
        Ok(Self(Account::new("https://api.notion.com/v1", Bearer::new(token)?, Limiter::per_second(3.0))))
    }

    /// Asks another server: a mock.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self(self.0.at(url))
    }

    /// A list that is asked for by GET.
    pub fn list(&self, name: &str, path: &str) -> SourceBuilder {
        Self::versioned(self.0.get(name, path))
            .query("page_size", "100")
            .paginate(Cursor::body("next_cursor").into_query("start_cursor").until_false("has_more"))
    }

    /// The pages of a data source; a filter goes in with `json`.
    pub fn query(&self, name: &str, data_source: &str) -> SourceBuilder {
        Self::versioned(self.0.post(name, &format!("/data_sources/{data_source}/query")))
            .json(json!({ "page_size": 100 }))
            .paginate(Cursor::body("next_cursor").into_body("start_cursor").until_false("has_more"))
            .ceiling(10_000)
            .rule(When::any().body("request_status.type", "incomplete").means(Verdict::TooMany))
    }

    fn versioned(source: SourceBuilder) -> SourceBuilder {
        source.header("Notion-Version", "2025-09-03").records("results")
    }
}
