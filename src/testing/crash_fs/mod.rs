//! A file system in memory that knows what is durable, and shows what a power loss would leave.
//!
//! The model is what POSIX promises and no more. Bytes and lengths are durable after a sync of the file,
//! names after a sync of the folder. Of everything else, any part may be there after a power loss: a write
//! whole, half, as zeros of the right length, or not at all; a later one without an earlier one; a rename
//! without the name that it replaced. What a file system does better than that must not be relied on.

mod crash;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crash::Crash;

use crate::fs::{Fs, FsFile, Locked, OpenMode};

/// A file system in memory for tests. A clone is the same one.
///
/// ```
/// use headwater::fs::{Fs, OpenMode};
/// use headwater::testing::CrashFs;
/// use std::path::Path;
///
/// let fs = CrashFs::new();
/// let file = fs.open(Path::new("a"), OpenMode::New).unwrap();
/// file.append(b"0123").unwrap();
/// file.sync().unwrap();
/// // The bytes are durable, the name is not: after a power loss there may be a file or none.
/// let crash = fs.crash(fs.operations());
/// let states: Vec<_> = crash.all().map(|image| image.read("a").map(<[u8]>::len)).collect();
/// assert_eq!(states, [None, Some(4)]);
/// ```
#[derive(Clone, Default)]
pub struct CrashFs(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    base: Image,
    contents: Vec<Vec<u8>>,
    names: BTreeMap<PathBuf, Inode>,
    log: Vec<Change>,
    /// Who holds which lock.
    locked: BTreeMap<PathBuf, String>,
    calls: u64,
    failures: Vec<(u64, io::ErrorKind)>,
}

type Inode = usize;

/// One change, in the order of the calls.
#[derive(Debug, Clone)]
enum Change {
    Write { inode: Inode, offset: usize, bytes: Arc<[u8]> },
    Truncate { inode: Inode, length: usize },
    Sync { inode: Inode },
    Create { path: PathBuf, inode: Inode },
    Rename { from: PathBuf, to: PathBuf, inode: Inode },
    Remove { path: PathBuf },
    SyncDir { dir: PathBuf },
}

/// What is on a disk: files by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Image(BTreeMap<PathBuf, Vec<u8>>);

impl Image {
    /// The bytes of a file.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<&[u8]> {
        self.0.get(path.as_ref()).map(Vec::as_slice)
    }

    /// All files, by name.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_path(), bytes.as_slice()))
    }
}

impl CrashFs {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk with these files on it, all of them durable, and no lock held: as after a restart.
    pub fn from_image(image: Image) -> Self {
        let mut state = State { base: image.clone(), ..State::default() };
        for (path, bytes) in image.0 {
            state.names.insert(path, state.contents.len());
            state.contents.push(bytes);
        }
        Self(Arc::new(Mutex::new(state)))
    }

    /// What the programs see.
    pub fn image(&self) -> Image {
        let state = self.state();
        Image(
            state.names.iter().map(|(path, inode)| (path.clone(), state.contents[*inode].clone())).collect(),
        )
    }

    /// How many changes there were: a crash can come before the first, after the last, and between any two.
    pub fn operations(&self) -> usize {
        self.state().log.len()
    }

    /// A power loss after so many changes.
    pub fn crash(&self, operations: usize) -> Crash {
        let state = self.state();
        Crash::after(&state.base, &state.log[..operations.min(state.log.len())])
    }

    /// How many calls there were that could fail.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Lets a call fail, counted from 1 over all calls that write, sync, truncate, rename, create or remove.
    /// An append that fails has written half of its bytes.
    pub fn fail(&self, call: u64, kind: io::ErrorKind) {
        self.state().failures.push((call, kind));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CrashFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("CrashFs")
            .field("files", &state.names.len())
            .field("operations", &state.log.len())
            .finish()
    }
}

impl State {
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.failures.iter().find(|(call, _)| *call == self.calls) {
            Some((_, kind)) => Err(io::Error::new(*kind, "the test lets this call fail")),
            None => Ok(()),
        }
    }

    fn inode(&self, path: &Path) -> io::Result<Inode> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&mut self, path: &Path) -> io::Result<Inode> {
        self.call()?;
        let inode = self.contents.len();
        self.contents.push(Vec::new());
        self.names.insert(path.to_owned(), inode);
        self.log.push(Change::Create { path: path.to_owned(), inode });
        Ok(inode)
    }
}

impl Fs for CrashFs {
    // Folders are there when they are named, and durable: the contract of this call.
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let mut state = self.state();
        let inode = match mode {
            OpenMode::Existing => state.inode(path)?,
            OpenMode::New if state.names.contains_key(path) => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            OpenMode::Private if state.names.contains_key(path) => {
                state.call()?;
                let inode = state.inode(path)?;
                state.contents[inode].clear();
                state.log.push(Change::Truncate { inode, length: 0 });
                inode
            }
            OpenMode::New | OpenMode::Private => state.create(path)?,
        };
        Ok(Box::new(CrashFile { fs: self.clone(), inode }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state();
        Ok(state.contents[state.inode(path)?].clone())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        let inode = state.inode(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), inode);
        state.log.push(Change::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        let inode = state.inode(from)?;
        if state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.names.insert(to.to_owned(), inode);
        state.log.push(Change::Create { path: to.to_owned(), inode });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        state.inode(path)?;
        state.names.remove(path);
        state.log.push(Change::Remove { path: path.to_owned() });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        state.log.push(Change::SyncDir { dir: dir.to_owned() });
        Ok(())
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn try_lock(&self, path: &Path, holder: &str) -> io::Result<Locked> {
        let mut state = self.state();
        if let Some(holder) = state.locked.get(path) {
            return Ok(Locked::Busy(holder.clone()));
        }
        if !state.names.contains_key(path) {
            state.create(path)?;
        }
        state.locked.insert(path.to_owned(), holder.to_owned());
        Ok(Locked::Held(Box::new(Held { fs: self.clone(), path: path.to_owned() })))
    }

    fn blocks(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct Held {
    fs: CrashFs,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.fs.state().locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct CrashFile {
    fs: CrashFs,
    inode: Inode,
}

impl FsFile for CrashFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.fs.state();
        let outcome = state.call();
        let written = if outcome.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        let offset = state.contents[self.inode].len();
        state.contents[self.inode].extend_from_slice(written);
        if !written.is_empty() {
            state.log.push(Change::Write { inode: self.inode, offset, bytes: written.into() });
        }
        outcome
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.fs.state();
        state.call()?;
        state.log.push(Change::Sync { inode: self.inode });
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.fs.state().contents[self.inode].len() as u64)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.fs.state();
        state.call()?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        state.contents[self.inode].resize(length, 0);
        state.log.push(Change::Truncate { inode: self.inode, length });
        Ok(())
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let state = self.fs.state();
        let bytes = &state.contents[self.inode];
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes[start..start.saturating_add(length).min(bytes.len())].to_vec())
    }
}
