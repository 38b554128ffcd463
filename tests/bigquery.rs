//! BigQuery: load jobs into tables of bqemulator (<https://pypi.org/project/bqemulator/>), which is DuckDB behind BigQuery's
//! REST protocol.
//!
//! `pip install bqemulator`, and have it on the path or in `HEADWATER_BQEMULATOR`. What it lacks stands in
//! `bigquery/front.rs`, through which all calls go.

#[path = "bigquery/front.rs"]
mod front;
mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use front::{Fault, Front, Plan};
use futures::future::BoxFuture;
use headwater::auth::Bearer;
use headwater::pipeline::Outcome;
use headwater::prelude::*;
use headwater::schema::{ColumnType, Contract, Schema, Schemas};
use headwater::sink::{BigQuery, Sink};
use headwater::testing::sink_suite::{self, Fidelity, Place};
use headwater::testing::{Reply, Scripted};
use http::Method;
use serde_json::json;
use support::server::{Server, python};
use support::server_program;

/// The emulator with an empty dataset, and the front; `None` if it is not installed.
async fn bigquery() -> Option<(Server, Arc<Front>)> {
    let emulator = server_program("bqemulator", "HEADWATER_BQEMULATOR", "pip install bqemulator")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bigquery/start.py");
    let server = Server::start(|port, dir| {
        let mut command = Command::new(python(&emulator));
        command
            .arg(script)
            .args(["start", "--rest-port", &port.to_string(), "--grpc-port", "0", "--log-level", "error"])
            .env("BQEMU_ENABLE_FORMAT_EXTENSIONS", "false")
            .env("BQEMU_UPLOAD_STAGING_DIR", dir);
        command
    });
    let server = server.await;
    let front = Front::before(&server.url("")).await;
    let dataset = json!({"datasetReference": {"projectId": "p", "datasetId": "raw"}, "location": "EU"});
    let (status, said) = front.forward(Method::POST, "/bigquery/v2/projects/p/datasets", &dataset).await;
    assert_eq!(status, 200, "{said}");
    Some((server, front))
}

fn sink(front: &Front, dir: &Path) -> BigQuery {
    let retry = RetryPolicy::exponential().base(Duration::from_millis(1)).budget(1.0, 100);
    BigQuery::new("p", "raw").endpoint(&front.url).dir(dir).retry(retry)
}

/// Pages of ten records.
fn source(name: &str, pages: u64, record: impl Fn(u64) -> String + Send + Sync + 'static) -> Source {
    let api = Scripted::from_fn(move |_, number| {
        let first = (number - 1) * 10;
        let records: Vec<String> = (first..first + 10).map(&record).collect();
        Reply::json(format!(r#"{{"data":[{}],"more":{}}}"#, records.join(","), number < pages))
    });
    Source::get(name, "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .transport(api)
        .build()
        .unwrap()
}

fn plain(id: u64) -> String {
    format!(r#"{{"id":{id},"name":"n {id}"}}"#)
}

/// The later ones have one field more.
fn growing(id: u64) -> String {
    if id < 20 { plain(id) } else { format!(r#"{{"id":{id},"extra":true}}"#) }
}

/// The columns are those of the first page, at first.
fn early() -> Schemas {
    Schemas::inferred().sample(10)
}

/// Each id is in the table once.
async fn assert_once(front: &Front, table: &str, ids: u64, context: &str) {
    let rows = front.query(&format!("SELECT id FROM `p.raw.{table}` ORDER BY id")).await;
    let got: Vec<u64> = rows.iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect();
    assert_eq!(got, (0..ids).collect::<Vec<_>>(), "{context}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_loaded_once_into_a_table_with_typed_columns_that_grow() {
    let (Some((_server, front)), dir) = (bigquery().await, tempfile::tempdir().unwrap()) else { return };
    front.plan(Plan { looks: 2, ..Plan::default() });
    let record = |id: u64| {
        let big = i64::MAX - 9 + i64::try_from(id % 10).unwrap();
        format!(
            r#"{{"id":{id},"big":{big},"score":0.5,"ok":true,"at":"2026-05-17T12:00:00+02:00","day":"2026-05-17","tags":["a\nb",{{"n":1.50}}],"total":"7.10"}}"#
        )
    };
    let schema = Schema::builder()
        .required("id", ColumnType::Int64)
        .column("big", ColumnType::Int64)
        .column("total", ColumnType::Decimal { precision: 20, scale: 4 })
        .build()
        .unwrap();
    let run = |pages, record: fn(u64) -> String| {
        let sink = sink(&front, dir.path())
            .segment_rows(35)
            .schemas(Schemas::inferred().declare("shop.orders", schema.clone()));
        Pipeline::new().source(source("shop.orders", pages, record)).sink(sink.cluster_by(["id"])).run()
    };
    let report = run(10, record).await.unwrap();
    assert_eq!(report.outcome, Outcome::Finished);
    assert_eq!(report.records(), 100);
    assert!(report.to_string().contains("bigquery://p.raw.shop_orders"), "{report}");
    assert_once(&front, "shop_orders", 100, "at first").await;
    let path = "/bigquery/v2/projects/p/datasets/raw/tables/shop_orders";
    let (_, table) = front.forward(Method::GET, path, &serde_json::Value::Null).await;
    assert_eq!(table["timePartitioning"], json!({"type": "DAY", "field": "__ingested_at"}));
    assert_eq!(table["clustering"]["fields"], json!(["id"]));
    // id, big, total, __source, __ingested_at, score, ok, at, day, tags
    let rows = front.query("SELECT * FROM `p.raw.shop_orders` ORDER BY id").await;
    let texts: Vec<&str> = rows[9].iter().map(|cell| cell.as_deref().unwrap()).collect();
    assert_eq!(texts[..2], ["9", "9223372036854775807"]);
    assert!(texts[2].starts_with("7.10"), "{texts:?}");
    assert_eq!(texts[3], "shop.orders");
    assert_eq!(texts[5..], ["0.5", "true", "1779012000000000", "2026-05-17", r#"["a\nb",{"n":1.50}]"#]);
    // Three or four at a time, in whole pages; each job has the labels of its run.
    let jobs = front.jobs();
    assert_eq!(jobs.len(), 3, "{jobs:?}");
    for job in &jobs {
        assert_eq!(job["jobReference"]["location"], "EU");
        assert_eq!(job["configuration"]["labels"]["headwater_source"], "shop-orders");
    }
    // The next run finds the table, and adds a column to it.
    let report = run(1, |id| format!(r#"{{"id":{},"note":"new"}}"#, id + 100)).await.unwrap();
    assert_eq!(report.records(), 10);
    assert_once(&front, "shop_orders", 110, "with a new column").await;
    let notes = front.query("SELECT count(note), count(*) FROM `p.raw.shop_orders`").await;
    assert_eq!(notes[0], [Some("10".to_owned()), Some("110".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_a_schema_is_kept_as_it_came() {
    let (Some((_server, front)), dir) = (bigquery().await, tempfile::tempdir().unwrap()) else { return };
    let record = |id: u64| format!("{{ \"id\": {id},\n \"v\": [1.50, \"\\u00e9 \\\" \", 1e400] }}");
    let sink = sink(&front, dir.path()).schemaless().table("all");
    let sources = [source("a", 1, record), source("b", 1, |_| "7".into())];
    Pipeline::new().sources(sources).sink(sink).run().await.unwrap();
    let rows = front.query("SELECT record FROM `p.raw.all` WHERE __source = 'a' ORDER BY record").await;
    assert_eq!(rows.len(), 10);
    assert_eq!(rows[3][0].as_deref(), Some(record(3).as_str()));
    let rows = front.query("SELECT record FROM `p.raw.all` WHERE __source = 'b'").await;
    assert!(rows.len() == 10 && rows.iter().all(|row| row[0].as_deref() == Some("7")), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_does_not_fit_is_kept_beside_the_table_and_never_rounded() {
    let (Some((_server, front)), dir) = (bigquery().await, tempfile::tempdir().unwrap()) else { return };
    let record = |id: u64| match id % 10 {
        3 => format!(r#"{{"id":{id},"total":9223372036854775808}}"#),
        4 => format!(r#"{{"id":{id},"total":1.5}}"#),
        _ => format!(r#"{{"id":{id},"total":{id}}}"#),
    };
    let schema = Schema::builder().column("id", ColumnType::Int64).column("total", ColumnType::Int64);
    let schemas = Schemas::inferred().declare("s", schema.build().unwrap()).contract(Contract::Reject);
    let run = || {
        let sink = sink(&front, dir.path()).table("strict").schemas(schemas.clone());
        Pipeline::new().source(source("s", 3, record)).sink(sink).run()
    };
    // Killed by a lost answer in the middle, and gone on with.
    front.plan(Plan { faults: (2..20).map(|number| (number, Fault::Refused)).collect(), ..Plan::default() });
    run().await.unwrap_err();
    front.plan(Plan::default());
    let report = run().await.unwrap();
    let told = report.source("s").unwrap();
    assert_eq!((told.records, told.rejected, told.written), (30, 6, 24), "{report}");
    let ids = front.query("SELECT id FROM `p.raw.strict` WHERE total = id").await;
    assert_eq!(ids.len(), 24);
    let files = support::files(&dir.path().join("rejected"), "s");
    let letters = std::fs::read_to_string(&files[0]).unwrap();
    assert_eq!((files.len(), letters.lines().count()), (1, 6), "{letters}");
    assert!(letters.contains("9223372036854775808"), "{letters}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_anywhere_costs_no_row_and_makes_none_twice() {
    let (Some((_server, front)), seed) = (bigquery().await, seed()) else { return };
    let mut random = fastrand::Rng::with_seed(seed);
    for fault in [Fault::Unheard, Fault::Unanswered, Fault::Refused] {
        for number in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let table = format!("t_{fault:?}_{number}");
            let context = format!("{fault:?} at call {number}, seed {seed}");
            // Nothing is asked again: the run ends, and the next one goes on.
            let run = |retry| {
                let sink =
                    sink(&front, dir.path()).table(&table).segment_rows(12).schemas(early()).retry(retry);
                Pipeline::new().source(source("s", 3, growing)).sink(sink).run()
            };
            front.plan(Plan { faults: [(number, fault)].into(), ..Plan::default() });
            let outcome = run(RetryPolicy::none()).await;
            let was_hit = front.calls().len() as u64 > number;
            if outcome.is_err() {
                front.plan(Plan::default());
                run(RetryPolicy::none()).await.unwrap_or_else(|error| panic!("{context}: {error}"));
            } else if was_hit {
                // An answer that is lost may be looked up.
                assert_ne!(fault, Fault::Unheard, "{context}");
            }
            assert_once(&front, &table, 30, &context).await;
            if !was_hit {
                assert!(number > 8, "{context}");
                break;
            }
        }
    }
    // Many faults in one run, which asks again.
    for round in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let faults = (0..12).map(|_| {
            let kinds = [Fault::Unheard, Fault::Unanswered, Fault::Refused];
            (random.u64(0..40), kinds[random.usize(0..3)])
        });
        let faults: std::collections::BTreeMap<_, _> = faults.collect();
        let context = format!("seed {seed}, round {round}: {faults:?}");
        front.plan(Plan { faults, looks: 1, ..Plan::default() });
        let (table, retry) =
            (format!("many_{round}"), RetryPolicy::exponential().base(Duration::from_millis(1)));
        let run = || {
            let retry = retry.clone().max_attempts(12).budget(1.0, 100);
            let sink = sink(&front, dir.path()).table(&table).segment_rows(12).schemas(early()).retry(retry);
            Pipeline::new().source(source("s", 4, growing)).sink(sink).run()
        };
        run().await.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_once(&front, &table, 40, &context).await;
    }
}

/// The seed of this run: `HEADWATER_SEED`, or another one each time.
fn seed() -> u64 {
    let seed = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("HEADWATER_SEED={seed}");
    seed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_is_told_and_its_rows_are_loaded_by_the_next_one() {
    let (Some((_server, front)), dir) = (bigquery().await, tempfile::tempdir().unwrap()) else { return };
    let run = |table: &str| {
        let sink = sink(&front, dir.path()).table(table);
        Pipeline::new().source(source("s", 1, plain)).sink(sink).run()
    };
    // For a reason that may pass: in the same run, by the next attempt.
    front.plan(Plan { failing: vec!["backendError", "rateLimitExceeded"], ..Plan::default() });
    run("passing").await.unwrap();
    assert_once(&front, "passing", 10, "passing").await;
    let attempts = |jobs: &[serde_json::Value]| {
        let id = |job: &serde_json::Value| job["jobReference"]["jobId"].as_str().unwrap().to_owned();
        let mut ids: Vec<String> = jobs.iter().map(id).map(|id| id[id.len() - 2..].to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(attempts(&front.jobs()), ["_0", "_1", "_2"]);
    // For one that does not: the run ends, and says why.
    let dir = tempfile::tempdir().unwrap();
    let run = |table: &str| {
        let sink = sink(&front, dir.path()).table(table);
        Pipeline::new().source(source("s", 1, plain)).sink(sink).run()
    };
    front.plan(Plan { failing: vec!["accessDenied"], ..Plan::default() });
    let error = run("denied").await.unwrap_err().to_string();
    for part in [
        "s: ",
        "segment 1 of s",
        "bigquery://p.raw.denied",
        "accessDenied",
        "told to fail",
        "roles/bigquery.dataEditor",
    ] {
        assert!(error.contains(part), "{error}");
    }
    run("denied").await.unwrap();
    assert_once(&front, "denied", 10, "denied").await;
    // One that is never done ends the wait, and the next run takes it as it is.
    let dir = tempfile::tempdir().unwrap();
    let run = |time| {
        let sink = sink(&front, dir.path()).table("slow").job_timeout(Duration::from_millis(time));
        Pipeline::new().source(source("s", 1, plain)).sink(sink).run()
    };
    front.plan(Plan { looks: 6, ..Plan::default() });
    let error = run(300).await.unwrap_err().to_string();
    assert!(error.contains("RUNNING") || error.contains("PENDING"), "{error}");
    assert!(error.contains("job_timeout"), "{error}");
    run(60_000).await.unwrap();
    assert_once(&front, "slow", 10, "slow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_of_many_parts_arrives_whole() {
    let (Some((_server, front)), dir) = (bigquery().await, tempfile::tempdir().unwrap()) else { return };
    let record = |id: u64| format!(r#"{{"id":{id},"text":"{}"}}"#, "x".repeat(100_000));
    let run = || {
        let retry = RetryPolicy::exponential().base(Duration::from_millis(1));
        let sink = sink(&front, dir.path()).table("large").retry(retry);
        Pipeline::new().source(source("s", 20, record)).sink(sink).run()
    };
    front.plan(Plan::default());
    let report = run().await.unwrap();
    assert_eq!(report.records(), 200);
    let parts = front.calls().iter().filter(|call| call.starts_with("PUT")).count();
    assert_eq!(parts, 3, "{:?}", front.calls());
    assert_once(&front, "large", 200, "in parts").await;
    // A part whose answer is lost, and one that did not come.
    for (fault, table) in [(Fault::Unanswered, "lost"), (Fault::Unheard, "unheard")] {
        let dir = tempfile::tempdir().unwrap();
        let first = front.calls().iter().position(|call| call.starts_with("PUT")).unwrap() as u64;
        let run = || {
            let sink = sink(&front, dir.path()).table(table);
            Pipeline::new().source(source("s", 20, record)).sink(sink).run()
        };
        front.plan(Plan { faults: (0..3).map(|n| (first + 2 * n, fault)).collect(), ..Plan::default() });
        run().await.unwrap();
        assert_once(&front, table, 200, table).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_anywhere_is_followed_by_one_that_loads_the_rest() {
    let (Some((_server, front)), seed) = (bigquery().await, seed()) else { return };
    let mut random = fastrand::Rng::with_seed(seed);
    let dataset = json!({"datasetReference": {"projectId": "p", "datasetId": "killed"}, "location": "EU"});
    for round in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let (path, at) = (
            "/bigquery/v2/projects/p/datasets",
            "/bigquery/v2/projects/p/datasets/killed?deleteContents=true",
        );
        front.forward(Method::DELETE, at, &serde_json::Value::Null).await;
        assert_eq!(front.forward(Method::POST, path, &dataset).await.0, 200);
        let program = || {
            let mut program = support::example("bigquery");
            program.args([
                "--project",
                "p",
                "--dataset",
                "killed",
                "--records",
                "900",
                "--segment-rows",
                "400",
            ]);
            program.arg("--endpoint").arg(&front.url).arg("--dir").arg(dir.path());
            program.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            program
        };
        let mut kills = Vec::new();
        for _ in 0..1 + round % 3 {
            // SIGKILL when a call was carried out, or was not, and nobody heard of it.
            let number = random.u64(0..14);
            front.plan(Plan {
                faults: [(number, Fault::Frozen)].into(),
                looks: random.u64(0..2),
                ..Plan::default()
            });
            let mut process = program().spawn().unwrap();
            let was_killed = tokio::select! {
                () = front.frozen.notified() => true,
                ended = process.wait() => {
                    assert!(ended.unwrap().success(), "seed {seed}, round {round}, {kills:?}");
                    false
                }
            };
            kills.push((number, was_killed));
            process.start_kill().ok();
            process.wait().await.unwrap();
        }
        front.plan(Plan::default());
        support::succeeded(&support::run(&mut program()).await);
        let context = format!("seed {seed}, round {round}: killed at {kills:?}");
        // A run that was not killed is finished, and what follows it is a new one.
        let finished = 1 + kills.iter().filter(|(_, was_killed)| !was_killed).count();
        for table in ["customers", "invoices"] {
            let counts =
                front.query(&format!("SELECT id, count(*) FROM `p.killed.{table}` GROUP BY id")).await;
            assert_eq!(counts.len(), 900, "{context}");
            let wrong = counts.iter().find(|row| row[1] != Some(finished.to_string()));
            assert_eq!(wrong, None, "{context}");
        }
    }
}

/// A server that answers every call with the same.
async fn hostile(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut head = vec![0; 64 * 1024];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let _ = stream.write_all(&answer(&head)).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_answers_the_run_ends_with_an_error_that_says_why() {
    let json = |status: u16, body: &str| {
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let redirect = b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".to_vec();
    let huge = || {
        let mut answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
        answer.resize(40 * 1024 * 1024, b' ');
        answer
    };
    let never_done = move |head: &str| {
        let job =
            |id: &str| format!(r#"{{"jobReference":{{"jobId":"{id}"}},"status":{{"state":"PENDING"}}}}"#);
        match head.split(' ').nth(1).unwrap_or_default() {
            path if path.contains("/jobs/") => {
                json(200, &job(path.rsplit('/').next().unwrap().split('?').next().unwrap()))
            }
            path if path.contains("/jobs") => json(500, ""),
            _ => json(
                200,
                r#"{"location":"EU","schema":{"fields":[{"name":"id","type":"INTEGER"},{"name":"name","type":"STRING"},{"name":"__source","type":"STRING"},{"name":"__ingested_at","type":"TIMESTAMP"}]}}"#,
            ),
        }
    };
    let other_id = move |head: &str| match head.split(' ').nth(1).unwrap_or_default() {
        path if path.contains("/jobs/") => json(404, ""),
        path if path.contains("/jobs") => {
            json(200, r#"{"jobReference":{"jobId":"mine"},"status":{"state":"DONE"}}"#)
        }
        _ => never_done(head),
    };
    let denied = move |_: &str| {
        json(
            403,
            r#"{"error":{"message":"Access Denied: Dataset p:raw","errors":[{"reason":"accessDenied"}]}}"#,
        )
    };
    let cases: [(&str, String); 7] = [
        ("no redirect is followed", hostile(move |_| redirect.clone()).await),
        ("bytes in one page", hostile(move |_| huge()).await),
        ("cannot be read", hostile(move |_| json(200, "[")).await),
        ("is PENDING for", hostile(never_done).await),
        ("does not keep the ids of jobs", hostile(other_id).await),
        ("roles/bigquery.dataEditor", hostile(denied).await),
        ("answer is garbled", hostile(|_| b"\x00\x01\x02".repeat(100)).await),
    ];
    for (why, url) in cases {
        let dir = tempfile::tempdir().unwrap();
        let retry = RetryPolicy::exponential().base(Duration::from_millis(1));
        let sink = BigQuery::new("p", "raw").endpoint(url).dir(dir.path()).retry(retry);
        let sink = sink.job_timeout(Duration::from_millis(600));
        let run = Pipeline::new().source(source("s", 1, plain)).sink(sink).run();
        let ended = tokio::time::timeout(Duration::from_secs(60), run).await.expect(why);
        let error = ended.unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[tokio::test]
async fn credentials_go_to_bigquery_alone_and_are_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let run = |sink: BigQuery| Pipeline::new().source(source("s", 1, plain)).sink(sink.dir(dir.path())).run();
    let error = run(BigQuery::new("p", "raw")).await.unwrap_err().to_string();
    assert!(error.contains("no credentials") && error.contains("service_account_file"), "{error}");
    let key = "a-token-that-nobody-may-see";
    let sink = || BigQuery::new("p", "raw").auth(Bearer::new(key).unwrap());
    let error = run(sink().endpoint("http://bigquery.example.com")).await.unwrap_err().to_string();
    assert!(error.contains("https"), "{error}");
    assert!(!format!("{:?}", sink()).contains(key));
    // It goes along, and what comes back with it in it is wiped.
    let url = hostile(move |head| {
        let has = head.to_lowercase().contains(&format!("authorization: bearer {key}"));
        let body = format!(r#"{{"error":{{"message":"you sent {has} {key}"}}}}"#);
        format!("HTTP/1.1 400 X\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    })
    .await;
    let error = run(sink().endpoint(url)).await.unwrap_err().to_string();
    assert!(error.contains("you sent true") && !error.contains(key), "{error}");
    for name in ["", "a b", "{source}.x", "a`b"] {
        let error = run(sink().table(name)).await.unwrap_err().to_string();
        assert!(error.contains("no name of a table"), "{error}");
    }
}

/// The dataset, and a folder.
struct Tables {
    front: Arc<Front>,
    dir: tempfile::TempDir,
    is_plain: bool,
}

impl Place for Tables {
    fn sink(&self) -> Box<dyn Sink> {
        let sink = sink(&self.front, self.dir.path()).segment_rows(5);
        match self.is_plain {
            true => Box::new(sink.schemaless().table("plain_{source}")),
            false => Box::new(sink.table("typed_{source}").schemas(Schemas::inferred().sample(4))),
        }
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let kind = if self.is_plain { "plain" } else { "typed" };
            let table = format!("{kind}_{}", source.replace('.', "_"));
            // A source without a record has no table.
            let path = format!("/bigquery/v2/projects/p/datasets/raw/tables/{table}");
            if self.front.forward(Method::GET, &path, &serde_json::Value::Null).await.0 == 404 {
                return Ok(Vec::new());
            }
            if self.is_plain {
                let rows = self
                    .front
                    .query(&format!("SELECT record FROM `p.raw.{table}` WHERE __source = '{source}'"))
                    .await;
                return Ok(rows.into_iter().flatten().flatten().collect());
            }
            let rows = self
                .front
                .query(&format!("SELECT id FROM `p.raw.{table}` WHERE __source = '{source}'"))
                .await;
            Ok(rows.into_iter().flatten().flatten().map(|id| json!({"id": id}).to_string()).collect())
        })
    }

    fn fidelity(&self) -> Fidelity {
        if self.is_plain { Fidelity::Text } else { Fidelity::Columns }
    }

    fn keeps_order(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_hold_what_every_sink_must() {
    let Some((_server, front)) = bigquery().await else { return };
    for is_plain in [true, false] {
        let (front, dir) = (front.clone(), tempfile::tempdir().unwrap());
        let broken = sink_suite::check(&Tables { front, dir, is_plain }).await;
        assert_eq!(broken, []);
    }
}
