//! What is new since the last run.

use serde_json::Value;

use super::SourceBuilder;
use crate::error::Error;
use crate::pages::incremental::Incremental;

impl SourceBuilder {
    /// Pulls only what is new since the last run; see [`Incremental`]. `{since}` and `{until}` in the request stand for
    /// where the run begins and ends.
    pub fn incremental(mut self, rules: Incremental) -> Self {
        self.settings.incremental = Some(rules);
        self
    }

    /// Turns an incremental source into the pull of one range of its own: from `from` up to, and without, `to`. It has a
    /// name of its own, `{name}.backfill`, and with it its own checkpoint and file, so that the mark of the live source
    /// does not move; in its records `__source` is that of the live one. Both may run at once.
    ///
    /// What the live source has pulled of that range already is pulled again.
    ///
    /// A source that is not incremental comes out of [`build`](Self::build) as a `Config` error.
    pub fn backfill(mut self, from: impl Into<Value>, to: impl Into<Value>) -> Self {
        let Some(rules) = self.settings.incremental.take() else {
            return self.change(|_| {
                Err(Error::config("only an incremental source can be backfilled")
                    .advice("say `.incremental(…)` before `.backfill(…)`"))
            });
        };
        self.settings.incremental = Some(rules.range(from.into(), to.into()));
        self.label = Some(self.name.clone());
        self.name.push_str(".backfill");
        self
    }
}
