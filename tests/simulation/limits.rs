//! What holds for all requests of one limiter, in one process: its own bound, and what the server has told.

use std::collections::BTreeSet;
use std::time::Duration;

use super::oracle::Invariant;
use super::world::Api;

#[derive(Debug, Default, Clone)]
pub(crate) struct LimiterView {
    /// When requests were sent, hops of redirects not counted.
    sent: Vec<Duration>,
    /// No request before this, by what the server said.
    closed_until: Duration,
    /// Requests whose answers are not in yet, by their numbers.
    on_their_way: BTreeSet<u64>,
    budget: Option<Budget>,
}

/// What the newest answer with a budget in it leaves.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// How many more may be sent; those on their way are taken off.
    left: i64,
    until: Duration,
    /// Requests before this one had been sent by then.
    since: u64,
}

impl LimiterView {
    /// A request is sent: its number, and what it breaks.
    pub(crate) fn sent(&mut self, api: &Api, now: Duration) -> (u64, Option<(Invariant, String)>) {
        let number = self.sent.len() as u64;
        self.sent.push(now);
        self.on_their_way.insert(number);
        let mut broken = None;
        if let Some(budget) = self.budget.as_mut().filter(|budget| now < budget.until) {
            budget.left -= 1;
            if budget.left < 0 {
                let what = format!("a request at {now:?}, and none remain until {:?}", budget.until);
                broken = Some((Invariant::ToldBudgetsAreKept, what));
            }
        }
        if let Some((rate, burst)) = api.rate {
            // Every window that ends with this request.
            let allowed = |since: Duration| f64::from(burst) + rate * (now - since).as_secs_f64() + 1e-6;
            let windows = self.sent.iter().rev().zip(1_u32..);
            let over = windows.map(|(since, count)| (*since, count));
            if let Some((since, count)) =
                over.clone().find(|(since, count)| f64::from(*count) > allowed(*since))
            {
                let what = format!("{count} requests from {since:?} to {now:?}");
                broken = Some((Invariant::LimiterBoundHolds, what));
            }
        }
        if now < self.closed_until {
            let early = self.closed_until - now;
            let what = format!("a request at {now:?}, {early:?} before a told wait is over");
            broken = Some((Invariant::ToldWaitsAreKept, what));
        }
        (number, broken)
    }

    /// No request before this.
    pub(crate) fn close(&mut self, until: Duration) {
        self.closed_until = self.closed_until.max(until);
    }

    /// A request is over. Its answer may have said how many remain, and until when.
    pub(crate) fn answered(&mut self, number: u64, told: Option<(u64, Duration)>) {
        self.on_their_way.remove(&number);
        let (since, unseen) = (self.sent.len() as u64, self.on_their_way.len() as i64);
        match told {
            // That closes it until then.
            Some((0, _)) => self.budget = None,
            // The newest answer knows best; what is on its way it does not know.
            Some((left, until)) => {
                let left = i64::try_from(left).expect("a small budget") - unseen;
                self.budget = Some(Budget { left, until, since });
            }
            // Whether the server has counted it is not known.
            None => {
                if let Some(budget) = self.budget.as_mut().filter(|budget| number < budget.since) {
                    budget.left += 1;
                }
            }
        }
    }
}
