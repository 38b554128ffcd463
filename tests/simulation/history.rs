//! A world from its first process to the end of its last run.

use std::sync::Arc;
use std::time::Duration;

use headwater::ErrorKind;
use headwater::checkpoint::Checkpoint;
use headwater::pipeline::{Outcome, Report};
use headwater::testing::{CrashFs, Image};

use super::disk;
use super::hub::Hub;
use super::life::{End, Fate, live};
use super::mutants::Mutant;
use super::oracle::{Invariant, Violation, ahead};
use super::tally::Tally;
use super::world::World;

/// From this process on nothing goes wrong any more, so that every run can finish.
const CALM: u32 = 25;
const MOST_LIVES: u32 = 40;

/// What became of a world.
pub(crate) struct History {
    pub(crate) violation: Option<Violation>,
    pub(crate) trace: String,
    pub(crate) tail: String,
    pub(crate) tally: Tally,
}

/// Lives through the world of a seed.
pub(crate) fn history(seed: u64, mutant: Option<Mutant>) -> History {
    // The names of runs have some chance in them.
    fastrand::seed(seed);
    let world = Arc::new(World::new(seed));
    let hub = Hub::new(world.clone(), mutant);
    let mut disk = CrashFs::new();
    let mut finished_files = Vec::new();
    for run in 0..world.runs {
        hub.state().oracle.begin_run();
        let finished = one_run(&hub, &world, &mut disk, &finished_files);
        let mut state = hub.state();
        if state.oracle.violation.is_some() {
            break;
        }
        if !finished {
            let what = format!("run {run} is not finished after {MOST_LIVES} processes");
            state.oracle.violated(Invariant::RunsFinish, what);
            break;
        }
        state.tally.runs += 1;
        state.tally.records += world.rows();
        finished_files = data_files(&disk.image());
        state.base += Duration::from_secs(86_400 / 4);
    }
    let mut state = hub.state();
    let (now, lines) = (state.now(), state.trace.lines());
    let tally = &mut state.tally;
    (tally.worlds, tally.virtual_time, tally.lines) = (1, now, lines);
    for listing in &world.listings {
        *tally.dialects.entry(listing.dialect.name()).or_default() += 1;
    }
    History {
        violation: state.oracle.violation.clone(),
        trace: state.trace.text().to_owned(),
        tail: state.trace.tail(240),
        tally: std::mem::take(&mut state.tally),
    }
}

/// Starts processes until the run is finished; false if that never comes.
fn one_run(hub: &Hub, world: &Arc<World>, disk: &mut CrashFs, finished_files: &[(String, Vec<u8>)]) -> bool {
    // Of an earlier run, if there was one.
    let before = disk::checkpoints(world, &disk.image()).unwrap_or_default();
    let old_run = before.iter().flatten().map(|checkpoint| checkpoint.run.clone()).next();
    for life in 0..MOST_LIVES {
        let now = hub.state().now();
        let image = disk.image();
        let found = match disk::checkpoints(world, &image) {
            Ok(found) => found,
            Err(why) => {
                hub.state().oracle.violated(Invariant::ExactlyOnce, why);
                return false;
            }
        };
        // What belongs to an earlier run says nothing of this one.
        let found: Vec<Option<Checkpoint>> = found
            .into_iter()
            .map(|checkpoint| checkpoint.filter(|c| Some(&c.run) != old_run.as_ref()))
            .collect();
        if !look_at_the_disk(hub, world, &image, &found, finished_files, now) {
            return false;
        }
        if found.iter().all(|found| found.as_ref().is_some_and(Checkpoint::is_finished)) {
            return true;
        }
        let known: Vec<(usize, bool)> = found.iter().map(|found| known(found.as_ref())).collect();
        let calm = life >= CALM;
        let fate = {
            let mut state = hub.state();
            state.oracle.begin_life(&known);
            state.faults = !calm;
            if calm { Fate::Free } else { Fate::random(&mut state.random) }
        };
        let changes = disk.operations();
        let end = live(hub, world, disk, fate);
        hub.state().tally.lives += 1;
        let orderly = judge(hub, world, disk, fate, &end, &found);
        settle(hub, disk, changes, &end, orderly);
        // Somebody starts it again, at once or later.
        let mut state = hub.state();
        let pause = if state.one_in(3) { state.random.u64(1..7_200_000) } else { state.random.u64(1..5000) };
        state.base += Duration::from_millis(pause);
        if mutant_forgets(&state.mutant) {
            *disk = CrashFs::new();
        }
    }
    false
}

fn mutant_forgets(mutant: &Option<Mutant>) -> bool {
    *mutant == Some(Mutant::RunsForgetTheirSignal)
}

fn known(found: Option<&Checkpoint>) -> (usize, bool) {
    found.map_or((0, false), |found| {
        (usize::try_from(found.mark.pages).expect("few pages"), found.is_finished())
    })
}

/// Whether what is durable is right, and as much as it must be.
fn look_at_the_disk(
    hub: &Hub,
    world: &World,
    image: &Image,
    found: &[Option<Checkpoint>],
    finished_files: &[(String, Vec<u8>)],
    now: Duration,
) -> bool {
    let mut state = hub.state();
    for ((number, listing), found) in world.listings.iter().enumerate().zip(found) {
        if let Some(found) = found {
            if let Err(why) = disk::check(listing, image, found, now) {
                state.oracle.violated(Invariant::ExactlyOnce, why);
            }
        }
        let (pages, _) = known(found.as_ref());
        let view = state.oracle.sources[number].clone();
        state.oracle.check(pages >= view.committed, Invariant::FewRequestsAgain, || {
            format!("{}: {} pages were committed, and {pages} are known", listing.name, view.committed)
        });
        let again = view.served.saturating_sub(pages);
        state.oracle.check(again <= view.may_repeat, Invariant::FewRequestsAgain, || {
            let most = view.may_repeat;
            format!("{}: {again} pages have to be asked for again, and not at most {most}", listing.name)
        });
    }
    for (name, bytes) in finished_files {
        state.oracle.check(image.read(name) == Some(bytes), Invariant::ExactlyOnce, || {
            format!("{name} of a finished run has changed")
        });
    }
    state.oracle.violation.is_none()
}

/// Compares what the process says of itself with what was seen; true if it ended in good order.
fn judge(
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
        let arrived_only = view.arrived - view.committed + 1;
        let handed_only = view.handed - view.committed + 1 + ahead(listing.prefetch);
        view.may_repeat = match (orderly, listing.prefetch) {
            (true, 0) => 0,
            (true, prefetch) => prefetch + 2,
            (false, _) => arrived_only.min(handed_only),
        };
    }
    drop(state);
    if let Some(report) = report {
        reconcile(hub, world, disk, report, orderly, before);
    }
    orderly
}

fn reconcile(
    hub: &Hub,
    world: &World,
    disk: &CrashFs,
    report: &Report,
    orderly: bool,
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
        let said = (source.counts.requests, source.counts.bytes);
        let finished = source.outcome == Outcome::Finished;
        state.oracle.check(said == view.at_end, Invariant::CountsReconcile, || {
            format!("{name}: {said:?} requests and bytes are told, {:?} were seen", view.at_end)
        });
        // A retry counts when its wait is over; the run may end before it gets its permit.
        let retries = source.counts.retries;
        let pending = u64::from(view.after_failure && source.outcome == Outcome::Stopped);
        let fits = (view.retries..=view.retries + pending).contains(&retries);
        state.oracle.check(fits, Invariant::CountsReconcile, || {
            format!("{name}: {retries} retries are told, {} were seen", view.retries)
        });
        let (records, pages) = (source.records, source.pages);
        let told = (records, pages) == (stored.records, stored.mark.pages);
        // A process that is stopped in the middle of a commit does not know how it ended.
        let behind = !orderly && pages <= stored.mark.pages;
        state.oracle.check(told || behind, Invariant::CountsReconcile, || {
            let stored = (stored.records, stored.mark.pages);
            format!("{name}: {:?} records and pages are told, {stored:?} are stored", (records, pages))
        });
        let resumed = before[number].as_ref().map_or(0, |before| before.records);
        state.oracle.check(source.resumed_records == resumed, Invariant::CountsReconcile, || {
            format!("{name}: it went on from {} records, {resumed} were there", source.resumed_records)
        });
        state.oracle.check(!orderly || finished == stored.is_finished(), Invariant::CountsReconcile, || {
            format!("{name} is {}, and its checkpoint says {:?}", source.outcome, stored.mark.next)
        });
        // Fetched = written + rejected, and a page is rejected as a whole, or not at all.
        let fetched = listing.rows_of(view.arrived) - listing.rows_of(view.resumed_pages);
        let written = usize::try_from(records - resumed).expect("few records");
        state.oracle.check(
            !orderly || listing.prefetch > 0 || fetched == written,
            Invariant::CountsReconcile,
            || format!("{name}: {fetched} records were fetched, {written} written and none rejected"),
        );
    }
}

/// What a dead process leaves: the disk as it is, or as a power loss leaves it.
fn settle(hub: &Hub, disk: &mut CrashFs, changes: usize, end: &End, orderly: bool) {
    let mut state = hub.state();
    if orderly || state.one_in(2) {
        return;
    }
    // At the instant of its end, or any time since its start.
    let all = disk.operations();
    let at = if state.one_in(2) { state.random.usize(changes..=all) } else { all };
    let _ = end;
    state.note(format_args!("power loss after {} of {} changes", at - changes, all - changes));
    state.tally.end("and lost power");
    let State { oracle, saves, .. } = &mut *state;
    for (number, view) in oracle.sources.iter_mut().enumerate() {
        let (committed, of) = (view.committed, |save: &&(usize, usize, usize)| save.1 == number);
        let kept = saves.iter().filter(of).rfind(|save| save.0 <= at).map(|save| save.2);
        view.committed = kept.unwrap_or(view.durable_before);
        view.may_repeat += committed - view.committed;
    }
    let image = disk.crash(at).sample(&mut state.random);
    *disk = CrashFs::from_image(image);
    state.disk_may_fail = false;
}

use super::hub::State;

fn data_files(image: &Image) -> Vec<(String, Vec<u8>)> {
    let is_data = |name: &str| name.ends_with(".jsonl");
    let files = image.files().map(|(path, bytes)| (path.display().to_string(), bytes.to_vec()));
    files.filter(|(name, _)| is_data(name)).collect()
}
