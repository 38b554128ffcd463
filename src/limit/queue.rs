//! Who waits for a permit, first come, first served.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// A place in the queue.
pub(super) type Ticket = u64;

#[derive(Debug)]
pub(super) struct Waiter {
    ticket: Ticket,
    pub(super) cost: u32,
    waker: Option<Waker>,
    /// When it was told to come back.
    due: Option<Instant>,
    /// Before this it cannot go, for another budget does not let it.
    pub(super) elsewhere_until: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiter>,
    next: Ticket,
}

impl Queue {
    pub(super) fn enqueue(&mut self, cost: u32) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        if self.waiting.capacity() == 0 {
            // Most limiters have one source.
            self.waiting.reserve_exact(1);
        }
        self.waiting.push_back(Waiter { ticket, cost, waker: None, due: None, elsewhere_until: None });
        ticket
    }

    fn place(&self, ticket: Ticket) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()
    }

    /// Takes a waiter out; where it stood.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<usize> {
        let at = self.place(ticket)?;
        self.waiting.remove(at);
        Some(at)
    }

    /// Those who stand before a waiter and have not missed their turn. One that could have had a token longer than
    /// `patience` ago, and has not asked, is not waited for.
    pub(super) fn ahead(
        &self,
        ticket: Ticket,
        patience: Duration,
        now: Instant,
    ) -> impl Iterator<Item = &Waiter> {
        let at = self.place(ticket).unwrap_or(0);
        let missed = move |waiter: &&Waiter| waiter.due.is_some_and(|due| now > due + patience);
        self.waiting.iter().take(at).skip_while(missed)
    }

    /// Notes what a waiter was told.
    pub(super) fn tell(
        &mut self,
        ticket: Ticket,
        due: Instant,
        elsewhere_until: Option<Instant>,
        waker: &Waker,
    ) {
        if let Some(waiter) = self.place(ticket).and_then(|at| self.waiting.get_mut(at)) {
            waiter.due = Some(due);
            waiter.elsewhere_until = elsewhere_until;
            waiter.waker = Some(waker.clone());
        }
    }

    /// The wakers of all from this place on.
    pub(super) fn wakers_from(&mut self, at: usize) -> impl Iterator<Item = Waker> {
        self.waiting.range_mut(at.min(self.waiting.len())..).filter_map(|waiter| waiter.waker.take())
    }
}
