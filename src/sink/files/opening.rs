//! The outputs of a run, opened together where they were committed.
//!
//! The folder is listed once, the lock is looked at once behind the opening of all files, and those that have to be cut
//! back are synced at the same time: with thousands of sources each of these is a matter of minutes otherwise.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::compress::Compression;
use super::output::{Output, TAIL, failed, hash};
use super::piece::OutputFile;
use super::replace::{remove_copies, replace};
use super::state::FileState;
use crate::checkpoint::Lease;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, FsFile, OpenMode};

/// What is wanted of one source.
pub(super) struct Wanted {
    pub(super) source: String,
    pub(super) before: Before,
}

/// What is known from before, owned.
pub(super) enum Before {
    Nothing,
    Finished,
    Unfinished(FileState),
}

/// A file that was there, open, and what it should be.
struct Found {
    index: usize,
    state: FileState,
    file: Box<dyn FsFile>,
    /// How much of it there is.
    length: u64,
}

/// Finds the places of the sources' outputs, and takes them up where they were committed.
pub(super) fn open_all(
    fs: &dyn Fs,
    dir: &Path,
    ending: &str,
    compression: Compression,
    wanted: &[Wanted],
    started_at: SystemTime,
    lease: &Lease,
) -> Result<Vec<Output>> {
    fs.create_dir_all(dir).map_err(|error| failed(dir, "cannot be used as the output folder", error))?;
    let names = fs.names(dir).map_err(|error| failed(dir, "cannot be listed", error))?;
    let known = by_source(&names, ending);
    let mut outputs = Vec::with_capacity(wanted.len());
    let mut found = Vec::new();
    for (index, one) in wanted.iter().enumerate() {
        let known = known.get(one.source.as_str()).map(Vec::as_slice).unwrap_or_default();
        let opened = match &one.before {
            Before::Unfinished(state) => {
                let is_own = source_of(&state.file, ending).is_some_and(|source| source == one.source);
                let output = Output::missing(dir.join(&state.file), compression, lease.term());
                reopen(fs, dir, &names, is_own, output, state, lease).map(|(output, file)| {
                    let state = state.clone();
                    found.extend(file.map(|file| Found { index, state, file, length: 0 }));
                    output
                })
            }
            Before::Nothing if !known.is_empty() => {
                let what =
                    format!("{} has files of this source, but no checkpoint that knows them", dir.display());
                Err(Error::new(ErrorKind::Checkpoint, what)
                    .advice("restore the checkpoint, or move the files away, or use another folder"))
            }
            _ => {
                let path = dir.join(free_name(known, &one.source, started_at, ending));
                Ok(Output::missing(path, compression, lease.term()))
            }
        };
        outputs.push(opened.map_err(|error| of(one, error))?);
    }
    if !found.is_empty() {
        // Behind the step that it guards: from here on a successor will not write into what was opened.
        lease.check()?;
    }
    // All are looked at before any is touched.
    for one in &mut found {
        let wanted = &wanted[one.index];
        let output = &mut outputs[one.index];
        let checked = check(&*one.file, &one.state, &output.path);
        (one.length, output.end.tail) = checked.map_err(|error| of(wanted, error))?;
        output.end.length = one.state.length;
    }
    cut_back(fs, &found, &outputs, lease).map_err(|(index, error)| of(&wanted[index], error))?;
    for Found { index, state, mut file, .. } in found {
        if state.term != lease.term() {
            file = replace(fs, dir, &state.file, Some((file, state.length)), lease)
                .map_err(|error| of(&wanted[index], error))?;
        }
        // Whether the name was made durable before the crash is not known, so it will be (again).
        outputs[index].file = OutputFile::new(file);
    }
    Ok(outputs)
}

fn of(wanted: &Wanted, error: Error) -> Error {
    error.at(|context| context.source = Some(wanted.source.as_str().into()))
}

pub(super) fn damaged(path: &Path, why: String) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("{}: {why}", path.display())).advice(
        "nothing was changed; restore the file, or move it and its checkpoint away to pull this source afresh",
    )
}

/// Opens the file that a checkpoint knows, if it is there.
fn reopen(
    fs: &dyn Fs,
    dir: &Path,
    names: &[String],
    is_own: bool,
    mut output: Output,
    state: &FileState,
    lease: &Lease,
) -> Result<(Output, Option<Box<dyn FsFile>>)> {
    let path = output.path.clone();
    if state.file.contains(['/', '\\']) || !is_own {
        let why = "the checkpoint names a file that is not one of this source's";
        return Err(damaged(&path, why.into()));
    }
    let is_foreign = state.term != lease.term();
    if is_foreign {
        remove_copies(fs, dir, names, &state.file, lease)?;
    }
    match fs.open(&path, OpenMode::Existing) {
        Ok(file) => Ok((output, Some(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && state.length == 0 => {
            if is_foreign {
                output.file = OutputFile::new(replace(fs, dir, &state.file, None, lease)?);
            }
            Ok((output, None))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = format!("the file is gone; {} bytes of it were committed", state.length);
            Err(damaged(&path, why))
        }
        Err(error) => Err(failed(&path, "cannot be opened", error)),
    }
}

/// How long a file is, and the end of what was committed of it, if it is what it was.
pub(super) fn check(file: &dyn FsFile, state: &FileState, path: &Path) -> Result<(u64, Vec<u8>)> {
    let read = |error| failed(path, "cannot be read", error);
    let length = file.length().map_err(read)?;
    if length < state.length {
        return Err(damaged(path, format!("it has {length} bytes, but {} were committed", state.length)));
    }
    let size = usize::try_from(state.length).unwrap_or(usize::MAX).min(TAIL);
    let tail = file.read_at(state.length - size as u64, size).map_err(read)?;
    if hash(&tail) != state.tail {
        let why = "it was changed: the last committed bytes are not what they were";
        return Err(damaged(path, why.into()));
    }
    Ok((length, tail))
}

/// Cuts off what was written after the commit, of those files that are ours to cut.
fn cut_back(fs: &dyn Fs, found: &[Found], outputs: &[Output], lease: &Lease) -> Result<(), (usize, Error)> {
    let term = lease.term();
    let longer = found.iter().filter(|one| one.state.term == term && one.length > one.state.length);
    let longer: Vec<&Found> = longer.collect();
    let uncut = |index: usize, error| {
        let what = "cannot be cut back to what was committed";
        (index, failed(&outputs[index].path, what, error))
    };
    for one in &longer {
        one.file.truncate(one.state.length).map_err(|error| uncut(one.index, error))?;
    }
    let files = longer.iter().map(|one| &*one.file).collect();
    fs.sync_all(files).map_err(|(place, error)| uncut(longer.get(place).map_or(0, |one| one.index), error))
}

/// The files of each source.
fn by_source<'a>(names: &'a [String], ending: &str) -> HashMap<&'a str, Vec<&'a str>> {
    let mut known: HashMap<&str, Vec<&str>> = HashMap::new();
    for name in names {
        if let Some(source) = source_of(name, ending) {
            known.entry(source).or_default().push(name);
        }
    }
    known
}

/// `{source}_20260517T100000Z.jsonl`, with `-2` and so on behind the time if that name is taken.
fn free_name(known: &[&str], source: &str, started_at: SystemTime, ending: &str) -> String {
    let started_at: DateTime<Utc> = started_at.into();
    let stem = format!("{source}_{}", started_at.format("%Y%m%dT%H%M%SZ"));
    std::iter::once(format!("{stem}{ending}"))
        .chain((2_u64..).map(|count| format!("{stem}-{count}{ending}")))
        .find(|name| !known.contains(&name.as_str()))
        .unwrap_or_default()
}

/// The source that a file of this name was written for.
fn source_of<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    // No time has a `_` in it.
    let (source, time) = name.strip_suffix(ending)?.rsplit_once('_')?;
    let (time, count) = time.split_once('-').unwrap_or((time, "2"));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    (shape == "00000000T000000Z" && count.parse::<u64>().is_ok()).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = ".jsonl";

    #[test]
    fn a_name_that_is_taken_is_not_used_again() {
        let start = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_779_012_000);
        let mut names: Vec<String> = Vec::new();
        for expected in
            ["a_20260517T100000Z.jsonl", "a_20260517T100000Z-2.jsonl", "a_20260517T100000Z-3.jsonl"]
        {
            let name = free_name(by_source(&names, END).get("a").map_or(&[], Vec::as_slice), "a", start, END);
            assert_eq!(name, expected);
            assert_eq!(source_of(&name, END), Some("a"));
            names.push(name);
        }
        assert_eq!(source_of("a_b_20260517T100000Z.jsonl", END), Some("a_b"));
        assert_eq!(source_of("a_2026_20260517T100000Z.jsonl", END), Some("a_2026"));
        for other in ["a.jsonl", "a_20260517.jsonl", "a_20260517T100000Z-x.jsonl", "a_20260517T100000Z.json"]
        {
            assert_eq!(source_of(other, END), None, "{other}");
        }
    }
}
