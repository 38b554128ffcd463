//! One file: opened where it was committed, appended to, synced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::compress::Compression;
use super::layout::Key;
use super::piece::{End, OutputFile, Piece, Written, broken_off};
use super::spare::Spare;
use super::state::{FileState, PartState};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{FsFile, Work, advice};

/// So many bytes at the end of the file are checked when a run goes on.
pub(super) const TAIL: usize = 4096;

/// What is known of a file that is one of several.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) number: u64,
    pub(super) key: Key,
    pub(super) rows: u64,
    /// When its first page was fetched, in seconds since 1970.
    pub(super) since: i64,
    /// Whether nothing more is written to it.
    pub(super) is_finished: bool,
    /// When it was written to last, by a count of writes.
    pub(super) used: u64,
}

impl Part {
    pub(super) fn new(number: u64, key: Key, since: i64) -> Self {
        Self { number, key, since, ..Self::default() }
    }

    pub(super) fn of(state: &PartState) -> Self {
        let key = Key { folder: state.folder.clone(), date: state.date.clone() };
        Self { rows: state.rows, ..Self::new(state.part, key, state.since) }
    }

    pub(super) fn state(&self, file: FileState) -> PartState {
        let Key { folder, date } = self.key.clone();
        PartState { file, part: self.number, rows: self.rows, since: self.since, folder, date }
    }
}

/// One file.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) path: PathBuf,
    pub(super) file: OutputFile,
    compression: Compression,
    /// What is not on its way to the file yet, as it will be read.
    pub(super) buffer: Vec<u8>,
    /// The end of what has arrived.
    pub(super) end: End,
    pub(super) term: u64,
    pub(super) touched: bool,
    /// The piece that is on its way. There is one at most, so that they arrive in their order.
    pub(super) writing: Option<Work<(Piece, Result<()>)>>,
    pub(super) syncing: Option<Work<io::Result<()>>>,
    /// Bytes that no sync has been begun for.
    unsynced: u64,
    /// Bytes of the piece that is on its way, as they will be read.
    pub(super) on_its_way: usize,
    pub(super) part: Part,
}

impl Output {
    /// One whose file is made at the first write.
    pub(super) fn missing(path: PathBuf, compression: Compression, term: u64) -> Self {
        Self {
            path,
            file: OutputFile::Missing,
            compression,
            buffer: Vec::new(),
            end: End::default(),
            term,
            touched: false,
            writing: None,
            syncing: None,
            unsynced: 0,
            on_its_way: 0,
            part: Part::default(),
        }
    }

    /// Whether nothing was ever written to it.
    pub(super) fn is_blank(&self) -> bool {
        self.end.length == 0 && self.buffer.is_empty() && self.writing.is_none()
    }

    pub(super) fn is_compressed(&self) -> bool {
        !self.compression.is_none()
    }

    /// Takes what is buffered, for its way to the file. The last piece must have arrived.
    pub(super) fn piece(&mut self, spare: &Spare) -> Piece {
        self.on_its_way = self.buffer.len();
        Piece {
            path: self.path.clone(),
            file: std::mem::replace(&mut self.file, OutputFile::Lost),
            from: self.end.length,
            end: self.end.clone(),
            compression: self.compression,
            bytes: std::mem::take(&mut self.buffer),
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
        self.unsynced += piece.end.length - piece.from;
        (self.file, self.end, self.on_its_way) = (piece.file, piece.end, 0);
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

    /// What the checkpoint keeps of it.
    pub(super) fn state(&self) -> FileState {
        let file = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        FileState { file, length: self.end.length, tail: hash(&self.end.tail), term: self.term }
    }
}

pub(super) fn hash(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

pub(super) fn failed(path: &Path, what: &str, error: io::Error) -> Error {
    let failed = Error::new(ErrorKind::Sink, format!("{} {what}", path.display()));
    match advice(&error) {
        Some(advice) => failed.advice(advice),
        None => failed,
    }
    .because(error)
}
