//! The mark behind a page: where to go on.

use serde::{Deserialize, Serialize};

use super::Position;

/// Where a source goes on: what stands behind the records of a page.
///
/// A mark reaches a sink only after all the records before it. Stored in a checkpoint and given to
/// [`Pages::resume`](crate::Pages::resume), it goes on with the page after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mark {
    /// The position of the next page; `None` after the last.
    pub next: Option<Position>,
    /// How many pages lie before it.
    pub pages: u64,
    /// How many records lie before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// Where the run began, if not at the start: with what the last run has kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Position>,
    /// Where the next run begins, if not at the start: a token that a finished run has kept for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Position>,
    #[serde(default)]
    pub(crate) trail: Trail,
}

/// The short memory of the guard against circles, so that a rerun does not walk into one again: hashes of
/// the last page and of the last positions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Trail {
    pub(crate) page: Option<(usize, u64)>,
    pub(crate) positions: Vec<u64>,
    /// The position that closed a circle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trap: Option<u64>,
}

impl Mark {
    /// Before the first page.
    pub fn start() -> Self {
        Self::at(Position::Start)
    }

    /// At a position of one's own choice.
    pub fn at(position: Position) -> Self {
        Self { next: Some(position), pages: 0, rows: 0, began: None, after: None, trail: Trail::default() }
    }

    /// Where the run after this one, which is finished, begins: with what was kept for it, or at the start.
    pub fn next_run(&self) -> Self {
        match &self.after {
            Some(position) => Self { began: Some(position.clone()), ..Self::at(position.clone()) },
            None => Self::start(),
        }
    }

    /// Whether there is no page after it.
    pub fn is_end(&self) -> bool {
        self.next.is_none()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
