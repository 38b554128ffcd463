//! Sources with known records, objects below a prefix, and what must be there behind a crash.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use headwater::checkpoint::{CheckpointStore, MemoryStore, ObjectsStore};
use headwater::prelude::*;
use headwater::sink::objects::{CommittedObject, committed};
use headwater::sink::{Compression, Objects};
use headwater::testing::{Reply, Scripted};
use headwater::{Report, RunError};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::faulty_store::{Fault, FaultyStore};

pub(crate) const PREFIX: &str = "team/github";
/// Small enough that a page makes several of them.
pub(crate) const PART: usize = 100;

/// Pages of two records, one after the other.
pub(crate) fn source(name: &str, pages: u64) -> Source {
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

pub(crate) const PAGES: u64 = 4;

pub(crate) fn sink(store: Arc<dyn ObjectStore>) -> Objects {
    // One has its objects in parts, and is not compressed.
    Objects::on(store, PREFIX)
        .compress(Compression::none())
        .part_size(PART)
        .silence(Duration::from_millis(300))
}

pub(crate) fn pipeline(sink: Objects, checkpoints: Option<&MemoryStore>) -> Pipeline {
    let sources = [source("a", PAGES), source("b", PAGES)];
    let pipeline = Pipeline::new().sources(sources).sink(sink).commit_every(Duration::from_millis(1));
    let pipeline = pipeline.started_at(SystemTime::UNIX_EPOCH);
    match checkpoints {
        Some(store) => pipeline.checkpoints(store.clone()),
        None => pipeline.take_over(),
    }
}

pub(crate) async fn run(sink: Objects, checkpoints: Option<&MemoryStore>) -> Result<Report, RunError> {
    let pipeline = pipeline(sink, checkpoints);
    tokio::time::timeout(Duration::from_secs(60), pipeline.run()).await.expect("it hangs")
}

pub(crate) async fn content(store: &Arc<dyn ObjectStore>, object: &CommittedObject) -> String {
    let got =
        store.get(&format!("{PREFIX}/{}", object.path).into()).await.expect("a committed object is there");
    assert_eq!(got.meta.size, object.bytes, "{object:?}");
    assert_eq!(got.meta.e_tag, object.e_tag, "{object:?}");
    let bytes = got.bytes().await.unwrap();
    text_of(&object.path, &bytes)
}

/// The ids of each source in what the manifest names, in order.
pub(crate) async fn ids(store: &Arc<dyn ObjectStore>) -> BTreeMap<String, Vec<u64>> {
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

pub(crate) fn whole() -> BTreeMap<String, Vec<u64>> {
    ["a", "b"].map(|source| (source.to_owned(), (2..2 * PAGES + 2).collect())).into()
}

/// What lies below the sources' folders and is in no manifest.
pub(crate) async fn leftovers(store: &Arc<dyn ObjectStore>) -> Vec<String> {
    let listed: Vec<_> = store.list(Some(&PREFIX.into())).try_collect().await.unwrap();
    let known: Vec<String> =
        committed(store.clone(), PREFIX).await.unwrap().into_iter().map(|o| o.path).collect();
    let below = |path: String| path.strip_prefix(&format!("{PREFIX}/")).unwrap().to_owned();
    let paths = listed.into_iter().map(|object| below(object.location.to_string()));
    paths.filter(|path| !path.starts_with("_headwater/") && !known.contains(path)).collect()
}

/// Behind a crash: what the manifest names is what the checkpoints say, and each record is in it once at most.
pub(crate) async fn assert_consistent(store: &Arc<dyn ObjectStore>, what: &str) {
    let ids = ids(store).await;
    let checkpoints = ObjectsStore::on(store.clone(), PREFIX);
    for source in ["a", "b"] {
        let told = checkpoints.load(source).await.unwrap().map_or(0, |checkpoint| checkpoint.records);
        let there = ids.get(source).cloned().unwrap_or_default();
        let expected: Vec<u64> = (2..2 + told).collect();
        assert_eq!(there, expected, "{source}, {what}");
    }
}

pub(crate) fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// At every call in turn, or at every few, until a run gets through.
pub(crate) async fn at_every_call(
    fault: Fault,
    has_other_store: bool,
    step: usize,
    sink: impl Fn(Arc<dyn ObjectStore>) -> Objects,
    place: impl Fn() -> Arc<dyn ObjectStore>,
) {
    for at in (1..).step_by(step) {
        let inner = place();
        let checkpoints = has_other_store.then(MemoryStore::new);
        let faulty = FaultyStore::new(inner.clone(), fault, at);
        let first = run(sink(Arc::new(faulty.clone())), checkpoints.as_ref()).await;
        let what = format!("{fault:?} at call {at}: {:?}", faulty.seen().last());
        if !faulty.was_reached() {
            first.unwrap_or_else(|error| panic!("{what}: {error}"));
            // How many there are depends on how many commits the clock gives a slow server.
            let enough = if step == 1 { 15 } else { step as u64 };
            assert!(at > enough, "only {at} calls were seen");
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

/// In each run's folder each record is once, and they go on without a gap.
pub(crate) async fn assert_consistent_runs(store: &Arc<dyn ObjectStore>, what: &str) {
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

pub(crate) async fn content_at(store: &Arc<dyn ObjectStore>, path: &str) -> String {
    let bytes = store.get(&path.into()).await.unwrap().bytes().await.unwrap();
    text_of(path, &bytes)
}

pub(crate) fn text_of(path: &str, bytes: &[u8]) -> String {
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
