//! What is known of the pages of a shaped source, which have no order among them.

use std::collections::{BTreeMap, BTreeSet};

use super::oracle::Invariant;
use super::shapes::{Ask, Asked, Broken};

#[derive(Debug, Default, Clone)]
pub(crate) struct Pieces {
    /// The rows that were durable when this life began.
    committed: BTreeSet<usize>,
    /// How many pages that was.
    began_with: usize,
    /// The pages that have come in this life, those of slices that are too large aside: how many by their lists.
    arrived: BTreeMap<String, usize>,
    /// Lists that may have been given up.
    refused: BTreeSet<String>,
    /// All pages that have come in this life.
    keys: BTreeSet<String>,
    /// Those of the lives before.
    earlier: BTreeSet<String>,
    /// Whether a page was handed out that was handed out before.
    pub(crate) repeated: u64,
}

impl Pieces {
    /// A process begins.
    pub(crate) fn begin_life(&mut self, pages: usize, committed: BTreeSet<usize>) {
        let mut earlier = std::mem::take(&mut self.earlier);
        earlier.append(&mut self.keys);
        *self = Self { committed, began_with: pages, earlier, ..Self::default() };
    }

    /// The source begins anew.
    pub(crate) fn begin_anew(&mut self) {
        *self = Self::default();
    }

    /// Whether this may be asked for.
    pub(crate) fn sent(&self, name: &str, ask: &Ask) -> Result<(), Broken> {
        let again = |what: &str| Err((Invariant::FewRequestsAgain, format!("{name}: {} {what}", ask.key)));
        if !ask.again && self.keys.contains(&ask.key) {
            return again("has come, and is asked for once more");
        }
        match &ask.answer {
            Asked::Page { rows, .. }
                if !rows.is_empty() && rows.iter().all(|row| self.committed.contains(row)) =>
            {
                again("is committed, and is asked for once more")
            }
            _ => Ok(()),
        }
    }

    /// A page has come.
    pub(crate) fn arrived(&mut self, ask: &Ask) {
        self.repeated += u64::from(self.earlier.contains(&ask.key));
        self.keys.insert(ask.key.clone());
        if ask.counts && !self.refused.contains(&ask.list) {
            *self.arrived.entry(ask.list.clone()).or_default() += 1;
        }
    }

    /// A page was refused in a way that a server has for what lies beyond its ceiling: the slice is halved. What other
    /// lanes of it still bring is dropped.
    pub(crate) fn refused(&mut self, ask: &Ask) {
        self.arrived.remove(&ask.list);
        self.refused.insert(ask.list.clone());
    }

    /// How many pages have come in this life that are not among so many which are durable.
    pub(crate) fn lost(&self, pages: usize) -> usize {
        (self.began_with + self.arrived.values().sum::<usize>()).saturating_sub(pages)
    }
}
