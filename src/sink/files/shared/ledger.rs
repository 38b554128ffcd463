//! What is in the files, and of whom: a log of the commits beside them.
//!
//! The checkpoints of one commit may be stored one by one, so a crash can leave some of them. Then of the last commit some
//! records count and some do not, and the files alone cannot say which. The ledger has a line for each commit: what the files
//! were then, and which bytes of them are whose. It is synced when the files are, and before any checkpoint is stored. A
//! checkpoint has nothing but the number of the commit that was the last for its source.
//!
//! A run writes a ledger of its own term, whole, before it writes anything else, and the one of the highest term counts: so a run
//! that was taken over writes into one that nobody reads.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Lease;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, FsFile, OpenMode};
use crate::sink::files::naming::remove;
use crate::sink::files::output::{failed, hash};
use crate::sink::files::state::{PartState, Parts};

const NAME: &str = "ledger.";

/// No part has this number.
const FINAL: u64 = 0;

/// Bytes of a part that were written for one source in one commit: as they are read, from where the text of that commit
/// begins in the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 5]", into = "[u64; 5]")]
pub(super) struct Span {
    pub(super) part: u64,
    /// Where the text of the commit begins: a length of the file.
    pub(super) base: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

impl From<[u64; 5]> for Span {
    fn from([part, base, offset, bytes, rows]: [u64; 5]) -> Self {
        Self { part, base, offset, bytes, rows }
    }
}

impl From<Span> for [u64; 5] {
    fn from(Span { part, base, offset, bytes, rows }: Span) -> Self {
        [part, base, offset, bytes, rows]
    }
}

/// What one commit has of a source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Owned {
    pub(super) source: String,
    pub(super) commit: u64,
    pub(super) spans: Vec<Span>,
}

/// All that is known behind a commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// The number of the commit.
    pub(super) number: u64,
    pub(super) parts: Parts,
    /// The last commit that is known to count for a source.
    pub(super) known: BTreeMap<String, u64>,
    /// What is there of sources that were not opened since: whether it counts only their checkpoints know.
    pub(super) undecided: Vec<Owned>,
}

/// One commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) parts: Parts,
    /// The parts that it has finished, as they would be if they were open.
    pub(super) ended: Vec<PartState>,
    pub(super) owned: Vec<Owned>,
}

impl Snapshot {
    /// The same with what the files are when they are open. In a new run the parts of the one before are finished for good, and
    /// their numbers are used again.
    pub(super) fn with(mut self, parts: Parts) -> Self {
        if parts.start != self.parts.start {
            let spans = self.undecided.iter_mut().flat_map(|owned| &mut owned.spans);
            spans.for_each(|span| span.part = FINAL);
        }
        Self { parts, ..self }
    }

    /// Takes in a commit that counts for all its sources.
    pub(super) fn take(&mut self, entry: Entry) {
        (self.number, self.parts) = (entry.number, entry.parts);
        for owned in entry.owned {
            self.known.insert(owned.source, owned.commit);
        }
    }
}

/// What a ledger says: all that is certain, and the last commit.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) snapshot: Snapshot,
    pub(super) last: Option<Entry>,
}

impl Found {
    pub(super) fn number(&self) -> u64 {
        self.last.as_ref().map_or(self.snapshot.number, |last| last.number)
    }
}

/// A line, with a hash of what it says.
pub(super) fn line(value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(value);
    let json =
        json.map_err(|error| Error::new(ErrorKind::Sink, "the ledger cannot be written").because(error))?;
    Ok(format!("{} {json}\n", hash(json.as_bytes())))
}

fn parsed<T: DeserializeOwned>(line: &str) -> Option<T> {
    let (sum, json) = line.strip_suffix('\n')?.split_once(' ')?;
    if sum != hash(json.as_bytes()) {
        return None;
    }
    serde_json::from_str(json).ok()
}

/// The terms that there are ledgers of.
fn terms(names: &[String]) -> impl Iterator<Item = u64> {
    names.iter().filter_map(|name| name.strip_prefix(NAME)?.parse().ok())
}

fn path_of(partials: &Path, term: u64) -> PathBuf {
    partials.join(format!("{NAME}{term}"))
}

/// Reads the ledger that counts.
pub(super) fn read(fs: &dyn Fs, partials: &Path, lease: &Lease) -> Result<Option<Found>> {
    let names = fs.names(partials).map_err(|error| failed(partials, "cannot be listed", error))?;
    let Some(term) = terms(&names).max() else { return Ok(None) };
    let path = path_of(partials, term);
    if term > lease.term() {
        lease.check()?;
        let what = format!("{} is of a later run than this one", path.display());
        return Err(Error::new(ErrorKind::Checkpoint, what)
            .advice("restore the checkpoints that belong to this folder, or use another folder"));
    }
    let bytes = fs.read(&path).map_err(|error| failed(&path, "cannot be read", error))?;
    let damaged = || {
        Error::new(ErrorKind::Checkpoint, format!("{} is damaged", path.display()))
            .advice("restore it, or move the whole folder away to pull all its sources afresh")
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
    let mut lines = text.split_inclusive('\n').peekable();
    let mut snapshot: Snapshot = lines.next().and_then(parsed).ok_or_else(damaged)?;
    let mut last: Option<Entry> = None;
    while let Some(line) = lines.next() {
        match parsed::<Entry>(line) {
            Some(entry) => {
                if let Some(last) = last.replace(entry) {
                    snapshot.take(last);
                }
            }
            // A crash has torn the last one: no checkpoint has its number.
            None if lines.peek().is_none() => {}
            None => return Err(damaged()),
        }
    }
    Ok(Some(Found { snapshot, last }))
}

/// Writes a ledger anew, in the place of the one of this term, and gives it, open.
pub(super) fn replace(fs: &dyn Fs, partials: &Path, term: u64, text: &str) -> Result<Box<dyn FsFile>> {
    let path = path_of(partials, term);
    let staged = partials.join(format!("{NAME}{term}.tmp"));
    let write = || -> io::Result<Box<dyn FsFile>> {
        let file = fs.open(&staged, OpenMode::Private)?;
        file.append(text.as_bytes())?;
        file.sync()?;
        fs.rename(&staged, &path)?;
        fs.sync_dir(partials)?;
        Ok(file)
    };
    write().map_err(|error| failed(&path, "cannot be written", error))
}

/// Appends a line, and makes it durable. So long was the ledger before.
pub(super) fn append(file: &dyn FsFile, partials: &Path, length: u64, line: &str) -> Result<()> {
    let write = |error| failed(partials, "cannot be written: its ledger", error);
    if file.length().map_err(write)? != length {
        let what = format!("the ledger in {} was changed by someone else", partials.display());
        return Err(Error::new(ErrorKind::Sink, what));
    }
    file.append(line.as_bytes()).and_then(|()| file.sync()).map_err(write)
}

/// Takes the ledgers of earlier terms away, which do not count any more.
pub(super) fn remove_earlier(fs: &dyn Fs, partials: &Path, term: u64) -> Result<()> {
    let names = fs.names(partials).map_err(|error| failed(partials, "cannot be listed", error))?;
    terms(&names)
        .filter(|earlier| *earlier < term)
        .try_for_each(|earlier| remove(fs, &path_of(partials, earlier)))
}
