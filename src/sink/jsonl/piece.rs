//! Lines on their way to the end of a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::output::failed;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, FsFile, OpenMode, each};

/// The file of an output.
#[derive(Debug)]
pub(super) enum OutputFile {
    /// Not made yet.
    Missing,
    /// Made; its name is not durable yet.
    New(Arc<dyn FsFile>),
    Durable(Arc<dyn FsFile>),
    /// A piece is on its way to it, or was broken off: nothing is known.
    Lost,
}

impl OutputFile {
    pub(super) fn open(&self) -> Option<&Arc<dyn FsFile>> {
        match self {
            Self::New(file) | Self::Durable(file) => Some(file),
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
}

impl Piece {
    /// Appends it, to a new file if there is none. What stays is the file, and an empty buffer.
    pub(super) fn write(&mut self, fs: &dyn Fs) -> Result<()> {
        let outcome = append(fs, &self.path, &mut self.file, self.at, &self.lines);
        self.lines.clear();
        outcome
    }
}

fn append(fs: &dyn Fs, path: &Path, file: &mut OutputFile, at: u64, lines: &[u8]) -> Result<()> {
    if matches!(file, OutputFile::Missing) {
        let new = fs.open(path, OpenMode::New).map_err(|error| failed(path, "cannot be made", error))?;
        *file = OutputFile::New(new.into());
    }
    let Some(file) = file.open() else { return Err(broken_off()) };
    let write = |error| failed(path, "cannot be written", error);
    if file.length().map_err(write)? != at {
        let what = format!("{} was changed by someone else while it was written", path.display());
        return Err(Error::new(ErrorKind::Sink, what));
    }
    file.append(lines).map_err(write)
}

/// Makes pieces durable: first they are written, then the files synced, then the names of new ones.
pub(super) fn commit(fs: &dyn Fs, dir: &Path, pieces: &mut [(Arc<str>, Piece)]) -> Result<()> {
    let place = |source: &Arc<str>, error: Error| error.at(|context| context.source = Some(source.clone()));
    let appended = each(fs, pieces, |(_, piece)| piece.write(fs));
    let mut files: Vec<&dyn FsFile> = Vec::with_capacity(pieces.len());
    for ((source, piece), appended) in pieces.iter().zip(appended) {
        appended.map_err(|error| place(source, error))?;
        files.push(&**piece.file.open().ok_or_else(|| place(source, broken_off()))?);
    }
    fs.sync_all(files).map_err(|(index, error)| match pieces.get(index) {
        Some((source, piece)) => place(source, failed(&piece.path, "cannot be synced", error)),
        None => failed(dir, "cannot be synced", error),
    })?;
    if pieces.iter().any(|(_, piece)| matches!(piece.file, OutputFile::New(_))) {
        fs.sync_dir(dir).map_err(|error| failed(dir, "cannot be synced", error))?;
    }
    for (_, piece) in pieces {
        piece.file = match std::mem::replace(&mut piece.file, OutputFile::Lost) {
            OutputFile::New(file) => OutputFile::Durable(file),
            other => other,
        };
    }
    Ok(())
}

fn broken_off() -> Error {
    Error::new(ErrorKind::Sink, "an earlier write was broken off")
}
