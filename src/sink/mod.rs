//! Where records end up.
//!
//! A [`Sink`] takes batches of many sources and makes them durable on [`commit`](Sink::commit). What it
//! needs to go on after a crash it hands out as a [`SinkState`], which the checkpoint carries. The contract:
//!
//! 1. [`open`](Sink::open) once for each source, or [`open_all`](Sink::open_all) for all of them, with the state that was committed last: whatever was
//!    written after it is discarded. It gives the state that the source starts with, which is stored before
//!    anything is written.
//! 2. [`write`](Sink::write) any number of times. Nothing need be durable.
//! 3. [`begin_commit`](Sink::begin_commit) takes in all that was written until then, and gives a future that resolves when
//!    that is durable, with the states as they were when it began. Until it has resolved only `write` and `finish` are called,
//!    and what those take belongs to the next commit: so the pipeline goes on writing while a disk syncs. By default the whole commit is
//!    made at the beginning: a sink need only have [`commit`](Sink::commit). Then nothing is written before the checkpoints are
//!    stored, so that a sink can store them in the transaction of its rows.
//! 4. [`finish`](Sink::finish) behind the last page of a source, before the commit that this page belongs to: what is only
//!    whole with an end, a file with a footer say, gets it in that commit.
//! 5. [`close`](Sink::close) at the end, of a run that has failed too.
//!
//! # Databases
//!
//! A sink that can store checkpoints in the transaction of its rows says so ([`is_transactional`](Sink::is_transactional)):
//! its [`commit`](Sink::commit) puts the rows into a transaction and leaves that open, and the
//! [store](Sink::checkpoints) that it gave ends the transaction when the checkpoints are in it.
//!
//! Add a sink by adding a file here, or by implementing the trait in your own crate.

#[cfg(feature = "bigquery")]
mod bigquery;
mod boxed;
#[cfg(feature = "csv")]
mod csv;
mod files;
mod jsonl;
mod memory;
#[cfg(feature = "objects")]
#[cfg_attr(docsrs, doc(cfg(feature = "objects")))]
pub mod objects;
mod outputs;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "postgres")]
mod postgres;
mod rejected;
mod route;
#[cfg(any(feature = "bigquery", feature = "parquet", test))]
#[allow(dead_code, unused_imports, reason = "each sink that is built on it takes what it needs")]
pub(crate) mod spool;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stdout;
mod tee;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::{BoxFuture, ready};
use serde::Serialize;

#[cfg(feature = "bigquery")]
#[cfg_attr(docsrs, doc(cfg(feature = "bigquery")))]
pub use bigquery::BigQuery;
#[cfg(feature = "csv")]
#[cfg_attr(docsrs, doc(cfg(feature = "csv")))]
pub use csv::Csv;
pub use files::{Compression, Partition};
pub use jsonl::Jsonl;
pub use memory::Memory;
#[cfg(feature = "objects")]
#[cfg_attr(docsrs, doc(cfg(feature = "objects")))]
pub use objects::Objects;
#[cfg(feature = "parquet")]
#[cfg_attr(docsrs, doc(cfg(feature = "parquet")))]
pub use parquet::Parquet;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use postgres::Postgres;
pub use rejected::{CommittingLetters, DeadLetters, Letters, LettersState};
pub use route::Route;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use sqlite::Sqlite;
pub use stdout::Stdout;
pub use tee::Tee;

use crate::checkpoint::{CheckpointStore, Lease, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;

/// How often is committed where neither the pipeline nor its sink has a wish.
pub(crate) const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// A place for records.
///
/// The calls come one at a time. A future that is dropped leaves the sink unusable; the run then ends, and
/// the next one starts from what was committed.
pub trait Sink: fmt::Debug + Send {
    /// What it is, with everything that a change of would make the committed states meaningless. It becomes
    /// a part of the definition in the checkpoint; it must hold no secret.
    fn definition(&self) -> String;

    /// What a crash can do.
    fn guarantee(&self) -> Guarantee;

    /// The checkpoint store that belongs to this sink. It is only asked for when it will be used: the pipeline was given no
    /// other.
    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        None
    }

    /// Whether the rows of a commit and the checkpoints in the [store](Self::checkpoints) of this sink are one transaction,
    /// which the store ends. Without that store [`commit`](Self::commit) must end it, and the
    /// [guarantee](Self::guarantee) may be less.
    fn is_transactional(&self) -> bool {
        false
    }

    /// How often this sink is best committed, unless the pipeline is told: a table that is loaded wants fewer and larger
    /// commits than a file. The default is the pipeline's.
    fn commit_every(&self) -> Option<Duration> {
        None
    }

    /// Opens the output of one source and discards what was written after the committed state. Writes
    /// nothing yet.
    ///
    /// # Errors
    /// `Sink` if the place cannot be written, `Checkpoint` if what is there is not what was committed.
    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>>;

    /// Opens the outputs of many sources, as [`open`](Self::open) does each, and gives their states in the same order.
    /// They are of one run: the start and the lease are the same. The default opens one after the other; a sink that
    /// can opens them in one go.
    ///
    /// # Errors
    /// As for [`open`](Self::open). It is not known which were opened.
    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        Box::pin(async move {
            let mut states = Vec::with_capacity(openings.len());
            for opening in openings {
                states.push(self.open(opening).await?);
            }
            Ok(states)
        })
    }

    /// Takes the records of one page.
    ///
    /// # Errors
    /// `Sink`. The run ends.
    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>>;

    /// Whether so much waits for a commit that there should be one now. The pipeline then begins one before it writes
    /// on, and if one is on its way it waits for its end. Asked behind each write.
    fn is_full(&self) -> bool {
        false
    }

    /// Learns that the page written last was the last one of its source in this run. The next commit has that page in it,
    /// and the source's state that it gives is the one that the run leaves behind.
    ///
    /// # Errors
    /// `Sink`. The run ends.
    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        let _ = source;
        Box::pin(async { Ok(()) })
    }

    /// Makes durable all that was written, and gives the new state of each source that a batch was written
    /// for since the last commit, an empty one too.
    ///
    /// # Errors
    /// `Sink`. The run ends; nothing of what was written since the last commit counts.
    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>>;

    /// Begins a commit, which goes on behind while more is written.
    ///
    /// It takes in what was written until now. What it gives resolves when that is durable, with the state of each source that a
    /// batch was written for since the last commit began: as it is now, whatever is written meanwhile. The state of any
    /// other source is not stored, but for one that is finished and not [settled](Self::is_settled). Until it has resolved
    /// only [`write`](Self::write) and [`finish`](Self::finish) are called, and no second commit is begun. Work that goes on when it is dropped must
    /// hold a clone of the lease, as any does; a commit that was dropped, or has failed, leaves the sink unusable.
    ///
    /// The pipeline commits by this alone. The default makes the whole [`commit`](Self::commit) first, and gives what is
    /// ready: right for a sink that cannot write and commit at the same time. Behind what is ready at once nothing is written
    /// before the checkpoints are stored: they may belong to the same transaction, which has to hold no later rows.
    ///
    /// # Errors
    /// `Sink`, now or from what it gives. The run ends; what was written since the commit before does not count.
    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(async move {
            let states = self.commit().await?;
            Ok(Box::pin(ready(Ok(states))) as Committing)
        })
    }

    /// The state of an output that has nothing in it, in the place of one that is open: opened with it
    /// ([`Committed::Unfinished`]), it discards what this run wrote. The default is `None`: nothing can be discarded, and a
    /// source whose position has expired fails.
    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        let _ = state;
        None
    }

    /// Whether nothing is left to do for a source that is finished: a sink that keeps rows in a log first, and takes them to
    /// their place when they are committed, has something left when the last page is committed. A source that is not settled
    /// is committed again until it is, each time with another state, and a run that is broken off before that goes on with
    /// it: the output is opened ([`Committed::Unfinished`]), and committed, though no page comes. So the next
    /// [`commit`](Self::commit) has to give the states of all that are finished and not settled, written to or not.
    fn is_settled(&self, state: &SinkState) -> bool {
        let _ = state;
        true
    }

    /// Gives up what is held. Everything was committed before, unless the run has failed: then it waits for what is still
    /// on its way, which would keep the next run out. A run that is stopped at once, or dropped, does not call it.
    ///
    /// # Errors
    /// `Sink`.
    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Where the records of a source are, from its state, for the report.
    fn location(&self, state: &SinkState) -> Option<String> {
        let _ = state;
        None
    }

    /// How many of the records written in this run were rejected, from the state of the source: they are kept, with the reason,
    /// but not where the others are. The report says what was fetched, written and rejected.
    fn rejected(&self, state: &SinkState) -> u64 {
        let _ = state;
        0
    }
}

/// The states of sources, by their names.
pub type SinkStates = Vec<(Arc<str>, SinkState)>;

/// A commit that was begun: resolves when it is durable ([`Sink::begin_commit`]).
pub type Committing = BoxFuture<'static, Result<SinkStates>>;

/// How the output of a source is opened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Opening<'a> {
    /// The name of the source: ASCII letters, digits, `_`, `-` and `.`, so that it can be a part of a file
    /// name.
    pub source: &'a str,
    /// What `__source` says: the name, unless the source is a part of another, a backfill say.
    pub label: &'a str,
    /// When the run began (wall clock). A run that goes on keeps its beginning.
    pub started_at: SystemTime,
    /// What is known from before.
    pub committed: Committed<'a>,
    /// Keeps other runs out. Work that may outlive this run must hold a clone.
    pub lease: &'a Lease,
}

/// What is known of a source's output.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Committed<'a> {
    /// Nothing: there is no checkpoint.
    Nothing,
    /// A run that is finished. The new one has an output of its own.
    Finished(&'a SinkState),
    /// A run that was broken off, and goes on from here.
    Unfinished(&'a SinkState),
}

impl<'a> Committed<'a> {
    /// The state that was committed last, of this run or of a finished one.
    pub fn state(&self) -> Option<&'a SinkState> {
        match self {
            Self::Nothing => None,
            Self::Finished(state) | Self::Unfinished(state) => Some(state),
        }
    }
}

/// What a crash at any instant, followed by a rerun, can do to the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Guarantee {
    /// Each record is there once.
    ExactlyOnce,
    /// Each record is there, some of them twice.
    AtLeastOnce,
}

/// The state of the one output that was opened.
fn only(mut opened: Vec<SinkState>) -> Result<SinkState> {
    opened.pop().ok_or_else(|| Error::new(ErrorKind::Sink, "the output was not opened"))
}

/// What is written for a source must have been opened.
fn unopened(source: &str) -> Error {
    Error::new(ErrorKind::Sink, format!("the source {source} was not opened"))
}
