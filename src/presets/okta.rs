//! Okta.

use super::account::Account;
use crate::auth::{ApiKey, Auth};
use crate::error::Result;
use crate::limit::Limiter;
use crate::paginate::{End, LinkHeader};
use crate::request::Secret;
use crate::source::SourceBuilder;

/// Okta: `Link` headers, in several lines; `X-Rate-Limit-*` with a reset in epoch seconds. The system log always has a
/// next link: a page without events is its end ("System Log",
/// <https://developer.okta.com/docs/api/openapi/okta-management/management/tags/systemlog>; "Rate limit best practices",
/// <https://developer.okta.com/docs/reference/rl-best-practices/>).
///
/// ```
/// use headwater::presets::Okta;
/// let okta = Okta::new("acme.okta.com", "00token")?;
/// let users = okta.list("users", "/api/v1/users").build()?;
/// let log = okta.system_log("log").query("since", "2026-01-01T00:00:00Z").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Okta(Account);

impl Okta {
    /// Takes the domain and an API token (`SSWS`).
    ///
    /// # Errors
    /// `Config` if it cannot be in a header.
    pub fn new(domain: &str, token: impl Into<Secret>) -> Result<Self> {
        Ok(Self::with(domain, ApiKey::scheme("SSWS", token)?))
    }

    /// Takes other credentials, [`OAuth2`](crate::auth::OAuth2) say.
    pub fn with(domain: &str, auth: impl Auth + 'static) -> Self {
        Self(Account::new(Account::site(domain, "okta.com"), auth, Limiter::unlimited()))
    }

    /// A list, 200 a page.
    pub fn list(&self, name: &str, path: &str) -> SourceBuilder {
        self.0.get(name, path).query("limit", "200").records("").paginate(LinkHeader::new())
    }

    /// The events of the system log up to now, 1,000 a page.
    pub fn system_log(&self, name: &str) -> SourceBuilder {
        let until_empty = LinkHeader::new().until(End::empty_page());
        self.0.get(name, "/api/v1/logs").query("limit", "1000").records("").paginate(until_empty)
    }
}
