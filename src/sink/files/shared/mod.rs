//! Files that all sources share.
//!
//! For the files there is one source, which all records are written for. Its state is not in the checkpoints, which are those of many
//! sources and may be stored one by one: it is in the [ledger], and a checkpoint has the number of a commit in it. The order of
//! things:
//!
//! - *open*: the ledger says what the files were behind the last commit, and which bytes of that are whose. A
//!   commit has begun only when the checkpoints of the one before were stored, so all but the last count for sure. Of the last one what is of
//!   sources whose checkpoints know it stays, and what is of others that are opened goes: by cutting the files back if nothing
//!   of it stays, and else from a copy. What is of sources that are not opened stays, undecided until they are. A new ledger
//!   says so before any file is touched.
//! - *commit*: the files are synced, then the ledger, and only then are the checkpoints stored.
//!
//! A file gets its final name when all sources that are open are finished.

mod ledger;
mod resolve;
mod rewrite;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ledger::{Entry, Owned, Snapshot, Span, line};
use resolve::{Opened, Place, resolve};
use serde::{Deserialize, Serialize};

use super::naming::PARTIALS;
use super::output::failed;
use super::state::{self, PartState, Parts};
use super::{Files, Format};
use crate::checkpoint::{Lease, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, FsFile};
use crate::records::Batch;
use crate::sink::{Committed, Opening, SinkStates, unopened};

/// The one source that there is for the files.
pub(super) const ALL: &str = "all";
/// A ledger of so many bytes is written anew, with what still matters.
const LARGEST: u64 = 1024 * 1024;
/// When a commit has so many spans, there should be one.
const MOST_SPANS: usize = 64 * 1024;

/// What the sources have together.
#[derive(Debug)]
pub(super) struct Shared<E> {
    members: BTreeMap<Arc<str>, Member<E>>,
    snapshot: Snapshot,
    /// The last commit, which counts when the next one begins.
    last: Option<Entry>,
    ledger: Arc<Mutex<Box<dyn FsFile>>>,
    length: u64,
    /// What was written since the last commit began: for which source, and how much text of each part there is by now.
    spans: Vec<(Arc<str>, Span)>,
    texts: HashMap<u64, u64>,
}

/// A source.
#[derive(Debug)]
struct Member<E> {
    encoder: E,
    is_touched: bool,
    is_finished: bool,
    /// Whether a commit has told that it is finished.
    is_told: bool,
    is_settled: bool,
}

/// What the checkpoint of a source has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    commit: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    finished: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    settled: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What a commit has for the ledger.
pub(super) struct Ledgered {
    ledger: Arc<Mutex<Box<dyn FsFile>>>,
    partials: PathBuf,
    lease: Option<Lease>,
    /// How long it is.
    length: u64,
    line: String,
    /// The ledger as a whole, if it is written anew.
    whole: Option<String>,
}

impl Ledgered {
    /// Makes it durable, behind the files.
    pub(super) fn store(self, fs: &dyn Fs) -> Result<()> {
        let mut file = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.whole {
            None => ledger::append(&**file, &self.partials, self.length, &self.line),
            Some(text) => {
                let term = self.lease.as_ref().map_or(0, Lease::term);
                *file = ledger::replace(fs, &self.partials, term, text)?;
                Ok(())
            }
        }
    }
}

impl<F: Format> Files<F> {
    pub(super) async fn open_shared(&mut self, openings: &[Opening<'_>]) -> Result<Vec<SinkState>> {
        let Some(first) = openings.first() else { return Ok(Vec::new()) };
        if self.shared.is_some() {
            return openings.iter().map(|opening| self.join(opening)).collect();
        }
        let told: Vec<Option<Told>> = openings.iter().map(told).collect::<Result<_>>()?;
        let number = |told: &Option<Told>| told.as_ref().map(|told| told.commit);
        let opened: Opened = openings
            .iter()
            .zip(&told)
            .map(|(opening, told)| (opening.source.to_owned(), number(told)))
            .collect();
        let place = Place {
            dir: self.dir.clone(),
            namer: self.layout.namer(&self.ending())?,
            compression: self.layout.compression,
            all: ALL,
        };
        let partials = self.dir.join(PARTIALS);
        let lease = first.lease.clone();
        let goes_on = |opening: &Opening<'_>| matches!(opening.committed, Committed::Unfinished(_));
        let is_resumed = openings.iter().any(goes_on);
        let found = self.work({
            let (partials, opened) = (partials.clone(), opened.clone());
            move |fs| -> Result<Option<Snapshot>> {
                let make = |error| failed(&partials, "cannot be used as the output folder", error);
                fs.create_dir_all(&partials).map_err(make)?;
                let Some(found) = ledger::read(fs, &partials, &lease)? else { return Ok(None) };
                let snapshot = resolve(fs, &place, found, &opened, &lease)?;
                // First of all: what the files are cut back to is decided for good.
                ledger::replace(fs, &partials, lease.term(), &line(&snapshot)?)?;
                Ok(Some(snapshot))
            }
        });
        let found = found.await.unwrap_or_else(|error| Err(failed(&self.dir, "cannot be opened", error)))?;
        if let (None, true) = (&found, is_resumed) {
            let what = format!("the ledger of the files in {} is gone", partials.display());
            return Err(Error::new(ErrorKind::Checkpoint, what)
                .advice("restore the folder, or move it away as a whole, with the checkpoints, to pull all sources afresh"));
        }
        let before = found.as_ref().map(|found| state::stored(&found.parts)).transpose()?;
        let nothing = SinkState::default();
        let committed = match (&before, is_resumed) {
            (Some(state), true) => Committed::Unfinished(state),
            (Some(state), false) => Committed::Finished(state),
            // All that the finished run has left was taken away.
            (None, _) if told.iter().any(Option::is_some) => Committed::Finished(&nothing),
            (None, _) => Committed::Nothing,
        };
        let opening = Opening { source: ALL, label: ALL, committed, ..*first };
        let state = self.open_in_parts(&[opening], first.started_at, first.lease).await?;
        let state = state.first().ok_or_else(|| unopened(ALL))?;
        let parts: Parts = state::read(state)?;
        let known = told.iter().flatten().map(|told| told.commit).max().unwrap_or(0);
        let snapshot = match found {
            Some(found) => found.with(parts),
            None => Snapshot { number: known + 1, parts, known: BTreeMap::new(), undecided: Vec::new() },
        };
        let (text, lease) = (line(&snapshot)?, first.lease.clone());
        let length = text.len() as u64;
        let written = self.work(move |fs| {
            let file = ledger::replace(fs, &partials, lease.term(), &text)?;
            ledger::remove_earlier(fs, &partials, lease.term()).map(|()| file)
        });
        let file =
            written.await.unwrap_or_else(|error| Err(failed(&self.dir, "cannot be written", error)))?;
        self.shared = Some(Shared {
            members: BTreeMap::new(),
            snapshot,
            last: None,
            ledger: Arc::new(Mutex::new(file)),
            length,
            spans: Vec::new(),
            texts: HashMap::new(),
        });
        let states = openings.iter().map(|opening| self.join(opening)).collect::<Result<Vec<_>>>()?;
        self.finish_if_all_are();
        Ok(states)
    }

    /// Takes a source in, whose state stays what it was.
    fn join(&mut self, opening: &Opening<'_>) -> Result<SinkState> {
        let told = told(opening)?;
        let encoder = self.format.encoder(opening.source, opening.label, &serde_json::Value::Null)?;
        let shared = self.shared.as_mut().ok_or_else(|| unopened(opening.source))?;
        let commit = told.as_ref().map_or(0, |told| told.commit);
        let is_behind = |one: &Owned| one.source == opening.source && one.commit > commit;
        if shared.members.contains_key(opening.source) || shared.snapshot.undecided.iter().any(is_behind) {
            let what = "what was written for it cannot be taken out of files that others write to";
            return Err(
                Error::new(ErrorKind::Sink, what).at(|context| context.source = Some(opening.source.into()))
            );
        }
        let is_resumed = matches!(opening.committed, Committed::Unfinished(_));
        let is_finished = is_resumed && told.as_ref().is_some_and(|told| told.finished);
        let member =
            Member { encoder, is_touched: false, is_finished, is_told: is_finished, is_settled: false };
        shared.members.insert(opening.source.into(), member);
        state::stored(&Told { commit, finished: is_finished, settled: false })
    }

    pub(super) async fn write_shared(&mut self, source: &str, batch: &Batch) -> Result<()> {
        self.swap(source)?;
        let written = self.write_parts(ALL, batch).await;
        self.swap(source)?;
        written?;
        let noted = std::mem::take(&mut self.noted);
        let Some(shared) = &mut self.shared else { return Err(unopened(source)) };
        let Some((name, _)) = shared.members.get_key_value(source) else { return Err(unopened(source)) };
        let name = name.clone();
        if let Some(member) = shared.members.get_mut(source) {
            member.is_touched = true;
        }
        for (part, bytes, rows) in noted {
            let offset = shared.texts.entry(part).or_default();
            // The base is known when it is committed.
            let span = Span { part, base: 0, offset: *offset, bytes, rows };
            *offset += bytes;
            match shared.spans.last_mut() {
                Some((last, before)) if *last == name && before.part == part => {
                    (before.bytes, before.rows) = (before.bytes + bytes, before.rows + rows);
                }
                _ => shared.spans.push((name.clone(), span)),
            }
        }
        Ok(())
    }

    /// Puts the encoder of a source in the place of the one that the files have, or back.
    fn swap(&mut self, source: &str) -> Result<()> {
        let member = self.shared.as_mut().and_then(|shared| shared.members.get_mut(source));
        let (Some(member), Some(files)) = (member, self.sources.get_mut(ALL)) else {
            return Err(unopened(source));
        };
        std::mem::swap(&mut member.encoder, &mut files.encoder);
        Ok(())
    }

    pub(super) fn is_shared_full(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.spans.len() >= MOST_SPANS)
    }

    pub(super) fn finish_shared(&mut self, source: &str) {
        if let Some(member) = self.shared.as_mut().and_then(|shared| shared.members.get_mut(source)) {
            (member.is_finished, member.is_touched) = (true, true);
            self.finish_if_all_are();
        }
    }

    fn finish_if_all_are(&mut self) {
        let are_finished = |shared: &Shared<F::Encoder>| shared.members.values().all(|one| one.is_finished);
        if let (true, Some(files)) =
            (self.shared.as_ref().is_some_and(are_finished), self.sources.get_mut(ALL))
        {
            files.touched = true;
            files.outputs.iter_mut().for_each(|output| output.part.is_finished = true);
        }
    }

    /// Takes in what the files are behind this commit. Gives the states of the sources, and what the ledger is to have.
    pub(super) fn commit_shared(&mut self, states: SinkStates) -> Result<(SinkStates, Option<Ledgered>)> {
        let ended: Vec<PartState> =
            self.sources.get_mut(ALL).map(|files| std::mem::take(&mut files.ended)).unwrap_or_default();
        let (partials, lease) = (self.dir.join(PARTIALS), self.lease.clone());
        let Some(shared) = &mut self.shared else { return Ok((Vec::new(), None)) };
        // Its checkpoints are stored, or no other commit would begin.
        if let Some(last) = shared.last.take() {
            shared.snapshot.take(last);
        }
        let number = shared.snapshot.number + 1;
        let parts = match states.first() {
            Some((_, state)) => state::read(state)?,
            None => shared.snapshot.parts.clone(),
        };
        if let [finished] = parts.finished.as_slice() {
            self.placed = (parts.count == 1).then(|| self.dir.join(&finished.name));
        }
        let is_over = shared.members.values().all(|member| member.is_finished) && parts.finished.is_empty();
        let are_all = shared.members.values().all(|member| member.is_finished);
        let mut told = Vec::new();
        for (source, member) in &mut shared.members {
            if !(std::mem::take(&mut member.is_touched) || member.is_finished && !member.is_settled) {
                continue;
            }
            member.is_settled = member.is_told && (is_over || !are_all);
            member.is_told = member.is_finished;
            let state = Told { commit: number, finished: member.is_finished, settled: member.is_settled };
            told.push((source.clone(), state::stored(&state)?));
        }
        let mut owned: BTreeMap<Arc<str>, Vec<Span>> = BTreeMap::new();
        for (source, span) in std::mem::take(&mut shared.spans) {
            let before = shared.snapshot.parts.open.iter().find(|open| open.part == span.part);
            let base = before.map_or(0, |open| open.file.length);
            owned.entry(source).or_default().push(Span { base, ..span });
        }
        shared.texts.clear();
        if told.is_empty() && owned.is_empty() && parts == shared.snapshot.parts {
            return Ok((told, None));
        }
        let owned = owned.into_iter();
        let owned = owned
            .map(|(source, spans)| Owned { source: source.as_ref().to_owned(), commit: number, spans })
            .collect();
        let entry = Entry { number, parts, ended, owned };
        let line = line(&entry)?;
        let length = shared.length;
        let whole = match length + line.len() as u64 > LARGEST {
            true => Some(self::line(&shared.snapshot)? + &line),
            false => None,
        };
        shared.length = whole.as_ref().map_or(length + line.len() as u64, |whole| whole.len() as u64);
        shared.last = Some(entry);
        let ledger = shared.ledger.clone();
        Ok((told, Some(Ledgered { ledger, partials, lease, length, line, whole })))
    }
}

pub(super) fn is_settled(state: &SinkState) -> bool {
    // What cannot be read is of other files.
    state::read::<Told>(state).map_or(true, |told| !told.finished || told.settled)
}

/// What the checkpoint of a source says. One of other files says nothing, if it is that of a run which is finished.
fn told(opening: &Opening<'_>) -> Result<Option<Told>> {
    match opening.committed {
        Committed::Nothing => Ok(None),
        Committed::Finished(state) => Ok(state::read(state).ok()),
        Committed::Unfinished(state) => state::read(state).map(Some),
    }
}
