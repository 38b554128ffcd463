//! The few things that the durable parts ask of a file system.
//!
//! All file work goes through [`Fs`], so that a test can put a file system under it that fails on order, or
//! that loses whatever was not synced. [`Disk`] is the real one.

mod at_once;
mod disk;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub(crate) use at_once::each;
pub use disk::Disk;
use tokio::task::JoinHandle;

/// A file system.
///
/// What makes a change durable is spelled out, call by call: bytes by [`FsFile::sync`], a name by
/// [`Fs::sync_dir`] of the folder that it stands in.
pub trait Fs: fmt::Debug + Send + Sync + 'static {
    /// Makes a folder and those above it, all of them durable. Fine if it is there.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Opens a file.
    ///
    /// # Errors
    /// `AlreadyExists` or `NotFound` against the mode, or what the system says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>>;

    /// Reads a whole file.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Gives a file another name, in the place of whatever had it. Durable after [`Fs::sync_dir`].
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, which must not be taken. Durable after [`Fs::sync_dir`]. The default cannot.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, `Unsupported` if a file has one name here, or what the system says.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes a name away. Durable after [`Fs::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says. The call must not be repeated: after a failed sync nothing is known.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes several files durable, as [`FsFile::sync`] does each. The default is one after the other; a disk that can
    /// does several at once.
    ///
    /// # Errors
    /// What the system says of a file, and which of them it is.
    fn sync_all(&self, files: Vec<&dyn FsFile>) -> Result<(), (usize, io::Error)> {
        files
            .into_iter()
            .enumerate()
            .try_for_each(|(index, file)| file.sync().map_err(|error| (index, error)))
    }

    /// The names in a folder; none if the folder is not there.
    ///
    /// # Errors
    /// What the system says.
    fn names(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Takes an exclusive lock on a file, which is made if need be, and writes `holder` into it. It is held
    /// until the value is dropped or the process ends.
    ///
    /// # Errors
    /// What the system says.
    fn try_lock(&self, path: &Path, holder: &str) -> io::Result<Locked>;

    /// Whether calls may take long, so that they belong on a thread of their own. A file system in memory
    /// says no; its calls are then made in place, which keeps tests in one order.
    fn blocks(&self) -> bool {
        true
    }
}

/// What to do about a failure that is none of the program's.
pub(crate) fn advice(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Some(
            "it was made while the run went on, and is never overwritten; if two sinks write into one folder, give each its own",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room, and run it again: it goes on from the last commit")
        }
        // EMFILE; the kind has no stable name.
        _ if cfg!(unix) && error.raw_os_error() == Some(24) => Some(
            "raise the limit of open files (`ulimit -n`), or write to fewer folders and outputs at a time",
        ),
        _ => None,
    }
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// It must not be there yet.
    New,
    /// It must be there.
    Existing,
    /// Made anew, empty, and readable by its owner only.
    Private,
}

/// An open file. One thing at a time is written to it, and it may be synced meanwhile.
pub trait FsFile: fmt::Debug + Send + Sync {
    /// Writes at the end, all of it.
    ///
    /// # Errors
    /// What the system says; some of the bytes may have been written.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the bytes and the length durable, as they were when it was called or later.
    ///
    /// # Errors
    /// What the system says. The call must not be repeated: after a failed sync nothing is known.
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self) -> io::Result<u64>;

    /// Cuts the file to a length.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Reads up to `length` bytes from a place.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

/// The outcome of [`Fs::try_lock`].
#[derive(Debug)]
pub enum Locked {
    /// The lock is ours until this is dropped.
    Held(Box<dyn fmt::Debug + Send + Sync>),
    /// Another has it; what it wrote into the file.
    Busy(String),
}

/// File work that was begun.
#[derive(Debug)]
pub(crate) enum Work<T> {
    Over(T),
    Running(JoinHandle<T>),
}

impl<T: Send + 'static> Work<T> {
    /// Begins it where it may block. It goes on when this is dropped.
    pub(crate) fn begin(fs: &Arc<dyn Fs>, work: impl FnOnce(&dyn Fs) -> T + Send + 'static) -> Self {
        if !fs.blocks() {
            return Self::Over(work(&**fs));
        }
        let fs = fs.clone();
        Self::Running(tokio::task::spawn_blocking(move || work(&*fs)))
    }

    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Over(_) => true,
            Self::Running(task) => task.is_finished(),
        }
    }

    pub(crate) async fn wait(self) -> io::Result<T> {
        match self {
            Self::Over(outcome) => Ok(outcome),
            Self::Running(task) => {
                task.await.map_err(|error| io::Error::other(format!("file work was lost: {error}")))
            }
        }
    }
}

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    fs: &Arc<dyn Fs>,
    work: impl FnOnce(&dyn Fs) -> T + Send + 'static,
) -> io::Result<T> {
    Work::begin(fs, work).wait().await
}
