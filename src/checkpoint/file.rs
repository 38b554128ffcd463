//! Checkpoints in files: one for each source, replaced as a whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;

use super::format::{decode, encode};
use super::{Checkpoint, CheckpointStore, Lease};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Disk, Fs, Locked, OpenMode, blocking};

/// Checkpoints in a folder: `{dir}/{source}.checkpoint`, readable by their owner only.
///
/// A checkpoint is replaced in four steps, so that a crash at any instant leaves the old one or the new
/// one, whole: write a temporary file, sync it, rename it, sync the folder. `{dir}/lock` keeps a second run
/// out while the first lives; the system gives it up when the process ends, however it ends.
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

    fn path(&self, source: &str) -> PathBuf {
        self.dir.join(format!("{source}.checkpoint"))
    }

    async fn take_lock(&self) -> Result<Lease> {
        let (fs, dir) = (self.fs.clone(), self.dir.clone());
        let path = dir.join("lock");
        let holder = format!("process {} since {}", std::process::id(), now());
        let outcome = blocking(move || {
            fs.create_dir_all(&dir)?;
            fs.try_lock(&path, &holder)
        });
        match outcome.await.and_then(|outcome| outcome) {
            Ok(Locked::Held(held)) => Ok(Lease::new(held)),
            Ok(Locked::Busy(holder)) => {
                let holder = if holder.is_empty() {
                    "another process".into()
                } else {
                    holder.escape_debug().to_string()
                };
                let what = format!("{} is in use by {holder}", self.dir.display());
                Err(Error::new(ErrorKind::Locked, what).advice("wait for it to end, or use another folder"))
            }
            Err(error) => {
                let what = format!("the folder {} cannot be used for checkpoints", self.dir.display());
                Err(Error::new(ErrorKind::Checkpoint, what).because(error))
            }
        }
    }
}

fn load(fs: &dyn Fs, path: &Path, source: &str) -> Result<Option<Checkpoint>> {
    let place = |error: Error| error.at(|context| context.source = Some(source.into()));
    let unusable = |why: String| {
        let what = format!("{}: {why}", path.display());
        place(Error::new(ErrorKind::Checkpoint, what)).advice(
            "nothing was changed; restore the file from a backup, or move it and the data files of this source away \
             to start afresh",
        )
    };
    let bytes = match fs.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable("cannot be read".into()).because(error)),
    };
    let checkpoint = decode(&bytes).map_err(unusable)?;
    if checkpoint.source != source {
        return Err(unusable(format!("it is of the source {:?}", checkpoint.source)));
    }
    Ok(Some(checkpoint))
}

fn save(fs: &dyn Fs, dir: &Path, path: &Path, checkpoint: &Checkpoint) -> Result<()> {
    if let Some(stored) = load(fs, path, &checkpoint.source)? {
        stored.check_successor(checkpoint)?;
    }
    let replace = || {
        let temporary = path.with_extension("checkpoint.tmp");
        let bytes = encode(checkpoint).map_err(io::Error::other)?;
        let mut file = fs.open(&temporary, OpenMode::Private)?;
        file.append(&bytes)?;
        file.sync()?;
        drop(file);
        fs.rename(&temporary, path)?;
        fs.sync_dir(dir)
    };
    replace().map_err(|error| {
        Error::new(ErrorKind::Checkpoint, format!("{} cannot be written", path.display()))
            .because(error)
            .at(|context| context.source = Some(checkpoint.source.as_str().into()))
    })
}

impl CheckpointStore for FileStore {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(self.take_lock())
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        let (fs, path, source) = (self.fs.clone(), self.path(source), source.to_owned());
        Box::pin(async move { blocking(move || load(&*fs, &path, &source)).await.map_err(lost)? })
    }

    fn save<'a>(&'a self, checkpoint: &'a Checkpoint) -> BoxFuture<'a, Result<()>> {
        let (fs, dir, path) = (self.fs.clone(), self.dir.clone(), self.path(&checkpoint.source));
        let checkpoint = checkpoint.clone();
        Box::pin(async move { blocking(move || save(&*fs, &dir, &path, &checkpoint)).await.map_err(lost)? })
    }
}

fn now() -> String {
    chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn lost(error: io::Error) -> Error {
    Error::new(ErrorKind::Checkpoint, "the checkpoint could not be reached").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tests::sample;

    #[tokio::test]
    async fn what_was_saved_is_loaded_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path().join("a/b"));
        let _lease = store.lock().await.unwrap();
        assert_eq!(store.load("invoices").await.unwrap(), None);
        store.save(&sample()).await.unwrap();
        assert_eq!(store.load("invoices").await.unwrap(), Some(sample()));
        let mut older = sample();
        older.epoch = 2;
        assert_eq!(store.save(&older).await.unwrap_err().kind(), ErrorKind::Locked);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(store.path("invoices")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn garbage_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path());
        std::fs::write(store.path("invoices"), "garbage\n").unwrap();
        let error = store.load("invoices").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
        assert!(error.to_string().contains("invoices.checkpoint"), "{error}");
        // It is not overwritten either.
        assert_eq!(store.save(&sample()).await.unwrap_err().kind(), ErrorKind::Checkpoint);
    }

    #[tokio::test]
    async fn the_second_run_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path());
        let lease = store.lock().await.unwrap();
        let error = store.lock().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(lease);
        store.lock().await.unwrap();
    }
}
