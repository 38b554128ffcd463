//! Power loss at every instant: after any of them, a rerun leaves each record in the files once.
//!
//! `HEADWATER_FULL=1 cargo test --release --test durability -- --nocapture` runs the full suite: at least a
//! million states. Every line says its seed; `HEADWATER_SEED` replays it.

mod crash_world;
mod frozen_run;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crash_world::{Layout, World};
use headwater::fs::Fs;
use headwater::testing::{CrashFs, Image};

/// Up to so many states of one instant are all tried; of more, so many by chance.
const BOUND: u128 = 4096;

/// What was tried.
#[derive(Default)]
struct Tally {
    instants: u64,
    states: u64,
    /// States that are alike are recovered once: a rerun depends on nothing else.
    seen: HashSet<u64>,
    distinct: u64,
}

impl Tally {
    fn recover(&mut self, world: &World, image: Image) {
        self.states += 1;
        let mut hasher = DefaultHasher::new();
        image.hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            return;
        }
        self.distinct += 1;
        let disk = CrashFs::from_image(image.clone());
        let fs: Arc<dyn Fs> = Arc::new(disk.clone());
        if let Err(failure) = world.run(&fs) {
            panic!("the rerun failed: {failure}\nthe disk was {image:#?}");
        }
        if let Err(why) = world.check(&disk.image()) {
            panic!("{why}\nthe disk was {image:#?}\nand is {:#?}", disk.image());
        }
    }
}

fn seed() -> u64 {
    let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..))
}

fn full() -> bool {
    std::env::var_os("HEADWATER_FULL").is_some()
}

/// Every instant of one run, and every state it may leave.
fn every_state(world: &World, base: Image, random: &mut fastrand::Rng, tally: &mut Tally) {
    // A state of another world is another state.
    tally.seen.clear();
    let disk = CrashFs::from_image(base);
    let fs: Arc<dyn Fs> = Arc::new(disk.clone());
    world.run(&fs).expect("without a crash it finishes");
    world.check(&disk.image()).expect("without a crash every record is there once");
    for instant in 0..=disk.operations() {
        tally.instants += 1;
        let crash = disk.crash(instant);
        if crash.count() <= BOUND {
            crash.all().for_each(|image| tally.recover(world, image));
        } else {
            (0..BOUND).for_each(|_| tally.recover(world, crash.sample(random)));
        }
    }
}

#[test]
fn every_state_of_every_small_run_is_recovered() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut tally = Tally::default();
    let alone = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)].map(|size| (size, 16));
    let grouped = [((2, 1), 1), ((2, 2), 1), ((2, 3), 2)];
    let mut worlds = Vec::new();
    for ((sources, pages), grouped_from) in alone.into_iter().chain(grouped) {
        worlds.push(World::small(sources, pages).grouped_from(grouped_from));
    }
    for layout in Layout::ALL.into_iter().skip(1) {
        worlds.push(World::small(1, 3).layout(layout));
        worlds.push(World::small(2, 2).layout(layout).grouped_from(1));
        worlds.push(World::small(1, 3).layout(layout).commit_takes(120));
    }
    // Commits in the middle of which pages are written.
    worlds.extend([(1, 3), (2, 3)].map(|(sources, pages)| World::small(sources, pages).commit_takes(120)));
    for world in worlds {
        every_state(&world, Image::default(), &mut random, &mut tally);
        // And of the run after a finished one.
        let disk = CrashFs::new();
        let fs: Arc<dyn Fs> = Arc::new(disk.clone());
        world.run(&fs).expect("it finishes");
        every_state(&world, disk.image(), &mut random, &mut tally);
        // And of one that finds files which a frozen run may hold open, and copies them.
        every_state(&world, frozen_run::half_way_and_taken_over(&world), &mut random, &mut tally);
    }
    println!(
        "HEADWATER_SEED={seed}: {} instants, {} states, {} of them distinct, all recovered",
        tally.instants, tally.states, tally.distinct
    );
    assert!(tally.distinct > 500, "only {} states: the harness sees too little", tally.distinct);
}

#[test]
fn random_states_of_random_runs_with_crashes_in_the_recovery_are_recovered() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let wanted = if full() { 1_000_000 } else { 20_000 };
    let (mut tally, mut worlds, mut crashes) = (Tally::default(), 0_u64, 0_u64);
    while tally.states < wanted {
        worlds += 1;
        let world = World::random(&mut random);
        let mut image = Image::default();
        // Up to three crashes, one in the recovery from the other; states of each are tried.
        for _ in 0..random.u32(1..=3) {
            crashes += 1;
            let disk = CrashFs::from_image(image);
            let fs: Arc<dyn Fs> = Arc::new(disk.clone());
            if let Err(failure) = world.run(&fs) {
                panic!("HEADWATER_SEED={seed}, world {worlds}: {failure}");
            }
            for _ in 0..40 {
                let crash = disk.crash(random.usize(0..=disk.operations()));
                tally.instants += 1;
                (0..4).for_each(|_| tally.recover(&world, crash.sample(&mut random)));
            }
            image = disk.crash(random.usize(0..=disk.operations())).sample(&mut random);
        }
        // States of one world are no states of another.
        tally.seen.clear();
    }
    println!(
        "HEADWATER_SEED={seed}: {worlds} worlds, {crashes} crashed runs, {} states, {} of them distinct, all recovered",
        tally.states, tally.distinct
    );
}

#[test]
fn every_call_that_fails_is_a_typed_error_and_a_rerun_completes() {
    let world = World::small(2, 3);
    for world in [&world, &world.grouped_from(1), &world.commit_takes(120)] {
        every_call_fails(world);
    }
    for layout in Layout::ALL.into_iter().skip(1) {
        every_call_fails(&world.layout(layout));
    }
}

fn every_call_fails(world: &World) {
    let calls = {
        let disk = CrashFs::new();
        let fs: Arc<dyn Fs> = Arc::new(disk.clone());
        world.run(&fs).expect("it finishes");
        disk.calls()
    };
    let (mut failed, mut harmless) = (0, 0);
    for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other] {
        for call in 1..=calls {
            let disk = CrashFs::new();
            disk.fail(call, kind);
            let fs: Arc<dyn Fs> = Arc::new(disk.clone());
            match world.run(&fs) {
                Ok(_) => harmless += 1,
                Err(failure) => {
                    failed += 1;
                    use headwater::error::ErrorKind::{Checkpoint, Sink};
                    assert!(matches!(failure.error.kind(), Sink | Checkpoint), "call {call}: {failure}");
                    assert!(
                        failure.to_string().contains(crash_world::OUT),
                        "call {call} names no place: {failure}"
                    );
                }
            }
            // With power loss on top: nothing that is left over may matter.
            let crash = disk.crash(disk.operations());
            for image in [disk.image(), crash.state(0), crash.state(crash.count() - 1)] {
                let disk = CrashFs::from_image(image);
                let fs: Arc<dyn Fs> = Arc::new(disk.clone());
                world.run(&fs).unwrap_or_else(|failure| panic!("after call {call} failed: {failure}"));
                world.check(&disk.image()).unwrap_or_else(|why| panic!("after call {call} failed: {why}"));
            }
        }
    }
    println!(
        "{calls} calls, {failed} failures were errors, {harmless} did not matter, every rerun completed"
    );
    // Only taking an outdated checkpoint away may fail without a word.
    assert_eq!(harmless, 0, "a first run has no outdated checkpoint");
}
