//! Objects and their manifest: each record once, whatever call a run dies, fails or freezes at.

mod faulty_store;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use faulty_store::{Fault, FaultyStore};
use futures::TryStreamExt;
use headwater::checkpoint::{CheckpointStore, MemoryStore, ObjectsStore};
use headwater::prelude::*;
use headwater::sink::objects::{CommittedObject, committed};
use headwater::sink::{Compression, Objects};
use headwater::testing::{Reply, Scripted};
use headwater::{Report, RunError};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

const PREFIX: &str = "team/github";
/// Small enough that a page makes several of them.
const PART: usize = 100;

/// Pages of two records, one after the other.
fn source(name: &str, pages: u64) -> Source {
    let api = Scripted::from_fn(move |request, _| {
        let page = request.url().query_pairs().find(|(name, _)| name == "page");
        let page: u64 = page.map_or(1, |(_, number)| number.parse().unwrap());
        let record = |id: u64| format!(r#"{{"id":{id},"text":"{}"}}"#, "x".repeat(60));
        let records = format!("[{},{}]", record(2 * page), record(2 * page + 1));
        let body = format!(r#"{{"data":{records},"more":{}}}"#, page < pages);
        Reply::json(body).delay(Duration::from_millis(2))
    });
    Source::get(name, "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .transport(api)
        .build()
        .unwrap()
}

const PAGES: u64 = 4;

fn sink(store: Arc<dyn ObjectStore>) -> Objects {
    // One has its objects in parts, and is not compressed.
    Objects::on(store, PREFIX)
        .compress(Compression::none())
        .part_size(PART)
        .silence(Duration::from_millis(300))
}

fn pipeline(sink: Objects, checkpoints: Option<&MemoryStore>) -> Pipeline {
    let sources = [source("a", PAGES), source("b", PAGES)];
    let pipeline = Pipeline::new().sources(sources).sink(sink).commit_every(Duration::from_millis(1));
    let pipeline = pipeline.started_at(SystemTime::UNIX_EPOCH);
    match checkpoints {
        Some(store) => pipeline.checkpoints(store.clone()),
        None => pipeline.take_over(),
    }
}

async fn run(sink: Objects, checkpoints: Option<&MemoryStore>) -> Result<Report, RunError> {
    let pipeline = pipeline(sink, checkpoints);
    tokio::time::timeout(Duration::from_secs(60), pipeline.run()).await.expect("it hangs")
}

async fn content(store: &Arc<dyn ObjectStore>, object: &CommittedObject) -> String {
    let got =
        store.get(&format!("{PREFIX}/{}", object.path).into()).await.expect("a committed object is there");
    assert_eq!(got.meta.size, object.bytes, "{object:?}");
    assert_eq!(got.meta.e_tag, object.e_tag, "{object:?}");
    let bytes = got.bytes().await.unwrap();
    text_of(&object.path, &bytes)
}

/// The ids of each source in what the manifest names, in order.
async fn ids(store: &Arc<dyn ObjectStore>) -> BTreeMap<String, Vec<u64>> {
    let mut ids: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for object in committed(store.clone(), PREFIX).await.unwrap() {
        let text = content(store, &object).await;
        assert!(text.ends_with('\n'), "{object:?} ends in the middle of a line");
        assert_eq!(text.lines().count() as u64, object.rows, "{object:?}");
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["__source"], object.source.as_str(), "{object:?}");
            ids.entry(object.source.clone()).or_default().push(record["id"].as_u64().unwrap());
        }
    }
    ids
}

fn whole() -> BTreeMap<String, Vec<u64>> {
    ["a", "b"].map(|source| (source.to_owned(), (2..2 * PAGES + 2).collect())).into()
}

/// What lies below the sources' folders and is in no manifest.
async fn leftovers(store: &Arc<dyn ObjectStore>) -> Vec<String> {
    let listed: Vec<_> = store.list(Some(&PREFIX.into())).try_collect().await.unwrap();
    let known: Vec<String> =
        committed(store.clone(), PREFIX).await.unwrap().into_iter().map(|o| o.path).collect();
    let below = |path: String| path.strip_prefix(&format!("{PREFIX}/")).unwrap().to_owned();
    let paths = listed.into_iter().map(|object| below(object.location.to_string()));
    paths.filter(|path| !path.starts_with("_headwater/") && !known.contains(path)).collect()
}

/// Behind a crash: what the manifest names is what the checkpoints say, and each record is in it once at most.
async fn assert_consistent(store: &Arc<dyn ObjectStore>, what: &str) {
    let ids = ids(store).await;
    let checkpoints = ObjectsStore::on(store.clone(), PREFIX);
    for source in ["a", "b"] {
        let told = checkpoints.load(source).await.unwrap().map_or(0, |checkpoint| checkpoint.records);
        let there = ids.get(source).cloned().unwrap_or_default();
        let expected: Vec<u64> = (2..2 + told).collect();
        assert_eq!(there, expected, "{source}, {what}");
    }
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// At every call in turn, until a run gets through.
async fn at_every_call(fault: Fault, has_other_store: bool, place: impl Fn() -> Arc<dyn ObjectStore>) {
    for at in 1.. {
        let inner = place();
        let checkpoints = has_other_store.then(MemoryStore::new);
        let faulty = FaultyStore::new(inner.clone(), fault, at);
        let first = run(sink(Arc::new(faulty.clone())), checkpoints.as_ref()).await;
        let what = format!("{fault:?} at call {at}: {:?}", faulty.seen().last());
        if !faulty.was_reached() {
            first.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(at > 20, "only {at} calls were seen");
            break;
        }
        if fault == Fault::Repeats {
            first.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        if !has_other_store {
            assert_consistent(&inner, &what).await;
        }
        let second = run(sink(inner.clone()), checkpoints.as_ref()).await;
        let second = second.unwrap_or_else(|error| panic!("{what}: {error}"));
        // A first run that got through is followed by one that pulls all anew.
        if ids(&inner).await != whole() {
            let resumed: u64 = second.sources.iter().map(|source| source.resumed_records).sum();
            let twice = ids(&inner).await.into_iter().map(|(source, mut ids)| {
                ids.truncate(2 * PAGES as usize);
                (source, ids)
            });
            assert_eq!((resumed, twice.collect()), (0, whole()), "{what}");
            assert!(faulty.seen().iter().filter(|call| call.starts_with("create")).count() > 3, "{what}");
        }
        assert_eq!(leftovers(&inner).await, Vec::<String>::new(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_any_call_leaves_each_record_once() {
    at_every_call(Fault::DiesBefore, false, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_behind_any_call_leaves_each_record_once() {
    at_every_call(Fault::DiesBehind, false, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_leaves_each_record_once() {
    at_every_call(Fault::LosesAnswer, false, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_client_has_repeated_is_no_failure() {
    at_every_call(Fault::Repeats, false, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_checkpoint_store_a_crash_leaves_each_record_once() {
    at_every_call(Fault::DiesBefore, true, memory).await;
    at_every_call(Fault::DiesBehind, true, memory).await;
    at_every_call(Fault::LosesAnswer, true, memory).await;
}

/// A run that stands still at a call while another takes over and pulls to the end, and then goes on.
async fn frozen_at_every_call(fault: Fault) {
    for at in 1.. {
        let inner = memory();
        let faulty = FaultyStore::new(inner.clone(), fault, at);
        let frozen = tokio::spawn(run(sink(Arc::new(faulty.clone())), None));
        tokio::select! {
            () = faulty.is_frozen() => {}
            () = async { while !frozen.is_finished() { tokio::task::yield_now().await } } => {
                frozen.await.unwrap().unwrap();
                assert!(at > 20, "only {at} calls were seen");
                return;
            }
        }
        let what = format!("{fault:?} at call {at}: {:?}", faulty.seen().last());
        let first_entry = format!("{PREFIX}/_headwater/log/000000000001.json");
        let has_begun = inner.head(&first_entry.into()).await.is_ok();
        let second = run(sink(inner.clone()), None).await;
        let second = second.unwrap_or_else(|error| panic!("{what}: {error}"));
        let manifest = committed(inner.clone(), PREFIX).await.unwrap();
        faulty.wake();
        let woken = frozen.await.unwrap();
        if !has_begun {
            // It had not taken the lock: it is the next run.
            woken.unwrap_or_else(|failure| panic!("{what}: {failure}"));
            assert_consistent_runs(&inner, &what).await;
            continue;
        }
        // It may have had nothing left to store.
        if let Err(failure) = woken {
            assert_eq!(failure.error.kind(), ErrorKind::Locked, "{what}: {failure}");
        }
        assert_eq!(committed(inner.clone(), PREFIX).await.unwrap(), manifest, "{what}");
        let there = ids(&inner).await;
        match there == whole() {
            true => {}
            // The frozen one had already finished, and this is the next run.
            false => assert_eq!(
                second.sources.iter().map(|source| source.resumed_records).sum::<u64>(),
                0,
                "{what}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_freezes_at_any_call_and_wakes_changes_nothing_any_more() {
    frozen_at_every_call(Fault::FreezesBefore).await;
    frozen_at_every_call(Fault::FreezesBehind).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_at_once_one_stops_and_nothing_is_there_twice() {
    let seed =
        std::env::var("HEADWATER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut stopped = 0;
    for round in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(round));
        let store = memory();
        let pause = Duration::from_micros(random.u64(..20_000));
        let later = async {
            tokio::time::sleep(pause).await;
            run(sink(store.clone()), None).await
        };
        let (first, second) = tokio::join!(run(sink(store.clone()), None), later);
        for outcome in [first, second] {
            if let Err(failure) = outcome {
                assert_eq!(failure.error.kind(), ErrorKind::Locked, "seed {seed}, round {round}: {failure}");
                stopped += 1;
            }
        }
        assert_consistent_runs(&store, &format!("seed {seed}, round {round}")).await;
    }
    assert!(stopped > 5, "the two hardly met");
}

/// In each run's folder each record is once, and they go on without a gap.
async fn assert_consistent_runs(store: &Arc<dyn ObjectStore>, what: &str) {
    let mut by_folder: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    for object in committed(store.clone(), PREFIX).await.unwrap() {
        let folder = by_folder.entry((object.source.clone(), object.folder.clone())).or_default();
        for line in content(store, &object).await.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            folder.push(record["id"].as_u64().unwrap());
        }
    }
    for (folder, ids) in by_folder {
        let expected: Vec<u64> = (2..2 + ids.len() as u64).collect();
        assert_eq!(ids, expected, "{folder:?}, {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_holds_the_same_in_every_compression() {
    let folder = tempfile::tempdir().unwrap();
    let choices = [
        ("plain", Compression::none()),
        ("gzip", Compression::gzip()),
        #[cfg(feature = "zstd")]
        ("zstd", Compression::zstd()),
    ];
    for (name, compression) in choices {
        let dir = folder.path().join(name);
        let report = run(Objects::local(&dir).unwrap().compress(compression), None).await.unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(&dir).unwrap());
        let mut text = String::new();
        for object in committed(store.clone(), "").await.unwrap().iter().filter(|object| object.source == "a")
        {
            let path = object.path.clone();
            assert!(dir.join(&path).is_file(), "{path}");
            text += &content_at(&store, &path).await;
        }
        assert_eq!(text.lines().count() as u64, 2 * PAGES, "{name}");
        let location = report.sources[0].output.clone().unwrap();
        assert!(std::path::Path::new(&location).is_dir(), "{location}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_was_given_up_is_free_at_once_and_a_dead_ones_behind_its_silence() {
    let store = memory();
    let at = || ObjectsStore::on(store.clone(), PREFIX).silence(Duration::from_millis(400));
    // A run that ends gives it up.
    for _ in 0..2 {
        let begun = std::time::Instant::now();
        let sink = Objects::on(store.clone(), PREFIX).silence(Duration::from_secs(600));
        Pipeline::new().source(source("a", 1)).sink(sink).run().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(20), "it was waited for");
    }
    // One that lives keeps the others out, who are told of it.
    let lease = at().lock().await.unwrap();
    let error = at().lock().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    lease.check().unwrap();
    // One that is taken over learns of it.
    let second = at().take_over().await.unwrap();
    assert_eq!(lease.check().unwrap_err().kind(), ErrorKind::Locked);
    assert!(second.term() > lease.term());
    second.check().unwrap();
    drop((lease, second));
    // One that dies without a word is silent.
    let faulty = FaultyStore::new(store.clone(), Fault::DiesBefore, 60);
    let dead = ObjectsStore::on(Arc::new(faulty.clone()), PREFIX).silence(Duration::from_millis(400));
    let held = dead.take_over().await.unwrap();
    while !faulty.was_reached() {
        let _ = dead.load("a").await;
    }
    let third = at().lock().await.unwrap();
    assert!(third.term() > held.term());
}

async fn content_at(store: &Arc<dyn ObjectStore>, path: &str) -> String {
    let bytes = store.get(&path.into()).await.unwrap().bytes().await.unwrap();
    text_of(path, &bytes)
}

fn text_of(path: &str, bytes: &[u8]) -> String {
    let mut text = String::new();
    match path.rsplit_once('.').unwrap().1 {
        "gz" => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap(),
        #[cfg(feature = "zstd")]
        "zst" => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_string(&mut text).unwrap(),
        _ => {
            let mut bytes = bytes;
            bytes.read_to_string(&mut text).unwrap()
        }
    };
    text
}
