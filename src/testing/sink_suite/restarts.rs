//! Sources that begin anew, runs that follow one another, and two at once.

use super::desk::Desk;
use super::pages::Listing;
use super::{Held, Place, compare, ensure, wrong};
use crate::error::ErrorKind;

/// What a source wrote in this run is discarded, where the sink can do that; also if the run dies in the middle of it.
pub(super) async fn a_source_begins_anew(place: &dyn Place) -> Held {
    for (name, dies) in [("suite_anew", false), ("suite_anew_dies", true)] {
        let other = Listing::new(format!("{name}_other"), "a", &[1, 1, 1, 1]);
        let old = Listing::new(name, "old", &[2, 3, 1, 2]);
        let new = Listing::new(name, "new", &[1, 0, 4]);
        let mut desk = Desk::new(place);
        let mut run = desk.open(&[name, &other.name]).await?;
        for _ in 0..2 {
            run.write_next(&old).await?;
            run.write_next(&other).await?;
            run.commit().await?;
        }
        let Some(emptied) = run.sink.emptied(&run.state(name)) else {
            // Nothing can be discarded, and it says so.
            drop(run);
            return desk.finish(&[&old, &other]).await;
        };
        // Not committed, and to be discarded as well.
        run.write_next(&old).await?;
        run.write_next(&other).await?;
        run.begin_anew(name, emptied, dies).await?;
        if !dies {
            run.pull(&[&new, &other]).await?;
            desk.close(run, &[&new, &other]).await?;
            continue;
        }
        desk.crash(run);
        desk.finish(&[&new, &other]).await?;
    }
    Ok(())
}

/// The first one's records may stay or go; those of the second are there once, and behind them.
pub(super) async fn a_second_run_follows_a_finished_one(place: &dyn Place) -> Held {
    let name = "suite_second";
    let mut desk = Desk::new(place);
    let mut before: Vec<Listing> = Vec::new();
    for generation in ["a", "b", "c"] {
        let listing = Listing::new(name, generation, &[2, 1, 2]);
        let mut run = desk.open(&[name]).await?;
        run.write_next(&listing).await?;
        run.commit().await?;
        run.write_next(&listing).await?;
        desk.crash(run);
        let mut run = desk.open(&[name]).await?;
        run.pull(&[&listing]).await?;
        run.sink.close().await?;
        drop(run);
        let read = place.committed(name).await?;
        let of = |generation: &Listing| -> Vec<String> {
            let mark = format!("{name}/{}/", generation.name);
            read.iter().filter(|line| line.contains(&mark)).cloned().collect()
        };
        let named = |generation: &str| Listing { name: generation.to_owned(), ..listing.clone() };
        compare::same(place, name, &listing.records(), &of(&named(generation)), 0)?;
        for earlier in &before {
            let kept = of(earlier);
            if !kept.is_empty() {
                compare::same(place, name, &earlier.records(), &kept, 0)?;
            }
        }
        before.push(Listing { name: generation.to_owned(), ..listing });
    }
    Ok(())
}

pub(super) async fn a_second_process_is_kept_out(place: &dyn Place) -> Held {
    let listing = Listing::new("suite_kept_out", "a", &[2, 2]);
    let mut desk = Desk::new(place);
    let mut run = desk.open(&[&listing.name]).await?;
    run.write_next(&listing).await?;
    if let Some(store) = place.sink().checkpoints() {
        match store.lock().await {
            Err(error) if error.kind() == ErrorKind::Locked => {}
            Err(error) => {
                return Err(wrong(format!(
                    "an error of kind {:?} instead of `Locked`: {error}",
                    error.kind()
                )));
            }
            Ok(_) => return Err(wrong("two runs hold the checkpoints at once")),
        }
    }
    run.pull(&[&listing]).await?;
    desk.close(run, &[&listing]).await?;
    // It is free again.
    let follows = Listing::new("suite_kept_out_follows", "a", &[1]);
    desk.finish(&[&follows]).await
}

pub(super) async fn a_later_record_of_the_same_key_counts(place: &dyn Place) -> Held {
    let Some(key) = place.key() else { return Ok(()) };
    let name = "suite_key";
    let record = |id: u32, number: u32| format!(r#"{{"{key}":"{name}/{id}","number":{number},"text":"t"}}"#);
    let pages = vec![
        vec![record(1, 1), record(2, 1), record(1, 2)],
        vec![record(3, 1), record(2, 2)],
        vec![record(1, 3)],
    ];
    let listing = Listing::of(name, pages);
    let mut desk = Desk::new(place);
    let mut run = desk.open(&[name]).await?;
    run.write_next(&listing).await?;
    run.commit().await?;
    run.write_next(&listing).await?;
    desk.crash(run);
    let mut run = desk.open(&[name]).await?;
    run.pull(&[&listing]).await?;
    run.sink.close().await?;
    drop(run);
    let read = place.committed(name).await?;
    ensure(read.len() == 3, || format!("{} records for three keys", read.len()))?;
    compare::same(place, name, &[&record(1, 3), &record(2, 2), &record(3, 1)], &read, 0)
}
