//! The logs of a run, opened where they were committed.
//!
//! A run of an earlier [term](crate::checkpoint::Lease::term) may be frozen, with the segment that it wrote to open. So the
//! term is a part of a segment's name: what was committed of that segment is copied under a new name, and whatever the
//! frozen run writes when it wakes is in a file that no checkpoint names. Sealed segments are only read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::chain::{Chain, rest_of};
use super::log::{Log, OpenFile, Slot};
use super::state::{State, file_name, hex, parts_of_file, source_of};
use super::{damaged, failed};
use crate::checkpoint::Lease;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, FsFile, OpenMode};

/// So many bytes at once are copied.
const PIECE: usize = 1024 * 1024;

/// What is wanted of one source.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) source: Arc<str>,
    /// What its records say.
    pub(crate) label: Arc<str>,
    pub(crate) before: Before,
}

/// What is known from before.
#[derive(Debug, Clone)]
pub(crate) enum Before {
    Nothing,
    Finished,
    Unfinished(Box<State>),
}

/// What is there already where the segments go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    pub(crate) place: PathBuf,
    pub(crate) stems: Vec<String>,
}

/// Opens the logs of these sources.
pub(super) fn open_all(
    fs: &dyn Fs,
    dir: &Path,
    wanted: &[Wanted],
    taken: &Taken,
    started_at: SystemTime,
    lease: &Lease,
) -> Result<Vec<Log>> {
    fs.create_dir_all(dir).map_err(|error| failed(dir, "cannot be used as the folder of the log", error))?;
    let names = fs.names(dir).map_err(|error| failed(dir, "cannot be listed", error))?;
    lease.check()?;
    let open = |one: &Wanted| {
        open(fs, dir, &names, one, taken, started_at, lease)
            .map_err(|error| error.at(|context| context.source = Some(one.source.clone())))
    };
    wanted.iter().map(open).collect()
}

fn open(
    fs: &dyn Fs,
    dir: &Path,
    names: &[String],
    wanted: &Wanted,
    taken: &Taken,
    started_at: SystemTime,
    lease: &Lease,
) -> Result<Log> {
    let own = |name: &&String| {
        let parts = parts_of_file(name).filter(|(stem, _)| source_of(stem) == Some(&*wanted.source));
        // Never what a successor has made.
        parts.is_some_and(|(_, term)| term <= lease.term())
    };
    let own: Vec<&String> = names.iter().filter(own).collect();
    let stems: Vec<&str> = taken
        .stems
        .iter()
        .map(String::as_str)
        .chain(own.iter().filter_map(|name| Some(parts_of_file(name)?.0)))
        .filter(|stem| source_of(stem) == Some(&*wanted.source))
        .collect();
    let state = match &wanted.before {
        Before::Nothing if !stems.is_empty() => {
            let place =
                if taken.stems.iter().any(|stem| stems.contains(&&**stem)) { &taken.place } else { dir };
            let what =
                format!("{} has files of this source, but no checkpoint that knows them", place.display());
            return Err(Error::new(ErrorKind::Checkpoint, what)
                .advice("restore the checkpoint, or move the files away, or use another folder"));
        }
        Before::Nothing | Before::Finished => {
            State::new(free_stem(&stems, &wanted.source, started_at), lease.term())
        }
        Before::Unfinished(state) => (**state).clone(),
    };
    let known: Vec<String> = state.files().collect();
    if source_of(&state.stem) != Some(&*wanted.source) || state.stem.contains(['/', '\\']) {
        let why = "the checkpoint names a log that is not one of this source's";
        return Err(damaged(&dir.join(&state.stem), why.into()));
    }
    for sealed in &state.sealed {
        let name = file_name(&state.stem, sealed.number, sealed.term);
        if !names.contains(&name) {
            let why = format!("the file is gone; {} bytes of it were committed", sealed.length);
            return Err(damaged(&dir.join(name), why));
        }
    }
    let strangers: Vec<&String> = own.into_iter().filter(|name| !known.contains(name)).collect();
    let has_strangers = !strangers.is_empty();
    for name in strangers {
        let path = dir.join(name);
        match fs.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&path, "cannot be removed", error));
            }
            _ => {}
        }
    }
    if has_strangers {
        // The state says from here on that they are removed.
        fs.sync_dir(dir).map_err(|error| failed(dir, "cannot be synced", error))?;
    }
    reopen(fs, dir, wanted, state, lease)
}

/// Takes up the segment that was written to.
fn reopen(fs: &dyn Fs, dir: &Path, wanted: &Wanted, mut state: State, lease: &Lease) -> Result<Log> {
    // What was shipped and is not among those that are known is removed.
    state.removed = state.shipped;
    if state.length == 0 {
        state.term = lease.term();
        return Ok(Log::new(dir, &wanted.label, state, Slot::Missing, Chain::default()));
    }
    let path = dir.join(file_name(&state.stem, state.number, state.term));
    let mut file = match fs.open(&path, OpenMode::Existing) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = format!("the file is gone; {} bytes of it were committed", state.length);
            return Err(damaged(&path, why));
        }
        Err(error) => return Err(failed(&path, "cannot be opened", error)),
    };
    let (length, chain) = check(&*file, &state, &path)?;
    if state.term != lease.term() {
        state.term = lease.term();
        let to = dir.join(file_name(&state.stem, state.number, state.term));
        file =
            copy(fs, &to, &*file, state.length).map_err(|error| failed(&to, "cannot be written", error))?;
        fs.sync_dir(dir).map_err(|error| failed(dir, "cannot be synced", error))?;
        lease.check()?;
        let mut log = opened(dir, wanted, state, to, file, chain);
        log.leftover = vec![path];
        return Ok(log);
    }
    if length > state.length {
        let cut = file.truncate(state.length).and_then(|()| file.sync());
        cut.map_err(|error| failed(&path, "cannot be cut back to what was committed", error))?;
    }
    // Whether the name was made durable before the crash is not known, so it will be (again).
    Ok(opened(dir, wanted, state, path, file, chain))
}

fn opened(
    dir: &Path,
    wanted: &Wanted,
    state: State,
    path: PathBuf,
    file: Box<dyn FsFile>,
    chain: Chain,
) -> Log {
    let slot = Slot::Open(OpenFile::new(path, file));
    Log::new(dir, &wanted.label, state, slot, chain)
}

/// How long the file is, and its hash so far, if its end is what was committed.
fn check(file: &dyn FsFile, state: &State, path: &Path) -> Result<(u64, Chain)> {
    let read = |error| failed(path, "cannot be read", error);
    let length = file.length().map_err(read)?;
    if length < state.length {
        return Err(damaged(path, format!("it has {length} bytes, but {} were committed", state.length)));
    }
    let rest = rest_of(state.length);
    let bytes = file.read_at(state.length - rest, usize::try_from(rest).unwrap_or_default()).map_err(read)?;
    let blocks = u64::from_str_radix(&state.blocks, 16);
    let chain = Chain::resumed(blocks.unwrap_or_default(), bytes);
    if hex(chain.hash()) != state.hash {
        let why = "it was changed: the last committed bytes are not what they were";
        return Err(damaged(path, why.into()));
    }
    Ok((length, chain))
}

fn copy(fs: &dyn Fs, to: &Path, from: &dyn FsFile, length: u64) -> io::Result<Box<dyn FsFile>> {
    let copy = fs.open(to, OpenMode::New)?;
    let mut done = 0;
    while done < length {
        let bytes = from.read_at(done, usize::try_from(length - done).unwrap_or(PIECE).min(PIECE))?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        copy.append(&bytes)?;
        done += bytes.len() as u64;
    }
    copy.sync()?;
    Ok(copy)
}

/// `{source}_20260517T100000Z`, with `-2` and so on if that one is taken.
fn free_stem(taken: &[&str], source: &str, started_at: SystemTime) -> String {
    let started_at: DateTime<Utc> = started_at.into();
    let stem = format!("{source}_{}", started_at.format("%Y%m%dT%H%M%SZ"));
    std::iter::once(stem.clone())
        .chain((2_u64..).map(|count| format!("{stem}-{count}")))
        .find(|stem| !taken.contains(&stem.as_str()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_that_is_taken_is_not_used_again() {
        let start = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_779_012_000);
        let first = free_stem(&[], "a", start);
        assert_eq!(first, "a_20260517T100000Z");
        let second = free_stem(&[&first], "a", start);
        assert_eq!(second, "a_20260517T100000Z-2");
        assert_eq!(free_stem(&[&second, &first], "a", start), "a_20260517T100000Z-3");
    }
}
