//! The server's own rate limit: a token bucket.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct TokenBucket {
    per_second: f64,
    burst: u32,
    tokens: f64,
    at: Instant,
}

/// What becomes of a request, and what its answer says about the budget.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    pub(super) allowed: bool,
    pub(super) limit: u32,
    pub(super) remaining: u64,
    /// How long until there is one request more.
    pub(super) reset: Duration,
}

impl TokenBucket {
    /// A rate that is not a positive number is taken as one request in a day.
    pub(super) fn new(per_second: f64, burst: u32, now: Instant) -> Self {
        let per_second = if per_second > 0.0 { per_second } else { 1.0 / 86_400.0 };
        let burst = burst.max(1);
        Self { per_second, burst, tokens: f64::from(burst), at: now }
    }

    pub(super) fn take(&mut self, now: Instant) -> Verdict {
        let come = (now - self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + come).min(f64::from(self.burst));
        self.at = now;
        // A little less than one, for ten times a tenth is not always one.
        let allowed = self.tokens >= 0.999_999;
        if allowed {
            self.tokens = (self.tokens - 1.0).max(0.0);
        }
        let missing = 1.0 - self.tokens.fract();
        Verdict {
            allowed,
            limit: self.burst,
            remaining: self.tokens as u64,
            reset: Duration::from_secs_f64((missing / self.per_second).min(86_400.0)),
        }
    }
}

/// A time as seconds with up to three decimals, rounded up: `0.2`, `1`, `1.501`.
pub(super) fn seconds(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    format!("{}", millis as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10.0, 3, start);
        let allowed = |bucket: &mut TokenBucket, millis| bucket.take(start + Duration::from_millis(millis));
        let at_once: Vec<_> = (0..4).map(|_| allowed(&mut bucket, 0).allowed).collect();
        assert_eq!(at_once, [true, true, true, false]);
        let told = allowed(&mut bucket, 40);
        assert_eq!((told.allowed, told.remaining, seconds(told.reset)), (false, 0, "0.06".into()));
        assert!(allowed(&mut bucket, 100).allowed, "the told wait is enough");
        assert!(!allowed(&mut bucket, 150).allowed);
    }

    #[test]
    fn times_are_rounded_up() {
        for (nanos, text) in [(200_000_000, "0.2"), (1_000_000_000, "1"), (1_500_000_001, "1.501"), (0, "0")]
        {
            assert_eq!(seconds(Duration::from_nanos(nanos)), text);
        }
    }
}
