//! Many sources, one sink, and the checkpoint behind it.
//!
//! ```text
//! source ─┐
//! source ─┼─ merge ──► sink.write … sink.begin_commit ──► checkpoint
//! source ─┘  by page        every second                    when that is durable, never before
//! ```
//!
//! # What a run is
//!
//! A run is finished when all its sources are. A run that was broken off, by a crash, a failure or a
//! signal, goes on the next time: sources that were finished in it are left alone, the others go on from
//! their checkpoints into the same files. After a finished run the next one starts afresh.

mod begin;
mod commit;
mod plan;
mod progress;
mod report;
mod restart;
mod run;
mod shutdown;
mod state;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use progress::Event;
pub use report::{Outcome, Report, RunError, SourceReport};
pub use shutdown::Shutdown;

use crate::checkpoint::CheckpointStore;
use crate::error::{Error, Result};
use crate::sink::Sink;
use crate::source::Source;

/// Pulls many sources into one sink, with checkpoints.
///
/// ```no_run
/// use headwater::{Pipeline, Source, paginate::LinkHeader, sink::Jsonl};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let issues = Source::get("issues", "https://api.github.com/repos/rust-lang/rust/issues")
///     .query("per_page", "100")
///     .records("")
///     .paginate(LinkHeader::new())
///     .build()?;
/// let report = Pipeline::new().source(issues).sink(Jsonl::dir("out")).stop_on_signals().run().await?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[must_use = "a pipeline does nothing until it is run"]
pub struct Pipeline {
    sources: Vec<Source>,
    sink: Option<Box<dyn Sink>>,
    checkpoints: Option<Arc<dyn CheckpointStore>>,
    commit_every: Option<Duration>,
    fail_fast: bool,
    accept_changes: bool,
    take_over: bool,
    shutdown: Shutdown,
    signals: bool,
    observer: Option<Observer>,
    started_at: Option<SystemTime>,
}

type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

impl Default for Pipeline {
    fn default() -> Self {
        Self::new()
    }
}

impl Pipeline {
    /// Has no sources and no sink yet.
    pub fn new() -> Self {
        Self {
            sources: Vec::new(),
            sink: None,
            checkpoints: None,
            commit_every: None,
            fail_fast: false,
            accept_changes: false,
            take_over: false,
            shutdown: Shutdown::new(),
            signals: false,
            observer: None,
            started_at: None,
        }
    }

    /// Adds a source.
    pub fn source(mut self, source: Source) -> Self {
        self.sources.push(source);
        self
    }

    /// Adds sources.
    pub fn sources(mut self, sources: impl IntoIterator<Item = Source>) -> Self {
        self.sources.extend(sources);
        self
    }

    /// Sets where the records go.
    pub fn sink(mut self, sink: impl Sink + 'static) -> Self {
        self.sink = Some(Box::new(sink));
        self
    }

    /// Sets where the checkpoints are kept. The default is the store that belongs to the sink.
    pub fn checkpoints(mut self, store: impl CheckpointStore) -> Self {
        self.checkpoints = Some(Arc::new(store));
        self
    }

    /// Sets how often is committed while records come. The default is what the sink wants
    /// ([`commit_every`](Sink::commit_every)), 1 s if it has no wish. Pages are pulled and written while a commit is
    /// made durable, and the next one is not begun before: a crash costs what was written since the last finished commit
    /// began.
    pub fn commit_every(mut self, time: Duration) -> Self {
        self.commit_every = Some(time);
        self
    }

    /// Stops all sources when one fails. By default the others go on.
    pub fn fail_fast(mut self) -> Self {
        self.fail_fast = true;
        self
    }

    /// Goes on from a checkpoint though the definition of its source has changed since. The records from
    /// before and after may then not fit together.
    pub fn accept_changed_definitions(mut self) -> Self {
        self.accept_changes = true;
        self
    }

    /// Goes on though another run holds the state: for one that hangs, or is frozen, and cannot be ended. The
    /// default is an error of kind `Locked` that names it. Where nobody holds the state, nothing is different.
    ///
    /// From then on nothing that the other run does counts: whenever it wakes, it ends with an error of kind
    /// `Locked`, and it cannot commit. What it had committed is kept. That holds even if this run then fails for
    /// another reason, a changed definition say: a healthy run that is taken over has worked for nothing.
    ///
    /// With files, each unfinished one is copied, for the other run may hold it open: that takes time, and for a
    /// while the space of the largest. `.headwater/lock.1` (`lock.2` …) stays behind, and must stay. A store
    /// that cannot be taken over ([`MemoryStore`](crate::checkpoint::MemoryStore)) is locked as ever.
    ///
    /// ```no_run
    /// # async fn run(pipeline: headwater::Pipeline) -> Result<(), headwater::RunError> {
    /// let report = pipeline.take_over().run().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_over(mut self) -> Self {
        self.take_over = true;
        self
    }

    /// Stops when told through this handle.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Stops on SIGINT and SIGTERM (elsewhere than on Unix: Ctrl-C). The first lets each source finish its
    /// page, commits and reports; the second stops at once, without a commit. The signals keep being caught
    /// until the process ends.
    pub fn stop_on_signals(mut self) -> Self {
        self.signals = true;
        self
    }

    /// Shows every event of the run to a closure, which must not block.
    pub fn observe(mut self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Sets when the run began, for file names that can be foretold. The default is now.
    pub fn started_at(mut self, time: SystemTime) -> Self {
        self.started_at = Some(time);
        self
    }

    /// Runs until all sources are finished.
    ///
    /// # Errors
    /// [`RunError`] if any source is not finished: it failed, or the run was stopped, or could not start.
    /// What was committed is safe, and the next run goes on from there. The error holds the report of what
    /// was done.
    pub async fn run(self) -> Result<Report, RunError> {
        run::run(self).await
    }

    /// Finds what is wrong before anything is touched.
    fn validate(&self) -> Result<()> {
        if self.sources.is_empty() {
            return Err(Error::config("a pipeline without sources").advice("add one with `.source(…)`"));
        }
        if self.sink.is_none() {
            return Err(Error::config("a pipeline without a sink")
                .advice("add one with `.sink(Jsonl::dir(\"out\"))`"));
        }
        let mut names: Vec<String> =
            self.sources.iter().map(|source| source.name().to_ascii_lowercase()).collect();
        names.sort();
        // Some file systems do not tell upper from lower case.
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::config(format!("two sources are named {:?}", twice[0])));
        }
        Ok(())
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("sources", &self.sources)
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}
