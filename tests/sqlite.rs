//! Rows and checkpoints in an SQLite database: what is in it behind runs that end well, that are broken off anywhere, killed,
//! frozen, and that go on.

mod support;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater::checkpoint::{CheckpointStore, FileStore, Lease, SqliteStore};
use headwater::error::ErrorKind;
use headwater::prelude::*;
use headwater::schema::Schemas;
use headwater::sink::{Jsonl, Memory, Sqlite};
use headwater::testing::{MockApi, Paging, Reply, Resource, Scripted};
use rusqlite::Connection;
use support::dropped;
use support::sql::{Failing, expected, expiring, pages, rows, scripted, seed, three_pages};
use tokio::process::{Child, Command};

fn ids(database: &Path, table: &str) -> Vec<String> {
    let typed = format!("SELECT count(*) FROM pragma_table_info('{table}') WHERE name = 'id'");
    let id = if rows(database, &typed) == ["1"] { "id" } else { "record ->> 'id'" };
    rows(database, &format!("SELECT {id} FROM \"{table}\" ORDER BY 1"))
}

#[tokio::test]
async fn a_record_is_a_row_as_it_came_and_each_run_appends_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/data.db");
    let body = r#"{"data":[{"id":1.10, "a":"\u0000\ud800"},7,{"id":12345678901234567890123,"id":2}]}"#;
    for _ in 0..2 {
        let report = Pipeline::new()
            .source(scripted("items", pages(&[body])))
            .sink(Sqlite::open(&path))
            .run()
            .await
            .unwrap();
        assert!(report.to_string().contains("data.db, table items"), "{report}");
    }
    let once = [r#"{"id":1.10, "a":"\u0000\ud800"}"#, "7", r#"{"id":12345678901234567890123,"id":2}"#];
    assert_eq!(rows(&path, "SELECT record FROM items ORDER BY __row"), [once, once].concat());
    assert_eq!(
        rows(&path, "SELECT __source, __run, count(*) FROM items GROUP BY 1, 2"),
        ["items|1|3", "items|2|3"]
    );
    let at = rows(&path, "SELECT DISTINCT __ingested_at FROM items");
    assert!(at.iter().all(|at| at.starts_with("20") && at.ends_with('Z')), "{at:?}");
    assert_eq!(
        rows(&path, "SELECT source, checkpoint ->> 'records' FROM headwater_checkpoints"),
        ["items|3"]
    );
}

#[tokio::test]
async fn of_a_key_the_last_record_stays_within_a_page_and_across_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.db");
    let sink = || Sqlite::open(&path).table("all").key(["id", "at.kind"]);
    let first = r#"{"data":[{"id":1,"at":{"kind":"a"},"v":1},{"id":1,"at":{"kind":"b"},"v":2},{"id":1,"at":{"kind":"\u0061"},"v":3}]}"#;
    let sources = || [scripted("s", pages(&[first])), scripted("t", pages(&[first]))];
    Pipeline::new().sources(sources()).sink(sink()).run().await.unwrap();
    let values = "SELECT __source, record ->> 'v' FROM \"all\" ORDER BY 1, 2";
    assert_eq!(rows(&path, values), ["s|2", "s|3", "t|2", "t|3"], "sources do not replace each other's rows");
    let second = r#"{"data":[{"id":1,"at":{"kind":"b"},"v":4},{"id":"1","at":{"kind":"b"},"v":5}]}"#;
    Pipeline::new().source(scripted("s", pages(&[second]))).sink(sink()).run().await.unwrap();
    assert_eq!(rows(&path, values), ["s|3", "s|4", "s|5", "t|2", "t|3"]);

    let without = r#"{"data":[{"id":2,"at":{"kind":"b"}},{"id":null,"at":{"kind":"c"}}]}"#;
    let failed =
        Pipeline::new().source(scripted("s", pages(&[without]))).sink(sink()).run().await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Record);
    assert!(
        failed.error.to_string().starts_with("s: ") && failed.error.to_string().contains("\"id\""),
        "{failed}"
    );
    assert_eq!(rows(&path, values).len(), 5, "nothing of the page is there");
}

#[tokio::test]
async fn whatever_a_table_is_called_it_is_one_table() {
    let names =
        [r#"x"; DROP TABLE headwater_checkpoints; --"#, "select", "Größe 表", "a.b", "'", "?1", "{source}-x"];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.db");
    for name in names {
        let sink = Sqlite::open(&path).table(name);
        Pipeline::new().source(scripted("s", pages(&[r#"{"data":[1]}"#]))).sink(sink).run().await.unwrap();
        let name = name.replace("{source}", "s").replace('"', "\"\"");
        assert_eq!(rows(&path, &format!("SELECT record FROM \"{name}\"")), ["1"]);
    }
    for name in ["", "a\0b", "headwater_runs", "SQLITE_x"] {
        let sink = Sqlite::open(&path).table(name);
        let run = Pipeline::new().source(scripted("s", pages(&[]))).sink(sink).run().await.unwrap_err();
        assert_eq!(run.error.kind(), ErrorKind::Config, "{name:?}: {run}");
    }
}

#[tokio::test]
async fn a_table_that_is_not_ours_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE s (id INTEGER PRIMARY KEY)").unwrap();
    let run = async |sink: Sqlite| {
        let source = scripted("s", pages(&[r#"{"data":[{"id":1}]}"#]));
        Pipeline::new().source(source).sink(sink).run().await
    };
    let failed = run(Sqlite::open(&path)).await.unwrap_err();
    assert!(failed.error.to_string().contains("\"s\" is there"), "{failed}");
    // Nor is one of appended rows one of keys.
    run(Sqlite::open(&path).table("t")).await.unwrap();
    let failed = run(Sqlite::open(&path).table("t").key(["id"])).await.unwrap_err();
    assert!(failed.error.to_string().contains("\"t\" is there"), "{failed}");
    // Nor does a run begin from zero behind rows that no checkpoint knows.
    Connection::open(&path).unwrap().execute_batch("DELETE FROM headwater_checkpoints").unwrap();
    let failed = run(Sqlite::open(&path).table("t")).await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Checkpoint, "{failed}");
    assert_eq!(rows(&path, "SELECT count(*) FROM t"), ["1"]);
}

#[tokio::test]
async fn with_checkpoints_elsewhere_a_run_that_fails_at_any_of_them_leaves_each_record_once() {
    for key in [None, Some("id")] {
        for (fails_at, stores_it) in (1..=5).flat_map(|at| [(at, false), (at, true)]) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("data.db");
            let pipeline = |fails_at| {
                let store = FileStore::new(dir.path().join("checkpoints"));
                // A commit for each page.
                let sink = Sqlite::open(&path).key(key).buffer(1);
                let store = Failing::new(store, fails_at, stores_it);
                Pipeline::new().source(scripted("s", three_pages())).sink(sink).checkpoints(store)
            };
            let broken = pipeline(fails_at).run().await;
            // What was stored with the last one is a run that is over: another would be a new one.
            if broken.is_err() && (fails_at, stores_it) != (4, true) {
                pipeline(0).run().await.unwrap();
            }
            assert_eq!(broken.is_err(), fails_at <= 4, "a beginning and three commits");
            assert_eq!(ids(&path, "s"), ["1", "2", "3", "4", "5", "6"], "{key:?} {fails_at} {stores_it}");
        }
    }
}

#[tokio::test]
async fn a_full_sink_commits_though_it_is_not_yet_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.db");
    let commits = Arc::new(AtomicU64::new(0));
    let seen = commits.clone();
    let count = move |event: &headwater::pipeline::Event<'_>| {
        if matches!(event, headwater::pipeline::Event::Committed) {
            seen.fetch_add(1, Ordering::Relaxed);
        }
    };
    Pipeline::new()
        .source(scripted("s", three_pages()))
        .sink(Sqlite::open(&path).buffer(20))
        .commit_every(Duration::from_secs(3600))
        .observe(count)
        .run()
        .await
        .unwrap();
    assert_eq!(ids(&path, "s").len(), 6);
    assert_eq!(commits.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn rows_and_checkpoint_are_one_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.db");
    // A database that refuses a checkpoint refuses the rows with it.
    let store = SqliteStore::open(&path);
    drop(store.lock().await.unwrap());
    store.load("s").await.unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON headwater_checkpoints \
        WHEN new.checkpoint ->> 'records' > 2 BEGIN SELECT raise(ABORT, 'told to fail'); END";
    Connection::open(&path).unwrap().execute_batch(refuse).unwrap();
    let run =
        || Pipeline::new().source(scripted("s", three_pages())).sink(Sqlite::open(&path).buffer(1)).run();
    let failed = run().await.unwrap_err();
    assert!(failed.error.to_string().contains("told to fail"), "{failed}");
    assert_eq!(ids(&path, "s"), ["1", "2"]);
    Connection::open(&path).unwrap().execute_batch("DROP TRIGGER refuse").unwrap();
    assert_eq!(run().await.unwrap().source("s").unwrap().resumed_records, 2);
    assert_eq!(ids(&path, "s"), ["1", "2", "3", "4", "5", "6"]);
}

#[tokio::test]
async fn a_source_that_begins_anew_leaves_nothing_of_what_it_wrote_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.db");
    let source = |name: &str, expires| expiring(name, expires, r#"{"id":1},{"id":2}"#, r#"{"id":3}"#);
    for expires in [false, true] {
        let sink = Sqlite::open(&path).table("all").buffer(1);
        let sources = [source("s", expires), source("other", false)];
        Pipeline::new().sources(sources).sink(sink).run().await.unwrap();
    }
    let counts = rows(&path, "SELECT __source, record ->> 'id', count(*) FROM \"all\" GROUP BY 1, 2");
    let twice = ["other|1|2", "other|2|2", "other|3|2", "s|1|2", "s|2|2", "s|3|2"];
    assert_eq!(counts, twice, "once for each run");
}

#[tokio::test]
async fn a_table_that_was_deleted_in_the_middle_of_a_run_is_missed() {
    for (key, is_typed) in [(None, false), (Some("id"), false), (None, true), (Some("id"), true)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.db");
        let count = |path: &Path| -> i64 {
            Connection::open(path).unwrap().query_row("SELECT count(*) FROM s", [], |row| row.get(0)).unwrap()
        };
        let run = |api| {
            let sink = Sqlite::open(&path).key(key);
            let sink = if is_typed { sink.schemas(Schemas::inferred()) } else { sink };
            Pipeline::new().source(scripted("s", api)).sink(sink).run()
        };
        let broken = [Reply::json(r#"{"data":[{"id":1}],"next":"a"}"#), Reply::status(404)];
        run(Scripted::new(broken)).await.unwrap_err();
        assert_eq!(count(&path), 1);
        Connection::open(&path).unwrap().execute_batch("DROP TABLE s").unwrap();
        let error = run(pages(&[r#"{"data":[{"id":2}]}"#])).await.unwrap_err().error;
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
        let text = error.to_string();
        assert!(text.contains("\"s\" is gone") || text.contains("is not in the table"), "{text}");
        // And pulled afresh as the error says.
        let forget = "DELETE FROM headwater_checkpoints WHERE source = 's'";
        Connection::open(&path).unwrap().execute_batch(forget).unwrap();
        run(pages(&[r#"{"data":[{"id":1},{"id":2}]}"#])).await.unwrap();
        assert_eq!(count(&path), 2);
        // Between two runs it may go.
        Connection::open(&path).unwrap().execute_batch("DROP TABLE s").unwrap();
        let broken = [Reply::status(404)];
        run(Scripted::new(broken)).await.unwrap_err();
        run(pages(&[r#"{"data":[{"id":1}]}"#])).await.unwrap();
        assert_eq!(count(&path), 1);
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.db");
    let list = Resource::new("items", 5_000).paging(Paging::Offset);
    let api = MockApi::builder().resource(list).latency(Duration::from_millis(2)).start().await.unwrap();
    dropped::in_the_middle(20, || {
        let source = Source::get("items", api.url("/items")).records("data");
        let source = source.paginate(Offset::new(50).until_total("total")).build().unwrap();
        Pipeline::new().source(source).sink(Sqlite::open(&path))
    })
    .await;
    assert_eq!(ids(&path, "items"), expected("items", 5_000));
}

#[tokio::test]
async fn checkpoints_of_any_sink_are_kept_and_what_was_changed_in_them_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoints.db");
    let memory = Memory::new();
    let run = |sink: Memory| {
        let source = scripted("s", three_pages());
        Pipeline::new().source(source).sink(sink).checkpoints(SqliteStore::open(&path)).run()
    };
    run(memory.clone()).await.unwrap();
    let store = SqliteStore::open(&path);
    let stored = store.load("s").await.unwrap().unwrap();
    assert!(stored.is_finished() && stored.records == 6);
    assert_eq!(store.load("other").await.unwrap(), None);
    let lease = store.lock().await.unwrap();
    let error = store.lock().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let over = store.take_over().await.unwrap();
    assert_eq!((over.term(), lease.check().unwrap_err().kind()), (1, ErrorKind::Locked));
    assert_eq!(
        store.save(&lease, std::slice::from_ref(&stored)).await.unwrap_err().kind(),
        ErrorKind::Locked
    );
    drop((lease, over));
    for change in [
        "checkpoint = replace(checkpoint, '\"records\":6', '\"records\":7')",
        "header = 'headwater-checkpoint 2'",
        "epoch = epoch + 1",
        "source = 'r'",
    ] {
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!("BEGIN; UPDATE headwater_checkpoints SET {change}; COMMIT"))
            .unwrap();
        let name = if change.starts_with("source") { "r" } else { "s" };
        assert_eq!(store.load(name).await.unwrap_err().kind(), ErrorKind::Checkpoint, "{change}");
        let mut next = stored.clone();
        next.source = name.into();
        next.epoch += 5;
        let Err(error) = store.save(&Lease::new(()), &[next]).await else { panic!("{change}: overwritten") };
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
        connection.execute_batch("DELETE FROM headwater_checkpoints").unwrap();
        store.save(&Lease::new(()), std::slice::from_ref(&stored)).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_database_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    std::fs::write(&path, "not a database, but a text that is long enough to be taken for one\n".repeat(50))
        .unwrap();
    let source = scripted("s", pages(&[]));
    let failed = Pipeline::new().source(source).sink(Sqlite::open(&path)).run().await.unwrap_err();
    assert!(failed.error.to_string().contains("notes.txt"), "{failed}");
    // Nor is a state of another sink one of a table.
    let path = dir.path().join("data.db");
    let store = || FileStore::new(dir.path().join("checkpoints"));
    let broken = Failing::new(store(), 2, true);
    let jsonl = Jsonl::dir(dir.path().join("out"));
    let source = || scripted("s", three_pages());
    Pipeline::new().source(source()).sink(jsonl).checkpoints(broken).run().await.unwrap_err();
    let failed = Pipeline::new().source(source()).sink(Sqlite::open(&path)).checkpoints(store()).run().await;
    assert!(failed.is_err());
}

/// The example as a process of its own.
fn command(database: &Path) -> Command {
    let mut command = support::example("sqlite");
    command.arg("--output").arg(database).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.args(["--records", "2000", "--commit-every", "10"]);
    command
}

const RECORDS: u64 = 2_000;

/// Each record of every run that was finished or goes on is there once.
fn assert_complete(database: &Path) {
    assert_eq!(ids(database, "customers"), expected("customers", RECORDS));
    let runs = rows(database, "SELECT __run FROM events GROUP BY 1");
    assert!(!runs.is_empty());
    for run in runs {
        rows(database, "DROP VIEW IF EXISTS of_a_run");
        rows(database, &format!("CREATE VIEW of_a_run AS SELECT * FROM events WHERE __run = {run}"));
        assert_eq!(ids(database, "of_a_run"), expected("events", RECORDS), "run {run}");
    }
    assert_eq!(rows(database, "PRAGMA integrity_check"), ["ok"]);
}

#[tokio::test]
async fn killed_at_random_moments_every_record_is_there_once() {
    let mut random = fastrand::Rng::with_seed(seed());
    let wanted = if std::env::var_os("HEADWATER_FULL").is_some() { 300 } else { 20 };
    for mode in [None, Some("--typed")] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.db");
        let mut kills = 0;
        while kills < wanted {
            let mut child = command(&path).args(mode).spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(random.u64(5..250))).await;
            child.kill().await.unwrap();
            kills += u64::from(!child.wait().await.unwrap().success());
        }
        support::succeeded(&support::run(command(&path).args(mode)).await);
        assert_complete(&path);
    }
}

#[cfg(unix)]
async fn send(signal: &str, child: &Child) {
    let id = child.id().expect("it runs").to_string();
    assert!(Command::new("kill").args([format!("-{signal}"), id]).status().await.unwrap().success());
}

/// One process is stopped by SIGSTOP, a second takes over, the first goes on by SIGCONT.
#[cfg(unix)]
#[tokio::test]
async fn a_frozen_process_that_was_taken_over_cannot_commit_when_it_wakes() {
    let mut random = fastrand::Rng::with_seed(seed());
    let wanted = if std::env::var_os("HEADWATER_FULL").is_some() { 50 } else { 3 };
    let (mut overtaken, mut rounds) = (0, 0);
    while overtaken < wanted {
        rounds += 1;
        assert!(rounds < 20 * wanted, "only {overtaken} were frozen in the middle");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.db");
        let first = command(&path).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(random.u64(30..200))).await;
        send("STOP", &first).await;
        let second = support::run(command(&path).arg("--take-over")).await;
        if !second.status.success() {
            // It was frozen in the middle of a transaction: then it has to be ended, or to go on. It has lost its right.
            let said = support::text(&second.stderr);
            assert!(said.contains("another program has been writing"), "{said}");
            send("CONT", &first).await;
            first.wait_with_output().await.unwrap();
            support::succeeded(&support::run(&mut command(&path)).await);
            assert_complete(&path);
            continue;
        }
        assert_complete(&path);
        send("CONT", &first).await;
        let woken = first.wait_with_output().await.unwrap();
        if woken.status.success() {
            continue;
        }
        overtaken += 1;
        let said = support::text(&woken.stderr);
        assert!(said.contains("locked by another run"), "{said}");
        assert_complete(&path);
    }
}
