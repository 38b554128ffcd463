//! What a power loss may leave: every part of what was not durable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Change, Image, Inode};

/// Everything that a power loss at one instant may leave.
#[derive(Debug, Clone)]
pub struct Crash {
    contents: BTreeMap<Inode, Vec<u8>>,
    names: BTreeMap<PathBuf, Inode>,
    /// What was not durable, in the order of the calls.
    pending: Vec<Change>,
}

impl Crash {
    pub(super) fn after(base: &Image, log: &[Change]) -> Self {
        let mut crash = Self { contents: BTreeMap::new(), names: BTreeMap::new(), pending: Vec::new() };
        for (inode, (path, bytes)) in base.0.iter().enumerate() {
            crash.names.insert(path.clone(), inode);
            crash.contents.insert(inode, bytes.clone());
        }
        for change in log {
            match change {
                Change::Sync { inode } => crash.settle(|change| change.inode() == Some(*inode)),
                Change::SyncDir { dir } => crash.settle(|change| change.dir() == Some(dir)),
                other => crash.pending.push(other.clone()),
            }
        }
        crash
    }

    /// Makes the chosen changes durable.
    fn settle(&mut self, chosen: impl Fn(&Change) -> bool) {
        for change in std::mem::take(&mut self.pending) {
            if chosen(&change) {
                apply(&change, WHOLE, &mut self.contents, &mut self.names);
            } else {
                self.pending.push(change);
            }
        }
    }

    /// How many states there are.
    pub fn count(&self) -> u128 {
        self.pending.iter().fold(1, |count: u128, change| count.saturating_mul(change.fates()))
    }

    /// The state of this number, below [`Crash::count`].
    pub fn state(&self, mut number: u128) -> Image {
        let (mut contents, mut names) = (self.contents.clone(), self.names.clone());
        for change in &self.pending {
            let fates = change.fates();
            apply(change, number % fates, &mut contents, &mut names);
            number /= fates;
        }
        let bytes = |inode: &Inode| contents.get(inode).cloned().unwrap_or_default();
        Image(names.iter().map(|(path, inode)| (path.clone(), bytes(inode))).collect())
    }

    /// All states, one by one.
    pub fn all(&self) -> impl Iterator<Item = Image> {
        (0..self.count()).map(|number| self.state(number))
    }

    /// A state by chance.
    pub fn sample(&self, random: &mut fastrand::Rng) -> Image {
        self.state(random.u128(0..self.count()))
    }
}

const LOST: u128 = 0;
const WHOLE: u128 = 1;
const HALF: u128 = 2;
// Anything above: the length is there, the bytes are not.

impl Change {
    /// What can become of it.
    fn fates(&self) -> u128 {
        if matches!(self, Self::Write { .. }) { 4 } else { 2 }
    }

    fn inode(&self) -> Option<Inode> {
        match self {
            Self::Write { inode, .. } | Self::Truncate { inode, .. } => Some(*inode),
            _ => None,
        }
    }

    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Create { path, .. } | Self::Remove { path } | Self::Rename { to: path, .. } => {
                path.parent()
            }
            _ => None,
        }
    }
}

fn apply(
    change: &Change,
    fate: u128,
    contents: &mut BTreeMap<Inode, Vec<u8>>,
    names: &mut BTreeMap<PathBuf, Inode>,
) {
    if fate == LOST {
        return;
    }
    match change {
        Change::Write { inode, offset, bytes } => {
            let content = contents.entry(*inode).or_default();
            let (kept, length) = match fate {
                WHOLE => (bytes.len(), bytes.len()),
                HALF => (bytes.len() / 2, bytes.len() / 2),
                _ => (0, bytes.len()),
            };
            if content.len() < offset + length {
                content.resize(offset + length, 0);
            }
            content[*offset..offset + kept].copy_from_slice(&bytes[..kept]);
        }
        Change::Truncate { inode, length } => contents.entry(*inode).or_default().resize(*length, 0),
        Change::Create { path, inode } => {
            contents.entry(*inode).or_default();
            names.insert(path.clone(), *inode);
        }
        Change::Rename { from, to, inode } => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
        Change::Remove { path } => {
            names.remove(path);
        }
        Change::Sync { .. } | Change::SyncDir { .. } => {}
    }
}
