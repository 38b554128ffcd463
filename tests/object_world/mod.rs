//! Sources with known records, objects below a prefix, and what must be there behind a crash.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use headwater::checkpoint::{CheckpointStore, MemoryStore, ObjectsStore};
use headwater::prelude::*;
use headwater::sink::objects::{CommittedObject, committed, rejected};
use headwater::sink::{Compression, Objects};
use headwater::testing::{Reply, Scripted};
use headwater::{Report, RunError};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::faulty_store::{Fault, FaultyStore};

pub(crate) const PREFIX: &str = "team/github";
/// Small enough that a page makes several of them.
pub(crate) const PART: usize = 100;

/// Pages of two records, one after the other. From the third page on they have a field more.
pub(crate) fn source(name: &str, pages: u64) -> Source {
    let api = Scripted::from_fn(move |request, _| {
        let page = request.url().query_pairs().find(|(name, _)| name == "page");
        let page: u64 = page.map_or(1, |(_, number)| number.parse().unwrap());
        let late = if page > 2 { format!(r#","late":[{page}]"#) } else { String::new() };
        let record = |id: u64| format!(r#"{{"id":{id},"text":"{}"{late}}}"#, "x".repeat(60));
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

/// One source has columns that grow, and of the other all is rejected from its third page on.
#[cfg(feature = "parquet")]
pub(crate) fn columns(store: Arc<dyn ObjectStore>) -> Objects {
    use headwater::schema::{ColumnType, Contract, Schema, Schemas};

    let schema = Schema::builder().required("id", ColumnType::Int64).column("text", ColumnType::Text);
    let schemas = Schemas::inferred().declare("b", schema.build().unwrap());
    sink(store).schemas(schemas.contract_of("b", Contract::Reject))
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

/// What the manifest names: of each run the objects with rows, and behind them those with rejected records.
pub(crate) async fn named(store: &Arc<dyn ObjectStore>) -> Vec<CommittedObject> {
    let mut named = committed(store.clone(), PREFIX).await.unwrap();
    for object in rejected(store.clone(), PREFIX).await.unwrap() {
        assert!(object.path.starts_with(&format!("rejected/{}/", object.source)), "{object:?}");
        named.push(object);
    }
    // Run by run.
    named.sort_by(|one, other| one.folder.cmp(&other.folder));
    named
}

/// The ids in an object, in order.
pub(crate) async fn ids_of(store: &Arc<dyn ObjectStore>, object: &CommittedObject) -> Vec<u64> {
    let text = content(store, object).await;
    assert!(text.ends_with('\n'), "{object:?} ends in the middle of a line");
    assert_eq!(text.lines().count() as u64, object.rows, "{object:?}");
    let id = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["__source"], object.source.as_str(), "{object:?}");
        let whole = record.get("record").map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap());
        whole.unwrap_or(record)["id"].as_u64().unwrap()
    };
    text.lines().map(id).collect()
}

/// The ids of each source in what the manifest names, in order; those of rejected records come last.
pub(crate) async fn ids(store: &Arc<dyn ObjectStore>) -> BTreeMap<String, Vec<u64>> {
    let mut ids: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for object in named(store).await {
        ids.entry(object.source.clone()).or_default().extend(ids_of(store, &object).await);
    }
    ids
}

pub(crate) fn whole() -> BTreeMap<String, Vec<u64>> {
    ["a", "b"].map(|source| (source.to_owned(), (2..2 * PAGES + 2).collect())).into()
}

/// What lies below the sources' folders and is in no manifest.
pub(crate) async fn leftovers(store: &Arc<dyn ObjectStore>) -> Vec<String> {
    let listed: Vec<_> = store.list(Some(&PREFIX.into())).try_collect().await.unwrap();
    let known: Vec<String> = named(store).await.into_iter().map(|object| object.path).collect();
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
    for object in named(store).await {
        let folder = by_folder.entry((object.source.clone(), object.folder.clone())).or_default();
        folder.extend(ids_of(store, &object).await);
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
        #[cfg(feature = "parquet")]
        "parquet" => text = lines_of(bytes),
        "gz" => drop(flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap()),
        #[cfg(feature = "zstd")]
        "zst" => drop(zstd::stream::read::Decoder::new(bytes).unwrap().read_to_string(&mut text).unwrap()),
        _ => text.push_str(std::str::from_utf8(bytes).unwrap()),
    }
    text
}

/// Rows of Parquet as lines, without nulls.
#[cfg(feature = "parquet")]
pub(crate) fn lines_of(bytes: &[u8]) -> String {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    let reader = SerializedFileReader::new(bytes::Bytes::copy_from_slice(bytes)).expect("a whole object");
    let mut lines = String::new();
    for row in reader.get_row_iter(None).expect("rows") {
        let row = row.expect("a row");
        let field = |(name, field): (&String, &Field)| {
            let value = match field {
                Field::Null => return None,
                Field::Str(text) => text.clone().into(),
                Field::Long(number) => (*number).into(),
                Field::Bool(value) => (*value).into(),
                other => other.to_string().into(),
            };
            Some((name.clone(), value))
        };
        let record: serde_json::Map<String, serde_json::Value> =
            row.get_column_iter().filter_map(field).collect();
        lines += &serde_json::to_string(&record).unwrap();
        lines.push('\n');
    }
    lines
}

/// A run that stands still at a call while another takes over and pulls to the end, and then goes on.
pub(crate) async fn frozen_at_every_call(fault: Fault, sink: impl Fn(Arc<dyn ObjectStore>) -> Objects) {
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

/// Two runs that begin at nearly the same time, again and again.
pub(crate) async fn two_writers_at_once(rounds: u64, sink: impl Fn(Arc<dyn ObjectStore>) -> Objects) {
    let seed =
        std::env::var("HEADWATER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut stopped = 0;
    for round in 0..rounds {
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
    assert!(stopped > rounds / 8, "the two hardly met");
}
