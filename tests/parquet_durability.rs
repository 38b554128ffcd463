//! Power loss at every instant, and calls that fail: after any of them, a rerun leaves each record in the files once.
//!
//! Every line says its seed; `HEADWATER_SEED` replays it, `HEADWATER_FULL=1` tries more.

mod parquet_world;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use headwater::error::ErrorKind;
use headwater::fs::Fs;
use headwater::sink::{Parquet, Sink};
use headwater::testing::sink_suite::{self, Fidelity, Place};
use headwater::testing::{CrashFs, Image};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet_world::{OUT, World, text_of};

fn seed() -> u64 {
    let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..))
}

fn is_full() -> bool {
    std::env::var_os("HEADWATER_FULL").is_some()
}

fn on(disk: &CrashFs) -> Arc<dyn Fs> {
    Arc::new(disk.clone())
}

fn recovers(world: &World, image: &Image, at: &str) {
    let disk = CrashFs::from_image(image.clone());
    let names = || image.files().map(|(path, bytes)| (path.to_owned(), bytes.len())).collect::<Vec<_>>();
    world
        .run(&on(&disk))
        .unwrap_or_else(|failure| panic!("{at}: the rerun failed: {failure}\n{:#?}", names()));
    world.check(&disk.image()).unwrap_or_else(|why| panic!("{at}: {why}\nthe disk was {:#?}", names()));
}

fn worlds() -> [World; 4] {
    [
        World::new(vec![vec![2; 2]], 100),
        World::new(vec![vec![2; 4]], 2),
        World::new(vec![vec![2; 3], vec![2, 0, 1]], 3),
        World::new(vec![vec![0]], 3),
    ]
}

#[test]
fn every_instant_of_every_small_run_is_recovered() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let most: usize = if is_full() { 256 } else { 6 };
    let (mut states, mut distinct) = (0, 0);
    for world in worlds() {
        let mut seen = HashSet::new();
        let mut base = Image::default();
        // The second run is of the same second, and finds the files of the first.
        for _ in 0..2 {
            let disk = CrashFs::from_image(base);
            world.run(&on(&disk)).expect("it finishes");
            world.check(&disk.image()).expect("without a crash every record is there once");
            for instant in 0..=disk.operations() {
                let crash = disk.crash(instant);
                let images: Vec<Image> = match crash.count() <= most as u128 {
                    true => crash.all().collect(),
                    false => (0..most).map(|_| crash.sample(&mut random)).collect(),
                };
                for image in images {
                    states += 1;
                    let mut hasher = DefaultHasher::new();
                    image.hash(&mut hasher);
                    if seen.insert(hasher.finish()) {
                        distinct += 1;
                        recovers(&world, &image, &format!("HEADWATER_SEED={seed}, instant {instant}"));
                    }
                }
            }
            base = disk.image();
        }
    }
    println!("HEADWATER_SEED={seed}: {states} states, {distinct} of them distinct, all recovered");
    assert!(distinct > 200, "only {distinct} states: the harness sees too little");
}

#[test]
fn random_runs_with_crashes_in_the_recovery_are_recovered() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let worlds = if is_full() { 2_000 } else { 15 };
    for number in 0..worlds {
        let at = format!("HEADWATER_SEED={seed}, world {number}");
        let world = World::random(&mut random);
        let mut image = Image::default();
        for _ in 0..random.u32(1..=3) {
            let disk = CrashFs::from_image(image);
            world.run(&on(&disk)).unwrap_or_else(|failure| panic!("{at}: {failure}"));
            for _ in 0..6 {
                let image = disk.crash(random.usize(0..=disk.operations())).sample(&mut random);
                recovers(&world, &image, &at);
            }
            image = disk.crash(random.usize(0..=disk.operations())).sample(&mut random);
        }
    }
    println!("HEADWATER_SEED={seed}: {worlds} worlds, all recovered");
}

#[test]
fn every_call_that_fails_is_a_typed_error_and_a_rerun_completes() {
    for world in worlds() {
        let disk = CrashFs::new();
        world.run(&on(&disk)).expect("it finishes");
        for call in 1..=disk.calls() {
            let disk = CrashFs::new();
            disk.fail(call, io::ErrorKind::StorageFull);
            let failure =
                world.run(&on(&disk)).expect_err("a first run has nothing that may fail without a word");
            assert!(
                matches!(failure.error.kind(), ErrorKind::Sink | ErrorKind::Checkpoint),
                "call {call}: {failure}"
            );
            assert!(failure.to_string().contains(OUT), "call {call} names no place: {failure}");
            let crash = disk.crash(disk.operations());
            for image in [disk.image(), crash.state(0), crash.state(crash.count() - 1)] {
                recovers(&world, &image, &format!("call {call}"));
            }
        }
    }
}

#[test]
fn a_run_that_is_taken_over_at_any_instant_leaves_nothing_that_counts_when_it_wakes() {
    let world = World::new(vec![vec![2; 4], vec![1; 3]], 3);
    let disk = CrashFs::new();
    world.run(&on(&disk)).expect("it finishes");
    for instant in 0..=disk.operations() {
        // The disk as the frozen run has left it, and its lock held.
        let image = disk.crash(instant).state(disk.crash(instant).count() - 1);
        let now = CrashFs::from_image(image);
        let held = now.try_lock(Path::new("/out/.headwater/lock"), "frozen").expect("the lock");
        world.run_over(&on(&now)).unwrap_or_else(|failure| panic!("instant {instant}: {failure}"));
        world.check(&now.image()).unwrap_or_else(|why| panic!("instant {instant}: {why}"));
        drop(held);
        world.run(&on(&now)).unwrap_or_else(|failure| panic!("instant {instant}, the next: {failure}"));
        world.check(&now.image()).unwrap_or_else(|why| panic!("instant {instant}, the next: {why}"));
    }
}

/// A disk that keeps what was synced, and of the rest what chance wills.
struct PowerLoss {
    disk: Mutex<CrashFs>,
    random: Mutex<fastrand::Rng>,
}

impl Place for PowerLoss {
    fn sink(&self) -> Box<dyn Sink> {
        let fs = on(&self.disk.lock().expect("no panic"));
        Box::new(Parquet::on(fs, OUT).roll_at_rows(5))
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, headwater::Result<Vec<String>>> {
        let image = self.disk.lock().expect("no panic").image();
        Box::pin(ready(Ok(records(&image, source))))
    }

    fn fidelity(&self) -> Fidelity {
        Fidelity::Columns
    }

    fn crash(&self) {
        let mut disk = self.disk.lock().expect("no panic");
        let after = disk.crash(disk.operations()).sample(&mut self.random.lock().expect("no panic"));
        *disk = CrashFs::from_image(after);
    }
}

/// The ids of a source, those of its first run first.
fn records(image: &Image, source: &str) -> Vec<String> {
    let its = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix(source).and_then(|rest| rest.strip_prefix("_20"));
        rest.is_some_and(|rest| rest.ends_with(".parquet"))
    };
    let mut files: Vec<(&Path, &[u8])> = image.files().filter(|(path, _)| its(path)).collect();
    files.sort();
    let mut records = Vec::new();
    for (_, bytes) in files {
        let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).expect("a whole file");
        for row in reader.get_row_iter(None).expect("rows") {
            let row = row.expect("a row");
            // What is no whole number stands beside it.
            let id = text_of(&row, "id").or_else(|| text_of(&row, "id__text"));
            let id = id.map(|id| serde_json::from_str(&id).unwrap_or(serde_json::Value::String(id)));
            records.push(serde_json::json!({ "id": id }).to_string());
        }
    }
    records
}

#[tokio::test]
async fn parquet_files_hold_what_a_sink_promises_when_power_is_lost() {
    let seed = seed();
    println!("HEADWATER_SEED={seed}");
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    sink_suite::run(&PowerLoss { disk: Mutex::default(), random }).await;
}
