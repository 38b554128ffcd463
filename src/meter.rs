//! Counters of one source's work, shared by everything that does a part of it.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

const MOST_WARNINGS: usize = 20;

/// Counters of one source's work. A clone counts into the same numbers.
#[derive(Debug, Clone)]
pub struct Meter(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
    bytes: AtomicU64,
    waits: AtomicU64,
    waited: AtomicU64,
    in_flight: watch::Sender<u32>,
    waiting_until: Mutex<Option<Instant>>,
    warnings: Mutex<Vec<String>>,
}

/// What a [`Meter`] has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Requests sent, retries and redirects included.
    pub requests: u64,
    /// Pages asked for again after a failure.
    pub retries: u64,
    /// Bytes of bodies received, decoded, those of answers that broke off included.
    pub bytes: u64,
    /// Waits: for the limiter, for back-off, or because the server said so.
    pub waits: u64,
    /// How long all waits took together.
    #[serde(serialize_with = "seconds")]
    pub waited: Duration,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            retries: self.retries + other.retries,
            bytes: self.bytes + other.bytes,
            waits: self.waits + other.waits,
            waited: self.waited + other.waited,
        }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self(Arc::new(Counters {
            requests: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            in_flight: watch::Sender::new(0),
            waiting_until: Mutex::new(None),
            warnings: Mutex::default(),
        }))
    }
}

impl Meter {
    /// Starts at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// What has been counted so far.
    pub fn counts(&self) -> Counts {
        Counts {
            requests: self.0.requests.load(Relaxed),
            retries: self.0.retries.load(Relaxed),
            bytes: self.0.bytes.load(Relaxed),
            waits: self.0.waits.load(Relaxed),
            waited: Duration::from_micros(self.0.waited.load(Relaxed)),
        }
    }

    /// Resolves when no request is in flight.
    pub(crate) async fn idle(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.0.in_flight.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Whether no request is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        *self.0.in_flight.borrow() == 0
    }

    pub(crate) fn request(&self) {
        self.0.requests.fetch_add(1, Relaxed);
    }

    /// Marks a page as being fetched until the guard is dropped.
    pub(crate) fn fetching(&self) -> InFlight {
        self.0.in_flight.send_modify(|count| *count += 1);
        InFlight(self.clone())
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn retry(&self) {
        self.0.retries.fetch_add(1, Relaxed);
    }

    /// How long the source will still wait, if it waits.
    pub fn waiting(&self) -> Option<Duration> {
        let until = *self.waiting_until();
        until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn wait_until(&self, until: Instant) {
        *self.waiting_until() = Some(until);
    }

    fn waiting_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.waiting_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something that is no error and that a person should know. Of each text one is kept, and not more than 20.
    pub(crate) fn warn(&self, text: String) {
        tracing::warn!("{text}");
        let mut warnings = self.0.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < MOST_WARNINGS && !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// What a person should know, though it is no error.
    pub fn warnings(&self) -> Vec<String> {
        self.0.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn waited(&self, time: Duration) {
        *self.waiting_until() = None;
        if !time.is_zero() {
            self.0.waits.fetch_add(1, Relaxed);
            self.0.waited.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
        }
    }
}

/// A page that is being fetched.
#[derive(Debug)]
pub(crate) struct InFlight(Meter);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.in_flight.send_modify(|count| *count = count.saturating_sub(1));
    }
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1000.0).round() / 1000.0)
}
