//! The same through a pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;

use super::desk::{lock, polled};
use super::pages::Listing;
use super::{Held, Place, Wrong, compare, ensure, is_exact, seed, wrong};
use crate::checkpoint::{Checkpoint, CheckpointStore, MemoryStore};
use crate::error::ErrorKind;
use crate::paginate::PageNumber;
use crate::pipeline::{Pipeline, Report, RunError};
use crate::source::Source;
use crate::testing::{Reply, Scripted};

/// The source that gives the pages of a listing; `expires` at a page, it goes on with those of another.
fn source(listing: &Listing, expires: Option<(u64, Listing)>) -> Result<Source, Wrong> {
    let (pages, has_expired) = (listing.clone(), Arc::new(AtomicBool::new(false)));
    let api = Scripted::from_fn(move |request, _| {
        let page = request.url().query_pairs().find(|(name, _)| name == "page");
        let page: u64 = page.and_then(|(_, number)| number.parse().ok()).unwrap_or(1);
        if let Some((at, _)) = &expires
            && *at == page
            && !has_expired.swap(true, Ordering::SeqCst)
        {
            return Reply::status(410);
        }
        let pages = match &expires {
            Some((_, other)) if has_expired.load(Ordering::SeqCst) => other,
            _ => &pages,
        };
        let records =
            pages.pages.get(page as usize - 1).map_or_else(String::new, |records| records.join(","));
        Reply::json(format!(r#"{{"data":[{records}],"more":{}}}"#, page < pages.len()))
            .delay(Duration::from_millis(1))
    });
    let source = Source::get(&listing.name, "https://suite.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .allow_identical_pages()
        .restart_on_expiry()
        .transport(api);
    Ok(source.build()?)
}

fn pipeline(place: &dyn Place, store: &MemoryStore) -> (Pipeline, bool) {
    let sink = place.sink();
    let pipeline = Pipeline::new().commit_every(Duration::from_millis(3));
    let is_own = sink.checkpoints().is_none();
    let pipeline = if is_own { pipeline.checkpoints(store.clone()) } else { pipeline };
    (pipeline.sink(sink), is_own)
}

fn failed(error: RunError) -> Wrong {
    wrong(format!("the run failed: {}", error.error))
}

pub(super) async fn a_pipeline_pulls_into_it(place: &dyn Place) -> Held {
    let listings = ["suite_pulled_a", "suite_pulled_b", "suite_pulled_c"]
        .map(|name| Listing::new(name, "a", &[3, 1, 2, 5, 0]));
    let (mut pipeline, _) = pipeline(place, &MemoryStore::new());
    for listing in &listings {
        pipeline = pipeline.source(source(listing, None)?);
    }
    let report = pipeline.run().await.map_err(failed)?;
    for listing in &listings {
        told(&report, listing)?;
        compare::is_there(place, listing, 0).await?;
    }
    Ok(())
}

fn told(report: &Report, listing: &Listing) -> Held {
    let told = report.source(&listing.name).map_or(0, |source| source.records);
    let written = listing.records().len() as u64;
    ensure(told == written, || {
        format!("the report says {told} records of {}, and not {written}", listing.name)
    })
}

pub(super) async fn a_pipeline_that_is_dropped_goes_on(place: &dyn Place) -> Held {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    dropped(place, &mut random)
        .await
        .map_err(|wrong| wrong.at(format!("HEADWATER_SEED={seed} does it again")))
}

async fn dropped(place: &dyn Place, random: &mut Rng) -> Held {
    let sizes: Vec<usize> = (0..30).map(|_| random.usize(1..4)).collect();
    let listings = ["suite_dropped_a", "suite_dropped_b"].map(|name| Listing::new(name, "a", &sizes));
    let store = MemoryStore::new();
    let mut runs = 0;
    loop {
        runs += 1;
        let (mut pipeline, is_own) = pipeline(place, &store);
        for listing in &listings {
            pipeline = pipeline.source(source(listing, None)?);
        }
        // What the run before has on its way may keep this one out for a while.
        let known = if is_own { None } else { place.sink().checkpoints() };
        let known: &dyn CheckpointStore = known.as_deref().unwrap_or(&store);
        drop(lock(known).await?);
        // It was dropped behind its last commit: the next would be another run.
        if is_over(place, known, &listings).await? {
            break;
        }
        let polls = if runs > 12 { u32::MAX } else { random.u32(1..80) };
        match polled(polls, pipeline.run()).await {
            None => place.crash(),
            Some(Ok(_)) => break,
            // A place in which this run is told to wait.
            Some(Err(error)) if error.error.kind() == ErrorKind::Locked => {}
            Some(Err(error)) => return Err(failed(error).at(format!("run {runs}"))),
        }
    }
    if is_exact(place) {
        for listing in &listings {
            compare::is_there(place, listing, 0).await?;
        }
    }
    Ok(())
}

/// Whether a run that was dropped had nothing left to do.
async fn is_over(
    place: &dyn Place,
    store: &dyn CheckpointStore,
    listings: &[Listing],
) -> Result<bool, Wrong> {
    let names: Vec<&str> = listings.iter().map(|listing| listing.name.as_str()).collect();
    let known = store.load_all(&names).await?;
    let sink = place.sink();
    let is_done = |known: &Checkpoint| known.is_finished() && sink.is_settled(&known.sink);
    Ok(known.iter().all(|known| known.as_ref().is_some_and(is_done)))
}

pub(super) async fn a_pipeline_whose_position_expires_begins_anew(place: &dyn Place) -> Held {
    let name = "suite_expires";
    let old = Listing::new(name, "old", &[2, 1, 3, 1, 2, 2]);
    let new = Listing::new(name, "new", &[1, 2, 2, 1, 1]);
    let (pipeline, _) = pipeline(place, &MemoryStore::new());
    match pipeline.source(source(&old, Some((4, new.clone())))?).run().await {
        Ok(report) => {
            told(&report, &new)?;
            compare::is_there(place, &new, 0).await
        }
        // Where nothing can be discarded, it says so.
        Err(error) if error.error.kind() == ErrorKind::CursorExpired => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
