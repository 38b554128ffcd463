//! How far a source has come, stored so that the next run goes on from there.
//!
//! A [`Checkpoint`] is stored **after** the sink's commit and never before; it never goes backwards, and a
//! run with an older epoch cannot overwrite that of a newer one. What cannot be read, or belongs to another
//! definition, is an error and never "start from zero".

mod definition;
mod file;
mod folder;
mod format;
mod group;
mod lock;
mod memory;
#[cfg(feature = "objects")]
pub(crate) mod objects;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use definition::Definition;
pub(crate) use definition::{MARK, RANGE};
pub use file::FileStore;
pub use memory::MemoryStore;
#[cfg(feature = "objects")]
#[cfg_attr(docsrs, doc(cfg(feature = "objects")))]
pub use objects::ObjectsStore;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use sqlite::SqliteStore;

use crate::error::{Error, ErrorKind, Result};
use crate::mark::Mark;

/// How far one source has come in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The name of the source.
    pub source: String,
    /// The run: all sources of a run share it, and a run that was broken off keeps it when it goes on.
    pub run: String,
    /// Which run it is from: each next one's is higher, and the highest one counts.
    pub epoch: u64,
    /// Where to go on. A mark at the end says that the source is finished.
    pub mark: Mark,
    /// How many records are committed.
    pub records: u64,
    /// What the sink needs to go on.
    pub sink: SinkState,
    /// What was pulled, by hashes of its parts.
    pub definition: Definition,
    /// When it was stored (RFC 3339, UTC).
    pub saved_at: String,
}

impl Checkpoint {
    /// Whether the source has nothing left in this run.
    pub fn is_finished(&self) -> bool {
        self.mark.is_end()
    }

    /// Refuses to be overwritten by a checkpoint that lies before it.
    ///
    /// Every store calls this with what it holds.
    ///
    /// # Errors
    /// `Locked` if `next` is of an older epoch: another run has taken over. `Checkpoint` if it is of the
    /// same epoch and has fewer pages.
    pub fn check_successor(&self, next: &Checkpoint) -> Result<()> {
        if next.epoch < self.epoch {
            let what = format!("another run has taken over (epoch {} after {})", self.epoch, next.epoch);
            return Err(Error::new(ErrorKind::Locked, what)
                .advice("this run must not go on; the other one has the data")
                .at(|context| context.source = Some(next.source.as_str().into())));
        }
        // Within an epoch there is one run. The next one may have read less than an overtaken run stored after that.
        if next.epoch == self.epoch && next.run == self.run && next.mark.pages < self.mark.pages {
            let what =
                format!("a checkpoint cannot go back from page {} to {}", self.mark.pages, next.mark.pages);
            return Err(Error::new(ErrorKind::Checkpoint, what)
                .at(|context| context.source = Some(next.source.as_str().into())));
        }
        Ok(())
    }
}

/// What a sink needs to go on with one source: its own business, as JSON. It must hold no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SinkState(pub serde_json::Value);

/// A place for checkpoints.
pub trait CheckpointStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps other runs out until the lease is dropped.
    ///
    /// # Errors
    /// `Locked` if another run is in; the error names it.
    fn lock(&self) -> BoxFuture<'_, Result<Lease>>;

    /// Keeps other runs out, one that holds the store now included: from here on nothing that it stores
    /// counts, whenever it wakes. Where nobody holds the store this is [`lock`](Self::lock).
    ///
    /// A store that implements it gives a lease of a higher [`term`](Hold::term) than any before, whose
    /// [`check`](Hold::check) really looks: sinks rely on both. The default is `lock`, for a store that cannot
    /// be taken over.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock), if another run was quicker.
    fn take_over(&self) -> BoxFuture<'_, Result<Lease>> {
        self.lock()
    }

    /// Reads the checkpoint of a source.
    ///
    /// # Errors
    /// `Checkpoint` if there is one and it cannot be read or trusted.
    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>>;

    /// Reads the checkpoints of many sources, in their order. The default reads one after the other.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    fn load_all<'a>(&'a self, sources: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Checkpoint>>>> {
        Box::pin(async move {
            let mut checkpoints = Vec::with_capacity(sources.len());
            for source in sources {
                checkpoints.push(self.load(source).await?);
            }
            Ok(checkpoints)
        })
    }

    /// Stores checkpoints of different sources, all of them durable when it returns. The lease is looked at
    /// behind that: what a run stores that was taken over does not count.
    ///
    /// # Errors
    /// As for [`Checkpoint::check_successor`] and [`Lease::check`], and `Checkpoint` if one cannot be written.
    /// After an error it is not known which were stored; each is the old one or the new one, whole.
    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>>;
}

/// The right to be the only run on a store, until it and all its clones are dropped.
///
/// Work that goes on when the run is dropped, on a thread of its own say, keeps a clone: so no other run
/// begins while an old write may still land.
#[derive(Debug, Clone)]
pub struct Lease {
    held: Arc<dyn Hold>,
}

/// What a [`Lease`] holds: whatever gives the right up when it is dropped.
pub trait Hold: fmt::Debug + Send + Sync + 'static {
    /// How often the store was taken over from a run that still held it. A run of a lower term may still
    /// live, frozen, with files open.
    fn term(&self) -> u64 {
        0
    }

    /// Looks whether the right is still ours. It may block.
    ///
    /// # Errors
    /// `Locked` if another run has taken over, `Checkpoint` if that cannot be seen.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Whether [`check`](Self::check) may take long, so that it belongs on a thread of its own.
    fn blocks(&self) -> bool {
        false
    }
}

impl Lease {
    /// Wraps what is held.
    pub fn new(held: impl Hold) -> Self {
        Self { held: Arc::new(held) }
    }

    /// How often the store was taken over from a run that still held it.
    pub fn term(&self) -> u64 {
        self.held.term()
    }

    /// Looks whether the right is still ours. It may block.
    ///
    /// # Errors
    /// `Locked` if another run has taken over, `Checkpoint` if that cannot be seen.
    pub fn check(&self) -> Result<()> {
        self.held.check()
    }

    /// The same for those that must not block.
    pub(crate) async fn looked_at(&self) -> Result<()> {
        if !self.held.blocks() {
            return self.check();
        }
        let lease = self.clone();
        let look = tokio::task::spawn_blocking(move || lease.check()).await;
        look.unwrap_or_else(|lost| {
            Err(Error::new(ErrorKind::Checkpoint, "the lock was not looked at").because(lost))
        })
    }
}

/// Nothing is held: for a store that has one user at a time by itself.
impl Hold for () {}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::request::Position;

    pub(crate) fn sample() -> Checkpoint {
        let mut mark = Mark::at(Position::Cursor("in_é\"1".into()));
        mark.pages = 7;
        Checkpoint {
            source: "invoices".into(),
            run: "20260517T100000Z-5f3a9c21".into(),
            epoch: 3,
            mark,
            records: 700,
            sink: SinkState(serde_json::json!({"file": "invoices_20260517T100000Z.jsonl", "length": 81_234})),
            definition: Definition::new().with("url", "https://api.example.com").with("records", "data"),
            saved_at: "2026-05-17T10:00:07Z".into(),
        }
    }

    #[test]
    fn a_checkpoint_never_goes_back() {
        let stored = sample();
        let with = |change: fn(&mut Checkpoint)| {
            let mut next = sample();
            change(&mut next);
            stored.check_successor(&next).map_err(|error| error.kind())
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|next| next.mark.pages = 8), Ok(()));
        assert_eq!(with(|next| next.mark.pages = 6), Err(ErrorKind::Checkpoint));
        assert_eq!(with(|next| next.epoch = 2), Err(ErrorKind::Locked));
        assert_eq!(with(|next| (next.epoch, next.run, next.mark.pages) = (4, "later".into(), 0)), Ok(()));
    }
}
