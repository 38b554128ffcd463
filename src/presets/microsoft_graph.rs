//! Microsoft Graph.

use super::account::Account;
use crate::auth::Auth;
use crate::limit::Limiter;
use crate::paginate::{Delta, NextUrl};
use crate::source::SourceBuilder;

/// Microsoft Graph: `@odata.nextLink`, to be asked as it is; pages may be empty. A delta query keeps its
/// `@odata.deltaLink` for the next run, and begins anew where the service asks for it (410). A limit is a 429 with
/// `Retry-After` ("Paging Microsoft Graph data in your app", <https://learn.microsoft.com/graph/paging>; "Use delta query",
/// <https://learn.microsoft.com/graph/delta-query-overview>; "Throttling guidance",
/// <https://learn.microsoft.com/graph/throttling>).
///
/// ```
/// use headwater::auth::OAuth2;
/// use headwater::presets::MicrosoftGraph;
/// let token = "https://login.microsoftonline.com/my-tenant/oauth2/v2.0/token";
/// let auth = OAuth2::client_credentials(token, "client-id", "s3cret")?.scope("https://graph.microsoft.com/.default");
/// let graph = MicrosoftGraph::new(auth);
/// let users = graph.delta("users", "/users/delta").query("$select", "id,mail").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MicrosoftGraph(Account);

impl MicrosoftGraph {
    /// Takes credentials.
    pub fn new(auth: impl Auth + 'static) -> Self {
        Self(Account::new("https://graph.microsoft.com/v1.0", auth, Limiter::unlimited()))
    }

    /// Asks another server: `https://graph.microsoft.us/v1.0`, or `…/beta`.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self(self.0.at(url))
    }

    /// A list.
    pub fn list(&self, name: &str, path: &str) -> SourceBuilder {
        self.0.get(name, path).records("value").paginate(Self::next())
    }

    /// A delta query: all of it in the first run, then what has changed since the last.
    pub fn delta(&self, name: &str, path: &str) -> SourceBuilder {
        let delta = Delta::new(Self::next(), NextUrl::body("/@odata.deltaLink"));
        self.0.get(name, path).records("value").paginate(delta).restart_on_expiry()
    }

    fn next() -> NextUrl {
        NextUrl::body("/@odata.nextLink").missing_ends()
    }
}
