//! What the tests that run whole programs and whole runs share: the programs, servers in processes of their own,
//! and the files that come out.
#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod dropped;
#[cfg(all(unix, feature = "postgres"))]
pub(crate) mod postgres;
pub(crate) mod quickstart;
pub(crate) mod server;
#[cfg(feature = "testing")]
pub(crate) mod sql;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// No step of a test takes longer, unless it hangs.
const HANGS: Duration = Duration::from_secs(120);

/// An example's program, as `cargo test` has built it. Nothing of this process's environment that changes
/// what it does goes with it.
///
/// # Panics
/// If it was not built: `cargo test --test NAME` alone builds no examples.
pub(crate) fn example(name: &str) -> tokio::process::Command {
    let test = std::env::current_exe().expect("the path of this test");
    let file = Path::new("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    // target/debug/deps/test-0123456789abcdef is beside target/debug/examples
    let program = test.ancestors().skip(1).map(|dir| dir.join(&file)).find(|program| program.is_file());
    let program = program.unwrap_or_else(|| panic!("first: cargo build --example {name}"));
    let mut command = tokio::process::Command::new(program);
    for variable in
        ["http_proxy", "https_proxy", "all_proxy", "github_user", "github_token", "stripe_api_key"]
    {
        command.env_remove(variable).env_remove(variable.to_uppercase());
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a program to its end.
///
/// # Panics
/// If it hangs.
pub(crate) async fn run(command: &mut tokio::process::Command) -> Output {
    let output = tokio::time::timeout(HANGS, command.output()).await;
    output.expect("the program hangs").expect("the program can be started")
}

/// Passes a program that ended well, and gives its standard output.
///
/// # Panics
/// With all it said, if it did not.
pub(crate) fn succeeded(output: &Output) -> String {
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    said
}

/// What a program wrote.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asks again and again until the answer is there.
///
/// # Panics
/// If it does not come.
pub(crate) async fn eventually<T>(what: &str, mut asked: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = asked().await {
            return answer;
        }
        assert!(start.elapsed() < HANGS, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Finds the program of a foreign server: by the variable, or on the path. Where there is none, the test is
/// to be skipped, and this says so.
///
/// # Panics
/// If there is none and `HEADWATER_REQUIRE_SERVERS` is set, or the variable leads nowhere.
pub(crate) fn server_program(name: &str, variable: &str, install: &str) -> Option<PathBuf> {
    if let Some(program) = std::env::var_os(variable).map(PathBuf::from) {
        assert!(program.is_file(), "{variable} is {}, which is no file", program.display());
        return Some(program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let found = std::env::split_paths(&path).map(|dir| dir.join(&file)).find(|program| program.is_file());
    if found.is_none() {
        let what = format!("{name} is not installed (`{install}`, or set {variable} to the program)");
        assert!(std::env::var_os("HEADWATER_REQUIRE_SERVERS").is_none(), "{what}");
        // Not `eprintln!`, which says nothing when a test passes.
        let _ = writeln!(std::io::stderr(), "\nSKIPPED: {what}");
    }
    found
}

/// A client for loopback.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// The files of a source, by what a run calls them, oldest first.
pub(crate) fn files(dir: &Path, source: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let is_its = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.strip_prefix(source).is_some_and(|rest| rest.starts_with("_2") && rest.ends_with(".jsonl"))
    };
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("an entry").path()).filter(is_its).collect();
    files.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    files
}

/// The ids in a file, line by line; every line must be whole.
pub(crate) fn ids_in(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("a file in UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line of {} is not whole", file.display());
    let id = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        line["id"].as_str().map_or_else(|| line["id"].to_string(), str::to_owned)
    };
    text.lines().map(id).collect()
}

/// The ids in all files of a source.
pub(crate) fn ids_of(dir: &Path, source: &str) -> Vec<String> {
    files(dir, source).iter().flat_map(|file| ids_in(file)).collect()
}

/// The records of a source, which has one file, in the order of its lines. Every line must be whole, and say
/// where it is from and since when.
pub(crate) fn records(dir: &Path, source: &str) -> Vec<Value> {
    let files = files(dir, source);
    assert_eq!(files.len(), 1, "{source} has these files: {files:?}");
    let text = std::fs::read_to_string(&files[0]).expect("a file in UTF-8");
    assert!(text.ends_with('\n'), "the last line of {} is not whole", files[0].display());
    let read = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        assert_eq!(record["__source"], source, "{line}");
        let ingested_at = record["__ingested_at"].as_str().unwrap_or_default();
        assert!(ingested_at.starts_with("20") && ingested_at.ends_with('Z'), "{line}");
        record
    };
    text.lines().map(read).collect()
}

/// Passes if the records are exactly those with these ids, each once, in whatever order.
///
/// # Panics
/// With some of the ids that are missing, too much, or there more than once.
pub(crate) fn assert_once_each<'a>(
    records: &[Value],
    field: &str,
    expected: impl IntoIterator<Item = &'a String>,
) {
    let mut counts: BTreeMap<String, i64> = expected.into_iter().map(|id| (id.clone(), -1)).collect();
    assert!(!counts.is_empty(), "nothing was expected");
    for record in records {
        let id = match &record[field] {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        };
        // One that was not expected begins at 0, so it cannot end there.
        *counts.entry(id).or_insert(0) += 1;
    }
    let few = |chosen: fn(i64) -> bool| {
        let ids: Vec<_> = counts.iter().filter(|(_, count)| chosen(**count)).map(|(id, _)| id).collect();
        (ids.len(), ids.into_iter().take(5).cloned().collect::<Vec<_>>())
    };
    let (missing, surplus) = (few(|count| count < 0), few(|count| count > 0));
    assert!(missing.0 + surplus.0 == 0, "of {field}, missing are {missing:?}, too much are {surplus:?}");
}
