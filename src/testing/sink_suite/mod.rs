//! What every sink must hold, as one suite: run it over a sink of your own.
//!
//! You say how a sink is made on a place, again and again, as after a crash, and how the records are read back.
//! [`run`] does the rest: it drives the sink call by call and by a [`Pipeline`](crate::Pipeline), drops it at any
//! call, loses commits before their checkpoints are stored, and reads back whether each record is there once.
//!
//! ```
//! use futures::future::{BoxFuture, ready};
//! use headwater::sink::{Memory, Sink};
//! use headwater::testing::sink_suite::{self, Place};
//!
//! struct InMemory(Memory);
//!
//! impl Place for InMemory {
//!     fn sink(&self) -> Box<dyn Sink> {
//!         Box::new(self.0.clone())
//!     }
//!     fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, headwater::Result<Vec<String>>> {
//!         Box::pin(ready(Ok(self.0.lines(source))))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! sink_suite::run(&InMemory(Memory::new())).await;
//! # }
//! ```
//!
//! What it does by chance follows from a seed, which a failure names: with `HEADWATER_SEED` in the environment it
//! does the same again.

mod behaviours;
mod compare;
mod crashes;
mod desk;
mod pages;
mod pipelines;
mod restarts;
mod run;
mod walk;

use std::fmt;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::sink::{Guarantee, Sink};

/// Longer than any of them takes on a machine that is busy.
const LONGEST: Duration = Duration::from_secs(120);

/// Where the records of a sink under test are.
///
/// One place serves the whole suite: each behaviour has sources of its own, whose names begin with that of the
/// behaviour.
pub trait Place: Sync {
    /// Makes a sink on the place, as a new process would. The one before has been dropped, in the middle of anything.
    fn sink(&self) -> Box<dyn Sink>;

    /// Reads back the committed records of a source, each as JSON text, with or without `__source` and `__ingested_at`.
    /// It is only asked when the source is finished and no sink is open. Where a second run keeps the records of the first,
    /// those come first.
    ///
    /// # Errors
    /// Any: the behaviour then does not hold.
    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>>;

    /// How much of a record comes back. The default is its text.
    fn fidelity(&self) -> Fidelity {
        Fidelity::Text
    }

    /// Whether the records of a source come back in the order in which they were written. The default is `true`.
    fn keeps_order(&self) -> bool {
        true
    }

    /// The field whose value tells records apart, where a later record replaces an earlier one of the same value: then
    /// at least once is once. The suite's records have an `id`, so it is that or nothing, which is the default.
    fn key(&self) -> Option<&'static str> {
        None
    }

    /// The machine has lost power: what was not durable may be gone. Called when a sink has been dropped in the middle of
    /// something; by default nothing is lost but what the sink had in its memory.
    fn crash(&self) {}
}

/// How much of a record comes back from a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fidelity {
    /// The text, but for blanks: digits of numbers, order of keys, escapes.
    Text,
    /// The same values: numbers may be written in another way, keys stand in another order.
    Values,
    /// The `id` of each record that has one, as text. What does not fit the columns is counted as
    /// [rejected](Sink::rejected).
    Columns,
}

/// What a sink does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broken {
    /// The behaviour, as a sentence with underscores.
    pub behaviour: &'static str,
    /// What was seen instead.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.behaviour, self.what)
    }
}

/// Whether each record is there once, behind whatever happens.
fn is_exact(place: &dyn Place) -> bool {
    let sink = place.sink();
    // It may depend on whether its own checkpoints are used.
    let _ = sink.checkpoints();
    sink.guarantee() == Guarantee::ExactlyOnce || place.key().is_some()
}

/// What one behaviour comes to.
pub(super) type Held = std::result::Result<(), Wrong>;

/// Why a behaviour does not hold.
#[derive(Debug)]
pub(super) struct Wrong(String);

impl Wrong {
    pub(super) fn at(self, place: impl fmt::Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

pub(super) fn wrong(what: impl Into<String>) -> Wrong {
    Wrong(what.into())
}

pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(Wrong(what())) }
}

/// One behaviour over a place.
type Behaviour = for<'a> fn(&'a dyn Place) -> BoxFuture<'a, Held>;

macro_rules! behaviours {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), |place| $module::$name(place).boxed())),*]
    };
}

const BEHAVIOURS: &[(&str, Behaviour)] = behaviours![
    behaviours::what_is_written_comes_back,
    behaviours::a_definition_is_the_same_each_time,
    behaviours::a_page_of_no_records_is_a_page,
    behaviours::a_commit_gives_the_state_of_each_source_that_was_written,
    behaviours::a_commit_of_nothing_is_one,
    behaviours::two_sources_do_not_mix,
    behaviours::many_sources_are_opened_at_once,
    behaviours::records_of_every_kind_are_kept,
    behaviours::a_record_of_a_megabyte_is_kept,
    behaviours::a_state_stays_small,
    crashes::what_was_not_committed_is_gone,
    crashes::what_was_committed_survives_a_drop,
    crashes::what_is_written_beside_a_commit_belongs_to_the_next,
    crashes::a_commit_whose_checkpoint_was_lost_does_not_count,
    crashes::a_commit_whose_checkpoint_was_stored_counts,
    crashes::an_end_that_was_not_committed_is_none,
    crashes::a_run_that_is_closed_without_a_commit_goes_on,
    crashes::opening_again_and_again_changes_nothing,
    crashes::a_store_of_another_kind_will_do,
    restarts::a_source_begins_anew,
    restarts::a_second_run_follows_a_finished_one,
    restarts::a_second_process_is_kept_out,
    restarts::a_later_record_of_the_same_key_counts,
    pipelines::a_pipeline_pulls_into_it,
    pipelines::a_pipeline_that_is_dropped_goes_on,
    pipelines::a_pipeline_whose_position_expires_begins_anew,
    walk::each_record_is_there_once_whatever_happens,
];

/// Holds a sink to all behaviours, and gives those that it does not hold.
pub async fn check(place: &dyn Place) -> Vec<Broken> {
    check_all(BEHAVIOURS.iter().map(|(name, behaviour)| (*name, behaviour(place)))).await
}

/// Looks at one behaviour after the other, and gives those that do not hold.
pub(super) async fn check_all(
    behaviours: impl Iterator<Item = (&'static str, BoxFuture<'_, Held>)>,
) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (name, behaviour) in behaviours {
        tracing::debug!(behaviour = name, "is looked at");
        let what = match timeout(LONGEST, behaviour).await {
            Ok(Ok(())) => continue,
            Ok(Err(Wrong(what))) => what,
            Err(_) => format!("it has not ended after {} s", LONGEST.as_secs()),
        };
        broken.push(Broken { behaviour: name, what });
    }
    broken
}

/// Holds a sink to one behaviour, by its name: those are in [`names`].
///
/// # Panics
/// If the sink does not hold it, or there is none of that name.
pub async fn run_one(place: &dyn Place, name: &str) {
    let known = BEHAVIOURS.iter().filter(|(known, _)| *known == name);
    let mut known = known.map(|(name, behaviour)| (*name, behaviour(place))).peekable();
    assert!(known.peek().is_some(), "there is no behaviour {name:?}");
    if let Some(broken) = check_all(known).await.first() {
        panic!("{broken}");
    }
}

/// The names of all behaviours.
pub fn names() -> impl Iterator<Item = &'static str> {
    BEHAVIOURS.iter().map(|(name, _)| *name)
}

/// Holds a sink to all behaviours.
///
/// # Panics
/// If there are any that it does not hold: with their names, and what was seen.
pub async fn run(place: &dyn Place) {
    let broken = check(place).await;
    let list: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(broken.is_empty(), "{} of {} do not hold:\n{}", broken.len(), BEHAVIOURS.len(), list.join("\n"));
}

/// The seed of what is done by chance.
pub(super) fn seed() -> u64 {
    let told = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    told.unwrap_or_else(|| fastrand::u64(..))
}
