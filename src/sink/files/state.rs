//! What a checkpoint keeps of files.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::output::hash;
use crate::checkpoint::SinkState;
use crate::error::{Error, ErrorKind, Result};

/// How much of a file was committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// A source that has several files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Parts {
    /// The start of the run, as it stands in the names.
    pub(super) start: String,
    /// The number of the next file.
    pub(super) next: u64,
    /// How many files were finished in this run.
    #[serde(default)]
    pub(super) count: u64,
    /// Those that are not finished.
    #[serde(default)]
    pub(super) open: Vec<PartState>,
    /// Those that this commit has finished: they get their names when it is stored.
    #[serde(default)]
    pub(super) finished: Vec<Finished>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) format: Value,
}

impl Parts {
    /// Those of a run that begins.
    pub(super) fn begin(start: String) -> Self {
        Self { start, next: 1, count: 0, open: Vec::new(), finished: Vec::new(), format: Value::Null }
    }

    /// The same without what was written, unless some of it is finished: that may have been taken away by now.
    pub(super) fn emptied(self) -> Option<Self> {
        let Self { start, format, .. } = self;
        (self.count == 0).then(|| Self { format, ..Self::begin(start) })
    }
}

/// A file that is not finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PartState {
    #[serde(flatten)]
    pub(super) file: FileState,
    pub(super) part: u64,
    pub(super) rows: u64,
    /// When its first page was fetched, in seconds since 1970.
    pub(super) since: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) folder: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) date: String,
}

/// A file that is finished, and is given its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Finished {
    pub(super) partial: String,
    /// In the output folder.
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) tail: String,
}

impl Finished {
    /// Whether both names lie where they belong.
    pub(super) fn is_inside(&self) -> bool {
        let is_normal = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
        !self.name.is_empty()
            && std::path::Path::new(&self.name).components().all(is_normal)
            && !self.partial.is_empty()
            && !self.partial.contains(['/', '\\'])
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
