//! So many requests in any window of time, at whatever speed, without a clock of its own.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// More are not remembered one by one.
const MOST_ENTRIES: u64 = 4096;

/// A log of what was taken. Of a quota above 4,096 several requests in a row share an entry, with the time of the last
/// of them: so the memory is bounded, and no window holds more than the quota.
#[derive(Debug)]
pub(super) struct Quota {
    most: u64,
    window: Duration,
    log: VecDeque<(Instant, u64)>,
    used: u64,
}

impl Quota {
    pub(super) fn new(most: u64, window: Duration) -> Self {
        Self { most: most.max(1), window, log: VecDeque::new(), used: 0 }
    }

    /// When there is room for one request, besides what is left for others.
    pub(super) fn ready(&mut self, left_for_others: u64, cost: u32, now: Instant) -> Instant {
        while let Some((_, taken)) = self.log.front().filter(|(at, _)| *at + self.window <= now) {
            self.used = self.used.saturating_sub(*taken);
            self.log.pop_front();
        }
        let wanted = left_for_others.saturating_add(u64::from(cost).min(self.most));
        let mut used = self.used;
        let mut ready = now;
        for (at, taken) in &self.log {
            if used.saturating_add(wanted) <= self.most {
                break;
            }
            used = used.saturating_sub(*taken);
            ready = ready.max(*at + self.window);
        }
        ready
    }

    pub(super) fn take(&mut self, cost: u32, now: Instant) {
        let cost = u64::from(cost);
        self.used = self.used.saturating_add(cost);
        let together = self.most.div_ceil(MOST_ENTRIES);
        match self.log.back_mut() {
            Some((at, taken)) if *taken + cost <= together => (*at, *taken) = (now, *taken + cost),
            _ => self.log.push_back((now, cost)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn no_window_holds_more_than_the_quota() {
        let start = Instant::now();
        let mut quota = Quota::new(3, DAY);
        let mut now = start;
        let mut times = Vec::new();
        for pause in [0, 10, 20, 0, 0, 0, 0] {
            now = quota.ready(0, 1, now + Duration::from_secs(pause));
            quota.take(1, now);
            times.push((now - start).as_secs());
        }
        assert_eq!(times, [0, 10, 30, 86_400, 86_410, 86_430, 172_800]);
    }

    #[test]
    fn the_memory_is_bounded_and_the_quota_is_kept() {
        let start = Instant::now();
        let mut quota = Quota::new(1_000_000, DAY);
        for second in 0..1_000_000_u64 {
            let now = start + Duration::from_millis(second * 10);
            assert_eq!(quota.ready(0, 1, now), now);
            quota.take(1, now);
        }
        assert!(quota.log.len() as u64 <= MOST_ENTRIES, "{}", quota.log.len());
        let now = start + Duration::from_secs(10_000);
        let ready = quota.ready(0, 1, now) - start;
        assert!(ready >= DAY && ready < DAY + Duration::from_secs(10), "{ready:?}");
    }
}
