//! A run that is frozen at any instant and taken over: it cannot commit when it wakes, and every record is there
//! once, whatever it was in the middle of.
//!
//! `HEADWATER_FULL=1 cargo test --release --test take_over -- --nocapture` freezes two runs at every pair of
//! calls; otherwise pairs are chosen by chance, and `HEADWATER_SEED` replays them.

mod crash_world;
mod frozen_run;

use std::sync::Arc;

use crash_world::World;
use frozen_run::{Frozen, half_way, half_way_and_taken_over, overtaken};
use headwater::error::ErrorKind;
use headwater::fs::Fs;
use headwater::testing::{CrashFs, Image};

fn on(disk: &CrashFs) -> Arc<dyn Fs> {
    Arc::new(disk.clone())
}

/// Freezes a run at every call in turn.
fn every_call(base: &Image) -> u64 {
    let world = World::small(2, 3);
    for call in 1.. {
        let place = format!("frozen at call {call}");
        let disk = CrashFs::from_image(base.clone());
        let first = Frozen::start(&world, on(&disk), call, false);
        if !first.is_frozen {
            first.wake().expect("it was left alone");
            return call - 1;
        }
        let second = world.run_over(&on(&disk)).unwrap_or_else(|failure| panic!("{place}: {failure}"));
        world.check(&disk.image()).unwrap_or_else(|why| panic!("{place}, before it wakes: {why}"));
        overtaken(&first.wake(), &second).unwrap_or_else(|why| panic!("{place}: {why}"));
        world.check(&disk.image()).unwrap_or_else(|why| panic!("{place}: {why}\n{:#?}", disk.image()));
        // What was finished is so after a power loss too, and whatever is left over does not hinder a rerun.
        let crash = disk.crash(disk.operations());
        for image in [disk.image(), crash.state(0), crash.state(crash.count() - 1)] {
            let disk = CrashFs::from_image(image);
            world.run(&on(&disk)).unwrap_or_else(|failure| panic!("{place}, the rerun: {failure}"));
            world.check(&disk.image()).unwrap_or_else(|why| panic!("{place}, the rerun: {why}"));
        }
    }
    unreachable!("some call is beyond the last")
}

#[test]
fn a_run_that_is_frozen_at_any_call_cannot_commit_when_it_wakes() {
    let world = World::small(2, 3);
    let calls = [
        every_call(&Image::default()),
        every_call(&half_way(&world)),
        every_call(&half_way_and_taken_over(&world)),
    ];
    println!(
        "frozen at each of {} calls of 3 runs: each record once, no second finish",
        calls.iter().sum::<u64>()
    );
    assert!(calls.iter().all(|calls| *calls > 50), "{calls:?}: too few calls were seen");
}

#[test]
fn one_that_takes_over_can_be_taken_over_itself() {
    let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::small(1, 2);
    let mut pairs = 0;
    for base in [Image::default(), half_way(&world), half_way_and_taken_over(&world)] {
        let (first, second) = (1..=200, 1..=200);
        let all = first.flat_map(|first| second.clone().map(move |second| (first, second)));
        let chosen: Vec<(u64, u64)> = if std::env::var_os("HEADWATER_FULL").is_some() {
            all.collect()
        } else {
            (0..150).map(|_| (random.u64(1..=80), random.u64(1..=80))).collect()
        };
        for (first_call, second_call) in chosen {
            let place = format!("HEADWATER_SEED={seed}: frozen at calls {first_call} and {second_call}");
            let disk = CrashFs::from_image(base.clone());
            let first = Frozen::start(&world, on(&disk), first_call, false);
            let second = Frozen::start(&world, on(&disk), second_call, true);
            if !first.is_frozen || !second.is_frozen {
                let _ = (first.wake(), second.wake());
                continue;
            }
            pairs += 1;
            let third = world.run_over(&on(&disk)).unwrap_or_else(|failure| panic!("{place}: {failure}"));
            let (mut one, mut other) = (first, second);
            if random.bool() {
                std::mem::swap(&mut one, &mut other);
            }
            for woken in [one.wake(), other.wake()] {
                overtaken(&woken, &third).unwrap_or_else(|why| panic!("{place}: {why}"));
            }
            world.check(&disk.image()).unwrap_or_else(|why| panic!("{place}: {why}\n{:#?}", disk.image()));
        }
    }
    println!("HEADWATER_SEED={seed}: {pairs} pairs of frozen runs: each record once, no second finish");
    assert!(pairs > 100, "only {pairs} pairs");
}

#[test]
fn without_taking_over_a_second_run_is_told_who_holds_the_state() {
    let world = World::small(1, 2);
    let disk = CrashFs::new();
    let first = Frozen::start(&world, on(&disk), 20, false);
    assert!(first.is_frozen);
    let failure = world.run(&on(&disk)).expect_err("the first has it");
    assert_eq!(failure.error.kind(), ErrorKind::Locked);
    let holder = format!("process {}", std::process::id());
    assert!(failure.to_string().contains(&holder) && failure.to_string().contains("take_over"), "{failure}");
    first.wake().expect("it was left alone");
    world.check(&disk.image()).expect("every record is there once");
}
