//! Whole pipelines on a paused clock: worlds by their seeds.

#[path = "simulation/mod.rs"]
mod simulation;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use simulation::history::{History, history};
use simulation::tally::Tally;

fn seed() -> u64 {
    let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..))
}

fn full() -> bool {
    std::env::var_os("HEADWATER_FULL").is_some()
}

/// Lives through so many worlds on all processors.
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
                    visit(seed, history(seed, None));
                }
            });
        }
    });
}

#[test]
fn every_world_keeps_the_invariants() {
    let (first, began) = (seed(), Instant::now());
    let count = std::env::var("HEADWATER_WORLDS").ok().and_then(|count| count.parse().ok());
    let count = count.unwrap_or(if full() { 10_000 } else { 200 });
    println!("HEADWATER_SEED={first}: {count} worlds");
    let (tally, failures) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    worlds(first, count, |seed, history| {
        if let Some(violation) = &history.violation {
            failures.lock().unwrap().push(format!(
                "{}\nHEADWATER_SEED={seed} HEADWATER_WORLDS=1 replays it: {violation}",
                history.tail
            ));
        }
        tally.lock().unwrap().add(history.tally);
    });
    let failures = failures.into_inner().unwrap();
    println!("{}{:.1} s", tally.into_inner().unwrap(), began.elapsed().as_secs_f64());
    for failure in failures.iter().take(3) {
        println!("{failure}");
    }
    assert!(failures.is_empty(), "{} of {count} worlds broke an invariant", failures.len());
}
