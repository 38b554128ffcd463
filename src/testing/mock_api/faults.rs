//! What goes wrong on purpose, by count and never by chance.

use std::time::Duration;

/// The faults of a resource: each strikes every n-th request.
///
/// Requests are counted per resource, from 1. The request after a fault is served without one and is not
/// counted, so a page that failed comes as soon as it is asked for again, and a source that reads a thousand
/// pages with a fault every 50 meets exactly twenty. Where two faults fall on one request, the one that
/// stands first below strikes. Every 0 is never.
///
/// ```
/// use std::time::Duration;
/// use headwater::testing::Faults;
/// let faults = Faults::none()
///     .too_many_requests_every(37, Duration::from_millis(200))
///     .unavailable_every(53)
///     .cut_body_every(71);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Faults {
    too_many_requests: u64,
    retry_after: Duration,
    unavailable: u64,
    cut_body: u64,
}

/// What strikes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    TooManyRequests(Duration),
    Unavailable,
    CutBody,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// Answers every n-th request with 429 and a `Retry-After` of this time: in seconds, down to
    /// milliseconds (`0.2`).
    pub fn too_many_requests_every(mut self, n: u64, retry_after: Duration) -> Self {
        (self.too_many_requests, self.retry_after) = (n, retry_after);
        self
    }

    /// Answers every n-th request with 503, without a word about when to come back.
    pub fn unavailable_every(mut self, n: u64) -> Self {
        self.unavailable = n;
        self
    }

    /// Closes the connection in the middle of the body of every n-th answer, which has announced its whole
    /// length.
    pub fn cut_body_every(mut self, n: u64) -> Self {
        self.cut_body = n;
        self
    }
}

/// Counts the requests of one resource.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    counted: u64,
    struck: bool,
}

impl Schedule {
    /// Counts a request and says what strikes it.
    pub(super) fn next(&mut self, faults: &Faults) -> Option<Fault> {
        if std::mem::take(&mut self.struck) {
            return None;
        }
        self.counted += 1;
        let due = |every: u64| every > 0 && self.counted.is_multiple_of(every);
        let fault = if due(faults.too_many_requests) {
            Some(Fault::TooManyRequests(faults.retry_after))
        } else if due(faults.unavailable) {
            Some(Fault::Unavailable)
        } else if due(faults.cut_body) {
            Some(Fault::CutBody)
        } else {
            None
        };
        self.struck = fault.is_some();
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_followed_by_a_request_without_one() {
        let faults = Faults::none().unavailable_every(2).cut_body_every(3);
        let mut schedule = Schedule::default();
        let struck: Vec<_> = (0..10).map(|_| schedule.next(&faults)).collect();
        let (down, cut) = (Some(Fault::Unavailable), Some(Fault::CutBody));
        // Counted:           1     2     -     3    -     4     -     5     6     -
        assert_eq!(struck, [None, down, None, cut, None, down, None, None, down, None]);
    }

    #[test]
    fn every_nothing_is_never() {
        let mut schedule = Schedule::default();
        assert!((0..100).all(|_| schedule.next(&Faults::none()).is_none()));
    }
}
