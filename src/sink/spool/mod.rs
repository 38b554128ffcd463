//! A log on this machine's disk, for sinks that ship large pieces to where the records belong: files that are only whole
//! with a footer, load jobs.
//!
//! The order of things, which is what makes a crash harmless:
//!
//! - *write*: lines are appended to the segment that is open. One that has reached its size is sealed, and a new one begun.
//! - *commit*: what was written is synced, and the state says how far each segment goes.
//! - *ship*: a segment is shipped when the checkpoint that has it **sealed** is stored, so when the next commit begins
//!   at the earliest. From there on it is the same whatever happens: after a crash the same bytes are shipped under the
//!   same number, and the [`Ship`] sees to it that they are there once. It goes on beside the commits.
//! - The commit behind that tells that the segment is shipped; when that is stored, its file is removed.
//!
//! Writing waits when much is sealed and not shipped, so neither the disk nor the state fills up.
//!
//! A source that is finished is settled when all of this is done for its last segment.

mod chain;
mod commit;
mod log;
mod opening;
mod segment;
mod shipping;
mod state;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use commit::{Commit, Told, ship, store};
use futures::future::{BoxFuture, join_all, select_all};
use log::{Log, Piece};
use opening::open_all;
use serde_json::Value;
use shipping::Dock;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub(crate) use opening::{Before, Taken, Wanted};
pub(crate) use segment::{Reader, Segment, Ship, Shipped};
pub(crate) use state::{Sealed, State, source_of, stem_of};

use crate::checkpoint::Lease;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, Work, advice, blocking, each};
use crate::sink::unopened;

/// Lines of a source are appended when so many bytes have gathered.
const BUFFER: usize = 256 * 1024;
/// So many bytes gather of all sources together.
const ALL_BUFFERS: usize = 32 * 1024 * 1024;
/// Writing waits when so many times a segment's size is sealed and not shipped, or so many segments of one source are.
const MOST_SIZES: u64 = 4;
const MOST_SEGMENTS: usize = 8;

/// When a segment is sealed: what comes first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) age: Duration,
}

/// The logs of all sources of a run.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    limits: Limits,
    dock: Dock,
    logs: BTreeMap<Arc<str>, Log>,
    lease: Option<Lease>,
    /// Bytes in the buffers of all logs.
    gathered: usize,
    /// Whether a commit is on its way; for good, if it was broken off.
    is_committing: Arc<AtomicBool>,
}

/// The states of sources, by their names.
pub(crate) type States = Vec<(Arc<str>, State)>;

impl Spool {
    /// Keeps its segments in this folder, and ships so many of them at once.
    pub(crate) fn new(
        fs: Arc<dyn Fs>,
        dir: impl Into<PathBuf>,
        limits: Limits,
        at_once: usize,
        ship: Arc<dyn Ship>,
    ) -> Self {
        let dock = Dock { ship, places: Arc::new(Semaphore::new(at_once.max(1))), waiting: Arc::default() };
        let (logs, lease, is_committing) = (BTreeMap::new(), None, Arc::default());
        Self { dir: dir.into(), fs, limits, dock, logs, lease, gathered: 0, is_committing }
    }

    /// Opens the logs of these sources where they were committed, and gives their states in the same order. A name that
    /// is taken where the segments go is not used for a new run.
    ///
    /// # Errors
    /// `Sink` if the folder cannot be written, `Checkpoint` if what is there is not what was committed.
    pub(crate) async fn open_all(
        &mut self,
        wanted: Vec<Wanted>,
        taken: Taken,
        started_at: SystemTime,
        lease: &Lease,
    ) -> Result<Vec<State>> {
        self.is_free_to_commit()?;
        for one in &wanted {
            // Of a source that begins anew something may be on its way.
            if let Some(log) = self.logs.get_mut(&one.source) {
                log.settle().await?;
                log.shipping.stop().await;
            }
        }
        self.lease = Some(lease.clone());
        let (dir, lease) = (self.dir.clone(), lease.clone());
        let open = move |fs: &dyn Fs| {
            open_all(fs, &dir, &wanted, &taken, started_at, &lease).map(|logs| (wanted, logs))
        };
        let opened = blocking(&self.fs, open).await;
        let (wanted, logs) =
            opened.unwrap_or_else(|error| Err(failed(&self.dir, "cannot be opened", error)))?;
        let mut states = Vec::with_capacity(logs.len());
        for (one, log) in wanted.into_iter().zip(logs) {
            states.push(log.state.clone());
            let sealed = |log: &Log| log.state.sealed.iter().map(|sealed| sealed.length).sum::<u64>();
            self.dock.waiting.fetch_add(sealed(&log), Ordering::AcqRel);
            if let Some(before) = self.logs.insert(one.source, log) {
                self.dock.waiting.fetch_sub(sealed(&before), Ordering::AcqRel);
            }
        }
        Ok(states)
    }

    /// Appends whole lines of so many rows. True if the segment has reached its size: then it is to be sealed.
    ///
    /// # Errors
    /// `Sink`.
    pub(crate) async fn write(&mut self, source: &str, lines: &[u8], rows: u64) -> Result<bool> {
        let log = self.logs.get_mut(source).ok_or_else(|| unopened(source))?;
        log.is_touched = true;
        if lines.is_empty() {
            return Ok(false);
        }
        log.buffer.extend_from_slice(lines);
        log.state.rows += rows;
        log.since.get_or_insert_with(Instant::now);
        let is_due = log.length() >= self.limits.bytes || log.state.rows >= self.limits.rows;
        self.gathered += lines.len();
        if log.buffer.len() >= BUFFER || self.gathered >= ALL_BUFFERS {
            self.gathered -= log.buffer.len().min(self.gathered);
            log.send(&self.fs, self.lease.clone()).await?;
        }
        Ok(is_due)
    }

    /// Those that were written to since the last commit began, and whose open segment has reached its age. Of the others no
    /// state is stored with the next commit, so it must not be told of a segment that is sealed.
    pub(crate) fn aged(&self) -> Vec<Arc<str>> {
        let is_old = |log: &Log| log.since.is_some_and(|since| since.elapsed() >= self.limits.age);
        let has_aged = |log: &Log| log.is_touched && is_old(log);
        self.logs.iter().filter(|(_, log)| has_aged(log)).map(|(source, _)| source.clone()).collect()
    }

    /// Whether the open segment of a source has something in it.
    pub(crate) fn has_rows(&self, source: &str) -> bool {
        self.logs.get(source).is_some_and(|log| log.length() > 0)
    }

    /// Seals the segment that is open, with what the [`Ship`] has to know of it; nothing, if there is nothing in it.
    ///
    /// # Errors
    /// `Sink`.
    pub(crate) async fn seal(&mut self, source: &str, note: Value) -> Result<()> {
        let log = self.logs.get_mut(source).ok_or_else(|| unopened(source))?;
        let Some(lease) = self.lease.clone() else { return Err(unopened(source)) };
        if log.length() == 0 {
            return Ok(());
        }
        let term = lease.term();
        self.gathered -= log.buffer.len().min(self.gathered);
        log.send(&self.fs, lease).await?;
        log.settle().await?;
        self.dock.waiting.fetch_add(log.seal(term, note)?, Ordering::AcqRel);
        Ok(())
    }

    /// Notes that a source has ended. Its last segment is to be sealed before.
    ///
    /// # Errors
    /// `Sink`.
    pub(crate) fn finish(&mut self, source: &str) -> Result<()> {
        let log = self.logs.get_mut(source).ok_or_else(|| unopened(source))?;
        (log.state.is_finished, log.is_touched) = (true, true);
        Ok(())
    }

    /// Whether so much is sealed that there should be a commit before more is written.
    pub(crate) fn is_full(&self) -> bool {
        self.dock.waiting.load(Ordering::Acquire) > self.limits.bytes.saturating_mul(MOST_SIZES)
            || self.logs.values().any(|log| log.state.sealed.len() > MOST_SEGMENTS)
    }

    /// Begins a commit, as [`begin_commit`](crate::sink::Sink::begin_commit) does. Gives the states of those that were
    /// written to since the last one began, and of those that are finished and not settled.
    ///
    /// # Errors
    /// `Sink`, and whatever a segment could not be shipped for.
    pub(crate) async fn begin_commit(&mut self) -> Result<BoxFuture<'static, Result<States>>> {
        self.is_free_to_commit()?;
        for log in self.logs.values_mut() {
            log.look()?;
            // The commit before is stored.
            log.sealed_stored = log.sealed_told;
        }
        self.append().await?;
        let is_full = self.is_full();
        let mut commit = Commit::default();
        let mut any = Vec::new();
        for (source, log) in &mut self.logs {
            commit.remove.extend(log.take_spent());
            ship(&self.dock, &self.fs, &self.lease, source, log);
            let is_finished = log.state.is_finished && !log.is_over;
            if is_full && !log.shipping.is_over() {
                any.push(log.shipping.watch());
            }
            if !log.is_touched && !is_finished {
                continue;
            }
            commit.files.extend(log.take_files().into_iter().map(|file| (source.clone(), file)));
            let state = log.told();
            log.sealed_told = state.number - 1;
            log.is_over = state.is_finished && state.is_settled();
            commit.told.push(Told {
                source: source.clone(),
                state,
                watch: log.shipping.watch(),
                shipped: log.shipped_told.clone(),
                waits: is_finished && !log.shipping.is_over(),
            });
        }
        self.is_committing.store(true, Ordering::Release);
        let is_committing = self.is_committing.clone();
        let (fs, dir, lease) = (self.fs.clone(), self.dir.clone(), self.lease.clone());
        Ok(Box::pin(async move {
            let Commit { files, remove, mut told } = commit;
            let place = dir.clone();
            let durable = move |fs: &dyn Fs| {
                let _lease = lease;
                store(fs, &place, &files, &remove)
            };
            let durable = blocking(&fs, durable).await;
            durable.unwrap_or_else(|error| Err(failed(&dir, "cannot be synced", error)))?;
            if !any.is_empty() {
                select_all(any.iter_mut().map(|watch| Box::pin(watch.waits_for_one()))).await;
            }
            join_all(told.iter_mut().filter(|one| one.waits).map(|one| one.watch.waits_for_all())).await;
            let mut states = Vec::with_capacity(told.len());
            for mut one in told {
                one.state.note(&one.watch.progress()?);
                one.shipped.store(one.state.shipped, Ordering::Release);
                states.push((one.source, one.state));
            }
            is_committing.store(false, Ordering::Release);
            Ok(states)
        }))
    }

    /// Gives up what is held, when what is on its way has ended.
    ///
    /// # Errors
    /// `Sink`.
    pub(crate) async fn close(&mut self) -> Result<()> {
        let mut closed = Ok(());
        for log in self.logs.values_mut() {
            closed = closed.and(log.settle().await);
        }
        join_all(self.logs.values_mut().map(|log| log.shipping.stop())).await;
        self.logs.clear();
        self.dock.waiting.store(0, Ordering::Release);
        (self.lease, self.is_committing, self.gathered) = (None, Arc::default(), 0);
        closed
    }

    /// Appends what is buffered to all that were written to.
    async fn append(&mut self) -> Result<()> {
        let mut pieces: Vec<(Arc<str>, Piece)> = Vec::new();
        for (source, log) in self.logs.iter_mut().filter(|(_, log)| log.is_touched) {
            log.settle().await?;
            pieces.push((source.clone(), log.piece()));
        }
        self.gathered = 0;
        let lease = self.lease.clone();
        let append = move |fs: &dyn Fs| {
            let _lease = lease;
            let write =
                |(source, piece): &mut (Arc<str>, Piece)| piece.write(fs).map_err(|error| of(source, error));
            each(fs, &mut pieces, write).into_iter().collect::<Result<()>>().map(|()| pieces)
        };
        let appended = Work::begin(&self.fs, append).wait().await;
        let pieces = appended.unwrap_or_else(|error| Err(failed(&self.dir, "cannot be written", error)))?;
        for (source, piece) in pieces {
            if let Some(log) = self.logs.get_mut(&source) {
                // Its buffer goes: those of a thousand sources would be cold, and much memory.
                log.slot = piece.slot;
            }
        }
        Ok(())
    }

    /// Refuses what must wait for the commit on its way.
    fn is_free_to_commit(&self) -> Result<()> {
        if self.is_committing.load(Ordering::Acquire) {
            let what = "the commit before is still on its way, or was broken off";
            return Err(Error::new(ErrorKind::Sink, what));
        }
        Ok(())
    }
}

fn of(source: &Arc<str>, error: Error) -> Error {
    error.at(|context| context.source = Some(source.clone()))
}

pub(crate) fn failed(path: &Path, what: &str, error: io::Error) -> Error {
    let failed = Error::new(ErrorKind::Sink, format!("{} {what}", path.display()));
    match advice(&error) {
        Some(advice) => failed.advice(advice),
        None => failed,
    }
    .because(error)
}

fn damaged(path: &Path, why: String) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("{}: {why}", path.display())).advice(
        "nothing was changed; restore the file, or move it and its checkpoint away to pull this source afresh",
    )
}

fn broken_off() -> Error {
    Error::new(ErrorKind::Sink, "an earlier write was broken off")
}
