//! Shows that the durability tests can see: each mutant of the protocol, a sync left out, a rename too early, a
//! check that is not made, is found by them.
//!
//! The mutants are file systems: they stand between the library and the disk and do, call by call, what a
//! library with that mistake would do. `cargo test --test durability_mutants -- --nocapture` prints the table.

mod crash_world;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use crash_world::{OUT, World, in_paused_time};
use headwater::checkpoint::{CheckpointStore, FileStore};
use headwater::error::ErrorKind;
use headwater::fs::{Fs, FsFile, Locked, OpenMode};
use headwater::testing::{CrashFs, Image};

/// A mistake that the library could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
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
}

const MUTANTS: [Mutant; 17] = [
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
];

fn is_data(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

/// A disk behind a mistake.
#[derive(Debug, Clone)]
struct MutantFs {
    disk: CrashFs,
    mutant: Mutant,
    memory: Arc<Mutex<Memory>>,
    /// Whether someone has damaged a file: only then does a check that is left out matter.
    damaged: bool,
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
}

impl MutantFs {
    fn new(disk: &CrashFs, mutant: Mutant) -> Self {
        Self { disk: disk.clone(), mutant, memory: Arc::default(), damaged: false }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().expect("nothing panics while it is held")
    }

    fn write_late(&self) -> io::Result<()> {
        let late = std::mem::take(&mut self.memory().late);
        for (path, bytes) in late {
            let mut file = self.disk.open(&path, OpenMode::Existing)?;
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
        let file = self.disk.open(&path, mode)?;
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
            _ => {}
        }
        self.ignoring(Mutant::FailedRenameIsIgnored, self.disk.rename(from, to))?;
        if self.mutant == Mutant::RenameBeforeSync && self.memory().unsynced.remove(from) {
            self.disk.open(to, OpenMode::Existing)?.sync()?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let is_out = dir == Path::new(OUT);
        match self.mutant {
            Mutant::DataFolderIsNotSynced if is_out => return Ok(()),
            Mutant::CheckpointFolderIsNotSynced if !is_out => return Ok(()),
            _ => {}
        }
        self.ignoring(Mutant::FailedCheckpointSyncIsIgnored, self.disk.sync_dir(dir))?;
        if is_out { Ok(()) } else { self.write_late() }
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.names(dir)
    }

    fn try_lock(&self, path: &Path, holder: &str) -> io::Result<Locked> {
        if self.mutant == Mutant::LockIsNotExclusive {
            return Ok(Locked::Held(Box::new(())));
        }
        self.disk.try_lock(path, holder)
    }

    fn blocks(&self) -> bool {
        false
    }
}

impl MutantFs {
    fn names_data(&self) -> io::Result<bool> {
        Ok(self.disk.names(Path::new(OUT))?.iter().any(|name| is_data(Path::new(name))))
    }
}

#[derive(Debug)]
struct MutantFile {
    file: Box<dyn FsFile>,
    path: PathBuf,
    fs: MutantFs,
}

impl MutantFile {
    fn late_bytes(&self) -> u64 {
        let late =
            |(path, bytes): &(PathBuf, Vec<u8>)| if *path == self.path { bytes.len() as u64 } else { 0 };
        self.fs.memory().late.iter().map(late).sum()
    }
}

impl FsFile for MutantFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(length) = self.fs.memory().pretended.get_mut(&self.path) {
            *length += bytes.len() as u64;
        }
        if self.fs.mutant == Mutant::CheckpointBeforeData && is_data(&self.path) {
            self.fs.memory().late.push((self.path.clone(), bytes.to_vec()));
            return Ok(());
        }
        let outcome = self.file.append(bytes);
        if outcome.is_err() && self.fs.mutant == Mutant::ShortWriteIsIgnored {
            let length = self.file.length()? + bytes.len() as u64 / 2;
            self.fs.memory().pretended.insert(self.path.clone(), length);
        }
        self.fs.ignoring(Mutant::ShortWriteIsIgnored, outcome)
    }

    fn sync(&mut self) -> io::Result<()> {
        let data = is_data(&self.path);
        match self.fs.mutant {
            Mutant::DataIsNotSynced | Mutant::CheckpointBeforeData if data => Ok(()),
            Mutant::CheckpointIsNotSynced if !data => Ok(()),
            Mutant::RenameBeforeSync if !data => {
                self.fs.memory().unsynced.insert(self.path.clone());
                Ok(())
            }
            Mutant::FailedDataSyncIsIgnored if data => self.file.sync().or(Ok(())),
            Mutant::FailedCheckpointSyncIsIgnored if !data => self.file.sync().or(Ok(())),
            _ => self.file.sync(),
        }
    }

    fn length(&mut self) -> io::Result<u64> {
        if let Some(length) = self.fs.memory().pretended.get(&self.path) {
            return Ok(*length);
        }
        let length = self.file.length()? + self.late_bytes();
        // It believes whatever it is told.
        let blind =
            self.fs.damaged && self.fs.mutant == Mutant::LengthAndTailAreNotChecked && is_data(&self.path);
        Ok(if blind { length.max(believed(&self.fs.disk, &self.path)) } else { length })
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if self.fs.mutant == Mutant::NoTruncation && is_data(&self.path) {
            self.fs.memory().pretended.insert(self.path.clone(), length);
            return Ok(());
        }
        self.file.truncate(length)
    }

    fn read_at(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let blind = matches!(self.fs.mutant, Mutant::TailIsNotChecked | Mutant::LengthAndTailAreNotChecked);
        if blind && self.fs.damaged {
            return Ok(undamaged(&self.path, offset, length));
        }
        self.file.read_at(offset, length)
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

/// What stood in the file before a test damaged it.
fn undamaged(path: &Path, offset: u64, length: usize) -> Vec<u8> {
    let bytes = half_way().read(path).unwrap_or_default();
    let start = usize::try_from(offset).expect("a small file").min(bytes.len());
    bytes[start..(start + length).min(bytes.len())].to_vec()
}

fn world() -> World {
    World::small(2, 3)
}

/// What a run has left that lost power half-way, with everything it had written.
fn half_way() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let disk = CrashFs::new();
        let fs: Arc<dyn Fs> = Arc::new(disk.clone());
        world().run(&fs).expect("it finishes");
        let crash = disk.crash(disk.operations() / 2);
        crash.state(all_written(&crash))
    })
}

/// The number of the state in which the most is there.
fn all_written(crash: &headwater::testing::Crash) -> u128 {
    (0..crash.count())
        .max_by_key(|number| crash.state(*number).files().map(|(_, bytes)| bytes.len()).sum::<usize>())
        .unwrap_or(0)
}

fn rerun(image: Image, mutant: Mutant) -> Result<(), String> {
    let disk = CrashFs::from_image(image);
    let fs: Arc<dyn Fs> = Arc::new(MutantFs::new(&disk, mutant));
    world().run(&fs).map_err(|failure| failure.to_string())?;
    world().check(&disk.image())
}

/// Power loss at every instant, every state: of a first run, and of one that goes on after a power loss.
fn crashes(mutant: Mutant) -> Result<(), String> {
    crashes_from(Image::default(), mutant)?;
    crashes_from(half_way().clone(), mutant)
}

fn crashes_from(base: Image, mutant: Mutant) -> Result<(), String> {
    let disk = CrashFs::from_image(base);
    let fs: Arc<dyn Fs> = Arc::new(MutantFs::new(&disk, mutant));
    world().run(&fs).map_err(|failure| failure.to_string())?;
    world().check(&disk.image())?;
    let mut seen = BTreeSet::new();
    for instant in 0..=disk.operations() {
        let crash = disk.crash(instant);
        for number in 0..crash.count().min(512) {
            let image = crash.state(number);
            if seen.insert(format!("{image:?}")) {
                rerun(image, mutant).map_err(|why| format!("power loss after change {instant}: {why}"))?;
            }
        }
    }
    Ok(())
}

/// A call that fails, then power loss: nothing may be taken for done.
fn failures(mutant: Mutant) -> Result<(), String> {
    for call in 1..60 {
        let disk = CrashFs::new();
        disk.fail(call, io::ErrorKind::StorageFull);
        let outcome = world().run(&(Arc::new(MutantFs::new(&disk, mutant)) as Arc<dyn Fs>));
        if outcome.is_ok() {
            world()
                .check(&disk.image())
                .map_err(|why| format!("call {call} failed and the run did not: {why}"))?;
        }
        let crash = disk.crash(disk.operations());
        if outcome.is_ok() {
            finished(crash.state(0))
                .map_err(|why| format!("call {call} failed and the run did not: {why}"))?;
        }
        for image in [disk.image(), crash.state(0)] {
            rerun(image, mutant).map_err(|why| format!("after call {call} failed: {why}"))?;
        }
    }
    Ok(())
}

/// What was reported as finished is so on the disk, whatever a power loss takes away.
fn finished(image: Image) -> Result<(), String> {
    let store = FileStore::on(Arc::new(CrashFs::from_image(image)), Path::new(OUT).join(".headwater"));
    for source in ["s0", "s1"] {
        match in_paused_time(store.load(source)) {
            Ok(Some(checkpoint)) if checkpoint.is_finished() => {}
            Ok(_) => return Err(format!("{source} is not finished on the disk")),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// A data file that someone has changed or cut is refused.
fn damage(mutant: Mutant) -> Result<(), String> {
    let image = half_way();
    let (path, bytes) =
        image.files().find(|(path, bytes)| is_data(path) && bytes.len() > 100).ok_or("no data yet")?;
    let mut changed = bytes.to_vec();
    changed[10] ^= 1;
    for (what, damaged) in [("changed", changed), ("cut", bytes[..50].to_vec())] {
        let disk = CrashFs::from_image(image.clone());
        let mut file = disk.open(path, OpenMode::Existing).map_err(|error| error.to_string())?;
        file.truncate(0).and_then(|()| file.append(&damaged)).map_err(|error| error.to_string())?;
        let fs: Arc<dyn Fs> = Arc::new(MutantFs { damaged: true, ..MutantFs::new(&disk, mutant) });
        match world().run(&fs) {
            Err(failure) if failure.error.kind() == ErrorKind::Checkpoint => {}
            Err(failure) => return Err(format!("a {what} file gave: {failure}")),
            Ok(_) => return Err(format!("a {what} file was taken for good")),
        }
    }
    Ok(())
}

/// Two runs at once: the second is refused.
fn two_at_once(mutant: Mutant) -> Result<(), String> {
    let disk = CrashFs::new();
    let fs: Arc<dyn Fs> = Arc::new(MutantFs::new(&disk, mutant));
    let (first, second) = in_paused_time(async { tokio::join!(world().start(&fs), world().start(&fs)) });
    match (first, second) {
        (Ok(_), Err(failure)) if failure.error.kind() == ErrorKind::Locked => world().check(&disk.image()),
        (first, second) => Err(format!("{} and {} ended well", first.is_ok(), second.is_ok())),
    }
}

type Check = fn(Mutant) -> Result<(), String>;

const CHECKS: [(&str, Check); 4] =
    [("power loss", crashes), ("failing calls", failures), ("damage", damage), ("two at once", two_at_once)];

#[test]
fn every_mutant_is_found_and_the_protocol_as_it_is_passes() {
    half_way();
    for (name, check) in CHECKS {
        check(Mutant::None).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    let mut missed = Vec::new();
    println!("{:<32} {:<14} what was seen", "mutant", "found by");
    for mutant in MUTANTS {
        let found = CHECKS.iter().find_map(|(name, check)| Some((name, check(mutant).err()?)));
        let shown = format!("{mutant:?}");
        match found {
            Some((name, why)) => {
                let why: String = why.lines().next().unwrap_or_default().chars().take(110).collect();
                println!("{shown:<32} {name:<14} {why}");
            }
            None => {
                println!("{shown:<32} NOT FOUND");
                missed.push(mutant);
            }
        }
    }
    println!("{} of {} mutants found", MUTANTS.len() - missed.len(), MUTANTS.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}
