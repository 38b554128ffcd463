//! A rate and a burst, without a clock of its own: a token bucket in its virtual-scheduling form (the "generic cell
//! rate algorithm" of ITU-T I.371).

use std::time::Duration;

use tokio::time::Instant;

/// So that no sum of times can overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// How many tokens there are when.
#[derive(Debug)]
pub(super) struct Rate {
    /// The time that one token takes to come; zero if the rate is not limited.
    interval: Duration,
    /// The same, as the server announced it. The longer one counts.
    pace: Duration,
    burst: u32,
    /// The theoretical arrival time: when the bucket will be full again.
    full_at: Option<Instant>,
    last: Option<Instant>,
}

impl Rate {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, pace: Duration::ZERO, burst: 1, full_at: None, last: None }
    }

    /// The time between two tokens at a rate a second: a day at the longest.
    pub(super) fn interval_of(rate: f64) -> Duration {
        const DAY: f64 = 86_400.0;
        let interval = if rate > 0.0 { (1.0 / rate).min(DAY) } else { DAY };
        // Rounded up to a nanosecond, so that the rate is never exceeded.
        let nanos = (interval * 1e9).ceil();
        let exact = (interval * 1e9).round();
        // 1/25 s is 40 ms and not 40.000000000000001 ms.
        let nanos = if (interval * 1e9 - exact).abs() < 1e-3 { exact } else { nanos };
        Duration::from_nanos(nanos as u64)
    }

    pub(super) fn set_burst(&mut self, burst: u32) {
        self.burst = burst.max(1);
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval.max(self.pace)
    }

    /// How long the tokens for one request take to come.
    pub(super) fn time_for(&self, cost: u32) -> Duration {
        self.interval().saturating_mul(cost)
    }

    pub(super) fn set_interval(&mut self, interval: Duration, now: Instant) {
        let old = self.interval();
        self.interval = interval;
        self.rescale(old, now);
    }

    /// Takes the pace that the server announces.
    pub(super) fn set_pace(&mut self, pace: Duration, now: Instant) {
        let old = self.interval();
        self.pace = pace;
        self.rescale(old, now);
    }

    /// As many tokens are missing as before; only the time that they take is another one.
    fn rescale(&mut self, old: Duration, now: Instant) {
        let new = self.interval();
        if new == old {
            return;
        }
        self.full_at = if new.is_zero() {
            None
        } else if old.is_zero() {
            self.last.map(|last| last + new)
        } else {
            self.full_at.map(|full_at| {
                let missing = full_at.saturating_duration_since(now).as_secs_f64() / old.as_secs_f64();
                let time = Duration::try_from_secs_f64(missing * new.as_secs_f64());
                now + time.unwrap_or(LONGEST).min(LONGEST)
            })
        };
    }

    /// When there are as many tokens as one request needs, besides those that are left for others. A request that
    /// needs more than the burst waits for a full bucket, and leaves the rest of its cost as a debt.
    pub(super) fn ready(&self, left_for_others: u64, cost: u32, now: Instant) -> Instant {
        let (Some(full_at), interval) = (self.full_at, self.interval()) else { return now };
        if interval.is_zero() {
            return now;
        }
        let wanted = left_for_others.saturating_add(u64::from(cost.min(self.burst)));
        let burst = u64::from(self.burst);
        let times =
            |tokens: u64| interval.saturating_mul(u32::try_from(tokens).unwrap_or(u32::MAX)).min(LONGEST);
        let at = if wanted >= burst {
            full_at.checked_add(times(wanted - burst)).unwrap_or(full_at)
        } else {
            full_at.checked_sub(times(burst - wanted)).unwrap_or(now)
        };
        at.max(now)
    }

    pub(super) fn take(&mut self, cost: u32, now: Instant) {
        self.last = Some(now);
        let interval = self.interval();
        if !interval.is_zero() {
            let full_at = self.full_at.map_or(now, |full_at| full_at.max(now));
            self.full_at = Some(full_at + interval.saturating_mul(cost).min(LONGEST));
        }
    }

    /// When there will be as many tokens as one request needs, if so many are taken before, now.
    pub(super) fn ready_after(&self, taken: u64, cost: u32, now: Instant) -> Instant {
        let times = |tokens: u64| {
            self.interval().saturating_mul(u32::try_from(tokens).unwrap_or(u32::MAX)).min(LONGEST)
        };
        let empty_at = self.full_at.map_or(now, |full_at| full_at.max(now)) + times(taken);
        empty_at.checked_sub(times((self.burst - cost.min(self.burst)).into())).unwrap_or(now)
    }

    /// From this time on the requests come at the rate, not in a burst: the bucket is as good as empty then.
    pub(super) fn empty_at(&mut self, until: Instant) {
        if !self.interval().is_zero() {
            let spare = self.interval().saturating_mul(self.burst - 1).min(LONGEST);
            let full_at = until.checked_add(spare).unwrap_or(until);
            self.full_at = Some(self.full_at.map_or(full_at, |known| known.max(full_at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_rate_keeps_what_is_missing() {
        let now = Instant::now();
        let after = |rate: &Rate, cost| (rate.ready(0, cost, now) - now).as_millis();
        let mut rate = Rate::new(Duration::from_millis(100));
        rate.set_burst(10);
        (0..10).for_each(|_| rate.take(1, now));
        assert_eq!((after(&rate, 1), after(&rate, 5)), (100, 500));
        rate.set_interval(Duration::from_secs(1), now);
        assert_eq!((after(&rate, 1), after(&rate, 5)), (1000, 5000));
        rate.set_pace(Duration::from_secs(2), now);
        assert_eq!(after(&rate, 1), 2000);
        rate.set_pace(Duration::ZERO, now);
        rate.set_interval(Duration::ZERO, now);
        assert_eq!(after(&rate, 1), 0);
    }

    #[test]
    fn what_costs_more_than_the_burst_leaves_a_debt() {
        let now = Instant::now();
        let mut rate = Rate::new(Duration::from_secs(1));
        rate.set_burst(2);
        assert_eq!(rate.ready(0, 5, now), now);
        rate.take(5, now);
        assert_eq!(rate.ready(0, 1, now), now + Duration::from_secs(4));
        assert_eq!(rate.ready(0, 5, now), now + Duration::from_secs(5));
    }
}
