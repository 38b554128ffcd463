//! The page stream and its adapters.
//!
//! [`Pages`] is a stream made with `unfold`: its state is the position of the page to ask for next. The
//! contract that everything else rests on:
//!
//! - `Ok(page)` moves the position on;
//! - `Err(error)` with [`is_transient`](crate::Error::is_transient) leaves it where it was: **the next poll
//!   asks for the same page again**;
//! - a permanent `Err` ends the stream, and polling after the end gives `None`, never a panic.
//!
//! So retrying is an adapter that polls again, and limiting the rate is one that holds back the poll:
//!
//! ```text
//! pages.rate_limit(limiter)      one permit, one request
//!      .retry(policy)            polls again: each attempt passes the limiter
//!      .prefetch(1)              fetches on while the last page is worked on
//! ```
//!
//! The other order, `.retry(policy).rate_limit(limiter)`, would let retries pass without a permit. It does
//! not compile: [`Retry`] does not implement [`PageStream`].

mod again;
mod fetch;
pub mod incremental;
mod lanes;
mod prefetch;
mod rate_limit;
mod retry;
mod settings;
mod slices;
mod stream;

use futures::Stream;
use futures::stream::FusedStream;

pub use incremental::{Incremental, NewRecords};
pub use lanes::Lanes;
pub use prefetch::Prefetch;
pub use rate_limit::RateLimit;
pub use retry::Retry;
pub use slices::{Ceiling, Fanout, Moment, Slice, Slices, Step, TimeFormat, Window};
pub(crate) use slices::{Limit, parent_of};
pub use stream::Pages;

use crate::error::Result;
use crate::limit::Limiter;
use crate::mark::Mark;
use crate::meter::Meter;
use crate::page::{Page, Select};
use crate::paginate::guard::Guard;
use crate::retry::RetryPolicy;

/// A stream of pages that can be told where the records are, so that each page is walked only once.
///
/// Every adapter of this crate implements it. For a page stream of your own the defaults will do: the
/// records are then found in a walk of their own.
pub trait Paged: Stream<Item = Result<Page>> {
    /// Says where the records are. Called before the first poll.
    fn select(&mut self, records: &Select) {
        let _ = records;
    }

    /// The counters of the stream.
    fn meter(&self) -> Meter {
        Meter::new()
    }

    /// Counts into these counters from now on: those of the stream that this one is a part of. Called before the
    /// first poll.
    fn count_into(&mut self, meter: &Meter) {
        let _ = meter;
    }

    /// Makes it one of so many lanes: its pages say what stands behind them, and its guard is with whoever puts them in
    /// order. Called before the first poll.
    #[doc(hidden)]
    fn in_lane(&mut self, lanes: usize) -> Option<Guard> {
        let _ = lanes;
        None
    }
}

impl<S: Paged + Unpin + ?Sized> Paged for Box<S> {
    fn select(&mut self, records: &Select) {
        (**self).select(records);
    }

    fn meter(&self) -> Meter {
        (**self).meter()
    }

    fn count_into(&mut self, meter: &Meter) {
        (**self).count_into(meter);
    }

    fn in_lane(&mut self, lanes: usize) -> Option<Guard> {
        (**self).in_lane(lanes)
    }
}

/// Marks a page stream that keeps the contract of the module: after a transient error, the next poll asks
/// for the same page again; each poll that gives an item is one request; and
/// [`is_terminated`](FusedStream::is_terminated) is true as soon as there is nothing more to ask for, even
/// before the `None`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be rate-limited or retried",
    label = "this does not ask for the same page again after a transient error",
    note = "write `.rate_limit(limiter).retry(policy)`, in this order, right on the page stream: \
            a retry below the limiter would not pay for its attempts"
)]
pub trait PageStream: Paged + FusedStream {}

/// The adapters of page streams.
pub trait PagesExt: Paged + Sized {
    /// Lets each poll through only with a permit of the limiter: one permit is one request, retries
    /// included. Every answer, page or error, is shown to the limiter, so that it learns what the server
    /// says about waiting. No permit is taken when there is nothing more to ask for.
    ///
    /// Order and items stay as they are. Dropping the stream while it waits gives up its place in the
    /// queue.
    fn rate_limit(self, limiter: Limiter) -> RateLimit<Self>
    where
        Self: PageStream,
    {
        RateLimit::new(self, limiter)
    }

    /// Asks for a page again when it failed and may yet succeed, by the rules of the policy: back-off with
    /// jitter, the server's waits, attempts per page, a budget per host. What it gives up on comes out as
    /// one error, and then the stream ends.
    fn retry(self, policy: RetryPolicy) -> Retry<Self>
    where
        Self: PageStream,
    {
        Retry::new(self, policy)
    }

    /// Leaves in each page what is new, and carries along how far the list has been pulled. `mark` is the one that the
    /// pages go on from. The pages must know their record path.
    ///
    /// A page whose records are all known stays, without records. An error of the rules is the end.
    fn incremental(self, rules: Incremental, mark: &Mark) -> NewRecords<Self> {
        NewRecords::new(self, rules, mark)
    }

    /// Declares how many records the source hands out, however many there are. It cannot be sliced by this: if there
    /// are more, by what a page says ([`Ceiling::total_at`]) or because the page beyond is refused, that is an error of
    /// kind `Truncated`; so many or more at the end are a warning in the report. For slices see [`Window::ceiling`].
    fn ceiling(self, rows: u64) -> Ceiling<Self> {
        Ceiling::new(self, rows)
    }

    /// Fetches up to `pages` pages ahead on a task of its own, the one that is on its way included, while the
    /// ones before are worked on; 0 counts as 1. Order stays. Memory: `pages` pages, besides the one that was
    /// taken, and no more than 64 MiB and a page ([`Prefetch::max_bytes`]). Dropping the stream ends the task.
    ///
    /// # Panics
    /// The first poll must happen within a tokio runtime.
    fn prefetch(self, pages: usize) -> Prefetch<Self>
    where
        Self: Send + 'static,
    {
        Prefetch::new(self, pages)
    }
}

impl<S: Paged> PagesExt for S {}
