//! Bytes on their way to the end of a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::compress::Compression;
use super::output::{TAIL, failed};
use super::spare::Spare;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, FsFile, OpenMode, each};

/// The file of an output.
#[derive(Debug)]
pub(super) enum OutputFile {
    /// Not made yet.
    Missing,
    Open(OpenFile),
    /// A piece is on its way to it, or was broken off: nothing is known.
    Lost,
}

/// A file that is there. A clone is the same.
#[derive(Debug, Clone)]
pub(super) struct OpenFile {
    pub(super) file: Arc<dyn FsFile>,
    /// Whether its name is durable.
    is_named: Arc<AtomicBool>,
}

impl OutputFile {
    /// One whose name is not durable yet.
    pub(super) fn new(file: Box<dyn FsFile>) -> Self {
        Self::Open(OpenFile { file: file.into(), is_named: Arc::default() })
    }

    pub(super) fn open(&self) -> Option<&OpenFile> {
        match self {
            Self::Open(file) => Some(file),
            Self::Missing | Self::Lost => None,
        }
    }
}

/// How long a file is, and its last bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct End {
    pub(super) length: u64,
    pub(super) tail: Vec<u8>,
}

impl End {
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let fresh = &bytes[bytes.len().saturating_sub(TAIL)..];
        let surplus = (self.tail.len() + fresh.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend_from_slice(fresh);
    }
}

/// Bytes, and where they belong.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) path: PathBuf,
    pub(super) file: OutputFile,
    /// The end of the file: before it is written where they belong, and behind that what it is then.
    pub(super) end: End,
    /// How long it is before it is written.
    pub(super) from: u64,
    /// What they are to be compressed by.
    pub(super) compression: Compression,
    pub(super) bytes: Vec<u8>,
    /// Where the empty buffer goes.
    pub(super) spare: Spare,
}

impl Piece {
    /// Appends it, to a new file if there is none. What stays is the file, and its end.
    pub(super) fn write(&mut self, fs: &dyn Fs) -> Result<()> {
        let outcome = self.append(fs);
        self.spare.give_back(std::mem::take(&mut self.bytes));
        outcome
    }

    fn append(&mut self, fs: &dyn Fs) -> Result<()> {
        let path = &self.path;
        let write = |error| failed(path, "cannot be written", error);
        // An empty file is no compressed text, an empty text compressed is one.
        let is_compressed = !self.bytes.is_empty() || self.end.length == 0;
        let compressed = match is_compressed {
            true => self.compression.compress(&self.bytes).map_err(write)?,
            false => None,
        };
        let bytes = compressed.as_ref().unwrap_or(&self.bytes);
        if matches!(self.file, OutputFile::Missing) {
            let new = fs.open(path, OpenMode::New).map_err(|error| failed(path, "cannot be made", error))?;
            self.file = OutputFile::new(new);
        }
        let Some(OpenFile { file, .. }) = self.file.open() else { return Err(broken_off()) };
        if file.length().map_err(write)? != self.end.length {
            let what = format!("{} was changed by someone else while it was written", path.display());
            return Err(Error::new(ErrorKind::Sink, what));
        }
        file.append(bytes).map_err(write)?;
        self.end.append(bytes);
        Ok(())
    }
}

/// Which output: that of a source, by its index.
pub(super) type Place = (Arc<str>, usize);

/// Appends the pieces of several files.
pub(super) fn append_all(fs: &dyn Fs, pieces: &mut [(Place, Piece)]) -> Result<()> {
    let appended =
        each(fs, pieces, |((source, _), piece)| piece.write(fs).map_err(|error| of(source, error)));
    appended.into_iter().collect()
}

/// A file that is to be made durable.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) source: Arc<str>,
    pub(super) path: PathBuf,
    pub(super) file: OpenFile,
}

impl Written {
    pub(super) fn unsynced(&self, error: io::Error) -> Error {
        of(&self.source, failed(&self.path, "cannot be synced", error))
    }
}

/// Makes files durable: first what is in them, then the names of new ones.
pub(super) fn sync_all(fs: &dyn Fs, dir: &Path, written: &[Written]) -> Result<()> {
    let files = written.iter().map(|one| &*one.file.file).collect();
    fs.sync_all(files).map_err(|(index, error)| match written.get(index) {
        Some(one) => one.unsynced(error),
        None => failed(dir, "cannot be synced", error),
    })?;
    if written.iter().any(|one| !one.file.is_named.load(Ordering::Acquire)) {
        fs.sync_dir(dir).map_err(|error| failed(dir, "cannot be synced", error))?;
        written.iter().for_each(|one| one.file.is_named.store(true, Ordering::Release));
    }
    Ok(())
}

pub(super) fn of(source: &Arc<str>, error: Error) -> Error {
    error.at(|context| context.source = Some(source.clone()))
}

pub(super) fn broken_off() -> Error {
    Error::new(ErrorKind::Sink, "an earlier write was broken off")
}
