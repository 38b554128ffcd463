//! The disk, with appends to data files and syncs of them that take as long as a test wants, and with calls that wait or fail on order.

// Each test uses a part of it.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use headwater::fs::{Disk, Fs, FsFile, Locked, OpenMode};

#[derive(Debug, Clone, Default)]
pub(crate) struct SlowFs {
    millis: Arc<AtomicU64>,
    sync_millis: Arc<AtomicU64>,
    appending: Arc<AtomicU64>,
    /// Calls that write or sync data, and the one that fails.
    calls: Arc<AtomicU64>,
    /// Which calls wait, and how many of each do.
    gate: Arc<(Mutex<BTreeMap<Call, u64>>, Condvar)>,
    failing: Arc<AtomicU64>,
    unsynced: Arc<Mutex<Option<String>>>,
}

/// A call that can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Append,
    Sync,
    Rename,
}

impl SlowFs {
    /// Holds calls until they are let go.
    pub(crate) fn hold(&self, call: Call) {
        self.gate.0.lock().unwrap().entry(call).or_default();
    }

    /// Whether a call is held.
    pub(crate) fn holds(&self, call: Call) -> bool {
        self.gate.0.lock().unwrap().get(&call).is_some_and(|waiting| *waiting > 0)
    }

    pub(crate) fn let_go(&self) {
        self.gate.0.lock().unwrap().clear();
        self.gate.1.notify_all();
    }

    fn pass(&self, call: Call) {
        let mut held = self.gate.0.lock().unwrap();
        if let Some(waiting) = held.get_mut(&call) {
            *waiting += 1;
        }
        drop(self.gate.1.wait_while(held, |held| held.contains_key(&call)).unwrap());
    }

    /// Lets a write or a sync of a data file fail, counted from 1.
    pub(crate) fn fail(&self, call: u64) {
        self.failing.store(call, SeqCst);
    }

    /// Lets no data file be synced whose name begins so.
    pub(crate) fn fail_syncs_of(&self, name: Option<&str>) {
        *self.unsynced.lock().unwrap() = name.map(str::to_owned);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(SeqCst)
    }

    fn call(&self) -> io::Result<()> {
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        if call == self.failing.load(SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(crate) fn delay_appends(&self, time: Duration) {
        self.millis.store(u64::try_from(time.as_millis()).expect("a short time"), SeqCst);
    }

    pub(crate) fn delay_syncs(&self, time: Duration) {
        self.sync_millis.store(u64::try_from(time.as_millis()).expect("a short time"), SeqCst);
    }

    pub(crate) fn is_appending(&self) -> bool {
        self.appending.load(SeqCst) > 0
    }
}

impl Fs for SlowFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        Disk.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let file = Disk.open(path, mode)?;
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Box::new(SlowFile(file, self.clone(), name)));
        }
        Ok(file)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Disk.read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(Call::Rename);
        Disk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.names(dir)
    }

    fn try_lock(&self, path: &Path, holder: &str) -> io::Result<Locked> {
        Disk.try_lock(path, holder)
    }
}

#[derive(Debug)]
struct SlowFile(Box<dyn FsFile>, SlowFs, String);

impl FsFile for SlowFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.1.call()?;
        self.1.pass(Call::Append);
        self.1.appending.fetch_add(1, SeqCst);
        std::thread::sleep(Duration::from_millis(self.1.millis.load(SeqCst)));
        let outcome = self.0.append(bytes);
        self.1.appending.fetch_sub(1, SeqCst);
        outcome
    }

    fn sync(&self) -> io::Result<()> {
        self.1.call()?;
        if self.1.unsynced.lock().unwrap().as_ref().is_some_and(|name| self.2.starts_with(name)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.1.pass(Call::Sync);
        std::thread::sleep(Duration::from_millis(self.1.sync_millis.load(SeqCst)));
        self.0.sync()
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.0.read_at(offset, length)
    }
}
