//! The files of JSON lines: written while the next lines are gathered, and synced ahead of the commit.

mod slow_fs;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use headwater::error::ErrorKind;
use headwater::exchange::{Verdict, When};
use headwater::prelude::*;
use headwater::sink::Jsonl;
use headwater::testing::{Reply, Scripted};
use headwater::transport::{Response, Transport};
use slow_fs::SlowFs;

const PAGES: u64 = 30;

/// Pages of one record of a good 100 KB, so that every third makes a piece of the file.
struct Large {
    takes: Duration,
}

impl Transport for Large {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response>> {
        let page = request.url().query_pairs().find(|(name, _)| name == "page");
        let page: u64 = page.map_or(1, |(_, number)| number.parse().unwrap());
        let (pad, more) = ("x".repeat(100_000), page < PAGES);
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            Ok(Response {
                status: http::StatusCode::OK,
                headers: http::HeaderMap::new(),
                body: format!(r#"{{"data":[{{"id":{page},"pad":"{pad}"}}],"more":{more}}}"#).into(),
                received_at: SystemTime::UNIX_EPOCH,
            })
        })
    }
}

const NEVER: Duration = Duration::from_secs(3_600);

async fn run(fs: &SlowFs, dir: &Path, commit_every: Duration) -> Result<(), headwater::RunError> {
    // Where commits are made on the way, pages come in the middle of them.
    let takes = if commit_every < NEVER { Duration::from_millis(2) } else { Duration::ZERO };
    let source = Source::get("items", "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .transport(Large { takes })
        .build()?;
    // Every third page makes a piece of the file.
    let sink = Jsonl::on(Arc::new(fs.clone()), dir).buffer(256 * 1024).sync_ahead(1);
    Pipeline::new().source(source).sink(sink).commit_every(commit_every).run().await?;
    Ok(())
}

fn ids(dir: &Path) -> Vec<u64> {
    let mut files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().is_some_and(|extension| extension == "jsonl")).unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| line[6..line.find(',').unwrap()].parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_stay_in_their_order_while_they_are_written_and_synced_beside() {
    let (dir, fs) = (tempfile::tempdir().unwrap(), SlowFs::default());
    fs.delay_appends(Duration::from_millis(2));
    run(&fs, dir.path(), NEVER).await.unwrap();
    assert_eq!(ids(dir.path()), (1..=PAGES).collect::<Vec<_>>());
    // A write for every third page, and the last sync: whatever is more was synced ahead.
    assert!(fs.calls() > PAGES.div_ceil(3) + 1, "{} calls", fs.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_and_no_sync_of_a_file_fails_without_the_run() {
    every_call_fails(SlowFs::default, NEVER).await;
    let slow = || {
        let fs = SlowFs::default();
        // So that a sync that was begun ahead is still on its way at the commit.
        fs.delay_syncs(Duration::from_millis(20));
        fs
    };
    every_call_fails(slow, NEVER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_and_no_sync_beside_a_commit_fails_without_the_run() {
    let slow = || {
        let fs = SlowFs::default();
        // So that a piece is on its way when a commit fails: that it holds the lock must not keep the next run out.
        fs.delay_appends(Duration::from_millis(3));
        fs.delay_syncs(Duration::from_millis(7));
        fs
    };
    every_call_fails(slow, Duration::from_millis(1)).await;
}

async fn every_call_fails(disk: impl Fn() -> SlowFs, commit_every: Duration) {
    let mut call = 1;
    loop {
        let (dir, fs) = (tempfile::tempdir().unwrap(), disk());
        fs.fail(call);
        let outcome = run(&fs, dir.path(), commit_every).await;
        // How many syncs there are ahead, and commits, depends on the threads.
        if fs.calls() < call {
            outcome.unwrap();
            break;
        }
        let failure = outcome.expect_err("a failure was forgotten");
        assert_eq!(failure.error.kind(), ErrorKind::Sink, "call {call}: {failure}");
        // What was not committed is pulled again.
        fs.fail(0);
        run(&fs, dir.path(), commit_every).await.unwrap();
        assert_eq!(ids(dir.path()), (1..=PAGES).collect::<Vec<_>>(), "behind call {call}");
        call += 1;
    }
    assert!(call > PAGES.div_ceil(3) + 1, "only {call} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_of_several_syncs_fails_the_others_do_not_keep_the_next_run_out() {
    let (dir, fs) = (tempfile::tempdir().unwrap(), SlowFs::default());
    let run = || {
        let source = |name| {
            // Of two pages the first is synced ahead when the second comes: those syncs are on their way at the commit.
            let pages = [r#"{"data":[{"id":1}],"more":true}"#, r#"{"data":[{"id":2}],"more":false}"#];
            let source = Source::get(name, "https://api.example.com/items")
                .records("data")
                .paginate(PageNumber::new().until_false("more"))
                .transport(Scripted::new(pages.map(Reply::json)));
            source.build().unwrap()
        };
        let sink = Jsonl::on(Arc::new(fs.clone()), dir.path()).buffer(1).sync_ahead(1);
        Pipeline::new().sources([source("a"), source("b")]).sink(sink).commit_every(NEVER).run()
    };
    fs.fail_syncs_of(Some("a"));
    fs.delay_syncs(Duration::from_millis(300));
    assert_eq!(run().await.unwrap_err().error.kind(), ErrorKind::Sink);
    fs.fail_syncs_of(None);
    fs.delay_syncs(Duration::ZERO);
    assert_eq!(run().await.unwrap().records(), 4);
}

#[tokio::test]
async fn what_is_on_its_way_when_a_source_begins_anew_does_not_come_behind_it() {
    // Three pages make a piece of the file, which takes longer than all that follows.
    let api = Scripted::from_fn(|request, number| {
        let page = request.url().query_pairs().find(|(name, _)| name == "page");
        let page: u64 = page.map_or(1, |(_, number)| number.parse().unwrap());
        let (pad, more) = ("x".repeat(100_000), page < if number < 4 { 4 } else { 2 });
        match number {
            4 => Reply::status(410),
            _ => Reply::json(format!(r#"{{"data":[{{"id":{page},"pad":"{pad}"}}],"more":{more}}}"#)),
        }
    });
    let source = Source::get("items", "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .rule(When::status(410).means(Verdict::Expired))
        .restart_on_expiry()
        .transport(api)
        .build()
        .unwrap();
    let (dir, fs) = (tempfile::tempdir().unwrap(), SlowFs::default());
    fs.delay_appends(Duration::from_millis(500));
    let sink = Jsonl::on(Arc::new(fs), dir.path()).buffer(256 * 1024);
    Pipeline::new().source(source).sink(sink).run().await.unwrap();
    assert_eq!(ids(dir.path()), [1, 2]);
}
