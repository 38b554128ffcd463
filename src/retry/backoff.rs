//! Exponential back-off with full jitter.

use std::time::Duration;

/// Exponential back-off with full jitter: the n-th delay is uniform between zero and
/// `min(max, base × 2ⁿ)`. Full jitter spreads many clients best ("Exponential Backoff And Jitter", AWS
/// Architecture Blog, 2015).
///
/// As an iterator with its own randomness:
///
/// ```
/// use std::time::Duration;
/// use headwater::retry::Backoff;
/// let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
/// for delay in backoff.delays(fastrand::Rng::with_seed(1)).take(4) {
///     assert!(delay < Duration::from_secs(4));
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
}

impl Backoff {
    /// Takes the upper bound of the first delay, and that of all. A year is the most.
    pub fn new(base: Duration, max: Duration) -> Self {
        // A year is long enough, and no arithmetic on it overflows.
        let longest = Duration::from_secs(365 * 86_400);
        Self { base: base.min(longest), max: max.min(longest) }
    }

    /// The upper bound of the first delay.
    pub fn base(&self) -> Duration {
        self.base
    }

    /// The upper bound of every delay.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The delay after the failure of this index, from 0. `random` is in 0..1.
    pub fn delay(&self, index: u32, random: f64) -> Duration {
        let bound = self.base.saturating_mul(2_u32.saturating_pow(index)).min(self.max);
        bound.mul_f64(random.clamp(0.0, 1.0))
    }

    /// The delays, one after the other, without end.
    pub fn delays(self, mut random: fastrand::Rng) -> impl Iterator<Item = Duration> {
        (0_u32..).map(move |index| self.delay(index, random.f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
        let bounds: Vec<_> = (0..9).map(|index| backoff.delay(index, 1.0).as_millis()).collect();
        assert_eq!(bounds, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(backoff.delay(u32::MAX, 1.0), Duration::from_secs(60));
        assert_eq!(backoff.delay(3, 0.0), Duration::ZERO);
    }
}
