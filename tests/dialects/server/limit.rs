//! Limits that are meant: who comes back before the time that was said is banned.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater::testing::Reply;
use tokio::time::Instant;

use super::{Asked, refuse};

/// The wall time at which every script begins: 2026-05-17T10:00:00Z.
const BEGIN: u64 = 1_779_012_000;

/// A limit that the request of some number meets, and that stands for a while.
#[derive(Clone)]
pub(crate) struct Limit {
    nth: u64,
    wait: Duration,
    told: bool,
    begun: Instant,
    met: Arc<Mutex<Met>>,
}

#[derive(Default)]
struct Met {
    until: Option<Instant>,
    early: u64,
}

impl Limit {
    /// The request of this number, from 1, meets the limit, and is told how long it stands: one that comes earlier is
    /// banned.
    pub(crate) fn at(nth: u64, wait: Duration) -> Self {
        Self { nth, wait, told: true, begun: Instant::now(), met: Arc::default() }
    }

    /// The same, in seconds.
    pub(crate) fn told(nth: u64, seconds: u64) -> Self {
        Self::at(nth, Duration::from_secs(seconds))
    }

    /// A limit that says nothing of how long it stands: one that comes earlier is refused as before.
    pub(crate) fn untold(nth: u64, seconds: u64) -> Self {
        Self { told: false, ..Self::told(nth, seconds) }
    }

    /// How long this request has to wait, if it meets the limit.
    pub(crate) fn meets(&self, asked: &Asked<'_>) -> Result<Option<Duration>, Reply> {
        let mut met = self.met();
        let now = Instant::now();
        match met.until {
            None if asked.nth >= self.nth => {
                met.until = Some(now + self.wait);
                Ok(Some(self.wait))
            }
            Some(until) if now < until && self.told => {
                met.early += 1;
                Err(refuse(400, format!("banned: back {:?} before the time that was said", until - now)))
            }
            Some(until) if now < until => Ok(Some(until - now)),
            _ => Ok(None),
        }
    }

    /// Lets the request through, or refuses it with what is made of the wait.
    pub(crate) fn pass(
        &self,
        asked: &Asked<'_>,
        refusal: impl FnOnce(Duration) -> Reply,
    ) -> Result<(), Reply> {
        self.meets(asked)?.map_or(Ok(()), |wait| Err(refusal(wait)))
    }

    /// The wall time, in seconds since 1970, as the script has it.
    pub(crate) fn now(&self) -> f64 {
        BEGIN as f64 + self.begun.elapsed().as_secs_f64()
    }

    /// The wall time after a wait, in whole seconds since 1970.
    pub(crate) fn after(&self, wait: Duration) -> u64 {
        (self.now() + wait.as_secs_f64()).ceil() as u64
    }

    /// Whether the limit was met, and its wait kept.
    pub(crate) fn kept(&self) -> Result<(), String> {
        let met = self.met();
        match (met.until, met.early) {
            (None, _) => Err("the limit was never met".into()),
            (_, 0) => Ok(()),
            (_, early) => Err(format!("{early} requests came before the wait was over")),
        }
    }

    fn met(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A budget of requests in any minute, as the server counts them.
#[derive(Default)]
pub(crate) struct Minute(Mutex<Vec<Instant>>);

impl Minute {
    /// Refuses the request if the minute had its share.
    pub(crate) fn allow(&self, share: usize, limited: impl FnOnce() -> Reply) -> Result<(), Reply> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        seen.retain(|at| now - *at < Duration::from_secs(60));
        seen.push(now);
        if seen.len() > share { Err(limited()) } else { Ok(()) }
    }
}
