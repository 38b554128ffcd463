//! The retry budget of a host: retries are earned by answers.

use std::collections::HashMap;

/// At most this many retries are saved up.
const MOST_SAVED: f64 = 100.0;

/// One budget per host.
#[derive(Debug)]
pub(super) struct Budgets {
    per_request: f64,
    reserve: f64,
    left: HashMap<String, f64>,
}

impl Default for Budgets {
    fn default() -> Self {
        Self::new(0.2, 10)
    }
}

impl Budgets {
    pub(super) fn new(per_request: f64, reserve: u32) -> Self {
        Self { per_request: per_request.max(0.0), reserve: f64::from(reserve), left: HashMap::new() }
    }

    pub(super) fn earn(&mut self, host: &str) {
        let earned = |left: f64| (left + self.per_request).min(MOST_SAVED.max(self.reserve));
        // A host is new once, and answers often.
        match self.left.get_mut(host) {
            Some(left) => *left = earned(*left),
            None => drop(self.left.insert(host.to_owned(), earned(self.reserve))),
        }
    }

    /// Spends one retry; false if there is none left.
    pub(super) fn spend(&mut self, host: &str) -> bool {
        let left = self.left_at(host);
        // A little less than one, for five times a fifth is not always one.
        if *left < 0.999 {
            return false;
        }
        *left -= 1.0;
        true
    }

    fn left_at(&mut self, host: &str) -> &mut f64 {
        self.left.entry(host.to_owned()).or_insert(self.reserve)
    }
}
