//! JSON lines, or Parquet, as objects: in S3 and what speaks it, in Google Cloud Storage, in Azure, in a folder.
//!
//! Objects cannot be appended to, and are there for everybody as soon as they are put. So what counts is what the
//! **manifest** names, and that is the log of the prefix, which the [checkpoints](crate::checkpoint::ObjectsStore) stand in
//! as well:
//!
//! - *write*: lines are gathered, compressed, and from 8 MiB on uploaded in parts while more come, or rows, which row group by row
//!   group become the bytes of Parquet. No disk is needed.
//! - *commit*: the object of each source is completed. Its name is its own: the source, the start of the run, its number
//!   among the objects of that run, and the number of the log entry by which this run has locked the prefix. So nobody ever
//!   overwrites what another has put.
//! - *store*: one object of the log names the objects of the commit and has the checkpoints behind them in it. It is put
//!   only if no entry of its number is there. That is the one moment when all of it begins to count.
//!
//! A crash before that leaves objects that no manifest names, which `open` removes. A crash behind it loses nothing. A run
//! that was overtaken, whenever it wakes, finds the number of its next entry taken, and stops.
//!
//! With another checkpoint store, the entry is put at the end of the commit, before the checkpoint is stored. A crash between the
//! two leaves entries that the checkpoint does not know: `open` takes them back by an entry of its own, so that each record
//! is in the manifest once when the next run goes on.

mod encode;
mod object;
mod opening;
mod output;
#[cfg(feature = "parquet")]
mod rows;
mod stores;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use object::Uploads;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use opening::State;
use output::Output;
use tokio::sync::Semaphore;

pub use crate::checkpoint::objects::CommittedObject;
#[cfg(feature = "azure")]
pub use stores::Azure;
#[cfg(feature = "gcs")]
pub use stores::Gcs;
#[cfg(feature = "s3")]
pub use stores::S3;

use super::{Committing, Compression, Guarantee, Opening, Sink, SinkStates, only};
use crate::checkpoint::objects::{Log, release};
use crate::checkpoint::{CheckpointStore, ObjectsStore, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;

/// See [`Objects::object_size`].
const OBJECT: u64 = 256 * 1024 * 1024;
/// See [`Objects::memory`].
const MEMORY: usize = 64 * 1024 * 1024;
/// S3 wants 5 MiB at least, and 10,000 parts at most.
const PART: usize = 8 * 1024 * 1024;
/// So many parts are on their way at once.
const FLIGHTS: usize = 4;
const COMMIT_EVERY: Duration = Duration::from_secs(60);
/// The name of the folder that is ours.
const OWN: &str = "_headwater";

/// JSON lines in objects `{prefix}/{source}/{run start}/{number}-{session}.jsonl.gz`, with `__source` and `__ingested_at` added to
/// each record by the rules of [`Annotator`](crate::Annotator).
///
/// Exactly once, for whoever reads what the manifest names ([`committed`], or the objects in `{prefix}/_headwater/log/`): a
/// crash at any instant, then a rerun, leaves each record in one of those objects once. What else lies below the prefix
/// does not count. The checkpoints are kept with the manifest, unless the pipeline is given another store.
///
/// With the feature `parquet` they may be Parquet objects with typed columns instead (`Objects::parquet`).
///
/// Each commit makes an object of each source that has new records. It is made every 60 s, unless the pipeline is told
/// otherwise, and before that when 64 MiB have [gathered](Self::memory) or an object has [256 MiB](Self::object_size).
///
/// ```no_run
/// use headwater::{Pipeline, sink::Objects};
/// let pipeline = Pipeline::new().sink(Objects::local("out")?);
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug)]
pub struct Objects {
    store: ObjectsStore,
    uploads: Uploads,
    compression: Compression,
    /// Where objects have columns.
    #[cfg(feature = "parquet")]
    tables: Option<rows::Tables>,
    outputs: BTreeMap<Arc<str>, Output>,
    /// The entry by which this run holds the log.
    session: Option<u64>,
    /// Whether the checkpoints are stored in the log.
    has_checkpoints: AtomicBool,
    /// Bytes in memory, which no part has taken away yet.
    gathered: usize,
    memory: usize,
    object_size: u64,
    is_large: bool,
}

impl Objects {
    /// Writes below this prefix of a store. What of it must hold, [`ObjectsStore`] says; its retries and timeouts are its own.
    pub fn on(store: Arc<dyn ObjectStore>, prefix: impl AsRef<str>) -> Self {
        let place = format!("{store}/{}", prefix.as_ref());
        Self::at(store, prefix.as_ref(), place)
    }

    fn at(store: Arc<dyn ObjectStore>, prefix: &str, place: String) -> Self {
        let store = ObjectsStore::at(store, prefix, place);
        let flights = Arc::new(Semaphore::new(FLIGHTS));
        let uploads = Uploads { log: store.log().clone(), part: PART, flights };
        Self {
            store,
            uploads,
            compression: Compression::gzip(),
            #[cfg(feature = "parquet")]
            tables: None,
            outputs: BTreeMap::new(),
            session: None,
            has_checkpoints: AtomicBool::new(false),
            gathered: 0,
            memory: MEMORY,
            object_size: OBJECT,
            is_large: false,
        }
    }

    /// Writes into this folder, which is made if need be. Everything is synced.
    ///
    /// # Errors
    /// `Sink` if the folder cannot be made.
    pub fn local(dir: impl AsRef<std::path::Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let unusable = |error: Box<dyn std::error::Error + Send + Sync>| {
            let what = format!("{} cannot be used as the output folder", dir.display());
            Error::new(ErrorKind::Sink, what).because(error)
        };
        std::fs::create_dir_all(dir).map_err(|error| unusable(error.into()))?;
        let folder = LocalFileSystem::new_with_prefix(dir).map_err(|error| unusable(error.into()))?;
        Ok(Self::at(Arc::new(folder.with_fsync(true)), "", dir.display().to_string()))
    }

    /// Writes into S3 at `bucket/prefix`, with the credentials that stand in the environment. [`S3`] takes others.
    ///
    /// # Errors
    /// `Config` if something is missing or does not fit.
    #[cfg(feature = "s3")]
    #[cfg_attr(docsrs, doc(cfg(feature = "s3")))]
    pub fn s3(place: impl AsRef<str>) -> Result<Self> {
        S3::new(place).build()
    }

    /// Writes into Google Cloud Storage at `bucket/prefix`, with the credentials that stand in the environment. [`Gcs`] takes
    /// others.
    ///
    /// # Errors
    /// `Config` if something is missing or does not fit.
    #[cfg(feature = "gcs")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gcs")))]
    pub fn gcs(place: impl AsRef<str>) -> Result<Self> {
        Gcs::new(place).build()
    }

    /// Writes into Azure Blob Storage at `container/prefix`, with the credentials that stand in the environment. [`Azure`] takes
    /// others.
    ///
    /// # Errors
    /// `Config` if something is missing or does not fit.
    #[cfg(feature = "azure")]
    #[cfg_attr(docsrs, doc(cfg(feature = "azure")))]
    pub fn azure(place: impl AsRef<str>) -> Result<Self> {
        Azure::new(place).build()
    }

    /// Compresses otherwise than with gzip, which is the default. Each object is one gzip member or zstd frame. Of Parquet objects
    /// the pages are compressed, always with zstd.
    ///
    /// ```no_run
    /// use headwater::sink::{Compression, Objects};
    /// let sink = Objects::local("out")?.compress(Compression::none());
    /// # Ok::<(), headwater::Error>(())
    /// ```
    #[must_use]
    pub fn compress(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Commits when so many bytes of all objects have gathered in memory (default: 64 MiB). While a commit is made as many may
    /// gather again; beside that up to 32 MiB are on their way.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Commits when an object has so many bytes (default: 256 MiB).
    #[must_use]
    pub fn object_size(mut self, bytes: u64) -> Self {
        self.object_size = bytes;
        self
    }

    /// Uploads an object in parts of so many bytes when it is larger (default: 8 MiB). S3 wants 5 MiB at least, and 10,000 parts
    /// at most.
    #[must_use]
    pub fn part_size(mut self, bytes: usize) -> Self {
        self.uploads.part = bytes.max(1);
        self
    }

    /// How long after the last sign of life a run is taken for dead ([`ObjectsStore::silence`]; default: 30 s).
    #[must_use]
    pub fn silence(mut self, silence: Duration) -> Self {
        self.store = self.store.silence(silence);
        self
    }
}

/// The objects below a prefix that count, in the order in which they were committed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> headwater::Result<()> {
/// use std::sync::Arc;
/// use headwater::sink::objects::committed;
/// use object_store::memory::InMemory;
///
/// let objects = committed(Arc::new(InMemory::new()), "team/github").await?;
/// assert!(objects.is_empty(), "nothing was committed yet");
/// # Ok(()) }
/// ```
///
/// # Errors
/// `Checkpoint` if the manifest cannot be read or trusted.
pub async fn committed(store: Arc<dyn ObjectStore>, prefix: impl AsRef<str>) -> Result<Vec<CommittedObject>> {
    let log = Log::new(store, prefix.as_ref(), prefix.as_ref().to_owned());
    Ok(log.committed().await?.objects)
}

/// The objects below a prefix that have records which did not fit, in the order in which they were committed. Each line of one has
/// the record as a string, the reason and its position ([`DeadLetters`](crate::sink::DeadLetters)).
///
/// # Errors
/// As for [`committed`].
pub async fn rejected(store: Arc<dyn ObjectStore>, prefix: impl AsRef<str>) -> Result<Vec<CommittedObject>> {
    let log = Log::new(store, prefix.as_ref(), prefix.as_ref().to_owned());
    Ok(log.committed().await?.rejected)
}

impl Sink for Objects {
    fn definition(&self) -> String {
        #[cfg(feature = "parquet")]
        if self.tables.is_some() {
            return "objects, Parquet".into();
        }
        "objects, JSON lines".into()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        self.has_checkpoints.store(true, Ordering::Release);
        Some(Arc::new(self.store.clone()))
    }

    fn is_transactional(&self) -> bool {
        true
    }

    fn commit_every(&self) -> Option<Duration> {
        Some(COMMIT_EVERY)
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move { only(self.open_outputs(&[opening]).await?) })
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        Box::pin(async move { self.open_outputs(&openings).await })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.take(source, batch))
    }

    fn is_full(&self) -> bool {
        self.gathered >= self.memory || self.is_large
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.begin().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(self.begin())
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        let state = State::read(state).ok()?;
        State { objects: 0, rejected: 0, ..state }.json().ok()
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            for output in std::mem::take(&mut self.outputs).into_values() {
                output.abort().await;
            }
            self.weigh();
            // Here and not when the lease is dropped, for there nothing can be waited for.
            if let Some(holder) = self.log().holder().filter(|_| self.session.take().is_some()) {
                release(self.log(), &holder).await;
            }
            Ok(())
        })
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        let state = State::read(state).ok()?;
        Some(format!("{}/{}/{}/", self.log().place.trim_end_matches('/'), state.source, state.folder))
    }

    fn rejected(&self, state: &SinkState) -> u64 {
        State::read(state).map_or(0, |state| state.rejected)
    }
}
