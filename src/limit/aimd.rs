//! Finding the rate of a server that says nothing: additive increase, multiplicative decrease (Chiu and Jain, 1989).

use super::budget::Grant;

/// What is left of the rate after a refusal: the factor of CUBIC (RFC 9438 §4.6).
const DECREASE: f64 = 0.7;
/// What is added in each second of good answers, of the highest rate.
const INCREASE: f64 = 0.01;

/// A rate a second that follows the answers.
#[derive(Debug)]
pub(super) struct Aimd {
    rate: f64,
    floor: f64,
    most: f64,
    /// Permits before this one were granted at a rate that has been lowered since.
    since: Grant,
}

impl Aimd {
    pub(super) fn new(start: f64, most: f64) -> Self {
        let positive = |rate: f64| if rate.is_finite() && rate > 0.0 { rate } else { 1.0 };
        let most = positive(most);
        let start = positive(start).min(most);
        Self { rate: start, floor: start.min(most * INCREASE), most, since: 0 }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// A good answer: at a rate of r there are r of them in a second, which together add the increase. Below one a second,
    /// each adds it.
    pub(super) fn accepted(&mut self, grant: Grant) {
        if grant >= self.since {
            self.rate = (self.rate + self.most * INCREASE / self.rate.max(1.0)).min(self.most);
        }
    }

    /// A refusal. Those of requests that were on their way when the rate was lowered are about the old rate: false.
    pub(super) fn refused(&mut self, grant: Grant, next: Grant) -> bool {
        if grant < self.since {
            return false;
        }
        self.rate = (self.rate * DECREASE).max(self.floor);
        self.since = next;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_counts_for_all_that_were_on_their_way() {
        let mut aimd = Aimd::new(10.0, 100.0);
        assert!(aimd.refused(3, 8));
        assert!((4..8).all(|grant| !aimd.refused(grant, 9)));
        assert_eq!(aimd.rate(), 7.0);
        aimd.accepted(5);
        assert_eq!(aimd.rate(), 7.0, "an answer to the old rate says nothing about the new one");
        assert!(aimd.refused(8, 9));
    }

    #[test]
    fn the_rate_stays_between_floor_and_top() {
        let mut aimd = Aimd::new(5.0, 50.0);
        (0..100_000).for_each(|grant| aimd.accepted(grant));
        assert_eq!(aimd.rate(), 50.0);
        (0..100).for_each(|grant| assert!(aimd.refused(grant, grant + 1)));
        assert_eq!(aimd.rate(), 0.5);
        for (start, most) in [(f64::NAN, 10.0), (0.0, -1.0), (f64::INFINITY, f64::INFINITY), (1e9, 1.0)] {
            let aimd = Aimd::new(start, most);
            assert!(aimd.rate() > 0.0 && aimd.rate() <= aimd.most, "{aimd:?}");
        }
    }
}
