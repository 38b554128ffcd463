//! What answers mean.

use super::SourceBuilder;
use crate::exchange::Rule;

impl SourceBuilder {
    /// Declares what an answer means where its status does not say. The first rule that fits counts, before the status:
    ///
    /// ```
    /// use headwater::exchange::{Verdict, When};
    /// use headwater::{Source, paginate::Cursor};
    /// let channels = Source::get("channels", "https://slack.com/api/conversations.list")
    ///     .records("channels")
    ///     .paginate(Cursor::body("response_metadata.next_cursor").missing_ends())
    ///     .rule(When::status(200).body("error", "ratelimited").means(Verdict::Wait))
    ///     .rule(When::status(200).body("ok", false).means(Verdict::Fail))
    ///     .build()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn rule(mut self, rule: Rule) -> Self {
        self.settings.rules.push(rule);
        self
    }

    /// Declares several rules; see [`rule`](Self::rule).
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.settings.rules.extend(rules);
        self
    }

    /// Asks for the first page only if it has changed since the last run; see
    /// [`Pages::conditional`](crate::Pages::conditional).
    pub fn conditional(mut self) -> Self {
        self.settings.conditional = true;
        self
    }

    /// Begins the source anew when its position has expired (410, an answer that says so, or a rule's
    /// [`Expired`](crate::exchange::Verdict::Expired)): from where the run began, or, if that is what has expired, from
    /// the very beginning; the mark of an incremental source stands. What it wrote in this run is discarded by the sink,
    /// so that nothing is there twice. A run does so three times at most. The default is an error of kind `CursorExpired`.
    ///
    /// Airtable's iterators end after minutes, Plaid's pages must be read from the first again when the data change.
    pub fn restart_on_expiry(mut self) -> Self {
        self.restart_on_expiry = true;
        self
    }
}
