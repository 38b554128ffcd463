//! Windows and fan-outs: one linear stream of many, and what a crash at any instant does to it.

mod sliced_world;

use headwater::pages::Window;
use sliced_world::{Table, Tree, World};

fn random() -> fastrand::Rng {
    let seed = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("HEADWATER_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// Ids with gaps, and whole slices without any.
fn some_ids() -> Vec<i64> {
    (0..100).filter(|id| id % 3 != 1 && !(40..60).contains(id)).collect()
}

#[test]
fn a_window_survives_a_crash_at_every_request_whatever_is_pulled_at_once() {
    let mut random = random();
    for concurrency in 1..=4 {
        let window = Window::ids(0..100).every(13).concurrency(concurrency);
        let reruns = World::rows(Table::new(some_ids(), 3), window).survives_every_crash(&mut random);
        println!("concurrency {concurrency}: {reruns} reruns");
        assert!(reruns > 30, "only {reruns}");
    }
    let backwards = Window::ids(0..100).every(7).newest_first().concurrency(3);
    World::rows(Table::new(some_ids(), 3), backwards).survives_every_crash(&mut random);
}

#[test]
fn slices_that_are_halved_survive_a_crash_at_every_request() {
    let mut random = random();
    for (concurrency, page) in [(1, 5), (3, 5), (2, 3)] {
        let window = Window::ids(0..100).concurrency(concurrency).ceiling(10);
        World::rows(Table::new(some_ids(), page).ceiling(10), window).survives_every_crash(&mut random);
        let window = Window::ids(0..100).every(60).concurrency(concurrency).ceiling(10).total_at("total");
        let table = Table::new(some_ids(), page).ceiling(10).says_total();
        World::rows(table, window.newest_first()).survives_every_crash(&mut random);
    }
}

const TREE: Tree = Tree { orgs: 5, repos: 4, issues: 5 };

#[test]
fn a_fan_out_on_two_levels_survives_a_crash_at_every_request() {
    let mut random = random();
    for concurrency in [1, 3] {
        let world = World::tree(TREE, move |api| TREE.issues(api, concurrency));
        let reruns = world.survives_every_crash(&mut random);
        println!("concurrency {concurrency}: {reruns} reruns");
    }
}

#[test]
fn windows_inside_a_fan_out_survive_a_crash_at_every_request() {
    let world = World::tree(TREE, |api| {
        let window = Window::ids(0..8).every(3).concurrency(2);
        TREE.issues(api, 2).query("start", "{start}").query("end", "{end}").window(window)
    });
    world.survives_every_crash(&mut random());
}
