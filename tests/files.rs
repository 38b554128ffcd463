//! Files that are compressed, roll, and have names and folders of one's own; lines on standard output.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use futures::future::BoxFuture;
use headwater::Shutdown;
use headwater::error::ErrorKind;
use headwater::pipeline::Event;
use headwater::prelude::*;
use headwater::sink::{Compression, Jsonl, Partition, Tee};
use headwater::testing::{Reply, Resource, Scripted};
use headwater::transport::{Response, Transport};
use serde_json::json;
use support::{example, text};

/// Pages of ten records each, 5 ms apart.
fn source(name: &str, pages: u64) -> Source {
    let api = Scripted::from_fn(move |request, _| {
        let page = request.url().query_pairs().find(|(name, _)| name == "page");
        let page: u64 = page.map_or(1, |(_, number)| number.parse().expect("a number"));
        let country = |id: u64| ["DE", "FR", "../x"][usize::try_from(id % 3).expect("small")];
        let records: Vec<_> = (0..10)
            .map(
                |row| json!({"id": page * 10 + row, "at": {"country": country(row)}, "pad": "x".repeat(100)}),
            )
            .collect();
        let body = json!({"data": records, "more": page < pages});
        Reply::json(body.to_string()).delay(Duration::from_millis(5))
    });
    Source::get(name, "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .transport(api)
        .build()
        .expect("a good definition")
}

/// All files below a folder but the checkpoints, by their paths in it.
fn files(dir: &Path) -> BTreeMap<String, PathBuf> {
    fn walk(dir: &Path, from: &Path, files: &mut BTreeMap<String, PathBuf>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(from).expect("inside").to_string_lossy().into_owned();
            if path.is_dir() && name != ".headwater" {
                walk(&path, from, files);
            } else if path.is_file() {
                files.insert(name, path);
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(dir, dir, &mut files);
    files
}

fn unpacked(program: &str, bytes: &[u8]) -> String {
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let bytes = bytes.to_vec();
    let fed = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("it ends");
    fed.join().expect("it does not panic").expect("it reads all");
    assert!(output.status.success(), "{program} refuses what was committed");
    String::from_utf8(output.stdout).expect("text")
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        let _ = writeln!(std::io::stderr(), "\nSKIPPED: {program} is not installed");
    }
    found
}

/// How many lines the committed part of the file has at each commit, as that program reads it.
async fn lines_at_commits(program: &'static str, compression: Compression) -> Vec<usize> {
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (out, lines) = (dir.path().to_owned(), seen.clone());
    let observe = move |event: &Event<'_>| {
        if !matches!(event, Event::Committed) {
            return;
        }
        let checkpoints = std::fs::read_dir(out.join(".headwater")).unwrap();
        let is_one = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "checkpoint");
        let path = checkpoints.map(|entry| entry.unwrap().path()).find(is_one).unwrap();
        let checkpoint = std::fs::read_to_string(path).unwrap();
        let checkpoint: serde_json::Value = serde_json::from_str(checkpoint.lines().nth(1).unwrap()).unwrap();
        let bytes = std::fs::read(out.join(checkpoint["sink"]["file"].as_str().unwrap())).unwrap();
        let length = usize::try_from(checkpoint["sink"]["length"].as_u64().unwrap()).unwrap();
        let text = unpacked(program, &bytes[..length]);
        assert_eq!(text.lines().count() as u64, checkpoint["records"].as_u64().unwrap());
        lines.lock().unwrap().push(text.lines().count());
    };
    let sink = Jsonl::dir(dir.path()).compress(compression).buffer(3_000);
    let pipeline = Pipeline::new().source(source("items", 30)).sink(sink).observe(observe);
    pipeline.commit_every(Duration::from_millis(20)).run().await.unwrap();
    seen.lock().unwrap().clone()
}

#[tokio::test]
async fn zcat_reads_what_was_committed_at_every_commit() {
    if !is_there("zcat") {
        return;
    }
    for level in [1, 6] {
        let lines = lines_at_commits("zcat", Compression::gzip().level(level)).await;
        assert!(lines.len() > 2 && lines.last() == Some(&300), "{lines:?}");
    }
}

#[cfg(feature = "zstd")]
#[tokio::test]
async fn zstdcat_reads_what_was_committed_at_every_commit() {
    if is_there("zstdcat") {
        let lines = lines_at_commits("zstdcat", Compression::zstd()).await;
        assert!(lines.len() > 2 && lines.last() == Some(&300), "{lines:?}");
    }
}

fn count(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().count()
}

#[tokio::test]
async fn a_file_rolls_by_rows_and_by_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &'static str, sink: fn(Jsonl) -> Jsonl| {
        let sink = sink(Jsonl::dir(dir.path().join(name)));
        Pipeline::new().source(source(name, 10)).sink(sink).run()
    };
    run("rows", |sink| sink.roll_at_rows(45)).await.unwrap();
    let counts: Vec<usize> = files(&dir.path().join("rows")).values().map(|path| count(path)).collect();
    assert_eq!(counts, [45, 45, 10]);
    run("bytes", |sink| sink.roll_at_bytes(5_000)).await.unwrap();
    let rolled = files(&dir.path().join("bytes"));
    let sizes: Vec<u64> = rolled.values().map(|path| std::fs::metadata(path).unwrap().len()).collect();
    let (last, others) = sizes.split_last().unwrap();
    assert!(others.len() > 2 && others.iter().all(|size| (5_000..7_500).contains(size)), "{sizes:?} {last}");
    assert_eq!(rolled.values().map(|path| count(path)).sum::<usize>(), 100);
    for name in ["rows", "bytes"] {
        assert!(files(&dir.path().join(name)).keys().all(|file| !file.starts_with(".partial")), "{name}");
    }
}

/// Pages of one record, each of which comes a minute after the one before.
struct Slow;

impl Transport for Slow {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response>> {
        let page = request.url().query_pairs().find(|(name, _)| name == "page");
        let page: u64 = page.map_or(1, |(_, number)| number.parse().expect("a number"));
        let body = json!({"data": [{"id": page}], "more": page < 10}).to_string().into();
        let received_at = UNIX_EPOCH + Duration::from_secs(1_779_012_000 + 60 * page);
        let (status, headers) = (http::StatusCode::OK, http::HeaderMap::new());
        Box::pin(async move { Ok(Response { status, headers, body, received_at }) })
    }
}

#[tokio::test]
async fn a_file_rolls_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::get("items", "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .transport(Slow)
        .build()
        .unwrap();
    let sink = Jsonl::dir(dir.path()).roll_after(Duration::from_secs(180));
    Pipeline::new().source(source).sink(sink).run().await.unwrap();
    let counts: Vec<usize> = files(dir.path()).values().map(|path| count(path)).collect();
    assert_eq!(counts, [3, 3, 3, 1]);
}

#[tokio::test]
async fn a_run_that_is_stopped_leaves_its_file_unfinished_and_goes_on_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = || {
        let sink = Jsonl::dir(dir.path()).roll_at_rows(1_000);
        Pipeline::new().source(source("items", 20)).sink(sink)
    };
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let stopped = pipeline().shutdown(shutdown).observe(move |event| {
        if matches!(event, Event::Page { records: 50.., .. }) {
            stop.finish_pages();
        }
    });
    assert_eq!(stopped.run().await.unwrap_err().error.kind(), ErrorKind::Stopped);
    let left = files(dir.path());
    assert_eq!(left.len(), 1, "{left:?}");
    let (name, path) = left.first_key_value().unwrap();
    let partial = name.strip_prefix(".partial/").expect("it is not finished").to_owned();
    assert!(count(path) >= 50 && count(path) < 200);
    let report = pipeline().run().await.unwrap();
    let finished = files(dir.path());
    assert_eq!(finished.keys().collect::<Vec<_>>(), [&partial], "the same file, under its final name");
    assert_eq!(count(&finished[&partial]), 200);
    assert!(report.to_string().contains("200"), "{report}");
}

#[tokio::test]
async fn folders_are_those_of_hive_and_nothing_leaves_them() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Jsonl::dir(dir.path())
        .compress(Compression::gzip())
        .partition_by(Partition::source())
        .partition_by(Partition::date())
        .partition_by(Partition::field("at.country"))
        .names("{start}/{part}");
    Pipeline::new().sources([source("a", 3), source("b", 2)]).sink(sink).run().await.unwrap();
    let files = files(dir.path());
    assert_eq!(files.len(), 6, "{files:?}");
    let country = |file: &String| file.split('/').nth(2).unwrap().to_owned();
    let countries: std::collections::BTreeSet<String> = files.keys().map(country).collect();
    assert_eq!(countries.iter().collect::<Vec<_>>(), ["country=..%2Fx", "country=DE", "country=FR"]);
    for file in files.keys() {
        let parts: Vec<&str> = file.split('/').collect();
        assert!(parts[0] == "source=a" || parts[0] == "source=b", "{file}");
        assert!(parts[1].starts_with("date=20") && parts[1].len() == "date=2026-05-17".len(), "{file}");
        assert!(parts.len() == 5 && parts[4].ends_with(".jsonl.gz"), "{file}");
    }
}

#[tokio::test]
async fn files_that_no_checkpoint_knows_are_found_in_whichever_folders_they_are() {
    let sinks: [fn(&Path) -> Jsonl; 5] = [
        |dir| Jsonl::dir(dir).partition_by(Partition::field("at.country")),
        |dir| Jsonl::dir(dir).partition_by(Partition::date()).partition_by(Partition::source()),
        |dir| Jsonl::dir(dir).names("{date}/{source}-{start}-{part}"),
        |dir| Jsonl::dir(dir).names("lists/{start}/{source}_{part}"),
        |dir| Jsonl::dir(dir).compress(Compression::gzip()).roll_at_rows(7),
    ];
    for (number, sink) in sinks.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let pull = |name: &str| Pipeline::new().source(source(name, 2)).sink(sink(dir.path())).run();
        pull("items").await.unwrap();
        let before = files(dir.path());
        std::fs::remove_dir_all(dir.path().join(".headwater")).unwrap();
        let failure = pull("items").await.unwrap_err();
        assert_eq!(failure.error.kind(), ErrorKind::Checkpoint, "{number}");
        assert_eq!(files(dir.path()), before, "{number}");
        pull("item").await.unwrap_or_else(|failure| panic!("{number}: another source: {failure}"));
    }
}

#[tokio::test]
async fn two_sinks_with_one_folder_are_told_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let both = Tee::new(Jsonl::dir(dir.path()), Jsonl::dir(dir.path()));
    let failure = Pipeline::new().source(source("items", 2)).sink(both).run().await.unwrap_err();
    assert!(failure.to_string().contains("give each its own"), "{failure}");
}

#[tokio::test]
async fn a_template_that_cannot_be_one_is_refused_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    for template in ["{start}_{part}", "../{source}_{start}_{part}", "{source}_{start}_{part}_{what}"] {
        let sink = Jsonl::dir(dir.path()).names(template);
        let failure = Pipeline::new().source(source("items", 1)).sink(sink).run().await.unwrap_err();
        assert_eq!(failure.error.kind(), ErrorKind::Config, "{template}");
        assert!(failure.to_string().contains(template), "{failure}");
    }
}

fn seed() -> u64 {
    let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("HEADWATER_SEED={seed}");
    seed
}

const RECORDS: u64 = 5_000;

#[tokio::test]
async fn killed_at_random_moments_every_record_is_in_the_finished_files_once() {
    if !is_there("zcat") {
        return;
    }
    let mut random = fastrand::Rng::with_seed(seed());
    let out = tempfile::tempdir().unwrap();
    let command = || {
        let mut command = example("files");
        command.arg("--output").arg(out.path()).arg("--records").arg(RECORDS.to_string());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let mut kills = 0;
    let is_full = std::env::var_os("HEADWATER_FULL").is_some();
    while kills < if is_full { 100 } else { 8 } {
        let mut child = command().spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(random.u64(20..900))).await;
        child.kill().await.unwrap();
        if !child.wait().await.unwrap().success() {
            kills += 1;
        }
    }
    let output = support::run(&mut command()).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    for name in ["orders", "customers"] {
        let mut expected: Vec<String> = Resource::new(name, RECORDS).ids().collect();
        expected.sort();
        let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (file, path) in files(out.path()) {
            assert!(!file.starts_with(".partial"), "{file} was left");
            if !file.starts_with(&format!("source={name}/")) {
                continue;
            }
            let start = file.rsplit_once('/').unwrap().1.split_once('_').unwrap().0.to_owned();
            for line in unpacked("zcat", &std::fs::read(&path).unwrap()).lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let id = line["id"].as_str().map_or_else(|| line["id"].to_string(), str::to_owned);
                runs.entry(start.clone()).or_default().push(id);
            }
        }
        assert!(!runs.is_empty(), "{name} has no file");
        for (start, mut ids) in runs {
            ids.sort();
            assert!(ids == expected, "{name}, the run of {start}: {} of {RECORDS}", ids.len());
        }
    }
    println!("{kills} kills");
}

#[tokio::test]
async fn a_reader_of_standard_output_that_goes_away_ends_the_run_with_an_error() {
    let mut child = example("files")
        .args(["--stdout", "--records", "5000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("standard output was closed") && !said.contains("panicked"), "{said}");
    let output = support::run(
        example("files").args(["--stdout", "--records", "500"]).stdout(Stdio::piped()).stderr(Stdio::piped()),
    )
    .await;
    assert!(output.status.success());
    assert_eq!(text(&output.stdout).lines().count(), 1_000);
}
