//! Checkpoints in memory: for tests, and for sinks that do not outlive the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Checkpoint, CheckpointStore, Hold, Lease};
use crate::error::{Error, ErrorKind, Result};

/// Checkpoints in memory. A clone holds the same.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    stored: Arc<Mutex<Stored>>,
    lock: Arc<Semaphore>,
}

/// Boxed, for the places of a map that are empty are as large as the others.
type Stored = HashMap<String, Box<Checkpoint>>;

impl Default for MemoryStore {
    fn default() -> Self {
        Self { stored: Arc::default(), lock: Arc::new(Semaphore::new(1)) }
    }
}

impl MemoryStore {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Hold for OwnedSemaphorePermit {}

impl CheckpointStore for MemoryStore {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(async {
            let permit = self.lock.clone().try_acquire_owned().map_err(|_| {
                Error::new(ErrorKind::Locked, "another run in this process has these checkpoints")
                    .advice("wait for it to end")
            })?;
            Ok(Lease::new(permit))
        })
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        Box::pin(async move { Ok(self.stored().get(source).map(|checkpoint| Checkpoint::clone(checkpoint))) })
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut stored = self.stored();
            for checkpoint in checkpoints {
                if let Some(known) = stored.get(&checkpoint.source) {
                    known.check_successor(checkpoint)?;
                }
                stored.insert(checkpoint.source.clone(), Box::new(checkpoint.clone()));
            }
            drop(stored);
            lease.check()
        })
    }
}
