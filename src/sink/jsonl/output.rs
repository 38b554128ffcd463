//! One file: opened where it was committed, appended to, synced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::piece::{OutputFile, Piece, Written, broken_off};
use super::spare::Spare;
use crate::checkpoint::SinkState;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{FsFile, Work};
use crate::records::Annotator;

/// So many bytes at the end of the file are checked when a run goes on.
pub(super) const TAIL: usize = 4096;

/// What the checkpoint keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
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

/// The state of the same file, empty.
pub(super) fn emptied(state: &SinkState) -> Option<SinkState> {
    let state: State = serde_json::from_value(state.0.clone()).ok()?;
    let emptied = State { length: 0, tail: hash(&[]), ..state };
    serde_json::to_value(emptied).ok().map(SinkState)
}

#[derive(Debug)]
pub(super) struct Output {
    pub(super) annotator: Annotator,
    pub(super) path: PathBuf,
    pub(super) file: OutputFile,
    /// Lines that are not on their way to the file yet.
    pub(super) buffer: Vec<u8>,
    /// How long the file is when all has arrived that is on its way, and its last bytes.
    pub(super) length: u64,
    pub(super) tail: Vec<u8>,
    term: u64,
    pub(super) touched: bool,
    /// The piece that is on its way. There is one at most, so that they arrive in their order.
    pub(super) writing: Option<Work<(Piece, Result<()>)>>,
    pub(super) syncing: Option<Work<io::Result<()>>>,
    /// Bytes that no sync has been begun for.
    unsynced: u64,
}

impl Output {
    /// One whose file is made at the first write.
    pub(super) fn missing(path: PathBuf, label: &str, term: u64) -> Self {
        Self {
            annotator: Annotator::new(label),
            path,
            file: OutputFile::Missing,
            buffer: Vec::new(),
            length: 0,
            tail: Vec::new(),
            term,
            touched: false,
            writing: None,
            syncing: None,
            unsynced: 0,
        }
    }

    /// Takes what is buffered, for its way to the file. The last piece must have arrived.
    pub(super) fn piece(&mut self, spare: &Spare) -> Piece {
        let lines = std::mem::take(&mut self.buffer);
        let at = self.length;
        self.length += lines.len() as u64;
        self.unsynced += lines.len() as u64;
        let fresh = &lines[lines.len().saturating_sub(TAIL)..];
        let surplus = (self.tail.len() + fresh.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend_from_slice(fresh);
        Piece {
            path: self.path.clone(),
            file: std::mem::replace(&mut self.file, OutputFile::Lost),
            at,
            lines,
            spare: spare.clone(),
        }
    }

    /// Waits until the piece that is on its way has arrived.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let waited = writing.wait().await.map_err(|error| failed(&self.path, "cannot be written", error));
        let (piece, outcome) = waited?;
        outcome?;
        self.arrived(piece);
        Ok(())
    }

    /// Notes that a piece has arrived.
    pub(super) fn arrived(&mut self, piece: Piece) {
        self.file = piece.file;
    }

    /// What is to be synced ahead of the commit, if that many bytes wait for it and no sync is on its way.
    pub(super) fn due(&mut self, bytes: u64) -> Option<Arc<dyn FsFile>> {
        if self.unsynced < bytes || self.syncing.is_some() {
            return None;
        }
        let file = self.file.open()?.file.clone();
        self.unsynced = 0;
        Some(file)
    }

    /// Learns what became of the sync ahead, if it is over or is to be waited for.
    pub(super) async fn synced(&mut self, wait: bool) -> Result<()> {
        let Some(syncing) = self.syncing.take_if(|syncing| wait || syncing.is_over()) else { return Ok(()) };
        let synced = syncing.wait().await.and_then(|outcome| outcome);
        synced.map_err(|error| failed(&self.path, "cannot be synced", error))
    }

    /// Hands all that has arrived over to a commit: the file, and the sync that is on its way ahead of it.
    pub(super) fn take_in(&mut self, source: Arc<str>) -> Result<(Written, Option<Work<io::Result<()>>>)> {
        let file = self.file.open().ok_or_else(broken_off)?.clone();
        (self.touched, self.unsynced) = (false, 0);
        Ok((Written { source, path: self.path.clone(), file }, self.syncing.take()))
    }

    pub(super) fn state(&self) -> Result<SinkState> {
        let file = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let state = State { file, length: self.length, tail: hash(&self.tail), term: self.term };
        let state = serde_json::to_value(state)
            .map_err(|error| Error::new(ErrorKind::Sink, "the state cannot be stored").because(error))?;
        Ok(SinkState(state))
    }
}

pub(super) fn hash(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

pub(super) fn failed(path: &Path, what: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Sink, format!("{} {what}", path.display())).because(error)
}
