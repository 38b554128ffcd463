//! Waiting for a permit, and holding it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::Limiter;
use super::bucket::{Grant, Ticket};
use crate::hints::Hints;

/// The future of [`Limiter::acquire`].
#[must_use = "a permit is only had when this has been awaited"]
pub struct Acquire {
    limiter: Limiter,
    ticket: Option<Ticket>,
    // Only made where there is something to wait for.
    sleep: Option<Pin<Box<Sleep>>>,
    since: Option<Instant>,
}

impl Acquire {
    pub(super) fn new(limiter: Limiter) -> Self {
        Self { limiter, ticket: None, sleep: None, since: None }
    }

    /// When to look again, if there was no permit at the last poll.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.sleep.as_ref().map(|sleep| sleep.deadline())
    }
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        let this = &mut *self;
        loop {
            let now = Instant::now();
            let since = *this.since.get_or_insert(now);
            let mut bucket = this.limiter.bucket();
            let ticket = *this.ticket.get_or_insert_with(|| bucket.enqueue());
            match bucket.take(ticket, cx.waker(), now) {
                Ok(grant) => {
                    drop(bucket);
                    this.ticket = None;
                    return Poll::Ready(Permit {
                        limiter: this.limiter.clone(),
                        waited: now - since,
                        grant,
                        hints: Hints::default(),
                    });
                }
                Err(at) => {
                    drop(bucket);
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
        if let Some(ticket) = self.ticket.take() {
            self.limiter.bucket().leave(ticket);
        }
    }
}

/// The right to send one request. It is held until the answer is in: so the limiter knows how many requests
/// the server has not counted yet.
#[derive(Debug)]
#[must_use = "dropping it says that the request is over"]
pub struct Permit {
    limiter: Limiter,
    waited: Duration,
    grant: Grant,
    hints: Hints,
}

impl Permit {
    /// How long it took to get it.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Permit {
    /// Gives it back with what the answer said. Dropping it says that there was no answer.
    pub fn answered(mut self, hints: &Hints) {
        self.hints = *hints;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.bucket().answered(self.grant, &self.hints, Instant::now());
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}
