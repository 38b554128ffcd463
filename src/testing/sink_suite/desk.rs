//! A sink that is driven call by call, as the pipeline does it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

use super::pages::Listing;
use super::run::{Run, Written};
use super::{Held, Place, Wrong, compare};
use crate::checkpoint::{Checkpoint, CheckpointStore, Lease, MemoryStore, SinkState};
use crate::error::{ErrorKind, Result};
use crate::mark::Mark;
use crate::sink::Sink;

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
        let finished = finished(&*sink, &known);
        let is_over = known.iter().zip(&finished).all(|(last, is_finished)| last.is_none() || *is_finished);
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
        for ((name, last), is_finished) in sources.iter().zip(known).zip(finished) {
            if let Some(last) = last.as_ref().filter(|_| !is_over) {
                claims.push(Checkpoint { run: run.run.clone(), epoch, ..last.clone() });
            }
            let known = last.as_ref().filter(|_| !is_over);
            let mark = known.map_or_else(Mark::start, |last| last.mark.clone());
            let records = known.map_or(0, |last| last.records);
            let state = known.map_or_else(SinkState::default, |last| last.sink.clone());
            // Finished, but for what the sink has left to do.
            let is_dirty = mark.is_end() && !is_finished;
            run.sources.insert((*name).to_owned(), Written { mark, records, state, is_dirty });
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
        let sink = self.place.sink();
        let store = self.store_of(&*sink);
        // What is still on its way may be what finishes them.
        let _lease = lock(&*store).await?;
        let known = store.load_all(sources).await?;
        Ok(finished(&*sink, &known).iter().all(|is_finished| *is_finished))
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

    /// Looks what is there of sources whose last pages are committed, though their sink may have something left to do.
    pub(super) async fn look(&mut self, listings: &[&Listing]) -> Held {
        let names: Vec<&str> = listings.iter().map(|listing| listing.name.as_str()).collect();
        if !self.is_over(&names).await? {
            return self.finish(listings).await;
        }
        for listing in listings {
            compare::is_there(self.place, listing, 0).await?;
        }
        Ok(())
    }

    /// Ends a run, and looks what is there.
    pub(super) async fn close(&mut self, mut run: Run, listings: &[&Listing]) -> Held {
        if listings
            .iter()
            .any(|listing| run.sources.get(&listing.name).is_some_and(|written| written.is_dirty))
        {
            run.settle().await?;
        }
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

/// Which of them are finished, with nothing left to do.
fn finished(sink: &dyn Sink, known: &[Option<Checkpoint>]) -> Vec<bool> {
    let is_finished = |last: &Checkpoint| last.is_finished() && sink.is_settled(&last.sink);
    known.iter().map(|last| last.as_ref().is_some_and(is_finished)).collect()
}
