//! A disk that fails under a real process: every write, sync, rename and truncation of a run fails once, as a full
//! disk and as an I/O error, by a library that is loaded before libc (`disk_faults/failing_disk.c`). The run ends
//! with an error that names the place, no checkpoint says more than is on the disk, and a rerun completes.
//!
//! `cargo test --test disk_faults -- --nocapture` prints how many calls there were. (Plain `cargo test` builds the
//! example that is run; `--test` alone does not.)
#![cfg(target_os = "linux")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use support::quickstart::{assert_complete, command, finished, text};
use tokio::process::Command;

/// Three pages for each source.
const RECORDS: u64 = 300;

/// The errors, and what the system says of them.
const ERRORS: [(&str, &str); 2] = [("EIO", "Input/output error"), ("ENOSPC", "No space left on device")];

fn small(out: &Path) -> Command {
    let mut command = command(out);
    command.args(["--records", &RECORDS.to_string()]);
    command
}

/// The library that fails, compiled; `None` without a compiler.
fn failing_disk(dir: &Path) -> Option<PathBuf> {
    let compiler = support::server_program("cc", "CC", "apt-get install gcc")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/disk_faults/failing_disk.c");
    let library = dir.join("failing_disk.so");
    let mut compile = std::process::Command::new(compiler);
    compile.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library).arg(source).arg("-ldl");
    let output = compile.output().expect("the compiler can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

/// One call that fails.
#[derive(Clone, Copy)]
struct Fault {
    call: &'static str,
    error: &'static str,
    /// Which of them, counted from 1.
    number: u32,
}

impl Fault {
    /// Runs the example on that disk. `None` if it had no such call; it has then finished.
    async fn strike(self, library: &Path, out: &Path) -> Option<Output> {
        let log = out.with_extension("struck");
        let mut program = small(out);
        program.env("LD_PRELOAD", library).env("DISK_FAULT_DIR", out).env("DISK_FAULT_LOG", &log);
        program.env("DISK_FAULT_CALL", self.call).env("DISK_FAULT_ERROR", self.error);
        program.env("DISK_FAULT_NUMBER", self.number.to_string());
        let output = support::run(&mut program).await;
        if std::fs::remove_file(&log).is_ok() {
            return Some(output);
        }
        finished(output);
        None
    }
}

/// What is left in a folder before the run whose calls are to fail.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    /// A run that failed behind its first writes: files that are longer than what was committed.
    BrokenOff,
}

async fn prepare(library: &Path, before: Before, out: &Path) {
    if let Before::BrokenOff = before {
        // Behind the three first checkpoints comes the first sync of data.
        let fault = Fault { call: "sync", error: "EIO", number: 4 };
        let broken = fault.strike(library, out).await.expect("there are so many syncs");
        assert!(!broken.status.success(), "{}", text(&broken));
    }
}

/// The checkpoints in a folder, as JSON.
fn checkpoints(out: &Path) -> Vec<Value> {
    let Ok(entries) = std::fs::read_dir(out.join(".headwater")) else { return Vec::new() };
    let is_one = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "checkpoint");
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(is_one);
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a checkpoint is text");
        serde_json::from_str(text.lines().nth(1).expect("two lines")).expect("it is JSON")
    };
    paths.map(read).collect()
}

/// No checkpoint says more than is there: as many whole lines as it has records, within the length that it says.
fn assert_nothing_is_made_up(out: &Path, place: &str) {
    for checkpoint in checkpoints(out) {
        let length = usize::try_from(checkpoint["sink"]["length"].as_u64().expect("a length")).unwrap();
        let file = out.join(checkpoint["sink"]["file"].as_str().expect("a file"));
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert!(bytes.len() >= length, "{place}: {} is shorter than its checkpoint says", file.display());
        let lines = bytes[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(Some(lines), checkpoint["records"].as_u64(), "{place}: {}", file.display());
    }
}

/// Lets each of these calls fail, one run after the other, until there are no more. Gives how many there were.
async fn every_call(library: &Path, call: &'static str, before: Before) -> u32 {
    for number in 1.. {
        for (error, says) in ERRORS {
            let place = format!("{call} number {number} fails with {error}");
            let dir = tempfile::tempdir().expect("a folder");
            let out = dir.path().join("out");
            prepare(library, before, &out).await;
            let committed = checkpoints(&out);
            let Some(output) = (Fault { call, error, number }).strike(library, &out).await else {
                assert_complete(&out, RECORDS);
                return number - 1;
            };
            let text = text(&output);
            assert_eq!(output.status.code(), Some(1), "{place}: {text}");
            assert!(text.contains("sink failed") || text.contains("checkpoint unusable"), "{place}: {text}");
            assert!(text.contains(says), "{place}: {text}");
            assert!(text.contains(&out.display().to_string()), "{place} names no file: {text}");
            assert_nothing_is_made_up(&out, &place);
            assert!(checkpoints(&out).len() >= committed.len(), "{place}: a checkpoint is gone");
            finished(support::run(&mut small(&out)).await);
            assert_complete(&out, RECORDS);
        }
    }
    unreachable!("some call is beyond the last")
}

#[tokio::test]
async fn every_failing_call_is_an_error_and_a_rerun_completes() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(library) = failing_disk(dir.path()) else { return };
    let mut table = Vec::new();
    for (what, call, before, least) in [
        ("writes, first run", "write", Before::Nothing, 9),
        ("writes, a run that goes on", "write", Before::BrokenOff, 9),
        ("syncs of files, first run", "sync", Before::Nothing, 9),
        ("syncs of files, a run that goes on", "sync", Before::BrokenOff, 10),
        ("syncs of folders", "sync_dir", Before::Nothing, 4),
        ("renames", "rename", Before::Nothing, 6),
        ("truncations", "truncate", Before::BrokenOff, 1),
    ] {
        let tried = every_call(&library, call, before).await;
        assert!(tried >= least, "only {tried} {what}");
        table.push((what, tried));
    }
    println!("each failed once with EIO and once with ENOSPC, the run said so, a rerun completed:");
    for (what, tried) in table {
        println!("{tried:>4} {what}");
    }
}

/// The system allows no file beyond a size, so that the disk is full in the middle of a line.
#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_of_a_line_loses_nothing() {
    for blocks in [1, 20, 63, 130] {
        let out = tempfile::tempdir().expect("a folder");
        let program = small(out.path());
        let mut limited = Command::new("sh");
        // In blocks of 512 bytes; a write beyond is an error instead of a signal.
        limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        limited.arg(program.as_std().get_program()).args(program.as_std().get_args());
        limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = support::run(&mut limited).await;
        let text = text(&output);
        assert_eq!(output.status.code(), Some(1), "{blocks} blocks: {text}");
        assert!(text.contains("File too large"), "{blocks} blocks: {text}");
        assert_nothing_is_made_up(out.path(), &format!("{blocks} blocks"));
        let again = finished(support::run(&mut small(out.path())).await);
        assert!(again.contains("900 records, finished"), "{again}");
        assert_complete(out.path(), RECORDS);
    }
}
