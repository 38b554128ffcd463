//! What everything in a world shares: its clock, its chance, its trace, and the instant of the crash.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use headwater::checkpoint::Checkpoint;
use headwater::pipeline::Event;
use headwater::{Batch, Mark};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::mutants::Mutant;
use super::oracle::{Invariant, Oracle, Seen};
use super::tally::Tally;
use super::trace::{BROKEN, Trace};
use super::world::{CLOCK_AHEAD, World, wall};

#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    crash: Notify,
}

pub(crate) struct State {
    pub(crate) world: Arc<World>,
    pub(crate) random: fastrand::Rng,
    pub(crate) trace: Trace,
    pub(crate) oracle: Oracle,
    pub(crate) tally: Tally,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) life: u32,
    /// World time when this life began, and the instant of it.
    pub(crate) base: Duration,
    begun: Option<Instant>,
    /// Awaits that were passed in this life, and the one at which the process dies.
    steps: u64,
    crash_at: Option<u64>,
    crashed: bool,
    pub(crate) in_flight: u32,
    /// How many changes the disk had seen at each commit of this life: (changes, source, pages).
    pub(crate) saves: Vec<(usize, usize, usize)>,
    /// Requests in the window of each API: (which window, how many).
    pub(crate) windows: Vec<(u128, u64)>,
    pub(crate) faults: bool,
    /// How far the wall clock of this process is ahead, in seconds.
    clock_ahead: u64,
    violated: bool,
    /// What a mistaken store remembers of each source: what had not begun at first, and what was ever open.
    pub(crate) first_ahead: BTreeMap<usize, Value>,
    pub(crate) known_open: BTreeMap<usize, Vec<Value>>,
    /// How far each source is with the sink, committed or not, in which epoch: what a mistaken run stores.
    pub(crate) newest: BTreeMap<usize, (u64, Mark, u64)>,
    /// A call of this disk is going to fail, in this life or a later one.
    pub(crate) disk_may_fail: bool,
}

impl Hub {
    pub(crate) fn new(world: Arc<World>, mutant: Option<Mutant>) -> Self {
        let state = State {
            random: fastrand::Rng::with_seed(world.seed ^ 0x5eed),
            trace: Trace::default(),
            oracle: Oracle::new(&world),
            tally: Tally::default(),
            mutant,
            life: 0,
            base: Duration::ZERO,
            begun: None,
            steps: 0,
            crash_at: None,
            crashed: false,
            in_flight: 0,
            saves: Vec::new(),
            windows: vec![(0, 0); world.apis.len()],
            faults: true,
            clock_ahead: 0,
            violated: false,
            first_ahead: BTreeMap::new(),
            known_open: BTreeMap::new(),
            newest: BTreeMap::new(),
            disk_may_fail: false,
            world,
        };
        Self(Arc::new(Inner { state: Mutex::new(state), crash: Notify::new() }))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process begins, and dies at this await if it is still there.
    pub(crate) fn begin(&self, crash_at: Option<u64>) {
        let mut state = self.state();
        state.life += 1;
        state.begun = Some(Instant::now());
        (state.steps, state.crash_at, state.crashed) = (0, crash_at, false);
        state.saves.clear();
        state.newest.clear();
        if state.world.clock_jumps {
            state.clock_ahead = state.random.u64(0..CLOCK_AHEAD);
        }
    }

    /// A process has ended.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.base = state.now();
        state.begun = None;
    }

    /// An await of the pipeline's surroundings: here the process may die, or another task may run first. A dead
    /// process goes no further.
    pub(crate) async fn step(&self) {
        let (dead, lets_others) = {
            let mut state = self.state();
            state.steps += 1;
            if Some(state.steps) == state.crash_at {
                state.crashed = true;
                self.0.crash.notify_one();
            }
            (state.crashed, state.random.u8(0..8) == 0)
        };
        if dead {
            return std::future::pending().await;
        }
        if lets_others {
            tokio::task::yield_now().await;
        }
    }

    /// Resolves when the process dies.
    pub(crate) async fn crash(&self) {
        self.0.crash.notified().await;
    }

    /// Takes some time, at most so many milliseconds.
    pub(crate) async fn pace(&self, most: u64) {
        let time = if most == 0 { 0 } else { self.state().random.u64(0..=most) };
        if time > 0 {
            tokio::time::sleep(Duration::from_millis(time)).await;
        }
    }

    /// The sink is given a page.
    pub(crate) fn handed(&self, source: &str, batch: &Batch) {
        let mut state = self.state();
        let (source, pages) = (number(source), usize::try_from(batch.mark().pages).expect("few pages"));
        state.note(format_args!("s{source} page {} goes to the sink, {} records", pages - 1, batch.len()));
        let handed = state.oracle.sources[source].handed;
        state.oracle.check(pages == handed + 1, Invariant::MarksMoveInOrder, || {
            format!("s{source}: the mark of page {pages} comes behind that of page {handed}")
        });
        state.oracle.sources[source].handed = pages;
        if let Some((_, mark, records)) = state.newest.get_mut(&source) {
            (*mark, *records) = (batch.mark(), *records + batch.len() as u64);
        }
    }

    /// Checkpoints are stored; `changes` is how many the disk has seen.
    pub(crate) fn saved(&self, checkpoints: &[Checkpoint], changes: usize) {
        let mut state = self.state();
        for checkpoint in checkpoints {
            let source = number(&checkpoint.source);
            let pages = usize::try_from(checkpoint.mark.pages).expect("few pages");
            state.oracle.sources[source].committed = pages;
            state.saves.push((changes, source, pages));
            let world = state.world.clone();
            if let Some(shape) = &world.listings[source].shape {
                // The first pages may come before the first checkpoint is stored, which is of the beginning, too.
                if shape.expires() && pages == 0 && state.oracle.sources[source].expired {
                    state.oracle.sources[source].begin_anew();
                }
                let mark = serde_json::to_string(&checkpoint.mark).expect("a mark");
                state.tally.longest(shape.name(), mark.len() as u64);
                if let Err(why) = shape.check_mark(&mark) {
                    let what = format!("s{source}: a mark with {why}: {mark}");
                    state.oracle.violated(Invariant::MarksAreBounded, what);
                }
            }
            state.note(format_args!(
                "s{source} checkpoint: {pages} pages, {} records, epoch {}",
                checkpoint.records, checkpoint.epoch
            ));
        }
    }

    /// Something happened in the run.
    pub(crate) fn event(&self, event: &Event<'_>) {
        let mut state = self.state();
        match event {
            Event::Failed { source, error } => {
                // The text may have the time of day in it.
                state.note(format_args!("{source} failed: {:?} {:?}", error.kind(), error.transience()));
                let lanes = state.oracle.sources[number(source)].lanes.values();
                let fault: Vec<Seen> = lanes.filter_map(|lane| lane.fault).collect();
                let typed = fault.iter().any(|fault| fault.may_end_in(error.kind()));
                state.tally.failed(error.kind());
                state.oracle.check(typed, Invariant::ErrorsAreTyped, || {
                    format!("{source} failed with {error}, and the last answer was {fault:?}")
                });
            }
            other => state.note(format_args!("{other:?}")),
        }
    }
}

impl State {
    /// World time.
    pub(crate) fn now(&self) -> Duration {
        self.base + self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// The time of day of this process: somebody may have set the clock.
    pub(crate) fn wall(&self) -> SystemTime {
        wall(self.now()) + Duration::from_secs(self.clock_ahead)
    }

    pub(crate) fn is_going_to_die(&self) -> bool {
        self.crash_at.is_some()
    }

    pub(crate) fn note(&mut self, what: fmt::Arguments<'_>) {
        let now = self.now();
        // Where it shows first.
        if let Some(violation) = self.oracle.violation.as_ref().filter(|_| !self.violated) {
            self.trace.line(now, format_args!("{BROKEN}{violation}"));
            self.violated = true;
        }
        self.trace.line(now, what);
    }

    pub(crate) fn one_in(&mut self, many: u32) -> bool {
        self.random.u32(0..many) == 0
    }

    /// Of a thousand.
    pub(crate) fn chance(&mut self, promille: u16) -> bool {
        self.random.u16(0..1000) < promille
    }
}

/// The number of a source, from its name.
pub(crate) fn number(source: &str) -> usize {
    source.strip_prefix('s').and_then(|number| number.parse().ok()).expect("a source of this world")
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hub")
    }
}
