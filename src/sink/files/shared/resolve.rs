//! What a crash has left: of the last commit, what counts stays and the rest goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::ledger::{Entry, Found, Owned, Snapshot, Span};
use super::rewrite::rewrite;
use crate::checkpoint::Lease;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Fs;
use crate::sink::files::compress::Compression;
use crate::sink::files::layout::Namer;
use crate::sink::files::output::Part;
use crate::sink::files::state::{FileState, Finished, PartState, Parts};

/// Where the files are, and how they are called.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) namer: Namer,
    pub(super) compression: Compression,
    /// What stands for the source in their names.
    pub(super) all: &'static str,
}

/// The sources that are opened, with the number of the commit that was the last for each; `None` without a checkpoint.
pub(super) type Opened = BTreeMap<String, Option<u64>>;

/// Decides what counts, from the checkpoints of the sources that are opened, and copies the parts that have to lose something
/// in their middle. What is of other sources stays, undecided. Changes no file that the ledger knows.
pub(super) fn resolve(
    fs: &dyn Fs,
    place: &Place,
    found: Found,
    opened: &Opened,
    lease: &Lease,
) -> Result<Snapshot> {
    let number = found.number();
    let Found { mut snapshot, last } = found;
    let (before, ended, last_owned) = match last {
        Some(Entry { parts, ended, owned, .. }) => {
            (std::mem::replace(&mut snapshot.parts, parts), ended, owned)
        }
        None => (snapshot.parts.clone(), Vec::new(), Vec::new()),
    };
    let (mut dropped, mut older): (Vec<Span>, Vec<Owned>) = (Vec::new(), Vec::new());
    let mut of_dropped = BTreeSet::new();
    let (undecided, is_last) = (std::mem::take(&mut snapshot.undecided), last_owned.len());
    let all = last_owned.iter().cloned().map(|one| (one, true));
    for (one, is_of_last) in all.chain(undecided.into_iter().map(|one| (one, false))) {
        match opened.get(&one.source) {
            None => snapshot.undecided.push(one),
            Some(commit) if commit.unwrap_or(0) >= one.commit => {
                snapshot.known.insert(one.source, one.commit);
            }
            Some(_) => {
                dropped.extend(&one.spans);
                of_dropped.insert(one.source.clone());
                if !is_of_last {
                    older.push(one);
                }
            }
        }
    }
    for (source, commit) in opened {
        look(place, &snapshot, number, source, *commit)?;
    }
    snapshot.number = number + 1;
    if dropped.is_empty() {
        return Ok(snapshot);
    }
    let is_whole_commit = is_last > 0 && last_owned.iter().all(|one| of_dropped.contains(&one.source));
    if is_whole_commit && older.is_empty() {
        snapshot.parts = before;
        return Ok(snapshot);
    }
    let mut cut = BTreeSet::new();
    let touched: BTreeSet<u64> = dropped.iter().map(|span| span.part).collect();
    for number in touched {
        let own = |spans: &[Owned]| -> Vec<Span> {
            spans.iter().flat_map(|one| one.spans.clone()).filter(|span| span.part == number).collect()
        };
        let dropped: Vec<Span> = dropped.iter().copied().filter(|span| span.part == number).collect();
        let of_last = own(&last_owned);
        let is_cut = own(&older).is_empty() && of_last.iter().all(|span| dropped.contains(span));
        let as_before = before.open.iter().find(|part| part.part == number);
        let now = snapshot.parts.open.iter().chain(&ended).find(|part| part.part == number).cloned();
        let Some(now) = now else { return Err(is_final(place, &older, number)) };
        let part = if is_cut {
            cut.insert(number);
            as_before.cloned()
        } else {
            let name = copied(place, &snapshot, number, lease);
            let undecided = own(&snapshot.undecided);
            let bases = undecided.iter().map(|span| span.base);
            let rewritten = rewrite(fs, &place.dir, place.compression, &now, name, dropped, bases)?;
            let spans = snapshot.undecided.iter_mut().flat_map(|one| &mut one.spans);
            for span in spans.filter(|span| span.part == number) {
                *span = rewritten.moved(*span);
            }
            rewritten.part
        };
        put(&mut snapshot.parts, &now, part);
    }
    for (part, is_cut) in take_earlier(&mut snapshot.parts, &ended, &cut) {
        // An open file is cut back when it is opened, a finished one never is.
        let part = match is_cut {
            true => {
                let name = copied(place, &snapshot, part.part, lease);
                rewrite(fs, &place.dir, place.compression, &part, name, Vec::new(), [])?.part
            }
            false => Some(part),
        };
        let Some(part) = part else { continue };
        let name = place.namer.name(place.all, &snapshot.parts.start, part.part, &Part::of(&part).key);
        let PartState { file: FileState { file: partial, length, tail, .. }, .. } = part;
        snapshot.parts.finished.push(Finished { partial, name, length, tail });
        snapshot.parts.count += 1;
    }
    Ok(snapshot)
}

/// The name and the term of a copy.
fn copied(place: &Place, snapshot: &Snapshot, part: u64, lease: &Lease) -> (String, u64) {
    let term = lease.term();
    (place.namer.rewritten(place.all, &snapshot.parts.start, part, term, snapshot.number), term)
}

/// Takes out the open parts that have a later one in the same folder, which are to be finished: what comes next must not stand before what is
/// there. Of each whether it was cut back.
fn take_earlier(parts: &mut Parts, ended: &[PartState], cut: &BTreeSet<u64>) -> Vec<(PartState, bool)> {
    let is_finished = |part: &&PartState| parts.finished.iter().any(|one| one.partial == part.file.file);
    let all: Vec<PartState> = parts.open.iter().chain(ended.iter().filter(is_finished)).cloned().collect();
    let is_earlier = |part: &PartState| {
        all.iter().any(|one| (&one.folder, &one.date) == (&part.folder, &part.date) && one.part > part.part)
    };
    let (earlier, open): (Vec<PartState>, _) =
        std::mem::take(&mut parts.open).into_iter().partition(is_earlier);
    parts.open = open;
    let is_cut = |part: &PartState| cut.contains(&part.part);
    earlier.into_iter().map(|part| (part.clone(), is_cut(&part))).collect()
}

/// Puts a part in the place of what it was: it is open again.
fn put(parts: &mut Parts, was: &PartState, part: Option<PartState>) {
    parts.open.retain(|open| open.part != was.part);
    let finished = parts.finished.len();
    parts.finished.retain(|one| one.partial != was.file.file);
    parts.count = parts.count.saturating_sub((finished - parts.finished.len()) as u64);
    parts.open.extend(part);
    parts.open.sort_by_key(|open| open.part);
}

/// Refuses a checkpoint that does not belong to what is there.
fn look(place: &Place, snapshot: &Snapshot, number: u64, source: &str, commit: Option<u64>) -> Result<()> {
    let known = snapshot.known.get(source).copied();
    let (dir, at) = (place.dir.display(), commit.unwrap_or(0));
    let refused = |what: String, advice: &'static str| {
        let name = source.into();
        Err(Error::new(ErrorKind::Checkpoint, what).advice(advice).at(|context| context.source = Some(name)))
    };
    if at > number {
        let what = format!(
            "the files in {dir} are older than the checkpoint: they end with commit {number}, and it is of {at}"
        );
        return refused(what, "restore the files, with the folder `.partial`; nothing was changed");
    }
    match known {
        Some(_) if commit.is_none() => refused(
            format!("{dir} has records of this source, but there is no checkpoint that knows them"),
            "restore the checkpoint, or give the source another name, or use another folder: a file of many sources cannot be \
             taken away for one of them",
        ),
        Some(known) if known > at => refused(
            format!(
                "the checkpoint is older than the files in {dir}: it is of commit {at}, and they have {known} of this source"
            ),
            "restore the last checkpoint, or use another folder: what came since would be there twice",
        ),
        _ => Ok(()),
    }
}

fn is_final(place: &Place, older: &[Owned], part: u64) -> Error {
    let owner = older.iter().find(|one| one.spans.iter().any(|span| span.part == part));
    let rows: u64 = owner.iter().flat_map(|one| &one.spans).map(|span| span.rows).sum();
    let what = format!(
        "a finished file in {} has {rows} records of this source that its checkpoint does not know: a run was broken off before \
         it was stored, and the next ones were without this source",
        place.dir.display()
    );
    Error::new(ErrorKind::Sink, what)
        .advice("use another folder for this source: from here they would be there twice, and a finished file never changes")
        .at(|context| context.source = owner.map(|one| one.source.as_str().into()))
}
