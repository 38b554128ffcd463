//! Commits that go on while pages are pulled and written.
//!
//! A commit begins with what was written until then: the sink takes that in, and the checkpoints are made of how far
//! the sources have come. What is written while the sink makes it durable, and while the checkpoints are stored, belongs
//! to the next commit, which is not begun before. So a crash costs what was written since the last commit that was
//! stored began: one commit more than if all stood still meanwhile. A sink that makes the whole commit at once is not
//! written to before the checkpoints are stored.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures::FutureExt;
use futures::future::{BoxFuture, poll_immediate};

use super::Event;
use super::run::Run;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};

/// The commit that is on its way, if there is one.
#[derive(Default)]
pub(super) struct CommitBehind {
    running: Option<BoxFuture<'static, Result<Vec<Checkpoint>>>>,
    /// How it has ended, beside something else.
    ended: Option<Result<Vec<Checkpoint>>>,
}

impl CommitBehind {
    /// Whether there is one, of which nobody knows yet how it has ended.
    pub(super) fn is_on_its_way(&self) -> bool {
        self.running.is_some() || self.ended.is_some()
    }

    /// Does something else, and goes on with the commit meanwhile.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            if let Some(Poll::Ready(ended)) = self.running.as_mut().map(|running| running.poll_unpin(cx)) {
                (self.running, self.ended) = (None, Some(ended));
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for its end, and gives what was stored. Without one it waits for ever.
    pub(super) async fn ended(&mut self) -> Result<Vec<Checkpoint>> {
        poll_fn(|cx| {
            if let Some(ended) = self.ended.take() {
                return Poll::Ready(ended);
            }
            let Some(running) = &mut self.running else { return Poll::Pending };
            running.poll_unpin(cx).map(|ended| {
                self.running = None;
                ended
            })
        })
        .await
    }
}

impl Run<'_> {
    /// Begins to make durable what was written until now; only behind that are the checkpoints stored.
    pub(super) async fn begin_commit(&mut self) -> Result<CommitBehind> {
        let mut committing = self.sink.begin_commit().await?;
        let whole = poll_immediate(&mut committing).await;
        let is_whole = whole.is_some();
        // In the order of their names.
        let dirty = self.states.iter_mut().filter(|(_, state)| state.dirty);
        let mut checkpoints: Vec<Checkpoint> = dirty
            .map(|(source, state)| {
                state.dirty = false;
                state.checkpoint(source, &self.id, self.epoch)
            })
            .collect();
        self.dirty = false;
        let (store, lease) = (self.store.clone(), self.lease.clone());
        let commit = async move {
            let states = match whole {
                Some(states) => states?,
                None => committing.await?,
            };
            for (source, sink) in states {
                let place = checkpoints.binary_search_by(|known| known.source.as_str().cmp(&source));
                if let Some(checkpoint) = place.ok().and_then(|index| checkpoints.get_mut(index)) {
                    checkpoint.sink = sink;
                }
            }
            store.save(&lease, &checkpoints).await?;
            Ok(checkpoints)
        };
        let commit = Box::pin(commit);
        // What was committed as a whole may be a transaction that the checkpoints belong to: it ends when they are
        // stored, and what is written before that would be in it, and not in them.
        Ok(match is_whole {
            true => CommitBehind { running: None, ended: Some(commit.await) },
            false => CommitBehind { running: Some(commit), ended: None },
        })
    }

    /// Notes what was stored: that, and not what was written since.
    pub(super) fn committed(&mut self, stored: Vec<Checkpoint>) -> Result<()> {
        let mut settled = Ok(());
        for checkpoint in stored {
            let Some(state) = self.states.get_mut(checkpoint.source.as_str()) else { continue };
            if checkpoint.is_finished() && !self.sink.is_settled(&checkpoint.sink) {
                if state.is_settling && state.sink == checkpoint.sink {
                    settled = Err(stuck(&checkpoint));
                }
                (state.is_settling, state.dirty, self.dirty) = (true, true, true);
            }
            state.committed(checkpoint);
        }
        self.pipeline.tell(&Event::Committed);
        settled
    }

    /// Waits for the commit that is on its way, if there is one.
    pub(super) async fn wait_for(&mut self, commit: &mut CommitBehind) -> Result<()> {
        if commit.is_on_its_way() {
            let stored = commit.ended().await?;
            self.committed(stored)?;
        }
        Ok(())
    }

    /// Commits what is left, and closes the sink. Behind a failure only what was begun is brought to its end: it is of
    /// what came before, and what is still on its way would keep the next run out.
    pub(super) async fn finish(&mut self, commit: &mut CommitBehind, has_failed: bool) -> Result<()> {
        let mut committed = self.wait_for(commit).await;
        // What is finished may have to be settled behind its last commit.
        while self.dirty && !has_failed && committed.is_ok() {
            committed = self.commit().await;
        }
        let closed = self.sink.close().await;
        committed.and(closed)
    }

    async fn commit(&mut self) -> Result<()> {
        let mut commit = self.begin_commit().await?;
        self.wait_for(&mut commit).await
    }
}

fn stuck(checkpoint: &Checkpoint) -> Error {
    let what = "the sink has something left to do for a source that is finished, and another commit did not change that";
    let source = checkpoint.source.as_str().into();
    Error::new(ErrorKind::Sink, what).at(|context| context.source = Some(source))
}
