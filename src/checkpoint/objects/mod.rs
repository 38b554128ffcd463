//! Checkpoints in an object store, with conditional puts.

mod entry;
mod lease;
mod log;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use object_store::ObjectStore;

pub use entry::CommittedObject;
pub(crate) use entry::{Completed, Discarded, Entry, OutputAt};
pub(crate) use lease::{hold, release};
pub(crate) use log::{Log, cause, timed};

use super::{Checkpoint, CheckpointStore, Lease};
use crate::error::{Error, ErrorKind, Result};

/// How long a holder may be silent, unless it is told otherwise.
const SILENCE: Duration = Duration::from_secs(30);

/// Checkpoints in an object store, in the log `{prefix}/_headwater/log/`: S3 and what speaks it, Google Cloud Storage, Azure,
/// a folder.
///
/// Each [`save`](CheckpointStore::save) is one object of the next number, put only where there is none
/// (`If-None-Match: *`). So the checkpoints of a commit are stored together or not at all, and a run that was overtaken can
/// store nothing any more. The store must honour that condition and show what was put to the next reader, as S3, GCS,
/// Azure, R2, MinIO and file systems do.
///
/// The sink [`Objects`](crate::sink::Objects) keeps its manifest in the same log; for other sinks it is a checkpoint store
/// by itself:
///
/// ```
/// use std::sync::Arc;
/// use headwater::checkpoint::ObjectsStore;
/// use object_store::memory::InMemory;
///
/// let store = ObjectsStore::on(Arc::new(InMemory::new()), "team/github");
/// let pipeline = headwater::Pipeline::new().checkpoints(store);
/// ```
#[derive(Debug, Clone)]
pub struct ObjectsStore {
    log: Arc<Log>,
    silence: Duration,
}

impl ObjectsStore {
    /// Keeps the checkpoints below this prefix.
    pub fn on(store: Arc<dyn ObjectStore>, prefix: impl AsRef<str>) -> Self {
        let place = format!("{store}/{}", prefix.as_ref());
        Self::at(store, prefix.as_ref(), place)
    }

    /// The same, called by what people call the place.
    pub(crate) fn at(store: Arc<dyn ObjectStore>, prefix: &str, place: String) -> Self {
        Self { log: Arc::new(Log::new(store, prefix, place)), silence: SILENCE }
    }

    /// How long after the last sign of life a holder is taken for dead, one that was killed say (default: 30 s). It gives
    /// four in that time. Nothing is lost if that was wrong: the one that wakes stores nothing any more.
    #[must_use]
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    async fn store(&self, lease: &Lease, checkpoints: &[Checkpoint]) -> Result<()> {
        let holder = self.log.holder();
        if holder.as_ref().is_some_and(|holder| holder.term > lease.term()) {
            return Err(self.log.overtaken());
        }
        let waiting = self.log.waiting();
        if checkpoints.is_empty() && waiting.len() == 0 {
            return Ok(());
        }
        let writer =
            holder.map_or_else(|| format!("nobody{:016x}", fastrand::u64(..)), |holder| holder.writer);
        let appended = self.log.append(&writer, |view, entry| {
            let held = view.holder.as_ref().filter(|held| !held.is_released);
            if held.is_some_and(|held| held.writer != writer) {
                return Err(self.log.overtaken());
            }
            for next in checkpoints {
                if let Some(last) = view.checkpoints.get(&next.source) {
                    last.check_successor(next)?;
                }
                entry.put(next).map_err(|why| {
                    Error::new(ErrorKind::Checkpoint, "the checkpoint cannot be written").because(why)
                })?;
            }
            entry.add(&waiting);
            Ok(())
        });
        appended.await?;
        self.log.counted(&waiting);
        Ok(())
    }
}

impl CheckpointStore for ObjectsStore {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(lease::lock(&self.log, self.silence, false))
    }

    fn take_over(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(lease::lock(&self.log, self.silence, true))
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        Box::pin(self.log.look(|view| view.checkpoints.get(source).map(|known| Checkpoint::clone(known))))
    }

    fn load_all<'a>(&'a self, sources: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Checkpoint>>>> {
        Box::pin(self.log.look(|view| {
            let known = |source: &&str| view.checkpoints.get(*source).map(|known| Checkpoint::clone(known));
            sources.iter().map(known).collect()
        }))
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.store(lease, checkpoints))
    }
}
