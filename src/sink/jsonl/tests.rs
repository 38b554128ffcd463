use std::time::SystemTime;

use super::*;
use crate::checkpoint::Hold;
use crate::page::Page;
use crate::request::Position;
use crate::testing::CrashFs;

#[derive(Debug)]
struct Free;

impl Hold for Free {}

/// A page of one record, of a good 100 KB, so that every third is on its way to the file at once.
fn batch(number: u64) -> Batch {
    let body = format!(r#"[{{"id":{number},"pad":"{}"}}]"#, "x".repeat(100_000));
    Batch::new(Page::new(body, number, Position::Start, None).unwrap(), "").unwrap()
}

/// Writes so many pages, and commits after each of the given ones and at the end.
async fn run(jsonl: &mut Jsonl, pages: u64, commits: &[u64]) -> Result<()> {
    let lease = Lease::new(Free);
    let (started_at, committed) = (SystemTime::UNIX_EPOCH, Committed::Nothing);
    let opening = Opening { source: "s", label: "s", started_at, committed, lease: &lease };
    jsonl.open(opening).await?;
    for number in 1..=pages {
        jsonl.write("s", &batch(number)).await?;
        if commits.contains(&number) {
            jsonl.commit().await?;
        }
    }
    jsonl.commit().await?;
    jsonl.close().await
}

fn ids(file: &[u8]) -> Vec<u64> {
    let lines = std::str::from_utf8(file).unwrap().lines();
    lines.map(|line| line[6..line.find(',').unwrap()].parse().unwrap()).collect()
}

#[tokio::test]
async fn lines_stay_in_their_order_while_they_are_written_and_synced_beside() {
    let dir = tempfile::tempdir().unwrap();
    let mut jsonl = Jsonl::dir(dir.path());
    jsonl.sync_ahead = 1;
    run(&mut jsonl, 50, &[7, 8, 30]).await.unwrap();
    let file = std::fs::read(dir.path().join("s_19700101T000000Z.jsonl")).unwrap();
    assert_eq!(ids(&file), (1..=50).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_write_and_no_sync_can_fail_without_the_commit_failing() {
    // Without a failure: so many calls, among them syncs ahead.
    let calls = async |sync_ahead| {
        let fs = CrashFs::new();
        let mut jsonl = Jsonl::on(Arc::new(fs.clone()), "out");
        jsonl.sync_ahead = sync_ahead;
        run(&mut jsonl, 20, &[10]).await.unwrap();
        fs.calls()
    };
    let all = calls(1).await;
    assert!(all > calls(u64::MAX).await, "nothing was synced ahead");
    for call in 1..=all {
        let fs = CrashFs::new();
        fs.fail(call, io::ErrorKind::StorageFull);
        let mut jsonl = Jsonl::on(Arc::new(fs.clone()), "out");
        jsonl.sync_ahead = 1;
        let error = run(&mut jsonl, 20, &[10]).await.expect_err("a failure was forgotten");
        assert_eq!(error.kind(), ErrorKind::Sink, "call {call}: {error}");
    }
}
