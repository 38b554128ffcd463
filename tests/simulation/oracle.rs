//! What must hold, checked as it happens.

use std::fmt;
use std::time::Duration;

use headwater::ErrorKind;

use super::faults::Fault;
use super::limits::LimiterView;
use super::world::World;

/// The invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    ExactlyOnce,
    CountsReconcile,
    ToldWaitsAreKept,
    ToldBudgetsAreKept,
    LimiterBoundHolds,
    FewRequestsAgain,
    NothingLeftBehind,
    ErrorsAreTyped,
    AttemptsAreCounted,
    CredentialsStayHome,
    RunsFinish,
}

#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// What is known of one source.
#[derive(Debug, Default, Clone)]
pub(crate) struct SourceView {
    /// Pages that the server has handed out in this run, up to this life and in it.
    pub(crate) ever_served: usize,
    pub(crate) served: usize,
    /// Pages that have arrived, that the sink was given, and that are durable.
    pub(crate) arrived: usize,
    pub(crate) handed: usize,
    pub(crate) committed: usize,
    /// As the run's checkpoints had it when this life began.
    pub(crate) resumed_pages: usize,
    /// What no power loss in this life can take away.
    pub(crate) durable_before: usize,
    pub(crate) finished_before: bool,
    /// Of this life.
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    pub(crate) bytes: u64,
    /// Requests, bytes and retries when the run gave its report, and whether one more was waited for.
    pub(crate) at_end: (u64, u64, u64, bool),
    /// Failures of the page that is asked for, limits not counted, and whether the last one was garbled.
    pub(crate) failures: u32,
    pub(crate) garbled: bool,
    pub(crate) after_failure: bool,
    /// What the last answer was, if it was none that a source goes on from.
    pub(crate) fault: Option<Seen>,
    /// The number of its last request, hops not counted, at its limiter.
    poll: u64,
    /// Its own last failure told it to wait until then.
    pub(crate) told_until: Duration,
    /// How many pages the next process may have to ask for again.
    pub(crate) may_repeat: usize,
}

/// A fault as the source has seen it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) fault: Fault,
    /// Whether a position was asked for that can expire.
    pub(crate) resumable: bool,
    /// Whether the answer said to wait.
    pub(crate) told: bool,
}

impl Seen {
    /// A wait above a cap ends the source as a limit, whatever came with it.
    pub(crate) fn may_end_in(self, kind: ErrorKind) -> bool {
        self.fault.kinds(self.resumable).contains(&kind) || (self.told && kind == ErrorKind::RateLimited)
    }
}

#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) sources: Vec<SourceView>,
    limiters: Vec<LimiterView>,
    pub(crate) violation: Option<Violation>,
}

impl Oracle {
    pub(crate) fn new(world: &World) -> Self {
        Self {
            sources: vec![SourceView::default(); world.listings.len()],
            limiters: vec![LimiterView::default(); world.apis.len()],
            violation: None,
        }
    }

    /// Notes a violation; the first one counts.
    pub(crate) fn violated(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.violation.get_or_insert_with(|| Violation { invariant, what: what.into() });
    }

    pub(crate) fn check(&mut self, holds: bool, invariant: Invariant, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(invariant, what());
        }
    }

    /// A run begins: nothing of it has been asked yet.
    pub(crate) fn begin_run(&mut self) {
        self.sources.fill(SourceView::default());
    }

    /// A process begins: it knows what the checkpoints say, and nothing of what servers told the last one.
    pub(crate) fn begin_life(&mut self, checkpoints: &[(usize, bool)]) {
        self.limiters.fill(LimiterView::default());
        for (view, (pages, finished)) in self.sources.iter_mut().zip(checkpoints) {
            *view = SourceView {
                ever_served: view.ever_served,
                served: *pages,
                arrived: *pages,
                handed: *pages,
                // What can be read need not be durable: the last commit may have failed half-way.
                committed: view.committed.min(*pages),
                durable_before: view.committed.min(*pages),
                resumed_pages: *pages,
                finished_before: *finished,
                ..SourceView::default()
            };
        }
    }

    /// A request for a page is sent.
    pub(crate) fn sent(&mut self, world: &World, source: usize, page: usize, now: Duration) {
        use Invariant::{AttemptsAreCounted, FewRequestsAgain, ToldWaitsAreKept};
        let listing = &world.listings[source];
        let name = &listing.name;
        let view = &mut self.sources[source];
        if view.after_failure {
            view.retries += 1;
            view.after_failure = false;
        }
        let view = view.clone();
        self.check(!view.finished_before, FewRequestsAgain, || {
            format!("{name} is finished, and page {page} is asked for")
        });
        self.check(page == view.arrived, FewRequestsAgain, || {
            format!("{name}: page {page} is asked for, after {} have arrived", view.arrived)
        });
        let ahead = ahead(listing.prefetch);
        self.check(page <= view.handed + ahead, FewRequestsAgain, || {
            format!("{name}: page {page} is asked for, and the sink has got {} yet", view.handed)
        });
        self.check(now >= view.told_until, ToldWaitsAreKept, || {
            format!("{name}: a request at {now:?}, {:?} too early by its own wait", view.told_until - now)
        });
        let most = world.apis[listing.api].max_attempts;
        let most = if view.garbled { most.min(2) } else { most };
        self.check(view.failures == 0 || view.failures < most, AttemptsAreCounted, || {
            format!(
                "{name}: page {page} is asked for after {} failures, and not at most {most}",
                view.failures
            )
        });
        let (poll, broken) = self.limiters[listing.api].sent(&world.apis[listing.api], now);
        self.sources[source].poll = poll;
        if let Some((invariant, what)) = broken {
            self.violated(invariant, format!("{name}: {what}"));
        }
    }

    /// A run has given its report.
    pub(crate) fn reported(&mut self) {
        for view in &mut self.sources {
            view.at_end = (view.requests, view.bytes, view.retries, view.after_failure);
        }
    }

    /// A poll is over, redirects and all; its answer may have said how many requests remain, and for how long.
    pub(crate) fn answered(
        &mut self,
        world: &World,
        source: usize,
        told: Option<(u64, Duration)>,
        now: Duration,
    ) {
        let (api, poll) = (world.listings[source].api, self.sources[source].poll);
        let most = world.apis[api].limiter_max_wait;
        self.limiters[api].answered(poll, told.map(|(left, reset)| (left, now + reset.min(most))));
    }

    /// The server has said how long to wait. A failure binds its own source for the whole time; the limiter
    /// keeps everyone out for as long as it may.
    pub(crate) fn told(&mut self, world: &World, source: usize, wait: Duration, failed: bool, now: Duration) {
        let api = world.listings[source].api;
        self.limiters[api].close(now + wait.min(world.apis[api].limiter_max_wait));
        if failed {
            self.sources[source].told_until = now + wait;
        }
    }
}

/// How many pages may have been asked for that the sink has not got, besides the next one: as many as `prefetch`
/// is told to fetch ahead.
pub(crate) fn ahead(prefetch: usize) -> usize {
    prefetch
}
