//! Objects in moto (S3, <https://docs.getmoto.org>) and azurite (Azure Blob Storage, <https://github.com/Azure/Azurite>).
//!
//! `pip install 'moto[s3]' flask flask-cors` and `npm install azurite`; have `moto_server` and `azurite-blob` on the path, or in
//! `HEADWATER_MOTO_SERVER` and `HEADWATER_AZURITE_BLOB`.
//!
//! Google Cloud Storage has no emulator here. Its conditional put is another header, and all else is the same code.

mod faulty_store;
mod object_world;
mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faulty_store::Fault;
use headwater::prelude::*;
use headwater::sink::objects::{Azure, S3, committed};
use headwater::sink::{Compression, Memory, Objects, Tee};
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureConfigKey, AzureCredential};
use object_store::client::HttpRequestBody;
use object_store::prefix::PrefixStore;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use object_world::*;
use support::server::Server;
use support::{client, example, server_program, succeeded};

const AZURITE_ACCOUNT: &str = "devstoreaccount1";
/// The key that every azurite has.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const S3_KEY_ID: &str = "AKIDEXAMPLE";
const S3_SECRET: &str = "Secret+Secret/Secret+Secret/Secret+Secre";

/// A bucket of a server that was started for it.
struct Bucket {
    server: Server,
    store: Arc<dyn ObjectStore>,
}

impl Bucket {
    async fn s3() -> Option<Self> {
        let install = "pip install 'moto[s3]' flask flask-cors";
        let moto = server_program("moto_server", "HEADWATER_MOTO_SERVER", install)?;
        let server = Server::start(|port, _| {
            let mut command = Command::new(&moto);
            command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
            command
        });
        let server = server.await;
        let made = client().put(server.url("/bucket")).header("authorization", signed_by_nobody());
        assert!(made.send().await.expect("an answer").status().is_success(), "{}", server.log());
        let store = Self::s3_of(&server).store().unwrap();
        Some(Self { server, store })
    }

    fn s3_of(server: &Server) -> S3 {
        S3::new("bucket/team/github")
            .endpoint(server.url(""))
            .region("us-east-1")
            .access_key(S3_KEY_ID, S3_SECRET)
    }

    async fn azure() -> Option<Self> {
        let azurite = server_program("azurite-blob", "HEADWATER_AZURITE_BLOB", "npm install azurite")?;
        let server = Server::start(|port, dir| {
            let mut command = Command::new(&azurite);
            command.args([
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                &port.to_string(),
                "--silent",
                "--location",
            ]);
            command.arg(dir).args(["--skipApiVersionCheck", "--disableTelemetry"]);
            command
        });
        let server = server.await;
        let azure = Azure::new("container/team/github")
            .account(AZURITE_ACCOUNT, AZURITE_KEY)
            .endpoint(server.url(&format!("/{AZURITE_ACCOUNT}")));
        let store = azure.store().unwrap();
        make_container(&server).await;
        Some(Self { server, store })
    }

    /// Places that know nothing of each other.
    fn places(&self) -> impl Fn() -> Arc<dyn ObjectStore> {
        let (store, number) = (self.store.clone(), AtomicU64::new(0));
        move || {
            let number = number.fetch_add(1, Ordering::Relaxed);
            Arc::new(PrefixStore::new(store.clone(), format!("place{number}")))
        }
    }
}

fn signed_by_nobody() -> &'static str {
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
}

/// `object_store` makes no containers, but signs the request that does.
async fn make_container(server: &Server) {
    let url = server.url(&format!("/{AZURITE_ACCOUNT}/container?restype=container"));
    let request = http::Request::put(&url).header("content-length", "0");
    let mut request = request.body(HttpRequestBody::empty()).unwrap();
    let key = AzureCredential::AccessKey(AzureAccessKey::try_new(AZURITE_KEY).unwrap());
    AzureAuthorizer::new(&key, AZURITE_ACCOUNT).try_authorize(&mut request).unwrap();
    let answer = client().put(&url).headers(request.headers().clone()).send().await.expect("an answer");
    let status = answer.status();
    assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
}

/// What everything rests on.
async fn conditional_puts_are_honoured(bucket: &Bucket) {
    let store = &bucket.store;
    let path = object_store::path::Path::from("conditions/1");
    let create = |text: &'static str| store.put_opts(&path, text.into(), PutOptions::from(PutMode::Create));
    let first = create("first").await.unwrap();
    assert!(matches!(create("second").await, Err(Error::AlreadyExists { .. })));
    let got = store.get(&path).await.unwrap();
    assert_eq!(got.meta.e_tag, first.e_tag, "the answer to a put has the ETag that is read");
    assert_eq!(got.bytes().await.unwrap(), "first");
    // `If-Match` as well, though nothing here needs it.
    let update = |e_tag: Option<String>| {
        let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
        store.put_opts(&path, "third".into(), PutOptions::from(mode))
    };
    let third = update(first.e_tag.clone()).await.unwrap();
    assert_ne!(third.e_tag, first.e_tag);
    assert!(matches!(update(first.e_tag).await, Err(Error::Precondition { .. })));
}

async fn every_other_call(bucket: &Bucket) {
    let places = bucket.places();
    // Each call of a run takes a while here; the calls in between are tried in memory.
    at_every_call(Fault::DiesBehind, false, 3, gzipped, &places).await;
    at_every_call(Fault::DiesBefore, false, 7, gzipped, &places).await;
    at_every_call(Fault::LosesAnswer, false, 7, gzipped, &places).await;
    at_every_call(Fault::Repeats, false, 7, gzipped, &places).await;
    at_every_call(Fault::DiesBehind, true, 7, gzipped, &places).await;
    let columns = |store| columns(store).part_size(8 * 1024 * 1024).silence(Duration::from_secs(5));
    at_every_call(Fault::DiesBehind, false, 5, columns, &places).await;
    at_every_call(Fault::LosesAnswer, false, 9, columns, &places).await;
}

fn gzipped(store: Arc<dyn ObjectStore>) -> Objects {
    Objects::on(store, PREFIX).silence(Duration::from_secs(5))
}

/// Objects of several parts.
async fn large_objects_come_in_parts(bucket: &Bucket) {
    let store = bucket.places()();
    let pages = 4;
    let api = headwater::testing::Scripted::from_fn(move |request, _| {
        let page = request.url().query_pairs().find(|(name, _)| name == "page");
        let page: u64 = page.map_or(1, |(_, number)| number.parse().unwrap());
        let record = format!(r#"{{"id":{page},"text":"{}"}}"#, "x".repeat(4_000_000));
        headwater::testing::Reply::json(format!(r#"{{"data":[{record}],"more":{}}}"#, page < pages))
    });
    let source = Source::get("large", "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .transport(api)
        .build()
        .unwrap();
    let sink = Objects::on(store.clone(), PREFIX).compress(Compression::none()).part_size(5 * 1024 * 1024);
    Pipeline::new().source(source).sink(sink).run().await.unwrap();
    let objects = committed(store.clone(), PREFIX).await.unwrap();
    assert_eq!((objects.len(), objects[0].rows), (1, pages));
    assert!(objects[0].bytes > 16_000_000);
    let text = content(&store, &objects[0]).await;
    assert_eq!(text.lines().count() as u64, pages);
}

/// The same in columns: row groups go up while more rows come.
async fn large_objects_with_columns_come_in_parts(bucket: &Bucket) {
    const MIB: usize = 1024 * 1024;
    let store = bucket.places()();
    let pages = 8;
    let api = headwater::testing::Scripted::from_fn(move |request, _| {
        let page = request.url().query_pairs().find(|(name, _)| name == "page");
        let page: u64 = page.map_or(1, |(_, number)| number.parse().unwrap());
        // Does not compress well.
        let mut random = fastrand::Rng::with_seed(page);
        let mut record = |row: u64| {
            let text: String = (0..4_000).map(|_| random.alphanumeric()).collect();
            format!(r#"{{"id":{},"text":"{text}"}}"#, 1_000 * page + row)
        };
        let records: Vec<String> = (0..600).map(&mut record).collect();
        headwater::testing::Reply::json(format!(
            r#"{{"data":[{}],"more":{}}}"#,
            records.join(","),
            page < pages
        ))
    });
    let source = Source::get("large", "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .transport(api)
        .build()
        .unwrap();
    let sink = Objects::on(store.clone(), PREFIX).row_group_bytes(4 * MIB).part_size(5 * MIB);
    Pipeline::new().source(source).sink(sink).run().await.unwrap();
    let objects = committed(store.clone(), PREFIX).await.unwrap();
    assert_eq!((objects.len(), objects[0].rows), (1, 600 * pages));
    assert!(objects[0].bytes > 11_000_000, "{:?}", objects[0]);
    // S3 says of how many parts an object is.
    let e_tag = objects[0].e_tag.clone().unwrap();
    let is_s3 = store.to_string().contains("S3");
    assert!(!is_s3 || e_tag.trim_matches('"').ends_with("-3"), "{e_tag}");
    let expected: Vec<u64> =
        (1..=pages).flat_map(|page| (0..600).map(move |row| 1_000 * page + row)).collect();
    assert_eq!(ids_of(&store, &objects[0]).await, expected);
}

/// A Python that has pyarrow and DuckDB. Where there is none, the test is to be skipped, and this says so.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("HEADWATER_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let found = Command::new(&python).args(["-c", "import pyarrow, duckdb"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let what = "pyarrow or duckdb is not installed (`pip install pyarrow duckdb`, or set HEADWATER_PYTHON)";
    assert!(std::env::var_os("HEADWATER_REQUIRE_SERVERS").is_none(), "{what}");
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {what}");
    None
}

/// How the page on objects says that the manifest is read.
fn reader_of_the_manifest() -> &'static str {
    let page = include_str!("../docs/sinks/objects.md");
    let (_, behind) = page.split_once("```python\n").expect("a reader in Python");
    behind.split_once("```").expect("its end").0
}

/// Reads the manifest and all that it names with pyarrow, and DuckDB, from the server.
const READ_BACK: &str = r#"
import os, sys, tempfile, duckdb, pyarrow as pa, pyarrow.fs, pyarrow.parquet as pq
kind, host, place, prefix, account, key = sys.argv[1:]
if kind == "s3":
    server = pa.fs.S3FileSystem(access_key=account, secret_key=key, endpoint_override=host, scheme="http", region="us-east-1")
else:
    server = pa.fs.AzureFileSystem(account, account_key=key, blob_storage_authority=host, blob_storage_scheme="http")

def read(path):
    try:
        with server.open_input_file(f"{place}/{path}") as file:
            return file.read()
    except FileNotFoundError:
        return None

objects = committed(read, prefix)
tables = [pq.read_table(server.open_input_file(f"{place}/{prefix}/{o['path']}")) for o in objects]
rows = sorted([row["__source"], row["id"], row.get("late")] for table in tables for row in table.to_pylist())
assert [t.num_rows for t in tables] == [o["rows"] for o in objects], objects
with tempfile.TemporaryDirectory() as dir:
    for number, o in enumerate(objects):
        with open(f"{dir}/{number}.parquet", "wb") as file:
            file.write(read(f"{prefix}/{o['path']}"))
    by_duckdb = duckdb.sql(f"""SELECT __source, id, late FROM read_parquet('{dir}/*.parquet', union_by_name = true)
        ORDER BY ALL""").fetchall()
assert [list(row) for row in by_duckdb] == rows, by_duckdb
print(json.dumps(rows))
"#;

async fn others_read_what_the_manifest_names(bucket: &Bucket) {
    let columns = |store| columns(store).part_size(8 * 1024 * 1024).silence(Duration::from_secs(5));
    run(columns(bucket.store.clone()), None).await.unwrap();
    // As a crash leaves it: in no manifest.
    let stray = format!("{PREFIX}/a/19700101T000000Z/000099-1.parquet");
    bucket.store.put(&stray.into(), "half an object".into()).await.unwrap();
    assert_eq!(ids(&bucket.store).await, whole());
    let Some(python) = python() else { return };
    let [kind, place, account, key] = match bucket.store.to_string().contains("S3") {
        true => ["s3", "bucket", S3_KEY_ID, S3_SECRET],
        false => ["azure", "container", AZURITE_ACCOUNT, AZURITE_KEY],
    };
    let url = bucket.server.url("");
    let host = url.trim_start_matches("http://");
    let script = format!("{}\n{READ_BACK}", reader_of_the_manifest());
    let mut command = Command::new(python);
    command.args(["-c", &script, kind, host, place, PREFIX, account, key]);
    let read = tokio::task::spawn_blocking(move || command.output().expect("python can be started"));
    let read = read.await.unwrap();
    let said = String::from_utf8_lossy(&read.stdout);
    assert!(read.status.success(), "{said}\n{}", String::from_utf8_lossy(&read.stderr));
    let rows: Vec<(String, u64, Option<String>)> = serde_json::from_str(&said).unwrap();
    let late = |id: u64| (id >= 6).then(|| format!("[{}]", id / 2));
    let of_a = (2..2 * PAGES + 2).map(|id| ("a".to_owned(), id, late(id)));
    // The others of this source are rejected.
    let of_b = (2..6).map(|id| ("b".to_owned(), id, None));
    assert_eq!(rows, of_a.chain(of_b).collect::<Vec<_>>());
}

async fn two_writers(bucket: &Bucket) {
    let places = bucket.places();
    for round in 0..6 {
        let store = places();
        let later = async {
            tokio::time::sleep(Duration::from_millis(30 * round)).await;
            run(gzipped(store.clone()), None).await
        };
        let (first, second) = tokio::join!(run(gzipped(store.clone()), None), later);
        for failure in [first, second].into_iter().filter_map(Result::err) {
            assert_eq!(failure.error.kind(), ErrorKind::Locked, "{failure}");
        }
        assert_consistent_runs(&store, &format!("round {round}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_honours_conditional_puts_and_takes_parts() {
    let Some(bucket) = Bucket::s3().await else { return };
    conditional_puts_are_honoured(&bucket).await;
    large_objects_come_in_parts(&bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_honours_conditional_puts_and_takes_parts() {
    let Some(bucket) = Bucket::azure().await else { return };
    conditional_puts_are_honoured(&bucket).await;
    large_objects_come_in_parts(&bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_in_s3_comes_in_parts_and_is_read_by_others() {
    let Some(bucket) = Bucket::s3().await else { return };
    large_objects_with_columns_come_in_parts(&bucket).await;
    others_read_what_the_manifest_names(&bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_in_azure_comes_in_parts_and_is_read_by_others() {
    let Some(bucket) = Bucket::azure().await else { return };
    large_objects_with_columns_come_in_parts(&bucket).await;
    others_read_what_the_manifest_names(&bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_s3_a_crash_leaves_each_record_once() {
    let Some(bucket) = Bucket::s3().await else { return };
    every_other_call(&bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_azure_a_crash_leaves_each_record_once() {
    let Some(bucket) = Bucket::azure().await else { return };
    every_other_call(&bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_in_s3_or_azure_one_stops() {
    for bucket in [Bucket::s3().await, Bucket::azure().await].into_iter().flatten() {
        two_writers(&bucket).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_leaves_each_record_in_s3_once() {
    let Some(bucket) = Bucket::s3().await else { return };
    for format in [&[][..], &["--parquet"]] {
        kill_in_the_middle(&bucket, format).await;
    }
}

async fn kill_in_the_middle(bucket: &Bucket, format: &[&str]) {
    let seed =
        std::env::var("HEADWATER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("HEADWATER_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let records = 3_000;
    let prefix = format!("killed{}", format.concat());
    let process = || {
        let mut command = example("objects");
        command
            .args(["--to", &format!("s3://bucket/{prefix}"), "--take-over", "--commit-every", "20"])
            .args(format)
            .args(["--records", &records.to_string()])
            .env("AWS_ENDPOINT_URL", bucket.server.url(""))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", S3_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", S3_SECRET);
        command
    };
    let (mut kills, mut finished) = (0, 0);
    while kills < 8 {
        let mut child = process().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(random.u64(20..1_500))).await;
        child.kill().await.unwrap();
        match child.wait().await.unwrap().success() {
            true => finished += 1,
            false => kills += 1,
        }
    }
    succeeded(&support::run(&mut process()).await);
    let objects = committed(bucket.store.clone(), &prefix).await.unwrap();
    for name in ["customers", "issues"] {
        let expected: Vec<String> = headwater::testing::Resource::new(name, records).ids().collect();
        let mut folders: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for object in objects.iter().filter(|object| object.source == name) {
            let text = content_at(&bucket.store, &format!("{prefix}/{}", object.path)).await;
            let ids = text.lines().map(|line| {
                let record: serde_json::Value = serde_json::from_str(line).unwrap();
                record["id"].as_str().map_or_else(|| record["id"].to_string(), str::to_owned)
            });
            folders.entry(&object.folder).or_default().extend(ids);
        }
        // A run that was killed behind its last commit is a run that has finished.
        assert!(!folders.is_empty());
        for (folder, ids) in folders {
            assert!(
                ids == expected,
                "seed {seed}: {name}/{folder} does not hold every record once, in order"
            );
        }
    }
    println!("{kills} kills, {finished} runs that were finished first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_an_error_that_does_not_show_it() {
    let Some(bucket) = Bucket::azure().await else { return };
    let wrong = "V3JvbmdXcm9uZ1dyb25nV3JvbmdXcm9uZ1dyb25nV3Jvbmc=";
    let azure = || {
        Azure::new("container/team")
            .account(AZURITE_ACCOUNT, wrong)
            .endpoint(bucket.server.url(&format!("/{AZURITE_ACCOUNT}")))
    };
    let sink = azure().build().unwrap();
    assert!(!format!("{:?} {sink:?}", azure()).contains(wrong));
    let failure = run(sink, None).await.unwrap_err();
    assert!(failure.to_string().contains("403"), "{failure}");
    assert!(!format!("{failure} {failure:?}").contains(wrong), "{failure:?}");
}

#[tokio::test]
async fn neither_a_shared_access_signature_nor_who_an_address_names_is_shown() {
    let nobody = "http://127.0.0.1:1";
    let no_retries = || object_store::RetryConfig { max_retries: 0, ..Default::default() };
    let azure = Azure::new("container/team").endpoint(nobody).configure(|builder| {
        builder
            .with_account(AZURITE_ACCOUNT)
            .with_config(AzureConfigKey::SasKey, "?sv=2023-01-03&sp=rw&sig=canary%3D")
            .with_retry(no_retries())
    });
    let s3 = S3::new("bucket/team")
        .endpoint("http://user:canary@127.0.0.1:1")
        .region("us-east-1")
        .access_key("AKIDEXAMPLE", "canary")
        .configure(|builder| builder.with_retry(no_retries()));
    for sink in [azure.clone().build().unwrap(), s3.clone().build().unwrap()] {
        let tee = format!("{:?}", Tee::new(Memory::new(), sink));
        assert!(!tee.contains("canary") && tee.contains("team"), "{tee}");
    }
    for sink in [azure.clone().build().unwrap(), s3.clone().build().unwrap()] {
        let failure = run(sink, None).await.unwrap_err();
        let shown = format!("{failure} {failure:?}");
        assert!(!shown.contains("canary") && shown.contains("team/_headwater"), "{shown}");
    }
}
