//! What is left when a run breaks off.

use super::desk::Desk;
use super::pages::Listing;
use super::{Held, Place, is_exact};
use crate::sink::Guarantee;

pub(super) async fn what_was_not_committed_is_gone(place: &dyn Place) -> Held {
    // Before the first commit, and behind one.
    for (name, before) in [("suite_gone", 0), ("suite_gone_behind", 2)] {
        let listing = Listing::new(name, "a", &[2, 3, 400, 1, 2]);
        let mut desk = Desk::new(place);
        let mut run = desk.open(&[name]).await?;
        for _ in 0..before {
            run.write_next(&listing).await?;
        }
        run.commit().await?;
        run.write_next(&listing).await?;
        run.write_next(&listing).await?;
        desk.crash(run);
        desk.finish(&[&listing]).await?;
    }
    Ok(())
}

/// Behind each commit, and with nothing written behind it.
pub(super) async fn what_was_committed_survives_a_drop(place: &dyn Place) -> Held {
    let listing = Listing::new("suite_survives", "a", &[1, 2, 0, 30, 1, 1]);
    let mut desk = Desk::new(place);
    for _ in 0..listing.len() {
        let mut run = desk.open(&[&listing.name]).await?;
        run.write_next(&listing).await?;
        run.commit().await?;
        desk.crash(run);
    }
    // All of it is finished: there is nothing left to open.
    desk.look(&[&listing]).await
}

pub(super) async fn what_is_written_beside_a_commit_belongs_to_the_next(place: &dyn Place) -> Held {
    let listings =
        ["suite_beside_a", "suite_beside_b"].map(|name| Listing::new(name, "a", &[2, 1, 3, 2, 2, 1]));
    let all = listings.each_ref();
    let names = all.map(|listing| listing.name.as_str());
    let mut desk = Desk::new(place);
    for _ in 0..2 {
        let mut run = desk.open(&names).await?;
        run.write_next(all[0]).await?;
        let begun = run.begin().await?;
        if begun.is_on_its_way() {
            run.write_next(all[0]).await?;
            run.write_next(all[1]).await?;
        }
        let checkpoints = begun.durable().await?;
        run.save(&checkpoints).await?;
        // Of both, and none of it in the checkpoint.
        run.write_next(all[0]).await?;
        run.write_next(all[1]).await?;
        desk.crash(run);
        let mut run = desk.open(&names).await?;
        run.write_next(all[1]).await?;
        run.commit().await?;
        desk.crash(run);
    }
    // And without a crash.
    let mut run = desk.open(&names).await?;
    for listing in all {
        let begun = run.begin().await?;
        if begun.is_on_its_way() {
            run.write_next(listing).await?;
        }
        let checkpoints = begun.durable().await?;
        run.save(&checkpoints).await?;
        run.write_next(listing).await?;
    }
    run.pull(&all).await?;
    desk.close(run, &all).await
}

/// Durable, but nobody knows it: the next run writes it again.
pub(super) async fn a_commit_whose_checkpoint_was_lost_does_not_count(place: &dyn Place) -> Held {
    if !is_exact(place) {
        return Ok(());
    }
    let listing = Listing::new("suite_lost", "a", &[2, 1, 200, 2, 0, 1]);
    let mut desk = Desk::new(place);
    for _ in 0..listing.len() {
        for pages in [1, 2] {
            let mut run = desk.open(&[&listing.name]).await?;
            for _ in 0..pages {
                run.write_next(&listing).await?;
            }
            let durable = run.begin().await?.durable().await?;
            drop(durable);
            desk.crash(run);
        }
        let mut run = desk.open(&[&listing.name]).await?;
        run.write_next(&listing).await?;
        run.commit().await?;
        desk.crash(run);
    }
    desk.look(&[&listing]).await
}

/// The crash comes before the run has heard that its checkpoint was stored.
pub(super) async fn a_commit_whose_checkpoint_was_stored_counts(place: &dyn Place) -> Held {
    let listing = Listing::new("suite_stored", "a", &[2, 1, 3]);
    let mut desk = Desk::new(place);
    for _ in 0..listing.len() {
        let mut run = desk.open(&[&listing.name]).await?;
        run.write_next(&listing).await?;
        let checkpoints = run.begin().await?.durable().await?;
        run.store.save(&run.lease, &checkpoints).await?;
        desk.crash(run);
    }
    desk.look(&[&listing]).await
}

pub(super) async fn an_end_that_was_not_committed_is_none(place: &dyn Place) -> Held {
    let listing = Listing::new("suite_end", "a", &[2, 2, 2]);
    let is_exact = is_exact(place);
    let mut desk = Desk::new(place);
    // `finish` was called, and then: nothing, a commit that was begun, one that was durable.
    for step in 0..3 {
        let mut run = desk.open(&[&listing.name]).await?;
        for _ in 0..listing.len() {
            run.write_next(&listing).await?;
        }
        match step {
            0 => {}
            1 => drop(run.begin().await?),
            _ if is_exact => drop(run.begin().await?.durable().await?),
            _ => {}
        }
        desk.crash(run);
    }
    if !is_exact {
        return Ok(());
    }
    desk.finish(&[&listing]).await
}

pub(super) async fn a_run_that_is_closed_without_a_commit_goes_on(place: &dyn Place) -> Held {
    let listing = Listing::new("suite_closed", "a", &[2, 3, 1, 2]);
    let mut desk = Desk::new(place);
    for _ in 0..2 {
        let mut run = desk.open(&[&listing.name]).await?;
        run.write_next(&listing).await?;
        run.commit().await?;
        run.write_next(&listing).await?;
        // As behind a failure.
        run.sink.close().await?;
        drop(run);
    }
    desk.finish(&[&listing]).await
}

pub(super) async fn opening_again_and_again_changes_nothing(place: &dyn Place) -> Held {
    let listing = Listing::new("suite_again", "a", &[3, 1, 2]);
    let mut desk = Desk::new(place);
    for _ in 0..listing.len() {
        for is_closed in [false, true, false] {
            let mut run = desk.open(&[&listing.name]).await?;
            if is_closed {
                run.sink.close().await?;
            }
            drop(run);
        }
        let mut run = desk.open(&[&listing.name]).await?;
        run.write_next(&listing).await?;
        run.commit().await?;
        desk.crash(run);
    }
    desk.look(&[&listing]).await
}

/// The pipeline may be given another store. A sink that is exact only with its own says so.
pub(super) async fn a_store_of_another_kind_will_do(place: &dyn Place) -> Held {
    let listing = Listing::new("suite_store", "a", &[2, 1, 3, 1]);
    let mut desk = Desk::new(place);
    desk.is_own = true;
    let mut run = desk.open(&[&listing.name]).await?;
    run.write_next(&listing).await?;
    run.commit().await?;
    run.write_next(&listing).await?;
    desk.crash(run);
    let mut run = desk.open(&[&listing.name]).await?;
    run.write_next(&listing).await?;
    let durable = run.begin().await?.durable().await?;
    if run.sink.guarantee() == Guarantee::ExactlyOnce {
        drop(durable);
    } else {
        run.save(&durable).await?;
    }
    desk.crash(run);
    desk.finish(&[&listing]).await
}
