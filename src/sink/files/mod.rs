//! The engine of the sinks that write files: by default one for each source and run.
//!
//! The order of things, which is what makes a crash harmless:
//!
//! - *open*: the checkpoint says how long the file was when it was committed, and what its last bytes were.
//!   A file that is shorter, or ends otherwise, is an error. A longer one is cut back, and that is synced. Of a
//!   file that a run of an earlier [term](crate::checkpoint::Lease::term) may still hold open, a copy takes the
//!   place: whatever that run writes when it wakes goes into a file without a name.
//! - *write*: records are encoded into a buffer. When it is large it is sent on its way to the file, and the next one is
//!   filled meanwhile. Of a file that grows fast a sync is begun ahead of the commit.
//! - *commit*: what was on its way has arrived, and the buffer is appended. Behind that the file is synced, and if it is new its folder
//!   is, while more is written. Only then does the pipeline store the checkpoint, which says how long the file was before.
//!
//! Of two syncs of a file at the same time one may be told of a failure that is the other's. So a commit waits for the sync
//! that was begun ahead of it, and none is begun while it is on its way.
//!
//! A failed sync ends the run and is never tried again: after it, nothing is known about the file.

mod commit;
mod compress;
mod finals;
mod format;
mod layout;
mod naming;
mod opening;
mod output;
mod partition;
mod parts;
mod piece;
mod replace;
mod rolling;
mod shared;
mod spare;
mod state;
mod template;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

pub use compress::Compression;
#[cfg(feature = "objects")]
pub(in crate::sink) use compress::Stream;
pub(crate) use format::{Encoder, Format};
use layout::{Layout, Namer};
use naming::PARTIALS;
use opening::{Before, Wanted, open_all};
use output::{Output, failed};
pub use partition::Partition;
use parts::{BeforeParts, Folder, OpenedParts, WantedParts, open_parts};
use rolling::parts_are_settled;
use shared::Shared;
use spare::Spare;
use state::{Finished, PartState, Parts, Single};

use super::{Committed, Opening, only, unopened};
use crate::checkpoint::{CheckpointStore, FileStore, Lease, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, Work, blocking};
use crate::records::Batch;

/// When so many bytes have gathered of all sources together, a page is appended as it comes: with a thousand sources the
/// memory would be cold, and much of it, before their buffers are full.
const ALL_BUFFERS: usize = 32 * 1024 * 1024;

/// Files of one format.
#[derive(Debug)]
pub(crate) struct Files<F: Format> {
    pub(crate) format: F,
    pub(crate) layout: Layout,
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    sources: BTreeMap<Arc<str>, SourceFiles<F::Encoder>>,
    /// Goes along with every piece of work: what is still being written when a run is dropped keeps the next
    /// one out until it has landed.
    lease: Option<Lease>,
    spare: Spare,
    /// Bytes in the buffers of all outputs.
    gathered: usize,
    /// Whether a commit is on its way; for good, if it was broken off.
    is_committing: Arc<AtomicBool>,
    /// If a source has several files.
    namer: Option<Namer>,
    /// Files that there are copies of, which the stored checkpoints name from the first commit on.
    copied: Vec<PathBuf>,
    /// Counts what is written to them.
    clock: u64,
    /// If all sources share the files.
    shared: Option<Shared<F::Encoder>>,
    /// What was written to which part, in bytes and records, if they do.
    noted: Vec<(u64, u64, u64)>,
    /// The one file that such a run has finished.
    placed: Option<PathBuf>,
}

/// The files of one source.
#[derive(Debug)]
struct SourceFiles<E> {
    encoder: E,
    outputs: Vec<Output>,
    /// Whether a batch was written since the last commit.
    touched: bool,
    /// Of several files: the start of the run, the number of the next one, and how many are finished.
    start: String,
    next: u64,
    count: u64,
    /// What the last commit has finished, and has no name yet.
    finished: Vec<Finished>,
    /// The same as it was when it was open.
    ended: Vec<PartState>,
}

impl<F: Format> Files<F> {
    pub(crate) fn new(format: F, fs: Arc<dyn Fs>, dir: PathBuf) -> Self {
        Self {
            format,
            layout: Layout::default(),
            dir,
            fs,
            sources: BTreeMap::new(),
            lease: None,
            spare: Spare::default(),
            gathered: 0,
            is_committing: Arc::default(),
            namer: None,
            copied: Vec::new(),
            clock: 0,
            shared: None,
            noted: Vec::new(),
            placed: None,
        }
    }

    /// What the states that were committed depend on.
    pub(crate) fn definition(&self, format: &str) -> String {
        let compression = match self.layout.compression.suffix() {
            "" => "",
            ".gz" => ", gzip",
            _ => ", zstd",
        };
        let files = match (self.layout.is_shared, self.layout.is_parts()) {
            (true, _) => "files of all sources",
            (false, true) => "files in parts",
            (false, false) => "a file for each source",
        };
        format!("{format}{compression}, {files}")
    }

    pub(crate) fn checkpoints(&self) -> Arc<dyn CheckpointStore> {
        Arc::new(FileStore::on(self.fs.clone(), self.dir.join(".headwater")))
    }

    /// The encoder of a source that is open.
    #[allow(dead_code, reason = "what a format has gathered beside the bytes is taken out of it")]
    pub(crate) fn encoder(&mut self, source: &str) -> Option<&mut F::Encoder> {
        self.sources.get_mut(source).map(|files| &mut files.encoder)
    }

    /// The end of the file names.
    fn ending(&self) -> String {
        format!(".{}{}", self.format.extension(), self.layout.compression.suffix())
    }

    /// The folder of the files that are written to.
    fn place(&self) -> PathBuf {
        if self.namer.is_some() { self.dir.join(PARTIALS) } else { self.dir.clone() }
    }

    pub(crate) async fn open(&mut self, opening: Opening<'_>) -> Result<SinkState> {
        only(self.open_all(&[opening]).await?)
    }

    pub(crate) async fn open_all(&mut self, openings: &[Opening<'_>]) -> Result<Vec<SinkState>> {
        let Some(first) = openings.first() else { return Ok(Vec::new()) };
        self.is_free_to_commit()?;
        // Of a source that begins anew something may be on its way: it must not land behind the cut.
        for opening in openings {
            if let Some(files) = self.sources.get_mut(opening.source) {
                files.settle().await?;
            }
        }
        self.lease = Some(first.lease.clone());
        if self.layout.is_shared {
            return self.open_shared(openings).await;
        }
        if self.layout.is_parts() {
            return self.open_in_parts(openings, first.started_at, first.lease).await;
        }
        let mut wanted = Vec::with_capacity(openings.len());
        let mut encoders = Vec::with_capacity(openings.len());
        for opening in openings {
            let source = opening.source.to_owned();
            let (before, known) = match opening.committed {
                Committed::Nothing => (Before::Nothing, None),
                // What a format has learnt of a source it keeps.
                Committed::Finished(state) => (Before::Finished, state::read::<Single>(state).ok()),
                Committed::Unfinished(state) => {
                    let state: Single = state::read(state)?;
                    (Before::Unfinished(state.file.clone()), Some(state))
                }
            };
            let known = known.map(|state| state.format).unwrap_or_default();
            encoders.push(self.format.encoder(opening.source, opening.label, &known)?);
            wanted.push(Wanted { source, before });
        }
        let (dir, started_at, lease) = (self.dir.clone(), first.started_at, first.lease.clone());
        let (ending, compression) = (self.ending(), self.layout.compression);
        let outputs = self
            .work(move |fs| open_all(fs, &dir, &ending, compression, &wanted, started_at, &lease))
            .await
            .unwrap_or_else(|error| Err(failed(&self.dir, "cannot be opened", error)))?;
        let mut states = Vec::with_capacity(outputs.len());
        for ((opening, output), encoder) in openings.iter().zip(outputs).zip(encoders) {
            let files = SourceFiles::new(encoder, vec![output], Parts::begin(String::new()));
            states.push(files.state(false)?);
            self.sources.insert(opening.source.into(), files);
        }
        Ok(states)
    }

    async fn open_in_parts(
        &mut self,
        openings: &[Opening<'_>],
        started_at: SystemTime,
        lease: &Lease,
    ) -> Result<Vec<SinkState>> {
        let namer = self.layout.namer(&self.ending())?;
        self.namer = Some(namer.clone());
        let wanted = openings.iter().map(|opening| {
            let before = match opening.committed {
                Committed::Nothing => BeforeParts::Nothing,
                Committed::Finished(state) => BeforeParts::Finished(state::read(state).ok()),
                Committed::Unfinished(state) => BeforeParts::Unfinished(state::read(state)?),
            };
            Ok(WantedParts { source: opening.source.to_owned(), before })
        });
        let wanted = wanted.collect::<Result<Vec<WantedParts>>>()?;
        let folder = Folder { dir: self.dir.clone(), namer, compression: self.layout.compression };
        let lease = lease.clone();
        let opened = self
            .work(move |fs| open_parts(fs, &folder, &wanted, started_at, &lease))
            .await
            .unwrap_or_else(|error| Err(failed(&self.dir, "cannot be opened", error)))?;
        let mut states = Vec::with_capacity(opened.len());
        for (opening, OpenedParts { state, outputs, copied }) in openings.iter().zip(opened) {
            self.copied.extend(copied);
            let encoder = self.format.encoder(opening.source, opening.label, &state.format)?;
            let mut files = SourceFiles::new(encoder, outputs, state);
            // What was not settled has another state now, which the next commit has to give.
            let is_unsettled = |state| !parts_are_settled(state);
            files.touched = matches!(opening.committed, Committed::Unfinished(state) if is_unsettled(state));
            states.push(files.state(true)?);
            self.sources.insert(opening.source.into(), files);
        }
        Ok(states)
    }

    pub(crate) async fn write(&mut self, source: &str, batch: &Batch) -> Result<()> {
        if self.layout.is_shared {
            return self.write_shared(source, batch).await;
        }
        if self.namer.is_some() && self.sources.contains_key(source) {
            return self.write_parts(source, batch).await;
        }
        let files = self.sources.get_mut(source);
        let files = files.ok_or_else(|| unopened(source))?;
        let Some(output) = files.outputs.first_mut() else { return Ok(()) };
        if output.buffer.capacity() == 0 {
            output.buffer = self.spare.take();
        }
        let before = output.buffer.len();
        if output.is_blank() {
            files.encoder.begin(&mut output.buffer)?;
        }
        let taken = files.encoder.encode(batch, 0..batch.len(), &mut output.buffer)?;
        if taken < batch.len() {
            let what = "a new file must begin, but there is one for each source";
            return Err(Error::new(ErrorKind::Sink, what));
        }
        (output.touched, files.touched) = (true, true);
        self.gathered += output.buffer.len() - before;
        if output.buffer.len() < self.layout.buffer() && self.gathered < ALL_BUFFERS {
            return Ok(());
        }
        self.flush(source, 0).await
    }

    /// Sends what is buffered on its way to the file. Waits only for the piece before it.
    async fn flush(&mut self, source: &str, index: usize) -> Result<()> {
        let files = self.sources.get_mut(source);
        let Some(output) = files.and_then(|files| files.outputs.get_mut(index)) else { return Ok(()) };
        output.settle().await?;
        output.synced(false).await?;
        let is_committing = self.is_committing.load(Ordering::Acquire);
        let ahead = if is_committing { u64::MAX } else { self.layout.sync_ahead };
        if let Some(file) = output.due(ahead) {
            let lease = self.lease.clone();
            output.syncing = Some(Work::begin(&self.fs, move |_| {
                let _lease = lease;
                file.sync()
            }));
        }
        let (mut piece, lease) = (output.piece(&self.spare), self.lease.clone());
        self.gathered -= piece.bytes.len().min(self.gathered);
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

    pub(crate) async fn close(&mut self) -> Result<()> {
        let mut closed = Ok(());
        // All of it: what is on its way holds the lease.
        for files in self.sources.values_mut() {
            closed = closed.and(files.settle().await);
        }
        self.sources.clear();
        self.shared = None;
        (self.spare, self.gathered) = (Spare::default(), 0);
        (self.lease, self.is_committing) = (None, Arc::default());
        closed
    }

    pub(crate) fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        if self.layout.is_shared {
            // It stands between what is of others.
            return None;
        }
        if self.layout.is_parts() {
            return state::stored(&state::read::<Parts>(state).ok()?.emptied()?).ok();
        }
        state::stored(&state::read::<Single>(state).ok()?.emptied()).ok()
    }

    pub(crate) fn location(&self, state: &SinkState) -> Option<String> {
        if self.layout.is_shared {
            return Some(self.placed.as_ref().unwrap_or(&self.dir).display().to_string());
        }
        if self.layout.is_parts() {
            let state: Parts = state::read(state).ok()?;
            return Some(match state.finished.as_slice() {
                [only] if state.count == 1 => self.dir.join(&only.name).display().to_string(),
                _ => self.dir.display().to_string(),
            });
        }
        let state: Single = state::read(state).ok()?;
        Some(self.dir.join(state.file.file).display().to_string())
    }
}

impl<E: Encoder> SourceFiles<E> {
    fn new(encoder: E, outputs: Vec<Output>, state: Parts) -> Self {
        let Parts { start, next, count, .. } = state;
        Self { encoder, outputs, touched: false, start, next, count, finished: Vec::new(), ended: Vec::new() }
    }

    /// Waits for all that is on its way.
    async fn settle(&mut self) -> Result<()> {
        let mut settled = Ok(());
        for output in &mut self.outputs {
            settled = settled.and(output.settle().await);
            settled = settled.and(output.synced(true).await);
        }
        settled
    }

    fn state(&self, is_parts: bool) -> Result<SinkState> {
        if is_parts {
            return self.parts();
        }
        let missing = || Error::new(ErrorKind::Sink, "the output has no file");
        let file = self.outputs.first().ok_or_else(missing)?.state();
        state::stored(&Single { file, format: self.encoder.state() })
    }
}
