//! The run loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::commit::CommitBehind;
use super::report::{Outcome, Report, RunError};
use super::state::State;
use super::{Event, Pipeline};
use crate::checkpoint::{CheckpointStore, Lease, MemoryStore};
use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;
use crate::sink::{COMMIT_EVERY, Sink};
use crate::source::{Arrival, Merge, Shared, Source};

const LOOK_AT_WAITS: Duration = Duration::from_secs(5);
const WORTH_TELLING: Duration = Duration::from_secs(2);

pub(super) async fn run(mut pipeline: Pipeline) -> Result<Report, RunError> {
    pipeline.validate()?;
    let Some(mut sink) = pipeline.sink.take() else {
        return Err(Error::config("a pipeline without a sink").into());
    };
    let store = match pipeline.checkpoints.take().or_else(|| sink.checkpoints()) {
        Some(store) => store,
        None => Arc::new(MemoryStore::new()),
    };
    // Held until the run is over.
    let lease = if pipeline.take_over { store.take_over().await? } else { store.lock().await? };
    // A failing source may stop this run, but not others that the user's handle stops too.
    pipeline.shutdown = pipeline.shutdown.child();
    let mut signals = JoinSet::new();
    if let Some(listener) = pipeline.signals.then(|| pipeline.shutdown.on_signals()).flatten() {
        signals.spawn(listener);
    }
    let sources = std::mem::take(&mut pipeline.sources);
    let now = pipeline.shutdown.now().clone();
    let begin = Run::begin(pipeline, &mut *sink, store, lease.clone(), sources);
    let (run, merge) = match unless(&now, begin).await {
        Ok(begun) => begun,
        Err(error) => return Err(overtaken(error, &lease).await.into()),
    };
    // It is large, and whoever awaits a run should not have to hold it.
    Box::pin(run.pull(merge)).await
}

/// Says that the run was taken over, where that is what lies behind a failure: it finds things that it has not
/// left there.
async fn overtaken(error: Error, lease: &Lease) -> Error {
    if !matches!(error.kind(), ErrorKind::Sink | ErrorKind::Checkpoint) {
        return error;
    }
    match lease.looked_at().await {
        Err(taken) if taken.kind() == ErrorKind::Locked => taken.because(error),
        _ => error,
    }
}

/// Does something unless it is told to stop at once. What was begun is then abandoned, and the run with it:
/// files may have more than was committed, which the next run cuts off.
async fn unless<T>(stop: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(stopped_at_once()),
        done = work => done,
    }
}

/// Waits until it is time for a commit.
async fn commit_is_due(is_full: bool, ticks: &mut Interval) {
    if !is_full {
        ticks.tick().await;
    }
}

fn stopped_at_once() -> Error {
    Error::new(ErrorKind::Stopped, "stopped at once; what was not committed is pulled again")
}

/// A run that has begun.
pub(super) struct Run<'a> {
    pub(super) pipeline: Pipeline,
    pub(super) sink: &'a mut dyn Sink,
    pub(super) store: Arc<dyn CheckpointStore>,
    pub(super) lease: Lease,
    pub(super) id: String,
    pub(super) epoch: u64,
    pub(super) began: Instant,
    /// In the order they were given.
    pub(super) order: Vec<Arc<str>>,
    /// Boxed, for a tree has places that are empty.
    pub(super) states: BTreeMap<Arc<str>, Box<State>>,
    /// Whether something was written since the last commit began.
    pub(super) dirty: bool,
    pub(super) stopping: bool,
    /// Those that may have to begin anew.
    pub(super) sources: BTreeMap<Arc<str>, Source>,
    pub(super) shared: Shared,
    pub(super) started_at: SystemTime,
}

impl<'a> Run<'a> {
    /// Takes batches until there are no more, and commits on the way.
    async fn pull(mut self, mut merge: Merge) -> Result<Report, RunError> {
        let shutdown = self.pipeline.shutdown.clone();
        let every = self.pipeline.commit_every.or_else(|| self.sink.commit_every()).unwrap_or(COMMIT_EVERY);
        let mut ticks = interval(every.max(Duration::from_millis(1)));
        // The first tick comes at once, and there is nothing to commit yet.
        ticks.tick().await;
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval(LOOK_AT_WAITS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut commit = CommitBehind::default();
        let broken = loop {
            let is_full = self.sink.is_full();
            let outcome = tokio::select! {
                biased;
                () = shutdown.now().cancelled() => break Some(stopped_at_once()),
                () = shutdown.gentle().cancelled(), if !self.stopping => {
                    self.stopping = true;
                    self.pipeline.tell(&Event::Stopping);
                    Ok(())
                }
                ended = commit.ended(), if commit.is_on_its_way() => {
                    ended.and_then(|stored| self.committed(stored))
                }
                () = commit_is_due(is_full, &mut ticks), if self.dirty && !commit.is_on_its_way() => {
                    let begun = merge.beside(unless(shutdown.now(), self.begin_commit())).await;
                    begun.map(|begun| commit = begun)
                }
                _ = looks.tick() => {
                    self.tell_waits();
                    Ok(())
                }
                // What is full is not written to before its commit is over.
                arrival = merge.next(), if !is_full || !(self.dirty || commit.is_on_its_way()) => match arrival {
                    Some((source, Arrival::Batch(batch))) => {
                        let written = unless(shutdown.now(), self.write(&source, &batch));
                        merge.beside(commit.beside(written)).await
                    }
                    Some((source, Arrival::Failed(error))) => {
                        let failed = self.restart_or_fail(&source, error, &mut merge, &mut commit);
                        unless(shutdown.now(), failed).await
                    }
                    Some((source, Arrival::Ended)) => {
                        self.ended(&source);
                        Ok(())
                    }
                    None => break None,
                },
            };
            if let Err(error) = outcome {
                break Some(error);
            }
        };
        drop(merge);
        let finished = unless(shutdown.now(), self.finish(&mut commit, broken.is_some())).await;
        // The failure that was first says enough.
        let broken = broken.or(finished.err());
        let broken = match broken {
            Some(error) => Some(overtaken(error, &self.lease).await),
            None => None,
        };
        self.report(broken)
    }

    /// Tells of the waits that a person would wonder about.
    fn tell_waits(&self) {
        for (source, state) in &self.states {
            if let Some(remaining) = state.meter.waiting().filter(|remaining| *remaining >= WORTH_TELLING) {
                self.pipeline.tell(&Event::Waiting { source, remaining });
            }
        }
    }

    async fn write(&mut self, source: &Arc<str>, batch: &Batch) -> Result<()> {
        self.sink.write(source, batch).await?;
        if batch.is_last() {
            self.sink.finish(source).await?;
        }
        self.dirty = true;
        let Some(state) = self.states.get_mut(source) else { return Ok(()) };
        state.mark = batch.mark();
        state.records += batch.len() as u64;
        state.dirty = true;
        let (records, counts) = (state.records, state.counts());
        self.pipeline.tell(&Event::Page { source, records, counts });
        Ok(())
    }

    pub(super) fn failed(&mut self, source: &Arc<str>, error: Error) {
        let error = error.at(|context| {
            context.source.get_or_insert_with(|| source.clone());
        });
        tracing::error!(%error, "a source failed");
        self.pipeline.tell(&Event::Failed { source, error: &error });
        if let Some(state) = self.states.get_mut(source) {
            if let Some(trap) = &error.context().trap {
                // So that the next run does not walk round once more before it sees it.
                state.mark.set_trap(&trap.within, trap.position);
                (state.dirty, self.dirty) = (true, true);
            }
            state.error.get_or_insert(error);
        }
        if self.pipeline.fail_fast {
            self.pipeline.shutdown.finish_pages();
        }
    }

    fn ended(&mut self, source: &Arc<str>) {
        let Some(state) = self.states.get_mut(source) else { return };
        if state.stale > 0 {
            // It has begun anew since.
            state.stale -= 1;
            return;
        }
        state.ended = Some(Instant::now());
        if state.mark.is_end() {
            let records = state.records;
            self.pipeline.tell(&Event::Finished { source, records });
        } else if state.error.is_none() && !self.stopping && !self.pipeline.shutdown.gentle().is_cancelled() {
            // Its stream ended, or its task was lost, and nobody said that it was the end.
            let what = "the stream ended before its last page, or its task panicked";
            let error = Error::new(ErrorKind::Truncated, what)
                .advice("a page stream of your own must end with a page whose `next` is `None`");
            self.failed(source, error);
        }
    }

    fn report(mut self, broken: Option<Error>) -> Result<Report, RunError> {
        let mut sources = Vec::new();
        for name in &self.order {
            let Some(state) = self.states.get(name) else { continue };
            sources.push(state.report(name, self.began, &*self.sink));
        }
        let outcome = match &broken {
            Some(error) if error.kind() != ErrorKind::Stopped => Outcome::Failed,
            _ if sources.iter().any(|source| source.outcome == Outcome::Failed) => Outcome::Failed,
            _ if sources.iter().all(|source| source.outcome == Outcome::Finished) => Outcome::Finished,
            _ => Outcome::Stopped,
        };
        let report = Report {
            run: self.id.clone(),
            outcome,
            guarantee: self.sink.guarantee(),
            duration: self.began.elapsed(),
            sources,
        };
        let failed = self.order.iter().find_map(|name| self.states.get_mut(name)?.error.take());
        let stopped = || {
            Error::new(ErrorKind::Stopped, "the run was stopped before it had finished")
                .advice("run it again: it goes on from the last commit")
        };
        match (broken.or(failed), outcome) {
            (Some(error), _) => Err(RunError { error, report: Some(Box::new(report)) }),
            (None, Outcome::Finished) => Ok(report),
            (None, _) => Err(RunError { error: stopped(), report: Some(Box::new(report)) }),
        }
    }
}

impl Pipeline {
    pub(super) fn tell(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }
}
