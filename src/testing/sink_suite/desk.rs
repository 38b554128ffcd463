//! A sink that is driven call by call, as the pipeline does it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::poll_immediate;
use tokio::time::{Instant, sleep};

use super::pages::Listing;
use super::{Held, Place, Wrong, compare, wrong};
use crate::checkpoint::{Checkpoint, CheckpointStore, Definition, Lease, MemoryStore, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::mark::Mark;
use crate::records::Batch;
use crate::sink::{Committed, Committing, Opening, Sink, SinkStates};

/// What may still be on its way when a sink is dropped keeps the next run out so long.
const LANDS: Duration = Duration::from_secs(20);

/// Where the sinks of one behaviour are opened, one after the other.
pub(super) struct Desk<'a> {
    pub(super) place: &'a dyn Place,
    /// For sinks that bring no checkpoints, or if `is_own`.
    store: MemoryStore,
    /// Whether the checkpoints of the sink are left alone.
    pub(super) is_own: bool,
    runs: u64,
}

impl<'a> Desk<'a> {
    pub(super) fn new(place: &'a dyn Place) -> Self {
        Self { place, store: MemoryStore::new(), is_own: false, runs: 0 }
    }

    /// Opens these sources where they were committed.
    pub(super) async fn open(&mut self, sources: &[&str]) -> Result<Run, Wrong> {
        let sink = self.place.sink();
        let store = self.store_of(&*sink);
        let lease = lock(&*store).await.map_err(|error| Wrong::from(error).at("locking"))?;
        let known = store.load_all(sources).await?;
        let is_over = known.iter().flatten().all(Checkpoint::is_finished);
        if is_over {
            self.runs += 1;
        }
        let epoch = known.iter().flatten().map(|known| known.epoch).max().unwrap_or(0) + 1;
        let run = format!("run {}", self.runs);
        // Later than what the suite has left on the place before.
        let started_at = UNIX_EPOCH + Duration::from_secs(1_800_000_000 + self.runs * 60);
        let mut run = Run { sink, store, lease, epoch, run, started_at, sources: BTreeMap::new() };
        let mut begun = Vec::new();
        let mut claims = Vec::new();
        for (name, last) in sources.iter().zip(known) {
            let is_finished = last.as_ref().is_some_and(Checkpoint::is_finished);
            if let Some(last) = last.as_ref().filter(|_| !is_over) {
                claims.push(Checkpoint { run: run.run.clone(), epoch, ..last.clone() });
            }
            let known = last.as_ref().filter(|_| !is_over);
            let mark = known.map_or_else(Mark::start, |last| last.mark.clone());
            let records = known.map_or(0, |last| last.records);
            let state = known.map_or_else(SinkState::default, |last| last.sink.clone());
            run.sources.insert((*name).to_owned(), Written { mark, records, state, is_dirty: false });
            if !is_finished || is_over {
                begun.push((*name, last));
            }
        }
        if !claims.is_empty() {
            run.store.save(&run.lease, &claims).await?;
        }
        run.open_all(&begun, is_over).await?;
        Ok(run)
    }

    fn store_of(&self, sink: &dyn Sink) -> Arc<dyn CheckpointStore> {
        let own = (!self.is_own).then(|| sink.checkpoints()).flatten();
        own.unwrap_or_else(|| Arc::new(self.store.clone()))
    }

    /// Whether these sources are finished: opened once more, they would begin afresh.
    pub(super) async fn is_over(&self, sources: &[&str]) -> Result<bool, Wrong> {
        let store = self.store_of(&*self.place.sink());
        // What is still on its way may be what finishes them.
        let _lease = lock(&*store).await?;
        let known = store.load_all(sources).await?;
        Ok(known.iter().all(|known| known.as_ref().is_some_and(Checkpoint::is_finished)))
    }

    /// The machine stops here, without a word.
    pub(super) fn crash(&self, run: Run) {
        drop(run);
        self.place.crash();
    }

    /// Opens the sources once more, pulls what is left of them, and looks what is there.
    pub(super) async fn finish(&mut self, listings: &[&Listing]) -> Held {
        let names: Vec<&str> = listings.iter().map(|listing| listing.name.as_str()).collect();
        let mut run = self.open(&names).await.map_err(|wrong| wrong.at("opening it for the rest"))?;
        run.pull(listings).await?;
        self.close(run, listings).await
    }

    /// Ends a run, and looks what is there.
    pub(super) async fn close(&mut self, mut run: Run, listings: &[&Listing]) -> Held {
        let rejected: Vec<u64> = listings.iter().map(|listing| run.rejected(&listing.name)).collect();
        run.sink.close().await.map_err(|error| Wrong::from(error).at("closing"))?;
        drop(run);
        for (listing, rejected) in listings.iter().zip(rejected) {
            compare::is_there(self.place, listing, rejected).await?;
        }
        Ok(())
    }
}

/// Locks a store; what a dropped run has on its way may hold it for a while.
pub(super) async fn lock(store: &dyn CheckpointStore) -> Result<Lease> {
    let began = Instant::now();
    loop {
        match store.lock().await {
            Err(error) if error.kind() == ErrorKind::Locked && began.elapsed() < LANDS => {
                sleep(Duration::from_millis(5)).await;
            }
            locked => return locked,
        }
    }
}

/// Polls so many times, and gives up then.
pub(super) async fn polled<T>(mut times: u32, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if times == 0 {
            return Poll::Ready(None);
        }
        times -= 1;
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

/// A run of a sink, held in hand.
pub(super) struct Run {
    pub(super) sink: Box<dyn Sink>,
    pub(super) store: Arc<dyn CheckpointStore>,
    pub(super) lease: Lease,
    pub(super) epoch: u64,
    run: String,
    started_at: SystemTime,
    sources: BTreeMap<String, Written>,
}

/// How far a source was written.
struct Written {
    mark: Mark,
    records: u64,
    state: SinkState,
    is_dirty: bool,
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
    async fn open_all(&mut self, sources: &[(&str, Option<Checkpoint>)], is_over: bool) -> Held {
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
            self.written(&checkpoint.source)?.state = checkpoint.sink.clone();
        }
        Ok(())
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
        self.commit().await
    }
}
