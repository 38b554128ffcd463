//! How far one source has come in this run.

use std::ops::Add;

use chrono::Utc;
use tokio::time::Instant;

use super::report::{Outcome, SourceReport};
use crate::checkpoint::{Checkpoint, Definition, SinkState};
use crate::error::Error;
use crate::mark::Mark;
use crate::meter::{Counts, Meter};
use crate::paginate::Consistency;
use crate::sink::Sink;

/// How far a source has come.
pub(super) struct State {
    definition: Definition,
    consistency: Consistency,
    pub(super) meter: Meter,
    /// Those of the streams that ended when it began anew: what they asked was asked.
    earlier: Vec<Meter>,
    /// Behind what was written, and how many records that is.
    pub(super) mark: Mark,
    pub(super) records: u64,
    /// The same as it was committed, and whether that was the end.
    committed_pages: u64,
    committed_records: u64,
    is_finished: bool,
    pub(super) sink: SinkState,
    resumed_records: u64,
    /// How often it has begun anew.
    pub(super) restarts: u32,
    /// So many streams of it have yet to say that they ended.
    pub(super) stale: u32,
    pub(super) error: Option<Error>,
    pub(super) ended: Option<Instant>,
    /// Whether the next commit is for it, too: something was written since the last one began, or is to be settled.
    pub(super) dirty: bool,
    /// Whether all its pages are committed, and its sink had something left to do.
    pub(super) is_settling: bool,
}

impl State {
    /// Stands where the last run has left it.
    pub(super) fn new(
        definition: Definition,
        consistency: Consistency,
        mark: Mark,
        records: u64,
        sink: SinkState,
    ) -> Self {
        Self {
            definition,
            consistency,
            meter: Meter::new(),
            earlier: Vec::new(),
            committed_pages: mark.pages,
            is_finished: mark.is_end(),
            mark,
            records,
            committed_records: records,
            sink,
            resumed_records: records,
            restarts: 0,
            stale: 0,
            error: None,
            ended: None,
            dirty: false,
            is_settling: false,
        }
    }

    /// The same source, which begins anew.
    pub(super) fn anew(&self, mark: Mark, sink: SinkState) -> Self {
        let anew = Self::new(self.definition.clone(), self.consistency, mark, 0, sink);
        let earlier = self.meters().cloned().collect();
        Self { restarts: self.restarts + 1, stale: self.stale + 1, earlier, ..anew }
    }

    fn meters(&self) -> impl Iterator<Item = &Meter> {
        self.earlier.iter().chain([&self.meter])
    }

    /// What all its streams have counted in this process.
    pub(super) fn counts(&self) -> Counts {
        self.meters().map(Meter::counts).fold(Counts::default(), Add::add)
    }

    /// What is stored of it.
    pub(super) fn checkpoint(&self, source: &str, run: &str, epoch: u64) -> Checkpoint {
        Checkpoint {
            source: source.to_owned(),
            run: run.to_owned(),
            epoch,
            mark: self.mark.clone(),
            records: self.records,
            sink: self.sink.clone(),
            definition: self.definition.clone(),
            saved_at: Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }

    /// So much of it is committed.
    pub(super) fn committed(&mut self, stored: Checkpoint) {
        (self.committed_pages, self.committed_records) = (stored.mark.pages, stored.records);
        (self.is_finished, self.sink) = (stored.is_finished(), stored.sink);
    }

    /// What the run's report says of it.
    pub(super) fn report(&self, source: &str, began: Instant, sink: &dyn Sink) -> SourceReport {
        let outcome = match &self.error {
            Some(_) => Outcome::Failed,
            // A mark that was not committed is worth nothing.
            None if self.is_finished && sink.is_settled(&self.sink) => Outcome::Finished,
            None => Outcome::Stopped,
        };
        let rejected = sink.rejected(&self.sink);
        SourceReport {
            source: source.to_owned(),
            outcome,
            error: self.error.as_ref().map(ToString::to_string),
            records: self.committed_records,
            written: self.committed_records.saturating_sub(rejected),
            rejected,
            resumed_records: self.resumed_records,
            pages: self.committed_pages,
            counts: self.counts(),
            duration: self.ended.unwrap_or_else(Instant::now) - began,
            consistency: self.consistency,
            output: sink.location(&self.sink),
            warnings: self.meters().flat_map(Meter::warnings).collect(),
        }
    }
}
