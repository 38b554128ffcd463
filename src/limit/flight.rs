//! How many requests are on their way at once, and who holds their permits.
//!
//! A cap on them could lock up: two streams in one task, one of them polled until its request is sent and then set
//! aside. Its permit would never come back, and the other would wait for it for ever. So each permit has a [`Pulse`]:
//! the page stream below it is polled with a waker that notes when it is called. One that was woken and is not polled
//! for a second is *set aside*: its answer (or its time-out) is there, so the server no longer works on it, and its
//! place is lent to another until it is polled again. One that was not woken is on its way in truth, and counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::budget::Grant;

/// One that was woken, and not polled for this long, is set aside.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often whoever waits for a place looks whether one can be lent.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// The sign of life of whoever holds a permit.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    woken: AtomicBool,
    polls: AtomicU64,
}

impl Pulse {
    /// The holder is polled: with this waker, it will be known when it is woken.
    pub(super) fn poll(self: &Arc<Self>, waker: &Waker) -> Waker {
        self.woken.store(false, Ordering::Release);
        self.polls.fetch_add(1, Ordering::AcqRel);
        Waker::from(Arc::new(Relay { pulse: self.clone(), waker: waker.clone() }))
    }
}

struct Relay {
    pulse: Arc<Pulse>,
    waker: Waker,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.pulse.woken.store(true, Ordering::Release);
        self.waker.wake_by_ref();
    }
}

#[derive(Debug)]
struct Holder {
    pulse: Arc<Pulse>,
    /// Seen woken at this poll, first at this time.
    seen: Option<(u64, Instant)>,
}

impl Holder {
    fn is_set_aside(&mut self, now: Instant) -> bool {
        let polls = self.pulse.polls.load(Ordering::Acquire);
        if !self.pulse.woken.load(Ordering::Acquire) {
            self.seen = None;
            return false;
        }
        let (at_poll, since) = *self.seen.get_or_insert((polls, now));
        if at_poll != polls {
            self.seen = Some((polls, now));
            return false;
        }
        now >= since + PATIENCE
    }
}

/// The permits that are held: requests whose answers are not in yet.
#[derive(Debug, Default)]
pub(super) struct Flight {
    most: Option<u32>,
    requests: u64,
    cost: u64,
    /// Only where there is a cap.
    holders: BTreeMap<Grant, Holder>,
}

impl Flight {
    pub(super) fn set_most(&mut self, most: u32) {
        self.most = Some(most.max(1));
    }

    pub(super) fn is_capped(&self) -> bool {
        self.most.is_some()
    }

    /// What is on its way, by its cost.
    pub(super) fn cost(&self) -> u64 {
        self.cost
    }

    pub(super) fn begin(&mut self, grant: Grant, cost: u32, pulse: Option<&Arc<Pulse>>) {
        self.requests += 1;
        self.cost += u64::from(cost);
        if let (Some(pulse), true) = (pulse, self.is_capped()) {
            self.holders.insert(grant, Holder { pulse: pulse.clone(), seen: None });
        }
    }

    pub(super) fn end(&mut self, grant: Grant, cost: u32) {
        self.requests = self.requests.saturating_sub(1);
        self.cost = self.cost.saturating_sub(u64::from(cost));
        self.holders.remove(&grant);
    }

    /// Whether there is a place for one more, besides those that are left for others.
    pub(super) fn has_room(&mut self, left_for_others: u64, now: Instant) -> bool {
        let Some(most) = self.most else { return true };
        let wanted = left_for_others.saturating_add(1);
        if self.requests.saturating_add(wanted) <= u64::from(most) {
            return true;
        }
        let set_aside =
            self.holders.values_mut().filter_map(|holder| holder.is_set_aside(now).then_some(())).count();
        self.requests.saturating_sub(set_aside as u64).saturating_add(wanted) <= u64::from(most)
    }
}
