//! A sink that ships its segments into files as they are: what the log does on a disk that loses power at any instant,
//! and whose calls fail.

mod sink;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use sink::{Copier, Spooled};

use super::{CrashFs, Image, Reply, Scripted};
use crate::checkpoint::{CheckpointStore, FileStore};
use crate::error::ErrorKind;
use crate::fs::{Disk, Fs, OpenMode};
use crate::paginate::Cursor;
use crate::pipeline::{Pipeline, Report, RunError};
use crate::sink::spool::{Before, Limits, Spool, Taken, Wanted, source_of, stem_of};
use crate::source::Source;

const OUT: &str = "/out";

/// Sources, how many rows their pages have, and when segments end.
#[derive(Debug, Clone)]
struct World {
    sources: Vec<Vec<u64>>,
    pace: Duration,
    every: Duration,
    limits: Limits,
    takes: Duration,
    runs: Arc<AtomicU64>,
}

impl World {
    fn new(sources: Vec<Vec<u64>>, rows: u64, takes: u64) -> Self {
        let limits = Limits { bytes: u64::MAX, rows, age: Duration::from_secs(3600) };
        let (pace, every) = (Duration::from_millis(300), Duration::from_millis(250));
        Self { sources, pace, every, limits, takes: Duration::from_millis(takes), runs: Arc::default() }
    }

    fn random(random: &mut fastrand::Rng) -> Self {
        let pages = |random: &mut fastrand::Rng| (0..random.usize(1..15)).map(|_| random.u64(0..4)).collect();
        let sources = (0..random.usize(1..=3)).map(|_| pages(random)).collect();
        let mut world = Self::new(sources, random.u64(1..12), random.u64(0..900));
        (world.pace, world.every) =
            (Duration::from_millis(random.u64(1..400)), Duration::from_millis(random.u64(1..1500)));
        if random.bool() {
            world.limits.age = Duration::from_millis(random.u64(1..2000));
        }
        world
    }

    fn run(&self, fs: &Arc<dyn Fs>) -> Result<Report, RunError> {
        self.run_with(Spooled::new(fs, self.limits, self.takes))
    }

    fn run_with(&self, sink: Spooled) -> Result<Report, RunError> {
        let start = UNIX_EPOCH + Duration::from_secs(1_779_012_000 + self.runs.fetch_add(1, SeqCst) / 2);
        let sources =
            self.sources.iter().enumerate().map(|(number, pages)| self.source(number, pages.clone()));
        let run =
            Pipeline::new().sources(sources).sink(sink).commit_every(self.every).started_at(start).run();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(run)
    }

    fn source(&self, number: usize, pages: Vec<u64>) -> Source {
        let pace = self.pace + Duration::from_millis(70 * number as u64);
        let api = Scripted::from_fn(move |request, _| {
            let query = request.url().query_pairs().find(|(name, _)| name == "cursor");
            let page: usize = query.map_or(0, |(_, page)| page.parse().unwrap());
            let before: u64 = pages[..page].iter().sum();
            let records: Vec<_> =
                (1..=pages[page]).map(|number| serde_json::json!({"id": before + number})).collect();
            let next = (page + 1 < pages.len()).then(|| (page + 1).to_string());
            Reply::json(serde_json::json!({"data": records, "next": next}).to_string()).delay(pace)
        });
        let source = Source::get(format!("s{number}"), "https://api.example.com/items").records("data");
        source.paginate(Cursor::body("next")).transport(api).build().unwrap()
    }

    /// Whether every run that is there has every record once, in the order of its files, and nothing else is left.
    fn check(&self, image: &Image) -> std::result::Result<(), String> {
        for (number, pages) in self.sources.iter().enumerate() {
            let source = format!("s{number}");
            let expected: Vec<u64> = (1..=pages.iter().sum()).collect();
            let mut runs: std::collections::BTreeMap<String, Vec<u64>> = Default::default();
            for (path, bytes) in image.files() {
                let name = path.file_name().unwrap().to_string_lossy();
                let Some(stem) = name.strip_suffix(".lines").and_then(stem_of) else { continue };
                if source_of(stem) != Some(&source) {
                    continue;
                }
                let ids = String::from_utf8_lossy(bytes).into_owned();
                let id = |line: &str| serde_json::from_str::<Value>(line).ok()?["id"].as_u64();
                let ids: Option<Vec<u64>> = ids.lines().map(id).collect();
                runs.entry(stem.to_owned())
                    .or_default()
                    .extend(ids.ok_or_else(|| format!("{name} is torn"))?);
            }
            if runs.is_empty() && !expected.is_empty() {
                return Err(format!("{source} has no file"));
            }
            if let Some((stem, ids)) = runs.iter().find(|(_, ids)| **ids != expected) {
                return Err(format!("{stem} has {ids:?} of {expected:?}"));
            }
        }
        let of_log = |path: &Path| path.parent() == Some(Path::new("/out/.headwater/spool"));
        match image.files().find(|(path, _)| of_log(path)) {
            Some((path, _)) => Err(format!("{} is left over", path.display())),
            None => Ok(()),
        }
    }
}

fn seed() -> u64 {
    std::env::var("HEADWATER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap())
}

fn is_full() -> bool {
    std::env::var_os("HEADWATER_FULL").is_some()
}

fn on(disk: &CrashFs) -> Arc<dyn Fs> {
    Arc::new(disk.clone())
}

fn recovers(world: &World, image: &Image) {
    let disk = CrashFs::from_image(image.clone());
    world.run(&on(&disk)).unwrap_or_else(|failure| panic!("the rerun failed: {failure}\n{image:#?}"));
    world
        .check(&disk.image())
        .unwrap_or_else(|why| panic!("{why}\nthe disk was {image:#?}\nand is {:#?}", disk.image()));
}

fn worlds() -> Vec<World> {
    let pages = |count| vec![2; count];
    let mut worlds = vec![
        World::new(vec![pages(1)], 100, 0),
        World::new(vec![pages(5)], 2, 0),
        World::new(vec![pages(6)], 4, 700),
        World::new(vec![pages(4), pages(3)], 4, 200),
        World::new(vec![vec![0, 0]], 4, 0),
    ];
    worlds.push(World { every: Duration::from_secs(60), ..World::new(vec![pages(14)], 1, 50) });
    // A segment reaches its age while only the other source is written to.
    let mut aging = World::new(vec![pages(7), pages(4)], 100, 0);
    (aging.limits.age, aging.every) = (Duration::from_millis(100), Duration::from_millis(60));
    worlds.push(aging);
    worlds
}

#[test]
fn every_segment_is_shipped_once_and_nothing_is_left_of_the_log() {
    for world in worlds() {
        let disk = CrashFs::new();
        // The second is of the same second: its files have other names.
        for run in 1..=2 {
            let sink = Spooled::new(&on(&disk), world.limits, world.takes);
            let seen = sink.copier.seen.clone();
            world.run_with(sink).unwrap();
            world.check(&disk.image()).unwrap();
            let mut seen = seen.lock().unwrap().clone();
            let count = seen.len();
            seen.sort();
            seen.dedup_by_key(|(stem, number, _)| (stem.clone(), *number));
            assert_eq!(seen.len(), count, "run {run} of {world:?}: {seen:?}");
        }
    }
}

#[test]
fn every_state_of_every_small_run_is_recovered() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut states, mut distinct) = (0, 0);
    for world in worlds() {
        // A state of another world is another state.
        let mut seen = HashSet::new();
        let mut base = Image::default();
        for _ in 0..2 {
            let disk = CrashFs::from_image(base);
            world.run(&on(&disk)).unwrap();
            for instant in 0..=disk.operations() {
                let crash = disk.crash(instant);
                let most = if is_full() { 4096 } else { 16 };
                let images: Vec<Image> = match crash.count() <= most {
                    true => crash.all().collect(),
                    false => (0..most).map(|_| crash.sample(&mut random)).collect(),
                };
                for image in images {
                    states += 1;
                    let mut hasher = DefaultHasher::new();
                    image.hash(&mut hasher);
                    if seen.insert(hasher.finish()) {
                        distinct += 1;
                        recovers(&world, &image);
                    }
                }
            }
            base = disk.image();
        }
    }
    println!("HEADWATER_SEED={seed}: {states} states, {distinct} of them distinct, all recovered");
    assert!(distinct > 500, "only {distinct} states");
}

#[test]
fn random_runs_with_crashes_in_the_recovery_are_recovered() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    println!("HEADWATER_SEED={seed}");
    for _ in 0..if is_full() { 2_000 } else { 40 } {
        let world = World::random(&mut random);
        let mut image = Image::default();
        for _ in 0..random.u32(1..=3) {
            let disk = CrashFs::from_image(image);
            world.run(&on(&disk)).unwrap_or_else(|failure| panic!("HEADWATER_SEED={seed}: {failure}"));
            for _ in 0..10 {
                recovers(&world, &disk.crash(random.usize(0..=disk.operations())).sample(&mut random));
            }
            image = disk.crash(random.usize(0..=disk.operations())).sample(&mut random);
        }
    }
}

#[test]
fn every_call_that_fails_is_an_error_that_names_the_place_and_a_rerun_completes() {
    for world in worlds() {
        let disk = CrashFs::new();
        world.run(&on(&disk)).unwrap();
        for call in 1..=disk.calls() {
            let disk = CrashFs::new();
            disk.fail(call, io::ErrorKind::StorageFull);
            if let Err(failure) = world.run(&on(&disk)) {
                assert!(matches!(failure.error.kind(), ErrorKind::Sink | ErrorKind::Checkpoint), "{failure}");
                assert!(failure.to_string().contains(OUT), "call {call}: {failure}");
            }
            let crash = disk.crash(disk.operations());
            for image in [disk.image(), crash.state(0), crash.state(crash.count() - 1)] {
                recovers(&world, &image);
            }
        }
    }
}

#[test]
fn a_segment_that_was_changed_is_not_shipped() {
    let world = World::new(vec![vec![2; 3]], 100, 0);
    let disk = CrashFs::new();
    world.run(&on(&disk)).unwrap();
    let mut refused = 0;
    for instant in 0..=disk.operations() {
        let disk = CrashFs::from_image(disk.crash(instant).state(0));
        let of_log = |path: &&PathBuf| path.parent() == Some(Path::new("/out/.headwater/spool"));
        let files: Vec<PathBuf> = disk.image().files().map(|(path, _)| path.to_owned()).collect();
        let Some(path) = files.iter().find(of_log) else { continue };
        let mut bytes = disk.read(path).unwrap();
        let Some(byte) = bytes.get_mut(5) else { continue };
        *byte = b'x';
        let file = disk.open(path, OpenMode::Existing).unwrap();
        file.truncate(0).unwrap();
        file.append(&bytes).unwrap();
        if let Err(failure) = world.run(&on(&disk)) {
            refused += 1;
            assert_eq!(failure.error.kind(), ErrorKind::Checkpoint, "{failure}");
        }
    }
    assert!(refused > 0);
}

#[test]
fn the_log_works_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 1, rows: u64::MAX, age: Duration::MAX };
    let copier = Copier { fs: Arc::new(Disk), takes: Duration::ZERO, seen: Arc::default() };
    let ship = Arc::new(copier);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = FileStore::on(Arc::new(Disk), dir.path());
        let lease = store.lock().await.unwrap();
        let mut spool = Spool::new(Arc::new(Disk), dir.path().join("spool"), limits, 1, ship);
        let wanted = || Wanted { source: "a".into(), label: "a".into(), before: Before::Nothing };
        spool.open_all(vec![wanted()], Taken::default(), UNIX_EPOCH, &lease).await.unwrap();
        let lines = "{}\n".repeat(300_000);
        assert!(spool.write("a", lines.as_bytes(), 300_000).await.unwrap());
        let (source, state) = spool.begin_commit().await.unwrap().await.unwrap().pop().unwrap();
        assert_eq!((&*source, state.length, state.rows), ("a", lines.len() as u64, 300_000));
        spool.close().await.unwrap();
        let before = Before::Unfinished(Box::new(state));
        let again = Wanted { before, ..wanted() };
        spool.open_all(vec![again], Taken::default(), UNIX_EPOCH, &lease).await.unwrap();
        spool.seal("a", Value::Null).await.unwrap();
        let (_, state) = spool.begin_commit().await.unwrap().await.unwrap().pop().unwrap();
        assert_eq!((state.sealed.len(), state.sealed[0].length), (1, lines.len() as u64));
        spool.close().await.unwrap();
    });
}
