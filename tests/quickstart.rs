//! The example that everyone runs first: it ends well, it can be killed at any moment, it can be stopped.

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use headwater::testing::Resource;
use support::{files, ids_in};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const SOURCES: [&str; 3] = ["customers", "invoices", "issues"];

fn start(out: &Path) -> Child {
    support::example("quickstart")
        .arg("--output")
        .arg(out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example can be started")
}

/// Runs it to its end; what it printed.
async fn run(out: &Path) -> String {
    let output = start(out).wait_with_output().await.expect("the example can be awaited");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    text
}

/// The newest file of each source has every record once; an older one may only be whole too: it is from a run
/// that was killed between its last commit and its exit.
fn assert_complete(out: &Path) {
    for source in SOURCES {
        let expected: Vec<String> = Resource::new(source, 10_000).ids().collect();
        let files: Vec<PathBuf> = files(out, source);
        assert!(!files.is_empty(), "{source} has no file");
        for file in files {
            assert!(
                ids_in(&file) == expected,
                "{} does not hold every record once, in order",
                file.display()
            );
        }
    }
}

#[tokio::test]
async fn it_pulls_everything_and_reports_it() {
    let out = tempfile::tempdir().unwrap();
    let text = run(out.path()).await;
    assert_complete(out.path());
    assert!(text.contains("30000 records, finished"), "{text}");
}

#[tokio::test]
async fn killed_at_random_moments_every_record_is_there_once() {
    let seed = std::env::var("HEADWATER_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("HEADWATER_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let out = tempfile::tempdir().unwrap();
    let wanted = if std::env::var_os("HEADWATER_FULL").is_some() { 300 } else { 20 };
    let (mut kills, mut finished) = (0, 0);
    while kills < wanted {
        let mut child = start(out.path());
        tokio::time::sleep(Duration::from_millis(random.u64(20..2_000))).await;
        child.kill().await.expect("it can be killed");
        let status = child.wait().await.expect("it can be awaited");
        if status.success() {
            finished += 1;
            assert_complete(out.path());
        } else {
            kills += 1;
        }
    }
    run(out.path()).await;
    assert_complete(out.path());
    println!("{kills} kills, {finished} runs that were finished first");
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_lets_it_commit_and_report_and_the_next_run_goes_on() {
    let out = tempfile::tempdir().unwrap();
    for signal in ["INT", "TERM"] {
        let mut child = start(out.path());
        // It is well under way when it says that a quarter of a source is there.
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        while let Some(line) = lines.next_line().await.expect("it can be read") {
            if line.ends_with("00 records") && line.contains(": ") {
                break;
            }
        }
        let kill = Command::new("kill")
            .args([format!("-{signal}"), child.id().expect("it runs").to_string()])
            .status()
            .await;
        assert!(kill.expect("kill can be run").success());
        let output = child.wait_with_output().await.expect("it can be awaited");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(130), "{text}");
        assert!(text.contains("stopped") && text.contains("records, stopped in"), "{text}");
    }
    let text = run(out.path()).await;
    assert!(text.contains("goes on after"), "{text}");
    assert_complete(out.path());
    assert_eq!(files(out.path(), "issues").len(), 1, "the same file all along");
}
