//! What a folder of checkpoints holds, and which of it counts.
//!
//! Of a source the highest epoch counts. Within an epoch that is the group that it is in, if it is in one: a source
//! may begin an epoch with a file of its own and go over into a group, never back.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use super::Checkpoint;
use super::format::decode;
use super::group::Group;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Fs;

const EXTENSION: &str = ".checkpoint";
const OF_MANY: &str = ".checkpoints";

/// What was there when it was listed.
#[derive(Debug)]
pub(super) struct Folder<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
    /// The epochs of which a source has a file of its own, lowest first.
    own: BTreeMap<String, Vec<u64>>,
    pub(super) groups: Vec<Group>,
    /// Those that were damaged when they were read.
    damaged: Vec<usize>,
    /// The groups that a source is in, the one of the highest epoch last.
    member: HashMap<String, Vec<usize>>,
}

impl<'a> Folder<'a> {
    /// Lists the folder, and reads who is in which group.
    pub(super) fn list(fs: &'a dyn Fs, dir: &'a Path) -> Result<Self> {
        let names = fs.names(dir).map_err(|error| {
            Error::new(ErrorKind::Checkpoint, format!("{} cannot be listed", dir.display())).because(error)
        })?;
        let mut folder = Self {
            fs,
            dir,
            own: BTreeMap::new(),
            groups: Vec::new(),
            damaged: Vec::new(),
            member: HashMap::new(),
        };
        let mut of_many = Vec::new();
        for name in &names {
            if let Some((source, epoch)) = parts_of(name, EXTENSION) {
                folder.own.entry(source.to_owned()).or_default().push(epoch);
            } else if let Some((founder, epoch)) = parts_of(name, OF_MANY) {
                of_many.push((epoch, founder));
            }
        }
        folder.own.values_mut().for_each(|epochs| epochs.sort_unstable());
        of_many.sort_unstable();
        for (epoch, founder) in of_many {
            let path = path_of_many(dir, founder, epoch);
            let bytes = match fs.read(&path) {
                Ok(bytes) => bytes,
                // A run that is on its way out has removed it: what counts was stored before, and is listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(unusable(&path, None, "cannot be read".into()).because(error)),
            };
            let group = Group::read(founder, epoch, &bytes).map_err(|why| unusable(&path, None, why))?;
            let is_damaged = group.is_damaged;
            let index = folder.add(group);
            folder.damaged.extend(is_damaged.then_some(index));
        }
        Ok(folder)
    }

    /// Adds a group. Its members are then in it.
    pub(super) fn add(&mut self, group: Group) -> usize {
        let index = self.groups.len();
        for source in group.sources() {
            self.member.entry(source.to_owned()).or_default().push(index);
        }
        self.groups.push(group);
        index
    }

    /// The group of this epoch that a source is in.
    pub(super) fn group_of(&self, source: &str, epoch: u64) -> Option<usize> {
        let index = *self.member.get(source)?.last()?;
        (self.groups[index].epoch == epoch).then_some(index)
    }

    /// The group of this epoch that has its name by a source: a new one must not take its place. The source itself was
    /// perhaps taken out of it, by hand.
    pub(super) fn founded_by(&self, source: &str, epoch: u64) -> Option<usize> {
        self.groups.iter().position(|group| group.founder == source && group.epoch == epoch)
    }

    /// The epochs below this one of which a source has a file of its own.
    pub(super) fn own_below(&self, source: &str, epoch: u64) -> impl Iterator<Item = u64> {
        let epochs = self.own.get(source).map(Vec::as_slice).unwrap_or_default();
        epochs.iter().copied().filter(move |own| *own < epoch)
    }

    /// The checkpoint of a source that counts.
    pub(super) fn load(&self, source: &str) -> Result<Option<Checkpoint>> {
        let own = self.own.get(source).and_then(|epochs| epochs.last().copied());
        let group = self.member.get(source).and_then(|indices| Some(&self.groups[*indices.last()?]));
        self.may_be_damaged(source, own, group.map(|group| group.epoch))?;
        let (path, epoch, decoded) = match (own, group) {
            (None, None) => return Ok(None),
            (own, Some(group)) if own.is_none_or(|own| own <= group.epoch) => {
                let path = path_of_many(self.dir, &group.founder, group.epoch);
                let Some(decoded) = group.get(source) else { return Ok(None) };
                (path, group.epoch, decoded)
            }
            (own, _) => {
                let epoch = own.unwrap_or_default();
                let path = path_of(self.dir, source, epoch);
                let bytes = self
                    .fs
                    .read(&path)
                    .map_err(|error| unusable(&path, Some(source), "cannot be read".into()).because(error))?;
                (path, epoch, decode(&bytes))
            }
        };
        let checkpoint = decoded.map_err(|why| unusable(&path, Some(source), why))?;
        if checkpoint.source != source || checkpoint.epoch != epoch {
            let why = format!("it is of {:?}, epoch {}", checkpoint.source, checkpoint.epoch);
            return Err(unusable(&path, Some(source), why));
        }
        Ok(Some(checkpoint))
    }

    /// Refuses what counts of a source, or that there is nothing, if a damaged checkpoint of a group may be the one that
    /// counts.
    fn may_be_damaged(&self, source: &str, own: Option<u64>, group: Option<u64>) -> Result<()> {
        let counts = |damaged: &Group| own > Some(damaged.epoch) || group >= Some(damaged.epoch);
        match self.damaged.iter().map(|index| &self.groups[*index]).find(|damaged| !counts(damaged)) {
            None => Ok(()),
            Some(damaged) => {
                let path = path_of_many(self.dir, &damaged.founder, damaged.epoch);
                let why = "a checkpoint in it is damaged, and may be that of this source";
                Err(unusable(&path, Some(source), why.into()))
            }
        }
    }

    /// The groups in which nobody is any more whose checkpoint counts, once these were stored.
    pub(super) fn outdated_groups(&self, stored: &[Checkpoint]) -> Vec<PathBuf> {
        let stored: HashMap<&str, u64> =
            stored.iter().map(|checkpoint| (checkpoint.source.as_str(), checkpoint.epoch)).collect();
        let newest = |source: &str| {
            let own = self.own.get(source).and_then(|epochs| epochs.last().copied());
            let group = self.member.get(source).and_then(|indices| Some(self.groups[*indices.last()?].epoch));
            own.max(group).max(stored.get(source).copied())
        };
        let is_outdated = |group: &&Group| {
            !group.is_damaged && group.sources().all(|source| newest(source) > Some(group.epoch))
        };
        let outdated = self.groups.iter().filter(is_outdated);
        outdated.map(|group| path_of_many(self.dir, &group.founder, group.epoch)).collect()
    }
}

fn unusable(path: &Path, source: Option<&str>, why: String) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("{}: {why}", path.display()))
        .advice(
            "nothing was changed; restore the file from a backup, or move it and the data files of its sources away \
             to start afresh",
        )
        .at(|context| context.source = source.map(Into::into))
}

/// The file of one source.
pub(super) fn path_of(dir: &Path, source: &str, epoch: u64) -> PathBuf {
    dir.join(format!("{source}.{epoch}{EXTENSION}"))
}

/// The file of a group.
pub(super) fn path_of_many(dir: &Path, founder: &str, epoch: u64) -> PathBuf {
    dir.join(format!("{founder}.{epoch}{OF_MANY}"))
}

/// The source and the epoch that a file name says.
fn parts_of<'a>(name: &'a str, extension: &str) -> Option<(&'a str, u64)> {
    let (source, epoch) = name.strip_suffix(extension)?.rsplit_once('.')?;
    let number = epoch.parse().ok()?;
    // `007` is not a name that was given here.
    (epoch == u64::to_string(&number)).then_some((source, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tests::sample;
    use crate::checkpoint::{CheckpointStore, FileStore, Lease};
    use crate::fs::Disk;

    #[test]
    fn a_name_says_the_source_and_the_epoch_and_other_names_say_nothing() {
        assert_eq!(parts_of("a.3.7.checkpoint", EXTENSION), Some(("a.3", 7)));
        assert_eq!(parts_of("a.3.7.checkpoints", OF_MANY), Some(("a.3", 7)));
        assert_eq!(parts_of("a.7.checkpoints", EXTENSION), None);
        for other in ["a.checkpoint", "a.07.checkpoint", "a.+7.checkpoint", "a.7.checkpoint.tmp"] {
            assert_eq!(parts_of(other, EXTENSION), None, "{other}");
        }
    }

    fn of(source: &str, epoch: u64) -> Checkpoint {
        Checkpoint { source: source.into(), epoch, ..sample() }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names = Disk.names(dir).unwrap();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_checkpoint_whose_source_cannot_be_trusted_is_not_taken_for_none() {
        let (dir, lease) = (tempfile::tempdir().unwrap(), Lease::new(()));
        let store = FileStore::new(dir.path()).grouped_from(2);
        store.save(&lease, &[of("a", 2), of("b", 2), of("c", 2)]).await.unwrap();
        store.save(&lease, &[of("c", 3)]).await.unwrap();
        let path = path_of_many(dir.path(), "a", 2);
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, whole.replace(r#""source":"b""#, r#""source":"x""#)).unwrap();
        for source in ["b", "x", "never_seen"] {
            let error = store.load(source).await.unwrap_err();
            assert!(error.to_string().contains("a.2.checkpoints"), "{source}: {error}");
        }
        // The others are what they were, and go on; what is damaged is kept as it is, to be mended.
        assert_eq!(store.load("a").await.unwrap(), Some(of("a", 2)));
        assert_eq!(store.load("c").await.unwrap(), Some(of("c", 3)));
        store.save(&lease, &[of("a", 4), of("c", 4)]).await.unwrap();
        assert_eq!(names(dir.path()), ["a.2.checkpoints", "a.4.checkpoints"]);
        let mended = std::fs::read_to_string(&path).unwrap().replace(r#""source":"x""#, r#""source":"b""#);
        std::fs::write(&path, mended).unwrap();
        assert_eq!(store.load("b").await.unwrap(), Some(of("b", 2)));
    }

    #[tokio::test]
    async fn who_was_taken_out_of_a_group_by_hand_does_not_take_its_place() {
        let (dir, lease) = (tempfile::tempdir().unwrap(), Lease::new(()));
        let store = FileStore::new(dir.path()).grouped_from(2);
        store.save(&lease, &[of("a", 1), of("b", 1), of("c", 1)]).await.unwrap();
        let path = path_of_many(dir.path(), "a", 1);
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, whole.split_inclusive('\n').skip(2).collect::<String>()).unwrap();
        assert_eq!(store.load("a").await.unwrap(), None);
        // A run of it and of others begins anew, and counts its epochs anew.
        store.save(&lease, &[of("a", 1), of("d", 1)]).await.unwrap();
        for source in ["a", "b", "c", "d"] {
            assert_eq!(store.load(source).await.unwrap(), Some(of(source, 1)));
        }
    }
}
