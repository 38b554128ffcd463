//! Waiting for a permit, and holding it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::Limiter;
use super::budget::{Grant, Outcome};
use super::flight::Pulse;
use super::queue::Ticket;
use crate::hints::Hints;

/// The future of [`Limiter::acquire`].
#[must_use = "a permit is only had when this has been awaited"]
pub struct Acquire {
    limiter: Limiter,
    cost: u32,
    /// One for each budget, once it stands in the queues.
    tickets: Vec<Ticket>,
    // Only made where there is something to wait for.
    sleep: Option<Pin<Box<Sleep>>>,
    since: Option<Instant>,
}

impl Acquire {
    pub(super) fn new(limiter: Limiter, cost: u32) -> Self {
        Self { limiter, cost, tickets: Vec::new(), sleep: None, since: None }
    }

    /// When to look again, if there was no permit at the last poll.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.sleep.as_ref().map(|sleep| sleep.deadline())
    }
}

/// What the budgets gave, all at once.
pub(super) struct Granted {
    pub(super) grants: Vec<Grant>,
    pub(super) pulse: Option<Arc<Pulse>>,
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        let this = &mut *self;
        loop {
            let now = Instant::now();
            let since = *this.since.get_or_insert(now);
            match this.limiter.take(&mut this.tickets, this.cost, cx.waker(), now) {
                Ok(granted) => {
                    this.tickets.clear();
                    return Poll::Ready(Permit {
                        limiter: this.limiter.clone(),
                        cost: this.cost,
                        waited: now - since,
                        granted,
                        outcome: Outcome::Unknown,
                        hints: Hints::default(),
                    });
                }
                Err(at) => {
                    let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
                    if sleep.deadline() != at {
                        sleep.as_mut().reset(at);
                    }
                    // Woken by the clock, or because one before it has left.
                    ready!(sleep.as_mut().poll(cx));
                }
            }
        }
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        if !self.tickets.is_empty() {
            self.limiter.leave(&self.tickets);
        }
    }
}

/// The right to send one request. It is held until the answer is in: so the limiter knows how many requests
/// the server has not counted yet, and how many are on their way.
#[must_use = "dropping it says that the request is over"]
pub struct Permit {
    limiter: Limiter,
    cost: u32,
    waited: Duration,
    granted: Granted,
    outcome: Outcome,
    hints: Hints,
}

impl Permit {
    /// How long it took to get it.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Gives it back with what a good answer said.
    ///
    /// Dropping it says that the request failed, or that there was no answer.
    pub fn answered(self, hints: &Hints) {
        self.end(Outcome::Accepted, hints);
    }

    /// Gives it back with what an answer said that refused the request for its rate (429, say): an
    /// [adaptive](Limiter::adaptive) limiter slows down.
    pub fn refused(self, hints: &Hints) {
        self.end(Outcome::Refused, hints);
    }

    /// Gives it back with what an answer said that failed for another reason.
    pub(crate) fn failed(self, hints: &Hints) {
        self.end(Outcome::Unknown, hints);
    }

    fn end(mut self, outcome: Outcome, hints: &Hints) {
        (self.outcome, self.hints) = (outcome, *hints);
    }

    /// The waker to poll the request with, where the limiter must know when it is woken.
    pub(crate) fn waker(&self, waker: &Waker) -> Option<Waker> {
        self.granted.pulse.as_ref().map(|pulse| pulse.poll(waker))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.give_back(&self.granted.grants, self.cost, self.outcome, &self.hints);
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("cost", &self.cost)
            .field("tickets", &self.tickets)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("cost", &self.cost)
            .field("waited", &self.waited)
            .finish_non_exhaustive()
    }
}
