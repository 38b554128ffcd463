//! One file: opened where it was committed, appended to, synced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::replace::{remove_copies, replace};
use crate::checkpoint::{Lease, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, FsFile, OpenMode};
use crate::records::Annotator;

/// So many bytes at the end of the file are checked when a run goes on.
const TAIL: usize = 4096;

/// What the checkpoint keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) file: String,
    length: u64,
    /// A hash of the last bytes.
    tail: String,
    /// The term that the file was made in: a run of another one may hold it open.
    #[serde(default, skip_serializing_if = "is_first")]
    term: u64,
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
    path: PathBuf,
    file: OutputFile,
    /// Lines that are not appended yet.
    pub(super) buffer: Vec<u8>,
    /// What was appended, and its last bytes.
    length: u64,
    tail: Vec<u8>,
    term: u64,
    pub(super) touched: bool,
}

#[derive(Debug)]
enum OutputFile {
    /// Not made yet.
    Missing,
    /// Made; its name is not durable yet.
    New(Box<dyn FsFile>),
    Durable(Box<dyn FsFile>),
    /// A write was broken off: nothing is known.
    Lost,
}

/// What is known from before, owned.
pub(super) enum Before {
    Nothing,
    Finished,
    Unfinished(SinkState),
}

/// Finds the place of a source's output, and takes it up where it was committed.
pub(super) fn open(
    fs: &dyn Fs,
    dir: &Path,
    source: &str,
    started_at: SystemTime,
    before: Before,
    lease: &Lease,
) -> Result<Output> {
    fs.create_dir_all(dir).map_err(|error| failed(dir, "cannot be used as the output folder", error))?;
    let names = fs.names(dir).map_err(|error| failed(dir, "cannot be listed", error))?;
    match before {
        Before::Unfinished(state) => {
            let state = serde_json::from_value(state.0).map_err(|error| {
                Error::new(ErrorKind::Checkpoint, "what the checkpoint says of the file cannot be read")
                    .because(error)
            })?;
            reopen(fs, dir, source, &state, lease)
        }
        Before::Nothing if names.iter().any(|name| is_output_of(name, source)) => {
            let what =
                format!("{} has files of this source, but no checkpoint that knows them", dir.display());
            Err(Error::new(ErrorKind::Checkpoint, what)
                .advice("restore the checkpoint, or move the files away, or use another folder"))
        }
        // It is only made at the first write.
        _ => Ok(Output::missing(dir.join(free_name(&names, source, started_at)), source, lease.term())),
    }
}

/// Takes up a file where it was committed.
fn reopen(fs: &dyn Fs, dir: &Path, source: &str, state: &State, lease: &Lease) -> Result<Output> {
    let path = dir.join(&state.file);
    let damaged = |why: String| {
        Error::new(ErrorKind::Checkpoint, format!("{}: {why}", path.display())).advice(
            "nothing was changed; restore the file, or move it and its checkpoint away to pull this source afresh",
        )
    };
    if state.file.contains(['/', '\\']) || !is_output_of(&state.file, source) {
        return Err(damaged("the checkpoint names a file that is not one of this source's".into()));
    }
    let mut output = Output::missing(path.clone(), source, lease.term());
    let is_foreign = state.term != lease.term();
    if is_foreign {
        remove_copies(fs, dir, &state.file, lease)?;
    }
    let mut file = match fs.open(&path, OpenMode::Existing) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && state.length == 0 => {
            if is_foreign {
                output.file = OutputFile::New(replace(fs, dir, &state.file, None, lease)?);
            }
            return Ok(output);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(format!("the file is gone; {} bytes of it were committed", state.length)));
        }
        Err(error) => return Err(failed(&path, "cannot be opened", error)),
    };
    // Behind the step that it guards: from here on a successor will not write into what was opened.
    lease.check()?;
    let read = |error| failed(&path, "cannot be read", error);
    let length = file.length().map_err(read)?;
    if length < state.length {
        return Err(damaged(format!("it has {length} bytes, but {} were committed", state.length)));
    }
    let tail = usize::try_from(state.length).unwrap_or(usize::MAX).min(TAIL);
    output.tail = file.read_at(state.length - tail as u64, tail).map_err(read)?;
    if hash(&output.tail) != state.tail {
        return Err(damaged("it was changed: the last committed bytes are not what they were".into()));
    }
    if is_foreign {
        file = replace(fs, dir, &state.file, Some((file, state.length)), lease)?;
    } else if length > state.length {
        let cut = file.truncate(state.length).and_then(|()| file.sync());
        cut.map_err(|error| failed(&path, "cannot be cut back to what was committed", error))?;
    }
    output.length = state.length;
    // Whether the name was made durable before the crash is not known, so it will be (again).
    output.file = OutputFile::New(file);
    Ok(output)
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
    for (source, output) in &mut touched {
        let place = |error: Error| error.at(|context| context.source = Some(source.clone()));
        output.append(fs).map_err(place)?;
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
    fn missing(path: PathBuf, source: &str, term: u64) -> Self {
        Self {
            annotator: Annotator::new(source),
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

/// `{source}_20260517T100000Z.jsonl`, with `-2` and so on behind the time if that name is taken.
fn free_name(names: &[String], source: &str, started_at: SystemTime) -> String {
    let started_at: DateTime<Utc> = started_at.into();
    let stem = format!("{source}_{}", started_at.format("%Y%m%dT%H%M%SZ"));
    std::iter::once(format!("{stem}.jsonl"))
        .chain((2_u64..).map(|count| format!("{stem}-{count}.jsonl")))
        .find(|name| !names.contains(name))
        .unwrap_or_default()
}

/// Whether a file of this name was written for this source.
fn is_output_of(name: &str, source: &str) -> bool {
    let time = name.strip_prefix(source).and_then(|rest| rest.strip_prefix('_')?.strip_suffix(".jsonl"));
    time.is_some_and(|time| {
        let (time, count) = time.split_once('-').unwrap_or((time, "2"));
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        shape == "00000000T000000Z" && count.parse::<u64>().is_ok()
    })
}

fn hash(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

pub(super) fn failed(path: &Path, what: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Sink, format!("{} {what}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_not_used_again() {
        let start = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_779_012_000);
        let mut names = Vec::new();
        for expected in
            ["a_20260517T100000Z.jsonl", "a_20260517T100000Z-2.jsonl", "a_20260517T100000Z-3.jsonl"]
        {
            let name = free_name(&names, "a", start);
            assert_eq!(name, expected);
            assert!(is_output_of(&name, "a") && !is_output_of(&name, "a_2026"), "{name}");
            names.push(name);
        }
        assert!(!is_output_of("a_b_20260517T100000Z.jsonl", "a"));
        assert!(!is_output_of("a.jsonl", "a"));
    }
}
