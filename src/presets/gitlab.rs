//! GitLab.

use super::account::Account;
use crate::auth::ApiKey;
use crate::error::Result;
use crate::limit::Limiter;
use crate::paginate::LinkHeader;
use crate::request::Secret;
use crate::source::SourceBuilder;

/// GitLab: `Link` headers, by the number of the page or by the key of a record; a limit is a 429 with `RateLimit-*` and
/// `Retry-After` ("REST API", "Pagination", <https://docs.gitlab.com/api/rest/>; "Rate limits",
/// <https://docs.gitlab.com/security/rate_limits/>).
///
/// ```
/// use headwater::presets::GitLab;
/// let gitlab = GitLab::new("glpat-token")?;
/// let issues = gitlab.list("issues", "/projects/9/issues").query("scope", "all").build()?;
/// let projects = gitlab.keyset("projects", "/projects").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct GitLab(Account);

impl GitLab {
    /// Takes a personal, project or group access token.
    ///
    /// # Errors
    /// `Config` if it cannot be in a header.
    pub fn new(token: impl Into<Secret>) -> Result<Self> {
        let auth = ApiKey::header("PRIVATE-TOKEN", token)?;
        Ok(Self(Account::new("https://gitlab.com/api/v4", auth, Limiter::unlimited())))
    }

    /// Asks another server: `https://gitlab.example.com/api/v4`.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self(self.0.at(url))
    }

    /// A list by the number of the page. Some end at 50,000 rows: pull those by key, where the list can.
    pub fn list(&self, name: &str, path: &str) -> SourceBuilder {
        self.0.get(name, path).query("per_page", "100").records("").paginate(LinkHeader::new())
    }

    /// A list by key, in the order of ids, for those that can (projects, users and others).
    pub fn keyset(&self, name: &str, path: &str) -> SourceBuilder {
        let keyset = self.list(name, path).query("pagination", "keyset");
        keyset.query("order_by", "id").query("sort", "asc")
    }
}
