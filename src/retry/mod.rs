//! When to ask again, and when to give up. Pure: the clock and the randomness come in as arguments.

mod backoff;
mod budget;

use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use backoff::Backoff;
use budget::Budgets;

use crate::error::{Error, ErrorKind, Transience};

/// No wait is longer: so no sum of times can overflow.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
const FINEST: Duration = Duration::from_millis(1);

/// The rules of retrying.
///
/// - A failure that may pass is retried after an exponential back-off with full jitter, up to
///   [`max_attempts`](Self::max_attempts) for one page; the count starts anew with the next page.
/// - A wait that the server asks for (`Retry-After`, a used-up budget's reset) is kept to the letter. With a
///   limit (429, 403 with a limit's marks, 503 with `Retry-After`), and if it is not shorter than [`base`](Self::base), it uses up no attempt; a
///   page that failed for another reason does. Waits have caps of their own: [`max_wait`](Self::max_wait)
///   for one and [`max_total_wait`](Self::max_total_wait) for one page.
/// - The retries at one host are at most a fifth of the requests there, plus a reserve of ten
///   ([`budget`](Self::budget)): a server that is down is not stormed.
///
/// A clone shares the budget. In a pipeline, all policies whose budget was not set share one.
///
/// ```
/// use std::time::Duration;
/// use headwater::RetryPolicy;
/// let policy = RetryPolicy::exponential().base(Duration::from_millis(200)).max_attempts(8);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct RetryPolicy {
    backoff: Backoff,
    max_attempts: u32,
    max_wait: Duration,
    max_total_wait: Duration,
    budgets: Arc<Mutex<Budgets>>,
    /// Whether the budget was set by hand.
    own_budget: bool,
    seed: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::exponential()
    }
}

impl RetryPolicy {
    /// The defaults: 5 attempts, a back-off of at most 0.5 s, 1 s, 2 s … 60 s, told waits of up to 15
    /// minutes each and an hour together.
    pub fn exponential() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(60)),
            max_attempts: 5,
            max_wait: Duration::from_secs(15 * 60),
            max_total_wait: Duration::from_secs(60 * 60),
            budgets: Arc::new(Mutex::new(Budgets::default())),
            own_budget: false,
            seed: None,
        }
    }

    /// Never asks again.
    pub fn none() -> Self {
        Self::exponential().max_attempts(1).max_wait(Duration::ZERO)
    }

    /// Sets the upper bound of the first delay. The default is 0.5 s; each next one is twice as long.
    pub fn base(mut self, delay: Duration) -> Self {
        self.backoff = Backoff::new(delay, self.backoff.max());
        self
    }

    /// Sets the longest delay of the back-off. The default is 60 s.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.backoff = Backoff::new(self.backoff.base(), delay);
        self
    }

    /// Sets how often one page is asked for, the first time included. The default is 5; 0 counts as 1.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// Sets the longest wait that is taken from a server. The default is 15 minutes. A longer one ends the
    /// stream with an error that says when to come back.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait.min(LONGEST);
        self
    }

    /// Sets how long all told waits for one page may be together. The default is an hour.
    pub fn max_total_wait(mut self, wait: Duration) -> Self {
        self.max_total_wait = wait.min(LONGEST);
        self
    }

    /// Sets the budget of a host: how many retries each request earns, and how many there are from the
    /// start. The default is 0.2 and 10.
    pub fn budget(mut self, per_request: f64, reserve: u32) -> Self {
        self.budgets = Arc::new(Mutex::new(Budgets::new(per_request, reserve)));
        self.own_budget = true;
        self
    }

    /// Makes the jitter repeatable.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Takes the budget of another policy, unless its own was set.
    pub(crate) fn with_budget_of(mut self, other: &Self) -> Self {
        if !self.own_budget {
            self.budgets = other.budgets.clone();
        }
        self
    }

    pub(crate) fn random(&self) -> fastrand::Rng {
        self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)
    }

    /// Notes that a host answered.
    pub(crate) fn answered(&self, host: &str) {
        self.budgets().earn(host);
    }

    /// Decides about a failure. `random` is in 0..1.
    pub(crate) fn decide(&self, tries: &mut Tries, error: &Error, random: f64) -> Decision {
        if !error.is_transient() {
            return Decision::GiveUp(Why::Permanent);
        }
        let host = error.context().host.as_deref().unwrap_or_default();
        let wait = error.hints().wait().unwrap_or_default();
        if wait > self.max_wait {
            return Decision::GiveUp(Why::WaitTooLong(wait));
        }
        // A wait shorter than the first back-off is none: a server that asks for a millisecond, for ever, is failing.
        if !wait.is_zero() && wait >= self.backoff.base() && is_limit(error) {
            // What is really waited counts, and a timer is no finer than this.
            let delay = wait.max(self.backoff.delay(tries.failures, random)).max(FINEST);
            tries.waited = tries.waited.saturating_add(delay);
            if tries.waited > self.max_total_wait {
                return Decision::GiveUp(Why::WaitedTooLong(tries.waited));
            }
            return Decision::Retry(delay);
        }
        tries.failures += 1;
        let most =
            if error.transience() == Transience::Once { self.max_attempts.min(2) } else { self.max_attempts };
        if tries.failures >= most {
            return Decision::GiveUp(Why::Attempts);
        }
        if !self.budgets().spend(host) {
            return Decision::GiveUp(Why::Budget);
        }
        Decision::Retry(wait.max(self.backoff.delay(tries.failures - 1, random)))
    }

    /// Says why it was given up.
    pub(crate) fn explain(&self, why: Why, tries: Tries, error: Error, now: std::time::SystemTime) -> Error {
        let come_back = |wait: Duration| {
            let when: chrono::DateTime<chrono::Utc> =
                (now + wait.min(Duration::from_secs(10 * 365 * 86_400))).into();
            format!("come back after {}, or raise `max_wait`", when.format("%Y-%m-%dT%H:%M:%SZ"))
        };
        match why {
            Why::Permanent => error,
            Why::Attempts => error.at(|context| context.attempts = Some(tries.failures)),
            Why::Budget => error.at(|context| context.attempts = Some(tries.failures)).advice(
                "too many requests to this host fail; the retry budget is used up (`RetryPolicy::budget`)",
            ),
            Why::WaitTooLong(wait) => {
                let context = error.context().clone();
                let message =
                    format!("the server asks to wait {wait:?}, longer than the cap of {:?}", self.max_wait);
                Error::new(ErrorKind::RateLimited, message)
                    .advice(come_back(wait))
                    .at(|place| *place = context)
            }
            Why::WaitedTooLong(waited) => {
                let context = error.context().clone();
                let message = format!("the server asked for waits of {waited:?} for one page");
                Error::new(ErrorKind::RateLimited, message)
                    .advice("come back later, or raise `max_total_wait`")
                    .at(|place| *place = context)
            }
        }
    }

    fn budgets(&self) -> std::sync::MutexGuard<'_, Budgets> {
        self.budgets.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Whether the server refuses only until its wait is over: it limits the rate, or is unavailable and says for how
/// long (RFC 9110 §15.6.4). Of any other failure it is not known that waiting is all it needs.
fn is_limit(error: &Error) -> bool {
    let unavailable = error.context().status == Some(http::StatusCode::SERVICE_UNAVAILABLE);
    error.kind() == ErrorKind::RateLimited || (unavailable && error.hints().retry_after.is_some())
}

/// What has been tried for one page.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tries {
    failures: u32,
    waited: Duration,
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Decision {
    /// Ask again after this time.
    Retry(Duration),
    GiveUp(Why),
}

/// Why it was given up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Why {
    Permanent,
    Attempts,
    Budget,
    WaitTooLong(Duration),
    WaitedTooLong(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hints::Hints;

    fn failure() -> Error {
        Error::new(ErrorKind::Status, "the server failed").transient()
    }

    fn told(seconds: u64) -> Error {
        let hints = Hints { retry_after: Some(Duration::from_secs(seconds)), ..Hints::default() };
        failure().at(|context| {
            (context.hints, context.status) = (hints, Some(http::StatusCode::SERVICE_UNAVAILABLE));
        })
    }

    #[test]
    fn attempts_are_counted_and_told_waits_are_not() {
        let policy = RetryPolicy::exponential().max_attempts(3);
        let mut tries = Tries::default();
        for _ in 0..10 {
            assert_eq!(
                policy.decide(&mut tries, &told(120), 0.99),
                Decision::Retry(Duration::from_secs(120))
            );
        }
        assert_eq!(policy.decide(&mut tries, &failure(), 0.5), Decision::Retry(Duration::from_millis(250)));
        assert_eq!(policy.decide(&mut tries, &failure(), 0.5), Decision::Retry(Duration::from_millis(500)));
        assert_eq!(policy.decide(&mut tries, &failure(), 0.5), Decision::GiveUp(Why::Attempts));
    }

    #[test]
    fn a_wait_of_nothing_is_a_failure_like_any_other() {
        let policy = RetryPolicy::exponential().max_attempts(2);
        let mut tries = Tries::default();
        assert_eq!(policy.decide(&mut tries, &told(0), 0.0), Decision::Retry(Duration::ZERO));
        assert_eq!(policy.decide(&mut tries, &told(0), 0.0), Decision::GiveUp(Why::Attempts));
    }

    #[test]
    fn a_broken_page_uses_up_an_attempt_though_a_wait_came_with_it() {
        let policy = RetryPolicy::exponential().max_attempts(2);
        let hints = Hints { remaining: Some(0), reset: Some(Duration::from_secs(9)), ..Hints::default() };
        let broken = Error::new(ErrorKind::NotJson, "cut").transient().at(|context| context.hints = hints);
        let mut tries = Tries::default();
        assert_eq!(policy.decide(&mut tries, &broken, 0.5), Decision::Retry(Duration::from_secs(9)));
        assert_eq!(policy.decide(&mut tries, &broken, 0.5), Decision::GiveUp(Why::Attempts));
    }

    #[test]
    fn told_waits_have_caps_of_their_own() {
        let policy = RetryPolicy::exponential();
        let mut tries = Tries::default();
        let hours = policy.decide(&mut tries, &told(7200), 0.0);
        assert_eq!(hours, Decision::GiveUp(Why::WaitTooLong(Duration::from_secs(7200))));
        let Decision::GiveUp(why) = hours else { unreachable!() };
        let error = policy.explain(why, tries, told(7200), std::time::SystemTime::UNIX_EPOCH);
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert!(error.to_string().contains("come back after 1970-01-01T02:00:00Z"), "{error}");
        let given_up = (0..).find(|_| {
            policy.decide(&mut tries, &told(900), 0.0) != Decision::Retry(Duration::from_secs(900))
        });
        assert_eq!(given_up, Some(4));
    }

    #[test]
    fn a_garbled_answer_is_asked_for_once_more() {
        let policy = RetryPolicy::exponential();
        let mut tries = Tries::default();
        assert!(matches!(policy.decide(&mut tries, &failure().once(), 0.0), Decision::Retry(_)));
        assert_eq!(policy.decide(&mut tries, &failure().once(), 0.0), Decision::GiveUp(Why::Attempts));
    }

    #[test]
    fn a_host_s_budget_stops_a_storm() {
        let policy = RetryPolicy::exponential().budget(0.2, 2);
        let at = |host: &str| failure().at(|context| context.host = Some(host.into()));
        let storm = |host: &str| policy.decide(&mut Tries::default(), &at(host), 0.0);
        assert!(matches!(storm("a"), Decision::Retry(_)));
        assert!(matches!(storm("a"), Decision::Retry(_)));
        assert_eq!(storm("a"), Decision::GiveUp(Why::Budget));
        assert!(matches!(storm("b"), Decision::Retry(_)), "each host has its own");
        (0..5).for_each(|_| policy.answered("a"));
        assert!(matches!(storm("a"), Decision::Retry(_)), "five answers earn one retry");
    }
}
