//! One file for all sources: each record once, though each source has a checkpoint of its own and a crash may come between two.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater::checkpoint::{Checkpoint, CheckpointStore, Lease, MemoryStore, SinkState};
use headwater::error::{Error, ErrorKind};
use headwater::prelude::*;
use headwater::sink::{Compression, Jsonl, Partition, Sink};
use headwater::testing::{CrashFs, Image, Reply, Scripted};
use headwater::{Report, RunError};
use serde_json::json;

const NAMES: [&str; 3] = ["s0", "s1", "s2"];

/// Called with what was stored, and what the disk has then.
type Look = Arc<dyn Fn(&Image) + Send + Sync>;

/// A store that dies in the middle of a save: of its checkpoints it stores some, and nothing from there on.
#[derive(Clone)]
struct Torn {
    inner: MemoryStore,
    disk: CrashFs,
    saves: Arc<AtomicU64>,
    /// At which save, counted from 1, and which of its checkpoints are stored, by bits.
    dies: Option<(u64, u32)>,
    look: Option<Look>,
}

impl std::fmt::Debug for Torn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Torn")
    }
}

impl CheckpointStore for Torn {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        self.inner.lock()
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        self.inner.load(source)
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let number = self.saves.fetch_add(1, SeqCst) + 1;
            let Some((at, which)) = self.dies.filter(|(at, _)| number >= *at) else {
                self.inner.save(lease, checkpoints).await?;
                if let Some(look) = &self.look {
                    look(&self.disk.image());
                }
                return Ok(());
            };
            for (index, checkpoint) in checkpoints.iter().enumerate() {
                if number == at && which & (1 << index) != 0 {
                    self.inner.save(lease, std::slice::from_ref(checkpoint)).await?;
                }
            }
            Err(Error::new(ErrorKind::Checkpoint, "the store died"))
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Files {
    compression: Compression,
    rows: Option<u64>,
    by_field: bool,
}

impl Files {
    fn all() -> Vec<Self> {
        let plain = Self { compression: Compression::none(), rows: None, by_field: false };
        let gzip = Self { compression: Compression::gzip(), ..plain };
        let mut all = vec![plain, gzip, Self { rows: Some(3), ..plain }, Self { rows: Some(4), ..gzip }];
        all.push(Self { by_field: true, ..gzip });
        #[cfg(feature = "zstd")]
        all.push(Self { compression: Compression::zstd(), ..plain });
        all
    }
}

/// A disk, a store, and how many records each page of a source has.
struct World {
    disk: CrashFs,
    store: MemoryStore,
    runs: AtomicU64,
    pages: BTreeMap<&'static str, Vec<u64>>,
    pace: BTreeMap<&'static str, u64>,
    files: Files,
    buffer: usize,
}

impl World {
    fn new(files: Files) -> Self {
        let pages = NAMES.into_iter().zip([vec![2, 1, 2], vec![1, 2], vec![2, 0, 1, 2]]).collect();
        let pace = NAMES.into_iter().zip([200, 300, 230]).collect();
        let (disk, store, runs) = (CrashFs::new(), MemoryStore::new(), AtomicU64::new(0));
        Self { disk, store, runs, pages, pace, files, buffer: 64 }
    }

    fn source(&self, name: &'static str) -> Source {
        let (pages, pace) = (self.pages[name].clone(), Duration::from_millis(self.pace[name]));
        let api = Scripted::from_fn(move |request, _| {
            let query = request.url().query_pairs().find(|(name, _)| name == "cursor");
            let page: usize = query.map_or(0, |(_, page)| page.parse().unwrap());
            let before: u64 = pages[..page].iter().sum();
            let record = |number: u64| json!({"id": before + number, "half": (before + number) % 2});
            let records: Vec<_> = (1..=pages[page]).map(record).collect();
            let next = (page + 1 < pages.len()).then(|| (page + 1).to_string());
            Reply::json(json!({"data": records, "next": next}).to_string()).delay(pace)
        });
        let source = Source::get(name, "https://api.example.com/items").records("data");
        source.paginate(Cursor::body("next")).transport(api).build().unwrap()
    }

    fn sink(&self) -> Jsonl {
        let sink = Jsonl::on(Arc::new(self.disk.clone()), "/out").one_file().buffer(self.buffer);
        let sink = sink.compress(self.files.compression);
        let sink = self.files.rows.into_iter().fold(sink, Jsonl::roll_at_rows);
        if self.files.by_field {
            sink.partition_by(Partition::field("half")).most_open_files(1)
        } else {
            sink
        }
    }

    /// Pulls these sources until the store dies, if it does. Says whether it came so far.
    fn run_until(
        &self,
        names: &[&'static str],
        dies: Option<(u64, u32)>,
        look: Option<Look>,
    ) -> (Result<Report, RunError>, bool) {
        let (inner, disk, saves) = (self.store.clone(), self.disk.clone(), Arc::new(AtomicU64::new(0)));
        let store = Torn { inner, disk, saves, dies, look };
        let saves = store.saves.clone();
        let run = Pipeline::new()
            .sources(names.iter().map(|name| self.source(name)))
            .sink(self.sink())
            .checkpoints(store)
            .commit_every(Duration::from_millis(250))
            .started_at(UNIX_EPOCH + Duration::from_secs(1_779_012_000 + self.runs.fetch_add(1, SeqCst)))
            .run();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let outcome = runtime.unwrap().block_on(run);
        (outcome, dies.is_some_and(|(at, _)| saves.load(SeqCst) >= at))
    }

    fn run(&self, names: &[&'static str]) -> Result<Report, RunError> {
        self.run_until(names, None, None).0
    }

    /// The ids of each source in the files that have their names, in their order.
    fn ids(&self) -> BTreeMap<String, Vec<u64>> {
        let mut ids: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let image = self.disk.image();
        // The folder says nothing of the order.
        let mut files: Vec<(&Path, &[u8])> = image.files().filter(|(path, _)| !is_hidden(path)).collect();
        files.sort_by_key(|(path, _)| path.file_name().map(ToOwned::to_owned));
        for (path, bytes) in files {
            for line in lines(path, bytes) {
                let record: serde_json::Value = serde_json::from_str(&line).unwrap();
                let source = record["__source"].as_str().unwrap().to_owned();
                ids.entry(source).or_default().push(record["id"].as_u64().unwrap());
            }
        }
        ids
    }

    /// Each record once for each run of its source.
    fn check(&self, case: &str) {
        let ids = self.ids();
        for (name, pages) in &self.pages {
            let expected: Vec<u64> = (1..=pages.iter().sum()).collect();
            let mut found = ids.get(*name).cloned().unwrap_or_default();
            let runs = (found.len() / expected.len().max(1)).max(1);
            let mut wanted = expected.repeat(runs);
            if self.files.by_field {
                found.sort_unstable();
                wanted.sort_unstable();
            }
            assert_eq!(found, wanted, "{case}: {name} in {:?}", image_names(&self.disk));
        }
        for (path, _) in self.disk.image().files().filter(|(path, _)| is_hidden(path)) {
            assert!(
                path.to_string_lossy().contains(".partial/ledger."),
                "{case}: {} is left",
                path.display()
            );
        }
    }
}

fn image_names(disk: &CrashFs) -> Vec<String> {
    disk.image().files().map(|(path, _)| path.display().to_string()).collect()
}

fn is_hidden(path: &Path) -> bool {
    path.to_string_lossy().contains("/.")
}

fn lines(path: &Path, bytes: &[u8]) -> Vec<String> {
    let mut text = String::new();
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).map(drop).unwrap(),
        #[cfg(feature = "zstd")]
        Some("zst") => text = String::from_utf8(zstd::decode_all(bytes).unwrap()).unwrap(),
        _ => text = String::from_utf8(bytes.to_vec()).unwrap(),
    }
    assert!(text.is_empty() || text.ends_with('\n'), "{} has a torn line", path.display());
    text.lines().map(str::to_owned).collect()
}

/// Whether a run was refused because what a source has in a finished file does not count.
fn is_refused(failure: &RunError) -> bool {
    failure.to_string().contains("a finished file")
}

#[test]
fn a_crash_between_the_checkpoints_of_two_sources_costs_neither_a_record() {
    let mut cases = 0;
    for files in Files::all() {
        'saves: for at in 1.. {
            for which in 0..8 {
                let world = World::new(files);
                let case = format!("{files:?}, save {at} dies with {which:03b} stored");
                let (outcome, has_died) = world.run_until(&NAMES, Some((at, which)), None);
                if !has_died {
                    outcome.unwrap();
                    world.check(&case);
                    break 'saves;
                }
                outcome.unwrap_err();
                world.run(&NAMES).unwrap_or_else(|failure| panic!("{case}: {failure}"));
                world.check(&case);
                cases += 1;
            }
        }
    }
    println!("{cases} torn saves, each record once behind each");
    assert!(cases > 200, "only {cases}");
}

#[test]
fn a_source_that_is_left_out_behind_a_crash_loses_nothing_and_brings_nothing_twice() {
    let (mut cases, mut refused) = (0, 0);
    let first = Files::all();
    for files in [first[0], first[3]] {
        'saves: for at in 1.. {
            for which in 0..8 {
                for left in [&["s0"][..], &["s1"], &["s2", "s0"], &["s1", "s2"]] {
                    let world = World::new(files);
                    let case = format!("{files:?}, save {at} dies with {which:03b} stored, then {left:?}");
                    let (outcome, has_died) = world.run_until(&NAMES, Some((at, which)), None);
                    if !has_died {
                        outcome.unwrap();
                        break 'saves;
                    }
                    world.run(left).unwrap_or_else(|failure| panic!("{case}: {failure}"));
                    cases += 1;
                    match world.run(&NAMES) {
                        Ok(_) => world.check(&case),
                        Err(failure) if is_refused(&failure) => {
                            refused += 1;
                            assert_eq!(failure.error.kind(), ErrorKind::Sink);
                            assert!(!left.contains(&&**failure.error.context().source.as_ref().unwrap()));
                        }
                        Err(failure) => panic!("{case}: {failure}"),
                    }
                }
            }
        }
    }
    println!("{cases} cases, in {refused} of them a finished file had what does not count");
    assert!(cases > 200 && refused > 0 && refused < cases / 2, "{cases}, {refused}");
}

#[test]
fn what_does_not_count_goes_when_its_source_is_back_before_the_file_is_finished() {
    for files in Files::all().into_iter().filter(|files| files.rows.is_none()) {
        let mut cases = 0;
        // What is of the third is in the file and in no checkpoint; it is left out of the next run, which dies too.
        for (at, which) in [(2, 0b001), (2, 0b011), (3, 0b001), (3, 0b000), (4, 0b001)] {
            for again in 1..5 {
                let world = World::new(files);
                let case = format!("{files:?}, save {at} with {which:03b}, and then at {again}");
                world.run_until(&NAMES, Some((at, which)), None).0.unwrap_err();
                if !world.run_until(&["s0", "s1"], Some((again, 0b01)), None).1 {
                    continue;
                }
                match world.run(&NAMES) {
                    Err(failure) if is_refused(&failure) => continue,
                    outcome => outcome.unwrap_or_else(|failure| panic!("{case}: {failure}")),
                };
                world.check(&case);
                cases += 1;
            }
        }
        assert!(cases >= 8, "{files:?}: {cases}");
    }
}

#[test]
fn runs_of_any_sources_that_die_anywhere_leave_each_record_once() {
    let seed = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("HEADWATER_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut deaths, mut refused) = (0, 0);
    let worlds = if std::env::var_os("HEADWATER_FULL").is_some() { 20_000 } else { 400 };
    'worlds: for number in 0..worlds {
        let mut world = World::new(*random.choice(&Files::all()).unwrap());
        world.buffer = *random.choice(&[1, 64, 4096]).unwrap();
        for name in NAMES {
            let pages = (0..random.usize(1..8)).map(|_| random.u64(0..4)).collect();
            world.pages.insert(name, pages);
            world.pace.insert(name, random.u64(1..500));
        }
        let case = format!("HEADWATER_SEED={seed}, world {number}");
        for _ in 0..random.usize(1..6) {
            let mut names: Vec<&'static str> = NAMES.into_iter().filter(|_| random.u8(0..4) > 0).collect();
            random.shuffle(&mut names);
            if names.is_empty() {
                continue;
            }
            let dies = (random.u64(1..9), random.u32(0..8));
            let (outcome, has_died) = world.run_until(&names, Some(dies), None);
            match outcome {
                Err(failure) if is_refused(&failure) => {
                    refused += 1;
                    continue 'worlds;
                }
                Err(failure) => assert!(failure.to_string().contains("the store died"), "{case}: {failure}"),
                Ok(_) => assert!(!has_died, "{case}"),
            }
            deaths += u32::from(has_died);
            if random.bool() {
                // The machine with it.
                let crash = world.disk.crash(world.disk.operations());
                world.disk = CrashFs::from_image(crash.sample(&mut random));
            }
        }
        match world.run(&NAMES) {
            Err(failure) if is_refused(&failure) => refused += 1,
            outcome => {
                outcome.unwrap_or_else(|failure| panic!("{case}: {failure}"));
                world.check(&case);
            }
        }
    }
    println!("{worlds} worlds, {deaths} runs that died, {refused} worlds ended with a refusal");
    assert!(refused < worlds / 4, "{refused} of {worlds}");
}

#[test]
fn what_was_committed_can_be_read_at_every_commit() {
    for files in Files::all() {
        let world = World::new(files);
        let looks = Arc::new(Mutex::new(Vec::new()));
        let seen = looks.clone();
        let look = move |image: &Image| {
            let files = image.files().filter(|(path, _)| path.to_string_lossy().contains("all_"));
            // A file that has just been given its name may have both.
            let count = files.map(|(path, bytes)| lines(path, bytes).len()).sum::<usize>();
            seen.lock().unwrap().push(count);
        };
        world.run_until(&NAMES, None, Some(Arc::new(look))).0.unwrap();
        let looks = looks.lock().unwrap();
        assert!(looks.len() > 4 && looks.is_sorted(), "{files:?}: {looks:?}");
        assert_eq!(looks.last(), Some(&13), "{files:?}");
    }
}

#[test]
fn a_commit_costs_the_disk_the_same_whatever_the_number_of_sources() {
    let operations = |count: usize| {
        let mut world = World::new(Files::all()[1]);
        world.buffer = 1 << 20;
        let names: Vec<&'static str> = (0..count).map(|number| &*format!("s{number}").leak()).collect();
        for name in &names {
            world.pages.insert(name, vec![2, 2]);
            world.pace.insert(name, 100);
        }
        world.run(&names).unwrap();
        world.disk.operations()
    };
    assert_eq!(operations(3), operations(100));
}

#[test]
fn a_source_is_added_and_its_records_are_in_the_file_of_the_run() {
    let world = World::new(Files::all()[0]);
    world.run_until(&["s0", "s1"], Some((3, 0b11)), None).0.unwrap_err();
    let report = world.run(&NAMES).unwrap();
    world.check("one was added");
    let image = world.disk.image();
    let names: Vec<&Path> = image.files().map(|(path, _)| path).filter(|path| !is_hidden(path)).collect();
    assert_eq!(names, [Path::new("/out/all_20260517T100000Z_00001.jsonl")]);
    assert_eq!(report.sources[2].output.as_deref(), Some("/out/all_20260517T100000Z_00001.jsonl"));
    // And the next run has a file of its own.
    world.run(&["s2"]).unwrap();
    assert_eq!(world.ids()["s2"], [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
}

fn refusal(world: &World) -> Error {
    world.run(&NAMES).unwrap_err().error
}

#[test]
fn a_checkpoint_that_is_lost_or_old_is_an_error_and_changes_nothing() {
    let mut world = World::new(Files::all()[0]);
    world.run_until(&NAMES, Some((3, 0)), None).0.unwrap_err();
    let old = world.store.load("s1").now_or_never().unwrap().unwrap();
    world.run_until(&NAMES, Some((6, 0)), None).0.unwrap_err();
    let image = world.disk.image();
    let stored = |without: &str| {
        let store = MemoryStore::new();
        let lease = store.lock().now_or_never().unwrap().unwrap();
        for name in NAMES.into_iter().filter(|name| *name != without) {
            let checkpoint = world.store.load(name).now_or_never().unwrap().unwrap().unwrap();
            store.save(&lease, &[checkpoint]).now_or_never().unwrap().unwrap();
        }
        store
    };
    let lost = stored("s1");
    let older = stored("s1");
    let lease = older.lock().now_or_never().unwrap().unwrap();
    older.save(&lease, &[old.unwrap()]).now_or_never().unwrap().unwrap();
    drop(lease);
    for (store, says) in [(lost, "no checkpoint that knows them"), (older, "the checkpoint is older")] {
        world.store = store;
        let error = refusal(&world);
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
        assert!(error.to_string().contains(says) && error.to_string().contains("s1"), "{error}");
        assert_eq!(world.disk.image(), image, "something was changed");
    }
}

#[test]
fn a_ledger_that_is_gone_damaged_or_old_is_an_error() {
    let mut world = World::new(Files::all()[0]);
    world.run_until(&NAMES, Some((3, 0b111)), None).0.unwrap_err();
    let ledger = Path::new("/out/.partial/ledger.0");
    let old = world.disk.image().read(ledger).unwrap().to_vec();
    world.run_until(&NAMES, Some((4, 0b111)), None).0.unwrap_err();
    let image = world.disk.image();
    let mut damaged = image.read(ledger).unwrap().to_vec();
    damaged[40] ^= 1;
    for (bytes, says) in [(None, "is gone"), (Some(damaged), "is damaged"), (Some(old), "are older")] {
        let disk = CrashFs::from_image(image.clone());
        let fs: &dyn headwater::fs::Fs = &disk;
        fs.remove(ledger).unwrap();
        if let Some(bytes) = bytes {
            fs.open(ledger, headwater::fs::OpenMode::New).unwrap().append(&bytes).unwrap();
        }
        world.disk = disk;
        let error = refusal(&world);
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn what_goes_by_source_is_refused_and_nothing_can_be_emptied() {
    let world = World::new(Files::all()[0]);
    for sink in [
        world.sink().names("{source}_{start}_{part}"),
        world.sink().partition_by(Partition::source()),
        world.sink().names("{start}"),
    ] {
        let run = Pipeline::new().source(world.source("s0")).sink(sink).checkpoints(MemoryStore::new()).run();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let error = runtime.unwrap().block_on(run).unwrap_err().error;
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    assert_eq!(world.sink().emptied(&SinkState(json!({"commit": 1}))), None);
}
