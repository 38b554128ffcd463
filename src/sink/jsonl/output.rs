//! One file: opened where it was committed, appended to, synced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::SinkState;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, FsFile, OpenMode, each};
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
    /// Lines that are not appended yet.
    pub(super) buffer: Vec<u8>,
    /// What was appended, and its last bytes.
    pub(super) length: u64,
    pub(super) tail: Vec<u8>,
    term: u64,
    pub(super) touched: bool,
}

#[derive(Debug)]
pub(super) enum OutputFile {
    /// Not made yet.
    Missing,
    /// Made; its name is not durable yet.
    New(Box<dyn FsFile>),
    Durable(Box<dyn FsFile>),
    /// A write was broken off: nothing is known.
    Lost,
}

/// Makes outputs durable: what is buffered, then the files, then the names of new ones.
pub(super) fn commit(
    fs: &dyn Fs,
    dir: &Path,
    mut touched: Vec<(Arc<str>, Output)>,
) -> Result<Vec<(Arc<str>, Output)>> {
    let mut files: Vec<&mut dyn FsFile> = Vec::with_capacity(touched.len());
    let mut paths = Vec::with_capacity(touched.len());
    let mut names_changed = false;
    let appended = each(fs, &mut touched, |(_, output)| output.append(fs));
    for ((source, output), appended) in touched.iter_mut().zip(appended) {
        let place = |error: Error| error.at(|context| context.source = Some(source.clone()));
        appended.map_err(place)?;
        names_changed |= matches!(output.file, OutputFile::New(_));
        let (OutputFile::New(file) | OutputFile::Durable(file)) = &mut output.file else {
            return Err(place(Error::new(ErrorKind::Sink, "an earlier write was broken off")));
        };
        files.push(&mut **file);
        paths.push((source.clone(), &output.path));
    }
    fs.sync_all(files).map_err(|(index, error)| {
        let Some((source, path)) = paths.get(index) else { return failed(dir, "cannot be synced", error) };
        failed(path, "cannot be synced", error).at(|context| context.source = Some(source.clone()))
    })?;
    if names_changed {
        fs.sync_dir(dir).map_err(|error| failed(dir, "cannot be synced", error))?;
    }
    for (_, output) in &mut touched {
        output.touched = false;
        output.file = match std::mem::replace(&mut output.file, OutputFile::Lost) {
            OutputFile::New(file) => OutputFile::Durable(file),
            other => other,
        };
    }
    Ok(touched)
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
        }
    }

    /// Takes it away for work that may block; what stays is unusable until it is put back.
    pub(super) fn take(&mut self) -> Self {
        Self {
            annotator: self.annotator.clone(),
            path: self.path.clone(),
            file: std::mem::replace(&mut self.file, OutputFile::Lost),
            buffer: std::mem::take(&mut self.buffer),
            length: self.length,
            tail: std::mem::take(&mut self.tail),
            term: self.term,
            touched: self.touched,
        }
    }

    /// Appends the buffer, to a new file if there is none.
    pub(super) fn append(&mut self, fs: &dyn Fs) -> Result<()> {
        if matches!(self.file, OutputFile::Missing) {
            let file = fs.open(&self.path, OpenMode::New);
            self.file = OutputFile::New(file.map_err(|error| failed(&self.path, "cannot be made", error))?);
        }
        let (OutputFile::New(file) | OutputFile::Durable(file)) = &mut self.file else {
            return Err(Error::new(ErrorKind::Sink, "an earlier write was broken off"));
        };
        let write = |error| failed(&self.path, "cannot be written", error);
        if file.length().map_err(write)? != self.length {
            let what = format!("{} was changed by someone else while it was written", self.path.display());
            return Err(Error::new(ErrorKind::Sink, what));
        }
        file.append(&self.buffer).map_err(write)?;
        self.length += self.buffer.len() as u64;
        let fresh = &self.buffer[self.buffer.len().saturating_sub(TAIL)..];
        let surplus = (self.tail.len() + fresh.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend_from_slice(fresh);
        self.buffer.clear();
        Ok(())
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
