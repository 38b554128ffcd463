//! What a checkpoint keeps of files.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::output::hash;
use crate::checkpoint::SinkState;
use crate::error::{Error, ErrorKind, Result};

/// How much of a file was committed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileState {
    pub(super) file: String,
    pub(super) length: u64,
    /// A hash of the last bytes.
    pub(super) tail: String,
    /// The term that the file was made in: a run of another one may hold it open.
    #[serde(default, skip_serializing_if = "is_first")]
    pub(super) term: u64,
}

fn is_first(term: &u64) -> bool {
    *term == 0
}

/// A source whose run has one file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Single {
    #[serde(flatten)]
    pub(super) file: FileState,
    /// What the format needs.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) format: Value,
}

impl Single {
    /// The same file, empty.
    pub(super) fn emptied(self) -> Self {
        Self { file: FileState { length: 0, tail: hash(&[]), ..self.file }, ..self }
    }
}

pub(super) fn read<T: DeserializeOwned>(state: &SinkState) -> Result<T> {
    serde_json::from_value(state.0.clone()).map_err(|error| {
        Error::new(ErrorKind::Checkpoint, "what the checkpoint says of the file cannot be read")
            .because(error)
    })
}

pub(super) fn stored(state: &impl Serialize) -> Result<SinkState> {
    let state = serde_json::to_value(state);
    let unstored = |error| Error::new(ErrorKind::Sink, "the state cannot be stored").because(error);
    state.map(SinkState).map_err(unstored)
}
