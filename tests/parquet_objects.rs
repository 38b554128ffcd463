//! Parquet objects: each record in one of them once, or among the rejected ones, whatever call a run dies, fails or freezes at; and
//! columns that only grow.

mod faulty_store;
mod object_world;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faulty_store::{Fault, FaultyStore};
use futures::future::BoxFuture;
use headwater::prelude::*;
use headwater::schema::{ColumnType, Contract, Schema, Schemas};
use headwater::sink::objects::{CommittedObject, committed, rejected};
use headwater::sink::{Compression, Objects, Sink};
use headwater::testing::sink_suite::{self, Fidelity};
use headwater::testing::{Reply, Scripted};
use object_store::{ObjectStore, ObjectStoreExt};
use object_world::*;
use parquet::file::reader::{FileReader, SerializedFileReader};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_or_behind_any_call_leaves_each_record_once() {
    at_every_call(Fault::DiesBefore, false, 1, columns, memory).await;
    at_every_call(Fault::DiesBehind, false, 1, columns, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_or_a_call_that_is_repeated_leaves_each_record_once() {
    at_every_call(Fault::LosesAnswer, false, 1, columns, memory).await;
    at_every_call(Fault::Repeats, false, 1, columns, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_checkpoint_store_a_crash_leaves_each_record_once() {
    at_every_call(Fault::DiesBefore, true, 1, columns, memory).await;
    at_every_call(Fault::DiesBehind, true, 1, columns, memory).await;
    at_every_call(Fault::LosesAnswer, true, 1, columns, memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_freezes_at_any_call_and_wakes_changes_nothing_any_more() {
    frozen_at_every_call(Fault::FreezesBefore, columns).await;
    frozen_at_every_call(Fault::FreezesBehind, columns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_at_once_one_stops_and_nothing_is_there_twice() {
    two_writers_at_once(40, columns).await;
}

/// A prefix of a store that the suite is run over.
struct Shelf(Arc<dyn ObjectStore>);

impl sink_suite::Place for Shelf {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(sink(self.0.clone()).part_size(50_000).parquet())
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let mut records = Vec::new();
            for object in of(&self.0, source).await {
                for line in content(&self.0, &object).await.lines() {
                    let row: serde_json::Value = serde_json::from_str(line).unwrap();
                    // What is no whole number stands beside it.
                    let id = row.get("id").or_else(|| row.get("id__text")).cloned();
                    let id = id.map(|id| match id.as_str() {
                        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
                        None => id,
                    });
                    records.push(serde_json::json!({ "id": id }).to_string());
                }
            }
            Ok(records)
        })
    }

    fn fidelity(&self) -> Fidelity {
        Fidelity::Columns
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_objects_hold_what_a_sink_promises() {
    sink_suite::run(&Shelf(memory())).await;
}

/// A source of these pages.
fn pages(name: &str, pages: Vec<String>) -> Source {
    let api = Scripted::from_fn(move |request, _| {
        let page = request.url().query_pairs().find(|(name, _)| name == "page");
        let page: usize = page.map_or(1, |(_, number)| number.parse().unwrap());
        Reply::json(format!(r#"{{"data":{},"more":{}}}"#, pages[page - 1], page < pages.len()))
    });
    let source = Source::get(name, "https://api.example.com/items").records("data");
    source.paginate(PageNumber::new().until_false("more")).transport(api).build().unwrap()
}

async fn of(store: &Arc<dyn ObjectStore>, source: &str) -> Vec<CommittedObject> {
    let objects = committed(store.clone(), PREFIX).await.unwrap();
    objects.into_iter().filter(|object| object.source == source).collect()
}

async fn bytes_of(store: &Arc<dyn ObjectStore>, object: &CommittedObject) -> Bytes {
    store.get(&format!("{PREFIX}/{}", object.path).into()).await.unwrap().bytes().await.unwrap()
}

async fn columns_of(store: &Arc<dyn ObjectStore>, object: &CommittedObject) -> Vec<String> {
    let reader = SerializedFileReader::new(bytes_of(store, object).await).unwrap();
    let fields = reader.metadata().file_metadata().schema().get_fields().to_vec();
    fields.iter().map(|field| field.name().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_come_later_begin_with_the_next_object_and_stay_for_the_next_run() {
    let store = memory();
    let run = |pages_of: &[&str]| {
        let source = pages("s", pages_of.iter().map(|&page| page.to_owned()).collect());
        let sink = Objects::on(store.clone(), PREFIX).schemas(Schemas::inferred().sample(2));
        // All of it is one commit.
        Pipeline::new().source(source).sink(sink).commit_every(Duration::from_secs(600)).run()
    };
    run(&[r#"[{"id":1},{"id":2}]"#, r#"[{"id":3}]"#, r#"[{"id":4,"late":true},{"id":5}]"#]).await.unwrap();
    let objects = of(&store, "s").await;
    assert_eq!(objects.iter().map(|object| object.rows).collect::<Vec<_>>(), [3, 2]);
    assert!(objects[1].path.ends_with("/000001-1.parquet"), "{:?}", objects[1]);
    let (first, second) = (columns_of(&store, &objects[0]).await, columns_of(&store, &objects[1]).await);
    assert_eq!(first, ["id", "__source", "__ingested_at"]);
    assert_eq!(second, ["id", "__source", "__ingested_at", "late"]);
    // Its entry has both.
    let entry = |number: u64| format!("{PREFIX}/_headwater/log/{number:012}.json");
    let mut with_objects = 0;
    for number in 1.. {
        let Ok(read) = store.get(&entry(number).into()).await else { break };
        let entry: serde_json::Value = serde_json::from_slice(&read.bytes().await.unwrap()).unwrap();
        with_objects += usize::from(!entry["objects"].as_array().unwrap().is_empty());
    }
    assert_eq!(with_objects, 1);

    run(&[r#"[{"id":1}]"#]).await.unwrap();
    let objects = of(&store, "s").await;
    assert_eq!(objects.len(), 3);
    assert_ne!(objects[2].folder, objects[0].folder);
    assert_eq!(columns_of(&store, &objects[2]).await, second);
    // Without a record nobody learns of a column, and none is forgotten.
    run(&["[]"]).await.unwrap();
    run(&[r#"[{"id":1,"next":"x"}]"#]).await.unwrap();
    let last = of(&store, "s").await.pop().unwrap();
    assert_eq!(columns_of(&store, &last).await, ["id", "__source", "__ingested_at", "late", "next"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_in_an_object_of_its_own_and_counts() {
    let store = memory();
    let schema = Schema::builder().required("id", ColumnType::Int64).build().unwrap();
    let schemas = || Schemas::inferred().declare("s", schema.clone()).contract(Contract::Reject);
    let page = r#"[{"id":1},{ "id":9223372036854775808 },{"id":2}]"#;
    let source = pages("s", vec![page.into(), r#"[{"id":1.5},{"id":3e0}]"#.into()]);
    let report = Pipeline::new()
        .source(source)
        .sink(Objects::on(store.clone(), PREFIX).schemas(schemas()))
        .run()
        .await
        .unwrap();
    let told = report.source("s").unwrap();
    assert_eq!((told.records, told.written, told.rejected), (5, 3, 2));
    let rows = of(&store, "s").await;
    assert_eq!(rows.iter().map(|object| object.rows).sum::<u64>(), 3);
    let letters = rejected(store.clone(), PREFIX).await.unwrap();
    assert_eq!(letters.iter().map(|object| object.rows).collect::<Vec<_>>(), [2]);
    let name = letters[0].path.strip_prefix(&format!("rejected/s/{}/", letters[0].folder)).unwrap();
    assert_eq!(name, "000001-1.jsonl.gz");
    let text = content(&store, &letters[0]).await;
    let letters: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(letters[0]["record"], r#"{ "id":9223372036854775808 }"#);
    assert_eq!((&letters[1]["page"], &letters[1]["column"]), (&2.into(), &"id".into()));
    assert!(letters.iter().all(|letter| letter["__source"] == "s" && letter["reason"].is_string()));

    // Where nothing fits there is no object with rows.
    let source = pages("t", vec![r#"[{"id":"x"}]"#.into()]);
    let none = Schemas::inferred().declare("t", schema.clone()).contract(Contract::Reject);
    let sink = Objects::on(store.clone(), PREFIX).schemas(none);
    let report = Pipeline::new().source(source).sink(sink).run().await.unwrap();
    assert_eq!(report.source("t").unwrap().rejected, 1);
    assert!(of(&store, "t").await.is_empty());
    assert_eq!(rejected(store.clone(), PREFIX).await.unwrap().len(), 2);
    // Objects that no manifest names are not written beside, be they rejected ones alone.
    let alone = memory();
    alone
        .put(&format!("{PREFIX}/rejected/t/20260517T100000Z/000000-1.jsonl.gz").into(), "".into())
        .await
        .unwrap();
    let sink = Objects::on(alone.clone(), PREFIX).parquet();
    let failure = Pipeline::new().source(pages("t", vec!["[]".into()])).sink(sink).run().await.unwrap_err();
    assert_eq!(failure.error.kind(), ErrorKind::Checkpoint, "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_cannot_have_the_name_of_the_folder_for_what_is_rejected() {
    let run = |sink: Objects| {
        Pipeline::new().source(pages("rejected", vec![r#"[{"id":1}]"#.into()])).sink(sink).run()
    };
    let failure = run(Objects::on(memory(), PREFIX).parquet()).await.unwrap_err();
    assert_eq!(failure.error.kind(), ErrorKind::Config, "{failure}");
    run(Objects::on(memory(), PREFIX)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_broken_off_and_goes_on_with_lines_is_refused() {
    let mut store = memory();
    // Behind its first rows.
    for at in 10.. {
        let faulty = FaultyStore::new(store.clone(), Fault::DiesBehind, at);
        run(columns(Arc::new(faulty)), None).await.unwrap_err();
        if !ids(&store).await.is_empty() {
            break;
        }
        store = memory();
    }
    let failure = run(sink(store.clone()), None).await.unwrap_err();
    assert_eq!(failure.error.kind(), ErrorKind::DefinitionChanged, "{failure}");
    run(columns(store.clone()), None).await.unwrap();
    assert_eq!(ids(&store).await, whole());
}

/// Pages of text that does not compress well, 100 KB each.
fn incompressible(count: u64) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut record = |id: u64| {
        let text: String = (0..1_000).map(|_| random.alphanumeric()).collect();
        format!(r#"{{"id":{id},"text":"{text}"}}"#)
    };
    let mut page = |page: u64| (0..100).map(|row| record(100 * page + row)).collect::<Vec<_>>().join(",");
    (0..count).map(|number| format!("[{}]", page(number))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_is_uploaded_in_parts_while_its_rows_come() {
    const MIB: usize = 1024 * 1024;
    let inner = memory();
    let faulty = FaultyStore::new(inner.clone(), Fault::None, 0);
    let sink = Objects::on(Arc::new(faulty.clone()), PREFIX).row_group_bytes(2 * MIB).part_size(MIB);
    let source = pages("large", incompressible(200));
    let pipeline = Pipeline::new().source(source).sink(sink).commit_every(Duration::from_secs(600));
    pipeline.run().await.unwrap();
    let objects = of(&inner, "large").await;
    assert_eq!((objects.len(), objects[0].rows), (1, 20_000));
    let seen = faulty.seen();
    let parts = seen.iter().filter(|call| call.starts_with("part ")).count();
    assert!(parts as u64 > objects[0].bytes / MIB as u64 - 1, "{parts} parts of {} bytes", objects[0].bytes);
    let reader = SerializedFileReader::new(bytes_of(&inner, &objects[0]).await).unwrap();
    let groups = reader.metadata().num_row_groups();
    assert!((4..=20).contains(&groups), "{groups} row groups");
    assert_eq!(ids_of(&inner, &objects[0]).await, (0..20_000).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gathers_in_row_groups_and_samples_is_bounded_by_commits() {
    const MIB: usize = 1024 * 1024;
    let store = memory();
    let sources = ["a", "b", "c"].map(|name| pages(name, incompressible(100)));
    // Neither a row group nor a sample would ever be complete.
    let sink = Objects::on(store.clone(), PREFIX)
        .compress(Compression::none())
        .memory(6 * MIB)
        .schemas(Schemas::inferred().sample(usize::MAX).sample_bytes(usize::MAX));
    let pipeline = Pipeline::new().sources(sources).sink(sink).commit_every(Duration::from_secs(600));
    pipeline.run().await.unwrap();
    let objects = committed(store.clone(), PREFIX).await.unwrap();
    assert_eq!(objects.iter().map(|object| object.rows).sum::<u64>(), 30_000);
    let largest = objects.iter().map(|object| object.bytes).max().unwrap();
    assert!(largest < 8 * MIB as u64, "{largest} bytes in one object");
    assert!(objects.len() >= 9, "{} objects", objects.len());

    // One that is large enough is committed as well.
    let store = memory();
    let sink = Objects::on(store.clone(), PREFIX).parquet().object_size(5 * MIB as u64);
    let pipeline = Pipeline::new().source(pages("s", incompressible(200))).sink(sink);
    pipeline.commit_every(Duration::from_secs(600)).run().await.unwrap();
    let sizes: Vec<u64> = of(&store, "s").await.iter().map(|object| object.bytes).collect();
    assert!(sizes.len() >= 2 && sizes.iter().all(|size| *size < 10 * MIB as u64), "{sizes:?}");
}
