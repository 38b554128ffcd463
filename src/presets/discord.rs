//! Discord.

use std::time::Duration;

use super::account::Account;
use crate::auth::ApiKey;
use crate::error::Result;
use crate::hints::{At, Signal, Unit};
use crate::limit::Limiter;
use crate::page::Select;
use crate::paginate::Cursor;
use crate::request::Secret;
use crate::source::SourceBuilder;

/// Discord: the next page begins at the last record's id; a page without records is the end. Fifty requests a second; a
/// 429 says in its body, to the millisecond, how long to wait ("Rate Limits",
/// <https://docs.discord.com/developers/topics/rate-limits>).
///
/// ```
/// use headwater::presets::Discord;
/// let messages = Discord::bot("MTk4.token")?.messages("messages", "41771983423143937").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Discord(Account);

impl Discord {
    /// Takes the token of a bot.
    ///
    /// # Errors
    /// `Config` if it cannot be in a header.
    pub fn bot(token: impl Into<Secret>) -> Result<Self> {
        let limiter = Limiter::quota(50, Duration::from_secs(1));
        Ok(Self(Account::new("https://discord.com/api/v10", ApiKey::scheme("Bot", token)?, limiter)))
    }

    /// Asks another server: a mock, or another version of the API (`https://discord.com/api/v9`).
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self(self.0.at(url))
    }

    /// The messages of a channel, the youngest first.
    pub fn messages(&self, name: &str, channel: &str) -> SourceBuilder {
        self.before(name, &format!("/channels/{channel}/messages"), "").query("limit", "100")
    }

    /// The members of a guild.
    pub fn members(&self, name: &str, guild: &str) -> SourceBuilder {
        self.source(name, &format!("/guilds/{guild}/members"))
            .query("limit", "1000")
            .records("")
            .paginate(Cursor::last_record("user.id").into_query("after"))
    }

    /// A list that goes backwards by `before`, and the id of its last record.
    pub fn before(&self, name: &str, path: &str, records: impl Into<Select>) -> SourceBuilder {
        self.source(name, path).records(records).paginate(Cursor::last_record("id").into_query("before"))
    }

    fn source(&self, name: &str, path: &str) -> SourceBuilder {
        self.0.get(name, path).signal(Signal::wait(At::body("retry_after"), Unit::Seconds))
    }
}
