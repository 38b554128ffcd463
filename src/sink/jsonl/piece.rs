//! Lines on their way to the end of a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::output::failed;
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

/// Lines, and where they belong.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) path: PathBuf,
    pub(super) file: OutputFile,
    /// How long the file is before them.
    pub(super) at: u64,
    pub(super) lines: Vec<u8>,
    /// Where the empty buffer goes.
    pub(super) spare: Spare,
}

impl Piece {
    /// Appends it, to a new file if there is none. What stays is the file.
    pub(super) fn write(&mut self, fs: &dyn Fs) -> Result<()> {
        let outcome = append(fs, &self.path, &mut self.file, self.at, &self.lines);
        self.spare.give_back(std::mem::take(&mut self.lines));
        outcome
    }
}

fn append(fs: &dyn Fs, path: &Path, file: &mut OutputFile, at: u64, lines: &[u8]) -> Result<()> {
    if matches!(file, OutputFile::Missing) {
        let new = fs.open(path, OpenMode::New).map_err(|error| failed(path, "cannot be made", error))?;
        *file = OutputFile::new(new);
    }
    let Some(OpenFile { file, .. }) = file.open() else { return Err(broken_off()) };
    let write = |error| failed(path, "cannot be written", error);
    if file.length().map_err(write)? != at {
        let what = format!("{} was changed by someone else while it was written", path.display());
        return Err(Error::new(ErrorKind::Sink, what));
    }
    file.append(lines).map_err(write)
}

/// Appends the pieces of several files.
pub(super) fn append_all(fs: &dyn Fs, pieces: &mut [(Arc<str>, Piece)]) -> Result<()> {
    let appended = each(fs, pieces, |(source, piece)| piece.write(fs).map_err(|error| of(source, error)));
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

fn of(source: &Arc<str>, error: Error) -> Error {
    error.at(|context| context.source = Some(source.clone()))
}

pub(super) fn broken_off() -> Error {
    Error::new(ErrorKind::Sink, "an earlier write was broken off")
}
