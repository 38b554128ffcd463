//! What a checkpoint belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The part of a source that pulls one range and keeps no mark for the next run.
pub(crate) const RANGE: &str = "range";

/// The part that says what a mark for the next run is of. Older checkpoints lack it.
pub(crate) const MARK: &str = "mark";

/// The parts of a source's definition, each as a hash: enough to say which part has changed, and nothing
/// that could hold a secret. Clones share them: it goes along with every checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Definition(Arc<BTreeMap<String, String>>);

impl Definition {
    /// Has no parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part. `meaning` is hashed; it should only change when the meaning does.
    #[must_use]
    pub fn with(mut self, part: impl Into<String>, meaning: impl AsRef<str>) -> Self {
        Arc::make_mut(&mut self.0).insert(part.into(), hash(meaning.as_ref()));
        self
    }

    /// Adds the parts of another definition, each behind a word.
    #[must_use]
    pub(crate) fn with_all(mut self, of: &str, other: &Self) -> Self {
        Arc::make_mut(&mut self.0)
            .extend(other.0.iter().map(|(part, hash)| (format!("{of} {part}"), hash.clone())));
        self
    }

    /// Whether it is one of a range, of which the next run goes on with nothing.
    pub(crate) fn is_a_range(&self) -> bool {
        self.0.contains_key(RANGE)
    }

    /// One hash over all parts.
    pub fn fingerprint(&self) -> String {
        let parts: Vec<String> = self.0.iter().map(|(part, hash)| format!("{part}={hash}\n")).collect();
        hash(&parts.concat())
    }

    /// The parts that are not the same in the other, by name.
    pub fn changes<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let parts: BTreeSet<&'a String> = self.0.keys().chain(other.0.keys()).collect();
        let changed = |part: &&'a String| !is_of_a_mark(part) && self.0.get(*part) != other.0.get(*part);
        parts.into_iter().filter(changed).map(String::as_str).collect()
    }

    /// Whether a mark that was kept by one of them would be read by the other as one of something else.
    pub(crate) fn marks_differ(&self, other: &Self) -> bool {
        let mut marks = self.0.iter().filter(|(part, _)| is_of_a_mark(part));
        marks.any(|(part, hash)| other.0.get(part).is_some_and(|other| other != hash))
    }
}

/// Of the source, or of a parent's.
fn is_of_a_mark(part: &str) -> bool {
    part.trim_start_matches("parent ") == MARK
}

fn hash(text: &str) -> String {
    format!("{:016x}", xxh3_64(text.as_bytes()))
}
