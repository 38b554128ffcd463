//! The sink and the checkpoint store with eyes on them: each await is a step at which the process may die.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, ready};
use headwater::checkpoint::{Checkpoint, CheckpointStore, Lease, SinkState};
use headwater::sink::{Committing, Guarantee, Opening, Sink, SinkStates};
use headwater::testing::CrashFs;
use headwater::{Batch, Result};

use super::hub::Hub;
use super::mutants::Mutant;
use super::rewrites;

#[derive(Debug)]
pub(crate) struct WatchedSink {
    inner: Box<dyn Sink>,
    hub: Hub,
    disk: CrashFs,
    /// As they were opened or committed last.
    states: Arc<Mutex<SinkStates>>,
    writes: u64,
}

impl WatchedSink {
    pub(crate) fn new(inner: Box<dyn Sink>, hub: Hub, disk: CrashFs) -> Self {
        Self { inner, hub, disk, states: Arc::default(), writes: 0 }
    }

    fn mutant(&self) -> Option<Mutant> {
        self.hub.state().mutant
    }
}

/// Notes the newest states.
fn note(known: &Mutex<SinkStates>, states: &SinkStates) {
    let mut known: MutexGuard<'_, SinkStates> = known.lock().unwrap_or_else(PoisonError::into_inner);
    for (source, state) in states {
        known.retain(|(other, _)| other != source);
        known.push((source.clone(), state.clone()));
    }
}

impl Sink for WatchedSink {
    fn definition(&self) -> String {
        self.inner.definition()
    }

    fn guarantee(&self) -> Guarantee {
        self.inner.guarantee()
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        let inner = self.inner.checkpoints()?;
        Some(Arc::new(WatchedStore { inner, hub: self.hub.clone(), disk: self.disk.clone() }))
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move {
            self.hub.step().await;
            let state = self.inner.open(opening).await?;
            note(&self.states, &vec![(opening.source.into(), state.clone())]);
            Ok(state)
        })
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        Box::pin(async move {
            self.hub.step().await;
            let sources: Vec<Arc<str>> = openings.iter().map(|opening| opening.source.into()).collect();
            let states = self.inner.open_all(openings).await?;
            note(&self.states, &sources.into_iter().zip(states.iter().cloned()).collect());
            self.hub.step().await;
            Ok(states)
        })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.hub.handed(source, batch);
            self.writes += 1;
            self.hub.step().await;
            let pace = self.hub.state().world.sink_pace;
            self.hub.pace(pace).await;
            let times = self.mutant().map_or(1, |mutant| mutant.writes(&self.hub, self.writes));
            for _ in 0..times {
                self.inner.write(source, batch).await?;
            }
            self.hub.step().await;
            Ok(())
        })
    }

    fn is_full(&self) -> bool {
        self.inner.is_full()
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        self.inner.finish(source)
    }

    fn is_settled(&self, state: &SinkState) -> bool {
        self.inner.is_settled(state)
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async move { self.begin_commit().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(async move {
            self.hub.step().await;
            if self.mutant() == Some(Mutant::SinkCommitsNothing) && self.hub.state().one_in(2) {
                let states = self.states.lock().unwrap_or_else(PoisonError::into_inner).clone();
                return Ok(Box::pin(ready(Ok(states))) as Committing);
            }
            let committing = self.inner.begin_commit().await?;
            let (hub, known) = (self.hub.clone(), self.states.clone());
            Ok(Box::pin(async move {
                hub.step().await;
                let pace = hub.state().world.commit_pace;
                hub.pace(pace).await;
                let states = committing.await?;
                note(&known, &states);
                hub.step().await;
                Ok(states)
            }) as Committing)
        })
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        let mutant = self.mutant();
        if mutant == Some(Mutant::RestartsKeepOldRows) {
            Some(state.clone())
        } else {
            self.inner.emptied(state)
        }
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.hub.step().await;
            self.inner.close().await
        })
    }

    fn rejected(&self, state: &SinkState) -> u64 {
        self.inner.rejected(state)
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        self.inner.location(state)
    }
}

#[derive(Debug)]
struct WatchedStore {
    inner: Arc<dyn CheckpointStore>,
    hub: Hub,
    disk: CrashFs,
}

impl CheckpointStore for WatchedStore {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(async move {
            self.hub.step().await;
            self.inner.lock().await
        })
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        Box::pin(async move {
            self.hub.step().await;
            self.inner.load(source).await
        })
    }

    fn load_all<'a>(&'a self, sources: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Checkpoint>>>> {
        Box::pin(async move {
            self.hub.step().await;
            self.inner.load_all(sources).await
        })
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.hub.step().await;
            let pace = self.hub.state().world.store_pace;
            self.hub.pace(pace).await;
            let mutant = self.hub.state().mutant;
            let rewritten = rewrites::rewritten(&self.hub, checkpoints);
            if mutant.is_none_or(|mutant| mutant.saves(&self.hub, checkpoints)) {
                self.inner.save(lease, &rewritten).await?;
            }
            // Whatever happens from here on: they are durable.
            self.hub.saved(&rewritten, self.disk.operations());
            self.hub.step().await;
            Ok(())
        })
    }
}
