//! Airtable.

use std::time::Duration;

use super::account::Account;
use crate::auth::Bearer;
use crate::error::Result;
use crate::exchange::{Verdict, When};
use crate::limit::Limiter;
use crate::paginate::Cursor;
use crate::request::Secret;
use crate::source::SourceBuilder;

/// Airtable: the `offset` of the body is a token, 100 records a page. A token dies after minutes; the source then begins
/// anew, and what it wrote is discarded. Five requests a second for each base; a 429 tells no wait, and means 30 s
/// ("List records", <https://airtable.com/developers/web/api/list-records>; "Rate limits",
/// <https://airtable.com/developers/web/api/rate-limits>).
///
/// ```
/// use headwater::presets::Airtable;
/// let tasks = Airtable::new("pat_token")?.records("tasks", "appHeadwater", "Tasks").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Airtable(Account);

impl Airtable {
    /// Takes a personal access token.
    ///
    /// # Errors
    /// `Config` if it cannot be in a header.
    pub fn new(token: impl Into<Secret>) -> Result<Self> {
        let limiter = Limiter::per_second(5.0);
        Ok(Self(Account::new("https://api.airtable.com", Bearer::new(token)?, limiter)))
    }

    /// Asks another server: a mock.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self(self.0.at(url))
    }

    /// The records of a table, by the ids (or the name) of base and table.
    pub fn records(&self, name: &str, base: &str, table: &str) -> SourceBuilder {
        let table = percent_encoding::utf8_percent_encode(table, percent_encoding::NON_ALPHANUMERIC);
        let gone = When::status(422).body_contains("LIST_RECORDS_ITERATOR_NOT_AVAILABLE");
        self.0
            .get(name, &format!("/v0/{base}/{table}"))
            .query("pageSize", "100")
            .records("records")
            .paginate(Cursor::body("offset").into_query("offset").missing_ends())
            .rule(When::status(429).means(Verdict::WaitFor(Duration::from_secs(30))))
            .rule(gone.means(Verdict::Expired))
            .restart_on_expiry()
    }
}
