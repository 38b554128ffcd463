//! Every checkpoint store of the library is held to what a store promises, and the suite is shown to find those that do
//! not hold it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use headwater::checkpoint::{Checkpoint, CheckpointStore, FileStore, Hold, Lease, MemoryStore};
use headwater::prelude::*;
use headwater::testing::CrashFs;
use headwater::testing::store_suite::{self, Place};

struct InMemory(MemoryStore);

impl Place for InMemory {
    fn store(&self) -> Arc<dyn CheckpointStore> {
        Arc::new(self.0.clone())
    }

    fn can_be_taken_over(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn the_store_in_memory_holds_it() {
    store_suite::run(&InMemory(MemoryStore::new())).await;
}

struct Folder(tempfile::TempDir, usize);

impl Place for Folder {
    fn store(&self) -> Arc<dyn CheckpointStore> {
        Arc::new(FileStore::new(self.0.path()).grouped_from(self.1))
    }

    fn spoil<'a>(&'a self, source: &'a str) -> Option<BoxFuture<'a, ()>> {
        Some(
            async move {
                let names = std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
                let is_own = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(source);
                for path in names.filter(is_own) {
                    let mut bytes = std::fs::read(&path).unwrap();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    std::fs::write(&path, bytes).unwrap();
                }
            }
            .boxed(),
        )
    }
}

#[tokio::test]
async fn the_store_in_files_holds_it() {
    for grouped_from in [1, 16, usize::MAX] {
        store_suite::run(&Folder(tempfile::tempdir().unwrap(), grouped_from)).await;
    }
}

struct OtherDisk(CrashFs);

impl Place for OtherDisk {
    fn store(&self) -> Arc<dyn CheckpointStore> {
        Arc::new(FileStore::on(Arc::new(self.0.clone()), "/checkpoints"))
    }
}

#[tokio::test]
async fn the_store_on_another_file_system_holds_it() {
    store_suite::run(&OtherDisk(CrashFs::new())).await;
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    GoesBack,
    TakesOlderEpochs,
    StoresOnlyTheFirst,
    LoadsInTheirOwnOrder,
    MixesNames,
    CutsLongNames,
    CutsLargeStates,
    LetsTwoIn,
    IsFreeWhenOneCloneIsGone,
    LosesItAll,
    TakesOverWithoutATerm,
    DoesNotLook,
    TakesRefusedOnesForDone,
}

const FAULTS: [Fault; 13] = [
    Fault::GoesBack,
    Fault::TakesOlderEpochs,
    Fault::StoresOnlyTheFirst,
    Fault::LoadsInTheirOwnOrder,
    Fault::MixesNames,
    Fault::CutsLongNames,
    Fault::CutsLargeStates,
    Fault::LetsTwoIn,
    Fault::IsFreeWhenOneCloneIsGone,
    Fault::LosesItAll,
    Fault::TakesOverWithoutATerm,
    Fault::DoesNotLook,
    Fault::TakesRefusedOnesForDone,
];

/// A store that is right, and can be made wrong in one way.
#[derive(Debug, Clone)]
struct Drawer {
    fault: Fault,
    kept: Arc<Mutex<BTreeMap<String, Checkpoint>>>,
    lock: Arc<Mutex<Lock>>,
}

#[derive(Debug, Default)]
struct Lock {
    term: u64,
    is_held: bool,
}

#[derive(Debug)]
struct Held {
    drawer: Drawer,
    term: u64,
}

impl Hold for Held {
    fn term(&self) -> u64 {
        self.term
    }

    fn check(&self) -> Result<()> {
        match self.drawer.lock.lock().unwrap().term {
            term if term == self.term || self.drawer.fault == Fault::DoesNotLook => Ok(()),
            _ => Err(Error::new(ErrorKind::Locked, "another run has taken over")),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut lock = self.drawer.lock.lock().unwrap();
        if lock.term == self.term {
            lock.is_held = false;
        }
    }
}

impl Place for Drawer {
    fn store(&self) -> Arc<dyn CheckpointStore> {
        if self.fault == Fault::LosesItAll {
            self.kept.lock().unwrap().clear();
        }
        Arc::new(self.clone())
    }
}

impl Drawer {
    fn new(fault: Fault) -> Self {
        Self { fault, kept: Arc::default(), lock: Arc::default() }
    }

    fn take(&self, is_forced: bool) -> Result<Lease> {
        let mut lock = self.lock.lock().unwrap();
        if lock.is_held && self.fault != Fault::LetsTwoIn {
            if !is_forced {
                return Err(Error::new(ErrorKind::Locked, "another run is in"));
            }
            lock.term += u64::from(self.fault != Fault::TakesOverWithoutATerm);
        }
        lock.is_held = self.fault != Fault::IsFreeWhenOneCloneIsGone;
        Ok(Lease::new(Held { drawer: self.clone(), term: lock.term }))
    }

    fn key(&self, source: &str) -> String {
        match self.fault {
            Fault::MixesNames => source.replace(['.', '-'], "_"),
            Fault::CutsLongNames => source.chars().take(63).collect(),
            _ => source.to_owned(),
        }
    }

    fn put(&self, next: &Checkpoint) -> Result<()> {
        let mut kept = self.kept.lock().unwrap();
        let mut next = next.clone();
        let key = self.key(&next.source);
        if let Some(known) = kept.get(&key) {
            match known.check_successor(&next) {
                Err(error) if error.kind() == ErrorKind::Checkpoint && self.fault == Fault::GoesBack => {}
                Err(error) if error.kind() == ErrorKind::Locked && self.fault == Fault::TakesOlderEpochs => {}
                Err(_) if self.fault == Fault::TakesRefusedOnesForDone => return Ok(()),
                checked => checked?,
            }
        }
        if let Some(list) = next.sink.0.as_array_mut().filter(|_| self.fault == Fault::CutsLargeStates) {
            list.truncate(1_000);
        }
        kept.insert(key, next);
        Ok(())
    }
}

impl CheckpointStore for Drawer {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(ready(self.take(false)))
    }

    fn take_over(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(ready(self.take(true)))
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        let found = self.kept.lock().unwrap().get(&self.key(source)).cloned();
        Box::pin(ready(Ok(found)))
    }

    fn load_all<'a>(&'a self, sources: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Checkpoint>>>> {
        let mut sources = sources.to_vec();
        if self.fault == Fault::LoadsInTheirOwnOrder {
            sources.sort_unstable();
        }
        let kept = self.kept.lock().unwrap();
        let found = sources.iter().map(|source| kept.get(&self.key(source)).cloned()).collect();
        Box::pin(ready(Ok(found)))
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        let most = if self.fault == Fault::StoresOnlyTheFirst { 1 } else { usize::MAX };
        let put = checkpoints.iter().take(most).try_for_each(|next| self.put(next));
        Box::pin(ready(put.and_then(|()| lease.check())))
    }
}

#[tokio::test]
async fn each_of_these_broken_stores_is_found() {
    store_suite::run(&Drawer::new(Fault::Nothing)).await;
    let mut unseen = Vec::new();
    for fault in FAULTS {
        let broken = store_suite::check(&Drawer::new(fault)).await;
        let names: Vec<&str> = broken.iter().map(|broken| broken.behaviour).collect();
        println!("{fault:?}: {}", names.join(", "));
        if broken.is_empty() {
            unseen.push(fault);
        }
    }
    assert!(unseen.is_empty(), "the suite finds nothing wrong with {unseen:?}");
}
