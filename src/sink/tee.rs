//! One stream into two or more sinks.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::outputs::Outputs;
use super::{Committing, Guarantee, Opening, Sink, SinkStates, only};
use crate::checkpoint::{CheckpointStore, SinkState};
use crate::error::Result;
use crate::records::Batch;

/// Writes every record to each of its sinks, with one checkpoint, which advances when all of them are durable.
///
/// A crash at any instant, then a rerun, leaves in each sink what that sink guarantees; the whole
/// [guarantees](Sink::guarantee) what the weakest does. The checkpoints are those of the first sink that stores them in the
/// transaction of its rows ([`Sink::is_transactional`]), which is then committed last, or else those of the first sink. A
/// second one that is transactional ends its transactions by itself, before the checkpoint is stored: it may then be at least
/// once, and says so.
///
/// Only the store that is used keeps other runs out: two pipelines with one sink in common, but other first sinks, do not see
/// each other.
///
/// The pace is that of the sink that wants to be committed most often, and all are committed as soon as one is
/// full. In the report, a source has as many rejected records as the sink that rejected most of it.
///
/// ```no_run
/// use headwater::{Pipeline, sink::{Jsonl, Memory, Tee}};
/// let everything = Memory::new();
/// let pipeline = Pipeline::new().sink(Tee::new(Jsonl::dir("out"), everything.clone()));
/// ```
#[derive(Debug)]
pub struct Tee {
    outputs: Outputs,
}

impl Tee {
    /// Writes into both.
    pub fn new(first: impl Sink + 'static, second: impl Sink + 'static) -> Self {
        Self { outputs: Outputs::default() }.and(first).and(second)
    }

    /// Writes into another one as well.
    #[must_use]
    pub fn and(mut self, sink: impl Sink + 'static) -> Self {
        let sink = self.outputs.add_sink(Box::new(sink));
        self.outputs.add_output(sink, None);
        self
    }
}

impl Sink for Tee {
    fn definition(&self) -> String {
        format!("tee {}", self.outputs.definition())
    }

    fn guarantee(&self) -> Guarantee {
        self.outputs.guarantee()
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        self.outputs.checkpoints()
    }

    fn is_transactional(&self) -> bool {
        self.outputs.is_transactional()
    }

    fn commit_every(&self) -> Option<Duration> {
        self.outputs.commit_every()
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move { only(self.outputs.open_all(&[opening]).await?) })
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        Box::pin(async move { self.outputs.open_all(&openings).await })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.outputs.write_to_all(source, batch))
    }

    fn is_full(&self) -> bool {
        self.outputs.is_full()
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.outputs.finish(source))
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.outputs.begin_commit().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(self.outputs.begin_commit())
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        self.outputs.emptied(state)
    }

    fn is_settled(&self, state: &SinkState) -> bool {
        self.outputs.is_settled(state)
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.outputs.close())
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        self.outputs.location(state)
    }

    fn rejected(&self, state: &SinkState) -> u64 {
        self.outputs.each(state).map(|(sink, state)| sink.rejected(&state)).max().unwrap_or(0)
    }
}
