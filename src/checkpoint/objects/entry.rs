//! What the log of a prefix says, entry by entry.
//!
//! Everything here is pure: an entry is applied to the [`View`] of those before it, and gives the next one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::Checkpoint;
use super::super::format::{decode, encode};

const FORMAT: u32 = 1;
/// The log is folded when there are so many entries behind the last fold, or so many objects in them.
const FOLDED_AT: (u64, usize) = (64, 4096);

/// An object that was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CommittedObject {
    /// The source whose records it has.
    pub source: String,
    /// The folder of the source's run: when that began, `20260517T100000Z`.
    pub folder: String,
    /// Its place among the objects of that folder, from 0; those with rejected records are counted with them.
    pub number: u64,
    /// Where it is, below the prefix.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// How many records it has.
    pub rows: u64,
    /// What the store says of its content, if it says anything.
    pub e_tag: Option<String>,
}

/// The objects of a commit, or all that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Completed {
    pub(crate) objects: Vec<CommittedObject>,
    /// Those with the records that did not fit.
    pub(crate) rejected: Vec<CommittedObject>,
}

impl Completed {
    pub(crate) fn len(&self) -> usize {
        self.objects.len() + self.rejected.len()
    }
}

/// The objects of a folder from this number on do not count any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Discarded {
    pub(crate) source: String,
    pub(crate) folder: String,
    pub(crate) from: u64,
}

/// Who may append to the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The entry that says so; it tells this holder from all others.
    pub(crate) number: u64,
    pub(crate) writer: String,
    pub(crate) term: u64,
    /// For people.
    pub(crate) name: String,
    /// How long it may be silent before it is taken for dead; 0 where it gives no sign of life.
    pub(crate) silence_millis: u64,
    pub(crate) is_released: bool,
}

/// What is appended at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) format: u32,
    pub(crate) number: u64,
    pub(crate) writer: String,
    pub(crate) written_at: String,
    /// From here on this one may append, and nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) holder: Option<Holder>,
    /// The objects that are committed with it.
    #[serde(default)]
    pub(crate) objects: Vec<CommittedObject>,
    /// Those with rejected records. They are no part of `objects`, so that nobody takes them for rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rejected: Vec<CommittedObject>,
    /// Comes before the objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) discarded: Vec<Discarded>,
    /// Each as in a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) checkpoints: Vec<String>,
}

/// How far the output of a source has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutputAt {
    pub(crate) folder: String,
    /// The number of the object that comes next.
    pub(crate) next: u64,
}

/// What an entry changes for readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    #[serde(default)]
    pub(crate) discarded: Vec<Discarded>,
    #[serde(default)]
    pub(crate) objects: Vec<CommittedObject>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rejected: Vec<CommittedObject>,
}

/// All that the entries up to a number come to, so that they need not be read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fold {
    pub(crate) format: u32,
    pub(crate) number: u64,
    /// The fold before it, or 0.
    pub(crate) previous: u64,
    holder: Option<Holder>,
    outputs: BTreeMap<String, OutputAt>,
    checkpoints: Vec<String>,
    /// Of the entries since the fold before it.
    pub(crate) changes: Vec<Change>,
}

/// What the log says up to an entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// The last entry; 0 where there is none.
    pub(crate) number: u64,
    /// The last fold; 0 where there is none.
    pub(crate) folded: u64,
    pub(crate) holder: Option<Holder>,
    pub(crate) outputs: BTreeMap<String, OutputAt>,
    pub(crate) checkpoints: BTreeMap<String, Box<Checkpoint>>,
    /// Of the entries since the last fold.
    changes: Vec<Change>,
    changed_objects: usize,
}

impl Entry {
    /// An entry with nothing in it.
    pub(crate) fn new(number: u64, writer: &str) -> Self {
        let written_at = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self { format: FORMAT, number, writer: writer.to_owned(), written_at, ..Self::default() }
    }

    /// Has these objects count.
    pub(crate) fn add(&mut self, completed: &Completed) {
        self.objects.clone_from(&completed.objects);
        self.rejected.clone_from(&completed.rejected);
    }

    /// Adds a checkpoint.
    pub(crate) fn put(&mut self, checkpoint: &Checkpoint) -> Result<(), String> {
        self.checkpoints.push(text_of(checkpoint)?);
        Ok(())
    }
}

fn text_of(checkpoint: &Checkpoint) -> Result<String, String> {
    let bytes = encode(checkpoint).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

fn known(format: u32) -> Result<(), String> {
    match format {
        FORMAT => Ok(()),
        other => Err(format!("its format version is {other}, and this headwater reads {FORMAT}")),
    }
}

/// Reads an entry, or says what is wrong with it.
pub(crate) fn read_entry(bytes: &[u8], number: u64) -> Result<Entry, String> {
    let entry: Entry =
        serde_json::from_slice(bytes).map_err(|error| format!("it cannot be read ({error})"))?;
    known(entry.format)?;
    if entry.number != number {
        return Err(format!("it says that it is number {}", entry.number));
    }
    Ok(entry)
}

/// Reads a fold, or says what is wrong with it.
pub(crate) fn read_fold(bytes: &[u8], number: u64) -> Result<Fold, String> {
    let fold: Fold = serde_json::from_slice(bytes).map_err(|error| format!("it cannot be read ({error})"))?;
    known(fold.format)?;
    if fold.number != number || fold.previous >= number {
        return Err(format!("it says that it is number {} behind {}", fold.number, fold.previous));
    }
    Ok(fold)
}

impl View {
    /// What stands in a fold.
    pub(crate) fn of(fold: Fold) -> Result<Self, String> {
        let mut view = Self {
            number: fold.number,
            folded: fold.number,
            holder: fold.holder,
            outputs: fold.outputs,
            ..Self::default()
        };
        view.take(&fold.checkpoints)?;
        Ok(view)
    }

    fn take(&mut self, checkpoints: &[String]) -> Result<(), String> {
        for text in checkpoints {
            let checkpoint =
                decode(text.as_bytes()).map_err(|why| format!("of a checkpoint in it: {why}"))?;
            self.checkpoints.insert(checkpoint.source.clone(), Box::new(checkpoint));
        }
        Ok(())
    }

    /// Takes the next entry in.
    pub(crate) fn apply(&mut self, entry: Entry) -> Result<(), String> {
        self.take(&entry.checkpoints)?;
        for discarded in &entry.discarded {
            let output = self.outputs.get_mut(&discarded.source);
            if let Some(output) = output.filter(|output| output.folder == discarded.folder) {
                output.next = output.next.min(discarded.from);
            }
        }
        for object in entry.objects.iter().chain(&entry.rejected) {
            let known = self.outputs.get(&object.source).filter(|known| known.folder == object.folder);
            let next = known.map_or(0, |known| known.next).max(object.number + 1);
            let at = OutputAt { folder: object.folder.clone(), next };
            self.outputs.insert(object.source.clone(), at);
        }
        if entry.holder.is_some() {
            self.holder = entry.holder;
        }
        self.number = entry.number;
        let Entry { discarded, objects, rejected, .. } = entry;
        let changed = discarded.len() + objects.len() + rejected.len();
        self.changed_objects += changed;
        if changed > 0 {
            self.changes.push(Change { discarded, objects, rejected });
        }
        Ok(())
    }

    /// Whether so much has come since the last fold that there should be one.
    pub(crate) fn is_due(&self) -> bool {
        self.number - self.folded >= FOLDED_AT.0 || self.changed_objects >= FOLDED_AT.1
    }

    /// What everything until now comes to. It says the same whoever makes it.
    pub(crate) fn fold(&self) -> Result<Fold, String> {
        let checkpoints = self.checkpoints.values().map(|checkpoint| text_of(checkpoint));
        Ok(Fold {
            format: FORMAT,
            number: self.number,
            previous: self.folded,
            holder: self.holder.clone(),
            outputs: self.outputs.clone(),
            checkpoints: checkpoints.collect::<Result<_, _>>()?,
            changes: self.changes.clone(),
        })
    }

    /// Notes that the fold of it is stored.
    pub(crate) fn folded(&mut self) {
        self.folded = self.number;
        self.changes.clear();
        self.changed_objects = 0;
    }

    /// What has come since the last fold.
    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}

/// The objects that count behind these changes, in the order in which they were committed.
pub(crate) fn committed(changes: impl IntoIterator<Item = Change>) -> Completed {
    let mut all = Completed::default();
    for change in changes {
        for gone in &change.discarded {
            let stays = |object: &CommittedObject| {
                object.source != gone.source || object.folder != gone.folder || object.number < gone.from
            };
            all.objects.retain(stays);
            all.rejected.retain(stays);
        }
        all.objects.extend(change.objects);
        all.rejected.extend(change.rejected);
    }
    all
}
