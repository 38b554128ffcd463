//! What a process says of itself, compared with what was seen of it.

use headwater::ErrorKind;
use headwater::checkpoint::Checkpoint;
use headwater::pipeline::{Outcome, Report};
use headwater::testing::CrashFs;

use super::counted::Counted;
use super::disk;
use super::hub::Hub;
use super::life::{End, Fate};
use super::listing::Listing;
use super::oracle::{Invariant, ahead};
use super::shapes::Shape;
use super::world::World;

/// Compares what the process says of itself with what was seen; true if it ended in good order.
pub(crate) fn judge(
    hub: &Hub,
    world: &World,
    disk: &CrashFs,
    fate: Fate,
    end: &End,
    before: &[Option<Checkpoint>],
) -> bool {
    let report = match end {
        End::Died => None,
        End::Finished(report) => Some(report),
        End::Unfinished(error) => {
            let kind = error.error.kind();
            let mut state = hub.state();
            let disk_failed = matches!(kind, ErrorKind::Sink | ErrorKind::Checkpoint);
            state.note(format_args!("the run says: {kind:?}"));
            let expected = !disk_failed || state.disk_may_fail;
            state.oracle.check(expected, Invariant::ErrorsAreTyped, || {
                format!("a sound disk, and the run ended with {}", error.error)
            });
            error.report.as_deref()
        }
    };
    let orderly = match end {
        End::Died => false,
        End::Finished(_) => true,
        End::Unfinished(error) => {
            let disk_failed = matches!(error.error.kind(), ErrorKind::Sink | ErrorKind::Checkpoint);
            error.report.is_some()
                && !disk_failed
                && !matches!(fate, Fate::StopsAtOnce(_) | Fate::StopsTwice(..))
        }
    };
    let mut state = hub.state();
    state.tally.end(end.name());
    for (number, listing) in world.listings.iter().enumerate() {
        let view = &mut state.oracle.sources[number];
        // In good order everything that has come is committed, but for what `prefetch` had ahead.
        let since = |pages: usize| (pages + 1).saturating_sub(view.committed);
        let (arrived_only, handed_only) = (since(view.arrived), since(view.handed) + ahead(listing.prefetch));
        let lost = ahead_of_a_stop(world, fate, listing);
        view.may_repeat = match &listing.shape {
            // In whatever order they came.
            Some(shape) => view.handed.saturating_sub(view.committed) + shape.ahead(),
            None if orderly => lost,
            None => arrived_only.min(handed_only),
        };
    }
    drop(state);
    if let Some(report) = report {
        reconcile(hub, world, disk, report, (fate, orderly), before);
    }
    orderly
}

/// How many pages that have come a stop may leave unwritten: those that `prefetch` has ahead.
fn ahead_of_a_stop(world: &World, fate: Fate, listing: &Listing) -> usize {
    let stops = matches!(fate, Fate::StopsAfter(_) | Fate::StopsTwice(..)) || world.fail_fast;
    if stops && listing.prefetch > 0 { ahead(listing.prefetch) } else { 0 }
}

fn reconcile(
    hub: &Hub,
    world: &World,
    disk: &CrashFs,
    report: &Report,
    (fate, orderly): (Fate, bool),
    before: &[Option<Checkpoint>],
) {
    let mut state = hub.state();
    let stored = disk::checkpoints(world, &disk.image()).unwrap_or_default();
    for (number, listing) in world.listings.iter().enumerate() {
        let view = state.oracle.sources[number].clone();
        let name = &listing.name;
        let Some((source, stored)) = report.source(name).zip(stored.get(number).and_then(Option::as_ref))
        else {
            // One that could not be opened.
            continue;
        };
        // Of `prefetch` a task may run once more before it ends.
        let (requests, bytes, seen, waiting) = view.at_end;
        let said = (source.counts.requests, source.counts.bytes);
        let finished = source.outcome == Outcome::Finished;
        state.oracle.check(said == (requests, bytes), Invariant::CountsReconcile, || {
            format!("{name}: {said:?} requests and bytes are told, {:?} were seen", (requests, bytes))
        });
        // A retry counts when its wait is over; the run may end before it gets its permit.
        let retries = source.counts.retries;
        // Of several streams one may fail while others wait.
        let waits = source.outcome == Outcome::Stopped || (listing.shape.is_some() && !finished);
        // Behind its end a page may still be waited for.
        let counted = listing.shape.as_ref().and_then(Shape::counted);
        let has_lanes = listing.shape.as_ref().is_some_and(Shape::has_lanes);
        let pending = if waits || has_lanes { waiting } else { 0 };
        // Where another stream asks for what had failed, nobody can tell that from a retry.
        let unknown = counted.is_some_and(Counted::may_ask_again) && retries < requests;
        let fits = unknown || (seen..=seen + pending).contains(&retries);
        state.oracle.check(fits, Invariant::CountsReconcile, || {
            format!("{name}: {retries} retries are told, {seen} were seen")
        });
        let (records, pages) = (source.records, source.pages);
        let told = (records, pages) == (stored.records, stored.mark.pages);
        // A process that is stopped in the middle of a commit does not know how it ended.
        let behind = !orderly && pages <= stored.mark.pages;
        // Nor, where the checkpoint of a source that begins anew was being stored.
        let began_anew = !orderly && view.expired && (stored.records, stored.mark.pages) == (0, 0);
        state.oracle.check(told || behind || began_anew, Invariant::CountsReconcile, || {
            let stored = (stored.records, stored.mark.pages);
            format!("{name}: {:?} records and pages are told, {stored:?} are stored", (records, pages))
        });
        let stored_pages = usize::try_from(stored.mark.pages).expect("few pages");
        // Of one that has begun anew nothing is left of what was there.
        let resumed = before[number].as_ref().filter(|_| !view.anew).map_or(0, |before| before.records);
        state.oracle.check(source.resumed_records == resumed, Invariant::CountsReconcile, || {
            format!("{name}: it went on from {} records, {resumed} were there", source.resumed_records)
        });
        state.oracle.check(!orderly || finished == stored.is_finished(), Invariant::CountsReconcile, || {
            format!("{name} is {}, and its checkpoint says {:?}", source.outcome, stored.mark.next)
        });
        // Fetched = written + rejected, and a page is rejected as a whole, or not at all.
        if listing.shape.is_some() {
            // That of a finished one is known from its file.
            state.oracle.check(
                !finished || !orderly || view.pieces.lost(stored_pages) == 0,
                Invariant::CountsReconcile,
                || {
                    format!(
                        "{name}: {} pages have come that were not written",
                        view.pieces.lost(stored_pages)
                    )
                },
            );
            continue;
        }
        // A mistaken library may go on behind what has come.
        let fetched = listing.rows_of(view.arrived).checked_sub(listing.rows_of(view.resumed_pages));
        let written = records.checked_sub(resumed).and_then(|written| usize::try_from(written).ok());
        let lost = ahead_of_a_stop(world, fate, listing);
        state.oracle.check(!orderly || lost > 0 || fetched == written, Invariant::CountsReconcile, || {
            format!("{name}: {fetched:?} records were fetched, {written:?} written and none rejected")
        });
    }
}
