//! A world from its first process to the end of its last run.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use headwater::checkpoint::Checkpoint;
use headwater::testing::{CrashFs, Image};

use super::disk;
use super::hub::{Hub, State};
use super::judge::judge;
use super::life::{Fate, live};
use super::mutants::Mutant;
use super::oracle::{Invariant, Violation};
use super::tally::Tally;
use super::trace::Trace;
use super::world::{CLOCK_AHEAD, World, wall};

/// From this process on nothing goes wrong any more, so that every run can finish.
const CALM: u32 = 25;
const MOST_LIVES: u32 = 40;

/// What became of a world.
pub(crate) struct History {
    pub(crate) violation: Option<Violation>,
    pub(crate) trace: Trace,
    pub(crate) tail: String,
    pub(crate) tally: Tally,
    /// Whether the same seed must give the same trace.
    pub(crate) is_deterministic: bool,
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
        state.oracle.run += 1;
        finished_files = data_files(&disk.image());
        for (name, bytes) in &finished_files {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            state.note(format_args!("{name}: {} bytes, {:016x}", bytes.len(), hasher.finish()));
        }
        state.base += Duration::from_secs(86_400 / 4);
    }
    let mut state = hub.state();
    let (now, lines) = (state.now(), state.trace.lines());
    let mut hasher = DefaultHasher::new();
    state.trace.text().hash(&mut hasher);
    let tally = &mut state.tally;
    (tally.worlds, tally.virtual_time, tally.lines) = (1, now, lines);
    tally.outputs.insert(world.output.name(), 1);
    tally.traces = hasher.finish();
    for listing in &world.listings {
        *tally.dialects.entry(listing.kind()).or_default() += 1;
    }
    History {
        violation: state.oracle.violation.clone(),
        tail: state.trace.tail(60),
        trace: std::mem::take(&mut state.trace),
        tally: std::mem::take(&mut state.tally),
        is_deterministic: world.output.is_deterministic(),
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
        let Some(rows) = look_at_the_disk(hub, world, &image, &found, finished_files, now) else {
            return false;
        };
        let settled = |found: &Checkpoint| found.is_finished() && world.output.is_settled(&found.sink);
        if found.iter().all(|found| found.as_ref().is_some_and(settled)) {
            let mut state = hub.state();
            // What the files have, as was checked.
            state.tally.records += found.iter().flatten().map(|found| found.records).sum::<u64>();
            let mut views = state.oracle.sources.iter().zip(&found);
            if !views.all(|(view, found)| view.committed == known(found.as_ref()).0) {
                // The last commit failed half-way. In time the system writes everything back.
                *disk = CrashFs::from_image(image);
                state.disk_may_fail = false;
            }
            return true;
        }
        let known: Vec<(usize, bool)> = found.iter().map(|found| known(found.as_ref())).collect();
        let calm = life >= CALM;
        let fate = {
            let mut state = hub.state();
            state.oracle.begin_life(&known, rows);
            state.faults = !calm;
            if calm { Fate::Free } else { Fate::random(&mut state.random) }
        };
        let changes = disk.operations();
        let end = live(hub, world, disk, fate);
        hub.state().tally.lives += 1;
        let orderly = judge(hub, world, disk, fate, &end, &found);
        settle(hub, disk, changes, orderly);
        // Somebody starts it again, at once or later.
        let mut state = hub.state();
        let pause = if state.one_in(3) { state.random.u64(1..7_200_000) } else { state.random.u64(1..5000) };
        state.base += Duration::from_millis(pause);
    }
    false
}

/// When records may have come in, by the clocks of the processes; in order, unless a clock was set.
fn times(world: &World, now: Duration) -> disk::Times {
    let ahead = if world.clock_jumps { CLOCK_AHEAD } else { 0 };
    disk::Times {
        from: wall(Duration::ZERO),
        to: wall(now) + Duration::from_secs(ahead),
        in_order: ahead == 0,
    }
}

fn known(found: Option<&Checkpoint>) -> (usize, bool) {
    found.map_or((0, false), |found| {
        (usize::try_from(found.mark.pages).expect("few pages"), found.is_finished())
    })
}

/// Whether what is durable is right, and as much as it must be: the rows of each shaped source.
fn look_at_the_disk(
    hub: &Hub,
    world: &World,
    image: &Image,
    found: &[Option<Checkpoint>],
    finished_files: &[(String, Vec<u8>)],
    now: Duration,
) -> Option<Vec<BTreeSet<usize>>> {
    let mut state = hub.state();
    let mut rows = Vec::new();
    for ((number, listing), found) in world.listings.iter().enumerate().zip(found) {
        let at = state.at(number);
        let checked = found
            .as_ref()
            .map(|found| disk::check((listing, &world.output), image, found, times(world, now), at));
        rows.push(checked.unwrap_or(Ok(BTreeSet::new())).unwrap_or_else(|why| {
            state.oracle.violated(Invariant::ExactlyOnce, why);
            BTreeSet::new()
        }));
        let (pages, _) = known(found.as_ref());
        let view = state.oracle.sources[number].clone();
        // Of one that begins anew the beginning may be there, though no sync came after it.
        let begins = view.expired && pages == 0;
        let kept = pages >= view.committed || view.anew || begins;
        state.oracle.check(kept, Invariant::FewRequestsAgain, || {
            format!("{}: {} pages were committed, and {pages} are known", listing.name, view.committed)
        });
        let again = match &listing.shape {
            Some(_) => view.pieces.lost(pages),
            None => view.served.saturating_sub(pages),
        };
        state.oracle.check(begins || again <= view.may_repeat, Invariant::FewRequestsAgain, || {
            let most = view.may_repeat;
            format!("{}: {again} pages have to be asked for again, and not at most {most}", listing.name)
        });
    }
    let leaks = |bytes: &[u8]| world.listings.iter().any(|listing| listing.credentials.is_in(listing, bytes));
    if let Some((path, _)) = image.files().find(|(_, bytes)| leaks(bytes)) {
        let what = format!("a credential is in {}", path.display());
        state.oracle.violated(Invariant::CredentialsStayHome, what);
    }
    for (name, bytes) in finished_files {
        state.oracle.check(image.read(name) == Some(bytes), Invariant::ExactlyOnce, || {
            format!("{name} of a finished run has changed")
        });
    }
    state.oracle.violation.is_none().then_some(rows)
}

/// What a process leaves: the disk as it is, or as a power loss leaves it.
fn settle(hub: &Hub, disk: &mut CrashFs, changes: usize, orderly: bool) {
    let mut state = hub.state();
    if state.one_in(2) {
        return;
    }
    // At the instant of its end, or any time since its start. What a report has told is durable.
    let all = disk.operations();
    let at = if !orderly && state.one_in(2) { state.random.usize(changes..=all) } else { all };
    state.note(format_args!("power loss after {} of {} changes", at - changes, all - changes));
    state.tally.end("and lost power");
    let State { oracle, saves, .. } = &mut *state;
    for (number, view) in oracle.sources.iter_mut().enumerate() {
        let (committed, of) = (view.committed, |save: &&(usize, usize, usize)| save.1 == number);
        let kept = saves.iter().filter(of).rfind(|save| save.0 <= at).map(|save| save.2);
        view.committed = kept.unwrap_or(view.durable_before);
        // One that has begun anew may be back where it was before, or at its new beginning.
        let back = if view.anew { 0 } else { view.committed };
        view.may_repeat += committed.saturating_sub(back);
    }
    let image = disk.crash(at).sample(&mut state.random);
    *disk = CrashFs::from_image(image);
    state.disk_may_fail = false;
}

fn data_files(image: &Image) -> Vec<(String, Vec<u8>)> {
    let is_data = |name: &str| !name.contains("/.");
    let files = image.files().map(|(path, bytes)| (path.display().to_string(), bytes.to_vec()));
    files.filter(|(name, _)| is_data(name)).collect()
}
