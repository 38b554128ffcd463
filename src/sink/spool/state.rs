//! What the checkpoint keeps of a source's log, and what its files are called.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the checkpoint keeps. Its size is bounded: writing waits when some segments have not been shipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// `{source}_{run start}`: the same for all that comes out of this run.
    pub(crate) stem: String,
    /// Of the segment that is written to; the first is 1.
    pub(crate) number: u64,
    pub(crate) length: u64,
    pub(crate) rows: u64,
    /// Hashes of the blocks before the last one, and of everything, in hex.
    pub(super) blocks: String,
    pub(super) hash: String,
    /// The term that it was made in: a run of another one may hold it open.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) term: u64,
    /// Those that are not known to be shipped, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sealed: Vec<Sealed>,
    /// All up to this number are shipped.
    #[serde(default)]
    pub(crate) shipped: u64,
    /// How many rows these had.
    #[serde(default)]
    pub(crate) shipped_rows: u64,
    /// What was told of the last one.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) told: Value,
    /// The files of all up to this number are removed.
    #[serde(default)]
    pub(super) removed: u64,
    /// Whether the source has ended.
    #[serde(default)]
    pub(super) is_finished: bool,
}

/// A segment that nothing is added to any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub(crate) number: u64,
    pub(crate) length: u64,
    pub(crate) rows: u64,
    pub(crate) hash: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) term: u64,
    /// What whoever sealed it has to know when it is shipped: its columns, say.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) note: Value,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl State {
    /// One with nothing in it.
    pub(super) fn new(stem: String, term: u64) -> Self {
        let (blocks, hash) = (hex(0), hex(super::chain::Chain::default().hash()));
        Self {
            stem,
            number: 1,
            length: 0,
            rows: 0,
            blocks,
            hash,
            term,
            sealed: Vec::new(),
            shipped: 0,
            shipped_rows: 0,
            told: Value::Null,
            removed: 0,
            is_finished: false,
        }
    }

    /// Whether nothing is left to do for a source that is finished.
    pub(crate) fn is_settled(&self) -> bool {
        self.length == 0 && self.sealed.is_empty() && self.removed == self.shipped
    }

    /// Whether the source has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// The same with nothing in it. `None` if a segment was sealed: it may be shipped, or be on its way.
    pub(crate) fn emptied(&self) -> Option<Self> {
        (self.number == 1).then(|| Self::new(self.stem.clone(), self.term))
    }

    /// All rows, shipped or not.
    pub(crate) fn all_rows(&self) -> u64 {
        self.shipped_rows + self.rows + self.sealed.iter().map(|sealed| sealed.rows).sum::<u64>()
    }

    /// Notes what was shipped since. Returns whether that was something new.
    pub(super) fn note(&mut self, progress: &Progress) {
        if progress.shipped <= self.shipped {
            return;
        }
        let first_left = self.sealed.partition_point(|sealed| sealed.number <= progress.shipped);
        let rows: u64 = self.sealed.drain(..first_left).map(|sealed| sealed.rows).sum();
        self.shipped_rows += rows;
        (self.shipped, self.told) = (progress.shipped, progress.told.clone());
    }

    /// The names of all files that it knows.
    pub(super) fn files(&self) -> impl Iterator<Item = String> {
        let open = (self.length > 0).then(|| file_name(&self.stem, self.number, self.term));
        let sealed = self.sealed.iter().map(|sealed| file_name(&self.stem, sealed.number, sealed.term));
        sealed.chain(open)
    }
}

/// How far shipping has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub(super) shipped: u64,
    pub(super) told: Value,
    /// Whether there will be no more of it.
    pub(super) is_over: bool,
}

pub(super) fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

/// `{source}_20260517T100000Z-000001.segment`, with the term before the extension if it is not the first.
pub(super) fn file_name(stem: &str, number: u64, term: u64) -> String {
    match term {
        0 => format!("{stem}-{number:06}.segment"),
        term => format!("{stem}-{number:06}.{term}.segment"),
    }
}

/// The stem and the term of a segment's file.
pub(super) fn parts_of_file(name: &str) -> Option<(&str, u64)> {
    let name = name.strip_suffix(".segment")?;
    if let Some(stem) = stem_of(name) {
        return Some((stem, 0));
    }
    let (name, term) = name.rsplit_once('.')?;
    Some((stem_of(name)?, term.parse().ok()?))
}

/// The stem of `{stem}-{number}`.
pub(crate) fn stem_of(name: &str) -> Option<&str> {
    let (stem, number) = name.rsplit_once('-')?;
    let is_number = number.len() >= 5 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && source_of(stem).is_some()).then_some(stem)
}

/// The source that a stem belongs to: `{source}_20260517T100000Z`, with `-2` and so on behind the time if that one was taken.
pub(crate) fn source_of(stem: &str) -> Option<&str> {
    // No time has a `_` in it.
    let (source, time) = stem.rsplit_once('_')?;
    let (time, count) = time.split_once('-').unwrap_or((time, "2"));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    (shape == "00000000T000000Z" && count.parse::<u64>().is_ok()).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_files_can_be_read_again() {
        for stem in ["a_20260517T100000Z", "a.b-c_1_20260517T100000Z-2", "x.5_20260517T100000Z-12"] {
            for (number, term) in [(1, 0), (12, 3), (1_234_567, 0)] {
                let name = file_name(stem, number, term);
                assert_eq!(parts_of_file(&name), Some((stem, term)), "{name}");
            }
        }
        assert_eq!(source_of("a_b_20260517T100000Z-2"), Some("a_b"));
        for other in
            ["a_20260517T100000Z.segment", "a-000001.segment", "a_20260517T100000Z-000001.x.segment", "x"]
        {
            assert_eq!(parts_of_file(other), None, "{other}");
        }
    }

    #[test]
    fn only_what_has_never_sealed_a_segment_can_be_emptied() {
        let mut state = State::new("a_20260517T100000Z".into(), 0);
        state.length = 7;
        assert!(!state.is_settled());
        let emptied = state.emptied().unwrap();
        assert!(emptied.is_settled());
        state.number = 2;
        assert_eq!(state.emptied(), None);
    }
}
