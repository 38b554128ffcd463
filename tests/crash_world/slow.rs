//! Commits that take a while, so that pages are written in the middle of them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use headwater::checkpoint::{Checkpoint, CheckpointStore, Lease, SinkState};
use headwater::sink::{Committing, Guarantee, Opening, Sink, SinkStates};
use headwater::{Batch, Result};
use tokio::time::sleep;

/// Takes so long from the beginning of a commit until it is made durable, and again until it says so.
#[derive(Debug)]
pub(super) struct SlowSink<S>(pub(super) S, pub(super) Duration);

impl<S: Sink> Sink for SlowSink<S> {
    fn definition(&self) -> String {
        self.0.definition()
    }

    fn guarantee(&self) -> Guarantee {
        self.0.guarantee()
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        self.0.checkpoints()
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        self.0.open(opening)
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        self.0.open_all(openings)
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        self.0.write(source, batch)
    }

    fn is_full(&self) -> bool {
        self.0.is_full()
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        self.0.finish(source)
    }

    fn is_settled(&self, state: &SinkState) -> bool {
        self.0.is_settled(state)
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        self.0.commit()
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(async {
            let (committing, takes) = (self.0.begin_commit().await?, self.1);
            Ok(Box::pin(async move {
                sleep(takes).await;
                let states = committing.await?;
                sleep(takes).await;
                Ok(states)
            }) as Committing)
        })
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        self.0.emptied(state)
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        self.0.close()
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        self.0.location(state)
    }
}

/// Takes so long until checkpoints are stored, and again until it says so.
#[derive(Debug)]
pub(super) struct SlowStore<S>(pub(super) S, pub(super) Duration);

impl<S: CheckpointStore> CheckpointStore for SlowStore<S> {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        self.0.lock()
    }

    fn take_over(&self) -> BoxFuture<'_, Result<Lease>> {
        self.0.take_over()
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        self.0.load(source)
    }

    fn load_all<'a>(&'a self, sources: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Checkpoint>>>> {
        self.0.load_all(sources)
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            sleep(self.1).await;
            self.0.save(lease, checkpoints).await?;
            sleep(self.1).await;
            Ok(())
        })
    }
}
