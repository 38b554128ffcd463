//! CSV files: their columns, their quotes, what is not in them, and that a crash changes none of it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, UNIX_EPOCH};

use futures::future::{BoxFuture, ready};
use headwater::fs::Fs;
use headwater::prelude::*;
use headwater::schema::{ColumnType, Contract, Schema, Schemas};
use headwater::sink::{Compression, Csv, Partition, Sink};
use headwater::testing::sink_suite::{self, Fidelity, Place};
use headwater::testing::{CrashFs, Image, Reply, Scripted};
use headwater::{Report, RunError};
use serde_json::{Value, json};

/// A file with its header.
#[derive(Debug, Clone, PartialEq)]
struct File {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn read(bytes: &[u8], delimiter: u8) -> File {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(bytes);
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    // A row of another width is an error.
    let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    File { header, rows }
}

fn bytes_of(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if !name.starts_with(".headwater") => folders.push(path),
                false => drop(found.insert(name, std::fs::read(&path).unwrap())),
                true => {}
            }
        }
    }
    found
}

fn files(dir: &Path) -> Vec<File> {
    let found = bytes_of(dir).into_iter().filter(|(name, _)| name.ends_with(".csv"));
    found.map(|(_, bytes)| read(&bytes, b',')).collect()
}

fn source(name: &str, pages: Vec<Vec<Value>>) -> Source {
    let api = Scripted::from_fn(move |request, _| {
        let query = request.url().query_pairs().find(|(name, _)| name == "cursor");
        let page: usize = query.map_or(0, |(_, page)| page.parse().unwrap());
        let next = (page + 1 < pages.len()).then(|| (page + 1).to_string());
        Reply::json(json!({"data": pages[page], "next": next}).to_string()).delay(Duration::from_millis(300))
    });
    Source::get(name, "https://api.example.com/items")
        .records("data")
        .paginate(Cursor::body("next"))
        .transport(api)
        .build()
        .unwrap()
}

async fn pull(sink: Csv, pages: Vec<Vec<Value>>) -> Result<Report, RunError> {
    Pipeline::new().source(source("s", pages)).sink(sink).commit_every(Duration::from_secs(60)).run().await
}

/// Without `__source` and `__ingested_at`.
fn own(file: &File) -> (Vec<&str>, Vec<Vec<&str>>) {
    let is_own = |index: &usize| !["__source", "__ingested_at"].contains(&file.header[*index].as_str());
    let kept: Vec<usize> = (0..file.header.len()).filter(is_own).collect();
    let rows = file.rows.iter().map(|row| kept.iter().map(|index| row[*index].as_str()).collect()).collect();
    (kept.iter().map(|index| file.header[*index].as_str()).collect(), rows)
}

#[tokio::test(start_paused = true)]
async fn the_columns_are_those_of_all_pages_of_the_sample() {
    let dir = tempfile::tempdir().unwrap();
    let pages = vec![
        vec![json!({"id": 1}), json!({"id": 2, "name": "b"})],
        vec![json!({"name": null, "id": 3, "tags": ["x", {"y": 1}]}), json!("no object")],
    ];
    let report = pull(Csv::dir(dir.path()), pages).await.unwrap();
    let found = files(dir.path());
    let [file] = &found[..] else { panic!("{found:?}") };
    let (header, rows) = own(file);
    assert_eq!(header, ["id", "name", "tags", "value"]);
    assert_eq!(
        rows,
        [["1", "", "", ""], ["2", "b", "", ""], ["3", "", r#"["x",{"y":1}]"#, ""], ["", "", "", "no object"]]
    );
    let at = file.header.iter().position(|name| name == "__source").unwrap();
    assert!(file.rows.iter().all(|row| row[at] == "s" && row[at + 1].ends_with('Z')));
    let told = report.source("s").unwrap();
    assert_eq!(told.output.as_deref(), dir.path().to_str());
    assert_eq!((told.records, told.written, told.rejected), (4, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_new_column_begins_a_new_file_and_every_file_has_the_columns_of_its_header() {
    let dir = tempfile::tempdir().unwrap();
    let pages = vec![
        vec![json!({"id": 1}), json!({"id": 2})],
        vec![json!({"id": 3}), json!({"id": 4, "late": true}), json!({"id": 5})],
        vec![json!({"id": "six"}), json!({"id": 7})],
    ];
    pull(Csv::dir(dir.path()).schemas(Schemas::inferred().sample(1)), pages).await.unwrap();
    let found = files(dir.path());
    let found: Vec<_> = found.iter().map(own).collect();
    assert_eq!(found[0], (vec!["id"], vec![vec!["1"], vec!["2"]]));
    assert_eq!(found[1], (vec!["id", "late"], vec![vec!["3", ""], vec!["4", "true"], vec!["5", ""]]));
    let third = vec![vec!["", "", "six"], vec!["7", "", ""]];
    assert_eq!(found[2], (vec!["id", "late", "id__text"], third));
    assert_eq!(found.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_fetched_is_written_or_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Schema::builder()
        .required("id", ColumnType::Int64)
        .column("total", ColumnType::Decimal { precision: 10, scale: 2 })
        .build()
        .unwrap();
    let schemas = Schemas::inferred().declare("s", schema).contract(Contract::Reject);
    let pages = vec![
        vec![json!({"id": 1, "total": "12.50"}), json!({"id": 2, "total": 0.125})],
        vec![json!({"id": 1.5}), json!({"id": 4, "extra": "a\"b"}), json!({"id": 5})],
    ];
    let report = pull(Csv::dir(dir.path()).schemas(schemas), pages).await.unwrap();
    let told = report.source("s").unwrap();
    assert_eq!((told.records, told.written, told.rejected), (5, 2, 3));
    let found = files(dir.path());
    assert_eq!(own(&found[0]), (vec!["id", "total"], vec![vec!["1", "12.50"], vec!["5", ""]]));
    let letters = bytes_of(dir.path()).into_iter().find(|(name, _)| name.starts_with("rejected/")).unwrap().1;
    let letters = String::from_utf8(letters).unwrap();
    let letters: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = letters
        .iter()
        .map(|letter| {
            (letter["record"].as_str().unwrap(), letter["column"].as_str().unwrap(), &letter["page"])
        })
        .collect();
    let expected = [
        (r#"{"id":2,"total":0.125}"#, "total", &json!(1)),
        (r#"{"id":1.5}"#, "id", &json!(2)),
        (r#"{"extra":"a\"b","id":4}"#, "extra", &json!(2)),
    ];
    assert_eq!(told, expected);
    assert_eq!(letters[0]["__source"], "s");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_schema_ends_the_run_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let schemas = Schemas::inferred().sample(1).contract(Contract::Freeze);
    let pages = vec![vec![json!({"id": 1})], vec![json!({"id": 2, "more": 1})]];
    let failed = pull(Csv::dir(dir.path()).schemas(schemas), pages).await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Record);
    assert!(failed.error.to_string().contains("more") && failed.error.help().is_some(), "{failed}");
}

/// What no reader may take apart.
fn hostile() -> Vec<&'static str> {
    vec![
        "a,b",
        "say \"x\"",
        "\"",
        "\"\"",
        "two\nlines",
        "two\r\nlines",
        "\r",
        " blank ",
        "\t",
        "",
        "=1+1",
        "-5",
        "é😀",
        "\u{feff}",
        "\\",
        "\\N",
        "NULL",
        "null",
        ";",
        "'",
        "#",
        "a\u{0}b",
    ]
}

#[tokio::test(start_paused = true)]
async fn every_text_comes_back_as_it_was() {
    for (delimiter, crlf) in [(b',', false), (b';', true), (b'\t', false)] {
        let dir = tempfile::tempdir().unwrap();
        let records: Vec<Value> =
            hostile().iter().map(|text| json!({"text": text, "list": [text]})).collect();
        let sink = Csv::dir(dir.path()).delimiter(delimiter);
        let sink = if crlf { sink.crlf() } else { sink };
        pull(sink, vec![records]).await.unwrap();
        let bytes = bytes_of(dir.path()).into_iter().find(|(name, _)| name.ends_with(".csv")).unwrap().1;
        let file = read(&bytes, delimiter);
        let (text, list) = (place(&file, "text"), place(&file, "list"));
        let texts: Vec<&str> = file.rows.iter().map(|row| row[text].as_str()).collect();
        assert_eq!(texts, hostile());
        for (row, text) in file.rows.iter().zip(hostile()) {
            assert_eq!(serde_json::from_str::<Value>(&row[list]).unwrap(), json!([text]));
        }
    }
}

fn place(file: &File, name: &str) -> usize {
    file.header.iter().position(|column| column == name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn python_reads_what_was_written() {
    let python =
        Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !python.is_ok_and(|status| status.success()) {
        let required = std::env::var("HEADWATER_REQUIRE_SERVERS").is_ok_and(|required| required == "1");
        assert!(!required, "python3 is not there");
        eprintln!("SKIPPED: python3 is not there");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Python's reader takes no NUL.
    let texts: Vec<&str> = hostile().into_iter().filter(|text| !text.contains('\0')).collect();
    let records: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(id, text)| json!({"id": id, "text": text, "nested": {"t": [text]}}))
        .collect();
    pull(Csv::dir(dir.path()), vec![records]).await.unwrap();
    let (name, _) = bytes_of(dir.path()).into_iter().find(|(name, _)| name.ends_with(".csv")).unwrap();
    let script = "import csv, json, sys\n\
        rows = list(csv.DictReader(open(sys.argv[1], newline='', encoding='utf-8'), strict=True))\n\
        json.dump([[r['id'], r['text'], json.loads(r['nested'])['t'][0], r['__source']] for r in rows], sys.stdout)";
    let output = Command::new("python3").args(["-c", script]).arg(dir.path().join(name)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected: Vec<Value> =
        texts.iter().enumerate().map(|(id, text)| json!([id.to_string(), text, text, "s"])).collect();
    assert_eq!(read, Value::Array(expected));
}

#[tokio::test(start_paused = true)]
async fn a_null_and_an_empty_string_stay_apart() {
    let records =
        || vec![vec![json!({"id": 1, "x": null}), json!({"id": 2, "x": ""}), json!({"id": 3, "x": "NULL"})]];
    for (null, lines) in [("", ["1,,", "2,\"\",", "3,NULL,"]), ("NULL", ["1,NULL,", "2,,", "3,\"NULL\","])] {
        let dir = tempfile::tempdir().unwrap();
        pull(Csv::dir(dir.path()).null(null), records()).await.unwrap();
        let bytes = bytes_of(dir.path()).into_iter().find(|(name, _)| name.ends_with(".csv")).unwrap().1;
        let text = String::from_utf8(bytes).unwrap();
        for (line, expected) in text.lines().skip(1).zip(lines) {
            assert!(line.starts_with(expected), "{line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn formulas_are_guarded_against_on_request_and_numbers_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let records =
        vec![json!({"=id": -5, "text": "=HYPERLINK(\"http://x\")"}), json!({"=id": 2, "text": "-5"})];
    pull(Csv::dir(dir.path()).guard_formulas(), vec![records]).await.unwrap();
    let found = files(dir.path());
    let (header, rows) = own(&found[0]);
    assert_eq!(header, ["'=id", "text"]);
    assert_eq!(rows, [["-5", "'=HYPERLINK(\"http://x\")"], ["2", "-5"]]);
}

#[tokio::test(start_paused = true)]
async fn rows_roll_are_compressed_and_go_into_folders() {
    let dir = tempfile::tempdir().unwrap();
    let pages: Vec<Vec<Value>> = (0..4_u64)
        .map(|page| {
            let record = |number: u64| match page {
                // In the midst of it a new column.
                2.. => json!({"id": page * 3 + number, "kind": number % 2, "late": 1}),
                _ => json!({"id": page * 3 + number, "kind": number % 2}),
            };
            (0..3).map(record).collect()
        })
        .collect();
    let sink = Csv::dir(dir.path())
        .schemas(Schemas::inferred().sample(1))
        .compress(Compression::gzip())
        .partition_by(Partition::field("kind"))
        .roll_at_rows(5);
    pull(sink, pages).await.unwrap();
    let mut ids = Vec::new();
    for (name, bytes) in bytes_of(dir.path()) {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut text).unwrap();
        let file = read(&text, b',');
        let (id, kind) = (place(&file, "id"), place(&file, "kind"));
        for row in &file.rows {
            assert!(name.starts_with(&format!("kind={}/", row[kind])), "{name}: {row:?}");
            let is_late = row[id].parse::<u64>().unwrap() >= 6;
            assert!(!is_late || file.header.contains(&"late".to_owned()), "{name}");
            ids.push(row[id].parse::<u64>().unwrap());
        }
        assert!(file.rows.len() <= 5);
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..12).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_next_run_has_the_columns_of_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let pages = || vec![vec![json!({"id": 1})], vec![json!({"id": 2, "late": "x"})]];
    for _ in 0..2 {
        pull(Csv::dir(dir.path()).schemas(Schemas::inferred().sample(1)), pages()).await.unwrap();
    }
    let mut headers: Vec<_> = files(dir.path()).iter().map(|file| own(file).0.join(" ")).collect();
    headers.sort();
    assert_eq!(headers, ["id", "id late", "id late"]);
    // Declared otherwise, a new run begins with that.
    let schema = Schema::builder().column("id", ColumnType::Text).build().unwrap();
    pull(Csv::dir(dir.path()).schemas(Schemas::inferred().declare("s", schema)), pages()).await.unwrap();
    assert_eq!(files(dir.path()).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_back_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for sink in [Csv::dir(dir.path()).delimiter(b'"'), Csv::dir(dir.path()).null("a,b")] {
        let failed = pull(sink, vec![vec![json!({"id": 1})]]).await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::Config);
    }
}

struct Folder(tempfile::TempDir);

impl Place for Folder {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(Csv::dir(self.0.path()))
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        let mut records = Vec::new();
        for (name, bytes) in bytes_of(self.0.path()) {
            let rest = name.strip_prefix(source).and_then(|rest| rest.strip_prefix('_'));
            if !rest.is_some_and(|rest| rest.starts_with("20")) {
                continue;
            }
            let file = read(&bytes, b',');
            let Some(id) = file.header.iter().position(|column| column == "id") else { continue };
            // What was no number in a column of numbers.
            let other = file.header.iter().position(|column| column == "id__text");
            for row in &file.rows {
                let id = match other.filter(|_| row[id].is_empty()) {
                    Some(other) => &row[other],
                    None => &row[id],
                };
                let text = || if id.is_empty() { Value::Null } else { json!(id) };
                let id = serde_json::from_str(id).unwrap_or_else(|_| text());
                records.push(json!({"id": id}).to_string());
            }
        }
        Box::pin(ready(Ok(records)))
    }

    fn fidelity(&self) -> Fidelity {
        Fidelity::Columns
    }
}

#[tokio::test]
async fn csv_files_hold_what_a_sink_promises() {
    sink_suite::run(&Folder(tempfile::tempdir().unwrap())).await;
}

// Power loss.

/// Ten records: new columns appear, values do not fit, and at last there are more columns than there may be.
fn pages() -> Vec<Vec<Value>> {
    vec![
        vec![json!({"n": 1}), json!({"n": 2})],
        vec![],
        vec![json!({"n": 3}), json!({"n": 4, "a": 1})],
        vec![json!({"n": 5, "a": "x"}), json!({"n": 6, "b": 1, "c": 2})],
        vec![json!({"n": 7}), json!({"n": 8, "b": 1.5})],
        vec![json!({"n": 9, "d": 1}), json!({"n": 10})],
    ]
}

fn run(fs: &Arc<dyn Fs>, sample: usize, runs: &AtomicU64) -> Result<Report, RunError> {
    let schemas = Schemas::inferred().sample(sample).most_columns(6);
    let pipeline = Pipeline::new()
        .source(source("s", pages()))
        .sink(Csv::on(fs.clone(), "/out").schemas(schemas).buffer(1))
        .commit_every(Duration::from_millis(500))
        .started_at(UNIX_EPOCH + Duration::from_secs(1_779_012_000 + runs.fetch_add(1, SeqCst)));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(pipeline.run())
}

/// Each record once, in a row or among the rejected, run by run.
fn check(image: &Image) {
    let mut runs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (path, bytes) in image.files() {
        let name = path.strip_prefix("/out").unwrap().to_string_lossy().into_owned();
        if name.starts_with(".headwater") {
            continue;
        }
        let start = name.split('_').nth(1).unwrap().split('.').next().unwrap().to_owned();
        let run = runs.entry(start).or_default();
        if name.starts_with("rejected/") {
            for line in String::from_utf8(bytes.to_vec()).unwrap().lines() {
                let letter: Value = serde_json::from_str(line).unwrap();
                let record: Value = serde_json::from_str(letter["record"].as_str().unwrap()).unwrap();
                run.push(record["n"].as_u64().unwrap());
            }
            continue;
        }
        assert!(name.ends_with(".csv") && !name.starts_with('.'), "{name} was left");
        let file = read(bytes, b',');
        let at = place(&file, "n");
        run.extend(file.rows.iter().map(|row| row[at].parse::<u64>().unwrap()));
    }
    assert!(!runs.is_empty());
    for (start, mut numbers) in runs {
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=10).collect::<Vec<_>>(), "the run of {start}");
    }
}

#[test]
fn after_a_power_loss_at_any_instant_each_record_is_there_once() {
    let seed =
        std::env::var("HEADWATER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let context = format!("HEADWATER_SEED={seed}");
    for sample in [1, 1_000] {
        let (disk, runs) = (CrashFs::new(), AtomicU64::new(0));
        let fs: Arc<dyn Fs> = Arc::new(disk.clone());
        let report = run(&fs, sample, &runs).unwrap();
        let told = report.source("s").unwrap();
        assert_eq!((told.records, told.written + told.rejected), (10, 10));
        check(&disk.image());
        let (mut seen, mut rejected) = (HashSet::new(), HashSet::new());
        for instant in 0..=disk.operations() {
            let crash = disk.crash(instant);
            let images: Vec<Image> = match crash.count() {
                0..=6 => crash.all().collect(),
                _ => (0..6).map(|_| crash.sample(&mut random)).collect(),
            };
            for image in images {
                let mut hasher = DefaultHasher::new();
                image.hash(&mut hasher);
                if !seen.insert(hasher.finish()) {
                    continue;
                }
                let disk = CrashFs::from_image(image);
                let fs: Arc<dyn Fs> = Arc::new(disk.clone());
                let report = run(&fs, sample, &runs).unwrap_or_else(|failed| {
                    panic!("{context}, instant {instant}: {failed}\n{:#?}", disk.image())
                });
                let told = report.source("s").unwrap();
                assert_eq!((told.records, told.written + told.rejected), (10, 10), "{context}");
                rejected.insert(told.rejected);
                check(&disk.image());
            }
        }
        assert!(seen.len() > 50, "only {} states", seen.len());
        assert!(rejected.iter().any(|count| *count > 0), "{rejected:?}");
    }
}
