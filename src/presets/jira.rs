//! Jira Cloud.

use super::account::Account;
use crate::auth::{Auth, Basic};
use crate::error::Result;
use crate::limit::Limiter;
use crate::page::Select;
use crate::paginate::{Cursor, Offset};
use crate::request::Secret;
use crate::source::SourceBuilder;

/// Jira Cloud: searches by a token, which is left out on the last page; older lists by an offset that moves on by the rows
/// received, for the server takes the size into its own hands ("Issue search",
/// <https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/>; "Pagination",
/// <https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/>; "Rate limiting",
/// <https://developer.atlassian.com/cloud/jira/platform/rate-limiting/>).
///
/// ```
/// use headwater::presets::Jira;
/// let jira = Jira::new("your-company", "me@example.com", "api_token")?;
/// let issues = jira.search("issues", "project = HW ORDER BY id", "*navigable").build()?;
/// let projects = jira.list("projects", "/rest/api/3/project/search", "values").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Jira(Account);

impl Jira {
    /// Takes the site (`your-company`, `jira.example.com`, or a URL), and an e-mail address with its API token.
    ///
    /// # Errors
    /// `Config` if they cannot be in a header.
    pub fn new(site: &str, email: impl Into<Secret>, token: impl Into<Secret>) -> Result<Self> {
        Ok(Self::with(site, Basic::new(email, token)?))
    }

    /// Takes other credentials.
    pub fn with(site: &str, auth: impl Auth + 'static) -> Self {
        Self(Account::new(Account::site(site, "atlassian.net"), auth, Limiter::unlimited()))
    }

    /// The issues that a JQL query finds, with these fields.
    pub fn search(&self, name: &str, jql: &str, fields: &str) -> SourceBuilder {
        self.0
            .get(name, "/rest/api/3/search/jql")
            .query("jql", jql)
            .query("fields", fields)
            .query("maxResults", "5000")
            .records("issues")
            .paginate(Cursor::body("nextPageToken").into_query("nextPageToken").until_true("isLast"))
    }

    /// A list that has `startAt` and `isLast`, with the path of its records.
    pub fn list(&self, name: &str, path: &str, records: impl Into<Select>) -> SourceBuilder {
        let offset = Offset::new(100).offset_param("startAt").limit_param("maxResults").until_true("isLast");
        self.0.get(name, path).records(records).paginate(offset)
    }
}
