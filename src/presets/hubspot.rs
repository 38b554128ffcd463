//! HubSpot.

use std::time::Duration;

use super::account::Account;
use crate::auth::{Auth, Bearer};
use crate::error::Result;
use crate::limit::Limiter;
use crate::paginate::Cursor;
use crate::request::Secret;
use crate::source::SourceBuilder;

/// HubSpot: a token in `paging.next.after`, 100 a page, 200 for searches, which end at 10,000 rows. A hundred requests in
/// ten seconds, four searches a second ("API usage guidelines",
/// <https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines>; "Search the CRM",
/// <https://developers.hubspot.com/docs/api-reference/2026-03/crm/search-the-crm>).
///
/// ```
/// use headwater::presets::HubSpot;
/// let contacts = HubSpot::new("pat-token")?.list("contacts", "/crm/v3/objects/contacts").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HubSpot(Account);

impl HubSpot {
    /// Takes the token of a private app.
    ///
    /// # Errors
    /// `Config` if it cannot be in a header.
    pub fn new(token: impl Into<Secret>) -> Result<Self> {
        Ok(Self::with(Bearer::new(token)?))
    }

    /// Takes other credentials, [`OAuth2`](crate::auth::OAuth2) say.
    pub fn with(auth: impl Auth + 'static) -> Self {
        let limiter = Limiter::quota(100, Duration::from_secs(10));
        let account = Account::new("https://api.hubapi.com", auth, limiter);
        Self(account.strict(Limiter::per_second(4.0)))
    }

    /// Asks another server: a mock.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self(self.0.at(url))
    }

    /// A list.
    pub fn list(&self, name: &str, path: &str) -> SourceBuilder {
        self.0
            .get(name, path)
            .query("limit", "100")
            .records("results")
            .paginate(Cursor::body("paging.next.after").into_query("after").missing_ends())
    }

    /// A search, whose filters go in with `json`: it ends at 10,000 rows, so that it needs a
    /// [`window`](SourceBuilder::window) over a property that is sorted by.
    pub fn search(&self, name: &str, object: &str) -> SourceBuilder {
        let search = self.0.post(name, &format!("/crm/v3/objects/{object}/search"));
        self.0
            .strictly(search)
            .json(serde_json::json!({ "limit": 200 }))
            .records("results")
            .paginate(Cursor::body("paging.next.after").into_body("after").missing_ends())
            .ceiling(10_000)
            .total_at("total")
    }
}
