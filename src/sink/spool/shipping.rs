//! The task that ships the segments of one source, one after the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::segment::{Segment, Ship};
use super::state::Progress;
use crate::error::{Error, ErrorKind, Result};

/// What all the tasks share.
#[derive(Debug, Clone)]
pub(super) struct Dock {
    pub(super) ship: Arc<dyn Ship>,
    /// So many segments at once are on their way.
    pub(super) places: Arc<Semaphore>,
    /// Bytes that are sealed and not shipped, of all sources.
    pub(super) waiting: Arc<AtomicU64>,
}

/// How the segments of one source are shipped. Dropped, it stops.
#[derive(Debug)]
pub(super) struct Shipping {
    progress: watch::Receiver<Progress>,
    failed: Arc<Mutex<Option<Error>>>,
    is_stopped: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Shipping {
    /// Nothing is on its way.
    pub(super) fn idle(shipped: u64) -> Self {
        let (_, progress) = watch::channel(Progress { shipped, is_over: true, ..Progress::default() });
        Self { progress, failed: Arc::default(), is_stopped: Arc::default(), tasks: JoinSet::new() }
    }

    /// Ships these, which come behind all that were shipped before.
    pub(super) fn begin(&mut self, dock: &Dock, segments: Vec<Segment>) {
        let known = Progress { is_over: false, ..self.progress.borrow().clone() };
        let (told, progress) = watch::channel(known);
        self.progress = progress;
        let (dock, failed, is_stopped) = (dock.clone(), self.failed.clone(), self.is_stopped.clone());
        self.tasks.spawn(async move {
            for segment in segments {
                // It is never closed.
                let _place = dock.places.acquire().await;
                if is_stopped.load(Ordering::Acquire) {
                    break;
                }
                let (source, number, length) =
                    (segment.source.clone(), segment.sealed.number, segment.sealed.length);
                match dock.ship.ship(segment).await {
                    Ok(shipped) => {
                        dock.waiting.fetch_sub(length, Ordering::AcqRel);
                        told.send_replace(Progress { shipped: number, told: shipped.0, is_over: false });
                    }
                    Err(error) => {
                        let error = error.at(|context| {
                            context.source.get_or_insert(source);
                        });
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        break;
                    }
                }
            }
            told.send_modify(|progress| progress.is_over = true);
        });
    }

    pub(super) fn is_over(&self) -> bool {
        self.progress.borrow().is_over
    }

    /// How far it has come.
    ///
    /// # Errors
    /// That for which a segment could not be shipped.
    pub(super) fn progress(&self) -> Result<Progress> {
        self.watch().progress()
    }

    /// To be looked at from elsewhere.
    pub(super) fn watch(&self) -> Watch {
        Watch { progress: self.progress.clone(), failed: self.failed.clone() }
    }

    /// Begins no further segment, and waits for the end of the one that is on its way.
    pub(super) async fn stop(&mut self) {
        self.is_stopped.store(true, Ordering::Release);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Looks at a [`Shipping`].
#[derive(Debug)]
pub(super) struct Watch {
    progress: watch::Receiver<Progress>,
    failed: Arc<Mutex<Option<Error>>>,
}

impl Watch {
    pub(super) fn progress(&self) -> Result<Progress> {
        if let Some(error) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        let progress = self.progress.borrow().clone();
        if !progress.is_over && self.progress.has_changed().is_err() {
            return Err(Error::new(ErrorKind::Sink, "a segment was lost on its way: its task panicked"));
        }
        Ok(progress)
    }

    /// Waits until a segment more is shipped, or until there will be no more of them.
    pub(super) async fn waits_for_one(&mut self) {
        let before = self.progress.borrow().shipped;
        // If the task is lost, it is over too.
        let _ = self.progress.wait_for(|progress| progress.is_over || progress.shipped > before).await;
    }

    /// Waits until there will be no more of them.
    pub(super) async fn waits_for_all(&mut self) {
        let _ = self.progress.wait_for(|progress| progress.is_over).await;
    }
}
