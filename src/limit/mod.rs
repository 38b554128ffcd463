//! The limiter: how often a source, or everything on one credential, may ask.
//!
//! A [`Limiter`] is one budget or several at once ([`and`](Limiter::and)), each shared by all clones of the limiter that
//! it was made with:
//!
//! | budget | promise |
//! |---|---|
//! | [`per_second`](Limiter::per_second), `per_minute`, `per_hour`, with a `burst` | in any time *t* no more than `burst + rate × t` |
//! | [`quota`](Limiter::quota), [`per_day`](Limiter::per_day) | no more than so many in any window of that length, at whatever speed |
//! | [`adaptive`](Limiter::adaptive) | the rate that the server takes, found by its refusals |
//! | [`in_flight`](Limiter::in_flight) | no more than so many on their way at once |
//!
//! A request costs one token of each budget, or as many as [`acquire_cost`](Limiter::acquire_cost) says.
//!
//! What the server says comes on top: a `Retry-After` closes the gate for everyone on this limiter, and an
//! announced budget that is used up closes it until its reset. It is heard by the first budget only, so that what is
//! said of one route does not stop the others: in `route.and(credential)` that is the route.
//!
//! The clock is tokio's, so that tests on a paused clock are exact. No lock is held across an await, and a
//! stream that has asked for a permit, or has one, and is then not polled cannot starve the others.

mod aimd;
mod budget;
mod flight;
mod permit;
mod queue;
mod quota;
mod rate;
#[cfg(test)]
mod tests;
mod told;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use aimd::Aimd;
use budget::{Budget, Grant, Outcome};
use permit::Granted;
pub use permit::{Acquire, Permit};
use queue::Ticket;
use quota::Quota;
use rate::{LONGEST, Rate};

use crate::error::{Error, Result};
use crate::hints::Hints;

const MAX_WAIT: Duration = Duration::from_secs(15 * 60);
const DAY: Duration = Duration::from_secs(86_400);

/// A rate limiter, shared by its clones: all sources on one credential can share one budget.
///
/// ```
/// use headwater::Limiter;
/// let limiter = Limiter::per_second(25.0).burst(50);
/// let same_budget = limiter.clone();
/// let gentle = Limiter::per_minute(0.5);
///
/// // Several at once: 10 a second, 1,000 a day, and no more than four on their way.
/// let credential = Limiter::per_second(10.0).in_flight(4).and(Limiter::per_day(1000.0));
/// // A route with a limit of its own, below that of the credential.
/// let search = Limiter::per_minute(30.0).and(credential.clone());
/// ```
#[derive(Clone)]
pub struct Limiter {
    /// In the order of their addresses, so that two limiters that share some lock them in the same order.
    budgets: Arc<[Arc<Mutex<Budget>>]>,
    /// The one that hears what the server says, and that settings are for.
    first: usize,
}

impl Limiter {
    fn of(budget: Budget) -> Self {
        Self { budgets: Arc::new([Arc::new(Mutex::new(budget))]), first: 0 }
    }

    fn with_interval(interval: Duration) -> Self {
        Self::of(Budget::of_interval(interval, MAX_WAIT))
    }

    /// Allows this many requests a second, with a burst of 1. Fractions are fine: 0.5 is one in two
    /// seconds. A rate that is not a positive number allows one request in a day.
    pub fn per_second(rate: f64) -> Self {
        Self::with_interval(Rate::interval_of(rate))
    }

    /// Allows this many requests a minute, evenly.
    pub fn per_minute(rate: f64) -> Self {
        Self::per_second(rate / 60.0)
    }

    /// Allows this many requests an hour, evenly.
    pub fn per_hour(rate: f64) -> Self {
        Self::per_second(rate / 3600.0)
    }

    /// Allows this many requests in any 24 hours, at whatever speed: put it beside a rate. A fraction of one is one in
    /// as many days; a number that is not positive is one in a day.
    ///
    /// It counts from the start of the process. What was sent before is for the server to say.
    pub fn per_day(requests: f64) -> Self {
        if requests > 0.0 && requests < 1.0 {
            let days = Duration::try_from_secs_f64(DAY.as_secs_f64() / requests).unwrap_or(LONGEST);
            return Self::quota(1, days);
        }
        // What is no number is 0, which counts as 1.
        Self::quota(requests as u64, DAY)
    }

    /// Allows this many requests in any window of this length, at whatever speed; 0 counts as 1. Any window, wherever
    /// it begins: so it holds for a server whose windows begin at times of its own, too.
    ///
    /// Above 4,096 several requests share an entry of its memory, and come back with the last of them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use headwater::Limiter;
    /// // HubSpot: 100 in ten seconds.
    /// let hubspot = Limiter::quota(100, Duration::from_secs(10));
    /// ```
    pub fn quota(requests: u64, window: Duration) -> Self {
        Self::of(Budget::of_quota(Quota::new(requests, window.min(LONGEST)), MAX_WAIT))
    }

    /// Finds the rate of a server that says nothing about it: begins with `start` requests a second, adds a hundredth
    /// of `most` with each second of good answers (or with each, where they are rarer), and goes down to seven tenths with each refusal (a 429, or what a
    /// rule declares as [`Wait`](crate::exchange::Verdict::Wait)), but never above `most`, nor below a hundredth of it
    /// (or `start`, if that is less). The refusals of requests that were on their way together count once. A
    /// number that is not positive and finite is 1.
    ///
    /// What the server does say is heard as with any limiter.
    pub fn adaptive(start: f64, most: f64) -> Self {
        Self::of(Budget::of_aimd(Aimd::new(start, most), MAX_WAIT))
    }

    /// Sets no rate of its own and only does what the server says.
    pub fn unlimited() -> Self {
        Self::with_interval(Duration::ZERO)
    }

    /// Adds the budgets of another limiter: a request must be within them all, and takes from all of them or from
    /// none. A clone that is added here and elsewhere is one budget.
    ///
    /// What the server says is heard by the first, `self`.
    ///
    /// ```
    /// use headwater::Limiter;
    /// let credential = Limiter::per_second(50.0);
    /// let search = Limiter::per_second(5.0).and(credential.clone());
    /// let issues = Limiter::per_second(30.0).and(credential.clone());
    /// ```
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut budgets = self.budgets.to_vec();
        for budget in other.budgets.iter() {
            if !budgets.iter().any(|known| Arc::ptr_eq(known, budget)) {
                budgets.push(budget.clone());
            }
        }
        budgets.sort_by_key(|budget| Arc::as_ptr(budget).addr());
        let first = budgets.iter().position(|budget| Arc::ptr_eq(budget, &self.budgets[self.first]));
        Self { first: first.unwrap_or(0), budgets: budgets.into() }
    }

    /// Sets how many requests may go at once after a time of rest. The default is 1; 0 counts as 1.
    ///
    /// Every clone is affected. Of several budgets it is set for the first.
    #[must_use]
    pub fn burst(self, requests: u32) -> Self {
        self.with_first(|first| first.set_burst(requests));
        self
    }

    /// Sets how many requests may be on their way at once, from the permit to the end of the answer. The default is
    /// no limit; 0 counts as 1.
    ///
    /// A page stream that was woken and is not polled for a second gives its place to another until it is polled
    /// again: so streams that are polled in turn do not lock each other up. A permit that is held by hand
    /// ([`acquire`](Self::acquire)) counts until it is given back or dropped; who waits for a second one before that
    /// waits for himself, as with any semaphore.
    ///
    /// Every clone is affected. Of several budgets it is set for the first.
    #[must_use]
    pub fn in_flight(self, requests: u32) -> Self {
        self.with_first(|first| first.set_in_flight(requests));
        self
    }

    /// Sets the longest time that an answer can close the gate for. The default is 15 minutes: after that a
    /// request is let through, to see whether the server still means it.
    ///
    /// Every clone is affected. Of several budgets it is set for the first.
    #[must_use]
    pub fn max_wait(self, wait: Duration) -> Self {
        self.with_first(|first| first.set_max_wait(wait.min(LONGEST)));
        self
    }

    /// Waits for one [`Permit`]: the right to send one request. First come, first served; dropping the
    /// future gives up the place in the queue.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use headwater::{Hints, Limiter};
    /// let limiter = Limiter::per_second(25.0);
    /// let permit = limiter.acquire().await;
    /// // … send one request, and show its answer to the limiter:
    /// permit.answered(&Hints::default());
    /// # }
    /// ```
    pub fn acquire(&self) -> Acquire {
        self.acquire_cost(1)
    }

    /// The same for a request that costs as much as `cost` of them, for budgets that are counted in points; 0 counts
    /// as 1. One that costs more than the burst waits until the whole burst is there, and those behind it wait for the
    /// rest. A cap on requests on their way counts it as one.
    ///
    /// What a server says is left is taken to be in the same units, unless it tells what the request took: then it is
    /// converted.
    pub fn acquire_cost(&self, cost: u32) -> Acquire {
        Acquire::new(self.clone(), cost.max(1))
    }

    /// Refuses a cost that was surely not meant: its tokens would take more than a day to come.
    pub(crate) fn check_cost(&self, cost: u32) -> Result<()> {
        let time = self.budgets.iter().map(|budget| locked(budget).time_for(cost)).max().unwrap_or_default();
        if cost <= 1 || time <= DAY {
            return Ok(());
        }
        let what =
            format!("one request costs {cost}, and so many tokens take {} days", time.as_secs() / 86_400);
        Err(Error::config(what).advice("count the limiter in the units of the cost: points a second, say"))
    }

    /// Learns from an answer whose permit is still held, or that came by another way. With a permit at hand,
    /// [`Permit::answered`] is better.
    pub fn observe(&self, hints: &Hints) {
        if *hints != Hints::default() {
            let now = Instant::now();
            self.with_first(|first| first.hear(hints, now));
        }
    }

    /// Takes from all budgets, or says when to ask again.
    fn take(
        &self,
        tickets: &mut Vec<Ticket>,
        cost: u32,
        waker: &Waker,
        now: Instant,
    ) -> Result<Granted, Instant> {
        self.with_all(|budgets| {
            if tickets.is_empty() {
                tickets.extend(budgets.iter_mut().map(|budget| budget.enqueue(cost)));
            }
            let ready: Vec<_> = budgets
                .iter_mut()
                .zip(&*tickets)
                .map(|(budget, ticket)| budget.ready(*ticket, cost, now))
                .collect();
            let due = ready.iter().map(|ready| ready.at).max().unwrap_or(now);
            if due <= now {
                let watched = budgets.iter().any(|budget| budget.watches());
                let pulse = watched.then(Arc::default);
                let each = budgets.iter_mut().zip(&*tickets);
                let grants =
                    each.map(|(budget, ticket)| budget.grant(*ticket, cost, pulse.as_ref(), now)).collect();
                return Ok(Granted { grants, pulse });
            }
            for (at, (budget, ticket)) in budgets.iter_mut().zip(&*tickets).enumerate() {
                let others = ready.iter().enumerate().filter(|(other, _)| *other != at);
                // A place can become free at any moment: for that one its tokens are kept.
                let elsewhere = others.map(|(_, ready)| if ready.known { ready.at } else { now }).max();
                budget.tell(*ticket, due, elsewhere, waker);
            }
            Err(due)
        })
    }

    fn leave(&self, tickets: &[Ticket]) {
        self.with_all(|budgets| {
            budgets.iter_mut().zip(tickets).for_each(|(budget, ticket)| budget.leave(*ticket));
        });
    }

    fn give_back(&self, grants: &[Grant], cost: u32, outcome: Outcome, hints: &Hints) {
        let now = Instant::now();
        self.with_all(|budgets| {
            for (at, (budget, grant)) in budgets.iter_mut().zip(grants).enumerate() {
                let nothing = Hints::default();
                let heard = if at == self.first { hints } else { &nothing };
                budget.answered(*grant, cost, outcome, heard, now);
            }
        });
    }

    fn with_first<R>(&self, act: impl FnOnce(&mut Budget) -> R) -> R {
        let mut budget = locked(&self.budgets[self.first]);
        let result = act(&mut budget);
        let woken = std::mem::take(&mut budget.woken);
        drop(budget);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    /// Nobody is woken, and no code but ours runs, while a lock is held.
    fn with_all<R>(&self, act: impl FnOnce(&mut [MutexGuard<'_, Budget>]) -> R) -> R {
        let mut budgets: Vec<_> = self.budgets.iter().map(|budget| locked(budget)).collect();
        let result = act(&mut budgets);
        let woken: Vec<_> = budgets.iter_mut().flat_map(|budget| std::mem::take(&mut budget.woken)).collect();
        drop(budgets);
        woken.into_iter().for_each(Waker::wake);
        result
    }
}

fn locked(budget: &Mutex<Budget>) -> MutexGuard<'_, Budget> {
    // A budget is consistent between any two statements, so a poisoned lock is no reason to stop.
    budget.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.budgets.iter().map(|budget| locked(budget))).finish()
    }
}
