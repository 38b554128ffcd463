//! How well what was learnt of a list fits the rest of it.

/// One may not fit of so many that do.
const ONE_OF: u32 = 4;

/// What has fitted, and what has not.
#[derive(Debug, Clone, Default)]
pub(super) struct Likeness {
    pub(super) fitted: u32,
    pub(super) unfit: u32,
}

impl Likeness {
    /// Whether it fits too seldom, where so many are free.
    pub(super) fn is_lost(&self, free: u32) -> bool {
        self.unfit > free && self.unfit > self.fitted / ONE_OF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_lost_when_too_many_do_not_fit_for_those_that_do() {
        let is_lost = |fitted, unfit| Likeness { fitted, unfit }.is_lost(3);
        assert!(!is_lost(0, 3) && is_lost(0, 4));
        assert!(!is_lost(100, 25) && is_lost(100, 26));
    }
}
