//! Objects and their manifest: each record once, whatever call a run dies, fails or freezes at.

mod faulty_store;
mod object_world;

use std::sync::Arc;
use std::time::Duration;

use faulty_store::{Fault, FaultyStore};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use headwater::checkpoint::{CheckpointStore, ObjectsStore};
use headwater::prelude::*;
use headwater::sink::objects::committed;
use headwater::sink::{Compression, Objects, Sink};
use headwater::testing::{sink_suite, store_suite};
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};
use object_world::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_any_call_leaves_each_record_once() {
    at_every_call(Fault::DiesBefore, false, 1, sink, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_behind_any_call_leaves_each_record_once() {
    at_every_call(Fault::DiesBehind, false, 1, sink, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_leaves_each_record_once() {
    at_every_call(Fault::LosesAnswer, false, 1, sink, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_client_has_repeated_is_no_failure() {
    at_every_call(Fault::Repeats, false, 1, sink, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_checkpoint_store_a_crash_leaves_each_record_once() {
    at_every_call(Fault::DiesBefore, true, 1, sink, memory).await;
    at_every_call(Fault::DiesBehind, true, 1, sink, memory).await;
    at_every_call(Fault::LosesAnswer, true, 1, sink, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_freezes_at_any_call_and_wakes_changes_nothing_any_more() {
    frozen_at_every_call(Fault::FreezesBefore, sink).await;
    frozen_at_every_call(Fault::FreezesBehind, sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_at_once_one_stops_and_nothing_is_there_twice() {
    two_writers_at_once(40, sink).await;
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

/// A prefix of a store that the suites are run over.
struct Shelf(Arc<dyn ObjectStore>);

impl sink_suite::Place for Shelf {
    fn sink(&self) -> Box<dyn Sink> {
        // Small enough for several parts, and large enough for a record of a megabyte.
        Box::new(sink(self.0.clone()).part_size(50_000))
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let mut lines = Vec::new();
            for object in committed(self.0.clone(), PREFIX).await? {
                if object.source == source {
                    lines.extend(content(&self.0, &object).await.lines().map(str::to_owned));
                }
            }
            Ok(lines)
        })
    }
}

impl store_suite::Place for Shelf {
    fn store(&self) -> Arc<dyn CheckpointStore> {
        Arc::new(ObjectsStore::on(self.0.clone(), PREFIX).silence(Duration::from_millis(300)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_memory_hold_what_a_sink_promises() {
    sink_suite::run(&Shelf(memory())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_a_folder_hold_what_a_sink_promises() {
    let folder = tempfile::tempdir().unwrap();
    sink_suite::run(&Shelf(Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_in_objects_hold_what_a_store_promises() {
    let folder = tempfile::tempdir().unwrap();
    store_suite::run(&Shelf(memory())).await;
    store_suite::run(&Shelf(Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()))).await;
}

/// A source whose every page is a commit.
fn long(pages: u64, sink: Objects) -> Pipeline {
    let source = source("long", pages);
    Pipeline::new().source(source).sink(sink).commit_every(Duration::from_millis(1)).take_over()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_of_a_long_run_is_put_in_small_pieces_and_folded() {
    let store = memory();
    long(300, sink(store.clone())).run().await.unwrap();
    // One that has read nothing of it yet, and goes on behind it.
    long(300, sink(store.clone())).run().await.unwrap();
    let listed: Vec<_> = store.list(Some(&PREFIX.into())).try_collect().await.unwrap();
    let of = |part: &str| {
        let is_of = |object: &&object_store::ObjectMeta| object.location.as_ref().contains(part);
        listed.iter().filter(is_of).collect::<Vec<_>>()
    };
    let (entries, folds) = (of("_headwater/log/"), of("_headwater/folds/"));
    assert!(entries.len() > 200 && folds.len() > 2, "{} entries, {} folds", entries.len(), folds.len());
    let largest =
        |objects: &[&object_store::ObjectMeta]| objects.iter().map(|object| object.size).max().unwrap();
    assert!(largest(&entries) < 4_096, "{}", largest(&entries));
    assert!(largest(&folds) < 64_000, "{}", largest(&folds));
    // The entries alone say the same as the folds and the rest.
    let objects = committed(store.clone(), PREFIX).await.unwrap();
    for fold in folds {
        store.delete(&fold.location).await.unwrap();
    }
    assert_eq!(committed(store.clone(), PREFIX).await.unwrap(), objects);
    let rows: u64 = objects.iter().map(|object| object.rows).sum();
    assert_eq!(rows, 2 * 2 * 300);
    assert_consistent_runs(&store, "a long run").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_crashes_while_the_log_is_folded_loses_nothing() {
    for fault in [Fault::DiesBefore, Fault::DiesBehind, Fault::LosesAnswer] {
        let inner = memory();
        // The run before has put as many entries as a fold wants, or nearly so.
        long(56, sink(inner.clone())).run().await.unwrap();
        for at in 1..60 {
            let faulty = FaultyStore::new(inner.clone(), fault, at);
            let _ = long(3, sink(Arc::new(faulty))).run().await;
            let what = format!("{fault:?} at call {at}");
            long(3, sink(inner.clone())).run().await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_consistent_runs(&inner, &what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_without_their_manifest_are_an_error() {
    let store = memory();
    run(sink(store.clone()), None).await.unwrap();
    let own = format!("{PREFIX}/_headwater");
    let listed: Vec<_> = store.list(Some(&own.into())).try_collect().await.unwrap();
    for object in listed {
        store.delete(&object.location).await.unwrap();
    }
    let failure = run(sink(store.clone()), None).await.unwrap_err();
    assert_eq!(failure.error.kind(), ErrorKind::Checkpoint);
    assert!(failure.error.to_string().contains("no checkpoint that knows them"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_in_the_log_is_an_error_that_names_it() {
    let store = memory();
    run(sink(store.clone()), None).await.unwrap();
    let path = format!("{PREFIX}/_headwater/log/000000000003.json");
    for damage in ["", "garbage", r#"{"format":2,"number":3,"writer":"","written_at":""}"#] {
        store.put(&path.clone().into(), damage.into()).await.unwrap();
        let failure = run(sink(store.clone()), None).await.unwrap_err();
        assert_eq!(failure.error.kind(), ErrorKind::Checkpoint);
        assert!(failure.error.to_string().contains("000000000003.json"), "{failure}");
    }
}
