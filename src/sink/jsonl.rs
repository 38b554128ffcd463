//! JSON lines in files.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;

use super::files::{Compression, Encoder, Files, Format, Partition};
use super::{Committing, Guarantee, Opening, Sink, SinkStates};
use crate::checkpoint::{CheckpointStore, SinkState};
use crate::error::Result;
use crate::fs::{Disk, Fs};
use crate::records::{Annotator, Batch};

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
    files: Files<Lines>,
}

impl Jsonl {
    /// Writes into this folder, which is made if need be.
    pub fn dir(dir: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(Disk), dir)
    }

    /// Writes on another file system.
    pub fn on(fs: Arc<dyn Fs>, dir: impl Into<PathBuf>) -> Self {
        Self { files: Files::new(Lines, fs, dir.into()) }
    }

    /// Appends the lines of a source to its file when so many bytes have gathered (default: 256 KiB, of compressed files
    /// 512 KiB), and at each commit. The page that reaches it goes along as a whole. All sources together gather 32 MiB.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.files.layout.buffer = Some(bytes);
        self
    }

    /// Begins a sync of a file when so many bytes of it wait for one (default: 16 MiB), while pages come, so that
    /// little is left for the commit. What counts as stored is the same: what was committed.
    #[must_use]
    pub fn sync_ahead(mut self, bytes: u64) -> Self {
        self.files.layout.sync_ahead = bytes;
        self
    }

    /// Finishes a file when it has so many bytes on the disk, and goes on with the next one. The page that reaches it goes
    /// along as a whole; what is compressed counts when it has been, and is up to two [buffers](Self::buffer) more.
    ///
    /// Files that roll are called `{source}_{run start}_{part}.jsonl`, unless [`names`](Self::names) says otherwise. Until one is
    /// finished it is in `{dir}/.partial`. It gets its final name when the checkpoint is stored that knows it as finished: so
    /// whoever sees a file under its final name has all of it, committed, and it never changes. A name that is taken is never
    /// overwritten. A run that is stopped leaves its unfinished files there, and goes on with them; at the end of a source they
    /// are finished.
    ///
    /// ```
    /// use headwater::sink::{Compression, Jsonl};
    /// use std::time::Duration;
    /// let sink = Jsonl::dir("out")
    ///     .compress(Compression::gzip())
    ///     .roll_at_bytes(128 * 1024 * 1024)
    ///     .roll_after(Duration::from_secs(3600));
    /// ```
    #[must_use]
    pub fn roll_at_bytes(mut self, bytes: u64) -> Self {
        self.files.layout.limits.bytes = Some(bytes);
        self
    }

    /// Finishes a file when it has so many records; see [`roll_at_bytes`](Self::roll_at_bytes).
    #[must_use]
    pub fn roll_at_rows(mut self, rows: u64) -> Self {
        self.files.layout.limits.rows = Some(rows.max(1));
        self
    }

    /// Finishes a file when the next page of its source was fetched so much later than its first one; see
    /// [`roll_at_bytes`](Self::roll_at_bytes).
    #[must_use]
    pub fn roll_after(mut self, age: Duration) -> Self {
        self.files.layout.limits.age = Some(age);
        self
    }

    /// Names the files by a template, which may have folders; see [`roll_at_bytes`](Self::roll_at_bytes) for when they get the
    /// name. `{start}` (of the run), `{part}` (`00001` and so on in each run of a source) and `{source}` must be in it, for no two
    /// files may have the same name; `{date}` is the day (UTC) that the records were fetched on. `.jsonl` is added, and `.gz`
    /// or `.zst`. What cannot be a file name everywhere is refused when the run begins.
    ///
    /// ```
    /// let sink = headwater::sink::Jsonl::dir("out").names("{source}/{date}/{start}-{part}");
    /// ```
    #[must_use]
    pub fn names(mut self, template: &str) -> Self {
        self.files.layout.names = Some(template.to_owned());
        self
    }

    /// Puts the files into folders by what their records hold, one level for each call; see
    /// [`roll_at_bytes`](Self::roll_at_bytes) for when they come there.
    #[must_use]
    pub fn partition_by(mut self, partition: Partition) -> Self {
        self.files.layout.partitions.push(partition);
        self
    }

    /// Keeps so many files of a source open at most (default: 64): where partitions need more, the one that was not written to
    /// for the longest time is finished.
    #[must_use]
    pub fn most_open_files(mut self, files: usize) -> Self {
        self.files.layout.most_open = files;
        self
    }

    /// Writes the records of all sources into the same files, `{dir}/all_{run start}_{part}.jsonl`: one, unless it rolls or is
    /// partitioned. For many small sources: a commit syncs one file, whatever the number of sources.
    ///
    /// The files are called by [`names`](Self::names) without `{source}`, and get their names when all sources of the run are
    /// finished; see [`roll_at_bytes`](Self::roll_at_bytes). Which bytes are whose is in `{dir}/.partial` until then, so a crash
    /// between the checkpoints of two sources costs neither of them a record: the next run copies the file without those
    /// that came behind the checkpoint of their source. A source that comes or goes from run to run is no matter. One with
    /// [`restart_on_expiry`](crate::source::SourceBuilder::restart_on_expiry) cannot begin anew, for its records stand between those of
    /// others: it fails.
    ///
    /// ```
    /// let sink = headwater::sink::Jsonl::dir("out").one_file();
    /// ```
    #[must_use]
    pub fn one_file(mut self) -> Self {
        self.files.layout.is_shared = true;
        self
    }

    /// Compresses the files.
    #[must_use]
    pub fn compress(mut self, compression: Compression) -> Self {
        self.files.layout.compression = compression;
        self
    }
}

impl Sink for Jsonl {
    fn definition(&self) -> String {
        self.files.definition("jsonl")
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        Some(self.files.checkpoints())
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        self.files.emptied(state)
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(self.files.open(opening))
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        Box::pin(async move { self.files.open_all(&openings).await })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.files.write(source, batch))
    }

    fn is_full(&self) -> bool {
        self.files.is_full()
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        self.files.finish(source);
        Box::pin(async { Ok(()) })
    }

    fn is_settled(&self, state: &SinkState) -> bool {
        self.files.is_settled(state)
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.files.begin_commit().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(self.files.begin_commit())
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.files.close())
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        self.files.location(state)
    }
}

/// The form of the lines.
#[derive(Debug)]
pub(super) struct Lines;

impl Format for Lines {
    type Encoder = Annotator;

    fn extension(&self) -> &'static str {
        "jsonl"
    }

    fn encoder(&self, _: &str, label: &str, _: &Value) -> Result<Annotator> {
        Ok(Annotator::new(label))
    }
}

impl Encoder for Annotator {
    fn encode(&mut self, batch: &Batch, records: Range<usize>, out: &mut Vec<u8>) -> Result<usize> {
        let count = records.len();
        self.append_some(batch, records, out);
        Ok(count)
    }
}
