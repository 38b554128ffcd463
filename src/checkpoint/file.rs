//! Checkpoints in files: one for each source, replaced as a whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;

use super::format::{decode, encode};
use super::{Checkpoint, CheckpointStore, Lease, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Disk, Fs, FsFile, OpenMode, blocking};

/// Checkpoints in a folder: `{dir}/{source}.{epoch}.checkpoint`, readable by their owner only.
///
/// A checkpoint is replaced in four steps, so that a crash at any instant leaves the old one or the new
/// one, whole: write a temporary file, sync it, rename it, sync the folder.
///
/// `{dir}/lock` keeps a second run out while the first lives; the system gives it up when the process ends,
/// however it ends. A run that hangs is [taken over](CheckpointStore::take_over): `{dir}/lock.1` then counts.
/// The epoch in the name of a checkpoint keeps an overtaken run from doing harm: whatever it may write,
/// whenever it wakes, has the name of its own epoch, and only the highest one counts.
#[derive(Debug, Clone)]
pub struct FileStore {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
}

impl FileStore {
    /// Keeps the checkpoints in this folder, which is made if need be.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(Disk), dir)
    }

    /// Keeps them on another file system.
    pub fn on(fs: Arc<dyn Fs>, dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), fs }
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Fs) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        blocking(&self.fs, work).await.map_err(lost)?
    }

    async fn take(&self, take: fn(&Arc<dyn Fs>, &Path, &str) -> Result<Lease>) -> Result<Lease> {
        let (fs, dir) = (self.fs.clone(), self.dir.clone());
        let holder = format!("process {} since {}", std::process::id(), now());
        self.work(move |_| take(&fs, &dir, &holder)).await
    }
}

fn lost(error: io::Error) -> Error {
    Error::new(ErrorKind::Checkpoint, "the checkpoint could not be reached").because(error)
}

/// So many temporary files are open at once.
const OPEN: usize = 64;

const EXTENSION: &str = ".checkpoint";

fn path_of(dir: &Path, source: &str, epoch: u64) -> PathBuf {
    dir.join(format!("{source}.{epoch}{EXTENSION}"))
}

/// The source and the epoch that a file name says.
fn parts_of(name: &str) -> Option<(&str, u64)> {
    let (source, epoch) = name.strip_suffix(EXTENSION)?.rsplit_once('.')?;
    let number = epoch.parse().ok()?;
    // `007` is not a name that was given here.
    (epoch == u64::to_string(&number)).then_some((source, number))
}

/// The epochs of which there are checkpoints, source by source, lowest first.
fn epochs(fs: &dyn Fs, dir: &Path) -> Result<BTreeMap<String, Vec<u64>>> {
    let names = fs.names(dir).map_err(|error| {
        Error::new(ErrorKind::Checkpoint, format!("{} cannot be listed", dir.display())).because(error)
    })?;
    let mut epochs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (source, epoch) in names.iter().filter_map(|name| parts_of(name)) {
        epochs.entry(source.to_owned()).or_default().push(epoch);
    }
    epochs.values_mut().for_each(|epochs| epochs.sort_unstable());
    Ok(epochs)
}

fn load(fs: &dyn Fs, dir: &Path, source: &str) -> Result<Option<Checkpoint>> {
    match epochs(fs, dir)?.get(source).and_then(|epochs| epochs.last()) {
        Some(epoch) => read(fs, dir, source, *epoch).map(Some),
        None => Ok(None),
    }
}

fn read(fs: &dyn Fs, dir: &Path, source: &str, epoch: u64) -> Result<Checkpoint> {
    let path = path_of(dir, source, epoch);
    let unusable = |why: String| {
        Error::new(ErrorKind::Checkpoint, format!("{}: {why}", path.display()))
            .advice(
                "nothing was changed; restore the file from a backup, or move it and the data files of this source \
                 away to start afresh",
            )
            .at(|context| context.source = Some(source.into()))
    };
    let bytes = fs.read(&path).map_err(|error| unusable("cannot be read".into()).because(error))?;
    let checkpoint = decode(&bytes).map_err(unusable)?;
    if checkpoint.source != source || checkpoint.epoch != epoch {
        return Err(unusable(format!("it is of {:?}, epoch {}", checkpoint.source, checkpoint.epoch)));
    }
    Ok(checkpoint)
}

/// Replaces the checkpoints of a commit: all files first, then all names, then the folder once.
fn save(fs: &dyn Fs, lease: &Lease, dir: &Path, checkpoints: &[Checkpoint]) -> Result<()> {
    let known = epochs(fs, dir)?;
    let mut outdated = Vec::new();
    for next in checkpoints {
        let Some(epochs) = known.get(&next.source) else { continue };
        if let Some(last) = epochs.last() {
            read(fs, dir, &next.source, *last)?.check_successor(next)?;
        }
        let older = epochs.iter().filter(|epoch| **epoch < next.epoch);
        outdated.extend(older.map(|epoch| path_of(dir, &next.source, *epoch)));
    }
    let place = |checkpoint: &Checkpoint, path: &Path, error| {
        Error::new(ErrorKind::Checkpoint, format!("{} cannot be written", path.display()))
            .because(error)
            .at(|context| context.source = Some(checkpoint.source.as_str().into()))
    };
    let named = |checkpoint: &Checkpoint| path_of(dir, &checkpoint.source, checkpoint.epoch);
    let temporary = |checkpoint: &Checkpoint| named(checkpoint).with_extension("checkpoint.tmp");
    for some in checkpoints.chunks(OPEN) {
        let mut files = Vec::with_capacity(some.len());
        for checkpoint in some {
            let path = temporary(checkpoint);
            files.push(write(fs, &path, checkpoint).map_err(|error| place(checkpoint, &path, error))?);
        }
        let files = files.iter_mut().map(|file| &mut **file as &mut dyn FsFile).collect();
        fs.sync_all(files).map_err(|(index, error)| match some.get(index) {
            Some(checkpoint) => place(checkpoint, &temporary(checkpoint), error),
            None => lost(error),
        })?;
    }
    for checkpoint in checkpoints {
        let path = named(checkpoint);
        fs.rename(&temporary(checkpoint), &path).map_err(|error| place(checkpoint, &path, error))?;
    }
    let synced = if checkpoints.is_empty() { Ok(()) } else { fs.sync_dir(dir) };
    synced.map_err(|error| {
        Error::new(ErrorKind::Checkpoint, format!("{} cannot be synced", dir.display())).because(error)
    })?;
    // Behind the step that it guards: whoever takes over from here on reads what was stored.
    lease.check()?;
    for path in outdated {
        // They do not count any more, so it does not matter if one stays.
        if let Err(error) = fs.remove(&path) {
            tracing::debug!(path = %path.display(), %error, "an outdated checkpoint stays");
        }
    }
    Ok(())
}

/// Writes a checkpoint; the file is still to be synced.
fn write(fs: &dyn Fs, path: &Path, checkpoint: &Checkpoint) -> io::Result<Box<dyn FsFile>> {
    let bytes = encode(checkpoint).map_err(io::Error::other)?;
    let mut file = fs.open(path, OpenMode::Private)?;
    file.append(&bytes)?;
    Ok(file)
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
        Box::pin(self.work(move |fs| load(fs, &dir, &source)))
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        // The lease goes along: what is still being stored when a run is dropped keeps the next one out.
        let (lease, dir, checkpoints) = (lease.clone(), self.dir.clone(), checkpoints.to_vec());
        Box::pin(self.work(move |fs| save(fs, &lease, &dir, &checkpoints)))
    }
}

fn now() -> String {
    chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string()
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
        write(&Disk, &path_of(dir.path(), "invoices", 9), &of_epoch(9)).unwrap();
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
        assert_eq!(parts_of("a.3.7.checkpoint"), Some(("a.3", 7)));
        for other in ["a.checkpoint", "a.07.checkpoint", "a.+7.checkpoint", "a.7.checkpoint.tmp"] {
            assert_eq!(parts_of(other), None, "{other}");
        }
    }
}
