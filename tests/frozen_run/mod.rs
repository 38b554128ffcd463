//! A run that is frozen at one call to the file system, and wakes when another has gone on without it: what
//! SIGSTOP and SIGCONT do to a process, at a place that a test can choose.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use headwater::error::ErrorKind;
use headwater::fs::{Fs, FsFile, Locked, OpenMode};
use headwater::testing::{CrashFs, Image};
use headwater::{Report, RunError};

use crate::crash_world::{OUT, World};

/// What a run has left that lost power half-way.
pub(crate) fn half_way(world: &World) -> Image {
    let disk = CrashFs::new();
    let fs: Arc<dyn Fs> = Arc::new(disk.clone());
    world.run(&fs).expect("it finishes");
    let crash = disk.crash(disk.operations() / 2);
    crash.state(crash.count() - 1)
}

/// The same, in a folder that was taken over since: the next run finds files of an earlier term.
pub(crate) fn half_way_and_taken_over(world: &World) -> Image {
    let disk = CrashFs::from_image(half_way(world));
    let lock = disk.try_lock(&Path::new(OUT).join(".headwater/lock.1"), "a run").expect("it is free");
    assert!(matches!(lock, Locked::Held(_)));
    disk.image()
}

/// Whether a run ended as one must that another has taken over: it may have been finished before that, and the
/// other one was then a run of its own; otherwise it is told.
pub(crate) fn overtaken(outcome: &Result<Report, RunError>, successor: &Report) -> Result<(), String> {
    match outcome {
        Ok(report) if report.run != successor.run => Ok(()),
        Ok(_) => Err("both runs believe that they have finished it".to_owned()),
        Err(failure) if failure.error.kind() == ErrorKind::Locked => Ok(()),
        Err(failure) => Err(format!("it was not told that it was overtaken: {failure}")),
    }
}

/// A file system whose calls stop at one of them until they are told to go on. Everything counts as a call, a
/// look too: a run may be frozen in front of any.
#[derive(Debug, Clone)]
struct FreezeFs {
    inner: Arc<dyn Fs>,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Gate {
    calls: AtomicU64,
    freezes_at: u64,
    /// Whether only listings of folders count.
    listings: bool,
    frozen: mpsc::Sender<()>,
    thaw: Mutex<mpsc::Receiver<()>>,
}

impl Gate {
    fn pass(&self) {
        self.count(false);
    }

    fn count(&self, is_listing: bool) {
        if self.listings && !is_listing {
            return;
        }
        if self.calls.fetch_add(1, SeqCst) + 1 == self.freezes_at {
            // The test may have gone: then there is nothing to wait for.
            let _ = self.frozen.send(());
            let _ = self.thaw.lock().expect("nothing panics while it is held").recv();
        }
    }
}

/// A run on a thread of its own, frozen or at its end.
pub(crate) struct Frozen {
    thaw: mpsc::Sender<()>,
    thread: JoinHandle<Result<Report, RunError>>,
    /// Whether it got as far as the call that it was to be frozen at.
    pub(crate) is_frozen: bool,
}

impl Frozen {
    /// Starts a run and waits until it is frozen in front of its n-th call, or has ended.
    pub(crate) fn start(world: &World, fs: Arc<dyn Fs>, call: u64, takes_over: bool) -> Self {
        Self::begin(world, fs, call, takes_over, false)
    }

    /// The same, in front of its n-th listing of a folder.
    pub(crate) fn start_listing(world: &World, fs: Arc<dyn Fs>, listing: u64) -> Self {
        Self::begin(world, fs, listing, false, true)
    }

    fn begin(world: &World, fs: Arc<dyn Fs>, freezes_at: u64, takes_over: bool, listings: bool) -> Self {
        let (frozen, is_frozen) = mpsc::channel();
        let (thaw, thawed) = mpsc::channel();
        let gate = Gate { calls: AtomicU64::new(0), freezes_at, listings, frozen, thaw: Mutex::new(thawed) };
        let fs: Arc<dyn Fs> = Arc::new(FreezeFs { inner: fs, gate: Arc::new(gate) });
        let world = world.clone();
        let thread =
            std::thread::spawn(move || if takes_over { world.run_over(&fs) } else { world.run(&fs) });
        // The sender goes with the run: that it is gone says that the run is over.
        let is_frozen = is_frozen.recv().is_ok();
        Self { thaw, thread, is_frozen }
    }

    /// Lets it go on, and gives how it ended.
    pub(crate) fn wake(self) -> Result<Report, RunError> {
        let _ = self.thaw.send(());
        self.thread.join().expect("a run does not panic")
    }
}

impl Fs for FreezeFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.gate.pass();
        self.inner.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        self.gate.pass();
        let file = self.inner.open(path, mode)?;
        Ok(Box::new(FreezeFile { file, gate: self.gate.clone() }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.gate.pass();
        self.inner.read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.gate.pass();
        self.inner.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.gate.pass();
        self.inner.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.gate.pass();
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.gate.pass();
        self.inner.sync_dir(dir)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.gate.count(true);
        self.inner.names(dir)
    }

    fn try_lock(&self, path: &Path, holder: &str) -> io::Result<Locked> {
        self.gate.pass();
        self.inner.try_lock(path, holder)
    }

    fn blocks(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct FreezeFile {
    file: Box<dyn FsFile>,
    gate: Arc<Gate>,
}

impl FsFile for FreezeFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.gate.pass();
        self.file.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync()
    }

    fn length(&self) -> io::Result<u64> {
        self.gate.pass();
        self.file.length()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.gate.pass();
        self.file.truncate(length)
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.gate.pass();
        self.file.read_at(offset, length)
    }
}
