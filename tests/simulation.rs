//! Whole pipelines on a paused clock: seeded worlds of sources in every dialect, with limits, faults, crashes at
//! any await, power losses and restarts, until every run is finished.
//!
//! `HEADWATER_FULL=1 cargo test --release --test simulation -- --nocapture` runs the full suite: 10,000 worlds.
//! Every line says its seed; `HEADWATER_SEED` replays it, and `HEADWATER_WORLDS` says how many follow.

#[path = "simulation/mod.rs"]
mod simulation;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use simulation::history::{History, history};
use simulation::mutants::{MUTANTS, Mutant};
use simulation::oracle::Invariant;
use simulation::tally::Tally;
use simulation::world::World;

fn seed() -> u64 {
    let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..))
}

fn full() -> bool {
    std::env::var_os("HEADWATER_FULL").is_some()
}

/// Lives through so many worlds, on all processors.
fn worlds(first: u64, count: u64, visit: impl Fn(u64, History) + Sync) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let seed = first.wrapping_add(number);
                    let lived = catch_unwind(|| history(seed, None));
                    visit(seed, lived.unwrap_or_else(|_| panic!("{REPLAY}={seed}: it panicked")));
                }
            });
        }
    });
}

const REPLAY: &str = "replay it with HEADWATER_WORLDS=1 HEADWATER_SEED";

#[test]
fn every_world_keeps_the_invariants() {
    let (first, began) = (seed(), Instant::now());
    let count = std::env::var("HEADWATER_WORLDS").ok().and_then(|count| count.parse().ok());
    let count = count.unwrap_or(if full() { 10_000 } else { 200 });
    println!("HEADWATER_SEED={first}: {count} worlds");
    let (tally, failures) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    worlds(first, count, |seed, history| {
        if let Some(violation) = &history.violation {
            let failure = format!("{}\n{violation}\n{REPLAY}={seed}", history.tail);
            failures.lock().unwrap().push(failure);
        }
        tally.lock().unwrap().add(history.tally);
    });
    let failures = failures.into_inner().unwrap();
    println!("{}{:.1} s", tally.into_inner().unwrap(), began.elapsed().as_secs_f64());
    for failure in failures.iter().take(3) {
        println!("{failure}\n");
    }
    assert!(failures.is_empty(), "{} of {count} worlds broke an invariant", failures.len());
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    let first = seed();
    let count = if full() { 1000 } else { 40 };
    let lines = AtomicU64::new(0);
    worlds(first, count, |seed, once| {
        if !once.is_deterministic {
            return;
        }
        // On a thread of its own: nothing may depend on what ran there before.
        let again = std::thread::spawn(move || history(seed, None)).join().expect("it does not panic");
        lines.fetch_add(once.trace.lines(), Ordering::Relaxed);
        if once.trace.text() != again.trace.text() {
            let mut pairs = once.trace.text().lines().zip(again.trace.text().lines());
            let differ = pairs.find(|(one, other)| one != other);
            panic!("HEADWATER_SEED={seed}: two traces differ at {differ:#?}");
        }
    });
    let lines = lines.into_inner();
    println!(
        "HEADWATER_SEED={first}: {count} worlds lived through twice (but for databases and object stores), {lines} lines, the same byte for byte"
    );
    assert!(lines > 100 * count, "the traces are too short to tell");
}

#[test]
fn a_batch_too_few_or_too_many_is_found_whatever_is_written_to() {
    const MOST: u64 = 4000;
    let first = seed();
    println!("HEADWATER_SEED={first}\n{:<36}{:<24}{:>7}", "output", "mutant", "worlds");
    let outputs = simulation::outputs::names();
    let mut missed = Vec::new();
    for output in outputs {
        for mutant in [Mutant::SinkDropsABatch, Mutant::SinkWritesABatchTwice] {
            let seeds = (0..MOST).map(|number| first.wrapping_add(number));
            let found =
                seeds.filter(|seed| World::new(*seed).output.name() == output).take(60).position(|seed| {
                    let violation = history(seed, Some(mutant)).violation;
                    violation.is_some_and(|violation| violation.invariant == Invariant::ExactlyOnce)
                });
            match found {
                Some(worlds) => println!("{output:<36}{:<24}{:>7}", format!("{mutant:?}"), worlds + 1),
                None => missed.push(format!("{output}: {mutant:?}")),
            }
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn every_mutant_is_found_by_its_invariant() {
    const MOST: u64 = 400;
    let first = seed();
    println!("HEADWATER_SEED={first}\n{:<36}{:>7}  found by", "mutant", "worlds");
    let mut missed = Vec::new();
    for mutant in MUTANTS {
        // In some worlds another invariant is broken first. Its own has to find it, too.
        let found = (0..MOST).find_map(|number| {
            let violation = history(first.wrapping_add(number), Some(mutant)).violation?;
            mutant.found_by().contains(&violation.invariant).then_some((number + 1, violation.invariant))
        });
        let name = format!("{mutant:?}");
        match found {
            Some((worlds, invariant)) => println!("{name:<36}{worlds:>7}  {invariant:?}"),
            None => missed.push(name),
        }
    }
    println!("{} of {} mutants found", MUTANTS.len() - missed.len(), MUTANTS.len());
    assert!(missed.is_empty(), "not found in {MOST} worlds: {missed:?}");
}
