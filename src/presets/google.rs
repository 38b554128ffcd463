//! Google's APIs.

use super::account::Account;
use crate::auth::Auth;
use crate::exchange::{Verdict, When};
use crate::limit::Limiter;
use crate::page::Select;
use crate::paginate::{Cursor, Delta};
use crate::source::SourceBuilder;

/// Google's APIs as AIP-158 has them (Drive, Gmail, Calendar, Admin, YouTube …): `pageToken` and `nextPageToken`, whose
/// absence is the only end; pages may be short or empty. A limit is a 429, or a 403 with a reason
/// (AIP-158, <https://google.aip.dev/158>; "Usage limits", <https://developers.google.com/drive/api/guides/limits>).
///
/// ```
/// use headwater::auth::Bearer;
/// use headwater::presets::Google;
/// let google = Google::new(Bearer::new("ya29.token")?);
/// let files = google.list("files", "https://www.googleapis.com/drive/v3/files", "files").build()?;
/// let events = google.events("events", "primary").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Google(Account);

impl Google {
    /// Takes credentials: [`JwtGrant`](crate::auth) for a service account (feature `jwt`),
    /// [`OAuth2`](crate::auth::OAuth2) for a user, [`ApiKey::query`](crate::auth::ApiKey::query) with `key` for public
    /// data.
    pub fn new(auth: impl Auth + 'static) -> Self {
        let account = Account::new("https://www.googleapis.com", auth, Limiter::unlimited());
        Self(account.family("googleapis.com"))
    }

    /// Asks another server, a mock: then lists go by their paths, and the credentials to no host of Google's.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self(self.0.at(url))
    }

    /// A list, by its URL at any host of googleapis.com (or its path at www.googleapis.com), with the path of its records. A
    /// search of several drives that could not search them all is an error, if `incompleteSearch` is among the `fields` that
    /// are asked for.
    pub fn list(&self, name: &str, url: &str, records: impl Into<Select>) -> SourceBuilder {
        self.source(name, url, records).paginate(Self::token())
    }

    /// The events of a calendar. The next run asks for what has changed since, by the sync token of this one; a token
    /// that is too old (410) begins the source anew ("Synchronize resources efficiently",
    /// <https://developers.google.com/calendar/api/guides/sync>).
    pub fn events(&self, name: &str, calendar: &str) -> SourceBuilder {
        let calendar = percent_encoding::utf8_percent_encode(calendar, percent_encoding::NON_ALPHANUMERIC);
        let next = Cursor::body("nextSyncToken").into_query("syncToken");
        self.source(name, &format!("/calendar/v3/calendars/{calendar}/events"), "items")
            .query("singleEvents", "true")
            .paginate(Delta::new(Self::token(), next))
            .restart_on_expiry()
    }

    fn token() -> Cursor {
        Cursor::body("nextPageToken").into_query("pageToken").missing_ends()
    }

    fn source(&self, name: &str, url: &str, records: impl Into<Select>) -> SourceBuilder {
        let limited =
            |reason: &str| When::status(403).body("error.errors.*.reason", reason).means(Verdict::Wait);
        let reasons = ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"];
        let incomplete = When::any().body("incompleteSearch", true).means(Verdict::TooMany);
        self.0.get(name, url).records(records).rules(reasons.map(limited)).rule(incomplete)
    }
}
