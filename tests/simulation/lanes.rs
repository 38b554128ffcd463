//! What is known of one stream of pages: a source is one of them, or many.

use std::time::Duration;

use super::oracle::Seen;

#[derive(Debug, Default, Clone)]
pub(crate) struct Lane {
    /// Failures of the page that is asked for, limits not counted, and whether the last one was garbled.
    pub(crate) failures: u32,
    pub(crate) garbled: bool,
    pub(crate) after_failure: bool,
    /// What the last answer was, if it was none that a source goes on from.
    pub(crate) fault: Option<Seen>,
    /// The number of its last request, hops not counted, at its limiter.
    pub(crate) poll: u64,
    /// Its own last failure told it to wait until then.
    pub(crate) told_until: Duration,
}
