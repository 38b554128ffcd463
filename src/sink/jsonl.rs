//! JSON lines in files: one file for each source and run.
//!
//! The order of things, which is what makes a crash harmless:
//!
//! - *open*: the checkpoint says how long the file was when it was committed, and what its last bytes were.
//!   A file that is shorter, or ends otherwise, is an error. A longer one is cut back, and that is synced.
//! - *write*: whole lines are gathered in a buffer, and appended when it is large.
//! - *commit*: the buffer is appended, the file is synced, and if it is new its folder is. Only then does
//!   the pipeline store the checkpoint.
//!
//! A failed sync ends the run and is never tried again: after it, nothing is known about the file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Committed, Guarantee, Opening, Sink, SinkStates};
use crate::checkpoint::{CheckpointStore, FileStore, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Disk, Fs, FsFile, OpenMode, blocking};
use crate::records::{Annotator, Batch};

/// Lines are appended when this many bytes have gathered.
const BUFFER: usize = 256 * 1024;
/// So many bytes at the end of the file are checked when a run goes on.
const TAIL: usize = 4096;

/// JSON lines in `{dir}/{source}_{run start}.jsonl`, with `__source` and `__ingested_at` added to each
/// record by the rules of [`Annotator`](crate::Annotator).
///
/// Exactly once: a crash at any instant, then a rerun, leaves each record in the file once. The checkpoints
/// are kept in `{dir}/.headwater`, unless the pipeline is given another store. The run's start is in UTC,
/// `20260517T100000Z`; a run that goes on keeps its file.
///
/// ```no_run
/// use headwater::{Pipeline, sink::Jsonl};
/// let pipeline = Pipeline::new().sink(Jsonl::dir("out"));
/// ```
#[derive(Debug)]
pub struct Jsonl {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    outputs: BTreeMap<Arc<str>, Output>,
}

/// What the checkpoint keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    file: String,
    length: u64,
    /// A hash of the last bytes.
    tail: String,
}

#[derive(Debug)]
struct Output {
    annotator: Annotator,
    path: PathBuf,
    file: OutputFile,
    /// Lines that are not appended yet.
    buffer: Vec<u8>,
    /// What was appended, and its last bytes.
    length: u64,
    tail: Vec<u8>,
    touched: bool,
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

impl Jsonl {
    /// Writes into this folder, which is made if need be.
    pub fn dir(dir: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(Disk), dir)
    }

    /// Writes on another file system.
    pub fn on(fs: Arc<dyn Fs>, dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), fs, outputs: BTreeMap::new() }
    }

    async fn open_output(&mut self, opening: Opening<'_>) -> Result<SinkState> {
        let (dir, source) = (self.dir.clone(), opening.source.to_owned());
        let started_at = opening.started_at;
        let before = match opening.committed {
            Committed::Nothing => Before::Nothing,
            Committed::Finished(_) => Before::Finished,
            Committed::Unfinished(state) => Before::Unfinished(state.clone()),
        };
        let output = blocking(&self.fs, move |fs| open(fs, &dir, &source, started_at, before))
            .await
            .unwrap_or_else(|error| Err(failed(&self.dir, "cannot be opened", error)))
            .map_err(|error| error.at(|context| context.source = Some(opening.source.into())))?;
        let state = output.state();
        self.outputs.insert(opening.source.into(), output);
        state
    }

    async fn flush(&mut self, source: &str) -> Result<()> {
        let Some(output) = self.outputs.get_mut(source) else { return Ok(()) };
        let mut taken = output.take();
        let (taken, outcome) = blocking(&self.fs, move |fs| {
            let outcome = taken.append(fs);
            (taken, outcome)
        })
        .await
        .map_err(|error| failed(&self.dir, "cannot be written", error))?;
        outcome?;
        *output = taken;
        Ok(())
    }

    async fn commit_all(&mut self) -> Result<SinkStates> {
        let mut touched = Vec::new();
        for (source, output) in self.outputs.iter_mut().filter(|(_, output)| output.touched) {
            touched.push((source.clone(), output.take()));
        }
        let dir = self.dir.clone();
        let committed = blocking(&self.fs, move |fs| commit(fs, &dir, touched))
            .await
            .unwrap_or_else(|error| Err(failed(&self.dir, "cannot be committed", error)))?;
        let mut states = Vec::new();
        for (source, output) in committed {
            states.push((source.clone(), output.state()?));
            self.outputs.insert(source, output);
        }
        Ok(states)
    }
}

/// What is known from before, owned.
enum Before {
    Nothing,
    Finished,
    Unfinished(SinkState),
}

fn open(fs: &dyn Fs, dir: &Path, source: &str, started_at: SystemTime, before: Before) -> Result<Output> {
    fs.create_dir_all(dir).map_err(|error| failed(dir, "cannot be used as the output folder", error))?;
    let names = fs.names(dir).map_err(|error| failed(dir, "cannot be listed", error))?;
    let state = match before {
        Before::Unfinished(state) => serde_json::from_value(state.0).map_err(|error| {
            Error::new(ErrorKind::Checkpoint, "what the checkpoint says of the file cannot be read")
                .because(error)
        })?,
        Before::Nothing if names.iter().any(|name| is_output_of(name, source)) => {
            let what =
                format!("{} has files of this source, but no checkpoint that knows them", dir.display());
            return Err(Error::new(ErrorKind::Checkpoint, what)
                .advice("restore the checkpoint, or move the files away, or use another folder"));
        }
        _ => State { file: free_name(&names, source, started_at), length: 0, tail: hash(&[]) },
    };
    reopen(fs, dir, source, &state)
}

/// Takes up a file where it was committed.
fn reopen(fs: &dyn Fs, dir: &Path, source: &str, state: &State) -> Result<Output> {
    let path = dir.join(&state.file);
    let damaged = |why: String| {
        Error::new(ErrorKind::Checkpoint, format!("{}: {why}", path.display())).advice(
            "nothing was changed; restore the file, or move it and its checkpoint away to pull this source afresh",
        )
    };
    if state.file.contains(['/', '\\']) || !is_output_of(&state.file, source) {
        return Err(damaged("the checkpoint names a file that is not one of this source's".into()));
    }
    let mut output = Output {
        annotator: Annotator::new(source),
        path: path.clone(),
        file: OutputFile::Missing,
        buffer: Vec::new(),
        length: state.length,
        tail: Vec::new(),
        touched: false,
    };
    let mut file = match fs.open(&path, OpenMode::Existing) {
        Ok(file) => file,
        // It is only made at the first write.
        Err(error) if error.kind() == io::ErrorKind::NotFound && state.length == 0 => return Ok(output),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(format!("the file is gone; {} bytes of it were committed", state.length)));
        }
        Err(error) => return Err(failed(&path, "cannot be opened", error)),
    };
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
    if length > state.length {
        let cut = file.truncate(state.length).and_then(|()| file.sync());
        cut.map_err(|error| failed(&path, "cannot be cut back to what was committed", error))?;
    }
    // Whether the name was made durable before the crash is not known, so it will be (again).
    output.file = OutputFile::New(file);
    Ok(output)
}

fn commit(fs: &dyn Fs, dir: &Path, touched: Vec<(Arc<str>, Output)>) -> Result<Vec<(Arc<str>, Output)>> {
    let mut committed = Vec::new();
    let mut names_changed = false;
    for (source, mut output) in touched {
        let place = |error: Error| error.at(|context| context.source = Some(source.clone()));
        output.append(fs).map_err(place)?;
        let (OutputFile::New(file) | OutputFile::Durable(file)) = &mut output.file else {
            return Err(place(Error::new(ErrorKind::Sink, "an earlier write was broken off")));
        };
        file.sync().map_err(|error| place(failed(&output.path, "cannot be synced", error)))?;
        output.file = match output.file {
            OutputFile::New(file) => {
                names_changed = true;
                OutputFile::Durable(file)
            }
            other => other,
        };
        output.touched = false;
        committed.push((source, output));
    }
    if names_changed {
        fs.sync_dir(dir).map_err(|error| failed(dir, "cannot be synced", error))?;
    }
    Ok(committed)
}

impl Output {
    /// Takes it away for work that may block; what stays is unusable until it is put back.
    fn take(&mut self) -> Self {
        Self {
            annotator: self.annotator.clone(),
            path: self.path.clone(),
            file: std::mem::replace(&mut self.file, OutputFile::Lost),
            buffer: std::mem::take(&mut self.buffer),
            length: self.length,
            tail: std::mem::take(&mut self.tail),
            touched: self.touched,
        }
    }

    /// Appends the buffer, to a new file if there is none.
    fn append(&mut self, fs: &dyn Fs) -> Result<()> {
        if matches!(self.file, OutputFile::Missing) {
            let file = fs.open(&self.path, OpenMode::New);
            self.file = OutputFile::New(file.map_err(|error| failed(&self.path, "cannot be made", error))?);
        }
        let (OutputFile::New(file) | OutputFile::Durable(file)) = &mut self.file else {
            return Err(Error::new(ErrorKind::Sink, "an earlier write was broken off"));
        };
        file.append(&self.buffer).map_err(|error| failed(&self.path, "cannot be written", error))?;
        self.length += self.buffer.len() as u64;
        let fresh = &self.buffer[self.buffer.len().saturating_sub(TAIL)..];
        let surplus = (self.tail.len() + fresh.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend_from_slice(fresh);
        self.buffer.clear();
        Ok(())
    }

    fn state(&self) -> Result<SinkState> {
        let file = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let state = State { file, length: self.length, tail: hash(&self.tail) };
        let state = serde_json::to_value(state)
            .map_err(|error| Error::new(ErrorKind::Sink, "the state cannot be stored").because(error))?;
        Ok(SinkState(state))
    }
}

impl Sink for Jsonl {
    fn definition(&self) -> String {
        "jsonl, a file for each source".into()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        Some(Arc::new(FileStore::on(self.fs.clone(), self.dir.join(".headwater"))))
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(self.open_output(opening))
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let output = self
                .outputs
                .get_mut(source)
                .ok_or_else(|| Error::new(ErrorKind::Sink, format!("the source {source} was not opened")))?;
            output.annotator.append_batch(batch, &mut output.buffer);
            output.touched = true;
            if output.buffer.len() >= BUFFER { self.flush(source).await } else { Ok(()) }
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(self.commit_all())
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        self.outputs.clear();
        Box::pin(async { Ok(()) })
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        let state: State = serde_json::from_value(state.0.clone()).ok()?;
        Some(self.dir.join(state.file).display().to_string())
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

fn failed(path: &Path, what: &str, error: io::Error) -> Error {
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
