//! The example that everyone runs first: it ends well, it can be killed at any moment, it can be stopped.

mod support;

use std::path::Path;
use std::time::Duration;

use support::files;
use support::quickstart::{assert_complete, command, finished, run, start, text};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How many records each source has, unless the example is told otherwise.
const RECORDS: u64 = 10_000;

fn seed() -> u64 {
    let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("HEADWATER_SEED={seed}");
    seed
}

fn is_full() -> bool {
    std::env::var_os("HEADWATER_FULL").is_some()
}

#[tokio::test]
async fn it_pulls_everything_and_reports_it() {
    let out = tempfile::tempdir().unwrap();
    let text = run(out.path()).await;
    assert_complete(out.path(), RECORDS);
    assert!(text.contains("30000 records, finished"), "{text}");
}

#[tokio::test]
async fn killed_at_random_moments_every_record_is_there_once() {
    let mut random = fastrand::Rng::with_seed(seed());
    let out = tempfile::tempdir().unwrap();
    let wanted = if is_full() { 300 } else { 10 };
    let (mut kills, mut finished) = (0, 0);
    while kills < wanted {
        let mut child = start(out.path());
        tokio::time::sleep(Duration::from_millis(random.u64(20..2_000))).await;
        child.kill().await.expect("it can be killed");
        let status = child.wait().await.expect("it can be awaited");
        if status.success() {
            finished += 1;
            assert_complete(out.path(), RECORDS);
        } else {
            kills += 1;
        }
    }
    run(out.path()).await;
    assert_complete(out.path(), RECORDS);
    println!("{kills} kills, {finished} runs that were finished first");
}

#[cfg(unix)]
async fn send(signal: &str, child: &Child) {
    let id = child.id().expect("it runs").to_string();
    let kill = Command::new("kill").args([format!("-{signal}"), id]).status().await;
    assert!(kill.expect("kill can be run").success());
}

/// One process is stopped by SIGSTOP at a random moment, a second takes over, the first goes on by SIGCONT.
#[cfg(unix)]
#[tokio::test]
async fn a_frozen_process_that_was_taken_over_cannot_commit_when_it_wakes() {
    let mut random = fastrand::Rng::with_seed(seed());
    let wanted = if is_full() { 50 } else { 3 };
    let (mut overtaken, mut finished_first) = (0, 0);
    while overtaken < wanted {
        let out = tempfile::tempdir().unwrap();
        let first = start(out.path());
        tokio::time::sleep(Duration::from_millis(random.u64(50..2_500))).await;
        send("STOP", &first).await;
        let holder = format!("process {}", first.id().expect("it runs"));
        if held_by(out.path(), &holder) {
            let second = support::run(&mut command(out.path())).await;
            assert_eq!(second.status.code(), Some(1));
            assert!(text(&second).contains(&holder), "{}", text(&second));
        }
        finished(support::run(command(out.path()).arg("--take-over")).await);
        assert_complete(out.path(), RECORDS);
        send("CONT", &first).await;
        let woken = first.wait_with_output().await.expect("it can be awaited");
        assert_complete(out.path(), RECORDS);
        if woken.status.success() {
            // It was frozen behind its last commit.
            finished_first += 1;
            continue;
        }
        overtaken += 1;
        let text = text(&woken);
        assert!(text.contains("locked by another run") && text.contains("has taken"), "{text}");
        run(out.path()).await;
        assert_complete(out.path(), RECORDS);
    }
    println!("{overtaken} frozen processes were overtaken and told so, {finished_first} had finished before");
}

/// Whether a process holds the lock: it may be frozen before it has it, or when it has given it up.
#[cfg(unix)]
fn held_by(out: &Path, holder: &str) -> bool {
    let lock = out.join(".headwater/lock");
    std::fs::read_to_string(&lock).is_ok_and(|text| text.starts_with(holder))
        && std::fs::File::open(&lock).is_ok_and(|lock| lock.try_lock().is_err())
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
        send(signal, &child).await;
        let output = child.wait_with_output().await.expect("it can be awaited");
        let text = text(&output);
        assert_eq!(output.status.code(), Some(130), "{text}");
        assert!(text.contains("stopped") && text.contains("records, stopped in"), "{text}");
    }
    let text = run(out.path()).await;
    assert!(text.contains("goes on after"), "{text}");
    assert_complete(out.path(), RECORDS);
    assert_eq!(files(out.path(), "issues").len(), 1, "the same file all along");
}
