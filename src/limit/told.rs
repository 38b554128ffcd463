//! What the server said, as far as it binds: waits, and a budget that it announced.

use std::time::Duration;

use tokio::time::Instant;

use super::budget::Grant;
use crate::hints::Hints;

/// What the answers said.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Told waits, and the reset of a budget that is used up.
    closed_until: Option<Instant>,
    window: Option<Window>,
}

/// A budget that the server announced, as the newest answer has it.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// What the server said, less what was granted since.
    remaining: u64,
    /// What was on its way when it said so.
    unseen: u64,
    /// Permits before this one had been granted by then.
    since: Grant,
    until: Instant,
}

impl Window {
    fn left(self) -> u64 {
        self.remaining.saturating_sub(self.unseen)
    }
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    ABudget,
    /// There is more than someone may have been told.
    More,
}

impl Told {
    /// When the server allows one more request, besides what is left for others.
    pub(super) fn ready(&mut self, left_for_others: u64, cost: u32, now: Instant) -> Instant {
        let mut ready = self.closed_until.map_or(now, |until| until.max(now));
        if self.window.is_some_and(|window| window.until <= now) {
            self.window = None;
        }
        let wanted = left_for_others.saturating_add(u64::from(cost));
        if let Some(window) = self.window.filter(|window| window.left() < wanted) {
            ready = ready.max(window.until);
        }
        ready
    }

    pub(super) fn take(&mut self, cost: u32) {
        if let Some(window) = &mut self.window {
            window.remaining = window.remaining.saturating_sub(u64::from(cost));
        }
    }

    pub(super) fn close(&mut self, until: Instant) {
        self.closed_until = Some(self.closed_until.map_or(until, |known| known.max(until)));
    }

    /// Learns from an answer what is left. `unseen` is on its way; `next` will be the number of the next permit.
    pub(super) fn hear(
        &mut self,
        remaining: u64,
        reset: Duration,
        unseen: u64,
        next: Grant,
        now: Instant,
    ) -> Heard {
        let until = now + reset;
        if remaining == 0 {
            // Kept until its reset, whatever an answer about another budget says.
            self.close(until);
            return Heard::ABudget;
        }
        // The newest answer knows best.
        let window = Window { remaining, unseen, since: next, until };
        let known = self.window.replace(window);
        match known {
            Some(known) if window.left() > known.left() || window.until < known.until => Heard::More,
            _ => Heard::ABudget,
        }
    }

    /// A request that was on its way is not any more, and its answer said nothing. Whether the server counted it is
    /// not known; if it did, it will say so. True if there is more now.
    pub(super) fn gone(&mut self, grant: Grant, cost: u32) -> bool {
        match self.window.as_mut().filter(|window| grant < window.since) {
            Some(window) => {
                window.unseen = window.unseen.saturating_sub(u64::from(cost));
                true
            }
            None => false,
        }
    }
}

/// What remains, in the units that the limiter counts in: a server that tells what a request took of its budget counts
/// in units of its own, and `cost` is what the limiter takes that request for.
pub(super) fn remaining(hints: &Hints, cost: u32) -> Option<u64> {
    let remaining = hints.remaining?;
    let Some(taken) = hints.cost else { return Some(remaining) };
    let converted = u128::from(remaining) * u128::from(cost) / u128::from(taken.max(1));
    Some(u64::try_from(converted).unwrap_or(u64::MAX))
}
