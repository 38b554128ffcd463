//! Intercom.

use std::time::Duration;

use serde_json::{Value, json};

use super::account::Account;
use crate::auth::Bearer;
use crate::error::Result;
use crate::exchange::{Verdict, When};
use crate::limit::Limiter;
use crate::paginate::{Cursor, End};
use crate::request::Secret;
use crate::source::SourceBuilder;

/// Intercom: a token in `pages.next.starting_after`, sent in the query of a list and deep in the body of a search; companies
/// beyond 10,000 by a scroll ("Pagination",
/// <https://developers.intercom.com/docs/build-an-integration/learn-more/rest-apis/pagination/>; "Rate Limiting",
/// <https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting>).
///
/// ```
/// use headwater::presets::Intercom;
/// let contacts = Intercom::new("dG9rOg")?.list("contacts", "/contacts").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Intercom(Account);

impl Intercom {
    /// Takes an access token.
    ///
    /// # Errors
    /// `Config` if it cannot be in a header.
    pub fn new(token: impl Into<Secret>) -> Result<Self> {
        Ok(Self(Account::new("https://api.intercom.io", Bearer::new(token)?, Limiter::unlimited())))
    }

    /// Asks another server: `https://api.eu.intercom.io`, `https://api.au.intercom.io`.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self(self.0.at(url))
    }

    /// A list, 150 a page.
    pub fn list(&self, name: &str, path: &str) -> SourceBuilder {
        let token = Cursor::body("pages.next.starting_after").into_query("starting_after").missing_ends();
        Self::versioned(self.0.get(name, path)).query("per_page", "150").records("data").paginate(token)
    }

    /// A search (`/contacts/search`), with its `query`.
    pub fn search(&self, name: &str, path: &str, query: &Value) -> SourceBuilder {
        let token = Cursor::body("pages.next.starting_after").into_body("pagination.starting_after");
        Self::versioned(self.0.post(name, path))
            .json(json!({ "query": query, "pagination": { "per_page": 150 } }))
            .records("data")
            .paginate(token.missing_ends())
    }

    /// All companies, by a scroll: one at a time for each app, and its token is the same on every page. Intercom keeps the
    /// place, so a lost answer or a run that broke off makes the source begin anew. The scroll that was open ends when
    /// nobody has used it for a minute; until then another one is refused (`scroll_exists`), and waited for.
    pub fn companies(&self, name: &str) -> SourceBuilder {
        Self::versioned(self.0.get(name, "/companies/scroll"))
            .records("data")
            .paginate(Cursor::body("scroll_param").into_query("scroll_param").until(End::empty_page()))
            .scrolls()
            .restart_on_expiry()
            .rule(
                When::status(400)
                    .body_contains("scroll_exists")
                    .means(Verdict::WaitFor(Duration::from_secs(60))),
            )
    }

    fn versioned(source: SourceBuilder) -> SourceBuilder {
        source.header("Intercom-Version", "2.13")
    }
}
