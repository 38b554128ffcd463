//! JSON lines in files.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use super::files::{Compression, Encoder, Files, Format};
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
