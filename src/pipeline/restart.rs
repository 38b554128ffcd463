//! A source whose position has expired, begun anew.

use std::sync::Arc;

use super::Event;
use super::commit::CommitBehind;
use super::run::Run;
use super::state::State;
use crate::error::{Error, ErrorKind, Result};
use crate::mark::Mark;
use crate::sink::{Committed, Opening};
use crate::source::Merge;

/// A source that expires again and again does not get further by beginning anew.
const MOST: u32 = 3;

impl Run<'_> {
    /// Begins a source anew if its position has expired and it is declared so; otherwise it has failed.
    pub(super) async fn restart_or_fail(
        &mut self,
        name: &Arc<str>,
        error: Error,
        merge: &mut Merge,
        commit: &mut CommitBehind,
    ) -> Result<()> {
        let restarts = self.sources.get(name).is_some_and(|source| source.restarts_on_expiry());
        let stopping = self.stopping || self.pipeline.shutdown.gentle().is_cancelled();
        if error.kind() != ErrorKind::CursorExpired || !restarts || stopping {
            self.failed(name, error);
            return Ok(());
        }
        // It must not be of an output that is opened again, nor end behind a later epoch.
        self.wait_for(commit).await?;
        match self.begins_anew(name, &error) {
            Some((state, mark)) => self.begin_anew(name, state, mark, merge).await,
            None => {
                self.failed(name, error);
                Ok(())
            }
        }
    }

    /// What a source begins anew with; `None` if that would lead nowhere.
    fn begins_anew(&self, name: &Arc<str>, error: &Error) -> Option<(State, Mark)> {
        let known = self.states.get(name)?;
        if known.restarts >= MOST {
            return None;
        }
        // Of a slice that is held back, pages may have come that nobody has seen.
        let is_first = known.mark.pages == 0 && error.context().page.is_none_or(|page| page <= 1);
        let mark = match is_first {
            // What the last run has kept is what has expired: from the very beginning then.
            true => known.mark.without_token()?,
            false => known.mark.anew(),
        };
        let emptied = self.sink.emptied(&known.sink)?;
        Some((known.anew(mark.clone(), emptied), mark))
    }

    async fn begin_anew(
        &mut self,
        name: &Arc<str>,
        state: State,
        mark: Mark,
        merge: &mut Merge,
    ) -> Result<()> {
        tracing::warn!(source = %name, "the position has expired: the source begins anew");
        // Only a later epoch may go back.
        self.epoch += 1;
        self.store.save(&self.lease, &[state.checkpoint(name, &self.id, self.epoch)]).await?;
        let emptied = state.sink.clone();
        // What is stored is what the report says, whatever fails from here on.
        self.states.insert(name.clone(), Box::new(state));
        let Some(source) = self.sources.get(name) else { return Ok(()) };
        let opening = Opening {
            source: name,
            label: source.label(),
            started_at: self.started_at,
            committed: Committed::Unfinished(&emptied),
            lease: &self.lease,
        };
        let opened = self.sink.open(opening).await?;
        let pulled = source.start(mark, &self.shared)?;
        if let Some(state) = self.states.get_mut(name) {
            (state.sink, state.meter) = (opened, pulled.meter.clone());
        }
        self.pipeline.tell(&Event::Restarted { source: name });
        merge.add(name.clone(), pulled);
        Ok(())
    }
}
