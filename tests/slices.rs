//! Windows and fan-outs: one linear stream of many, and what a crash at any instant does to it.

mod sliced_world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures::TryStreamExt;
use headwater::pages::{Fanout, Window};
use headwater::paginate::{Offset, Single};
use headwater::testing::Scripted;
use headwater::{Mark, Source};
use sliced_world::{Table, Tree, World, in_paused_time};

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

/// Another number with each process.
fn any_concurrency() -> impl Fn() -> usize + Clone {
    let runs = Arc::new(AtomicUsize::new(0));
    move || [3, 1, 0, 5, 2, usize::MAX][runs.fetch_add(1, SeqCst) % 6]
}

#[test]
fn a_run_that_was_broken_off_or_stopped_goes_on_with_any_number_of_parts_at_once() {
    for ceiling in [None, Some(10)] {
        let mut table = Table::new(some_ids(), 3);
        table.ceiling = ceiling;
        let (rows, at_once) = (table.clone(), any_concurrency());
        let expected = table.ids.iter().map(ToString::to_string).collect();
        let nothing = Tree { orgs: 0, repos: 0, issues: 0 };
        let source = move |api: &Scripted| {
            let window = Window::ids(0..100).every(13).concurrency(at_once());
            let window = ceiling.map_or(window.clone(), |rows| window.ceiling(rows as u64));
            rows.source("rows").window(window).transport(api.clone())
        };
        let world = World::of(table, nothing, source, expected);
        world.survives_every_crash(&mut random());
        println!("{} stops", world.survives_every_stop());
    }
    let at_once = any_concurrency();
    let world = World::tree(TREE, move |api| {
        let window = Window::ids(0..8).every(3).concurrency(at_once());
        TREE.issues(api, at_once()).query("start", "{start}").query("end", "{end}").window(window)
    });
    println!("{} stops", world.survives_every_stop());
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

#[test]
fn a_fan_out_whose_parents_come_from_a_window_survives_a_crash_at_every_request() {
    // The parent's rows are users; each has a list of its own in the same table: rows below its id.
    let table = Table::new((0..24).filter(|id| id % 5 != 2), 3);
    let users: Vec<i64> = table.ids.clone();
    let expected = users.iter().flat_map(|user| {
        (*user..*user + 4).filter(|id| users.contains(id)).map(move |id| format!("{user}/{id}"))
    });
    let expected = expected.collect();
    let rows = table.clone();
    let world = World::of(
        table,
        Tree { orgs: 0, repos: 0, issues: 0 },
        move |api| {
            let users = rows
                .source("users")
                .window(Window::ids(0..24).every(7).concurrency(2))
                .transport(api.clone());
            Source::get("rows", "https://api.example.com/rows/{user}")
                .records("data")
                .paginate(Offset::new(3).without_limit_param().until_false("more"))
                .transport(api.clone())
                .fanout(Fanout::over(users).bind("user", "id").concurrency(3))
        },
        expected,
    );
    world.survives_every_crash(&mut random());
}

#[test]
fn requests_for_many_parents_at_once_survive_a_crash_at_every_request() {
    let table = Table::new((0..23).filter(|id| id % 5 != 2), 3);
    let expected = table.ids.iter().map(ToString::to_string).collect();
    let rows = table.clone();
    let world = World::of(
        table,
        Tree { orgs: 0, repos: 0, issues: 0 },
        move |api| {
            let all = rows.source("all").window(Window::ids(0..23)).transport(api.clone());
            Source::get("rows", "https://api.example.com/many?ids={ids}")
                .records("data")
                .paginate(Single)
                .transport(api.clone())
                .fanout(Fanout::over(all).bind_joined("ids", "id", 4, ",").concurrency(2))
        },
        expected,
    );
    world.survives_every_crash(&mut random());
    in_paused_time(async {
        let api = world.server(u64::MAX, std::sync::Arc::default());
        let source = (world.source)(&api).build().unwrap();
        source.batches(Mark::start()).unwrap().try_collect::<Vec<_>>().await.unwrap();
        let many = api.urls().iter().filter(|url| url.contains("/many")).count();
        assert_eq!(many, 5, "19 ids, 4 in one request, across the parent's pages of 3");
    });
}
