//! The marks that the parts of a source keep for the next run: one for each, and never one for several.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Mark;
use crate::error::{Error, Result};

/// So many parts may keep a mark: they are all in the checkpoint.
const MOST: usize = 100_000;
/// A page costs a pointer for so many of them.
const CHUNK: usize = 256;

/// Marks by the keys of the parts. A clone shares what is in it: there is one behind each page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// Of earlier runs, and of this one up to the checkpoint that it goes on from.
    before: Arc<BTreeMap<u64, Arc<Mark>>>,
    /// Since then, in the order they were kept; of one key, the last counts.
    full: Vec<Arc<Vec<Entry>>>,
    last: Arc<Vec<Entry>>,
    /// How many of them were not there before.
    new: usize,
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

    /// Keeps what a finished part has for the next run.
    ///
    /// # Errors
    /// `Config` if there are too many.
    pub(crate) fn keep(&mut self, key: u64, finished: &Mark) -> Result<()> {
        let next = finished.next_run();
        if next == Mark::start() {
            return Ok(());
        }
        self.new += usize::from(!self.before.contains_key(&key));
        if self.before.len() + self.new > MOST {
            let what = format!("more than {MOST} parts of a source with a mark of their own");
            return Err(Error::config(what).advice("split the source, or pull it as a whole"));
        }
        let last = Arc::make_mut(&mut self.last);
        last.push((key, Arc::new(next)));
        if last.len() >= CHUNK {
            self.full.push(std::mem::take(&mut self.last));
        }
        Ok(())
    }

    /// The same, for the next run to begin with.
    pub(crate) fn settled(&self) -> Self {
        Self { before: Arc::new(self.all()), ..Self::default() }
    }

    fn all(&self) -> BTreeMap<u64, Arc<Mark>> {
        let since = self.full.iter().flat_map(|chunk| chunk.iter()).chain(self.last.iter());
        self.before.iter().map(|(key, mark)| (*key, mark.clone())).chain(since.cloned()).collect()
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
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
        serializer.collect_seq(self.all())
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<Entry>::deserialize(deserializer)?;
        Ok(Self { before: Arc::new(entries.into_iter().collect()), ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Position;

    fn finished(token: u64) -> Mark {
        Mark { next: None, after: Some(Position::Cursor(token.to_string())), ..Mark::start() }
    }

    #[test]
    fn of_one_part_the_last_mark_counts_and_it_comes_back_as_it_was() {
        let mut kept = Kept::default();
        for number in 0..1000 {
            kept.keep(number % 600, &finished(number)).unwrap();
        }
        kept.keep(7777, &Mark { next: None, ..Mark::start() }).unwrap();
        let stored = serde_json::to_string(&kept).unwrap();
        let read: Kept = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, kept);
        assert_eq!(read.begin(5).unwrap().next, Some(Position::Cursor("605".into())));
        assert_eq!(read.begin(599).unwrap().next, Some(Position::Cursor("599".into())));
        assert_eq!(read.begin(7777), None, "one that keeps nothing begins at the start");
        assert_eq!(kept.begin(5), None, "what a part keeps is for the next run");
        assert_eq!(kept.settled().begin(5), read.begin(5));
    }

    #[test]
    fn there_is_a_most() {
        let mut kept = Kept::default();
        let refused = (0..).find_map(|number| kept.keep(number, &finished(number)).err()).unwrap();
        assert!(refused.to_string().contains("100000 parts"), "{refused}");
    }
}
