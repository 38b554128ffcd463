//! Checkpoints in files, replaced as a whole: one for each source, or one for many.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;

use super::folder::{Folder, path_of, path_of_many};
use super::format::encode;
use super::group::{self, Group};
use super::{Checkpoint, CheckpointStore, Lease, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Disk, Fs, FsFile, OpenMode, blocking};

/// Checkpoints in a folder, readable by their owner only: `{dir}/{source}.{epoch}.checkpoint`, and where many are
/// stored at once, [groups](Self::grouped_from) of them in `{dir}/{one of them}.{epoch}.checkpoints`.
///
/// A file is replaced in four steps, so that a crash at any instant leaves the old one or the new
/// one, whole: write a temporary file, sync it, rename it, sync the folder.
///
/// `{dir}/lock` keeps a second run out while the first lives; the system gives it up when the process ends,
/// however it ends. A run that hangs is [taken over](CheckpointStore::take_over): `{dir}/lock.1` then counts.
/// The epoch in the name of a file keeps an overtaken run from doing harm: whatever it may write,
/// whenever it wakes, has the name of its own epoch, and only the highest one counts.
#[derive(Debug, Clone)]
pub struct FileStore {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    grouped_from: usize,
}

impl FileStore {
    /// Keeps the checkpoints in this folder, which is made if need be.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(Disk), dir)
    }

    /// Keeps them on another file system.
    pub fn on(fs: Arc<dyn Fs>, dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), fs, grouped_from: 16 }
    }

    /// Stores checkpoints in groups, of up to 128 in one file, where at least so many are stored at once that are in
    /// none yet. The default is 16. To sync and replace a thousand files each second would keep a disk busy.
    ///
    /// ```
    /// use headwater::checkpoint::FileStore;
    /// let each_alone = FileStore::new("out/.headwater").grouped_from(usize::MAX);
    /// ```
    #[must_use]
    pub fn grouped_from(mut self, checkpoints: usize) -> Self {
        self.grouped_from = checkpoints;
        self
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Fs) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        blocking(&self.fs, work).await.map_err(lost)?
    }

    async fn take(&self, take: fn(&Arc<dyn Fs>, &Path, &str) -> Result<Lease>) -> Result<Lease> {
        let (fs, dir) = (self.fs.clone(), self.dir.clone());
        self.work(move |_| take(&fs, &dir, &lock::holder())).await
    }
}

fn lost(error: io::Error) -> Error {
    Error::new(ErrorKind::Checkpoint, "the checkpoint could not be reached").because(error)
}

/// So many temporary files are open at once.
const OPEN: usize = 64;

/// A file that is to be replaced.
#[derive(Clone, Copy)]
enum Replaced<'a> {
    Own(&'a Checkpoint),
    Group(&'a Group),
}

impl Replaced<'_> {
    fn path(self, dir: &Path) -> PathBuf {
        match self {
            Self::Own(checkpoint) => path_of(dir, &checkpoint.source, checkpoint.epoch),
            Self::Group(group) => path_of_many(dir, &group.founder, group.epoch),
        }
    }

    fn temporary(self, dir: &Path) -> PathBuf {
        let mut path = self.path(dir).into_os_string();
        path.push(".tmp");
        path.into()
    }

    /// Writes the temporary file, which is still to be synced.
    fn write(self, fs: &dyn Fs, dir: &Path) -> io::Result<Box<dyn FsFile>> {
        let bytes = match self {
            Self::Own(checkpoint) => encode(checkpoint).map_err(io::Error::other)?,
            Self::Group(group) => group.bytes(),
        };
        let file = fs.open(&self.temporary(dir), OpenMode::Private)?;
        file.append(&bytes)?;
        Ok(file)
    }

    fn failed(self, path: &Path, error: io::Error) -> Error {
        let failed =
            Error::new(ErrorKind::Checkpoint, format!("{} cannot be written", path.display())).because(error);
        match self {
            Self::Own(checkpoint) => {
                failed.at(|context| context.source = Some(checkpoint.source.as_str().into()))
            }
            Self::Group(_) => failed,
        }
    }
}

/// Replaces the checkpoints of a commit: all files first, then all names, then the folder once.
fn save(
    fs: &dyn Fs,
    lease: &Lease,
    dir: &Path,
    grouped_from: usize,
    checkpoints: &[Checkpoint],
) -> Result<()> {
    let mut folder = Folder::list(fs, dir)?;
    for next in checkpoints {
        if let Some(last) = folder.load(&next.source)? {
            last.check_successor(next)?;
        }
    }
    let mut changed = BTreeSet::new();
    let mut others: BTreeMap<u64, Vec<&Checkpoint>> = BTreeMap::new();
    let unwritten = |next: &Checkpoint, error| Replaced::Own(next).failed(dir, error);
    for next in checkpoints {
        match folder.group_of(&next.source, next.epoch) {
            Some(index) => {
                folder.groups[index].put(next).map_err(|error| unwritten(next, error))?;
                changed.insert(index);
            }
            None => others.entry(next.epoch).or_default().push(next),
        }
    }
    let mut outdated = Vec::new();
    let mut files = Vec::new();
    for (epoch, others) in others {
        if others.len() < grouped_from {
            for next in others {
                files.push(Replaced::Own(next));
                outdated
                    .extend(folder.own_below(&next.source, epoch).map(|own| path_of(dir, &next.source, own)));
            }
            continue;
        }
        for some in others.chunks(group::MOST) {
            let founder = &some[0].source;
            let known = folder.founded_by(founder, epoch);
            let index = known.unwrap_or_else(|| folder.add(Group::new(founder, epoch)));
            for next in some {
                folder.groups[index].put(next).map_err(|error| unwritten(next, error))?;
                // In a group, one of this epoch does not count either.
                let own = folder.own_below(&next.source, epoch.saturating_add(1));
                outdated.extend(own.map(|own| path_of(dir, &next.source, own)));
            }
            changed.insert(index);
        }
    }
    files.extend(changed.into_iter().map(|index| Replaced::Group(&folder.groups[index])));
    replace(fs, dir, &files)?;
    // Behind the step that it guards: whoever takes over from here on reads what was stored.
    lease.check()?;
    outdated.extend(folder.outdated_groups(checkpoints));
    for path in outdated {
        // They do not count any more, so it does not matter if one stays.
        if let Err(error) = fs.remove(&path) {
            tracing::debug!(path = %path.display(), %error, "an outdated checkpoint stays");
        }
    }
    Ok(())
}

fn replace(fs: &dyn Fs, dir: &Path, replaced: &[Replaced<'_>]) -> Result<()> {
    for some in replaced.chunks(OPEN) {
        let mut files = Vec::with_capacity(some.len());
        for one in some {
            files.push(one.write(fs, dir).map_err(|error| one.failed(&one.temporary(dir), error))?);
        }
        let files = files.iter().map(|file| &**file).collect();
        fs.sync_all(files).map_err(|(index, error)| match some.get(index) {
            Some(one) => one.failed(&one.temporary(dir), error),
            None => lost(error),
        })?;
    }
    for one in replaced {
        let path = one.path(dir);
        fs.rename(&one.temporary(dir), &path).map_err(|error| one.failed(&path, error))?;
    }
    let synced = if replaced.is_empty() { Ok(()) } else { fs.sync_dir(dir) };
    synced.map_err(|error| {
        Error::new(ErrorKind::Checkpoint, format!("{} cannot be synced", dir.display())).because(error)
    })
}

impl CheckpointStore for FileStore {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(self.take(lock::lock))
    }

    fn take_over(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(self.take(lock::take_over))
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        let (dir, source) = (self.dir.clone(), source.to_owned());
        Box::pin(self.work(move |fs| Folder::list(fs, &dir)?.load(&source)))
    }

    fn load_all<'a>(&'a self, sources: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Checkpoint>>>> {
        let sources: Vec<String> = sources.iter().map(|source| (*source).to_owned()).collect();
        let dir = self.dir.clone();
        Box::pin(self.work(move |fs| {
            let folder = Folder::list(fs, &dir)?;
            sources.iter().map(|source| folder.load(source)).collect()
        }))
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        // The lease goes along: what is still being stored when a run is dropped keeps the next one out.
        let (lease, dir, checkpoints) = (lease.clone(), self.dir.clone(), checkpoints.to_vec());
        let grouped_from = self.grouped_from;
        Box::pin(self.work(move |fs| save(fs, &lease, &dir, grouped_from, &checkpoints)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tests::sample;

    fn nobody() -> Lease {
        Lease::new(())
    }

    fn of_epoch(epoch: u64) -> Checkpoint {
        let mut checkpoint = sample();
        checkpoint.epoch = epoch;
        checkpoint
    }

    #[tokio::test]
    async fn what_was_saved_is_loaded_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path().join("a/b"));
        let _lease = store.lock().await.unwrap();
        assert_eq!(store.load("invoices").await.unwrap(), None);
        store.save(&nobody(), &[sample()]).await.unwrap();
        assert_eq!(store.load("invoices").await.unwrap(), Some(sample()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path_of(&store.dir, "invoices", 3)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn the_highest_epoch_counts_whatever_an_overtaken_run_writes() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path());
        store.save(&nobody(), &[of_epoch(9)]).await.unwrap();
        store.save(&nobody(), &[of_epoch(10)]).await.unwrap();
        assert!(!path_of(dir.path(), "invoices", 9).exists(), "the outdated one is taken away");
        assert_eq!(store.save(&nobody(), &[of_epoch(9)]).await.unwrap_err().kind(), ErrorKind::Locked);
        // As if it had been frozen between the look and the rename.
        std::fs::write(path_of(dir.path(), "invoices", 9), encode(&of_epoch(9)).unwrap()).unwrap();
        assert_eq!(store.load("invoices").await.unwrap(), Some(of_epoch(10)));
    }

    #[tokio::test]
    async fn garbage_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path());
        store.save(&nobody(), &[of_epoch(2)]).await.unwrap();
        std::fs::write(path_of(dir.path(), "invoices", 3), "garbage\n").unwrap();
        let error = store.load("invoices").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "and not the older one");
        assert!(error.to_string().contains("invoices.3.checkpoint"), "{error}");
        // It is not overwritten either.
        assert_eq!(store.save(&nobody(), &[of_epoch(3)]).await.unwrap_err().kind(), ErrorKind::Checkpoint);
    }

    #[tokio::test]
    async fn a_checkpoint_under_another_name_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path());
        store.save(&nobody(), &[of_epoch(3)]).await.unwrap();
        std::fs::rename(path_of(dir.path(), "invoices", 3), path_of(dir.path(), "orders", 3)).unwrap();
        assert_eq!(store.load("orders").await.unwrap_err().kind(), ErrorKind::Checkpoint);
    }

    fn many(epoch: u64, pages: u64) -> Vec<Checkpoint> {
        let of = |number| {
            let mut checkpoint = of_epoch(epoch);
            checkpoint.source = format!("s{number:03}");
            checkpoint.mark.pages = pages;
            checkpoint
        };
        (0..300).map(of).collect()
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names = Disk.names(dir).unwrap();
        names.sort();
        names
    }

    #[tokio::test]
    async fn many_checkpoints_share_few_files_and_each_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path());
        store.save(&nobody(), &many(3, 1)[..2]).await.unwrap();
        store.save(&nobody(), &many(3, 2)).await.unwrap();
        let grouped = ["s000.3.checkpoints", "s128.3.checkpoints", "s256.3.checkpoints"];
        assert_eq!(names(dir.path()), grouped, "their own files do not count any more, and are gone");
        // One that is in a group stays there, alone as it may come.
        store.save(&nobody(), &many(3, 5)[7..8]).await.unwrap();
        assert_eq!(names(dir.path()), grouped);
        let wanted: Vec<String> = (0..301).map(|number| format!("s{number:03}")).collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let loaded = store.load_all(&wanted).await.unwrap();
        let pages = |number: usize| loaded[number].as_ref().map(|checkpoint| checkpoint.mark.pages);
        assert_eq!((pages(0), pages(7), pages(299), pages(300)), (Some(2), Some(5), Some(2), None));
        assert_eq!(store.load("s007").await.unwrap(), loaded[7]);
        // As if power was lost before its own file was removed.
        std::fs::write(path_of(dir.path(), "s001", 3), encode(&many(3, 1)[1]).unwrap()).unwrap();
        assert_eq!(store.load("s001").await.unwrap(), loaded[1], "within an epoch the group counts");
        let error = store.save(&nobody(), &many(3, 4)[7..8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "nor does it go back in a group");
    }

    #[tokio::test]
    async fn a_group_stays_as_long_as_it_counts_for_anyone() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path()).grouped_from(2);
        store.save(&nobody(), &many(3, 1)[..3]).await.unwrap();
        store.save(&nobody(), &many(4, 1)[..2]).await.unwrap();
        assert_eq!(names(dir.path()), ["s000.3.checkpoints", "s000.4.checkpoints"]);
        assert_eq!(store.load("s002").await.unwrap().unwrap().epoch, 3);
        store.save(&nobody(), &many(5, 1)[2..3]).await.unwrap();
        assert_eq!(names(dir.path()), ["s000.4.checkpoints", "s002.5.checkpoint"]);
        assert_eq!(store.save(&nobody(), &many(3, 9)[..3]).await.unwrap_err().kind(), ErrorKind::Locked);
        assert_eq!(store.load("s001").await.unwrap().unwrap().epoch, 4);
    }

    #[tokio::test]
    async fn a_damaged_group_is_an_error_and_a_source_can_be_taken_out_of_it_by_hand() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path()).grouped_from(2);
        store.save(&nobody(), &many(3, 1)[..3]).await.unwrap();
        let path = dir.path().join("s000.3.checkpoints");
        let whole = std::fs::read_to_string(&path).unwrap();
        for damaged in ["", &whole[..whole.len() - 1], &whole.repeat(2), &whole.replace("s001", "s0x1")] {
            std::fs::write(&path, damaged).unwrap();
            for source in ["s001", "s0x1"] {
                assert!(store.load(source).await.is_err(), "{source} in {damaged:?}");
            }
        }
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        std::fs::write(&path, [&lines[..2], &lines[4..]].concat().concat()).unwrap();
        assert_eq!(store.load("s001").await.unwrap(), None);
        assert!(store.load("s000").await.unwrap().is_some() && store.load("s002").await.unwrap().is_some());
    }
}
