//! One budget of a limiter, without a clock of its own: a rate or a quota, a cap on what is on its way, what the server
//! said, and the queue of those who wait.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::aimd::Aimd;
use super::flight::{Flight, LOOK, Pulse};
use super::queue::{Queue, Ticket};
use super::quota::Quota;
use super::rate::Rate;
use super::told::{Heard, Told, remaining};
use crate::hints::Hints;

/// One that could have had a token this long ago, and has not asked, is not waited for.
const PATIENCE: Duration = Duration::from_millis(10);

/// The number of a permit.
pub(super) type Grant = u64;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    /// The server limits the rate.
    Refused,
    /// It failed for another reason, or its answer never came.
    Unknown,
}

/// When a waiter can go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) at: Instant,
    /// Whether that is when it can go, or only when to look again: a place becomes free at any moment.
    pub(super) known: bool,
}

/// Who may send when.
#[derive(Debug)]
pub(super) struct Budget {
    rate: Rate,
    quota: Option<Quota>,
    aimd: Option<Aimd>,
    told: Told,
    flight: Flight,
    max_wait: Duration,
    queue: Queue,
    next_grant: Grant,
    /// To be called when the lock on this is open: a waker may be anyone's code.
    pub(super) woken: Vec<Waker>,
}

impl Budget {
    fn with(rate: Rate, max_wait: Duration) -> Self {
        Self {
            rate,
            quota: None,
            aimd: None,
            told: Told::default(),
            flight: Flight::default(),
            max_wait,
            queue: Queue::default(),
            next_grant: 0,
            woken: Vec::new(),
        }
    }

    pub(super) fn of_interval(interval: Duration, max_wait: Duration) -> Self {
        Self::with(Rate::new(interval), max_wait)
    }

    pub(super) fn of_quota(quota: Quota, max_wait: Duration) -> Self {
        Self { quota: Some(quota), ..Self::with(Rate::new(Duration::ZERO), max_wait) }
    }

    pub(super) fn of_aimd(aimd: Aimd, max_wait: Duration) -> Self {
        let rate = Rate::new(Rate::interval_of(aimd.rate()));
        Self { aimd: Some(aimd), ..Self::with(rate, max_wait) }
    }

    pub(super) fn set_burst(&mut self, burst: u32) {
        self.rate.set_burst(burst);
        self.wake_from(0);
    }

    /// How long the tokens for one request take to come.
    pub(super) fn time_for(&self, cost: u32) -> Duration {
        self.rate.time_for(cost)
    }

    pub(super) fn set_max_wait(&mut self, max_wait: Duration) {
        self.max_wait = max_wait;
    }

    pub(super) fn set_in_flight(&mut self, most: u32) {
        self.flight.set_most(most);
        self.wake_from(0);
    }

    /// Whether it must know when the holders of its permits are woken.
    pub(super) fn watches(&self) -> bool {
        self.flight.is_capped()
    }

    pub(super) fn enqueue(&mut self, cost: u32) -> Ticket {
        self.queue.enqueue(cost)
    }

    /// Gives up a place; those behind it move up.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        if let Some(at) = self.queue.remove(ticket) {
            self.wake_from(at);
        }
    }

    /// Says when a waiter can go.
    ///
    /// It leaves tokens for those that stand before it and have not missed their turn. So the queue is first come,
    /// first served; and one that is not polled holds up the others once, and never for good. For one that another
    /// budget does not let go yet no place is kept, and no token that will have come again by then.
    pub(super) fn ready(&mut self, ticket: Ticket, cost: u32, now: Instant) -> Ready {
        let (mut all, mut soon, mut places) = (0_u64, 0_u64, 0_u64);
        for waiter in self.queue.ahead(ticket, self.rate.interval().max(PATIENCE), now) {
            let tokens = u64::from(waiter.cost);
            all += tokens;
            let elsewhere = waiter.elsewhere_until.filter(|until| *until > now);
            if elsewhere.is_none() {
                places += 1;
            }
            if elsewhere
                .is_none_or(|until| self.rate.ready_after(soon + u64::from(cost), waiter.cost, now) > until)
            {
                soon += tokens;
            }
        }
        let mut at = self.rate.ready(soon, cost, now).max(self.told.ready(all, cost, now));
        if let Some(quota) = &mut self.quota {
            at = at.max(quota.ready(all, cost, now));
        }
        if self.flight.has_room(places, now) {
            return Ready { at, known: true };
        }
        Ready { at: at.max(now + LOOK), known: false }
    }

    /// Notes what a waiter was told: when to come back, and until when another budget does not let it go.
    pub(super) fn tell(&mut self, ticket: Ticket, due: Instant, elsewhere: Option<Instant>, waker: &Waker) {
        self.queue.tell(ticket, due, elsewhere, waker);
    }

    /// Gives a permit to one that is ready.
    pub(super) fn grant(
        &mut self,
        ticket: Ticket,
        cost: u32,
        pulse: Option<&Arc<Pulse>>,
        now: Instant,
    ) -> Grant {
        // Those behind were told their times with this in mind: nobody need be woken.
        self.queue.remove(ticket);
        let grant = self.next_grant;
        self.next_grant += 1;
        self.flight.begin(grant, cost, pulse);
        self.told.take(cost);
        self.rate.take(cost, now);
        if let Some(quota) = &mut self.quota {
            quota.take(cost, now);
        }
        grant
    }

    /// A request is over, with what its answer said: nothing, if there was none.
    pub(super) fn answered(
        &mut self,
        grant: Grant,
        cost: u32,
        outcome: Outcome,
        hints: &Hints,
        now: Instant,
    ) {
        self.flight.end(grant, cost);
        if let Some(aimd) = &mut self.aimd {
            let lowered = match outcome {
                Outcome::Accepted => {
                    aimd.accepted(grant);
                    false
                }
                Outcome::Refused => aimd.refused(grant, self.next_grant),
                Outcome::Unknown => false,
            };
            self.rate.set_interval(Rate::interval_of(aimd.rate()), now);
            if lowered {
                self.rate.empty_at(now + self.rate.interval());
            }
        }
        match self.observe(hints, cost, self.flight.cost(), now) {
            Heard::More => self.wake_from(0),
            Heard::Nothing if self.told.gone(grant, cost) => self.wake_from(0),
            // A place has become free.
            _ if self.flight.is_capped() => self.wake_from(0),
            _ => {}
        }
    }

    /// Learns from an answer whose permit is still held, if there is one.
    pub(super) fn hear(&mut self, hints: &Hints, now: Instant) {
        if self.observe(hints, 1, self.flight.cost().saturating_sub(1), now) == Heard::More {
            self.wake_from(0);
        }
    }

    /// `unseen` is on its way; the answer is that to a request of this cost.
    fn observe(&mut self, hints: &Hints, cost: u32, unseen: u64, now: Instant) -> Heard {
        if let Some(pace) = hints.pace {
            self.rate.set_pace(pace.min(self.max_wait), now);
        }
        if let Some(wait) = hints.retry_after.max(hints.backoff).filter(|wait| !wait.is_zero()) {
            let until = now + wait.min(self.max_wait);
            self.told.close(until);
            self.rate.empty_at(until);
        }
        let (Some(remaining), Some(reset)) = (remaining(hints, cost), hints.reset) else {
            return Heard::Nothing;
        };
        self.told.hear(remaining, reset.min(self.max_wait), unseen, self.next_grant, now)
    }

    fn wake_from(&mut self, at: usize) {
        self.woken.extend(self.queue.wakers_from(at));
    }
}
