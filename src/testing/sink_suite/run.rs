//! A run of a sink, whose calls are made one by one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use futures::future::poll_immediate;

use super::pages::Listing;
use super::{Held, Wrong, wrong};
use crate::checkpoint::{Checkpoint, CheckpointStore, Definition, Lease, SinkState};
use crate::error::{Error, Result};
use crate::mark::Mark;
use crate::records::Batch;
use crate::sink::{Committed, Committing, Opening, Sink, SinkStates};

/// A run of a sink, held in hand.
pub(super) struct Run {
    pub(super) sink: Box<dyn Sink>,
    pub(super) store: Arc<dyn CheckpointStore>,
    pub(super) lease: Lease,
    pub(super) epoch: u64,
    pub(super) run: String,
    pub(super) started_at: SystemTime,
    pub(super) sources: BTreeMap<String, Written>,
}

/// How far a source was written.
pub(super) struct Written {
    pub(super) mark: Mark,
    pub(super) records: u64,
    pub(super) state: SinkState,
    /// Whether a commit has to give its state.
    pub(super) is_dirty: bool,
}

/// A commit that was begun.
pub(super) struct Begun {
    whole: Option<Result<SinkStates>>,
    committing: Committing,
    checkpoints: Vec<Checkpoint>,
}

impl Begun {
    /// Whether more may be written before it is over.
    pub(super) fn is_on_its_way(&self) -> bool {
        self.whole.is_none()
    }

    /// Waits until it is durable, and gives the checkpoints that are to be stored.
    pub(super) async fn durable(self) -> Result<Vec<Checkpoint>, Wrong> {
        let states = match self.whole {
            Some(states) => states,
            None => self.committing.await,
        };
        let states = states.map_err(|error| Wrong::from(error).at("committing"))?;
        let mut checkpoints = self.checkpoints;
        for checkpoint in &mut checkpoints {
            let state = states.iter().find(|(source, _)| **source == *checkpoint.source);
            let Some((source, state)) = state else {
                let what = format!("the commit gave no state of {}, which was written", checkpoint.source);
                return Err(wrong(what));
            };
            if states.iter().filter(|(other, _)| other == source).count() > 1 {
                return Err(wrong(format!("the commit gave more than one state of {source}")));
            }
            checkpoint.sink = state.clone();
        }
        Ok(checkpoints)
    }
}

impl Run {
    pub(super) async fn open_all(&mut self, sources: &[(&str, Option<Checkpoint>)], is_over: bool) -> Held {
        let openings = sources.iter().map(|(source, last)| {
            let committed = match last {
                None => Committed::Nothing,
                Some(last) if is_over => Committed::Finished(&last.sink),
                Some(last) => Committed::Unfinished(&last.sink),
            };
            Opening { source, label: source, started_at: self.started_at, committed, lease: &self.lease }
        });
        let opened =
            self.sink.open_all(openings.collect()).await.map_err(|error| Wrong::from(error).at("opening"))?;
        if opened.len() != sources.len() {
            return Err(wrong(format!(
                "{} states for {} sources that were opened",
                opened.len(),
                sources.len()
            )));
        }
        for ((source, _), state) in sources.iter().zip(opened) {
            self.written(source)?.state = state;
        }
        let first: Result<Vec<Checkpoint>, Wrong> =
            sources.iter().map(|(source, _)| self.checkpoint(source)).collect();
        Ok(self.store.save(&self.lease, &first?).await?)
    }

    /// Opens one source again, with another state, as the first of a new epoch.
    pub(super) async fn begin_anew(&mut self, source: &str, state: SinkState, crash_before: bool) -> Held {
        self.epoch += 1;
        let written = self.written(source)?;
        (written.mark, written.records, written.is_dirty) = (Mark::start(), 0, false);
        written.state = state.clone();
        let checkpoint = self.checkpoint(source)?;
        self.store.save(&self.lease, &[checkpoint]).await?;
        if crash_before {
            return Ok(());
        }
        let committed = Committed::Unfinished(&state);
        let opening =
            Opening { source, label: source, started_at: self.started_at, committed, lease: &self.lease };
        let opened = self.sink.open(opening).await?;
        self.written(source)?.state = opened;
        Ok(())
    }

    fn written(&mut self, source: &str) -> Result<&mut Written, Wrong> {
        self.sources.get_mut(source).ok_or_else(|| wrong(format!("{source} is not in this run")))
    }

    fn checkpoint(&mut self, source: &str) -> Result<Checkpoint, Wrong> {
        let (run, epoch) = (self.run.clone(), self.epoch);
        let written = self.written(source)?;
        Ok(Checkpoint {
            source: source.to_owned(),
            run,
            epoch,
            mark: written.mark.clone(),
            records: written.records,
            sink: written.state.clone(),
            definition: Definition::new().with("suite", "sink"),
            saved_at: "2027-01-15T08:00:00Z".into(),
        })
    }

    /// How many pages of a source were written, in all its runs that go on from one another.
    pub(super) fn pages(&self, source: &str) -> u64 {
        self.sources.get(source).map_or(0, |written| written.mark.pages)
    }

    pub(super) fn state(&self, source: &str) -> SinkState {
        self.sources.get(source).map_or_else(SinkState::default, |written| written.state.clone())
    }

    pub(super) fn rejected(&self, source: &str) -> u64 {
        self.sink.rejected(&self.state(source))
    }

    /// Writes a page.
    pub(super) async fn write(&mut self, source: &str, batch: &Batch) -> Held {
        let failed = |error: Error| Wrong::from(error).at(format!("writing a page of {source}"));
        self.sink.write(source, batch).await.map_err(failed)?;
        if batch.is_last() {
            self.sink.finish(source).await.map_err(failed)?;
        }
        let written = self.written(source)?;
        written.mark = batch.mark();
        written.records += batch.len() as u64;
        written.is_dirty = true;
        Ok(())
    }

    /// Writes the next page of a source, if it has one.
    pub(super) async fn write_next(&mut self, listing: &Listing) -> Held {
        let next = self.pages(&listing.name) + 1;
        if next > listing.len() {
            return Ok(());
        }
        self.write(&listing.name, &listing.batch(next)?).await
    }

    pub(super) async fn begin(&mut self) -> Result<Begun, Wrong> {
        let begun = self.sink.begin_commit().await;
        let mut committing = begun.map_err(|error| Wrong::from(error).at("beginning a commit"))?;
        let whole = poll_immediate(&mut committing).await;
        let dirty: Vec<String> = self
            .sources
            .iter_mut()
            .filter_map(|(source, written)| std::mem::take(&mut written.is_dirty).then(|| source.clone()))
            .collect();
        let checkpoints = dirty.iter().map(|source| self.checkpoint(source)).collect::<Result<_, _>>()?;
        Ok(Begun { whole, committing, checkpoints })
    }

    /// Stores what was made durable.
    pub(super) async fn save(&mut self, checkpoints: &[Checkpoint]) -> Held {
        self.store.save(&self.lease, checkpoints).await.map_err(|error| Wrong::from(error).at("storing"))?;
        for checkpoint in checkpoints {
            let is_settled = self.sink.is_settled(&checkpoint.sink);
            let written = self.written(&checkpoint.source)?;
            written.is_dirty |= checkpoint.is_finished() && !is_settled;
            written.state = checkpoint.sink.clone();
        }
        Ok(())
    }

    /// Makes as many commits as it takes until nothing is left to do.
    pub(super) async fn settle(&mut self) -> Held {
        for _ in 0..64 {
            self.commit().await?;
            if !self.sources.values().any(|written| written.is_dirty) {
                return Ok(());
            }
        }
        Err(wrong("behind 64 commits the sink still has something left to do"))
    }

    /// Makes a whole commit.
    pub(super) async fn commit(&mut self) -> Held {
        let checkpoints = self.begin().await?.durable().await?;
        self.save(&checkpoints).await
    }

    /// Pulls what is left, a page of each in turns, with a commit behind every third round.
    pub(super) async fn pull(&mut self, listings: &[&Listing]) -> Held {
        let most = listings.iter().map(|listing| listing.len()).max().unwrap_or(0);
        for round in 1..=most {
            for listing in listings {
                self.write_next(listing).await?;
                if self.sink.is_full() {
                    self.commit().await?;
                }
            }
            if round % 3 == 0 {
                self.commit().await?;
            }
        }
        self.settle().await
    }
}
