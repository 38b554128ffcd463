//! What must hold, checked as it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use headwater::ErrorKind;

use super::answers::Want;
use super::faults::Fault;
use super::lanes::Lane;
use super::limits::LimiterView;
use super::pieces::Pieces;
use super::shapes::Shape;
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
    MarksAreOfFinishedRuns,
    MarksAreBounded,
    MarksMoveInOrder,
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
    /// Requests, bytes and retries when the run gave its report, and how many more were waited for.
    pub(crate) at_end: (u64, u64, u64, u64),
    /// Its streams of pages. A chain of pages is one.
    pub(crate) lanes: BTreeMap<String, Lane>,
    pub(crate) pieces: Pieces,
    /// How often its positions have expired, in this run.
    pub(crate) generation: usize,
    /// Whether a position has expired in this life, so that it may begin anew.
    pub(crate) expired: bool,
    /// Whether it has begun anew in this life.
    pub(crate) anew: bool,
    /// When it asked first in this life.
    pub(crate) begun: Option<Duration>,
    /// What it has asked for behind the end, in this life.
    pub(crate) beyond: BTreeSet<String>,
    /// How many pages the next process may have to ask for again.
    pub(crate) may_repeat: usize,
}

impl SourceView {
    pub(crate) fn lane(&mut self, name: &str) -> &mut Lane {
        self.lanes.entry(name.to_owned()).or_default()
    }

    /// The source begins anew: nothing that it knew counts. Requests stay counted.
    pub(crate) fn begin_anew(&mut self) {
        self.pieces.begin_anew();
        (self.handed, self.anew) = (0, true);
        for lane in self.lanes.values_mut() {
            *lane = Lane { poll: lane.poll, fault: lane.fault, ..Lane::default() };
        }
    }
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
        // A date that is past when it comes is no mark of a limit.
        let over = matches!(self.fault, Fault::Told(403, ..)) && !self.told && kind == ErrorKind::Status;
        let fits = self.fault.kinds(self.resumable).contains(&kind);
        fits || over || (self.told && kind == ErrorKind::RateLimited)
    }
}

#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) sources: Vec<SourceView>,
    /// How many runs are finished.
    pub(crate) run: usize,
    limiters: Vec<LimiterView>,
    pub(crate) violation: Option<Violation>,
}

impl Oracle {
    pub(crate) fn new(world: &World) -> Self {
        Self {
            sources: vec![SourceView::default(); world.listings.len()],
            run: 0,
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
    pub(crate) fn begin_life(&mut self, checkpoints: &[(usize, bool)], rows: Vec<BTreeSet<usize>>) {
        self.limiters.fill(LimiterView::default());
        for ((view, (pages, finished)), rows) in self.sources.iter_mut().zip(checkpoints).zip(rows) {
            view.pieces.begin_life(*pages, rows);
            *view = SourceView {
                pieces: std::mem::take(&mut view.pieces),
                generation: view.generation,
                ever_served: view.ever_served,
                served: *pages,
                arrived: *pages,
                handed: *pages,
                // What can be read need not be durable: the last commit may have failed half-way.
                committed: view.committed.min(*pages),
                durable_before: view.committed.min(*pages),
                resumed_pages: *pages,
                finished_before: *finished,
                begun: view.begun.filter(|_| *finished),
                ..SourceView::default()
            };
        }
    }

    /// A request for a page is sent.
    pub(crate) fn sent(&mut self, world: &World, source: usize, want: &Want, now: Duration) {
        use Invariant::{AttemptsAreCounted, FewRequestsAgain, ToldWaitsAreKept};
        let listing = &world.listings[source];
        let name = &listing.name;
        let view = &mut self.sources[source];
        view.begun.get_or_insert(now);
        let lane = view.lanes.entry(want.lane.clone()).or_default();
        if lane.after_failure {
            view.retries += 1;
            lane.after_failure = false;
        }
        let (lane, page) = (lane.clone(), want.page);
        let (arrived, handed, finished) = (view.arrived, view.handed, view.finished_before);
        let again = want.ask.as_ref().is_some_and(|ask| ask.again);
        let mut allowed = want.ask.as_ref().map_or(Ok(()), |ask| view.pieces.sent(name, ask));
        match (&listing.shape, &want.ask) {
            (Some(Shape::Counted(counted)), Some(ask)) => {
                allowed = allowed.and_then(|()| counted.sent(name, ask, view));
            }
            (Some(Shape::Parts(parts)), Some(ask)) => {
                allowed = allowed.and_then(|()| parts.sent(name, ask, view));
            }
            _ => {}
        }
        self.check(!finished, FewRequestsAgain, || format!("{name} is finished, and {want} is asked for"));
        if let Err((invariant, what)) = allowed {
            self.violated(invariant, what);
        }
        if want.ask.is_none() {
            self.check(page == arrived, FewRequestsAgain, || {
                format!("{name}: page {page} is asked for, after {arrived} have arrived")
            });
            let ahead = ahead(listing.prefetch);
            self.check(page <= handed + ahead, FewRequestsAgain, || {
                format!("{name}: page {page} is asked for, and the sink has got {handed} yet")
            });
        }
        // Another stream knows of it by the limiter only.
        self.check(again || now >= lane.told_until, ToldWaitsAreKept, || {
            format!("{name}: a request at {now:?}, {:?} too early by its own wait", lane.told_until - now)
        });
        let most = world.apis[listing.api].max_attempts;
        let most = if lane.garbled { most.min(2) } else { most };
        self.check(again || lane.failures == 0 || lane.failures < most, AttemptsAreCounted, || {
            format!("{name}: {want} is asked for after {} failures, and not at most {most}", lane.failures)
        });
        let (poll, broken) = self.limiters[listing.api].sent(&world.apis[listing.api], now);
        self.sources[source].lane(&want.lane).poll = poll;
        if let Some((invariant, what)) = broken {
            self.violated(invariant, format!("{name}: {what}"));
        }
    }

    /// A run has given its report.
    pub(crate) fn reported(&mut self) {
        for view in &mut self.sources {
            let pending = view.lanes.values().filter(|lane| lane.after_failure).count() as u64;
            view.at_end = (view.requests, view.bytes, view.retries, pending);
        }
    }

    /// A poll is over, redirects and all; its answer may have said how many requests remain, and for how long.
    pub(crate) fn answered(
        &mut self,
        world: &World,
        source: usize,
        lane: &str,
        told: Option<(u64, Duration)>,
        now: Duration,
    ) {
        let (api, poll) = (world.listings[source].api, self.sources[source].lane(lane).poll);
        let most = world.apis[api].limiter_max_wait;
        self.limiters[api].answered(poll, told.map(|(left, reset)| (left, now + reset.min(most))));
    }

    /// The server has said how long to wait. A failure binds its own source for the whole time; the limiter
    /// keeps everyone out for as long as it may.
    pub(crate) fn told(
        &mut self,
        world: &World,
        (source, lane): (usize, &str),
        wait: Duration,
        failed: bool,
        now: Duration,
    ) {
        let api = world.listings[source].api;
        self.limiters[api].close(now + wait.min(world.apis[api].limiter_max_wait));
        if failed {
            self.sources[source].lane(lane).told_until = now + wait;
        }
    }
}

/// How many pages may have been asked for that the sink has not got, besides the next one: as many as `prefetch`
/// is told to fetch ahead.
pub(crate) fn ahead(prefetch: usize) -> usize {
    prefetch
}
