//! JSON lines in files: one file for each source and run.
//!
//! The order of things, which is what makes a crash harmless:
//!
//! - *open*: the checkpoint says how long the file was when it was committed, and what its last bytes were.
//!   A file that is shorter, or ends otherwise, is an error. A longer one is cut back, and that is synced. Of a
//!   file that a run of an earlier [term](crate::checkpoint::Lease::term) may still hold open, a copy takes the
//!   place: whatever that run writes when it wakes goes into a file without a name.
//! - *write*: whole lines are gathered in a buffer. When it is large it is sent on its way to the file, and the next one is
//!   filled meanwhile. Of a file that grows fast a sync is begun ahead of the commit.
//! - *commit*: what was on its way has arrived, and the buffer is appended. Behind that the file is synced, and if it is new its folder
//!   is, while more is written. Only then does the pipeline store the checkpoint, which says how long the file was before.
//!
//! Of two syncs of a file at the same time one may be told of a failure that is the other's. So a commit waits for the sync
//! that was begun ahead of it, and none is begun while it is on its way.
//!
//! A failed sync ends the run and is never tried again: after it, nothing is known about the file.

mod opening;
mod output;
mod piece;
mod replace;
mod spare;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use opening::{Before, Wanted, open_all};
use output::{Output, State, failed};
use piece::{append_all, sync_all};

use spare::Spare;

use super::{Committed, Committing, Guarantee, Opening, Sink, SinkStates};
use crate::checkpoint::{CheckpointStore, FileStore, Lease, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Disk, Fs, Work, blocking};
use crate::records::Batch;

/// See [`Jsonl::buffer`].
const BUFFER: usize = 256 * 1024;
/// When so many bytes have gathered of all sources together, a page is appended as it comes: with a thousand sources the
/// memory would be cold, and much of it, before their buffers are full.
const ALL_BUFFERS: usize = 32 * 1024 * 1024;
/// A sync is begun when so many bytes wait for one, so that the disk is at work while pages come, and little is left for
/// the commit.
const SYNC_AHEAD: u64 = 16 * 1024 * 1024;

/// JSON lines in `{dir}/{source}_{run start}.jsonl`, with `__source` and `__ingested_at` added to each
/// record by the rules of [`Annotator`](crate::Annotator).
///
/// Exactly once: a crash at any instant, then a rerun, leaves each record in the file once. The checkpoints
/// are kept in `{dir}/.headwater`, unless the pipeline is given another store. The run's start is in UTC,
/// `20260517T100000Z`; a run that goes on keeps its file.
///
/// ```no_run
/// use headwater::{Pipeline, sink::Jsonl};
/// let pipeline = Pipeline::new().sink(Jsonl::dir("out"));
/// ```
#[derive(Debug)]
pub struct Jsonl {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    outputs: BTreeMap<Arc<str>, Output>,
    /// Goes along with every piece of work: what is still being written when a run is dropped keeps the next
    /// one out until it has landed.
    lease: Option<Lease>,
    spare: Spare,
    /// Bytes in the buffers of all outputs.
    gathered: usize,
    /// Lines are appended when so many bytes have gathered.
    buffer: usize,
    /// So many bytes are not synced before that is begun, ahead of the commit.
    sync_ahead: u64,
    /// Whether a commit is on its way; for good, if it was broken off.
    is_committing: Arc<AtomicBool>,
}

impl Jsonl {
    /// Writes into this folder, which is made if need be.
    pub fn dir(dir: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(Disk), dir)
    }

    /// Writes on another file system.
    pub fn on(fs: Arc<dyn Fs>, dir: impl Into<PathBuf>) -> Self {
        let (outputs, spare) = (BTreeMap::new(), Spare::default());
        Self {
            dir: dir.into(),
            fs,
            outputs,
            lease: None,
            spare,
            gathered: 0,
            buffer: BUFFER,
            sync_ahead: SYNC_AHEAD,
            is_committing: Arc::default(),
        }
    }

    /// Appends the lines of a source to its file when so many bytes have gathered (default: 256 KiB), and at each commit.
    /// The page that reaches it goes along as a whole. All sources together gather 32 MiB.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    /// Begins a sync of a file when so many bytes of it wait for one (default: 16 MiB), while pages come, so that
    /// little is left for the commit. What counts as stored is the same: what was committed.
    #[must_use]
    pub fn sync_ahead(mut self, bytes: u64) -> Self {
        self.sync_ahead = bytes;
        self
    }

    async fn open_outputs(&mut self, openings: &[Opening<'_>]) -> Result<Vec<SinkState>> {
        let Some(first) = openings.first() else { return Ok(Vec::new()) };
        self.is_free_to_commit()?;
        let wanted = |opening: &Opening<'_>| Wanted {
            source: opening.source.to_owned(),
            label: opening.label.to_owned(),
            before: match opening.committed {
                Committed::Nothing => Before::Nothing,
                Committed::Finished(_) => Before::Finished,
                Committed::Unfinished(state) => Before::Unfinished(state.clone()),
            },
        };
        let wanted: Vec<Wanted> = openings.iter().map(wanted).collect();
        for opening in openings {
            // Of a source that begins anew something may be on its way: it must not land behind the cut.
            if let Some(output) = self.outputs.get_mut(opening.source) {
                output.settle().await?;
                output.synced(true).await?;
            }
        }
        let (dir, started_at, lease) = (self.dir.clone(), first.started_at, first.lease.clone());
        self.lease = Some(lease.clone());
        let outputs = self
            .work(move |fs| open_all(fs, &dir, &wanted, started_at, &lease))
            .await
            .unwrap_or_else(|error| Err(failed(&self.dir, "cannot be opened", error)))?;
        let mut states = Vec::with_capacity(outputs.len());
        for (opening, output) in openings.iter().zip(outputs) {
            states.push(output.state()?);
            self.outputs.insert(opening.source.into(), output);
        }
        Ok(states)
    }

    /// Sends what is buffered on its way to the file. Waits only for the piece before it.
    async fn flush(&mut self, source: &str) -> Result<()> {
        let Some(output) = self.outputs.get_mut(source) else { return Ok(()) };
        output.settle().await?;
        output.synced(false).await?;
        let ahead = if self.is_committing.load(Ordering::Acquire) { u64::MAX } else { self.sync_ahead };
        if let Some(file) = output.due(ahead) {
            let lease = self.lease.clone();
            output.syncing = Some(Work::begin(&self.fs, move |_| {
                let _lease = lease;
                file.sync()
            }));
        }
        let (mut piece, lease) = (output.piece(&self.spare), self.lease.clone());
        self.gathered -= piece.lines.len().min(self.gathered);
        output.writing = Some(Work::begin(&self.fs, move |fs| {
            let _lease = lease;
            let outcome = piece.write(fs);
            (piece, outcome)
        }));
        Ok(())
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Fs) -> T + Send + 'static,
    ) -> io::Result<T> {
        let lease = self.lease.clone();
        let with_lease = move |fs: &dyn Fs| {
            let _lease = lease;
            work(fs)
        };
        blocking(&self.fs, with_lease).await
    }

    /// Refuses what must wait for the commit on its way.
    fn is_free_to_commit(&self) -> Result<()> {
        if self.is_committing.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::Sink,
                "the commit before is still on its way, or was broken off",
            ));
        }
        Ok(())
    }

    /// Appends what is buffered, and gives the sync of all that was written until now.
    async fn begin(&mut self) -> Result<Committing> {
        self.is_free_to_commit()?;
        let mut pieces = Vec::new();
        for (source, output) in self.outputs.iter_mut().filter(|(_, output)| output.touched) {
            output.settle().await?;
            pieces.push((source.clone(), output.piece(&self.spare)));
        }
        self.gathered = 0;
        let pieces = self
            .work(move |fs| append_all(fs, &mut pieces).map(|()| pieces))
            .await
            .unwrap_or_else(|error| Err(failed(&self.dir, "cannot be written", error)))?;
        let mut states = Vec::with_capacity(pieces.len());
        let (mut written, mut ahead) = (Vec::with_capacity(pieces.len()), Vec::new());
        for (source, piece) in pieces {
            let Some(output) = self.outputs.get_mut(&source) else { continue };
            output.arrived(piece);
            let (file, syncing) = output.take_in(source.clone())?;
            ahead.extend(syncing.map(|syncing| (written.len(), syncing)));
            written.push(file);
            states.push((source, output.state()?));
        }
        self.is_committing.store(true, Ordering::Release);
        let is_committing = self.is_committing.clone();
        let (fs, dir, lease) = (self.fs.clone(), self.dir.clone(), self.lease.clone());
        Ok(Box::pin(async move {
            let mut synced = Ok(());
            // All of them, behind a failure too: what is on its way holds the lease.
            for (index, syncing) in ahead {
                let outcome = syncing.wait().await.and_then(|outcome| outcome);
                synced = synced.and(outcome.map_err(|error| written[index].unsynced(error)));
            }
            synced?;
            let place = dir.clone();
            let sync = move |fs: &dyn Fs| {
                let _lease = lease;
                sync_all(fs, &place, &written)
            };
            let synced = blocking(&fs, sync).await;
            synced.unwrap_or_else(|error| Err(failed(&dir, "cannot be synced", error)))?;
            is_committing.store(false, Ordering::Release);
            Ok(states)
        }))
    }
}

impl Sink for Jsonl {
    fn definition(&self) -> String {
        "jsonl, a file for each source".into()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        Some(Arc::new(FileStore::on(self.fs.clone(), self.dir.join(".headwater"))))
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        output::emptied(state)
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move {
            let mut opened = self.open_outputs(&[opening]).await?;
            opened.pop().ok_or_else(|| Error::new(ErrorKind::Sink, "the output was not opened"))
        })
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        Box::pin(async move { self.open_outputs(&openings).await })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let output = self
                .outputs
                .get_mut(source)
                .ok_or_else(|| Error::new(ErrorKind::Sink, format!("the source {source} was not opened")))?;
            if output.buffer.capacity() == 0 {
                output.buffer = self.spare.take();
            }
            let before = output.buffer.len();
            output.annotator.append_batch(batch, &mut output.buffer);
            output.touched = true;
            self.gathered += output.buffer.len() - before;
            if output.buffer.len() < self.buffer && self.gathered < ALL_BUFFERS {
                return Ok(());
            }
            self.flush(source).await
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.begin().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(self.begin())
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            let mut closed = Ok(());
            // All of it: what is on its way holds the lease.
            for output in self.outputs.values_mut() {
                closed = closed.and(output.settle().await.map(drop));
                closed = closed.and(output.synced(true).await);
            }
            self.outputs.clear();
            (self.spare, self.gathered) = (Spare::default(), 0);
            (self.lease, self.is_committing) = (None, Arc::default());
            closed
        })
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        let state: State = serde_json::from_value(state.0.clone()).ok()?;
        Some(self.dir.join(state.file).display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::page::Page;
    use crate::request::Position;

    #[tokio::test]
    async fn a_run_of_many_commits_takes_no_more_memory_for_its_lines_than_one_of_few() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = Jsonl::dir(dir.path());
        let lease = sink.checkpoints().unwrap().lock().await.unwrap();
        let (committed, started_at) = (Committed::Nothing, SystemTime::UNIX_EPOCH);
        let opening = Opening { source: "s", label: "s", started_at, committed, lease: &lease };
        sink.open(opening).await.unwrap();
        let page = Page::new(format!("[\"{}\"]", "x".repeat(BUFFER)), 1, Position::Start, None).unwrap();
        let batch = Batch::new(page, "").unwrap();
        let mut buffers = Vec::new();
        for pages in [1, 2, 3, 1, 1, 1, 2, 1, 1, 1, 1, 1] {
            for _ in 0..pages {
                sink.write("s", &batch).await.unwrap();
            }
            sink.commit().await.unwrap();
            buffers.push(sink.spare.count());
        }
        assert!(buffers.iter().all(|count| *count <= 2), "{buffers:?} buffers behind each commit");
    }
}
