//! Stripe.

use std::time::Duration;

use super::account::Account;
use crate::auth::Bearer;
use crate::error::Result;
use crate::limit::Limiter;
use crate::paginate::{Cursor, NextUrl};
use crate::request::Secret;
use crate::source::SourceBuilder;

/// Stripe: the last object's id while `has_more`, 100 a page; a token for searches; links in v2. Twenty-five requests a
/// second for each endpoint, and for test keys in all: more are not asked for; a 429 tells no wait, and is retried with
/// back-off ("Pagination", <https://docs.stripe.com/api/pagination>; "Rate limits", <https://docs.stripe.com/rate-limits>).
///
/// ```
/// use headwater::presets::Stripe;
/// let stripe = Stripe::new("sk_test_key")?;
/// let invoices = stripe.list("invoices", "/v1/invoices").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Stripe(Account);

impl Stripe {
    /// Takes a secret or a restricted key.
    ///
    /// # Errors
    /// `Config` if it cannot be in a header.
    pub fn new(key: impl Into<Secret>) -> Result<Self> {
        let limiter = Limiter::quota(25, Duration::from_secs(1));
        let account = Account::new("https://api.stripe.com", Bearer::new(key)?, limiter);
        Ok(Self(account.strict(Limiter::per_second(20.0))))
    }

    /// Asks another server: a mock.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self(self.0.at(url))
    }

    /// A list of v1, the newest first.
    pub fn list(&self, name: &str, path: &str) -> SourceBuilder {
        self.v1(name, path)
            .paginate(Cursor::last_record("id").into_query("starting_after").until_false("has_more"))
    }

    /// A search of v1 (`/v1/customers/search`), 20 a second; what was written in the last minute may not be in it.
    pub fn search(&self, name: &str, path: &str, query: &str) -> SourceBuilder {
        self.0
            .strictly(self.v1(name, path))
            .query("query", query)
            .paginate(Cursor::body("next_page").into_query("page").until_false("has_more"))
    }

    /// A list of v2, in the version of the API that is given.
    pub fn v2(&self, name: &str, path: &str, version: &str) -> SourceBuilder {
        self.v1(name, path).header("Stripe-Version", version).paginate(NextUrl::body("next_page_url"))
    }

    fn v1(&self, name: &str, path: &str) -> SourceBuilder {
        self.0.get(name, path).query("limit", "100").records("data")
    }
}
