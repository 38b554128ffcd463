//! What every checkpoint store must hold, as one suite: run it over a store of your own.
//!
//! ```
//! use std::sync::Arc;
//! use headwater::checkpoint::{CheckpointStore, MemoryStore};
//! use headwater::testing::store_suite::{self, Place};
//!
//! struct InMemory(MemoryStore);
//!
//! impl Place for InMemory {
//!     fn store(&self) -> Arc<dyn CheckpointStore> {
//!         Arc::new(self.0.clone())
//!     }
//!     fn can_be_taken_over(&self) -> bool {
//!         false
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! store_suite::run(&InMemory(MemoryStore::new())).await;
//! # }
//! ```

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::sink_suite::{Broken, Held, Wrong, check_all, ensure, wrong};
use crate::checkpoint::{Checkpoint, CheckpointStore, Definition, Lease, SinkState};
use crate::error::{ErrorKind, Result};
use crate::mark::Mark;
use crate::request::Position;

/// Where the checkpoints of a store under test are.
///
/// One place serves the whole suite: each behaviour has sources of its own.
pub trait Place: Sync {
    /// Makes a store on the place, as a new process would.
    fn store(&self) -> Arc<dyn CheckpointStore>;

    /// Whether a run that holds it can be [taken over](CheckpointStore::take_over). The default is `true`.
    fn can_be_taken_over(&self) -> bool {
        true
    }

    /// Spoils what is stored of a source, as a bad disk or a careless hand would; `None` if the store has nothing that could
    /// be spoiled, which is the default.
    fn spoil<'a>(&'a self, source: &'a str) -> Option<BoxFuture<'a, ()>> {
        let _ = source;
        None
    }
}

macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |place| $name(place).boxed())),*]
    };
}

/// One behaviour over a place.
type Behaviour = for<'a> fn(&'a dyn Place) -> BoxFuture<'a, Held>;

const BEHAVIOURS: &[(&str, Behaviour)] = behaviours![
    what_was_stored_is_read_by_the_next_process,
    what_was_never_stored_is_nothing,
    a_later_checkpoint_replaces_an_earlier_one,
    many_are_stored_at_once,
    names_that_are_alike_are_told_apart,
    a_large_state_is_kept,
    a_checkpoint_does_not_go_back,
    the_highest_epoch_counts,
    one_that_is_refused_is_an_error_of_all,
    one_run_at_a_time,
    a_clone_of_the_lease_keeps_others_out,
    a_run_that_hangs_is_taken_over,
    what_is_spoiled_is_an_error,
];

/// Holds a store to all behaviours, and gives those that it does not hold.
pub async fn check(place: &dyn Place) -> Vec<Broken> {
    check_all(BEHAVIOURS.iter().map(|(name, behaviour)| (*name, behaviour(place)))).await
}

/// Holds a store to all behaviours.
///
/// # Panics
/// If there are any that it does not hold: with their names, and what was seen.
pub async fn run(place: &dyn Place) {
    let broken = check(place).await;
    let list: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(broken.is_empty(), "{} of {} do not hold:\n{}", broken.len(), BEHAVIOURS.len(), list.join("\n"));
}

fn checkpoint(source: &str, epoch: u64, pages: u64) -> Checkpoint {
    let mut mark = Mark::at(Position::Cursor(format!("é\"\\/\n{pages}😀")));
    mark.pages = pages;
    Checkpoint {
        source: source.to_owned(),
        run: format!("20260517T100000Z-{epoch:08x}"),
        epoch,
        mark,
        records: pages * 100,
        sink: SinkState(json!({"length": pages * 1000, "name": "a file", "deep": [null, {"a": 1.5}]})),
        definition: Definition::new().with("url", "https://api.example.com").with("records", "data"),
        saved_at: "2026-05-17T10:00:07Z".into(),
    }
}

async fn is(store: &dyn CheckpointStore, wanted: &Checkpoint) -> Held {
    let found = store.load(&wanted.source).await?;
    ensure(found.as_ref() == Some(wanted), || format!("{found:?} is stored, and not {wanted:?}"))
}

/// That it is an error, and of which kind.
fn is_refused<T>(outcome: Result<T>, kind: ErrorKind, what: &str) -> Held {
    match outcome {
        Ok(_) => Err(wrong(format!("{what} is no error"))),
        Err(error) => ensure(error.kind() == kind, || {
            format!("{what}: {:?} instead of {kind:?}: {error}", error.kind())
        }),
    }
}

async fn what_was_stored_is_read_by_the_next_process(place: &dyn Place) -> Held {
    let stored = checkpoint("stored", 1, 7);
    let mut end = checkpoint("stored_end", 1, 9);
    end.mark.next = None;
    let store = place.store();
    let lease = store.lock().await?;
    store.save(&lease, &[stored.clone(), end.clone()]).await?;
    is(&*store, &stored).await?;
    drop((lease, store));
    let store = place.store();
    is(&*store, &stored).await?;
    is(&*store, &end).await
}

async fn what_was_never_stored_is_nothing(place: &dyn Place) -> Held {
    let store = place.store();
    let lease = store.lock().await?;
    ensure(store.load("never").await?.is_none(), || {
        "there is a checkpoint of a source that never was".into()
    })?;
    store.save(&lease, &[]).await?;
    ensure(store.load_all(&[]).await?.is_empty(), || "there are checkpoints of no source".into())
}

async fn a_later_checkpoint_replaces_an_earlier_one(place: &dyn Place) -> Held {
    let store = place.store();
    let lease = store.lock().await?;
    for (epoch, pages) in [(1, 1), (1, 2), (1, 2), (2, 2), (3, 9), (4, 0)] {
        let next = checkpoint("replaced", epoch, pages);
        store.save(&lease, std::slice::from_ref(&next)).await?;
        is(&*place.store(), &next).await?;
    }
    Ok(())
}

async fn many_are_stored_at_once(place: &dyn Place) -> Held {
    let store = place.store();
    let lease = store.lock().await?;
    let many = |epoch, pages| -> Vec<Checkpoint> {
        (0..300_u64).map(|number| checkpoint(&format!("many_{number}"), epoch, pages + number)).collect()
    };
    store.save(&lease, &many(1, 1)).await?;
    store.save(&lease, &many(2, 5)).await?;
    let alone = checkpoint("many_7", 2, 500);
    store.save(&lease, std::slice::from_ref(&alone)).await?;
    // In another order, with some that are not there.
    let wanted = ["many_299", "many_300", "many_7", "many_0", "many_", "many_7"];
    let found = place.store().load_all(&wanted).await?;
    let expected = [
        Some(checkpoint("many_299", 2, 304)),
        None,
        Some(alone.clone()),
        Some(checkpoint("many_0", 2, 5)),
        None,
        Some(alone),
    ];
    ensure(found == expected, || format!("{found:?} were found of {wanted:?}"))
}

async fn names_that_are_alike_are_told_apart(place: &dyn Place) -> Held {
    let store = place.store();
    let lease = store.lock().await?;
    let long = "n".repeat(100);
    let longer = format!("{}o", &long[..99]);
    let names = [
        "alike",
        "alike.1",
        "alike.1.checkpoint",
        "alike-1",
        "alike_1",
        "alike.backfill",
        "0",
        "alike.",
        "lock",
        "lock.1",
        &long,
        &longer,
    ];
    for (number, name) in (1..).zip(names) {
        store.save(&lease, &[checkpoint(name, 1, number)]).await?;
    }
    for (number, name) in (1..).zip(names) {
        is(&*store, &checkpoint(name, 1, number)).await?;
    }
    Ok(())
}

async fn a_large_state_is_kept(place: &dyn Place) -> Held {
    let store = place.store();
    let lease = store.lock().await?;
    let mut large = checkpoint("large", 1, 1);
    large.sink = SinkState(Value::from(vec!["ä\u{0}\u{1f}\"'; DROP TABLE x --"; 10_000]));
    store.save(&lease, std::slice::from_ref(&large)).await?;
    is(&*place.store(), &large).await
}

async fn a_checkpoint_does_not_go_back(place: &dyn Place) -> Held {
    let store = place.store();
    let lease = store.lock().await?;
    let stored = checkpoint("back", 2, 7);
    store.save(&lease, std::slice::from_ref(&stored)).await?;
    let earlier = store.save(&lease, &[checkpoint("back", 2, 6)]).await;
    is_refused(earlier, ErrorKind::Checkpoint, "a checkpoint of fewer pages")?;
    is(&*store, &stored).await
}

async fn the_highest_epoch_counts(place: &dyn Place) -> Held {
    let store = place.store();
    let lease = store.lock().await?;
    let stored = checkpoint("epochs", 10, 3);
    store.save(&lease, std::slice::from_ref(&stored)).await?;
    let older = store.save(&lease, &[checkpoint("epochs", 9, 8)]).await;
    is_refused(older, ErrorKind::Locked, "a checkpoint of an older epoch")?;
    is(&*store, &stored).await?;
    // As high as they get when runs are taken over.
    let high = checkpoint("epochs", (7 << 32) + 1, 1);
    store.save(&lease, std::slice::from_ref(&high)).await?;
    is(&*store, &high).await
}

async fn one_that_is_refused_is_an_error_of_all(place: &dyn Place) -> Held {
    let store = place.store();
    let lease = store.lock().await?;
    let stored = checkpoint("refused_b", 5, 5);
    store.save(&lease, std::slice::from_ref(&stored)).await?;
    let some = [checkpoint("refused_a", 5, 1), checkpoint("refused_b", 4, 9), checkpoint("refused_c", 5, 1)];
    is_refused(store.save(&lease, &some).await, ErrorKind::Locked, "one of an older epoch among others")?;
    is(&*store, &stored).await?;
    // Each of the others is the old one or the new one, whole.
    for next in [&some[0], &some[2]] {
        let found = store.load(&next.source).await?;
        ensure(found.is_none() || found.as_ref() == Some(next), || {
            format!("{found:?} is neither old nor new")
        })?;
    }
    Ok(())
}

async fn one_run_at_a_time(place: &dyn Place) -> Held {
    let lease = place.store().lock().await?;
    is_refused(place.store().lock().await, ErrorKind::Locked, "a second run")?;
    lease.check()?;
    drop(lease);
    drop(place.store().lock().await?);
    let store = place.store();
    drop((store.lock().await?, store));
    place.store().lock().await.map(drop).map_err(|error| Wrong::from(error).at("locking it once more"))
}

async fn a_clone_of_the_lease_keeps_others_out(place: &dyn Place) -> Held {
    let store = place.store();
    let lease = store.lock().await?;
    let clone = lease.clone();
    drop((lease, store));
    is_refused(place.store().lock().await, ErrorKind::Locked, "a run beside a clone of the lease")?;
    drop(clone);
    drop(place.store().lock().await?);
    Ok(())
}

async fn a_run_that_hangs_is_taken_over(place: &dyn Place) -> Held {
    let frozen_store = place.store();
    let frozen: Lease = frozen_store.lock().await?;
    if !place.can_be_taken_over() {
        return is_refused(place.store().take_over().await, ErrorKind::Locked, "taking it over");
    }
    let before = checkpoint("over", 1, 3);
    frozen_store.save(&frozen, std::slice::from_ref(&before)).await?;
    let store = place.store();
    let lease = store.take_over().await.map_err(|error| Wrong::from(error).at("taking it over"))?;
    ensure(lease.term() > frozen.term(), || format!("the term {} follows {}", lease.term(), frozen.term()))?;
    lease.looked_at().await?;
    is(&*store, &before).await?;
    let claim = checkpoint("over", (lease.term() << 32) + 1, 3);
    store.save(&lease, std::slice::from_ref(&claim)).await?;
    // It wakes.
    is_refused(frozen.looked_at().await, ErrorKind::Locked, "the lease of a run that was taken over")?;
    let late = frozen_store.save(&frozen, &[checkpoint("over", 1, 9), checkpoint("over_other", 1, 1)]).await;
    is_refused(late, ErrorKind::Locked, "what a run stores that was taken over")?;
    is(&*store, &claim).await?;
    let next = checkpoint("over", claim.epoch, 4);
    store.save(&lease, std::slice::from_ref(&next)).await?;
    is_refused(place.store().lock().await, ErrorKind::Locked, "a run beside the one that took over")?;
    let term = lease.term();
    drop((lease, store));
    // The frozen one may hold its lease for ever: it does not count.
    let store = place.store();
    let lease = store
        .lock()
        .await
        .map_err(|error| Wrong::from(error).at("locking it behind a run that took over"))?;
    ensure(lease.term() >= term, || format!("the term went back from {term} to {}", lease.term()))?;
    is(&*store, &next).await?;
    drop((frozen, lease));
    let free = place.store().take_over().await?;
    ensure(free.term() >= term, || format!("the term went back from {term} to {}", free.term()))
}

async fn what_is_spoiled_is_an_error(place: &dyn Place) -> Held {
    let store = place.store();
    let lease = store.lock().await?;
    store.save(&lease, &[checkpoint("spoiled", 1, 3)]).await?;
    store.save(&lease, &[checkpoint("spoiled", 2, 4)]).await?;
    let Some(spoiled) = place.spoil("spoiled") else { return Ok(()) };
    spoiled.await;
    // Not nothing, and not the older one.
    is_refused(place.store().load("spoiled").await, ErrorKind::Checkpoint, "what cannot be trusted")
}
