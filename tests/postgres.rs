//! Rows and checkpoints in a PostgreSQL database: a real server, whose connections are cut in the middle of a COMMIT, whose
//! processes are killed, as ours are.
#![cfg(unix)]

mod support;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater::checkpoint::{CheckpointStore, FileStore, PostgresStore};
use headwater::error::ErrorKind;
use headwater::prelude::*;
use headwater::schema::Schemas;
use headwater::sink::{Memory, Postgres};
use headwater::testing::{MockApi, Paging, Reply, Resource, Scripted};
use support::dropped;
use support::postgres::Postgres as Server;
use support::sql::{Failing, expected, expiring, pages, scripted, seed, three_pages};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

fn is_full() -> bool {
    std::env::var_os("HEADWATER_FULL").is_some()
}

const SIX: [&str; 6] = ["1", "2", "3", "4", "5", "6"];

async fn ids(server: &Server, table: &str) -> Vec<String> {
    server.rows(&format!("SELECT record ->> 'id' FROM {table} ORDER BY 1")).await
}

#[tokio::test]
async fn a_record_is_a_row_and_what_does_not_fit_is_an_error_and_not_another_record() {
    let Some(server) = Server::start(false).await else { return };
    let sink = || Postgres::connect(server.url(None)).schema("raw");
    let run = async |name: &str, body: &'static str, sink: Postgres| {
        Pipeline::new().source(scripted(name, pages(&[body]))).sink(sink).run().await
    };
    let body = r#"{"data":[{"b":1.10, "a":"é\u00e9"},7,{"n":12345678901234567890123.5}]}"#;
    for _ in 0..2 {
        let report = run("items", body, sink()).await.unwrap();
        let text = report.to_string();
        assert!(text.contains("/postgres, table items") && !text.contains("hunter2"), "{text}");
    }
    let once = [r#"{"a": "éé", "b": 1.10}"#, "7", r#"{"n": 12345678901234567890123.5}"#];
    let sql = "SELECT record FROM raw.items WHERE __source = 'items' ORDER BY __run, ctid";
    assert_eq!(server.rows(sql).await, [once, once].concat());
    let sql =
        "SELECT __run, __commit, count(*), min(__ingested_at)::date FROM raw.items GROUP BY 1, 2 ORDER BY 1";
    assert_eq!(server.rows(sql).await, ["1|1|3|2026-05-17", "2|1|3|2026-05-17"]);
    let sql = "SELECT source, checkpoint ->> 'records' FROM raw.headwater_checkpoints";
    assert_eq!(server.rows(sql).await, ["items|3"]);

    for (name, body) in [
        ("nul", r#"{"data":[{"a":1},{"a":"\u0000"}]}"#),
        ("half", r#"{"data":[{"a":1},{"a":"\ud800"}]}"#),
        ("exponent", r#"{"data":[{"a":1},{"a":1e999999}]}"#),
    ] {
        let failed = run(name, body, sink()).await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::Record, "{name}: {failed}");
        let text = failed.error.to_string();
        assert!(text.starts_with(name) && text.contains("as_json()"), "{text}");
        assert_eq!(server.rows(&format!("SELECT count(*) FROM raw.{name}")).await, ["0"]);
        let exact = run(name, body, sink().table("{source}_json").as_json()).await;
        // The definition of the source is the same; the run that failed goes on in another table.
        assert!(exact.is_err(), "{name}: a run that was begun in one table goes on in it");
        // As it says: the run goes on in the same table, when that takes the records.
        assert!(text.contains("row 2 of the commit"), "{text}");
        server.rows(&format!("ALTER TABLE raw.{name} ALTER record TYPE json")).await;
        run(name, body, sink().as_json()).await.unwrap();
        assert_eq!(server.rows(&format!("SELECT count(*) FROM raw.{name}")).await, ["2"]);
    }
    let body = r#"{"data":[{"b":1, "a":"\u0000\ud800", "a":1e999999}]}"#;
    run("exact", body, sink().as_json()).await.unwrap();
    let record = server.rows("SELECT record FROM raw.exact").await;
    assert_eq!(record, [r#"{"b":1, "a":"\u0000\ud800", "a":1e999999}"#]);
}

#[tokio::test]
async fn of_a_key_the_last_record_stays_and_names_are_only_names() {
    let Some(server) = Server::start(false).await else { return };
    let sink = || Postgres::connect(server.url(None)).table("all").key(["id", "at.kind"]);
    let first = r#"{"data":[{"id":1,"at":{"kind":"a"},"v":1},{"id":1,"at":{"kind":"b"},"v":2},{"id":1,"at":{"kind":"\u0061"},"v":3}]}"#;
    let sources = || [scripted("s", pages(&[first])), scripted("t", pages(&[first]))];
    Pipeline::new().sources(sources()).sink(sink()).run().await.unwrap();
    let values = "SELECT __source, record ->> 'v' FROM \"all\" ORDER BY 1, 2";
    assert_eq!(server.rows(values).await, ["s|2", "s|3", "t|2", "t|3"]);
    let second = r#"{"data":[{"id":1,"at":{"kind":"b"},"v":4},{"id":"1","at":{"kind":"b"},"v":5}]}"#;
    Pipeline::new().source(scripted("s", pages(&[second]))).sink(sink()).run().await.unwrap();
    assert_eq!(server.rows(values).await, ["s|3", "s|4", "s|5", "t|2", "t|3"]);
    let without = r#"{"data":[{"id":2,"at":{"kind":"b"}},{"id":null,"at":{"kind":"c"}}]}"#;
    let failed =
        Pipeline::new().source(scripted("s", pages(&[without]))).sink(sink()).run().await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Record, "{failed}");

    let names = [r#"x"; DROP TABLE "all"; --"#, "select", "Größe 表", "a.b", "'; --", "$1", "{source}-x"];
    for name in names {
        let schema = format!("{} schema", name.replace("{source}", ""));
        let sink = Postgres::connect(server.url(None)).schema(&schema).table(name);
        Pipeline::new().source(scripted("s", pages(&[r#"{"data":[1]}"#]))).sink(sink).run().await.unwrap();
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let path = format!("{}.{}", quoted(&schema), quoted(&name.replace("{source}", "s")));
        assert_eq!(server.rows(&format!("SELECT record FROM {path}")).await, ["1"]);
    }
    assert_eq!(server.rows("SELECT count(*) FROM \"all\"").await, ["5"]);
    let long = "x".repeat(64);
    for name in ["", "a\0b", "headwater_runs", &long] {
        let sink = Postgres::connect(server.url(None)).table(name);
        let run = Pipeline::new().source(scripted("s", pages(&[]))).sink(sink).run().await.unwrap_err();
        assert_eq!(run.error.kind(), ErrorKind::Config, "{name:?}: {run}");
    }
    // A table that is not ours is left alone.
    server.rows("CREATE TABLE mine (id int); INSERT INTO mine VALUES (1)").await;
    let sink = Postgres::connect(server.url(None)).table("mine");
    let failed = Pipeline::new().source(scripted("mine", pages(&[]))).sink(sink).run().await.unwrap_err();
    assert!(failed.error.to_string().contains("is there"), "{failed}");
}

/// Between us and the server, it cuts the connection at one COMMIT: before the server gets it, or when it has answered.
struct Cutter {
    port: u16,
    commits: Arc<AtomicU64>,
}

const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

impl Cutter {
    async fn start(server: &Server, cut_at: u64, has_answered: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, commits) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU64::new(0)));
        let (seen, to) = (commits.clone(), server.port());
        tokio::spawn(async move {
            while let Ok((ours, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    let theirs = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                    let (mut from_us, mut to_us) = ours.into_split();
                    let (mut from_them, mut to_them) = theirs.into_split();
                    let answers = tokio::spawn(async move {
                        let _ = tokio::io::copy(&mut from_them, &mut to_us).await;
                        from_them
                    });
                    let mut buffer = vec![0; 1 << 16];
                    loop {
                        let read = from_us.read(&mut buffer).await.unwrap_or(0);
                        if read == 0 {
                            return;
                        }
                        let commits = buffer[..read].windows(COMMIT.len()).any(|part| part == COMMIT);
                        if commits && seen.fetch_add(1, Ordering::SeqCst) + 1 == cut_at {
                            answers.abort();
                            if has_answered {
                                let _ = to_them.write_all(&buffer[..read]).await;
                                // It is done with by then.
                                tokio::time::sleep(Duration::from_millis(100)).await;
                            }
                            return;
                        }
                        if to_them.write_all(&buffer[..read]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, commits }
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_in_any_commit_is_made_again_and_each_record_is_there_once() {
    let Some(server) = Server::start(false).await else { return };
    let mut cuts = 0;
    let id = Some("id");
    let ways =
        [(None, false, false), (None, true, false), (id, true, false), (None, true, true), (id, false, true)];
    for (key, has_answered, is_typed) in ways {
        for cut_at in 1.. {
            let cutter = Cutter::start(&server, cut_at, has_answered).await;
            let schema = format!("cut_{}_{has_answered}_{is_typed}_{cut_at}", key.is_some());
            let sink = Postgres::connect(server.url(Some(cutter.port))).schema(&schema).key(key).buffer(1);
            let sink = if is_typed { sink.schemas(Schemas::inferred()) } else { sink };
            let run = Pipeline::new().source(scripted("s", three_pages())).sink(sink).run().await;
            run.unwrap_or_else(|failure| panic!("{schema}: {failure}\n{}", server.log()));
            let id = if is_typed { "id" } else { "record ->> 'id'" };
            let sql = format!("SELECT {id} FROM {schema}.s ORDER BY 1");
            assert_eq!(server.rows(&sql).await, SIX, "{schema}");
            if cutter.commits.load(Ordering::SeqCst) < cut_at {
                break;
            }
            cuts += 1;
        }
    }
    println!("{cuts} connections were cut in a COMMIT");
    assert!(cuts > 5 * 8, "{cuts}: too few commits were seen");
}

#[tokio::test]
async fn with_checkpoints_elsewhere_a_run_that_fails_at_any_of_them_leaves_each_record_once() {
    let Some(server) = Server::start(false).await else { return };
    for key in [None, Some("id")] {
        for (fails_at, stores_it) in (1..=4).flat_map(|at| [(at, false), (at, true)]) {
            let dir = tempfile::tempdir().unwrap();
            let schema = format!("elsewhere_{}_{fails_at}_{stores_it}", key.is_some());
            let pipeline = |fails_at| {
                let store = FileStore::new(dir.path().join("checkpoints"));
                let sink = Postgres::connect(server.url(None)).schema(&schema).key(key).buffer(1);
                let store = Failing::new(store, fails_at, stores_it);
                Pipeline::new().source(scripted("s", three_pages())).sink(sink).checkpoints(store)
            };
            pipeline(fails_at).run().await.unwrap_err();
            // What was stored with the last one is a run that is over: another would be a new one.
            if (fails_at, stores_it) != (4, true) {
                pipeline(0).run().await.unwrap();
            }
            assert_eq!(ids(&server, &format!("{schema}.s")).await, SIX, "{schema}");
        }
    }
}

#[tokio::test]
async fn a_source_that_begins_anew_leaves_nothing_of_what_it_wrote_before() {
    let Some(server) = Server::start(false).await else { return };
    let source = |name: &str, expires| expiring(name, expires, r#"{"id":1},{"id":2}"#, r#"{"id":3}"#);
    for expires in [false, true] {
        let sink = Postgres::connect(server.url(None)).table("all").buffer(1);
        let sources = [source("s", expires), source("other", false)];
        Pipeline::new().sources(sources).sink(sink).run().await.unwrap();
    }
    let sql = "SELECT __source, record ->> 'id', count(*) FROM \"all\" GROUP BY 1, 2 ORDER BY 1, 2";
    let twice = ["other|1|2", "other|2|2", "other|3|2", "s|1|2", "s|2|2", "s|3|2"];
    assert_eq!(server.rows(sql).await, twice, "once for each run");
}

#[tokio::test]
async fn checkpoints_of_any_sink_are_kept_and_one_run_at_a_time_has_them() {
    let Some(server) = Server::start(false).await else { return };
    let store = || PostgresStore::connect(server.url(None)).schema("state");
    let source = scripted("s", three_pages());
    Pipeline::new().source(source).sink(Memory::new()).checkpoints(store()).run().await.unwrap();
    let (first, second) = (store(), store());
    let lease = first.lock().await.unwrap();
    let stored = first.load("s").await.unwrap().unwrap();
    assert!(stored.is_finished() && stored.records == 6);
    assert_eq!(first.load("other").await.unwrap(), None);
    let error = second.lock().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    // A session that is lost has lost its lock, and takes it again where nobody else has it.
    let end = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE application_name = 'headwater'";
    assert_eq!(server.rows(end).await, ["t"]);
    let again = std::slice::from_ref(&stored);
    first.save(&lease, again).await.unwrap();
    let over = second.take_over().await.unwrap();
    assert_eq!((lease.term(), over.term()), (0, 1));
    assert_eq!(first.save(&lease, again).await.unwrap_err().kind(), ErrorKind::Locked);
    second.save(&over, again).await.unwrap();
    drop((lease, over));
    let third = store().lock().await.unwrap();
    assert_eq!(third.term(), 1, "terms never go back");
    for change in [
        "checkpoint = replace(checkpoint::text, '\"records\":6', '\"records\":7')::json",
        "epoch = epoch + 1",
        "header = ''",
    ] {
        server.rows(&format!("UPDATE state.headwater_checkpoints SET {change}")).await;
        assert_eq!(first.load("s").await.unwrap_err().kind(), ErrorKind::Checkpoint, "{change}");
        assert_eq!(first.save(&third, again).await.unwrap_err().kind(), ErrorKind::Checkpoint, "{change}");
        server.rows("DELETE FROM state.headwater_checkpoints").await;
        first.save(&third, again).await.unwrap();
    }
    let mut older = stored.clone();
    older.epoch -= 1;
    assert_eq!(first.save(&third, &[older]).await.unwrap_err().kind(), ErrorKind::Locked);
}

#[tokio::test]
async fn a_server_that_is_not_there_or_refuses_is_an_error_that_says_so_at_once() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let run = async |url: String| {
        let run = Pipeline::new().source(scripted("s", pages(&[]))).sink(Postgres::connect(url)).run();
        let failed = tokio::time::timeout(Duration::from_secs(20), run).await.expect("it hangs").unwrap_err();
        let text = failed.error.to_string();
        assert!(!text.contains("hunter2"), "{text}");
        text
    };
    let text = run(format!("postgres://u:hunter2@127.0.0.1:{nobody}/d")).await;
    assert!(text.contains(&format!("127.0.0.1:{nobody}/d cannot be reached")), "{text}");
    // One that takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let text = run(format!("postgres://u:hunter2@127.0.0.1:{port}/d?connect_timeout=1")).await;
    assert!(text.contains(&format!("127.0.0.1:{port}/d")), "{text}");
    let Some(server) = Server::start(false).await else { return };
    let text = run(server.url(None).replace("/postgres", "/nowhere")).await;
    assert!(text.contains("nowhere"), "{text}");
    let text = run(format!("{}?sslmode=require", server.url(None))).await;
    assert!(text.contains("TLS"), "{text}");
}

#[tokio::test]
async fn a_table_that_was_deleted_in_the_middle_of_a_run_is_missed() {
    let Some(server) = Server::start(false).await else { return };
    for (name, key, is_typed) in [("a", None, false), ("b", Some("id"), false), ("c", None, true)] {
        let run = |api| {
            let sink = Postgres::connect(server.url(None)).key(key);
            let sink = if is_typed { sink.schemas(Schemas::inferred()) } else { sink };
            Pipeline::new().source(scripted(name, api)).sink(sink).run()
        };
        let broken = [Reply::json(r#"{"data":[{"id":1}],"next":"a"}"#), Reply::status(404)];
        run(Scripted::new(broken)).await.unwrap_err();
        assert_eq!(server.rows(&format!("SELECT count(*) FROM {name}")).await, ["1"]);
        server.rows(&format!("DROP TABLE {name}")).await;
        let error = run(pages(&[r#"{"data":[{"id":2}]}"#])).await.unwrap_err().error;
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
        assert!(error.to_string().contains("is gone"), "{error}");
        // And pulled afresh as the error says.
        for table in ["headwater_checkpoints", "headwater_runs"] {
            server.rows(&format!("DELETE FROM {table} WHERE source = '{name}'")).await;
        }
        run(pages(&[r#"{"data":[{"id":1},{"id":2}]}"#])).await.unwrap();
        assert_eq!(server.rows(&format!("SELECT count(*) FROM {name}")).await, ["2"]);
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_goes_on() {
    let Some(server) = Server::start(false).await else { return };
    let list = Resource::new("items", 5_000).paging(Paging::Offset);
    let api = MockApi::builder().resource(list).latency(Duration::from_millis(2)).start().await.unwrap();
    dropped::in_the_middle(20, || {
        let source = Source::get("items", api.url("/items")).records("data");
        let source = source.paginate(Offset::new(50).until_total("total")).build().unwrap();
        Pipeline::new().source(source).sink(Postgres::connect(server.url(None)))
    })
    .await;
    assert_eq!(ids(&server, "items").await, expected("items", 5_000));
}

const RECORDS: u64 = 2_000;

/// With whole records, and with typed columns.
const MODES: [Option<&str>; 2] = [None, Some("--typed")];

/// The example as a process of its own.
fn command(server: &Server) -> Command {
    let mut command = support::example("postgres");
    command.env("DATABASE_URL", server.url(None)).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.args(["--schema", "example", "--commit-every", "10", "--records", &RECORDS.to_string()]);
    command
}

/// Each record of every run is there once.
async fn assert_complete(server: &Server, mode: Option<&str>) {
    let id = if mode.is_some() { "id" } else { "record ->> 'id'" };
    let ids = async |table: &str| server.rows(&format!("SELECT {id} FROM {table} ORDER BY 1")).await;
    assert_eq!(ids("example.customers").await, expected("customers", RECORDS));
    let runs = server.rows("SELECT __run FROM example.events GROUP BY 1").await;
    assert!(!runs.is_empty());
    for run in runs {
        let events = format!("(SELECT * FROM example.events WHERE __run = {run}) AS events");
        assert_eq!(ids(&events).await, expected("events", RECORDS), "run {run}");
    }
}

#[tokio::test]
async fn killed_at_random_moments_every_record_is_there_once() {
    let Some(server) = Server::start(false).await else { return };
    let mut random = fastrand::Rng::with_seed(seed());
    let wanted = if is_full() { 300 } else { 15 };
    for mode in MODES {
        let mut kills = 0;
        while kills < wanted {
            let mut child = command(&server).args(mode).spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(random.u64(20..400))).await;
            child.kill().await.unwrap();
            kills += u64::from(!child.wait().await.unwrap().success());
        }
        support::succeeded(&support::run(command(&server).args(mode)).await);
        assert_complete(&server, mode).await;
        server.rows("DROP SCHEMA example CASCADE").await;
    }
}

#[tokio::test]
async fn a_server_whose_processes_are_killed_gets_every_record_once() {
    let Some(server) = Server::start(false).await else { return };
    let mut random = fastrand::Rng::with_seed(seed());
    let wanted = if is_full() { 100 } else { 5 };
    for mode in MODES {
        let mut kills = 0;
        while kills < wanted {
            let mut child = command(&server).args(mode).spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(random.u64(50..400))).await;
            kills += u64::from(server.kill_a_backend(&mut random).await);
            let status = tokio::time::timeout(Duration::from_secs(90), child.wait()).await.expect("it hangs");
            let _ = status.unwrap();
        }
        support::succeeded(&support::run(command(&server).args(mode)).await);
        assert_complete(&server, mode).await;
        server.rows("DROP SCHEMA example CASCADE").await;
    }
}
