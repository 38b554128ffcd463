//! File systems that stand between the library and the disk, and do, call by call, what a library with a mistake
//! would do.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use headwater::fs::{Fs, FsFile, Locked, OpenMode};
use headwater::testing::{CrashFs, Image};

use crate::crash_world::OUT;

/// A mistake that the library could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    None,
    DataIsNotSynced,
    DataFolderIsNotSynced,
    CheckpointIsNotSynced,
    CheckpointFolderIsNotSynced,
    RenameBeforeSync,
    CheckpointInPlace,
    CheckpointBeforeData,
    NoFirstCheckpoint,
    OldCheckpointRemovedFirst,
    NoTruncation,
    TailIsNotChecked,
    LengthAndTailAreNotChecked,
    ShortWriteIsIgnored,
    FailedDataSyncIsIgnored,
    FailedCheckpointSyncIsIgnored,
    FailedRenameIsIgnored,
    LockIsNotExclusive,
    TermIsNotChecked,
    EpochIsNotChecked,
    TakenOverFileIsShared,
    CopiesAreNotRemoved,
    NamesAreNotSynced,
    NamesAreOverwritten,
    NamesBeforeCheckpoints,
    PartialsAreNotRemoved,
}

pub(crate) const MUTANTS: [Mutant; 25] = [
    Mutant::DataIsNotSynced,
    Mutant::DataFolderIsNotSynced,
    Mutant::CheckpointIsNotSynced,
    Mutant::CheckpointFolderIsNotSynced,
    Mutant::RenameBeforeSync,
    Mutant::CheckpointInPlace,
    Mutant::CheckpointBeforeData,
    Mutant::NoFirstCheckpoint,
    Mutant::OldCheckpointRemovedFirst,
    Mutant::NoTruncation,
    Mutant::TailIsNotChecked,
    Mutant::LengthAndTailAreNotChecked,
    Mutant::ShortWriteIsIgnored,
    Mutant::FailedDataSyncIsIgnored,
    Mutant::FailedCheckpointSyncIsIgnored,
    Mutant::FailedRenameIsIgnored,
    Mutant::LockIsNotExclusive,
    Mutant::TermIsNotChecked,
    Mutant::EpochIsNotChecked,
    Mutant::TakenOverFileIsShared,
    Mutant::CopiesAreNotRemoved,
    Mutant::NamesAreNotSynced,
    Mutant::NamesAreOverwritten,
    Mutant::NamesBeforeCheckpoints,
    Mutant::PartialsAreNotRemoved,
];

fn is_copy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "copy")
}

/// The term of a lock file; 0 for any other.
fn term_of(name: &str) -> u64 {
    name.strip_prefix("lock.").and_then(|term| term.parse().ok()).unwrap_or(0)
}

/// The epoch in the name of a checkpoint.
fn epoch_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".checkpoint")?.rsplit_once('.')?.1.parse().ok()
}

pub(crate) fn is_data(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

/// A disk behind a mistake.
#[derive(Debug, Clone)]
pub(crate) struct MutantFs {
    disk: CrashFs,
    mutant: Mutant,
    memory: Arc<Mutex<Memory>>,
    /// What was there before someone damaged a file, if someone has: only then does a check of the data that is
    /// left out matter.
    undamaged: Option<Image>,
    /// Whether locks keep nobody out here, as on some network file systems.
    lockless: bool,
}

/// What the mistake needs to know.
#[derive(Debug, Default)]
struct Memory {
    /// Writes that were put off.
    late: Vec<(PathBuf, Vec<u8>)>,
    /// Files whose sync was put off.
    unsynced: BTreeSet<PathBuf>,
    /// How long a file would be if it had been cut.
    pretended: HashMap<PathBuf, u64>,
    /// The lock that was taken, and the highest epoch that was written: nothing above them is seen.
    term: u64,
    epoch: Option<u64>,
    /// Copies, open, that will not become the file that they stand for.
    copies: HashMap<PathBuf, SharedFile>,
}

type SharedFile = Arc<Mutex<Box<dyn FsFile>>>;

impl MutantFs {
    pub(crate) fn new(disk: &CrashFs, mutant: Mutant) -> Self {
        Self { disk: disk.clone(), mutant, memory: Arc::default(), undamaged: None, lockless: false }
    }

    /// Someone has damaged a file; this is what was there before.
    pub(crate) fn damaged(self, undamaged: Image) -> Self {
        Self { undamaged: Some(undamaged), ..self }
    }

    pub(crate) fn without_locks(self) -> Self {
        Self { lockless: true, ..self }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("nothing panics while it is held")
    }

    fn write_late(&self) -> io::Result<()> {
        let late = std::mem::take(&mut self.memory().late);
        for (path, bytes) in late {
            let file = self.disk.open(&path, OpenMode::Existing)?;
            file.append(&bytes)?;
            file.sync()?;
        }
        Ok(())
    }

    fn ignoring(&self, mutant: Mutant, outcome: io::Result<()>) -> io::Result<()> {
        if self.mutant == mutant { Ok(()) } else { outcome }
    }
}

impl Fs for MutantFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let mut path = path.to_owned();
        if mode == OpenMode::Private {
            if self.mutant == Mutant::OldCheckpointRemovedFirst {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let source = name.split('.').next().unwrap_or_default().to_owned();
                let dir = path.parent().unwrap_or(Path::new("/"));
                let old = |other: &String| {
                    other.starts_with(&format!("{source}.")) && !name.starts_with(other.as_str())
                };
                for other in self.disk.names(dir)?.into_iter().filter(old) {
                    self.disk.remove(&dir.join(other))?;
                }
            }
            if self.mutant == Mutant::CheckpointInPlace {
                path = path.with_extension("");
            }
        }
        let file = Arc::new(Mutex::new(self.disk.open(&path, mode)?));
        if is_copy(&path) {
            self.memory().copies.insert(path.clone(), file.clone());
        }
        Ok(Box::new(MutantFile { file, path, fs: self.clone() }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self.mutant {
            Mutant::CheckpointInPlace => return Ok(()),
            // The first save of an epoch comes before anything was written: there is no such file yet.
            Mutant::NoFirstCheckpoint if self.disk.read(to).is_err() && !self.names_data()? => {
                return self.disk.remove(from);
            }
            Mutant::TakenOverFileIsShared if is_copy(from) && self.disk.read(to).is_ok() => {
                return self.write_into(from, to);
            }
            _ => {}
        }
        if let Some(epoch) = epoch_of(to) {
            self.memory().epoch = Some(epoch);
        }
        self.ignoring(Mutant::FailedRenameIsIgnored, self.disk.rename(from, to))?;
        if self.mutant == Mutant::RenameBeforeSync && self.memory().unsynced.remove(from) {
            self.disk.open(to, OpenMode::Existing)?.sync()?;
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.mutant == Mutant::NamesAreOverwritten && self.disk.read(to).is_ok() {
            self.disk.remove(to)?;
        }
        self.disk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let is_partial = path.parent() == Some(Path::new("/out/.partial"));
        if self.mutant == Mutant::PartialsAreNotRemoved && is_partial {
            return Ok(());
        }
        if self.mutant == Mutant::CopiesAreNotRemoved && is_copy(path) {
            return Ok(());
        }
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let is_out = !dir.starts_with(Path::new(OUT).join(".headwater"));
        match self.mutant {
            Mutant::DataFolderIsNotSynced if is_out => return Ok(()),
            Mutant::NamesAreNotSynced if dir == Path::new(OUT) => return Ok(()),
            Mutant::CheckpointFolderIsNotSynced if !is_out => return Ok(()),
            _ => {}
        }
        self.ignoring(Mutant::FailedCheckpointSyncIsIgnored, self.disk.sync_dir(dir))?;
        if is_out { Ok(()) } else { self.write_late() }
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = self.disk.names(dir)?;
        let memory = self.memory();
        match (self.mutant, memory.epoch) {
            (Mutant::TermIsNotChecked, _) => names.retain(|name| term_of(name) <= memory.term),
            (Mutant::EpochIsNotChecked, Some(own)) => {
                names.retain(|name| epoch_of(Path::new(name)).is_none_or(|epoch| epoch <= own));
            }
            _ => {}
        }
        Ok(names)
    }

    fn try_lock(&self, path: &Path, holder: &str) -> io::Result<Locked> {
        if self.lockless || self.mutant == Mutant::LockIsNotExclusive {
            return Ok(Locked::Held(Box::new(())));
        }
        self.memory().term = term_of(&path.file_name().unwrap_or_default().to_string_lossy());
        self.disk.try_lock(path, holder)
    }

    fn blocks(&self) -> bool {
        false
    }
}

impl MutantFs {
    /// Writes a copy into the file that it is to replace, which others may hold open.
    fn write_into(&self, copy: &Path, to: &Path) -> io::Result<()> {
        let bytes = self.disk.read(copy)?;
        let file = self.disk.open(to, OpenMode::Existing)?;
        file.truncate(0)?;
        file.append(&bytes)?;
        file.sync()?;
        if let Some(open) = self.memory().copies.get(copy) {
            *open.lock().expect("nothing panics while it is held") = file;
        }
        self.disk.remove(copy)
    }

    fn names_data(&self) -> io::Result<bool> {
        Ok(self.disk.names(Path::new(OUT))?.iter().any(|name| is_data(Path::new(name))))
    }
}

#[derive(Debug)]
struct MutantFile {
    file: SharedFile,
    path: PathBuf,
    fs: MutantFs,
}

impl MutantFile {
    fn file(&self) -> MutexGuard<'_, Box<dyn FsFile>> {
        self.file.lock().expect("nothing panics while it is held")
    }

    fn late_bytes(&self) -> u64 {
        let late =
            |(path, bytes): &(PathBuf, Vec<u8>)| if *path == self.path { bytes.len() as u64 } else { 0 };
        self.fs.memory().late.iter().map(late).sum()
    }
}

impl FsFile for MutantFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        if let Some(length) = self.fs.memory().pretended.get_mut(&self.path) {
            *length += bytes.len() as u64;
        }
        if self.fs.mutant == Mutant::CheckpointBeforeData && is_data(&self.path) {
            self.fs.memory().late.push((self.path.clone(), bytes.to_vec()));
            return Ok(());
        }
        let outcome = self.file().append(bytes);
        if outcome.is_err() && self.fs.mutant == Mutant::ShortWriteIsIgnored {
            let length = self.file().length()? + bytes.len() as u64 / 2;
            self.fs.memory().pretended.insert(self.path.clone(), length);
        }
        self.fs.ignoring(Mutant::ShortWriteIsIgnored, outcome)
    }

    fn sync(&self) -> io::Result<()> {
        let data = is_data(&self.path);
        if self.fs.mutant == Mutant::NamesBeforeCheckpoints && data {
            self.file().sync()?;
            let name = Path::new(OUT).join(self.path.file_name().unwrap_or_default());
            // Unless it was there before.
            let _ = self.fs.disk.link(&self.path, &name);
            return self.fs.disk.sync_dir(Path::new(OUT));
        }
        match self.fs.mutant {
            Mutant::DataIsNotSynced | Mutant::CheckpointBeforeData if data => Ok(()),
            Mutant::CheckpointIsNotSynced if !data => Ok(()),
            Mutant::RenameBeforeSync if !data => {
                self.fs.memory().unsynced.insert(self.path.clone());
                Ok(())
            }
            Mutant::FailedDataSyncIsIgnored if data => self.file().sync().or(Ok(())),
            Mutant::FailedCheckpointSyncIsIgnored if !data => self.file().sync().or(Ok(())),
            _ => self.file().sync(),
        }
    }

    fn length(&self) -> io::Result<u64> {
        if let Some(length) = self.fs.memory().pretended.get(&self.path) {
            return Ok(*length);
        }
        let length = self.file().length()? + self.late_bytes();
        // It believes whatever it is told.
        let blind = self.fs.undamaged.is_some()
            && self.fs.mutant == Mutant::LengthAndTailAreNotChecked
            && is_data(&self.path);
        Ok(if blind { length.max(believed(&self.fs.disk, &self.path)) } else { length })
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        if self.fs.mutant == Mutant::NoTruncation && is_data(&self.path) {
            self.fs.memory().pretended.insert(self.path.clone(), length);
            return Ok(());
        }
        self.file().truncate(length)
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let blind = matches!(self.fs.mutant, Mutant::TailIsNotChecked | Mutant::LengthAndTailAreNotChecked);
        if let Some(image) = self.fs.undamaged.as_ref().filter(|_| blind) {
            // What stood there before.
            let bytes = image.read(&self.path).unwrap_or_default();
            let start = usize::try_from(offset).expect("a small file").min(bytes.len());
            return Ok(bytes[start..(start + length).min(bytes.len())].to_vec());
        }
        self.file().read_at(offset, length)
    }
}

/// How long the checkpoint says that a data file is.
fn believed(disk: &CrashFs, path: &Path) -> u64 {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let source = name.split('_').next().unwrap_or_default();
    let image = disk.image();
    let checkpoint = image.files().find(|(path, _)| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        file.starts_with(&format!("{source}.")) && file.ends_with(".checkpoint")
    });
    let text = checkpoint.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    let json: serde_json::Value =
        serde_json::from_str(text.lines().nth(1).unwrap_or("null")).unwrap_or_default();
    json["sink"]["length"].as_u64().unwrap_or(0)
}
