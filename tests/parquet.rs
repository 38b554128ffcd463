//! Parquet files as others read them: pyarrow, DuckDB, polars, and the parquet crate.

mod parquet_world;
mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use headwater::error::ErrorKind;
use headwater::pipeline::Outcome;
use headwater::prelude::*;
use headwater::schema::{ColumnType, Contract, Schema, Schemas};
use headwater::sink::Parquet;
use headwater::testing::Resource;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet_world::{files, ids, source, text_of};
use serde_json::Value;

/// A Python that has this module. Where there is none, the test is to be skipped, and this says so.
fn python_with(module: &str) -> Option<PathBuf> {
    let python = std::env::var_os("HEADWATER_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let found = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let what = format!("{module} is not installed (`pip install {module}`, or set HEADWATER_PYTHON)");
    assert!(std::env::var_os("HEADWATER_REQUIRE_SERVERS").is_none(), "{what}");
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {what}");
    None
}

/// What a script prints, as JSON; its arguments are the files.
fn asked(python: &Path, script: &str, files: &[PathBuf]) -> Value {
    let output =
        Command::new(python).args(["-c", script]).args(files).output().expect("python can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error} in {said}"))
}

fn pace() -> Duration {
    Duration::from_millis(1)
}

const RECORDS: &str = r#"[
{"whole":9223372036854775807,"double":0.1,"text":"é\n\u0000\"","flag":true,"at":"2026-05-17T12:00:00.000001+02:00","day":"2026-05-17","nested":{"a":[1.10]},"money":"12.50"},
{"whole":-9223372036854775808,"double":-1.5e300,"text":"","flag":false,"at":"1969-12-31T23:59:59Z","day":"0001-01-01","nested":[],"money":-0.05},
{"whole":null,"double":5e-324,"text":null,"nested":"x","money":99999999999999999999999999999999999.999}
]"#;

fn schemas() -> Schemas {
    let schema = Schema::builder()
        .column("whole", ColumnType::Int64)
        .column("double", ColumnType::Float64)
        .column("text", ColumnType::Text)
        .column("flag", ColumnType::Bool)
        .column("at", ColumnType::Timestamp)
        .column("day", ColumnType::Date)
        .column("nested", ColumnType::Json)
        .column("money", ColumnType::Decimal { precision: 38, scale: 3 })
        .build();
    Schemas::inferred().declare("s", schema.unwrap())
}

#[tokio::test]
async fn every_type_comes_back_to_the_last_digit() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Parquet::dir(dir.path()).schemas(schemas());
    let report =
        Pipeline::new().source(source("s", vec![RECORDS.into()], pace())).sink(sink).run().await.unwrap();
    assert_eq!((report.records(), report.outcome), (3, Outcome::Finished));
    let files = files(dir.path());
    assert_eq!(files.len(), 1);
    assert!(report.source("s").unwrap().output.as_ref().unwrap().ends_with("-*.parquet"));
    let Some(python) = python_with("pyarrow") else { return };
    let script = r#"
import sys, json, pyarrow.parquet as pq
table = pq.read_table(sys.argv[1])
types = {field.name: str(field.type) for field in table.schema}
rows = [{k: repr(v) if isinstance(v, float) else str(v) for k, v in row.items()} for row in table.to_pylist()]
notes = {k.decode(): v.decode() for k, v in pq.read_metadata(sys.argv[1]).metadata.items() if k.startswith(b"headwater")}
print(json.dumps({"types": types, "rows": rows, "notes": notes}))
"#;
    let told = asked(&python, script, &files);
    let types = &told["types"];
    for (column, expected) in [
        ("whole", "int64"),
        ("double", "double"),
        ("text", "string"),
        ("flag", "bool"),
        ("at", "timestamp[us, tz=UTC]"),
        ("day", "date32[day]"),
        ("nested", "string"),
        ("money", "decimal128(38, 3)"),
        ("__source", "string"),
        ("__ingested_at", "timestamp[us, tz=UTC]"),
    ] {
        assert_eq!(types[column], expected, "{column}: {types}");
    }
    let cell = |row: usize, column: &str| told["rows"][row][column].as_str().unwrap().to_owned();
    for (row, column, expected) in [
        (0, "whole", "9223372036854775807"),
        (1, "whole", "-9223372036854775808"),
        (2, "whole", "None"),
        (0, "double", "0.1"),
        (1, "double", "-1.5e+300"),
        (2, "double", "5e-324"),
        (0, "text", "é\n\0\""),
        (1, "text", ""),
        (2, "text", "None"),
        (0, "flag", "True"),
        (0, "at", "2026-05-17 10:00:00.000001+00:00"),
        (1, "at", "1969-12-31 23:59:59+00:00"),
        (1, "day", "0001-01-01"),
        (0, "nested", "{\"a\":[1.10]}"),
        (2, "nested", "\"x\""),
        (0, "money", "12.500"),
        (1, "money", "-0.050"),
        (2, "money", "99999999999999999999999999999999999.999"),
        (2, "__source", "s"),
    ] {
        assert_eq!(cell(row, column), expected, "{column} of row {row}");
    }
    assert!(cell(0, "__ingested_at").starts_with("20"));
    assert_eq!(
        (&told["notes"]["headwater.source"], &told["notes"]["headwater.records"]),
        (&"s".into(), &"3".into())
    );
}

/// Pages of ten records; from the third on they have a field more, and one that was whole is not.
fn growing() -> Vec<String> {
    let record = |id: u64| match id {
        1..=20 => format!(r#"{{"id":{id},"score":{id}}}"#),
        _ => format!(r#"{{"id":{id},"score":{id}.5,"tags":["t{id}"]}}"#),
    };
    let page = |page: u64| (10 * page + 1..=10 * page + 10).map(record).collect::<Vec<_>>().join(",");
    (0..5).map(|number| format!("[{}]", page(number))).collect()
}

#[tokio::test]
async fn columns_that_come_later_are_in_the_later_files_and_readers_unite_them_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Parquet::dir(dir.path()).schemas(Schemas::inferred().sample(10)).roll_at_rows(10);
    Pipeline::new().source(source("s", growing(), pace())).sink(sink).run().await.unwrap();
    let files = files(dir.path());
    assert_eq!(files.len(), 5);
    let columns = |path: &PathBuf| {
        let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
        let fields = reader.metadata().file_metadata().schema().get_fields().to_vec();
        fields.iter().map(|field| field.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(columns(&files[0]), ["id", "score", "__source", "__ingested_at"]);
    let last = columns(&files[4]);
    assert_eq!(last[..4], columns(&files[0])[..]);
    assert!(last.contains(&"score__text".into()) && last.contains(&"tags".into()), "{last:?}");
    let all: Vec<i64> =
        files.iter().flat_map(|path| ids(std::fs::read(path).unwrap().into()).unwrap()).collect();
    assert_eq!(all, (1..=50).collect::<Vec<i64>>());

    // The same by three readers: how many rows, how many without the late columns, and a number that did not fit.
    let expected: Value = serde_json::json!([50, 20, "50.5", r#"["t50"]"#]);
    if let Some(python) = python_with("pyarrow") {
        let script = r#"
import sys, json, pyarrow as pa, pyarrow.dataset as ds
schema = pa.unify_schemas([ds.dataset(f).schema for f in sys.argv[1:]])
table = ds.dataset(sys.argv[1:], schema=schema).to_table()
row = [row for row in table.to_pylist() if row["id"] == 50][0]
print(json.dumps([table.num_rows, table["tags"].null_count, row["score__text"], row["tags"]]))
"#;
        assert_eq!(asked(&python, script, &files), expected);
    }
    if let Some(python) = python_with("duckdb") {
        let script = r#"
import sys, json, duckdb
rows = duckdb.sql(f"""SELECT count(*), count(*) FILTER (tags IS NULL), max(score__text) FILTER (id = 50), max(tags) FILTER (id = 50)
    FROM read_parquet({sys.argv[1:]}, union_by_name = true)""").fetchall()
print(json.dumps(rows[0]))
"#;
        assert_eq!(asked(&python, script, &files), expected);
    }
    if let Some(python) = python_with("polars") {
        let script = r#"
import sys, json, polars as pl
frame = pl.concat([pl.read_parquet(f) for f in sys.argv[1:]], how="diagonal")
row = frame.filter(pl.col("id") == 50).row(0, named=True)
print(json.dumps([frame.height, frame["tags"].null_count(), row["score__text"], row["tags"]]))
"#;
        assert_eq!(asked(&python, script, &files), expected);
    }
}

#[tokio::test]
async fn what_does_not_fit_is_a_dead_letter_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Schema::builder().required("id", ColumnType::Int64).build().unwrap();
    let schemas = Schemas::inferred().declare("s", schema).contract(Contract::Reject);
    let pages =
        vec![r#"[{"id":1},{"id":9223372036854775808},{"id":2}]"#.into(), r#"[{"id":1.5},{"id":3e0}]"#.into()];
    let sink = Parquet::dir(dir.path()).schemas(schemas);
    let report = Pipeline::new().source(source("s", pages, pace())).sink(sink).run().await.unwrap();
    let told = report.source("s").unwrap();
    assert_eq!((told.records, told.written, told.rejected), (5, 3, 2));
    let all: Vec<i64> =
        files(dir.path()).iter().flat_map(|path| ids(std::fs::read(path).unwrap().into()).unwrap()).collect();
    assert_eq!(all, [1, 2, 3]);
    let letters = support::records(&dir.path().join("rejected"), "s");
    let records: Vec<&str> = letters.iter().map(|letter| letter["record"].as_str().unwrap()).collect();
    assert_eq!(records, [r#"{"id":9223372036854775808}"#, r#"{"id":1.5}"#]);
}

#[tokio::test]
async fn a_source_without_records_has_no_file_and_the_next_run_has_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let run = |pages: Vec<String>| {
        Pipeline::new().source(source("s", pages, pace())).sink(Parquet::dir(dir.path())).run()
    };
    let report = run(vec!["[]".into()]).await.unwrap();
    assert_eq!((report.outcome, files(dir.path()).len()), (Outcome::Finished, 0));
    for count in 1..=2 {
        run(vec![r#"[{"id":1}]"#.into()]).await.unwrap();
        assert_eq!(files(dir.path()).len(), count);
    }
    // Someone has taken the checkpoints away: what is there is not written again beside itself.
    std::fs::remove_dir_all(dir.path().join(".headwater")).unwrap();
    let failure = run(vec![r#"[{"id":1}]"#.into()]).await.unwrap_err();
    assert_eq!(failure.error.kind(), ErrorKind::Checkpoint, "{failure}");
    assert!(failure.to_string().contains("no checkpoint"), "{failure}");
}

fn seed() -> u64 {
    let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("HEADWATER_SEED={seed}");
    seed
}

const EACH: u64 = 3_000;

fn example(out: &Path) -> tokio::process::Command {
    let mut command = support::example("parquet");
    command.arg("--output").arg(out).args(["--records", "3000", "--rows", "700", "--latency", "15"]);
    command
        .args(["--commit-every", "30"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command
}

/// Every run that is there has every record once, in its order.
fn assert_complete(out: &Path) {
    for name in ["customers", "events"] {
        let expected: Vec<String> = Resource::new(name, EACH).ids().collect();
        let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in files(out) {
            let file = path.file_stem().unwrap().to_string_lossy().into_owned();
            let (stem, _) = file.rsplit_once('-').unwrap();
            if !stem.starts_with(&format!("{name}_")) {
                continue;
            }
            let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
            let rows = reader.get_row_iter(None).unwrap();
            let rows = rows.map(|row| text_of(&row.unwrap(), "id").unwrap());
            runs.entry(stem.to_owned()).or_default().extend(rows);
        }
        assert!(!runs.is_empty(), "{name} has no file");
        for (run, found) in runs {
            assert!(found == expected, "{run} has {} rows, or others, of {EACH}", found.len());
        }
    }
}

#[tokio::test]
async fn killed_at_random_moments_every_record_is_in_the_files_once() {
    let mut random = fastrand::Rng::with_seed(seed());
    let out = tempfile::tempdir().unwrap();
    let wanted = if std::env::var_os("HEADWATER_FULL").is_some() { 200 } else { 10 };
    let (mut kills, mut finished) = (0, 0);
    while kills < wanted {
        let mut child = example(out.path()).spawn().expect("the example can be started");
        tokio::time::sleep(Duration::from_millis(random.u64(20..900))).await;
        child.kill().await.expect("it can be killed");
        match child.wait().await.expect("it can be awaited").success() {
            true => finished += 1,
            false => kills += 1,
        }
    }
    let said = support::succeeded(&support::run(&mut example(out.path())).await);
    assert!(said.contains("rows of id"), "{said}");
    assert_complete(out.path());
    println!("{kills} kills, {finished} runs that were finished first");
}
