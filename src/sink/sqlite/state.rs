//! What the checkpoint keeps of a table.

use serde::{Deserialize, Serialize};

use crate::checkpoint::SinkState;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::sql::typed::Counts;

/// What the checkpoint keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) table: String,
    pub(super) run: i64,
    /// The last row of the table when the run began, and the last one that the run has committed. Both are 0 where rows have keys.
    pub(super) first: i64,
    pub(super) last: i64,
    /// Whether nothing of the run counts, whatever is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) emptied: bool,
    /// Of typed rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) typed: Option<TypedState>,
}

impl State {
    pub(super) fn read(state: &SinkState) -> Result<Self> {
        serde_json::from_value(state.0.clone()).map_err(|error| {
            Error::new(ErrorKind::Checkpoint, "the state is not one of an SQLite table").because(error)
        })
    }

    /// The state of the same run that has committed nothing.
    pub(super) fn emptied(self) -> Result<SinkState> {
        let typed = self.typed.map(|_| TypedState::default());
        Self { last: self.first, emptied: true, typed, ..self }.written()
    }

    pub(super) fn written(&self) -> Result<SinkState> {
        serde_json::to_value(self)
            .map(SinkState)
            .map_err(|error| Error::new(ErrorKind::Sink, "the state cannot be written").because(error))
    }
}

/// What the checkpoint keeps of typed rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct TypedState {
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// The last row of `headwater_rejected` that the run has committed; 0 if there is none.
    pub(super) letter: i64,
}
