//! Zendesk.

use std::time::Duration;

use super::account::Account;
use crate::auth::{Auth, Basic};
use crate::error::Result;
use crate::limit::Limiter;
use crate::page::Select;
use crate::paginate::{Cursor, Delta, FollowUp};
use crate::request::Secret;
use crate::source::SourceBuilder;

/// Zendesk: a token until `meta.has_more` is false, 100 a page; incremental exports by a token that the next run goes on
/// from, ten requests a minute. A limit is a 429 with `Retry-After` ("Pagination",
/// <https://developer.zendesk.com/api-reference/introduction/pagination/>; "Incremental Exports",
/// <https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/>; "Rate limits",
/// <https://developer.zendesk.com/api-reference/introduction/rate-limits/>).
///
/// ```
/// use headwater::presets::Zendesk;
/// let zendesk = Zendesk::new("your-company", "me@example.com", "api_token")?;
/// let users = zendesk.list("users", "/api/v2/users", "users").build()?;
/// let tickets = zendesk.export("tickets", "tickets", 1_767_225_600).build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Zendesk(Account);

impl Zendesk {
    /// Takes the subdomain (or the host), and an e-mail address with an API token.
    ///
    /// # Errors
    /// `Config` if they cannot be in a header.
    pub fn new(subdomain: &str, email: &str, token: impl Into<Secret>) -> Result<Self> {
        Ok(Self::with(subdomain, Basic::new(format!("{email}/token"), token)?))
    }

    /// Takes other credentials.
    pub fn with(subdomain: &str, auth: impl Auth + 'static) -> Self {
        let account = Account::new(Account::site(subdomain, "zendesk.com"), auth, Limiter::unlimited());
        Self(account.strict(Limiter::quota(10, Duration::from_secs(60))))
    }

    /// A list by cursor, with the path of its records.
    pub fn list(&self, name: &str, path: &str, records: impl Into<Select>) -> SourceBuilder {
        let cursor = Cursor::body("meta.after_cursor").into_query("page[after]").until_false("meta.has_more");
        self.0.get(name, path).query("page[size]", "100").records(records).paginate(cursor)
    }

    /// An incremental export (`tickets`, `users`): what has changed since a time in epoch seconds; the next run goes on
    /// where this one ended.
    pub fn export(&self, name: &str, resource: &str, since: u64) -> SourceBuilder {
        let kept =
            || Cursor::body("after_cursor").into_query("cursor").follow(FollowUp::here().keep(["per_page"]));
        let export = self.0.get(name, &format!("/api/v2/incremental/{resource}/cursor.json"));
        self.0
            .strictly(export)
            .query("start_time", since.to_string())
            .query("per_page", "1000")
            .records(resource)
            .paginate(Delta::new(kept().until_true("end_of_stream"), kept()))
    }
}
