//! What happens in a run, as it happens.

use std::time::Duration;

use crate::error::Error;
use crate::meter::Counts;

/// Something that happened in a run.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A source is about to be pulled.
    Started {
        /// The source.
        source: &'a str,
        /// How many records earlier runs have committed; 0 if it starts afresh.
        resumed_records: u64,
    },
    /// A source was finished before this run was broken off, and is left alone.
    Skipped {
        /// The source.
        source: &'a str,
        /// How many records it has.
        records: u64,
    },
    /// A page was written.
    Page {
        /// The source.
        source: &'a str,
        /// How many records have come, those of earlier runs included.
        records: u64,
        /// The counters of the source.
        counts: Counts,
    },
    /// A source waits for its limiter, or because the server said so. Said again every few seconds while
    /// the wait goes on.
    Waiting {
        /// The source.
        source: &'a str,
        /// How long it will still wait, as far as is known.
        remaining: Duration,
    },
    /// What was written when a commit began is durable, and the checkpoints say so.
    Committed,
    /// A source has nothing left.
    Finished {
        /// The source.
        source: &'a str,
        /// How many records it has.
        records: u64,
    },
    /// Its position had expired, and it begins anew: what it wrote in this run is discarded.
    Restarted {
        /// Which source.
        source: &'a str,
    },
    /// A source gave up.
    Failed {
        /// The source.
        source: &'a str,
        /// Why.
        error: &'a Error,
    },
    /// The run was asked to stop; the sources finish their pages.
    Stopping,
}
