//! What holds when nothing goes wrong.

use super::desk::Desk;
use super::pages::{Listing, odd};
use super::{Held, Place, ensure};

pub(super) async fn what_is_written_comes_back(place: &dyn Place) -> Held {
    let listing = Listing::new("suite_written", "a", &[3, 1, 20, 2]);
    Desk::new(place).finish(&[&listing]).await
}

pub(super) async fn a_definition_is_the_same_each_time(place: &dyn Place) -> Held {
    let [one, other] = [place.sink(), place.sink()].map(|sink| (sink.definition(), sink.guarantee()));
    ensure(one == other, || format!("{one:?} is not {other:?}"))?;
    ensure(!one.0.is_empty(), || "the definition is empty".into())
}

pub(super) async fn a_page_of_no_records_is_a_page(place: &dyn Place) -> Held {
    for (name, sizes) in [
        ("suite_empty_first", &[0, 3, 2][..]),
        ("suite_empty_between", &[2, 0, 0, 0, 1]),
        ("suite_empty_last", &[2, 0]),
        ("suite_empty_all", &[0, 0]),
    ] {
        let listing = Listing::new(name, "a", sizes);
        let mut desk = Desk::new(place);
        let mut run = desk.open(&[name]).await?;
        for _ in sizes {
            run.write_next(&listing).await?;
            run.commit().await?;
        }
        desk.close(run, &[&listing]).await?;
    }
    Ok(())
}

/// Every one, in each commit, of an empty page too; the one that was not written may be there as well.
pub(super) async fn a_commit_gives_the_state_of_each_source_that_was_written(place: &dyn Place) -> Held {
    let listings = ["suite_states_a", "suite_states_b", "suite_states_c"]
        .map(|name| Listing::new(name, "a", &[1, 0, 2, 0, 0, 1, 1, 0]));
    let all = listings.each_ref();
    let mut desk = Desk::new(place);
    let mut run = desk.open(&all.map(|listing| listing.name.as_str())).await?;
    for which in [&[0][..], &[1], &[2, 0], &[0, 1, 2], &[1], &[2], &[]] {
        for &index in which {
            // Two pages of each: one has records, or neither has.
            run.write_next(all[index]).await?;
            run.write_next(all[index]).await?;
        }
        // It looks for the states itself.
        run.commit().await?;
    }
    run.pull(&all).await?;
    desk.close(run, &all).await
}

pub(super) async fn a_commit_of_nothing_is_one(place: &dyn Place) -> Held {
    let listing = Listing::new("suite_nothing", "a", &[2, 3]);
    let mut desk = Desk::new(place);
    let mut run = desk.open(&[&listing.name]).await?;
    for _ in 0..2 {
        run.commit().await?;
        run.write_next(&listing).await?;
        run.commit().await?;
        run.commit().await?;
    }
    desk.close(run, &[&listing]).await
}

pub(super) async fn two_sources_do_not_mix(place: &dyn Place) -> Held {
    // Names of which one is the beginning of the other, and that differ in what a file system may not tell apart.
    let listings = ["suite_two", "suite_two.a", "suite_two-a", "suite_two_a"]
        .map(|name| Listing::new(name, "a", &[2, 1, 3, 1]));
    let all = listings.each_ref();
    let names = all.map(|listing| listing.name.as_str());
    let mut desk = Desk::new(place);
    let mut run = desk.open(&names).await?;
    for listing in [all[0], all[1], all[0], all[3], all[2]] {
        run.write_next(listing).await?;
    }
    run.commit().await?;
    for listing in [all[3], all[1], all[1], all[0]] {
        run.write_next(listing).await?;
    }
    desk.crash(run);
    // Alone, and in another order.
    desk.finish(&[all[1]]).await?;
    let mut run = desk.open(&[names[3], names[0], names[2]]).await?;
    run.pull(&[all[0], all[2], all[3]]).await?;
    desk.close(run, &all).await
}

pub(super) async fn many_sources_are_opened_at_once(place: &dyn Place) -> Held {
    let listings: Vec<Listing> =
        (0..40).map(|number| Listing::new(format!("suite_many_{number:02}"), "a", &[1, 2, 1])).collect();
    let all: Vec<&Listing> = listings.iter().collect();
    let names: Vec<&str> = listings.iter().map(|listing| listing.name.as_str()).collect();
    let mut desk = Desk::new(place);
    let mut run = desk.open(&names).await?;
    // Each has come to another page.
    for (number, listing) in all.iter().enumerate() {
        for _ in 0..number % 4 {
            run.write_next(listing).await?;
        }
    }
    run.commit().await?;
    for listing in &all {
        run.write_next(listing).await?;
    }
    desk.crash(run);
    desk.finish(&all).await
}

pub(super) async fn records_of_every_kind_are_kept(place: &dyn Place) -> Held {
    let name = "suite_odd";
    let mut pages: Vec<Vec<String>> = odd(name).into_iter().map(|record| vec![record]).collect();
    pages.push(odd("suite_odd_more"));
    let listing = Listing::of(name, pages);
    let mut desk = Desk::new(place);
    let mut run = desk.open(&[name]).await?;
    // Through half of them, and once more.
    for _ in 0..listing.len() / 2 {
        run.write_next(&listing).await?;
    }
    run.commit().await?;
    desk.crash(run);
    desk.finish(&[&listing]).await
}

pub(super) async fn a_record_of_a_megabyte_is_kept(place: &dyn Place) -> Held {
    let name = "suite_large";
    let large = |id: u32| {
        let text = "flow of water ".repeat(80_000);
        format!(r#"{{"id":"{name}/{id}","number":{id},"text":"{text}"}}"#)
    };
    let listing = Listing::of(name, vec![vec![large(1)], vec![large(2), large(3)]]);
    let mut desk = Desk::new(place);
    let mut run = desk.open(&[name]).await?;
    run.write_next(&listing).await?;
    run.commit().await?;
    run.write_next(&listing).await?;
    desk.crash(run);
    desk.finish(&[&listing]).await
}

/// It goes along with every checkpoint: it must not grow with the run.
pub(super) async fn a_state_stays_small(place: &dyn Place) -> Held {
    let listing = Listing::new("suite_small", "a", &[1; 120]);
    let mut desk = Desk::new(place);
    let mut run = desk.open(&[&listing.name]).await?;
    let mut largest = 0;
    for _ in 0..listing.len() {
        run.write_next(&listing).await?;
        run.commit().await?;
        largest = largest.max(run.state(&listing.name).0.to_string().len());
    }
    ensure(largest <= 16 * 1024, || format!("after 120 commits the state of a source has {largest} bytes"))?;
    desk.close(run, &[&listing]).await
}
