//! Sources that have several files: opened where they were committed.
//!
//! Files that are not finished are in a folder of their own, so that one look shows which are there. What the checkpoint does not
//! know among them was written behind it, and goes. A file that a run of an earlier term may hold open is copied under a name
//! of this term; whatever that run writes when it wakes goes into files that nobody takes up.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::compress::Compression;
use super::finals::has_any;
use super::layout::Namer;
use super::naming::{PARTIALS, name_all, remove};
use super::opening::{check, damaged};
use super::output::{Output, Part, failed};
use super::piece::{End, OutputFile};
use super::replace::copy;
use super::state::{FileState, Finished, PartState, Parts};
use crate::checkpoint::Lease;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, FsFile, OpenMode};

/// What is wanted of one source.
pub(super) struct WantedParts {
    pub(super) source: String,
    pub(super) before: BeforeParts,
}

pub(super) enum BeforeParts {
    Nothing,
    /// Its state, if it can be read: it may be of other files.
    Finished(Option<Parts>),
    Unfinished(Parts),
}

/// Where the files of a run are, and how they are called.
pub(super) struct Folder {
    pub(super) dir: PathBuf,
    pub(super) namer: Namer,
    pub(super) compression: Compression,
}

/// The files of a source as they were committed, and those that are open.
pub(super) struct OpenedParts {
    pub(super) state: Parts,
    pub(super) outputs: Vec<Output>,
    /// Those that there are copies of now. The checkpoint still names them.
    pub(super) copied: Vec<PathBuf>,
}

pub(super) fn open_parts(
    fs: &dyn Fs,
    folder: &Folder,
    wanted: &[WantedParts],
    started_at: SystemTime,
    lease: &Lease,
) -> Result<Vec<OpenedParts>> {
    let dir = &folder.dir;
    let partials = dir.join(PARTIALS);
    fs.create_dir_all(&partials)
        .map_err(|error| failed(&partials, "cannot be used as the output folder", error))?;
    let names = fs.names(&partials).map_err(|error| failed(&partials, "cannot be listed", error))?;
    let mut opened = Vec::with_capacity(wanted.len());
    for one in wanted {
        let of = |error: Error| error.at(|context| context.source = Some(one.source.as_str().into()));
        let own: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| folder.namer.partial_of(name).is_some_and(|(source, _)| source == one.source))
            .collect();
        let state = match &one.before {
            BeforeParts::Nothing => {
                let has_finals = || has_any(fs, dir, &folder.namer.shapes(&one.source));
                if !own.is_empty() || has_finals().map_err(|error| failed(dir, "cannot be listed", error))? {
                    let what = format!(
                        "{} has files of this source, but no checkpoint that knows them",
                        dir.display()
                    );
                    return Err(of(Error::new(ErrorKind::Checkpoint, what)
                        .advice("restore the checkpoint, or move the files away, or use another folder")));
                }
                Parts::begin(start(started_at, None))
            }
            BeforeParts::Finished(last) => {
                if let Some(last) = last {
                    let mut finished = last.finished.clone();
                    finished.extend(left(fs, folder, &one.source, last, &own, lease).map_err(of)?);
                    name_all(fs, dir, &finished, true).map_err(of)?;
                }
                Parts {
                    format: last.as_ref().map(|last| last.format.clone()).unwrap_or_default(),
                    ..Parts::begin(start(started_at, last.as_ref().map(|last| last.start.as_str())))
                }
            }
            BeforeParts::Unfinished(last) => {
                name_all(fs, dir, &last.finished, true).map_err(of)?;
                Parts { finished: Vec::new(), ..last.clone() }
            }
        };
        let (outputs, found) = reopen(fs, folder, &one.source, &state, lease).map_err(of)?;
        let garbage = own.into_iter().filter(|name| {
            let term = folder.namer.partial_of(name).map_or(u64::MAX, |(_, term)| term);
            term <= lease.term() && !state.open.iter().any(|open| open.file.file == *name)
        });
        let garbage: Vec<&str> = garbage.collect();
        opened.push((one, OpenedParts { state, outputs, copied: Vec::new() }, found, garbage));
    }
    // Behind the step that it guards: from here on a successor will not write into what was opened.
    lease.check()?;
    let mut any_copied = false;
    for (one, opened, found, garbage) in &mut opened {
        let of = |error: Error| error.at(|context| context.source = Some(one.source.as_str().into()));
        // First: what an earlier attempt has copied is among it, and its names are used again.
        for name in garbage {
            remove(fs, &partials.join(name))?;
        }
        for (output, (state, file)) in opened.outputs.iter_mut().zip(found.drain(..)) {
            let was = output.path.clone();
            let owner = (one.source.as_str(), opened.state.start.as_str());
            if take_up(fs, folder, owner, output, &state, file, lease).map_err(of)? {
                any_copied = true;
                opened.copied.push(was);
            }
        }
    }
    if any_copied {
        fs.sync_dir(&partials).map_err(|error| failed(&partials, "cannot be synced", error))?;
    }
    Ok(opened.into_iter().map(|(_, opened, ..)| opened).collect())
}

/// The files that a finished run has left open, for nobody has told of its end: they are finished as they were committed.
fn left(
    fs: &dyn Fs,
    folder: &Folder,
    source: &str,
    last: &Parts,
    own: &[&str],
    lease: &Lease,
) -> Result<Vec<Finished>> {
    let mut last = last.clone();
    // The others have their names.
    last.open.retain(|open| own.contains(&open.file.file.as_str()));
    let (mut outputs, found) = reopen(fs, folder, source, &last, lease)?;
    if !found.is_empty() {
        lease.check()?;
    }
    let mut finished = Vec::new();
    for (output, (state, file)) in outputs.iter_mut().zip(found) {
        take_up(fs, folder, (source, &last.start), output, &state, file, lease)?;
        let name = folder.namer.name(source, &last.start, output.part.number, &output.part.key);
        let FileState { file: partial, length, tail, .. } = output.state();
        finished.push(Finished { partial, name, length, tail });
    }
    Ok(finished)
}

type Found = Vec<(PartState, Box<dyn FsFile>)>;

/// Opens the files that were not finished.
fn reopen(
    fs: &dyn Fs,
    folder: &Folder,
    source: &str,
    state: &Parts,
    lease: &Lease,
) -> Result<(Vec<Output>, Found)> {
    let (mut outputs, mut found) = (Vec::new(), Vec::new());
    for open in &state.open {
        let path = folder.dir.join(PARTIALS).join(&open.file.file);
        let is_own = folder.namer.partial_of(&open.file.file).is_some_and(|(owner, _)| owner == source);
        if open.file.file.contains(['/', '\\']) || !is_own {
            let why = "the checkpoint names a file that is not one of this source's";
            return Err(damaged(&path, why.into()));
        }
        match fs.open(&path, OpenMode::Existing) {
            Ok(file) => {
                let mut output = Output::missing(path, folder.compression, lease.term());
                output.part = Part::of(open);
                outputs.push(output);
                found.push((open.clone(), file));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && open.file.length == 0 => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let why = format!("the file is gone; {} bytes of it were committed", open.file.length);
                return Err(damaged(&path, why));
            }
            Err(error) => return Err(failed(&path, "cannot be opened", error)),
        }
    }
    Ok((outputs, found))
}

/// Checks an open file and cuts it back to what was committed, or copies that. Gives whether it has copied.
fn take_up(
    fs: &dyn Fs,
    folder: &Folder,
    (source, start): (&str, &str),
    output: &mut Output,
    state: &PartState,
    file: Box<dyn FsFile>,
    lease: &Lease,
) -> Result<bool> {
    let (length, tail) = check(&*file, &state.file, &output.path)?;
    output.end = End { length: state.file.length, tail };
    if state.file.term != lease.term() {
        let name = folder.namer.partial(source, start, output.part.number, lease.term());
        output.path = folder.dir.join(PARTIALS).join(name);
        let copied = copy(fs, &output.path, Some((file, state.file.length)));
        let copied = copied.map_err(|error| failed(&output.path, "cannot be written", error))?;
        output.file = OutputFile::new(copied);
        return Ok(true);
    }
    if length > state.file.length {
        let cut = file.truncate(state.file.length).and_then(|()| file.sync());
        cut.map_err(|error| failed(&output.path, "cannot be cut back to what was committed", error))?;
    }
    output.file = OutputFile::new(file);
    Ok(false)
}

/// `20260517T100000Z`, with `-2` and so on behind it if the run before began in the same second, or later by a clock that was
/// set back since.
fn start(started_at: SystemTime, last: Option<&str>) -> String {
    let started_at: DateTime<Utc> = started_at.into();
    let time = started_at.format("%Y%m%dT%H%M%SZ").to_string();
    let Some(last) = last else { return time };
    let (last, count) = last.split_once('-').unwrap_or((last, "1"));
    if last < time.as_str() {
        return time;
    }
    format!("{last}-{}", count.parse::<u64>().unwrap_or(1).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_finished_run_has_left_open_is_finished_by_the_next_one() {
        use std::sync::Arc;

        use crate::fs::Disk;
        use crate::page::Page;
        use crate::records::Batch;
        use crate::request::Position;
        use crate::sink::files::Files;
        use crate::sink::jsonl::Lines;
        use crate::sink::{Committed, Opening};

        let dir = tempfile::tempdir().unwrap();
        let sink = || {
            let mut sink = Files::new(Lines, Arc::new(Disk), dir.path().to_owned());
            sink.layout.limits.rows = Some(10);
            sink
        };
        let (mut first, mut second) = (sink(), sink());
        let lease = first.checkpoints().lock().await.unwrap();
        let started_at = SystemTime::UNIX_EPOCH;
        let opening = |committed| Opening { source: "s", label: "s", started_at, committed, lease: &lease };
        first.open(opening(Committed::Nothing)).await.unwrap();
        let page = Page::new("[1,2]", 1, Position::Start, None).unwrap();
        first.write("s", &Batch::new(page, "").unwrap()).await.unwrap();
        // A sink around it has kept the end to itself.
        let states = first.begin_commit().await.unwrap().await.unwrap();
        first.close().await.unwrap();
        second.open(opening(Committed::Finished(&states[0].1))).await.unwrap();
        let text = std::fs::read_to_string(dir.path().join("s_19700101T000000Z_00001.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert_eq!(Disk.names(&dir.path().join(PARTIALS)).unwrap(), [] as [&str; 0]);
    }

    #[test]
    fn two_runs_of_one_second_have_names_of_their_own() {
        let at = SystemTime::UNIX_EPOCH;
        let first = start(at, None);
        let second = start(at, Some(&first));
        let third = start(at, Some(&second));
        assert_eq!(
            [&*first, &*second, &*third],
            ["19700101T000000Z", "19700101T000000Z-2", "19700101T000000Z-3"]
        );
        let later = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        assert_eq!(start(later, Some(&third)), "19700101T000001Z");
        assert_eq!(start(at, Some("19700101T000001Z")), "19700101T000001Z-2", "the clock was set back");
    }
}
