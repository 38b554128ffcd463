//! The marks that the parts of a source keep for the next run: one for each, and never one for several.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{HighWater, Mark};
use crate::error::{Error, Result};

/// So many parts may keep a mark: they are all in the checkpoint.
const MOST: usize = 100_000;
/// A page costs a pointer for so many of them.
const CHUNK: usize = 256;

/// Marks by the keys of the parts. A clone shares what is in it: there is one behind each page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// Of earlier runs: where the parts of this one begin.
    before: Arc<BTreeMap<u64, Arc<Mark>>>,
    /// Of this run, in the order they were kept; of one key, the last counts.
    full: Vec<Arc<Vec<Entry>>>,
    last: Arc<Vec<Entry>>,
}

type Entry = (u64, Arc<Mark>);

impl Kept {
    pub(crate) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.full.is_empty() && self.last.is_empty()
    }

    /// Where a part begins; `None` at the start.
    pub(crate) fn begin(&self, key: u64) -> Option<Mark> {
        self.before.get(&key).map(|mark| (**mark).clone())
    }

    /// The same, for the next run to begin with.
    pub(crate) fn settled(&self) -> Self {
        Self { before: Arc::new(self.all()), ..Self::default() }
    }

    fn of_this_run(&self) -> impl Iterator<Item = &Entry> {
        self.full.iter().flat_map(|chunk| chunk.iter()).chain(self.last.iter())
    }

    fn all(&self) -> BTreeMap<u64, Arc<Mark>> {
        let before = self.before.iter().map(|(key, mark)| (*key, mark.clone()));
        let mut all: BTreeMap<_, _> = before.chain(self.of_this_run().cloned()).collect();
        all.retain(|_, mark| **mark != Mark::start());
        all
    }
}

/// What keeps them while a run goes on: it finds what the run itself has kept.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    kept: Kept,
    of_this_run: HashMap<u64, Arc<Mark>>,
    /// How many of them were not there before.
    new: usize,
}

impl Keeper {
    /// Goes on with what a position has.
    pub(crate) fn new(kept: Kept) -> Self {
        let of_this_run: HashMap<_, _> = kept.of_this_run().cloned().collect();
        let new = of_this_run.keys().filter(|key| !kept.before.contains_key(key)).count();
        Self { kept, of_this_run, new }
    }

    /// What stands behind a page.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Keeps what a finished part has for the next run. A part that was pulled more than once, for its parent was listed
    /// more than once, keeps the mark from which on each of them is complete.
    ///
    /// # Errors
    /// `Config` if there are too many.
    pub(crate) fn keep(&mut self, key: u64, finished: &Mark) -> Result<()> {
        let next = finished.next_run();
        let next = match self.of_this_run.get(&key) {
            Some(first) => first.or_lower(&next),
            // What it had is what it began with, and of no use any more.
            None if next == Mark::start() && self.kept.before.contains_key(&key) => next,
            None if next == Mark::start() => {
                // Another one of its name may have seen more.
                if finished.high.is_some() && self.of_this_run.len() < MOST {
                    self.of_this_run.insert(key, Arc::new(next));
                    self.new += 1;
                }
                return Ok(());
            }
            None => next,
        };
        let next = Arc::new(next);
        let known = self.of_this_run.insert(key, next.clone());
        if known.as_ref() == Some(&next) {
            return Ok(());
        }
        self.new += usize::from(known.is_none() && !self.kept.before.contains_key(&key));
        if self.kept.before.len() + self.new > MOST {
            let what = format!(
                "more than {MOST} parts of a source with a mark of their own, those of earlier runs included"
            );
            return Err(Error::config(what).advice(
                "divide the parents among several sources of other names, or pull it as a whole each time: without `incremental`, `conditional` and `Delta`",
            ));
        }
        let last = Arc::make_mut(&mut self.kept.last);
        last.push((key, next));
        if last.len() >= CHUNK {
            let last = std::mem::take(&mut self.kept.last);
            self.kept.full.push(last);
        }
        Ok(())
    }
}

impl Mark {
    /// The one of two beginnings of a run from which on both are complete. Tokens have no order: the one that was there
    /// first.
    fn or_lower(&self, other: &Self) -> Self {
        let high = match (&self.high, &other.high) {
            (Some(one), Some(other)) => HighWater::lower(one, other),
            _ => None,
        };
        Self { high, ..self.clone() }
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.before == other.before && self.all() == other.all()
    }
}

impl Eq for Kept {}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.all().hash(state);
    }
}

impl Serialize for Kept {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Those of this run come behind a `null`: a part of it begins where the last run ended, after a crash too.
        let before = self.before.iter().map(Some);
        let here: BTreeMap<&u64, &Arc<Mark>> = self.of_this_run().map(|(key, mark)| (key, mark)).collect();
        let between = (!here.is_empty()).then_some(None);
        serializer.collect_seq(before.chain(between).chain(here.into_iter().map(Some)))
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<Option<Entry>>::deserialize(deserializer)?;
        let mut parts = entries.split(Option::is_none).map(|part| part.iter().flatten().cloned());
        let before = parts.next().map(Iterator::collect).unwrap_or_default();
        let here: Vec<Entry> = parts.flatten().collect();
        let full = if here.is_empty() { Vec::new() } else { vec![Arc::new(here)] };
        Ok(Self { before: Arc::new(before), full, last: Arc::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{HighWater, Level, Position};

    fn finished(token: u64) -> Mark {
        Mark { next: None, after: Some(Position::Cursor(token.to_string())), ..Mark::start() }
    }

    fn up_to(value: u64, seen: &[(i64, u64)]) -> Mark {
        let level = Level { value: value.into(), seen: Arc::new(seen.to_vec()), reach: None };
        Mark {
            next: None,
            high: Some(HighWater { top: Some(level), ..HighWater::default() }),
            ..Mark::start()
        }
    }

    #[test]
    fn what_a_part_keeps_is_for_the_next_run_and_comes_back_as_it_was() {
        let mut keeper = Keeper::default();
        for number in 0..600 {
            keeper.keep(number, &finished(number)).unwrap();
        }
        keeper.keep(7777, &Mark { next: None, ..Mark::start() }).unwrap();
        let stored = serde_json::to_string(keeper.kept()).unwrap();
        let read: Kept = serde_json::from_str(&stored).unwrap();
        assert_eq!(&read, keeper.kept());
        assert_eq!(read.begin(5), None, "after a crash as well");
        let next = Keeper::new(read).kept().settled();
        assert_eq!(next, keeper.kept().settled());
        assert_eq!(next.begin(599).unwrap().next, Some(Position::Cursor("599".into())));
        assert_eq!(next.begin(7777), None, "one that keeps nothing begins at the start");
        let stored = serde_json::to_string(&next).unwrap();
        assert!(!stored.contains(",null,"), "between two runs it has the form that it always had");
        assert_eq!(serde_json::from_str::<Kept>(&stored).unwrap(), next);
    }

    #[test]
    fn a_part_that_was_pulled_twice_keeps_the_mark_from_which_both_are_complete() {
        let (low, high) = (up_to(4, &[(3, 1), (4, 2), (4, 3)]), up_to(6, &[(4, 2), (6, 9)]));
        let none = Mark { next: None, high: Some(HighWater::default()), ..Mark::start() };
        for (one, other) in [(&low, &high), (&high, &low)] {
            let mut keeper = Keeper::default();
            keeper.keep(1, one).unwrap();
            keeper.keep(1, other).unwrap();
            // 4,3 was seen by one of them only.
            let next = keeper.kept().settled().begin(1).unwrap();
            assert_eq!(next, up_to(4, &[(3, 1), (4, 2)]).next_run());
            keeper.keep(1, &none).unwrap();
            assert_eq!(keeper.kept().settled().begin(1), None);
        }
        let mut keeper = Keeper::default();
        keeper.keep(1, &finished(1)).unwrap();
        keeper.keep(1, &finished(2)).unwrap();
        assert_eq!(keeper.kept().settled().begin(1).unwrap().next, Some(Position::Cursor("1".into())));
    }

    #[test]
    fn there_is_a_most() {
        let mut keeper = Keeper::default();
        keeper.keep(0, &finished(0)).unwrap();
        let refused = (0..).find_map(|number| keeper.keep(number, &finished(number)).err()).unwrap();
        assert!(refused.to_string().contains("100000 parts"), "{refused}");
        assert_eq!(keeper.new, MOST + 1, "a part that comes again is counted once");
    }
}
