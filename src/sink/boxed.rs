//! A sink that is chosen while the program runs.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::{Committing, Guarantee, Opening, Sink, SinkStates};
use crate::checkpoint::{CheckpointStore, SinkState};
use crate::error::Result;
use crate::records::Batch;

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn definition(&self) -> String {
        (**self).definition()
    }

    fn guarantee(&self) -> Guarantee {
        (**self).guarantee()
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        (**self).checkpoints()
    }

    fn is_transactional(&self) -> bool {
        (**self).is_transactional()
    }

    fn commit_every(&self) -> Option<Duration> {
        (**self).commit_every()
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        (**self).open(opening)
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        (**self).open_all(openings)
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        (**self).write(source, batch)
    }

    fn is_full(&self) -> bool {
        (**self).is_full()
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        (**self).finish(source)
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        (**self).commit()
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        (**self).begin_commit()
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        (**self).emptied(state)
    }

    fn is_settled(&self, state: &SinkState) -> bool {
        (**self).is_settled(state)
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        (**self).close()
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        (**self).location(state)
    }

    fn rejected(&self, state: &SinkState) -> u64 {
        (**self).rejected(state)
    }
}
