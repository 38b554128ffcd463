//! The arithmetic of the limiter, without a clock of its own: a token bucket in its virtual-scheduling form
//! (the "generic cell rate algorithm" of ITU-T I.371), plus what the server said.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::hints::Hints;

/// One that could have had a token this long ago, and has not asked, is not waited for.
const PATIENCE: Duration = Duration::from_millis(10);

/// Who may send when.
#[derive(Debug)]
pub(super) struct Bucket {
    /// The time that one token takes to come; zero if the rate is not limited.
    interval: Duration,
    burst: u32,
    max_wait: Duration,
    /// The theoretical arrival time: when the bucket will be full again.
    full_at: Option<Instant>,
    /// Told waits, and the reset of a budget that is used up.
    closed_until: Option<Instant>,
    window: Option<Window>,
    /// First come, first served.
    waiting: VecDeque<Waiter>,
    next_ticket: Ticket,
    /// Permits that are held: requests whose answers are not in yet.
    in_flight: u64,
    next_grant: Grant,
}

/// A budget that the server announced, as the newest answer has it.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// What the server said, less what was granted since.
    remaining: u64,
    /// Requests that were on their way when it said so.
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

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    waker: Option<Waker>,
    /// When it was told to come back.
    due: Option<Instant>,
}

/// A place in the queue.
pub(super) type Ticket = u64;

/// The number of a permit.
pub(super) type Grant = u64;

impl Bucket {
    pub(super) fn new(interval: Duration, burst: u32, max_wait: Duration) -> Self {
        Self {
            interval,
            burst: burst.max(1),
            max_wait,
            full_at: None,
            closed_until: None,
            window: None,
            waiting: VecDeque::new(),
            next_ticket: 0,
            in_flight: 0,
            next_grant: 0,
        }
    }

    pub(super) fn set_burst(&mut self, burst: u32) {
        self.burst = burst.max(1);
        self.wake_from(0);
    }

    pub(super) fn set_max_wait(&mut self, max_wait: Duration) {
        self.max_wait = max_wait;
    }

    pub(super) fn enqueue(&mut self) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back(Waiter { ticket, waker: None, due: None });
        ticket
    }

    /// Gives up a place; those behind it move up.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        if let Some(at) = self.place(ticket) {
            self.waiting.remove(at);
            self.wake_from(at);
        }
    }

    /// A request is over, with what its answer said: nothing, if there was none.
    pub(super) fn answered(&mut self, grant: Grant, hints: &Hints, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.observe(hints, self.in_flight, now) {
            return;
        }
        // One that was on its way is not any more. Whether the server counted it is not known; if it did, it
        // will say so.
        if let Some(window) = self.window.as_mut().filter(|window| grant < window.since) {
            window.unseen = window.unseen.saturating_sub(1);
            self.wake_from(0);
        }
    }

    /// Learns from an answer whose permit is still held, if there is one.
    pub(super) fn hear(&mut self, hints: &Hints, now: Instant) {
        self.observe(hints, self.in_flight.saturating_sub(1), now);
    }

    /// Takes a token, or says when to ask again.
    ///
    /// A waiter leaves one token for each that stands before it and has not missed its turn. So the queue is
    /// first come, first served; and one that is not polled holds up the others once, and never for good.
    pub(super) fn take(&mut self, ticket: Ticket, waker: &Waker, now: Instant) -> Result<Grant, Instant> {
        let at = self.place(ticket).unwrap_or(0);
        let patience = self.interval.max(PATIENCE);
        let missed = |waiter: &&Waiter| waiter.due.is_some_and(|due| now > due + patience);
        let ahead = at - self.waiting.iter().take(at).take_while(missed).count();
        let ready = self.ready_at(u32::try_from(ahead).unwrap_or(u32::MAX), now);
        if ready > now {
            if let Some(waiter) = self.waiting.get_mut(at) {
                waiter.due = Some(ready);
                waiter.waker = Some(waker.clone());
            }
            return Err(ready);
        }
        // Those behind were told their times with this taking in mind: nobody need be woken.
        self.waiting.remove(at);
        self.in_flight += 1;
        let grant = self.next_grant;
        self.next_grant += 1;
        if let Some(window) = &mut self.window {
            window.remaining = window.remaining.saturating_sub(1);
        }
        if !self.interval.is_zero() {
            self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + self.interval);
        }
        Ok(grant)
    }

    fn place(&self, ticket: Ticket) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()
    }

    fn wake_from(&mut self, at: usize) {
        for waiter in self.waiting.range_mut(at.min(self.waiting.len())..) {
            if let Some(waker) = waiter.waker.take() {
                waker.wake();
            }
        }
    }

    fn ready_at(&mut self, ahead: u32, now: Instant) -> Instant {
        let mut ready = now;
        if let Some(full_at) = self.full_at.filter(|_| !self.interval.is_zero()) {
            let spare = self.burst - 1;
            let at = if ahead >= spare {
                full_at.checked_add(self.interval.saturating_mul(ahead - spare)).unwrap_or(full_at)
            } else {
                full_at.checked_sub(self.interval.saturating_mul(spare - ahead)).unwrap_or(now)
            };
            ready = ready.max(at);
        }
        if let Some(until) = self.closed_until {
            ready = ready.max(until);
        }
        if self.window.is_some_and(|window| window.until <= now) {
            self.window = None;
        }
        if let Some(window) = self.window.filter(|window| window.left() <= u64::from(ahead)) {
            ready = ready.max(window.until);
        }
        ready
    }

    /// Learns from an answer; false if it says nothing about a budget. `unseen` requests are on their way.
    fn observe(&mut self, hints: &Hints, unseen: u64, now: Instant) -> bool {
        if let Some(wait) = hints.retry_after.max(hints.backoff).filter(|wait| !wait.is_zero()) {
            let until = now + wait.min(self.max_wait);
            self.close(until);
            // After a pause the requests come at the rate, not in a burst: the bucket is as good as empty.
            if !self.interval.is_zero() {
                let spare = self.interval.saturating_mul(self.burst - 1);
                let full_at = until.checked_add(spare).unwrap_or(until);
                self.full_at = Some(self.full_at.map_or(full_at, |known| known.max(full_at)));
            }
        }
        let (Some(remaining), Some(reset)) = (hints.remaining, hints.reset) else { return false };
        let until = now + reset.min(self.max_wait);
        if remaining == 0 {
            // Kept until its reset, whatever an answer about another budget says.
            self.close(until);
            return true;
        }
        // The newest answer knows best.
        let window = Window { remaining, unseen, since: self.next_grant, until };
        let known = self.window.replace(window);
        // Someone may have been told to wait for longer than that.
        if known.is_some_and(|known| window.left() > known.left() || window.until < known.until) {
            self.wake_from(0);
        }
        true
    }

    fn close(&mut self, until: Instant) {
        self.closed_until = Some(self.closed_until.map_or(until, |known| known.max(until)));
    }
}
