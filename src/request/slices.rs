//! How far a stream has come that is many: the position of a window or of a fan-out.
//!
//! Each slice that is open has a mark of its own; what has not begun is described as a whole. A slice that is
//! finished stands in neither, so slices may finish in any order. Nothing here is turned into JSON until a checkpoint
//! is stored: from page to page one open slice is replaced, and the rest is shared.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::mark::Mark;
use super::{Bindings, Kept, Position};

/// How far the slices of a source have come: what is open, and what has not begun.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Progress {
    pub(crate) ahead: Ahead,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) open: Vec<Arc<Open>>,
    /// What finished parts keep for the next run.
    #[serde(default, skip_serializing_if = "Kept::is_empty")]
    pub(crate) kept: Kept,
}

impl Progress {
    /// How many slices have begun and are not finished.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

/// What has not begun.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ahead {
    Range(RangeAhead),
    Parents(ParentsAhead),
}

/// What a window has not begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct RangeAhead {
    pub(crate) from: i64,
    /// `None` where the next run begins: its end is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<i64>,
    /// Where this run ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<i64>,
    /// Where the first run began, if each goes on where the last one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<i64>,
    /// The halves of slices that were too large; the next one is the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) halves: Vec<(i64, i64)>,
}

/// What a fan-out has not begun.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ParentsAhead {
    /// Behind the page that the pending parents are of.
    pub(crate) parent: Arc<Mark>,
    #[serde(default, skip_serializing_if = "Pending::is_empty")]
    pub(crate) pending: Pending,
}

/// A slice that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) slice: Piece,
    /// Behind the last page of it that was given out.
    pub(crate) mark: Mark,
}

/// Which slice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Piece {
    /// The end is not in it.
    Range(i64, i64),
    Parent(Arc<Parent>),
}

impl Piece {
    /// A name for it.
    pub(crate) fn key(&self) -> u64 {
        // Numbers, strings and JSON: this cannot fail.
        xxh3_64(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The name of a part that the next run has as well: by what is asked for, and not by what is copied, nor by the
    /// slice of a window that its parent came in, which may be another one next time.
    pub(crate) fn lasting_key(&self, is_asked_for: impl Fn(&str) -> bool) -> Option<u64> {
        let Self::Parent(parent) = self else { return None };
        let asked = parent.bindings.iter().filter(|(name, _)| is_asked_for(name));
        let asked = asked.fold(Bindings::new(), |asked, (name, value)| asked.with(name, value.clone()));
        Some(xxh3_64(&serde_json::to_vec(&asked).unwrap_or_default()))
    }
}

/// What a request needs to know of a record, or of several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub(crate) bindings: Bindings,
    /// Fields that each record of the child gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) copied: Vec<(String, Value)>,
}

/// The parents of a page that have not begun. Beginning with one copies nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pending {
    all: Arc<[Arc<Parent>]>,
    begun: usize,
}

impl Pending {
    pub(crate) fn of(all: impl IntoIterator<Item = Arc<Parent>>) -> Self {
        Self { all: all.into_iter().collect(), begun: 0 }
    }

    pub(crate) fn left(&self) -> &[Arc<Parent>] {
        self.all.get(self.begun..).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left().is_empty()
    }

    pub(crate) fn begin(&mut self, parents: usize) {
        self.begun += parents;
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.left() == other.left()
    }
}

impl Eq for Pending {}

impl Hash for Pending {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.left().hash(state);
    }
}

impl Serialize for Pending {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.left().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Pending {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Arc<Parent>>::deserialize(deserializer).map(Self::of)
    }
}

/// The parents of a fan-out, among the slices that an error came through.
pub(crate) const PARENTS: u64 = 0;

impl Mark {
    /// The beginning of a run that goes on without the token of an earlier one; `None` if it had none. How far that one has
    /// come stands, and what the children of a fan-out have kept, for the token that is asked for first is their parent's.
    pub(crate) fn without_token(&self) -> Option<Self> {
        let high = self.high_at_first();
        let Position::Slices(progress) = self.began.as_ref()? else {
            return Some(Self { high, ..Self::start() });
        };
        // A window has no token; it may begin where the last run ended.
        let Ahead::Parents(ahead) = &progress.ahead else { return None };
        let parent = Arc::new(ahead.parent.without_token()?);
        let ahead = Ahead::Parents(ParentsAhead { parent, pending: Pending::default() });
        let begin = Progress { ahead, open: Vec::new(), kept: progress.kept.clone() };
        let begin = Position::Slices(Arc::new(begin));
        Some(Self { began: Some(begin.clone()), high, ..Self::at(begin) })
    }

    /// Notes the position that closed a circle, in the slice that went round: given by the keys of the slices around
    /// it, the outermost first. One that is not open has nothing to be kept from.
    pub(crate) fn set_trap(&mut self, within: &[u64], trap: u64) {
        let Some((slice, inner)) = within.split_first() else {
            self.trail.trap = Some(trap);
            return;
        };
        let Some(Position::Slices(progress)) = &mut self.next else { return };
        let progress = Arc::make_mut(progress);
        if let (Ahead::Parents(ahead), true) = (&mut progress.ahead, *slice == PARENTS) {
            Arc::make_mut(&mut ahead.parent).set_trap(inner, trap);
        } else if let Some(open) = progress.open.iter_mut().find(|open| open.slice.key() == *slice) {
            Arc::make_mut(open).mark.set_trap(inner, trap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parent(id: u64) -> Arc<Parent> {
        Arc::new(Parent { bindings: Bindings::new().with("id", id), copied: vec![("of".into(), json!(id))] })
    }

    fn fan_out() -> Mark {
        let mut pending = Pending::of((1..=4).map(parent));
        pending.begin(2);
        let open = Open { slice: Piece::Parent(parent(2)), mark: Mark::at(Position::Cursor("c".into())) };
        let parents = Arc::new(Mark::at(Position::Page(2)));
        Mark::at(Position::Slices(Arc::new(Progress {
            ahead: Ahead::Parents(ParentsAhead { parent: parents, pending }),
            open: vec![Arc::new(open)],
            kept: Kept::default(),
        })))
    }

    #[test]
    fn a_state_comes_back_as_it_was_and_knows_only_what_is_left() {
        let halves = vec![(3, 4)];
        let range = RangeAhead { from: 5, to: Some(9), until: Some(9), halves, ..RangeAhead::default() };
        let ahead = Ahead::Range(range);
        let open = Open { slice: Piece::Range(1, 3), mark: fan_out() };
        let nested = Mark::at(Position::Slices(Arc::new(Progress {
            ahead,
            open: vec![Arc::new(open)],
            kept: Kept::default(),
        })));
        let text = serde_json::to_string(&nested).unwrap();
        assert_eq!(serde_json::from_str::<Mark>(&text).unwrap(), nested);
        // As it is stored: a checkpoint of today must be read tomorrow.
        let parent = r#"{"next":{"page":2},"pages":0,"trail":{"page":null,"positions":[]}}"#;
        let pending =
            r#"[{"bindings":{"id":3},"copied":[["of",3]]},{"bindings":{"id":4},"copied":[["of",4]]}]"#;
        let child = r#"{"slice":{"parent":{"bindings":{"id":2},"copied":[["of",2]]}},"mark":{"next":{"cursor":"c"},"pages":0,"trail":{"page":null,"positions":[]}}}"#;
        let fan_out = format!(
            r#"{{"slices":{{"ahead":{{"parents":{{"parent":{parent},"pending":{pending}}}}},"open":[{child}]}}}}"#
        );
        let ahead = r#"{"range":{"from":5,"to":9,"until":9,"halves":[[3,4]]}}"#;
        let open = format!(
            r#"{{"slice":{{"range":[1,3]}},"mark":{{"next":{fan_out},"pages":0,"trail":{{"page":null,"positions":[]}}}}}}"#
        );
        let whole = format!(r#"{{"slices":{{"ahead":{ahead},"open":[{open}]}}}}"#);
        assert_eq!(serde_json::to_string(&nested.next).unwrap(), whole);
    }

    #[test]
    fn a_trap_is_noted_in_the_slice_that_went_round() {
        let mut mark = fan_out();
        mark.set_trap(&[Piece::Parent(parent(2)).key()], 7);
        mark.set_trap(&[PARENTS], 8);
        mark.set_trap(&[Piece::Parent(parent(4)).key()], 9);
        let Some(Position::Slices(progress)) = &mark.next else { unreachable!() };
        assert_eq!(progress.open[0].mark.trail.trap, Some(7));
        let Ahead::Parents(ahead) = &progress.ahead else { unreachable!() };
        assert_eq!(ahead.parent.trail.trap, Some(8));
        assert_eq!(mark.trail.trap, None);
    }
}
