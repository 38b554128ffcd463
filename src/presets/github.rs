//! GitHub.

use std::time::Duration;

use super::account::Account;
use crate::auth::{Auth, Bearer};
use crate::error::Result;
use crate::exchange::{Verdict, When};
use crate::limit::Limiter;
use crate::paginate::{Cursor, LinkHeader};
use crate::request::Secret;
use crate::retry::RetryPolicy;
use crate::source::SourceBuilder;

/// Its windows are an hour long.
const HOUR: Duration = Duration::from_secs(3600);

/// GitHub: `Link` headers for lists, 100 a page; a limit is a 403 or a 429, and its window an hour, which is waited for
/// ("Using pagination in the REST API",
/// <https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>; "Rate limits for the REST API",
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>). All sources share one limiter that
/// goes by what the server says.
///
/// ```
/// use headwater::presets::GitHub;
/// use headwater::pages::Window;
/// let github = GitHub::new("ghp_token")?;
/// let issues = github.list("issues", "/repos/tokio-rs/tokio/issues").query("state", "all").build()?;
/// let found = github
///     .search("found", "/search/issues")
///     .query("q", "repo:tokio-rs/tokio created:{start}..{end}")
///     .window(Window::time("2020-01-01", "2026-01-01").inclusive_end())
///     .build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct GitHub(Account);

impl GitHub {
    /// Takes a token.
    ///
    /// # Errors
    /// `Config` if it cannot be in a header.
    pub fn new(token: impl Into<Secret>) -> Result<Self> {
        Ok(Self::with(Bearer::new(token)?))
    }

    /// Takes other credentials.
    pub fn with(auth: impl Auth + 'static) -> Self {
        Self(Account::new("https://api.github.com", auth, Limiter::unlimited().max_wait(HOUR)))
    }

    /// Asks another server: `https://github.example.com/api/v3` of an Enterprise Server.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self(self.0.at(url))
    }

    /// A list of the REST API. Its records are the page itself; some lists have them in a field: say so with `records`.
    pub fn list(&self, name: &str, path: &str) -> SourceBuilder {
        self.rest(name, path).records("").paginate(LinkHeader::new())
    }

    /// A search: it hands out a thousand rows, however many it finds, so that it needs a
    /// [`window`](SourceBuilder::window). One that took too long and gives what it had found by then (`incomplete_results`) is
    /// asked for again ("REST API endpoints for search", "Timeouts and incomplete results",
    /// <https://docs.github.com/en/rest/search/search>).
    pub fn search(&self, name: &str, path: &str) -> SourceBuilder {
        self.rest(name, path)
            .records("items")
            .paginate(LinkHeader::new())
            .ceiling(1000)
            .total_at("total_count")
            .rule(When::any().body("incomplete_results", true).means(Verdict::Retry))
    }

    /// A connection of the GraphQL API, at this path of the answer (`data.repository.issues`). The query has a variable
    /// `$after`, and asks for `nodes` and for `pageInfo { hasNextPage endCursor }` ("Using pagination in the GraphQL API",
    /// <https://docs.github.com/en/graphql/guides/using-pagination-in-the-graphql-api>).
    pub fn graphql(&self, name: &str, query: &str, connection: &str) -> SourceBuilder {
        let cursor = Cursor::body(format!("{connection}.pageInfo.endCursor")).into_body("variables.after");
        self.0
            .graphql(name, "/graphql", query)
            .records(format!("{connection}.nodes"))
            .paginate(cursor.until_false(&format!("{connection}.pageInfo.hasNextPage")))
            .retry(RetryPolicy::exponential().max_wait(HOUR))
    }

    fn rest(&self, name: &str, path: &str) -> SourceBuilder {
        self.0
            .get(name, path)
            .header("Accept", "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .query("per_page", "100")
            .retry(RetryPolicy::exponential().max_wait(HOUR))
    }
}
