//! The arithmetic of the limiter, without a clock of its own: a token bucket in its virtual-scheduling form
//! (the "generic cell rate algorithm" of ITU-T I.371), plus what the server said.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::hints::Hints;

/// Two answers of one window may name resets that differ by rounding.
const SAME_WINDOW: Duration = Duration::from_secs(2);

/// Who may send when.
#[derive(Debug)]
pub(super) struct Bucket {
    /// The time that one token takes to come; zero if the rate is not limited.
    interval: Duration,
    burst: u32,
    max_wait: Duration,
    /// The theoretical arrival time: when the bucket will be full again.
    full_at: Option<Instant>,
    paused_until: Option<Instant>,
    window: Option<Window>,
    waiting: VecDeque<u64>,
    next_ticket: u64,
}

/// A budget that the server announced.
#[derive(Debug, Clone, Copy)]
struct Window {
    remaining: u64,
    until: Instant,
}

/// A place in the queue.
pub(super) type Ticket = u64;

impl Bucket {
    pub(super) fn new(interval: Duration, burst: u32, max_wait: Duration) -> Self {
        Self {
            interval,
            burst: burst.max(1),
            max_wait,
            full_at: None,
            paused_until: None,
            window: None,
            waiting: VecDeque::new(),
            next_ticket: 0,
        }
    }

    pub(super) fn set_burst(&mut self, burst: u32) {
        self.burst = burst.max(1);
    }

    pub(super) fn set_max_wait(&mut self, max_wait: Duration) {
        self.max_wait = max_wait;
    }

    pub(super) fn enqueue(&mut self) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back(ticket);
        ticket
    }

    pub(super) fn leave(&mut self, ticket: Ticket) {
        if let Ok(at) = self.waiting.binary_search(&ticket) {
            self.waiting.remove(at);
        }
    }

    /// Takes a token, or says when to ask again.
    ///
    /// A waiter leaves one token for each that stands before it. So the queue is first come, first served;
    /// and one that is not polled holds up the others by a token, never for good.
    pub(super) fn take(&mut self, ticket: Ticket, now: Instant) -> Result<(), Instant> {
        let ahead = self.waiting.binary_search(&ticket).unwrap_or(0);
        let ready = self.ready_at(u32::try_from(ahead).unwrap_or(u32::MAX), now);
        if ready > now {
            return Err(ready);
        }
        self.leave(ticket);
        if let Some(window) = &mut self.window {
            window.remaining = window.remaining.saturating_sub(1);
        }
        if !self.interval.is_zero() {
            self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + self.interval);
        }
        Ok(())
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
        if let Some(until) = self.paused_until {
            ready = ready.max(until);
        }
        if self.window.is_some_and(|window| window.until <= now) {
            self.window = None;
        }
        if let Some(window) = self.window.filter(|window| window.remaining <= u64::from(ahead)) {
            ready = ready.max(window.until);
        }
        ready
    }

    /// Learns from an answer.
    pub(super) fn observe(&mut self, hints: &Hints, now: Instant) {
        if let Some(wait) = hints.retry_after.filter(|wait| !wait.is_zero()) {
            let until = now + wait.min(self.max_wait);
            self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
            // After a pause the requests come at the rate, not in a burst: the bucket is as good as empty.
            if !self.interval.is_zero() {
                let full_at = until + self.interval.saturating_mul(self.burst - 1);
                self.full_at = Some(self.full_at.map_or(full_at, |known| known.max(full_at)));
            }
        }
        if let (Some(remaining), Some(reset)) = (hints.remaining, hints.reset) {
            let until = now + reset.min(self.max_wait);
            match &mut self.window {
                // Answers overtake each other: within a window the budget only falls.
                Some(window)
                    if until <= window.until + SAME_WINDOW && until + SAME_WINDOW >= window.until =>
                {
                    window.remaining = window.remaining.min(remaining);
                    window.until = window.until.max(until);
                }
                Some(window) if until < window.until && window.until > now && remaining > 0 => {}
                _ => self.window = Some(Window { remaining, until }),
            }
        }
    }
}
